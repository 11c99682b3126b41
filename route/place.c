/*
 * The price of a model in a channel, for who asks: the channel's multiplier, of which a deal of the tenant's
 * may say another part; and the discount of the hour.
 */
#include "route/room.h"

/* The first deal that is for the place, in millionths; 0 none. */
static uint32_t
deal_for(const struct conf *conf, const struct route_ask *ask, const struct place *place)
{
    for (size_t i = 0; i < ask->deal_count; i++) {
        const struct route_deal *deal = &ask->deals[i];

        if ((deal->channel_idx == CONF_NONE || deal->channel_idx == place->channel_idx) &&
            globs_allow(&deal->models, deal->models.len > 0 ? 1 : 0,
                        &conf->models[place->model_idx]))
            return deal->deal_u;
    }
    return 0;
}

int64_t
place_multiplier(const struct conf *conf, const struct route_ask *ask, const struct place *place)
{
    enum conf_currency currency = conf->models[place->model_idx].currency;
    int64_t multiplier_u = conf->channels[place->channel_idx].multiplier_u[currency];

    return ask->deal_count == 0 ? multiplier_u
                                : price_by_deal(multiplier_u, deal_for(conf, ask, place));
}

struct price
place_price(const struct conf *conf, const struct route_ask *ask, const struct place *place)
{
    struct price price =
        price_of(&conf->models[place->model_idx], &conf->channels[place->channel_idx]);

    if (ask->deal_count > 0) {
        price.deal_u = deal_for(conf, ask, place);
        price.multiplier_u = price_by_deal(price.multiplier_u, price.deal_u);
    }
    if (price.model->discount_count > 0)
        price.discount = price_discount_at(price.model, ask->wall_us);
    return price;
}

/* The table knows it of the channels' own. */
uint64_t
place_blended(const struct route_table *table, const struct route_ask *ask, const struct place *place)
{
    const struct conf *conf = table->conf;

    if (ask->deal_count == 0)
        return list_of(table, place->channel_idx, place->model_idx, list_asked(ask))->blended;
    return blended_price(&conf->models[place->model_idx], place_multiplier(conf, ask, place));
}

uint64_t
blended_price(const struct conf_model *model, int64_t multiplier_u)
{
    uint64_t list = 3 * (uint64_t)model->rates.u_per_mtok[CONF_INPUT] +
                    (uint64_t)model->rates.u_per_mtok[CONF_OUTPUT];
    unsigned __int128 price = (unsigned __int128)list * (uint64_t)multiplier_u / CONF_MICRO;

    return price > UINT64_MAX / CONF_MICRO ? UINT64_MAX / CONF_MICRO : (uint64_t)price;
}
