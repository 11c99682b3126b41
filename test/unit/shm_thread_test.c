/*
 * Workers and a ledger process as threads over one mapping, so that the thread sanitizer can see
 * what it cannot across processes: that every plain field is handed over by a release and an
 * acquire. Workers take, settle and sometimes die with a hold in their hands; main proves them
 * dead; the ledger thread commits, recounts, sweeps, and adds and removes keys all the while. At
 * the end the books balance.
 */
#include "test/unit/shm_ledger.h"

#include "base/clock.h"
#include "base/rng.h"
#include "shm/health.h"
#include "shm/names.h"
#include "shm/rate.h"

#include <pthread.h>
#include <sched.h>

#define WORKERS 3
#define LIVES 12          /* of each worker's table */
#define CALLS_A_LIFE 2000 /* at most */
#define KEYS 64
#define DEPOSIT_UCR 100000
#define QUOTAS 4u
#define ROLLING_LIMIT 1000

static struct shm_test t;
static struct db db;
static struct ledger ledger;
static uint8_t key_hash[KEYS][HASH_LEN];
static _Atomic bool stop;
static _Atomic uint64_t charged_ucr, calls_done;

struct worker {
    pthread_t thread;
    uint32_t table_idx;
    uint64_t rng;
};

/* ---- a worker ---- */

static void
use_a_key(uint64_t n)
{
    uint32_t idx = key_find(t.region, key_hash[n % KEYS]);
    struct key_slot *key = key_at(t.region, idx);
    const struct key_extra *extra;
    uint64_t retry_ns;

    if (key == NULL)
        return;
    /* Found, so it is that key, and stays it until the turn ends. */
    if (memcmp(key->hash, key_hash[n % KEYS], HASH_LEN) != 0 || key->key_id != n % KEYS)
        abort();
    extra = key_extra_at(t.region, atomic_load_explicit(&key->extra_idx, memory_order_acquire));
    if (extra != NULL && extra->model_count != key->key_id)
        abort();
    if (key_enter(key, 2)) {
        (void)!rate_admit(&key->rpm_tat, rate_per_minute(1000000), 1, clock_mono_ns(), &retry_ns);
        key_leave(key);
    }
}

static struct budget *rolling;
static _Atomic int64_t rolling_us = 1000000; /* goes on with each that enters */
static _Atomic int64_t rolling_ucr[32768];   /* let into each window */

/* A window ends every few hundred calls; each call is of the moment at which it began. */
static void
use_a_rolling_budget(uint64_t n)
{
    int64_t now_us = atomic_fetch_add(&rolling_us, 3000), amount_ucr = (int64_t)(n % 7);
    uint32_t window;

    if (budget_enter(rolling, amount_ucr, now_us, &window) != BUDGET_OK)
        return;
    if (atomic_fetch_add(&rolling_ucr[window], amount_ucr) + amount_ucr > ROLLING_LIMIT)
        abort();
}

static void
use_a_quota(uint64_t n)
{
    struct quota *quota = quota_at(t.region, 1 + (uint32_t)(n % QUOTAS));
    const struct key_extra *extra = key_extra_at(
        t.region, atomic_load_explicit(&quota->extra_idx, memory_order_acquire));
    uint64_t retry_ns;

    if (extra != NULL && extra->model_count != n % QUOTAS)
        abort();
    if (inflight_enter(&quota->inflight, 2)) {
        (void)!rate_admit(&quota->tpm_tat, rate_per_minute(1000000), 9, clock_mono_ns(), &retry_ns);
        inflight_leave(&quota->inflight);
    }
}

static void
use_names(uint64_t n, uint32_t table_idx)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "model-%d", (int)(n % 40));
    uint16_t id = name_intern(t.region, (struct str){text, (size_t)len});
    struct health *health = health_at(t.region, (uint16_t)(1 + n % 8), 0);
    enum health_pass pass;

    if (id == 0 || name_text(t.region, id).len != (size_t)len)
        abort();
    pass = health_begin(t.region, health, table_idx, n % 100000, 1000);
    if (!health_enter(t.region, table_idx, health, 0))
        abort();
    if (n % 3 == 0)
        (void)health_failed(health, pass, (enum health_class)(n % HEALTH_CLASS_COUNT), n % 100000, 0);
    else
        (void)health_ok(health, pass, n % 100000, 5);
    (void)health_usable(t.region, health, n % 100000);
    (void)health_load(t.region, health);
    health_leave(t.region, table_idx, health);
}

/* False when the worker dies with the hold in its hands. */
static bool
call(struct hold_table *table, uint64_t *rng)
{
    struct hold_ask ask = {.account_idx = ledger.account_idx,
                           .account_generation = 1,
                           .amount_ucr = 1 + (int64_t)(rng_next(rng) % 50),
                           .wall_us = 1};
    uint32_t slot;

    memcpy(ask.budget_idx, ledger.budget_idx, sizeof(ask.budget_idx));
    if (hold_take(table, &ask, &slot) != HOLD_OK) {
        sched_yield();
        return true;
    }
    hold_record(table, slot)->tenant_id = (uint32_t)rng_next(rng);
    hold_record(table, slot)->attempt_count = 3;
    hold_progress(table, slot, (int64_t)(rng_next(rng) % 20));
    if (rng_next(rng) % 1000 == 0) {
        atomic_fetch_add(&charged_ucr, (uint64_t)hold_progress_ucr(table, slot));
        atomic_fetch_add(&calls_done, 1);
        return false;
    }
    if (rng_next(rng) % 4 == 0)
        (void)!hold_announce(table, slot);
    hold_record(table, slot)->outcome = OUTCOME_OK;
    /* Counted before: once it is settled it is the ledger's. */
    ask.amount_ucr = (int64_t)(rng_next(rng) % (uint64_t)(ask.amount_ucr + 1));
    atomic_fetch_add(&charged_ucr, (uint64_t)ask.amount_ucr);
    atomic_fetch_add(&calls_done, 1);
    (void)!hold_settle(table, slot, ask.amount_ucr);
    return true;
}

static void *
worker_main(void *arg)
{
    struct worker *worker = arg;
    struct region_table *table = &t.region->header->table[worker->table_idx];
    struct hold_table holds;
    bool alive = true;

    if (hold_table_open(t.region, worker->table_idx, &holds) != 0)
        abort();
    for (int i = 0; alive && i < CALLS_A_LIFE; i++) {
        region_turn_begin(table, (uint64_t)i);
        use_a_key(rng_next(&worker->rng));
        use_names(rng_next(&worker->rng), worker->table_idx);
        use_a_quota(rng_next(&worker->rng));
        use_a_rolling_budget(rng_next(&worker->rng));
        alive = call(&holds, &worker->rng);
        stat_add(stat_at(t.region, worker->table_idx), STAT_CALLS, 1);
        if (alive) /* else it dies in its turn */
            region_turn_end(table);
    }
    hold_table_close(&holds);
    return NULL;
}

/* ---- the ledger ---- */

static void
change_a_key(uint64_t *rng)
{
    uint32_t n = (uint32_t)(rng_next(rng) % KEYS), idx = key_find(t.region, key_hash[n]);
    struct key_new key = {.hash = key_hash[n], .key_id = n};
    struct key_extra extra = {.model_count = (uint16_t)n};

    if (idx != 0 && rng_next(rng) % 2 == 0) {
        (void)!key_extra_set(t.region, idx, &extra);
    } else if (idx != 0) {
        if (key_remove(t.region, idx) != 0)
            abort();
    } else if (key_add(t.region, &key, &idx) == 0) {
        if (key_open(t.region, idx) != 0)
            abort();
    }
    n %= QUOTAS;
    extra.model_count = (uint16_t)n;
    (void)!key_extra_set_quota(t.region, 1 + n, &extra); /* there may be none left */
    key_retire(t.region);
}

static void
freeze_for_a_moment(void)
{
    budget_freeze(rolling);
    sched_yield();
    budget_unfreeze(rolling);
}

static bool
any_dead(void)
{
    for (uint32_t i = 0; i < WORKERS; i++)
        if (table_in(&ledger, i, TABLE_DEAD))
            return true;
    return false;
}

/* What is in them is settled by a recount; then the tables are anybody's. */
static void
bury(void)
{
    bool dead[WORKERS];

    for (uint32_t i = 0; i < WORKERS; i++)
        dead[i] = table_in(&ledger, i, TABLE_DEAD);
    ledger_recount(&ledger);
    while (ledger_batch(&ledger))
        ;
    for (uint32_t i = 0; i < WORKERS; i++)
        if (dead[i])
            atomic_store_explicit(&t.region->header->table[i].state, TABLE_FREE,
                                  memory_order_release);
}

static void *
ledger_main_thread(void *arg)
{
    uint64_t rng = *(uint64_t *)arg;

    while (!atomic_load(&stop)) {
        uint64_t what = rng_next(&rng) % 64;

        if (any_dead())
            bury();
        else if (what < 6)
            ledger_recount(&ledger);
        else if (what == 6)
            ledger_deposit(&ledger, 200);
        else if (what < 16)
            change_a_key(&rng);
        else if (what == 16)
            freeze_for_a_moment();
        else if (!ledger_batch(&ledger))
            sched_yield();
    }
    return NULL;
}

static void
yield(void *arg)
{
    (void)arg;
    sched_yield();
}

/* ---- main, the master ---- */

static void
worker_start(struct worker *worker)
{
    struct region_table *table = &t.region->header->table[worker->table_idx];

    while (!table_in(&ledger, worker->table_idx, TABLE_FREE))
        sched_yield();
    atomic_store_explicit(&table->state, TABLE_LIVE, memory_order_release);
    assert_int_equal(pthread_create(&worker->thread, NULL, worker_main, worker), 0);
}

static void
worker_reap(struct worker *worker)
{
    assert_int_equal(pthread_join(worker->thread, NULL), 0);
    atomic_store_explicit(&t.region->header->table[worker->table_idx].state, TABLE_DEAD,
                          memory_order_release);
}

static void
world_make(void)
{
    struct region_geometry g = small_geometry;
    uint32_t idx;

    g.health_max = 16;
    t = shm_test_open(&g);
    ledger = (struct ledger){.region = t.region, .db = &db, .wait_a_bit = yield};
    db = (struct db){.deposits_ucr = DEPOSIT_UCR};
    test_account(t.region, DEPOSIT_UCR, &ledger.account_idx);
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
        test_budget(t.region, (enum budget_kind)kind, BUDGET_TOTAL, BUDGET_SPENT_MAX,
                    &ledger.budget_idx[kind]);
    rolling = test_budget(t.region, BUDGET_KEY, BUDGET_ROLLING, ROLLING_LIMIT, &idx);
    budget_set(rolling, ROLLING_LIMIT, false, 1);
    for (uint32_t i = 0; i < QUOTAS; i++)
        assert_int_equal(quota_add(t.region, BUDGET_MEMBER, i + 1, &idx), 0);
    for (uint32_t i = 0; i < WORKERS; i++)
        assert_int_equal(region_table_ensure(t.region, i), 0);
    for (uint32_t i = 0; i < KEYS; i++)
        hash_keyed(NULL, &i, sizeof(i), key_hash[i]);
}

static void
test_threads(void **state)
{
    uint64_t seed = test_seed(), ledger_seed = seed;
    struct worker workers[WORKERS];
    pthread_t ledger_thread;

    (void)state;
    world_make();
    assert_int_equal(pthread_create(&ledger_thread, NULL, ledger_main_thread, &ledger_seed), 0);
    for (uint32_t i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.table_idx = i, .rng = seed * 31 + i};
        worker_start(&workers[i]);
    }
    for (int life = 1; life < LIVES; life++)
        for (uint32_t i = 0; i < WORKERS; i++) {
            worker_reap(&workers[i]);
            worker_start(&workers[i]);
        }
    for (uint32_t i = 0; i < WORKERS; i++)
        worker_reap(&workers[i]);
    for (uint32_t i = 0; i < WORKERS; i++)
        while (!table_in(&ledger, i, TABLE_FREE))
            sched_yield();
    atomic_store(&stop, true);
    assert_int_equal(pthread_join(ledger_thread, NULL), 0);
    assert_true(books_balance(&ledger));
    assert_int_equal(db.record_count, calls_done);
    assert_int_equal(db.spent_ucr, charged_ucr);
    assert_true(budget_word_window(rolling->word) > 10);
    assert_int_equal(rolling_ucr[budget_word_window(rolling->word)],
                     budget_word_spent_ucr(rolling->word));
    for (uint32_t i = 1; i <= QUOTAS; i++)
        assert_int_equal(quota_at(t.region, i)->inflight, 0);
    print_message("%llu calls, %lld charged\n", (unsigned long long)db.record_count,
                  (long long)db.spent_ucr);
    assert_true(db.record_count > 1000);
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
