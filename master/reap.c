#include "master/reap.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "master/manager.h"
#include "master/reload.h"
#include "master/spawn.h"
#include "master/upgrade.h"
#include "telemetry/telemetry.h"

#define LIVED_LONG_US UINT64_C(10000000)
/* Quick deaths in a row that are answered by a start at once. One that dies while it counts leaves
 * accounts frozen, whose calls wait for the next. */
#define AT_ONCE_WORKER 1u
#define AT_ONCE_LEDGER 3u
#define AT_ONCE_TELEMETRY 1u

static void
wake_ledger(const struct master *m)
{
    uint64_t one = 1;

    (void)!write(m->ledger_wake_fd, &one, sizeof one);
}

static void
how_it_ended(int status, char *text, size_t cap)
{
    if (WIFSIGNALED(status))
        snprintf(text, cap, "signal=%d", WTERMSIG(status));
    else
        snprintf(text, cap, "status=%d", WEXITSTATUS(status));
}

void
reap_forget(struct child *child)
{
    close_fd(&child->lifeline_fd);
    child->pid = 0;
    child->state = CHILD_NONE;
    if (clock_mono_us() - child->forked_us >= LIVED_LONG_US)
        child->failures = 0;
}

static void
worker_reaped(struct master *m, unsigned place, int status)
{
    struct child *child = &m->worker[place];
    bool as_told = WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGTERM;
    char text[32];
    unsigned restart_ms;

    /* Only now is it proven dead. Release: the sweeper must see its last stores. */
    atomic_store_explicit(&m->region->header->table[child->table_idx].state, TABLE_DEAD,
                          memory_order_release);
    wake_ledger(m);
    how_it_ended(status, text, sizeof text);
    reap_forget(child);
    if (m->stopping || (place >= WORKERS_OLD && (as_told || child->kill_us == 0))) {
        log_info("worker.ended", "worker=%u generation=%u %s", child->number + 1,
                 atomic_load_explicit(&m->region->header->table[child->table_idx].generation,
                                      memory_order_relaxed),
                 text);
        return;
    }
    if (place >= WORKERS_NEXT) { /* nobody takes its place */
        log_error("worker.died", "worker=%u %s effect=%s", child->number + 1, text,
                  place >= WORKERS_OLD ? "\"its last calls ended\"" : "\"the reload fails\"");
        if (place < WORKERS_OLD)
            reload_worker_died(m, child->number, text);
        return;
    }
    atomic_fetch_add_explicit(&m->region->header->restarts_worker, 1, memory_order_relaxed);
    restart_ms = spawn_later(child, AT_ONCE_WORKER);
    log_error("worker.died", "worker=%u %s deaths_in_a_row=%u restart_ms=%u", place + 1, text,
              child->failures, restart_ms);
}

static void
ledger_reaped(struct master *m, int status)
{
    char text[32];
    bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    unsigned restart_ms;

    how_it_ended(status, text, sizeof text);
    reap_forget(&m->ledger);
    reload_ledger_died(m);
    if (clean && m->hung_up) {
        m->ledger_done = true;
        return;
    }
    atomic_fetch_add_explicit(&m->region->header->restarts_ledger, 1, memory_order_relaxed);
    restart_ms = spawn_later(&m->ledger, AT_ONCE_LEDGER);
    log_error("ledger.died", "%s deaths_in_a_row=%u restart_ms=%u effect=%s", text,
              m->ledger.failures, restart_ms,
              "\"calls go on, but for accounts that it was counting; charges wait for the next\"");
}

/* Nothing but telemetry hangs on it. */
static void
telemetry_reaped(struct master *m, int status)
{
    bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    char text[32];
    unsigned restart_ms;

    how_it_ended(status, text, sizeof text);
    reap_forget(&m->telemetry);
    m->telemetry.kill_us = 0;
    m->telemetry.start_us = 0;
    if (clean || m->stopping)
        return;
    if (WIFEXITED(status) && WEXITSTATUS(status) == TELEMETRY_EXIT_UNFIT) {
        m->telemetry.start_us = UINT64_MAX; /* it has said why */
        return;
    }
    restart_ms = spawn_later(&m->telemetry, AT_ONCE_TELEMETRY);
    log_error("telemetry.died", "%s deaths_in_a_row=%u restart_ms=%u", text, m->telemetry.failures,
              restart_ms);
}

/*
 * One that another program in our place began, which could not go on and went back to us (an upgrade that
 * failed): known by its table alone. Whether the ledger process met it dead or alive depends on the moment.
 */
static void
stranger_reaped(struct master *m, pid_t pid)
{
    struct region_header *header = m->region->header;

    for (uint32_t i = 0; i < header->geometry.table_max; i++) {
        struct region_table *table = &header->table[i];

        if (atomic_load_explicit(&table->pid, memory_order_relaxed) != (uint32_t)pid ||
            atomic_load_explicit(&table->state, memory_order_relaxed) != TABLE_LIVE)
            continue;
        atomic_store_explicit(&table->state, TABLE_DEAD, memory_order_release);
        wake_ledger(m);
    }
}

static bool
worker_of(const struct master *m, pid_t pid, unsigned *place)
{
    for (*place = 0; *place < WORKERS_MAX; ++*place)
        if (m->worker[*place].pid == pid)
            return true;
    return false;
}

void
reap_all(struct master *m)
{
    unsigned place;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == m->ledger.pid) {
            ledger_reaped(m, status);
            continue;
        }
        if (pid == m->telemetry.pid) {
            telemetry_reaped(m, status);
            continue;
        }
        if (manager_reaped(m, pid, status))
            continue;
        if (pid == m->ledger_before)
            m->ledger_before = 0;
        if (upgrade_child_ended(m, pid, status))
            continue;
        if (worker_of(m, pid, &place))
            worker_reaped(m, place, status);
        else
            stranger_reaped(m, pid);
    }
}
