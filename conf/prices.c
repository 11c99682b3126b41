/* The price tables as one text: what the price version is a hash of, and what the ledger keeps. */
#include "conf/load.h"

#include <stdlib.h>
#include <string.h>

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

static void
rates_write(struct jw *jw, const struct conf_rates *rates)
{
    for (int class = 0; class < CONF_CLASS_COUNT; class ++)
        jw_key_i64(jw, conf_class_name[class], rates->u_per_mtok[class]);
}

static void
model_write(struct jw *jw, const struct conf_model *model)
{
    jw_object(jw);
    jw_key_str(jw, "name", model->name);
    jw_key_cstr(jw, "currency", conf_currency_name[model->currency]);
    rates_write(jw, &model->rates);
    jw_key(jw, "tiers");
    jw_array(jw);
    for (size_t i = 0; i < model->tier_count; i++) {
        jw_object(jw);
        jw_key_u64(jw, "above", model->tiers[i].above_tokens);
        jw_key_bool(jw, "inclusive", model->tiers[i].inclusive);
        rates_write(jw, &model->tiers[i].rates);
        jw_object_end(jw);
    }
    jw_array_end(jw);
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
