#include "cli/decimal.h"

/* No price or count has an exponent beyond it; further digits of one only say "out of range". */
#define EXPONENT_MAX 100000

const char *
decimal_text(unsigned __int128 n, unsigned places, char *out)
{
    char digits[DECIMAL_TEXT_LEN];
    size_t at = sizeof(digits), len = 0;

    ASSERT(places <= 30);
    for (; places > 0 && n % 10 == 0; places--)
        n /= 10;
    for (unsigned i = 0; i < places; i++, n /= 10)
        digits[--at] = (char)('0' + (int)(n % 10));
    if (places > 0)
        digits[--at] = '.';
    do {
        digits[--at] = (char)('0' + (int)(n % 10));
        n /= 10;
    } while (n > 0);
    while (at < sizeof(digits))
        out[len++] = digits[at++];
    ASSERT(len < DECIMAL_TEXT_LEN);
    out[len] = '\0';
    return out;
}

/* What a number's text is made of. */
struct parts {
    struct str whole, fraction;
    bool negative;
    long exponent; /* bounded by EXPONENT_MAX */
};

static struct str
take_digits(struct str *rest)
{
    struct str digits = {rest->ptr, 0};

    while (rest->len > 0 && rest->ptr[0] >= '0' && rest->ptr[0] <= '9') {
        digits.len++;
        rest->ptr++;
        rest->len--;
    }
    return digits;
}

static bool
take_byte(struct str *rest, char c)
{
    if (rest->len == 0 || rest->ptr[0] != c)
        return false;
    rest->ptr++;
    rest->len--;
    return true;
}

static bool
take_exponent(struct str *rest, long *out)
{
    bool negative;
    struct str digits;
    long n = 0;

    if (!take_byte(rest, 'e') && !take_byte(rest, 'E'))
        return true;
    negative = take_byte(rest, '-');
    if (!negative)
        (void)take_byte(rest, '+');
    digits = take_digits(rest);
    for (size_t i = 0; i < digits.len; i++)
        n = MIN(n * 10 + (digits.ptr[i] - '0'), (long)EXPONENT_MAX);
    *out = negative ? -n : n;
    return digits.len > 0;
}

static bool
take_parts(struct str text, struct parts *out)
{
    *out = (struct parts){0};
    out->negative = take_byte(&text, '-');
    out->whole = take_digits(&text);
    if (take_byte(&text, '.')) {
        out->fraction = take_digits(&text);
        if (out->fraction.len == 0)
            return false;
    }
    return out->whole.len > 0 && take_exponent(&text, &out->exponent) && text.len == 0;
}

/* Digit i of whole and fraction together. */
static unsigned
digit_at(const struct parts *parts, size_t i)
{
    return (unsigned)((i < parts->whole.len ? parts->whole.ptr[i]
                                            : parts->fraction.ptr[i - parts->whole.len]) -
                      '0');
}

enum decimal_exit
decimal_scale(struct str text, int shift, int64_t max, int64_t *out)
{
    struct parts parts;
    size_t first = 0, end;
    int64_t n = 0;
    long scale;

    ASSERT(max >= 0);
    if (!take_parts(text, &parts))
        return DECIMAL_MALFORMED;
    end = parts.whole.len + parts.fraction.len;
    while (end > 0 && digit_at(&parts, end - 1) == 0)
        end--;
    while (first < end && digit_at(&parts, first) == 0)
        first++;
    *out = 0;
    if (first == end)
        return DECIMAL_OK;
    if (parts.negative)
        return DECIMAL_NEGATIVE;
    /* The digits left, as a whole number, times 10^scale is the value. A text that is so long that
     * its length does not fit is not a number that anybody meant. */
    if (parts.whole.len > EXPONENT_MAX || parts.fraction.len > EXPONENT_MAX)
        return DECIMAL_MALFORMED;
    scale = parts.exponent + shift + (long)parts.whole.len - (long)end;
    if (scale < 0)
        return DECIMAL_FINE;
    for (size_t i = first; i < end + (size_t)scale; i++) {
        unsigned digit = i < end ? digit_at(&parts, i) : 0;

        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (int64_t)digit, &n) ||
            n > max)
            return DECIMAL_LARGE;
    }
    *out = n;
    return DECIMAL_OK;
}
