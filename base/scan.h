/*
 * Finding the next byte that matters in JSON text: 16 bytes a step with SSE2, 8 bytes a step in
 * a plain word elsewhere. Each function gives the first such byte in [p, end), or end, and reads
 * nothing outside of that.
 *
 * The word forms use the borrow trick (a byte of x is zero where (x - 0x01…) & ~x has its top bit
 * set). Its false hits are only ever above a true one, so with the lowest byte first the lowest
 * hit is true; big-endian machines go byte by byte.
 */
#ifndef BASE_SCAN_H
#define BASE_SCAN_H

#include <string.h>

#include "base/base.h"

#if defined(__SSE2__) && !defined(SCAN_PORTABLE)
#define SCAN_SSE2 1
#include <emmintrin.h>
#endif

static inline bool
scan_is_special(char c)
{
    return c == '"' || c == '\\' || (signed char)c < 0x20;
}

static inline bool
scan_is_quote(char c)
{
    return c == '"' || c == '\\';
}

static inline bool
scan_is_bracket(char c)
{
    return c == '"' || (c | 0x20) == '{' || (c | 0x20) == '}';
}

#define SCAN_ONES UINT64_C(0x0101010101010101)
#define SCAN_TOPS UINT64_C(0x8080808080808080)
#define SCAN_WORDS (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

static inline uint64_t
scan_load(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return word;
}

/* A top bit for each byte of word that equals c: exact up to the lowest one. */
static inline uint64_t
scan_equal(uint64_t word, char c)
{
    uint64_t x = word ^ SCAN_ONES * (uint8_t)c;

    return (x - SCAN_ONES) & ~x & SCAN_TOPS;
}

static inline size_t
scan_lowest(uint64_t tops)
{
    return (size_t)__builtin_ctzll(tops) / 8;
}

/* A quote, a backslash, a control character, or a byte that is not ASCII. */
static inline const char *
scan_special(const char *p, const char *end)
{
#ifdef SCAN_SSE2
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i space = _mm_set1_epi8(0x20);

    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* Signed: what is not ASCII is below a space, too. */
        __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)),
                                   _mm_cmplt_epi8(v, space));
        unsigned mask = (unsigned)_mm_movemask_epi8(hit);

        if (mask != 0)
            return p + __builtin_ctz(mask);
    }
#endif
    for (; SCAN_WORDS && end - p >= 8; p += 8) {
        uint64_t word = scan_load(p);
        uint64_t low = (word - SCAN_ONES * 0x20) & ~word & SCAN_TOPS;
        uint64_t hit = scan_equal(word, '"') | scan_equal(word, '\\') | low | (word & SCAN_TOPS);

        if (hit != 0)
            return p + scan_lowest(hit);
    }
    while (p < end && !scan_is_special(*p))
        p++;
    return p;
}

/* A quote or a backslash. */
static inline const char *
scan_quote(const char *p, const char *end)
{
#ifdef SCAN_SSE2
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');

    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash));
        unsigned mask = (unsigned)_mm_movemask_epi8(hit);

        if (mask != 0)
            return p + __builtin_ctz(mask);
    }
#endif
    for (; SCAN_WORDS && end - p >= 8; p += 8) {
        uint64_t word = scan_load(p);
        uint64_t hit = scan_equal(word, '"') | scan_equal(word, '\\');

        if (hit != 0)
            return p + scan_lowest(hit);
    }
    while (p < end && !scan_is_quote(*p))
        p++;
    return p;
}

/* A quote or one of []{}. One bit tells [ from { and ] from }, so two compares find all four. */
static inline const char *
scan_bracket(const char *p, const char *end)
{
#ifdef SCAN_SSE2
    const __m128i quote = _mm_set1_epi8('"'), bit = _mm_set1_epi8(0x20);
    const __m128i open = _mm_set1_epi8('{'), close = _mm_set1_epi8('}');

    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i bent = _mm_or_si128(v, bit);
        __m128i hit =
            _mm_or_si128(_mm_cmpeq_epi8(v, quote),
                         _mm_or_si128(_mm_cmpeq_epi8(bent, open), _mm_cmpeq_epi8(bent, close)));
        unsigned mask = (unsigned)_mm_movemask_epi8(hit);

        if (mask != 0)
            return p + __builtin_ctz(mask);
    }
#endif
    for (; SCAN_WORDS && end - p >= 8; p += 8) {
        uint64_t word = scan_load(p);
        uint64_t bent = word | SCAN_ONES * 0x20;
        uint64_t hit = scan_equal(word, '"') | scan_equal(bent, '{') | scan_equal(bent, '}');

        if (hit != 0)
            return p + scan_lowest(hit);
    }
    while (p < end && !scan_is_bracket(*p))
        p++;
    return p;
}

#endif
