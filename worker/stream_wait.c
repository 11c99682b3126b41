#include "worker/stream_wait.h"

#include "worker/call.h"
#include "worker/relay.h"
#include "worker/settle.h"
#include "worker/speak.h"
#include "worker/uconn.h"

bool
stream_unpaid(struct call *call)
{
    struct price_count count;

    if (speak_collects(call)) /* nothing is sent before its end */
        return false;
    if (call->worker->inherit->durability != DURABILITY_RESERVE && !call->hold_busy)
        return false;
    if (!call->head_sent && !call->meter.answered) /* nothing of it is the caller's to pay yet */
        return false;
    count = settle_so_far(call);
    return settle_progress(call, &count) != SETTLE_PAID &&
           (call->hold_busy || !settle_durable(call));
}

bool
stream_keep(struct call *call, struct gather *g)
{
    bool kept = true;

    for (unsigned i = 0; i < g->count; i++)
        kept = buf_add_str(&call->body, g->parts[i]) && kept;
    g->count = 0;
    if (!kept)
        relay_failed(call, REASON_TOO_LARGE, ERROR_UPSTREAM_FAILED, "out of memory");
    return kept;
}

/* For the ledger process, until the call's own deadline, or for another try. False after too many. */
static bool
wait_more(struct call *call)
{
    if (call->hold_busy)
        return call_try_again(call);
    call_set_timer(call, call->worker->limits->call_ms);
    return true;
}

bool
stream_wait(struct call *call, struct gather *g)
{
    struct worker *w = call->worker;

    if (!stream_keep(call, g))
        return false;
    call_set_state(call, CALL_EXTEND_WAIT);
    call->then = STREAM_READ_ON;
    call->wait_len = call->body.len;
    list_push_back(&w->waiting, &call->waiting_node);
    (void)wait_more(call);
    if (call->uconn)
        conn_read_stop(&call->uconn->conn);
    return true;
}

void
stream_wait_complete(struct call *call, struct gather *g, struct str last, struct str mark)
{
    if (!stream_wait(call, g))
        return;
    if (!buf_add_str(&call->body, last) || !buf_add_str(&call->body, mark)) {
        relay_failed(call, REASON_TOO_LARGE, ERROR_UPSTREAM_FAILED, "out of memory");
        return;
    }
    call->then = STREAM_COMPLETE;
    /* What may be left of the answer is in the bytes being read, which nobody keeps. */
    if (call->uconn)
        uconn_cancel(call->uconn);
}

void
stream_wait_broken(struct call *call, enum record_reason reason, const struct proto_error *error)
{
    ASSERT(call->state == CALL_EXTEND_WAIT);
    call->then = STREAM_BREAK;
    call->then_reason = (uint8_t)reason;
    call_keep_error(call, error);
    if (call->uconn)
        uconn_cancel(call->uconn);
}

/* last: what completes the stream. */
static void
go_on(struct call *call, const struct buf *last)
{
    struct gather g = {.count = 0};
    struct proto_error error;

    switch ((enum stream_then)call->then) {
    case STREAM_READ_ON:
        call_set_timer(call, call_upstream(call)->idle_ms);
        if (call->uconn && !conn_is_full(&call->client->conn))
            conn_read_start(&call->uconn->conn);
        return;
    case STREAM_COMPLETE:
        if (last->failed)
            relay_failed(call, REASON_TOO_LARGE, ERROR_UPSTREAM_FAILED, "out of memory");
        else
            stream_complete(call, &g, buf_str(last), STR_NONE);
        return;
    case STREAM_BREAK:
        error = *call->last_error;
        stream_broken(call, (enum record_reason)call->then_reason, &error);
        return;
    }
}

/* Sends what was kept, and does what follows. May end the call. */
static void
wait_end(struct call *call)
{
    struct gather g = {.count = 0};
    struct buf last;

    ASSERT(call->wait_len <= call->body.len);
    list_remove(&call->waiting_node);
    call->hold_tries = 0;
    buf_init(&last, 2u * SSE_EVENT_LEN_MAX);
    if (call->body.len > call->wait_len)
        buf_add(&last, call->body.ptr + call->wait_len, call->body.len - call->wait_len);
    call->body.len = call->wait_len;
    call_set_state(call, call->head_sent ? CALL_STREAM : CALL_SENT);
    /* It is paid for, so this does not wait again. */
    if (stream_flush(call, &g))
        go_on(call, &last);
    buf_free(&last);
}

void
stream_wait_again(struct call *call)
{
    struct proto_error error;

    ASSERT(call->state == CALL_EXTEND_WAIT);
    if (!stream_unpaid(call)) {
        wait_end(call);
    } else if (!wait_more(call)) {
        error_set(&error, ERROR_UNAVAILABLE, NULL, NULL,
                  "turnpike: the books are busy; what was relayed is charged");
        error.retry_after_s = 1;
        stream_wait_over(call, &error);
    }
}

void
stream_wait_over(struct call *call, const struct proto_error *error)
{
    ASSERT(call->state == CALL_EXTEND_WAIT);
    list_remove(&call->waiting_node);
    buf_free(&call->body);
    if (!call->head_sent) {
        call_fail(call, error);
        return;
    }
    call_set_state(call, CALL_STREAM);
    stream_broken(call, REASON_NONE, error);
}
