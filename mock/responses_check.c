/* What OpenAI's Responses refuse. */
#include "mock/check.h"

#include "base/str.h"

static const char *const foreign[] = {
    "max_tokens",       "max_completion_tokens", "stop",             "n",
    "seed",             "frequency_penalty",     "presence_penalty", "logit_bias",
    "response_format",  "reasoning_effort",      "stop_sequences",   "system",
    "generationConfig", "logprobs",              "contents",         "thinking",
    NULL,
};

static bool
part_check(struct js_value part, bool assistant, uint32_t at, uint32_t index, struct refusal *no)
{
    struct js_value type = js_get(part, STR("type"));
    bool own = js_str_eq(type, STR("output_text")) || js_str_eq(type, STR("refusal"));
    bool given = js_str_eq(type, STR("input_text")) || js_str_eq(type, STR("input_image")) ||
                 js_str_eq(type, STR("input_file")) || js_str_eq(type, STR("input_audio"));

    if (assistant ? own : given)
        return true;
    return refuse(no, 400, "input",
                  "Invalid value: '%.*s'. Supported values are: %s. (input[%u].content[%u])",
                  (int)MIN(type.raw.len, (size_t)40), type.raw.ptr,
                  assistant ? "'output_text' and 'refusal'"
                            : "'input_text', 'input_image', and 'input_file'",
                  at, index);
}

static bool
message_check(struct js_value item, uint32_t at, struct refusal *no)
{
    struct js_value role = js_get(item, STR("role"));
    struct js_value content = js_get(item, STR("content")), key, part;
    bool assistant = js_str_eq(role, STR("assistant"));
    struct js_iter it;

    if (!assistant && !js_str_eq(role, STR("user")) && !js_str_eq(role, STR("system")) &&
        !js_str_eq(role, STR("developer")))
        return refuse(no, 400, "input", "Invalid value for 'input[%u].role'.", at);
    if (js_is(content, JS_STRING))
        return true;
    if (!js_is(content, JS_ARRAY))
        return refuse(no, 400, "input", "Invalid type for 'input[%u].content'.", at);
    for (js_iter_init(&it, content); js_next(&it, &key, &part);)
        if (!part_check(part, assistant, at, it.index, no))
            return false;
    return true;
}

/* An item's own id tells its kind; a call's id does not. */
static bool
id_check(struct js_value item, const char *prefix, uint32_t at, struct refusal *no)
{
    struct js_value id = js_get(item, STR("id"));

    if (!js_is(id, JS_STRING) || str_starts_with(id.raw, str_from(prefix)))
        return true;
    return refuse(no, 400, "input",
                  "Invalid 'input[%u].id': '%.*s'. Expected an ID that begins with '%s'.", at,
                  (int)MIN(id.raw.len, (size_t)40), id.raw.ptr, prefix);
}

static bool
call_check(struct open_calls *calls, struct js_value item, bool custom, uint32_t at,
           struct refusal *no)
{
    struct js_value id = js_get(item, STR("call_id"));
    struct js_value text = js_get(item, custom ? STR("input") : STR("arguments"));

    if (!js_is(id, JS_STRING) || id.raw.len == 0 || id.raw.len > 64)
        return refuse(no, 400, "input",
                      "Invalid 'input[%u].call_id': expected a string of 1 to 64 characters.", at);
    if (!js_is(text, JS_STRING) || !name_good(js_get(item, STR("name")), 128))
        return refuse(no, 400, "input", "Invalid type for 'input[%u]': a call has a name and %s.",
                      at, custom ? "input" : "arguments");
    open_calls_add(calls, id.raw);
    return id_check(item, custom ? "ctc" : "fc", at, no);
}

static bool
result_check(struct open_calls *calls, struct js_value item, bool stored, struct refusal *no)
{
    struct js_value id = js_get(item, STR("call_id")), output = js_get(item, STR("output"));

    if (!js_is(output, JS_STRING) && !js_is(output, JS_ARRAY))
        return refuse(no, 400, "input", "Missing required parameter: 'output'.");
    if (js_is(id, JS_STRING) && (open_calls_answer(calls, id.raw) || stored))
        return true;
    return refuse(no, 400, "input",
                  "No tool call found for function call output with call_id %.*s.",
                  (int)MIN(id.raw.len, (size_t)64), id.raw.ptr);
}

static bool
reasoning_check(struct js_value item, uint32_t at, struct refusal *no)
{
    struct js_value secret = js_get(item, STR("encrypted_content"));

    if (!js_is(js_get(item, STR("summary")), JS_ARRAY))
        return refuse(no, 400, "input", "Missing required parameter: 'input[%u].summary'.", at);
    if (js_is(secret, JS_STRING) && !str_starts_with(secret.raw, STR("enc-"))) {
        refuse(no, 400, "input",
               "The encrypted content of input[%u] could not be verified. Reason: Encrypted "
               "content could not be decrypted or parsed.",
               at);
        no->code = "invalid_encrypted_content";
        return false;
    }
    return id_check(item, "rs", at, no);
}

static bool
item_check(struct open_calls *calls, struct js_value item, bool stored, uint32_t at,
           struct refusal *no)
{
    struct js_value type = js_get(item, STR("type"));

    if (!js_is(item, JS_OBJECT))
        return refuse(no, 400, "input", "Invalid type for 'input[%u]'.", at);
    if (!js_is(type, JS_STRING) || js_str_eq(type, STR("message")))
        return message_check(item, at, no) && id_check(item, "msg", at, no);
    if (js_str_eq(type, STR("function_call")))
        return call_check(calls, item, false, at, no);
    if (js_str_eq(type, STR("custom_tool_call")))
        return call_check(calls, item, true, at, no);
    if (js_str_eq(type, STR("function_call_output")) ||
        js_str_eq(type, STR("custom_tool_call_output")))
        return result_check(calls, item, stored, no);
    if (js_str_eq(type, STR("reasoning")))
        return reasoning_check(item, at, no);
    return true;
}

static bool
items_check(struct js_value body, struct refusal *no)
{
    static struct open_calls calls; /* large; one request at a time */
    bool stored = js_is(js_get(body, STR("previous_response_id")), JS_STRING) ||
                  js_get(body, STR("conversation")).type > JS_NULL;
    struct js_value key, item;
    struct js_iter it;

    open_calls_clear(&calls);
    for (js_iter_init(&it, js_get(body, STR("input"))); js_next(&it, &key, &item);)
        if (!item_check(&calls, item, stored, it.index, no))
            return false;
    struct str missing = open_calls_missing(&calls);
    if (missing.ptr == NULL)
        return true;
    return refuse(no, 400, "input", "No tool output found for function call %.*s.",
                  (int)MIN(missing.len, (size_t)64), missing.ptr);
}

static bool
tools_check(struct js_value tools, struct refusal *no)
{
    struct js_value key, tool;
    struct js_iter it;

    for (js_iter_init(&it, tools); js_next(&it, &key, &tool);) {
        struct js_value type = js_get(tool, STR("type"));

        if (!js_is(type, JS_STRING))
            return refuse(no, 400, "tools", "Missing required parameter: 'tools[%u].type'.",
                          it.index);
        if ((js_str_eq(type, STR("function")) || js_str_eq(type, STR("custom"))) &&
            !name_good(js_get(tool, STR("name")), 128))
            return refuse(no, 400, "tools", "Missing required parameter: 'tools[%u].name'.",
                          it.index);
    }
    return true;
}

bool
responses_check(struct js_value body, struct refusal *no)
{
    struct js_value cap = js_get(body, STR("max_output_tokens"));
    struct js_value format = js_path(body, "text", "format", NULL);
    uint64_t n;

    if (!foreign_check(body, foreign, "Unknown parameter: '%.*s'.", no)) {
        no->code = "unknown_parameter";
        return false;
    }
    if (js_is(cap, JS_NUMBER) && js_count(cap, UINT32_MAX, &n) && n < 16) {
        refuse(no, 400, "max_output_tokens",
               "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, "
               "but got %u instead.",
               (unsigned)n);
        no->code = "integer_below_min_value";
        return false;
    }
    if (number_above(js_get(body, STR("temperature")), 2))
        return refuse(no, 400, "temperature", "Invalid 'temperature': expected a value <= 2.");
    if (js_is(js_get(format, STR("schema")), JS_OBJECT) &&
        !name_good(js_get(format, STR("name")), 64))
        return refuse(no, 400, "text.format.name",
                      "Missing required parameter: 'text.format.name'.");
    return tools_check(js_get(body, STR("tools")), no) && items_check(body, no);
}
