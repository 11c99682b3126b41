/*
 * The tools of a request, and which of them may or must be called. A namespace is a box of tools:
 * its tools are listed as any other, with the box's name as their space. What has no meaning beyond
 * its provider (web_search, mcp, computer …) is CHAT_TOOL_HOSTED, by the name of its type.
 */
#include "base/str.h"
#include "proto/responses_in.h"

enum {
    TOOL_TYPE = 0,
    TOOL_NAME,
    TOOL_NAMESPACE,
    TOOL_DESCRIPTION,
    TOOL_PARAMETERS,
    TOOL_STRICT,
    TOOL_FORMAT,
    TOOL_TOOLS,
    TOOL_MODE,
    TOOL_MEMBER_COUNT
};

static const struct str tool_names[TOOL_MEMBER_COUNT] = {
    [TOOL_TYPE] = PICK_NAME("type"),
    [TOOL_NAME] = PICK_NAME("name"),
    [TOOL_NAMESPACE] = PICK_NAME("namespace"),
    [TOOL_DESCRIPTION] = PICK_NAME("description"),
    [TOOL_PARAMETERS] = PICK_NAME("parameters"),
    [TOOL_STRICT] = PICK_NAME("strict"),
    [TOOL_FORMAT] = PICK_NAME("format"),
    [TOOL_TOOLS] = PICK_NAME("tools"),
    [TOOL_MODE] = PICK_NAME("mode"),
};

struct tools {
    struct chat_request *r;
    struct proto_error *error;
    struct chat_tool **end;
    unsigned count;
    struct js_value space; /* of the namespace at hand */
    /* The tool at hand. */
    struct js_value at, v[TOOL_MEMBER_COUNT];
};

static struct chat_tool *
add_tool(struct tools *t, enum chat_tool_kind kind, struct js_value name)
{
    struct chat_tool *tool;

    if (t->count++ == RESPONSES_TOOLS_MAX) {
        (void)chat_refuse(t->r, t->at, t->error, "there are more than %d tools before this one",
                          RESPONSES_TOOLS_MAX);
        return NULL;
    }
    tool = chat_tool_add(t->r, &t->end, kind, t->at);
    if (tool == NULL) {
        (void)chat_no_room(t->error);
        return NULL;
    }
    tool->name = name;
    tool->space = t->space;
    if (t->v[TOOL_DESCRIPTION].type == JS_STRING)
        tool->description = t->v[TOOL_DESCRIPTION];
    return tool;
}

static bool
need_tool_name(struct tools *t)
{
    return responses_need_name(t->r, t->at, t->v[TOOL_NAME], "name", t->error) &&
           codec_want(t->r, t->v[TOOL_DESCRIPTION], JS_STRING, t->error);
}

static bool
read_function(struct tools *t)
{
    struct chat_tool *tool;
    bool strict;

    if (!need_tool_name(t) || !codec_want(t->r, t->v[TOOL_PARAMETERS], JS_OBJECT, t->error) ||
        !codec_want_bool(t->r, t->v[TOOL_STRICT], &strict, t->error))
        return false;
    tool = add_tool(t, CHAT_TOOL_FUNCTION, t->v[TOOL_NAME]);
    if (tool == NULL)
        return false;
    tool->schema = t->v[TOOL_PARAMETERS];
    tool->strict = t->v[TOOL_STRICT];
    return true;
}

static bool
read_custom(struct tools *t)
{
    static const struct str type_name = PICK_NAME("type");
    struct chat_tool *tool;
    struct js_value type;

    if (!need_tool_name(t) || !codec_want(t->r, t->v[TOOL_FORMAT], JS_OBJECT, t->error))
        return false;
    tool = add_tool(t, CHAT_TOOL_CUSTOM, t->v[TOOL_NAME]);
    if (tool == NULL)
        return false;
    codec_members(t->v[TOOL_FORMAT], &type_name, 1, &type);
    if (t->v[TOOL_FORMAT].type == JS_OBJECT && !js_str_eq(type, STR("text")))
        tool->format = t->v[TOOL_FORMAT];
    return true;
}

static bool
read_hosted(struct tools *t)
{
    return add_tool(t, CHAT_TOOL_HOSTED, t->v[TOOL_TYPE]) != NULL;
}

/* The one at hand, unless it is a namespace. */
static bool
read_tool(struct tools *t)
{
    if (js_str_eq(t->v[TOOL_TYPE], STR("function")))
        return read_function(t);
    if (js_str_eq(t->v[TOOL_TYPE], STR("custom")))
        return read_custom(t);
    if (js_str_eq(t->v[TOOL_TYPE], STR("local_shell")))
        return add_tool(t, CHAT_TOOL_LOCAL_SHELL, chat_literal(RESPONSES_SHELL)) != NULL;
    return read_hosted(t);
}

static bool
take_tool(struct tools *t)
{
    if (t->at.type != JS_OBJECT)
        return chat_refuse(t->r, t->at, t->error, "must be an object");
    codec_members(t->at, tool_names, TOOL_MEMBER_COUNT, t->v);
    return responses_need(t->r, t->at, t->v[TOOL_TYPE], "type", t->error);
}

static bool
read_namespace(struct tools *t)
{
    struct js_value list = t->v[TOOL_TOOLS], key;
    struct js_iter it;

    if (!need_tool_name(t))
        return false;
    if (list.type == JS_NONE)
        return chat_refuse(t->r, t->at, t->error, "\"tools\" is missing");
    if (!codec_want(t->r, list, JS_ARRAY, t->error))
        return false;
    t->space = t->v[TOOL_NAME];
    for (js_iter_init(&it, list); js_next(&it, &key, &t->at);) {
        if (!take_tool(t))
            return false;
        if (js_str_eq(t->v[TOOL_TYPE], STR("namespace")))
            return chat_refuse(t->r, t->v[TOOL_TYPE], t->error,
                               "a namespace cannot stand in another");
        if (!read_tool(t))
            return false;
    }
    t->space = (struct js_value){.type = JS_NONE};
    return true;
}

bool
responses_read_tools(struct chat_request *r, struct js_value list, struct proto_error *error)
{
    struct tools t = {.r = r, .error = error, .end = &r->tools};
    struct js_value key;
    struct js_iter it;

    if (!codec_want(r, list, JS_ARRAY, error))
        return false;
    for (js_iter_init(&it, list); js_next(&it, &key, &t.at);)
        if (!take_tool(&t) ||
            !(js_str_eq(t.v[TOOL_TYPE], STR("namespace")) ? read_namespace(&t) : read_tool(&t)))
            return false;
    return true;
}

/* ---- the choice ---- */

static bool
same_text(struct js_value a, struct js_value b)
{
    return a.type == b.type && str_eq(a.raw, b.raw);
}

/* The tool that an object of a choice means; without a namespace the first one of that name. */
static struct chat_tool *
chosen_tool(const struct chat_request *r, const struct js_value *v)
{
    struct js_value name = v[TOOL_NAME];

    if (js_str_eq(v[TOOL_TYPE], STR("local_shell")))
        name = chat_literal(RESPONSES_SHELL);
    for (struct chat_tool *tool = r->tools; tool != NULL; tool = tool->next)
        if (tool->kind != CHAT_TOOL_HOSTED && same_text(tool->name, name) &&
            (v[TOOL_NAMESPACE].type == JS_NONE || same_text(tool->space, v[TOOL_NAMESPACE])))
            return tool;
    return NULL;
}

/* Of a tool that the client executes; the name is then there. */
static bool
names_tool(const struct js_value *v)
{
    return js_str_eq(v[TOOL_TYPE], STR("function")) || js_str_eq(v[TOOL_TYPE], STR("custom")) ||
           js_str_eq(v[TOOL_TYPE], STR("local_shell"));
}

static bool
need_choice_name(struct tools *t)
{
    return js_str_eq(t->v[TOOL_TYPE], STR("local_shell")) ||
           (responses_need_name(t->r, t->at, t->v[TOOL_NAME], "name", t->error) &&
            codec_want(t->r, t->v[TOOL_NAMESPACE], JS_STRING, t->error));
}

static bool
choose_one(struct tools *t)
{
    struct chat_request *r = t->r;
    struct chat_tool *tool;

    if (!names_tool(t->v))
        return chat_refuse(r, t->v[TOOL_TYPE], t->error,
                           "this tool is its provider's own, and the model is served by another");
    if (!need_choice_name(t))
        return false;
    tool = chosen_tool(r, t->v);
    if (tool == NULL)
        return chat_refuse(r, t->at, t->error, "no tool of the request has this name");
    r->choice = CHAT_CHOICE_ONE;
    r->choice_name = tool->name;
    r->choice_space = tool->space;
    return true;
}

/* The others are kept, for a conversation may have calls of them, but are not offered. */
static bool
choose_allowed(struct tools *t)
{
    struct js_value mode = t->v[TOOL_MODE], list = t->v[TOOL_TOOLS], key;
    struct chat_request *r = t->r;
    struct js_iter it;

    if (list.type == JS_NONE)
        return chat_refuse(r, t->at, t->error, "\"tools\" is missing");
    if (!codec_want(r, list, JS_ARRAY, t->error) ||
        !responses_need(r, t->at, mode, "mode", t->error))
        return false;
    if (!js_str_eq(mode, STR("auto")) && !js_str_eq(mode, STR("required")))
        return chat_refuse(r, mode, t->error, "must be auto or required");
    r->choice = js_str_eq(mode, STR("required")) ? CHAT_CHOICE_ANY : CHAT_CHOICE_AUTO;
    for (struct chat_tool *tool = r->tools; tool != NULL; tool = tool->next)
        tool->unlisted = tool->kind != CHAT_TOOL_HOSTED;
    for (js_iter_init(&it, list); js_next(&it, &key, &t->at);) {
        struct chat_tool *tool;

        if (!take_tool(t))
            return false;
        if (!names_tool(t->v)) /* its provider's own: it is dropped with the tool */
            continue;
        if (!need_choice_name(t))
            return false;
        tool = chosen_tool(r, t->v);
        if (tool == NULL || it.index >= RESPONSES_TOOLS_MAX)
            return chat_refuse(r, t->at, t->error, "no tool of the request has this name");
        tool->unlisted = false;
    }
    return true;
}

bool
responses_read_tool_choice(struct chat_request *r, struct js_value choice,
                           struct proto_error *error)
{
    struct tools t = {.r = r, .error = error, .at = choice};

    if (choice.type == JS_NONE)
        return true;
    r->choice_at = choice;
    if (js_str_eq(choice, STR("auto")))
        r->choice = CHAT_CHOICE_AUTO;
    else if (js_str_eq(choice, STR("none")))
        r->choice = CHAT_CHOICE_NONE;
    else if (js_str_eq(choice, STR("required")))
        r->choice = CHAT_CHOICE_ANY;
    else if (choice.type != JS_OBJECT)
        return chat_refuse(r, choice, error, "must be auto, none, required or an object");
    if (choice.type == JS_STRING)
        return true;
    if (!take_tool(&t))
        return false;
    if (js_str_eq(t.v[TOOL_TYPE], STR("allowed_tools")))
        return choose_allowed(&t);
    return choose_one(&t);
}
