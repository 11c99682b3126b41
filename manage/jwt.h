/*
 * ID tokens: the compact form of JWS (RFC 7515) with RS256 or ES256, by the keys of a JWK set (RFC 7517), and what
 * OpenID Connect Core 3.1.3.7 wants of their claims. Pure. The algorithm comes from the key, never from the token
 * alone: a key says what it is for, and a token that says otherwise is refused.
 */
#ifndef MANAGE_JWT_H
#define MANAGE_JWT_H

#include "base/arena.h"
#include "base/base.h"
#include "base/js.h"

#define JWT_LEN_MAX 16384u
#define JWT_SKEW_S 120 /* clocks may differ by so much */

enum jwt_result {
    JWT_OK = 0,
    JWT_MALFORMED,
    JWT_ALGORITHM, /* none that we take */
    JWT_NO_KEY,    /* the set has none for it: it may be newer than the set */
    JWT_SIGNATURE,
    JWT_ISSUER,
    JWT_AUDIENCE,
    JWT_EXPIRED,
    JWT_EARLY, /* of the future */
    JWT_NONCE,
    JWT_SUBJECT,
    JWT_RESULT_COUNT
};
extern const char *const jwt_result_text[JWT_RESULT_COUNT];

/* Verifies the signature; *claims is then the payload, an object, in the arena. */
enum jwt_result jwt_verify(struct str token, struct js_value jwks, struct arena *arena,
                           struct js_value *claims) MUST_CHECK;

struct jwt_wanted {
    struct str issuer, audience, nonce;
    int64_t now_s;
};
enum jwt_result jwt_check(struct js_value claims, const struct jwt_wanted *wanted) MUST_CHECK;

/* Without padding, as RFC 4648 5 has it; NUL-terminated: out has room for (len * 4 + 2) / 3 + 1. */
void base64url(const void *bytes, size_t len, char *out);

#endif
