#include "manage/manage.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/held.h"
#include "base/str.h"
#include "base/thread.h"
#include "manage/httpd.h"
#include "manage/oidc.h"
#include "manage/outbox.h"
#include "manage/request.h"

#define BEAT_MS 1000u
/* An orphan that hangs has nobody who would kill it: its own alarm does. */
#define HANG_S 600u
#define MEMORY_BYTES_MAX (512u << 20)
#define NICER 19 /* than workers: where cores are few, calls come first */

static struct manage the_manage; /* one a process */
static int sigterm_fd = -1;      /* the signal handler's only word */

/* ---- work beside the loop ---- */

struct work {
    uv_work_t uv;
    struct manage *manage;
    void (*run)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

static void
work_run(uv_work_t *uv)
{
    struct work *work = CONTAINER_OF(uv, struct work, uv);

    work->run(work->arg);
}

static void
work_done(uv_work_t *uv, int status)
{
    struct work *work = CONTAINER_OF(uv, struct work, uv);
    struct manage *m = work->manage;

    (void)status;
    net_awake(&m->net);
    work->done(work->arg);
    free(work);
    m->work_count--;
    manage_maybe_done(m);
}

int
manage_work(struct manage *m, void (*run)(void *arg), void (*done)(void *arg), void *arg)
{
    struct work *work;
    int rc;

    if (m->work_count >= MANAGE_WORK_MAX)
        return -EBUSY;
    work = calloc(1, sizeof *work);
    if (work == NULL)
        return -ENOMEM;
    *work = (struct work){.manage = m, .run = run, .done = done, .arg = arg};
    rc = uv_queue_work(&m->net.loop, &work->uv, work_run, work_done);
    if (rc < 0) {
        free(work);
        return rc;
    }
    m->work_count++;
    return 0;
}

/* ---- the end ---- */

void
manage_maybe_done(struct manage *m)
{
    if (m->draining && httpd_is_empty(m->httpd) && m->work_count == 0)
        net_stop(&m->net);
}

static void
on_overdue(struct wheel_timer *timer)
{
    struct manage *m = CONTAINER_OF(timer, struct manage, due);

    log_warn("manage.drain-over", "requests=%u work=%u", m->httpd->request_count, m->work_count);
    m->cut = true;
    httpd_cut(m->httpd);
    net_stop(&m->net);
}

static void
drain(struct manage *m, const char *why)
{
    if (m->draining)
        return;
    log_info("manage.draining", "why=%s requests=%u", why, m->httpd->request_count);
    m->draining = true;
    wheel_set(&m->net.wheel, &m->due, m->conf->limits.stop_ms, on_overdue);
    httpd_drain(m->httpd);
    manage_maybe_done(m);
}

static void
on_sigterm(int number)
{
    uint64_t one = 1;

    (void)number;
    (void)!write(sigterm_fd, &one, sizeof one);
}

static void
on_signal(struct net_watch *watch)
{
    drain(CONTAINER_OF(watch, struct manage, signal_watch), "told");
}

/* Also when another program takes the master's place: it has a process of its own. */
static void
on_master_gone(struct net_watch *watch)
{
    drain(CONTAINER_OF(watch, struct manage, lifeline_watch), "\"the master has others\"");
}

/* ---- the beginning ---- */

static void
on_beat(struct wheel_timer *timer)
{
    struct manage *m = CONTAINER_OF(timer, struct manage, beat);

    (void)!send(m->inherit->lifeline_fd, "B", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)alarm(HANG_S);
    wheel_set(&m->net.wheel, &m->beat, BEAT_MS, on_beat);
}

/* Providers' keys are nothing to a process that talks to the world. */
static void
wipe_secrets(const struct conf *conf)
{
    for (size_t i = 0; i < conf->upstream_count; i++)
        for (size_t k = 0; k < conf->upstreams[i].credential_count; k++) {
            struct str secret = conf->upstreams[i].credentials[k].secret;

            if (secret.len > 0)
                explicit_bzero((void *)(uintptr_t)secret.ptr, secret.len);
        }
}

static int
take_signals(struct manage *m)
{
    struct sigaction term = {.sa_handler = on_sigterm, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    int rc;

    sigterm_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (sigterm_fd < 0)
        return -errno;
    rc = net_watch_eventfd(&m->net, &m->signal_watch, sigterm_fd, on_signal);
    if (rc == 0)
        rc = net_watch_eof(&m->net, &m->lifeline_watch, m->inherit->lifeline_fd, on_master_gone);
    if (rc == 0 && (sigaction(SIGTERM, &term, NULL) < 0 || sigaction(SIGPIPE, &ignore, NULL) < 0))
        rc = -errno;
    return rc;
}

static int
begin(struct manage *m)
{
    struct net_options options = {.accepted_max = HTTPD_CONNECTIONS_MAX};
    int rc = net_init(&m->net, &options);

    if (rc < 0)
        return rc;
    rc = take_signals(m);
    if (rc < 0)
        return rc;
    rc = manage_begin(m);
    if (rc < 0)
        return rc;
    m->outbox = outbox_new(m);
    m->httpd = httpd_new(m, m->inherit->listen_fd);
    return m->httpd != NULL && m->outbox != NULL ? 0 : -ENOMEM;
}

/* What is cut in the middle stays where it is: the process ends, and its memory with it. */
static void
end(struct manage *m)
{
    if (m->cut)
        return;
    wheel_cancel(&m->net.wheel, &m->beat);
    wheel_cancel(&m->net.wheel, &m->due);
    outbox_end(m->outbox);
    manage_end(m);
    net_unwatch(&m->signal_watch);
    net_unwatch(&m->lifeline_watch);
    net_end(&m->net);
    outbox_free(&m->outbox);
    for (size_t i = 0; i < COUNT_OF(m->oidcs); i++)
        oidc_free(&m->oidcs[i]);
    httpd_free(&m->httpd);
}

int
manage_main(const struct manage_inherit *inherit)
{
    struct manage *m = &the_manage;
    struct log_setup log = {
        .process = "manage", .level_max = inherit->log_level_max, .json = inherit->log_json};
    int rc;

    log_setup(&log);
    (void)prctl(PR_SET_NAME, "turnpike-manage");
    thread_give_way(NICER);
    held_bound(MEMORY_BYTES_MAX);
    m->inherit = inherit;
    m->conf = inherit->conf;
    m->region = inherit->region;
    wipe_secrets(inherit->conf);
    if (mprotect(inherit->region->base, inherit->region->bytes, PROT_READ) != 0)
        log_warn("manage.unprotected", "errno=%d", errno);
    rc = begin(m);
    if (rc < 0) {
        log_error("manage.start-failed", "error=%s", log_quote(str_from(strerror(-rc))));
        return MANAGE_EXIT_FAILED;
    }
    if (send(inherit->lifeline_fd, "R", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_warn("master.deaf", "errno=%d", errno);
    on_beat(&m->beat);
    net_run(&m->net);
    end(m);
    log_info("manage.ended", "cut=%d", m->cut);
    return MANAGE_EXIT_DONE;
}
