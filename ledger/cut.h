/*
 * The cut: what stands in the store for records of calls that were dropped (ledger/retention.h), so that
 * the books can still be told to balance to the micro-credit.
 *
 *     mark    how many were dropped and what they came to; the last dropped block's hash, to which the
 *             first that is left is chained; a hash of the sums below; chained to the mark before
 *     tenant  what the dropped records of that tenant came to
 *     budget  likewise of a budget's window
 *
 * All of them change in the transaction that drops the blocks. The hash of the sums is the exclusive or of a
 * hash of each entry, so that it can follow a few that change without a look at the others.
 */
#ifndef LEDGER_CUT_H
#define LEDGER_CUT_H

#include "ledger/block.h"
#include "ledger/db.h"

struct cut {
    uint64_t number; /* of transactions that dropped something; 0: nothing was ever */
    uint64_t block_count, record_count;
    int64_t charge_ucr;
    uint64_t block_key, block_seq; /* of the last block that was dropped */
    int64_t wall_us;               /* when */
    uint8_t block_hash[HASH_LEN];
    uint8_t sums_hash[HASH_LEN];
    uint8_t prev_hash[HASH_LEN]; /* of the mark before */
    uint8_t hash[HASH_LEN];      /* of all above */
};
_Static_assert(sizeof(struct cut) == 184, "the store's form");

struct cut_tenant {
    int64_t charge_ucr;
    uint64_t record_count;
};
_Static_assert(sizeof(struct cut_tenant) == 16, "the store's form");

/* All zero where nothing was dropped. -EILSEQ: it is not what it must be. */
int cut_load(struct db_txn *txn, struct cut *cut) MUST_CHECK;
/* Its hash is that of what it says. */
bool cut_is_sound(const struct cut *cut);
/* Puts it, as the one after what is there. */
int cut_store(struct db_txn *txn, struct cut *cut) MUST_CHECK;

/* Adds to a sum, in the store and in cut->sums_hash. -EOVERFLOW. */
int cut_add_tenant(struct db_txn *txn, struct cut *cut, uint32_t tenant_id,
                   const struct cut_tenant *more) MUST_CHECK;
int cut_add_budget(struct db_txn *txn, struct cut *cut, uint64_t budget_id, uint16_t window,
                   int64_t charge_ucr) MUST_CHECK;

/* Each sum, and the hash of all of them. A negative errno of the callbacks ends it. */
struct cut_each {
    int (*tenant)(void *arg, uint32_t tenant_id, const struct cut_tenant *sum);
    int (*budget)(void *arg, uint64_t budget_id, uint16_t window, int64_t charge_ucr);
    void *arg;
};
int cut_walk(struct db_txn *txn, const struct cut_each *each,
             uint8_t sums_hash[HASH_LEN]) MUST_CHECK;

#endif
