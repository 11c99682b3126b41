/* How long settled calls gather before they are committed. */
#include "test/unit/testing.h"

#include "ledger/pace.h"

static void
test_aims_at_a_batch(void **state)
{
    struct pace pace = {0};

    (void)state;
    (void)pace_wait_ms(&pace, 0, 1000000);
    /* 256 in 10 ms: the next batch is there after as long. */
    assert_int_equal(pace_wait_ms(&pace, 256, 1010000), 10);
    /* Twice the rate, half the wait. */
    assert_int_equal(pace_wait_ms(&pace, 256 + 512, 1020000), 5);
    /* And less of it: 256 in 20 ms. */
    assert_int_equal(pace_wait_ms(&pace, 256 + 512 + 256, 1040000), 20);
}

static void
test_bounds(void **state)
{
    struct pace pace = {0};

    (void)state;
    assert_int_equal(pace_wait_ms(&pace, 0, 5), PACE_MS_MAX);
    assert_int_equal(pace_wait_ms(&pace, 0, 30000), PACE_MS_MAX);
    assert_int_equal(pace_wait_ms(&pace, 1, 60000), PACE_MS_MAX); /* a slow trickle */
    assert_int_equal(pace_wait_ms(&pace, 4097, 61000), 5);    /* more than a disk should be asked for */
    assert_int_equal(pace_wait_ms(&pace, 4098, 61000), 5);    /* in no time at all */
    assert_int_equal(pace_wait_ms(&pace, 9000, UINT64_MAX), PACE_MS_MAX); /* after a long time without any */
}

/* A store that has records already says nothing of how fast they came. */
static void
test_starts_with_a_store(void **state)
{
    struct pace pace = {0};

    (void)state;
    assert_int_equal(pace_wait_ms(&pace, 1000000000, 1000000), PACE_MS_MIN);
    assert_int_equal(pace_wait_ms(&pace, 1000000000, 1005000), PACE_MS_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aims_at_a_batch),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_starts_with_a_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
