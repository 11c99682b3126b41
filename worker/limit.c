#include "worker/limit.h"

#include "base/rng.h"
#include "shm/health.h"
#include "shm/rate.h"
#include "worker/call.h"

/* How often a worker looks whether another one's calls have left room, when it is not time alone that
 * makes it. The wheel's own step. */
#define LOOK_US (WHEEL_TICK_MS * 1000u)
/*
 * Tenants with many calls waiting leave one place of so many free while another had few lately. It
 * finds room when it comes, not when the next call ends; and calls that begin and end all together, as
 * equal ones do that wait for each other, fall out of step by it.
 */
#define SPARE_OF 8u
#define QUIET_US 5000000u

static bool
no_room_for(const struct call *call, struct credential *credential, uint64_t us)
{
    credential->room_us = worker_mono_us(call->worker) + us;
    return false;
}

/*
 * Do others have a better right to the room? Calls of our own queue have, to whoever comes now. Among
 * workers it is by lot: one whose call has just left room takes it at once as often as its share is,
 * else leaves it to those who look once in a while.
 */
static bool
yields(struct call *call, const struct credential *credential)
{
    struct worker *w = call->worker;
    uint32_t others;

    if (call->state != CALL_QUEUED && credential->waiting > 0)
        return true;
    others = health_others_waiting(w->region, credential->health, w->inherit->table_idx);
    if (others == 0)
        return false;
    if (call->state != CALL_QUEUED)
        return true;
    return w->queue.handed_over && rng_next(&w->rng) % (others + 1) != 0;
}

/* Tokens before calls: what is refused last needs nothing taken back but by the one way there is. */
static bool
take_rates(struct call *call, struct credential *credential)
{
    const struct conf_credential *conf = credential->conf;
    struct health *health = credential->health;
    uint64_t now_ns = worker_mono_us(call->worker) * 1000, retry_ns;

    if (conf->tpm > 0 &&
        !rate_admit_guess(&health->tpm_tat, rate_per_minute(conf->tpm), call->input_estimate,
                          now_ns, &retry_ns, &call->limit_taken_ns))
        return no_room_for(call, credential, retry_ns / 1000 + 1);
    if (conf->rpm > 0 &&
        !rate_admit(&health->rpm_tat, rate_per_minute(conf->rpm), 1, now_ns, &retry_ns)) {
        if (conf->tpm > 0)
            rate_correct(&health->tpm_tat, rate_per_minute(conf->tpm), call->limit_taken_ns, 0,
                         now_ns);
        call->limit_taken_ns = 0;
        return no_room_for(call, credential, retry_ns / 1000 + 1);
    }
    return true;
}

uint64_t
limit_wait_us(const struct worker *w, const struct credential *credential)
{
    uint64_t now_us = worker_mono_us(w);

    return credential->room_us > now_us + LOOK_US ? credential->room_us - now_us : LOOK_US;
}

bool
limit_is_crowd(const struct call *call)
{
    return turns_beside(&call->turn) > 1;
}

static uint32_t
places(const struct call *call, const struct credential *credential)
{
    uint32_t all = credential->conf->concurrency;
    bool quiet = worker_mono_us(call->worker) < credential->quiet_us + QUIET_US;

    return all >= SPARE_OF && quiet && limit_is_crowd(call) ? all - 1 : all;
}

bool
limit_enter(struct call *call, struct credential *credential)
{
    struct worker *w = call->worker;
    uint32_t table_idx = w->inherit->table_idx;

    ASSERT(call->limit_taken_ns == 0);
    if (limit_any(credential->conf) && yields(call, credential))
        return no_room_for(call, credential, limit_wait_us(w, credential));
    if (!health_enter(w->region, table_idx, credential->health, places(call, credential)))
        return no_room_for(call, credential, LOOK_US);
    if (take_rates(call, credential)) {
        if (turns_beside(&call->turn) == 1 && credential->waiting > 1)
            credential->quiet_us = worker_mono_us(w);
        return true;
    }
    health_leave(w->region, table_idx, credential->health);
    return false;
}

void
limit_leave(struct call *call, struct credential *credential)
{
    struct worker *w = call->worker;

    /* What broke off in the middle of its answer was not for nothing. */
    if (call->state != CALL_STREAM)
        limit_tokens(call, 0);
    call->limit_taken_ns = 0;
    health_leave(w->region, w->inherit->table_idx, credential->health);
}

void
limit_tokens(struct call *call, uint64_t tokens)
{
    const struct credential *credential = call->entered;

    if (credential == NULL || credential->conf->tpm == 0 ||
        (call->limit_taken_ns == 0 && call->tunnel == NULL)) /* which counts several times */
        return;
    rate_correct(&credential->health->tpm_tat, rate_per_minute(credential->conf->tpm),
                 call->limit_taken_ns, tokens, worker_mono_us(call->worker) * 1000);
    call->limit_taken_ns = 0;
}

void
limit_keep_guess(struct call *call)
{
    call->limit_taken_ns = 0;
}
