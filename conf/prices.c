/*
 * The price tables as one text: what the price version is a hash of, and what the ledger keeps; and
 * the way back, by which a charge of long ago is computed again.
 */
#include "conf/build.h"

#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/jw.h"
#include "base/str.h"

/* Models and channels are put in order by what comes first in both. */
_Static_assert(offsetof(struct conf_model, name) == 0, "a model starts with its name");
_Static_assert(offsetof(struct conf_channel, name) == 0, "a channel starts with its name");

static int
name_order(const void *a, const void *b)
{
    const struct str *x = *(const struct str *const *)a, *y = *(const struct str *const *)b;
    int order = memcmp(x->ptr, y->ptr, MIN(x->len, y->len));

    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

/* Pointers to the elements of an array, by name. To be freed; NULL when out of memory. */
static const void **
by_name(const void *array, size_t count, size_t bytes)
{
    const void **sorted = malloc(MAX(count, (size_t)1) * sizeof(*sorted));

    if (sorted == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        sorted[i] = (const char *)array + i * bytes;
    qsort(sorted, count, sizeof(*sorted), name_order);
    return sorted;
}

/* What is not stated is left out. */
static void
rates_write(struct jw *jw, const struct conf_rates *rates, uint32_t stated)
{
    for (int class = 0; class < CONF_CLASS_COUNT; class ++)
        if (stated & CONF_CLASS_BIT(class))
            jw_key_i64(jw, conf_class_name[class], rates->u_per_mtok[class]);
}

static void
change_write(struct jw *jw, const struct conf_change *change)
{
    jw_key_u64(jw, "factor", change->factor_u);
    for (int class = 0; class < CONF_CLASS_COUNT; class ++)
        if (change->rates.u_per_mtok[class] != CONF_PRICE_ABSENT)
            jw_key_i64(jw, conf_class_name[class], change->rates.u_per_mtok[class]);
}

static void
tiers_write(struct jw *jw, const struct conf_model *model)
{
    jw_key(jw, "tiers");
    jw_array(jw);
    for (size_t i = 0; i < model->tier_count; i++) {
        jw_object(jw);
        jw_key_u64(jw, "above", model->tiers[i].above_tokens);
        jw_key_bool(jw, "inclusive", model->tiers[i].inclusive);
        jw_key_str(jw, "title", model->tiers[i].title);
        rates_write(jw, &model->tiers[i].rates, model->tiers[i].stated);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

static void
services_write(struct jw *jw, const struct conf_model *model)
{
    jw_key(jw, "services");
    jw_array(jw);
    for (size_t i = 0; i < model->service_count; i++) {
        jw_object(jw);
        jw_key_str(jw, "name", model->services[i].name);
        change_write(jw, &model->services[i].change);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

static void
discounts_write(struct jw *jw, const struct conf_model *model)
{
    jw_key(jw, "discounts");
    jw_array(jw);
    for (size_t i = 0; i < model->discount_count; i++) {
        const struct conf_discount *discount = &model->discounts[i];

        jw_object(jw);
        jw_key_str(jw, "title", discount->title);
        jw_key_u64(jw, "from", discount->hours.from_min);
        jw_key_u64(jw, "to", discount->hours.to_min);
        jw_key_str(jw, "zone", discount->zone_name);
        change_write(jw, &discount->change);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

static void
model_write(struct jw *jw, const struct conf_model *model)
{
    jw_object(jw);
    jw_key_str(jw, "name", model->name);
    jw_key_cstr(jw, "currency", conf_currency_name[model->currency]);
    rates_write(jw, &model->rates, model->stated);
    if (model->batched_u != CONF_PRICE_ABSENT)
        jw_key_i64(jw, CONF_KEY_BATCHED, model->batched_u);
    if (model->tier_count > 0)
        tiers_write(jw, model);
    if (model->service_count > 0)
        services_write(jw, model);
    if (model->discount_count > 0)
        discounts_write(jw, model);
    jw_object_end(jw);
}

static void
channel_write(struct jw *jw, const struct conf_channel *channel)
{
    jw_object(jw);
    jw_key_str(jw, "name", channel->name);
    jw_key_i64(jw, "multiplier", channel->multiplier_u[CONF_USD]);
    jw_key_i64(jw, "multiplier-cny", channel->multiplier_u[CONF_CNY]);
    jw_object_end(jw);
}

void
conf_prices_json(const struct conf *conf, struct buf *out)
{
    const void **models = by_name(conf->models, conf->model_count, sizeof(*conf->models));
    const void **channels = by_name(conf->channels, conf->channel_count, sizeof(*conf->channels));
    struct jw jw;

    if (models == NULL || channels == NULL) {
        out->failed = true;
        goto free_lists;
    }
    jw_init(&jw, out);
    jw_object(&jw);
    jw_key(&jw, "models");
    jw_array(&jw);
    for (size_t i = 0; i < conf->model_count; i++)
        model_write(&jw, models[i]);
    jw_array_end(&jw);
    jw_key(&jw, "channels");
    jw_array(&jw);
    for (size_t i = 0; i < conf->channel_count; i++)
        channel_write(&jw, channels[i]);
    jw_array_end(&jw);
    jw_object_end(&jw);

free_lists:
    free(models);
    free(channels);
}

/* ---- the way back -------------------------------------------------------------------------- */

/* A copy: the text that was read is not kept. */
static struct str
text_read(struct load *load, struct js_value value)
{
    char *text;

    if (value.type != JS_STRING)
        return STR_NONE;
    if (!value.escaped)
        return load_copy(load, value.raw);
    text = load_alloc(load, value.raw.len + 1);
    return text != NULL ? js_unescape(value, text, value.raw.len) : STR_NONE;
}

/* From 0 to max, of any number of digits. */
static bool
number_read(struct js_value value, int64_t max, int64_t *out)
{
    return js_i64(value, out) && *out >= 0 && *out <= max;
}

/* As it was stated, or CONF_PRICE_ABSENT. */
static bool
price_read(struct js_value object, const char *name, int64_t *out)
{
    struct js_value value = js_get(object, str_from(name));

    *out = CONF_PRICE_ABSENT;
    return value.type == JS_NONE || number_read(value, CONF_PRICE_MAX_U_PER_MUNIT, out);
}

static bool
rates_read(struct js_value object, struct conf_rates *out)
{
    for (int class = 0; class < CONF_CLASS_COUNT; class ++)
        if (!price_read(object, conf_class_name[class], &out->u_per_mtok[class]))
            return false;
    return true;
}

static bool
change_read(struct js_value object, struct conf_change *out)
{
    int64_t factor_u;

    if (!number_read(js_get(object, STR("factor")), CONF_FACTOR_MAX_U, &factor_u))
        return false;
    out->factor_u = (uint64_t)factor_u;
    return rates_read(object, &out->rates);
}

static bool
tier_read(struct load *load, struct js_value object, void *slot)
{
    struct conf_tier *out = slot;

    out->title = text_read(load, js_get(object, STR("title")));
    out->inclusive = js_bool(js_get(object, STR("inclusive")), false);
    return js_count(js_get(object, STR("above")), UINT32_MAX, &out->above_tokens) &&
           rates_read(object, &out->rates);
}

static bool
service_read(struct load *load, struct js_value object, void *slot)
{
    struct conf_service *out = slot;

    out->name = text_read(load, js_get(object, STR("name")));
    return change_read(object, &out->change);
}

static bool
discount_read(struct load *load, struct js_value object, void *slot)
{
    struct conf_discount *out = slot;
    uint64_t from, to;

    out->title = text_read(load, js_get(object, STR("title")));
    out->zone_name = text_read(load, js_get(object, STR("zone")));
    if (!js_count(js_get(object, STR("from")), 1439, &from) ||
        !js_count(js_get(object, STR("to")), 1439, &to))
        return false;
    out->hours = (struct zone_hours){(uint16_t)from, (uint16_t)to};
    return change_read(object, &out->change);
}

typedef bool (*read_fn)(struct load *load, struct js_value object, void *slot);

/* The elements of a list, none when it is left out. NULL: not such a list, or no memory. */
static void *
list_read(struct load *load, struct js_value list, size_t bytes, size_t most, read_fn read,
          size_t *count)
{
    struct js_value key, value;
    struct js_iter it;
    size_t all = 0;
    char *slots;

    *count = 0;
    for (js_iter_init(&it, list); js_next(&it, &key, &value);)
        all++;
    if (all > most)
        return NULL;
    slots = load_alloc(load, all * bytes);
    for (js_iter_init(&it, list); slots != NULL && js_next(&it, &key, &value);)
        if (value.type != JS_OBJECT || !read(load, value, slots + (*count)++ * bytes))
            return NULL;
    return slots;
}

static bool
model_read(struct load *load, struct js_value object, void *slot)
{
    struct conf_model *out = slot;
    const char *why;

    out->name = text_read(load, js_get(object, STR("name")));
    out->currency =
        js_str_eq(js_get(object, STR("currency")), str_from(conf_currency_name[CONF_CNY]))
            ? CONF_CNY
            : CONF_USD;
    if (out->name.ptr == NULL || !rates_read(object, &out->rates) ||
        !price_read(object, CONF_KEY_BATCHED, &out->batched_u))
        return false;
    out->stated = rates_fill(&out->rates, NULL);
    out->tiers = list_read(load, js_get(object, STR("tiers")), sizeof(*out->tiers),
                           CONF_TIER_COUNT_MAX, tier_read, &out->tier_count);
    out->services = list_read(load, js_get(object, STR("services")), sizeof(*out->services),
                              CONF_SERVICE_COUNT_MAX, service_read, &out->service_count);
    out->discounts = list_read(load, js_get(object, STR("discounts")), sizeof(*out->discounts),
                               CONF_DISCOUNT_COUNT_MAX, discount_read, &out->discount_count);
    for (size_t i = 0; out->tiers != NULL && i < out->tier_count; i++) {
        struct conf_tier *tier = (struct conf_tier *)(uintptr_t)&out->tiers[i];

        tier->stated = rates_fill(&tier->rates, out);
    }
    return out->tiers != NULL && out->services != NULL && out->discounts != NULL &&
           terms_make(&load->conf->memory->arena, out, &why);
}

static bool
channel_read(struct load *load, struct js_value object, void *slot)
{
    struct conf_channel *out = slot;

    out->name = text_read(load, js_get(object, STR("name")));
    return out->name.ptr != NULL &&
           number_read(js_get(object, STR("multiplier")), CONF_MULTIPLIER_MAX_U,
                       &out->multiplier_u[CONF_USD]) &&
           number_read(js_get(object, STR("multiplier-cny")), CONF_MULTIPLIER_MAX_U,
                       &out->multiplier_u[CONF_CNY]);
}

static bool
prices_fill(struct load *load, struct str json)
{
    struct conf *conf = load->conf;
    struct conf_memory *memory = conf->memory;
    struct js_value document;
    struct js_error ignored;

    if (!js_check(json, &document, &ignored))
        return false;
    conf->models = list_read(load, js_get(document, STR("models")), sizeof(*conf->models),
                             CONF_MODEL_COUNT_MAX, model_read, &conf->model_count);
    conf->channels = list_read(load, js_get(document, STR("channels")), sizeof(*conf->channels),
                               CONF_CHANNEL_COUNT_MAX, channel_read, &conf->channel_count);
    if (conf->models == NULL || conf->channels == NULL ||
        !map_make(load, &memory->models, conf->model_count) ||
        !map_make(load, &memory->channels, conf->channel_count))
        return false;
    for (size_t i = 0; i < conf->model_count; i++)
        (void)map_put(&memory->models, conf->models[i].name, (uint16_t)i);
    for (size_t i = 0; i < conf->channel_count; i++)
        (void)map_put(&memory->channels, conf->channels[i].name, (uint16_t)i);
    return true;
}

struct conf *
conf_prices_read(struct str json)
{
    struct load load = {.conf = conf_new(), .from_text = true};

    if (load.conf != NULL && !prices_fill(&load, json))
        conf_free(&load.conf);
    return load.conf;
}
