#include "base/ucr.h"

#define UCR_DECIMALS 6
#define DECIMALS_MAX 18

bool
ucr_add(int64_t a_ucr, int64_t b_ucr, int64_t *out)
{
    int64_t sum;

    if (__builtin_add_overflow(a_ucr, b_ucr, &sum))
        return false;
    *out = sum;
    return true;
}

bool
ucr_sub(int64_t a_ucr, int64_t b_ucr, int64_t *out)
{
    int64_t difference;

    if (__builtin_sub_overflow(a_ucr, b_ucr, &difference))
        return false;
    *out = difference;
    return true;
}

size_t
ucr_text(int64_t ucr, char *out)
{
    /* Unsigned, since -INT64_MIN is no int64_t. */
    uint64_t amount = ucr < 0 ? 0 - (uint64_t)ucr : (uint64_t)ucr;
    uint64_t whole = amount / UCR_PER_CREDIT, fraction = amount % UCR_PER_CREDIT;
    char digits[UCR_TEXT_LEN];
    size_t at = sizeof(digits), len = 0;

    if (fraction > 0) {
        int places = UCR_DECIMALS;

        for (; fraction % 10 == 0; places--)
            fraction /= 10;
        for (; places > 0; places--, fraction /= 10)
            digits[--at] = (char)('0' + fraction % 10);
        digits[--at] = '.';
    }
    do {
        digits[--at] = (char)('0' + whole % 10);
        whole /= 10;
    } while (whole > 0);
    if (ucr < 0)
        digits[--at] = '-';
    while (at < sizeof(digits))
        out[len++] = digits[at++];
    out[len] = '\0';
    return len;
}

/* Digits, and a point with one to `decimals` digits behind it. */
static bool
magnitude_parse(struct str s, unsigned decimals, uint64_t *out)
{
    uint64_t n = 0;
    unsigned places = 0;
    bool point = false, digit_before = false;

    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(unsigned char)s.ptr[i] - '0';

        if (s.ptr[i] == '.' && digit_before && !point) {
            point = true;
            continue;
        }
        if (digit > 9 || (point && ++places > decimals))
            return false;
        if (__builtin_mul_overflow(n, 10u, &n) || __builtin_add_overflow(n, digit, &n))
            return false;
        digit_before = true;
    }
    if (!digit_before || (point && places == 0))
        return false;
    for (; places < decimals; places++) {
        if (__builtin_mul_overflow(n, 10u, &n))
            return false;
    }
    *out = n;
    return true;
}

bool
ucr_parse(struct str s, int64_t *out_ucr)
{
    bool negative = s.len > 0 && s.ptr[0] == '-';
    uint64_t amount;

    if (s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+'))
        s = (struct str){s.ptr + 1, s.len - 1};
    if (!magnitude_parse(s, UCR_DECIMALS, &amount))
        return false;
    if (amount > (uint64_t)INT64_MAX + negative)
        return false;
    *out_ucr = (int64_t)(negative ? 0 - amount : amount);
    return true;
}

bool
decimal_parse(struct str s, unsigned decimals, int64_t *out)
{
    uint64_t amount;

    ASSERT(decimals <= DECIMALS_MAX);
    if (!magnitude_parse(s, decimals, &amount) || amount > INT64_MAX)
        return false;
    *out = (int64_t)amount;
    return true;
}
