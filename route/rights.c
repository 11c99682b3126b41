/* What a key may use: channels, models, and what it sees of them. */
#include "base/str.h"
#include "route/room.h"

enum route_result
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

bool
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

/* ---- what it sees ---- */

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
