#include "manage/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "manage/httpd.h"
#include "net/h1_write.h"

#define HEAD_BYTES_MAX (64u << 10)
#define NAME_BYTES_MAX 64u

enum exchange_state {
    EXCHANGE_ASKED = 0, /* nothing of the reply is there */
    EXCHANGE_HEAD,      /* its head is being written */
    EXCHANGE_BODY,      /* its head is sent, and parts of its body */
    EXCHANGE_OVER,      /* it is sent, or nobody waits for it */
};

/* A request with what its reply needs. */
struct exchange {
    struct request request;
    struct httpd *httpd;
    struct httpd_conn *conn; /* NULL once it is over */
    unsigned holds;
    unsigned status;
    enum exchange_state state;
    bool bodyless; /* the request was a HEAD */
    struct h1_out out;
};

static struct exchange *
exchange_of(const struct request *request)
{
    return (struct exchange *)(void *)((char *)(uintptr_t)request - offsetof(struct exchange, request));
}

/* ---- a request begins ---- */

/* Where a header's value goes. */
static struct str *
place_of(struct request *r, struct str name)
{
    const struct {
        struct str name;
        struct str *place;
    } places[] = {
        {STR("host"), &r->host},
        {STR("content-type"), &r->content_type},
        {STR("accept"), &r->accept},
        {STR("accept-language"), &r->accept_language},
        {STR("authorization"), &r->authorization},
        {STR("x-api-key"), &r->api_key},
        {STR("cookie"), &r->cookie},
        {STR("origin"), &r->origin},
        {STR("referer"), &r->referer},
        {STR("sec-fetch-site"), &r->sec_fetch_site},
        {STR("x-csrf-token"), &r->csrf_token},
        {STR("idempotency-key"), &r->idempotency_key},
        {STR("user-agent"), &r->user_agent},
        {STR("if-none-match"), &r->if_none_match},
        {STR("x-turnpike-peer"), &r->peer_ip},
        {STR("x-request-id"), &r->id},
    };

    for (size_t i = 0; i < COUNT_OF(places); i++)
        if (str_eq_nocase(name, places[i].name))
            return places[i].place;
    return NULL;
}

/* A view of the connection's bytes becomes one of the request's own. */
static bool
keep(struct request *r, struct str *view)
{
    char *copy;

    if (view->ptr == NULL)
        return true;
    copy = arena_copy(&r->arena, *view);
    if (copy == NULL)
        return false;
    view->ptr = copy;
    return true;
}

static bool
take_headers(struct request *r, const struct h1_head *head)
{
    for (size_t i = 0; i < head->header_count; i++) {
        struct str name = h1_head_name(head, i), value = h1_head_value(head, i);
        struct str *place = place_of(r, name);

        if (str_eq_nocase(name, STR("x-turnpike-tls")))
            r->tls = str_eq(value, STR("1"));
        if (place == NULL || place->ptr != NULL)
            continue;
        *place = value;
        if (!keep(r, place))
            return false;
    }
    return true;
}

static bool
take_request(struct request *r, const struct h1_req *req)
{
    const struct h1_head *head = req->head;
    char *body = malloc(req->body.len + 1);

    r->body = (struct str){body, req->body.len};
    if (body == NULL)
        return false;
    if (req->body.len > 0)
        memcpy(body, req->body.ptr, req->body.len);
    body[req->body.len] = '\0';
    r->method = h1_head_method_name(head);
    r->path = h1_head_path(head);
    r->query = h1_head_query(head);
    return keep(r, &r->method) && keep(r, &r->path) && keep(r, &r->query) && take_headers(r, head);
}

static void
exchange_free(struct exchange *x)
{
    struct manage *manage = x->httpd->manage;

    ASSERT(x->conn == NULL && x->holds == 0);
    x->httpd->request_count--;
    arena_end(&x->request.arena);
    free((char *)(uintptr_t)x->request.body.ptr);
    free(x);
    manage_maybe_done(manage);
}

bool
exchange_begin(struct httpd_conn *c)
{
    struct exchange *x = calloc(1, sizeof *x);
    bool taken;

    if (x == NULL)
        return false;
    x->httpd = c->httpd;
    x->httpd->request_count++;
    x->request.manage = c->httpd->manage;
    arena_init(&x->request.arena, REQUEST_ARENA_BYTES);
    taken = take_request(&x->request, &c->req);
    h1_req_next(&c->req);
    if (!taken) {
        exchange_free(x);
        return false;
    }
    x->bodyless = str_eq(x->request.method, STR("HEAD"));
    x->conn = c;
    c->exchange = x;
    manage_handle(&x->request);
    return true;
}

/* ---- and ends ---- */

/* The two know each other no more. */
static struct httpd_conn *
part(struct exchange *x)
{
    struct httpd_conn *c = x->conn;

    ASSERT(c != NULL && c->exchange == x);
    c->exchange = NULL;
    x->conn = NULL;
    x->state = EXCHANGE_OVER;
    return c;
}

/* The reply is written: in the end of this the connection's next request may begin. */
static void
answered(struct exchange *x)
{
    struct httpd_conn *c = part(x);

    if (x->holds == 0)
        exchange_free(x);
    httpd_answered(c);
}

void
exchange_gone(struct httpd_conn *c)
{
    struct exchange *x = c->exchange;
    struct request *r = &x->request;

    (void)part(x);
    r->gone = true;
    x->holds++; /* what on_gone does with holds of its own is its affair */
    if (r->on_gone != NULL)
        r->on_gone(r);
    request_release(r);
}

void
exchange_drained(struct httpd_conn *c)
{
    struct request *r = &c->exchange->request;

    if (r->on_drain != NULL)
        r->on_drain(r);
}

void
request_hold(struct request *request)
{
    exchange_of(request)->holds++;
}

void
request_release(struct request *request)
{
    struct exchange *x = exchange_of(request);

    ASSERT(x->holds > 0);
    if (--x->holds == 0 && x->conn == NULL)
        exchange_free(x);
}

/* ---- the reply ---- */

bool
request_has_begun(const struct request *request)
{
    return exchange_of(request)->state != EXCHANGE_ASKED;
}

/* In a reply to HEAD the length stays, and nothing follows. */
static bool
has_body(const struct exchange *x)
{
    return x->status >= 200 && x->status != 204 && x->status != 304;
}

void
request_head(struct request *request, unsigned status)
{
    struct exchange *x = exchange_of(request);
    char *room;

    if (x->conn == NULL)
        return;
    ASSERT(x->state == EXCHANGE_ASKED);
    x->state = EXCHANGE_HEAD;
    x->status = status;
    room = arena_alloc(&request->arena, HEAD_BYTES_MAX);
    h1_out_init(&x->out, room, room != NULL ? HEAD_BYTES_MAX : 0);
    if (room == NULL)
        x->out.failed = true;
    else
        h1_out_status(&x->out, status);
}

void
request_header(struct request *request, const char *name, struct str value)
{
    struct exchange *x = exchange_of(request);
    char begin[NAME_BYTES_MAX + 3];
    size_t len = strlen(name);

    if (x->conn == NULL)
        return;
    ASSERT(x->state == EXCHANGE_HEAD);
    ASSERT(len <= NAME_BYTES_MAX && h1_is_token((struct str){name, len}));
    if (!h1_is_value(value)) {
        log_warn("manage.bad-header", "request=%.*s name=%s effect=%s", STR_ARGS(request->id), name,
                 "\"it is left out\"");
        return;
    }
    memcpy(begin, name, len);
    memcpy(begin + len, ": ", 2);
    h1_out_begun(&x->out, (struct str){begin, len + 2}, value);
}

/* The head's end. False when it could not be written, or nobody takes it: the connection is closed then. */
static bool
end_head(struct exchange *x)
{
    struct httpd_conn *c = x->conn;

    if (c->httpd->manage->draining)
        c->last = true;
    h1_out_connection(&x->out, !c->last, 1);
    if (h1_out_end(&x->out))
        return true;
    log_error("manage.head-failed", "request=%.*s", STR_ARGS(x->request.id));
    return false;
}

/* The client sees that its answer is cut; there is no more of this exchange. */
static void
cut(struct exchange *x)
{
    struct httpd_conn *c = part(x);

    c->last = true;
    conn_close(&c->conn);
    if (x->holds == 0)
        exchange_free(x);
}

void
request_send(struct request *request, struct str body)
{
    struct exchange *x = exchange_of(request);
    struct str parts[2];
    bool with_body;

    if (x->conn == NULL)
        return;
    ASSERT(x->state == EXCHANGE_HEAD);
    if (has_body(x))
        h1_out_length(&x->out, body.len);
    if (!end_head(x)) {
        cut(x);
        return;
    }
    with_body = has_body(x) && !x->bodyless && body.len > 0;
    parts[0] = (struct str){x->out.ptr, x->out.len};
    parts[1] = body;
    if (conn_write(&x->conn->conn, parts, with_body ? 2 : 1) < 0)
        cut(x);
    else
        answered(x);
}

static int
write_parts(struct exchange *x, const struct str *parts, unsigned count)
{
    int rc = count > 0 ? conn_write(&x->conn->conn, parts, count) : 0;

    if (rc < 0) /* as if the client had left: who streams finds out by on_gone, and by the result */
        conn_close(&x->conn->conn);
    return rc;
}

/* What is still to be sent of the head, or none. */
static int
head_part(struct exchange *x, struct str *part)
{
    *part = STR_NONE;
    if (x->state == EXCHANGE_BODY)
        return 0;
    ASSERT(x->state == EXCHANGE_HEAD);
    if (has_body(x))
        h1_out_chunked(&x->out);
    x->state = EXCHANGE_BODY;
    if (!end_head(x)) {
        conn_close(&x->conn->conn);
        return -ENOBUFS;
    }
    *part = (struct str){x->out.ptr, x->out.len};
    return 0;
}

int
request_chunk(struct request *request, struct str bytes)
{
    struct exchange *x = exchange_of(request);
    char chunk[H1_CHUNK_HEAD_MAX];
    struct str parts[4];
    unsigned count = 0;
    int rc;

    if (x->conn == NULL || conn_is_closing(&x->conn->conn))
        return -ECONNRESET;
    rc = head_part(x, &parts[0]);
    if (rc < 0)
        return rc;
    count = parts[0].len > 0;
    if (bytes.len > 0 && has_body(x) && !x->bodyless) {
        parts[count++] = (struct str){chunk, h1_chunk_head(bytes.len, chunk)};
        parts[count++] = bytes;
        parts[count++] = H1_CHUNK_CRLF;
    }
    return write_parts(x, parts, count);
}

bool
request_is_full(const struct request *request)
{
    const struct exchange *x = exchange_of(request);

    return x->conn != NULL && conn_is_full(&x->conn->conn);
}

void
request_end(struct request *request)
{
    struct exchange *x = exchange_of(request);
    struct str parts[2];
    unsigned count;

    if (x->conn == NULL)
        return;
    if (conn_is_closing(&x->conn->conn) || head_part(x, &parts[0]) < 0) {
        cut(x);
        return;
    }
    count = parts[0].len > 0;
    if (has_body(x) && !x->bodyless)
        parts[count++] = H1_CHUNK_LAST;
    if (write_parts(x, parts, count) < 0)
        cut(x);
    else
        answered(x);
}

void
request_cut(struct request *request)
{
    struct exchange *x = exchange_of(request);

    if (x->conn != NULL)
        cut(x);
}
