#include "telemetry/series.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "shm/names.h"

#define BOUNDS_MAX 16u
#define ERROR_BYTES 24

/* As the conventions want them. In microseconds, and tokens. */
static const uint64_t duration_bounds[] = {10000,   20000,   40000,   80000,    160000,
                                           320000,  640000,  1280000, 2560000,  5120000,
                                           10240000, 20480000, 40960000, 81920000};
static const uint64_t first_bounds[] = {1000,   5000,   10000,   20000,   40000,   60000,
                                        80000,  100000, 250000,  500000,  750000,  1000000,
                                        2500000, 5000000, 7500000, 10000000};
static const uint64_t token_bounds[] = {1,     4,     16,     64,      256,     1024,     4096,
                                        16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864};

enum metric { DURATION = 0, FIRST_TOKEN, TOKENS_IN, TOKENS_OUT, METRIC_COUNT };

static const struct {
    const uint64_t *bounds;
    size_t count;
    bool is_time;
} shape[METRIC_COUNT] = {
    [DURATION] = {duration_bounds, COUNT_OF(duration_bounds), true},
    [FIRST_TOKEN] = {first_bounds, COUNT_OF(first_bounds), true},
    [TOKENS_IN] = {token_bounds, COUNT_OF(token_bounds), false},
    [TOKENS_OUT] = {token_bounds, COUNT_OF(token_bounds), false},
};

struct histogram {
    uint64_t count, sum;
    uint64_t bucket[BOUNDS_MAX + 1];
};

struct series {
    const char *operation, *provider; /* static text */
    uint16_t model;                   /* name id */
    char error[ERROR_BYTES];          /* "": none */
    char reported[RECORD_MODEL_BYTES + 1];
    struct histogram of[METRIC_COUNT];
    uint64_t charge_ucr;
};

struct series_set {
    int64_t start_wall_us;
    size_t count;
    struct series at[SERIES_MAX + 1]; /* the last is all others */
};

struct series_set *
series_new(int64_t start_wall_us)
{
    struct series_set *set = calloc(1, sizeof(*set));

    if (set != NULL)
        set->start_wall_us = start_wall_us;
    return set;
}

void
series_free(struct series_set **set)
{
    free(*set);
    *set = NULL;
}

/* ---- adding ---- */

static void
add(struct histogram *h, enum metric metric, uint64_t value)
{
    size_t i = 0;

    while (i < shape[metric].count && value > shape[metric].bounds[i])
        i++;
    h->bucket[i]++;
    h->count++;
    h->sum += value;
}

static bool
same(const struct series *a, const struct series *b)
{
    return a->operation == b->operation && a->provider == b->provider && a->model == b->model &&
           strcmp(a->error, b->error) == 0 && strcmp(a->reported, b->reported) == 0;
}

static struct series *
find(struct series_set *set, const struct series *key)
{
    for (size_t i = 0; i < set->count; i++)
        if (same(&set->at[i], key))
            return &set->at[i];
    if (set->count == SERIES_MAX)
        return &set->at[SERIES_MAX];
    set->at[set->count] = *key;
    return &set->at[set->count++];
}

/* The provider of the call: who answered, else who was tried last. */
static const struct provider *
provider_tried(const struct teller *teller, const struct call_event *event)
{
    const struct provider *p = teller_provider(teller, event->upstream);

    for (unsigned i = MIN(event->attempt_count, RECORD_ATTEMPTS_MAX); p == NULL && i-- > 0;)
        if (event->attempt[i].reason != REASON_AT_LIMIT)
            p = teller_provider(teller, event->attempt[i].upstream);
    return p;
}

void
series_add(struct series_set *set, const struct teller *teller, const struct call_event *event)
{
    const struct provider *provider = provider_tried(teller, event);
    struct series key = {0}, *series;
    char text[8];
    const char *error = call_error(event, text);

    if (event->refused || provider == NULL)
        return;
    key.operation = call_operation(teller_endpoint(teller, event));
    key.provider = provider->name;
    key.model = event->model;
    str_copy(str_from(error), key.error, sizeof(key.error));
    str_copy((struct str){event->model_reported,
                          strnlen(event->model_reported, sizeof(event->model_reported))},
             key.reported, sizeof(key.reported));
    series = find(set, &key);
    if (event->end_us > 0)
        add(&series->of[DURATION], DURATION, event->end_us);
    if ((event->flags & RECORD_STREAM) != 0 && event->first_byte_us > 0)
        add(&series->of[FIRST_TOKEN], FIRST_TOKEN, event->first_byte_us);
    if (event->upstream != 0) {
        add(&series->of[TOKENS_IN], TOKENS_IN, call_event_tokens_in(event));
        add(&series->of[TOKENS_OUT], TOKENS_OUT, record_tokens_out(event->count));
    }
    series->charge_ucr += (uint64_t)MAX(event->charge_ucr, 0);
}

/* ---- telling ---- */

struct telling {
    const struct series_set *set;
    const struct teller *teller;
    struct jw *jw;
    int64_t now_wall_us;
};

static void
key_text(struct jw *jw, const char *key, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    jw_key_cstr(jw, key, text);
}

static void
value_of(struct jw *jw, enum metric metric, uint64_t value)
{
    if (shape[metric].is_time)
        jw_seconds(jw, value);
    else
        jw_u64(jw, value);
}

static void
point_begin(const struct telling *t, const struct series *s, enum metric metric)
{
    struct jw *jw = t->jw;

    jw_object(jw);
    key_text(jw, "startTimeUnixNano", (uint64_t)t->set->start_wall_us * 1000);
    key_text(jw, "timeUnixNano", (uint64_t)t->now_wall_us * 1000);
    jw_key(jw, "attributes");
    jw_array(jw);
    if (metric == TOKENS_IN || metric == TOKENS_OUT)
        attribute_str(jw, "gen_ai.token.type", metric == TOKENS_IN ? STR("input") : STR("output"));
    if (s == &t->set->at[SERIES_MAX]) {
        jw_raw(jw, STR("{\"key\":\"otel.metric.overflow\",\"value\":{\"boolValue\":true}}"));
    } else {
        attribute_str(jw, "gen_ai.operation.name", str_from(s->operation));
        attribute_str(jw, "gen_ai.provider.name", str_from(s->provider));
        attribute_str(jw, "gen_ai.request.model", name_text(t->teller->region, s->model));
        attribute_str(jw, "gen_ai.response.model", str_from(s->reported));
        attribute_str(jw, "error.type", str_from(s->error));
    }
    jw_array_end(jw);
}

static void
write_point(const struct telling *t, const struct series *s, enum metric metric)
{
    const struct histogram *h = &s->of[metric];
    struct jw *jw = t->jw;

    if (h->count == 0)
        return;
    point_begin(t, s, metric);
    key_text(jw, "count", h->count);
    jw_key(jw, "sum");
    value_of(jw, metric, h->sum);
    jw_key(jw, "bucketCounts");
    jw_array(jw);
    for (size_t i = 0; i <= shape[metric].count; i++) {
        char text[24];

        (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)h->bucket[i]);
        jw_cstr(jw, text);
    }
    jw_array_end(jw);
    jw_key(jw, "explicitBounds");
    jw_array(jw);
    for (size_t i = 0; i < shape[metric].count; i++)
        value_of(jw, metric, shape[metric].bounds[i]);
    jw_array_end(jw);
    jw_object_end(jw);
}

/* One metric; of tokens both kinds are points of the same. */
static void
write_histogram(const struct telling *t, const char *name, const char *unit, enum metric first,
                enum metric last)
{
    struct jw *jw = t->jw;
    uint64_t count = 0;

    for (size_t i = 0; i <= SERIES_MAX; i++)
        for (int metric = (int)first; metric <= (int)last; metric++)
            count += t->set->at[i].of[metric].count;
    if (count == 0)
        return;
    jw_object(jw);
    jw_key_cstr(jw, "name", name);
    jw_key_cstr(jw, "unit", unit);
    jw_key(jw, "histogram");
    jw_object(jw);
    jw_key_u64(jw, "aggregationTemporality", 2); /* cumulative */
    jw_key(jw, "dataPoints");
    jw_array(jw);
    for (size_t i = 0; i <= SERIES_MAX; i++)
        for (int metric = (int)first; metric <= (int)last; metric++)
            write_point(t, &t->set->at[i], (enum metric)metric);
    jw_array_end(jw);
    jw_object_end(jw);
    jw_object_end(jw);
}

static void
sum_begin(const struct telling *t, const char *name, const char *unit)
{
    jw_object(t->jw);
    jw_key_cstr(t->jw, "name", name);
    jw_key_cstr(t->jw, "unit", unit);
    jw_key(t->jw, "sum");
    jw_object(t->jw);
    jw_key_u64(t->jw, "aggregationTemporality", 2);
    jw_key_bool(t->jw, "isMonotonic", true);
    jw_key(t->jw, "dataPoints");
    jw_array(t->jw);
}

static void
sum_end(const struct telling *t)
{
    jw_array_end(t->jw);
    jw_object_end(t->jw);
    jw_object_end(t->jw);
}

static void
write_sums(const struct telling *t, uint64_t dropped)
{
    bool any = false;

    for (size_t i = 0; i <= SERIES_MAX; i++) {
        if (t->set->at[i].charge_ucr == 0)
            continue;
        if (!any)
            sum_begin(t, "turnpike.charge", "{microcredit}");
        any = true;
        point_begin(t, &t->set->at[i], DURATION);
        key_text(t->jw, "asInt", t->set->at[i].charge_ucr);
        jw_object_end(t->jw);
    }
    if (any)
        sum_end(t);
    sum_begin(t, "turnpike.telemetry.dropped", "{call}");
    jw_object(t->jw);
    key_text(t->jw, "startTimeUnixNano", (uint64_t)t->set->start_wall_us * 1000);
    key_text(t->jw, "timeUnixNano", (uint64_t)t->now_wall_us * 1000);
    key_text(t->jw, "asInt", dropped);
    jw_object_end(t->jw);
    sum_end(t);
}

bool
series_write(const struct series_set *set, const struct teller *teller, uint64_t dropped,
             int64_t now_wall_us, struct buf *out)
{
    struct jw jw;
    const struct telling t = {set, teller, &jw, now_wall_us};

    jw_init(&jw, out);
    jw_object(&jw);
    jw_key(&jw, "resourceMetrics");
    jw_array(&jw);
    jw_object(&jw);
    teller_resource(teller, &jw);
    jw_key(&jw, "scopeMetrics");
    jw_array(&jw);
    jw_object(&jw);
    teller_scope(&jw);
    jw_key(&jw, "metrics");
    jw_array(&jw);
    write_histogram(&t, "gen_ai.client.operation.duration", "s", DURATION, DURATION);
    write_histogram(&t, "gen_ai.client.token.usage", "{token}", TOKENS_IN, TOKENS_OUT);
    write_histogram(&t, "gen_ai.server.time_to_first_token", "s", FIRST_TOKEN, FIRST_TOKEN);
    write_sums(&t, dropped);
    jw_array_end(&jw);
    jw_object_end(&jw);
    jw_array_end(&jw);
    jw_object_end(&jw);
    jw_array_end(&jw);
    jw_object_end(&jw);
    return !out->failed;
}
