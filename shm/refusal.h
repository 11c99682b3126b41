/*
 * Calls that were refused before they had a hold, and so leave no record: a ring in each worker's table,
 * for those who watch (access log, tail, telemetry). No money hangs on it, so it may lose some: the worker
 * never looks whether anybody reads, and writes over what is old. Who reads finds out what it missed.
 *
 * An entry is one line. Its stamp says whose turn the rest is of: 0 while it is written, its number from 1
 * when it is whole; a reader believes what it copied only when the stamp was the same before and after.
 */
#ifndef SHM_REFUSAL_H
#define SHM_REFUSAL_H

#include <stdatomic.h>

#include "base/base.h"
#include "shm/region.h"

#define REFUSALS_MAX 1024u /* a power of two */

struct refusal {
    uint8_t call_id[16];
    int64_t wall_us;
    uint32_t tenant_id, key_id; /* 0: the key is none */
    uint32_t took_us;
    uint16_t model;  /* name id; 0 none, or none that we have */
    uint16_t status; /* of HTTP */
    uint8_t endpoint, protocol; /* of proto/; endpoint REFUSAL_NO_ENDPOINT */
    uint8_t pad[14];
};
#define REFUSAL_NO_ENDPOINT 0xffu
#define REFUSAL_WORDS (sizeof(struct refusal) / sizeof(uint64_t))
_Static_assert(sizeof(struct refusal) == CACHE_LINE - sizeof(uint64_t), "a line with its stamp");

struct refusal_entry {
    _Alignas(CACHE_LINE) _Atomic uint64_t stamp; /* worker; release publishes the words */
    _Atomic uint64_t word[REFUSAL_WORDS];        /* worker; a reader copies, and looks again */
};

struct refusal_ring {
    _Alignas(CACHE_LINE) _Atomic uint64_t written_seq; /* worker; release publishes entries */
    _Alignas(CACHE_LINE) _Atomic uint64_t read_seq;    /* ledger: where its successor goes on */
    struct refusal_entry entry[REFUSALS_MAX];
};

/* A table's; NULL when it was never allocated. */
struct refusal_ring *refusal_ring_at(const struct region *region, uint32_t table_idx);

/* The worker's. How many there were before: it rings now and then, so that few are missed. */
uint64_t refusal_put(struct refusal_ring *ring, const struct refusal *refusal);

/*
 * Ledger process only. Takes up to max into out[], and adds those that were written over before to
 * *missed. Returns how many.
 */
unsigned refusal_take(struct refusal_ring *ring, struct refusal *out, unsigned max, uint64_t *missed);
#endif
