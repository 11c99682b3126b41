/* Arguments that limit a key, member, project or tenant. */
#include "ledger/command_entity.h"

#include "base/cidr.h"
#include "base/str.h"
#include "ledger/core.h"

#include <string.h>

/* An empty one would go unnoticed, and a key whose list is empty may use more than one was meant to. */
static bool
some_text(struct command *command, const char *name, struct str text)
{
    if (text.len > 0)
        return true;
    command_refuse_field(command, COMMAND_USAGE, "invalid", name, "%s: it holds something empty, or that is no text", name);
    return false;
}

bool
command_each_string(struct command *command, const char *name, void *out,
            bool (*take)(struct command *command, void *out, struct str text))
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
            if (!some_text(command, name, text) || !take(command, out, text))
                return false;
        } while (rest.ptr != NULL);
        return true;
    }
    if (!js_is(list, JS_ARRAY) && !js_is(list, JS_NONE)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", name, "%s must be a list of strings", name);
        return false;
    }
    for (js_iter_init(&it, list); js_next(&it, &key, &value);) {
        text = js_is(value, JS_STRING) && value.raw.len < sizeof(scratch)
                   ? js_unescape(value, scratch, sizeof(scratch))
                   : STR_NONE;
        if (!some_text(command, name, text) || !take(command, out, text))
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

bool
command_channel_is(struct command *command, const char *field, struct str name)
{
    const struct conf *conf = command->ledger->conf;

    if (conf == NULL || conf_channel_index(conf, name) != CONF_NONE)
        return true;
    command_refuse_field(command, COMMAND_FAILED, "no_channel", field, "there is no channel \"%.*s\"",
                         STR_ARGS(name));
    hint_channels(command, name);
    return false;
}

static bool
take_channel(struct command *command, void *out, struct str text)
{
    struct entity_allow *allow = out;

    if (allow->channel_count == KEY_CHANNELS_MAX || !entity_text_ok(text, 64)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "channels", "channel: \"%.*s\": %s", (int)MIN(text.len, 64u),
                       text.ptr,
                       allow->channel_count == KEY_CHANNELS_MAX ? "too many" : "no channel's name");
        return false;
    }
    if (!command_channel_is(command, "channels", text))
        return false;
    str_copy(text, allow->channels[allow->channel_count++], sizeof(allow->channels[0]));
    return true;
}

static bool
take_model(struct command *command, void *out, struct str text)
{
    struct entity_allow *allow = out;

    if (!entity_text_ok(text, 128) || text.len + 1 > sizeof(allow->models) - allow->models_len) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "models", "model: \"%.*s\": %s", (int)MIN(text.len, 64u),
                       text.ptr, text.len > 128 ? "too long" : "the list is too long");
        return false;
    }
    memcpy(allow->models + allow->models_len, text.ptr, text.len);
    allow->models_len += (uint32_t)text.len + 1;
    allow->model_count++;
    return true;
}

static bool
take_cidr(struct command *command, void *out, struct str text)
{
    struct entity_key *k = out;
    struct cidr cidr;

    if (k->cidr_count == KEY_CIDRS_MAX || text.len > ENTITY_CIDR_MAX ||
        !cidr_parse(text, &cidr)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "allow_ip", "allow-ip: \"%.*s\": %s", (int)MIN(text.len, 64u),
                       text.ptr,
                       k->cidr_count == KEY_CIDRS_MAX ? "too many" : "not an address or network");
        command_hint(command, "write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32");
        return false;
    }
    str_copy(text, k->cidrs[k->cidr_count++], sizeof(k->cidrs[0]));
    return true;
}

/* ---- what is there stays, unless it is said anew ---- */

bool
command_allow_args(struct command *command, struct entity_allow *allow)
{
    bool any_channel, any_model;

    if (!command_flag(command, "any_channel", &any_channel) ||
        !command_flag(command, "any_model", &any_model))
        return false;
    if (any_channel || command_has(command, "channels")) {
        memset(allow->channels, 0, sizeof(allow->channels));
        allow->channel_count = 0;
    }
    if (any_model || command_has(command, "models")) {
        memset(allow->models, 0, sizeof(allow->models));
        allow->model_count = allow->models_len = 0;
    }
    return command_each_string(command, "channels", allow, take_channel) &&
           command_each_string(command, "models", allow, take_model);
}

bool
command_cidr_args(struct command *command, struct entity_key *key)
{
    bool any;

    if (!command_flag(command, "any_ip", &any))
        return false;
    if (any || command_has(command, "allow_ip")) {
        memset(key->cidrs, 0, sizeof(key->cidrs));
        key->cidr_count = 0;
    }
    return command_each_string(command, "allow_ip", key, take_cidr);
}

static bool
take_shadow(struct command *command, void *out, struct str text)
{
    uint32_t *shadow = out;

    for (unsigned i = 0; i < COUNT_OF(entity_limit_name); i++)
        if (str_eq(text, str_from(entity_limit_name[i]))) {
            *shadow |= 1u << i;
            return true;
        }
    if (str_eq(text, STR("none")))
        return true;
    command_refuse_field(command, COMMAND_USAGE, "invalid", "shadow",
                         "shadow: \"%.*s\" is no limit", (int)MIN(text.len, 40u), text.ptr);
    command_hint(command, "of rpm, tpm, concurrency; or none");
    return false;
}

static bool
limit_arg(struct command *command, const char *name, uint32_t *limit)
{
    return !command_has(command, name) || command_u32(command, name, limit);
}

bool
command_limits_args(struct command *command, struct entity_limits *limits)
{
    if (!limit_arg(command, "rpm", &limits->rpm) || !limit_arg(command, "tpm", &limits->tpm) ||
        !limit_arg(command, "concurrency", &limits->concurrency))
        return false;
    if (!command_has(command, "shadow"))
        return true;
    limits->shadow = 0;
    return command_each_string(command, "shadow", &limits->shadow, take_shadow);
}

static bool
take_scope(struct command *command, void *out, struct str text)
{
    uint32_t *scopes = out;

    for (unsigned i = 0; i < COUNT_OF(entity_scope_name); i++)
        if (str_eq(text, str_from(entity_scope_name[i]))) {
            *scopes |= 1u << i;
            return true;
        }
    command_refuse_field(command, COMMAND_USAGE, "invalid", "scopes",
                         "there is no scope \"%.*s\"", (int)MIN(text.len, 40u), text.ptr);
    command_hint(command, "of inference, usage, manage");
    return false;
}

bool
command_scopes_args(struct command *command, uint32_t *scopes)
{
    if (!command_has(command, "scopes"))
        return true;
    *scopes = 0;
    if (!command_each_string(command, "scopes", scopes, take_scope))
        return false;
    if (*scopes == 0)
        command_refuse_field(command, COMMAND_USAGE, "invalid", "scopes", "a key has some scope");
    return *scopes != 0;
}

static bool
take_label(struct command *command, void *out, struct str text)
{
    struct entity_project *project = out;

    if (!entity_text_ok(text, ENTITY_LABEL_MAX) ||
        text.len + 1 > sizeof(project->labels) - project->labels_len) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "labels", "label: \"%.*s\": %s",
                             (int)MIN(text.len, 64u), text.ptr,
                             text.len > ENTITY_LABEL_MAX ? "too long" : "not usable, or too many");
        return false;
    }
    memcpy(project->labels + project->labels_len, text.ptr, text.len);
    project->labels_len += (uint32_t)text.len + 1;
    project->label_count++;
    return true;
}

bool
command_labels_args(struct command *command, struct entity_project *project)
{
    bool none;

    if (!command_flag(command, "no_labels", &none))
        return false;
    if (none || command_has(command, "labels")) {
        memset(project->labels, 0, sizeof(project->labels));
        project->label_count = project->labels_len = 0;
    }
    return command_each_string(command, "labels", project, take_label);
}

/* A flag that takes something away says nothing when it is false. */
static bool
says_something(struct js_value value, struct str name)
{
    if (js_is(value, JS_FALSE))
        return str_eq(name, STR("no_dearer")) || str_eq(name, STR("sibling"));
    return !js_is(value, JS_NONE);
}

bool
command_says_some(struct command *command, const char *const *names)
{
    bool some = false;

    for (; *names != NULL; names++)
        some = some || says_something(js_get(command->args, str_from(*names)), str_from(*names));
    if (!some) {
        command_refuse_field(command, COMMAND_USAGE, "nothing_to_set", NULL, "nothing to set");
        command_hint(command, "say what is to be another");
    }
    return some;
}
