/* Commands about tenants: who pays. */
#include "ledger/command_entity.h"
#include "ledger/command_page.h"

#include "base/str.h"
#include "ledger/core.h"
#include "ledger/deal.h"
#include "ledger/zones.h"

#include <errno.h>
#include <string.h>

static const char *
tenant_state(const struct entity_tenant *t)
{
    return t->pending ? "pending" : t->disabled ? "disabled" : "active";
}

static void
write_tenant(struct command *command, const struct entity_tenant *t)
{
    struct jw *jw = &command->jw;
    uint32_t idx = id_map_look(&command->ledger->account_of_tenant, t->id);
    const struct account *account = account_at(command->ledger->region, idx);

    jw_key_u64(jw, "id", t->id);
    jw_key_cstr(jw, "name", t->name);
    jw_key_bool(jw, "disabled", t->disabled);
    jw_key_bool(jw, "pending", t->pending);
    jw_key_cstr(jw, "reason", t->reason[0] != '\0' ? t->reason : NULL);
    jw_key_time(jw, "created", t->created_us);
    jw_key_cstr(jw, "state", tenant_state(t));
    jw_key_cstr(jw, "zone", t->zone[0] != '\0' ? t->zone : "UTC");
    jw_key_cstr(jw, "contact", t->contact);
    jw_key_cstr(jw, "contact_email", t->contact_email);
    jw_key_cstr(jw, "contact_phone", t->contact_phone);
    jw_key_ucr(jw, "overdraft", t->overdraft_ucr);
    if (account != NULL)
        jw_key_ucr(jw, "available", account_available_ucr(account));
    command_budget_write(command, t->budget_id);
    entity_limits_write(jw, &t->limits);
    entity_allow_write(jw, &t->allow);
    deals_write(jw, &t->deals);
}

static int
tenant_add_after(struct command *command)
{
    const struct entity_tenant *t = command->state;
    uint32_t idx = id_map_get(&command->ledger->account_of_tenant, t->id);

    jw_key_ucr(&command->jw, "available",
               account_available_ucr(account_at(command->ledger->region, idx)));
    return 0;
}

static int
tenant_put_new(struct command *command, struct entity_tenant *t, int64_t credit_ucr)
{
    struct db_wallet wallet = {0};
    struct db_key key = db_key_of_u32(t->id);
    int rc = command_budget_new(command, BUDGET_TENANT, t->id, t->id, &t->budget_id);

    if (rc == 0)
        rc = entity_tenant_put(&command->txn, t);
    if (rc == 0)
        rc = db_put(&command->txn, DB_WALLET, &key,
                    (struct str){(const char *)&wallet, sizeof(wallet)});
    if (rc == 0 && credit_ucr > 0)
        rc = command_grant(command, t->id, credit_ucr, STR("first credit"));
    return rc;
}

int
command_tenant_new(struct command *command, struct entity_tenant *t, const char *field, struct str name,
                   int64_t credit_ucr)
{
    int rc;

    if (!entity_name_ok(name)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", field,
                             "\"%.*s\" cannot be a tenant's name", (int)MIN(name.len, 96u),
                             name.ptr);
        command_hint(command, "1 to %d bytes, not digits alone, no control characters",
                     ENTITY_NAME_MAX);
        return 0;
    }
    t->id = ++command->tail.tenant_last;
    t->created_us = ledger_wall_us(command->ledger);
    str_copy(name, t->name, sizeof(t->name));
    rc = entity_name_take(&command->txn, DB_TENANT, 0, name, t->id);
    if (rc == -EEXIST) {
        command_refuse_field(command, COMMAND_FAILED, "taken", field,
                             "there is already a tenant \"%s\"", t->name);
        return 0;
    }
    if (rc == 0)
        rc = tenant_put_new(command, t, credit_ucr);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    command_act(command, ACTION_TENANT_NEW, t->id, 0);
    command_target(command, "tenant", t->id, t->id);
    command->changed = true;
    return 0;
}

static int
tenant_add(struct command *command)
{
    struct entity_tenant *t = arena_zalloc(&command->arena, sizeof(*t));
    int64_t credit_ucr;
    struct str name;
    int rc;

    if (t == NULL)
        return -ENOMEM;
    if (!command_str(command, "name", true, &name) ||
        !command_credits(command, "credit", false, &credit_ucr) ||
        !command_credits(command, "overdraft", false, &t->overdraft_ucr))
        return 0;
    rc = command_tenant_new(command, t, "name", name, credit_ucr);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    command->state = t;
    command->after = tenant_add_after;
    jw_key_u64(&command->jw, "id", t->id);
    jw_key_cstr(&command->jw, "name", t->name);
    jw_key_ucr(&command->jw, "credit", credit_ucr);
    return 0;
}

struct tenant_list {
    struct command_page page; /* first */
    struct str state;         /* "": any */
};

static int
list_tenant(struct command *command, const struct command_page *page, uint32_t id, bool *shown)
{
    const struct tenant_list *list = (const struct tenant_list *)(const void *)page;
    struct search_thing thing;
    struct entity_tenant t;
    int rc = entity_tenant_get(&command->txn, id, &t);

    if (rc < 0)
        return rc;
    thing = entity_tenant_thing(&t);
    *shown = (list->state.len == 0 || str_eq(list->state, str_from(tenant_state(&t)))) &&
             page_has(page, &thing);
    if (!*shown)
        return 0;
    jw_object(&command->jw);
    write_tenant(command, &t);
    jw_object_end(&command->jw);
    return 0;
}

static int
tenant_list(struct command *command)
{
    struct tenant_list list = {.page = {.name = "tenants", .table = DB_TENANT, .show = list_tenant}};

    if (!command_str(command, "state", false, &list.state))
        return 0;
    if (list.state.len > 0 && !str_eq(list.state, STR("active")) &&
        !str_eq(list.state, STR("disabled")) && !str_eq(list.state, STR("pending"))) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "state",
                             "there is no state \"%.*s\"", (int)MIN(list.state.len, 40u),
                             list.state.ptr);
        command_hint(command, "one of active, disabled, pending");
        return 0;
    }
    return command_page(command, &list.page);
}

static uint64_t
count_children(struct command *command, enum db_table table, uint32_t tenant_id)
{
    struct db_walk walk;
    struct str key, value;
    uint64_t count = 0;

    if (entity_children(&command->txn, table, tenant_id, &walk) < 0)
        return 0;
    while (db_walk_next(&walk, &key, &value))
        count++;
    db_walk_end(&walk);
    return count;
}

/* 0 with t->id 0 when it was refused. */
static int
load_tenant(struct command *command, struct entity_tenant *t)
{
    uint32_t id;

    t->id = 0;
    return command_tenant(command, "tenant", true, &id) ? entity_tenant_get(&command->txn, id, t)
                                                        : 0;
}

static int
tenant_show(struct command *command)
{
    struct entity_tenant t;
    int rc = load_tenant(command, &t);

    if (rc < 0 || t.id == 0)
        return rc;
    write_tenant(command, &t);
    jw_key_u64(&command->jw, "members", count_children(command, DB_MEMBER, t.id));
    jw_key_u64(&command->jw, "projects", count_children(command, DB_PROJECT, t.id));
    jw_key_u64(&command->jw, "keys", count_children(command, DB_KEY, t.id));
    return 0;
}

/* ---- what a tenant is ---- */

static int
tenant_rename(struct command *command, struct entity_tenant *t)
{
    struct str name;
    int rc;

    if (!command_str(command, "name", false, &name) || name.len == 0 ||
        str_eq(name, str_from(t->name)))
        return 0;
    if (!entity_name_ok(name)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "name",
                             "\"%.*s\" cannot be a tenant's name", (int)MIN(name.len, 96u),
                             name.ptr);
        return 0;
    }
    rc = entity_name_take(&command->txn, DB_TENANT, 0, name, t->id);
    if (rc == -EEXIST) {
        command_refuse_field(command, COMMAND_FAILED, "taken", "name",
                             "there is already a tenant \"%.*s\"", STR_ARGS(name));
        return 0;
    }
    if (rc == 0)
        rc = entity_name_drop(&command->txn, DB_TENANT, 0, str_from(t->name));
    str_copy(name, t->name, sizeof(t->name));
    return rc;
}

/* "" takes it away. */
static bool
text_arg(struct command *command, const char *name, char *out, size_t cap)
{
    struct str text;

    if (!command_has(command, name))
        return true;
    if (!command_str(command, name, false, &text))
        return false;
    if (text.len > 0 && !entity_text_ok(text, cap - 1)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", name, "%s is not usable", name);
        return false;
    }
    memset(out, 0, cap);
    str_copy(text, out, cap);
    return true;
}

static bool
zone_arg(struct command *command, struct entity_tenant *t)
{
    const struct zone *known;
    struct str zone;

    if (!command_has(command, "zone"))
        return true;
    if (!command_str(command, "zone", false, &zone))
        return false;
    if (str_eq(zone, STR("UTC")))
        zone = STR("");
    if (zones_find(zone, &known) < 0) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "zone",
                             "there is no time zone \"%.*s\"", (int)MIN(zone.len, 64u), zone.ptr);
        command_hint(command, "a name as Asia/Shanghai, Europe/Berlin or UTC");
        return false;
    }
    if (!str_eq(zone, str_from(t->zone)))
        command_act(command, ACTION_ZONE, t->id, 0);
    memset(t->zone, 0, sizeof(t->zone));
    str_copy(zone, t->zone, sizeof(t->zone));
    return true;
}

static bool
contact_args(struct command *command, struct entity_tenant *t)
{
    if (!text_arg(command, "contact", t->contact, sizeof(t->contact)) ||
        !text_arg(command, "contact_phone", t->contact_phone, sizeof(t->contact_phone)) ||
        !text_arg(command, "contact_email", t->contact_email, sizeof(t->contact_email)))
        return false;
    if (t->contact_email[0] == '\0' || entity_email_ok(str_from(t->contact_email)))
        return true;
    command_refuse_field(command, COMMAND_USAGE, "invalid", "contact_email",
                         "\"%s\" is not a mail address", t->contact_email);
    return false;
}

static int
tenant_args(struct command *command, struct entity_tenant *t)
{
    int rc;

    if (!contact_args(command, t) || !zone_arg(command, t) ||
        (command_has(command, "overdraft") &&
         !command_credits(command, "overdraft", false, &t->overdraft_ucr)) ||
        !command_limits_args(command, &t->limits) || !command_allow_args(command, &t->allow) ||
        !command_deal_args(command, &t->deals))
        return 0;
    rc = tenant_rename(command, t);
    return rc < 0 || command->exit != COMMAND_DONE
               ? rc
               : command_budget_set(command, BUDGET_TENANT, t->id, t->id, &t->budget_id);
}

static int
tenant_set(struct command *command)
{
    static const char *const names[] = {COMMAND_LIMIT_NAMES, "name", "zone", "contact",
                                        "contact_email", "contact_phone", "overdraft", "prices", NULL};
    struct entity_tenant t;
    int rc = load_tenant(command, &t);

    if (rc < 0 || t.id == 0 || !command_says_some(command, names))
        return rc;
    rc = tenant_args(command, &t);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    rc = entity_tenant_put(&command->txn, &t);
    command_act(command, ACTION_TENANT, t.id, 0);
    command_target(command, "tenant", t.id, t.id);
    command->changed = true;
    write_tenant(command, &t);
    return rc;
}

static int
tenant_switch(struct command *command, bool disabled)
{
    struct entity_tenant t;
    struct str reason;
    int rc = load_tenant(command, &t);

    if (rc < 0 || t.id == 0)
        return rc;
    if (!command_str(command, "reason", false, &reason))
        return 0;
    if (reason.len > 0 && !entity_text_ok(reason, ENTITY_REASON_MAX)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "reason",
                             "reason: up to %d bytes, no control characters", ENTITY_REASON_MAX);
        return 0;
    }
    if (!disabled && t.pending) {
        command_refuse_field(command, COMMAND_FAILED, "pending", NULL,
                             "the tenant \"%s\" waits for approval", t.name);
        command_hint(command, "approve it");
        return 0;
    }
    command->changed = t.disabled != disabled || !str_eq(reason, str_from(t.reason));
    t.disabled = disabled;
    str_copy(disabled ? reason : STR_NONE, t.reason, sizeof(t.reason));
    rc = entity_tenant_put(&command->txn, &t);
    command_act(command, ACTION_TENANT, t.id, 0);
    command_target(command, "tenant", t.id, t.id);
    jw_key_u64(&command->jw, "id", t.id);
    jw_key_cstr(&command->jw, "name", t.name);
    jw_key_bool(&command->jw, "disabled", t.disabled);
    return rc;
}

static int
tenant_disable(struct command *command)
{
    return tenant_switch(command, true);
}

static int
tenant_enable(struct command *command)
{
    return tenant_switch(command, false);
}

const struct command_def command_tenant_defs[] = {
    {.name = "tenant.add", .kind = COMMAND_WRITE, .run = tenant_add},
    {.name = "tenant.list", .kind = COMMAND_READ, .run = tenant_list},
    {.name = "tenant.set", .kind = COMMAND_WRITE, .run = tenant_set},
    {.name = "tenant.show", .kind = COMMAND_READ, .run = tenant_show},
    {.name = "tenant.disable", .kind = COMMAND_WRITE, .run = tenant_disable},
    {.name = "tenant.enable", .kind = COMMAND_WRITE, .run = tenant_enable},
    {.name = NULL},
};
