/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/base.h"

static inline bool
utf8_is_tail(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Length (1 to 4) of the valid sequence that starts at p, of which left bytes may be read; 0
 * when there is none. */
static inline size_t
utf8_sequence(const char *p, size_t left)
{
    const uint8_t *b = (const uint8_t *)p;

    if (left >= 1 && b[0] < 0x80)
        return 1;
    if (left < 2 || b[0] < 0xc2 || b[0] > 0xf4 || !utf8_is_tail(b[1]))
        return 0;
    if (b[0] < 0xe0)
        return 2;
    if (left < 3 || !utf8_is_tail(b[2]))
        return 0;
    if (b[0] < 0xf0) {
        if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f))
            return 0;
        return 3;
    }
    if (left < 4 || !utf8_is_tail(b[3]))
        return 0;
    if ((b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f))
        return 0;
    return 4;
}

/* Writes the code point (not a surrogate, at most 0x10ffff) and gives its length. */
static inline size_t
utf8_encode(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

#endif
