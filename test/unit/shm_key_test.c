/* Keys: finding them, the index as it grows and is worn by tombstones, using slots again only when
 * no worker can look at them, what a ledger process leaves that dies half-way, restrictions. */
#include "test/unit/shm_small.h"

#include "base/str.h"

#include <errno.h>

/* The hash of the n-th key. */
static void
hash_of(uint64_t n, uint8_t out[HASH_LEN])
{
    hash_keyed(NULL, &n, sizeof(n), out);
}

static int
add_open(struct region *region, uint64_t n, uint32_t *idx)
{
    uint8_t hash[HASH_LEN];
    struct key_new key = {.hash = hash, .key_id = (uint32_t)n, .tenant_id = 1, .account_idx = 1};
    int rc;

    hash_of(n, hash);
    rc = key_add(region, &key, idx);
    return rc < 0 ? rc : key_open(region, *idx);
}

static uint32_t
find(const struct region *region, uint64_t n)
{
    uint8_t hash[HASH_LEN];

    hash_of(n, hash);
    return key_find(region, hash);
}

static struct region_table *
worker_starts(uint32_t table_idx)
{
    struct region_table *table = &t.region->header->table[table_idx];

    atomic_store_explicit(&table->state, TABLE_LIVE, memory_order_release);
    return table;
}

/* ---- finding ---- */

static void
test_add_open_find_remove(void **state)
{
    uint8_t hash[HASH_LEN];
    struct key_new key = {hash, 11, 12, 13, 14, 15, 16};
    struct key_slot *slot;
    uint32_t idx;

    (void)state;
    hash_of(1, hash);
    assert_int_equal(key_find(t.region, hash), 0);
    assert_int_equal(key_add(t.region, &key, &idx), 0);
    assert_int_equal(idx, 1);
    assert_int_equal(key_find(t.region, hash), 0);
    slot = key_at(t.region, idx);
    slot->rpm = 60;
    assert_int_equal(key_open(t.region, idx), 0);
    assert_int_equal(key_find(t.region, hash), idx);
    assert_int_equal(slot->key_id, 11);
    assert_int_equal(slot->tenant_id, 12);
    assert_int_equal(slot->member_id, 13);
    assert_int_equal(slot->project_id, 14);
    assert_int_equal(slot->account_idx, 15);
    assert_int_equal(slot->account_generation, 16);
    assert_int_equal(slot->rpm, 60);
    assert_int_equal(slot->generation, 1);
    /* A key that is switched off is found, so that it can be told so. */
    atomic_fetch_or(&slot->flags, KEY_DISABLED);
    assert_int_equal(key_find(t.region, hash), idx);
    assert_int_equal(key_open(t.region, idx), -EEXIST);
    for (unsigned bit = 0; bit < 8 * HASH_LEN; bit++) {
        hash[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(key_find(t.region, hash), 0);
        hash[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(key_remove(t.region, idx), 0);
    assert_int_equal(key_find(t.region, hash), 0);
    assert_int_equal(key_remove(t.region, idx), -ENOENT);
    assert_int_equal(key_open(t.region, idx), -ENOENT);
}

static void
test_no_such_key(void **state)
{
    uint32_t idx;

    (void)state;
    assert_null(key_at(t.region, 0));
    assert_null(key_at(t.region, 1));
    assert_null(key_at(t.region, UINT32_MAX));
    assert_int_equal(key_open(t.region, 1), -ENOENT);
    assert_int_equal(key_remove(t.region, 0), -ENOENT);
    assert_int_equal(key_extra_set(t.region, 1, NULL), -ENOENT);
    assert_int_equal(add_open(t.region, 1, &idx), 0);
    assert_int_equal(add_open(t.region, 1, &idx), -EEXIST); /* the same hash twice */
    assert_int_equal(idx, 2);
    assert_int_equal(key_remove(t.region, 2), 0);
    assert_int_equal(find(t.region, 1), 1);
}

/* Two keys whose probes begin at the same place, one of them gone. */
static void
test_collisions(void **state)
{
    uint8_t hash[3][HASH_LEN] = {{0}};
    uint32_t idx[3];

    (void)state;
    for (uint8_t i = 0; i < 3; i++) {
        struct key_new key = {.hash = hash[i]};

        memset(hash[i], 0xff, 8); /* the last place: the probe goes round */
        hash[i][31] = i;
        assert_int_equal(key_add(t.region, &key, &idx[i]), 0);
        assert_int_equal(key_open(t.region, idx[i]), 0);
    }
    assert_int_equal(key_remove(t.region, idx[0]), 0);
    assert_int_equal(key_find(t.region, hash[0]), 0);
    assert_int_equal(key_find(t.region, hash[1]), idx[1]);
    assert_int_equal(key_find(t.region, hash[2]), idx[2]);
    assert_int_equal(key_remove(t.region, idx[1]), 0);
    assert_int_equal(key_find(t.region, hash[2]), idx[2]);
}

/* ---- the index grows ---- */

static void
test_growth(void **state)
{
    struct region_geometry g = small_geometry;
    const uint32_t count = 100000;
    struct shm_test big;
    uint32_t idx, added = 0;

    (void)state;
    g.key_max = 150000;
    big = shm_test_open(&g);
    for (uint32_t n = 1; n <= count; n++) {
        assert_int_equal(add_open(big.region, n, &idx), 0);
        added++;
        if (n % 3 == 0)
            assert_int_equal(key_remove(big.region, find(big.region, n)), 0);
    }
    for (uint32_t n = 1; n <= count; n++) {
        idx = find(big.region, n);
        if (n % 3 == 0) {
            assert_int_equal(idx, 0);
            continue;
        }
        assert_int_not_equal(idx, 0);
        assert_int_equal(key_at(big.region, idx)->key_id, n);
    }
    assert_int_equal(find(big.region, count + 1), 0);
    /* No worker was there, so that slots were used again at once. */
    assert_true(big.region->header->key_count <= added - added / 3 + 1);
    shm_test_close(&big);
}

static void
test_all_keys(void **state)
{
    uint32_t idx;

    (void)state;
    for (uint32_t n = 1; n <= 4096; n++)
        assert_int_equal(add_open(t.region, n, &idx), 0);
    assert_int_equal(add_open(t.region, 5000, &idx), -ENOSPC);
    for (uint32_t n = 1; n <= 4096; n++)
        assert_int_not_equal(find(t.region, n), 0);
    assert_int_equal(key_remove(t.region, find(t.region, 17)), 0);
    assert_int_equal(add_open(t.region, 5000, &idx), 0);
    assert_int_equal(find(t.region, 17), 0);
    assert_int_equal(find(t.region, 5000), idx);
}

/* Keys that come and go: tombstones fill the table again and again while few keys are in it. */
static void
test_tombstones(void **state)
{
    uint32_t idx[100];

    (void)state;
    for (uint32_t n = 0; n < 100; n++)
        assert_int_equal(add_open(t.region, n, &idx[n]), 0);
    for (uint32_t n = 100; n < 20000; n++) {
        uint32_t which = n % 100;

        assert_int_equal(key_remove(t.region, idx[which]), 0);
        assert_int_equal(add_open(t.region, n, &idx[which]), 0);
        assert_int_equal(find(t.region, n), idx[which]);
    }
    for (uint32_t n = 19900; n < 20000; n++)
        assert_int_equal(find(t.region, n), idx[n % 100]);
    assert_int_equal(find(t.region, 19899), 0);
    assert_true(t.region->header->key_count <= 102);
    assert_true(key_index_class(t.region->header->index_current) <= 11);
}

/* A worker that does not end its turn: nothing is used again, and adding goes on all the same. */
static void
test_worker_in_a_long_turn(void **state)
{
    struct region_table *worker = worker_starts(2);
    uint32_t idx = 0, first = 0;
    int rc;

    (void)state;
    assert_int_equal(add_open(t.region, 0, &first), 0);
    region_turn_begin(worker, 0);
    assert_int_equal(find(t.region, 0), first);
    assert_int_equal(key_remove(t.region, first), 0);
    for (uint64_t n = 1; n < 4096; n++) {
        assert_int_equal(add_open(t.region, n, &idx), 0);
        assert_int_not_equal(idx, first);
    }
    assert_int_equal(add_open(t.region, 5000, &idx), -ENOSPC);
    for (uint64_t n = 1; n < 4096; n++)
        assert_int_not_equal(find(t.region, n), 0);
    /* A slot that is given up now does not help. */
    assert_int_equal(key_remove(t.region, find(t.region, 1)), 0);
    assert_int_equal(add_open(t.region, 5000, &idx), -ENOSPC);
    region_turn_end(worker);
    key_retire(t.region);
    for (uint64_t n = 20000; n < 20000 + 100; n++) {
        uint64_t old = n - 20000 + 2;

        rc = add_open(t.region, n, &idx);
        if (rc == -ENOSPC) {
            assert_int_equal(key_remove(t.region, find(t.region, old)), 0);
            rc = add_open(t.region, n, &idx);
        }
        assert_int_equal(rc, 0);
        assert_int_equal(find(t.region, n), idx);
    }
}

/* ---- using slots again ---- */

static void
test_slot_waits_for_turn(void **state)
{
    struct region_table *a = worker_starts(0), *b = worker_starts(1);
    uint32_t first, idx;

    (void)state;
    assert_int_equal(add_open(t.region, 1, &first), 0);
    region_turn_begin(a, 0);
    region_turn_begin(b, 0);
    assert_int_equal(key_remove(t.region, first), 0);
    assert_int_equal(add_open(t.region, 2, &idx), 0);
    assert_int_not_equal(idx, first);
    region_turn_end(a);
    assert_int_equal(add_open(t.region, 3, &idx), 0);
    assert_int_not_equal(idx, first);
    region_turn_begin(a, 0); /* another turn, which began after the key was gone */
    region_turn_end(b);
    region_turn_begin(b, 0);
    assert_int_equal(add_open(t.region, 4, &idx), 0);
    assert_int_equal(idx, first);
    assert_int_equal(key_at(t.region, idx)->generation, 2);
    assert_int_equal(find(t.region, 1), 0);
    assert_int_equal(find(t.region, 4), first);
}

/* What is retired while a grace is under way needs the next one. */
static void
test_slot_waits_for_its_own_grace(void **state)
{
    struct region_table *a = worker_starts(0), *b = worker_starts(1);
    uint32_t first, second, idx;

    (void)state;
    assert_int_equal(add_open(t.region, 1, &first), 0);
    assert_int_equal(add_open(t.region, 2, &second), 0);
    region_turn_begin(a, 0);
    assert_int_equal(key_remove(t.region, first), 0);
    key_retire(t.region); /* begins, with a in its first turn and b in none */
    region_turn_begin(b, 0);
    assert_int_equal(find(t.region, 2), second);
    assert_int_equal(key_remove(t.region, second), 0);
    region_turn_end(a);
    key_retire(t.region);
    assert_int_equal(add_open(t.region, 3, &idx), 0);
    assert_int_equal(idx, first);
    assert_int_equal(add_open(t.region, 4, &idx), 0);
    assert_int_not_equal(idx, second); /* b is still in the turn in which it found that */
    region_turn_end(b);
    assert_int_equal(add_open(t.region, 5, &idx), 0);
    assert_int_equal(idx, second);
}

static void
test_dead_worker_holds_nothing_up(void **state)
{
    struct region_table *worker = worker_starts(0);
    uint32_t first, idx;

    (void)state;
    assert_int_equal(add_open(t.region, 1, &first), 0);
    region_turn_begin(worker, 0);
    assert_int_equal(key_remove(t.region, first), 0);
    atomic_store_explicit(&worker->state, TABLE_DEAD, memory_order_release);
    assert_int_equal(add_open(t.region, 2, &idx), 0);
    assert_int_equal(idx, first);
}

static void
test_reused_slot_is_clean(void **state)
{
    struct key_slot *slot;
    uint32_t first, idx;

    (void)state;
    assert_int_equal(add_open(t.region, 1, &first), 0);
    slot = key_at(t.region, first);
    slot->rpm = slot->tpm = slot->concurrency = 9;
    slot->budget_idx[2] = 3;
    slot->channel[KEY_CHANNELS_MAX - 1] = 4;
    slot->expires_wall_us = 5;
    slot->rpm_tat = slot->tpm_tat = 6;
    slot->inflight = 7;
    atomic_fetch_or(&slot->flags, KEY_DISABLED);
    assert_int_equal(key_remove(t.region, first), 0);
    assert_int_equal(add_open(t.region, 2, &idx), 0);
    assert_int_equal(idx, first);
    assert_int_equal(slot->rpm + slot->tpm + slot->concurrency + slot->budget_idx[2], 0);
    assert_int_equal(slot->channel[KEY_CHANNELS_MAX - 1], 0);
    assert_int_equal(slot->expires_wall_us, 0);
    assert_int_equal(slot->rpm_tat + slot->tpm_tat, 0);
    assert_int_equal(slot->inflight, 0);
    assert_int_equal(slot->flags, KEY_OPEN);
}

/* ---- the next ledger process ---- */

/* A view of its own, as another process has it. */
static struct region *
next_ledger(void)
{
    struct region *region;

    assert_int_equal(region_adopt(t.dir, &region), 0);
    return region;
}

static void
test_scan(void **state)
{
    uint8_t hash[HASH_LEN];
    struct key_new key = {.hash = hash};
    struct key_extra extra = {.model_count = 0};
    struct region *next;
    uint32_t added, opening, removing, kept, idx, extra_kept;

    (void)state;
    assert_int_equal(add_open(t.region, 1, &kept), 0);
    assert_int_equal(key_extra_set(t.region, kept, &extra), 0);
    extra_kept = key_at(t.region, kept)->extra_idx;
    /* Killed after key_add(). */
    hash_of(2, hash);
    assert_int_equal(key_add(t.region, &key, &added), 0);
    /* Killed within key_open(), with the entry but not the flag. */
    assert_int_equal(add_open(t.region, 3, &opening), 0);
    atomic_store(&key_at(t.region, opening)->flags, 0);
    /* Killed within key_remove(), likewise, and with an extra that it leaves behind. */
    assert_int_equal(add_open(t.region, 4, &removing), 0);
    assert_int_equal(key_extra_set(t.region, removing, &extra), 0);
    atomic_store(&key_at(t.region, removing)->flags, KEY_DISABLED);

    next = next_ledger();
    assert_int_equal(find(next, 1), kept);
    for (uint64_t n = 2; n <= 4; n++)
        assert_int_equal(find(next, n), 0);
    /* All three slots and the extra come back, none twice. */
    for (uint64_t n = 10; n < 13; n++) {
        assert_int_equal(add_open(next, n, &idx), 0);
        assert_true(idx == added || idx == opening || idx == removing);
        assert_int_equal(find(next, n), idx);
    }
    assert_int_equal(add_open(next, 13, &idx), 0);
    assert_int_equal(idx, 5);
    assert_int_equal(key_extra_set(next, idx, &extra), 0);
    assert_int_not_equal(key_at(next, idx)->extra_idx, extra_kept);
    assert_int_equal(next->header->key_extra_count, 2);
    for (uint64_t n = 10; n < 14; n++)
        assert_int_not_equal(find(next, n), 0);
    assert_int_equal(find(next, 2), 0);
    region_detach(next);
}

/* A worker that was in a turn when the ledger process died is waited for by the next. */
static void
test_scan_waits_for_workers(void **state)
{
    struct region_table *worker = worker_starts(0);
    struct region *next;
    uint32_t first, idx;

    (void)state;
    assert_int_equal(add_open(t.region, 1, &first), 0);
    region_turn_begin(worker, 0);
    assert_int_equal(find(t.region, 1), first);
    assert_int_equal(key_remove(t.region, first), 0);
    next = next_ledger();
    assert_int_equal(add_open(next, 2, &idx), 0);
    assert_int_not_equal(idx, first);
    region_turn_end(worker);
    assert_int_equal(add_open(next, 3, &idx), 0);
    assert_int_equal(idx, first);
    region_detach(next);
}

/* It can make the first index, and a larger one, though a worker does not end its turn. */
static void
test_scan_in_a_long_turn(void **state)
{
    struct region_table *worker = worker_starts(0);
    struct region *next;
    uint32_t idx;

    (void)state;
    region_turn_begin(worker, 0);
    for (uint64_t n = 0; n < 500; n++)
        assert_int_equal(add_open(t.region, n, &idx), 0);
    next = next_ledger();
    for (uint64_t n = 500; n < 4096; n++)
        assert_int_equal(add_open(next, n, &idx), 0);
    for (uint64_t n = 0; n < 4096; n++)
        assert_int_not_equal(find(next, n), 0);
    region_detach(next);
}

/* An index with garbage in it: no crash, no endless probe. */
static void
test_damaged_index(void **state)
{
    _Atomic uint32_t *index;
    uint32_t idx;

    (void)state;
    assert_int_equal(add_open(t.region, 1, &idx), 0);
    index = key_index_at(t.region, t.region->header->index_current);
    for (uint32_t at = 0; at < 1024; at++)
        if (index[at] == KEY_INDEX_EMPTY)
            index[at] = at % 2 == 0 ? 4000000000u : idx;
    assert_int_equal(find(t.region, 1), idx);
    assert_int_equal(find(t.region, 2), 0);
}

/* ---- calls in flight ---- */

static void
test_inflight(void **state)
{
    struct key_slot *slot;
    uint32_t idx;

    (void)state;
    assert_int_equal(add_open(t.region, 1, &idx), 0);
    slot = key_at(t.region, idx);
    assert_true(key_enter(slot, 0));
    assert_int_equal(slot->inflight, 0);
    assert_true(key_enter(slot, 2));
    assert_true(key_enter(slot, 2));
    assert_false(key_enter(slot, 2));
    assert_int_equal(slot->inflight, 2);
    assert_false(key_enter(slot, 1)); /* lowered meanwhile */
    key_leave(slot);
    assert_true(key_enter(slot, 2));
    key_leave(slot);
    key_leave(slot);
    key_leave(slot);
    assert_int_equal(slot->inflight, 0);
    slot->inflight = INT32_MIN;
    assert_true(key_enter(slot, 1));
    assert_int_equal(slot->inflight, 1);
    slot->inflight = INT32_MAX;
    assert_false(key_enter(slot, INT32_MAX));
}

/* Globs of quotas come from the same extras as keys': they are kept as long as somebody names them. */
static void
test_quotas(void **state)
{
    struct key_extra extra = {.model_count = 7};
    struct quota *quota;
    uint32_t idx, first;

    (void)state;
    assert_null(quota_at(t.region, 0));
    assert_null(quota_at(t.region, 1));
    assert_int_equal(key_extra_set_quota(t.region, 1, &extra), -ENOENT);
    assert_int_equal(quota_add(t.region, 1, 42, &idx), 0);
    quota = quota_at(t.region, idx);
    assert_int_equal(quota->kind, 1);
    assert_int_equal(quota->id, 42);
    assert_int_equal(quota->rpm | quota->tpm | quota->concurrency | quota->shadow, 0);
    assert_int_equal(key_extra_set_quota(t.region, idx, &extra), 0);
    first = quota->extra_idx;
    assert_int_equal(key_extra_at(t.region, first)->model_count, 7);
    /* The next ledger process knows that it is in use, and uses others. */
    free(t.region->key_writer);
    t.region->key_writer = NULL;
    for (int i = 0; i < 200; i++) {
        extra.model_count = (uint16_t)(100 + i);
        assert_int_equal(key_extra_set_quota(t.region, idx, &extra), 0);
        assert_int_equal(key_extra_at(t.region, quota->extra_idx)->model_count, 100 + i);
        key_retire(t.region);
    }
    assert_true(t.region->header->key_extra_count <= 3);
    assert_int_equal(key_extra_set_quota(t.region, idx, NULL), 0);
    assert_int_equal(quota->extra_idx, 0);
    for (uint32_t i = 2; i <= 64; i++)
        assert_int_equal(quota_add(t.region, 3, i, &idx), 0);
    assert_int_equal(quota_add(t.region, 3, 65, &idx), -ENOSPC);
}

/* ---- restrictions ---- */

static void
test_extra(void **state)
{
    struct key_extra extra = {.model_count = 1, .models = "gpt-*"};
    struct key_slot *slot;
    uint32_t idx, first;

    (void)state;
    assert_null(key_extra_at(t.region, 0));
    assert_null(key_extra_at(t.region, 1));
    assert_int_equal(add_open(t.region, 1, &idx), 0);
    slot = key_at(t.region, idx);
    assert_int_equal(key_extra_set(t.region, idx, &extra), 0);
    first = slot->extra_idx;
    assert_memory_equal(key_extra_at(t.region, first), &extra, sizeof(extra));
    extra.model_count = 0;
    assert_int_equal(key_extra_set(t.region, idx, &extra), 0);
    assert_int_not_equal(slot->extra_idx, first);
    assert_int_equal(key_extra_set(t.region, idx, NULL), 0);
    assert_int_equal(slot->extra_idx, 0);
    for (int i = 0; i < 1000; i++) /* each is used again */
        assert_int_equal(key_extra_set(t.region, idx, &extra), 0);
    assert_true(t.region->header->key_extra_count <= 4);
    assert_int_equal(key_remove(t.region, idx), 0);
}

static void
test_extra_waits_for_turn(void **state)
{
    struct region_table *worker = worker_starts(0);
    struct key_extra extra = {.model_count = 0};
    uint32_t idx;

    (void)state;
    assert_int_equal(add_open(t.region, 1, &idx), 0);
    region_turn_begin(worker, 0);
    for (int i = 0; i < 64; i++)
        assert_int_equal(key_extra_set(t.region, idx, &extra), 0);
    assert_int_equal(key_extra_set(t.region, idx, &extra), -ENOSPC);
    region_turn_end(worker);
    assert_int_equal(key_extra_set(t.region, idx, &extra), 0);
}

static void
test_models(void **state)
{
    struct key_extra extra = {.model_count = 2, .models = "gpt-4*\0claude-?"};

    (void)state;
    assert_true(key_model_allowed(NULL, STR("x")));
    assert_true(key_model_allowed(&extra, STR("gpt-4o")));
    assert_true(key_model_allowed(&extra, STR("claude-5")));
    assert_false(key_model_allowed(&extra, STR("claude-50")));
    assert_false(key_model_allowed(&extra, STR("gpt-3")));
    assert_false(key_model_allowed(&extra, STR("")));
    extra.model_count = 0;
    assert_true(key_model_allowed(&extra, STR("gpt-3")));
    /* Found so: not ended, and more said than there are. */
    memset(extra.models, 'a', sizeof(extra.models));
    extra.model_count = UINT16_MAX;
    assert_false(key_model_allowed(&extra, STR("gpt-3")));
}

static bool
cidr(const char *text, struct cidr *out)
{
    return cidr_parse(str_from(text), out);
}

static bool
allowed(const char *list, const char *address)
{
    struct key_extra extra = {.cidr_count = 1};
    struct cidr addr;

    assert_true(cidr(list, &extra.cidr[0]));
    assert_true(cidr(address, &addr));
    return key_address_allowed(&extra, addr.addr);
}

static void
test_addresses(void **state)
{
    struct key_extra extra = {.cidr_count = UINT16_MAX};
    uint8_t addr[16] = {1};
    struct cidr out;

    (void)state;
    assert_true(key_address_allowed(NULL, addr));
    assert_true(allowed("10.0.0.0/8", "10.255.1.2"));
    assert_false(allowed("10.0.0.0/8", "11.0.0.0"));
    assert_true(allowed("10.1.2.3/8", "10.0.0.9"));
    assert_true(allowed("192.168.1.7", "192.168.1.7"));
    assert_false(allowed("192.168.1.7", "192.168.1.6"));
    assert_true(allowed("192.168.1.6/31", "192.168.1.7"));
    assert_true(allowed("0.0.0.0/0", "1.2.3.4"));
    assert_false(allowed("0.0.0.0/0", "::1"));
    assert_true(allowed("::/0", "1.2.3.4"));
    assert_true(allowed("::ffff:1.2.3.0/120", "1.2.3.4"));
    assert_true(allowed("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(allowed("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(allowed("::1", "::1"));
    for (unsigned i = 0; i < KEY_CIDRS_MAX; i++) /* found so: bits past the last */
        extra.cidr[i].bits = 255;
    assert_false(key_address_allowed(&extra, addr));

    assert_false(cidr("", &out));
    assert_false(cidr("10.0.0.0/", &out));
    assert_false(cidr("10.0.0.0/33", &out));
    assert_false(cidr("10.0.0.0/-1", &out));
    assert_false(cidr("10.0.0.0/8/8", &out));
    assert_false(cidr("10.0.0", &out));
    assert_false(cidr("::/129", &out));
    assert_false(cidr("fe80::1%eth0", &out));
    assert_false(cidr("10.0.0.0 ", &out));
    assert_false(cidr_parse(STR("1.2.3.4\0x"), &out));
    assert_false(cidr("1111111111111111111111111111111111111111111111111111111", &out));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_add_open_find_remove),
        TEST(test_no_such_key),
        TEST(test_collisions),
        cmocka_unit_test(test_growth),
        TEST(test_all_keys),
        TEST(test_tombstones),
        TEST(test_worker_in_a_long_turn),
        TEST(test_slot_waits_for_turn),
        TEST(test_slot_waits_for_its_own_grace),
        TEST(test_dead_worker_holds_nothing_up),
        TEST(test_reused_slot_is_clean),
        TEST(test_scan),
        TEST(test_scan_waits_for_workers),
        TEST(test_scan_in_a_long_turn),
        TEST(test_damaged_index),
        TEST(test_inflight),
        TEST(test_quotas),
        TEST(test_extra),
        TEST(test_extra_waits_for_turn),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
