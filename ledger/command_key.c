/* Commands about keys. A key's text is seen once, in the answer that makes it. */
#include "ledger/command_entity.h"
#include "ledger/command_page.h"
#include "ledger/used.h"

#include "base/cidr.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/str.h"
#include "ledger/core.h"

#include <errno.h>
#include <string.h>

enum key_state { STATE_ACTIVE = 0, STATE_DISABLED, STATE_EXPIRED, STATE_COUNT };
static const char *const state_name[] = {
    [STATE_ACTIVE] = "active", [STATE_DISABLED] = "disabled", [STATE_EXPIRED] = "expired"};
_Static_assert(COUNT_OF(state_name) == STATE_COUNT, "a new state needs a name");

static enum key_state
key_state(const struct command *command, const struct entity_key *k)
{
    if (k->disabled)
        return STATE_DISABLED;
    return k->expires_us != 0 && k->expires_us <= ledger_wall_us(command->ledger) ? STATE_EXPIRED
                                                                                  : STATE_ACTIVE;
}

static void
write_scopes(struct jw *jw, const struct entity_key *k)
{
    jw_key(jw, "scopes");
    jw_array(jw);
    for (unsigned i = 0; i < COUNT_OF(entity_scope_name); i++)
        if (k->scopes >> i & 1)
            jw_cstr(jw, entity_scope_name[i]);
    jw_array_end(jw);
}

static void
write_key(struct command *command, const struct entity_key *k)
{
    struct jw *jw = &command->jw;
    struct entity_member m = {0};
    struct entity_project p = {0};
    char hint[16] = "sk-…";
    int64_t used_us;

    memcpy(hint + strlen(hint), k->hint, strnlen(k->hint, 4));
    jw_key_u64(jw, "id", k->id);
    jw_key_u64(jw, "tenant", k->tenant_id);
    jw_key_cstr(jw, "name", k->name);
    jw_key_cstr(jw, "hint", hint);
    jw_key_bool(jw, "disabled", k->disabled);
    jw_key_time(jw, "created", k->created_us);
    jw_key_time(jw, "expires", k->expires_us);
    jw_key_cstr(jw, "state", state_name[key_state(command, k)]);
    if (used_last(&command->txn, k->id, &used_us) < 0)
        used_us = 0;
    jw_key_time(jw, "last_used", used_us);
    if (k->old_until_us > ledger_wall_us(command->ledger)) {
        memcpy(hint + strlen("sk-…"), k->old_hint, sizeof(hint) - strlen("sk-…"));
        jw_key_cstr(jw, "replaced_hint", hint);
        jw_key_time(jw, "replaced_until", k->old_until_us);
    }
    jw_key_u64(jw, "member_id", k->member_id);
    jw_key_u64(jw, "project_id", k->project_id);
    if (k->member_id != 0 && entity_member_get(&command->txn, k->member_id, &m) == 0)
        jw_key_cstr(jw, "member", m.email);
    else
        jw_key_cstr(jw, "member", NULL);
    if (k->project_id != 0 && entity_project_get(&command->txn, k->project_id, &p) == 0)
        jw_key_cstr(jw, "project", p.name);
    else
        jw_key_cstr(jw, "project", NULL);
    entity_limits_write(jw, &k->limits);
    write_scopes(jw, k);
    jw_key_bool(jw, "no_dearer", k->no_dearer);
    jw_key_bool(jw, "sibling", k->sibling);
    entity_key_lists(jw, k, "allow_ip");
    command_budget_write(command, k->budget_id);
}

/* null, or "never": it ends no more. */
static bool
expires_arg(struct command *command, struct entity_key *k)
{
    struct js_value value = js_get(command->args, STR("expires"));

    if (js_is(value, JS_NULL) || js_str_eq(value, STR("never"))) {
        k->expires_us = 0;
        return true;
    }
    if (!command_has(command, "expires"))
        return true;
    if (!command_time(command, "expires", &k->expires_us))
        return false;
    if (k->expires_us == 0 || k->expires_us > ledger_wall_us(command->ledger))
        return true;
    command_refuse_field(command, COMMAND_USAGE, "invalid", "expires",
                         "expires: that is over already");
    return false;
}

static bool
flag_arg(struct command *command, const char *name, bool *flag)
{
    return !command_has(command, name) || command_flag(command, name, flag);
}

/* What is not said stays. */
static bool
key_args(struct command *command, struct entity_key *k)
{
    struct str name;

    if (!command_str(command, "name", false, &name) ||
        !flag_arg(command, "no_dearer", &k->no_dearer) ||
        !flag_arg(command, "sibling", &k->sibling) || !expires_arg(command, k))
        return false;
    if (name.len > 0 && !entity_text_ok(name, ENTITY_NAME_MAX)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "name",
                             "the key's name is not usable");
        return false;
    }
    if (command_has(command, "name"))
        str_copy(name, k->name, sizeof(k->name));
    return command_limits_args(command, &k->limits) && command_allow_args(command, &k->allow) &&
           command_cidr_args(command, k) && command_scopes_args(command, &k->scopes);
}

/* Whose it is: of who may only have things of their own, theirs. */
static int
key_owner_args(struct command *command, struct entity_key *k)
{
    uint32_t only;
    int rc = 0;

    if (!command_u32(command, "only_member", &only))
        return 0;
    if (only != 0)
        k->member_id = only;
    else if (command_has(command, "member"))
        rc = command_member(command, k->tenant_id, &k->member_id);
    if (rc == 0 && command->exit == COMMAND_DONE && command_has(command, "project"))
        rc = command_project(command, k->tenant_id, &k->project_id);
    return rc;
}

/* Gives the key a new secret and writes it into the result: the one time that it is seen. */
static void
key_secret(struct command *command, struct entity_key *k)
{
    char text[KEY_TEXT_LEN + 1];

    entity_key_text(text);
    hash_keyed(command->ledger->key_hash_key, text, KEY_TEXT_LEN, k->hash);
    memcpy(k->hint, text + KEY_TEXT_LEN - 4, 5);
    jw_key_u64(&command->jw, "id", k->id);
    jw_key_cstr(&command->jw, "key", text);
    jw_key_u64(&command->jw, "tenant", k->tenant_id);
    jw_key_cstr(&command->jw, "name", k->name);
    explicit_bzero(text, sizeof(text));
}

static int
key_add_new(struct command *command)
{
    struct entity_key *k = arena_zalloc(&command->arena, sizeof(*k));
    int rc;

    if (k == NULL)
        return -ENOMEM;
    k->scopes = SCOPE_INFERENCE;
    if (!command_tenant(command, "tenant", true, &k->tenant_id) || !key_args(command, k))
        return 0;
    rc = key_owner_args(command, k);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    rc = command_room_for(command, DB_KEY, k->tenant_id);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    k->id = ++command->tail.key_last;
    k->created_us = ledger_wall_us(command->ledger);
    rc = command_budget_new(command, BUDGET_KEY, k->tenant_id, k->id, &k->budget_id);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    key_secret(command, k);
    rc = entity_key_put(&command->txn, k);
    if (rc == 0)
        rc = entity_child_put(&command->txn, DB_KEY, k->tenant_id, k->id);
    command_act(command, ACTION_KEY, k->id, 0);
    command_target(command, "key", k->id, k->tenant_id);
    command->changed = true;
    return rc;
}

/* ---- lists ---- */

struct key_list {
    struct command_page page; /* first: it is what is shown with */
    enum key_state state;     /* STATE_COUNT: any */
};

static int
list_key(struct command *command, const struct command_page *page, uint32_t id, bool *shown)
{
    const struct key_list *list = (const struct key_list *)(const void *)page;
    struct entity_key k;
    struct search_thing thing;
    int rc = entity_key_get(&command->txn, id, &k);

    if (rc < 0)
        return rc;
    thing = entity_key_thing(&k);
    *shown = (page->member_id == 0 || k.member_id == page->member_id) &&
             (page->project_id == 0 || k.project_id == page->project_id) &&
             (list->state == STATE_COUNT || key_state(command, &k) == list->state) &&
             page_has(page, &thing);
    if (!*shown)
        return 0;
    jw_object(&command->jw);
    write_key(command, &k);
    jw_object_end(&command->jw);
    return 0;
}

static bool
state_arg(struct command *command, enum key_state *state)
{
    struct str text;

    *state = STATE_COUNT;
    if (!command_str(command, "state", false, &text))
        return false;
    for (unsigned i = 0; i < STATE_COUNT; i++)
        if (str_eq(text, str_from(state_name[i])))
            *state = (enum key_state)i;
    if (text.len == 0 || *state != STATE_COUNT)
        return true;
    command_refuse_field(command, COMMAND_USAGE, "invalid", "state",
                         "there is no state \"%.*s\"", (int)MIN(text.len, 40u), text.ptr);
    command_hint(command, "one of active, disabled, expired");
    return false;
}

static int
key_list(struct command *command)
{
    struct key_list list = {.page = {.name = "keys", .table = DB_KEY, .show = list_key}};
    struct command_page *page = &list.page;
    uint32_t only;
    int rc;

    if (!command_tenant(command, "tenant", true, &page->tenant_id) ||
        !command_u32(command, "only_member", &only) || !state_arg(command, &list.state))
        return 0;
    rc = command_member(command, page->tenant_id, &page->member_id);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = command_project(command, page->tenant_id, &page->project_id);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (only != 0 && page->member_id != 0 && page->member_id != only) {
        command_refuse_field(command, COMMAND_NOT_ALLOWED, "forbidden", "member",
                             "only your own keys are shown to you");
        return 0;
    }
    if (only != 0)
        page->member_id = only;
    return command_page(command, page);
}

/* ---- one key ---- */

/* Another's is as if there was none. */
static int
load_key(struct command *command, struct entity_key *k)
{
    uint32_t id, only;
    int rc;

    if (!command_id(command, "id", true, &id) || !command_u32(command, "only_member", &only))
        return 0;
    rc = entity_key_get(&command->txn, id, k);
    if (rc == 0 && k->deleted_us == 0 && command_of_tenant(command, k->tenant_id) &&
        (only == 0 || only == k->member_id))
        return 0;
    if (rc < 0 && rc != -ENOENT)
        return rc;
    command_refuse(command, COMMAND_FAILED, "there is no key %u", id);
    command_hint(command, "turnpike key list TENANT shows a tenant's keys");
    command_absent(command);
    return 0;
}

static int
key_show(struct command *command)
{
    struct entity_key k;
    int rc = load_key(command, &k);

    if (rc == 0 && command->exit == COMMAND_DONE)
        write_key(command, &k);
    return rc;
}

static int
key_switch(struct command *command, bool disabled)
{
    struct entity_key k;
    int rc = load_key(command, &k);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    command->changed = k.disabled != disabled;
    k.disabled = disabled;
    command_act(command, ACTION_KEY, k.id, 0);
    command_target(command, "key", k.id, k.tenant_id);
    jw_key_u64(&command->jw, "id", k.id);
    jw_key_cstr(&command->jw, "name", k.name);
    jw_key_bool(&command->jw, "disabled", k.disabled);
    return entity_key_put(&command->txn, &k);
}

static int
key_disable(struct command *command)
{
    return key_switch(command, true);
}

static int
key_enable(struct command *command)
{
    return key_switch(command, false);
}

#define OVERLAP_US_MAX (INT64_C(30) * 86400 * 1000000)

static bool
overlap_arg(struct command *command, int64_t *overlap_us)
{
    struct str text;
    uint64_t us = 0;

    *overlap_us = 0;
    if (!command_str(command, "overlap", false, &text))
        return false;
    if (text.len == 0 || str_eq(text, STR("0")))
        return true;
    if (clock_parse_duration(text, &us) && us <= OVERLAP_US_MAX) {
        *overlap_us = (int64_t)us;
        return true;
    }
    command_refuse_field(command, COMMAND_USAGE, "invalid", "overlap",
                         "overlap: \"%.*s\" is no span of up to 30 days",
                         (int)MIN(text.len, 40u), text.ptr);
    command_hint(command, "write 24h or 7d");
    return false;
}

/* The secret that is replaced by a second rotation within an overlap is the one that was good last: the one
 * before it ends. */
static int
key_rotate(struct command *command)
{
    struct entity_key k;
    int64_t overlap_us;
    int rc = load_key(command, &k);

    if (rc < 0 || command->exit != COMMAND_DONE || !overlap_arg(command, &overlap_us))
        return rc;
    memset(k.old_hash, 0, sizeof(k.old_hash));
    memset(k.old_hint, 0, sizeof(k.old_hint));
    k.old_until_us = 0;
    if (overlap_us > 0) {
        memcpy(k.old_hash, k.hash, sizeof(k.old_hash));
        memcpy(k.old_hint, k.hint, sizeof(k.old_hint));
        k.old_until_us = ledger_wall_us(command->ledger) + overlap_us;
    }
    key_secret(command, &k);
    if (overlap_us > 0)
        jw_key_time(&command->jw, "replaced_until", k.old_until_us);
    command_act(command, ACTION_KEY, k.id, 0);
    command_target(command, "key", k.id, k.tenant_id);
    command->changed = true;
    return entity_key_put(&command->txn, &k);
}

/* Whose it was knows its text, and may as its next member only what somebody says. */
static bool
key_given(struct command *command, struct entity_key *k, uint32_t was)
{
    if (was == 0 || was == k->member_id || command_has(command, "scopes"))
        return true;
    k->scopes &= SCOPE_INFERENCE;
    if (k->scopes == 0)
        command_refuse_field(command, COMMAND_USAGE, "required", "scopes",
                             "scopes: say what a key may that is for no calls and becomes another's");
    return k->scopes != 0;
}

static int
key_set(struct command *command)
{
    static const char *const names[] = {COMMAND_LIMIT_NAMES, "name", "member", "project",
                                        "allow_ip", "any_ip", "expires", "scopes", "no_dearer",
                                        "sibling", "no_project", "no_member", NULL};
    struct entity_key k;
    bool no_project, no_member;
    uint32_t was;
    int rc = load_key(command, &k);

    if (rc < 0 || command->exit != COMMAND_DONE || !command_says_some(command, names) ||
        !command_flag(command, "no_project", &no_project) ||
        !command_flag(command, "no_member", &no_member) || !key_args(command, &k))
        return rc;
    was = k.member_id;
    rc = key_owner_args(command, &k);
    if (no_project)
        k.project_id = 0;
    if (no_member && !command_has(command, "only_member"))
        k.member_id = 0;
    if (rc == 0 && command->exit == COMMAND_DONE && key_given(command, &k, was))
        rc = command_budget_set(command, BUDGET_KEY, k.tenant_id, k.id, &k.budget_id);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    command_act(command, ACTION_KEY, k.id, 0);
    command_target(command, "key", k.id, k.tenant_id);
    command->changed = true;
    rc = entity_key_put(&command->txn, &k);
    write_key(command, &k);
    return rc;
}

/* What records and the audit log know of it stays; its secrets do not. */
static int
key_delete(struct command *command)
{
    struct entity_key k;
    int rc = load_key(command, &k);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    k.deleted_us = ledger_wall_us(command->ledger);
    k.disabled = true;
    k.old_until_us = 0;
    memset(k.hash, 0, sizeof(k.hash));
    memset(k.old_hash, 0, sizeof(k.old_hash));
    command_act(command, ACTION_KEY, k.id, 0);
    command_target(command, "key", k.id, k.tenant_id);
    command->changed = true;
    jw_key_u64(&command->jw, "id", k.id);
    jw_key_cstr(&command->jw, "name", k.name);
    jw_key_bool(&command->jw, "deleted", true);
    return entity_key_put(&command->txn, &k);
}

/* ---- whose key is it ---- */

static bool
address_allowed(const struct entity_key *k, struct str ip)
{
    struct cidr from, cidr;

    if (k->cidr_count == 0)
        return true;
    if (!cidr_parse(ip, &from) || from.bits != 128)
        return false;
    for (uint32_t i = 0; i < k->cidr_count; i++)
        if (cidr_parse(str_from(k->cidrs[i]), &cidr) && cidr_has(&cidr, from.addr))
            return true;
    return false;
}

/* With m->id 0 it is nobody's. */
static void
write_found(struct command *command, const struct entity_key *k, const struct entity_tenant *t, const struct entity_member *m)
{
    struct jw *jw = &command->jw;

    jw_key(jw, "key");
    jw_object(jw);
    jw_key_u64(jw, "id", k->id);
    jw_key_cstr(jw, "name", k->name);
    jw_object_end(jw);
    write_scopes(jw, k);
    jw_key(jw, "tenant");
    jw_object(jw);
    jw_key_u64(jw, "id", t->id);
    jw_key_cstr(jw, "name", t->name);
    jw_key_cstr(jw, "state", t->pending ? "pending" : t->disabled ? "disabled" : "active");
    jw_object_end(jw);
    jw_key(jw, "member");
    if (m->id == 0) {
        jw_null(jw);
        return;
    }
    jw_object(jw);
    jw_key_u64(jw, "id", m->id);
    jw_key_cstr(jw, "email", m->email);
    jw_key_cstr(jw, "role", m->role);
    jw_object_end(jw);
}

/* By its text, for who is shown one. Memory knows which it is; the document what it may. One of somebody who was
 * removed may nothing here, though it is enabled again for calls: as nobody's it might more than it ever did. */
static int
key_find_by_text(struct command *command)
{
    struct region *region = command->ledger->region;
    uint8_t hash[HASH_LEN];
    struct entity_member m = {.id = 0};
    struct entity_tenant t;
    struct entity_key k;
    struct str text, ip;
    uint32_t idx;
    int rc = -ENOENT;

    if (!command_str(command, "key", true, &text) || !command_str(command, "ip", false, &ip))
        return 0;
    hash_keyed(command->ledger->key_hash_key, text.ptr, text.len, hash);
    idx = key_meant(region, key_find(region, hash), ledger_wall_us(command->ledger));
    if (idx != 0)
        rc = entity_key_get(&command->txn, key_at(region, idx)->key_id, &k);
    if (rc == 0)
        rc = entity_tenant_get(&command->txn, k.tenant_id, &t);
    if (rc == 0 && k.member_id != 0)
        rc = entity_member_get(&command->txn, k.member_id, &m);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (rc < 0 || k.deleted_us != 0 || m.removed || key_state(command, &k) != STATE_ACTIVE) {
        command_refuse(command, COMMAND_FAILED, "there is no such key");
        command_absent(command);
        return 0;
    }
    if (!address_allowed(&k, ip)) {
        command_refuse_field(command, COMMAND_NOT_ALLOWED, "forbidden", NULL,
                             "the key may not be used from this address");
        return 0;
    }
    write_found(command, &k, &t, &m);
    return 0;
}

const struct command_def command_key_defs[] = {
    {.name = "key.add", .kind = COMMAND_WRITE, .run = key_add_new},
    {.name = "key.list", .kind = COMMAND_READ, .run = key_list},
    {.name = "key.show", .kind = COMMAND_READ, .run = key_show},
    {.name = "key.disable", .kind = COMMAND_WRITE, .run = key_disable},
    {.name = "key.enable", .kind = COMMAND_WRITE, .run = key_enable},
    {.name = "key.rotate", .kind = COMMAND_WRITE, .run = key_rotate},
    {.name = "key.set", .kind = COMMAND_WRITE, .run = key_set},
    {.name = "key.delete", .kind = COMMAND_WRITE, .run = key_delete},
    {.name = "key.find", .kind = COMMAND_MAIN, .run = key_find_by_text},
    {.name = NULL},
};
