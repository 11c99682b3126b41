/* Commands about tenants: who pays. */
#include "ledger/command_entity.h"

#include "base/str.h"
#include "ledger/core.h"

#include <errno.h>

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
    jw_key_ucr(jw, "overdraft", t->overdraft_ucr);
    if (account != NULL)
        jw_key_ucr(jw, "available", account_available_ucr(account));
    command_budget_write(command, t->budget_id);
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

static int
list_tenant(struct command *command, uint32_t id)
{
    struct entity_tenant t;
    int rc = entity_tenant_get(&command->txn, id, &t);

    if (rc < 0)
        return rc;
    jw_object(&command->jw);
    write_tenant(command, &t);
    jw_object_end(&command->jw);
    return 0;
}

static int
tenant_list(struct command *command)
{
    struct db_key from;
    struct db_walk walk;
    int rc;

    db_key_start(&from);
    rc = db_walk_start(&command->txn, DB_TENANT, &from, 0, &walk);
    return rc < 0 ? rc : command_list(command, &walk, 0, "tenants", list_tenant);
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
    {.name = "tenant.show", .kind = COMMAND_READ, .run = tenant_show},
    {.name = "tenant.disable", .kind = COMMAND_WRITE, .run = tenant_disable},
    {.name = "tenant.enable", .kind = COMMAND_WRITE, .run = tenant_enable},
    {.name = NULL},
};
