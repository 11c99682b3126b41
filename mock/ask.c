/* What a request's body asks for, and whether the real service would refuse it. */
#include "mock/sim.h"

#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The members that count, as found in one walk over the top level. */
struct members {
    struct js_value model, stream, stream_options, messages, input, prompt, system, instructions;
    struct js_value stop, response_format, text, output_config, include, logprobs, top_logprobs;
    struct js_value query, documents, top_n;
    struct js_value tools, tool_choice, n, cap, max_tokens, encoding_format, dimensions, sim;
};

bool
refuse(struct refusal *no, int status, const char *param, const char *fmt, ...)
{
    va_list args;

    no->status = status;
    no->param = param;
    no->code = NULL;
    va_start(args, fmt);
    vsnprintf(no->message, sizeof(no->message), fmt, args);
    va_end(args);
    return false;
}

static void
members_find(struct members *m, struct js_value body)
{
    static const struct {
        const char *name;
        size_t offset;
    } known[] = {
        {"model", offsetof(struct members, model)},
        {"stream", offsetof(struct members, stream)},
        {"stream_options", offsetof(struct members, stream_options)},
        {"messages", offsetof(struct members, messages)},
        {"input", offsetof(struct members, input)},
        {"prompt", offsetof(struct members, prompt)},
        {"system", offsetof(struct members, system)},
        {"instructions", offsetof(struct members, instructions)},
        {"query", offsetof(struct members, query)},
        {"documents", offsetof(struct members, documents)},
        {"top_n", offsetof(struct members, top_n)},
        {"stop", offsetof(struct members, stop)},
        {"stop_sequences", offsetof(struct members, stop)},
        {"response_format", offsetof(struct members, response_format)},
        {"text", offsetof(struct members, text)},
        {"output_config", offsetof(struct members, output_config)},
        {"include", offsetof(struct members, include)},
        {"logprobs", offsetof(struct members, logprobs)},
        {"top_logprobs", offsetof(struct members, top_logprobs)},
        {"tools", offsetof(struct members, tools)},
        {"tool_choice", offsetof(struct members, tool_choice)},
        {"n", offsetof(struct members, n)},
        {"max_completion_tokens", offsetof(struct members, cap)},
        {"max_output_tokens", offsetof(struct members, cap)},
        {"max_tokens", offsetof(struct members, max_tokens)},
        {"encoding_format", offsetof(struct members, encoding_format)},
        {"dimensions", offsetof(struct members, dimensions)},
        {"sim", offsetof(struct members, sim)},
    };
    struct js_iter it;
    struct js_value key, value;

    for (js_iter_init(&it, body); js_next(&it, &key, &value);)
        for (size_t i = 0; i < COUNT_OF(known); i++)
            if (js_str_eq(key, str_from(known[i].name)) && !js_is(value, JS_NULL)) {
                memcpy((char *)m + known[i].offset, &value, sizeof(value));
                break;
            }
}

uint64_t
json_bytes(struct js_value value)
{
    return value.raw.len + (value.type == JS_STRING ? 2 : 0);
}

struct js_value
last_element(struct js_value array)
{
    struct js_value key, value, last = array;
    struct js_iter it;

    for (js_iter_init(&it, array); js_next(&it, &key, &value);)
        last = value;
    return last;
}

/* A tool's name: chat has it inside, the others flat. */
static struct js_value
tool_name(struct js_value tool)
{
    struct js_value name = js_path(tool, "function", "name", NULL);

    if (!js_is(name, JS_STRING))
        name = js_path(tool, "custom", "name", NULL);
    return js_is(name, JS_STRING) ? name : js_get(tool, STR("name"));
}

/* Not one that the service runs by itself, nor a group of them. */
static bool
client_runs(struct js_value tool, enum endpoint ep)
{
    struct js_value type = js_get(tool, STR("type"));

    if (!js_is(type, JS_STRING))
        return true;
    if (ep != EP_MESSAGES)
        return js_str_eq(type, STR("function")) || js_str_eq(type, STR("custom"));
    return !str_starts_with(type.raw, STR("web_")) && !str_contains(type.raw, STR("search")) &&
           !str_starts_with(type.raw, STR("code_execution"));
}

/* The first tool of the list that has that name, or any at all when that is none. */
static struct js_value
tool_find(struct js_value tools, struct js_value name, enum endpoint ep)
{
    struct js_value key, tool;
    struct js_iter it;

    for (js_iter_init(&it, tools); js_next(&it, &key, &tool);) {
        struct js_value own = tool_name(tool);

        if (js_is(own, JS_STRING) && client_runs(tool, ep) &&
            (name.type == JS_NONE || str_eq(own.raw, name.raw)))
            return tool;
    }
    return (struct js_value){0};
}

bool
tool_fault(const struct ask *ask, struct js_value *name)
{
    if (!fault_set(&ask->faults, F_TOOL))
        return false;
    *name = (struct js_value){.type = JS_STRING, .raw = fault_text(&ask->faults, F_TOOL)};
    return true;
}

bool
tool_answered(struct js_value body)
{
    return str_contains(body.raw, STR("\"tool_call_id\":")) ||
           str_contains(body.raw, STR("\"tool_use_id\":")) ||
           str_contains(body.raw, STR("call_output\"")) ||
           str_contains(body.raw, STR("\"functionResponse\":"));
}

/* tool_choice or a fault says so, or the last message has the words "use tool". */
static bool
wants_tool(const struct members *m, enum endpoint ep, struct js_value body, struct ask *ask)
{
    struct js_value choice = m->tool_choice, named = tool_name(choice);
    bool by_fault = !js_is(named, JS_STRING) && tool_fault(ask, &named);
    struct js_value tool = tool_find(m->tools, named, ep);

    if (tool.type == JS_NONE)
        return false;
    ask->tool_name = tool_name(tool).raw;
    ask->tool_custom =
        ep != EP_MESSAGES && js_str_eq(js_get(tool, STR("type")), STR("custom"));
    if (js_str_eq(choice, STR("none")) || js_str_eq(js_get(choice, STR("type")), STR("none")))
        return false;
    if (js_str_eq(choice, STR("required")) || js_str_eq(js_get(choice, STR("type")), STR("any")))
        return true;
    if (by_fault)
        return !tool_answered(body);
    if (js_is(named, JS_STRING))
        return true;
    struct js_value last = last_element(js_is(m->messages, JS_ARRAY) ? m->messages : m->input);
    return str_contains(last.raw, STR("use tool"));
}

static bool
list_has(struct js_value array, struct str word)
{
    struct js_value key, value;
    struct js_iter it;

    for (js_iter_init(&it, array); js_next(&it, &key, &value);)
        if (js_str_eq(value, word))
            return true;
    return false;
}

/* How the answer is to look: where it stops, whether it is JSON, what comes with it. */
static void
shape_read(struct ask *ask, const struct members *m, enum endpoint ep)
{
    struct js_value format = ep == EP_RESPONSES  ? js_path(m->text, "format", "type", NULL)
                             : ep == EP_MESSAGES ? js_path(m->output_config, "format", "type", NULL)
                                                 : js_get(m->response_format, STR("type"));
    uint64_t top;

    ask->json = js_str_eq(format, STR("json_schema")) || js_str_eq(format, STR("json_object"));
    ask->stops = m->stop;
    ask->encrypted = list_has(m->include, STR("reasoning.encrypted_content"));
    ask->logprobs = ep == EP_RESPONSES ? list_has(m->include, STR("message.output_text.logprobs"))
                                       : js_bool(m->logprobs, false);
    if (js_count(m->top_logprobs, 20, &top))
        ask->top_logprobs = (uint32_t)top;
}

/* Of a text: code points, an escape being one. */
static uint32_t
characters_in(struct js_value text)
{
    uint32_t count = 0;

    if (!js_is(text, JS_STRING))
        return 0;
    for (size_t i = 0; i < text.raw.len; i++) {
        if (((unsigned char)text.raw.ptr[i] & 0xc0) == 0x80)
            continue;
        count++;
        if (text.raw.ptr[i] == '\\')
            i += text.raw.ptr[i + 1] == 'u' ? 5 : 1;
    }
    return count;
}

static uint32_t
inputs_count(struct js_value input)
{
    struct js_value key, value;
    struct js_iter it;
    uint32_t count = 0;

    if (!js_is(input, JS_ARRAY))
        return 1;
    for (js_iter_init(&it, input); js_next(&it, &key, &value); count++)
        if (js_is(value, JS_NUMBER))
            return 1; /* one text given as tokens */
    return count;
}

bool
faults_gather(struct ask *ask, struct js_value sim, struct refusal *no)
{
    no->status = 400;
    no->param = "sim";
    no->code = NULL;
    faults_default_take(&ask->faults);
    if (!faults_read_suffix(&ask->faults, ask->model, no->message, sizeof(no->message)))
        return false;
    if (sim.type != JS_NONE &&
        !faults_read_object(&ask->faults, sim, no->message, sizeof(no->message)))
        return false;
    faults_count_times(&ask->faults);
    return true;
}

bool
model_known(const struct ask *ask, struct refusal *no)
{
    if (!str_starts_with(ask->model, STR("no-such")))
        return true;
    refuse(no, 404, "model", "The model does not exist");
    no->code = "model_not_found";
    return false;
}

static bool
count_read(struct js_value value, uint64_t min, uint64_t max, uint64_t *out)
{
    return js_count(value, max, out) && *out >= min;
}

static bool
numbers_read(struct ask *ask, const struct members *m, enum endpoint ep, struct refusal *no)
{
    uint64_t n;

    if (m->n.type != JS_NONE) {
        if (!count_read(m->n, 1, 128, &n))
            return refuse(no, 400, "n", "n must be a count from 1 to 128");
        ask->choices = (uint32_t)n;
    }
    struct js_value cap = m->cap.type != JS_NONE ? m->cap : m->max_tokens;
    if (cap.type != JS_NONE) {
        if (!count_read(cap, 1, 10000000, &n))
            return refuse(no, 400, "max_tokens", "max_tokens must be a count of at least 1");
        ask->output_cap = (int64_t)n;
    } else if (ep == EP_MESSAGES) {
        return refuse(no, 400, "max_tokens", "max_tokens: Field required");
    }
    if (m->dimensions.type != JS_NONE) {
        if (!count_read(m->dimensions, 1, 4096, &n))
            return refuse(no, 400, "dimensions", "dimensions must be a count from 1 to 4096");
        ask->dimensions = (uint32_t)n;
    }
    return true;
}

static bool
stream_read(struct ask *ask, const struct members *m, struct refusal *no)
{
    if (m->stream.type != JS_NONE && m->stream.type != JS_TRUE && m->stream.type != JS_FALSE)
        return refuse(no, 400, "stream", "stream must be a boolean");
    ask->stream = m->stream.type == JS_TRUE;
    if (m->stream_options.type == JS_NONE)
        return true;
    if (!ask->stream)
        return refuse(no, 400, "stream_options",
                      "The 'stream_options' parameter is only allowed when 'stream' is enabled.");
    ask->include_usage = js_bool(js_get(m->stream_options, STR("include_usage")), false);
    return true;
}

/* The member without which there is nothing to answer. */
static struct js_value
subject(const struct members *m, enum endpoint ep, const char **name)
{
    switch (ep) {
    case EP_CHAT:
    case EP_MESSAGES:
    case EP_COUNT_TOKENS:
        *name = "messages";
        return js_is(m->messages, JS_ARRAY) ? m->messages : (struct js_value){0};
    case EP_COMPLETIONS:
    case EP_IMAGES: *name = "prompt"; return m->prompt;
    case EP_RERANK:
        *name = "documents";
        return js_is(m->documents, JS_ARRAY) && js_is(m->query, JS_STRING)
                   ? m->documents
                   : (struct js_value){0};
    case EP_SPEECH:
    case EP_MODERATIONS:
    case EP_EMBEDDINGS:
    case EP_RESPONSES: *name = "input"; return m->input;
    default: break;
    }
    ASSERT(!"an endpoint with a body");
    return (struct js_value){0};
}

bool
ask_read(struct ask *ask, const struct request *req, struct refusal *no)
{
    struct members m = {0};
    struct js_value body;
    struct js_error err = {0};
    const char *name = NULL;

    *ask = (struct ask){.choices = 1, .inputs = 1, .dimensions = 8, .output_cap = -1};
    faults_clear(&ask->faults);
    if (str_starts_with(req->content_type, STR("multipart/form-data")))
        return form_ask(ask, req, no);
    if (!js_check(req->body, &body, &err) || !js_is(body, JS_OBJECT))
        return refuse(no, 400, NULL, "invalid JSON at byte %zu: %s", err.offset,
                      err.what ? err.what : "not an object");
    if (req->gemini)
        return gemini_ask(ask, req, body, no);
    members_find(&m, body);
    if (!js_is(m.model, JS_STRING) || m.model.raw.len == 0)
        return refuse(no, 400, "model", "you must provide a model parameter");
    ask->model = m.model.raw;
    if (ask->model.len > MODEL_MAX)
        return refuse(no, 400, "model", "model name too long");
    if (!faults_gather(ask, m.sim, no))
        return false;
    if (!model_known(ask, no))
        return false;
    if (subject(&m, req->endpoint, &name).type == JS_NONE)
        return refuse(no, 400, name, "%s: Field required", name);
    if (!stream_read(ask, &m, no) || !numbers_read(ask, &m, req->endpoint, no))
        return false;
    if (!strict_check(ask, req->endpoint, body, no))
        return false;
    ask->tool_call = wants_tool(&m, req->endpoint, body, ask);
    shape_read(ask, &m, req->endpoint);
    ask->inputs = inputs_count(m.input);
    ask->base64 = js_str_eq(m.encoding_format, STR("base64"));
    uint64_t bytes = json_bytes(m.messages) + json_bytes(m.input) + json_bytes(m.prompt) +
                     json_bytes(m.system) + json_bytes(m.instructions) + json_bytes(m.tools) +
                     json_bytes(m.query) + json_bytes(m.documents);
    ask->input_tokens = fault_get(&ask->faults, F_INPUT_TOKENS, (uint32_t)((bytes + 3) / 4));
    ask->characters = characters_in(m.input);
    ask->documents = m.documents;
    ask->format = js_is(m.response_format, JS_STRING) ? m.response_format.raw : STR_NONE;
    ask->top_n = UINT32_MAX;
    if (js_count(m.top_n, 100000, &bytes))
        ask->top_n = (uint32_t)bytes;
    return true;
}
