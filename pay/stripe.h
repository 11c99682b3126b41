/* Stripe: the events that its webhooks bring. https://docs.stripe.com/webhooks, /api/events */
#ifndef PAY_STRIPE_H
#define PAY_STRIPE_H

#include "base/arena.h"
#include "pay/pay.h"

/* The header Stripe-Signature over the raw body: "t=…,v1=…", with one time and as many v1 as there are secrets in
 * force there; other schemes say nothing. The secrets are whole, with their "whsec_". */
enum pay_verdict stripe_verify(const struct pay_secrets *secrets, struct str header, struct str body,
                               int64_t now_s) MUST_CHECK;
/* What a verified event says: PAY_GOOD or PAY_MALFORMED. payment_id is the payment intent. */
enum pay_verdict stripe_read(struct str body, struct arena *arena, struct pay_notice *out) MUST_CHECK;

#endif
