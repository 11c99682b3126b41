#include "base/str.h"

#include <string.h>
#include <strings.h>

#define COUNT_DIGITS_MAX 10
#define DISTANCE_LEN_MAX 63

struct str
str_from(const char *c_string)
{
    return c_string == NULL ? STR_NONE : (struct str){c_string, strlen(c_string)};
}

bool
str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static uint64_t
load_word(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return word;
}

/* Eight bytes at once: they may differ in bit 0x20 where they are letters. A byte below 0x80, to
 * which 0x1f is added, gets its top bit from 'a' on, with 0x05 from '{' on; no byte carries into
 * the next. */
static bool
words_eq_nocase(uint64_t a, uint64_t b)
{
    const uint64_t ones = UINT64_MAX / 255;
    uint64_t folded = b | ones * 0x20, low = folded & ones * 0x7f;
    uint64_t letters = (low + ones * 0x1f) & ~(low + ones * 0x05) & ~folded & ones * 0x80;

    return ((a ^ b) & ~(letters >> 2)) == 0;
}

bool
str_eq_nocase(struct str a, struct str b)
{
    size_t i = 0;

    if (a.len != b.len)
        return false;
    if (a.len >= 8) {
        for (; a.len - i >= 8; i += 8) {
            if (!words_eq_nocase(load_word(a.ptr + i), load_word(b.ptr + i)))
                return false;
        }
        /* The rest, and some of what was looked at already. */
        return words_eq_nocase(load_word(a.ptr + a.len - 8), load_word(b.ptr + b.len - 8));
    }
    for (; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    }
    return true;
}

bool
str_starts_with(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq((struct str){s.ptr, prefix.len}, prefix);
}

bool
str_ends_with(struct str s, struct str suffix)
{
    if (s.len < suffix.len)
        return false;
    return suffix.len == 0 || memcmp(s.ptr + (s.len - suffix.len), suffix.ptr, suffix.len) == 0;
}

bool
str_contains(struct str s, struct str part)
{
    if (part.len == 0)
        return true;
    return s.len >= part.len && memmem(s.ptr, s.len, part.ptr, part.len) != NULL;
}

size_t
str_find(struct str s, char c, size_t from)
{
    const char *hit;

    if (from >= s.len)
        return s.len;
    hit = memchr(s.ptr + from, c, s.len - from);
    return hit == NULL ? s.len : (size_t)(hit - s.ptr);
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct str
str_trim(struct str s)
{
    while (s.len > 0 && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/*
 * Greedy with one point to come back to: when a later star is reached, what an earlier star
 * took never has to change, so only the last star needs to be remembered.
 */
bool
str_glob(struct str pattern, struct str s)
{
    size_t p = 0, i = 0;
    size_t star = SIZE_MAX, star_i = 0;

    while (i < s.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            star_i = i;
        } else if (p < pattern.len && (pattern.ptr[p] == '?' || pattern.ptr[p] == s.ptr[i])) {
            p++;
            i++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            i = ++star_i;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

struct str
str_split(struct str s, char sep, struct str *rest)
{
    size_t at = str_find(s, sep, 0);

    if (at == s.len) {
        *rest = STR_NONE;
        return s;
    }
    *rest = (struct str){s.ptr + at + 1, s.len - at - 1};
    return (struct str){s.ptr, at};
}

bool
str_to_count(struct str s, uint64_t max, uint64_t *out)
{
    uint64_t n;

    if (s.len > COUNT_DIGITS_MAX || !str_to_u64(s, &n) || n > max)
        return false;
    *out = n;
    return true;
}

bool
str_to_u64(struct str s, uint64_t *out)
{
    uint64_t n = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(unsigned char)s.ptr[i] - '0';

        if (digit > 9 || __builtin_mul_overflow(n, 10u, &n) || __builtin_add_overflow(n, digit, &n))
            return false;
    }
    *out = n;
    return true;
}

/* 0 to 15, or 16 for what is no hex digit. */
static unsigned
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    c = lower(c);
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

bool
str_unhex(struct str s, uint8_t *out, size_t out_len)
{
    if (s.len % 2 != 0 || s.len / 2 != out_len)
        return false;
    for (size_t i = 0; i < out_len; i++) {
        unsigned high = hex_digit(s.ptr[2 * i]), low = hex_digit(s.ptr[2 * i + 1]);

        if (high > 15 || low > 15)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void
str_hex(const void *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = bytes;

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * len] = '\0';
}

size_t
str_copy(struct str s, char *out, size_t cap)
{
    size_t len;

    if (cap == 0)
        return 0;
    len = MIN(s.len, cap - 1);
    if (len > 0)
        memcpy(out, s.ptr, len);
    out[len] = '\0';
    return len;
}

unsigned
str_distance(struct str a, struct str b, unsigned max)
{
    unsigned row[DISTANCE_LEN_MAX + 1]; /* row[j]: distance of a's first i bytes to b's first j */

    if (a.len > DISTANCE_LEN_MAX || b.len > DISTANCE_LEN_MAX)
        return max + 1;
    for (unsigned j = 0; j <= b.len; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned replaced = diagonal + (a.ptr[i - 1] != b.ptr[j - 1]);

            diagonal = row[j];
            row[j] = MIN(replaced, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return MIN(row[b.len], max + 1);
}
