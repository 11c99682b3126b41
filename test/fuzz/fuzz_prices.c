/* Price tables from any bytes: what is read can be written and read again, and prices any call, or
 * says that it cannot. */
#include <string.h>

#include "base/str.h"
#include "route/price.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
check_model(const struct conf_model *model, const struct conf_channel *channel)
{
    struct price price = price_of(model, channel);
    struct price_count count = {.n = {0}};
    struct price_bounds bounds = {.images = 1, .seconds = 1, .characters = 1, .requests = 1,
                                  .searches = 1};
    char text[PRICE_TEXT_LEN + 1];
    int64_t cost, worst;

    for (int class = 0; class < CONF_CLASS_COUNT; class++)
        count.n[class] = class < CONF_TOKEN_CLASS_COUNT ? 7u * (unsigned)class : 1;
    for (int class = 0; class < CONF_TOKEN_CLASS_COUNT; class++)
        *(class < CONF_INPUT_CLASS_COUNT ? &bounds.input : &bounds.output) += count.n[class];
    for (unsigned s = 0; s <= model->service_count; s++)
        for (unsigned d = 0; d <= model->discount_count; d++) {
            price.service = (uint8_t)s;
            price.discount = (uint8_t)d;
            if (!price_cost(&price, &count, &cost))
                continue;
            ASSERT(cost >= 0);
            ASSERT(price_sum(&price, &count, text) && strlen(text) <= PRICE_TEXT_LEN);
            ASSERT(price_rounding(&price, &count, text) && strlen(text) <= PRICE_TEXT_LEN);
            /* Tiers that are out of order, which no file has, may hide the dearest. */
            if (model->tier_count < 2 && price_worst(&price, &bounds, &worst))
                ASSERT(cost <= worst);
        }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct conf *conf = conf_prices_read((struct str){(const char *)bytes, len}), *again;
    struct buf json;

    if (conf == NULL)
        return 0;
    for (size_t i = 0; i < MIN(conf->model_count, (size_t)8); i++)
        for (size_t k = 0; k < MIN(conf->channel_count, (size_t)4); k++)
            check_model(&conf->models[i], &conf->channels[k]);
    buf_init(&json, 1 << 24);
    conf_prices_json(conf, &json);
    if (!json.failed) {
        again = conf_prices_read(buf_str(&json));
        ASSERT(again != NULL);
        conf_free(&again);
    }
    buf_free(&json);
    conf_free(&conf);
    return 0;
}
