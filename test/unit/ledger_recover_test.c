/* Starting after anything: dead workers in every state, slots that nobody can have meant, memory that
 * is gone, of another store, or newer than the store. */
#include "test/unit/ledger_world.h"

#include "shm/call_id.h"

static struct world w;

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"100\","
               "\"budget\":\"90\"}}");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

static struct account *
account(void)
{
    return account_at(w.workers, world_account(&w, 1));
}

static int64_t
available(void)
{
    return account_available_ucr(account());
}

static int64_t
budget_used(void)
{
    return budget_word_spent_ucr(budget_at(w.workers, account()->budget_idx)->word);
}

static enum hold_state
state_of(uint32_t t, uint32_t slot)
{
    struct hold_view view;

    assert_true(hold_view_open(w.workers, t, &view));
    return hold_word_state(view.slots[slot].state);
}

/* Every state a worker can be killed in, and in each of them with what its words say by then. */
static void
dead_in_every_state(void **state)
{
    uint32_t claim, held, settled, slot;
    struct hold_view view;

    (void)state;
    assert_int_equal(world_take(&w, 1, 1, CREDITS(10), &claim), HOLD_OK);
    assert_int_equal(world_take(&w, 1, 1, CREDITS(20), &held), HOLD_OK);
    assert_int_equal(world_take(&w, 1, 1, CREDITS(30), &settled), HOLD_OK);
    hold_progress(&w.table[1], held, CREDITS(3));
    world_settle(&w, 1, settled, CREDITS(5));
    assert_true(hold_view_open(w.workers, 1, &view));
    /* Killed after its swaps but before it wrote HELD: the credit is gone, the slot says CLAIM. */
    view.slots[claim].state = (uint64_t)HOLD_CLAIM << 56;
    world_kill_worker(&w, 1);
    world_kill_ledger(&w);
    world_start(&w);
    assert_int_equal(state_of(1, claim), HOLD_FREE);
    assert_int_equal(world_commit(&w), 0);
    assert_int_equal(state_of(1, held), HOLD_FREE);
    assert_int_equal(state_of(1, settled), HOLD_FREE);
    assert_int_equal(available(), CREDITS(92));
    assert_int_equal(budget_used(), CREDITS(8));
    world_audit(&w);
    assert_int_equal(recount_dead_tables(w.ledger), 0);
    assert_int_equal(w.workers->header->table[1].state, TABLE_FREE);
    w.dead[1] = false;
    assert_int_equal(world_take(&w, 1, 1, CREDITS(1), &slot), HOLD_OK);
}

/* The same without a restart, and again: to sweep twice is to sweep once. */
static void
swept_once(void **state)
{
    uint32_t slot;

    (void)state;
    assert_int_equal(world_take(&w, 2, 1, CREDITS(40), &slot), HOLD_OK);
    hold_progress(&w.table[2], slot, CREDITS(4));
    world_kill_worker(&w, 2);
    for (int i = 0; i < 5; i++)
        assert_int_equal(world_commit(&w), 0);
    assert_int_equal(available(), CREDITS(96));
    world_audit(&w);
}

/* What was never sent used nothing, whatever the batch before had at its place. */
static void
swept_unused(void **state)
{
    struct js_value result;
    char id[CALL_ID_LEN + 1], request[160];
    uint32_t slot;

    (void)state;
    assert_int_equal(world_take(&w, 0, 1, CREDITS(4), &slot), HOLD_OK);
    world_settle(&w, 0, slot, CREDITS(1)); /* has tokens */
    assert_int_equal(world_commit(&w), 0);
    assert_int_equal(world_take(&w, 2, 1, CREDITS(40), &slot), HOLD_OK);
    call_id_text(hold_record(&w.table[2], slot)->call_id, id);
    world_kill_worker(&w, 2);
    assert_int_equal(world_commit(&w), 0);
    snprintf(request, sizeof(request), "{\"cmd\":\"call.show\",\"args\":{\"id\":\"%s\"}}", id);
    result = ask_ok(&w, request);
    assert_int_equal(money_of(result, "charge"), 0);
    assert_int_equal(number_of(js_get(result, STR("tokens")), "input"), 0);
    assert_int_equal(number_of(js_get(result, STR("tokens")), "output"), 0);
}

/* A worker that stands in CLAIM: its account is left alone, and recounted once it has moved on. */
static void
living_claim_is_waited_for(void **state)
{
    uint32_t slot, other;
    struct hold_view view;

    (void)state;
    assert_int_equal(world_take(&w, 0, 1, CREDITS(10), &slot), HOLD_OK);
    assert_int_equal(world_take(&w, 1, 1, CREDITS(20), &other), HOLD_OK);
    assert_true(hold_view_open(w.workers, 0, &view));
    view.slots[slot].state = (uint64_t)HOLD_CLAIM << 56; /* stopped between swap and store */
    world_kill_worker(&w, 1);
    assert_int_equal(world_commit(&w), 0);
    assert_true(w.ledger->stats.recount_busy > 0);
    assert_false(account_word_frozen(account()->word));
    assert_int_equal(state_of(1, other), HOLD_HELD);
    view.slots[slot].state = (uint64_t)HOLD_HELD << 56; /* goes on */
    assert_int_equal(world_commit(&w), 0);
    assert_int_equal(available(), CREDITS(90));
    world_audit(&w);
    world_settle(&w, 0, slot, 0);
}

/* Memory is gone: everything that was committed is there again, and nothing else. */
static void
power_cut(void **state)
{
    uint32_t slot, other;

    (void)state;
    assert_int_equal(world_take(&w, 0, 1, CREDITS(10), &slot), HOLD_OK);
    assert_int_equal(world_take(&w, 0, 1, CREDITS(20), &other), HOLD_OK);
    world_settle(&w, 0, slot, CREDITS(7));
    assert_int_equal(world_commit(&w), 0);
    world_power_cut(&w);
    world_start(&w);
    assert_int_equal(available(), CREDITS(93));
    assert_int_equal(budget_used(), CREDITS(7));
    world_audit(&w);
    /* The new memory's first slot has the number and generation of the old one's: another call. */
    assert_int_equal(world_take(&w, 0, 1, CREDITS(10), &slot), HOLD_OK);
    world_settle(&w, 0, slot, CREDITS(1));
    world_restart(&w);
    assert_int_equal(world_commit(&w), 0);
    assert_int_equal(available(), CREDITS(92));
    assert_int_equal(number_of(world_audit(&w), "records"), 2);
}

static void
foreign_memory(void **state)
{
    (void)state;
    world_kill_ledger(&w);
    snprintf(w.store_dir, sizeof(w.store_dir), "%s/other", w.dir);
    assert_int_equal(world_try_start(&w), -ESTALE);
    assert_null(w.ledger);
    snprintf(w.store_dir, sizeof(w.store_dir), "%s/store", w.dir);
    world_kill_ledger(&w);
    world_start(&w);
    assert_int_equal(available(), CREDITS(100));
    /* A store that was put back to an older state. */
    w.workers->header->applied_seq = w.ledger->tail.seq + 1;
    world_kill_ledger(&w);
    assert_int_equal(world_try_start(&w), -ESTALE);
    w.workers->header->applied_seq--;
}

static void
wrong_words_are_repaired(void **state)
{
    uint32_t slot;
    struct js_value audit;

    (void)state;
    assert_int_equal(world_take(&w, 0, 1, CREDITS(10), &slot), HOLD_OK);
    assert_true(account_change(account(), CREDITS(50)));
    audit = ask_ok(&w, "{\"cmd\":\"audit\"}");
    assert_false(js_bool(js_get(audit, STR("ok")), true));
    assert_true(str_contains(js_get(audit, STR("faults")).raw, STR("account in memory")));
    assert_int_equal(available(), CREDITS(90));
    budget_leave(budget_at(w.workers, account()->budget_idx), CREDITS(10), 0);
    assert_int_equal(audit_sample(w.ledger), 0);
    assert_int_equal(w.ledger->stats.audit_faults, 2);
    assert_int_equal(budget_used(), CREDITS(10));
    world_audit(&w);
    world_settle(&w, 0, slot, 0);
}

/* What no honest worker writes: set aside, told of, and nobody else is disturbed. */
static void
hostile_slots(void **state)
{
    uint32_t slots[8], good;
    struct hold_view view;
    struct js_value audit;

    (void)state;
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"b\",\"credit\":\"9\"}}");
    for (unsigned i = 0; i < COUNT_OF(slots); i++)
        assert_int_equal(world_take(&w, 0, 1, CREDITS(1), &slots[i]), HOLD_OK);
    assert_int_equal(world_take(&w, 0, 1, CREDITS(1), &good), HOLD_OK);
    assert_true(hold_view_open(w.workers, 0, &view));
    for (unsigned i = 0; i < COUNT_OF(slots); i++)
        world_settle(&w, 0, slots[i], CREDITS(1));
    world_settle(&w, 0, good, CREDITS(1));
    view.slots[slots[0]].charge_ucr = CREDITS(2);
    view.slots[slots[1]].charge_ucr = -1;
    view.slots[slots[2]].amount_ucr = INT64_MAX;
    view.slots[slots[3]].account_idx = 200;
    view.slots[slots[4]].budget_idx[1] = 200;
    view.slots[slots[5]].account_generation = 7;
    view.records[slots[6]].tenant_id = 2; /* another's */
    view.records[slots[7]].attempt_count = 200;
    for (int i = 0; i < 3; i++)
        assert_int_equal(world_commit(&w), 0);
    assert_int_equal(w.ledger->quarantine_count, 8);
    assert_int_equal(state_of(0, good), HOLD_FREE);
    for (unsigned i = 0; i < COUNT_OF(slots); i++)
        assert_int_equal(state_of(0, slots[i]), HOLD_SETTLED);
    audit = ask_ok(&w, "{\"cmd\":\"audit\"}");
    assert_false(js_bool(js_get(audit, STR("ok")), true));
    assert_int_equal(number_of(audit, "journal_lag"), 0);
    /* Found again by the next process, and written down in the store. */
    world_restart(&w);
    assert_int_equal(world_commit(&w), 0);
    assert_int_equal(w.ledger->quarantine_count, 8);
    assert_true(w.ledger->tail.fault_count >= 8);
    assert_int_equal(account_available_ucr(account_at(w.workers, world_account(&w, 2))),
                     CREDITS(9));
    world_power_cut(&w);
    world_start(&w);
    world_audit(&w);
    assert_int_equal(available(), CREDITS(99));
}

/* A charge so large that the tenant's total would wrap. */
static void
overflowing_charges(void **state)
{
    uint32_t slots[4];
    struct hold_view view;

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(slots); i++)
        assert_int_equal(world_take(&w, 0, 1, CREDITS(1), &slots[i]), HOLD_OK);
    assert_true(hold_view_open(w.workers, 0, &view));
    for (unsigned i = 0; i < COUNT_OF(slots); i++) {
        world_settle(&w, 0, slots[i], 0);
        view.slots[slots[i]].amount_ucr = view.slots[slots[i]].charge_ucr = ACCOUNT_UCR_MAX;
    }
    assert_int_equal(world_commit(&w), 0);
    assert_int_equal(w.ledger->quarantine_count, 3);
    assert_int_equal(world_commit(&w), 0);
}

static void
random_bytes_in_slots(void **state)
{
    uint64_t rng = world_seed();
    struct hold_view view;
    uint32_t slot;

    (void)state;
    for (int round = 0; round < 60; round++) {
        /* Bytes that make sense by chance are believed, and may have spent it all. */
        if (world_take(&w, 3, 1, 1000, &slot) != HOLD_OK) {
            assert_true(round > 0);
            break;
        }
        world_kill_worker(&w, 3);
        assert_true(hold_view_open(w.workers, 3, &view));
        for (uint32_t s = 0; s < view.slot_max; s++) {
            uint64_t *words = (uint64_t *)(void *)&view.slots[s];
            uint64_t *cold = (uint64_t *)(void *)&view.records[s];

            for (unsigned i = 0; i < sizeof(struct hold_slot) / 8; i++)
                if (rng_next(&rng) % 3 == 0)
                    words[i] = rng_next(&rng) >> (rng_next(&rng) % 64);
            for (unsigned i = 0; i < sizeof(struct record) / 8; i++)
                if (rng_next(&rng) % 3 == 0)
                    cold[i] = rng_next(&rng) >> (rng_next(&rng) % 64);
            view.slots[s].state = rng_next(&rng) % 5 << 56 | rng_next(&rng) % 3;
        }
        view.ring->written_seq = rng_next(&rng) % 500;
        world_restart(&w);
        for (int i = 0; i < 3; i++)
            assert_int_equal(world_commit(&w), 0);
        assert_int_equal(audit_sample(w.ledger), 0);
        ask_ok(&w, "{\"cmd\":\"audit\"}");
        world_power_cut(&w);
        world_start(&w);
        world_audit(&w); /* whatever was believed, the books balance */
    }
}

/* ---- holds made durable before their dispatch ---- */

static void
unresolved(enum ledger_unresolved rule, int64_t charge_ucr)
{
    uint32_t slot, other, late;

    w.durability = LEDGER_RESERVE;
    w.unresolved = rule;
    world_restart(&w);
    assert_int_equal(world_take(&w, 0, 1, CREDITS(10), &slot), HOLD_OK);
    hold_progress(&w.table[0], slot, CREDITS(3));
    assert_int_equal(world_take(&w, 0, 1, CREDITS(20), &other), HOLD_OK);
    (void)!hold_announce(&w.table[0], slot);
    (void)!hold_announce(&w.table[0], other);
    assert_false(hold_announced(&w.table[0], slot));
    ledger_collect(w.ledger, false);
    assert_int_equal(ledger_announce(w.ledger), 0);
    assert_true(hold_announced(&w.table[0], slot));
    assert_true(hold_announced(&w.table[0], other));
    assert_true(w.wakes[0] > 0);
    /* One is settled in time, one was never announced. */
    world_settle(&w, 0, other, CREDITS(1));
    assert_int_equal(world_commit(&w), 0);
    assert_int_equal(world_take(&w, 0, 1, CREDITS(5), &late), HOLD_OK);
    world_restart(&w); /* the process alone: they are all still there */
    assert_int_equal(available(), CREDITS(84));
    world_power_cut(&w);
    world_start(&w);
    assert_int_equal(available(), CREDITS(99) - charge_ucr);
    assert_int_equal(budget_used(), CREDITS(1) + charge_ucr);
    assert_int_equal(number_of(world_audit(&w), "records"), 2);
    world_restart(&w);
    world_power_cut(&w);
    world_start(&w);
    assert_int_equal(available(), CREDITS(99) - charge_ucr);
    world_audit(&w);
}

static void
unresolved_void(void **state)
{
    (void)state;
    unresolved(LEDGER_VOID, 0);
}

static void
unresolved_input(void **state)
{
    (void)state;
    unresolved(LEDGER_INPUT, CREDITS(3));
}

/* The power came back, and the first to open the store is a command: the server's rule holds. */
static void
unresolved_rule_is_kept(void **state)
{
    (void)state;
    w.unresolved = LEDGER_FULL;
    world_restart(&w);
    assert_int_equal(ledger_keep_rule(w.ledger), 0);
    w.unresolved = LEDGER_UNRESOLVED_COUNT;
    world_restart(&w);
    assert_int_equal(w.ledger->unresolved, LEDGER_FULL);
}

static void
unresolved_full(void **state)
{
    (void)state;
    unresolved(LEDGER_FULL, CREDITS(10));
}

/* One call on several holds, as a stream is that outlived its first: it stays one call. */
static void
unresolved_extension(void **state)
{
    uint32_t slots[3];
    struct js_value result;
    char id[CALL_ID_LEN + 1], request[160];

    (void)state;
    w.durability = LEDGER_RESERVE;
    w.unresolved = LEDGER_FULL;
    world_restart(&w);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(world_take(&w, 0, 1, CREDITS(10), &slots[i]), HOLD_OK);
        if (i > 0) {
            *hold_record(&w.table[0], slots[i]) = *hold_record(&w.table[0], slots[0]);
            hold_record(&w.table[0], slots[i])->announced = 0;
            hold_record(&w.table[0], slots[i])->flags |= RECORD_EXTENSION;
            hold_record(&w.table[0], slots[0])->flags |= RECORD_EXTENDED;
        }
        (void)!hold_announce(&w.table[0], slots[i]);
        ledger_collect(w.ledger, false);
        assert_int_equal(ledger_announce(w.ledger), 0);
        assert_true(hold_announced(&w.table[0], slots[i]));
    }
    call_id_text(hold_record(&w.table[0], slots[0])->call_id, id);
    world_power_cut(&w);
    world_start(&w);
    assert_int_equal(available(), CREDITS(70));
    assert_int_equal(number_of(world_audit(&w), "records"), 3);
    snprintf(request, sizeof(request), "{\"cmd\":\"call.show\",\"args\":{\"id\":\"%s\"}}", id);
    result = ask_ok(&w, request);
    assert_int_equal(money_of(result, "charge"), CREDITS(30));
    assert_int_equal(money_of(result, "held"), CREDITS(30));
    result = ask_ok(&w, "{\"cmd\":\"credit.show\",\"args\":{\"tenant\":1}}");
    assert_int_equal(number_of(result, "calls"), 1);
}

/* Killed at any step of settling what was left open: it is settled once. */
static void
unresolved_killed(void **state)
{
    (void)state;
    for (long n = 0; n < 60; n++) {
        uint32_t slot;

        world_close(&w);
        world_open(&w);
        w.durability = LEDGER_RESERVE;
        w.unresolved = LEDGER_FULL;
        world_start(&w);
        ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"100\","
                   "\"budget\":\"90\"}}");
        for (int i = 0; i < 3; i++) {
            assert_int_equal(world_take(&w, 0, 1, CREDITS(10), &slot), HOLD_OK);
            (void)!hold_announce(&w.table[0], slot);
        }
        ledger_collect(w.ledger, false);
        assert_int_equal(ledger_announce(w.ledger), 0);
        world_power_cut(&w);
        w.steps_left = n;
        world_start(&w);
        w.steps_left = -1;
        assert_int_equal(available(), CREDITS(70));
        assert_int_equal(number_of(world_audit(&w), "records"), 3);
    }
}

/* A bell that was lost: the scan announces, and commits. */
static void
lost_bells(void **state)
{
    uint32_t slot, other;

    (void)state;
    w.durability = LEDGER_RESERVE;
    world_restart(&w);
    assert_int_equal(world_take(&w, 0, 1, CREDITS(10), &slot), HOLD_OK);
    assert_int_equal(world_take(&w, 0, 1, CREDITS(10), &other), HOLD_OK);
    world_settle(&w, 0, other, CREDITS(1));
    w.workers->header->table[0].pid = 1;
    w.table[0].ring->read_seq = w.table[0].ring->written_seq;
    ledger_collect(w.ledger, false);
    assert_int_equal(w.ledger->batch_count, 0);
    ledger_collect(w.ledger, true);
    assert_int_equal(w.ledger->batch_count, 1);
    assert_int_equal(ledger_announce(w.ledger), 0);
    assert_int_equal(ledger_commit(w.ledger), 0);
    assert_true(hold_announced(&w.table[0], slot));
    assert_int_equal(available(), CREDITS(89));
    world_settle(&w, 0, slot, 0);
    assert_int_equal(world_commit(&w), 0);
    world_audit(&w);
}

/* A call in flight that died with its worker does not count for ever; nor does a counter that leaked. */
static void
calls_in_flight(void **state)
{
    struct key_slot *key;
    struct record *record;
    uint32_t slot;

    (void)state;
    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"a\",\"concurrency\":3}}");
    key = key_at(w.workers, 1);
    assert_true(key_enter(key, 3));
    assert_int_equal(world_take(&w, 1, 1, CREDITS(1), &slot), HOLD_OK);
    record = hold_record(&w.table[1], slot);
    record->key_idx = 1;
    record->key_generation = key->generation;
    record->flags |= RECORD_INFLIGHT;
    world_kill_worker(&w, 1);
    assert_int_equal(world_commit(&w), 0);
    assert_int_equal(key->inflight, 0);
    assert_true(key_enter(key, 3)); /* and dies before it has a hold */
    for (int i = 0; i < 2; i++)
        assert_int_equal(audit_sample(w.ledger), 0);
    assert_int_equal(key->inflight, 0);
    world_audit(&w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(dead_in_every_state),  TEST(swept_once),
        TEST(swept_unused),
        TEST(living_claim_is_waited_for), TEST(power_cut),
        TEST(foreign_memory),       TEST(wrong_words_are_repaired),
        TEST(hostile_slots),        TEST(overflowing_charges),
        TEST(random_bytes_in_slots), TEST(unresolved_void),
        TEST(unresolved_input),     TEST(unresolved_full),
        TEST(unresolved_killed),    TEST(unresolved_rule_is_kept),
        TEST(unresolved_extension), TEST(lost_bells),
        TEST(calls_in_flight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
