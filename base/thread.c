#include "base/thread.h"

#include "base/base.h"

#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLICE_NS 20000000u /* the kernel's own are 0.7 to 3 ms */

void
thread_give_way(int nice_add)
{
    /* <sched.h> and the kernel's own header each have this only in some versions. */
    const struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t slice_ns, deadline_ns, period_ns;
    } attr = {
        .size = sizeof(attr),
        .policy = SCHED_OTHER,
        .nice = MIN(getpriority(PRIO_PROCESS, 0) + nice_add, 19),
        .slice_ns = SLICE_NS,
    };

    _Static_assert(sizeof(attr) == 48, "struct sched_attr as it first was");
    if (syscall(SYS_sched_setattr, 0, &attr, 0) != 0)
        (void)setpriority(PRIO_PROCESS, 0, attr.nice);
}
