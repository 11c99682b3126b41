/*
 * One call on one line of 80 columns:
 *
 *     time     status tenant     model             upstream     total  tokens     charge
 *
 * More columns go to the names, and from 115 on to the call's ID. Where it is no terminal nothing is cut.
 */
#include "cli/tail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/term.h"

#define CELL_BYTES 128
#define CELLS_MAX 9
#define COLUMNS_MIN 80u
#define ID_COLUMNS 115u /* from here on there is room for IDs */
#define ID_WIDTH 32u

struct cell {
    unsigned width;
    bool right;
    enum term_paint paint;
    char text[CELL_BYTES];
};

static const char *const heads[CELLS_MAX] = {"TIME",  "ST",     "TENANT", "MODEL", "UPSTREAM",
                                             "TOTAL", "TOKENS", "CHARGE", "CALL"};
enum { TIME, STATUS, TENANT, MODEL, UPSTREAM, TOTAL, TOKENS, CHARGE, CALL };

static unsigned
lay_out(struct cell cells[CELLS_MAX], unsigned columns)
{
    static const unsigned widths[CELLS_MAX] = {8, 3, 10, 17, 11, 6, 9, 8, 31};
    bool id = columns == 0 || columns >= ID_COLUMNS;
    unsigned used = id ? COLUMNS_MIN + ID_WIDTH : COLUMNS_MIN;
    unsigned more = columns > used ? columns - used : 0;

    for (unsigned i = 0; i < CELLS_MAX; i++)
        cells[i] = (struct cell){.width = widths[i], .right = i >= TOTAL && i <= CHARGE};
    cells[MODEL].width += MIN(more / 2, 30u);
    cells[UPSTREAM].width += MIN(more / 4, 20u);
    cells[TENANT].width += MIN(more / 4, 20u);
    return id ? CELLS_MAX : CELLS_MAX - 1;
}

/* Bytes of text that take so many columns; what is cut ends in a dot. */
static void
cut(char *text, unsigned width)
{
    unsigned seen = 0;

    for (char *c = text; *c != '\0'; c++) {
        if (((unsigned char)*c & 0xc0) == 0x80)
            continue;
        if (++seen > width) {
            *c = '\0';
            while (c > text && ((unsigned char)*--c & 0xc0) == 0x80)
                ;
            memcpy(c, ".", 2);
            return;
        }
    }
}

static unsigned
width_of(const char *text)
{
    unsigned width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void
put(struct cell *cells, unsigned count, unsigned columns)
{
    for (unsigned i = 0; i < count; i++) {
        struct cell *cell = &cells[i];
        unsigned pad;

        if (columns != 0)
            cut(cell->text, cell->width);
        pad = cell->width - MIN(width_of(cell->text), cell->width);
        if (i + 1 == count && !cell->right)
            pad = 0;
        printf("%s%*s%s%s%s%*s", i > 0 ? " " : "", cell->right ? (int)pad : 0, "",
               term_on(stdout, cell->paint), cell->text, term_off(stdout, cell->paint),
               cell->right ? 0 : (int)pad, "");
    }
    putchar('\n');
}

/* ---- cells ---- */

static void
text_cell(struct cell *cell, struct js_value value)
{
    print_value(value, cell->text, sizeof(cell->text));
    if (cell->text[0] == '\0')
        memcpy(cell->text, "-", 2);
}

/* The time of day of an RFC 3339 time, in UTC. */
static void
time_cell(struct cell *cell, struct js_value value)
{
    char text[64];

    print_value(value, text, sizeof(text));
    if (strlen(text) < 19)
        return;
    text[19] = '\0';
    str_copy(str_from(text + 11), cell->text, sizeof(cell->text));
}

static void
status_cell(struct cell *cell, struct js_value value)
{
    uint64_t status = 0;

    (void)!js_count(value, 999, &status);
    snprintf(cell->text, sizeof(cell->text), status == 0 ? "---" : "%u", (unsigned)status);
    cell->paint = status == 0 || status >= 500 ? TERM_BAD : status >= 400 ? TERM_WARN : TERM_GOOD;
}

/* "12ms", "3.21s", "5m07s". */
static void
duration_cell(struct cell *cell, struct js_value value)
{
    uint64_t ms;

    if (!js_count(value, UINT32_MAX, &ms))
        memcpy(cell->text, "-", 2);
    else if (ms < 1000)
        snprintf(cell->text, sizeof(cell->text), "%ums", (unsigned)ms);
    else if (ms < 100000)
        snprintf(cell->text, sizeof(cell->text), "%u.%02us", (unsigned)(ms / 1000),
                 (unsigned)(ms % 1000 / 10));
    else
        snprintf(cell->text, sizeof(cell->text), "%um%02us", (unsigned)(ms / 60000),
                 (unsigned)(ms / 1000 % 60));
}

static void
count_text(uint64_t n, char *out, size_t cap)
{
    if (n < 10000)
        snprintf(out, cap, "%u", (unsigned)n);
    else if (n < 10000000)
        snprintf(out, cap, "%uk", (unsigned)(n / 1000));
    else
        snprintf(out, cap, "%uM", (unsigned)(n / 1000000));
}

/* In and out; or, when it did not end well, how it ended. */
static void
tokens_cell(struct cell *cell, struct js_value call)
{
    static const struct {
        const char *outcome, *shown;
    } ends[] = {{"client-gone", "gone"},      {"cut", "cut"},
                {"upstream-error", "failed"}, {"hold-ended", "no credit"},
                {"cancelled", "cancelled"},   {"unknown", "died"}};
    struct js_value tokens = js_get(call, STR("tokens")), outcome = js_get(call, STR("outcome"));
    uint64_t in = 0, out = 0;
    char text[2][16];

    if (js_str_eq(outcome, STR("refused")))
        return;
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        if (js_str_eq(outcome, str_from(ends[i].outcome))) {
            str_copy(str_from(ends[i].shown), cell->text, sizeof(cell->text));
            cell->paint = TERM_BAD;
            return;
        }
    (void)!js_count(js_get(tokens, STR("input")), UINT32_MAX, &in);
    (void)!js_count(js_get(tokens, STR("output")), UINT32_MAX, &out);
    count_text(in, text[0], sizeof(text[0]));
    count_text(out, text[1], sizeof(text[1]));
    snprintf(cell->text, sizeof(cell->text), "%s/%s", text[0], text[1]);
}

void
tail_line(struct js_value call, unsigned columns)
{
    struct cell cells[CELLS_MAX];
    unsigned count = lay_out(cells, columns);

    time_cell(&cells[TIME], js_get(call, STR("started")));
    status_cell(&cells[STATUS], js_get(call, STR("status")));
    text_cell(&cells[TENANT], js_get(call, STR("tenant_name")));
    text_cell(&cells[MODEL], js_get(call, STR("model")));
    text_cell(&cells[UPSTREAM], js_get(call, STR("upstream")));
    duration_cell(&cells[TOTAL], js_get(call, STR("duration_ms")));
    tokens_cell(&cells[TOKENS], call);
    if (!js_str_eq(js_get(call, STR("outcome")), STR("refused")))
        text_cell(&cells[CHARGE], js_get(call, STR("charge")));
    text_cell(&cells[CALL], js_get(call, STR("id")));
    put(cells, count, columns);
}

void
tail_head(unsigned columns)
{
    struct cell cells[CELLS_MAX];
    unsigned count = lay_out(cells, columns);

    for (unsigned i = 0; i < count; i++) {
        str_copy(str_from(heads[i]), cells[i].text, sizeof(cells[i].text));
        cells[i].paint = TERM_HEAD;
    }
    put(cells, count, columns);
}
