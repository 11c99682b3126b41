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
#ifndef SCAN_NARROW
#define SCAN_AVX2 1 /* can be compiled; whether the machine has it is asked at run time */
#include <immintrin.h>
#endif
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

#ifdef SCAN_SSE2
/* A bit for each of the 16 bytes at p that scan_special() looks for. Signed: what is not ASCII is below
 * a space, too. */
static inline unsigned
scan_bits_special(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i marks = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
                                 _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));

    return (unsigned)_mm_movemask_epi8(
        _mm_or_si128(marks, _mm_cmplt_epi8(v, _mm_set1_epi8(0x20))));
}

/* A bit for each of the 16 bytes at p that scan_quote() looks for. */
static inline unsigned
scan_bits_quote(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
                                                    _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
}
#endif

/* A quote, a backslash, a control character, or a byte that is not ASCII. */
static inline const char *
scan_special(const char *p, const char *end)
{
#ifdef SCAN_SSE2
    for (; end - p >= 16; p += 16) {
        unsigned mask = scan_bits_special(p);

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
    for (; end - p >= 16; p += 16) {
        unsigned mask = scan_bits_quote(p);

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

/*
 * Blocks of 64 bytes, a bit for each byte, the first byte in the lowest bit. Text with many
 * escapes has something of interest every few bytes, and what then costs is a mispredicted jump
 * each; a block is worked on without any. (Langdale, Lemire: Parsing Gigabytes of JSON per
 * Second, 2019.)
 */
#ifdef SCAN_SSE2
#define SCAN_BLOCK 64

struct scan_vectors {
    __m128i v[4];
};

static inline struct scan_vectors
scan_block(const char *p)
{
    const __m128i *at = (const __m128i *)(const void *)p;

    return (struct scan_vectors){{_mm_loadu_si128(at), _mm_loadu_si128(at + 1),
                                  _mm_loadu_si128(at + 2), _mm_loadu_si128(at + 3)}};
}

static inline uint64_t
scan_bits(__m128i a, __m128i b, __m128i c, __m128i d)
{
    return (uint64_t)(unsigned)_mm_movemask_epi8(a) |
           (uint64_t)(unsigned)_mm_movemask_epi8(b) << 16 |
           (uint64_t)(unsigned)_mm_movemask_epi8(c) << 32 |
           (uint64_t)(unsigned)_mm_movemask_epi8(d) << 48;
}

/* The bytes that equal c once the bits of bend are set in them. */
static inline uint64_t
scan_block_equal(const struct scan_vectors *block, char c, char bend)
{
    const __m128i want = _mm_set1_epi8(c), bits = _mm_set1_epi8(bend);
    const __m128i *v = block->v;

    return scan_bits(_mm_cmpeq_epi8(_mm_or_si128(v[0], bits), want),
                     _mm_cmpeq_epi8(_mm_or_si128(v[1], bits), want),
                     _mm_cmpeq_epi8(_mm_or_si128(v[2], bits), want),
                     _mm_cmpeq_epi8(_mm_or_si128(v[3], bits), want));
}

/* What there is in a block of a string. */
struct scan_marks {
    uint64_t quotes, slashes;
    uint64_t high;    /* not ASCII */
    uint64_t control; /* below a blank */
};

/* A bit for each byte that is any of these. What this and scan_marks() have in common the compiler does
 * once. */
static inline uint64_t
scan_block_special(const char *p)
{
    struct scan_vectors block = scan_block(p);
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i blank = _mm_set1_epi8(' '); /* signed: what is not ASCII is below it, too */
    __m128i any[4];

    for (int i = 0; i < 4; i++) {
        __m128i v = block.v[i];

        any[i] = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)),
                              _mm_cmplt_epi8(v, blank));
    }
    return scan_bits(any[0], any[1], any[2], any[3]);
}

static inline struct scan_marks
scan_marks(const char *p)
{
    struct scan_vectors block = scan_block(p);
    const __m128i blank = _mm_set1_epi8(' ');
    const __m128i *v = block.v;
    struct scan_marks marks = {
        .quotes = scan_block_equal(&block, '"', 0),
        .slashes = scan_block_equal(&block, '\\', 0),
        .high = scan_bits(v[0], v[1], v[2], v[3]),
        .control = scan_bits(_mm_cmplt_epi8(v[0], blank), _mm_cmplt_epi8(v[1], blank),
                             _mm_cmplt_epi8(v[2], blank), _mm_cmplt_epi8(v[3], blank)),
    };

    marks.control &= ~marks.high;
    return marks;
}

#ifdef SCAN_AVX2
#define SCAN_TARGET_AVX2 __attribute__((target("avx2,bmi")))

static inline SCAN_TARGET_AVX2 uint64_t
scan_bits_avx2(__m256i a, __m256i b)
{
    return (uint64_t)(unsigned)_mm256_movemask_epi8(a) |
           (uint64_t)(unsigned)_mm256_movemask_epi8(b) << 32;
}

static inline SCAN_TARGET_AVX2 uint64_t
scan_block_special_avx2(const char *p)
{
    const __m256i *at = (const __m256i *)(const void *)p;
    const __m256i a = _mm256_loadu_si256(at), b = _mm256_loadu_si256(at + 1);
    const __m256i quote = _mm256_set1_epi8('"'), slash = _mm256_set1_epi8('\\');
    const __m256i blank = _mm256_set1_epi8(' ');
    __m256i marks_a = _mm256_or_si256(_mm256_cmpeq_epi8(a, quote), _mm256_cmpeq_epi8(a, slash));
    __m256i marks_b = _mm256_or_si256(_mm256_cmpeq_epi8(b, quote), _mm256_cmpeq_epi8(b, slash));

    return scan_bits_avx2(_mm256_or_si256(marks_a, _mm256_cmpgt_epi8(blank, a)),
                          _mm256_or_si256(marks_b, _mm256_cmpgt_epi8(blank, b)));
}

static inline SCAN_TARGET_AVX2 struct scan_marks
scan_marks_avx2(const char *p)
{
    const __m256i *at = (const __m256i *)(const void *)p;
    const __m256i a = _mm256_loadu_si256(at), b = _mm256_loadu_si256(at + 1);
    const __m256i quote = _mm256_set1_epi8('"'), slash = _mm256_set1_epi8('\\');
    const __m256i blank = _mm256_set1_epi8(' ');
    struct scan_marks marks = {
        .quotes = scan_bits_avx2(_mm256_cmpeq_epi8(a, quote), _mm256_cmpeq_epi8(b, quote)),
        .slashes = scan_bits_avx2(_mm256_cmpeq_epi8(a, slash), _mm256_cmpeq_epi8(b, slash)),
        .high = scan_bits_avx2(a, b),
        .control = scan_bits_avx2(_mm256_cmpgt_epi8(blank, a), _mm256_cmpgt_epi8(blank, b)),
    };

    marks.control &= ~marks.high;
    return marks;
}

/* The bytes of a block that are above c, signed. */
static inline SCAN_TARGET_AVX2 uint64_t
scan_above_avx2(__m256i a, __m256i b, char c)
{
    const __m256i bound = _mm256_set1_epi8(c);

    return scan_bits_avx2(_mm256_cmpgt_epi8(a, bound), _mm256_cmpgt_epi8(b, bound));
}

/*
 * What there is of UTF-8 in a block, a bit a byte. Signed, bytes that are not ASCII are below zero in
 * their own order.
 */
struct scan_utf8 {
    uint64_t lead2, lead3, lead4; /* first bytes of two and more, of three and more, of four */
    uint64_t tails;
    uint64_t never;  /* in no valid text */
    uint64_t narrow; /* leads behind which not every tail may stand */
};

static inline SCAN_TARGET_AVX2 struct scan_utf8
scan_utf8_avx2(const char *p, uint64_t high)
{
    const __m256i *at = (const __m256i *)(const void *)p;
    const __m256i a = _mm256_loadu_si256(at), b = _mm256_loadu_si256(at + 1);
    uint64_t above_tails = scan_above_avx2(a, b, (char)0xbf) & high;
    struct scan_utf8 utf8 = {
        .lead2 = scan_above_avx2(a, b, (char)0xc1) & high,
        .lead3 = scan_above_avx2(a, b, (char)0xdf) & high,
        .lead4 = scan_above_avx2(a, b, (char)0xef) & high,
    };
    __m256i low = _mm256_set1_epi8((char)0xe0), gap = _mm256_set1_epi8((char)0xed);

    utf8.tails = high & ~above_tails;
    utf8.never = (above_tails & ~utf8.lead2) | (scan_above_avx2(a, b, (char)0xf4) & high);
    utf8.narrow =
        utf8.lead4 |
        (scan_bits_avx2(_mm256_or_si256(_mm256_cmpeq_epi8(a, low), _mm256_cmpeq_epi8(a, gap)),
                        _mm256_or_si256(_mm256_cmpeq_epi8(b, low), _mm256_cmpeq_epi8(b, gap))) &
         high);
    return utf8;
}

static inline bool
scan_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi");
}
#endif

/*
 * The bytes that a backslash before them escapes. In a run of backslashes every second one is
 * escaped itself, counted from where the run starts. Adding the runs that start at an odd place
 * to all of them carries out of those, which leaves a bit behind the run just where the parity
 * is the other way round. *carry is 1 when the block's first byte is escaped, and is set for the
 * next block.
 */
static inline uint64_t
scan_escaped(uint64_t slashes, uint64_t *carry)
{
    const uint64_t even = UINT64_C(0x5555555555555555);
    uint64_t behind, odd_starts, carried;

    slashes &= ~*carry;
    behind = slashes << 1 | *carry;
    odd_starts = slashes & ~even & ~behind;
    *carry = __builtin_add_overflow(odd_starts, slashes, &carried);
    return (even ^ carried << 1) & behind;
}

/* Each bit is the parity of all bits up to it: from every opening quote up to before the closing
 * one, when bits are the quotes. */
static inline uint64_t
scan_parity(uint64_t bits)
{
    for (unsigned shift = 1; shift < 64; shift *= 2)
        bits ^= bits << shift;
    return bits;
}
#endif

#endif
