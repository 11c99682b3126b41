#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/held.h"
#include "base/poison.h"

#define CHUNK_BYTES_FIRST 2048
#define CHUNK_BYTES_MAX 65536
#define ALIGNMENT alignof(max_align_t)

/* The first in the list is the one that small wishes are cut from; those behind it are full or
 * were made for one large wish. */
struct arena_chunk {
    struct arena_chunk *next;
    size_t bytes; /* of the whole chunk, this header included */
    size_t used;  /* offset of the next free byte, from the chunk's start */
};

struct arena_cleanup {
    struct arena_cleanup *next;
    arena_cleanup_fn fn;
    void *arg;
};

#define HEADER_BYTES ((sizeof(struct arena_chunk) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT)

void
arena_init(struct arena *arena, size_t limit_bytes)
{
    *arena = (struct arena){.limit_bytes = limit_bytes};
}

static struct arena_chunk *
chunk_new(struct arena *arena, size_t bytes)
{
    struct arena_chunk *chunk;

    ASSERT(arena->used_bytes <= arena->limit_bytes);
    if (bytes > arena->limit_bytes - arena->used_bytes)
        return NULL;
    chunk = held_fits(bytes) ? malloc(bytes) : NULL;
    if (chunk == NULL)
        return NULL;
    held_add(bytes);
    chunk->bytes = bytes;
    chunk->used = HEADER_BYTES;
    POISON((char *)chunk + HEADER_BYTES, bytes - HEADER_BYTES);
    arena->used_bytes += bytes;
    return chunk;
}

static void *
chunk_cut(struct arena_chunk *chunk, size_t len, size_t room)
{
    void *ptr = (char *)chunk + chunk->used;

    ASSERT(room <= chunk->bytes - chunk->used);
    chunk->used += room;
    UNPOISON(ptr, len);
    return ptr;
}

/* A chunk that has room bytes free: a regular one in front, or an own one behind it. */
static struct arena_chunk *
chunk_for(struct arena *arena, size_t room)
{
    struct arena_chunk *first = arena->chunks, *chunk;
    size_t bytes = CHUNK_BYTES_FIRST;

    if (first != NULL)
        bytes = MAX(CHUNK_BYTES_FIRST, MIN(first->bytes * 2, CHUNK_BYTES_MAX));
    while (bytes - HEADER_BYTES < room && bytes < CHUNK_BYTES_MAX)
        bytes *= 2;
    if (room <= bytes - HEADER_BYTES) {
        chunk = chunk_new(arena, bytes);
        if (chunk != NULL) {
            chunk->next = first;
            arena->chunks = chunk;
            return chunk;
        }
    }
    /* Large, or close to the limit: exactly what is asked, and the first goes on serving. */
    chunk = chunk_new(arena, HEADER_BYTES + room);
    if (chunk == NULL)
        return NULL;
    if (first == NULL) {
        chunk->next = NULL;
        arena->chunks = chunk;
    } else {
        chunk->next = first->next;
        first->next = chunk;
    }
    return chunk;
}

void *
arena_alloc(struct arena *arena, size_t len)
{
    struct arena_chunk *chunk = arena->chunks;
    size_t room;

    if (len > arena->limit_bytes)
        return NULL;
    room = (MAX(len, (size_t)1) + POISON_GAP + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (chunk == NULL || room > chunk->bytes - chunk->used)
        chunk = chunk_for(arena, room);
    return chunk == NULL ? NULL : chunk_cut(chunk, len, room);
}

void *
arena_zalloc(struct arena *arena, size_t len)
{
    void *ptr = arena_alloc(arena, len);

    if (ptr != NULL)
        memset(ptr, 0, len);
    return ptr;
}

char *
arena_copy(struct arena *arena, struct str s)
{
    char *copy;

    if (s.len == SIZE_MAX)
        return NULL;
    copy = arena_alloc(arena, s.len + 1);
    if (copy == NULL)
        return NULL;
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

bool
arena_cleanup(struct arena *arena, arena_cleanup_fn fn, void *arg)
{
    struct arena_cleanup *cleanup = arena_alloc(arena, sizeof(*cleanup));

    if (cleanup == NULL)
        return false;
    *cleanup = (struct arena_cleanup){arena->cleanups, fn, arg};
    arena->cleanups = cleanup;
    return true;
}

void
arena_end(struct arena *arena)
{
    /* A cleanup may still allocate, and may add another one: it is then the next to run. */
    while (arena->cleanups != NULL) {
        struct arena_cleanup *cleanup = arena->cleanups;

        arena->cleanups = cleanup->next;
        cleanup->fn(cleanup->arg);
    }
    for (struct arena_chunk *chunk = arena->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        held_sub(chunk->bytes);
        free(chunk);
    }
    arena_init(arena, arena->limit_bytes);
}
