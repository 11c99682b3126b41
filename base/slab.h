/*
 * Objects of one size, given out and taken back in constant time, last freed first. Grows by
 * blocks of 16 to 256 objects, never past count_max, and gives wholly idle blocks back. Not
 * for several threads.
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include "base/base.h"

struct slab_block;

struct slab {
    size_t object_bytes;
    size_t count_max;
    size_t count; /* given out now */
    struct slab_block *blocks_with_room;
    struct slab_block *blocks_full;
};

void slab_init(struct slab *slab, size_t object_bytes, size_t count_max);
void *slab_take(struct slab *slab) MUST_CHECK; /* zeroed; NULL at count_max or out of memory */
void slab_give(struct slab *slab, void *object);
void slab_end(struct slab *slab); /* frees all blocks; asserts that no object is out */

#endif
