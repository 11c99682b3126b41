/*
 * What bytes names, values and targets are made of, eight or sixteen at a time. For the lint and
 * the writer only.
 */
#ifndef NET_H1_BYTES_H
#define NET_H1_BYTES_H

#include <string.h>

#include "base/scan.h"
#include "net/h1_head.h"

/* Bytes of a token (RFC 9110 §5.6.2) in lower case; 0 for all others. */
extern const uint8_t h1_token_fold[256];

static inline uint64_t
h1_load_u64(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

/* Sets the top bit of each byte of word that is below n (n <= 128); other bits are noise only
 * above such a byte. Exact as a question of "is there one". */
static inline uint64_t
h1_bytes_below(uint64_t word, uint8_t n)
{
    const uint64_t ones = UINT64_MAX / 255;
    return (word - ones * n) & ~word & ones * 128;
}

static inline uint64_t
h1_word_controls(uint64_t word)
{
    return h1_bytes_below(word, 0x20) | h1_bytes_below(word ^ UINT64_MAX / 255 * 0x7f, 1);
}

/* No control byte but tab, no DEL. Bytes from 0x80 up are opaque and pass. */
static inline bool
h1_value_is_clean(const uint8_t *bytes, size_t len)
{
    uint64_t controls = 0;
    size_t i = 0;

    if (len >= 8) {
        for (; len - i >= 8; i += 8)
            controls |= h1_word_controls(h1_load_u64(bytes + i));
        /* The rest, and some of what was looked at already. */
        controls |= h1_word_controls(h1_load_u64(bytes + len - 8));
        if (controls == 0)
            return true;
        i = 0; /* perhaps only a tab: the loop below looks */
    }
    for (; i < len; i++) {
        if ((bytes[i] < 0x20 && bytes[i] != '\t') || bytes[i] == 0x7f)
            return false;
    }
    return true;
}

/* Printable ASCII without blanks, without '#' and without the byte given (which may be '#'). */
static inline bool
h1_target_is_clean(const uint8_t *bytes, size_t len, char without)
{
    const uint64_t ones = UINT64_MAX / 255;
    size_t i = 0;

    for (; len - i >= 8; i += 8) {
        uint64_t word = h1_load_u64(bytes + i);
        if ((h1_bytes_below(word, 0x21) | h1_bytes_below(word ^ ones * 0x7f, 1) |
             h1_bytes_below(word ^ ones * '#', 1) |
             h1_bytes_below(word ^ ones * (uint8_t)without, 1) | (word & ones * 128)) != 0)
            return false;
    }
    for (; i < len; i++) {
        if (bytes[i] <= 0x20 || bytes[i] >= 0x7f || bytes[i] == '#' || bytes[i] == (uint8_t)without)
            return false;
    }
    return true;
}

/*
 * The one name of ours that a name can be, by its length and last four bytes: all but "te" have
 * as many. The factor was searched for; of two names in one slot the compiler warns.
 */
#define H1_SLOT_BITS 6
#define H1_LAST4(a, b, c, d)                                                                       \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#define H1_SLOT(last4, len)                                                                        \
    ((((last4) + ((uint32_t)(len) << 16)) * 0xa65889fbu) >> (32 - H1_SLOT_BITS))
extern const uint8_t h1_name_slots[1 << H1_SLOT_BITS];
extern const struct str h1_name_texts[H1_NAME_COUNT];

/* a is a token, so that setting bit 0x20 folds its letters and changes nothing else that could
 * become a letter or '-' of ours. b is lower case. */
static inline bool
h1_token_is(const uint8_t *a, const char *b, size_t len)
{
    const uint64_t fold = UINT64_MAX / 255 * 0x20;
    size_t i = 0;

    for (; len - i >= 8; i += 8) {
        if ((h1_load_u64(a + i) | fold) != h1_load_u64((const uint8_t *)b + i))
            return false;
    }
    if (i < len && i > 0) /* the rest, and some of what was looked at already */
        return (h1_load_u64(a + len - 8) | fold) == h1_load_u64((const uint8_t *)b + len - 8);
    for (; i < len; i++) {
        if ((a[i] | 0x20) != b[i])
            return false;
    }
    return true;
}

/* name is a token, not empty. */
static inline enum h1_name
h1_name_of_token(const uint8_t *name, size_t len)
{
    enum h1_name known = H1_TE;

    if (LIKELY(len >= 4)) {
        const uint8_t *last = name + len - 4;

        known = (enum h1_name)
            h1_name_slots[H1_SLOT(H1_LAST4(last[0], last[1], last[2], last[3]) | 0x20202020u, len)];
    }
    if (known != H1_NAME_OTHER && h1_name_texts[known].len == len &&
        h1_token_is(name, h1_name_texts[known].ptr, len))
        return known;
    return H1_NAME_OTHER;
}

#ifdef SCAN_SSE2
static inline __m128i
h1_load_16(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* All bits of each byte from first on that is one of count. As signed numbers the bytes of that
 * range are moved to be the lowest there are. */
static inline __m128i
h1_in_range(__m128i v, uint8_t first, uint8_t count)
{
    __m128i moved = _mm_add_epi8(v, _mm_set1_epi8((char)(0x80 - first)));

    return _mm_cmplt_epi8(moved, _mm_set1_epi8((char)(0x80 + count)));
}

/* A bit for each of the 16 bytes at p that is no letter, digit or '-': of these nearly all names
 * are made. */
static inline unsigned
h1_name_end_bits(const uint8_t *p)
{
    __m128i v = h1_load_16(p);
    __m128i letter = h1_in_range(_mm_or_si128(v, _mm_set1_epi8(0x20)), 'a', 26);
    __m128i other = _mm_or_si128(h1_in_range(v, '0', 10), _mm_cmpeq_epi8(v, _mm_set1_epi8('-')));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(letter, other)) ^ 0xffff;
}

/* A bit for each of the 16 bytes at p that is a control byte: below a blank, or DEL. */
static inline uint64_t
h1_control_bits(const uint8_t *p)
{
    __m128i v = h1_load_16(p);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f))));
}
#endif

#endif
