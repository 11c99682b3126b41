/* Usage: rollups of a window, summed by hour, day, model or key. On any thread. */
#include "ledger/core.h"
#include "ledger/query.h"
#include "ledger/rollup.h"

#include "base/str.h"

#include <errno.h>
#include <stdlib.h>

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
    if (usage->model.len > 0 && !str_eq(query_name(command, key->model), usage->model))
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
        case BY_MODEL: query_write_name(command, "model", row->of); break;
        case BY_KEY: jw_key_u64(jw, "key", row->of); break;
        case BY_COUNT: break;
        }
        query_write_rollup(jw, &row->sum);
        jw_object_end(jw);
    }
    jw_array_end(jw);
    jw_key(jw, "total");
    jw_object(jw);
    query_write_rollup(jw, &usage->total);
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

const struct command_def command_usage_defs[] = {
    {.name = "usage", .kind = COMMAND_READ, .run = usage_show, .prepare = usage_prepare},
    {.name = NULL},
};
