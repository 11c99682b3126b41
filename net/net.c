/*
 * The loop of a worker, its hooks and watches.
 *
 * Connections are in an epoll set of our own, and so is the descriptor of libuv's, which has all the
 * rest: listeners, dials, timers, pipes, threads that are done. A turn sleeps in ours, for as long as
 * libuv would have slept, and gives libuv a turn of its own where it has something to do. So a handle
 * of libuv's, 160 bytes, is not needed for a connection, and no more calls of the system than by libuv.
 */
#include "net/net.h"

#include "net/arrivals.h"
#include "net/conn_in.h"
#include "net/crew.h"
#include "net/dns_in.h"
#include "net/tls_in.h"
#include "net/turn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define ACCEPTED_MAX 100000u
#define HANDSHAKES_MAX 512u
#define HANDSHAKE_MS 10000u
#define LINGER_MS 2000u
#define STALL_MS 60000u
#define EVENTS_MAX 256 /* of one turn; what came besides is told in the next */
#define POOL_THREADS "4" /* all for names: see dns.c */

void
net_awake(struct net *net)
{
    if (!net->asleep)
        return;
    net->asleep = false;
    if (net->options.hooks.after_wake != NULL)
        net->options.hooks.after_wake(net->options.hooks.arg);
}

/* libuv's backend is what has no connection. */
static int
net_open_epoll(struct net *net)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    int fd = epoll_create1(EPOLL_CLOEXEC), rc;

    if (fd < 0)
        return -errno;
    if (epoll_ctl(fd, EPOLL_CTL_ADD, uv_backend_fd(&net->loop), &event) < 0) {
        rc = -errno;
        (void)close(fd);
        return rc;
    }
    net->epoll_fd = fd;
    return 0;
}

static void
net_set_defaults(struct net_options *options)
{
    if (options->accepted_max == 0)
        options->accepted_max = ACCEPTED_MAX;
    if (options->handshakes_max == 0)
        options->handshakes_max = HANDSHAKES_MAX;
    if (options->handshake_ms == 0)
        options->handshake_ms = HANDSHAKE_MS;
    if (options->linger_ms == 0)
        options->linger_ms = LINGER_MS;
    if (options->stall_ms == 0)
        options->stall_ms = STALL_MS;
}

int
net_init(struct net *net, const struct net_options *options)
{
    int rc;

    memset(net, 0, sizeof(*net));
    net->options = *options;
    net_set_defaults(&net->options);
    list_init(&net->listeners);
    /* Read by libuv when the pool is first used; an operator's own value stays. */
    (void)setenv("UV_THREADPOOL_SIZE", POOL_THREADS, 0);
    net->read_buf = malloc(NET_READ_BYTES);
    if (net->read_buf == NULL)
        return -ENOMEM;
    rc = -ENOMEM;
    net->arrivals = malloc(sizeof(*net->arrivals));
    if (net->arrivals == NULL)
        goto free_read_buf;
    net->arrivals->count = net->arrivals->len = 0;
    net->turn = malloc(sizeof(*net->turn));
    if (net->turn == NULL)
        goto free_arrivals;
    net->turn->count = net->turn->len = 0;
    net->turn->sending = false;
    rc = uv_loop_init(&net->loop);
    if (rc < 0)
        goto free_turn;
    net->dns = dns_new(net);
    if (net->dns == NULL) {
        rc = -ENOMEM;
        goto close_loop;
    }
    rc = net_open_epoll(net);
    if (rc < 0)
        goto free_dns;
    rc = wheel_init(&net->wheel, &net->loop);
    if (rc < 0)
        goto close_epoll;
    return 0;

close_epoll:
    (void)close(net->epoll_fd);
free_dns:
    dns_free(net->dns);
close_loop:
    (void)uv_loop_close(&net->loop);
free_turn:
    free(net->turn);
    net->turn = NULL;
free_arrivals:
    free(net->arrivals);
    net->arrivals = NULL;
free_read_buf:
    free(net->read_buf);
    net->read_buf = NULL;
    return rc;
}

/* ---- turns -------------------------------------------------------------------------------- */

static bool
net_is_alive(const struct net *net)
{
    return uv_loop_alive(&net->loop) || net->counts.conns_open > 0;
}

/* How long libuv may sleep. Where it has nothing it would say not at all, but there may be connections. */
static int
uv_patience_ms(const struct net *net)
{
    if (uv_loop_alive(&net->loop))
        return uv_backend_timeout(&net->loop);
    return net_is_alive(net) ? -1 : 0;
}

void
net_turn(struct net *net, bool wait)
{
    struct epoll_event events[EVENTS_MAX];
    bool uv_ready = false;
    int count;

    turn_end(net->turn);
    if (net->options.hooks.before_sleep != NULL)
        net->options.hooks.before_sleep(net->options.hooks.arg);
    net->asleep = true;
    count = epoll_wait(net->epoll_fd, events, EVENTS_MAX,
                       wait && !net->stopping ? uv_patience_ms(net) : 0);
    uv_update_time(&net->loop);
    net_awake(net);
    for (int i = 0; i < count; i++) { /* none when a signal came */
        if (events[i].data.ptr == NULL)
            uv_ready = true;
        else
            conn_on_events(events[i].data.ptr, events[i].events);
    }
    arrivals_deliver(net->arrivals);
    if (uv_ready || uv_patience_ms(net) == 0)
        (void)uv_run(&net->loop, UV_RUN_NOWAIT);
}

void
net_run(struct net *net)
{
    while (!net->stopping && net_is_alive(net))
        net_turn(net, true);
    net->stopping = false;
    turn_end(net->turn); /* of the last turn */
}

void
net_stop(struct net *net)
{
    net->stopping = true;
}

/* Until libuv has nothing any more: what closes, whoever asked for it. */
static void
net_run_out(struct net *net)
{
    while (uv_loop_alive(&net->loop))
        net_turn(net, true);
}

void
net_end(struct net *net)
{
    /* First what is closing already, which may still use the wheel. */
    net_run_out(net);
    ASSERT(net->counts.conns_open == 0);
    ASSERT(list_empty(&net->listeners));
    wheel_close(&net->wheel);
    for (unsigned i = 0; i < COUNT_OF(net->handshakes); i++) {
        if (net->handshakes[i] != NULL)
            crew_end(net->handshakes[i]);
    }
    net_run_out(net);
    ASSERT(uv_loop_close(&net->loop) == 0);
    (void)close(net->epoll_fd);
    for (unsigned i = 0; i < COUNT_OF(net->handshakes); i++)
        crew_free(net->handshakes[i]);
    dns_free(net->dns);
    tls_scratch_free(net->tls);
    free(net->turn);
    free(net->arrivals);
    free(net->read_buf);
    memset(net, 0, sizeof(*net));
}

/* ---- watches ------------------------------------------------------------------------------ */

static void
watch_on_counter(uv_poll_t *poll, int status, int events)
{
    struct net_watch *watch = CONTAINER_OF(poll, struct net_watch, poll);
    uint64_t rings;

    (void)status;
    (void)events;
    net_awake(watch->net);
    if (read(watch->fd, &rings, sizeof(rings)) != (ssize_t)sizeof(rings))
        return;
    watch->on_ready(watch);
}

static void
watch_on_pipe(uv_poll_t *poll, int status, int events)
{
    struct net_watch *watch = CONTAINER_OF(poll, struct net_watch, poll);
    char ignored[512];
    ssize_t got;

    (void)status;
    (void)events;
    net_awake(watch->net);
    got = read(watch->fd, ignored, sizeof(ignored));
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    (void)uv_poll_stop(poll);
    watch->on_ready(watch);
}

static int
watch_start(struct net *net, struct net_watch *watch, int fd, uv_poll_cb cb,
            void (*on_ready)(struct net_watch *watch))
{
    int rc = uv_poll_init(&net->loop, &watch->poll, fd);

    if (rc < 0)
        return rc;
    watch->fd = fd;
    watch->on_ready = on_ready;
    watch->net = net;
    return uv_poll_start(&watch->poll, UV_READABLE | UV_DISCONNECT, cb);
}

int
net_watch_eventfd(struct net *net, struct net_watch *watch, int fd,
                  void (*on_ready)(struct net_watch *watch))
{
    return watch_start(net, watch, fd, watch_on_counter, on_ready);
}

int
net_watch_eof(struct net *net, struct net_watch *watch, int fd,
              void (*on_ready)(struct net_watch *watch))
{
    return watch_start(net, watch, fd, watch_on_pipe, on_ready);
}

static void
watch_on_closed(uv_handle_t *handle)
{
    struct net_watch *watch = CONTAINER_OF((uv_poll_t *)handle, struct net_watch, poll);

    watch->net = NULL;
    if (watch->on_closed != NULL)
        watch->on_closed(watch);
}

void
net_unwatch(struct net_watch *watch)
{
    if (watch->net == NULL || uv_is_closing((uv_handle_t *)&watch->poll))
        return;
    uv_close((uv_handle_t *)&watch->poll, watch_on_closed);
}
