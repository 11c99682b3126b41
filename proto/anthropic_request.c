/*
 * Reads a request of Anthropic's Messages into the neutral form, and one that only asks for a count
 * of its tokens, which has no limit of output. What is said in it: anthropic_content.c.
 *
 * Claude Code sends fields that steer nothing but Anthropic's own service, and does so with every
 * request: those go without a word. What else cannot be passed on is named.
 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "proto/anthropic.h"
#include "proto/pick.h"

#define STOPS_MAX 256

enum field {
    MODEL = 0,
    MAX_TOKENS,
    MESSAGES,
    SYSTEM,
    STOP_SEQUENCES,
    STREAM,
    TOOLS,
    TOOL_CHOICE,
    THINKING,
    OUTPUT_CONFIG,
    OUTPUT_FORMAT,
    METADATA,
    SERVICE_TIER,
    TEMPERATURE,
    TOP_P,
    TOP_K,
    CONTAINER,
    MCP_SERVERS,
    CONTEXT_MANAGEMENT,
    FIELD_COUNT
};

static const struct str field_names[FIELD_COUNT] = {
    [MODEL] = PICK_NAME("model"),
    [MAX_TOKENS] = PICK_NAME("max_tokens"),
    [MESSAGES] = PICK_NAME("messages"),
    [SYSTEM] = PICK_NAME("system"),
    [STOP_SEQUENCES] = PICK_NAME("stop_sequences"),
    [STREAM] = PICK_NAME("stream"),
    [TOOLS] = PICK_NAME("tools"),
    [TOOL_CHOICE] = PICK_NAME("tool_choice"),
    [THINKING] = PICK_NAME("thinking"),
    [OUTPUT_CONFIG] = PICK_NAME("output_config"),
    [OUTPUT_FORMAT] = PICK_NAME("output_format"), /* the older name of output_config.format */
    [METADATA] = PICK_NAME("metadata"),
    [SERVICE_TIER] = PICK_NAME("service_tier"),
    [TEMPERATURE] = PICK_NAME("temperature"),
    [TOP_P] = PICK_NAME("top_p"),
    [TOP_K] = PICK_NAME("top_k"),
    [CONTAINER] = PICK_NAME("container"),
    [MCP_SERVERS] = PICK_NAME("mcp_servers"),
    [CONTEXT_MANAGEMENT] = PICK_NAME("context_management"),
};

/* Members whose names are not in the list are named as dropped, those of an object within the
 * request with its own name in front. */
static void
drop_others(struct chat_request *r, struct js_value object, const char *prefix,
            const struct str *names, size_t count)
{
    struct js_value key, value;
    struct js_iter it;

    for (js_iter_init(&it, object); js_next(&it, &key, &value);) {
        char name[64];
        size_t i = 0;
        int len;

        while (i < count && !js_str_eq(key, names[i]))
            i++;
        if (i < count || value.type == JS_NULL || key.escaped)
            continue;
        len = snprintf(name, sizeof name, "%s%.*s", prefix, STR_ARGS(key.raw));
        if (len > 0 && (size_t)len < sizeof name)
            chat_drop(&r->drops, (struct str){name, (size_t)len});
    }
}

static bool
is_missing(const struct chat_request *r, struct js_value at, const char *what,
           struct proto_error *error)
{
    return chat_refuse(r, at, error, "%s is missing", what);
}

/* A member of the request itself has a path before it is there. */
static bool
field_is_missing(enum field field, struct proto_error *error)
{
    error_set(error, ERROR_BAD_REQUEST, field_names[field].ptr, "invalid_value",
              "%s: Field required", field_names[field].ptr);
    return false;
}

/* ---- tools ---- */

enum tool_field {
    TOOL_TYPE = 0,
    TOOL_NAME,
    TOOL_DESCRIPTION,
    TOOL_SCHEMA,
    TOOL_STRICT,
    TOOL_CACHE,
    TOOL_FIELD_COUNT
};

static bool
tool_read(struct chat_request *r, struct js_value at, struct chat_tool ***end,
          struct proto_error *error)
{
    static const struct str names[TOOL_FIELD_COUNT] = {
        [TOOL_TYPE] = PICK_NAME("type"),
        [TOOL_NAME] = PICK_NAME("name"),
        [TOOL_DESCRIPTION] = PICK_NAME("description"),
        [TOOL_SCHEMA] = PICK_NAME("input_schema"),
        [TOOL_STRICT] = PICK_NAME("strict"),
        [TOOL_CACHE] = PICK_NAME("cache_control"),
    };
    struct js_value field[TOOL_FIELD_COUNT];
    struct chat_tool *tool;
    bool hosted, strict;

    if (at.type != JS_OBJECT)
        return chat_refuse(r, at, error, "must be an object");
    codec_members(at, names, TOOL_FIELD_COUNT, field);
    if (!codec_want(r, field[TOOL_TYPE], JS_STRING, error) ||
        !codec_want(r, field[TOOL_NAME], JS_STRING, error))
        return false;
    hosted = field[TOOL_TYPE].type == JS_STRING && !js_str_eq(field[TOOL_TYPE], STR("custom"));
    tool = chat_tool_add(r, end, hosted ? CHAT_TOOL_HOSTED : CHAT_TOOL_FUNCTION, at);
    if (tool == NULL)
        return chat_no_room(error);
    tool->name = field[TOOL_NAME];
    if (hosted)
        return true;
    if (field[TOOL_NAME].raw.len == 0)
        return is_missing(r, at, "name", error);
    if (field[TOOL_SCHEMA].type == JS_NONE)
        return is_missing(r, at, "input_schema", error);
    tool->description = field[TOOL_DESCRIPTION];
    tool->schema = field[TOOL_SCHEMA];
    tool->strict = field[TOOL_STRICT];
    return codec_want(r, tool->description, JS_STRING, error) &&
           codec_want(r, tool->schema, JS_OBJECT, error) &&
           codec_want_bool(r, tool->strict, &strict, error) &&
           anthropic_cache_read(r, field[TOOL_CACHE], &tool->cache, error);
}

static bool
tools_read(struct chat_request *r, struct js_value tools, struct proto_error *error)
{
    struct chat_tool **end = &r->tools;
    struct js_value key, at;
    struct js_iter it;

    if (!codec_want(r, tools, JS_ARRAY, error))
        return false;
    for (js_iter_init(&it, tools); js_next(&it, &key, &at);)
        if (!tool_read(r, at, &end, error))
            return false;
    return true;
}

static bool
same_text(struct chat_request *r, struct js_value a, struct js_value b)
{
    struct str text = chat_text(r->arena, a);

    return text.ptr != NULL && js_str_eq(b, text);
}

/* The tool that must be called is one that will be offered. */
static bool
one_read(struct chat_request *r, struct js_value choice, struct js_value name,
         struct proto_error *error)
{
    if (name.type == JS_NONE)
        return is_missing(r, choice, "name", error);
    if (!codec_want(r, name, JS_STRING, error))
        return false;
    for (const struct chat_tool *t = r->tools; t != NULL; t = t->next) {
        if (t->kind == CHAT_TOOL_HOSTED || !same_text(r, t->name, name))
            continue;
        r->choice = CHAT_CHOICE_ONE;
        r->choice_name = t->name;
        return true;
    }
    return chat_refuse(r, name, error, "none of the tools that can be passed on has this name");
}

static bool
choice_read(struct chat_request *r, struct js_value choice, struct proto_error *error)
{
    enum { TYPE, NAME, NO_PARALLEL, COUNT };
    static const struct str names[COUNT] = {
        [TYPE] = PICK_NAME("type"),
        [NAME] = PICK_NAME("name"),
        [NO_PARALLEL] = PICK_NAME("disable_parallel_tool_use"),
    };
    struct js_value field[COUNT];

    if (choice.type == JS_NONE)
        return true;
    if (!codec_want(r, choice, JS_OBJECT, error))
        return false;
    codec_members(choice, names, COUNT, field);
    r->choice_at = choice;
    if (field[TYPE].type == JS_NONE)
        return is_missing(r, choice, "type", error);
    if (!codec_want(r, field[TYPE], JS_STRING, error) ||
        !codec_want_bool(r, field[NO_PARALLEL], &r->no_parallel, error))
        return false;
    if (js_str_eq(field[TYPE], STR("tool")))
        return one_read(r, choice, field[NAME], error);
    if (js_str_eq(field[TYPE], STR("auto")))
        r->choice = CHAT_CHOICE_AUTO;
    else if (js_str_eq(field[TYPE], STR("any")))
        r->choice = CHAT_CHOICE_ANY;
    else if (js_str_eq(field[TYPE], STR("none")))
        r->choice = CHAT_CHOICE_NONE;
    else
        return chat_refuse(r, field[TYPE], error, "must be auto, any, tool or none");
    return true;
}

/* ---- thinking, and the form of the answer ---- */

static bool
thinking_read(struct chat_request *r, struct js_value thinking, struct proto_error *error)
{
    enum { TYPE, BUDGET, DISPLAY, COUNT };
    static const struct str names[COUNT] = {
        [TYPE] = PICK_NAME("type"),
        [BUDGET] = PICK_NAME("budget_tokens"),
        [DISPLAY] = PICK_NAME("display"),
    };
    struct js_value field[COUNT];

    if (thinking.type == JS_NONE)
        return true;
    if (!codec_want(r, thinking, JS_OBJECT, error))
        return false;
    codec_members(thinking, names, COUNT, field);
    r->thinking_at = thinking;
    if (field[TYPE].type == JS_NONE)
        return is_missing(r, thinking, "type", error);
    if (!codec_want(r, field[TYPE], JS_STRING, error) ||
        !codec_want(r, field[DISPLAY], JS_STRING, error))
        return false;
    if (js_str_eq(field[TYPE], STR("disabled"))) {
        r->thinking = CHAT_THINKING_OFF;
        return true;
    }
    r->thinking = CHAT_THINKING_ON;
    r->thinking_shown = !js_str_eq(field[DISPLAY], STR("omitted"));
    if (js_str_eq(field[TYPE], STR("enabled"))) {
        if (field[BUDGET].type == JS_NONE)
            return is_missing(r, thinking, "budget_tokens", error);
        return codec_want_count(r, field[BUDGET], 1024, UINT32_MAX, &r->thinking_budget, error);
    }
    if (js_str_eq(field[TYPE], STR("adaptive")) || js_str_eq(field[TYPE], STR("between_tools")))
        return true;
    return chat_refuse(r, field[TYPE], error,
                       "must be enabled, adaptive, between_tools or disabled");
}

static bool
format_read(struct chat_request *r, struct js_value format, struct proto_error *error)
{
    enum { TYPE, SCHEMA, COUNT };
    static const struct str names[COUNT] = {
        [TYPE] = PICK_NAME("type"),
        [SCHEMA] = PICK_NAME("schema"),
    };
    struct js_value field[COUNT];

    if (format.type == JS_NONE)
        return true;
    if (!codec_want(r, format, JS_OBJECT, error))
        return false;
    codec_members(format, names, COUNT, field);
    if (field[TYPE].type == JS_NONE)
        return is_missing(r, format, "type", error);
    if (!js_str_eq(field[TYPE], STR("json_schema")))
        return chat_refuse(r, field[TYPE], error, "must be json_schema");
    if (field[SCHEMA].type == JS_NONE)
        return is_missing(r, format, "schema", error);
    r->format = CHAT_FORMAT_SCHEMA;
    r->format_at = format;
    r->schema = field[SCHEMA];
    return codec_want(r, r->schema, JS_OBJECT, error);
}

static bool
output_config_read(struct chat_request *r, struct js_value config, struct proto_error *error)
{
    enum { EFFORT, FORMAT, COUNT };
    static const struct str names[COUNT] = {
        [EFFORT] = PICK_NAME("effort"),
        [FORMAT] = PICK_NAME("format"),
    };
    struct js_value field[COUNT];

    if (!codec_want(r, config, JS_OBJECT, error))
        return false;
    codec_members(config, names, COUNT, field);
    drop_others(r, config, "output_config.", names, COUNT);
    return anthropic_effort_read(r, field[EFFORT], error) && format_read(r, field[FORMAT], error);
}

/* ---- the rest ---- */

static bool
knobs_read(struct chat_request *r, const struct js_value field[FIELD_COUNT],
           struct proto_error *error)
{
    static const struct str user_name = PICK_NAME("user_id");
    struct js_value user;
    uint32_t top_k;

    if (!codec_want_number(r, field[TEMPERATURE], error) ||
        !codec_want_number(r, field[TOP_P], error) ||
        !codec_want_count(r, field[TOP_K], 0, UINT32_MAX, &top_k, error) ||
        !codec_want(r, field[SERVICE_TIER], JS_STRING, error) ||
        !codec_want(r, field[METADATA], JS_OBJECT, error))
        return false;
    codec_members(field[METADATA], &user_name, 1, &user);
    if (!codec_want(r, user, JS_STRING, error))
        return false;
    codec_knob(r, CHAT_TEMPERATURE, "temperature", field[TEMPERATURE]);
    codec_knob(r, CHAT_TOP_P, "top_p", field[TOP_P]);
    codec_knob(r, CHAT_TOP_K, "top_k", field[TOP_K]);
    codec_knob(r, CHAT_SERVICE_TIER, "service_tier", field[SERVICE_TIER]);
    codec_knob(r, CHAT_END_USER, "metadata.user_id", user);
    return true;
}

static bool
is_empty_list(struct js_value value)
{
    struct js_value key, one;
    struct js_iter it;

    if (value.type != JS_ARRAY)
        return value.type == JS_NONE;
    js_iter_init(&it, value);
    return !js_next(&it, &key, &one);
}

/* What works with what the provider keeps or reaches itself. */
static bool
refuse_hosted(const struct chat_request *r, const struct js_value field[FIELD_COUNT],
              struct proto_error *error)
{
    if (field[CONTAINER].type != JS_NONE)
        return chat_refuse(r, field[CONTAINER], error,
                           "a container of one provider cannot be reached from another");
    if (!is_empty_list(field[MCP_SERVERS]))
        return chat_refuse(r, field[MCP_SERVERS], error,
                           "the provider that serves this model calls no MCP servers itself");
    return true;
}

bool
anthropic_request_read(struct chat_request *r, struct proto_error *error)
{
    struct js_value field[FIELD_COUNT];

    if (r->document.type != JS_OBJECT)
        return chat_refuse(r, r->document, error, "must be an object");
    codec_members(r->document, field_names, FIELD_COUNT, field);
    drop_others(r, r->document, "", field_names, FIELD_COUNT);
    if (field[MESSAGES].type == JS_NONE)
        return field_is_missing(MESSAGES, error);
    if (field[MAX_TOKENS].type == JS_NONE && r->endpoint != ENDPOINT_COUNT_TOKENS)
        return field_is_missing(MAX_TOKENS, error);
    /* The effort of the whole request comes after that of its messages: it holds. */
    return codec_want_count(r, field[MAX_TOKENS], 1, UINT32_MAX, &r->output_max, error) &&
           codec_want_bool(r, field[STREAM], &r->stream, error) &&
           refuse_hosted(r, field, error) &&
           anthropic_system_read(r, field[SYSTEM], error) &&
           anthropic_messages_read(r, field[MESSAGES], error) &&
           tools_read(r, field[TOOLS], error) &&
           choice_read(r, field[TOOL_CHOICE], error) &&
           thinking_read(r, field[THINKING], error) &&
           format_read(r, field[OUTPUT_FORMAT], error) &&
           output_config_read(r, field[OUTPUT_CONFIG], error) &&
           codec_stops(r, field[STOP_SEQUENCES], STOPS_MAX, error) &&
           knobs_read(r, field, error);
}
