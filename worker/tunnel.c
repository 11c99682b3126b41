#include "worker/tunnel.h"

#include <string.h>

#include "base/str.h"
#include "worker/call.h"
#include "worker/client.h"
#include "worker/commit.h"

/* For the upstream to answer a close frame. */
#define CLOSE_MS 5000u

/* ---- passing ---- */

/* What one read brought: how much was fed to the reader, and what it had kept before. */
struct flow {
    uint8_t before[WS_KEPT_MAX];
    size_t before_len;
    const uint8_t *bytes;
    size_t fed;
};

static void
flow_begin(struct flow *f, const struct ws *ws, const uint8_t *bytes)
{
    f->before_len = ws_kept(ws);
    memcpy(f->before, ws->kept, f->before_len);
    f->bytes = bytes;
    f->fed = 0;
}

/* What of it may pass (net/ws.h): none, or one or two parts. */
static unsigned
flow_parts(const struct flow *f, const struct ws *ws, struct str parts[2])
{
    size_t kept = ws_kept(ws);
    unsigned count = 0;

    if (kept > f->fed) /* still the frame whose beginning was kept before */
        return 0;
    if (f->before_len > 0)
        parts[count++] = (struct str){(const char *)f->before, f->before_len};
    if (f->fed > kept)
        parts[count++] = (struct str){(const char *)f->bytes, f->fed - kept};
    return count;
}

/* Without the frame just read, which is a control frame. */
static unsigned
flow_parts_before_control(const struct flow *f, const struct ws *ws, bool masked,
                          struct str parts[2])
{
    size_t frame = 2u + (masked ? 4u : 0u) + ws->control_len;
    unsigned count = 0;

    if (frame > f->fed)
        return 0;
    if (f->before_len > 0)
        parts[count++] = (struct str){(const char *)f->before, f->before_len};
    if (f->fed > frame)
        parts[count++] = (struct str){(const char *)f->bytes, f->fed - frame};
    return count;
}

/* To the client, or behind what waits for it. False when it is gone, and the call with it. */
static bool
pass_down(struct call *call, const struct str *parts, unsigned count)
{
    if (call->body.len > 0 || call->state == CALL_TUNNEL_WAIT) {
        for (unsigned i = 0; i < count; i++)
            buf_add_str(&call->body, parts[i]);
        return true;
    }
    if (count == 0)
        return true;
    if (!client_send_switched(call->client, parts, count)) {
        call_client_gone(call);
        return false;
    }
    if (call->uconn && conn_is_full(&call->client->conn))
        conn_read_stop(&call->uconn->conn);
    return true;
}

/* The next bytes wait for the hold that pays for them. */
static void
wait_for_hold(struct call *call)
{
    struct worker *w = call->worker;

    if (call->state != CALL_TUNNEL_WAIT) {
        call_set_state(call, CALL_TUNNEL_WAIT);
        list_push_back(&w->waiting, &call->waiting_node);
        conn_read_stop(&call->uconn->conn);
    }
    if (call->hold_busy)
        (void)!call_try_again(call); /* the first of several */
    else
        call_set_timer(call, w->limits->call_ms);
}

/* ---- the upstream's frames ---- */

/* The upstream says that it is over, and why. */
static void
upstream_closes(struct call *call)
{
    struct tunnel *t = call->tunnel;
    unsigned code = ws_close_code(&t->from_upstream);
    bool its_fault = code == WS_INTERNAL || code == 1012 || code == WS_TRY_LATER || code == 1014;
    struct tunnel_ending how = {.outcome = OUTCOME_OK, .text = "closed by the upstream"};

    if (tunnel_under_way(call) || its_fault || code == WS_PROTOCOL)
        how.outcome = t->client_closed ? OUTCOME_CLIENT_GONE : OUTCOME_CUT;
    if (!t->client_closed && (its_fault || (tunnel_under_way(call) && code <= WS_GOING_AWAY)))
        how.reason = REASON_EARLY_END;
    tunnel_end(call, &how);
}

enum step { STEP_ON = 0, STEP_WAIT, STEP_UNPAID, STEP_OTHER_MODEL, STEP_DRAINED };

static enum step
upstream_message(struct call *call)
{
    struct tunnel *t = call->tunnel;
    enum realtime_kind kind;

    if (t->from_upstream.opcode != WS_TEXT)
        return STEP_ON; /* nobody's events */
    kind = realtime_server_message(&t->meter, t->from_upstream.message_len);
    if (kind == REALTIME_SESSION)
        return commit_is_model(call, str_from(t->meter.model)) ? STEP_ON : STEP_OTHER_MODEL;
    switch (tunnel_pay(call, kind)) {
    case TUNNEL_PAID:
        break;
    case TUNNEL_PAID_SOON:
        return STEP_WAIT;
    case TUNNEL_UNPAID:
        return STEP_UNPAID;
    }
    return kind == REALTIME_DONE && call->worker->stopping && !tunnel_under_way(call) ? STEP_DRAINED
                                                                               : STEP_ON;
}

/* Passes what was fed, and ends. */
static void
stop_after(struct call *call, const struct flow *f, enum step step)
{
    struct str parts[2];
    unsigned count = flow_parts(f, &call->tunnel->from_upstream, parts);

    if (!pass_down(call, parts, count))
        return;
    if (step == STEP_UNPAID)
        tunnel_end_unpaid(call);
    else if (step == STEP_OTHER_MODEL)
        tunnel_end_other_model(call);
    else
        tunnel_end_going_away(call, "the gateway is stopping");
}

static void
upstream_breach(struct call *call, const struct flow *f)
{
    const struct ws *ws = &call->tunnel->from_upstream;
    struct str parts[2];
    bool too_big = ws->fault == WS_TOO_BIG;

    if (pass_down(call, parts, flow_parts(f, ws, parts)))
        tunnel_end_cut(call, too_big ? REASON_TOO_LARGE : REASON_BAD_ANSWER, ws->fault,
                too_big ? "a message is too long" : "a frame breaks the protocol");
}

static void
upstream_close_frame(struct call *call, const struct flow *f)
{
    const struct ws *ws = &call->tunnel->from_upstream;
    struct str parts[2];

    if (pass_down(call, parts, flow_parts_before_control(f, ws, false, parts)))
        upstream_closes(call);
}

static void
note_upstream(struct call *call, size_t len)
{
    call->response_bytes += len;
    call->tunnel->heard_ms = call->tunnel->upstream_ms = worker_now_ms(call->worker);
}

void
tunnel_from_upstream(struct call *call, const uint8_t *bytes, size_t len)
{
    struct tunnel *t = call->tunnel;
    struct ws *ws = &t->from_upstream;
    struct str parts[2];
    struct flow f;
    bool waits = false;

    if (len == 0)
        return;
    note_upstream(call, len);
    flow_begin(&f, ws, bytes);
    while (true) {
        size_t used;
        enum ws_event event = ws_feed(ws, bytes + f.fed, len - f.fed, &used);
        enum step step = STEP_ON;

        f.fed += used;
        if (event == WS_NEED)
            break;
        if (event == WS_FAULT) {
            upstream_breach(call, &f);
            return;
        }
        if (event == WS_CONTROL && ws->opcode == WS_CLOSE) {
            upstream_close_frame(call, &f);
            return;
        }
        if (event == WS_PAYLOAD && ws_in_text(ws))
            realtime_server_piece(&t->meter, ws->piece);
        if (event == WS_MESSAGE)
            step = upstream_message(call);
        waits |= step == STEP_WAIT;
        if (step > STEP_WAIT) {
            stop_after(call, &f, step);
            return;
        }
    }
    if (waits)
        wait_for_hold(call);
    (void)pass_down(call, parts, flow_parts(&f, ws, parts));
}

void
tunnel_upstream_gone(struct call *call, const char *why, bool early_end)
{
    if (call->tunnel->client_closed) /* it may leave without a word then */
        tunnel_end(call, &(struct tunnel_ending){
                             .outcome = tunnel_under_way(call) ? OUTCOME_CLIENT_GONE : OUTCOME_OK,
                             .client_code = WS_GOING_AWAY,
                             .upstream_code = WS_GOING_AWAY,
                             .text = why});
    else
        tunnel_end_cut(call, early_end ? REASON_EARLY_END : REASON_RESET, WS_GOING_AWAY, why);
}

/* ---- the client's frames ---- */

static void
client_piece(struct tunnel *t)
{
    size_t n = MIN(realtime_client_wants(&t->meter), t->from_client.piece.len);

    ws_unmask(&t->from_client, n, realtime_client_room(&t->meter));
    realtime_client_got(&t->meter, n);
}

static bool
pass_up(struct call *call, const struct str *parts, unsigned count)
{
    struct conn *conn = &call->uconn->conn;

    if (count == 0)
        return true;
    if (conn_write(conn, parts, count) < 0) {
        tunnel_upstream_gone(call, "the connection broke", false);
        return false;
    }
    if (conn_is_full(conn))
        conn_read_stop(&call->client->conn);
    return true;
}

static void
client_breach(struct call *call, const struct flow *f)
{
    struct tunnel *t = call->tunnel;
    struct str parts[2];
    unsigned code = t->from_client.fault;

    if (pass_up(call, parts, flow_parts(f, &t->from_client, parts)))
        tunnel_end(call, &(struct tunnel_ending){
                             .outcome = OUTCOME_CLIENT_GONE,
                             .client_code = code,
                             .upstream_code = WS_GOING_AWAY,
                             .text = code == WS_TOO_BIG ? "the message is too long"
                                                        : "the frame breaks the protocol"});
}

static void
client_closes(struct call *call)
{
    struct tunnel *t = call->tunnel;

    t->client_closed = true;
    if (call->state == CALL_TUNNEL)
        call_set_timer(call, CLOSE_MS);
}

void
tunnel_from_client(struct call *call, const uint8_t *bytes, size_t len)
{
    struct tunnel *t = call->tunnel;
    struct ws *ws = &t->from_client;
    struct str parts[2];
    struct flow f;

    if (t->client_closed) /* nothing follows a close frame */
        return;
    t->client_bytes += len;
    t->heard_ms = worker_now_ms(call->worker);
    flow_begin(&f, ws, bytes);
    while (!t->client_closed) {
        size_t used;
        enum ws_event event = ws_feed(ws, bytes + f.fed, len - f.fed, &used);

        f.fed += used;
        if (event == WS_NEED)
            break;
        if (event == WS_FAULT) {
            client_breach(call, &f);
            return;
        }
        if (event == WS_PAYLOAD && ws_in_text(ws))
            client_piece(t);
        else if (event == WS_MESSAGE && ws->opcode == WS_TEXT)
            realtime_client_message(&t->meter, ws->message_len);
        else if (event == WS_CONTROL && ws->opcode == WS_CLOSE)
            client_closes(call);
    }
    (void)pass_up(call, parts, flow_parts(&f, ws, parts));
}

void
tunnel_upstream_drained(struct call *call)
{
    conn_read_start(&call->client->conn);
}

void
tunnel_client_drained(struct call *call)
{
    if (call->state == CALL_TUNNEL)
        conn_read_start(&call->uconn->conn);
}

/* ---- the hold that was waited for ---- */

void
tunnel_wait_again(struct call *call)
{
    struct buf kept;
    struct str part;

    ASSERT(call->state == CALL_TUNNEL_WAIT);
    switch (tunnel_pay_again(call)) {
    case TUNNEL_PAID:
        break;
    case TUNNEL_PAID_SOON:
        if (!call->hold_busy)
            call_set_timer(call, call->worker->limits->call_ms);
        else if (!call_try_again(call))
            tunnel_end_books_busy(call);
        return;
    case TUNNEL_UNPAID:
        tunnel_end_unpaid(call);
        return;
    }
    list_remove(&call->waiting_node);
    call->hold_tries = 0;
    call_set_state(call, CALL_TUNNEL);
    call_set_timer(call, call->tunnel->client_closed ? CLOSE_MS : call_upstream(call)->idle_ms);
    conn_read_start(&call->uconn->conn);
    if (call->worker->stopping && !tunnel_under_way(call)) {
        tunnel_end_going_away(call, "the gateway is stopping");
        return;
    }
    kept = call->body;
    buf_init(&call->body, call->worker->limits->response_body_bytes);
    part = buf_str(&kept);
    (void)pass_down(call, &part, part.len > 0);
    buf_free(&kept);
}

/* ---- deadlines, draining ---- */

void
tunnel_begin(struct call *call)
{
    struct tunnel *t = call->tunnel;

    t->heard_ms = t->upstream_ms = worker_now_ms(call->worker);
    call->deadline_ms = t->heard_ms + call->worker->limits->call_ms;
    call_set_timer(call, call_upstream(call)->idle_ms);
}

/* Of a tunnel in which nobody has said anything, or only the client while a response is awaited. */
static void
look_at_silence(struct call *call)
{
    const struct tunnel *t = call->tunnel;
    uint64_t idle_ms = call_upstream(call)->idle_ms, now_ms = worker_now_ms(call->worker);
    bool awaited = tunnel_under_way(call) && !conn_is_full(&call->client->conn);
    uint64_t due_ms = (awaited ? t->upstream_ms : t->heard_ms) + idle_ms;

    if (now_ms < due_ms)
        call_set_timer(call, due_ms - now_ms);
    else if (awaited)
        tunnel_end_cut(call, REASON_TIMEOUT_IDLE, WS_GOING_AWAY, "the response stopped coming");
    else
        tunnel_end_going_away(call, "nothing was said for too long");
}

void
tunnel_timed_out(struct call *call, bool over)
{
    if (over)
        tunnel_end_going_away(call, "the session took too long in all");
    else if (call->state == CALL_TUNNEL_WAIT)
        tunnel_wait_again(call);
    else if (call->tunnel->client_closed)
        tunnel_upstream_gone(call, "the upstream does not close", false);
    else
        look_at_silence(call);
}

void
tunnel_drain(struct worker *w)
{
    struct list *node = w->calls.next;

    while (node != &w->calls) {
        struct call *call = CONTAINER_OF(node, struct call, node);

        node = node->next;
        if (call->state == CALL_TUNNEL && !tunnel_under_way(call))
            tunnel_end_going_away(call, "the gateway is stopping");
    }
}

void
tunnel_cancelled(struct call *call)
{
    tunnel_end_going_away(call, "the gateway is stopping");
}
