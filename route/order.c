/*
 * The order of the upstreams of a channel.
 *
 * For each of the first COMPARED places in the order two candidates are drawn by the operator's
 * weights, and the first of them has it, unless the second is better by more than near equals are
 * (route/score.h); for those behind, which hardly ever come to their turn, one is drawn. So the
 * weights decide alone while all do well, and what does badly has calls only from who drew it
 * twice: nearly none, but never none, since one draw in EXPLORE_ONE_IN is not compared. Without these
 * nobody would learn that it does well again. Before all of these comes the upstream that served the
 * conversation last.
 *
 * Those that are at a limit of their provider's come after all that are not: a call goes past them, or
 * waits for the first that has room.
 */
#include <string.h>

#include "base/rng.h"
#include "base/str.h"
#include "route/room.h"
#include "route/score.h"

#define EXPLORE_ONE_IN 32u
#define COMPARED 3u
#define LIST_SHORT 8u
#define DRAWS_MAX 4u

#define USED_UP_PPM 1000000u

static bool
is_down(const struct route_ask *ask, const struct route_entry *entry)
{
    return ask->health != NULL && ask->health[entry->credential_idx].down;
}

static bool
is_full(const struct route_ask *ask, const struct route_entry *entry)
{
    const struct route_health *health;

    if (ask->health == NULL)
        return false;
    health = &ask->health[entry->credential_idx];
    return health->used_ppm >= USED_UP_PPM || health->load_ppm >= USED_UP_PPM;
}

bool
is_full_or_down(const struct route_ask *ask, const struct route_entry *entry)
{
    return is_down(ask, entry) || is_full(ask, entry);
}

bool
list_has_usable(const struct route_table *table, const struct route_ask *ask,
                const struct route_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (!is_down(ask, &table->entries[list->start + i]))
            return true;
    return false;
}

/* A number below total, which is not 0. */
static uint64_t
draw(uint64_t *rng_state, uint64_t total)
{
    return (uint64_t)((unsigned __int128)rng_next(rng_state) * total >> 64);
}

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
    return !is_taken(order, i) && !is_down(order->ask, &order->entries[i]) &&
           (order->full_too || !is_full(order->ask, &order->entries[i]));
}

/* The entry that a number below the list's whole weight falls on. */
static size_t
entry_of(const struct order *order, uint64_t drawn)
{
    size_t at = 0, left = order->count;

    /* Without a branch, which nobody could predict. */
    while (left > 1) {
        size_t half = left / 2;

        at += order->entries[at + half - 1].weight_end <= drawn ? half : 0;
        left -= half;
    }
    return at;
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
    return (struct route_merit){.health = &order->ask->health[order->entries[i].credential_idx],
                                .price_ppm = order->entries[i].cost_u,
                                .weight = order->entries[i].use_weight};
}

/* Of two that were drawn the better one; CONF_NONE when none of a weight is left. */
static int
take_weighted(struct order *order)
{
    int first = draw_weighted(order), second;
    struct route_merit a, b;

    if (first == CONF_NONE || order->ask->health == NULL || order->given >= COMPARED)
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

/* Of what is usable and left, as it stands: it has no weight. */
static int
take_rest(const struct order *order)
{
    for (size_t i = 0; i < order->count; i++)
        if (may_take(order, i))
            return (int)i;
    return CONF_NONE;
}

static int
take_up(struct order *order)
{
    int taken = take_weighted(order);

    return taken != CONF_NONE ? taken : take_rest(order);
}

/* Of those that are down, the one that failed longest ago. */
static int
take_down(const struct order *order)
{
    int best = CONF_NONE;
    uint64_t best_failed_ms = 0;

    for (size_t i = 0; i < order->count; i++) {
        uint64_t failed_ms;

        if (is_taken(order, i) || !is_down(order->ask, &order->entries[i]))
            continue;
        failed_ms = order->ask->health[order->entries[i].credential_idx].failed_at_ms;
        if (best == CONF_NONE || failed_ms < best_failed_ms) {
            best = (int)i;
            best_failed_ms = failed_ms;
        }
    }
    return best;
}

void
order_begin(struct order *order, const struct route_table *table, const struct route_ask *ask,
            const struct route_list *list, bool down)
{
    ASSERT(list->count > 0 && list->count <= CONF_CREDENTIAL_TOTAL_COUNT_MAX);
    order->ask = ask;
    order->entries = &table->entries[list->start];
    order->count = list->count;
    order->down = down;
    order->full_too = false;
    order->given = 0;
    /* Neither weights nor near equals come into it: the price is the same for all of the list, and what
     * is in that provider's cache costs less there. */
    order->affine = down ? CONF_NONE : affine_entry(ask, order->entries, order->count);
    memset(order->taken, 0, (list->count + 63) / 64 * sizeof(order->taken[0]));
}

int
order_next(struct order *order)
{
    int taken = order->affine;

    order->affine = CONF_NONE;
    if (taken == CONF_NONE)
        taken = order->down ? take_down(order) : take_up(order);
    if (taken == CONF_NONE && !order->down && !order->full_too) {
        order->full_too = true;
        taken = take_up(order);
    }
    if (taken != CONF_NONE)
        mark(order, taken, true);
    order->given++;
    return taken;
}

uint64_t
order_score(const struct order *order, int taken)
{
    struct route_merit merit = {.weight = order->entries[taken].use_weight};
    uint32_t cheapest = UINT32_MAX;

    for (size_t i = 0; i < order->count; i++)
        cheapest = MIN(cheapest, order->entries[i].cost_u);
    merit.price_ppm = route_price_ppm(order->entries[taken].cost_u, cheapest);
    if (order->ask->health != NULL)
        merit.health = &order->ask->health[order->entries[taken].credential_idx];
    return route_score(&merit);
}
