/*
 * Sockets. Every descriptor is added to epoll once, edge-triggered for reading, writing and the
 * peer's end, and never touched again: what may still be read is remembered in c->readable, what is
 * unwritten in c->out. While a call is answered nothing is read; a peer that closes in the
 * meantime, also one side only, has given the call up.
 */
#include "mock/sim.h"

#include "base/clock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 512
#define ACCEPTS_MAX 64
#define RESET_AFTER_MS 5 /* what was written gets to the peer before the reset does */

uint64_t loop_now_ms, loop_now_us;

static int epoll_fd, listener_fd;
static struct tls *tls_config;
static struct list ready, graveyard;
static uint32_t conn_id_last;
static char read_buf[256 * 1024];

static void
clock_read(void)
{
    loop_now_us = clock_mono_us();
    loop_now_ms = loop_now_us / 1000;
}

void
conn_ready(struct conn *c)
{
    if (!c->dead)
        list_move_back(&ready, &c->node);
}

static void
conn_kill(struct conn *c)
{
    if (c->dead)
        return;
    if (c->call != NULL)
        call_end(c, true);
    timer_stop(&c->timer);
    tls_conn_free(c->tls);
    if (c->reset_asked) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    close(c->fd);
    free(c->out);
    c->out = NULL;
    buf_free(&c->in);
    c->dead = true;
    list_move_back(&graveyard, &c->node);
    stats.open_connections--;
}

/* ---- writing ---- */

static long
socket_write(struct conn *c, const char *bytes, size_t len)
{
    if (c->tls != NULL)
        return tls_write(c->tls, bytes, len);
    ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

/* Writes until all is gone or the socket is full; how much went, or negative: the peer is gone. */
static long
write_some(struct conn *c, const char *bytes, size_t len)
{
    size_t sent = 0;

    while (sent < len) {
        long n = socket_write(c, bytes + sent, len - sent);

        if (n == -EAGAIN)
            break;
        if (n <= 0)
            return n == 0 ? -EPIPE : n;
        sent += (size_t)n;
    }
    return (long)sent;
}

static void
out_keep(struct conn *c, const char *bytes, size_t len)
{
    char *bigger = malloc(c->out_len - c->out_off + len);

    ASSERT(bigger != NULL);
    if (c->out != NULL)
        memcpy(bigger, c->out + c->out_off, c->out_len - c->out_off);
    memcpy(bigger + c->out_len - c->out_off, bytes, len);
    c->out_len = c->out_len - c->out_off + len;
    c->out_off = 0;
    free(c->out);
    c->out = bigger;
}

void
conn_send(struct conn *c, const void *bytes, size_t len)
{
    long sent = 0;

    if (c->failed || len == 0)
        return;
    if (c->out == NULL && c->drip == 0) {
        sent = write_some(c, bytes, len);
        if (sent < 0) {
            c->failed = true;
            conn_ready(c);
            return;
        }
    }
    if ((size_t)sent < len)
        out_keep(c, (const char *)bytes + sent, len - (size_t)sent);
    if (c->drip > 0)
        conn_ready(c);
}

static void
out_flush(struct conn *c)
{
    size_t len = c->out_len - c->out_off;

    if (c->drip > 0)
        len = MIN(len, (size_t)c->drip);
    long n = write_some(c, c->out + c->out_off, len);
    if (n < 0) {
        c->failed = true;
        return;
    }
    c->out_off += (size_t)n;
    if (c->out_off == c->out_len) {
        free(c->out);
        c->out = NULL;
        c->out_off = c->out_len = 0;
    } else if (c->drip > 0) {
        conn_ready(c);
    }
}

void
conn_close_soon(struct conn *c, bool reset)
{
    c->close_asked = true;
    c->reset_asked |= reset;
}

/* ---- reading ---- */

static long
socket_read(struct conn *c, char *bytes, size_t cap)
{
    if (c->tls != NULL)
        return tls_read(c->tls, bytes, cap);
    ssize_t n = recv(c->fd, bytes, cap, 0);
    return n < 0 ? -errno : n;
}

static bool
is_websocket(const struct conn *c)
{
    return c->call != NULL && c->call->websocket != NULL;
}

/* Takes one request from bytes and answers it; how many bytes that used up, 0 for none yet. */
static size_t
request_take(struct conn *c, char *bytes, size_t len)
{
    struct request req;
    const char *why = "";
    size_t used = 0;

    if (is_websocket(c))
        return websocket_take(c, bytes, len);
    switch (request_read(&req, bytes, len, &c->in_progress, &used, &why)) {
    case READ_MORE:
        if (req.expects_100 && req.head.len == len)
            conn_send(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
        return 0;
    case READ_MALFORMED:
        answer_malformed(c, why);
        conn_close_soon(c, false);
        return len;
    case READ_DONE:
        c->in_progress = 0;
        answer_request(c, &req);
        return used;
    }
    return 0;
}

/* Requests that wait in c->in, until one is being answered; true when bytes were used. */
static bool
input_take(struct conn *c)
{
    size_t used = request_take(c, c->in.ptr, c->in.len);

    if (used == 0)
        return false;
    if (used == c->in.len)
        buf_free(&c->in);
    else
        buf_drop_front(&c->in, used);
    return true;
}

/* Reads once; true when there may be more to do. */
static bool
input_read(struct conn *c)
{
    long n = socket_read(c, read_buf, sizeof(read_buf));

    if (n == -EAGAIN) {
        c->readable = false;
        return false;
    }
    if (n <= 0) {
        conn_kill(c);
        return false;
    }
    if (c->tls == NULL && (size_t)n < sizeof(read_buf))
        c->readable = false;
    if (c->in.len > 0) {
        buf_add(&c->in, read_buf, (size_t)n);
        return input_take(c) || c->readable;
    }
    size_t used = request_take(c, read_buf, (size_t)n);
    if (used < (size_t)n)
        buf_add(&c->in, read_buf + used, (size_t)n - used);
    return used > 0 || c->readable;
}

/* Everything that can be done for c now. */
static void
conn_run(struct conn *c)
{
    bool tried = false; /* c->in holds no whole request */

    while (!c->dead) {
        if (c->failed || (c->hung_up && c->call != NULL && !is_websocket(c))) {
            conn_kill(c);
            return;
        }
        if (c->out != NULL || (c->call != NULL && !is_websocket(c)))
            return;
        if (c->close_asked) {
            if (c->reset_asked)
                timer_set(&c->timer, loop_now_ms + RESET_AFTER_MS);
            else
                conn_kill(c);
            return;
        }
        if (!tried && c->in.len > 0 && c->in_progress <= c->in.len) {
            tried = !input_take(c);
            continue;
        }
        if (!c->readable || !input_read(c))
            return;
        tried = false;
    }
}

/* ---- events ---- */

static void
conn_event(struct conn *c, uint32_t events)
{
    if (c->dead)
        return;
    /* A request that came with its connection's end is a call like any other that was given up. */
    if (events & (EPOLLERR | EPOLLHUP)) {
        c->failed |= c->call != NULL || c->out != NULL;
        c->hung_up = c->readable = true;
    }
    /* Nobody waits for the answer any more. */
    if (events & EPOLLRDHUP && (c->call != NULL || c->out != NULL) && !is_websocket(c))
        c->failed = true;
    if (events & (EPOLLIN | EPOLLRDHUP))
        c->readable = true;
    if (c->out != NULL && !c->failed && (events & EPOLLOUT)) {
        out_flush(c);
        if (c->call != NULL && !conn_blocked(c))
            answer_continue(c);
    }
    conn_run(c);
}

static void
conn_on_timer(struct conn *c)
{
    if (c->call == NULL && (c->close_asked || c->idle_close)) {
        conn_kill(c);
        return;
    }
    if (c->call != NULL && !conn_blocked(c))
        answer_continue(c);
    conn_run(c);
}

static void
conn_on_ready(struct conn *c)
{
    if (c->out != NULL && !c->failed)
        out_flush(c);
    if (c->call != NULL && !conn_blocked(c))
        answer_continue(c);
    conn_run(c);
}

static void
conn_new(int fd)
{
    struct conn *c = calloc(1, sizeof(*c));
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    int on = 1;

    ASSERT(c != NULL);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->fd = fd;
    c->id = ++conn_id_last;
    buf_init(&c->in, 2 * REQUEST_BODY_MAX);
    timer_init(&c->timer);
    list_init(&c->node);
    if (tls_config != NULL && (c->tls = tls_conn_new(tls_config, fd)) == NULL) {
        close(fd);
        free(c);
        return;
    }
    ev.data.ptr = c;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
        tls_conn_free(c->tls);
        close(fd);
        free(c);
        return;
    }
    stats.connections++;
    stats.open_connections++;
    stats.open_connections_max = MAX(stats.open_connections_max, stats.open_connections);
}

static void
listener_event(void)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(listener_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            conn_new(fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE)
            usleep(1000); /* out of descriptors: do not spin on it */
        return;
    }
}

void
conn_listen(int listen_fd, struct tls *config)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};

    listener_fd = listen_fd;
    tls_config = config;
    list_init(&ready);
    list_init(&graveyard);
    clock_read();
    wheel_init(loop_now_ms);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &ev) < 0) {
        perror("turnpike: mock: epoll");
        exit(1);
    }
}

static void
ready_run(void)
{
    struct list now;

    if (list_empty(&ready))
        return;
    /* Those that want another turn get it in the next one. */
    list_init(&now);
    now.next = ready.next;
    now.prev = ready.prev;
    now.next->prev = &now;
    now.prev->next = &now;
    list_init(&ready);
    while (!list_empty(&now)) {
        struct conn *c = LIST_FIRST(&now, struct conn, node);

        list_remove(&c->node);
        conn_on_ready(c);
    }
}

static void
graves_clear(void)
{
    while (!list_empty(&graveyard)) {
        struct conn *c = LIST_FIRST(&graveyard, struct conn, node);

        list_remove(&c->node);
        free(c);
    }
}

void
conn_loop(void)
{
    static struct epoll_event events[EVENTS_MAX];
    struct timer *t;

    for (;;) {
        int wait_ms = list_empty(&ready) ? wheel_wait_ms(loop_now_ms) : 0;
        int n = epoll_wait(epoll_fd, events, EVENTS_MAX, wait_ms);

        clock_read();
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                listener_event();
            else
                conn_event(events[i].data.ptr, events[i].events);
        }
        while ((t = wheel_take(loop_now_ms)) != NULL)
            conn_on_timer(CONTAINER_OF(t, struct conn, timer));
        ready_run();
        graves_clear();
    }
}
