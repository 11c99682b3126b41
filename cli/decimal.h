/*
 * Decimals as text, exactly: from the notation of JSON numbers to integers and from integers to
 * the shortest text. No floating point.
 */
#ifndef CLI_DECIMAL_H
#define CLI_DECIMAL_H

#include "base/base.h"

#define DECIMAL_TEXT_LEN 48

/* n / 10^places without trailing zeros, NUL-terminated: "0.75", "10", "0". places up to 30; out
 * has room for DECIMAL_TEXT_LEN. Gives out. */
const char *decimal_text(unsigned __int128 n, unsigned places, char *out);

enum decimal_exit {
    DECIMAL_OK = 0,
    DECIMAL_MALFORMED, /* not of the grammar of JSON's numbers */
    DECIMAL_NEGATIVE,  /* below zero; "-0" is zero */
    DECIMAL_FINE,      /* has places beyond the unit */
    DECIMAL_LARGE,     /* more than max */
};

/*
 * A JSON number such as "1.25e-06" times 10^shift, if that is a whole number from 0 to max. The
 * text may be of any length and its exponent of any size.
 */
enum decimal_exit decimal_scale(struct str text, int shift, int64_t max, int64_t *out) MUST_CHECK;

#endif
