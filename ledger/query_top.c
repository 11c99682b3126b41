/*
 * Queries: what `turnpike top` shows, in one answer. Counters of the workers' tables, sums of the last
 * minutes, upstreams. The main thread adds up a few slices of time; the rest is on any thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "ledger/core.h"
#include "ledger/query.h"
#include "shm/stats.h"

#define ROWS_MAX 100u /* of models, and of tenants */

static int
top_prepare(struct command *command)
{
    struct ledger *ledger = command->ledger;
    struct recent_sum *sum = arena_alloc(&command->arena, sizeof(*sum));

    if (sum == NULL)
        return -ENOMEM;
    command->state = sum;
    return recent_sum(ledger->recent, ledger->host.mono_us(ledger->host.arg), &command->arena, sum);
}

/* ---- counters ---- */

/* Of all that was ever counted, or, of what is now, of living workers. */
static uint64_t
stat_sum(const struct region *region, enum stat_counter stat)
{
    uint64_t total = 0;

    for (uint32_t t = 0; t < region->header->geometry.table_max; t++) {
        const _Atomic uint64_t *stats = stat_at(region, t);
        bool lives = atomic_load_explicit(&region->header->table[t].state, memory_order_acquire) ==
                     TABLE_LIVE;

        if (stats != NULL && (lives || !stat_is_gauge(stat)))
            total += atomic_load_explicit(&stats[stat], memory_order_relaxed);
    }
    return total;
}

static void
write_stats(struct jw *jw, const struct region *region)
{
    jw_key_u64(jw, "connections", stat_sum(region, STAT_CONNECTIONS));
    jw_key_u64(jw, "calls_open", stat_sum(region, STAT_CALLS_OPEN));
    jw_key_u64(jw, "calls_waiting", stat_sum(region, STAT_CALLS_WAITING));
    jw_key(jw, "since_start");
    jw_object(jw);
    jw_key_u64(jw, "calls", stat_sum(region, STAT_CALLS));
    jw_key_u64(jw, "tokens_in", stat_sum(region, STAT_TOKENS_IN));
    jw_key_u64(jw, "tokens_out", stat_sum(region, STAT_TOKENS_OUT));
    jw_key_ucr(jw, "charge", (int64_t)stat_sum(region, STAT_SPENT_UCR));
    jw_object_end(jw);
}

/* ---- the last minutes ---- */

static void
write_count(struct jw *jw, const struct recent_count *count)
{
    jw_key_u64(jw, "calls", count->calls);
    jw_key_u64(jw, "errors", count->errors);
    jw_key_u64(jw, "tokens_in", count->tokens_in);
    jw_key_u64(jw, "tokens_out", count->tokens_out);
    jw_key_ucr(jw, "charge", count->charge_ucr);
}

static void
write_times(struct jw *jw, const char *name, const struct histogram *times)
{
    jw_key(jw, name);
    jw_object(jw);
    jw_key_u64(jw, "calls", histogram_total(times));
    jw_key_u64(jw, "p50", histogram_us(times, 500));
    jw_key_u64(jw, "p90", histogram_us(times, 900));
    jw_key_u64(jw, "p99", histogram_us(times, 990));
    jw_object_end(jw);
}

struct row {
    uint32_t of; /* tenant, or model's name id */
    struct recent_count count;
};

static int
row_cmp_of(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    return x->of < y->of ? -1 : x->of > y->of;
}

static int
row_cmp_calls(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    if (x->count.calls != y->count.calls)
        return x->count.calls > y->count.calls ? -1 : 1;
    return row_cmp_of(a, b);
}

/* By tenant, or by model: each once, those with the most calls first. */
static uint32_t
rows_of(const struct recent_sum *sum, bool by_tenant, struct row *rows)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < sum->part_count; i++)
        rows[i] = (struct row){by_tenant ? sum->parts[i].tenant_id : sum->parts[i].model,
                               sum->parts[i].count};
    qsort(rows, sum->part_count, sizeof(*rows), row_cmp_of);
    for (uint32_t i = 0; i < sum->part_count; i++) {
        if (count > 0 && rows[count - 1].of == rows[i].of)
            recent_count_add(&rows[count - 1].count, &rows[i].count);
        else
            rows[count++] = rows[i];
    }
    qsort(rows, count, sizeof(*rows), row_cmp_calls);
    return count;
}

/* One of no tenant and model is all that found no room of its own: its name is null. */
static void
write_name(struct command *command, bool of_tenants, uint32_t of)
{
    if (!of_tenants) {
        query_write_name(command, "model", of);
        return;
    }
    jw_key_u64(&command->jw, "id", of);
    jw_key_cstr(&command->jw, "tenant", of != 0 ? command_tenant_name(command, of) : NULL);
}

static int
write_rows(struct command *command, const struct recent_sum *sum, bool of_tenants)
{
    struct jw *jw = &command->jw;
    struct row *rows = arena_alloc(&command->arena, sizeof(*rows) * (sum->part_count + 1));
    uint32_t count;

    if (rows == NULL)
        return -ENOMEM;
    count = rows_of(sum, of_tenants, rows);
    jw_key(jw, of_tenants ? "tenants" : "models");
    jw_array(jw);
    for (uint32_t i = 0; i < MIN(count, ROWS_MAX); i++) {
        jw_object(jw);
        write_name(command, of_tenants, rows[i].of);
        write_count(jw, &rows[i].count);
        jw_object_end(jw);
    }
    jw_array_end(jw);
    return 0;
}

static void
write_recent(struct jw *jw, const struct recent_sum *sum)
{
    jw_key(jw, "last_minute");
    jw_object(jw);
    jw_key_u64(jw, "ms", sum->minute_us / 1000);
    write_count(jw, &sum->minute);
    jw_object_end(jw);
    jw_key_u64(jw, "window_ms", sum->window_us / 1000);
    write_times(jw, "first_byte_us", &sum->first_byte);
    write_times(jw, "total_us", &sum->total);
}

static int
top_show(struct command *command)
{
    struct region *region = command->ledger->region;
    const struct region_header *header = region->header;
    const struct recent_sum *sum = command->state;
    int64_t now_us = ledger_wall_us(command->ledger);
    int64_t started_us = atomic_load_explicit(&header->started_wall_us, memory_order_relaxed);
    struct jw *jw = &command->jw;
    uint64_t lag;
    int rc;

    jw_key_time(jw, "at", now_us);
    jw_key_u64(jw, "uptime_s",
               now_us > started_us ? (uint64_t)(now_us - started_us) / 1000000 : 0);
    jw_key_u64(jw, "generation", atomic_load_explicit(&header->generation, memory_order_relaxed));
    jw_key_bool(jw, "draining", atomic_load_explicit(&header->draining, memory_order_relaxed) != 0);
    jw_key_bool(jw, "full", atomic_load_explicit(&header->stop_taking, memory_order_relaxed) != 0);
    write_stats(jw, region);
    write_recent(jw, sum);
    lag = query_write_workers(jw, region);
    jw_key_u64(jw, "lag", lag);
    query_write_upstreams(command);
    rc = write_rows(command, sum, false);
    return rc == 0 ? write_rows(command, sum, true) : rc;
}

const struct command_def command_top_defs[] = {
    {.name = "top", .kind = COMMAND_READ, .run = top_show, .prepare = top_prepare},
    {.name = NULL},
};
