/*
 * A tenant's wallet: one 64-bit word, available credit (63 bits, signed) and a freeze bit (bit 0).
 * Workers take from it by compare-and-swap (shm/hold.c); the ledger process gives back and adds. A
 * word is only ever stored as a whole by a recount (ledger/recount.c), under the freeze bit.
 * Slots never move; index 0 is never used.
 */
#ifndef SHM_ACCOUNT_H
#define SHM_ACCOUNT_H

#include <stdatomic.h>

#include "base/base.h"
#include "shm/region.h"

#define ACCOUNT_UCR_MAX (INT64_MAX / 4) /* more than this on one account is refused */

enum account_flag {
    ACCOUNT_OPEN = 1u,     /* in use */
    ACCOUNT_DISABLED = 2u, /* operator's switch: 403 */
};

struct account {
    _Alignas(CACHE_LINE) _Atomic uint64_t word; /* all: see above */
    _Atomic uint32_t generation;                /* ledger */
    _Atomic uint32_t flags;                     /* ledger */
    _Atomic int64_t overdraft_ucr;              /* ledger; >= 0: how far below zero a hold may go */
    _Atomic uint32_t budget_idx;                /* ledger; the tenant's own budget, 0 none */
    uint32_t tenant_id;                         /* ledger, before ACCOUNT_OPEN */
    _Atomic uint32_t quota_idx;                 /* ledger; the tenant's own quota, 0 none */
};
_Static_assert(sizeof(struct account) == CACHE_LINE, "one account, one line");

static inline uint64_t
account_word(int64_t available_ucr, bool frozen)
{
    return ((uint64_t)available_ucr << 1) | (frozen ? 1u : 0u);
}

static inline int64_t
account_word_ucr(uint64_t word)
{
    return (int64_t)word >> 1;
}

static inline bool
account_word_frozen(uint64_t word)
{
    return word & 1;
}

/* NULL for 0 and for what was never added. */
struct account *account_at(const struct region *region, uint32_t account_idx);
int64_t account_available_ucr(const struct account *account);

/* Ledger process. A new slot, frozen with 0 available until account_publish(). -ENOSPC. */
int account_add(struct region *region, uint32_t tenant_id, uint32_t *account_idx) MUST_CHECK;
/* Adds (or, negative, takes) by compare-and-swap, whatever the sign of the result; keeps the freeze
 * bit. False when it would pass ACCOUNT_UCR_MAX either way. */
bool account_change(struct account *account, int64_t delta_ucr) MUST_CHECK;
/* The freeze bit by read-modify-write (seq_cst: see shm/hold.h). */
void account_freeze(struct account *account);
void account_unfreeze(struct account *account); /* clears the bit, changes nothing else */
/* Stores the value with the bit clear (release): the end of a recount. The word must be frozen. */
void account_publish(struct account *account, int64_t available_ucr);

#endif
