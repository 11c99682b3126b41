/*
 * Where things stand in the memory file: for this room's sources and their tests only.
 *
 *     header | accounts | budgets | quotas | keys | key extras | names | health | idempotency keys |
 *     affinity | series | indexes | tables
 *
 * each part at a multiple of REGION_ALIGN. One table is
 *
 *     counters | doorbell cursors | doorbell entries | hold slots | records | refusals | loads | peers
 *
 * Everything follows from the geometry, so that a found file can be compared with what it must be.
 */
#ifndef SHM_LAYOUT_H
#define SHM_LAYOUT_H

#include "base/base.h"
#include "shm/hold.h"
#include "shm/key.h"
#include "shm/refusal.h"
#include "shm/region.h"

#define REGION_ALIGN 65536u
#define REGION_TABLES_MAX 64
#define TABLE_STATS_BYTES 512 /* room for twice the counters of now */

struct region_layout {
    uint64_t part_off[REGION_PART_COUNT];
    uint64_t part_bytes[REGION_PART_COUNT];
    uint64_t table_bytes;
    uint64_t region_bytes;
};

/* False when the geometry is out of bounds (then out is untouched). */
bool region_layout(const struct region_geometry *geometry, struct region_layout *out) MUST_CHECK;

struct table_parts {
    _Atomic uint64_t *stats;
    struct hold_ring *ring;
    uint32_t *ring_entries;
    struct hold_slot *slots;
    struct record *records;
    struct refusal_ring *refusals;
    _Atomic uint32_t *loads; /* calls under way, by line of health */
    _Atomic uint32_t *peers; /* connections, by place of their addresses (shm/peers.h) */
};

/* False when there is no such table or it was never allocated. */
bool region_table_parts(const struct region *region, uint32_t table_idx,
                        struct table_parts *out) MUST_CHECK;

/* How a key extra is kept: with what its writer needs to use the slot again. */
struct key_extra_slot {
    struct key_extra extra;
    uint32_t retired_next;
    uint64_t retired_need;
};

/*
 * Index areas: for every class c (a table of 2^c slot numbers) from KEY_INDEX_CLASS_MIN to what
 * holds key_max at half load, two areas, so that a table can be built anew at its own size. In
 * order of size: what is allocated is at most four times the table in use.
 */
#define KEY_INDEX_CLASS_MIN 10u
#define KEY_INDEX_CLASS_MAX 28u
uint32_t key_index_class_max(uint32_t key_max);
uint64_t key_index_area_off(uint32_t index_class, uint32_t side);

/* header.index_current: 0 none yet, else class + 1 and side. */
static inline uint64_t
key_index_word(uint32_t index_class, uint32_t side)
{
    return ((uint64_t)index_class + 1) << 1 | side;
}

static inline uint32_t
key_index_class(uint64_t word)
{
    return (uint32_t)(word >> 1) - 1;
}

static inline uint32_t
key_index_side(uint64_t word)
{
    return (uint32_t)(word & 1);
}

/* The table of a word other than 0. */
static inline _Atomic uint32_t *
key_index_at(const struct region *region, uint64_t word)
{
    return (_Atomic uint32_t *)(void *)((uint8_t *)region_part(region, REGION_INDEXES) +
                                        key_index_area_off(key_index_class(word),
                                                           key_index_side(word)));
}

#define KEY_INDEX_EMPTY 0u
#define KEY_INDEX_TOMBSTONE UINT32_MAX

/* Where the probe for a hash begins; the caller masks. Hashes are keyed, so nobody outside can
 * choose keys that meet. */
static inline uint64_t
key_index_start(const uint8_t hash[HASH_LEN])
{
    uint64_t start = 0;

    for (unsigned i = 0; i < sizeof(start); i++)
        start |= (uint64_t)hash[i] << (8 * i);
    return start;
}

/* Between two tries of a compare-and-swap. */
static inline void
cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
