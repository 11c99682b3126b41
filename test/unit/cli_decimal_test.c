/* Decimals as text: edges, and numbers written in every way against the integers they are. */
#include "cli/decimal.h"

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "base/str.h"
#include "test/unit/testing.h"

#define CHECK_TEXT(n, places, wanted) assert_string_equal(decimal_text(n, places, text), wanted)

static void
test_text(void **state)
{
    char text[DECIMAL_TEXT_LEN];

    (void)state;
    CHECK_TEXT(0, 0, "0");
    CHECK_TEXT(0, 12, "0");
    CHECK_TEXT(1, 12, "0.000000000001");
    CHECK_TEXT(1000000, 6, "1");
    CHECK_TEXT(1500000, 6, "1.5");
    CHECK_TEXT(1000001, 6, "1.000001");
    CHECK_TEXT(10, 0, "10");
    CHECK_TEXT((unsigned __int128)INT64_MAX, 6, "9223372036854.775807");
    /* The dearest price at the largest multiplier. */
    CHECK_TEXT((unsigned __int128)1000000000000 * 1000000000000, 12, "1000000000000");
    CHECK_TEXT(~(unsigned __int128)0, 12, "340282366920938463463374607.431768211455");
}

static void
check_scale(const char *text, int shift, int64_t max, enum decimal_exit wanted, int64_t value)
{
    int64_t n = -1;
    enum decimal_exit got = decimal_scale(str_from(text), shift, max, &n);

    if (got != wanted || (got == DECIMAL_OK && n != value))
        fail_msg("\"%s\" by 10^%d: %d, %lld", text, shift, (int)got, (long long)n);
}

static void
test_scale(void **state)
{
    static const char *const malformed[] = {"",    "-",     ".",   ".5",  "5.",    "1e",   "1e+",
                                            "e5",  "+1",    "1 ",  " 1",  "0x1",   "1,5",  "1.2.3",
                                            "--1", "1e5.5", "NaN", "inf", "1_000", "1e5e5"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(malformed); i++)
        check_scale(malformed[i], 0, INT64_MAX, DECIMAL_MALFORMED, 0);
    check_scale("1.25e-06", 12, INT64_MAX, DECIMAL_OK, 1250000);
    check_scale("0.00000125", 12, INT64_MAX, DECIMAL_OK, 1250000);
    check_scale("125E-8", 12, INT64_MAX, DECIMAL_OK, 1250000);
    check_scale("1e-12", 12, INT64_MAX, DECIMAL_OK, 1);
    check_scale("1e-13", 12, INT64_MAX, DECIMAL_FINE, 0);
    check_scale("1.2500000000000001e-06", 12, INT64_MAX, DECIMAL_FINE, 0);
    check_scale("10e-13", 12, INT64_MAX, DECIMAL_OK, 1);
    check_scale("0", 12, 0, DECIMAL_OK, 0);
    check_scale("-0.0e99", 12, 0, DECIMAL_OK, 0);
    check_scale("0e-999999999999999999999", 12, 0, DECIMAL_OK, 0);
    check_scale("1e-999999999999999999999", 12, INT64_MAX, DECIMAL_FINE, 0);
    check_scale("1e999999999999999999999", 12, INT64_MAX, DECIMAL_LARGE, 0);
    check_scale("-1e-6", 12, INT64_MAX, DECIMAL_NEGATIVE, 0);
    check_scale("-1e-99", 12, INT64_MAX, DECIMAL_NEGATIVE, 0);
    check_scale("007", 0, 7, DECIMAL_OK, 7);
    check_scale("8", 0, 7, DECIMAL_LARGE, 0);
    check_scale("9223372036854775807", 0, INT64_MAX, DECIMAL_OK, INT64_MAX);
    check_scale("9223372036854775808", 0, INT64_MAX, DECIMAL_LARGE, 0);
    check_scale("92233720368547758070", 0, INT64_MAX, DECIMAL_LARGE, 0);
    check_scale("9.223372036854775807e18", 0, INT64_MAX, DECIMAL_OK, INT64_MAX);
}

/* Whatever the point and exponent, it is the number it was made of. */
static void
test_every_way(void **state)
{
    uint64_t rng = test_seed();

    (void)state;
    for (int i = 0; i < 200000; i++) {
        int64_t n = (int64_t)(rng_next(&rng) >> (1 + rng_next(&rng) % 63));
        int shift = (int)(rng_next(&rng) % 13), exponent = (int)(rng_next(&rng) % 30) - 15;
        char digits[32], text[96];
        int len = snprintf(digits, sizeof(digits), "%020lld", (long long)n);
        int point = 1 + (int)(rng_next(&rng) % (uint64_t)len);

        /* n = text * 10^shift: the point stands `point` digits in, the exponent makes up for it. */
        snprintf(text, sizeof(text), "%.*s%s%s%c%d", point, digits, point < len ? "." : "",
                 digits + point, i % 2 ? 'e' : 'E', len - point - shift);
        check_scale(text, shift, INT64_MAX, DECIMAL_OK, n);
        snprintf(text, sizeof(text), "%s1e%d", digits, exponent);
        check_scale(text, -exponent - 1, INT64_MAX, DECIMAL_FINE, 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_every_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
