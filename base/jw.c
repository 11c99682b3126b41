#include "base/jw.h"

#include <string.h>

#include "base/clock.h"
#include "base/scan.h"
#include "base/str.h"
#include "base/ucr.h"
#include "base/utf8.h"

#define JW_DEPTH_MAX 32
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

void
jw_init(struct jw *jw, struct buf *buf)
{
    *jw = (struct jw){.buf = buf};
}

/* The bit of the container we are in. */
static uint32_t
bit(const struct jw *jw)
{
    ASSERT(jw->depth > 0);
    return UINT32_C(1) << (jw->depth - 1);
}

static bool
in_object(const struct jw *jw)
{
    return jw->depth > 0 && (jw->is_object & bit(jw)) != 0;
}

static void
put_comma(struct jw *jw)
{
    if (jw->depth == 0)
        return;
    if ((jw->has_members & bit(jw)) != 0)
        buf_add_char(jw->buf, ',');
    jw->has_members |= bit(jw);
}

/* Before each value: in an object its key has been written, in an array it may need a comma. */
static void
before_value(struct jw *jw)
{
    ASSERT(jw->after_key == in_object(jw));
    if (!jw->after_key)
        put_comma(jw);
    jw->after_key = false;
}

static void
container_start(struct jw *jw, char bracket, bool is_object)
{
    before_value(jw);
    ASSERT(jw->depth < JW_DEPTH_MAX);
    jw->depth++;
    jw->has_members &= ~bit(jw);
    jw->is_object = is_object ? jw->is_object | bit(jw) : jw->is_object & ~bit(jw);
    buf_add_char(jw->buf, bracket);
}

static void
container_end(struct jw *jw, char bracket, bool is_object)
{
    ASSERT(jw->depth > 0);
    ASSERT(in_object(jw) == is_object);
    ASSERT(!jw->after_key);
    jw->depth--;
    buf_add_char(jw->buf, bracket);
}

void
jw_object(struct jw *jw)
{
    container_start(jw, '{', true);
}

void
jw_object_end(struct jw *jw)
{
    container_end(jw, '}', true);
}

void
jw_array(struct jw *jw)
{
    container_start(jw, '[', false);
}

void
jw_array_end(struct jw *jw)
{
    container_end(jw, ']', false);
}

static void
put_escape(struct buf *buf, char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char letter[256] = {
        ['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
        ['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't',
    };
    char text[6] = {'\\', 'u', '0', '0', hex[(uint8_t)c >> 4 & 15], hex[c & 15]};

    if (letter[(uint8_t)c] != 0)
        text[1] = letter[(uint8_t)c];
    buf_add(buf, text, letter[(uint8_t)c] != 0 ? 2 : sizeof(text));
}

static void
put_string(struct buf *buf, struct str s)
{
    const char *p = s.len > 0 ? s.ptr : "", *end = p + s.len;

    buf_add_char(buf, '"');
    while (p < end) {
        const char *special = scan_special(p, end);
        size_t len;

        buf_add(buf, p, (size_t)(special - p));
        p = special;
        if (p == end)
            break;
        if ((*p & 0x80) == 0) {
            put_escape(buf, *p++);
            continue;
        }
        len = utf8_sequence(p, (size_t)(end - p));
        if (len > 0)
            buf_add(buf, p, len);
        else
            buf_add_str(buf, STR(REPLACEMENT));
        p += MAX(len, (size_t)1);
    }
    buf_add_char(buf, '"');
}

void
jw_key(struct jw *jw, const char *name)
{
    size_t len = strlen(name);

    ASSERT(in_object(jw));
    ASSERT(!jw->after_key);
    ASSERT_SLOW(scan_special(name, name + len) == name + len);
    put_comma(jw);
    jw->after_key = true;
    if (!buf_reserve(jw->buf, len + 3))
        return;
    jw->buf->ptr[jw->buf->len] = '"';
    memcpy(jw->buf->ptr + jw->buf->len + 1, name, len);
    memcpy(jw->buf->ptr + jw->buf->len + 1 + len, "\":", 2);
    jw->buf->len += len + 3;
}

void
jw_key_of(struct jw *jw, struct str name)
{
    ASSERT(in_object(jw));
    ASSERT(!jw->after_key);
    put_comma(jw);
    put_string(jw->buf, name);
    buf_add_char(jw->buf, ':');
    jw->after_key = true;
}

void
jw_str(struct jw *jw, struct str s)
{
    before_value(jw);
    put_string(jw->buf, s);
}

void
jw_cstr(struct jw *jw, const char *c_string)
{
    if (c_string == NULL)
        jw_null(jw);
    else
        jw_str(jw, str_from(c_string));
}

void
jw_u64(struct jw *jw, uint64_t n)
{
    before_value(jw);
    buf_add_u64(jw->buf, n);
}

void
jw_i64(struct jw *jw, int64_t n)
{
    before_value(jw);
    buf_add_i64(jw->buf, n);
}

void
jw_bool(struct jw *jw, bool b)
{
    jw_raw(jw, b ? STR("true") : STR("false"));
}

void
jw_null(struct jw *jw)
{
    jw_raw(jw, STR("null"));
}

void
jw_ucr(struct jw *jw, int64_t ucr)
{
    char text[UCR_TEXT_LEN + 1];
    size_t len = ucr_text(ucr, text);

    jw_str(jw, (struct str){text, len});
}

void
jw_time(struct jw *jw, int64_t wall_us)
{
    char text[RFC3339_LEN + 1];

    if (wall_us == 0) {
        jw_null(jw);
        return;
    }
    clock_rfc3339(wall_us, text);
    jw_str(jw, (struct str){text, RFC3339_LEN});
}

void
jw_raw(struct jw *jw, struct str json)
{
    ASSERT(json.len > 0);
    before_value(jw);
    buf_add_str(jw->buf, json);
}

void
jw_quoted(struct jw *jw, struct str inner)
{
    before_value(jw);
    buf_add_char(jw->buf, '"');
    if (inner.len > 0)
        buf_add_str(jw->buf, inner);
    buf_add_char(jw->buf, '"');
}

void
jw_js(struct jw *jw, struct js_value value)
{
    if (value.type == JS_STRING)
        jw_quoted(jw, value.raw);
    else if (value.type == JS_NONE)
        jw_null(jw);
    else
        jw_raw(jw, value.raw);
}

void
jw_key_js(struct jw *jw, const char *name, struct js_value value)
{
    jw_key(jw, name);
    jw_js(jw, value);
}

void
jw_key_quoted(struct jw *jw, const char *name, struct str inner)
{
    jw_key(jw, name);
    jw_quoted(jw, inner);
}

void
jw_key_str(struct jw *jw, const char *name, struct str s)
{
    jw_key(jw, name);
    jw_str(jw, s);
}

void
jw_key_cstr(struct jw *jw, const char *name, const char *c_string)
{
    jw_key(jw, name);
    jw_cstr(jw, c_string);
}

void
jw_key_u64(struct jw *jw, const char *name, uint64_t n)
{
    jw_key(jw, name);
    jw_u64(jw, n);
}

void
jw_key_i64(struct jw *jw, const char *name, int64_t n)
{
    jw_key(jw, name);
    jw_i64(jw, n);
}

void
jw_key_bool(struct jw *jw, const char *name, bool b)
{
    jw_key(jw, name);
    jw_bool(jw, b);
}

void
jw_key_ucr(struct jw *jw, const char *name, int64_t ucr)
{
    jw_key(jw, name);
    jw_ucr(jw, ucr);
}

void
jw_key_time(struct jw *jw, const char *name, int64_t wall_us)
{
    jw_key(jw, name);
    jw_time(jw, wall_us);
}
