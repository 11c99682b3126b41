/*
 * Requests of chat completions into the neutral form: the members of the top level. The messages
 * are read in openai_messages.c, the tools in openai_tools.c.
 *
 * What is not read here is dropped by its name: it either says nothing about the answer (metadata),
 * or only what it costs and how fast it comes (prediction, prompt_cache_options), or is unknown.
 * Only sound as an answer is refused, since nobody else could give it.
 */
#include "base/str.h"
#include "proto/openai_in.h"
#include "proto/pick.h"

#define OUTPUT_TOKENS_MAX 1000000000u
#define TOP_K_MAX 1000000000u
#define TOP_LOGPROBS_MAX 20

enum { CHAT = 1, COMPLETIONS = 2, BOTH = CHAT | COMPLETIONS };

static const struct {
    struct str name;
    uint8_t where;
} fields[OPENAI_FIELD_COUNT] = {
#define FIELD(literal, where) {PICK_NAME(literal), (where)}
    [OPENAI_BEST_OF] = FIELD("best_of", COMPLETIONS),
    [OPENAI_ECHO] = FIELD("echo", COMPLETIONS),
    [OPENAI_FREQUENCY_PENALTY] = FIELD("frequency_penalty", BOTH),
    [OPENAI_FUNCTION_CALL] = FIELD("function_call", CHAT),
    [OPENAI_FUNCTIONS] = FIELD("functions", CHAT),
    [OPENAI_LOGIT_BIAS] = FIELD("logit_bias", BOTH),
    [OPENAI_LOGPROBS] = FIELD("logprobs", BOTH),
    [OPENAI_MAX_COMPLETION_TOKENS] = FIELD("max_completion_tokens", CHAT),
    [OPENAI_MAX_TOKENS] = FIELD("max_tokens", BOTH),
    [OPENAI_MESSAGES] = FIELD("messages", CHAT),
    [OPENAI_MODALITIES] = FIELD("modalities", CHAT),
    [OPENAI_MODEL] = FIELD("model", BOTH),
    [OPENAI_N] = FIELD("n", BOTH),
    [OPENAI_PARALLEL_TOOL_CALLS] = FIELD("parallel_tool_calls", CHAT),
    [OPENAI_PRESENCE_PENALTY] = FIELD("presence_penalty", BOTH),
    [OPENAI_PROMPT] = FIELD("prompt", COMPLETIONS),
    [OPENAI_PROMPT_CACHE_KEY] = FIELD("prompt_cache_key", CHAT),
    [OPENAI_PROMPT_CACHE_RETENTION] = FIELD("prompt_cache_retention", CHAT),
    [OPENAI_REASONING_EFFORT] = FIELD("reasoning_effort", CHAT),
    [OPENAI_RESPONSE_FORMAT] = FIELD("response_format", CHAT),
    [OPENAI_SAFETY_IDENTIFIER] = FIELD("safety_identifier", CHAT),
    [OPENAI_SEED] = FIELD("seed", BOTH),
    [OPENAI_SERVICE_TIER] = FIELD("service_tier", CHAT),
    [OPENAI_STOP] = FIELD("stop", BOTH),
    [OPENAI_STORE] = FIELD("store", CHAT),
    [OPENAI_STREAM] = FIELD("stream", BOTH),
    [OPENAI_STREAM_OPTIONS] = FIELD("stream_options", BOTH),
    [OPENAI_SUFFIX] = FIELD("suffix", COMPLETIONS),
    [OPENAI_TEMPERATURE] = FIELD("temperature", BOTH),
    [OPENAI_TOOL_CHOICE] = FIELD("tool_choice", CHAT),
    [OPENAI_TOOLS] = FIELD("tools", CHAT),
    [OPENAI_TOP_K] = FIELD("top_k", BOTH),
    [OPENAI_TOP_LOGPROBS] = FIELD("top_logprobs", CHAT),
    [OPENAI_TOP_P] = FIELD("top_p", BOTH),
    [OPENAI_USER] = FIELD("user", BOTH),
    [OPENAI_VERBOSITY] = FIELD("verbosity", CHAT),
#undef FIELD
};

static unsigned
field_called(struct js_value key, unsigned where)
{
    for (unsigned i = 0; i < OPENAI_FIELD_COUNT; i++)
        if ((fields[i].where & where) != 0 && js_str_eq(key, fields[i].name))
            return i;
    return OPENAI_FIELD_COUNT;
}

void
openai_fields(struct chat_request *r, struct js_value values[OPENAI_FIELD_COUNT])
{
    unsigned where = r->endpoint == ENDPOINT_COMPLETIONS ? COMPLETIONS : CHAT;
    struct js_value key, value;
    struct js_iter it;

    for (unsigned i = 0; i < OPENAI_FIELD_COUNT; i++)
        values[i] = (struct js_value){.type = JS_NONE};
    for (js_iter_init(&it, r->document); js_next(&it, &key, &value);) {
        unsigned field = field_called(key, where);

        if (value.type == JS_NULL)
            value = (struct js_value){.type = JS_NONE};
        if (field < OPENAI_FIELD_COUNT)
            values[field] = value;
        else if (value.type != JS_NONE)
            chat_drop(&r->drops, key.raw);
    }
}

bool
openai_want_string(const struct chat_request *r, struct js_value parent, struct js_value value,
                   const char *name, struct proto_error *error)
{
    if (value.type == JS_NONE)
        return chat_refuse(r, parent, error, "%s is missing", name);
    return codec_want(r, value, JS_STRING, error);
}

/* ---- what both endpoints have ---- */

/* Those of the knobs whose only rule is their type. */
static const struct {
    enum openai_field field;
    enum chat_knob knob;
    enum js_type type;
} knobs[] = {
    {OPENAI_TEMPERATURE, CHAT_TEMPERATURE, JS_NUMBER},
    {OPENAI_TOP_P, CHAT_TOP_P, JS_NUMBER},
    {OPENAI_TOP_K, CHAT_TOP_K, JS_NUMBER},
    {OPENAI_SEED, CHAT_SEED, JS_NUMBER},
    {OPENAI_PRESENCE_PENALTY, CHAT_PRESENCE_PENALTY, JS_NUMBER},
    {OPENAI_FREQUENCY_PENALTY, CHAT_FREQUENCY_PENALTY, JS_NUMBER},
    {OPENAI_LOGIT_BIAS, CHAT_LOGIT_BIAS, JS_OBJECT},
    {OPENAI_USER, CHAT_END_USER, JS_STRING},
    {OPENAI_SAFETY_IDENTIFIER, CHAT_END_USER, JS_STRING}, /* the newer name of user: it wins */
    {OPENAI_PROMPT_CACHE_KEY, CHAT_CACHE_KEY, JS_STRING},
    {OPENAI_PROMPT_CACHE_RETENTION, CHAT_CACHE_RETENTION, JS_STRING},
    {OPENAI_SERVICE_TIER, CHAT_SERVICE_TIER, JS_STRING},
    {OPENAI_VERBOSITY, CHAT_VERBOSITY, JS_STRING},
};

static bool
read_knobs(struct chat_request *r, const struct js_value values[OPENAI_FIELD_COUNT],
           struct proto_error *error)
{
    struct js_value seed = values[OPENAI_SEED];
    uint32_t top_k;
    int64_t n;

    for (size_t i = 0; i < COUNT_OF(knobs); i++) {
        struct js_value value = values[knobs[i].field];

        if (!codec_want(r, value, knobs[i].type, error))
            return false;
        codec_knob(r, knobs[i].knob, fields[knobs[i].field].name.ptr, value);
    }
    if (seed.type != JS_NONE && !js_i64(seed, &n))
        return chat_refuse(r, seed, error, "must be a whole number");
    return codec_want_count(r, values[OPENAI_TOP_K], 0, TOP_K_MAX, &top_k, error);
}

static bool
read_stream(struct chat_request *r, const struct js_value values[OPENAI_FIELD_COUNT],
            struct proto_error *error)
{
    static const struct str names[] = {PICK_NAME("include_usage")};
    struct js_value options = values[OPENAI_STREAM_OPTIONS], include[1];

    if (!codec_want_bool(r, values[OPENAI_STREAM], &r->stream, error) ||
        !codec_want(r, options, JS_OBJECT, error))
        return false;
    codec_members(options, names, 1, include);
    return codec_want_bool(r, include[0], &r->include_usage, error);
}

bool
openai_read_common(struct chat_request *r, const struct js_value values[OPENAI_FIELD_COUNT],
                   struct proto_error *error)
{
    struct js_value n = values[OPENAI_N];
    uint32_t older = 0;

    if (!read_knobs(r, values, error) || !read_stream(r, values, error) ||
        !codec_stops(r, values[OPENAI_STOP], OPENAI_STOPS_MAX, error))
        return false;
    if (!codec_want_count(r, values[OPENAI_MAX_COMPLETION_TOKENS], 1, OUTPUT_TOKENS_MAX,
                          &r->output_max, error) ||
        !codec_want_count(r, values[OPENAI_MAX_TOKENS], 1, OUTPUT_TOKENS_MAX, &older, error))
        return false;
    r->output_max = MAX(r->output_max, older);
    r->choice_count_at = n;
    return codec_want_count(r, n, 1, CODEC_CHOICES_MAX, &r->choice_count, error);
}

/* ---- what only chat has ---- */

static bool
read_modalities(const struct chat_request *r, struct js_value list, struct proto_error *error)
{
    struct js_value key, one;
    struct js_iter it;

    if (!codec_want(r, list, JS_ARRAY, error))
        return false;
    for (js_iter_init(&it, list); js_next(&it, &key, &one);)
        if (!js_str_eq(one, STR("text")))
            return chat_refuse(r, one, error, "the model's server answers in text only");
    return true;
}

static bool
read_logprobs(struct chat_request *r, const struct js_value values[OPENAI_FIELD_COUNT],
              struct proto_error *error)
{
    struct js_value top = values[OPENAI_TOP_LOGPROBS];

    if (!codec_want_bool(r, values[OPENAI_LOGPROBS], &r->logprobs, error) ||
        !codec_want_count(r, top, 0, TOP_LOGPROBS_MAX, &r->top_logprobs, error))
        return false;
    if (r->top_logprobs > 0 && !r->logprobs)
        return chat_refuse(r, top, error, "needs logprobs to be true");
    r->logprobs_at = values[OPENAI_LOGPROBS];
    return true;
}

static bool
read_schema(struct chat_request *r, struct js_value format, struct js_value given,
            struct proto_error *error)
{
    enum { NAME, DESCRIPTION, SCHEMA, STRICT, COUNT };
    static const struct str names[COUNT] = {
        [NAME] = PICK_NAME("name"),
        [DESCRIPTION] = PICK_NAME("description"),
        [SCHEMA] = PICK_NAME("schema"),
        [STRICT] = PICK_NAME("strict"),
    };
    struct js_value values[COUNT];
    bool strict;

    if (given.type == JS_NONE)
        return chat_refuse(r, format, error, "json_schema is missing");
    if (!codec_want(r, given, JS_OBJECT, error))
        return false;
    codec_members(given, names, COUNT, values);
    if (!codec_want(r, values[NAME], JS_STRING, error) ||
        !codec_want(r, values[DESCRIPTION], JS_STRING, error) ||
        !codec_want(r, values[SCHEMA], JS_OBJECT, error) ||
        !codec_want_bool(r, values[STRICT], &strict, error))
        return false;
    if (values[SCHEMA].type == JS_NONE)
        return chat_refuse(r, given, error, "schema is missing");
    r->format = CHAT_FORMAT_SCHEMA;
    r->schema = values[SCHEMA];
    r->schema_name = values[NAME];
    r->schema_description = values[DESCRIPTION];
    r->schema_strict = values[STRICT];
    return true;
}

static bool
read_format(struct chat_request *r, struct js_value format, struct proto_error *error)
{
    static const struct str names[] = {PICK_NAME("type"), PICK_NAME("json_schema")};
    struct js_value values[2];

    if (format.type == JS_NONE)
        return true;
    if (!codec_want(r, format, JS_OBJECT, error))
        return false;
    codec_members(format, names, 2, values);
    r->format_at = format;
    if (!openai_want_string(r, format, values[0], "type", error))
        return false;
    if (js_str_eq(values[0], STR("json_schema")))
        return read_schema(r, format, values[1], error);
    if (js_str_eq(values[0], STR("json_object")))
        r->format = CHAT_FORMAT_JSON;
    else if (!js_str_eq(values[0], STR("text")))
        return chat_refuse(r, values[0], error, "must be text, json_object or json_schema");
    return true;
}

static bool
read_effort(struct chat_request *r, struct js_value effort, struct proto_error *error)
{
    if (effort.type == JS_NONE)
        return true;
    if (!codec_want(r, effort, JS_STRING, error))
        return false;
    r->thinking_at = effort;
    if (js_str_eq(effort, STR("none"))) {
        r->thinking = CHAT_THINKING_OFF;
        return true;
    }
    r->effort = codec_effort(effort);
    if (r->effort == CHAT_EFFORT_UNSET)
        return chat_refuse(r, effort, error,
                           "must be none, minimal, low, medium, high, xhigh or max");
    r->thinking = CHAT_THINKING_ON;
    /* Clients of this protocol have no word for it; those who know reasoning_content show it. */
    r->thinking_shown = true;
    return true;
}

static bool
openai_request_read(struct chat_request *r, struct proto_error *error)
{
    struct js_value values[OPENAI_FIELD_COUNT], store;

    openai_fields(r, values);
    if (!openai_read_common(r, values, error) ||
        !read_modalities(r, values[OPENAI_MODALITIES], error) ||
        !read_logprobs(r, values, error) ||
        !read_format(r, values[OPENAI_RESPONSE_FORMAT], error) ||
        !read_effort(r, values[OPENAI_REASONING_EFFORT], error))
        return false;
    store = values[OPENAI_STORE];
    if (store.type != JS_NONE && store.type != JS_FALSE)
        chat_drop(&r->drops, STR("store"));
    return openai_read_messages(r, values[OPENAI_MESSAGES], error) &&
           openai_read_tools(r, values, error);
}

const struct codec openai_codec = {
    .request_read = openai_request_read,
    .request_write = openai_request_write,
    .event_read = openai_event_read,
    .stream_end = openai_stream_end,
    .answer_read = openai_answer_read,
    .delta_write = openai_delta_write,
    .answer_write = openai_answer_write,
    .has_older_calls = openai_has_older_calls,
};
