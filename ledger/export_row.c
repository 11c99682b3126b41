/*
 * A record as a line. CSV as RFC 4180 has it: lines end with CR LF, a field with a comma, a quote, a CR or LF is
 * quoted. Text that a spreadsheet would take for a formula gets a ' in front: names are other people's.
 */
#include "ledger/export_row.h"

#include <string.h>

#include "base/jw.h"
#include "base/str.h"

enum export_kind {
    EXPORT_TEXT = 0,
    EXPORT_COUNT, /* 0 where the answer has none */
    EXPORT_MAYBE, /* a number or nothing */
    EXPORT_MONEY, /* with six decimals */
    EXPORT_BOOL,
    EXPORT_FLAGS,
    EXPORT_FLAG, /* whether `path` is among the flags */
};

/* Only added to at the end: programs count on the order. */
static const struct column {
    const char *name, *path;
    enum export_kind kind;
} columns[] = {
    {"call", "id", EXPORT_TEXT},
    {"extension", "extension", EXPORT_FLAG},
    {"started", "started", EXPORT_TEXT},
    {"tenant", "tenant", EXPORT_COUNT},
    {"tenant_name", "tenant_name", EXPORT_TEXT},
    {"key", "key", EXPORT_COUNT},
    {"member", "member", EXPORT_COUNT},
    {"project", "project", EXPORT_COUNT},
    {"endpoint", "endpoint", EXPORT_TEXT},
    {"asked", "asked", EXPORT_TEXT},
    {"model", "model", EXPORT_TEXT},
    {"model_reported", "model_reported", EXPORT_TEXT},
    {"channel", "channel", EXPORT_TEXT},
    {"upstream", "upstream", EXPORT_TEXT},
    {"protocol", "protocol", EXPORT_TEXT},
    {"rule", "rule", EXPORT_TEXT},
    {"stream", "stream", EXPORT_BOOL},
    {"status", "status", EXPORT_COUNT},
    {"outcome", "outcome", EXPORT_TEXT},
    {"queue_ms", "queue_ms", EXPORT_COUNT},
    {"first_byte_ms", "first_byte_ms", EXPORT_MAYBE},
    {"duration_ms", "duration_ms", EXPORT_MAYBE},
    {"input", "tokens.input", EXPORT_COUNT},
    {"cache_read", "tokens.cache_read", EXPORT_COUNT},
    {"cache_write_5m", "tokens.cache_write_5m", EXPORT_COUNT},
    {"cache_write_1h", "tokens.cache_write_1h", EXPORT_COUNT},
    {"output", "tokens.output", EXPORT_COUNT},
    {"reasoning", "tokens.reasoning", EXPORT_COUNT},
    {"audio_input", "tokens.audio_input", EXPORT_COUNT},
    {"image_input", "tokens.image_input", EXPORT_COUNT},
    {"audio_output", "tokens.audio_output", EXPORT_COUNT},
    {"image_output", "tokens.image_output", EXPORT_COUNT},
    {"images", "tokens.images", EXPORT_COUNT},
    {"seconds", "tokens.seconds", EXPORT_COUNT},
    {"characters", "tokens.characters", EXPORT_COUNT},
    {"searches", "tokens.searches", EXPORT_COUNT},
    {"held", "held", EXPORT_MONEY},
    {"charge", "charge", EXPORT_MONEY},
    {"uncollected", "uncollected", EXPORT_MONEY},
    {"operator_cost", "operator_cost", EXPORT_MONEY},
    {"price_version", "price_version", EXPORT_TEXT},
    {"flags", "flags", EXPORT_FLAGS},
};

/* ---- values ---- */

static struct js_value
value_at(struct js_value object, const char *path)
{
    struct str rest = str_from(path);

    while (rest.ptr != NULL && js_is(object, JS_OBJECT)) {
        struct str name = str_split(rest, '.', &rest);

        object = js_get(object, name);
    }
    return object;
}

/* "12.5" as "12.500000". */
static void
add_money(struct buf *out, struct str credits)
{
    size_t point = str_find(credits, '.', 0);
    size_t decimals = point < credits.len ? credits.len - point - 1 : 0;

    buf_add_str(out, credits);
    if (point == credits.len)
        buf_add_char(out, '.');
    for (; decimals < 6; decimals++)
        buf_add_char(out, '0');
}

static bool
has_flag(struct js_value row, const char *flag)
{
    struct js_value none, value;
    struct js_iter it;

    for (js_iter_init(&it, js_get(row, STR("flags"))); js_next(&it, &none, &value);)
        if (str_eq(value.raw, str_from(flag)))
            return true;
    return false;
}

static void
add_number(struct buf *out, struct js_value value, const char *otherwise)
{
    if (js_is(value, JS_NUMBER))
        buf_add_str(out, value.raw);
    else
        buf_add_str(out, str_from(otherwise));
}

/* ---- CSV ---- */

void
export_csv_text(struct buf *out, struct str text)
{
    bool formula = text.len > 0 && memchr("=+-@\t\r\n", text.ptr[0], 7) != NULL;
    bool quote = false;

    for (size_t i = 0; i < text.len && !quote; i++)
        quote = memchr(",\"\r\n", text.ptr[i], 4) != NULL;
    if (quote)
        buf_add_char(out, '"');
    if (formula)
        buf_add_char(out, '\'');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"')
            buf_add_char(out, '"');
        buf_add_char(out, text.ptr[i]);
    }
    if (quote)
        buf_add_char(out, '"');
}

static void
csv_string(struct buf *out, struct js_value value)
{
    char scratch[4096];

    if (js_is(value, JS_STRING) && value.raw.len < sizeof(scratch))
        export_csv_text(out, js_unescape(value, scratch, sizeof(scratch)));
}

static void
csv_flags(struct buf *out, struct js_value flags)
{
    struct js_value none, value;
    struct js_iter it;

    for (js_iter_init(&it, flags); js_next(&it, &none, &value);) {
        if (it.index > 0)
            buf_add_char(out, ' ');
        buf_add_str(out, value.raw);
    }
}

static void
csv_value(struct buf *out, struct js_value row, const struct column *column)
{
    struct js_value value = value_at(row, column->path);

    switch (column->kind) {
    case EXPORT_TEXT: csv_string(out, value); break;
    case EXPORT_COUNT: add_number(out, value, "0"); break;
    case EXPORT_MAYBE: add_number(out, value, ""); break;
    case EXPORT_MONEY:
        if (js_is(value, JS_STRING)) /* who asks may not be told */
            add_money(out, value.raw);
        break;
    case EXPORT_BOOL:
        buf_add_str(out, js_bool(value, false) ? STR("true") : STR("false"));
        break;
    case EXPORT_FLAGS: csv_flags(out, value); break;
    case EXPORT_FLAG:
        buf_add_str(out, has_flag(row, column->path) ? STR("true") : STR("false"));
        break;
    }
}

/* ---- JSON ---- */

static void
json_value(struct jw *jw, struct js_value row, const struct column *column)
{
    struct js_value value = value_at(row, column->path);
    char text[64];
    struct buf money;

    switch (column->kind) {
    case EXPORT_TEXT:
    case EXPORT_MAYBE:
    case EXPORT_FLAGS: jw_js(jw, value); break;
    case EXPORT_COUNT:
        if (js_is(value, JS_NUMBER))
            jw_js(jw, value);
        else
            jw_u64(jw, 0);
        break;
    case EXPORT_MONEY:
        if (!js_is(value, JS_STRING)) {
            jw_null(jw);
            break;
        }
        buf_init(&money, sizeof(text));
        add_money(&money, value.raw);
        jw_str(jw, buf_str(&money));
        buf_free(&money);
        break;
    case EXPORT_BOOL: jw_bool(jw, js_bool(value, false)); break;
    case EXPORT_FLAG: jw_bool(jw, has_flag(row, column->path)); break;
    }
}

/* ---- lines ---- */

void
export_head(enum export_format format, struct buf *out)
{
    if (format != EXPORT_CSV)
        return;
    for (size_t i = 0; i < COUNT_OF(columns); i++)
        buf_add_fmt(out, "%s%s", i > 0 ? "," : "", columns[i].name);
    buf_add_str(out, STR("\r\n"));
}

void
export_row(enum export_format format, struct js_value row, struct buf *out)
{
    struct jw jw;

    if (format == EXPORT_CSV) {
        for (size_t i = 0; i < COUNT_OF(columns); i++) {
            if (i > 0)
                buf_add_char(out, ',');
            csv_value(out, row, &columns[i]);
        }
        buf_add_str(out, STR("\r\n"));
        return;
    }
    jw_init(&jw, out);
    jw_object(&jw);
    for (size_t i = 0; i < COUNT_OF(columns); i++) {
        jw_key(&jw, columns[i].name);
        json_value(&jw, row, &columns[i]);
    }
    jw_object_end(&jw);
    buf_add_char(out, '\n');
}
