/*
 * Routing rules: what each refers to, and whether it can ever match.
 *
 * A rule is shadowed when an earlier one matches whatever it would match: each condition of the
 * earlier one is implied by the later one's. That is decided condition by condition and never says so
 * wrongly; what only several rules together take away from a later one is not found.
 */
#include "conf/build.h"

#include <string.h>

#include "base/str.h"

static void
rule_hours(struct load *load, const struct raw_section *section, const struct draft_rule *draft,
           struct conf_rule *out)
{
    struct str to, from = str_split(draft->hours, '-', &to);

    if (draft->hours.ptr == NULL) {
        if (raw_option(section, "zone") != NULL)
            load_fault(load, raw_place(section, "zone"), "zone: has no effect without hours");
        return;
    }
    out->has_hours = true;
    if (to.ptr == NULL || !zone_clock_parse(str_trim(from), &out->hours.from_min) ||
        !zone_clock_parse(str_trim(to), &out->hours.to_min))
        load_fault(load, raw_place(section, "hours"),
                   "hours: \"%.*s\" is not a part of the day, such as 22:00-06:00",
                   STR_ARGS(draft->hours));
    else if (out->hours.from_min == out->hours.to_min)
        load_fault(load, raw_place(section, "hours"),
                   "hours: begin and end are the same; leave hours out for the whole day");
    zone_of(load, section, draft->zone, &out->zone);
}

void
build_rule(struct load *load, struct raw_section *section, void *slot)
{
    struct draft_rule draft = {0};
    struct conf_rule *out = slot;

    build_fill(load, section, &draft);
    *out = draft.out;
    out->name = section->title;
    out->exhausted_idx = out->to_model_idx = out->to_auto_idx = CONF_NONE;
    rule_hours(load, section, &draft, out);
    if (out->context_above != 0 && out->context_below != 0 &&
        out->context_above + 1 >= out->context_below)
        load_fault(load, raw_place(section, "context-above"),
                   "%s can never match: nothing is above %llu and below %llu",
                   section_label(section), (unsigned long long)out->context_above,
                   (unsigned long long)out->context_below);
    if (draft.to_model.ptr == NULL && draft.to_channel.count == 0 && draft.fallback.count == 0 &&
        !section->damaged)
        load_fault(load, section->at, "%s: does nothing; state to-model, to-channel or fallback",
                   section_label(section));
}

/* ---- references ---------------------------------------------------------------------------- */

static int
rule_channel(struct load *load, const char *key, const struct raw_value *value)
{
    const struct conf *conf = load->conf;
    int idx = map_get(&conf->memory->channels, value->text);
    struct nearest nearest = {STR_NONE, 0};

    if (idx != CONF_NONE)
        return idx;
    for (size_t i = 0; i < conf->channel_count; i++)
        nearest_try(&nearest, value->text, conf->channels[i].name);
    load_fault(load, value->at, "%s: no channel \"%.*s\"%s", key, STR_ARGS(value->text),
               nearest_hint(&nearest));
    return CONF_NONE;
}

static const char *
model_nearest(const struct load *load, struct str name, bool autos)
{
    const struct conf *conf = load->conf;
    struct nearest nearest = {STR_NONE, 0};

    for (size_t i = 0; i < conf->model_count; i++) {
        nearest_try(&nearest, name, conf->models[i].name);
        for (size_t k = 0; k < conf->models[i].aliases.count; k++)
            nearest_try(&nearest, name, conf->models[i].aliases.at[k]);
    }
    for (size_t i = 0; autos && i < conf->auto_count; i++)
        nearest_try(&nearest, name, conf->autos[i].name);
    return nearest_hint(&nearest);
}

static bool
has_byte(struct str s, char c)
{
    return str_find(s, c, 0) < s.len;
}

static bool
is_model_or_auto(const struct conf *conf, struct str name)
{
    return map_get(&conf->memory->models, name) != CONF_NONE ||
           map_get(&conf->memory->autos, name) != CONF_NONE;
}

/* What is no glob is a name; one that nobody has is a slip, since it would never match. */
static void
rule_models(struct load *load, const struct raw_section *section)
{
    const struct raw_option *option = raw_option(section, "model");

    for (const struct raw_value *v = option != NULL ? option->values : NULL; v != NULL; v = v->next)
        if (!has_byte(v->text, '*') && !has_byte(v->text, '?') &&
            !is_model_or_auto(load->conf, v->text))
            load_fault(load, v->at,
                       "model: no model or auto \"%.*s\", nor a glob such as \"%.*s*\"%s",
                       STR_ARGS(v->text), STR_ARGS(v->text), model_nearest(load, v->text, true));
}

/* "model@channel", as callers may write it: the channel has an option of its own here. */
static bool
rule_to_model_suffix(struct load *load, const struct raw_value *value)
{
    const struct conf *conf = load->conf;
    struct str channel = STR_NONE, name = value->text;
    struct nearest nearest = {STR_NONE, 0};

    while (name.len > 0 && name.ptr[name.len - 1] != '@')
        name.len--;
    if (name.len < 2)
        return false;
    channel = (struct str){name.ptr + name.len, value->text.len - name.len};
    name.len--;
    if (!is_model_or_auto(conf, name))
        return false;
    for (size_t i = 0; i < conf->channel_count; i++)
        nearest_try(&nearest, channel, conf->channels[i].name);
    if (nearest.best.ptr != NULL)
        channel = nearest.best;
    load_fault(load, value->at,
               "to-model: takes no channel; write to-model = \"%.*s\" to-channel = {\"%.*s\"}",
               STR_ARGS(name), STR_ARGS(channel));
    return true;
}

static void
rule_to_model(struct load *load, const struct raw_section *section, struct conf_rule *rule)
{
    const struct raw_option *option = raw_option(section, "to-model");
    const struct raw_value *value = option != NULL ? option->values : NULL;

    if (value == NULL)
        return;
    rule->to_model_idx = map_get(&load->conf->memory->models, value->text);
    if (rule->to_model_idx == CONF_NONE)
        rule->to_auto_idx = map_get(&load->conf->memory->autos, value->text);
    if (rule->to_model_idx == CONF_NONE && rule->to_auto_idx == CONF_NONE &&
        !rule_to_model_suffix(load, value))
        load_fault(load, value->at, "to-model: no model or auto \"%.*s\"%s", STR_ARGS(value->text),
                   model_nearest(load, value->text, true));
}

/* Indexes of what a list names, by `find`, each once. */
static const uint16_t *
rule_list(struct load *load, const struct raw_section *section, const char *key,
          int (*find)(struct load *load, const char *key, const struct raw_value *value),
          size_t *count)
{
    const struct raw_option *option = raw_option(section, key);
    uint16_t *list = option == NULL ? NULL : load_alloc(load, option->value_count * sizeof(*list));

    *count = 0;
    for (const struct raw_value *v = list != NULL ? option->values : NULL; v != NULL; v = v->next) {
        int idx = find(load, key, v);
        bool twice = false;

        for (size_t i = 0; i < *count; i++)
            twice |= list[i] == idx;
        if (twice)
            load_fault(load, v->at, "%s: \"%.*s\" is there twice", key, STR_ARGS(v->text));
        else if (idx != CONF_NONE)
            list[(*count)++] = (uint16_t)idx;
    }
    return list;
}

static int
rule_fallback(struct load *load, const char *key, const struct raw_value *value)
{
    int idx = map_get(&load->conf->memory->models, value->text);

    if (idx == CONF_NONE)
        load_fault(load, value->at, "%s: no model \"%.*s\"%s", key, STR_ARGS(value->text),
                   model_nearest(load, value->text, false));
    return idx;
}

static bool
globs_match_model(const struct conf_strs *globs, const struct conf_model *model)
{
    for (size_t i = 0; i < globs->count; i++) {
        if (str_glob(globs->at[i], model->name))
            return true;
        for (size_t k = 0; k < model->aliases.count; k++)
            if (str_glob(globs->at[i], model->aliases.at[k]))
                return true;
    }
    return globs->count == 0;
}

/* Is there a model of that family for which a call under this rule may be? */
static bool
rule_meets_family(const struct conf *conf, const struct conf_rule *rule, struct str family)
{
    if (rule->to_model_idx != CONF_NONE)
        return str_eq(conf->models[rule->to_model_idx].family, family);
    for (size_t i = 0; i < conf->model_count; i++)
        if (str_eq(conf->models[i].family, family) &&
            (rule->to_auto_idx != CONF_NONE || globs_match_model(&rule->models, &conf->models[i])))
            return true;
    for (size_t i = 0; i < conf->auto_count; i++) /* an auto may choose any */
        for (size_t k = 0; k < rule->models.count; k++)
            if (str_glob(rule->models.at[k], conf->autos[i].name))
                return true;
    return false;
}

static void
rule_families(struct load *load, const struct raw_section *section, const struct conf_rule *rule)
{
    const struct raw_option *option = raw_option(section, "fallback");
    const struct conf *conf = load->conf;

    for (const struct raw_value *v = option != NULL ? option->values : NULL; v != NULL;
         v = v->next) {
        int idx = map_get(&conf->memory->models, v->text);

        if (idx != CONF_NONE && !rule_meets_family(conf, rule, conf->models[idx].family))
            load_fault(load, v->at,
                       "fallback: \"%.*s\" is of the family %.*s, which no model of this rule is "
                       "of; failover never leaves the family",
                       STR_ARGS(v->text), STR_ARGS(conf->models[idx].family));
    }
}

/* ---- shadows ------------------------------------------------------------------------------- */

/* Does the glob match all that the other one does? A star takes the other's wildcards in as well; a
 * question mark would take one byte of its star, so that only equal ones count then. */
static bool
glob_covers(struct str glob, struct str other)
{
    if (str_eq(glob, other))
        return true;
    if (has_byte(glob, '?') && (has_byte(other, '*') || has_byte(other, '?')))
        return false;
    return str_glob(glob, other);
}

static bool
globs_cover(const struct conf_strs *globs, const struct conf_strs *others)
{
    if (globs->count == 0)
        return true;
    for (size_t i = 0; i < others->count; i++) {
        bool covered = false;

        for (size_t k = 0; k < globs->count && !covered; k++)
            covered = glob_covers(globs->at[k], others->at[i]);
        if (!covered)
            return false;
    }
    return others->count > 0;
}

static bool
zones_equal(const struct zone *a, const struct zone *b)
{
    return a->count == b->count &&
           memcmp(a->changes, b->changes, a->count * sizeof(*a->changes)) == 0;
}

static bool
hours_cover(const struct conf_rule *rule, const struct conf_rule *other)
{
    if (!rule->has_hours)
        return true;
    if (!other->has_hours || !zones_equal(&rule->zone, &other->zone))
        return false;
    /* From the other's beginning on, counted round the clock. */
    unsigned day = 24 * 60;
    unsigned starts = (other->hours.from_min + day - rule->hours.from_min) % day;
    unsigned lasts = (other->hours.to_min + day - other->hours.from_min) % day;

    return starts + lasts <= (rule->hours.to_min + day - rule->hours.from_min) % day;
}

/* The rule matches whatever the other, later one would. */
static bool
rule_covers(const struct conf_rule *rule, const struct conf_rule *other)
{
    return globs_cover(&rule->models, &other->models) &&
           globs_cover(&rule->projects, &other->projects) &&
           globs_cover(&rule->keys, &other->keys) && (rule->needs & ~other->needs) == 0 &&
           (rule->context_above == 0 || other->context_above >= rule->context_above) &&
           (rule->context_below == 0 ||
            (other->context_below != 0 && other->context_below <= rule->context_below)) &&
           hours_cover(rule, other) &&
           (rule->exhausted_idx == CONF_NONE || rule->exhausted_idx == other->exhausted_idx);
}

static void
rule_against(struct load *load, const struct raw_section *earlier, const struct raw_section *later)
{
    const struct conf_rule *rules = load->conf->rules;

    if (str_eq(earlier->title, later->title))
        load_fault(load, later->at, "%s is there twice; first in %s", section_label(later),
                   place_text(load, later->at, earlier->at));
    else if (!earlier->damaged && rule_covers(&rules[earlier->index], &rules[later->index]))
        load_fault(load, later->at,
                   "%s can never match: %s in %s comes first and takes all that it would",
                   section_label(later), section_label(earlier),
                   place_text(load, later->at, earlier->at));
}

/* ---- all of them --------------------------------------------------------------------------- */

static bool
is_rule(const struct load *load, const struct raw_section *section)
{
    return section->kind == CONF_S_RULE && section->index < load->conf->rule_count;
}

static void
check_rule(struct load *load, const struct raw_section *section, struct conf_rule *rule)
{
    const struct raw_option *exhausted = raw_option(section, "exhausted");

    if (exhausted != NULL && exhausted->values != NULL)
        rule->exhausted_idx = rule_channel(load, "exhausted", exhausted->values);
    rule_models(load, section);
    rule_to_model(load, section, rule);
    rule->to_channels =
        rule_list(load, section, "to-channel", rule_channel, &rule->to_channel_count);
    rule->fallbacks = rule_list(load, section, "fallback", rule_fallback, &rule->fallback_count);
    rule_families(load, section, rule);
}

void
check_rules(struct load *load)
{
    /* The snapshot's arrays are const to all the world but the loader. */
    struct conf_rule *rules = (struct conf_rule *)(uintptr_t)load->conf->rules;

    for (const struct raw_section *s = load->sections; s != NULL; s = s->next)
        if (is_rule(load, s))
            check_rule(load, s, &rules[s->index]);
    if (load->faults->fault_count > 0)
        return; /* a condition that was not understood looks like one that is not stated */
    for (const struct raw_section *s = load->sections; s != NULL; s = s->next)
        for (const struct raw_section *t = load->sections; is_rule(load, s) && t != s; t = t->next)
            if (is_rule(load, t))
                rule_against(load, t, s);
}
