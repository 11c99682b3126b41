#include "master/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "master/notify.h"
#include "master/watch.h"
#include "proto/proto.h"

#define START_TIMEOUT_MS 60000
#define LIVED_LONG_US UINT64_C(10000000)
#define BACKOFF_FIRST_US UINT64_C(100000)
#define BACKOFF_MAX_US UINT64_C(10000000)
/* Quick deaths in a row that are answered by a start at once. One that dies while it counts leaves
 * accounts frozen, whose calls wait for the next. */
#define AT_ONCE_WORKER 1u
#define AT_ONCE_LEDGER 3u
/* Calls under way get time-stop or time-reload (routes.conf); then workers end their streams with an
 * error. They know that by themselves, and are killed only when they overstay it by this. */
#define OVERSTAY_US UINT64_C(10000000)
#define PRICES_BYTES_MAX (64u << 20)
#define TABLE_NONE UINT32_MAX

_Static_assert(DURABILITY_RELAXED == (int)LEDGER_RELAXED && DURABILITY_STRICT == (int)LEDGER_STRICT &&
                   DURABILITY_RESERVE == (int)LEDGER_RESERVE,
               "one word for both rooms");

static void
close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- in the child ---- */

/* Signals as a child wants them: its own handlers come later, ours go. */
static void
child_signals(void)
{
    sigset_t none;

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
        .log_level_max = m->options->log_debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
        .log_json = m->options->log_json,
    };

    struct buf prices; /* to the end of the process */

    memcpy(inherit.worker_wake_fd, m->worker_wake_fd, sizeof inherit.worker_wake_fd);
    child_signals();
    child_close_others(m, UINT32_MAX);
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
        .log_json = o->log_json,
        .log_debug = o->log_debug,
    };

    memcpy(inherit.ticket_secret, m->ticket_secret, sizeof inherit.ticket_secret);
    for (unsigned k = 0; k < o->listen_count; k++)
        listeners[k] = (struct worker_listener){m->listen_fd[number][k], o->listen[k].kind};
    child_signals();
    child_close_others(m, number);
    close_fd(&m->control_fd);
    return worker_main(&inherit);
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

/* It shall be started again, after so many ms. */
static unsigned
start_again(struct child *child, unsigned at_once)
{
    uint64_t wait_us = 0;

    if (child->failures >= at_once)
        wait_us = MIN(BACKOFF_FIRST_US << MIN(child->failures - at_once, 7u), BACKOFF_MAX_US);
    child->failures++;
    child->start_us = clock_mono_us() + wait_us;
    return (unsigned)(wait_us / 1000);
}

static void
fork_ledger(struct master *m)
{
    int lifeline_fd = -1;
    pid_t pid = fork_child(&m->ledger, SOCK_SEQPACKET, &lifeline_fd);

    if (pid == 0)
        _exit(child_ledger(m, lifeline_fd));
    m->ledger.pulse = (struct pulse){0};
    if (pid < 0) {
        log_error("ledger.fork-failed", "errno=%d", errno);
        (void)start_again(&m->ledger, 0);
    }
}

uint32_t
supervise_tables_max(const struct master *m)
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
    for (uint32_t i = 0; i < supervise_tables_max(m); i++)
        if (table_is_free(m, i))
            return i;
    return TABLE_NONE;
}

uint32_t
supervise_tables_free(const struct master *m)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < supervise_tables_max(m); i++)
        count += table_is_free(m, i);
    return count;
}

uint32_t
supervise_generation_last(const struct master *m)
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
supervise_fork(struct master *m, unsigned place, uint32_t number,
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
        (void)start_again(child, 0);
        return;
    }
    atomic_store_explicit(&table->pid, (uint32_t)pid, memory_order_relaxed);
}

/* ---- workers that drain ---- */

static struct child *
old_place(struct master *m)
{
    for (unsigned i = WORKERS_OLD; i < WORKERS_MAX; i++)
        if (m->worker[i].pid == 0)
            return &m->worker[i];
    ASSERT(!"as many places as tables");
    return NULL;
}

void
supervise_drain(struct master *m, unsigned place)
{
    struct child *child = &m->worker[place], *old;

    if (child->pid > 0) {
        old = old_place(m);
        *old = *child;
        old->kill_us = clock_mono_us() + old->reload_ms * UINT64_C(1000) + OVERSTAY_US;
        /* It ends one that has not come to its handler yet, and then has accepted nothing. */
        kill(old->pid, SIGTERM);
    }
    *child = (struct child){.lifeline_fd = -1};
}

unsigned
supervise_draining(const struct master *m)
{
    unsigned n = 0;

    for (unsigned i = WORKERS_OLD; i < WORKERS_MAX; i++)
        n += m->worker[i].pid > 0;
    return n;
}

unsigned
supervise_accepting(const struct master *m)
{
    unsigned n = 0;

    for (unsigned i = WORKERS_OLD; i < WORKERS_MAX; i++) {
        const struct child *child = &m->worker[i];

        /* Acquire: it has stopped before it says so. */
        n += child->pid > 0 &&
             atomic_load_explicit(&m->region->header->table[child->table_idx].draining,
                                  memory_order_acquire) == 0;
    }
    return n;
}

static void
kill_overstayed(struct master *m)
{
    uint64_t now_us = clock_mono_us();

    for (unsigned i = WORKERS_OLD; i < WORKERS_MAX; i++) {
        struct child *child = &m->worker[i];

        if (child->pid == 0 || child->kill_us == 0 || now_us < child->kill_us)
            continue;
        log_warn("worker.overstayed", "worker=%u pid=%d", child->number + 1, (int)child->pid);
        kill(child->pid, SIGKILL);
        child->kill_us = 0;
    }
}

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

static void
child_ended(struct child *child)
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
    child_ended(child);
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
    restart_ms = start_again(child, AT_ONCE_WORKER);
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
    child_ended(&m->ledger);
    reload_ledger_died(m);
    if (clean && m->hung_up) {
        m->ledger_done = true;
        return;
    }
    atomic_fetch_add_explicit(&m->region->header->restarts_ledger, 1, memory_order_relaxed);
    restart_ms = start_again(&m->ledger, AT_ONCE_LEDGER);
    log_error("ledger.died", "%s deaths_in_a_row=%u restart_ms=%u effect=%s", text,
              m->ledger.failures, restart_ms,
              "\"calls go on, but for accounts that it was counting; charges wait for the next\"");
}

static void
reap(struct master *m)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == m->ledger.pid) {
            ledger_reaped(m, status);
            continue;
        }
        for (unsigned i = 0; i < WORKERS_MAX; i++)
            if (pid == m->worker[i].pid) {
                worker_reaped(m, i, status);
                break;
            }
    }
}

/* Takes what a child said: one 'R' when it serves. */
static void
hear(struct child *child)
{
    char c;

    if (child->lifeline_fd >= 0 && child->state == CHILD_STARTING &&
        read(child->lifeline_fd, &c, 1) == 1 && c == LEDGER_READY)
        child->state = CHILD_SERVING;
}

/* The ledger process goes on to talk: of reloads. */
static void
hear_ledger(struct master *m)
{
    struct ledger_word word;

    hear(&m->ledger);
    while (m->ledger.state == CHILD_SERVING && m->ledger.lifeline_fd >= 0 &&
           recv(m->ledger.lifeline_fd, &word, sizeof word, MSG_DONTWAIT) == (ssize_t)sizeof word)
        reload_ledger_said(m, &word);
}

static void
workers_signal(const struct master *m, int signal_number)
{
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        if (m->worker[i].pid > 0)
            kill(m->worker[i].pid, signal_number);
}

/* Whatever still serves a call ends now. What it held is settled by the ledger process. */
static void
stop_at_once(struct master *m)
{
    m->stop_at_once = true;
    workers_signal(m, SIGKILL);
    watch_kill_older(m->region);
}

static void
stop_asked(struct master *m, int signal_number)
{
    uint32_t longest_ms = 0;

    if (m->stopping) {
        log_warn("stop.at-once", "signal=%d", signal_number);
        stop_at_once(m);
        return;
    }
    log_info("stop.draining", "signal=%d", signal_number);
    notify_send("STOPPING=1\nSTATUS=finishing calls under way");
    m->stopping = true;
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        if (m->worker[i].pid > 0)
            longest_ms = MAX(longest_ms, m->worker[i].stop_ms);
    m->stop_us = clock_mono_us() + longest_ms * UINT64_C(1000) + OVERSTAY_US;
    /* Before their signal: it tells them which drain it is. */
    atomic_store_explicit(&m->region->header->draining, 1, memory_order_release);
    reload_stop(m);
    /* Ours too: a listening socket is closed only when nobody holds it. */
    for (unsigned i = 0; i < m->options->worker_count; i++)
        for (unsigned k = 0; k < m->options->listen_count; k++)
            close_fd(&m->listen_fd[i][k]);
    workers_signal(m, SIGTERM);
}

static void
take_signals(struct master *m)
{
    struct signalfd_siginfo info;

    while (read(m->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            stop_asked(m, (int)info.ssi_signo);
        else if (info.ssi_signo == SIGHUP)
            reload_hangup(m);
        else if (info.ssi_signo == SIGUSR2)
            log_warn("signal.not-taken", "signal=%u", info.ssi_signo);
    }
    reap(m);
}

/* Waits for signals and news from children, at most so long. */
static void
wait_for_news(struct master *m, int timeout_ms)
{
    struct pollfd fds[2 + WORKERS_MAX];
    nfds_t n = 0;

    fds[n++] = (struct pollfd){.fd = m->signal_fd, .events = POLLIN};
    if (m->ledger.state != CHILD_NONE && m->ledger.lifeline_fd >= 0)
        fds[n++] = (struct pollfd){.fd = m->ledger.lifeline_fd, .events = POLLIN};
    for (unsigned i = 0; i < WORKERS_OLD; i++)
        if (m->worker[i].state == CHILD_STARTING)
            fds[n++] = (struct pollfd){.fd = m->worker[i].lifeline_fd, .events = POLLIN};
    if (poll(fds, n, timeout_ms) < 0 && errno != EINTR)
        log_error("master.poll-failed", "errno=%d", errno);
    for (unsigned i = 0; i < WORKERS_OLD; i++)
        hear(&m->worker[i]);
    hear_ledger(m);
    take_signals(m);
}

int
supervise_start_ledger(struct master *m)
{
    uint64_t give_up_us = clock_mono_us() + START_TIMEOUT_MS * UINT64_C(1000);

    fork_ledger(m);
    while (m->ledger.state == CHILD_STARTING && !m->stopping && clock_mono_us() < give_up_us) {
        struct pollfd fds[2] = {{.fd = m->ledger.lifeline_fd, .events = POLLIN},
                                {.fd = m->signal_fd, .events = POLLIN}};
        int status;

        (void)poll(fds, 2, 1000);
        hear(&m->ledger);
        if (m->ledger.state != CHILD_STARTING)
            break;
        if (waitpid(m->ledger.pid, &status, WNOHANG) == m->ledger.pid) {
            child_ended(&m->ledger);
            return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status)
                                                                 : EXIT_FAILED;
        }
        if (fds[1].revents)
            take_signals(m);
    }
    m->ledger_served = m->ledger.state == CHILD_SERVING;
    return m->ledger_served ? 0 : EXIT_FAILED;
}

static unsigned
serving_count(const struct master *m)
{
    unsigned n = 0;

    for (unsigned i = 0; i < m->options->worker_count; i++)
        n += m->worker[i].state == CHILD_SERVING;
    return n;
}

static unsigned
running_count(const struct master *m)
{
    unsigned n = 0;

    for (unsigned i = 0; i < WORKERS_MAX; i++)
        n += m->worker[i].pid > 0;
    return n;
}

static void
start_due(struct master *m)
{
    uint64_t now_us = clock_mono_us();

    if (m->ledger.state == CHILD_NONE && now_us >= m->ledger.start_us)
        fork_ledger(m);
    for (unsigned i = 0; i < m->options->worker_count && !m->stopping; i++)
        if (m->worker[i].state == CHILD_NONE && now_us >= m->worker[i].start_us)
            supervise_fork(m, i, i, &m->now);
}

int
supervise_start_workers(struct master *m)
{
    uint64_t give_up_us = clock_mono_us() + START_TIMEOUT_MS * UINT64_C(1000);

    while (serving_count(m) < m->options->worker_count && !m->stopping) {
        if (clock_mono_us() > give_up_us) {
            options_complain("worker processes", "do not start", "see the log above");
            return EXIT_FAILED;
        }
        start_due(m);
        wait_for_news(m, 20);
    }
    return 0;
}

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

/* Whose loop does not turn any more is killed: what follows is a dead child's due. */
static void
look_at_children(struct master *m)
{
    uint64_t step_us;
    bool well;

    if (!watch_begin(&m->watch, clock_mono_us(), &step_us))
        return;
    well = look_at_ledger(m, step_us);
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

/* How long poll() may sleep until something is due. */
static int
next_due_ms(const struct master *m)
{
    uint64_t now_us = clock_mono_us();
    uint64_t due_us = watch_due_us(&m->watch);

    if (m->ledger.state == CHILD_NONE)
        due_us = MIN(due_us, m->ledger.start_us);
    for (unsigned i = 0; i < m->options->worker_count && !m->stopping; i++)
        if (m->worker[i].state == CHILD_NONE)
            due_us = MIN(due_us, m->worker[i].start_us);
    for (unsigned i = WORKERS_OLD; i < WORKERS_MAX; i++)
        if (m->worker[i].pid > 0 && m->worker[i].kill_us > 0)
            due_us = MIN(due_us, m->worker[i].kill_us);
    due_us = MIN(due_us, reload_due_us(m));
    if (m->stopping && !m->stop_at_once)
        due_us = MIN(due_us, m->stop_us);
    return due_us <= now_us ? 0 : (int)((due_us - now_us) / 1000 + 1);
}

/* All workers are gone: SIGTERM tells the ledger process to commit what is left, and to go. */
static int
stop_ledger(struct master *m)
{
    m->ledger.failures = 0;
    while (!m->ledger_done) {
        if (m->ledger.failures > 5) {
            log_error("stop.uncommitted", "hint=%s",
                      "\"the memory file is kept; the next start commits it\"");
            return EXIT_FAILED;
        }
        start_due(m); /* it may have died: what is settled must still be committed */
        m->hung_up = true;
        /* One that is still starting would die of it. */
        if (m->ledger.state == CHILD_SERVING)
            kill(m->ledger.pid, SIGTERM);
        wait_for_news(m, 100);
        look_at_children(m); /* of workers there are none: also for the watchdog */
    }
    return EXIT_OK;
}

int
supervise_run(struct master *m)
{
    watch_init(&m->watch, (uint64_t)m->options->hang_s * 1000000);
    m->watch.looked_us = clock_mono_us();
    while (!m->stopping || running_count(m) > 0) {
        wait_for_news(m, next_due_ms(m));
        if (m->stopping && !m->stop_at_once && clock_mono_us() > m->stop_us) {
            log_warn("stop.drain-ended", "workers=%u", running_count(m));
            stop_at_once(m);
        }
        look_at_children(m);
        start_due(m);
        kill_overstayed(m);
        reload_turn(m);
    }
    return stop_ledger(m);
}
