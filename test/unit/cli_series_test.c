/* Series of time and how they are drawn; and quantities for people. */
#include "test/unit/testing.h"

#include <string.h>

#include "cli/quantity.h"
#include "cli/series.h"

#define HOUR_US INT64_C(3600000000)
#define NOV_23 INT64_C(1795392000000000) /* 2026-11-23T00:00:00Z */

static struct series_step steps[200];

static struct series
hours(enum series_what what, uint32_t count)
{
    memset(steps, 0, sizeof(steps));
    return (struct series){&series_kinds[what], "", true, NOV_23 + 20 * HOUR_US, HOUR_US, steps, count};
}

static void
test_tops_are_round(void **state)
{
    static const int64_t rows[][2] = {{0, 4},     {4, 4},       {5, 8},     {9, 20}, {20, 20},
                                      {21, 40},   {41, 80},     {81, 200},  {999, 2000},
                                      {2001, 4000}};
    struct series series = hours(SERIES_TOKENS, 3);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        /* Tokens lie on each other: it is their sum that has to fit. */
        steps[1] = (struct series_step){{rows[i][0] / 2, rows[i][0] - rows[i][0] / 2}, true};
        assert_int_equal(series_top(&series), rows[i][1]);
    }
    steps[2].value[0] = INT64_MAX / 2;
    assert_true(series_top(&series) >= INT64_MAX / 2);
    series.kind = &series_kinds[SERIES_LATENCY]; /* of times the longer one */
    steps[2] = (struct series_step){{100, 300}, true};
    assert_int_equal(series_top(&series), 2000);
}

static void
test_folding_adds_or_takes_the_greatest(void **state)
{
    struct series series = hours(SERIES_CALLS, 5), folded;
    struct series_step room[3];

    (void)state;
    for (uint32_t i = 0; i < 5; i++)
        steps[i] = (struct series_step){{i + 1, 10 * (i + 1)}, i == 4};
    folded = series_fold(&series, 3, room);
    assert_int_equal(folded.count, 3);
    assert_int_equal(folded.step_us, 2 * HOUR_US);
    assert_int_equal(folded.steps[0].value[0], 3);
    assert_int_equal(folded.steps[2].value[0], 5);
    assert_false(folded.steps[0].known);
    assert_true(folded.steps[2].known);
    series.kind = &series_kinds[SERIES_LATENCY];
    folded = series_fold(&series, 3, room);
    assert_int_equal(folded.steps[0].value[0], 2);
    assert_int_equal(folded.steps[1].value[1], 40);
    folded = series_fold(&series, 5, steps + 100);
    assert_int_equal(folded.count, 5);
    assert_int_equal(folded.step_us, HOUR_US);
}

static void
test_labels(void **state)
{
    struct series series = hours(SERIES_CALLS, 24);
    char label[SERIES_LABEL_LEN + 1];

    (void)state;
    assert_true(series_label(&series, 0, label));
    assert_string_equal(label, "20:00");
    assert_true(series_label(&series, 4, label)); /* midnight: the day says more */
    assert_string_equal(label, "11-24");
    series.count = 100; /* days alone, in whichever step they begin */
    assert_false(series_label(&series, 0, label));
    assert_true(series_label(&series, 28, label));
    assert_string_equal(label, "11-25");
    series.step_us = 3 * HOUR_US;
    assert_false(series_label(&series, 0, label));
    assert_true(series_label(&series, 1, label)); /* 23:00 to 02:00 */
    assert_string_equal(label, "11-24");
    series.by_hour = false;
    series.step_us = 24 * HOUR_US;
    assert_true(series_label(&series, 2, label));
    assert_string_equal(label, "11-25");
}

static const char *
drawn(const struct series *series, struct plot_text how)
{
    static char text[8192];
    struct buf out;

    buf_init(&out, sizeof(text) - 1);
    plot_text(series, &how, &out);
    assert_false(out.failed);
    memcpy(text, out.ptr, out.len);
    text[out.len] = '\0';
    buf_free(&out);
    return text;
}

static void
test_bars(void **state)
{
    struct series series = hours(SERIES_SPEND, 6);

    (void)state;
    series.of = "tenant acme";
    steps[0].value[0] = 1; /* next to nothing is seen all the same */
    steps[1].value[0] = 1000000;
    steps[2].value[0] = 2250000;
    steps[5].value[0] = 4000000;
    assert_string_equal(drawn(&series, (struct plot_text){40, 4, false}),
                        "credits spent by hour, 2026-11-23 20:00\n"
                        "to 2026-11-24 02:00 UTC, tenant acme; in\n"
                        "all 7.250001, at most 4 an hour\n"
                        "\n"
                        "       4 ┤                         ████\n"
                        "       3 ┤          ▂▂▂▂           ████\n"
                        "       2 ┤          ████           ████\n"
                        "       1 ┤▁▁▁▁ ████ ████           ████\n"
                        "       0 └──────────────────────────────\n"
                        "          20:00     22:00     11-24\n");
    assert_string_equal(drawn(&series, (struct plot_text){40, 2, true}),
                        "credits spent by hour, 2026-11-23 20:00\n"
                        "to 2026-11-24 02:00 UTC, tenant acme; in\n"
                        "all 7.250001, at most 4 an hour\n"
                        "\n"
                        "       4 |                         ####\n"
                        "       2 |#### #### ####           ####\n"
                        "       0 +------------------------------\n"
                        "          20:00     22:00     11-24\n");
}

static void
test_two_values(void **state)
{
    struct series series = hours(SERIES_TOKENS, 2);

    (void)state;
    steps[0] = (struct series_step){{1000, 2000}, true};
    steps[1] = (struct series_step){{3000, 1000}, true};
    assert_string_equal(drawn(&series, (struct plot_text){80, 4, true}),
                        "tokens by hour, 2026-11-23 20:00 to 2026-11-23 22:00 UTC; in all 7k, at most 4k\n"
                        "an hour\n"
                        "\n"
                        "      4k |      :::::\n"
                        "      3k |::::: #####\n"
                        "      2k |::::: #####\n"
                        "      1k |##### #####\n"
                        "       0 +------------\n"
                        "          20:00\n"
                        "          # input  : output\n");
}

static void
test_pictures_are_safe(void **state)
{
    struct series series = hours(SERIES_CALLS, 2);
    struct buf out;

    (void)state;
    series.of = "tenant <a href=\"x\">&\x01";
    steps[1].value[0] = 3;
    buf_init(&out, 65536);
    plot_svg(&series, &out);
    buf_add_char(&out, '\0');
    assert_false(out.failed);
    assert_non_null(strstr(out.ptr, "tenant &lt;a href=&quot;x&quot;&gt;&amp;"));
    assert_null(strstr(out.ptr, "<a "));
    assert_non_null(strstr(out.ptr, "<title>2026-11-23 21:00 calls 3</title>"));
    assert_non_null(strstr(out.ptr, "prefers-color-scheme"));
    buf_free(&out);
}

static void
test_quantities(void **state)
{
    static const struct {
        uint64_t milli;
        const char *text;
    } milli[] = {{0, "0"},           {1, "0.00"},         {250, "0.25"},      {1000, "1"},
                 {12345, "12.3"},    {999999, "999"},     {1000000, "1k"},    {1234567, "1.23k"},
                 {45600000, "45.6k"}, {1234567890, "1.23M"}, {UINT64_MAX, "18446T"}};
    static const struct {
        uint64_t us;
        const char *text;
    } times[] = {{250, "250us"},       {1500, "1.50ms"},     {25000, "25ms"},
                 {1250000, "1.25s"},   {59999999, "59.9s"},  {60000000, "1m"},
                 {200000000, "3m20s"}, {UINT64_C(3600000000) * 29, "1d5h"}};
    char text[32];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(milli); i++) {
        quantity_milli(milli[i].milli, text, sizeof(text));
        assert_string_equal(text, milli[i].text);
    }
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        quantity_us(times[i].us, text, sizeof(text));
        assert_string_equal(text, times[i].text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tops_are_round),
        cmocka_unit_test(test_folding_adds_or_takes_the_greatest),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_bars),
        cmocka_unit_test(test_two_values),
        cmocka_unit_test(test_pictures_are_safe),
        cmocka_unit_test(test_quantities),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
