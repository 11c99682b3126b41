/* Families of what was served, from the series that the ledger process keeps (shm/series.h). */
#include "worker/metric.h"

#include <inttypes.h>

#include "base/str.h"
#include "shm/names.h"
#include "shm/record.h"
#include "shm/series.h"

static uint64_t
load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static uint32_t
count(const struct worker *w)
{
    return series_count(w->region);
}

static uint32_t
once(const struct worker *w)
{
    (void)w;
    return 1;
}

/* ---- labels ---- */

static bool
is_other(const struct series_key *key)
{
    return key->model == 0 && key->channel == 0 && key->upstream == 0 && key->tenant_id == 0;
}

/* Of a route: model, channel, upstream. */
static void
route_labels(struct buf *out, const struct worker *w, const struct series_key *key)
{
    bool other = is_other(key);

    metric_label(out, "model", other ? STR("other") : name_text(w->region, key->model));
    buf_add_char(out, ',');
    metric_label(out, "channel", other ? STR("other") : name_text(w->region, key->channel));
    buf_add_char(out, ',');
    metric_label(out, "upstream", other ? STR("other") : name_text(w->region, key->upstream));
}

static void
tenant_labels(struct buf *out, const struct series_key *key)
{
    if (is_other(key)) {
        buf_add_fmt(out, "tenant=\"other\"");
        return;
    }
    buf_add_fmt(out, "tenant=\"%" PRIu32 "\"", key->tenant_id);
    if (key->key_id != 0)
        buf_add_fmt(out, ",key=\"%" PRIu32 "\"", key->key_id);
}

static void
labels_of(struct buf *out, const struct worker *w, const struct series_key *key)
{
    if (key->kind == SERIES_TENANT)
        tenant_labels(out, key);
    else
        route_labels(out, w, key);
}

/* The series, when it is of that kind. */
static const struct series *
of_kind(const struct worker *w, uint32_t item, enum series_kind kind)
{
    const struct series *s = series_at(w->region, item);

    return s->key.kind == kind ? s : NULL;
}

/* ---- counts ---- */

/* A number of each series, in whole or in credits; where there is nothing there is no line. */
struct figure {
    enum series_kind kind;
    size_t off; /* in struct series */
};

static void
write_credits(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    const struct figure *figure = metric->arg;
    const struct series *s = of_kind(w, item, figure->kind);
    uint64_t ucr;

    if (s == NULL || (is_other(&s->key) && load(&s->charge_ucr) == 0))
        return;
    ucr = load((const _Atomic uint64_t *)(const void *)((const char *)s + figure->off));
    buf_add_fmt(out, "%s{", metric->name);
    labels_of(out, w, &s->key);
    buf_add_fmt(out, "} ");
    metric_micro(out, ucr);
    buf_add_char(out, '\n');
}

static void
write_calls(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    const struct series *s = of_kind(w, item, SERIES_ROUTE);

    for (unsigned p = 0; s != NULL && p < SERIES_PROTOCOLS; p++)
        for (unsigned o = 0; o < OUTCOME_COUNT; o++) {
            if (load(&s->calls[p][o]) == 0)
                continue;
            buf_add_fmt(out, "%s{", metric->name);
            route_labels(out, w, &s->key);
            buf_add_fmt(out, ",protocol=\"%s\",outcome=\"%s\"} %" PRIu64 "\n",
                        proto_protocol_name[p], record_outcome_name[o], load(&s->calls[p][o]));
        }
}

static void
write_tenant_calls(const struct metric *metric, struct buf *out, const struct worker *w,
                   uint32_t item)
{
    const struct series *s = of_kind(w, item, SERIES_TENANT);
    uint64_t calls = 0;

    for (unsigned p = 0; s != NULL && p < SERIES_PROTOCOLS; p++)
        for (unsigned o = 0; o < OUTCOME_COUNT; o++)
            calls += load(&s->calls[p][o]);
    if (calls == 0)
        return;
    buf_add_fmt(out, "%s{", metric->name);
    tenant_labels(out, &s->key);
    buf_add_fmt(out, "} %" PRIu64 "\n", calls);
}

/* Some classes of what is counted: those from first until last. */
struct classes {
    enum series_kind kind;
    enum record_class first, last;
};

static void
write_counts(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    const struct classes *classes = metric->arg;
    const struct series *s = of_kind(w, item, classes->kind);

    for (unsigned c = classes->first; s != NULL && c < classes->last; c++) {
        if (load(&s->count[c]) == 0)
            continue;
        buf_add_fmt(out, "%s{", metric->name);
        labels_of(out, w, &s->key);
        buf_add_fmt(out, ",kind=\"%s\"} %" PRIu64 "\n", record_class_name[c], load(&s->count[c]));
    }
}

static void
write_status(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    const struct series_head *head = series_head(w->region);

    (void)item;
    for (unsigned p = 0; p < SERIES_PROTOCOLS; p++)
        for (unsigned i = 0; i < SERIES_STATUS_COUNT; i++)
            if (load(&head->status[p][i]) != 0)
                buf_add_fmt(out, "%s{protocol=\"%s\",code=\"%u\"} %" PRIu64 "\n", metric->name,
                            proto_protocol_name[p], SERIES_STATUS_FIRST + i,
                            load(&head->status[p][i]));
}

static void
write_series(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    (void)item;
    buf_add_fmt(out, "%s %" PRIu32 "\n", metric->name, series_count(w->region));
}

static void
write_other(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    (void)item;
    buf_add_fmt(out, "%s %" PRIu64 "\n", metric->name, load(&series_head(w->region)->other));
}

/* ---- times ---- */

static void
write_bound(struct buf *out, uint32_t us)
{
    unsigned digits = 6;

    buf_add_fmt(out, "%" PRIu32, us / 1000000);
    us %= 1000000;
    for (; us != 0 && us % 10 == 0; digits--)
        us /= 10;
    if (us != 0)
        buf_add_fmt(out, ".%0*" PRIu32, (int)digits, us);
}

/* One sum of the buckets is their count, too: whatever is counted meanwhile, it fits the last one. */
static void
write_times(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    const enum series_time *time = metric->arg;
    const struct series *s = of_kind(w, item, SERIES_ROUTE);
    const struct series_histogram *h;
    uint64_t total = 0;

    if (s == NULL)
        return;
    h = &s->time[*time];
    for (unsigned b = 0; b <= SERIES_BUCKETS; b++)
        total += load(&h->bucket[b]);
    if (total == 0)
        return;
    total = 0;
    for (unsigned b = 0; b <= SERIES_BUCKETS; b++) {
        total += load(&h->bucket[b]);
        buf_add_fmt(out, "%s_bucket{", metric->name);
        route_labels(out, w, &s->key);
        buf_add_fmt(out, ",le=\"");
        if (b < SERIES_BUCKETS)
            write_bound(out, series_bound_us[*time][b]);
        else
            buf_add_fmt(out, "+Inf");
        buf_add_fmt(out, "\"} %" PRIu64 "\n", total);
    }
    buf_add_fmt(out, "%s_sum{", metric->name);
    route_labels(out, w, &s->key);
    buf_add_fmt(out, "} ");
    metric_micro(out, load(&h->sum_us));
    buf_add_fmt(out, "\n%s_count{", metric->name);
    route_labels(out, w, &s->key);
    buf_add_fmt(out, "} %" PRIu64 "\n", total);
}

#define CREDITS(kind, field) \
    write_credits, (&(const struct figure){kind, offsetof(struct series, field)})
#define CLASSES(kind, first, last) write_counts, (&(const struct classes){kind, first, last})
#define TIME(time) write_times, (&(const enum series_time){time})

static const struct metric metrics[] = {
    {"turnpike_calls_total", "counter", "Calls that were settled and committed.", count,
     write_calls, NULL},
    {"turnpike_responses_total", "counter", "Calls by the status that the client got.", once,
     write_status, NULL},
    {"turnpike_tokens_total", "counter", "Tokens, by kind.", count,
     CLASSES(SERIES_ROUTE, RECORD_INPUT, RECORD_TOKEN_CLASS_COUNT)},
    {"turnpike_units_total", "counter",
     "What is not tokens: images, seconds, characters, requests, searches.", count,
     CLASSES(SERIES_ROUTE, RECORD_TOKEN_CLASS_COUNT, RECORD_CLASS_COUNT)},
    {"turnpike_charged_credits_total", "counter", "Credits that were charged.", count,
     CREDITS(SERIES_ROUTE, charge_ucr)},
    {"turnpike_uncollected_credits_total", "counter", "What calls cost beyond what was held.",
     count, CREDITS(SERIES_ROUTE, uncollected_ucr)},
    {"turnpike_first_byte_seconds", "histogram",
     "From the request to the first byte of the answer that served it.", count,
     TIME(SERIES_FIRST_BYTE)},
    {"turnpike_output_token_seconds", "histogram",
     "Of whole streams: from the first byte to the end, a token after the first.", count,
     TIME(SERIES_TOKEN)},
    {"turnpike_call_seconds", "histogram", "From the request to the end.", count,
     TIME(SERIES_CALL)},
    {"turnpike_tenant_calls_total", "counter", "Calls of tenants, where routes.conf asks for by-tenant or by-key.",
     count, write_tenant_calls, NULL},
    {"turnpike_tenant_tokens_total", "counter", "Tokens of tenants, likewise.", count,
     CLASSES(SERIES_TENANT, RECORD_INPUT, RECORD_TOKEN_CLASS_COUNT)},
    {"turnpike_tenant_charged_credits_total", "counter", "Credits that tenants were charged, likewise.",
     count, CREDITS(SERIES_TENANT, charge_ucr)},
    {"turnpike_series", "gauge", "Combinations of labels that are told apart.", once, write_series,
     NULL},
    {"turnpike_series_other_total", "counter",
     "Records that were counted as other, since there were too many combinations.", once,
     write_other, NULL},
};
const struct metric_table metric_series = {metrics, COUNT_OF(metrics)};
