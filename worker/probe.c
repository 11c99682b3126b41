/*
 * One struct a pool, used again for each probe: IDLE -> DIALLING -> SENT -> CLOSING -> IDLE. The
 * outcome is told to health when it leaves SENT (or DIALLING, when that failed); a verdict is never
 * told twice. The connection is its own and never of the pool: what a probe left behind must not
 * meet a call.
 */
#include "worker/probe.h"

#include <stdlib.h>
#include <string.h>

#include "base/jw.h"
#include "base/log.h"
#include "base/str.h"
#include "net/dial.h"
#include "proto/answer.h"
#include "shm/health.h"
#include "shm/rate.h"
#include "worker/feed.h"

#define ANSWER_BYTES_MAX (256u << 10)
#define BODY_BYTES_MAX 1024u
#define GRACE_MS 1000u

enum probe_state { PROBE_IDLE = 0, PROBE_DIALLING, PROBE_SENT, PROBE_CLOSING };

struct probe {
    struct conn conn;
    struct h1_res res;
    struct wheel_timer timer;
    struct pool *pool;
    struct credential *credential; /* of the pool's: whose turn it is */
    enum proto_endpoint endpoint; /* of a probe with a model; ENDPOINT_MODELS_LIST without */
    enum health_pass pass;
    uint8_t state; /* enum probe_state */
    uint16_t status;
    uint32_t wait_s;
    struct buf body;
};

static const struct conn_events probe_events;

static struct probe *
probe_of(struct conn *conn)
{
    return CONTAINER_OF(conn, struct probe, conn);
}

static struct worker *
worker_of(const struct probe *probe)
{
    return probe->pool->worker;
}

struct probe *
probe_new(struct pool *pool)
{
    struct probe *probe = calloc(1, sizeof(*probe));

    if (probe != NULL)
        probe->pool = pool;
    return probe;
}

/* ---- the end ---- */

static void
probe_close(struct probe *probe)
{
    struct worker *w = worker_of(probe);

    probe->state = PROBE_CLOSING;
    wheel_cancel(&w->net.wheel, &probe->timer);
    h1_res_end(&probe->res);
    buf_free(&probe->body);
    conn_close(&probe->conn);
}

static void
probe_well(struct probe *probe)
{
    struct worker *w = worker_of(probe);

    feed_log(probe->pool, probe->credential->health,
             health_ok(probe->credential->health, probe->pass, worker_now_ms(w), 0));
    probe_close(probe);
}

static void
probe_failed(struct probe *probe, enum record_reason reason)
{
    struct worker *w = worker_of(probe);
    enum health_class why;

    if (!feed_blames(reason, probe->status, &why)) {
        /* It says no, to what we ask; but it is there to say so. */
        probe_well(probe);
        return;
    }
    log_info("upstream.probe-failed", "upstream=%.*s reason=%s status=%u",
             STR_ARGS(probe->pool->conf->name), record_reason_name[reason], probe->status);
    if (why != HEALTH_RATE && why != HEALTH_OVERLOAD)
        probe->wait_s = 0;
    feed_log(probe->pool, probe->credential->health,
             health_failed(probe->credential->health, probe->pass, why, worker_now_ms(w),
                           (uint64_t)probe->wait_s * 1000));
    probe_close(probe);
}

static void
probe_on_timer(struct wheel_timer *timer)
{
    struct probe *probe = CONTAINER_OF(timer, struct probe, timer);

    probe_failed(probe, probe->state == PROBE_DIALLING ? REASON_TIMEOUT_CONNECT
                                                       : REASON_TIMEOUT_FIRST_BYTE);
}

/* ---- the request ---- */

static void
write_body(const struct probe *probe, struct buf *body)
{
    struct jw jw;

    jw_init(&jw, body);
    if (probe->endpoint == ENDPOINT_GENERATE) {
        buf_add_str(body, STR("{\"contents\":[{\"parts\":[{\"text\":\"ping\"}]}],"
                              "\"generationConfig\":{\"maxOutputTokens\":1}}"));
        return;
    }
    jw_object(&jw);
    jw_key(&jw, "model");
    jw_str(&jw, probe->pool->conf->probe_model);
    if (probe->endpoint == ENDPOINT_RESPONSES) {
        jw_key_cstr(&jw, "input", "ping");
        jw_key_u64(&jw, "max_output_tokens", 16); /* the least that is taken */
    } else {
        jw_key(&jw, "messages");
        jw_array(&jw);
        jw_object(&jw);
        jw_key_cstr(&jw, "role", "user");
        jw_key_cstr(&jw, "content", "ping");
        jw_object_end(&jw);
        jw_array_end(&jw);
        jw_key_u64(&jw, "max_tokens", 1);
    }
    jw_object_end(&jw);
}

/* The protocol in which an upstream is asked: the first that it speaks. */
static enum proto_protocol
protocol_of(const struct conf_upstream *upstream)
{
    unsigned protocol = PROTO_OPENAI;

    while (protocol < PROTO_GEMINI && (upstream->protocols & CONF_PROTOCOL_BIT(protocol)) == 0)
        protocol++;
    return (enum proto_protocol)protocol;
}

static void
write_auth(const struct probe *probe, enum proto_protocol protocol, struct h1_out *out)
{
    struct str secret = probe->credential->conf->secret;

    if (protocol == PROTO_ANTHROPIC)
        h1_out_own(out, "anthropic-version: ", STR("2023-06-01"));
    if (secret.len == 0)
        return;
    if (protocol == PROTO_ANTHROPIC)
        h1_out_own(out, "x-api-key: ", secret);
    else if (protocol == PROTO_GEMINI)
        h1_out_own(out, "x-goog-api-key: ", secret);
    else
        h1_out_own(out, "authorization: Bearer ", secret);
}

/* Of the list of models, or of an answer of one token. STR_NONE: no room in out. */
static struct str
path_of(const struct probe *probe, enum proto_protocol protocol, char *out, size_t out_cap)
{
    if (probe->endpoint == ENDPOINT_GENERATE)
        return proto_gemini_path(probe->pool->conf->probe_model, STR("generateContent"), out,
                                 out_cap);
    if (probe->endpoint != ENDPOINT_MODELS_LIST)
        return proto_upstream_path(probe->endpoint);
    if (protocol == PROTO_GEMINI)
        return STR("/v1beta/models");
    return protocol == PROTO_ANTHROPIC ? STR("/v1/models") : STR("/models");
}

static bool
write_head(const struct probe *probe, size_t body_len, struct h1_out *out)
{
    const struct conf_upstream *upstream = probe->pool->conf;
    enum proto_protocol protocol = protocol_of(upstream);
    struct h1_target target = {.prefix = upstream->base_path, .query = STR_NONE};
    char path[1024];

    target.path = path_of(probe, protocol, path, sizeof path);
    if (target.path.ptr == NULL)
        return false;
    h1_out_init(out, worker_of(probe)->head_buf, HEAD_BYTES_MAX);
    h1_out_request(out, body_len > 0 ? STR("POST") : STR("GET"), target, upstream->authority);
    write_auth(probe, protocol, out);
    h1_out_own(out, "user-agent: ", STR("turnpike/" TURNPIKE_VERSION));
    if (body_len > 0) {
        h1_out_own(out, "content-type: ", STR("application/json"));
        h1_out_length(out, body_len);
    }
    return h1_out_end(out);
}

static void
probe_on_open(struct conn *conn)
{
    struct probe *probe = probe_of(conn);
    struct worker *w = worker_of(probe);
    struct str parts[2];
    struct h1_out out;
    struct buf body;
    bool sent;

    buf_init(&body, BODY_BYTES_MAX);
    if (probe->endpoint != ENDPOINT_MODELS_LIST)
        write_body(probe, &body);
    sent = !body.failed && write_head(probe, body.len, &out);
    parts[0] = (struct str){out.ptr, out.len};
    parts[1] = buf_str(&body);
    sent = sent && conn_write(conn, parts, body.len > 0 ? 2 : 1) == 0;
    buf_free(&body);
    if (!sent) {
        probe_failed(probe, REASON_RESET);
        return;
    }
    probe->state = PROBE_SENT;
    wheel_set(&w->net.wheel, &probe->timer, probe->pool->conf->first_byte_ms, probe_on_timer);
}

/* ---- the answer ---- */

static void
take_head(struct probe *probe)
{
    const struct h1_head *head = probe->res.head;

    probe->status = probe->res.status;
    probe->wait_s = error_retry_after_s(h1_head_get(head, H1_RETRY_AFTER),
                                        h1_head_get(head, H1_RETRY_AFTER_MS));
}

static void
take_end(struct probe *probe)
{
    struct answer answer;

    if (probe->status >= 300) {
        probe_failed(probe, REASON_STATUS);
        return;
    }
    if (probe->endpoint == ENDPOINT_MODELS_LIST) {
        probe_well(probe);
        return;
    }
    answer_read(probe->endpoint, buf_str(&probe->body), &answer);
    if (answer.kind == ANSWER_OK)
        probe_well(probe);
    else
        probe_failed(probe, answer.kind == ANSWER_ERROR ? REASON_ERROR_EVENT : REASON_BAD_ANSWER);
}

/* Lists of models are long, and nobody reads them: only what is not too long is kept. */
static void
probe_on_data(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct probe *probe = probe_of(conn);
    struct h1_res_out out;

    for (;;) {
        enum h1_res_event event = h1_res_feed(&probe->res, bytes, len, &out);

        bytes += out.used;
        len -= out.used;
        for (size_t i = 0; i < out.span_count; i++)
            (void)buf_add_str(&probe->body, out.spans[i]);
        if (event == H1_RES_HEAD)
            take_head(probe);
        if (event == H1_RES_MORE)
            return;
        if (event == H1_RES_DONE) {
            take_end(probe);
            return;
        }
        if (event == H1_RES_ERROR) {
            probe_failed(probe, REASON_BAD_HTTP);
            return;
        }
    }
}

static void
probe_on_eof(struct conn *conn)
{
    struct probe *probe = probe_of(conn);

    if (h1_res_eof(&probe->res) == H1_RES_DONE)
        take_end(probe);
    else
        probe_failed(probe, REASON_EARLY_END);
}

static void
probe_on_drain(struct conn *conn)
{
    (void)conn; /* the request is written whole */
}

static void
probe_on_error(struct conn *conn, const struct conn_error *error)
{
    probe_failed(probe_of(conn), error->stage == CONN_STAGE_TLS ? REASON_TLS : REASON_CONNECT);
}

static void
probe_on_closed(struct conn *conn)
{
    struct probe *probe = probe_of(conn);
    struct worker *w = worker_of(probe);

    probe->state = PROBE_IDLE;
    memset(&probe->conn, 0, sizeof probe->conn);
    worker_maybe_done(w);
}

static const struct conn_events probe_events = {
    .on_open = probe_on_open,
    .on_data = probe_on_data,
    .on_eof = probe_on_eof,
    .on_drain = probe_on_drain,
    .on_error = probe_on_error,
    .on_closed = probe_on_closed,
};

/* ---- the beginning ---- */

static enum proto_endpoint
endpoint_of(const struct conf_upstream *upstream)
{
    if (upstream->probe_model.len == 0)
        return ENDPOINT_MODELS_LIST;
    switch (protocol_of(upstream)) {
    case PROTO_OPENAI: return ENDPOINT_CHAT;
    case PROTO_RESPONSES: return ENDPOINT_RESPONSES;
    case PROTO_ANTHROPIC: return ENDPOINT_MESSAGES;
    case PROTO_GEMINI:
    case PROTO_PROTOCOL_COUNT: break;
    }
    return ENDPOINT_GENERATE;
}

static void
probe_start(struct probe *probe, uint64_t now_ms)
{
    struct pool *pool = probe->pool;
    struct worker *w = pool->worker;
    const struct conf_upstream *upstream = pool->conf;
    struct health *health = probe->credential->health;
    uint32_t rpm = probe->credential->conf->rpm;
    struct dial_target target = {.host = upstream->host,
                                 .port = upstream->port,
                                 .local = upstream->local,
                                 .tls = pool->tls,
                                 .connect_ms = upstream->connect_ms};
    uint64_t retry_ns;

    probe->pass = health_begin(w->region, health, w->inherit->table_idx, now_ms,
                               (uint64_t)upstream->connect_ms + upstream->first_byte_ms +
                                   2 * GRACE_MS);
    if (probe->pass == HEALTH_OUT)
        return;
    /* It counts against the provider's limit like any call, and calls go first. */
    if ((rpm > 0 && !rate_admit(&health->rpm_tat, rate_per_minute(rpm), 1,
                                worker_mono_us(w) * 1000, &retry_ns)) ||
        net_dial(&w->net, &probe->conn, &probe_events, &target) < 0) {
        health_dropped(health, probe->pass, now_ms);
        return;
    }
    probe->state = PROBE_DIALLING;
    probe->status = 0;
    probe->wait_s = 0;
    probe->endpoint = endpoint_of(upstream);
    buf_init(&probe->body, ANSWER_BYTES_MAX);
    h1_res_init(&probe->res, &w->answer_limits, &w->answer_head);
    wheel_set(&w->net.wheel, &probe->timer, (uint64_t)upstream->connect_ms + GRACE_MS,
              probe_on_timer);
    atomic_fetch_add_explicit(&health->probes, 1, memory_order_relaxed);
}

/* The credential whose probe is due; one after the other, when it is more than one. */
static bool
find_due(struct probe *probe, uint64_t now_ms)
{
    const struct pool *pool = probe->pool;

    for (size_t i = 0; i < pool->conf->credential_count; i++) {
        struct credential *credential = &pool->credentials[i];

        /* What is out is not probed, until it is half open: then the probe may be its trial. */
        if (credential->health == NULL || credential->conf->disabled_reason != NULL ||
            !health_usable(pool->worker->region, credential->health, now_ms) ||
            !health_probe_due(credential->health, now_ms, pool->conf->probe_ms))
            continue;
        probe->credential = credential;
        return true;
    }
    return false;
}

void
probe_tick(struct worker *w)
{
    uint64_t now_ms = worker_now_ms(w);

    for (size_t i = 0; i < w->conf->upstream_count && !w->draining; i++) {
        struct pool *pool = &w->pools[i];

        if (pool->probe != NULL && pool->probe->state == PROBE_IDLE &&
            find_due(pool->probe, now_ms))
            probe_start(pool->probe, now_ms);
    }
}

void
probe_stop(struct worker *w)
{
    for (size_t i = 0; i < w->conf->upstream_count; i++) {
        struct probe *probe = w->pools[i].probe;

        if (probe == NULL || probe->state == PROBE_IDLE || probe->state == PROBE_CLOSING)
            continue;
        health_dropped(probe->credential->health, probe->pass, worker_now_ms(w));
        probe_close(probe);
    }
}
