#include "worker/commit.h"

#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "route/reported.h"
#include "worker/call.h"
#include "worker/client.h"
#include "worker/feed.h"
#include "worker/forward.h"
#include "worker/relay.h"
#include "worker/settle.h"
#include "worker/speak.h"

/* ---- the model ---- */

bool
commit_is_model(const struct call *call, struct str reported)
{
    const struct route_candidate *candidate = call->at;

    /* A batch tells the model that it is for; a call for it stands for another. */
    return reported.len == 0 || proto_is_file((enum proto_endpoint)call->endpoint) ||
           str_eq(reported, candidate->model_sent) ||
           !call_upstream(call)->check_model ||
           reported_is_model(reported, candidate->model_sent,
                             &call->worker->conf->models[candidate->model_idx]);
}

void
commit_other_model(struct call *call, struct str reported)
{
    log_warn("upstream.other-model", "call=%s upstream=%.*s reported=%.*s", call->id_text,
             STR_ARGS(call_upstream(call)->name), STR_ARGS(reported));
    stat_add(call->worker->stats, STAT_MODEL_MISMATCH, 1);
    relay_failed(call, REASON_MODEL_MISMATCH, ERROR_UPSTREAM_FAILED,
                 "it answered with another model than the one asked for");
}

void
commit_flag_model(struct call *call)
{
    if (commit_is_model(call, str_from(call->meter.model)))
        return;
    log_warn("upstream.other-model", "call=%s upstream=%.*s reported=%s", call->id_text,
             STR_ARGS(call_upstream(call)->name), call->meter.model);
    stat_add(call->worker->stats, STAT_MODEL_MISMATCH, 1);
    hold_record(&call->worker->holds, call->slot)->flags |= RECORD_MODEL_MISMATCH;
}

/* ---- what failed tries cost ---- */

void
commit_operator_cost(struct call *call, const struct price_count *count)
{
    struct record *r = hold_record(&call->worker->holds, call->slot);
    struct price list = *call_price(call);
    int64_t cost_ucr;

    if (!call->dispatched || proto_is_count((enum proto_endpoint)call->endpoint))
        return;
    call->dispatched = false;
    /* What the operator pays of what the maker asks, not what a channel does. */
    list.multiplier_u = call_upstream(call)->cost_u;
    if (!price_cost(&list, count, &cost_ucr) || cost_ucr > INT64_MAX - r->operator_ucr)
        return;
    r->operator_ucr += cost_ucr;
    stat_add(call->worker->stats, STAT_OPERATOR_UCR, (uint64_t)cost_ucr);
}

/* ---- the commit ---- */

/* The client's own head goes out with what was held back and the first events. */
static bool
commit_now(struct call *call, const struct gather *g)
{
    struct client *client = call->client;
    struct str parts[GATHER_PARTS_MAX + 1];
    struct h1_out out;
    unsigned count = 0;
    bool sent;

    call_set_state(call, CALL_STREAM);
    settle_attempt(call, REASON_NONE, 200);
    feed_ok(call);
    if (call->body.len > 0)
        parts[count++] = buf_str(&call->body);
    memcpy(parts + count, g->parts, g->count * sizeof *parts);
    client_head(client, &out, 200, (struct str){call->id_text, CALL_ID_LEN});
    h1_out_lines(&out, call->down_lines);
    call_head_lines(call, &out, str_from(call->meter.model));
    sent = client_send_head(client, &out, parts, count + g->count);
    call->head_sent = true;
    buf_free(&call->body);
    /* No other candidate can be tried any more. */
    call_forget_request(call);
    h1_req_next(&client->req);
    if (sent) /* what was set may be the time of the hold, which is over */
        call_set_timer(call, call_upstream(call)->idle_ms);
    else
        call_client_gone(call);
    return sent;
}

static size_t
gathered_bytes(const struct gather *g)
{
    size_t len = 0;

    for (unsigned i = 0; i < g->count; i++)
        len += g->parts[i].len;
    return len;
}

/* Keeps a copy, as far as that may go. */
static bool
held_back(struct call *call, struct gather *g)
{
    const struct conf_limits *limits = call->worker->limits;
    size_t len = gathered_bytes(g);

    if (limits->commit_ms == 0 || call->body.len + len > limits->commit_bytes ||
        !buf_reserve(&call->body, len))
        return false;
    for (unsigned i = 0; i < g->count; i++)
        buf_add_str(&call->body, g->parts[i]);
    g->count = 0;
    return true;
}

bool
commit_flush(struct call *call, struct gather *g)
{
    struct str model = str_from(call->meter.model);

    if (!call->meter.understood)
        return true;
    if (speak_collects(call)) {
        g->count = 0; /* it is kept elsewhere, until it is whole */
        return true;
    }
    if (!commit_is_model(call, model)) {
        commit_other_model(call, model);
        return false;
    }
    if (!call->meter.answered && held_back(call, g))
        return true;
    if (!commit_now(call, g))
        return false;
    g->count = 0;
    return true;
}

bool
commit_at_end(struct call *call, struct gather *g)
{
    struct str model = str_from(call->meter.model);
    enum content content = meter_content(&call->meter);

    /* One that says that it is complete is better than none. */
    if (content == CONTENT_NONE || (content == CONTENT_EMPTY && forward_may_go_on(call))) {
        relay_failed(call, REASON_EMPTY, ERROR_UPSTREAM_FAILED, "its answer is empty");
        return false;
    }
    if (!commit_is_model(call, model)) {
        commit_other_model(call, model);
        return false;
    }
    if (!commit_now(call, g))
        return false;
    g->count = 0;
    return true;
}

uint64_t
commit_wait_ms(struct call *call)
{
    uint64_t now_ms = worker_now_ms(call->worker);
    uint64_t idle_ms = call_upstream(call)->idle_ms;

    if (call->head_sent || speak_collects(call))
        return idle_ms;
    if (call->commit_due_ms == 0)
        call->commit_due_ms = now_ms + call->worker->limits->commit_ms;
    return MIN(idle_ms, call->commit_due_ms > now_ms ? call->commit_due_ms - now_ms : 1);
}

bool
commit_timed_out(struct call *call)
{
    struct gather none = {.count = 0};

    if (call->head_sent || speak_collects(call) || call->commit_due_ms == 0 ||
        worker_now_ms(call->worker) < call->commit_due_ms)
        return false;
    (void)commit_now(call, &none);
    return true;
}
