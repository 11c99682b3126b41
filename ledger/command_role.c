/*
 * Commands about members as people: how they come in, what their role is, how they go.
 *
 * A tenant that people sign in to always has an owner who does. Commands are one after the other, so of two
 * last owners who leave at once, one stays.
 */
#include "ledger/command_person.h"

#include "base/str.h"
#include "ledger/core.h"
#include "ledger/search.h"

#include <errno.h>
#include <string.h>

static const char *const roles[] = {"owner", "admin", "billing", "developer", "viewer"};

bool
command_role_known(struct command *command, struct str role)
{
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        if (str_eq(role, str_from(roles[i])))
            return true;
    command_refuse_field(command, COMMAND_USAGE, "invalid", "role", "there is no role \"%.*s\"",
                         (int)MIN(role.len, 40u), role.ptr);
    command_hint(command, "one of owner, admin, billing, developer, viewer");
    return false;
}

static bool
is_owner(const struct entity_member *m)
{
    return str_eq(str_from(m->role), STR("owner"));
}

/* ---- coming in ---- */

static int
join_new(struct command *command, uint32_t tenant_id, struct str role, const struct person *p,
         struct entity_member *m)
{
    struct command_child child;
    int rc = command_room_for(command, DB_MEMBER, tenant_id);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    *m = (struct entity_member){.id = ++command->tail.member_last,
                                .tenant_id = tenant_id,
                                .created_us = ledger_wall_us(command->ledger)};
    str_copy(str_from(p->email), m->email, sizeof(m->email));
    str_copy(role, m->role, sizeof(m->role));
    child = (struct command_child){DB_MEMBER, BUDGET_MEMBER, tenant_id, m->id, str_from(m->email)};
    rc = entity_name_take(&command->txn, DB_MEMBER, tenant_id, child.text, child.id);
    return rc < 0 ? rc : entity_child_put(&command->txn, DB_MEMBER, tenant_id, m->id);
}

int
command_member_join(struct command *command, uint32_t tenant_id, struct str role, struct person *p)
{
    struct entity_member m;
    uint32_t id;
    int rc = entity_find(&command->txn, DB_MEMBER, tenant_id, str_from(p->email), &id);

    ASSERT(p->tenant_id == 0);
    if (rc == 0)
        rc = entity_member_get(&command->txn, id, &m);
    else if (rc == -ENOENT)
        rc = join_new(command, tenant_id, role, p, &m);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (m.person_id != 0) { /* whose address has changed since, perhaps */
        command_refuse_field(command, COMMAND_FAILED, "taken", "email", "\"%s\" is a member already",
                             m.email);
        return 0;
    }
    m.person_id = p->id;
    p->tenant_id = tenant_id;
    p->member_id = m.id;
    command_also(command, "member", m.id);
    return entity_member_put(&command->txn, &m);
}

/* ---- the last owner ---- */

static int
another_owner(struct command *command, const struct entity_member *but, bool *found)
{
    struct db_walk walk;
    struct str key, value;
    int rc = entity_children(&command->txn, DB_MEMBER, but->tenant_id, &walk);

    *found = false;
    if (rc < 0)
        return rc;
    while (rc == 0 && !*found && db_walk_next(&walk, &key, &value)) {
        struct entity_member m;

        rc = entity_member_get(&command->txn, db_u32(key, ENTITY_CHILD_ID_AT), &m);
        *found = rc == 0 && m.id != but->id && !m.removed && m.person_id != 0 && is_owner(&m);
    }
    rc = rc == 0 ? walk.failed : rc;
    db_walk_end(&walk);
    return rc;
}

/* Refused when it is the last; a member whom nobody signs in as keeps nothing running. */
static int
owner_stays(struct command *command, const struct entity_member *m)
{
    bool found = true;
    int rc = is_owner(m) && m->person_id != 0 ? another_owner(command, m, &found) : 0;

    if (rc == 0 && !found) {
        command_refuse_field(command, COMMAND_FAILED, "last_owner", NULL,
                             "\"%s\" is the last owner, and somebody has to be", m->email);
        command_hint(command, "make somebody else an owner first");
    }
    return rc;
}

/* ---- which member ---- */

/* By its id or address (a string with an @), in the tenant of the argument "tenant". m->id is 0 when
 * refused. */
static int
get_member(struct command *command, const char *name, uint32_t tenant_id, struct entity_member *m)
{
    struct js_value value = js_get(command->args, str_from(name));
    struct str text;
    uint32_t id = 0;
    int rc = 0;

    m->id = 0;
    if (js_is(value, JS_STRING) && str_find(value.raw, '@', 0) < value.raw.len) {
        if (command_str(command, name, true, &text))
            rc = command_member_at(command, tenant_id, text, &id);
    } else if (!command_id(command, name, true, &id)) {
        return 0;
    }
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    rc = entity_member_get(&command->txn, id, m);
    if (rc == -ENOENT || (rc == 0 && (m->removed || m->tenant_id != tenant_id))) {
        m->id = 0;
        command_refuse_field(command, COMMAND_FAILED, "not_found", strcmp(name, "id") == 0 ? NULL : name,
                             "there is no member %u", id);
        command_absent(command);
        return 0;
    }
    return rc;
}

/* The command's own: "id", or else "email". "no_owner": for who may do it to anybody but owners. */
static int
own_member(struct command *command, struct entity_member *m)
{
    uint32_t tenant_id;
    bool no_owner;
    int rc;

    m->id = 0;
    if (!command_tenant(command, "tenant", true, &tenant_id) ||
        !command_flag(command, "no_owner", &no_owner))
        return 0;
    rc = get_member(command, command_has(command, "id") ? "id" : "email", tenant_id, m);
    if (rc == 0 && m->id != 0 && no_owner && is_owner(m)) {
        command_refuse_field(command, COMMAND_NOT_ALLOWED, "owners_only", NULL,
                             "only an owner changes what an owner is");
        m->id = 0;
    }
    return rc;
}

/* ---- roles ---- */

static int
member_role(struct command *command)
{
    struct entity_member m;
    struct str role;
    int rc = own_member(command, &m);

    if (rc < 0 || m.id == 0 || !command_str(command, "role", true, &role) ||
        !command_role_known(command, role))
        return rc;
    if (!str_eq(role, STR("owner")))
        rc = owner_stays(command, &m);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    command->changed = !str_eq(role, str_from(m.role));
    str_copy(role, m.role, sizeof(m.role));
    command_target(command, "member", m.id, m.tenant_id);
    jw_key_u64(&command->jw, "id", m.id);
    jw_key_cstr(&command->jw, "email", m.email);
    jw_key_cstr(&command->jw, "role", m.role);
    return entity_member_put(&command->txn, &m);
}

/* ---- going ---- */

/*
 * Keys are parted with in steps, each found in the audit log by all its keys. In between, and when it ends there, the
 * member is one still, some of whose keys do not work any more or are another's: it is removed by the last step,
 * which finds no more.
 */
#define STEP_KEYS (AUDIT_ALSO_MAX - 2) /* beside them: the person */

struct parting {
    uint32_t to;   /* whose its keys are from now on, for calls alone; 0: they stop to work */
    uint32_t from; /* keys below that were looked at by the steps before */
    uint32_t disabled, handed;
    uint32_t ids[STEP_KEYS], count; /* of this step */
};

/* Whoever goes knows its text still. What it may beside calls it may as its member: that is handed over to nobody,
 * else who leaves chooses whose rights they keep. One that is for no calls stops to work. */
static bool
is_handed(const struct parting *parting, const struct entity_key *k)
{
    return parting->to != 0 && (k->scopes & SCOPE_INFERENCE) != 0;
}

static int
part_with_key(struct command *command, struct parting *parting, uint32_t id)
{
    struct entity_key k;
    int rc = entity_key_get(&command->txn, id, &k);

    if (rc < 0)
        return rc;
    if (is_handed(parting, &k)) {
        k.scopes = SCOPE_INFERENCE;
        k.member_id = parting->to;
        parting->handed++;
    } else {
        k.disabled = true;
        parting->disabled++;
    }
    command_also(command, "key", id);
    command_act(command, ACTION_KEY, id, 0);
    return entity_key_put(&command->txn, &k);
}

/* The next of its keys that there is something to do to, from parting->from on. */
static int
find_keys(struct command *command, const struct entity_member *m, struct parting *parting)
{
    struct entity_key *k = arena_alloc(&command->arena, sizeof(*k));
    struct db_walk walk;
    struct db_key from;
    struct str key, value;
    size_t prefix_len;
    int rc;

    if (k == NULL)
        return -ENOMEM;
    search_key_owner(&from, 'm', m->tenant_id, m->id);
    prefix_len = from.len;
    db_key_u32(&from, parting->from);
    rc = db_walk_start(&command->txn, DB_SEARCH, &from, prefix_len, &walk);
    if (rc < 0)
        return rc;
    while (rc == 0 && parting->count < STEP_KEYS && db_walk_next(&walk, &key, &value)) {
        uint32_t id = db_u32(key, prefix_len);

        rc = entity_key_get(&command->txn, id, k);
        if (rc == 0 && (is_handed(parting, k) || !k->disabled))
            parting->ids[parting->count++] = id;
    }
    rc = rc == 0 ? walk.failed : rc;
    db_walk_end(&walk);
    return rc;
}

/* *all: there are no more after these. */
static int
part_with_keys(struct command *command, const struct entity_member *m, struct parting *parting, bool *all)
{
    int rc;

    parting->count = 0;
    rc = find_keys(command, m, parting);
    /* Keys may have become the member's behind us. */
    if (rc == 0 && parting->count < STEP_KEYS && parting->from != 0) {
        parting->count = parting->from = 0;
        rc = find_keys(command, m, parting);
    }
    *all = parting->count < STEP_KEYS;
    for (uint32_t i = 0; rc == 0 && i < parting->count; i++)
        rc = part_with_key(command, parting, parting->ids[i]);
    if (parting->count > 0)
        parting->from = parting->ids[parting->count - 1] + 1;
    return rc;
}

/* Who signed in as the member belongs to no tenant from now on, and is signed out everywhere. */
static int
part_with_person(struct command *command, const struct entity_member *m)
{
    struct person p;
    uint32_t closed;
    int rc;

    if (m->person_id == 0)
        return 0;
    rc = person_get(&command->txn, m->person_id, &p);
    if (rc < 0)
        return rc;
    p.tenant_id = p.member_id = 0;
    command_also(command, "person", p.id);
    rc = session_drop_all(&command->txn, p.id, NULL, &closed);
    return rc < 0 ? rc : person_put(&command->txn, &p);
}

/* After all its keys. */
static int
end_member(struct command *command, struct entity_member *m, const struct parting *parting)
{
    int rc = part_with_person(command, m);

    m->removed = true;
    m->person_id = 0;
    if (rc == 0)
        rc = entity_member_put(&command->txn, m);
    if (rc == 0)
        rc = entity_name_drop(&command->txn, DB_MEMBER, m->tenant_id, str_from(m->email));
    jw_key_u64(&command->jw, "id", m->id);
    jw_key_cstr(&command->jw, "email", m->email);
    jw_key_u64(&command->jw, "keys_disabled", parting->disabled);
    jw_key_u64(&command->jw, "keys_handed_over", parting->handed);
    return rc;
}

static int
remove_member(struct command *command, struct entity_member *m, struct parting *parting)
{
    int rc = owner_stays(command, m);
    bool all;

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    rc = part_with_keys(command, m, parting, &all);
    command->changed = true;
    command->more = !all;
    command_target(command, "member", m->id, m->tenant_id);
    return rc == 0 && all ? end_member(command, m, parting) : rc;
}

/* By somebody else, or by themselves: then "id" is the asker's own. */
static int
member_remove(struct command *command)
{
    struct parting *parting = command->state;
    struct entity_member m, heir;
    int rc = own_member(command, &m);

    if (rc < 0 || m.id == 0)
        return rc;
    if (parting == NULL)
        parting = command->state = arena_zalloc(&command->arena, sizeof(*parting));
    if (parting == NULL)
        return -ENOMEM;
    if (command_has(command, "hand_over_to")) {
        rc = get_member(command, "hand_over_to", m.tenant_id, &heir);
        if (rc < 0 || heir.id == 0)
            return rc;
        if (heir.id == m.id) {
            command_refuse_field(command, COMMAND_USAGE, "invalid", "hand_over_to",
                                 "keys are handed over to somebody else");
            return 0;
        }
        parting->to = heir.id;
    }
    return remove_member(command, &m, parting);
}

const struct command_def command_role_defs[] = {
    {.name = "member.role", .kind = COMMAND_WRITE, .run = member_role},
    {.name = "member.remove", .kind = COMMAND_WRITE, .run = member_remove},
    {.name = "member.leave", .kind = COMMAND_WRITE, .run = member_remove},
    {.name = NULL},
};
