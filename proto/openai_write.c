/*
 * A neutral request as a chat completion: all but its messages (openai_write_messages.c).
 *
 * The upstream is OpenAI itself or one of the many servers that are like it. Where there is a
 * choice, what all of them take is written: custom tools are functions, and a server that knows only
 * "max_tokens" gets none of the fields that came after it.
 */
#include "base/str.h"
#include "proto/openai_in.h"

#define ID_LEN_MAX 64 /* of "user" and "prompt_cache_key": OpenAI refuses more */

static const struct chat_name_rule name_rule = {64, "", false};

/* A custom tool's text is a function's one string. */
static const char custom_schema[] =
    "{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},"
    "\"required\":[\"input\"],\"additionalProperties\":false}";

static const char shell_schema[] =
    "{\"type\":\"object\",\"properties\":{"
    "\"command\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
    "\"working_directory\":{\"type\":\"string\"},\"timeout_ms\":{\"type\":\"integer\"}},"
    "\"required\":[\"command\"]}";

struct str
openai_sent_name(struct openai_writer *w, enum chat_tool_kind kind, struct js_value space,
                 struct js_value name)
{
    if (name.type != JS_STRING && kind == CHAT_TOOL_LOCAL_SHELL)
        name = chat_literal("local_shell");
    return chat_sent_name(w->r, &name_rule, kind, space, name);
}

/* ---- tools ---- */

static void
write_parameters(struct jw *jw, const struct chat_tool *tool)
{
    switch (tool->kind) {
    case CHAT_TOOL_FUNCTION:
        if (tool->schema.type != JS_NONE)
            jw_key_js(jw, "parameters", tool->schema);
        if (tool->strict.type != JS_NONE)
            jw_key_js(jw, "strict", tool->strict);
        return;
    case CHAT_TOOL_CUSTOM:
        jw_key(jw, "parameters");
        jw_raw(jw, str_from(custom_schema));
        return;
    case CHAT_TOOL_LOCAL_SHELL:
        jw_key(jw, "parameters");
        jw_raw(jw, str_from(shell_schema));
        return;
    case CHAT_TOOL_HOSTED: /* chat_link() has dropped them */
    case CHAT_TOOL_ANSWER: break;
    }
}

static bool
write_tool(struct openai_writer *w, const struct chat_tool *tool)
{
    struct str name = openai_sent_name(w, tool->kind, tool->space, tool->name);
    struct jw *jw = &w->jw;

    if (name.ptr == NULL)
        return chat_no_room(w->error);
    jw_object(jw);
    jw_key_cstr(jw, "type", "function");
    jw_key(jw, "function");
    jw_object(jw);
    jw_key_str(jw, "name", name);
    if (tool->description.type == JS_STRING)
        jw_key_js(jw, "description", tool->description);
    else if (tool->kind == CHAT_TOOL_LOCAL_SHELL)
        jw_key_cstr(jw, "description", "Runs a command and gives its output.");
    write_parameters(jw, tool);
    jw_object_end(jw);
    jw_object_end(jw);
    return true;
}

static bool
write_choice(struct openai_writer *w)
{
    struct jw *jw = &w->jw;
    struct str name;

    switch (w->r->choice) {
    case CHAT_CHOICE_UNSET: return true;
    case CHAT_CHOICE_AUTO: jw_key_cstr(jw, "tool_choice", "auto"); return true;
    case CHAT_CHOICE_NONE: jw_key_cstr(jw, "tool_choice", "none"); return true;
    case CHAT_CHOICE_ANY: jw_key_cstr(jw, "tool_choice", "required"); return true;
    case CHAT_CHOICE_ONE: break;
    }
    /* Of the tool itself the name is known by now, whatever its kind. */
    name = openai_sent_name(w, CHAT_TOOL_FUNCTION, w->r->choice_space, w->r->choice_name);
    if (name.ptr == NULL)
        return chat_no_room(w->error);
    jw_key(jw, "tool_choice");
    jw_object(jw);
    jw_key_cstr(jw, "type", "function");
    jw_key(jw, "function");
    jw_object(jw);
    jw_key_str(jw, "name", name);
    jw_object_end(jw);
    jw_object_end(jw);
    return true;
}

/* Lists of allowed tools are little known: those that are not allowed are left out instead. */
static bool
write_tools(struct openai_writer *w)
{
    bool any = false;

    for (const struct chat_tool *t = w->r->tools; t != NULL; t = t->next) {
        if (t->unlisted || t->kind == CHAT_TOOL_HOSTED)
            continue;
        if (!any) {
            jw_key(&w->jw, "tools");
            jw_array(&w->jw);
        }
        any = true;
        if (!write_tool(w, t))
            return false;
    }
    if (!any)
        return true;
    jw_array_end(&w->jw);
    if (w->r->no_parallel)
        jw_key_bool(&w->jw, "parallel_tool_calls", false);
    return write_choice(w);
}

/* ---- fields ---- */

static void
write_format(struct openai_writer *w)
{
    const struct chat_request *r = w->r;
    struct jw *jw = &w->jw;

    if (r->format == CHAT_FORMAT_TEXT)
        return;
    jw_key(jw, "response_format");
    jw_object(jw);
    jw_key_cstr(jw, "type", r->format == CHAT_FORMAT_JSON ? "json_object" : "json_schema");
    if (r->format == CHAT_FORMAT_SCHEMA) {
        jw_key(jw, "json_schema");
        jw_object(jw);
        if (r->schema_name.type == JS_STRING && r->schema_name.raw.len > 0)
            jw_key_js(jw, "name", r->schema_name);
        else
            jw_key_cstr(jw, "name", "response");
        if (r->schema_description.type == JS_STRING)
            jw_key_js(jw, "description", r->schema_description);
        jw_key_js(jw, "schema", r->schema);
        if (r->schema_strict.type != JS_NONE)
            jw_key_js(jw, "strict", r->schema_strict);
        jw_object_end(jw);
    }
    jw_object_end(jw);
}

static void
write_thinking(struct openai_writer *w, struct chat_drops *drops)
{
    const struct chat_request *r = w->r;
    enum chat_effort effort = r->effort;

    if (!w->target->can_think) {
        if (r->thinking == CHAT_THINKING_ON)
            chat_drop(drops, codec_thinking_name(r));
        return;
    }
    if (r->thinking == CHAT_THINKING_OFF) {
        jw_key_cstr(&w->jw, "reasoning_effort", "none");
        return;
    }
    if (effort == CHAT_EFFORT_UNSET && r->thinking == CHAT_THINKING_ON && r->thinking_budget > 0)
        effort = codec_effort_of(r->thinking_budget);
    if (effort != CHAT_EFFORT_UNSET)
        jw_key_cstr(&w->jw, "reasoning_effort", chat_effort_name[effort]);
}

/* May the knob be written, for this client and this upstream? */
static bool
knob_fits(const struct openai_writer *w, enum chat_knob knob, struct js_value value)
{
    enum proto_protocol protocol = proto_of(w->r->endpoint);

    switch (knob) {
    case CHAT_TEMPERATURE:
    case CHAT_TOP_P: return !w->target->no_sampling;
    case CHAT_TOP_K: return false;
    case CHAT_SEED:
    case CHAT_PRESENCE_PENALTY:
    case CHAT_FREQUENCY_PENALTY:
    case CHAT_LOGIT_BIAS: return true;
    case CHAT_END_USER: return value.raw.len <= ID_LEN_MAX;
    case CHAT_CACHE_KEY: return !w->target->max_tokens_old && value.raw.len <= ID_LEN_MAX;
    case CHAT_CACHE_RETENTION:
    case CHAT_VERBOSITY: return !w->target->max_tokens_old;
    case CHAT_SERVICE_TIER: /* each maker has words of his own */
        return !w->target->max_tokens_old &&
               (protocol == PROTO_OPENAI || protocol == PROTO_RESPONSES);
    case CHAT_KNOB_COUNT: break;
    }
    return false;
}

static void
write_knobs(struct openai_writer *w, struct chat_drops *drops)
{
    static const char *const names[CHAT_KNOB_COUNT] = {
        [CHAT_TEMPERATURE] = "temperature",
        [CHAT_TOP_P] = "top_p",
        [CHAT_TOP_K] = "top_k",
        [CHAT_SEED] = "seed",
        [CHAT_PRESENCE_PENALTY] = "presence_penalty",
        [CHAT_FREQUENCY_PENALTY] = "frequency_penalty",
        [CHAT_LOGIT_BIAS] = "logit_bias",
        [CHAT_END_USER] = "user",
        [CHAT_CACHE_KEY] = "prompt_cache_key",
        [CHAT_CACHE_RETENTION] = "prompt_cache_retention",
        [CHAT_SERVICE_TIER] = "service_tier",
        [CHAT_VERBOSITY] = "verbosity",
    };
    unsigned taken = 0;

    for (unsigned i = 0; i < CHAT_KNOB_COUNT; i++) {
        struct js_value value = w->r->knobs[i].value;

        if (value.type == JS_NONE || !knob_fits(w, (enum chat_knob)i, value))
            continue;
        taken |= 1u << i;
        jw_key_js(&w->jw, names[i], value);
    }
    codec_drop_knobs(w->r, taken, drops);
}

static bool
write_stops(struct openai_writer *w)
{
    const struct chat_request *r = w->r;

    if (r->stop_count == 0)
        return true;
    if (r->stop_count > OPENAI_STOPS_MAX)
        return chat_refuse(r, r->stop_at, w->error,
                           "the model's server takes no more than %d stop sequences",
                           OPENAI_STOPS_MAX);
    jw_key(&w->jw, "stop");
    jw_array(&w->jw);
    for (size_t i = 0; i < r->stop_count; i++)
        jw_js(&w->jw, r->stops[i]);
    jw_array_end(&w->jw);
    return true;
}

static void
write_limits(struct openai_writer *w)
{
    const struct chat_request *r = w->r;
    uint32_t max = r->output_max;

    if (w->target->output_max > 0)
        max = MIN(max, w->target->output_max);
    if (max > 0)
        jw_key_u64(&w->jw, w->target->max_tokens_old ? "max_tokens" : "max_completion_tokens",
                   max);
    if (r->choice_count > 1)
        jw_key_u64(&w->jw, "n", r->choice_count);
    if (r->logprobs) {
        jw_key_bool(&w->jw, "logprobs", true);
        if (r->top_logprobs > 0)
            jw_key_u64(&w->jw, "top_logprobs", r->top_logprobs);
    }
}

/* The usage is always asked for: it is what the call is paid by. */
static void
write_stream(struct openai_writer *w)
{
    if (!w->target->stream)
        return;
    jw_key_bool(&w->jw, "stream", true);
    jw_key(&w->jw, "stream_options");
    jw_object(&w->jw);
    jw_key_bool(&w->jw, "include_usage", true);
    jw_object_end(&w->jw);
}

/* ---- the request ---- */

bool
openai_request_write(struct chat_request *r, const struct chat_target *target,
                     struct chat_drops *drops, struct buf *out, struct proto_error *error)
{
    struct openai_writer w = {.r = r, .target = target, .out = out, .error = error};

    jw_init(&w.jw, out);
    jw_object(&w.jw);
    jw_key(&w.jw, "model");
    jw_raw(&w.jw, target->model_json);
    if (!openai_write_messages(&w) || !write_tools(&w))
        return false;
    write_format(&w);
    write_thinking(&w, drops);
    write_knobs(&w, drops);
    if (!write_stops(&w))
        return false;
    write_limits(&w);
    write_stream(&w);
    jw_object_end(&w.jw);
    codec_drop_marks(r, drops);
    for (const struct chat_tool *t = r->tools; t != NULL; t = t->next)
        if (t->kind == CHAT_TOOL_CUSTOM && t->format.type != JS_NONE && !t->unlisted)
            chat_drop(drops, STR("format"));
    return out->failed ? chat_no_room(error) : true;
}
