/* Channels in order, names with a channel behind them, rules, what a request needs, near names. */
#include "route/route.h"

#include "base/buf.h"
#include "base/rng.h"
#include "base/str.h"
#include "test/unit/route_world.h"

static const char text[] =
    "upstream \"u1\" { protocol = {openai, anthropic} url = \"https://1.example\" }\n"
    "upstream \"u2\" { protocol = openai url = \"https://2.example\" }\n"
    "upstream \"u3\" { protocol = openai url = \"https://3.example\" }\n"
    "upstream \"u4\" { protocol = openai url = \"https://4.example\" models = {\"sonnet*\"} }\n"
    "model \"sonnet\" { family = claude input = 3 output = 15 cache-write = 4 context = 1000\n"
    "    max-output = 100 can = {tools, vision, json} quality = 90 alias = {\"sonnet-4-5\"} }\n"
    "model \"haiku\" { family = claude input = 1 output = 5 context = 500 max-output = 50\n"
    "    can = {tools} quality = 60 }\n"
    "model \"opus\" { family = claude input = 5 output = 25 context = 1000 max-output = 100\n"
    "    can = {tools, vision} quality = 95 }\n"
    "model \"mini\" { family = gpt input = 0.1 output = 0.5 quality = 40 can = {json, audio} }\n"
    "model \"odd@value\" { input = 1 output = 1 }\n"
    "model \"emb\" { input = 1 output = 0 can = {embeddings} }\n"
    "channel \"value\" { use = {u1} multiplier = 0.6 }\n"
    "channel \"smart\" { use = {u2, u1} multiplier = 1 }\n"
    "channel \"stable\" { use = {u3, u2, u1} multiplier = 5 }\n"
    "channel \"own\" { use = {u4} multiplier = 0.5 public = false }\n"
    "auto \"auto\" { models = {\"*\"} }\n";

enum { U1, U2, U3, U4, UPSTREAMS };
enum { SONNET, HAIKU, OPUS, MINI, ODD, EMB };
enum { VALUE, SMART, STABLE, OWN };

static uint64_t rng;
static struct route_plan plan;

static void
load(const char *rules)
{
    struct buf all;

    buf_init(&all, 1 << 20);
    buf_add_fmt(&all, "%s%s", text, rules);
    route_open_world(buf_str(&all));
    buf_free(&all);
    rng = 1;
}

static struct route_ask
ask_for(const char *model)
{
    static const uint16_t in_order[] = {VALUE, SMART, STABLE};

    return (struct route_ask){.model = str_from(model),
                              .protocol = CONF_OPENAI,
                              .channels = in_order,
                              .channel_count = 3,
                              .rng_state = &rng};
}

/* The plan in one line: "u1/value/sonnet …". */
static const char *
plan_text(void)
{
    static char line[1024];
    size_t len = 0;

    line[0] = '\0';
    for (size_t i = 0; i < plan.candidate_count; i++) {
        const struct route_candidate *c = &plan.candidates[i];

        len += (size_t)snprintf(line + len, sizeof(line) - len, "%s%s/%s/%s%s", i > 0 ? " " : "",
                                conf->upstreams[c->upstream_idx].name.ptr,
                                conf->channels[c->channel_idx].name.ptr,
                                conf->models[c->model_idx].name.ptr, c->down ? "!" : "");
    }
    return line;
}

#define assert_plan(ask, want)                                                                     \
    do {                                                                                           \
        assert_int_equal(route_choose(table, (ask), &plan), ROUTE_OK);                             \
        assert_string_equal(plan_text(), (want));                                                  \
    } while (0)

static void
test_order(void **state)
{
    static const uint16_t other[] = {STABLE, VALUE};
    struct route_health health[UPSTREAMS] = {{.down = false}};
    struct route_ask ask = ask_for("haiku");

    (void)state;
    load("");
    assert_plan(&ask, "u1/value/haiku u2/smart/haiku u3/stable/haiku");
    assert_int_equal(plan.candidates[1].price.multiplier_u, 1000000);
    assert_int_equal(plan.candidates[2].price.multiplier_u, 5000000);
    assert_int_equal(plan.model_idx, HAIKU);
    assert_int_equal(plan.auto_idx, CONF_NONE);
    assert_int_equal(plan.rule_idx, CONF_NONE);
    /* Who is down in the first channel comes last, in that channel. */
    ask.health = health;
    health[U1].down = true;
    assert_plan(&ask, "u2/smart/haiku u3/stable/haiku u1/value/haiku!");
    health[U1].down = false;
    ask.channels = other;
    ask.channel_count = 2;
    health[U3].down = health[U2].down = true;
    health[U3].failed_at_ms = 2;
    health[U2].failed_at_ms = 1;
    assert_plan(&ask, "u1/stable/haiku u2/stable/haiku! u3/stable/haiku!");
    /* All down. */
    health[U1] = (struct route_health){.down = true, .failed_at_ms = 3};
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_ALL_DOWN);
    assert_string_equal(plan_text(), "u2/stable/haiku! u3/stable/haiku! u1/stable/haiku!");
}

static void
test_no_dearer(void **state)
{
    static const uint16_t down_first[] = {SMART, STABLE, VALUE};
    struct route_health health[UPSTREAMS] = {{.down = false}};
    struct route_ask ask = ask_for("haiku");

    (void)state;
    load("");
    ask.no_dearer = true;
    assert_plan(&ask, "u1/value/haiku");
    ask.channels = down_first;
    ask.health = health;
    health[U2].down = true;
    assert_plan(&ask, "u1/smart/haiku u2/smart/haiku!");
    /* Also when all of the first is down: the cheaper one, but never the dearer. */
    health[U1].down = true;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_ALL_DOWN);
    assert_string_equal(plan_text(), "u2/smart/haiku! u1/smart/haiku!");
    ask.no_dearer = false;
    assert_plan(&ask, "u3/stable/haiku u2/smart/haiku! u1/smart/haiku!");
}

/* The first that is for a place is what is paid there; what is dearer, and an auto's choice, go by it. */
static void
test_deals(void **state)
{
    static const uint16_t down_first[] = {SMART, STABLE, VALUE};
    struct route_deal deals[] = {
        {STABLE, STR("hai*"), 150000},
        {STABLE, STR("haiku"), 900000}, /* never comes into it */
        {SMART, STR("sonnet-4-5"), 2000000}, /* an alias */
        {CONF_NONE, STR(""), 500001},
    };
    struct route_health health[UPSTREAMS] = {{.down = false}};
    struct route_ask ask = ask_for("haiku");

    (void)state;
    load("");
    ask.deals = deals;
    ask.deal_count = COUNT_OF(deals);
    assert_plan(&ask, "u1/value/haiku u2/smart/haiku u3/stable/haiku");
    assert_int_equal(plan.candidates[0].price.multiplier_u, 300001); /* 0.6 * 0.500001, up */
    assert_int_equal(plan.candidates[0].price.deal_u, 500001);
    assert_int_equal(plan.candidates[1].price.multiplier_u, 500001);
    assert_int_equal(plan.candidates[2].price.multiplier_u, 750000);
    assert_int_equal(plan.candidates[2].price.deal_u, 150000);
    ask.model = STR("sonnet");
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[1].price.multiplier_u, 2000000);
    assert_int_equal(plan.candidates[2].price.multiplier_u, 2500005);
    ask.deal_count = 2;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].price.multiplier_u, 600000);
    assert_int_equal(plan.candidates[0].price.deal_u, 0);
    /* By their deal the dearest channel is no dearer than the first. */
    ask.model = STR("haiku");
    ask.channels = down_first;
    ask.no_dearer = true;
    ask.health = health;
    health[U2].down = true;
    assert_plan(&ask, "u1/smart/haiku u3/stable/haiku u2/smart/haiku!");
    ask.deal_count = 0;
    assert_plan(&ask, "u1/smart/haiku u2/smart/haiku!");
}

/* By list price the small one is the cheapest, by the deal another. */
static void
test_deals_auto(void **state)
{
    static const struct route_weights cost = {0, CONF_MICRO, 0};
    struct route_deal deal = {CONF_NONE, STR("opus"), 1000};
    struct route_ask ask = ask_for("auto");

    (void)state;
    load("");
    ask.weights = &cost;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.model_idx, MINI);
    ask.deals = &deal;
    ask.deal_count = 1;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.model_idx, OPUS);
}

static void
test_named(void **state)
{
    static const struct {
        const char *asked, *header;
        enum route_result result;
        const char *plan;
    } cases[] = {
        {"sonnet@smart", NULL, ROUTE_OK, "u2/smart/sonnet u1/smart/sonnet"},
        {"sonnet-4-5@value", NULL, ROUTE_OK, "u1/value/sonnet"},
        {"sonnet@value", "value", ROUTE_OK, "u1/value/sonnet"},
        {"sonnet", "value", ROUTE_OK, "u1/value/sonnet"},
        {"sonnet@value", "smart", ROUTE_TWO_CHANNELS, NULL},
        {"sonnet@own", NULL, ROUTE_CHANNEL_NOT_ALLOWED, NULL},
        {"sonnet", "own", ROUTE_CHANNEL_NOT_ALLOWED, NULL},
        {"sonnet@nope", NULL, ROUTE_NO_SUCH_CHANNEL, NULL},
        {"sonnet@", NULL, ROUTE_NO_MODEL, NULL},
        {"@value", NULL, ROUTE_NO_MODEL, NULL},
        {"@", NULL, ROUTE_NO_MODEL, NULL},
        {"sonet@value", NULL, ROUTE_NO_MODEL, NULL},
        {"odd@value", NULL, ROUTE_OK, NULL},
        {"odd@value@smart", NULL, ROUTE_OK, NULL},
        {"odd@smart", NULL, ROUTE_NO_MODEL, NULL},
        {"auto@value", NULL, ROUTE_OK, "u1/value/mini"},
        {"", NULL, ROUTE_NO_MODEL, NULL},
    };

    (void)state;
    load("");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct route_ask ask = ask_for(cases[i].asked);

        rng = 1;
        if (cases[i].header != NULL)
            ask.channel_named = str_from(cases[i].header);
        if (route_choose(table, &ask, &plan) != cases[i].result)
            fail_msg("%s: %s", cases[i].asked,
                     route_result_name[route_choose(table, &ask, &plan)]);
        if (cases[i].plan != NULL && plan.candidate_count == 1)
            assert_string_equal(plan_text(), cases[i].plan);
        if (strncmp(cases[i].asked, "odd", 3) == 0 && cases[i].result == ROUTE_OK)
            assert_int_equal(plan.model_idx, ODD);
    }
    /* "odd@value" is the model in all channels, "odd@value@smart" the same in one. */
    struct route_ask ask = ask_for("odd@value");

    assert_plan(&ask, "u1/value/odd@value u2/smart/odd@value u3/stable/odd@value");
    ask = ask_for("odd@value@smart");
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].channel_idx, SMART);
}

/* A channel with many leaves room for those behind it. */
static void
test_room(void **state)
{
    static const uint16_t channels[] = {0, 1, 2};
    struct route_ask ask = {.model = STR("m"), .channels = channels, .rng_state = &rng};
    struct conf *many;
    struct route_table *many_table;
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 20);
    for (int i = 0; i < 14; i++)
        buf_add_fmt(&buf, "upstream \"u%d\" { protocol = openai url = \"https://%d.example\" }\n", i, i);
    buf_add_fmt(&buf, "model \"m\" { input = 1 output = 1 }\nchannel \"a\" { use = {");
    for (int i = 0; i < 10; i++)
        buf_add_fmt(&buf, "%s\"u%d\"", i > 0 ? ", " : "", i);
    buf_add_fmt(&buf, "} }\nchannel \"b\" { use = {u10, u11} }\nchannel \"c\" { use = {u12, u13} }\n");
    many = conf_good(buf_str(&buf));
    many_table = route_table_make(many);
    assert_non_null(many_table);
    for (ask.channel_count = 1; ask.channel_count <= 3; ask.channel_count++) {
        size_t in[3] = {0};

        assert_int_equal(route_choose(many_table, &ask, &plan), ROUTE_OK);
        assert_int_equal(plan.candidate_count, ROUTE_CANDIDATE_COUNT_MAX);
        for (size_t i = 0; i < plan.candidate_count; i++) {
            assert_true(i == 0 ||
                        plan.candidates[i].channel_idx >= plan.candidates[i - 1].channel_idx);
            in[plan.candidates[i].channel_idx]++;
        }
        assert_int_equal(in[0], 9 - ask.channel_count);
        assert_int_equal(in[1], ask.channel_count > 1);
        assert_int_equal(in[2], ask.channel_count > 2);
    }
    route_table_free(&many_table);
    conf_free(&many);
    buf_free(&buf);
}

/* ---- rules ---- */

static void
test_rules(void **state)
{
    struct route_ask ask = ask_for("sonnet");

    (void)state;
    load("rule \"old\" { model = {\"gpt-3*\"} to-model = mini }\n"
         "rule \"team\" { project = {\"team-*\"} to-channel = {\"stable\", \"own\"} }\n"
         "rule \"ci\" { key = {\"ci-*\"} to-model = \"auto\" to-channel = value }\n"
         "rule \"long\" { context-above = 900 to-model = opus }\n"
         "rule \"sees\" { model = {\"mini\"} needs = {tools, vision} to-model = \"sonnet-4-5\" }\n"
         "rule \"mini\" { model = {\"mini\"} to-channel = smart }\n");
    assert_plan(&ask, "u1/value/sonnet u2/smart/sonnet u3/stable/sonnet");
    assert_int_equal(plan.rule_idx, CONF_NONE);
    /* A name that is no model can be given one. */
    ask = ask_for("gpt-3.5-turbo");
    assert_plan(&ask, "u1/value/mini u2/smart/mini u3/stable/mini");
    assert_int_equal(plan.rule_idx, 0);
    ask = ask_for("gpt-3.5-turbo@smart");
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].channel_idx, SMART);
    assert_int_equal(plan.model_idx, MINI);
    ask = ask_for("gpt-2");
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_NO_MODEL);
    /* Channels: of the rule's those of the key. A caller's own choice stays. */
    ask = ask_for("sonnet");
    ask.project = STR("team-a");
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.rule_idx, 1);
    assert_int_equal(plan.candidate_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(plan.candidates[i].channel_idx, STABLE);
    ask.channel_named = STR("value");
    assert_plan(&ask, "u1/value/sonnet");
    assert_int_equal(plan.rule_idx, 1);
    /* A key that has none of them goes on with its own. */
    ask.channel_named = STR_NONE;
    ask.channel_count = 1;
    assert_plan(&ask, "u1/value/sonnet");
    /* To an auto, in one channel. */
    ask = ask_for("sonnet");
    ask.key_name = STR("ci-7");
    assert_plan(&ask, "u1/value/mini");
    assert_int_equal(plan.auto_idx, 0);
    assert_int_equal(plan.rule_idx, 2);
    /* By size, by needs. */
    ask = ask_for("sonnet");
    ask.needs.input_tokens = 900;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.model_idx, SONNET);
    ask.needs.input_tokens = 901;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.model_idx, OPUS);
    ask = ask_for("mini");
    ask.needs.can = 1u << CONF_CAN_VISION;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.model_idx, MINI);
    assert_int_equal(plan.candidates[0].channel_idx, SMART);
    ask.needs.can = 1u << CONF_CAN_VISION | 1u << CONF_CAN_TOOLS | 1u << CONF_CAN_JSON;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.model_idx, SONNET);
    assert_int_equal(plan.rule_idx, 4);
}

static void
test_rule_rights(void **state)
{
    static const struct str only_mini[] = {{"mini", 4}}, some[] = {{"sonnet", 6}, {"haiku", 5}};
    struct route_ask ask = ask_for("mini");

    (void)state;
    load("rule \"up\" { model = {\"mini\", \"sonnet\"} to-model = opus }\n");
    ask.model_globs = only_mini;
    ask.model_glob_count = 1;
    assert_plan(&ask, "u1/value/mini u2/smart/mini u3/stable/mini");
    assert_int_equal(plan.rule_idx, 0);
    ask.model = STR("sonnet");
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_MODEL_NOT_ALLOWED);
    ask.model_glob_count = 0;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.model_idx, OPUS);
    /* An unknown name gains nothing by a rule that may not be followed. */
    load("rule \"old\" { model = {\"gpt-3\"} to-model = mini }\n");
    ask = ask_for("gpt-3");
    ask.model_globs = some;
    ask.model_glob_count = 2;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_NO_MODEL);
}

static void
test_hours(void **state)
{
    struct route_ask ask = ask_for("sonnet");

    (void)state;
    load("rule \"night\" { hours = \"22:00-06:00\" to-channel = smart }\n");
    ask.wall_us = INT64_C(79199) * 1000000;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].channel_idx, VALUE);
    ask.wall_us = INT64_C(79200) * 1000000;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].channel_idx, SMART);
    ask.wall_us = INT64_C(21600) * 1000000;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.candidates[0].channel_idx, VALUE);
}

static void
test_exhausted(void **state)
{
    struct route_health health[UPSTREAMS] = {{.down = false}};
    struct route_ask ask = ask_for("sonnet");

    (void)state;
    load("rule \"full\" { exhausted = value to-model = haiku to-channel = {\"smart\", \"stable\"} }\n");
    ask.health = health;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.rule_idx, CONF_NONE);
    health[U1].used_ppm = 999999;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.rule_idx, CONF_NONE);
    health[U1].used_ppm = 1000000;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.rule_idx, 0);
    assert_int_equal(plan.model_idx, HAIKU);
    assert_int_equal(plan.candidates[0].channel_idx, SMART);
    health[U1] = (struct route_health){.down = true};
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.rule_idx, 0);
    /* A channel that never serves it is not exhausted. */
    load("rule \"full\" { exhausted = own to-channel = smart }\n");
    ask = ask_for("haiku");
    ask.health = health;
    health[U4].down = true;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.rule_idx, CONF_NONE);
    ask.model = STR("auto");
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(plan.rule_idx, 0);
}

static void
test_sibling(void **state)
{
    static const struct str no_opus[] = {{"sonnet", 6}, {"haiku", 5}, {"mini", 4}};
    struct route_health health[UPSTREAMS] = {{.down = false}};
    static const uint16_t smart[] = {SMART}, own[] = {OWN};
    struct route_ask ask = ask_for("sonnet");

    (void)state;
    load("rule \"r\" { model = {\"*\"} fallback = {\"opus\", \"mini\", \"sonnet\", \"haiku\"} }\n");
    ask.channels = own;
    ask.channel_count = 1;
    assert_plan(&ask, "u4/own/sonnet"); /* the key does not allow it */
    ask.sibling = true;
    assert_plan(&ask, "u4/own/sonnet"); /* nobody serves them there */
    ask.channels = smart;
    ask.health = health;
    health[U2].down = true;
    assert_plan(&ask, "u1/smart/sonnet u1/smart/opus u1/smart/haiku u2/smart/sonnet! "
                      "u2/smart/opus! u2/smart/haiku!");
    assert_int_equal(plan.model_idx, SONNET);
    assert_int_equal(plan.candidates[1].price.model - conf->models, OPUS);
    /* Never outside of the family, of what the key may use, or of what the request needs. */
    ask.model_globs = no_opus;
    ask.model_glob_count = 3;
    assert_plan(&ask, "u1/smart/sonnet u1/smart/haiku u2/smart/sonnet! u2/smart/haiku!");
    ask.needs.can = 1u << CONF_CAN_VISION;
    assert_plan(&ask, "u1/smart/sonnet u2/smart/sonnet!");
    ask.needs.can = 0;
    ask.needs.input_tokens = 501;
    assert_plan(&ask, "u1/smart/sonnet u2/smart/sonnet!");
    /* Nor dearer, in any class. */
    ask.needs.input_tokens = 0;
    ask.model_glob_count = 0;
    ask.no_dearer = true;
    assert_plan(&ask, "u1/smart/sonnet u1/smart/haiku u2/smart/sonnet! u2/smart/haiku!");
    ask = ask_for("mini");
    ask.sibling = true;
    assert_plan(&ask, "u1/value/mini u2/smart/mini u3/stable/mini");
}

static void
hear(void *arg, const struct route_event *event)
{
    (void)event;
    ++*(unsigned *)arg;
}

/* An auto's choice is the same whether somebody is told of it or not: that takes other ways. */
static void
test_auto_both_ways(void **state)
{
    static const char *const cans[] = {"", "tools", "vision", "tools, json", "embeddings"};
    static const uint16_t channels[] = {SMART, VALUE, OWN, STABLE};
    uint64_t seed = test_seed();
    unsigned told = 0, chosen_count = 0;
    const struct route_trace trace = {hear, &told};
    struct str globs[] = {STR("many-1*"), STR("many-3")};
    struct route_deal deals[] = {{SMART, STR("many-*2"), 1}, {CONF_NONE, STR("many-4*"), 1}, {VALUE, STR(""), 1}};
    struct buf rules;

    (void)state;
    buf_init(&rules, 1 << 20);
    for (unsigned i = 0; i < 60; i++)
        buf_add_fmt(&rules,
                    "model \"many-%u\" { input = %u output = %u quality = %u can = {%s} context = %u "
                    "max-output = 100 }\n",
                    i, (unsigned)(rng_next(&seed) % 4), (unsigned)(rng_next(&seed) % 40),
                    (unsigned)(rng_next(&seed) % 4) * 30,
                    cans[rng_next(&seed) % COUNT_OF(cans)],
                    200 + (unsigned)(rng_next(&seed) % 800));
    buf_add_fmt(&rules, "auto \"choose\" { models = {\"many-*\", \"sonnet\"} }\n");
    assert_false(rules.failed || !buf_add(&rules, "", 1));
    load(rules.ptr);
    buf_free(&rules);
    for (unsigned i = 0; i < 20000; i++) {
        struct route_ask ask = ask_for("choose");
        struct route_health health[UPSTREAMS];
        struct route_weights weights = {(int64_t)(rng_next(&seed) % CONF_MICRO),
                                        (int64_t)(rng_next(&seed) % CONF_MICRO),
                                        (int64_t)(rng_next(&seed) % CONF_MICRO)};
        enum route_result result;
        uint16_t model_idx;

        for (size_t k = 0; k < UPSTREAMS; k++)
            health[k] = (struct route_health){
                .down = rng_next(&seed) % 3 == 0,
                .latency_us = (uint32_t)(rng_next(&seed) % 3) * (uint32_t)(rng_next(&seed) % 1000),
                .us_per_token = (uint32_t)(rng_next(&seed) % 3)};
        ask.channels = channels;
        ask.channel_count = 1 + rng_next(&seed) % COUNT_OF(channels);
        ask.no_dearer = rng_next(&seed) % 2 == 0;
        ask.weights = rng_next(&seed) % 4 == 0 ? NULL : &weights;
        ask.health = rng_next(&seed) % 8 == 0 ? NULL : health;
        ask.needs.input_tokens = rng_next(&seed) % 1100;
        ask.needs.output_tokens = rng_next(&seed) % 120;
        ask.needs.can = rng_next(&seed) % 4 == 0 ? 1u << (rng_next(&seed) % CONF_CAN_COUNT) : 0;
        ask.deals = deals;
        ask.deal_count = rng_next(&seed) % (COUNT_OF(deals) + 1);
        for (size_t k = 0; k < COUNT_OF(deals); k++)
            deals[k].deal_u = 1 + (uint32_t)(rng_next(&seed) % 2000000);
        ask.model_globs = globs;
        ask.model_glob_count = rng_next(&seed) % 4 == 0 ? COUNT_OF(globs) : 0;
        result = route_choose(table, &ask, &plan);
        model_idx = plan.model_idx;
        ask.trace = &trace;
        assert_int_equal(route_choose(table, &ask, &plan), result);
        if (result == ROUTE_OK)
            assert_int_equal(plan.model_idx, model_idx);
        chosen_count += result == ROUTE_OK;
    }
    assert_true(told > 0 && chosen_count > 5000);
}

/* Not by the prices that stand first in a model, but by all that a call can come to. */
static void
test_no_dearer_in_any_terms(void **state)
{
    static const struct {
        const char *main, *spare; /* what the models have beside input = 2 output = 4 */
        bool in;
    } cases[] = {
        {"", "", true},
        {"", "cache-read = 2.000001", false},
        {"", "tier \"long\" { above = 100 input = 2.1 }", false},
        {"tier \"long\" { above = 100 input = 3 }", "tier \"long\" { above = 100 input = 3 }", true},
        {"tier \"long\" { above = 101 input = 3 }", "tier \"long\" { above = 100 input = 3 }", false},
        {"tier \"long\" { above = 100 input = 1 }", "", false},
        /* A context that it does not have. */
        {"context = 900", "context = 100 tier \"long\" { above = 100 input = 2.1 }", true},
        {"", "service \"priority\" { factor = 2 }", false},
        {"service \"priority\" { factor = 2 }", "service \"priority\" { factor = 2 }", true},
        {"service \"priority\" { factor = 1.9 }", "service \"priority\" { factor = 2 }", false},
        {"service \"priority\" { factor = 2 }", "service \"priority\" { factor = 1.999999 }", true},
        {"service \"flex\" { factor = 0.5 }", "", false},
        {"", "service \"flex\" { factor = 0.5 }", true},
        {"per-search = 0.01", "per-search = 0.010001", false},
        {"", "per-request = 0.000001", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct route_ask ask;
        char rules[1024];

        snprintf(rules, sizeof(rules),
                 "model \"main\" { family = x input = 2 output = 4 %s }\n"
                 "model \"spare\" { family = x input = 2 output = 4 %s }\n"
                 "rule \"fall\" { model = main fallback = spare }\n",
                 cases[i].main, cases[i].spare);
        load(rules);
        ask = ask_for("main");
        ask.channel_count = 1;
        ask.sibling = ask.no_dearer = true;
        if (route_choose(table, &ask, &plan) != ROUTE_OK ||
            (plan.candidate_count == 2) != cases[i].in)
            fail_msg("%s, %s: %s", cases[i].main, cases[i].spare, plan_text());
    }
}

/* ---- auto ---- */

static void
chosen(struct route_ask *ask, int model_idx)
{
    rng = 1;
    assert_int_equal(route_choose(table, ask, &plan), ROUTE_OK);
    assert_int_equal(plan.model_idx, model_idx);
}

static void
test_needs(void **state)
{
    static const struct route_weights cost = {0, CONF_MICRO, 0};
    struct route_ask ask = ask_for("auto");

    (void)state;
    load("");
    ask.weights = &cost;
    chosen(&ask, MINI);
    ask.needs.can = 1u << CONF_CAN_TOOLS;
    chosen(&ask, HAIKU);
    ask.needs.input_tokens = 450;
    ask.needs.output_tokens = 50;
    chosen(&ask, HAIKU);
    ask.needs.output_tokens = 51; /* 501 in all */
    chosen(&ask, SONNET);
    ask.needs.input_tokens = 1;
    chosen(&ask, SONNET); /* more output than haiku gives */
    ask.needs.output_tokens = 0;
    ask.needs.can |= 1u << CONF_CAN_VISION;
    chosen(&ask, SONNET);
    ask.needs.can |= 1u << CONF_CAN_AUDIO;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_NO_FIT);
    ask.needs.can = 1u << CONF_CAN_EMBEDDINGS;
    chosen(&ask, EMB);
    ask.needs.can = 0;
    ask.needs.input_tokens = 100000; /* mini and odd state no context */
    chosen(&ask, MINI);
}

static void
test_weights(void **state)
{
    static const struct route_weights quality = {0, 0, CONF_MICRO}, latency = {CONF_MICRO, 0, 0};
    static const struct route_weights zero = {0, 0, 0};
    static const uint16_t own_first[] = {OWN, VALUE};
    struct route_health health[UPSTREAMS] = {{.down = false}};
    struct route_ask ask = ask_for("auto");

    (void)state;
    load("");
    ask.weights = &quality;
    chosen(&ask, OPUS);
    ask.weights = &zero;
    chosen(&ask, SONNET); /* all alike: the first of the file */
    /* By time: sonnet would go to the channel of u4, all others to u1. */
    ask.weights = &latency;
    ask.health = health;
    ask.channels = own_first;
    ask.channel_count = 2;
    chosen(&ask, SONNET); /* nothing is known */
    health[U1].latency_us = 1000;
    chosen(&ask, HAIKU); /* unknown counts as twice */
    health[U4].latency_us = 2500;
    chosen(&ask, HAIKU);
    health[U4].latency_us = 900;
    chosen(&ask, SONNET);
    health[U4].us_per_token = 1;
    chosen(&ask, HAIKU); /* 1100 against 1000 */
    health[U1].us_per_token = 1;
    chosen(&ask, SONNET);
    health[U4].down = true;
    chosen(&ask, SONNET); /* through u1, like all others */
    assert_int_equal(plan.candidates[0].upstream_idx, U1);
}

/* The same snapshot and seed give the same plan. */
static void
test_deterministic(void **state)
{
    static const char *const models[] = {"auto", "haiku", "sonnet@stable", "mini"};
    struct route_health health[UPSTREAMS];
    uint64_t seed = test_seed();
    struct route_plan first;

    (void)state;
    load("");
    for (int round = 0; round < 5000; round++) {
        struct route_ask ask = ask_for(models[rng_next(&seed) % COUNT_OF(models)]);
        uint64_t start = rng_next(&seed);
        enum route_result result;
        char line[1024];

        for (size_t i = 0; i < UPSTREAMS; i++)
            health[i] = (struct route_health){.down = rng_next(&seed) % 4 == 0,
                                              .latency_us = (uint32_t)rng_next(&seed) % 10000,
                                              .load_ppm = (uint32_t)rng_next(&seed) % 1000000};
        ask.health = health;
        rng = start;
        result = route_choose(table, &ask, &first);
        plan = first;
        snprintf(line, sizeof(line), "%s", plan_text());
        rng = start;
        assert_int_equal(route_choose(table, &ask, &plan), result);
        assert_string_equal(plan_text(), line);
    }
}

/* ---- names that are near ---- */

static void
close_are(struct route_ask ask, const char *want)
{
    struct str close[ROUTE_CLOSE_MAX];
    size_t count = route_close(table, &ask, close), len = 0;
    char line[512] = "";

    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(line + len, sizeof(line) - len, "%s%.*s", i > 0 ? " " : "",
                                STR_ARGS(close[i]));
    assert_string_equal(line, want);
}

static void
test_close(void **state)
{
    static const struct str claude_only[] = {{"haiku", 5}};
    static const uint16_t own[] = {OWN};
    struct route_ask ask = ask_for("sonet");

    (void)state;
    load("");
    close_are(ask, "sonnet");
    ask.model = STR("SONNET@value");
    close_are(ask, "sonnet");
    ask.model = STR("sonnet-4.5");
    close_are(ask, "sonnet-4-5");
    ask.model = STR("zzzzzzzzz");
    close_are(ask, "");
    ask.model = STR("autto");
    close_are(ask, "auto");
    ask.model = STR("haikus");
    ask.model_globs = claude_only;
    ask.model_glob_count = 1;
    close_are(ask, "haiku");
    ask.model = STR("sonet");
    close_are(ask, ""); /* not the key's */
    ask.model_glob_count = 0;
    ask.channels = own;
    ask.channel_count = 1;
    close_are(ask, "sonnet");
    ask.model = STR("opuss");
    close_are(ask, ""); /* not in the key's channels */
    ask.channel_named = STR("nope");
    close_are(ask, "");
}

/* Five at most, the nearest first; of equals the file's order. */
static void
test_close_five(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 20);
    buf_add_fmt(&buf, "upstream \"u\" { protocol = openai url = \"https://u.example\" }\n"
                      "channel \"c\" { use = u }\n");
    for (int i = 0; i < 9; i++)
        buf_add_fmt(&buf, "model \"gpt-%s%d\" { input = 1 output = 1 }\n", i % 2 ? "x" : "", i);
    route_open_world(buf_str(&buf));
    close_are((struct route_ask){.model = STR("gpt-x")}, "gpt-0 gpt-x1 gpt-2 gpt-x3 gpt-4");
    close_are((struct route_ask){.model = STR("gpt-x1")}, "gpt-x1 gpt-x3 gpt-x5 gpt-x7 gpt-0");
    buf_free(&buf);
}

/* ---- the trace ---- */

struct told {
    unsigned count[ROUTE_STEP_COUNT][ROUTE_OUT_COUNT];
    char conditions[256];
};

static void
on_event(void *arg, const struct route_event *event)
{
    struct told *told = arg;

    assert_non_null(route_out_name[event->out]);
    told->count[event->step][event->out]++;
    if (event->condition != NULL) {
        strcat(told->conditions, event->condition);
        strcat(told->conditions, " ");
    }
}

/* What is told accounts for every upstream of every channel, and changes nothing. */
static void
test_trace(void **state)
{
    struct route_health health[UPSTREAMS] = {{.down = false}};
    struct told told = {.conditions = ""};
    const struct route_trace trace = {on_event, &told};
    struct route_ask ask = ask_for("sonnet");
    char line[1024];

    (void)state;
    load("rule \"a\" { model = {\"haiku\"} to-channel = value }\n"
         "rule \"b\" { needs = {tools} to-channel = value }\n"
         "rule \"c\" { fallback = {\"haiku\", \"mini\"} }\n");
    ask.health = health;
    health[U2].down = true;
    ask.no_dearer = true;
    ask.sibling = true;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    snprintf(line, sizeof(line), "%s", plan_text());
    ask.trace = &trace;
    rng = 1;
    assert_plan(&ask, line);
    assert_string_equal(told.conditions, "model needs ");
    assert_int_equal(told.count[ROUTE_STEP_RULE][ROUTE_IN], 1);
    assert_int_equal(told.count[ROUTE_STEP_RULE][ROUTE_OUT_CONDITION], 2);
    assert_int_equal(told.count[ROUTE_STEP_MODEL][ROUTE_IN], 1);
    assert_int_equal(told.count[ROUTE_STEP_MODEL][ROUTE_OUT_FAMILY], 1);
    assert_true(told.count[ROUTE_STEP_CHANNEL][ROUTE_OUT_DEARER] >= 2);
    /* In another protocol u2 and u3 are out. */
    memset(&told, 0, sizeof(told));
    ask.no_dearer = ask.sibling = false;
    ask.protocol = CONF_ANTHROPIC;
    assert_plan(&ask, "u1/value/sonnet");
    assert_int_equal(told.count[ROUTE_STEP_UPSTREAM][ROUTE_OUT_PROTOCOL], 3);
    assert_int_equal(told.count[ROUTE_STEP_UPSTREAM][ROUTE_OUT_REPEATED], 2);
    assert_int_equal(told.count[ROUTE_STEP_MODEL][ROUTE_OUT_SIBLING], 2);
    assert_int_equal(route_upstream_out(conf, U4, HAIKU, CONF_OPENAI, ROUTE_NATIVE),
                     ROUTE_OUT_NOT_SERVED);
    assert_int_equal(route_upstream_out(conf, U4, SONNET, CONF_OPENAI, ROUTE_NATIVE), ROUTE_IN);
    assert_int_equal(route_upstream_out(conf, U4, SONNET, CONF_GEMINI, ROUTE_NATIVE),
                     ROUTE_OUT_PROTOCOL);
    assert_int_equal(route_upstream_out(conf, U4, SONNET, CONF_GEMINI, ROUTE_CHAT), ROUTE_IN);
    /* Every model of an auto. */
    memset(&told, 0, sizeof(told));
    ask = ask_for("auto");
    ask.trace = &trace;
    ask.needs.can = 1u << CONF_CAN_TOOLS;
    ask.needs.input_tokens = 501;
    assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
    assert_int_equal(told.count[ROUTE_STEP_MODEL][ROUTE_IN], 2);
    assert_int_equal(told.count[ROUTE_STEP_MODEL][ROUTE_OUT_CONTEXT], 1);
    assert_int_equal(told.count[ROUTE_STEP_MODEL][ROUTE_OUT_NEEDS], 2);
    assert_int_equal(told.count[ROUTE_STEP_MODEL][ROUTE_OUT_EMBEDDINGS], 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),      cmocka_unit_test(test_no_dearer),
        cmocka_unit_test(test_no_dearer_in_any_terms), cmocka_unit_test(test_auto_both_ways),
        cmocka_unit_test(test_deals),      cmocka_unit_test(test_deals_auto),
        cmocka_unit_test(test_named),      cmocka_unit_test(test_room),
        cmocka_unit_test(test_rules),      cmocka_unit_test(test_rule_rights),
        cmocka_unit_test(test_hours),      cmocka_unit_test(test_exhausted),
        cmocka_unit_test(test_sibling),    cmocka_unit_test(test_needs),
        cmocka_unit_test(test_weights),    cmocka_unit_test(test_deterministic),
        cmocka_unit_test(test_close),      cmocka_unit_test(test_close_five),
        cmocka_unit_test(test_trace),
    };

    return cmocka_run_group_tests(tests, NULL, route_teardown);
}
