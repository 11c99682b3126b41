/*
 * Quotas: what a member, project or tenant may use besides what its keys may, each: requests and tokens a
 * minute, calls at a time, channels, models. A key's own are in its slot (shm/key.h); a call needs all of
 * them to allow it. Only who has any such limit has a slot. Slots never move and stay their owner's;
 * index 0 is never used, and 0 in a key or an account is "none".
 *
 * In shadow mode a limit counts and refuses nothing: what it would have refused it does not count, so
 * that it shows what it would do were it in force.
 */
#ifndef SHM_QUOTA_H
#define SHM_QUOTA_H

#include <stdatomic.h>

#include "base/base.h"
#include "shm/region.h"

/* Which of the limits are in shadow mode: bits, of a key too. */
enum quota_shadow {
    QUOTA_SHADOW_RPM = 1u,
    QUOTA_SHADOW_TPM = 2u,
    QUOTA_SHADOW_CONCURRENCY = 4u,
    QUOTA_SHADOW_ALL = 7u,
};

#define QUOTA_CHANNELS_MAX 8

struct quota {
    /* Ledger; each word by itself, as a key's are. */
    _Alignas(CACHE_LINE) _Atomic uint32_t rpm; /* 0: no limit */
    _Atomic uint32_t tpm;
    _Atomic uint32_t concurrency;
    _Atomic uint32_t shadow; /* enum quota_shadow */
    /* Globs of models, as a key's (shm/key.h); 0: any. */
    _Atomic uint32_t extra_idx;
    _Atomic uint16_t channel[QUOTA_CHANNELS_MAX]; /* name ids; 0 ends; none: any */
    /* Before it is named anywhere. */
    uint32_t kind; /* enum budget_kind: whose */
    uint32_t id;   /* the store's, of the member, project or tenant */
    /* Workers. */
    _Alignas(CACHE_LINE) _Atomic uint64_t rpm_tat;
    _Atomic uint64_t tpm_tat;
    _Atomic int32_t inflight; /* a cache: the truth is the hold slots; corrected by the ledger */
};
_Static_assert(sizeof(struct quota) == 2 * CACHE_LINE, "layout");

/* NULL for 0 and for what was never added. */
struct quota *quota_at(const struct region *region, uint32_t quota_idx);

/* Calls at a time, of a key's count or a quota's: false when at the limit (0: none, not counted). */
bool inflight_enter(_Atomic int32_t *inflight, uint32_t concurrency) MUST_CHECK;
void inflight_leave(_Atomic int32_t *inflight);

/* Ledger process. A new slot that limits nothing. -ENOSPC. */
int quota_add(struct region *region, uint32_t kind, uint32_t id, uint32_t *quota_idx) MUST_CHECK;

#endif
