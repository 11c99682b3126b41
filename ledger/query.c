/* Queries: usage, the receipt of a call, the state of the processes. On any thread. */
#include "ledger/command.h"
#include "ledger/core.h"
#include "ledger/entity.h"
#include "ledger/rollup.h"

#include "base/clock.h"
#include "base/str.h"
#include "base/ucr.h"
#include "conf/conf.h"
#include "shm/stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CALL_TEXT_LEN 31 /* "call_" and 26 digits */
#define US_PER_MINUTE INT64_C(60000000)

/* ---- names ---- */

static struct str
name_of(struct command *command, uint32_t id)
{
    struct db_key key = db_key_of_u32(id);
    struct str text;

    return id != 0 && db_get(&command->txn, DB_NAME, &key, &text) == 0 ? text : STR_NONE;
}

static void
write_name(struct command *command, const char *key, uint32_t id)
{
    struct str text = name_of(command, id);

    jw_key(&command->jw, key);
    if (text.len > 0)
        jw_str(&command->jw, text);
    else
        jw_null(&command->jw);
}

/* Of the server that wrote last: see ledger_keep_names(). */
static void
write_numbered_name(struct command *command, const char *key, const char *list, uint32_t number)
{
    struct js_value names, value, none;
    struct js_error err;
    struct js_iter it;
    struct str text;

    jw_key(&command->jw, key);
    if (db_meta_get(&command->txn, "names", &text) == 0 && js_check(text, &names, &err))
        for (js_iter_init(&it, js_get(names, str_from(list))); js_next(&it, &none, &value);)
            if (it.index == number && js_is(value, JS_STRING)) {
                jw_str(&command->jw, value.raw); /* plain words: nothing to unescape */
                return;
            }
    if (strcmp(list, "protocol") == 0 && number < CONF_PROTOCOL_COUNT)
        jw_cstr(&command->jw, conf_protocol_name[number]);
    else
        jw_u64(&command->jw, number);
}

/* ---- call.show ---- */

static int
digit_of(char c)
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    const char *at = memchr(digits, c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c, 32);

    return at != NULL ? (int)(at - digits) : -1;
}

static bool
call_id_parse(struct str text, uint8_t id[16])
{
    uint64_t hi = 0, lo = 0;

    if (text.len != CALL_TEXT_LEN || !str_starts_with(text, STR("call_")))
        return false;
    for (size_t i = 5; i < text.len; i++) {
        int digit = digit_of(text.ptr[i]);

        if (digit < 0 || hi >> 59 != 0)
            return false;
        hi = hi << 5 | lo >> 59;
        lo = lo << 5 | (uint64_t)digit;
    }
    for (int i = 0; i < 8; i++) {
        id[i] = (uint8_t)(hi >> (56 - 8 * i));
        id[8 + i] = (uint8_t)(lo >> (56 - 8 * i));
    }
    return true;
}

static int64_t
call_id_wall_us(const uint8_t id[16])
{
    int64_t ms = 0;

    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id[i];
    return MIN(ms, INT64_MAX / 1000) * 1000;
}

static const char *const flag_name[] = {
    "stream",   "usage-zero-output", "usage-far-below", "usage-over-hold", "extension",
    "extended", NULL,                "usage-estimated", "swept",
};

static void
write_flags(struct jw *jw, uint32_t flags)
{
    jw_key(jw, "flags");
    jw_array(jw);
    for (size_t i = 0; i < COUNT_OF(flag_name); i++)
        if ((flags >> i & 1) != 0 && flag_name[i] != NULL)
            jw_cstr(jw, flag_name[i]);
    jw_array_end(jw);
}

static void
write_attempts(struct command *command, const struct block_record *r)
{
    struct jw *jw = &command->jw;

    jw_key(jw, "attempts");
    jw_array(jw);
    for (unsigned i = 0; i < r->rec.attempt_count; i++) {
        const struct record_attempt *a = &r->rec.attempt[i];

        jw_object(jw);
        write_name(command, "upstream", r->attempt_upstream[i]);
        jw_key_u64(jw, "status", a->status);
        jw_key_cstr(jw, "reason",
                    a->reason < REASON_COUNT ? record_reason_name[a->reason] : "unknown");
        jw_key_u64(jw, "start_ms", a->start_ms);
        jw_key_u64(jw, "took_ms", a->took_ms);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

static void
write_tokens(struct jw *jw, const struct record *rec)
{
    jw_key(jw, "tokens");
    jw_object(jw);
    jw_key_u64(jw, "input", rec->input_tokens);
    jw_key_u64(jw, "cache_read", rec->cache_read_tokens);
    jw_key_u64(jw, "cache_write_5m", rec->cache_write_5m_tokens);
    jw_key_u64(jw, "cache_write_1h", rec->cache_write_1h_tokens);
    jw_key_u64(jw, "output", rec->output_tokens);
    jw_key_u64(jw, "reasoning", rec->reasoning_tokens);
    jw_object_end(jw);
}

/* A call as it stands in the store: its first slot's record, and the money of all its slots. */
struct receipt {
    struct block_record record;
    int64_t held_ucr, charge_ucr, uncollected_ucr;
    bool found; /* its first slot; an extension alone is a call that runs still */
};

static void
write_receipt(struct command *command, struct str id, const struct receipt *receipt)
{
    const struct block_record *r = &receipt->record;
    const struct record *rec = &r->rec;
    struct jw *jw = &command->jw;
    char hex[17];
    uint64_t version = __builtin_bswap64(rec->price_version);

    jw_key_str(jw, "id", id);
    jw_key_u64(jw, "tenant", r->tenant_id);
    jw_key_cstr(jw, "tenant_name", command_tenant_name(command, r->tenant_id));
    jw_key_u64(jw, "key", rec->key_id);
    write_name(command, "model", r->model);
    jw_key_str(jw, "model_reported",
               (struct str){rec->model_reported, strnlen(rec->model_reported, RECORD_MODEL_BYTES)});
    write_name(command, "channel", r->channel);
    write_name(command, "upstream", r->upstream);
    write_numbered_name(command, "protocol", "protocol", rec->protocol);
    write_numbered_name(command, "endpoint", "endpoint", rec->endpoint);
    jw_key_bool(jw, "stream", rec->flags & RECORD_STREAM);
    jw_key_u64(jw, "status", rec->http_status);
    jw_key_cstr(jw, "outcome", record_outcome_name[rec->outcome]);
    jw_key_time(jw, "started", rec->start_wall_us);
    jw_key(jw, "first_byte_ms");
    if (rec->first_byte_us != 0)
        jw_u64(jw, rec->first_byte_us / 1000);
    else
        jw_null(jw);
    jw_key(jw, "duration_ms");
    if (rec->end_us != 0)
        jw_u64(jw, rec->end_us / 1000);
    else
        jw_null(jw);
    write_tokens(jw, rec);
    jw_key_ucr(jw, "held", receipt->held_ucr);
    jw_key_ucr(jw, "charge", receipt->charge_ucr);
    jw_key_ucr(jw, "uncollected", receipt->uncollected_ucr);
    str_hex(&version, sizeof(version), hex);
    jw_key_cstr(jw, "price_version", hex);
    jw_key_bool(jw, "durable", true);
    write_flags(jw, rec->flags);
    write_attempts(command, r);
}

static int
receipt_from_block(const struct block *block, const uint8_t id[16], uint32_t tenant_id,
                   struct receipt *receipt)
{
    struct block_record record;
    int rc = 0;

    for (uint32_t nth = 0; (rc = block_find(block, id, tenant_id, nth, &record)) == 0; nth++) {
        if (!ucr_add(receipt->held_ucr, record.amount_ucr, &receipt->held_ucr) ||
            !ucr_add(receipt->charge_ucr, record.charge_ucr, &receipt->charge_ucr))
            return -EILSEQ;
        if (record.rec.flags & RECORD_EXTENSION)
            continue;
        receipt->record = record;
        receipt->uncollected_ucr = record.rec.uncollected_ucr;
        receipt->found = true;
    }
    return rc == -ENOENT ? 0 : rc;
}

/*
 * Blocks that hold calls of that minute, from the call's start on. A call with one slot is done with the
 * block that has it; the slots of an extended one may be in two.
 */
static int
find_in_minute(struct command *command, uint32_t minute, const uint8_t id[16], uint32_t tenant_id,
               struct receipt *receipt)
{
    uint64_t block_key = (uint64_t)call_id_wall_us(id);
    uint32_t after = 0; /* blocks read since it was found */
    int rc;

    while ((rc = db_minute_next(&command->txn, minute, block_key, &block_key)) == 0) {
        struct db_key key = db_key_of_u64(block_key++);
        struct block block;
        struct str bytes;

        rc = db_get(&command->txn, DB_BLOCK, &key, &bytes);
        if (rc == 0)
            rc = block_open(bytes, &block);
        if (rc == 0)
            rc = receipt_from_block(&block, id, tenant_id, receipt);
        if (rc < 0)
            return rc == -ENOENT ? -EILSEQ : rc;
        if (receipt->found &&
            (!(receipt->record.rec.flags & RECORD_EXTENDED) || ++after > 64))
            return 0;
    }
    return rc == -ENOENT ? 0 : rc;
}

static int
call_show(struct command *command)
{
    struct receipt *receipt = arena_zalloc(&command->arena, sizeof(*receipt));
    uint32_t tenant_id, minute, minutes[3];
    uint8_t id[16];
    struct str text;
    int rc = 0;

    if (receipt == NULL)
        return -ENOMEM;
    if (!command_str(command, "id", true, &text) ||
        !command_tenant(command, "tenant", false, &tenant_id))
        return 0;
    if (!call_id_parse(text, id)) {
        command_refuse(command, COMMAND_USAGE, "\"%.*s\" is not a call's ID",
                       (int)MIN(text.len, 48u), text.ptr);
        command_hint(command, "it is in the x-request-id of the answer and starts with call_");
        return 0;
    }
    minute = (uint32_t)(call_id_wall_us(id) / US_PER_MINUTE);
    /* Its start is taken a moment before or after the ID is made. */
    minutes[0] = minute;
    minutes[1] = minute + 1;
    minutes[2] = minute - MIN(minute, 1u);
    for (unsigned i = 0; rc == 0 && !receipt->found && i < COUNT_OF(minutes); i++) {
        memset(receipt, 0, sizeof(*receipt));
        rc = find_in_minute(command, minutes[i], id, tenant_id, receipt);
    }
    if (rc < 0)
        return rc;
    if (receipt->found) {
        write_receipt(command, text, receipt);
        return 0;
    }
    /* Perhaps it was settled a moment ago: the caller commits and asks again, once. */
    if (command->state == NULL) {
        command->missed = true;
        command->state = receipt;
        return 0;
    }
    command_refuse(command, COMMAND_FAILED, "there is no call %.*s", STR_ARGS(text));
    command_hint(command, "a call is recorded when it has ended");
    return 0;
}

static int
call_show_prepare(struct command *command)
{
    return ledger_commit_all(command->ledger);
}

/* ---- usage ---- */

enum usage_by { BY_HOUR = 0, BY_DAY, BY_MODEL, BY_KEY, BY_COUNT };
static const char *const usage_by_name[] = {"hour", "day", "model", "key"};
_Static_assert(COUNT_OF(usage_by_name) == BY_COUNT, "a new order needs a name");

struct usage_row {
    uint32_t of; /* hour, day, model's name id or key */
    struct rollup sum;
};

struct usage {
    enum usage_by by;
    uint32_t tenant_id, key_id;
    struct str model;
    int64_t since_us, until_us;
    struct usage_row *rows;
    size_t row_count, row_cap;
    struct rollup total;
};

static int
row_cmp(const void *a, const void *b)
{
    const struct usage_row *x = a, *y = b;

    return x->of < y->of ? -1 : x->of > y->of;
}

static void
rows_merge(struct usage *usage)
{
    size_t merged = 0;

    if (usage->row_count == 0)
        return;
    qsort(usage->rows, usage->row_count, sizeof(*usage->rows), row_cmp);
    for (size_t i = 0; i < usage->row_count; i++) {
        if (merged > 0 && usage->rows[merged - 1].of == usage->rows[i].of)
            rollup_add(&usage->rows[merged - 1].sum, &usage->rows[i].sum);
        else
            usage->rows[merged++] = usage->rows[i];
    }
    usage->row_count = merged;
}

/* Merges before it grows, so that memory is bounded by the rows of the answer. */
static int
row_add(struct usage *usage, uint32_t of, const struct rollup *sum)
{
    if (usage->row_count > 0 && usage->rows[usage->row_count - 1].of == of) {
        rollup_add(&usage->rows[usage->row_count - 1].sum, sum);
        return 0;
    }
    if (usage->row_count == usage->row_cap)
        rows_merge(usage);
    if (usage->row_count >= usage->row_cap / 2) {
        size_t cap = MAX(usage->row_cap * 2, 256u);
        struct usage_row *rows = realloc(usage->rows, cap * sizeof(*rows));

        if (rows == NULL)
            return -ENOMEM;
        usage->rows = rows;
        usage->row_cap = cap;
    }
    usage->rows[usage->row_count++] = (struct usage_row){.of = of, .sum = *sum};
    return 0;
}

static int
usage_take(struct command *command, struct usage *usage, const struct rollup_key *key,
           const struct rollup *sum)
{
    uint32_t of = 0;

    if (usage->key_id != 0 && key->key_id != usage->key_id)
        return 0;
    if (usage->model.len > 0 && !str_eq(name_of(command, key->model), usage->model))
        return 0;
    switch (usage->by) {
    case BY_HOUR:
    case BY_DAY: of = key->bucket; break;
    case BY_MODEL: of = key->model; break;
    case BY_KEY: of = key->key_id; break;
    case BY_COUNT: break;
    }
    rollup_add(&usage->total, sum);
    return row_add(usage, of, sum);
}

/* One tenant's totals in the window: its keys stand in order of the hour or day. */
static int
usage_walk(struct command *command, struct usage *usage, uint32_t tenant_id, uint8_t period)
{
    int64_t unit_us = period == ROLLUP_HOUR ? ROLLUP_HOUR_US : ROLLUP_DAY_US;
    uint32_t first = (uint32_t)(usage->since_us / unit_us);
    uint32_t last = (uint32_t)((usage->until_us - 1) / unit_us);
    struct db_key from;
    struct db_walk walk;
    struct str key_bytes, value;
    int rc;

    db_key_start(&from);
    db_key_u8(&from, period);
    db_key_u32(&from, tenant_id);
    db_key_u32(&from, first);
    rc = db_walk_start(&command->txn, DB_ROLLUP, &from, 5, &walk);
    while (rc == 0 && db_walk_next(&walk, &key_bytes, &value)) {
        struct rollup_key key;
        struct rollup sum;

        if (!rollup_key_read(key_bytes, &key) || !rollup_read(value, &sum))
            rc = -EILSEQ;
        else if (key.bucket > last)
            break;
        else
            rc = usage_take(command, usage, &key, &sum);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

static bool
usage_args(struct command *command, struct usage *usage)
{
    struct str by;

    if (!command_tenant(command, "tenant", false, &usage->tenant_id) ||
        !command_id(command, "key", false, &usage->key_id) ||
        !command_str(command, "model", false, &usage->model) ||
        !command_str(command, "by", false, &by) ||
        !command_time(command, "since", &usage->since_us) ||
        !command_time(command, "until", &usage->until_us))
        return false;
    usage->by = BY_DAY;
    for (unsigned i = 0; by.len > 0 && i <= BY_COUNT; i++) {
        if (i == BY_COUNT) {
            command_refuse(command, COMMAND_USAGE, "by: there is no \"%.*s\"",
                           (int)MIN(by.len, 40u), by.ptr);
            command_hint(command, "one of hour, day, model, key");
            return false;
        }
        if (str_eq(by, str_from(usage_by_name[i]))) {
            usage->by = (enum usage_by)i;
            break;
        }
    }
    if (usage->until_us == 0)
        usage->until_us = ledger_wall_us(command->ledger) + ROLLUP_HOUR_US;
    usage->until_us = MIN(usage->until_us, INT64_C(253402300799000000));
    if (usage->since_us >= usage->until_us) {
        command_refuse(command, COMMAND_USAGE, "since must be before until");
        return false;
    }
    return true;
}

static void
write_rollup(struct jw *jw, const struct rollup *sum)
{
    jw_key_u64(jw, "calls", sum->calls);
    jw_key_u64(jw, "errors", sum->errors);
    jw_key(jw, "tokens");
    jw_object(jw);
    jw_key_u64(jw, "input", sum->input_tokens);
    jw_key_u64(jw, "cache_read", sum->cache_read_tokens);
    jw_key_u64(jw, "cache_write_5m", sum->cache_write_5m_tokens);
    jw_key_u64(jw, "cache_write_1h", sum->cache_write_1h_tokens);
    jw_key_u64(jw, "output", sum->output_tokens);
    jw_key_u64(jw, "reasoning", sum->reasoning_tokens);
    jw_object_end(jw);
    jw_key_ucr(jw, "charge", sum->charge_ucr);
    jw_key_ucr(jw, "uncollected", sum->uncollected_ucr);
}

static void
write_rows(struct command *command, const struct usage *usage)
{
    struct jw *jw = &command->jw;

    jw_key_cstr(jw, "by", usage_by_name[usage->by]);
    jw_key_time(jw, "since", usage->since_us);
    jw_key_time(jw, "until", usage->until_us);
    jw_key(jw, "rows");
    jw_array(jw);
    for (size_t i = 0; i < usage->row_count; i++) {
        const struct usage_row *row = &usage->rows[i];

        jw_object(jw);
        switch (usage->by) {
        case BY_HOUR: jw_key_time(jw, "hour", row->of * ROLLUP_HOUR_US); break;
        case BY_DAY: jw_key_time(jw, "day", row->of * ROLLUP_DAY_US); break;
        case BY_MODEL: write_name(command, "model", row->of); break;
        case BY_KEY: jw_key_u64(jw, "key", row->of); break;
        case BY_COUNT: break;
        }
        write_rollup(jw, &row->sum);
        jw_object_end(jw);
    }
    jw_array_end(jw);
    jw_key(jw, "total");
    jw_object(jw);
    write_rollup(jw, &usage->total);
    jw_object_end(jw);
}

static int
usage_tenants(struct command *command, struct usage *usage, uint8_t period)
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    if (usage->tenant_id != 0)
        return usage_walk(command, usage, usage->tenant_id, period);
    db_key_start(&from);
    rc = db_walk_start(&command->txn, DB_TENANT, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value))
        rc = usage_walk(command, usage, db_u32(key, 0), period);
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

/* Hours are exact for any window that begins and ends on one; days are used where they can be. */
static int
usage_show(struct command *command)
{
    struct usage usage = {0};
    bool days;
    int rc;

    if (!usage_args(command, &usage))
        return 0;
    days = usage.by == BY_DAY || (usage.by != BY_HOUR && usage.since_us % ROLLUP_DAY_US == 0 &&
                                  (usage.until_us % ROLLUP_DAY_US == 0 ||
                                   usage.until_us > ledger_wall_us(command->ledger)));
    rc = usage_tenants(command, &usage, days ? ROLLUP_DAY : ROLLUP_HOUR);
    if (rc == 0) {
        rows_merge(&usage);
        write_rows(command, &usage);
    }
    free(usage.rows);
    return rc;
}

static int
usage_prepare(struct command *command)
{
    return ledger_commit_all(command->ledger);
}

/* ---- status ---- */

static uint64_t
stat_of(const struct region *region, uint32_t table, enum stat_counter stat)
{
    _Atomic uint64_t *stats = stat_at(region, table);

    return stats != NULL ? atomic_load_explicit(&stats[stat], memory_order_relaxed) : 0;
}

static uint64_t
write_workers(struct jw *jw, struct region *region)
{
    uint64_t lag = 0;

    jw_key(jw, "workers");
    jw_array(jw);
    for (uint32_t t = 0; t < region->header->geometry.table_max; t++) {
        const struct region_table *table = &region->header->table[t];
        struct hold_view view;

        if (hold_view_open(region, t, &view))
            lag += hold_view_waiting(&view);
        if (atomic_load_explicit(&table->state, memory_order_acquire) != TABLE_LIVE)
            continue;
        jw_object(jw);
        jw_key_u64(jw, "pid", atomic_load_explicit(&table->pid, memory_order_relaxed));
        jw_key_u64(jw, "generation",
                   atomic_load_explicit(&table->generation, memory_order_relaxed));
        jw_key_u64(jw, "number", table->worker_number);
        jw_key_u64(jw, "connections", stat_of(region, t, STAT_CONNECTIONS));
        jw_key_u64(jw, "calls", stat_of(region, t, STAT_CALLS_OPEN));
        jw_key_u64(jw, "calls_total", stat_of(region, t, STAT_CALLS));
        jw_key_time(jw, "started",
                    atomic_load_explicit(&table->started_wall_us, memory_order_relaxed));
        jw_object_end(jw);
    }
    jw_array_end(jw);
    return lag;
}

static int
status_show(struct command *command)
{
    struct region *region = command->ledger->region;
    const struct region_header *header = region->header;
    int64_t started_us = atomic_load_explicit(&header->started_wall_us, memory_order_relaxed);
    int64_t now_us = ledger_wall_us(command->ledger);
    struct jw *jw = &command->jw;
    uint64_t lag;

    jw_key(jw, "master");
    jw_object(jw);
    jw_key_u64(jw, "pid", atomic_load_explicit(&header->master_pid, memory_order_relaxed));
    jw_key_bool(jw, "draining", atomic_load_explicit(&header->draining, memory_order_relaxed) != 0);
    jw_object_end(jw);
    lag = write_workers(jw, region);
    jw_key(jw, "ledger");
    jw_object(jw);
    jw_key_u64(jw, "pid", atomic_load_explicit(&header->ledger_pid, memory_order_relaxed));
    jw_key_u64(jw, "lag", lag);
    jw_key_cstr(jw, "durability", ledger_durability_name[command->ledger->durability]);
    jw_key_u64(jw, "seq", atomic_load_explicit(&header->applied_seq, memory_order_relaxed));
    jw_key_u64(jw, "records", atomic_load_explicit(&header->record_count, memory_order_relaxed));
    jw_key_bool(jw, "full", atomic_load_explicit(&header->stop_taking, memory_order_relaxed) != 0);
    jw_object_end(jw);
    jw_key(jw, "manage");
    jw_object(jw);
    jw_key(jw, "pid");
    jw_null(jw);
    jw_object_end(jw);
    jw_key_u64(jw, "generation", atomic_load_explicit(&header->generation, memory_order_relaxed));
    jw_key_time(jw, "started", started_us);
    jw_key_u64(jw, "uptime_s",
               started_us > 0 && now_us > started_us ? (uint64_t)(now_us - started_us) / 1000000
                                                     : 0);
    jw_key_u64(jw, "restarts_worker",
               atomic_load_explicit(&header->restarts_worker, memory_order_relaxed));
    jw_key_u64(jw, "restarts_ledger",
               atomic_load_explicit(&header->restarts_ledger, memory_order_relaxed));
    jw_key(jw, "listeners");
    jw_raw(jw, command->ledger->listeners.len > 0 ? command->ledger->listeners : STR("[]"));
    return 0;
}

const struct command_def command_query_defs[] = {
    {.name = "call.show", .kind = COMMAND_READ, .run = call_show, .prepare = call_show_prepare,
     .prepare_on_miss = true},
    {.name = "usage", .kind = COMMAND_READ, .run = usage_show, .prepare = usage_prepare},
    {.name = "status", .kind = COMMAND_READ, .run = status_show},
    {.name = NULL},
};
