/* Random bytes from the kernel. Never fails: aborts when the kernel has none. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include "base/base.h"

void rng_bytes(void *out, size_t len);
uint64_t rng_u64(void);
/*
 * A cheap generator for jitter, sampling and tests (splitmix64): not for secrets. The state is
 * the caller's, so that a seed repeats a run.
 */
uint64_t rng_next(uint64_t *state);

#endif
