/* Commands about projects: groups of a tenant's keys. */
#include "ledger/command_entity.h"
#include "ledger/command_page.h"

#include "base/str.h"
#include "base/ucr.h"
#include "ledger/core.h"

#include <errno.h>
#include <string.h>

#define WEIGHT_MAX_U 1000000

static void
write_project(struct command *command, const struct entity_project *p)
{
    jw_key_u64(&command->jw, "id", p->id);
    jw_key_u64(&command->jw, "tenant", p->tenant_id);
    jw_key_cstr(&command->jw, "name", p->name);
    jw_key_time(&command->jw, "created", p->created_us);
    command_budget_write(command, p->budget_id);
    entity_limits_write(&command->jw, &p->limits);
    entity_allow_write(&command->jw, &p->allow);
    entity_labels_write(&command->jw, p);
    jw_key(&command->jw, "weights");
    if (!p->has_weights) {
        jw_null(&command->jw);
        return;
    }
    jw_object(&command->jw);
    jw_key_ucr(&command->jw, "latency", p->latency_u);
    jw_key_ucr(&command->jw, "cost", p->cost_u);
    jw_key_ucr(&command->jw, "quality", p->quality_u);
    jw_object_end(&command->jw);
}

static bool
weight_arg(struct command *command, const char *name, bool *given, uint32_t *weight_u)
{
    struct str text;
    int64_t value_u;

    if (!command_str(command, name, false, &text))
        return false;
    if (text.len == 0)
        return true;
    if (!decimal_parse(text, 6, &value_u) || value_u > WEIGHT_MAX_U) {
        command_refuse(command, COMMAND_USAGE, "%s: \"%.*s\" is not a weight", name,
                       (int)MIN(text.len, 40u), text.ptr);
        command_hint(command, "a decimal from 0 to 1 with at most six places, as 0.3");
        return false;
    }
    *given = true;
    *weight_u = (uint32_t)value_u;
    return true;
}

/* What is not stated stays as it is; of a project that has had none it is 0. */
static bool
project_weights(struct command *command, struct entity_project *p, bool *given)
{
    *given = false;
    if (!weight_arg(command, "latency", given, &p->latency_u) ||
        !weight_arg(command, "cost", given, &p->cost_u) ||
        !weight_arg(command, "quality", given, &p->quality_u))
        return false;
    if (*given && p->latency_u == 0 && p->cost_u == 0 && p->quality_u == 0) {
        command_refuse(command, COMMAND_USAGE, "latency, cost and quality are all 0");
        return false;
    }
    p->has_weights |= *given;
    return true;
}

/* Of the arguments "tenant" and "project". 0 with *id 0: refused. */
static int
load_project(struct command *command, struct entity_project *p, uint32_t *id)
{
    uint32_t tenant_id;
    int rc;

    *id = 0;
    if (!command_tenant(command, "tenant", true, &tenant_id))
        return 0;
    if (!command_has(command, "project")) {
        command_refuse(command, COMMAND_USAGE, "project is missing");
        return 0;
    }
    rc = command_project(command, tenant_id, id);
    return rc == 0 && *id != 0 ? entity_project_get(&command->txn, *id, p) : rc;
}

static bool
name_ok(struct command *command, struct str name)
{
    if (entity_name_ok(name))
        return true;
    command_refuse_field(command, COMMAND_USAGE, "invalid", "name",
                         "\"%.*s\" cannot be a project's name", (int)MIN(name.len, 96u), name.ptr);
    return false;
}

static int
project_rename(struct command *command, struct entity_project *p)
{
    struct str name;
    int rc;

    if (!command_str(command, "name", false, &name) || name.len == 0 ||
        str_eq(name, str_from(p->name)) || !name_ok(command, name))
        return 0;
    rc = entity_name_take(&command->txn, DB_PROJECT, p->tenant_id, name, p->id);
    if (rc == -EEXIST) {
        command_refuse_field(command, COMMAND_FAILED, "taken", "name",
                             "there is already a project \"%.*s\"", STR_ARGS(name));
        return 0;
    }
    if (rc == 0)
        rc = entity_name_drop(&command->txn, DB_PROJECT, p->tenant_id, str_from(p->name));
    str_copy(name, p->name, sizeof(p->name));
    return rc;
}

static int
project_args(struct command *command, struct entity_project *p)
{
    bool given, none;
    int rc;

    if (!command_flag(command, "no_weights", &none) || !project_weights(command, p, &given) ||
        !command_limits_args(command, &p->limits) || !command_allow_args(command, &p->allow) ||
        !command_labels_args(command, p))
        return 0;
    if (given && none) {
        command_refuse(command, COMMAND_USAGE, "weights, or none of them");
        return 0;
    }
    if (none) {
        p->has_weights = false;
        p->latency_u = p->cost_u = p->quality_u = 0;
    }
    rc = project_rename(command, p);
    return rc < 0 || command->exit != COMMAND_DONE
               ? rc
               : command_budget_set(command, BUDGET_PROJECT, p->tenant_id, p->id, &p->budget_id);
}

static int
project_set(struct command *command)
{
    static const char *const names[] = {COMMAND_LIMIT_NAMES, "name", "latency", "cost", "quality",
                                        "no_weights", "labels", "no_labels", NULL};
    struct entity_project p;
    uint32_t id;
    int rc = load_project(command, &p, &id);

    if (rc < 0 || id == 0 || !command_says_some(command, names))
        return rc;
    rc = project_args(command, &p);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    rc = entity_project_put(&command->txn, &p);
    command_act(command, ACTION_PROJECT, id, 0);
    command->changed = true;
    command_target(command, "project", id, p.tenant_id);
    write_project(command, &p);
    return rc;
}

/* Its keys would be limited by it no more: they have to go, or elsewhere, first. */
static int
project_delete(struct command *command)
{
    struct entity_project p;
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    bool used;
    uint32_t id;
    int rc = load_project(command, &p, &id);

    if (rc < 0 || id == 0)
        return rc;
    search_key_owner(&from, 'p', p.tenant_id, id);
    rc = db_walk_start(&command->txn, DB_SEARCH, &from, from.len, &walk);
    if (rc < 0)
        return rc;
    used = db_walk_next(&walk, &key, &value);
    rc = walk.failed;
    db_walk_end(&walk);
    if (rc < 0)
        return rc;
    if (used) {
        command_refuse_field(command, COMMAND_FAILED, "in_use", "project",
                             "the project \"%s\" still has keys", p.name);
        command_hint(command, "delete them, or give them another project");
        return 0;
    }
    p.deleted_us = ledger_wall_us(command->ledger);
    rc = entity_name_drop(&command->txn, DB_PROJECT, p.tenant_id, str_from(p.name));
    if (rc == 0)
        rc = entity_project_put(&command->txn, &p);
    command->changed = true;
    command_target(command, "project", id, p.tenant_id);
    jw_key_u64(&command->jw, "id", id);
    jw_key_cstr(&command->jw, "name", p.name);
    jw_key_bool(&command->jw, "deleted", true);
    return rc;
}

static int
project_show(struct command *command)
{
    struct entity_project p;
    uint32_t id;
    int rc = load_project(command, &p, &id);

    if (rc == 0 && id != 0)
        write_project(command, &p);
    return rc;
}

static int
project_add(struct command *command)
{
    struct entity_project p = {0};
    struct command_child child;
    struct str name;
    bool given;
    int rc;

    if (!command_tenant(command, "tenant", true, &p.tenant_id) ||
        !command_str(command, "name", true, &name) || !project_weights(command, &p, &given))
        return 0;
    if (!name_ok(command, name) || !command_limits_args(command, &p.limits) ||
        !command_allow_args(command, &p.allow) || !command_labels_args(command, &p))
        return 0;
    rc = command_room_for(command, DB_PROJECT, p.tenant_id);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    p.id = ++command->tail.project_last;
    p.created_us = ledger_wall_us(command->ledger);
    str_copy(name, p.name, sizeof(p.name));
    child = (struct command_child){DB_PROJECT, BUDGET_PROJECT, p.tenant_id, p.id, name};
    rc = command_child_new(command, &child, &p.budget_id);
    if (rc == -EEXIST) {
        command_refuse_field(command, COMMAND_FAILED, "taken", "name",
                             "there is already a project \"%s\"", p.name);
        return 0;
    }
    if (rc == 0)
        rc = entity_project_put(&command->txn, &p);
    command_act(command, ACTION_PROJECT, p.id, 0);
    command->changed = true;
    command_target(command, "project", p.id, p.tenant_id);
    write_project(command, &p);
    return rc;
}

struct project_list {
    struct command_page page; /* first */
    struct str label;         /* "": any */
};

static bool
has_label(const struct entity_project *p, struct str label)
{
    const char *at = p->labels;

    for (uint32_t i = 0; i < p->label_count; i++, at += strlen(at) + 1)
        if (str_eq(label, str_from(at)))
            return true;
    return false;
}

static int
list_project(struct command *command, const struct command_page *page, uint32_t id, bool *shown)
{
    const struct project_list *list = (const struct project_list *)(const void *)page;
    struct search_thing thing;
    struct entity_project p;
    int rc = entity_project_get(&command->txn, id, &p);

    if (rc < 0)
        return rc;
    thing = entity_project_thing(&p);
    *shown = p.deleted_us == 0 && (list->label.len == 0 || has_label(&p, list->label)) &&
             page_has(page, &thing);
    if (!*shown)
        return 0;
    jw_object(&command->jw);
    write_project(command, &p);
    jw_object_end(&command->jw);
    return 0;
}

static int
project_list(struct command *command)
{
    struct project_list list = {
        .page = {.name = "projects", .table = DB_PROJECT, .show = list_project}};

    if (!command_tenant(command, "tenant", true, &list.page.tenant_id) ||
        !command_str(command, "label", false, &list.label))
        return 0;
    return command_page(command, &list.page);
}

int
command_project(struct command *command, uint32_t tenant_id, uint32_t *id)
{
    struct js_value value = js_get(command->args, STR("project"));
    struct entity_project p;
    struct str name = value.raw;
    uint64_t n;

    *id = 0;
    if (!js_is(value, JS_NUMBER) &&
        (!command_str(command, "project", false, &name) || name.len == 0))
        return 0;
    if (str_to_count(name, UINT32_MAX, &n) && n > 0 &&
        entity_project_get(&command->txn, (uint32_t)n, &p) == 0 && p.tenant_id == tenant_id &&
        p.deleted_us == 0) {
        *id = (uint32_t)n;
        return 0;
    }
    return command_find(command, DB_PROJECT, tenant_id, name, "project", id);
}

const struct command_def command_project_defs[] = {
    {.name = "project.add", .kind = COMMAND_WRITE, .run = project_add},
    {.name = "project.set", .kind = COMMAND_WRITE, .run = project_set},
    {.name = "project.delete", .kind = COMMAND_WRITE, .run = project_delete},
    {.name = "project.show", .kind = COMMAND_READ, .run = project_show},
    {.name = "project.list", .kind = COMMAND_READ, .run = project_list},
    {.name = NULL},
};
