#include "manage/totp.h"

#include "base/rng.h"
#include "base/str.h"

#include <mbedtls/md.h>
#include <stdio.h>
#include <string.h>

#define STEP_US INT64_C(30000000)
#define DIGITS 6u

static const char base32_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

void
totp_secret_new(uint8_t secret[TOTP_SECRET_LEN])
{
    rng_bytes(secret, TOTP_SECRET_LEN);
}

_Static_assert(TOTP_SECRET_LEN * 8 == TOTP_BASE32_LEN * 5, "no bits are left over");

void
totp_base32(const uint8_t secret[TOTP_SECRET_LEN], char out[TOTP_BASE32_LEN + 1])
{
    uint32_t bits = 0;
    unsigned count = 0;
    size_t len = 0;

    for (size_t i = 0; i < TOTP_SECRET_LEN; i++) {
        bits = bits << 8 | secret[i];
        for (count += 8; count >= 5; count -= 5)
            out[len++] = base32_letters[bits >> (count - 5) & 31];
    }
    out[len] = '\0';
}

bool
totp_from_base32(struct str text, uint8_t secret[TOTP_SECRET_LEN])
{
    uint32_t bits = 0;
    unsigned count = 0;
    size_t len = 0;

    if (text.len != TOTP_BASE32_LEN)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        const char *at = memchr(base32_letters, text.ptr[i], 32);

        if (at == NULL)
            return false;
        bits = bits << 5 | (uint32_t)(at - base32_letters);
        count += 5;
        if (count < 8)
            continue;
        count -= 8;
        secret[len++] = (uint8_t)(bits >> count);
    }
    return len == TOTP_SECRET_LEN;
}

static bool
add_escaped(struct str s, char *out, size_t *len)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.ptr[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                     c == '.' || c == '_' || c == '~';

        if (*len + 4 > TOTP_URI_LEN_MAX)
            return false;
        *len += (size_t)snprintf(out + *len, TOTP_URI_LEN_MAX - *len, plain ? "%c" : "%%%02X", c);
    }
    return true;
}

static bool
add(const char *text, char *out, size_t *len)
{
    if (*len + strlen(text) + 1 > TOTP_URI_LEN_MAX)
        return false;
    memcpy(out + *len, text, strlen(text) + 1);
    *len += strlen(text);
    return true;
}

bool
totp_uri(const uint8_t secret[TOTP_SECRET_LEN], struct str issuer, struct str account,
         char out[TOTP_URI_LEN_MAX])
{
    char text[TOTP_BASE32_LEN + 1];
    size_t len = 0;

    totp_base32(secret, text);
    return add("otpauth://totp/", out, &len) && add_escaped(issuer, out, &len) && add(":", out, &len) &&
           add_escaped(account, out, &len) && add("?secret=", out, &len) && add(text, out, &len) &&
           add("&issuer=", out, &len) && add_escaped(issuer, out, &len) &&
           add("&algorithm=SHA1&digits=6&period=30", out, &len);
}

uint64_t
totp_step(int64_t wall_us)
{
    return wall_us < 0 ? 0 : (uint64_t)(wall_us / STEP_US);
}

uint32_t
totp_code(const uint8_t *secret, size_t secret_len, uint64_t step, unsigned digits)
{
    static const uint32_t power[] = {1000000, 10000000, 100000000};
    uint8_t message[8], mac[20];
    uint32_t at, n;

    ASSERT(digits >= 6 && digits <= 8);
    for (unsigned i = 0; i < 8; i++)
        message[i] = (uint8_t)(step >> (56 - 8 * i));
    ASSERT(mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA1), secret, secret_len, message,
                           sizeof(message), mac) == 0);
    /* RFC 4226, section 5.3: the last half byte says which four to take. */
    at = mac[19] & 15u;
    n = (uint32_t)(mac[at] & 127) << 24 | (uint32_t)mac[at + 1] << 16 | (uint32_t)mac[at + 2] << 8 |
        mac[at + 3];
    return n % power[digits - 6];
}

/* Six digits, blanks aside. */
static bool
read_code(struct str text, uint32_t *code)
{
    unsigned count = 0;

    *code = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == ' ')
            continue;
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || ++count > DIGITS)
            return false;
        *code = *code * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    return count == DIGITS;
}

uint64_t
totp_match(const uint8_t secret[TOTP_SECRET_LEN], struct str text, int64_t wall_us, uint64_t last_step)
{
    uint64_t now = totp_step(wall_us), found = 0;
    uint32_t code;

    if (!read_code(text, &code) || now < 1)
        return 0;
    /* All three, whichever it is. */
    for (uint64_t step = now - 1; step <= now + 1; step++)
        if ((totp_code(secret, TOTP_SECRET_LEN, step, DIGITS) ^ code) == 0 && step > last_step)
            found = step;
    return found;
}
