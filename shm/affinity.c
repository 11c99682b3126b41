#include "shm/affinity.h"

#include "shm/layout.h"

static struct affinity_line *
line_of(const struct region *region, uint64_t hash)
{
    struct affinity_line *lines = region_part(region, REGION_AFFINITY);

    return &lines[hash & (AFFINITY_LINES - 1)];
}

static uint32_t
tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

bool
affinity_find(const struct region *region, uint64_t hash, uint32_t now_s, struct affinity *out)
{
    struct affinity_line *line = line_of(region, hash);

    for (unsigned i = 0; i < AFFINITY_WAYS; i++) {
        uint64_t who = atomic_load_explicit(&line->way[i].who, memory_order_acquire), where;

        if (who >> 32 != tag_of(hash) || (uint32_t)who <= now_s)
            continue;
        where = atomic_load_explicit(&line->way[i].where, memory_order_relaxed);
        *out = (struct affinity){
            .upstream = (uint16_t)(where >> 48),
            .model = (uint16_t)(where >> 32),
            .credential = (uint8_t)(where >> 24),
            .context_tokens = (uint32_t)(where & 0xffffffu) * AFFINITY_CONTEXT_UNIT,
        };
        return true;
    }
    return false;
}

/* Its own way, else the one that expires first: a free one has expired before all others. */
static unsigned
way_for(const struct affinity_line *line, uint64_t hash)
{
    uint32_t soonest = UINT32_MAX;
    unsigned best = 0;

    for (unsigned i = 0; i < AFFINITY_WAYS; i++) {
        uint64_t who = atomic_load_explicit(&line->way[i].who, memory_order_relaxed);

        if (who != 0 && who >> 32 == tag_of(hash))
            return i;
        if ((uint32_t)who < soonest) {
            soonest = (uint32_t)who;
            best = i;
        }
    }
    return best;
}

void
affinity_keep(const struct region *region, uint64_t hash, uint32_t now_s, uint32_t keep_s,
              const struct affinity *affinity)
{
    struct affinity_line *line = line_of(region, hash);
    unsigned i = way_for(line, hash);
    uint64_t context = MIN(affinity->context_tokens, AFFINITY_CONTEXT_MAX) / AFFINITY_CONTEXT_UNIT;
    uint64_t expires_s = MIN((uint64_t)now_s + keep_s, UINT32_MAX);

    atomic_store_explicit(&line->way[i].where,
                          (uint64_t)affinity->upstream << 48 | (uint64_t)affinity->model << 32 |
                              (uint64_t)affinity->credential << 24 | context,
                          memory_order_relaxed);
    atomic_store_explicit(&line->way[i].who, (uint64_t)tag_of(hash) << 32 | expires_s,
                          memory_order_release);
}
