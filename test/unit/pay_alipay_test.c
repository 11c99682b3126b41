/* Alipay: the vectors, forms, answers cut out of their bytes, and what must be refused. */
#include "pay/alipay.h"

#include "base/str.h"
#include "test/unit/pay_vectors.h"
#include "test/unit/testing.h"

static struct arena arena;
static struct pay_rsa *ours, *theirs;

static int
setup(void **state)
{
    const char *why;

    (void)state;
    arena_init(&arena, 1 << 22);
    ours = pay_rsa_private(str_from(rsa_private), &why);
    theirs = pay_rsa_public(str_from(rsa_public), &why);
    return ours != NULL && theirs != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
    (void)state;
    pay_rsa_free(&ours);
    pay_rsa_free(&theirs);
    arena_end(&arena);
    return 0;
}

static void
must_add(struct alipay_fields *fields, const char *name, const char *value)
{
    assert_true(alipay_add(fields, str_from(name), str_from(value)));
}

/* Out of a string as it is signed. */
static void
fields_of(const char *string, struct alipay_fields *out)
{
    struct str rest = str_from(string);

    out->count = 0;
    while (rest.ptr != NULL) {
        struct str value, name = str_split(str_split(rest, '&', &rest), '=', &value);

        assert_true(alipay_add(out, name, value));
    }
}

static void
a_request(void **state)
{
    struct alipay_fields fields = {.count = 0};
    struct buf string, sign, query;
    struct str text;

    (void)state;
    must_add(&fields, "version", "1.0");
    must_add(&fields, "method", "alipay.trade.page.pay");
    must_add(&fields, "app_id", "2021000000000001");
    must_add(&fields, "biz_content",
             "{\"out_trade_no\":\"ord_01\",\"product_code\":\"FAST_INSTANT_TRADE_PAY\",\"subject\":\"Credits\","
             "\"total_amount\":\"10.00\"}");
    must_add(&fields, "charset", "utf-8");
    must_add(&fields, "format", "JSON");
    must_add(&fields, "passback_params", "");
    must_add(&fields, "timestamp", "2026-01-02 03:04:05");
    must_add(&fields, "sign_type", "RSA2");
    must_add(&fields, "return_url", "https://gw.example/billing");
    must_add(&fields, "notify_url", "https://gw.example/pay/alipay/notify");
    buf_init(&string, 4096);
    assert_true(alipay_string(&fields, false, &string));
    assert_true(str_eq(buf_str(&string), str_from(alipay_request)));
    buf_init(&sign, 4096);
    text = buf_str(&string);
    assert_true(pay_rsa_sign(ours, &text, 1, &sign));
    assert_true(str_eq(buf_str(&sign), str_from(alipay_request_sign)));
    buf_init(&query, 8192);
    assert_true(alipay_query(&fields, ours, &arena, &query));
    assert_true(str_starts_with(buf_str(&query), STR("version=1.0&method=alipay.trade.page.pay&app_id=")));
    assert_true(str_contains(buf_str(&query), STR("&biz_content=%7B%22out_trade_no%22%3A%22ord_01%22%2C")));
    assert_true(str_contains(buf_str(&query), STR("&timestamp=2026-01-02%2003%3A04%3A05&")));
    assert_true(str_ends_with(buf_str(&query), STR("gacQcdA%3D%3D")));
    buf_free(&string);
    buf_free(&sign);
    buf_free(&query);
}

static void
notice_fields(struct alipay_fields *out)
{
    fields_of(alipay_notice, out);
    must_add(out, "sign_type", "RSA2");
    must_add(out, "sign", alipay_notice_sign);
}

static void
a_notice(void **state)
{
    struct alipay_fields fields;
    struct pay_notice n;

    (void)state;
    notice_fields(&fields);
    assert_int_equal(alipay_verify(theirs, &fields), PAY_GOOD);
    assert_int_equal(alipay_read(&fields, &n), PAY_GOOD);
    assert_int_equal(n.event, PAY_PAID);
    assert_true(str_eq(n.event_id, STR("n1")) && str_eq(n.order_id, STR("ord_01")));
    assert_true(str_eq(n.account, STR("2088000000000001")) && str_eq(n.app, STR("2021000000000001")));
    assert_true(str_eq(n.payment_id, STR("2026010222001400000000000001")));
    assert_true(str_eq(n.currency, STR("CNY")) && n.amount_minor == 1000);
}

static void
what_is_refused(void **state)
{
    struct alipay_fields fields;
    char sign[512];

    (void)state;
    /* Each of its fields with another letter. */
    notice_fields(&fields);
    for (size_t i = 0; i < fields.count - 2; i++) {
        struct str whole = fields.at[i].value;
        char *copy = arena_copy(&arena, whole);

        copy[0] ^= 1;
        fields.at[i].value = (struct str){copy, whole.len};
        assert_int_equal(alipay_verify(theirs, &fields), PAY_BAD_SIGNATURE);
        fields.at[i].value = whole;
    }
    must_add(&fields, "more", "x");
    assert_int_equal(alipay_verify(theirs, &fields), PAY_BAD_SIGNATURE);
    fields.at[fields.count - 1].value = STR(""); /* empty ones are not signed */
    assert_int_equal(alipay_verify(theirs, &fields), PAY_GOOD);
    snprintf(sign, sizeof(sign), "%s=", alipay_notice_sign);
    fields.at[fields.count - 2].value = str_from(sign);
    assert_int_equal(alipay_verify(theirs, &fields), PAY_BAD_SIGNATURE);
    snprintf(sign, sizeof(sign), "%s\n", alipay_notice_sign);
    fields.at[fields.count - 2].value = str_from(sign);
    assert_int_equal(alipay_verify(theirs, &fields), PAY_BAD_SIGNATURE);
    fields.at[fields.count - 2].value = str_from(alipay_request_sign);
    assert_int_equal(alipay_verify(theirs, &fields), PAY_BAD_SIGNATURE);
    fields.at[fields.count - 2].value = STR("");
    assert_int_equal(alipay_verify(theirs, &fields), PAY_UNSIGNED);
    notice_fields(&fields);
    fields.at[fields.count - 2].value = STR("RSA");
    assert_int_equal(alipay_verify(theirs, &fields), PAY_UNSIGNED);
}

static void
forms(void **state)
{
    static const struct {
        const char *body;
        bool ok;
    } cases[] = {
        {"a=1", true},     {"a=1&b=", true}, {"a", true},       {"a=%e5%85%85+A%2bB", true},
        {"a=1&a=2", false}, {"%61=1&a=2", false}, {"a=%4", false}, {"a=%", false},
        {"a=%zz", false},  {"a=%00", false}, {"=1", false},     {"a=1&", false},
        {"", false},
    };
    struct alipay_fields fields;
    struct buf many;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(alipay_form(str_from(cases[i].body), &arena, &fields), cases[i].ok);
    assert_true(alipay_form(str_from(cases[3].body), &arena, &fields));
    assert_true(str_eq(alipay_get(&fields, STR("a")), STR("\xe5\x85\x85 A+B")));
    buf_init(&many, 4096);
    for (int i = 0; i < ALIPAY_FIELDS_MAX + 1; i++)
        buf_add_fmt(&many, "%sf%d=1", i > 0 ? "&" : "", i);
    assert_false(alipay_form(buf_str(&many), &arena, &fields));
    buf_free(&many);
}

static void
notices(void **state)
{
    static const struct {
        const char *more;
        enum pay_event event; /* PAY_EVENT_COUNT: malformed */
    } cases[] = {
        {"trade_status=TRADE_SUCCESS&total_amount=10", PAY_PAID},
        {"trade_status=TRADE_FINISHED&total_amount=10.5", PAY_PAID},
        {"trade_status=WAIT_BUYER_PAY&total_amount=10.00", PAY_PENDING},
        {"trade_status=TRADE_CLOSED&total_amount=10.00", PAY_EXPIRED},
        {"trade_status=TRADE_SUCCESS&total_amount=10.00&gmt_refund=2026-01-02 03:05:00.123", PAY_REFUNDED},
        {"trade_status=TRADE_SUCCESS&total_amount=10.00&refund_fee=1.00", PAY_REFUNDED},
        {"trade_status=TRADE_SUCCESS&total_amount=10.00&out_biz_no=r1", PAY_REFUNDED},
        {"trade_status=NEW", PAY_OTHER},
        {"trade_status=TRADE_SUCCESS", PAY_EVENT_COUNT},
        {"trade_status=TRADE_SUCCESS&total_amount=10.005", PAY_EVENT_COUNT},
        {"trade_status=TRADE_SUCCESS&total_amount=-10.00", PAY_EVENT_COUNT},
        {"trade_status=TRADE_SUCCESS&total_amount=1e1", PAY_EVENT_COUNT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct alipay_fields fields;
        struct pay_notice n;
        enum pay_verdict verdict;

        fields_of(cases[i].more, &fields);
        must_add(&fields, "notify_id", "n");
        must_add(&fields, "out_trade_no", "o");
        must_add(&fields, "app_id", "a");
        must_add(&fields, "seller_id", "s");
        verdict = alipay_read(&fields, &n);
        assert_int_equal(verdict, cases[i].event == PAY_EVENT_COUNT ? PAY_MALFORMED : PAY_GOOD);
        if (verdict == PAY_GOOD)
            assert_int_equal(n.event, cases[i].event);
    }
}

/* What is signed is as it stands there, blanks and all. */
static void
answers(void **state)
{
    static const char inner[] = "{ \"code\":\"10000\", \"trade_status\":\"TRADE_SUCCESS\",\"total_amount\":\"10.00\" }";
    const struct str method = STR("alipay.trade.query");
    struct str text = str_from(inner);
    struct js_value answer;
    struct buf sign, body;

    (void)state;
    buf_init(&sign, 4096);
    buf_init(&body, 8192);
    assert_true(pay_rsa_sign(ours, &text, 1, &sign));
    buf_add_fmt(&body, "{\"alipay_trade_query_response\":%s,\"sign\":\"%.*s\"}", inner, (int)sign.len, sign.ptr);
    assert_int_equal(alipay_answer(theirs, method, buf_str(&body), &answer), PAY_GOOD);
    assert_true(js_str_eq(js_get(answer, STR("code")), STR("10000")));
    assert_int_equal(alipay_answer(theirs, STR("alipay.trade.refund"), buf_str(&body), &answer), PAY_MALFORMED);
    for (size_t i = strlen("{\"alipay_trade_query_response\":{ \""); i < strlen(inner); i += 7) {
        body.ptr[i] ^= 1;
        assert_int_not_equal(alipay_answer(theirs, method, buf_str(&body), &answer), PAY_GOOD);
        body.ptr[i] ^= 1;
    }
    assert_int_equal(alipay_answer(theirs, method,
                                   STR("{\"alipay_trade_query_response\":{\"code\":\"40004\","
                                       "\"sub_code\":\"ACQ.TRADE_NOT_EXIST\"}}"), &answer), PAY_UNSIGNED);
    assert_true(js_str_eq(js_get(answer, STR("sub_code")), STR("ACQ.TRADE_NOT_EXIST")));
    assert_int_equal(alipay_answer(theirs, method, STR("{\"error_response\":{\"code\":\"20000\"}}"), &answer),
                     PAY_UNSIGNED);
    assert_int_equal(alipay_answer(theirs, method, STR("<html>"), &answer), PAY_MALFORMED);
    buf_free(&sign);
    buf_free(&body);
}

/* PEM, base64 in lines, and what is neither. */
static void
keys(void **state)
{
    static const char *const bad[] = {"", "x", "AAAA", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                                      "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEevZzL1gdAFr88hb2OF/2NxApJCzGCEDdfSp6VQO30hyhRAo"
                                      "tjTPZkvz1QpPP8lT2Vcz4w9uFZyGW1qm4CQ9Yzg=="};
    const char *why;
    struct buf pem;

    (void)state;
    buf_init(&pem, 8192);
    buf_add_fmt(&pem, "-----BEGIN PRIVATE KEY-----\n");
    for (size_t i = 0; i < strlen(rsa_private); i += 64)
        buf_add_fmt(&pem, "%.64s\n", rsa_private + i);
    buf_add_fmt(&pem, "-----END PRIVATE KEY-----\n");
    for (int i = 0; i < 2; i++) {
        struct pay_rsa *key = pay_rsa_private(
            i == 0 ? buf_str(&pem)
                   : (struct str){pem.ptr + strlen("-----BEGIN PRIVATE KEY-----"),
                                  pem.len - strlen("-----BEGIN PRIVATE KEY-----") - strlen("-----END PRIVATE KEY-----\n")},
            &why);
        struct str text = STR("x");
        struct buf sign;

        assert_non_null(key);
        buf_init(&sign, 1024);
        assert_true(pay_rsa_sign(key, &text, 1, &sign));
        assert_true(pay_rsa_verify(theirs, &text, 1, buf_str(&sign)));
        buf_free(&sign);
        pay_rsa_free(&key);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_null(pay_rsa_private(str_from(bad[i]), &why));
        assert_non_null(why);
        assert_null(pay_rsa_public(str_from(bad[i]), &why));
        assert_non_null(why);
    }
    assert_null(pay_rsa_public(str_from(rsa_private), &why));
    buf_free(&pem);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request), cmocka_unit_test(a_notice), cmocka_unit_test(what_is_refused),
        cmocka_unit_test(forms),     cmocka_unit_test(notices),  cmocka_unit_test(answers),
        cmocka_unit_test(keys),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
