/* The ring of refusals: empty, full, one more, a whole round behind. */
#include "shm/refusal.h"

#include "test/unit/shm_small.h"

static struct refusal_ring *
ring(void)
{
    if (region_table_ensure(t.region, 0) != 0)
        abort();
    return refusal_ring_at(t.region, 0);
}

static void
put(struct refusal_ring *r, uint32_t n)
{
    struct refusal refusal = {.tenant_id = n, .key_id = ~n, .status = 429, .wall_us = n};

    refusal.call_id[15] = (uint8_t)n;
    assert_int_equal(refusal_put(r, &refusal), n);
}

static void
test_ring(void **state)
{
    struct refusal_ring *r = ring();
    static struct refusal out[2 * REFUSALS_MAX];
    uint64_t missed = 0;
    uint32_t n = 0;

    (void)state;
    assert_null(refusal_ring_at(t.region, 3)); /* was never allocated */
    assert_int_equal(refusal_take(r, out, 8, &missed), 0);
    for (; n < 3; n++)
        put(r, n);
    assert_int_equal(refusal_take(r, out, 2, &missed), 2);
    assert_int_equal(refusal_take(r, out + 2, 2, &missed), 1);
    assert_int_equal(refusal_take(r, out, 2, &missed), 0);
    assert_int_equal(missed, 0);
    assert_int_equal(out[2].tenant_id, 2);
    assert_int_equal(out[2].key_id, ~2u);
    assert_int_equal(out[2].status, 429);
    assert_int_equal(out[2].call_id[15], 2);
    for (; n < 3 + REFUSALS_MAX; n++) /* full */
        put(r, n);
    assert_int_equal(refusal_take(r, out, 2 * REFUSALS_MAX, &missed), REFUSALS_MAX);
    assert_int_equal(missed, 0);
    assert_int_equal(out[0].tenant_id, 3);
    for (uint32_t until = n + REFUSALS_MAX + 5; n < until; n++) /* and five more */
        put(r, n);
    assert_int_equal(refusal_take(r, out, 2 * REFUSALS_MAX, &missed), REFUSALS_MAX);
    assert_int_equal(missed, 5);
    assert_int_equal(out[REFUSALS_MAX - 1].tenant_id, n - 1);
}

/* What another process wrote is not believed. */
static void
test_nonsense(void **state)
{
    struct refusal_ring *r = ring();
    struct refusal out[4];
    uint64_t missed = 0;

    (void)state;
    put(r, 0);
    atomic_store(&r->entry[0].stamp, 77);
    assert_int_equal(refusal_take(r, out, 4, &missed), 0);
    assert_int_equal(missed, 1);
    atomic_store(&r->read_seq, UINT64_MAX);
    assert_int_equal(refusal_take(r, out, 4, &missed), 0);
    put(r, 1);
    assert_int_equal(refusal_take(r, out, 4, &missed), 1);
    assert_int_equal(out[0].tenant_id, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ring, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
