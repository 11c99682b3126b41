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
/* The same for a cost that is only guessed: *taken_ns is for rate_correct(). */
bool rate_admit_guess(_Atomic uint64_t *tat, struct rate rate, uint64_t cost, uint64_t now_ns,
                      uint64_t *retry_ns, uint64_t *taken_ns) MUST_CHECK;
/*
 * What is known only afterwards (tokens of the answer) in place of what was guessed: never refuses.
 * A guess beyond the limit moved the word by less than it said, so what it really took is given
 * back, and no more: else a huge guess and a small cost would wipe out what others used.
 */
void rate_correct(_Atomic uint64_t *tat, struct rate rate, uint64_t taken_ns, uint64_t cost,
                  uint64_t now_ns);

/* How long until it admits; 0: it does now, or there is no limit. */
uint64_t rate_wait_ns(const _Atomic uint64_t *tat, struct rate rate, uint64_t now_ns);

/* How much of the burst is taken at this moment, in millionths: at 1000000 the next is refused. */
uint32_t rate_used_ppm(const _Atomic uint64_t *tat, struct rate rate, uint64_t now_ns);

#endif
