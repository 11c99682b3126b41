/* Commands about orders (ledger/order.h). */
#include "ledger/order.h"

#include "ledger/command_page.h"
#include "ledger/core.h"
#include "ledger/doc.h"
#include "ledger/entity.h"

#include "base/ucr.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SECOND_US INT64_C(1000000)
#define BANK_US (14 * 86400 * SECOND_US)
#define DUE_AT_ONCE 50u
#define LIST_MAX 100u

/* ---- arguments ---- */

static bool
text_arg(struct command *command, const char *name, bool must, char *out, size_t cap)
{
    struct str text;

    if (!command_str(command, name, must, &text))
        return false;
    if (text.len >= cap || (text.len > 0 && !entity_text_ok(text, cap - 1))) {
        command_refuse_field(command, COMMAND_USAGE, "too_long", name, "%s: up to %zu bytes, no control characters",
                             name, cap - 1);
        return false;
    }
    str_copy(text, out, cap);
    return true;
}

/* Minor units: a whole number. */
static bool
minor_arg(struct command *command, const char *name, int64_t absent, int64_t *out)
{
    struct js_value value = js_get(command->args, str_from(name));

    *out = absent;
    if (value.type == JS_NONE || js_i64(value, out))
        return true;
    command_refuse_field(command, COMMAND_USAGE, "invalid", name, "%s: a whole number of minor units", name);
    return false;
}

static bool
currency_arg(struct command *command, enum conf_currency *out)
{
    struct str text;

    if (!command_str(command, "currency", true, &text))
        return false;
    for (unsigned i = 0; i < CONF_CURRENCY_COUNT; i++)
        if (str_eq(text, str_from(conf_currency_name[i]))) {
            *out = (enum conf_currency)i;
            return true;
        }
    command_refuse_field(command, COMMAND_USAGE, "invalid", "currency", "currency: USD or CNY");
    return false;
}

static int
order_arg(struct command *command, struct order *out)
{
    uint32_t tenant_id;
    struct str id;
    int rc;

    if (!command_str(command, "order", true, &id) || !command_tenant(command, "tenant", false, &tenant_id))
        return 0;
    rc = order_get(&command->txn, id, out);
    if (rc == -ENOENT || (rc == 0 && tenant_id != 0 && out->tenant_id != tenant_id)) {
        command_refuse(command, COMMAND_FAILED, "there is no order %.*s", (int)MIN(id.len, 40u), id.ptr);
        command_absent(command);
        return 0;
    }
    return rc;
}

static struct order *
order_room(struct command *command)
{
    return arena_zalloc(&command->arena, sizeof(struct order));
}

/* ---- making ---- */

/* What a step of the bonus gives: per cent of the credits, by the highest step that they reach. */
static int64_t
bonus_of(const struct conf_topup *topup, int64_t credits_ucr)
{
    int64_t bonus_ucr = 0;

    for (size_t i = 0; i < topup->step_count; i++)
        if (credits_ucr >= topup->steps[i].from_ucr)
            bonus_ucr = (int64_t)((__int128)credits_ucr * topup->steps[i].percent_u / (100 * 1000000));
    return bonus_ucr;
}

static bool
price(struct command *command, const struct conf_topup *topup, struct order *o)
{
    int64_t each_u = topup->credits_u[o->currency]; /* credits per unit of currency, in millionths */
    __int128 credits_ucr = (__int128)o->amount_minor * each_u / 100;

    if (each_u == 0) {
        command_refuse_field(command, COMMAND_FAILED, "conflict", "currency", "nothing is sold for %s here",
                             conf_currency_name[o->currency]);
        return false;
    }
    if (o->amount_minor <= 0 || credits_ucr > ACCOUNT_UCR_MAX || credits_ucr < topup->minimum_ucr ||
        (topup->maximum_ucr != 0 && credits_ucr > topup->maximum_ucr)) {
        char least[UCR_TEXT_LEN + 1], most[UCR_TEXT_LEN + 1];

        ucr_text(topup->minimum_ucr, least);
        ucr_text(topup->maximum_ucr, most);
        command_refuse_field(command, COMMAND_USAGE, "out_of_range", "amount", "amount: from %s to %s credits at a time",
                             least, topup->maximum_ucr != 0 ? most : "any number of");
        return false;
    }
    o->credits_ucr = (int64_t)credits_ucr;
    o->bonus_ucr = bonus_of(topup, o->credits_ucr);
    return true;
}

static bool
provider_ok(struct command *command, const struct conf_topup *topup, const struct order *o)
{
    if (strcmp(o->provider, ORDER_BANK) != 0 || topup->bank.len > 0)
        return true;
    command_refuse_field(command, COMMAND_FAILED, "conflict", "provider", "provider: transfers are not taken here");
    command_hint(command, "the key bank of the section topup names the account for them");
    return false;
}

/* Where the money goes, of a transfer. */
static void
write_bank(struct command *command, const struct order *o)
{
    const struct conf *conf = command->ledger->conf;

    if (conf == NULL || strcmp(o->provider, ORDER_BANK) != 0 || conf->topup.bank.len == 0)
        return;
    jw_key_str(&command->jw, "bank", conf->topup.bank);
}

static int
order_create(struct command *command)
{
    const struct conf *conf = command->ledger->conf;
    int64_t now_us = ledger_wall_us(command->ledger);
    struct order *o = order_room(command);
    uint32_t person_id;
    bool live;
    int rc;

    if (o == NULL)
        return -ENOMEM;
    if (!command_tenant(command, "tenant", true, &o->tenant_id) || !command_id(command, "person", false, &person_id) ||
        !text_arg(command, "provider", true, o->provider, sizeof(o->provider)) ||
        !text_arg(command, "account", false, o->account, sizeof(o->account)) ||
        !text_arg(command, "app", false, o->app, sizeof(o->app)) || !currency_arg(command, &o->currency) ||
        !minor_arg(command, "amount", 0, &o->amount_minor) || !command_flag(command, "live", &live))
        return 0;
    if (conf == NULL || !conf->topup.on) {
        command_refuse(command, COMMAND_FAILED, "nothing is sold here");
        command_hint(command, "the section topup of routes.conf says what credit costs");
        return 0;
    }
    if (!provider_ok(command, &conf->topup, o) || !price(command, &conf->topup, o))
        return 0;
    order_id_new(o->id, now_us);
    o->person_id = person_id;
    o->live = live;
    o->created_us = now_us;
    o->expires_us = now_us + (int64_t)conf->topup.expires_ms * 1000;
    o->due_us = order_next_look_us(o, now_us);
    order_step(o, now_us, ORDER_CREATED, "made");
    if (strcmp(o->provider, ORDER_BANK) == 0) { /* nobody can be asked, and a transfer takes days */
        o->due_us = 0;
        o->expires_us = now_us + BANK_US;
        order_step(o, now_us, ORDER_PENDING, "waits for a transfer that names it");
    }
    command->changed = true;
    command_target(command, "tenant", o->tenant_id, o->tenant_id);
    rc = order_put(&command->txn, o);
    order_write(command, o);
    write_bank(command, o);
    return rc;
}

/* The provider said yes: where the payer goes. */
static int
order_begun(struct command *command)
{
    int64_t now_us = ledger_wall_us(command->ledger), expires_us;
    struct order *o = order_room(command);
    int rc = o == NULL ? -ENOMEM : order_arg(command, o);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (!text_arg(command, "ref", false, o->ref, sizeof(o->ref)) ||
        !text_arg(command, "url", false, o->url, sizeof(o->url)) ||
        !text_arg(command, "qr", false, o->qr, sizeof(o->qr)) || !command_time(command, "expires", &expires_us))
        return 0;
    if (expires_us != 0)
        o->expires_us = expires_us;
    if (o->state == ORDER_CREATED) /* else a notice was quicker */
        order_step(o, now_us, ORDER_PENDING, "waits for the payer");
    command->changed = true;
    command_target(command, "tenant", o->tenant_id, o->tenant_id);
    order_write(command, o);
    return order_put(&command->txn, o);
}

/* Ends it where no money came: by who made it, by the provider, or by time. */
static int
order_end(struct command *command, enum order_state state, const char *said)
{
    int64_t now_us = ledger_wall_us(command->ledger);
    struct order *o = order_room(command);
    char note[ORDER_NOTE_MAX + 1];
    int rc = o == NULL ? -ENOMEM : order_arg(command, o);

    if (rc < 0 || command->exit != COMMAND_DONE || !text_arg(command, "note", false, note, sizeof(note)))
        return rc;
    if (o->state != ORDER_CREATED && o->state != ORDER_PENDING) {
        if (o->state != state) {
            command_refuse(command, COMMAND_FAILED, "the order is %s", order_state_name[o->state]);
            return 0;
        }
        order_write(command, o);
        return 0;
    }
    order_step(o, now_us, state, "%s", note[0] != '\0' ? note : said);
    command->changed = true;
    command_target(command, "tenant", o->tenant_id, o->tenant_id);
    order_write(command, o);
    return order_put(&command->txn, o);
}

static int
order_failed(struct command *command)
{
    return order_end(command, ORDER_FAILED, "the provider refused it");
}

static int
order_cancel(struct command *command)
{
    return order_end(command, ORDER_CANCELLED, "cancelled");
}

static int
order_expire(struct command *command)
{
    return order_end(command, ORDER_EXPIRED, "nothing came in time");
}

/* ---- what providers say ---- */

static bool
event_known(struct str event)
{
    for (unsigned i = 0; i < SAID_COUNT; i++)
        if (str_eq(event, str_from(order_event_name[i])))
            return true;
    return false;
}

static int
order_noticed(struct command *command)
{
    struct order_notice n = {0};
    enum order_result result;
    int rc;

    if (!command_str(command, "provider", true, &n.provider) || !command_str(command, "event_id", true, &n.event_id) ||
        !command_str(command, "event", true, &n.event) || !command_str(command, "order", false, &n.order_id) ||
        !command_str(command, "payment_id", false, &n.payment_id) ||
        !command_str(command, "currency", false, &n.currency) || !command_str(command, "account", false, &n.account) ||
        !command_str(command, "app", false, &n.app) || !command_str(command, "digest", false, &n.digest) ||
        !minor_arg(command, "amount", -1, &n.amount_minor) || !command_flag(command, "live", &n.live))
        return 0;
    if (!event_known(n.event) || n.event_id.len == 0 || n.event_id.len > ORDER_REF_MAX ||
        n.payment_id.len > ORDER_REF_MAX || n.provider.len == 0 || n.provider.len > ORDER_NAME_MAX) {
        command_refuse(command, COMMAND_USAGE, "this is no notice");
        return 0;
    }
    rc = order_notice(command, &n, &result);
    if (rc == 0 && command->exit == COMMAND_DONE)
        jw_key_cstr(&command->jw, "result", order_result_name[result]);
    return rc;
}

/* ---- people ---- */

/* Who asks, as one of two must not be the other. */
static void
asker(const struct command *command, char out[ORDER_NAME_MAX + 1])
{
    (void)snprintf(out, ORDER_NAME_MAX + 1, "%s %llu", command_actor_kind_name[command->actor.kind],
                   (unsigned long long)command->actor.id);
}

/* True: this is the second of two, or one is enough. */
static bool
is_confirmed(struct command *command, struct order *o)
{
    int64_t above_ucr = command->ledger->conf != NULL ? command->ledger->conf->topup.confirm_above_ucr : 0;
    char who[ORDER_NAME_MAX + 1];

    asker(command, who);
    if (above_ucr == 0 || o->credits_ucr <= above_ucr)
        return true;
    if (o->confirmed_by[0] == '\0') {
        str_copy(str_from(who), o->confirmed_by, sizeof(o->confirmed_by));
        order_step(o, ledger_wall_us(command->ledger), o->state, "confirmed by %s; another has to, too", who);
        return false;
    }
    if (strcmp(o->confirmed_by, who) == 0) {
        command_refuse(command, COMMAND_FAILED, "another administrator has to confirm it, too");
        return false;
    }
    return true;
}

/* A transfer came: as much, in that currency, under the bank's own reference, which is used once. */
static int
order_confirm(struct command *command)
{
    struct order *o = order_room(command);
    struct order_notice n = {.provider = STR(ORDER_BANK), .event = str_from(order_event_name[SAID_PAID])};
    char reference[ORDER_REF_MAX + 1];
    enum conf_currency currency;
    enum order_result result = NOTICE_NOTED;
    int rc = o == NULL ? -ENOMEM : order_arg(command, o);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (!currency_arg(command, &currency) || !minor_arg(command, "amount", 0, &n.amount_minor) ||
        !text_arg(command, "bank_ref", true, reference, sizeof(reference)))
        return 0;
    if (strcmp(o->provider, ORDER_BANK) != 0 || (o->state != ORDER_PENDING && o->state != ORDER_EXPIRED)) {
        command_refuse(command, COMMAND_FAILED, "the order is %s, with %s", order_state_name[o->state], o->provider);
        return 0;
    }
    if (reference[0] == '\0') {
        command_refuse_field(command, COMMAND_USAGE, "required", "bank_ref", "bank_ref: the bank's own reference");
        return 0;
    }
    command->changed = true;
    command_target(command, "tenant", o->tenant_id, o->tenant_id);
    if (!is_confirmed(command, o)) {
        if (command->exit != COMMAND_DONE)
            return 0;
        order_write(command, o);
        return order_put(&command->txn, o);
    }
    n.order_id = str_from(o->id);
    n.account = str_from(o->account);
    n.app = str_from(o->app);
    n.payment_id = n.event_id = str_from(reference);
    n.currency = str_from(conf_currency_name[currency]);
    n.live = o->live;
    rc = order_notice(command, &n, &result);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (result == NOTICE_ALREADY) {
        command_refuse_field(command, COMMAND_FAILED, "conflict", "bank_ref", "this transfer was confirmed before");
        return 0;
    }
    rc = order_get(&command->txn, n.order_id, o);
    order_write(command, o);
    jw_key_cstr(&command->jw, "result", order_result_name[result]);
    return rc;
}

/* What waits for a person is decided: the order is credited as it was asked for, or not at all. */
static int
order_resolve(struct command *command)
{
    struct order *o = order_room(command);
    char note[ORDER_NOTE_MAX + 1];
    bool give;
    int rc = o == NULL ? -ENOMEM : order_arg(command, o);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (!command_flag(command, "credit", &give) || !text_arg(command, "note", true, note, sizeof(note)))
        return 0;
    if (o->state != ORDER_REVIEW) {
        command_refuse(command, COMMAND_FAILED, "the order is %s: there is nothing to decide",
                       order_state_name[o->state]);
        return 0;
    }
    command->changed = true;
    command_target(command, "tenant", o->tenant_id, o->tenant_id);
    if (give)
        rc = order_credit(command, o, note);
    else
        order_step(o, ledger_wall_us(command->ledger), ORDER_FAILED, "%s", note);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    order_write(command, o);
    return order_put(&command->txn, o);
}

/* The newest first, a hundred of them. */
static int
review_list(struct command *command)
{
    struct db_key below = db_key_of_u64(UINT64_MAX);
    struct db_walk walk;
    struct str key, value;
    uint32_t count = 0;
    int rc = db_walk_start_down(&command->txn, DB_REVIEW, &below, 0, &walk);

    jw_key(&command->jw, "reviews");
    jw_array(&command->jw);
    while (rc == 0 && count++ < LIST_MAX && db_walk_next(&walk, &key, &value)) {
        static const char *const texts[] = {"why", "provider", "event", "event_id", "order", "payment", "currency"};
        struct js_value doc;
        struct js_error err;

        if (!js_check(value, &doc, &err)) {
            rc = -EILSEQ;
            break;
        }
        jw_object(&command->jw);
        jw_key_u64(&command->jw, "number", db_u32(key, 8));
        jw_key_time(&command->jw, "time", (int64_t)db_u64(key, 0));
        for (size_t i = 0; i < COUNT_OF(texts); i++)
            jw_key_js(&command->jw, texts[i], js_get(doc, str_from(texts[i])));
        jw_key_i64(&command->jw, "amount_minor", doc_i64(doc, STR("amount_minor")));
        jw_object_end(&command->jw);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    jw_array_end(&command->jw);
    return rc;
}

/* ---- looking ---- */

static int
order_show(struct command *command)
{
    struct order *o = order_room(command);
    int rc = o == NULL ? -ENOMEM : order_arg(command, o);

    if (rc == 0 && command->exit == COMMAND_DONE) {
        order_write(command, o);
        write_bank(command, o);
    }
    return rc;
}

/* Those whose time it is to ask the provider again, or to give up. */
static int
order_pending(struct command *command)
{
    uint64_t now_us = (uint64_t)ledger_wall_us(command->ledger);
    struct order *o = order_room(command);
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    unsigned count = 0;
    int rc;

    if (o == NULL)
        return -ENOMEM;
    db_key_start(&from);
    rc = db_walk_start(&command->txn, DB_ORDER_OPEN, &from, 0, &walk);
    jw_key(&command->jw, "orders");
    jw_array(&command->jw);
    while (rc == 0 && count < DUE_AT_ONCE && db_walk_next(&walk, &key, &value) && db_u64(key, 0) <= now_us) {
        rc = order_get(&command->txn, (struct str){key.ptr + 8, key.len - 8}, o);
        if (rc < 0)
            break;
        jw_object(&command->jw);
        order_write(command, o);
        jw_object_end(&command->jw);
        count++;
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    jw_array_end(&command->jw);
    return rc == -ENOENT ? -EILSEQ : rc;
}

/* It was asked for, and nothing is new: the next time. */
static int
order_looked(struct command *command)
{
    int64_t now_us = ledger_wall_us(command->ledger);
    struct order *o = order_room(command);
    int rc = o == NULL ? -ENOMEM : order_arg(command, o);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    o->looks++;
    o->due_us = order_next_look_us(o, now_us);
    if (now_us >= o->expires_us && (o->state == ORDER_CREATED || o->state == ORDER_PENDING))
        order_step(o, now_us, ORDER_EXPIRED, "nothing came in time");
    command->changed = true;
    return order_put(&command->txn, o);
}

/* A tenant's, the newest first. "after" is the next of the page before. */
static int
order_list(struct command *command)
{
    struct order *o = order_room(command);
    uint32_t tenant_id, limit, count = 0;
    struct db_key below;
    struct db_walk walk;
    struct str key, value, after;
    char next[2 * 16 + ORDER_ID_LEN + 1] = "";
    int rc;

    if (o == NULL)
        return -ENOMEM;
    if (!command_tenant(command, "tenant", true, &tenant_id) || !command_u32(command, "limit", &limit) ||
        !command_str(command, "after", false, &after))
        return 0;
    limit = limit == 0 || limit > LIST_MAX ? LIST_MAX : limit;
    below = db_key_of_u32(tenant_id);
    if (after.len > 0) {
        rc = order_get(&command->txn, after, o);
        if (rc < 0 || o->tenant_id != tenant_id) {
            command_refuse_field(command, COMMAND_USAGE, "invalid", "after", "after: this is no page's next");
            return rc == -ENOENT ? 0 : MIN(rc, 0);
        }
        db_key_u64(&below, (uint64_t)o->created_us);
        if (!db_key_text(&below, after))
            return -EINVAL;
    } else {
        db_key_u64(&below, UINT64_MAX);
    }
    rc = db_walk_start_down(&command->txn, DB_ORDER_OF, &below, 4, &walk);
    jw_key(&command->jw, "orders");
    jw_array(&command->jw);
    while (rc == 0 && count < limit && db_walk_next(&walk, &key, &value)) {
        rc = order_get(&command->txn, (struct str){key.ptr + 12, key.len - 12}, o);
        if (rc < 0)
            break;
        jw_object(&command->jw);
        order_write(command, o);
        jw_object_end(&command->jw);
        if (++count == limit)
            str_copy(str_from(o->id), next, sizeof(next));
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    jw_array_end(&command->jw);
    jw_key_cstr(&command->jw, "next", next[0] != '\0' ? next : NULL);
    return rc == -ENOENT ? -EILSEQ : rc;
}

const struct command_def command_order_defs[] = {
    {.name = "order.create", .kind = COMMAND_WRITE, .run = order_create},
    {.name = "order.begun", .kind = COMMAND_WRITE, .run = order_begun},
    {.name = "order.failed", .kind = COMMAND_WRITE, .run = order_failed},
    {.name = "order.cancel", .kind = COMMAND_WRITE, .run = order_cancel},
    {.name = "order.expire", .kind = COMMAND_WRITE, .run = order_expire},
    {.name = "order.notice", .kind = COMMAND_WRITE, .run = order_noticed},
    {.name = "order.looked", .kind = COMMAND_WRITE, .quiet = true, .run = order_looked},
    {.name = "order.confirm", .kind = COMMAND_WRITE, .run = order_confirm},
    {.name = "order.resolve", .kind = COMMAND_WRITE, .run = order_resolve},
    {.name = "review.list", .kind = COMMAND_READ, .run = review_list},
    {.name = "order.pending", .kind = COMMAND_READ, .run = order_pending},
    {.name = "order.show", .kind = COMMAND_READ, .run = order_show},
    {.name = "order.list", .kind = COMMAND_READ, .run = order_list},
    {.name = NULL},
};
