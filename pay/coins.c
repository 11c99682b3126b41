#include "pay/coins.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "pay/read.h"
#include "pay/sign.h"

#define MEMBERS_MAX 256u
#define SIGNED_HEADERS_MAX 32u

/* ---- NOWPayments ---- */

struct member {
    struct str name; /* unescaped */
    struct js_value key, value;
};

static int
member_cmp(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int order = memcmp(x->name.ptr, y->name.ptr, MIN(x->name.len, y->name.len));

    return order != 0 ? order : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

/* An object's members, sorted. NULL: two of one name, too many, or no memory. */
static struct member *
members_of(struct js_value object, struct arena *arena, size_t *count)
{
    struct member *members = arena_alloc(arena, MEMBERS_MAX * sizeof(*members));
    struct js_value key, value;
    struct js_iter it;

    *count = 0;
    if (members == NULL)
        return NULL;
    for (js_iter_init(&it, object); js_next(&it, &key, &value);) {
        char *room = arena_alloc(arena, key.raw.len + 1);

        if (room == NULL || *count == MEMBERS_MAX)
            return NULL;
        members[(*count)++] =
            (struct member){js_unescape(key, room, key.raw.len + 1), key, value};
    }
    qsort(members, *count, sizeof(*members), member_cmp);
    for (size_t i = 1; i < *count; i++)
        if (member_cmp(&members[i - 1], &members[i]) == 0)
            return NULL;
    return members;
}

static bool sorted(struct js_value value, struct arena *arena, struct buf *out);

static bool
sorted_object(struct js_value object, struct arena *arena, struct buf *out)
{
    size_t count;
    const struct member *members = members_of(object, arena, &count);

    if (members == NULL)
        return false;
    buf_add_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        buf_add_str(out, i > 0 ? STR(",\"") : STR("\""));
        buf_add_str(out, members[i].key.raw);
        buf_add_str(out, STR("\":"));
        if (!sorted(members[i].value, arena, out))
            return false;
    }
    return buf_add_char(out, '}');
}

static bool
sorted_array(struct js_value array, struct arena *arena, struct buf *out)
{
    struct js_value key, value;
    struct js_iter it;

    buf_add_char(out, '[');
    for (js_iter_init(&it, array); js_next(&it, &key, &value);) {
        if (it.index > 0)
            buf_add_char(out, ',');
        if (!sorted(value, arena, out))
            return false;
    }
    return buf_add_char(out, ']');
}

/* As deep as the text, which js_check() bounds. */
static bool
sorted(struct js_value value, struct arena *arena, struct buf *out)
{
    switch (value.type) {
    case JS_OBJECT: return sorted_object(value, arena, out);
    case JS_ARRAY: return sorted_array(value, arena, out);
    case JS_STRING:
        return buf_add_char(out, '"') && buf_add_str(out, value.raw) && buf_add_char(out, '"');
    case JS_NULL:
    case JS_FALSE:
    case JS_TRUE:
    case JS_NUMBER: return buf_add_str(out, value.raw);
    case JS_NONE: break;
    }
    return false;
}

bool
nowpayments_sorted(struct str body, struct arena *arena, struct buf *out)
{
    struct js_value value;
    struct js_error err;

    return js_check(body, &value, &err) && js_is(value, JS_OBJECT) && sorted(value, arena, out);
}

enum pay_verdict
nowpayments_verify(const struct pay_secrets *secrets, struct str header, struct str body, struct arena *arena)
{
    bool good = false;
    struct buf text;

    if (header.len == 0)
        return PAY_UNSIGNED;
    buf_init(&text, PAY_BODY_BYTES_MAX);
    if (body.len > PAY_BODY_BYTES_MAX || !nowpayments_sorted(body, arena, &text)) {
        buf_free(&text);
        return PAY_BAD_SIGNATURE; /* nothing that they could have signed */
    }

    const struct str parts[] = {buf_str(&text)};

    for (size_t i = 0; i < secrets->count; i++)
        good |= secrets->at[i].len > 0 && pay_is_sha512(secrets->at[i], parts, COUNT_OF(parts), header);
    buf_free(&text);
    return good ? PAY_GOOD : PAY_BAD_SIGNATURE;
}

static enum pay_event
coin_event(struct str status)
{
    static const struct {
        const char *status;
        enum pay_event event;
    } events[] = {
        {"waiting", PAY_PENDING},      {"confirming", PAY_PENDING}, {"confirmed", PAY_PENDING},
        {"sending", PAY_PENDING},      {"finished", PAY_PAID},      {"partially_paid", PAY_PARTLY},
        {"failed", PAY_FAILED},        {"refunded", PAY_REFUNDED},  {"expired", PAY_EXPIRED},
    };

    for (size_t i = 0; i < COUNT_OF(events); i++)
        if (str_eq(status, str_from(events[i].status)))
            return events[i].event;
    return PAY_OTHER;
}

/* A number or a string: an identity is what it says, not what it is worth. */
static struct str
identity(struct js_value object, const char *name, struct arena *arena)
{
    struct js_value value = js_get(object, str_from(name));

    return js_is(value, JS_NUMBER) ? value.raw : pay_text(object, name, arena);
}

enum pay_verdict
nowpayments_read(struct str body, struct arena *arena, struct pay_notice *out)
{
    struct js_value notice;
    struct js_error err;
    struct str price;

    *out = (struct pay_notice){.amount_minor = -1, .live = true};
    if (!js_check(body, &notice, &err) || !js_is(notice, JS_OBJECT))
        return PAY_MALFORMED;
    out->event = coin_event(pay_text(notice, "payment_status", arena));
    out->order_id = identity(notice, "order_id", arena);
    out->payment_id = identity(notice, "payment_id", arena);
    out->currency = pay_upper(pay_text(notice, "price_currency", arena), arena);
    price = identity(notice, "price_amount", arena);
    if (price.len > 0 && !pay_cents(price, &out->amount_minor))
        return PAY_MALFORMED;
    if (out->payment_id.len == 0 || out->order_id.len == 0)
        return PAY_MALFORMED;
    if (out->event == PAY_PAID && (out->amount_minor < 0 || out->currency.len == 0))
        return PAY_MALFORMED;
    return PAY_GOOD;
}

/* ---- Hook0 ---- */

struct hook {
    struct str time, names, v1;
};

static bool
hook_read(struct str header, struct hook *out)
{
    struct str rest = header;

    *out = (struct hook){STR_NONE, STR_NONE, STR_NONE};
    while (rest.ptr != NULL) {
        struct str value, name = str_trim(str_split(str_split(rest, ',', &rest), '=', &value));
        struct str *at = str_eq(name, STR("t"))    ? &out->time
                         : str_eq(name, STR("h"))  ? &out->names
                         : str_eq(name, STR("v1")) ? &out->v1
                                                   : NULL;

        if (at != NULL && at->ptr != NULL)
            return false;
        if (at != NULL)
            *at = value;
    }
    return out->time.ptr != NULL && out->names.ptr != NULL && out->v1.ptr != NULL;
}

static const struct str *
header_once(struct str name, const struct pay_header *headers, size_t count)
{
    const struct str *found = NULL;

    for (size_t i = 0; i < count; i++) {
        if (!str_eq_nocase(headers[i].name, name))
            continue;
        if (found != NULL)
            return NULL;
        found = &headers[i].value;
    }
    return found;
}

/* "TIME.NAMES.VALUES.BODY", the values with dots between them. Returns how many parts; 0: one is not there. */
static size_t
hook_parts(const struct hook *hook, const struct pay_header *headers, size_t header_count, struct str body,
           struct str parts[6 + 2 * SIGNED_HEADERS_MAX])
{
    struct str rest = hook->names;
    size_t count = 0;

    parts[count++] = hook->time;
    parts[count++] = STR(".");
    parts[count++] = hook->names;
    for (size_t n = 0; rest.ptr != NULL; n++) {
        const struct str *value = header_once(str_split(rest, ' ', &rest), headers, header_count);

        if (value == NULL || n == SIGNED_HEADERS_MAX)
            return 0;
        parts[count++] = STR(".");
        parts[count++] = *value;
    }
    parts[count++] = STR(".");
    parts[count++] = body;
    return count;
}

enum pay_verdict
hook0_verify(const struct pay_secrets *secrets, struct str header, const struct pay_header *headers,
             size_t header_count, struct str body, int64_t now_s)
{
    struct str parts[6 + 2 * SIGNED_HEADERS_MAX];
    struct hook hook;
    bool good = false;
    size_t count;

    if (header.len == 0 || !hook_read(header, &hook))
        return PAY_UNSIGNED;
    count = hook_parts(&hook, headers, header_count, body, parts);
    for (size_t i = 0; count > 0 && i < secrets->count; i++)
        good |= secrets->at[i].len > 0 && pay_is_sha256(secrets->at[i], parts, count, hook.v1);
    if (!good)
        return PAY_BAD_SIGNATURE;
    return pay_is_fresh(hook.time, now_s) ? PAY_GOOD : PAY_STALE;
}

enum pay_verdict
raw_body_verify(const struct pay_secrets *secrets, struct str header, struct str body)
{
    bool good = false;

    if (header.len == 0)
        return PAY_UNSIGNED;
    for (size_t i = 0; i < secrets->count; i++)
        good |= secrets->at[i].len > 0 && pay_is_sha256(secrets->at[i], &body, 1, header);
    return good ? PAY_GOOD : PAY_BAD_SIGNATURE;
}
