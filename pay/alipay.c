#include "pay/alipay.h"

#include <string.h>

#include "base/str.h"
#include "pay/read.h"

/* ---- fields ---- */

bool
alipay_add(struct alipay_fields *fields, struct str name, struct str value)
{
    if (fields->count == ALIPAY_FIELDS_MAX)
        return false;
    fields->at[fields->count++] = (struct alipay_field){name, value};
    return true;
}

struct str
alipay_get(const struct alipay_fields *fields, struct str name)
{
    for (size_t i = 0; i < fields->count; i++)
        if (str_eq(fields->at[i].name, name))
            return fields->at[i].value;
    return STR_NONE;
}

static int
name_cmp(struct str a, struct str b)
{
    int order = memcmp(a.ptr, b.ptr, MIN(a.len, b.len));

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static bool
is_signed(const struct alipay_field *field, bool notice)
{
    return field->value.len > 0 && !str_eq(field->name, STR("sign")) &&
           !(notice && str_eq(field->name, STR("sign_type")));
}

bool
alipay_string(const struct alipay_fields *fields, bool notice, struct buf *out)
{
    const struct alipay_field *sorted[ALIPAY_FIELDS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < fields->count; i++) {
        size_t at = count;

        if (!is_signed(&fields->at[i], notice))
            continue;
        for (; at > 0 && name_cmp(sorted[at - 1]->name, fields->at[i].name) > 0; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = &fields->at[i];
        count++;
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_char(out, '&');
        buf_add_str(out, sorted[i]->name);
        buf_add_char(out, '=');
        buf_add_str(out, sorted[i]->value);
    }
    return !out->failed;
}

/* ---- forms ---- */

static bool
is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.' || c == '~';
}

static void
add_encoded(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (is_unreserved(text.ptr[i]))
            buf_add_char(out, text.ptr[i]);
        else
            buf_add_fmt(out, "%%%02X", (unsigned char)text.ptr[i]);
}

/* STR_NONE: a "%" without its two digits, a NUL, or no memory. */
static struct str
decoded(struct str text, struct arena *arena)
{
    char *out = arena_alloc(arena, text.len + 1);
    size_t len = 0;

    if (out == NULL)
        return STR_NONE;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = (uint8_t)text.ptr[i];

        if (byte == '+') {
            byte = ' ';
        } else if (byte == '%') {
            if (text.len - i < 3 || !str_unhex((struct str){text.ptr + i + 1, 2}, &byte, 1))
                return STR_NONE;
            i += 2;
        }
        if (byte == '\0')
            return STR_NONE;
        out[len++] = (char)byte;
    }
    return (struct str){out, len};
}

bool
alipay_form(struct str body, struct arena *arena, struct alipay_fields *out)
{
    struct str rest = body;

    out->count = 0;
    if (body.len == 0)
        return false;
    while (rest.ptr != NULL) {
        struct str value, name = str_split(str_split(rest, '&', &rest), '=', &value);

        name = decoded(name, arena);
        value = value.ptr != NULL ? decoded(value, arena) : STR("");
        if (name.len == 0 || value.ptr == NULL || alipay_get(out, name).ptr != NULL ||
            !alipay_add(out, name, value))
            return false;
    }
    return true;
}

bool
alipay_query(struct alipay_fields *fields, struct pay_rsa *key, struct arena *arena, struct buf *out)
{
    struct buf string, signature;
    struct str part;
    char *copy = NULL;

    buf_init(&string, PAY_BODY_BYTES_MAX);
    buf_init(&signature, 4096);
    if (alipay_string(fields, false, &string)) {
        part = buf_str(&string);
        if (pay_rsa_sign(key, &part, 1, &signature))
            copy = arena_copy(arena, buf_str(&signature));
    }
    buf_free(&string);
    buf_free(&signature);
    if (copy == NULL || !alipay_add(fields, STR("sign"), str_from(copy)))
        return false;
    for (size_t i = 0; i < fields->count; i++) {
        if (i > 0)
            buf_add_char(out, '&');
        add_encoded(out, fields->at[i].name);
        buf_add_char(out, '=');
        add_encoded(out, fields->at[i].value);
    }
    return !out->failed;
}

/* ---- notices ---- */

enum pay_verdict
alipay_verify(struct pay_rsa *theirs, const struct alipay_fields *fields)
{
    struct str sign = alipay_get(fields, STR("sign")), text;
    struct buf string;
    bool good;

    if (sign.len == 0 || !str_eq(alipay_get(fields, STR("sign_type")), STR("RSA2")))
        return PAY_UNSIGNED;
    buf_init(&string, PAY_BODY_BYTES_MAX);
    good = alipay_string(fields, true, &string);
    text = buf_str(&string);
    good = good && pay_rsa_verify(theirs, &text, 1, sign);
    buf_free(&string);
    return good ? PAY_GOOD : PAY_BAD_SIGNATURE;
}

static bool
went_back(const struct alipay_fields *fields)
{
    return alipay_get(fields, STR("gmt_refund")).len > 0 || alipay_get(fields, STR("refund_fee")).len > 0 ||
           alipay_get(fields, STR("out_biz_no")).len > 0;
}

static enum pay_event
trade_event(const struct alipay_fields *fields)
{
    struct str status = alipay_get(fields, STR("trade_status"));

    if (went_back(fields))
        return PAY_REFUNDED;
    if (str_eq(status, STR("TRADE_SUCCESS")) || str_eq(status, STR("TRADE_FINISHED")))
        return PAY_PAID;
    if (str_eq(status, STR("TRADE_CLOSED")))
        return PAY_EXPIRED;
    return str_eq(status, STR("WAIT_BUYER_PAY")) ? PAY_PENDING : PAY_OTHER;
}

static struct str
some(struct str text)
{
    return text.ptr != NULL ? text : STR("");
}

enum pay_verdict
alipay_read(const struct alipay_fields *fields, struct pay_notice *out)
{
    struct str amount = alipay_get(fields, STR("total_amount"));

    *out = (struct pay_notice){
        .event = trade_event(fields),
        .event_id = some(alipay_get(fields, STR("notify_id"))),
        .order_id = some(alipay_get(fields, STR("out_trade_no"))),
        .payment_id = some(alipay_get(fields, STR("trade_no"))),
        .account = some(alipay_get(fields, STR("seller_id"))),
        .app = some(alipay_get(fields, STR("app_id"))),
        .currency = STR("CNY"), /* it knows no other */
        .amount_minor = -1,
        .live = true,
    };
    if (amount.len > 0 && !pay_cents(amount, &out->amount_minor))
        return PAY_MALFORMED;
    if (out->event_id.len == 0 || out->order_id.len == 0 || out->app.len == 0)
        return PAY_MALFORMED;
    if (out->event == PAY_PAID && (out->amount_minor < 0 || out->account.len == 0))
        return PAY_MALFORMED;
    return PAY_GOOD;
}

/* ---- answers ---- */

/* "alipay.trade.query" answers in "alipay_trade_query_response". */
static struct str
answer_name(struct str method, char *out, size_t cap)
{
    size_t len = method.len;

    if (len + sizeof("_response") > cap)
        return STR_NONE;
    for (size_t i = 0; i < len; i++)
        out[i] = method.ptr[i] == '.' ? '_' : method.ptr[i];
    memcpy(out + len, "_response", sizeof("_response"));
    return str_from(out);
}

enum pay_verdict
alipay_answer(struct pay_rsa *theirs, struct str method, struct str body, struct js_value *answer)
{
    struct js_value whole, sign;
    struct js_error err;
    char name[128];

    *answer = (struct js_value){.type = JS_NONE};
    if (answer_name(method, name, sizeof(name)).ptr == NULL || !js_check(body, &whole, &err))
        return PAY_MALFORMED;
    *answer = js_get(whole, str_from(name));
    if (!js_is(*answer, JS_OBJECT)) /* what no method is at fault for */
        *answer = js_get(whole, STR("error_response"));
    if (!js_is(*answer, JS_OBJECT))
        return PAY_MALFORMED;
    sign = js_get(whole, STR("sign"));
    if (!js_is(sign, JS_STRING) || sign.raw.len == 0)
        return PAY_UNSIGNED;
    /* Base64 may come with its slashes escaped. */
    char room[2048];
    struct str base64 = js_unescape(sign, room, sizeof(room));

    return base64.ptr != NULL && pay_rsa_verify(theirs, &answer->raw, 1, base64) ? PAY_GOOD
                                                                                 : PAY_BAD_SIGNATURE;
}
