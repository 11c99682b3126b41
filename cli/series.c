#include "cli/series.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/ucr.h"
#include "cli/quantity.h"

#define DAY_US INT64_C(86400000000)

/* Amounts of less than a thousand credits are exact. */
static void
spend_text(int64_t ucr, char *out, size_t cap)
{
    char text[UCR_TEXT_LEN + 1];

    if (ucr >= INT64_C(1000000000)) {
        quantity_milli((uint64_t)ucr / 1000, out, cap);
        return;
    }
    ucr_text(ucr, text);
    str_copy(str_from(text), out, cap);
}

static void
count_text(int64_t n, char *out, size_t cap)
{
    quantity_milli((uint64_t)n * 1000, out, cap);
}

static void
time_text(int64_t us, char *out, size_t cap)
{
    if (us == 0)
        str_copy(STR("0"), out, cap);
    else
        quantity_us((uint64_t)us, out, cap);
}

const struct series_kind series_kinds[SERIES_WHAT_COUNT] = {
    [SERIES_SPEND] = {"spend", "credits spent", {"charge", NULL}, false, true, spend_text},
    [SERIES_TOKENS] = {"tokens", "tokens", {"input", "output"}, true, true, count_text},
    [SERIES_CALLS] = {"calls", "calls", {"calls", NULL}, false, true, count_text},
    [SERIES_LATENCY] = {"latency", "time of whole calls", {"p50", "p99"}, false, false, time_text},
};

int64_t
series_height(const struct series_kind *kind, const struct series_step *step)
{
    if (kind->value[1] == NULL)
        return step->value[0];
    return kind->stacked ? step->value[0] + step->value[1] : MAX(step->value[0], step->value[1]);
}

int64_t
series_top(const struct series *series)
{
    static const int64_t round[] = {4, 8, 20};
    int64_t highest = 1;

    for (uint32_t i = 0; i < series->count; i++)
        highest = MAX(highest, series_height(series->kind, &series->steps[i]));
    for (int64_t unit = 1; unit <= INT64_MAX / 20; unit *= 10)
        for (size_t r = 0; r < COUNT_OF(round); r++)
            if (round[r] * unit >= highest)
                return round[r] * unit;
    return INT64_MAX;
}

struct series
series_fold(const struct series *series, uint32_t most, struct series_step *steps)
{
    struct series folded = *series;
    uint32_t each = (series->count + most - 1) / most;

    ASSERT(most > 0 && series->count > 0);
    folded.steps = steps;
    folded.step_us = series->step_us * each;
    folded.count = (series->count + each - 1) / each;
    memset(steps, 0, sizeof(*steps) * folded.count);
    for (uint32_t i = 0; i < series->count; i++) {
        const struct series_step *from = &series->steps[i];
        struct series_step *to = &steps[i / each];

        to->known = to->known || from->known;
        for (unsigned v = 0; v < SERIES_VALUES; v++)
            to->value[v] = series->kind->summed ? to->value[v] + from->value[v]
                                                : MAX(to->value[v], from->value[v]);
    }
    return folded;
}

bool
series_label(const struct series *series, uint32_t step, char out[SERIES_LABEL_LEN + 1])
{
    char text[RFC3339_LEN + 1];
    int64_t at_us = series->since_us + step * series->step_us;
    int64_t day_us = (at_us + DAY_US - 1) / DAY_US * DAY_US; /* that begins then, or next */
    bool many_hours = series->by_hour && series->count * series->step_us > 2 * DAY_US;

    if (many_hours && day_us >= at_us + series->step_us)
        return false;
    clock_rfc3339(many_hours ? day_us : at_us, text);
    /* An hour's own, but where the day begins: that says more. */
    if (series->by_hour && memcmp(text + 11, "00:00", 5) != 0)
        memcpy(out, text + 11, SERIES_LABEL_LEN);
    else
        memcpy(out, text + 5, SERIES_LABEL_LEN);
    out[SERIES_LABEL_LEN] = '\0';
    return true;
}

/* "2026-11-23 14:00" */
static void
minute_text(int64_t at_us, char out[17])
{
    char text[RFC3339_LEN + 1];

    clock_rfc3339(at_us, text);
    memcpy(out, text, 16);
    out[10] = ' ';
    out[16] = '\0';
}

void
series_title(const struct series *series, struct buf *out)
{
    char since[17], until[17], all[32], most[32];
    struct series_step sum = {{0, 0}, true};
    int64_t highest = 0;

    for (uint32_t i = 0; i < series->count; i++) {
        highest = MAX(highest, series_height(series->kind, &series->steps[i]));
        for (unsigned v = 0; v < SERIES_VALUES; v++)
            sum.value[v] += series->steps[i].value[v];
    }
    minute_text(series->since_us, since);
    minute_text(series->since_us + series->count * series->step_us, until);
    series->kind->text(series_height(series->kind, &sum), all, sizeof(all));
    series->kind->text(highest, most, sizeof(most));
    buf_add_fmt(out, "%s by %s, %s to %s UTC%s%s; ", series->kind->title,
                series->by_hour ? "hour" : "day", since, until, series->of[0] != '\0' ? ", " : "",
                series->of);
    if (series->kind->summed)
        buf_add_fmt(out, "in all %s, ", all);
    buf_add_fmt(out, "at most %s", most);
    if (series->kind->summed)
        buf_add_fmt(out, series->by_hour ? " an hour" : " a day");
}
