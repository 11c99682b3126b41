/*
 * The loop of a worker, its hooks and watches. uv_prepare and uv_check frame the one place
 * where a turn sleeps; both are unreferenced, so they do not keep the loop running.
 */
#include "net/net.h"

#include "net/arrivals.h"
#include "net/crew.h"
#include "net/dns_in.h"
#include "net/tls_in.h"
#include "net/turn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACCEPTED_MAX 100000u
#define HANDSHAKES_MAX 512u
#define HANDSHAKE_MS 10000u
#define LINGER_MS 2000u
#define STALL_MS 60000u
#define POOL_THREADS "4" /* all for names: see dns.c */

static void
net_on_prepare(uv_prepare_t *prepare)
{
    struct net *net = CONTAINER_OF(prepare, struct net, prepare);

    turn_end(net->turn);
    if (net->options.hooks.before_sleep != NULL)
        net->options.hooks.before_sleep(net->options.hooks.arg);
    net->asleep = true;
}

void
net_awake(struct net *net)
{
    if (!net->asleep)
        return;
    net->asleep = false;
    if (net->options.hooks.after_wake != NULL)
        net->options.hooks.after_wake(net->options.hooks.arg);
}

static void
net_on_check(uv_check_t *check)
{
    struct net *net = CONTAINER_OF(check, struct net, check);

    net_awake(net);
    arrivals_deliver(net->arrivals);
}

static int
net_start_hooks(struct net *net)
{
    int rc = uv_prepare_init(&net->loop, &net->prepare);

    if (rc == 0)
        rc = uv_check_init(&net->loop, &net->check);
    if (rc < 0)
        return rc;
    (void)uv_prepare_start(&net->prepare, net_on_prepare);
    (void)uv_check_start(&net->check, net_on_check);
    uv_unref((uv_handle_t *)&net->prepare);
    uv_unref((uv_handle_t *)&net->check);
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
    rc = wheel_init(&net->wheel, &net->loop);
    if (rc == 0)
        rc = net_start_hooks(net);
    if (rc < 0)
        goto free_dns;
    return 0;

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

void
net_run(struct net *net)
{
    (void)uv_run(&net->loop, UV_RUN_DEFAULT);
    turn_end(net->turn); /* the last turn had no prepare after it */
}

void
net_stop(struct net *net)
{
    uv_stop(&net->loop);
}

void
net_end(struct net *net)
{
    /* First what is closing already, which may still use the wheel. */
    (void)uv_run(&net->loop, UV_RUN_DEFAULT);
    ASSERT(net->counts.conns_open == 0);
    ASSERT(list_empty(&net->listeners));
    wheel_close(&net->wheel);
    uv_close((uv_handle_t *)&net->prepare, NULL);
    uv_close((uv_handle_t *)&net->check, NULL);
    for (unsigned i = 0; i < COUNT_OF(net->handshakes); i++) {
        if (net->handshakes[i] != NULL)
            crew_end(net->handshakes[i]);
    }
    (void)uv_run(&net->loop, UV_RUN_DEFAULT);
    ASSERT(uv_loop_close(&net->loop) == 0);
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
