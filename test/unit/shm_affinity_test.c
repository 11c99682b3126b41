/* Where conversations were served: found again, forgotten in time, crowded out by later ones. */
#include "test/unit/shm_small.h"

#include "base/rng.h"
#include "shm/affinity.h"

/* The n-th hash of one line. */
static uint64_t
hash_of(uint32_t line, uint32_t n)
{
    return (uint64_t)n << 32 | line;
}

static void
test_found_again(void **state)
{
    const struct affinity kept = {.upstream = 65535, .model = 7, .credential = 255,
                                  .context_tokens = 123456};
    struct affinity got;

    (void)state;
    assert_false(affinity_find(t.region, hash_of(5, 1), 10, &got));
    affinity_keep(t.region, hash_of(5, 1), 10, 600, &kept);
    assert_true(affinity_find(t.region, hash_of(5, 1), 10, &got));
    assert_int_equal(got.upstream, 65535);
    assert_int_equal(got.model, 7);
    assert_int_equal(got.credential, 255);
    assert_int_equal(got.context_tokens, 123456);
    assert_false(affinity_find(t.region, hash_of(6, 1), 10, &got));
    assert_false(affinity_find(t.region, hash_of(5, 2), 10, &got));
    assert_true(affinity_find(t.region, hash_of(5, 1), 609, &got));
    assert_false(affinity_find(t.region, hash_of(5, 1), 610, &got));
}

/* A line that nobody used has no conversation, also none whose hash is all zero. */
static void
test_zero(void **state)
{
    struct affinity got;

    (void)state;
    assert_false(affinity_find(t.region, 0, 0, &got));
    affinity_keep(t.region, 0, 0, 1, &(struct affinity){.upstream = 1});
    assert_true(affinity_find(t.region, 0, 0, &got));
    assert_int_equal(got.upstream, 1);
}

static void
test_moves(void **state)
{
    struct affinity got;

    (void)state;
    for (uint16_t i = 1; i < 100; i++) {
        affinity_keep(t.region, hash_of(9, 4), i, 10, &(struct affinity){.upstream = i});
        assert_true(affinity_find(t.region, hash_of(9, 4), i, &got));
        assert_int_equal(got.upstream, i);
    }
    /* And has taken one way only: three more fit beside it. */
    for (uint32_t n = 10; n < 13; n++)
        affinity_keep(t.region, hash_of(9, n), 100, 10, &(struct affinity){.upstream = 1});
    assert_true(affinity_find(t.region, hash_of(9, 4), 100, &got));
}

static void
test_crowded(void **state)
{
    struct affinity got;

    (void)state;
    for (uint32_t n = 1; n <= AFFINITY_WAYS + 1; n++)
        affinity_keep(t.region, hash_of(1, n), n, 100, &(struct affinity){.upstream = 2});
    assert_false(affinity_find(t.region, hash_of(1, 1), 50, &got)); /* would have gone first */
    for (uint32_t n = 2; n <= AFFINITY_WAYS + 1; n++)
        assert_true(affinity_find(t.region, hash_of(1, n), 50, &got));
}

static void
test_bounds(void **state)
{
    struct affinity got;

    (void)state;
    affinity_keep(t.region, 3, UINT32_MAX - 5, 100,
                  &(struct affinity){.upstream = 1, .context_tokens = UINT32_MAX});
    assert_true(affinity_find(t.region, 3, UINT32_MAX - 1, &got));
    assert_int_equal(got.context_tokens, AFFINITY_CONTEXT_MAX);
    assert_false(affinity_find(t.region, 3, UINT32_MAX, &got));
    affinity_keep(t.region, 4, 5, 0, &(struct affinity){.upstream = 1});
    assert_false(affinity_find(t.region, 4, 5, &got));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_found_again), TEST(test_zero),   TEST(test_moves),
        TEST(test_crowded),     TEST(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
