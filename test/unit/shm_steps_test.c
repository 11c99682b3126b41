/*
 * The protocol of holds, one step at a time. The room's sources are compiled into this file with
 * SHM_STEPS, so that shm_step_hook is called between any two operations on shared words; each party
 * (workers, the ledger process) is a coroutine that stops there, and a scheduler says who goes on,
 * or is killed at that very point. A killed worker is proven dead; a killed ledger process is
 * followed by another, which recounts.
 *
 * Exhaustively: two holds on one account; a hold with a budget against a recount; a settlement and
 * a hold against a commit; a call with an extension; every interleaving of them, and in each a kill
 * at every step. By chance, for many seeds: three workers and a ledger process, and kills of any of
 * them, everything at once included.
 *
 * After every step what is held and spent is within what was deposited. When all is quiet the books
 * balance: deposits = available + held + spent, no charge twice, none lost.
 */
#undef _FORTIFY_SOURCE
#define SHM_STEPS

#include "shm/account.c"
#include "shm/budget.c"
#include "shm/region.c"
#include "shm/hold.c"
#include "shm/hold_view.c"

#include "test/unit/shm_ledger.h"
#include "test/unit/shm_steps.h"

#include "base/rng.h"

#define LEDGER 3 /* behind three workers */
#define DEPOSIT_UCR 100

struct party {
    /* A worker's: what it does, and what it did. */
    struct hold_table holds;
    int64_t amount_ucr;
    unsigned calls;
    bool settles, extends, budgets;
    const char *only; /* stops only at steps whose name begins so; NULL: all */
    uint64_t rng;
};

static struct shm_test t;
static struct db db;
static struct ledger ledger;
static struct party parties[CO_PARTIES];
static uint64_t steps_done;

static void
on_step(const char *where)
{
    const char *only;

    if (co_running == NULL)
        return;
    only = parties[co_running - co].only;
    if (only == NULL || strncmp(where, only, strlen(only)) == 0)
        co_stop(CO_READY);
}

/* The ledger process waits for a CLAIM to go: it is of no use to run it before another has moved.
 */
static void
on_wait(void *arg)
{
    (void)arg;
    co_stop(CO_WAITING);
}

/* ---- what must be true after every step ---- */

/* What may be owed: held, settled and not journalled, spent. Never more than was deposited. */
static int64_t
owed_ucr(void)
{
    int64_t sum_ucr = db.spent_ucr;

    for (uint32_t table = 0; table < LEDGER; table++) {
        struct hold_view view;

        if (!hold_view_open(t.region, table, &view))
            continue;
        for (uint32_t slot = 0; slot < view.slot_max; slot++) {
            enum hold_state state = slot_state(&view, slot);

            if (state == HOLD_HELD ||
                (state == HOLD_SETTLED && !db_has(&db, slot_name(&view, slot))))
                sum_ucr += view.slots[slot].amount_ucr;
        }
    }
    return sum_ucr;
}

static void
check_promise(void)
{
    if (owed_ucr() > db.deposits_ucr || account_available_ucr(account_at(t.region, 1)) < 0)
        fail_msg("more is owed than was deposited");
}

/*
 * What must be spent in the end, kept apart from the database's own sum: the charge of each slot
 * when it was first seen SETTLED, each generation once.
 */
static uint64_t seen_generation[LEDGER][64]; /* one more than the last seen SETTLED */
static int64_t settled_ucr;
static uint64_t settled_count;

static void
observe(void)
{
    for (uint32_t table = 0; table < LEDGER; table++)
        for (uint32_t slot = 0; slot < 64; slot++) {
            const struct hold_slot *found = &parties[table].holds.slots[slot];
            uint64_t word = atomic_load_explicit(&found->state, memory_order_acquire);

            if (hold_word_state(word) != HOLD_SETTLED ||
                hold_word_generation(word) < seen_generation[table][slot])
                continue;
            if (parties[table].holds.records[slot].flags & RECORD_SWEPT &&
                found->charge_ucr != found->progress_ucr)
                fail_msg("a dead worker's call is not charged its progress");
            seen_generation[table][slot] = hold_word_generation(word) + 1;
            settled_ucr += found->charge_ucr;
            settled_count++;
        }
}

/* Whoever waits may have waited for what happened now. */
static void
wake_waiting(void)
{
    for (uint32_t i = 0; i < CO_PARTIES; i++)
        if (co[i].state == CO_WAITING)
            co[i].state = CO_READY;
}

static void
party_step(uint32_t number)
{
    wake_waiting();
    co_resume(number);
    steps_done++;
    observe();
    check_promise();
}

static void
party_kill(uint32_t number)
{
    co_kill(number);
    if (number != LEDGER)
        atomic_store_explicit(&t.region->header->table[number].state, TABLE_DEAD,
                              memory_order_release);
    wake_waiting();
}

/* ---- the parties ---- */

static struct hold_ask
worker_ask(const struct party *party, int64_t amount_ucr)
{
    struct hold_ask ask = {
        .account_idx = 1, .account_generation = 1, .amount_ucr = amount_ucr, .wall_us = 1};

    if (party->budgets)
        memcpy(ask.budget_idx, ledger.budget_idx, sizeof(ask.budget_idx));
    return ask;
}

static void
worker_call(struct party *party, int64_t amount_ucr)
{
    struct hold_ask ask = worker_ask(party, amount_ucr);
    uint32_t slot, more = UINT32_MAX;
    int64_t charge_ucr = amount_ucr / 2;

    if (hold_take(&party->holds, &ask, &slot) != HOLD_OK)
        return;
    hold_progress(&party->holds, slot, 1);
    if (party->extends) {
        ask = worker_ask(party, amount_ucr);
        if (hold_take(&party->holds, &ask, &more) != HOLD_OK)
            more = UINT32_MAX;
        else
            hold_record(&party->holds, more)->flags |= RECORD_EXTENSION;
    }
    if (!party->settles)
        return;
    (void)!hold_settle(&party->holds, slot, charge_ucr);
    if (more != UINT32_MAX)
        (void)!hold_settle(&party->holds, more, charge_ucr);
}

static void
worker_run(uint32_t number)
{
    struct party *party = &parties[number];

    for (unsigned i = 0; i < party->calls; i++)
        worker_call(party, party->amount_ucr);
}

static void
ledger_recounts(uint32_t number)
{
    (void)number;
    ledger_recount(&ledger);
}

static void
ledger_commits(uint32_t number)
{
    (void)number;
    (void)!ledger_batch(&ledger);
}

static void
ledger_starts_and_commits(uint32_t number)
{
    (void)number;
    ledger_recount(&ledger);
    while (ledger_batch(&ledger))
        ;
}

/* ---- the world ---- */

static const struct region_geometry steps_geometry = {
    .account_max = 4,
    .budget_max = 8,
    .quota_max = 8,
    .key_max = 4,
    .key_extra_max = 4,
    .name_max = 16,
    .health_max = 4,
    .idem_max = 64,
    .table_max = 3,
    .slot_max = 64,
};

static int
world_open(void **state)
{
    uint32_t idx;

    (void)state;
    t = shm_test_open(&steps_geometry);
    ledger = (struct ledger){.region = t.region, .db = &db, .wait_a_bit = on_wait};
    test_account(t.region, 0, &ledger.account_idx);
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
        test_budget(t.region, (enum budget_kind)kind, BUDGET_TOTAL, BUDGET_SPENT_MAX, &idx);
    for (uint32_t table = 0; table < LEDGER; table++)
        if (region_table_ensure(t.region, table) != 0 ||
            hold_table_open(t.region, table, &parties[table].holds) != 0)
            abort();
    shm_step_hook = on_step;
    return 0;
}

static int
world_close(void **state)
{
    (void)state;
    shm_step_hook = NULL;
    for (uint32_t table = 0; table < LEDGER; table++)
        hold_table_close(&parties[table].holds);
    shm_test_close(&t);
    return 0;
}

static void
table_reset(uint32_t table)
{
    struct hold_table *holds = &parties[table].holds;

    /* Eight are more than any test here uses. */
    memset(holds->slots, 0, 8 * sizeof(struct hold_slot));
    memset(holds->ring, 0, sizeof(struct hold_ring));
    holds->fresh = holds->queue_head = holds->queue_count = holds->held_count = 0;
    atomic_store_explicit(&t.region->header->table[table].state, TABLE_LIVE, memory_order_relaxed);
}

static void
world_reset(int64_t deposits_ucr, bool budgets)
{
    for (uint32_t i = 0; i < CO_PARTIES; i++) {
        struct hold_table holds = parties[i].holds;

        parties[i] = (struct party){.holds = holds};
    }
    co_reset();
    for (uint32_t table = 0; table < LEDGER; table++)
        table_reset(table);
    db = (struct db){.deposits_ucr = deposits_ucr};
    atomic_store_explicit(&t.region->header->applied_seq, 0, memory_order_relaxed);
    atomic_store_explicit(&account_at(t.region, 1)->word, account_word(deposits_ucr, false),
                          memory_order_relaxed);
    for (uint32_t kind = 0; kind < BUDGET_KIND_COUNT; kind++) {
        ledger.budget_idx[kind] = budgets ? kind + 1 : 0;
        atomic_store_explicit(&budget_at(t.region, kind + 1)->word, budget_word(0, false, 0),
                              memory_order_relaxed);
    }
    memset(seen_generation, 0, sizeof(seen_generation));
    settled_ucr = 0;
    settled_count = 0;
}

static bool
was_killed(uint32_t number)
{
    return co[number].state == CO_KILLED;
}

/* After a schedule: the books. When somebody was killed, the next ledger process first: until it
 * recounted, nothing need balance. It is not stopped by any step. */
static bool
world_settles(void)
{
    bool killed = false;

    co_running = NULL;
    for (uint32_t i = 0; i < CO_PARTIES; i++)
        killed = killed || was_killed(i);
    if (killed)
        ledger_recount(&ledger);
    observe();
    if (!books_balance(&ledger))
        return false;
    while (ledger_batch(&ledger))
        if (!books_balance(&ledger))
            return false;
    return owed_ucr() <= db.deposits_ucr && db.spent_ucr == settled_ucr &&
           db.record_count == settled_count;
}

/* ---- every schedule ---- */

static void
search_run_once(struct search *search)
{
    unsigned kills = 0;

    search->setup();
    search->depth = 0;
    while (true) {
        uint32_t ready[CO_PARTIES], living[CO_PARTIES];
        unsigned ready_count = 0, living_count = 0, chosen;

        for (uint32_t i = 0; i < CO_PARTIES; i++) {
            if (co[i].state == CO_READY)
                ready[ready_count++] = i;
            if (co[i].state == CO_READY || co[i].state == CO_WAITING)
                living[living_count++] = i;
        }
        if (living_count == 0)
            return;
        if (kills >= search->kills_max)
            living_count = 0;
        if (ready_count + living_count == 0)
            fail_msg("all wait for each other");
        chosen = search_choose(search, ready_count + living_count);
        if (chosen < ready_count) {
            party_step(ready[chosen]);
        } else {
            party_kill(living[chosen - ready_count]);
            kills++;
        }
    }
}

static void
search_all(const char *name, void (*setup)(void), unsigned kills_max)
{
    static struct search search;

    search = (struct search){.setup = setup, .kills_max = kills_max};
    do {
        search_run_once(&search);
        search.runs++;
        if (!world_settles()) {
            search_print(&search);
            fail_msg("%s: the books do not balance after schedule %llu", name,
                     (unsigned long long)search.runs);
        }
    } while (search_next(&search));
    print_message("%s: %llu schedules\n", name, (unsigned long long)search.runs);
}

static void
worker_setup(uint32_t number, int64_t amount_ucr, bool settles, bool budgets)
{
    struct party *party = &parties[number];

    party->amount_ucr = amount_ucr;
    party->calls = 1;
    party->settles = settles;
    party->budgets = budgets;
    co_start(number, worker_run);
}

/* Two holds, of which there is credit for one. What follows a hold touches only lines of its own.
 */
static void
setup_two_holds_one_fits(void)
{
    world_reset(DEPOSIT_UCR, false);
    worker_setup(0, 60, true, false);
    worker_setup(1, 70, true, false);
    parties[0].only = parties[1].only = "hold_take";
}

static void
setup_two_holds_both_fit(void)
{
    world_reset(DEPOSIT_UCR, false);
    worker_setup(0, 30, true, false);
    worker_setup(1, 70, true, false);
    parties[0].only = parties[1].only = "hold_take";
}

static void
test_two_holds(void **state)
{
    (void)state;
    search_all("two holds, one fits", setup_two_holds_one_fits, 2);
    search_all("two holds, both fit", setup_two_holds_both_fit, 2);
}

/* A hold and a settlement, whole, against a recount that somebody's death or the audit asked for.
 */
static void
setup_hold_and_recount(void)
{
    world_reset(DEPOSIT_UCR, false);
    worker_setup(0, 60, true, false);
    co_start(LEDGER, ledger_recounts);
}

static void
one_budget(void)
{
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
        if (kind != BUDGET_TENANT)
            ledger.budget_idx[kind] = 0;
}

static void
setup_budget_and_recount(void)
{
    world_reset(DEPOSIT_UCR, true);
    one_budget();
    worker_setup(0, 60, false, true);
    co_start(LEDGER, ledger_recounts);
}

/* The account refuses, so that the budget is left again. */
static void
setup_refusal_and_recount(void)
{
    world_reset(DEPOSIT_UCR, true);
    one_budget();
    worker_setup(0, 101, false, true);
    co_start(LEDGER, ledger_recounts);
}

static void
test_recount(void **state)
{
    (void)state;
    search_all("a hold against a recount", setup_hold_and_recount, 1);
    search_all("a hold with a budget against a recount", setup_budget_and_recount, 1);
    search_all("a refused hold with a budget against a recount", setup_refusal_and_recount, 1);
}

/* What the third worker settled before, and with how much charged. */
static void
settled_before(int64_t amount_ucr, bool budgets)
{
    struct party *party = &parties[2];

    party->settles = true;
    party->budgets = budgets;
    worker_call(party, amount_ucr);
    observe();
}

/* A commit gives back what a hold is just asking for. */
static void
setup_hold_and_commit(void)
{
    world_reset(DEPOSIT_UCR, false);
    settled_before(80, false);
    worker_setup(0, 40, false, false);
    co_start(LEDGER, ledger_commits);
}

static void
setup_settle_and_commit(void)
{
    world_reset(DEPOSIT_UCR, false);
    settled_before(40, false);
    worker_setup(0, 40, true, false);
    parties[0].only = "hold_settle";
    co_start(LEDGER, ledger_commits);
}

/* Every death of a ledger process in a commit, and of the next in its recount. */
static void
setup_commit_alone(void)
{
    world_reset(DEPOSIT_UCR, true);
    settled_before(40, true);
    settled_before(20, true);
    co_start(LEDGER, ledger_commits);
}

static void
test_commit(void **state)
{
    (void)state;
    search_all("a hold against a commit", setup_hold_and_commit, 1);
    search_all("a settlement against a commit", setup_settle_and_commit, 2);
    search_all("a commit", setup_commit_alone, 1);
}

/* Deaths of ledger processes one after the other: the second dies in the recount that repairs what
 * the first left, and so on. What each leaves is repaired by the next. */
static void
test_ledgers_die_one_after_the_other(void **state)
{
    unsigned first, second, third, runs = 0;
    bool more_first = true;

    (void)state;
    for (first = 0; more_first; first++) {
        bool more_second = true;

        for (second = 0; more_second; second++) {
            bool more_third = true;

            for (third = 0; more_third; third += 3) {
                const unsigned dies_after[3] = {first, second, third};
                bool *more[3] = {&more_first, &more_second, &more_third};

                setup_commit_alone();
                for (int life = 0; life < 3; life++) {
                    co_start(LEDGER, life == 0 ? ledger_commits : ledger_starts_and_commits);
                    for (unsigned s = 0;
                         s < dies_after[life] && co[LEDGER].state == CO_READY; s++)
                        party_step(LEDGER);
                    for (int i = life; i < 3; i++)
                        *more[i] = co[LEDGER].state == CO_READY;
                    if (!*more[life])
                        break;
                    party_kill(LEDGER);
                }
                runs++;
                if (!world_settles() || db.record_count != 2 || db.spent_ucr != 30)
                    fail_msg("after %u, %u and %u steps", first, second, third);
            }
        }
    }
    print_message("ledger processes that die one after the other: %u schedules\n", runs);
}

/* A call that needed more: two slots, both settled or both swept. */
static void
setup_extension(void)
{
    world_reset(DEPOSIT_UCR, true);
    worker_setup(0, 50, true, true);
    parties[0].extends = true;
}

static void
setup_extension_refused(void)
{
    world_reset(DEPOSIT_UCR, true);
    worker_setup(0, 60, true, true);
    parties[0].extends = true;
}

static void
setup_extension_and_hold(void)
{
    world_reset(DEPOSIT_UCR, false);
    worker_setup(0, 50, false, false);
    parties[0].extends = true;
    parties[0].only = "hold_take: ";
    worker_setup(1, 50, false, false);
    parties[1].only = "hold_take: ";
}

static void
test_extension(void **state)
{
    (void)state;
    search_all("an extension", setup_extension, 1);
    search_all("an extension that is refused", setup_extension_refused, 1);
    search_all("an extension against a hold", setup_extension_and_hold, 0);
}

/* ---- by chance ---- */

static void
chance_worker(uint32_t number)
{
    struct party *party = &parties[number];
    unsigned calls = 1 + (unsigned)(rng_next(&party->rng) % 6);

    for (unsigned i = 0; i < calls; i++) {
        party->settles = rng_next(&party->rng) % 8 != 0;
        party->extends = rng_next(&party->rng) % 4 == 0;
        party->budgets = true;
        worker_call(party, (int64_t)(rng_next(&party->rng) % 60));
    }
}

static void
chance_ledger(uint32_t number)
{
    struct party *party = &parties[number];

    ledger_recount(&ledger);
    for (int i = 0; i < 20; i++) {
        uint64_t what = rng_next(&party->rng) % 8;

        if (what == 0)
            ledger_recount(&ledger);
        else if (what == 1)
            ledger_deposit(&ledger, 10);
        else
            (void)!ledger_batch(&ledger);
    }
}

/* The next worker on a table, once the dead one's slots are swept: none is CLAIM or HELD. */
static void
worker_again(uint32_t number, uint64_t *rng)
{
    struct party *party = &parties[number];
    struct hold_view view;

    if (!hold_view_open(t.region, number, &view))
        abort();
    for (uint32_t slot = 0; slot < view.slot_max; slot++) {
        enum hold_state state = slot_state(&view, slot);

        if (state == HOLD_CLAIM || state == HOLD_HELD)
            return;
    }
    hold_table_close(&party->holds);
    if (hold_table_open(t.region, number, &party->holds) != 0)
        abort();
    atomic_store_explicit(&t.region->header->table[number].state, TABLE_LIVE, memory_order_relaxed);
    party->rng = rng_next(rng);
    co_start(number, chance_worker);
}

static void
chance_kill(uint64_t *rng)
{
    uint64_t what = rng_next(rng) % 40;

    for (uint32_t i = 0; i < CO_PARTIES; i++)
        if ((what == i || what == 30) &&
            (co[i].state == CO_READY || co[i].state == CO_WAITING || co[i].state == CO_DONE))
            party_kill(i);
}

/* One run of some hundred steps. A worker that has done its calls ends, holding perhaps, which is
 * a death like another. */
static void
chance_run(uint64_t seed)
{
    uint64_t rng = seed;

    world_reset(DEPOSIT_UCR, true);
    for (uint32_t i = 0; i < CO_PARTIES; i++) {
        parties[i].rng = rng_next(&rng);
        co_start(i, i == LEDGER ? chance_ledger : chance_worker);
    }
    for (int step = 0; step < 400; step++) {
        uint32_t number = (uint32_t)(rng_next(&rng) % CO_PARTIES);

        if (rng_next(&rng) % 16 == 0)
            chance_kill(&rng);
        switch (co[number].state) {
        case CO_READY: party_step(number); break;
        case CO_DONE:
        case CO_KILLED:
            if (number == LEDGER)
                co_start(LEDGER, chance_ledger);
            else if (co[number].state == CO_DONE)
                party_kill(number);
            else
                worker_again(number, &rng);
            break;
        case CO_WAITING:
        case CO_NONE: break;
        }
    }
    for (uint32_t i = 0; i < CO_PARTIES; i++)
        party_kill(i);
    if (!world_settles())
        fail_msg("TEST_SEED=%llu: the books do not balance", (unsigned long long)seed);
    /* All are dead and swept: nothing is held any more, everything that is not spent is there. */
    if (account_available_ucr(account_at(t.region, 1)) != db.deposits_ucr - db.spent_ucr)
        fail_msg("TEST_SEED=%llu: something is still held", (unsigned long long)seed);
}

static void
test_by_chance(void **state)
{
    const char *given = getenv("TEST_SEED");
    uint64_t seed = test_seed();
    uint64_t before = steps_done;

    (void)state;
    for (int i = 0; i < (given != NULL ? 1 : 4000 / CHANCE_PART); i++)
        chance_run(seed + (uint64_t)i);
    print_message("by chance: %llu steps\n", (unsigned long long)(steps_done - before));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_holds), cmocka_unit_test(test_recount),
        cmocka_unit_test(test_commit),    cmocka_unit_test(test_ledgers_die_one_after_the_other),
        cmocka_unit_test(test_extension), cmocka_unit_test(test_by_chance),
    };

#if defined(__SANITIZE_THREAD__)
    /* Its shadow stacks do not follow coroutines; shm_thread_test is the one for it. */
    print_message("skipped under the thread sanitizer\n");
    return 77;
#endif
    return cmocka_run_group_tests(tests, world_open, world_close);
}
