/*
 * Dialling: resolve, judge each address, connect to them in turn. A struct dial lives from
 * net_dial() until the socket is connected or all failed; each attempt has a handle of its own,
 * since libuv keeps one until its close callback.
 *
 * Failures are told in a later turn (wheel_soon), since net_dial() must not call back.
 */
#include "net/dial.h"

#include "net/conn_in.h"
#include "net/dns.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_MS 10000u

struct dial_try {
    uv_poll_t poll;
    struct dial *dial; /* NULL: given up, only waits to be freed */
    struct net_addr addr;
    int fd;
};

struct dial {
    struct conn *conn;
    struct net *net;
    struct dns_query query;
    struct dial_try *current;
    struct tls_client *tls;
    uint64_t deadline_ms;
    unsigned count, next; /* of addrs */
    struct net_addr addrs[DNS_ADDRS_MAX];
    uint16_t port;
    bool local;
    enum conn_stage failed_stage;
    int failed_err;
    char failed_text[96];
    size_t host_len;
    char host[DIAL_HOST_MAX + 1];
};

static void dial_next(struct dial *dial);

/* ---- failing ------------------------------------------------------------------------------ */

static void
dial_on_failed(struct wheel_timer *timer)
{
    struct conn *conn = CONTAINER_OF(timer, struct conn, timer);
    struct dial *dial = conn->dial;

    /* Taken from the conn first: the text has to outlive a conn_close() in on_error. */
    conn->dial = NULL;
    dial->net->counts.dial_failed++;
    conn_fail(conn, dial->failed_stage, dial->failed_err, dial->failed_text);
    free(dial);
}

static void
dial_failed(struct dial *dial, enum conn_stage stage, int err, const char *text)
{
    dial->failed_stage = stage;
    dial->failed_err = err;
    (void)snprintf(dial->failed_text, sizeof(dial->failed_text), "%s", text);
    wheel_soon(&dial->net->wheel, &dial->conn->timer, dial_on_failed);
}

/* ---- one attempt -------------------------------------------------------------------------- */

static void
try_on_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF((uv_poll_t *)handle, struct dial_try, poll));
}

/* Gives up or hands over: the handle goes; the descriptor too unless it was taken (-1). */
static void
try_end(struct dial_try *try)
{
    try->dial->current = NULL;
    try->dial = NULL;
    uv_close((uv_handle_t *)&try->poll, try_on_closed);
    if (try->fd >= 0)
        (void)close(try->fd);
}

static void
try_failed(struct dial *dial, const struct net_addr *addr, int err)
{
    dial->failed_err = err;
    dns_address_failed(dial->net, (struct str){dial->host, dial->host_len}, addr);
}

static void
dial_connected(struct dial *dial, struct dial_try *try)
{
    struct conn *conn = dial->conn;
    struct str host = {dial->host, dial->host_len};
    int fd = try->fd;
    int rc;

    conn->peer = try->addr;
    try->fd = -1;
    try_end(try);
    conn->dial = NULL;
    wheel_cancel(&dial->net->wheel, &conn->timer);
    rc = conn_attach(conn, fd);
    if (rc < 0) {
        conn_fail(conn, CONN_STAGE_CONNECT, rc, uv_strerror(rc));
    } else if (dial->tls == NULL) {
        (void)conn_opened(conn);
    } else {
        conn_set_state(conn, CONN_HANDSHAKING);
        rc = conn_tls_connect(conn, dial->tls, host, dial->port);
        if (rc < 0)
            conn_fail(conn, CONN_STAGE_TLS, rc, uv_strerror(rc));
    }
    free(dial);
}

static void
try_on_poll(uv_poll_t *poll, int status, int events)
{
    struct dial_try *try = CONTAINER_OF(poll, struct dial_try, poll);
    struct dial *dial = try->dial;
    int err = 0;
    socklen_t len = sizeof(err);

    (void)events;
    if (dial == NULL)
        return;
    net_awake(dial->net);
    if (getsockopt(try->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        err = errno;
    if (err == 0 && status < 0)
        err = ECONNABORTED;
    if (err == 0) {
        dial_connected(dial, try);
        return;
    }
    try_failed(dial, &try->addr, -err);
    try_end(try);
    dial_next(dial);
}

/* 0: under way. */
static int
try_start(struct dial *dial, const struct net_addr *addr)
{
    static const int on = 1;
    struct dial_try *try = calloc(1, sizeof(*try));
    struct sockaddr_storage ss;
    unsigned len = net_addr_to(addr, &ss);
    int rc;

    if (try == NULL)
        return -ENOMEM;
    try->dial = dial;
    try->addr = *addr;
    try->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (try->fd < 0) {
        rc = -errno;
        goto free_try;
    }
    (void)setsockopt(try->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(try->fd, (const struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS) {
        rc = -errno;
        goto close_fd;
    }
    rc = uv_poll_init(&dial->net->loop, &try->poll, try->fd);
    if (rc < 0)
        goto close_fd;
    (void)uv_poll_start(&try->poll, UV_WRITABLE, try_on_poll);
    dial->current = try;
    return 0;

close_fd:
    (void)close(try->fd);
free_try:
    free(try);
    return rc;
}

/* ---- the whole dial ----------------------------------------------------------------------- */

static void
dial_on_slow(struct wheel_timer *timer)
{
    struct dial *dial = CONTAINER_OF(timer, struct conn, timer)->dial;

    if (dial->current == NULL) {
        dns_cancel(&dial->query);
        dial_failed(dial, CONN_STAGE_RESOLVE, -ETIMEDOUT, "resolving the name timed out");
        return;
    }
    try_failed(dial, &dial->current->addr, -ETIMEDOUT);
    try_end(dial->current);
    dial_next(dial);
}

/* The time left is shared by the addresses left, so that one that is silent leaves some for the
 * next. */
static void
dial_set_timer(struct dial *dial)
{
    uint64_t now_ms = net_now_ms(dial->net);
    uint64_t left_ms = dial->deadline_ms > now_ms ? dial->deadline_ms - now_ms : 0;

    wheel_set(&dial->net->wheel, &dial->conn->timer, left_ms / (dial->count - dial->next + 1),
              dial_on_slow);
}

static void
dial_next(struct dial *dial)
{
    while (dial->next < dial->count && net_now_ms(dial->net) < dial->deadline_ms) {
        const struct net_addr *addr = &dial->addrs[dial->next++];
        int rc = try_start(dial, addr);

        if (rc == 0) {
            dial_set_timer(dial);
            return;
        }
        try_failed(dial, addr, rc);
    }
    dial_failed(dial, CONN_STAGE_CONNECT, dial->failed_err, uv_strerror(dial->failed_err));
}

/* Judges the addresses that the name has, and starts with those that may be dialled. */
static void
dial_resolved(struct dial *dial, const struct dns_answer *answer)
{
    struct sockaddr_storage ss;
    char addr_text[NET_ADDR_TEXT], text[sizeof(dial->failed_text)];
    struct net_addr refused = {.family = 0};

    if (answer->err != 0) {
        dial_failed(dial, CONN_STAGE_RESOLVE, answer->err, answer->text);
        return;
    }
    for (unsigned i = 0; i < answer->count; i++) {
        struct net_addr addr = answer->addrs[i];

        addr.port = dial->port;
        (void)net_addr_to(&addr, &ss);
        if (dial_address_allowed((const struct sockaddr *)&ss, dial->local))
            dial->addrs[dial->count++] = addr;
        else
            refused = addr;
    }
    if (dial->count == 0) {
        (void)snprintf(text, sizeof(text), "the dial rule refuses %s",
                       net_addr_text(&refused, addr_text));
        dial_failed(dial, CONN_STAGE_RESOLVE, -EACCES, text);
        return;
    }
    dial_next(dial);
}

static void
dial_on_resolved(struct dns_query *query, const struct dns_answer *answer)
{
    dial_resolved(CONTAINER_OF(query, struct dial, query), answer);
}

static void
dial_begin(struct dial *dial, struct str host)
{
    struct dns_answer answer = {.count = 1};
    const char *why = NULL;

    switch (dial_host_kind(host, &answer.addrs[0], &why)) {
    case DIAL_HOST_REFUSED: dial_failed(dial, CONN_STAGE_RESOLVE, -EACCES, why); return;
    case DIAL_HOST_NAME:
        if (!dns_ask(dial->net, host, &dial->query, dial_on_resolved, &answer)) {
            dial_set_timer(dial);
            return;
        }
        break;
    case DIAL_HOST_ADDRESS: break;
    }
    dial_resolved(dial, &answer);
}

int
net_dial(struct net *net, struct conn *conn, const struct conn_events *events,
         const struct dial_target *target)
{
    struct dial *dial = calloc(1, sizeof(*dial));

    if (dial == NULL)
        return -ENOMEM;
    dial->net = net;
    dial->conn = conn;
    dial->tls = target->tls;
    dial->port = target->port;
    dial->local = target->local;
    dial->deadline_ms =
        net_now_ms(net) + (target->connect_ms != 0 ? target->connect_ms : CONNECT_MS);
    dial->failed_err = -ETIMEDOUT;
    if (target->host.len > 0 && target->host.len <= DIAL_HOST_MAX) {
        dial->host_len = target->host.len;
        memcpy(dial->host, target->host.ptr, target->host.len);
    }
    conn_begin(net, conn, events, CONN_DIALLING);
    conn->dial = dial;
    net->counts.dialled++;
    dial_begin(dial, target->host);
    return 0;
}

void
dial_abandon(struct conn *conn)
{
    struct dial *dial = conn->dial;

    conn->dial = NULL;
    dns_cancel(&dial->query);
    if (dial->current != NULL)
        try_end(dial->current);
    free(dial);
}
