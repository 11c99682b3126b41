/*
 * Writes a request for an upstream that speaks Anthropic's Messages. What is said in it:
 * anthropic_turns.c.
 *
 * Whether the model is to think is decided first, since much hangs on it: thinking is part of
 * max_tokens, excludes a temperature, must not meet a tool that has to be called, and has to be
 * there already where the results of calls are sent back.
 */
#include <string.h>

#include "base/str.h"
#include "proto/anthropic.h"

#define BUDGET_MIN 1024u
#define MAX_TOKENS_UNKNOWN 4096u
#define MARKS_MAX 4u /* cache_control in one request */

#define BIT(knob) (1u << (knob))

/* ---- thinking and max_tokens ---- */

static struct str
format_name(const struct chat_request *r)
{
    switch (proto_of(r->endpoint)) {
    case PROTO_OPENAI: return STR("response_format");
    case PROTO_RESPONSES: return STR("text.format");
    case PROTO_ANTHROPIC: return STR("output_config.format");
    case PROTO_GEMINI: return STR("generationConfig.responseMimeType");
    case PROTO_PROTOCOL_COUNT: break;
    }
    return STR("response_format");
}

static uint32_t
at_most(uint64_t tokens, uint32_t limit)
{
    return (uint32_t)MIN(tokens, limit > 0 ? limit : UINT32_MAX);
}

/* What the client has said of max_tokens is for the answer. The budget comes on top, and where the
 * model's own limit does not allow both, the answer keeps at least half. */
static bool
plan_budget(struct anthropic_writer *w)
{
    const struct chat_request *r = w->r;
    enum chat_effort effort = r->effort != CHAT_EFFORT_UNSET ? r->effort : CHAT_EFFORT_MEDIUM;
    uint32_t answer = w->max_tokens, max_tokens = answer;
    uint32_t budget = r->thinking_budget > 0 ? r->thinking_budget : chat_budget_of(effort);

    budget = MAX(budget, BUDGET_MIN);
    if (budget >= max_tokens) {
        max_tokens = at_most((uint64_t)budget + answer, w->target->output_max);
        budget = MIN(budget, max_tokens - MIN(answer, max_tokens / 2));
    }
    if (budget < BUDGET_MIN || budget >= max_tokens)
        return false;
    w->max_tokens = max_tokens;
    w->budget = budget;
    return true;
}

static bool
must_call(const struct chat_request *r)
{
    return r->choice == CHAT_CHOICE_ANY || r->choice == CHAT_CHOICE_ONE;
}

static bool
has_schema(const struct chat_request *r)
{
    return r->format == CHAT_FORMAT_SCHEMA && r->schema.type == JS_OBJECT;
}

static void
plan_thinking(struct anthropic_writer *w)
{
    const struct chat_request *r = w->r;
    bool forced = must_call(r) || w->answers_by_tool;

    if (r->thinking != CHAT_THINKING_ON)
        return;
    w->adaptive = w->target->think_by_effort;
    if (w->target->can_think && w->adaptive) {
        w->effort = r->effort != CHAT_EFFORT_UNSET ? r->effort
                    : r->thinking_budget > 0       ? codec_effort_of(r->thinking_budget)
                                                   : CHAT_EFFORT_UNSET;
        w->think = !forced;
    } else if (w->target->can_think) {
        w->think = !forced && !anthropic_must_not_think(r, w->target->tag) && plan_budget(w);
    }
    if (!w->think)
        chat_drop(w->drops, codec_thinking_name(r));
}

static void
thinking_write(struct anthropic_writer *w)
{
    if (!w->think)
        return;
    jw_key(&w->jw, "thinking");
    jw_object(&w->jw);
    jw_key_cstr(&w->jw, "type", w->adaptive ? "adaptive" : "enabled");
    if (!w->adaptive)
        jw_key_u64(&w->jw, "budget_tokens", w->budget);
    else if (w->r->thinking_shown)
        jw_key_cstr(&w->jw, "display", "summarized");
    jw_object_end(&w->jw);
}

static void
output_config_write(struct anthropic_writer *w)
{
    const struct chat_request *r = w->r;
    bool schema = has_schema(r) && !w->target->no_schemas;
    enum chat_effort effort = MAX(w->effort, CHAT_EFFORT_LOW);

    if (w->effort == CHAT_EFFORT_UNSET && !schema)
        return;
    jw_key(&w->jw, "output_config");
    jw_object(&w->jw);
    if (w->effort != CHAT_EFFORT_UNSET)
        jw_key_cstr(&w->jw, "effort", chat_effort_name[effort]);
    if (schema) {
        jw_key(&w->jw, "format");
        jw_object(&w->jw);
        jw_key_cstr(&w->jw, "type", "json_schema");
        jw_key_js(&w->jw, "schema", r->schema);
        jw_object_end(&w->jw);
    }
    jw_object_end(&w->jw);
}

/* ---- tools ---- */

/* A grammar cannot be enforced here: the model is told of it. */
static void
description_write(struct anthropic_writer *w, const struct chat_tool *tool)
{
    struct buf *out = w->jw.buf;
    struct js_value grammar = js_get(tool->format, STR("definition"));
    struct js_value description = tool->description;

    if (grammar.type == JS_NONE)
        grammar = js_path(tool->format, "grammar", "definition", NULL);
    if (tool->kind == CHAT_TOOL_LOCAL_SHELL && description.type == JS_NONE)
        description = chat_literal("Runs a command and answers with what it prints.");
    if (grammar.type != JS_STRING && description.type != JS_STRING)
        return;
    jw_key_js(&w->jw, "description",
              description.type == JS_STRING ? description : chat_literal(""));
    if (grammar.type != JS_STRING || out->failed)
        return;
    out->len--; /* the string goes on */
    if (description.type == JS_STRING && description.raw.len > 0)
        buf_add_str(out, STR("\\n\\n"));
    buf_add_str(out, STR("The input must follow this grammar:\\n"));
    buf_add(out, grammar.raw.ptr, grammar.raw.len);
    buf_add_char(out, '"');
}

static void
schema_write(struct anthropic_writer *w, const struct chat_tool *tool)
{
    struct str schema = STR("{\"type\":\"object\",\"properties\":{}}");

    if (tool->kind == CHAT_TOOL_CUSTOM)
        schema = STR("{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},"
                     "\"required\":[\"input\"]}");
    else if (tool->kind == CHAT_TOOL_LOCAL_SHELL)
        schema = STR("{\"type\":\"object\",\"properties\":{\"command\":{\"type\":\"array\","
                     "\"items\":{\"type\":\"string\"}}},\"required\":[\"command\"]}");
    else if (tool->schema.type == JS_OBJECT)
        schema = tool->schema.raw;
    jw_key(&w->jw, "input_schema");
    jw_raw(&w->jw, schema);
}

static bool
tool_write(struct anthropic_writer *w, const struct chat_tool *tool)
{
    jw_object(&w->jw);
    if (!anthropic_name_write(w, tool->kind, tool->space, tool->name))
        return false;
    description_write(w, tool);
    schema_write(w, tool);
    if (tool->strict.type != JS_NONE)
        jw_key_js(&w->jw, "strict", tool->strict);
    anthropic_cache_write(w, tool->cache);
    jw_object_end(&w->jw);
    return true;
}

static bool
is_offered(const struct chat_tool *tool)
{
    return !tool->unlisted && tool->kind != CHAT_TOOL_HOSTED;
}

/* What the model is to call with its answer. */
static bool
answer_tool_write(struct anthropic_writer *w)
{
    w->answer_name = chat_answer_name(w->r);
    if (w->answer_name.ptr == NULL)
        return chat_no_room(w->error);
    jw_object(&w->jw);
    jw_key_quoted(&w->jw, "name", w->answer_name);
    if (w->r->schema_description.type == JS_STRING)
        jw_key_js(&w->jw, "description", w->r->schema_description);
    else
        jw_key_cstr(&w->jw, "description", "Gives the answer.");
    jw_key_js(&w->jw, "input_schema", w->r->schema);
    jw_object_end(&w->jw);
    return true;
}

static void
tools_open(struct anthropic_writer *w, bool any)
{
    if (any)
        return;
    jw_key(&w->jw, "tools");
    jw_array(&w->jw);
}

static bool
tools_write(struct anthropic_writer *w, bool *any)
{
    *any = false;
    for (const struct chat_tool *t = w->r->tools; t != NULL; t = t->next) {
        if (!is_offered(t))
            continue;
        tools_open(w, *any);
        *any = true;
        if (!tool_write(w, t))
            return false;
    }
    if (w->answers_by_tool) {
        tools_open(w, *any);
        if (!answer_tool_write(w))
            return false;
    }
    if (*any || w->answers_by_tool)
        jw_array_end(&w->jw);
    return true;
}

/* Others: of which it may call one instead. */
static void
answer_choice_write(struct anthropic_writer *w, bool others)
{
    jw_key(&w->jw, "tool_choice");
    jw_object(&w->jw);
    jw_key_cstr(&w->jw, "type", others ? "any" : "tool");
    if (!others)
        jw_key_quoted(&w->jw, "name", w->answer_name);
    jw_key_bool(&w->jw, "disable_parallel_tool_use", true);
    jw_object_end(&w->jw);
}

/* The kind of the tool that must be called is known since tools_write() has named them all. */
static bool
choice_write(struct anthropic_writer *w, bool any_tools)
{
    static const char *const types[] = {
        [CHAT_CHOICE_UNSET] = "auto", [CHAT_CHOICE_AUTO] = "auto", [CHAT_CHOICE_NONE] = "none",
        [CHAT_CHOICE_ANY] = "any",    [CHAT_CHOICE_ONE] = "tool",
    };
    const struct chat_request *r = w->r;

    if (w->answers_by_tool) {
        answer_choice_write(w, any_tools && r->choice != CHAT_CHOICE_NONE);
        return true;
    }
    if (!any_tools || (r->choice == CHAT_CHOICE_UNSET && !r->no_parallel))
        return true;
    jw_key(&w->jw, "tool_choice");
    jw_object(&w->jw);
    jw_key_cstr(&w->jw, "type", types[r->choice]);
    if (r->choice == CHAT_CHOICE_ONE &&
        !anthropic_name_write(w, CHAT_TOOL_FUNCTION, r->choice_space, r->choice_name))
        return false;
    if (r->no_parallel && r->choice != CHAT_CHOICE_NONE)
        jw_key_bool(&w->jw, "disable_parallel_tool_use", true);
    jw_object_end(&w->jw);
    return true;
}

/* ---- sampling ---- */

static bool
is_one(struct js_value number)
{
    return str_eq(number.raw, STR("1")) || str_eq(number.raw, STR("1.0"));
}

/* A model that thinks takes top_p only from 0.95 to 1. */
static bool
is_near_one(struct js_value number)
{
    return is_one(number) || (str_starts_with(number.raw, STR("0.9")) && number.raw.len > 3 &&
                              number.raw.ptr[3] >= '5' && number.raw.ptr[3] <= '9' &&
                              memchr(number.raw.ptr, 'e', number.raw.len) == NULL &&
                              memchr(number.raw.ptr, 'E', number.raw.len) == NULL);
}

/* Gives the knobs that were taken. */
static unsigned
sampling_write(struct anthropic_writer *w)
{
    const struct chat_field *temperature = &w->r->knobs[CHAT_TEMPERATURE];
    struct js_value top_p = w->r->knobs[CHAT_TOP_P].value;
    struct js_value top_k = w->r->knobs[CHAT_TOP_K].value;
    unsigned taken = 0;

    if (w->target->no_sampling)
        return 0;
    if (!w->think && temperature->value.type != JS_NONE) {
        bool above = codec_above_one(temperature->value);

        taken |= above ? 0 : BIT(CHAT_TEMPERATURE);
        /* 1 is the default, and newer models take either of the two, not both. */
        if (top_p.type == JS_NONE || (!above && !is_one(temperature->value))) {
            jw_key(&w->jw, "temperature");
            jw_raw(&w->jw, above ? STR("1") : temperature->value.raw);
        }
    }
    if (top_p.type != JS_NONE && (!w->think || is_near_one(top_p))) {
        taken |= BIT(CHAT_TOP_P);
        jw_key_js(&w->jw, "top_p", top_p);
    }
    if (!w->think && top_k.type != JS_NONE) {
        taken |= BIT(CHAT_TOP_K);
        jw_key_js(&w->jw, "top_k", top_k);
    }
    return taken;
}

/* ---- all of it ---- */

/* The service takes none that is nothing but blanks. */
static bool
refuse_blank_stops(const struct chat_request *r, struct proto_error *error)
{
    for (size_t i = 0; i < r->stop_count; i++) {
        struct str text = chat_text(r->arena, r->stops[i]);
        size_t at = 0;

        if (text.ptr == NULL)
            return chat_no_room(error);
        while (at < text.len && memchr(" \t\n\v\f\r", text.ptr[at], 6) != NULL)
            at++;
        if (at == text.len)
            return chat_refuse(r, r->stops[i], error,
                               "the model takes no stop sequence of nothing but blanks");
    }
    return true;
}

static bool
refuse_unheld(const struct chat_request *r, struct proto_error *error)
{
    if (r->choice_count > 1)
        return chat_refuse(r, r->choice_count_at, error,
                           "the model gives one answer at a time, not several");
    if (r->logprobs)
        return chat_refuse(r, r->logprobs_at, error, "the model gives no log probabilities");
    return refuse_blank_stops(r, error);
}

static unsigned
marks_over(const struct chat_request *r)
{
    unsigned count = anthropic_marks_count(r);

    for (const struct chat_tool *t = r->tools; t != NULL; t = t->next)
        count += is_offered(t) && t->cache != CHAT_CACHE_NONE;
    return count > MARKS_MAX ? count - MARKS_MAX : 0;
}

static void
head_write(struct anthropic_writer *w)
{
    jw_key(&w->jw, "model");
    jw_raw(&w->jw, w->target->model_json);
    jw_key_u64(&w->jw, "max_tokens", w->max_tokens);
    if (w->target->stream)
        jw_key_bool(&w->jw, "stream", true);
}

/* Likewise. */
static unsigned
tail_write(struct anthropic_writer *w)
{
    struct js_value user = w->r->knobs[CHAT_END_USER].value;
    unsigned taken;

    thinking_write(w);
    output_config_write(w);
    if (w->r->stop_count > 0) {
        jw_key(&w->jw, "stop_sequences");
        jw_array(&w->jw);
        for (size_t i = 0; i < w->r->stop_count; i++)
            jw_js(&w->jw, w->r->stops[i]);
        jw_array_end(&w->jw);
    }
    taken = sampling_write(w);
    if (user.type == JS_NONE)
        return taken;
    jw_key(&w->jw, "metadata");
    jw_object(&w->jw);
    jw_key_js(&w->jw, "user_id", user);
    jw_object_end(&w->jw);
    return taken | BIT(CHAT_END_USER);
}

bool
anthropic_request_write(struct chat_request *r, const struct chat_target *target,
                        struct chat_drops *drops, struct buf *out, struct proto_error *error)
{
    uint32_t wanted = r->output_max > 0         ? r->output_max
                      : target->output_max > 0 ? target->output_max
                                               : MAX_TOKENS_UNKNOWN;
    struct anthropic_writer w = {
        .r = r,
        .target = target,
        .drops = drops,
        .error = error,
        .max_tokens = at_most(wanted, target->output_max),
        .marks_over = marks_over(r),
        /* Where a tool of the client's must be called, what it is called with is all of the answer. */
        .answers_by_tool = has_schema(r) && target->no_schemas && !must_call(r),
    };
    unsigned taken;
    bool any_tools;

    if (!refuse_unheld(r, error))
        return false;
    plan_thinking(&w);
    jw_init(&w.jw, out);
    jw_object(&w.jw);
    head_write(&w);
    if (!tools_write(&w, &any_tools) || !choice_write(&w, any_tools) || !anthropic_turns_write(&w))
        return false;
    taken = tail_write(&w);
    jw_object_end(&w.jw);
    if (r->format == CHAT_FORMAT_JSON ||
        (has_schema(r) && target->no_schemas && !w.answers_by_tool))
        chat_drop(drops, format_name(r));
    if (marks_over(r) > 0)
        chat_drop(drops, codec_marks_name(r));
    codec_drop_knobs(r, taken, drops);
    return out->failed ? chat_no_room(error) : true;
}

const struct codec anthropic_codec = {
    .request_read = anthropic_request_read,
    .request_write = anthropic_request_write,
    .event_read = anthropic_event_read,
    .stream_end = anthropic_stream_end,
    .answer_read = anthropic_answer_read,
    .delta_write = anthropic_delta_write,
    .answer_write = anthropic_answer_write,
};
