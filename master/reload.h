/*
 * A reload: routes.conf, its secrets and the certificates are read anew, and a new generation of workers
 * takes the place of the old one, without a connection or a charge being lost.
 *
 *     READ     everything is checked first; any fault, and nothing has happened
 *     LEDGER   the ledger process reads the same text and has its prices in the store, before any
 *              record can name them
 *     WORKERS  new workers start beside the old ones, on the same listening sockets and on hold
 *              tables of their own
 *     HANDOVER when all of them serve, the old ones are told to stop accepting, to finish what they
 *              have, and to go
 *     done     when they have stopped accepting: who connects from then on gets the new configuration
 *
 * If a new worker dies or does not serve in time, those that serve drain and the old ones stay in
 * charge. SIGHUP during a reload asks for one more after it; whoever asks by `turnpike reload` is told
 * to come again. Whatever dies in between, the next start finds nothing half done: old and new workers
 * name prices that are in the store.
 *
 * This is the one place in which the master allocates after its start; a failure there is a reload's
 * failure. What the file said before is freed when the reload is done: the workers that still go by it
 * have the copy that they were forked with.
 */
#ifndef MASTER_RELOAD_H
#define MASTER_RELOAD_H

#include <sys/types.h>

#include "base/base.h"
#include "conf/conf.h"
#include "ledger/ledger.h"
#include "master/options.h"
#include "worker/worker.h"

struct master;

/* One reading of what workers go by. */
struct generation {
    uint32_t number;
    struct conf *conf;
    struct worker_certificate certificates[OPTIONS_CERT_MAX];
};

enum reload_state {
    RELOAD_NONE = 0,
    RELOAD_LEDGER,
    RELOAD_WORKERS,
    RELOAD_HANDOVER,
    RELOAD_STATE_COUNT
};

struct reload {
    enum reload_state state;
    bool wanted;           /* by SIGHUP: to begin as soon as it can */
    bool wait_told;        /* the log says that it cannot yet */
    bool asked;            /* the ledger process waits for an answer */
    bool told;             /* the ledger process knows what to keep */
    uint64_t give_up_us;   /* monotonic */
    pid_t kept_by;         /* the ledger process that has it */
    struct generation next;
    struct conf_faults faults; /* of this reading: warnings, when it goes on */
    char died[48];         /* a new worker did: how; "" none */
};

/* To the ledger process, with a descriptor or -1. False: it was not to be had. */
bool reload_say(struct master *master, enum ledger_word_kind kind, int with_fd);
void reload_hangup(struct master *master); /* SIGHUP */
void reload_ledger_said(struct master *master, const struct ledger_word *word);
void reload_ledger_died(struct master *master);
void reload_worker_died(struct master *master, uint32_t number, const char *how);
/* The server stops: there is no reload any more. */
void reload_stop(struct master *master);
/* Goes on with what is under way. */
void reload_turn(struct master *master);
uint64_t reload_due_us(const struct master *master); /* monotonic; UINT64_MAX: nothing is */

#endif
