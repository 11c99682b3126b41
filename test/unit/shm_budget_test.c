/* Budgets: windows of time, entering and leaving, a clock that jumps, the freeze bit. */
#include "test/unit/shm_small.h"

#include "base/clock.h"
#include "base/str.h"

#include <errno.h>

#define DAY INT64_C(86400000000)

static int64_t
at(const char *text)
{
    int64_t wall_us;

    if (!clock_parse(str_from(text), &wall_us))
        abort();
    return wall_us;
}

/* ---- windows ---- */

static void
test_window(void **state)
{
    (void)state;
    assert_int_equal(budget_window(BUDGET_TOTAL, at("2026-11-21")), 0);
    assert_int_equal(budget_window(BUDGET_DAY, 0), 0);
    assert_int_equal(budget_window(BUDGET_DAY, DAY - 1), 0);
    assert_int_equal(budget_window(BUDGET_DAY, DAY), 1);
    assert_int_equal(budget_window(BUDGET_WEEK, 0), 0);
    assert_int_equal(budget_window(BUDGET_WEEK, at("1970-01-04T23:59:59Z")), 0); /* a Sunday */
    assert_int_equal(budget_window(BUDGET_WEEK, at("1970-01-05")), 1);
    assert_int_equal(budget_window(BUDGET_MONTH, 0), 0);
    assert_int_equal(budget_window(BUDGET_MONTH, at("1970-02-01")), 1);
    assert_int_equal(budget_window(BUDGET_MONTH, at("2026-11-30T23:59:59Z")), 682);
    assert_int_equal(budget_window(BUDGET_MONTH, at("2026-12-01")), 683);
    /* No window before the first or after the last. */
    assert_int_equal(budget_window(BUDGET_DAY, -1), 0);
    assert_int_equal(budget_window(BUDGET_WEEK, INT64_MIN), 0);
    assert_int_equal(budget_window(BUDGET_MONTH, INT64_MIN), 0);
    assert_int_equal(budget_window(BUDGET_DAY, INT64_MAX), 32767);
    assert_int_equal(budget_window((enum budget_period)77, at("2026-11-21")), 0);
}

static void
check_edges(enum budget_period period, int64_t wall_us)
{
    uint32_t window = budget_window(period, wall_us);
    int64_t from_us, to_us;

    budget_window_edges(period, wall_us, &from_us, &to_us);
    assert_true(from_us <= wall_us && wall_us < to_us);
    assert_int_equal(budget_window(period, to_us - 1), window);
    assert_int_equal(budget_window(period, to_us), window + 1);
    if (from_us > 0) {
        assert_int_equal(budget_window(period, from_us), window);
        assert_int_equal(budget_window(period, from_us - 1), window - 1);
    }
}

static void
test_window_edges(void **state)
{
    int64_t from_us, to_us;

    (void)state;
    for (int64_t day = 0; day < 130 * 365; day++) {
        if (day < 32700)
            check_edges(BUDGET_DAY, day * DAY + 17);
        check_edges(BUDGET_WEEK, day * DAY);
        check_edges(BUDGET_MONTH, day * DAY + DAY - 1);
    }
    budget_window_edges(BUDGET_MONTH, at("2024-02-29"), &from_us, &to_us);
    assert_int_equal(from_us, at("2024-02-01"));
    assert_int_equal(to_us, at("2024-03-01"));
    budget_window_edges(BUDGET_MONTH, at("2100-02-28"), &from_us, &to_us);
    assert_int_equal(to_us, at("2100-03-01"));
    budget_window_edges(BUDGET_WEEK, at("2026-11-21"), &from_us, &to_us);
    assert_int_equal(from_us, at("2026-11-16"));
    budget_window_edges(BUDGET_TOTAL, at("2026-11-21"), &from_us, &to_us);
    assert_int_equal(from_us, 0);
    assert_true(to_us == INT64_MAX);
}

static void
test_word(void **state)
{
    (void)state;
    assert_int_equal(budget_word_window(budget_word(32767, true, BUDGET_SPENT_MAX)), 32767);
    assert_true(budget_word_frozen(budget_word(0, true, 0)));
    assert_false(budget_word_frozen(budget_word(32767, false, BUDGET_SPENT_MAX)));
    assert_true(budget_word_spent_ucr(budget_word(32767, true, BUDGET_SPENT_MAX)) ==
                BUDGET_SPENT_MAX);
    assert_int_equal(budget_word_spent_ucr(budget_word(32767, true, 0)), 0);
}

static void
test_names(void **state)
{
    (void)state;
    assert_string_equal(budget_period_name[BUDGET_TOTAL], "total");
    assert_string_equal(budget_period_name[BUDGET_MONTH], "month");
    assert_string_equal(budget_kind_name[BUDGET_KEY], "key");
    assert_string_equal(budget_kind_name[BUDGET_TENANT], "tenant");
}

/* ---- entering and leaving ---- */

static int64_t
spent(const struct budget *budget)
{
    return budget_word_spent_ucr(budget->word);
}

static void
test_enter(void **state)
{
    uint32_t idx, window = 99;
    struct budget *budget = test_budget(t.region, BUDGET_KEY, BUDGET_DAY, 100, &idx);

    (void)state;
    assert_int_equal(budget_enter(budget, 60, 5 * DAY, &window), BUDGET_OK);
    assert_int_equal(window, 5);
    assert_int_equal(budget_enter(budget, 41, 5 * DAY, &window), BUDGET_FULL);
    assert_int_equal(budget_enter(budget, 40, 5 * DAY, &window), BUDGET_OK);
    assert_int_equal(spent(budget), 100);
    assert_int_equal(budget_enter(budget, 1, 5 * DAY, &window), BUDGET_FULL);
    assert_int_equal(budget_enter(budget, 0, 5 * DAY, &window), BUDGET_OK);
    budget_leave(budget, 40, 5);
    assert_int_equal(spent(budget), 60);
    budget_leave(budget, 61, 5); /* more than there is: a mistake elsewhere, not a wrap here */
    assert_int_equal(spent(budget), 0);
}

static void
test_window_rolls(void **state)
{
    uint32_t idx, window = 0;
    struct budget *budget = test_budget(t.region, BUDGET_KEY, BUDGET_DAY, 100, &idx);

    (void)state;
    assert_int_equal(budget_enter(budget, 90, 5 * DAY, &window), BUDGET_OK);
    assert_int_equal(budget_enter(budget, 90, 6 * DAY, &window), BUDGET_OK);
    assert_int_equal(window, 6);
    assert_int_equal(spent(budget), 90);
    /* What was entered in the old window is not taken from the new one. */
    budget_leave(budget, 90, 5);
    assert_int_equal(spent(budget), 90);
    /* A clock that went back stays in the newer window. */
    assert_int_equal(budget_enter(budget, 90, 5 * DAY, &window), BUDGET_FULL);
    assert_int_equal(budget_enter(budget, 10, 0, &window), BUDGET_OK);
    assert_int_equal(window, 6);
    assert_int_equal(spent(budget), 100);
    /* A refusal in a new window does not open it for nothing, nor spoil it. */
    assert_int_equal(budget_enter(budget, 101, 9 * DAY, &window), BUDGET_FULL);
    assert_int_equal(budget_word_window(budget->word), 6);
    assert_int_equal(budget_enter(budget, 100, 9 * DAY, &window), BUDGET_OK);
    assert_int_equal(budget_word_window(budget->word), 9);
}

static void
test_total_never_rolls(void **state)
{
    uint32_t idx, window = 1;
    struct budget *budget = test_budget(t.region, BUDGET_TENANT, BUDGET_TOTAL, 100, &idx);

    (void)state;
    assert_int_equal(budget_enter(budget, 90, 5 * DAY, &window), BUDGET_OK);
    assert_int_equal(window, 0);
    assert_int_equal(budget_enter(budget, 90, 15000 * DAY, &window), BUDGET_FULL);
}

static void
test_limits(void **state)
{
    uint32_t idx, window;
    struct budget *budget = test_budget(t.region, BUDGET_KEY, BUDGET_TOTAL, INT64_MAX, &idx);

    (void)state;
    assert_int_equal(budget_enter(budget, INT64_MAX, 0, &window), BUDGET_FULL);
    assert_int_equal(budget_enter(budget, BUDGET_SPENT_MAX + 1, 0, &window), BUDGET_FULL);
    assert_int_equal(budget_enter(budget, BUDGET_SPENT_MAX, 0, &window), BUDGET_OK);
    assert_true(spent(budget) == BUDGET_SPENT_MAX);
    assert_int_equal(budget_enter(budget, 1, 0, &window), BUDGET_FULL);
    budget_leave(budget, INT64_MAX, 0);
    assert_int_equal(spent(budget), 0);
    /* A limit that was lowered, and one of nothing. */
    assert_int_equal(budget_enter(budget, 50, 0, &window), BUDGET_OK);
    budget->limit_ucr = 10;
    assert_int_equal(budget_enter(budget, 1, 0, &window), BUDGET_FULL);
    budget_leave(budget, 50, 0);
    budget->limit_ucr = 0;
    assert_int_equal(budget_enter(budget, 1, 0, &window), BUDGET_FULL);
    assert_int_equal(budget_enter(budget, 0, 0, &window), BUDGET_OK);
    budget->limit_ucr = INT64_MIN;
    assert_int_equal(budget_enter(budget, 0, 0, &window), BUDGET_FULL);
}

static void
test_freeze(void **state)
{
    uint32_t idx, window;
    struct budget *budget = test_budget(t.region, BUDGET_KEY, BUDGET_DAY, 100, &idx);

    (void)state;
    assert_int_equal(budget_enter(budget, 30, 8 * DAY, &window), BUDGET_OK);
    budget_freeze(budget);
    budget_freeze(budget);
    assert_int_equal(spent(budget), 30);
    assert_int_equal(budget_enter(budget, 1, 9 * DAY, &window), BUDGET_FROZEN);
    budget_leave(budget, 10, 8);
    assert_true(budget_word_frozen(budget->word));
    assert_int_equal(spent(budget), 20);
    budget_unfreeze(budget);
    assert_int_equal(budget_word_window(budget->word), 8);
    assert_int_equal(spent(budget), 20);
    budget_freeze(budget);
    budget_publish(budget, 9, 77);
    assert_false(budget_word_frozen(budget->word));
    assert_int_equal(budget_word_window(budget->word), 9);
    assert_int_equal(spent(budget), 77);
    /* For a window that is over: the word's own stays. */
    budget_freeze(budget);
    budget_publish(budget, 8, 5);
    assert_int_equal(budget_word_window(budget->word), 9);
    assert_int_equal(spent(budget), 77);
    budget_freeze(budget);
    budget_publish(budget, 10, INT64_MAX);
    assert_true(spent(budget) == BUDGET_SPENT_MAX);
    assert_int_equal(budget_word_window(budget->word), 10);
}

static void
publish_unfrozen(void *arg)
{
    budget_publish(arg, 0, 0);
}

static void
test_add(void **state)
{
    struct budget *budget;
    uint32_t idx;

    (void)state;
    assert_null(budget_at(t.region, 0));
    assert_null(budget_at(t.region, 1));
    assert_int_equal(budget_add(t.region, BUDGET_MEMBER, 42, BUDGET_WEEK, 9, &idx), 0);
    budget = budget_at(t.region, idx);
    assert_true(budget_word_frozen(budget->word));
    assert_int_equal(budget->kind, BUDGET_MEMBER);
    assert_int_equal(budget->period, BUDGET_WEEK);
    assert_int_equal(budget->id, 42);
    assert_int_equal(budget->limit_ucr, 9);
    budget_publish(budget, 0, 0);
    assert_true(aborts(publish_unfrozen, budget));
    for (uint32_t i = 2; i <= 64; i++)
        assert_int_equal(budget_add(t.region, BUDGET_KEY, i, BUDGET_DAY, 9, &idx), 0);
    assert_int_equal(budget_add(t.region, BUDGET_KEY, 65, BUDGET_DAY, 9, &idx), -ENOSPC);
    assert_null(budget_at(t.region, 65));
}

/* ---- a time zone ---- */

#define HOUR INT64_C(3600000000)

/* A zone by its clocks: two hours ahead in summer, which ends (or begins) then. */
static struct budget *
zoned(enum budget_period period, int64_t limit_ucr, const char *change, int32_t offset_s,
      int32_t after_s)
{
    uint32_t idx;
    struct budget *budget = test_budget(t.region, BUDGET_KEY, period, limit_ucr, &idx);

    budget_set_zone(budget, &(struct budget_zone){at(change), offset_s, after_s});
    return budget;
}

static uint32_t
window_at(struct budget *budget, int64_t wall_us)
{
    uint32_t window = 0;

    assert_int_equal(budget_enter(budget, 1, wall_us, &window), BUDGET_OK);
    return window;
}

static int64_t
ends(const struct budget *budget, int64_t wall_us)
{
    struct budget_look look;

    budget_look(budget, wall_us, &look);
    return look.ends_us;
}

/* A day of 25 hours and one of 23 are one window each; its edges are instants of UTC. */
static void
test_zone_days(void **state)
{
    /* Berlin's summer of 2026 ends on October 25th at 01:00 UTC, and begins on March 29th at 01:00. */
    struct budget *autumn = zoned(BUDGET_DAY, 100, "2026-10-25T01:00:00Z", 7200, 3600);
    struct budget *spring = zoned(BUDGET_DAY, 100, "2026-03-29T01:00:00Z", 3600, 7200);
    uint32_t day = budget_window(BUDGET_DAY, at("2026-10-25"));
    int64_t from = at("2026-10-24T22:00:00Z"), to = at("2026-10-25T23:00:00Z");

    (void)state;
    assert_int_equal(window_at(autumn, from - 1), day - 1);
    assert_int_equal(ends(autumn, from - 1), from);
    assert_int_equal(window_at(autumn, from), day);
    assert_int_equal(spent(autumn), 1);
    assert_int_equal(ends(autumn, from), to);
    assert_int_equal(window_at(autumn, to - 1), day);
    assert_int_equal(ends(autumn, to - 1), to);
    assert_int_equal(spent(autumn), 2);
    assert_int_equal(window_at(autumn, to), day + 1);
    assert_int_equal(to - from, 25 * HOUR);

    day = budget_window(BUDGET_DAY, at("2026-03-29"));
    from = at("2026-03-28T23:00:00Z");
    to = at("2026-03-29T22:00:00Z");
    assert_int_equal(window_at(spring, from - 1), day - 1);
    assert_int_equal(window_at(spring, from), day);
    assert_int_equal(ends(spring, from), to);
    assert_int_equal(window_at(spring, to - 1), day);
    assert_int_equal(window_at(spring, to), day + 1);
    assert_int_equal(to - from, 23 * HOUR);
}

/* Clocks that go over midnight: back from 00:00 to 23:00 the day before, and past it. */
static void
test_zone_at_midnight(void **state)
{
    struct budget *back = zoned(BUDGET_DAY, 100, "2018-02-18T02:00:00Z", -7200, -10800);
    struct budget *past = zoned(BUDGET_DAY, 100, "2018-11-04T03:00:00Z", -10800, -7200);
    uint32_t day = budget_window(BUDGET_DAY, at("2018-02-17"));

    (void)state;
    assert_int_equal(window_at(back, at("2018-02-18T01:59:59Z")), day);
    assert_int_equal(window_at(back, at("2018-02-18T02:00:00Z")), day);
    assert_int_equal(ends(back, at("2018-02-17T12:00:00Z")), at("2018-02-18T03:00:00Z"));
    assert_int_equal(window_at(back, at("2018-02-18T03:00:00Z")), day + 1);
    day = budget_window(BUDGET_DAY, at("2018-11-03"));
    assert_int_equal(window_at(past, at("2018-11-04T02:59:59Z")), day);
    assert_int_equal(ends(past, at("2018-11-03T12:00:00Z")), at("2018-11-04T03:00:00Z"));
    assert_int_equal(window_at(past, at("2018-11-04T03:00:00Z")), day + 1);
}

static void
test_zone_weeks_and_months(void **state)
{
    struct budget *week = zoned(BUDGET_WEEK, 100, "2100-01-01", 8 * 3600, 8 * 3600);
    struct budget *month = zoned(BUDGET_MONTH, 100, "2100-01-01", -5 * 3600, -5 * 3600);

    (void)state;
    assert_int_equal(ends(week, at("2026-11-22T15:59:59Z")), at("2026-11-22T16:00:00Z"));
    assert_int_equal(ends(week, at("2026-11-22T16:00:00Z")), at("2026-11-29T16:00:00Z"));
    assert_int_equal(window_at(month, at("2026-12-01T04:59:59Z")), 682);
    assert_int_equal(window_at(month, at("2026-12-01T05:00:00Z")), 683);
    assert_int_equal(ends(month, at("2026-12-01T05:00:00Z")), at("2027-01-01T05:00:00Z"));
}

/* A zone that is changed: at most one window more, and none goes back. */
static void
test_zone_changed(void **state)
{
    struct budget *budget = zoned(BUDGET_DAY, 100, "2100-01-01", 0, 0);
    uint32_t day = budget_window(BUDGET_DAY, at("2026-11-21"));

    (void)state;
    assert_int_equal(window_at(budget, at("2026-11-21T20:00:00Z")), day);
    budget_set_zone(budget, &(struct budget_zone){INT64_MAX, 8 * 3600, 8 * 3600});
    assert_int_equal(window_at(budget, at("2026-11-21T20:00:00Z")), day + 1);
    budget_set_zone(budget, &(struct budget_zone){INT64_MAX, -8 * 3600, -8 * 3600});
    assert_int_equal(window_at(budget, at("2026-11-22T20:00:00Z")), day + 1);
    assert_int_equal(spent(budget), 2);
    budget_set_zone(budget, &(struct budget_zone){INT64_MIN, 8 * 3600, 8 * 3600});
    assert_int_equal(window_at(budget, at("2026-11-22T15:59:59Z")), day + 1);
    assert_int_equal(window_at(budget, at("2026-11-22T16:00:00Z")), day + 2);
}

/* ---- rolling windows ---- */

static struct budget *
rolling(int64_t limit_ucr, uint32_t length_s)
{
    uint32_t idx;
    struct budget *budget = test_budget(t.region, BUDGET_KEY, BUDGET_ROLLING, limit_ucr, &idx);

    budget_set(budget, limit_ucr, false, length_s);
    return budget;
}

static void
test_rolling(void **state)
{
    struct budget *budget = rolling(100, 5 * 3600);
    int64_t from = at("2026-11-21T10:17:03.250Z");
    struct budget_look look;
    uint32_t window = 99;

    (void)state;
    budget_look(budget, from, &look);
    assert_int_equal(look.spent_ucr, 0);
    assert_int_equal(look.ends_us, 0);
    assert_int_equal(look.length_s, 5 * 3600);
    /* What it does not let in opens none. */
    assert_int_equal(budget_enter(budget, 101, from - HOUR, &window), BUDGET_FULL);
    assert_int_equal(budget_edge_us(budget, 1), 0);
    assert_int_equal(budget_enter(budget, 60, from, &window), BUDGET_OK);
    assert_int_equal(window, 1);
    assert_int_equal(budget_edge_us(budget, 1), from + 5 * HOUR);
    assert_int_equal(budget_enter(budget, 41, from + 5 * HOUR - 1000, &window), BUDGET_FULL);
    assert_int_equal(budget_enter(budget, 30, from + 5 * HOUR - 1000, &window), BUDGET_OK);
    assert_int_equal(window, 1);
    budget_look(budget, from + HOUR, &look);
    assert_int_equal(look.spent_ucr, 90);
    assert_int_equal(look.ends_us, from + 5 * HOUR);
    assert_int_equal(look.window, 1);
    /* It is over: nothing is spent, and the next one opens when somebody comes, however late. */
    budget_look(budget, from + 5 * HOUR, &look);
    assert_int_equal(look.spent_ucr, 0);
    assert_int_equal(look.ends_us, 0);
    assert_int_equal(budget_enter(budget, 100, from + 30 * HOUR, &window), BUDGET_OK);
    assert_int_equal(window, 2);
    assert_int_equal(spent(budget), 100);
    assert_int_equal(budget_edge_us(budget, 2), from + 35 * HOUR);
    assert_int_equal(budget_edge_us(budget, 1), 0);
    /* What was entered in the first is not taken from the second. */
    budget_leave(budget, 60, 1);
    assert_int_equal(spent(budget), 100);
    /* A clock that went back stays in it. */
    assert_int_equal(budget_enter(budget, 1, from, &window), BUDGET_FULL);
    assert_int_equal(budget_window_due(budget, from + 100 * HOUR), 2);
}

/* Somebody opened a window and died before the word was in it: whoever comes next moves it there. */
static void
test_rolling_half_opened(void **state)
{
    struct budget *budget = rolling(100, 3600);
    uint32_t window = 99;
    struct budget_look look;

    (void)state;
    assert_int_equal(budget_enter(budget, 90, 10 * HOUR, &window), BUDGET_OK);
    budget_set_edge(budget, 2, 13 * HOUR);
    budget_look(budget, 12 * HOUR, &look);
    assert_int_equal(look.spent_ucr, 0);
    assert_int_equal(look.window, 2);
    assert_int_equal(budget_enter(budget, 70, 12 * HOUR, &window), BUDGET_OK);
    assert_int_equal(window, 2);
    assert_int_equal(spent(budget), 70);
    assert_int_equal(budget_edge_us(budget, 2), 13 * HOUR);
    /* And when that has ended as well: not in it, but in another. */
    budget_set_edge(budget, 3, 15 * HOUR);
    assert_int_equal(budget_enter(budget, 80, 20 * HOUR, &window), BUDGET_OK);
    assert_int_equal(window, 4);
    assert_int_equal(budget_edge_us(budget, 4), 21 * HOUR);
}

/* There are no more numbers: the last window goes on, and is never opened anew. */
static void
test_rolling_at_the_end(void **state)
{
    struct budget *budget = rolling(100, 3600);
    uint32_t window = 0;

    (void)state;
    budget_set_edge(budget, 32766, 0);
    assert_int_equal(budget_enter(budget, 60, HOUR, &window), BUDGET_OK);
    assert_int_equal(window, 32767);
    assert_int_equal(budget_enter(budget, 60, 9 * HOUR, &window), BUDGET_FULL);
    assert_int_equal(budget_enter(budget, 40, 9 * HOUR, &window), BUDGET_OK);
    assert_int_equal(window, 32767);
    assert_int_equal(spent(budget), 100);
}

/* ---- shadow mode ---- */

static void
test_shadow(void **state)
{
    uint32_t idx, window = 99;
    struct budget *budget = test_budget(t.region, BUDGET_KEY, BUDGET_DAY, 100, &idx);
    struct budget_look look;

    (void)state;
    budget_set(budget, 100, true, 0);
    assert_int_equal(budget_enter(budget, 100, DAY, &window), BUDGET_OK);
    assert_int_equal(budget_enter(budget, 50, DAY, &window), BUDGET_OVER);
    assert_int_equal(window, 1);
    assert_int_equal(spent(budget), 150);
    budget_look(budget, DAY, &look);
    assert_true(look.shadow && look.spent_ucr == 150 && look.limit_ucr == 100);
    budget_freeze(budget);
    assert_int_equal(budget_enter(budget, 1, DAY, &window), BUDGET_FROZEN);
    budget_unfreeze(budget);
    budget_leave(budget, 50, 1);
    assert_int_equal(spent(budget), 100);
    /* More than the word can count is let in, and not counted. */
    assert_int_equal(budget_enter(budget, BUDGET_SPENT_MAX, DAY, &window), BUDGET_OVER);
    assert_int_equal(window, BUDGET_NOT_ENTERED);
    assert_int_equal(spent(budget), 100);
    /* In force from now on. */
    budget_set(budget, 100, false, 0);
    assert_int_equal(budget_enter(budget, 1, DAY, &window), BUDGET_FULL);
    assert_int_equal(budget_enter(budget, 1, 2 * DAY, &window), BUDGET_OK);
}

/* A rolling one in shadow mode opens its windows for amounts that it would not have let in, too. */
static void
test_shadow_rolling(void **state)
{
    struct budget *budget = rolling(10, 3600);
    uint32_t window = 99;

    (void)state;
    budget_set(budget, 10, true, 3600);
    assert_int_equal(budget_enter(budget, 11, HOUR, &window), BUDGET_OVER);
    assert_int_equal(window, 1);
    assert_int_equal(spent(budget), 11);
    assert_int_equal(budget_enter(budget, 10, 2 * HOUR, &window), BUDGET_OK);
    assert_int_equal(window, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_window_edges),
        cmocka_unit_test(test_word),
        cmocka_unit_test(test_names),
        TEST(test_enter),
        TEST(test_window_rolls),
        TEST(test_total_never_rolls),
        TEST(test_limits),
        TEST(test_freeze),
        TEST(test_add),
        TEST(test_zone_days),
        TEST(test_zone_at_midnight),
        TEST(test_zone_weeks_and_months),
        TEST(test_zone_changed),
        TEST(test_rolling),
        TEST(test_rolling_half_opened),
        TEST(test_rolling_at_the_end),
        TEST(test_shadow),
        TEST(test_shadow_rolling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
