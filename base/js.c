/*
 * The walk over JSON text. It relies on a check (js_check.c) that was passed before, and so skips
 * a string by looking for its end only, and a container by counting brackets outside of strings.
 * It stays inside the text whatever that holds.
 */
#include "base/js.h"

#include <stdarg.h>
#include <string.h>

#include "base/js_text.h"
#include "base/scan.h"
#include "base/str.h"
#include "base/utf8.h"

void
js_position(struct str text, size_t offset, unsigned *line, unsigned *column)
{
    size_t end = MIN(offset, text.len), line_start = 0;

    *line = 1;
    for (size_t at = str_find(text, '\n', 0); at < end; at = str_find(text, '\n', at + 1)) {
        line_start = at + 1;
        ++*line;
    }
    *column = (unsigned)(end - line_start) + 1;
}

/* ---- the walk ---------------------------------------------------------------------------- */

/* The index that this thread has in use, and where in it something was looked for last: what is looked
 * for next is mostly near. */
static _Thread_local const struct js_index *index_now;
static _Thread_local size_t index_at;

void
js_index_use(const struct js_index *index)
{
    index_now = index != NULL && index->used > 0 ? index : NULL;
    index_at = 0;
}

/* What starts at p; NULL: not in the index. */
static const struct js_slot *
index_find(const char *p)
{
    const struct js_index *index = index_now;
    size_t low = index_at, high, step = 1;
    uint32_t start;

    if (p < index->text || (size_t)(p - index->text) >= index->text_len)
        return NULL;
    start = (uint32_t)(p - index->text);
    if (index->slots[low].start > start) {
        high = low;
        low = 0;
    } else {
        for (; low + step < index->used && index->slots[low + step].start <= start; step *= 2)
            low += step;
        high = MIN(low + step, index->used);
    }
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (index->slots[middle].start <= start)
            low = middle;
        else
            high = middle;
    }
    index_at = low;
    return index->slots[low].start == start ? &index->slots[low] : NULL;
}

/* The same, behind its end; NULL, too, when that lies beyond `end`. */
static inline const char *
index_behind(const char *p, const char *end, bool *escaped)
{
    const struct js_slot *slot = index_now != NULL ? index_find(p) : NULL;
    const char *behind = slot != NULL ? index_now->text + slot->end : NULL;

    if (behind == NULL || behind > end)
        return NULL;
    *escaped = slot->escaped;
    return behind;
}

/* Inside a string, not behind a backslash: behind the closing quote, or end. Sets *escaped when
 * there is a backslash on the way. */
static const char *
skip_string_rest(const char *p, const char *end, bool *escaped)
{
#ifdef SCAN_SSE2
    uint64_t carry = 0;

    for (; end - p >= SCAN_BLOCK; p += SCAN_BLOCK) {
        struct scan_vectors block = scan_block(p);
        uint64_t slashes = scan_block_equal(&block, '\\', 0);
        uint64_t quotes = scan_block_equal(&block, '"', 0) & ~scan_escaped(slashes, &carry);

        if (quotes != 0) {
            *escaped |= (slashes & (quotes - 1) & ~quotes) != 0;
            return p + __builtin_ctzll(quotes) + 1;
        }
        *escaped |= slashes != 0;
    }
    if (carry != 0 && p < end)
        p++;
#endif
    for (p = scan_quote(p, end); p < end; p = scan_quote(p, end)) {
        if (*p == '"')
            return p + 1;
        *escaped = true;
        if (end - p < 2)
            break;
        p += 2; /* the byte after a backslash is never the closing quote */
    }
    return end;
}

/* At the opening quote: behind the closing one, or end. Most strings are short keys and words,
 * for which a look at the first bytes is enough. */
static inline const char *
skip_string(const char *p, const char *end, bool *escaped)
{
    const char *behind;

    *escaped = false;
    p++;
#ifdef SCAN_SSE2
    if (LIKELY(end - p >= 16)) {
        unsigned hits = scan_bits_quote(p);

        if (hits != 0 && LIKELY(p[__builtin_ctz(hits)] == '"'))
            return p + __builtin_ctz(hits) + 1;
    }
#endif
    behind = index_behind(p - 1, end, escaped);
    return behind != NULL ? behind : skip_string_rest(p, end, escaped);
}

/* At the opening bracket: behind the closing one, or end. */
static const char *
skip_container(const char *p, const char *end)
{
    const char *behind = index_behind(p, end, &(bool){false});
    unsigned depth = 1;
    bool escaped;

    if (behind != NULL)
        return behind;
    p++;
#ifdef SCAN_SSE2
    uint64_t carry = 0, in_string = 0; /* all bits set when the block starts inside of one */

    for (; end - p >= SCAN_BLOCK; p += SCAN_BLOCK) {

        struct scan_vectors block = scan_block(p);
        uint64_t escapes = scan_escaped(scan_block_equal(&block, '\\', 0), &carry);
        uint64_t quotes = scan_block_equal(&block, '"', 0) & ~escapes;
        uint64_t strings = scan_parity(quotes) ^ in_string;
        uint64_t opening = scan_block_equal(&block, '{', 0x20) & ~strings;
        uint64_t brackets = (scan_block_equal(&block, '}', 0x20) & ~strings) | opening;

        in_string = 0 - (strings >> 63);
        for (; brackets != 0; brackets &= brackets - 1) {
            if ((opening & brackets & (0 - brackets)) != 0)
                depth++;
            else if (--depth == 0)
                return p + __builtin_ctzll(brackets) + 1;
        }
    }
    if (carry != 0 && p < end)
        p++;
    if (in_string != 0)
        p = skip_string_rest(p, end, &escaped);
#endif
    for (p = scan_bracket(p, end); p < end; p = scan_bracket(p, end)) {
        if (*p == '"') {
            p = skip_string(p, end, &escaped);
            continue;
        }
        if ((*p++ | 0x20) == '{') /* or '[' */
            depth++;
        else if (--depth == 0)
            return p;
    }
    return end;
}

/* White space and punctuation, which end a number or a literal. */
static inline bool
ends_word(char c)
{
    static const bool ends[256] = {
        [' '] = 1, ['\t'] = 1, ['\n'] = 1, ['\r'] = 1, [','] = 1, [':'] = 1,
        [']'] = 1, ['}'] = 1,  ['['] = 1,  ['{'] = 1,  ['"'] = 1};

    return ends[(uint8_t)c];
}

/* At the opening quote of a string: behind it. NULL for a lone quote, which no checked text has. */
static inline const char *
walk_string(const char *p, const char *end, struct js_value *out)
{
    const char *after = skip_string(p, end, &out->escaped);

    if (UNLIKELY(after - p < 2))
        return NULL;
    out->type = JS_STRING;
    out->raw = js_between(p + 1, after - 1);
    return after;
}

/* At a value's first byte: behind the value, or NULL when it is none. */
static inline const char *
walk_value(const char *p, const char *end, struct js_value *out)
{
    const char *after = p + 1;

    if (*p == '"')
        return walk_string(p, end, out);
    out->type = js_type_of(*p);
    out->escaped = false;
    switch (out->type) {
    case JS_STRING:
    case JS_NONE: return NULL;
    case JS_ARRAY:
    case JS_OBJECT: after = skip_container(p, end); break;
    case JS_NULL:
    case JS_FALSE:
    case JS_TRUE:
    case JS_NUMBER:
        while (after < end && !ends_word(*after))
            after++;
        break;
    }
    out->raw = js_between(p, after);
    return after;
}

void
js_iter_init(struct js_iter *it, struct js_value value)
{
    *it = (struct js_iter){.index = UINT32_MAX, .is_object = value.type == JS_OBJECT};
    if ((value.type == JS_OBJECT || value.type == JS_ARRAY) && value.raw.len >= 2) {
        it->at = value.raw.ptr + 1;
        it->end = value.raw.ptr + value.raw.len - 1;
    }
}

bool
js_next(struct js_iter *it, struct js_value *key, struct js_value *value)
{
    const char *end = it->end, *p = js_skip_space(it->at, end);

    if (p < end && *p == ',' && it->index != UINT32_MAX)
        p = js_skip_space(p + 1, end);
    if (it->is_object) {
        if (p >= end || *p != '"' || (p = walk_string(p, end, key)) == NULL)
            goto end;
        p = js_skip_space(p, end);
        if (p >= end || *p != ':')
            goto end;
        p = js_skip_space(p + 1, end);
    } else {
        *key = (struct js_value){.type = JS_NONE};
    }
    if (p >= end || (p = walk_value(p, end, value)) == NULL)
        goto end;
    it->at = p;
    it->index++;
    return true;

end:
    it->at = it->end;
    *key = *value = (struct js_value){.type = JS_NONE};
    return false;
}

struct js_value
js_get(struct js_value object, struct str name)
{
    struct js_value key, value;
    struct js_iter it;

    if (object.type == JS_OBJECT) {
        for (js_iter_init(&it, object); js_next(&it, &key, &value);) {
            if (js_str_eq(key, name))
                return value;
        }
    }
    return (struct js_value){.type = JS_NONE};
}

struct js_value
js_path(struct js_value object, const char *name, ...)
{
    struct js_value value = object;
    va_list names;

    va_start(names, name);
    for (; name != NULL; name = va_arg(names, const char *))
        value = js_get(value, str_from(name));
    va_end(names);
    return value;
}

/* ---- what a value means ------------------------------------------------------------------ */

/*
 * Takes one unit of a string's raw text: an escape (both halves of a surrogate pair) or a run of
 * bytes that stand for themselves. The unit's text is *unit: the run in place, or in decoded.
 */
static const char *
unescape_unit(const char *p, const char *end, char decoded[4], struct str *unit)
{
    static const char meaning[256] = {
        ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
        ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
    };
    uint32_t code;

    if (*p != '\\') {
        const char *run_end = memchr(p, '\\', (size_t)(end - p));

        run_end = run_end == NULL ? end : run_end;
        *unit = js_between(p, run_end);
        return run_end;
    }
    *unit = (struct str){decoded, 1};
    if (end - p < 2 || p[1] != 'u' || end - p < 6) {
        decoded[0] = end - p < 2 ? '\\' : meaning[(uint8_t)p[1]];
        return end - p < 2 ? end : p + 2;
    }
    code = js_hex4(p + 2);
    p += 6;
    if (code >= 0xd800 && code <= 0xdbff && end - p >= 6 && p[0] == '\\' && p[1] == 'u' &&
        (js_hex4(p + 2) & 0xfc00) == 0xdc00) {
        code = 0x10000 + ((code & 0x3ff) << 10 | (js_hex4(p + 2) & 0x3ff));
        p += 6;
    } else if (code >= 0xd800 && code <= 0xdfff) {
        code = 0xfffd; /* alone */
    }
    unit->len = utf8_encode(code, decoded);
    return p;
}

bool
js_is(struct js_value value, enum js_type type)
{
    return value.type == type;
}

bool
js_str_eq(struct js_value value, struct str s)
{
    const char *p, *end;
    char decoded[4];
    struct str unit;

    if (value.type != JS_STRING)
        return false;
    if (!value.escaped)
        return str_eq(value.raw, s);
    for (p = value.raw.ptr, end = p + value.raw.len; p < end;) {
        p = unescape_unit(p, end, decoded, &unit);
        if (!str_starts_with(s, unit))
            return false;
        s = (struct str){s.ptr + unit.len, s.len - unit.len};
    }
    return s.len == 0;
}

struct str
js_unescape(struct js_value value, char *out, size_t out_cap)
{
    const char *p, *end;
    char decoded[4];
    struct str unit;
    size_t len = 0;

    if (value.type != JS_STRING)
        return STR_NONE;
    if (!value.escaped)
        return value.raw;
    if (out_cap < value.raw.len)
        return STR_NONE;
    for (p = value.raw.ptr, end = p + value.raw.len; p < end;) {
        p = unescape_unit(p, end, decoded, &unit);
        ASSERT(unit.len <= out_cap - len);
        memcpy(out + len, unit.ptr, unit.len);
        len += unit.len;
    }
    return (struct str){out, len};
}

bool
js_count(struct js_value value, uint64_t max, uint64_t *out)
{
    return value.type == JS_NUMBER && str_to_count(value.raw, max, out);
}

bool
js_i64(struct js_value value, int64_t *out)
{
    struct str digits = value.raw;
    bool negative;
    uint64_t n;

    if (value.type != JS_NUMBER)
        return false;
    negative = digits.ptr[0] == '-';
    if (negative)
        digits = (struct str){digits.ptr + 1, digits.len - 1};
    if (!str_to_u64(digits, &n) || n > (uint64_t)INT64_MAX + negative)
        return false;
    *out = (int64_t)(negative ? 0 - n : n);
    return true;
}

bool
js_bool(struct js_value value, bool otherwise)
{
    return value.type == JS_TRUE || (value.type != JS_FALSE && otherwise);
}
