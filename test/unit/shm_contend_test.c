/* Two processes on one tenant, as fast as they can, with four budgets: no update is lost. And one
 * of them killed in the middle of it: the recount finds everything. */
#include "test/unit/shm_ledger.h"

#include "base/poison.h"
#include "base/rng.h"

#include <sched.h>

/* By each of two. Sanitizers, which see nothing of another process, have a taste of it. */
#ifdef POISON_ON
#define HOLDS 100000
#else
#define HOLDS 1000000
#endif
#define DEPOSIT_UCR INT64_C(1000000000000)

static struct shm_test t;
static struct db db;
static struct ledger ledger;

static void
yield(void *arg)
{
    (void)arg;
    sched_yield();
}

static int
setup(void **state)
{
    (void)state;
    t = shm_test_open(&small_geometry);
    db = (struct db){.deposits_ucr = DEPOSIT_UCR};
    ledger = (struct ledger){.region = t.region, .db = &db, .wait_a_bit = yield};
    test_account(t.region, DEPOSIT_UCR, &ledger.account_idx);
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
        test_budget(t.region, (enum budget_kind)kind, BUDGET_TOTAL, BUDGET_SPENT_MAX,
                    &ledger.budget_idx[kind]);
    for (uint32_t i = 0; i < 2; i++)
        if (region_table_ensure(t.region, i) != 0)
            abort();
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    shm_test_close(&t);
    return 0;
}

static struct hold_ask
ask_for(int64_t amount_ucr)
{
    struct hold_ask ask = {.account_idx = ledger.account_idx,
                           .account_generation = 1,
                           .amount_ucr = amount_ucr,
                           .wall_us = 1};

    memcpy(ask.budget_idx, ledger.budget_idx, sizeof(ask.budget_idx));
    return ask;
}

/* Takes and settles, and gives back what it settled as a ledger process would: so that all words
 * are changed by both processes, all the time. */
static void
contend(uint32_t table_idx, uint64_t count)
{
    struct hold_table table;
    struct hold_view view;

    if (hold_table_open(t.region, table_idx, &table) != 0 ||
        !hold_view_open(t.region, table_idx, &view))
        abort();
    for (uint64_t i = 0; i < count; i++) {
        struct hold_ask ask = ask_for(100);
        uint32_t slot;

        if (hold_take(&table, &ask, &slot) != HOLD_OK)
            abort();
        (void)!hold_settle(&table, slot, 1);
        ledger_return(&ledger, slot_name(&view, slot));
    }
    hold_table_close(&table);
}

static pid_t
contend_in_child(uint32_t table_idx, uint64_t count)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        contend(table_idx, count);
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

static void
test_no_lost_update(void **state)
{
    pid_t pids[2];

    (void)state;
    for (uint32_t i = 0; i < 2; i++)
        pids[i] = contend_in_child(i, HOLDS);
    for (int i = 0; i < 2; i++) {
        int status;

        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(account_available_ucr(account_at(t.region, ledger.account_idx)),
                     DEPOSIT_UCR - 2 * HOLDS);
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
        assert_int_equal(budget_word_spent_ucr(budget_at(t.region, ledger.budget_idx[kind])->word),
                         2 * HOLDS);
}

/* As a worker, which settles and leaves the rest to the ledger process. */
static void
work(uint32_t table_idx)
{
    struct hold_table table;

    if (hold_table_open(t.region, table_idx, &table) != 0)
        abort();
    while (true) {
        struct hold_ask ask = ask_for(100);
        uint32_t slot;

        if (hold_take(&table, &ask, &slot) != HOLD_OK)
            continue;
        hold_progress(&table, slot, 7);
        (void)!hold_settle(&table, slot, 1);
    }
}

/* SIGKILL at any instruction, not only where there is a step. */
static void
test_killed_at_any_instruction(void **state)
{
    uint64_t seed = test_seed(), rng = seed;

    (void)state;
    for (int round = 0; round < 200; round++) {
        pid_t pids[2];

        for (uint32_t i = 0; i < 2; i++) {
            atomic_store_explicit(&t.region->header->table[i].state, TABLE_LIVE,
                                  memory_order_release);
            fflush(NULL);
            pids[i] = fork();
            assert_true(pids[i] >= 0);
            if (pids[i] == 0)
                work(i);
        }
        for (uint64_t turns = rng_next(&rng) % 400; turns > 0; turns--)
            if (!ledger_batch(&ledger))
                sched_yield();
        for (uint32_t i = 0; i < 2; i++) {
            int status;

            kill(pids[i], SIGKILL);
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            atomic_store_explicit(&t.region->header->table[i].state, TABLE_DEAD,
                                  memory_order_release);
            if (round % 3 == 0)
                ledger_recount(&ledger); /* while the other lives */
        }
        ledger_recount(&ledger);
        assert_true(books_balance(&ledger));
        while (ledger_batch(&ledger))
            ;
        assert_true(books_balance(&ledger));
        assert_int_equal(account_available_ucr(account_at(t.region, ledger.account_idx)),
                         db.deposits_ucr - db.spent_ucr);
    }
    print_message("%llu calls, two workers killed 200 times\n",
                  (unsigned long long)db.record_count);
    assert_true(db.record_count > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_lost_update),
        TEST(test_killed_at_any_instruction),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
