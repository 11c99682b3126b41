#include "worker/settle.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/ucr.h"
#include "shm/account.h"
#include "shm/rate.h"
#include "worker/call.h"
#include "worker/stay.h"
#include "worker/idem.h"
#include "worker/limit.h"

static int64_t
input_cost(const struct call *call)
{
    struct price_count count = {.input = call->input_estimate};
    int64_t cost_ucr;

    if (!price_cost(call_price(call), &count, &cost_ucr))
        cost_ucr = call->held_ucr;
    return MIN(cost_ucr, call->held_ucr);
}

void
settle_candidate(struct call *call)
{
    const struct worker *w = call->worker;
    const struct route_candidate *candidate = &call->plan.candidates[call->candidate];
    struct record *r = hold_record(&w->holds, call->slot);

    ASSERT(call->held);
    r->model = w->model_name[candidate->model_idx];
    r->family = w->family_name[candidate->model_idx];
    r->channel = w->channel_name[candidate->channel_idx];
    r->asked = call->asked_name;
    r->flags &= ~(uint32_t)RECORD_SIBLING;
    if (candidate->model_idx != call->plan.model_idx) {
        r->flags |= RECORD_SIBLING;
        if (r->asked == 0)
            r->asked = w->model_name[call->plan.model_idx];
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
    r->key_generation = atomic_load_explicit(&call->key->generation, memory_order_relaxed);
    r->rule = call->plan.rule_idx == CONF_NONE ? 0 : w->rule_name[call->plan.rule_idx];
    r->protocol = call->protocol;
    r->endpoint = call->endpoint;
    r->flags = (call->ask.stream ? RECORD_STREAM : 0u) | (call->inflight ? RECORD_INFLIGHT : 0u);
    r->price_version = w->conf->price_version;
    r->start_wall_us = call->start_wall_us;
    r->request_bytes = (uint32_t)MIN(call->ask.body.len, (size_t)UINT32_MAX);
    if (w->inherit->durability == DURABILITY_RESERVE)
        r->total_charge_ucr = input_cost(call);
    settle_candidate(call);
}

/* One more slot for the same call. */
static enum hold_result
extend(struct call *call, int64_t missing_ucr, bool announce)
{
    struct hold_table *holds = &call->worker->holds;
    struct hold_ask ask;
    struct record *r;
    uint32_t slot;
    int64_t step_ucr = missing_ucr, more_ucr;
    enum hold_result result;

    if (call->extension_count == CALL_EXTENSIONS_MAX)
        return HOLD_NO_CREDIT;
    /* A good piece at once, or else the bare need. */
    if (price_worst(call_price(call), 0, call->worker->limits->hold_output_tokens, &more_ucr))
        step_ucr = MAX(missing_ucr, MIN(more_ucr, ACCOUNT_UCR_MAX >> CALL_EXTENSIONS_MAX)
                                        << call->extension_count);
    ask = call_hold_ask(call, step_ucr);
    if (hold_take(holds, &ask, &slot) != HOLD_OK) {
        ask = call_hold_ask(call, missing_ucr);
        result = hold_take(holds, &ask, &slot);
        if (result != HOLD_OK)
            return result;
    }
    r = hold_record(holds, slot);
    *r = *hold_record(holds, call->slot);
    r->flags |= RECORD_EXTENSION;
    r->flags &= ~(uint32_t)(RECORD_INFLIGHT | RECORD_EXTENDED);
    r->total_charge_ucr = 0; /* the first slot has the input's cost */
    atomic_store_explicit(&r->announced, 0, memory_order_relaxed); /* that was the first slot's */
    hold_record(holds, call->slot)->flags |= RECORD_EXTENDED;
    call->extension[call->extension_count++] = slot;
    call->held_ucr += hold_amount_ucr(holds, slot);
    if (announce && hold_announce(holds, slot))
        worker_wake_ledger(call->worker);
    return HOLD_OK;
}

/* What is held by slots that are on the disk; the first was before the call was sent on. */
static int64_t
durable_ucr(const struct call *call)
{
    const struct hold_table *holds = &call->worker->holds;
    int64_t sum_ucr = hold_amount_ucr(holds, call->slot);

    for (unsigned i = 0; i < call->extension_count; i++)
        if (hold_announced(holds, call->extension[i]))
            sum_ucr += hold_amount_ucr(holds, call->extension[i]);
    return sum_ucr;
}

bool
settle_durable(const struct call *call)
{
    return durable_ucr(call) == call->held_ucr;
}

/* The call's progress, over its slots in their order. */
static void
store_progress(struct call *call, int64_t progress_ucr)
{
    struct hold_table *holds = &call->worker->holds;
    int64_t left_ucr = progress_ucr;

    call->progress_ucr = progress_ucr;
    hold_progress(holds, call->slot, MIN(left_ucr, hold_amount_ucr(holds, call->slot)));
    left_ucr -= MIN(left_ucr, hold_amount_ucr(holds, call->slot));
    for (unsigned i = 0; i < call->extension_count && left_ucr > 0; i++) {
        int64_t part_ucr = MIN(left_ucr, hold_amount_ucr(holds, call->extension[i]));

        hold_progress(holds, call->extension[i], part_ucr);
        left_ucr -= part_ucr;
    }
}

static int64_t
cost_of(const struct call *call, const struct price_count *count)
{
    int64_t cost_ucr;

    ASSERT(call->held);
    return price_cost(call_price(call), count, &cost_ucr) ? cost_ucr : ACCOUNT_UCR_MAX;
}

enum settle_paid
settle_progress(struct call *call, const struct price_count *count)
{
    bool reserve = call->worker->inherit->durability == DURABILITY_RESERVE;
    int64_t cost_ucr = cost_of(call, count);
    enum hold_result result = HOLD_OK;

    if (cost_ucr <= call->progress_ucr)
        return SETTLE_PAID;
    if (cost_ucr > call->held_ucr)
        result = extend(call, cost_ucr - call->held_ucr, reserve);
    /* Its account is being counted, or the ledger process is behind: neither is out of credits. */
    call->hold_busy = result == HOLD_BUSY || result == HOLD_NO_SLOT;
    if (call->hold_busy)
        return SETTLE_PAID_SOON;
    if (result != HOLD_OK) {
        store_progress(call, reserve ? durable_ucr(call) : call->held_ucr);
        return SETTLE_UNPAID;
    }
    if (reserve && cost_ucr > durable_ucr(call))
        return SETTLE_PAID_SOON;
    store_progress(call, MIN(cost_ucr, call->held_ucr));
    return SETTLE_PAID;
}

void
settle_progress_end(struct call *call, const struct price_count *count)
{
    int64_t cost_ucr = cost_of(call, count);

    if (cost_ucr <= call->progress_ucr)
        return;
    if (cost_ucr > call->held_ucr)
        (void)extend(call, cost_ucr - call->held_ucr, false);
    store_progress(call, MIN(cost_ucr, call->held_ucr));
}

/*
 * How far the hold may grow for what was reported. Input may come to more than its bytes promised:
 * pictures are named by a link. Output beyond the cap that was held for cannot have been generated;
 * an upstream that says so is not believed at the caller's cost.
 */
static int64_t
believed_ucr(const struct call *call, struct price_count count)
{
    int64_t cost_ucr;

    count.output = MIN(count.output, call->output_max);
    return price_cost(call_price(call), &count, &cost_ucr) ? cost_ucr : ACCOUNT_UCR_MAX;
}

/* What is charged, and what of the reported cost could not be. */
static int64_t
charge_of(struct call *call, const struct settle_end *end, struct record *r)
{
    struct price_count count = settle_count(&end->usage);
    int64_t cost_ucr;

    if (end->by == SETTLE_NOTHING || call->endpoint == ENDPOINT_COUNT_TOKENS)
        return 0;
    if (end->by == SETTLE_USAGE && end->usage.state == USAGE_ZERO) {
        if (end->has_output)
            r->flags |= RECORD_USAGE_ZERO_OUTPUT;
        return 0;
    }
    if (end->by == SETTLE_PROGRESS || end->usage.state != USAGE_PRESENT) {
        r->flags |= RECORD_USAGE_ESTIMATED;
        return call->progress_ucr;
    }
    if (!price_cost(call_price(call), &count, &cost_ucr))
        cost_ucr = ACCOUNT_UCR_MAX;
    if (cost_ucr > call->held_ucr) {
        int64_t most_ucr = MAX(MIN(cost_ucr, believed_ucr(call, count)), call->held_ucr);

        if (most_ucr > call->held_ucr && extend(call, most_ucr - call->held_ucr, false) != HOLD_OK)
            most_ucr = call->held_ucr;
        if (cost_ucr > most_ucr) {
            r->flags |= RECORD_USAGE_OVER_HOLD;
            r->uncollected_ucr = cost_ucr - most_ucr;
            return most_ucr;
        }
    }
    if (end->output_estimate > (uint64_t)end->usage.output * call->worker->limits->usage_band)
        r->flags |= RECORD_USAGE_FAR_BELOW;
    return cost_ucr;
}

static void
fill_record(const struct call *call, const struct settle_end *end, struct record *r,
            uint64_t end_us)
{
    r->outcome = (uint8_t)end->outcome;
    r->http_status = (uint16_t)end->http_status;
    r->end_us = end_us - call->start_us;
    r->response_bytes = (uint32_t)MIN(call->response_bytes, (uint64_t)UINT32_MAX);
    str_copy(end->model_reported, r->model_reported, sizeof r->model_reported);
    if (end->usage.state != USAGE_PRESENT)
        return;

    uint32_t *count = r->tally[r->tally_idx].count;

    count[RECORD_INPUT] = end->usage.input;
    count[RECORD_CACHE_READ] = end->usage.cache_read;
    count[RECORD_CACHE_WRITE_5M] = end->usage.cache_write_5m;
    count[RECORD_CACHE_WRITE_1H] = end->usage.cache_write_1h;
    count[RECORD_OUTPUT] = end->usage.output - end->usage.reasoning;
    count[RECORD_REASONING] = end->usage.reasoning;
}

void
settle_tokens(struct call *call, uint64_t tokens)
{
    uint32_t tpm = atomic_load_explicit(&call->key->tpm, memory_order_relaxed);

    if (tpm == 0)
        return;
    rate_correct(&call->key->tpm_tat, rate_per_minute(tpm), call->tpm_taken_ns, tokens,
                 worker_mono_us(call->worker) * 1000);
}

/* Tokens per minute were counted by an estimate; now they are known, or known better. */
static void
correct_tpm(struct call *call, const struct settle_end *end)
{
    const struct usage *usage = &end->usage;

    uint64_t tokens = (uint64_t)usage->input + usage->cache_read + usage->cache_write_5m +
                      usage->cache_write_1h + usage->output;

    if (end->by == SETTLE_NOTHING) {
        settle_tokens(call, 0);
    } else if (usage->state == USAGE_PRESENT) {
        settle_tokens(call, tokens);
        limit_tokens(call, tokens);
    } else {
        limit_keep_guess(call);
    }
    call->tpm_taken_ns = 0; /* where nothing better is known the guess stands */
}

static void
count_stats(const struct call *call, const struct settle_end *end, const struct record *r,
            int64_t charge_ucr)
{
    _Atomic uint64_t *stats = call->worker->stats;

    stat_add(stats, STAT_CALLS_OPEN, (uint64_t)-1);
    stat_add(stats, STAT_SPENT_UCR, (uint64_t)charge_ucr);
    if (r->uncollected_ucr > 0)
        stat_add(stats, STAT_UNCOLLECTED_UCR, (uint64_t)r->uncollected_ucr);
    if (r->flags & (RECORD_USAGE_ZERO_OUTPUT | RECORD_USAGE_FAR_BELOW | RECORD_USAGE_OVER_HOLD))
        stat_add(stats, STAT_USAGE_FLAGGED, 1);
    if (end->usage.state == USAGE_PRESENT) {
        stat_add(stats, STAT_TOKENS_IN,
                 (uint64_t)end->usage.input + end->usage.cache_read + end->usage.cache_write_5m +
                     end->usage.cache_write_1h);
        stat_add(stats, STAT_TOKENS_OUT, end->usage.output);
    }
}

/* Hands all slots over, the extensions first: the record is in the first slot. */
static void
hand_over(struct call *call, int64_t charge_ucr)
{
    struct hold_table *holds = &call->worker->holds;
    int64_t first_ucr = MIN(charge_ucr, hold_amount_ucr(holds, call->slot));
    int64_t left_ucr = charge_ucr - first_ucr;
    bool wake = false;

    for (unsigned i = 0; i < call->extension_count; i++) {
        int64_t part_ucr = MIN(left_ucr, hold_amount_ucr(holds, call->extension[i]));

        left_ucr -= part_ucr;
        call->extension_generation[i] = hold_generation(holds, call->extension[i]);
        wake |= hold_settle(holds, call->extension[i], part_ucr);
    }
    ASSERT(left_ucr == 0);
    call->slot_generation = hold_generation(holds, call->slot);
    wake |= hold_settle(holds, call->slot, first_ucr);
    call->held = false;
    if (wake)
        worker_wake_ledger(call->worker);
}

bool
settle_committed(const struct call *call)
{
    const struct hold_table *holds = &call->worker->holds;

    for (unsigned i = 0; i < call->extension_count; i++)
        if (!hold_committed(holds, call->extension[i], call->extension_generation[i]))
            return false;
    return hold_committed(holds, call->slot, call->slot_generation);
}

int64_t
settle_call(struct call *call, const struct settle_end *end)
{
    struct record *r = hold_record(&call->worker->holds, call->slot);
    int64_t charge_ucr;

    ASSERT(call->held);
    charge_ucr = charge_of(call, end, r);
    ASSERT(charge_ucr >= 0 && charge_ucr <= call->held_ucr);
    fill_record(call, end, r, worker_mono_us(call->worker));
    r->total_charge_ucr = charge_ucr;
    correct_tpm(call, end);
    count_stats(call, end, r, charge_ucr);
    if (call->inflight) {
        key_leave(call->key);
        call->inflight = false;
    }
    if (call->thread != 0)
        stay_keep(call, end);
    hand_over(call, charge_ucr);
    if (call->idem.entry != NULL)
        idem_settled(call, end->outcome, charge_ucr);
    return charge_ucr;
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
    const struct route_candidate *c = &call->plan.candidates[candidate];
    struct record *r = hold_record(&w->holds, call->slot);
    struct record_attempt *a;

    if (r->attempt_count == RECORD_ATTEMPTS_MAX && !drop_skipped(r))
        return NULL;
    a = &r->attempt[r->attempt_count];
    *a = (struct record_attempt){.upstream = w->pools[c->upstream_idx].name_id,
                                 .channel = w->channel_name[c->channel_idx],
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
