#include "pay/wechat.h"

#include <stdio.h>

#include "base/js.h"
#include "base/str.h"
#include "pay/read.h"

#define PROBE STR("WECHATPAY/SIGNTEST/")

/* ---- requests ---- */

bool
wechat_authorization(const struct wechat_merchant *merchant, const struct wechat_request *request,
                     struct buf *out)
{
    char time[24];
    int len = snprintf(time, sizeof(time), "%lld", (long long)request->time_s);
    const struct str at = {time, (size_t)len}, newline = STR("\n");
    const struct str parts[] = {request->method, newline, request->path, newline, at, newline,
                                request->nonce, newline, request->body, newline};

    buf_add_fmt(out, "WECHATPAY2-SHA256-RSA2048 mchid=\"%.*s\",nonce_str=\"%.*s\",signature=\"",
                STR_ARGS(merchant->mchid), STR_ARGS(request->nonce));
    if (!pay_rsa_sign(merchant->key, parts, COUNT_OF(parts), out))
        return false;
    return buf_add_fmt(out, "\",timestamp=\"%s\",serial_no=\"%.*s\"", time, STR_ARGS(merchant->serial));
}

/* ---- what it signs ---- */

static struct pay_rsa *
key_of(const struct wechat_signer *signers, size_t count, struct str serial)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(signers[i].serial, serial))
            return signers[i].key;
    return NULL;
}

enum pay_verdict
wechat_verify(const struct wechat_signer *signers, size_t signer_count, const struct wechat_signed *message,
              int64_t now_s)
{
    const struct str newline = STR("\n");
    const struct str parts[] = {message->timestamp, newline, message->nonce, newline, message->body, newline};
    struct pay_rsa *key;

    if (message->serial.len == 0 || message->timestamp.len == 0 || message->nonce.len == 0 ||
        message->signature.len == 0)
        return PAY_UNSIGNED;
    if (str_starts_with(message->signature, PROBE))
        return PAY_BAD_SIGNATURE;
    key = key_of(signers, signer_count, message->serial);
    if (key == NULL)
        return PAY_UNKNOWN_SIGNER;
    if (!pay_rsa_verify(key, parts, COUNT_OF(parts), message->signature))
        return PAY_BAD_SIGNATURE;
    return pay_is_fresh(message->timestamp, now_s) ? PAY_GOOD : PAY_STALE;
}

/* ---- notices ---- */

static enum pay_event
paid_event(struct str state)
{
    if (str_eq(state, STR("SUCCESS")))
        return PAY_PAID;
    if (str_eq(state, STR("REFUND")))
        return PAY_REFUNDED;
    if (str_eq(state, STR("CLOSED")) || str_eq(state, STR("REVOKED")))
        return PAY_EXPIRED;
    return str_eq(state, STR("PAYERROR")) ? PAY_FAILED : PAY_PENDING;
}

static enum pay_event
event_of(struct str type, struct js_value inner, struct arena *arena)
{
    if (str_eq(type, STR("TRANSACTION.SUCCESS")))
        return paid_event(pay_text(inner, "trade_state", arena));
    if (str_eq(type, STR("REFUND.SUCCESS")))
        return PAY_REFUNDED;
    if (str_eq(type, STR("REFUND.CLOSED")) || str_eq(type, STR("REFUND.ABNORMAL")))
        return PAY_REFUND_FAILED;
    return PAY_OTHER;
}

/* The JSON within. STR_NONE: it is not sealed as it must be, or does not open. */
static struct str
resource_open(struct js_value resource, struct str api_key, struct arena *arena)
{
    if (!str_eq(pay_text(resource, "algorithm", arena), STR("AEAD_AES_256_GCM")))
        return STR_NONE;
    return pay_gcm_open(arena, api_key, pay_text(resource, "nonce", arena),
                        pay_text(resource, "associated_data", arena), pay_text(resource, "ciphertext", arena));
}

static bool
amount_of(struct js_value inner, struct arena *arena, struct pay_notice *out)
{
    struct js_value amount = js_get(inner, STR("amount")), total = js_get(amount, STR("total"));

    if (js_is(amount, JS_NONE))
        return true;
    out->currency = pay_text(amount, "currency", arena);
    if (out->currency.len == 0)
        out->currency = STR("CNY"); /* what refunds do not say */
    return js_i64(total, &out->amount_minor) && out->amount_minor >= 0;
}

enum pay_verdict
wechat_read(struct str body, struct str api_key, struct arena *arena, struct pay_notice *out)
{
    struct js_value notice, inner;
    struct js_error err;
    struct str opened;

    *out = (struct pay_notice){.amount_minor = -1, .live = true};
    if (!js_check(body, &notice, &err))
        return PAY_MALFORMED;
    out->event_id = pay_text(notice, "id", arena);
    opened = resource_open(js_get(notice, STR("resource")), api_key, arena);
    if (opened.ptr == NULL)
        return PAY_BAD_SIGNATURE;
    if (out->event_id.len == 0 || !js_check(opened, &inner, &err))
        return PAY_MALFORMED;
    out->event = event_of(pay_text(notice, "event_type", arena), inner, arena);
    out->order_id = pay_text(inner, "out_trade_no", arena);
    out->payment_id = pay_text(inner, "transaction_id", arena);
    out->account = pay_text(inner, "mchid", arena);
    out->app = pay_text(inner, "appid", arena);
    if (out->order_id.len == 0 || out->account.len == 0 || !amount_of(inner, arena, out))
        return PAY_MALFORMED;
    if (out->event == PAY_PAID && (out->amount_minor < 0 || out->app.len == 0))
        return PAY_MALFORMED;
    return PAY_GOOD;
}
