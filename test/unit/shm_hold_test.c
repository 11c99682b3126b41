/* Hold slots by one party at a time: taking, refusing, progress, settling, giving back, sweeping,
 * doorbells, slots found again, and slots that hold what nobody can have meant. */
#include "test/unit/shm_testing.h"

#include "base/rng.h"

#define DAY INT64_C(86400000000)

static struct shm_test t;
static struct hold_table table;
static struct hold_view view;
static struct account *account;
static uint32_t account_idx;

static int
setup(void **state)
{
    (void)state;
    t = shm_test_open(&small_geometry);
    test_table(t.region, 1, &table);
    if (!hold_view_open(t.region, 1, &view))
        abort();
    account = test_account(t.region, 1000, &account_idx);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    hold_table_close(&table);
    shm_test_close(&t);
    return 0;
}

static struct hold_ask
ask_for(int64_t amount_ucr)
{
    return (struct hold_ask){.account_idx = account_idx,
                             .account_generation = 1,
                             .amount_ucr = amount_ucr,
                             .wall_us = 20 * DAY};
}

static enum hold_state
state_of(uint32_t slot)
{
    return hold_word_state(table.slots[slot].state);
}

static uint32_t
take(int64_t amount_ucr)
{
    struct hold_ask ask = ask_for(amount_ucr);
    uint32_t slot = UINT32_MAX;

    assert_int_equal(hold_take(&table, &ask, &slot), HOLD_OK);
    return slot;
}

static enum hold_result
refused(int64_t amount_ucr)
{
    struct hold_ask ask = ask_for(amount_ucr);
    uint32_t slot = 0;

    return hold_take(&table, &ask, &slot);
}

static void
give_back(uint32_t slot)
{
    const struct hold_slot *held = &view.slots[slot];

    assert_true(account_change(account, held->amount_ucr - held->charge_ucr));
    hold_view_free(&view, slot);
}

/* ---- taking ---- */

static void
test_take_and_settle(void **state)
{
    uint32_t slot = take(300), rung;
    uint64_t generation = hold_generation(&table, slot);

    (void)state;
    assert_int_equal(state_of(slot), HOLD_HELD);
    assert_int_equal(account_available_ucr(account), 700);
    assert_int_equal(hold_amount_ucr(&table, slot), 300);
    assert_int_equal(hold_progress_ucr(&table, slot), 0);
    assert_int_equal(table.held_count, 1);
    assert_null(hold_slot_fault(&view, slot));
    assert_false(hold_committed(&table, slot, generation));
    assert_false(hold_view_next(&view, &rung));
    assert_false(hold_settle(&table, slot, 120));
    assert_int_equal(state_of(slot), HOLD_SETTLED);
    assert_int_equal(account_available_ucr(account), 700);
    assert_int_equal(table.held_count, 0);
    assert_int_equal(hold_view_waiting(&view), 1);
    assert_true(hold_view_next(&view, &rung));
    assert_int_equal(rung, slot);
    assert_false(hold_view_next(&view, &rung));
    assert_null(hold_slot_fault(&view, slot));
    give_back(slot);
    assert_int_equal(state_of(slot), HOLD_FREE);
    assert_true(hold_committed(&table, slot, generation));
    assert_int_equal(hold_generation(&table, slot), generation + 1);
    assert_int_equal(account_available_ucr(account), 880);
}

static void
test_take_all_and_nothing(void **state)
{
    (void)state;
    assert_int_equal(refused(1001), HOLD_NO_CREDIT);
    take(1000);
    assert_int_equal(account_available_ucr(account), 0);
    assert_int_equal(refused(1), HOLD_NO_CREDIT);
    take(0);
    account_freeze(account);
    account_publish(account, -1);
    assert_int_equal(refused(0), HOLD_NO_CREDIT);
}

static void
test_take_extremes(void **state)
{
    (void)state;
    account_freeze(account);
    account_publish(account, ACCOUNT_UCR_MAX);
    take(ACCOUNT_UCR_MAX);
    assert_int_equal(account_available_ucr(account), 0);
    assert_int_equal(refused(ACCOUNT_UCR_MAX), HOLD_NO_CREDIT);
    account_freeze(account);
    account_publish(account, -ACCOUNT_UCR_MAX);
    assert_int_equal(refused(ACCOUNT_UCR_MAX), HOLD_NO_CREDIT);
    assert_int_equal(refused(1), HOLD_NO_CREDIT);
    /* No overdraft, however large, takes a word out of its range. */
    account->overdraft_ucr = INT64_MAX;
    assert_int_equal(refused(1), HOLD_NO_CREDIT);
    take(0);
    account->word = account_word(INT64_MIN / 2, false);
    assert_int_equal(refused(ACCOUNT_UCR_MAX), HOLD_NO_CREDIT);
    account->overdraft_ucr = INT64_MIN;
    assert_int_equal(refused(1), HOLD_NO_CREDIT);
}

static void
test_overdraft(void **state)
{
    (void)state;
    account->overdraft_ucr = 50;
    assert_int_equal(refused(1051), HOLD_NO_CREDIT);
    take(1050);
    assert_int_equal(account_available_ucr(account), -50);
    assert_int_equal(refused(1), HOLD_NO_CREDIT);
    take(0);
}

static void
take_negative(void *arg)
{
    struct hold_ask ask = ask_for(-1);
    uint32_t slot;

    (void)arg;
    (void)!hold_take(&table, &ask, &slot);
}

static void
take_too_much(void *arg)
{
    struct hold_ask ask = ask_for(ACCOUNT_UCR_MAX + 1);
    uint32_t slot;

    (void)arg;
    (void)!hold_take(&table, &ask, &slot);
}

static void
test_take_asserts(void **state)
{
    (void)state;
    assert_true(aborts(take_negative, NULL));
    assert_true(aborts(take_too_much, NULL));
}

static void
test_closed(void **state)
{
    struct hold_ask ask = ask_for(1);
    uint32_t slot;

    (void)state;
    ask.account_generation = 2;
    assert_int_equal(hold_take(&table, &ask, &slot), HOLD_CLOSED);
    ask = ask_for(1);
    ask.account_idx = 0;
    assert_int_equal(hold_take(&table, &ask, &slot), HOLD_CLOSED);
    ask.account_idx = 2;
    assert_int_equal(hold_take(&table, &ask, &slot), HOLD_CLOSED);
    account->flags = 0;
    assert_int_equal(refused(1), HOLD_CLOSED);
    account->flags = ACCOUNT_OPEN | ACCOUNT_DISABLED;
    take(1); /* whoever is switched off is refused before */
}

static void
test_frozen(void **state)
{
    (void)state;
    account_freeze(account);
    assert_int_equal(refused(1), HOLD_BUSY);
    assert_int_equal(state_of(0), HOLD_FREE);
    assert_int_equal(hold_generation(&table, 0), 0);
    account_unfreeze(account);
    take(1);
}

/* ---- budgets ---- */

static struct budget *budgets[BUDGET_KIND_COUNT];
static uint32_t budget_idx[BUDGET_KIND_COUNT];

static void
make_budgets(int64_t limit_ucr)
{
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
        budgets[kind] =
            test_budget(t.region, (enum budget_kind)kind, BUDGET_DAY, limit_ucr, &budget_idx[kind]);
}

static struct hold_ask
ask_with_budgets(int64_t amount_ucr)
{
    struct hold_ask ask = ask_for(amount_ucr);

    memcpy(ask.budget_idx, budget_idx, sizeof(ask.budget_idx));
    return ask;
}

static void
assert_spent(int64_t ucr)
{
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
        assert_int_equal(budget_word_spent_ucr(budgets[kind]->word), ucr);
}

static void
test_budgets(void **state)
{
    struct hold_ask ask;
    uint32_t slot;

    (void)state;
    make_budgets(500);
    ask = ask_with_budgets(200);
    assert_int_equal(hold_take(&table, &ask, &slot), HOLD_OK);
    assert_spent(200);
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
        assert_int_equal(table.slots[slot].budget_window[kind], 20);
    assert_null(hold_slot_fault(&view, slot));
}

static void
test_budget_refuses(void **state)
{
    struct hold_ask ask;
    uint32_t slot;

    (void)state;
    make_budgets(500);
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++) {
        budgets[kind]->limit_ucr = 199;
        ask = ask_with_budgets(200);
        assert_int_equal(hold_take(&table, &ask, &slot), HOLD_NO_BUDGET);
        assert_int_equal(ask.refused, kind);
        assert_spent(0);
        assert_int_equal(account_available_ucr(account), 1000);
        budgets[kind]->limit_ucr = 500;
        budget_freeze(budgets[kind]);
        assert_int_equal(hold_take(&table, &ask, &slot), HOLD_BUSY);
        assert_spent(0);
        budget_unfreeze(budgets[kind]);
    }
    assert_int_equal(state_of(0), HOLD_FREE);
    assert_int_equal(table.fresh, 0);
}

static void
test_account_refuses_after_budgets(void **state)
{
    struct hold_ask ask;
    uint32_t slot;

    (void)state;
    make_budgets(5000);
    ask = ask_with_budgets(1001);
    assert_int_equal(hold_take(&table, &ask, &slot), HOLD_NO_CREDIT);
    assert_spent(0);
    account_freeze(account);
    ask = ask_with_budgets(1);
    assert_int_equal(hold_take(&table, &ask, &slot), HOLD_BUSY);
    assert_spent(0);
}

static void
test_some_budgets(void **state)
{
    struct hold_ask ask;
    uint32_t slot;

    (void)state;
    make_budgets(500);
    ask = ask_with_budgets(1001);
    ask.budget_idx[BUDGET_KEY] = ask.budget_idx[BUDGET_PROJECT] = 0;
    budgets[BUDGET_MEMBER]->limit_ucr = 2000;
    assert_int_equal(hold_take(&table, &ask, &slot), HOLD_NO_BUDGET);
    assert_int_equal(ask.refused, BUDGET_TENANT);
    assert_spent(0);
    ask.amount_ucr = 10;
    assert_int_equal(hold_take(&table, &ask, &slot), HOLD_OK);
    assert_int_equal(table.slots[slot].budget_window[BUDGET_KEY], BUDGET_NOT_ENTERED);
    assert_int_equal(table.slots[slot].budget_window[BUDGET_MEMBER], 20);
    assert_int_equal(budget_word_spent_ucr(budgets[BUDGET_KEY]->word), 0);
    assert_int_equal(budget_word_spent_ucr(budgets[BUDGET_TENANT]->word), 10);
    assert_null(hold_slot_fault(&view, slot));
}

/* More of it is of the same account and budgets, and of no amount until one is said. */
static void
test_ask_again(void **state)
{
    struct hold_ask ask, more = {.amount_ucr = 7, .refused = 3, .over = 1};
    uint32_t slot;

    (void)state;
    make_budgets(500);
    ask = ask_with_budgets(10);
    ask.budget_idx[BUDGET_PROJECT] = 0;
    assert_int_equal(hold_take(&table, &ask, &slot), HOLD_OK);
    hold_ask_again(&table, slot, &more);
    assert_int_equal(more.account_idx, ask.account_idx);
    assert_int_equal(more.account_generation, ask.account_generation);
    assert_memory_equal(more.budget_idx, ask.budget_idx, sizeof(ask.budget_idx));
    assert_int_equal(more.amount_ucr, 0);
    assert_int_equal(more.refused, 0);
    assert_int_equal(more.over, 0);
    more.amount_ucr = 5;
    more.wall_us = ask.wall_us;
    assert_int_equal(hold_take(&table, &more, &slot), HOLD_OK);
    assert_int_equal(budget_word_spent_ucr(budgets[BUDGET_KEY]->word), 15);
    assert_int_equal(budget_word_spent_ucr(budgets[BUDGET_PROJECT]->word), 0);
    assert_int_equal(budget_word_spent_ucr(budgets[BUDGET_TENANT]->word), 15);
}

/* ---- while it is held ---- */

static void
test_progress(void **state)
{
    uint32_t slot = take(100);

    (void)state;
    hold_progress(&table, slot, 30);
    assert_int_equal(hold_progress_ucr(&table, slot), 30);
    hold_progress(&table, slot, 29);
    hold_progress(&table, slot, -5);
    hold_progress(&table, slot, INT64_MIN);
    assert_int_equal(hold_progress_ucr(&table, slot), 30);
    hold_progress(&table, slot, INT64_MAX);
    assert_int_equal(hold_progress_ucr(&table, slot), 100);
    (void)!hold_settle(&table, slot, 0);
    give_back(slot);
    slot = take(50);
    assert_int_equal(hold_progress_ucr(&table, slot), 0);
}

static void
test_record_is_zeroed(void **state)
{
    static const struct record zero;
    const struct record *record;
    uint32_t slot = take(1);

    (void)state;
    memset(hold_record(&table, slot), 0xff, sizeof(struct record));
    hold_record(&table, slot)->attempt_count = RECORD_ATTEMPTS_MAX;
    (void)!hold_settle(&table, slot, 1);
    hold_view_free(&view, slot);
    assert_int_equal(take(1), slot);
    record = hold_record(&table, slot);
    assert_memory_equal(record->tally_cost_ucr, zero.tally_cost_ucr,
                        offsetof(struct record, attempt) -
                            offsetof(struct record, tally_cost_ucr));
    /* Tallies and attempts are what they were, and count for nothing. */
    assert_int_equal(record->attempt_count, 0);
    assert_null(record_tally_of(record, -1));
    assert_null(record_tally_of(record, 1));
}

static void
settle_below_zero(void *arg)
{
    (void)!hold_settle(&table, *(uint32_t *)arg, -1);
}

static void
settle_above(void *arg)
{
    (void)!hold_settle(&table, *(uint32_t *)arg, 101);
}

static void
settle_twice(void *arg)
{
    (void)!hold_settle(&table, *(uint32_t *)arg, 1);
    (void)!hold_settle(&table, *(uint32_t *)arg, 1);
}

static void
settle_with_bad_record(void *arg)
{
    hold_record(&table, *(uint32_t *)arg)->attempt_count = RECORD_ATTEMPTS_MAX + 1;
    (void)!hold_settle(&table, *(uint32_t *)arg, 1);
}

static void
settle_no_slot(void *arg)
{
    (void)arg;
    (void)!hold_settle(&table, 64, 1);
}

static void
free_held(void *arg)
{
    hold_view_free(&view, *(uint32_t *)arg);
}

static void
sweep_living(void *arg)
{
    hold_view_sweep(&view, *(uint32_t *)arg);
}

static void
test_asserts(void **state)
{
    uint32_t slot = take(100);

    (void)state;
    assert_true(aborts(settle_below_zero, &slot));
    assert_true(aborts(settle_above, &slot));
    assert_true(aborts(settle_with_bad_record, &slot));
    assert_true(aborts(settle_no_slot, &slot));
    assert_true(aborts(free_held, &slot));
    assert_true(aborts(sweep_living, &slot));
    assert_true(aborts(settle_twice, &slot));
}

static void
test_sleeping_ledger_is_rung(void **state)
{
    uint32_t slot = take(1);

    (void)state;
    t.region->header->ledger_sleeping = 1;
    assert_true(hold_announce(&table, slot));
    assert_true(hold_settle(&table, slot, 0));
    t.region->header->ledger_sleeping = 0;
    assert_int_equal(hold_view_waiting(&view), 2);
}

static void
test_announce(void **state)
{
    uint32_t slot = take(10), rung;

    (void)state;
    assert_false(hold_announced(&table, slot));
    assert_false(hold_announce(&table, slot));
    assert_true(hold_view_next(&view, &rung));
    assert_int_equal(rung, slot);
    hold_view_announced(&view, slot);
    assert_true(hold_announced(&table, slot));
    (void)!hold_settle(&table, slot, 10);
    give_back(slot);
    hold_view_announced(&view, slot); /* too late: nothing happens */
    assert_int_equal(take(10), slot);
    assert_false(hold_announced(&table, slot));
}

/* ---- which slot ---- */

static void
test_fifo(void **state)
{
    uint32_t a = take(1), b = take(1), c;

    (void)state;
    assert_int_equal(a, 0);
    assert_int_equal(b, 1);
    (void)!hold_settle(&table, b, 0);
    (void)!hold_settle(&table, a, 0);
    c = take(1); /* the ledger process has not come by: one never used */
    assert_int_equal(c, 2);
    (void)!hold_settle(&table, c, 0);
    hold_view_free(&view, c);
    assert_int_equal(take(1), 3); /* c is free, but two are before it */
    hold_view_free(&view, a);
    assert_int_equal(take(1), a); /* one that does not come back blocks nobody */
    hold_view_free(&view, b);
    assert_int_equal(take(1), b);
    assert_int_equal(take(1), c);
}

static void
test_no_slot(void **state)
{
    uint32_t slots[64];

    (void)state;
    for (int i = 0; i < 64; i++)
        slots[i] = take(1);
    assert_int_equal(refused(1), HOLD_NO_SLOT);
    for (int i = 0; i < 64; i++)
        (void)!hold_settle(&table, slots[i], 1);
    assert_int_equal(refused(1), HOLD_NO_SLOT);
    hold_view_free(&view, slots[3]);
    assert_int_equal(take(1), slots[3]);
    assert_int_equal(refused(1), HOLD_NO_SLOT);
    /* One that never comes back (set aside as faulty) blocks nobody for long. */
    for (int i = 10; i < 64; i++)
        hold_view_free(&view, slots[i]);
    for (int i = 10; i < 64; i++) {
        enum hold_result result = HOLD_NO_SLOT;

        for (int tries = 0; tries < 8 && result == HOLD_NO_SLOT; tries++)
            result = refused(1);
        assert_int_equal(result, HOLD_OK);
    }
}

static void
test_refused_slot_is_used_next(void **state)
{
    (void)state;
    assert_int_equal(refused(5000), HOLD_NO_CREDIT);
    assert_int_equal(refused(5000), HOLD_NO_CREDIT);
    assert_int_equal(take(1), 0);
    (void)!hold_settle(&table, 0, 0);
    hold_view_free(&view, 0);
    assert_int_equal(refused(5000), HOLD_NO_CREDIT);
    assert_int_equal(hold_generation(&table, 0), 1);
    assert_int_equal(take(1), 0);
}

/* A table of a worker that is gone: what is free is found, what is not yet is left alone. */
static void
test_open_used_table(void **state)
{
    struct hold_table again;
    struct hold_ask ask = ask_for(1);
    uint32_t slot;
    bool taken[64] = {false};

    (void)state;
    for (int i = 0; i < 10; i++)
        take(1);
    for (uint32_t i = 0; i < 10; i++)
        (void)!hold_settle(&table, i, 0);
    for (uint32_t i = 4; i < 10; i++)
        hold_view_free(&view, i);
    assert_int_equal(hold_table_open(t.region, 1, &again), 0);
    assert_int_equal(again.fresh, 10);
    assert_int_equal(again.held_count, 0);
    for (int i = 0; i < 60; i++) {
        enum hold_result result = HOLD_NO_SLOT;

        for (int tries = 0; tries < 8 && result == HOLD_NO_SLOT; tries++)
            result = hold_take(&again, &ask, &slot);
        assert_int_equal(result, HOLD_OK);
        assert_true(slot >= 4 && !taken[slot]);
        taken[slot] = true;
    }
    assert_int_equal(hold_take(&again, &ask, &slot), HOLD_NO_SLOT);
    hold_table_close(&again);
}

static void
test_open_no_table(void **state)
{
    struct hold_table none;
    struct hold_view no_view;

    (void)state;
    assert_int_not_equal(hold_table_open(t.region, 0, &none), 0);
    assert_int_not_equal(hold_table_open(t.region, 4, &none), 0);
    assert_false(hold_view_open(t.region, 0, &no_view));
    assert_false(hold_view_open(t.region, UINT32_MAX, &no_view));
}

/* ---- doorbells ---- */

static void
test_ring_full(void **state)
{
    uint32_t slot = take(1), rung, count = 0;

    (void)state;
    for (int i = 0; i < 100; i++)
        (void)!hold_announce(&table, slot);
    while (hold_view_next(&view, &rung)) {
        assert_int_equal(rung, slot);
        count++;
    }
    assert_int_equal(count, 64);
    for (int i = 0; i < 1000; i++) {
        (void)!hold_announce(&table, slot);
        assert_true(hold_view_next(&view, &rung));
    }
    assert_false(hold_view_next(&view, &rung));
}

static void
test_ring_damaged(void **state)
{
    uint32_t slot = take(1), rung;

    (void)state;
    (void)!hold_announce(&table, slot);
    view.ring_entries[0] = 64;
    assert_false(hold_view_next(&view, &rung));
    (void)!hold_announce(&table, slot);
    view.ring->written_seq += 1000000;
    assert_false(hold_view_next(&view, &rung));
    (void)!hold_announce(&table, slot);
    assert_true(hold_view_next(&view, &rung));
    assert_int_equal(rung, slot);
    view.ring->read_seq = UINT64_MAX - 5;
    assert_false(hold_view_next(&view, &rung));
    (void)!hold_announce(&table, slot);
    assert_true(hold_view_next(&view, &rung));
}

/* ---- a dead worker's ---- */

static void
worker_died(void)
{
    t.region->header->table[1].state = TABLE_DEAD;
}

static void
test_unclaim(void **state)
{
    (void)state;
    table.slots[5].state = (uint64_t)HOLD_CLAIM << 56 | 77;
    worker_died();
    hold_view_unclaim(&view, 5);
    assert_int_equal(table.slots[5].state, 77);
}

static void
test_sweep(void **state)
{
    uint32_t slot = take(100);
    uint64_t generation = hold_generation(&table, slot);

    (void)state;
    hold_progress(&table, slot, 42);
    worker_died();
    hold_view_sweep(&view, slot);
    assert_int_equal(state_of(slot), HOLD_SETTLED);
    assert_int_equal(table.slots[slot].charge_ucr, 42);
    assert_true(table.records[slot].flags & RECORD_SWEPT);
    assert_int_equal(table.records[slot].outcome, OUTCOME_UNKNOWN);
    assert_int_equal(hold_generation(&table, slot), generation);
    assert_null(hold_slot_fault(&view, slot));
}

static void
test_sweep_damaged(void **state)
{
    uint32_t slot = take(100);

    (void)state;
    worker_died();
    table.slots[slot].progress_ucr = -1;
    hold_view_sweep(&view, slot);
    assert_int_equal(table.slots[slot].charge_ucr, 0);
    table.slots[slot].state = (uint64_t)HOLD_HELD << 56;
    table.slots[slot].progress_ucr = INT64_MAX;
    hold_view_sweep(&view, slot);
    assert_int_equal(table.slots[slot].charge_ucr, 100);
}

/* ---- faults ---- */

#define FAULTY(field, value)                                                                       \
    do {                                                                                           \
        held->field = (value);                                                                     \
        assert_non_null(hold_slot_fault(&view, slot));                                             \
        *held = good;                                                                              \
        assert_null(hold_slot_fault(&view, slot));                                                 \
    } while (0)

static void
test_slot_faults(void **state)
{
    struct hold_ask ask;
    struct hold_slot *held, good;
    uint32_t slot;

    (void)state;
    make_budgets(500);
    ask = ask_with_budgets(200);
    ask.budget_idx[BUDGET_PROJECT] = 0;
    assert_int_equal(hold_take(&table, &ask, &slot), HOLD_OK);
    (void)!hold_settle(&table, slot, 150);
    held = &table.slots[slot];
    good = *held;
    assert_null(hold_slot_fault(&view, slot));
    FAULTY(state, (uint64_t)HOLD_STATE_COUNT << 56);
    FAULTY(state, UINT64_MAX);
    FAULTY(account_idx, 0);
    FAULTY(account_idx, 2);
    FAULTY(account_idx, UINT32_MAX);
    FAULTY(account_generation, 0);
    FAULTY(account_generation, 2);
    FAULTY(amount_ucr, -1);
    FAULTY(amount_ucr, 149);
    FAULTY(amount_ucr, ACCOUNT_UCR_MAX + 1);
    FAULTY(amount_ucr, INT64_MIN);
    FAULTY(charge_ucr, -1);
    FAULTY(charge_ucr, 201);
    FAULTY(charge_ucr, INT64_MAX);
    FAULTY(progress_ucr, -1);
    FAULTY(progress_ucr, 201);
    FAULTY(budget_idx[0], 5);
    FAULTY(budget_idx[0], 0); /* entered nothing */
    FAULTY(budget_window[0], 0x8000);
    FAULTY(budget_window[BUDGET_PROJECT], 20);
}

#define RECORD_FAULTY(field, value)                                                                \
    do {                                                                                           \
        struct record good = *record;                                                              \
        record->field = (value);                                                                   \
        assert_non_null(hold_slot_fault(&view, slot));                                             \
        *record = good;                                                                            \
        assert_null(hold_slot_fault(&view, slot));                                                 \
    } while (0)

static void
test_record_faults(void **state)
{
    uint32_t slot = take(10);
    struct record *record = hold_record(&table, slot);

    (void)state;
    record->attempt_count = RECORD_ATTEMPTS_MAX;
    (void)!hold_settle(&table, slot, 10);
    RECORD_FAULTY(attempt_count, RECORD_ATTEMPTS_MAX + 1);
    RECORD_FAULTY(attempt_count, 255);
    RECORD_FAULTY(attempt[RECORD_ATTEMPTS_MAX - 1].reason, REASON_COUNT);
    RECORD_FAULTY(attempt[0].upstream, 129);
    RECORD_FAULTY(outcome, OUTCOME_COUNT);
    RECORD_FAULTY(model, 129);
    RECORD_FAULTY(channel, 65535);
    RECORD_FAULTY(upstream, 129);
    RECORD_FAULTY(family, 129);
    RECORD_FAULTY(key_idx, 1);
    RECORD_FAULTY(start_wall_us, -1);
    RECORD_FAULTY(start_wall_us, INT64_MAX);
    RECORD_FAULTY(end_us, UINT64_MAX);
    RECORD_FAULTY(first_byte_us, UINT64_MAX);
    RECORD_FAULTY(total_charge_ucr, -1);
    RECORD_FAULTY(total_charge_ucr, INT64_MAX);
    RECORD_FAULTY(uncollected_ucr, -1);
    RECORD_FAULTY(operator_ucr, -1);
    RECORD_FAULTY(before_ucr, -1);
    RECORD_FAULTY(tally[0].deal_u, RECORD_DEAL_MAX_U + 1);
    RECORD_FAULTY(asked, 129);
    RECORD_FAULTY(rule, 129);
    RECORD_FAULTY(attempt[0].channel, 129);
    RECORD_FAULTY(attempt[0].model, 129);
    RECORD_FAULTY(tally[0].model, 129);
    record->tally[1].channel = 129; /* comes to nothing, and is not what the charge is from */
    assert_null(hold_slot_fault(&view, slot));
    RECORD_FAULTY(tally_cost_ucr[1], 1);
    RECORD_FAULTY(tally_idx, 1);
    RECORD_FAULTY(basis, BASIS_COUNT);
    RECORD_FAULTY(tally_idx, 2);
}

/* Of a slot that its worker is still changing only what stands still is judged. */
static void
test_faults_of_living(void **state)
{
    uint32_t slot = take(10);

    (void)state;
    hold_record(&table, slot)->attempt_count = 255;
    assert_null(hold_slot_fault(&view, slot));
    table.slots[9].state = (uint64_t)HOLD_CLAIM << 56;
    table.slots[9].amount_ucr = -1;
    assert_null(hold_slot_fault(&view, 9));
    table.slots[8].amount_ucr = -1;
    assert_null(hold_slot_fault(&view, 8));
    worker_died();
    assert_non_null(hold_slot_fault(&view, slot));
    assert_non_null(hold_slot_fault(&view, 9));
    assert_null(hold_slot_fault(&view, 8)); /* free: nothing in it counts */
}

/* ---- by chance ---- */

/* Holds, settlements and returns in any order against a plain sum. */
static void
test_property(void **state)
{
    uint64_t seed = test_seed(), rng = seed;
    int64_t held_ucr = 0, spent_ucr = 0, deposits_ucr = 1000;
    uint32_t live[64], settled[64];
    unsigned live_count = 0, settled_count = 0;

    (void)state;
    make_budgets(100000000);
    for (int step = 0; step < 200000; step++) {
        struct hold_ask ask = ask_with_budgets((int64_t)(rng_next(&rng) % 400));
        uint64_t what = rng_next(&rng) % 4;

        if (what == 0) {
            enum hold_result result;
            uint32_t slot;

            result = hold_take(&table, &ask, &slot);
            if (result == HOLD_OK) {
                live[live_count++] = slot;
                held_ucr += ask.amount_ucr;
            } else if (result == HOLD_NO_CREDIT) {
                assert_true(ask.amount_ucr > deposits_ucr - held_ucr - spent_ucr);
            } else {
                assert_int_equal(result, HOLD_NO_SLOT);
            }
        } else if (what == 1 && live_count > 0) {
            unsigned which = (unsigned)(rng_next(&rng) % live_count);
            uint32_t slot = live[which];
            int64_t amount_ucr = hold_amount_ucr(&table, slot);

            (void)!hold_settle(&table, slot,
                               (int64_t)(rng_next(&rng) % (uint64_t)(amount_ucr + 1)));
            live[which] = live[--live_count];
            settled[settled_count++] = slot;
        } else if (what == 2 && settled_count > 0) {
            unsigned which = (unsigned)(rng_next(&rng) % settled_count);
            uint32_t slot = settled[which];
            const struct hold_slot *held = &view.slots[slot];

            assert_null(hold_slot_fault(&view, slot));
            held_ucr -= held->amount_ucr;
            spent_ucr += held->charge_ucr;
            for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
                budget_leave(budgets[kind], held->amount_ucr - held->charge_ucr,
                             held->budget_window[kind]);
            give_back(slot);
            settled[which] = settled[--settled_count];
        } else if (what == 3 && rng_next(&rng) % 16 == 0) {
            assert_true(account_change(account, 500));
            deposits_ucr += 500;
        }
        assert_int_equal(account_available_ucr(account), deposits_ucr - held_ucr - spent_ucr);
        assert_spent(held_ucr + spent_ucr);
        assert_int_equal(table.held_count, live_count);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_take_and_settle),
        TEST(test_take_all_and_nothing),
        TEST(test_take_extremes),
        TEST(test_overdraft),
        TEST(test_take_asserts),
        TEST(test_closed),
        TEST(test_frozen),
        TEST(test_budgets),
        TEST(test_budget_refuses),
        TEST(test_account_refuses_after_budgets),
        TEST(test_some_budgets), TEST(test_ask_again),
        TEST(test_progress),
        TEST(test_record_is_zeroed),
        TEST(test_asserts),
        TEST(test_sleeping_ledger_is_rung),
        TEST(test_announce),
        TEST(test_fifo),
        TEST(test_no_slot),
        TEST(test_refused_slot_is_used_next),
        TEST(test_open_used_table),
        TEST(test_open_no_table),
        TEST(test_ring_full),
        TEST(test_ring_damaged),
        TEST(test_unclaim),
        TEST(test_sweep),
        TEST(test_sweep_damaged),
        TEST(test_slot_faults),
        TEST(test_record_faults),
        TEST(test_faults_of_living),
        TEST(test_property),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
