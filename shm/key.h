/*
 * API keys: slots, and the index from a key's hash to its slot. Written by the ledger process only;
 * workers read, and change the rate words and the count of calls in flight.
 *
 * The index is separate from the slots: open addressing over 32-bit slot numbers, replaced as a
 * whole when it fills: the new one is built in another area, published in
 * header.index_current (release; area and size packed), and the old one's area is reused when
 * every live worker has been outside a turn of its loop since. An entry is filled before its
 * number is published with release order. A deleted key leaves a tombstone; its slot is used again
 * only when every worker has passed a turn, and with a higher generation. A hold that still names
 * the slot has the old generation: compare it, in the same turn, before key_leave().
 */
#ifndef SHM_KEY_H
#define SHM_KEY_H

#include <stdatomic.h>

#include "base/base.h"
#include "base/cidr.h"
#include "base/hash.h"
#include "shm/quota.h"
#include "shm/region.h"

enum key_flag {
    KEY_OPEN = 1u,
    KEY_DISABLED = 2u,
    KEY_NO_DEARER = 4u, /* no channel that is dearer than its first */
    KEY_SIBLING = 8u,   /* other models of a family may serve where a routing rule says so */
    KEY_NO_CALLS = 16u, /* its scopes are others: 403 for what goes to a model */
    /* Of its own limits: enum quota_shadow << KEY_SHADOW_SHIFT. */
    KEY_SHADOW_RPM = 32u,
    KEY_SHADOW_TPM = 64u,
    KEY_SHADOW_CONCURRENCY = 128u,
};

#define KEY_SHADOW_SHIFT 5
#define KEY_CHANNELS_MAX 8

struct key_slot {
    /* Who: ledger, before KEY_OPEN is set (release). */
    _Alignas(CACHE_LINE) uint8_t hash[HASH_LEN];
    uint32_t key_id, tenant_id; /* the store's ids */
    /* Likewise; a key may be given to another member or project: ledger, at any time. */
    _Atomic uint32_t member_id, project_id;
    uint32_t account_idx, account_generation;
    _Atomic uint32_t generation;
    _Atomic uint32_t flags;
    /* What it may: ledger; each word by itself, so a worker may see a change half done, which is a
     * mix of two settings that both were meant. */
    _Alignas(CACHE_LINE) _Atomic uint32_t rpm; /* 0: no limit */
    _Atomic uint32_t tpm;
    _Atomic uint32_t concurrency;
    _Atomic uint32_t budget_idx[3];             /* key, member, project; 0 none */
    _Atomic uint32_t extra_idx;                 /* 0: any model, any address */
    _Atomic uint16_t channel[KEY_CHANNELS_MAX]; /* name ids; 0 ends; none: the public ones */
    _Atomic int64_t expires_wall_us;            /* 0: never */
    _Atomic uint32_t quota_idx[2];              /* member, project; 0 none */
    /* Workers. */
    _Alignas(CACHE_LINE) _Atomic uint64_t rpm_tat;
    _Atomic uint64_t tpm_tat;
    _Atomic int32_t inflight; /* a cache: the truth is the hold slots; corrected by the ledger */
    /* Ledger: not 0: this is the secret that a rotation replaced, good until expires_wall_us, of the key
     * in that slot; nothing else here counts. See key_meant(). */
    _Atomic uint32_t old_of;
    /* Ledger: while the slot waits to be used again; see shm/key_write.c. */
    uint32_t retired_next;
    uint64_t retired_need;
};
_Static_assert(sizeof(struct key_slot) == 3 * CACHE_LINE, "layout");

#define KEY_CIDRS_MAX 16
#define KEY_MODELS_BYTES 640
#define KEY_NAME_BYTES 100
#define KEY_DEALS_MAX 16
#define KEY_DEAL_GLOBS_BYTES 344
/* What a tenant pays of a channel's multiplier: the first that is for channel and model counts. */
struct key_deal {
    uint32_t deal_u;  /* in millionths */
    uint16_t channel; /* name id; 0: any */
    uint16_t glob;    /* of models: where in globs */
};
struct key_deals {
    struct key_deal deal[KEY_DEALS_MAX];
    char globs[KEY_DEAL_GLOBS_BYTES]; /* each ended by NUL; "": any model */
};
/* What only some keys have. Immutable: a change makes a new one and swaps extra_idx. */
struct key_extra {
    uint16_t model_count, cidr_count;
    uint16_t deal_count; /* of a tenant's quota only: then deals is what is there, and no addresses or names */
    uint16_t pad;
    char models[KEY_MODELS_BYTES]; /* globs, each ended by NUL */
    /* Of its project, for auto names, in millionths; they count when has_weights is not 0. */
    uint32_t has_weights, latency_u, cost_u, quality_u;
    union {
        struct {
            struct cidr cidr[KEY_CIDRS_MAX];
            /* Its own and its project's name, for routing rules that look at them; NUL-padded, else "". */
            char name[KEY_NAME_BYTES], project[KEY_NAME_BYTES];
        };
        struct key_deals deals;
    };
};
_Static_assert(sizeof(struct key_deals) <= KEY_CIDRS_MAX * sizeof(struct cidr) + 2 * (size_t)KEY_NAME_BYTES,
               "a key's own room");

/* NULL for 0 and for what was never added. */
struct key_slot *key_at(const struct region *region, uint32_t key_idx);
const struct key_extra *key_extra_at(const struct region *region, uint32_t extra_idx);

/* Worker: the slot of a hash, or 0. Compares whole hashes in constant time. */
uint32_t key_find(const struct region *region, const uint8_t hash[HASH_LEN]) MUST_CHECK;
/* For who looks for many, one after the other: calls for the index's line of a hash, and a while later for the slot
 * that is first looked at there. */
void key_foresee_entry(const struct region *region, const uint8_t hash[HASH_LEN]);
void key_foresee_slot(const struct region *region, const uint8_t hash[HASH_LEN]);
/*
 * Worker: the slot that a found one stands for: itself, or where it is that of a secret that was replaced,
 * the key's; 0 when that is over, or the key is gone. Within the turn in which it was found.
 */
uint32_t key_meant(const struct region *region, uint32_t key_idx, int64_t wall_us) MUST_CHECK;
/* Counting calls in flight: false when at the limit (0: none, not counted). */
static inline MUST_CHECK bool
key_enter(struct key_slot *key, uint32_t concurrency)
{
    return inflight_enter(&key->inflight, concurrency);
}

static inline void
key_leave(struct key_slot *key)
{
    inflight_leave(&key->inflight);
}

bool key_model_allowed(const struct key_extra *extra, struct str model); /* NULL allows */
bool key_address_allowed(const struct key_extra *extra, const uint8_t addr[16]);

/* Ledger process. */
struct key_new {
    const uint8_t *hash;
    uint32_t key_id, tenant_id, member_id, project_id, account_idx, account_generation;
};
/* Not yet found by key_find(): set limits, then key_open(). -ENOSPC. */
int key_add(struct region *region, const struct key_new *key, uint32_t *key_idx) MUST_CHECK;
/* -EEXIST; -ENOENT; -EAGAIN when the index is full and a worker has not ended its turn for long. */
int key_open(struct region *region, uint32_t key_idx) MUST_CHECK;   /* puts it into the index */
int key_remove(struct region *region, uint32_t key_idx) MUST_CHECK; /* tombstone */
/* From now on the slot is that of a secret that was replaced, of the key in slot key_idx, until then. 0: it
 * is a key's own again. */
void key_set_old(struct region *region, uint32_t old_idx, uint32_t key_idx, int64_t until_us);
/* There will be so many: makes the index large enough at once. */
void key_expect(struct region *region, uint32_t count);
/* NULL takes the restrictions away. */
int
key_extra_set(struct region *region, uint32_t key_idx, const struct key_extra *extra) MUST_CHECK;
/* The same of a quota: of what it has only the models count. */
int key_extra_set_quota(struct region *region, uint32_t quota_idx,
                        const struct key_extra *extra) MUST_CHECK;
/* Whether an extra could be had now, and the memory for it. -ENOSPC. */
int key_extra_room(struct region *region) MUST_CHECK;
/* Frees areas and slots that were retired, when all workers have passed a turn: call often. */
void key_retire(struct region *region);

#endif
