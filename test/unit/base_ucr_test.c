#include "base/rng.h"
#include "base/str.h"
#include "base/ucr.h"
#include "test/unit/testing.h"

static void
test_sums(void **state)
{
    int64_t out = 77;

    (void)state;
    assert_true(ucr_add(INT64_MAX, 0, &out) && out == INT64_MAX);
    assert_true(ucr_add(INT64_MAX, INT64_MIN, &out) && out == -1);
    assert_true(ucr_sub(INT64_MIN, INT64_MIN, &out) && out == 0);
    assert_true(ucr_sub(-1, INT64_MAX, &out) && out == INT64_MIN);
    out = 77;
    assert_false(ucr_add(INT64_MAX, 1, &out));
    assert_false(ucr_add(INT64_MIN, -1, &out));
    assert_false(ucr_sub(INT64_MIN, 1, &out));
    assert_false(ucr_sub(0, INT64_MIN, &out));
    assert_int_equal(out, 77);
}

static void
test_text(void **state)
{
    static const struct {
        int64_t ucr;
        const char *text;
    } cases[] = {
        {0, "0"},
        {1, "0.000001"},
        {-1, "-0.000001"},
        {10, "0.00001"},
        {100000, "0.1"},
        {999999, "0.999999"},
        {1000000, "1"},
        {-1000000, "-1"},
        {12500000, "12.5"},
        {1000001, "1.000001"},
        {INT64_MAX, "9223372036854.775807"},
        {INT64_MIN, "-9223372036854.775808"},
    };
    char text[UCR_TEXT_LEN + 1];
    int64_t ucr;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(ucr_text(cases[i].ucr, text), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
        assert_true(ucr_parse(str_from(text), &ucr));
        assert_true(ucr == cases[i].ucr);
    }
}

static void
test_parse(void **state)
{
    static const struct {
        const char *text;
        int64_t ucr;
    } good[] = {
        {"+5", 5000000}, {"005", 5000000},      {"0.10", 100000},
        {"-0", 0},       {"1.000000", 1000000}, {"-9223372036854.775808", INT64_MIN},
    };
    static const char *const bad[] = {
        "",
        "-",
        "+",
        ".",
        ".5",
        "5.",
        "1..2",
        "1.2.3",
        "1.0000001",
        "1.0000000",
        " 1",
        "1 ",
        "1e3",
        "0x1",
        "--1",
        "+-1",
        "1,5",
        "1_0",
        "inf",
        "9223372036854.775808",
        "-9223372036854.775809",
        "99999999999999999999999999",
        "18446744073709.551616",
    };
    int64_t ucr;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        if (!ucr_parse(str_from(good[i].text), &ucr) || ucr != good[i].ucr)
            fail_msg("%s", good[i].text);
    }
    ucr = 77;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (ucr_parse(str_from(bad[i]), &ucr))
            fail_msg("%s", bad[i]);
    }
    assert_false(ucr_parse(STR_NONE, &ucr));
    assert_int_equal(ucr, 77);
}

static void
test_decimal(void **state)
{
    int64_t n = 77;

    (void)state;
    assert_true(decimal_parse(STR("3"), 6, &n) && n == 3000000);
    assert_true(decimal_parse(STR("0.075"), 6, &n) && n == 75000);
    assert_true(decimal_parse(STR("3"), 0, &n) && n == 3);
    assert_true(decimal_parse(STR("9.223372036854775807"), 18, &n) && n == INT64_MAX);
    n = 77;
    assert_false(decimal_parse(STR("9.223372036854775808"), 18, &n));
    assert_false(decimal_parse(STR("3.0"), 0, &n));
    assert_false(decimal_parse(STR("-3"), 6, &n));
    assert_false(decimal_parse(STR("+3"), 6, &n));
    assert_false(decimal_parse(STR("0.0000001"), 6, &n));
    assert_int_equal(n, 77);
}

static void
test_round_trip(void **state)
{
    uint64_t seed = test_seed();
    char text[UCR_TEXT_LEN + 1];
    int64_t ucr;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        int64_t want = (int64_t)(rng_next(&seed) >> rng_next(&seed) % 64);
        size_t len = ucr_text(want, text);

        assert_true(len <= UCR_TEXT_LEN);
        assert_true(ucr_parse((struct str){text, len}, &ucr));
        assert_true(ucr == want);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),       cmocka_unit_test(test_text),
        cmocka_unit_test(test_parse),      cmocka_unit_test(test_decimal),
        cmocka_unit_test(test_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
