/* What a tunnel has come to: the sum of its responses' reports, and the estimate of what is
 * under way. */
#include "worker/chain.h"
#include "worker/tunnel.h"

#include "base/str.h"
#include "worker/call.h"
#include "worker/limit.h"
#include "worker/settle.h"

static uint32_t
sum_of(uint32_t a, uint32_t b)
{
    return (uint32_t)MIN((uint64_t)a + b, (uint64_t)USAGE_COUNT_MAX);
}

static void
add_usage(struct usage *sum, const struct usage *u)
{
    sum->input = sum_of(sum->input, u->input);
    sum->audio_input = sum_of(sum->audio_input, u->audio_input);
    sum->image_input = sum_of(sum->image_input, u->image_input);
    sum->cache_read = sum_of(sum->cache_read, u->cache_read);
    sum->cache_write_5m = sum_of(sum->cache_write_5m, u->cache_write_5m);
    sum->output = sum_of(sum->output, u->output);
    sum->reasoning = sum_of(sum->reasoning, u->reasoning);
    sum->audio_output = sum_of(sum->audio_output, u->audio_output);
    sum->image_output = sum_of(sum->image_output, u->image_output);
    sum->images = sum_of(sum->images, u->images);
    sum->seconds = sum_of(sum->seconds, u->seconds);
    sum->characters = sum_of(sum->characters, u->characters);
    sum->searches = sum_of(sum->searches, u->searches);
    sum->requests = sum_of(sum->requests, u->requests);
}

static uint64_t
tokens_of(const struct usage *u)
{
    return (uint64_t)u->input + u->cache_read + u->cache_write_5m + u->output;
}

/* Limits are by the minute, a session lasts for many: each response's are counted as it ends. */
static void
count_tokens(struct call *call, const struct usage *u)
{
    uint64_t tokens = tokens_of(u);

    if (tokens == 0)
        return;
    chain_tokens(call, tokens);
    chain_keep_guess(call);
    limit_tokens(call, tokens);
    call->tunnel->tokens_counted += tokens;
}

/* What is charged for a response that is over: its report, or what it is thought to have been.
 * One that failed, brought nothing and reported nothing is like an error before output. */
static struct usage
usage_of_response(struct call *call)
{
    struct tunnel *t = call->tunnel;
    struct usage u = settle_judge(call, t->meter.usage);

    if (u.state == USAGE_PRESENT || u.state == USAGE_ZERO)
        return u;
    if (u.state == USAGE_BAD)
        t->bad = u;
    else if (t->meter.failed && !t->meter.output_seen)
        return (struct usage){.state = USAGE_ZERO};
    t->estimated = true;
    u = realtime_estimate(&t->meter);
    return u;
}

static void
response_over(struct call *call)
{
    struct tunnel *t = call->tunnel;
    struct usage u = usage_of_response(call);

    u.requests = 1;
    add_usage(&t->sum, &u);
    count_tokens(call, &u);
    realtime_counted(&t->meter, &u);
}

static void
transcribed(struct call *call)
{
    struct tunnel *t = call->tunnel;
    struct usage u = settle_judge(call, t->meter.usage);

    u.requests = 0;
    if (u.state == USAGE_BAD) {
        t->bad = u;
        t->estimated = true;
    } else {
        add_usage(&t->sum, &u);
        count_tokens(call, &u);
    }
}

static struct price_count
count_now(const struct tunnel *t)
{
    struct usage all = t->sum, estimate = realtime_estimate(&t->meter);

    add_usage(&all, &estimate);
    return settle_count(&all);
}

/*
 * A call has few slots, and a session may go on for an hour: where more is needed, as much again is
 * held as was, if it can be had; else what is missing.
 */
static void
grow_hold(struct call *call, int64_t cost_ucr)
{
    bool reserve = call->worker->inherit->durability == DURABILITY_RESERVE;
    int64_t missing_ucr = cost_ucr - call->held_ucr;

    if (missing_ucr > 0 && call->held_ucr > missing_ucr)
        (void)!settle_extend(call, call->held_ucr, reserve);
}

enum tunnel_paid
tunnel_pay_again(struct call *call)
{
    struct price_count count = count_now(call->tunnel);

    grow_hold(call, settle_cost(call, &count));
    switch (settle_progress(call, &count)) {
    case SETTLE_PAID:
        return TUNNEL_PAID;
    case SETTLE_PAID_SOON:
        return TUNNEL_PAID_SOON;
    case SETTLE_UNPAID:
    case SETTLE_PAID_COUNT:
        break;
    }
    return TUNNEL_UNPAID;
}

enum tunnel_paid
tunnel_pay(struct call *call, enum realtime_kind kind)
{
    switch (kind) {
    case REALTIME_DONE:
        response_over(call);
        break;
    case REALTIME_TRANSCRIBED:
        transcribed(call);
        break;
    case REALTIME_RESPONSE:
    case REALTIME_TEXT:
    case REALTIME_AUDIO:
        break;
    case REALTIME_OTHER:
    case REALTIME_SESSION:
    case REALTIME_SPEECH:
    case REALTIME_COMMITTED:
    case REALTIME_CLEARED:
    case REALTIME_UNSURE:
    case REALTIME_KIND_COUNT:
        return TUNNEL_PAID;
    }
    return tunnel_pay_again(call);
}

/* ---- the end ---- */

int64_t
tunnel_settle(struct call *call, enum record_outcome outcome)
{
    struct tunnel *t = call->tunnel;
    bool guessed = t->estimated || t->meter.under_way > 0;
    struct settle_end end = {
        .outcome = outcome,
        .by = guessed ? SETTLE_PROGRESS : SETTLE_USAGE,
        .usage = t->bad.state == USAGE_BAD ? t->bad : t->sum,
        .so_far = count_now(t),
        .output_estimate = t->meter.output_estimate,
        .has_output = t->meter.output_estimate > 0,
        .http_status = 101,
        .model_reported = str_from(t->meter.model),
    };

    if (end.usage.state != USAGE_BAD)
        end.usage.state = tokens_of(&t->sum) + t->sum.images + t->sum.seconds +
                                  t->sum.characters + t->sum.searches > 0
                              ? USAGE_PRESENT
                              : USAGE_ZERO;
    hold_record(&call->worker->holds, call->slot)->request_bytes =
        (uint32_t)MIN(t->client_bytes, (uint64_t)UINT32_MAX);
    return settle_call(call, &end);
}

void
tunnel_settle_gone(struct call *call)
{
    if (tunnel_is_open(call)) {
        (void)tunnel_settle(call, OUTCOME_CLIENT_GONE);
        return;
    }
    /* Nothing is generated before there is a session. */
    if (call->uconn)
        settle_attempt(call, REASON_CLIENT_GONE, 0);
    (void)settle_call(call, &(struct settle_end){.outcome = OUTCOME_CLIENT_GONE,
                                                 .by = SETTLE_NOTHING});
}
