/*
 * Opening a rolling window, one step at a time: the source is compiled into this file with SHM_STEPS,
 * and a scheduler says which worker goes on after each step, or is killed at that very point.
 *
 * Every interleaving of two workers, of which each enters once when the window has ended, and of two
 * that enter twice with room for one; each with a kill at every step, after which a third goes on.
 *
 * Never is more in a window than its limit, nor a window opened twice, nor one before the last has ended.
 */
#undef _FORTIFY_SOURCE
#define SHM_STEPS

#include "shm/region.c"
#include "shm/budget.c"

#include "test/unit/shm_steps.h"
#include "test/unit/shm_testing.h"

#define HOUR INT64_C(3600000000)
#define NOW (20 * HOUR)
#define WINDOWS 8

struct party {
    unsigned enters;
    int64_t amount_ucr, now_us;
};

static struct shm_test t;
static struct party parties[CO_PARTIES];
static struct budget *budget;
static int64_t entered_ucr[WINDOWS]; /* what was let in, as its workers were told */
static uint64_t edges[WINDOWS];      /* each window's, as it was first seen */

static void
on_step(const char *where)
{
    (void)where;
    if (co_running != NULL)
        co_stop(CO_READY);
}

static void
observe(void)
{
    uint64_t edge = atomic_load(&budget->edge), word = atomic_load(&budget->word);
    uint32_t window = edge_window(edge);

    if (window >= WINDOWS || budget_word_window(word) > window)
        fail_msg("the word is in a window that nobody opened");
    if (edges[window] == 0)
        edges[window] = edge;
    if (edges[window] != edge)
        fail_msg("a window was opened twice");
    if (budget_word_spent_ucr(word) > budget->limit_ucr)
        fail_msg("more is in the window than its limit");
}

static void
worker_run(uint32_t number)
{
    const struct party *party = &parties[number];

    for (unsigned i = 0; i < party->enters; i++) {
        uint32_t window;

        if (budget_enter(budget, party->amount_ucr, party->now_us, &window) == BUDGET_OK)
            entered_ucr[window] += party->amount_ucr;
    }
}

/* The first window is over, and 90 of 100 are spent in it. */
static void
world_reset(void)
{
    co_reset();
    memset(parties, 0, sizeof(parties));
    memset(entered_ucr, 0, sizeof(entered_ucr));
    memset(edges, 0, sizeof(edges));
    atomic_store(&budget->word, budget_word(1, false, 90));
    budget_set_edge(budget, 1, 19 * HOUR);
    entered_ucr[1] = 90;
    observe();
}

static void
start(uint32_t number, unsigned enters, int64_t amount_ucr, int64_t now_us)
{
    parties[number] = (struct party){enters, amount_ucr, now_us};
    co_start(number, worker_run);
}

static void
setup_once_each(void)
{
    start(0, 1, 60, NOW);
    start(1, 1, 60, NOW + HOUR / 2);
}

/* One of them works with a time that is before the end: it may still be let into the window it saw. */
static void
setup_late(void)
{
    start(0, 2, 10, 19 * HOUR - 1000);
    start(1, 1, 100, NOW);
}

static void
setup_twice_each(void)
{
    start(0, 2, 50, NOW);
    start(1, 2, 50, NOW);
}

/* When nobody was killed the word is what its workers were told; with a kill it may be too high. */
static void
check_end(bool killed)
{
    uint32_t window = budget_word_window(atomic_load(&budget->word)), more;
    int64_t in_word = budget_word_spent_ucr(atomic_load(&budget->word));

    if (killed ? in_word < entered_ucr[window] : in_word != entered_ucr[window])
        fail_msg("the word is not what was let in");
    for (unsigned i = 0; i < WINDOWS; i++)
        if (entered_ucr[i] > budget->limit_ucr)
            fail_msg("more was let into a window than its limit");
    /* Whoever comes long after is let in, whatever was left half done. */
    if (budget_enter(budget, 100, NOW + 9 * HOUR, &more) != BUDGET_OK || more <= window)
        fail_msg("a later window does not open");
    observe();
}

static void
run_once(struct search *search)
{
    unsigned kills = 0;

    world_reset();
    search->setup();
    while (true) {
        uint32_t ready[CO_PARTIES];
        unsigned count = 0, choice;

        for (uint32_t i = 0; i < CO_PARTIES; i++)
            if (co[i].state == CO_READY)
                ready[count++] = i;
        if (count == 0)
            break;
        choice = search_choose(search, kills < search->kills_max ? 2 * count : count);
        if (choice < count) {
            co_resume(ready[choice]);
        } else {
            co_kill(ready[choice - count]);
            kills++;
        }
        observe();
    }
    co_running = NULL;
    check_end(kills > 0);
}

static void
search_all(void (*setup_one)(void), unsigned kills_max)
{
    static struct search search;

    memset(&search, 0, sizeof(search));
    search.setup = setup_one;
    search.kills_max = kills_max;
    do {
        search.depth = 0;
        run_once(&search);
        search.runs++;
    } while (search_next(&search));
    assert_true(search.runs > 10);
}

static void
test_once_each(void **state)
{
    (void)state;
    search_all(setup_once_each, 1);
}

static void
test_late(void **state)
{
    (void)state;
    search_all(setup_late, 1);
}

static void
test_twice_each(void **state)
{
    (void)state;
    search_all(setup_twice_each, 0);
}

static int
open_world(void **state)
{
    uint32_t idx;

    (void)state;
    t = shm_test_open(&small_geometry);
    budget = test_budget(t.region, BUDGET_KEY, BUDGET_ROLLING, 100, &idx);
    budget_set(budget, 100, false, 3600);
    shm_step_hook = on_step;
    return 0;
}

static int
close_world(void **state)
{
    (void)state;
    shm_step_hook = NULL;
    shm_test_close(&t);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_each),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_twice_each),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
