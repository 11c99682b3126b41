#include "base/zone.h"

#include <errno.h>

#include "base/rng.h"
#include "base/str.h"
#include "test/unit/testing.h"

#define S INT64_C(1000000)

static struct zone_change changes[ZONE_CHANGES_MAX];

static struct zone
load(const char *name)
{
    int count = zone_load(str_from(name), changes);

    assert_true(count > 0);
    return (struct zone){changes, (size_t)count};
}

static void
test_utc(void **state)
{
    struct zone zone = load("UTC");

    (void)state;
    assert_int_equal(zone.count, 1);
    assert_int_equal(zone_offset_s(&zone, INT64_MIN), 0);
    assert_int_equal(zone_offset_s(&zone_utc, INT64_MAX), 0);
    assert_int_equal(zone_minute(&zone_utc, 0), 0);
    assert_int_equal(zone_minute(&zone_utc, -1), 1439);
    assert_int_equal(zone_minute(&zone_utc, 86399 * S + 999999), 1439);
    assert_int_equal(zone_minute(&zone_utc, 86400 * S), 0);
}

static void
test_offsets(void **state)
{
    /* `date -u -d …` of the changes that the law has for 2026. */
    static const struct {
        const char *name;
        int64_t at_s;
        int32_t offset_s;
    } cases[] = {
        {"Asia/Shanghai", 1790000000, 8 * 3600},
        {"Asia/Shanghai", 4102444799, 8 * 3600},
        {"Asia/Kolkata", 1790000000, 5 * 3600 + 1800},
        {"America/New_York", 1772953199, -5 * 3600}, /* 2026-03-08T06:59:59Z */
        {"America/New_York", 1772953200, -4 * 3600},
        {"America/New_York", 1793512799, -4 * 3600}, /* 2026-11-01T05:59:59Z */
        {"America/New_York", 1793512800, -5 * 3600},
        {"Europe/Berlin", 1774745999, 3600}, /* 2026-03-29T00:59:59Z */
        {"Europe/Berlin", 1774746000, 7200},
        {"Etc/GMT-8", 0, 8 * 3600},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct zone zone = load(cases[i].name);

        assert_int_equal(zone_offset_s(&zone, cases[i].at_s * S), cases[i].offset_s);
    }
}

static void
test_names(void **state)
{
    static const char *const wrong[] = {"",    "/etc/passwd", "../zoneinfo/UTC", "Asia/",
                                        ":UTC", "Asia\nX",     "-UTC",            "A b",
                                        "Asia//Shanghai"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_int_equal(zone_load(str_from(wrong[i]), changes), -EINVAL);
    assert_int_equal(zone_load(STR("Asia/Shangai"), changes), -ENOENT);
    assert_int_equal(zone_load(STR("zone.tab"), changes), -EINVAL);
    assert_int_equal(zone_load(STR("leapseconds"), changes), -ENOENT);
    assert_int_equal(zone_load(STR("Asia"), changes), -ENOENT);
}

static void
test_environment(void **state)
{
    (void)state;
    assert_int_equal(setenv("TZ", "Europe/Berlin", 1), 0);
    (void)load("Asia/Shanghai");
    assert_string_equal(getenv("TZ"), "Europe/Berlin");
    assert_int_equal(unsetenv("TZ"), 0);
    (void)load("Asia/Shanghai");
    assert_null(getenv("TZ"));
}

/* The list says what the C library says, at any moment from 1970 to 2100. */
static void
test_random(void **state)
{
    static const char *const names[] = {"America/New_York", "Africa/Casablanca", "Asia/Tehran",
                                        "Australia/Lord_Howe", "Pacific/Apia", "Europe/London"};
    uint64_t seed = test_seed(), rng = seed;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct zone zone = load(names[i]);

        assert_int_equal(setenv("TZ", names[i], 1), 0);
        tzset();
        for (int k = 0; k < 20000; k++) {
            time_t at = (time_t)(rng_next(&rng) % UINT64_C(4102444800));
            struct tm tm;

            assert_non_null(localtime_r(&at, &tm));
            assert_int_equal(zone_offset_s(&zone, (int64_t)at * S), (int32_t)tm.tm_gmtoff);
            assert_int_equal(zone_minute(&zone, (int64_t)at * S),
                             (unsigned)(tm.tm_hour * 60 + tm.tm_min));
        }
        assert_int_equal(unsetenv("TZ"), 0);
        tzset();
    }
}

static void
test_clock(void **state)
{
    static const char *const wrong[] = {"", "1:00", "24:01", "25:00", "12:60", "12", "12:0", "ab:cd",
                                        "12:00:00", "-1:00"};
    uint16_t minute = 7;

    (void)state;
    assert_true(zone_clock_parse(STR("00:00"), &minute) && minute == 0);
    assert_true(zone_clock_parse(STR("16:30"), &minute) && minute == 990);
    assert_true(zone_clock_parse(STR("23:59"), &minute) && minute == 1439);
    assert_true(zone_clock_parse(STR("24:00"), &minute) && minute == 0);
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_false(zone_clock_parse(str_from(wrong[i]), &minute));
}

static void
test_hours(void **state)
{
    const struct zone_hours day = {8 * 60, 20 * 60}, night = {22 * 60, 6 * 60}, all = {60, 60};
    struct zone shanghai = load("Asia/Shanghai");
    int64_t at_us = 0;

    (void)state;
    for (int64_t minute = 0; minute < 1440; minute++) {
        at_us = minute * 60 * S;
        assert_int_equal(zone_hours_hold(&zone_utc, day, at_us), minute >= 480 && minute < 1200);
        assert_int_equal(zone_hours_hold(&zone_utc, night, at_us), minute >= 1320 || minute < 360);
        assert_true(zone_hours_hold(&zone_utc, all, at_us));
    }
    /* 22:00 in Shanghai is 14:00 in UTC. */
    assert_false(zone_hours_hold(&shanghai, night, 50399 * S));
    assert_true(zone_hours_hold(&shanghai, night, 50400 * S));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utc),   cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_names), cmocka_unit_test(test_environment),
        cmocka_unit_test(test_random), cmocka_unit_test(test_clock),
        cmocka_unit_test(test_hours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
