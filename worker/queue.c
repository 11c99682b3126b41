/*
 * The queue is looked at when a call of our own has left room, and on a timer: when a rate admits
 * again, and every few milliseconds for what other workers leave. A look gives turns until nobody is
 * left who could go; each starts with its slot taken already, so that it cannot lose it on the way.
 */
#include "worker/queue.h"

#include "base/str.h"
#include "shm/health.h"
#include "worker/call.h"
#include "worker/feed.h"
#include "worker/forward.h"
#include "worker/limit.h"
#include "worker/settle.h"

/* Also circuits close meanwhile, and nobody tells. */
#define LOOK_US_MAX 250000u
#define RETRY_AFTER_S_MAX 60u

int
queue_init(struct worker *w)
{
    return turns_init(&w->queue.turns, w->limits->queue_count);
}

static struct call *
call_of(struct turns_node *node)
{
    return CONTAINER_OF(node, struct call, turn);
}

/* Says of all credentials that could serve the call that it waits for them, or does no more. */
static void
mark_waiting(struct call *call, bool waiting)
{
    struct worker *w = call->worker;

    for (uint8_t i = call->candidate; i < call->plan->candidate_count; i++) {
        struct credential *credential = call_credential(call, i);
        uint32_t before = credential->waiting;

        if (credential->health == NULL || !limit_any(credential->conf))
            continue;
        credential->waiting += waiting ? 1u : -1u;
        if (before == 0 || credential->waiting == 0)
            health_wait(credential->health, w->inherit->table_idx, waiting);
    }
}

/* Until the first of what could serve it may have room. */
static uint64_t
wait_us(const struct call *call)
{
    uint64_t least_us = UINT64_MAX;

    for (uint8_t i = call->candidate; i < call->plan->candidate_count; i++) {
        const struct credential *credential = call_credential(call, i);

        if (credential->health != NULL && limit_any(credential->conf))
            least_us = MIN(least_us, limit_wait_us(call->worker, credential));
    }
    return least_us;
}

/* ---- a look ---- */

static enum feed_pass
try_candidate(struct call *call, uint8_t candidate)
{
    struct queue *queue = &call->worker->queue;
    struct credential *credential = call_credential(call, candidate);
    bool crowd = limit_is_crowd(call);
    enum feed_pass pass;

    /* What was full for one before in this look is full for this one. */
    if (credential->full_run == queue->run || (crowd && credential->crowd_run == queue->run))
        return FEED_FULL;
    pass = feed_begin(call, candidate);
    if (pass == FEED_FULL) {
        if (crowd)
            credential->crowd_run = queue->run;
        else
            credential->full_run = queue->run;
        queue->wait_us = MIN(queue->wait_us, limit_wait_us(call->worker, credential));
    }
    return pass;
}

/*
 * Has one of its candidates room? Then the call is in there. Where all have gone out meanwhile there
 * is nothing to wait for, and it has to give up.
 */
static bool
may_go(struct turns_node *node, void *arg)
{
    struct call *call = call_of(node);
    bool full = false;

    (void)arg;
    for (uint8_t i = call->candidate; i < call->plan->candidate_count; i++) {
        enum feed_pass pass = try_candidate(call, i);

        if (pass == FEED_GO) {
            call->queue_choice = i;
            return true;
        }
        full |= pass == FEED_FULL;
    }
    call->queue_choice = call->candidate;
    return !full;
}

/* It is no longer in turns. */
static void
stop_waiting(struct call *call)
{
    struct worker *w = call->worker;
    uint32_t *queue_us = &hold_record(&w->holds, call->slot)->queue_us;

    mark_waiting(call, false);
    stat_add(w->stats, STAT_CALLS_WAITING, (uint64_t)-1);
    *queue_us += (uint32_t)MIN(worker_mono_us(w) - call->queued_us, (uint64_t)(UINT32_MAX - *queue_us));
    call->queued_us = 0;
}

static void look(struct worker *w, bool handed_over);

static void
on_timer(struct wheel_timer *timer)
{
    look(CONTAINER_OF(timer, struct worker, queue.timer), false);
}

static void
on_room_left(struct wheel_timer *timer)
{
    look(CONTAINER_OF(timer, struct worker, queue.timer), true);
}

static void
look(struct worker *w, bool handed_over)
{
    struct queue *queue = &w->queue;
    struct turns_node *node;

    queue->run++;
    queue->handed_over = handed_over;
    queue->wait_us = LOOK_US_MAX;
    while ((node = turns_next(&queue->turns, may_go, NULL)) != NULL) {
        struct call *call = call_of(node);

        stop_waiting(call);
        forward_from_queue(call, call->queue_choice);
    }
    queue->handed_over = false;
    if (queue->turns.count > 0 && !wheel_is_soon(&queue->timer))
        wheel_set(&w->net.wheel, &queue->timer, queue->wait_us / 1000, on_timer);
}

/* At the latest. */
static void
look_within(struct worker *w, uint64_t us)
{
    struct queue *queue = &w->queue;

    if (wheel_is_set(&queue->timer) && us >= queue->wait_us)
        return;
    if (wheel_is_soon(&queue->timer))
        return;
    queue->wait_us = MIN(us, (uint64_t)LOOK_US_MAX);
    wheel_set(&w->net.wheel, &queue->timer, queue->wait_us / 1000, on_timer);
}

void
queue_room_left(struct worker *w)
{
    wheel_soon(&w->net.wheel, &w->queue.timer, on_room_left);
}

/* ---- in and out ---- */

static void
give_up(struct call *call, enum error_kind kind, const char *why)
{
    struct proto_error error;

    error_set(&error, kind, NULL, NULL, "turnpike: %s", why);
    error.retry_after_s =
        (uint32_t)MIN(wait_us(call) / 1000000u + 1, (uint64_t)RETRY_AFTER_S_MAX);
    stat_add(call->worker->stats,
             kind == ERROR_UNAVAILABLE ? STAT_UNAVAILABLE : STAT_LIMITED, 1);
    call_fail(call, &error);
}

static void
no_room(struct call *call)
{
    give_up(call, ERROR_LIMIT_REQUESTS,
            "all that could serve this is at its provider's limits, and too many calls wait");
}

void
queue_leave(struct call *call)
{
    if (!turns_waits(&call->turn))
        return;
    turns_remove(&call->worker->queue.turns, &call->turn);
    stop_waiting(call);
}

void
queue_join(struct call *call)
{
    struct worker *w = call->worker;
    uint64_t now_ms = worker_now_ms(w);
    struct turns_node *gave_way;

    if (call->queue_due_ms == 0)
        call->queue_due_ms = now_ms + w->limits->queue_ms;
    if (w->stopping) {
        give_up(call, ERROR_UNAVAILABLE, "the gateway is stopping");
        return;
    }
    if (now_ms >= call->queue_due_ms) {
        queue_timed_out(call);
        return;
    }
    if (!turns_add(&w->queue.turns, &call->turn, call->key->tenant_id, &gave_way)) {
        no_room(call);
        return;
    }
    call_set_state(call, CALL_QUEUED);
    call->queued_us = worker_mono_us(w);
    mark_waiting(call, true);
    stat_add(w->stats, STAT_CALLS_WAITING, 1);
    stat_add(w->stats, STAT_CALLS_WAITED, 1);
    call_set_timer(call, call->queue_due_ms - now_ms);
    if (limit_is_crowd(call) || w->queue.turns.count == 1)
        look_within(w, wait_us(call));
    else
        queue_room_left(w); /* there may be a place that the crowd leaves free */
    if (gave_way != NULL) { /* last: the end of a call may be the beginning of another */
        stop_waiting(call_of(gave_way));
        no_room(call_of(gave_way));
    }
}

void
queue_timed_out(struct call *call)
{
    queue_leave(call);
    give_up(call, ERROR_LIMIT_REQUESTS,
            "all that could serve this stayed at its provider's limits");
}

void
queue_drain(struct worker *w)
{
    struct turns_node *node;

    while ((node = turns_first(&w->queue.turns)) != NULL) {
        struct call *call = call_of(node);

        queue_leave(call);
        give_up(call, ERROR_UNAVAILABLE, "the gateway is stopping");
    }
}
