/*
 * Stablecoins through a provider: NOWPayments' notices, whose MAC is of the body written anew with its keys sorted;
 * and notices that sign chosen headers and the raw body, as Hook0 does for Coinbase Business.
 */
#ifndef PAY_COINS_H
#define PAY_COINS_H

#include "base/arena.h"
#include "base/buf.h"
#include "pay/pay.h"

/* The header x-nowpayments-sig over the body. There is no time in it: what is old is known by its order. */
enum pay_verdict nowpayments_verify(const struct pay_secrets *secrets, struct str header, struct str body,
                                    struct arena *arena) MUST_CHECK;
/*
 * What it signs: keys sorted at every level, no blanks, numbers and strings as they stand. False when it is no JSON
 * object, an object says a name twice or has more than 256, or memory is short.
 */
bool nowpayments_sorted(struct str body, struct arena *arena, struct buf *out) MUST_CHECK;
/*
 * The event of it: PAY_PAID for "finished", PAY_PARTLY for "partially_paid". order_id, payment_id and the price:
 * amount_minor is price_amount in hundredths of its currency.
 */
enum pay_verdict nowpayments_read(struct str body, struct arena *arena, struct pay_notice *out) MUST_CHECK;

/* The headers of a request, by name. */
struct pay_header {
    struct str name, value;
};
/* The header X-Hook0-Signature: "t=…,h=names,v1=…". A header that is signed must be there once. */
enum pay_verdict hook0_verify(const struct pay_secrets *secrets, struct str header,
                              const struct pay_header *headers, size_t header_count, struct str body,
                              int64_t now_s) MUST_CHECK;
/* Plain hex of the body's MAC. */
enum pay_verdict raw_body_verify(const struct pay_secrets *secrets, struct str header, struct str body) MUST_CHECK;

#endif
