/* Commands about what a tenant divides itself into: members and projects. */
#include "ledger/command_person.h"

#include "base/str.h"
#include "base/ucr.h"
#include "ledger/core.h"

#include <errno.h>

#define WEIGHT_MAX_U 1000000

/* ---- members ---- */

static void
write_member(struct command *command, const struct entity_member *m)
{
    jw_key_u64(&command->jw, "id", m->id);
    jw_key_u64(&command->jw, "tenant", m->tenant_id);
    jw_key_cstr(&command->jw, "email", m->email);
    jw_key_cstr(&command->jw, "role", m->role);
    jw_key_time(&command->jw, "created", m->created_us);
    jw_key_bool(&command->jw, "signed_up", m->person_id != 0);
    command_budget_write(command, m->budget_id);
}

static int
member_add(struct command *command)
{
    struct entity_member m = {0};
    struct command_child child;
    struct str email, role;
    int rc;

    if (!command_tenant(command, "tenant", true, &m.tenant_id) ||
        !command_str(command, "email", true, &email) || !command_str(command, "role", false, &role))
        return 0;
    if (role.len == 0)
        role = STR("developer");
    if (!entity_email_ok(email)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "email",
                             "\"%.*s\" is not a mail address", (int)MIN(email.len, 96u),
                             email.ptr);
        return 0;
    }
    if (!command_role_known(command, role))
        return 0;
    m.id = ++command->tail.member_last;
    m.created_us = ledger_wall_us(command->ledger);
    str_copy(email, m.email, sizeof(m.email));
    str_copy(role, m.role, sizeof(m.role));
    child = (struct command_child){DB_MEMBER, BUDGET_MEMBER, m.tenant_id, m.id, email};
    rc = command_child_new(command, &child, &m.budget_id);
    if (rc == -EEXIST) {
        command_refuse_field(command, COMMAND_FAILED, "taken", "email",
                             "\"%s\" is a member already", m.email);
        return 0;
    }
    if (rc == 0)
        rc = entity_member_put(&command->txn, &m);
    command->changed = true;
    command_target(command, "member", m.id, m.tenant_id);
    write_member(command, &m);
    return rc;
}

static int
list_member(struct command *command, uint32_t id)
{
    struct entity_member m;
    int rc = entity_member_get(&command->txn, id, &m);

    if (rc < 0 || m.removed)
        return rc;
    jw_object(&command->jw);
    write_member(command, &m);
    jw_object_end(&command->jw);
    return 0;
}

static int
member_list(struct command *command)
{
    return command_list_children(command, DB_MEMBER, "members", list_member);
}

static int
find_member(struct command *command, uint32_t tenant_id, const char *name, bool must, uint32_t *id)
{
    struct str email;

    *id = 0;
    if (!command_str(command, name, must, &email) || email.len == 0)
        return 0;
    return command_find(command, DB_MEMBER, tenant_id, email, "member", id);
}

int
command_member(struct command *command, uint32_t tenant_id, uint32_t *id)
{
    return find_member(command, tenant_id, "member", false, id);
}

/* ---- projects ---- */

static void
write_project(struct command *command, const struct entity_project *p)
{
    jw_key_u64(&command->jw, "id", p->id);
    jw_key_u64(&command->jw, "tenant", p->tenant_id);
    jw_key_cstr(&command->jw, "name", p->name);
    jw_key_time(&command->jw, "created", p->created_us);
    command_budget_write(command, p->budget_id);
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

static int
project_set(struct command *command)
{
    struct entity_project p;
    uint32_t tenant_id, id;
    bool given, none;
    int rc;

    if (!command_tenant(command, "tenant", true, &tenant_id) ||
        !command_flag(command, "no_weights", &none))
        return 0;
    rc = command_project(command, tenant_id, &id);
    if (rc == 0 && id != 0)
        rc = entity_project_get(&command->txn, id, &p);
    if (rc < 0 || id == 0 || !project_weights(command, &p, &given))
        return rc;
    if (given == none) {
        command_refuse(command, COMMAND_USAGE, "nothing to set");
        command_hint(command, "state --latency, --cost or --quality, or else --no-weights");
        return 0;
    }
    if (none) {
        p.has_weights = false;
        p.latency_u = p.cost_u = p.quality_u = 0;
    }
    rc = entity_project_put(&command->txn, &p);
    command_act(command, ACTION_PROJECT, id, 0);
    command->changed = true;
    command_target(command, "project", id, tenant_id);
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
    if (!entity_name_ok(name)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "name",
                             "\"%.*s\" cannot be a project's name", (int)MIN(name.len, 96u),
                             name.ptr);
        return 0;
    }
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
    command->changed = true;
    command_target(command, "project", p.id, p.tenant_id);
    write_project(command, &p);
    return rc;
}

static int
list_project(struct command *command, uint32_t id)
{
    struct entity_project p;
    int rc = entity_project_get(&command->txn, id, &p);

    if (rc < 0)
        return rc;
    jw_object(&command->jw);
    write_project(command, &p);
    jw_object_end(&command->jw);
    return 0;
}

static int
project_list(struct command *command)
{
    return command_list_children(command, DB_PROJECT, "projects", list_project);
}

int
command_project(struct command *command, uint32_t tenant_id, uint32_t *id)
{
    struct entity_project p;
    struct str name;
    uint64_t n;

    *id = 0;
    if (!command_str(command, "project", false, &name) || name.len == 0)
        return 0;
    if (str_to_count(name, UINT32_MAX, &n) && n > 0 &&
        entity_project_get(&command->txn, (uint32_t)n, &p) == 0 && p.tenant_id == tenant_id) {
        *id = (uint32_t)n;
        return 0;
    }
    return command_find(command, DB_PROJECT, tenant_id, name, "project", id);
}

const struct command_def command_member_defs[] = {
    {.name = "member.add", .kind = COMMAND_WRITE, .run = member_add},
    {.name = "member.list", .kind = COMMAND_READ, .run = member_list},
    {.name = "project.add", .kind = COMMAND_WRITE, .run = project_add},
    {.name = "project.set", .kind = COMMAND_WRITE, .run = project_set},
    {.name = "project.list", .kind = COMMAND_READ, .run = project_list},
    {.name = NULL},
};
