/* The last minutes in memory, and classes of time. */
#include "test/unit/testing.h"

#include <string.h>

#include "ledger/histogram.h"
#include "ledger/recent.h"

#define S UINT64_C(1000000)

static void
test_classes(void **state)
{
    struct histogram h = {0};

    (void)state;
    assert_int_equal(histogram_us(&h, 500), 0);
    /* Each time is in a class that ends above it, by a quarter at most once it is beyond four units. */
    for (uint64_t us = 0; us < UINT64_C(100000000000); us += us / 7 + 1) {
        struct histogram one = {0};
        uint64_t end_us;

        histogram_add(&one, us);
        end_us = histogram_us(&one, 1000);
        assert_true(end_us > us);
        assert_true(us < 256 ? end_us <= us + 64 : end_us <= us + us / 4 + 1);
    }
    histogram_add(&h, UINT64_MAX);
    assert_int_equal(h.count[HISTOGRAM_CLASSES - 1], 1);
}

static void
test_percentiles_and_the_stored_form(void **state)
{
    struct histogram h = {0}, back = {0};
    uint8_t bytes[HISTOGRAM_BYTES_MAX];
    size_t len;

    (void)state;
    for (int i = 0; i < 98; i++)
        histogram_add(&h, 1000); /* 15.6 units: the class from 14 to 16 of them */
    histogram_add(&h, 1000000);
    histogram_add(&h, 2000000);
    assert_int_equal(histogram_us(&h, 500), 1024);
    assert_int_equal(histogram_us(&h, 980), 1024);
    assert_int_equal(histogram_us(&h, 990), UINT64_C(1048576));
    assert_int_equal(histogram_us(&h, 1000), UINT64_C(2097152));
    len = histogram_write(&h, bytes);
    assert_int_equal(len, 15);
    assert_true(histogram_read((struct str){(const char *)bytes, len}, &back));
    assert_memory_equal(&h, &back, sizeof(h));
    assert_true(histogram_read((struct str){(const char *)bytes, len}, &back));
    assert_int_equal(histogram_total(&back), 200);
    assert_false(histogram_read((struct str){(const char *)bytes, 14}, &back));
    bytes[5] = HISTOGRAM_CLASSES;
    assert_false(histogram_read((struct str){(const char *)bytes, len}, &back));
    assert_int_equal(histogram_total(&back), 200);
    h.count[3] = UINT32_MAX;
    histogram_merge(&h, &h);
    assert_int_equal(h.count[3], UINT32_MAX);
}

static struct block_record
a_call(uint32_t tenant_id, uint32_t model, int64_t charge_ucr)
{
    struct block_record r;

    memset(&r, 0, sizeof(r));
    r.tenant_id = tenant_id;
    r.model = model;
    r.charge_ucr = charge_ucr;
    r.count[RECORD_INPUT] = 10;
    r.count[RECORD_OUTPUT] = 3;
    r.rec.outcome = OUTCOME_OK;
    r.rec.first_byte_us = 1000;
    r.rec.end_us = 5000;
    return r;
}

static void
add(struct recent *recent, uint64_t now_us, struct block_record r)
{
    const struct block_record *one = &r;

    recent_add(recent, now_us, &one, 1);
}

static void
test_slices_come_and_go(void **state)
{
    struct recent *recent = recent_new(1000 * S);
    struct block_record extension = a_call(1, 7, 50), failed = a_call(2, 7, 0);
    struct recent_sum sum;
    struct arena arena;

    (void)state;
    extension.rec.flags = RECORD_EXTENSION;
    failed.rec.outcome = OUTCOME_UPSTREAM_ERROR;
    add(recent, 1001 * S, a_call(1, 7, 100));
    add(recent, 1001 * S, extension);
    add(recent, 1100 * S, a_call(1, 8, 200));
    add(recent, 1101 * S, failed);
    arena_init(&arena, 4u << 20);

    assert_int_equal(recent_sum(recent, 1105 * S, &arena, &sum), 0);
    assert_int_equal(sum.window_us, 105 * S); /* it is no older */
    assert_int_equal(sum.minute_us, 55 * S);  /* five whole slices, half of one */
    assert_int_equal(sum.minute.calls, 2);
    assert_int_equal(sum.minute.errors, 1);
    assert_int_equal(sum.minute.charge_ucr, 200);
    assert_int_equal(sum.minute.tokens_in, 20);
    assert_int_equal(sum.part_count, 3);
    assert_int_equal(sum.parts[0].tenant_id, 1);
    assert_int_equal(sum.parts[0].model, 7);
    assert_int_equal(sum.parts[0].count.calls, 1); /* an extension is money alone */
    assert_int_equal(sum.parts[0].count.charge_ucr, 150);
    assert_int_equal(sum.parts[2].tenant_id, 2);
    assert_int_equal(histogram_total(&sum.total), 2); /* what failed was no answer */

    /* The first slice is over, then all of them; what is counted in their places is new. */
    assert_int_equal(recent_sum(recent, 1300 * S, &arena, &sum), 0);
    assert_int_equal(sum.window_us, 290 * S);
    assert_int_equal(sum.part_count, 2);
    assert_int_equal(sum.minute.calls, 0);
    add(recent, 1401 * S, a_call(3, 9, 1));
    assert_int_equal(recent_sum(recent, 1405 * S, &arena, &sum), 0);
    assert_int_equal(sum.part_count, 1);
    assert_int_equal(sum.parts[0].tenant_id, 3);
    arena_end(&arena);
    recent_free(&recent);
}

static void
test_no_room_for_more_pairs(void **state)
{
    struct recent *recent = recent_new(1000 * S);
    struct recent_sum sum;
    struct arena arena;
    uint64_t calls = 0;

    (void)state;
    for (uint32_t t = 1; t <= 200; t++)
        for (int n = 0; n < 2; n++)
            add(recent, 1000 * S, a_call(t, 1, 1));
    arena_init(&arena, 4u << 20);
    assert_int_equal(recent_sum(recent, 1001 * S, &arena, &sum), 0);
    assert_int_equal(sum.part_count, 97);
    assert_int_equal(sum.parts[0].tenant_id, 0);
    assert_int_equal(sum.parts[0].count.calls, 2 * (200 - 96));
    for (uint32_t i = 0; i < sum.part_count; i++)
        calls += sum.parts[i].count.calls;
    assert_int_equal(calls, 400);
    assert_int_equal(sum.minute.calls, 400);
    arena_end(&arena);
    recent_free(&recent);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_percentiles_and_the_stored_form),
        cmocka_unit_test(test_slices_come_and_go),
        cmocka_unit_test(test_no_room_for_more_pairs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
