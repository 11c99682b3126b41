#include "cli/plot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/jw.h"
#include "base/nearest.h"
#include "base/str.h"
#include "base/term.h"
#include "base/ucr.h"
#include "cli/ask.h"
#include "cli/help.h"
#include "cli/local.h"
#include "cli/print.h"
#include "cli/series.h"
#include "cli/whole_file.h"

#define HOUR_US INT64_C(3600000000)
#define DAY_US (24 * HOUR_US)
#define BY_HOUR_US_MAX (7 * DAY_US) /* a longer time is by day, unless told */
#define ROWS 12u
#define PICTURE_BYTES_MAX (16u << 20)

/* ---- what is asked for ---- */

static const struct series_kind *
kind_of(const char *word)
{
    struct nearest near = {STR_NONE, 0};
    char hint[80];

    for (size_t i = 0; i < SERIES_WHAT_COUNT; i++) {
        nearest_try(&near, str_from(word), str_from(series_kinds[i].name));
        if (strcmp(series_kinds[i].name, word) == 0)
            return &series_kinds[i];
    }
    if (near.best.ptr != NULL)
        snprintf(hint, sizeof(hint), "did you mean %.*s?", STR_ARGS(near.best));
    else
        snprintf(hint, sizeof(hint), "one of spend, tokens, calls, latency");
    (void)complain(CLI_USAGE, word, "it cannot be drawn", hint);
    return NULL;
}

static enum cli_exit
times_of(const struct cli_local *local, struct series *series)
{
    const char *last = local_value(local, "last"), *by = local_value(local, "by");
    uint64_t last_us = (uint64_t)DAY_US;
    int64_t now_us = clock_wall_us(), count;

    if (last != NULL && (!clock_parse_duration(str_from(last), &last_us) || last_us == 0 ||
                         last_us > (uint64_t)(SERIES_STEPS_MAX * DAY_US)))
        return complain(CLI_USAGE, "--last", last, "a span as 24h, 7d or 90d");
    if (by != NULL && strcmp(by, "hour") != 0 && strcmp(by, "day") != 0)
        return complain(CLI_USAGE, "--by", by, "hour or day");
    series->by_hour = by != NULL ? strcmp(by, "hour") == 0 : last_us <= (uint64_t)BY_HOUR_US_MAX;
    series->step_us = series->by_hour ? HOUR_US : DAY_US;
    count = ((int64_t)last_us + series->step_us - 1) / series->step_us;
    if (count > (int64_t)SERIES_STEPS_MAX)
        return complain(CLI_USAGE, "--last", last, "that is too much by hour: leave out --by hour");
    series->count = (uint32_t)count;
    /* The step that is under way is the last one. */
    series->since_us = (now_us / series->step_us - (count - 1)) * series->step_us;
    return CLI_DONE;
}

static void
write_filters(const struct cli_local *local, struct jw *jw)
{
    static const char *const filters[] = {"tenant", "model", "key"};

    for (size_t i = 0; i < COUNT_OF(filters); i++)
        if (local_value(local, filters[i]) != NULL)
            jw_key_cstr(jw, filters[i], local_value(local, filters[i]));
}

/* "tenant acme, model gpt-5", or "". */
static void
name_filters(const struct cli_local *local, struct buf *out)
{
    static const char *const filters[] = {"tenant", "model", "key"};

    for (size_t i = 0; i < COUNT_OF(filters); i++)
        if (local_value(local, filters[i]) != NULL)
            buf_add_fmt(out, "%s%s %s", out->len > 0 ? ", " : "", filters[i],
                        local_value(local, filters[i]));
    buf_add_char(out, '\0');
}

static void
write_request(const struct cli_local *local, const struct series *series, struct buf *out)
{
    struct jw jw;

    jw_init(&jw, out);
    jw_object(&jw);
    jw_key_cstr(&jw, "cmd", series->kind == &series_kinds[SERIES_LATENCY] ? "latency" : "usage");
    jw_key(&jw, "args");
    jw_object(&jw);
    write_filters(local, &jw);
    jw_key_cstr(&jw, "by", series->by_hour ? "hour" : "day");
    jw_key_time(&jw, "since", series->since_us);
    jw_key_time(&jw, "until", series->since_us + series->count * series->step_us);
    jw_object_end(&jw);
    jw_object_end(&jw);
}

/* ---- what was answered ---- */

static int64_t
number_at(struct js_value row, const char *path)
{
    int64_t n = 0;

    return js_i64(print_at(row, path), &n) ? n : 0;
}

static void
take_values(enum series_what what, struct js_value row, struct series_step *step)
{
    static const char *const inputs[] = {"tokens.input", "tokens.cache_read", "tokens.cache_write_5m",
                                         "tokens.cache_write_1h"};

    step->known = true;
    switch (what) {
    case SERIES_SPEND:
        if (!ucr_parse(js_get(row, STR("charge")).raw, &step->value[0]))
            step->known = false;
        break;
    case SERIES_TOKENS:
        for (size_t i = 0; i < COUNT_OF(inputs); i++)
            step->value[0] += number_at(row, inputs[i]);
        step->value[1] = number_at(row, "tokens.output");
        break;
    case SERIES_CALLS: step->value[0] = number_at(row, "calls"); break;
    case SERIES_LATENCY:
        step->value[0] = number_at(row, "total_us.p50");
        step->value[1] = number_at(row, "total_us.p99");
        break;
    case SERIES_WHAT_COUNT: break;
    }
}

static void
take_rows(struct js_value result, struct series *series)
{
    enum series_what what = (enum series_what)(series->kind - series_kinds);
    struct js_value key, row;
    struct js_iter it;

    for (js_iter_init(&it, js_get(result, STR("rows"))); js_next(&it, &key, &row);) {
        struct js_value at = js_get(row, series->by_hour ? STR("hour") : STR("day"));
        int64_t at_us;

        if (!clock_parse(at.raw, &at_us) || at_us < series->since_us ||
            (at_us - series->since_us) / series->step_us >= (int64_t)series->count)
            continue;
        take_values(what, row, &series->steps[(at_us - series->since_us) / series->step_us]);
    }
}

static enum cli_exit
ask(const struct cli_local *local, struct series *series)
{
    const struct ask_of of = {.state_dir = local->state_dir, .noun = "plot"};
    struct buf request, answer;
    struct js_value result;
    enum cli_exit status;

    buf_init(&request, 65000);
    write_request(local, series, &request);
    status = request.failed ? complain(CLI_USAGE, "plot", "that is too much text", NULL)
                            : ask_ledger(&of, buf_str(&request), &answer);
    if (!request.failed) {
        if (status == CLI_DONE)
            status = ask_result("plot", buf_str(&answer), &result);
        if (status == CLI_DONE)
            take_rows(result, series);
        ask_forget(&answer);
    }
    buf_free(&request);
    return status;
}

/* ---- how it is shown ---- */

/* Whether text may have more than ASCII: by what the environment says of characters. */
static bool
is_ascii(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *locale = getenv(names[i]);

        if (locale != NULL && locale[0] != '\0')
            return strcasestr(locale, "utf-8") == NULL && strcasestr(locale, "utf8") == NULL;
    }
    return true;
}

static void
write_json(const struct series *series, struct buf *out)
{
    bool spend = series->kind == &series_kinds[SERIES_SPEND];
    struct jw jw;

    jw_init(&jw, out);
    jw_object(&jw);
    jw_key_cstr(&jw, "what", series->kind->name);
    jw_key_cstr(&jw, "by", series->by_hour ? "hour" : "day");
    jw_key_time(&jw, "since", series->since_us);
    jw_key_time(&jw, "until", series->since_us + series->count * series->step_us);
    jw_key(&jw, "steps");
    jw_array(&jw);
    for (uint32_t i = 0; i < series->count; i++) {
        const struct series_step *step = &series->steps[i];

        jw_object(&jw);
        jw_key_time(&jw, "at", series->since_us + i * series->step_us);
        for (unsigned v = 0; v < SERIES_VALUES && series->kind->value[v] != NULL; v++) {
            jw_key(&jw, series->kind->value[v]);
            if (spend)
                jw_ucr(&jw, step->value[v]);
            else if (!series->kind->summed && !step->known)
                jw_null(&jw);
            else
                jw_i64(&jw, step->value[v]);
        }
        jw_object_end(&jw);
    }
    jw_array_end(&jw);
    jw_object_end(&jw);
    buf_add_char(out, '\n');
}

static enum cli_exit
show(const struct cli_local *local, const struct series *series)
{
    const char *svg = local_value(local, "svg");
    struct plot_text how = {.width = term_width(), .rows = ROWS, .ascii = is_ascii()};
    enum cli_exit status = CLI_DONE;
    struct buf out;
    int rc = 0;

    buf_init(&out, PICTURE_BYTES_MAX);
    if (svg != NULL)
        plot_svg(series, &out);
    else if (local->json)
        write_json(series, &out);
    else
        plot_text(series, &how, &out);
    if (out.failed)
        status = complain(CLI_FAILED, "plot", "there is no memory", NULL);
    else if (svg != NULL && strcmp(svg, "-") != 0)
        rc = whole_file_write(svg, buf_str(&out));
    else if (fwrite(out.ptr, 1, out.len, stdout) != out.len || fflush(stdout) != 0)
        status = complain(CLI_FAILED, "plot", "standard output cannot be written", NULL);
    if (rc < 0)
        status = complain(CLI_FAILED, svg, strerror(-rc), NULL);
    buf_free(&out);
    return status;
}

enum cli_exit
plot_run(const struct cli_local *local)
{
    struct series series = {.kind = kind_of(local->arguments[0])};
    enum cli_exit status;
    struct buf of;

    if (series.kind == NULL)
        return CLI_USAGE;
    status = times_of(local, &series);
    if (status != CLI_DONE)
        return status;
    series.steps = calloc(series.count, sizeof(*series.steps));
    if (series.steps == NULL)
        return complain(CLI_FAILED, "plot", "there is no memory", NULL);
    buf_init(&of, 4096);
    name_filters(local, &of);
    series.of = of.failed ? "" : of.ptr;
    status = ask(local, &series);
    if (status == CLI_DONE)
        status = show(local, &series);
    buf_free(&of);
    free(series.steps);
    return status;
}
