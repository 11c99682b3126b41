#include "worker/settle.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/ucr.h"
#include "shm/account.h"
#include "shm/rate.h"
#include "worker/call.h"
#include "worker/chain.h"
#include "worker/stay.h"
#include "worker/idem.h"
#include "worker/limit.h"
#include "worker/trace.h"
#include "worker/tunnel.h"

/* The rooms that know of classes may not know each other. */
_Static_assert((int)RECORD_CLASS_COUNT == (int)CONF_CLASS_COUNT &&
                   (int)RECORD_CACHE_WRITE_1H == (int)CONF_CACHE_WRITE_1H &&
                   (int)RECORD_AUDIO_INPUT == (int)CONF_AUDIO_INPUT &&
                   (int)RECORD_OUTPUT == (int)CONF_OUTPUT &&
                   (int)RECORD_REASONING == (int)CONF_REASONING &&
                   (int)RECORD_IMAGES == (int)CONF_IMAGES &&
                   (int)RECORD_SECONDS == (int)CONF_SECONDS &&
                   (int)RECORD_CHARACTERS == (int)CONF_CHARACTERS &&
                   (int)RECORD_REQUESTS == (int)CONF_REQUESTS &&
                   (int)RECORD_SEARCHES == (int)CONF_SEARCHES,
               "one order of classes");

/* What its input alone costs, which is kept with a hold that is made durable. */
static void
note_input_cost(struct call *call, struct record *r)
{
    struct price_count count = settle_estimate(call, 0);

    r->total_charge_ucr = MIN(settle_cost(call, &count), call->held_ucr);
    r->tally[0] = settle_tally(call, &count);
    r->tally_cost_ucr[0] = r->total_charge_ucr;
}

void
settle_candidate(struct call *call)
{
    const struct worker *w = call->worker;
    const struct route_candidate *candidate = call->at;
    struct record *r = hold_record(&w->holds, call->slot);

    ASSERT(call->held);
    r->model = w->model_name[candidate->model_idx];
    r->family = w->family_name[candidate->model_idx];
    r->channel = w->channel_name[candidate->channel_idx];
    r->asked = call->asked_name;
    r->flags &= ~(uint32_t)RECORD_SIBLING;
    if (candidate->model_idx != call->plan->model_idx) {
        r->flags |= RECORD_SIBLING;
        if (r->asked == 0)
            r->asked = w->model_name[call->plan->model_idx];
    }
}

void
settle_begin(struct call *call)
{
    const struct worker *w = call->worker;
    struct record *r = hold_record(&w->holds, call->slot);

    memcpy(r->call_id, call->id, sizeof r->call_id);
    r->tenant_id = call->key->tenant_id;
    r->key_id = call->key->key_id;
    r->member_id = call->key->member_id;
    r->project_id = call->key->project_id;
    r->key_idx = call->key_idx;
    r->key_generation = call->key_generation;
    r->rule = call->plan->rule_idx == CONF_NONE ? 0 : w->rule_name[call->plan->rule_idx];
    r->protocol = call->protocol;
    r->endpoint = call->endpoint;
    r->flags = (call->ask.stream ? RECORD_STREAM : 0u) | chain_record_flags(call);
    r->price_version = w->conf->price_version;
    r->start_wall_us = call->start_wall_us;
    r->request_bytes = (uint32_t)MIN(call->ask.body.len, (size_t)UINT32_MAX);
    if (w->inherit->durability == DURABILITY_RESERVE)
        note_input_cost(call, r);
    if (w->conf->telemetry.on)
        trace_begin(call);
    settle_candidate(call);
}

/* ---- what is charged ---- */

/* How an end comes out: what was counted, how, and to what it comes. */
struct verdict {
    struct price_count count;
    enum record_basis basis;
    int64_t charge_ucr;
};

/* The report, where it is not what was charged. */
static void
note_reported(const struct usage *usage, struct record *r)
{
    r->reported_in = (uint32_t)MIN(settle_input(usage), (uint64_t)UINT32_MAX);
    r->reported_out = usage->output;
}

/* What providers put in front of a request themselves: the frame of messages, how to use tools. */
#define HIDDEN_TOKENS 1024u

/*
 * How far the hold may grow for a report that costs more. Not for input that the request can not hold,
 * nor for searches that it did not offer: an upstream that says so is not believed at the caller's
 * cost beyond what was held.
 */
static void
extend_for(struct call *call, const struct verdict *v)
{
    struct price_count can_be = v->count;
    int64_t most_ucr;

    settle_cap_input(&can_be, settle_input_bound(call));
    if (can_be.n[CONF_SEARCHES] > 0 && call->endpoint != ENDPOINT_RERANK &&
        !settle_hosts_tools(call))
        can_be.n[CONF_SEARCHES] = 0;
    most_ucr = MIN(v->charge_ucr, settle_cost(call, &can_be));
    if (most_ucr > call->held_ucr)
        (void)!settle_extend(call, most_ucr - call->held_ucr, false);
}

/* Units for which the model states no price, not even 0, were served for nothing: somebody ought to
 * know. */
static void
note_unpriced(const struct call *call, const struct price_count *count, struct record *r)
{
    uint32_t stated = call_price(call)->model->stated;

    for (int class = CONF_TOKEN_CLASS_COUNT; class < CONF_CLASS_COUNT; class ++)
        if (count->n[class] > 0 && class != CONF_REQUESTS && !(stated & CONF_CLASS_BIT(class)))
            r->flags |= RECORD_UNPRICED;
}

/*
 * Output beyond the cap that was held for cannot have been generated, and is never charged. What then
 * still costs more than is held and what the hold can grow by is not collected.
 */
static void
charge_bounded(struct call *call, const struct usage *usage, struct verdict *v, struct record *r)
{
    int64_t reported_ucr = v->charge_ucr;
    bool over_cap = usage->output > call->output_max;

    if (over_cap) {
        settle_cap_output(&v->count, call->output_max);
        v->charge_ucr = settle_cost(call, &v->count);
    }
    if (v->charge_ucr > call->held_ucr)
        extend_for(call, v);
    if (settle_input(usage) > call->input_max + HIDDEN_TOKENS &&
        settle_input(usage) > settle_input_bound(call) + HIDDEN_TOKENS)
        over_cap = true;
    v->charge_ucr = MIN(v->charge_ucr, call->held_ucr);
    if (over_cap) {
        r->flags |= RECORD_USAGE_OVER_CAP;
        note_reported(usage, r);
    }
    if (reported_ucr > call->held_ucr)
        r->flags |= RECORD_USAGE_OVER_HOLD;
    r->uncollected_ucr = reported_ucr - v->charge_ucr;
}

static void
charge_by_usage(struct call *call, const struct settle_end *end, struct verdict *v,
                struct record *r)
{
    v->basis = BASIS_USAGE;
    v->count = settle_count(&end->usage);
    v->charge_ucr = settle_cost(call, &v->count);
    if (end->usage.state == USAGE_ZERO) {
        if (end->has_output)
            r->flags |= RECORD_USAGE_ZERO_OUTPUT;
    } else if (end->output_estimate >
               (uint64_t)end->usage.output * call->worker->limits->usage_band) {
        r->flags |= RECORD_USAGE_FAR_BELOW;
    }
    note_unpriced(call, &v->count, r);
    charge_bounded(call, &end->usage, v, r);
}

static void
charge_by_progress(struct call *call, const struct settle_end *end, struct verdict *v,
                   struct record *r)
{
    if (end->usage.state == USAGE_BAD) {
        r->flags |= RECORD_USAGE_ABSURD;
        note_reported(&end->usage, r);
    }
    settle_progress_end(call, &end->so_far);
    r->flags |= RECORD_USAGE_ESTIMATED;
    v->basis = BASIS_PROGRESS;
    v->charge_ucr = call->progress_ucr;
    if (v->charge_ucr > 0)
        memcpy(v->count.n, call->tally.count, sizeof v->count.n);
    else
        v->count = end->so_far; /* free of charge */
}

/* A service that is not priced is served at the standard price, and said so. */
static void
note_service(struct call *call, const struct settle_end *end, struct record *r)
{
    struct price *price = &call->at->price;

    if (price->service == CONF_SERVICE_BATCHED)
        return;
    price->service = 0;
    if (end->service.len == 0 || conf_service_is_plain(end->service))
        return;
    price->service = price_service_of(price->model, end->service);
    if (price->service == 0)
        r->flags |= RECORD_SERVICE_UNKNOWN;
}

static struct verdict
judge_end(struct call *call, const struct settle_end *end, struct record *r)
{
    struct verdict v = {.basis = BASIS_NOTHING};
    bool usable = end->usage.state == USAGE_PRESENT || end->usage.state == USAGE_ZERO;

    if (end->by == SETTLE_NOTHING)
        return v;
    if (proto_is_count((enum proto_endpoint)call->endpoint)) {
        if (usable)
            v.count.n[CONF_INPUT] = end->usage.input;
        return v;
    }
    note_service(call, end, r);
    if (end->by == SETTLE_USAGE && usable)
        charge_by_usage(call, end, &v, r);
    else
        charge_by_progress(call, end, &v, r);
    return v;
}

static void
fill_record(const struct call *call, const struct settle_end *end, struct record *r,
            uint64_t end_us)
{
    r->http_status = (uint16_t)end->http_status;
    r->end_us = end_us - call->start_us;
    r->response_bytes = (uint32_t)MIN(call->response_bytes, (uint64_t)UINT32_MAX);
    str_copy(end->model_reported, r->model_reported, sizeof r->model_reported);
}

/* ---- tokens a minute, counters ---- */

static uint64_t
tokens_of(const struct price_count *count, int from, int until)
{
    uint64_t tokens = 0;

    for (int class = from; class < until; class ++)
        tokens += count->n[class];
    return tokens;
}

/* Tokens per minute were counted by an estimate; now they are known, or known better. */
static void
correct_tpm(struct call *call, const struct settle_end *end, const struct verdict *v)
{
    uint64_t tokens = tokens_of(&v->count, 0, CONF_TOKEN_CLASS_COUNT);

    if (call->tunnel != NULL) /* counted as they came */
        tokens -= MIN(tokens, call->tunnel->tokens_counted);
    if (end->by == SETTLE_NOTHING || tokens > 0)
        chain_tokens(call, tokens);
    if (end->by != SETTLE_NOTHING && tokens > 0)
        limit_tokens(call, tokens);
    else if (end->by != SETTLE_NOTHING)
        limit_keep_guess(call);
    chain_keep_guess(call); /* where nothing better is known the guess stands */
}

static void
count_stats(const struct call *call, const struct verdict *v, const struct record *r)
{
    _Atomic uint64_t *stats = call->worker->stats;

    stat_add(stats, STAT_CALLS_OPEN, (uint64_t)-1);
    stat_add(stats, STAT_SPENT_UCR, (uint64_t)v->charge_ucr);
    if (r->uncollected_ucr > 0)
        stat_add(stats, STAT_UNCOLLECTED_UCR, (uint64_t)r->uncollected_ucr);
    if (r->flags & (RECORD_USAGE_ZERO_OUTPUT | RECORD_USAGE_FAR_BELOW | RECORD_USAGE_OVER_HOLD |
                    RECORD_USAGE_OVER_CAP | RECORD_USAGE_ABSURD))
        stat_add(stats, STAT_USAGE_FLAGGED, 1);
    if (r->flags & RECORD_UNPRICED)
        stat_add(stats, STAT_UNPRICED, 1);
    stat_add(stats, STAT_TOKENS_IN, tokens_of(&v->count, 0, CONF_INPUT_CLASS_COUNT));
    stat_add(stats, STAT_TOKENS_OUT,
             tokens_of(&v->count, CONF_INPUT_CLASS_COUNT, CONF_TOKEN_CLASS_COUNT));
}

/* ---- the end ---- */

/* One slot with its part of the charge and what that was computed from. True: ring. */
static bool
settle_slot(struct call *call, uint32_t slot, int64_t *left_ucr, const struct verdict *v,
            const struct record_tally *tally)
{
    struct hold_table *holds = &call->worker->holds;
    int64_t part_ucr = MIN(*left_ucr, hold_amount_ucr(holds, slot));

    *left_ucr -= part_ucr;
    hold_record(holds, slot)->basis = (uint8_t)v->basis;
    hold_tally(holds, slot, part_ucr, tally);
    return hold_settle(holds, slot, part_ucr);
}

/* Hands all slots over, the extensions first: the record is in the first slot. */
static void
hand_over(struct call *call, const struct verdict *v)
{
    struct hold_table *holds = &call->worker->holds;
    struct record_tally tally = settle_tally(call, &v->count);
    int64_t first_ucr = MIN(v->charge_ucr, hold_amount_ucr(holds, call->slot));
    int64_t left_ucr = v->charge_ucr - first_ucr;
    bool wake = false;

    if (v->basis == BASIS_PROGRESS && call->progress_ucr > 0)
        tally = call->tally; /* by the service that it was thought to be by then */
    for (unsigned i = 0; i < call->extension_count; i++) {
        struct call_extension *extension = &call->extensions[i];

        extension->generation = hold_generation(holds, extension->slot);
        wake |= settle_slot(call, extension->slot, &left_ucr, v, &tally);
    }
    ASSERT(left_ucr == 0);
    call->slot_generation = hold_generation(holds, call->slot);
    wake |= settle_slot(call, call->slot, &first_ucr, v, &tally);
    ASSERT(first_ucr == 0);
    call->held = false;
    if (wake)
        worker_wake_ledger(call->worker);
}

bool
settle_committed(const struct call *call)
{
    const struct hold_table *holds = &call->worker->holds;

    for (unsigned i = 0; i < call->extension_count; i++)
        if (!hold_committed(holds, call->extensions[i].slot, call->extensions[i].generation))
            return false;
    return hold_committed(holds, call->slot, call->slot_generation);
}

int64_t
settle_call(struct call *call, const struct settle_end *end)
{
    struct record *r = hold_record(&call->worker->holds, call->slot);
    enum record_outcome outcome = end->outcome;
    struct verdict v;

    ASSERT(call->held);
    v = judge_end(call, end, r);
    ASSERT(v.charge_ucr >= 0 && v.charge_ucr <= call->held_ucr);
    if (outcome == OUTCOME_OK && v.basis == BASIS_PROGRESS)
        outcome = OUTCOME_NO_USAGE;
    r->outcome = (uint8_t)outcome;
    r->total_charge_ucr = v.charge_ucr;
    fill_record(call, end, r, worker_mono_us(call->worker));
    correct_tpm(call, end, &v);
    count_stats(call, &v, r);
    chain_leave(call);
    if (call->thread != 0)
        stay_keep(call, end);
    hand_over(call, &v);
    if (call->idem.entry != NULL)
        idem_settled(call, outcome, v.charge_ucr);
    return v.charge_ucr;
}

/* Those that were only passed over make room for what happened. */
static bool
drop_skipped(struct record *r)
{
    for (unsigned i = 0; i < r->attempt_count; i++) {
        if (r->attempt[i].reason != REASON_AT_LIMIT)
            continue;
        r->attempt_count--;
        memmove(&r->attempt[i], &r->attempt[i + 1],
                (r->attempt_count - i) * sizeof(r->attempt[0]));
        return true;
    }
    return false;
}

static struct record_attempt *
attempt_add(const struct call *call, uint8_t candidate)
{
    const struct worker *w = call->worker;
    const struct route_candidate *c = call_candidate(call, candidate);
    struct record *r = hold_record(&w->holds, call->slot);
    struct record_attempt *a;

    if (r->attempt_count == RECORD_ATTEMPTS_MAX && !drop_skipped(r))
        return NULL;
    a = &r->attempt[r->attempt_count];
    *a = (struct record_attempt){.upstream = w->pools[c->upstream_idx].name_id,
                                 .channel = w->channel_name[c->channel_idx],
                                 .model = w->model_name[c->model_idx],
                                 .credential = c->credential};
    r->attempt_count++;
    return a;
}

void
settle_skipped(struct call *call, uint8_t candidate)
{
    const struct record *r = hold_record(&call->worker->holds, call->slot);
    struct record_attempt *a;

    if ((call->skipped >> candidate & 1) != 0 || r->attempt_count == RECORD_ATTEMPTS_MAX ||
        (a = attempt_add(call, candidate)) == NULL)
        return;
    call->skipped |= (uint8_t)(1u << candidate);
    a->reason = REASON_AT_LIMIT;
    a->start_ms = (uint32_t)((worker_mono_us(call->worker) - call->start_us) / 1000);
}

void
settle_attempt(struct call *call, enum record_reason reason, unsigned status)
{
    struct record *r = hold_record(&call->worker->holds, call->slot);
    uint64_t now_us = worker_mono_us(call->worker);
    struct record_attempt *a;

    ASSERT(call->held);
    if (reason == REASON_NONE) {
        r->upstream = call_pool(call)->name_id;
        r->first_byte_us = now_us - call->start_us;
    } else {
        stat_add(call->worker->stats, STAT_ATTEMPTS_FAILED, 1);
    }
    stat_add(call->worker->stats, STAT_ATTEMPTS, 1);
    call->try_count++;
    a = attempt_add(call, call->candidate);
    if (a == NULL)
        return;
    a->status = (uint16_t)status;
    a->reason = (uint8_t)reason;
    a->start_ms = (uint32_t)((call->attempt_us - call->start_us) / 1000);
    a->took_ms = (uint32_t)((now_us - call->attempt_us) / 1000);
}
