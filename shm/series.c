#include "shm/series.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define INDEX_SLOTS (2 * SERIES_MAX) /* a power of two; at most half full */

#define MS UINT32_C(1000)
#define S UINT32_C(1000000)
const uint32_t series_bound_us[SERIES_TIME_COUNT][SERIES_BUCKETS] = {
    [SERIES_FIRST_BYTE] = {10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, 1 * S, 2 * S,
                           4 * S, 8 * S, 15 * S, 30 * S, 60 * S, 120 * S},
    [SERIES_TOKEN] = {1 * MS, 2 * MS, 5 * MS, 10 * MS, 15 * MS, 20 * MS, 30 * MS, 50 * MS, 75 * MS,
                      100 * MS, 200 * MS, 500 * MS, 1 * S, 2 * S},
    [SERIES_CALL] = {100 * MS, 250 * MS, 500 * MS, 1 * S, 2500 * MS, 5 * S, 10 * S, 20 * S, 40 * S,
                     60 * S, 120 * S, 300 * S, 600 * S, 1800 * S},
};

/* Which series has which key is found by this process's own table: the region has no pointers and no
 * need of one. */
struct series_writer {
    struct region *region;
    uint16_t index[INDEX_SLOTS]; /* series + 1; 0 free; open addressing */
};

#define SERIES_OFF ((sizeof(struct series_head) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE)

static uint64_t
bytes_of(uint32_t count)
{
    return SERIES_OFF + (uint64_t)count * sizeof(struct series);
}

uint64_t
series_bytes(void)
{
    return bytes_of(SERIES_MAX);
}

struct series_head *
series_head(const struct region *region)
{
    return region_part(region, REGION_SERIES);
}

struct series *
series_at(const struct region *region, uint32_t idx)
{
    ASSERT(idx < SERIES_MAX);
    return (struct series *)(void *)((uint8_t *)region_part(region, REGION_SERIES) + SERIES_OFF) +
           idx;
}

uint32_t
series_count(const struct region *region)
{
    /* Pairs with the release in add(). */
    uint32_t count = atomic_load_explicit(&series_head(region)->count, memory_order_acquire);

    return MIN(count, SERIES_MAX);
}

uint64_t
series_gauge(const struct region *region, enum series_gauge gauge)
{
    return atomic_load_explicit(&series_head(region)->gauge[gauge], memory_order_relaxed);
}

/* ---- the writer ---- */

static uint32_t
slot_of(const struct series_writer *w, const struct series_key *key)
{
    uint32_t slot = (uint32_t)hash_u64(key, sizeof(*key)) % INDEX_SLOTS;

    while (w->index[slot] != 0 &&
           memcmp(&series_at(w->region, w->index[slot] - 1u)->key, key, sizeof(*key)) != 0)
        slot = (slot + 1) % INDEX_SLOTS;
    return slot;
}

static struct series *
add(struct series_writer *w, uint32_t slot, const struct series_key *key)
{
    uint32_t count = series_count(w->region);
    struct series *series;

    if (count == SERIES_MAX ||
        region_ensure(w->region, REGION_SERIES, bytes_of(count + 1)) < 0)
        return NULL;
    series = series_at(w->region, count);
    memset(series, 0, sizeof(*series)); /* one that was being made when its maker died */
    series->key = *key;
    w->index[slot] = (uint16_t)(count + 1);
    /* Release: who sees the count sees the key. */
    atomic_store_explicit(&series_head(w->region)->count, count + 1, memory_order_release);
    return series;
}

/* The series for all others come first, so that there is always room for them. */
static bool
add_others(struct series_writer *w)
{
    for (uint16_t kind = 0; kind < SERIES_KIND_COUNT; kind++) {
        struct series_key key = {.kind = kind};
        uint32_t slot = slot_of(w, &key);

        if (w->index[slot] == 0 && add(w, slot, &key) == NULL)
            return false;
    }
    return true;
}

struct series_writer *
series_writer_new(struct region *region)
{
    struct series_writer *w = calloc(1, sizeof(*w));
    uint64_t ready =
        atomic_load_explicit(&region->header->part_ready[REGION_SERIES], memory_order_acquire);
    uint32_t count = series_count(region);

    if (w == NULL)
        return NULL;
    w->region = region;
    /* Adopted: what is said to be there lies in what is allocated. */
    while (count > 0 && bytes_of(count) > ready)
        count--;
    atomic_store_explicit(&series_head(region)->count, count, memory_order_release);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = slot_of(w, &series_at(region, i)->key);

        if (w->index[slot] == 0)
            w->index[slot] = (uint16_t)(i + 1);
    }
    if (!add_others(w))
        series_writer_free(&w);
    return w;
}

void
series_writer_free(struct series_writer **writer)
{
    free(*writer);
    *writer = NULL;
}

struct series *
series_for(struct series_writer *writer, const struct series_key *key, uint32_t max)
{
    uint32_t slot = slot_of(writer, key);
    struct series *series = NULL;
    struct series_key other = {.kind = key->kind};

    if (writer->index[slot] != 0)
        return series_at(writer->region, writer->index[slot] - 1u);
    if (series_count(writer->region) < MIN(max, SERIES_MAX))
        series = add(writer, slot, key);
    if (series != NULL)
        return series;
    series_add(&series_head(writer->region)->other, 1);
    return series_at(writer->region, writer->index[slot_of(writer, &other)] - 1u);
}

void
series_time(struct series *series, enum series_time time, uint64_t us)
{
    struct series_histogram *h = &series->time[time];
    unsigned b = 0;

    while (b < SERIES_BUCKETS && us > series_bound_us[time][b])
        b++;
    series_add(&h->sum_us, us);
    series_add(&h->bucket[b], 1);
}

void
series_status(struct region *region, unsigned protocol, unsigned status)
{
    if (protocol < SERIES_PROTOCOLS && status >= SERIES_STATUS_FIRST &&
        status < SERIES_STATUS_FIRST + SERIES_STATUS_COUNT)
        series_add(&series_head(region)->status[protocol][status - SERIES_STATUS_FIRST], 1);
}

void
series_gauge_set(struct region *region, enum series_gauge gauge, uint64_t value)
{
    atomic_store_explicit(&series_head(region)->gauge[gauge], value, memory_order_relaxed);
}
