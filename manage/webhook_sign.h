/*
 * The signature of a webhook's event:
 *
 *     turnpike-signature: t=1795230245,v1=HEX
 *
 * HEX is HMAC-SHA256 of the time, a dot and the body, by the webhook's secret as it was shown ("whsec_" and all). A
 * receiver computes it again, and refuses what is too old. For a day after the secret was changed there is a
 * second v1, by the old one.
 */
#ifndef MANAGE_WEBHOOK_SIGN_H
#define MANAGE_WEBHOOK_SIGN_H

#include "base/base.h"

#define WEBHOOK_HEADER_MAX 256u

/* The whole header line. old_secret: STR_NONE without one. */
void webhook_sign(struct str secret, struct str old_secret, int64_t wall_s, struct str body,
                  char out[WEBHOOK_HEADER_MAX]);

#endif
