#include "manage/httpd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/h1_write.h"

#define REQUEST_LINE_BYTES_MAX 65535u
#define HEADERS_BYTES_MAX (256u << 10)

static void httpd_feed(struct httpd_conn *c, uint8_t *bytes, size_t len);

static struct httpd_conn *
conn_of(struct conn *conn)
{
    return CONTAINER_OF(conn, struct httpd_conn, conn);
}

/* ---- life of a connection ---- */

static void
httpd_on_open(struct conn *conn)
{
    (void)conn;
}

static void
httpd_gone(struct httpd_conn *c)
{
    if (c->exchange != NULL)
        exchange_gone(c);
}

static void
httpd_on_eof(struct conn *conn)
{
    struct httpd_conn *c = conn_of(conn);

    httpd_gone(c); /* a worker ends a connection whose answer nobody waits for */
    conn_close(conn);
}

static void
httpd_on_error(struct conn *conn, const struct conn_error *error)
{
    (void)error; /* a worker that died is the master's to tell */
    httpd_gone(conn_of(conn));
}

static void
httpd_forget(struct httpd_conn *c)
{
    struct httpd *httpd = c->httpd;

    list_remove(&c->node);
    httpd->conn_count--;
    h1_req_end(&c->req);
    free(c);
}

static void
httpd_on_closed(struct conn *conn)
{
    struct httpd_conn *c = conn_of(conn);
    struct manage *manage = c->httpd->manage;

    httpd_gone(c);
    httpd_forget(c);
    manage_maybe_done(manage);
}

static void
httpd_on_drain(struct conn *conn)
{
    struct httpd_conn *c = conn_of(conn);

    if (c->exchange != NULL)
        exchange_drained(c);
}

/* ---- requests ---- */

/* Between requests, with nothing of the next. */
static bool
is_idle(const struct httpd_conn *c)
{
    return c->exchange == NULL && c->req.state == H1_REQ_IDLE && !h1_req_has_stash(&c->req);
}

static void
refuse(struct httpd_conn *c, unsigned status)
{
    char text[256];
    struct str name = h1_status_text(status);
    int len = snprintf(text, sizeof text,
                       "HTTP/1.1 %u %.*s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", status,
                       STR_ARGS(name));
    struct str part = {text, (size_t)len};

    if (conn_write(&c->conn, &part, 1) < 0)
        conn_close(&c->conn);
    else
        conn_shutdown(&c->conn);
}

/* False when it wants more bytes, or nothing more may be read. */
static bool
httpd_step(struct httpd_conn *c, uint8_t **bytes, size_t *len)
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
        return true;
    case H1_REQ_DONE:
        if (!c->req.head->keep_alive || c->httpd->manage->draining)
            c->last = true;
        if (!exchange_begin(c))
            refuse(c, 503);
        return true;
    case H1_REQ_ERROR:
        log_warn("manage.bad-request", "status=%u why=%s", c->req.error.status,
                 log_quote((struct str){c->req.error.reason, strlen(c->req.error.reason)}));
        refuse(c, c->req.error.status);
        return false;
    }
    return false;
}

static void
httpd_feed(struct httpd_conn *c, uint8_t *bytes, size_t len)
{
    c->in_feed = true;
    while (c->exchange == NULL && !conn_is_closing(&c->conn))
        if (!httpd_step(c, &bytes, &len))
            break;
    c->in_feed = false;
    if (conn_is_closing(&c->conn) || len == 0)
        return;
    if (h1_req_stash(&c->req, bytes, len) < 0) {
        httpd_gone(c);
        conn_close(&c->conn);
    }
}

static void
httpd_on_data(struct conn *conn, uint8_t *bytes, size_t len)
{
    httpd_feed(conn_of(conn), bytes, len);
}

void
httpd_answered(struct httpd_conn *c)
{
    ASSERT(c->exchange == NULL);
    if (conn_is_closing(&c->conn))
        return;
    if (c->last) {
        conn_shutdown(&c->conn);
        return;
    }
    if (!c->in_feed)
        httpd_feed(c, NULL, 0);
}

static const struct conn_events httpd_events = {
    .on_open = httpd_on_open,
    .on_data = httpd_on_data,
    .on_eof = httpd_on_eof,
    .on_drain = httpd_on_drain,
    .on_error = httpd_on_error,
    .on_closed = httpd_on_closed,
};

/* ---- the listener ---- */

static struct conn *
on_accept(struct listener *listener, const struct net_addr *peer)
{
    struct httpd *httpd = listener->arg;
    struct httpd_conn *c;

    (void)peer;
    if (httpd->conn_count >= HTTPD_CONNECTIONS_MAX || (c = calloc(1, sizeof *c)) == NULL)
        return NULL;
    c->httpd = httpd;
    list_init(&c->node);
    list_push_back(&httpd->conns, &c->node);
    httpd->conn_count++;
    h1_req_init(&c->req, &httpd->limits, &httpd->scratch);
    return &c->conn;
}

static void
on_refused(struct listener *listener, struct conn *conn)
{
    (void)listener;
    httpd_forget(conn_of(conn));
}

static void
on_listener_closed(struct listener *listener)
{
    struct httpd *httpd = listener->arg;

    httpd->listening = false;
    manage_maybe_done(httpd->manage);
}

struct httpd *
httpd_new(struct manage *manage, int listen_fd)
{
    struct httpd *httpd = calloc(1, sizeof *httpd);

    if (httpd == NULL)
        return NULL;
    httpd->manage = manage;
    list_init(&httpd->conns);
    httpd->limits = h1_limits_default;
    httpd->limits.request_line_bytes = REQUEST_LINE_BYTES_MAX;
    httpd->limits.header_bytes = H1_LINE_MAX;
    httpd->limits.headers_bytes = HEADERS_BYTES_MAX;
    httpd->limits.body_bytes = HTTPD_BODY_BYTES_MAX;
    httpd->listener.events = &httpd_events;
    httpd->listener.on_accept = on_accept;
    httpd->listener.on_refused = on_refused;
    httpd->listener.on_closed = on_listener_closed;
    httpd->listener.arg = httpd;
    if (listener_start(&manage->net, &httpd->listener, listen_fd) < 0) {
        free(httpd);
        return NULL;
    }
    httpd->listening = true;
    return httpd;
}

/* ---- the end ---- */

static void
tell_to_ask_again(struct httpd_conn *c)
{
    struct str part = STR(HTTPD_AGAIN);

    if (conn_write(&c->conn, &part, 1) < 0)
        conn_close(&c->conn);
    else
        conn_shutdown(&c->conn);
}

void
httpd_drain(struct httpd *httpd)
{
    struct list *node;

    listener_stop(&httpd->listener); /* who waited to be accepted is now */
    for (node = httpd->conns.next; node != &httpd->conns;) {
        struct httpd_conn *c = CONTAINER_OF(node, struct httpd_conn, node);

        node = node->next;
        c->last = true;
        if (!conn_is_closing(&c->conn) && is_idle(c))
            tell_to_ask_again(c);
    }
}

bool
httpd_is_empty(const struct httpd *httpd)
{
    return !httpd->listening && httpd->conn_count == 0 && httpd->request_count == 0;
}

void
httpd_cut(struct httpd *httpd)
{
    struct list *node;

    for (node = httpd->conns.next; node != &httpd->conns;) {
        struct httpd_conn *c = CONTAINER_OF(node, struct httpd_conn, node);

        node = node->next;
        httpd_gone(c);
        conn_close(&c->conn);
    }
}

void
httpd_free(struct httpd **httpd)
{
    if (*httpd == NULL)
        return;
    ASSERT(httpd_is_empty(*httpd));
    free(*httpd);
    *httpd = NULL;
}
