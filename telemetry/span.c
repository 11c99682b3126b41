#include "telemetry/span.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/trace.h"
#include "base/ucr.h"
#include "shm/call_id.h"
#include "shm/names.h"

enum { KIND_SERVER = 2, KIND_CLIENT = 3, STATUS_ERROR = 2 };

/* ---- pieces ---- */

void
jw_seconds(struct jw *jw, uint64_t us)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%llu.%06llu", (unsigned long long)(us / 1000000),
                       (unsigned long long)(us % 1000000));

    jw_raw(jw, (struct str){text, (size_t)len});
}

void
attribute_str(struct jw *jw, const char *key, struct str value)
{
    if (value.len == 0)
        return;
    jw_object(jw);
    jw_key_cstr(jw, "key", key);
    jw_key(jw, "value");
    jw_object(jw);
    jw_key_str(jw, "stringValue", value);
    jw_object_end(jw);
    jw_object_end(jw);
}

/* 64-bit integers are text in the JSON of protocol buffers. */
static void
key_text_u64(struct jw *jw, const char *key, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    jw_key_cstr(jw, key, text);
}

void
attribute_u64(struct jw *jw, const char *key, uint64_t value)
{
    jw_object(jw);
    jw_key_cstr(jw, "key", key);
    jw_key(jw, "value");
    jw_object(jw);
    key_text_u64(jw, "intValue", value);
    jw_object_end(jw);
    jw_object_end(jw);
}

static void
attribute_seconds(struct jw *jw, const char *key, uint64_t us)
{
    jw_object(jw);
    jw_key_cstr(jw, "key", key);
    jw_key(jw, "value");
    jw_object(jw);
    jw_key(jw, "doubleValue");
    jw_seconds(jw, us);
    jw_object_end(jw);
    jw_object_end(jw);
}

static void
attribute_bool(struct jw *jw, const char *key, bool value)
{
    jw_object(jw);
    jw_key_cstr(jw, "key", key);
    jw_key(jw, "value");
    jw_object(jw);
    jw_key_bool(jw, "boolValue", value);
    jw_object_end(jw);
    jw_object_end(jw);
}

void
teller_resource(const struct teller *teller, struct jw *jw)
{
    jw_key(jw, "resource");
    jw_object(jw);
    jw_key(jw, "attributes");
    jw_array(jw);
    attribute_str(jw, "service.name", str_from(teller->service));
    attribute_str(jw, "service.version", STR(TURNPIKE_VERSION));
    attribute_str(jw, "service.instance.id", str_from(teller->instance));
    jw_array_end(jw);
    jw_object_end(jw);
}

void
teller_scope(struct jw *jw)
{
    jw_key(jw, "scope");
    jw_object(jw);
    jw_key_cstr(jw, "name", "turnpike");
    jw_key_cstr(jw, "version", TURNPIKE_VERSION);
    jw_object_end(jw);
}

const char *
teller_endpoint(const struct teller *teller, const struct call_event *event)
{
    return event->endpoint < teller->endpoint_name_count ? teller->endpoint_name[event->endpoint]
                                                         : NULL;
}

const struct provider *
teller_provider(const struct teller *teller, uint16_t upstream)
{
    return provider_of(&teller->providers, name_text(teller->region, upstream));
}

static void
key_hex(struct jw *jw, const char *key, const uint8_t *bytes, size_t len)
{
    char hex[2 * TRACE_ID_BYTES + 1];

    ASSERT(len <= TRACE_ID_BYTES);
    str_hex(bytes, len, hex);
    jw_key_cstr(jw, key, hex);
}

/* ---- what spans have in common ---- */

struct span {
    unsigned n, kind; /* 0 the call, else its n-th attempt */
    uint64_t begin_us, end_us; /* after the call's start */
    uint16_t model; /* name id */
};

static void
write_name(const struct teller *teller, const struct call_event *event, uint16_t model,
           struct jw *jw)
{
    const char *operation = call_operation(teller_endpoint(teller, event));
    struct str name = name_text(teller->region, model);
    char text[192];

    (void)snprintf(text, sizeof(text), "%s%s%.*s", operation, name.len > 0 ? " " : "",
                   STR_ARGS(name));
    jw_key_cstr(jw, "name", text);
}

static void
key_nanos(struct jw *jw, const char *key, int64_t wall_us)
{
    key_text_u64(jw, key, (uint64_t)MAX(wall_us, 0) * 1000);
}

/* Opens the span, up to its attributes. */
static void
span_begin(const struct teller *teller, const struct call_event *event, const struct span *span,
           struct jw *jw)
{
    bool has_parent = (event->flags & RECORD_TRACE_PARENT) != 0;
    uint8_t id[TRACE_SPAN_BYTES];

    jw_object(jw);
    key_hex(jw, "traceId", has_parent ? event->trace_id : event->call_id, TRACE_ID_BYTES);
    trace_span_id(event->call_id, span->n, id);
    key_hex(jw, "spanId", id, sizeof(id));
    if (span->n > 0) {
        trace_span_id(event->call_id, 0, id);
        key_hex(jw, "parentSpanId", id, sizeof(id));
    } else if (has_parent) {
        key_hex(jw, "parentSpanId", event->trace_parent, sizeof(event->trace_parent));
    }
    jw_key_u64(jw, "flags", TRACE_SAMPLED);
    write_name(teller, event, span->model, jw);
    jw_key_u64(jw, "kind", span->kind);
    key_nanos(jw, "startTimeUnixNano", event->start_wall_us + (int64_t)span->begin_us);
    key_nanos(jw, "endTimeUnixNano", event->start_wall_us + (int64_t)span->end_us);
    jw_key(jw, "attributes");
    jw_array(jw);
    attribute_str(jw, "gen_ai.operation.name",
                  str_from(call_operation(teller_endpoint(teller, event))));
}

static void
span_end(struct jw *jw, bool failed)
{
    jw_array_end(jw);
    if (failed) {
        jw_key(jw, "status");
        jw_object(jw);
        jw_key_u64(jw, "code", STATUS_ERROR);
        jw_object_end(jw);
    }
    jw_object_end(jw);
}

/* ---- the call ---- */

static void
write_usage(const struct call_event *event, struct jw *jw)
{
    const uint32_t *n = event->count;
    uint64_t written = (uint64_t)n[RECORD_CACHE_WRITE_5M] + n[RECORD_CACHE_WRITE_1H];
    char charge[UCR_TEXT_LEN + 1];

    attribute_u64(jw, "gen_ai.usage.input_tokens", call_event_tokens_in(event));
    attribute_u64(jw, "gen_ai.usage.output_tokens", record_tokens_out(n));
    if (n[RECORD_CACHE_READ] > 0)
        attribute_u64(jw, "gen_ai.usage.cache_read.input_tokens", n[RECORD_CACHE_READ]);
    if (written > 0)
        attribute_u64(jw, "gen_ai.usage.cache_creation.input_tokens", written);
    if (n[RECORD_REASONING] > 0)
        attribute_u64(jw, "gen_ai.usage.reasoning.output_tokens", n[RECORD_REASONING]);
    ucr_text(event->charge_ucr, charge);
    attribute_str(jw, "turnpike.charge", str_from(charge));
}

static void
write_call(const struct teller *teller, const struct call_event *event, struct jw *jw)
{
    const struct region *region = teller->region;
    const struct provider *provider = teller_provider(teller, event->upstream);
    struct span span = {.kind = KIND_SERVER, .end_us = event->end_us, .model = event->model};
    char id[CALL_ID_LEN + 1], text[8];
    const char *error = call_error(event, text);

    span_begin(teller, event, &span, jw);
    if (provider != NULL)
        attribute_str(jw, "gen_ai.provider.name", str_from(provider->name));
    attribute_str(jw, "gen_ai.request.model",
                  name_text(region, event->asked != 0 ? event->asked : event->model));
    attribute_str(jw, "gen_ai.response.model",
                  (struct str){event->model_reported,
                               strnlen(event->model_reported, sizeof(event->model_reported))});
    attribute_bool(jw, "gen_ai.request.stream", (event->flags & RECORD_STREAM) != 0);
    if ((event->flags & RECORD_STREAM) != 0 && event->first_byte_us > 0)
        attribute_seconds(jw, "gen_ai.response.time_to_first_chunk", event->first_byte_us);
    write_usage(event, jw);
    if (event->status != 0)
        attribute_u64(jw, "http.response.status_code", event->status);
    call_id_text(event->call_id, id);
    attribute_str(jw, "turnpike.call.id", str_from(id));
    attribute_u64(jw, "turnpike.tenant.id", event->tenant_id);
    attribute_u64(jw, "turnpike.key.id", event->key_id);
    attribute_str(jw, "turnpike.channel", name_text(region, event->channel));
    attribute_str(jw, "turnpike.upstream", name_text(region, event->upstream));
    attribute_str(jw, "turnpike.outcome", str_from(record_outcome_name[event->outcome]));
    if (event->queue_us > 0)
        attribute_seconds(jw, "turnpike.queue.duration", event->queue_us);
    if (error != NULL)
        attribute_str(jw, "error.type", str_from(error));
    /* A caller's own fault is none of the server's. */
    span_end(jw, error != NULL && !(event->status >= 400 && event->status < 500));
}

/* ---- attempts ---- */

/* error.type: a status by its number, else why it ended. NULL: it answered, and all went well. */
static const char *
attempt_error(const struct call_event *event, const struct record_attempt *a, bool last,
              char text[8])
{
    if (a->reason == REASON_STATUS && a->status != 0) {
        snprintf(text, 8, "%u", a->status);
        return text;
    }
    if (a->reason != REASON_NONE)
        return a->reason < REASON_COUNT ? record_reason_name[a->reason] : "_OTHER";
    return last && event->outcome != OUTCOME_OK && event->outcome != OUTCOME_NO_USAGE
               ? record_outcome_name[event->outcome]
               : NULL;
}

static void
write_attempt(const struct teller *teller, const struct call_event *event,
              const struct record_attempt *a, unsigned n, bool last, struct jw *jw)
{
    const struct provider *provider = teller_provider(teller, a->upstream);
    uint64_t begin_us = a->start_ms * UINT64_C(1000);
    uint64_t took_end_us = begin_us + a->took_ms * UINT64_C(1000);
    struct span span = {.n = n,
                        .kind = KIND_CLIENT,
                        .begin_us = begin_us,
                        /* The one that answered goes on as long as the call. */
                        .end_us = a->reason == REASON_NONE ? MAX(event->end_us, begin_us)
                                                           : took_end_us,
                        .model = a->model};
    char text[8];
    const char *error = attempt_error(event, a, last, text);

    span_begin(teller, event, &span, jw);
    if (provider != NULL) {
        attribute_str(jw, "gen_ai.provider.name", str_from(provider->name));
        attribute_str(jw, "server.address", str_from(provider->host));
        attribute_u64(jw, "server.port", provider->port);
    }
    attribute_str(jw, "gen_ai.request.model", name_text(teller->region, a->model));
    if (a->status != 0)
        attribute_u64(jw, "http.response.status_code", a->status);
    attribute_str(jw, "turnpike.channel", name_text(teller->region, a->channel));
    attribute_str(jw, "turnpike.upstream", name_text(teller->region, a->upstream));
    attribute_u64(jw, "turnpike.attempt", n);
    if (error != NULL)
        attribute_str(jw, "error.type", str_from(error));
    span_end(jw, error != NULL);
}

static void
write_attempts(const struct teller *teller, const struct call_event *event, struct jw *jw)
{
    unsigned n = 0, count = MIN(event->attempt_count, RECORD_ATTEMPTS_MAX);

    for (unsigned i = 0; i < count; i++) {
        if (event->attempt[i].reason == REASON_AT_LIMIT) /* was not tried */
            continue;
        write_attempt(teller, event, &event->attempt[i], ++n, i + 1 == count, jw);
    }
}

bool
spans_write(const struct teller *teller, const struct call_event *events, size_t count,
            struct buf *out)
{
    struct jw jw;

    jw_init(&jw, out);
    jw_object(&jw);
    jw_key(&jw, "resourceSpans");
    jw_array(&jw);
    jw_object(&jw);
    teller_resource(teller, &jw);
    jw_key(&jw, "scopeSpans");
    jw_array(&jw);
    jw_object(&jw);
    teller_scope(&jw);
    jw_key(&jw, "spans");
    jw_array(&jw);
    for (size_t i = 0; i < count; i++) {
        if (!(events[i].flags & RECORD_TRACED))
            continue;
        write_call(teller, &events[i], &jw);
        write_attempts(teller, &events[i], &jw);
    }
    jw_array_end(&jw);
    jw_object_end(&jw);
    jw_array_end(&jw);
    jw_object_end(&jw);
    jw_array_end(&jw);
    jw_object_end(&jw);
    return !out->failed;
}
