/* Rates: the burst after a quiet minute, evenly afterwards, how long to wait, ends of the range. */
#include "test/unit/testing.h"

#include "shm/rate.h"

#define MINUTE UINT64_C(60000000000)

static void
test_no_limit(void **state)
{
    _Atomic uint64_t tat = 0;
    uint64_t retry = 1;

    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_true(rate_admit(&tat, rate_per_minute(0), UINT64_MAX, 5, &retry));
    rate_correct(&tat, rate_per_minute(0), 0, UINT64_MAX, 5);
    assert_int_equal(tat, 0);
    assert_int_equal(retry, 0);
}

/* A limit of n admits n at once, then one every n-th part of a minute, exactly when it said. */
static void
test_burst_then_evenly(void **state)
{
    const uint32_t limits[] = {1, 2, 3, 7, 60, 61, 1000, 100000};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        struct rate rate = rate_per_minute(limits[i]);
        uint64_t now = 10 * MINUTE, retry = 0;
        _Atomic uint64_t tat = 0;

        for (uint32_t n = 0; n < limits[i]; n++)
            assert_true(rate_admit(&tat, rate, 1, now, &retry));
        for (int n = 0; n < 50; n++) {
            assert_false(rate_admit(&tat, rate, 1, now, &retry));
            assert_true(retry > 0 && retry <= rate.interval_ns);
            assert_int_equal(retry, rate.interval_ns);
            assert_false(rate_admit(&tat, rate, 1, now + retry - 1, &retry));
            assert_int_equal(retry, 1);
            now += rate.interval_ns;
            assert_true(rate_admit(&tat, rate, 1, now, &retry));
            assert_int_equal(retry, 0);
        }
        now += MINUTE + rate.interval_ns;
        for (uint32_t n = 0; n < limits[i]; n++)
            assert_true(rate_admit(&tat, rate, 1, now, &retry));
        assert_false(rate_admit(&tat, rate, 1, now, &retry));
    }
}

/* In no minute more than twice the limit, in an hour hardly more than 61 times. */
static void
test_never_more(void **state)
{
    struct rate rate = rate_per_minute(90);
    _Atomic uint64_t tat = 0;
    uint64_t retry, admitted = 0;

    (void)state;
    for (uint64_t now = MINUTE; now < 61 * MINUTE; now += MINUTE / 1000)
        admitted += rate_admit(&tat, rate, 1, now, &retry);
    assert_true(admitted >= 60 * 90 && admitted <= 61 * 90);
}

static void
test_large_cost(void **state)
{
    struct rate rate = rate_per_minute(1000); /* tokens */
    uint64_t now = 5 * MINUTE, retry;
    _Atomic uint64_t tat = 0;

    (void)state;
    assert_true(rate_admit(&tat, rate, 600, now, &retry));
    assert_true(rate_admit(&tat, rate, 600, now, &retry)); /* there was room for some of it */
    assert_false(rate_admit(&tat, rate, 1, now, &retry));
    assert_true(retry <= rate.interval_ns);
    tat = 0;
    /* More than the limit ever allows: once, and then it is over in little more than a minute. */
    assert_true(rate_admit(&tat, rate, UINT64_MAX, now, &retry));
    assert_false(rate_admit(&tat, rate, 1, now, &retry));
    assert_true(rate_admit(&tat, rate, 1, now + rate.interval_ns, &retry));
    assert_true(rate_admit(&tat, rate, 0, now + MINUTE, &retry));
}

static void
test_correct(void **state)
{
    struct rate rate = rate_per_minute(600);
    uint64_t now = 5 * MINUTE, retry, taken;
    _Atomic uint64_t tat = 0;

    (void)state;
    assert_true(rate_admit_guess(&tat, rate, 100, now, &retry, &taken));
    assert_int_equal(tat, now + 100 * rate.interval_ns);
    assert_int_equal(taken, 100 * rate.interval_ns);
    rate_correct(&tat, rate, taken, 60, now);
    assert_int_equal(tat, now + 60 * rate.interval_ns);
    rate_correct(&tat, rate, UINT64_MAX, 0, now);
    assert_int_equal(tat, now);
    rate_correct(&tat, rate, 0, UINT64_MAX, now);
    assert_int_equal(tat, now + rate.burst_ns + rate.interval_ns);
    assert_false(rate_admit_guess(&tat, rate, 1, now, &retry, &taken));
    assert_int_equal(taken, 0);
    /* From the past: counted from now. */
    tat = 7;
    rate_correct(&tat, rate, 0, 1, now);
    assert_int_equal(tat, now + rate.interval_ns);
    rate_correct(&tat, rate, 0, 0, now + MINUTE);
    assert_int_equal(tat, now + MINUTE);
}

/* A guess past the limit is cut to it, and gives back no more than it took. */
static void
test_huge_guess(void **state)
{
    struct rate rate = rate_per_minute(600);
    uint64_t now = 5 * MINUTE, retry, taken;
    _Atomic uint64_t tat = 0;

    (void)state;
    assert_true(rate_admit(&tat, rate, 500, now, &retry));
    assert_true(rate_admit_guess(&tat, rate, UINT64_MAX, now, &retry, &taken));
    assert_int_equal(taken, 100 * rate.interval_ns);
    rate_correct(&tat, rate, taken, 0, now);
    assert_int_equal(tat, now + 500 * rate.interval_ns);
}

/* A word that is out of range (another boot's clock, or scribbled) mends by itself within a minute.
 */
static void
test_damaged(void **state)
{
    struct rate rate = rate_per_minute(60);
    uint64_t now = 5 * MINUTE, retry;
    _Atomic uint64_t tat = UINT64_MAX;

    (void)state;
    assert_false(rate_admit(&tat, rate, 1, now, &retry));
    assert_true(retry <= rate.interval_ns);
    rate_correct(&tat, rate, 0, 1, now);
    assert_true(tat <= now + rate.burst_ns + rate.interval_ns);
    assert_true(rate_admit(&tat, rate, 1, now + rate.interval_ns, &retry));
}

static void
test_ends_of_range(void **state)
{
    _Atomic uint64_t tat = 0;
    uint64_t retry;
    struct rate rate = rate_per_minute(UINT32_MAX);

    (void)state;
    assert_true(rate.interval_ns > 0);
    assert_true(rate_admit(&tat, rate, 1, 0, &retry));
    assert_true(rate_admit(&tat, rate, 1, UINT64_MAX, &retry));
    rate_correct(&tat, rate, 0, UINT64_MAX, UINT64_MAX);
    rate_correct(&tat, rate, UINT64_MAX, 0, UINT64_MAX);
    rate = rate_per_minute(1);
    assert_int_equal(rate.interval_ns, MINUTE);
    assert_int_equal(rate.burst_ns, 0);
    tat = 0;
    assert_true(rate_admit(&tat, rate, 1, UINT64_MAX - 5, &retry));
    assert_int_equal(tat, UINT64_MAX);
}

/* From nothing to all of the burst, and back as time goes by. */
static void
test_used(void **state)
{
    const struct rate rate = rate_per_minute(60); /* one a second, sixty at once */
    const uint64_t now_ns = UINT64_C(1000000000000);
    _Atomic uint64_t tat = 0;
    uint64_t retry_ns;

    (void)state;
    assert_int_equal(rate_used_ppm(&tat, rate, now_ns), 0);
    for (unsigned i = 1; i <= 60; i++) {
        assert_true(rate_admit(&tat, rate, 1, now_ns, &retry_ns));
        assert_int_equal(rate_used_ppm(&tat, rate, now_ns), i * 1000000 / 60);
    }
    assert_false(rate_admit(&tat, rate, 1, now_ns, &retry_ns));
    assert_int_equal(rate_used_ppm(&tat, rate, now_ns + UINT64_C(30000000000)), 500000);
    assert_int_equal(rate_used_ppm(&tat, rate, now_ns + UINT64_C(60000000000)), 0);
    tat = UINT64_MAX; /* none of ours */
    assert_int_equal(rate_used_ppm(&tat, rate, now_ns), 1000000);
    assert_int_equal(rate_used_ppm(&tat, rate_per_minute(0), now_ns), 0);
}

/* How long to wait is what the next one would be told, and asking takes nothing. */
static void
test_wait(void **state)
{
    struct rate rate = rate_per_minute(2);
    _Atomic uint64_t tat = 0;
    uint64_t now = 10 * MINUTE, retry, before;

    (void)state;
    assert_int_equal(rate_wait_ns(&tat, rate_per_minute(0), now), 0);
    assert_int_equal(rate_wait_ns(&tat, rate, now), 0);
    assert_true(rate_admit(&tat, rate, 1, now, &retry));
    assert_int_equal(rate_wait_ns(&tat, rate, now), 0);
    assert_true(rate_admit(&tat, rate, 1, now, &retry));
    before = tat;
    assert_int_equal(rate_wait_ns(&tat, rate, now), rate.interval_ns);
    assert_int_equal(rate_wait_ns(&tat, rate, now + rate.interval_ns - 1), 1);
    assert_int_equal(rate_wait_ns(&tat, rate, now + rate.interval_ns), 0);
    assert_int_equal(tat, before);
    assert_false(rate_admit(&tat, rate, 1, now, &retry));
    assert_int_equal(retry, rate.interval_ns);
    tat = UINT64_MAX; /* nobody honest wrote that: as far as a word can be */
    assert_int_equal(rate_wait_ns(&tat, rate, now), rate.interval_ns);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_used),          cmocka_unit_test(test_wait),
        cmocka_unit_test(test_no_limit),      cmocka_unit_test(test_burst_then_evenly),
        cmocka_unit_test(test_never_more),    cmocka_unit_test(test_large_cost),
        cmocka_unit_test(test_correct),
        cmocka_unit_test(test_huge_guess),           cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_ends_of_range),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
