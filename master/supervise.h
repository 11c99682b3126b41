/*
 * Starting children, noticing that they died, starting them again.
 *
 * Workers are of a generation: one reading of routes.conf and the certificates. Those in charge are
 * started again when they die; those that a reload starts, and old ones that drain, are not.
 *
 * A dead worker's hold table is marked TABLE_DEAD here, after its reaping and at no other time;
 * the ledger process sweeps the table and marks it TABLE_FREE; only then is it given to a new worker. A
 * restarted worker takes any free table, so it need not wait for the sweep of its own.
 *
 * A child that died is started again at once; a ledger process up to three times, since accounts
 * that one left frozen wait for the next. Those that keep dying are started after 0.1, 0.2, … 10 s; one
 * that lived for 10 s starts over at once. Nothing here allocates; master/reload.c does.
 */
#ifndef MASTER_SUPERVISE_H
#define MASTER_SUPERVISE_H

#include <sys/types.h>

#include "base/base.h"
#include "ledger/ledger.h"
#include "master/options.h"
#include "master/reload.h"
#include "master/watch.h"
#include "shm/layout.h"
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
    uint32_t number;       /* worker: which of the sets of listening sockets, from 0 */
    uint64_t kill_us;      /* worker that drains: overstayed from then on; 0: it was killed */
    uint32_t stop_ms, reload_ms; /* worker: how long it may drain */
};

/* Places of workers: those in charge and those that a reload starts, by number; those that drain,
 * anywhere. Each has a table, so there is always a place to drain in. */
#define WORKERS_NEXT OPTIONS_WORKERS_MAX
#define WORKERS_OLD (2 * OPTIONS_WORKERS_MAX)
#define WORKERS_MAX (WORKERS_OLD + REGION_TABLES_MAX)

struct master {
    const struct options *options;
    struct generation now; /* of the workers in charge */
    uint32_t generation_last; /* given to workers */
    struct reload reload;
    struct region *region;
    const char *control_path;
    int control_fd, signal_fd, ledger_wake_fd;
    int worker_wake_fd[REGION_TABLES_MAX];                     /* by table */
    int listen_fd[OPTIONS_WORKERS_MAX][OPTIONS_LISTEN_MAX];    /* by worker, listener */
    uint8_t ticket_secret[32];
    char listeners_text[1024]; /* for people */
    char listeners_json[2048]; /* for status: an array of strings */
    struct watch watch;
    struct child ledger;
    struct child worker[WORKERS_MAX];
    bool stopping;      /* SIGTERM seen: nothing is started again but the ledger process */
    bool stop_at_once;  /* a second one, or the drain took too long */
    uint64_t stop_us;   /* when the drain is over */
    bool ledger_served; /* one has recovered the books since our start */
    bool hung_up;       /* the ledger process was told to finish */
    bool ledger_done;   /* and did: everything is committed */
    bool ledger_silent; /* it has been said that it stands still */
};

/* So many tables are used at most: of the workers in charge, of three sets that drain, of the dead. */
uint32_t supervise_tables_max(const struct master *master);
uint32_t supervise_tables_free(const struct master *master);
/* The highest generation that the region knows of, of whichever master. */
uint32_t supervise_generation_last(const struct master *master);

/* For a reload. A worker of that generation into an empty place; it may have to wait for a table, or
 * fail to be forked: pid 0 still. */
void supervise_fork(struct master *master, unsigned place, uint32_t number,
                    const struct generation *generation);
/* Moves a worker to where old ones drain, and tells it to. The place is empty afterwards. */
void supervise_drain(struct master *master, unsigned place);
unsigned supervise_draining(const struct master *master);
unsigned supervise_accepting(const struct master *master); /* of them: that have not begun to */

/* Forks the ledger process and waits until it serves. 0; or its exit status, or EXIT_FAILED. */
int supervise_start_ledger(struct master *master) MUST_CHECK;
/* Forks all workers and waits until they serve. 0 or EXIT_FAILED. */
int supervise_start_workers(struct master *master) MUST_CHECK;
/* Until everything has stopped. Returns the exit status of serve. */
int supervise_run(struct master *master) MUST_CHECK;

#endif
