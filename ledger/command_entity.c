#include "ledger/command_entity.h"

#include "base/str.h"
#include "ledger/core.h"

#include <errno.h>
#include <string.h>

#define BUDGET_HINT                                                                                \
    "write 100, 100/day, 100/week, 100/month or 100/5h, and /shadow behind it to count only"

/* Sets *def to what the argument says; false when it was refused. */
static bool
budget_arg(struct command *command, struct db_budget *def)
{
    struct str text;

    if (!command_str(command, "budget", false, &text))
        return false;
    if (text.len == 0 || str_eq(text, STR("none"))) {
        def->limit_ucr = -1;
        return true;
    }
    if (entity_budget_parse(text, def))
        return true;
    command_refuse_field(command, COMMAND_USAGE, "invalid", "budget",
                         "budget: \"%.*s\" is not a budget", (int)MIN(text.len, 40u), text.ptr);
    command_hint(command, BUDGET_HINT);
    return false;
}

int
command_budget_new(struct command *command, enum budget_kind kind, uint32_t tenant_id,
                   uint32_t owner_id, uint64_t *budget_id)
{
    struct db_budget def = {.kind = kind, .tenant_id = tenant_id, .owner_id = owner_id};
    int rc;

    *budget_id = 0;
    if (!command_has(command, "budget") || !budget_arg(command, &def) || def.limit_ucr < 0)
        return 0;
    *budget_id = ++command->tail.budget_last;
    rc = entity_budget_put(&command->txn, *budget_id, &def);
    command_act(command, ACTION_BUDGET, *budget_id, 0);
    return rc;
}

int
command_budget_set(struct command *command, enum budget_kind kind, uint32_t tenant_id,
                   uint32_t owner_id, uint64_t *budget_id)
{
    struct db_budget def = {.kind = kind, .tenant_id = tenant_id, .owner_id = owner_id}, was;
    int rc;

    if (!command_has(command, "budget") || !budget_arg(command, &def))
        return 0;
    if (*budget_id != 0) {
        rc = entity_budget_get(&command->txn, *budget_id, &was);
        if (rc < 0)
            return rc;
        if (def.limit_ucr < 0) { /* as it was, but that it limits no more */
            was.limit_ucr = -1;
            def = was;
        }
        /* Windows of another kind have other numbers: it begins anew. */
        if (def.period != was.period)
            *budget_id = 0;
    } else if (def.limit_ucr < 0) {
        return 0;
    }
    if (*budget_id == 0)
        *budget_id = ++command->tail.budget_last;
    rc = entity_budget_put(&command->txn, *budget_id, &def);
    command_act(command, ACTION_BUDGET, *budget_id, 0);
    command->changed = true;
    return rc;
}

void
command_budget_write(struct command *command, uint64_t budget_id)
{
    struct db_budget def;

    jw_key(&command->jw, "budget");
    if (budget_id == 0 || entity_budget_get(&command->txn, budget_id, &def) < 0 ||
        def.limit_ucr < 0 || def.period >= BUDGET_PERIOD_COUNT) {
        jw_null(&command->jw);
        return;
    }

    uint32_t idx = id_map_look(&command->ledger->budget_of_id, (uint32_t)budget_id);
    const struct budget *budget = budget_at(command->ledger->region, idx);

    jw_object(&command->jw);
    jw_key_ucr(&command->jw, "limit", def.limit_ucr);
    jw_key_cstr(&command->jw, "period", budget_period_name[def.period]);
    if (def.period == BUDGET_ROLLING)
        jw_key_u64(&command->jw, "hours", def.length_s / 3600);
    jw_key_bool(&command->jw, "shadow", (def.flags & DB_BUDGET_SHADOW) != 0);
    if (budget != NULL) {
        struct budget_look look;

        budget_look(budget, ledger_wall_us(command->ledger), &look);
        jw_key_ucr(&command->jw, "used", look.spent_ucr);
        if (look.ends_us != INT64_MAX)
            jw_key_time(&command->jw, "resets", look.ends_us);
    }
    jw_object_end(&command->jw);
}

int
command_list(struct command *command, struct db_walk *walk, size_t id_at, const char *name,
             int (*show)(struct command *command, uint32_t id))
{
    struct str key, value;
    int rc = 0;

    jw_key(&command->jw, name);
    jw_array(&command->jw);
    while (rc == 0 && db_walk_next(walk, &key, &value))
        rc = show(command, db_u32(key, id_at));
    if (rc == 0)
        rc = walk->failed;
    db_walk_end(walk);
    jw_array_end(&command->jw);
    return rc;
}

static uint32_t
children_max(const struct conf *conf, enum db_table table)
{
    switch (table) {
    case DB_KEY: return conf->manage.keys_max;
    case DB_MEMBER: return conf->manage.members_max;
    default: return conf->manage.projects_max;
    }
}

/* Counted anew each time: a few thousand entries of an index are a matter of microseconds. */
int
command_room_for(struct command *command, enum db_table table, uint32_t tenant_id)
{
    const struct conf *conf = command->ledger->conf;
    struct str key, value;
    struct db_walk walk;
    uint32_t count = 0, most;
    int rc;

    if (command->actor.kind == ACTOR_CLI || conf == NULL)
        return 0;
    most = children_max(conf, table);
    rc = entity_children(&command->txn, table, tenant_id, &walk);
    if (rc < 0)
        return rc;
    while (count < most && db_walk_next(&walk, &key, &value))
        count++;
    rc = walk.failed;
    db_walk_end(&walk);
    if (rc < 0 || count < most)
        return rc;
    command_refuse_field(command, COMMAND_FAILED, "too_many", NULL, "a tenant has at most %u %ss", most,
                         db_table_name[table]);
    command_hint(command, "take away some that are not needed, or ask who runs this server");
    return 0;
}

int
command_child_new(struct command *command, const struct command_child *child, uint64_t *budget_id)
{
    uint32_t tenant_id = child->tenant_id;
    int rc = entity_name_take(&command->txn, child->table, tenant_id, child->text, child->id);

    if (rc == 0)
        rc = command_budget_new(command, child->budget_kind, tenant_id, child->id, budget_id);
    if (rc == 0)
        rc = entity_child_put(&command->txn, child->table, tenant_id, child->id);
    return rc;
}

int
command_find(struct command *command, enum db_table table, uint32_t tenant_id, struct str text,
             const char *what, uint32_t *id)
{
    int rc = entity_find(&command->txn, table, tenant_id, text, id);

    if (rc != -ENOENT)
        return rc;
    command_refuse(command, COMMAND_FAILED, "there is no %s \"%.*s\"", what,
                   (int)MIN(text.len, 96u), text.ptr);
    command_absent(command);
    return 0;
}
