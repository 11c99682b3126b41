/* Stripe's events: the vector, everything that must be refused, and what events say. */
#include "pay/stripe.h"

#include "base/str.h"
#include "pay/sign.h"
#include "test/unit/pay_vectors.h"
#include "test/unit/testing.h"

#define NOW 1700000000
static const struct str secret[] = {{"whsec_test_secret", 17}};
static const struct pay_secrets secrets = {secret, 1};
static struct arena arena;

static int
teardown(void **state)
{
    (void)state;
    arena_end(&arena);
    return 0;
}

static int
setup(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    return 0;
}

static enum pay_verdict
verify(const char *header, const char *body, int64_t now_s)
{
    return stripe_verify(&secrets, str_from(header), str_from(body), now_s);
}

static void
the_vector(void **state)
{
    static const struct str two[] = {{"whsec_another", 13}, {"whsec_test_secret", 17}};
    const struct pay_secrets both = {two, 2};
    char header[512];

    (void)state;
    snprintf(header, sizeof(header), "t=1700000000,v1=%s", stripe_v1);
    assert_int_equal(verify(header, stripe_body, NOW), PAY_GOOD);
    assert_int_equal(verify(header, stripe_body, NOW + 300), PAY_GOOD);
    assert_int_equal(verify(header, stripe_body, NOW - 300), PAY_GOOD);
    assert_int_equal(stripe_verify(&both, str_from(header), str_from(stripe_body), NOW), PAY_GOOD);
    snprintf(header, sizeof(header), "t=1700000000,v0=00,v1=%064d,v9=x,v1=%s", 7, stripe_v1);
    assert_int_equal(verify(header, stripe_body, NOW), PAY_GOOD);
}

static void
what_is_refused(void **state)
{
    static const struct {
        const char *form; /* %s: the right MAC */
        int64_t now_s;
        enum pay_verdict want;
    } cases[] = {
        {"t=1700000000,v1=%s", NOW + 301, PAY_STALE},
        {"t=1700000000,v1=%s", NOW - 301, PAY_STALE},
        {"", NOW, PAY_UNSIGNED},
        {"v1=%s", NOW, PAY_UNSIGNED},
        {"t=1700000000", NOW, PAY_UNSIGNED},
        {"t=1700000000,v0=%s", NOW, PAY_UNSIGNED},
        {"t=1700000000,t=1700000000,v1=%s", NOW, PAY_UNSIGNED},
        {"t=1700000001,v1=%s", NOW, PAY_BAD_SIGNATURE},
        {"t=01700000000,v1=%s", NOW, PAY_BAD_SIGNATURE},
        {"t=1700000000,v1=%s0", NOW, PAY_BAD_SIGNATURE},
        {"t=1700000000,v1=%.63s", NOW, PAY_BAD_SIGNATURE},
        {"t=1700000000,v1=%.63sg", NOW, PAY_BAD_SIGNATURE},
        {"t=1700000000,v1=", NOW, PAY_BAD_SIGNATURE},
        {"t=1700000000,v1", NOW, PAY_BAD_SIGNATURE},
    };
    const struct pay_secrets none = {secret, 0};
    const struct str empty = STR("");
    const struct pay_secrets blank = {&empty, 1};
    char header[512], body[256], mac[PAY_SHA256_HEX_LEN + 1];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(header, sizeof(header), cases[i].form, stripe_v1);
#pragma GCC diagnostic pop
        assert_int_equal(verify(header, stripe_body, cases[i].now_s), cases[i].want);
    }
    snprintf(header, sizeof(header), "t=1700000000,v1=%s", stripe_v1);
    for (size_t i = 0; i < strlen(stripe_body); i++) {
        str_copy(str_from(stripe_body), body, sizeof(body));
        body[i] ^= 1;
        assert_int_equal(verify(header, body, NOW), PAY_BAD_SIGNATURE);
    }
    assert_int_equal(stripe_verify(&none, str_from(header), str_from(stripe_body), NOW), PAY_BAD_SIGNATURE);
    /* Signed with no secret at all: who has set none is not fooled. */
    pay_sha256_hex(empty, (const struct str[]){STR("1700000000"), STR("."), str_from(stripe_body)}, 3, mac);
    snprintf(header, sizeof(header), "t=1700000000,v1=%s", mac);
    assert_int_equal(stripe_verify(&blank, str_from(header), str_from(stripe_body), NOW), PAY_BAD_SIGNATURE);
    /* A time that is no number cannot be fresh. */
    pay_sha256_hex(secret[0], (const struct str[]){STR("x"), STR("."), str_from(stripe_body)}, 3, mac);
    snprintf(header, sizeof(header), "t=x,v1=%s", mac);
    assert_int_equal(verify(header, stripe_body, NOW), PAY_STALE);
}

static void
what_it_says(void **state)
{
    struct pay_notice n;

    (void)state;
    assert_int_equal(stripe_read(str_from(stripe_body), &arena, &n), PAY_GOOD);
    assert_int_equal(n.event, PAY_PAID);
    assert_true(str_eq(n.event_id, STR("evt_test_1")) && str_eq(n.order_id, STR("ord_01")));
    assert_true(str_eq(n.currency, STR("USD")) && n.amount_minor == 1000 && !n.live);
}

#define EVENT(type, object) "{\"id\":\"evt_1\",\"livemode\":true,\"type\":\"" type "\",\"data\":{\"object\":{" object "}}}"
#define SESSION "\"client_reference_id\":\"o\",\"amount_total\":5,\"currency\":\"jpy\",\"payment_status\":"

static void
events(void **state)
{
    static const struct {
        const char *body;
        enum pay_event event; /* PAY_EVENT_COUNT: malformed */
    } cases[] = {
        {EVENT("checkout.session.completed", SESSION "\"paid\""), PAY_PAID},
        {EVENT("checkout.session.completed", SESSION "\"unpaid\""), PAY_PENDING},
        {EVENT("checkout.session.completed", SESSION "\"no_payment_required\""), PAY_OTHER},
        {EVENT("checkout.session.async_payment_succeeded", SESSION "\"paid\""), PAY_PAID},
        {EVENT("checkout.session.async_payment_succeeded", SESSION "\"unpaid\""), PAY_OTHER},
        {EVENT("checkout.session.async_payment_failed", SESSION "\"unpaid\""), PAY_FAILED},
        {EVENT("checkout.session.expired", SESSION "\"unpaid\""), PAY_EXPIRED},
        {EVENT("charge.dispute.created", "\"amount\":5,\"payment_intent\":\"pi\""), PAY_DISPUTED},
        {EVENT("charge.dispute.closed", ""), PAY_DISPUTE_CLOSED},
        {EVENT("refund.failed", ""), PAY_REFUND_FAILED},
        {EVENT("refund.updated", "\"status\":\"failed\""), PAY_REFUND_FAILED},
        {EVENT("refund.updated", "\"status\":\"succeeded\""), PAY_REFUNDED},
        {EVENT("refund.updated", "\"status\":\"pending\""), PAY_OTHER},
        {EVENT("invoice.paid", ""), PAY_OTHER},
        {EVENT("checkout.session.completed",
               "\"metadata\":{\"order_id\":\"o\"},\"amount_total\":5,\"currency\":\"usd\",\"payment_status\":\"paid\""),
         PAY_PAID},
        /* Two orders, none, no amount, an amount that is none. */
        {EVENT("checkout.session.completed", SESSION "\"paid\",\"metadata\":{\"order_id\":\"p\"}"), PAY_EVENT_COUNT},
        {EVENT("checkout.session.completed", "\"amount_total\":5,\"currency\":\"usd\",\"payment_status\":\"paid\""),
         PAY_EVENT_COUNT},
        {EVENT("checkout.session.completed", "\"client_reference_id\":\"o\",\"payment_status\":\"paid\""), PAY_EVENT_COUNT},
        {EVENT("checkout.session.completed",
               "\"client_reference_id\":\"o\",\"amount_total\":5.0,\"currency\":\"usd\",\"payment_status\":\"paid\""),
         PAY_EVENT_COUNT},
        {EVENT("checkout.session.completed",
               "\"client_reference_id\":\"o\",\"amount_total\":-5,\"currency\":\"usd\",\"payment_status\":\"paid\""),
         PAY_EVENT_COUNT},
        {"{\"id\":\"e\",\"type\":\"x\"}", PAY_EVENT_COUNT},
        {"{\"type\":\"x\",\"data\":{\"object\":{}}}", PAY_EVENT_COUNT},
        {"[]", PAY_EVENT_COUNT},
        {"{", PAY_EVENT_COUNT},
        {"", PAY_EVENT_COUNT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct pay_notice n;
        enum pay_verdict verdict = stripe_read(str_from(cases[i].body), &arena, &n);

        assert_int_equal(verdict, cases[i].event == PAY_EVENT_COUNT ? PAY_MALFORMED : PAY_GOOD);
        if (verdict == PAY_GOOD)
            assert_int_equal(n.event, cases[i].event);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vector),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(what_it_says),
        cmocka_unit_test(events),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
