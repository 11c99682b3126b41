#include "worker/forward.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/headers.h"
#include "worker/call.h"
#include "worker/commit.h"
#include "worker/feed.h"
#include "worker/kept.h"
#include "worker/queue.h"
#include "worker/relay.h"
#include "worker/settle.h"
#include "worker/speak.h"
#include "worker/trace.h"
#include "worker/tunnel.h"
#include "worker/uconn.h"

#define CONNECT_GRACE_MS 100u
#define OUTPUT_BYTES_PER_TOKEN 4

static void
log_failed(const struct call *call, enum record_reason reason, const char *text)
{
    log_warn("upstream.failed", "call=%s upstream=%.*s reason=%s status=%u text=%s", call->id_text,
             STR_ARGS(call_upstream(call)->name), record_reason_name[reason],
             call->upstream_status, text ? log_quote(str_from(text)) : "-");
}

/* Nobody is left who could do better: the client gets what the last one said. */
static void
give_up(struct call *call)
{
    unsigned status = error_status(call->last_error->kind, PROTO_OPENAI);

    if (status == 502 || status == 504)
        stat_add(call->worker->stats, STAT_UPSTREAM_FAILED, 1);
    call_fail(call, call->last_error);
}

bool
forward_may_go_on(const struct call *call)
{
    const struct worker *w = call->worker;

    return call->plan != NULL && call->candidate + 1u < call->plan->candidate_count &&
           call->try_count < w->limits->attempts && worker_now_ms(w) < call->deadline_ms;
}

/* Was it in the middle of its answer that it failed? */
static bool
broke_off(enum record_reason reason)
{
    return reason == REASON_RESET || reason == REASON_EARLY_END || reason == REASON_TOO_LARGE ||
           reason == REASON_TIMEOUT_IDLE || reason == REASON_TIMEOUT_TOTAL;
}

/* A refusal costs nothing; for whatever else was sent the provider may ask to be paid. */
static void
note_cost(struct call *call, enum record_reason reason)
{
    struct price_count count = settle_claimed(call); /* its bill will not be bounded, either */

    if (reason == REASON_STATUS)
        return;
    if (!call->up_stream && broke_off(reason)) /* of a whole answer that is not whole */
        count = settle_estimate(call, call->body.len / OUTPUT_BYTES_PER_TOKEN);
    commit_operator_cost(call, &count);
}

void
forward_failed(struct call *call, enum record_reason reason, const struct proto_error *error,
               bool may_fail_over)
{
    struct uconn *uc = call->uconn;

    if (kept_undone(call))
        return;
    note_cost(call, reason);
    call->dispatched = false;
    settle_attempt(call, reason, call->upstream_status);
    if (reason == REASON_ERROR_EVENT && error_is_of_request(error->kind))
        feed_failed(call, REASON_STATUS, 400); /* what it said, if not how */
    else if (error->kind == ERROR_QUOTA)
        feed_failed(call, REASON_STATUS, 402); /* some say 429: but no waiting helps */
    else
        feed_failed(call, reason, call->upstream_status);
    if (uc != NULL)
        uconn_cancel(uc);
    call_keep_error(call, error);
    buf_free(&call->body);
    call->upstream_status = 0;
    /* What its stream said, if it had begun one, says nothing of the next one's. */
    meter_init(&call->meter, (enum proto_endpoint)call->up_endpoint, call->ask.usage_asked);
    call->progress_events = 0;
    call->commit_due_ms = 0;
    if (may_fail_over && forward_may_go_on(call)) {
        call_set_candidate(call, call->candidate + 1);
        call->stale_retried = false;
        forward_next(call);
        return;
    }
    give_up(call);
}

/* ---- getting a connection ---- */

static void
no_connection(struct call *call, const char *why)
{
    struct proto_error error;

    error_set(&error, ERROR_UNAVAILABLE, NULL, NULL, "turnpike: upstream %.*s %s",
              STR_ARGS(call_upstream(call)->name), why);
    error.retry_after_s = 1;
    forward_failed(call, REASON_NO_CONNECTION, &error, true);
}

/* It comes to where the call is in the plan; those that were passed over come after it, and may have
 * room by then. */
static void
choose_candidate(struct call *call, uint8_t candidate)
{
    struct route_candidate *at = call->at, chosen;
    unsigned passed = candidate - call->candidate, low = (1u << call->candidate) - 1;
    unsigned moved = call->skipped & ((1u << candidate) - 1) & ~low;
    unsigned own = call->skipped >> candidate & 1;

    if (passed == 0)
        return;
    chosen = at[passed];
    memmove(at + 1, at, passed * sizeof(*at));
    *at = chosen;
    call->skipped = (uint8_t)((call->skipped & ~(moved | 1u << candidate)) | moved << 1 |
                              own << call->candidate);
    call_set_candidate(call, call->candidate);
}

/*
 * From the candidate that the call is at, the first that its circuit lets through, which may be as its
 * trial, and that is not at its provider's limits. If there is none, it waits for those that are at
 * their limits.
 */
static enum feed_pass
find_candidate(struct call *call)
{
    enum feed_pass found = FEED_OUT;

    for (uint8_t i = call->candidate; i < call->plan->candidate_count; i++) {
        switch (feed_begin(call, i)) {
        case FEED_GO:
            choose_candidate(call, i);
            return FEED_GO;
        case FEED_FULL:
            settle_skipped(call, i);
            found = FEED_FULL;
            break;
        case FEED_OUT:
            break;
        }
    }
    return found;
}

/* All went out since the call was admitted. */
static void
nobody_up(struct call *call)
{
    struct proto_error error;

    if (!feed_all_out(call, &error)) { /* or one is back, and another call has its trial */
        error_set(&error, ERROR_UNAVAILABLE, NULL, NULL, "turnpike: no healthy upstream");
        error.retry_after_s = 1;
    }
    stat_add(call->worker->stats,
             error.kind == ERROR_UNAVAILABLE ? STAT_UNAVAILABLE : STAT_LIMITED, 1);
    call_fail(call, &error);
}

/* Also once more, on a new connection, as the same attempt. */
static void
forward_dial(struct call *call)
{
    const struct conf_upstream *upstream = call_upstream(call);

    call->attempt_us = worker_mono_us(call->worker);
    switch (uconn_take(call_pool(call), call)) {
    case UCONN_TOOK_IDLE:
        forward_connected(call);
        return;
    case UCONN_TOOK_NEW:
        call_set_state(call, CALL_DIALLING);
        /* net gives up resolving and connecting by itself a moment earlier, and knows better what
         * failed; this one is for the TLS handshake as well. */
        call_set_timer(call, (uint64_t)upstream->connect_ms + CONNECT_GRACE_MS);
        return;
    case UCONN_TOOK_NONE:
        no_connection(call, "has no connection free");
        return;
    }
}

void
forward_again(struct call *call)
{
    ASSERT(call->uconn == NULL && call->state == CALL_KEEP_WAIT);
    buf_free(&call->body);
    call->upstream_status = 0;
    call->stale_retried = false;
    forward_dial(call);
}

void
forward_next(struct call *call)
{
    switch (find_candidate(call)) {
    case FEED_GO:
        forward_dial(call);
        return;
    case FEED_FULL:
        queue_join(call);
        return;
    case FEED_OUT:
        if (call->tried)
            give_up(call);
        else
            nobody_up(call);
        return;
    }
}

void
forward_from_queue(struct call *call, uint8_t candidate)
{
    if (call->entered == NULL) { /* nobody is up any more */
        forward_next(call);
        return;
    }
    choose_candidate(call, candidate);
    forward_dial(call);
}

/* This machine's own lack, which says nothing of the upstream. */
static bool
is_ours(const struct conn_error *e)
{
    return e->err == -EMFILE || e->err == -ENFILE || e->err == -ENOBUFS || e->err == -ENOMEM ||
           e->err == -EADDRNOTAVAIL;
}

void
forward_conn_failed(struct call *call, const struct conn_error *e)
{
    struct proto_error error;
    enum record_reason reason = REASON_RESET;
    enum error_kind kind = ERROR_UPSTREAM_FAILED;

    if (is_ours(e)) {
        log_failed(call, REASON_NO_CONNECTION, e->text);
        no_connection(call, "cannot be connected to: this machine has no room for it");
        return;
    }
    switch (e->stage) {
    case CONN_STAGE_RESOLVE:
        reason = e->err == -EACCES ? REASON_ADDRESS : REASON_DNS;
        break;
    case CONN_STAGE_CONNECT:
        reason = e->err == -ETIMEDOUT ? REASON_TIMEOUT_CONNECT : REASON_CONNECT;
        break;
    case CONN_STAGE_TLS:
        reason = REASON_TLS;
        break;
    case CONN_STAGE_READ:
    case CONN_STAGE_WRITE:
    case CONN_STAGE_COUNT:
        break;
    }
    if (reason == REASON_TIMEOUT_CONNECT)
        kind = ERROR_UPSTREAM_TIMEOUT;
    log_failed(call, reason, e->text);
    error_set(&error, kind, NULL, NULL, "turnpike: upstream %.*s: %s%s",
              STR_ARGS(call_upstream(call)->name),
              reason == REASON_ADDRESS ? "its address is not allowed" : conn_stage_name[e->stage],
              reason == REASON_ADDRESS ? "" : " failed");
    forward_failed(call, reason, &error, true);
}

/* ---- the request, written afresh ---- */

void
forward_write_auth(const struct call *call, struct h1_out *out)
{
    struct str secret = call_credential(call, call->candidate)->conf->secret;

    if (secret.len == 0)
        return;
    switch (proto_of((enum proto_endpoint)call->up_endpoint)) {
    case PROTO_ANTHROPIC:
        h1_out_own(out, "x-api-key: ", secret);
        return;
    case PROTO_GEMINI:
        h1_out_own(out, "x-goog-api-key: ", secret);
        return;
    case PROTO_OPENAI:
    case PROTO_RESPONSES:
    case PROTO_PROTOCOL_COUNT:
        break;
    }
    h1_out_own(out, "authorization: Bearer ", secret);
}

/* Only some calls for files have none. */
static bool
sends_body(const struct call *call)
{
    return !proto_is_file((enum proto_endpoint)call->up_endpoint) ||
           call->up_endpoint == ENDPOINT_FILE_UPLOAD || call->up_endpoint == ENDPOINT_BATCH_CREATE;
}

static void
write_client_headers(const struct call *call, struct h1_out *out)
{
    const struct h1_head *head = call->client->req.head;
    enum proto_protocol protocol = proto_of((enum proto_endpoint)call->up_endpoint);
    bool content_type = false, version = false, traced = call->worker->conf->telemetry.on;

    for (size_t i = 0; i < head->header_count; i++) {
        struct str name = h1_head_name(head, i);

        if (!headers_go_up(protocol, name) || (traced && trace_replaces(call, head, i)))
            continue;
        if (head->headers[i].known == H1_CONTENT_TYPE) {
            if (!sends_body(call))
                continue;
            content_type = true;
        }
        version |= head->headers[i].known == H1_ANTHROPIC_VERSION;
        h1_out_copy(out, name, head, i);
    }
    if (!content_type && sends_body(call))
        h1_out_own(out, "content-type: ", STR("application/json"));
    if (!version && protocol == PROTO_ANTHROPIC)
        h1_out_own(out, "anthropic-version: ", STR("2023-06-01"));
    if (traced)
        trace_head_lines(call, out);
}

static bool
write_head(const struct call *call, size_t body_len, struct h1_out *out)
{
    const struct conf_upstream *upstream = call_upstream(call);
    struct h1_target target = {.prefix = upstream->base_path};
    char path[4 * CONF_MODEL_NAME_LEN_MAX + 128];

    if (!speak_target(call, path, sizeof path, &target.path, &target.query))
        return false;
    h1_out_init(out, call->worker->head_buf, HEAD_BYTES_MAX);
    h1_out_request(out, proto_method((enum proto_endpoint)call->up_endpoint), target,
                   upstream->authority);
    write_client_headers(call, out);
    forward_write_auth(call, out);
    h1_out_own(out, "x-request-id: ", (struct str){call->id_text, CALL_ID_LEN});
    if (sends_body(call) || call->up_endpoint == ENDPOINT_BATCH_CANCEL)
        h1_out_length(out, body_len);
    return h1_out_end(out);
}

void
forward_connected(struct call *call)
{
    struct str parts[1 + ASK_PIECES_MAX];
    struct ask_pieces pieces;
    struct proto_error error;
    struct h1_out out;
    int rc;

    ASSERT(call->uconn != NULL && call->client != NULL);
    if (call->tunnel != NULL) {
        tunnel_connected(call);
        return;
    }
    if (!speak_prepare(call, &error)) {
        /* Another that can be tried may be spoken to otherwise. */
        forward_failed(call, REASON_NO_CONNECTION, &error, true);
        return;
    }
    if (!speak_body(call, &pieces) || !write_head(call, pieces.total_len, &out)) {
        error_set(&error, ERROR_BAD_REQUEST, NULL, NULL,
                  "turnpike: the request's headers cannot be passed on");
        forward_failed(call, REASON_NO_CONNECTION, &error, false);
        return;
    }
    parts[0] = (struct str){out.ptr, out.len};
    memcpy(parts + 1, pieces.list, pieces.count * sizeof *parts);
    if (call->idem.entry != NULL)
        idem_sent(&call->idem);
    rc = conn_write(&call->uconn->conn, parts, (unsigned)(1 + pieces.count));
    if (rc < 0) {
        forward_broken_kept(call, "write failed");
        return;
    }
    call_set_state(call, CALL_SENT);
    relay_sent(call);
}

/*
 * The connection was found dead before a byte of an answer. If it was a kept one, that says
 * nothing of the upstream: once more, on a new one.
 */
void
forward_broken_kept(struct call *call, const char *text)
{
    struct proto_error error;
    struct uconn *uc = call->uconn;

    if (uc != NULL && uc->reused && !call->stale_retried) {
        call->stale_retried = true;
        uconn_cancel(uc);
        uconn_drop_idle(call_pool(call));
        forward_dial(call);
        return;
    }
    log_failed(call, REASON_RESET, text);
    error_set(&error, ERROR_UPSTREAM_FAILED, NULL, NULL,
              "turnpike: upstream %.*s closed the connection without an answer",
              STR_ARGS(call_upstream(call)->name));
    forward_failed(call, REASON_RESET, &error, true);
}
