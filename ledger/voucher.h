/*
 * Redemption codes: texts that are worth credit to whoever has one, once. Made in batches, of which each code has the
 * same value; shown when they are made, and kept as a keyed hash.
 *
 * A code is 128 random bits as 26 digits of Crockford's base32 and two more that tell most mistakes in typing, in
 * groups of four: VQ3D-0000-…. Reading minds neither case nor hyphens nor white space, and takes O for 0, I and L for 1.
 */
#ifndef LEDGER_VOUCHER_H
#define LEDGER_VOUCHER_H

#include "base/base.h"
#include "base/hash.h"
#include "base/str.h"

#define VOUCHER_BYTES 16u
#define VOUCHER_TEXT_LEN 34u /* 28 digits, 6 hyphens */

void voucher_text(const uint8_t code[VOUCHER_BYTES], char text[VOUCHER_TEXT_LEN + 1]);
/* False: it is none; it was mistyped, or is something else. */
bool voucher_parse(struct str text, uint8_t code[VOUCHER_BYTES]) MUST_CHECK;
/* By which it is found. */
void voucher_hash(const uint8_t key[HASH_KEY_LEN], const uint8_t code[VOUCHER_BYTES], uint8_t out[HASH_LEN]);

#endif
