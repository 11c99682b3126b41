/* Commands about keys. A key's text is seen once, in the answer that makes it. */
#include "ledger/command_entity.h"

#include "base/hash.h"
#include "base/str.h"
#include "ledger/core.h"

#include <errno.h>
#include <string.h>

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
    entity_limits_write(jw, &k->limits);
    jw_key(jw, "scopes");
    jw_array(jw);
    for (unsigned i = 0; i < COUNT_OF(entity_scope_name); i++)
        if (k->scopes >> i & 1)
            jw_cstr(jw, entity_scope_name[i]);
    jw_array_end(jw);
    jw_key_bool(jw, "no_dearer", k->no_dearer);
    jw_key_bool(jw, "sibling", k->sibling);
    entity_key_lists(jw, k, "allow_ip");
    command_budget_write(command, k->budget_id);
}

/* An empty one would go unnoticed, and a key whose list is empty may use more than one was meant to. */
static bool
some_text(struct command *command, const char *name, struct str text)
{
    if (text.len > 0)
        return true;
    command_refuse(command, COMMAND_USAGE, "%s: it holds something empty, or that is no text", name);
    return false;
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
        do {
            text = str_trim(str_split(rest, ',', &rest));
            if (!some_text(command, name, text) || !take(command, k, text))
                return false;
        } while (rest.ptr != NULL);
        return true;
    }
    if (!js_is(list, JS_ARRAY) && !js_is(list, JS_NONE)) {
        command_refuse(command, COMMAND_USAGE, "%s must be a list of strings", name);
        return false;
    }
    for (js_iter_init(&it, list); js_next(&it, &key, &value);) {
        text = js_is(value, JS_STRING) && value.raw.len < sizeof(scratch)
                   ? js_unescape(value, scratch, sizeof(scratch))
                   : STR_NONE;
        if (!some_text(command, name, text) || !take(command, k, text))
            return false;
    }
    return true;
}

/* The hint fits what there is of names, and ends with dots where it does not. */
static void
hint_channels(struct command *command, struct str text)
{
    const struct conf *conf = command->ledger->conf;
    struct str meant = conf_channel_meant(conf, text);
    char list[128];
    size_t len = 0;

    for (size_t i = 0; i < conf->channel_count; i++) {
        struct str name = conf->channels[i].name;

        if (len + name.len + sizeof(", ...") > sizeof(list)) {
            memcpy(list + len, "...", 3);
            len += 3;
            break;
        }
        memcpy(list + len, name.ptr, name.len);
        len += name.len;
        if (i + 1 < conf->channel_count) {
            memcpy(list + len, ", ", 2);
            len += 2;
        }
    }
    if (meant.len > 0)
        command_hint(command, "did you mean \"%.*s\"? There are: %.*s", STR_ARGS(meant), (int)len,
                     list);
    else
        command_hint(command, "there are: %.*s", (int)len, list);
}

static bool
take_channel(struct command *command, struct entity_key *k, struct str text)
{
    const struct conf *conf = command->ledger->conf;

    if (k->allow.channel_count == KEY_CHANNELS_MAX || !entity_text_ok(text, 64)) {
        command_refuse(command, COMMAND_USAGE, "channel: \"%.*s\": %s", (int)MIN(text.len, 64u),
                       text.ptr,
                       k->allow.channel_count == KEY_CHANNELS_MAX ? "too many" : "no channel's name");
        return false;
    }
    if (conf != NULL && conf_channel_index(conf, text) == CONF_NONE) {
        command_refuse(command, COMMAND_FAILED, "there is no channel \"%.*s\"", STR_ARGS(text));
        hint_channels(command, text);
        return false;
    }
    str_copy(text, k->allow.channels[k->allow.channel_count++], sizeof(k->allow.channels[0]));
    return true;
}

static bool
take_model(struct command *command, struct entity_key *k, struct str text)
{
    if (!entity_text_ok(text, 128) || text.len + 1 > sizeof(k->allow.models) - k->allow.models_len) {
        command_refuse(command, COMMAND_USAGE, "model: \"%.*s\": %s", (int)MIN(text.len, 64u),
                       text.ptr, text.len > 128 ? "too long" : "the list is too long");
        return false;
    }
    memcpy(k->allow.models + k->allow.models_len, text.ptr, text.len);
    k->allow.models_len += (uint32_t)text.len + 1;
    k->allow.model_count++;
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

    if (!command_str(command, "name", false, &name) || !command_u32(command, "rpm", &k->limits.rpm) ||
        !command_u32(command, "tpm", &k->limits.tpm) ||
        !command_u32(command, "concurrency", &k->limits.concurrency) ||
        !command_flag(command, "no_dearer", &k->no_dearer) ||
        !command_flag(command, "sibling", &k->sibling) ||
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
    rc = command_member(command, k->tenant_id, &k->member_id);
    if (rc == 0)
        rc = command_project(command, k->tenant_id, &k->project_id);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    k->id = ++command->tail.key_last;
    k->created_us = ledger_wall_us(command->ledger);
    k->scopes = SCOPE_INFERENCE;
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

static int
list_key(struct command *command, uint32_t id)
{
    struct entity_key k;
    int rc = entity_key_get(&command->txn, id, &k);

    if (rc < 0)
        return rc;
    jw_object(&command->jw);
    write_key(command, &k);
    jw_object_end(&command->jw);
    return 0;
}

static int
key_list(struct command *command)
{
    return command_list_children(command, DB_KEY, "keys", list_key);
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

static int
key_rotate(struct command *command)
{
    struct entity_key k;
    int rc = load_key(command, &k);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    key_secret(command, &k);
    command_act(command, ACTION_KEY, k.id, 0);
    command_target(command, "key", k.id, k.tenant_id);
    command->changed = true;
    return entity_key_put(&command->txn, &k);
}

const struct command_def command_key_defs[] = {
    {.name = "key.add", .kind = COMMAND_WRITE, .run = key_add_new},
    {.name = "key.list", .kind = COMMAND_READ, .run = key_list},
    {.name = "key.show", .kind = COMMAND_READ, .run = key_show},
    {.name = "key.disable", .kind = COMMAND_WRITE, .run = key_disable},
    {.name = "key.enable", .kind = COMMAND_WRITE, .run = key_enable},
    {.name = "key.rotate", .kind = COMMAND_WRITE, .run = key_rotate},
    {.name = NULL},
};
