/*
 * Rate limits: GCRA in one atomic word, the theoretical arrival time in ns of the monotonic clock.
 * Admitted if tat <= now + burst; then tat = max(tat, now) + cost x interval, capped at
 * now + burst + interval. Lives in memory only: an error there expires by itself.
 */
#ifndef SHM_RATE_H
#define SHM_RATE_H

#include <stdatomic.h>

#include "base/base.h"

/* A limit of `count` a minute: the full count at once after a quiet minute, then evenly. */
struct rate {
    uint64_t interval_ns, burst_ns;
};
struct rate rate_per_minute(uint32_t count);

/* True: admitted and counted. False: nothing changed and *retry_ns is how long to wait. */
bool rate_admit(_Atomic uint64_t *tat, struct rate rate, uint64_t cost, uint64_t now_ns,
                uint64_t *retry_ns) MUST_CHECK;
/* Counts what is known only afterwards (tokens of the answer): never refuses. Negative takes back
 * what was estimated too high, not below now. */
void rate_add(_Atomic uint64_t *tat, struct rate rate, int64_t cost, uint64_t now_ns);

#endif
