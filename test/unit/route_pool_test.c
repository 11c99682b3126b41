/* Several credentials of an upstream: each a candidate for itself, sharing the upstream's weight. */
#include "route/route.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/rng.h"
#include "base/str.h"
#include "test/unit/route_world.h"

/* Numbers of credentials: a is 0 to 2, b is 3. */
static const char text[] =
    "upstream \"a\" { protocol = openai url = \"https://a.example\"\n"
    "    credential \"x\" { key-env = X weight = 1 }\n"
    "    credential \"y\" { key-env = Y weight = 3 }\n"
    "    credential \"z\" { key-env = Z weight = 0 } }\n"
    "upstream \"b\" { protocol = openai url = \"https://b.example\" }\n"
    "model \"m\" { input = 1 output = 1 }\n"
    "channel \"both\" { use = {a, b} }\n"
    "channel \"first\" { use = {a} }\n";

enum { X, Y, Z, B, CREDENTIALS };

static struct route_health health[CREDENTIALS];
static struct route_plan plan;
static uint64_t rng;

static int
setup(void **state)
{
    (void)state;
    route_open_world(str_from(text));
    memset(health, 0, sizeof(health));
    rng = 1;
    return 0;
}

/* The credentials of the plan by their numbers, "0 1 3!". */
static const char *
plan_for(const char *channel)
{
    static char line[256];
    struct route_ask ask = {.model = STR("m"),
                            .protocol = CONF_OPENAI,
                            .channel_named = str_from(channel),
                            .health = health,
                            .rng_state = &rng};
    size_t len = 0;

    assert_true(route_choose(table, &ask, &plan) <= ROUTE_ALL_DOWN);
    line[0] = '\0';
    for (size_t i = 0; i < plan.candidate_count; i++) {
        const struct route_candidate *c = &plan.candidates[i];

        len += (size_t)snprintf(
            line + len, sizeof(line) - len, "%s%zu%s", i > 0 ? " " : "",
            conf->upstreams[c->upstream_idx].credential_first + c->credential, c->down ? "!" : "");
    }
    return line;
}

/* How often each comes first, of 16000. */
static void
shares(const char *channel, unsigned first[CREDENTIALS])
{
    memset(first, 0, CREDENTIALS * sizeof(first[0]));
    for (unsigned i = 0; i < 16000; i++)
        first[strtoul(plan_for(channel), NULL, 10)]++;
}

static void
test_shares(void **state)
{
    unsigned first[CREDENTIALS];

    (void)state;
    shares("both", first);
    /* Half for each upstream, and of a's half three quarters for y. */
    assert_in_range(first[B], 7600, 8400);
    assert_in_range(first[X], 1800, 2200);
    assert_in_range(first[Y], 5700, 6300);
    assert_int_equal(first[Z], 0);
    shares("first", first);
    assert_in_range(first[X], 3700, 4300);
    assert_int_equal(first[X] + first[Y], 16000);
}

static void
test_all_are_candidates(void **state)
{
    (void)state;
    plan_for("both");
    assert_int_equal(plan.candidate_count, 4);
    for (int i = 0; i < 20; i++) /* who has no weight comes last */
        assert_string_equal(plan_for("first") + 4, "2");
}

static void
test_out_for_itself(void **state)
{
    (void)state;
    health[Y] = (struct route_health){.down = true, .failed_at_ms = 5};
    assert_string_equal(plan_for("first"), "0 2 1!");
    health[X] = (struct route_health){.down = true, .failed_at_ms = 4};
    assert_string_equal(plan_for("first"), "2 0! 1!");
}

static void
test_full_come_after_the_others(void **state)
{
    (void)state;
    health[Y].used_ppm = 1000000;
    for (int i = 0; i < 50; i++)
        assert_string_equal(plan_for("first"), "0 2 1");
    health[X].load_ppm = 1000000;
    assert_string_equal(plan_for("first") + 0, plan_for("first"));
    for (int i = 0; i < 50; i++) {
        const char *got = plan_for("first");

        assert_true(strcmp(got, "2 0 1") == 0 || strcmp(got, "2 1 0") == 0);
    }
    health[Z].used_ppm = 1000000;
    health[Y] = (struct route_health){.down = true};
    for (int i = 0; i < 50; i++)
        assert_string_equal(plan_for("first"), "0 2 1!");
    for (int i = 0; i < 50; i++)
        assert_int_equal(plan_for("both")[0], '3');
}

/* A pool that is larger than a plan: what has room is in it. */
static void
test_large_pool(void **state)
{
    static struct route_health many[60];
    struct buf buf;
    uint64_t seed = test_seed();

    (void)state;
    buf_init(&buf, 1 << 16);
    buf_add_fmt(&buf, "upstream \"a\" { protocol = openai url = \"https://a.example\"\n");
    for (int i = 0; i < 60; i++)
        buf_add_fmt(&buf, "credential \"c%d\" { key-env = K%d }\n", i, i);
    buf_add_fmt(&buf, "}\nmodel \"m\" { input = 1 output = 1 }\nchannel \"c\" { use = a }\n");
    route_open_world(buf_str(&buf));
    buf_free(&buf);
    for (int round = 0; round < 2000; round++) {
        struct route_ask ask = {.model = STR("m"), .health = many, .rng_state = &rng};
        size_t room = rng_next(&seed) % 60;

        for (size_t i = 0; i < 60; i++)
            many[i].used_ppm = i == room ? 0 : 1000000;
        assert_int_equal(route_choose(table, &ask, &plan), ROUTE_OK);
        assert_int_equal(plan.candidate_count, ROUTE_CANDIDATE_COUNT_MAX);
        assert_int_equal(plan.candidates[0].credential, room);
        for (size_t i = 1; i < plan.candidate_count; i++)
            for (size_t k = 0; k < i; k++)
                assert_int_not_equal(plan.candidates[i].credential, plan.candidates[k].credential);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_shares, setup, route_teardown),
        cmocka_unit_test_setup_teardown(test_all_are_candidates, setup, route_teardown),
        cmocka_unit_test_setup_teardown(test_out_for_itself, setup, route_teardown),
        cmocka_unit_test_setup_teardown(test_full_come_after_the_others, setup, route_teardown),
        cmocka_unit_test_setup_teardown(test_large_pool, setup, route_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
