#include "worker/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "shm/health.h"
#include "shm/names.h"
#include "worker/client.h"

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

static void
write_stats(struct buf *out, const struct region *region)
{
    for (unsigned i = 0; i < STAT_COUNT; i++) {
        bool gauge = stat_is_gauge((enum stat_counter)i);
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

/* ---- upstreams ---- */

/* One figure of a credential's line. Names in routes.conf are free of quotes and backslashes. */
struct figure {
    const char *name, *type;
    void (*write)(struct buf *out, const struct worker *w, const struct health *health);
};

static uint32_t
load_u32(const _Atomic uint32_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void
write_micro(struct buf *out, uint32_t micro)
{
    buf_add_fmt(out, "%" PRIu32 ".%06" PRIu32, micro / 1000000, micro % 1000000);
}

static void
write_up(struct buf *out, const struct worker *w, const struct health *health)
{
    buf_add_fmt(out, "%d",
                load_u32(&health->disabled) == 0 &&
                    health_usable(w->region, health, worker_now_ms(w)));
}

static void
write_circuit(struct buf *out, const struct worker *w, const struct health *health)
{
    struct health_view view;

    health_look(health, worker_now_ms(w), &view);
    buf_add_fmt(out, "%d", (int)view.state);
}

static void
write_refused(struct buf *out, const struct worker *w, const struct health *health)
{
    struct health_view view;

    health_look(health, worker_now_ms(w), &view);
    buf_add_fmt(out, "%d", view.state != HEALTH_STATE_CLOSED &&
                               (view.why == HEALTH_AUTH || view.why == HEALTH_DENIED));
}

static void
write_in_flight(struct buf *out, const struct worker *w, const struct health *health)
{
    buf_add_fmt(out, "%" PRIu32, health_load(w->region, health));
}

static void
write_attempts(struct buf *out, const struct worker *w, const struct health *health)
{
    (void)w;
    buf_add_fmt(out, "%" PRIu64, atomic_load_explicit(&health->calls, memory_order_relaxed));
}

static void
write_probes(struct buf *out, const struct worker *w, const struct health *health)
{
    (void)w;
    buf_add_fmt(out, "%" PRIu32, load_u32(&health->probes));
}

static void
write_first_byte(struct buf *out, const struct worker *w, const struct health *health)
{
    (void)w;
    write_micro(out, load_u32(&health->first_byte_us));
}

static void
write_token(struct buf *out, const struct worker *w, const struct health *health)
{
    (void)w;
    write_micro(out, load_u32(&health->us_per_token));
}

static void
write_error_ratio(struct buf *out, const struct worker *w, const struct health *health)
{
    (void)w;
    write_micro(out, load_u32(&health->error_ppm));
}

static const struct figure figures[] = {
    {"turnpike_upstream_up", "gauge", write_up},
    /* 0 closed, 1 open, 2 half open */
    {"turnpike_upstream_circuit", "gauge", write_circuit},
    {"turnpike_upstream_credential_refused", "gauge", write_refused},
    {"turnpike_upstream_in_flight", "gauge", write_in_flight},
    {"turnpike_upstream_attempts_total", "counter", write_attempts},
    {"turnpike_upstream_probes_total", "counter", write_probes},
    {"turnpike_upstream_first_byte_seconds", "gauge", write_first_byte},
    {"turnpike_upstream_token_seconds", "gauge", write_token},
    {"turnpike_upstream_error_ratio", "gauge", write_error_ratio},
};

/* upstream="a", and the credential where it has a name. */
static void
write_labels(struct buf *out, const struct worker *w, const struct health *health)
{
    struct str name = name_text(w->region, health_name_id(health));
    struct str credential =
        name_text(w->region, (uint16_t)load_u32(&health->credential_name));

    buf_add_fmt(out, "upstream=\"%.*s\"", STR_ARGS(name));
    if (credential.len > 0)
        buf_add_fmt(out, ",credential=\"%.*s\"", STR_ARGS(credential));
}

/* Those of the newest routes.conf; NULL for other lines. */
static const struct health *
line_of(const struct worker *w, uint32_t line_idx)
{
    const struct health *health = health_line(w->region, line_idx);

    return health != NULL && health_is_named(w->region, health) ? health : NULL;
}

static void
write_failed(struct buf *out, const struct worker *w, const struct health *health)
{
    for (unsigned why = 0; why < HEALTH_CLASS_COUNT; why++) {
        buf_add_fmt(out, "turnpike_upstream_failed_total{");
        write_labels(out, w, health);
        buf_add_fmt(out, ",class=\"%s\"} %" PRIu32 "\n", health_class_name[why],
                    load_u32(&health->failed[why]));
    }
}

static void
write_upstreams(struct buf *out, const struct worker *w)
{
    uint32_t count = w->region->header->geometry.health_max;

    for (size_t f = 0; f < COUNT_OF(figures); f++) {
        buf_add_fmt(out, "# TYPE %s %s\n", figures[f].name, figures[f].type);
        for (uint32_t i = 0; i < count; i++) {
            const struct health *health = line_of(w, i);

            if (health == NULL)
                continue;
            buf_add_fmt(out, "%s{", figures[f].name);
            write_labels(out, w, health);
            buf_add_fmt(out, "} ");
            figures[f].write(out, w, health);
            buf_add_char(out, '\n');
        }
    }
    buf_add_fmt(out, "# TYPE turnpike_upstream_failed_total counter\n");
    for (uint32_t i = 0; i < count; i++)
        if (line_of(w, i) != NULL)
            write_failed(out, w, line_of(w, i));
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
    buf_init(&body, 8u << 20);
    write_stats(&body, c->worker->region);
    write_ledger(&body, c->worker->region->header);
    write_upstreams(&body, c->worker);
    client_head(c, &out, 200, STR_NONE);
    h1_out_own(&out, "content-type: ", STR("text/plain; version=0.0.4; charset=utf-8"));
    (void)client_send_whole(c, &out, buf_str(&body));
    buf_free(&body);
}
