/*
 * Commands about deliveries of webhooks: what the manage process takes, and how it went; what a tenant sees of them,
 * and sends again.
 */
#include "ledger/command.h"

#include "base/log.h"
#include "base/rng.h"
#include "base/seal.h"
#include "base/str.h"
#include "ledger/core.h"
#include "ledger/entity.h"
#include "ledger/mail.h"
#include "ledger/webhook.h"

#include <errno.h>
#include <string.h>

#define NEXT_MAX 16u
#define TIDY_MAX 64u
#define LOG_MAX 12u /* the last tries of a delivery */
#define FIRST_WAIT_US INT64_C(10000000)
#define FAILING_US (3 * OUTBOX_DAY_US) /* a webhook that failed for so long is turned off */
#define KEPT_US (30 * OUTBOX_DAY_US)
#define LIST_MAX 100u
#define WHAT_BYTES_MAX (128u << 10)

static bool
open_secret(struct command *command, const char *sealed, const char *name)
{
    struct buf text;
    bool ok;

    buf_init(&text, 1024);
    ok = seal_open(command->ledger->key_hash_key, "webhook", str_from(sealed), &text);
    if (ok)
        jw_key_str(&command->jw, name, buf_str(&text));
    if (text.ptr != NULL)
        explicit_bzero(text.ptr, text.cap);
    buf_free(&text);
    return ok;
}

/* ---- writing one back ---- */

struct try { /* how one went */
    int64_t wall_us;
    uint32_t status, ms; /* 0: there was no answer */
    struct str why;
};

static void
log_write(struct jw *jw, struct js_value log, const struct try *try)
{
    struct js_value name, one;
    struct js_iter it;
    unsigned count = 0, skip = 0;

    for (js_iter_init(&it, log); js_next(&it, &name, &one);)
        count++;
    if (try != NULL && count + 1 > LOG_MAX)
        skip = count + 1 - LOG_MAX;
    jw_key(jw, "log");
    jw_array(jw);
    for (js_iter_init(&it, log); js_next(&it, &name, &one);)
        if (it.index >= skip)
            jw_js(jw, one);
    if (try != NULL) {
        jw_object(jw);
        jw_key_i64(jw, "time", try->wall_us);
        jw_key_u64(jw, "status", try->status);
        jw_key_u64(jw, "ms", try->ms);
        jw_key_str(jw, "why", try->why);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

/* With its new state and due, and one try more in its log. */
static int
put(struct command *command, const struct delivery *delivery, int64_t due_was_us,
    const struct try *try)
{
    struct outbox_item item = delivery->item;
    struct buf what;
    struct jw jw;
    int rc;

    buf_init(&what, WHAT_BYTES_MAX);
    jw_init(&jw, &what);
    jw_object(&jw);
    jw_key_u64(&jw, "webhook", delivery->webhook_id);
    jw_key_u64(&jw, "tenant", delivery->tenant_id);
    jw_key_cstr(&jw, "state", delivery_state_name[delivery->state]);
    jw_key_quoted(&jw, "event", delivery->event);
    jw_key_quoted(&jw, "body", delivery->body);
    log_write(&jw, delivery->log, try);
    jw_object_end(&jw);
    item.what = buf_str(&what);
    rc = what.failed ? -ENOMEM : outbox_put(&command->txn, DB_DELIVERY, &item, due_was_us);
    buf_free(&what);
    command->changed = true;
    return rc;
}

static int
end_failed(struct command *command, struct delivery *delivery, const char *why)
{
    struct try try = {.wall_us = ledger_wall_us(command->ledger), .why = str_from(why)};
    int64_t due_was_us = delivery->item.due_us;

    delivery->state = DELIVERY_FAILED;
    delivery->item.due_us = 0;
    return put(command, delivery, due_was_us, &try);
}

/* ---- what is due ---- */

static int
hand_out(struct command *command, struct delivery *delivery, const struct webhook *webhook)
{
    int64_t now_us = ledger_wall_us(command->ledger), due_was_us = delivery->item.due_us;
    struct jw *jw = &command->jw;

    jw_object(jw);
    jw_key_u64(jw, "id", delivery->item.id);
    jw_key_u64(jw, "tries", delivery->item.tries);
    jw_key_cstr(jw, "url", webhook->url);
    jw_key_quoted(jw, "event", delivery->event);
    jw_key_quoted(jw, "body", delivery->body);
    (void)open_secret(command, webhook->secret, "secret");
    if (webhook->old_until_us > now_us)
        (void)open_secret(command, webhook->old_secret, "old_secret");
    jw_object_end(jw);
    delivery->item.tries++;
    delivery->item.due_us = now_us + OUTBOX_LEASE_US;
    return put(command, delivery, due_was_us, NULL);
}

static int
delivery_next(struct command *command)
{
    struct webhook *webhook = arena_alloc(&command->arena, sizeof(*webhook));
    int64_t now_us = ledger_wall_us(command->ledger);
    struct delivery delivery;
    uint64_t ids[NEXT_MAX];
    uint32_t limit;
    unsigned count;
    int rc;

    if (webhook == NULL)
        return -ENOMEM;
    if (!command_u32(command, "limit", &limit))
        return 0;
    limit = limit == 0 ? NEXT_MAX : MIN(limit, NEXT_MAX);
    rc = outbox_due(&command->txn, DB_DELIVERY, 0, now_us, ids, limit, &count);
    jw_key(&command->jw, "deliveries");
    jw_array(&command->jw);
    for (unsigned i = 0; rc == 0 && i < count; i++) {
        rc = delivery_get(&command->txn, ids[i], &delivery);
        if (rc < 0)
            break;

        int found = webhook_get(&command->txn, delivery.webhook_id, webhook);

        if (found < 0 && found != -ENOENT)
            rc = found;
        else if (found == -ENOENT || webhook->disabled)
            rc = end_failed(command, &delivery, "the webhook is turned off");
        else if (delivery.item.until_us <= now_us)
            rc = end_failed(command, &delivery, "its time is over");
        else
            rc = hand_out(command, &delivery, webhook);
    }
    jw_array_end(&command->jw);
    return rc;
}

/* ---- how it went ---- */

static int
tell_owners(struct command *command, const struct webhook *webhook)
{
    static const char *const roles[] = {"owner", NULL};
    struct mail_var vars[] = {
        {"tenant", str_from(command_tenant_name(command, webhook->tenant_id))},
        {"url", str_from(webhook->url)},
    };
    struct mail_new mail = {.kind = MAIL_WEBHOOK_OFF,
                            .tenant_id = webhook->tenant_id,
                            .vars = vars,
                            .var_count = COUNT_OF(vars)};

    return mail_queue_roles(command, &mail, roles);
}

/* The webhook itself is only written when something of it changes. */
static int
webhook_heard(struct command *command, const struct delivery *delivery, bool good)
{
    struct webhook *webhook = arena_alloc(&command->arena, sizeof(*webhook));
    int64_t now_us = ledger_wall_us(command->ledger);
    int rc;

    if (webhook == NULL)
        return -ENOMEM;
    rc = webhook_get(&command->txn, delivery->webhook_id, webhook);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    if (good ? webhook->failing_us == 0
             : webhook->failing_us != 0 &&
                   (webhook->disabled || now_us - webhook->failing_us < FAILING_US))
        return 0;
    if (good || webhook->failing_us == 0) {
        webhook->failing_us = good ? 0 : now_us;
    } else {
        webhook->disabled = true;
        str_copy(STR("failing"), webhook->reason, sizeof(webhook->reason));
        log_warn("webhook.off", "webhook=%u tenant=%u why=\"it failed for days\"", webhook->id,
                 webhook->tenant_id);
        rc = tell_owners(command, webhook);
    }
    return rc < 0 ? rc : webhook_put(&command->txn, webhook);
}

/* Of the one that the argument "id" names; *there is false when it is gone, or over: it was said before. */
static int
load_try(struct command *command, struct delivery *delivery, struct try *try, bool *there)
{
    uint32_t id;
    int rc;

    *there = false;
    if (!command_id(command, "id", true, &id) || !command_u32(command, "status", &try->status) ||
        !command_u32(command, "ms", &try->ms) || !command_str(command, "why", false, &try->why))
        return 0;
    try->why = try->why.ptr != NULL ? (struct str){try->why.ptr, MIN(try->why.len, 160u)} : STR("");
    try->wall_us = ledger_wall_us(command->ledger);
    rc = delivery_get(&command->txn, id, delivery);
    *there = rc == 0 && delivery->state == DELIVERY_PENDING;
    return rc == -ENOENT ? 0 : rc;
}

static int
delivery_done(struct command *command)
{
    struct delivery delivery;
    struct try try;
    bool there;
    int rc = load_try(command, &delivery, &try, &there);

    if (rc < 0 || !there)
        return rc;

    int64_t due_was_us = delivery.item.due_us;

    delivery.state = DELIVERY_DONE;
    delivery.item.due_us = 0;
    rc = put(command, &delivery, due_was_us, &try);
    return rc < 0 ? rc : webhook_heard(command, &delivery, true);
}

static int
delivery_failed(struct command *command)
{
    struct delivery delivery;
    struct try try;
    bool there;
    int rc = load_try(command, &delivery, &try, &there);

    if (rc < 0 || !there)
        return rc;

    int64_t due_was_us = delivery.item.due_us;

    delivery.item.due_us = try.wall_us + outbox_wait_us(delivery.item.tries, FIRST_WAIT_US, rng_u64());
    if (delivery.item.due_us >= delivery.item.until_us) {
        delivery.state = DELIVERY_FAILED;
        delivery.item.due_us = 0;
    }
    rc = put(command, &delivery, due_was_us, &try);
    return rc < 0 ? rc : webhook_heard(command, &delivery, false);
}

/* ---- for people ---- */

static void
write_delivery(struct jw *jw, const struct delivery *delivery, bool whole)
{
    struct js_value name, one;
    struct js_iter it;

    jw_key_u64(jw, "id", delivery->item.id);
    jw_key_u64(jw, "webhook", delivery->webhook_id);
    jw_key_quoted(jw, "event", delivery->event);
    jw_key_cstr(jw, "state", delivery_state_name[delivery->state]);
    jw_key_time(jw, "created", delivery->item.created_us);
    jw_key_time(jw, "next_try", delivery->item.due_us);
    jw_key_u64(jw, "tries", delivery->item.tries);
    jw_key(jw, "log");
    jw_array(jw);
    for (js_iter_init(&it, delivery->log); js_next(&it, &name, &one);) {
        jw_object(jw);
        jw_key_time(jw, "time", doc_i64(one, STR("time")));
        jw_key_u64(jw, "status", doc_u32(one, STR("status")));
        jw_key_u64(jw, "ms", doc_u32(one, STR("ms")));
        jw_key_js(jw, "why", js_get(one, STR("why")));
        jw_object_end(jw);
    }
    jw_array_end(jw);
    if (whole)
        jw_key_quoted(jw, "body", delivery->body);
}

/* The tenant's, newest first: "cursor" is where the last page ended, "webhook" one webhook's only. */
static int
delivery_list(struct command *command)
{
    struct jw *jw = &command->jw;
    uint32_t tenant_id, webhook_id, limit, cursor, looked = 0, shown = 0;
    struct delivery delivery;
    struct db_walk walk;
    struct db_key below;
    struct str key, value;
    uint64_t next = 0;
    int rc;

    if (!command_tenant(command, "tenant", true, &tenant_id) ||
        !command_u32(command, "webhook", &webhook_id) || !command_u32(command, "limit", &limit) ||
        !command_u32(command, "cursor", &cursor))
        return 0;
    limit = limit == 0 ? 50 : MIN(limit, LIST_MAX);
    db_key_start(&below);
    db_key_u8(&below, 't');
    db_key_u32(&below, tenant_id);
    db_key_u64(&below, cursor != 0 ? cursor : UINT64_MAX);
    rc = db_walk_start_down(&command->txn, DB_DELIVERY, &below, 5, &walk);
    if (rc < 0)
        return rc;
    jw_key(jw, "deliveries");
    jw_array(jw);
    /* Bounded, too, where few of many are wanted: the next page goes on. */
    while (rc == 0 && shown < limit && looked++ < 2000 && db_walk_next(&walk, &key, &value)) {
        next = db_u64(key, 5);
        rc = delivery_get(&command->txn, next, &delivery);
        if (rc < 0 || (webhook_id != 0 && delivery.webhook_id != webhook_id))
            continue;
        shown++;
        jw_object(jw);
        write_delivery(jw, &delivery, false);
        jw_object_end(jw);
    }
    jw_array_end(jw);
    if (rc == 0 && (shown == limit || looked > 2000))
        jw_key_u64(jw, "next", next);
    else
        jw_key_cstr(jw, "next", NULL);
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

static int
load(struct command *command, struct delivery *delivery)
{
    uint32_t id;
    int rc;

    if (!command_id(command, "id", true, &id))
        return 0;
    rc = delivery_get(&command->txn, id, delivery);
    if (rc == -ENOENT || (rc == 0 && !command_of_tenant(command, delivery->tenant_id))) {
        command_refuse(command, COMMAND_FAILED, "there is no delivery %u", id);
        command_absent(command);
        return 0;
    }
    return rc;
}

static int
delivery_show(struct command *command)
{
    struct delivery delivery;
    int rc = load(command, &delivery);

    if (rc == 0 && command->exit == COMMAND_DONE)
        write_delivery(&command->jw, &delivery, true);
    return rc;
}

/* At once, and for another day, whatever became of it. */
static int
delivery_resend(struct command *command)
{
    struct webhook *webhook = arena_alloc(&command->arena, sizeof(*webhook));
    int64_t now_us = ledger_wall_us(command->ledger), due_was_us;
    struct delivery delivery;
    int rc = load(command, &delivery);

    if (webhook == NULL)
        return -ENOMEM;
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    rc = webhook_get(&command->txn, delivery.webhook_id, webhook);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (rc == -ENOENT || webhook->disabled) {
        command_refuse_field(command, COMMAND_FAILED, "disabled", NULL,
                             "webhook %u is turned off", delivery.webhook_id);
        return 0;
    }
    due_was_us = delivery.item.due_us;
    delivery.state = DELIVERY_PENDING;
    delivery.item.due_us = now_us;
    delivery.item.until_us = now_us + OUTBOX_DAY_US;
    delivery.item.tries = 0;
    command_target(command, "delivery", delivery.item.id, delivery.tenant_id);
    write_delivery(&command->jw, &delivery, false);
    return put(command, &delivery, due_was_us, NULL);
}

/* ---- upkeep ---- */

/* The oldest that are over and a month old; those that nobody took for a day end. Some of each at a time. */
static int
delivery_tidy(struct command *command)
{
    int64_t now_us = ledger_wall_us(command->ledger);
    uint64_t ids[TIDY_MAX], dropped = 0;
    unsigned count = 0, late = 0;
    struct delivery delivery;
    struct db_walk walk;
    struct db_key from;
    struct str key, value;
    int rc;

    db_key_start(&from);
    db_key_u8(&from, 'i');
    rc = db_walk_start(&command->txn, DB_DELIVERY, &from, 1, &walk);
    if (rc < 0)
        return rc;
    while (count < TIDY_MAX && db_walk_next(&walk, &key, &value))
        ids[count++] = db_u64(key, 1);
    rc = walk.failed;
    db_walk_end(&walk);
    for (unsigned i = 0; rc == 0 && i < count; i++) {
        rc = delivery_get(&command->txn, ids[i], &delivery);
        if (rc < 0 || delivery.item.due_us != 0 || now_us - delivery.item.created_us < KEPT_US)
            continue;
        db_key_start(&from);
        db_key_u8(&from, 't');
        db_key_u32(&from, delivery.tenant_id);
        db_key_u64(&from, ids[i]);
        rc = db_delete(&command->txn, DB_DELIVERY, &from);
        if (rc == 0)
            rc = outbox_drop(&command->txn, DB_DELIVERY, &delivery.item);
        command->changed = true;
        dropped++;
    }
    if (rc == 0)
        rc = outbox_due(&command->txn, DB_DELIVERY, 0, now_us - OUTBOX_DAY_US, ids, TIDY_MAX, &late);
    for (unsigned i = 0; rc == 0 && i < late; i++) {
        rc = delivery_get(&command->txn, ids[i], &delivery);
        if (rc == 0)
            rc = end_failed(command, &delivery, "its time is over");
    }
    jw_key_u64(&command->jw, "dropped", dropped);
    return rc;
}

const struct command_def command_delivery_defs[] = {
    {.name = "delivery.next", .kind = COMMAND_WRITE, .quiet = true, .run = delivery_next},
    {.name = "delivery.done", .kind = COMMAND_WRITE, .quiet = true, .run = delivery_done},
    {.name = "delivery.failed", .kind = COMMAND_WRITE, .quiet = true, .run = delivery_failed},
    {.name = "delivery.tidy", .kind = COMMAND_WRITE, .quiet = true, .run = delivery_tidy},
    {.name = "delivery.list", .kind = COMMAND_READ, .run = delivery_list},
    {.name = "delivery.show", .kind = COMMAND_READ, .run = delivery_show},
    {.name = "delivery.resend", .kind = COMMAND_WRITE, .run = delivery_resend},
    {.name = NULL},
};
