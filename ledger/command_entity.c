/* Commands about tenants, members, projects and keys. */
#include "ledger/command.h"
#include "ledger/core.h"
#include "ledger/entity.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/str.h"
#include "base/ucr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const roles[] = {"owner", "admin", "billing", "developer", "viewer"};

/* ---- budgets ---- */

/* Of --budget: makes the record, gives its id (0 when none was asked for). False: refused. */
static int
budget_new(struct command *command, enum budget_kind kind, uint32_t tenant_id, uint32_t owner_id,
           uint64_t *budget_id)
{
    struct db_budget def = {.kind = kind, .tenant_id = tenant_id, .owner_id = owner_id};
    enum budget_period period;
    struct str text;
    int rc;

    *budget_id = 0;
    if (!command_str(command, "budget", false, &text) || text.len == 0)
        return 0;
    if (!entity_budget_parse(text, &def.limit_ucr, &period)) {
        command_refuse(command, COMMAND_USAGE, "budget: \"%.*s\" is not a budget",
                       (int)MIN(text.len, 40u), text.ptr);
        command_hint(command, "write 100, 100/day, 100/week or 100/month");
        return 0;
    }
    def.period = period;
    *budget_id = ++command->tail.budget_last;
    rc = entity_budget_put(&command->txn, *budget_id, &def);
    command_act(command, ACTION_BUDGET, *budget_id, 0);
    return rc;
}

static void
write_budget(struct command *command, uint64_t budget_id)
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
    uint32_t window = budget_window((enum budget_period)def.period, ledger_wall_us(command->ledger));

    jw_object(&command->jw);
    jw_key_ucr(&command->jw, "limit", def.limit_ucr);
    jw_key_cstr(&command->jw, "period", budget_period_name[def.period]);
    if (budget != NULL) {
        uint64_t word = atomic_load_explicit(&budget->word, memory_order_acquire);

        jw_key_ucr(&command->jw, "used",
                   budget_word_window(word) >= window ? budget_word_spent_ucr(word) : 0);
    }
    jw_object_end(&command->jw);
}

/* ---- tenants ---- */

static void
write_tenant(struct command *command, const struct entity_tenant *t)
{
    struct jw *jw = &command->jw;
    uint32_t idx = id_map_look(&command->ledger->account_of_tenant, t->id);
    const struct account *account = account_at(command->ledger->region, idx);

    jw_key_u64(jw, "id", t->id);
    jw_key_cstr(jw, "name", t->name);
    jw_key_bool(jw, "disabled", t->disabled);
    jw_key_time(jw, "created", t->created_us);
    jw_key_ucr(jw, "overdraft", t->overdraft_ucr);
    if (account != NULL)
        jw_key_ucr(jw, "available", account_available_ucr(account));
    write_budget(command, t->budget_id);
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
    int rc = budget_new(command, BUDGET_TENANT, t->id, t->id, &t->budget_id);

    if (rc == 0)
        rc = entity_tenant_put(&command->txn, t);
    if (rc == 0)
        rc = db_put(&command->txn, DB_WALLET, &key,
                    (struct str){(const char *)&wallet, sizeof(wallet)});
    if (rc == 0 && credit_ucr > 0)
        rc = command_grant(command, t->id, credit_ucr, STR("first credit"));
    return rc;
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
    if (!entity_name_ok(name)) {
        command_refuse(command, COMMAND_USAGE, "\"%.*s\" cannot be a tenant's name",
                       (int)MIN(name.len, 96u), name.ptr);
        command_hint(command, "1 to %d bytes, not digits alone, no control characters",
                     ENTITY_NAME_MAX);
        return 0;
    }
    t->id = ++command->tail.tenant_last;
    t->created_us = ledger_wall_us(command->ledger);
    str_copy(name, t->name, sizeof(t->name));
    rc = entity_name_take(&command->txn, DB_TENANT, 0, name, t->id);
    if (rc == -EEXIST) {
        command_refuse(command, COMMAND_FAILED, "there is already a tenant \"%s\"", t->name);
        return 0;
    }
    if (rc == 0)
        rc = tenant_put_new(command, t, credit_ucr);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    command_act(command, ACTION_TENANT_NEW, t->id, 0);
    command->changed = true;
    command->state = t;
    command->after = tenant_add_after;
    jw_key_u64(&command->jw, "id", t->id);
    jw_key_cstr(&command->jw, "name", t->name);
    jw_key_ucr(&command->jw, "credit", credit_ucr);
    return 0;
}

static int
tenant_list(struct command *command)
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    db_key_start(&from);
    rc = db_walk_start(&command->txn, DB_TENANT, &from, 0, &walk);
    if (rc < 0)
        return rc;
    jw_key(&command->jw, "tenants");
    jw_array(&command->jw);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        struct entity_tenant t;

        rc = entity_tenant_get(&command->txn, db_u32(key, 0), &t);
        if (rc < 0)
            break;
        jw_object(&command->jw);
        write_tenant(command, &t);
        jw_object_end(&command->jw);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    jw_array_end(&command->jw);
    return rc;
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

static int
tenant_show(struct command *command)
{
    struct entity_tenant t;
    uint32_t id;
    int rc;

    if (!command_tenant(command, "tenant", true, &id))
        return 0;
    rc = entity_tenant_get(&command->txn, id, &t);
    if (rc < 0)
        return rc;
    write_tenant(command, &t);
    jw_key_u64(&command->jw, "members", count_children(command, DB_MEMBER, id));
    jw_key_u64(&command->jw, "projects", count_children(command, DB_PROJECT, id));
    jw_key_u64(&command->jw, "keys", count_children(command, DB_KEY, id));
    return 0;
}

static int
tenant_switch(struct command *command, bool disabled)
{
    struct entity_tenant t;
    uint32_t id;
    int rc;

    if (!command_tenant(command, "tenant", true, &id))
        return 0;
    rc = entity_tenant_get(&command->txn, id, &t);
    if (rc < 0)
        return rc;
    command->changed = t.disabled != disabled;
    t.disabled = disabled;
    rc = entity_tenant_put(&command->txn, &t);
    command_act(command, ACTION_TENANT, id, 0);
    jw_key_u64(&command->jw, "id", id);
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

/* ---- members ---- */

static void
write_member(struct command *command, const struct entity_member *m)
{
    jw_key_u64(&command->jw, "id", m->id);
    jw_key_u64(&command->jw, "tenant", m->tenant_id);
    jw_key_cstr(&command->jw, "email", m->email);
    jw_key_cstr(&command->jw, "role", m->role);
    jw_key_time(&command->jw, "created", m->created_us);
    write_budget(command, m->budget_id);
}

static bool
role_known(struct str role)
{
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        if (str_eq(role, str_from(roles[i])))
            return true;
    return false;
}

static int
member_add(struct command *command)
{
    struct entity_member m = {0};
    struct str email, role;
    int rc;

    if (!command_tenant(command, "tenant", true, &m.tenant_id) ||
        !command_str(command, "email", true, &email) || !command_str(command, "role", false, &role))
        return 0;
    if (role.len == 0)
        role = STR("developer");
    if (!entity_email_ok(email)) {
        command_refuse(command, COMMAND_USAGE, "\"%.*s\" is not a mail address",
                       (int)MIN(email.len, 96u), email.ptr);
        return 0;
    }
    if (!role_known(role)) {
        command_refuse(command, COMMAND_USAGE, "there is no role \"%.*s\"",
                       (int)MIN(role.len, 40u), role.ptr);
        command_hint(command, "one of owner, admin, billing, developer, viewer");
        return 0;
    }
    m.id = ++command->tail.member_last;
    m.created_us = ledger_wall_us(command->ledger);
    str_copy(email, m.email, sizeof(m.email));
    str_copy(role, m.role, sizeof(m.role));
    rc = entity_name_take(&command->txn, DB_MEMBER, m.tenant_id, email, m.id);
    if (rc == -EEXIST) {
        command_refuse(command, COMMAND_FAILED, "\"%s\" is a member already", m.email);
        return 0;
    }
    if (rc == 0)
        rc = budget_new(command, BUDGET_MEMBER, m.tenant_id, m.id, &m.budget_id);
    if (rc == 0)
        rc = entity_member_put(&command->txn, &m);
    if (rc == 0)
        rc = entity_child_put(&command->txn, DB_MEMBER, m.tenant_id, m.id);
    command->changed = true;
    write_member(command, &m);
    return rc;
}

static int
member_list(struct command *command)
{
    struct db_walk walk;
    struct str key, value;
    uint32_t tenant_id;
    int rc;

    if (!command_tenant(command, "tenant", true, &tenant_id))
        return 0;
    rc = entity_children(&command->txn, DB_MEMBER, tenant_id, &walk);
    if (rc < 0)
        return rc;
    jw_key(&command->jw, "members");
    jw_array(&command->jw);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        struct entity_member m;

        rc = entity_member_get(&command->txn, db_u32(key, 5), &m);
        if (rc < 0 || m.removed)
            continue;
        jw_object(&command->jw);
        write_member(command, &m);
        jw_object_end(&command->jw);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    jw_array_end(&command->jw);
    return rc;
}

static int
find_member(struct command *command, uint32_t tenant_id, bool must, uint32_t *id)
{
    struct str email;
    int rc;

    *id = 0;
    if (!command_str(command, must ? "email" : "member", must, &email) || email.len == 0)
        return 0;
    rc = entity_find(&command->txn, DB_MEMBER, tenant_id, email, id);
    if (rc == -ENOENT) {
        command_refuse(command, COMMAND_FAILED, "there is no member \"%.*s\"",
                       (int)MIN(email.len, 96u), email.ptr);
        rc = 0;
    }
    return rc;
}

/* The keys of somebody who left stop to work. */
static int
member_keys_disable(struct command *command, uint32_t tenant_id, uint32_t member_id, uint32_t *count)
{
    struct db_walk walk;
    struct str key, value;
    int rc = entity_children(&command->txn, DB_KEY, tenant_id, &walk);

    *count = 0;
    if (rc < 0)
        return rc;
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        struct entity_key k;
        uint32_t id = db_u32(key, 5);

        rc = entity_key_get(&command->txn, id, &k);
        if (rc < 0 || k.member_id != member_id || k.disabled)
            continue;
        k.disabled = true;
        ++*count;
        rc = entity_key_put(&command->txn, &k);
        command_act(command, ACTION_KEY, id, 0);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

static int
member_remove(struct command *command)
{
    struct entity_member m;
    uint32_t tenant_id, id, keys = 0;
    int rc;

    if (!command_tenant(command, "tenant", true, &tenant_id))
        return 0;
    rc = find_member(command, tenant_id, true, &id);
    if (rc < 0 || id == 0)
        return rc;
    rc = entity_member_get(&command->txn, id, &m);
    if (rc < 0)
        return rc;
    m.removed = true;
    rc = entity_member_put(&command->txn, &m);
    if (rc == 0)
        rc = entity_name_drop(&command->txn, DB_MEMBER, tenant_id, str_from(m.email));
    if (rc == 0)
        rc = member_keys_disable(command, tenant_id, id, &keys);
    command->changed = true;
    jw_key_u64(&command->jw, "id", id);
    jw_key_cstr(&command->jw, "email", m.email);
    jw_key_u64(&command->jw, "keys_disabled", keys);
    return rc;
}

/* ---- projects ---- */

static void
write_project(struct command *command, const struct entity_project *p)
{
    jw_key_u64(&command->jw, "id", p->id);
    jw_key_u64(&command->jw, "tenant", p->tenant_id);
    jw_key_cstr(&command->jw, "name", p->name);
    jw_key_time(&command->jw, "created", p->created_us);
    write_budget(command, p->budget_id);
}

static int
project_add(struct command *command)
{
    struct entity_project p = {0};
    struct str name;
    int rc;

    if (!command_tenant(command, "tenant", true, &p.tenant_id) ||
        !command_str(command, "name", true, &name))
        return 0;
    if (!entity_name_ok(name)) {
        command_refuse(command, COMMAND_USAGE, "\"%.*s\" cannot be a project's name",
                       (int)MIN(name.len, 96u), name.ptr);
        return 0;
    }
    p.id = ++command->tail.project_last;
    p.created_us = ledger_wall_us(command->ledger);
    str_copy(name, p.name, sizeof(p.name));
    rc = entity_name_take(&command->txn, DB_PROJECT, p.tenant_id, name, p.id);
    if (rc == -EEXIST) {
        command_refuse(command, COMMAND_FAILED, "there is already a project \"%s\"", p.name);
        return 0;
    }
    if (rc == 0)
        rc = budget_new(command, BUDGET_PROJECT, p.tenant_id, p.id, &p.budget_id);
    if (rc == 0)
        rc = entity_project_put(&command->txn, &p);
    if (rc == 0)
        rc = entity_child_put(&command->txn, DB_PROJECT, p.tenant_id, p.id);
    command->changed = true;
    write_project(command, &p);
    return rc;
}

static int
project_list(struct command *command)
{
    struct db_walk walk;
    struct str key, value;
    uint32_t tenant_id;
    int rc;

    if (!command_tenant(command, "tenant", true, &tenant_id))
        return 0;
    rc = entity_children(&command->txn, DB_PROJECT, tenant_id, &walk);
    if (rc < 0)
        return rc;
    jw_key(&command->jw, "projects");
    jw_array(&command->jw);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        struct entity_project p;

        rc = entity_project_get(&command->txn, db_u32(key, 5), &p);
        if (rc < 0)
            break;
        jw_object(&command->jw);
        write_project(command, &p);
        jw_object_end(&command->jw);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    jw_array_end(&command->jw);
    return rc;
}

static int
find_project(struct command *command, uint32_t tenant_id, uint32_t *id)
{
    struct entity_project p;
    struct str name;
    uint64_t n;
    int rc;

    *id = 0;
    if (!command_str(command, "project", false, &name) || name.len == 0)
        return 0;
    if (str_to_count(name, UINT32_MAX, &n) && n > 0 &&
        entity_project_get(&command->txn, (uint32_t)n, &p) == 0 && p.tenant_id == tenant_id) {
        *id = (uint32_t)n;
        return 0;
    }
    rc = entity_find(&command->txn, DB_PROJECT, tenant_id, name, id);
    if (rc == -ENOENT) {
        command_refuse(command, COMMAND_FAILED, "there is no project \"%.*s\"",
                       (int)MIN(name.len, 96u), name.ptr);
        rc = 0;
    }
    return rc;
}

/* ---- keys ---- */

static void
write_key_lists(struct jw *jw, const struct entity_key *k)
{
    const char *glob = k->models;

    jw_key(jw, "channels");
    jw_array(jw);
    for (uint32_t i = 0; i < k->channel_count; i++)
        jw_cstr(jw, k->channels[i]);
    jw_array_end(jw);
    jw_key(jw, "models");
    jw_array(jw);
    for (uint32_t i = 0; i < k->model_count; i++, glob += strlen(glob) + 1)
        jw_cstr(jw, glob);
    jw_array_end(jw);
    jw_key(jw, "allow_ip");
    jw_array(jw);
    for (uint32_t i = 0; i < k->cidr_count; i++)
        jw_cstr(jw, k->cidrs[i]);
    jw_array_end(jw);
}

static void
write_key(struct command *command, const struct entity_key *k)
{
    struct jw *jw = &command->jw;
    struct entity_member m = {0};
    struct entity_project p = {0};
    char hint[16] = "sk-…";

    memcpy(hint + strlen(hint), k->hint, strnlen(k->hint, 4));
    jw_key_u64(jw, "id", k->id);
    jw_key_u64(jw, "tenant", k->tenant_id);
    jw_key_cstr(jw, "name", k->name);
    jw_key_cstr(jw, "hint", hint);
    jw_key_bool(jw, "disabled", k->disabled);
    jw_key_time(jw, "created", k->created_us);
    jw_key_time(jw, "expires", k->expires_us);
    if (k->member_id != 0 && entity_member_get(&command->txn, k->member_id, &m) == 0)
        jw_key_cstr(jw, "member", m.email);
    else
        jw_key_cstr(jw, "member", NULL);
    if (k->project_id != 0 && entity_project_get(&command->txn, k->project_id, &p) == 0)
        jw_key_cstr(jw, "project", p.name);
    else
        jw_key_cstr(jw, "project", NULL);
    jw_key_u64(jw, "rpm", k->rpm);
    jw_key_u64(jw, "tpm", k->tpm);
    jw_key_u64(jw, "concurrency", k->concurrency);
    write_key_lists(jw, k);
    write_budget(command, k->budget_id);
}

/* A list of strings, or one string with commas. Calls take for each; false when refused. */
static bool
each_string(struct command *command, const char *name, struct entity_key *k,
            bool (*take)(struct command *command, struct entity_key *k, struct str text))
{
    struct js_value list = js_get(command->args, str_from(name)), key, value;
    struct str rest = STR_NONE, text;
    struct js_iter it;
    char scratch[1024];

    if (js_is(list, JS_STRING)) {
        if (!command_str(command, name, false, &rest))
            return false;
        while (rest.ptr != NULL) {
            text = str_trim(str_split(rest, ',', &rest));
            if (text.len > 0 && !take(command, k, text))
                return false;
        }
        return true;
    }
    for (js_iter_init(&it, list); js_next(&it, &key, &value);) {
        text = js_is(value, JS_STRING) && value.raw.len < sizeof(scratch)
                   ? js_unescape(value, scratch, sizeof(scratch))
                   : STR_NONE;
        if (text.len == 0) {
            command_refuse(command, COMMAND_USAGE, "%s holds something that is no name", name);
            return false;
        }
        if (!take(command, k, text))
            return false;
    }
    return true;
}

static bool
take_channel(struct command *command, struct entity_key *k, struct str text)
{
    if (k->channel_count == KEY_CHANNELS_MAX || !entity_text_ok(text, 64)) {
        command_refuse(command, COMMAND_USAGE, "channel: \"%.*s\": %s", (int)MIN(text.len, 64u),
                       text.ptr,
                       k->channel_count == KEY_CHANNELS_MAX ? "too many" : "no channel's name");
        return false;
    }
    str_copy(text, k->channels[k->channel_count++], sizeof(k->channels[0]));
    return true;
}

static bool
take_model(struct command *command, struct entity_key *k, struct str text)
{
    if (!entity_text_ok(text, 128) || text.len + 1 > sizeof(k->models) - k->models_len) {
        command_refuse(command, COMMAND_USAGE, "model: \"%.*s\": %s", (int)MIN(text.len, 64u),
                       text.ptr, text.len > 128 ? "too long" : "the list is too long");
        return false;
    }
    memcpy(k->models + k->models_len, text.ptr, text.len);
    k->models_len += (uint32_t)text.len + 1;
    k->model_count++;
    return true;
}

static bool
take_cidr(struct command *command, struct entity_key *k, struct str text)
{
    struct key_cidr cidr;

    if (k->cidr_count == KEY_CIDRS_MAX || text.len > ENTITY_CIDR_MAX ||
        !key_cidr_parse(text, &cidr)) {
        command_refuse(command, COMMAND_USAGE, "allow-ip: \"%.*s\": %s", (int)MIN(text.len, 64u),
                       text.ptr,
                       k->cidr_count == KEY_CIDRS_MAX ? "too many" : "not an address or network");
        command_hint(command, "write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32");
        return false;
    }
    str_copy(text, k->cidrs[k->cidr_count++], sizeof(k->cidrs[0]));
    return true;
}

static bool
key_args(struct command *command, struct entity_key *k)
{
    struct str name;

    if (!command_str(command, "name", false, &name) || !command_u32(command, "rpm", &k->rpm) ||
        !command_u32(command, "tpm", &k->tpm) ||
        !command_u32(command, "concurrency", &k->concurrency) ||
        !command_time(command, "expires", &k->expires_us))
        return false;
    if (name.len > 0 && !entity_text_ok(name, ENTITY_NAME_MAX)) {
        command_refuse(command, COMMAND_USAGE, "the key's name is not usable");
        return false;
    }
    str_copy(name, k->name, sizeof(k->name));
    if (k->expires_us != 0 && k->expires_us <= ledger_wall_us(command->ledger)) {
        command_refuse(command, COMMAND_USAGE, "expires: that is over already");
        return false;
    }
    return each_string(command, "channels", k, take_channel) &&
           each_string(command, "models", k, take_model) &&
           each_string(command, "allow_ip", k, take_cidr);
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
    if (!command_tenant(command, "tenant", true, &k->tenant_id) || !key_args(command, k))
        return 0;
    rc = find_member(command, k->tenant_id, false, &k->member_id);
    if (rc == 0)
        rc = find_project(command, k->tenant_id, &k->project_id);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    k->id = ++command->tail.key_last;
    k->created_us = ledger_wall_us(command->ledger);
    rc = budget_new(command, BUDGET_KEY, k->tenant_id, k->id, &k->budget_id);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    key_secret(command, k);
    rc = entity_key_put(&command->txn, k);
    if (rc == 0)
        rc = entity_child_put(&command->txn, DB_KEY, k->tenant_id, k->id);
    command_act(command, ACTION_KEY, k->id, 0);
    command->changed = true;
    return rc;
}

static int
key_list(struct command *command)
{
    struct db_walk walk;
    struct str key, value;
    uint32_t tenant_id;
    int rc;

    if (!command_tenant(command, "tenant", true, &tenant_id))
        return 0;
    rc = entity_children(&command->txn, DB_KEY, tenant_id, &walk);
    if (rc < 0)
        return rc;
    jw_key(&command->jw, "keys");
    jw_array(&command->jw);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        struct entity_key k;

        rc = entity_key_get(&command->txn, db_u32(key, 5), &k);
        if (rc < 0)
            break;
        jw_object(&command->jw);
        write_key(command, &k);
        jw_object_end(&command->jw);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    jw_array_end(&command->jw);
    return rc;
}

static int
load_key(struct command *command, struct entity_key *k)
{
    uint32_t id;
    int rc;

    if (!command_id(command, "id", true, &id))
        return 0;
    rc = entity_key_get(&command->txn, id, k);
    if (rc == -ENOENT) {
        command_refuse(command, COMMAND_FAILED, "there is no key %u", id);
        command_hint(command, "turnpike key list TENANT shows a tenant's keys");
        rc = 0;
    }
    return rc;
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

static int
key_rotate(struct command *command)
{
    struct entity_key k;
    int rc = load_key(command, &k);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    key_secret(command, &k);
    command_act(command, ACTION_KEY, k.id, 0);
    command->changed = true;
    return entity_key_put(&command->txn, &k);
}

const struct command_def command_entity_defs[] = {
    {.name = "tenant.add", .kind = COMMAND_WRITE, .run = tenant_add},
    {.name = "tenant.list", .kind = COMMAND_READ, .run = tenant_list},
    {.name = "tenant.show", .kind = COMMAND_READ, .run = tenant_show},
    {.name = "tenant.disable", .kind = COMMAND_WRITE, .run = tenant_disable},
    {.name = "tenant.enable", .kind = COMMAND_WRITE, .run = tenant_enable},
    {.name = "member.add", .kind = COMMAND_WRITE, .run = member_add},
    {.name = "member.list", .kind = COMMAND_READ, .run = member_list},
    {.name = "member.remove", .kind = COMMAND_WRITE, .run = member_remove},
    {.name = "project.add", .kind = COMMAND_WRITE, .run = project_add},
    {.name = "project.list", .kind = COMMAND_READ, .run = project_list},
    {.name = "key.add", .kind = COMMAND_WRITE, .run = key_add_new},
    {.name = "key.list", .kind = COMMAND_READ, .run = key_list},
    {.name = "key.show", .kind = COMMAND_READ, .run = key_show},
    {.name = "key.disable", .kind = COMMAND_WRITE, .run = key_disable},
    {.name = "key.enable", .kind = COMMAND_WRITE, .run = key_enable},
    {.name = "key.rotate", .kind = COMMAND_WRITE, .run = key_rotate},
    {.name = NULL},
};
