/*
 * What workers learned of upstreams, shared so that one worker's failure spares the others: one
 * line an upstream, found by its name id. Hints, not truth: races may lose an update.
 */
#ifndef SHM_HEALTH_H
#define SHM_HEALTH_H

#include <stdatomic.h>

#include "base/base.h"
#include "shm/region.h"

struct health {
    /* Monotonic: the circuit is open until then; 0 closed. */
    _Alignas(CACHE_LINE) _Atomic uint64_t open_until_ms;
    _Atomic uint32_t failures;      /* in a row */
    _Atomic uint64_t calls, errors; /* since the region was made */
    _Atomic uint32_t latency_us;    /* to first byte, moving average (1/8) */
    _Atomic uint32_t name_id;
    _Atomic uint64_t rpm_tat; /* the provider's own limit */
};

/* The line of an upstream's name id; made when new. NULL when the part is full. */
struct health *health_at(struct region *region, uint16_t name_id);
/* An attempt ended well / failed in a way that speaks against the upstream. After 5 failures in a
 * row the circuit opens for 1 s, doubling to 60 s; one call is let through when that is over. */
void health_ok(struct health *health, uint32_t latency_us);
void health_failed(struct health *health, uint64_t now_ms);
/* False while the circuit is open. For planning: changes nothing. */
bool health_usable(const struct health *health, uint64_t now_ms);
/* Call as an attempt starts: true when the circuit is closed, or when this call is the one that is
 * let through to see whether it may close again. */
bool health_begin(struct health *health, uint64_t now_ms) MUST_CHECK;

#endif
