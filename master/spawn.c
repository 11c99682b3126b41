#include "master/spawn.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "ledger/ledger.h"
#include "manage/manage.h"
#include "master/handover.h"
#include "master/state.h"
#include "master/successor.h"
#include "proto/proto.h"
#include "telemetry/telemetry.h"
#include "worker/worker.h"

#define BACKOFF_FIRST_US UINT64_C(100000)
#define BACKOFF_MAX_US UINT64_C(10000000)
#define PRICES_BYTES_MAX (64u << 20)
#define TABLE_NONE UINT32_MAX

_Static_assert(DURABILITY_RELAXED == (int)LEDGER_RELAXED && DURABILITY_STRICT == (int)LEDGER_STRICT &&
                   DURABILITY_RESERVE == (int)LEDGER_RESERVE,
               "one word for both rooms");

/* ---- in the child ---- */

/* Signals as a child wants them: its own handlers come later, ours go. */
static void
child_signals(void)
{
    sigset_t none;

    successor_crash_forget();

    signal(SIGINT, SIG_IGN); /* the terminal's Ctrl-C is for the master */
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Closes what belongs to the master and to the other children. */
static void
child_close_others(struct master *m, unsigned own_worker)
{
    close_fd(&m->signal_fd);
    close_fd(&m->ledger.lifeline_fd);
    close_fd(&m->upgrade.asker_fd);
    close_fd(&m->handed_fd[0]);
    close_fd(&m->handed_fd[1]);
    close_fd(&m->telemetry.lifeline_fd);
    close_fd(&m->manage.lifeline_fd);
    for (unsigned i = 0; i < MANAGE_OLD_MAX; i++)
        close_fd(&m->manage_old[i].lifeline_fd);
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        if (m->worker[i].pid > 0)
            close_fd(&m->worker[i].lifeline_fd);
    for (unsigned i = 0; i < m->options->worker_count; i++)
        for (unsigned k = 0; k < m->options->listen_count && i != own_worker; k++)
            close_fd(&m->listen_fd[i][k]);
}

static int
child_ledger(struct master *m, int lifeline_fd)
{
    struct ledger_inherit inherit = {
        .state_dir = m->options->state_dir,
        .region = m->region,
        .control_fd = m->control_fd,
        .telemetry_fd = m->telemetry_fd[0],
        .wake_fd = m->ledger_wake_fd,
        .lifeline_fd = lifeline_fd,
        .first = !m->ledger_served,
        .durability = (enum ledger_durability)m->options->durability,
        .unresolved = m->options->unresolved,
        .conf = m->now.conf,
        .conf_path = m->options->conf_path,
        .price_version = m->now.conf->price_version,
        .protocol_name = proto_protocol_name,
        .protocol_name_count = PROTO_PROTOCOL_COUNT,
        .endpoint_name = proto_endpoint_name,
        .endpoint_name_count = ENDPOINT_COUNT,
        .listeners_json = m->listeners_json,
        .certificates_json = m->certificates_json,
        .log_level_max = m->options->log_debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
        .log_json = m->options->log_json,
    };

    struct buf prices; /* to the end of the process */

    memcpy(inherit.worker_wake_fd, m->worker_wake_fd, sizeof inherit.worker_wake_fd);
    child_signals();
    child_close_others(m, UINT32_MAX);
    close_fd(&m->manage_fd);
    buf_init(&prices, PRICES_BYTES_MAX);
    conf_prices_json(m->now.conf, &prices);
    if (prices.failed)
        return LEDGER_EXIT_FAILED;
    inherit.prices_json = buf_str(&prices);
    return ledger_main(&inherit);
}

static int
child_worker(struct master *m, const struct child *child, const struct generation *generation,
             int lifeline_fd)
{
    uint32_t number = child->number;
    struct worker_listener listeners[OPTIONS_LISTEN_MAX];
    const struct options *o = m->options;
    struct worker_inherit inherit = {
        .conf = generation->conf,
        .region = m->region,
        .table_idx = child->table_idx,
        .worker_number = number + 1,
        .worker_count = o->worker_count,
        .listeners = listeners,
        .listener_count = o->listen_count,
        .certificates = generation->certificates,
        .certificate_count = o->cert_count,
        .durability = o->durability,
        .wake_fd = m->worker_wake_fd[child->table_idx],
        .ledger_wake_fd = m->ledger_wake_fd,
        .lifeline_fd = lifeline_fd,
        .control_path = m->control_path,
        .manage_path = m->manage_path,
        .log_json = o->log_json,
        .log_debug = o->log_debug,
    };

    memcpy(inherit.ticket_secret, m->ticket_secret, sizeof inherit.ticket_secret);
    for (unsigned k = 0; k < o->listen_count; k++)
        listeners[k] = (struct worker_listener){m->listen_fd[number][k], o->listen[k].kind};
    child_signals();
    child_close_others(m, number);
    close_fd(&m->control_fd);
    close_fd(&m->manage_fd);
    close_fd(&m->telemetry_fd[0]);
    close_fd(&m->telemetry_fd[1]);
    return worker_main(&inherit);
}

static int
child_telemetry(struct master *m, int lifeline_fd)
{
    struct telemetry_inherit inherit = {
        .conf = m->now.conf,
        .region = m->region,
        .events_fd = m->telemetry_fd[1],
        .lifeline_fd = lifeline_fd,
        .endpoint_name = proto_endpoint_name,
        .endpoint_name_count = ENDPOINT_COUNT,
        .log_level_max = m->options->log_debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
        .log_json = m->options->log_json,
    };

    child_signals();
    child_close_others(m, UINT32_MAX);
    close_fd(&m->control_fd);
    close_fd(&m->manage_fd);
    close_fd(&m->telemetry_fd[0]);
    explicit_bzero(m->ticket_secret, sizeof m->ticket_secret);
    return telemetry_main(&inherit);
}

static int
child_manage(struct master *m, int lifeline_fd)
{
    struct manage_inherit inherit = {
        .conf = m->now.conf,
        .region = m->region,
        .listen_fd = m->manage_fd,
        .lifeline_fd = lifeline_fd,
        .control_path = m->control_path,
        .conf_path = m->options->conf_path,
        .log_level_max = m->options->log_debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
        .log_json = m->options->log_json,
    };

    child_signals();
    child_close_others(m, UINT32_MAX);
    close_fd(&m->control_fd);
    close_fd(&m->telemetry_fd[0]);
    close_fd(&m->telemetry_fd[1]);
    explicit_bzero(m->ticket_secret, sizeof m->ticket_secret);
    state_certificates_free(m->now.certificates);
    return manage_main(&inherit);
}

/* ---- in the master ---- */

/* Forks; in the child *lifeline_fd is its end and 0 is returned, in the parent the pid. */
static pid_t
fork_child(struct child *child, int type, int *lifeline_fd)
{
    int ends[2];
    pid_t pid;

    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return -1;
    pid = fork();
    if (pid < 0) {
        close(ends[0]);
        close(ends[1]);
        return -1;
    }
    if (pid == 0) {
        close(ends[0]);
        *lifeline_fd = ends[1];
        return 0;
    }
    close(ends[1]);
    child->lifeline_fd = ends[0];
    child->pid = pid;
    child->state = CHILD_STARTING;
    child->forked_us = clock_mono_us();
    return pid;
}

unsigned
spawn_later(struct child *child, unsigned at_once)
{
    uint64_t wait_us = 0;

    if (child->failures >= at_once)
        wait_us = MIN(BACKOFF_FIRST_US << MIN(child->failures - at_once, 7u), BACKOFF_MAX_US);
    child->failures++;
    child->start_us = clock_mono_us() + wait_us;
    return (unsigned)(wait_us / 1000);
}

/* Also where nobody reads it: a reload may want somebody to. Without it there is no telemetry. */
static void
make_telemetry_pair(struct master *m)
{
    if (m->telemetry_fd[0] < 0 &&
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, m->telemetry_fd) < 0)
        log_error("telemetry.no-socket", "errno=%d", errno);
}

void
spawn_ledger(struct master *m)
{
    int lifeline_fd = -1;
    pid_t pid;

    make_telemetry_pair(m);
    pid = fork_child(&m->ledger, SOCK_SEQPACKET, &lifeline_fd);
    if (pid == 0) {
        if (m->handed_fd[0] >= 0)
            handover_test_point("child");
        _exit(child_ledger(m, lifeline_fd));
    }
    m->ledger.pulse = (struct pulse){0};
    if (pid < 0) {
        log_error("ledger.fork-failed", "errno=%d", errno);
        (void)spawn_later(&m->ledger, 0);
    }
}

void
spawn_telemetry(struct master *m)
{
    int lifeline_fd = -1;
    pid_t pid;

    m->telemetry.kill_us = 0;
    m->telemetry.stop_ms = m->now.conf->telemetry.timeout_ms;
    pid = fork_child(&m->telemetry, SOCK_STREAM, &lifeline_fd);

    if (pid == 0)
        _exit(child_telemetry(m, lifeline_fd));
    if (pid < 0) {
        log_error("telemetry.fork-failed", "errno=%d", errno);
        (void)spawn_later(&m->telemetry, 0);
    }
}

void
spawn_manage(struct master *m)
{
    int lifeline_fd = -1;
    pid_t pid;

    m->manage.stop_ms = m->now.conf->limits.stop_ms;
    m->manage.pulse = (struct pulse){0};
    pid = fork_child(&m->manage, SOCK_STREAM, &lifeline_fd);
    if (pid == 0)
        _exit(child_manage(m, lifeline_fd));
    if (pid < 0) {
        log_error("manage.fork-failed", "errno=%d", errno);
        (void)spawn_later(&m->manage, 0);
    }
}

uint32_t
spawn_tables_max(const struct master *m)
{
    return MIN(4 * m->options->worker_count + 4, m->region->header->geometry.table_max);
}

static bool
table_is_free(const struct master *m, uint32_t idx)
{
    return atomic_load_explicit(&m->region->header->table[idx].state, memory_order_acquire) ==
               TABLE_FREE &&
           region_table_locked(m->region, idx) == 0;
}

/* A hold table that nobody uses, or TABLE_NONE. */
static uint32_t
free_table(const struct master *m)
{
    for (uint32_t i = 0; i < spawn_tables_max(m); i++)
        if (table_is_free(m, i))
            return i;
    return TABLE_NONE;
}

uint32_t
spawn_tables_free(const struct master *m)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < spawn_tables_max(m); i++)
        count += table_is_free(m, i);
    return count;
}

uint32_t
spawn_generation_last(const struct master *m)
{
    const struct region_header *header = m->region->header;
    uint32_t last = atomic_load_explicit(&header->generation, memory_order_relaxed);

    for (uint32_t i = 0; i < header->geometry.table_max; i++)
        last = MAX(last, atomic_load_explicit(&header->table[i].generation, memory_order_relaxed));
    return last;
}

/* Before the fork: who sees the table LIVE sees whose it is. */
static void
table_give(struct master *m, const struct child *child, uint32_t generation)
{
    struct region_header *header = m->region->header;
    struct region_table *table = &header->table[child->table_idx];

    table->worker_number = child->number + 1;
    /* Its last owner's is not this one's: the worker itself says it too, should we die now. */
    atomic_store_explicit(&table->pid, 0, memory_order_relaxed);
    atomic_store_explicit(&table->draining, 0, memory_order_relaxed);
    atomic_store_explicit(&table->started_wall_us, clock_wall_us(), memory_order_relaxed);
    atomic_store_explicit(&table->generation, generation, memory_order_relaxed);
    atomic_store_explicit(&table->master_seq,
                          atomic_load_explicit(&header->master_seq, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_fetch_add_explicit(&table->incarnation, 1, memory_order_relaxed);
    atomic_store_explicit(&table->state, TABLE_LIVE, memory_order_release);
}

void
spawn_worker(struct master *m, unsigned place, uint32_t number,
               const struct generation *generation)
{
    struct child *child = &m->worker[place];
    uint32_t idx = free_table(m);
    struct region_table *table;
    int lifeline_fd = -1;
    pid_t pid;

    if (idx == TABLE_NONE || region_table_ensure(m->region, idx) < 0 ||
        region_lock_table(m->region, idx) < 0) {
        region_lock_hand_over(m->region);
        child->start_us = clock_mono_us() + BACKOFF_FIRST_US / 4; /* until a sweep frees one */
        return;
    }
    table = &m->region->header->table[idx];
    child->table_idx = idx;
    child->number = number;
    child->kill_us = 0;
    child->stop_ms = generation->conf->limits.stop_ms;
    child->reload_ms = generation->conf->limits.reload_ms;
    child->pulse = (struct pulse){
        .heartbeat_us = atomic_load_explicit(&table->heartbeat_mono_us, memory_order_relaxed)};
    table_give(m, child, generation->number);
    pid = fork_child(child, SOCK_STREAM, &lifeline_fd);
    if (pid == 0)
        _exit(child_worker(m, child, generation, lifeline_fd));
    region_lock_hand_over(m->region);
    if (pid < 0) {
        log_error("worker.fork-failed", "worker=%u errno=%d", number + 1, errno);
        atomic_store_explicit(&table->state, TABLE_FREE, memory_order_release);
        (void)spawn_later(child, 0);
        return;
    }
    atomic_store_explicit(&table->pid, (uint32_t)pid, memory_order_relaxed);
}
