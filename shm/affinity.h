/*
 * Which upstream and credential last served a conversation, so that its next turn goes where the
 * provider has its beginning in a cache. Shared by all workers: a conversation's turns come on any.
 *
 * A table of fixed size: a line of four ways for a hash. Hints, not truth: what two workers write at
 * once may mix, what is crowded out is forgotten, and either costs a cache at a provider, no more.
 * No content: a conversation is a 64-bit hash, of which half is kept.
 */
#ifndef SHM_AFFINITY_H
#define SHM_AFFINITY_H

#include <stdatomic.h>

#include "base/base.h"
#include "shm/region.h"

#define AFFINITY_LINES 16384u /* a power of two; a mebibyte, 65,536 conversations */
#define AFFINITY_WAYS 4u
#define AFFINITY_CONTEXT_UNIT 16u /* tokens */
#define AFFINITY_CONTEXT_MAX (((1u << 24) - 1) * AFFINITY_CONTEXT_UNIT)

struct affinity_line {
    _Alignas(CACHE_LINE) struct {
        _Atomic uint64_t who;   /* half of the hash : 32, expires, in seconds : 32; 0 free */
        _Atomic uint64_t where; /* upstream : 16, model : 16, credential : 8, context : 24 */
    } way[AFFINITY_WAYS];
};
_Static_assert(sizeof(struct affinity_line) == CACHE_LINE, "one look, one line");

struct affinity {
    uint16_t upstream, model; /* name ids */
    uint8_t credential;       /* of the upstream's */
    uint32_t context_tokens;  /* of its last turn: what may be in the cache; in steps of 16 */
};

/* now_s is monotonic, the same clock for all. False when nothing is known, or no longer. */
bool affinity_find(const struct region *region, uint64_t hash, uint32_t now_s,
                   struct affinity *out) MUST_CHECK;
/* From now on for keep_s seconds. The one that would expire first gives way. */
void affinity_keep(const struct region *region, uint64_t hash, uint32_t now_s, uint32_t keep_s,
                   const struct affinity *affinity);

#endif
