/*
 * What this thread's buffers hold in all, and how much they may: so that a process that serves many
 * peers refuses some of them before it runs out of memory. Counted is what grows by what peers send
 * or do not take: buffers, arenas, requests and output that waits. What there is a fixed number of
 * (connections, calls) is not: its own bounds hold that.
 *
 * Input gives way first. What a peer wants to send us is bounded by a part of the whole, large bodies
 * by a smaller one, and the rest is for the answers of what was let in.
 *
 * A thread that never says held_bound() is not bounded. What one thread takes and another gives back is
 * counted wrong in both, which matters to none that is not bounded: a worker's loop shares no buffers.
 */
#ifndef BASE_HELD_H
#define BASE_HELD_H

#include "base/base.h"

/* Above this a body is a large one. */
#define HELD_SMALL_BYTES (64u << 10)

struct held {
    int64_t bytes, bytes_max;
};
extern _Thread_local struct held held_here;

static inline void
held_bound(int64_t bytes_max)
{
    held_here.bytes_max = bytes_max;
}

static inline int64_t
held_bytes(void)
{
    return held_here.bytes;
}

/* Whether so much more may be held. Ask before held_add(). */
static inline bool
held_fits(size_t more)
{
    return held_here.bytes + (int64_t)more <= held_here.bytes_max;
}

/* The same of input that will come to input_bytes: 7/8 of the bound are for it, 3/4 when it is large. */
static inline bool
held_fits_input(size_t more, uint64_t input_bytes)
{
    int64_t kept = held_here.bytes_max / (input_bytes > HELD_SMALL_BYTES ? 4 : 8);

    return held_here.bytes + (int64_t)more <= held_here.bytes_max - kept;
}

static inline void
held_add(size_t bytes)
{
    held_here.bytes += (int64_t)bytes;
}

static inline void
held_sub(size_t bytes)
{
    held_here.bytes -= (int64_t)bytes;
}

#endif
