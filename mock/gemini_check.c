/*
 * What Gemini's service refuses: it reads JSON as protobuf, so a name that it does not know is an
 * error wherever it stands, and it minds the order of calls and their answers.
 */
#include "mock/sim.h"

#include "base/str.h"

#include <string.h>

static const char *const generate_names[] = {
    "contents",          "systemInstruction", "tools",  "toolConfig",  "generationConfig",
    "safetySettings",    "cachedContent",     "labels", "serviceTier", "store",
    "model",             "sim",               NULL,
};
static const char *const count_names[] = {"contents", "generateContentRequest", "sim", NULL};
static const char *const embed_names[] = {
    "model", "content", "taskType", "title", "outputDimensionality", "sim", NULL,
};
static const char *const embeds_names[] = {"requests", "sim", NULL};
static const char *const config_names[] = {
    "temperature",        "topP",               "topK",           "candidateCount",
    "maxOutputTokens",    "stopSequences",      "seed",           "presencePenalty",
    "frequencyPenalty",   "responseLogprobs",   "logprobs",       "responseMimeType",
    "responseSchema",     "responseJsonSchema", "thinkingConfig", "responseModalities",
    "mediaResolution",    "speechConfig",       "imageConfig",    "enableEnhancedCivicAnswers",
    "audioTimestamp",     "routingConfig",      NULL,
};
static const char *const tool_names[] = {
    "functionDeclarations", "googleSearch", "googleSearchRetrieval", "codeExecution",
    "urlContext",           "googleMaps",   "fileSearch",            "computerUse",
    NULL,
};
static const char *const function_names[] = {
    "name", "description", "parameters", "parametersJsonSchema", "response", "responseJsonSchema",
    "behavior", NULL,
};
static const char *const content_names[] = {"parts", "role", NULL};
static const char *const data_names[] = {
    "text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode",
    "codeExecutionResult", NULL,
};
static const char *const part_names[] = {
    "thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata", NULL,
};
static const char *const schema_names[] = {
    "type",      "format",    "title",   "description",   "nullable",      "enum",
    "maxItems",  "minItems",  "items",   "properties",    "required",      "minProperties",
    "maxLength", "minLength", "pattern", "maxProperties", "example",       "anyOf",
    "default",   "minimum",   "maximum", "propertyOrdering", NULL,
};

static bool
in_list(struct str name, const char *const *list)
{
    for (; *list != NULL; list++)
        if (gemini_named(name, *list))
            return true;
    return false;
}

static bool
refuse_name(struct refusal *no, struct str name, const char *where)
{
    return refuse(no, 400, NULL,
                  "Invalid JSON payload received. Unknown name \"%.*s\"%s%s%s: Cannot find field.",
                  (int)MIN(name.len, (size_t)60), name.ptr, where[0] ? " at '" : "", where,
                  where[0] ? "'" : "");
}

/* Each member of the object is one of the list's. */
static bool
names_check(struct js_value object, const char *const *list, const char *where, struct refusal *no)
{
    struct js_value key, value;
    struct js_iter it;

    if (object.type == JS_NONE)
        return true;
    if (!js_is(object, JS_OBJECT))
        return refuse(no, 400, NULL, "Invalid value at '%s': not an object", where);
    for (js_iter_init(&it, object); js_next(&it, &key, &value);)
        if (!in_list(key.raw, list))
            return refuse_name(no, key.raw, where);
    return true;
}

/* ---- schemas: a part of OpenAPI's, nothing else ---- */

enum schema_kind { SCHEMA_ITSELF, SCHEMA_MAP, SCHEMA_LIST };

/* Walks a schema with a list of places instead of calling itself. */
static bool
schema_check(struct js_value schema, const char *where, struct refusal *no)
{
    struct {
        struct js_iter it;
        enum schema_kind kind;
    } open[JS_DEPTH_MAX + 1];
    size_t depth = 0;
    struct js_value key, value;

    js_iter_init(&open[0].it, schema);
    open[0].kind = SCHEMA_ITSELF;
    for (;;) {
        if (!js_next(&open[depth].it, &key, &value)) {
            if (depth-- == 0)
                return true;
            continue;
        }
        enum schema_kind next = SCHEMA_ITSELF;
        if (open[depth].kind == SCHEMA_ITSELF) {
            if (!in_list(key.raw, schema_names))
                return refuse_name(no, key.raw, where);
            if (gemini_named(key.raw, "properties"))
                next = SCHEMA_MAP;
            else if (gemini_named(key.raw, "anyOf"))
                next = SCHEMA_LIST;
            else if (!gemini_named(key.raw, "items"))
                continue;
        }
        if ((js_is(value, JS_OBJECT) || js_is(value, JS_ARRAY)) && depth < JS_DEPTH_MAX) {
            depth++;
            js_iter_init(&open[depth].it, value);
            open[depth].kind = next;
        }
    }
}

/* ---- tools and configuration ---- */

static bool
function_name_check(struct js_value name, struct refusal *no)
{
    bool good = js_is(name, JS_STRING) && name.raw.len > 0 && name.raw.len <= 128;

    for (size_t i = 0; good && i < name.raw.len; i++) {
        char c = name.raw.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

        good = letter || (i > 0 && ((c >= '0' && c <= '9') || c == '.' || c == ':' || c == '-'));
    }
    if (good)
        return true;
    return refuse(no, 400, NULL, "Invalid function name. Must start with a letter or an "
                                 "underscore. Must be alphanumeric (a-z, A-Z, 0-9), underscores "
                                 "(_), dots (.), colons (:), or dashes (-).");
}

static bool
function_check(struct js_value function, struct refusal *no)
{
    static const char where[] = "tools[0].function_declarations[0].parameters";
    struct js_value parameters = gemini_get(function, "parameters");
    struct js_value schema = gemini_get(function, "parametersJsonSchema");

    if (!names_check(function, function_names, "tools[0].function_declarations[0]", no) ||
        !function_name_check(gemini_get(function, "name"), no))
        return false;
    if (parameters.type == JS_NONE)
        return true;
    if (schema.type != JS_NONE)
        return refuse(no, 400, NULL, "Only one of parameters and parameters_json_schema may be "
                                     "set.");
    if (!js_is(parameters, JS_OBJECT))
        return refuse(no, 400, NULL, "Invalid value at '%s'", where);
    return schema_check(parameters, where, no);
}

static bool
tools_check(struct js_value body, struct refusal *no)
{
    struct js_value tools = gemini_get(body, "tools"), key, tool, function;
    struct js_value config = gemini_get(gemini_get(body, "toolConfig"), "functionCallingConfig");
    struct js_iter it, inner;
    bool any = false;

    for (js_iter_init(&it, tools); js_next(&it, &key, &tool);) {
        if (!names_check(tool, tool_names, "tools[0]", no))
            return false;
        js_iter_init(&inner, gemini_get(tool, "functionDeclarations"));
        for (; js_next(&inner, &key, &function); any = true)
            if (!function_check(function, no))
                return false;
    }
    if (!any && js_str_eq(gemini_get(config, "mode"), STR("ANY")))
        return refuse(no, 400, NULL, "Function calling config is set without "
                                     "function_declarations.");
    return true;
}

static bool
config_check(struct js_value config, struct refusal *no)
{
    struct js_value schema = gemini_get(config, "responseSchema");
    struct js_value json_schema = gemini_get(config, "responseJsonSchema");
    struct js_value key, value;
    struct js_iter it;
    uint32_t stops = 0;

    if (!names_check(config, config_names, "generation_config", no))
        return false;
    for (js_iter_init(&it, gemini_get(config, "stopSequences")); js_next(&it, &key, &value);)
        if (++stops > 5)
            return refuse(no, 400, NULL, "Unable to submit request because it has too many stop "
                                         "sequences; at most 5 are supported.");
    if (schema.type == JS_NONE && json_schema.type == JS_NONE)
        return true;
    if (!js_str_eq(gemini_get(config, "responseMimeType"), STR("application/json")))
        return refuse(no, 400, NULL, "Unable to submit request because a response schema needs "
                                     "response_mime_type application/json.");
    return schema.type == JS_NONE ||
           schema_check(schema, "generation_config.response_schema", no);
}

/* ---- contents ---- */

/* What the turns so far amount to. */
struct turns {
    bool gemini_3;
    uint32_t index;
    uint32_t calls; /* of the turn before, when it was the model's */
};

static bool
signature_good(struct js_value signature)
{
    return js_is(signature, JS_STRING) &&
           (str_starts_with(signature.raw, STR("sig-gemini-")) ||
            str_eq(signature.raw, STR("skip_thought_signature_validator")) ||
            str_eq(signature.raw, STR("context_engineering_is_the_way_to_go")));
}

static bool
part_check(const struct turns *t, struct js_value part, uint32_t calls, struct refusal *no)
{
    struct js_value key, value, call = gemini_get(part, "functionCall");
    struct js_value result = gemini_get(part, "functionResponse");
    struct js_value signature = gemini_get(part, "thoughtSignature");
    struct js_iter it;
    uint32_t data = 0;

    if (!js_is(part, JS_OBJECT))
        return refuse(no, 400, NULL, "Invalid value at 'contents[%u].parts'", t->index);
    for (js_iter_init(&it, part); js_next(&it, &key, &value);) {
        data += in_list(key.raw, data_names);
        if (!in_list(key.raw, data_names) && !in_list(key.raw, part_names))
            return refuse_name(no, key.raw, "contents[0].parts[0]");
    }
    if (data != 1)
        return refuse(no, 400, NULL, "* GenerateContentRequest.contents[%u].parts[0].data: "
                                     "required oneof field 'data' must have one initialized field",
                      t->index);
    if (signature.type != JS_NONE && !signature_good(signature))
        return refuse(no, 400, NULL, "Corrupted thought signature.");
    if (call.type != JS_NONE && calls == 0 && t->gemini_3 && signature.type == JS_NONE)
        return refuse(no, 400, NULL, "Function call is missing a thought_signature in "
                                     "functionCall parts. Function call in the %u. content block.",
                      t->index + 1);
    if (call.type != JS_NONE && !js_is(gemini_get(call, "name"), JS_STRING))
        return refuse(no, 400, NULL, "* GenerateContentRequest.contents[%u].parts[0]."
                                     "function_call.name: Name cannot be empty.", t->index);
    if (result.type == JS_NONE)
        return true;
    if (!js_is(gemini_get(result, "name"), JS_STRING))
        return refuse(no, 400, NULL, "* GenerateContentRequest.contents[%u].parts[0]."
                                     "function_response.name: Name cannot be empty.", t->index);
    if (!js_is(gemini_get(result, "response"), JS_OBJECT))
        return refuse(no, 400, NULL, "Invalid value at 'contents[%u].parts[0]."
                                     "function_response.response' "
                                     "(type.googleapis.com/google.protobuf.Struct)", t->index);
    return true;
}

static bool
content_check(struct turns *t, struct js_value content, struct refusal *no)
{
    struct js_value role = gemini_get(content, "role"), parts = gemini_get(content, "parts");
    struct js_value key, part;
    struct js_iter it;
    uint32_t count = 0, calls = 0, results = 0;

    if (!names_check(content, content_names, "contents[0]", no))
        return false;
    if (role.type != JS_NONE && !js_str_eq(role, STR("user")) && !js_str_eq(role, STR("model")))
        return refuse(no, 400, NULL, "Please use a valid role: user, model.");
    for (js_iter_init(&it, parts); js_next(&it, &key, &part); count++) {
        if (!part_check(t, part, calls, no))
            return false;
        calls += gemini_get(part, "functionCall").type != JS_NONE;
        results += gemini_get(part, "functionResponse").type != JS_NONE;
    }
    if (count == 0)
        return refuse(no, 400, NULL, "* GenerateContentRequest.contents[%u].parts: contents.parts "
                                     "must not be empty.", t->index);
    if (results != t->calls)
        return refuse(no, 400, NULL, "Please ensure that the number of function response parts is "
                                     "equal to the number of function call parts of the function "
                                     "call turn.");
    if (calls > 0 && !js_str_eq(role, STR("model")))
        return refuse(no, 400, NULL, "Function calls must stand in a turn of the model.");
    t->calls = calls;
    t->index++;
    return true;
}

static bool
contents_check(const struct ask *ask, struct js_value body, struct refusal *no)
{
    struct turns t = {.gemini_3 = str_contains(ask->model, STR("gemini-3"))};
    struct js_value contents = gemini_get(body, "contents"), key, content;
    struct js_iter it;

    for (js_iter_init(&it, contents); js_next(&it, &key, &content);)
        if (!content_check(&t, content, no))
            return false;
    if (t.calls > 0)
        return refuse(no, 400, NULL, "Please ensure that function call turn comes immediately "
                                     "before a function response turn.");
    return true;
}

static bool
contents_there(struct js_value body, struct refusal *no)
{
    struct js_value key, value, contents = gemini_get(body, "contents");
    struct js_iter it;

    js_iter_init(&it, contents);
    if (js_is(contents, JS_ARRAY) && js_next(&it, &key, &value))
        return true;
    return refuse(no, 400, NULL, "* GenerateContentRequest.contents: contents is not specified");
}

bool
gemini_check(const struct ask *ask, enum endpoint ep, struct js_value body, struct refusal *no)
{
    bool strict = !fault_on(&ask->faults, F_LENIENT);

    if (ep == EP_GEMINI_EMBED)
        return !strict || names_check(body, embed_names, "", no);
    if (ep == EP_GEMINI_EMBEDS)
        return !strict || names_check(body, embeds_names, "", no);
    if (ep == EP_GEMINI_COUNT) {
        struct js_value inner = gemini_get(body, "generateContentRequest");

        if (strict && !names_check(body, count_names, "", no))
            return false;
        if (inner.type != JS_NONE)
            body = inner;
    }
    if (!contents_there(body, no))
        return false;
    if (!strict)
        return true;
    return names_check(body, generate_names, "", no) &&
           names_check(gemini_get(body, "systemInstruction"), content_names, "system_instruction",
                       no) &&
           config_check(gemini_get(body, "generationConfig"), no) && tools_check(body, no) &&
           contents_check(ask, body, no);
}
