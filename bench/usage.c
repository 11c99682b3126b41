/*
 * What lists and totals of calls cost by how many calls there are.
 *
 *     bench-usage [-n RECORDS] [-s RECORDS] [-r ROUNDS] [-d DIR | -k DIR] [--json]
 *
 * Two stores are made by the ledger's own commits, of -n (10,000,000) and of -s (10,000) records over the same 30 days, 20
 * tenants of which the first has half of them, 50 keys each; in a folder of -d (/tmp), which goes again, or in -k, where
 * they stay and are not made anew. Then each question is asked -r (41) times of both in turns, each time of other keys
 * and pages, and the medians are compared. Exit 1 when one takes more than twice the time where there are more.
 */
#include "base/base.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "base/ucr.h"
#include "ledger/command.h"
#include "ledger/core.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 1001u
#define SPAN_US (INT64_C(30) * 86400 * 1000000)
#define BEGIN_US INT64_C(1793491200000000) /* 2026-11-01 */
#define TENANTS 20u
#define KEYS 50u
#define RATIO_MAX 2.0

static uint64_t seed = 88172645463325252u;

static uint32_t
roll(uint32_t sides)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % sides;
}

static void
must(int rc, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "bench-usage: %s: %s\n", what, strerror(-rc));
    exit(2);
}

static uint64_t
now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- a store ---- */

struct side {
    char dir[256], store[288], memory[64];
    struct region *region;
    struct ledger *ledger;
    int64_t wall_us;
    uint64_t records;
    double made_s; /* 0: it was there */
    uint64_t bytes;
    char cursor[64]; /* of the page that was asked for last */
};

static int64_t
side_wall(void *arg)
{
    return ((struct side *)arg)->wall_us++;
}

static uint64_t
side_mono(void *arg)
{
    (void)arg;
    return now_ns() / 1000;
}

static bool
side_lives(void *arg, uint32_t table)
{
    (void)arg, (void)table;
    return true;
}

static void
side_pause(void *arg, uint32_t us)
{
    (void)arg;
    usleep(us);
}

static const char *const names[] = {"",        "model-a", "model-b", "model-c", "model-d",
                                    "model-r", "fast",    "cheap",   "best"};

static void
put_names(struct side *side)
{
    struct db_txn txn;

    must(db_write(side->ledger->db, &txn), "the store");
    for (uint32_t i = 1; i < COUNT_OF(names); i++) {
        struct db_key by_id = db_key_of_u32(i), by_text;

        db_key_start(&by_text);
        db_key_u8(&by_text, 0xff);
        if (!db_key_text(&by_text, str_from(names[i])))
            exit(2);
        must(db_put(&txn, DB_NAME, &by_id, str_from(names[i])), "a name");
        must(db_put(&txn, DB_NAME, &by_text, (struct str){(const char *)by_id.bytes, by_id.len}), "a name");
    }
    must(db_commit(&txn), "names");
    side->ledger->tail.name_last = COUNT_OF(names) - 1;
}

static struct block_record
call_at(int64_t start_us, uint64_t number)
{
    struct block_record r = {0};
    uint64_t ms = (uint64_t)start_us / 1000;
    uint32_t key = roll(KEYS);

    r.tenant_id = r.rec.tenant_id = roll(2) == 0 ? 1 : 2 + roll(TENANTS - 1);
    for (unsigned i = 0; i < 6; i++)
        r.rec.call_id[i] = (uint8_t)(ms >> (40 - 8 * i));
    memcpy(r.rec.call_id + 8, &number, 8);
    r.generation = number;
    r.rec.start_wall_us = start_us;
    r.rec.key_id = r.tenant_id * 1000 + key;
    r.rec.member_id = r.tenant_id * 100 + key % 10;
    r.rec.project_id = r.tenant_id * 100 + key % 5;
    r.model = roll(50) == 0 ? 5 : 1 + key % 4;
    r.channel = 6 + key % 3;
    r.rec.outcome = roll(50) == 0 ? OUTCOME_CUT : OUTCOME_OK;
    r.rec.http_status = roll(50) == 0 ? 503 : 200;
    r.rec.price_version = 1;
    r.rec.first_byte_us = 100000 + roll(1000000);
    r.rec.end_us = r.rec.first_byte_us + roll(10000000);
    r.rec.request_bytes = roll(100000);
    r.rec.response_bytes = roll(10000);
    r.count[RECORD_INPUT] = roll(20000);
    r.count[RECORD_OUTPUT] = roll(2000);
    r.amount_ucr = 100000;
    r.charge_ucr = roll(100000);
    r.rec.attempt_count = 1;
    r.rec.attempt[0].status = r.rec.http_status;
    return r;
}

static void
fill(struct side *side)
{
    uint64_t batch = MIN(MAX(side->records / 25000, 10u), LEDGER_BATCH_MAX);
    int64_t step_us = SPAN_US / (int64_t)(side->records / batch + 1);
    uint64_t from_ns = now_ns();

    for (uint64_t n = 0; n < side->records;) {
        int64_t end_us = side->wall_us + step_us;

        for (uint64_t i = 0; i < batch && n < side->records; i++, n++) {
            struct batch_item item = {
                .record = call_at(side->wall_us + (int64_t)roll(1000000) * (step_us / 1000000), n)};

            must(ledger_batch_add(side->ledger, &item), "a record");
        }
        side->wall_us = end_us;
        must(ledger_commit(side->ledger), "a commit");
        (void)db_look_after(side->ledger->db);
    }
    side->made_s = (double)(now_ns() - from_ns) / 1e9;
}

static void
ask(struct side *side, const char *request, struct buf *answer)
{
    answer->len = 0;
    must(command_run(side->ledger, str_from(request), "bench", answer), request);
    if (!str_starts_with(buf_str(answer), STR("{\"ok\":true"))) {
        fprintf(stderr, "bench-usage: %s: %.*s\n", request, STR_ARGS(buf_str(answer)));
        exit(2);
    }
}

static void
populate(struct side *side)
{
    struct buf answer;
    char request[128];

    buf_init(&answer, 1 << 20);
    for (uint32_t i = 1; i <= TENANTS; i++) {
        snprintf(request, sizeof(request),
                 "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"t%u-\",\"credit\":\"1000000\"}}", i);
        ask(side, request, &answer);
    }
    buf_free(&answer);
    put_names(side);
    fill(side);
}

static void
make(struct side *side, const char *parent, uint64_t records)
{
    static const struct region_geometry geometry = {
        .account_max = 256, .budget_max = 256, .quota_max = 256, .key_max = 4096, .key_extra_max = 64, .name_max = 256,
        .health_max = 8, .idem_max = 64, .table_max = 4, .slot_max = 64};
    struct ledger_open setup = {.durability = LEDGER_RELAXED,
                                .map_bytes = UINT64_C(32) << 30,
                                .host = {.wall_us = side_wall,
                                         .mono_us = side_mono,
                                         .pause = side_pause,
                                         .table_lives = side_lives,
                                         .arg = side}};
    char path[128];
    struct stat st;

    side->records = records;
    side->wall_us = BEGIN_US;
    snprintf(side->dir, sizeof(side->dir), "%s/%llu", parent, (unsigned long long)records);
    snprintf(side->store, sizeof(side->store), "%s/store", side->dir);
    if (mkdir(side->dir, 0700) != 0 && errno != EEXIST)
        must(-errno, side->dir);
    snprintf(side->memory, sizeof(side->memory), "/dev/shm/bench-usage-XXXXXX");
    if (mkdtemp(side->memory) == NULL)
        must(-errno, side->memory);
    must(region_create(side->memory, &geometry, &side->region), "the region");
    setup.region = side->region;
    setup.store_path = side->store;
    must(ledger_open(&setup, &side->ledger), "the store");
    if (side->ledger->tail.tenant_last == 0)
        populate(side);
    else
        side->wall_us += SPAN_US;
    snprintf(path, sizeof(path), "%.100s/data.mdb", side->store);
    side->bytes = stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static int
on_file(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

/* ---- questions ---- */

/* %1 a key, %2 its member, %3 its project, %4 a minute in the window; @ the last page's end. */
static const struct question {
    const char *name, *text;
} questions[] = {
    {"newest", "call.list|\"tenant\":1"},
    {"newest, next page", "call.list|\"tenant\":1@"},
    {"oldest", "call.list|\"tenant\":1,\"oldest_first\":true"},
    {"from a moment back", "call.list|\"tenant\":1,\"until\":\"%4\""},
    {"by key", "call.list|\"tenant\":1,\"key\":%1"},
    {"by key, next page", "call.list|\"tenant\":1,\"key\":%1@"},
    {"by member", "call.list|\"tenant\":1,\"member\":%2"},
    {"by project", "call.list|\"tenant\":1,\"project\":%3"},
    {"by model", "call.list|\"tenant\":1,\"model\":\"model-a\""},
    {"by rare model", "call.list|\"tenant\":1,\"model\":\"model-r\""},
    {"by channel", "call.list|\"tenant\":1,\"channel\":\"cheap\""},
    {"by status", "call.list|\"tenant\":1,\"status\":503"},
    {"by outcome", "call.list|\"tenant\":1,\"outcome\":\"cut\""},
    {"by project and status", "call.list|\"tenant\":1,\"project\":%3,\"status\":503,\"limit\":10"},
    {"all tenants", "call.list|\"limit\":50"},
    {"all tenants, by status", "call.list|\"status\":503"},
    {"small tenant", "call.list|\"tenant\":7"},
    {"stats", "usage.stats|\"tenant\":1"},
    {"stats of a key", "usage.stats|\"tenant\":1,\"key\":%1"},
    {"stats of a model", "usage.stats|\"tenant\":1,\"model\":\"model-a\""},
    {"stats of all", "usage.stats|\"limit\":1"},
    {"trend by day", "usage.trend|\"tenant\":1,\"by\":\"day\",\"zone\":\"Asia/Kolkata\""},
    {"trend by hour", "usage.trend|\"tenant\":1,\"by\":\"hour\",\"since\":\"2026-11-20\",\"until\":\"2026-11-27\""},
    {"trend of a member", "usage.trend|\"tenant\":1,\"by\":\"day\",\"member\":%2"},
    {"top keys", "usage.top|\"tenant\":1,\"by\":\"key\""},
    {"top models", "usage.top|\"tenant\":1,\"by\":\"model\""},
    {"top members", "usage.top|\"tenant\":1,\"by\":\"member\""},
    {"top channels", "usage.top|\"tenant\":1,\"by\":\"channel\""},
    {"top tenants", "usage.top|\"by\":\"tenant\""},
    {"statement", "usage.statement|\"tenant\":1,\"month\":\"2026-11\",\"zone\":\"Asia/Shanghai\""},
};

/* The same keys on both sides; the pages are each side's own. */
static void
write_request(const struct side *side, const struct question *question, unsigned round, struct buf *out)
{
    uint32_t key = round * 7 % KEYS;
    int64_t minute_us = BEGIN_US + SPAN_US / 3 + (int64_t)(round * 37 % 10000) * 60000000;
    char time[RFC3339_LEN + 1];
    const char *args = strchr(question->text, '|') + 1;

    clock_rfc3339(minute_us, time);
    out->len = 0;
    buf_add_fmt(out, "{\"cmd\":\"%.*s\",\"args\":{", (int)(args - 1 - question->text), question->text);
    for (const char *c = args; *c != '\0'; c++) {
        if (*c == '@' && side->cursor[0] != '\0')
            buf_add_fmt(out, ",\"cursor\":\"%s\"", side->cursor);
        else if (*c == '%' && c[1] != '\0')
            switch (*++c) {
            case '1': buf_add_fmt(out, "%u", 1000 + key); break;
            case '2': buf_add_fmt(out, "%u", 100 + key % 10); break;
            case '3': buf_add_fmt(out, "%u", 100 + key % 5); break;
            case '4': buf_add_fmt(out, "%s", time); break;
            default: break;
            }
        else if (*c != '@')
            buf_add_char(out, *c);
    }
    buf_add_str(out, STR("}}"));
    buf_add_char(out, '\0');
}

static void
keep_cursor(struct side *side, struct buf *answer)
{
    struct js_value value;
    struct js_error err;

    side->cursor[0] = '\0';
    if (!js_check(buf_str(answer), &value, &err))
        return;
    value = js_get(js_get(value, STR("result")), STR("next"));
    str_copy(js_is(value, JS_STRING) ? value.raw : STR_NONE, side->cursor, sizeof(side->cursor));
}

static uint64_t
once(struct side *side, const struct question *question, unsigned round)
{
    struct buf request, answer;
    uint64_t from_ns, took_ns;

    buf_init(&request, 4096);
    buf_init(&answer, 16u << 20);
    if (strchr(question->text, '@') == NULL)
        side->cursor[0] = '\0';
    else { /* the page before, not measured */
        char none[64] = "";

        memcpy(side->cursor, none, 1);
        write_request(side, question, round, &request);
        ask(side, request.ptr, &answer);
        keep_cursor(side, &answer);
    }
    write_request(side, question, round, &request);
    from_ns = now_ns();
    ask(side, request.ptr, &answer);
    took_ns = now_ns() - from_ns;
    buf_free(&request);
    buf_free(&answer);
    return took_ns;
}

static int
u64_cmp(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static double
median_us(uint64_t *took_ns, unsigned count)
{
    qsort(took_ns, count, sizeof(*took_ns), u64_cmp);
    return (double)took_ns[count / 2] / 1e3;
}

static bool
compare(struct side sides[2], unsigned rounds, bool json)
{
    static uint64_t took[2][ROUNDS_MAX];
    bool good = true;

    for (size_t q = 0; q < COUNT_OF(questions); q++) {
        double us[2], ratio;

        for (unsigned r = 0; r < rounds; r++)
            for (unsigned s = 0; s < 2; s++)
                took[s][r] = once(&sides[s], &questions[q], r);
        us[0] = median_us(took[0], rounds);
        us[1] = median_us(took[1], rounds);
        ratio = us[1] / us[0];
        good = good && ratio <= RATIO_MAX;
        printf(json ? "%s{\"question\":\"%s\",\"few_us\":%.1f,\"many_us\":%.1f,\"ratio\":%.2f}"
                    : "%.0s%-24s %10.1f %10.1f %8.2f\n",
               q > 0 ? "," : "", questions[q].name, us[0], us[1], ratio);
    }
    return good;
}

int
main(int argc, char **argv)
{
    struct log_setup quiet = {.process = "bench", .level_max = LOG_LEVEL_ERROR};
    static struct side sides[2];
    uint64_t records[2] = {10000, 10000000};
    unsigned rounds = 41;
    const char *parent = "/tmp", *kept = NULL;
    char dir[128];
    bool json = false, good;

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "0";

        if (strcmp(argv[i], "--json") == 0) {
            json = true;
            continue;
        }
        if (strcmp(argv[i], "-n") == 0)
            records[1] = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "-s") == 0)
            records[0] = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "-r") == 0)
            rounds = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "-d") == 0)
            parent = value;
        else if (strcmp(argv[i], "-k") == 0)
            kept = value;
        i++;
    }
    if (records[0] < 10 || records[1] < 10 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: bench-usage [-n RECORDS] [-s RECORDS] [-r ROUNDS] [-d DIR | -k DIR] [--json]\n");
        return 2;
    }
    log_setup(&quiet);
    snprintf(dir, sizeof(dir), "%.90s%s", kept != NULL ? kept : parent, kept != NULL ? "" : "/bench-usage-XXXXXX");
    if (kept != NULL ? mkdir(dir, 0700) != 0 && errno != EEXIST : mkdtemp(dir) == NULL)
        must(-errno, dir);
    for (unsigned s = 0; s < 2; s++)
        make(&sides[s], dir, records[s]);
    if (json)
        printf("{\"few\":%llu,\"many\":%llu,\"many_bytes\":%llu,\"commit_us\":%.2f,\"questions\":[",
               (unsigned long long)records[0], (unsigned long long)records[1],
               (unsigned long long)sides[1].bytes, sides[1].made_s * 1e6 / (double)records[1]);
    else
        printf("%llu and %llu records; a record takes %.0f bytes and %.2f us of its commit\n\n"
               "%-24s %10s %10s %8s\n",
               (unsigned long long)records[0], (unsigned long long)records[1],
               (double)sides[1].bytes / (double)records[1], sides[1].made_s * 1e6 / (double)records[1],
               "median of a question", "few us", "many us", "times");
    good = compare(sides, rounds, json);
    if (json)
        printf("],\"good\":%s}\n", good ? "true" : "false");
    for (unsigned s = 0; s < 2; s++) {
        ledger_close(&sides[s].ledger);
        region_detach(sides[s].region);
        (void)nftw(sides[s].memory, on_file, 8, FTW_DEPTH | FTW_PHYS);
    }
    if (kept == NULL)
        (void)nftw(dir, on_file, 8, FTW_DEPTH | FTW_PHYS);
    return good ? 0 : 1;
}
