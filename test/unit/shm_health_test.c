/* The circuit of an upstream, its line in the region; counters and names of records. */
#include "test/unit/shm_testing.h"

#include "base/rng.h"
#include "shm/health.h"

static struct shm_test t;
static struct health *health;

static int
setup(void **state)
{
    (void)state;
    t = shm_test_open(&small_geometry);
    health = health_at(t.region, 3, 0);
    for (uint32_t i = 0; i < 3; i++) {
        struct region_table *table = &t.region->header->table[i];

        assert_int_equal(region_table_ensure(t.region, i), 0);
        atomic_store(&table->incarnation, 7 + i);
        atomic_store(&table->state, TABLE_LIVE);
    }
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
    assert_null(health_at(t.region, 0, 0));
    assert_ptr_equal(health_at(t.region, 3, 0), health);
    for (uint16_t id = 4; id < 8; id++) {
        struct health *other = health_at(t.region, id, 0);

        assert_non_null(other);
        assert_ptr_not_equal(other, health);
        assert_int_equal(health_name_id(other), id);
    }
    /* Each credential has its own. */
    for (uint8_t credential = 1; credential < 4; credential++) {
        struct health *other = health_at(t.region, 3, credential);

        assert_ptr_not_equal(other, health);
        assert_int_equal(health_name_id(other), 3);
        assert_int_equal(health_credential(other), credential);
        assert_ptr_equal(health_line(t.region, health_line_idx(t.region, other)), other);
    }
    assert_null(health_at(t.region, 11, 0));
    assert_null(health_at(t.region, 3, 4));
    assert_ptr_equal(health_at(t.region, 3, 0), health);
    assert_null(health_line(t.region, 8));
}

static enum health_pass
begin(uint32_t table_idx, uint64_t now_ms)
{
    return health_begin(t.region, health, table_idx, now_ms, 5000);
}

static void
failures(unsigned times, enum health_class why, uint64_t now_ms)
{
    for (unsigned i = 0; i < times; i++)
        (void)health_failed(health, HEALTH_GO, why, now_ms, 0);
}

static void
successes(unsigned times, uint64_t now_ms)
{
    for (unsigned i = 0; i < times; i++)
        assert_int_equal(health_ok(health, HEALTH_GO, now_ms, 5), HEALTH_SAME);
}

static struct health_view
look(uint64_t now_ms)
{
    struct health_view view;

    health_look(health, now_ms, &view);
    return view;
}

static void
test_opens_after_five(void **state)
{
    (void)state;
    assert_true(health_usable(t.region, health, 0));
    failures(4, HEALTH_RESET, 1000);
    assert_true(health_usable(t.region, health, 1000));
    assert_int_equal(begin(0, 1000), HEALTH_GO);
    assert_int_equal(health_failed(health, HEALTH_GO, HEALTH_RESET, 1000, 0), HEALTH_OPENED);
    assert_false(health_usable(t.region, health, 1000));
    assert_int_equal(look(1000).state, HEALTH_STATE_OPEN);
    assert_int_equal(look(1000).why, HEALTH_RESET);
    assert_int_equal(look(1000).until_ms, 2000);
    assert_false(health_usable(t.region, health, 1999));
    assert_int_equal(begin(0, 1999), HEALTH_OUT);
    assert_true(health_usable(t.region, health, 2000));
    assert_int_equal(look(2000).state, HEALTH_STATE_HALF_OPEN);
    assert_int_equal(health->calls, 5);
    assert_int_equal(health->failed[HEALTH_RESET], 5);
}

/* Five of the last ten: not one more success between them, and not one less. */
static void
test_window(void **state)
{
    (void)state;
    failures(4, HEALTH_SERVER, 1000);
    successes(5, 1000);
    assert_int_equal(health_failed(health, HEALTH_GO, HEALTH_SERVER, 1000, 0), HEALTH_OPENED);
    assert_int_equal(begin(0, 2000), HEALTH_TRIAL);
    assert_int_equal(health_ok(health, HEALTH_TRIAL, 2000, 5), HEALTH_CLOSED);
    failures(4, HEALTH_SERVER, 1000);
    successes(6, 1000);
    failures(1, HEALTH_SERVER, 1000);
    assert_true(health_usable(t.region, health, 1000));
    assert_int_equal(look(1000).state, HEALTH_STATE_CLOSED);
}

static void
test_classes(void **state)
{
    static const unsigned needed[HEALTH_CLASS_COUNT] = {
        [HEALTH_AUTH] = 1,     [HEALTH_DENIED] = 3, [HEALTH_RATE] = 5,  [HEALTH_OVERLOAD] = 5,
        [HEALTH_SERVER] = 5,   [HEALTH_TIMEOUT] = 3, [HEALTH_RESET] = 5, [HEALTH_EMPTY] = 5,
        [HEALTH_ERROR] = 5,    [HEALTH_GARBAGE] = 5, [HEALTH_MISMATCH] = 5,
    };

    (void)state;
    for (unsigned why = 0; why < HEALTH_CLASS_COUNT; why++) {
        uint64_t open_ms = why <= HEALTH_DENIED ? 60000 : why == HEALTH_TIMEOUT ? 2000 : 1000;
        uint64_t now_ms = (why + 1) * 1000000;

        failures(needed[why] - 1, (enum health_class)why, now_ms);
        assert_int_equal(look(now_ms).state, HEALTH_STATE_CLOSED);
        failures(1, (enum health_class)why, now_ms);
        assert_int_equal(look(now_ms).state, HEALTH_STATE_OPEN);
        assert_int_equal(look(now_ms).why, why);
        assert_int_equal(look(now_ms).until_ms, now_ms + open_ms);
        assert_non_null(health_class_name[why]);
        assert_int_equal(begin(0, now_ms + open_ms), HEALTH_TRIAL);
        assert_int_equal(health_ok(health, HEALTH_TRIAL, now_ms, 5), HEALTH_CLOSED);
    }
}

static void
test_one_trial(void **state)
{
    (void)state;
    failures(5, HEALTH_RESET, 1000);
    assert_int_equal(begin(0, 2000), HEALTH_TRIAL);
    assert_true(look(2000).trial);
    assert_int_equal(begin(0, 2000), HEALTH_OUT);
    assert_int_equal(begin(1, 2100), HEALTH_OUT);
    assert_false(health_usable(t.region, health, 2100));
    assert_int_equal(begin(1, 6999), HEALTH_OUT);
    /* What others began before the circuit opened has no say. */
    (void)health_failed(health, HEALTH_GO, HEALTH_RESET, 3000, 0);
    successes(1, 3000);
    assert_int_equal(begin(1, 3000), HEALTH_OUT);
    assert_int_equal(health_ok(health, HEALTH_TRIAL, 3000, 5), HEALTH_CLOSED);
    assert_true(health_usable(t.region, health, 3000));
    assert_int_equal(begin(0, 3000), HEALTH_GO);
    assert_int_equal(begin(1, 3000), HEALTH_GO);
    assert_int_equal(health->history, 0);
}

/* The ticket of who dies is another's at once; that of a worker that lives but forgot, later. */
static void
test_trial_lost(void **state)
{
    struct region_table *table = &t.region->header->table[1];

    (void)state;
    failures(5, HEALTH_RESET, 1000);
    assert_int_equal(begin(1, 2000), HEALTH_TRIAL);
    assert_int_equal(begin(0, 2001), HEALTH_OUT);
    assert_false(health_usable(t.region, health, 2001));
    atomic_store(&table->state, TABLE_DEAD);
    assert_true(health_usable(t.region, health, 2002));
    assert_int_equal(begin(0, 2002), HEALTH_TRIAL);
    assert_int_equal(begin(2, 2002), HEALTH_OUT);
    (void)health_failed(health, HEALTH_TRIAL, HEALTH_RESET, 2003, 0);
    atomic_store(&table->state, TABLE_LIVE);
    assert_int_equal(begin(1, 4003), HEALTH_TRIAL);
    /* Another worker has the table: it does not have the other's ticket. */
    atomic_fetch_add(&table->incarnation, 1);
    assert_int_equal(begin(1, 4004), HEALTH_TRIAL);
    assert_int_equal(begin(2, 9003), HEALTH_OUT);
    assert_int_equal(begin(2, 9004), HEALTH_TRIAL);
}

/* It said nothing: the next one may try, and nothing is doubled. */
static void
test_trial_dropped(void **state)
{
    (void)state;
    failures(5, HEALTH_RESET, 1000);
    health_dropped(health, HEALTH_GO, 1000);
    assert_int_equal(begin(0, 1000), HEALTH_OUT);
    assert_int_equal(begin(0, 2000), HEALTH_TRIAL);
    health_dropped(health, HEALTH_TRIAL, 2500);
    assert_int_equal(look(2500).openings, 0);
    assert_int_equal(begin(1, 2500), HEALTH_TRIAL);
    assert_int_equal(health_failed(health, HEALTH_TRIAL, HEALTH_RESET, 2500, 0), HEALTH_REOPENED);
    assert_int_equal(look(2500).until_ms, 4500);
}

static void
test_doubles_to_a_minute(void **state)
{
    const uint64_t open_ms[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000};
    uint64_t now = 1000;

    (void)state;
    failures(5, HEALTH_RESET, now);
    for (size_t i = 0; i < COUNT_OF(open_ms); i++) {
        assert_false(health_usable(t.region, health, now + open_ms[i] - 1));
        now += open_ms[i];
        assert_int_equal(begin(0, now), HEALTH_TRIAL);
        assert_int_equal(health_failed(health, HEALTH_TRIAL, HEALTH_RESET, now, 0),
                         HEALTH_REOPENED);
    }
}

/* Closed for a moment is a relapse; closed for long is a new beginning. */
static void
test_relapse(void **state)
{
    (void)state;
    failures(5, HEALTH_RESET, 1000);
    assert_int_equal(begin(0, 2000), HEALTH_TRIAL);
    assert_int_equal(health_ok(health, HEALTH_TRIAL, 2000, 5), HEALTH_CLOSED);
    failures(5, HEALTH_RESET, 3000);
    assert_int_equal(look(3000).until_ms, 5000);
    assert_int_equal(begin(0, 5000), HEALTH_TRIAL);
    assert_int_equal(health_ok(health, HEALTH_TRIAL, 5000, 5), HEALTH_CLOSED);
    failures(5, HEALTH_RESET, 35001);
    assert_int_equal(look(35001).until_ms, 36001);
}

/* A hundred calls that were under way fail together: that is one outage, not a minute's worth. */
static void
test_late_failures(void **state)
{
    (void)state;
    failures(100, HEALTH_RESET, 1000);
    assert_true(health_usable(t.region, health, 2000));
    assert_int_equal(health->failed[HEALTH_RESET], 100);
}

static void
test_retry_after(void **state)
{
    (void)state;
    assert_int_equal(health_failed(health, HEALTH_GO, HEALTH_RATE, 1000, 7000), HEALTH_OPENED);
    assert_int_equal(look(1000).until_ms, 8000);
    assert_int_equal(look(1000).why, HEALTH_RATE);
    assert_int_equal(begin(0, 7999), HEALTH_OUT);
    /* Another that was under way is told an earlier time, then one is told a later one. */
    (void)health_failed(health, HEALTH_GO, HEALTH_RATE, 1500, 2000);
    assert_int_equal(look(1500).until_ms, 8000);
    (void)health_failed(health, HEALTH_GO, HEALTH_RATE, 1500, 9000);
    assert_int_equal(look(1500).until_ms, 10500);
    assert_int_equal(begin(0, 10500), HEALTH_TRIAL);
    assert_int_equal(health_failed(health, HEALTH_TRIAL, HEALTH_RATE, 11000, 3600000),
                     HEALTH_REOPENED);
    assert_int_equal(look(11000).until_ms, 11000 + HEALTH_RETRY_AFTER_MS_MAX);
    assert_int_equal(look(11000).openings, 0);
}

static void
test_refused_credential_waits_for_its_trial(void **state)
{
    (void)state;
    (void)health_failed(health, HEALTH_GO, HEALTH_AUTH, 1000, 0);
    assert_int_equal(look(1000).until_ms, 61000);
    assert_int_equal(begin(0, 2000), HEALTH_OUT);
    /* What began before says nothing any more, well or not. */
    (void)health_failed(health, HEALTH_GO, HEALTH_RESET, 2000, 0);
    assert_int_equal(look(2000).until_ms, 61000);
    assert_int_equal(health_ok(health, HEALTH_GO, 3000, 5), HEALTH_SAME);
    assert_int_equal(begin(0, 60999), HEALTH_OUT);
    assert_int_equal(begin(0, 61000), HEALTH_TRIAL);
    assert_int_equal(begin(1, 61000), HEALTH_OUT);
    assert_int_equal(health_ok(health, HEALTH_TRIAL, 61001, 5), HEALTH_CLOSED);
    assert_int_equal(begin(1, 61001), HEALTH_GO);
}

static void
test_another_secret(void **state)
{
    (void)state;
    health_introduce(health, 1, 9, 4711, false);
    (void)health_failed(health, HEALTH_GO, HEALTH_AUTH, 1000, 0);
    health_introduce(health, 1, 9, 4711, true);
    assert_false(health_usable(t.region, health, 1000));
    assert_int_equal(health->disabled, 1);
    health_introduce(health, 2, 9, 4712, false);
    assert_true(health_usable(t.region, health, 1000));
    assert_int_equal(health->generation, 2);
    assert_int_equal(health->credential_name, 9);
    assert_int_equal(health->disabled, 0);
}

static void
test_averages(void **state)
{
    (void)state;
    (void)health_ok(health, HEALTH_GO, 1, 1600);
    assert_int_equal(health->first_byte_us, 1600);
    (void)health_ok(health, HEALTH_GO, 1, 0);
    assert_int_equal(health->first_byte_us, 1600);
    (void)health_ok(health, HEALTH_GO, 1, 8);
    assert_int_equal(health->first_byte_us, 1401);
    (void)health_ok(health, HEALTH_GO, HEALTH_OLD_MS + 2, 1399);
    assert_int_equal(health->first_byte_us, 1400);
    (void)health_ok(health, HEALTH_GO, HEALTH_OLD_MS + 2, 1400 + 80);
    assert_int_equal(health->first_byte_us, 1410);
    for (int i = 0; i < 600; i++)
        (void)health_ok(health, HEALTH_GO, 1, UINT32_MAX);
    assert_true(health->first_byte_us > UINT32_MAX - 20);
    health_token_time(health, 0);
    assert_int_equal(health->us_per_token, 1);
    health_token_time(health, 321);
    assert_int_equal(health->us_per_token, 41);
    assert_int_equal(health->error_ppm, 0);
    failures(1, HEALTH_RESET, 1);
    assert_int_equal(health->error_ppm, 125000);
    successes(1, 1);
    assert_int_equal(health->error_ppm, 109375);
    for (int i = 0; i < 1000; i++)
        failures(1, HEALTH_RESET, 1);
    assert_in_range(health->error_ppm, 999900, 1000000);
    successes(1000, 1);
    assert_int_equal(health->error_ppm, 0);
}

static void
test_probe_due(void **state)
{
    (void)state;
    assert_true(health_probe_due(health, 5000, 30000));
    assert_false(health_probe_due(health, 5000, 30000));
    assert_false(health_probe_due(health, 34999, 30000));
    assert_true(health_probe_due(health, 35000, 30000));
    /* The interval became shorter. */
    assert_true(health_probe_due(health, 35001, 1000));
    assert_false(health_probe_due(health, 36000, 1000));
    assert_true(health_probe_due(health, 36001, 1000));
}

static void
test_loads(void **state)
{
    struct health *other = health_at(t.region, 4, 0);

    (void)state;
    assert_int_equal(health_load(t.region, health), 0);
    assert_true(health_enter(t.region, 0, health, 3));
    assert_true(health_enter(t.region, 1, health, 3));
    assert_true(health_enter(t.region, 1, health, 3));
    assert_false(health_enter(t.region, 0, health, 3));
    assert_false(health_enter(t.region, 2, health, 3));
    assert_int_equal(health_load(t.region, health), 3);
    assert_int_equal(health_load(t.region, other), 0);
    assert_true(health_enter(t.region, 2, health, 0));
    assert_int_equal(health_load(t.region, health), 4);
    health_leave(t.region, 2, health);
    /* What a worker that was killed had under way is gone with it. */
    atomic_store(&t.region->header->table[1].state, TABLE_DEAD);
    assert_int_equal(health_load(t.region, health), 1);
    assert_true(health_enter(t.region, 0, health, 3));
    health_loads_clear(t.region, 1);
    atomic_store(&t.region->header->table[1].state, TABLE_LIVE);
    assert_int_equal(health_load(t.region, health), 2);
    health_leave(t.region, 0, health);
    health_leave(t.region, 0, health);
    assert_int_equal(health_load(t.region, health), 0);
}

/* Workers that live and have calls waiting there, but for who asks. */
static void
test_waiting(void **state)
{
    (void)state;
    assert_int_equal(health_others_waiting(t.region, health, 0), 0);
    health_wait(health, 0, true);
    health_wait(health, 0, true);
    assert_int_equal(health_others_waiting(t.region, health, 0), 0);
    assert_int_equal(health_others_waiting(t.region, health, 1), 1);
    health_wait(health, 2, true);
    assert_int_equal(health_others_waiting(t.region, health, 0), 1);
    assert_int_equal(health_others_waiting(t.region, health, 1), 2);
    /* One that died waits no more; nor does who comes after it. */
    atomic_store(&t.region->header->table[2].state, TABLE_DEAD);
    assert_int_equal(health_others_waiting(t.region, health, 1), 1);
    health_loads_clear(t.region, 2);
    atomic_store(&t.region->header->table[2].state, TABLE_LIVE);
    assert_int_equal(health_others_waiting(t.region, health, 1), 1);
    health_wait(health, 0, false);
    assert_int_equal(health_others_waiting(t.region, health, 1), 0);
    /* A bit of a table that there is not. */
    health_wait(health, 63, true);
    assert_int_equal(health_others_waiting(t.region, health, 1), 0);
}

/*
 * Whatever happens: a ticket is out for one at a time, an upstream that fails always is out soon, and
 * one that recovers is back.
 */
static void
test_random(void **state)
{
    uint64_t rng = test_seed(), now_ms = 1000;
    int holder = -1;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        uint32_t who = (uint32_t)(rng_next(&rng) % 3);
        uint64_t what = rng_next(&rng) % 16;
        enum health_class why = (enum health_class)(rng_next(&rng) % HEALTH_CLASS_COUNT);
        enum health_pass pass;

        now_ms += rng_next(&rng) % 400;
        if (holder >= 0 && what < 5) {
            if (what == 0)
                health_dropped(health, HEALTH_TRIAL, now_ms);
            else if (what < 3)
                (void)health_ok(health, HEALTH_TRIAL, now_ms, 3);
            else
                (void)health_failed(health, HEALTH_TRIAL, why, now_ms, 0);
            holder = -1;
            continue;
        }
        pass = health_begin(t.region, health, who, now_ms, UINT32_MAX);
        if (pass == HEALTH_TRIAL) {
            assert_int_equal(holder, -1);
            holder = (int)who;
        } else if (pass == HEALTH_GO && what < 9) {
            (void)health_failed(health, pass, why, now_ms, what == 6 ? 5000 : 0);
        } else if (pass == HEALTH_GO) {
            assert_int_equal(health_ok(health, pass, now_ms, 3), HEALTH_SAME);
        } else {
            assert_false(holder < 0 && health_usable(t.region, health, now_ms));
        }
    }
}

static void
test_stats(void **state)
{
    _Atomic uint64_t *stats;

    (void)state;
    assert_null(stat_at(t.region, 3));
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
        TEST(test_window),
        TEST(test_classes),
        TEST(test_one_trial),
        TEST(test_trial_lost),
        TEST(test_trial_dropped),
        TEST(test_doubles_to_a_minute),
        TEST(test_relapse),
        TEST(test_late_failures),
        TEST(test_retry_after),
        TEST(test_refused_credential_waits_for_its_trial),
        TEST(test_another_secret),
        TEST(test_averages),
        TEST(test_probe_due),
        TEST(test_loads),
        TEST(test_waiting),
        TEST(test_random),
        TEST(test_stats),
        cmocka_unit_test(test_all_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
