/*
 * The table is a list of upstreams' credentials for every channel, model and way to be called, so that a call's choice
 * is a look-up and a draw. Lists hold indexes only; the names that upstreams know a model by stand
 * once each, ready as JSON.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/jw.h"
#include "base/str.h"
#include "route/room.h"

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
is_native(const struct conf_upstream *upstream, unsigned list)
{
    return (upstream->protocols & CONF_PROTOCOL_BIT(list % CONF_PROTOCOL_COUNT)) != 0;
}

/* Protocols into which calls of a list can be made. */
static unsigned
made_into(unsigned list)
{
    switch ((enum route_service)(list / CONF_PROTOCOL_COUNT)) {
    case ROUTE_CHAT: return ~0u;
    case ROUTE_EMBED: return CONF_PROTOCOL_BIT(CONF_GEMINI);
    case ROUTE_NATIVE:
    case ROUTE_SERVICE_COUNT: break;
    }
    return 0;
}

static enum route_out
speaks_out(const struct conf_upstream *upstream, unsigned list)
{
    if (upstream->disabled_reason != NULL)
        return ROUTE_OUT_DISABLED;
    if (is_native(upstream, list) || (upstream->translate && (upstream->protocols & made_into(list))))
        return ROUTE_IN;
    return ROUTE_OUT_PROTOCOL;
}

enum route_out
route_upstream_out(const struct conf *conf, size_t upstream_idx, size_t model_idx,
                   enum conf_protocol protocol, enum route_service service)
{
    if (!conf_upstream_serves(&conf->upstreams[upstream_idx], &conf->models[model_idx]))
        return ROUTE_OUT_NOT_SERVED;
    return speaks_out(&conf->upstreams[upstream_idx], list_for(protocol, service));
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

/* So that shares of a weight come out even enough: that of a whole upstream. Weights are at most
 * 1,000,000, so their products fit. */
#define SHARES 4096u

static uint32_t
share_of(uint32_t use_weight, uint32_t weight, uint64_t total)
{
    if (use_weight == 0 || weight == 0)
        return 0;
    return (uint32_t)MAX((uint64_t)use_weight * SHARES * weight / total, UINT64_C(1));
}

/* Does somebody in the channel speak the callers' own protocol? */
static bool
has_native(const struct route_table *table, const bool *served, size_t channel_idx,
           size_t model_idx, unsigned list)
{
    const struct conf *conf = table->conf;
    const struct conf_channel *channel = &conf->channels[channel_idx];

    for (size_t i = 0; i < channel->use_count; i++) {
        const struct conf_upstream *upstream = &conf->upstreams[channel->uses[i].upstream_idx];

        if (served[channel->uses[i].upstream_idx * conf->model_count + model_idx] &&
            upstream->disabled_reason == NULL && is_native(upstream, list))
            return true;
    }
    return false;
}

/* The credentials of an upstream that can be used share its weight in the channel. */
static void
add_upstream(struct route_table *table, struct route_list *list, const struct conf_use *use,
             uint32_t name_idx, uint64_t *weight_end)
{
    const struct conf_upstream *upstream = &table->conf->upstreams[use->upstream_idx];
    uint64_t total = 0;

    for (size_t i = 0; i < upstream->credential_count; i++)
        if (upstream->credentials[i].disabled_reason == NULL)
            total += upstream->credentials[i].weight;
    for (size_t i = 0; i < upstream->credential_count; i++) {
        uint32_t share = share_of(use->weight, upstream->credentials[i].weight, total);

        if (upstream->credentials[i].disabled_reason != NULL)
            continue;
        *weight_end += share;
        if (list->count == 0)
            list->first_idx = (uint16_t)(upstream->credential_first + i);
        if (table->entries != NULL)
            table->entries[table->entry_count] =
                (struct route_entry){.upstream_idx = use->upstream_idx,
                                     .credential_idx = (uint16_t)(upstream->credential_first + i),
                                     .credential = (uint8_t)i,
                                     .weight = share,
                                     .use_weight = use->weight,
                                     .cost_u = (uint32_t)upstream->cost_u,
                                     .name_idx = name_idx,
                                     .weight_end = *weight_end};
        table->entry_count++;
        list->count++;
    }
}

/* One channel and model: into entries when they are there, else only counted. */
static void
lists_fill(struct route_table *table, const bool *served, size_t channel_idx, size_t model_idx)
{
    const struct conf *conf = table->conf;
    const struct conf_channel *channel = &conf->channels[channel_idx];
    const struct conf_model *model = &conf->models[model_idx];
    uint64_t blended = blended_price(model, channel->multiplier_u[model->currency]);

    for (unsigned which = 0; which < LISTS_EACH; which++) {
        struct route_list *list = &table->lists[list_idx(conf, channel_idx, model_idx, which)];
        bool native = has_native(table, served, channel_idx, model_idx, which);
        uint64_t weight_end = 0;

        *list = (struct route_list){.start = (uint32_t)table->entry_count, .blended = blended};
        for (size_t i = 0; i < channel->use_count; i++) {
            uint16_t upstream_idx = channel->uses[i].upstream_idx;
            struct conf_use use = channel->uses[i];

            if (!served[upstream_idx * conf->model_count + model_idx] ||
                speaks_out(&conf->upstreams[upstream_idx], which) != ROUTE_IN)
                continue;
            /* Bytes that pass lose nothing: what is translated stands behind them. */
            if (native && !is_native(&conf->upstreams[upstream_idx], which))
                use.weight = 0;
            add_upstream(table, list, &use, name_for(conf, upstream_idx, model_idx), &weight_end);
        }
    }
}

static bool
lists_make(struct route_table *table)
{
    const struct conf *conf = table->conf;
    size_t list_count = conf->channel_count * conf->model_count * LISTS_EACH;
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

bool
route_has_choice(const struct route_table *table)
{
    const struct conf *conf = table->conf;
    size_t of_channel = conf->model_count * CONF_PROTOCOL_COUNT;

    for (size_t i = 0; i < of_channel; i++) {
        size_t places = 0;

        for (size_t k = 0; k < conf->channel_count; k++)
            places += table->lists[k * of_channel + i].count;
        if (places > 1)
            return true;
    }
    return conf->auto_count > 0;
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

/* Which models each auto chooses from: globs are matched once. */
static bool
autos_make(struct route_table *table)
{
    const struct conf *conf = table->conf;
    size_t count = 0;

    table->autos = calloc(MAX(conf->auto_count, (size_t)1), sizeof(*table->autos));
    table->members =
        calloc(MAX(conf->auto_count * conf->model_count, (size_t)1), sizeof(*table->members));
    if (table->autos == NULL || table->members == NULL)
        return false;
    for (size_t i = 0; i < conf->auto_count; i++) {
        table->autos[i].start = count;
        for (size_t k = 0; k < conf->model_count; k++) {
            const struct conf_model *model = &conf->models[k];

            if (!auto_has(&conf->autos[i], model))
                continue;
            table->members[count++] = (struct route_member){
                .model_idx = (uint16_t)k,
                .can = (uint16_t)model->can,
                .quality = model->quality,
                .context = model->context_tokens != 0 ? model->context_tokens : UINT64_MAX,
                .output_max = model->output_tokens_max != 0 ? model->output_tokens_max : UINT64_MAX};
        }
        table->autos[i].count = count - table->autos[i].start;
    }
    return true;
}

const char *const route_out_name[] = {
    [ROUTE_IN] = "in",
    [ROUTE_OUT_CONDITION] = "condition",
    [ROUTE_OUT_NOT_ALLOWED] = "not-allowed",
    [ROUTE_OUT_NEEDS] = "needs",
    [ROUTE_OUT_CONTEXT] = "context",
    [ROUTE_OUT_OUTPUT] = "output",
    [ROUTE_OUT_EMBEDDINGS] = "embeddings",
    [ROUTE_OUT_NOT_SERVED] = "not-served",
    [ROUTE_OUT_SCORE] = "score",
    [ROUTE_OUT_DEARER] = "dearer",
    [ROUTE_OUT_SIBLING] = "sibling",
    [ROUTE_OUT_FAMILY] = "family",
    [ROUTE_OUT_DISABLED] = "disabled",
    [ROUTE_OUT_PROTOCOL] = "protocol",
    [ROUTE_OUT_REPEATED] = "repeated",
    [ROUTE_OUT_TOO_MANY] = "too-many",
};
_Static_assert(COUNT_OF(route_out_name) == ROUTE_OUT_COUNT, "a new reason needs a name");

struct route_table *
route_table_make(const struct conf *conf)
{
    struct route_table *table = calloc(1, sizeof(*table));

    if (table == NULL)
        return NULL;
    table->conf = conf;
    if (!names_make(table) || !lists_make(table) || !public_make(table) || !autos_make(table))
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
    free(ended->autos);
    free(ended->members);
    free(ended);
}

const struct conf *
route_table_conf(const struct route_table *table)
{
    return table->conf;
}
