/*
 * ledger: the one process that opens the store, and the only writer of deposits and totals.
 *
 * It collects settled hold slots and commits them in groups, publishes tenants, keys, budgets and
 * balances into the shared region, carries out the commands that change them (each one a
 * transaction), answers queries on threads of its own, and finds and repairs what a crash left.
 * It promises: what was acknowledged is in the store, synced; a slot is journalled exactly once; any
 * failed commit ends the process with the slots still settled, so that the next one finds them.
 * It knows no HTTP, no providers, no prices (but keeps the tables it is handed), and never content.
 *
 *     ledger/ledger.h   this: the process's entry
 *     ledger/command.h  the request and answer of a command, and running one
 *     ledger/store.h    the same commands where no server runs
 *     ledger/core.h     struct ledger: the library inside, for the room and its tests
 *     ledger/db.h       the store: LMDB, its tables and their fixed records
 *     ledger/block.h    call records packed into chained blocks
 */
#ifndef LEDGER_LEDGER_H
#define LEDGER_LEDGER_H

#include "base/base.h"
#include "base/log.h"
#include "conf/conf.h"
#include "shm/region.h"

#define LEDGER_TABLES_MAX 64

/* What the store is written in (ledger/db.h), and whether this program can open one of another. */
extern const uint32_t ledger_schema;
bool ledger_reads_schema(uint32_t schema);

enum ledger_durability {
    LEDGER_RELAXED = 0, /* a charge is durable at most 50 ms after it was settled */
    LEDGER_STRICT,      /* before the answer's last byte: workers wait for hold_committed() */
    LEDGER_RESERVE,     /* and the hold before dispatch: workers wait for hold_announced() */
    LEDGER_DURABILITY_COUNT
};
extern const char *const ledger_durability_name[LEDGER_DURABILITY_COUNT]; /* "relaxed", … */

/* What becomes of holds that were announced (LEDGER_RESERVE) and whose memory a power cut took. */
enum ledger_unresolved {
    LEDGER_VOID = 0, /* nothing is charged */
    LEDGER_INPUT,    /* what its input costs */
    LEDGER_FULL,     /* the whole hold */
    LEDGER_UNRESOLVED_COUNT
};
extern const char *const ledger_unresolved_name[LEDGER_UNRESOLVED_COUNT];

/*
 * What master and ledger process say to each other over the lifeline, a message each. The first that
 * the ledger process says is the byte LEDGER_READY alone.
 */
enum ledger_word_kind {
    LEDGER_READY = 'R',
    /* By the ledger process. */
    LEDGER_ASKS = 'A',     /* somebody asks for a reload; the master owes a LEDGER_SAID */
    LEDGER_ASKS_UPGRADE = 'U', /* likewise for an upgrade; with it comes the socket to answer at */
    LEDGER_KEPT = 'K',     /* the answers to LEDGER_KEEP, with its generation */
    LEDGER_NOT_KEPT = 'N', /* routes.conf is not as the master read it */
    /* By the master. */
    LEDGER_KEEP = 'P', /* read routes.conf, put its prices into the store, and keep it for later */
    LEDGER_TAKE = 'T', /* what is kept is in force; with it may come a file: certificates_json */
    LEDGER_DROP = 'D', /* and never will be */
    LEDGER_LEAVE = 'L', /* another will want your place: open nothing new, and go when it does */
    LEDGER_UPGRADED = 'V', /* we took a program's place: for the audit log, one JSON object, as with the next */
    LEDGER_SAID = 'S', /* the answer to who asked: one JSON object, in a file that comes with it */
};
struct ledger_word {
    uint32_t kind;
    uint32_t generation; /* of workers */
    uint64_t text_hash, price_version; /* as struct conf has them */
    uint64_t asked; /* of LEDGER_TAKE: 1: who asked for it waits at the control socket; 0: it was a signal */
};

/* All that the ledger process takes over its fork. Strings and arrays must outlive it. */
struct ledger_inherit {
    const char *state_dir; /* the store is in state_dir/store, made when there is none */
    struct region *region; /* mapped; the ledger takes its liveness lock itself */
    int control_fd;        /* listening Unix stream socket, or -1 */
    int telemetry_fd;      /* where calls that are over are told (shm/event.h); 0 none */
    int wake_fd;           /* eventfd that workers ring when header.ledger_sleeping; or -1 */
    int worker_wake_fd[LEDGER_TABLES_MAX]; /* eventfd by table index, -1 none */
    /*
     * Socket to the master, of whole messages where words are exchanged. End of file means that the
     * master is gone. -1: there is no master to watch.
     */
    int lifeline_fd;
    /*
     * The master has forked no worker of its own yet: a table that is TABLE_LIVE with nobody holding
     * its lock is what a crash left, and is swept. False for every later ledger process, which
     * believes only TABLE_DEAD of the master's own workers, and the locks of an earlier master's.
     */
    bool first;
    enum ledger_durability durability;
    enum ledger_unresolved unresolved;
    const struct conf *conf; /* whose channels a new key may name; may be NULL */
    const char *conf_path;   /* where a reload finds the next one; NULL: there is none */
    struct str prices_json; /* kept in the store under price_version; may be STR_NONE */
    uint64_t price_version;
    /* Names for record.protocol and record.endpoint, by number; entries may be NULL. */
    const char *const *protocol_name;
    size_t protocol_name_count;
    const char *const *endpoint_name;
    size_t endpoint_name_count;
    const char *listeners_json; /* a JSON array for `status`; NULL: [] */
    const char *certificates_json; /* likewise; another comes with LEDGER_TAKE */
    enum log_level log_level_max;
    bool log_json;
};

enum ledger_exit {
    LEDGER_EXIT_CLEAN = 0,   /* everything settled is committed, no slot is in use, all audited */
    LEDGER_EXIT_FAILED = 1,  /* restart it, with backoff */
    LEDGER_EXIT_FOREIGN = 3, /* the region is another store's, or newer than the store: remove the
                                memory file, make a new one, start again */
    /* As FAILED, for reasons that people can do something about: */
    LEDGER_EXIT_VERSION = 4, /* the store is of a turnpike with another form of it */
    LEDGER_EXIT_DAMAGED = 5, /* it is damaged, or none */
    LEDGER_EXIT_FULL = 6,    /* its disk is full */
    LEDGER_EXIT_DENIED = 7,  /* it may not be read or written */
};

/*
 * The process: call it in the child and exit with what it returns. Takes over all signals: SIGTERM
 * says that no more workers will come, so that it commits and ends as soon as none is left;
 * others that would end it quietly are ignored. When the master is gone it ends as well once the last
 * worker's lock is dropped, or at once when header.ledger_wanted says that a successor waits.
 */
int ledger_main(const struct ledger_inherit *inherit);

#endif
