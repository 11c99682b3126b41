/* What a request of Gemini's asks for. Names come in camelCase or with underscores, as protobuf has
 * it; the model stands in the path, percent-encoded. */
#include "mock/sim.h"

#include "base/str.h"

#include <string.h>

bool
gemini_named(struct str given, const char *camel)
{
    size_t i = 0;

    for (; *camel != '\0'; camel++, i++) {
        if (i == given.len)
            return false;
        if (*camel >= 'A' && *camel <= 'Z' && given.ptr[i] == '_') {
            if (++i == given.len || given.ptr[i] != (*camel | 32))
                return false;
        } else if (given.ptr[i] != *camel) {
            return false;
        }
    }
    return i == given.len;
}

struct js_value
gemini_get(struct js_value object, const char *camel)
{
    struct js_value key, value, found = {0};
    struct js_iter it;

    if (!js_is(object, JS_OBJECT))
        return found;
    for (js_iter_init(&it, object); js_next(&it, &key, &value);)
        if (!js_is(value, JS_NULL) && gemini_named(key.raw, camel))
            found = value;
    return found;
}

/* Decoded into room that lasts until the next request; STR_NONE: it cannot be a name. */
static struct str
model_decode(struct str in)
{
    static char text[MODEL_MAX + 1];
    size_t len = 0;

    for (size_t i = 0; i < in.len && len < sizeof(text); i++) {
        uint8_t c = (uint8_t)in.ptr[i];

        if (c == '%') {
            if (in.len - i < 3 || !str_unhex((struct str){in.ptr + i + 1, 2}, &c, 1))
                return STR_NONE;
            i += 2;
        }
        if (c < ' ' || c == '"' || c == '\\' || c == 0x7f)
            return STR_NONE;
        text[len++] = (char)c;
    }
    return len > 0 && len <= MODEL_MAX ? (struct str){text, len} : STR_NONE;
}

/* ---- generateContent ---- */

static struct js_value
first_of(struct js_value array)
{
    struct js_value key, value = {0};
    struct js_iter it;

    js_iter_init(&it, array);
    return js_next(&it, &key, &value) ? value : (struct js_value){0};
}

/* The name of the first function that is declared, in whichever of the tools; or this one, if it is. */
static struct js_value
function_find(struct js_value tools, struct js_value named)
{
    struct js_value key, tool, function;
    struct js_iter it, inner;

    for (js_iter_init(&it, tools); js_next(&it, &key, &tool);) {
        js_iter_init(&inner, gemini_get(tool, "functionDeclarations"));
        while (js_next(&inner, &key, &function)) {
            struct js_value name = gemini_get(function, "name");

            if (named.type == JS_NONE || str_eq(name.raw, named.raw))
                return name;
        }
    }
    return (struct js_value){0};
}

static bool
wants_tool(struct ask *ask, struct js_value body)
{
    struct js_value named = {0};
    bool by_fault = tool_fault(ask, &named);
    struct js_value name = function_find(gemini_get(body, "tools"), named);
    struct js_value config = gemini_get(gemini_get(body, "toolConfig"), "functionCallingConfig");
    struct js_value mode = gemini_get(config, "mode");
    struct js_value allowed = first_of(gemini_get(config, "allowedFunctionNames"));

    if (!js_is(name, JS_STRING) || js_str_eq(mode, STR("NONE")))
        return false;
    ask->tool_name = js_is(allowed, JS_STRING) ? allowed.raw : name.raw;
    if (js_str_eq(mode, STR("ANY")))
        return true;
    if (by_fault)
        return !tool_answered(body);
    return str_contains(last_element(gemini_get(body, "contents")).raw, STR("use tool"));
}

static bool
config_read(struct ask *ask, struct js_value config, struct refusal *no)
{
    struct js_value cap = gemini_get(config, "maxOutputTokens");
    struct js_value n = gemini_get(config, "candidateCount");
    uint64_t count;

    if (cap.type != JS_NONE) {
        if (!js_count(cap, 10000000, &count) || count == 0)
            return refuse(no, 400, NULL, "Unable to submit request: maxOutputTokens must be "
                                         "a count of at least 1.");
        ask->output_cap = (int64_t)count;
    }
    ask->stops = gemini_get(config, "stopSequences");
    ask->json = js_str_eq(gemini_get(config, "responseMimeType"), STR("application/json"));
    ask->logprobs = js_bool(gemini_get(config, "responseLogprobs"), false);
    if (js_count(gemini_get(config, "logprobs"), 20, &count))
        ask->top_logprobs = (uint32_t)count;
    if (n.type != JS_NONE) {
        if (!js_count(n, 8, &count) || count == 0)
            return refuse(no, 400, NULL, "Only 1 to 8 candidates can be asked for.");
        ask->choices = (uint32_t)count;
    }
    return true;
}

static uint64_t
tokens_in(struct js_value body)
{
    return json_bytes(gemini_get(body, "contents")) +
           json_bytes(gemini_get(body, "systemInstruction")) +
           json_bytes(gemini_get(body, "tools"));
}

/* ---- embeddings ---- */

static bool
dimensions_read(struct ask *ask, struct js_value request, struct refusal *no)
{
    struct js_value n = gemini_get(request, "outputDimensionality");
    uint64_t count;

    if (n.type == JS_NONE)
        return true;
    if (!js_count(n, 4096, &count) || count == 0)
        return refuse(no, 400, NULL, "outputDimensionality must be a count from 1 to 4096");
    ask->dimensions = (uint32_t)count;
    return true;
}

static bool
embeds_read(struct ask *ask, struct js_value requests, uint64_t *bytes, struct refusal *no)
{
    struct js_value key, request;
    struct js_iter it;

    if (!js_is(requests, JS_ARRAY) || first_of(requests).type == JS_NONE)
        return refuse(no, 400, NULL, "* BatchEmbedContentsRequest.requests: requests is not "
                                     "specified");
    ask->inputs = 0;
    for (js_iter_init(&it, requests); js_next(&it, &key, &request); ask->inputs++) {
        struct js_value content = gemini_get(request, "content");

        if (!js_is(content, JS_OBJECT))
            return refuse(no, 400, NULL, "* BatchEmbedContentsRequest.requests[%u].content: "
                                         "content is not specified", ask->inputs);
        if (!js_is(gemini_get(request, "model"), JS_STRING))
            return refuse(no, 400, NULL, "* BatchEmbedContentsRequest.requests[%u].model: model "
                                         "is not specified", ask->inputs);
        if (!dimensions_read(ask, request, no))
            return false;
        *bytes += json_bytes(content);
    }
    return true;
}

static bool
embed_read(struct ask *ask, struct js_value body, uint64_t *bytes, struct refusal *no)
{
    struct js_value content = gemini_get(body, "content");

    if (!js_is(content, JS_OBJECT))
        return refuse(no, 400, NULL, "* EmbedContentRequest.content: content is not specified");
    *bytes = json_bytes(content);
    return dimensions_read(ask, body, no);
}

/* ---- which ---- */

bool
gemini_ask(struct ask *ask, const struct request *req, struct js_value body, struct refusal *no)
{
    uint64_t bytes = 0;

    ask->model = model_decode(req->model);
    if (ask->model.len == 0)
        return refuse(no, 400, NULL,
                      "* GenerateContentRequest.model: unexpected model name format");
    ask->stream = req->streams;
    if (!faults_gather(ask, js_get(body, STR("sim")), no))
        return false;
    if (!model_known(ask, no))
        return refuse(no, 404, NULL, "models/%.*s is not found for API version v1beta, or is not "
                                     "supported for this method.", STR_ARGS(ask->model));
    if (!gemini_check(ask, req->endpoint, body, no))
        return false;
    if (req->endpoint == EP_GEMINI_EMBED) {
        if (!embed_read(ask, body, &bytes, no))
            return false;
    } else if (req->endpoint == EP_GEMINI_EMBEDS) {
        if (!embeds_read(ask, gemini_get(body, "requests"), &bytes, no))
            return false;
    } else {
        struct js_value inner = gemini_get(body, "generateContentRequest");

        if (req->endpoint == EP_GEMINI_COUNT && inner.type != JS_NONE)
            body = inner;
        if (!config_read(ask, gemini_get(body, "generationConfig"), no))
            return false;
        ask->tool_call = wants_tool(ask, body);
        bytes = tokens_in(body);
    }
    ask->input_tokens = fault_get(&ask->faults, F_INPUT_TOKENS, (uint32_t)((bytes + 3) / 4));
    return true;
}
