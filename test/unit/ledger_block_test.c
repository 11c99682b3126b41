/* Blocks of call records: what goes in comes out, whatever it is; what was touched is found out. */
#include "test/unit/testing.h"

#include <errno.h>

#include "base/rng.h"
#include "ledger/block.h"

static uint64_t rng;

static uint64_t
up_to(uint64_t max)
{
    /* Mostly small, sometimes the very edge. */
    switch (rng_next(&rng) % 8) {
    case 0: return 0;
    case 1: return max;
    case 2: return max / 2;
    default: return max == UINT64_MAX ? rng_next(&rng) : rng_next(&rng) % (MIN(max, 300u) + 1);
    }
}

static struct block_record
random_record(uint32_t tenants)
{
    struct block_record r = {0};
    struct record *rec = &r.rec;

    for (unsigned i = 0; i < sizeof(rec->call_id); i++)
        rec->call_id[i] = (uint8_t)rng_next(&rng);
    r.tenant_id = rec->tenant_id = (uint32_t)(1 + rng_next(&rng) % tenants);
    r.table_idx = (uint32_t)up_to(63);
    r.slot = (uint32_t)up_to(UINT32_MAX);
    r.generation = up_to((UINT64_C(1) << 56) - 1);
    r.amount_ucr = (int64_t)up_to(INT64_MAX / 8);
    r.charge_ucr = (int64_t)(rng_next(&rng) % 2 ? (uint64_t)r.amount_ucr / 100000 : 0);
    for (unsigned k = 0; k < BUDGET_KIND_COUNT; k++) {
        r.budget_id[k] = up_to(UINT64_MAX);
        r.budget_window[k] = r.budget_id[k] != 0 ? (uint16_t)up_to(0x7fff) : 0;
    }
    r.model = (uint32_t)up_to(UINT32_MAX);
    r.channel = (uint32_t)up_to(UINT32_MAX);
    r.upstream = (uint32_t)up_to(UINT32_MAX);
    r.family = (uint32_t)up_to(UINT32_MAX);
    rec->key_id = (uint32_t)up_to(UINT32_MAX);
    rec->member_id = (uint32_t)up_to(UINT32_MAX);
    rec->project_id = (uint32_t)up_to(UINT32_MAX);
    rec->protocol = (uint8_t)up_to(255);
    rec->endpoint = (uint8_t)up_to(255);
    rec->outcome = (uint8_t)(rng_next(&rng) % OUTCOME_COUNT);
    rec->flags = (uint32_t)up_to(UINT32_MAX) & RECORD_FLAGS_KEPT & ~(uint32_t)(RECORD_DEAL | RECORD_PAID);
    rec->http_status = (uint16_t)up_to(UINT16_MAX);
    rec->price_version = up_to(UINT64_MAX);
    rec->start_wall_us = INT64_C(1795000000000000) + (int64_t)up_to(3600000000);
    rec->first_byte_us = up_to(UINT64_MAX);
    rec->end_us = up_to(UINT64_MAX);
    rec->queue_us = (uint32_t)up_to(UINT32_MAX);
    rec->basis = (uint8_t)(rng_next(&rng) % BASIS_COUNT);
    for (unsigned i = 0; i < RECORD_CLASS_COUNT; i++)
        r.count[i] = (uint32_t)up_to(UINT32_MAX);
    r.tier = (uint8_t)up_to(UINT8_MAX);
    r.service = (uint8_t)up_to(UINT8_MAX);
    r.discount = (uint8_t)up_to(UINT8_MAX);
    r.deal_u = rng_next(&rng) % 2 ? (uint32_t)up_to(RECORD_DEAL_MAX_U) : 0;
    rec->flags |= r.deal_u != 0 ? RECORD_DEAL : 0u;
    if (r.charge_ucr >= (int64_t)BLOCK_PAID_MAX)
        r.paid_count = (uint32_t)(rng_next(&rng) % (BLOCK_PAID_MAX + 1));
    for (uint32_t i = 0; i < r.paid_count; i++)
        r.paid[i] = (struct block_paid){(uint32_t)up_to(UINT8_MAX), up_to(UINT64_MAX),
                                        r.charge_ucr / BLOCK_PAID_MAX};
    rec->flags |= r.paid_count != 0 ? RECORD_PAID : 0u;
    r.asked = (uint32_t)up_to(UINT32_MAX);
    r.rule = (uint32_t)up_to(UINT32_MAX);
    rec->reported_in = (uint32_t)up_to(UINT32_MAX);
    rec->reported_out = (uint32_t)up_to(UINT32_MAX);
    rec->operator_ucr = (int64_t)up_to(INT64_MAX);
    rec->before_ucr = (int64_t)up_to(INT64_MAX);
    rec->request_bytes = (uint32_t)up_to(UINT32_MAX);
    rec->response_bytes = (uint32_t)up_to(UINT32_MAX);
    rec->total_charge_ucr = (int64_t)up_to(INT64_MAX);
    rec->uncollected_ucr = (int64_t)up_to(INT64_MAX);
    rec->attempt_count = (uint8_t)(rng_next(&rng) % (RECORD_ATTEMPTS_MAX + 1));
    for (unsigned i = 0; i < rec->attempt_count; i++) {
        r.attempt_upstream[i] = (uint32_t)up_to(UINT32_MAX);
        r.attempt_channel[i] = (uint32_t)up_to(UINT32_MAX);
        r.attempt_model[i] = (uint32_t)up_to(UINT32_MAX) * (i % 2);
        rec->attempt[i].credential = (uint8_t)up_to(UINT8_MAX);
        rec->attempt[i].status = (uint16_t)up_to(UINT16_MAX);
        rec->attempt[i].reason = (uint8_t)up_to(REASON_COUNT - 1);
        rec->attempt[i].start_ms = (uint32_t)up_to(UINT32_MAX);
        rec->attempt[i].took_ms = (uint32_t)up_to(UINT32_MAX);
    }
    for (unsigned i = 0, len = (unsigned)up_to(RECORD_MODEL_BYTES); i < MIN(len, 48u); i++)
        rec->model_reported[i] = (char)(1 + rng_next(&rng) % 255);
    return r;
}

/* Every number at its largest. */
static void
largest_record(void **state)
{
    struct block_record r, got, seen;
    const struct block_record *records[1] = {&r};
    struct block_head head = {.seq = 1};
    struct block_walk walk, look;
    uint8_t hash[HASH_LEN];
    struct block block;
    struct buf bytes;

    (void)state;
    memset(&r, 0xff, sizeof(r));
    memset(r.rec.tally, 0, sizeof(r.rec.tally));
    r.amount_ucr = r.charge_ucr = INT64_MAX;
    r.deal_u = RECORD_DEAL_MAX_U;
    r.paid_count = BLOCK_PAID_MAX;
    for (unsigned i = 0; i < BLOCK_PAID_MAX; i++)
        r.paid[i] = (struct block_paid){UINT8_MAX, UINT64_MAX, INT64_MAX / BLOCK_PAID_MAX};
    r.rec.start_wall_us = 0;
    r.rec.total_charge_ucr = r.rec.uncollected_ucr = INT64_MAX;
    r.rec.operator_ucr = r.rec.before_ucr = INT64_MAX;
    r.rec.outcome = OUTCOME_COUNT - 1;
    r.rec.basis = BASIS_COUNT - 1;
    r.rec.attempt_count = RECORD_ATTEMPTS_MAX;
    buf_init(&bytes, BLOCK_BYTES_MAX);
    assert_int_equal(block_pack(records, 1, &head, &bytes, hash), 0);
    assert_int_equal(block_open(buf_str(&bytes), &block), 0);
    block_walk(&block, 0, &walk);
    look = walk;
    assert_true(block_next(&walk, &got));
    assert_true(block_look(&look, &seen));
    assert_int_equal(look.at, walk.at);
    assert_int_equal(seen.rec.http_status, UINT16_MAX);
    assert_memory_equal(got.count, r.count, sizeof(r.count));
    assert_memory_equal(got.attempt_channel, r.attempt_channel, sizeof(r.attempt_channel));
    assert_int_equal(got.rec.before_ucr, INT64_MAX);
    assert_memory_equal(got.rec.model_reported, r.rec.model_reported, RECORD_MODEL_BYTES);
    assert_false(block_next(&walk, &got));
    assert_false(walk.damaged);
    buf_free(&bytes);
}

static int
by_tenant(const void *a, const void *b)
{
    const struct block_record *x = *(const struct block_record *const *)a;
    const struct block_record *y = *(const struct block_record *const *)b;

    return x->tenant_id < y->tenant_id ? -1 : x->tenant_id > y->tenant_id;
}

struct packed {
    struct block_record *records;
    const struct block_record **sorted;
    uint32_t count;
    struct buf bytes;
    struct block_head head;
    uint8_t hash[HASH_LEN];
};

static struct packed
pack_random(uint32_t count, uint32_t tenants)
{
    struct packed p = {.count = count, .head = {.seq = 7, .region_id = 99, .commit_wall_us = 5}};

    p.records = calloc(count, sizeof(*p.records));
    p.sorted = calloc(count, sizeof(*p.sorted));
    for (uint32_t i = 0; i < count; i++) {
        p.records[i] = random_record(tenants);
        p.sorted[i] = &p.records[i];
    }
    qsort(p.sorted, count, sizeof(*p.sorted), by_tenant);
    memset(p.head.prev_hash, 0xab, HASH_LEN);
    buf_init(&p.bytes, BLOCK_BYTES_MAX);
    assert_int_equal(block_pack(p.sorted, count, &p.head, &p.bytes, p.hash), 0);
    return p;
}

static void
packed_free(struct packed *p)
{
    free(p->records);
    free(p->sorted);
    buf_free(&p->bytes);
}

static void
whole_block_round_trip(void **state)
{
    static const uint32_t counts[] = {1, 2, 3, 17, 256, 4096};

    (void)state;
    for (unsigned c = 0; c < COUNT_OF(counts); c++) {
        struct packed p = pack_random(counts[c], 1 + counts[c] / 3);
        struct block block;
        struct block_walk walk;
        struct block_record got;
        uint8_t hash[HASH_LEN];
        uint32_t n = 0;
        int64_t sum = 0;

        assert_int_equal(block_open(buf_str(&p.bytes), &block), 0);
        assert_int_equal(block_verify(&block, hash), 0);
        assert_memory_equal(hash, p.hash, HASH_LEN);
        assert_int_equal(block.head.record_count, counts[c]);
        assert_int_equal(block.head.seq, 7);
        assert_int_equal(block.head.region_id, 99);
        assert_memory_equal(block.head.prev_hash, p.head.prev_hash, HASH_LEN);
        for (block_walk(&block, 0, &walk); block_next(&walk, &got); n++) {
            assert_true(n < counts[c]);
            assert_memory_equal(&got, p.sorted[n], sizeof(got));
            sum += got.charge_ucr;
        }
        assert_false(walk.damaged);
        assert_int_equal(n, counts[c]);
        assert_int_equal(sum, block.head.charge_ucr);
        packed_free(&p);
    }
}

/* What records are looked for by is read the same by the short way, also of the largest. */
static void
a_look_says_the_same(void **state)
{
    struct packed p = pack_random(2000, 30);
    struct block_walk walk, look;
    struct block_record got, seen;
    struct block block;
    uint32_t n = 0;

    (void)state;
    assert_int_equal(block_open(buf_str(&p.bytes), &block), 0);
    block_walk(&block, 0, &look);
    for (block_walk(&block, 0, &walk); block_next(&walk, &got); n++) {
        memset(&seen, 0xff, sizeof(seen));
        assert_true(block_look(&look, &seen));
        assert_int_equal(look.at, walk.at);
        assert_int_equal(seen.tenant_id, got.tenant_id);
        assert_int_equal(seen.rec.start_wall_us, got.rec.start_wall_us);
        assert_int_equal(seen.rec.key_id, got.rec.key_id);
        assert_int_equal(seen.rec.member_id, got.rec.member_id);
        assert_int_equal(seen.rec.project_id, got.rec.project_id);
        assert_int_equal(seen.model, got.model);
        assert_int_equal(seen.channel, got.channel);
        assert_int_equal(seen.rec.outcome, got.rec.outcome);
        assert_int_equal(seen.rec.http_status, got.rec.http_status);
    }
    assert_int_equal(n, 2000);
    assert_false(block_look(&look, &seen) || look.damaged);
    packed_free(&p);
}

static void
one_tenants_records(void **state)
{
    struct packed p = pack_random(500, 20);
    struct block block;

    (void)state;
    assert_int_equal(block_open(buf_str(&p.bytes), &block), 0);
    for (uint32_t tenant = 1; tenant <= 21; tenant++) {
        struct block_walk walk;
        struct block_record got;
        uint32_t n = 0, want = 0;

        for (uint32_t i = 0; i < p.count; i++)
            want += p.records[i].tenant_id == tenant;
        for (block_walk(&block, tenant, &walk); block_next(&walk, &got); n++)
            assert_int_equal(got.tenant_id, tenant);
        assert_int_equal(n, want);
    }
    packed_free(&p);
}

static void
found_by_call(void **state)
{
    struct packed p = pack_random(300, 9);
    struct block block;
    struct block_record got;
    uint8_t other[16] = {1};

    (void)state;
    assert_int_equal(block_open(buf_str(&p.bytes), &block), 0);
    for (uint32_t i = 0; i < p.count; i++) {
        const struct block_record *r = &p.records[i];

        assert_int_equal(block_find(&block, r->rec.call_id, 0, 0, &got), 0);
        assert_memory_equal(&got, r, sizeof(got));
        assert_int_equal(block_find(&block, r->rec.call_id, r->tenant_id, 0, &got), 0);
        assert_int_equal(block_find(&block, r->rec.call_id, r->tenant_id + 1, 0, &got), -ENOENT);
        assert_int_equal(block_find(&block, r->rec.call_id, 0, 1, &got), -ENOENT);
        /* The same fingerprint, another call. */
        memcpy(other, r->rec.call_id, 16);
        other[0] ^= 1;
        assert_int_equal(block_find(&block, other, 0, 0, &got), -ENOENT);
    }
    packed_free(&p);
}

/* An extension has its call's ID: both are found. */
static void
all_of_a_call(void **state)
{
    struct block_record a = random_record(1), b = a;
    const struct block_record *records[2] = {&a, &b};
    struct block_head head = {.seq = 1};
    uint8_t hash[HASH_LEN];
    struct block_record got;
    struct block block;
    struct buf bytes;

    (void)state;
    b.charge_ucr = 0;
    b.paid_count = 0;
    b.slot = 77;
    buf_init(&bytes, BLOCK_BYTES_MAX);
    assert_int_equal(block_pack(records, 2, &head, &bytes, hash), 0);
    assert_int_equal(block_open(buf_str(&bytes), &block), 0);
    assert_int_equal(block_find(&block, a.rec.call_id, 0, 0, &got), 0);
    assert_int_equal(got.slot, a.slot);
    assert_int_equal(block_find(&block, a.rec.call_id, 0, 1, &got), 0);
    assert_int_equal(got.slot, 77);
    assert_int_equal(block_find(&block, a.rec.call_id, 0, 2, &got), -ENOENT);
    buf_free(&bytes);
}

static void
refuses_to_pack(void **state)
{
    struct block_record a = random_record(1), b = a;
    const struct block_record *records[3] = {&a, &b, &b};
    struct block_head head = {0};
    uint8_t hash[HASH_LEN];
    struct buf bytes;

    (void)state;
    buf_init(&bytes, BLOCK_BYTES_MAX);
    assert_int_equal(block_pack(records, 0, &head, &bytes, hash), -EINVAL);
    a.amount_ucr = a.charge_ucr = b.amount_ucr = b.charge_ucr = INT64_MAX / 2;
    assert_int_equal(block_pack(records, 3, &head, &bytes, hash), -EINVAL);
    buf_free(&bytes);
}

/* Every byte counts: no change to any of them goes unseen, and none makes the reader read outside. */
static void
every_flipped_byte_is_seen(void **state)
{
    struct packed p = pack_random(12, 4);

    (void)state;
    for (size_t i = 0; i < p.bytes.len; i++) {
        struct block block;
        struct block_walk walk;
        struct block_record got;
        uint8_t hash[HASH_LEN];
        char *copy = malloc(p.bytes.len); /* of its very size: a sanitizer sees more */

        memcpy(copy, p.bytes.ptr, p.bytes.len);
        copy[i] ^= (char)(1 + rng_next(&rng) % 255);
        if (block_open((struct str){copy, p.bytes.len}, &block) == 0) {
            assert_int_equal(block_verify(&block, hash), -EILSEQ);
            for (block_walk(&block, 0, &walk); block_next(&walk, &got);)
                assert_true(got.charge_ucr >= 0 && got.charge_ucr <= got.amount_ucr);
            (void)!block_find(&block, p.records[0].rec.call_id, 0, 0, &got);
        }
        free(copy);
    }
    for (size_t len = 0; len < p.bytes.len; len++) {
        struct block block;

        assert_int_equal(block_open((struct str){p.bytes.ptr, len}, &block), -EILSEQ);
    }
    packed_free(&p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(largest_record),
        cmocka_unit_test(whole_block_round_trip), cmocka_unit_test(one_tenants_records),
        cmocka_unit_test(a_look_says_the_same),
        cmocka_unit_test(found_by_call),          cmocka_unit_test(all_of_a_call),
        cmocka_unit_test(refuses_to_pack),        cmocka_unit_test(every_flipped_byte_is_seen),
    };
    const char *text = getenv("TEST_SEED");

    rng = text != NULL ? strtoull(text, NULL, 0) : rng_u64();
    print_message("TEST_SEED=%llu\n", (unsigned long long)rng);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
