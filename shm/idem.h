/*
 * Idempotency keys: which call has the key that a client sent with its request, so that a request
 * which is sent again is not served and charged again.
 *
 * A table of fixed size in sets of IDEM_SET entries, one cache line each; a key has its place in
 * the one set that its hash names. An entry's word (state, owner, sequence) is changed by
 * compare-and-swap alone and has one owner at a time:
 *
 *     FREE    -> CLAIM     a worker      the entry is its; it writes the rest
 *     CLAIM   -> PENDING   the owner     all is written; now it looks whether another has the key
 *     PENDING -> HELD      the owner     nobody has: the key is its call's
 *     PENDING -> FREE      anybody       thrown out by one who claims the same key in an entry
 *                                        before this one; or withdrawn by the owner
 *     HELD    -> SENT      the owner     before the first byte goes to an upstream
 *     HELD    -> FREE      the owner     refused, nothing was sent
 *     SENT    -> FINISHED  the owner     served or charged, or both
 *     SENT    -> FREE      the owner     failed without either: the client may try again
 *
 * Two that claim the same key in different entries at once: each has written PENDING before it
 * looks at the other's (seq_cst), so at least one sees the other. It withdraws if the other holds
 * the key already or comes before it in the set; else it throws the other out, whose step to HELD
 * then fails. So never do two hold one key.
 *
 * The owner is a table and its incarnation: no word of a worker that is gone counts for a living
 * one. A gone worker's CLAIM, PENDING and HELD mean nothing, nothing was sent; its SENT is as good
 * as FINISHED, since the call may have been served and was charged its progress.
 *
 * Nothing here is content: keys and requests are there as keyed hashes only.
 */
#ifndef SHM_IDEM_H
#define SHM_IDEM_H

#include <stdatomic.h>

#include "base/base.h"
#include "shm/call_id.h"
#include "shm/region.h"

#ifndef IDEM_SET
#define IDEM_SET 16u /* entries that a key can be in; a power of two */
#endif
#define IDEM_KEY_LEN_MAX 255u
#define IDEM_KEEP_S 86400u /* a key is known for so long, from its claim */

enum idem_state {
    IDEM_FREE = 0,
    IDEM_CLAIM,
    IDEM_PENDING,
    IDEM_HELD,
    IDEM_SENT,
    IDEM_FINISHED,
    IDEM_STATE_COUNT
};

/* Written by the owner while CLAIM, read by all; release and acquire, so that who reads anything of
 * a new claim sees that the word has changed. Only the word is ever changed later. */
struct idem_entry {
    /* state : 4, table : 6, incarnation : 22, sequence : 32. The sequence counts claims. */
    _Alignas(CACHE_LINE) _Atomic uint64_t word;
    _Atomic uint64_t key[2];     /* keyed hash of tenant and key */
    _Atomic uint64_t request[2]; /* keyed hash of path and body */
    _Atomic uint64_t call_id[2];
    _Atomic uint64_t expires_s; /* monotonic */
};

struct idem_ask {
    uint64_t key[2], request[2]; /* idem_hash() */
    uint8_t call_id[CALL_ID_BYTES];
    uint32_t table_idx; /* the asking worker's own, which is TABLE_LIVE */
    uint64_t now_s;     /* monotonic */
};
/* Fills in the hashes. key has at most IDEM_KEY_LEN_MAX bytes. */
void idem_hash(const struct region *region, uint32_t tenant_id, struct str key, struct str path,
               struct str body, struct idem_ask *ask);

enum idem_result {
    IDEM_TAKEN = 0,     /* the key is this call's */
    IDEM_RUNNING,       /* a call with this key and request is under way */
    IDEM_DONE,          /* there was one, and it is finished */
    IDEM_OTHER_REQUEST, /* the key was used for another request */
    IDEM_FULL,          /* no place among keys of calls that run */
    IDEM_RESULT_COUNT
};
extern const char *const idem_result_name[];

/* What a call holds; entry NULL: nothing. Only its owner's process uses it. */
struct idem_claim {
    struct idem_entry *entry;
    uint64_t word;
};

/*
 * Takes the key. With IDEM_TAKEN *claim is set and must be released or finished once. With
 * RUNNING, DONE and OTHER_REQUEST first_id is the ID of the call that has it. Where the set is
 * full the oldest finished key gives way, never one of a call that runs.
 */
enum idem_result idem_take(const struct region *region, const struct idem_ask *ask,
                           struct idem_claim *claim, uint8_t first_id[CALL_ID_BYTES]) MUST_CHECK;
/* Something is about to be sent to an upstream. May be said again. */
void idem_sent(struct idem_claim *claim);
/* The end; the claim is nothing afterwards. Finished: the key stays taken for its time. */
void idem_finish(struct idem_claim *claim);
void idem_release(struct idem_claim *claim);

#endif
