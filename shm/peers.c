#include "shm/peers.h"

#include "base/hash.h"
#include "shm/layout.h"

#include <string.h>

static _Atomic uint32_t *
counts_of(const struct region *region, uint32_t table_idx)
{
    struct table_parts parts;

    return region_table_parts(region, table_idx, &parts) ? parts.peers : NULL;
}

static _Atomic uint32_t *
count_at(_Atomic uint32_t *counts, unsigned row, struct peer_place place)
{
    return &counts[row * PEERS_PLACES + place.at[row]];
}

struct peer_place
peers_place(const struct region *region, const void *address, size_t len)
{
    struct peer_place place;
    uint8_t hash[HASH_LEN];

    hash_keyed(region->header->key_hash_key, address, len, hash);
    for (unsigned row = 0; row < PEERS_ROWS; row++)
        place.at[row] =
            (uint16_t)((hash[2 * row] | (unsigned)hash[2 * row + 1] << 8) % PEERS_PLACES);
    return place;
}

uint32_t
peers_count(const struct region *region, struct peer_place place)
{
    uint32_t sum[PEERS_ROWS] = {0};

    for (uint32_t i = 0; i < region->header->geometry.table_max; i++) {
        const struct region_table *table = &region->header->table[i];
        _Atomic uint32_t *counts;

        if (atomic_load_explicit(&table->state, memory_order_relaxed) != TABLE_LIVE ||
            (counts = counts_of(region, i)) == NULL)
            continue;
        /* seq_cst: after our own count, as the others' looks are after theirs. */
        for (unsigned row = 0; row < PEERS_ROWS; row++)
            sum[row] += atomic_load_explicit(count_at(counts, row, place), memory_order_seq_cst);
    }
    return MIN(sum[0], sum[1]);
}

/* One writer a table, so a load and a store are enough. */
static void
count_add(struct region *region, uint32_t table_idx, struct peer_place place, uint32_t n)
{
    _Atomic uint32_t *counts = counts_of(region, table_idx);

    ASSERT(counts != NULL);
    for (unsigned row = 0; row < PEERS_ROWS; row++) {
        _Atomic uint32_t *count = count_at(counts, row, place);
        uint32_t now = atomic_load_explicit(count, memory_order_relaxed) + n;

        ASSERT(now != UINT32_MAX);
        /* seq_cst: of two workers that count at a time one at least sees the other's. */
        atomic_store_explicit(count, now, memory_order_seq_cst);
    }
}

bool
peers_enter(struct region *region, uint32_t table_idx, struct peer_place place, uint32_t max)
{
    count_add(region, table_idx, place, 1);
    if (max == 0 || peers_count(region, place) <= max)
        return true;
    count_add(region, table_idx, place, (uint32_t)-1);
    return false;
}

void
peers_leave(struct region *region, uint32_t table_idx, struct peer_place place)
{
    count_add(region, table_idx, place, (uint32_t)-1);
}

void
peers_clear(struct region *region, uint32_t table_idx)
{
    _Atomic uint32_t *counts = counts_of(region, table_idx);

    for (uint32_t i = 0; counts != NULL && i < PEERS_ROWS * PEERS_PLACES; i++)
        atomic_store_explicit(&counts[i], 0, memory_order_relaxed);
}
