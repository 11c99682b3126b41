#include "cli/print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/term.h"

#define CELL_BYTES 256
#define COLUMNS_MAX 16

struct js_value
print_at(struct js_value object, const char *path)
{
    struct str rest = str_from(path);

    while (rest.ptr != NULL && js_is(object, JS_OBJECT)) {
        struct str name = str_split(rest, '.', &rest);

        object = js_get(object, name);
    }
    return object;
}

static size_t
append(char *out, size_t cap, size_t len, const char *text)
{
    return len + str_copy(str_from(text), out + len, cap - len);
}

static void
print_budget(struct js_value value, char *out, size_t cap)
{
    char limit[64], period[16], used[64];
    size_t len;

    if (!js_is(js_get(value, STR("limit")), JS_STRING) ||
        !js_is(js_get(value, STR("used")), JS_STRING)) {
        str_copy(STR("-"), out, cap);
        return;
    }
    print_value(js_get(value, STR("limit")), limit, sizeof(limit));
    str_copy(js_get(value, STR("period")).raw, period, sizeof(period));
    print_value(js_get(value, STR("used")), used, sizeof(used));
    len = append(out, cap, 0, limit);
    if (strcmp(period, "total") != 0) {
        len = append(out, cap, len, "/");
        len = append(out, cap, len, period);
    }
    len = append(out, cap, len, " (used ");
    len = append(out, cap, len, used);
    append(out, cap, len, ")");
}

static void
print_list(struct js_value value, char *out, size_t cap)
{
    struct js_value name, item;
    struct js_iter it;
    size_t len = 0;

    out[0] = '\0';
    for (js_iter_init(&it, value); js_next(&it, &name, &item);) {
        char text[CELL_BYTES];

        /* Lists in an answer hold plain strings: no deeper than this. */
        if (js_is(item, JS_ARRAY) || js_is(item, JS_OBJECT))
            continue;
        print_value(item, text, sizeof(text));
        if (len > 0)
            len = append(out, cap, len, ",");
        len = append(out, cap, len, text);
    }
}

void
print_value(struct js_value value, char *out, size_t cap)
{
    char scratch[4 * CELL_BYTES];
    size_t len;

    ASSERT(cap > 0);
    out[0] = '\0';
    switch (value.type) {
    case JS_NONE:
    case JS_NULL: str_copy(STR("-"), out, cap); return;
    case JS_OBJECT: print_budget(value, out, cap); return;
    case JS_ARRAY: print_list(value, out, cap); return;
    case JS_TRUE: str_copy(STR("yes"), out, cap); return;
    case JS_FALSE: str_copy(STR("no"), out, cap); return;
    case JS_NUMBER: str_copy(value.raw, out, cap); return;
    case JS_STRING: break;
    }
    if (value.raw.len >= sizeof(scratch)) {
        str_copy(STR("(too long)"), out, cap);
        return;
    }
    len = str_copy(js_unescape(value, scratch, sizeof(scratch)), out, cap);
    /* Some of it was said by upstreams: it must not move the cursor. */
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
            out[i] = '?';
    /* 2026-11-21T03:04:05.123456Z: nobody needs the fraction here. */
    if (len == 27 && out[10] == 'T' && out[19] == '.' && out[26] == 'Z')
        memcpy(out + 19, "Z", 2);
}

static size_t
width_of(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

/* What is well and what is not, by where it stands. */
static enum term_paint
paint_of(const char *path, const char *text)
{
    static const struct {
        const char *path, *text;
        enum term_paint paint;
    } paints[] = {
        {"state", "closed", TERM_GOOD},    {"state", "open", TERM_BAD},
        {"state", "half-open", TERM_WARN}, {"state", "disabled", TERM_BAD},
        {"outcome", "ok", TERM_GOOD},      {"outcome", "upstream-error", TERM_BAD},
        {"outcome", "cut", TERM_BAD},      {"outcome", "client-gone", TERM_WARN},
        {"disabled", "yes", TERM_BAD},     {"draining", "yes", TERM_WARN},
        {"ok", "yes", TERM_GOOD},          {"ok", "no", TERM_BAD},
    };

    for (size_t i = 0; i < COUNT_OF(paints); i++)
        if (strcmp(path, paints[i].path) == 0 && strcmp(text, paints[i].text) == 0)
            return paints[i].paint;
    return TERM_PLAIN;
}

static void
put_cell(const char *text, size_t width, bool right, bool last, enum term_paint paint)
{
    size_t pad = width - MIN(width_of(text), width);

    if (right)
        printf("%*s", (int)pad, "");
    printf("%s%s%s", term_on(stdout, paint), text, term_off(stdout, paint));
    if (!right && !last)
        printf("%*s", (int)pad, "");
    printf("%s", last ? "\n" : "  ");
}

static unsigned
column_count(const struct print_column *columns)
{
    unsigned count = 0;

    while (columns[count].path != NULL)
        count++;
    ASSERT(count <= COLUMNS_MAX);
    return count;
}

/* Twice over the rows: what is shown is short, and a table in memory would be one more thing to
 * bound. */
void
print_table(struct js_value array, const struct print_column *columns, const char *nothing)
{
    unsigned count = column_count(columns);
    size_t width[COLUMNS_MAX];
    struct js_value name, row;
    struct js_iter it;
    char cell[CELL_BYTES];
    bool any = false;

    for (unsigned c = 0; c < count; c++)
        width[c] = width_of(columns[c].head);
    for (js_iter_init(&it, array); js_next(&it, &name, &row);) {
        any = true;
        for (unsigned c = 0; c < count; c++) {
            print_value(print_at(row, columns[c].path), cell, sizeof(cell));
            width[c] = MAX(width[c], width_of(cell));
        }
    }
    if (!any) {
        printf("%s\n", nothing);
        return;
    }
    for (unsigned c = 0; c < count; c++)
        put_cell(columns[c].head, width[c], columns[c].right, c + 1 == count, TERM_HEAD);
    for (js_iter_init(&it, array); js_next(&it, &name, &row);)
        for (unsigned c = 0; c < count; c++) {
            print_value(print_at(row, columns[c].path), cell, sizeof(cell));
            put_cell(cell, width[c], columns[c].right, c + 1 == count,
                     paint_of(columns[c].path, cell));
        }
}

void
print_fields(struct js_value object, const struct print_column *fields)
{
    size_t width = 0;
    char cell[4 * CELL_BYTES];

    for (unsigned i = 0; fields[i].path != NULL; i++)
        width = MAX(width, width_of(fields[i].head));
    for (unsigned i = 0; fields[i].path != NULL; i++) {
        struct js_value value = print_at(object, fields[i].path);

        if (js_is(value, JS_NONE) || js_is(value, JS_NULL))
            continue;
        print_value(value, cell, sizeof(cell));
        if (cell[0] == '\0')
            continue;
        put_cell(fields[i].head, width, false, false, TERM_HEAD);
        put_cell(cell, 0, false, true, paint_of(fields[i].path, cell));
    }
}
