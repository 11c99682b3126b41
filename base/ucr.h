/*
 * Checked arithmetic of micro-credits: signed 64-bit, six decimals of a credit. Nothing here
 * wraps and nothing is a float.
 */
#ifndef BASE_UCR_H
#define BASE_UCR_H

#include "base/base.h"

#define UCR_PER_CREDIT 1000000

/* False on overflow, *out untouched. */
bool MUST_CHECK ucr_add(int64_t a_ucr, int64_t b_ucr, int64_t *out);
bool MUST_CHECK ucr_sub(int64_t a_ucr, int64_t b_ucr, int64_t *out);

#define UCR_TEXT_LEN 27
/* Credits with up to six decimals, no trailing zeros ("12.5", "-0.000001", "0"), NUL-terminated;
 * returns the length. out has room for UCR_TEXT_LEN + 1. */
size_t ucr_text(int64_t ucr, char *out);
/*
 * Reads credits: optional sign, digits, optional fraction of at most six digits. False when
 * malformed, more precise than a micro-credit, or out of range.
 */
bool MUST_CHECK ucr_parse(struct str s, int64_t *out_ucr);
/*
 * Reads a decimal with at most `decimals` places as an integer count of 10^-decimals: prices per
 * million tokens are read with decimals = 6 or more. No sign. False as above.
 */
bool MUST_CHECK decimal_parse(struct str s, unsigned decimals, int64_t *out);

#endif
