/*
 * The memory file as another may have left it. The first byte says what the rest is:
 *
 *   0  a hold slot, whether its worker lives, and its record: what hold_slot_fault() lets pass is
 * within bounds, and a dead worker's can be swept and given back 1  the doorbell's cursors and
 * entries: what is read are slots, and reading ends 2  the header, under a checksum that fits:
 * never adopted unless every part and count is within the file 3  the index of keys: no probe
 * leaves it or goes on for ever
 */
#include "shm/account.h"
#include "shm/layout.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define CHECK(x) ((x) ? (void)0 : abort())

static const struct region_geometry geometry = {
    .account_max = 8,
    .budget_max = 8,
    .quota_max = 8,
    .key_max = 100,
    .key_extra_max = 8,
    .name_max = 64,
    .health_max = 8,
    .idem_max = 64,
    .table_max = 2,
    .slot_max = 64,
};

static char dir[] = "/dev/shm/turnpike-fuzz-XXXXXX";
static struct region *region;
static struct hold_view view;
static struct region_header good;

static void
close_region(void)
{
    region_detach(region);
    (void)region_remove(dir);
    (void)rmdir(dir);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    uint8_t hash[HASH_LEN] = {1};
    const struct key_new key = {.hash = hash};
    uint32_t idx;

    (void)argc, (void)argv;
    CHECK(mkdtemp(dir) != NULL);
    CHECK(region_create(dir, &geometry, &region) == 0);
    (void)atexit(close_region);
    CHECK(region_table_ensure(region, 0) == 0 && hold_view_open(region, 0, &view));
    CHECK(account_add(region, 1, &idx) == 0);
    account_publish(account_at(region, idx), 1000);
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++) {
        CHECK(budget_add(region, (enum budget_kind)kind, 1, BUDGET_DAY, 1000, &idx) == 0);
        budget_publish(budget_at(region, idx), 0, 0);
    }
    CHECK(key_add(region, &key, &idx) == 0 && key_open(region, idx) == 0);
    memcpy(&good, region->header, sizeof(good));
    return 0;
}

/* As many of the bytes as fit; the rest of out stays. */
static void
fill(void *out, size_t out_len, const uint8_t **bytes, size_t *len)
{
    size_t n = *len < out_len ? *len : out_len;

    memcpy(out, *bytes, n);
    *bytes += n;
    *len -= n;
}

/* ---- slots ---- */

static void
check_passed(const struct hold_slot *slot, const struct record *record, bool dead)
{
    enum hold_state state = hold_word_state(slot->state);

    CHECK(state < HOLD_STATE_COUNT);
    if (state == HOLD_FREE || (state == HOLD_CLAIM && !dead))
        return;
    CHECK(account_at(region, slot->account_idx) != NULL);
    CHECK(slot->amount_ucr >= 0 && slot->amount_ucr <= ACCOUNT_UCR_MAX);
    CHECK(slot->progress_ucr >= 0 && slot->progress_ucr <= slot->amount_ucr);
    CHECK(state != HOLD_SETTLED || (slot->charge_ucr >= 0 && slot->charge_ucr <= slot->amount_ucr));
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
        CHECK(slot->budget_window[kind] == BUDGET_NOT_ENTERED ||
              budget_at(region, slot->budget_idx[kind]) != NULL);
    if (state == HOLD_CLAIM || (state == HOLD_HELD && !dead))
        return;
    CHECK(record->attempt_count <= RECORD_ATTEMPTS_MAX);
    CHECK(record->outcome < OUTCOME_COUNT);
    for (unsigned i = 0; i < record->attempt_count; i++)
        CHECK(record->attempt[i].reason < REASON_COUNT);
    CHECK(record->key_idx == 0 || key_at(region, record->key_idx) != NULL);
}

static void
give_back(const struct hold_slot *slot)
{
    struct account *account = account_at(region, slot->account_idx);

    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
        if (slot->budget_window[kind] != BUDGET_NOT_ENTERED)
            budget_leave(budget_at(region, slot->budget_idx[kind]),
                         slot->amount_ucr - slot->charge_ucr, slot->budget_window[kind]);
    account_freeze(account);
    (void)!account_change(account, slot->amount_ucr - slot->charge_ucr);
    account_publish(account, 1000);
    hold_view_free(&view, 3);
}

static void
try_slot(const uint8_t *bytes, size_t len)
{
    struct hold_slot *slot = &view.slots[3];
    struct record *record = &view.records[3];
    uint8_t living = 0;

    memset((void *)slot, 0, sizeof(*slot));
    memset((void *)record, 0, sizeof(*record));
    fill(&living, 1, &bytes, &len);
    fill((void *)slot, sizeof(*slot), &bytes, &len);
    fill((void *)record, sizeof(*record), &bytes, &len);
    region->header->table[0].state = living & 1 ? TABLE_LIVE : TABLE_DEAD;
    if (hold_slot_fault(&view, 3) != NULL)
        return;
    check_passed(slot, record, !(living & 1));
    if (living & 1)
        return;
    if (hold_word_state(slot->state) == HOLD_CLAIM)
        hold_view_unclaim(&view, 3);
    if (hold_word_state(slot->state) == HOLD_HELD)
        hold_view_sweep(&view, 3);
    CHECK(hold_slot_fault(&view, 3) == NULL);
    if (hold_word_state(slot->state) == HOLD_SETTLED)
        give_back(slot);
    CHECK(hold_word_state(slot->state) == HOLD_FREE);
}

/* ---- doorbells ---- */

static void
try_ring(const uint8_t *bytes, size_t len)
{
    uint64_t cursors[2] = {0, 0};
    unsigned count = 0;
    uint32_t slot;

    fill(cursors, sizeof(cursors), &bytes, &len);
    fill(view.ring_entries, view.slot_max * sizeof(uint32_t), &bytes, &len);
    view.ring->written_seq = cursors[0];
    view.ring->read_seq = cursors[1];
    while (hold_view_next(&view, &slot)) {
        CHECK(slot < view.slot_max);
        CHECK(++count <= view.slot_max);
    }
    CHECK(hold_view_waiting(&view) == 0);
}

/* ---- the header ---- */

static void
seal(struct region_header *header)
{
    uint8_t hash[HASH_LEN];

    hash_keyed(NULL, header, offsetof(struct region_header, checksum), hash);
    memcpy(&header->checksum, hash, sizeof(header->checksum));
}

static void
check_adopted(const struct region *adopted)
{
    const struct region_header *header = adopted->header;

    CHECK(header->region_bytes == adopted->bytes);
    for (int part = 0; part < REGION_PART_COUNT; part++)
        CHECK(header->part_off[part] <= adopted->bytes &&
              header->part_bytes[part] <= adopted->bytes - header->part_off[part]);
    /* What is said to be there can be touched. */
    (void)account_available_ucr(
        &((struct account *)region_part(adopted, REGION_ACCOUNTS))[header->account_count]);
    (void)key_find(adopted, (const uint8_t[HASH_LEN]){2});
    for (uint32_t table = 0; table < 64; table++) {
        struct table_parts parts;

        if (region_table_parts(adopted, table, &parts))
            CHECK((uint8_t *)(parts.records + header->geometry.slot_max) <=
                  adopted->base + adopted->bytes);
    }
}

/* Places and their new values, eight bytes each: a whole header would never get past its size. */
static void
try_header(const uint8_t *bytes, size_t len)
{
    struct region *adopted;

    while (len >= 10) {
        size_t at = (size_t)(bytes[0] | bytes[1] << 8) % (sizeof(good) / 8) * 8;

        memcpy((uint8_t *)region->header + at, bytes + 2, 8);
        bytes += 10;
        len -= 10;
    }
    seal(region->header);
    if (region_adopt(dir, &adopted) == 0) {
        check_adopted(adopted);
        region_detach(adopted);
    }
    memcpy((void *)region->header, &good, sizeof(good));
}

/* ---- the index ---- */

static void
try_index(const uint8_t *bytes, size_t len)
{
    _Atomic uint32_t *index = key_index_at(region, good.index_current);
    size_t index_bytes = sizeof(uint32_t) << key_index_class(good.index_current);
    uint8_t hash[HASH_LEN] = {0};
    uint32_t found;

    fill(hash, sizeof(hash), &bytes, &len);
    for (size_t at = 0; at < index_bytes; at += len)
        if (len == 0)
            break;
        else
            memcpy((uint8_t *)index + at, bytes, MIN(len, index_bytes - at));
    found = key_find(region, hash);
    CHECK(found == 0 || (key_at(region, found) != NULL &&
                         memcmp(key_at(region, found)->hash, hash, HASH_LEN) == 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len < 1)
        return 0;
    switch (bytes[0] % 4) {
    case 0: try_slot(bytes + 1, len - 1); break;
    case 1: try_ring(bytes + 1, len - 1); break;
    case 2: try_header(bytes + 1, len - 1); break;
    case 3: try_index(bytes + 1, len - 1); break;
    }
    return 0;
}
