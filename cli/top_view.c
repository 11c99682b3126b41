#include "cli/top_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/term.h"
#include "base/ucr.h"
#include "cli/print.h"
#include "cli/quantity.h"

#define LINE_BYTES 1024
#define ROWS_MAX 256u
#define NAME_WIDTH_MIN 16u

const char *const top_sort_name[TOP_SORT_COUNT] = {
    [TOP_CALLS] = "calls",   [TOP_TOKENS] = "tokens", [TOP_SPEND] = "spend",
    [TOP_ERRORS] = "errors", [TOP_NAME] = "name",
};

/* ---- figures ---- */

static uint64_t
count_at(struct js_value value, const char *path)
{
    struct js_value at = print_at(value, path);
    uint64_t n = 0;

    return at.type == JS_NUMBER && str_to_u64(at.raw, &n) ? n : 0;
}

static int64_t
ucr_at(struct js_value value, const char *path)
{
    struct js_value at = print_at(value, path);
    int64_t ucr = 0;

    return at.type == JS_STRING && ucr_parse(at.raw, &ucr) ? ucr : 0;
}

/* A thousand times as many a second. */
static uint64_t
rate_milli(uint64_t count, uint64_t us)
{
    return us > 0 ? (uint64_t)((unsigned __int128)count * 1000000000u / us) : 0;
}

/* What of a count came between the answers, or in the last minute, a second. */
static uint64_t
rate_of(const struct top_view *v, const char *name)
{
    char path[64];
    uint64_t now, before;

    if (v->before.type == JS_NONE) {
        snprintf(path, sizeof(path), "last_minute.%s", name);
        return rate_milli(count_at(v->now, path), count_at(v->now, "last_minute.ms") * 1000);
    }
    snprintf(path, sizeof(path), "since_start.%s", name);
    now = count_at(v->now, path);
    before = count_at(v->before, path);
    return rate_milli(now > before ? now - before : 0, v->between_us);
}

static int64_t
spend_a_second_ucr(const struct top_view *v)
{
    int64_t ucr;
    uint64_t us = v->between_us;

    if (v->before.type == JS_NONE) {
        ucr = ucr_at(v->now, "last_minute.charge");
        us = count_at(v->now, "last_minute.ms") * 1000;
    } else {
        ucr = ucr_at(v->now, "since_start.charge") - ucr_at(v->before, "since_start.charge");
    }
    return us > 0 && ucr > 0 ? (int64_t)((__int128)ucr * 1000000 / (__int128)us) : 0;
}

/* ---- lines ---- */

/* Appends a line, cut at the width. Text is of characters one column wide. */
static void
put_line(const struct top_view *v, struct buf *out, enum term_paint paint, const char *text)
{
    size_t width = 0, len = 0;

    while (text[len] != '\0') {
        bool begins = ((unsigned char)text[len] & 0xc0) != 0x80;

        if (begins && width == v->width)
            break;
        width += begins;
        len++;
    }
    buf_add_fmt(out, "%s%.*s%s\n", term_on(stdout, paint), (int)len, text, term_off(stdout, paint));
}

static void
put_head(const struct top_view *v, struct buf *out)
{
    char left[128], right[32], line[LINE_BYTES], uptime[24];
    size_t used;

    quantity_span(count_at(v->now, "uptime_s"), uptime, sizeof(uptime));
    print_value(print_at(v->now, "at"), right, sizeof(right));
    snprintf(left, sizeof(left), "turnpike  up %s  generation %llu  lag %llu%s%s", uptime,
             (unsigned long long)count_at(v->now, "generation"),
             (unsigned long long)count_at(v->now, "lag"),
             js_bool(print_at(v->now, "draining"), false) ? "  draining" : "",
             js_bool(print_at(v->now, "full"), false) ? "  TAKES NO CALLS" : "");
    used = strlen(left) + 2 + strlen(right);
    snprintf(line, sizeof(line), "%s%*s%s", left, (int)(v->width > used ? v->width - used + 2 : 2), "",
             right);
    put_line(v, out, TERM_HEAD, line);
}

static void
put_rates(const struct top_view *v, struct buf *out)
{
    char calls[16], in[16], tokens[16], spend[UCR_TEXT_LEN + 1], line[LINE_BYTES];
    uint64_t minute = count_at(v->now, "last_minute.calls");
    uint64_t errors = count_at(v->now, "last_minute.errors");

    quantity_milli(rate_of(v, "calls"), calls, sizeof(calls));
    quantity_milli(rate_of(v, "tokens_in"), in, sizeof(in));
    quantity_milli(rate_of(v, "tokens_out"), tokens, sizeof(tokens));
    ucr_text(spend_a_second_ucr(v), spend);
    snprintf(line, sizeof(line), "a second   calls %s   tokens in %s out %s   credits %s", calls, in,
             tokens, spend);
    put_line(v, out, TERM_PLAIN, line);
    snprintf(line, sizeof(line),
             "now        in flight %llu   waiting %llu   connections %llu   errors %llu.%llu%%",
             (unsigned long long)count_at(v->now, "calls_open"),
             (unsigned long long)count_at(v->now, "calls_waiting"),
             (unsigned long long)count_at(v->now, "connections"),
             (unsigned long long)(minute > 0 ? errors * 100 / minute : 0),
             (unsigned long long)(minute > 0 ? errors * 1000 / minute % 10 : 0));
    put_line(v, out, TERM_PLAIN, line);
}

static void
time_text(const struct top_view *v, const char *path, char *out, size_t cap)
{
    uint64_t us = count_at(v->now, path);

    if (us == 0)
        snprintf(out, cap, "-");
    else
        quantity_us(us, out, cap);
}

static void
put_times(const struct top_view *v, struct buf *out)
{
    static const char *const paths[] = {"first_byte_us.p50", "first_byte_us.p99", "total_us.p50",
                                        "total_us.p99"};
    char text[COUNT_OF(paths)][16], window[24], line[LINE_BYTES];

    for (size_t i = 0; i < COUNT_OF(paths); i++)
        time_text(v, paths[i], text[i], sizeof(text[i]));
    quantity_span(count_at(v->now, "window_ms") / 1000, window, sizeof(window));
    snprintf(line, sizeof(line), "first byte p50 %s p99 %s   whole call p50 %s p99 %s   of %s", text[0],
             text[1], text[2], text[3], window);
    put_line(v, out, TERM_PLAIN, line);
}

/* ---- tables ---- */

struct section {
    const char *member; /* of the answer: an array */
    const char *key;    /* of a row: its name */
    const char *head;   /* of the name's column */
    const char *columns;
    void (*row)(const struct top_view *v, struct js_value row, char *out, size_t cap);
    bool sorted;
    unsigned share; /* rows that it gets at most when there is no room for all */
};

static void
upstream_row(const struct top_view *v, struct js_value row, char *out, size_t cap)
{
    char state[16], first[16];
    uint64_t ppm = count_at(row, "error_ppm");

    (void)v;
    print_value(print_at(row, "state"), state, sizeof(state));
    quantity_us(count_at(row, "first_byte_us"), first, sizeof(first));
    snprintf(out, cap, "%-9s %9llu %10s %6llu.%llu%% %11llu", state,
             (unsigned long long)count_at(row, "in_flight"),
             count_at(row, "first_byte_us") > 0 ? first : "-", (unsigned long long)ppm / 10000,
             (unsigned long long)ppm / 1000 % 10, (unsigned long long)count_at(row, "attempts"));
}

static void
count_row(const struct top_view *v, struct js_value row, char *out, size_t cap)
{
    char rate[16], in[16], tokens[16], charge[UCR_TEXT_LEN + 1];

    quantity_milli(rate_milli(count_at(row, "calls"), count_at(v->now, "window_ms") * 1000), rate,
                   sizeof(rate));
    quantity_milli(count_at(row, "tokens_in") * 1000, in, sizeof(in));
    quantity_milli(count_at(row, "tokens_out") * 1000, tokens, sizeof(tokens));
    ucr_text(ucr_at(row, "charge"), charge);
    snprintf(out, cap, "%7llu %7s %6llu %7s %7s %12s", (unsigned long long)count_at(row, "calls"), rate,
             (unsigned long long)count_at(row, "errors"), in, tokens, charge);
}

static uint64_t
calls_before(const struct top_view *v, uint64_t pid)
{
    struct js_value key, row;
    struct js_iter it;

    for (js_iter_init(&it, print_at(v->before, "workers")); js_next(&it, &key, &row);)
        if (count_at(row, "pid") == pid)
            return count_at(row, "calls_total");
    return UINT64_MAX;
}

static void
worker_row(const struct top_view *v, struct js_value row, char *out, size_t cap)
{
    uint64_t total = count_at(row, "calls_total"), before = UINT64_MAX;
    char rate[16] = "-";

    if (v->before.type != JS_NONE)
        before = calls_before(v, count_at(row, "pid"));
    if (before <= total)
        quantity_milli(rate_milli(total - before, v->between_us), rate, sizeof(rate));
    snprintf(out, cap, "%10llu %9llu %7s %11llu %11llu%s", (unsigned long long)count_at(row, "generation"),
             (unsigned long long)count_at(row, "calls"), rate,
             (unsigned long long)count_at(row, "connections"), (unsigned long long)total,
             js_bool(print_at(row, "draining"), false) ? " draining" : "");
}

static const struct section sections[] = {
    {"upstreams", "upstream", "UPSTREAM", "STATE     IN FLIGHT FIRST BYTE   ERRORS    ATTEMPTS",
     upstream_row, false, 4},
    {"models", "model", "MODEL", "  CALLS  CALLS/S ERRORS  TOK IN TOK OUT      CREDITS", count_row, true, 4},
    {"tenants", "tenant", "TENANT", "  CALLS  CALLS/S ERRORS  TOK IN TOK OUT      CREDITS", count_row, true,
     3},
    {"workers", "pid", "WORKER", "GENERATION IN FLIGHT CALLS/S CONNECTIONS      IN ALL", worker_row, false, 2},
};

struct row {
    struct js_value value;
    char name[128];
    uint64_t tokens;
    uint64_t calls, errors;
    int64_t charge_ucr;
    size_t at; /* as it came */
};

static enum top_sort row_sort; /* qsort() hands nothing on */

static int
by_number(uint64_t a, uint64_t b)
{
    return a > b ? -1 : a < b;
}

static int
row_cmp(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int order = 0;

    switch (row_sort) {
    case TOP_CALLS: order = by_number(x->calls, y->calls); break;
    case TOP_TOKENS: order = by_number(x->tokens, y->tokens); break;
    case TOP_SPEND: order = x->charge_ucr > y->charge_ucr ? -1 : x->charge_ucr < y->charge_ucr; break;
    case TOP_ERRORS: order = by_number(x->errors, y->errors); break;
    case TOP_NAME: order = strcmp(x->name, y->name); break;
    case TOP_SORT_COUNT: break;
    }
    return order != 0 ? order : x->at < y->at ? -1 : 1;
}

static void
row_name(const struct section *section, struct js_value value, char *out, size_t cap)
{
    char credential[64];
    size_t len;

    if (js_is(print_at(value, section->key), JS_NULL)) {
        str_copy(STR("(others)"), out, cap);
        return;
    }
    print_value(print_at(value, section->key), out, cap);
    if (!js_is(print_at(value, "credential"), JS_STRING))
        return;
    print_value(print_at(value, "credential"), credential, sizeof(credential));
    len = strlen(out);
    snprintf(out + len, cap - len, "/%s", credential);
}

static size_t
rows_read(const struct top_view *v, const struct section *section, struct row *rows)
{
    struct js_value key, value;
    struct js_iter it;
    size_t count = 0;

    for (js_iter_init(&it, print_at(v->now, section->member));
         count < ROWS_MAX && js_next(&it, &key, &value); count++) {
        rows[count] = (struct row){
            .value = value,
            .calls = count_at(value, "calls"),
            .errors = count_at(value, "errors"),
            .tokens = count_at(value, "tokens_in") + count_at(value, "tokens_out"),
            .charge_ucr = ucr_at(value, "charge"),
            .at = count,
        };
        row_name(section, value, rows[count].name, sizeof(rows[count].name));
    }
    row_sort = v->sort;
    if (section->sorted)
        qsort(rows, count, sizeof(*rows), row_cmp);
    return count;
}

/* A name in so many columns, cut with a mark where it is longer. */
static void
put_name(char *out, size_t cap, const char *name, size_t width)
{
    size_t columns = 0, len = 0;

    for (; name[len] != '\0'; len++) {
        bool begins = ((unsigned char)name[len] & 0xc0) != 0x80;

        if (begins && columns == width)
            break;
        columns += begins;
    }
    if (name[len] != '\0') {
        /* One place back, to a character's beginning, for the mark. */
        do {
            len--;
        } while (((unsigned char)name[len] & 0xc0) == 0x80);
        snprintf(out, cap, "%.*s~", (int)len, name);
        return;
    }
    snprintf(out, cap, "%s%*s", name, (int)(width - columns), "");
}

static enum term_paint
row_paint(struct js_value row)
{
    struct js_value state = print_at(row, "state");

    if (js_str_eq(state, STR("open")) || js_str_eq(state, STR("disabled")))
        return TERM_BAD;
    return js_str_eq(state, STR("half-open")) ? TERM_WARN : TERM_PLAIN;
}

static void
put_section(const struct top_view *v, struct buf *out, const struct section *section,
            const struct row *rows, size_t count)
{
    size_t columns = strlen(section->columns);
    size_t width = v->width > columns + 1 + NAME_WIDTH_MIN ? v->width - columns - 1 : NAME_WIDTH_MIN;
    char name[160], text[256], line[LINE_BYTES];

    if (count == 0)
        return;
    width = MIN(width, 40u);
    put_line(v, out, TERM_PLAIN, "");
    snprintf(line, sizeof(line), "%-*s %s", (int)width, section->head, section->columns);
    put_line(v, out, TERM_HEAD, line);
    for (size_t i = 0; i < count; i++) {
        put_name(name, sizeof(name), rows[i].name, width);
        section->row(v, rows[i].value, text, sizeof(text));
        snprintf(line, sizeof(line), "%s %s", name, text);
        put_line(v, out, row_paint(rows[i].value), line);
    }
}

#define HEAD_LINES 4u

/* How many rows of each there is room for: one each from above to below, then each its share, then what is
 * left. One that gets none is not shown at all, nor its head. */
static void
share_rows(const struct top_view *v, const size_t *count, size_t *shown)
{
    size_t used = HEAD_LINES + (v->foot != NULL ? 2 : 0);
    size_t left = v->height > used ? v->height - used : 0;

    for (size_t s = 0; s < COUNT_OF(sections); s++) {
        shown[s] = v->height == 0 ? count[s] : count[s] > 0 && left >= 3;
        left -= v->height == 0 ? 0 : 3 * shown[s];
    }
    for (int pass = 0; pass < 2 && v->height > 0; pass++)
        for (size_t s = 0; s < COUNT_OF(sections); s++) {
            size_t most = pass == 0 ? MIN(count[s], sections[s].share) : count[s];
            size_t more = shown[s] > 0 && most > shown[s] ? MIN(most - shown[s], left) : 0;

            shown[s] += more;
            left -= more;
        }
}

void
top_view_write(const struct top_view *v, struct buf *out)
{
    static struct row rows[COUNT_OF(sections)][ROWS_MAX];
    size_t count[COUNT_OF(sections)], shown[COUNT_OF(sections)];

    for (size_t s = 0; s < COUNT_OF(sections); s++)
        count[s] = rows_read(v, &sections[s], rows[s]);
    share_rows(v, count, shown);
    put_head(v, out);
    put_rates(v, out);
    put_times(v, out);
    for (size_t s = 0; s < COUNT_OF(sections); s++)
        put_section(v, out, &sections[s], rows[s], shown[s]);
    if (v->foot != NULL) {
        put_line(v, out, TERM_PLAIN, "");
        put_line(v, out, TERM_HEAD, v->foot);
    }
}
