/*
 * The table is a list of upstreams for every channel, model and protocol, so that a call's choice
 * is a look-up and a draw. Lists hold indexes only; the names that upstreams know a model by stand
 * once each, ready as JSON.
 *
 * Choosing for an auto name: of the models that the key may use and that its channels serve in the
 * caller's protocol, the one with the highest
 *
 *     cost weight * (cheapest / its price) + quality weight * (its quality / 100)
 *
 * where the price is what three tokens of input and one of output cost in the channel that the
 * call would go to, and the cheapest is that of all these models. Latency counts for all alike.
 * A tie goes to the model that stands first in the file. Models for embeddings are left out.
 */
#include "route/route.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/jw.h"
#include "base/rng.h"
#include "base/str.h"

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

struct route_name {
    struct str sent;
    struct str json;
};

struct route_entry {
    uint16_t upstream_idx;
    uint32_t weight;
    uint32_t name_idx;
};

struct route_list {
    size_t start; /* in entries */
    uint32_t count;
};

struct route_table {
    const struct conf *conf;
    struct route_list *lists; /* by channel, model and protocol */
    struct route_entry *entries;
    size_t entry_count;
    struct route_name *names; /* the models' own, then those of renames */
    size_t name_count;
    char *json; /* what names[].json point into */
    uint16_t *public_channels;
    size_t public_count;
};

/* ---- making it ----------------------------------------------------------------------------- */

static size_t
list_idx(const struct conf *conf, size_t channel_idx, size_t model_idx, unsigned protocol)
{
    return (channel_idx * conf->model_count + model_idx) * CONF_PROTOCOL_COUNT + protocol;
}

static const struct route_list *
list_of(const struct route_table *table, size_t channel_idx, size_t model_idx, unsigned protocol)
{
    return &table->lists[list_idx(table->conf, channel_idx, model_idx, protocol)];
}

static size_t
rename_start(const struct conf *conf, size_t upstream_idx)
{
    size_t start = conf->model_count;

    for (size_t i = 0; i < upstream_idx; i++)
        start += conf->upstreams[i].rename_count;
    return start;
}

/* Index in names of what the upstream calls the model. */
static uint32_t
name_for(const struct conf *conf, size_t upstream_idx, size_t model_idx)
{
    const struct conf_upstream *upstream = &conf->upstreams[upstream_idx];

    for (size_t i = 0; i < upstream->rename_count; i++)
        if (str_eq(upstream->renames[i].model, conf->models[model_idx].name))
            return (uint32_t)(rename_start(conf, upstream_idx) + i);
    return (uint32_t)model_idx;
}

static bool
names_make(struct route_table *table)
{
    const struct conf *conf = table->conf;
    size_t at = 0, start = 0;
    struct buf buf;
    struct jw jw;

    table->name_count = rename_start(conf, conf->upstream_count);
    table->names = calloc(MAX(table->name_count, (size_t)1), sizeof(*table->names));
    if (table->names == NULL)
        return false;
    for (size_t i = 0; i < conf->model_count; i++)
        table->names[at++].sent = conf->models[i].name;
    for (size_t i = 0; i < conf->upstream_count; i++)
        for (size_t k = 0; k < conf->upstreams[i].rename_count; k++)
            table->names[at++].sent = conf->upstreams[i].renames[k].model_sent;
    ASSERT(at == table->name_count);
    buf_init(&buf, SIZE_MAX / 2);
    for (size_t i = 0; i < table->name_count; i++) {
        jw_init(&jw, &buf);
        jw_str(&jw, table->names[i].sent);
        table->names[i].json.len = buf.len - start;
        start = buf.len;
    }
    table->json = buf.ptr;
    start = 0;
    for (size_t i = 0; i < table->name_count && !buf.failed; i++) {
        table->names[i].json.ptr = table->json + start;
        start += table->names[i].json.len;
    }
    return !buf.failed;
}

static bool
upstream_speaks(const struct conf_upstream *upstream, unsigned protocol)
{
    return upstream->disabled_reason == NULL &&
           (upstream->protocols & CONF_PROTOCOL_BIT(protocol)) != 0;
}

/* Does each upstream serve each model: globs are matched once. */
static bool *
served_make(const struct conf *conf)
{
    bool *served = calloc(MAX(conf->upstream_count * conf->model_count, (size_t)1), 1);

    for (size_t i = 0; i < conf->upstream_count && served != NULL; i++)
        for (size_t k = 0; k < conf->model_count; k++)
            served[i * conf->model_count + k] =
                conf_upstream_serves(&conf->upstreams[i], &conf->models[k]);
    return served;
}

/* One channel and model: into entries when they are there, else only counted. */
static void
lists_fill(struct route_table *table, const bool *served, size_t channel_idx, size_t model_idx)
{
    const struct conf *conf = table->conf;
    const struct conf_channel *channel = &conf->channels[channel_idx];

    for (unsigned protocol = 0; protocol < CONF_PROTOCOL_COUNT; protocol++) {
        struct route_list *list = &table->lists[list_idx(conf, channel_idx, model_idx, protocol)];

        *list = (struct route_list){.start = table->entry_count};
        for (size_t i = 0; i < channel->use_count; i++) {
            uint16_t upstream_idx = channel->uses[i].upstream_idx;

            if (!served[upstream_idx * conf->model_count + model_idx] ||
                !upstream_speaks(&conf->upstreams[upstream_idx], protocol))
                continue;
            if (table->entries != NULL)
                table->entries[table->entry_count] =
                    (struct route_entry){.upstream_idx = upstream_idx,
                                         .weight = channel->uses[i].weight,
                                         .name_idx = name_for(conf, upstream_idx, model_idx)};
            table->entry_count++;
            list->count++;
        }
    }
}

static bool
lists_make(struct route_table *table)
{
    const struct conf *conf = table->conf;
    size_t list_count = conf->channel_count * conf->model_count * CONF_PROTOCOL_COUNT;
    bool *served = served_make(conf);

    table->lists = calloc(MAX(list_count, (size_t)1), sizeof(*table->lists));
    if (served == NULL || table->lists == NULL)
        goto free_served;
    for (int pass = 0; pass < 2; pass++) { /* count, then fill */
        size_t count = table->entry_count;

        if (pass == 1) {
            table->entries = calloc(MAX(count, (size_t)1), sizeof(*table->entries));
            if (table->entries == NULL)
                goto free_served;
        }
        table->entry_count = 0;
        for (size_t i = 0; i < conf->channel_count; i++)
            for (size_t k = 0; k < conf->model_count; k++)
                lists_fill(table, served, i, k);
        ASSERT(pass == 0 || table->entry_count == count);
    }

free_served:
    free(served);
    return table->entries != NULL;
}

static bool
public_make(struct route_table *table)
{
    const struct conf *conf = table->conf;

    table->public_channels =
        calloc(MAX(conf->channel_count, (size_t)1), sizeof(*table->public_channels));
    for (size_t i = 0; i < conf->channel_count && table->public_channels != NULL; i++)
        if (conf->channels[i].is_public)
            table->public_channels[table->public_count++] = (uint16_t)i;
    return table->public_channels != NULL;
}

struct route_table *
route_table_make(const struct conf *conf)
{
    struct route_table *table = calloc(1, sizeof(*table));

    if (table == NULL)
        return NULL;
    table->conf = conf;
    if (!names_make(table) || !lists_make(table) || !public_make(table))
        route_table_free(&table);
    return table;
}

void
route_table_free(struct route_table **table)
{
    struct route_table *ended = *table;

    if (ended == NULL)
        return;
    *table = NULL;
    free(ended->lists);
    free(ended->entries);
    free(ended->names);
    free(ended->json);
    free(ended->public_channels);
    free(ended);
}

const struct conf *
route_table_conf(const struct route_table *table)
{
    return table->conf;
}

/* ---- rights -------------------------------------------------------------------------------- */

/* The channels that a call may go to, in order. */
struct channels {
    const uint16_t *at;
    size_t count;
    uint16_t one; /* what at points to when the caller named it */
};

static enum route_result
channels_for(const struct route_table *table, const struct route_ask *ask, struct channels *out)
{
    int named;

    out->at = ask->channel_count > 0 ? ask->channels : table->public_channels;
    out->count = ask->channel_count > 0 ? ask->channel_count : table->public_count;
    if (ask->channel_named.ptr == NULL)
        return out->count > 0 ? ROUTE_OK : ROUTE_CHANNEL_NOT_ALLOWED;
    named = conf_channel_index(table->conf, ask->channel_named);
    if (named == CONF_NONE)
        return ROUTE_NO_SUCH_CHANNEL;
    for (size_t i = 0; i < out->count; i++)
        if (out->at[i] == named) {
            out->one = (uint16_t)named;
            out->at = &out->one;
            out->count = 1;
            return ROUTE_OK;
        }
    return ROUTE_CHANNEL_NOT_ALLOWED;
}

static bool
model_allowed(const struct route_ask *ask, const struct conf_model *model)
{
    for (size_t i = 0; i < ask->model_glob_count; i++) {
        if (str_glob(ask->model_globs[i], model->name))
            return true;
        for (size_t k = 0; k < model->aliases.count; k++)
            if (str_glob(ask->model_globs[i], model->aliases.at[k]))
                return true;
    }
    return ask->model_glob_count == 0;
}

/* ---- the channel and the order in it ------------------------------------------------------- */

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
static enum route_result
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
candidates_order(const struct route_table *table, const struct route_ask *ask,
                 const struct route_list *list, struct route_plan *plan)
{
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
                                     .down = is_down(ask, entry),
                                     .model_sent = table->names[entry->name_idx].sent,
                                     .model_json = table->names[entry->name_idx].json};
    }
}

static void
plan_make(const struct route_table *table, const struct route_ask *ask, uint16_t model_idx,
          uint16_t channel_idx, struct route_plan *plan)
{
    const struct conf *conf = table->conf;

    plan->model_idx = model_idx;
    plan->channel_idx = channel_idx;
    plan->price = price_of(&conf->models[model_idx], &conf->channels[channel_idx]);
    candidates_order(table, ask, list_of(table, channel_idx, model_idx, ask->protocol), plan);
}

/* ---- auto names ---------------------------------------------------------------------------- */

static bool
auto_has(const struct conf_auto *chooser, const struct conf_model *model)
{
    if (model->can & (1u << CONF_CAN_EMBEDDINGS))
        return false;
    for (size_t i = 0; i < chooser->models.count; i++)
        if (str_glob(chooser->models.at[i], model->name))
            return true;
    return false;
}

/* What four tokens, one of them output, cost in 10^-12 credits. */
static uint64_t
blended_price(const struct conf_model *model, const struct conf_channel *channel)
{
    uint64_t list = 3 * (uint64_t)model->rates.u_per_mtok[CONF_INPUT] +
                    (uint64_t)model->rates.u_per_mtok[CONF_OUTPUT];
    unsigned __int128 price =
        (unsigned __int128)list * (uint64_t)channel->multiplier_u[model->currency] / CONF_MICRO;

    return price > UINT64_MAX / CONF_MICRO ? UINT64_MAX / CONF_MICRO : (uint64_t)price;
}

static uint64_t
auto_score(const struct conf_auto *chooser, const struct conf_model *model, uint64_t price,
           uint64_t cheapest)
{
    uint64_t cheap_u = price == cheapest ? CONF_MICRO : cheapest * CONF_MICRO / price;

    return (uint64_t)chooser->cost_u * cheap_u +
           (uint64_t)chooser->quality_u * (uint64_t)model->quality * (CONF_MICRO / 100);
}

/* One look at all models of the auto: the best by score against `cheapest`, and the cheapest. */
struct auto_pick {
    enum route_result result; /* of the best; else why there is none */
    size_t model_idx;
    uint16_t channel_idx;
    uint64_t score;
    uint64_t cheapest;
};

static void
auto_look(const struct route_table *table, const struct route_ask *ask,
          const struct channels *channels, const struct conf_auto *chooser, struct auto_pick *pick)
{
    const struct conf *conf = table->conf;
    uint64_t cheapest = pick->cheapest;

    pick->result = ROUTE_MODEL_NOT_ALLOWED;
    for (size_t i = 0; i < conf->model_count; i++) {
        enum route_result result;
        uint16_t channel_idx;
        uint64_t price, score;

        if (!auto_has(chooser, &conf->models[i]) || !model_allowed(ask, &conf->models[i]))
            continue;
        result = channel_choose(table, ask, channels, i, &channel_idx);
        if (result == ROUTE_NO_UPSTREAM) {
            if (pick->result == ROUTE_MODEL_NOT_ALLOWED)
                pick->result = ROUTE_NO_UPSTREAM;
            continue;
        }
        price = blended_price(&conf->models[i], &conf->channels[channel_idx]);
        score = auto_score(chooser, &conf->models[i], price, MIN(cheapest, price));
        pick->cheapest = MIN(pick->cheapest, price);
        /* Usable ones before those that are down. */
        if (pick->result == ROUTE_OK && (result != ROUTE_OK || score <= pick->score))
            continue;
        if (pick->result == ROUTE_ALL_DOWN && result == ROUTE_ALL_DOWN && score <= pick->score)
            continue;
        *pick = (struct auto_pick){.result = result,
                                   .model_idx = i,
                                   .channel_idx = channel_idx,
                                   .score = score,
                                   .cheapest = pick->cheapest};
    }
}

static enum route_result
auto_choose(const struct route_table *table, const struct route_ask *ask,
            const struct channels *channels, int auto_idx, struct route_plan *plan)
{
    const struct conf_auto *chooser = &table->conf->autos[auto_idx];
    struct auto_pick pick = {.cheapest = UINT64_MAX};

    auto_look(table, ask, channels, chooser, &pick); /* for the cheapest price */
    if (pick.result == ROUTE_OK || pick.result == ROUTE_ALL_DOWN) {
        auto_look(table, ask, channels, chooser, &pick);
        plan->auto_idx = auto_idx;
        plan_make(table, ask, (uint16_t)pick.model_idx, pick.channel_idx, plan);
    }
    return pick.result;
}

/* ---- the questions ------------------------------------------------------------------------- */

enum route_result
route_choose(const struct route_table *table, const struct route_ask *ask, struct route_plan *plan)
{
    const struct conf *conf = table->conf;
    int model_idx = conf_model_index(conf, ask->model);
    int auto_idx = model_idx == CONF_NONE ? conf_auto_index(conf, ask->model) : CONF_NONE;
    struct channels channels;
    enum route_result result;
    uint16_t channel_idx;

    ASSERT((unsigned)ask->protocol < CONF_PROTOCOL_COUNT);
    if (model_idx == CONF_NONE && auto_idx == CONF_NONE)
        return ROUTE_NO_MODEL;
    if (model_idx != CONF_NONE && !model_allowed(ask, &conf->models[model_idx]))
        return ROUTE_MODEL_NOT_ALLOWED;
    result = channels_for(table, ask, &channels);
    if (result != ROUTE_OK)
        return result;
    if (auto_idx != CONF_NONE)
        return auto_choose(table, ask, &channels, auto_idx, plan);
    result = channel_choose(table, ask, &channels, (size_t)model_idx, &channel_idx);
    if (result == ROUTE_NO_UPSTREAM)
        return result;
    plan->auto_idx = CONF_NONE;
    plan_make(table, ask, (uint16_t)model_idx, channel_idx, plan);
    return result;
}

static unsigned
protocols_in(const struct route_table *table, size_t channel_idx, size_t model_idx)
{
    unsigned protocols = 0;

    for (unsigned protocol = 0; protocol < CONF_PROTOCOL_COUNT; protocol++)
        if (list_of(table, channel_idx, model_idx, protocol)->count > 0)
            protocols |= CONF_PROTOCOL_BIT(protocol);
    return protocols;
}

static bool
model_visible(const struct route_table *table, const struct route_ask *ask,
              const struct channels *channels, size_t model_idx)
{
    if (!model_allowed(ask, &table->conf->models[model_idx]))
        return false;
    for (size_t i = 0; i < channels->count; i++)
        if (channels->at[i] < table->conf->channel_count &&
            protocols_in(table, channels->at[i], model_idx) != 0)
            return true;
    return false;
}

size_t
route_models(const struct route_table *table, const struct route_ask *ask, uint16_t *out,
             size_t cap)
{
    struct channels channels;
    size_t count = 0;

    if (channels_for(table, ask, &channels) != ROUTE_OK)
        return 0;
    for (size_t i = 0; i < table->conf->model_count; i++) {
        if (!model_visible(table, ask, &channels, i))
            continue;
        if (count < cap)
            out[count] = (uint16_t)i;
        count++;
    }
    return count;
}

static bool
auto_visible(const struct route_table *table, const struct route_ask *ask,
             const struct channels *channels, const struct conf_auto *chooser)
{
    for (size_t i = 0; i < table->conf->model_count; i++)
        if (auto_has(chooser, &table->conf->models[i]) && model_visible(table, ask, channels, i))
            return true;
    return false;
}

size_t
route_autos(const struct route_table *table, const struct route_ask *ask, uint16_t *out, size_t cap)
{
    struct channels channels;
    size_t count = 0;

    if (channels_for(table, ask, &channels) != ROUTE_OK)
        return 0;
    for (size_t i = 0; i < table->conf->auto_count; i++) {
        if (!auto_visible(table, ask, &channels, &table->conf->autos[i]))
            continue;
        if (count < cap)
            out[count] = (uint16_t)i;
        count++;
    }
    return count;
}

unsigned
route_model_protocols(const struct route_table *table, uint16_t model_idx)
{
    unsigned protocols = 0;

    for (size_t i = 0; i < table->conf->channel_count; i++)
        protocols |= protocols_in(table, i, model_idx);
    return protocols;
}
