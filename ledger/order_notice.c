/*
 * What becomes of what a provider says: one transaction with the inbox, the comparison with the order, and the credit.
 *
 * An event is taken once, and so is a payment, whichever events tell of it. What does not fit its order (amount, currency,
 * account, provider, mode) credits nothing and waits for a person, as does money for an order that nobody knows, and a second
 * payment of one order.
 */
#include "ledger/order.h"

#include "base/hash.h"
#include "ledger/core.h"
#include "ledger/doc.h"
#include "ledger/grant.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DAY_US INT64_C(86400000000)

const char *const order_event_name[] = {
    [SAID_OTHER] = "other",       [SAID_PAID] = "paid",
    [SAID_PENDING] = "pending",   [SAID_PARTLY] = "partly",
    [SAID_FAILED] = "failed",     [SAID_EXPIRED] = "expired",
    [SAID_REFUNDED] = "refunded", [SAID_REFUND_FAILED] = "refund-failed",
    [SAID_DISPUTED] = "disputed", [SAID_DISPUTE_CLOSED] = "dispute-closed",
};
_Static_assert(COUNT_OF(order_event_name) == SAID_COUNT, "a new event needs a name");

const char *const order_result_name[] = {
    [NOTICE_CREDITED] = "credited", [NOTICE_ALREADY] = "already", [NOTICE_NOTED] = "noted",
    [NOTICE_REVIEW] = "review",     [NOTICE_UNKNOWN] = "unknown",
};
_Static_assert(COUNT_OF(order_result_name) == NOTICE_RESULT_COUNT, "a new result needs a name");

/* ---- the inbox ---- */

static struct db_key
inbox_key(char kind, struct str provider, struct str id)
{
    uint8_t hash[HASH_LEN];
    struct db_key key;

    hash_pair(provider, id, hash); /* names of providers have one length each in a store: none is another's beginning */
    db_key_start(&key);
    db_key_u8(&key, (uint8_t)kind);
    for (size_t i = 0; i < HASH_LEN; i++)
        db_key_u8(&key, hash[i]);
    return key;
}

static int
inbox_put(struct command *command, const struct order_notice *n, enum order_result result)
{
    struct db_key key = inbox_key('e', n->provider, n->event_id);
    struct doc doc;

    doc_start(&doc);
    jw_key_i64(&doc.jw, "at_us", ledger_wall_us(command->ledger));
    jw_key_str(&doc.jw, "provider", n->provider);
    jw_key_str(&doc.jw, "event_id", n->event_id);
    jw_key_str(&doc.jw, "event", n->event);
    jw_key_str(&doc.jw, "order", n->order_id);
    jw_key_str(&doc.jw, "payment", n->payment_id);
    jw_key_str(&doc.jw, "currency", n->currency);
    jw_key_i64(&doc.jw, "amount_minor", n->amount_minor);
    jw_key_str(&doc.jw, "digest", n->digest);
    jw_key_cstr(&doc.jw, "result", order_result_name[result]);
    return doc_put(&command->txn, DB_INBOX, &key, &doc);
}

/* What a person has to look at: the event, by time. */
static int
review_put(struct command *command, const struct order_notice *n, const char *why)
{
    int64_t now_us = ledger_wall_us(command->ledger);
    struct db_key key = db_key_of_u64((uint64_t)now_us);
    uint32_t id;
    struct doc doc;
    int rc = command_next_id(command, DB_REVIEW, &id);

    if (rc < 0)
        return rc;
    db_key_u32(&key, id);
    doc_start(&doc);
    jw_key_cstr(&doc.jw, "why", why);
    jw_key_str(&doc.jw, "provider", n->provider);
    jw_key_str(&doc.jw, "event", n->event);
    jw_key_str(&doc.jw, "event_id", n->event_id);
    jw_key_str(&doc.jw, "order", n->order_id);
    jw_key_str(&doc.jw, "payment", n->payment_id);
    jw_key_str(&doc.jw, "currency", n->currency);
    jw_key_i64(&doc.jw, "amount_minor", n->amount_minor);
    return doc_put(&command->txn, DB_REVIEW, &key, &doc);
}

/* ---- comparing ---- */

static bool
is(struct str text, const char *other)
{
    return str_eq(text, str_from(other));
}

/* NULL: it is what was asked for. */
static const char *
differs(const struct order *o, const struct order_notice *n)
{
    if (!is(n->provider, o->provider))
        return "provider";
    if (n->live != o->live)
        return "mode";
    if (n->amount_minor != o->amount_minor)
        return "amount";
    if (!is(n->currency, conf_currency_name[o->currency]))
        return "currency";
    if (o->account[0] != '\0' && !is(n->account, o->account))
        return "account";
    if (o->app[0] != '\0' && !is(n->app, o->app))
        return "app";
    return NULL;
}

/* ---- money ---- */

static int
give_bonus(struct command *command, const struct order *o)
{
    const struct conf *conf = command->ledger->conf;
    uint32_t days = conf != NULL ? conf->topup.bonus_days : 0;
    char once[64];
    struct grant_new grant = {.tenant_id = o->tenant_id,
                              .source = PROMOTION_BONUS,
                              .amount_ucr = o->bonus_ucr,
                              .reason = STR("bonus of a top-up"),
                              .ref = str_from(o->id)};
    uint64_t id;

    if (o->bonus_ucr == 0)
        return 0;
    if (days != 0)
        grant.expires_us = ledger_wall_us(command->ledger) + days * DAY_US;
    snprintf(once, sizeof(once), "order:%s:bonus", o->id);
    grant.once = str_from(once);
    return grant_new(command, &grant, &id);
}

static int
credit(struct command *command, const struct order *o)
{
    char once[64];
    struct books_move move = {.from = {BOOK_CLEARING, 0, 0},
                              .to = {BOOK_WALLET, o->tenant_id, 0},
                              .amount_ucr = o->credits_ucr,
                              .kind = TRANSFER_TOPUP,
                              .reason = str_from(o->provider),
                              .ref = str_from(o->id)};
    int rc = books_provider(command, str_from(o->provider), &move.from.number);

    if (rc < 0)
        return rc;
    snprintf(once, sizeof(once), "order:%s:credit", o->id);
    move.once = str_from(once);
    rc = books_move(command, &move);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    return give_bonus(command, o);
}

int
order_credit(struct command *command, struct order *o, const char *note)
{
    int rc = credit(command, o);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc == -EEXIST ? -EILSEQ : rc;
    o->credited_us = ledger_wall_us(command->ledger);
    order_step(o, o->credited_us, ORDER_CREDITED, "%s", note);
    return 0;
}

static int
to_review(struct command *command, struct order *o, const struct order_notice *n, const char *why,
          enum order_result *result)
{
    *result = NOTICE_REVIEW;
    order_step(o, ledger_wall_us(command->ledger), o->state == ORDER_CREDITED ? ORDER_CREDITED : ORDER_REVIEW,
               "to be looked at: %s", why);
    return review_put(command, n, why);
}

static int
paid(struct command *command, struct order *o, const struct order_notice *n, enum order_result *result)
{
    struct db_key by_payment = inbox_key('p', n->provider, n->payment_id);
    const char *differing = differs(o, n);
    struct str known;
    int rc = n->payment_id.len == 0 ? -ENOENT : db_get(&command->txn, DB_INBOX, &by_payment, &known);

    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (rc == 0) { /* by another event of the same payment */
        if (!is(known, o->id))
            return to_review(command, o, n, "this payment was another order's", result);
        *result = NOTICE_ALREADY;
        return 0;
    }
    if (differing != NULL)
        return to_review(command, o, n, differing, result);
    if (o->state == ORDER_CREDITED || o->state == ORDER_FROZEN)
        return to_review(command, o, n, "it was paid twice", result);
    if (o->state == ORDER_REVIEW)
        return to_review(command, o, n, "it is being looked at", result);
    o->late = o->state != ORDER_CREATED && o->state != ORDER_PENDING;
    rc = n->payment_id.len == 0 ? 0 : db_put_new(&command->txn, DB_INBOX, &by_payment, str_from(o->id));
    if (rc == 0)
        rc = order_credit(command, o, o->late ? "paid late" : "paid");
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    str_copy(n->payment_id, o->payment, sizeof(o->payment));
    *result = NOTICE_CREDITED;
    return o->late ? review_put(command, n, "paid late") : 0;
}

/* No money came, so far. */
static void
ended(struct order *o, int64_t now_us, enum order_state state, enum order_result *result)
{
    *result = NOTICE_NOTED;
    if (o->state == ORDER_CREATED || o->state == ORDER_PENDING)
        order_step(o, now_us, state, "the provider says so");
}

static int
act(struct command *command, struct order *o, const struct order_notice *n, enum order_result *result)
{
    int64_t now_us = ledger_wall_us(command->ledger);

    if (!is(n->provider, o->provider))
        return to_review(command, o, n, "provider", result);
    if (is(n->event, order_event_name[SAID_PAID]))
        return paid(command, o, n, result);
    if (is(n->event, order_event_name[SAID_PARTLY]))
        return to_review(command, o, n, "less came than was asked for", result);
    if (is(n->event, order_event_name[SAID_FAILED])) {
        ended(o, now_us, ORDER_FAILED, result);
    } else if (is(n->event, order_event_name[SAID_EXPIRED])) {
        ended(o, now_us, ORDER_EXPIRED, result);
    } else if (is(n->event, order_event_name[SAID_DISPUTED])) {
        order_step(o, now_us, o->state == ORDER_CREDITED ? ORDER_FROZEN : o->state, "the payer disputes it");
        *result = NOTICE_REVIEW;
        return review_put(command, n, "disputed");
    } else {
        *result = NOTICE_NOTED;
        order_step(o, now_us, o->state, "%.*s", (int)MIN(n->event.len, (size_t)ORDER_NOTE_MAX), n->event.ptr);
    }
    return 0;
}

int
order_notice(struct command *command, const struct order_notice *n, enum order_result *result)
{
    struct order *o = arena_zalloc(&command->arena, sizeof(*o));
    struct db_key key = inbox_key('e', n->provider, n->event_id);
    struct str known;
    int rc;

    *result = NOTICE_ALREADY;
    if (o == NULL)
        return -ENOMEM;
    rc = db_get(&command->txn, DB_INBOX, &key, &known);
    if (rc != -ENOENT)
        return rc;
    rc = order_get(&command->txn, n->order_id, o);
    if (rc == -ENOENT) {
        *result = NOTICE_UNKNOWN;
        rc = review_put(command, n, "no such order");
    } else if (rc == 0) {
        rc = act(command, o, n, result);
        if (rc == 0 && command->exit == COMMAND_DONE)
            rc = order_put(&command->txn, o);
    }
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    command->changed = true;
    return inbox_put(command, n, *result);
}
