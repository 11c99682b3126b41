/*
 * The check of what stands in strings: escapes, and UTF-8, where a look at the first bytes did not
 * do. Text in blocks of 64 bytes, with the widest vectors that the machine has.
 */
#include <string.h>

#include "base/js_checker.h"
#include "base/js_text.h"
#include "base/scan.h"
#include "base/utf8.h"

static bool
is_hex(char c)
{
    return js_is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* What a backslash may stand before, but for u. */
static inline bool
is_escape(char c)
{
    static const bool escapes[256] = {
        ['"'] = 1, ['\\'] = 1, ['/'] = 1, ['b'] = 1, ['f'] = 1, ['n'] = 1, ['r'] = 1, ['t'] = 1};

    return escapes[(uint8_t)c];
}

/* At the u of \u. Steps over it and, after a high surrogate, over the low one. */
static const char *
check_unicode_escape(struct checker *c, const char *p)
{
    const char *start = p - 1;
    uint32_t code;

    for (int i = 1; i <= 4; i++) {
        if (p + i >= c->end || !is_hex(p[i]))
            return fault_or_end(c, "invalid escape", p + i);
    }
    code = js_hex4(p + 1);
    p += 5;
    if (code < 0xd800 || code > 0xdfff)
        return p;
    if (c->lenient)
        return p;
    if (code > 0xdbff)
        return fault(c, "lone surrogate", start);
    for (int i = 0; i < 6; i++) {
        if (p + i >= c->end)
            return fault(c, "unexpected end", c->end);
        if (i == 0 ? p[i] != '\\' : i == 1 ? p[i] != 'u' : !is_hex(p[i]))
            return fault(c, i < 2 ? "lone surrogate" : "invalid escape", i < 2 ? start : p + i);
    }
    code = js_hex4(p + 2);
    if (code < 0xdc00 || code > 0xdfff)
        return fault(c, "lone surrogate", start);
    return p + 6;
}

/* At the backslash. */
static const char *
check_escape(struct checker *c, const char *p)
{
    c->escaped = true;
    p++;
    if (p >= c->end)
        return fault(c, "unexpected end", c->end);
    if (*p == 'u')
        return check_unicode_escape(c, p);
    if (!is_escape(*p))
        return fault(c, "invalid escape", p);
    return p + 1;
}

/* At a byte of a string that is not plain ASCII and not the closing quote. */
static const char *
check_special(struct checker *c, const char *p)
{
    if (*p == '\\')
        return check_escape(c, p);
    if ((uint8_t)*p < 0x20)
        return fault(c, "control character in string", p);
    /* Text that is not ASCII rarely is for one character only. */
    do {
        size_t len = utf8_sequence(p, (size_t)(c->end - p));

        if (len == 0)
            return fault(c, "invalid UTF-8", p);
        p += len;
    } while (p < c->end && (*p & 0x80) != 0);
    return p;
}

#ifdef SCAN_SSE2
/* The four hex digits of a character that is no half of a pair. */
static inline bool
are_hex(const char *p)
{
    uint32_t code;

    if (!is_hex(p[0]) || !is_hex(p[1]) || !is_hex(p[2]) || !is_hex(p[3]))
        return false;
    code = js_hex4(p);
    return code < 0xd800 || code > 0xdfff;
}

/*
 * Of the bytes in escaped, each behind a backslash: may all stand there? What the end of the block cuts
 * off is left for later: *left is how many bytes are before it.
 */
static inline __attribute__((always_inline)) bool
are_escapes(const char *p, uint64_t escaped, unsigned *left)
{
    for (; escaped != 0; escaped &= escaped - 1) {
        unsigned at = (unsigned)__builtin_ctzll(escaped);

        if (LIKELY(is_escape(p[at])))
            continue;
        if (p[at] != 'u' || at == 0) /* behind the slash that the block starts with at the least */
            return false;
        if (at > SCAN_BLOCK - 5) {
            *left = MIN(*left, at - 1);
            return true;
        }
        if (!are_hex(p + at + 1))
            return false;
    }
    return true;
}

/* The same for the bytes in high, none of which is ASCII: are they whole characters? */
static inline bool
are_characters(const char *p, uint64_t high, unsigned *left)
{
    while (high != 0) {
        unsigned at = (unsigned)__builtin_ctzll(high);
        const uint8_t *b = (const uint8_t *)p + at;
        size_t len = 2;

        if (UNLIKELY(at > SCAN_BLOCK - 4)) {
            len = utf8_sequence(p + at, SCAN_BLOCK - at);
            if (len == 0) { /* or wrong, which the next look tells */
                *left = MIN(*left, at);
                return true;
            }
        } else if (LIKELY(b[0] >= 0xc2 && b[0] < 0xe0)) {
            if (UNLIKELY(!utf8_is_tail(b[1])))
                return false;
        } else {
            len = utf8_sequence(p + at, 4);
            if (UNLIKELY(len == 0))
                return false;
        }
        high &= ~(((UINT64_C(1) << len) - 1) << at);
    }
    return true;
}

#ifdef SCAN_AVX2
/* The same, at a price that does not depend on how many there are. upto is where the string may reach,
 * the byte behind its last included. */
static inline SCAN_TARGET_AVX2 bool
are_characters_avx2(const char *p, uint64_t high, uint64_t upto, unsigned *left)
{
    struct scan_utf8 u = scan_utf8_avx2(p, high);
    uint64_t want = u.lead2 << 1 | u.lead3 << 2 | u.lead4 << 3;
    uint64_t cut = ((u.lead2 & UINT64_C(1) << 63) | (u.lead3 & UINT64_C(3) << 62) |
                    (u.lead4 & UINT64_C(7) << 61));

    if (UNLIKELY(((want ^ u.tails) & upto) != 0 || u.never != 0))
        return false;
    if (cut != 0)
        *left = MIN(*left, (unsigned)__builtin_ctzll(cut));
    for (u.narrow &= ~cut; u.narrow != 0; u.narrow &= u.narrow - 1) {
        if (utf8_sequence(p + __builtin_ctzll(u.narrow), 4) == 0)
            return false;
    }
    return true;
}
#endif

static inline __attribute__((always_inline)) bool
are_characters_upto(const char *p, uint64_t high, uint64_t upto, unsigned *left, bool avx2)
{
    if (high == 0)
        return true;
#ifdef SCAN_AVX2
    if (avx2)
        return are_characters_avx2(p, high, upto, left);
#else
    (void)avx2;
    (void)upto;
#endif
    return are_characters(p, high, left);
}

static inline __attribute__((always_inline)) uint64_t
special_of(const char *p, bool avx2)
{
#ifdef SCAN_AVX2
    if (avx2)
        return scan_block_special_avx2(p);
#else
    (void)avx2;
#endif
    return scan_block_special(p);
}

/* The only byte of a block that is special, at p: a line's end, in most text. */
static inline bool
is_lone_escape(const char *p)
{
    return *p == '\\' && is_escape(p[1]);
}

static inline __attribute__((always_inline)) struct scan_marks
marks_of(const char *p, bool avx2)
{
#ifdef SCAN_AVX2
    if (avx2)
        return scan_marks_avx2(p);
#else
    (void)avx2;
#endif
    return scan_marks(p);
}

/* See check_blocks(); with the widest vectors that the machine has. */
static inline __attribute__((always_inline)) const char *
check_marks(struct checker *c, const char *p, bool *closed, bool avx2)
{
    for (unsigned left; c->end - p >= SCAN_BLOCK; p += left) {
        uint64_t special = special_of(p, avx2), escaped = 0, carry = 0, quotes, before, upto;
        struct scan_marks marks;

        left = SCAN_BLOCK;
        if (special == 0)
            continue;
        if ((special & (special - 1)) == 0 && special >> (SCAN_BLOCK - 1) == 0 &&
            is_lone_escape(p + __builtin_ctzll(special))) {
            c->escaped = true;
            continue;
        }
        marks = marks_of(p, avx2);
        if (marks.slashes != 0) {
            escaped = scan_escaped(marks.slashes, &carry);
            left -= (unsigned)carry; /* the last one comes again with what it escapes */
        }
        quotes = marks.quotes & ~escaped;
        upto = quotes ^ (quotes - 1); /* all, where there is none */
        before = upto & ~quotes;
        if (UNLIKELY((marks.control & before) != 0) ||
            UNLIKELY(!are_escapes(p, escaped & before, &left)) ||
            UNLIKELY(!are_characters_upto(p, marks.high & before, upto, &left, avx2)))
            return p;
        c->escaped |= (marks.slashes & before) != 0;
        if (quotes != 0 && LIKELY((unsigned)__builtin_ctzll(quotes) < left)) {
            *closed = true;
            return p + __builtin_ctzll(quotes);
        }
    }
    return p;
}

#ifdef SCAN_AVX2
static SCAN_TARGET_AVX2 __attribute__((noinline)) const char *
check_blocks_avx2(struct checker *c, const char *p, bool *closed)
{
    return check_marks(c, p, closed, true);
}
#endif

/*
 * Goes on in a string block by block, up to the closing quote (then *closed), to where less than a
 * block is left, or to a block in which check_special() has to look. What is frequent, escapes and
 * text that is not ASCII, is looked at in the block's bits, each kind by itself: that is fewer steps,
 * and fewer jumps that cannot be foreseen, than byte after byte.
 */
static inline const char *
check_blocks(struct checker *c, const char *p, bool *closed)
{
#ifdef SCAN_AVX2
    if (scan_has_avx2())
        return check_blocks_avx2(c, p, closed);
#endif
    return check_marks(c, p, closed, false);
}
#endif

const char *
js_check_string_rest(struct checker *c, const char *p)
{
    for (;;) {
#ifdef SCAN_SSE2
        bool closed = false;

        p = check_blocks(c, p, &closed);
        if (closed)
            return p + 1;
#endif
        p = scan_special(p, c->end);
        if (p >= c->end)
            return fault(c, "unexpected end", c->end);
        if (*p == '"')
            return p + 1;
        p = check_special(c, p);
        if (p == NULL)
            return NULL;
    }
}
