#include "worker/stream.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "worker/call.h"
#include "worker/client.h"
#include "worker/commit.h"
#include "worker/feed.h"
#include "worker/forward.h"
#include "worker/media.h"
#include "worker/relay.h"
#include "worker/settle.h"
#include "worker/speak.h"
#include "worker/stream_wait.h"
#include "worker/tunnel.h"
#include "worker/uconn.h"
#include "worker/whole.h"

void
stream_begin(struct call *call)
{
    /* A translation hears of the usage, whoever asked. */
    meter_init(&call->meter, (enum proto_endpoint)call->up_endpoint,
               call->ask.usage_asked || call->speaks);
    sse_free(&call->sse);
    /* A picture is one event. */
    sse_init(&call->sse, proto_is_media((enum proto_endpoint)call->endpoint)
                             ? call->worker->limits->response_body_bytes
                             : call->worker->limits->event_bytes);
    call->progress_events = 0;
}

/* ---- to the client ---- */

static void
gather_add(struct gather *g, struct str bytes)
{
    struct str *last = g->count ? &g->parts[g->count - 1] : NULL;

    if (last && last->ptr + last->len == bytes.ptr)
        last->len += bytes.len; /* events side by side are one piece */
    else
        g->parts[g->count++] = bytes;
}

/* What was kept, as one piece. */
static bool
send_kept(struct call *call)
{
    struct str all = buf_str(&call->body);
    bool sent = client_send_parts(call->client, &all, 1);

    buf_free(&call->body);
    return sent;
}

bool
stream_flush(struct call *call, struct gather *g)
{
    bool sent = true;

    if (stream_unpaid(call))
        return stream_wait(call, g);
    if (!call->head_sent) {
        if (!commit_flush(call, g))
            return false;
    } else if (call->body.len > 0) {
        if (!stream_keep(call, g)) /* behind what was kept before */
            return false;
        sent = send_kept(call);
    } else if (g->count > 0) {
        sent = client_send_parts(call->client, g->parts, g->count);
    }
    if (!sent) {
        call_client_gone(call);
        return false;
    }
    g->count = 0;
    if (call->uconn && conn_is_full(&call->client->conn))
        conn_read_stop(&call->uconn->conn);
    return true;
}

/* ---- what was used ---- */

void
stream_used(struct call *call, struct settle_end *end)
{
    commit_flag_model(call);
    end->usage = settle_judge(call, meter_usage(&call->meter));
    if (proto_is_media((enum proto_endpoint)call->endpoint))
        end->usage = media_usage(call, end->usage, media_made_so_far(call));
    end->so_far = settle_so_far(call);
    end->by = SETTLE_USAGE;
    end->service = str_from(call->meter.service);
    end->output_estimate = call->meter.output_estimate;
    end->has_output = call->meter.output_event_count > 0;
    end->http_status = 200;
    end->model_reported = str_from(call->meter.model);
}

/* ---- ends ---- */

void
stream_wait_commit(struct call *call, struct str last, int64_t charge_ucr, struct str model)
{
    struct worker *w = call->worker;
    struct buf kept = call->body;

    /* last may point into the body. */
    buf_init(&call->body, w->limits->response_body_bytes);
    if (!call->head_sent && kept.ptr == last.ptr) {
        call->body = kept;
    } else {
        buf_add_str(&call->body, last);
        buf_free(&kept);
    }
    call->progress_ucr = charge_ucr;
    str_copy(model, call->meter.model, sizeof call->meter.model);
    call_set_state(call, CALL_COMMIT_WAIT);
    list_push_back(&w->waiting, &call->waiting_node);
    call_set_timer(call, w->limits->call_ms);
}

void
relay_committed(struct call *call)
{
    struct client *client;
    struct buf kept = call->body;
    struct str part = buf_str(&kept);

    if (call->tunnel != NULL) {
        tunnel_committed(call);
        return;
    }
    if (!call->head_sent) {
        char model[METER_MODEL_CAP];

        str_copy(str_from(call->meter.model), model, sizeof model);
        whole_committed(call, call->progress_ucr, str_from(model));
        return;
    }
    client = call_detach_client(call);
    buf_init(&call->body, 0);
    call_end(call);
    if (client)
        (void)client_send_last(client, &part, 1);
    buf_free(&kept);
}

void
stream_complete(struct call *call, struct gather *g, struct str last, struct str mark)
{
    struct settle_end end = {.outcome = OUTCOME_OK};
    struct client *client;
    int64_t charge_ucr;

    if (stream_unpaid(call)) {
        stream_wait_complete(call, g, last, mark);
        return;
    }
    if (speak_collects(call)) {
        whole_collected(call);
        return;
    }
    if (!call->head_sent && !commit_at_end(call, g))
        return;
    if (call->body.len > 0 && !stream_flush(call, g))
        return;
    if (meter_content(&call->meter) == CONTENT_NONE) { /* it was committed because it took so long */
        relay_failed(call, REASON_EMPTY, ERROR_UPSTREAM_FAILED, "its answer is empty");
        return;
    }
    stream_used(call, &end);
    feed_streamed(call, end.usage.output);
    charge_ucr = settle_call(call, &end);
    if (call->uconn)
        uconn_release(call->uconn);
    if (call->worker->inherit->durability != DURABILITY_RELAXED &&
        !settle_committed(call)) {
        struct buf both;

        if (g->count > 0 && !client_send_parts(call->client, g->parts, g->count)) {
            call_client_gone(call);
            return;
        }
        buf_init(&both, 2u * SSE_EVENT_LEN_MAX);
        buf_add_str(&both, last);
        buf_add_str(&both, mark);
        stream_wait_commit(call, buf_str(&both), charge_ucr, str_from(call->meter.model));
        buf_free(&both);
        return;
    }
    if (last.len > 0)
        gather_add(g, last);
    if (mark.len > 0)
        gather_add(g, mark);
    client = call_detach_client(call);
    {
        struct sse kept = call->sse; /* events may point into its buffers */

        sse_init(&call->sse, 0);
        call_end(call);
        (void)client_send_last(client, g->parts, g->count);
        sse_free(&kept);
    }
}

void
stream_broken(struct call *call, enum record_reason reason, const struct proto_error *error)
{
    struct settle_end end = {.outcome = reason == REASON_NONE ? OUTCOME_CANCELLED : OUTCOME_CUT};
    struct client *client;
    struct buf event;
    struct str part;

    if (call->state == CALL_EXTEND_WAIT) {
        stream_wait_broken(call, reason, error);
        return;
    }
    if (reason == REASON_NO_CONNECTION)
        end.outcome = OUTCOME_HOLD_ENDED;
    if (end.outcome == OUTCOME_CUT)
        feed_failed(call, reason, 0);
    stream_used(call, &end);
    /* A report that came before the cut is not the whole: progress has the larger of both, once it
     * knows of the events that came in one piece with the cut. */
    if (end.outcome == OUTCOME_CUT && !call->meter.finish_seen)
        end.by = SETTLE_PROGRESS;
    (void)settle_call(call, &end);
    if (call->uconn)
        uconn_cancel(call->uconn);
    if (call->bytes) { /* no error can be told in them: the peer must see that they were cut */
        client = call_detach_client(call);
        call_end(call);
        if (client)
            client_abort(client);
        return;
    }
    buf_init(&event, 64u << 10);
    speak_error(call, error, &event);
    client = call_detach_client(call);
    call_end(call);
    part = buf_str(&event);
    if (client)
        (void)client_send_cut(client, &part, 1);
    buf_free(&event);
}

/* ---- events ---- */

static void
error_event(struct call *call, const struct sse_event *event, struct gather *g)
{
    struct str list[2];
    struct proto_error error;

    error_from_object(event->data, relay_secrets(call, list), &error);
    log_warn("upstream.error-event", "call=%s upstream=%.*s", call->id_text,
             STR_ARGS(call_upstream(call)->name));
    if (!stream_flush(call, g))
        return;
    /* What waits for its hold is the answer, sent or not. */
    if (call->head_sent || call->state == CALL_EXTEND_WAIT)
        stream_broken(call, REASON_ERROR_EVENT, &error);
    else
        forward_failed(call, REASON_ERROR_EVENT, &error, error_may_fail_over(&error));
}

static void
bad_event(struct call *call, struct gather *g)
{
    if (!stream_flush(call, g))
        return;
    relay_failed(call, REASON_BAD_ANSWER, ERROR_UPSTREAM_FAILED, "an event cannot be understood");
}

/* What the client gets for an event: its bytes, or what they are made into. */
static bool
pass_event(struct call *call, const struct sse_event *event, struct gather *g)
{
    if (call->speaks || call->ask.json_array)
        return speak_event(call, event, g);
    gather_add(g, event->raw);
    return true;
}

/* The event that ends the stream. Ends the call, or moves it to another candidate. */
static void
last_event(struct call *call, const struct sse_event *event, struct gather *g)
{
    struct str last = event->raw;

    if ((call->speaks || call->ask.json_array) && !speak_last(call, event, g, &last))
        bad_event(call, g);
    else
        stream_complete(call, g, last, call->ask.json_array ? speak_end_mark(call) : STR_NONE);
}

/* In the middle of a piece nobody waits: what may not go out yet is kept. */
static bool
pass_on(struct call *call, struct gather *g)
{
    return stream_unpaid(call) ? stream_keep(call, g) : stream_flush(call, g);
}

/* The bytes that were left when the body ended. False: they cannot be passed on. */
static bool
half_event(struct call *call, struct sse_event *event, struct gather *g)
{
    switch (meter_event(&call->meter, event)) {
    case METER_PASS:
    case METER_END:
        if (!pass_event(call, event, g))
            return false;
        if (event->unterminated && !call->speaks && !call->ask.json_array)
            gather_add(g, STR("\n\n"));
        return true;
    case METER_HIDE:
    case METER_BAD: /* half an event: the finish tells what it means */
    case METER_UPSTREAM_ERROR:
    case METER_VERDICT_COUNT:
        break;
    }
    return true;
}

void
stream_upstream_done(struct call *call, struct gather *g)
{
    struct sse_event event;
    struct str last = STR_NONE;

    if (call->bytes)
        meter_bytes_end(&call->meter);

    if (sse_last(&call->sse, &event) && !event.comment_only && !half_event(call, &event, g)) {
        bad_event(call, g);
        return;
    }
    if (meter_finish(&call->meter) != METER_FINISH_CUT) {
        if (call->speaks && !speak_last(call, NULL, g, &last)) {
            bad_event(call, g);
            return;
        }
        stream_complete(call, g, last,
                        meter_finish(&call->meter) == METER_FINISH_CLEAN && !call->ask.json_array
                            ? STR_NONE
                            : speak_end_mark(call));
        return;
    }
    if (!stream_flush(call, g))
        return;
    if (call->meter.answered)
        relay_failed(call, REASON_EARLY_END, ERROR_UPSTREAM_FAILED, "the stream ended early");
    else
        relay_failed(call, REASON_EMPTY, ERROR_UPSTREAM_FAILED, "the stream ended before its answer");
}

/* Events of one piece. False when the call is over or moved on. */
static bool
take_events(struct call *call, struct gather *g)
{
    struct sse_event event;
    int rc;

    while ((rc = sse_next(&call->sse, &event)) == 1) {
        switch (meter_event(&call->meter, &event)) {
        case METER_PASS:
            if (!pass_event(call, &event, g)) {
                bad_event(call, g);
                return false;
            }
            break;
        case METER_HIDE:
            break;
        case METER_END:
            last_event(call, &event, g);
            return false;
        case METER_UPSTREAM_ERROR:
            error_event(call, &event, g);
            return false;
        case METER_BAD:
        case METER_VERDICT_COUNT:
            bad_event(call, g);
            return false;
        }
        if (g->count >= GATHER_PARTS_MAX - 2 && !pass_on(call, g))
            return false;
    }
    if (rc == 0 && call->sse.carry_given && !pass_on(call, g))
        return false; /* what was carried goes before its buffer is used again */
    if (rc == 0)
        rc = sse_keep(&call->sse);
    if (rc < 0) {
        if (!stream_flush(call, g))
            return false;
        relay_failed(call, REASON_TOO_LARGE, ERROR_UPSTREAM_FAILED,
                     rc == -EMSGSIZE ? "an event is too long" : "out of memory");
        return false;
    }
    return true;
}

/* What is no events: passes as it comes, and with the first byte it is the answer. */
static bool
take_bytes(struct call *call, const struct h1_res_out *out, struct gather *g)
{
    for (size_t i = 0; i < out->span_count; i++) {
        if (out->spans[i].len == 0)
            continue;
        meter_bytes(&call->meter);
        gather_add(g, out->spans[i]);
        if (g->count >= GATHER_PARTS_MAX - 2 && !pass_on(call, g))
            return false;
    }
    return true;
}

bool
stream_take(struct call *call, const struct h1_res_out *out, struct gather *g)
{
    if (call->bytes)
        return take_bytes(call, out, g);
    for (size_t i = 0; i < out->span_count; i++) {
        sse_feed(&call->sse, out->spans[i]);
        if (!take_events(call, g))
            return false;
    }
    return true;
}

static void
hold_ended(struct call *call, struct gather *g)
{
    struct proto_error error;

    if (!stream_flush(call, g))
        return;
    error_set(&error, ERROR_NO_CREDIT, NULL, NULL,
              "turnpike: out of credits: the stream was stopped at what was held for it");
    stream_broken(call, REASON_NO_CONNECTION, &error);
}

void
stream_fed(struct call *call, struct gather *g)
{
    struct price_count count;

    if (call->meter.event_count != call->progress_events) {
        call->progress_events = call->meter.event_count;
        call_set_timer(call, commit_wait_ms(call));
        count = settle_so_far(call);
        /* Before the commit nothing is the caller's to pay: another may serve the call. */
        if ((call->head_sent || call->meter.answered) && !speak_collects(call) &&
            settle_progress(call, &count) == SETTLE_UNPAID) {
            hold_ended(call, g);
            return;
        }
    }
    (void)stream_flush(call, g);
}
