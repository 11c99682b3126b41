/*
 * Whether the bytes of a request bound what a model reads of it. A token is a byte at least, so
 * they do, unless the request points to more than it has:
 *
 *     links   an image or a file by its address or by the name it is stored under; an item of an
 *             earlier answer; a prompt, conversation or answer that is stored (ask->stored_input)
 *     tools   what the provider runs by itself, and feeds back: a search, a file search, code, MCP
 *
 * Parts are found as proto/needs.c finds them: in messages, and in a tool's result among their
 * parts.
 */
#include "base/js.h"
#include "base/str.h"
#include "proto/ask.h"
#include "proto/pick.h"

/* Text that is there, and is not the thing itself. */
static bool
is_link(struct js_value value)
{
    return js_is(value, JS_STRING) && value.raw.len > 0 &&
           !(value.raw.len >= 5 && str_eq_nocase((struct str){value.raw.ptr, 5}, STR("data:")));
}

/* The members by which a message or a part of one points elsewhere, and those that hold more parts. */
enum {
    LINK_URL,
    LINK_FILE_URL,
    LINK_FILE_ID,
    LINK_FILE_URI,
    LINK_COUNT, /* of an object that holds nothing but an address */
    PART_IMAGE = LINK_COUNT,
    PART_FILE,
    PART_SOURCE,
    PART_TYPE,
    PART_CONTENT,
    PART_OUTPUT,
    PART_COUNT
};
static const struct str part_names[PART_COUNT] = {
    [LINK_URL] = PICK_NAME("url"),           [LINK_FILE_URL] = PICK_NAME("file_url"),
    [LINK_FILE_ID] = PICK_NAME("file_id"),   [LINK_FILE_URI] = PICK_NAME("file_uri"),
    [PART_IMAGE] = PICK_NAME("image_url"),   [PART_FILE] = PICK_NAME("file"),
    [PART_SOURCE] = PICK_NAME("source"),     [PART_TYPE] = PICK_NAME("type"),
    [PART_CONTENT] = PICK_NAME("content"),   [PART_OUTPUT] = PICK_NAME("output"),
};

static bool
some_link(const struct js_value values[LINK_COUNT])
{
    for (unsigned i = 0; i < LINK_COUNT; i++)
        if (is_link(values[i]))
            return true;
    return false;
}

/* What holds an address or the name of a file: a part's "file", "source" … */
static bool
object_links(struct js_value object)
{
    struct js_value values[LINK_COUNT];

    if (!js_is(object, JS_OBJECT))
        return false;
    pick_members(object, part_names, LINK_COUNT, values);
    return some_link(values);
}

/* Its members go to values, for who looks further. */
static bool
part_links(struct js_value part, struct js_value values[PART_COUNT])
{
    pick_members(part, part_names, PART_COUNT, values);
    return is_link(values[PART_IMAGE]) || object_links(values[PART_IMAGE]) || some_link(values) ||
           object_links(values[PART_FILE]) || object_links(values[PART_SOURCE]) ||
           js_str_eq(values[PART_TYPE], STR("item_reference"));
}

/* The parts of a message, and those of a tool's result among them. */
static bool
parts_link(struct js_value parts)
{
    struct js_value key, part, inner, values[PART_COUNT], inner_values[PART_COUNT];
    struct js_iter it, inner_it;

    if (!js_is(parts, JS_ARRAY))
        return false;
    for (js_iter_init(&it, parts); js_next(&it, &key, &part);) {
        if (part_links(part, values))
            return true;
        if (!js_is(values[PART_CONTENT], JS_ARRAY))
            continue;
        for (js_iter_init(&inner_it, values[PART_CONTENT]); js_next(&inner_it, &key, &inner);)
            if (part_links(inner, inner_values))
                return true;
    }
    return false;
}

static bool
messages_link(struct js_value messages)
{
    struct js_value key, message, values[PART_COUNT];
    struct js_iter it;

    if (!js_is(messages, JS_ARRAY))
        return false;
    for (js_iter_init(&it, messages); js_next(&it, &key, &message);)
        if (part_links(message, values) || parts_link(values[PART_CONTENT]) ||
            parts_link(values[PART_OUTPUT]))
            return true;
    return false;
}

/* ---- Gemini: parts have one member that says what they are, tools likewise ---- */

static bool
contents_link(struct js_value contents)
{
    struct js_value key, content, part;
    struct js_iter it, parts;

    if (!js_is(contents, JS_ARRAY))
        return false;
    for (js_iter_init(&it, contents); js_next(&it, &key, &content);)
        for (js_iter_init(&parts, js_get(content, STR("parts"))); js_next(&parts, &key, &part);)
            if (js_is(js_get(part, STR("fileData")), JS_OBJECT) ||
                js_is(js_get(part, STR("file_data")), JS_OBJECT))
                return true;
    return false;
}

static bool
gemini_tools_hosted(struct js_value tools)
{
    struct js_value key, tool, name, value;
    struct js_iter it, members;

    if (!js_is(tools, JS_ARRAY))
        return false;
    for (js_iter_init(&it, tools); js_next(&it, &key, &tool);)
        for (js_iter_init(&members, tool); js_next(&members, &name, &value);)
            if (!js_str_eq(name, STR("functionDeclarations")) &&
                !js_str_eq(name, STR("function_declarations")))
                return true;
    return false;
}

static unsigned
gemini_open(const struct ask *ask, unsigned open)
{
    struct js_value key, value;
    struct js_iter it;

    for (js_iter_init(&it, pick_document(ask->body)); js_next(&it, &key, &value);) {
        if (js_str_eq(key, STR("contents")))
            open |= contents_link(value) ? ASK_OPEN_LINKS : 0u;
        else if (js_str_eq(key, STR("tools")))
            open |= gemini_tools_hosted(value) ? ASK_OPEN_TOOLS : 0u;
    }
    return open;
}

/* A function is the caller's own; so is what has no type, and what Anthropic calls "custom". */
static bool
tools_hosted(struct js_value tools)
{
    struct js_value key, tool;
    struct js_iter it;

    if (!js_is(tools, JS_ARRAY))
        return false;
    for (js_iter_init(&it, tools); js_next(&it, &key, &tool);) {
        struct js_value type = js_get(tool, STR("type"));

        if (js_is(type, JS_STRING) && !js_str_eq(type, STR("function")) &&
            !js_str_eq(type, STR("custom")))
            return true;
    }
    return false;
}

unsigned
ask_open(const struct ask *ask)
{
    unsigned open = ask->stored_input ? ASK_OPEN_LINKS : 0;
    struct js_value key, value;
    struct js_iter it;

    if (!proto_has_output(ask->endpoint) || proto_is_media(ask->endpoint) ||
        ask->endpoint == ENDPOINT_COMPLETIONS)
        return open;
    if (proto_of(ask->endpoint) == PROTO_GEMINI)
        return gemini_open(ask, open);
    for (js_iter_init(&it, pick_document(ask->body)); js_next(&it, &key, &value);) {
        if (js_str_eq(key, STR("messages")) || js_str_eq(key, STR("input")) ||
            js_str_eq(key, STR("system")))
            open |= messages_link(value) ? ASK_OPEN_LINKS : 0u;
        else if (js_str_eq(key, STR("tools")))
            open |= tools_hosted(value) ? ASK_OPEN_TOOLS : 0u;
        else if ((js_str_eq(key, STR("web_search_options")) && js_is(value, JS_OBJECT)) ||
                 (js_str_eq(key, STR("mcp_servers")) && js_is(value, JS_ARRAY)))
            open |= ASK_OPEN_TOOLS;
    }
    return open;
}
