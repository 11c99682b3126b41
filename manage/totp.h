/*
 * Codes of authenticators: RFC 6238 with SHA-1, 30 seconds and six digits, which is what all of them know.
 * Pure: the time comes in. That no code counts twice is kept by the ledger process (totp.use), which is told
 * the step whose code it was.
 */
#ifndef MANAGE_TOTP_H
#define MANAGE_TOTP_H

#include "base/base.h"

#define TOTP_SECRET_LEN 20u /* as long as SHA-1's answer: RFC 4226, section 4, R6 */
#define TOTP_BASE32_LEN 32u
#define TOTP_URI_LEN_MAX 1024u

void totp_secret_new(uint8_t secret[TOTP_SECRET_LEN]);
/* RFC 4648, without padding; out has room for its NUL. */
void totp_base32(const uint8_t secret[TOTP_SECRET_LEN], char out[TOTP_BASE32_LEN + 1]);
bool MUST_CHECK totp_from_base32(struct str text, uint8_t secret[TOTP_SECRET_LEN]);
/* otpauth://totp/ISSUER:ACCOUNT?secret=…, what a QR code of it says. False: too long. */
bool MUST_CHECK totp_uri(const uint8_t secret[TOTP_SECRET_LEN], struct str issuer, struct str account,
                         char out[TOTP_URI_LEN_MAX]);

uint64_t totp_step(int64_t wall_us);
/* The code of a step, of that many digits (6 to 8). */
uint32_t totp_code(const uint8_t *secret, size_t secret_len, uint64_t step, unsigned digits);
/*
 * The step of whose code this is, at that time or one before or after (clocks differ), and after last_step;
 * 0: of none. Blanks in the text do not count.
 */
uint64_t totp_match(const uint8_t secret[TOTP_SECRET_LEN], struct str code, int64_t wall_us,
                    uint64_t last_step);

#endif
