/* Commands about webhooks: a tenant's own, made, changed and looked at. Their deliveries: delivery.c. */
#include "ledger/command.h"

#include "base/rng.h"
#include "base/seal.h"
#include "base/str.h"
#include "ledger/core.h"
#include "ledger/entity.h"
#include "ledger/webhook.h"

#include <errno.h>
#include <string.h>

#define OLD_SECRET_US OUTBOX_DAY_US

/* ---- arguments ---- */

/* An address that can be asked at all; which addresses may be is seen when it is dialled. */
static bool
url_ok(struct command *command, struct str url)
{
    const struct conf *conf = command->ledger->conf;
    bool local = conf != NULL && conf->webhooks.local;
    struct str rest = url, authority;

    for (size_t i = 0; i < url.len; i++)
        if (url.ptr[i] <= ' ' || url.ptr[i] >= 0x7f || strchr("\"<>\\^`{|}#", url.ptr[i]) != NULL)
            return false;
    if (str_starts_with(url, STR("https://")))
        rest = (struct str){url.ptr + 8, url.len - 8};
    else if (local && str_starts_with(url, STR("http://")))
        rest = (struct str){url.ptr + 7, url.len - 7};
    else
        return false;
    authority = (struct str){rest.ptr, MIN(str_find(rest, '/', 0), str_find(rest, '?', 0))};
    return url.len <= WEBHOOK_URL_MAX && authority.len > 0 &&
           str_find(authority, '@', 0) == authority.len;
}

static bool
arg_url(struct command *command, bool must, struct webhook *webhook)
{
    struct str url;

    if (!command_str(command, "url", must, &url))
        return false;
    if (url.len == 0)
        return true;
    if (!url_ok(command, url)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "url",
                             "url: an address that begins with https://, of at most %u bytes, without "
                             "user and fragment",
                             WEBHOOK_URL_MAX);
        return false;
    }
    str_copy(url, webhook->url, sizeof(webhook->url));
    return true;
}

static bool
arg_events(struct command *command, struct webhook *webhook)
{
    struct js_value list = js_get(command->args, STR("events")), name, one;
    struct js_iter it;

    if (js_is(list, JS_NONE))
        return true;
    webhook->events = 0;
    for (js_iter_init(&it, list); js_next(&it, &name, &one);) {
        unsigned e = EVENT_PING + 1;

        while (e < EVENT_COUNT && !js_str_eq(one, str_from(webhook_event_name[e])))
            e++;
        if (e == EVENT_COUNT || !js_is(list, JS_ARRAY)) {
            command_refuse_field(command, COMMAND_USAGE, "invalid", "events",
                                 "events: there is no such event");
            command_hint(command, "there are alert.budget and alert.balance; none is all");
            return false;
        }
        webhook->events |= 1u << e;
    }
    return true;
}

/* 0 with command->exit set: it is not there, for who asks. */
static int
load(struct command *command, struct webhook *webhook)
{
    uint32_t id;
    int rc;

    if (!command_id(command, "id", true, &id))
        return 0;
    rc = webhook_get(&command->txn, id, webhook);
    if (rc == -ENOENT || (rc == 0 && !command_of_tenant(command, webhook->tenant_id))) {
        command_refuse(command, COMMAND_FAILED, "there is no webhook %u", id);
        command_absent(command);
        return 0;
    }
    if (rc == 0 && command->def->kind == COMMAND_WRITE)
        command_target(command, "webhook", webhook->id, webhook->tenant_id);
    return rc;
}

/* ---- answers ---- */

static void
write_webhook(struct jw *jw, const struct webhook *webhook)
{
    jw_key_u64(jw, "id", webhook->id);
    jw_key_u64(jw, "tenant", webhook->tenant_id);
    jw_key_cstr(jw, "url", webhook->url);
    jw_key(jw, "events");
    jw_array(jw);
    for (unsigned e = 0; e < EVENT_COUNT; e++)
        if (webhook->events & 1u << e)
            jw_cstr(jw, webhook_event_name[e]);
    jw_array_end(jw);
    jw_key_bool(jw, "disabled", webhook->disabled);
    jw_key_cstr(jw, "reason", webhook->reason[0] != '\0' ? webhook->reason : NULL);
    jw_key_time(jw, "created", webhook->created_us);
    jw_key_time(jw, "failing_since", webhook->failing_us);
}

/* A new secret: sealed into *webhook, and into the answer this once. */
static int
make_secret(struct command *command, struct webhook *webhook)
{
    char text[WEBHOOK_SECRET_LEN + 1] = "whsec_";
    uint8_t random[32];
    struct buf hex;
    int rc = -ENOMEM;

    rng_bytes(random, sizeof(random));
    str_hex(random, sizeof(random), text + 6);
    buf_init(&hex, sizeof(webhook->secret) - 1);
    if (seal_close(command->ledger->key_hash_key, "webhook", str_from(text), &hex)) {
        str_copy(buf_str(&hex), webhook->secret, sizeof(webhook->secret));
        jw_key_cstr(&command->jw, "secret", text);
        rc = 0;
    }
    buf_free(&hex);
    explicit_bzero(random, sizeof(random));
    explicit_bzero(text, sizeof(text));
    return rc;
}

/* ---- commands ---- */

static int
count_of(struct command *command, uint32_t tenant_id, uint32_t *count)
{
    struct db_walk walk;
    struct str key, value;
    int rc = entity_children(&command->txn, DB_WEBHOOK, tenant_id, &walk);

    *count = 0;
    if (rc < 0)
        return rc;
    while (db_walk_next(&walk, &key, &value))
        ++*count;
    rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

static int
webhook_add(struct command *command)
{
    struct webhook *webhook = arena_zalloc(&command->arena, sizeof(*webhook));
    uint32_t count;
    int rc;

    if (webhook == NULL)
        return -ENOMEM;
    if (!command_tenant(command, "tenant", true, &webhook->tenant_id) ||
        !arg_url(command, true, webhook) || !arg_events(command, webhook) ||
        !command_flag(command, "disabled", &webhook->disabled))
        return 0;
    rc = count_of(command, webhook->tenant_id, &count);
    if (rc == 0 && count >= WEBHOOKS_MAX) {
        command_refuse_field(command, COMMAND_FAILED, "too_many", NULL,
                             "a tenant has at most %u webhooks", WEBHOOKS_MAX);
        return 0;
    }
    if (rc == 0)
        rc = command_next_id(command, DB_WEBHOOK, &webhook->id);
    if (rc < 0)
        return rc;
    webhook->created_us = ledger_wall_us(command->ledger);
    command_target(command, "webhook", webhook->id, webhook->tenant_id);
    write_webhook(&command->jw, webhook);
    rc = make_secret(command, webhook);
    if (rc == 0)
        rc = webhook_put(&command->txn, webhook);
    if (rc == 0)
        rc = entity_child_put(&command->txn, DB_WEBHOOK, webhook->tenant_id, webhook->id);
    command->changed = true;
    return rc;
}

static int
webhook_list(struct command *command)
{
    struct webhook *webhook = arena_alloc(&command->arena, sizeof(*webhook));
    struct db_walk walk;
    struct str key, value;
    uint32_t tenant_id;
    int rc;

    if (webhook == NULL)
        return -ENOMEM;
    if (!command_tenant(command, "tenant", true, &tenant_id))
        return 0;
    rc = entity_children(&command->txn, DB_WEBHOOK, tenant_id, &walk);
    if (rc < 0)
        return rc;
    jw_key(&command->jw, "webhooks");
    jw_array(&command->jw);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        rc = webhook_get(&command->txn, db_u32(key, ENTITY_CHILD_ID_AT), webhook);
        if (rc < 0)
            break;
        jw_object(&command->jw);
        write_webhook(&command->jw, webhook);
        jw_object_end(&command->jw);
    }
    jw_array_end(&command->jw);
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

static int
webhook_show(struct command *command)
{
    struct webhook webhook;
    int rc = load(command, &webhook);

    if (rc == 0 && command->exit == COMMAND_DONE)
        write_webhook(&command->jw, &webhook);
    return rc;
}

static int
webhook_set(struct command *command)
{
    struct webhook webhook;
    bool disabled;
    int rc = load(command, &webhook);

    if (rc < 0 || command->exit != COMMAND_DONE || !arg_url(command, false, &webhook) ||
        !arg_events(command, &webhook) || !command_flag(command, "disabled", &disabled))
        return rc;
    if (command_has(command, "disabled") && webhook.disabled != disabled) {
        webhook.disabled = disabled;
        webhook.reason[0] = '\0';
        webhook.failing_us = 0; /* it begins anew */
    }
    command->changed = true;
    write_webhook(&command->jw, &webhook);
    return webhook_put(&command->txn, &webhook);
}

/* What still waits for it is given up when its turn comes. */
static int
webhook_remove(struct command *command)
{
    struct webhook webhook;
    struct db_key key;
    int rc = load(command, &webhook);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    key = db_key_of_u32(webhook.id);
    rc = db_delete(&command->txn, DB_WEBHOOK, &key);
    if (rc == 0)
        rc = entity_child_drop(&command->txn, DB_WEBHOOK, webhook.tenant_id, webhook.id);
    command->changed = true;
    jw_key_u64(&command->jw, "id", webhook.id);
    jw_key_bool(&command->jw, "removed", true);
    return rc;
}

static int
webhook_rotate_secret(struct command *command)
{
    struct webhook webhook;
    int rc = load(command, &webhook);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    memcpy(webhook.old_secret, webhook.secret, sizeof(webhook.old_secret));
    webhook.old_until_us = ledger_wall_us(command->ledger) + OLD_SECRET_US;
    write_webhook(&command->jw, &webhook);
    rc = make_secret(command, &webhook);
    jw_key_time(&command->jw, "old_until", webhook.old_until_us);
    command->changed = true;
    return rc < 0 ? rc : webhook_put(&command->txn, &webhook);
}

static int
webhook_test(struct command *command)
{
    struct webhook webhook;
    uint64_t id = 0;
    int rc = load(command, &webhook);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (webhook.disabled) {
        command_refuse_field(command, COMMAND_FAILED, "disabled", NULL, "webhook %u is turned off",
                             webhook.id);
        return 0;
    }
    rc = webhook_queue_for(command, &webhook, EVENT_PING, STR("{}"), &id);
    jw_key_u64(&command->jw, "delivery", id);
    return rc;
}

const struct command_def command_webhook_defs[] = {
    {.name = "webhook.add", .kind = COMMAND_WRITE, .run = webhook_add},
    {.name = "webhook.list", .kind = COMMAND_READ, .run = webhook_list},
    {.name = "webhook.show", .kind = COMMAND_READ, .run = webhook_show},
    {.name = "webhook.set", .kind = COMMAND_WRITE, .run = webhook_set},
    {.name = "webhook.remove", .kind = COMMAND_WRITE, .run = webhook_remove},
    {.name = "webhook.rotate_secret", .kind = COMMAND_WRITE, .run = webhook_rotate_secret},
    {.name = "webhook.test", .kind = COMMAND_WRITE, .run = webhook_test},
    {.name = NULL},
};
