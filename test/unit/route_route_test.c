#include "route/route.h"

#include "base/js.h"
#include "base/rng.h"
#include "base/str.h"
#include "test/unit/route_world.h"

/* Upstreams 0 to 6; channels 0 to 3; models 0 to 5. */
static const char text[] =
    "upstream \"a\"  { protocol = {openai, responses} url = \"https://a.example\" models = "
    "{\"gpt-*\"} }\n"
    "upstream \"b\"  { protocol = {openai} url = \"https://b.example\" models = {\"gpt-*\"}\n"
    "                 rename = {\"gpt-big=vendor/\\\"big\\\"\"} }\n"
    "upstream \"c\"  { protocol = {openai} url = \"https://c.example\" models = {\"gpt-*\"} }\n"
    "upstream \"d\"  { protocol = {anthropic} url = \"https://d.example\" models = {\"claude-*\"} "
    "}\n"
    "upstream \"e\"  { protocol = {gemini, anthropic} url = \"https://e.example\" models = "
    "{\"gpt-small\"} }\n"
    "upstream \"f\"  { protocol = {openai} url = \"https://f.example\" models = {\"emb\"} }\n"
    "upstream \"g\"  { protocol = {openai} url = \"https://g.example\" models = {\"gpt-cny\"} }\n"
    "model \"gpt-big\"   { input = 10 output = 30 quality = 90 alias = {\"big\", \"gpt-latest\"} "
    "}\n"
    "model \"gpt-small\" { input = 1 output = 3 quality = 40 }\n"
    "model \"claude-x\"  { input = 3 output = 15 quality = 80 }\n"
    "model \"emb\"       { input = 0 output = 0 quality = 100 can = {embeddings} }\n"
    "model \"lonely\"    { input = 0 output = 0 }\n"
    "model \"gpt-cny\"   { input = 7 output = 14 currency = CNY }\n"
    "channel \"value\"  { use = {a, b, c} weights = {\"a=6\", \"b=3\", \"c=1\"} multiplier = 0.6 "
    "}\n"
    "channel \"smart\"  { use = {d, e, a, b, f} weights = {\"b=0\"} }\n"
    "channel \"hidden\" { use = {a, g} public = false multiplier = 2 multiplier-cny = 0.5 }\n"
    "channel \"none\"   { use = {f} }\n"
    "auto \"auto\"    { models = {\"gpt-*\", \"claude-*\", emb} latency = 0 cost = 1 quality = 0 "
    "}\n"
    "auto \"best\"    { models = {\"gpt-*\", \"claude-*\", emb} latency = 0 cost = 0 quality = 1 "
    "}\n"
    "auto \"even\"    { models = {\"gpt-*\", \"claude-*\"} latency = 0.2 cost = 0.4 quality = 0.4 "
    "}\n"
    "auto \"vectors\" { models = {emb} }\n";

enum { A, B, C, D, E, F, G, UPSTREAMS };
enum { VALUE, SMART, HIDDEN, NONE };
enum { BIG, SMALL, CLAUDE, EMB, LONELY, IN_CNY };

static uint64_t rng;

static struct route_ask
ask_for(const char *model, enum conf_protocol protocol)
{
    return (struct route_ask){.model = str_from(model), .protocol = protocol, .rng_state = &rng};
}

static enum route_result
choose(const char *model, enum conf_protocol protocol, struct route_plan *plan)
{
    struct route_ask ask = ask_for(model, protocol);

    return route_choose(table, &ask, plan);
}

static void
test_plan(void **state)
{
    struct route_plan plan;

    (void)state;
    assert_int_equal(choose("gpt-big", CONF_OPENAI, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].model_idx, BIG);
    assert_int_equal(plan.candidates[0].channel_idx, VALUE);
    assert_int_equal(plan.auto_idx, CONF_NONE);
    assert_int_equal(plan.candidate_count, 3);
    assert_int_equal(plan.candidates[0].price.multiplier_u, 600000);
    assert_ptr_equal(plan.candidates[0].price.model, &conf->models[BIG]);
    for (size_t i = 0; i < 3; i++) {
        bool is_b = plan.candidates[i].upstream_idx == B;

        assert_false(plan.candidates[i].down);
        assert_str(plan.candidates[i].model_sent, is_b ? "vendor/\"big\"" : "gpt-big");
        assert_str(plan.candidates[i].model_json, is_b ? "\"vendor/\\\"big\\\"\"" : "\"gpt-big\"");
    }
    /* An alias is the model. */
    assert_int_equal(choose("gpt-latest", CONF_RESPONSES, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].model_idx, BIG);
    assert_int_equal(plan.candidate_count, 1);
    assert_int_equal(plan.candidates[0].upstream_idx, A);
    /* The first channel that serves it in this protocol. */
    assert_int_equal(choose("gpt-small", CONF_GEMINI, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].channel_idx, SMART);
    assert_int_equal(plan.candidates[0].upstream_idx, E);
}

static void
test_refusals(void **state)
{
    static const uint16_t value_only[] = {VALUE}, none_only[] = {NONE}, beyond[] = {77};
    static const struct str small[] = {{"gpt-small", 9}}, by_alias[] = {{"big*", 4}};
    struct route_plan plan;
    struct route_ask ask;

    (void)state;
    assert_int_equal(choose("gpt", CONF_OPENAI, &plan), ROUTE_NO_MODEL);
    assert_int_equal(choose("", CONF_OPENAI, &plan), ROUTE_NO_MODEL);
    assert_int_equal(choose("gpt-*", CONF_OPENAI, &plan), ROUTE_NO_MODEL);
    assert_int_equal(choose("lonely", CONF_OPENAI, &plan), ROUTE_NO_UPSTREAM);
    assert_int_equal(choose("claude-x", CONF_OPENAI, &plan), ROUTE_NO_UPSTREAM);

    ask = ask_for("gpt-big", CONF_OPENAI);
    ask.model_globs = small;
    ask.model_glob_count = 1;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_MODEL_NOT_ALLOWED);
    ask.model_globs = by_alias; /* any of its names will do, whichever was asked for */
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    ask.channel_named = STR("nowhere");
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_NO_SUCH_CHANNEL);
    ask.channel_named = STR("");
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_NO_SUCH_CHANNEL);
    ask.channel_named = STR("hidden");
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_CHANNEL_NOT_ALLOWED);
    ask.channels = value_only;
    ask.channel_count = 1;
    ask.channel_named = STR("smart"); /* public, but not this key's */
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_CHANNEL_NOT_ALLOWED);
    ask.channel_named = STR("value");
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);

    ask = ask_for("gpt-big", CONF_OPENAI);
    ask.channels = none_only;
    ask.channel_count = 1;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_NO_UPSTREAM);
    ask.channels = beyond; /* a channel that is gone from the file */
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_NO_UPSTREAM);
    ask.model = STR("nothing");
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_NO_MODEL);
}

static void
test_channels(void **state)
{
    static const uint16_t in_order[] = {HIDDEN, VALUE};
    struct route_ask ask = ask_for("gpt-big", CONF_OPENAI);
    struct route_health health[UPSTREAMS] = {{.down = false}};
    struct route_plan plan;

    (void)state;
    ask.channels = in_order;
    ask.channel_count = 2;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].channel_idx, HIDDEN);
    assert_int_equal(plan.candidates[0].price.multiplier_u, 2000000);
    /* After the first channel the next, at its own price, without whom was tried already. */
    assert_int_equal(plan.candidate_count, 3);
    for (size_t i = 1; i < 3; i++) {
        assert_int_equal(plan.candidates[i].channel_idx, VALUE);
        assert_int_equal(plan.candidates[i].price.multiplier_u, 600000);
        assert_int_not_equal(plan.candidates[i].upstream_idx, A);
    }
    /* A channel that is down as a whole gives way to the next. */
    ask.health = health;
    health[A] = (struct route_health){.down = true, .failed_at_ms = 9};
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].channel_idx, VALUE);
    assert_int_equal(plan.candidate_count, 3);
    assert_int_equal(plan.candidates[2].upstream_idx, A);
    assert_true(plan.candidates[2].down);
    /* All are: the first, and the plan is there for who wants to try. */
    health[B] = (struct route_health){.down = true, .failed_at_ms = 3};
    health[C] = (struct route_health){.down = true, .failed_at_ms = 6};
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_ALL_DOWN);
    assert_int_equal(plan.candidates[0].channel_idx, HIDDEN);
    assert_int_equal(plan.candidate_count, 3);
    ask.channel_named = STR("value");
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_ALL_DOWN);
    assert_int_equal(plan.candidates[0].upstream_idx, B); /* failed longest ago */
    assert_int_equal(plan.candidates[1].upstream_idx, C);
    assert_int_equal(plan.candidates[2].upstream_idx, A);
    /* The multiplier is that of the model's currency. */
    ask = ask_for("gpt-cny", CONF_OPENAI);
    ask.channels = in_order;
    ask.channel_count = 2;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].price.multiplier_u, 500000);
}

/* Over many draws each upstream is first as often as its weight says, and second in proportion of
 * what is left. */
static void
test_weights(void **state)
{
    unsigned first[UPSTREAMS] = {0}, second_after_a[UPSTREAMS] = {0};
    struct route_plan plan;

    (void)state;
    rng = test_seed();
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(choose("gpt-big", CONF_OPENAI, &plan), ROUTE_OK);
        assert_true(plan.candidates[0].upstream_idx != plan.candidates[1].upstream_idx &&
                    plan.candidates[1].upstream_idx != plan.candidates[2].upstream_idx &&
                    plan.candidates[0].upstream_idx != plan.candidates[2].upstream_idx);
        first[plan.candidates[0].upstream_idx]++;
        if (plan.candidates[0].upstream_idx == A)
            second_after_a[plan.candidates[1].upstream_idx]++;
    }
    /* Ten standard deviations wide. */
    assert_in_range(first[A], 60000 - 1600, 60000 + 1600);
    assert_in_range(first[B], 30000 - 1500, 30000 + 1500);
    assert_in_range(first[C], 10000 - 1000, 10000 + 1000);
    assert_in_range(second_after_a[B], first[A] * 3 / 4 - 1100, first[A] * 3 / 4 + 1100);
}

static void
test_weight_zero(void **state)
{
    struct route_ask ask = ask_for("gpt-big", CONF_OPENAI);
    struct route_health health[UPSTREAMS] = {{.down = false}};
    struct route_plan plan;

    (void)state;
    ask.channel_named = STR("smart");
    for (int i = 0; i < 100; i++) {
        assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
        assert_int_equal(plan.candidate_count, 2);
        assert_int_equal(plan.candidates[0].upstream_idx, A);
        assert_int_equal(plan.candidates[1].upstream_idx, B);
    }
    health[A].down = true;
    ask.health = health;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].upstream_idx, B);
    assert_int_equal(plan.candidates[1].upstream_idx, A);
}

/* More upstreams than a plan holds: eight different ones, usable before down. */
static void
test_many(void **state)
{
    struct route_health health[40] = {{.down = false}};
    struct route_table *many_table;
    struct route_plan plan;
    struct route_ask ask;
    struct conf *many;
    unsigned seen = 0;
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 16);
    for (int i = 0; i < 40; i++)
        buf_add_fmt(&buf, "upstream \"u%d\" { protocol = openai url = \"https://u.example\" }\n",
                    i);
    buf_add_str(&buf, STR("model \"m\" { input = 0 output = 0 }\nchannel \"c\" { use = {"));
    for (int i = 0; i < 40; i++)
        buf_add_fmt(&buf, "u%d%s", i, i < 39 ? ", " : "} weights = {\"u7=1000000\"} }");
    many = conf_good(buf_str(&buf));
    many_table = route_table_make(many);
    assert_non_null(many_table);
    assert_ptr_equal(route_table_conf(many_table), many);
    ask = ask_for("m", CONF_OPENAI);
    ask.health = health;
    for (int round = 0; round < 500; round++) {
        uint64_t in_plan = 0;

        assert_int_equal(route_choose(many_table, &ask, &plan), ROUTE_OK);
        assert_int_equal(plan.candidate_count, ROUTE_CANDIDATE_COUNT_MAX);
        for (size_t i = 0; i < plan.candidate_count; i++)
            in_plan |= UINT64_C(1) << plan.candidates[i].upstream_idx;
        assert_int_equal(__builtin_popcountll(in_plan), ROUTE_CANDIDATE_COUNT_MAX);
        seen += plan.candidates[0].upstream_idx == 7;
    }
    assert_true(seen > 490);
    for (int i = 0; i < 40; i++)
        health[i] = (struct route_health){.down = i % 10 != 3, .failed_at_ms = 100 - (uint64_t)i};
    assert_int_equal(route_choose(many_table, &ask, &plan), ROUTE_OK);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(plan.candidates[i].down, i >= 4);
    for (size_t i = 4; i < 8; i++)
        assert_int_equal(plan.candidates[i].upstream_idx, 39 - (i - 4));
    route_table_free(&many_table);
    route_table_free(&many_table);
    conf_free(&many);
    buf_free(&buf);
}

static void
test_auto(void **state)
{
    static const struct str no_small[] = {{"gpt-b*", 6}, {"claude-*", 8}}, no_such[] = {{"x", 1}};
    static const uint16_t hidden_only[] = {HIDDEN};
    struct route_health health[UPSTREAMS] = {{.down = false}};
    struct route_plan plan;
    struct route_ask ask;

    (void)state;
    /* By cost alone the cheapest, by quality alone the best; never the one for embeddings. */
    assert_int_equal(choose("auto", CONF_OPENAI, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].model_idx, SMALL);
    assert_int_equal(plan.auto_idx, 0);
    assert_int_equal(plan.candidates[0].channel_idx, VALUE);
    assert_int_equal(plan.candidate_count, 3);
    assert_int_equal(choose("best", CONF_OPENAI, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].model_idx, BIG);
    assert_int_equal(plan.auto_idx, 1);
    /* Both: 0.4 * 1 + 0.4 * 0.4 against 0.4 * 0.1 + 0.4 * 0.9. */
    assert_int_equal(choose("even", CONF_OPENAI, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].model_idx, SMALL);
    /* What the protocol can reach: small by e, claude by d. */
    assert_int_equal(choose("best", CONF_ANTHROPIC, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].model_idx, CLAUDE);
    assert_int_equal(plan.candidates[0].channel_idx, SMART);
    assert_int_equal(choose("auto", CONF_GEMINI, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].model_idx, SMALL);
    assert_int_equal(choose("vectors", CONF_OPENAI, &plan), ROUTE_NO_FIT);

    ask = ask_for("auto", CONF_OPENAI);
    ask.model_globs = no_small;
    ask.model_glob_count = 2;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].model_idx, BIG);
    ask.protocol = CONF_GEMINI;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_NO_UPSTREAM);
    ask.model_globs = no_such;
    ask.model_glob_count = 1;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_MODEL_NOT_ALLOWED);

    /* In another currency the price counts in credits: 35 CNY * 0.5 against 6 USD * 2. */
    ask = ask_for("auto", CONF_OPENAI);
    ask.channels = hidden_only;
    ask.channel_count = 1;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].model_idx, SMALL);
    /* What is down is left for what is up, however cheap. */
    health[A].down = true;
    ask.health = health;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].model_idx, IN_CNY);
    health[G].down = true;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_ALL_DOWN);
    assert_int_equal(plan.candidates[0].model_idx, SMALL);
}

/* Lists beside the key's: all must allow it, and who does not is named. */
static void
test_also(void **state)
{
    static const uint16_t hidden_only[] = {HIDDEN}, none[] = {0};
    static const struct str gpt[] = {{"gpt-*", 5}}, small[] = {{"*", 1}, {"x", 1}};
    struct route_allow also[2] = {
        {.whose = "member", .any_channel = true, .model_globs = gpt, .model_glob_count = 1},
        {.whose = "tenant", .any_channel = true},
    };
    struct route_ask ask = {.model = STR("claude"), .also = also, .also_count = 2,
                            .protocol = CONF_ANTHROPIC};
    uint16_t out[8], channels[CONF_CHANNEL_COUNT_MAX], all[CONF_CHANNEL_COUNT_MAX];
    uint64_t seed = 1;
    struct route_plan plan;
    size_t count;

    (void)state;
    ask.rng_state = &seed;
    ask.model = conf->models[CLAUDE].name;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_MODEL_NOT_ALLOWED);
    assert_string_equal(route_whose_models(conf, &ask), "member");
    assert_int_equal(route_models(table, &ask, out, 8), 3);
    ask.model_globs = gpt;
    ask.model_glob_count = 1;
    assert_string_equal(route_whose_models(conf, &ask), "key");
    ask.model_globs = small;
    ask.model_glob_count = 2;
    also[0].model_globs = small;
    also[1] = (struct route_allow){.whose = "tenant", .any_channel = true, .model_globs = gpt,
                                   .model_glob_count = 1};
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_MODEL_NOT_ALLOWED);
    assert_string_equal(route_whose_models(conf, &ask), "tenant");
    also[1].model_glob_count = 0;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);

    /* Channels: of the key's, in its order, those that all have. */
    count = route_channels(table, &ask, all);
    assert_true(count >= 2);
    also[0] = (struct route_allow){.whose = "member", .channels = &all[1], .channel_count = 1};
    assert_int_equal(route_channels(table, &ask, channels), 1);
    assert_int_equal(channels[0], all[1]);
    assert_string_equal(route_whose_channels(table, &ask), "member");
    ask.channel_named = conf->channels[all[0]].name;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_CHANNEL_NOT_ALLOWED);
    assert_string_equal(route_whose_channels(table, &ask), "member");
    ask.channel_named = conf->channels[all[1]].name;
    assert_int_equal(route_channels(table, &ask, channels), 1);
    /* One that is the member's but not the key's gives the key nothing. */
    also[0] = (struct route_allow){.whose = "member", .channels = hidden_only, .channel_count = 1};
    ask.channel_named = conf->channels[HIDDEN].name;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_CHANNEL_NOT_ALLOWED);
    assert_string_equal(route_whose_channels(table, &ask), "key");
    ask.channel_named = STR_NONE;
    assert_int_equal(route_models(table, &ask, out, 8), 0);
    assert_int_equal(route_autos(table, &ask, out, 8), 0);
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_CHANNEL_NOT_ALLOWED);
    ask.channels = hidden_only;
    ask.channel_count = 1;
    assert_int_equal(route_models(table, &ask, out, 8), 3);
    /* A list of which the file has no channel any more allows none. */
    also[1] = (struct route_allow){.whose = "tenant", .channels = none, .channel_count = 0};
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_CHANNEL_NOT_ALLOWED);
    assert_string_equal(route_whose_channels(table, &ask), "tenant");
}

static void
test_visible(void **state)
{
    static const uint16_t hidden_only[] = {HIDDEN};
    static const struct str gpt[] = {{"gpt-*", 5}};
    struct route_ask ask = {.rng_state = NULL};
    uint16_t out[8] = {0};

    (void)state;
    assert_int_equal(route_models(table, &ask, out, 8), 5);
    assert_int_equal(out[0], BIG);
    assert_int_equal(out[1], SMALL);
    assert_int_equal(out[2], CLAUDE);
    assert_int_equal(out[3], EMB);
    assert_int_equal(out[4], IN_CNY);
    assert_int_equal(route_models(table, &ask, out, 0), 5);
    assert_int_equal(route_autos(table, &ask, out, 8), 4);
    ask.model_globs = gpt;
    ask.model_glob_count = 1;
    out[1] = EMB;
    assert_int_equal(route_models(table, &ask, out, 1), 3);
    assert_int_equal(out[1], EMB); /* not written past cap */
    assert_int_equal(out[0], BIG);
    ask.channels = hidden_only;
    ask.channel_count = 1;
    assert_int_equal(route_models(table, &ask, out, 8), 3);
    assert_int_equal(out[2], IN_CNY);
    ask.channel_named = STR("value");
    assert_int_equal(route_models(table, &ask, out, 8), 0);
    assert_int_equal(route_autos(table, &ask, out, 8), 0);

    assert_int_equal(route_model_protocols(table, SMALL),
                     CONF_PROTOCOL_BIT(CONF_OPENAI) | CONF_PROTOCOL_BIT(CONF_RESPONSES) |
                         CONF_PROTOCOL_BIT(CONF_ANTHROPIC) | CONF_PROTOCOL_BIT(CONF_GEMINI));
    assert_int_equal(route_model_protocols(table, LONELY), 0);
}

/* An upstream without its key is not there for routing. */
static void
test_disabled(void **state)
{
    char path[] = "/tmp/turnpike-route-XXXXXX";
    static const char two[] =
        "upstream \"a\" { protocol = openai url = \"https://a.example\" key-env = NO_SUCH_KEY_ }\n"
        "upstream \"b\" { protocol = openai url = \"https://b.example\" models = {n} }\n"
        "model \"m\" { input = 0 output = 0 } model \"n\" { input = 0 output = 0 }\n"
        "channel \"c\" { use = {a, b} }\n";
    struct route_table *two_table;
    struct conf_faults faults;
    struct route_plan plan;
    struct route_ask ask;
    struct conf *two_conf;
    uint16_t out[2];
    int fd = mkstemp(path);

    (void)state;
    assert_int_equal(write(fd, two, sizeof(two) - 1), sizeof(two) - 1);
    close(fd);
    unsetenv("NO_SUCH_KEY_");
    two_conf = conf_load(path, &faults);
    unlink(path);
    assert_non_null(two_conf);
    two_table = route_table_make(two_conf);
    ask = ask_for("m", CONF_OPENAI);
    assert_int_equal(route_choose(two_table, &ask, &plan), ROUTE_NO_UPSTREAM);
    ask.model = STR("n");
    assert_int_equal(route_choose(two_table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.candidate_count, 1);
    assert_int_equal(route_models(two_table, &ask, out, 2), 1);
    assert_int_equal(out[0], 1);
    route_table_free(&two_table);
    conf_free(&two_conf);
    conf_faults_free(&faults);
}

static void
test_empty(void **state)
{
    struct conf *bare = conf_good(STR(""));
    struct route_table *bare_table = route_table_make(bare);
    struct route_ask ask = ask_for("m", CONF_OPENAI);
    struct route_plan plan;

    (void)state;
    assert_non_null(bare_table);
    assert_int_equal(route_choose(bare_table, &ask, &plan), ROUTE_NO_MODEL);
    assert_int_equal(route_models(bare_table, &ask, NULL, 0), 0);
    route_table_free(&bare_table);
    conf_free(&bare);
}

/* Whatever the key, the health and the draw: a plan keeps to them. */
static void
test_random(void **state)
{
    static const char *const models[] = {"gpt-big", "big",  "gpt-small", "claude-x", "emb",
                                         "lonely",  "auto", "best",      "gpt-cny",  "nope"};
    struct route_health health[UPSTREAMS];
    uint16_t channels[4];
    uint64_t seed = test_seed();

    (void)state;
    rng = seed;
    for (int round = 0; round < 20000; round++) {
        struct route_ask ask = ask_for(models[rng_next(&seed) % COUNT_OF(models)],
                                       (enum conf_protocol)(rng_next(&seed) % CONF_PROTOCOL_COUNT));
        struct route_plan plan;
        enum route_result result;
        bool in_channels = false;

        ask.channel_count = rng_next(&seed) % 5;
        for (size_t i = 0; i < ask.channel_count; i++)
            channels[i] = (uint16_t)(rng_next(&seed) % conf->channel_count);
        ask.channels = channels;
        for (size_t i = 0; i < UPSTREAMS; i++)
            health[i] = (struct route_health){.down = rng_next(&seed) % 2 != 0,
                                              .failed_at_ms = rng_next(&seed) % 5};
        ask.health = health;
        result = route_choose(table, &ask, &plan);
        assert_non_null(route_result_name[result]);
        if (result != ROUTE_OK && result != ROUTE_ALL_DOWN)
            continue;
        for (size_t i = 0; i < ask.channel_count; i++)
            in_channels = in_channels || channels[i] == plan.candidates[0].channel_idx;
        assert_true(in_channels ||
                    (ask.channel_count == 0 && conf->channels[plan.candidates[0].channel_idx].is_public));
        assert_true(plan.candidate_count > 0);
        assert_int_equal(plan.candidates[0].down, result == ROUTE_ALL_DOWN);
        for (size_t i = 0; i < plan.candidate_count; i++) {
            const struct route_candidate *c = &plan.candidates[i];

            assert_true(conf->upstreams[c->upstream_idx].protocols &
                        CONF_PROTOCOL_BIT(ask.protocol));
            assert_true(conf_upstream_serves(&conf->upstreams[c->upstream_idx],
                                             &conf->models[plan.candidates[0].model_idx]));
            assert_int_equal(c->down, health[c->upstream_idx].down);
            assert_true(i == 0 || c->down >= plan.candidates[i - 1].down);
        }
    }
}

static int
set_up(void **state)
{
    (void)state;
    route_open_world(STR(text));
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan),        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_channels),    cmocka_unit_test(test_weights),
        cmocka_unit_test(test_weight_zero), cmocka_unit_test(test_many),
        cmocka_unit_test(test_auto),        cmocka_unit_test(test_visible),
        cmocka_unit_test(test_also),
        cmocka_unit_test(test_disabled),    cmocka_unit_test(test_empty),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, set_up, route_teardown);
}
