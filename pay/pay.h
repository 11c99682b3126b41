/*
 * pay: what payment providers say on the wire and want to hear, read, checked and signed.
 *
 * Pure functions over bytes: no sockets, no clock, no store, no order. Whoever receives a notice gives its raw body
 * and headers, the time, and the secrets; whoever sends a request gets the bytes that are to be signed, and their
 * signature. What a good notice means is decided elsewhere, against the order that it names.
 *
 * A signature is checked before anything is believed, over the bytes as they came, in constant time where it is a
 * MAC; then the time; then the form. Whatever is not exactly what a provider sends is refused: a missing signature,
 * one too many, hex that is none, base64 with something behind it.
 *
 *     sign.h      MACs, RSA, AES-GCM, base64
 *     stripe.h    Stripe's events
 *     alipay.h    Alipay's parameters, notices and answers
 *     wechat.h    WeChat Pay v3
 *     coins.h     stablecoin providers: NOWPayments, and those that sign as Hook0 does
 */
#ifndef PAY_PAY_H
#define PAY_PAY_H

#include "base/base.h"

#define PAY_BODY_BYTES_MAX (256 * 1024)
#define PAY_FRESH_S 300 /* how far a notice's time may be from ours, either way */
#define PAY_SECRETS_MAX 8

enum pay_verdict {
    PAY_GOOD = 0,
    PAY_UNSIGNED,       /* no signature, or none of a kind that is believed */
    PAY_BAD_SIGNATURE,  /* it is not of these bytes by any of the secrets */
    PAY_UNKNOWN_SIGNER, /* by a key that we do not have */
    PAY_STALE,          /* signed, but too old or too early */
    PAY_MALFORMED,      /* signed, but not what that provider sends */
    PAY_VERDICT_COUNT
};
extern const char *const pay_verdict_name[PAY_VERDICT_COUNT]; /* "good", "unsigned", … */

/* Several may be in force while one is changed for another. */
struct pay_secrets {
    const struct str *at;
    size_t count;
};

enum pay_event {
    PAY_OTHER = 0,      /* nothing that we act on */
    PAY_PAID,           /* money came for the order */
    PAY_PENDING,        /* the order was used, money is still to come */
    PAY_PARTLY,         /* less came than was asked for */
    PAY_FAILED,
    PAY_EXPIRED,        /* nothing came in time */
    PAY_REFUNDED,       /* some or all went back; nothing is credited by it */
    PAY_REFUND_FAILED,
    PAY_DISPUTED,       /* the payer takes it back through their bank */
    PAY_DISPUTE_CLOSED,
    PAY_EVENT_COUNT
};
extern const char *const pay_event_name[PAY_EVENT_COUNT]; /* "other", "paid", … */

/* What a notice says. Texts lie in the body or in the arena that it was read with; "": it does not say. */
struct pay_notice {
    enum pay_event event;
    struct str event_id;   /* of the provider: the same when it is sent again */
    struct str order_id;   /* as we named the order */
    struct str payment_id; /* of the provider */
    struct str account;    /* whose money it is: merchant, seller */
    struct str app;        /* of the merchant's several */
    struct str currency;   /* upper case */
    int64_t amount_minor;  /* of the currency; -1: it does not say */
    bool live;             /* no test */
};

#endif
