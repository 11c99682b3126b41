/*
 * Many workers as threads over one mapping, an upstream that fails and recovers: never are two trials
 * under way, however the threads interleave and whoever dies with the ticket in its hands; never
 * do more calls enter than a limit allows, and the count comes back to nothing.
 */
#include "test/unit/shm_testing.h"

#include "base/rng.h"
#include "shm/health.h"

#include <pthread.h>
#include <sched.h>

#define WORKERS 4
#define LIVES 50
#define STEPS 10000
#define LIMIT 3

static struct shm_test t;
static struct health *health, *limited;
static _Atomic uint64_t now_ms = 1000;
static _Atomic int trials, entered;
static _Atomic uint64_t trial_count, enter_count, death_count;

struct worker {
    uint32_t table_idx;
    uint64_t rng;
};

/* With the ticket: nobody else may have one until it is given back. */
static bool
on_trial(uint64_t what)
{
    if (atomic_fetch_add(&trials, 1) != 0)
        abort();
    atomic_fetch_add(&trial_count, 1);
    sched_yield();
    if (atomic_fetch_sub(&trials, 1) != 1)
        abort();
    if (what == 0)
        return false;
    if (what == 1)
        health_dropped(health, HEALTH_TRIAL, now_ms);
    else if (what < 6)
        (void)health_failed(health, HEALTH_TRIAL, HEALTH_RESET, now_ms, 0);
    else
        (void)health_ok(health, HEALTH_TRIAL, now_ms, 5);
    return true;
}

static bool
step(struct worker *worker)
{
    uint64_t what = rng_next(&worker->rng) % 16;

    atomic_fetch_add(&now_ms, what * 50);
    switch (health_begin(t.region, health, worker->table_idx, now_ms, UINT32_MAX)) {
    case HEALTH_TRIAL:
        return on_trial(rng_next(&worker->rng) % 16);
    case HEALTH_GO:
        if (what < 12)
            (void)health_failed(health, HEALTH_GO, HEALTH_SERVER, now_ms, 0);
        else
            (void)health_ok(health, HEALTH_GO, now_ms, 5);
        break;
    case HEALTH_OUT:
        break;
    }
    if (health_enter(t.region, worker->table_idx, limited, LIMIT)) {
        if (atomic_fetch_add(&entered, 1) >= LIMIT)
            abort();
        atomic_fetch_add(&enter_count, 1);
        if (what < 4)
            sched_yield();
        atomic_fetch_sub(&entered, 1);
        health_leave(t.region, worker->table_idx, limited);
    }
    return true;
}

/* A thread is all the workers that have a table, one after the other. */
static void *
worker_main(void *arg)
{
    struct worker *worker = arg;
    struct region_table *table = &t.region->header->table[worker->table_idx];

    for (int life = 0; life < LIVES; life++) {
        bool alive = true;

        atomic_fetch_add(&table->incarnation, 1);
        health_loads_clear(t.region, worker->table_idx);
        atomic_store(&table->state, TABLE_LIVE);
        for (int i = 0; alive && i < STEPS; i++)
            alive = step(worker);
        if (!alive)
            atomic_fetch_add(&death_count, 1);
        atomic_store(&table->state, TABLE_DEAD);
    }
    return NULL;
}

static void
test_one_trial_on_the_machine(void **state)
{
    struct worker workers[WORKERS];
    pthread_t threads[WORKERS];
    uint64_t seed = test_seed();

    (void)state;
    t = shm_test_open(&small_geometry);
    health = health_at(t.region, 1, 0);
    limited = health_at(t.region, 2, 0);
    for (uint32_t i = 0; i < WORKERS; i++) {
        assert_int_equal(region_table_ensure(t.region, i), 0);
        workers[i] = (struct worker){.table_idx = i, .rng = seed * 31 + i};
        assert_int_equal(pthread_create(&threads[i], NULL, worker_main, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    print_message("%llu trials, %llu deaths with the ticket, %llu entered\n",
                  (unsigned long long)trial_count, (unsigned long long)death_count,
                  (unsigned long long)enter_count);
    assert_true(trial_count > 100 && death_count > 5 && enter_count > 1000);
    for (uint32_t i = 0; i < WORKERS; i++)
        atomic_store(&t.region->header->table[i].state, TABLE_LIVE);
    assert_int_equal(health_load(t.region, limited), 0);
    shm_test_close(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_trial_on_the_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
