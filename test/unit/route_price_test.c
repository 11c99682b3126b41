/* Prices against a reference that adds and multiplies decimal digits, one at a time. */
#include "route/price.h"

#include "base/rng.h"
#include "base/str.h"
#include "test/unit/testing.h"

#define MICRO CONF_MICRO

/* ---- the reference: numbers of 80 decimal digits, lowest first ----------------------------- */

#define DIGITS 80

struct big {
    uint8_t digit[DIGITS];
};

static struct big
big_of(uint64_t n)
{
    struct big big = {{0}};

    for (int i = 0; n > 0; i++, n /= 10)
        big.digit[i] = (uint8_t)(n % 10);
    return big;
}

static struct big
big_add(struct big a, struct big b)
{
    unsigned carry = 0;

    for (int i = 0; i < DIGITS; i++) {
        unsigned sum = a.digit[i] + b.digit[i] + carry;

        a.digit[i] = (uint8_t)(sum % 10);
        carry = sum / 10;
    }
    assert_int_equal(carry, 0);
    return a;
}

static struct big
big_mul(struct big a, uint64_t n)
{
    struct big factor = big_of(n), product = {{0}};

    for (int place = 0; place < 20; place++) {
        struct big shifted = {{0}};

        for (int i = 0; i + place < DIGITS; i++)
            shifted.digit[i + place] = a.digit[i];
        for (int times = 0; times < factor.digit[place]; times++)
            product = big_add(product, shifted);
    }
    return product;
}

/* Divided by 10^12, rounded up. False when more than 63 bits. */
static bool
big_price(struct big product, int64_t *cost)
{
    bool up = false;
    unsigned __int128 whole = 0;

    for (int i = 0; i < 12; i++)
        up = up || product.digit[i] != 0;
    for (int i = DIGITS - 1; i >= 12; i--) {
        whole = whole * 10 + product.digit[i];
        if (whole > (unsigned __int128)UINT64_MAX)
            return false;
    }
    whole += up;
    if (whole > INT64_MAX)
        return false;
    *cost = (int64_t)whole;
    return true;
}

static const struct conf_rates *
reference_rates(const struct conf_model *model, unsigned __int128 context)
{
    const struct conf_rates *rates = &model->rates;

    for (size_t i = 0; i < model->tier_count; i++) {
        const struct conf_tier *tier = &model->tiers[i];

        if (context > tier->above_tokens || (tier->inclusive && context == tier->above_tokens))
            rates = &tier->rates;
    }
    return rates;
}

static bool
reference_cost(const struct price *price, const struct price_count *count, int64_t *cost)
{
    unsigned __int128 context = (unsigned __int128)count->input + count->cache_read +
                                count->cache_write_5m + count->cache_write_1h;
    const int64_t *rate = reference_rates(price->model, context)->u_per_mtok;
    struct big sum = big_mul(big_of((uint64_t)rate[CONF_INPUT]), count->input);

    sum = big_add(sum, big_mul(big_of((uint64_t)rate[CONF_CACHE_READ]), count->cache_read));
    sum = big_add(sum, big_mul(big_of((uint64_t)rate[CONF_CACHE_WRITE_5M]), count->cache_write_5m));
    sum = big_add(sum, big_mul(big_of((uint64_t)rate[CONF_CACHE_WRITE_1H]), count->cache_write_1h));
    sum = big_add(sum, big_mul(big_of((uint64_t)rate[CONF_OUTPUT]), count->output));
    return big_price(big_mul(sum, (uint64_t)price->multiplier_u), cost);
}

/* ---- by hand ------------------------------------------------------------------------------- */

static const struct conf_tier two_tiers[] = {
    {.above_tokens = 200000, .rates = {{6 * MICRO, 600000, 7500000, 12 * MICRO, 22500000}}},
    {.above_tokens = 500000, .inclusive = true, .rates = {{7 * MICRO, 7, 8, 9, 10}}},
};
static const struct conf_model sonnet = {
    .rates = {{3 * MICRO, 300000, 3750000, 6 * MICRO, 15 * MICRO}},
    .tiers = two_tiers,
    .tier_count = 2,
};

static int64_t
cost_of(const struct conf_model *model, int64_t multiplier_u, struct price_count count)
{
    struct price price = {.model = model, .multiplier_u = multiplier_u};
    int64_t cost = -1;

    assert_true(price_cost(&price, &count, &cost));
    return cost;
}

static void
test_by_hand(void **state)
{
    const struct conf_model cheap = {.rates = {{1, 1, 1, 1, 1}}};
    const struct conf_model gratis = {.currency = CONF_CNY};

    (void)state;
    assert_int_equal(cost_of(&sonnet, MICRO, (struct price_count){0}), 0);
    /* A million of each class in turn: the list price in micro-credits. The context decides. */
    assert_int_equal(cost_of(&sonnet, MICRO, (struct price_count){.output = 1000000}), 15000000);
    assert_int_equal(cost_of(&sonnet, MICRO, (struct price_count){.input = 100000}), 300000);
    assert_int_equal(cost_of(&sonnet, MICRO, (struct price_count){.cache_read = 100000}), 30000);
    assert_int_equal(cost_of(&sonnet, MICRO, (struct price_count){.cache_write_5m = 100000}),
                     375000);
    assert_int_equal(cost_of(&sonnet, MICRO, (struct price_count){.cache_write_1h = 100000}),
                     600000);
    /* 0.6 credits a dollar: 1000 * 3 + 500 * 15 = 10500 micro-dollars. */
    assert_int_equal(cost_of(&sonnet, 600000, (struct price_count){.input = 1000, .output = 500}),
                     6300);
    /* One rounding, up: 1 token at 10^-6 a million is 10^-12. */
    assert_int_equal(cost_of(&cheap, MICRO, (struct price_count){.input = 1}), 1);
    assert_int_equal(
        cost_of(&cheap, MICRO, (struct price_count){.input = 500000, .output = 500000}), 1);
    assert_int_equal(
        cost_of(&cheap, MICRO, (struct price_count){.input = 500001, .output = 500000}), 2);
    assert_int_equal(cost_of(&cheap, 1, (struct price_count){.input = 1}), 1);
    assert_int_equal(cost_of(&cheap, 0, (struct price_count){.input = UINT32_MAX}), 0);
    assert_int_equal(cost_of(&gratis, MICRO, (struct price_count){.input = UINT64_MAX}), 0);
}

static void
test_tiers(void **state)
{
    (void)state;
    /* The whole call, output too, by the tier; cached input counts as context. */
    assert_int_equal(cost_of(&sonnet, MICRO, (struct price_count){.input = 200000}), 600000);
    assert_int_equal(cost_of(&sonnet, MICRO, (struct price_count){.input = 200001}), 1200006);
    assert_int_equal(
        cost_of(&sonnet, MICRO, (struct price_count){.input = 100000, .cache_read = 100001}),
        600000 + 60001);
    assert_int_equal(cost_of(&sonnet, MICRO,
                             (struct price_count){
                                 .cache_write_5m = 100000, .cache_write_1h = 100001, .output = 2}),
                     750000 + 1200012 + 45);
    assert_int_equal(cost_of(&sonnet, MICRO, (struct price_count){.input = 499999}), 2999994);
    assert_int_equal(cost_of(&sonnet, MICRO, (struct price_count){.input = 500000}), 3500000);
    /* Output is no context. */
    assert_int_equal(cost_of(&sonnet, MICRO, (struct price_count){.input = 1, .output = 1000000}),
                     15000003);
}

static void
test_bounds(void **state)
{
    const struct conf_model dearest = {
        .rates = {{CONF_PRICE_MAX_U_PER_MTOK, CONF_PRICE_MAX_U_PER_MTOK, CONF_PRICE_MAX_U_PER_MTOK,
                   CONF_PRICE_MAX_U_PER_MTOK, CONF_PRICE_MAX_U_PER_MTOK}}};
    const struct conf_model one = {.rates = {{MICRO, MICRO, MICRO, MICRO, MICRO}}};
    struct price price = {.model = &one, .multiplier_u = MICRO};
    int64_t cost = -7;

    (void)state;
    assert_int_equal(cost_of(&one, MICRO, (struct price_count){.input = INT64_MAX}), INT64_MAX);
    assert_false(
        price_cost(&price, &(struct price_count){.input = (uint64_t)INT64_MAX + 1}, &cost));
    assert_false(price_cost(&price, &(struct price_count){.input = INT64_MAX, .output = 1}, &cost));
    /* The context itself does not fit. */
    assert_false(
        price_cost(&price, &(struct price_count){.input = UINT64_MAX, .cache_read = 1}, &cost));
    price = (struct price){.model = &dearest, .multiplier_u = CONF_MULTIPLIER_MAX_U};
    assert_false(price_cost(
        &price, &(struct price_count){.input = UINT64_MAX, .output = UINT64_MAX}, &cost));
    assert_false(price_cost(&price, &(struct price_count){.output = UINT64_MAX}, &cost));
    assert_false(price_worst(&price, UINT64_MAX, UINT64_MAX, &cost));
    assert_int_equal(cost, -7);
    /* Ten digits of tokens at the dearest: 10^10 tokens * 1 USD a token * 10^6 * 10^6 is too much,
     */
    assert_false(price_cost(&price, &(struct price_count){.output = 9999999999}, &cost));
    /* and 9223372 of them is the last that is not. */
    assert_true(price_cost(&price, &(struct price_count){.output = 9223372}, &cost));
    assert_int_equal(cost, 9223372000000000000);
    assert_false(price_cost(&price, &(struct price_count){.output = 9223373}, &cost));
}

static void
test_worst(void **state)
{
    struct price price = {.model = &sonnet, .multiplier_u = MICRO};
    int64_t cost;

    (void)state;
    assert_true(price_worst(&price, 0, 0, &cost));
    assert_int_equal(cost, 0);
    /* The dearest input is the cache write of one hour. */
    assert_true(price_worst(&price, 1000, 10, &cost));
    assert_int_equal(cost, 6000 + 150);
    assert_true(price_worst(&price, 200000, 0, &cost));
    assert_int_equal(cost, 1200000);
    assert_true(price_worst(&price, 200001, 100, &cost));
    assert_int_equal(cost, 2400012 + 2250);
    /* The next tier is cheaper: the dearest call stays below it, at 499999 tokens. */
    assert_true(price_worst(&price, 600000, 1000, &cost));
    assert_int_equal(cost, 499999 * 12 + 22500);
}

static void
test_output_for(void **state)
{
    struct price price = {.model = &sonnet, .multiplier_u = MICRO};
    const struct conf_model gratis = {.currency = CONF_USD};
    uint64_t tokens = 0;
    int64_t cost;

    (void)state;
    assert_false(price_output_for(&price, 1000, 5999, &tokens));
    assert_true(price_output_for(&price, 1000, 6000, &tokens));
    assert_int_equal(tokens, 0);
    assert_true(price_output_for(&price, 1000, 6014, &tokens));
    assert_int_equal(tokens, 0);
    assert_true(price_output_for(&price, 1000, 6015, &tokens));
    assert_int_equal(tokens, 1);
    assert_true(price_output_for(&price, 250000, INT64_MAX, &tokens));
    assert_int_equal(tokens, UINT32_MAX);
    assert_false(price_output_for(&price, 0, -1, &tokens));
    price.model = &gratis;
    assert_true(price_output_for(&price, UINT64_MAX, 0, &tokens));
    assert_int_equal(tokens, UINT32_MAX);
    price = (struct price){.model = &sonnet, .multiplier_u = 1234567};
    for (int64_t budget = 7000; budget < 200000; budget += 977) {
        assert_true(price_output_for(&price, 777, budget, &tokens));
        assert_true(price_worst(&price, 777, tokens, &cost) && cost <= budget);
        assert_true(price_worst(&price, 777, tokens + 1, &cost) && cost > budget);
    }
}

static void
test_currency(void **state)
{
    const struct conf_channel channel = {.multiplier_u = {[CONF_USD] = 5, [CONF_CNY] = 7}};
    struct conf_model model = {.currency = CONF_USD};

    (void)state;
    assert_int_equal(price_of(&model, &channel).multiplier_u, 5);
    model.currency = CONF_CNY;
    assert_int_equal(price_of(&model, &channel).multiplier_u, 7);
    assert_ptr_equal(price_of(&model, &channel).model, &model);
}

/* ---- at random ----------------------------------------------------------------------------- */

/* Mostly small, sometimes huge, often on a boundary. */
static uint64_t
random_number(uint64_t *rng, uint64_t max)
{
    uint64_t bits = rng_next(rng) % 64, n = rng_next(rng) >> bits;

    switch (rng_next(rng) % 8) {
    case 0: return 0;
    case 1: return max;
    case 2: return MIN(max, (uint64_t)MICRO);
    default: return max == UINT64_MAX ? n : n % (max + 1);
    }
}

static void
random_rates(uint64_t *rng, struct conf_rates *rates)
{
    for (int class = 0; class < CONF_CLASS_COUNT; class ++)
        rates->u_per_mtok[class] = (int64_t)random_number(rng, CONF_PRICE_MAX_U_PER_MTOK);
}

static void
random_model(uint64_t *rng, struct conf_model *model, struct conf_tier *tiers)
{
    uint64_t above = 0;

    *model = (struct conf_model){.tiers = tiers, .tier_count = rng_next(rng) % 4};
    random_rates(rng, &model->rates);
    for (size_t i = 0; i < model->tier_count; i++) {
        above += 1 + rng_next(rng) % 50;
        tiers[i] = (struct conf_tier){.above_tokens = above, .inclusive = rng_next(rng) % 2 != 0};
        above += 1; /* so that an inclusive one does not start where the last did */
        random_rates(rng, &tiers[i].rates);
    }
}

static void
test_random_cost(void **state)
{
    uint64_t rng = test_seed();
    struct conf_tier tiers[4];
    struct conf_model model;
    size_t refused = 0;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        bool small = rng_next(&rng) % 2 != 0;
        uint64_t max = small ? 100 : UINT64_MAX;
        struct price_count count = {
            .input = random_number(&rng, max),
            .cache_read = random_number(&rng, small ? 100 : max >> rng_next(&rng) % 64),
            .cache_write_5m = random_number(&rng, small ? 100 : max >> rng_next(&rng) % 64),
            .cache_write_1h = random_number(&rng, small ? 100 : max >> rng_next(&rng) % 64),
            .output = random_number(&rng, max)};
        struct price price;
        int64_t cost = -1, wanted = -2;
        bool fits;

        random_model(&rng, &model, tiers);
        price = (struct price){.model = &model,
                               .multiplier_u = (int64_t)random_number(&rng, CONF_MULTIPLIER_MAX_U)};
        fits = price_cost(&price, &count, &cost);
        if (fits) {
            assert_true(reference_cost(&price, &count, &wanted));
            assert_int_equal(cost, wanted);
            continue;
        }
        /* Refused only when the result, or the context, is too large to say. */
        refused++;
        assert_true(!reference_cost(&price, &count, &wanted) ||
                    (unsigned __int128)count.input + count.cache_read + count.cache_write_5m +
                            count.cache_write_1h >
                        UINT64_MAX);
    }
    assert_true(refused > 0);
}

/* Every split of the tokens into classes costs at most the worst, and some split all of it. */
static void
test_random_worst(void **state)
{
    uint64_t rng = test_seed();
    struct conf_tier tiers[4];
    struct conf_model model;

    (void)state;
    for (int round = 0; round < 3000; round++) {
        uint64_t input_max = rng_next(&rng) % 200, output_max = rng_next(&rng) % 200;
        int64_t worst, cost, dearest = 0;
        struct price price;

        random_model(&rng, &model, tiers);
        price = (struct price){.model = &model,
                               .multiplier_u = (int64_t)random_number(&rng, 100 * MICRO)};
        assert_true(price_worst(&price, input_max, output_max, &worst));
        for (int class = 0; class < 4; class ++)
            for (uint64_t input = 0; input <= input_max; input++) {
                struct price_count count = {.output = output_max};
                uint64_t *const in[] = {&count.input, &count.cache_read, &count.cache_write_5m,
                                        &count.cache_write_1h};

                *in[class] = input;
                assert_true(price_cost(&price, &count, &cost));
                assert_true(cost <= worst);
                dearest = MAX(dearest, cost);
            }
        assert_int_equal(dearest, worst);
        for (int i = 0; i < 50; i++) {
            uint64_t left = input_max;
            struct price_count count;

            count.input = rng_next(&rng) % (left + 1);
            left -= count.input;
            count.cache_read = rng_next(&rng) % (left + 1);
            left -= count.cache_read;
            count.cache_write_5m = rng_next(&rng) % (left + 1);
            left -= count.cache_write_5m;
            count.cache_write_1h = rng_next(&rng) % (left + 1);
            count.output = rng_next(&rng) % (output_max + 1);
            assert_true(price_cost(&price, &count, &cost));
            assert_true(cost <= worst);
        }
    }
}

/* More tokens allowed never make the worst case cheaper. */
static void
test_worst_grows(void **state)
{
    uint64_t rng = test_seed();
    struct conf_tier tiers[4];
    struct conf_model model;

    (void)state;
    for (int round = 0; round < 500; round++) {
        struct price price = {.model = &model, .multiplier_u = (int64_t)random_number(&rng, MICRO)};
        int64_t last = 0, worst;

        random_model(&rng, &model, tiers);
        for (uint64_t input = 0; input < 250; input++) {
            assert_true(price_worst(&price, input, 17, &worst));
            assert_true(worst >= last);
            last = worst;
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),     cmocka_unit_test(test_tiers),
        cmocka_unit_test(test_bounds),      cmocka_unit_test(test_worst),
        cmocka_unit_test(test_output_for),  cmocka_unit_test(test_currency),
        cmocka_unit_test(test_random_cost), cmocka_unit_test(test_random_worst),
        cmocka_unit_test(test_worst_grows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
