#include "worker/crowd.h"

#include "base/held.h"
#include "base/str.h"
#include "worker/client.h"

#include <string.h>
#include <sys/resource.h>

#define RETRY_AFTER_S 1u
/* A listener accepts so many in a turn, and what gives way to them is freed at the turn's end. */
#define CLOSING_MAX (16u * LISTEN_ACCEPTS_MAX)
#define IPV6_SITE_BYTES 8 /* a /64: what one customer has at least */
/* Descriptors that are of no client or upstream of a call: spares, metrics, listeners, questions. */
#define OTHER_FILES (CROWD_SPARES + CROWD_METRICS + 128u)
#define CONNECTIONS_LEAST 16u

/*
 * No more than there are descriptors for when each connection has a call, and each call an upstream's
 * while there may be more of those: a listener that finds none left can only stop accepting, and then
 * nobody is told anything. The master has said in the log that there are few.
 */
static uint32_t
connections_for_files(const struct worker *w, uint32_t wanted)
{
    struct rlimit files;
    uint64_t room, upstreams = 0, can;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur == RLIM_INFINITY)
        return wanted;
    for (size_t i = 0; i < w->conf->upstream_count; i++)
        upstreams += w->conf->upstreams[i].connections_max;
    room = files.rlim_cur > OTHER_FILES ? files.rlim_cur - OTHER_FILES : 0;
    can = MAX(room / 2, room > upstreams ? room - upstreams : 0);
    return (uint32_t)MIN(MAX(can, CONNECTIONS_LEAST), wanted);
}

void
crowd_init(struct worker *w)
{
    uint32_t workers = w->inherit->worker_count;

    w->connections_max = connections_for_files(w, MAX(w->limits->connections / workers, 1u));
    w->calls_max = MAX(w->limits->calls / workers, 1u);
    list_init(&w->spares);
    held_bound((int64_t)w->limits->memory_bytes);
    peers_clear(w->region, w->inherit->table_idx);
}

unsigned
crowd_connections_max(const struct worker *w)
{
    return w->connections_max + CROWD_SPARES + CROWD_METRICS;
}

size_t
crowd_clients_max(const struct worker *w)
{
    return crowd_connections_max(w) + CLOSING_MAX;
}

/* ---- connections ---- */

/* IPv4 in its IPv6 clothes is IPv4. */
static struct peer_place
place_of(const struct worker *w, const struct net_addr *peer)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (peer->family == 4)
        return peers_place(w->region, peer->ip, 4);
    if (memcmp(peer->ip, mapped, sizeof mapped) == 0)
        return peers_place(w->region, peer->ip + sizeof mapped, 4);
    return peers_place(w->region, peer->ip, IPV6_SITE_BYTES);
}

static void
leave_spares(struct client *c)
{
    c->spare = false;
    list_remove(&c->spare_node);
    c->worker->spare_count--;
}

static void
join_spares(struct client *c)
{
    struct worker *w = c->worker;

    if (w->spare_count == CROWD_SPARES) {
        struct client *oldest = LIST_FIRST(&w->spares, struct client, spare_node);

        leave_spares(oldest);
        oldest->evicted = true;
        conn_reset(&oldest->conn);
    }
    c->spare = true;
    list_push_back(&w->spares, &c->spare_node);
    w->spare_count++;
}

struct client *
crowd_accept(struct worker *w, const struct net_addr *peer, bool metrics)
{
    struct peer_place place;
    struct client *c;

    if (metrics) {
        if (w->metrics_count == CROWD_METRICS || (c = client_new(w, true)) == NULL)
            return NULL;
        w->metrics_count++;
        return c;
    }
    place = place_of(w, peer);
    if (!peers_enter(w->region, w->inherit->table_idx, place,
                     w->limits->connections_per_address)) {
        stat_add(w->stats, STAT_CONNECTIONS_REFUSED, 1);
        return NULL;
    }
    c = client_new(w, false);
    if (c == NULL) {
        peers_leave(w->region, w->inherit->table_idx, place);
        return NULL;
    }
    c->place = place;
    if (w->connection_count < w->connections_max)
        w->connection_count++;
    else
        join_spares(c);
    return c;
}

void
crowd_leave(struct client *c)
{
    struct worker *w = c->worker;

    if (c->metrics) {
        w->metrics_count--;
        return;
    }
    peers_leave(w->region, w->inherit->table_idx, c->place);
    if (c->spare)
        leave_spares(c);
    else if (!c->evicted)
        w->connection_count--;
}

/* ---- requests ---- */

static bool
refuse(struct worker *w, struct proto_error *error, const char *what)
{
    stat_add(w->stats, STAT_CALLS_REFUSED, 1);
    error_set(error, ERROR_UNAVAILABLE, NULL, NULL, "turnpike: %s at the moment; try again", what);
    error->retry_after_s = RETRY_AFTER_S;
    return false;
}

bool
crowd_takes_request(struct client *c, struct proto_error *error)
{
    struct worker *w = c->worker;

    if (!c->spare)
        return !c->evicted;
    if (w->connection_count < w->connections_max) {
        leave_spares(c);
        w->connection_count++;
        client_is_counted(c);
        return true;
    }
    client_close_after(c);
    return refuse(w, error, "there are too many connections");
}

bool
crowd_takes_call(struct worker *w, uint64_t body_bytes, struct proto_error *error)
{
    if (w->calls_slab.count >= w->calls_max)
        return refuse(w, error, "there are too many calls");
    if (!held_fits_input(body_bytes, body_bytes))
        return refuse(w, error, "there is no memory for another call");
    return true;
}

bool
crowd_is_thick(void)
{
    return held_bytes() > held_here.bytes_max / 2;
}

struct str
crowd_refusal(void)
{
    return STR("HTTP/1.1 503 Service Unavailable\r\n"
               "content-type: application/json\r\n"
               "retry-after: 1\r\n"
               "content-length: 128\r\n"
               "connection: close\r\n"
               "\r\n"
               "{\"error\":{\"message\":\"turnpike: this address has too many connections\","
               "\"type\":\"server_error\",\"param\":null,\"code\":\"unavailable\"}}\n");
}
