/*
 * A world for the ledger's tests: a region in /dev/shm seen through two mappings (the ledger's and
 * the workers'), a store, a clock that stands still unless it is told, workers that live or not as
 * the test says, and a death of the ledger at its n-th step.
 */
#ifndef TEST_UNIT_LEDGER_WORLD_H
#define TEST_UNIT_LEDGER_WORLD_H

#include "test/unit/testing.h"

#include <errno.h>
#include <ftw.h>

#include "base/clock.h"
#include "base/js.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/ucr.h"
#include "ledger/command.h"
#include "ledger/core.h"
#include "shm/names.h"

#define WORLD_DIR "/dev/shm/turnpike-test-XXXXXX"
#define WORLD_TABLES 4
#define DIED (-EINTR) /* what a step answers at which the ledger is killed */
#define CREDITS(n) ((int64_t)(n) * UCR_PER_CREDIT)

struct world {
    char dir[sizeof(WORLD_DIR)];
    char region_dir[64], store_dir[96];
    struct region *region;  /* the ledger's mapping */
    struct region *workers; /* the workers' */
    struct ledger *ledger;
    struct hold_table table[WORLD_TABLES];
    bool has_table[WORLD_TABLES], dead[WORLD_TABLES];
    int64_t wall_us;
    uint64_t mono_us;
    long steps_left; /* < 0: nobody dies */
    long steps_done;
    uint64_t wakes[WORLD_TABLES];
    enum ledger_durability durability;
    enum ledger_unresolved unresolved;
    uint64_t map_bytes;
    struct buf answer;
};

static const struct region_geometry world_geometry = {
    .account_max = 256,
    .budget_max = 256,
    .quota_max = 256,
    .key_max = 4096,
    .key_extra_max = 64,
    .name_max = 256,
    .health_max = 8,
    .idem_max = 64,
    .table_max = WORLD_TABLES,
    .slot_max = 64,
};

/* ---- the outside world ---- */

static inline int64_t
world_wall(void *arg)
{
    return ((struct world *)arg)->wall_us++;
}

static inline uint64_t
world_mono(void *arg)
{
    return ((struct world *)arg)->mono_us;
}

static inline void
world_pause(void *arg, uint32_t us)
{
    ((struct world *)arg)->mono_us += us;
}

static inline bool
world_lives(void *arg, uint32_t table_idx)
{
    return !((struct world *)arg)->dead[table_idx];
}

static inline void
world_wake(void *arg, uint32_t table_idx)
{
    ((struct world *)arg)->wakes[table_idx]++;
}

static inline int
world_step(struct world *w)
{
    w->steps_done++;
    return w->steps_left >= 0 && w->steps_left-- == 0 ? DIED : 0;
}

static inline int
world_point(void *arg, enum ledger_point point)
{
    (void)point;
    return world_step(arg);
}

static inline int
world_db_fault(void *arg, enum db_step step)
{
    (void)step;
    return world_step(arg);
}

/* ---- life and death ---- */

static inline int
world_try_start(struct world *w)
{
    struct ledger_open setup = {
        .store_path = w->store_dir,
        .durability = w->durability,
        .unresolved = w->unresolved,
        .map_bytes = w->map_bytes,
        .host = {.wall_us = world_wall,
                 .mono_us = world_mono,
                 .pause = world_pause,
                 .table_lives = world_lives,
                 .wake_worker = world_wake,
                 .point = world_point,
                 .db_fault = world_db_fault,
                 .arg = w},
    };

    assert_null(w->ledger);
    if (w->region == NULL) {
        int rc = region_adopt(w->region_dir, &w->region);

        if (rc == -ENOENT)
            rc = region_create(w->region_dir, &world_geometry, &w->region);
        assert_int_equal(rc, 0);
    }
    setup.region = w->region;
    return ledger_open(&setup, &w->ledger);
}

/* The ledger process is killed: its memory is gone, the region stays. */
static inline void
world_kill_ledger(struct world *w)
{
    ledger_close(&w->ledger);
    if (w->region != NULL)
        region_detach(w->region);
    w->region = NULL;
}

static inline void
world_start(struct world *w)
{
    int rc;

    while ((rc = world_try_start(w)) == DIED)
        world_kill_ledger(w);
    assert_int_equal(rc, 0);
    if (w->workers == NULL)
        assert_int_equal(region_adopt(w->region_dir, &w->workers), 0);
}

static inline void
world_restart(struct world *w)
{
    world_kill_ledger(w);
    world_start(w);
}

static inline void
world_open(struct world *w)
{
    struct log_setup quiet = {.process = "test", .level_max = LOG_LEVEL_ERROR};

    if (getenv("TEST_LOG") == NULL)
        assert_non_null(freopen("/dev/null", "w", stderr));
    log_setup(&quiet);
    memset(w, 0, sizeof(*w));
    snprintf(w->dir, sizeof(w->dir), "%s", WORLD_DIR);
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->region_dir, sizeof(w->region_dir), "%s", w->dir);
    snprintf(w->store_dir, sizeof(w->store_dir), "%s/store", w->dir);
    w->wall_us = INT64_C(1795000000000000); /* November 2026 */
    w->mono_us = 1000000;
    w->steps_left = -1;
    w->map_bytes = UINT64_C(64) << 20;
    buf_init(&w->answer, 16u << 20);
}

static inline void
world_forget_tables(struct world *w)
{
    for (unsigned t = 0; t < WORLD_TABLES; t++) {
        if (w->has_table[t])
            hold_table_close(&w->table[t]);
        w->has_table[t] = w->dead[t] = false;
    }
    if (w->workers != NULL)
        region_detach(w->workers);
    w->workers = NULL;
}

/* Power is cut: the region is gone, and every process. */
static inline void
world_power_cut(struct world *w)
{
    world_kill_ledger(w);
    world_forget_tables(w);
    assert_int_equal(region_remove(w->region_dir), 0);
}

static inline int
world_unlink(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static inline void
world_close(struct world *w)
{
    world_kill_ledger(w);
    world_forget_tables(w);
    buf_free(&w->answer);
    assert_int_equal(nftw(w->dir, world_unlink, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* ---- workers ---- */

static inline struct hold_table *
world_worker(struct world *w, uint32_t t)
{
    if (w->has_table[t])
        return &w->table[t];
    assert_int_equal(region_table_ensure(w->workers, t), 0);
    atomic_store_explicit(&w->workers->header->table[t].state, TABLE_LIVE, memory_order_release);
    assert_int_equal(hold_table_open(w->workers, t, &w->table[t]), 0);
    w->has_table[t] = true;
    w->dead[t] = false;
    ledger_views(w->ledger);
    return &w->table[t];
}

static inline void
world_kill_worker(struct world *w, uint32_t t)
{
    assert_true(w->has_table[t]);
    hold_table_close(&w->table[t]);
    w->has_table[t] = false;
    w->dead[t] = true;
}

static inline uint32_t
world_account(const struct world *w, uint32_t tenant_id)
{
    uint32_t count =
        atomic_load_explicit(&w->workers->header->account_count, memory_order_acquire);

    for (uint32_t i = 1; i <= count; i++)
        if (account_at(w->workers, i)->tenant_id == tenant_id)
            return i;
    return 0;
}

/* Takes a hold of that tenant's account and its own budget, with a record that is complete. */
static inline enum hold_result
world_take(struct world *w, uint32_t t, uint32_t tenant_id, int64_t amount_ucr, uint32_t *slot)
{
    struct hold_table *table = world_worker(w, t);
    uint32_t idx = world_account(w, tenant_id);
    const struct account *account = account_at(w->workers, idx);
    enum hold_result result;

    assert_non_null(account);

    struct hold_ask ask = {
        .account_idx = idx,
        .account_generation = account->generation,
        .amount_ucr = amount_ucr,
        .wall_us = w->wall_us,
    };

    ask.budget_idx[BUDGET_TENANT] = account->budget_idx;
    result = hold_take(table, &ask, slot);
    if (result == HOLD_OK) {
        static uint64_t number;
        struct record *r = hold_record(table, *slot);
        uint64_t ms = (uint64_t)w->wall_us / 1000;

        for (unsigned i = 0; i < 6; i++)
            r->call_id[i] = (uint8_t)(ms >> (40 - 8 * i));
        r->call_id[7] = (uint8_t)t;
        number++;
        memcpy(r->call_id + 8, &number, 8);
        r->tenant_id = tenant_id;
        r->key_id = tenant_id * 10 + (uint32_t)(number % 3);
        r->start_wall_us = w->wall_us;
        r->model = name_intern(w->workers, number % 2 != 0 ? STR("gpt-a") : STR("claude-b"));
        r->channel = name_intern(w->workers, STR("smart"));
        r->upstream = name_intern(w->workers, STR("up"));
        r->outcome = OUTCOME_OK;
        r->http_status = 200;
        r->tally[0].count[RECORD_INPUT] = 100;
        r->tally[0].count[RECORD_OUTPUT] = (uint32_t)(number % 50);
        r->attempt_count = 1;
        r->attempt[0].upstream = r->upstream;
        r->attempt[0].status = 200;
    }
    return result;
}

static inline void
world_settle(struct world *w, uint32_t t, uint32_t slot, int64_t charge_ucr)
{
    hold_record(&w->table[t], slot)->total_charge_ucr = charge_ucr;
    (void)!hold_settle(&w->table[t], slot, charge_ucr);
}

static inline int
world_commit(struct world *w)
{
    int rc = recount_dead_tables(w->ledger);

    return rc < 0 ? rc : ledger_commit_all(w->ledger);
}

/* ---- asking ---- */

/* The answer's result, valid until the next question. Type JS_NONE when it was refused. */
static inline int
world_ask(struct world *w, const char *request, struct js_value *result)
{
    struct js_value answer;
    struct js_error err;
    int rc;

    *result = (struct js_value){.type = JS_NONE};
    buf_free(&w->answer);
    rc = command_run(w->ledger, str_from(request), "uid 0", &w->answer);
    if (rc < 0)
        return rc;
    assert_true(js_check(buf_str(&w->answer), &answer, &err));
    if (js_bool(js_get(answer, STR("ok")), false))
        *result = js_get(answer, STR("result"));
    return 0;
}

static inline struct js_value
ask_ok(struct world *w, const char *request)
{
    struct js_value result;

    assert_int_equal(world_ask(w, request, &result), 0);
    if (result.type == JS_NONE)
        print_error("%s: %.*s\n", request, STR_ARGS(buf_str(&w->answer)));
    assert_int_equal(result.type, JS_OBJECT);
    return result;
}

/* The exit status of a question that is refused. */
static inline int
ask_refused(struct world *w, const char *request)
{
    struct js_value result, answer;
    struct js_error err;
    int64_t status = 0;

    assert_int_equal(world_ask(w, request, &result), 0);
    if (result.type != JS_NONE)
        print_error("not refused: %s\n", request);
    assert_int_equal(result.type, JS_NONE);
    assert_true(js_check(buf_str(&w->answer), &answer, &err));
    assert_true(js_i64(js_get(answer, STR("exit")), &status));
    return (int)status;
}

static inline int64_t
money_of(struct js_value result, const char *name)
{
    struct js_value value = js_get(result, str_from(name));
    int64_t ucr = 0;

    assert_int_equal(value.type, JS_STRING);
    assert_true(ucr_parse(value.raw, &ucr));
    return ucr;
}

static inline int64_t
number_of(struct js_value result, const char *name)
{
    int64_t n = 0;

    assert_true(js_i64(js_get(result, str_from(name)), &n));
    return n;
}

/* The books balance; gives the audit's document. */
static inline struct js_value
world_audit(struct world *w)
{
    struct js_value result = ask_ok(w, "{\"cmd\":\"audit\"}");

    if (!js_bool(js_get(result, STR("ok")), false))
        print_error("%.*s\n", STR_ARGS(buf_str(&w->answer)));
    assert_true(js_bool(js_get(result, STR("ok")), false));
    assert_int_equal(money_of(result, "deposited"),
                     money_of(result, "available") + money_of(result, "held") +
                         money_of(result, "spent"));
    return result;
}

static inline uint64_t
world_seed(void)
{
    const char *text = getenv("TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : rng_u64();

    print_message("TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

#endif
