/* The suites of a client hello, read before the library does: never past what is there. */
#include "net/tls_lib.h"
#include "test/unit/testing.h"

/* As OpenSSL sends it: three suites of TLS 1.3 and one of 1.2; extensions left out. */
static const uint8_t hello[] = {
    22, 3, 1, 0, 88, 1, 0, 0, 84, 3, 3, /* record, message, version */
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, /* random */
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    32, /* session */
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    0, 8, 0x13, 0x02, 0x13, 0x03, 0x13, 0x01, 0xc0, 0x2f, /* suites */
    1, 0, 0, 0};
#define SUITES_END 86u

/* From a block of its own size, so that the sanitizer sees a read behind it. */
static bool
offers(const uint8_t *bytes, size_t len, unsigned suite)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    bool found;

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    found = tls_hello_offers(copy, len, suite);
    free(copy);
    return found;
}

static void
finds_suites(void **state)
{
    (void)state;
    assert_true(offers(hello, sizeof hello, 0x1301));
    assert_true(offers(hello, sizeof hello, 0x1302));
    assert_true(offers(hello, sizeof hello, 0x1303));
    assert_true(offers(hello, sizeof hello, 0xc02f));
    assert_false(offers(hello, sizeof hello, 0x0213)); /* across two */
    assert_false(offers(hello, sizeof hello, 0x1304));
}

static void
cut_anywhere(void **state)
{
    (void)state;
    for (size_t len = 0; len <= sizeof hello; len++)
        assert_int_equal(offers(hello, len, 0x1301), len >= SUITES_END);
}

static void
other_bytes(void **state)
{
    uint8_t other[sizeof hello];

    (void)state;
    for (size_t at = 0; at < sizeof hello; at++)
        for (unsigned value = 0; value < 256; value++) {
            memcpy(other, hello, sizeof other);
            other[at] = (uint8_t)value;
            (void)offers(other, sizeof other, 0x1301);
        }
    memcpy(other, hello, sizeof other);
    other[0] = 23;
    assert_false(offers(other, sizeof other, 0x1301));
    other[0] = 22;
    other[5] = 2;
    assert_false(offers(other, sizeof other, 0x1301));
    other[5] = 1;
    other[4] = 40; /* suites beyond the record */
    assert_false(offers(other, sizeof other, 0x1301));
    assert_false(offers((const uint8_t *)"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n"
                                         "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n", 64, 0x1301));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_suites),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(other_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
