#include "worker/feed.h"

#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/str.h"
#include "route/look.h"
#include "shm/rate.h"
#include "worker/call.h"

#define LOOK_MS 10u
#define TICKET_GRACE_MS 1000u
/* A stream of fewer tokens says little of what one takes. */
#define TOKENS_MIN 8u

/* ---- lines ---- */

static uint32_t
secret_mark(const struct pool *pool)
{
    struct str secret = pool->conf->secret;
    uint8_t hash[HASH_LEN];
    uint32_t mark;

    if (secret.len == 0)
        return 0;
    hash_keyed(pool->worker->region->header->key_hash_key, secret.ptr, secret.len, hash);
    memcpy(&mark, hash, sizeof mark);
    return mark;
}

void
feed_introduce(struct pool *pool)
{
    const struct worker *w = pool->worker;

    pool->health = pool->name_id ? health_at(w->region, pool->name_id, 0) : NULL;
    if (pool->health != NULL)
        health_introduce(pool->health,
                         atomic_load_explicit(&w->table->generation, memory_order_relaxed), 0,
                         secret_mark(pool), pool->conf->disabled_reason != NULL);
}

static struct health *
line_of(const struct call *call)
{
    return call_pool(call)->health;
}

/* ---- the snapshot ---- */

const struct route_health *
feed_look(struct worker *w)
{
    uint64_t now_ms = worker_now_ms(w);

    if (now_ms - w->health_ms >= LOOK_MS) {
        w->health_ms = now_ms;
        for (size_t i = 0; i < w->conf->upstream_count; i++)
            route_look(w->region, &w->conf->upstreams[i], w->pools[i].health, worker_mono_us(w),
                       &w->health[i]);
    }
    return w->health;
}

/* ---- classes ---- */

static bool
status_blames(unsigned status, enum health_class *why)
{
    switch (status) {
    case 401:
    case 402:
        *why = HEALTH_AUTH;
        return true;
    case 403:
        *why = HEALTH_DENIED;
        return true;
    case 408:
        *why = HEALTH_TIMEOUT;
        return true;
    case 429:
        *why = HEALTH_RATE;
        return true;
    case 503:
    case 529:
        *why = HEALTH_OVERLOAD;
        return true;
    default:
        *why = HEALTH_SERVER;
        return status >= 500 || (status >= 300 && status < 400);
    }
}

bool
feed_blames(enum record_reason reason, unsigned status, enum health_class *why)
{
    switch (reason) {
    case REASON_STATUS:
        return status_blames(status, why);
    case REASON_CONNECT:
    case REASON_DNS:
    case REASON_ADDRESS:
    case REASON_TLS:
    case REASON_RESET:
    case REASON_EARLY_END:
        *why = HEALTH_RESET;
        return true;
    case REASON_TIMEOUT_CONNECT:
    case REASON_TIMEOUT_FIRST_BYTE:
    case REASON_TIMEOUT_IDLE:
    case REASON_TIMEOUT_TOTAL:
        *why = HEALTH_TIMEOUT;
        return true;
    case REASON_ERROR_EVENT:
        *why = HEALTH_ERROR;
        return true;
    case REASON_EMPTY:
        *why = HEALTH_EMPTY;
        return true;
    case REASON_MODEL_MISMATCH:
        *why = HEALTH_MISMATCH;
        return true;
    case REASON_BAD_HTTP:
    case REASON_BAD_ANSWER:
    case REASON_TOO_LARGE:
        *why = HEALTH_GARBAGE;
        return true;
    case REASON_NONE:
    case REASON_CLIENT_GONE:
    case REASON_NO_CONNECTION:
    case REASON_COUNT:
        break;
    }
    return false;
}

/* ---- attempts ---- */

void
feed_log(const struct pool *pool, const struct health *health, enum health_change change)
{
    uint64_t now_ms = worker_now_ms(pool->worker);
    struct str name = pool->conf->name;
    struct health_view view;
    uint64_t for_ms;

    if (change != HEALTH_OPENED && change != HEALTH_CLOSED)
        return;
    health_look(health, now_ms, &view);
    for_ms = view.until_ms > now_ms ? view.until_ms - now_ms : 0;
    if (change == HEALTH_CLOSED)
        log_info("upstream.back", "upstream=%.*s credential=%u", STR_ARGS(name),
                 health_credential(health));
    else if (view.why == HEALTH_AUTH || view.why == HEALTH_DENIED)
        log_error("upstream.refuses-credential", "upstream=%.*s credential=%u for_s=%" PRIu64,
                  STR_ARGS(name), health_credential(health), for_ms / 1000);
    else
        log_warn("upstream.out", "upstream=%.*s credential=%u why=%s for_ms=%" PRIu64,
                 STR_ARGS(name), health_credential(health), health_class_name[view.why], for_ms);
}

bool
feed_begin(struct call *call, bool must)
{
    struct worker *w = call->worker;
    struct health *health = line_of(call);
    uint64_t now_ms = worker_now_ms(w);
    uint64_t left_ms = call->deadline_ms > now_ms ? call->deadline_ms - now_ms : 0;

    ASSERT(call->entered == NULL);
    call->wait_s = 0;
    if (health == NULL)
        return true;
    call->pass = (uint8_t)health_begin(w->region, health, w->inherit->table_idx, now_ms,
                                       left_ms + TICKET_GRACE_MS);
    if (call->pass == HEALTH_OUT && !must)
        return false;
    if (!health_enter(w->region, w->inherit->table_idx, health, 0))
        return false;
    call->entered = health;
    return true;
}

/* first_byte_us 0: nothing is known of that. */
static void
attempt_ok(struct call *call, uint64_t first_byte_us)
{
    struct health *health = call->entered;

    if (health == NULL)
        return;
    feed_log(call_pool(call), health,
             health_ok(health, (enum health_pass)call->pass, worker_now_ms(call->worker),
                       (uint32_t)MIN(first_byte_us, (uint64_t)UINT32_MAX)));
    call->pass = HEALTH_GO;
}

void
feed_ok(struct call *call)
{
    call->first_byte_us = worker_mono_us(call->worker);
    attempt_ok(call, MAX(call->first_byte_us - call->attempt_us, UINT64_C(1)));
}

/*
 * Nobody saw when the first token of a whole answer was there. What streams told that a token takes is
 * taken off, for as many as there are, but not more than three quarters: so an upstream that serves
 * long answers whole does not look slow to begin.
 */
void
feed_ok_whole(struct call *call, uint64_t output_tokens)
{
    uint64_t took_us = worker_mono_us(call->worker) - call->attempt_us;
    uint64_t token_us = 0;

    if (call->entered != NULL)
        token_us = atomic_load_explicit(&call->entered->us_per_token, memory_order_relaxed);
    took_us -= MIN(token_us * MIN(output_tokens, (uint64_t)UINT32_MAX), took_us / 4 * 3);
    attempt_ok(call, MAX(took_us, UINT64_C(1)));
}

void
feed_streamed(struct call *call, uint64_t output_tokens)
{
    uint64_t took_us = worker_mono_us(call->worker) - call->first_byte_us;

    if (call->entered != NULL && output_tokens >= TOKENS_MIN)
        health_token_time(call->entered,
                          (uint32_t)MIN(took_us / output_tokens, (uint64_t)UINT32_MAX));
}

void
feed_failed(struct call *call, enum record_reason reason, unsigned status)
{
    uint64_t now_ms = worker_now_ms(call->worker);
    struct health *health = call->entered;
    enum health_class why;

    call->tried = true;
    if (health == NULL)
        return;
    if (feed_blames(reason, status, &why)) {
        uint64_t wait_ms = (uint64_t)call->wait_s * 1000;

        if (why != HEALTH_RATE && why != HEALTH_OVERLOAD)
            wait_ms = 0;
        feed_log(call_pool(call), health,
                 health_failed(health, (enum health_pass)call->pass, why, now_ms, wait_ms));
        call->pass = HEALTH_GO;
    } else if (reason == REASON_STATUS && call->pass == HEALTH_TRIAL) {
        attempt_ok(call, 0); /* it lives: the request was at fault */
    }
    feed_over(call);
}

void
feed_over(struct call *call)
{
    struct worker *w = call->worker;

    if (call->entered == NULL)
        return;
    health_dropped(call->entered, (enum health_pass)call->pass, worker_now_ms(w));
    health_leave(w->region, w->inherit->table_idx, call->entered);
    call->entered = NULL;
    call->pass = HEALTH_GO;
}
