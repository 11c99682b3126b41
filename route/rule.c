/*
 * Routing rules: the first whose conditions all hold decides. What it does is bounded by what the key
 * may use: a model that the key may not use is not put in the place of the one asked for, and of the
 * rule's channels those remain that are the key's; where none remains the key's own are taken.
 */
#include "base/str.h"
#include "route/room.h"

static bool
globs_match(const struct conf_strs *globs, struct str s)
{
    for (size_t i = 0; i < globs->count; i++)
        if (str_glob(globs->at[i], s))
            return true;
    return globs->count == 0;
}

static bool
model_matches(const struct conf *conf, const struct conf_strs *globs, const struct asked *asked)
{
    const struct conf_model *model;

    if (globs_match(globs, asked->name))
        return true;
    if (asked->model_idx == CONF_NONE)
        return false;
    model = &conf->models[asked->model_idx];
    if (globs_match(globs, model->name))
        return true;
    for (size_t i = 0; i < model->aliases.count; i++)
        if (globs_match(globs, model->aliases.at[i]))
            return true;
    return false;
}

/* Of a name that is no model of the file: whatever the channel serves. */
static bool
may_be(const struct conf *conf, const struct asked *asked, size_t model_idx)
{
    if (asked->model_idx != CONF_NONE)
        return (size_t)asked->model_idx == model_idx;
    return asked->auto_idx == CONF_NONE ||
           auto_has(&conf->autos[asked->auto_idx], &conf->models[model_idx]);
}

/* Somebody in the channel serves it, and all of them are down or at their limit. */
static bool
is_exhausted(const struct route_table *table, const struct route_ask *ask,
             const struct asked *asked, size_t channel_idx)
{
    const struct conf *conf = table->conf;
    bool any = false;

    for (size_t i = 0; i < conf->model_count; i++) {
        const struct route_list *list = list_of(table, channel_idx, i, list_asked(ask));

        if (list->count == 0 || !may_be(conf, asked, i))
            continue;
        any = true;
        for (size_t k = 0; k < list->count; k++)
            if (!is_full_or_down(ask, &table->entries[list->start + k]))
                return false;
    }
    return any;
}

/* The first condition that does not hold, or NULL. */
static const char *
missed_condition(const struct route_table *table, const struct route_ask *ask,
                 const struct asked *asked, const struct conf_rule *rule)
{
    if (!model_matches(table->conf, &rule->models, asked))
        return "model";
    if (!globs_match(&rule->projects, ask->project))
        return "project";
    if (!globs_match(&rule->keys, ask->key_name))
        return "key";
    if ((rule->needs & ~ask->needs.can) != 0)
        return "needs";
    if (rule->context_above != 0 && ask->needs.input_tokens <= rule->context_above)
        return "context-above";
    if (rule->context_below != 0 && ask->needs.input_tokens >= rule->context_below)
        return "context-below";
    if (rule->has_hours && !zone_hours_hold(&rule->zone, rule->hours, ask->wall_us))
        return "hours";
    if (rule->exhausted_idx != CONF_NONE &&
        !is_exhausted(table, ask, asked, (size_t)rule->exhausted_idx))
        return "exhausted";
    return NULL;
}

int
rule_find(const struct route_table *table, const struct route_ask *ask, const struct asked *asked)
{
    const struct conf *conf = table->conf;

    for (size_t i = 0; i < conf->rule_count; i++) {
        const char *missed = missed_condition(table, ask, asked, &conf->rules[i]);

        tell(ask, &(struct route_event){.step = ROUTE_STEP_RULE,
                                        .out = missed == NULL ? ROUTE_IN : ROUTE_OUT_CONDITION,
                                        .rule_idx = (int)i,
                                        .model_idx = CONF_NONE,
                                        .channel_idx = CONF_NONE,
                                        .upstream_idx = CONF_NONE,
                                        .condition = missed});
        if (missed == NULL)
            return (int)i;
    }
    return CONF_NONE;
}

void
rule_model(const struct route_table *table, const struct route_ask *ask,
           const struct conf_rule *rule, struct asked *asked)
{
    const struct conf *conf = table->conf;

    if (rule->to_model_idx != CONF_NONE) {
        bool allowed = model_allowed(ask, &conf->models[rule->to_model_idx]);

        tell(ask, &(struct route_event){.step = ROUTE_STEP_MODEL,
                                        .out = allowed ? ROUTE_IN : ROUTE_OUT_NOT_ALLOWED,
                                        .rule_idx = (int)(rule - conf->rules),
                                        .model_idx = rule->to_model_idx,
                                        .channel_idx = CONF_NONE,
                                        .upstream_idx = CONF_NONE});
        if (!allowed)
            return;
    }
    if (rule->to_model_idx == CONF_NONE && rule->to_auto_idx == CONF_NONE)
        return;
    asked->model_idx = rule->to_model_idx;
    asked->auto_idx = rule->to_auto_idx;
}

void
rule_channels(const struct conf_rule *rule, struct channels *channels)
{
    size_t count = 0;

    for (size_t i = 0; i < rule->to_channel_count; i++)
        for (size_t k = 0; k < channels->count; k++)
            if (channels->at[k] == rule->to_channels[i] && count < COUNT_OF(channels->own))
                channels->own[count++] = rule->to_channels[i];
    if (count == 0)
        return;
    channels->at = channels->own;
    channels->count = count;
}

enum route_out
fallback_out(const struct route_ask *ask, const struct conf_model *model,
             const struct conf_model *fallback)
{
    if (!ask->sibling)
        return ROUTE_OUT_SIBLING;
    if (!str_eq(model->family, fallback->family))
        return ROUTE_OUT_FAMILY;
    if (model == fallback)
        return ROUTE_OUT_REPEATED;
    if (!model_allowed(ask, fallback))
        return ROUTE_OUT_NOT_ALLOWED;
    return fit_out(ask, fallback, NULL);
}
