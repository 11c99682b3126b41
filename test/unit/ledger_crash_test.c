/*
 * The ledger is killed at its n-th step, for every n, and started again: every write to the store,
 * before and after every commit, and between any two steps of applying it. Whatever n is, the end is
 * the same: every call charged once, every grant there once, the books balanced.
 */
#include "test/unit/ledger_world.h"

#include "ledger/retention.h"

static struct world w;

/* Runs one thing to its end, however often the ledger dies in it. */
#define SURVIVE(expression)                                                                        \
    do {                                                                                           \
        int rc_;                                                                                   \
        while ((rc_ = (expression)) == DIED)                                                       \
            world_restart(&w);                                                                     \
        assert_int_equal(rc_, 0);                                                                  \
    } while (0)

/* A command that may have been done when the answer did not come: its second try says so. */
static int
ask_twice(const char *request)
{
    struct js_value result;

    return world_ask(&w, request, &result);
}

/* All records but the last block's. */
static int
drop(void)
{
    const struct retention keep = {.age_us = 1};
    bool more;

    return retention_step(w.ledger, &keep, &more);
}

static int64_t
available(uint32_t tenant_id)
{
    return account_available_ucr(account_at(w.workers, world_account(&w, tenant_id)));
}

struct script {
    uint32_t slot[8];
};

static void
take_some(struct script *s)
{
    assert_int_equal(world_take(&w, 0, 1, CREDITS(10), &s->slot[0]), HOLD_OK);
    assert_int_equal(world_take(&w, 0, 1, CREDITS(20), &s->slot[1]), HOLD_OK);
    assert_int_equal(world_take(&w, 0, 2, CREDITS(30), &s->slot[2]), HOLD_OK);
    assert_int_equal(world_take(&w, 1, 1, CREDITS(40), &s->slot[3]), HOLD_OK);
    assert_int_equal(world_take(&w, 1, 2, CREDITS(50), &s->slot[4]), HOLD_OK);
}

static void
script_run(void)
{
    struct script s;

    SURVIVE(ask_twice("{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"1000\","
                      "\"budget\":\"500/day\"}}"));
    SURVIVE(ask_twice("{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"b\",\"credit\":\"500\"}}"));
    take_some(&s);
    world_settle(&w, 0, s.slot[0], CREDITS(1));
    world_settle(&w, 0, s.slot[2], CREDITS(30));
    SURVIVE(world_commit(&w));
    SURVIVE(ask_twice("{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"a\",\"amount\":\"7\","
                      "\"ref\":\"r1\"}}"));
    world_settle(&w, 0, s.slot[1], 0);
    hold_progress(&w.table[1], s.slot[3], CREDITS(4));
    world_kill_worker(&w, 1);
    SURVIVE(world_commit(&w));
    SURVIVE(drop());
    SURVIVE(ask_twice("{\"cmd\":\"credit.deduct\",\"args\":{\"tenant\":\"b\",\"amount\":\"70\","
                      "\"ref\":\"r2\"}}"));
    SURVIVE(world_commit(&w));
}

static void
check_end(long n)
{
    struct js_value audit;
    struct budget *budget;

    w.steps_left = -1;
    world_restart(&w);
    audit = world_audit(&w);
    /* a: 1000 + 7 - 1 - 0 - 4; b: 500 - 30 - 0 - 70. */
    if (available(1) != CREDITS(1002) || available(2) != CREDITS(400))
        print_error("killed at step %ld\n", n);
    assert_int_equal(available(1), CREDITS(1002));
    assert_int_equal(available(2), CREDITS(400));
    assert_int_equal(money_of(audit, "deposited"), CREDITS(1437));
    assert_int_equal(money_of(audit, "spent"), CREDITS(35));
    assert_int_equal(money_of(audit, "held"), 0);
    assert_int_equal(number_of(audit, "records") + number_of(audit, "records_dropped"), 5);
    assert_true(number_of(audit, "records_dropped") >= 2); /* those of the first commit */
    assert_int_equal(number_of(audit, "open_holds"), 0);
    budget = budget_at(w.workers, account_at(w.workers, world_account(&w, 1))->budget_idx);
    assert_int_equal(budget_word_spent_ucr(budget->word), CREDITS(5));
}

static void
killed_at_every_step(void **state)
{
    long n = 0;

    (void)state;
    for (;; n++) {
        bool died;

        world_open(&w);
        world_start(&w);
        w.steps_left = n;
        script_run();
        died = w.steps_left < 0;
        check_end(n);
        world_close(&w);
        if (!died)
            break;
    }
    print_message("%ld steps\n", n);
    assert_true(n > 60);
}

/* Twice in one run: the second time while the first is being repaired. */
static void
killed_again_while_recovering(void **state)
{
    uint64_t rng = world_seed();

    (void)state;
    for (int round = 0; round < 150; round++) {
        world_open(&w);
        world_start(&w);
        for (int kill = 0; kill < 4; kill++) {
            long gap = (long)(rng_next(&rng) % 60);

            if (kill == 0)
                w.steps_left = gap;
        }
        /* After each death the next is a few steps away. */
        struct script s;
#define AGAIN(expression)                                                                          \
    do {                                                                                           \
        int rc_;                                                                                   \
        while ((rc_ = (expression)) == DIED) {                                                     \
            w.steps_left = (long)(rng_next(&rng) % 40);                                            \
            world_restart(&w);                                                                     \
        }                                                                                          \
        assert_int_equal(rc_, 0);                                                                  \
        w.steps_left = (long)(rng_next(&rng) % 40);                                                \
    } while (0)
        AGAIN(ask_twice("{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"1000\","
                        "\"budget\":\"500/day\"}}"));
        AGAIN(ask_twice("{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"b\",\"credit\":\"500\"}}"));
        take_some(&s);
        world_settle(&w, 0, s.slot[0], CREDITS(1));
        world_settle(&w, 0, s.slot[2], CREDITS(30));
        AGAIN(world_commit(&w));
        AGAIN(ask_twice("{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"a\",\"amount\":\"7\","
                        "\"ref\":\"r1\"}}"));
        world_settle(&w, 0, s.slot[1], 0);
        hold_progress(&w.table[1], s.slot[3], CREDITS(4));
        world_kill_worker(&w, 1);
        AGAIN(world_commit(&w));
        AGAIN(drop());
        AGAIN(ask_twice("{\"cmd\":\"credit.deduct\",\"args\":{\"tenant\":\"b\",\"amount\":\"70\","
                        "\"ref\":\"r2\"}}"));
        AGAIN(world_commit(&w));
        check_end(round);
        world_close(&w);
    }
}

/* A ledger that died between a commit and its answer: the same grant again is not a second one. */
static void
grant_survives_unanswered(void **state)
{
    struct js_value result;

    (void)state;
    world_open(&w);
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\"}}");
    for (long n = 0; n < 40; n++) {
        char request[160];
        int rc;

        snprintf(request, sizeof(request),
                 "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"a\",\"amount\":\"1\","
                 "\"ref\":\"g%ld\"}}",
                 n);
        w.steps_left = n;
        rc = world_ask(&w, request, &result);
        w.steps_left = -1;
        if (rc == DIED)
            world_restart(&w);
        ask_ok(&w, request);
        assert_int_equal(available(1), CREDITS(n + 1));
    }
    world_audit(&w);
    world_close(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_every_step),
        cmocka_unit_test(killed_again_while_recovering),
        cmocka_unit_test(grant_survives_unanswered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
