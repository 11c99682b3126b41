#include "worker/stay.h"

#include "base/hash.h"
#include "base/str.h"
#include "proto/thread.h"
#include "shm/affinity.h"
#include "worker/call.h"

/* A header that may be longer names no session. */
#define SESSION_BYTES_MAX 256u

static struct str
session_of(const struct h1_head *head)
{
    for (size_t i = 0; i < head->header_count; i++)
        if (thread_is_session_header(h1_head_name(head, i)) &&
            head->headers[i].value_len <= SESSION_BYTES_MAX)
            return h1_head_value(head, i);
    return STR_NONE;
}

/* Whose conversation, and with what: a session that uses two models has two places. */
static uint64_t
owner_of(const struct call *call)
{
    const uint64_t both[2] = {call->key->tenant_id,
                              hash_u64(call->ask.model.ptr, call->ask.model.len)};

    return hash_u64(both, sizeof(both));
}

static int
upstream_of_name(const struct worker *w, uint16_t name)
{
    for (size_t i = 0; i < w->conf->upstream_count; i++)
        if (w->pools[i].name_id == name)
            return (int)i;
    return CONF_NONE;
}

static int
model_of_name(const struct worker *w, uint16_t name)
{
    for (size_t i = 0; i < w->conf->model_count; i++)
        if (w->model_name[i] == name)
            return (int)i;
    return CONF_NONE;
}

static uint32_t
now_s(const struct worker *w)
{
    return (uint32_t)(worker_mono_us(w) / 1000000);
}

bool
stay_find(struct call *call, struct route_affinity *out)
{
    const struct worker *w = call->worker;
    struct affinity last;

    if (!w->routes_stay)
        return false;
    call->thread = thread_hash(&call->ask, session_of(call->client->req.head), owner_of(call));
    if (call->thread == 0 || !affinity_find(w->region, call->thread, now_s(w), &last))
        return false;
    *out = (struct route_affinity){
        .upstream_idx = upstream_of_name(w, last.upstream),
        .model_idx = model_of_name(w, last.model),
        .credential = last.credential,
        .context_tokens = last.context_tokens,
        .input_tokens = call->input_estimate,
    };
    return out->upstream_idx != CONF_NONE;
}

void
stay_keep(const struct call *call, const struct settle_end *end)
{
    const struct worker *w = call->worker;
    const struct usage *usage = &end->usage;
    struct affinity last = {
        .upstream = call_pool(call)->name_id,
        .model = w->model_name[call->at->model_idx],
        .credential = call->at->credential,
    };

    if (call->thread == 0 || proto_is_count((enum proto_endpoint)call->endpoint) ||
        (end->outcome != OUTCOME_OK && end->outcome != OUTCOME_NO_USAGE))
        return;
    last.context_tokens = (uint32_t)MIN(
        usage->state == USAGE_PRESENT
            ? (uint64_t)usage->input + usage->cache_read + usage->cache_write_5m +
                  usage->cache_write_1h
            : call->input_estimate,
        AFFINITY_CONTEXT_MAX);
    affinity_keep(w->region, call->thread, now_s(w), w->limits->affinity_ms / 1000 + 1, &last);
}
