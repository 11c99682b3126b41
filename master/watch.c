#include "master/watch.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "master/notify.h"

#define EVERY_US_MAX UINT64_C(1000000)
/* A look that is later than this, above two intervals: we did not run. */
#define LATE_US UINT64_C(500000)
/* Late is who was silent for a third of the limit, but a heartbeat a second is all that is promised. */
#define FRESH_US_MIN UINT64_C(2000000)
#define FRESH_US_NO_LIMIT UINT64_C(10000000)
#define WORK_TIMES 10u
#define WORK_US_MIN UINT64_C(300000000)

/* How often systemd's watchdog must be fed, 0 when it need not, or is not about this process. */
static uint64_t
watchdog_us(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t us, about;

    if (usec == NULL || !str_to_u64(str_from(usec), &us))
        return 0;
    if (pid != NULL && (!str_to_u64(str_from(pid), &about) || about != (uint64_t)getpid()))
        return 0;
    return us;
}

void
watch_init(struct watch *watch, uint64_t limit_us)
{
    uint64_t feed_us = watchdog_us();

    *watch = (struct watch){
        .limit_us = limit_us, .every_us = EVERY_US_MAX, .watchdog = feed_us > 0};
    if (limit_us > 0)
        watch->every_us = MIN(watch->every_us, limit_us / 4);
    if (feed_us > 0) /* twice as often as it must be */
        watch->every_us = MIN(watch->every_us, feed_us / 2);
    watch->every_us = MAX(watch->every_us, UINT64_C(1000));
}

uint64_t
watch_due_us(const struct watch *watch)
{
    return watch->looked_us + watch->every_us;
}

bool
watch_begin(struct watch *watch, uint64_t now_us, uint64_t *step_us)
{
    uint64_t step = now_us - watch->looked_us;

    if (now_us < watch_due_us(watch))
        return false;
    *step_us = step <= 2 * watch->every_us + LATE_US ? step : 0;
    watch->looked_us = now_us;
    return true;
}

static void
pulse_count(struct pulse *pulse, uint64_t heartbeat_us, uint64_t step_us)
{
    if (heartbeat_us != pulse->heartbeat_us || step_us == 0)
        *pulse = (struct pulse){.heartbeat_us = heartbeat_us};
    else
        pulse->silent_us += step_us;
}

enum pulse_state
pulse_take(const struct watch *watch, struct pulse *pulse, uint64_t heartbeat_us, uint64_t step_us)
{
    uint64_t fresh_us =
        watch->limit_us > 0 ? MAX(watch->limit_us / 3, FRESH_US_MIN) : FRESH_US_NO_LIMIT;

    pulse_count(pulse, heartbeat_us, step_us);
    if (watch->limit_us > 0 && pulse->silent_us >= watch->limit_us)
        return PULSE_HUNG;
    return pulse->silent_us > fresh_us ? PULSE_LATE : PULSE_WELL;
}

uint64_t
watch_work_us(const struct watch *watch)
{
    return watch->limit_us > 0 ? MAX(watch->limit_us * WORK_TIMES, WORK_US_MIN) : 0;
}

enum pulse_state
pulse_take_work(const struct watch *watch, struct pulse *pulse, uint64_t heartbeat_us,
                uint64_t step_us)
{
    uint64_t limit_us = watch_work_us(watch);

    pulse_count(pulse, heartbeat_us, step_us);
    return limit_us > 0 && pulse->silent_us >= limit_us ? PULSE_HUNG : PULSE_WELL;
}

void
watch_feed(const struct watch *watch)
{
    if (watch->watchdog)
        notify_send("WATCHDOG=1");
}

/*
 * A process ID alone proves nothing: it may be another's by now. But a table's lock is held by its
 * worker alone: when it is still held once the descriptor is open, then the worker lived when that
 * was opened, and the descriptor is the worker's for good.
 */
static void
kill_owner(const struct region *region, uint32_t table_idx)
{
    uint32_t pid = atomic_load_explicit(&region->header->table[table_idx].pid,
                                        memory_order_relaxed);
    int fd = pid != 0 ? pidfd_open((pid_t)pid, 0) : -1;

    if (fd < 0)
        return;
    if (region_table_locked(region, table_idx) == 1 &&
        pidfd_send_signal(fd, SIGKILL, NULL, 0) == 0)
        log_warn("worker.killed", "pid=%u why=%s", pid, "\"an earlier master's, stop at once\"");
    close(fd);
}

void
watch_kill_older(const struct region *region)
{
    const struct region_header *header = region->header;
    uint32_t ours = atomic_load_explicit(&header->master_seq, memory_order_relaxed);

    for (uint32_t i = 0; i < header->geometry.table_max; i++) {
        const struct region_table *table = &header->table[i];

        if (atomic_load_explicit(&table->state, memory_order_acquire) == TABLE_LIVE &&
            atomic_load_explicit(&table->master_seq, memory_order_relaxed) != ours)
            kill_owner(region, i);
    }
}
