/* What only shows when all sections are there: references, and what cannot be meant. */
#include "conf/build.h"

#include <string.h>

#include "base/str.h"
#include "conf/value.h"

#define WEIGHT_MAX 1000000
#define UNSERVED_SINGLY_MAX 5 /* of one file */

static bool
is_pattern(struct str glob)
{
    return str_find(glob, '*', 0) < glob.len || str_find(glob, '?', 0) < glob.len;
}

static bool
glob_matches_any(const struct conf *conf, struct str glob)
{
    for (size_t i = 0; i < conf->model_count; i++)
        if (str_glob(glob, conf->models[i].name))
            return true;
    return false;
}

#define NO_MODEL_HINT "; turnpike models shows what there is"

/* `; did you mean "x"?` for a name of a model, or "": which name an alias stands for is told. */
static const char *
model_hint(const struct load *load, struct str name)
{
    const struct conf *conf = load->conf;
    int idx = map_get(&conf->memory->models, name);
    struct nearest nearest = {STR_NONE, 0};

    if (is_pattern(name))
        return NO_MODEL_HINT;
    if (idx != CONF_NONE) {
        nearest.best = conf->models[idx].name;
        return nearest_hint(&nearest);
    }
    for (size_t i = 0; i < conf->model_count; i++) {
        nearest_try(&nearest, name, conf->models[i].name);
        for (size_t k = 0; k < conf->models[i].aliases.count; k++)
            nearest_try(&nearest, name, conf->models[i].aliases.at[k]);
    }
    return nearest.best.ptr != NULL ? nearest_hint(&nearest) : NO_MODEL_HINT;
}

/* ---- upstreams ----------------------------------------------------------------------------- */

static bool
rename_known(const struct conf_rename *renames, size_t count, struct str model)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(renames[i].model, model))
            return true;
    return false;
}

/* "MODEL=NAME" into the count'th of renames. Returns whether it went in. */
static bool
rename_check(struct load *load, const struct conf_upstream *upstream, const struct raw_value *value,
             struct conf_rename *renames, size_t count)
{
    struct str sent, name = str_split(value->text, '=', &sent);
    int idx = map_get(&load->conf->memory->models, name);

    if (sent.ptr == NULL || sent.len == 0 || name.len == 0) {
        load_fault(load, value->at, "rename: \"%.*s\" is not a pair MODEL=NAME",
                   STR_ARGS(value->text));
    } else if (idx == CONF_NONE) {
        load_fault(load, value->at, "rename: no model \"%.*s\"%s", STR_ARGS(name),
                   model_hint(load, name));
    } else if (!conf_upstream_serves(upstream, &load->conf->models[idx])) {
        load_fault(load, value->at,
                   "rename: \"%.*s\" is not among the models that this upstream "
                   "serves",
                   STR_ARGS(name));
    } else if (rename_known(renames, count, load->conf->models[idx].name)) {
        load_fault(load, value->at, "rename: \"%.*s\" is renamed twice", STR_ARGS(name));
    } else {
        renames[count] =
            (struct conf_rename){.model = load->conf->models[idx].name, .model_sent = sent};
        return true;
    }
    return false;
}

static void
check_upstream(struct load *load, const struct raw_section *section, struct conf_upstream *upstream)
{
    const struct raw_option *rename = raw_option(section, "rename");
    const struct raw_option *models = raw_option(section, "models");
    struct conf_rename *renames;

    for (const struct raw_value *v = models != NULL ? models->values : NULL; v != NULL; v = v->next)
        if (!glob_matches_any(load->conf, v->text))
            load_warning(load, v->at, "models: \"%.*s\" matches no model of this file%s",
                         STR_ARGS(v->text), model_hint(load, v->text));
    if (upstream->probe_ms == 0 && upstream->probe_model.len > 0)
        load_warning(load, raw_place(section, "probe-model"),
                     "probe-model: nothing is probed without probe");
    if (rename == NULL)
        return;
    renames = load_alloc(load, rename->value_count * sizeof(*renames));
    if (renames == NULL)
        return;
    upstream->renames = renames;
    for (const struct raw_value *value = rename->values; value != NULL; value = value->next)
        upstream->rename_count +=
            rename_check(load, upstream, value, renames, upstream->rename_count);
}

/* ---- channels ------------------------------------------------------------------------------ */

static int
upstream_find(struct load *load, const char *key, struct str name, struct place at)
{
    const struct conf *conf = load->conf;
    int idx = map_get(&conf->memory->upstreams, name);
    struct nearest nearest = {STR_NONE, 0};

    if (idx != CONF_NONE)
        return idx;
    for (size_t i = 0; i < conf->upstream_count; i++)
        nearest_try(&nearest, name, conf->upstreams[i].name);
    load_fault(load, at, "%s: no upstream \"%.*s\"%s", key, STR_ARGS(name), nearest_hint(&nearest));
    return CONF_NONE;
}

static struct conf_use *
use_find(struct conf_use *uses, size_t count, int upstream_idx)
{
    for (size_t i = 0; i < count; i++)
        if (uses[i].upstream_idx == upstream_idx)
            return &uses[i];
    return NULL;
}

/* "UPSTREAM=N". */
static void
weight_check(struct load *load, const struct raw_value *value, struct conf_use *uses, size_t count,
             bool *given)
{
    struct str digits, name = str_split(value->text, '=', &digits);
    struct conf_use *use;
    uint64_t weight;
    int idx;

    if (digits.ptr == NULL || !str_to_count(digits, WEIGHT_MAX, &weight)) {
        load_fault(load, value->at,
                   "weights: \"%.*s\" is not a pair UPSTREAM=N with N from 0 to "
                   "%d",
                   STR_ARGS(value->text), WEIGHT_MAX);
        return;
    }
    idx = upstream_find(load, "weights", name, value->at);
    if (idx == CONF_NONE)
        return;
    use = use_find(uses, count, idx);
    if (use == NULL) {
        load_fault(load, value->at, "weights: this channel does not use \"%.*s\"", STR_ARGS(name));
        return;
    }
    if (given[use - uses])
        load_fault(load, value->at, "weights: \"%.*s\" is weighed twice", STR_ARGS(name));
    given[use - uses] = true;
    use->weight = (uint32_t)weight;
}

static void
check_channel(struct load *load, const struct raw_section *section, struct conf_channel *channel)
{
    const struct raw_option *use = raw_option(section, "use");
    const struct raw_option *weights = raw_option(section, "weights");
    struct conf_use *uses;
    size_t count = 0;
    bool *given;

    if (use == NULL)
        return; /* said already */
    uses = load_alloc(load, use->value_count * sizeof(*uses));
    given = load_alloc(load, use->value_count * sizeof(*given));
    if (uses == NULL || given == NULL)
        return;
    for (const struct raw_value *value = use->values; value != NULL; value = value->next) {
        int idx = upstream_find(load, "use", value->text, value->at);

        if (idx != CONF_NONE && use_find(uses, count, idx) != NULL)
            load_fault(load, value->at, "use: \"%.*s\" is there twice", STR_ARGS(value->text));
        else if (idx != CONF_NONE)
            uses[count++] = (struct conf_use){.upstream_idx = (uint16_t)idx, .weight = 1};
    }
    channel->uses = uses;
    channel->use_count = count;
    for (const struct raw_value *v = weights != NULL ? weights->values : NULL; v != NULL;
         v = v->next)
        weight_check(load, v, uses, count, given);
}

/* ---- the rest ------------------------------------------------------------------------------ */

static void
check_auto(struct load *load, const struct raw_section *section)
{
    const struct raw_option *models = raw_option(section, "models");

    for (const struct raw_value *v = models != NULL ? models->values : NULL; v != NULL;
         v = v->next) {
        if (glob_matches_any(load->conf, v->text))
            continue;
        /* A pattern may be there for models to come; a name is a reference. */
        if (is_pattern(v->text))
            load_warning(load, v->at, "models: \"%.*s\" matches no model of this file" NO_MODEL_HINT,
                         STR_ARGS(v->text));
        else
            load_fault(load, v->at, "models: \"%.*s\" matches no model of this file%s",
                       STR_ARGS(v->text), model_hint(load, v->text));
    }
}

/* ---- models -------------------------------------------------------------------------------- */

static bool
is_date(struct str s)
{
    uint64_t year, month, day;
    const char *at = s.ptr;

    return s.len == 10 && at[4] == '-' && at[7] == '-' &&
           str_to_count((struct str){at, 4}, 9999, &year) &&
           str_to_count((struct str){at + 5, 2}, 12, &month) && month > 0 &&
           str_to_count((struct str){at + 8, 2}, 31, &day) && day > 0;
}

static void
check_origin(struct load *load, const struct raw_section *section, const struct conf_model *model)
{
    if (model->source.ptr != NULL && !str_starts_with(model->source, STR("https://")) &&
        !str_starts_with(model->source, STR("http://")))
        load_fault(load, raw_place(section, "source"),
                   "source: \"%.*s\" is not the address of a page, such as https://…",
                   STR_ARGS(model->source));
    if (model->date.ptr != NULL && !is_date(model->date))
        load_fault(load, raw_place(section, "date"),
                   "date: \"%.*s\" is not a day, such as 2026-01-31", STR_ARGS(model->date));
}

/* ---- the whole ----------------------------------------------------------------------------- */

/* Which upstreams some channel uses. NULL when out of memory. */
static bool *
upstreams_used(struct load *load)
{
    const struct conf *conf = load->conf;
    bool *used = load_alloc(load, conf->upstream_count * sizeof(*used));

    for (size_t i = 0; i < conf->channel_count && used != NULL; i++)
        for (size_t k = 0; k < conf->channels[i].use_count; k++)
            used[conf->channels[i].uses[k].upstream_idx] = true;
    return used;
}

static bool
model_is_served(const struct conf *conf, const bool *used, const struct conf_model *model)
{
    for (size_t i = 0; i < conf->upstream_count; i++)
        if (used[i] && conf_upstream_serves(&conf->upstreams[i], model))
            return true;
    return false;
}

/* The first such model of a file from the section on, or NULL. */
static const struct raw_section *
next_unserved(const struct load *load, const bool *used, const struct raw_section *from,
              unsigned file_idx)
{
    for (const struct raw_section *s = from; s != NULL; s = s->next)
        if (s->kind == CONF_S_MODEL && s->at.file_idx == file_idx &&
            !model_is_served(load->conf, used, &load->conf->models[s->index]))
            return s;
    return NULL;
}

/* Models that nobody can call. A catalogue that is included has many, which are meant: one line. */
static void
check_unserved(struct load *load, const bool *used, unsigned file_idx)
{
    const struct raw_section *first = next_unserved(load, used, load->sections, file_idx);
    size_t count = 0;

    for (const struct raw_section *s = first; s != NULL;
         s = next_unserved(load, used, s->next, file_idx))
        count++;
    if (count > UNSERVED_SINGLY_MAX) {
        load_warning(load, first->at, "%s and %zu more models of this file: no channel serves them",
                     section_label(first), count - 1);
        return;
    }
    for (const struct raw_section *s = first; s != NULL;
         s = next_unserved(load, used, s->next, file_idx))
        load_warning(load, s->at, "%s: no channel serves it", section_label(s));
}

static bool
serves_nothing(const struct conf *conf)
{
    return conf->upstream_count == 0 || conf->model_count == 0 || conf->channel_count == 0;
}

/* Not wrong, but hardly meant. */
static void
check_idle(struct load *load)
{
    const struct conf *conf = load->conf;
    const bool *used = upstreams_used(load);
    struct place top = {0, 1};
    size_t public_count = 0;

    if (used == NULL)
        return;
    if (serves_nothing(conf)) {
        const char *missing = conf->upstream_count == 0 ? "upstream"
                              : conf->model_count == 0  ? "model"
                                                        : "channel";

        /* Of a server that serves: more likely a file that is being written. */
        if (load->running != NULL && !serves_nothing(load->running))
            load_fault(load, top, "nothing could be served any more: there is no %s section",
                       missing);
        else
            load_warning(load, top, "nothing can be served: there is no %s section", missing);
    }
    for (size_t i = 0; i < conf->channel_count; i++)
        public_count += conf->channels[i].is_public;
    if (conf->channel_count > 0 && public_count == 0)
        load_warning(load, top, "no channel is public: every key must name its channels");
    for (const struct raw_section *s = load->sections; s != NULL; s = s->next) {
        if (s->kind == CONF_S_UPSTREAM && !used[s->index])
            load_warning(load, s->at, "%s: no channel uses it", section_label(s));
    }
    for (unsigned file = 0; file < load->file_count; file++)
        check_unserved(load, used, file);
}

/* Who registers proves an address by a code that is mailed, or by a provider's word. */
static void
check_registration(struct load *load)
{
    const struct conf *conf = load->conf;
    const struct raw_section *section = section_once(load, CONF_S_MANAGE);

    if (section != NULL && conf->manage.registration != CONF_CLOSED && !conf->mail.on &&
        conf->oidc_count == 0)
        load_warning(load, raw_place(section, "registration"),
                     "registration: nobody can register: there is no section mail to send codes by, and no oidc");
}

/* Whatever a call may report of it can be said in credits: no price fails once a file is loaded. */
static void
check_payable(struct load *load, const struct raw_section *section, const struct conf_model *model)
{
    const struct conf *conf = load->conf;
    const struct conf_channel *dearest = NULL;

    for (size_t i = 0; i < conf->channel_count; i++)
        if (dearest == NULL || conf->channels[i].multiplier_u[model->currency] >
                                   dearest->multiplier_u[model->currency])
            dearest = &conf->channels[i];
    if (terms_payable(model,
                      dearest != NULL ? dearest->multiplier_u[model->currency] : CONF_MICRO))
        return;
    if (dearest == NULL)
        load_fault(load, section->at, "%s: its prices are too large to be charged",
                   section_label(section));
    else
        load_fault(load, section->at,
                   "%s: its prices are too large to be charged at the multiplier of channel \"%.*s\"",
                   section_label(section), STR_ARGS(dearest->name));
}

/* The snapshot's arrays are const to all the world but the loader, which still makes them. */
static void *
made(const void *array, size_t index, size_t bytes)
{
    return (char *)(uintptr_t)array + index * bytes;
}

void
check_conf(struct load *load)
{
    const struct conf *conf = load->conf;

    for (const struct raw_section *s = load->sections; s != NULL; s = s->next) {
        if (s->kind == CONF_S_UPSTREAM && s->index < conf->upstream_count)
            check_upstream(load, s, made(conf->upstreams, s->index, sizeof(*conf->upstreams)));
        else if (s->kind == CONF_S_CHANNEL && s->index < conf->channel_count)
            check_channel(load, s, made(conf->channels, s->index, sizeof(*conf->channels)));
        else if (s->kind == CONF_S_AUTO)
            check_auto(load, s);
        else if (s->kind == CONF_S_MODEL && s->index < conf->model_count)
            check_origin(load, s, &conf->models[s->index]);
    }
    check_rules(load);
    if (load->faults->fault_count > 0)
        return;
    for (const struct raw_section *s = load->sections; s != NULL; s = s->next)
        if (s->kind == CONF_S_MODEL)
            check_payable(load, s, &conf->models[s->index]);
    if (load->faults->fault_count == 0) {
        check_idle(load);
        check_registration(load);
    }
}
