/*
 * The channel, and the order of the upstreams in it.
 */
#include "base/rng.h"
#include "base/str.h"
#include "route/room.h"

const char *const route_result_name[] = {
    [ROUTE_OK] = "ok",
    [ROUTE_NO_MODEL] = "no-model",
    [ROUTE_MODEL_NOT_ALLOWED] = "model-not-allowed",
    [ROUTE_NO_SUCH_CHANNEL] = "no-such-channel",
    [ROUTE_CHANNEL_NOT_ALLOWED] = "channel-not-allowed",
    [ROUTE_NO_UPSTREAM] = "no-upstream",
    [ROUTE_ALL_DOWN] = "all-down",
};
_Static_assert(COUNT_OF(route_result_name) == ROUTE_RESULT_COUNT, "a new result needs a name");

/* ---- the channel and the order in it ---- */

static bool
is_down(const struct route_ask *ask, const struct route_entry *entry)
{
    return ask->health != NULL && ask->health[entry->upstream_idx].down;
}

static bool
list_has_usable(const struct route_table *table, const struct route_ask *ask,
                const struct route_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (!is_down(ask, &table->entries[list->start + i]))
            return true;
    return false;
}

/* The first channel where an upstream is usable, else the first where one would be. */
enum route_result
channel_choose(const struct route_table *table, const struct route_ask *ask,
               const struct channels *channels, size_t model_idx, uint16_t *channel_idx)
{
    bool found = false;

    for (size_t i = 0; i < channels->count; i++) {
        const struct route_list *list;

        /* A key may name a channel that this snapshot does not have. */
        if (channels->at[i] >= table->conf->channel_count)
            continue;
        list = list_of(table, channels->at[i], model_idx, ask->protocol);
        if (list->count == 0)
            continue;
        if (!found)
            *channel_idx = channels->at[i];
        found = true;
        if (list_has_usable(table, ask, list)) {
            *channel_idx = channels->at[i];
            return ROUTE_OK;
        }
    }
    return found ? ROUTE_ALL_DOWN : ROUTE_NO_UPSTREAM;
}

/* A number below total, which is not 0. */
static uint64_t
draw(uint64_t *rng_state, uint64_t total)
{
    return (uint64_t)((unsigned __int128)rng_next(rng_state) * total >> 64);
}

struct order {
    const struct route_ask *ask;
    const struct route_entry *entries;
    size_t count;
    uint64_t taken[CONF_UPSTREAM_COUNT_MAX / 64]; /* a bit an entry */
};

static bool
is_taken(const struct order *order, size_t i)
{
    return (order->taken[i / 64] >> (i % 64) & 1) != 0;
}

/* By weight; CONF_NONE when none of a weight is left. */
static int
take_weighted(struct order *order)
{
    uint64_t total = 0, drawn;
    size_t i;

    for (i = 0; i < order->count; i++)
        if (!is_taken(order, i) && !is_down(order->ask, &order->entries[i]))
            total += order->entries[i].weight;
    if (total == 0)
        return CONF_NONE;
    drawn = draw(order->ask->rng_state, total);
    for (i = 0; i < order->count; i++) {
        if (is_taken(order, i) || is_down(order->ask, &order->entries[i]))
            continue;
        if (drawn < order->entries[i].weight)
            break;
        drawn -= order->entries[i].weight;
    }
    ASSERT(i < order->count);
    return (int)i;
}

/* Of what is left: usable ones as they stand, then the one that failed longest ago. */
static int
take_rest(const struct order *order)
{
    int best = CONF_NONE;
    uint64_t best_failed_ms = 0;

    for (size_t i = 0; i < order->count; i++) {
        uint64_t failed_ms;

        if (is_taken(order, i))
            continue;
        if (!is_down(order->ask, &order->entries[i]))
            return (int)i;
        failed_ms = order->ask->health[order->entries[i].upstream_idx].failed_at_ms;
        if (best == CONF_NONE || failed_ms < best_failed_ms) {
            best = (int)i;
            best_failed_ms = failed_ms;
        }
    }
    return best;
}

static void
candidates_order(const struct route_table *table, const struct route_ask *ask, uint16_t model_idx,
                 uint16_t channel_idx, struct route_plan *plan)
{
    const struct conf *conf = table->conf;
    const struct route_list *list = list_of(table, channel_idx, model_idx, ask->protocol);
    struct price price = price_of(&conf->models[model_idx], &conf->channels[channel_idx]);
    struct order order = {
        .ask = ask, .entries = &table->entries[list->start], .count = list->count};

    ASSERT(list->count <= CONF_UPSTREAM_COUNT_MAX);
    plan->candidate_count = 0;
    while (plan->candidate_count < MIN(list->count, (uint32_t)ROUTE_CANDIDATE_COUNT_MAX)) {
        int taken = take_weighted(&order);
        const struct route_entry *entry;

        if (taken == CONF_NONE)
            taken = take_rest(&order);
        ASSERT(taken != CONF_NONE);
        order.taken[taken / 64] |= UINT64_C(1) << (taken % 64);
        entry = &order.entries[taken];
        plan->candidates[plan->candidate_count++] =
            (struct route_candidate){.upstream_idx = entry->upstream_idx,
                                     .channel_idx = channel_idx,
                                     .model_idx = model_idx,
                                     .down = is_down(ask, entry),
                                     .price = price,
                                     .model_sent = table->names[entry->name_idx].sent,
                                     .model_json = table->names[entry->name_idx].json};
    }
}

/* ---- the question ---- */

enum route_result
route_choose(const struct route_table *table, const struct route_ask *ask, struct route_plan *plan)
{
    const struct conf *conf = table->conf;
    int model_idx = conf_model_index(conf, ask->model);
    struct channels channels;
    enum route_result result;
    uint16_t channel_idx;

    ASSERT((unsigned)ask->protocol < CONF_PROTOCOL_COUNT);
    plan->auto_idx = model_idx == CONF_NONE ? conf_auto_index(conf, ask->model) : CONF_NONE;
    if (model_idx == CONF_NONE && plan->auto_idx == CONF_NONE)
        return ROUTE_NO_MODEL;
    if (model_idx != CONF_NONE && !model_allowed(ask, &conf->models[model_idx]))
        return ROUTE_MODEL_NOT_ALLOWED;
    result = channels_for(table, ask, &channels);
    if (result != ROUTE_OK)
        return result;
    if (plan->auto_idx != CONF_NONE) {
        size_t chosen = 0;

        result = auto_choose(table, ask, &channels, &conf->autos[plan->auto_idx], &chosen,
                             &channel_idx);
        model_idx = (int)chosen;
    } else {
        result = channel_choose(table, ask, &channels, (size_t)model_idx, &channel_idx);
    }
    if (result == ROUTE_OK || result == ROUTE_ALL_DOWN)
        candidates_order(table, ask, (uint16_t)model_idx, channel_idx, plan);
    return result;
}
