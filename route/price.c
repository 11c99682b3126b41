#include "route/price.h"

#include <stdio.h>

#include "base/str.h"

/* From micro-units of currency per million times millionths of a credit to micro-credits: 10^6 for
 * the million, 10^6 for the multiplier. */
#define PRICE_SCALE 1000000000000u

struct price
price_of(const struct conf_model *model, const struct conf_channel *channel)
{
    return (struct price){.model = model, .multiplier_u = channel->multiplier_u[model->currency]};
}

int64_t
price_by_deal(int64_t multiplier_u, uint32_t deal_u)
{
    unsigned __int128 product;

    ASSERT(multiplier_u >= 0 && multiplier_u <= CONF_MULTIPLIER_MAX_U);
    ASSERT(deal_u <= CONF_FACTOR_MAX_U);
    if (deal_u == 0 || multiplier_u == 0)
        return multiplier_u;
    product = ((unsigned __int128)(uint64_t)multiplier_u * deal_u + CONF_MICRO - 1) / CONF_MICRO;
    return (int64_t)MIN(product, (unsigned __int128)CONF_MULTIPLIER_MAX_U);
}

uint8_t
price_discount_at(const struct conf_model *model, int64_t wall_us)
{
    for (size_t i = 0; i < model->discount_count; i++)
        if (zone_hours_hold(&model->discounts[i].zone, model->discounts[i].hours, wall_us))
            return (uint8_t)(i + 1);
    return 0;
}

uint8_t
price_service_of(const struct conf_model *model, struct str name)
{
    for (size_t i = 0; i < model->service_count; i++)
        if (str_eq(model->services[i].name, name))
            return (uint8_t)(i + 1);
    return 0;
}

/* ---- tiers --------------------------------------------------------------------------------- */

static uint64_t
tier_start(const struct conf_tier *tier)
{
    return tier->above_tokens + !tier->inclusive;
}

/* The tier of a call with so much context. Tiers stand in the order of their starts. */
static unsigned
tier_at(const struct conf_model *model, uint64_t context)
{
    size_t tier = model->tier_count;

    while (tier > 0 && context < tier_start(&model->tiers[tier - 1]))
        tier--;
    return (unsigned)tier;
}

unsigned
price_tier(const struct price *price, const struct price_count *count)
{
    uint64_t context = 0;

    if (price->model->tier_count == 0)
        return 0;
    for (int class = 0; class < CONF_INPUT_CLASS_COUNT; class ++)
        context += count->n[class];
    return tier_at(price->model, context);
}

/* ---- sums ---------------------------------------------------------------------------------- */

/* Sums count * rate into *sum. False when that passes 128 bits. */
static bool
sum_add(unsigned __int128 *sum, uint64_t count, int64_t rate)
{
    unsigned __int128 part;

    ASSERT(rate >= 0);
    part = (unsigned __int128)count * (uint64_t)rate; /* 64 bits times 63 */
    return !__builtin_add_overflow(*sum, part, sum);
}

static bool
sum_multiply(const struct price *price, unsigned __int128 sum, unsigned __int128 *product)
{
    ASSERT(price->multiplier_u >= 0 && price->multiplier_u <= CONF_MULTIPLIER_MAX_U);
    return !__builtin_mul_overflow(sum, (unsigned __int128)(uint64_t)price->multiplier_u, product);
}

/* The multiplier and the one rounding, up. */
static bool
sum_price(const struct price *price, unsigned __int128 sum, uint64_t den, int64_t *cost_ucr)
{
    unsigned __int128 product, scale = (unsigned __int128)den * PRICE_SCALE;

    ASSERT(den >= 1 && den <= CONF_WEIGHT_ONE);
    if (!sum_multiply(price, sum, &product))
        return false;
    /* Both fit in 64 bits for most calls, where a division costs a fraction. */
    if (product <= UINT64_MAX && scale <= UINT64_MAX) {
        uint64_t n = (uint64_t)product, by = (uint64_t)scale;

        product = n / by + (n % by != 0);
    } else {
        product = product / scale + (product % scale != 0);
    }
    if (product > INT64_MAX)
        return false;
    *cost_ucr = (int64_t)product;
    return true;
}

static const struct conf_terms *
terms_of(const struct price *price, const struct price_count *count)
{
    return conf_terms_at(price->model, price_tier(price, count), price->service, price->discount);
}

static bool
count_sum(const struct conf_terms *terms, const struct price_count *count, unsigned __int128 *sum)
{
    *sum = 0;
    for (int class = 0; class < CONF_CLASS_COUNT; class ++)
        if (count->n[class] != 0 && !sum_add(sum, count->n[class], terms->rate[class]))
            return false;
    return true;
}

bool
price_cost(const struct price *price, const struct price_count *count, int64_t *cost_ucr)
{
    const struct conf_terms *terms = terms_of(price, count);
    unsigned __int128 sum;

    return count_sum(terms, count, &sum) && sum_price(price, sum, terms->den, cost_ucr);
}

/* ---- the worst ----------------------------------------------------------------------------- */

/* All of the input as the dearest class of it, and of the output. */
static bool
worst_in(const struct price *price, const struct conf_terms *terms, uint64_t input_tokens,
         const struct price_bounds *bounds, int64_t *worst_ucr)
{
    unsigned __int128 sum = 0;
    int64_t cost_ucr;

    if (!sum_add(&sum, input_tokens, terms->input_max) ||
        !sum_add(&sum, bounds->output, terms->output_max) ||
        !sum_add(&sum, bounds->images, terms->rate[CONF_IMAGES]) ||
        !sum_add(&sum, bounds->seconds, terms->rate[CONF_SECONDS]) ||
        !sum_add(&sum, bounds->characters, terms->rate[CONF_CHARACTERS]) ||
        !sum_add(&sum, bounds->requests, terms->rate[CONF_REQUESTS]) ||
        !sum_add(&sum, bounds->searches, terms->rate[CONF_SEARCHES]) ||
        !sum_price(price, sum, terms->den, &cost_ucr))
        return false;
    *worst_ucr = MAX(*worst_ucr, cost_ucr);
    return true;
}

bool
price_worst(const struct price *price, const struct price_bounds *bounds, int64_t *cost_ucr)
{
    const struct conf_model *model = price->model;
    int64_t worst_ucr = 0;

    if (price->service == CONF_SERVICE_BATCHED) {
        if (!worst_in(price, &model->batched_terms, 0, bounds, &worst_ucr))
            return false;
        *cost_ucr = worst_ucr;
        return true;
    }
    /* Each tier reaches up to where the next one starts; a tier may be cheaper than the one below
     * it, so all that can be reached count. */
    for (unsigned tier = 0; tier <= model->tier_count; tier++) {
        bool last = tier == model->tier_count || bounds->input < tier_start(&model->tiers[tier]);
        uint64_t most = last ? bounds->input : tier_start(&model->tiers[tier]) - 1;

        for (unsigned service = 0; service <= model->service_count; service++)
            if (!worst_in(price, conf_terms_at(model, tier, service, price->discount), most, bounds,
                          &worst_ucr))
                return false;
        if (last)
            break;
    }
    *cost_ucr = worst_ucr;
    return true;
}

/* ---- which is dearer ----------------------------------------------------------------------- */

/* Products of a rate and a multiplier over their denominators: crosswise they would pass 128 bits. */
static bool
is_more(unsigned __int128 a, uint64_t a_den, unsigned __int128 b, uint64_t b_den)
{
    unsigned __int128 a_whole, b_whole;

    if (a_den == b_den)
        return a > b;
    a_whole = a / a_den;
    b_whole = b / b_den;
    if (a_whole != b_whole)
        return a_whole > b_whole;
    return a % a_den * b_den > b % b_den * a_den;
}

static bool
terms_dearer(const struct price *price, const struct conf_terms *terms, const struct price *other,
             const struct conf_terms *than)
{
    for (int class = 0; class < CONF_CLASS_COUNT; class ++)
        if (is_more((unsigned __int128)(uint64_t)terms->rate[class] * (uint64_t)price->multiplier_u,
                    terms->den,
                    (unsigned __int128)(uint64_t)than->rate[class] * (uint64_t)other->multiplier_u,
                    than->den))
            return true;
    return false;
}

/* With calls of so much context. */
static bool
dearer_at(const struct price *price, const struct price *other, uint64_t context)
{
    const struct conf_model *model = price->model, *than = other->model;
    unsigned tier = tier_at(model, context), than_tier = tier_at(than, context);

    if (model->context_tokens != 0 && context > model->context_tokens)
        return false; /* no call can have it */
    for (unsigned i = 0; i <= model->service_count; i++) {
        unsigned service =
            i == 0 ? 0 : price_service_of(than, model->services[i - 1].name);

        if (terms_dearer(price, conf_terms_at(model, tier, i, price->discount), other,
                         conf_terms_at(than, than_tier, service, other->discount)))
            return true;
    }
    /* And those that only the other has a price for. */
    for (unsigned i = 1; i <= than->service_count; i++)
        if (price_service_of(model, than->services[i - 1].name) == 0 &&
            terms_dearer(price, conf_terms_at(model, tier, 0, price->discount), other,
                         conf_terms_at(than, than_tier, i, other->discount)))
            return true;
    return false;
}

bool
price_may_be_dearer(const struct price *price, const struct price *other)
{
    const struct conf_model *models[2] = {price->model, other->model};

    if (dearer_at(price, other, 0))
        return true;
    for (size_t i = 0; i < COUNT_OF(models); i++)
        for (size_t k = 0; k < models[i]->tier_count; k++)
            if (dearer_at(price, other, tier_start(&models[i]->tiers[k])))
                return true;
    return false;
}

bool
price_output_for(const struct price *price, const struct price_bounds *bounds, int64_t budget_ucr,
                 uint64_t *output_tokens)
{
    uint64_t fits = 0, too_many = (uint64_t)UINT32_MAX + 1;
    struct price_bounds tried = *bounds;
    int64_t cost;

    tried.output = 0;
    if (!price_worst(price, &tried, &cost) || cost > budget_ucr)
        return false;
    /* The price never falls with more output. */
    while (too_many - fits > 1) {
        tried.output = fits + (too_many - fits) / 2;
        if (price_worst(price, &tried, &cost) && cost <= budget_ucr)
            fits = tried.output;
        else
            too_many = tried.output;
    }
    *output_tokens = fits;
    return true;
}

/* ---- lines --------------------------------------------------------------------------------- */

/* As decimal text: the scale divides a power of ten, so it ends; and a tenfold rest fits. */
static void
quotient_text(unsigned __int128 product, unsigned __int128 scale, char *text)
{
    unsigned __int128 whole = product / scale;
    char digits[40];
    size_t count = 0, len = 0;

    for (; count == 0 || whole > 0; whole /= 10)
        digits[count++] = (char)('0' + (int)(whole % 10));
    while (count > 0)
        text[len++] = digits[--count];
    product %= scale;
    if (product > 0)
        text[len++] = '.';
    for (; product > 0; product %= scale) {
        product *= 10;
        ASSERT(len < PRICE_TEXT_LEN);
        text[len++] = (char)('0' + (int)(product / scale));
    }
    text[len] = '\0';
}

/* Of what sum_price() divides by, which is in micro-credits, to credits. */
static unsigned __int128
text_scale(uint64_t den)
{
    return (unsigned __int128)den * PRICE_SCALE * CONF_MICRO;
}

static bool
sum_text(const struct price *price, unsigned __int128 sum, uint64_t den, char *text)
{
    unsigned __int128 product;

    if (!sum_multiply(price, sum, &product))
        return false;
    quotient_text(product, text_scale(den), text);
    return true;
}

bool
price_line(const struct price *price, const struct price_count *count, enum conf_class class,
           char text[PRICE_TEXT_LEN + 1])
{
    const struct conf_terms *terms = terms_of(price, count);
    unsigned __int128 sum = 0;

    return sum_add(&sum, count->n[class], terms->rate[class]) &&
           sum_text(price, sum, terms->den, text);
}

bool
price_sum(const struct price *price, const struct price_count *count, char text[PRICE_TEXT_LEN + 1])
{
    const struct conf_terms *terms = terms_of(price, count);
    unsigned __int128 sum;

    return count_sum(terms, count, &sum) && sum_text(price, sum, terms->den, text);
}

bool
price_rounding(const struct price *price, const struct price_count *count,
               char text[PRICE_TEXT_LEN + 1])
{
    const struct conf_terms *terms = terms_of(price, count);
    unsigned __int128 sum, product, step = (unsigned __int128)terms->den * PRICE_SCALE;

    if (!count_sum(terms, count, &sum) || !sum_multiply(price, sum, &product))
        return false;
    quotient_text(product % step == 0 ? 0 : step - product % step, text_scale(terms->den), text);
    return true;
}
