#include "pay/stripe.h"

#include "base/js.h"
#include "base/str.h"
#include "pay/read.h"
#include "pay/sign.h"

#define SIGNATURES_MAX 16u

/* ---- the signature ---- */

struct signature {
    struct str time;
    struct str v1[SIGNATURES_MAX];
    size_t count;
};

static bool
signature_read(struct str header, struct signature *out)
{
    struct str rest = header;

    *out = (struct signature){.time = STR_NONE};
    while (rest.ptr != NULL) {
        struct str value, name = str_trim(str_split(str_split(rest, ',', &rest), '=', &value));

        value = str_trim(value);
        if (str_eq(name, STR("t"))) {
            if (out->time.ptr != NULL)
                return false;
            out->time = value;
        } else if (str_eq(name, STR("v1"))) {
            if (out->count == SIGNATURES_MAX)
                return false;
            out->v1[out->count++] = value;
        }
    }
    return out->time.ptr != NULL && out->count > 0;
}

enum pay_verdict
stripe_verify(const struct pay_secrets *secrets, struct str header, struct str body, int64_t now_s)
{
    struct signature signature;
    bool good = false;

    if (header.len == 0 || !signature_read(header, &signature))
        return PAY_UNSIGNED;

    const struct str parts[] = {signature.time, STR("."), body};

    /* All of them, whichever matches. */
    for (size_t i = 0; i < secrets->count; i++)
        for (size_t k = 0; k < signature.count; k++)
            good |= secrets->at[i].len > 0 &&
                    pay_is_sha256(secrets->at[i], parts, COUNT_OF(parts), signature.v1[k]);
    if (!good)
        return PAY_BAD_SIGNATURE;
    return pay_is_fresh(signature.time, now_s) ? PAY_GOOD : PAY_STALE;
}

/* ---- the event ---- */

static enum pay_event
refund_event(struct str status)
{
    if (str_eq(status, STR("succeeded")))
        return PAY_REFUNDED;
    return str_eq(status, STR("failed")) || str_eq(status, STR("canceled")) ? PAY_REFUND_FAILED : PAY_OTHER;
}

static enum pay_event
event_of(struct str type, struct js_value object, struct arena *arena)
{
    struct str paid = pay_text(object, "payment_status", arena);

    if (str_eq(type, STR("checkout.session.completed")))
        return str_eq(paid, STR("paid"))     ? PAY_PAID
               : str_eq(paid, STR("unpaid")) ? PAY_PENDING
                                             : PAY_OTHER;
    if (str_eq(type, STR("checkout.session.async_payment_succeeded")))
        return str_eq(paid, STR("paid")) ? PAY_PAID : PAY_OTHER;
    if (str_eq(type, STR("checkout.session.async_payment_failed")))
        return PAY_FAILED;
    if (str_eq(type, STR("checkout.session.expired")))
        return PAY_EXPIRED;
    if (str_eq(type, STR("charge.dispute.created")))
        return PAY_DISPUTED;
    if (str_eq(type, STR("charge.dispute.closed")))
        return PAY_DISPUTE_CLOSED;
    if (str_eq(type, STR("refund.failed")))
        return PAY_REFUND_FAILED;
    return str_eq(type, STR("refund.updated")) ? refund_event(pay_text(object, "status", arena)) : PAY_OTHER;
}

/* A session says the order twice, and its payments and refunds in what we gave with them. */
static bool
order_of(struct js_value object, struct arena *arena, struct str *out)
{
    struct str reference = pay_text(object, "client_reference_id", arena);
    struct str noted = pay_text(js_get(object, STR("metadata")), "order_id", arena);

    *out = reference.len > 0 ? reference : noted;
    return reference.len == 0 || noted.len == 0 || str_eq(reference, noted);
}

static bool
amount_of(struct js_value object, int64_t *out)
{
    struct js_value amount = js_get(object, STR("amount_total"));

    if (js_is(amount, JS_NONE))
        amount = js_get(object, STR("amount"));
    *out = -1;
    return js_is(amount, JS_NONE) || js_is(amount, JS_NULL) || (js_i64(amount, out) && *out >= 0);
}

enum pay_verdict
stripe_read(struct str body, struct arena *arena, struct pay_notice *out)
{
    struct js_value event, object, live;
    struct js_error err;
    struct str type;

    *out = (struct pay_notice){.amount_minor = -1};
    if (!js_check(body, &event, &err))
        return PAY_MALFORMED;
    object = js_path(event, "data", "object", NULL);
    live = js_get(event, STR("livemode"));
    type = pay_text(event, "type", arena);
    out->event_id = pay_text(event, "id", arena);
    if (out->event_id.len == 0 || type.len == 0 || !js_is(object, JS_OBJECT))
        return PAY_MALFORMED;
    out->live = js_bool(live, false);
    out->event = event_of(type, object, arena);
    out->payment_id = pay_text(object, "payment_intent", arena);
    out->currency = pay_upper(pay_text(object, "currency", arena), arena);
    if (!order_of(object, arena, &out->order_id) || !amount_of(object, &out->amount_minor))
        return PAY_MALFORMED;
    /* Credit hangs on these. */
    if (out->event == PAY_PAID && (out->order_id.len == 0 || out->amount_minor < 0 || out->currency.len == 0))
        return PAY_MALFORMED;
    return PAY_GOOD;
}
