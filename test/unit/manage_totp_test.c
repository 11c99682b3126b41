/* Codes of authenticators, against the tables of the RFCs. */
#include "test/unit/testing.h"

#include "base/str.h"
#include "manage/totp.h"

#include <string.h>

static const uint8_t secret[] = "12345678901234567890"; /* of the RFCs' tables */

/* RFC 6238, appendix B. */
static void
of_rfc_6238(void **state)
{
    static const struct {
        int64_t second;
        uint32_t code;
    } table[] = {
        {59, 94287082},         {1111111109, 7081804},  {1111111111, 14050471},
        {1234567890, 89005924}, {2000000000, 69279037}, {20000000000, 65353130},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(table); i++)
        assert_int_equal(totp_code(secret, 20, totp_step(table[i].second * 1000000), 8), table[i].code);
}

/* RFC 4226, appendix D. */
static void
of_rfc_4226(void **state)
{
    static const uint32_t table[] = {755224, 287082, 359152, 969429, 338314,
                                     254676, 287922, 162583, 399871, 520489};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(table); i++)
        assert_int_equal(totp_code(secret, 20, i, 6), table[i]);
}

static struct str
code_at(uint64_t step)
{
    static char text[8];

    snprintf(text, sizeof(text), "%06u", totp_code(secret, 20, step, 6));
    return str_from(text);
}

static void
matches_one_around(void **state)
{
    const int64_t at_us = INT64_C(59) * 1000000; /* step 1 */

    (void)state;
    assert_int_equal(totp_match(secret, code_at(1), at_us, 0), 1);
    assert_int_equal(totp_match(secret, code_at(2), at_us, 0), 2);
    assert_int_equal(totp_match(secret, code_at(3), at_us, 0), 0);
    assert_int_equal(totp_match(secret, code_at(1), at_us + 30000000, 0), 1);
    assert_int_equal(totp_match(secret, code_at(1), at_us + 60000000, 0), 0);
    /* None twice, and none from before one that was used. */
    assert_int_equal(totp_match(secret, code_at(1), at_us, 1), 0);
    assert_int_equal(totp_match(secret, code_at(1), at_us, 2), 0);
    assert_int_equal(totp_match(secret, code_at(2), at_us, 1), 2);
}

static void
reads_codes(void **state)
{
    static const char *const bad[] = {"", "28708", "2870820", "28708a", "-87082", "287.82", "287 08"};

    (void)state;
    assert_int_equal(totp_match(secret, STR("287082"), 59000000, 0), 1);
    assert_int_equal(totp_match(secret, STR("287 082"), 59000000, 0), 1);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(totp_match(secret, str_from(bad[i]), 59000000, 0), 0);
}

static void
base32(void **state)
{
    char text[TOTP_BASE32_LEN + 1];
    uint8_t back[TOTP_SECRET_LEN];

    (void)state;
    totp_base32(secret, text);
    assert_string_equal(text, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    assert_true(totp_from_base32(str_from(text), back));
    assert_memory_equal(back, secret, TOTP_SECRET_LEN);
    assert_false(totp_from_base32(STR("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ"), back));
    assert_false(totp_from_base32(STR("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1"), back));
}

static void
uri(void **state)
{
    char text[TOTP_URI_LEN_MAX], name[TOTP_URI_LEN_MAX];

    (void)state;
    assert_true(totp_uri(secret, STR("A&B x"), STR("a+b@c.d"), text));
    assert_string_equal(text, "otpauth://totp/A%26B%20x:a%2Bb%40c.d?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
                              "&issuer=A%26B%20x&algorithm=SHA1&digits=6&period=30");
    memset(name, 'a', sizeof(name));
    assert_false(totp_uri(secret, (struct str){name, sizeof(name)}, STR("a"), text));
    assert_false(totp_uri(secret, STR("a"), (struct str){name, sizeof(name) - 60}, text));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_rfc_6238), cmocka_unit_test(of_rfc_4226), cmocka_unit_test(matches_one_around),
        cmocka_unit_test(reads_codes), cmocka_unit_test(base32),      cmocka_unit_test(uri),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
