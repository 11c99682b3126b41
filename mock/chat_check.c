/* What OpenAI's chat completions refuse. */
#include "mock/check.h"

#include "base/str.h"

static const char *const foreign[] = {
    "system",           "instructions",      "contents",             "stop_sequences", "thinking",
    "generationConfig", "max_output_tokens", "previous_response_id", "output_config",  NULL,
};

/* Is the part's type one of a message of that role? */
static bool
part_fits(struct js_value type, struct js_value role)
{
    if (js_str_eq(type, STR("text")))
        return true;
    if (js_str_eq(role, STR("user")))
        return js_str_eq(type, STR("image_url")) || js_str_eq(type, STR("input_audio")) ||
               js_str_eq(type, STR("file"));
    return js_str_eq(role, STR("assistant")) && js_str_eq(type, STR("refusal"));
}

static bool
content_check(struct js_value message, uint32_t at, struct refusal *no)
{
    struct js_value role = js_get(message, STR("role"));
    struct js_value content = js_get(message, STR("content")), key, part;
    struct js_iter it;
    bool may_lack = js_get(message, STR("tool_calls")).type != JS_NONE ||
                    js_get(message, STR("function_call")).type != JS_NONE ||
                    js_get(message, STR("audio")).type != JS_NONE ||
                    js_get(message, STR("refusal")).type != JS_NONE;

    if (js_is(content, JS_STRING))
        return true;
    if (!js_is(content, JS_ARRAY)) {
        if (js_str_eq(role, STR("assistant")) && may_lack)
            return true;
        return refuse(no, 400, "messages",
                      "Invalid value for 'content': expected a string, got null. (messages.[%u]."
                      "content)",
                      at);
    }
    for (js_iter_init(&it, content); js_next(&it, &key, &part);) {
        struct js_value type = js_get(part, STR("type"));

        if (!part_fits(type, role))
            return refuse(no, 400, "messages",
                          "Invalid value: '%.*s' in messages[%u].content[%u].type of a message of "
                          "that role.",
                          (int)MIN(type.raw.len, (size_t)40), type.raw.ptr, at, it.index);
    }
    return true;
}

/* Before anything but a result, and at the end: all calls have theirs. */
static bool
answered_check(struct open_calls *calls, struct refusal *no)
{
    struct str missing = open_calls_missing(calls);

    open_calls_clear(calls);
    if (missing.ptr == NULL)
        return true;
    return refuse(no, 400, "messages",
                  "An assistant message with 'tool_calls' must be followed by tool messages "
                  "responding to each 'tool_call_id'. Without: %.*s",
                  (int)MIN(missing.len, (size_t)60), missing.ptr);
}

static bool
calls_read(struct open_calls *calls, struct js_value message, uint32_t at, struct refusal *no)
{
    struct js_value list = js_get(message, STR("tool_calls")), key, call;
    struct js_iter it;

    for (js_iter_init(&it, list); js_next(&it, &key, &call);) {
        struct js_value id = js_get(call, STR("id"));
        struct js_value arguments = js_path(call, "function", "arguments", NULL);

        if (!js_is(id, JS_STRING))
            return refuse(no, 400, "messages",
                          "Missing required parameter: 'messages[%u].tool_calls[%u].id'.", at,
                          it.index);
        if (js_str_eq(js_get(call, STR("type")), STR("function")) && !js_is(arguments, JS_STRING))
            return refuse(no, 400, "messages",
                          "Invalid type for 'messages[%u].tool_calls[%u].function.arguments': "
                          "expected a string.",
                          at, it.index);
        open_calls_add(calls, id.raw);
    }
    return true;
}

static bool
message_check(struct open_calls *calls, struct js_value message, uint32_t at, struct refusal *no)
{
    static const char *const roles[] = {"system",    "developer", "user",
                                        "assistant", "tool",      "function"};
    struct js_value role = js_get(message, STR("role"));
    size_t i = 0;

    while (i < COUNT_OF(roles) && !js_str_eq(role, str_from(roles[i])))
        i++;
    if (i == COUNT_OF(roles))
        return refuse(no, 400, "messages", "Invalid value for 'messages[%u].role'.", at);
    if (!content_check(message, at, no))
        return false;
    if (js_str_eq(role, STR("tool"))) {
        if (open_calls_answer(calls, js_get(message, STR("tool_call_id")).raw))
            return true;
        return refuse(no, 400, "messages",
                      "Invalid parameter: messages with role 'tool' must be a response to a "
                      "preceding message with 'tool_calls'. (messages[%u])",
                      at);
    }
    return answered_check(calls, no) && calls_read(calls, message, at, no);
}

static bool
tools_check(struct js_value body, struct refusal *no)
{
    struct js_value tools = js_get(body, STR("tools")), key, tool;
    struct js_value choice = js_get(body, STR("tool_choice"));
    struct js_iter it;

    for (js_iter_init(&it, tools); js_next(&it, &key, &tool);) {
        struct js_value type = js_get(tool, STR("type"));
        struct js_value name = js_is(type, JS_STRING)
                                   ? js_get(js_get(tool, type.raw), STR("name"))
                                   : (struct js_value){0};

        if (!name_good(name, 64))
            return refuse(no, 400, "tools",
                          "Invalid 'tools[%u].function.name': expected a string that matches the "
                          "pattern '^[a-zA-Z0-9_-]+$'.",
                          it.index);
    }
    if (js_is(tools, JS_ARRAY))
        return true;
    if ((choice.type == JS_STRING || choice.type == JS_OBJECT) && !js_str_eq(choice, STR("none")))
        return refuse(no, 400, "tool_choice",
                      "Invalid value for 'tool_choice': 'tool_choice' is only allowed when "
                      "'tools' are specified.");
    if (js_get(body, STR("parallel_tool_calls")).type >= JS_FALSE)
        return refuse(no, 400, "parallel_tool_calls",
                      "Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is only "
                      "allowed when 'tools' are specified.");
    return true;
}

bool
chat_check(struct js_value body, struct refusal *no)
{
    struct js_value format = js_get(body, STR("response_format")), key, value;
    static struct open_calls calls; /* large; one request at a time */
    struct js_iter it;
    uint32_t stops = 0;

    open_calls_clear(&calls);
    if (!foreign_check(body, foreign, "Unrecognized request argument supplied: %.*s", no))
        return false;
    for (js_iter_init(&it, js_get(body, STR("stop"))); js_next(&it, &key, &value);)
        if (++stops > 4)
            return refuse(no, 400, "stop",
                          "Invalid 'stop': array too long. Expected an array with maximum length "
                          "4.");
    if (number_above(js_get(body, STR("temperature")), 2))
        return refuse(no, 400, "temperature", "Invalid 'temperature': expected a value <= 2.");
    if (js_str_eq(js_get(format, STR("type")), STR("json_schema")) &&
        !name_good(js_path(format, "json_schema", "name", NULL), 64))
        return refuse(no, 400, "response_format",
                      "Missing required parameter: 'response_format.json_schema.name'.");
    if (!tools_check(body, no))
        return false;
    for (js_iter_init(&it, js_get(body, STR("messages"))); js_next(&it, &key, &value);)
        if (!message_check(&calls, value, it.index, no))
            return false;
    return answered_check(&calls, no);
}
