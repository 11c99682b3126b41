/* Notices of payment providers from any bytes: the first byte says whose. A reader stays inside, says amounts that can
 * be, and nothing that it did not read; a signature by a key that nobody signed with is never good. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "pay/alipay.h"
#include "pay/coins.h"
#include "pay/stripe.h"
#include "pay/wechat.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const char secret_text[] = "0123456789abcdef0123456789abcdef";
static const struct str secret = {secret_text, sizeof(secret_text) - 1};
static const struct pay_secrets secrets = {&secret, 1};

/* Up to the first NUL the header, then the body. */
static struct str
header_of(struct str *body)
{
    struct str rest, header = str_split(*body, '\0', &rest);

    if (rest.ptr == NULL)
        return STR("");
    *body = rest;
    return header;
}

static void
check(enum pay_verdict verdict, const struct pay_notice *n)
{
    if (verdict != PAY_GOOD)
        return;
    ASSERT(n->event < PAY_EVENT_COUNT && n->amount_minor >= -1);
    ASSERT(n->event != PAY_PAID || (n->amount_minor >= 0 && n->order_id.len > 0 && n->currency.len > 0));
}

static void
stripe(struct str body, struct arena *arena)
{
    struct str header = header_of(&body);
    struct pay_notice n;

    ASSERT(stripe_verify(&secrets, header, body, 1700000000) != PAY_GOOD);
    check(stripe_read(body, arena, &n), &n);
}

static void
coins(struct str body, struct arena *arena)
{
    static const struct pay_header headers[] = {{{"a", 1}, {"1", 1}}, {{"b", 1}, {"2", 1}}, {{"B", 1}, {"3", 1}}};
    struct str header = header_of(&body), again;
    struct buf sorted, twice;
    struct pay_notice n;

    ASSERT(nowpayments_verify(&secrets, header, body, arena) != PAY_GOOD);
    ASSERT(hook0_verify(&secrets, header, headers, COUNT_OF(headers), body, 1700000000) != PAY_GOOD);
    check(nowpayments_read(body, arena, &n), &n);
    buf_init(&sorted, 1 << 20);
    buf_init(&twice, 1 << 20);
    if (nowpayments_sorted(body, arena, &sorted)) {
        again = buf_str(&sorted);
        ASSERT(nowpayments_sorted(again, arena, &twice) && str_eq(buf_str(&twice), again));
    }
    buf_free(&sorted);
    buf_free(&twice);
}

static void
alipay(struct str body, struct arena *arena)
{
    struct alipay_fields fields;
    struct pay_notice n;
    struct buf string;

    if (!alipay_form(body, arena, &fields))
        return;
    buf_init(&string, 1 << 20);
    ASSERT(alipay_string(&fields, true, &string));
    buf_free(&string);
    check(alipay_read(&fields, &n), &n);
}

static void
wechat(struct str body, struct arena *arena)
{
    struct pay_notice n;

    check(wechat_read(body, secret, arena, &n), &n);
    ASSERT(pay_gcm_open(arena, secret, STR("0123456789ab"), STR(""), body).ptr == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static void (*const providers[])(struct str, struct arena *) = {stripe, coins, alipay, wechat};
    char *copy = malloc(len + 1);
    struct arena arena;

    if (copy == NULL || len == 0) {
        free(copy);
        return 0;
    }
    memcpy(copy, bytes + 1, len - 1);
    copy = realloc(copy, len > 1 ? len - 1 : 1); /* its end is where a sanitizer looks */
    arena_init(&arena, 1 << 24);
    if (copy != NULL)
        providers[bytes[0] % COUNT_OF(providers)]((struct str){copy, len - 1}, &arena);
    arena_end(&arena);
    free(copy);
    return 0;
}
