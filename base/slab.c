/*
 * Each object carries a small header that names its block, so giving back needs no search, and
 * that says whether it is out, so that giving back twice is caught. Idle ones have the next of their
 * list where their owner's bytes were. A block hands out the
 * objects that came back last, then ones that were never used: those are pages that the kernel
 * has not made yet, and a block that is never full never makes them.
 */
#include "base/slab.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

#define BLOCK_COUNT_MIN 16
#define BLOCK_COUNT_MAX 256
#define BLOCK_BYTES_WANTED 65536
#define ALIGNMENT alignof(max_align_t)

#define STATE_OUT 0x6f757430u
#define STATE_IDLE 0x69646c65u

struct slab_object {
    alignas(max_align_t) struct slab_block *block;
    uint32_t state;
};
_Static_assert(sizeof(struct slab_object) == 16, "each stream has several of them");

struct slab_block {
    struct slab_block *prev, *next; /* on the slab's list that it belongs to */
    struct slab_object *idle;       /* given back, last one first */
    size_t out;
    size_t touched; /* objects from here on were never given out */
    size_t count;
};

#define OBJECT_HEADER_BYTES sizeof(struct slab_object)
#define BLOCK_HEADER_BYTES ((sizeof(struct slab_block) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT)

static size_t
object_stride(const struct slab *slab)
{
    return OBJECT_HEADER_BYTES + slab->object_bytes;
}

void
slab_init(struct slab *slab, size_t object_bytes, size_t count_max)
{
    ASSERT(object_bytes > 0);
    ASSERT(object_bytes < SIZE_MAX / BLOCK_COUNT_MAX / 2);
    *slab = (struct slab){
        .object_bytes = (object_bytes + POISON_GAP + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT,
        .count_max = count_max,
    };
}

static void
list_take(struct slab_block **list, struct slab_block *block)
{
    if (block->prev != NULL)
        block->prev->next = block->next;
    else
        *list = block->next;
    if (block->next != NULL)
        block->next->prev = block->prev;
    block->prev = block->next = NULL;
}

static void
list_put(struct slab_block **list, struct slab_block *block)
{
    block->prev = NULL;
    block->next = *list;
    if (*list != NULL)
        (*list)->prev = block;
    *list = block;
}

static struct slab_block *
block_new(struct slab *slab)
{
    size_t stride = object_stride(slab);
    size_t count = MAX(MIN(BLOCK_BYTES_WANTED / stride, BLOCK_COUNT_MAX), BLOCK_COUNT_MIN);
    struct slab_block *block = malloc(BLOCK_HEADER_BYTES + count * stride);

    if (block == NULL)
        return NULL;
    *block = (struct slab_block){.count = count};
    POISON((char *)block + BLOCK_HEADER_BYTES, count * stride);
    list_put(&slab->blocks_with_room, block);
    return block;
}

/* The object's first bytes, while it is idle: the next idle one of its block. */
static struct slab_object **
next_idle(struct slab_object *object)
{
    return (struct slab_object **)(void *)(object + 1);
}

static struct slab_object *
block_object(const struct slab *slab, struct slab_block *block, size_t idx)
{
    return (struct slab_object *)(void *)((char *)block + BLOCK_HEADER_BYTES +
                                          idx * object_stride(slab));
}

void *
slab_take(struct slab *slab)
{
    struct slab_block *block = slab->blocks_with_room;
    struct slab_object *object;

    if (slab->count >= slab->count_max)
        return NULL;
    if (block == NULL && (block = block_new(slab)) == NULL)
        return NULL;
    object = block->idle;
    if (object != NULL) {
        ASSERT(object->state == STATE_IDLE);
        UNPOISON(object + 1, sizeof(object));
        block->idle = *next_idle(object);
    } else {
        ASSERT(block->touched < block->count);
        object = block_object(slab, block, block->touched++);
        UNPOISON(object, OBJECT_HEADER_BYTES);
    }
    *object = (struct slab_object){.block = block, .state = STATE_OUT};
    slab->count++;
    if (++block->out == block->count) {
        list_take(&slab->blocks_with_room, block);
        list_put(&slab->blocks_full, block);
    }
    UNPOISON(object + 1, slab->object_bytes - POISON_GAP);
    return memset(object + 1, 0, slab->object_bytes - POISON_GAP);
}

void
slab_give(struct slab *slab, void *ptr)
{
    struct slab_object *object = (struct slab_object *)ptr - 1;
    struct slab_block *block = object->block;

    ASSERT(object->state == STATE_OUT);
    ASSERT(block->out > 0);
    ASSERT(slab->count > 0);
    object->state = STATE_IDLE;
    *next_idle(object) = block->idle;
    block->idle = object;
    POISON(ptr, slab->object_bytes);
    list_take(block->out == block->count ? &slab->blocks_full : &slab->blocks_with_room, block);
    list_put(&slab->blocks_with_room, block);
    block->out--;
    slab->count--;
    /* An idle block goes back only when another has room: one object that comes and goes at the
     * edge of a block must not cost a malloc() each time. */
    if (block->out == 0 && block->next != NULL) {
        list_take(&slab->blocks_with_room, block);
        free(block);
    }
}

void
slab_end(struct slab *slab)
{
    ASSERT(slab->count == 0);
    ASSERT(slab->blocks_full == NULL);
    while (slab->blocks_with_room != NULL) {
        struct slab_block *block = slab->blocks_with_room;

        list_take(&slab->blocks_with_room, block);
        free(block);
    }
}
