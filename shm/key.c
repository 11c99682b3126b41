/*
 * The workers' side of keys: finding, restrictions. The ledger process's
 * side is in shm/key_write.c.
 */
#include "shm/key.h"

#include "base/str.h"
#include "shm/account.h"
#include "shm/layout.h"

#include <string.h>

uint32_t
key_index_class_max(uint32_t key_max)
{
    uint32_t index_class = KEY_INDEX_CLASS_MIN;

    while (index_class < KEY_INDEX_CLASS_MAX && UINT64_C(1) << index_class < 2 * (uint64_t)key_max)
        index_class++;
    return index_class;
}

uint64_t
key_index_area_off(uint32_t index_class, uint32_t side)
{
    uint64_t entries = UINT64_C(1) << index_class;

    /* All smaller areas, two of each class, are before it. */
    return sizeof(uint32_t) *
           (2 * (entries - (UINT64_C(1) << KEY_INDEX_CLASS_MIN)) + side * entries);
}

struct key_slot *
key_at(const struct region *region, uint32_t key_idx)
{
    /* Pairs with the release in key_add(). */
    if (key_idx == 0 ||
        key_idx > atomic_load_explicit(&region->header->key_count, memory_order_acquire))
        return NULL;
    return (struct key_slot *)region_part(region, REGION_KEYS) + key_idx;
}

const struct key_extra *
key_extra_at(const struct region *region, uint32_t extra_idx)
{
    const struct key_extra_slot *slots = region_part(region, REGION_KEY_EXTRAS);

    if (extra_idx == 0 ||
        extra_idx > atomic_load_explicit(&region->header->key_extra_count, memory_order_acquire))
        return NULL;
    return &slots[extra_idx].extra;
}

/* A tombstone is past all counts, so key_at() knows none of it. */
static bool
entry_matches(const struct region *region, uint32_t entry, const uint8_t hash[HASH_LEN])
{
    const struct key_slot *key = key_at(region, entry);

    if (key == NULL)
        return false;
    /* Among millions of keys none of a slot's lines is near: they are called for together. */
    __builtin_prefetch(&key->rpm);
    __builtin_prefetch(&key->rpm_tat, 1);
    if (!(atomic_load_explicit(&key->flags, memory_order_acquire) & KEY_OPEN) ||
        !hash_eq(key->hash, hash))
        return false;
    __builtin_prefetch((const struct account *)region_part(region, REGION_ACCOUNTS) + key->account_idx, 1);
    return true;
}

/*
 * seq_cst, of the index and of its entries: after the store that began this turn
 * (region_turn_begin()). The index and the slot found are good until its end, whatever the ledger
 * process does meanwhile.
 */
uint32_t
key_find(const struct region *region, const uint8_t hash[HASH_LEN])
{
    uint64_t word = atomic_load_explicit(&region->header->index_current, memory_order_seq_cst);
    const _Atomic uint32_t *index;
    uint64_t mask, at;

    if (word == 0)
        return 0;
    index = key_index_at(region, word);
    mask = (UINT64_C(1) << key_index_class(word)) - 1;
    at = key_index_start(hash) & mask;
    /* There always are empty entries. The bound is for an index that was damaged. */
    for (uint64_t i = 0; i <= mask; i++, at = (at + 1) & mask) {
        uint32_t entry = atomic_load_explicit(&index[at], memory_order_seq_cst);

        if (entry == KEY_INDEX_EMPTY)
            return 0;
        if (entry_matches(region, entry, hash))
            return entry;
    }
    return 0;
}

/* NULL when there is no index. */
static const _Atomic uint32_t *
entry_first(const struct region *region, const uint8_t hash[HASH_LEN])
{
    uint64_t word = atomic_load_explicit(&region->header->index_current, memory_order_acquire);
    uint64_t mask = (UINT64_C(1) << key_index_class(word)) - 1;

    return word == 0 ? NULL : &key_index_at(region, word)[key_index_start(hash) & mask];
}

void
key_foresee_entry(const struct region *region, const uint8_t hash[HASH_LEN])
{
    const _Atomic uint32_t *entry = entry_first(region, hash);

    if (entry != NULL)
        __builtin_prefetch((const void *)entry, 1);
}

void
key_foresee_slot(const struct region *region, const uint8_t hash[HASH_LEN])
{
    const _Atomic uint32_t *entry = entry_first(region, hash);
    const struct key_slot *key =
        entry == NULL ? NULL : key_at(region, atomic_load_explicit(entry, memory_order_relaxed));

    if (key != NULL)
        __builtin_prefetch(key->hash);
}

uint32_t
key_meant(const struct region *region, uint32_t key_idx, int64_t wall_us)
{
    const struct key_slot *old = key_at(region, key_idx), *key;
    uint32_t idx;

    if (old == NULL)
        return 0;
    /* Pairs with the release in key_set_old(). */
    idx = atomic_load_explicit(&old->old_of, memory_order_acquire);
    if (idx == 0)
        return key_idx;
    key = key_at(region, idx);
    /* Both stay what they are until this turn ends, but for being closed. */
    if (key == NULL || key->key_id != old->key_id ||
        !(atomic_load_explicit(&old->flags, memory_order_acquire) & KEY_OPEN) ||
        atomic_load_explicit(&key->old_of, memory_order_acquire) != 0 ||
        wall_us >= atomic_load_explicit(&old->expires_wall_us, memory_order_relaxed))
        return 0;
    return idx;
}

/* ---- restrictions ---- */

bool
key_model_allowed(const struct key_extra *extra, struct str model)
{
    size_t at = 0;

    if (extra == NULL || extra->model_count == 0)
        return true;
    for (uint32_t i = 0; i < extra->model_count && at < KEY_MODELS_BYTES; i++) {
        size_t len = strnlen(extra->models + at, KEY_MODELS_BYTES - at);

        if (str_glob((struct str){extra->models + at, len}, model))
            return true;
        at += len + 1;
    }
    return false;
}

bool
key_address_allowed(const struct key_extra *extra, const uint8_t addr[16])
{
    if (extra == NULL || extra->cidr_count == 0)
        return true;
    for (unsigned i = 0; i < MIN(extra->cidr_count, KEY_CIDRS_MAX); i++)
        if (cidr_has(&extra->cidr[i], addr))
            return true;
    return false;
}
