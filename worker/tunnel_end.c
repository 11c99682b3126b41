#include "worker/tunnel.h"

#include "base/log.h"
#include "base/rng.h"
#include "base/str.h"
#include "worker/call.h"
#include "worker/client.h"
#include "worker/feed.h"
#include "worker/settle.h"
#include "worker/uconn.h"

#define ERROR_EVENT_BYTES (8u << 10)

/* A close frame where one may stand: not within a frame. */
static void
add_close(struct buf *out, const struct ws *passing, unsigned code, const char *text,
          const uint8_t mask[4])
{
    uint8_t frame[WS_HEAD_MAX + WS_CONTROL_MAX];
    char payload[WS_CONTROL_MAX];

    if (ws_in_frame(passing))
        return;
    buf_add(out, frame,
            ws_frame(frame, WS_CLOSE, ws_close_payload(payload, code, str_from(text)), mask));
}

/* The upstream's close frame as it came, which ws kept for us. */
static void
add_same_close(struct buf *out, const struct ws *ws, const uint8_t mask[4])
{
    uint8_t frame[WS_HEAD_MAX + WS_CONTROL_MAX];
    struct str payload = {(const char *)ws->control, ws->control_len};

    buf_add(out, frame, ws_frame(frame, WS_CLOSE, payload, mask));
}

/* An error event where one may stand: not within a message. */
static void
add_error(struct call *call, struct buf *out, const struct proto_error *error)
{
    const struct ws *passing = &call->tunnel->from_upstream;
    struct buf event, frame;

    if (ws_in_frame(passing) || ws_in_message(passing))
        return;
    buf_init(&event, ERROR_EVENT_BYTES);
    buf_init(&frame, ERROR_EVENT_BYTES + WS_HEAD_MAX);
    realtime_error(&event, error, (struct str){call->id_text, CALL_ID_LEN});
    if (!event.failed && buf_reserve(&frame, event.len + WS_HEAD_MAX)) {
        frame.len = ws_frame((uint8_t *)frame.ptr, WS_TEXT, buf_str(&event), NULL);
        buf_add_str(out, buf_str(&frame));
    }
    buf_free(&frame);
    buf_free(&event);
}

static void
end_upstream(struct call *call, const struct tunnel_ending *how)
{
    struct tunnel *t = call->tunnel;
    struct uconn *uc = call->uconn;
    struct buf last;
    struct str part;
    uint8_t mask[4];

    if (uc == NULL)
        return;
    rng_bytes(mask, sizeof mask);
    buf_init(&last, 1024);
    if (how->upstream_code != 0 && !t->client_closed)
        add_close(&last, &t->from_client, how->upstream_code, how->text, mask);
    else if (how->upstream_code == 0 && !t->client_closed && !ws_in_frame(&t->from_client))
        add_same_close(&last, &t->from_upstream, mask);
    part = buf_str(&last);
    if (part.len > 0 && conn_write(&uc->conn, &part, 1) < 0)
        uconn_cancel(uc);
    else
        uconn_finish(uc);
    buf_free(&last);
}

/* What the client still gets, behind what was kept for it (in call->body). */
static void
add_last(struct call *call, const struct tunnel_ending *how)
{
    struct tunnel *t = call->tunnel;

    if (how->error != NULL)
        add_error(call, &call->body, how->error);
    if (how->client_code != 0)
        add_close(&call->body, &t->from_upstream, how->client_code, how->text, NULL);
    else
        add_same_close(&call->body, &t->from_upstream, NULL);
}

static void
say_last(struct call *call)
{
    struct client *client = call_detach_client(call);
    struct buf kept = call->body;
    struct str part = buf_str(&kept);

    buf_init(&call->body, 0);
    call_end(call);
    if (client)
        client_end_switched(client, part);
    buf_free(&kept);
}

void
tunnel_end(struct call *call, const struct tunnel_ending *how)
{
    struct worker *w = call->worker;

    ASSERT(call->held && call->client != NULL);
    list_remove(&call->waiting_node);
    if (how->reason != REASON_NONE) {
        log_warn("upstream.failed", "call=%s upstream=%.*s reason=%s text=%s", call->id_text,
                 STR_ARGS(call_upstream(call)->name), record_reason_name[how->reason],
                 log_quote(str_from(how->text)));
        feed_failed(call, how->reason, 0);
    }
    (void)tunnel_settle(call, how->outcome);
    add_last(call, how);
    end_upstream(call, how);
    if (w->inherit->durability != DURABILITY_RELAXED && !settle_committed(call)) {
        call_set_state(call, CALL_COMMIT_WAIT);
        list_push_back(&w->waiting, &call->waiting_node);
        call_set_timer(call, w->limits->call_ms);
        return;
    }
    say_last(call);
}

void
tunnel_committed(struct call *call)
{
    say_last(call);
}

void
tunnel_end_cut(struct call *call, enum record_reason reason, unsigned upstream_code,
               const char *text)
{
    struct proto_error error;

    error_set(&error, ERROR_UPSTREAM_FAILED, NULL, NULL, "turnpike: upstream %.*s: %s",
              STR_ARGS(call_upstream(call)->name), text);
    tunnel_end(call, &(struct tunnel_ending){
                         .outcome = OUTCOME_CUT,
                         .reason = reason,
                         .client_code = WS_INTERNAL,
                         .upstream_code = upstream_code,
                         .text = text,
                         .error = &error});
}

void
tunnel_end_going_away(struct call *call, const char *text)
{
    tunnel_end(call, &(struct tunnel_ending){
                         .outcome = tunnel_under_way(call) ? OUTCOME_CANCELLED : OUTCOME_OK,
                         .client_code = WS_GOING_AWAY,
                         .upstream_code = WS_GOING_AWAY,
                         .text = text});
}

void
tunnel_end_unpaid(struct call *call)
{
    struct proto_error error;

    error_set(&error, ERROR_NO_CREDIT, NULL, NULL,
              "turnpike: out of credits: the session was stopped at what was held for it");
    tunnel_end(call, &(struct tunnel_ending){
                         .outcome = OUTCOME_HOLD_ENDED,
                         .client_code = WS_POLICY,
                         .upstream_code = WS_GOING_AWAY,
                         .text = "out of credits",
                         .error = &error});
}

void
tunnel_end_books_busy(struct call *call)
{
    struct proto_error error;

    error_set(&error, ERROR_UNAVAILABLE, NULL, NULL,
              "turnpike: the books are busy; what was used so far is charged");
    tunnel_end(call, &(struct tunnel_ending){
                         .outcome = OUTCOME_CANCELLED,
                         .client_code = WS_TRY_LATER,
                         .upstream_code = WS_GOING_AWAY,
                         .text = "the books are busy",
                         .error = &error});
}

void
tunnel_end_other_model(struct call *call)
{
    log_warn("upstream.other-model", "call=%s upstream=%.*s reported=%s", call->id_text,
             STR_ARGS(call_upstream(call)->name), call->tunnel->meter.model);
    stat_add(call->worker->stats, STAT_MODEL_MISMATCH, 1);
    hold_record(&call->worker->holds, call->slot)->flags |= RECORD_MODEL_MISMATCH;
    tunnel_end_cut(call, REASON_MODEL_MISMATCH, WS_POLICY,
                   "its session is with another model than the one asked for");
}
