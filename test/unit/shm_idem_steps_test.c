/*
 * Taking an idempotency key, one step at a time. The source is compiled into this file with
 * SHM_STEPS, so that shm_step_hook is called between any two operations on shared words; each
 * worker is a coroutine that stops there, and a scheduler says who goes on, or is killed at that
 * very point.
 *
 * Every interleaving of two workers that want the same key: in an empty set, in one that a third
 * leaves meanwhile (so that they find different places), over an expired entry, and each with a
 * kill at every step. By chance: three that want the key while a fourth leaves.
 *
 * Never do two send for the same key, and when nobody is killed exactly one does.
 */
#undef _FORTIFY_SOURCE
#define SHM_STEPS
#define IDEM_SET 2u

#include "shm/region.c"
#include "shm/idem.c"

#include "test/unit/shm_steps.h"
#include "test/unit/shm_testing.h"

#include "base/rng.h"

#define NOW_S 1000000
#define WANTED 1 /* the key that is fought over; each party's other key is 10 and its number */

struct party {
    uint32_t number;
    struct idem_claim claim;
    enum idem_result result;
    bool sent, releases;
    bool brief; /* does not stop with the key in its hands */
};

static struct shm_test t;
static struct party parties[CO_PARTIES];

static void
on_step(const char *where)
{
    if (co_running == NULL)
        return;
    if (parties[co_running - co].brief && strncmp(where, "test: ", 6) == 0)
        return;
    co_stop(CO_READY);
}

static void
party_kill(uint32_t number)
{
    co_kill(number);
    atomic_store(&t.region->header->table[number].state, TABLE_DEAD);
}

/* ---- what they do ---- */

static struct idem_ask
ask_of(uint32_t number, uint64_t key)
{
    return (struct idem_ask){
        .key = {0, key}, .request = {1, 1}, .table_idx = number, .now_s = NOW_S};
}

static void
take(struct party *party, uint64_t key)
{
    struct idem_ask ask = ask_of(party->number, key);
    uint8_t first_id[CALL_ID_BYTES];

    party->claim.entry = NULL;
    party->result = idem_take(t.region, &ask, &party->claim, first_id);
}

static void
run_wanted(uint32_t number)
{
    struct party *party = &parties[number];

    take(party, WANTED);
    if (party->result != IDEM_TAKEN)
        return;
    SHM_STEP("test: taken");
    idem_sent(&party->claim);
    party->sent = true;
    SHM_STEP("test: sent");
    if (party->releases) {
        idem_release(&party->claim);
        party->sent = false; /* it failed upstream: another may */
    } else {
        idem_finish(&party->claim);
    }
}

/* Has a key already, and gives it back. */
static void
run_leave(uint32_t number)
{
    SHM_STEP("test: before release");
    idem_release(&parties[number].claim);
}

/* ---- the world ---- */

static void
world_reset(void)
{
    struct idem_entry *entries = region_part(t.region, REGION_IDEM);

    memset(entries, 0, IDEM_SET * sizeof(*entries));
    memset(parties, 0, sizeof(parties));
    co_reset();
    for (uint32_t i = 0; i < CO_PARTIES; i++) {
        parties[i].number = i;
        atomic_store(&t.region->header->table[i].state, TABLE_LIVE);
    }
}

static int
world_open(void **state)
{
    struct region_geometry g = small_geometry;

    (void)state;
    g.idem_max = IDEM_SET;
    t = shm_test_open(&g);
    shm_step_hook = on_step;
    return 0;
}

static int
world_close(void **state)
{
    (void)state;
    shm_step_hook = NULL;
    shm_test_close(&t);
    return 0;
}

static unsigned
sent_count(void)
{
    unsigned count = 0;

    for (uint32_t i = 0; i < CO_PARTIES; i++)
        count += parties[i].sent;
    return count;
}

static bool
any_killed(void)
{
    for (uint32_t i = 0; i < CO_PARTIES; i++)
        if (co[i].state == CO_KILLED)
            return true;
    return false;
}

/* When all is quiet, one more comes: it is refused if the key's call may have been served. Who sent
 * and then died counts as that. NULL, or what is wrong. */
static const char *
world_fault(void)
{
    unsigned sent = sent_count();

    if (sent > 1)
        return "two sent";
    if (sent == 0 && !any_killed())
        return "nobody sent";
    co_running = NULL;
    take(&parties[3], WANTED);
    if (sent == 1 && parties[3].result != IDEM_DONE)
        return "a finished call is forgotten";
    if (sent == 0 && parties[3].result != IDEM_TAKEN)
        return "the key is lost";
    return NULL;
}

/* ---- every schedule ---- */

static void
search_run_once(struct search *search)
{
    unsigned kills = 0;

    search->setup();
    search->depth = 0;
    while (true) {
        uint32_t ready[CO_PARTIES];
        unsigned count = 0, chosen;

        for (uint32_t i = 0; i < CO_PARTIES; i++)
            if (co[i].state == CO_READY)
                ready[count++] = i;
        if (count == 0)
            return;
        chosen = search_choose(search, kills < search->kills_max ? 2 * count : count);
        if (chosen < count) {
            co_resume(ready[chosen]);
        } else {
            party_kill(ready[chosen - count]);
            kills++;
        }
        if (sent_count() > 1)
            return;
    }
}

static void
search_all(const char *name, void (*setup)(void), unsigned kills_max)
{
    static struct search search;

    search = (struct search){.setup = setup, .kills_max = kills_max};
    do {
        const char *fault;

        search_run_once(&search);
        search.runs++;
        fault = world_fault();
        if (fault == NULL)
            continue;
        search_print(&search);
        fail_msg("%s: %s after schedule %llu", name, fault, (unsigned long long)search.runs);
    } while (search_next(&search));
    print_message("%s: %llu schedules\n", name, (unsigned long long)search.runs);
}

static void
setup_two(void)
{
    world_reset();
    co_start(0, run_wanted);
    co_start(1, run_wanted);
}

/* The first is in place 0 until it goes: the others may find different places. */
static void
setup_two_and_one_leaves(void)
{
    world_reset();
    take(&parties[2], 12);
    co_start(0, run_wanted);
    co_start(1, run_wanted);
    co_start(2, run_leave);
    parties[0].brief = parties[1].brief = parties[2].brief = true;
}

static void
setup_one_and_one_leaves(void)
{
    world_reset();
    take(&parties[2], 12);
    co_start(0, run_wanted);
    co_start(2, run_leave);
}

/* The key is there already, of long ago, after a place that is free. */
static void
setup_two_and_an_expired(void)
{
    struct idem_ask ask = ask_of(3, WANTED);
    struct idem_claim claim = {NULL, 0};
    uint8_t first_id[CALL_ID_BYTES];

    world_reset();
    take(&parties[2], 12);
    ask.now_s -= IDEM_KEEP_S;
    if (idem_take(t.region, &ask, &claim, first_id) != IDEM_TAKEN)
        abort();
    idem_finish(&claim);
    idem_release(&parties[2].claim);
    co_start(0, run_wanted);
    co_start(1, run_wanted);
}

/* What a dead worker left, half done, in both places. */
static void
setup_two_after_a_death(void)
{
    struct idem_entry *entries = region_part(t.region, REGION_IDEM);

    world_reset();
    take(&parties[2], 12);
    take(&parties[3], WANTED);
    atomic_store(&entries[0].word, word_with(entries[0].word, IDEM_CLAIM));
    atomic_store(&entries[1].word, word_with(entries[1].word, IDEM_PENDING));
    atomic_fetch_add(&t.region->header->table[2].incarnation, 1);
    atomic_fetch_add(&t.region->header->table[3].incarnation, 1);
    co_start(0, run_wanted);
    co_start(1, run_wanted);
}

static void
test_every_schedule(void **state)
{
    (void)state;
    search_all("two", setup_two, 0);
    search_all("two, one dies", setup_two, 1);
    search_all("one, while another leaves", setup_one_and_one_leaves, 2);
    search_all("two and an expired entry", setup_two_and_an_expired, 1);
    search_all("two after a death", setup_two_after_a_death, 1);
    search_all("two, while one leaves", setup_two_and_one_leaves, 0);
}

/* ---- by chance ---- */

static const char *
chance_run(uint64_t seed, bool kills)
{
    uint64_t rng = seed;

    world_reset();
    take(&parties[3], 13);
    for (uint32_t i = 0; i < 3; i++) {
        parties[i].releases = !kills && rng_next(&rng) % 4 == 0;
        co_start(i, run_wanted);
    }
    co_start(3, run_leave);
    while (true) {
        uint32_t number = (uint32_t)(rng_next(&rng) % CO_PARTIES), ready = 0;

        for (uint32_t i = 0; i < CO_PARTIES; i++)
            ready += co[i].state == CO_READY;
        if (ready == 0)
            break;
        if (co[number].state != CO_READY)
            continue;
        if (kills && rng_next(&rng) % 32 == 0)
            party_kill(number);
        else
            co_resume(number);
        if (sent_count() > 1)
            return "two sent";
    }
    /* Who released may have been the only one to get through, and a set of two may be full of the
     * others' tries: then nobody sent, and the key is free. */
    if (sent_count() == 0) {
        atomic_store(&t.region->header->table[3].state, TABLE_LIVE);
        co_running = NULL;
        take(&parties[3], WANTED);
        return parties[3].result == IDEM_TAKEN ? NULL : "the key is lost";
    }
    return world_fault();
}

static void
test_by_chance(void **state)
{
    const char *given = getenv("TEST_SEED");
    uint64_t seed = test_seed();

    (void)state;
    for (uint64_t i = 0; i < (given != NULL ? 1 : 100000 / CHANCE_PART); i++) {
        const char *fault = chance_run(seed + i, (seed + i) % 2);

        if (fault != NULL)
            fail_msg("TEST_SEED=%llu: %s", (unsigned long long)(seed + i), fault);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_schedule),
        cmocka_unit_test(test_by_chance),
    };

#if defined(__SANITIZE_THREAD__)
    /* Its shadow stacks do not follow coroutines; shm_idem_thread_test is the one for it. */
    print_message("skipped under the thread sanitizer\n");
    return 77;
#endif
    return cmocka_run_group_tests(tests, world_open, world_close);
}
