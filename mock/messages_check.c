/* What Anthropic's messages refuse. Neighbouring messages of one role are one turn, as there. */
#include "mock/check.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

static const char *const foreign[] = {
    "n",        "stop",         "max_completion_tokens", "max_output_tokens",    "response_format",
    "seed",     "logit_bias",   "frequency_penalty",     "presence_penalty",     "reasoning_effort",
    "logprobs", "top_logprobs", "parallel_tool_calls",   "stream_options",       "instructions",
    "user",     "contents",     "generationConfig",      "previous_response_id", NULL,
};

struct turns {
    struct open_calls calls; /* of the assistant's turn before, or of the one going on */
    bool assistant;          /* the turn going on is the assistant's */
    bool results_over;       /* a user's turn had something else than results */
    bool thinks;             /* the turn going on began with thinking */
    uint32_t begun;          /* blocks of the turn going on */
    uint32_t marks;          /* cache_control */
    uint32_t at;             /* the message */
};

static bool
text_check(struct js_value block, const char *where, struct refusal *no)
{
    struct js_value text = js_get(block, STR("text"));

    if (js_is(text, JS_STRING) && text.raw.len > 0)
        return true;
    return refuse(no, 400, NULL, "%s: text content blocks must be non-empty", where);
}

static bool
id_check(struct js_value id, const char *where, struct refusal *no)
{
    if (name_good(id, 256))
        return true;
    return refuse(no, 400, NULL, "%s: String should match pattern '^[a-zA-Z0-9_-]+$'", where);
}

static bool
signature_check(struct js_value block, const char *where, struct refusal *no)
{
    struct js_value text = js_get(block, STR("thinking"));
    struct js_value signature = js_get(block, STR("signature"));
    char own[48];

    snprintf(own, sizeof(own), "sig-anthropic-%016llx", (unsigned long long)text_mark(text.raw));
    if (js_str_eq(signature, str_from(own)))
        return true;
    return refuse(no, 400, NULL, "%s: Invalid `signature` in `thinking` block", where);
}

static bool
assistant_block_check(struct turns *t, struct js_value block, const char *where,
                      struct refusal *no)
{
    struct js_value type = js_get(block, STR("type"));
    bool thinking = js_str_eq(type, STR("thinking"));
    bool redacted = js_str_eq(type, STR("redacted_thinking"));

    if (t->begun++ == 0)
        t->thinks = thinking || redacted;
    if (thinking)
        return signature_check(block, where, no);
    if (redacted) {
        struct js_value data = js_get(block, STR("data"));

        if (js_is(data, JS_STRING) && str_starts_with(data.raw, STR("red-anthropic-")))
            return true;
        return refuse(no, 400, NULL, "%s: Invalid `data` in `redacted_thinking` block", where);
    }
    if (js_str_eq(type, STR("tool_result")) || js_str_eq(type, STR("image")))
        return refuse(no, 400, NULL, "%s: `%.*s` blocks are not allowed in assistant messages",
                      where, STR_ARGS(type.raw));
    if (!js_str_eq(type, STR("tool_use")))
        return true;
    if (!id_check(js_get(block, STR("id")), where, no))
        return false;
    if (!name_good(js_get(block, STR("name")), 200))
        return refuse(no, 400, NULL, "%s.tool_use.name: String should match pattern "
                                     "'^[a-zA-Z0-9_-]{1,200}$'", where);
    if (!js_is(js_get(block, STR("input")), JS_OBJECT))
        return refuse(no, 400, NULL, "%s.tool_use.input: Input should be a valid dictionary",
                      where);
    open_calls_add(&t->calls, js_get(block, STR("id")).raw);
    return true;
}

static bool
user_block_check(struct turns *t, struct js_value block, const char *where, struct refusal *no)
{
    struct js_value type = js_get(block, STR("type")), id = js_get(block, STR("tool_use_id"));

    if (js_str_eq(type, STR("thinking")) || js_str_eq(type, STR("redacted_thinking")) ||
        js_str_eq(type, STR("tool_use")))
        return refuse(no, 400, NULL, "%s: `%.*s` blocks are not allowed in user messages", where,
                      STR_ARGS(type.raw));
    if (!js_str_eq(type, STR("tool_result"))) {
        t->results_over = true;
        return true;
    }
    if (!id_check(id, where, no))
        return false;
    if (!t->results_over && open_calls_answer(&t->calls, id.raw))
        return true;
    return refuse(no, 400, NULL,
                  "%s: unexpected `tool_use_id` found in `tool_result` blocks: %.*s. Each "
                  "`tool_result` block must have a corresponding `tool_use` block in the previous "
                  "message.",
                  where, (int)MIN(id.raw.len, (size_t)40), id.raw.ptr);
}

/* A turn begins that is not the one going on; or the messages have ended. */
static bool
turn_end(struct turns *t, bool assistant, struct refusal *no)
{
    struct str missing = t->assistant ? STR_NONE : open_calls_missing(&t->calls);

    if (missing.ptr != NULL)
        return refuse(no, 400, NULL,
                      "messages.%u: `tool_use` ids were found without `tool_result` blocks "
                      "immediately after: %.*s.",
                      t->at, (int)MIN(missing.len, (size_t)60), missing.ptr);
    if (!t->assistant)
        open_calls_clear(&t->calls);
    t->assistant = assistant;
    t->results_over = false;
    t->begun = 0;
    t->thinks = false;
    return true;
}

static bool
blocks_check(struct turns *t, struct js_value content, struct refusal *no)
{
    struct js_value key, block;
    struct js_iter it;
    char where[48];

    for (js_iter_init(&it, content); js_next(&it, &key, &block);) {
        snprintf(where, sizeof(where), "messages.%u.content.%u", t->at, it.index);
        if (!js_is(js_get(block, STR("type")), JS_STRING))
            return refuse(no, 400, NULL, "%s.type: Field required", where);
        if (js_str_eq(js_get(block, STR("type")), STR("text")) &&
            !text_check(block, "messages", no))
            return false;
        t->marks += js_is(js_get(block, STR("cache_control")), JS_OBJECT);
        if (t->assistant ? !assistant_block_check(t, block, where, no)
                         : !user_block_check(t, block, where, no))
            return false;
    }
    return true;
}

static bool
message_check(struct turns *t, struct js_value message, bool last, struct refusal *no)
{
    struct js_value role = js_get(message, STR("role"));
    struct js_value content = js_get(message, STR("content"));
    bool assistant = js_str_eq(role, STR("assistant"));

    if (js_str_eq(role, STR("system")))
        return true;
    if (!assistant && !js_str_eq(role, STR("user")))
        return refuse(no, 400, NULL, "messages.%u.role: Input should be 'user' or 'assistant'",
                      t->at);
    if (t->at == 0 && assistant)
        return refuse(no, 400, NULL, "messages: first message must use the \"user\" role");
    if (assistant != t->assistant && !turn_end(t, assistant, no))
        return false;
    if (js_is(content, JS_ARRAY))
        return blocks_check(t, content, no);
    t->results_over = true;
    if (js_is(content, JS_STRING) && (content.raw.len > 0 || (last && assistant)))
        return true;
    return refuse(no, 400, NULL, "messages.%u: all messages must have non-empty content", t->at);
}

static bool
history_check(struct turns *t, struct js_value body, struct refusal *no)
{
    struct js_value messages = js_get(body, STR("messages")), key, message;
    struct js_iter it;
    bool thinks_last = true; /* did the last turn with calls begin with thinking? */

    for (js_iter_init(&it, messages); js_next(&it, &key, &message);) {
        struct js_iter peek = it;
        struct js_value k, v;

        t->at = it.index;
        if (!message_check(t, message, !js_next(&peek, &k, &v), no))
            return false;
        if (t->assistant && t->calls.count > 0)
            thinks_last = t->thinks;
    }
    if (t->assistant && open_calls_missing(&t->calls).ptr != NULL)
        t->assistant = false; /* nothing came after them */
    bool in_loop = t->calls.count > 0;
    if (!turn_end(t, true, no))
        return false;
    if (in_loop && !thinks_last &&
        js_str_eq(js_path(body, "thinking", "type", NULL), STR("enabled")))
        return refuse(no, 400, NULL,
                      "messages: Expected `thinking` or `redacted_thinking`, but found `tool_use`. "
                      "When `thinking` is enabled, a final `assistant` message must start with a "
                      "thinking block.");
    return true;
}

static bool
thinking_check(enum endpoint ep, struct js_value body, struct refusal *no)
{
    struct js_value thinking = js_get(body, STR("thinking"));
    struct js_value temperature = js_get(body, STR("temperature"));
    struct js_value choice = js_path(body, "tool_choice", "type", NULL);
    uint64_t budget, cap;

    if (!js_str_eq(js_get(thinking, STR("type")), STR("enabled")))
        return true;
    if (!js_count(js_get(thinking, STR("budget_tokens")), UINT32_MAX, &budget) || budget < 1024)
        return refuse(no, 400, NULL, "thinking.enabled.budget_tokens: Input should be greater "
                                     "than or equal to 1024");
    if (ep == EP_MESSAGES && js_count(js_get(body, STR("max_tokens")), UINT32_MAX, &cap) &&
        cap <= budget)
        return refuse(no, 400, NULL, "`max_tokens` must be greater than `thinking.budget_tokens`.");
    if (js_is(temperature, JS_NUMBER) && !str_eq(temperature.raw, STR("1")) &&
        !str_eq(temperature.raw, STR("1.0")))
        return refuse(no, 400, NULL, "`temperature` may only be set to 1 when thinking is "
                                     "enabled.");
    if (js_str_eq(choice, STR("any")) || js_str_eq(choice, STR("tool")))
        return refuse(no, 400, NULL, "Thinking may not be enabled when tool_choice forces tool "
                                     "use.");
    return true;
}

static bool
tools_check(struct turns *t, struct js_value body, struct refusal *no)
{
    struct js_value tools = js_get(body, STR("tools")), key, tool;
    struct js_iter it;
    uint32_t count = 0;

    for (js_iter_init(&it, tools); js_next(&it, &key, &tool); count++) {
        struct js_value type = js_get(tool, STR("type"));
        struct js_value schema = js_get(tool, STR("input_schema"));

        t->marks += js_is(js_get(tool, STR("cache_control")), JS_OBJECT);
        if (js_is(type, JS_STRING) && !js_str_eq(type, STR("custom")))
            continue;
        if (!name_good(js_get(tool, STR("name")), 128))
            return refuse(no, 400, NULL, "tools.%u.custom.name: String should match pattern "
                                         "'^[a-zA-Z0-9_-]{1,128}$'", it.index);
        if (!js_str_eq(js_get(schema, STR("type")), STR("object")))
            return refuse(no, 400, NULL, "tools.%u.custom.input_schema.type: Field required",
                          it.index);
    }
    if (count == 0 && js_is(js_get(body, STR("tool_choice")), JS_OBJECT) &&
        !js_str_eq(js_path(body, "tool_choice", "type", NULL), STR("none")))
        return refuse(no, 400, NULL, "tool_choice: `tool_choice` may only be specified while "
                                     "providing `tools`.");
    return true;
}

static bool
system_check(struct turns *t, struct js_value system, struct refusal *no)
{
    struct js_value key, block;
    struct js_iter it;

    for (js_iter_init(&it, system); js_next(&it, &key, &block);) {
        t->marks += js_is(js_get(block, STR("cache_control")), JS_OBJECT);
        if (!text_check(block, "system", no))
            return false;
    }
    return true;
}

static bool
stops_check(struct js_value stops, struct refusal *no)
{
    struct js_value key, stop;
    struct js_iter it;

    for (js_iter_init(&it, stops); js_next(&it, &key, &stop);)
        if (str_trim(stop.raw).len == 0 || str_eq(stop.raw, STR("\\n")) ||
            str_eq(stop.raw, STR("\\n\\n")))
            return refuse(no, 400, NULL, "stop_sequences: each stop sequence must contain "
                                         "non-whitespace");
    return true;
}

bool
messages_check(enum endpoint ep, struct js_value body, struct refusal *no)
{
    static struct turns t; /* large; one request at a time */

    open_calls_clear(&t.calls);
    t.assistant = t.results_over = t.thinks = false;
    t.begun = t.marks = t.at = 0;
    if (!foreign_check(body, foreign, "%.*s: Extra inputs are not permitted", no))
        return false;
    if (number_above(js_get(body, STR("temperature")), 1))
        return refuse(no, 400, NULL, "temperature: range: 0..1");
    if (!system_check(&t, js_get(body, STR("system")), no) || !tools_check(&t, body, no) ||
        !stops_check(js_get(body, STR("stop_sequences")), no) ||
        !thinking_check(ep, body, no) || !history_check(&t, body, no))
        return false;
    if (t.marks > 4)
        return refuse(no, 400, NULL, "A maximum of 4 blocks with cache_control may be provided. "
                                     "Found %u.", t.marks);
    return true;
}
