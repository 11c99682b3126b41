/* The same bars as a picture: shapes with a colour of their own in light and in dark, and words for each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/series.h"

#define WIDTH 960
#define HEIGHT 360
#define LEFT 80 /* of the drawing */
#define TOP 56
#define RIGHT (WIDTH - 16)
#define BOTTOM (HEIGHT - 48)
#define TICKS 4
#define LABEL_PX 52

/* Text and names come from tenants and routes.conf. */
static void
put_escaped(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++)
        switch (*text) {
        case '<': buf_add_fmt(out, "&lt;"); break;
        case '>': buf_add_fmt(out, "&gt;"); break;
        case '&': buf_add_fmt(out, "&amp;"); break;
        case '"': buf_add_fmt(out, "&quot;"); break;
        default:
            if ((unsigned char)*text >= 0x20)
                buf_add_char(out, *text);
            break;
        }
}

static void
put_head(const struct series *series, struct buf *out)
{
    struct buf title;

    buf_init(&title, 4096);
    series_title(series, &title);
    buf_add_char(&title, '\0');
    buf_add_fmt(out,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" "
                "aria-labelledby=\"t d\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n"
                "<title id=\"t\">turnpike: %s</title>\n<desc id=\"d\">",
                WIDTH, HEIGHT, series->kind->title);
    put_escaped(out, title.failed ? "" : title.ptr);
    buf_add_fmt(out, "</desc>\n"
                     "<style>\n"
                     ".back{fill:#ffffff}.text{fill:#1c2024}.line{stroke:#c8ccd0}\n"
                     ".first{fill:#1f6feb}.second{fill:#9ec5fe}\n"
                     "@media (prefers-color-scheme:dark){.back{fill:#14171a}.text{fill:#e6e9ec}"
                     ".line{stroke:#3d444b}.first{fill:#6ea8fe}.second{fill:#2f4f7f}}\n"
                     "</style>\n<rect class=\"back\" width=\"%d\" height=\"%d\"/>\n"
                     "<text class=\"text\" x=\"16\" y=\"28\">",
                WIDTH, HEIGHT);
    put_escaped(out, title.failed ? "" : title.ptr);
    buf_add_fmt(out, "</text>\n");
    buf_free(&title);
}

/* In hundredths of a pixel. */
static long
y_of(int64_t value, int64_t top)
{
    return BOTTOM * 100L - (long)((__int128)value * ((BOTTOM - TOP) * 100L) / top);
}

static void
put_upright_axis(const struct series *series, int64_t top, struct buf *out)
{
    for (int i = 0; i <= TICKS; i++) {
        int64_t value = (int64_t)((__int128)top * i / TICKS);
        int y = BOTTOM - (BOTTOM - TOP) * i / TICKS;
        char text[32];

        series->kind->text(value, text, sizeof(text));
        buf_add_fmt(out,
                    "<line class=\"line\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>"
                    "<text class=\"text\" x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n",
                    LEFT, RIGHT, y, y, LEFT - 8, y + 4, text);
    }
}

static void
put_bar(const struct series *series, uint32_t i, int64_t from, int64_t to, int64_t top, unsigned v,
        struct buf *out)
{
    long each = (RIGHT - LEFT) * 100L / (long)series->count, gap = each > 400 ? 100 : each / 4;
    long x = LEFT * 100L + (RIGHT - LEFT) * 100L * (long)i / (long)series->count;
    long y = y_of(to, top), high = y_of(from, top) - y;
    char at[RFC3339_LEN + 1], text[32];

    if (to <= from)
        return;
    clock_rfc3339(series->since_us + i * series->step_us, at);
    series->kind->text(series->steps[i].value[v], text, sizeof(text));
    buf_add_fmt(out,
                "<rect class=\"%s\" x=\"%ld.%02ld\" y=\"%ld.%02ld\" width=\"%ld.%02ld\" "
                "height=\"%ld.%02ld\"><title>%.10s %.5s %s %s</title></rect>\n",
                v == 0 ? "first" : "second", x / 100, x % 100, y / 100, y % 100, (each - gap) / 100,
                (each - gap) % 100, high / 100, high % 100, at, at + 11, series->kind->value[v],
                text);
}

static void
put_bars(const struct series *series, int64_t top, struct buf *out)
{
    for (uint32_t i = 0; i < series->count; i++) {
        const int64_t *value = series->steps[i].value;
        int64_t base = series->kind->stacked ? value[0] : 0;

        /* The one that holds the other first, so that both are seen. */
        if (series->kind->value[1] != NULL)
            put_bar(series, i, base, base + value[1], top, 1, out);
        put_bar(series, i, 0, value[0], top, 0, out);
    }
}

static void
put_flat_axis(const struct series *series, struct buf *out)
{
    long end = 0;

    for (uint32_t i = 0; i < series->count; i++) {
        long x = LEFT + (RIGHT - LEFT) * (long)i / (long)series->count;
        char label[SERIES_LABEL_LEN + 1];

        if (x < end || x + LABEL_PX > WIDTH || !series_label(series, i, label))
            continue;
        buf_add_fmt(out, "<text class=\"text\" x=\"%ld\" y=\"%d\">%s</text>\n", x, BOTTOM + 20, label);
        end = x + LABEL_PX;
    }
}

static void
put_legend(const struct series *series, struct buf *out)
{
    static const char *const classes[] = {"first", "second"};

    for (unsigned v = 0; v < SERIES_VALUES && series->kind->value[1] != NULL; v++) {
        int x = LEFT + (int)v * 120;

        buf_add_fmt(out,
                    "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"12\" height=\"12\"/>"
                    "<text class=\"text\" x=\"%d\" y=\"%d\">%s</text>\n",
                    classes[v], x, HEIGHT - 20, x + 18, HEIGHT - 9, series->kind->value[v]);
    }
}

void
plot_svg(const struct series *series, struct buf *out)
{
    int64_t top = series_top(series);

    put_head(series, out);
    put_upright_axis(series, top, out);
    put_bars(series, top, out);
    put_flat_axis(series, out);
    put_legend(series, out);
    buf_add_fmt(out, "</svg>\n");
}
