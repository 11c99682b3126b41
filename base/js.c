/*
 * Two ways over the text.
 *
 * The check reads every byte once and knows the grammar. It keeps no tree: of the containers it
 * is in it remembers one bit each, object or array, which is all that is needed to know what may
 * follow.
 *
 * The walk relies on a check that was passed before, and so skips a string by looking for its end
 * only, and a container by counting brackets outside of strings. It stays inside the text
 * whatever that holds.
 */
#include "base/js.h"

#include <stdarg.h>
#include <string.h>

#include "base/scan.h"
#include "base/str.h"
#include "base/utf8.h"

#define IS_SPACE 1
#define IS_DIGIT 2
#define IS_HEX 4
#define ENDS_WORD 8 /* white space and punctuation, which end a number or a literal */
#define ESCAPES 16  /* what a backslash may stand before, but for u */

static const uint8_t byte_class[256] = {
    [' '] = IS_SPACE | ENDS_WORD,
    ['\t'] = IS_SPACE | ENDS_WORD,
    ['\n'] = IS_SPACE | ENDS_WORD,
    ['\r'] = IS_SPACE | ENDS_WORD,
    [','] = ENDS_WORD,
    [':'] = ENDS_WORD,
    [']'] = ENDS_WORD,
    ['}'] = ENDS_WORD,
    ['['] = ENDS_WORD,
    ['{'] = ENDS_WORD,
    ['"'] = ENDS_WORD | ESCAPES,
    ['\\'] = ESCAPES,
    ['/'] = ESCAPES,
    ['n'] = ESCAPES,
    ['r'] = ESCAPES,
    ['t'] = ESCAPES,
    ['0'] = IS_DIGIT | IS_HEX,
    ['1'] = IS_DIGIT | IS_HEX,
    ['2'] = IS_DIGIT | IS_HEX,
    ['3'] = IS_DIGIT | IS_HEX,
    ['4'] = IS_DIGIT | IS_HEX,
    ['5'] = IS_DIGIT | IS_HEX,
    ['6'] = IS_DIGIT | IS_HEX,
    ['7'] = IS_DIGIT | IS_HEX,
    ['8'] = IS_DIGIT | IS_HEX,
    ['9'] = IS_DIGIT | IS_HEX,
    ['a'] = IS_HEX,
    ['b'] = IS_HEX | ESCAPES,
    ['c'] = IS_HEX,
    ['d'] = IS_HEX,
    ['e'] = IS_HEX,
    ['f'] = IS_HEX | ESCAPES,
    ['A'] = IS_HEX,
    ['B'] = IS_HEX,
    ['C'] = IS_HEX,
    ['D'] = IS_HEX,
    ['E'] = IS_HEX,
    ['F'] = IS_HEX,
};

static inline bool
is(char c, unsigned classes)
{
    return (byte_class[(uint8_t)c] & classes) != 0;
}

static inline const char *
skip_space(const char *p, const char *end)
{
    while (p < end && is(*p, IS_SPACE))
        p++;
    return p;
}

static struct str
between(const char *from, const char *to)
{
    return (struct str){from, (size_t)(to - from)};
}

/* What a value that starts with c is. */
static enum js_type
type_of(char c)
{
    switch (c) {
    case '"': return JS_STRING;
    case '{': return JS_OBJECT;
    case '[': return JS_ARRAY;
    case 't': return JS_TRUE;
    case 'f': return JS_FALSE;
    case 'n': return JS_NULL;
    default: return c == '-' || is(c, IS_DIGIT) ? JS_NUMBER : JS_NONE;
    }
}

/* The four hex digits at p, which are there. */
static uint32_t
hex4(const char *p)
{
    uint32_t n = 0;

    for (int i = 0; i < 4; i++) {
        uint32_t c = (uint8_t)p[i];

        n = n << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return n;
}

/* ---- the check --------------------------------------------------------------------------- */

struct checker {
    const char *at, *end;
    struct js_error err; /* what is set on the first fault */
    const char *err_at;
    bool escaped; /* the string read last has a backslash */
};

static bool
fault(struct checker *c, const char *what, const char *at)
{
    c->err.what = what;
    c->err_at = at;
    return false;
}

/* At a fault of what stands at `at`: the same, or the text's end when there is nothing. */
static bool
fault_or_end(struct checker *c, const char *what, const char *at)
{
    return fault(c, at >= c->end ? "unexpected end" : what, at);
}

/* At the u of \u. Steps over it and, after a high surrogate, over the low one. */
static bool
check_unicode_escape(struct checker *c)
{
    const char *start = c->at - 1;
    uint32_t code;

    for (int i = 1; i <= 4; i++) {
        if (c->at + i >= c->end || !is(c->at[i], IS_HEX))
            return fault_or_end(c, "invalid escape", c->at + i);
    }
    code = hex4(c->at + 1);
    c->at += 5;
    if (code < 0xd800 || code > 0xdfff)
        return true;
    if (code > 0xdbff)
        return fault(c, "lone surrogate", start);
    for (int i = 0; i < 6; i++) {
        if (c->at + i >= c->end)
            return fault(c, "unexpected end", c->end);
        if (i == 0 ? c->at[i] != '\\' : i == 1 ? c->at[i] != 'u' : !is(c->at[i], IS_HEX))
            return fault(c, i < 2 ? "lone surrogate" : "invalid escape", i < 2 ? start : c->at + i);
    }
    code = hex4(c->at + 2);
    if (code < 0xdc00 || code > 0xdfff)
        return fault(c, "lone surrogate", start);
    c->at += 6;
    return true;
}

/* At the backslash. */
static bool
check_escape(struct checker *c)
{
    c->escaped = true;
    c->at++;
    if (c->at >= c->end)
        return fault(c, "unexpected end", c->end);
    if (*c->at == 'u')
        return check_unicode_escape(c);
    if (!is(*c->at, ESCAPES))
        return fault(c, "invalid escape", c->at);
    c->at++;
    return true;
}

/* At a byte of a string that is not plain ASCII and not the closing quote: steps over what it
 * starts, or finds the fault. */
static bool
check_special(struct checker *c)
{
    if (*c->at == '\\')
        return check_escape(c);
    if ((uint8_t)*c->at < 0x20)
        return fault(c, "control character in string", c->at);
    /* Text that is not ASCII rarely is for one character only. */
    do {
        size_t len = utf8_sequence(c->at, (size_t)(c->end - c->at));

        if (len == 0)
            return fault(c, "invalid UTF-8", c->at);
        c->at += len;
    } while (c->at < c->end && (*c->at & 0x80) != 0);
    return true;
}

#ifdef SCAN_SSE2
/*
 * Goes on in a string block by block, up to the closing quote or to where less than a block is
 * left. What is frequent, escapes of one letter and text that is not ASCII, is stepped over in
 * the block's bits.
 */
static bool
check_string_blocks(struct checker *c)
{
    const char *p = c->at, *end = c->end, *next;

    for (; end - p >= SCAN_BLOCK; p = next) {
        struct scan_vectors block = scan_block(p);
        uint64_t hits = scan_block_special(&block);

        next = p + SCAN_BLOCK;
        while (hits != 0) {
            unsigned at = (unsigned)__builtin_ctzll(hits);
            size_t len = 0;

            if (p[at] == '\\' && at < SCAN_BLOCK - 1 && is(p[at + 1], ESCAPES)) {
                c->escaped = true;
                len = 2;
            } else if ((p[at] & 0x80) != 0) {
                len = utf8_sequence(p + at, SCAN_BLOCK - at);
            }
            if (len > 0) {
                hits &= ~(((UINT64_C(1) << len) - 1) << at);
                continue;
            }
            c->at = p + at;
            if (p[at] == '"')
                return true;
            if (!check_special(c))
                return false;
            if (c->at >= next) {
                next = c->at;
                break;
            }
            hits &= ~UINT64_C(0) << (c->at - p);
        }
    }
    c->at = p;
    return true;
}
#endif

/* At the opening quote; ends behind the closing one. */
static bool
check_string(struct checker *c)
{
    const char *soon = c->end - c->at > 33 ? c->at + 33 : c->end;

    c->escaped = false;
    c->at = scan_special(c->at + 1, soon);
#ifdef SCAN_SSE2
    if ((c->at == soon || *c->at != '"') && !check_string_blocks(c))
        return false;
#endif
    for (;;) {
        c->at = scan_special(c->at, c->end);
        if (c->at >= c->end)
            return fault(c, "unexpected end", c->end);
        if (*c->at == '"') {
            c->at++;
            return true;
        }
        if (!check_special(c))
            return false;
    }
}

static bool
check_digits(struct checker *c)
{
    const char *start = c->at;

    while (c->at < c->end && is(*c->at, IS_DIGIT))
        c->at++;
    return c->at > start || fault_or_end(c, "invalid number", c->at);
}

static bool
check_number(struct checker *c)
{
    if (*c->at == '-')
        c->at++;
    if (c->at < c->end && *c->at == '0') {
        c->at++;
        if (c->at < c->end && is(*c->at, IS_DIGIT))
            return fault(c, "invalid number", c->at);
    } else if (!check_digits(c)) {
        return false;
    }
    if (c->at < c->end && *c->at == '.') {
        c->at++;
        if (!check_digits(c))
            return false;
    }
    if (c->at < c->end && (*c->at | 0x20) == 'e') {
        c->at++;
        if (c->at < c->end && (*c->at == '+' || *c->at == '-'))
            c->at++;
        if (!check_digits(c))
            return false;
    }
    return true;
}

static bool
check_literal(struct checker *c, struct str word)
{
    for (size_t i = 0; i < word.len; i++) {
        if (c->at + i >= c->end || c->at[i] != word.ptr[i])
            return fault_or_end(c, "expected a value", c->at + i >= c->end ? c->end : c->at);
    }
    c->at += word.len;
    return true;
}

/* A value that is no container; at its first byte. */
static bool
check_scalar(struct checker *c)
{
    switch (type_of(*c->at)) {
    case JS_STRING: return check_string(c);
    case JS_NUMBER: return check_number(c);
    case JS_TRUE: return check_literal(c, STR("true"));
    case JS_FALSE: return check_literal(c, STR("false"));
    case JS_NULL: return check_literal(c, STR("null"));
    case JS_NONE:
    case JS_ARRAY:
    case JS_OBJECT: break;
    }
    return fault(c, "expected a value", c->at);
}

/* A key and its colon; at what should be the key's first byte. */
static bool
check_key(struct checker *c)
{
    if (c->at >= c->end || *c->at != '"')
        return fault_or_end(c, "expected a string as key", c->at);
    if (!check_string(c))
        return false;
    c->at = skip_space(c->at, c->end);
    if (c->at >= c->end || *c->at != ':')
        return fault_or_end(c, "expected ':'", c->at);
    c->at = skip_space(c->at + 1, c->end);
    return true;
}

/*
 * One value; at its first byte. objects holds the containers we are in, the innermost in its
 * lowest bit: 1 for an object.
 */
static bool
check_value(struct checker *c)
{
    uint64_t objects = 0;
    unsigned depth = 0;

    _Static_assert(JS_DEPTH_MAX <= 64, "one bit a level");
    for (;;) {
        char first;

        if (c->at >= c->end)
            return fault(c, "unexpected end", c->end);
        first = *c->at;
        if (first == '{' || first == '[') {
            bool is_object = first == '{';

            if (depth == JS_DEPTH_MAX)
                return fault(c, "nested too deeply", c->at);
            c->at = skip_space(c->at + 1, c->end);
            if (c->at >= c->end || *c->at != (is_object ? '}' : ']')) {
                objects = objects << 1 | is_object;
                depth++;
                if (is_object && !check_key(c))
                    return false;
                continue;
            }
            c->at++; /* an empty one is a value like any other */
        } else if (!check_scalar(c)) {
            return false;
        }
        /* Behind a value: close what closes here, up to a comma that brings the next value. */
        for (;;) {
            bool in_object = objects & 1;

            if (depth == 0)
                return true;
            c->at = skip_space(c->at, c->end);
            if (c->at < c->end && *c->at == ',')
                break;
            if (c->at >= c->end || *c->at != (in_object ? '}' : ']'))
                return fault_or_end(c, in_object ? "expected ',' or '}'" : "expected ',' or ']'",
                                    c->at);
            c->at++;
            objects >>= 1;
            depth--;
        }
        c->at = skip_space(c->at + 1, c->end);
        if ((objects & 1) != 0 && !check_key(c))
            return false;
    }
}

bool
js_check(struct str text, struct js_value *out, struct js_error *err)
{
    /* An empty text may have no address at all. */
    const char *start = text.ptr == NULL ? "" : text.ptr;
    struct checker c = {.at = start, .end = start + text.len};
    const char *value, *value_end;

    c.at = value = skip_space(c.at, c.end);
    if (!check_value(&c))
        goto fail;
    value_end = c.at;
    c.at = skip_space(c.at, c.end);
    if (c.at < c.end) {
        fault(&c, "text after the value", c.at);
        goto fail;
    }
    *err = (struct js_error){NULL, 0};
    *out = (struct js_value){.type = type_of(*value), .raw = between(value, value_end)};
    if (out->type == JS_STRING) {
        out->raw = between(value + 1, value_end - 1);
        out->escaped = c.escaped;
    }
    return true;

fail:
    *err = (struct js_error){c.err.what, (size_t)(c.err_at - start)};
    *out = (struct js_value){.type = JS_NONE};
    return false;
}

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
    const char *soon = end - p > 33 ? p + 33 : end;

    *escaped = false;
    p = scan_quote(p + 1, soon);
    if (p < soon && *p == '"')
        return p + 1;
    return skip_string_rest(p, end, escaped);
}

/* At the opening bracket: behind the closing one, or end. */
static const char *
skip_container(const char *p, const char *end)
{
    unsigned depth = 1;
    bool escaped;

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

/* The value at p; *after is the place behind it. */
static struct js_value
walk_value(const char *p, const char *end, const char **after)
{
    struct js_value value = {.type = p < end ? type_of(*p) : JS_NONE};

    *after = end;
    switch (value.type) {
    case JS_NONE: return value;
    case JS_STRING:
        *after = skip_string(p, end, &value.escaped);
        if (*after - p < 2) /* a lone quote: no text that was checked */
            return (struct js_value){.type = JS_NONE};
        value.raw = between(p + 1, *after - 1);
        return value;
    case JS_ARRAY:
    case JS_OBJECT: *after = skip_container(p, end); break;
    case JS_NULL:
    case JS_FALSE:
    case JS_TRUE:
    case JS_NUMBER:
        *after = p + 1;
        while (*after < end && !is(**after, ENDS_WORD))
            ++*after;
        break;
    }
    value.raw = between(p, *after);
    return value;
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
    const char *p = skip_space(it->at, it->end);

    *key = (struct js_value){.type = JS_NONE};
    if (p < it->end && *p == ',' && it->index != UINT32_MAX)
        p = skip_space(p + 1, it->end);
    if (it->is_object && p < it->end) {
        *key = walk_value(p, it->end, &p);
        p = skip_space(p, it->end);
        if (key->type != JS_STRING || p >= it->end || *p != ':')
            goto end;
        p = skip_space(p + 1, it->end);
    }
    *value = walk_value(p, it->end, &it->at);
    if (value->type == JS_NONE)
        goto end;
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
        *unit = between(p, run_end);
        return run_end;
    }
    *unit = (struct str){decoded, 1};
    if (end - p < 2 || p[1] != 'u' || end - p < 6) {
        decoded[0] = end - p < 2 ? '\\' : meaning[(uint8_t)p[1]];
        return end - p < 2 ? end : p + 2;
    }
    code = hex4(p + 2);
    p += 6;
    if (code >= 0xd800 && code <= 0xdbff && end - p >= 6) {
        code = 0x10000 + ((code & 0x3ff) << 10 | (hex4(p + 2) & 0x3ff));
        p += 6;
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
