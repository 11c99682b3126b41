#include "worker/take.h"

#include <string.h>

#include "base/str.h"
#include "base/ucr.h"
#include "shm/account.h"
#include "worker/call.h"
#include "worker/chain.h"
#include "worker/media.h"

#define SEARCHES_HELD 10 /* for a request that offers them */

/* How many tokens it can come to when this model serves it. */
static void
bound_model(const struct call *call, const struct conf_model *model, uint64_t *input_max,
            uint64_t *output_max)
{
    uint64_t context = model->context_tokens;
    uint64_t cap = UINT64_MAX;

    if (proto_is_media((enum proto_endpoint)call->endpoint)) {
        context = 0; /* a file is seen in pieces */
        *input_max = media_input_max(call);
    } else {
        *input_max = call->ask.body.len;
    }
    if (call->ask.stored_input)
        *input_max = MAX(context, *input_max);
    /* Of a list of texts it limits each. */
    if (context != 0 && call->endpoint != ENDPOINT_EMBEDDINGS)
        *input_max = MIN(*input_max, context);
    if (call->ask.has_output_cap)
        cap = call->ask.output_cap;
    if (model->output_tokens_max != 0)
        cap = MIN(cap, model->output_tokens_max);
    if (!proto_has_output((enum proto_endpoint)call->endpoint))
        cap = 0;
    *output_max = cap == UINT64_MAX ? cap : cap * call->ask.choice_count;
}

void
take_bounds(struct call *call)
{
    bound_model(call, call_price(call)->model, &call->input_max, &call->output_max);
    if (call->tunnel != NULL) { /* these are of one response, and more may follow */
        call->input_max = UINT64_MAX / 2;
        call->output_max = UINT64_MAX;
    }
    call->input_estimate = MIN(call->input_estimate, call->input_max);
}

struct hold_ask
take_ask_more(const struct call *call, int64_t amount_ucr)
{
    struct hold_ask ask;

    hold_ask_again(&call->worker->holds, call->slot, &ask);
    ask.amount_ucr = MIN(amount_ucr, ACCOUNT_UCR_MAX);
    ask.wall_us = worker_wall_us(call->worker);
    return ask;
}

/* Of the key and those beside it. */
static struct hold_ask
take_ask(const struct call *call, int64_t amount_ucr)
{
    const struct key_slot *key = call->key;
    struct hold_ask ask = {
        .account_idx = key->account_idx,
        .account_generation = key->account_generation,
        .amount_ucr = MIN(amount_ucr, ACCOUNT_UCR_MAX), /* more than anybody has */
        .wall_us = worker_wall_us(call->worker),
    };
    const struct account *account = account_at(call->worker->region, key->account_idx);

    for (unsigned i = 0; i < 3; i++)
        ask.budget_idx[i] = atomic_load_explicit(&key->budget_idx[i], memory_order_relaxed);
    ask.budget_idx[BUDGET_TENANT] =
        atomic_load_explicit(&account->budget_idx, memory_order_relaxed);
    return ask;
}

void
take_error(enum hold_result result, const struct hold_ask *ask, struct proto_error *error)
{
    char text[UCR_TEXT_LEN + 1];

    (void)ucr_text(ask->amount_ucr, text);
    switch (result) {
    case HOLD_NO_CREDIT:
        error_set(error, ERROR_NO_CREDIT, NULL, NULL,
                  "turnpike: out of credits: this call needs up to %s", text);
        return;
    case HOLD_NO_BUDGET:
        error_set(error, ERROR_NO_CREDIT, NULL, "budget_exceeded",
                  "turnpike: the budget of this %s is spent: this call needs up to %s",
                  budget_kind_name[ask->refused], text);
        error_set_limit(error, budget_kind_name[ask->refused], "budget");
        return;
    case HOLD_CLOSED:
        error_set(error, ERROR_UNAUTHENTICATED, NULL, NULL, "turnpike: the API key or its account is closed");
        return;
    case HOLD_OK:
    case HOLD_BUSY:
    case HOLD_NO_SLOT:
    case HOLD_RESULT_COUNT:
        break;
    }
    error_set(error, ERROR_UNAVAILABLE, NULL, NULL,
              "turnpike: the books are busy; nothing was charged");
    error->retry_after_s = 1;
}

/* What is not tokens. Searches are held for where the request offers the tool; what an answer has of
 * them beyond that, and seconds of sound, whose number nobody can know, at its end. */
static void
bound_units(const struct call *call, const struct conf_model *model, struct price_bounds *bounds)
{
    const struct str body = call->ask.body;

    bounds->characters = (uint32_t)MIN(body.len, (size_t)CONF_COUNT_MAX);
    if (model->rates.u_per_mtok[CONF_SEARCHES] > 0 &&
        memmem(body.ptr, body.len, "web_search", strlen("web_search")) != NULL)
        bounds->searches = SEARCHES_HELD;
}

static void
bound_all(const struct call *call, const struct conf_model *model, struct price_bounds *bounds)
{
    if (proto_is_media((enum proto_endpoint)call->endpoint)) {
        media_bounds(call, model, bounds);
        return;
    }
    bound_model(call, model, &bounds->input, &bounds->output);
    bound_units(call, model, bounds);
}

/*
 * The worst that any of the candidates can come to. Output for which nobody stated a cap counts as
 * `uncapped` tokens; with at_most, what only the model caps does, too. False when that is no amount.
 */
static bool
worst_cost(const struct call *call, uint64_t uncapped, bool at_most, int64_t *worst_ucr)
{
    const struct route_candidate *last = NULL;

    *worst_ucr = 0;
    for (size_t i = 0; i < call->plan->candidate_count; i++) {
        const struct route_candidate *candidate = &call->plan->candidates[i];
        struct price_bounds bounds = {.images = call->ask.choice_count, .requests = 1};
        int64_t cost_ucr;

        if (last != NULL && last->channel_idx == candidate->channel_idx &&
            last->model_idx == candidate->model_idx)
            continue;
        last = candidate;
        bound_all(call, candidate->price.model, &bounds);
        if (at_most || bounds.output == UINT64_MAX)
            bounds.output = MIN(bounds.output, uncapped);
        if (call->tunnel != NULL && (at_most || candidate->price.model->context_tokens == 0))
            bounds.input = uncapped; /* a session's grows by itself */
        if (!price_worst(&candidate->price, &bounds, &cost_ucr))
            return false;
        *worst_ucr = MAX(*worst_ucr, cost_ucr);
    }
    return true;
}

/* Would a budget in shadow mode have let in no more than this, either? */
static bool
is_over(const struct call *call, const struct hold_ask *ask, int64_t modest_ucr)
{
    for (unsigned kind = 0; kind < BUDGET_KIND_COUNT; kind++) {
        const struct budget *budget = budget_at(call->worker->region, ask->budget_idx[kind]);
        struct budget_look look;

        if ((ask->over >> kind & 1) == 0 || budget == NULL)
            continue;
        budget_look(budget, ask->wall_us, &look);
        if (modest_ucr > look.limit_ucr - (look.spent_ucr - ask->amount_ucr))
            return true;
    }
    return false;
}

/*
 * The worst case, before the first byte goes upstream: the dearest of the candidates. Where nobody
 * stated a cap of the output, or only the model did and the credit does not reach that far, the hold
 * is for the configured number of tokens and grows with the answer.
 */
enum hold_result
take_hold(struct call *call, struct hold_ask *ask)
{
    struct worker *w = call->worker;
    uint64_t modest = (uint64_t)w->limits->hold_output_tokens * call->ask.choice_count;
    int64_t amount_ucr = 0, modest_ucr;
    enum hold_result result;

    if (!proto_is_count((enum proto_endpoint)call->endpoint) && !worst_cost(call, modest, false, &amount_ucr))
        amount_ucr = ACCOUNT_UCR_MAX;
    if (!call_has_key(call)) { /* it went while the call waited */
        *ask = (struct hold_ask){.amount_ucr = amount_ucr};
        return HOLD_CLOSED;
    }
    *ask = take_ask(call, amount_ucr);
    result = hold_take(&w->holds, ask, &call->slot);
    if (result == HOLD_OK && ask->over != 0) {
        modest_ucr = amount_ucr;
        if (!call->ask.has_output_cap && !worst_cost(call, modest, true, &modest_ucr))
            modest_ucr = amount_ucr;
        if (is_over(call, ask, MIN(modest_ucr, amount_ucr)))
            chain_shadowed(call, STAT_SHADOWED_BUDGETS);
    }
    if ((result != HOLD_NO_CREDIT && result != HOLD_NO_BUDGET) || call->ask.has_output_cap ||
        !worst_cost(call, modest, true, &modest_ucr) || modest_ucr >= amount_ucr)
        return result;
    *ask = take_ask(call, modest_ucr);
    result = hold_take(&w->holds, ask, &call->slot);
    if (result == HOLD_OK && ask->over != 0)
        chain_shadowed(call, STAT_SHADOWED_BUDGETS);
    return result;
}
