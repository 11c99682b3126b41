/* Where a conversation was served last comes first, unless it cannot serve or another costs less. */
#include "test/unit/route_world.h"

#include "base/str.h"
#include "route/route.h"

static const char conf_text[] =
    "upstream \"a\" { protocol = {openai} url = \"http://127.0.0.1:1/v1\" local = true }\n"
    "upstream \"b\" { protocol = {openai} url = \"http://127.0.0.1:2/v1\" local = true }\n"
    "upstream \"c\" { protocol = {openai} url = \"http://127.0.0.1:3/v1\" local = true }\n"
    "model \"good\" { input = 10 output = 10 cache-read = 10 quality = 100 }\n"
    "model \"cached\" { input = 12 output = 12 cache-read = 0.1 quality = 10 }\n"
    "model \"plain\" { input = 12 output = 12 cache-read = 12 quality = 10 }\n"
    "channel \"main\" { use = {\"a\", \"b\", \"c\"} weights = {\"a=100\", \"b=100\", \"c=1\"}"
    " public = true }\n"
    "auto \"auto\" { models = {\"*\"} latency = 0 cost = 0 quality = 1 }\n";


static int
setup(void **state)
{
    (void)state;
    route_open_world(str_from(conf_text));
    return 0;
}

static struct route_plan
plan_for(const char *model, const struct route_affinity *affinity,
         const struct route_health *health, uint64_t seed)
{
    struct route_plan plan;
    struct route_ask ask = {
        .model = str_from(model),
        .protocol = CONF_OPENAI,
        .needs = {.input_tokens = 10000},
        .affinity = affinity,
        .health = health,
        .rng_state = &seed,
    };

    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    return plan;
}

static void
test_comes_first(void **state)
{
    struct route_affinity at = {.upstream_idx = 2, .model_idx = 0};
    struct route_health health[3] = {0};
    unsigned first[3] = {0};

    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct route_plan plan = plan_for("good", &at, health, seed);

        assert_int_equal(plan.candidate_count, 3);
        assert_int_equal(plan.candidates[0].upstream_idx, 2);
        assert_int_not_equal(plan.candidates[1].upstream_idx, 2);
        first[plan.candidates[1].upstream_idx]++;
        assert_int_equal(plan_for("good", &at, NULL, seed).candidates[0].upstream_idx, 2);
    }
    assert_true(first[0] > 50 && first[1] > 50); /* the others still by weight */
    health[2].latency_us = 1000000; /* slower than the others: its cache is worth it */
    health[0].latency_us = health[1].latency_us = 1000;
    assert_int_equal(plan_for("good", &at, health, 1).candidates[0].upstream_idx, 2);
}

static void
test_cannot_serve(void **state)
{
    struct route_affinity at = {.upstream_idx = 2, .model_idx = 0};
    struct route_health down[3] = {[2] = {.down = true, .failed_at_ms = 5}};
    struct route_health full[3] = {[2] = {.used_ppm = 1000000}};
    unsigned first = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct route_plan plan = plan_for("good", &at, down, seed);

        assert_int_not_equal(plan.candidates[0].upstream_idx, 2);
        assert_int_equal(plan.candidates[2].upstream_idx, 2);
        first += plan_for("good", &at, full, seed).candidates[0].upstream_idx == 2;
    }
    assert_true(first < 20);
    at.upstream_idx = CONF_NONE;
    assert_int_equal(plan_for("good", &at, NULL, 1).candidate_count, 3);
}

static int
auto_model(int model_idx, uint64_t context_tokens)
{
    struct route_affinity at = {
        .upstream_idx = 0, .model_idx = model_idx, .context_tokens = context_tokens};

    return plan_for("auto", model_idx == CONF_NONE ? NULL : &at, NULL, 1).model_idx;
}

static void
test_auto(void **state)
{
    int good = conf_model_index(conf, STR("good")), cached = conf_model_index(conf, STR("cached"));
    int plain = conf_model_index(conf, STR("plain"));

    (void)state;
    assert_int_equal(auto_model(CONF_NONE, 0), good);
    assert_int_equal(auto_model(good, 10000), good);
    assert_int_equal(auto_model(cached, 9000), cached); /* ten times cheaper than anew elsewhere */
    assert_int_equal(auto_model(cached, 100), good);    /* too little of it is in the cache */
    assert_int_equal(auto_model(plain, 10000), good);   /* its cache saves nothing */
}

/* ---- over channels ---- */

static const char over_channels[] =
    "upstream \"a\" { protocol = {openai} url = \"http://127.0.0.1:1/v1\" local = true }\n"
    "upstream \"b\" { protocol = {openai} url = \"http://127.0.0.1:2/v1\" local = true }\n"
    "upstream \"c\" { protocol = {openai} url = \"http://127.0.0.1:3/v1\" local = true }\n"
    "model \"cached\" { input = 10 output = 20 cache-read = 0.1 }\n"
    "model \"plain\" { input = 10 output = 20 }\n"
    "model \"other\" { input = 10 output = 20 cache-read = 0.1 }\n"
    "channel \"cheap\" { use = {\"a\"} multiplier = 1 public = true }\n"
    "channel \"near\" { use = {\"b\", \"c\"} weights = {\"b=1\", \"c=0\"} multiplier = 1.01"
    " public = true }\n"
    "channel \"dear\" { use = {\"c\"} multiplier = 50 public = true }\n";

struct over {
    const char *model;
    struct route_affinity at;
    uint64_t input_tokens;
    bool no_dearer;
    struct route_health health[3];
    int upstream_idx, channel_idx; /* that come first */
};

static void
check_over(struct route_table *over_table, const struct over *o, size_t number)
{
    uint64_t seed = 7;
    struct route_plan plan;
    struct route_ask ask = {
        .model = str_from(o->model),
        .protocol = CONF_OPENAI,
        .needs = {.input_tokens = o->input_tokens},
        .no_dearer = o->no_dearer,
        .affinity = &o->at,
        .health = o->health,
        .rng_state = &seed,
    };

    assert_int_equal(route_choose(over_table, &ask, &plan), ROUTE_OK);
    if (plan.candidates[0].upstream_idx != o->upstream_idx ||
        plan.candidates[0].channel_idx != o->channel_idx)
        fail_msg("%zu: upstream %u of channel %u", number, plan.candidates[0].upstream_idx,
                 plan.candidates[0].channel_idx);
    assert_int_equal(plan.candidates[0].price.multiplier_u,
                     route_table_conf(over_table)->channels[o->channel_idx].multiplier_u[0]);
    for (size_t i = 1; i < plan.candidate_count; i++)
        assert_int_not_equal(plan.candidates[i].upstream_idx, o->upstream_idx);
    if (!o->no_dearer)
        assert_int_equal(plan.candidate_count, 3);
}

static void
test_over_channels(void **state)
{
    static const struct over cases[] = {
        /* Nothing known of its model; the model in its cache; not a cached price. */
        {"cached", {.upstream_idx = 1, .model_idx = 2, .context_tokens = 9000}, 0, false, {{0}}, 0, 0},
        {"cached", {.upstream_idx = 1, .model_idx = 0, .context_tokens = 9000}, 0, false, {{0}}, 1, 1},
        {"plain", {.upstream_idx = 1, .model_idx = 1, .context_tokens = 9000}, 0, false, {{0}}, 0, 0},
        /* Also as a spare: the one by weight costs more. */
        {"cached", {.upstream_idx = 2, .model_idx = 0, .context_tokens = 9000}, 0, false, {{0}}, 2, 1},
        /* What is new outweighs it, by the request's size or by what the caller's estimate says. */
        {"cached", {.upstream_idx = 1, .model_idx = 0, .context_tokens = 100}, 90000, false, {{0}}, 0, 0},
        {"cached",
         {.upstream_idx = 1, .model_idx = 0, .context_tokens = 100, .input_tokens = 90000},
         0, false, {{0}}, 0, 0},
        /* The key wants no dearer channel; it is out; it is full; another credential; none of it. */
        {"cached", {.upstream_idx = 1, .model_idx = 0, .context_tokens = 9000}, 0, true, {{0}}, 0, 0},
        {"cached", {.upstream_idx = 1, .model_idx = 0, .context_tokens = 9000}, 0, false,
         {[1] = {.down = true, .failed_at_ms = 1}}, 0, 0},
        {"cached", {.upstream_idx = 1, .model_idx = 0, .context_tokens = 9000}, 0, false,
         {[1] = {.used_ppm = 1000000}}, 0, 0},
        {"cached", {.upstream_idx = 1, .model_idx = 0, .credential = 1, .context_tokens = 9000}, 0,
         false, {{0}}, 0, 0},
        /* The cheap one is out: the next is not cheaper. */
        {"cached", {.upstream_idx = 2, .model_idx = 0, .context_tokens = 9000}, 0, false,
         {[0] = {.down = true, .failed_at_ms = 1}}, 2, 1},
    };
    struct conf *over_conf = conf_good(str_from(over_channels));
    struct route_table *over_table;

    (void)state;
    over_table = route_table_make(over_conf);
    assert_non_null(over_table);
    assert_true(route_has_choice(over_table));
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_over(over_table, &cases[i], i);
    route_table_free(&over_table);
    conf_free(&over_conf);
}

/* A channel has one upstream each: there is a choice all the same. */
static void
test_choice_of_channels(void **state)
{
    static const char *const texts[] = {
        "channel \"x\" { use = {\"a\"} }\n", "channel \"x\" { use = {\"a\", \"b\"} }\n",
        "channel \"x\" { use = {\"a\"} }\nchannel \"y\" { use = {\"b\"} }\n"};
    static const bool choice[] = {false, true, true};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct conf *one;
        struct route_table *made;
        char text[1024];

        snprintf(text, sizeof(text),
                 "upstream \"a\" { protocol = {openai} url = \"http://127.0.0.1:1/v1\" local = true }\n"
                 "upstream \"b\" { protocol = {openai} url = \"http://127.0.0.1:2/v1\" local = true }\n"
                 "model \"m\" { input = 1 output = 1 }\n%s",
                 texts[i]);
        one = conf_good(str_from(text));
        made = route_table_make(one);
        assert_int_equal(route_has_choice(made), choice[i]);
        route_table_free(&made);
        conf_free(&one);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, route_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_comes_first), TEST(test_cannot_serve),
                                       TEST(test_auto), TEST(test_over_channels),
                                       TEST(test_choice_of_channels)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
