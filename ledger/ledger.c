/*
 * The ledger process's main thread: one loop of turns.
 *
 *     a turn:  dead workers' tables · collect · announce · commit · commands · now and then: scan,
 *              audit, room on the disk, retired keys
 *
 * Pace. In relaxed mode, while there is work, a turn every 45 ms at least, so that workers make no system call
 * for a settlement. When nothing came for a few turns, and in the other modes after every turn, it
 * says in the header that it sleeps, looks once more, and waits for the workers' eventfd.
 *
 * It says before and after each pause that it lives (region_ledger_beat()): the master kills one that
 * does not come back from a pause, or does not end its work in a much longer time.
 */
#include "ledger/ledger.h"

#include "base/clock.h"
#include "base/rng.h"
#include "base/str.h"
#include "ledger/access.h"
#include "ledger/command.h"
#include "ledger/control.h"
#include "ledger/measure.h"
#include "ledger/pump.h"
#include "ledger/core.h"
#include "ledger/feed.h"
#include "ledger/fill.h"
#include "ledger/process.h"
#include "ledger/store.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define IDLE_TURNS 3         /* without work, before it sleeps */
#define SLEEP_MS 1000
#define WATCHED_MS 100       /* while somebody watches: refusals ring no bell */
#define ENDING_MS 20
#define DROPPING_MS 50
#define TABLES_US 100000u    /* between looks at the tables' states */
#define BUSY_US 1000000u     /* after a recount that waited in vain */
#define SCAN_US 1000000u     /* for slots whose bell was lost */
#define AUDIT_US 10000000u
#define LOCK_TRIES 6000      /* of 5 ms each, for a predecessor to go */
#define NO_NEW_CALLS "\"new calls get 503 until there is room\""

/* ---- the outside world ---- */

/*
 * While the master lives, it says which of its workers is dead (TABLE_DEAD). Of workers that have
 * no parent any more, which are all once it is gone, a dropped lock is the proof: a live table
 * always had one, from before its fork.
 */
static bool
host_table_lives(void *arg, uint32_t table_idx)
{
    const struct process *process = arg;
    const struct region *region = process->inherit->region;
    const struct region_header *header = region->header;
    uint32_t ours = atomic_load_explicit(&header->master_seq, memory_order_relaxed);
    uint32_t its = atomic_load_explicit(&header->table[table_idx].master_seq, memory_order_relaxed);

    if (!process->believe_locks && its == ours)
        return true;
    return region_table_locked(region, table_idx) != 0;
}

static void
host_wake_worker(void *arg, uint32_t table_idx)
{
    const struct process *process = arg;
    int fd = process->inherit->worker_wake_fd[table_idx];
    uint64_t one = 1;

    if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
        ASSERT(errno == EAGAIN || errno == EINTR); /* a full counter has rung already */
}

/* ---- now and then ---- */

static void
look_at_room(struct process *process)
{
    struct region_header *header = process->inherit->region->header;
    int permille = db_look_after(process->ledger->db);
    bool stopped = atomic_load_explicit(&header->stop_taking, memory_order_relaxed) != 0;

    if (permille >= DB_FULL_STOP && !stopped) {
        log_error("store.full", "path=%s used_permille=%d free_bytes=%llu effect=%s",
                  log_quote(str_from(db_path(process->ledger->db))), permille,
                  (unsigned long long)db_free_bytes(db_path(process->ledger->db)), NO_NEW_CALLS);
        atomic_store_explicit(&header->stop_taking, 1, memory_order_release);
    } else if (permille < DB_FULL_AGAIN && stopped) {
        log_info("store.room", "used_permille=%d effect=\"calls are taken again\"", permille);
        atomic_store_explicit(&header->stop_taking, 0, memory_order_release);
    }
    if (permille >= DB_FULL_WARN && !process->warned_full)
        log_warn("store.nearly-full", "path=%s used_permille=%d",
                 log_quote(str_from(db_path(process->ledger->db))), permille);
    process->warned_full = permille >= DB_FULL_WARN;
}

static int
now_and_then(struct process *process, uint64_t now_us)
{
    if (now_us >= process->scan_us) {
        process->scan_us = now_us + SCAN_US;
        look_at_room(process);
        measure_gauges(process->ledger);
        key_retire(process->inherit->region);
    }
    if (now_us < process->audit_us)
        return 0;
    process->audit_us = now_us + AUDIT_US;
    return audit_sample(process->ledger);
}

/* ---- a turn ---- */

/* *busy: something was committed, or is there to be. */
static int
turn(struct process *process, bool *busy)
{
    struct ledger *ledger = process->ledger;
    uint64_t now_us = clock_mono_us();
    bool scan = now_us >= process->scan_us;
    int rc = 0;

    *busy = false;
    if (now_us >= process->tables_us) {
        uint64_t waited = ledger->stats.recount_busy;

        rc = recount_dead_tables(ledger);
        /* Somebody stands still in a claim: to wait for it again at once would hold up commits. */
        process->tables_us = now_us + (ledger->stats.recount_busy != waited ? BUSY_US : TABLES_US);
    }
    while (rc == 0) {
        bool full;

        ledger_collect(ledger, scan);
        scan = false;
        full = ledger->batch_count == LEDGER_BATCH_MAX;
        *busy = *busy || ledger->batch_count > 0 || ledger->announce_count > 0;
        rc = ledger_announce(ledger);
        if (rc == 0)
            rc = ledger_commit(ledger);
        if (rc < 0 || !full)
            break;
    }
    if (*busy)
        look_at_room(process);
    feed_refused(ledger);
    if (rc == 0)
        rc = words_work(process);
    if (rc == 0)
        rc = retention_turn(ledger, &process->retention, now_us, &process->dropping);
    if (rc == 0 && !process->ending)
        rc = upkeep_turn(ledger, &process->upkeep, now_us);
    if (rc == 0)
        rc = fill_turn(ledger, &process->fill, now_us, &process->filling);
    return rc == 0 ? now_and_then(process, now_us) : rc;
}

static void
drain_fd(int fd)
{
    uint64_t bytes[16];

    while (read(fd, bytes, sizeof(bytes)) > 0)
        ;
}

static void
hear_signal(struct process *process)
{
    struct signalfd_siginfo info;

    while (read(process->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        process->ending = true;
}

static void
beat(const struct process *process, enum ledger_step step)
{
    region_ledger_beat(process->inherit->region->header, step, clock_mono_us());
}

static bool
is_watched(const struct process *process)
{
    const struct ledger *ledger = process->ledger;
    const struct conf *conf = ledger->conf; /* our own thread is the one that replaces it */

    return (conf != NULL && (conf->log.access != CONF_ACCESS_OFF || conf->telemetry.on)) ||
           feed_watched(ledger->feed, clock_mono_us());
}

static void
pause_between_turns(struct process *process, bool busy)
{
    struct region_header *header = process->inherit->region->header;
    struct pollfd fds[] = {
        {.fd = process->inherit->wake_fd, .events = POLLIN},
        {.fd = process->lifeline_fd, .events = POLLIN},
        {.fd = process->signal_fd, .events = POLLIN},
        {.fd = process->control != NULL ? control_fd(process->control) : -1, .events = POLLIN},
    };
    bool sleep = true;
    int wait_ms = process->ending ? ENDING_MS : is_watched(process) ? WATCHED_MS : SLEEP_MS;

    process->idle_turns = busy ? 0 : process->idle_turns + 1;
    if (process->inherit->durability == LEDGER_RELAXED && process->idle_turns < IDLE_TURNS) {
        sleep = false;
        wait_ms = pace_wait_ms(&process->pace, process->ledger->tail.record_count, clock_mono_us());
    }
    if (sleep) {
        /* seq_cst, before the rings are looked at: see ring_bell() in shm/hold.c. */
        atomic_store_explicit(&header->ledger_sleeping, 1, memory_order_seq_cst);
        if (ledger_doorbells(process->ledger))
            wait_ms = 0;
    }
    if (process->dropping || process->filling)
        wait_ms = MIN(wait_ms, DROPPING_MS);
    beat(process, LEDGER_WAITS);
    if (poll(fds, COUNT_OF(fds), wait_ms) < 0)
        ASSERT(errno == EINTR);
    beat(process, LEDGER_WORKS);
    if (sleep)
        atomic_store_explicit(&header->ledger_sleeping, 0, memory_order_relaxed);
    if (fds[0].revents & POLLIN) {
        drain_fd(fds[0].fd);
        process->tables_us = 0; /* the master rings as well, when a worker died */
    }
    if (fds[1].revents != 0)
        words_hear(process);
    if (fds[2].revents & POLLIN)
        hear_signal(process);
}

/* ---- the end ---- */

static bool
workers_live(const struct region_header *header)
{
    for (uint32_t t = 0; t < header->geometry.table_max; t++)
        if (atomic_load_explicit(&header->table[t].state, memory_order_acquire) == TABLE_LIVE)
            return true;
    return false;
}

/* True when there is nothing left to do: what is settled is committed, no slot is in use. */
static int
may_end(struct process *process, bool *end)
{
    struct ledger *ledger = process->ledger;
    uint64_t held, settled;
    int rc;

    *end = false;
    if (!process->ending || workers_live(ledger->region->header))
        return 0;
    ledger->draining = true;
    rc = recount_dead_tables(ledger);
    if (rc == 0)
        rc = ledger_commit_all(ledger);
    if (rc == 0)
        rc = recount_dead_tables(ledger);
    if (rc < 0)
        return rc;
    *end = ledger->todo_accounts.count == 0 && ledger->todo_budgets.count == 0 &&
           ledger_open_slots(ledger, &held, &settled) == 0;
    return 0;
}

static int
end_cleanly(struct process *process)
{
    uint64_t differing = 0;
    int rc = audit_all_accounts(process->ledger, &differing);

    if (rc < 0)
        return rc;
    log_info("ledger.ended", "seq=%llu differing=%llu aside=%u",
             (unsigned long long)process->ledger->tail.seq, (unsigned long long)differing,
             process->ledger->quarantine_count);
    return 0;
}

static bool
may_be_superseded(const struct process *process)
{
    if (!process->leaving)
        return process->master_gone;
    return process->control == NULL || !control_busy(process->control) ||
           clock_mono_us() >= process->leave_us;
}

static int
serve(struct process *process)
{
    struct region_header *header = process->inherit->region->header;

    for (;;) {
        bool busy, end = false;
        int rc = turn(process, &busy);

        if (rc == 0)
            rc = may_end(process, &end);
        if (rc < 0)
            return rc;
        if (end)
            return end_cleanly(process);
        if (may_be_superseded(process) &&
            atomic_load_explicit(&header->ledger_wanted, memory_order_acquire) != 0) {
            log_info("ledger.superseded", "seq=%llu",
                     (unsigned long long)process->ledger->tail.seq);
            return ledger_commit_all(process->ledger);
        }
        pause_between_turns(process, busy);
    }
}

/* ---- the beginning ---- */

/* A predecessor whose master is gone may still be here; it goes when it hears that it should. */
static int
take_place(struct region *region)
{
    int rc = region_lock_ledger(region);

    for (int tries = 0; rc == -EAGAIN && tries < LOCK_TRIES; tries++) {
        atomic_store_explicit(&region->header->ledger_wanted, 1, memory_order_release);
        ledger_host_pause(NULL, 5000);
        rc = region_lock_ledger(region);
    }
    atomic_store_explicit(&region->header->ledger_wanted, 0, memory_order_release);
    return rc;
}

static int
take_signals(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    static const int ignored[] = {SIGPIPE, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT};
    sigset_t set;

    for (size_t i = 0; i < COUNT_OF(ignored); i++)
        sigaction(ignored[i], &ignore, NULL);
    /* Before any thread is made, so that none of them gets the signal instead. */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_SETMASK, &set, NULL) != 0)
        return -errno;

    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

    return fd < 0 ? -errno : fd;
}

static int
open_store(struct process *process)
{
    const struct ledger_inherit *inherit = process->inherit;
    char path[4096];
    struct ledger_open setup = {
        .region = inherit->region,
        .store_path = path,
        .durability = inherit->durability,
        .unresolved = inherit->unresolved,
        .conf = inherit->conf,
        .host = {.wall_us = ledger_host_wall_us,
                 .mono_us = ledger_host_mono_us,
                 .pause = ledger_host_pause,
                 .table_lives = host_table_lives,
                 .wake_worker = host_wake_worker,
                 .arg = process},
    };
    int rc;

    if ((size_t)snprintf(path, sizeof(path), "%s/store", inherit->state_dir) >= sizeof(path))
        return -ENAMETOOLONG;
    rc = ledger_open(&setup, &process->ledger);
    if (rc == 0)
        rc = ledger_keep_prices(process->ledger, inherit->price_version, inherit->prices_json);
    if (rc == 0)
        rc = ledger_keep_names(process->ledger, inherit);
    if (rc == 0)
        rc = ledger_keep_rule(process->ledger);
    if (rc == 0) {
        process->ledger->conf_path = inherit->conf_path;
        process->ledger->endpoint_name = inherit->endpoint_name;
        process->ledger->endpoint_name_count = inherit->endpoint_name_count;
    }
    if (rc == 0)
        process->ledger->listeners = str_from(inherit->listeners_json);
    if (rc == 0 && !buf_add_str(&process->ledger->certificates, str_from(inherit->certificates_json)))
        rc = -ENOMEM;
    if (rc == 0)
        rc = feed_new(&process->ledger->feed);
    if (rc == 0)
        process->ledger->feed_id = rng_u64();
    return rc;
}

/* Threads that read what is committed. */
static int
start_readers(struct process *process)
{
    int rc = access_start(process->ledger, &process->access);

    if (rc == 0 && process->inherit->telemetry_fd > 0)
        rc = pump_start(process->ledger, process->inherit->telemetry_fd, &process->pump);
    if (rc < 0)
        log_error("readers.failed", "why=%s", log_quote(str_from(strerror(-rc))));
    return rc;
}

static void
stop_readers(struct process *process)
{
    feed_stop(process->ledger->feed);
    access_stop(&process->access);
    pump_stop(&process->pump);
}

static void
say_ready(struct process *process)
{
    struct region_header *header = process->inherit->region->header;

    process->believe_locks = process->master_gone;
    look_at_room(process);
    atomic_fetch_add_explicit(&header->ready_seq, 1, memory_order_release);
    if (process->lifeline_fd >= 0 &&
        send(process->lifeline_fd, "R", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_warn("master.deaf", "errno=%d", errno);
}

/*
 * What is settled stays in memory for the next ledger process. Until that one finds room, or the store
 * well again, nothing is admitted that might not be recorded.
 */
static void
store_failed(const struct process *process, int rc, bool starting)
{
    const struct ledger_inherit *inherit = process->inherit;
    const struct ledger *ledger = process->ledger;
    const char *effect = rc == -ENOSPC ? NO_NEW_CALLS : "\"new calls get 503 until it works again\"";
    char path[4096];

    snprintf(path, sizeof(path), "%s/store", inherit->state_dir);
    if (inherit->first && starting)
        effect = "\"the server does not start\"";
    else
        atomic_store_explicit(&inherit->region->header->stop_taking, 1, memory_order_release);
    log_error("store.failed", "path=%s what=%s why=%s free_bytes=%llu effect=%s",
              log_quote(str_from(path)), ledger != NULL ? db_step_text(ledger->db) : "open",
              log_quote(str_from(store_error_text(rc))), (unsigned long long)db_free_bytes(path), effect);
}

static int
run(struct process *process)
{
    const struct ledger_inherit *inherit = process->inherit;
    struct region_header *header = inherit->region->header;
    int rc = take_place(inherit->region);

    if (rc < 0) {
        log_error("ledger.place-taken", "rc=%d", rc);
        return rc;
    }
    atomic_store_explicit(&header->ledger_pid, (uint32_t)getpid(), memory_order_relaxed);
    atomic_store_explicit(&header->ledger_sleeping, 0, memory_order_relaxed);
    beat(process, LEDGER_WORKS); /* nobody knows how much there is to recover */
    rc = open_store(process);
    if (rc < 0) {
        if (rc != -ESTALE) /* memory of another store: it has been said, and is mended */
            store_failed(process, rc, true);
        return rc;
    }
    if (inherit->control_fd >= 0)
        rc = control_start(process->ledger, inherit->control_fd, &process->control);
    if (rc < 0) {
        log_error("control.failed", "why=%s", log_quote(str_from(strerror(-rc))));
        return rc;
    }
    rc = start_readers(process);
    if (rc < 0)
        return rc;
    process->audit_us = clock_mono_us() + AUDIT_US;
    say_ready(process);
    rc = serve(process);
    if (rc < 0)
        store_failed(process, rc, false);
    return rc;
}

static int
exit_of(int rc)
{
    switch (rc) {
    case -ESTALE: return LEDGER_EXIT_FOREIGN;
    case -EPROTO: return LEDGER_EXIT_VERSION;
    case -EILSEQ: return LEDGER_EXIT_DAMAGED;
    case -ENOSPC: return LEDGER_EXIT_FULL;
    case -EACCES:
    case -EPERM:
    case -EROFS: return LEDGER_EXIT_DENIED;
    default: return LEDGER_EXIT_FAILED;
    }
}

int
ledger_main(const struct ledger_inherit *inherit)
{
    struct log_setup log = {
        .process = "ledger",
        .level_max = inherit->log_level_max,
        .json = inherit->log_json,
    };
    struct process process = {
        .inherit = inherit,
        .lifeline_fd = inherit->lifeline_fd,
        .reload = {.path = inherit->conf_path},
        .word_fd = -1,
        .believe_locks = inherit->first,
    };
    int rc;

    log_setup(&log);
    (void)prctl(PR_SET_NAME, "turnpike-ledger");
    process.signal_fd = take_signals();
    if (process.signal_fd < 0)
        return LEDGER_EXIT_FAILED;
    rc = run(&process);
    /* The threads are left as they are: the process ends, and nothing of theirs is ours to save. */
    if (rc < 0)
        return exit_of(rc);
    control_stop(&process.control);
    feed_refused(process.ledger);
    stop_readers(&process);
    feed_free(&process.ledger->feed);
    ledger_close(&process.ledger);
    return LEDGER_EXIT_CLEAN;
}
