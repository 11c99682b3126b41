/*
 * Interned names: models, families, channels, upstreams. A name has one 16-bit id for the life of
 * the region; ids are never reused; id 0 is "none". Any process may add (lock-free: an entry is
 * claimed by compare-and-swap, filled, then marked ready; one that died in between wastes an
 * entry).
 */
#ifndef SHM_NAMES_H
#define SHM_NAMES_H

#include <stdatomic.h>

#include "base/base.h"
#include "shm/region.h"

#define NAME_BYTES_MAX 92

struct name_entry {
    _Atomic uint32_t state; /* 0 free, 1 being written, 2 + length ready */
    char text[NAME_BYTES_MAX];
};

/* The id of a name, added when new. 0 when the table is full or the name is empty or too long. */
uint16_t name_intern(struct region *region, struct str name) MUST_CHECK;
/* The id if it is there, else 0. */
uint16_t name_find(const struct region *region, struct str name);
struct str name_text(const struct region *region, uint16_t id); /* STR_NONE for unknown ids */

#endif
