/* Families of the machine's processes: what workers count, each in its own table. */
#include "worker/metric.h"

#include <inttypes.h>

#include "base/held.h"
#include "base/str.h"
#include "net/tls.h"
#include "shm/stats.h"

/* ---- workers' counters ---- */

/* Over all tables that were ever used: a worker's counters outlive it, so the sums never fall. */
static uint64_t
sum(const struct region *region, enum stat_counter stat)
{
    uint64_t ready = atomic_load_explicit(&region->header->table_ready, memory_order_acquire);
    uint64_t total = 0;

    for (uint32_t i = 0; i < region->header->geometry.table_max; i++) {
        bool live = atomic_load_explicit(&region->header->table[i].state, memory_order_relaxed) ==
                    TABLE_LIVE;

        if ((ready >> i & 1) && (live || !stat_is_gauge(stat)))
            total += atomic_load_explicit(&stat_at(region, i)[stat], memory_order_relaxed);
    }
    return total;
}

/* A counter as a line: NULL no labels. */
struct line {
    const char *labels;
    enum stat_counter stat;
};
struct lines {
    const struct line *at;
    size_t count;
};

static void
write_stats(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    const struct lines *lines = metric->arg;

    (void)item;
    for (size_t i = 0; i < lines->count; i++) {
        uint64_t value = sum(w->region, lines->at[i].stat);

        if (lines->at[i].labels != NULL)
            buf_add_fmt(out, "%s{%s} %" PRIu64 "\n", metric->name, lines->at[i].labels, value);
        else
            buf_add_fmt(out, "%s %" PRIu64 "\n", metric->name, value);
    }
}

/* The sum of micro-credits, in credits. */
static void
write_credits(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    const struct lines *lines = metric->arg;

    (void)item;
    buf_add_fmt(out, "%s ", metric->name);
    metric_micro(out, sum(w->region, lines->at[0].stat));
    buf_add_char(out, '\n');
}

static const struct line refused[] = {
    {"reason=\"malformed\"", STAT_BAD_REQUESTS},
    {"reason=\"key\"", STAT_UNAUTHORIZED},
    {"reason=\"forbidden\"", STAT_FORBIDDEN},
    {"reason=\"credit\"", STAT_NO_CREDIT},
    {"reason=\"limit\"", STAT_LIMITED},
    {"reason=\"unavailable\"", STAT_UNAVAILABLE},
    {"reason=\"overload\"", STAT_CALLS_REFUSED},
};
static const struct line shadowed[] = {
    {"limit=\"rpm\"", STAT_SHADOWED_REQUESTS},
    {"limit=\"tpm\"", STAT_SHADOWED_TOKENS},
    {"limit=\"concurrency\"", STAT_SHADOWED_CONCURRENCY},
    {"limit=\"budget\"", STAT_SHADOWED_BUDGETS},
};
static const struct line handshakes[] = {
    {"kind=\"full\"", STAT_TLS_FULL},
    {"kind=\"resumed\"", STAT_TLS_RESUMED},
};

#define LINES(all) (&(const struct lines){all, COUNT_OF(all)})
#define ONE(counter) (&(const struct lines){&(const struct line){NULL, counter}, 1})
#define GAUGE(name, counter, help) {name, "gauge", help, NULL, write_stats, ONE(counter)}
#define COUNTER(name, counter, help) {name, "counter", help, NULL, write_stats, ONE(counter)}

/* ---- the process's own ---- */

static void
write_build(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    (void)item;
    buf_add_fmt(out, "%s{version=\"%s\",layout=\"%" PRIu32 "\"} 1\n", metric->name,
                TURNPIKE_VERSION, w->region->header->layout_version);
}

static uint64_t
since_start_us(const struct worker *w)
{
    int64_t us = worker_wall_us(w) - atomic_load_explicit(&w->region->header->started_wall_us,
                                                          memory_order_relaxed);

    return (uint64_t)MAX(us, 0);
}

static void
write_uptime(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    (void)item;
    buf_add_fmt(out, "%s ", metric->name);
    metric_micro(out, since_start_us(w));
    buf_add_char(out, '\n');
}

static void
write_restarts(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    const struct region_header *header = w->region->header;

    (void)item;
    buf_add_fmt(out,
                "%s{process=\"worker\"} %" PRIu32 "\n%s{process=\"ledger\"} %" PRIu32
                "\n%s{process=\"manage\"} %" PRIu32 "\n",
                metric->name, atomic_load_explicit(&header->restarts_worker, memory_order_relaxed),
                metric->name, atomic_load_explicit(&header->restarts_ledger, memory_order_relaxed),
                metric->name, atomic_load_explicit(&header->restarts_manage, memory_order_relaxed));
}

static uint32_t
workers(const struct worker *w)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < w->region->header->geometry.table_max; i++)
        count += atomic_load_explicit(&w->region->header->table[i].state, memory_order_relaxed) ==
                 TABLE_LIVE;
    return count;
}

static void
write_workers(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    (void)item;
    buf_add_fmt(out, "%s %" PRIu32 "\n", metric->name, workers(w));
}

static void
write_generation(const struct metric *metric, struct buf *out, const struct worker *w,
                 uint32_t item)
{
    (void)item;
    buf_add_fmt(out, "%s %" PRIu32 "\n", metric->name,
                atomic_load_explicit(&w->region->header->generation, memory_order_relaxed));
}

/* Bounds, over all workers, of what is measured beside them. */
static void
write_connections_max(const struct metric *metric, struct buf *out, const struct worker *w,
                      uint32_t item)
{
    (void)item;
    buf_add_fmt(out, "%s %" PRIu64 "\n", metric->name,
                (uint64_t)w->connections_max * w->inherit->worker_count);
}

static void
write_calls_max(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    (void)item;
    buf_add_fmt(out, "%s %" PRIu64 "\n", metric->name,
                (uint64_t)w->calls_max * w->inherit->worker_count);
}

static void
write_held_max(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    (void)item;
    buf_add_fmt(out, "%s %" PRIu64 "\n", metric->name,
                w->limits->memory_bytes * w->inherit->worker_count);
}

static uint32_t
certificates(const struct worker *w)
{
    return w->inherit->certificate_count;
}

static void
write_certificate(const struct metric *metric, struct buf *out, const struct worker *w,
                  uint32_t item)
{
    /* Read once: a worker keeps its certificates for life. */
    static struct tls_dates dates[16];

    if (item >= COUNT_OF(dates) ||
        (dates[item].count == 0 &&
         !tls_chain_dates(w->inherit->certificates[item].chain_pem, &dates[item])))
        return;
    buf_add_fmt(out, "%s{certificate=\"%" PRIu32 "\",", metric->name, item + 1);
    metric_label(out, "name", str_from(dates[item].name));
    buf_add_fmt(out, "} %" PRId64 "\n", dates[item].end_s);
}

static const struct metric metrics[] = {
    {"turnpike_build_info", "gauge", "Always 1: what runs, in its labels.", NULL, write_build, NULL},
    {"turnpike_uptime_seconds", "gauge", "Since the server's start.", NULL, write_uptime, NULL},
    {"turnpike_workers", "gauge", "Worker processes, those that drain included.", NULL,
     write_workers, NULL},
    {"turnpike_config_generation", "gauge", "Counts the readings of routes.conf.", NULL,
     write_generation, NULL},
    {"turnpike_restarts_total", "counter", "Processes that ended and were started again.", NULL,
     write_restarts, NULL},
    {"turnpike_certificate_expiry_timestamp_seconds", "gauge",
     "When the first certificate of a chain that is served ends.", certificates, write_certificate,
     NULL},

    GAUGE("turnpike_connections_open", STAT_CONNECTIONS, "Connections of clients that are open."),
    {"turnpike_connections_max", "gauge", "Connections of clients that may be open.", NULL,
     write_connections_max, NULL},
    COUNTER("turnpike_connections_total", STAT_CONNECTIONS_TOTAL,
            "Connections that were opened, those for metrics included."),
    COUNTER("turnpike_connections_refused_total", STAT_CONNECTIONS_REFUSED,
            "Connections that were refused, since their address had too many."),
    {"turnpike_tls_handshakes_total", "counter", "TLS handshakes with clients.", NULL, write_stats,
     LINES(handshakes)},
    GAUGE("turnpike_held_bytes", STAT_HELD_BYTES, "What bodies and buffers of the workers hold."),
    {"turnpike_held_max_bytes", "gauge", "What bodies and buffers of the workers may hold.", NULL,
     write_held_max, NULL},

    COUNTER("turnpike_requests_total", STAT_REQUESTS, "HTTP requests that were read."),
    {"turnpike_requests_refused_total", "counter",
     "Requests that were answered with an error before anything was held for them.", NULL,
     write_stats, LINES(refused)},
    {"turnpike_limits_shadowed_total", "counter",
     "What limits and budgets in shadow mode would have refused.", NULL, write_stats, LINES(shadowed)},
    GAUGE("turnpike_calls_open", STAT_CALLS_OPEN, "Calls between admission and settlement."),
    {"turnpike_calls_max", "gauge", "Calls that may be under way.", NULL, write_calls_max, NULL},
    GAUGE("turnpike_calls_waiting", STAT_CALLS_WAITING,
          "Calls that wait for room in providers' limits."),
    COUNTER("turnpike_calls_admitted_total", STAT_CALLS, "Calls that credit was held for."),
    COUNTER("turnpike_streams_total", STAT_STREAMS, "Calls that asked for a stream."),
    COUNTER("turnpike_calls_waited_total", STAT_CALLS_WAITED,
            "Calls that had to wait for room in providers' limits."),
    COUNTER("turnpike_clients_gone_total", STAT_CLIENT_GONE,
            "Calls whose client went away before the answer's end."),
    GAUGE("turnpike_realtime_sessions", STAT_REALTIME_SESSIONS, "Realtime sessions that are open."),
    COUNTER("turnpike_attempts_total", STAT_ATTEMPTS, "Tries at upstreams."),
    COUNTER("turnpike_attempts_failed_total", STAT_ATTEMPTS_FAILED,
            "Tries at upstreams that failed."),
    {"turnpike_failed_attempts_cost_credits_total", "counter",
     "What failed tries may have cost the operator, at list price times cost.", NULL, write_credits,
     ONE(STAT_OPERATOR_UCR)},
    COUNTER("turnpike_upstream_errors_total", STAT_UPSTREAM_FAILED,
            "Calls that were answered with 502 or 504."),
    COUNTER("turnpike_usage_flagged_total", STAT_USAGE_FLAGGED,
            "Answers whose reported usage was not plausible."),
    COUNTER("turnpike_model_mismatch_total", STAT_MODEL_MISMATCH,
            "Tries and answers by another model than the one asked for."),
    COUNTER("turnpike_unpriced_total", STAT_UNPRICED,
            "Answers with units that the model states no price for."),
    COUNTER("turnpike_sent_bytes_total", STAT_BYTES_TO_CLIENTS, "Bytes that were sent to clients."),
    COUNTER("turnpike_received_bytes_total", STAT_BYTES_FROM_UPSTREAMS,
            "Bytes of answers that came from upstreams."),
};
const struct metric_table metric_process = {metrics, COUNT_OF(metrics)};
