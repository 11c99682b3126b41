/*
 * Workers as threads that want few idempotency keys in few places, so that they meet all the time,
 * and with the thread sanitizer: every key is with one call at a time, whatever is finished, given
 * back, replaced, or left by a worker that dies with it.
 */
#include "test/unit/shm_testing.h"

#include "base/rng.h"
#include "shm/idem.h"

#include <pthread.h>
#include <sched.h>

#define WORKERS 4
#define KEYS 40 /* in two sets of 16 entries */
#define CALLS 150000

static struct shm_test t;
static _Atomic uint32_t with[KEYS]; /* 1 + the worker whose call has it */
static _Atomic uint64_t results[IDEM_RESULT_COUNT];

struct worker {
    pthread_t thread;
    uint32_t table_idx;
    uint64_t rng;
};

static struct region_table *
row(const struct worker *worker)
{
    return &t.region->header->table[worker->table_idx];
}

/* The process ends, the next one has its table. */
static void
die(const struct worker *worker)
{
    atomic_store_explicit(&row(worker)->state, TABLE_DEAD, memory_order_release);
    sched_yield();
    atomic_fetch_add_explicit(&row(worker)->incarnation, 1, memory_order_relaxed);
    atomic_store_explicit(&row(worker)->state, TABLE_LIVE, memory_order_release);
}

static void
end(const struct worker *worker, struct idem_claim *claim, uint32_t key, uint64_t how)
{
    uint32_t owner = worker->table_idx + 1;

    if (how % 4 < 3) {
        idem_sent(claim);
        sched_yield();
    }
    /* Before it is given back: afterwards it may be another's at once. */
    if (!atomic_compare_exchange_strong(&with[key], &owner, 0))
        abort();
    if (how % 64 == 0)
        die(worker);
    else if (how % 2 == 0)
        idem_release(claim);
    else
        idem_finish(claim);
}

static void *
worker_main(void *arg)
{
    struct worker *worker = arg;

    for (uint64_t i = 0; i < CALLS; i++) {
        uint64_t random = rng_next(&worker->rng);
        uint32_t key = (uint32_t)(random % KEYS), nobody = 0;
        struct idem_ask ask = {.key = {key % 2, key},
                               .request = {key, 0},
                               .table_idx = worker->table_idx,
                               .now_s = i * 20}; /* some expire */
        struct idem_claim claim = {NULL, 0};
        uint8_t first_id[CALL_ID_BYTES];
        enum idem_result result;

        memset(ask.call_id, (int)key, sizeof(ask.call_id));
        result = idem_take(t.region, &ask, &claim, first_id);
        atomic_fetch_add(&results[result], 1);
        if (result == IDEM_OTHER_REQUEST)
            abort(); /* there is none: what was read was no entry as it ever was */
        if (result != IDEM_TAKEN) {
            for (size_t j = 0; result != IDEM_FULL && j < sizeof(first_id); j++)
                if (first_id[j] != key)
                    abort();
            continue;
        }
        if (!atomic_compare_exchange_strong(&with[key], &nobody, worker->table_idx + 1))
            abort();
        end(worker, &claim, key, random >> 32);
    }
    return NULL;
}

static void
test_threads(void **state)
{
    struct region_geometry g = small_geometry;
    struct worker workers[WORKERS];
    uint64_t seed = test_seed();

    (void)state;
    g.idem_max = 2 * IDEM_SET;
    t = shm_test_open(&g);
    for (uint32_t i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.table_idx = i, .rng = seed * 31 + i};
        atomic_store(&row(&workers[i])->state, TABLE_LIVE);
    }
    for (uint32_t i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
    for (uint32_t i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    for (int i = 0; i < IDEM_RESULT_COUNT; i++)
        print_message("%s: %llu\n", idem_result_name[i], (unsigned long long)results[i]);
    assert_true(results[IDEM_TAKEN] > 1000 && results[IDEM_RUNNING] > 0 && results[IDEM_DONE] > 0);
    shm_test_close(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
