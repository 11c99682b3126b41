/* Tools of a chat request, and which of them are to be called: today's form and the older one,
 * which had functions only. */
#include "base/str.h"
#include "proto/openai_in.h"
#include "proto/pick.h"

/* What "function", "custom" and the elements of "functions" may have. */
enum { NAME, DESCRIPTION, PARAMETERS, STRICT, FORMAT, DEFINITION_COUNT };

static bool
read_definition(struct chat_request *r, struct js_value at, struct js_value definition,
                enum chat_tool_kind kind, struct chat_tool ***end, struct proto_error *error)
{
    static const struct str names[DEFINITION_COUNT] = {
        [NAME] = PICK_NAME("name"),
        [DESCRIPTION] = PICK_NAME("description"),
        [PARAMETERS] = PICK_NAME("parameters"),
        [STRICT] = PICK_NAME("strict"),
        [FORMAT] = PICK_NAME("format"),
    };
    bool custom = kind == CHAT_TOOL_CUSTOM, strict;
    struct js_value values[DEFINITION_COUNT];
    struct chat_tool *tool;

    if (definition.type == JS_NONE)
        return chat_refuse(r, at, error, "%s is missing", custom ? "custom" : "function");
    if (!codec_want(r, definition, JS_OBJECT, error))
        return false;
    codec_members(definition, names, DEFINITION_COUNT, values);
    if (!openai_want_string(r, definition, values[NAME], "name", error) ||
        !codec_want(r, values[DESCRIPTION], JS_STRING, error))
        return false;
    if (values[NAME].raw.len == 0)
        return chat_refuse(r, values[NAME], error, "must not be empty");
    tool = chat_tool_add(r, end, kind, at);
    if (tool == NULL)
        return chat_no_room(error);
    tool->name = values[NAME];
    tool->description = values[DESCRIPTION];
    if (custom) {
        if (!codec_want(r, values[FORMAT], JS_OBJECT, error))
            return false;
        if (!js_str_eq(js_get(values[FORMAT], STR("type")), STR("text")))
            tool->format = values[FORMAT];
        return true;
    }
    tool->schema = values[PARAMETERS];
    tool->strict = values[STRICT];
    return codec_want(r, tool->schema, JS_OBJECT, error) &&
           codec_want_bool(r, tool->strict, &strict, error);
}

static bool
read_tool(struct chat_request *r, struct js_value at, struct chat_tool ***end,
          struct proto_error *error)
{
    enum { TYPE, FUNCTION, CUSTOM, COUNT };
    static const struct str names[COUNT] = {
        [TYPE] = PICK_NAME("type"),
        [FUNCTION] = PICK_NAME("function"),
        [CUSTOM] = PICK_NAME("custom"),
    };
    struct js_value values[COUNT];
    struct chat_tool *tool;

    if (at.type != JS_OBJECT)
        return chat_refuse(r, at, error, "must be an object");
    codec_members(at, names, COUNT, values);
    if (!openai_want_string(r, at, values[TYPE], "type", error))
        return false;
    if (js_str_eq(values[TYPE], STR("function")))
        return read_definition(r, at, values[FUNCTION], CHAT_TOOL_FUNCTION, end, error);
    if (js_str_eq(values[TYPE], STR("custom")))
        return read_definition(r, at, values[CUSTOM], CHAT_TOOL_CUSTOM, end, error);
    tool = chat_tool_add(r, end, CHAT_TOOL_HOSTED, at);
    if (tool == NULL)
        return chat_no_room(error);
    tool->name = values[TYPE];
    return true;
}

static bool
read_list(struct chat_request *r, struct js_value list, bool older, struct chat_tool ***end,
          struct proto_error *error)
{
    struct js_value key, one;
    struct js_iter it;

    if (!codec_want(r, list, JS_ARRAY, error))
        return false;
    for (js_iter_init(&it, list); js_next(&it, &key, &one);) {
        if (it.index >= OPENAI_TOOLS_MAX)
            return chat_refuse(r, list, error, "must not have more than %d elements",
                               OPENAI_TOOLS_MAX);
        if (!older && !read_tool(r, one, end, error))
            return false;
        if (older && one.type != JS_OBJECT)
            return chat_refuse(r, one, error, "must be an object");
        if (older && !read_definition(r, one, one, CHAT_TOOL_FUNCTION, end, error))
            return false;
    }
    return true;
}

/* ---- the choice ---- */

/* The tool of this name. NULL: *error is set. */
static struct chat_tool *
tool_called(const struct chat_request *r, enum chat_tool_kind kind, struct js_value name,
            struct proto_error *error)
{
    struct str text = chat_text(r->arena, name);

    if (text.ptr == NULL) {
        (void)chat_no_room(error);
        return NULL;
    }
    for (struct chat_tool *t = r->tools; t != NULL; t = t->next)
        if (t->kind == kind && js_str_eq(t->name, text))
            return t;
    (void)chat_refuse(r, name, error, "is none of the tools");
    return NULL;
}

/* {"type":"function","function":{"name":…}}, also without the inner object. NULL: *error is set. */
static struct chat_tool *
read_chosen(struct chat_request *r, struct js_value chosen, struct proto_error *error)
{
    enum { TYPE, FUNCTION, CUSTOM, COUNT };
    static const struct str names[COUNT] = {
        [TYPE] = PICK_NAME("type"),
        [FUNCTION] = PICK_NAME("function"),
        [CUSTOM] = PICK_NAME("custom"),
    };
    static const struct str inner_names[] = {PICK_NAME("name")};
    struct js_value values[COUNT], inner, name[1];
    bool custom;

    codec_members(chosen, names, COUNT, values);
    custom = js_str_eq(values[TYPE], STR("custom"));
    inner = custom ? values[CUSTOM] : values[FUNCTION];
    codec_members(inner.type == JS_OBJECT ? inner : chosen, inner_names, 1, name);
    if (!custom && !js_str_eq(values[TYPE], STR("function"))) {
        (void)chat_refuse(r, chosen, error, "must be of the type function or custom");
        return NULL;
    }
    if (!openai_want_string(r, chosen, name[0], "name", error))
        return NULL;
    return tool_called(r, custom ? CHAT_TOOL_CUSTOM : CHAT_TOOL_FUNCTION, name[0], error);
}

static bool
read_allowed(struct chat_request *r, struct js_value choice, struct js_value allowed,
             struct proto_error *error)
{
    static const struct str names[] = {PICK_NAME("mode"), PICK_NAME("tools")};
    struct js_value values[2], key, one;
    struct js_iter it;

    if (allowed.type == JS_NONE)
        return chat_refuse(r, choice, error, "allowed_tools is missing");
    if (!codec_want(r, allowed, JS_OBJECT, error))
        return false;
    codec_members(allowed, names, 2, values);
    if (!openai_want_string(r, allowed, values[0], "mode", error))
        return false;
    r->choice = js_str_eq(values[0], STR("required")) ? CHAT_CHOICE_ANY : CHAT_CHOICE_AUTO;
    if (r->choice == CHAT_CHOICE_AUTO && !js_str_eq(values[0], STR("auto")))
        return chat_refuse(r, values[0], error, "must be auto or required");
    if (values[1].type != JS_ARRAY)
        return chat_refuse(r, values[1].type == JS_NONE ? allowed : values[1], error,
                           "tools must be a list");
    for (struct chat_tool *t = r->tools; t != NULL; t = t->next)
        t->unlisted = true;
    for (js_iter_init(&it, values[1]); js_next(&it, &key, &one);) {
        struct chat_tool *tool;

        if (it.index >= OPENAI_TOOLS_MAX)
            return chat_refuse(r, values[1], error, "must not have more than %d elements",
                               OPENAI_TOOLS_MAX);
        tool = read_chosen(r, one, error);
        if (tool == NULL)
            return false;
        tool->unlisted = false;
    }
    return true;
}

static bool
read_choice_word(struct chat_request *r, struct js_value choice, struct proto_error *error)
{
    if (js_str_eq(choice, STR("auto")))
        r->choice = CHAT_CHOICE_AUTO;
    else if (js_str_eq(choice, STR("none")))
        r->choice = CHAT_CHOICE_NONE;
    else if (js_str_eq(choice, STR("required")))
        r->choice = CHAT_CHOICE_ANY;
    else
        return chat_refuse(r, choice, error, "must be none, auto or required, or an object");
    return true;
}

static bool
read_choice(struct chat_request *r, struct js_value choice, struct proto_error *error)
{
    static const struct str names[] = {PICK_NAME("type"), PICK_NAME("allowed_tools")};
    struct js_value values[2];
    struct chat_tool *tool;

    if (choice.type == JS_NONE)
        return true;
    r->choice_at = choice;
    if (choice.type == JS_STRING)
        return read_choice_word(r, choice, error);
    if (choice.type != JS_OBJECT)
        return chat_refuse(r, choice, error, "must be a string or an object");
    codec_members(choice, names, 2, values);
    if (js_str_eq(values[0], STR("allowed_tools")))
        return read_allowed(r, choice, values[1], error);
    tool = read_chosen(r, choice, error);
    if (tool == NULL)
        return false;
    r->choice = CHAT_CHOICE_ONE;
    r->choice_name = tool->name;
    return true;
}

/* "function_call": "none", "auto" or {"name":…}. */
static bool
read_older_choice(struct chat_request *r, struct js_value choice, struct proto_error *error)
{
    static const struct str names[] = {PICK_NAME("name")};
    struct js_value name[1];
    struct chat_tool *tool;

    if (choice.type == JS_NONE || r->choice != CHAT_CHOICE_UNSET)
        return true;
    r->choice_at = choice;
    if (choice.type == JS_STRING)
        return read_choice_word(r, choice, error);
    if (choice.type != JS_OBJECT)
        return chat_refuse(r, choice, error, "must be a string or an object");
    codec_members(choice, names, 1, name);
    if (!openai_want_string(r, choice, name[0], "name", error))
        return false;
    tool = tool_called(r, CHAT_TOOL_FUNCTION, name[0], error);
    if (tool == NULL)
        return false;
    r->choice = CHAT_CHOICE_ONE;
    r->choice_name = tool->name;
    return true;
}

/* Who has both means today's. */
bool
openai_has_older_calls(struct js_value document)
{
    static const struct str names[] = {PICK_NAME("functions"), PICK_NAME("tools")};
    struct js_value values[2];

    codec_members(document, names, 2, values);
    return values[0].type == JS_ARRAY && values[1].type == JS_NONE;
}

bool
openai_read_tools(struct chat_request *r, const struct js_value values[OPENAI_FIELD_COUNT],
                  struct proto_error *error)
{
    struct chat_tool **end = &r->tools;
    bool parallel;

    if (!read_list(r, values[OPENAI_TOOLS], false, &end, error) ||
        !read_list(r, values[OPENAI_FUNCTIONS], true, &end, error) ||
        !read_choice(r, values[OPENAI_TOOL_CHOICE], error) ||
        !read_older_choice(r, values[OPENAI_FUNCTION_CALL], error) ||
        !codec_want_bool(r, values[OPENAI_PARALLEL_TOOL_CALLS], &parallel, error))
        return false;
    r->older_calls = openai_has_older_calls(r->document);
    r->no_parallel =
        r->older_calls || values[OPENAI_PARALLEL_TOOL_CALLS].type == JS_FALSE;
    if (r->tools != NULL || r->choice == CHAT_CHOICE_ANY) /* none is chat_link()'s to refuse */
        return true;
    /* Without tools there is nothing to choose: what says so anyway is not handed on. */
    r->choice = CHAT_CHOICE_UNSET;
    r->no_parallel = false;
    return true;
}
