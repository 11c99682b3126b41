/*
 * What a call has come to while it runs: counts, their price, and the hold that covers it.
 *
 * Progress is what is charged when nothing better is known: at the end of a call without a usable
 * report, or when this process is killed. It never passes what is held, never falls in a slot, and
 * always stands beside the counts that it was computed from, so that it can be computed again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "shm/account.h"
#include "worker/call.h"
#include "worker/chain.h"
#include "worker/media.h"
#include "worker/take.h"
#include "worker/settle.h"

/* ---- counts ---- */

struct price_count
settle_count(const struct usage *u)
{
    return (struct price_count){
        .n = {
            [CONF_INPUT] = u->input - u->audio_input - u->image_input,
            [CONF_CACHE_READ] = u->cache_read,
            [CONF_CACHE_WRITE_5M] = u->cache_write_5m,
            [CONF_CACHE_WRITE_1H] = u->cache_write_1h,
            [CONF_AUDIO_INPUT] = u->audio_input,
            [CONF_IMAGE_INPUT] = u->image_input,
            [CONF_OUTPUT] = u->output - u->reasoning - u->audio_output - u->image_output,
            [CONF_REASONING] = u->reasoning,
            [CONF_AUDIO_OUTPUT] = u->audio_output,
            [CONF_IMAGE_OUTPUT] = u->image_output,
            [CONF_IMAGES] = u->images,
            [CONF_SECONDS] = u->seconds,
            [CONF_CHARACTERS] = u->characters,
            [CONF_REQUESTS] = MAX(u->requests, 1u),
            [CONF_SEARCHES] = u->searches,
        }};
}

struct price_count
settle_estimate(const struct call *call, uint64_t output_tokens)
{
    struct price_count count = {.n = {0}};

    if (proto_is_media((enum proto_endpoint)call->endpoint))
        return media_so_far(call, (struct media_made){.tokens = output_tokens});
    /* An estimate by size may overshoot; what the caller capped cannot. */
    output_tokens = MIN(output_tokens, call->output_max);
    count.n[CONF_INPUT] = (uint32_t)MIN(call->input_estimate, (uint64_t)CONF_COUNT_MAX);
    count.n[CONF_OUTPUT] = (uint32_t)MIN(output_tokens, (uint64_t)CONF_COUNT_MAX);
    count.n[CONF_REQUESTS] = 1;
    return count;
}

/* ---- what can be ---- */

/* Turns that a provider makes of one call at most, when it runs tools: Anthropic pauses after ten. */
#define TURNS_MAX 11u

static unsigned
open_of(const struct call *call)
{
    return call->ask.body.ptr != NULL ? ask_open(&call->ask) : call->open;
}

void
settle_keep_open(struct call *call)
{
    struct meter_progress p = meter_progress(&call->meter);

    /* Anthropic's streams say first what went in. */
    if (call->ask.body.ptr == NULL || (p.has_input && settle_input(&p.usage) <= call->input_max))
        return;
    call->open = (uint8_t)ask_open(&call->ask);
}

bool
settle_hosts_tools(const struct call *call)
{
    return (open_of(call) & ASK_OPEN_TOOLS) != 0;
}

uint64_t
settle_input(const struct usage *u)
{
    return (uint64_t)u->input + u->cache_read + u->cache_write_5m + u->cache_write_1h;
}

uint64_t
settle_input_bound(const struct call *call)
{
    uint64_t context = call_price(call)->model->context_tokens;
    unsigned open = context == 0 ? 0 : open_of(call);

    if (open & ASK_OPEN_TOOLS)
        return MAX(context * TURNS_MAX, call->input_max);
    return open ? MAX(context, call->input_max) : call->input_max;
}

/*
 * More than the model can have seen or said. An answer with tools that the provider runs is of several
 * turns; and to a list of texts the context is a limit of each, so only its bytes bound it.
 */
static bool
is_absurd(const struct call *call, const struct usage *u)
{
    uint64_t context = call_price(call)->model->context_tokens;
    uint64_t output = u->output / MAX(call->ask.choice_count, 1u);

    if (context == 0 || proto_is_media((enum proto_endpoint)call->endpoint) ||
        !proto_has_output((enum proto_endpoint)call->endpoint) ||
        (settle_input(u) <= context && output <= context))
        return false;
    if (settle_hosts_tools(call))
        context *= TURNS_MAX;
    return settle_input(u) > context || output > context;
}

/* Takes what is beyond the most from the classes in their order. */
static void
cap_classes(struct price_count *count, const uint8_t *classes, size_t class_count, uint64_t most)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < class_count; i++)
        sum += count->n[classes[i]];
    for (size_t i = 0; i < class_count && sum > most; i++) {
        uint64_t cut = MIN((uint64_t)count->n[classes[i]], sum - most);

        count->n[classes[i]] -= (uint32_t)cut;
        sum -= cut;
    }
}

void
settle_cap_input(struct price_count *count, uint64_t input_max)
{
    static const uint8_t classes[] = {CONF_INPUT,       CONF_CACHE_READ,  CONF_CACHE_WRITE_5M,
                                      CONF_CACHE_WRITE_1H, CONF_IMAGE_INPUT, CONF_AUDIO_INPUT};

    cap_classes(count, classes, COUNT_OF(classes), input_max);
}

void
settle_cap_output(struct price_count *count, uint64_t output_max)
{
    static const uint8_t classes[] = {CONF_OUTPUT, CONF_REASONING, CONF_AUDIO_OUTPUT,
                                      CONF_IMAGE_OUTPUT};

    cap_classes(count, classes, COUNT_OF(classes), output_max);
}

struct usage
settle_judge(const struct call *call, struct usage usage)
{
    if (usage.state == USAGE_PRESENT && is_absurd(call, &usage))
        usage.state = USAGE_BAD;
    return usage;
}

struct price_count
settle_claimed(struct call *call)
{
    struct price *price = &call->at->price;
    struct meter_progress p = meter_progress(&call->meter);
    struct price_count count;
    uint32_t output;

    if (price->model->service_count > 0)
        price->service = price_service_of(price->model, str_from(call->meter.service));
    if (proto_is_media((enum proto_endpoint)call->endpoint))
        return media_so_far(call, media_made_so_far(call));
    count = settle_estimate(call, p.usage.output);
    if (!p.has_input)
        return count;
    if (is_absurd(call, &p.usage))
        return settle_estimate(call, call->meter.output_estimate);
    p.usage.output = 0;
    p.usage.reasoning = p.usage.audio_output = p.usage.image_output = 0;
    output = count.n[CONF_OUTPUT];
    count = settle_count(&p.usage);
    count.n[CONF_OUTPUT] = output;
    return count;
}

struct price_count
settle_so_far(struct call *call)
{
    struct price_count count = settle_claimed(call);
    uint64_t input = 0;

    for (int class = 0; class < CONF_INPUT_CLASS_COUNT; class ++)
        input += count.n[class];
    if (input > call->input_max)
        settle_cap_input(&count, settle_input_bound(call));
    return count;
}

int64_t
settle_cost(const struct call *call, const struct price_count *count)
{
    int64_t cost_ucr;

    return price_cost(call_price(call), count, &cost_ucr) ? cost_ucr : ACCOUNT_UCR_MAX;
}

/* ---- the hold ---- */

enum hold_result
settle_extend(struct call *call, int64_t missing_ucr, bool announce)
{
    struct price_bounds piece = {.output = call->worker->limits->hold_output_tokens};
    struct hold_table *holds = &call->worker->holds;
    struct hold_ask ask;
    struct record *r;
    uint32_t slot;
    int64_t step_ucr = missing_ucr, more_ucr;
    enum hold_result result;

    if (call->extension_count == CALL_EXTENSIONS_MAX)
        return HOLD_NO_CREDIT;
    if (call->extensions == NULL &&
        (call->extensions = calloc(CALL_EXTENSIONS_MAX, sizeof(*call->extensions))) == NULL)
        return HOLD_NO_SLOT; /* tried again, as where there is none */
    /* A good piece at once, or else the bare need. */
    if (price_worst(call_price(call), &piece, &more_ucr))
        step_ucr = MAX(missing_ucr, MIN(more_ucr, ACCOUNT_UCR_MAX >> CALL_EXTENSIONS_MAX)
                                        << call->extension_count);
    ask = take_ask_more(call, step_ucr);
    if (hold_take(holds, &ask, &slot) != HOLD_OK) {
        ask = take_ask_more(call, missing_ucr);
        result = hold_take(holds, &ask, &slot);
        if (result != HOLD_OK)
            return result;
    }
    if (ask.over != 0) {
        chain_shadowed(call, STAT_SHADOWED_BUDGETS);
        hold_record(holds, call->slot)->flags |= RECORD_SHADOWED;
    }
    r = hold_record(holds, slot);
    *r = *hold_record(holds, call->slot);
    r->flags |= RECORD_EXTENSION;
    r->flags &= ~(uint32_t)(RECORD_INFLIGHT_ALL | RECORD_EXTENDED);
    r->total_charge_ucr = 0; /* the first slot has the input's cost */
    memset(r->tally_cost_ucr, 0, sizeof r->tally_cost_ucr);
    r->before_ucr = call->held_ucr;
    atomic_store_explicit(&r->announced, 0, memory_order_relaxed); /* that was the first slot's */
    hold_record(holds, call->slot)->flags |= RECORD_EXTENDED;
    call->extensions[call->extension_count++].slot = slot;
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
        if (hold_announced(holds, call->extensions[i].slot))
            sum_ucr += hold_amount_ucr(holds, call->extensions[i].slot);
    return sum_ucr;
}

bool
settle_durable(const struct call *call)
{
    return durable_ucr(call) == call->held_ucr;
}

/* ---- progress ---- */

struct record_tally
settle_tally(const struct call *call, const struct price_count *count)
{
    const struct route_candidate *candidate = call->at;
    struct record_tally tally = {
        .model = call->worker->model_name[candidate->model_idx],
        .channel = call->worker->channel_name[candidate->channel_idx],
        .tier = (uint8_t)price_tier(&candidate->price, count),
        .service = candidate->price.service,
        .discount = candidate->price.discount,
        .deal_u = candidate->price.deal_u,
    };

    memcpy(tally.count, count->n, sizeof tally.count);
    return tally;
}

/* The call's progress, over its slots in their order. */
static void
store_progress(struct call *call, int64_t progress_ucr, const struct price_count *count)
{
    struct hold_table *holds = &call->worker->holds;
    int64_t left_ucr = progress_ucr, part_ucr;

    call->progress_ucr = progress_ucr;
    call->tally = settle_tally(call, count);
    part_ucr = MIN(left_ucr, hold_amount_ucr(holds, call->slot));
    hold_progress_of(holds, call->slot, part_ucr, &call->tally);
    left_ucr -= part_ucr;
    for (unsigned i = 0; i < call->extension_count && left_ucr > 0; i++) {
        part_ucr = MIN(left_ucr, hold_amount_ucr(holds, call->extensions[i].slot));
        hold_progress_of(holds, call->extensions[i].slot, part_ucr, &call->tally);
        left_ucr -= part_ucr;
    }
}

enum settle_paid
settle_progress(struct call *call, const struct price_count *count)
{
    bool reserve = call->worker->inherit->durability == DURABILITY_RESERVE;
    int64_t cost_ucr = settle_cost(call, count);
    enum hold_result result = HOLD_OK;

    ASSERT(call->held);
    if (cost_ucr <= call->progress_ucr)
        return SETTLE_PAID;
    if (cost_ucr > call->held_ucr)
        result = settle_extend(call, cost_ucr - call->held_ucr, reserve);
    /* Its account is being counted, or the ledger process is behind: neither is out of credits. */
    call->hold_busy = result == HOLD_BUSY || result == HOLD_NO_SLOT;
    if (call->hold_busy)
        return SETTLE_PAID_SOON;
    if (result != HOLD_OK) {
        if (!reserve) /* there the end waits for what is held, and raises it */
            store_progress(call, call->held_ucr, count);
        return SETTLE_UNPAID;
    }
    if (reserve && cost_ucr > durable_ucr(call))
        return SETTLE_PAID_SOON;
    store_progress(call, MIN(cost_ucr, call->held_ucr), count);
    return SETTLE_PAID;
}

void
settle_progress_end(struct call *call, const struct price_count *count)
{
    int64_t cost_ucr = settle_cost(call, count);

    ASSERT(call->held);
    if (cost_ucr <= call->progress_ucr)
        return;
    if (cost_ucr > call->held_ucr)
        (void)!settle_extend(call, cost_ucr - call->held_ucr, false);
    store_progress(call, MIN(cost_ucr, call->held_ucr), count);
}
