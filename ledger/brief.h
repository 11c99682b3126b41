/*
 * What ends by itself: sessions, e-mail codes, tickets, counts of failures to sign in. Each is a
 * document under its kind and a keyed hash, never under the secret itself, and has a time at which it is
 * over. It is gone then, whether its bytes are still there or not; whoever writes clears some away.
 *
 * In the table, beside the documents (kind, hash), is their index by time: 'x', expires as u64, kind,
 * hash -> nothing.
 */
#ifndef LEDGER_BRIEF_H
#define LEDGER_BRIEF_H

#include "ledger/doc.h"

#define BRIEF_CODE 'c'
#define BRIEF_TICKET 't'
#define BRIEF_FAILURES 'f'
#define BRIEF_SESSION 's'
#define BRIEF_WINDOW 'w'
#define BRIEF_BOUND 'b'

struct brief {
    enum db_table table;
    char kind;
    uint8_t hash[HASH_LEN];
    int64_t expires_us; /* 0: there is none yet */
};

/* The hash of a kind's name and up to two texts: where something is kept. */
void brief_name(const uint8_t key[HASH_KEY_LEN], const char *kind, struct str a, struct str b,
                uint8_t out[HASH_LEN]);

/* By table, kind and hash. -ENOENT: there is none, or it is over at now_us. Sets expires_us. */
int brief_get(struct db_txn *txn, struct brief *brief, int64_t now_us,
              struct js_value *doc) MUST_CHECK;
/* Starts its document; the member that brief_put() adds itself is "expires_us". */
int brief_put(struct db_txn *txn, struct brief *brief, int64_t expires_us, struct doc *doc) MUST_CHECK;
int brief_drop(struct db_txn *txn, const struct brief *brief) MUST_CHECK; /* not there: 0 */
/* Drops up to BRIEF_SWEEP of a table that are over; before each, `gone` (or NULL) is told. */
#define BRIEF_SWEEP 16u
/* Those, the longest over first. */
int brief_over(struct db_txn *txn, enum db_table table, int64_t now_us, struct brief over[BRIEF_SWEEP],
               unsigned *count) MUST_CHECK;
int brief_sweep(struct db_txn *txn, enum db_table table, int64_t now_us,
                int (*gone)(struct db_txn *txn, const struct brief *brief, struct js_value doc)) MUST_CHECK;

#endif
