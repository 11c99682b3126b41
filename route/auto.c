/*
 * Choosing for an auto name: of the models that the key may use and that its channels serve in the
 * caller's protocol, the one with the highest
 *
 *     cost weight * (cheapest / its price) + quality weight * (its quality / 100)
 *
 * where the price is what three tokens of input and one of output cost in the channel that the
 * call would go to, and the cheapest is that of all these models. Latency counts for all alike.
 * A tie goes to the model that stands first in the file. Models for embeddings are left out.
 */
#include "base/str.h"
#include "route/room.h"

bool
auto_has(const struct conf_auto *chooser, const struct conf_model *model)
{
    if (model->can & (1u << CONF_CAN_EMBEDDINGS))
        return false;
    for (size_t i = 0; i < chooser->models.count; i++)
        if (str_glob(chooser->models.at[i], model->name))
            return true;
    return false;
}

/* What four tokens, one of them output, cost in 10^-12 credits. */
static uint64_t
blended_price(const struct conf_model *model, const struct conf_channel *channel)
{
    uint64_t list = 3 * (uint64_t)model->rates.u_per_mtok[CONF_INPUT] +
                    (uint64_t)model->rates.u_per_mtok[CONF_OUTPUT];
    unsigned __int128 price =
        (unsigned __int128)list * (uint64_t)channel->multiplier_u[model->currency] / CONF_MICRO;

    return price > UINT64_MAX / CONF_MICRO ? UINT64_MAX / CONF_MICRO : (uint64_t)price;
}

static uint64_t
auto_score(const struct conf_auto *chooser, const struct conf_model *model, uint64_t price,
           uint64_t cheapest)
{
    uint64_t cheap_u = price == cheapest ? CONF_MICRO : cheapest * CONF_MICRO / price;

    return (uint64_t)chooser->cost_u * cheap_u +
           (uint64_t)chooser->quality_u * (uint64_t)model->quality * (CONF_MICRO / 100);
}

/* One look at all models of the auto: the best by score against `cheapest`, and the cheapest. */
struct auto_pick {
    enum route_result result; /* of the best; else why there is none */
    size_t model_idx;
    uint16_t channel_idx;
    uint64_t score;
    uint64_t cheapest;
};

static void
auto_look(const struct route_table *table, const struct route_ask *ask,
          const struct channels *channels, const struct conf_auto *chooser, struct auto_pick *pick)
{
    const struct conf *conf = table->conf;
    uint64_t cheapest = pick->cheapest;

    pick->result = ROUTE_MODEL_NOT_ALLOWED;
    for (size_t i = 0; i < conf->model_count; i++) {
        enum route_result result;
        uint16_t channel_idx;
        uint64_t price, score;

        if (!auto_has(chooser, &conf->models[i]) || !model_allowed(ask, &conf->models[i]))
            continue;
        result = channel_choose(table, ask, channels, i, &channel_idx);
        if (result == ROUTE_NO_UPSTREAM) {
            if (pick->result == ROUTE_MODEL_NOT_ALLOWED)
                pick->result = ROUTE_NO_UPSTREAM;
            continue;
        }
        price = blended_price(&conf->models[i], &conf->channels[channel_idx]);
        score = auto_score(chooser, &conf->models[i], price, MIN(cheapest, price));
        pick->cheapest = MIN(pick->cheapest, price);
        /* Usable ones before those that are down. */
        if (pick->result == ROUTE_OK && (result != ROUTE_OK || score <= pick->score))
            continue;
        if (pick->result == ROUTE_ALL_DOWN && result == ROUTE_ALL_DOWN && score <= pick->score)
            continue;
        *pick = (struct auto_pick){.result = result,
                                   .model_idx = i,
                                   .channel_idx = channel_idx,
                                   .score = score,
                                   .cheapest = pick->cheapest};
    }
}

enum route_result
auto_choose(const struct route_table *table, const struct route_ask *ask,
            const struct channels *channels, const struct conf_auto *chooser, size_t *model_idx,
            uint16_t *channel_idx)
{
    struct auto_pick pick = {.cheapest = UINT64_MAX};

    auto_look(table, ask, channels, chooser, &pick); /* for the cheapest price */
    if (pick.result == ROUTE_OK || pick.result == ROUTE_ALL_DOWN) {
        auto_look(table, ask, channels, chooser, &pick);
        *model_idx = pick.model_idx;
        *channel_idx = pick.channel_idx;
    }
    return pick.result;
}
