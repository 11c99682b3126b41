#include "worker/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/held.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/str.h"
#include "shm/health.h"
#include "shm/names.h"
#include "worker/call.h"
#include "worker/choose.h"
#include "worker/client.h"
#include "worker/crowd.h"
#include "worker/front.h"
#include "worker/probe.h"
#include "worker/queue.h"
#include "worker/room.h"
#include "worker/tunnel.h"
#include "worker/uconn.h"

#define TICK_MS 1000u
#define CLOCK_STEP_US INT64_C(60000000)
#define ACCEPT_TELL_US UINT64_C(60000000)
#define ENDED_MS 3000u /* for error events to be taken; the master waits 10 s for us */

static int sigterm_fd = -1; /* the signal handler's only word */

void
worker_wake_ledger(struct worker *w)
{
    uint64_t one = 1;

    (void)!write(w->inherit->ledger_wake_fd, &one, sizeof one);
}

/* ---- draining ---- */

void
worker_maybe_done(struct worker *w)
{
    if (w->draining && w->listeners_open == 0 && list_empty(&w->clients) && list_empty(&w->calls) &&
        w->queries_open == 0)
        net_stop(&w->net);
}

static void
end_what_is_left(struct wheel_timer *timer)
{
    struct worker *w = CONTAINER_OF(timer, struct worker, drain_timer);

    if (!w->drain_over) {
        log_warn("worker.drain-over", "calls_ended=%zu", w->calls_slab.count);
        w->drain_over = true;
        call_end_all(w);
        /* Error events go out, and what peers do not take by then goes with the connection. */
        wheel_set(&w->net.wheel, &w->drain_timer, ENDED_MS, end_what_is_left);
        return;
    }
    for (struct list *node = w->clients.next; node != &w->clients; node = node->next)
        conn_close(&CONTAINER_OF(node, struct client, node)->conn);
}

static void
drain_clients(struct worker *w)
{
    struct list *node = w->clients.next;

    while (node != &w->clients) {
        struct client *c = CONTAINER_OF(node, struct client, node);

        node = node->next;
        client_drain(c);
    }
}

static void
drain_begin(struct worker *w)
{
    w->draining = true;
    w->drain_due_ms = UINT64_MAX;
    for (unsigned i = 0; i < w->inherit->listener_count; i++)
        listener_stop(&w->listeners[i]);
    /* A reload waits for it: who connects once it is done gets a new worker. */
    atomic_store_explicit(&w->table->draining, 1, memory_order_release);
    probe_stop(w);
    for (size_t i = 0; i < w->conf->upstream_count; i++)
        uconn_drop_idle(&w->pools[i]);
    front_drain(w);
}

void
worker_drain(struct worker *w, bool stopping, const char *why)
{
    uint64_t due_ms =
        worker_now_ms(w) + (stopping ? w->limits->stop_ms : w->limits->reload_ms);

    if (w->stopping || (w->draining && !stopping))
        return;
    log_info("worker.draining", "why=%s calls=%zu connections=%zu", why, w->calls_slab.count,
             w->clients_slab.count);
    w->stopping = stopping;
    if (!w->draining)
        drain_begin(w);
    if (stopping) {
        queue_drain(w);
        tunnel_drain(w);
    }
    drain_clients(w);
    if (!w->drain_over && due_ms < w->drain_due_ms) {
        w->drain_due_ms = due_ms;
        wheel_set(&w->net.wheel, &w->drain_timer, due_ms - worker_now_ms(w), end_what_is_left);
    }
    worker_maybe_done(w);
}

static void
on_sigterm(int signal_number)
{
    uint64_t one = 1;

    (void)signal_number;
    (void)!write(sigterm_fd, &one, sizeof one);
}

static void
on_drain_signal(struct net_watch *watch)
{
    struct worker *w = CONTAINER_OF(watch, struct worker, signal_watch);
    uint32_t why = atomic_load_explicit(&w->region->header->draining, memory_order_acquire);
    bool stopping = why == DRAINING_STOP;

    w->awaited = why == DRAINING_REBUILD;
    worker_drain(w, stopping, stopping ? "stop" : "reload");
}

static void
on_master_gone(struct net_watch *watch)
{
    worker_drain(CONTAINER_OF(watch, struct worker, lifeline_watch), true, "\"the master is gone\"");
}

static void
on_ledger_news(struct net_watch *watch)
{
    call_look_at_waiting(CONTAINER_OF(watch, struct worker, wake_watch));
}

/* ---- the loop's hooks ---- */

static void
read_clocks(struct worker *w)
{
    w->turn_mono_us = clock_mono_us();
    w->turn_wall_us = clock_wall_us();
}

static void
before_sleep(void *arg)
{
    struct worker *w = arg;

    atomic_store_explicit(&w->stats[STAT_HELD_BYTES], (uint64_t)MAX(held_bytes(), 0),
                          memory_order_relaxed);
    region_turn_end(w->table);
}

static void
after_wake(void *arg)
{
    struct worker *w = arg;

    read_clocks(w);
    region_turn_begin(w->table, w->turn_mono_us);
}

/* Budgets' windows follow the wall clock: an operator wants to know when somebody set it. */
static void
look_at_clocks(struct worker *w)
{
    int64_t offset_us = w->turn_wall_us - (int64_t)w->turn_mono_us;
    int64_t step_us = offset_us - w->clock_offset_us;

    if (w->clock_offset_us != 0 && w->inherit->worker_number == 1 &&
        (step_us > CLOCK_STEP_US || step_us < -CLOCK_STEP_US))
        log_warn("clock.stepped", "seconds=%lld", (long long)(step_us / 1000000));
    w->clock_offset_us = offset_us;
}

/* Connections that wait since there are no descriptors, or as many are open as may be: said once a while, with how
 * often it came to that since. */
static void
look_at_listeners(struct worker *w)
{
    uint64_t times = w->net.counts.accept_paused - w->accept_paused_told;

    if (times == 0 || (w->accept_told_us != 0 && w->turn_mono_us - w->accept_told_us < ACCEPT_TELL_US))
        return;
    w->accept_paused_told += times;
    w->accept_told_us = w->turn_mono_us;
    log_warn("accept.paused", "times=%llu open=%llu most=%u", (unsigned long long)times,
             (unsigned long long)w->net.counts.accepted_open, w->net.options.accepted_max);
}

/*
 * A heartbeat also when nothing happens, and a look at what a lost ring may have left waiting: to the
 * end, since the ledger process of another master knows no way to ring a worker that outlived its own.
 */
static void
on_tick(struct wheel_timer *timer)
{
    struct worker *w = CONTAINER_OF(timer, struct worker, tick);

    call_look_at_waiting(w);
    look_at_clocks(w);
    look_at_listeners(w);
    probe_tick(w);
    wheel_set(&w->net.wheel, &w->tick, TICK_MS, on_tick);
}

/* ---- listeners ---- */

static struct conn *
on_accept(struct listener *listener, const struct net_addr *peer)
{
    struct worker *w = listener->arg;
    struct client *c;

    c = crowd_accept(w, peer,
                     w->inherit->listeners[listener - w->listeners].kind == LISTENER_METRICS);
    return c ? &c->conn : NULL;
}

static void
on_refused(struct listener *listener, struct conn *conn)
{
    (void)listener;
    client_drop(CONTAINER_OF(conn, struct client, conn));
}

static void
on_listener_closed(struct listener *listener)
{
    struct worker *w = listener->arg;

    w->listeners_open--;
    worker_maybe_done(w);
}

int
worker_listen(struct worker *w)
{
    for (unsigned i = 0; i < w->inherit->listener_count; i++) {
        struct listener *l = &w->listeners[i];
        int rc;

        l->server = w->inherit->listeners[i].kind == LISTENER_TLS ? w->tls_server : NULL;
        l->events = &client_events;
        if (w->inherit->listeners[i].kind == LISTENER_PLAIN)
            l->refusal = crowd_refusal();
        l->on_accept = on_accept;
        l->on_refused = on_refused;
        l->on_closed = on_listener_closed;
        l->arg = w;
        rc = listener_start(&w->net, l, w->inherit->listeners[i].fd);
        if (rc < 0) {
            log_error("worker.listen-failed", "error=%s", strerror(-rc));
            return rc;
        }
        w->listeners_open++;
    }
    return 0;
}

/* ---- making it ---- */

static struct tls_client *
tls_client_for(struct worker *w, const struct conf_upstream *upstream)
{
    const char *ca = upstream->ca_file.len ? upstream->ca_file.ptr : NULL;

    if (!upstream->tls)
        return NULL;
    for (unsigned i = 0; i < w->tls_client_count; i++)
        if ((ca == NULL && w->tls_client_ca[i] == NULL) ||
            (ca && w->tls_client_ca[i] && strcmp(ca, w->tls_client_ca[i]) == 0))
            return w->tls_clients[i];
    w->tls_client_ca[w->tls_client_count] = ca;
    w->tls_clients[w->tls_client_count] =
        tls_client_new(&(struct tls_client_options){.ca_file = ca});
    return w->tls_clients[w->tls_client_count++];
}

/* Names stay for the life of the region, so reloads may fill it; a record without its model's name
 * could not be priced again. */
static int
make_names(struct worker *w)
{
    const struct conf *conf = w->conf;
    bool all = true;

    for (size_t i = 0; i < conf->model_count; i++) {
        w->model_name[i] = name_intern(w->region, conf->models[i].name);
        w->family_name[i] = name_intern(w->region, conf->models[i].family);
        all = all && w->model_name[i] != 0 && w->family_name[i] != 0;
    }
    for (size_t i = 0; i < conf->rule_count; i++)
        w->rule_name[i] = name_intern(w->region, conf->rules[i].name);
    for (size_t i = 0; i < conf->channel_count; i++) {
        w->channel_name[i] = name_intern(w->region, conf->channels[i].name);
        all = all && w->channel_name[i] != 0;
    }
    for (size_t i = 0; i < conf->upstream_count; i++)
        all = all && w->pools[i].name_id != 0;
    if (!all)
        log_error("names.full", "max=%u hint=%s", w->region->header->geometry.name_max,
                  "\"too many names of models, channels and upstreams since the first start; stop "
                  "the server and start it\"");
    return all ? 0 : -ENOSPC;
}

static int
make_tables(struct worker *w)
{
    const struct conf *conf = w->conf;
    size_t upstreams = MAX(conf->upstream_count, 1u), models = MAX(conf->model_count, 1u);
    size_t channels = MAX(conf->channel_count, 1u), credentials = MAX(conf->credential_count, 1u);

    w->pools = calloc(upstreams, sizeof *w->pools);
    w->credentials = calloc(credentials, sizeof *w->credentials);
    w->health = calloc(credentials, sizeof *w->health);
    w->tls_clients = calloc(upstreams, sizeof *w->tls_clients);
    w->tls_client_ca = calloc(upstreams, sizeof *w->tls_client_ca);
    w->model_name = calloc(models, sizeof *w->model_name);
    w->family_name = calloc(models, sizeof *w->family_name);
    w->channel_name = calloc(channels, sizeof *w->channel_name);
    w->rule_name = calloc(MAX(conf->rule_count, 1u), sizeof *w->rule_name);
    w->head_buf = malloc(HEAD_BYTES_MAX);
    buf_init(&w->spoken, 2 * w->limits->response_body_bytes);
    w->routes = route_table_make(conf);
    if (!w->pools || !w->credentials || !w->health || !w->tls_clients || !w->tls_client_ca ||
        !w->model_name || !w->family_name || !w->channel_name || !w->rule_name || !w->head_buf ||
        !w->routes || queue_init(w) < 0 ||
        !route_names_make(conf, w->region, &w->channel_names))
        return -ENOMEM;
    for (size_t i = 0; i < conf->upstream_count; i++)
        pool_init(&w->pools[i], w, i, tls_client_for(w, &conf->upstreams[i]));
    for (size_t i = 0; i < conf->upstream_count; i++)
        if (conf->upstreams[i].probe_ms > 0 && conf->upstreams[i].disabled_reason == NULL &&
            (w->pools[i].probe = probe_new(&w->pools[i])) == NULL)
            return -ENOMEM;
    if (make_names(w) < 0)
        return -ENOSPC;
    w->routes_need = choose_conf_needs(conf);
    w->routes_stay = conf->limits.affinity_ms > 0 && route_has_choice(w->routes);
    return 0;
}

static void
make_limits(struct worker *w)
{
    const struct conf_limits *l = w->limits;

    w->request_limits = (struct h1_limits){
        .request_line_bytes = l->request_line_bytes,
        .header_bytes = l->header_bytes,
        .headers_bytes = l->headers_bytes,
        .header_count = l->header_lines,
        .blank_lines = l->blank_lines,
        .chunk_extra_bytes = l->chunk_extra_bytes,
        .interim_count = 0,
        .body_bytes = l->body_bytes,
    };
    w->answer_limits = h1_limits_default;
    w->answer_limits.headers_bytes = l->response_headers_bytes;
    w->answer_limits.header_bytes = MIN(l->response_headers_bytes, (uint32_t)H1_LINE_MAX);
    w->answer_limits.interim_count = l->response_headers_1xx;
    w->answer_limits.body_bytes = UINT64_MAX / 2;
}

static int
make_tls(struct worker *w)
{
    struct tls_identity identities[16];
    struct tls_server_options options = {.identities = identities,
                                         .identity_count = w->inherit->certificate_count,
                                         .ticket_secret = w->inherit->ticket_secret};
    char err[TLS_ERROR_TEXT];

    if (w->inherit->certificate_count == 0)
        return 0;
    for (unsigned i = 0; i < options.identity_count; i++)
        identities[i] = (struct tls_identity){w->inherit->certificates[i].chain_pem,
                                              w->inherit->certificates[i].key_pem};
    w->tls_server = tls_server_new(&options, err);
    if (w->tls_server == NULL)
        log_error("worker.tls-failed", "error=%s", log_quote(str_from(err)));
    return w->tls_server ? 0 : -EINVAL;
}

static int
make_watches(struct worker *w)
{
    struct sigaction action = {.sa_handler = on_sigterm, .sa_flags = SA_RESTART};
    int rc;

    w->signal_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->signal_fd < 0)
        return -errno;
    sigterm_fd = w->signal_fd;
    rc = net_watch_eventfd(&w->net, &w->signal_watch, w->signal_fd, on_drain_signal);
    if (rc == 0)
        rc = net_watch_eventfd(&w->net, &w->wake_watch, w->inherit->wake_fd, on_ledger_news);
    if (rc == 0)
        rc = net_watch_eof(&w->net, &w->lifeline_watch, w->inherit->lifeline_fd, on_master_gone);
    if (rc == 0 && sigaction(SIGTERM, &action, NULL) < 0)
        rc = -errno;
    return rc;
}

static int
worker_make(struct worker *w, const struct worker_inherit *inherit)
{
    struct net_options options = {
        .hooks = {before_sleep, after_wake, w},
        .accepted_max = 0,
    };
    int rc;

    w->inherit = inherit;
    /* Mail's password and the like are nothing to who serves calls. */
    conf_forget_outside((struct conf *)(uintptr_t)inherit->conf);
    w->conf = inherit->conf;
    w->limits = &inherit->conf->limits;
    w->region = inherit->region;
    w->table = &w->region->header->table[inherit->table_idx];
    w->stats = stat_at(w->region, inherit->table_idx);
    w->refusals = refusal_ring_at(w->region, inherit->table_idx);
    w->rng = rng_u64();
    list_init(&w->clients);
    list_init(&w->calls);
    list_init(&w->waiting);
    crowd_init(w);
    options.accepted_max = crowd_connections_max(w);
    slab_init(&w->clients_slab, sizeof(struct client), crowd_clients_max(w));
    slab_init(&w->uconns_slab, sizeof(struct uconn), UINT32_MAX);
    slab_init(&w->calls_slab, sizeof(struct call), crowd_clients_max(w));
    make_limits(w);
    for (unsigned i = 0; i < STAT_COUNT; i++)
        if (stat_is_gauge((enum stat_counter)i))
            atomic_store_explicit(&w->stats[i], 0, memory_order_relaxed);
    rc = region_lock_table(w->region, inherit->table_idx);
    if (rc == 0)
    {
        atomic_store_explicit(&w->table->pid, (uint32_t)getpid(), memory_order_relaxed);
        atomic_store_explicit(&w->table->draining, 0, memory_order_relaxed);
        read_clocks(w);
        region_turn_begin(w->table, w->turn_mono_us);
    }
    if (rc == 0)
        rc = hold_table_open(w->region, inherit->table_idx, &w->holds);
    if (rc == 0)
        health_loads_clear(w->region, inherit->table_idx);
    if (rc == 0)
        rc = net_init(&w->net, &options);
    if (rc == 0)
        rc = make_tables(w);
    if (rc == 0)
        rc = make_tls(w);
    if (rc == 0)
        rc = front_init(w);
    if (rc == 0)
        rc = make_watches(w);
    if (rc == 0)
        rc = worker_listen(w);
    return rc;
}

int
worker_main(const struct worker_inherit *inherit)
{
    static struct worker worker; /* one a process, and large */
    struct worker *w = &worker;
    char name[32];
    int rc;

    snprintf(name, sizeof name, "worker %u", inherit->worker_number);
    log_setup(&(struct log_setup){.process = name,
                                  .level_max = inherit->log_debug ? LOG_LEVEL_DEBUG
                                                                  : LOG_LEVEL_INFO,
                                  .json = inherit->log_json});
    heap_keep();
    rc = worker_make(w, inherit);
    if (rc < 0) {
        log_error("worker.start-failed", "error=%s", log_quote(str_from(strerror(-rc))));
        return 1;
    }
    (void)!write(inherit->lifeline_fd, "R", 1);
    look_at_clocks(w); /* from here on */
    wheel_set(&w->net.wheel, &w->tick, TICK_MS, on_tick);
    net_run(&w->net);
    ASSERT(list_empty(&w->calls));
    region_turn_end(w->table);
    log_info("worker.done", "calls_held=%u", w->holds.held_count);
    return 0;
}
