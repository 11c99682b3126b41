/*
 * Requests of Responses, read: the fields beside the conversation. What a provider keeps for its
 * clients (earlier responses, conversations, prompts, files) is not here, so what refers to it is
 * refused; what only changes how an answer is kept, counted or billed is dropped and named.
 */
#include "base/str.h"
#include "proto/responses_in.h"

enum {
    FIELD_MODEL = 0,
    FIELD_INPUT,
    FIELD_INSTRUCTIONS,
    FIELD_PREVIOUS,
    FIELD_CONVERSATION,
    FIELD_PROMPT,
    FIELD_BACKGROUND,
    FIELD_TOOLS,
    FIELD_TOOL_CHOICE,
    FIELD_PARALLEL,
    FIELD_OUTPUT_MAX,
    FIELD_TEMPERATURE,
    FIELD_TOP_P,
    FIELD_TOP_LOGPROBS,
    FIELD_TEXT,
    FIELD_REASONING,
    FIELD_INCLUDE,
    FIELD_STORE,
    FIELD_METADATA,
    FIELD_TRUNCATION,
    FIELD_CACHE_KEY,
    FIELD_CACHE_RETENTION,
    FIELD_SAFETY_IDENTIFIER,
    FIELD_USER,
    FIELD_SERVICE_TIER,
    FIELD_STREAM,
    FIELD_STREAM_OPTIONS,
    FIELD_CLIENT_METADATA,
    FIELD_COUNT
};

static const struct str field_names[FIELD_COUNT] = {
    [FIELD_MODEL] = PICK_NAME("model"),
    [FIELD_INPUT] = PICK_NAME("input"),
    [FIELD_INSTRUCTIONS] = PICK_NAME("instructions"),
    [FIELD_PREVIOUS] = PICK_NAME("previous_response_id"),
    [FIELD_CONVERSATION] = PICK_NAME("conversation"),
    [FIELD_PROMPT] = PICK_NAME("prompt"),
    [FIELD_BACKGROUND] = PICK_NAME("background"),
    [FIELD_TOOLS] = PICK_NAME("tools"),
    [FIELD_TOOL_CHOICE] = PICK_NAME("tool_choice"),
    [FIELD_PARALLEL] = PICK_NAME("parallel_tool_calls"),
    [FIELD_OUTPUT_MAX] = PICK_NAME("max_output_tokens"),
    [FIELD_TEMPERATURE] = PICK_NAME("temperature"),
    [FIELD_TOP_P] = PICK_NAME("top_p"),
    [FIELD_TOP_LOGPROBS] = PICK_NAME("top_logprobs"),
    [FIELD_TEXT] = PICK_NAME("text"),
    [FIELD_REASONING] = PICK_NAME("reasoning"),
    [FIELD_INCLUDE] = PICK_NAME("include"),
    [FIELD_STORE] = PICK_NAME("store"),
    [FIELD_METADATA] = PICK_NAME("metadata"),
    [FIELD_TRUNCATION] = PICK_NAME("truncation"),
    [FIELD_CACHE_KEY] = PICK_NAME("prompt_cache_key"),
    [FIELD_CACHE_RETENTION] = PICK_NAME("prompt_cache_retention"),
    [FIELD_SAFETY_IDENTIFIER] = PICK_NAME("safety_identifier"),
    [FIELD_USER] = PICK_NAME("user"),
    [FIELD_SERVICE_TIER] = PICK_NAME("service_tier"),
    [FIELD_STREAM] = PICK_NAME("stream"),
    [FIELD_STREAM_OPTIONS] = PICK_NAME("stream_options"),
    [FIELD_CLIENT_METADATA] = PICK_NAME("client_metadata"),
};

bool
responses_need(const struct chat_request *r, struct js_value object, struct js_value value,
               const char *name, struct proto_error *error)
{
    if (value.type == JS_NONE)
        return chat_refuse(r, object, error, "\"%s\" is missing", name);
    return codec_want(r, value, JS_STRING, error);
}

bool
responses_need_name(const struct chat_request *r, struct js_value object, struct js_value value,
                    const char *name, struct proto_error *error)
{
    if (!responses_need(r, object, value, name, error))
        return false;
    if (value.raw.len == 0)
        return chat_refuse(r, value, error, "must not be empty");
    if (value.raw.len > RESPONSES_NAME_MAX)
        return chat_refuse(r, value, error, "must not be longer than %d bytes",
                           RESPONSES_NAME_MAX);
    return true;
}

/* What is nobody's of the fields above: it may be of a version to come, or of one provider. */
static void
drop_unknown(struct chat_request *r)
{
    struct js_value key, value;
    struct js_iter it;

    for (js_iter_init(&it, r->document); js_next(&it, &key, &value);) {
        bool known = value.type == JS_NULL;

        for (size_t i = 0; i < FIELD_COUNT && !known; i++)
            known = js_str_eq(key, field_names[i]);
        if (!known)
            chat_drop(&r->drops, key.raw);
    }
}

static bool
refuse_kept(const struct chat_request *r, const struct js_value *fields, struct proto_error *error)
{
    static const struct {
        unsigned field;
        const char *what;
    } kept[] = {
        {FIELD_PREVIOUS, "an earlier response is not kept here: send the whole conversation"},
        {FIELD_CONVERSATION, "a conversation is not kept here: send all of it as input"},
        {FIELD_PROMPT, "a prompt is not kept here: send its text"},
    };
    bool background;

    for (size_t i = 0; i < COUNT_OF(kept); i++)
        if (fields[kept[i].field].type != JS_NONE)
            return chat_refuse(r, fields[kept[i].field], error, "%s", kept[i].what);
    if (!codec_want_bool(r, fields[FIELD_BACKGROUND], &background, error))
        return false;
    if (background)
        return chat_refuse(r, fields[FIELD_BACKGROUND], error,
                           "an answer is not kept here to be fetched later");
    return true;
}

/* What says nothing about the answer itself. */
static bool
read_keeping(struct chat_request *r, const struct js_value *fields, struct proto_error *error)
{
    bool store;

    if (!codec_want_bool(r, fields[FIELD_STORE], &store, error) ||
        !codec_want(r, fields[FIELD_METADATA], JS_OBJECT, error) ||
        !codec_want(r, fields[FIELD_TRUNCATION], JS_STRING, error))
        return false;
    if (store)
        chat_drop(&r->drops, STR("store"));
    if (fields[FIELD_METADATA].type == JS_OBJECT) {
        struct js_value key, value;
        struct js_iter it;

        js_iter_init(&it, fields[FIELD_METADATA]);
        if (js_next(&it, &key, &value))
            chat_drop(&r->drops, STR("metadata"));
    }
    if (fields[FIELD_TRUNCATION].type == JS_STRING &&
        !js_str_eq(fields[FIELD_TRUNCATION], STR("disabled")))
        chat_drop(&r->drops, STR("truncation"));
    return true;
}

static bool
read_knobs(struct chat_request *r, const struct js_value *fields, struct proto_error *error)
{
    static const struct {
        unsigned field;
        enum chat_knob knob;
        enum js_type type;
    } knobs[] = {
        {FIELD_TEMPERATURE, CHAT_TEMPERATURE, JS_NUMBER},
        {FIELD_TOP_P, CHAT_TOP_P, JS_NUMBER},
        {FIELD_CACHE_KEY, CHAT_CACHE_KEY, JS_STRING},
        {FIELD_CACHE_RETENTION, CHAT_CACHE_RETENTION, JS_STRING},
        {FIELD_USER, CHAT_END_USER, JS_STRING},
        {FIELD_SAFETY_IDENTIFIER, CHAT_END_USER, JS_STRING}, /* rather than the older one */
        {FIELD_SERVICE_TIER, CHAT_SERVICE_TIER, JS_STRING},
    };

    for (size_t i = 0; i < COUNT_OF(knobs); i++) {
        unsigned field = knobs[i].field;

        if (!codec_want(r, fields[field], knobs[i].type, error))
            return false;
        codec_knob(r, knobs[i].knob, field_names[field].ptr, fields[field]);
    }
    return true;
}

static bool
read_flags(struct chat_request *r, const struct js_value *fields, struct proto_error *error)
{
    bool parallel;

    if (!codec_want_bool(r, fields[FIELD_STREAM], &r->stream, error) ||
        !codec_want(r, fields[FIELD_STREAM_OPTIONS], JS_OBJECT, error) ||
        !codec_want_bool(r, fields[FIELD_PARALLEL], &parallel, error) ||
        !codec_want_count(r, fields[FIELD_OUTPUT_MAX], 1, UINT32_MAX, &r->output_max, error) ||
        !codec_want_count(r, fields[FIELD_TOP_LOGPROBS], 0, 20, &r->top_logprobs, error))
        return false;
    r->no_parallel = fields[FIELD_PARALLEL].type == JS_FALSE;
    r->logprobs_at = fields[FIELD_TOP_LOGPROBS];
    return true;
}

static bool
read_format(struct chat_request *r, struct js_value format, struct proto_error *error)
{
    enum { TYPE, NAME, SCHEMA, STRICT, DESCRIPTION, COUNT };
    static const struct str names[COUNT] = {
        [TYPE] = PICK_NAME("type"),     [NAME] = PICK_NAME("name"),
        [SCHEMA] = PICK_NAME("schema"), [STRICT] = PICK_NAME("strict"),
        [DESCRIPTION] = PICK_NAME("description"),
    };
    struct js_value v[COUNT];
    bool strict;

    if (format.type == JS_NONE)
        return true;
    if (!codec_want(r, format, JS_OBJECT, error))
        return false;
    codec_members(format, names, COUNT, v);
    if (!responses_need(r, format, v[TYPE], "type", error))
        return false;
    r->format_at = format;
    if (js_str_eq(v[TYPE], STR("text")))
        return true;
    if (js_str_eq(v[TYPE], STR("json_object"))) {
        r->format = CHAT_FORMAT_JSON;
        return true;
    }
    if (!js_str_eq(v[TYPE], STR("json_schema")))
        return chat_refuse(r, v[TYPE], error, "must be text, json_object or json_schema");
    if (v[SCHEMA].type == JS_NONE)
        return chat_refuse(r, format, error, "\"schema\" is missing");
    if (!codec_want(r, v[SCHEMA], JS_OBJECT, error) ||
        !responses_need_name(r, format, v[NAME], "name", error) ||
        !codec_want(r, v[DESCRIPTION], JS_STRING, error) ||
        !codec_want_bool(r, v[STRICT], &strict, error))
        return false;
    r->format = CHAT_FORMAT_SCHEMA;
    r->schema = v[SCHEMA];
    r->schema_name = v[NAME];
    r->schema_description = v[DESCRIPTION];
    r->schema_strict = v[STRICT];
    return true;
}

static bool
read_text(struct chat_request *r, struct js_value text, struct proto_error *error)
{
    static const struct str names[2] = {PICK_NAME("format"), PICK_NAME("verbosity")};
    struct js_value v[2];

    if (!codec_want(r, text, JS_OBJECT, error))
        return false;
    codec_members(text, names, 2, v);
    if (!codec_want(r, v[1], JS_STRING, error))
        return false;
    codec_knob(r, CHAT_VERBOSITY, "text.verbosity", v[1]);
    return read_format(r, v[0], error);
}

static bool
read_reasoning(struct chat_request *r, struct js_value reasoning, struct proto_error *error)
{
    enum { EFFORT, SUMMARY, OLD_SUMMARY, CONTEXT, MODE, COUNT };
    static const struct str names[COUNT] = {
        [EFFORT] = PICK_NAME("effort"),
        [SUMMARY] = PICK_NAME("summary"),
        [OLD_SUMMARY] = PICK_NAME("generate_summary"),
        [CONTEXT] = PICK_NAME("context"),
        [MODE] = PICK_NAME("mode"),
    };
    struct js_value v[COUNT], summary;

    if (!codec_want(r, reasoning, JS_OBJECT, error))
        return false;
    codec_members(reasoning, names, COUNT, v);
    summary = v[SUMMARY].type != JS_NONE ? v[SUMMARY] : v[OLD_SUMMARY];
    if (!codec_want(r, v[EFFORT], JS_STRING, error) || !codec_want(r, summary, JS_STRING, error))
        return false;
    r->thinking_at = reasoning;
    r->thinking_shown = summary.type == JS_STRING && !js_str_eq(summary, STR("none"));
    if (r->thinking_shown || v[EFFORT].type == JS_STRING)
        r->thinking = CHAT_THINKING_ON;
    if (js_str_eq(v[EFFORT], STR("none"))) {
        r->thinking = CHAT_THINKING_OFF;
    } else if (v[EFFORT].type == JS_STRING) {
        r->effort = codec_effort(v[EFFORT]);
        if (r->effort == CHAT_EFFORT_UNSET)
            return chat_refuse(r, v[EFFORT], error,
                               "must be none, minimal, low, medium, high, xhigh or max");
    }
    if (v[CONTEXT].type != JS_NONE)
        chat_drop(&r->drops, STR("reasoning.context"));
    if (v[MODE].type != JS_NONE)
        chat_drop(&r->drops, STR("reasoning.mode"));
    return true;
}

static bool
read_include(struct chat_request *r, struct js_value include, struct proto_error *error)
{
    struct js_value key, one;
    struct js_iter it;

    if (!codec_want(r, include, JS_ARRAY, error))
        return false;
    for (js_iter_init(&it, include); js_next(&it, &key, &one);) {
        if (one.type != JS_STRING)
            return chat_refuse(r, one, error, "must be a string");
        if (js_str_eq(one, STR("reasoning.encrypted_content"))) {
            r->include_encrypted = true;
        } else if (js_str_eq(one, STR("message.output_text.logprobs"))) {
            r->logprobs = true;
            r->logprobs_at = one;
        } else {
            chat_drop(&r->drops, STR("include"));
        }
    }
    return true;
}

static bool
read_instructions(struct chat_request *r, struct chat_message ***end, struct js_value text,
                  struct proto_error *error)
{
    struct chat_message *message;
    struct chat_part **parts, *part;

    if (!codec_want(r, text, JS_STRING, error))
        return false;
    if (text.type != JS_STRING || text.raw.len == 0)
        return true;
    message = chat_message_add(r, end, CHAT_SYSTEM, text);
    if (message == NULL)
        return chat_no_room(error);
    message->leading = true;
    parts = &message->parts;
    part = chat_part_add(r, &parts, CHAT_PART_TEXT, text);
    if (part == NULL)
        return chat_no_room(error);
    part->text = text;
    return true;
}

static bool
request_read(struct chat_request *r, struct proto_error *error)
{
    struct chat_message **end = &r->messages;
    struct js_value fields[FIELD_COUNT];

    if (r->document.type != JS_OBJECT)
        return chat_refuse(r, r->document, error, "must be an object");
    codec_members(r->document, field_names, FIELD_COUNT, fields);
    drop_unknown(r);
    return refuse_kept(r, fields, error) && read_keeping(r, fields, error) &&
           read_knobs(r, fields, error) && read_flags(r, fields, error) &&
           read_text(r, fields[FIELD_TEXT], error) &&
           read_reasoning(r, fields[FIELD_REASONING], error) &&
           read_include(r, fields[FIELD_INCLUDE], error) &&
           responses_read_tools(r, fields[FIELD_TOOLS], error) &&
           responses_read_tool_choice(r, fields[FIELD_TOOL_CHOICE], error) &&
           read_instructions(r, &end, fields[FIELD_INSTRUCTIONS], error) &&
           responses_read_input(r, &end, fields[FIELD_INPUT], error);
}

const struct codec responses_codec = {
    .request_read = request_read,
    .request_write = responses_request_write,
    .event_read = responses_event_read,
    .stream_end = responses_stream_end,
    .answer_read = responses_answer_read,
    .delta_write = responses_delta_write,
    .answer_write = responses_answer_write,
    .echo_write = responses_echo_write,
};
