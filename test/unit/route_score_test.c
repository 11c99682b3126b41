/* How good a candidate is, and what that does to the shares of a channel's upstreams. */
#include "test/unit/route_world.h"

#include "base/buf.h"
#include "base/rng.h"
#include "route/score.h"

#define UPSTREAMS_MAX 50

static struct route_health health[UPSTREAMS_MAX];
static uint64_t rng;

static uint64_t
score(struct route_health h, uint64_t price_ppm, uint32_t weight)
{
    struct route_merit merit = {.health = &h, .price_ppm = price_ppm, .weight = weight};

    return route_score(&merit);
}

static bool
beats(struct route_health a, struct route_health b)
{
    struct route_merit ma = {.health = &a, .price_ppm = ROUTE_PRICE_SAME, .weight = 1};
    struct route_merit mb = {.health = &b, .price_ppm = ROUTE_PRICE_SAME, .weight = 1};

    return route_beats(&ma, &mb);
}

static void
test_score(void **state)
{
    const struct route_health none = {0}, slow = {.latency_us = 950000},
                              slower = {.latency_us = 950000, .us_per_token = 5000};

    (void)state;
    assert_int_equal(score(none, ROUTE_PRICE_SAME, 1), ROUTE_SCORE_ONE);
    assert_int_equal(score(none, ROUTE_PRICE_SAME, 3), 3 * ROUTE_SCORE_ONE);
    assert_int_equal(score(none, ROUTE_PRICE_SAME, 0), 0);
    assert_int_equal(score(none, 0, 1), ROUTE_SCORE_ONE);
    assert_int_equal(score(none, 2 * ROUTE_PRICE_SAME, 1), ROUTE_SCORE_ONE / 2);
    assert_int_equal(score(slow, ROUTE_PRICE_SAME, 1), ROUTE_SCORE_ONE / 20);
    assert_int_equal(score(slower, ROUTE_PRICE_SAME, 1), ROUTE_SCORE_ONE / 40);
    assert_int_equal(score((struct route_health){.error_ppm = 500000}, ROUTE_PRICE_SAME, 1),
                     ROUTE_SCORE_ONE / 2);
    assert_int_equal(score((struct route_health){.error_ppm = 1000000}, ROUTE_PRICE_SAME, 1),
                     ROUTE_SCORE_ONE / 10);
    assert_int_equal(score((struct route_health){.load_ppm = 500000}, ROUTE_PRICE_SAME, 1),
                     ROUTE_SCORE_ONE);
    assert_int_equal(score((struct route_health){.load_ppm = 1000000}, ROUTE_PRICE_SAME, 1),
                     ROUTE_SCORE_ONE / 2);
    assert_int_equal(score((struct route_health){.used_ppm = 800000}, ROUTE_PRICE_SAME, 1),
                     ROUTE_SCORE_ONE);
    assert_int_equal(score((struct route_health){.used_ppm = 900000}, ROUTE_PRICE_SAME, 1),
                     666666);
    assert_int_equal(score((struct route_health){.used_ppm = 1000000}, ROUTE_PRICE_SAME, 1),
                     ROUTE_SCORE_ONE / 8);
}

/* The worst of everything is the least, and nothing wraps on the way. */
static void
test_extremes(void **state)
{
    const struct route_health worst = {.latency_us = UINT32_MAX, .us_per_token = UINT32_MAX,
                                       .error_ppm = UINT32_MAX, .load_ppm = UINT32_MAX,
                                       .used_ppm = UINT32_MAX};
    struct route_health less = worst;

    (void)state;
    assert_int_equal(score(worst, UINT64_MAX, 1), 0);
    less.used_ppm = 0;
    assert_true(beats(less, worst));
    less = worst;
    less.latency_us = less.us_per_token = 1;
    assert_true(beats(less, worst));
    assert_false(beats(worst, less));
    assert_false(beats(worst, worst));
    assert_true(beats((struct route_health){0}, worst));
}

static void
test_near_equals(void **state)
{
    const struct route_health second = {.latency_us = 950000};

    (void)state;
    /* With the base: 1,000,000 us against 1,250,000, and one more. */
    assert_false(beats(second, (struct route_health){.latency_us = 1200000}));
    assert_true(beats(second, (struct route_health){.latency_us = 1200001}));
    assert_false(beats((struct route_health){.latency_us = 1200001}, second));
    /* What is known of one alone decides nothing. */
    assert_false(beats((struct route_health){0}, second));
    assert_false(beats(second, (struct route_health){.us_per_token = 4000000}));
    /* Neither do a few milliseconds. */
    assert_false(beats((struct route_health){.latency_us = 1}, (struct route_health){.latency_us = 12000}));
}

static bool
beats_at(struct route_health a, uint64_t a_cost, struct route_health b, uint64_t b_cost)
{
    struct route_merit ma = {.health = &a, .price_ppm = a_cost, .weight = 1};
    struct route_merit mb = {.health = &b, .price_ppm = b_cost, .weight = 1};

    return route_beats(&ma, &mb);
}

/* Of near equals the cheaper; and a price counts like time. */
static void
test_costs(void **state)
{
    const struct route_health one = {.latency_us = 950000}, near = {.latency_us = 1100000},
                              slow = {.latency_us = 1950000};

    (void)state;
    assert_true(beats_at(one, 800000, one, 800001));
    assert_false(beats_at(one, 800001, one, 800000));
    assert_false(beats_at(one, 800000, one, 800000));
    assert_true(beats_at(near, 900000, one, 1000000));
    assert_false(beats_at(one, 1000000, near, 900000));
    /* Twice as slow is not worth a tenth; nor three quarters as dear; but a third is. */
    assert_false(beats_at(slow, 900000, one, 1000000));
    assert_true(beats_at(one, 1000000, slow, 900000));
    assert_true(beats_at(slow, 300000, one, 1000000));
    assert_false(beats_at(one, 1000000, slow, 300000));
    /* What is at neither end wraps. */
    assert_true(beats_at(one, 1, one, UINT64_MAX));
    assert_true(beats_at(one, 0, one, 1000000));
    assert_false(beats_at(one, UINT64_MAX, one, 0));
    assert_int_equal(route_price_ppm(1500000, 1000000), 1500000);
    assert_int_equal(route_price_ppm(1000000000, 1), ROUTE_PRICE_PPM_MAX);
}

static void
test_orders(void **state)
{
    uint64_t seed = test_seed();

    (void)state;
    for (int i = 0; i < 100000; i++) {
        struct route_health h[3];

        for (unsigned k = 0; k < 3; k++)
            h[k] = (struct route_health){.latency_us = 1 + (uint32_t)(rng_next(&seed) % 4000000),
                                         .us_per_token = 1 + (uint32_t)(rng_next(&seed) % 50000),
                                         .error_ppm = (uint32_t)(rng_next(&seed) % 1000000),
                                         .load_ppm = (uint32_t)(rng_next(&seed) % 1000000),
                                         .used_ppm = (uint32_t)(rng_next(&seed) % 1000001)};
        assert_false(beats(h[0], h[1]) && beats(h[1], h[0]));
        if (beats(h[0], h[1]) && beats(h[1], h[2]))
            assert_true(beats(h[0], h[2]));
        if (beats(h[0], h[1]))
            assert_true(score(h[0], ROUTE_PRICE_SAME, 1) >= score(h[1], ROUTE_PRICE_SAME, 1));
    }
}

/* ---- shares ---- */

static void
world_make(unsigned upstreams, const uint32_t *weights)
{
    struct buf text, uses;

    buf_init(&text, 1u << 20);
    buf_init(&uses, 1u << 20);
    buf_add_fmt(&text, "model \"m\" { input = 1 output = 1 }\n");
    for (unsigned i = 0; i < upstreams; i++) {
        buf_add_fmt(&text, "upstream \"u%u\" { protocol = {openai} url = \"https://u%u.test\" }\n", i, i);
        buf_add_fmt(&uses, "%s\"u%u\"", i > 0 ? ", " : "", i);
    }
    buf_add_fmt(&text, "channel \"c\" { public = true use = {%.*s} weights = {", (int)uses.len,
                uses.ptr);
    for (unsigned i = 0; i < upstreams; i++)
        buf_add_fmt(&text, "%s\"u%u=%u\"", i > 0 ? ", " : "", i, weights[i]);
    buf_add_fmt(&text, "} }\n");
    route_open_world(buf_str(&text));
    buf_free(&text);
    buf_free(&uses);
    memset(health, 0, sizeof(health));
    rng = test_seed();
}

static struct route_plan
choose(void)
{
    struct route_ask ask = {.model = STR("m"), .protocol = CONF_OPENAI, .health = health,
                            .rng_state = &rng};
    struct route_plan plan;

    memset(&plan, 0, sizeof(plan));
    assert_in_range(route_choose(table, &ask, &plan), ROUTE_OK, ROUTE_ALL_DOWN);
    return plan;
}

/* How often each is the first, in 20,000 choices. */
static void
shares(unsigned count[UPSTREAMS_MAX])
{
    memset(count, 0, UPSTREAMS_MAX * sizeof(*count));
    for (int i = 0; i < 20000; i++)
        count[choose().candidates[0].upstream_idx]++;
}

/* Five standard deviations of the share, and a little. */
static void
assert_share(unsigned got, unsigned ppm)
{
    unsigned expected = ppm / 50, band = 10;

    while (band * band < 25 * (uint64_t)expected)
        band++;
    if (got + band < expected || got > expected + band)
        fail_msg("%u times of 20000 where %u are due", got, expected);
}

static void
test_weights_decide(void **state)
{
    unsigned count[UPSTREAMS_MAX];

    (void)state;
    world_make(4, (const uint32_t[]){1, 5, 4, 0});
    for (int round = 0; round < 3; round++) {
        if (round == 1) /* the same for all */
            for (int i = 0; i < 4; i++)
                health[i] = (struct route_health){.latency_us = 700000, .us_per_token = 9000};
        if (round == 2) { /* near equals */
            health[0].latency_us = 750000;
            health[1].us_per_token = 9900;
            health[2].error_ppm = 30000;
        }
        shares(count);
        assert_share(count[0], 100000);
        assert_share(count[1], 500000);
        assert_share(count[2], 400000);
        assert_int_equal(count[3], 0);
    }
    route_close_world();
}

static void
test_long_list(void **state)
{
    unsigned count[UPSTREAMS_MAX];
    uint32_t weights[UPSTREAMS_MAX], total = 0;

    (void)state;
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        total += weights[i] = i % 5;
    world_make(UPSTREAMS_MAX, weights);
    shares(count);
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        assert_share(count[i], weights[i] * 1000000 / total);
    /* All but a few are down. */
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        health[i].down = i != 1 && i != 4;
    shares(count);
    assert_share(count[1], 200000);
    assert_share(count[4], 800000);
    route_close_world();
}

/* The slow one is the first only when nobody compared. */
static void
test_slow_one(void **state)
{
    unsigned count[UPSTREAMS_MAX];

    (void)state;
    world_make(3, (const uint32_t[]){1, 1, 1});
    for (int i = 0; i < 3; i++)
        health[i].latency_us = i == 1 ? 3000000 : 500000;
    shares(count);
    assert_share(count[1], 1000000 / 3 / 32);
    assert_in_range(count[0], 9000, 11000);
    /* And with one other beside it, too; the order behind the first holds all. */
    health[2].down = true;
    shares(count);
    assert_share(count[1], 1000000 / 2 / 32);
    assert_int_equal(count[2], 0);
    route_close_world();
}

static void
test_each_once(void **state)
{
    const uint32_t weights[10] = {1, 2, 3, 0, 5, 6, 7, 8, 9, 10};

    (void)state;
    world_make(10, weights);
    for (int i = 0; i < 10000; i++) {
        uint64_t seed = rng_next(&rng), before;
        struct route_plan plan, again;
        unsigned seen = 0;

        for (unsigned k = 0; k < 10; k++)
            health[k] = (struct route_health){.down = rng_next(&rng) % 4 == 0,
                                              .latency_us = (uint32_t)(rng_next(&rng) % 3000000)};
        before = rng;
        rng = seed;
        plan = choose();
        rng = seed;
        again = choose();
        rng = before;
        assert_int_equal(plan.candidate_count, ROUTE_CANDIDATE_COUNT_MAX);
        for (unsigned k = 0; k < plan.candidate_count; k++) {
            const struct route_candidate *c = &plan.candidates[k];

            assert_int_equal(c->upstream_idx, again.candidates[k].upstream_idx);
            assert_false(seen >> c->upstream_idx & 1);
            seen |= 1u << c->upstream_idx;
            assert_int_equal(c->down, health[c->upstream_idx].down);
            if (k > 0 && plan.candidates[k - 1].down)
                assert_true(c->down);
        }
    }
    route_close_world();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_score),          cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_near_equals), cmocka_unit_test(test_costs),    cmocka_unit_test(test_orders),
        cmocka_unit_test(test_weights_decide), cmocka_unit_test(test_long_list),
        cmocka_unit_test(test_slow_one),       cmocka_unit_test(test_each_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
