#include "worker/feed.h"

#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/str.h"
#include "route/look.h"
#include "shm/names.h"
#include "worker/call.h"
#include "worker/limit.h"
#include "worker/queue.h"

#define LOOK_MS 10u
#define TICKET_GRACE_MS 1000u
/* A stream of fewer tokens says little of what one takes. */
#define TOKENS_MIN 8u

/* ---- lines ---- */

static uint32_t
secret_mark(const struct worker *w, struct str secret)
{
    uint8_t hash[HASH_LEN];
    uint32_t mark;

    if (secret.len == 0)
        return 0;
    hash_keyed(w->region->header->key_hash_key, secret.ptr, secret.len, hash);
    memcpy(&mark, hash, sizeof mark);
    return mark;
}

void
feed_introduce(struct pool *pool)
{
    const struct worker *w = pool->worker;
    uint32_t generation = atomic_load_explicit(&w->table->generation, memory_order_relaxed);

    for (size_t i = 0; i < pool->conf->credential_count; i++) {
        struct credential *credential = &pool->credentials[i];
        const struct conf_credential *conf = &pool->conf->credentials[i];

        credential->conf = conf;
        credential->secret_mark = secret_mark(w, conf->secret);
        credential->health =
            pool->name_id ? health_at(w->region, pool->name_id, (uint8_t)i) : NULL;
        if (credential->health != NULL)
            health_introduce(credential->health, generation,
                             conf->name.len > 0 ? name_intern(w->region, conf->name) : 0,
                             credential->secret_mark, conf->disabled_reason != NULL);
    }
}

/* ---- the snapshot ---- */

static void
look_at(struct worker *w, const struct conf_upstream *upstream)
{
    for (size_t i = 0; i < upstream->credential_count; i++) {
        struct credential *credential = &w->credentials[upstream->credential_first + i];

        route_look(w->region, upstream, credential->conf, credential->health, worker_mono_us(w),
                   &w->health[upstream->credential_first + i]);
    }
}

const struct route_health *
feed_look(struct worker *w)
{
    uint64_t now_ms = worker_now_ms(w);

    if (now_ms - w->health_ms >= LOOK_MS) {
        w->health_ms = now_ms;
        for (size_t i = 0; i < w->conf->upstream_count; i++)
            look_at(w, &w->conf->upstreams[i]);
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
    case REASON_AT_LIMIT:
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

/* Until it may be tried; *why it is out. Of one that is on trial nobody knows. */
static uint64_t
out_ms(const struct call *call, const struct health *health, enum health_class *why)
{
    uint64_t now_ms = worker_now_ms(call->worker);
    struct health_view view;

    health_look(health, now_ms, &view);
    *why = view.why;
    return view.until_ms > now_ms ? view.until_ms - now_ms : 1;
}

bool
feed_all_out(const struct call *call, struct proto_error *error)
{
    const struct worker *w = call->worker;
    uint64_t least_ms = UINT64_MAX;
    bool by_rate = true;

    for (uint8_t i = 0; i < call->plan->candidate_count; i++) {
        const struct health *health = call_credential(call, i)->health;
        enum health_class why;

        if (health == NULL || health_usable(w->region, health, worker_now_ms(w)))
            return false;
        least_ms = MIN(least_ms, out_ms(call, health, &why));
        by_rate = by_rate && why == HEALTH_RATE;
    }
    error_set(error, by_rate ? ERROR_LIMIT_REQUESTS : ERROR_UNAVAILABLE, NULL, NULL,
              "turnpike: no healthy upstream: %s",
              by_rate ? "all that could serve this have reached their provider's rate limit"
                      : "all that could serve this are out");
    error->retry_after_s = (uint32_t)((least_ms + 999) / 1000);
    return true;
}

enum feed_pass
feed_begin(struct call *call, uint8_t candidate)
{
    struct worker *w = call->worker;
    struct credential *credential = call_credential(call, candidate);
    uint64_t now_ms = worker_now_ms(w);
    uint64_t left_ms = call->deadline_ms > now_ms ? call->deadline_ms - now_ms : 0;

    ASSERT(call->entered == NULL);
    call->wait_s = 0;
    if (credential->health == NULL)
        return FEED_GO;
    call->pass = (uint8_t)health_begin(w->region, credential->health, w->inherit->table_idx,
                                       now_ms, left_ms + TICKET_GRACE_MS);
    if (call->pass == HEALTH_OUT)
        return FEED_OUT;
    if (!limit_enter(call, credential)) {
        health_dropped(credential->health, (enum health_pass)call->pass, now_ms);
        return FEED_FULL;
    }
    call->entered = credential;
    return FEED_GO;
}

/* False of one that drains, once a reload has given the line another secret. */
static bool
is_shared(const struct worker *w, const struct credential *credential)
{
    return !w->draining || health_is_of_secret(credential->health, credential->secret_mark);
}

/* first_byte_us 0: nothing is known of that. */
static void
attempt_ok(struct call *call, uint64_t first_byte_us)
{
    struct health *health;

    if (call->entered == NULL || !is_shared(call->worker, call->entered))
        return;
    health = call->entered->health;
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
        token_us = atomic_load_explicit(&call->entered->health->us_per_token, memory_order_relaxed);
    took_us -= MIN(token_us * MIN(output_tokens, (uint64_t)UINT32_MAX), took_us / 4 * 3);
    attempt_ok(call, MAX(took_us, UINT64_C(1)));
}

void
feed_streamed(struct call *call, uint64_t output_tokens)
{
    uint64_t took_us = worker_mono_us(call->worker) - call->first_byte_us;

    if (call->entered != NULL && output_tokens >= TOKENS_MIN)
        health_token_time(call->entered->health,
                          (uint32_t)MIN(took_us / output_tokens, (uint64_t)UINT32_MAX));
}

void
feed_failed(struct call *call, enum record_reason reason, unsigned status)
{
    uint64_t now_ms = worker_now_ms(call->worker);
    struct health *health;
    enum health_class why;

    call->tried = true;
    if (call->entered == NULL)
        return;
    health = call->entered->health;
    if (is_shared(call->worker, call->entered) && feed_blames(reason, status, &why)) {
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
    struct credential *credential = call->entered;

    if (credential == NULL)
        return;
    health_dropped(credential->health, (enum health_pass)call->pass, worker_now_ms(w));
    limit_leave(call, credential);
    call->entered = NULL;
    call->pass = HEALTH_GO;
    if (credential->waiting > 0)
        queue_room_left(w);
}
