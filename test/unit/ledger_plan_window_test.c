/*
 * Windows of plans: what they allow at each moment, against sums over all charges there were, in years of simulated
 * time in zones with daylight saving, half hours of it, days that were left out, and leap days.
 */
#include "test/unit/testing.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/str.h"
#include "ledger/plan_window.h"

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

static uint64_t rng;

static uint64_t
below(uint64_t n)
{
    return rng_next(&rng) % n;
}

/* Seconds since 1970 of a UTC date. */
static int64_t
at(int64_t year, int64_t month, int64_t day, int64_t hour)
{
    return clock_days(year, month, day) * DAY + hour * HOUR;
}

static struct zone_change changes[ZONE_CHANGES_MAX];

static struct zone
zone_of(const char *name)
{
    int count = zone_load(str_from(name), changes);

    assert_true(count > 0);
    return (struct zone){changes, (size_t)count};
}

static struct civil
local(const struct zone *zone, int64_t now_us)
{
    return clock_civil(now_us + (int64_t)zone_offset_s(zone, now_us) * SECOND);
}

static void
calendar_is(enum plan_window_kind kind, const struct zone *zone, int64_t now_us, int64_t opens_us, int64_t ends_us)
{
    int64_t opens, ends;

    plan_window_calendar(kind, zone, now_us, &opens, &ends);
    assert_int_equal(opens, opens_us);
    assert_int_equal(ends, ends_us);
}

static void
days_weeks_and_months(void **state)
{
    struct zone berlin;

    (void)state;
    calendar_is(PLAN_DAY, &zone_utc, at(2028, 2, 29, 13), at(2028, 2, 29, 0), at(2028, 3, 1, 0));
    calendar_is(PLAN_MONTH, &zone_utc, at(2028, 2, 29, 13), at(2028, 2, 1, 0), at(2028, 3, 1, 0));
    calendar_is(PLAN_MONTH, &zone_utc, at(2026, 12, 31, 23), at(2026, 12, 1, 0), at(2027, 1, 1, 0));
    calendar_is(PLAN_WEEK, &zone_utc, at(2026, 12, 1, 5), at(2026, 11, 30, 0), at(2026, 12, 7, 0)); /* a Tuesday */
    calendar_is(PLAN_WEEK, &zone_utc, at(2026, 11, 30, 0), at(2026, 11, 30, 0), at(2026, 12, 7, 0));
    calendar_is(PLAN_WEEK, &zone_utc, at(2026, 12, 6, 23), at(2026, 11, 30, 0), at(2026, 12, 7, 0));
    berlin = zone_of("Europe/Berlin");
    /* 29 March 2026 has 23 hours, 25 October 25. */
    calendar_is(PLAN_DAY, &berlin, at(2026, 3, 29, 12), at(2026, 3, 28, 23), at(2026, 3, 29, 22));
    calendar_is(PLAN_DAY, &berlin, at(2026, 10, 25, 12), at(2026, 10, 24, 22), at(2026, 10, 25, 23));
    calendar_is(PLAN_WEEK, &berlin, at(2026, 10, 25, 22), at(2026, 10, 18, 22), at(2026, 10, 25, 23));
}

static void
rolling_opens_with_a_charge(void **state)
{
    struct db_plan plan = {.starts_us = at(2026, 1, 1, 0), .ends_us = at(2026, 2, 1, 0), .allowance_ucr = 100,
                           .window_count = 1,
                           .windows = {{.kind = PLAN_ROLLING, .length_s = 18000, .cap_ucr = 10}}};
    int64_t now = at(2026, 1, 5, 12);

    (void)state;
    assert_false(plan_roll(&plan, &zone_utc, now));
    assert_int_equal(plan_available_ucr(&plan, now), 10);
    assert_int_equal(plan_edge_us(&plan, now), plan.ends_us);
    plan_charge(&plan, 0, now); /* nothing opens nothing */
    assert_int_equal(plan_edge_us(&plan, now), plan.ends_us);
    plan_charge(&plan, 7, now);
    assert_int_equal(plan_available_ucr(&plan, now), 3);
    assert_int_equal(plan_edge_us(&plan, now), now + 5 * HOUR);
    now += 5 * HOUR - 1;
    assert_false(plan_roll(&plan, &zone_utc, now));
    plan_charge(&plan, 4, now);
    assert_int_equal(plan_available_ucr(&plan, now), -1);
    now++;
    assert_true(plan_roll(&plan, &zone_utc, now));
    assert_int_equal(plan_available_ucr(&plan, now), 10);
    plan_charge(&plan, 1, now + 60 * SECOND);
    assert_int_equal(plan_edge_us(&plan, now + 60 * SECOND), now + 60 * SECOND + 5 * HOUR);
    assert_int_equal(plan.used_ucr, 12);
}

static void
period_ends_all(void **state)
{
    struct db_plan plan = {.starts_us = at(2026, 1, 1, 0), .ends_us = at(2026, 2, 1, 0), .allowance_ucr = 100};

    (void)state;
    assert_int_equal(plan_available_ucr(&plan, plan.starts_us - 1), 0);
    assert_int_equal(plan_edge_us(&plan, plan.starts_us - 1), plan.starts_us);
    assert_int_equal(plan_available_ucr(&plan, plan.starts_us), 100);
    assert_int_equal(plan_available_ucr(&plan, plan.ends_us - 1), 100);
    assert_int_equal(plan_available_ucr(&plan, plan.ends_us), 0);
    assert_int_equal(plan_edge_us(&plan, plan.ends_us), INT64_MAX);
    plan.flags = DB_PLAN_CLOSED;
    assert_int_equal(plan_available_ucr(&plan, plan.starts_us), 0);
    assert_int_equal(plan_edge_us(&plan, plan.starts_us), INT64_MAX);
}

/* ---- years ---- */

struct charge {
    int64_t at_us, ucr;
};

/* Is it the same day, week or month there? */
static bool
is_same(enum plan_window_kind kind, const struct zone *zone, int64_t a_us, int64_t b_us)
{
    struct civil a = local(zone, a_us), b = local(zone, b_us);
    int64_t days_a = clock_days(a.year, a.month, a.day), days_b = clock_days(b.year, b.month, b.day);

    switch (kind) {
    case PLAN_DAY: return days_a == days_b;
    case PLAN_WEEK: return (days_a + 3) / 7 == (days_b + 3) / 7; /* all of it is after 1970 */
    case PLAN_MONTH: return a.year == b.year && a.month == b.month;
    case PLAN_ROLLING:
    case PLAN_WINDOW_KIND_COUNT: break;
    }
    return false;
}

/* What the charges come to that are in the same part of the calendar, or in the rolling window open now. */
static int64_t
used_by(const struct charge *charges, unsigned count, const struct plan_window *window, const struct zone *zone,
        int64_t now_us)
{
    int64_t sum = 0, opened_us = INT64_MIN / 2;

    if (window->kind != PLAN_ROLLING) {
        for (unsigned i = 0; i < count; i++)
            sum += is_same((enum plan_window_kind)window->kind, zone, charges[i].at_us, now_us) ? charges[i].ucr : 0;
        return sum;
    }
    for (unsigned i = 0; i < count; i++) {
        if (charges[i].at_us >= opened_us + (int64_t)window->length_s * SECOND) {
            opened_us = charges[i].at_us;
            sum = 0;
        }
        sum += charges[i].ucr;
    }
    return now_us < opened_us + (int64_t)window->length_s * SECOND ? sum : 0;
}

static void
years(const char *name, int64_t start_us, int64_t end_us)
{
    struct zone zone = zone_of(name);
    struct db_plan plan = {
        .starts_us = start_us, .ends_us = end_us, .allowance_ucr = INT64_C(1000000000000), .window_count = 4,
        .windows = {{.kind = PLAN_ROLLING, .length_s = 18000, .cap_ucr = 1000},
                    {.kind = PLAN_DAY, .cap_ucr = 2000},
                    {.kind = PLAN_WEEK, .cap_ucr = 9000},
                    {.kind = PLAN_MONTH, .cap_ucr = 30000}}};
    struct charge charges[512]; /* the last of them: of more than a month */
    unsigned count = 0;

    for (int64_t now = start_us; now < end_us; now += 1 + (int64_t)below((uint64_t)(below(4) == 0 ? 30 * HOUR : 4 * HOUR))) {
        int64_t expected = plan.allowance_ucr - plan.used_ucr;

        if (count == COUNT_OF(charges)) {
            memmove(charges, charges + 256, 256 * sizeof(*charges));
            count = 256;
        }
        (void)plan_roll(&plan, &zone, now);
        for (unsigned i = 0; i < plan.window_count; i++) {
            const struct plan_window *window = &plan.windows[i];
            int64_t used = used_by(charges, count, window, &zone, now);

            assert_int_equal(window->used_ucr, used);
            assert_true(window->kind == PLAN_ROLLING || (window->opens_us <= now && now < window->ends_us));
            expected = MIN(expected, window->cap_ucr - used);
        }
        assert_int_equal(plan_available_ucr(&plan, now), expected);
        assert_true(plan_edge_us(&plan, now) > now && plan_edge_us(&plan, now) <= end_us);
        charges[count].at_us = now;
        charges[count].ucr = 1 + (int64_t)below(300);
        plan_charge(&plan, charges[count++].ucr, now);
    }
}

static void
years_of_charges(void **state)
{
    static const char *const names[] = {"UTC", "Europe/Berlin", "America/New_York", "Asia/Shanghai",
                                        "Australia/Lord_Howe", "America/Santiago", "Pacific/Apia", "Asia/Kathmandu"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        years(names[i], at(2026, 1, 1, 0) + (int64_t)below((uint64_t)DAY), at(2029, 3, 2, 0));
    years("Pacific/Apia", at(2011, 12, 1, 0), at(2012, 2, 1, 0)); /* there was no 30 December 2011 */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_weeks_and_months),
        cmocka_unit_test(rolling_opens_with_a_charge),
        cmocka_unit_test(period_ends_all),
        cmocka_unit_test(years_of_charges),
    };
    const char *text = getenv("TEST_SEED");

    rng = text != NULL ? strtoull(text, NULL, 0) : rng_u64();
    print_message("TEST_SEED=%llu\n", (unsigned long long)rng);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
