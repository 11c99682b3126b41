/*
 * Connections of workers, and HTTP/1.1 on them: requests in, one after the other, replies out (manage/request.h).
 *
 * Only our own workers come here, over a Unix socket that nobody else may open; what they forward is of strangers all
 * the same, and is read as strictly as by them.
 *
 * Draining. Another process serves on the same socket, or nobody will any more. What was asked is answered, each
 * connection's last answer says so. On a connection without a request under way, HTTPD_AGAIN is sent, unasked, and
 * not one byte more is interpreted: a worker that had just written a request there knows by it that nothing was
 * done, and asks on another connection.
 */
#ifndef MANAGE_HTTPD_H
#define MANAGE_HTTPD_H

#include "base/list.h"
#include "manage/manage.h"
#include "manage/request.h"
#include "net/h1_req.h"
#include "net/listen.h"

#define HTTPD_CONNECTIONS_MAX 4096u
#define HTTPD_BODY_BYTES_MAX (1u << 20)
#define HTTPD_AGAIN_NAME "x-turnpike-again"
#define HTTPD_AGAIN                                                                                 \
    "HTTP/1.1 503 Service Unavailable\r\n" HTTPD_AGAIN_NAME ": 1\r\ncontent-length: 0\r\n"         \
    "connection: close\r\n\r\n"

struct httpd {
    struct manage *manage;
    struct listener listener;
    bool listening;
    struct list conns;
    unsigned conn_count;
    unsigned request_count; /* whose memory is there */
    struct h1_limits limits;
    struct h1_head scratch;
};

struct exchange;

/* A worker's connection. */
struct httpd_conn {
    struct conn conn;
    struct h1_req req;
    struct list node;
    struct httpd *httpd;
    struct exchange *exchange; /* the request under way, or NULL */
    bool in_feed;              /* its reader is on the stack, and goes on by itself */
    bool last;                 /* no request after the one under way */
};

/* The listening socket passes here. NULL when memory is short or it cannot be listened on. */
struct httpd *httpd_new(struct manage *manage, int listen_fd);
void httpd_drain(struct httpd *httpd);
/* Nothing is under way, nobody is connected. */
bool httpd_is_empty(const struct httpd *httpd);
/* What is under way has had its time: requests are gone, connections closed. */
void httpd_cut(struct httpd *httpd);
/* When it is empty. */
void httpd_free(struct httpd **httpd);

/* ---- between connections (http.c) and requests (request.c) ---- */

/* The request that connection's reader has ready: copied, and handed to manage_handle(). False: memory is short. */
bool exchange_begin(struct httpd_conn *c) MUST_CHECK;
/* The connection ends before its reply did. */
void exchange_gone(struct httpd_conn *c);
void exchange_drained(struct httpd_conn *c);
/* The reply is complete: the next request, or the end. */
void httpd_answered(struct httpd_conn *c);

#endif
