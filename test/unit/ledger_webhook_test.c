/* Webhooks: made, changed and removed by their own tenant; deliveries that are tried, end, are sent again and go. */
#include "test/unit/ledger_world.h"

#include "ledger/webhook.h"

static struct world w;

#define SECOND INT64_C(1000000)
#define ADD(tenant)                                                                                \
    "{\"cmd\":\"webhook.add\",\"args\":{\"tenant\":" tenant ",\"url\":\"https://hooks.example/a?b=c\"}}"
#define DO(cmd, id) "{\"cmd\":\"" cmd "\",\"args\":{\"id\":" id ",\"tenant\":1}}"
#define NEXT "{\"cmd\":\"delivery.next\"}"

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"acme\",\"credit\":\"100\"}}");
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"other\"}}");
    ask_ok(&w, "{\"cmd\":\"member.add\",\"args\":{\"tenant\":1,\"email\":\"o@acme.example\",\"role\":\"owner\"}}");
    ask_ok(&w, "{\"cmd\":\"member.add\",\"args\":{\"tenant\":1,\"email\":\"v@acme.example\",\"role\":\"viewer\"}}");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    world_audit(&w);
    world_close(&w);
    return 0;
}

static unsigned
next(struct js_value *first)
{
    struct js_value list = js_get(ask_ok(&w, NEXT), STR("deliveries")), key, value;
    struct js_iter it;
    unsigned count = 0;

    for (js_iter_init(&it, list); js_next(&it, &key, &value);)
        if (count++ == 0)
            *first = value;
    return count;
}

static void
state_is(const char *request, const char *want, int64_t tries)
{
    struct js_value delivery = ask_ok(&w, request);

    assert_str(js_get(delivery, STR("state")).raw, want);
    assert_int_equal(number_of(delivery, "tries"), tries);
}

static void
made_and_changed(void **state)
{
    struct js_value hook;
    char secret[80], second[80];

    (void)state;
    hook = ask_ok(&w, ADD("1"));
    assert_int_equal(number_of(hook, "id"), 1);
    str_copy(js_get(hook, STR("secret")).raw, secret, sizeof(secret));
    assert_int_equal(strlen(secret), WEBHOOK_SECRET_LEN);
    assert_memory_equal(secret, "whsec_", 6);
    hook = ask_ok(&w, DO("webhook.show", "1"));
    assert_int_equal(js_get(hook, STR("secret")).type, JS_NONE);
    assert_str(js_get(hook, STR("url")).raw, "https://hooks.example/a?b=c");
    hook = ask_ok(&w, "{\"cmd\":\"webhook.set\",\"args\":{\"id\":1,\"tenant\":1,\"events\":[\"alert.balance\"]}}");
    assert_str(js_get(hook, STR("events")).raw, "[\"alert.balance\"]");
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"webhook.set\",\"args\":{\"id\":1,\"events\":[\"no\"]}}"), COMMAND_USAGE);
    hook = ask_ok(&w, DO("webhook.rotate_secret", "1"));
    str_copy(js_get(hook, STR("secret")).raw, second, sizeof(second));
    assert_string_not_equal(secret, second);
    ask_ok(&w, DO("webhook.test", "1"));
    assert_int_equal(next(&hook), 1);
    assert_str(js_get(hook, STR("secret")).raw, second);
    assert_str(js_get(hook, STR("old_secret")).raw, secret);
    /* A day later the old one is no good any more. */
    w.wall_us += OUTBOX_DAY_US - 10 * SECOND;
    assert_int_equal(next(&hook), 1);
    assert_str(js_get(hook, STR("old_secret")).raw, secret);
    w.wall_us += 20 * SECOND;
    ask_ok(&w, DO("webhook.test", "1"));
    assert_int_equal(next(&hook), 1);
    assert_int_equal(js_get(hook, STR("old_secret")).type, JS_NONE);
    ask_ok(&w, DO("webhook.remove", "1"));
    assert_int_equal(ask_refused(&w, DO("webhook.show", "1")), COMMAND_FAILED);
    assert_str(js_get(ask_ok(&w, "{\"cmd\":\"webhook.list\",\"args\":{\"tenant\":1}}"), STR("webhooks")).raw, "[]");
    hook = ask_ok(&w, ADD("1"));
    assert_int_equal(number_of(hook, "id"), 2); /* no number twice */
}

static void
bad_urls(void **state)
{
    static const char *const urls[] = {
        "http://hooks.example/", "ftp://a", "https://", "https:///x", "https://u:p@hooks.example/",
        "https://a b/", "https://a/#x", "https://a/\\r\\nx", "https://a\\u0000/", "hooks.example", "",
        "https://\\u4e2d.example/",
    };
    char request[256];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        snprintf(request, sizeof(request), "{\"cmd\":\"webhook.add\",\"args\":{\"tenant\":1,\"url\":\"%s\"}}", urls[i]);
        assert_int_equal(ask_refused(&w, request), COMMAND_USAGE);
    }
    for (unsigned i = 0; i < WEBHOOKS_MAX; i++)
        ask_ok(&w, ADD("1"));
    assert_int_equal(ask_refused(&w, ADD("1")), COMMAND_FAILED);
    ask_ok(&w, ADD("2"));
}

/* Of another tenant's there is nothing to be seen. */
static void
foreign(void **state)
{
    static const char *const cmds[] = {"webhook.show", "webhook.set", "webhook.remove", "webhook.rotate_secret",
                                       "webhook.test", "delivery.show", "delivery.resend"};
    char request[256], text[512], other[512];

    (void)state;
    ask_ok(&w, ADD("1"));
    ask_ok(&w, DO("webhook.test", "1"));
    for (size_t i = 0; i < COUNT_OF(cmds); i++) {
        snprintf(request, sizeof(request), "{\"cmd\":\"%s\",\"args\":{\"id\":1,\"tenant\":2}}", cmds[i]);
        assert_int_equal(ask_refused(&w, request), COMMAND_FAILED);
        assert_true(str_contains(buf_str(&w.answer), STR("\"code\":\"not_found\"")));
        str_copy(buf_str(&w.answer), text, sizeof(text));
        /* The very words of there being none. */
        snprintf(request, sizeof(request), "{\"cmd\":\"%s\",\"args\":{\"id\":9,\"tenant\":2}}", cmds[i]);
        assert_int_equal(ask_refused(&w, request), COMMAND_FAILED);
        *strpbrk(strstr(text, "there is no"), "19") = '#';
        assert_true(str_copy(buf_str(&w.answer), other, sizeof(other)) < sizeof(other) - 1);
        *strpbrk(strstr(other, "there is no"), "19") = '#';
        assert_string_equal(text, other);
    }
    assert_str(js_get(ask_ok(&w, "{\"cmd\":\"delivery.list\",\"args\":{\"tenant\":2}}"), STR("deliveries")).raw, "[]");
}

static void
delivered(void **state)
{
    struct js_value delivery, first;

    (void)state;
    ask_ok(&w, ADD("1"));
    ask_ok(&w, DO("webhook.test", "1"));
    assert_int_equal(next(&delivery), 1);
    assert_str(js_get(delivery, STR("event")).raw, "ping");
    assert_true(str_contains(js_get(delivery, STR("body")).raw, STR("\\\"event\\\":\\\"ping\\\"")));
    assert_int_equal(next(&first), 0);
    ask_ok(&w, "{\"cmd\":\"delivery.failed\",\"args\":{\"id\":1,\"status\":500,\"ms\":12,\"why\":\"status 500\"}}");
    assert_int_equal(next(&first), 0);
    state_is(DO("delivery.show", "1"), "pending", 1);
    w.wall_us += 12 * SECOND;
    assert_int_equal(next(&first), 1);
    ask_ok(&w, "{\"cmd\":\"delivery.done\",\"args\":{\"id\":1,\"status\":204,\"ms\":7}}");
    state_is(DO("delivery.show", "1"), "done", 2);
    delivery = js_get(ask_ok(&w, DO("delivery.show", "1")), STR("log"));
    assert_true(str_contains(delivery.raw, STR("\"status\":500,\"ms\":12,\"why\":\"status 500\"")));
    assert_true(str_contains(delivery.raw, STR("\"status\":204,\"ms\":7,\"why\":\"\"")));
    ask_ok(&w, "{\"cmd\":\"delivery.failed\",\"args\":{\"id\":1}}"); /* late: it was said already */
    state_is(DO("delivery.show", "1"), "done", 2);
    w.wall_us += OUTBOX_DAY_US;
    assert_int_equal(next(&first), 0);
    ask_ok(&w, DO("delivery.resend", "1"));
    assert_int_equal(next(&first), 1);
    ask_ok(&w, "{\"cmd\":\"delivery.done\",\"args\":{\"id\":1,\"status\":200,\"ms\":7}}");
    /* A month later it goes. */
    assert_int_equal(number_of(ask_ok(&w, "{\"cmd\":\"delivery.tidy\"}"), "dropped"), 0);
    w.wall_us += 30 * OUTBOX_DAY_US;
    assert_int_equal(number_of(ask_ok(&w, "{\"cmd\":\"delivery.tidy\"}"), "dropped"), 1);
    assert_int_equal(ask_refused(&w, DO("delivery.show", "1")), COMMAND_FAILED);
    assert_str(js_get(ask_ok(&w, "{\"cmd\":\"delivery.list\",\"args\":{\"tenant\":1}}"), STR("deliveries")).raw, "[]");
}

/* A day of failures ends a delivery, three days of them the webhook; its owner is told, once. */
static void
turned_off(void **state)
{
    struct js_value first, mails, hook, key, value;
    struct js_iter it;
    unsigned tries = 0, told = 0;
    char request[128];

    (void)state;
    ask_ok(&w, ADD("1"));
    for (unsigned day = 1; day <= 5; day++) {
        hook = ask_ok(&w, DO("webhook.show", "1"));
        if (js_bool(js_get(hook, STR("disabled")), false))
            break;
        ask_ok(&w, DO("webhook.test", "1"));
        for (unsigned i = 0; i < 200; i++) {
            if (next(&first) == 1) {
                snprintf(request, sizeof(request), "{\"cmd\":\"delivery.failed\",\"args\":{\"id\":%u}}", day);
                ask_ok(&w, request);
                tries++;
            }
            w.wall_us += 10 * 60 * SECOND;
        }
    }
    assert_true(tries > 60);
    hook = ask_ok(&w, DO("webhook.show", "1"));
    assert_true(js_bool(js_get(hook, STR("disabled")), false));
    assert_str(js_get(hook, STR("reason")).raw, "failing");
    state_is(DO("delivery.show", "1"), "failed", number_of(ask_ok(&w, DO("delivery.show", "1")), "tries"));
    mails = js_get(ask_ok(&w, "{\"cmd\":\"mail.list\"}"), STR("mails"));
    for (js_iter_init(&it, mails); js_next(&it, &key, &value); told++) {
        assert_str(js_get(value, STR("template")).raw, "webhook-off");
        assert_str(js_get(value, STR("to")).raw, "o@acme.example");
    }
    assert_int_equal(told, 1);
    assert_int_equal(ask_refused(&w, DO("webhook.test", "1")), COMMAND_FAILED);
    assert_int_equal(ask_refused(&w, DO("delivery.resend", "1")), COMMAND_FAILED);
    ask_ok(&w, "{\"cmd\":\"webhook.set\",\"args\":{\"id\":1,\"tenant\":1,\"disabled\":false}}");
    ask_ok(&w, DO("delivery.resend", "1"));
    assert_true(next(&first) >= 1);
    /* It works again: the days before do not count. */
    ask_ok(&w, "{\"cmd\":\"delivery.done\",\"args\":{\"id\":1,\"status\":200}}");
    assert_int_equal(js_get(ask_ok(&w, DO("webhook.show", "1")), STR("failing_since")).type, JS_NULL);
}

static void
pages(void **state)
{
    struct js_value page, key, value;
    int64_t cursor = 0, want = 130;
    struct js_iter it;
    char request[160];

    (void)state;
    ask_ok(&w, ADD("1"));
    ask_ok(&w, ADD("1"));
    for (unsigned i = 0; i < 130; i++)
        ask_ok(&w, i % 2 == 0 ? DO("webhook.test", "1") : DO("webhook.test", "2"));
    do {
        snprintf(request, sizeof(request),
                 "{\"cmd\":\"delivery.list\",\"args\":{\"tenant\":1,\"limit\":40,\"cursor\":%lld}}", (long long)cursor);
        page = ask_ok(&w, request);
        for (js_iter_init(&it, js_get(page, STR("deliveries"))); js_next(&it, &key, &value);)
            assert_int_equal(number_of(value, "id"), want--);
        cursor = js_is(js_get(page, STR("next")), JS_NULL) ? 0 : number_of(page, "next");
    } while (cursor != 0);
    assert_int_equal(want, 0);
    page = ask_ok(&w, "{\"cmd\":\"delivery.list\",\"args\":{\"tenant\":1,\"webhook\":2,\"limit\":100}}");
    want = 130;
    for (js_iter_init(&it, js_get(page, STR("deliveries"))); js_next(&it, &key, &value); want -= 2)
        assert_int_equal(number_of(value, "id"), want);
    assert_int_equal(want, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(made_and_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_urls, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign, setup, teardown),
        cmocka_unit_test_setup_teardown(delivered, setup, teardown),
        cmocka_unit_test_setup_teardown(turned_off, setup, teardown),
        cmocka_unit_test_setup_teardown(pages, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
