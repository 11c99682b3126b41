/* Charges computed again from what the store has: by usage, by progress, of workers that died, over
 * several slots, at the prices of each version; and what does not come out is found. */
#include "test/unit/ledger_world.h"

#include "base/buf.h"
#include "base/rng.h"
#include "conf/conf.h"
#include "route/price.h"
#include "shm/call_id.h"

static struct world w;
static struct conf *confs[2];

static struct conf *
conf_of(const char *input)
{
    struct conf_faults faults;
    char text[512];
    struct conf *conf;
    struct buf json;

    snprintf(text, sizeof(text),
             "upstream \"u\" { protocol = openai url = \"https://u.example\" }\n"
             "model \"gpt-a\" { input = %s output = 10 reasoning = 12 per-request = 0.001\n"
             " tier \"long\" { above = 1000 input = 7 }\n service \"flex\" { factor = 0.5 }\n"
             " discount \"night\" { from = 01:00 to = 02:00 factor = 0.9 } }\n"
             "model \"claude-b\" { input = 3 output = 15 currency = CNY }\n"
             "channel \"smart\" { use = u multiplier = 0.6 multiplier-cny = 0.123457 }\n"
             "channel \"value\" { use = u multiplier = 0.5 }\n",
             input);
    conf = conf_load_text(str_from(text), "t", &faults);
    assert_non_null(conf);
    conf_faults_free(&faults);
    buf_init(&json, 1 << 20);
    conf_prices_json(conf, &json);
    assert_int_equal(ledger_keep_prices(w.ledger, conf->price_version, buf_str(&json)), 0);
    buf_free(&json);
    return conf;
}

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"1000\"}}");
    confs[0] = conf_of("2.5");
    confs[1] = conf_of("2.500001");
    assert_true(confs[0]->price_version != confs[1]->price_version);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    conf_free(&confs[0]);
    conf_free(&confs[1]);
    world_close(&w);
    return 0;
}

/* What a call does: a model in a channel, counts that only grow. */
struct act {
    struct price price;
    struct record_tally tally;
};

static struct act
act_of(uint64_t *rng, const struct conf *conf)
{
    const char *model = rng_next(rng) % 2 ? "gpt-a" : "claude-b";
    const char *channel = rng_next(rng) % 2 ? "smart" : "value";
    struct act act = {
        .price = price_of(&conf->models[conf_model_index(conf, str_from(model))],
                          &conf->channels[conf_channel_index(conf, str_from(channel))]),
        .tally = {.model = name_intern(w.workers, str_from(model)),
                  .channel = name_intern(w.workers, str_from(channel))},
    };

    if (act.price.model->service_count > 0) {
        act.price.service = act.tally.service = (uint8_t)(rng_next(rng) % 2);
        act.price.discount = act.tally.discount = (uint8_t)(rng_next(rng) % 2);
    }
    if (rng_next(rng) % 3 == 0) {
        act.price.deal_u = act.tally.deal_u = 1 + (uint32_t)(rng_next(rng) % 3000000);
        act.price.multiplier_u = price_by_deal(act.price.multiplier_u, act.price.deal_u);
    }
    return act;
}

static int64_t
act_grow(struct act *act, uint64_t *rng)
{
    struct price_count count;
    int64_t cost_ucr;

    for (int i = 0; i < 3; i++)
        act->tally.count[rng_next(rng) % RECORD_CLASS_COUNT] += (uint32_t)(rng_next(rng) % 700);
    memcpy(count.n, act->tally.count, sizeof(count.n));
    act->tally.tier = (uint8_t)price_tier(&act->price, &count);
    assert_true(price_cost(&act->price, &count, &cost_ucr));
    return cost_ucr;
}

static int64_t
part_of(int64_t cost_ucr, const struct record *r, int64_t amount_ucr)
{
    return MAX(MIN(cost_ucr - r->before_ucr, amount_ucr), 0);
}

/* A call of one to three slots, with some progress, and then settled; or else its worker is left to
 * die as it is. */
static void
one_call(uint64_t *rng, uint32_t t)
{
    const struct conf *conf = confs[rng_next(rng) % 2];
    uint32_t slots[3], count = 1 + (uint32_t)(rng_next(rng) % 3);
    struct act act = act_of(rng, conf);
    int64_t amounts[3], before_ucr = 0;
    bool dies = rng_next(rng) % 4 == 0;

    for (uint32_t i = 0; i < count; i++) {
        struct record *r;

        amounts[i] = (int64_t)(rng_next(rng) % 20000);
        assert_int_equal(world_take(&w, t, 1, amounts[i], &slots[i]), HOLD_OK);
        r = hold_record(&w.table[t], slots[i]);
        memset(r->tally, 0, sizeof(r->tally));
        r->price_version = conf->price_version;
        r->before_ucr = before_ucr;
        r->flags |= i > 0 ? RECORD_EXTENSION : 0;
        before_ucr += amounts[i];
    }
    for (uint64_t steps = rng_next(rng) % 5; steps > 0; steps--) {
        int64_t cost_ucr = act_grow(&act, rng);

        for (uint32_t i = 0; i < count; i++)
            hold_progress_of(&w.table[t], slots[i],
                             part_of(cost_ucr, hold_record(&w.table[t], slots[i]), amounts[i]),
                             &act.tally);
    }
    if (dies)
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct record *r = hold_record(&w.table[t], slots[i]);
        int64_t cost_ucr = act_grow(&act, rng), charge_ucr = part_of(cost_ucr, r, amounts[i]);

        r->basis = rng_next(rng) % 2 ? BASIS_USAGE : BASIS_PROGRESS;
        if (rng_next(rng) % 5 == 0) {
            r->basis = BASIS_NOTHING;
            charge_ucr = 0;
        }
        hold_tally(&w.table[t], slots[i], charge_ucr, &act.tally);
        world_settle(&w, t, slots[i], charge_ucr);
    }
}

static uint64_t
number(struct js_value result, const char *name)
{
    uint64_t n = UINT64_MAX;

    assert_true(js_count(js_get(result, str_from(name)), UINT32_MAX, &n));
    return n;
}

static void
everything_replays(void **state)
{
    uint64_t rng = test_seed();
    struct js_value result;

    (void)state;
    for (int round = 0; round < 40; round++) {
        uint32_t t = (uint32_t)(rng_next(&rng) % 3);

        for (uint64_t calls = rng_next(&rng) % 8; calls > 0; calls--)
            one_call(&rng, t);
        if (w.has_table[t] && rng_next(&rng) % 2)
            world_kill_worker(&w, t);
        assert_int_equal(world_commit(&w), 0);
        if (rng_next(&rng) % 8 == 0)
            world_restart(&w);
    }
    result = ask_ok(&w, "{\"cmd\":\"audit\",\"args\":{\"replay\":true}}");
    if (!js_bool(js_get(result, STR("ok")), false))
        print_error("%.*s\n", STR_ARGS(buf_str(&w.answer)));
    assert_true(js_bool(js_get(result, STR("ok")), false));
    assert_true(number(result, "replayed") > 100);
    assert_int_equal(number(result, "replayed"), number(result, "records"));
    assert_int_equal(number(result, "differing"), 0);
}

/* One that is off by one millionth, and one whose prices nobody has. */
static void
what_differs_is_named(void **state)
{
    uint64_t rng = 3;
    struct js_value result, faults, key, fault;
    struct js_iter it;
    char calls[2][CALL_ID_LEN + 1];
    static const char *const what[] = {"charge against its record", "charge without its prices"};
    int found = 0;

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct act act = act_of(&rng, confs[0]);
        int64_t cost_ucr = act_grow(&act, &rng);
        struct record *r;
        uint32_t slot;

        assert_int_equal(world_take(&w, 0, 1, cost_ucr + 1, &slot), HOLD_OK);
        r = hold_record(&w.table[0], slot);
        r->price_version = i == 0 ? confs[0]->price_version : 77;
        r->basis = BASIS_USAGE;
        call_id_text(r->call_id, calls[i]);
        hold_tally(&w.table[0], slot, cost_ucr + (i == 0), &act.tally);
        world_settle(&w, 0, slot, cost_ucr + (i == 0));
    }
    assert_int_equal(world_commit(&w), 0);
    result = ask_ok(&w, "{\"cmd\":\"audit\",\"args\":{\"replay\":true}}");
    assert_false(js_bool(js_get(result, STR("ok")), true));
    assert_int_equal(number(result, "differing"), 2);
    faults = js_get(result, STR("faults"));
    for (js_iter_init(&it, faults); js_next(&it, &key, &fault); found++)
        for (int i = 0; i < 2; i++)
            if (js_str_eq(js_get(fault, STR("what")), str_from(what[i])))
                assert_true(js_str_eq(js_get(fault, STR("call")), str_from(calls[i])));
    assert_int_equal(found, 2);
    result = ask_ok(&w, "{\"cmd\":\"audit\"}"); /* the books balance all the same */
    assert_true(js_bool(js_get(result, STR("ok")), false));
    assert_int_equal(js_get(result, STR("replayed")).type, JS_NONE);
}

/* A hold made durable whose memory is gone, by each rule. */
static void
unresolved_replay(void **state)
{
    static const enum ledger_unresolved rules[] = {LEDGER_VOID, LEDGER_INPUT, LEDGER_FULL};
    uint64_t rng = test_seed();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        struct js_value result;
        struct act act = act_of(&rng, confs[1]);
        int64_t cost_ucr = act_grow(&act, &rng);
        struct record *r;
        uint32_t slot;

        w.durability = LEDGER_RESERVE;
        w.unresolved = rules[i];
        world_restart(&w);
        assert_int_equal(world_take(&w, 0, 1, cost_ucr + 1000, &slot), HOLD_OK);
        r = hold_record(&w.table[0], slot);
        r->price_version = confs[1]->price_version;
        r->model = act.tally.model;
        r->channel = act.tally.channel;
        r->tally[0] = act.tally;
        r->tally_cost_ucr[0] = r->total_charge_ucr = cost_ucr;
        (void)!hold_announce(&w.table[0], slot);
        ledger_collect(w.ledger, false);
        assert_int_equal(ledger_announce(w.ledger), 0);
        assert_true(hold_announced(&w.table[0], slot));
        world_power_cut(&w);
        world_start(&w);
        result = ask_ok(&w, "{\"cmd\":\"audit\",\"args\":{\"replay\":true}}");
        assert_true(js_bool(js_get(result, STR("ok")), false));
        assert_int_equal(number(result, "replayed"), i + 1);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything_replays),
        TEST(what_differs_is_named),
        TEST(unresolved_replay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
