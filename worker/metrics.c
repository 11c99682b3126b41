#include "worker/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "shm/health.h"
#include "shm/names.h"
#include "worker/client.h"

static bool
is_gauge(enum stat_counter stat)
{
    return stat == STAT_CONNECTIONS || stat == STAT_CALLS_OPEN;
}

/* Over all tables that were ever used: a worker's counters outlive it, so the sums never fall. */
static uint64_t
sum(const struct region *region, enum stat_counter stat)
{
    uint64_t ready = atomic_load_explicit(&region->header->table_ready, memory_order_acquire);
    uint64_t total = 0;

    for (uint32_t i = 0; i < region->header->geometry.table_max; i++) {
        bool live = atomic_load_explicit(&region->header->table[i].state, memory_order_relaxed) ==
                    TABLE_LIVE;

        if ((ready >> i & 1) && (live || !is_gauge(stat)))
            total += atomic_load_explicit(&stat_at(region, i)[stat], memory_order_relaxed);
    }
    return total;
}

static void
write_stats(struct buf *out, const struct region *region)
{
    for (unsigned i = 0; i < STAT_COUNT; i++) {
        bool gauge = is_gauge((enum stat_counter)i);
        const char *suffix = gauge ? "" : "_total";
        char name[96];
        size_t n = 0;

        for (const char *at = stat_name[i]; *at && n < sizeof name - 1; at++)
            name[n++] = *at == '-' ? '_' : *at;
        name[n] = '\0';
        if (n > 6 && strcmp(name + n - 6, "_total") == 0)
            suffix = "";
        buf_add_fmt(out, "# TYPE turnpike_%s%s %s\nturnpike_%s%s %" PRIu64 "\n", name, suffix,
                    gauge ? "gauge" : "counter", name, suffix, sum(region, (enum stat_counter)i));
    }
}

static void
write_ledger(struct buf *out, const struct region_header *header)
{
    buf_add_fmt(out, "# TYPE turnpike_ledger_batches_total counter\n"
                     "turnpike_ledger_batches_total %" PRIu64 "\n",
                atomic_load_explicit(&header->batch_count, memory_order_relaxed));
    buf_add_fmt(out, "# TYPE turnpike_ledger_records_total counter\n"
                     "turnpike_ledger_records_total %" PRIu64 "\n",
                atomic_load_explicit(&header->record_count, memory_order_relaxed));
    buf_add_fmt(out, "# TYPE turnpike_restarts_total counter\n"
                     "turnpike_restarts_total{process=\"worker\"} %" PRIu32 "\n"
                     "turnpike_restarts_total{process=\"ledger\"} %" PRIu32 "\n",
                atomic_load_explicit(&header->restarts_worker, memory_order_relaxed),
                atomic_load_explicit(&header->restarts_ledger, memory_order_relaxed));
}

/* Names in routes.conf are free of quotes and backslashes. */
static void
write_upstreams(struct buf *out, const struct worker *w)
{
    buf_add_fmt(out, "# TYPE turnpike_upstream_up gauge\n");
    for (size_t i = 0; i < w->conf->upstream_count; i++)
        buf_add_fmt(out, "turnpike_upstream_up{upstream=\"%.*s\"} %d\n",
                    STR_ARGS(w->conf->upstreams[i].name),
                    w->conf->upstreams[i].disabled_reason == NULL &&
                        (w->pools[i].health == NULL ||
                         health_usable(w->pools[i].health, worker_now_ms(w))));
}

void
metrics_answer(struct client *c)
{
    struct h1_out out;
    struct buf body;

    if (!str_eq(h1_head_path(c->req.head), STR("/metrics"))) {
        struct proto_error error;

        error_set(&error, ERROR_NO_PATH, NULL, NULL, "turnpike: only /metrics is here");
        (void)client_send_error(c, PROTO_OPENAI, &error, STR_NONE, NULL);
        return;
    }
    buf_init(&body, 1u << 20);
    write_stats(&body, c->worker->region);
    write_ledger(&body, c->worker->region->header);
    write_upstreams(&body, c->worker);
    client_head(c, &out, 200, STR_NONE);
    h1_out_own(&out, "content-type: ", STR("text/plain; version=0.0.4; charset=utf-8"));
    (void)client_send_whole(c, &out, buf_str(&body));
    buf_free(&body);
}
