/*
 * Connections: reading, writing, ending.
 *
 * Sockets are watched by uv_poll, not uv_tcp: what waits for a slow peer is then ours to append
 * to, and its progress ours to time; a read is one recv() into a buffer that all share; and an
 * idle connection is small. A change of what is watched costs two epoll_ctl(), so it happens
 * only when output blocks, or when something arrived that nobody wants (see conn_read_stop()).
 */
#include "net/conn.h"

#include "base/held.h"
#include "net/arrivals.h"
#include "net/conn_in.h"
#include "net/tls_in.h"
#include "net/turn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PENDING_CAP_MIN 4096u
/* For TLS an unfinished record from before may come on top of what is read now. */
#define READ_TLS_BYTES (NET_READ_BYTES - TLS_RECORD_WIRE_MAX)

struct conn_pending {
    size_t off; /* bytes before it are sent */
    size_t len; /* bytes that wait */
    size_t cap;
    uint8_t bytes[];
};

const char *const conn_stage_name[] = {
    [CONN_STAGE_RESOLVE] = "resolve", [CONN_STAGE_CONNECT] = "connect", [CONN_STAGE_TLS] = "tls",
    [CONN_STAGE_READ] = "read",       [CONN_STAGE_WRITE] = "write",
};
_Static_assert(COUNT_OF(conn_stage_name) == CONN_STAGE_COUNT, "a new stage needs a name");

#define TO(s) (1u << (s))
static const unsigned conn_may_become[CONN_STATE_COUNT] = {
    [CONN_UNUSED] = TO(CONN_DIALLING) | TO(CONN_HANDSHAKING),
    [CONN_DIALLING] = TO(CONN_UNUSED) | TO(CONN_HANDSHAKING) | TO(CONN_OPEN) | TO(CONN_CLOSING),
    [CONN_HANDSHAKING] = TO(CONN_UNUSED) | TO(CONN_OPEN) | TO(CONN_CLOSING),
    [CONN_OPEN] = TO(CONN_FLUSHING) | TO(CONN_CLOSING),
    [CONN_FLUSHING] = TO(CONN_DRAINING) | TO(CONN_CLOSING),
    [CONN_DRAINING] = TO(CONN_CLOSING),
    [CONN_CLOSING] = TO(CONN_CLOSED),
};

void
conn_set_state(struct conn *conn, enum conn_state next)
{
    ASSERT(conn_may_become[conn->state] & TO(next));
    conn->state = (uint8_t)next;
}

void
conn_begin(struct net *net, struct conn *conn, const struct conn_events *events,
           enum conn_state state)
{
    ASSERT(conn->state == CONN_UNUSED);
    conn->net = net;
    conn->events = events;
    conn->fd = -1;
    conn_set_state(conn, state);
    net->counts.conns_open++;
}

void
conn_unbegin(struct conn *conn)
{
    conn->net->counts.conns_open--;
    conn_set_state(conn, CONN_UNUSED);
}

int
conn_attach(struct conn *conn, int fd)
{
    int rc = uv_poll_init(&conn->net->loop, &conn->poll, fd);

    if (rc < 0) {
        (void)close(fd);
        return rc;
    }
    conn->fd = fd;
    conn->poll_made = true;
    return 0;
}

bool
conn_opened(struct conn *conn)
{
    conn_set_state(conn, CONN_OPEN);
    conn->want_read = true;
    conn_update_interest(conn);
    conn->events->on_open(conn);
    return conn->state == CONN_OPEN;
}

int
conn_accept(struct net *net, struct conn *conn, const struct conn_events *events, int fd,
            const struct net_addr *peer, struct tls_server *server)
{
    int rc;

    conn_begin(net, conn, events, CONN_HANDSHAKING);
    conn->peer = *peer;
    rc = server != NULL ? conn_tls_accept(conn, server) : 0;
    if (rc < 0) {
        (void)close(fd);
        conn_unbegin(conn);
        return rc;
    }
    rc = conn_attach(conn, fd);
    if (rc < 0) {
        conn_tls_closing(conn);
        conn_tls_free(conn);
        conn_unbegin(conn);
        return rc;
    }
    conn->accepted = true;
    net->counts.accepted++;
    net->counts.accepted_open++;
    if (server == NULL) {
        (void)conn_opened(conn);
        return 0;
    }
    conn->want_read = true;
    conn_update_interest(conn);
    return 0;
}

void
conn_fail(struct conn *conn, enum conn_stage stage, int err, const char *text)
{
    struct conn_error error = {.stage = stage, .err = err, .text = text};

    if (conn_is_closing(conn)) {
        conn_close(conn);
        return;
    }
    conn->erred = true;
    conn->events->on_error(conn, &error);
    conn_close(conn);
}

void
conn_write_failed(struct conn *conn, int err)
{
    conn_fail(conn, CONN_STAGE_WRITE, err, uv_strerror(err));
}

/* ---- reading ------------------------------------------------------------------------------ */

static void conn_on_poll(uv_poll_t *poll, int status, int events);

void
conn_update_interest(struct conn *conn)
{
    int wanted = 0;

    if (!conn->poll_made || conn->state >= CONN_CLOSING)
        return;
    if (conn->want_read && !conn->eof_seen)
        wanted |= UV_READABLE;
    if (conn->pending != NULL)
        wanted |= UV_WRITABLE;
    if (wanted == conn->interest)
        return;
    conn->interest = (uint8_t)wanted;
    if (wanted == 0)
        (void)uv_poll_stop(&conn->poll);
    else
        (void)uv_poll_start(&conn->poll, wanted, conn_on_poll);
}

/* Only remembered: conn_read_unwanted() does it when something comes before the next start. */
void
conn_read_stop(struct conn *conn)
{
    conn->want_read = false;
}

void
conn_read_start(struct conn *conn)
{
    if (conn->state != CONN_OPEN)
        return;
    conn->want_read = true;
    if ((conn->interest & UV_READABLE) == 0)
        conn_update_interest(conn);
}

void
conn_saw_eof(struct conn *conn, bool clean)
{
    if (conn->eof_seen || conn->state != CONN_OPEN)
        return;
    conn->eof_seen = true;
    conn->eof_clean = clean;
    conn_update_interest(conn);
    conn->events->on_eof(conn);
}

static void
conn_read(struct conn *conn, bool poll_failed)
{
    ssize_t got = arrivals_take(conn->net->arrivals, conn,
                                conn->tls != NULL ? READ_TLS_BYTES : NET_READ_BYTES);
    int err = 0;
    socklen_t err_len = sizeof(err);

    if (got > 0) {
        /* libuv stops a poll that met an error; bytes before the error are still good. */
        if (poll_failed)
            conn_update_interest(conn);
        return;
    }
    if (got == 0) {
        conn_saw_eof(conn, conn->tls == NULL);
        return;
    }
    if (errno != EAGAIN && errno != EINTR) {
        err = errno;
    } else if (poll_failed && conn->state == CONN_OPEN) {
        (void)getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &err, &err_len);
        if (err == 0)
            conn_update_interest(conn);
    }
    if (err != 0)
        conn_fail(conn, CONN_STAGE_READ, -err, uv_strerror(-err));
}

/*
 * Something came and nobody wants it. If it is only the end of the peer, that is worth telling
 * now: a caller that is gone should not wait for its own backpressure to be noticed.
 */
static void
conn_read_unwanted(struct conn *conn)
{
    uint8_t byte;
    ssize_t got = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    int err = errno;

    conn_update_interest(conn);
    /* A handshake with the crew finds out itself when it reads on. */
    if (conn->state == CONN_HANDSHAKING)
        return;
    if (got == 0)
        conn_saw_eof(conn, conn->tls == NULL);
    else if (got < 0 && err != EAGAIN && err != EINTR)
        conn_fail(conn, CONN_STAGE_READ, -err, uv_strerror(-err));
}

static void
conn_drop_input(struct conn *conn)
{
    ssize_t got = recv(conn->fd, conn->net->read_buf, NET_READ_BYTES, 0);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got < 0 || (got == 0 && conn->state == CONN_DRAINING)) {
        conn_close(conn);
        return;
    }
    if (got == 0) {
        conn->eof_seen = true;
        conn_update_interest(conn);
        return;
    }
    conn->linger_bytes += (uint32_t)got;
    if (conn->linger_bytes > CONN_LINGER_BYTES)
        conn_close(conn);
}

/* ---- writing ------------------------------------------------------------------------------ */

static bool
pending_add(struct conn *conn, const void *bytes, size_t len)
{
    struct conn_pending *p = conn->pending;

    if (len == 0)
        return true;
    if (p != NULL && p->off + p->len + len > p->cap && p->len + len <= p->cap) {
        memmove(p->bytes, p->bytes + p->off, p->len);
        p->off = 0;
    }
    if (p == NULL || p->off + p->len + len > p->cap) {
        size_t cap = p != NULL ? p->cap * 2 : PENDING_CAP_MIN;
        struct conn_pending *grown;
        size_t more;

        while (cap < (p != NULL ? p->off + p->len : 0) + len)
            cap *= 2;
        more = cap - (p != NULL ? p->cap : 0);
        grown = held_fits(more) ? realloc(p, sizeof(*p) + cap) : NULL;
        if (grown == NULL)
            return false;
        held_add(more);
        if (p == NULL)
            grown->off = grown->len = 0;
        grown->cap = cap;
        conn->pending = p = grown;
    }
    memcpy(p->bytes + p->off + p->len, bytes, len);
    p->len += len;
    return true;
}

static void
pending_free(struct conn *conn)
{
    if (conn->pending == NULL)
        return;
    held_sub(conn->pending->cap);
    free(conn->pending);
    conn->pending = NULL;
}

/* Keeps iov's bytes from sent on. */
static int
conn_keep(struct conn *conn, const struct iovec *iov, unsigned count, size_t sent)
{
    if (conn->pending == NULL)
        conn->write_progress_ms = net_now_ms(conn->net);
    for (unsigned i = 0; i < count; i++) {
        size_t skip = MIN(sent, iov[i].iov_len);

        sent -= skip;
        if (!pending_add(conn, (const uint8_t *)iov[i].iov_base + skip, iov[i].iov_len - skip)) {
            conn->erred = true;
            return -ENOMEM;
        }
    }
    if (conn->pending->len > CONN_PENDING_LOW)
        conn->want_drain = true;
    conn_update_interest(conn);
    return 0;
}

static size_t
iov_total(const struct iovec *iov, unsigned count)
{
    size_t total = 0;

    for (unsigned i = 0; i < count; i++)
        total += iov[i].iov_len;
    return total;
}

int
conn_send(struct conn *conn, struct iovec *iov, unsigned count)
{
    struct turn *turn = conn->net->turn;
    size_t total = iov_total(iov, count);

    if (conn->erred)
        return -EPIPE;
    if (total == 0)
        return 0;
    if (conn->state == CONN_OPEN && conn->pending == NULL && total <= TURN_WRITE_MAX &&
        turn_add(turn, conn, iov, count, total))
        return 0;
    if (conn->turn != 0)
        turn_send(turn, conn); /* first what was written first */
    return conn_send_now(conn, iov, count);
}

int
conn_send_now(struct conn *conn, struct iovec *iov, unsigned count)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = count};
    size_t total = iov_total(iov, count);
    ssize_t sent = 0;

    if (conn->erred)
        return -EPIPE;
    if (conn->pending == NULL) {
        do {
            sent = count == 1 ? send(conn->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
                              : sendmsg(conn->fd, &msg, MSG_NOSIGNAL);
        } while (sent < 0 && errno == EINTR);
        if (sent < 0 && errno != EAGAIN) {
            conn->erred = true;
            return -errno;
        }
        if (sent < 0)
            sent = 0;
        if ((size_t)sent == total)
            return 0;
    }
    return conn_keep(conn, iov, count, (size_t)sent);
}

int
conn_write(struct conn *conn, const struct str *parts, unsigned count)
{
    struct iovec iov[CONN_PARTS_MAX];

    ASSERT(count <= CONN_PARTS_MAX);
    if (conn->state != CONN_OPEN)
        return -ENOTCONN;
    if (conn->tls != NULL)
        return conn_tls_write(conn, parts, count);
    for (unsigned i = 0; i < count; i++) {
        /* sendmsg() takes it without const, and leaves it alone. */
        iov[i].iov_base = (void *)(uintptr_t)parts[i].ptr;
        iov[i].iov_len = parts[i].len;
    }
    return conn_send(conn, iov, count);
}

size_t
conn_pending_bytes(const struct conn *conn)
{
    return conn->pending != NULL ? conn->pending->len : 0;
}

static void conn_on_linger(struct wheel_timer *timer);

static void
conn_flushed(struct conn *conn)
{
    struct net *net = conn->net;

    if (shutdown(conn->fd, SHUT_WR) < 0 || conn->eof_seen) {
        conn_close(conn);
        return;
    }
    conn_set_state(conn, CONN_DRAINING);
    conn_update_interest(conn);
    wheel_set(&net->wheel, &conn->timer, net->options.linger_ms, conn_on_linger);
}

/* The socket takes output again. False when the conn is closing or may be gone. */
static bool
conn_flush(struct conn *conn)
{
    struct conn_pending *p = conn->pending;
    ssize_t sent = send(conn->fd, p->bytes + p->off, p->len, MSG_NOSIGNAL);

    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (sent < 0) {
        int err = -errno;

        conn_fail(conn, CONN_STAGE_WRITE, err, uv_strerror(err));
        return false;
    }
    conn->write_progress_ms = net_now_ms(conn->net);
    p->off += (size_t)sent;
    p->len -= (size_t)sent;
    if (p->len == 0) {
        pending_free(conn);
        conn_update_interest(conn);
    }
    if (conn->state == CONN_FLUSHING) {
        if (conn->pending == NULL)
            conn_flushed(conn);
        return conn->state < CONN_CLOSING;
    }
    if (conn->want_drain && conn_pending_bytes(conn) <= CONN_PENDING_LOW) {
        conn->want_drain = false;
        if (conn->state == CONN_OPEN && conn->events->on_drain != NULL)
            conn->events->on_drain(conn);
    }
    return conn->state < CONN_CLOSING;
}

static void
conn_on_poll(uv_poll_t *poll, int status, int events)
{
    struct conn *conn = CONTAINER_OF(poll, struct conn, poll);
    bool failed = status < 0;

    net_awake(conn->net);
    if (conn->arrived) /* told of it twice in one turn: first what came first */
        arrivals_deliver(conn->net->arrivals);
    if (failed) {
        conn->interest = 0;
        events = UV_READABLE | UV_WRITABLE;
    }
    /* The memory outlives this function even if a callback closes it: libuv's close callbacks
     * come later in the turn. */
    if ((events & UV_WRITABLE) != 0 && conn->pending != NULL && !conn_flush(conn))
        return;
    if ((events & UV_READABLE) == 0)
        return;
    if (conn->state >= CONN_FLUSHING)
        conn_drop_input(conn);
    else if (!conn->want_read || conn->eof_seen)
        conn_read_unwanted(conn);
    else if (conn->state == CONN_HANDSHAKING)
        conn_tls_on_readable(conn);
    else
        conn_read(conn, failed);
}

/* ---- ending ------------------------------------------------------------------------------- */

static void
conn_on_linger(struct wheel_timer *timer)
{
    struct conn *conn = CONTAINER_OF(timer, struct conn, timer);

    conn_close(conn);
}

/* While flushing: looks now and then whether the peer still takes data. */
static void
conn_on_stall(struct wheel_timer *timer)
{
    struct conn *conn = CONTAINER_OF(timer, struct conn, timer);
    struct net *net = conn->net;
    uint64_t idle_ms = net_now_ms(net) - conn->write_progress_ms;

    if (idle_ms >= net->options.stall_ms)
        conn_close(conn);
    else
        wheel_set(&net->wheel, timer, net->options.stall_ms - idle_ms, conn_on_stall);
}

void
conn_shutdown(struct conn *conn)
{
    if (conn->state >= CONN_FLUSHING)
        return;
    if (conn->state != CONN_OPEN || conn->erred) {
        conn_close(conn);
        return;
    }
    if (conn->tls != NULL)
        conn_tls_close_notify(conn);
    if (conn->turn != 0)
        turn_send(conn->net->turn, conn);
    if (conn->erred) {
        conn_close(conn);
        return;
    }
    conn_set_state(conn, CONN_FLUSHING);
    conn->want_read = true;
    if (conn->pending != NULL) {
        conn_update_interest(conn);
        wheel_set(&conn->net->wheel, &conn->timer, conn->net->options.stall_ms, conn_on_stall);
        return;
    }
    conn_flushed(conn);
}

void
conn_maybe_closed(struct conn *conn)
{
    if (conn->state != CONN_CLOSING || conn->poll_made || conn->crew_busy ||
        wheel_is_set(&conn->timer))
        return;
    conn_set_state(conn, CONN_CLOSED);
    conn_tls_free(conn);
    conn->net->counts.conns_open--;
    conn->events->on_closed(conn);
}

static void
conn_on_poll_closed(uv_handle_t *handle)
{
    struct conn *conn = CONTAINER_OF((uv_poll_t *)handle, struct conn, poll);

    conn->poll_made = false;
    conn_maybe_closed(conn);
}

static void
conn_on_soon(struct wheel_timer *timer)
{
    conn_maybe_closed(CONTAINER_OF(timer, struct conn, timer));
}

static void
conn_end(struct conn *conn, bool reset)
{
    ASSERT(conn->state != CONN_UNUSED);
    if (conn->state >= CONN_CLOSING)
        return;
    if (conn->turn != 0)
        turn_send(conn->net->turn, conn);
    if (conn->turn != 0)
        turn_forget(conn->net->turn, conn);
    conn_set_state(conn, CONN_CLOSING);
    wheel_cancel(&conn->net->wheel, &conn->timer);
    if (conn->dial != NULL)
        dial_abandon(conn);
    conn_tls_closing(conn);
    pending_free(conn);
    if (!conn->poll_made) {
        wheel_soon(&conn->net->wheel, &conn->timer, conn_on_soon);
        return;
    }
    if (reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};

        (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    uv_close((uv_handle_t *)&conn->poll, conn_on_poll_closed);
    (void)close(conn->fd);
    conn->fd = -1;
    if (conn->accepted)
        conn->net->counts.accepted_open--;
    listeners_resume(conn->net);
}

void
conn_close(struct conn *conn)
{
    conn_end(conn, false);
}

void
conn_reset(struct conn *conn)
{
    conn_end(conn, true);
}
