/* The circuit of an upstream, its line in the region; counters and names of records. */
#include "test/unit/shm_testing.h"

#include "shm/health.h"

static struct shm_test t;
static struct health *health;

static int
setup(void **state)
{
    (void)state;
    t = shm_test_open(&small_geometry);
    health = health_at(t.region, 3);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    shm_test_close(&t);
    return 0;
}

static void
test_lines(void **state)
{
    (void)state;
    assert_non_null(health);
    assert_null(health_at(t.region, 0));
    assert_ptr_equal(health_at(t.region, 3), health);
    for (uint16_t id = 4; id < 11; id++) {
        assert_non_null(health_at(t.region, id));
        assert_ptr_not_equal(health_at(t.region, id), health);
        assert_int_equal(health_at(t.region, id)->name_id, id);
    }
    assert_null(health_at(t.region, 11));
    assert_ptr_equal(health_at(t.region, 3), health);
}

static void
failures(unsigned times, uint64_t now_ms)
{
    for (unsigned i = 0; i < times; i++)
        health_failed(health, now_ms);
}

static void
test_opens_after_five(void **state)
{
    (void)state;
    assert_true(health_usable(health, 0));
    failures(4, 1000);
    assert_true(health_usable(health, 1000));
    health_ok(health, 100);
    failures(4, 1000);
    assert_true(health_usable(health, 1000));
    assert_true(health_begin(health, 1000));
    assert_true(health_begin(health, 1000));
    failures(1, 1000);
    assert_false(health_usable(health, 1000));
    assert_false(health_usable(health, 1999));
    assert_false(health_begin(health, 1999));
    assert_true(health_usable(health, 2000));
    assert_int_equal(health->calls, 10);
    assert_int_equal(health->errors, 9);
}

static void
test_one_trial(void **state)
{
    (void)state;
    failures(5, 1000);
    assert_true(health_begin(health, 2000));
    assert_false(health_begin(health, 2000));
    assert_false(health_usable(health, 2100));
    assert_false(health_begin(health, 3000));
    health_ok(health, 5);
    assert_true(health_usable(health, 3000));
    assert_true(health_begin(health, 3000));
    assert_true(health_begin(health, 3000));
    assert_int_equal(health->failures, 0);
}

/* Who has the trial dies: another gets one after a while. */
static void
test_trial_lost(void **state)
{
    (void)state;
    failures(5, 1000);
    assert_true(health_begin(health, 2000));
    assert_false(health_begin(health, 6999));
    assert_true(health_begin(health, 7001));
    assert_false(health_begin(health, 7001));
}

static void
test_doubles_to_a_minute(void **state)
{
    const uint64_t open_ms[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000};
    uint64_t now = 1000;

    (void)state;
    failures(5, now);
    for (size_t i = 0; i < COUNT_OF(open_ms); i++) {
        assert_false(health_usable(health, now + open_ms[i] - 1));
        now += open_ms[i];
        assert_true(health_begin(health, now));
        failures(1, now);
    }
}

/* A hundred calls that were under way fail together: that is one outage, not a minute's worth. */
static void
test_late_failures(void **state)
{
    (void)state;
    failures(100, 1000);
    assert_true(health_usable(health, 2000));
    assert_int_equal(health->errors, 100);
}

static void
test_latency(void **state)
{
    (void)state;
    health_ok(health, 800);
    assert_int_equal(health->latency_us, 800);
    health_ok(health, 0);
    assert_int_equal(health->latency_us, 700);
    for (int i = 0; i < 200; i++)
        health_ok(health, UINT32_MAX);
    assert_true(health->latency_us > UINT32_MAX - 10);
}

static void
test_stats(void **state)
{
    _Atomic uint64_t *stats;

    (void)state;
    assert_null(stat_at(t.region, 0));
    assert_null(stat_at(t.region, 99));
    assert_int_equal(region_table_ensure(t.region, 0), 0);
    assert_int_equal(region_table_ensure(t.region, 1), 0);
    stats = stat_at(t.region, 0);
    stat_add(stats, STAT_CALLS, 2);
    stat_add(stats, STAT_CALLS, 3);
    stat_add(stats, STAT_CONNECTIONS, 1);
    stat_add(stats, STAT_CONNECTIONS, UINT64_MAX); /* a gauge goes down so */
    assert_int_equal(stat_at(t.region, 0)[STAT_CALLS], 5);
    assert_int_equal(stat_at(t.region, 0)[STAT_CONNECTIONS], 0);
    assert_int_equal(stat_at(t.region, 1)[STAT_CALLS], 0);
}

static void
test_all_are_named(void **state)
{
    (void)state;
    for (int i = 0; i < STAT_COUNT; i++)
        assert_non_null(stat_name[i]);
    for (int i = 0; i < OUTCOME_COUNT; i++)
        assert_non_null(record_outcome_name[i]);
    for (int i = 0; i < REASON_COUNT; i++)
        assert_non_null(record_reason_name[i]);
    for (int i = 0; i < HOLD_RESULT_COUNT; i++)
        assert_non_null(hold_result_name[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lines),
        TEST(test_opens_after_five),
        TEST(test_one_trial),
        TEST(test_trial_lost),
        TEST(test_doubles_to_a_minute),
        TEST(test_late_failures),
        TEST(test_latency),
        TEST(test_stats),
        cmocka_unit_test(test_all_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
