/*
 * worker: the path of a call, from the accepted connection to the settled hold.
 *
 * One process, one loop, no lock, no file or database access, no name look-up on the loop's
 * thread. All that admission needs is in shared memory. It promises: a call that was admitted
 * is settled exactly once, by this process or, when it dies, by the ledger process's sweep; an
 * answer is never spliced from two upstreams; memory is bounded whatever a peer does. It knows
 * nothing of the store, of the console, or of how processes are supervised.
 *
 * This header is what the master needs: what a worker inherits over fork, and its entry.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "base/base.h"
#include "conf/conf.h"
#include "shm/region.h"

enum worker_listener_kind { LISTENER_PLAIN = 0, LISTENER_TLS, LISTENER_METRICS };

struct worker_listener {
    int fd; /* listening, this worker's own of a SO_REUSEPORT set */
    enum worker_listener_kind kind;
};

/* A certificate chain and its key, as PEM text that the master read before it dropped root. */
struct worker_certificate {
    struct str chain_pem, key_pem;
};

enum worker_durability { DURABILITY_RELAXED = 0, DURABILITY_STRICT, DURABILITY_RESERVE };

struct worker_inherit {
    const struct conf *conf;
    struct region *region;
    uint32_t table_idx;
    uint32_t worker_number; /* from 1 */
    uint32_t worker_count;
    const struct worker_listener *listeners;
    unsigned listener_count;
    const struct worker_certificate *certificates;
    unsigned certificate_count;
    uint8_t ticket_secret[32]; /* shared by all workers */
    enum worker_durability durability;
    int wake_fd;        /* own eventfd: the ledger process committed something we wait for */
    int ledger_wake_fd; /* eventfd of the ledger process */
    int lifeline_fd;    /* to the master: we write 'R' when serving; EOF means it is gone */
    const char *control_path; /* of the ledger process's socket, for receipts */
    const char *manage_path;  /* of the manage process's, for what is of the management API */
    bool log_json, log_debug;
};

/* Runs until drained. Returns the process's exit status. */
int worker_main(const struct worker_inherit *inherit);

#endif
