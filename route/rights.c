/* What a key may use, and its member, project and tenant let it: channels, models, and what it sees of them. */
#include "base/str.h"
#include "route/room.h"

static bool
also_has(const struct route_allow *also, uint16_t channel_idx)
{
    for (size_t i = 0; !also->any_channel && i < also->channel_count; i++)
        if (also->channels[i] == channel_idx)
            return true;
    return also->any_channel;
}

/* NULL when all that are beside the key allow the channel; else the first that does not. */
static const struct route_allow *
also_denies(const struct route_ask *ask, uint16_t channel_idx)
{
    for (size_t i = 0; i < ask->also_count; i++)
        if (!also_has(&ask->also[i], channel_idx))
            return &ask->also[i];
    return NULL;
}

/* Of those that the key may use, those that the others allow as well. */
static void
channels_narrow(const struct route_ask *ask, struct channels *channels)
{
    const uint16_t *at = channels->at;
    size_t count = 0;

    for (size_t i = 0; i < channels->count && count < CONF_CHANNEL_COUNT_MAX; i++)
        if (also_denies(ask, at[i]) == NULL)
            channels->own[count++] = at[i];
    channels->at = channels->own;
    channels->count = count;
}

enum route_result
channels_for(const struct route_table *table, const struct route_ask *ask, struct str named,
             struct channels *out)
{
    int idx;

    out->at = ask->channel_count > 0 ? ask->channels : table->public_channels;
    out->count = ask->channel_count > 0 ? ask->channel_count : table->public_count;
    if (ask->also_count > 0)
        channels_narrow(ask, out);
    if (named.ptr == NULL)
        return out->count > 0 ? ROUTE_OK : ROUTE_CHANNEL_NOT_ALLOWED;
    idx = conf_channel_index(table->conf, named);
    if (idx == CONF_NONE)
        return ROUTE_NO_SUCH_CHANNEL;
    for (size_t i = 0; i < out->count; i++)
        if (out->at[i] == idx) {
            out->own[0] = (uint16_t)idx;
            out->at = out->own;
            out->count = 1;
            return ROUTE_OK;
        }
    return ROUTE_CHANNEL_NOT_ALLOWED;
}

size_t
route_channels(const struct route_table *table, const struct route_ask *ask,
               uint16_t out[CONF_CHANNEL_COUNT_MAX])
{
    struct channels channels;
    struct str behind;
    size_t count = 0;

    (void)route_split(table->conf, ask->model, &behind);
    if (channels_for(table, ask, behind.ptr != NULL ? behind : ask->channel_named, &channels) !=
        ROUTE_OK)
        return 0;
    for (size_t i = 0; i < channels.count && count < CONF_CHANNEL_COUNT_MAX; i++)
        if (channels.at[i] < table->conf->channel_count)
            out[count++] = channels.at[i];
    return count;
}

bool
globs_allow(const struct str *globs, size_t count, const struct conf_model *model)
{
    for (size_t i = 0; i < count; i++) {
        if (str_glob(globs[i], model->name))
            return true;
        for (size_t k = 0; k < model->aliases.count; k++)
            if (str_glob(globs[i], model->aliases.at[k]))
                return true;
    }
    return count == 0;
}

bool
model_allowed(const struct route_ask *ask, const struct conf_model *model)
{
    if (!globs_allow(ask->model_globs, ask->model_glob_count, model))
        return false;
    for (size_t i = 0; i < ask->also_count; i++)
        if (!globs_allow(ask->also[i].model_globs, ask->also[i].model_glob_count, model))
            return false;
    return true;
}

const char *
route_whose_models(const struct conf *conf, const struct route_ask *ask)
{
    struct str behind;
    int idx = conf_model_index(conf, route_split(conf, ask->model, &behind));

    if (idx != CONF_NONE && !globs_allow(ask->model_globs, ask->model_glob_count, &conf->models[idx]))
        return "key";
    for (size_t i = 0; idx != CONF_NONE && i < ask->also_count; i++)
        if (!globs_allow(ask->also[i].model_globs, ask->also[i].model_glob_count,
                         &conf->models[idx]))
            return ask->also[i].whose;
    /* No model of an auto's, or of a rule's, is left by all of them together. */
    return "key";
}

const char *
route_whose_channels(const struct route_table *table, const struct route_ask *ask)
{
    struct route_ask alone = *ask;
    struct str behind, named = ask->channel_named;
    struct channels channels;

    (void)route_split(table->conf, ask->model, &behind);
    if (behind.ptr != NULL)
        named = behind;
    alone.also_count = 0;
    if (channels_for(table, &alone, named, &channels) != ROUTE_OK)
        return "key";
    for (size_t i = 0; i < channels.count; i++)
        if (also_denies(ask, channels.at[i]) != NULL)
            return also_denies(ask, channels.at[i])->whose;
    return "key";
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

    if (channels_for(table, ask, ask->channel_named, &channels) != ROUTE_OK)
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

    if (channels_for(table, ask, ask->channel_named, &channels) != ROUTE_OK)
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

/* ---- names that are near ---- */

#define NAME_BYTES 64

struct near {
    struct str wanted; /* in lower case */
    unsigned distance_max;
    struct str *out;
    unsigned distance[ROUTE_CLOSE_MAX];
    size_t count;
};

static struct str
lower_of(struct str s, char out[NAME_BYTES])
{
    size_t len = MIN(s.len, (size_t)NAME_BYTES);

    for (size_t i = 0; i < len; i++)
        out[i] = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] | 0x20) : s.ptr[i];
    return (struct str){out, len};
}

/* Among equals the first that was tried stays first. */
static void
near_try(struct near *near, struct str name)
{
    char text[NAME_BYTES];
    unsigned distance = str_distance(near->wanted, lower_of(name, text), near->distance_max);
    size_t at = near->count;

    if (distance > near->distance_max)
        return;
    while (at > 0 && near->distance[at - 1] > distance)
        at--;
    if (at == ROUTE_CLOSE_MAX)
        return;
    near->count = MIN(near->count + 1, (size_t)ROUTE_CLOSE_MAX);
    for (size_t i = near->count - 1; i > at; i--) {
        near->out[i] = near->out[i - 1];
        near->distance[i] = near->distance[i - 1];
    }
    near->out[at] = name;
    near->distance[at] = distance;
}

size_t
route_close(const struct route_table *table, const struct route_ask *ask,
            struct str close[ROUTE_CLOSE_MAX])
{
    const struct conf *conf = table->conf;
    char text[NAME_BYTES];
    struct near near = {.out = close};
    struct channels channels;
    struct str behind;

    near.wanted = lower_of(route_split(conf, ask->model, &behind), text);
    near.distance_max = MAX((unsigned)near.wanted.len / 3, 2u);
    if (channels_for(table, ask, ask->channel_named, &channels) != ROUTE_OK)
        return 0;
    for (size_t i = 0; i < conf->model_count; i++) {
        if (!model_visible(table, ask, &channels, i))
            continue;
        near_try(&near, conf->models[i].name);
        for (size_t k = 0; k < conf->models[i].aliases.count; k++)
            near_try(&near, conf->models[i].aliases.at[k]);
    }
    for (size_t i = 0; i < conf->auto_count; i++)
        if (auto_visible(table, ask, &channels, &conf->autos[i]))
            near_try(&near, conf->autos[i].name);
    return near.count;
}

size_t
route_close_channels(const struct route_table *table, const struct route_ask *ask,
                     struct str named, struct str close[ROUTE_CLOSE_MAX])
{
    char text[NAME_BYTES];
    struct near near = {.out = close, .wanted = lower_of(named, text)};
    struct channels channels;

    near.distance_max = MAX((unsigned)near.wanted.len / 3, 2u);
    if (channels_for(table, ask, STR_NONE, &channels) != ROUTE_OK)
        return 0;
    for (size_t i = 0; i < channels.count; i++)
        if (channels.at[i] < table->conf->channel_count)
            near_try(&near, table->conf->channels[channels.at[i]].name);
    return near.count;
}

unsigned
route_model_protocols(const struct route_table *table, uint16_t model_idx)
{
    unsigned protocols = 0;

    for (size_t i = 0; i < table->conf->channel_count; i++)
        protocols |= protocols_in(table, i, model_idx);
    return protocols;
}
