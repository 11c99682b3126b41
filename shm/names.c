/*
 * Interned names: an open-addressed table whose positions are the ids (one more than the position).
 * Entries are never taken out, so a probe ends at the first free one. Two processes that add the
 * same name at once meet at the same free entry: one claims it, the other waits for its text, a
 * moment only, for the claimer may have died. Then the entry is passed over by everybody; should
 * its writer have been merely slow, the name has two ids, of which the first is found: its readers
 * know names by their text, so nothing is wrong.
 */
#include "shm/names.h"

#include "base/hash.h"
#include "base/str.h"
#include "shm/layout.h"

#include <sched.h>
#include <string.h>

#define STATE_FREE 0u
#define STATE_WRITING 1u
#define STATE_READY 2u /* and the length */
#define STATE_LOST UINT32_MAX
#define WAIT_TURNS 1000

_Static_assert(sizeof(struct name_entry) == 96, "layout");

static struct name_entry *
entry_at(const struct region *region, uint32_t position)
{
    return (struct name_entry *)region_part(region, REGION_NAMES) + position;
}

static bool
entry_is(const struct name_entry *entry, uint32_t state, struct str name)
{
    return state == STATE_READY + name.len && memcmp(entry->text, name.ptr, name.len) == 0;
}

/* The state once nobody is writing. */
static uint32_t
entry_wait(struct name_entry *entry, uint32_t state)
{
    for (int i = 0; state == STATE_WRITING && i < WAIT_TURNS; i++) {
        if (i < WAIT_TURNS / 2)
            cpu_relax();
        else
            sched_yield();
        state = atomic_load_explicit(&entry->state, memory_order_acquire);
    }
    if (state == STATE_WRITING &&
        atomic_compare_exchange_strong_explicit(&entry->state, &state, STATE_LOST,
                                                memory_order_acquire, memory_order_acquire))
        return STATE_LOST;
    return state;
}

static bool
entry_claim(struct region *region, struct name_entry *entry, uint32_t *state, struct str name)
{
    if (!atomic_compare_exchange_strong_explicit(&entry->state, state, STATE_WRITING,
                                                 memory_order_acquire, memory_order_acquire))
        return false;
    memcpy(entry->text, name.ptr, name.len);
    /* Release: who sees the length sees the text. */
    atomic_store_explicit(&entry->state, STATE_READY + (uint32_t)name.len, memory_order_release);
    atomic_fetch_add_explicit(&region->header->name_count, 1, memory_order_relaxed);
    return true;
}

uint16_t
name_intern(struct region *region, struct str name)
{
    uint32_t max = region->header->geometry.name_max;
    uint32_t position;

    if (name.len == 0 || name.len > NAME_BYTES_MAX)
        return 0;
    position = (uint32_t)(hash_u64(name.ptr, name.len) % max);
    for (uint32_t i = 0; i < max; i++, position = position + 1 == max ? 0 : position + 1) {
        struct name_entry *entry = entry_at(region, position);
        uint32_t state = atomic_load_explicit(&entry->state, memory_order_acquire);

        if (state == STATE_FREE && entry_claim(region, entry, &state, name))
            return (uint16_t)(position + 1);
        state = entry_wait(entry, state);
        if (entry_is(entry, state, name))
            return (uint16_t)(position + 1);
    }
    return 0;
}

uint16_t
name_find(const struct region *region, struct str name)
{
    uint32_t max = region->header->geometry.name_max;
    uint32_t position;

    if (name.len == 0 || name.len > NAME_BYTES_MAX)
        return 0;
    position = (uint32_t)(hash_u64(name.ptr, name.len) % max);
    for (uint32_t i = 0; i < max; i++, position = position + 1 == max ? 0 : position + 1) {
        const struct name_entry *entry = entry_at(region, position);
        uint32_t state = atomic_load_explicit(&entry->state, memory_order_acquire);

        if (state == STATE_FREE)
            return 0;
        if (entry_is(entry, state, name))
            return (uint16_t)(position + 1);
    }
    return 0;
}

struct str
name_text(const struct region *region, uint16_t id)
{
    const struct name_entry *entry;
    uint32_t state;

    if (id == 0 || id > region->header->geometry.name_max)
        return STR_NONE;
    entry = entry_at(region, id - 1u);
    state = atomic_load_explicit(&entry->state, memory_order_acquire);
    if (state <= STATE_READY || state > STATE_READY + NAME_BYTES_MAX)
        return STR_NONE;
    return (struct str){entry->text, state - STATE_READY};
}
