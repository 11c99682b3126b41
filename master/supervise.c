#include "master/supervise.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ledger/ledger.h"
#include "master/look.h"
#include "master/manager.h"
#include "master/notify.h"
#include "master/reap.h"
#include "master/spawn.h"
#include "shm/stats.h"

#define START_TIMEOUT_MS 60000
/* Calls under way get time-stop or time-reload (routes.conf); then workers end their streams with an
 * error. They know that by themselves, and are killed only when they overstay it by this. */
#define OVERSTAY_US UINT64_C(10000000)

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

static void
tell_to_drain(struct child *old)
{
    old->kill_us = clock_mono_us() + old->reload_ms * UINT64_C(1000) + OVERSTAY_US;
    /* It ends one that has not come to its handler yet, and then has accepted nothing. */
    kill(old->pid, SIGTERM);
}

void
supervise_drain(struct master *m, unsigned place)
{
    struct child *child = &m->worker[place], *old;

    if (child->pid > 0) {
        old = old_place(m);
        *old = *child;
        tell_to_drain(old);
    }
    *child = (struct child){.lifeline_fd = -1};
}

void
supervise_replace(struct master *m)
{
    for (unsigned i = WORKERS_OLD; i < WORKERS_MAX; i++) {
        struct child *child = &m->worker[i];

        if (child->pid > 0 && child->replaced)
            tell_to_drain(child);
        child->replaced = false;
    }
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

    if (m->telemetry.pid > 0 && m->telemetry.kill_us > 0 && now_us >= m->telemetry.kill_us) {
        log_warn("telemetry.overstayed", "pid=%d", (int)m->telemetry.pid);
        kill(m->telemetry.pid, SIGKILL);
        m->telemetry.kill_us = UINT64_MAX;
    }
    manager_kill_overstayed(m);
    for (unsigned i = WORKERS_OLD; i < WORKERS_MAX; i++) {
        struct child *child = &m->worker[i];

        if (child->pid == 0 || child->kill_us == 0 || now_us < child->kill_us)
            continue;
        log_warn("worker.overstayed", "worker=%u pid=%d", child->number + 1, (int)child->pid);
        kill(child->pid, SIGKILL);
        child->kill_us = 0;
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

/* A word, and the descriptor that came with it, or -1. */
static bool
hear_word(int fd, struct ledger_word *word, int *word_fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } room;
    struct iovec part = {word, sizeof *word};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
                             .msg_control = room.bytes, .msg_controllen = sizeof room.bytes};
    bool heard = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == (ssize_t)sizeof *word;
    const struct cmsghdr *with = heard ? CMSG_FIRSTHDR(&message) : NULL;

    *word_fd = -1;
    if (with != NULL && with->cmsg_level == SOL_SOCKET && with->cmsg_type == SCM_RIGHTS &&
        with->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(word_fd, CMSG_DATA(with), sizeof(int));
    return heard;
}

/* The ledger process goes on to talk: of reloads, and of who asks for an upgrade. */
static void
hear_ledger(struct master *m)
{
    struct ledger_word word;
    int word_fd;

    hear(&m->ledger);
    while (m->ledger.state == CHILD_SERVING && m->ledger.lifeline_fd >= 0 &&
           hear_word(m->ledger.lifeline_fd, &word, &word_fd)) {
        if (word.kind == LEDGER_ASKS_UPGRADE)
            upgrade_asked(m, word_fd);
        else
            reload_ledger_said(m, &word);
    }
}

void
supervise_ledger_leaves(struct master *m)
{
    struct ledger_word word = {.kind = LEDGER_LEAVE};

    if (m->ledger.state == CHILD_SERVING && m->ledger.lifeline_fd >= 0)
        (void)send(m->ledger.lifeline_fd, &word, sizeof word, MSG_NOSIGNAL | MSG_DONTWAIT);
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
    atomic_store_explicit(&m->region->header->draining, DRAINING_STOP,
                          memory_order_release);
    reload_stop(m);
    upgrade_stop(m);
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
            upgrade_signalled(m);
    }
    reap_all(m);
}

/* Waits for signals and news from children, at most so long. */
static void
wait_for_news(struct master *m, int timeout_ms)
{
    struct pollfd fds[3 + WORKERS_MAX];
    nfds_t n = 0;

    fds[n++] = (struct pollfd){.fd = m->signal_fd, .events = POLLIN};
    if (m->ledger.state != CHILD_NONE && m->ledger.lifeline_fd >= 0)
        fds[n++] = (struct pollfd){.fd = m->ledger.lifeline_fd, .events = POLLIN};
    if (m->manage.state == CHILD_STARTING)
        fds[n++] = (struct pollfd){.fd = m->manage.lifeline_fd, .events = POLLIN};
    for (unsigned i = 0; i < WORKERS_OLD; i++)
        if (m->worker[i].state == CHILD_STARTING)
            fds[n++] = (struct pollfd){.fd = m->worker[i].lifeline_fd, .events = POLLIN};
    if (poll(fds, n, timeout_ms) < 0 && errno != EINTR)
        log_error("master.poll-failed", "errno=%d", errno);
    for (unsigned i = 0; i < WORKERS_OLD; i++)
        hear(&m->worker[i]);
    hear(&m->telemetry);
    manager_hear(m);
    hear_ledger(m);
    take_signals(m);
}

/* One that was told to leave and stands still, or hangs, has had its time. */
static void
end_ledger_before(struct master *m)
{
    if (m->ledger_before == 0 || m->ledger_before_end_us == 0 ||
        clock_mono_us() < m->ledger_before_end_us)
        return;
    log_warn("ledger.overstayed", "pid=%d", (int)m->ledger_before);
    kill(m->ledger_before, SIGKILL);
    m->ledger_before_end_us = 0;
}

int
supervise_start_ledger(struct master *m)
{
    uint64_t give_up_us = clock_mono_us() + START_TIMEOUT_MS * UINT64_C(1000);

    spawn_ledger(m);
    while (m->ledger.state == CHILD_STARTING && !m->stopping && clock_mono_us() < give_up_us) {
        struct pollfd fds[2] = {{.fd = m->ledger.lifeline_fd, .events = POLLIN},
                                {.fd = m->signal_fd, .events = POLLIN}};
        int status;

        (void)poll(fds, 2, 1000);
        hear(&m->ledger);
        if (m->ledger.state != CHILD_STARTING)
            break;
        if (waitpid(m->ledger.pid, &status, WNOHANG) == m->ledger.pid) {
            reap_forget(&m->ledger);
            return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status)
                                                                 : CLI_FAILED;
        }
        if (fds[1].revents)
            take_signals(m);
        look_at_children(m);
        end_ledger_before(m);
        notify_goes_on("starting; the books are gone over");
    }
    m->ledger_served = m->ledger.state == CHILD_SERVING;
    return m->ledger_served ? 0 : CLI_FAILED;
}

unsigned
supervise_serving(const struct master *m)
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

bool
supervise_died(const struct master *m)
{
    for (unsigned i = 0; i < m->options->worker_count; i++)
        if (m->worker[i].failures > 0)
            return true;
    return false;
}

static bool
starts_workers(const struct master *m)
{
    return !m->stopping && !upgrade_pauses(m);
}

/* Shall there be one, and is none? */
static bool
telemetry_is_due(const struct master *m)
{
    return starts_workers(m) && m->ledger_served && m->telemetry.state == CHILD_NONE &&
           m->now.conf->telemetry.on && m->telemetry_fd[0] >= 0;
}

static void
start_due(struct master *m)
{
    uint64_t now_us = clock_mono_us();

    if (m->ledger.state == CHILD_NONE && now_us >= m->ledger.start_us && !m->ledger_done)
        spawn_ledger(m);
    if (telemetry_is_due(m) && now_us >= m->telemetry.start_us)
        spawn_telemetry(m);
    if (manager_is_due(m) && now_us >= m->manage.start_us)
        spawn_manage(m);
    for (unsigned i = 0; i < m->options->worker_count && starts_workers(m); i++)
        if (m->worker[i].state == CHILD_NONE && now_us >= m->worker[i].start_us)
            spawn_worker(m, i, i, &m->now);
}

int
supervise_start_workers(struct master *m)
{
    uint64_t give_up_us = clock_mono_us() + START_TIMEOUT_MS * UINT64_C(1000);

    while ((supervise_serving(m) < m->options->worker_count || !manager_is_settled(m)) && !m->stopping) {
        if (clock_mono_us() > give_up_us) {
            options_complain("worker processes", "do not start", "see the log above");
            return CLI_FAILED;
        }
        start_due(m);
        wait_for_news(m, 20);
    }
    return 0;
}

/* How long poll() may sleep until something is due. */
static int
next_due_ms(const struct master *m)
{
    uint64_t now_us = clock_mono_us();
    uint64_t due_us = watch_due_us(&m->watch);

    if (m->ledger.state == CHILD_NONE && !m->ledger_done)
        due_us = MIN(due_us, m->ledger.start_us);
    if (telemetry_is_due(m))
        due_us = MIN(due_us, m->telemetry.start_us);
    if (m->telemetry.pid > 0 && m->telemetry.kill_us > 0)
        due_us = MIN(due_us, m->telemetry.kill_us);
    for (unsigned i = 0; i < m->options->worker_count && starts_workers(m); i++)
        if (m->worker[i].state == CHILD_NONE)
            due_us = MIN(due_us, m->worker[i].start_us);
    for (unsigned i = WORKERS_OLD; i < WORKERS_MAX; i++)
        if (m->worker[i].pid > 0 && m->worker[i].kill_us > 0)
            due_us = MIN(due_us, m->worker[i].kill_us);
    due_us = MIN(due_us, MIN(reload_due_us(m), upgrade_due_us(m)));
    due_us = MIN(due_us, manager_due_us(m));
    if (m->ledger_before != 0 && m->ledger_before_end_us != 0)
        due_us = MIN(due_us, m->ledger_before_end_us);
    if (m->stopping && !m->stop_at_once)
        due_us = MIN(due_us, m->stop_us);
    return due_us <= now_us ? 0 : (int)((due_us - now_us) / 1000 + 1);
}

/* Calls under way end, in a stop or before an upgrade; then everything is committed. */
static void
tell_what_is_left(const struct master *m)
{
    const struct region_header *header = m->region->header;
    uint64_t calls = 0;
    char text[96];

    for (uint32_t i = 0; i < header->geometry.table_max; i++) {
        const _Atomic uint64_t *stats = stat_at(m->region, i);

        if (stats != NULL && atomic_load_explicit(&header->table[i].state, memory_order_relaxed) ==
                                 TABLE_LIVE)
            calls += atomic_load_explicit(&stats[STAT_CALLS_OPEN], memory_order_relaxed);
    }
    if (running_count(m) > 0)
        snprintf(text, sizeof text, "%s; %llu calls under way", m->stopping ? "stopping" : "upgrading",
                 (unsigned long long)calls);
    else
        snprintf(text, sizeof text, "%s; what is settled is committed",
                 m->stopping ? "stopping" : "upgrading");
    notify_goes_on(text);
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
            return CLI_FAILED;
        }
        start_due(m); /* it may have died: what is settled must still be committed */
        m->hung_up = true;
        /* One that is still starting would die of it. */
        if (m->ledger.state == CHILD_SERVING)
            kill(m->ledger.pid, SIGTERM);
        wait_for_news(m, 100);
        look_at_children(m); /* of workers there are none: also for the watchdog */
        tell_what_is_left(m);
    }
    return CLI_DONE;
}

/* It sends what it has, in its own time. */
void
supervise_end_telemetry(struct master *m)
{
    m->telemetry.start_us = 0; /* what did not work may now */
    if (m->telemetry.pid <= 0 || m->telemetry.kill_us != 0)
        return;
    kill(m->telemetry.pid, SIGTERM);
    m->telemetry.kill_us = clock_mono_us() + m->telemetry.stop_ms * UINT64_C(1000) + OVERSTAY_US;
}

static void
stop_telemetry(struct master *m)
{
    supervise_end_telemetry(m);
    while (m->telemetry.pid > 0) {
        wait_for_news(m, 100);
        kill_overstayed(m);
        look_at_children(m);
    }
}

/* Before the ledger process: what it was asked may need that. */
static void
stop_manage(struct master *m)
{
    manager_end(m);
    while (!manager_is_gone(m)) {
        wait_for_news(m, 100);
        kill_overstayed(m);
        look_at_children(m);
    }
}

void
supervise_watch(struct master *m)
{
    watch_init(&m->watch, (uint64_t)m->options->hang_s * 1000000);
    m->watch.looked_us = clock_mono_us();
}

void
supervise_step(struct master *m, int timeout_ms)
{
    start_due(m);
    wait_for_news(m, timeout_ms);
    look_at_children(m);
    kill_overstayed(m);
    end_ledger_before(m);
}

int
supervise_finish(struct master *m)
{
    int rc;

    m->upgrade.state = UPGRADE_DRAIN; /* nobody takes their place */
    while (running_count(m) > 0)
        supervise_step(m, 20);
    stop_manage(m);
    rc = stop_ledger(m);
    stop_telemetry(m);
    return rc;
}

int
supervise_run(struct master *m)
{
    int rc;

    if (m->watch.every_us == 0)
        supervise_watch(m);
    while (!m->stopping || running_count(m) > 0) {
        wait_for_news(m, next_due_ms(m));
        if (m->stopping && !m->stop_at_once && clock_mono_us() > m->stop_us) {
            log_warn("stop.drain-ended", "workers=%u", running_count(m));
            stop_at_once(m);
        }
        look_at_children(m);
        if (m->stopping || upgrade_pauses(m))
            tell_what_is_left(m);
        start_due(m);
        kill_overstayed(m);
        end_ledger_before(m);
        reload_turn(m);
        upgrade_turn(m);
    }
    stop_manage(m);
    rc = stop_ledger(m);
    stop_telemetry(m);
    return rc;
}
