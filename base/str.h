/*
 * Strings as pointer and length: comparing, searching, parsing numbers strictly. Nothing
 * here allocates, depends on the locale, or reads past the length.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/base.h"

struct str str_from(const char *c_string); /* NULL gives STR_NONE */
bool str_eq(struct str a, struct str b);
bool str_eq_nocase(struct str a, struct str b); /* ASCII */
bool str_starts_with(struct str s, struct str prefix);
bool str_ends_with(struct str s, struct str suffix);
bool str_contains(struct str s, struct str part);
/* First position of byte c at or after from, or s.len. */
size_t str_find(struct str s, char c, size_t from);
struct str str_trim(struct str s); /* spaces and tabs, both ends */
/* "*" any run, "?" one byte, all else itself; case counts. Linear in practice, no recursion. */
bool str_glob(struct str pattern, struct str s);
/* Splits s at the first sep: the part before is returned, *rest gets what follows (STR_NONE if
 * there was no sep). */
struct str str_split(struct str s, char sep, struct str *rest);

/*
 * Decimal digits only: no sign, no blanks, no fraction, at least one digit, at most 10
 * digits. False when malformed or above max.
 */
bool MUST_CHECK str_to_count(struct str s, uint64_t max, uint64_t *out);
/* As above, without the limit of 10 digits; false on overflow. */
bool MUST_CHECK str_to_u64(struct str s, uint64_t *out);
/* Even count of hex digits, either case; out gets s.len / 2 bytes; false when not hex or out_len
 * differs from that. */
bool MUST_CHECK str_unhex(struct str s, uint8_t *out, size_t out_len);
/* Lower-case hex and a NUL: out has room for 2 * len + 1. */
void str_hex(const void *bytes, size_t len, char *out);

/* Copies at most cap - 1 bytes and a NUL; returns the bytes copied. */
size_t str_copy(struct str s, char *out, size_t cap);

/* Edit distance of a and b, bounded: anything over max is max + 1. For "did you mean". Strings
 * over 63 bytes are never near. */
unsigned str_distance(struct str a, struct str b, unsigned max);

#endif
