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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
