#include "worker/uconn.h"

#include "net/dial.h"
#include "shm/names.h"
#include "worker/call.h"
#include "worker/feed.h"
#include "worker/forward.h"
#include "worker/kept.h"
#include "worker/relay.h"
#include "worker/tunnel.h"

/* Shorter than what providers and their proxies keep a quiet connection for (60 s and more), so that
 * we seldom write into one that is being closed. */
#define IDLE_MS 30000u
#define DRAIN_MS 5000u
#define DRAIN_BYTES_MAX (256u << 10)

#define TO(s) (1u << (s))
static const unsigned uconn_may_become[UCONN_STATE_COUNT] = {
    [UCONN_DIALLING] = TO(UCONN_BUSY) | TO(UCONN_CLOSING),
    [UCONN_BUSY] = TO(UCONN_IDLE) | TO(UCONN_DRAINING) | TO(UCONN_CLOSING),
    [UCONN_IDLE] = TO(UCONN_BUSY) | TO(UCONN_CLOSING),
    [UCONN_DRAINING] = TO(UCONN_IDLE) | TO(UCONN_CLOSING),
    [UCONN_CLOSING] = 0,
};

static const struct conn_events uconn_events;

static struct uconn *
uconn_of(struct conn *conn)
{
    return CONTAINER_OF(conn, struct uconn, conn);
}

static void
uconn_set_state(struct uconn *uc, enum uconn_state next)
{
    ASSERT(uconn_may_become[uc->state] & TO(next));
    if (uc->state == UCONN_IDLE) {
        list_remove(&uc->node);
        uc->pool->idle_count--;
    }
    uc->state = (uint8_t)next;
    if (next == UCONN_IDLE) {
        list_push_front(&uc->pool->idle, &uc->node);
        uc->pool->idle_count++;
    }
}

void
pool_init(struct pool *pool, struct worker *w, size_t upstream_idx, struct tls_client *tls)
{
    const struct conf_upstream *conf = &w->conf->upstreams[upstream_idx];

    pool->worker = w;
    pool->conf = conf;
    pool->credentials = &w->credentials[conf->credential_first];
    pool->tls = tls;
    pool->name_id = name_intern(w->region, conf->name);
    feed_introduce(pool);
    list_init(&pool->idle);
    pool->open_max = (conf->connections_max + w->inherit->worker_count - 1) /
                     w->inherit->worker_count;
}

static void
uconn_close(struct uconn *uc)
{
    ASSERT(uc->call == NULL);
    if (uc->state == UCONN_CLOSING)
        return;
    uconn_set_state(uc, UCONN_CLOSING);
    wheel_cancel(&uc->pool->worker->net.wheel, &uc->timer);
    h1_res_end(&uc->res);
    conn_close(&uc->conn);
}

static void
uconn_on_timer(struct wheel_timer *timer)
{
    struct uconn *uc = CONTAINER_OF(timer, struct uconn, timer);

    ASSERT(uc->state == UCONN_IDLE || uc->state == UCONN_DRAINING);
    uconn_close(uc);
}

/* ---- lending ---- */

static void
lend(struct uconn *uc, struct call *call)
{
    struct worker *w = uc->pool->worker;

    ASSERT(uc->call == NULL && call->uconn == NULL);
    uc->call = call;
    call->uconn = uc;
    wheel_cancel(&w->net.wheel, &uc->timer);
    h1_res_init(&uc->res, &w->answer_limits, &w->answer_head);
}

static struct call *
take_back(struct uconn *uc)
{
    struct call *call = uc->call;

    ASSERT(call == NULL || call->uconn == uc);
    if (call)
        call->uconn = NULL;
    uc->call = NULL;
    return call;
}

static bool
dial(struct pool *pool, struct call *call)
{
    struct worker *w = pool->worker;
    struct uconn *uc = slab_take(&w->uconns_slab);
    struct dial_target target = {
        .host = pool->conf->host,
        .port = pool->conf->port,
        .local = pool->conf->local,
        .tls = pool->tls,
        .connect_ms = pool->conf->connect_ms,
    };

    if (uc == NULL)
        return false;
    list_init(&uc->node);
    uc->pool = pool;
    if (net_dial(&w->net, &uc->conn, &uconn_events, &target) < 0) {
        slab_give(&w->uconns_slab, uc);
        return false;
    }
    pool->open_count++;
    lend(uc, call);
    return true;
}

/* The one given back last; not one whose upstream has just said what nobody asked it for. */
static struct uconn *
idle_one(struct pool *pool)
{
    struct list *node = pool->idle.next;

    while (node != &pool->idle) {
        struct uconn *uc = CONTAINER_OF(node, struct uconn, node);

        if (!uc->conn.arrived)
            return uc;
        node = node->next;
    }
    return NULL;
}

enum uconn_took
uconn_take(struct pool *pool, struct call *call)
{
    bool room = pool->open_count < pool->open_max;
    struct uconn *uc = idle_one(pool);

    if (uc != NULL) {
        if (!kept_makes(call)) {
            uconn_set_state(uc, UCONN_BUSY);
            lend(uc, call);
            return UCONN_TOOK_IDLE;
        }
        /* A kept one may be dead by now, and what was sent into one is sent again. */
        if (!room)
            uconn_close(uc); /* the new one is in its place, though it counts until it is gone */
        room = true;
    }
    return room && dial(pool, call) ? UCONN_TOOK_NEW : UCONN_TOOK_NONE;
}

void
uconn_drop_idle(struct pool *pool)
{
    while (!list_empty(&pool->idle))
        uconn_close(LIST_FIRST(&pool->idle, struct uconn, node));
}

void
uconn_cancel(struct uconn *uc)
{
    (void)take_back(uc);
    uconn_close(uc);
}

void
uconn_finish(struct uconn *uc)
{
    (void)take_back(uc);
    if (uc->state == UCONN_CLOSING)
        return;
    uconn_set_state(uc, UCONN_CLOSING);
    wheel_cancel(&uc->pool->worker->net.wheel, &uc->timer);
    h1_res_end(&uc->res);
    conn_shutdown(&uc->conn);
}

static void
keep(struct uconn *uc)
{
    struct pool *pool = uc->pool;

    /* Also one that answered before it had taken the whole request: who knows if it ever will. */
    if (!h1_res_reusable(&uc->res) || pool->worker->draining || conn_is_closing(&uc->conn) ||
        conn_pending_bytes(&uc->conn) > 0) {
        uconn_close(uc);
        return;
    }
    uc->reused = true;
    uconn_set_state(uc, UCONN_IDLE);
    conn_read_start(&uc->conn);
    conn_idle(&uc->conn);
    wheel_set(&pool->worker->net.wheel, &uc->timer, IDLE_MS, uconn_on_timer);
}

void
uconn_release(struct uconn *uc)
{
    (void)take_back(uc);
    if (uc->res.state == H1_RES_OVER) {
        keep(uc);
        return;
    }
    if (uc->res.state == H1_RES_FAILED) {
        uconn_close(uc);
        return;
    }
    uconn_set_state(uc, UCONN_DRAINING);
    conn_read_start(&uc->conn);
    wheel_set(&uc->pool->worker->net.wheel, &uc->timer, DRAIN_MS, uconn_on_timer);
}

/* ---- events ---- */

static void
uconn_on_open(struct conn *conn)
{
    struct uconn *uc = uconn_of(conn);

    ASSERT(uc->call != NULL);
    uconn_set_state(uc, UCONN_BUSY);
    forward_connected(uc->call);
}

/* What is left of an answer that nobody wants any more. */
static void
drain_bytes(struct uconn *uc, const uint8_t *bytes, size_t len)
{
    struct h1_res_out out;

    uc->drained_bytes += (uint32_t)len;
    while (uc->drained_bytes <= DRAIN_BYTES_MAX) {
        enum h1_res_event event = h1_res_feed(&uc->res, bytes, len, &out);

        bytes += out.used;
        len -= out.used;
        if (event == H1_RES_MORE)
            return;
        if (event == H1_RES_DONE || event == H1_RES_ERROR)
            break;
    }
    uc->drained_bytes = 0;
    if (len > 0)
        (void)h1_res_feed(&uc->res, bytes, len, &out); /* notes the extra bytes */
    keep(uc);
}

static void
uconn_on_data(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct uconn *uc = uconn_of(conn);

    stat_add(uc->pool->worker->stats, STAT_BYTES_FROM_UPSTREAMS, len);
    switch ((enum uconn_state)uc->state) {
    case UCONN_BUSY:
        relay_bytes(uc, bytes, len);
        return;
    case UCONN_DRAINING:
        drain_bytes(uc, bytes, len);
        return;
    case UCONN_IDLE: /* bytes that nobody asked for: whatever they are, no answer of ours */
        uconn_close(uc);
        return;
    case UCONN_DIALLING:
    case UCONN_CLOSING:
    case UCONN_STATE_COUNT:
        return;
    }
}

static void
uconn_on_eof(struct conn *conn)
{
    struct uconn *uc = uconn_of(conn);

    if (uc->state == UCONN_BUSY)
        relay_eof(uc);
    else
        uconn_close(uc);
}

static void
uconn_on_drain(struct conn *conn)
{
    struct uconn *uc = uconn_of(conn);

    /* Requests are written whole; nothing waits for them. */
    if (uc->call != NULL && tunnel_is_open(uc->call))
        tunnel_upstream_drained(uc->call);
}

static void
uconn_on_error(struct conn *conn, const struct conn_error *error)
{
    struct uconn *uc = uconn_of(conn);

    if (uc->call == NULL)
        uconn_close(uc);
    else
        relay_conn_error(uc, error);
}

static void
uconn_on_closed(struct conn *conn)
{
    struct uconn *uc = uconn_of(conn);
    struct worker *w = uc->pool->worker;

    ASSERT(uc->call == NULL);
    if (uc->state != UCONN_CLOSING) /* net closed it by itself */
        uconn_close(uc);
    uc->pool->open_count--;
    slab_give(&w->uconns_slab, uc);
}

static const struct conn_events uconn_events = {
    .on_open = uconn_on_open,
    .on_data = uconn_on_data,
    .on_eof = uconn_on_eof,
    .on_drain = uconn_on_drain,
    .on_error = uconn_on_error,
    .on_closed = uconn_on_closed,
};
