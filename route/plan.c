/*
 * From what was asked for to the plan: the name, the rules, the model, and its upstreams channel by
 * channel.
 *
 * A plan has room for a few candidates only. Those that are usable come first, in the order of
 * channels, and each channel leaves a place to those behind it that have somebody, so that a channel
 * with many upstreams that all fail does not keep a call from the next.
 */
#include <string.h>

#include "base/str.h"
#include "route/room.h"

const char *const route_result_name[] = {
    [ROUTE_OK] = "ok",
    [ROUTE_NO_MODEL] = "no-model",
    [ROUTE_MODEL_NOT_ALLOWED] = "model-not-allowed",
    [ROUTE_NO_SUCH_CHANNEL] = "no-such-channel",
    [ROUTE_TWO_CHANNELS] = "two-channels",
    [ROUTE_CHANNEL_NOT_ALLOWED] = "channel-not-allowed",
    [ROUTE_NO_UPSTREAM] = "no-upstream",
    [ROUTE_NO_FIT] = "no-fit",
    [ROUTE_ALL_DOWN] = "all-down",
};
_Static_assert(COUNT_OF(route_result_name) == ROUTE_RESULT_COUNT, "a new result needs a name");

#define LEFT_FOR_OTHERS_MAX 3u

/* ---- the name ---- */

static bool
is_model_or_auto(const struct conf *conf, struct str name)
{
    return conf_model_index(conf, name) != CONF_NONE || conf_auto_index(conf, name) != CONF_NONE;
}

struct str
route_split(const struct conf *conf, struct str asked, struct str *channel)
{
    size_t at = asked.len;

    *channel = STR_NONE;
    if (is_model_or_auto(conf, asked))
        return asked;
    while (at > 0 && asked.ptr[at - 1] != '@')
        at--;
    if (at < 2 || at == asked.len)
        return asked;

    struct str name = {asked.ptr, at - 1}, behind = {asked.ptr + at, asked.len - at};

    if (conf_channel_index(conf, behind) == CONF_NONE && !is_model_or_auto(conf, name))
        return asked;
    *channel = behind;
    return name;
}

/* ---- channels for a model ---- */

/* Of one model the terms are the same in all channels. Of two, any call must cost no more, whatever its
 * context, the service that serves it and the classes of its tokens. */
static bool
is_dearer(const struct conf *conf, const struct route_ask *ask, const struct place *place,
          const struct place *than)
{
    struct price price, other;

    if (place->model_idx == than->model_idx)
        return place_multiplier(conf, ask, place) > place_multiplier(conf, ask, than);
    price = place_price(conf, ask, place);
    other = place_price(conf, ask, than);
    return price_may_be_dearer(&price, &other);
}

bool
place_next(const struct route_table *table, const struct route_ask *ask, struct walk *walk)
{
    const struct channels *channels = walk->channels;

    while (walk->at < channels->count) {
        struct place place = {walk->model_idx, channels->at[walk->at++]};

        /* A key may name a channel that this snapshot does not have. */
        if (place.channel_idx >= table->conf->channel_count ||
            list_of(table, place.channel_idx, place.model_idx, list_asked(ask))->count == 0)
            continue;
        if (!walk->first_known) {
            walk->first = place;
            walk->first_known = true;
        }
        if (ask->no_dearer && is_dearer(table->conf, ask, &place, &walk->first)) {
            if (!walk->quiet)
                tell(ask, &(struct route_event){.step = ROUTE_STEP_CHANNEL,
                                                .out = ROUTE_OUT_DEARER,
                                                .rule_idx = CONF_NONE,
                                                .model_idx = place.model_idx,
                                                .channel_idx = place.channel_idx,
                                                .upstream_idx = CONF_NONE});
            continue;
        }
        walk->place = place;
        return true;
    }
    return false;
}

enum route_result
channel_choose(const struct route_table *table, const struct route_ask *ask,
               const struct channels *channels, size_t model_idx, uint16_t *channel_idx)
{
    struct walk walk = {
        .channels = channels, .model_idx = (uint16_t)model_idx, .quiet = true};
    bool found = false;

    while (place_next(table, ask, &walk)) {
        const struct route_list *list =
            list_of(table, walk.place.channel_idx, model_idx, list_asked(ask));

        if (!found)
            *channel_idx = walk.place.channel_idx;
        found = true;
        if (list_has_usable(table, ask, list)) {
            *channel_idx = walk.place.channel_idx;
            return ROUTE_OK;
        }
    }
    return found ? ROUTE_ALL_DOWN : ROUTE_NO_UPSTREAM;
}

/* ---- candidates ---- */

/* A model and those that may stand in for it, in the channels of the key. */
struct collect {
    const struct route_table *table;
    const struct route_ask *ask;
    const struct channels *channels;
    uint16_t model_idx;
    const struct conf_rule *rule; /* NULL: no fallback */
    struct route_plan *plan;
};

static void
tell_upstream(const struct collect *c, const struct place *place, uint16_t upstream_idx,
              enum route_out out)
{
    tell(c->ask, &(struct route_event){.step = ROUTE_STEP_UPSTREAM,
                                       .out = out,
                                       .rule_idx = CONF_NONE,
                                       .model_idx = place->model_idx,
                                       .channel_idx = place->channel_idx,
                                       .upstream_idx = upstream_idx});
}

/* Those of a channel that the table left out, for the trace. */
static void
tell_left_out(const struct collect *c, const struct place *place)
{
    const struct conf *conf = c->table->conf;
    const struct conf_channel *channel = &conf->channels[place->channel_idx];

    for (size_t i = 0; c->ask->trace != NULL && i < channel->use_count; i++) {
        uint16_t upstream_idx = channel->uses[i].upstream_idx;
        enum route_out out =
            route_upstream_out(conf, upstream_idx, place->model_idx, c->ask->protocol,
                               c->ask->service);

        if (out != ROUTE_IN)
            tell_upstream(c, place, upstream_idx, out);
    }
}

static const struct route_candidate *
find_planned(const struct route_plan *plan, uint16_t model_idx, const struct route_entry *entry)
{
    for (size_t i = 0; i < plan->candidate_count; i++)
        if (plan->candidates[i].model_idx == model_idx &&
            plan->candidates[i].upstream_idx == entry->upstream_idx &&
            plan->candidates[i].credential == entry->credential)
            return &plan->candidates[i];
    return NULL;
}

static void
candidate_add(const struct collect *c, const struct place *place, const struct price *price,
              const struct order *order, int taken)
{
    const struct route_entry *entry = &order->entries[taken];
    const struct route_name *name = &c->table->names[entry->name_idx];

    c->plan->candidates[c->plan->candidate_count++] =
        (struct route_candidate){.upstream_idx = entry->upstream_idx,
                                 .channel_idx = place->channel_idx,
                                 .model_idx = place->model_idx,
                                 .credential = entry->credential,
                                 .down = order->down,
                                 .price = *price,
                                 .score = c->ask->trace != NULL ? order_score(order, taken) : 0,
                                 .model_sent = name->sent,
                                 .model_json = name->json};
}

/* The conversation's last place goes before all others, unless it is in the first channel anyway, or
 * another is expected to cost less even without what is in the cache. */
static void
collect_affine(const struct collect *c)
{
    const struct conf *conf = c->table->conf;
    struct place old, first = {.model_idx = c->model_idx};
    int entry = affine_place(c->table, c->ask, c->channels, c->model_idx, &old);
    struct order order;
    struct price price;

    if (entry == CONF_NONE ||
        channel_choose(c->table, c->ask, c->channels, c->model_idx, &first.channel_idx) !=
            ROUTE_OK ||
        first.channel_idx == old.channel_idx ||
        affine_cost(conf, c->ask, &old, true) > affine_cost(conf, c->ask, &first, false))
        return;
    order_begin(&order, c->table, c->ask,
                list_of(c->table, old.channel_idx, old.model_idx, list_asked(c->ask)), false);
    price = place_price(conf, c->ask, &old);
    candidate_add(c, &old, &price, &order, entry);
}

static bool
is_wanted(const struct route_ask *ask, const struct route_entry *entry)
{
    return ask->only == NULL || (ask->only->upstream_idx == entry->upstream_idx &&
                                 ask->only->credential == entry->credential);
}

/* One channel's for one model, those that are down or those that are not, up to `room` in the plan. */
static void
collect_place(const struct collect *c, const struct place *place, bool down, size_t room)
{
    const struct route_list *list =
        list_of(c->table, place->channel_idx, place->model_idx, list_asked(c->ask));
    struct price price = place_price(c->table->conf, c->ask, place);
    struct route_plan *plan = c->plan;
    struct order order;

    order_begin(&order, c->table, c->ask, list, down);
    while (plan->candidate_count < room || c->ask->trace != NULL) {
        int taken = order_next(&order);
        const struct route_candidate *planned;
        const struct route_entry *entry;

        if (taken == CONF_NONE)
            break;
        entry = &order.entries[taken];
        if (!is_wanted(c->ask, entry))
            continue;
        planned = find_planned(plan, place->model_idx, entry);
        if (planned != NULL) {
            if (planned->channel_idx != place->channel_idx)
                tell_upstream(c, place, entry->upstream_idx, ROUTE_OUT_REPEATED);
            continue;
        }
        if (plan->candidate_count >= room) {
            tell_upstream(c, place, entry->upstream_idx, ROUTE_OUT_TOO_MANY);
            continue;
        }
        candidate_add(c, place, &price, &order, taken);
    }
}

/* The model itself, then its fallbacks. False after the last. */
static bool
model_next(const struct collect *c, size_t *at, uint16_t *model_idx)
{
    const struct conf *conf = c->table->conf;
    size_t i;

    if ((*at)++ == 0) {
        *model_idx = c->model_idx;
        return true;
    }
    while (c->rule != NULL && (i = *at - 2) < c->rule->fallback_count) {
        const struct conf_model *model = &conf->models[c->rule->fallbacks[i]];

        *model_idx = c->rule->fallbacks[i];
        if (fallback_out(c->ask, &conf->models[c->model_idx], model) == ROUTE_IN)
            return true;
        (*at)++;
    }
    return false;
}

/* Is there somebody usable behind this channel, in how many of the places that follow? */
static unsigned
places_behind(const struct collect *c, struct walk walk, size_t at)
{
    unsigned count = 0;

    walk.quiet = true;
    do {
        while (count < LEFT_FOR_OTHERS_MAX && place_next(c->table, c->ask, &walk))
            count += list_has_usable(c->table, c->ask,
                                     list_of(c->table, walk.place.channel_idx,
                                             walk.place.model_idx, list_asked(c->ask)));
        walk.at = 0;
    } while (count < LEFT_FOR_OTHERS_MAX && model_next(c, &at, &walk.model_idx));
    return count;
}

static void
collect_all(const struct collect *c, bool down)
{
    struct walk walk = {.channels = c->channels, .quiet = down};

    for (size_t at = 0; model_next(c, &at, &walk.model_idx);) {
        walk.at = 0;
        while (place_next(c->table, c->ask, &walk)) {
            size_t room = ROUTE_CANDIDATE_COUNT_MAX;

            if (!down)
                room -= places_behind(c, walk, at);
            if (!down)
                tell_left_out(c, &walk.place);
            collect_place(c, &walk.place, down, room);
        }
    }
}

/* Says of the rule's fallbacks which are out. */
static void
tell_fallbacks(const struct collect *c)
{
    const struct conf *conf = c->table->conf;

    for (size_t i = 0; c->rule != NULL && i < c->rule->fallback_count; i++)
        tell(c->ask,
             &(struct route_event){
                 .step = ROUTE_STEP_MODEL,
                 .out = fallback_out(c->ask, &conf->models[c->model_idx],
                                     &conf->models[c->rule->fallbacks[i]]),
                 .rule_idx = (int)(c->rule - conf->rules),
                 .model_idx = c->rule->fallbacks[i],
                 .channel_idx = CONF_NONE,
                 .upstream_idx = CONF_NONE});
}

static enum route_result
collect(const struct collect *c)
{
    size_t usable;

    c->plan->candidate_count = 0;
    tell_fallbacks(c);
    collect_affine(c);
    collect_all(c, false);
    usable = c->plan->candidate_count;
    if (usable < ROUTE_CANDIDATE_COUNT_MAX || c->ask->trace != NULL)
        collect_all(c, true);
    if (c->plan->candidate_count == 0)
        return ROUTE_NO_UPSTREAM;
    return usable > 0 ? ROUTE_OK : ROUTE_ALL_DOWN;
}

/* ---- the question ---- */

/* False, and both are CONF_NONE, when there is no such name. */
static bool
name_find(const struct conf *conf, struct asked *asked)
{
    asked->auto_idx = CONF_NONE;
    asked->model_idx = conf_model_index(conf, asked->name);
    if (asked->model_idx == CONF_NONE)
        asked->auto_idx = conf_auto_index(conf, asked->name);
    return asked->model_idx != CONF_NONE || asked->auto_idx != CONF_NONE;
}

static enum route_result
asked_read(const struct conf *conf, const struct route_ask *ask, struct asked *asked)
{
    struct str behind;

    asked->name = ask->model;
    asked->channel = ask->channel_named;
    if (name_find(conf, asked))
        return ROUTE_OK;
    asked->name = route_split(conf, ask->model, &behind);
    if (behind.ptr == NULL)
        return ROUTE_OK;
    (void)name_find(conf, asked);
    if (asked->channel.ptr != NULL && !str_eq(asked->channel, behind))
        return ROUTE_TWO_CHANNELS;
    asked->channel = behind;
    return ROUTE_OK;
}

static enum route_result
choose_model(const struct route_table *table, const struct route_ask *ask,
             const struct channels *channels, const struct asked *asked, struct route_plan *plan)
{
    struct collect c = {
        .table = table,
        .ask = ask,
        .channels = channels,
        .rule = plan->rule_idx == CONF_NONE ? NULL : &table->conf->rules[plan->rule_idx],
        .plan = plan,
        .model_idx = (uint16_t)asked->model_idx,
    };

    plan->auto_idx = asked->auto_idx;
    if (asked->auto_idx != CONF_NONE) {
        enum route_result result =
            auto_choose(table, ask, channels, asked->auto_idx, &c.model_idx);

        if (result != ROUTE_OK && result != ROUTE_ALL_DOWN)
            return result;
    }
    plan->model_idx = c.model_idx;
    return collect(&c);
}

enum route_result
route_choose(const struct route_table *table, const struct route_ask *ask, struct route_plan *plan)
{
    const struct conf *conf = table->conf;
    struct asked asked;
    struct channels channels;
    enum route_result result;

    ASSERT((unsigned)ask->protocol < CONF_PROTOCOL_COUNT);
    plan->auto_idx = plan->rule_idx = CONF_NONE;
    result = asked_read(conf, ask, &asked);
    if (result != ROUTE_OK)
        return result;
    if (asked.model_idx != CONF_NONE && !model_allowed(ask, &conf->models[asked.model_idx]))
        return ROUTE_MODEL_NOT_ALLOWED;
    plan->rule_idx = rule_find(table, ask, &asked);
    if (plan->rule_idx != CONF_NONE)
        rule_model(table, ask, &conf->rules[plan->rule_idx], &asked);
    if (asked.model_idx == CONF_NONE && asked.auto_idx == CONF_NONE)
        return ROUTE_NO_MODEL;
    result = channels_for(table, ask, asked.channel, &channels);
    if (result != ROUTE_OK)
        return result;
    if (plan->rule_idx != CONF_NONE && asked.channel.ptr == NULL)
        rule_channels(&conf->rules[plan->rule_idx], &channels);
    return choose_model(table, ask, &channels, &asked, plan);
}
