#include "master/look.h"

#include <signal.h>

#include "base/clock.h"
#include "base/log.h"
#include "master/manager.h"
#include "master/master.h"

/* True when it is well. */
static bool
look_at_ledger(struct master *m, uint64_t step_us)
{
    const struct region_header *header = m->region->header;
    uint64_t beat = atomic_load_explicit(&header->ledger_beat, memory_order_relaxed);
    struct pulse *pulse = &m->ledger.pulse;
    enum pulse_state state;

    if (m->ledger.pid <= 0)
        return true;
    /* The beat may be an earlier one's, until this one begins. */
    state = m->ledger.state != CHILD_SERVING || region_ledger_step(header) == LEDGER_WORKS
                ? pulse_take_work(&m->watch, pulse, beat, step_us)
                : pulse_take(&m->watch, pulse, beat, step_us);
    if (pulse->silent_us == 0) {
        m->ledger_silent = false;
    } else if (!m->ledger_silent && pulse->silent_us > LEDGER_STILL_WAITS_US) {
        m->ledger_silent = true;
        log_warn("ledger.silent", "pid=%d silent_ms=%llu effect=%s", (int)m->ledger.pid,
                 (unsigned long long)(pulse->silent_us / 1000),
                 "\"calls go on; charges wait for it\"");
    }
    if (state == PULSE_HUNG) {
        log_error("ledger.hung", "pid=%d silent_ms=%llu effect=%s", (int)m->ledger.pid,
                  (unsigned long long)(pulse->silent_us / 1000),
                  "\"it is killed and another started\"");
        kill(m->ledger.pid, SIGKILL);
        pulse->silent_us = 0;
    }
    return state == PULSE_WELL;
}

void
look_at_children(struct master *m)
{
    uint64_t step_us;
    bool well;

    if (m->watch.every_us == 0 || !watch_begin(&m->watch, clock_mono_us(), &step_us))
        return;
    well = look_at_ledger(m, step_us);
    manager_look(m, step_us); /* the watchdog is fed all the same: calls do not need it */
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        struct child *child = &m->worker[i];
        const struct region_table *table = &m->region->header->table[child->table_idx];
        enum pulse_state state;

        if (child->pid <= 0)
            continue;
        state = pulse_take(&m->watch, &child->pulse,
                           atomic_load_explicit(&table->heartbeat_mono_us, memory_order_relaxed),
                           step_us);
        well &= state == PULSE_WELL;
        if (state != PULSE_HUNG)
            continue;
        log_error("worker.hung", "worker=%u pid=%d silent_ms=%llu effect=%s", child->number + 1,
                  (int)child->pid, (unsigned long long)(child->pulse.silent_us / 1000),
                  "\"it is killed and another started; its calls end\"");
        kill(child->pid, SIGKILL);
        child->pulse.silent_us = 0;
    }
    if (well)
        watch_feed(&m->watch);
}
