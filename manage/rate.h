/*
 * Rate limits by name, as an address or an account, in memory of a fixed size: GCRA, one word a name. A set of four
 * places is shared by the names that fall there; the one that is longest quiet gives way, so what many names can do at
 * worst is to have a limit forgotten early, which a table of its own for each kind of name keeps apart.
 */
#ifndef MANAGE_RATE_H
#define MANAGE_RATE_H

#include "base/base.h"

#define RATE_PLACES 8192u

struct rate {
    uint64_t interval_us; /* one in so long a time */
    uint64_t burst;       /* so many at once; at least 1 */
    uint64_t key;         /* of the hash: nobody shall choose names that share a place */
    struct rate_place {
        uint64_t hash, tat_us; /* when all that was taken is paid off */
    } places[RATE_PLACES];
};

/* Zeroed memory, once. */
void rate_init(struct rate *rate, uint64_t interval_us, uint64_t burst);
/* True: it may, and is counted. Else *wait_us is how long to wait. */
bool rate_take(struct rate *rate, struct str name, uint64_t now_us, uint64_t *wait_us);
/* The same without counting it. */
bool rate_look(struct rate *rate, struct str name, uint64_t now_us, uint64_t *wait_us);

#endif
