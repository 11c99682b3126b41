/* Prices by hand; at random they are compared with exact fractions in route_price_model_test.c. */
#include "route/price.h"

#include "base/rng.h"
#include "base/str.h"
#include "test/unit/conf_good.h"

#define MICRO CONF_MICRO

static struct conf *
load(const char *text)
{
    return conf_good(str_from(text));
}

#define SONNET                                                                                     \
    "model \"sonnet\" { input = 3 cache-read = 0.3 cache-write = 3.75 cache-write-1h = 6 "         \
    "output = 15\n"                                                                                \
    " tier \"200k\" { above = 200000 input = 6 cache-read = 0.6 cache-write = 7.5 "                \
    "cache-write-1h = 12 output = 22.5 }\n"                                                        \
    " tier \"500k\" { above = 500000 inclusive = true input = 7 cache-read = 0.000007 "            \
    "cache-write = 0.000008 cache-write-1h = 0.000009 output = 0.00001 } }\n"

#define COUNT(...) ((struct price_count){.n = {__VA_ARGS__}})

static int64_t
cost_at(const struct price *price, struct price_count count)
{
    int64_t cost = -1;

    assert_true(price_cost(price, &count, &cost));
    return cost;
}

static int64_t
cost_of(const struct conf *conf, int64_t multiplier_u, struct price_count count)
{
    return cost_at(&(struct price){.model = &conf->models[0], .multiplier_u = multiplier_u}, count);
}

static void
test_by_hand(void **state)
{
    struct conf *sonnet = load(SONNET);
    struct conf *cheap = load("model \"m\" { input = 0.000001 output = 0.000001 }");
    struct conf *gratis = load("model \"m\" { input = 0 output = 0 currency = CNY }");

    (void)state;
    assert_int_equal(cost_of(sonnet, MICRO, COUNT(0)), 0);
    /* A million of each class in turn: the list price in micro-credits. The context decides. */
    assert_int_equal(cost_of(sonnet, MICRO, COUNT([CONF_OUTPUT] = 1000000)), 15000000);
    assert_int_equal(cost_of(sonnet, MICRO, COUNT([CONF_INPUT] = 100000)), 300000);
    assert_int_equal(cost_of(sonnet, MICRO, COUNT([CONF_CACHE_READ] = 100000)), 30000);
    assert_int_equal(cost_of(sonnet, MICRO, COUNT([CONF_CACHE_WRITE_5M] = 100000)), 375000);
    assert_int_equal(cost_of(sonnet, MICRO, COUNT([CONF_CACHE_WRITE_1H] = 100000)), 600000);
    /* 0.6 credits a dollar: 1000 * 3 + 500 * 15 = 10500 micro-dollars. */
    assert_int_equal(cost_of(sonnet, 600000, COUNT([CONF_INPUT] = 1000, [CONF_OUTPUT] = 500)),
                     6300);
    /* One rounding, up: 1 token at 10^-6 a million is 10^-12. */
    assert_int_equal(cost_of(cheap, MICRO, COUNT([CONF_INPUT] = 1)), 1);
    assert_int_equal(cost_of(cheap, MICRO, COUNT([CONF_INPUT] = 500000, [CONF_OUTPUT] = 500000)),
                     1);
    assert_int_equal(cost_of(cheap, MICRO, COUNT([CONF_INPUT] = 500001, [CONF_OUTPUT] = 500000)),
                     2);
    assert_int_equal(cost_of(cheap, 1, COUNT([CONF_INPUT] = 1)), 1);
    assert_int_equal(cost_of(gratis, MICRO, COUNT([CONF_INPUT] = UINT32_MAX)), 0);
    conf_free(&sonnet);
    conf_free(&cheap);
    conf_free(&gratis);
}

/* One of each class, at prices that tell them apart. */
static void
test_each_class(void **state)
{
    struct conf *conf =
        load("model \"m\" { input = 1 cache-read = 2 cache-write = 3 cache-write-1h = 4 "
             "audio-input = 5\n"
             " image-input = 6 output = 7 reasoning = 8 audio-output = 9 image-output = 10\n"
             " per-image = 0.04 per-second = 0.000100000001 per-million-characters = 15\n"
             " per-request = 0.01 per-search = 0.025 }");
    static const int64_t want[CONF_CLASS_COUNT] = {1, 2,  3,     4,   5,  6,     7,    8,
                                                   9, 10, 40000, 101, 15, 10000, 25000};
    char text[PRICE_TEXT_LEN + 1];
    struct price price = {.model = &conf->models[0], .multiplier_u = MICRO};

    (void)state;
    for (int class = 0; class < CONF_CLASS_COUNT; class ++) {
        struct price_count count = {.n = {0}};

        count.n[class] = 1;
        assert_int_equal(cost_of(conf, MICRO, count), want[class]);
    }
    assert_true(price_line(&price, &COUNT([CONF_SECONDS] = 3), CONF_SECONDS, text));
    assert_string_equal(text, "0.000300000003");
    assert_true(price_line(&price, &COUNT([CONF_INPUT] = 10, [CONF_OUTPUT] = 1), CONF_INPUT, text));
    assert_string_equal(text, "0.00001");
    assert_true(price_line(&price, &COUNT([CONF_REQUESTS] = 200), CONF_REQUESTS, text));
    assert_string_equal(text, "2");
    assert_true(price_sum(&price, &COUNT(0), text));
    assert_string_equal(text, "0");
    conf_free(&conf);
}

/* What nobody states costs as what it is a kind of, wherever that is stated. */
static void
test_kinds(void **state)
{
    struct conf *conf = load("model \"m\" { input = 1 output = 10\n"
                             " tier \"t\" { above = 1000 input = 2 cache-write = 3 }\n"
                             " service \"s\" { output = 40 } }");
    struct price price = {.model = &conf->models[0], .multiplier_u = MICRO};

    (void)state;
    assert_int_equal(cost_at(&price, COUNT([CONF_CACHE_READ] = 1000)), 1000);
    assert_int_equal(cost_at(&price, COUNT([CONF_IMAGE_INPUT] = 1001)), 2002);
    assert_int_equal(cost_at(&price, COUNT([CONF_CACHE_WRITE_1H] = 1001)), 3003);
    assert_int_equal(cost_at(&price, COUNT([CONF_REASONING] = 5)), 50);
    assert_int_equal(cost_at(&price, COUNT([CONF_SEARCHES] = 5)), 0);
    price.service = 1;
    assert_int_equal(cost_at(&price, COUNT([CONF_REASONING] = 5, [CONF_AUDIO_OUTPUT] = 5)), 400);
    conf_free(&conf);
}

static void
test_layers(void **state)
{
    struct conf *conf =
        load("model \"m\" { input = 4 output = 20 reasoning = 30 per-request = 0.5\n"
             " tier \"t\" { above = 100 input = 8 }\n"
             " service \"flex\" { factor = 0.5 }\n"
             " service \"priority\" { factor = 1.5 output = 100 per-request = 1 }\n"
             " discount \"night\" { from = 22:00 to = 06:00 factor = 0.25 }\n"
             " discount \"noon\" { from = 12:00 to = 13:00 input = 1 } }");
    struct price price = {.model = &conf->models[0], .multiplier_u = MICRO};
    struct price_count one =
        COUNT([CONF_INPUT] = 100, [CONF_OUTPUT] = 10, [CONF_REASONING] = 1, [CONF_REQUESTS] = 1);

    (void)state;
    assert_int_equal(cost_at(&price, one), 400 + 200 + 30 + 500000);
    price.service = price_service_of(price.model, STR("flex"));
    assert_int_equal(cost_at(&price, one), 200 + 100 + 15 + 500000); /* of tokens only */
    price.service = price_service_of(price.model, STR("priority"));
    assert_int_equal(cost_at(&price, one), 600 + 1000 + 45 + 1000000); /* its own, not its factor */
    assert_int_equal(price_service_of(price.model, STR("scale")), 0);
    /* 02:00 */
    price.discount = price_discount_at(price.model, INT64_C(7200) * 1000000);
    assert_int_equal(price.discount, 1);
    assert_int_equal(cost_at(&price, one), 150 + 250 + 12 + 1000000); /* 11.25 in exact */
    price.service = 1;
    one.n[CONF_INPUT] = 101; /* the next tier: 808 / 8 */
    assert_int_equal(cost_at(&price, one), 101 + 25 + 4 + 500000);
    price.discount = 2; /* hides the tier and the factor of flex for input */
    assert_int_equal(cost_at(&price, one), 101 + 100 + 15 + 500000);
    conf_free(&conf);
}

/* From the first minute inclusive to the last exclusive, over midnight. */
static void
test_hours(void **state)
{
    struct conf *conf =
        load("model \"m\" { input = 4 output = 20\n"
             " discount \"night\" { from = \"16:30\" to = \"00:30\" factor = 0.5 }\n"
             " discount \"day\" { from = \"00:30\" to = \"16:30\" factor = 0.75 } }");
    static const struct {
        int64_t at_s;
        int discount;
    } cases[] = {
        {0, 1},     {1799, 1},  {1800, 2},          {59399, 2},
        {59400, 1}, {86399, 1}, {86400 + 59399, 2}, {1795000000 / 86400 * 86400 + 59400, 1}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(price_discount_at(&conf->models[0], cases[i].at_s * 1000000 + 999999),
                         cases[i].discount);
    conf_free(&conf);
}

static void
test_tiers(void **state)
{
    struct conf *conf = load(SONNET);

    (void)state;
    /* The whole call, output too, by the tier; cached input counts as context. */
    assert_int_equal(cost_of(conf, MICRO, COUNT([CONF_INPUT] = 200000)), 600000);
    assert_int_equal(cost_of(conf, MICRO, COUNT([CONF_INPUT] = 200001)), 1200006);
    assert_int_equal(cost_of(conf, MICRO, COUNT([CONF_INPUT] = 100000, [CONF_CACHE_READ] = 100001)),
                     600000 + 60001);
    assert_int_equal(
        cost_of(conf, MICRO, COUNT([CONF_INPUT] = 100000, [CONF_AUDIO_INPUT] = 100001)), 1200006);
    assert_int_equal(cost_of(conf, MICRO,
                             COUNT([CONF_CACHE_WRITE_5M] = 100000, [CONF_CACHE_WRITE_1H] = 100001,
                                   [CONF_OUTPUT] = 2)),
                     750000 + 1200012 + 45);
    assert_int_equal(cost_of(conf, MICRO, COUNT([CONF_INPUT] = 499999)), 2999994);
    assert_int_equal(cost_of(conf, MICRO, COUNT([CONF_INPUT] = 500000)), 3500000);
    /* Output is no context. */
    assert_int_equal(cost_of(conf, MICRO, COUNT([CONF_INPUT] = 1, [CONF_OUTPUT] = 1000000)),
                     15000003);
    conf_free(&conf);
}

/* The dearest that a file can state, and what does not fit. */
static void
test_bounds(void **state)
{
    struct conf *conf = load("model \"m\" { input = 1000000 output = 1000000 }");
    struct price price = {.model = &conf->models[0], .multiplier_u = MICRO};
    struct price_bounds most = {.input = UINT64_MAX, .output = UINT64_MAX};
    int64_t cost = -7;

    (void)state;
    assert_int_equal(cost_at(&price, COUNT([CONF_OUTPUT] = CONF_COUNT_MAX)),
                     INT64_C(1000000000000000));
    price.multiplier_u = CONF_MULTIPLIER_MAX_U;
    assert_true(price_cost(&price, &COUNT([CONF_OUTPUT] = 9223372), &cost));
    assert_int_equal(cost, INT64_C(9223372000000000000));
    cost = -7;
    assert_false(price_cost(&price, &COUNT([CONF_OUTPUT] = 9223373), &cost));
    assert_false(price_worst(&price, &most, &cost));
    assert_int_equal(cost, -7);
    conf_free(&conf);
}

static void
test_worst(void **state)
{
    struct conf *conf = load(SONNET);
    struct conf *units = load("model \"m\" { input = 1 output = 1 per-request = 1 per-search = 2\n"
                              " per-image = 4 service \"x\" { factor = 3 per-search = 1 } }");
    struct price price = {.model = &conf->models[0], .multiplier_u = MICRO};
    int64_t cost;

    (void)state;
    assert_true(price_worst(&price, &(struct price_bounds){0}, &cost));
    assert_int_equal(cost, 0);
    /* The dearest input is the cache write of one hour. */
    assert_true(price_worst(&price, &(struct price_bounds){.input = 1000, .output = 10}, &cost));
    assert_int_equal(cost, 6000 + 150);
    assert_true(price_worst(&price, &(struct price_bounds){.input = 200000}, &cost));
    assert_int_equal(cost, 1200000);
    assert_true(price_worst(&price, &(struct price_bounds){.input = 200001, .output = 100}, &cost));
    assert_int_equal(cost, 2400012 + 2250);
    /* The next tier is cheaper: the dearest call stays below it, at 499999 tokens. */
    assert_true(
        price_worst(&price, &(struct price_bounds){.input = 600000, .output = 1000}, &cost));
    assert_int_equal(cost, 499999 * 12 + 22500);
    /* The service that serves is known only afterwards: whichever is dearest. */
    price.model = &units->models[0];
    assert_true(price_worst(
        &price, &(struct price_bounds){.input = 100, .images = 1, .requests = 1, .searches = 2},
        &cost));
    assert_int_equal(cost, 100 + 9000000);
    assert_true(
        price_worst(&price, &(struct price_bounds){.input = 1000000, .output = 1000000}, &cost));
    assert_int_equal(cost, 6000000);
    conf_free(&conf);
    conf_free(&units);
}

/* A request of a batch has its own price, which no tier, service or hour changes, and which changes
 * what no other call holds or costs. */
static void
test_batched(void **state)
{
    struct conf *conf =
        load("model \"m\" { input = 1 output = 2 per-request = 1\n"
             " per-batched-request = 9.000000000001 tier \"t\" { above = 1 input = 5 }\n"
             " service \"s\" { factor = 3 per-request = 2 }\n"
             " discount \"d\" { from = 01:00 to = 02:00 factor = 2 per-request = 3 } }\n"
             "model \"none\" { input = 1 output = 2 }");
    struct price price = {.model = &conf->models[0], .multiplier_u = MICRO};
    struct price_bounds bounds = {.requests = 7, .input = 1000, .output = 1000};
    struct price_count count = COUNT([CONF_REQUESTS] = 7);
    char text[PRICE_TEXT_LEN + 1];
    struct conf_rate rate;
    int64_t cost;

    (void)state;
    assert_int_equal(conf->models[1].batched_u, CONF_PRICE_ABSENT);
    assert_true(price_worst(&price, &bounds, &cost));
    assert_int_equal(cost, 7 * 2 * MICRO + (1000 * 5 + 1000 * 2) * 3); /* of the service "s" */
    price.service = CONF_SERVICE_BATCHED;
    price.discount = 1;
    assert_true(price_worst(&price, &bounds, &cost));
    assert_int_equal(cost, 63 * MICRO + 1); /* rounded once */
    assert_true(price_cost(&price, &count, &cost));
    assert_int_equal(cost, 63 * MICRO + 1);
    assert_true(price_line(&price, &count, CONF_REQUESTS, text));
    assert_string_equal(text, "63.000000000007");
    rate = conf_rate_of(price.model, 1, CONF_SERVICE_BATCHED, 1, CONF_REQUESTS);
    assert_true(rate.u_per_mtok == INT64_C(9000000000001) && rate.weight == CONF_WEIGHT_ONE);
    rate = conf_rate_of(price.model, 1, CONF_SERVICE_BATCHED, 1, CONF_INPUT);
    assert_int_equal(rate.u_per_mtok, 0);
    conf_free(&conf);
}

static void
test_output_for(void **state)
{
    struct conf *conf = load(SONNET "model \"gratis\" { input = 0 output = 0 }");
    struct price price = {.model = &conf->models[0], .multiplier_u = MICRO};
    struct price_bounds bounds = {.input = 1000, .output = 77};
    uint64_t tokens = 0;
    int64_t cost;

    (void)state;
    assert_false(price_output_for(&price, &bounds, 5999, &tokens));
    assert_true(price_output_for(&price, &bounds, 6000, &tokens));
    assert_int_equal(tokens, 0);
    assert_true(price_output_for(&price, &bounds, 6014, &tokens));
    assert_int_equal(tokens, 0);
    assert_true(price_output_for(&price, &bounds, 6015, &tokens));
    assert_int_equal(tokens, 1);
    bounds.input = 250000;
    assert_true(price_output_for(&price, &bounds, INT64_MAX, &tokens));
    assert_int_equal(tokens, UINT32_MAX);
    assert_false(price_output_for(&price, &bounds, -1, &tokens));
    price.model = &conf->models[1];
    assert_true(price_output_for(&price, &bounds, 0, &tokens));
    assert_int_equal(tokens, UINT32_MAX);
    price = (struct price){.model = &conf->models[0], .multiplier_u = 1234567};
    bounds.input = 777;
    for (int64_t budget = 7000; budget < 200000; budget += 977) {
        assert_true(price_output_for(&price, &bounds, budget, &tokens));
        bounds.output = tokens;
        assert_true(price_worst(&price, &bounds, &cost) && cost <= budget);
        bounds.output = tokens + 1;
        assert_true(price_worst(&price, &bounds, &cost) && cost > budget);
    }
    conf_free(&conf);
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

/* Rounded up to the millionth, within what a multiplier may be. */
static void
test_deal(void **state)
{
    static const struct {
        int64_t multiplier_u;
        uint32_t deal_u;
        int64_t want_u;
    } cases[] = {
        {600000, 0, 600000},
        {600000, 1000000, 600000},
        {600000, 850000, 510000},
        {1234567, 500000, 617284}, /* 617283.5 */
        {1234567, 500001, 617285}, /* 617284.73… */
        {1, 1, 1},
        {1, 999999, 1},
        {0, 500000, 0},
        {5000000, 1000000000, 5000000000},
        {CONF_MULTIPLIER_MAX_U, 1000001, CONF_MULTIPLIER_MAX_U},
        {CONF_MULTIPLIER_MAX_U, CONF_FACTOR_MAX_U, CONF_MULTIPLIER_MAX_U},
        {CONF_MULTIPLIER_MAX_U, 1, CONF_MICRO},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(price_by_deal(cases[i].multiplier_u, cases[i].deal_u), cases[i].want_u);
}

/* More tokens allowed never make the worst case cheaper, and every split into classes is within it.
 */
static void
test_random_worst(void **state)
{
    struct conf *conf = load("model \"m\" { input = 1 cache-read = 5 output = 2 reasoning = 3\n"
                             " tier \"a\" { above = 20 cache-read = 1 input = 2 }\n"
                             " tier \"b\" { above = 90 cache-write = 9 output = 0.5 }\n"
                             " service \"s\" { factor = 0.7 reasoning = 4 } }");
    uint64_t rng = test_seed();
    struct price price = {.model = &conf->models[0], .multiplier_u = 1234567};
    int64_t last = 0;

    (void)state;
    for (uint64_t input = 0; input < 250; input++) {
        struct price_bounds bounds = {.input = input, .output = rng_next(&rng) % 100};
        int64_t worst, cost;

        for (int i = 0; i < 100; i++) {
            struct price_count count = {.n = {0}};
            uint64_t in = rng_next(&rng) % (input + 1), out = rng_next(&rng) % (bounds.output + 1);

            count.n[rng_next(&rng) % CONF_INPUT_CLASS_COUNT] = (uint32_t)in;
            count.n[CONF_OUTPUT + rng_next(&rng) % 4] = (uint32_t)out;
            price.service = (uint8_t)(rng_next(&rng) % 2);
            assert_true(price_worst(&price, &bounds, &worst));
            assert_true(price_cost(&price, &count, &cost));
            assert_true(cost <= worst);
        }
        bounds.output = 0;
        assert_true(price_worst(&price, &bounds, &worst));
        assert_true(worst >= last);
        last = worst;
    }
    conf_free(&conf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),      cmocka_unit_test(test_each_class),
        cmocka_unit_test(test_kinds),        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_hours),        cmocka_unit_test(test_tiers),
        cmocka_unit_test(test_bounds),       cmocka_unit_test(test_worst),
        cmocka_unit_test(test_batched),
        cmocka_unit_test(test_output_for),   cmocka_unit_test(test_currency),
        cmocka_unit_test(test_deal),
        cmocka_unit_test(test_random_worst),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
