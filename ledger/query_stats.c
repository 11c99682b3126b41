/*
 * Queries of totals: a window's, beside those of the window before it; and as a trend by hour, day or month of a time
 * zone. Out of ledger/sum.h, in a time that does not know how many records there are. On any thread.
 */
#include "ledger/core.h"
#include "ledger/query_sums.h"

#include "base/str.h"

#include <errno.h>

#define STEPS_MAX 2000u

static int
stats_show(struct command *command)
{
    struct sums_ask ask = {0};
    struct jw *jw = &command->jw;
    struct sum now, before;
    int64_t before_us;
    int rc;

    if (!sums_tenant_arg(command, &ask, false) || !sums_filter_args(command, &ask) ||
        !sums_window_args(command, &ask))
        return 0;
    before_us = MAX(ask.since_us - (ask.until_us - ask.since_us), 0);
    rc = sums_total(command, &ask, ask.since_us, ask.until_us, &now);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = sums_total(command, &ask, before_us, ask.since_us, &before);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    sums_write_about(command, &ask);
    jw_key_time(jw, "since", ask.since_us);
    jw_key_time(jw, "until", ask.until_us);
    jw_key(jw, "total");
    jw_object(jw);
    sums_write(jw, &now);
    jw_object_end(jw);
    jw_key(jw, "before");
    jw_object(jw);
    jw_key_time(jw, "since", before_us);
    jw_key_time(jw, "until", ask.since_us);
    sums_write(jw, &before);
    jw_object_end(jw);
    return 0;
}

/* ---- trend ---- */

static bool
step_arg(struct command *command, enum sums_step *step)
{
    struct str by;

    *step = SUMS_DAY;
    if (!command_str(command, "by", false, &by))
        return false;
    for (unsigned i = 0; by.len > 0 && i < SUMS_STEP_COUNT; i++)
        if (str_eq(by, str_from(sums_step_name[i]))) {
            *step = (enum sums_step)i;
            return true;
        }
    if (by.len == 0)
        return true;
    command_refuse_field(command, COMMAND_USAGE, "invalid", "by", "by: there is no \"%.*s\"",
                         (int)MIN(by.len, 40u), by.ptr);
    command_hint(command, "one of hour, day, month");
    return false;
}

/* One hour, day or month, as far as it is in the window; and when the next begins. */
static int
trend_row(struct command *command, const struct sums_ask *ask, enum sums_step step, int64_t *at_us,
          struct sum *total)
{
    struct jw *jw = &command->jw;
    int64_t next_us = MIN(sums_step_next(ask->zone, step, *at_us), ask->until_us);
    struct sum sum;
    int rc = sums_total(command, ask, *at_us, next_us, &sum);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    jw_object(jw);
    jw_key_time(jw, "since", *at_us);
    jw_key_time(jw, "until", next_us);
    sums_write(jw, &sum);
    jw_object_end(jw);
    sum_add(total, &sum);
    *at_us = next_us;
    return 0;
}

static bool
trend_fits(struct command *command, const struct sums_ask *ask, enum sums_step step)
{
    static const int64_t least_us[SUMS_STEP_COUNT] = {ROLLUP_HOUR_US, 23 * ROLLUP_HOUR_US,
                                                      28 * ROLLUP_DAY_US};

    if ((ask->until_us - ask->since_us) / least_us[step] <= STEPS_MAX)
        return true;
    command_refuse_field(command, COMMAND_USAGE, "out_of_range", "since", "that is too long a time");
    command_hint(command, "at most %u rows: ask by a longer step", STEPS_MAX);
    return false;
}

static int
trend_show(struct command *command)
{
    struct sums_ask ask = {0};
    struct sum total = {0};
    struct jw *jw = &command->jw;
    enum sums_step step;
    int rc = 0;

    if (!sums_tenant_arg(command, &ask, false) || !step_arg(command, &step) ||
        !sums_filter_args(command, &ask) || !sums_window_args(command, &ask) ||
        !trend_fits(command, &ask, step))
        return 0;
    sums_write_about(command, &ask);
    jw_key_cstr(jw, "by", sums_step_name[step]);
    jw_key_time(jw, "since", ask.since_us);
    jw_key_time(jw, "until", ask.until_us);
    jw_key(jw, "rows");
    jw_array(jw);
    for (int64_t at_us = ask.since_us;
         rc == 0 && command->exit == COMMAND_DONE && at_us < ask.until_us;)
        rc = trend_row(command, &ask, step, &at_us, &total);
    jw_array_end(jw);
    jw_key(jw, "total");
    jw_object(jw);
    sums_write(jw, &total);
    jw_object_end(jw);
    return rc;
}

const struct command_def command_stats_defs[] = {
    {.name = "usage.stats", .kind = COMMAND_READ, .run = stats_show},
    {.name = "usage.trend", .kind = COMMAND_READ, .run = trend_show},
    {.name = NULL},
};
