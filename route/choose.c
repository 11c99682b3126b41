/*
 * The channel, and the order of the upstreams in it.
 *
 * For each place in the order two candidates are drawn by the operator's weights, and the first of
 * them has it, unless the second is better by more than near equals are (route/score.h). So the
 * weights decide alone while all do well, and what does badly has calls only from who drew it
 * twice: nearly none, but never none, since one draw in EXPLORE_ONE_IN is not compared. Without these
 * nobody would learn that it does well again.
 */
#include "base/rng.h"
#include "base/str.h"
#include "route/room.h"
#include "route/score.h"

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

#define EXPLORE_ONE_IN 32u
#define LIST_SHORT 8u
#define DRAWS_MAX 4u

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

static void
mark(struct order *order, int i, bool taken)
{
    uint64_t bit = UINT64_C(1) << (i % 64);

    if (taken)
        order->taken[i / 64] |= bit;
    else
        order->taken[i / 64] &= ~bit;
}

static bool
may_take(const struct order *order, size_t i)
{
    return !is_taken(order, i) && !is_down(order->ask, &order->entries[i]);
}

/* The entry that a number below the list's whole weight falls on. */
static size_t
entry_of(const struct order *order, uint64_t drawn)
{
    size_t low = 0, high = order->count - 1;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (drawn < order->entries[middle].weight_end)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* By weight among those that are left; CONF_NONE when none of a weight is. */
static int
draw_of_rest(const struct order *order)
{
    uint64_t total = 0, drawn;
    size_t i;

    for (i = 0; i < order->count; i++)
        if (may_take(order, i))
            total += order->entries[i].weight;
    if (total == 0)
        return CONF_NONE;
    drawn = draw(order->ask->rng_state, total);
    for (i = 0; i < order->count; i++) {
        if (!may_take(order, i))
            continue;
        if (drawn < order->entries[i].weight)
            break;
        drawn -= order->entries[i].weight;
    }
    ASSERT(i < order->count);
    return (int)i;
}

/* The same. In a long list a draw over all mostly meets one that is left; the same draws without
 * those that are not are a draw among the rest. */
static int
draw_weighted(const struct order *order)
{
    uint64_t total = order->entries[order->count - 1].weight_end;

    if (total == 0)
        return CONF_NONE;
    for (unsigned i = 0; i < DRAWS_MAX && order->count > LIST_SHORT; i++) {
        size_t entry = entry_of(order, draw(order->ask->rng_state, total));

        if (may_take(order, entry))
            return (int)entry;
    }
    return draw_of_rest(order);
}

static struct route_merit
merit_of(const struct order *order, int i)
{
    return (struct route_merit){.health = &order->ask->health[order->entries[i].upstream_idx],
                                .price_ppm = ROUTE_PRICE_SAME,
                                .weight = order->entries[i].weight};
}

/* Of two that were drawn the better one; CONF_NONE when none of a weight is left. */
static int
take_weighted(struct order *order)
{
    int first = draw_weighted(order), second;
    struct route_merit a, b;

    if (first == CONF_NONE || order->ask->health == NULL)
        return first;
    mark(order, first, true);
    second = draw_weighted(order);
    mark(order, first, false);
    if (second == CONF_NONE || draw(order->ask->rng_state, EXPLORE_ONE_IN) == 0)
        return first;
    a = merit_of(order, first);
    b = merit_of(order, second);
    return route_beats(&b, &a) ? second : first;
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
        mark(&order, taken, true);
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
