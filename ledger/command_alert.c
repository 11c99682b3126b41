/* Commands about alerts: a tenant's rules. When they are due: alert_look.c. */
#include "ledger/alert.h"

#include "base/str.h"
#include "ledger/core.h"
#include "ledger/mail.h"

#include <errno.h>
#include <string.h>

/* ---- arguments ---- */

static bool
refuse(struct command *command, const char *field, const char *what)
{
    command_refuse_field(command, COMMAND_USAGE, "invalid", field, "%s: %s", field, what);
    return false;
}

/* Sorted, and each once. */
static bool
arg_shares(struct command *command, struct alert *alert)
{
    struct js_value list = js_get(command->args, STR("shares")), name, one;
    struct js_iter it;
    uint64_t share;

    if (js_is(list, JS_NONE) || js_is(list, JS_NULL))
        return true;
    alert->share_count = 0;
    for (js_iter_init(&it, list); js_next(&it, &name, &one);) {
        uint32_t at = alert->share_count;

        if (!js_count(one, 100, &share) || share < ALERT_SHARE_MIN || at == ALERT_SHARES_MAX)
            return refuse(command, "shares", "up to 8 whole numbers of per cent, from 10 to 100");
        while (at > 0 && alert->shares[at - 1] > share) {
            alert->shares[at] = alert->shares[at - 1];
            at--;
        }
        alert->shares[at] = (uint32_t)share;
        if (at > 0 && alert->shares[at - 1] == share)
            return refuse(command, "shares", "one stands there twice");
        alert->share_count++;
    }
    return alert->share_count > 0 || refuse(command, "shares", "there is none");
}

static bool
arg_emails(struct command *command, struct alert *alert)
{
    struct js_value list = js_get(command->args, STR("emails")), name, one;
    struct js_iter it;

    if (js_is(list, JS_NONE) || js_is(list, JS_NULL))
        return true;
    alert->email_count = 0;
    for (js_iter_init(&it, list); js_next(&it, &name, &one);) {
        char scratch[6 * ENTITY_EMAIL_MAX + 1];
        struct str email = STR_NONE;

        if (js_is(one, JS_STRING) && one.raw.len < sizeof(scratch))
            email = js_unescape(one, scratch, sizeof(scratch));
        if (alert->email_count == ALERT_EMAILS_MAX || email.ptr == NULL || !mail_can_go_to(email))
            return refuse(command, "emails", "up to 10 mail addresses");
        str_copy(email, alert->emails[alert->email_count++], sizeof(alert->emails[0]));
    }
    return js_is(list, JS_ARRAY) || refuse(command, "emails", "a list of mail addresses");
}

/* Two flags that are yes when nobody says anything. */
static bool
arg_ways(struct command *command, struct alert *alert)
{
    bool flag;

    if (!command_flag(command, "mail", &flag))
        return false;
    if (command_has(command, "mail"))
        alert->no_mail = !flag;
    if (!command_flag(command, "webhooks", &flag))
        return false;
    if (command_has(command, "webhooks"))
        alert->no_webhooks = !flag;
    if (!command_flag(command, "disabled", &flag))
        return false;
    if (command_has(command, "disabled"))
        alert->disabled = flag;
    return true;
}

static bool
arg_common(struct command *command, struct alert *alert)
{
    struct str name;

    if (!command_str(command, "name", false, &name) || !arg_shares(command, alert) ||
        !arg_emails(command, alert) || !arg_ways(command, alert))
        return false;
    if (name.len > 0 && !entity_text_ok(name, ENTITY_NAME_MAX))
        return refuse(command, "name", "1 to 96 bytes without control characters");
    if (command_has(command, "name"))
        str_copy(name, alert->name, sizeof(alert->name));
    if (command_has(command, "below") && !command_credits(command, "below", true, &alert->below_ucr))
        return false;
    if (alert->kind == ALERT_BALANCE && alert->below_ucr <= 0)
        return refuse(command, "below", "an amount of credits above 0");
    if (alert->kind == ALERT_BUDGET && alert->share_count == 0)
        return refuse(command, "shares", "there is none");
    return true;
}

static bool
arg_kind(struct command *command, struct alert *alert)
{
    struct str kind, level;
    int at = 0;

    if (!command_str(command, "kind", true, &kind) || !command_str(command, "level", false, &level))
        return false;
    if (str_eq(kind, str_from(alert_kind_name[ALERT_BALANCE])))
        alert->kind = ALERT_BALANCE;
    else if (!str_eq(kind, str_from(alert_kind_name[ALERT_BUDGET])))
        return refuse(command, "kind", "budget or balance");
    alert->level = BUDGET_TENANT;
    if (level.len == 0)
        return true;
    while (at < BUDGET_KIND_COUNT && !str_eq(level, str_from(budget_kind_name[at])))
        at++;
    if (at == BUDGET_KIND_COUNT)
        return refuse(command, "level", "key, member, project or tenant");
    alert->level = (enum budget_kind)at;
    return true;
}

/* What it watches must be the tenant's own. */
static int
arg_target(struct command *command, struct alert *alert)
{
    struct entity_key *key = arena_alloc(&command->arena, sizeof(*key));
    struct entity_member *member = arena_alloc(&command->arena, sizeof(*member));
    struct entity_project *project = arena_alloc(&command->arena, sizeof(*project));
    uint32_t owner = 0;
    int rc = -ENOENT;

    if (key == NULL || member == NULL || project == NULL)
        return -ENOMEM;
    if (!command_u32(command, "target", &alert->target_id) || alert->target_id == 0)
        return 0;
    if (alert->level == BUDGET_KEY && (rc = entity_key_get(&command->txn, alert->target_id, key)) == 0)
        owner = key->tenant_id;
    if (alert->level == BUDGET_MEMBER &&
        (rc = entity_member_get(&command->txn, alert->target_id, member)) == 0)
        owner = member->tenant_id;
    if (alert->level == BUDGET_PROJECT &&
        (rc = entity_project_get(&command->txn, alert->target_id, project)) == 0)
        owner = project->tenant_id;
    if (alert->level == BUDGET_TENANT) {
        rc = 0;
        owner = alert->target_id;
    }
    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (owner != alert->tenant_id)
        command_refuse_field(command, COMMAND_FAILED, "not_found", "target", "there is no %s %u",
                             budget_kind_name[alert->level], alert->target_id);
    return 0;
}

/* ---- answers ---- */

static void
write_alert(struct jw *jw, const struct alert *alert)
{
    jw_key_u64(jw, "id", alert->id);
    jw_key_u64(jw, "tenant", alert->tenant_id);
    jw_key_cstr(jw, "name", alert->name);
    jw_key_cstr(jw, "kind", alert_kind_name[alert->kind]);
    jw_key_cstr(jw, "level", alert->kind == ALERT_BUDGET ? budget_kind_name[alert->level] : NULL);
    jw_key(jw, "target");
    if (alert->target_id != 0)
        jw_u64(jw, alert->target_id);
    else
        jw_null(jw);
    jw_key(jw, "shares");
    jw_array(jw);
    for (uint32_t i = 0; i < alert->share_count; i++)
        jw_u64(jw, alert->shares[i]);
    jw_array_end(jw);
    if (alert->kind == ALERT_BALANCE)
        jw_key_ucr(jw, "below", alert->below_ucr);
    else
        jw_key_cstr(jw, "below", NULL);
    jw_key(jw, "emails");
    jw_array(jw);
    for (uint32_t i = 0; i < alert->email_count; i++)
        jw_cstr(jw, alert->emails[i]);
    jw_array_end(jw);
    jw_key_bool(jw, "mail", !alert->no_mail);
    jw_key_bool(jw, "webhooks", !alert->no_webhooks);
    jw_key_bool(jw, "disabled", alert->disabled);
    jw_key_time(jw, "created", alert->created_us);
}

/* ---- commands ---- */

static int
each(struct command *command, uint32_t tenant_id, bool write, uint32_t *count)
{
    struct alert *alert = arena_alloc(&command->arena, sizeof(*alert));
    struct db_walk walk;
    struct str key, value;
    int rc = alert != NULL ? entity_children(&command->txn, DB_ALERT, tenant_id, &walk) : -ENOMEM;

    *count = 0;
    if (rc < 0)
        return rc;
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        ++*count;
        if (!write)
            continue;
        rc = alert_get(&command->txn, db_u32(key, ENTITY_CHILD_ID_AT), alert);
        if (rc < 0)
            break;
        jw_object(&command->jw);
        write_alert(&command->jw, alert);
        jw_object_end(&command->jw);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

static int
alert_add(struct command *command)
{
    struct alert *alert = arena_zalloc(&command->arena, sizeof(*alert));
    uint32_t count;
    int rc;

    if (alert == NULL)
        return -ENOMEM;
    if (!command_tenant(command, "tenant", true, &alert->tenant_id) || !arg_kind(command, alert) ||
        !arg_common(command, alert))
        return 0;
    rc = arg_target(command, alert);
    if (rc == 0)
        rc = each(command, alert->tenant_id, false, &count);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (count >= ALERTS_MAX) {
        command_refuse_field(command, COMMAND_FAILED, "too_many", NULL, "a tenant has at most %u alerts",
                             ALERTS_MAX);
        return 0;
    }
    rc = command_next_id(command, DB_ALERT, &alert->id);
    if (rc < 0)
        return rc;
    alert->created_us = ledger_wall_us(command->ledger);
    command_target(command, "alert", alert->id, alert->tenant_id);
    write_alert(&command->jw, alert);
    command->changed = true;
    rc = alert_put(&command->txn, alert);
    return rc < 0 ? rc : entity_child_put(&command->txn, DB_ALERT, alert->tenant_id, alert->id);
}

static int
alert_list(struct command *command)
{
    uint32_t tenant_id, count;
    int rc;

    if (!command_tenant(command, "tenant", true, &tenant_id))
        return 0;
    jw_key(&command->jw, "alerts");
    jw_array(&command->jw);
    rc = each(command, tenant_id, true, &count);
    jw_array_end(&command->jw);
    return rc;
}

/* 0 with command->exit set: it is not there, for who asks. */
static int
load(struct command *command, struct alert *alert)
{
    uint32_t id;
    int rc;

    if (!command_id(command, "id", true, &id))
        return 0;
    rc = alert_get(&command->txn, id, alert);
    if (rc == -ENOENT || (rc == 0 && !command_of_tenant(command, alert->tenant_id))) {
        command_refuse(command, COMMAND_FAILED, "there is no alert %u", id);
        command_absent(command);
        return 0;
    }
    if (rc == 0 && command->def->kind == COMMAND_WRITE)
        command_target(command, "alert", alert->id, alert->tenant_id);
    return rc;
}

static int
alert_show(struct command *command)
{
    struct alert alert;
    int rc = load(command, &alert);

    if (rc == 0 && command->exit == COMMAND_DONE)
        write_alert(&command->jw, &alert);
    return rc;
}

/* What it watches is not changed: that is another rule. */
static int
alert_set(struct command *command)
{
    struct alert alert;
    int rc = load(command, &alert);

    if (rc < 0 || command->exit != COMMAND_DONE || !arg_common(command, &alert))
        return rc;
    command->changed = true;
    write_alert(&command->jw, &alert);
    return alert_put(&command->txn, &alert);
}

static int
alert_remove(struct command *command)
{
    struct alert alert;
    int rc = load(command, &alert);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    command->changed = true;
    jw_key_u64(&command->jw, "id", alert.id);
    jw_key_bool(&command->jw, "removed", true);
    return alert_drop(&command->txn, &alert);
}

const struct command_def command_alert_defs[] = {
    {.name = "alert.add", .kind = COMMAND_WRITE, .run = alert_add},
    {.name = "alert.list", .kind = COMMAND_READ, .run = alert_list},
    {.name = "alert.show", .kind = COMMAND_READ, .run = alert_show},
    {.name = "alert.set", .kind = COMMAND_WRITE, .run = alert_set},
    {.name = "alert.remove", .kind = COMMAND_WRITE, .run = alert_remove},
    {.name = NULL},
};
