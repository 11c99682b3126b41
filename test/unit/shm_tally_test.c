/*
 * A worker is killed between any two stores of its progress and of what that was computed from: one
 * of both tallies is always that of the progress, and whole. The room's source is compiled into
 * this file with SHM_STEPS, so that at every such place the slot can be looked at as its sweeper
 * would.
 */
#define SHM_STEPS
#include "shm/hold.c"

#include "base/rng.h"
#include "test/unit/shm_testing.h"

void (*shm_step_hook)(const char *where);

static struct shm_test t;
static struct hold_table table;
static uint32_t watched;
static uint64_t looks;

/* Every count says which progress it belongs to. */
static struct record_tally
tally_of(int64_t progress_ucr)
{
    struct record_tally tally = {
        .model = (uint16_t)(progress_ucr % 97),
        .channel = (uint16_t)(progress_ucr % 89),
        .tier = (uint8_t)(progress_ucr % 7),
        .service = (uint8_t)(progress_ucr % 5),
        .discount = (uint8_t)(progress_ucr % 3),
    };

    for (unsigned i = 0; i < RECORD_CLASS_COUNT; i++)
        tally.count[i] = (uint32_t)progress_ucr + i;
    return tally;
}

static void
look(const char *where)
{
    const struct record *record = hold_record(&table, watched);
    int64_t progress_ucr = hold_progress_ucr(&table, watched);
    const struct record_tally *found = record_tally_of(record, progress_ucr);
    const struct record_tally want = tally_of(progress_ucr);

    looks++;
    if (progress_ucr == 0) {
        assert_null(found);
        return;
    }
    if (found == NULL)
        fail_msg("%s: progress %lld has no tally", where, (long long)progress_ucr);
    assert_memory_equal(found, &want, sizeof(want));
}

static int
setup(void **state)
{
    (void)state;
    t = shm_test_open(&small_geometry);
    test_table(t.region, 0, &table);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    shm_step_hook = NULL;
    hold_table_close(&table);
    shm_test_close(&t);
    return 0;
}

static void
test_at_every_step(void **state)
{
    uint64_t rng = test_seed();
    int64_t last_ucr = 1;
    struct hold_view view;
    uint32_t account;

    (void)state;
    assert_true(hold_view_open(t.region, 0, &view));
    test_account(t.region, 1000000000, &account);
    for (int round = 0; round < 500; round++) {
        struct hold_ask ask = {.account_idx = account, .amount_ucr = 5000};
        int64_t progress_ucr = 0, charge_ucr = (int64_t)(rng_next(&rng) % 5001);
        struct record_tally tally;

        ask.account_generation = account_at(t.region, account)->generation;
        shm_step_hook = NULL;
        if (hold_take(&table, &ask, &watched) != HOLD_OK)
            fail_msg("round %d: no slot", round);
        /* Another call had it before, whose tallies are nobody's now. */
        assert_null(record_tally_of(hold_record(&table, watched), last_ucr));
        shm_step_hook = look;
        for (uint64_t steps = rng_next(&rng) % 12; steps > 0; steps--) {
            progress_ucr += (int64_t)(rng_next(&rng) % 900); /* also 0, also beyond the amount */
            tally = tally_of(MIN(progress_ucr, 5000));
            hold_progress_of(&table, watched, progress_ucr, &tally);
            assert_int_equal(hold_progress_ucr(&table, watched), MIN(progress_ucr, 5000));
        }
        tally = tally_of(charge_ucr);
        hold_tally(&table, watched, charge_ucr, &tally);
        assert_int_equal(hold_record(&table, watched)
                             ->tally_cost_ucr[hold_record(&table, watched)->tally_idx],
                         charge_ucr);
        assert_memory_equal(
            &hold_record(&table, watched)->tally[hold_record(&table, watched)->tally_idx], &tally,
            sizeof(tally));
        shm_step_hook = NULL;
        (void)!hold_settle(&table, watched, charge_ucr);
        hold_view_free(&view, watched);
        assert_true(account_change(account_at(t.region, account), 5000));
        last_ucr = charge_ucr;
    }
    assert_true(looks > 500);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_at_every_step, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
