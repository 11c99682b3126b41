/*
 * Terms: the prices of a model as they stand for a call, after its context tier, the service tier
 * it was served by and the discount of the hour, each taken or not.
 *
 * They lie over each other in that order. Where a layer states a price it hides what is below it,
 * factors too; where it states none, its factor multiplies the prices of tokens below it. So a
 * price is a stated one times at most two factors of six decimals, a whole number of 10^-18; and
 * since all of a model's terms are brought to whole numbers over one common denominator here, a
 * call's price is sums and products of integers with one division at the end.
 */
#include "conf/build.h"

#include <string.h>

#include "base/str.h"

_Static_assert(CONF_WEIGHT_ONE == (uint64_t)CONF_MICRO * CONF_MICRO, "two factors");

static const struct conf_rates *
tier_rates(const struct conf_model *model, unsigned tier)
{
    ASSERT(tier <= model->tier_count);
    return tier == 0 ? &model->rates : &model->tiers[tier - 1].rates;
}

static void
rate_change(struct conf_rate *rate, const struct conf_change *change, enum conf_class class)
{
    int64_t stated = change->rates.u_per_mtok[class];

    if (stated != CONF_PRICE_ABSENT)
        *rate = (struct conf_rate){stated, CONF_WEIGHT_ONE};
    else if (class < CONF_TOKEN_CLASS_COUNT)
        rate->weight = rate->weight / CONF_MICRO * change->factor_u;
}

enum conf_class
conf_kind_of(enum conf_class class)
{
    static const uint8_t kind_of[CONF_TOKEN_CLASS_COUNT] = {
        [CONF_INPUT] = CONF_INPUT,          [CONF_CACHE_READ] = CONF_INPUT,
        [CONF_CACHE_WRITE_5M] = CONF_INPUT, [CONF_CACHE_WRITE_1H] = CONF_CACHE_WRITE_5M,
        [CONF_AUDIO_INPUT] = CONF_INPUT,    [CONF_IMAGE_INPUT] = CONF_INPUT,
        [CONF_OUTPUT] = CONF_OUTPUT,        [CONF_REASONING] = CONF_OUTPUT,
        [CONF_AUDIO_OUTPUT] = CONF_OUTPUT,  [CONF_IMAGE_OUTPUT] = CONF_OUTPUT,
    };

    return class < CONF_TOKEN_CLASS_COUNT ? (enum conf_class)kind_of[class] : class;
}

uint32_t
rates_fill(struct conf_rates *rates, const struct conf_model *model)
{
    int64_t *price = rates->u_per_mtok;
    uint32_t stated = 0;

    for (int class = 0; class < CONF_CLASS_COUNT; class ++)
        if (price[class] != CONF_PRICE_ABSENT)
            stated |= CONF_CLASS_BIT(class);
        else if (model != NULL && (model->stated & CONF_CLASS_BIT(class)))
            price[class] = model->rates.u_per_mtok[class];
    for (int class = 0; class < CONF_CLASS_COUNT; class ++) {
        enum conf_class kind = conf_kind_of((enum conf_class)class);

        /* A kind stands before what is of it. What must be stated and is not: said already. */
        if (price[class] == CONF_PRICE_ABSENT)
            price[class] = (int)kind != class ? price[kind] : 0;
    }
    return stated;
}

/* The class whose price it is: itself, or where no layer states one, what it is a kind of. */
static enum conf_class
class_stated(const struct conf_model *model, unsigned tier, unsigned service, unsigned discount,
             enum conf_class class)
{
    uint32_t stated = model->stated;

    if (tier > 0)
        stated |= model->tiers[tier - 1].stated;
    for (;;) {
        bool changed =
            (service > 0 &&
             model->services[service - 1].change.rates.u_per_mtok[class] != CONF_PRICE_ABSENT) ||
            (discount > 0 &&
             model->discounts[discount - 1].change.rates.u_per_mtok[class] != CONF_PRICE_ABSENT);

        if (changed || (stated & CONF_CLASS_BIT(class)) || conf_kind_of(class) == class)
            return class;
        class = conf_kind_of(class);
    }
}

/* Two factors at most: the weight is divided where it is still a multiple of a million. */
struct conf_rate
conf_rate_of(const struct conf_model *model, unsigned tier, unsigned service, unsigned discount,
             enum conf_class class)
{
    struct conf_rate rate = {.weight = CONF_WEIGHT_ONE};

    if (service == CONF_SERVICE_BATCHED) {
        rate.u_per_mtok = class == CONF_REQUESTS ? MAX(model->batched_u, 0) : 0;
        return rate;
    }
    ASSERT(service <= model->service_count && discount <= model->discount_count);
    class = class_stated(model, tier, service, discount, class);
    rate.u_per_mtok = tier_rates(model, tier)->u_per_mtok[class];
    if (service > 0)
        rate_change(&rate, &model->services[service - 1].change, class);
    if (discount > 0)
        rate_change(&rate, &model->discounts[discount - 1].change, class);
    return rate;
}

static size_t
terms_index(const struct conf_model *model, unsigned tier, unsigned service, unsigned discount)
{
    ASSERT(tier <= model->tier_count);
    ASSERT(service <= model->service_count && discount <= model->discount_count);
    return ((size_t)tier * (model->service_count + 1) + service) * (model->discount_count + 1) +
           discount;
}

const struct conf_terms *
conf_terms_at(const struct conf_model *model, unsigned tier, unsigned service, unsigned discount)
{
    if (service == CONF_SERVICE_BATCHED)
        return &model->batched_terms;
    return &model->terms[terms_index(model, tier, service, discount)];
}

static uint64_t
common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

static bool
terms_fill(const struct conf_model *model, unsigned tier, unsigned service, unsigned discount,
           struct conf_terms *out)
{
    struct conf_rate rates[CONF_CLASS_COUNT];
    uint64_t divisor = CONF_WEIGHT_ONE;

    for (int class = 0; class < CONF_CLASS_COUNT; class ++) {
        rates[class] = conf_rate_of(model, tier, service, discount, (enum conf_class)class);
        divisor = common_divisor(divisor, rates[class].weight);
    }
    out->den = CONF_WEIGHT_ONE / divisor;
    for (int class = 0; class < CONF_CLASS_COUNT; class ++) {
        if (__builtin_mul_overflow(rates[class].u_per_mtok, rates[class].weight / divisor,
                                   &out->rate[class]))
            return false;
        if (class < CONF_INPUT_CLASS_COUNT)
            out->input_max = MAX(out->input_max, out->rate[class]);
        else if (class < CONF_TOKEN_CLASS_COUNT)
            out->output_max = MAX(out->output_max, out->rate[class]);
    }
    return true;
}

bool
terms_make(struct arena *arena, struct conf_model *model, const char **why)
{
    size_t count =
        (model->tier_count + 1) * (model->service_count + 1) * (model->discount_count + 1);
    struct conf_terms *terms = arena_zalloc(arena, count * sizeof(*terms));

    *why = NULL;
    if (terms == NULL)
        return false;
    model->terms = terms;
    model->batched_terms =
        (struct conf_terms){.rate = {[CONF_REQUESTS] = MAX(model->batched_u, 0)}, .den = 1};
    for (unsigned tier = 0; tier <= model->tier_count; tier++)
        for (unsigned service = 0; service <= model->service_count; service++)
            for (unsigned discount = 0; discount <= model->discount_count; discount++)
                if (!terms_fill(model, tier, service, discount,
                                &terms[terms_index(model, tier, service, discount)])) {
                    *why = "a price times its factors has too many digits; write fewer decimals";
                    return false;
                }
    return true;
}

/* As route/price.c computes it: each product in 128 bits, the end in 63. */
static bool
payable(const struct conf_terms *terms, int64_t multiplier_u)
{
    unsigned __int128 sum = 0, scale = (unsigned __int128)terms->den * CONF_WEIGHT_ONE;

    for (int class = 0; class < CONF_CLASS_COUNT; class ++)
        sum += (unsigned __int128)(uint64_t)terms->rate[class] * CONF_COUNT_MAX;
    return !__builtin_mul_overflow(sum, (unsigned __int128)(uint64_t)multiplier_u, &sum) &&
           sum / scale < INT64_MAX;
}

bool
terms_payable(const struct conf_model *model, int64_t multiplier_u)
{
    for (unsigned tier = 0; tier <= model->tier_count; tier++)
        for (unsigned service = 0; service <= model->service_count; service++)
            for (unsigned discount = 0; discount <= model->discount_count; discount++)
                if (!payable(conf_terms_at(model, tier, service, discount), multiplier_u))
                    return false;
    return payable(&model->batched_terms, multiplier_u);
}

bool
conf_service_is_plain(struct str name)
{
    static const struct str plain[] = {
        {"default", 7}, {"standard", 8}, {"auto", 4}, {"on_demand", 9}};

    for (size_t i = 0; i < COUNT_OF(plain); i++)
        if (str_eq(name, plain[i]))
            return true;
    return false;
}
