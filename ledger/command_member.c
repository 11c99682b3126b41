/* Commands about members: what they may spend and use, lists of them. Who they are: command_person.c. */
#include "ledger/command_page.h"
#include "ledger/command_person.h"

#include "base/str.h"
#include "base/ucr.h"
#include "ledger/core.h"

#include <errno.h>

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
    entity_limits_write(&command->jw, &m->limits);
    entity_allow_write(&command->jw, &m->allow);
}

static int
member_add(struct command *command)
{
    struct entity_member m = {0};
    struct command_child child;
    struct str role;
    int rc;

    if (!command_tenant(command, "tenant", true, &m.tenant_id) ||
        !command_email(command, "email", true, m.email) || !command_str(command, "role", false, &role))
        return 0;
    if (role.len == 0)
        role = STR("developer");
    if (!command_role_known(command, role))
        return 0;
    rc = command_room_for(command, DB_MEMBER, m.tenant_id);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    m.id = ++command->tail.member_last;
    m.created_us = ledger_wall_us(command->ledger);
    str_copy(role, m.role, sizeof(m.role));
    child = (struct command_child){DB_MEMBER, BUDGET_MEMBER, m.tenant_id, m.id, str_from(m.email)};
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

struct member_list {
    struct command_page page; /* first */
    struct str role;          /* "": any */
    uint32_t only;            /* this one alone; 0: any */
};

static int
list_member(struct command *command, const struct command_page *page, uint32_t id, bool *shown)
{
    const struct member_list *list = (const struct member_list *)(const void *)page;
    struct search_thing thing;
    struct entity_member m;
    int rc = entity_member_get(&command->txn, id, &m);

    if (rc < 0)
        return rc;
    thing = entity_member_thing(&m);
    *shown = !m.removed && (list->only == 0 || list->only == id) &&
             (list->role.len == 0 || str_eq(list->role, str_from(m.role))) && page_has(page, &thing);
    if (!*shown)
        return 0;
    jw_object(&command->jw);
    write_member(command, &m);
    jw_object_end(&command->jw);
    return 0;
}

static int
member_list(struct command *command)
{
    struct member_list list = {.page = {.name = "members", .table = DB_MEMBER, .show = list_member}};

    if (!command_tenant(command, "tenant", true, &list.page.tenant_id) ||
        !command_u32(command, "only_member", &list.only) ||
        !command_str(command, "role", false, &list.role) ||
        (list.role.len > 0 && !command_role_known(command, list.role)))
        return 0;
    return command_page(command, &list.page);
}

/* As it is kept, which is in lower case but for those that are older than that rule; else as it was said. */
int
command_member_at(struct command *command, uint32_t tenant_id, struct str email, uint32_t *id)
{
    char lower[ENTITY_EMAIL_MAX + 1];
    int rc = person_email(email, lower) ? entity_find(&command->txn, DB_MEMBER, tenant_id, str_from(lower), id) : -ENOENT;

    return rc == -ENOENT ? command_find(command, DB_MEMBER, tenant_id, email, "member", id) : rc;
}

/* By id, as a number or its digits, or by address. */
static int
find_member(struct command *command, uint32_t tenant_id, const char *name, bool must, uint32_t *id)
{
    struct js_value value = js_get(command->args, str_from(name));
    struct entity_member m;
    struct str text = value.raw;
    uint64_t n;

    *id = 0;
    if (!js_is(value, JS_NUMBER) && (!command_str(command, name, must, &text) || text.len == 0))
        return 0;
    if (str_to_count(text, UINT32_MAX, &n) && n > 0) {
        if (entity_member_get(&command->txn, (uint32_t)n, &m) == 0 && m.tenant_id == tenant_id &&
            !m.removed) {
            *id = (uint32_t)n;
            return 0;
        }
        command_refuse(command, COMMAND_FAILED, "there is no member %.*s", (int)MIN(text.len, 20u),
                       text.ptr);
        command_absent(command);
        return 0;
    }
    return command_member_at(command, tenant_id, text, id);
}

int
command_member(struct command *command, uint32_t tenant_id, uint32_t *id)
{
    return find_member(command, tenant_id, "member", false, id);
}

/*
 * What a member may spend and use. The tenant's balance is one pool; a member's budget is their share of it,
 * once or by the day, week or month of the tenant's time zone: it keeps nothing back for them, and lets
 * them have no more. "raise" and "lower" change it by an amount, whatever others make of it meanwhile.
 */
static int
allocation_shift(struct command *command, struct entity_member *m)
{
    int64_t raise_ucr, lower_ucr, limit_ucr;
    struct db_budget budget;
    int rc;

    if (!command_credits(command, "raise", false, &raise_ucr) ||
        !command_credits(command, "lower", false, &lower_ucr) ||
        (raise_ucr == 0 && lower_ucr == 0))
        return 0;
    rc = m->budget_id == 0 ? -ENOENT : entity_budget_get(&command->txn, m->budget_id, &budget);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (rc == -ENOENT || budget.limit_ucr < 0) {
        command_refuse_field(command, COMMAND_FAILED, "no_budget",
                             raise_ucr > 0 ? "raise" : "lower",
                             "\"%s\" has no budget that could be changed", m->email);
        command_hint(command, "set one, as 100/month");
        return 0;
    }
    if (!ucr_add(budget.limit_ucr, raise_ucr, &limit_ucr) ||
        !ucr_sub(limit_ucr, lower_ucr, &limit_ucr) || limit_ucr > BUDGET_SPENT_MAX) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "raise", "raise is out of range");
        return 0;
    }
    budget.limit_ucr = MAX(limit_ucr, 0); /* what is there no more cannot be taken back */
    command_act(command, ACTION_BUDGET, m->budget_id, 0);
    return entity_budget_put(&command->txn, m->budget_id, &budget);
}

static int
member_limits_args(struct command *command, struct entity_member *m)
{
    int rc;

    if (command_has(command, "budget") &&
        (command_has(command, "raise") || command_has(command, "lower"))) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "budget",
                             "say a budget, or by how much it is another");
        return 0;
    }
    if (!command_limits_args(command, &m->limits) || !command_allow_args(command, &m->allow))
        return 0;
    rc = command_budget_set(command, BUDGET_MEMBER, m->tenant_id, m->id, &m->budget_id);
    return rc < 0 || command->exit != COMMAND_DONE ? rc : allocation_shift(command, m);
}

static int
member_limits(struct command *command)
{
    static const char *const names[] = {COMMAND_LIMIT_NAMES, "raise", "lower", NULL};
    struct entity_member m;
    uint32_t tenant_id, id;
    int rc;

    if (!command_tenant(command, "tenant", true, &tenant_id) || !command_says_some(command, names))
        return 0;
    rc = find_member(command, tenant_id, "member", true, &id);
    if (rc == 0 && id != 0)
        rc = entity_member_get(&command->txn, id, &m);
    if (rc < 0 || id == 0)
        return rc;
    rc = member_limits_args(command, &m);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    rc = entity_member_put(&command->txn, &m);
    command_act(command, ACTION_MEMBER, id, 0);
    command_target(command, "member", id, tenant_id);
    command->changed = true;
    write_member(command, &m);
    return rc;
}

/* One. For who may see only their own, another's is not there. */
static int
member_show(struct command *command)
{
    struct entity_member m;
    uint32_t tenant_id, only, id;
    int rc;

    if (!command_tenant(command, "tenant", true, &tenant_id) ||
        !command_u32(command, "only_member", &only))
        return 0;
    rc = find_member(command, tenant_id, "member", true, &id);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (only != 0 && only != id) {
        command_refuse(command, COMMAND_FAILED, "there is no member %u", id);
        command_absent(command);
        return 0;
    }
    rc = entity_member_get(&command->txn, id, &m);
    if (rc == 0)
        write_member(command, &m);
    return rc;
}

const struct command_def command_member_defs[] = {
    {.name = "member.add", .kind = COMMAND_WRITE, .run = member_add},
    {.name = "member.list", .kind = COMMAND_READ, .run = member_list},
    {.name = "member.show", .kind = COMMAND_READ, .run = member_show},
    {.name = "member.limits", .kind = COMMAND_WRITE, .run = member_limits},
    {.name = NULL},
};
