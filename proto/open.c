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

/* What holds an address or the name of a file: a part of a message, or its "file", "source" … */
static bool
object_links(struct js_value object)
{
    return is_link(js_get(object, STR("url"))) || is_link(js_get(object, STR("file_url"))) ||
           is_link(js_get(object, STR("file_id"))) || is_link(js_get(object, STR("file_uri")));
}

static bool
part_links(struct js_value part)
{
    struct js_value image;

    if (!js_is(part, JS_OBJECT))
        return false;
    image = js_get(part, STR("image_url"));
    return is_link(image) || object_links(image) || object_links(part) ||
           object_links(js_get(part, STR("file"))) || object_links(js_get(part, STR("source"))) ||
           js_str_eq(js_get(part, STR("type")), STR("item_reference"));
}

/* The parts of a message, and those of a tool's result among them. */
static bool
parts_link(struct js_value parts)
{
    struct js_value key, part, inner;
    struct js_iter it, inner_it;

    if (!js_is(parts, JS_ARRAY))
        return false;
    for (js_iter_init(&it, parts); js_next(&it, &key, &part);) {
        struct js_value content;

        if (!js_is(part, JS_OBJECT))
            continue;
        if (part_links(part))
            return true;
        content = js_get(part, STR("content"));
        if (!js_is(content, JS_ARRAY))
            continue;
        for (js_iter_init(&inner_it, content); js_next(&inner_it, &key, &inner);)
            if (part_links(inner))
                return true;
    }
    return false;
}

static bool
messages_link(struct js_value messages)
{
    struct js_value key, message;
    struct js_iter it;

    if (!js_is(messages, JS_ARRAY))
        return false;
    for (js_iter_init(&it, messages); js_next(&it, &key, &message);)
        if (js_is(message, JS_OBJECT) &&
            (part_links(message) || parts_link(js_get(message, STR("content"))) ||
             parts_link(js_get(message, STR("output")))))
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
