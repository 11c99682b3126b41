/*
 * Lists and totals of calls against what was recorded: by random calls, filters and windows, while more is committed and
 * the oldest is dropped. And stores that an earlier program wrote.
 */
#include "test/unit/ledger_world.h"

#include "base/zone.h"
#include "ledger/audit.h"
#include "ledger/fill.h"
#include "ledger/retention.h"
#include "shm/call_id.h"

#define CALLS_MAX 20000u
#define MINUTE_US INT64_C(60000000)
#define HOUR_US (60 * MINUTE_US)
#define DAY_US (24 * HOUR_US)
#define BEGIN_US INT64_C(1795000000000000)

static struct world w;
static uint64_t seed;

/* What the test itself knows. */
struct made {
    struct block_record r;
    bool dropped, seen, wanted;
};
static struct made *made;
static uint32_t made_count;

static uint32_t
roll(uint32_t sides)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % sides;
}

static const char *const names[] = {NULL, "m1", "m2", "m3", "c1", "c2"};

static void
put_names(void)
{
    struct db_txn txn;

    assert_int_equal(db_write(w.ledger->db, &txn), 0);
    for (uint32_t i = 1; i < COUNT_OF(names); i++) {
        struct db_key by_id = db_key_of_u32(i), by_text;

        db_key_start(&by_text);
        db_key_u8(&by_text, 0xff);
        assert_true(db_key_text(&by_text, str_from(names[i])));
        assert_int_equal(db_put(&txn, DB_NAME, &by_id, str_from(names[i])), 0);
        assert_int_equal(db_put(&txn, DB_NAME, &by_text, (struct str){(char *)by_id.bytes, by_id.len}),
                         0);
    }
    assert_int_equal(db_commit(&txn), 0);
    w.ledger->tail.name_last = COUNT_OF(names) - 1;
}

static void
open_world(void)
{
    seed = world_seed();
    world_open(&w);
    w.map_bytes = UINT64_C(256) << 20;
    w.wall_us = BEGIN_US;
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"100000\"}}");
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"b\",\"credit\":\"50000\"}}");
    put_names();
    made = calloc(CALLS_MAX, sizeof(*made));
    assert_non_null(made);
    made_count = 0;
}

static void
close_world(void)
{
    world_close(&w);
    free(made);
}

static struct block_record
call_at(int64_t start_us)
{
    struct block_record r = {0};
    uint32_t key = 1 + roll(6);

    r.generation = made_count;
    r.tenant_id = r.rec.tenant_id = 1 + roll(4) / 3;
    memcpy(r.rec.call_id, &made_count, sizeof(made_count));
    r.rec.start_wall_us = start_us;
    r.rec.key_id = r.tenant_id * 100 + key;
    r.rec.member_id = r.tenant_id * 10 + key % 3;
    r.rec.project_id = roll(3);
    r.model = 1 + roll(16) / 7;
    r.channel = 4 + roll(8) / 7;
    r.rec.outcome = (uint8_t)(roll(20) == 0 ? OUTCOME_CUT : OUTCOME_OK);
    r.rec.http_status = roll(50) == 0 ? 503 : 200;
    r.rec.first_byte_us = 1000 + roll(100000);
    r.rec.end_us = r.rec.first_byte_us + roll(1000000);
    r.count[RECORD_INPUT] = roll(1000);
    r.count[RECORD_OUTPUT] = roll(100);
    r.rec.flags = roll(30) == 0 ? RECORD_EXTENSION : 0;
    r.amount_ucr = 1000000;
    r.charge_ucr = roll(1000000);
    return r;
}

/* A block of calls that began in the last while. */
static void
commit(unsigned count, int64_t while_us)
{
    for (unsigned i = 0; i < count; i++) {
        struct batch_item item = {0};

        assert_true(made_count < CALLS_MAX);
        item.record = call_at(w.wall_us - (int64_t)roll((uint32_t)(while_us / 1000)) * 1000);
        made[made_count++].r = item.record;
        assert_int_equal(ledger_batch_add(w.ledger, &item), 0);
    }
    assert_int_equal(ledger_commit(w.ledger), 0);
}

/* Busy minutes and long gaps, few calls and many. */
static void
some_blocks(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        commit(roll(4) == 0 ? 20 + roll(100) : 1 + roll(4), roll(10) == 0 ? 3 * HOUR_US : 3 * MINUTE_US);
        w.wall_us += roll(3) == 0 ? (int64_t)roll(3600) * 1000000
                                  : (int64_t)roll(roll(2) == 0 ? 20 : 200) * 1000000;
    }
}

static void
check_store(void)
{
    static struct audit audit;
    struct db_txn txn;
    uint64_t records;

    memset(&audit, 0, sizeof(audit));
    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    assert_true(sum_complete(&txn));
    assert_int_equal(audit_store(&txn, &audit, &records), 0);
    db_end(&txn);
    for (uint32_t i = 0; i < audit.fault_count; i++)
        print_error("%s of %llu: %lld, %lld\n", audit.faults[i].what,
                    (unsigned long long)audit.faults[i].id, (long long)audit.faults[i].expected_ucr,
                    (long long)audit.faults[i].found_ucr);
    assert_int_equal(audit.fault_count, 0);
}

/* ---- what is asked for ---- */

struct filter {
    uint32_t tenant, key, member, project, model, channel;
    int outcome, status;
    int64_t since_us, until_us; /* 0: none */
};

static struct filter
any_filter(void)
{
    struct filter f = {.outcome = -1, .status = -1};

    f.tenant = roll(4) == 0 ? 0 : 1 + roll(2);
    if (roll(3) == 0)
        f.key = (f.tenant != 0 ? f.tenant : 1) * 100 + 1 + roll(6);
    if (roll(4) == 0)
        f.member = (f.tenant != 0 ? f.tenant : 1) * 10 + roll(3);
    if (roll(5) == 0)
        f.project = 1 + roll(2);
    if (roll(4) == 0)
        f.model = 1 + roll(3);
    if (roll(4) == 0)
        f.channel = 4 + roll(2);
    if (roll(5) == 0)
        f.outcome = roll(2) == 0 ? OUTCOME_CUT : OUTCOME_OK;
    if (roll(6) == 0)
        f.status = roll(2) == 0 ? 503 : 200;
    if (roll(3) == 0)
        f.since_us = BEGIN_US + (int64_t)roll((uint32_t)((w.wall_us - BEGIN_US) / 1000000) + 1) * 1000000;
    if (roll(3) == 0)
        f.until_us = MAX(f.since_us, BEGIN_US) + 1000000 * (1 + (int64_t)roll(200000));
    return f;
}

static bool
holds(const struct filter *f, const struct block_record *r)
{
    return (f->tenant == 0 || r->tenant_id == f->tenant) && (f->key == 0 || r->rec.key_id == f->key) &&
           (f->member == 0 || r->rec.member_id == f->member) &&
           (f->project == 0 || r->rec.project_id == f->project) &&
           (f->model == 0 || r->model == f->model) && (f->channel == 0 || r->channel == f->channel) &&
           (f->outcome < 0 || r->rec.outcome == f->outcome) &&
           (f->status < 0 || r->rec.http_status == f->status) &&
           r->rec.start_wall_us >= f->since_us &&
           (f->until_us == 0 || r->rec.start_wall_us < f->until_us);
}

static void
args_of(const struct filter *f, struct jw *jw)
{
    if (f->tenant != 0)
        jw_key_u64(jw, "tenant", f->tenant);
    if (f->key != 0)
        jw_key_u64(jw, "key", f->key);
    if (f->member != 0)
        jw_key_u64(jw, "member", f->member);
    if (f->project != 0)
        jw_key_u64(jw, "project", f->project);
    if (f->model != 0)
        jw_key_cstr(jw, "model", names[f->model]);
    if (f->channel != 0)
        jw_key_cstr(jw, "channel", names[f->channel]);
    if (f->outcome >= 0)
        jw_key_cstr(jw, "outcome", record_outcome_name[f->outcome]);
    if (f->status >= 0)
        jw_key_u64(jw, "status", (uint64_t)f->status);
    if (f->since_us != 0)
        jw_key_time(jw, "since", f->since_us);
    if (f->until_us != 0)
        jw_key_time(jw, "until", f->until_us);
}

static struct js_value
ask(const char *cmd, const struct filter *f, const char *more)
{
    struct js_value result;
    struct buf request;
    struct jw jw;

    buf_init(&request, 4096);
    jw_init(&jw, &request);
    jw_object(&jw);
    jw_key_cstr(&jw, "cmd", cmd);
    jw_key(&jw, "args");
    jw_object(&jw);
    args_of(f, &jw);
    buf_add_str(&request, str_from(more));
    buf_add_str(&request, STR("}}"));
    buf_add_char(&request, '\0');
    assert_false(request.failed);
    /* Where nothing is before it there is no comma to begin with. */
    for (char *at = strstr(request.ptr, "{,"); at != NULL; at = NULL)
        at[1] = ' ';
    result = ask_ok(&w, request.ptr);
    buf_free(&request);
    return result;
}

/* ---- lists ---- */

static uint32_t
number_of_call(struct js_value row)
{
    uint8_t id[16];
    uint32_t number;

    assert_true(call_id_parse(js_get(row, STR("id")).raw, id));
    memcpy(&number, id, sizeof(number));
    assert_true(number < made_count);
    return number;
}

static void
see(struct js_value page, const struct filter *f, bool oldest_first, int64_t *minute)
{
    struct js_value none, row;
    struct js_iter it;

    for (js_iter_init(&it, js_get(page, STR("calls"))); js_next(&it, &none, &row);) {
        uint32_t number = number_of_call(row);
        int64_t at = made[number].r.rec.start_wall_us / MINUTE_US;

        assert_true(holds(f, &made[number].r));
        assert_false(made[number].seen);
        made[number].seen = true;
        assert_true(*minute < 0 || (oldest_first ? at >= *minute : at <= *minute));
        *minute = at;
    }
}

static void
meanwhile(bool more, bool drop)
{
    const struct retention keep = {.age_us = (uint64_t)(12 * HOUR_US)};
    bool left = drop && roll(4) == 0;

    if (more && roll(2) == 0 && made_count + 200 < CALLS_MAX)
        some_blocks(1);
    while (left)
        assert_int_equal(retention_step(w.ledger, &keep, &left), 0);
}

/* All pages together are all that was there, each once. */
static void
read_pages(const struct filter *f, bool oldest_first, bool more, bool drop)
{
    char next[128] = "";
    int64_t minute = -1;
    unsigned pages = 0;

    for (uint32_t i = 0; i < made_count; i++) {
        made[i].seen = false;
        made[i].wanted = holds(f, &made[i].r);
    }
    do {
        char args[256];
        struct js_value page, cursor;

        snprintf(args, sizeof(args), ",\"limit\":%u,\"oldest_first\":%s%s%s%s", 1 + roll(40),
                 oldest_first ? "true" : "false", next[0] != '\0' ? ",\"cursor\":\"" : "", next,
                 next[0] != '\0' ? "\"" : "");
        page = ask("call.list", f, args);
        see(page, f, oldest_first, &minute);
        cursor = js_get(page, STR("next"));
        str_copy(js_is(cursor, JS_STRING) ? cursor.raw : STR_NONE, next, sizeof(next));
        meanwhile(more, drop);
        assert_true(++pages < 2 * CALLS_MAX);
    } while (next[0] != '\0');
    for (uint32_t i = 0; i < made_count && !drop; i++)
        if (made[i].wanted && !made[i].seen) {
            print_error("call %u is missing\n", i);
            assert_true(made[i].seen);
        }
}

static void
pages_are_all_calls(void **state)
{
    (void)state;
    open_world();
    some_blocks(120);
    check_store();
    for (unsigned i = 0; i < 60; i++) {
        struct filter f = any_filter();

        read_pages(&f, i % 2 != 0, false, false);
    }
    close_world();
}

static void
pages_while_more_is_committed(void **state)
{
    (void)state;
    open_world();
    some_blocks(60);
    for (unsigned i = 0; i < 12; i++) {
        struct filter f = any_filter();

        if (f.until_us == 0)
            f.until_us = w.wall_us; /* or one that follows the clock never ends */
        read_pages(&f, i % 2 != 0, true, false);
    }
    check_store();
    close_world();
}

/* Which are there still: what a page gives of all of them. */
static void
find_dropped(void)
{
    struct filter all = {.outcome = -1, .status = -1};
    uint32_t left = 0;
    struct db_txn txn;
    struct str key, value;

    read_pages(&all, true, false, true);
    for (uint32_t i = 0; i < made_count; i++) {
        made[i].dropped = !made[i].seen;
        left += made[i].seen;
    }
    assert_true(left > 0 && left < made_count);
    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    assert_int_equal(db_first(&txn, DB_BLOCK, &key, &value), 0);
    db_end(&txn);
}

static void
pages_while_the_oldest_go(void **state)
{
    const struct retention keep = {.age_us = (uint64_t)(6 * HOUR_US)};
    bool left = true;

    (void)state;
    open_world();
    some_blocks(150);
    for (unsigned i = 0; i < 10; i++) {
        struct filter f = any_filter();

        if (f.until_us == 0)
            f.until_us = w.wall_us;
        read_pages(&f, i % 2 != 0, true, true);
    }
    while (left)
        assert_int_equal(retention_step(w.ledger, &keep, &left), 0);
    check_store();
    find_dropped();
    for (unsigned i = 0; i < 40; i++) {
        struct filter f = any_filter();
        uint32_t missing = 0;

        read_pages(&f, i % 2 != 0, false, true);
        for (uint32_t n = 0; n < made_count; n++)
            missing += made[n].wanted && !made[n].dropped && !made[n].seen;
        assert_int_equal(missing, 0);
    }
    close_world();
}

/* A clock that was set back leaves calls that began after now. */
static void
calls_of_later_are_listed(void **state)
{
    struct filter all = {.outcome = -1, .status = -1};

    (void)state;
    open_world();
    commit(3, MINUTE_US);
    w.wall_us -= 5 * DAY_US;
    read_pages(&all, false, false, false);
    read_pages(&all, true, false, false);
    close_world();
}

/* ---- totals ---- */

struct total {
    int64_t calls, errors, input, output, charge_ucr;
};

static struct total
total_of(const struct filter *f)
{
    struct total t = {0};

    for (uint32_t i = 0; i < made_count; i++) {
        const struct block_record *r = &made[i].r;

        if (!holds(f, r))
            continue;
        t.charge_ucr += r->charge_ucr;
        if (r->rec.flags & RECORD_EXTENSION)
            continue;
        t.calls++;
        t.errors += r->rec.outcome != OUTCOME_OK;
        t.input += r->count[RECORD_INPUT];
        t.output += r->count[RECORD_OUTPUT];
    }
    return t;
}

static void
same_total(struct js_value found, const struct total *t)
{
    assert_int_equal(number_of(found, "calls"), t->calls);
    assert_int_equal(number_of(found, "errors"), t->errors);
    assert_int_equal(number_of(js_get(found, STR("tokens")), "input"), t->input);
    assert_int_equal(number_of(js_get(found, STR("tokens")), "output"), t->output);
    assert_int_equal(money_of(found, "charge"), t->charge_ucr);
}

/* One that there are totals of. */
static struct filter
summed_filter(void)
{
    struct filter f = any_filter();

    if (f.tenant == 0)
        f.tenant = 1 + roll(2);
    if (f.key != 0)
        f.key = f.tenant * 100 + f.key % 100;
    if (f.member != 0)
        f.member = f.tenant * 10 + f.member % 10;
    f.outcome = f.status = -1;
    /* Whole quarters of an hour. */
    f.since_us = BEGIN_US - DAY_US + (int64_t)roll(400) * 15 * MINUTE_US;
    f.since_us -= f.since_us % (15 * MINUTE_US);
    f.until_us = f.since_us + (int64_t)(1 + roll(600)) * 15 * MINUTE_US;
    return f;
}

static int64_t
time_of(struct js_value row, const char *name)
{
    int64_t us;

    assert_true(clock_parse(js_get(row, str_from(name)).raw, &us));
    return us;
}

static void
check_trend(const struct filter *f, const char *by, const char *zone)
{
    char more[96];
    struct js_value none, row, result;
    struct total all = total_of(f);
    int64_t at_us = f->since_us;
    struct js_iter it;

    snprintf(more, sizeof(more), ",\"by\":\"%s\",\"zone\":\"%s\"", by, zone);
    result = ask("usage.trend", f, more);
    for (js_iter_init(&it, js_get(result, STR("rows"))); js_next(&it, &none, &row);) {
        struct filter part = *f;
        struct total of;

        part.since_us = time_of(row, "since");
        part.until_us = time_of(row, "until");
        assert_int_equal(part.since_us, at_us); /* no gap */
        assert_true(part.until_us > part.since_us);
        of = total_of(&part);
        same_total(row, &of);
        at_us = part.until_us;
    }
    assert_int_equal(at_us, f->until_us);
    same_total(js_get(result, STR("total")), &all);
}

static uint32_t
value_by(const struct block_record *r, unsigned by)
{
    const uint32_t value[] = {r->rec.key_id, r->rec.member_id, r->rec.project_id};

    return value[by];
}

static void
check_top(const struct filter *f)
{
    static const char *const by[] = {"key", "member", "project"};
    unsigned which = roll(3), rows = 0;
    char more[96];
    struct js_value none, row, result;
    struct total all = total_of(f), others = {0};
    int64_t last_ucr = INT64_MAX, sum_ucr = 0;
    struct js_iter it;

    snprintf(more, sizeof(more), ",\"by\":\"%s\",\"limit\":3", by[which]);
    result = ask("usage.top", f, more);
    for (js_iter_init(&it, js_get(result, STR("rows"))); js_next(&it, &none, &row); rows++) {
        uint32_t value = (uint32_t)number_of(row, by[which]);
        int64_t charge_ucr = 0;

        for (uint32_t i = 0; i < made_count; i++)
            if (holds(f, &made[i].r) && value_by(&made[i].r, which) == value)
                charge_ucr += made[i].r.charge_ucr;
        assert_int_equal(money_of(row, "charge"), charge_ucr);
        assert_true(charge_ucr <= last_ucr);
        last_ucr = charge_ucr;
        sum_ucr += charge_ucr;
    }
    assert_true(rows <= 3);
    same_total(js_get(result, STR("total")), &all);
    others.charge_ucr = all.charge_ucr - sum_ucr;
    assert_int_equal(money_of(js_get(result, STR("others")), "charge"), others.charge_ucr);
}

static void
check_totals(unsigned rounds)
{
    static const char *const steps[] = {"hour", "day", "month"};
    static const char *const zones[] = {"UTC", "Asia/Kolkata", "America/New_York", "Asia/Kathmandu"};

    for (unsigned i = 0; i < rounds; i++) {
        struct filter f = summed_filter(), before = f;
        struct js_value result = ask("usage.stats", &f, "");
        struct total now = total_of(&f), then;

        before.until_us = f.since_us;
        before.since_us = f.since_us - (f.until_us - f.since_us);
        then = total_of(&before);
        same_total(js_get(result, STR("total")), &now);
        same_total(js_get(result, STR("before")), &then);
        assert_true(js_bool(js_get(result, STR("complete")), false));
        check_trend(&f, steps[roll(3)], zones[roll(4)]);
        check_top(&f);
    }
}

static void
totals_are_the_records(void **state)
{
    struct filter all = {.outcome = -1, .status = -1}, one = all;
    struct total total;
    struct js_value result;

    (void)state;
    open_world();
    some_blocks(150);
    check_totals(60);
    /* Of all tenants, and of what stands alone. */
    all.since_us = BEGIN_US - DAY_US;
    all.since_us -= all.since_us % HOUR_US;
    all.until_us = w.wall_us - w.wall_us % HOUR_US + HOUR_US;
    total = total_of(&all);
    result = ask("usage.stats", &all, "");
    same_total(js_get(result, STR("total")), &total);
    one = all;
    one.outcome = OUTCOME_CUT;
    total = total_of(&one);
    assert_true(total.calls > 0);
    same_total(js_get(ask("usage.stats", &one, ""), STR("total")), &total);
    one.tenant = 1;
    total = total_of(&one);
    same_total(js_get(ask("usage.stats", &one, ""), STR("total")), &total);
    result = ask("usage.top", &all, ",\"by\":\"tenant\"");
    assert_int_equal(number_of(result, "count"), 2);
    /* What nobody has totals of is refused, and not answered wrongly. */
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"usage.stats\",\"args\":{\"tenant\":1,\"key\":101,"
                                     "\"outcome\":\"cut\"}}"),
                     COMMAND_USAGE);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"usage.top\",\"args\":{\"by\":\"key\"}}"), COMMAND_USAGE);
    close_world();
}

/* More rows than are kept at a time, of few keys, of many, and of many with few between them. */
static void
top_of_many_rows(void **state)
{
    static const uint32_t keys_of[] = {50, 900, 3000};
    const uint32_t days = 40;

    (void)state;
    for (unsigned n = 0; n < COUNT_OF(keys_of); n++) {
        struct filter f = {.tenant = 1, .outcome = -1, .status = -1, .since_us = BEGIN_US - days * DAY_US};
        struct js_value result, none, row;
        struct db_txn txn;
        struct js_iter it;
        uint32_t keys = keys_of[n], last = keys;

        open_world();
        assert_int_equal(db_write(w.ledger->db, &txn), 0);
        for (uint32_t day = 1; day < days; day++)
            for (uint32_t key = 1; key <= keys; key++) {
                struct sum_key hour = {.period = ROLLUP_HOUR, .tenant_id = 1, .dim = SUM_KEY, .value = key};
                struct sum sum = {.of = {.calls = 1, .charge_ucr = key}};

                hour.bucket = (uint32_t)((BEGIN_US - day * DAY_US) / HOUR_US);
                assert_int_equal(sum_put(&txn, &hour, 0, 1, &sum), 0);
            }
        assert_int_equal(db_commit(&txn), 0);
        f.since_us -= f.since_us % HOUR_US;
        f.until_us = f.since_us + (days + 1) * DAY_US;
        result = ask("usage.top", &f, ",\"by\":\"key\",\"limit\":5");
        assert_int_equal(number_of(result, "count"), keys);
        assert_int_equal(money_of(js_get(result, STR("total")), "charge"),
                         (int64_t)(days - 1) * keys * (keys + 1) / 2);
        for (js_iter_init(&it, js_get(result, STR("rows"))); js_next(&it, &none, &row); last--) {
            assert_int_equal(number_of(row, "key"), last);
            assert_int_equal(number_of(row, "calls"), days - 1);
            assert_int_equal(money_of(row, "charge"), (int64_t)(days - 1) * last);
        }
        assert_int_equal(last, keys - 5);
        close_world();
    }
}

/* Who sees only their own sees nothing of others', whatever is asked. */
static void
only_ones_own(void **state)
{
    struct filter f = {.tenant = 1, .member = 11, .outcome = -1, .status = -1};
    struct total own;
    struct js_value result;

    (void)state;
    open_world();
    some_blocks(40);
    f.since_us = BEGIN_US - DAY_US;
    f.since_us -= f.since_us % HOUR_US;
    own = total_of(&f);
    assert_true(own.calls > 0);
    f.member = 0;
    result = ask("usage.stats", &f, ",\"only_member\":11");
    same_total(js_get(result, STR("total")), &own);
    f.member = 12;
    own = (struct total){0};
    same_total(js_get(ask("usage.stats", &f, ",\"only_member\":11"), STR("total")), &own);
    result = ask("call.list", &f, ",\"only_member\":11");
    assert_true(str_eq(js_get(result, STR("calls")).raw, STR("[]")));
    close_world();
}

/* ---- statement ---- */

static void
statement_is_the_books(void **state)
{
    int64_t last_ucr = 0, charged_ucr = 0;
    struct js_value result, wallet;

    (void)state;
    open_world();
    for (unsigned month = 0; month < 3; month++) {
        some_blocks(40);
        ask_ok(&w, "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":1,\"amount\":\"12.345678\"}}");
        ask_ok(&w, "{\"cmd\":\"credit.deduct\",\"args\":{\"tenant\":1,\"amount\":\"0.5\"}}");
        w.wall_us += 20 * DAY_US;
    }
    for (unsigned month = 10; month <= 14; month++) {
        char request[160];

        snprintf(request, sizeof(request),
                 "{\"cmd\":\"usage.statement\",\"args\":{\"tenant\":1,\"zone\":\"Asia/Kolkata\","
                 "\"month\":\"%u-%02u\"}}",
                 2026 + (month - 1) / 12, (month - 1) % 12 + 1);
        result = ask_ok(&w, request);
        assert_int_equal(money_of(result, "opening"), last_ucr);
        last_ucr = money_of(result, "closing");
        assert_int_equal(last_ucr, money_of(result, "opening") + money_of(result, "deposited") -
                                       money_of(result, "charged"));
        charged_ucr += money_of(result, "charged");
    }
    wallet = ask_ok(&w, "{\"cmd\":\"credit.show\",\"args\":{\"tenant\":1}}");
    assert_int_equal(last_ucr, money_of(wallet, "deposited") - money_of(wallet, "spent"));
    assert_int_equal(charged_ucr, money_of(wallet, "spent"));
    assert_true(charged_ucr > 0);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"usage.statement\",\"args\":{\"tenant\":1,"
                                     "\"month\":\"2026-13\"}}"),
                     COMMAND_USAGE);
    close_world();
}

/* ---- stores of an earlier program ---- */

static void
forget_totals(void)
{
    struct db_txn txn;
    struct db_key key;

    db_key_start(&key);
    assert_true(db_key_text(&key, STR("sums")));
    assert_int_equal(db_write(w.ledger->db, &txn), 0);
    assert_int_equal(db_empty(&txn, DB_SUM), 0);
    assert_int_equal(db_empty(&txn, DB_WHERE), 0);
    assert_int_equal(db_delete(&txn, DB_META, &key), 0);
    assert_int_equal(db_commit(&txn), 0);
    world_kill_ledger(&w);
}

static void
fill_all(bool meanwhile_too)
{
    bool more = true;

    assert_int_equal(w.ledger->sums.complete, 0);
    while (more) {
        assert_int_equal(fill_step(w.ledger, &more), 0);
        if (meanwhile_too && roll(3) == 0 && made_count + 200 < CALLS_MAX)
            some_blocks(1);
    }
    assert_int_equal(w.ledger->sums.complete, 1);
}

static void
older_stores_are_filled(void **state)
{
    struct filter all = {.outcome = -1, .status = -1};
    const struct retention keep = {.age_us = 1};
    struct js_value result;
    bool more;

    (void)state;
    open_world();
    some_blocks(150);
    forget_totals();
    world_start(&w);
    /* Until it is done: all calls are listed, nothing is dropped, totals say what they are. */
    read_pages(&all, false, false, false);
    assert_int_equal(retention_step(w.ledger, &keep, &more), 0);
    result = ask("usage.stats", &all, "");
    assert_false(js_bool(js_get(result, STR("complete")), true));
    /* Also when the process dies in between. */
    assert_int_equal(fill_step(w.ledger, &more), 0);
    assert_int_equal(fill_step(w.ledger, &more), 0);
    world_restart(&w);
    fill_all(true);
    check_store();
    check_totals(20);
    for (unsigned i = 0; i < 20; i++) {
        struct filter f = any_filter();

        read_pages(&f, i % 2 != 0, false, false);
    }
    close_world();
}

/* What was dropped before stands in the totals by what is known of it. */
static void
dropped_records_are_filled(void **state)
{
    const struct retention keep = {.age_us = (uint64_t)(6 * HOUR_US)};
    struct filter f = {.tenant = 1, .outcome = -1, .status = -1};
    struct total total;
    bool left = true;

    (void)state;
    open_world();
    some_blocks(150);
    while (left)
        assert_int_equal(retention_step(w.ledger, &keep, &left), 0);
    find_dropped();
    forget_totals();
    world_start(&w);
    fill_all(false);
    check_store();
    f.since_us = BEGIN_US - DAY_US;
    f.since_us -= f.since_us % HOUR_US;
    f.until_us = w.wall_us - w.wall_us % HOUR_US + HOUR_US;
    total = total_of(&f);
    same_total(js_get(ask("usage.stats", &f, ""), STR("total")), &total);
    f.model = 2;
    total = total_of(&f);
    same_total(js_get(ask("usage.stats", &f, ""), STR("total")), &total);
    f.model = 0;
    f.key = 103;
    total = total_of(&f);
    same_total(js_get(ask("usage.stats", &f, ""), STR("total")), &total);
    close_world();
}

/* An earlier program that knows nothing of them wrote a block since. */
static void
what_is_behind_is_made_anew(void **state)
{
    struct db_txn txn;

    (void)state;
    open_world();
    some_blocks(20);
    w.ledger->sums.high_key--;
    assert_int_equal(db_write(w.ledger->db, &txn), 0);
    assert_int_equal(sum_mark_put(&txn, &w.ledger->sums), 0);
    assert_int_equal(db_commit(&txn), 0);
    world_restart(&w);
    fill_all(true);
    check_store();
    close_world();
}

/* ---- edges ---- */

static void
zone_edges(void **state)
{
    static struct zone_change changes[ZONE_CHANGES_MAX];
    int count = zone_load(STR("America/New_York"), changes);
    struct zone zone = {changes, (size_t)MAX(count, 0)};

    (void)state;
    assert_true(count > 100);
    /* 2026-03-08 02:30 is left out: clocks go on at 03:00, which is 07:00 UTC. */
    assert_int_equal(zone_instant_s(&zone, 1772937000), 1772953200);
    /* 2026-11-01 01:30 comes twice: the first is at 05:30 UTC. */
    assert_int_equal(zone_instant_s(&zone, 1793496600), 1793511000);
    /* An ordinary midnight: 2026-07-01, at 04:00 UTC. */
    assert_int_equal(zone_instant_s(&zone, 1782864000), 1782878400);
    assert_int_equal(zone_instant_s(&zone_utc, 1782864000), 1782864000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zone_edges),
        cmocka_unit_test(pages_are_all_calls),
        cmocka_unit_test(pages_while_more_is_committed),
        cmocka_unit_test(pages_while_the_oldest_go),
        cmocka_unit_test(calls_of_later_are_listed),
        cmocka_unit_test(totals_are_the_records),
        cmocka_unit_test(top_of_many_rows),
        cmocka_unit_test(only_ones_own),
        cmocka_unit_test(statement_is_the_books),
        cmocka_unit_test(older_stores_are_filled),
        cmocka_unit_test(dropped_records_are_filled),
        cmocka_unit_test(what_is_behind_is_made_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
