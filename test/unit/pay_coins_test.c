/* Stablecoin providers: the vectors, and what must be refused. */
#include "pay/coins.h"

#include "base/rng.h"
#include "base/str.h"
#include "pay/sign.h"
#include "test/unit/pay_vectors.h"
#include "test/unit/testing.h"

static const struct str ipn[] = {{"ipn_test_secret", 15}}, shared[] = {{"shared_test_secret", 18}},
                        hook[] = {{"hook_test_secret", 16}};
static const struct pay_secrets ipn_secrets = {ipn, 1}, shared_secrets = {shared, 1}, hook_secrets = {hook, 1};
static struct arena arena;

static int
setup(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 24);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    arena_end(&arena);
    return 0;
}

static enum pay_verdict
ipn_verify(const char *mac, const char *body)
{
    return nowpayments_verify(&ipn_secrets, str_from(mac), str_from(body), &arena);
}

static void
nowpayments(void **state)
{
    /* The same in another order, and with blanks: what is signed is sorted. */
    static const char shuffled[] =
        "{ \"price_currency\": \"usd\",\n \"order_id\":\"ord_01\", \"actually_paid\":10.5, \"payment_id\":4945313240,"
        "\"price_amount\":10.5,\"pay_currency\":\"usdttrc20\",\"pay_amount\":10.5,\"outcome_amount\":10.45,"
        "\"payment_status\":\"finished\"}";
    char body[512];
    struct pay_notice n;

    (void)state;
    assert_int_equal(ipn_verify(ipn_mac, ipn_sorted_body), PAY_GOOD);
    assert_int_equal(ipn_verify(ipn_mac, shuffled), PAY_GOOD);
    assert_int_equal(ipn_verify("", shuffled), PAY_UNSIGNED);
    str_copy(str_from(ipn_mac), body, sizeof(body));
    body[127] = '\0';
    assert_int_equal(ipn_verify(body, shuffled), PAY_BAD_SIGNATURE);
    body[126] = 'g';
    assert_int_equal(ipn_verify(body, shuffled), PAY_BAD_SIGNATURE);
    /* Numbers are signed as they are written. */
    assert_int_equal(ipn_verify(ipn_mac, "{\"actually_paid\":10.50,\"order_id\":\"ord_01\",\"outcome_amount\":10.45,"
                                         "\"pay_amount\":10.5,\"pay_currency\":\"usdttrc20\",\"payment_id\":4945313240,"
                                         "\"payment_status\":\"finished\",\"price_amount\":10.5,\"price_currency\":\"usd\"}"),
                     PAY_BAD_SIGNATURE);
    for (size_t i = 0; i < strlen(ipn_sorted_body); i++) {
        str_copy(str_from(ipn_sorted_body), body, sizeof(body));
        body[i] ^= 1;
        assert_int_equal(ipn_verify(ipn_mac, body), PAY_BAD_SIGNATURE);
    }
    assert_int_equal(nowpayments_read(str_from(shuffled), &arena, &n), PAY_GOOD);
    assert_int_equal(n.event, PAY_PAID);
    assert_true(str_eq(n.order_id, STR("ord_01")) && str_eq(n.payment_id, STR("4945313240")));
    assert_true(str_eq(n.currency, STR("USD")) && n.amount_minor == 1050);
}

static void
sorted_at_every_level(void **state)
{
    static const struct {
        const char *body, *want; /* NULL: nothing that can be signed */
    } cases[] = {
        {"{}", "{}"},
        {"{\"b\":[{\"z\":1,\"a\":[ ]}, 2.50, \"x\\\"\"],\"a\":{\"d\":null,\"c\":true}}",
         "{\"a\":{\"c\":true,\"d\":null},\"b\":[{\"a\":[],\"z\":1},2.50,\"x\\\"\"]}"},
        {"{\"ab\":1,\"a\":2,\"B\":3}", "{\"B\":3,\"a\":2,\"ab\":1}"},
        {"{\"\\u0062\":1,\"a\":2}", "{\"a\":2,\"\\u0062\":1}"},
        {"{\"a\":1,\"a\":2}", NULL},
        {"{\"a\":1,\"\\u0061\":2}", NULL},
        {"[1]", NULL},
        {"{\"a\":1} x", NULL},
        {"", NULL},
    };
    struct buf out;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        buf_init(&out, 4096);
        assert_int_equal(nowpayments_sorted(str_from(cases[i].body), &arena, &out), cases[i].want != NULL);
        if (cases[i].want != NULL)
            assert_true(str_eq(buf_str(&out), str_from(cases[i].want)));
        buf_free(&out);
    }
}

#define IPN(status, price) "{\"payment_id\":\"7\",\"order_id\":\"o\",\"payment_status\":\"" status "\"" price "}"
#define PRICE ",\"price_amount\":\"10.05\",\"price_currency\":\"eur\""

static void
coin_events(void **state)
{
    static const struct {
        const char *body;
        enum pay_event event; /* PAY_EVENT_COUNT: malformed */
    } cases[] = {
        {IPN("waiting", ""), PAY_PENDING},
        {IPN("confirming", ""), PAY_PENDING},
        {IPN("confirmed", PRICE), PAY_PENDING},
        {IPN("sending", PRICE), PAY_PENDING},
        {IPN("finished", PRICE), PAY_PAID},
        {IPN("partially_paid", PRICE), PAY_PARTLY},
        {IPN("failed", ""), PAY_FAILED},
        {IPN("refunded", ""), PAY_REFUNDED},
        {IPN("expired", ""), PAY_EXPIRED},
        {IPN("new", ""), PAY_OTHER},
        {IPN("finished", ""), PAY_EVENT_COUNT},
        {IPN("finished", ",\"price_amount\":10.005,\"price_currency\":\"eur\""), PAY_EVENT_COUNT},
        {IPN("finished", ",\"price_amount\":-1,\"price_currency\":\"eur\""), PAY_EVENT_COUNT},
        {IPN("finished", ",\"price_amount\":1e3,\"price_currency\":\"eur\""), PAY_EVENT_COUNT},
        {"{\"order_id\":\"o\",\"payment_status\":\"waiting\"}", PAY_EVENT_COUNT},
        {"{\"payment_id\":1,\"payment_status\":\"waiting\"}", PAY_EVENT_COUNT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct pay_notice n;
        enum pay_verdict verdict = nowpayments_read(str_from(cases[i].body), &arena, &n);

        assert_int_equal(verdict, cases[i].event == PAY_EVENT_COUNT ? PAY_MALFORMED : PAY_GOOD);
        if (verdict == PAY_GOOD)
            assert_int_equal(n.event, cases[i].event);
        if (n.event == PAY_PAID && verdict == PAY_GOOD)
            assert_int_equal(n.amount_minor, 1005);
    }
}

static void
raw_body_mac(void **state)
{
    char body[128];

    (void)state;
    assert_int_equal(raw_body_verify(&shared_secrets, str_from(raw_mac), str_from(raw_body)), PAY_GOOD);
    assert_int_equal(raw_body_verify(&shared_secrets, STR(""), str_from(raw_body)), PAY_UNSIGNED);
    str_copy(str_from(raw_body), body, sizeof(body));
    body[3] ^= 1;
    assert_int_equal(raw_body_verify(&shared_secrets, str_from(raw_mac), str_from(body)), PAY_BAD_SIGNATURE);
}

#define HOOK_BODY "{\"id\":\"cl_1\",\"status\":\"COMPLETED\",\"metadata\":{\"order_id\":\"ord_01\"}}"

static void
hook0(void **state)
{
    static const struct pay_header headers[] = {
        {{"Host", 4}, {"gw.example", 10}},
        {{"X-Event-Id", 10}, {"ev_1", 4}},
        {{"Content-Type", 12}, {"application/json", 16}},
        {{"X-Event-Id", 10}, {"ev_2", 4}},
    };
    static const struct {
        const char *form;
        size_t headers;
        int64_t now_s;
        enum pay_verdict want;
    } cases[] = {
        {"t=1700000000,h=content-type x-event-id,v1=%s", 3, 1700000000, PAY_GOOD},
        {"v1=%s, h=content-type x-event-id, t=1700000000", 3, 1700000300, PAY_GOOD},
        {"t=1700000000,h=content-type x-event-id,v1=%s", 3, 1700000301, PAY_STALE},
        {"t=1700000000,h=content-type x-event-id,v1=%s", 3, 1699999699, PAY_STALE},
        {"t=1700000000,h=content-type x-event-id,v1=%s", 4, 1700000000, PAY_BAD_SIGNATURE}, /* there twice */
        {"t=1700000000,h=content-type x-event-id,v1=%s", 2, 1700000000, PAY_BAD_SIGNATURE}, /* not there */
        {"t=1700000000,h=x-event-id content-type,v1=%s", 3, 1700000000, PAY_BAD_SIGNATURE},
        {"t=1700000000,h=content-type,v1=%s", 3, 1700000000, PAY_BAD_SIGNATURE},
        {"t=1700000000,v1=%s", 3, 1700000000, PAY_UNSIGNED},
        {"t=1700000000,t=1700000000,h=content-type x-event-id,v1=%s", 3, 1700000000, PAY_UNSIGNED},
        {"", 3, 1700000000, PAY_UNSIGNED},
    };
    char header[512];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(header, sizeof(header), cases[i].form, hook_mac);
#pragma GCC diagnostic pop
        assert_int_equal(hook0_verify(&hook_secrets, str_from(header), headers, cases[i].headers, STR(HOOK_BODY),
                                      cases[i].now_s),
                         cases[i].want);
    }
    assert_true(str_ends_with(str_from(hook_signed), STR(HOOK_BODY)));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nowpayments), cmocka_unit_test(sorted_at_every_level), cmocka_unit_test(coin_events),
        cmocka_unit_test(raw_body_mac), cmocka_unit_test(hook0),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
