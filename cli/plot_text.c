/* Bars of blocks, each an eighth of a row fine; or of plain characters, each a whole row. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/term.h"
#include "cli/series.h"

#define AXIS_WIDTH 10u /* of figures, and the line beside them */
#define TICKS 4u       /* figures on the upright axis, 0 aside */

struct drawing {
    const struct series *series;
    const struct plot_text *how;
    int64_t top;
    unsigned bar; /* columns of one step, the gap behind it among them */
    unsigned gap;
};

/* Eighths of rows that a value is high; a value that is not nothing is one at least. */
static unsigned
eighths(const struct drawing *d, int64_t value)
{
    unsigned all = d->how->rows * 8;
    unsigned high = (unsigned)((__int128)value * all / d->top);

    return value > 0 ? MAX(high, 1u) : 0;
}

/* One cell of a step, in row `row` from below: what it shows. */
static const char *
cell_of(const struct drawing *d, const struct series_step *step, unsigned row)
{
    static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    unsigned first = eighths(d, step->value[0]);
    unsigned all = eighths(d, series_height(d->series->kind, step));
    unsigned bottom = row * 8;
    bool two = d->series->kind->value[1] != NULL;

    if (d->how->ascii)
        return first >= bottom + 4 || (row == 0 && first > 0) ? "#"
               : all >= bottom + 4 || (row == 0 && all > 0)   ? ":"
                                                              : " ";
    if (!two)
        return blocks[first <= bottom ? 0 : MIN(first - bottom, 8u)];
    /* Two shades meet at a whole row: there is no block of both. */
    if (first >= bottom + 4 || (row == 0 && first > 0))
        return "█";
    return all >= bottom + 4 || (row == 0 && all > 0) ? "░" : " ";
}

static void
put_figure(const struct drawing *d, unsigned row, struct buf *out)
{
    unsigned every = MAX(d->how->rows / TICKS, 1u);
    char text[32] = "";
    bool ticked = (row + 1) % every == 0;

    /* The figure stands where a row ends. */
    if (ticked)
        d->series->kind->text((int64_t)((__int128)d->top * (row + 1) / d->how->rows), text,
                              sizeof(text));
    buf_add_fmt(out, "%*s %s", (int)AXIS_WIDTH - 2, text,
                d->how->ascii ? "|" : ticked ? "┤" : "│");
}

static void
put_row(const struct drawing *d, unsigned row, struct buf *out)
{
    put_figure(d, row, out);
    for (uint32_t i = 0; i < d->series->count; i++) {
        const char *cell = cell_of(d, &d->series->steps[i], row);

        for (unsigned c = 0; c < d->bar - d->gap; c++)
            buf_add_fmt(out, "%s", cell);
        if (d->gap > 0 && i + 1 < d->series->count)
            buf_add_fmt(out, "%*s", (int)d->gap, "");
    }
    while (out->len > 0 && out->ptr[out->len - 1] == ' ')
        out->len--;
    buf_add_char(out, '\n');
}

static void
put_axis(const struct drawing *d, struct buf *out)
{
    unsigned columns = d->series->count * d->bar, at = 0, end = 0;

    buf_add_fmt(out, "%*s %s", (int)AXIS_WIDTH - 2, "0", d->how->ascii ? "+" : "└");
    for (unsigned c = 0; c < columns; c++)
        buf_add_fmt(out, "%s", d->how->ascii ? "-" : "─");
    buf_add_fmt(out, "\n%*s", (int)AXIS_WIDTH, "");
    for (uint32_t i = 0; i < d->series->count; i++) {
        char label[SERIES_LABEL_LEN + 1];

        at = i * d->bar;
        /* Two columns apart at least, and whole. */
        if ((end > 0 && at < end + 2) || at + SERIES_LABEL_LEN > d->how->width - AXIS_WIDTH ||
            !series_label(d->series, i, label))
            continue;
        buf_add_fmt(out, "%*s%s", (int)(at - end), "", label);
        end = at + SERIES_LABEL_LEN;
    }
    buf_add_char(out, '\n');
}

static void
put_legend(const struct drawing *d, struct buf *out)
{
    const struct series_kind *kind = d->series->kind;

    if (kind->value[1] != NULL)
        buf_add_fmt(out, "%*s%s %s  %s %s\n", (int)AXIS_WIDTH, "", d->how->ascii ? "#" : "█",
                    kind->value[0], d->how->ascii ? ":" : "░", kind->value[1]);
}

/* A line of text in as many as it takes. */
static void
put_title(const struct drawing *d, struct buf *out)
{
    struct buf title;
    size_t at = 0;

    buf_init(&title, 4096);
    series_title(d->series, &title);
    buf_add_char(&title, '\0');
    for (const char *word = title.failed ? "" : title.ptr; *word != '\0';) {
        size_t len = strcspn(word, " ");

        if (at > 0 && at + 1 + len > d->how->width) {
            buf_add_char(out, '\n');
            at = 0;
        }
        buf_add_fmt(out, "%s%.*s", at > 0 ? " " : "", (int)len, word);
        at += len + (at > 0);
        word += len + strspn(word + len, " ");
    }
    buf_add_char(out, '\n');
    buf_free(&title);
}

void
plot_text(const struct series *series, const struct plot_text *how, struct buf *out)
{
    unsigned columns = how->width > AXIS_WIDTH + 8 ? how->width - AXIS_WIDTH : 8;
    struct series_step *steps = calloc(columns, sizeof(*steps));
    struct drawing d = {.how = how};
    struct series folded;

    if (steps == NULL)
        return;
    folded = series_fold(series, columns, steps);
    d.series = &folded;
    d.top = series_top(&folded);
    d.bar = MIN(MAX(columns / folded.count, 1u), 6u);
    d.gap = d.bar > 2 ? 1 : 0;
    put_title(&(struct drawing){.series = series, .how = how}, out);
    if (folded.step_us != series->step_us)
        buf_add_fmt(out, "each bar is %llu %ss\n",
                    (unsigned long long)(folded.step_us / series->step_us),
                    series->by_hour ? "hour" : "day");
    buf_add_char(out, '\n');
    for (unsigned row = how->rows; row-- > 0;)
        put_row(&d, row, out);
    put_axis(&d, out);
    put_legend(&d, out);
    free(steps);
}
