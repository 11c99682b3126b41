/* What the operator tells people: versions of the terms, announcements and when they show, texts. */
#include "test/unit/ledger_world.h"

#include "ledger/site.h"

static struct world w;

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
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

static bool
said(const char *name, const char *text)
{
    struct js_value answer;
    struct js_error err;

    assert_true(js_check(buf_str(&w.answer), &answer, &err));
    return js_str_eq(js_get(answer, str_from(name)), str_from(text));
}

static unsigned
length(struct js_value list)
{
    struct js_value none, value;
    struct js_iter it;
    unsigned n = 0;

    for (js_iter_init(&it, list); js_next(&it, &none, &value);)
        n++;
    return n;
}

static void
versions_of_terms(void **state)
{
    struct js_value result;

    (void)state;
    result = ask_ok(&w, "{\"cmd\":\"terms.versions\"}");
    assert_int_equal(js_get(result, STR("terms")).type, JS_NULL);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"terms.show\",\"args\":{\"kind\":\"terms\"}}"), 1);
    assert_true(said("code", "not_found"));

    result = ask_ok(&w, "{\"cmd\":\"terms.put\",\"args\":{\"kind\":\"terms\",\"en\":\"be good\\n\"}}");
    assert_int_equal(number_of(result, "version"), 1);
    ask_ok(&w, "{\"cmd\":\"terms.put\",\"args\":{\"kind\":\"privacy\",\"en\":\"p\",\"zh\":\"私\"}}");
    result = ask_ok(&w, "{\"cmd\":\"terms.put\",\"args\":{\"kind\":\"terms\",\"en\":\"be better\","
                        "\"note\":\"stricter\"}}");
    assert_int_equal(number_of(result, "version"), 2);
    result = ask_ok(&w, "{\"cmd\":\"terms.versions\"}");
    assert_int_equal(number_of(result, "terms"), 2);
    assert_int_equal(number_of(result, "privacy"), 1);
    result = ask_ok(&w, "{\"cmd\":\"terms.show\",\"args\":{\"kind\":\"terms\"}}");
    assert_int_equal(number_of(result, "version"), 2);
    assert_true(js_str_eq(js_get(result, STR("en")), STR("be better")));
    assert_int_equal(js_get(result, STR("zh")).type, JS_NULL);
    result = ask_ok(&w, "{\"cmd\":\"terms.show\",\"args\":{\"kind\":\"terms\",\"version\":1}}");
    assert_true(js_str_eq(js_get(result, STR("en")), STR("be good\n")));
    result = ask_ok(&w, "{\"cmd\":\"terms.show\",\"args\":{\"kind\":\"privacy\"}}");
    assert_true(js_str_eq(js_get(result, STR("zh")), STR("私")));
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"terms.show\",\"args\":{\"kind\":\"terms\",\"version\":3}}"), 1);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"terms.put\",\"args\":{\"kind\":\"rules\",\"en\":\"x\"}}"), 2);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"terms.put\",\"args\":{\"kind\":\"terms\"}}"), 2);
    assert_true(said("field", "en") && said("code", "required"));
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"terms.put\",\"args\":{\"kind\":\"terms\","
                                     "\"en\":\"a\\u0001\"}}"), 2);
    assert_int_equal(length(js_get(ask_ok(&w, "{\"cmd\":\"terms.list\"}"), STR("terms"))), 3);

    /* The log has which, not the words. */
    result = ask_ok(&w, "{\"cmd\":\"log.list\",\"args\":{\"target\":\"terms:2\"}}");
    assert_int_equal(length(js_get(result, STR("entries"))), 1);
    assert_false(str_contains(buf_str(&w.answer), STR("be better")));
}

static void
long_texts(void **state)
{
    char *request = test_malloc(SITE_TEXT_MAX + 4096);
    struct js_value result;
    int n = sprintf(request, "{\"cmd\":\"terms.put\",\"args\":{\"kind\":\"terms\",\"en\":\"");

    (void)state;
    memset(request + n, 'x', SITE_TEXT_MAX);
    strcpy(request + n + SITE_TEXT_MAX, "\"}}");
    ask_ok(&w, request);
    result = ask_ok(&w, "{\"cmd\":\"terms.show\",\"args\":{\"kind\":\"terms\"}}");
    assert_int_equal(js_get(result, STR("en")).raw.len, SITE_TEXT_MAX);
    strcpy(request + n + SITE_TEXT_MAX, "x\"}}");
    assert_int_equal(ask_refused(&w, request), 2);
    assert_true(said("code", "too_long"));
    test_free(request);
}

static unsigned
shown(void)
{
    return length(js_get(ask_ok(&w, "{\"cmd\":\"notice.list\",\"args\":{\"current\":true}}"),
                         STR("notices")));
}

static void
announcements(void **state)
{
    struct js_value result;

    (void)state;
    result = ask_ok(&w, "{\"cmd\":\"notice.add\",\"args\":{\"en\":\"soon\",\"level\":\"warning\","
                        "\"from\":\"2030-01-01\",\"until\":\"2030-01-02\"}}");
    assert_int_equal(number_of(result, "id"), 1);
    assert_int_equal(shown(), 0);
    result = ask_ok(&w, "{\"cmd\":\"notice.add\",\"args\":{\"en\":\"now\"}}");
    assert_int_equal(number_of(result, "id"), 2);
    assert_int_equal(shown(), 1);
    result = ask_ok(&w, "{\"cmd\":\"notice.set\",\"args\":{\"id\":2,\"zh\":\"现在\",\"level\":\"critical\"}}");
    assert_true(js_str_eq(js_get(result, STR("en")), STR("now")));
    assert_true(js_str_eq(js_get(result, STR("zh")), STR("现在")));
    assert_true(js_str_eq(js_get(result, STR("level")), STR("critical")));
    ask_ok(&w, "{\"cmd\":\"notice.set\",\"args\":{\"id\":1,\"from\":\"2020-01-01\"}}");
    assert_int_equal(shown(), 2);
    ask_ok(&w, "{\"cmd\":\"notice.set\",\"args\":{\"id\":1,\"until\":\"2020-01-02\"}}");
    assert_int_equal(shown(), 1);
    assert_int_equal(length(js_get(ask_ok(&w, "{\"cmd\":\"notice.list\"}"), STR("notices"))), 2);
    ask_ok(&w, "{\"cmd\":\"notice.remove\",\"args\":{\"id\":2}}");
    assert_int_equal(shown(), 0);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"notice.remove\",\"args\":{\"id\":2}}"), 1);
    assert_true(said("code", "not_found"));
    /* An ID is never used again. */
    assert_int_equal(number_of(ask_ok(&w, "{\"cmd\":\"notice.add\",\"args\":{\"en\":\"x\"}}"), "id"), 3);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"notice.add\",\"args\":{\"en\":\"x\",\"level\":\"loud\"}}"), 2);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"notice.add\",\"args\":{\"en\":\"x\",\"from\":\"2030-01-02\","
                                     "\"until\":\"2030-01-01\"}}"), 2);
    assert_true(said("field", "until"));

    result = ask_ok(&w, "{\"cmd\":\"log.list\",\"args\":{\"target\":\"notice:2\"}}");
    assert_int_equal(length(js_get(result, STR("entries"))), 3);
}

static void
texts(void **state)
{
    struct js_value result = ask_ok(&w, "{\"cmd\":\"setting.show\"}");

    (void)state;
    assert_int_equal(js_get(result, STR("support_email")).type, JS_NULL);
    result = ask_ok(&w, "{\"cmd\":\"setting.set\",\"args\":{\"support_email\":\"help@a.org\","
                        "\"welcome_en\":\"<b>hi</b>\"}}");
    assert_true(js_str_eq(js_get(result, STR("support_email")), STR("help@a.org")));
    assert_true(js_str_eq(js_get(result, STR("welcome_en")), STR("<b>hi</b>")));
    result = ask_ok(&w, "{\"cmd\":\"setting.set\",\"args\":{\"support_email\":null}}");
    assert_int_equal(js_get(result, STR("support_email")).type, JS_NULL);
    assert_true(js_str_eq(js_get(result, STR("welcome_en")), STR("<b>hi</b>")));
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"setting.set\",\"args\":{\"support_email\":\"x\"}}"), 2);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"setting.set\",\"args\":{\"support_url\":\"javascript:1\"}}"), 2);
    result = ask_ok(&w, "{\"cmd\":\"log.list\",\"args\":{\"action\":\"setting.set\",\"limit\":1}}");
    assert_true(str_contains(js_get(result, STR("entries")).raw,
                             STR("\"before\":{\"support_email\":\"help@a.org\"")));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(versions_of_terms), TEST(long_texts), TEST(announcements), TEST(texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
