/* What the check and the walk of JSON text both know of its bytes. For js.c and js_check.c only. */
#ifndef BASE_JS_TEXT_H
#define BASE_JS_TEXT_H

#include "base/js.h"

static inline bool
js_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool
js_is_digit(char c)
{
    return (uint8_t)(c - '0') < 10;
}

/* Text without white space, or with one blank at a time, is the rule. */
static inline const char *
js_skip_space(const char *p, const char *end)
{
    while (p < end && UNLIKELY((uint8_t)*p <= ' ') && js_is_space(*p))
        p++;
    return p;
}

static inline struct str
js_between(const char *from, const char *to)
{
    return (struct str){from, (size_t)(to - from)};
}

/* What a value that starts with c is. */
static inline enum js_type
js_type_of(char c)
{
    switch (c) {
    case '"': return JS_STRING;
    case '{': return JS_OBJECT;
    case '[': return JS_ARRAY;
    case 't': return JS_TRUE;
    case 'f': return JS_FALSE;
    case 'n': return JS_NULL;
    default: return c == '-' || js_is_digit(c) ? JS_NUMBER : JS_NONE;
    }
}

/* The four hex digits at p, which are there. */
static inline uint32_t
js_hex4(const char *p)
{
    uint32_t n = 0;

    for (int i = 0; i < 4; i++) {
        uint32_t c = (uint8_t)p[i];

        n = n << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return n;
}

/* What is shorter is stepped over as quickly without an index. */
#define JS_INDEX_LEN_MIN 64u

#endif
