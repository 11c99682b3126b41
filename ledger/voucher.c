#include "ledger/voucher.h"

#include <string.h>

#define DIGITS 26u /* of the bits; the first has only three of its five */
#define CHECKS 2u
#define GROUP 4u

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* Ten bits of a hash. */
static unsigned
check_of(const uint8_t code[VOUCHER_BYTES])
{
    uint8_t hash[HASH_LEN];

    hash_keyed(NULL, code, VOUCHER_BYTES, hash);
    return (hash[0] | (unsigned)hash[1] << 8) & 1023u;
}

void
voucher_text(const uint8_t code[VOUCHER_BYTES], char text[VOUCHER_TEXT_LEN + 1])
{
    uint8_t digits[DIGITS + CHECKS];
    unsigned check = check_of(code);
    size_t at = 0;

    for (unsigned i = 0; i < DIGITS; i++) {
        unsigned digit = 0;

        for (unsigned bit = 0; bit < 5; bit++) {
            int from = (int)(i * 5 + bit) - 2; /* 130 bits, of which two are not there */

            digit = digit << 1 | (from < 0 ? 0u : code[from / 8] >> (7 - from % 8) & 1u);
        }
        digits[i] = (uint8_t)digit;
    }
    digits[DIGITS] = (uint8_t)(check >> 5);
    digits[DIGITS + 1] = (uint8_t)(check & 31u);
    for (unsigned i = 0; i < DIGITS + CHECKS; i++) {
        if (i > 0 && i % GROUP == 0)
            text[at++] = '-';
        text[at++] = alphabet[digits[i]];
    }
    ASSERT(at == VOUCHER_TEXT_LEN);
    text[at] = '\0';
}

/* -1: none. */
static int
digit_of(char c)
{
    const char *at;

    if (c >= 'a' && c <= 'z')
        c = (char)(c - 'a' + 'A');
    c = c == 'O' ? '0' : c == 'I' || c == 'L' ? '1' : c;
    at = c == '\0' ? NULL : strchr(alphabet, c);
    return at == NULL ? -1 : (int)(at - alphabet);
}

bool
voucher_parse(struct str text, uint8_t code[VOUCHER_BYTES])
{
    uint8_t digits[DIGITS + CHECKS];
    unsigned count = 0;

    for (size_t i = 0; i < text.len; i++) {
        int digit;

        if (memchr("- \t\r\n", text.ptr[i], 5) != NULL)
            continue;
        digit = digit_of(text.ptr[i]);
        if (digit < 0 || count == DIGITS + CHECKS)
            return false;
        digits[count++] = (uint8_t)digit;
    }
    if (count != DIGITS + CHECKS || digits[0] > 7)
        return false;
    memset(code, 0, VOUCHER_BYTES);
    for (unsigned bit = 2; bit < DIGITS * 5; bit++)
        if (digits[bit / 5] >> (4 - bit % 5) & 1)
            code[(bit - 2) / 8] |= (uint8_t)(1u << (7 - (bit - 2) % 8));
    return check_of(code) == ((unsigned)digits[DIGITS] << 5 | digits[DIGITS + 1]);
}

void
voucher_hash(const uint8_t key[HASH_KEY_LEN], const uint8_t code[VOUCHER_BYTES], uint8_t out[HASH_LEN])
{
    uint8_t named[8 + VOUCHER_BYTES] = "voucher";

    memcpy(named + 8, code, VOUCHER_BYTES);
    hash_keyed(key, named, sizeof(named), out);
}
