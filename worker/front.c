#include "worker/front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "net/unix.h"
#include "worker/callid.h"
#include "worker/client.h"
#include "worker/crowd.h"
#include "worker/front_in.h"

#define ASKS_MAX 256u   /* at a time, each on a connection of its own */
#define IDLE_MAX 8u     /* connections that are kept */
#define IDLE_MS 10000u
#define FIRST_MS 60000u /* to the first byte of an answer */
#define QUIET_MS 120000u /* between two of them */
#define TRIES_MAX 4u
#define WHOLE_BYTES_MAX (1u << 20) /* an answer that says that it has so many is sent in one piece */

struct front {
    struct worker *worker;
    struct list idle; /* most recently used first */
    struct list asks;
    unsigned idle_count, ask_count;
};

enum front_state { FRONT_DIALLING = 0, FRONT_BUSY, FRONT_IDLE, FRONT_CLOSING, FRONT_STATE_COUNT };

/* A connection to the manage process. */
struct front_conn {
    struct conn conn;
    struct h1_res res;
    struct list node; /* front->idle, or none */
    struct wheel_timer timer;
    struct front *front;
    struct front_ask *ask; /* whose it is, while dialling or busy */
    uint8_t state;         /* enum front_state */
    bool reused;           /* has answered before */
};

/* A request under way. client->front and ask->client, ask->conn and its ask are set and cleared in pairs. */
struct front_ask {
    struct list node; /* front->asks */
    struct client *client;
    struct front_conn *conn;
    struct wheel_timer timer;
    struct buf head, body;  /* an answer that is sent in one piece: its headers as they go out, its bytes */
    uint8_t id[16];
    char id_text[CALL_ID_LEN + 1];
    uint16_t status;
    uint8_t tries;
    bool safe;     /* asking twice does no harm */
    bool streamed; /* the client has the answer's head */
    bool endless;  /* and it is a stream of events */
    size_t path_len;
    char path[];
};

static const struct conn_events front_events;
static void connect_ask(struct front_ask *ask);

int
front_init(struct worker *w)
{
    struct front *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -ENOMEM;
    f->worker = w;
    list_init(&f->idle);
    list_init(&f->asks);
    w->front = f;
    return 0;
}

/* ---- the end of a request ---- */

static void
conn_end_use(struct front_conn *fc, enum front_state next)
{
    struct front *f = fc->front;

    ASSERT(fc->ask == NULL && fc->state != FRONT_CLOSING);
    if (fc->state == FRONT_IDLE) {
        list_remove(&fc->node);
        f->idle_count--;
    }
    wheel_cancel(&f->worker->net.wheel, &fc->timer);
    fc->state = (uint8_t)next;
}

static void
close_conn(struct front_conn *fc)
{
    if (fc->state == FRONT_CLOSING)
        return;
    conn_end_use(fc, FRONT_CLOSING);
    h1_res_end(&fc->res);
    conn_close(&fc->conn);
}

static void
on_idle(struct wheel_timer *timer)
{
    close_conn(CONTAINER_OF(timer, struct front_conn, timer));
}

/* Its answer is complete: keeps it for the next request, if it may have one. */
static void
keep_conn(struct front_conn *fc)
{
    struct front *f = fc->front;

    if (!h1_res_reusable(&fc->res) || f->worker->draining || conn_is_closing(&fc->conn) ||
        conn_pending_bytes(&fc->conn) > 0 || f->idle_count >= IDLE_MAX) {
        close_conn(fc);
        return;
    }
    conn_end_use(fc, FRONT_IDLE);
    fc->reused = true;
    list_push_front(&f->idle, &fc->node);
    f->idle_count++;
    conn_read_start(&fc->conn);
    conn_idle(&fc->conn);
    wheel_set(&f->worker->net.wheel, &fc->timer, IDLE_MS, on_idle);
}

static struct front_conn *
part_conn(struct front_ask *ask)
{
    struct front_conn *fc = ask->conn;

    ask->conn = NULL;
    if (fc != NULL)
        fc->ask = NULL;
    return fc;
}

/* The request is no more; what it had of its connection is told by keep. The client may be asked for the next, or be gone. */
static struct client *
ask_over(struct front_ask *ask, bool keep)
{
    struct client *c = ask->client;
    struct front_conn *fc = part_conn(ask);

    if (fc != NULL && keep)
        keep_conn(fc);
    else if (fc != NULL)
        close_conn(fc);
    wheel_cancel(&c->worker->net.wheel, &ask->timer);
    list_remove(&ask->node);
    buf_free(&ask->head);
    buf_free(&ask->body);
    c->front = NULL;
    c->worker->front->ask_count--;
    free(ask);
    return c;
}

/* A stream of events as if it were over. The client may ask for more in it, on this connection or another. */
static void
end_stream(struct front_ask *ask)
{
    (void)client_send_last(ask_over(ask, false), NULL, 0);
}

static void
fail(struct front_ask *ask, unsigned status, const char *code, const char *detail)
{
    char id[CALL_ID_LEN + 1];
    bool streamed = ask->streamed;
    struct client *c;

    memcpy(id, ask->id_text, sizeof id);
    c = ask_over(ask, false);
    if (streamed)
        (void)client_send_cut(c, NULL, 0);
    else
        front_send_problem(c, status, code, detail, (struct str){id, CALL_ID_LEN});
}

static void
is_away(struct front_ask *ask)
{
    fail(ask, 503, "unavailable", "The management API is not available at the moment; try again.");
}

static void
on_timer(struct wheel_timer *timer)
{
    struct front_ask *ask = CONTAINER_OF(timer, struct front_ask, timer);
    struct worker *w = ask->client->worker;

    if (ask->streamed && conn_is_full(&ask->client->conn)) {
        /* We do not read because the client does not: its own deadline will tell. */
        wheel_set(&w->net.wheel, &ask->timer, QUIET_MS, on_timer);
        return;
    }
    fail(ask, 504, "timeout", "The management API took too long; whether it did what was asked is not known.");
}

void
front_client_gone(struct client *c)
{
    (void)ask_over(c->front, false);
}

void
front_client_drained(struct client *c)
{
    if (c->front->conn != NULL)
        conn_read_start(&c->front->conn->conn);
}

void
front_drain(struct worker *w)
{
    struct list *node = w->front->asks.next;

    while (!list_empty(&w->front->idle))
        close_conn(LIST_FIRST(&w->front->idle, struct front_conn, node));
    while (node != &w->front->asks) {
        struct front_ask *ask = CONTAINER_OF(node, struct front_ask, node);

        node = node->next;
        if (ask->streamed && ask->endless)
            end_stream(ask);
    }
}

/* ---- asking ---- */

/* The ask may be over. */
static void
send_request(struct front_ask *ask)
{
    struct client *c = ask->client;
    struct front_conn *fc = ask->conn;
    struct h1_out out;
    struct str parts[2];

    h1_res_init(&fc->res, &c->worker->answer_limits, &c->worker->answer_head);
    if (!front_write_request(c, (struct str){ask->path, ask->path_len},
                             (struct str){ask->id_text, CALL_ID_LEN}, &out)) {
        fail(ask, 431, "headers_too_large", "The request's headers are too large.");
        return;
    }
    parts[0] = (struct str){out.ptr, out.len};
    parts[1] = c->req.body;
    if (conn_write(&fc->conn, parts, parts[1].len > 0 ? 2 : 1) < 0)
        is_away(ask);
    else
        wheel_set(&c->worker->net.wheel, &ask->timer, FIRST_MS, on_timer);
}

/* One given back last, that nothing has come on. */
static struct front_conn *
idle_conn(struct front *f)
{
    struct list *node;

    for (node = f->idle.next; node != &f->idle; node = node->next) {
        struct front_conn *fc = CONTAINER_OF(node, struct front_conn, node);

        if (!fc->conn.arrived)
            return fc;
    }
    return NULL;
}

static struct front_conn *
dial(struct front *f)
{
    struct worker *w = f->worker;
    struct front_conn *fc = calloc(1, sizeof *fc);

    if (fc == NULL)
        return NULL;
    fc->front = f;
    list_init(&fc->node);
    if (net_dial_unix(&w->net, &fc->conn, &front_events, w->inherit->manage_path) < 0) {
        free(fc);
        return NULL;
    }
    return fc;
}

static void
connect_ask(struct front_ask *ask)
{
    struct worker *w = ask->client->worker;
    struct front_conn *fc = NULL;
    bool serves = atomic_load_explicit(&w->region->header->manage_pid, memory_order_acquire) != 0;

    if (ask->tries++ < TRIES_MAX && serves) {
        fc = idle_conn(w->front);
        if (fc == NULL)
            fc = dial(w->front);
    }
    if (fc == NULL) {
        is_away(ask);
        return;
    }
    wheel_set(&w->net.wheel, &ask->timer, FIRST_MS, on_timer);
    if (fc->state == FRONT_IDLE) {
        conn_end_use(fc, FRONT_BUSY);
        fc->ask = ask;
        ask->conn = fc;
        send_request(ask);
    } else {
        fc->ask = ask;
        ask->conn = fc;
    }
}

void
front_ask(struct client *c, struct str path)
{
    struct front *f = c->worker->front;
    const struct h1_head *head = c->req.head;
    struct front_ask *ask = NULL;
    struct proto_error ignored;

    c->fronted = false;
    if (!crowd_takes_request(c, &ignored)) {
        front_refuse(c, 503, "overloaded", "There are too many connections; try again.");
        return;
    }
    if (head->method == H1_METHOD_OTHER) {
        front_refuse(c, 405, "method_not_allowed", "That method is not understood.");
        return;
    }
    if (c->req.body.len > FRONT_BODY_BYTES_MAX) {
        front_refuse(c, 413, "body_too_large", "The body may have 1 MiB at most.");
        return;
    }
    if (f->ask_count < ASKS_MAX && h1_req_keep(&c->req) == 0)
        ask = calloc(1, sizeof *ask + path.len);
    if (ask == NULL) {
        front_refuse(c, 503, "overloaded", "There is too much to do at the moment; try again.");
        return;
    }
    ask->client = c;
    c->front = ask;
    list_init(&ask->node);
    list_push_back(&f->asks, &ask->node);
    f->ask_count++;
    head = c->req.head; /* kept elsewhere now */
    ask->safe = head->method == H1_GET || head->method == H1_HEAD;
    ask->path_len = path.len;
    memcpy(ask->path, path.ptr, path.len);
    buf_init(&ask->head, HEAD_BYTES_MAX);
    buf_init(&ask->body, WHOLE_BYTES_MAX);
    callid_make(c->worker, ask->id, ask->id_text);
    connect_ask(ask);
}

/* Nothing was done, or doing it twice does no harm. */
static void
ask_again(struct front_ask *ask)
{
    struct front_conn *fc = part_conn(ask);

    close_conn(fc);
    connect_ask(ask);
}

/* ---- the answer ---- */

/* Which of the three ways it goes out. */
static bool
has_no_body(const struct front_ask *ask)
{
    return ask->status == 204 || ask->status == 304;
}

static bool
is_whole(const struct h1_head *head)
{
    return head->framing == H1_FRAMING_NONE ||
           (head->framing == H1_FRAMING_LENGTH && head->content_length <= WHOLE_BYTES_MAX);
}

static void
begin_head(struct front_ask *ask, struct h1_out *out)
{
    client_head(ask->client, out, ask->status, (struct str){ask->id_text, CALL_ID_LEN});
}

/* To HEAD: what there would be is not waited for. */
static bool
send_bare(struct front_ask *ask, bool keep)
{
    struct h1_out out;
    struct buf lines = ask->head;
    struct client *c = ask->client;

    begin_head(ask, &out);
    h1_out_lines(&out, buf_str(&lines));
    ask->head = (struct buf){0};
    (void)ask_over(ask, keep);
    (void)client_send_bare(c, &out);
    buf_free(&lines);
    return false;
}

/* False when the ask is over, or its connection another. */
static bool
take_head(struct front_ask *ask)
{
    struct front_conn *fc = ask->conn;
    const struct h1_head *head = fc->res.head;
    struct client *c = ask->client;
    struct h1_out out;

    if (front_is_again(head)) {
        ask_again(ask);
        return false;
    }
    ask->status = fc->res.status;
    h1_out_init(&out, c->worker->head_buf, HEAD_BYTES_MAX);
    front_write_answer(&out, head);
    if (out.failed || !buf_add(&ask->head, out.ptr, out.len)) {
        fail(ask, 502, "bad_answer", "The management API's answer could not be passed on.");
        return false;
    }
    if (is_whole(head))
        return true;
    if (c->bodyless)
        return send_bare(ask, false);
    begin_head(ask, &out);
    h1_out_lines(&out, buf_str(&ask->head));
    ask->streamed = true;
    ask->endless = str_starts_with(h1_head_get(head, H1_CONTENT_TYPE), STR("text/event-stream"));
    if (!client_send_head(c, &out, NULL, 0)) {
        (void)ask_over(ask, false);
        return false;
    }
    if (!ask->endless || !c->worker->draining)
        return true;
    end_stream(ask);
    return false;
}

static bool
take_spans(struct front_ask *ask, const struct str *spans, size_t count)
{
    struct client *c = ask->client;

    for (size_t i = 0; i < count && !ask->streamed; i++)
        if (!buf_add_str(&ask->body, spans[i])) {
            fail(ask, 502, "bad_answer", "The management API's answer could not be passed on.");
            return false;
        }
    while (ask->streamed && count > 0) {
        unsigned n = (unsigned)MIN(count, CONN_PARTS_MAX / 2);

        if (!client_send_parts(c, spans, n)) {
            (void)ask_over(ask, false);
            return false;
        }
        spans += n;
        count -= n;
    }
    return true;
}

static void
answered(struct front_ask *ask)
{
    struct client *c = ask->client;
    struct h1_out out;
    struct buf head, body;

    if (ask->streamed) {
        c = ask_over(ask, true);
        (void)client_send_last(c, NULL, 0);
        return;
    }
    if (has_no_body(ask)) {
        (void)send_bare(ask, true);
        return;
    }
    begin_head(ask, &out);
    head = ask->head;
    body = ask->body;
    ask->head = ask->body = (struct buf){0};
    h1_out_lines(&out, buf_str(&head));
    (void)ask_over(ask, true);
    (void)client_send_whole(c, &out, buf_str(&body));
    buf_free(&head);
    buf_free(&body);
}

/* No answer, or not all of one: whether the other side has read what was written nobody knows. On a kept connection that is
 * most often one that died before it was written to; of a new one it may be what was asked that it died of. */
static void
broke(struct front_ask *ask)
{
    if (!ask->conn->res.started && ask->conn->reused && ask->safe)
        ask_again(ask);
    else
        fail(ask, 503, "unavailable",
             "The management API went away; whether it did what was asked is not known.");
}

static void
take_bytes(struct front_conn *fc, const uint8_t *bytes, size_t len)
{
    struct front_ask *ask = fc->ask;
    struct worker *w = fc->front->worker;
    enum h1_res_event event;
    struct h1_res_out out;

    wheel_set(&w->net.wheel, &ask->timer, QUIET_MS, on_timer);
    do {
        event = h1_res_feed(&fc->res, bytes, len, &out);
        bytes += out.used;
        len -= out.used;
        if (!take_spans(ask, out.spans, out.span_count) || (event == H1_RES_HEAD && !take_head(ask)))
            return;
    } while (event == H1_RES_HEAD || event == H1_RES_SPANS);
    if (event == H1_RES_ERROR) {
        broke(ask);
    } else if (event == H1_RES_DONE) {
        if (len > 0)
            (void)h1_res_feed(&fc->res, bytes, len, &out); /* notes the extra bytes */
        answered(ask);
    } else if (ask->streamed && conn_is_full(&ask->client->conn)) {
        conn_read_stop(&fc->conn);
    }
}

/* ---- events of a connection ---- */

static struct front_conn *
conn_of(struct conn *conn)
{
    return CONTAINER_OF(conn, struct front_conn, conn);
}

static void
front_on_open(struct conn *conn)
{
    struct front_conn *fc = conn_of(conn);

    ASSERT(fc->state == FRONT_DIALLING && fc->ask != NULL);
    fc->state = FRONT_BUSY;
    send_request(fc->ask);
}

static void
front_on_data(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct front_conn *fc = conn_of(conn);

    if (fc->ask != NULL)
        take_bytes(fc, bytes, len);
    else
        close_conn(fc); /* kept: it goes away, and says so */
}

static void
front_on_eof(struct conn *conn)
{
    struct front_conn *fc = conn_of(conn);

    if (fc->ask == NULL)
        close_conn(fc);
    else if (h1_res_eof(&fc->res) == H1_RES_DONE)
        answered(fc->ask);
    else
        broke(fc->ask);
}

static void
front_on_drain(struct conn *conn)
{
    (void)conn; /* requests are written whole; nothing waits for them */
}

static void
front_on_error(struct conn *conn, const struct conn_error *error)
{
    struct front_conn *fc = conn_of(conn);

    (void)error;
    if (fc->ask != NULL)
        broke(fc->ask);
    else
        close_conn(fc);
}

static void
front_on_closed(struct conn *conn)
{
    struct front_conn *fc = conn_of(conn);

    ASSERT(fc->ask == NULL);
    close_conn(fc); /* when net closed it by itself */
    free(fc);
}

static const struct conn_events front_events = {
    .on_open = front_on_open,
    .on_data = front_on_data,
    .on_eof = front_on_eof,
    .on_drain = front_on_drain,
    .on_error = front_on_error,
    .on_closed = front_on_closed,
};
