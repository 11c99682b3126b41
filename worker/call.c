#include "worker/call.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "worker/body.h"
#include "worker/callid.h"
#include "worker/chain.h"
#include "worker/choose.h"
#include "worker/client.h"
#include "worker/feed.h"
#include "worker/forward.h"
#include "worker/idem.h"
#include "worker/kept.h"
#include "worker/media.h"
#include "worker/queue.h"
#include "worker/refused.h"
#include "worker/relay.h"
#include "worker/settle.h"
#include "worker/speak.h"
#include "worker/stream_wait.h"
#include "worker/take.h"
#include "worker/tunnel.h"
#include "worker/uconn.h"

#define ARENA_BYTES_MAX (1u << 20)
/* A recount takes milliseconds. When the ledger process died in it, the next one has to start: about
 * two seconds are waited for that. */
#define HOLD_TRY_MS 10u
#define HOLD_TRIES_OFTEN 20u
#define HOLD_TRY_SLOW_MS 50u
#define HOLD_TRIES 56u

#define TO(s) (1u << (s))
static const unsigned call_may_become[CALL_STATE_COUNT] = {
    [CALL_ADMITTED] = TO(CALL_FIND_WAIT) | TO(CALL_HOLD_WAIT) | TO(CALL_ANNOUNCED) | TO(CALL_QUEUED) |
                      TO(CALL_DIALLING) | TO(CALL_SENT) | TO(CALL_OVER),
    [CALL_FIND_WAIT] = TO(CALL_HOLD_WAIT) | TO(CALL_ANNOUNCED) | TO(CALL_QUEUED) |
                       TO(CALL_DIALLING) | TO(CALL_SENT) | TO(CALL_OVER),
    [CALL_HOLD_WAIT] = TO(CALL_ANNOUNCED) | TO(CALL_QUEUED) | TO(CALL_DIALLING) | TO(CALL_SENT) |
                       TO(CALL_OVER),
    [CALL_ANNOUNCED] = TO(CALL_QUEUED) | TO(CALL_DIALLING) | TO(CALL_SENT) | TO(CALL_OVER),
    [CALL_QUEUED] = TO(CALL_QUEUED) | TO(CALL_DIALLING) | TO(CALL_SENT) | TO(CALL_OVER),
    [CALL_DIALLING] = TO(CALL_QUEUED) | TO(CALL_DIALLING) | TO(CALL_SENT) | TO(CALL_OVER),
    [CALL_SENT] = TO(CALL_QUEUED) | TO(CALL_DIALLING) | TO(CALL_SENT) | TO(CALL_WHOLE) |
                  TO(CALL_STREAM) | TO(CALL_EXTEND_WAIT) | TO(CALL_TUNNEL) | TO(CALL_OVER),
    [CALL_WHOLE] = TO(CALL_QUEUED) | TO(CALL_DIALLING) | TO(CALL_SENT) | TO(CALL_KEEP_WAIT) |
                   TO(CALL_COMMIT_WAIT) | TO(CALL_OVER),
    [CALL_KEEP_WAIT] = TO(CALL_DIALLING) | TO(CALL_SENT) | TO(CALL_COMMIT_WAIT) | TO(CALL_OVER),
    [CALL_STREAM] = TO(CALL_EXTEND_WAIT) | TO(CALL_COMMIT_WAIT) | TO(CALL_OVER),
    [CALL_EXTEND_WAIT] = TO(CALL_SENT) | TO(CALL_STREAM) | TO(CALL_OVER),
    [CALL_TUNNEL] = TO(CALL_TUNNEL_WAIT) | TO(CALL_COMMIT_WAIT) | TO(CALL_OVER),
    [CALL_TUNNEL_WAIT] = TO(CALL_TUNNEL) | TO(CALL_COMMIT_WAIT) | TO(CALL_OVER),
    [CALL_COMMIT_WAIT] = TO(CALL_OVER),
    [CALL_OVER] = 0,
};

void
call_set_state(struct call *call, enum call_state next)
{
    bool was_session = tunnel_is_open(call);

    ASSERT(call_may_become[call->state] & TO(next));
    call->state = (uint8_t)next;
    if (tunnel_is_open(call) != was_session)
        stat_add(call->worker->stats, STAT_REALTIME_SESSIONS, was_session ? (uint64_t)-1 : 1);
    if (next == CALL_COMMIT_WAIT)
        feed_over(call); /* the upstream is done with it */
}

const struct conf_upstream *
call_upstream(const struct call *call)
{
    return &call->worker->conf->upstreams[call->at->upstream_idx];
}

struct pool *
call_pool(const struct call *call)
{
    return &call->worker->pools[call->at->upstream_idx];
}

struct credential *
call_credential(const struct call *call, uint8_t candidate)
{
    const struct route_candidate *c = call_candidate(call, candidate);

    return &call->worker->pools[c->upstream_idx].credentials[c->credential];
}

const struct price *
call_price(const struct call *call)
{
    return &call->at->price;
}

const struct conf_channel *
call_channel(const struct call *call)
{
    return &call->worker->conf->channels[call->at->channel_idx];
}

/* ---- timers ---- */

static void
call_on_timer(struct wheel_timer *timer)
{
    struct call *call = CONTAINER_OF(timer, struct call, timer);

    bool over = worker_now_ms(call->worker) >= call->deadline_ms;

    if (call->state == CALL_HOLD_WAIT)
        forward_begin(call);
    else if (call->state == CALL_QUEUED)
        queue_timed_out(call);
    else if (call->state == CALL_EXTEND_WAIT && call->hold_busy && !over)
        stream_wait_again(call);
    else if (tunnel_is_open(call))
        tunnel_timed_out(call, over);
    else
        relay_timed_out(call, over);
}

void
call_set_timer(struct call *call, uint64_t ms)
{
    uint64_t now_ms = worker_now_ms(call->worker);
    uint64_t left_ms = call->deadline_ms > now_ms ? call->deadline_ms - now_ms : 1;

    wheel_set(&call->worker->net.wheel, &call->timer, MIN(ms, left_ms), call_on_timer);
}

/* ---- the end ---- */

struct client *
call_detach_client(struct call *call)
{
    struct client *client = call->client;

    if (client == NULL)
        return NULL;
    ASSERT(client->call == call);
    client->call = NULL;
    call->client = NULL;
    return client;
}

void
call_keep_error(struct call *call, const struct proto_error *error)
{
    static const struct proto_error no_memory = {
        .kind = ERROR_UPSTREAM_FAILED,
        .message = "turnpike: its upstream failed, and there is no memory left to say how",
    };
    struct proto_error *kept = arena_alloc(&call->arena, sizeof(*kept));

    if (kept != NULL)
        *kept = *error;
    call->last_error = kept != NULL ? kept : &no_memory;
}

void
call_forget_request(struct call *call)
{
    struct proto_error broken;
    bool breaks = call->last_error != NULL && call->then == STREAM_BREAK; /* and says so once it is paid */

    if (breaks)
        broken = *call->last_error;
    settle_keep_open(call);
    call->ask.body = STR_NONE;
    call->ask.model = STR_NONE;
    call->ask.file = NULL;
    call->query = STR_NONE;
    speak_forget_request(call);
    call->left = *call->at;
    call->at = &call->left;
    call->plan = NULL;
    arena_end(&call->arena);
    call->down_lines = STR_NONE;
    call->last_error = NULL;
    if (breaks)
        call_keep_error(call, &broken);
}

void
call_end(struct call *call)
{
    struct worker *w = call->worker;

    ASSERT(!call->held && call->client == NULL);
    call_set_state(call, CALL_OVER);
    if (call->uconn)
        uconn_cancel(call->uconn);
    queue_leave(call);
    feed_over(call);
    chain_end(call);
    if (call->idem.entry != NULL) /* likewise */
        idem_release(&call->idem);
    wheel_cancel(&w->net.wheel, &call->timer);
    list_remove(&call->node);
    list_remove(&call->waiting_node);
    speak_free(call);
    tunnel_free(call);
    kept_free(call);
    arena_end(&call->arena);
    sse_free(&call->sse);
    buf_free(&call->body);
    free(call->extensions);
    slab_give(&w->calls_slab, call);
    worker_maybe_done(w);
}

void
call_head_lines(const struct call *call, struct h1_out *out, struct str model_reported)
{
    h1_out_own(out, "x-turnpike-channel: ", call_channel(call)->name);
    h1_out_own(out, "x-turnpike-upstream: ", call_upstream(call)->name);
    if (model_reported.len > 0)
        h1_out_own(out, "x-turnpike-model: ", model_reported);
    if (speak_dropped(call).len > 0)
        h1_out_own(out, "x-turnpike-dropped: ", speak_dropped(call));
    choose_head_lines(call, out);
}

/* An error before there is a plan, or after: what the client gets, and the end. */
static void
answer_error(struct call *call, const struct proto_error *error, bool routed)
{
    struct client *client = call_detach_client(call);
    struct str id = {call->id_text, CALL_ID_LEN};
    struct h1_out out;
    struct buf body;

    if (client == NULL) {
        call_end(call);
        return;
    }
    buf_init(&body, 16u << 10);
    error_write_body(&body, (enum proto_protocol)call->protocol, error, id);
    client_head(client, &out, error_status(error->kind, (enum proto_protocol)call->protocol), id);
    client_error_lines(&out, error);
    if (routed)
        call_head_lines(call, &out, STR_NONE);
    else
        h1_out_lines(&out, call->down_lines); /* of admission's own */
    call_end(call);
    (void)client_send_whole(client, &out, buf_str(&body));
    buf_free(&body);
}

void
call_fail(struct call *call, const struct proto_error *error)
{
    if (call->held)
        (void)settle_call(call, &(struct settle_end){
                                    .outcome = OUTCOME_UPSTREAM_ERROR,
                                    .by = SETTLE_NOTHING,
                                    .http_status = error_status(
                                        error->kind, (enum proto_protocol)call->protocol)});
    else
        refused_call(call, error_status(error->kind, (enum proto_protocol)call->protocol));
    answer_error(call, error, true);
}

void
call_client_gone(struct call *call)
{
    (void)call_detach_client(call);
    queue_leave(call);
    stat_add(call->worker->stats, STAT_CLIENT_GONE, 1);
    if (call->held)
        relay_settle_gone(call);
    call_end(call);
}

void
call_client_drained(struct call *call)
{
    if (tunnel_is_open(call))
        tunnel_client_drained(call);
    else if (call->uconn && call->state != CALL_EXTEND_WAIT)
        conn_read_start(&call->uconn->conn);
}

/* ---- admission ---- */

void
call_refuse(struct call *call, const struct proto_error *error)
{
    enum stat_counter stat = STAT_BAD_REQUESTS;

    switch (error->kind) {
    case ERROR_NO_CREDIT:
        stat = STAT_NO_CREDIT;
        break;
    case ERROR_LIMIT_REQUESTS:
    case ERROR_LIMIT_TOKENS:
        stat = STAT_LIMITED;
        break;
    case ERROR_FORBIDDEN:
        stat = STAT_FORBIDDEN;
        break;
    case ERROR_UNAVAILABLE:
        stat = STAT_UNAVAILABLE;
        break;
    default:
        break;
    }
    stat_add(call->worker->stats, stat, 1);
    refused_call(call, error_status(error->kind, (enum proto_protocol)call->protocol));
    answer_error(call, error, false);
}

void
call_set_candidate(struct call *call, uint8_t candidate)
{
    ASSERT(candidate < call->plan->candidate_count);
    call->candidate = candidate;
    call->at = &call->plan->candidates[candidate];
    /* What the one before was sent is not this one's price. The slot's own mark stays where it is: it
     * is what a worker that is killed leaves, and never falls. */
    call->progress_ucr = 0;
    memset(&call->tally, 0, sizeof call->tally);
    take_bounds(call);
    settle_candidate(call);
}

/* With a hold the call is bound to end in settle_call(). */
static void
call_held(struct call *call)
{
    struct worker *w = call->worker;

    call->held = true;
    call->hold_tries = 0;
    call->held_ucr = hold_amount_ucr(&w->holds, call->slot);
    stat_add(w->stats, STAT_CALLS, 1);
    stat_add(w->stats, STAT_CALLS_OPEN, 1);
    if (call->ask.stream)
        stat_add(w->stats, STAT_STREAMS, 1);
    settle_begin(call);
    if (w->inherit->durability == DURABILITY_RESERVE) {
        call_set_state(call, CALL_ANNOUNCED);
        call_set_timer(call, w->limits->call_ms);
        list_push_back(&w->waiting, &call->waiting_node);
        if (hold_announce(&w->holds, call->slot))
            worker_wake_ledger(w);
        return;
    }
    forward_next(call);
}

bool
call_try_again(struct call *call)
{
    if (call->hold_tries == HOLD_TRIES)
        return false;
    call->hold_tries++;
    call_set_timer(call, call->hold_tries > HOLD_TRIES_OFTEN ? HOLD_TRY_SLOW_MS : HOLD_TRY_MS);
    return true;
}

void
forward_begin(struct call *call)
{
    struct hold_ask ask;
    struct proto_error error;
    enum hold_result result = take_hold(call, &ask);

    if (result == HOLD_OK) {
        call_held(call);
        return;
    }
    if (result == HOLD_BUSY && call_try_again(call)) {
        if (call->state != CALL_HOLD_WAIT)
            call_set_state(call, CALL_HOLD_WAIT);
        return;
    }
    take_error(result, &ask, &error);
    call_refuse(call, &error);
}

static struct call *
call_new(struct client *client, enum proto_endpoint endpoint, const struct auth *auth)
{
    struct worker *w = client->worker;
    struct call *call = slab_take(&w->calls_slab);

    if (call == NULL)
        return NULL;
    call->worker = w;
    call->client = client;
    client->call = call;
    call->endpoint = (uint8_t)endpoint;
    call->protocol = (uint8_t)proto_of(endpoint);
    call->up_endpoint = call->endpoint;
    call->key = auth->key;
    call->key_idx = auth->key_idx;
    call->key_generation = atomic_load_explicit(&call->key->generation, memory_order_relaxed);
    call->start_us = worker_mono_us(w);
    call->start_wall_us = worker_wall_us(w);
    call->deadline_ms = worker_now_ms(w) + w->limits->call_ms;
    list_init(&call->node);
    list_init(&call->waiting_node);
    list_push_back(&w->calls, &call->node);
    call->at = &call->left;
    arena_init(&call->arena, ARENA_BYTES_MAX);
    buf_init(&call->body, w->limits->response_body_bytes);
    sse_init(&call->sse, w->limits->event_bytes);
    callid_make(w, call->id, call->id_text);
    return call;
}

static bool
serving(const struct worker *w, struct proto_error *error)
{
    const struct region_header *header = w->region->header;

    if (atomic_load_explicit(&header->ready_seq, memory_order_acquire) != 0 &&
        atomic_load_explicit(&header->stop_taking, memory_order_relaxed) == 0)
        return true;
    error_set(error, ERROR_UNAVAILABLE, NULL, NULL,
              "turnpike: calls cannot be recorded at the moment");
    error->retry_after_s = 5;
    return false;
}

/* Of a count that no upstream of the model's can make: by the size of what was sent. */
static void
answer_estimate(struct call *call)
{
    struct client *client = call_detach_client(call);
    struct ask_needs needs;
    struct h1_out out;
    struct buf body;

    ask_needs(&call->ask, &needs);
    buf_init(&body, 256);
    buf_add_fmt(&body, "{\"%s\":%llu}",
                call->endpoint == ENDPOINT_COUNT_TOKENS ? "input_tokens" : "totalTokens",
                (unsigned long long)needs.input_tokens);
    client_head(client, &out, 200, (struct str){call->id_text, CALL_ID_LEN});
    h1_out_own(&out, "content-type: ", STR("application/json"));
    h1_out_own(&out, "x-turnpike-estimated: ", STR("true"));
    call_end(call);
    (void)client_send_whole(client, &out, buf_str(&body));
    buf_free(&body);
}

void
call_admit(struct call *call, const struct key_extra *extra)
{
    enum proto_endpoint endpoint = (enum proto_endpoint)call->endpoint;
    const struct h1_head *head = call->client->req.head;
    struct str channel = h1_head_get(head, H1_X_TURNPIKE_CHANNEL);
    struct proto_error error;

    if (!choose_route(call, extra, channel, &error)) {
        call_refuse(call, &error);
        return;
    }
    if (call->estimates) {
        answer_estimate(call);
        return;
    }
    if ((proto_is_media(endpoint) && !media_admit(call, &error)) ||
        (call->kept != NULL && !kept_admit(call, extra, channel, &error))) {
        call_refuse(call, &error);
        return;
    }
    /* A refusal here costs no hold and leaves no record. Asked of the lines themselves: the plan goes by
     * a look at them that may be some time old, in which all may have gone out. */
    if (feed_all_out(call, &error)) {
        call_refuse(call, &error);
        return;
    }
    if (!speak_admit(call, &error) || (call->tunnel != NULL && !tunnel_priced(call, &error))) {
        call_refuse(call, &error);
        return;
    }
    take_bounds(call);
    if (h1_head_has(head, H1_IDEMPOTENCY_KEY) && !proto_is_count(endpoint) &&
        call->tunnel == NULL && !idem_begin(call, &error)) {
        call_refuse(call, &error);
        return;
    }
    forward_begin(call);
}

/* There is no room for it. */
static void
refuse_early(struct client *client, enum proto_endpoint endpoint, const struct auth *auth,
             const struct proto_error *error)
{
    enum proto_protocol shape = proto_of(endpoint);
    char id[CALL_ID_LEN + 1];
    uint8_t bytes[16];

    callid_make(client->worker, bytes, id);
    refused_request(client->worker, &(struct refused){.call_id = bytes,
                                                      .key = auth->key,
                                                      .endpoint = endpoint,
                                                      .protocol = shape,
                                                      .status = error_status(error->kind, shape)});
    (void)client_send_error(client, shape, error, (struct str){id, CALL_ID_LEN}, NULL);
}

void
call_start(struct client *client, const struct proto_what *what, const struct auth *auth)
{
    enum proto_endpoint endpoint = what->endpoint;
    struct call *call;
    struct proto_error error;

    if (h1_req_keep(&client->req) < 0 || (call = call_new(client, endpoint, auth)) == NULL) {
        error_set(&error, ERROR_UNAVAILABLE, NULL, NULL, "turnpike: too many calls at a time");
        error.retry_after_s = 1;
        refuse_early(client, endpoint, auth, &error);
        return;
    }
    call->query = h1_head_query(client->req.head);
    if (!serving(call->worker, &error) ||
        !body_read(call, what, &error)) {
        if (error.closes)
            client_close_after(client);
        call_refuse(call, &error);
        return;
    }
    call->input_estimate = proto_is_media(endpoint)
                               ? ask_media_tokens(&call->ask)
                               : call->ask.body.len / ASK_BYTES_PER_TOKEN + 1;
    if (!chain_admit(call, auth->account, &error)) {
        call_refuse(call, &error);
        return;
    }
    if (call->kept != NULL && kept_names_one(call))
        kept_ask_whose(call);
    else
        call_admit(call, auth->extra);
}

/* ---- what the ledger process owed us ---- */

void
call_look_at_waiting(struct worker *w)
{
    struct list *node = w->waiting.next;

    while (node != &w->waiting) {
        struct call *call = CONTAINER_OF(node, struct call, waiting_node);

        node = node->next;
        if (call->state == CALL_ANNOUNCED && hold_announced(&w->holds, call->slot)) {
            list_remove(&call->waiting_node);
            forward_next(call);
        } else if (call->state == CALL_EXTEND_WAIT && !call->hold_busy) {
            stream_wait_again(call);
        } else if (call->state == CALL_TUNNEL_WAIT && !call->hold_busy) {
            tunnel_wait_again(call);
        } else if (call->state == CALL_COMMIT_WAIT && settle_committed(call)) {
            list_remove(&call->waiting_node);
            relay_committed(call);
        }
    }
}

void
call_end_all(struct worker *w)
{
    struct list *node = w->calls.next;

    while (node != &w->calls) {
        struct call *call = CONTAINER_OF(node, struct call, node);

        node = node->next;
        if (call->state != CALL_COMMIT_WAIT && call->state != CALL_KEEP_WAIT) /* soon over */
            relay_cancelled(call);
    }
}
