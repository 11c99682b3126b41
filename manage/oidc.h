/*
 * Signing in by another: OpenID Connect's code flow with PKCE (RFC 7636, S256), state and nonce.
 *
 *     oidc_begin()   where to send the browser; what to keep until it comes back
 *     oidc_finish()  it came back with a code: who it is
 *
 * For threads beside the loop: both may ask the provider, and wait. What a provider says of itself and its keys is
 * kept for an hour; a key that is not among them has them asked for again, at most once a minute. All that comes
 * from it is bounded, redirects are not followed, every address is held against the dial rule (manage/curl.h).
 */
#ifndef MANAGE_OIDC_H
#define MANAGE_OIDC_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "base/js.h"
#include "conf/conf.h"

#define OIDC_RANDOM_LEN 43u /* 32 random bytes in base64url */
#define OIDC_SUBJECT_MAX 255u

struct oidc; /* one provider; for any thread */

/* Copies nothing: conf must outlive it. NULL: no memory. */
struct oidc *oidc_new(const struct conf_oidc *conf);
void oidc_free(struct oidc **oidc);

/* What belongs to one sign-in: to be kept where only that browser has it, for minutes, and used once. */
struct oidc_flow {
    char state[OIDC_RANDOM_LEN + 1], nonce[OIDC_RANDOM_LEN + 1], verifier[OIDC_RANDOM_LEN + 1];
};

/* Makes a flow, and appends the provider's address with all parameters. 0, or a negative errno with why. */
int oidc_begin(struct oidc *oidc, struct str redirect_uri, struct oidc_flow *flow, struct buf *url,
               char *why, size_t why_cap) MUST_CHECK;

struct oidc_person {
    struct str subject; /* with the issuer, who it is for ever */
    struct str email;   /* STR_NONE: none, or none that may be believed */
    struct str name;    /* STR_NONE: none */
};
/*
 * Strings of *person are in the arena. -EACCES: the provider, or its token, says no; -EPERM: the address is of no
 * domain that may come; else it could not be asked. why says it in words, without secrets.
 */
int oidc_finish(struct oidc *oidc, struct str redirect_uri, const struct oidc_flow *flow,
                struct str code, int64_t now_s, struct arena *arena, struct oidc_person *person,
                char *why, size_t why_cap) MUST_CHECK;

/* Of the token's claims, checked already, the person. As oidc_finish(). */
int oidc_person_of(const struct conf_oidc *conf, struct js_value claims, struct arena *arena,
                   struct oidc_person *person, char *why, size_t why_cap) MUST_CHECK;

#endif
