/*
 * The arena of one call: memory that is freed all at once, and things that are not memory
 * (a hold, a connection, a span) hung on it as cleanups, run in reverse order.
 *
 * Starts empty and small: the first chunk is 2 KiB, later ones double up to 64 KiB; larger
 * wishes get a chunk of their own. Bounded by the limit given to arena_init().
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/base.h"

struct arena_chunk;
struct arena_cleanup;

struct arena {
    struct arena_chunk *chunks;
    struct arena_cleanup *cleanups;
    size_t used_bytes; /* allocated from the system in all */
    size_t limit_bytes;
};

typedef void (*arena_cleanup_fn)(void *arg);

void arena_init(struct arena *arena, size_t limit_bytes); /* allocates nothing */
/* Aligned for any type, not zeroed. NULL when past the limit or out of memory. */
void *arena_alloc(struct arena *arena, size_t len) MUST_CHECK;
void *arena_zalloc(struct arena *arena, size_t len) MUST_CHECK;
/* A NUL-terminated copy. NULL as arena_alloc. */
char *arena_copy(struct arena *arena, struct str s) MUST_CHECK;
/* fn(arg) will run in arena_end(), last added first. False when out of memory (fn not kept). */
bool arena_cleanup(struct arena *arena, arena_cleanup_fn fn, void *arg) MUST_CHECK;
/* Runs the cleanups, frees everything, leaves the arena empty and usable. */
void arena_end(struct arena *arena);

#endif
