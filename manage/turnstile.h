/*
 * Cloudflare Turnstile: whether the answer that a page's widget gave is a person's. For threads beside the loop.
 * https://developers.cloudflare.com/turnstile/get-started/server-side-validation/
 */
#ifndef MANAGE_TURNSTILE_H
#define MANAGE_TURNSTILE_H

#include "base/base.h"
#include "conf/conf.h"

#define TURNSTILE_TOKEN_MAX 2048u

enum turnstile_result {
    TURNSTILE_PASSED = 0,
    TURNSTILE_FAILED, /* no person, an old answer, one used before */
    TURNSTILE_AWAY,   /* nobody could be asked, or our secret is wrong: an operator must act */
};

/* token: what the widget gave. ip: the person's, or STR_NONE. why: words for the log, without secrets. */
enum turnstile_result turnstile_verify(const struct conf_turnstile *conf, struct str token,
                                       struct str ip, char *why, size_t why_cap);
/* Of the service's answer. Pure. */
enum turnstile_result turnstile_judge(const struct conf_turnstile *conf, unsigned status,
                                      struct str answer, char *why, size_t why_cap);

#endif
