#include "shm/account.h"

#include "shm/layout.h"
#include "shm/shm.h"

#include <errno.h>

struct account *
account_at(const struct region *region, uint32_t account_idx)
{
    /* Pairs with the release in account_add(). */
    if (account_idx == 0 ||
        account_idx > atomic_load_explicit(&region->header->account_count, memory_order_acquire))
        return NULL;
    return (struct account *)region_part(region, REGION_ACCOUNTS) + account_idx;
}

int64_t
account_available_ucr(const struct account *account)
{
    return account_word_ucr(atomic_load_explicit(&account->word, memory_order_acquire));
}

/* The count is stored last: a ledger process that dies before it has added nothing. */
int
account_add(struct region *region, uint32_t tenant_id, uint32_t *account_idx)
{
    struct region_header *header = region->header;
    uint32_t idx = atomic_load_explicit(&header->account_count, memory_order_relaxed) + 1;
    struct account *account;
    int rc;

    if (idx > header->geometry.account_max)
        return -ENOSPC;
    rc = region_ensure(region, REGION_ACCOUNTS, ((uint64_t)idx + 1) * sizeof(struct account));
    if (rc < 0)
        return rc;
    account = (struct account *)region_part(region, REGION_ACCOUNTS) + idx;
    atomic_store_explicit(&account->word, account_word(0, true), memory_order_relaxed);
    atomic_store_explicit(&account->generation, 1, memory_order_relaxed);
    atomic_store_explicit(&account->overdraft_ucr, 0, memory_order_relaxed);
    atomic_store_explicit(&account->budget_idx, 0, memory_order_relaxed);
    atomic_store_explicit(&account->quota_idx, 0, memory_order_relaxed);
    account->tenant_id = tenant_id;
    atomic_store_explicit(&account->flags, ACCOUNT_OPEN, memory_order_release);
    atomic_store_explicit(&header->account_count, idx, memory_order_release);
    *account_idx = idx;
    return 0;
}

bool
account_change(struct account *account, int64_t delta_ucr)
{
    uint64_t word = atomic_load_explicit(&account->word, memory_order_acquire);
    uint64_t next;

    SHM_STEP("account_change: loaded");
    do {
        int64_t sum_ucr;

        /* 63 bits and 64 bits: the sum can pass what 64 hold. */
        if (__builtin_add_overflow(account_word_ucr(word), delta_ucr, &sum_ucr) ||
            sum_ucr > ACCOUNT_UCR_MAX || sum_ucr < -ACCOUNT_UCR_MAX)
            return false;
        next = account_word(sum_ucr, account_word_frozen(word));
        SHM_STEP("account_change: before swap");
        /* Acquire: a worker's hold that we now see in the sum is CLAIM or later when we look at its
         * slot. Release: a worker that takes of this sees what was done before it. */
    } while (!atomic_compare_exchange_weak_explicit(&account->word, &word, next,
                                                    memory_order_acq_rel, memory_order_acquire));
    SHM_STEP("account_change: swapped");
    return true;
}

void
account_freeze(struct account *account)
{
    atomic_fetch_or_explicit(&account->word, 1, memory_order_seq_cst);
    SHM_STEP("account_freeze: frozen");
}

void
account_unfreeze(struct account *account)
{
    atomic_fetch_and_explicit(&account->word, ~UINT64_C(1), memory_order_release);
    SHM_STEP("account_unfreeze: unfrozen");
}

void
account_publish(struct account *account, int64_t available_ucr)
{
    ASSERT(available_ucr <= ACCOUNT_UCR_MAX && available_ucr >= -ACCOUNT_UCR_MAX);
    ASSERT(account_word_frozen(atomic_load_explicit(&account->word, memory_order_relaxed)));
    SHM_STEP("account_publish: before store");
    /* Nobody changes a frozen word but the ledger process, so a plain store loses nothing. */
    atomic_store_explicit(&account->word, account_word(available_ucr, false), memory_order_release);
    SHM_STEP("account_publish: stored");
}
