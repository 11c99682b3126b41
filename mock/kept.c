/*
 * The answers to plain requests are kept as they went out, keyed by the bytes of the request, with
 * only the ids written anew: under load an answer costs one look-up and one write.
 */
#include "mock/sim.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define CACHE_SLOTS 256u
#define CACHE_BODY_MAX ((size_t)64 << 10)
#define CACHE_IDS_MAX 8

static struct cached {
    struct str body; /* of the request; ours */
    uint64_t target; /* Gemini's: hash of path and query, where the model stands */
    char *answer;
    size_t answer_len;
    uint32_t id_at[CACHE_IDS_MAX]; /* where the 16 hex digits of the call's number stand */
    uint32_t id_count;
    struct record record;
} cache[CACHE_SLOTS];

static const struct request *candidate;

static uint64_t
target_hash(const struct request *req)
{
    return req->gemini ? hash_u64(req->path.ptr, req->path.len + req->query.len + 1) : 0;
}

static struct cached *
cache_slot(const struct request *req)
{
    return &cache[(hash_u64(req->body.ptr, req->body.len) + target_hash(req) + req->endpoint) %
                  CACHE_SLOTS];
}

void
hex16(char *out, uint64_t n)
{
    for (int i = 15; i >= 0; i--, n >>= 4)
        out[i] = "0123456789abcdef"[n & 15];
}

static void
cached_clear(struct cached *slot)
{
    free((void *)(uintptr_t)slot->body.ptr);
    free(slot->answer);
    *slot = (struct cached){.body = STR_NONE};
}

void
kept_candidate(const struct request *req)
{
    candidate = req;
}

void
kept_keep(const struct call *call, struct str answer)
{
    const struct request *req = candidate;
    char id[16];

    candidate = NULL;
    if (req == NULL || req->body.len > CACHE_BODY_MAX || !call->keep_alive)
        return;
    struct cached *slot = cache_slot(req);
    cached_clear(slot);
    char *body = malloc(req->body.len);
    slot->answer = malloc(answer.len);
    ASSERT(body != NULL && slot->answer != NULL);
    memcpy(body, req->body.ptr, req->body.len);
    memcpy(slot->answer, answer.ptr, answer.len);
    slot->body = (struct str){body, req->body.len};
    slot->target = target_hash(req);
    slot->answer_len = answer.len;
    hex16(id, call->seq);
    for (const char *at = answer.ptr; slot->id_count < CACHE_IDS_MAX;) {
        at = memmem(at, answer.len - (size_t)(at - answer.ptr), id, sizeof(id));
        if (at == NULL)
            break;
        slot->id_at[slot->id_count++] = (uint32_t)(at - answer.ptr);
        at += sizeof(id);
    }
    slot->record.used = call->used;
    slot->record.status = call->status;
    slot->record.endpoint = call->endpoint;
    str_copy(str_from(call->model), slot->record.model, sizeof(slot->record.model));
}

bool
kept_answer(struct conn *c, const struct request *req)
{
    struct cached *slot = cache_slot(req);

    if (!str_eq(slot->body, req->body) || slot->target != target_hash(req) ||
        slot->record.endpoint != req->endpoint ||
        faults_default_active() || !req->keep_alive || req->http_1_0)
        return false;
    struct record record = slot->record;
    record.seq = call_number_next();
    record.begin_us = record.end_us = clock_wall_us();
    record.conn_id = c->id;
    record.tls_version = tls_version(c->tls);
    record.tls_suite = tls_suite(c->tls);
    record.key = (uint8_t)key_number(req);
    record.completed = true;
    str_copy(req->x_request_id, record.request_id, sizeof(record.request_id));
    for (uint32_t i = 0; i < slot->id_count; i++)
        hex16(slot->answer + slot->id_at[i], record.seq);
    conn_send(c, slot->answer, slot->answer_len);
    calls_add(&record);
    stats.completed++;
    return true;
}
