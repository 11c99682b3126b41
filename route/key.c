#include "route/key.h"

#include <stdlib.h>
#include <string.h>

#include "shm/names.h"

#define NAME_IDS (UINT16_MAX + 1u)

bool
route_names_make(const struct conf *conf, struct region *region, struct route_names *out)
{
    out->channel = malloc(NAME_IDS * sizeof(*out->channel));
    if (out->channel == NULL)
        return false;
    memset(out->channel, 0xff, NAME_IDS * sizeof(*out->channel));
    for (size_t i = 0; i < conf->channel_count; i++) {
        uint16_t id = name_intern(region, conf->channels[i].name);

        if (id != 0)
            out->channel[id] = (int16_t)i;
    }
    return true;
}

void
route_names_free(struct route_names *names)
{
    free(names->channel);
    names->channel = NULL;
}

static size_t
key_globs(const struct key_extra *extra, struct str globs[ROUTE_GLOBS_MAX])
{
    const char *at = extra != NULL ? extra->models : NULL;
    size_t count = 0;

    while (extra != NULL && count < extra->model_count && count < ROUTE_GLOBS_MAX) {
        globs[count] = (struct str){at, strnlen(at, KEY_MODELS_BYTES)};
        at += globs[count++].len + 1;
    }
    return count;
}

static size_t
channel_indexes(const _Atomic uint16_t channel[KEY_CHANNELS_MAX], const struct route_names *names,
                uint16_t out[KEY_CHANNELS_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < KEY_CHANNELS_MAX; i++) {
        uint16_t name = atomic_load_explicit(&channel[i], memory_order_relaxed);

        if (name == 0)
            break;
        if (names->channel[name] >= 0)
            out[count++] = (uint16_t)names->channel[name];
    }
    return count;
}

static struct str
extra_text(const char text[KEY_NAME_BYTES])
{
    return (struct str){text, strnlen(text, KEY_NAME_BYTES)};
}

bool
route_quotas_of(const struct region *region, const struct key_slot *key, struct route_quotas *out)
{
    const struct account *account = account_at(region, key->account_idx);
    const uint32_t idx[ROUTE_QUOTAS_MAX] = {
        atomic_load_explicit(&key->quota_idx[0], memory_order_relaxed),
        atomic_load_explicit(&key->quota_idx[1], memory_order_relaxed),
        account != NULL ? atomic_load_explicit(&account->quota_idx, memory_order_relaxed) : 0,
    };

    if ((idx[0] | idx[1] | idx[2]) == 0)
        return false;
    for (size_t i = 0; i < ROUTE_QUOTAS_MAX; i++) {
        out->quota[i] = quota_at(region, idx[i]);
        out->extra[i] = out->quota[i] == NULL
                            ? NULL
                            : key_extra_at(region, atomic_load_explicit(&out->quota[i]->extra_idx,
                                                                        memory_order_acquire));
    }
    return true;
}

size_t
route_deals_read(const struct key_extra *extra, const struct route_names *names,
                 struct route_deal out[KEY_DEALS_MAX])
{
    size_t count = 0;

    for (size_t i = 0; extra != NULL && i < extra->deal_count && i < KEY_DEALS_MAX; i++) {
        const struct key_deals *deals = &extra->deals;
        const struct key_deal *deal = &deals->deal[i];
        const char *glob = deals->globs + MIN(deal->glob, sizeof(deals->globs) - 1);

        if (deal->deal_u == 0 || deal->deal_u > CONF_FACTOR_MAX_U ||
            (deal->channel != 0 && names->channel[deal->channel] < 0))
            continue;
        out[count++] = (struct route_deal){
            .channel_idx = deal->channel == 0 ? CONF_NONE : names->channel[deal->channel],
            .models = {glob, strnlen(glob, (size_t)(deals->globs + sizeof(deals->globs) - glob))},
            .deal_u = deal->deal_u,
        };
    }
    return count;
}

#define TENANT (ROUTE_QUOTAS_MAX - 1) /* of the quotas */

/* One that lists channels of which the snapshot has none allows none. */
static void
quotas_read(const struct route_quotas *quotas, const struct route_names *names,
            struct route_key *out, struct route_ask *ask)
{
    static const char *const whose[ROUTE_QUOTAS_MAX] = {"member", "project", "tenant"};

    ask->also = out->allow;
    for (size_t i = 0; i < ROUTE_QUOTAS_MAX; i++) {
        struct route_allow *allow = &out->allow[ask->also_count];
        struct route_also *also = &out->also[ask->also_count];
        const struct quota *quota = quotas->quota[i];

        if (quota == NULL)
            continue;
        *allow = (struct route_allow){
            .whose = whose[i],
            .any_channel = atomic_load_explicit(&quota->channel[0], memory_order_relaxed) == 0,
            .channels = also->channels,
            .channel_count = channel_indexes(quota->channel, names, also->channels),
            .model_globs = also->globs,
            .model_glob_count = key_globs(quotas->extra[i], also->globs),
        };
        if (!allow->any_channel || allow->model_glob_count > 0)
            ask->also_count++;
    }
    ask->deals = out->deals;
    ask->deal_count = route_deals_read(quotas->extra[TENANT], names, out->deals);
}

bool
route_key_read(const struct key_slot *key, const struct key_extra *extra,
               const struct route_quotas *quotas, const struct route_names *names, struct route_key *out, struct route_ask *ask)
{
    uint32_t flags = atomic_load_explicit(&key->flags, memory_order_relaxed);

    ask->channels = out->channels;
    ask->channel_count = channel_indexes(key->channel, names, out->channels);
    ask->model_globs = out->globs;
    ask->model_glob_count = key_globs(extra, out->globs);
    ask->no_dearer = (flags & KEY_NO_DEARER) != 0;
    ask->sibling = (flags & KEY_SIBLING) != 0;
    if (extra != NULL) {
        ask->key_name = extra_text(extra->name);
        ask->project = extra_text(extra->project);
    }
    if (extra != NULL && extra->has_weights != 0) {
        out->weights = (struct route_weights){extra->latency_u, extra->cost_u, extra->quality_u};
        ask->weights = &out->weights;
    }
    ask->also_count = 0;
    ask->deal_count = 0;
    if (quotas != NULL)
        quotas_read(quotas, names, out, ask);
    return ask->channel_count > 0 ||
           atomic_load_explicit(&key->channel[0], memory_order_relaxed) == 0;
}
