#include "master/watch.h"

#include <signal.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/log.h"

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
    uint32_t ours = atomic_load_explicit(&header->generation, memory_order_relaxed);

    for (uint32_t i = 0; i < header->geometry.table_max; i++) {
        const struct region_table *table = &header->table[i];

        if (atomic_load_explicit(&table->state, memory_order_acquire) == TABLE_LIVE &&
            atomic_load_explicit(&table->generation, memory_order_relaxed) != ours)
            kill_owner(region, i);
    }
}
