#include "worker/relay.h"

#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "proto/headers.h"
#include "worker/call.h"
#include "worker/client.h"
#include "worker/commit.h"
#include "worker/forward.h"
#include "worker/kept.h"
#include "worker/media.h"
#include "worker/settle.h"
#include "worker/speak.h"
#include "worker/stream.h"
#include "worker/stream_wait.h"
#include "worker/tunnel.h"
#include "worker/uconn.h"
#include "worker/whole.h"

/* ---- failures ---- */

struct error_secrets
relay_secrets(const struct call *call, struct str list[2])
{
    list[0] = call_credential(call, call->candidate)->conf->secret;
    list[1] = call_upstream(call)->authority;
    return (struct error_secrets){list, 2};
}

void
relay_failed(struct call *call, enum record_reason reason, enum error_kind kind, const char *text)
{
    struct proto_error error;

    log_warn("upstream.failed", "call=%s upstream=%.*s reason=%s text=%s", call->id_text,
             STR_ARGS(call_upstream(call)->name), record_reason_name[reason],
             log_quote(str_from(text)));
    error_set(&error, kind, NULL, NULL, "turnpike: upstream %.*s: %s",
              STR_ARGS(call_upstream(call)->name), text);
    if (call->state == CALL_STREAM || call->state == CALL_EXTEND_WAIT)
        stream_broken(call, reason, &error);
    else
        forward_failed(call, reason, &error, true);
}

void
relay_conn_error(struct uconn *uc, const struct conn_error *error)
{
    struct call *call = uc->call;

    if (tunnel_is_open(call))
        tunnel_upstream_gone(call, "the connection broke", false);
    else if (call->state == CALL_STREAM || call->state == CALL_EXTEND_WAIT ||
             call->state == CALL_WHOLE)
        relay_failed(call, REASON_RESET, ERROR_UPSTREAM_FAILED, "the connection broke");
    else if (call->state == CALL_SENT && !uc->res.started)
        forward_broken_kept(call, error->text);
    else
        forward_conn_failed(call, error);
}

static void
res_failed(struct uconn *uc)
{
    struct call *call = uc->call;
    enum h1_res_error e = (enum h1_res_error)uc->res.error;
    enum record_reason reason = REASON_BAD_HTTP;

    if (e == H1_RES_NO_ANSWER) {
        forward_broken_kept(call, h1_res_error_text(e));
        return;
    }
    if (e == H1_RES_EARLY_END)
        reason = REASON_EARLY_END;
    else if (e == H1_RES_HEAD_TOO_BIG || e == H1_RES_CHUNK_EXTRA)
        reason = REASON_TOO_LARGE;
    relay_failed(call, reason, ERROR_UPSTREAM_FAILED, h1_res_error_text(e));
}

/* The ledger process is gone for long, or its disk is. */
static void
hold_not_recorded(struct call *call)
{
    struct proto_error error;

    error_set(&error, ERROR_UNAVAILABLE, NULL, NULL, "turnpike: the hold was not recorded");
    if (call->state == CALL_EXTEND_WAIT)
        stream_wait_over(call, &error);
    else
        call_fail(call, &error);
}

void
relay_timed_out(struct call *call, bool over)
{
    enum record_reason reason = REASON_TIMEOUT_TOTAL;
    const char *text = "the call took too long in all";

    if (call->state == CALL_COMMIT_WAIT) { /* charged, but it may not be told so: cut it */
        struct client *client = call_detach_client(call);

        call_end(call);
        if (client)
            client_abort(client);
        return;
    }
    if (call->state == CALL_ANNOUNCED || call->state == CALL_EXTEND_WAIT) {
        hold_not_recorded(call);
        return;
    }
    if (!over && commit_timed_out(call))
        return;
    if (!over && call->state == CALL_STREAM && call->client &&
        conn_is_full(&call->client->conn)) {
        /* We do not read because the client does not: its own deadline will tell. */
        call_set_timer(call, call_upstream(call)->idle_ms);
        return;
    }
    if (!over) {
        bool dialling = call->state == CALL_DIALLING;
        bool sent = call->state == CALL_SENT && call->upstream_status == 0;

        reason = dialling ? REASON_TIMEOUT_CONNECT
                          : sent ? REASON_TIMEOUT_FIRST_BYTE : REASON_TIMEOUT_IDLE;
        text = dialling ? "no connection in time"
                        : sent ? "no answer in time" : "the answer stopped coming";
    }
    relay_failed(call, reason, ERROR_UPSTREAM_TIMEOUT, text);
}

void
relay_cancelled(struct call *call)
{
    struct proto_error error;

    error_set(&error, ERROR_UNAVAILABLE, NULL, NULL, "turnpike: the gateway is stopping");
    if (call->state == CALL_FIND_WAIT)
        call_refuse(call, &error);
    else if (call->state == CALL_STREAM)
        stream_broken(call, REASON_NONE, &error);
    else if (call->state == CALL_EXTEND_WAIT)
        stream_wait_over(call, &error);
    else if (tunnel_is_open(call))
        tunnel_cancelled(call);
    else
        call_fail(call, &error);
}

/* ---- settling ---- */

void
relay_settle_gone(struct call *call)
{
    struct settle_end end = {.outcome = OUTCOME_CLIENT_GONE, .by = SETTLE_NOTHING};

    if (call->tunnel != NULL) {
        tunnel_settle_gone(call);
        return;
    }
    if (call->state == CALL_STREAM || call->state == CALL_EXTEND_WAIT) {
        stream_used(call, &end);
    } else if ((call->state == CALL_SENT || call->state == CALL_WHOLE ||
                call->state == CALL_KEEP_WAIT) &&
               call->upstream_status < 300 && !kept_undoes(call)) {
        /* The upstream works, and bills, already; unless it is just saying no. */
        end.by = SETTLE_PROGRESS;
        end.so_far = settle_estimate(call, 0);
    }
    if ((call->uconn && !call->head_sent) || /* a stream's is noted already */
        call->state == CALL_KEEP_WAIT)
        settle_attempt(call, REASON_CLIENT_GONE, 0);
    (void)settle_call(call, &end);
}

void
relay_sent(struct call *call)
{
    struct price_count count = settle_estimate(call, 0);

    call->dispatched = true;
    speak_answer(call);
    /* Also for another attempt: progress never falls, and a hold covers its own input. */
    if (!proto_is_count((enum proto_endpoint)call->endpoint))
        (void)!settle_progress(call, &count);
    call_set_timer(call, call_upstream(call)->first_byte_ms);
}

/* ---- the head ---- */

/* Headers for the client, written and kept until the client's own head is. */
static bool
keep_headers(struct call *call, const struct h1_head *head)
{
    struct str type = speak_content_type(call);
    struct h1_out out;
    char *copy;

    h1_out_init(&out, call->worker->head_buf, HEAD_BYTES_MAX / 2);
    for (size_t i = 0; i < head->header_count; i++) {
        struct str name = headers_come_down(h1_head_name(head, i));

        if (name.len > 0 && (type.len == 0 || head->headers[i].known != H1_CONTENT_TYPE))
            h1_out_copy(&out, name, head, i);
    }
    if (type.len > 0)
        h1_out_own(&out, "content-type: ", type);
    if (out.failed || (copy = arena_alloc(&call->arena, out.len + 1)) == NULL)
        return false;
    memcpy(copy, out.ptr, out.len);
    call->down_lines = (struct str){copy, out.len};
    return true;
}

static bool
is_event_stream(struct str content_type)
{
    struct str rest;

    return str_eq_nocase(str_trim(str_split(content_type, ';', &rest)), STR("text/event-stream"));
}

/* As a stream or whole, as it was asked for, or as it can be made into that. */
static bool
answer_fits(struct call *call, struct str type)
{
    bool events = is_event_stream(type);

    if (proto_is_media((enum proto_endpoint)call->endpoint))
        return media_answer(call, type);
    return call->ask.stream == events || speak_adapt(call, events);
}

static void
relay_head(struct uconn *uc)
{
    struct call *call = uc->call;
    const struct h1_head *head = uc->res.head;
    struct str type = h1_head_get(head, H1_CONTENT_TYPE);

    call->upstream_status = uc->res.status;
    call_set_timer(call, call_upstream(call)->idle_ms);
    if (call->upstream_status < 300 && call->tunnel == NULL && !answer_fits(call, type)) {
        relay_failed(call, REASON_BAD_ANSWER, ERROR_UPSTREAM_FAILED,
                     call->ask.stream ? "answered whole where a stream was asked for"
                                      : "streamed where a whole answer was asked for");
        return;
    }
    if (!keep_headers(call, head)) {
        relay_failed(call, REASON_TOO_LARGE, ERROR_UPSTREAM_FAILED, "its headers are too large");
        return;
    }
    if (call->upstream_status >= 300) {
        call_set_state(call, CALL_WHOLE); /* the error's body, then forward_failed() */
        return;
    }
    if (call->tunnel != NULL)
        tunnel_answered(uc);
    else if (call->up_stream)
        stream_begin(call); /* still CALL_SENT: nothing is understood yet */
    else
        call_set_state(call, CALL_WHOLE);
}

/* ---- bytes ---- */

/* What one reader's event brings to the call. False when the call is over or moved on. */
static bool
relay_event(struct uconn *uc, enum h1_res_event event, const struct h1_res_out *out,
            struct gather *gather)
{
    struct call *call = uc->call;
    bool whole = call->state == CALL_WHOLE;

    if (out->span_count > 0 && whole && event == H1_RES_DONE && call->body.len == 0 &&
        out->span_count == 1) {
        whole_done(call, out->spans[0]);
        return false;
    }
    if (out->span_count > 0) {
        bool alive = whole ? whole_take(call, out) : stream_take(call, out, gather);

        if (!alive)
            return false;
    }
    switch (event) {
    case H1_RES_HEAD:
        relay_head(uc);
        return uc->call == call && !tunnel_is_open(call);
    case H1_RES_DONE:
        if (whole)
            whole_done(call, buf_str(&call->body));
        else if (call->upstream_status == 0 || call->upstream_status >= 300)
            relay_failed(call, REASON_BAD_ANSWER, ERROR_UPSTREAM_FAILED, "an empty answer");
        else
            stream_upstream_done(call, gather);
        return false;
    case H1_RES_ERROR:
        if (call->state == CALL_STREAM && !stream_flush(call, gather))
            return false;
        res_failed(uc);
        return false;
    case H1_RES_MORE:
    case H1_RES_SPANS:
        return true;
    }
    return true;
}

/* After the call has its answer: the rest belongs to nobody, or to a tunnel. */
static void
finish_feed(struct uconn *uc, const uint8_t *bytes, size_t len)
{
    if (uc->call != NULL && tunnel_is_open(uc->call))
        tunnel_from_upstream(uc->call, bytes, len);
    else if (uc->state == UCONN_DRAINING && len > 0)
        uc->conn.events->on_data(&uc->conn, (uint8_t *)(uintptr_t)bytes, len);
}

void
relay_bytes(struct uconn *uc, const uint8_t *bytes, size_t len)
{
    struct call *call = uc->call;
    struct gather gather = {.count = 0};
    struct h1_res_out out;

    ASSERT(call != NULL);
    if (tunnel_is_open(call)) {
        tunnel_from_upstream(call, bytes, len);
        return;
    }
    if (call->held)
        hold_foresee(&call->worker->holds, call->slot);
    if (call->state == CALL_STREAM || call->state == CALL_WHOLE)
        call->response_bytes += len;
    if (call->state == CALL_WHOLE && call->upstream_status < 300)
        call_set_timer(call, call_upstream(call)->idle_ms); /* long, but it comes: not idle */
    while (true) {
        enum h1_res_event event = h1_res_feed(&uc->res, bytes, len, &out);

        bytes += out.used;
        len -= out.used;
        if (event == H1_RES_DONE && len > 0) {
            struct h1_res_out none;

            (void)h1_res_feed(&uc->res, bytes, len, &none); /* notes the extra bytes */
            len = 0;
        }
        if (!relay_event(uc, event, &out, &gather)) {
            /* The call is over, or on another connection. This one may serve another call by now,
             * unless it still has an answer's rest to read. */
            finish_feed(uc, bytes, len);
            return;
        }
        if (event == H1_RES_MORE)
            break;
    }
    if (call->state == CALL_STREAM || (call->up_stream && call->state == CALL_SENT))
        stream_fed(call, &gather);
}

void
relay_eof(struct uconn *uc)
{
    struct call *call = uc->call;
    struct gather gather = {.count = 0};
    struct h1_res_out out = {.span_count = 0};
    enum h1_res_event event;

    ASSERT(call != NULL);
    if (tunnel_is_open(call)) {
        tunnel_upstream_gone(call, "the connection ended", true);
        return;
    }
    event = h1_res_eof(&uc->res);
    (void)relay_event(uc, event, &out, &gather);
}
