/*
 * What the master knows: itself, the children that run, and those that shall.
 *
 * One struct, made in master/serve.c, which starting children (master/spawn.h), looking after them
 * (master/supervise.h), reloading (master/reload.h) and upgrading (master/upgrade.h) change. Children have the copy of their fork.
 */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include <sys/types.h>
#include <unistd.h>

#include "base/base.h"
#include "master/options.h"
#include "master/reload.h"
#include "master/upgrade.h"
#include "master/watch.h"
#include "shm/layout.h"

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
    bool replaced; /* worker of before an upgrade: drains when those that take its place serve */
};

/* Places of workers: those in charge and those that a reload starts, by number; those that drain,
 * anywhere. Each has a table, so there is always a place to drain in. */
#define WORKERS_NEXT OPTIONS_WORKERS_MAX
#define WORKERS_OLD (2 * OPTIONS_WORKERS_MAX)
#define WORKERS_MAX (WORKERS_OLD + REGION_TABLES_MAX)

/* Manage processes of earlier configurations that finish what they were asked. */
#define MANAGE_OLD_MAX 4u

#define CERTIFICATES_JSON_MAX 32768

struct master {
    const struct options *options;
    struct generation now; /* of the workers in charge */
    uint32_t generation_last; /* given to workers */
    struct reload reload;
    struct upgrade upgrade;
    struct region *region;
    char region_path[4200]; /* the directory that it is in */
    char control_path[128], manage_path[128];
    int lock_fd;       /* of DIR/master.lock */
    int handed_fd[2];  /* while an upgrade may still be undone: its words, and who wrote them; -1 */
    int control_fd, signal_fd, ledger_wake_fd;
    /* Calls that are over: the ledger process's end, telemetry's. Ours too, so that either may be replaced. */
    int telemetry_fd[2];
    int worker_wake_fd[REGION_TABLES_MAX];                     /* by table */
    int listen_fd[OPTIONS_WORKERS_MAX][OPTIONS_LISTEN_MAX];    /* by worker, listener */
    uint8_t ticket_secret[32];
    char listeners_text[1024]; /* for people */
    char listeners_json[2048]; /* for status: an array of strings */
    char certificates_json[CERTIFICATES_JSON_MAX]; /* likewise: of this generation, master/shown.c */
    struct watch watch;
    struct child ledger;
    pid_t ledger_before;           /* an earlier one that was told to go, until it has; 0 none */
    uint64_t ledger_before_end_us; /* when it is killed; 0 not yet known */
    struct child telemetry; /* only where routes.conf has a collector */
    struct child manage, manage_old[MANAGE_OLD_MAX];
    int manage_fd;          /* where workers ask them: listening */
    uint64_t manage_beats;  /* what the one in charge has said, in bytes */
    bool manage_ended;      /* nobody will ask any more */
    struct child worker[WORKERS_MAX];
    int start_status;   /* exit status that the start has earned already */
    bool stopping;      /* SIGTERM seen: nothing is started again but the ledger process */
    bool stop_at_once;  /* a second one, or the drain took too long */
    uint64_t stop_us;   /* when the drain is over */
    bool ledger_served; /* one has recovered the books since our start */
    bool hung_up;       /* the ledger process was told to finish */
    bool ledger_done;   /* and did: everything is committed */
    bool ledger_silent; /* it has been said that it stands still */
};

/* Closes it, unless it is -1, which it is afterwards. */
static inline void
close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

#endif
