#include "route/price.h"

/* From micro-units of currency per million tokens times millionths of a credit to micro-credits:
 * 10^6 for the million tokens, 10^6 for the multiplier. */
#define PRICE_SCALE 1000000000000u

/* Sums count * price into *sum. False when that passes 128 bits. */
static bool
sum_add(unsigned __int128 *sum, uint64_t token_count, int64_t u_per_mtok)
{
    unsigned __int128 part;

    ASSERT(u_per_mtok >= 0 && u_per_mtok <= CONF_PRICE_MAX_U_PER_MTOK);
    /* 64 bits times 40 bits. */
    part = (unsigned __int128)token_count * (uint64_t)u_per_mtok;
    return !__builtin_add_overflow(*sum, part, sum);
}

/* The multiplier and the one rounding, up. */
static bool
sum_price(const struct price *price, unsigned __int128 sum, int64_t *cost_ucr)
{
    unsigned __int128 product;

    ASSERT(price->multiplier_u >= 0 && price->multiplier_u <= CONF_MULTIPLIER_MAX_U);
    if (__builtin_mul_overflow(sum, (unsigned __int128)(uint64_t)price->multiplier_u, &product))
        return false;
    product = product / PRICE_SCALE + (product % PRICE_SCALE != 0);
    if (product > INT64_MAX)
        return false;
    *cost_ucr = (int64_t)product;
    return true;
}

static uint64_t
tier_start(const struct conf_tier *tier)
{
    return tier->above_tokens + !tier->inclusive;
}

/* Tiers stand in the order of their starts. */
static const struct conf_rates *
rates_at(const struct conf_model *model, uint64_t context_tokens)
{
    size_t i = model->tier_count;

    while (i > 0 && context_tokens < tier_start(&model->tiers[i - 1]))
        i--;
    return i > 0 ? &model->tiers[i - 1].rates : &model->rates;
}

struct price
price_of(const struct conf_model *model, const struct conf_channel *channel)
{
    return (struct price){.model = model, .multiplier_u = channel->multiplier_u[model->currency]};
}

bool
price_cost(const struct price *price, const struct price_count *count, int64_t *cost_ucr)
{
    unsigned __int128 sum = 0;
    const int64_t *rate;
    uint64_t context;

    if (__builtin_add_overflow(count->input, count->cache_read, &context) ||
        __builtin_add_overflow(context, count->cache_write_5m, &context) ||
        __builtin_add_overflow(context, count->cache_write_1h, &context))
        return false;
    rate = rates_at(price->model, context)->u_per_mtok;
    return sum_add(&sum, count->input, rate[CONF_INPUT]) &&
           sum_add(&sum, count->cache_read, rate[CONF_CACHE_READ]) &&
           sum_add(&sum, count->cache_write_5m, rate[CONF_CACHE_WRITE_5M]) &&
           sum_add(&sum, count->cache_write_1h, rate[CONF_CACHE_WRITE_1H]) &&
           sum_add(&sum, count->output, rate[CONF_OUTPUT]) && sum_price(price, sum, cost_ucr);
}

static int64_t
dearest_input(const struct conf_rates *rates)
{
    int64_t dearest = rates->u_per_mtok[CONF_INPUT];

    for (int class = 0; class < CONF_CLASS_COUNT; class ++)
        if (class != CONF_OUTPUT)
            dearest = MAX(dearest, rates->u_per_mtok[class]);
    return dearest;
}

/* Within one tier the most input tokens it can have, all of the dearest class. */
static bool
worst_in(const struct conf_rates *rates, uint64_t input_tokens, uint64_t output_tokens,
         unsigned __int128 *worst)
{
    unsigned __int128 sum = 0;

    if (!sum_add(&sum, input_tokens, dearest_input(rates)) ||
        !sum_add(&sum, output_tokens, rates->u_per_mtok[CONF_OUTPUT]))
        return false;
    *worst = MAX(*worst, sum);
    return true;
}

bool
price_worst(const struct price *price, uint64_t input_tokens_max, uint64_t output_tokens_max,
            int64_t *cost_ucr)
{
    const struct conf_model *model = price->model;
    const struct conf_rates *rates = &model->rates;
    unsigned __int128 worst = 0;

    /* Each tier reaches up to where the next one starts; a tier may be cheaper than the one below
     * it, so all that can be reached count. */
    for (size_t i = 0; i <= model->tier_count; i++) {
        bool last = i == model->tier_count || input_tokens_max < tier_start(&model->tiers[i]);
        uint64_t most = last ? input_tokens_max : tier_start(&model->tiers[i]) - 1;

        if (!worst_in(rates, most, output_tokens_max, &worst))
            return false;
        if (last)
            break;
        rates = &model->tiers[i].rates;
    }
    return sum_price(price, worst, cost_ucr);
}

bool
price_output_for(const struct price *price, uint64_t input_tokens_max, int64_t budget_ucr,
                 uint64_t *output_tokens)
{
    uint64_t fits = 0, too_many = (uint64_t)UINT32_MAX + 1;
    int64_t cost;

    if (!price_worst(price, input_tokens_max, 0, &cost) || cost > budget_ucr)
        return false;
    /* The price never falls with more output. */
    while (too_many - fits > 1) {
        uint64_t middle = fits + (too_many - fits) / 2;

        if (price_worst(price, input_tokens_max, middle, &cost) && cost <= budget_ucr)
            fits = middle;
        else
            too_many = middle;
    }
    *output_tokens = fits;
    return true;
}
