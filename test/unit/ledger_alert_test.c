/* Alerts: once for a threshold and window, of every level, by mail and webhook; and rules by their own tenant. */
#include "test/unit/ledger_world.h"

#include "ledger/alert.h"

static struct world w;

#define RULE(args) "{\"cmd\":\"alert.add\",\"args\":{\"tenant\":1," args "}}"
#define LOOK "{\"cmd\":\"alert.look\"}"

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"acme\",\"credit\":\"100\",\"budget\":\"10/day\"}}");
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"other\",\"credit\":\"100\",\"budget\":\"10/day\"}}");
    ask_ok(&w, "{\"cmd\":\"member.add\",\"args\":{\"tenant\":1,\"email\":\"o@acme.example\",\"role\":\"owner\"}}");
    ask_ok(&w, "{\"cmd\":\"member.add\",\"args\":{\"tenant\":1,\"email\":\"b@acme.example\",\"role\":\"billing\"}}");
    ask_ok(&w, "{\"cmd\":\"member.add\",\"args\":{\"tenant\":1,\"email\":\"v@acme.example\",\"role\":\"viewer\"}}");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    world_restart(&w);
    world_audit(&w);
    world_close(&w);
    return 0;
}

static void
spend(uint32_t tenant_id, int64_t credits)
{
    uint32_t slot;

    assert_int_equal(world_take(&w, 0, tenant_id, CREDITS(credits), &slot), HOLD_OK);
    world_settle(&w, 0, slot, CREDITS(credits));
    assert_int_equal(world_commit(&w), 0);
}

static int64_t
told(void)
{
    return number_of(ask_ok(&w, LOOK), "told");
}

/* Takes all mail that waits; gives how many there were, and the last one's values. */
static unsigned
mails(char *vars, size_t cap)
{
    struct js_value list = js_get(ask_ok(&w, "{\"cmd\":\"mail.next\"}"), STR("mails")), key, value;
    unsigned count = 0, ids[32];
    struct js_iter it;
    char request[96];

    for (js_iter_init(&it, list); js_next(&it, &key, &value);) {
        ids[count++] = (unsigned)number_of(value, "id");
        str_copy(js_get(value, STR("vars")).raw, vars, cap);
    }
    for (unsigned i = 0; i < count; i++) {
        snprintf(request, sizeof(request), "{\"cmd\":\"mail.done\",\"args\":{\"id\":%u}}", ids[i]);
        ask_ok(&w, request);
    }
    return count;
}

static void
budget_shares(void **state)
{
    char vars[512] = "";

    (void)state;
    ask_ok(&w, RULE("\"kind\":\"budget\",\"level\":\"tenant\",\"shares\":[80,50,100]"));
    assert_int_equal(told(), 0);
    spend(1, 4);
    spend(2, 9); /* has no rule */
    assert_int_equal(told(), 0);
    spend(1, 1); /* 50 % to the point */
    assert_int_equal(told(), 1);
    assert_int_equal(told(), 0);
    assert_int_equal(mails(vars, sizeof(vars)), 2); /* owner and billing */
    assert_string_equal(vars, "{\"tenant\":\"acme\",\"level\":\"tenant\",\"name\":\"acme\",\"share\":\"50\",\"spent\":\"5\","
                              "\"limit\":\"10\",\"window\":\"day\"}");
    world_restart(&w); /* what was told is known to another process */
    assert_int_equal(told(), 0);
    spend(1, 5); /* over two at once: the higher is told */
    assert_int_equal(told(), 1);
    assert_int_equal(mails(vars, sizeof(vars)), 2);
    assert_non_null(strstr(vars, "\"share\":\"100\""));
    assert_int_equal(told(), 0);
    /* The next day begins anew. */
    w.wall_us += INT64_C(86400000000);
    assert_int_equal(told(), 0);
    spend(1, 8);
    assert_int_equal(told(), 1);
    assert_int_equal(mails(vars, sizeof(vars)), 2);
    assert_non_null(strstr(vars, "\"share\":\"80\""));
}

static void
low_balance(void **state)
{
    char vars[512] = "";

    (void)state;
    ask_ok(&w, RULE("\"kind\":\"balance\",\"below\":\"95\",\"emails\":[\"x@y.example\"]"));
    spend(1, 5);
    assert_int_equal(told(), 0); /* 95 is not below 95 */
    spend(1, 1);
    assert_int_equal(told(), 1);
    assert_int_equal(told(), 0);
    assert_int_equal(mails(vars, sizeof(vars)), 1);
    assert_string_equal(vars, "{\"tenant\":\"acme\",\"balance\":\"94\",\"threshold\":\"95\"}");
    /* Up and down around the threshold is not told again, before it was well above. */
    ask_ok(&w, "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":1,\"amount\":\"2\"}}");
    assert_int_equal(told(), 0);
    ask_ok(&w, "{\"cmd\":\"credit.deduct\",\"args\":{\"tenant\":1,\"amount\":\"3\"}}");
    assert_int_equal(told(), 0);
    ask_ok(&w, "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":1,\"amount\":\"20\"}}");
    assert_int_equal(told(), 0);
    ask_ok(&w, "{\"cmd\":\"credit.deduct\",\"args\":{\"tenant\":1,\"amount\":\"20\"}}");
    assert_int_equal(told(), 1);
    assert_int_equal(mails(vars, sizeof(vars)), 1);
    /* Another threshold is another matter. */
    ask_ok(&w, "{\"cmd\":\"alert.set\",\"args\":{\"id\":1,\"below\":\"94\"}}");
    assert_int_equal(told(), 1);
}

static void
ways(void **state)
{
    struct js_value list;
    char vars[512];

    (void)state;
    ask_ok(&w, "{\"cmd\":\"webhook.add\",\"args\":{\"tenant\":1,\"url\":\"https://a.example/\"}}");
    ask_ok(&w, "{\"cmd\":\"webhook.add\",\"args\":{\"tenant\":1,\"url\":\"https://b.example/\",\"events\":[\"alert.balance\"]}}");
    ask_ok(&w, "{\"cmd\":\"webhook.add\",\"args\":{\"tenant\":2,\"url\":\"https://c.example/\"}}");
    ask_ok(&w, RULE("\"kind\":\"budget\",\"shares\":[50],\"mail\":false"));
    ask_ok(&w, RULE("\"kind\":\"budget\",\"shares\":[50],\"webhooks\":false,\"emails\":[\"m@y.example\"]"));
    ask_ok(&w, RULE("\"kind\":\"budget\",\"shares\":[50],\"disabled\":true"));
    spend(1, 6);
    assert_int_equal(told(), 2);
    assert_int_equal(mails(vars, sizeof(vars)), 1);
    list = js_get(ask_ok(&w, "{\"cmd\":\"delivery.next\"}"), STR("deliveries"));
    assert_true(str_contains(list.raw, STR("https://a.example/")));
    assert_true(str_contains(list.raw, STR("\\\"alert\\\":1,\\\"level\\\":\\\"tenant\\\",\\\"id\\\":1,\\\"name\\\":\\\"acme\\\","
                                           "\\\"share\\\":50,\\\"spent\\\":\\\"6\\\",\\\"limit\\\":\\\"10\\\"")));
    assert_false(str_contains(list.raw, STR("b.example")));
    assert_false(str_contains(list.raw, STR("c.example")));
}

static void
rules(void **state)
{
    static const char *const wrong[] = {
        RULE("\"kind\":\"no\""),
        RULE("\"kind\":\"budget\""),
        RULE("\"kind\":\"budget\",\"shares\":[]"),
        RULE("\"kind\":\"budget\",\"shares\":[9]"),
        RULE("\"kind\":\"budget\",\"shares\":[101]"),
        RULE("\"kind\":\"budget\",\"shares\":[50,50]"),
        RULE("\"kind\":\"budget\",\"shares\":[10,20,30,40,50,60,70,80,90]"),
        RULE("\"kind\":\"budget\",\"shares\":[50],\"level\":\"no\""),
        RULE("\"kind\":\"budget\",\"shares\":[50],\"emails\":[\"a>b@c.d\"]"),
        RULE("\"kind\":\"budget\",\"shares\":[50],\"emails\":\"a@b.c\""),
        RULE("\"kind\":\"balance\""),
        RULE("\"kind\":\"balance\",\"below\":\"0\""),
        RULE("\"kind\":\"balance\",\"below\":\"-1\""),
    };
    struct js_value rule;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_int_equal(ask_refused(&w, wrong[i]), COMMAND_USAGE);
    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":2,\"name\":\"k\"}}");
    assert_int_equal(ask_refused(&w, RULE("\"kind\":\"budget\",\"shares\":[50],\"level\":\"key\",\"target\":1")),
                     COMMAND_FAILED); /* it is the other's */
    rule = ask_ok(&w, RULE("\"kind\":\"budget\",\"shares\":[90,20],\"level\":\"member\",\"target\":1,\"name\":\"n\""));
    assert_str(js_get(rule, STR("shares")).raw, "[20,90]");
    rule = ask_ok(&w, "{\"cmd\":\"alert.set\",\"args\":{\"id\":1,\"tenant\":1,\"shares\":[75],\"disabled\":true}}");
    assert_str(js_get(rule, STR("shares")).raw, "[75]");
    assert_int_equal(number_of(rule, "target"), 1);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"alert.show\",\"args\":{\"id\":1,\"tenant\":2}}"), COMMAND_FAILED);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"alert.remove\",\"args\":{\"id\":1,\"tenant\":2}}"), COMMAND_FAILED);
    for (unsigned i = 1; i < ALERTS_MAX; i++)
        ask_ok(&w, RULE("\"kind\":\"balance\",\"below\":\"1\""));
    assert_int_equal(ask_refused(&w, RULE("\"kind\":\"balance\",\"below\":\"1\"")), COMMAND_FAILED);
    /* A rule goes with what it has told. */
    ask_ok(&w, "{\"cmd\":\"alert.set\",\"args\":{\"id\":2,\"below\":\"200\"}}");
    assert_int_equal(told(), 1);
    ask_ok(&w, "{\"cmd\":\"alert.remove\",\"args\":{\"id\":2,\"tenant\":1}}");
    for (unsigned i = 1; i <= ALERTS_MAX; i++) {
        char request[96];

        snprintf(request, sizeof(request), "{\"cmd\":\"alert.remove\",\"args\":{\"id\":%u}}", i);
        if (i != 2)
            ask_ok(&w, request);
    }
    struct db_txn txn;

    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    assert_true(db_is_empty(&txn, DB_ALERT));
    db_end(&txn);
}

/* Budgets of every level, each with its own rule. */
static void
levels(void **state)
{
    static const char *const owners[] = {"ci", "v@acme.example", "web", "acme"};
    char vars[512], want[160];
    uint32_t window;

    (void)state;
    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":1,\"name\":\"ci\",\"budget\":\"0.01/day\"}}");
    ask_ok(&w, "{\"cmd\":\"project.add\",\"args\":{\"tenant\":1,\"name\":\"web\",\"budget\":\"20\"}}");
    ask_ok(&w, "{\"cmd\":\"member.add\",\"args\":{\"tenant\":1,\"email\":\"w@acme.example\",\"role\":\"viewer\","
               "\"budget\":\"20/month\"}}");
    for (unsigned level = 0; level < BUDGET_KIND_COUNT; level++) {
        char request[256];

        snprintf(request, sizeof(request),
                 RULE("\"kind\":\"budget\",\"shares\":[50,90],\"level\":\"%s\",\"emails\":[\"m@y.example\"]"),
                 budget_kind_name[level]);
        ask_ok(&w, request);
    }
    for (uint32_t i = 1; i <= ledger_budget_count(w.ledger); i++) {
        struct budget *budget = budget_at(w.workers, i);
        struct budget_look look;

        budget_look(budget, w.wall_us, &look);
        if (look.limit_ucr == CREDITS(10) && budget->id != 1)
            continue; /* the other tenant's */
        assert_int_equal(budget_enter(budget, look.limit_ucr * 6 / 10, w.wall_us, &window), BUDGET_OK);
        assert_int_equal(told(), 1);
        assert_int_equal(mails(vars, sizeof(vars)), 1);
        snprintf(want, sizeof(want), "\"level\":\"%s\",\"name\":\"%s\",\"share\":\"50\"", budget_kind_name[budget->kind],
                 budget->kind == BUDGET_MEMBER ? "w@acme.example" : owners[budget->kind]);
        assert_non_null(strstr(vars, want));
        assert_int_equal(told(), 0);
        budget_leave(budget, look.limit_ucr * 6 / 10, window);
    }
}

/* What is due, by the figures alone. */
static void
when(void **state)
{
    struct alert alert = {.shares = {50, 100}, .share_count = 2};
    struct budget_look look = {.limit_ucr = 1000, .spent_ucr = 499, .window = 7};
    struct alert_told now = {0};

    (void)state;
    assert_int_equal(alert_share_due(&alert, &look, &now), 0);
    look.spent_ucr = 500;
    assert_int_equal(alert_share_due(&alert, &look, &now), 50);
    assert_int_equal(now.window, 7);
    look.spent_ucr = 300; /* a hold went back, and another comes */
    assert_int_equal(alert_share_due(&alert, &look, &now), 0);
    look.spent_ucr = 600;
    assert_int_equal(alert_share_due(&alert, &look, &now), 0);
    look.limit_ucr = 2000; /* twice as much: half of it is not reached, and is told when it is */
    assert_int_equal(alert_share_due(&alert, &look, &now), 0);
    look.spent_ucr = 1000;
    assert_int_equal(alert_share_due(&alert, &look, &now), 50);
    look.limit_ucr = 1000; /* and less again */
    assert_int_equal(alert_share_due(&alert, &look, &now), 100);
    look.limit_ucr = 0;
    assert_int_equal(alert_share_due(&alert, &look, &now), 0);
    look = (struct budget_look){
        .limit_ucr = BUDGET_SPENT_MAX, .spent_ucr = BUDGET_SPENT_MAX, .window = 8};
    assert_int_equal(alert_share_due(&alert, &look, &now), 100);
}

/* Killed at each step of telling: it is told, once. */
static void
death_at_each_step(void **state)
{
    (void)state;
    for (long step = 0;; step++) {
        struct js_value ignored;
        char vars[512];
        bool died;

        ask_ok(&w, RULE("\"kind\":\"budget\",\"shares\":[50]"));
        spend(1, 6);
        w.steps_left = step;
        died = world_ask(&w, LOOK, &ignored) < 0;
        w.steps_left = -1;
        world_restart(&w);
        told();
        assert_int_equal(told(), 0);
        assert_int_equal(mails(vars, sizeof(vars)), 2);
        if (!died)
            break;
        assert_true(step < 100);
        world_close(&w);
        setup(NULL);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(budget_shares, setup, teardown),
        cmocka_unit_test_setup_teardown(low_balance, setup, teardown),
        cmocka_unit_test_setup_teardown(ways, setup, teardown),
        cmocka_unit_test_setup_teardown(rules, setup, teardown),
        cmocka_unit_test_setup_teardown(levels, setup, teardown),
        cmocka_unit_test(when),
        cmocka_unit_test_setup_teardown(death_at_each_step, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
