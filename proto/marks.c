/*
 * All four names end in e, r, n or s before their closing quote. Sixteen bytes at a time, a
 * quote behind one of these letters is a candidate; a content chunk of 250 bytes has about
 * five. In text the quotes around a quoted name are escaped, so that a backslash stands
 * before the closing one and no content can look like a member.
 */
#include "proto/marks.h"

#include <string.h>

#include "base/scan.h"
#include "base/str.h"

static const char *
skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

static bool
ends_with(const char *start, const char *end, struct str what)
{
    return (size_t)(end - start) >= what.len && memcmp(end - what.len, what.ptr, what.len) == 0;
}

static unsigned
mark_named(const char *start, const char *quote)
{
    switch (quote[-1]) {
    case 'e': return ends_with(start, quote, STR("\"usage")) ? MARK_USAGE : 0;
    case 'r': return ends_with(start, quote, STR("\"error")) ? MARK_ERROR : 0;
    case 'n': return ends_with(start, quote, STR("\"finish_reason")) ? MARK_FINISH : 0;
    case 's': return ends_with(start, quote, STR("\"choices")) ? MARK_NO_CHOICES : 0;
    default: return 0;
    }
}

/* quote is a closing quote, with at least one byte before it. */
static unsigned
mark_at(const char *start, const char *quote, const char *end)
{
    unsigned mark = mark_named(start, quote);
    const char *p;

    if (mark == 0)
        return 0;
    p = skip_space(quote + 1, end);
    if (p == end || *p != ':')
        return 0;
    p = skip_space(p + 1, end);
    if (mark == MARK_NO_CHOICES) {
        if (p == end || *p != '[')
            return 0;
        p = skip_space(p + 1, end);
        return p < end && *p == ']' ? mark : 0;
    }
    return end - p >= 4 && memcmp(p, "null", 4) == 0 ? 0 : mark;
}

unsigned
marks_find(struct str json)
{
    const char *start = json.ptr, *p = start + 1, *end = start + json.len;
    unsigned marks = 0;

    if (json.len < 2)
        return 0;
#ifdef SCAN_SSE2
    const __m128i quote = _mm_set1_epi8('"'), e = _mm_set1_epi8('e'), r = _mm_set1_epi8('r');
    const __m128i n = _mm_set1_epi8('n'), s = _mm_set1_epi8('s');

    for (; end - p >= 16; p += 16) {
        __m128i at = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i before = _mm_loadu_si128((const __m128i *)(const void *)(p - 1));
        __m128i letter =
            _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(before, e), _mm_cmpeq_epi8(before, r)),
                         _mm_or_si128(_mm_cmpeq_epi8(before, n), _mm_cmpeq_epi8(before, s)));
        __m128i hit = _mm_and_si128(_mm_cmpeq_epi8(at, quote), letter);

        for (unsigned mask = (unsigned)_mm_movemask_epi8(hit); mask != 0; mask &= mask - 1)
            marks |= mark_at(start, p + __builtin_ctz(mask), end);
    }
#endif
    while (p < end && (p = memchr(p, '"', (size_t)(end - p))) != NULL) {
        marks |= mark_at(start, p, end);
        p++;
    }
    return marks;
}

struct str
marks_reported(struct js_value value, size_t len_max)
{
    if (value.type != JS_STRING || value.escaped || value.raw.len == 0 || value.raw.len > len_max)
        return STR_NONE;
    for (size_t i = 0; i < value.raw.len; i++) {
        if (value.raw.ptr[i] <= 0x20 || value.raw.ptr[i] > 0x7e)
            return STR_NONE;
    }
    return value.raw;
}

struct js_value
marks_openai_usage(struct js_value usage, struct js_value choices)
{
    struct js_value key, first;
    struct js_iter it;

    if (usage.type != JS_NONE && usage.type != JS_NULL)
        return usage;
    js_iter_init(&it, choices);
    if (js_next(&it, &key, &first))
        return js_get(first, STR("usage"));
    return usage;
}
