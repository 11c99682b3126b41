/*
 * Starting children, noticing that they died, starting them again.
 *
 * A dead worker's hold table is marked TABLE_DEAD here, after its reaping and at no other time;
 * the ledger process sweeps the table and marks it TABLE_FREE; only then is it given to a new worker. A
 * restarted worker takes any free table, so it need not wait for the sweep of its own.
 *
 * A child that died is started again at once; a ledger process up to three times, since accounts
 * that one left frozen wait for the next. Those that keep dying are started after 0.1, 0.2, … 10 s; one
 * that lived for 10 s starts over at once. Nothing here allocates.
 */
#ifndef MASTER_SUPERVISE_H
#define MASTER_SUPERVISE_H

#include <sys/types.h>

#include "base/base.h"
#include "base/buf.h"
#include "ledger/ledger.h"
#include "master/options.h"
#include "master/watch.h"
#include "worker/worker.h"

enum child_state {
    CHILD_NONE = 0, /* not running; start_us says when to start it */
    CHILD_STARTING, /* forked, has not said that it serves */
    CHILD_SERVING,
    CHILD_STATE_COUNT
};

struct child {
    pid_t pid;
    enum child_state state;
    int lifeline_fd;       /* our end */
    uint32_t table_idx;    /* worker */
    uint64_t forked_us;    /* monotonic */
    uint64_t start_us;     /* not before */
    unsigned failures;     /* in a row */
    struct pulse pulse;
};

struct master {
    const struct options *options;
    const struct conf *conf;
    struct region *region;
    const char *control_path;
    int control_fd, signal_fd, ledger_wake_fd;
    int worker_wake_fd[64];                                    /* by table */
    int listen_fd[OPTIONS_WORKERS_MAX][OPTIONS_LISTEN_MAX];    /* by worker, listener */
    struct worker_certificate certificates[OPTIONS_CERT_MAX];
    uint8_t ticket_secret[32];
    struct buf prices_json;
    char listeners_text[1024]; /* for people */
    char listeners_json[2048]; /* for status: an array of strings */
    struct watch watch;
    struct child ledger;
    struct child worker[OPTIONS_WORKERS_MAX];
    bool stopping;      /* SIGTERM seen: nothing is started again but the ledger process */
    bool stop_at_once;  /* a second one, or the drain took too long */
    uint64_t stop_us;   /* when the drain began */
    bool ledger_served; /* one has recovered the books since our start */
    bool hung_up;       /* the ledger process was told to finish */
    bool ledger_done;   /* and did: everything is committed */
    bool ledger_silent; /* it has been said that it stands still */
};

/* Forks the ledger process and waits until it serves. 0; or its exit status, or EXIT_FAILED. */
int supervise_start_ledger(struct master *master) MUST_CHECK;
/* Forks all workers and waits until they serve. 0 or EXIT_FAILED. */
int supervise_start_workers(struct master *master) MUST_CHECK;
/* Until everything has stopped. Returns the exit status of serve. */
int supervise_run(struct master *master) MUST_CHECK;

#endif
