#include "shm/quota.h"

#include "shm/layout.h"

#include <errno.h>
#include <string.h>

struct quota *
quota_at(const struct region *region, uint32_t quota_idx)
{
    /* Pairs with the release in quota_add(). */
    if (quota_idx == 0 ||
        quota_idx > atomic_load_explicit(&region->header->quota_count, memory_order_acquire))
        return NULL;
    return (struct quota *)region_part(region, REGION_QUOTAS) + quota_idx;
}

bool
inflight_enter(_Atomic int32_t *inflight, uint32_t concurrency)
{
    int32_t now = atomic_load_explicit(inflight, memory_order_relaxed);

    if (concurrency == 0)
        return true;
    do {
        if (now >= 0 && (uint32_t)now >= concurrency)
            return false;
        /* Below zero only by a mistake somewhere: this call is the first, then. Relaxed: the word
         * stands for nothing but itself. */
    } while (!atomic_compare_exchange_weak_explicit(inflight, &now, MAX(now, 0) + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void
inflight_leave(_Atomic int32_t *inflight)
{
    int32_t now = atomic_load_explicit(inflight, memory_order_relaxed);

    do {
        if (now <= 0)
            return; /* the ledger process has corrected it already */
    } while (!atomic_compare_exchange_weak_explicit(inflight, &now, now - 1, memory_order_relaxed,
                                                    memory_order_relaxed));
}

/* The count is stored last: a ledger process that dies before it has added nothing. */
int
quota_add(struct region *region, uint32_t kind, uint32_t id, uint32_t *quota_idx)
{
    struct region_header *header = region->header;
    uint32_t idx = atomic_load_explicit(&header->quota_count, memory_order_relaxed) + 1;
    struct quota *quota;
    int rc;

    if (idx > header->geometry.quota_max)
        return -ENOSPC;
    rc = region_ensure(region, REGION_QUOTAS, ((uint64_t)idx + 1) * sizeof(struct quota));
    if (rc < 0)
        return rc;
    quota = (struct quota *)region_part(region, REGION_QUOTAS) + idx;
    memset(quota, 0, sizeof(*quota));
    quota->kind = kind;
    quota->id = id;
    atomic_store_explicit(&header->quota_count, idx, memory_order_release);
    *quota_idx = idx;
    return 0;
}
