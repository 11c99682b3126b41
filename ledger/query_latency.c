/*
 * Queries: how long answered calls took, by hour or by day of a window, for all or for one tenant, key or
 * model. On any thread. A percentile is of all calls of its hour or day together.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/str.h"
#include "ledger/core.h"
#include "ledger/query.h"
#include "ledger/rollup.h"

#define BUCKETS_MAX 10000u

struct bucket {
    struct histogram first_byte, total;
};

struct latency {
    uint32_t tenant_id, key_id;
    struct str model;
    int64_t since_us, until_us, unit_us;
    struct bucket *buckets;
    uint32_t count;
    uint32_t first; /* number of the first bucket, since 1970 */
};

static bool
by_arg(struct command *command, struct latency *latency)
{
    struct str by;

    if (!command_str(command, "by", false, &by))
        return false;
    latency->unit_us = str_eq(by, STR("hour")) ? ROLLUP_HOUR_US : ROLLUP_DAY_US;
    if (by.len == 0 || str_eq(by, STR("hour")) || str_eq(by, STR("day")))
        return true;
    command_refuse(command, COMMAND_USAGE, "by: there is no \"%.*s\"", (int)MIN(by.len, 40u), by.ptr);
    command_hint(command, "one of hour, day");
    return false;
}

static bool
latency_args(struct command *command, struct latency *latency)
{
    int64_t count;

    if (!command_tenant(command, "tenant", false, &latency->tenant_id) ||
        !command_id(command, "key", false, &latency->key_id) ||
        !command_str(command, "model", false, &latency->model) ||
        !command_time(command, "since", &latency->since_us) ||
        !command_time(command, "until", &latency->until_us) || !by_arg(command, latency))
        return false;
    if (latency->until_us == 0)
        latency->until_us = ledger_wall_us(command->ledger);
    if (latency->since_us >= latency->until_us || latency->since_us < 0) {
        command_refuse(command, COMMAND_USAGE, "since must be before until");
        return false;
    }
    count = (latency->until_us - 1) / latency->unit_us - latency->since_us / latency->unit_us + 1;
    if (count > BUCKETS_MAX) {
        command_refuse(command, COMMAND_USAGE, "that is too long a time");
        command_hint(command, "name when it begins, or ask by day");
        return false;
    }
    latency->first = (uint32_t)(latency->since_us / latency->unit_us);
    latency->count = (uint32_t)count;
    return true;
}

static int
latency_take(struct command *command, struct latency *latency, const struct rollup_key *key,
             struct str value)
{
    uint32_t at = (uint32_t)(key->bucket * ROLLUP_HOUR_US / latency->unit_us) - latency->first;

    if (latency->key_id != 0 && key->key_id != latency->key_id)
        return 0;
    if (latency->model.len > 0 && !str_eq(query_name(command, key->model), latency->model))
        return 0;
    if (at >= latency->count)
        return 0;
    return rollup_times_read(value, &latency->buckets[at].first_byte, &latency->buckets[at].total)
               ? 0
               : -EILSEQ;
}

/* One tenant's hours in the window. */
static int
latency_walk(struct command *command, struct latency *latency, uint32_t tenant_id)
{
    uint32_t last = (uint32_t)((latency->until_us - 1) / ROLLUP_HOUR_US);
    struct db_key from;
    struct db_walk walk;
    struct str key_bytes, value;
    int rc;

    db_key_start(&from);
    db_key_u8(&from, ROLLUP_HOUR);
    db_key_u32(&from, tenant_id);
    db_key_u32(&from, (uint32_t)(latency->since_us / ROLLUP_HOUR_US));
    rc = db_walk_start(&command->txn, DB_LATENCY, &from, 5, &walk);
    while (rc == 0 && db_walk_next(&walk, &key_bytes, &value)) {
        struct rollup_key key;

        if (!rollup_key_read(key_bytes, &key))
            rc = -EILSEQ;
        else if (key.bucket > last)
            break;
        else
            rc = latency_take(command, latency, &key, value);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

static int
latency_tenants(struct command *command, struct latency *latency)
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    if (latency->tenant_id != 0)
        return latency_walk(command, latency, latency->tenant_id);
    db_key_start(&from);
    rc = db_walk_start(&command->txn, DB_TENANT, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value))
        rc = latency_walk(command, latency, db_u32(key, 0));
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

static void
write_times(struct jw *jw, const char *name, const struct histogram *times)
{
    jw_key(jw, name);
    jw_object(jw);
    jw_key_u64(jw, "p50", histogram_us(times, 500));
    jw_key_u64(jw, "p90", histogram_us(times, 900));
    jw_key_u64(jw, "p99", histogram_us(times, 990));
    jw_object_end(jw);
}

/* Hours or days without answered calls are left out. */
static void
write_rows(struct jw *jw, const struct latency *latency)
{
    bool days = latency->unit_us == ROLLUP_DAY_US;

    jw_key_cstr(jw, "by", days ? "day" : "hour");
    jw_key(jw, "rows");
    jw_array(jw);
    for (uint32_t i = 0; i < latency->count; i++) {
        const struct bucket *bucket = &latency->buckets[i];
        uint64_t calls = histogram_total(&bucket->total);

        if (calls == 0)
            continue;
        jw_object(jw);
        jw_key_time(jw, days ? "day" : "hour",
                    (int64_t)(latency->first + i) * latency->unit_us);
        jw_key_u64(jw, "calls", calls);
        write_times(jw, "first_byte_us", &bucket->first_byte);
        write_times(jw, "total_us", &bucket->total);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

static int
latency_show(struct command *command)
{
    struct latency latency = {0};
    int rc;

    if (!latency_args(command, &latency))
        return 0;
    latency.buckets = calloc(latency.count, sizeof(*latency.buckets));
    if (latency.buckets == NULL)
        return -ENOMEM;
    rc = latency_tenants(command, &latency);
    if (rc == 0)
        write_rows(&command->jw, &latency);
    free(latency.buckets);
    return rc;
}

static int
latency_prepare(struct command *command)
{
    return ledger_commit_all(command->ledger);
}

const struct command_def command_latency_defs[] = {
    {.name = "latency", .kind = COMMAND_READ, .run = latency_show, .prepare = latency_prepare},
    {.name = NULL},
};
