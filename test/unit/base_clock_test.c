#include "base/clock.h"
#include "base/rng.h"
#include "base/str.h"
#include "test/unit/testing.h"

#define S INT64_C(1000000)
#define DAY (86400 * S)

static void
test_now(void **state)
{
    uint64_t before = clock_mono_ns(), us = clock_mono_us();

    (void)state;
    assert_true(us >= before / 1000);
    assert_true(clock_mono_ns() >= before);
    assert_true(clock_wall_us() > INT64_C(1600000000) * S);
}

static void
test_format(void **state)
{
    static const struct {
        int64_t wall_us;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000000Z"},
        {-1, "1969-12-31T23:59:59.999999Z"},
        {INT64_C(951782400) * S, "2000-02-29T00:00:00.000000Z"},
        {INT64_C(4107542400) * S - 1, "2100-02-28T23:59:59.999999Z"},
        {INT64_C(4107542400) * S, "2100-03-01T00:00:00.000000Z"},
        {INT64_C(1700000000) * S + 123456, "2023-11-14T22:13:20.123456Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000000Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999999Z"},
    };
    char text[RFC3339_LEN + 1];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        clock_rfc3339(cases[i].wall_us, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void
test_parse(void **state)
{
    static const struct {
        const char *text;
        int64_t wall_us;
    } cases[] = {
        {"1970-01-01", 0},
        {"1970-01-02", DAY},
        {"1969-12-31T23:59:59.999999Z", -1},
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01t00:00:00z", 0},
        {"1970-01-01T00:00:00.5Z", S / 2},
        {"1970-01-01T00:00:00.1234569Z", 123456},
        {"1970-01-01T01:00:00+01:00", 0},
        {"1969-12-31T18:30:00-05:30", 0},
        {"1970-01-01T00:00:00-00:00", 0},
        {"2024-02-29", INT64_C(1709164800) * S},
        {"2016-12-31T23:59:60Z", INT64_C(1483228800) * S},
    };
    static const char *const bad[] = {
        "",
        "1970",
        "1970-1-1",
        "1970-01-01 00:00:00Z",
        "1970-01-01T00:00:00",
        "1970-01-01T00:00Z",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00Zx",
        "1970-01-01Z",
        "1970-00-01",
        "1970-13-01",
        "1970-01-00",
        "1970-01-32",
        "1970-04-31",
        "2023-02-29",
        "1900-02-29",
        "1970-01-01T24:00:00Z",
        "1970-01-01T00:60:00Z",
        "1970-01-01T00:00:61Z",
        "1970-01-01T00:00:00+24:00",
        "1970-01-01T00:00:00+0100",
        "+970-01-01",
        "-1970-01-01",
    };
    int64_t wall_us;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (!clock_parse(str_from(cases[i].text), &wall_us) || wall_us != cases[i].wall_us)
            fail_msg("%s", cases[i].text);
    }
    wall_us = 77;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (clock_parse(str_from(bad[i]), &wall_us))
            fail_msg("%s", bad[i]);
    }
    assert_false(clock_parse(STR_NONE, &wall_us));
    assert_int_equal(wall_us, 77);
}

static void
test_round_trip(void **state)
{
    uint64_t seed = test_seed();
    char text[RFC3339_LEN + 1];
    int64_t wall_us;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        /* Years 0000 to 9999. */
        int64_t days = (int64_t)(rng_next(&seed) % 3652425) - 719528;
        int64_t want = days * DAY + (int64_t)(rng_next(&seed) % (uint64_t)DAY);

        clock_rfc3339(want, text);
        assert_true(clock_parse((struct str){text, RFC3339_LEN}, &wall_us));
        assert_true(wall_us == want);
    }
}

static void
test_civil(void **state)
{
    struct civil date = clock_civil(-1);
    struct civil before;

    (void)state;
    assert_int_equal(date.year, 1969);
    assert_int_equal(date.month, 12);
    assert_int_equal(date.day, 31);
    /* Every day from 1600 to 2400 follows the one before. */
    before = clock_civil(-135141 * DAY);
    for (int64_t day = -135140; day < 157054; day++) {
        date = clock_civil(day * DAY);
        if (date.day == 1)
            assert_true(before.day >= 28 && (date.month == before.month % 12 + 1) &&
                        date.year == before.year + (date.month == 1));
        else
            assert_true(date.day == before.day + 1 && date.month == before.month &&
                        date.year == before.year);
        before = date;
    }
    assert_int_equal(before.year, 2399);
    assert_int_equal(before.month, 12);
}

static void
test_duration(void **state)
{
    uint64_t us = 77;

    (void)state;
    assert_true(clock_parse_duration(STR("250ms"), &us) && us == 250000);
    assert_true(clock_parse_duration(STR("90s"), &us) && us == 90000000);
    assert_true(clock_parse_duration(STR("5m"), &us) && us == 300000000);
    assert_true(clock_parse_duration(STR("24h"), &us) && us == UINT64_C(86400000000));
    assert_true(clock_parse_duration(STR("7d"), &us) && us == UINT64_C(604800000000));
    assert_true(clock_parse_duration(STR("0s"), &us) && us == 0);
    assert_true(clock_parse_duration(STR("213503982d"), &us));
    us = 77;
    assert_false(clock_parse_duration(STR("213503983d"), &us));
    assert_false(clock_parse_duration(STR("5"), &us));
    assert_false(clock_parse_duration(STR("s"), &us));
    assert_false(clock_parse_duration(STR_NONE, &us));
    assert_false(clock_parse_duration(STR("-5s"), &us));
    assert_false(clock_parse_duration(STR("5 s"), &us));
    assert_false(clock_parse_duration(STR("5S"), &us));
    assert_false(clock_parse_duration(STR("1h30m"), &us));
    assert_false(clock_parse_duration(STR("1.5s"), &us));
    assert_false(clock_parse_duration(STR("99999999999999999999s"), &us));
    assert_int_equal(us, 77);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_now),        cmocka_unit_test(test_format),
        cmocka_unit_test(test_parse),      cmocka_unit_test(test_civil),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_duration),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
