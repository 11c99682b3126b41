#include "ledger/order.h"

#include "base/clock.h"
#include "ledger/core.h"
#include "ledger/doc.h"

#include "base/rng.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SECOND_US INT64_C(1000000)
#define DAY_US (86400 * SECOND_US)

const char *const order_state_name[] = {
    [ORDER_CREATED] = "created",     [ORDER_PENDING] = "pending", [ORDER_CREDITED] = "credited",
    [ORDER_REVIEW] = "review",       [ORDER_EXPIRED] = "expired", [ORDER_FAILED] = "failed",
    [ORDER_CANCELLED] = "cancelled", [ORDER_FROZEN] = "frozen",
};
_Static_assert(COUNT_OF(order_state_name) == ORDER_STATE_COUNT, "a new state needs a name");

void
order_id_new(char id[ORDER_ID_LEN + 1], int64_t wall_us)
{
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint64_t ms = (uint64_t)MAX(wall_us, 0) / 1000;
    uint8_t random[16];

    for (int i = 9; i >= 0; i--, ms >>= 5)
        id[i] = alphabet[ms & 31];
    rng_bytes(random, sizeof(random));
    for (unsigned i = 0; i < 16; i++)
        id[10 + i] = alphabet[random[i] & 31];
    id[ORDER_ID_LEN] = '\0';
}

/* ---- keeping ---- */

static struct db_key
id_key(struct str id)
{
    struct db_key key;

    db_key_start(&key);
    if (!db_key_text(&key, (struct str){id.ptr, MIN(id.len, (size_t)ORDER_ID_LEN)}))
        ASSERT(false);
    return key;
}

static struct db_key
of_key(const struct order *order)
{
    struct db_key key = db_key_of_u32(order->tenant_id);

    db_key_u64(&key, (uint64_t)order->created_us);
    if (!db_key_text(&key, str_from(order->id)))
        ASSERT(false);
    return key;
}

static struct db_key
open_key(int64_t due_us, const char *id)
{
    struct db_key key = db_key_of_u64((uint64_t)due_us);

    if (!db_key_text(&key, str_from(id)))
        ASSERT(false);
    return key;
}

static void
steps_read(struct js_value doc, struct order *out)
{
    struct js_value key, value;
    struct js_iter it;

    for (js_iter_init(&it, js_get(doc, STR("steps"))); js_next(&it, &key, &value) && out->step_count < ORDER_STEPS_MAX;) {
        struct order_step *step = &out->steps[out->step_count++];

        step->at_us = doc_i64(value, STR("at_us"));
        step->state = MIN(doc_u32(value, STR("state")), ORDER_STATE_COUNT - 1u);
        doc_text(value, STR("note"), step->note, sizeof(step->note));
    }
}

/* A text longer than doc_text() reads. */
static void
long_text(struct js_value doc, struct str name, char *out, size_t cap)
{
    struct js_value value = js_get(doc, name);
    char scratch[ORDER_URL_MAX * 2];

    out[0] = '\0';
    if (js_is(value, JS_STRING) && value.raw.len < sizeof(scratch))
        str_copy(js_unescape(value, scratch, sizeof(scratch)), out, cap);
}

int
order_get(struct db_txn *txn, struct str id, struct order *out)
{
    struct db_key key;
    struct js_value doc;
    int rc;

    if (id.len != ORDER_ID_LEN)
        return -ENOENT;
    key = id_key(id);
    rc = doc_get(txn, DB_ORDER, &key, &doc);
    if (rc < 0)
        return rc;
    memset(out, 0, sizeof(*out));
    str_copy(id, out->id, sizeof(out->id));
    out->tenant_id = doc_u32(doc, STR("tenant"));
    out->person_id = doc_u32(doc, STR("person"));
    doc_text(doc, STR("provider"), out->provider, sizeof(out->provider));
    doc_text(doc, STR("confirmed_by"), out->confirmed_by, sizeof(out->confirmed_by));
    doc_text(doc, STR("account"), out->account, sizeof(out->account));
    doc_text(doc, STR("app"), out->app, sizeof(out->app));
    doc_text(doc, STR("promo"), out->promo, sizeof(out->promo));
    doc_text(doc, STR("plan"), out->plan, sizeof(out->plan));
    out->currency = (enum conf_currency)MIN(doc_u32(doc, STR("currency")), CONF_CURRENCY_COUNT - 1u);
    out->amount_minor = doc_i64(doc, STR("amount_minor"));
    out->credits_ucr = doc_i64(doc, STR("credits_ucr"));
    out->bonus_ucr = doc_i64(doc, STR("bonus_ucr"));
    out->created_us = doc_i64(doc, STR("created_us"));
    out->expires_us = doc_i64(doc, STR("expires_us"));
    out->credited_us = doc_i64(doc, STR("credited_us"));
    out->due_us = doc_i64(doc, STR("due_us"));
    out->looks = doc_u32(doc, STR("looks"));
    out->state = (enum order_state)MIN(doc_u32(doc, STR("state")), ORDER_STATE_COUNT - 1u);
    out->live = doc_bool(doc, STR("live"));
    out->late = doc_bool(doc, STR("late"));
    doc_text(doc, STR("ref"), out->ref, sizeof(out->ref));
    doc_text(doc, STR("payment"), out->payment, sizeof(out->payment));
    long_text(doc, STR("url"), out->url, sizeof(out->url));
    long_text(doc, STR("qr"), out->qr, sizeof(out->qr));
    out->refunded_minor = doc_i64(doc, STR("refunded_minor"));
    steps_read(doc, out);
    return 0;
}

static int
doc_write(struct db_txn *txn, const struct order *o)
{
    struct db_key key = id_key(str_from(o->id));
    struct doc doc;
    struct jw *jw = &doc.jw;

    doc_start(&doc);
    jw_key_u64(jw, "tenant", o->tenant_id);
    jw_key_u64(jw, "person", o->person_id);
    jw_key_cstr(jw, "provider", o->provider);
    jw_key_cstr(jw, "confirmed_by", o->confirmed_by);
    jw_key_cstr(jw, "account", o->account);
    jw_key_cstr(jw, "app", o->app);
    jw_key_cstr(jw, "promo", o->promo);
    jw_key_cstr(jw, "plan", o->plan);
    jw_key_u64(jw, "currency", (uint64_t)o->currency);
    jw_key_i64(jw, "amount_minor", o->amount_minor);
    jw_key_i64(jw, "credits_ucr", o->credits_ucr);
    jw_key_i64(jw, "bonus_ucr", o->bonus_ucr);
    jw_key_i64(jw, "created_us", o->created_us);
    jw_key_i64(jw, "expires_us", o->expires_us);
    jw_key_i64(jw, "credited_us", o->credited_us);
    jw_key_i64(jw, "due_us", o->due_us);
    jw_key_u64(jw, "looks", o->looks);
    jw_key_u64(jw, "state", (uint64_t)o->state);
    jw_key_bool(jw, "live", o->live);
    jw_key_bool(jw, "late", o->late);
    jw_key_cstr(jw, "ref", o->ref);
    jw_key_cstr(jw, "payment", o->payment);
    jw_key_cstr(jw, "url", o->url);
    jw_key_cstr(jw, "qr", o->qr);
    jw_key_i64(jw, "refunded_minor", o->refunded_minor);
    jw_key(jw, "steps");
    jw_array(jw);
    for (uint32_t i = 0; i < o->step_count; i++) {
        jw_object(jw);
        jw_key_i64(jw, "at_us", o->steps[i].at_us);
        jw_key_u64(jw, "state", o->steps[i].state);
        jw_key_cstr(jw, "note", o->steps[i].note);
        jw_object_end(jw);
    }
    jw_array_end(jw);
    return doc_put(txn, DB_ORDER, &key, &doc);
}

static bool
is_open(const struct order *order)
{
    return order->state == ORDER_CREATED || order->state == ORDER_PENDING || order->state == ORDER_EXPIRED;
}

int
order_put(struct db_txn *txn, struct order *order)
{
    struct db_key key = id_key(str_from(order->id)), of = of_key(order);
    struct js_value was;
    int64_t was_due_us = 0;
    int rc = doc_get(txn, DB_ORDER, &key, &was);

    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (rc == 0)
        was_due_us = doc_i64(was, STR("due_us"));
    else
        rc = db_put_new(txn, DB_ORDER_OF, &of, STR_NONE);
    if (!is_open(order))
        order->due_us = 0;
    if (rc == 0 && was_due_us != 0 && was_due_us != order->due_us) {
        key = open_key(was_due_us, order->id);
        rc = db_delete(txn, DB_ORDER_OPEN, &key);
    }
    if (rc == 0 && order->due_us != 0 && was_due_us != order->due_us) {
        key = open_key(order->due_us, order->id);
        rc = db_put(txn, DB_ORDER_OPEN, &key, STR_NONE);
    }
    if (rc < 0)
        return rc == -ENOENT ? -EILSEQ : rc;
    return doc_write(txn, order);
}

void
order_step(struct order *order, int64_t at_us, enum order_state state, const char *fmt, ...)
{
    struct order_step *step = &order->steps[MIN(order->step_count, ORDER_STEPS_MAX - 1)];
    va_list args;

    order->step_count = MIN(order->step_count + 1, ORDER_STEPS_MAX);
    order->state = state;
    step->at_us = at_us;
    step->state = (uint32_t)state;
    va_start(args, fmt);
    (void)vsnprintf(step->note, sizeof(step->note), fmt, args);
    va_end(args);
}

int64_t
order_next_look_us(const struct order *order, int64_t now_us)
{
    static const int64_t after_s[] = {5, 15, 30, 60, 180, 600, 1800};
    int64_t wait_s = order->looks < COUNT_OF(after_s) ? after_s[order->looks] : 3600;
    int64_t next_us = now_us + wait_s * SECOND_US;

    return next_us > order->expires_us + DAY_US ? 0 : next_us;
}

/* ---- showing ---- */

static void
write_time(struct jw *jw, const char *name, int64_t us)
{
    if (us != 0) {
        jw_key_time(jw, name, us);
        return;
    }
    jw_key(jw, name);
    jw_null(jw);
}

static void
write_text(struct jw *jw, const char *name, const char *text)
{
    jw_key_cstr(jw, name, text[0] != '\0' ? text : NULL);
}

void
order_write(struct command *command, const struct order *o)
{
    struct jw *jw = &command->jw;

    jw_key_cstr(jw, "order", o->id);
    jw_key_u64(jw, "tenant", o->tenant_id);
    jw_key_cstr(jw, "provider", o->provider);
    jw_key_cstr(jw, "mode", o->live ? "live" : "test");
    jw_key_cstr(jw, "state", order_state_name[o->state]);
    jw_key_bool(jw, "late", o->late);
    jw_key_cstr(jw, "currency", conf_currency_name[o->currency]);
    jw_key_i64(jw, "amount_minor", o->amount_minor);
    jw_key_ucr(jw, "credits", o->credits_ucr);
    jw_key_ucr(jw, "bonus", o->bonus_ucr);
    write_text(jw, "plan", o->plan);
    write_text(jw, "promo", o->promo);
    jw_key_time(jw, "created", o->created_us);
    write_time(jw, "expires", o->expires_us);
    write_time(jw, "credited", o->credited_us);
    write_text(jw, "ref", o->ref);
    write_text(jw, "payment", o->payment);
    write_text(jw, "url", o->url);
    write_text(jw, "qr", o->qr);
    jw_key_i64(jw, "refunded_minor", o->refunded_minor);
    jw_key(jw, "timeline");
    jw_array(jw);
    for (uint32_t i = 0; i < o->step_count; i++) {
        jw_object(jw);
        jw_key_time(jw, "time", o->steps[i].at_us);
        jw_key_cstr(jw, "state", order_state_name[o->steps[i].state]);
        jw_key_cstr(jw, "note", o->steps[i].note);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}
