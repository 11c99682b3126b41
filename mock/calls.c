/* The record of calls: the other party's books that tests compare with. A ring in memory. */
#include "mock/sim.h"

#include "base/clock.h"
#include "base/jw.h"

#include <stdlib.h>
#include <string.h>

#define RING_COUNT 200000u
#define LAST_MAX ((size_t)64 << 20)

struct stats stats;

static struct record *ring; /* calloc: untouched pages cost nothing */
static uint64_t added;      /* record k is in ring[(k - 1) % RING_COUNT] */
static struct buf last[2];  /* head and body of the last request */

void
calls_init(void)
{
    ring = calloc(RING_COUNT, sizeof(*ring));
    ASSERT(ring != NULL);
    buf_init(&last[0], LAST_MAX);
    buf_init(&last[1], LAST_MAX);
}

void
calls_add(const struct record *record)
{
    ring[added++ % RING_COUNT] = *record;
}

void
calls_reset(void)
{
    added = 0;
    last[0].len = last[1].len = 0;
    stats.requests = stats.completed = stats.aborted = 0;
    stats.malformed = stats.refused = 0;
    stats.connections = stats.open_connections;
    stats.open_calls_max = stats.open_calls;
    stats.open_connections_max = stats.open_connections;
    stats.tls_handshakes = stats.tls_resumed = stats.tls_failed = 0;
}

static void
record_print(struct buf *out, const struct record *r, uint64_t number)
{
    struct jw jw;

    jw_init(&jw, out);
    jw_object(&jw);
    jw_key_u64(&jw, "number", number);
    jw_key_u64(&jw, "seq", r->seq);
    jw_key_cstr(&jw, "path", endpoint_path[r->endpoint]);
    jw_key_cstr(&jw, "model", r->model);
    jw_key_cstr(&jw, "x_request_id", r->request_id[0] ? r->request_id : NULL);
    jw_key_u64(&jw, "status", r->status);
    jw_key_u64(&jw, "key", r->key);
    jw_key_bool(&jw, "stream", r->stream);
    jw_key_u64(&jw, "input", r->used.input);
    jw_key_u64(&jw, "cache_read", r->used.cache_read);
    jw_key_u64(&jw, "cache_write_5m", r->used.cache_write_5m);
    jw_key_u64(&jw, "cache_write_1h", r->used.cache_write_1h);
    jw_key_u64(&jw, "output", r->used.output);
    jw_key_u64(&jw, "reasoning", r->used.reasoning);
    jw_key_u64(&jw, "images", r->used.images);
    jw_key_u64(&jw, "seconds", r->used.seconds);
    jw_key_u64(&jw, "characters", r->used.characters);
    jw_key_u64(&jw, "searches", r->used.searches);
    jw_key_bool(&jw, "completed", r->completed);
    jw_key_bool(&jw, "client_closed", r->client_closed);
    jw_key_u64(&jw, "conn", r->conn_id);
    jw_key_cstr(&jw, "tls_version", r->tls_version);
    jw_key_cstr(&jw, "tls_suite", r->tls_suite);
    jw_key_i64(&jw, "begin_us", r->begin_us);
    jw_key_i64(&jw, "end_us", r->end_us);
    jw_object_end(&jw);
    buf_add_char(out, '\n');
}

void
calls_print(struct buf *out, uint64_t after)
{
    uint64_t first = added > RING_COUNT ? added - RING_COUNT : 0;

    for (uint64_t i = MAX(first, after); i < added; i++)
        record_print(out, &ring[i % RING_COUNT], i + 1);
}

void
last_keep(const struct request *req)
{
    last[0].len = last[1].len = 0;
    last[0].failed = last[1].failed = false;
    buf_add_str(&last[0], req->head);
    buf_add_str(&last[1], req->body);
}

struct str
last_head(void)
{
    return buf_str(&last[0]);
}

struct str
last_body(void)
{
    return buf_str(&last[1]);
}
