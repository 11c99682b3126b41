/*
 * manage: the management API and what belongs to it (sessions, mail, the console), in a process of its own.
 *
 * Workers forward `/`, `/api/…` and the console's paths to it over a Unix socket (worker/front.h), so that one
 * port is enough and no report, password hash or mail server is ever waited for on a loop that serves calls. It
 * never opens the store: it asks the ledger process, over the control socket, which validates again, carries
 * each command out in one transaction and answers after the commit. It promises: whatever becomes of it, calls
 * to models go on; it may be killed at any time, since what it was asked for is done or not done by the ledger
 * process alone. It knows no providers' keys, and of shared memory only what it may read.
 *
 *     manage/manage.h   this: the process's entry, and what its parts share
 *     manage/request.h  a request and its reply, for all above
 *     manage/httpd.h     connections of workers, and HTTP/1.1 on them
 */
#ifndef MANAGE_MANAGE_H
#define MANAGE_MANAGE_H

#include "base/base.h"
#include "base/log.h"
#include "conf/conf.h"
#include "net/net.h"
#include "shm/region.h"

struct api;
struct httpd;
struct oidc;
struct outbox;

struct manage_inherit {
    /* Ours to free: the providers' secrets in it are wiped first of all. */
    struct conf *conf;
    const struct region *region; /* made read-only */
    int listen_fd;               /* where workers ask; the master keeps it for our successor */
    int lifeline_fd;             /* to the master: R when we serve, then B once a second; its end is ours */
    const char *control_path;    /* of the ledger process's socket */
    const char *conf_path;       /* routes.conf's, as given */
    enum log_level log_level_max;
    bool log_json;
};

enum manage_exit {
    MANAGE_EXIT_DONE = 0,
    MANAGE_EXIT_FAILED = 1,
};

/* The process. Made by manage_main(), one a process. */
struct manage {
    const struct manage_inherit *inherit;
    struct net net;
    const struct conf *conf;
    const struct region *region;
    struct httpd *httpd;
    struct outbox *outbox;
    struct oidc *oidcs[CONF_OIDC_COUNT_MAX]; /* as routes.conf has them, once they were asked for: ops_oidc.c */
    struct api *api;     /* manage_handle()'s own: made by manage_begin(), ended by manage_end() */
    unsigned work_count; /* manage_work(): that waits, runs, or is not done; and the outbox's */
    bool draining;       /* what is under way is finished, nothing new begins */
    bool cut;            /* it has had its time */
    struct wheel_timer beat, due;
    struct net_watch signal_watch, lifeline_watch;
};

/*
 * The process: call it in the child and exit with what it returns. SIGTERM, or the master's end: requests that
 * came are answered, for as long as `time-stop` says, and it ends.
 */
int manage_main(const struct manage_inherit *inherit);

/*
 * Work beside the loop: run(arg) on another thread, where it may take its time and touches nothing of the
 * loop's; then done(arg) on the loop. At most MANAGE_WORK_MAX wait or run. 0; -EBUSY: too much is under way,
 * answer 503; or a negative errno. When the process ends, done() still comes for all that was begun.
 */
#define MANAGE_WORK_MAX 64u
int MUST_CHECK manage_work(struct manage *manage, void (*run)(void *arg), void (*done)(void *arg), void *arg);

/* Something is over: ends the loop when it drains and nothing is left. */
void manage_maybe_done(struct manage *manage);

#endif
