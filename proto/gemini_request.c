/*
 * Reads a request of generateContent. Its model stands in the path, and so does whether it is
 * streamed. Names come in both spellings of protobuf, numbers of enums in none.
 */
#include <string.h>

#include "base/str.h"
#include "proto/gemini_in.h"

#define BUDGET_MAX 10000000

/* A name of ours with a dot before the client's: "generationConfig.mediaResolution". */
static void
drop_within(struct chat_request *r, const char *prefix, struct js_value key)
{
    char name[80];
    size_t len = strlen(prefix);

    if (len + key.raw.len > sizeof name)
        return;
    memcpy(name, prefix, len);
    if (key.raw.len > 0)
        memcpy(name + len, key.raw.ptr, key.raw.len);
    chat_drop(&r->drops, (struct str){name, len + key.raw.len});
}

/* What is in the object beyond these names is dropped. */
static void
drop_others(struct chat_request *r, const char *prefix, struct js_value object,
            const struct str *names, size_t count)
{
    struct js_value key, value;
    struct js_iter it;

    if (object.type != JS_OBJECT)
        return;
    for (js_iter_init(&it, object); js_next(&it, &key, &value);) {
        bool known = value.type == JS_NULL;

        for (size_t i = 0; i < count && !known; i++)
            known = gemini_named(key, names[i]);
        if (!known)
            drop_within(r, prefix, key);
    }
}

static bool
is_one_of(struct js_value value, struct str a, struct str b)
{
    return value.type == JS_STRING &&
           (str_eq_nocase(value.raw, a) || str_eq_nocase(value.raw, b));
}

/* ---- the system's instruction ---- */

static bool
read_system_part(struct gemini_reading *reading, struct chat_part ***end, struct js_value at,
                 struct js_value text)
{
    struct chat_part *part;

    if (text.type != JS_STRING)
        return chat_refuse(reading->r, at, reading->error, "must have a text, and nothing else");
    if (text.raw.len == 0)
        return true;
    part = chat_part_add(reading->r, end, CHAT_PART_TEXT, at);
    if (part == NULL)
        return chat_no_room(reading->error);
    part->text = text;
    return true;
}

/* {"parts":[{"text":…}]}; also the text alone, and the parts alone, as some libraries send it. */
static bool
read_system(struct gemini_reading *reading, struct js_value system)
{
    static const struct str parts_name = {"parts", 5}, text_name = {"text", 4};
    struct js_value parts = system, key, part, text;
    struct chat_message *message;
    struct chat_part **end;
    struct js_iter it;

    if (system.type == JS_NONE)
        return true;
    message = chat_message_add(reading->r, &reading->end, CHAT_SYSTEM, system);
    if (message == NULL)
        return chat_no_room(reading->error);
    message->leading = true;
    end = &message->parts;
    if (system.type == JS_STRING)
        return read_system_part(reading, &end, system, system);
    if (system.type == JS_OBJECT)
        gemini_members(system, &parts_name, 1, &parts);
    else if (system.type != JS_ARRAY)
        return chat_refuse(reading->r, system, reading->error,
                           "must be an object with parts, or a text");
    if (!codec_want(reading->r, parts, JS_ARRAY, reading->error))
        return false;
    for (js_iter_init(&it, parts); js_next(&it, &key, &part);) {
        gemini_members(part, &text_name, 1, &text);
        if (!read_system_part(reading, &end, part, text))
            return false;
    }
    return true;
}

/* ---- tools ---- */

static bool
read_declaration(struct gemini_reading *reading, struct chat_tool ***end, struct js_value at)
{
    enum { NAME, DESCRIPTION, SUBSET, SCHEMA, COUNT };
    static const struct str names[COUNT] = {[NAME] = {"name", 4},
                                            [DESCRIPTION] = {"description", 11},
                                            [SUBSET] = {"parameters", 10},
                                            [SCHEMA] = {"parametersJsonSchema", 20}};
    struct chat_request *r = reading->r;
    struct js_value values[COUNT];
    struct chat_tool *tool;

    gemini_members(at, names, COUNT, values);
    if (!codec_want(r, at, JS_OBJECT, reading->error) ||
        !codec_want(r, values[NAME], JS_STRING, reading->error) ||
        !codec_want(r, values[DESCRIPTION], JS_STRING, reading->error) ||
        !codec_want(r, values[SUBSET], JS_OBJECT, reading->error) ||
        !codec_want(r, values[SCHEMA], JS_OBJECT, reading->error))
        return false;
    if (values[NAME].raw.len == 0)
        return chat_refuse(r, at, reading->error, "must have a name");
    if (values[SUBSET].type != JS_NONE && values[SCHEMA].type != JS_NONE)
        return chat_refuse(r, values[SCHEMA], reading->error,
                           "must not be there together with parameters");
    drop_others(r, "functionDeclarations.", at, names, COUNT);
    tool = chat_tool_add(r, end, CHAT_TOOL_FUNCTION, at);
    if (tool == NULL)
        return chat_no_room(reading->error);
    tool->name = values[NAME];
    tool->description = values[DESCRIPTION];
    if (values[SUBSET].type == JS_OBJECT)
        tool->schema = gemini_schema(r->arena, values[SUBSET]);
    else if (values[SCHEMA].type == JS_OBJECT)
        tool->schema = gemini_json_schema(r->arena, values[SCHEMA]);
    else
        return true;
    return tool->schema.type == JS_OBJECT || chat_no_room(reading->error);
}

static bool
read_tool(struct gemini_reading *reading, struct chat_tool ***end, struct js_value at)
{
    struct chat_request *r = reading->r;
    struct js_value key, value, one;
    struct js_iter it, list;

    if (at.type != JS_OBJECT)
        return chat_refuse(r, at, reading->error, "must be an object");
    for (js_iter_init(&it, at); js_next(&it, &key, &value);) {
        struct chat_tool *hosted;

        if (value.type == JS_NULL)
            continue;
        if (gemini_named(key, STR("functionDeclarations"))) {
            if (!codec_want(r, value, JS_ARRAY, reading->error))
                return false;
            for (js_iter_init(&list, value); js_next(&list, &key, &one);)
                if (!read_declaration(reading, end, one))
                    return false;
            continue;
        }
        hosted = chat_tool_add(r, end, CHAT_TOOL_HOSTED, value);
        if (hosted == NULL)
            return chat_no_room(reading->error);
        hosted->name = key;
        hosted->name.type = JS_STRING;
    }
    return true;
}

static bool
read_tools(struct gemini_reading *reading, struct js_value tools)
{
    struct chat_tool **end = &reading->r->tools;
    struct js_value key, tool;
    struct js_iter it;

    if (!codec_want(reading->r, tools, JS_ARRAY, reading->error))
        return false;
    for (js_iter_init(&it, tools); js_next(&it, &key, &tool);)
        if (!read_tool(reading, &end, tool))
            return false;
    return true;
}

static bool
allow_tool(struct gemini_reading *reading, struct js_value name)
{
    struct chat_request *r = reading->r;
    struct str text = chat_text(r->arena, name);
    bool found = false;

    if (name.type != JS_STRING)
        return chat_refuse(r, name, reading->error, "must be a string");
    if (text.ptr == NULL)
        return chat_no_room(reading->error);
    for (struct chat_tool *tool = r->tools; tool != NULL; tool = tool->next)
        if (tool->kind == CHAT_TOOL_FUNCTION && js_str_eq(tool->name, text)) {
            tool->unlisted = false;
            found = true;
        }
    return found || chat_refuse(r, name, reading->error, "no function of this name is declared");
}

/* One is that one, several are all that may be called. */
static bool
read_allowed(struct gemini_reading *reading, struct js_value names)
{
    struct chat_request *r = reading->r;
    struct js_value key, name, last = {.type = JS_NONE};
    struct js_iter it;
    size_t count = 0;

    if (!codec_want(r, names, JS_ARRAY, reading->error))
        return false;
    js_iter_init(&it, names);
    if (names.type != JS_ARRAY || !js_next(&it, &key, &name))
        return true;
    for (struct chat_tool *tool = r->tools; tool != NULL; tool = tool->next)
        tool->unlisted = tool->kind == CHAT_TOOL_FUNCTION;
    do {
        if (!allow_tool(reading, name))
            return false;
        last = name;
        count++;
    } while (js_next(&it, &key, &name));
    if (r->choice != CHAT_CHOICE_ANY || count > 1)
        return true;
    for (struct chat_tool *tool = r->tools; tool != NULL; tool = tool->next)
        tool->unlisted = false;
    r->choice = CHAT_CHOICE_ONE;
    r->choice_name = last;
    return true;
}

static bool
read_tool_config(struct gemini_reading *reading, struct js_value config)
{
    enum { MODE, ALLOWED, COUNT };
    static const struct str calling_name = {"functionCallingConfig", 21};
    static const struct str names[COUNT] = {[MODE] = {"mode", 4},
                                            [ALLOWED] = {"allowedFunctionNames", 20}};
    struct chat_request *r = reading->r;
    struct js_value calling, values[COUNT], mode;

    gemini_members(config, &calling_name, 1, &calling);
    gemini_members(calling, names, COUNT, values);
    if (!codec_want(r, config, JS_OBJECT, reading->error) ||
        !codec_want(r, calling, JS_OBJECT, reading->error) ||
        !codec_want(r, values[MODE], JS_STRING, reading->error))
        return false;
    drop_others(r, "toolConfig.", config, &calling_name, 1);
    drop_others(r, "functionCallingConfig.", calling, names, COUNT);
    mode = values[MODE];
    r->choice_at = calling;
    if (mode.type == JS_NONE || is_one_of(mode, STR("MODE_UNSPECIFIED"), STR("")))
        r->choice = CHAT_CHOICE_UNSET;
    else if (is_one_of(mode, STR("AUTO"), STR("VALIDATED")))
        r->choice = CHAT_CHOICE_AUTO;
    else if (is_one_of(mode, STR("ANY"), STR("ANY")))
        r->choice = CHAT_CHOICE_ANY;
    else if (is_one_of(mode, STR("NONE"), STR("NONE")))
        r->choice = CHAT_CHOICE_NONE;
    else
        return chat_refuse(r, mode, reading->error, "must be AUTO, ANY, NONE or VALIDATED");
    return read_allowed(reading, values[ALLOWED]);
}

/* ---- generationConfig ---- */

enum {
    CONFIG_TEMPERATURE,
    CONFIG_TOP_P,
    CONFIG_TOP_K,
    CONFIG_CANDIDATES,
    CONFIG_OUTPUT_MAX,
    CONFIG_STOPS,
    CONFIG_SEED,
    CONFIG_PRESENCE,
    CONFIG_FREQUENCY,
    CONFIG_LOGPROBS_ON,
    CONFIG_LOGPROBS,
    CONFIG_MIME,
    CONFIG_SUBSET,
    CONFIG_SCHEMA,
    CONFIG_THINKING,
    CONFIG_MODALITIES,
    CONFIG_COUNT
};

static const struct str config_names[CONFIG_COUNT] = {
    [CONFIG_TEMPERATURE] = {"temperature", 11},
    [CONFIG_TOP_P] = {"topP", 4},
    [CONFIG_TOP_K] = {"topK", 4},
    [CONFIG_CANDIDATES] = {"candidateCount", 14},
    [CONFIG_OUTPUT_MAX] = {"maxOutputTokens", 15},
    [CONFIG_STOPS] = {"stopSequences", 13},
    [CONFIG_SEED] = {"seed", 4},
    [CONFIG_PRESENCE] = {"presencePenalty", 15},
    [CONFIG_FREQUENCY] = {"frequencyPenalty", 16},
    [CONFIG_LOGPROBS_ON] = {"responseLogprobs", 16},
    [CONFIG_LOGPROBS] = {"logprobs", 8},
    [CONFIG_MIME] = {"responseMimeType", 16},
    [CONFIG_SUBSET] = {"responseSchema", 14},
    [CONFIG_SCHEMA] = {"responseJsonSchema", 18},
    [CONFIG_THINKING] = {"thinkingConfig", 14},
    [CONFIG_MODALITIES] = {"responseModalities", 18},
};

static bool
read_knobs(struct chat_request *r, const struct js_value *values, struct proto_error *error)
{
    uint32_t top_k;
    int64_t seed;

    if (!codec_want_number(r, values[CONFIG_TEMPERATURE], error) ||
        !codec_want_number(r, values[CONFIG_TOP_P], error) ||
        !codec_want_count(r, values[CONFIG_TOP_K], 1, 1000000, &top_k, error) ||
        !codec_want_number(r, values[CONFIG_PRESENCE], error) ||
        !codec_want_number(r, values[CONFIG_FREQUENCY], error))
        return false;
    if (values[CONFIG_SEED].type != JS_NONE && !js_i64(values[CONFIG_SEED], &seed))
        return chat_refuse(r, values[CONFIG_SEED], error, "must be a whole number");
    codec_knob(r, CHAT_TEMPERATURE, "generationConfig.temperature", values[CONFIG_TEMPERATURE]);
    codec_knob(r, CHAT_TOP_P, "generationConfig.topP", values[CONFIG_TOP_P]);
    codec_knob(r, CHAT_TOP_K, "generationConfig.topK", values[CONFIG_TOP_K]);
    codec_knob(r, CHAT_SEED, "generationConfig.seed", values[CONFIG_SEED]);
    codec_knob(r, CHAT_PRESENCE_PENALTY, "generationConfig.presencePenalty",
               values[CONFIG_PRESENCE]);
    codec_knob(r, CHAT_FREQUENCY_PENALTY, "generationConfig.frequencyPenalty",
               values[CONFIG_FREQUENCY]);
    return true;
}

static bool
read_limits(struct chat_request *r, const struct js_value *values, struct proto_error *error)
{
    struct js_value candidates = values[CONFIG_CANDIDATES], logprobs = values[CONFIG_LOGPROBS];

    if (!codec_want_count(r, candidates, 1, GEMINI_CHOICES_MAX, &r->choice_count, error) ||
        !codec_want_count(r, values[CONFIG_OUTPUT_MAX], 1, USAGE_COUNT_MAX, &r->output_max,
                          error) ||
        !codec_want(r, values[CONFIG_STOPS], JS_ARRAY, error) ||
        !codec_stops(r, values[CONFIG_STOPS], GEMINI_STOPS_MAX, error) ||
        !codec_want_bool(r, values[CONFIG_LOGPROBS_ON], &r->logprobs, error) ||
        !codec_want_count(r, logprobs, 0, 20, &r->top_logprobs, error))
        return false;
    r->choice_count_at = candidates;
    r->logprobs_at = values[CONFIG_LOGPROBS_ON];
    if (!r->logprobs && r->top_logprobs > 0)
        return chat_refuse(r, logprobs, error, "needs responseLogprobs");
    return true;
}

static bool
read_format(struct chat_request *r, const struct js_value *values, struct proto_error *error)
{
    struct js_value mime = values[CONFIG_MIME], subset = values[CONFIG_SUBSET],
                    schema = values[CONFIG_SCHEMA];
    struct js_value given = subset.type != JS_NONE ? subset : schema;
    bool json = is_one_of(mime, STR("application/json"), STR("application/json"));

    if (!codec_want(r, mime, JS_STRING, error) || !codec_want(r, subset, JS_OBJECT, error) ||
        !codec_want(r, schema, JS_OBJECT, error))
        return false;
    if (mime.type == JS_STRING && !json && !is_one_of(mime, STR("text/plain"), STR("")))
        return chat_refuse(r, mime, error, "must be \"text/plain\" or \"application/json\"");
    if (subset.type != JS_NONE && schema.type != JS_NONE)
        return chat_refuse(r, schema, error, "must not be there together with responseSchema");
    if (given.type != JS_NONE && !json)
        return chat_refuse(r, given, error, "needs responseMimeType \"application/json\"");
    if (!json)
        return true;
    r->format = CHAT_FORMAT_JSON;
    r->format_at = mime;
    if (given.type == JS_NONE)
        return true;
    r->format = CHAT_FORMAT_SCHEMA;
    r->format_at = given;
    r->schema = subset.type != JS_NONE ? gemini_schema(r->arena, subset)
                                       : gemini_json_schema(r->arena, schema);
    return r->schema.type == JS_OBJECT || chat_no_room(error);
}

static bool
read_thinking_budget(struct chat_request *r, struct js_value budget, struct proto_error *error)
{
    int64_t tokens;

    if (budget.type == JS_NONE)
        return true;
    if (!js_i64(budget, &tokens) || tokens < -1 || tokens > BUDGET_MAX)
        return chat_refuse(r, budget, error, "must be a whole number from -1 to %d", BUDGET_MAX);
    /* -1 leaves it to the model. */
    r->thinking = tokens == 0 ? CHAT_THINKING_OFF : CHAT_THINKING_ON;
    r->thinking_budget = tokens > 0 ? (uint32_t)tokens : 0;
    return true;
}

static bool
read_thinking(struct chat_request *r, struct js_value config, struct proto_error *error)
{
    enum { BUDGET, LEVEL, SHOWN, COUNT };
    static const struct str names[COUNT] = {[BUDGET] = {"thinkingBudget", 14},
                                            [LEVEL] = {"thinkingLevel", 13},
                                            [SHOWN] = {"includeThoughts", 15}};
    struct js_value values[COUNT], level;

    gemini_members(config, names, COUNT, values);
    level = values[LEVEL];
    if (!codec_want(r, config, JS_OBJECT, error) || !codec_want(r, level, JS_STRING, error) ||
        !codec_want_bool(r, values[SHOWN], &r->thinking_shown, error) ||
        !read_thinking_budget(r, values[BUDGET], error))
        return false;
    drop_others(r, "thinkingConfig.", config, names, COUNT);
    r->thinking_at = config;
    if (level.type == JS_NONE || is_one_of(level, STR("THINKING_LEVEL_UNSPECIFIED"), STR("")))
        return true;
    for (int e = CHAT_EFFORT_MINIMAL; e <= CHAT_EFFORT_HIGH; e++)
        if (str_eq_nocase(level.raw, str_from(chat_effort_name[e])))
            r->effort = (enum chat_effort)e;
    if (r->effort == CHAT_EFFORT_UNSET)
        return chat_refuse(r, level, error, "must be MINIMAL, LOW, MEDIUM or HIGH");
    r->thinking = CHAT_THINKING_ON;
    return true;
}

static bool
read_modalities(struct chat_request *r, struct js_value list, struct proto_error *error)
{
    struct js_value key, one;
    struct js_iter it;

    if (!codec_want(r, list, JS_ARRAY, error))
        return false;
    for (js_iter_init(&it, list); js_next(&it, &key, &one);)
        if (!is_one_of(one, STR("TEXT"), STR("MODALITY_UNSPECIFIED")))
            return chat_refuse(r, one, error, "this model answers with text only");
    return true;
}

static bool
read_config(struct chat_request *r, struct js_value config, struct proto_error *error)
{
    struct js_value values[CONFIG_COUNT];

    gemini_members(config, config_names, CONFIG_COUNT, values);
    if (!codec_want(r, config, JS_OBJECT, error) || !read_knobs(r, values, error) ||
        !read_limits(r, values, error) || !read_format(r, values, error) ||
        !read_thinking(r, values[CONFIG_THINKING], error) ||
        !read_modalities(r, values[CONFIG_MODALITIES], error))
        return false;
    drop_others(r, "generationConfig.", config, config_names, CONFIG_COUNT);
    return true;
}

/* ---- the request ---- */

static bool
read_contents(struct gemini_reading *reading, struct js_value contents)
{
    struct js_value key, content;
    struct js_iter it;

    if (!codec_want(reading->r, contents, JS_ARRAY, reading->error))
        return false;
    for (js_iter_init(&it, contents); js_next(&it, &key, &content);)
        if (!gemini_read_content(reading, content))
            return false;
    return gemini_read_contents_end(reading);
}

bool
gemini_request_read(struct chat_request *r, struct proto_error *error)
{
    enum { MODEL, CONTENTS, SYSTEM, TOOLS, TOOL_CONFIG, CONFIG, CACHED, COUNT };
    static const struct str names[COUNT] = {
        [MODEL] = {"model", 5},
        [CONTENTS] = {"contents", 8},
        [SYSTEM] = {"systemInstruction", 17},
        [TOOLS] = {"tools", 5},
        [TOOL_CONFIG] = {"toolConfig", 10},
        [CONFIG] = {"generationConfig", 16},
        [CACHED] = {"cachedContent", 13},
    };
    struct gemini_reading reading = {.r = r, .error = error, .end = &r->messages};
    struct js_value values[COUNT];

    if (r->document.type != JS_OBJECT)
        return chat_refuse(r, r->document, error, "must be an object");
    gemini_members(r->document, names, COUNT, values);
    if (values[CACHED].type != JS_NONE && values[CACHED].raw.len > 0)
        return chat_refuse(r, values[CACHED], error,
                           "what is cached at its provider cannot be passed on to this model");
    drop_others(r, "", r->document, names, COUNT);
    return read_system(&reading, values[SYSTEM]) && read_contents(&reading, values[CONTENTS]) &&
           read_tools(&reading, values[TOOLS]) &&
           read_tool_config(&reading, values[TOOL_CONFIG]) &&
           read_config(r, values[CONFIG], error);
}
