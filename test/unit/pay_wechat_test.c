/* WeChat Pay: the vectors, and what must be refused. */
#include "pay/wechat.h"

#include "base/str.h"
#include "test/unit/pay_vectors.h"
#include "test/unit/testing.h"

#define NOW 1700000000
#define API_KEY STR("0123456789abcdef0123456789abcdef")
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

/* "METHOD\npath\ntime\nnonce\nbody\n" */
static void
check_request(const char *string, const char *sign)
{
    struct wechat_merchant merchant = {STR("1900000001"), STR("5157F09EFDC096DE15EBE81A47057A72"), ours};
    struct wechat_request request = {.time_s = NOW};
    struct str rest = str_from(string);
    char want[1024];
    struct buf out;

    request.method = str_split(rest, '\n', &rest);
    request.path = str_split(rest, '\n', &rest);
    assert_true(str_eq(str_split(rest, '\n', &rest), STR("1700000000")));
    request.nonce = str_split(rest, '\n', &rest);
    request.body = str_split(rest, '\n', &rest);
    buf_init(&out, 4096);
    assert_true(wechat_authorization(&merchant, &request, &out));
    snprintf(want, sizeof(want),
             "WECHATPAY2-SHA256-RSA2048 mchid=\"1900000001\",nonce_str=\"593BEC0C930BF1AFEB40B4A08C8FB242\",signature="
             "\"%s\",timestamp=\"1700000000\",serial_no=\"5157F09EFDC096DE15EBE81A47057A72\"",
             sign);
    assert_true(str_eq(buf_str(&out), str_from(want)));
    buf_free(&out);
}

static void
requests(void **state)
{
    (void)state;
    check_request(wechat_create, wechat_create_sign);
    check_request(wechat_query, wechat_query_sign);
}

static struct wechat_signed
notice(void)
{
    return (struct wechat_signed){
        .serial = STR("PUB_KEY_ID_1"),
        .timestamp = STR("1700000000"),
        .nonce = STR("EV5f2c1a"),
        .signature = str_from(wechat_notice_sign),
        .body = str_from(wechat_notice),
    };
}

static enum pay_verdict
verify(const struct wechat_signed *message, int64_t now_s)
{
    const struct wechat_signer signers[] = {{STR("OLD"), ours}, {STR("PUB_KEY_ID_1"), theirs}};

    return wechat_verify(signers, COUNT_OF(signers), message, now_s);
}

static void
the_notice(void **state)
{
    struct wechat_signed message = notice();
    struct pay_notice n;

    (void)state;
    assert_int_equal(verify(&message, NOW), PAY_GOOD);
    assert_int_equal(verify(&message, NOW + 300), PAY_GOOD);
    assert_int_equal(wechat_read(message.body, API_KEY, &arena, &n), PAY_GOOD);
    assert_int_equal(n.event, PAY_PAID);
    assert_true(str_eq(n.event_id, STR("EV-1")) && str_eq(n.order_id, STR("ord_01")));
    assert_true(str_eq(n.payment_id, STR("4200000000000000000000000001")));
    assert_true(str_eq(n.account, STR("1900000001")) && str_eq(n.app, STR("wx0000000000000001")));
    assert_true(str_eq(n.currency, STR("CNY")) && n.amount_minor == 1000);
}

static void
what_is_refused(void **state)
{
    struct wechat_signed message = notice();
    char text[1024];

    (void)state;
    assert_int_equal(verify(&message, NOW + 301), PAY_STALE);
    assert_int_equal(verify(&message, NOW - 301), PAY_STALE);
    message.serial = STR("PUB_KEY_ID_2");
    assert_int_equal(verify(&message, NOW), PAY_UNKNOWN_SIGNER);
    message.serial = STR("");
    assert_int_equal(verify(&message, NOW), PAY_UNSIGNED);
    message = notice();
    message.nonce = STR("EV5f2c1b");
    assert_int_equal(verify(&message, NOW), PAY_BAD_SIGNATURE);
    message = notice();
    message.timestamp = STR("1700000001");
    assert_int_equal(verify(&message, NOW), PAY_BAD_SIGNATURE);
    message = notice();
    message.signature = STR_NONE;
    assert_int_equal(verify(&message, NOW), PAY_UNSIGNED);
    snprintf(text, sizeof(text), "WECHATPAY/SIGNTEST/%s", wechat_notice_sign);
    message.signature = str_from(text);
    assert_int_equal(verify(&message, NOW), PAY_BAD_SIGNATURE);
    snprintf(text, sizeof(text), "%sA", wechat_notice_sign);
    message.signature = str_from(text);
    assert_int_equal(verify(&message, NOW), PAY_BAD_SIGNATURE);
    message = notice();
    for (size_t i = 0; i < message.body.len; i += 13) {
        char *copy = arena_copy(&arena, str_from(wechat_notice));

        copy[i] ^= 1;
        message.body = str_from(copy);
        assert_int_equal(verify(&message, NOW), PAY_BAD_SIGNATURE);
    }
}

/* A notice around any sealed text. */
static enum pay_verdict
read_sealed(const char *sealed, const char *algorithm, struct str api_key)
{
    struct pay_notice n;
    struct buf body;
    enum pay_verdict verdict;

    buf_init(&body, 4096);
    buf_add_fmt(&body,
                "{\"id\":\"EV-1\",\"event_type\":\"TRANSACTION.SUCCESS\",\"resource\":{\"algorithm\":\"%s\",\"ciphertext\":"
                "\"%s\",\"associated_data\":\"transaction\",\"nonce\":\"0123456789ab\"}}",
                algorithm, sealed);
    verdict = wechat_read(buf_str(&body), api_key, &arena, &n);
    buf_free(&body);
    return verdict;
}

static void
what_does_not_open(void **state)
{
    char sealed[512];
    struct str opened = pay_gcm_open(&arena, API_KEY, STR("0123456789ab"), STR("transaction"), str_from(gcm_sealed));

    (void)state;
    assert_true(str_eq(opened, str_from(gcm_plain)));
    assert_int_equal(read_sealed(gcm_sealed, "AEAD_AES_256_GCM", API_KEY), PAY_GOOD);
    assert_int_equal(read_sealed(gcm_sealed, "AEAD_AES_128_GCM", API_KEY), PAY_BAD_SIGNATURE);
    assert_int_equal(read_sealed(gcm_sealed, "AEAD_AES_256_GCM", STR("0123456789abcdef")), PAY_BAD_SIGNATURE);
    assert_int_equal(read_sealed(gcm_sealed, "AEAD_AES_256_GCM", STR("0123456789abcdef0123456789abcdeF")),
                     PAY_BAD_SIGNATURE);
    /* Less than a tag, a tag that is cut, something behind it. */
    assert_int_equal(read_sealed("AAAAAAAAAAAAAAAAAAAA", "AEAD_AES_256_GCM", API_KEY), PAY_BAD_SIGNATURE);
    assert_int_equal(read_sealed("", "AEAD_AES_256_GCM", API_KEY), PAY_BAD_SIGNATURE);
    str_copy(str_from(gcm_sealed), sealed, sizeof(sealed));
    sealed[strlen(sealed) - 4] = '\0';
    assert_int_equal(read_sealed(sealed, "AEAD_AES_256_GCM", API_KEY), PAY_BAD_SIGNATURE);
    snprintf(sealed, sizeof(sealed), "%s=", gcm_sealed);
    assert_int_equal(read_sealed(sealed, "AEAD_AES_256_GCM", API_KEY), PAY_BAD_SIGNATURE);
    assert_null(pay_gcm_open(&arena, API_KEY, STR("0123456789ab"), STR("refund"), str_from(gcm_sealed)).ptr);
    assert_null(pay_gcm_open(&arena, API_KEY, STR(""), STR("transaction"), str_from(gcm_sealed)).ptr);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(the_notice),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(what_does_not_open),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
