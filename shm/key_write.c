/*
 * The ledger process's side of keys: adding, opening, removing; growing the index; using slots
 * again.
 *
 * When may what was taken away be used again? When no worker can still be looking at it. Workers
 * look only within a turn of their loop, so it is enough that each of them was seen outside a turn,
 * or in another turn than the one it was in when the thing was taken away. Such a wait for all
 * workers is a grace; one is under way at a time. What is retired needs the next grace that begins
 * after it: the one now under way began too early. Graces are counted, and a thing that is retired
 * remembers the count it needs.
 *
 * All of this is private to the ledger process and made when first needed, by a scan of what the
 * last ledger process left, which may have died anywhere:
 *
 *   killed after                        left behind; the scan's answer
 *   ----------------------------------  ------------------------------------------------
 *   key_add                             a slot that is not open: retired
 *   putting it into the index           the same, with an entry: made a tombstone
 *   opening it                          done
 *   remove: clearing the open flag      a slot that is not open, with an entry: as above
 *   remove: the tombstone               a slot that is not open: retired
 *   writing an extra, before the swap   one that no key or quota names: retired
 *   filling a new index, before         nothing points there: every area but the current
 *   publishing it                       one is retired
 *
 * The scan's retired things need a grace of their own, since workers go on while the ledger process
 * starts anew.
 */
#include "shm/key.h"
#include "shm/layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a retired slot has, of either kind. */
struct link {
    uint32_t *next;
    uint64_t *need;
};

struct slot_kind {
    enum region_part part;
    size_t bytes; /* of one slot */
    struct link (*link)(const struct region *region, uint32_t idx);
};

struct retired { /* oldest first */
    uint32_t first, last;
};

struct key_writer {
    uint64_t grace_done; /* how many have passed */
    bool grace_running;
    uint64_t grace_turn[REGION_TABLES_MAX]; /* each table's turn when it began */
    uint64_t need_max;                      /* the latest that anything retired waits for */
    struct retired keys, extras;
    uint64_t area_need[KEY_INDEX_CLASS_MAX + 1][2];
    uint64_t entries_filled; /* of the current index: slots and tombstones */
    uint64_t entries_live;
};

/* ---- graces ---- */

static uint64_t
need_now(struct key_writer *writer)
{
    writer->need_max = writer->grace_done + 1 + (writer->grace_running ? 1 : 0);
    return writer->need_max;
}

/* A worker whose table is not live is gone for good. seq_cst: after what was published or taken
 * away; see region_turn_begin(). */
static bool
table_passed(const struct region_table *table, uint64_t turn_then)
{
    uint64_t turn;

    if (atomic_load_explicit(&table->state, memory_order_seq_cst) != TABLE_LIVE)
        return true;
    turn = atomic_load_explicit(&table->turn, memory_order_seq_cst);
    return !(turn & 1) || turn != turn_then;
}

static bool
grace_over(const struct region *region, const struct key_writer *writer)
{
    for (uint32_t i = 0; i < region->header->geometry.table_max; i++)
        if (!table_passed(&region->header->table[i], writer->grace_turn[i]))
            return false;
    return true;
}

static void
graces_go_on(const struct region *region, struct key_writer *writer)
{
    /* Two at most can be wanted: the one under way and the one after it. */
    for (int i = 0; i < 2 && writer->grace_done < writer->need_max; i++) {
        if (!writer->grace_running)
            for (uint32_t t = 0; t < region->header->geometry.table_max; t++)
                writer->grace_turn[t] =
                    atomic_load_explicit(&region->header->table[t].turn, memory_order_seq_cst);
        writer->grace_running = !grace_over(region, writer);
        if (writer->grace_running)
            return;
        writer->grace_done++;
    }
}

/* ---- slots that wait ---- */

static struct key_slot *
key_slots(const struct region *region)
{
    return region_part(region, REGION_KEYS);
}

static struct key_extra_slot *
extra_slots(const struct region *region)
{
    return region_part(region, REGION_KEY_EXTRAS);
}

static struct link
key_link(const struct region *region, uint32_t idx)
{
    struct key_slot *slot = &key_slots(region)[idx];

    return (struct link){&slot->retired_next, &slot->retired_need};
}

static struct link
extra_link(const struct region *region, uint32_t idx)
{
    struct key_extra_slot *slot = &extra_slots(region)[idx];

    return (struct link){&slot->retired_next, &slot->retired_need};
}

static const struct slot_kind key_kind = {REGION_KEYS, sizeof(struct key_slot), key_link};
static const struct slot_kind extra_kind = {REGION_KEY_EXTRAS, sizeof(struct key_extra_slot),
                                            extra_link};

static void
slot_retire(const struct region *region, struct key_writer *writer, const struct slot_kind *kind,
            struct retired *list, uint32_t idx)
{
    struct link link = kind->link(region, idx);

    *link.next = 0;
    *link.need = need_now(writer);
    if (list->first == 0)
        list->first = idx;
    else
        *kind->link(region, list->last).next = idx;
    list->last = idx;
}

/* A retired slot whose grace has passed, else one never used: the next after the count. */
static int
slot_get(struct region *region, struct key_writer *writer, const struct slot_kind *kind,
         struct retired *list, uint32_t count, uint32_t count_max, uint32_t *idx)
{
    graces_go_on(region, writer);
    if (list->first != 0) {
        struct link link = kind->link(region, list->first);

        if (*link.need <= writer->grace_done) {
            *idx = list->first;
            list->first = *link.next;
            return 0;
        }
    }
    if (count == count_max)
        return -ENOSPC;
    *idx = count + 1;
    return region_ensure(region, kind->part, ((uint64_t)*idx + 1) * kind->bytes);
}

static void
key_slot_retire(const struct region *region, struct key_writer *writer, uint32_t idx)
{
    slot_retire(region, writer, &key_kind, &writer->keys, idx);
}

static int
key_slot_get(struct region *region, struct key_writer *writer, uint32_t *idx)
{
    uint32_t count = atomic_load_explicit(&region->header->key_count, memory_order_relaxed);

    return slot_get(region, writer, &key_kind, &writer->keys, count,
                    region->header->geometry.key_max, idx);
}

static void
extra_retire(const struct region *region, struct key_writer *writer, uint32_t idx)
{
    slot_retire(region, writer, &extra_kind, &writer->extras, idx);
}

static int
extra_get(struct region *region, struct key_writer *writer, uint32_t *idx)
{
    uint32_t count = atomic_load_explicit(&region->header->key_extra_count, memory_order_relaxed);

    return slot_get(region, writer, &extra_kind, &writer->extras, count,
                    region->header->geometry.key_extra_max, idx);
}

/* ---- the scan ---- */

static bool
key_is_open(const struct region *region, uint32_t idx)
{
    const struct key_slot *key = key_at(region, idx);

    return key != NULL && atomic_load_explicit(&key->flags, memory_order_relaxed) & KEY_OPEN;
}

/* Those that may have been in use: within what is allocated, if there ever was an index. */
static void
scan_areas(const struct region *region, struct key_writer *writer)
{
    uint64_t ready =
        atomic_load_explicit(&region->header->part_ready[REGION_INDEXES], memory_order_relaxed);

    for (uint32_t c = KEY_INDEX_CLASS_MIN; c <= KEY_INDEX_CLASS_MAX; c++)
        for (uint32_t side = 0; side < 2; side++)
            if (key_index_area_off(c, side) < ready)
                writer->area_need[c][side] = need_now(writer);
}

static void
scan_index(const struct region *region, struct key_writer *writer)
{
    uint64_t word = atomic_load_explicit(&region->header->index_current, memory_order_relaxed);
    _Atomic uint32_t *index;

    if (word == 0)
        return;
    scan_areas(region, writer);
    index = key_index_at(region, word);
    for (uint64_t at = 0; at < UINT64_C(1) << key_index_class(word); at++) {
        uint32_t entry = atomic_load_explicit(&index[at], memory_order_relaxed);

        if (entry == KEY_INDEX_EMPTY)
            continue;
        writer->entries_filled++;
        if (key_is_open(region, entry))
            writer->entries_live++;
        else
            atomic_store_explicit(&index[at], KEY_INDEX_TOMBSTONE, memory_order_seq_cst);
    }
}

static int
scan_slots(const struct region *region, struct key_writer *writer)
{
    uint32_t key_count = atomic_load_explicit(&region->header->key_count, memory_order_relaxed);
    uint32_t extra_count =
        atomic_load_explicit(&region->header->key_extra_count, memory_order_relaxed);
    uint8_t *named = calloc((size_t)extra_count + 1, 1);

    if (named == NULL)
        return -ENOMEM;
    for (uint32_t idx = 1; idx <= key_count; idx++) {
        uint32_t extra_idx;

        if (!key_is_open(region, idx)) {
            key_slot_retire(region, writer, idx);
            continue;
        }
        key_slots(region)[idx].retired_need = 0;
        extra_idx = atomic_load_explicit(&key_slots(region)[idx].extra_idx, memory_order_relaxed);
        if (extra_idx <= extra_count)
            named[extra_idx] = 1;
    }
    for (uint32_t idx = 1; quota_at(region, idx) != NULL; idx++) {
        uint32_t extra_idx =
            atomic_load_explicit(&quota_at(region, idx)->extra_idx, memory_order_relaxed);

        if (extra_idx <= extra_count)
            named[extra_idx] = 1;
    }
    for (uint32_t idx = 1; idx <= extra_count; idx++)
        if (!named[idx])
            extra_retire(region, writer, idx);
    free(named);
    return 0;
}

static int
writer_get(struct region *region, struct key_writer **out)
{
    int rc;

    if (region->key_writer == NULL) {
        struct key_writer *writer = calloc(1, sizeof(*writer));

        if (writer == NULL)
            return -ENOMEM;
        scan_index(region, writer);
        rc = scan_slots(region, writer);
        if (rc < 0) {
            free(writer);
            return rc;
        }
        region->key_writer = writer;
    }
    *out = region->key_writer;
    return 0;
}

void
key_retire(struct region *region)
{
    if (region->key_writer != NULL)
        graces_go_on(region, region->key_writer);
}

/* ---- the index ---- */

/* Into a table that has room and does not have it. Counts an entry only when it was empty. */
static void
index_put(const struct region *region, uint64_t word, uint32_t idx, uint64_t *filled)
{
    _Atomic uint32_t *index = key_index_at(region, word);
    uint64_t mask = (UINT64_C(1) << key_index_class(word)) - 1;
    uint64_t at = key_index_start(key_slots(region)[idx].hash) & mask;
    uint32_t entry;

    while (true) {
        entry = atomic_load_explicit(&index[at], memory_order_relaxed);
        if (entry == KEY_INDEX_EMPTY || entry == KEY_INDEX_TOMBSTONE)
            break;
        at = (at + 1) & mask;
    }
    if (entry == KEY_INDEX_EMPTY)
        (*filled)++;
    /* Release: who sees the number sees the slot. */
    atomic_store_explicit(&index[at], idx, memory_order_release);
}

static bool
area_is_free(const struct key_writer *writer, uint64_t current, uint32_t index_class, uint32_t side)
{
    if (current != 0 && current == key_index_word(index_class, side))
        return false;
    return writer->area_need[index_class][side] <= writer->grace_done;
}

/* An area for at least 2^index_class entries, as its word; 0 when none is free now. */
static uint64_t
area_find(const struct region *region, const struct key_writer *writer, uint64_t current,
          uint32_t index_class)
{
    uint32_t class_max = key_index_class_max(region->header->geometry.key_max);

    for (uint32_t c = MIN(index_class, class_max); c <= class_max; c++)
        for (uint32_t side = 0; side < 2; side++)
            if (area_is_free(writer, current, c, side))
                return key_index_word(c, side);
    return 0;
}

/* A table with room for four times so many keys, in another area; the present one is retired. */
static int
index_rebuild(struct region *region, struct key_writer *writer, uint64_t keys)
{
    _Atomic uint64_t *published = &region->header->index_current;
    uint64_t old = atomic_load_explicit(published, memory_order_relaxed), word, filled = 0;
    uint64_t entries, old_entries = old == 0 ? 0 : UINT64_C(1) << key_index_class(old);
    uint32_t index_class = KEY_INDEX_CLASS_MIN;
    _Atomic uint32_t *index;
    int rc;

    while (UINT64_C(1) << index_class < 4 * keys)
        index_class++;
    graces_go_on(region, writer);
    word = area_find(region, writer, old, index_class);
    if (word == 0)
        return -EAGAIN;
    entries = UINT64_C(1) << key_index_class(word);
    rc = region_ensure(region, REGION_INDEXES,
                       key_index_area_off(key_index_class(word), key_index_side(word)) +
                           sizeof(uint32_t) * entries);
    if (rc < 0)
        return rc;
    index = key_index_at(region, word);
    for (uint64_t at = 0; at < entries; at++)
        atomic_store_explicit(&index[at], KEY_INDEX_EMPTY, memory_order_relaxed);
    for (uint64_t at = 0; at < old_entries; at++) {
        uint32_t idx = atomic_load_explicit(&key_index_at(region, old)[at], memory_order_relaxed);

        if (idx != KEY_INDEX_EMPTY && key_is_open(region, idx))
            index_put(region, word, idx, &filled);
    }
    /* Publishes the new table; see key_find(). */
    atomic_store_explicit(published, word, memory_order_seq_cst);
    if (old != 0)
        writer->area_need[key_index_class(old)][key_index_side(old)] = need_now(writer);
    writer->entries_filled = writer->entries_live = filled;
    return 0;
}

/*
 * Makes room for one more: anew when half is filled. If no area is free for that just now, because
 * some worker has not ended its turn yet, the table goes on being filled, up to seven eighths.
 */
static int
index_make_room(struct region *region, struct key_writer *writer)
{
    uint64_t word = atomic_load_explicit(&region->header->index_current, memory_order_relaxed);
    uint64_t entries = word == 0 ? 0 : UINT64_C(1) << key_index_class(word);
    int rc;

    if (writer->entries_filled + 1 <= entries / 2)
        return 0;
    rc = index_rebuild(region, writer, MAX(writer->entries_live, 1u));
    if (rc < 0 && writer->entries_filled + 1 <= entries - entries / 8)
        return 0;
    return rc;
}

/* So that it is not built anew again and again while they come. To fail is no harm. */
void
key_expect(struct region *region, uint32_t count)
{
    uint64_t word = atomic_load_explicit(&region->header->index_current, memory_order_relaxed);
    uint64_t entries = word == 0 ? 0 : UINT64_C(1) << key_index_class(word);
    uint32_t keys = MIN(count, region->header->geometry.key_max);
    struct key_writer *writer;

    if (keys < entries / 2 || keys == 0 || writer_get(region, &writer) < 0)
        return;
    if (index_rebuild(region, writer, MAX((keys + UINT64_C(1)) / 2, writer->entries_live)) < 0)
        return;
}

static void
index_take_out(const struct region *region, struct key_writer *writer, uint32_t idx)
{
    uint64_t word = atomic_load_explicit(&region->header->index_current, memory_order_relaxed);
    _Atomic uint32_t *index;
    uint64_t mask, at;

    if (word == 0)
        return;
    index = key_index_at(region, word);
    mask = (UINT64_C(1) << key_index_class(word)) - 1;
    at = key_index_start(key_slots(region)[idx].hash) & mask;
    for (uint64_t i = 0; i <= mask; i++, at = (at + 1) & mask) {
        uint32_t entry = atomic_load_explicit(&index[at], memory_order_relaxed);

        if (entry == KEY_INDEX_EMPTY)
            return;
        if (entry == idx) {
            /* seq_cst: before the looks at workers' turns. */
            atomic_store_explicit(&index[at], KEY_INDEX_TOMBSTONE, memory_order_seq_cst);
            writer->entries_live--;
            return;
        }
    }
}

/* ---- adding and removing ---- */

static void
key_slot_fill(struct key_slot *slot, const struct key_new *key)
{
    memcpy(slot->hash, key->hash, HASH_LEN);
    slot->key_id = key->key_id;
    slot->tenant_id = key->tenant_id;
    atomic_store_explicit(&slot->member_id, key->member_id, memory_order_relaxed);
    atomic_store_explicit(&slot->project_id, key->project_id, memory_order_relaxed);
    slot->account_idx = key->account_idx;
    slot->account_generation = key->account_generation;
    slot->retired_next = 0;
    slot->retired_need = 0;
    atomic_fetch_add_explicit(&slot->generation, 1, memory_order_relaxed);
    atomic_store_explicit(&slot->flags, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->rpm, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->tpm, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->concurrency, 0, memory_order_relaxed);
    for (size_t i = 0; i < COUNT_OF(slot->budget_idx); i++)
        atomic_store_explicit(&slot->budget_idx[i], 0, memory_order_relaxed);
    for (size_t i = 0; i < COUNT_OF(slot->quota_idx); i++)
        atomic_store_explicit(&slot->quota_idx[i], 0, memory_order_relaxed);
    atomic_store_explicit(&slot->extra_idx, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->old_of, 0, memory_order_relaxed);
    for (size_t i = 0; i < KEY_CHANNELS_MAX; i++)
        atomic_store_explicit(&slot->channel[i], 0, memory_order_relaxed);
    atomic_store_explicit(&slot->expires_wall_us, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->rpm_tat, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->tpm_tat, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->inflight, 0, memory_order_relaxed);
}

int
key_add(struct region *region, const struct key_new *key, uint32_t *key_idx)
{
    struct key_writer *writer;
    uint32_t idx = 0;
    int rc = writer_get(region, &writer);

    if (rc == 0)
        rc = key_slot_get(region, writer, &idx);
    if (rc < 0)
        return rc;
    key_slot_fill(&key_slots(region)[idx], key);
    if (idx > atomic_load_explicit(&region->header->key_count, memory_order_relaxed))
        atomic_store_explicit(&region->header->key_count, idx, memory_order_release);
    *key_idx = idx;
    return 0;
}

/* Entry first, flag second: a key that is open is always in the index. */
int
key_open(struct region *region, uint32_t key_idx)
{
    struct key_slot *key = key_at(region, key_idx);
    struct key_writer *writer;
    int rc = writer_get(region, &writer);

    if (rc < 0)
        return rc;
    if (key == NULL || key->retired_need != 0)
        return -ENOENT;
    if (key_is_open(region, key_idx) || key_find(region, key->hash) != 0)
        return -EEXIST;
    rc = index_make_room(region, writer);
    if (rc < 0)
        return rc;
    index_put(region, atomic_load_explicit(&region->header->index_current, memory_order_relaxed),
              key_idx, &writer->entries_filled);
    writer->entries_live++;
    /* Release: limits that were set before are there for who finds it. Other flags stay. */
    atomic_fetch_or_explicit(&key->flags, KEY_OPEN, memory_order_release);
    return 0;
}

static void
extra_swap(struct region *region, struct key_writer *writer, _Atomic uint32_t *extra_idx, uint32_t idx)
{
    /* seq_cst: before the looks at workers' turns. */
    uint32_t old = atomic_exchange_explicit(extra_idx, idx, memory_order_seq_cst);

    if (key_extra_at(region, old) != NULL)
        extra_retire(region, writer, old);
}

/* The time first: who sees the slot as an old one sees how long it is good. */
void
key_set_old(struct region *region, uint32_t old_idx, uint32_t key_idx, int64_t until_us)
{
    struct key_slot *old = key_at(region, old_idx);

    ASSERT(old != NULL && key_idx != old_idx);
    atomic_store_explicit(&old->expires_wall_us, until_us, memory_order_relaxed);
    atomic_store_explicit(&old->old_of, key_idx, memory_order_release);
}

int
key_remove(struct region *region, uint32_t key_idx)
{
    struct key_slot *key = key_at(region, key_idx);
    struct key_writer *writer;
    uint32_t flags;
    int rc = writer_get(region, &writer);

    if (rc < 0)
        return rc;
    if (key == NULL || key->retired_need != 0)
        return -ENOENT;
    flags = atomic_fetch_and_explicit(&key->flags, ~(uint32_t)KEY_OPEN, memory_order_seq_cst);
    if (flags & KEY_OPEN)
        index_take_out(region, writer, key_idx);
    extra_swap(region, writer, &key->extra_idx, 0);
    key_slot_retire(region, writer, key_idx);
    return 0;
}

int
key_extra_room(struct region *region)
{
    struct key_writer *writer;
    struct retired *list;
    uint32_t idx, count;
    int rc = writer_get(region, &writer);

    if (rc < 0)
        return rc;
    list = &writer->extras;
    graces_go_on(region, writer);
    if (list->first != 0 && *extra_link(region, list->first).need <= writer->grace_done)
        return 0;
    count = atomic_load_explicit(&region->header->key_extra_count, memory_order_relaxed);
    if (count >= region->header->geometry.key_extra_max)
        return -ENOSPC;
    idx = count + 1;
    return region_ensure(region, REGION_KEY_EXTRAS, ((uint64_t)idx + 1) * sizeof(struct key_extra_slot));
}

static int
extra_replace(struct region *region, struct key_writer *writer, _Atomic uint32_t *extra_idx,
              const struct key_extra *extra)
{
    uint32_t idx = 0;

    if (extra != NULL) {
        int rc = extra_get(region, writer, &idx);

        if (rc < 0)
            return rc;
        extra_slots(region)[idx].extra = *extra;
        if (idx > atomic_load_explicit(&region->header->key_extra_count, memory_order_relaxed))
            atomic_store_explicit(&region->header->key_extra_count, idx, memory_order_release);
    }
    extra_swap(region, writer, extra_idx, idx);
    return 0;
}

int
key_extra_set(struct region *region, uint32_t key_idx, const struct key_extra *extra)
{
    struct key_slot *key = key_at(region, key_idx);
    struct key_writer *writer;
    int rc = writer_get(region, &writer);

    if (rc < 0)
        return rc;
    if (key == NULL || key->retired_need != 0)
        return -ENOENT;
    return extra_replace(region, writer, &key->extra_idx, extra);
}

int
key_extra_set_quota(struct region *region, uint32_t quota_idx, const struct key_extra *extra)
{
    struct quota *quota = quota_at(region, quota_idx);
    struct key_writer *writer;
    int rc = writer_get(region, &writer);

    if (rc < 0)
        return rc;
    return quota == NULL ? -ENOENT : extra_replace(region, writer, &quota->extra_idx, extra);
}
