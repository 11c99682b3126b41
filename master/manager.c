#include "master/manager.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "master/master.h"
#include "master/reap.h"
#include "master/spawn.h"
#include "net/unix.h"

#define AT_ONCE 1u                    /* deaths in a row that are answered by a start at once */
#define OVERSTAY_US UINT64_C(5000000) /* it knows by itself when its time is over */
#define END_US UINT64_C(5000000)      /* for the last one, which nobody asks any more */

int
manager_listen(struct master *m)
{
    int n = snprintf(m->manage_path, sizeof m->manage_path, "%s/manage.sock", m->options->state_dir);

    if (n < 0 || n > UNIX_PATH_MAX) {
        m->manage_path[0] = '\0';
        options_complain("manage.sock", strerror(ENAMETOOLONG), "use a shorter state directory (-s)");
        return CLI_FAILED;
    }
    if (m->manage_fd >= 0)
        return 0;
    m->manage_fd = net_listen_unix(m->manage_path);
    if (m->manage_fd >= 0)
        return 0;
    options_complain(m->manage_path, strerror(-m->manage_fd), NULL);
    return m->manage_fd == -EACCES ? CLI_NOT_ALLOWED : CLI_FAILED;
}

/* ---- who serves ---- */

static void
tell_who_serves(struct master *m, pid_t pid)
{
    atomic_store_explicit(&m->region->header->manage_pid, (uint32_t)pid, memory_order_release);
}

/* It is dead: nobody serves, if it did; before it does, or after another did, that is none of its matter. */
static void
serves_no_more(struct master *m, pid_t pid)
{
    if (atomic_load_explicit(&m->region->header->manage_pid, memory_order_relaxed) == (uint32_t)pid)
        tell_who_serves(m, 0);
}

/* The one that begins serves: earlier ones finish what they were asked. */
static void
serves(struct master *m)
{
    m->manage.state = CHILD_SERVING;
    tell_who_serves(m, m->manage.pid);
    for (unsigned i = 0; i < MANAGE_OLD_MAX; i++) {
        struct child *old = &m->manage_old[i];

        if (old->pid <= 0 || !old->replaced)
            continue;
        old->replaced = false;
        old->kill_us = clock_mono_us() + old->stop_ms * UINT64_C(1000) + OVERSTAY_US;
        kill(old->pid, SIGTERM);
    }
}

void
manager_hear(struct master *m)
{
    char said[64];
    ssize_t n;

    while (m->manage.lifeline_fd >= 0 &&
           (n = recv(m->manage.lifeline_fd, said, sizeof said, MSG_DONTWAIT)) > 0) {
        m->manage_beats += (uint64_t)n;
        if (m->manage.state == CHILD_STARTING && said[0] == 'R')
            serves(m);
    }
}

bool
manager_is_due(const struct master *m)
{
    return !m->stopping && !m->manage_ended && m->ledger_served && m->manage.state == CHILD_NONE;
}

bool
manager_is_settled(const struct master *m)
{
    return m->manage.state == CHILD_SERVING || m->manage.failures > 0;
}

uint64_t
manager_due_us(const struct master *m)
{
    uint64_t due_us = manager_is_due(m) ? m->manage.start_us : UINT64_MAX;

    for (unsigned i = 0; i < MANAGE_OLD_MAX; i++)
        if (m->manage_old[i].pid > 0 && m->manage_old[i].kill_us > 0)
            due_us = MIN(due_us, m->manage_old[i].kill_us);
    return due_us;
}

/* ---- its death ---- */

static void
how_it_ended(int status, char *text, size_t cap)
{
    if (WIFSIGNALED(status))
        snprintf(text, cap, "signal=%d", WTERMSIG(status));
    else
        snprintf(text, cap, "status=%d", WEXITSTATUS(status));
}

static void
died(struct master *m, int status)
{
    char text[32];
    unsigned restart_ms;

    how_it_ended(status, text, sizeof text);
    reap_forget(&m->manage);
    if (m->stopping || m->manage_ended)
        return;
    atomic_fetch_add_explicit(&m->region->header->restarts_manage, 1, memory_order_relaxed);
    restart_ms = spawn_later(&m->manage, AT_ONCE);
    log_error("manage.died", "%s deaths_in_a_row=%u restart_ms=%u effect=%s", text,
              m->manage.failures, restart_ms,
              "\"what it was asked has no answer; calls to models go on\"");
}

bool
manager_reaped(struct master *m, pid_t pid, int status)
{
    if (pid == m->manage.pid) {
        serves_no_more(m, pid);
        died(m, status);
        return true;
    }
    for (unsigned i = 0; i < MANAGE_OLD_MAX; i++) {
        struct child *old = &m->manage_old[i];

        if (pid != old->pid)
            continue;
        serves_no_more(m, pid);
        reap_forget(old);
        *old = (struct child){.lifeline_fd = -1};
        return true;
    }
    return false;
}

void
manager_look(struct master *m, uint64_t step_us)
{
    struct child *child = &m->manage;
    enum pulse_state state;

    if (child->pid <= 0)
        return;
    manager_hear(m);
    state = child->state != CHILD_SERVING
                ? pulse_take_work(&m->watch, &child->pulse, m->manage_beats, step_us)
                : pulse_take(&m->watch, &child->pulse, m->manage_beats, step_us);
    if (state != PULSE_HUNG)
        return;
    log_error("manage.hung", "pid=%d silent_ms=%llu effect=%s", (int)child->pid,
              (unsigned long long)(child->pulse.silent_us / 1000),
              "\"it is killed and another started\"");
    kill(child->pid, SIGKILL);
    child->pulse.silent_us = 0;
}

/* ---- its place is another's ---- */

/* A place for one that leaves; when there is none, the one there longest has had its time. */
static struct child *
old_place(struct master *m)
{
    struct child *oldest = &m->manage_old[0];

    for (unsigned i = 0; i < MANAGE_OLD_MAX; i++) {
        if (m->manage_old[i].pid <= 0)
            return &m->manage_old[i];
        if (m->manage_old[i].forked_us < oldest->forked_us)
            oldest = &m->manage_old[i];
    }
    kill(oldest->pid, SIGKILL);
    close_fd(&oldest->lifeline_fd); /* nobody's child is reaped as a stranger is */
    return oldest;
}

void
manager_replace(struct master *m)
{
    if (m->manage.state == CHILD_STARTING) /* it has the earlier configuration, and nobody has asked it anything */
        kill(m->manage.pid, SIGKILL);
    if (m->manage.pid > 0) {
        struct child *old = old_place(m);

        *old = m->manage;
        old->replaced = true; /* until another serves */
    }
    m->manage = (struct child){.lifeline_fd = -1};
}

void
manager_kill_overstayed(struct master *m)
{
    for (unsigned i = 0; i < MANAGE_OLD_MAX; i++) {
        struct child *old = &m->manage_old[i];

        if (old->pid <= 0 || old->kill_us == 0 || clock_mono_us() < old->kill_us)
            continue;
        log_warn("manage.overstayed", "pid=%d", (int)old->pid);
        kill(old->pid, SIGKILL);
        old->kill_us = 0;
    }
}

/* ---- the end ---- */

static void
end_one(struct child *child)
{
    if (child->pid <= 0)
        return;
    kill(child->pid, SIGTERM);
    child->replaced = false;
    child->kill_us = clock_mono_us() + END_US;
}

void
manager_end(struct master *m)
{
    if (m->manage_ended)
        return;
    m->manage_ended = true;
    if (m->manage.pid > 0)
        manager_replace(m);
    for (unsigned i = 0; i < MANAGE_OLD_MAX; i++)
        end_one(&m->manage_old[i]);
}

bool
manager_is_gone(const struct master *m)
{
    for (unsigned i = 0; i < MANAGE_OLD_MAX; i++)
        if (m->manage_old[i].pid > 0)
            return false;
    return m->manage.pid <= 0;
}
