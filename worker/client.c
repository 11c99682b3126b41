#include "worker/client.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "worker/call.h"
#include "worker/callid.h"
#include "worker/crowd.h"
#include "worker/front.h"
#include "worker/metrics.h"
#include "worker/own.h"
#include "worker/refused.h"
#include "worker/request.h"
#include "worker/tunnel.h"

#define BODY_LOOK_MS 2000u /* how often a body's progress is looked at */
/* A connection that is quiet for so long while its worker drains has no request on its way. */
#define DRAIN_IDLE_MS 10000u
#define DRAIN_IDLE_AWAITED_MS 1000u /* longer than any way, and nobody is served meanwhile */

static void client_feed(struct client *c, uint8_t *bytes, size_t len);
static void client_on_timer(struct wheel_timer *timer);

static struct client *
client_of(struct conn *conn)
{
    return CONTAINER_OF(conn, struct client, conn);
}

/* ---- life ---- */

struct client *
client_new(struct worker *w, bool metrics)
{
    struct client *c = slab_take(&w->clients_slab);

    if (c == NULL)
        return NULL;
    c->worker = w;
    c->metrics = metrics;
    list_init(&c->node);
    list_init(&c->spare_node);
    list_push_back(&w->clients, &c->node);
    h1_req_init(&c->req, &w->request_limits, &w->request_head);
    return c;
}

void
client_drop(struct client *c)
{
    struct worker *w = c->worker;

    ASSERT(c->call == NULL && c->query == NULL && c->scrape == NULL && c->front == NULL);
    wheel_cancel(&w->net.wheel, &c->timer);
    h1_req_end(&c->req);
    crowd_leave(c);
    list_remove(&c->node);
    explicit_bzero(c->key_text, sizeof c->key_text);
    slab_give(&w->clients_slab, c);
}

void
client_is_counted(struct client *c)
{
    c->counted = true;
    stat_add(c->worker->stats, STAT_CONNECTIONS, 1);
}

static void
client_on_open(struct conn *conn)
{
    struct client *c = client_of(conn);
    struct worker *w = c->worker;

    if (!c->spare && !c->metrics)
        client_is_counted(c);
    stat_add(w->stats, STAT_CONNECTIONS_TOTAL, 1);
    if (conn_is_tls(conn))
        stat_add(w->stats, conn_tls_resumed(conn) ? STAT_TLS_RESUMED : STAT_TLS_FULL, 1);
    c->phase_ms = worker_now_ms(w);
    wheel_set(&w->net.wheel, &c->timer, w->limits->headers_ms, client_on_timer);
}

/* Whoever works for it must not find it any more. */
static void
client_gone(struct client *c)
{
    if (c->gone)
        return;
    c->gone = true;
    if (c->query)
        own_client_gone(c);
    if (c->front)
        front_client_gone(c);
    metrics_client_gone(c);
    if (c->call)
        call_client_gone(c->call);
    ASSERT(c->call == NULL);
}

static void
client_on_closed(struct conn *conn)
{
    struct client *c = client_of(conn);
    struct worker *w = c->worker;

    client_gone(c);
    if (c->counted)
        stat_add(w->stats, STAT_CONNECTIONS, (uint64_t)-1);
    client_drop(c);
    worker_maybe_done(w);
}

static void
client_on_error(struct conn *conn, const struct conn_error *error)
{
    (void)error; /* a client that went away is nothing to log */
    client_gone(client_of(conn));
}

static void
client_on_eof(struct conn *conn)
{
    struct client *c = client_of(conn);

    /* A client that shuts down its side while it waits is taken for gone: that is what an
     * aborted SDK call looks like, and the upstream bills by the token. */
    if (c->answering)
        client_gone(c);
    if (conn_pending_bytes(conn) > 0)
        conn_shutdown(conn);
    else
        conn_close(conn);
}

static void
client_on_drain(struct conn *conn)
{
    struct client *c = client_of(conn);

    if (c->call)
        call_client_drained(c->call);
    else if (c->front)
        front_client_drained(c);
    else
        metrics_drained(c);
}

/* ---- deadlines: one timer, which finds out what is due when it comes up ---- */

static void
client_again(struct client *c, uint64_t ms)
{
    wheel_set(&c->worker->net.wheel, &c->timer, ms, client_on_timer);
}

/* Of what is no whole request: nobody knows which protocol it would have been of. */
static void
client_refuse(struct client *c, const struct proto_error *error)
{
    char id[CALL_ID_LEN + 1];
    uint8_t bytes[16];

    callid_make(c->worker, bytes, id);
    refused_request(c->worker, &(struct refused){.call_id = bytes,
                                                 .endpoint = REFUSAL_NO_ENDPOINT,
                                                 .protocol = PROTO_OPENAI,
                                                 .status = error_status(error->kind, PROTO_OPENAI)});
    client_close_after(c);
    (void)client_send_error(c, PROTO_OPENAI, error, (struct str){id, CALL_ID_LEN}, NULL);
}

static void
client_again_idle(struct client *c)
{
    const struct worker *w = c->worker;
    uint32_t drain_ms = w->awaited ? DRAIN_IDLE_AWAITED_MS : DRAIN_IDLE_MS;

    client_again(c, w->draining ? MIN(w->limits->idle_ms, drain_ms) : w->limits->idle_ms);
}

static void
client_too_slow(struct client *c, const char *what)
{
    struct proto_error error;

    error_set(&error, ERROR_REQUEST_TIMEOUT, NULL, NULL, "turnpike: the request's %s took too long",
              what);
    client_refuse(c, &error);
}

static void
client_look_at_body(struct client *c, uint64_t now_ms)
{
    const struct conf_limits *limits = c->worker->limits;
    uint64_t waited_ms = now_ms - c->phase_ms;
    uint64_t expected = waited_ms * limits->body_bytes_per_s_min / 1000;

    if (waited_ms >= limits->body_ms && c->req.body_bytes < expected)
        client_too_slow(c, "body");
    else if (waited_ms > BODY_LOOK_MS && c->req.body_bytes == 0 && waited_ms >= limits->body_ms)
        client_too_slow(c, "body");
    else
        client_again(c, BODY_LOOK_MS);
}

/* While an answer is on its way the only deadline is the peer's taking of what was written. */
static void
client_look_at_output(struct client *c, uint64_t now_ms)
{
    uint64_t due_ms;

    if (conn_pending_bytes(&c->conn) == 0) {
        client_again(c, c->worker->limits->write_ms);
        return;
    }
    due_ms = c->conn.write_progress_ms + c->worker->limits->write_ms;
    if (now_ms < due_ms) {
        client_again(c, due_ms - now_ms);
        return;
    }
    client_gone(c);
    conn_reset(&c->conn);
}

static void
client_on_timer(struct wheel_timer *timer)
{
    struct client *c = CONTAINER_OF(timer, struct client, timer);
    uint64_t now_ms = worker_now_ms(c->worker);

    if (conn_is_closing(&c->conn))
        return;
    if (c->answering || conn_pending_bytes(&c->conn) > 0) {
        client_look_at_output(c, now_ms);
        return;
    }
    switch (c->req.state) {
    case H1_REQ_IN_HEAD:
        client_too_slow(c, "head");
        return;
    case H1_REQ_IN_BODY:
        client_look_at_body(c, now_ms);
        return;
    case H1_REQ_IDLE:
    case H1_REQ_READY:
    case H1_REQ_FAILED:
    case H1_REQ_STATE_COUNT:
        conn_shutdown(&c->conn);
        return;
    }
}

/* After a feed: the deadline that fits what the reader waits for now. */
static void
client_arm(struct client *c)
{
    const struct conf_limits *limits = c->worker->limits;

    if (c->answering || conn_is_closing(&c->conn))
        return; /* what is set comes up in time for client_look_at_output() */
    if (c->req.state == H1_REQ_IDLE) {
        c->phase = H1_REQ_IDLE;
        client_again_idle(c);
        return;
    }
    if (c->phase == c->req.state)
        return; /* the phase has one deadline in all, not one a byte */
    c->phase = c->req.state;
    c->phase_ms = worker_now_ms(c->worker);
    client_again(c, c->req.state == H1_REQ_IN_HEAD ? limits->headers_ms : BODY_LOOK_MS);
}

/* ---- requests ---- */

static void
client_on_bad_request(struct client *c)
{
    struct proto_error error;
    enum error_kind kind = ERROR_BAD_REQUEST;

    switch (c->req.error.status) {
    case 413:
        kind = ERROR_TOO_LARGE;
        break;
    case 414:
        kind = ERROR_URI_TOO_LONG;
        break;
    case 431:
        kind = ERROR_HEADERS_TOO_LARGE;
        break;
    case 503:
        kind = ERROR_UNAVAILABLE;
        break;
    default:
        break;
    }
    stat_add(c->worker->stats, STAT_BAD_REQUESTS, 1);
    if (c->fronted) {
        c->answering = true;
        client_close_after(c);
        front_refuse_bad(c);
        return;
    }
    error_set(&error, kind, NULL, NULL, "turnpike: %s", c->req.error.reason);
    c->answering = true;
    client_refuse(c, &error);
}

/* One step of the reader. False when it wants more bytes, or nothing more may be read. */
static bool
client_step(struct client *c, uint8_t **bytes, size_t *len)
{
    size_t used = 0;
    enum h1_req_event event = h1_req_feed(&c->req, *bytes, *len, &used);

    if (used > 0)
        *bytes += used;
    *len -= used;
    switch (event) {
    case H1_REQ_MORE:
        return false;
    case H1_REQ_HEAD:
        c->keep_alive = c->req.head->keep_alive;
        c->chunked = c->req.head->minor >= 1;
        c->bodyless = str_eq(h1_head_method_name(c->req.head), STR("HEAD"));
        request_begins(c, *len);
        return true;
    case H1_REQ_DONE:
        c->answering = true;
        c->requests++;
        stat_add(c->worker->stats, STAT_REQUESTS, 1);
        if (c->requests >= c->worker->limits->requests_per_connection || c->worker->draining)
            c->keep_alive = false;
        request_take(c);
        return true;
    case H1_REQ_ERROR:
        client_on_bad_request(c);
        return false;
    }
    return false;
}

static void
client_feed(struct client *c, uint8_t *bytes, size_t len)
{
    c->in_feed = true;
    while (!c->answering && !c->broken && !c->gone && !conn_is_closing(&c->conn))
        if (!client_step(c, &bytes, &len))
            break;
    c->in_feed = false;
    if (c->gone || c->broken || conn_is_closing(&c->conn))
        return;
    if (len > 0 && h1_req_stash(&c->req, bytes, len) < 0) {
        client_gone(c);
        conn_close(&c->conn);
        return;
    }
    if (c->req.stash_len - c->req.stash_off >= H1_STASH_MARK)
        conn_read_stop(&c->conn);
    client_arm(c);
}

static void
client_on_data(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct client *c = client_of(conn);

    if (c->call != NULL && tunnel_is_open(c->call))
        tunnel_from_client(c->call, bytes, len);
    else
        client_feed(c, bytes, len);
}

const struct conn_events client_events = {
    .on_open = client_on_open,
    .on_data = client_on_data,
    .on_eof = client_on_eof,
    .on_drain = client_on_drain,
    .on_error = client_on_error,
    .on_closed = client_on_closed,
};

/* ---- answers ---- */

void
client_close_after(struct client *c)
{
    c->keep_alive = false;
    c->broken = true;
}

/* The answer is out: the next request, or the end. */
static void
client_answered(struct client *c)
{
    ASSERT(c->call == NULL && c->query == NULL && c->scrape == NULL && c->front == NULL);
    c->answering = false;
    c->bodyless = false;
    c->phase = H1_REQ_IDLE; /* what the next request has sent already gets a deadline of its own */
    /* An answer that began before a reload has promised the connection for one more request. */
    if (!c->keep_alive || c->broken || c->worker->stopping) {
        c->broken = true;
        conn_shutdown(&c->conn);
        return;
    }
    if (c->req.state == H1_REQ_READY) /* a stream gave its request back before */
        h1_req_next(&c->req);
    conn_read_start(&c->conn);
    if (conn_pending_bytes(&c->conn) > 0)
        client_again(c, c->worker->limits->write_ms);
    if (!c->in_feed)
        client_feed(c, NULL, 0);
}

/* One gathered write. A client that does not take it is gone. */
static bool
client_write(struct client *c, const struct str *parts, unsigned count)
{
    uint64_t bytes = 0;

    if (c->gone || conn_is_closing(&c->conn))
        return false;
    for (unsigned i = 0; i < count; i++)
        bytes += parts[i].len;
    if (conn_write(&c->conn, parts, count) < 0) {
        c->gone = true; /* the caller is told by our answer, not through call_client_gone() */
        conn_close(&c->conn);
        return false;
    }
    stat_add(c->worker->stats, STAT_BYTES_TO_CLIENTS, bytes);
    if (conn_pending_bytes(&c->conn) > 0)
        client_again(c, c->worker->limits->write_ms);
    return true;
}

void
client_head(struct client *c, struct h1_out *out, unsigned status, struct str id)
{
    struct worker *w = c->worker;

    h1_out_init(out, w->head_buf, HEAD_BYTES_MAX);
    h1_out_status(out, status);
    h1_out_date(out, &w->date, worker_wall_us(w));
    if (id.len > 0)
        h1_out_own(out, "x-request-id: ", id);
}

bool
client_send_whole(struct client *c, struct h1_out *out, struct str body)
{
    struct str parts[2];
    unsigned minor = c->chunked ? 1 : 0;

    h1_out_length(out, body.len);
    c->keep_alive = c->keep_alive && !c->worker->draining;
    h1_out_connection(out, c->keep_alive, minor);
    if (!h1_out_end(out)) { /* something of the upstream's or ours that may not be sent */
        client_abort(c);
        return false;
    }
    parts[0] = (struct str){out->ptr, out->len};
    parts[1] = body;
    if (!client_write(c, parts, body.len > 0 && !c->bodyless ? 2 : 1))
        return false;
    client_answered(c);
    return true;
}

bool
client_send_bare(struct client *c, struct h1_out *out)
{
    struct str part;

    c->keep_alive = c->keep_alive && !c->worker->draining;
    h1_out_connection(out, c->keep_alive, c->chunked ? 1 : 0);
    if (!h1_out_end(out)) {
        client_abort(c);
        return false;
    }
    part = (struct str){out->ptr, out->len};
    if (!client_write(c, &part, 1))
        return false;
    client_answered(c);
    return true;
}

/* The total as a chunk's head; 0 parts are no chunk. */
static unsigned
chunk_parts(const struct client *c, const struct str *parts, unsigned count, char *head,
            struct str *out)
{
    size_t total = 0;
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++)
        total += parts[i].len;
    if (total == 0)
        return 0;
    if (c->chunked)
        out[n++] = (struct str){head, h1_chunk_head(total, head)};
    for (unsigned i = 0; i < count; i++)
        if (parts[i].len > 0)
            out[n++] = parts[i];
    if (c->chunked)
        out[n++] = H1_CHUNK_CRLF;
    return n;
}

bool
client_send_head(struct client *c, struct h1_out *out, const struct str *parts, unsigned count)
{
    struct str all[CONN_PARTS_MAX];
    char chunk[H1_CHUNK_HEAD_MAX];
    unsigned n = 1;

    ASSERT(count <= CONN_PARTS_MAX - 3);
    if (c->chunked)
        h1_out_chunked(out);
    /* HTTP/1.0: the end of the connection is the end of the answer. */
    c->keep_alive = c->keep_alive && c->chunked && !c->worker->draining;
    h1_out_connection(out, c->keep_alive, c->chunked ? 1 : 0);
    if (!h1_out_end(out)) {
        client_abort(c);
        return false;
    }
    all[0] = (struct str){out->ptr, out->len};
    n += chunk_parts(c, parts, count, chunk, all + 1);
    return client_write(c, all, n);
}

bool
client_send_parts(struct client *c, const struct str *parts, unsigned count)
{
    struct str all[CONN_PARTS_MAX];
    char chunk[H1_CHUNK_HEAD_MAX];
    unsigned n;

    ASSERT(count <= CONN_PARTS_MAX - 3);
    n = chunk_parts(c, parts, count, chunk, all);
    return n == 0 || client_write(c, all, n);
}

static bool
send_end(struct client *c, const struct str *parts, unsigned count, bool whole)
{
    struct str all[CONN_PARTS_MAX];
    char chunk[H1_CHUNK_HEAD_MAX];
    unsigned n;

    ASSERT(count <= CONN_PARTS_MAX - 3);
    n = chunk_parts(c, parts, count, chunk, all);
    if (c->chunked && whole)
        all[n++] = H1_CHUNK_LAST;
    if (n > 0 && !client_write(c, all, n))
        return false;
    client_answered(c);
    return true;
}

bool
client_send_last(struct client *c, const struct str *parts, unsigned count)
{
    return send_end(c, parts, count, true);
}

bool
client_send_cut(struct client *c, const struct str *parts, unsigned count)
{
    client_close_after(c);
    return send_end(c, parts, count, false);
}

bool
client_send_switch(struct client *c, struct h1_out *out)
{
    struct str part;

    if (!h1_out_end(out)) {
        client_abort(c);
        return false;
    }
    part = (struct str){out->ptr, out->len};
    return client_write(c, &part, 1);
}

bool
client_send_switched(struct client *c, const struct str *parts, unsigned count)
{
    return client_write(c, parts, count);
}

void
client_end_switched(struct client *c, struct str last)
{
    ASSERT(c->call == NULL);
    client_close_after(c);
    if (last.len == 0 || client_write(c, &last, 1))
        conn_shutdown(&c->conn);
}

void
client_error_lines(struct h1_out *out, const struct proto_error *error)
{
    bool later = error->kind == ERROR_LIMIT_REQUESTS || error->kind == ERROR_LIMIT_TOKENS ||
                 error->kind == ERROR_UNAVAILABLE || error->kind == ERROR_OVERLOADED;

    h1_out_own(out, "content-type: ", STR("application/json"));
    if (later || error->retry_after_s > 0)
        h1_out_own_u64(out, "retry-after: ", MAX(error->retry_after_s, 1u));
    if (error->limit[0] != '\0')
        h1_out_own(out, "x-turnpike-limit: ", str_from(error->limit));
}

bool
client_send_error(struct client *c, enum proto_protocol shape, const struct proto_error *error,
                  struct str id, const char *allow)
{
    struct h1_out out;
    struct buf body;
    bool sent;

    buf_init(&body, 16u << 10);
    error_write_body(&body, shape, error, id);
    client_head(c, &out, error_status(error->kind, shape), id);
    client_error_lines(&out, error);
    if (allow)
        h1_out_own(&out, "allow: ", (struct str){allow, strlen(allow)});
    sent = client_send_whole(c, &out, buf_str(&body));
    buf_free(&body);
    return sent;
}

void
client_abort(struct client *c)
{
    c->gone = true;
    conn_reset(&c->conn);
}

void
client_drain(struct client *c)
{
    if (conn_is_closing(&c->conn) || c->answering || c->req.state != H1_REQ_IDLE) {
        c->keep_alive = c->keep_alive && !c->worker->stopping;
        return;
    }
    if (c->worker->stopping)
        conn_shutdown(&c->conn);
    else if (conn_pending_bytes(&c->conn) == 0)
        client_again_idle(c); /* its next request may be on its way already */
}
