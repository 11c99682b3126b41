/*
 * Orders: each is credited once, by what was asked for, whatever a provider says how often and in which order; what does
 * not fit credits nothing and waits for a person. And thousands of them with notices lost, doubled, late and mixed,
 * while the ledger dies now and then.
 */
#include "test/unit/ledger_world.h"

#include "ledger/grant.h"
#include "ledger/order.h"

static struct world w;
static struct conf rules;
static uint64_t rng;

#define DAY INT64_C(86400000000)

static const struct conf_step steps[] = {{CREDITS(100), 5000000}, {CREDITS(500), 10000000}};

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    memset(&rules, 0, sizeof(rules));
    rules.topup = (struct conf_topup){.on = true,
                                      .credits_u = {[CONF_USD] = 1000000, [CONF_CNY] = 140000},
                                      .minimum_ucr = CREDITS(1),
                                      .maximum_ucr = CREDITS(10000),
                                      .steps = steps,
                                      .step_count = COUNT_OF(steps),
                                      .bonus_days = 30,
                                      .expires_ms = 7200000};
    w.ledger->conf = &rules;
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"acme\"}}");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

static void
restart(void)
{
    world_restart(&w);
    w.ledger->conf = &rules;
}

static int64_t
available(void)
{
    return account_available_ucr(account_at(w.workers, world_account(&w, 1)));
}

static struct js_value
create(const char *provider, const char *currency, int64_t amount_minor, char id[ORDER_ID_LEN + 1])
{
    char request[256];
    struct js_value result;

    snprintf(request, sizeof(request),
             "{\"cmd\":\"order.create\",\"args\":{\"tenant\":1,\"provider\":\"%s\",\"currency\":\"%s\",\"amount\":%lld,"
             "\"account\":\"acct\",\"live\":true}}",
             provider, currency, (long long)amount_minor);
    result = ask_ok(&w, request);
    str_copy(js_get(result, STR("order")).raw, id, ORDER_ID_LEN + 1);
    return result;
}

struct said {
    const char *provider, *event, *order, *payment, *currency, *account;
    int64_t amount;
    bool test;
};

static char request[1024];

static const char *
notice(const char *event_id, const struct said *s)
{
    snprintf(request, sizeof(request),
             "{\"cmd\":\"order.notice\",\"args\":{\"provider\":\"%s\",\"event_id\":\"%s\",\"event\":\"%s\",\"order\":\"%s\","
             "\"payment_id\":\"%s\",\"currency\":\"%s\",\"account\":\"%s\",\"amount\":%lld,\"live\":%s,\"digest\":\"d\"}}",
             s->provider, event_id, s->event, s->order, s->payment, s->currency, s->account, (long long)s->amount,
             s->test ? "false" : "true");
    return request;
}

static void
results_in(const char *event_id, const struct said *s, const char *result)
{
    assert_str(js_get(ask_ok(&w, notice(event_id, s)), STR("result")).raw, result);
}

static void
is_in_state(const char *id, const char *state)
{
    snprintf(request, sizeof(request), "{\"cmd\":\"order.show\",\"args\":{\"order\":\"%s\"}}", id);
    assert_str(js_get(ask_ok(&w, request), STR("state")).raw, state);
}

static struct said
paid(const char *id)
{
    return (struct said){"stripe", "paid", id, "pi_1", "USD", "acct", 2000, false};
}

/* ---- */

static void
what_it_costs(void **state)
{
    char id[ORDER_ID_LEN + 1], other[ORDER_ID_LEN + 1];
    struct js_value result;

    (void)state;
    result = create("stripe", "USD", 2000, id);
    assert_int_equal(strlen(id), ORDER_ID_LEN);
    assert_int_equal(money_of(result, "credits"), CREDITS(20));
    assert_int_equal(money_of(result, "bonus"), 0);
    assert_str(js_get(result, STR("state")).raw, "created");
    result = create("alipay", "CNY", 99999, other); /* 999.99 yuan, 139.9986 credits, 5 per cent */
    assert_int_equal(money_of(result, "credits"), 139998600);
    assert_int_equal(money_of(result, "bonus"), 6999930);
    assert_true(strcmp(id, other) != 0);
    result = create("stripe", "USD", 50000, id);
    assert_int_equal(money_of(result, "bonus"), CREDITS(50));
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"order.create\",\"args\":{\"tenant\":1,\"provider\":\"stripe\","
                                     "\"currency\":\"USD\",\"amount\":99}}"),
                     COMMAND_USAGE);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"order.create\",\"args\":{\"tenant\":1,\"provider\":\"stripe\","
                                     "\"currency\":\"USD\",\"amount\":1000001}}"),
                     COMMAND_USAGE);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"order.create\",\"args\":{\"tenant\":1,\"provider\":\"stripe\","
                                     "\"currency\":\"USD\",\"amount\":-5}}"),
                     COMMAND_USAGE);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"order.create\",\"args\":{\"tenant\":1,\"provider\":\"stripe\","
                                     "\"currency\":\"USD\",\"amount\":9000000000000000000}}"),
                     COMMAND_USAGE);
    rules.topup.on = false;
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"order.create\",\"args\":{\"tenant\":1,\"provider\":\"stripe\","
                                     "\"currency\":\"USD\",\"amount\":2000}}"),
                     COMMAND_FAILED);
}

static void
credited_once(void **state)
{
    char id[ORDER_ID_LEN + 1];
    struct said s;

    (void)state;
    create("stripe", "USD", 2000, id);
    snprintf(request, sizeof(request),
             "{\"cmd\":\"order.begun\",\"args\":{\"order\":\"%s\",\"ref\":\"cs_1\",\"url\":\"https://pay.test/cs_1\"}}", id);
    ask_ok(&w, request);
    is_in_state(id, "pending");
    s = paid(id);
    results_in("evt_1", &s, "credited");
    results_in("evt_1", &s, "already"); /* sent again */
    results_in("evt_2", &s, "already"); /* another event of the same payment */
    is_in_state(id, "credited");
    assert_int_equal(available(), CREDITS(20));
    s.payment = "pi_2";
    results_in("evt_3", &s, "review"); /* paid twice: somebody has to give it back */
    is_in_state(id, "credited");
    assert_int_equal(available(), CREDITS(20));
    world_audit(&w);
    restart();
    results_in("evt_1", &s, "already");
    assert_int_equal(available(), CREDITS(20));
    world_audit(&w);
}

static void
what_does_not_fit(void **state)
{
    static const struct {
        const char *what;
        struct said said;
    } wrong[] = {
        {"amount", {"stripe", "paid", NULL, "p", "USD", "acct", 1999, false}},
        {"no amount", {"stripe", "paid", NULL, "p", "USD", "acct", -1, false}},
        {"currency", {"stripe", "paid", NULL, "p", "CNY", "acct", 2000, false}},
        {"account", {"stripe", "paid", NULL, "p", "USD", "other", 2000, false}},
        {"provider", {"alipay", "paid", NULL, "p", "USD", "acct", 2000, false}},
        {"mode", {"stripe", "paid", NULL, "p", "USD", "acct", 2000, true}},
        {"less", {"stripe", "partly", NULL, "p", "USD", "acct", 500, false}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        char id[ORDER_ID_LEN + 1], event[16];
        struct said s = wrong[i].said;

        create("stripe", "USD", 2000, id);
        snprintf(event, sizeof(event), "evt_%zu", i);
        s.order = id;
        results_in(event, &s, "review");
        is_in_state(id, "review");
        s = paid(id); /* the right one afterwards is for the same person */
        s.payment = event;
        results_in("evt_right", &s, i == 0 ? "review" : "already");
    }
    assert_int_equal(available(), 0);
    results_in("evt_u", &(struct said){"stripe", "paid", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "p9", "USD", "acct", 1, false},
               "unknown");
    results_in("evt_v", &(struct said){"stripe", "paid", "", "p9", "USD", "acct", 1, false}, "unknown");
    assert_int_equal(ask_refused(&w, notice("", &(struct said){"stripe", "paid", "", "", "USD", "", 1, false})),
                     COMMAND_USAGE);
    assert_int_equal(ask_refused(&w, notice("e", &(struct said){"stripe", "gold", "", "", "USD", "", 1, false})),
                     COMMAND_USAGE);
    assert_int_equal(available(), 0);
    world_audit(&w);
}

static void
late_money_is_credited(void **state)
{
    char id[ORDER_ID_LEN + 1];
    struct said s;

    (void)state;
    create("stripe", "USD", 2000, id);
    s = paid(id);
    s.event = "expired";
    results_in("evt_1", &s, "noted");
    is_in_state(id, "expired");
    s.event = "paid";
    results_in("evt_2", &s, "credited");
    is_in_state(id, "credited");
    snprintf(request, sizeof(request), "{\"cmd\":\"order.show\",\"args\":{\"order\":\"%s\"}}", id);
    assert_true(js_bool(js_get(ask_ok(&w, request), STR("late")), false));
    s.event = "failed"; /* and what comes too late, says nothing */
    results_in("evt_3", &s, "noted");
    is_in_state(id, "credited");
    assert_int_equal(available(), CREDITS(20));
    create("stripe", "USD", 2000, id);
    snprintf(request, sizeof(request), "{\"cmd\":\"order.cancel\",\"args\":{\"order\":\"%s\"}}", id);
    ask_ok(&w, request);
    s = paid(id);
    s.payment = "pi_9";
    results_in("evt_4", &s, "credited"); /* the payer was quicker than the one who cancelled */
    s.event = "disputed";
    results_in("evt_5", &s, "review");
    is_in_state(id, "frozen");
    world_audit(&w);
}

static void
looked_at_again(void **state)
{
    static const int64_t after_s[] = {5, 15, 30, 60, 180, 600, 1800, 3600, 3600};
    char id[ORDER_ID_LEN + 1];
    int64_t start_us;
    unsigned looks = 0;

    (void)state;
    create("stripe", "USD", 2000, id);
    start_us = w.wall_us;
    for (; looks < 100; looks++) {
        struct js_value result = ask_ok(&w, "{\"cmd\":\"order.pending\",\"args\":{}}"), key, value;
        struct js_iter it;
        unsigned due = 0;

        for (js_iter_init(&it, js_get(result, STR("orders"))); js_next(&it, &key, &value);)
            due++;
        assert_int_equal(due, 0); /* not before its time */
        w.wall_us += after_s[MIN(looks, COUNT_OF(after_s) - 1)] * 1000000;
        result = ask_ok(&w, "{\"cmd\":\"order.pending\",\"args\":{}}");
        for (js_iter_init(&it, js_get(result, STR("orders"))); js_next(&it, &key, &value);)
            due++;
        if (due == 0)
            break;
        assert_int_equal(due, 1);
        snprintf(request, sizeof(request), "{\"cmd\":\"order.looked\",\"args\":{\"order\":\"%s\"}}", id);
        ask_ok(&w, request);
    }
    is_in_state(id, "expired");
    assert_true(w.wall_us - start_us > DAY + 7200 * INT64_C(1000000));
    assert_true(looks > 24 && looks < 40);
}

static void
pages(void **state)
{
    char id[ORDER_ID_LEN + 1], last[ORDER_ID_LEN + 1], next[ORDER_ID_LEN + 1] = "";
    unsigned seen = 0;

    (void)state;
    for (unsigned i = 0; i < 7; i++)
        create("stripe", "USD", 2000, i == 6 ? last : id);
    for (unsigned page = 0; page < 5; page++) {
        struct js_value result, key, value;
        struct js_iter it;

        snprintf(request, sizeof(request), "{\"cmd\":\"order.list\",\"args\":{\"tenant\":1,\"limit\":3,\"after\":\"%s\"}}",
                 next);
        result = ask_ok(&w, request);
        for (js_iter_init(&it, js_get(result, STR("orders"))); js_next(&it, &key, &value); seen++)
            if (seen == 0)
                assert_str(js_get(value, STR("order")).raw, last);
        if (js_is(js_get(result, STR("next")), JS_NULL))
            break;
        str_copy(js_get(result, STR("next")).raw, next, sizeof(next));
    }
    assert_int_equal(seen, 7);
}

/* ---- transfers ---- */

static const char *
confirming(const char *id, int64_t amount, const char *reference, unsigned person)
{
    snprintf(request, sizeof(request),
             "{\"cmd\":\"order.confirm\",\"args\":{\"order\":\"%s\",\"currency\":\"USD\",\"amount\":%lld,"
             "\"bank_ref\":\"%s\"},\"actor\":{\"kind\":\"person\",\"id\":%u}}",
             id, (long long)amount, reference, person);
    return request;
}

static void
transfers_that_people_confirm(void **state)
{
    char id[ORDER_ID_LEN + 1], other[ORDER_ID_LEN + 1];

    (void)state;
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"order.create\",\"args\":{\"tenant\":1,\"provider\":\"bank\","
                                     "\"currency\":\"USD\",\"amount\":2000}}"),
                     COMMAND_FAILED);
    rules.topup.bank = STR("DE02 1203 0000 0000 2020 51");
    rules.topup.confirm_above_ucr = CREDITS(100);
    assert_str(js_get(create("bank", "USD", 2000, id), STR("bank")).raw, "DE02 1203 0000 0000 2020 51");
    ask_ok(&w, confirming(id, 2000, "T1", 1));
    is_in_state(id, "credited");
    assert_int_equal(available(), CREDITS(20));
    assert_int_equal(ask_refused(&w, confirming(id, 2000, "T2", 1)), COMMAND_FAILED);
    create("bank", "USD", 2000, other);
    assert_int_equal(ask_refused(&w, confirming(other, 2000, "T1", 1)), COMMAND_FAILED); /* that transfer was the first one's */
    is_in_state(other, "pending");
    ask_ok(&w, confirming(other, 1900, "T3", 1));
    is_in_state(other, "review");
    snprintf(request, sizeof(request),
             "{\"cmd\":\"order.resolve\",\"args\":{\"order\":\"%s\",\"credit\":true,\"note\":\"fees of the bank\"}}",
             other);
    ask_ok(&w, request);
    is_in_state(other, "credited");
    assert_int_equal(available(), CREDITS(40));
    create("bank", "USD", 20000, id); /* two have to, and a bonus of 5 per cent comes with it */
    ask_ok(&w, confirming(id, 20000, "T4", 1));
    is_in_state(id, "pending");
    assert_int_equal(ask_refused(&w, confirming(id, 20000, "T4", 1)), COMMAND_FAILED);
    ask_ok(&w, confirming(id, 20000, "T4", 2));
    is_in_state(id, "credited");
    assert_int_equal(available(), CREDITS(250));
    ask_ok(&w, "{\"cmd\":\"review.list\",\"args\":{}}");
    world_audit(&w);
}

/* ---- thousands ---- */

#define ORDERS 10000u

static struct one {
    char id[ORDER_ID_LEN + 1];
    bool money; /* it was paid at the provider's */
} *orders;

/* Some notice about some order; it may be lost, doubled, or come before others. */
static void
say_something(unsigned n, bool last_round)
{
    struct one *o = &orders[n];
    unsigned what = (unsigned)(rng_next(&rng) % 10), times = 1 + (unsigned)(rng_next(&rng) % 3);
    char event[48], payment[48];
    struct said s = {"stripe", o->money ? "paid" : "expired", o->id, payment, "USD", "acct", 200, false};

    snprintf(payment, sizeof(payment), "pi_%u", n);
    if (!last_round && what < 3)
        return; /* lost */
    if (what == 3)
        s.event = "pending";
    snprintf(event, sizeof(event), "evt_%s_%u_%u", s.event, n, (unsigned)(rng_next(&rng) % 2));
    for (unsigned i = 0; i < times; i++) {
        struct js_value result;

        if (rng_next(&rng) % 400 == 0)
            w.steps_left = (long)(rng_next(&rng) % 8);
        if (world_ask(&w, notice(event, &s), &result) < 0) {
            w.steps_left = -1;
            restart(); /* no answer: the provider sends it again */
            i--;
        }
        w.steps_left = -1;
    }
}

static void
thousands_with_notices_lost_and_doubled(void **state)
{
    unsigned money = 0;

    (void)state;
    orders = calloc(ORDERS, sizeof(*orders));
    assert_non_null(orders);
    for (unsigned n = 0; n < ORDERS; n++) {
        create("stripe", "USD", 200, orders[n].id);
        orders[n].money = rng_next(&rng) % 3 != 0;
        money += orders[n].money;
    }
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < ORDERS; i++)
            say_something((unsigned)(rng_next(&rng) % ORDERS), false);
    for (unsigned n = 0; n < ORDERS; n++) { /* what the poller finds at last */
        char event[48], payment[48];
        struct said s = {"stripe", "paid", orders[n].id, payment, "USD", "acct", 200, false};

        snprintf(payment, sizeof(payment), "pi_%u", n);
        snprintf(event, sizeof(event), "poll:%u", n);
        if (orders[n].money)
            ask_ok(&w, notice(event, &s));
    }
    for (unsigned n = 0; n < ORDERS; n += 97)
        if (orders[n].money)
            is_in_state(orders[n].id, "credited");
    assert_int_equal(available(), CREDITS(2) * money);
    world_audit(&w);
    free(orders);
}

static void
killed_at_every_step(void **state)
{
    (void)state;
    for (long n = 0; n < 200; n++) {
        char id[ORDER_ID_LEN + 1];
        struct js_value result;
        struct said s;
        bool died;

        teardown(state);
        setup(state);
        create("stripe", "USD", 10000, id); /* with a bonus */
        s = paid(id);
        s.amount = 10000;
        w.steps_left = n;
        died = world_ask(&w, notice("evt_1", &s), &result) < 0;
        w.steps_left = -1;
        if (died)
            restart();
        assert_int_equal(world_ask(&w, notice("evt_1", &s), &result), 0);
        is_in_state(id, "credited");
        assert_int_equal(available(), CREDITS(105));
        world_audit(&w);
        if (!died)
            return;
    }
    fail_msg("it has no end");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(what_it_costs),
        TEST(credited_once),
        TEST(what_does_not_fit),
        TEST(late_money_is_credited),
        TEST(looked_at_again),
        TEST(pages),
        TEST(transfers_that_people_confirm),
        TEST(thousands_with_notices_lost_and_doubled),
        TEST(killed_at_every_step),
    };

    rng = world_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
