/*
 * Requests for upstreams that speak Responses. Nothing is kept there: each request has the whole
 * conversation, "store" is false, and reasoning goes back and forth encrypted.
 */
#include "base/str.h"
#include "proto/responses_in.h"

/* As the provider has them: longer ones are refused there. */
#define CALL_ID_LEN_MAX 64
#define USER_LEN_MAX 64
#define OUTPUT_MAX_LEAST 16

static const struct chat_name_rule name_rule = {64, "", false};

struct request_writer {
    struct chat_request *r;
    const struct chat_target *target;
    struct chat_drops *drops;
    struct proto_error *error;
    struct jw jw;
    bool any; /* there is an item in the input */
};

/* Behind a key: its value is appended to the buffer by who calls this. */
static struct buf *
by_hand(struct jw *jw)
{
    jw->after_key = false;
    return jw->buf;
}

/* ---- parts ---- */

static void
write_text(struct jw *jw, const char *type, struct str prefix, struct js_value text)
{
    struct buf *out;

    jw_object(jw);
    jw_key_cstr(jw, "type", type);
    jw_key(jw, "text");
    out = by_hand(jw);
    buf_add_char(out, '"');
    buf_add_str(out, prefix);
    buf_add_str(out, text.raw);
    buf_add_char(out, '"');
    jw_object_end(jw);
}

static void
write_image(struct jw *jw, const struct chat_part *part)
{
    jw_object(jw);
    jw_key_cstr(jw, "type", "input_image");
    jw_key(jw, "image_url");
    if (part->source == CHAT_SOURCE_DATA)
        chat_write_data_url(by_hand(jw), part);
    else
        jw_js(jw, part->data);
    if (part->detail.type == JS_STRING)
        jw_key_js(jw, "detail", part->detail);
    jw_object_end(jw);
}

static void
write_document(struct jw *jw, const struct chat_part *part)
{
    if (part->source == CHAT_SOURCE_TEXT) {
        write_text(jw, "input_text", STR(""), part->text);
        return;
    }
    jw_object(jw);
    jw_key_cstr(jw, "type", "input_file");
    if (part->source == CHAT_SOURCE_URL) {
        jw_key_js(jw, "file_url", part->data);
    } else {
        /* Data without a name is not taken. */
        jw_key_js(jw, "filename",
                  part->name.type == JS_STRING ? part->name : chat_literal("document.pdf"));
        jw_key(jw, "file_data");
        chat_write_data_url(by_hand(jw), part);
    }
    jw_object_end(jw);
}

/* A part of what a user says, or a tool answers. */
static bool
write_input_part(struct request_writer *w, const struct chat_part *part, struct str prefix)
{
    switch (part->kind) {
    case CHAT_PART_TEXT: write_text(&w->jw, "input_text", prefix, part->text); return true;
    case CHAT_PART_IMAGE: write_image(&w->jw, part); return true;
    case CHAT_PART_DOCUMENT: write_document(&w->jw, part); return true;
    case CHAT_PART_AUDIO: return codec_write_sound(w->r, part, &w->jw, w->error);
    case CHAT_PART_CALL:
    case CHAT_PART_RESULT:
    case CHAT_PART_REASONING:
    case CHAT_PART_REFUSAL:
    case CHAT_PART_KIND_COUNT: break;
    }
    return chat_refuse(w->r, part->at, w->error, "cannot stand here");
}

/* ---- items ---- */

static bool
is_empty(const struct chat_part *part)
{
    return (part->kind == CHAT_PART_TEXT || part->kind == CHAT_PART_REFUSAL) &&
           part->text.raw.len == 0;
}

static void
open_item(struct request_writer *w, const char *role)
{
    w->any = true;
    jw_object(&w->jw);
    jw_key_cstr(&w->jw, "type", "message");
    jw_key_cstr(&w->jw, "role", role);
    jw_key(&w->jw, "content");
    jw_array(&w->jw);
}

static void
close_item(struct request_writer *w)
{
    jw_array_end(&w->jw);
    jw_object_end(&w->jw);
}

static bool
write_input_message(struct request_writer *w, const struct chat_message *message, const char *role)
{
    const struct chat_part *p = message->parts;

    while (p != NULL && is_empty(p))
        p = p->next;
    if (p == NULL)
        return true;
    open_item(w, role);
    for (; p != NULL; p = p->next) {
        if (is_empty(p))
            continue;
        if (message->role == CHAT_SYSTEM && p->kind != CHAT_PART_TEXT)
            return chat_refuse(w->r, p->at, w->error, "the system can only be told text");
        if (!write_input_part(w, p, STR("")))
            return false;
    }
    close_item(w);
    return true;
}

static void
write_call_id(struct jw *jw, struct js_value id)
{
    char plain[CHAT_ID_CAP];

    if (id.raw.len <= CALL_ID_LEN_MAX)
        jw_key_js(jw, "call_id", id);
    else
        jw_key_quoted(jw, "call_id", chat_plain_id(id, plain));
}

static bool
write_call(struct request_writer *w, const struct chat_part *call)
{
    struct str name = chat_sent_name(w->r, &name_rule, call->tool, call->space, call->tool_name);
    bool custom = call->tool == CHAT_TOOL_CUSTOM && call->arguments.type == JS_STRING;

    if (name.ptr == NULL)
        return chat_no_room(w->error);
    w->any = true;
    jw_object(&w->jw);
    jw_key_cstr(&w->jw, "type", custom ? "custom_tool_call" : "function_call");
    write_call_id(&w->jw, call->id);
    jw_key_quoted(&w->jw, "name", name);
    if (custom) {
        jw_key_js(&w->jw, "input", call->arguments);
    } else {
        jw_key(&w->jw, "arguments");
        chat_write_arguments(by_hand(&w->jw), call);
    }
    jw_object_end(&w->jw);
    return true;
}

/* Only what its provider made is taken back, and that only with its proof. */
static void
write_reasoning(struct request_writer *w, const struct chat_part *part)
{
    struct js_value signature;

    if (!chat_signature(part->signature, w->target->tag, &signature))
        return;
    w->any = true;
    responses_write_reasoning(&w->jw, NULL, part->text.raw, signature.raw);
}

static void
write_said(struct jw *jw, const struct chat_part *part)
{
    responses_write_part(jw, part->kind == CHAT_PART_REFUSAL, part->text.raw, STR(""));
}

/* Words in a row are one message; reasoning and calls are items of their own. */
static bool
write_assistant(struct request_writer *w, const struct chat_message *message)
{
    bool open = false, good = true;

    for (const struct chat_part *p = message->parts; p != NULL && good; p = p->next) {
        if (is_empty(p))
            continue;
        bool said = p->kind == CHAT_PART_TEXT || p->kind == CHAT_PART_REFUSAL;

        if (said && !open)
            open_item(w, "assistant");
        if (!said && open)
            close_item(w);
        open = said;
        if (said)
            write_said(&w->jw, p);
        else if (p->kind == CHAT_PART_REASONING)
            write_reasoning(w, p);
        else if (p->kind == CHAT_PART_CALL)
            good = write_call(w, p);
        else
            good = chat_refuse(w->r, p->at, w->error,
                               "the model that serves this takes only text from an assistant");
    }
    if (open)
        close_item(w);
    return good;
}

/* Text alone is one string, which every server takes; pictures and files need a list. */
static bool
write_output(struct request_writer *w, const struct chat_part *result)
{
    struct str prefix = result->is_error ? STR("Error: ") : STR("");
    bool text_only = true;

    for (const struct chat_part *p = result->content; p != NULL; p = p->next)
        text_only = text_only && p->kind == CHAT_PART_TEXT;
    jw_key(&w->jw, "output");
    if (text_only) {
        struct buf *out = by_hand(&w->jw);

        buf_add_char(out, '"');
        buf_add_str(out, prefix);
        for (const struct chat_part *p = result->content; p != NULL; p = p->next) {
            buf_add_str(out, p->text.raw);
            if (p->next != NULL)
                buf_add_str(out, STR("\\n"));
        }
        buf_add_char(out, '"');
        return true;
    }
    jw_array(&w->jw);
    for (const struct chat_part *p = result->content; p != NULL; p = p->next) {
        if (is_empty(p))
            continue;
        if (prefix.len > 0 && p->kind != CHAT_PART_TEXT)
            write_text(&w->jw, "input_text", STR("Error:"), chat_literal(""));
        if (!write_input_part(w, p, prefix))
            return false;
        prefix = STR("");
    }
    jw_array_end(&w->jw);
    return true;
}

static bool
write_results(struct request_writer *w, const struct chat_message *message)
{
    for (const struct chat_part *p = message->parts; p != NULL; p = p->next) {
        bool custom = p->call != NULL && p->call->tool == CHAT_TOOL_CUSTOM &&
                      p->call->arguments.type == JS_STRING;

        if (p->kind != CHAT_PART_RESULT)
            return chat_refuse(w->r, p->at, w->error, "cannot stand here");
        jw_object(&w->jw);
        jw_key_cstr(&w->jw, "type", custom ? "custom_tool_call_output" : "function_call_output");
        write_call_id(&w->jw, p->id);
        if (!write_output(w, p))
            return false;
        jw_object_end(&w->jw);
    }
    return true;
}

static bool
write_message(struct request_writer *w, const struct chat_message *message)
{
    switch (message->role) {
    case CHAT_SYSTEM: return message->leading || write_input_message(w, message, "system");
    case CHAT_USER: return write_input_message(w, message, "user");
    case CHAT_ASSISTANT: return write_assistant(w, message);
    case CHAT_TOOL: return write_results(w, message);
    case CHAT_ROLE_COUNT: break;
    }
    ASSERT(!"a role");
    return false;
}

static bool
write_conversation(struct request_writer *w)
{
    struct responses_joined joined = {.separator = STR("\\n")};
    struct js_value instructions;

    for (const struct chat_message *m = w->r->messages; m != NULL; m = m->next)
        for (const struct chat_part *p = m->parts; m->leading && p != NULL; p = p->next)
            if (p->kind == CHAT_PART_TEXT)
                responses_join(&joined, p->text);
    if (!responses_joined(&joined, w->r->arena, &instructions))
        return chat_no_room(w->error);
    if (instructions.type == JS_STRING)
        jw_key_js(&w->jw, "instructions", instructions);
    jw_key(&w->jw, "input");
    jw_array(&w->jw);
    for (const struct chat_message *m = w->r->messages; m != NULL; m = m->next)
        if (!write_message(w, m))
            return false;
    if (!w->any) { /* of nothing but empty texts; without an item it would be refused */
        open_item(w, "user");
        write_text(&w->jw, "input_text", STR(""), chat_literal("."));
        close_item(w);
    }
    jw_array_end(&w->jw);
    return true;
}

/* ---- tools ---- */

/* What the tool of that name takes natively. */
static void
write_shell_schema(struct jw *jw)
{
    jw_raw(jw, STR("{\"type\":\"object\",\"properties\":{"
                   "\"command\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
                   "\"working_directory\":{\"type\":\"string\"},"
                   "\"timeout_ms\":{\"type\":\"integer\"},"
                   "\"env\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}},"
                   "\"user\":{\"type\":\"string\"}},\"required\":[\"command\"]}"));
}

/* One that does not say so is not strict elsewhere, but is here. */
static void
write_function(struct jw *jw, const struct chat_tool *tool)
{
    jw_key(jw, "parameters");
    if (tool->kind == CHAT_TOOL_LOCAL_SHELL)
        write_shell_schema(jw);
    else
        jw_js(jw, tool->schema);
    jw_key_bool(jw, "strict", tool->strict.type == JS_TRUE);
}

/* A grammar: chat completions have it one object deeper. */
static void
write_grammar(struct jw *jw, struct js_value format)
{
    static const struct str names[4] = {PICK_NAME("type"), PICK_NAME("grammar"),
                                        PICK_NAME("syntax"), PICK_NAME("definition")};
    struct js_value v[4], type;

    codec_members(format, names, 4, v);
    jw_key(jw, "format");
    if (v[1].type != JS_OBJECT) {
        jw_js(jw, format);
        return;
    }
    type = v[0];
    codec_members(v[1], names, 4, v);
    jw_object(jw);
    jw_key_js(jw, "type", type);
    jw_key_js(jw, "syntax", v[2]);
    jw_key_js(jw, "definition", v[3]);
    jw_object_end(jw);
}

static bool
write_tool(struct request_writer *w, const struct chat_tool *tool)
{
    struct str name = chat_sent_name(w->r, &name_rule, tool->kind, tool->space, tool->name);
    bool custom = tool->kind == CHAT_TOOL_CUSTOM;

    if (name.ptr == NULL)
        return chat_no_room(w->error);
    jw_object(&w->jw);
    jw_key_cstr(&w->jw, "type", custom ? "custom" : "function");
    jw_key_quoted(&w->jw, "name", name);
    if (tool->description.type == JS_STRING)
        jw_key_js(&w->jw, "description", tool->description);
    else if (tool->kind == CHAT_TOOL_LOCAL_SHELL)
        jw_key_cstr(&w->jw, "description", "Runs a command on the machine of the user.");
    if (!custom)
        write_function(&w->jw, tool);
    else if (tool->format.type == JS_OBJECT)
        write_grammar(&w->jw, tool->format);
    jw_object_end(&w->jw);
    return true;
}

static bool
is_chosen(const struct chat_request *r, const struct chat_tool *tool)
{
    return str_eq(tool->name.raw, r->choice_name.raw) &&
           str_eq(tool->space.raw, r->choice_space.raw);
}

static bool
write_choice(struct request_writer *w)
{
    struct chat_request *r = w->r;
    const struct chat_tool *tool = r->tools;
    enum chat_tool_kind kind;
    struct str name;

    switch (r->choice) {
    case CHAT_CHOICE_UNSET: return true;
    case CHAT_CHOICE_AUTO: jw_key_cstr(&w->jw, "tool_choice", "auto"); return true;
    case CHAT_CHOICE_NONE: jw_key_cstr(&w->jw, "tool_choice", "none"); return true;
    case CHAT_CHOICE_ANY: jw_key_cstr(&w->jw, "tool_choice", "required"); return true;
    case CHAT_CHOICE_ONE: break;
    }
    while (tool != NULL && !is_chosen(r, tool))
        tool = tool->next;
    kind = tool != NULL ? tool->kind : CHAT_TOOL_FUNCTION;
    name = chat_sent_name(r, &name_rule, kind, r->choice_space, r->choice_name);
    if (name.ptr == NULL)
        return chat_no_room(w->error);
    jw_key(&w->jw, "tool_choice");
    jw_object(&w->jw);
    jw_key_cstr(&w->jw, "type", kind == CHAT_TOOL_CUSTOM ? "custom" : "function");
    jw_key_quoted(&w->jw, "name", name);
    jw_object_end(&w->jw);
    return true;
}

static bool
write_tools(struct request_writer *w)
{
    const struct chat_tool *tool = w->r->tools;

    while (tool != NULL && tool->unlisted)
        tool = tool->next;
    if (tool == NULL)
        return true;
    jw_key(&w->jw, "tools");
    jw_array(&w->jw);
    for (; tool != NULL; tool = tool->next)
        if (!tool->unlisted && !write_tool(w, tool))
            return false;
    jw_array_end(&w->jw);
    if (!write_choice(w))
        return false;
    if (w->r->no_parallel)
        jw_key_bool(&w->jw, "parallel_tool_calls", false);
    return true;
}

/* ---- the rest ---- */

static void
write_thinking(struct request_writer *w)
{
    const struct chat_request *r = w->r;
    enum chat_effort effort = r->effort;
    bool on = r->thinking == CHAT_THINKING_ON;

    if (!w->target->can_think) {
        if (on)
            chat_drop(w->drops, codec_thinking_name(r));
        return;
    }
    if (effort == CHAT_EFFORT_UNSET && r->thinking_budget > 0)
        effort = codec_effort_of(r->thinking_budget);
    if (r->thinking == CHAT_THINKING_UNSET ||
        (on && effort == CHAT_EFFORT_UNSET && !r->thinking_shown))
        return;
    jw_key(&w->jw, "reasoning");
    jw_object(&w->jw);
    if (!on)
        jw_key_cstr(&w->jw, "effort", "none");
    else if (effort != CHAT_EFFORT_UNSET)
        jw_key_cstr(&w->jw, "effort", chat_effort_name[effort]);
    if (on && r->thinking_shown)
        jw_key_cstr(&w->jw, "summary", "auto");
    jw_object_end(&w->jw);
}

static void
write_include(struct request_writer *w)
{
    if (!w->target->can_think && !w->r->logprobs)
        return;
    jw_key(&w->jw, "include");
    jw_array(&w->jw);
    if (w->target->can_think)
        jw_cstr(&w->jw, "reasoning.encrypted_content");
    if (w->r->logprobs)
        jw_cstr(&w->jw, "message.output_text.logprobs");
    jw_array_end(&w->jw);
    if (w->r->logprobs && w->r->top_logprobs > 0)
        jw_key_u64(&w->jw, "top_logprobs", w->r->top_logprobs);
}

static void
write_schema(struct jw *jw, const struct chat_request *r)
{
    jw_key_cstr(jw, "type", "json_schema");
    jw_key_js(jw, "name",
              r->schema_name.type == JS_STRING ? r->schema_name : chat_literal("response"));
    if (r->schema_description.type == JS_STRING)
        jw_key_js(jw, "description", r->schema_description);
    jw_key_js(jw, "schema", r->schema);
    if (r->schema_strict.type != JS_NONE)
        jw_key_js(jw, "strict", r->schema_strict);
}

static void
write_format(struct request_writer *w)
{
    const struct chat_request *r = w->r;
    struct js_value verbosity = r->knobs[CHAT_VERBOSITY].value;

    if (r->format == CHAT_FORMAT_TEXT && verbosity.type == JS_NONE)
        return;
    jw_key(&w->jw, "text");
    jw_object(&w->jw);
    if (r->format != CHAT_FORMAT_TEXT) {
        jw_key(&w->jw, "format");
        jw_object(&w->jw);
        if (r->format == CHAT_FORMAT_JSON)
            jw_key_cstr(&w->jw, "type", "json_object");
        else
            write_schema(&w->jw, r);
        jw_object_end(&w->jw);
    }
    if (verbosity.type != JS_NONE)
        jw_key_js(&w->jw, "verbosity", verbosity);
    jw_object_end(&w->jw);
}

static void
write_knob(struct request_writer *w, enum chat_knob knob, const char *name, unsigned *taken)
{
    struct js_value value = w->r->knobs[knob].value;

    *taken |= 1u << knob;
    if (value.type != JS_NONE)
        jw_key_js(&w->jw, name, value);
}

static void
write_knobs(struct request_writer *w)
{
    const struct chat_field *user = &w->r->knobs[CHAT_END_USER];
    unsigned taken = 1u << CHAT_VERBOSITY;

    if (!w->target->no_sampling) {
        write_knob(w, CHAT_TEMPERATURE, "temperature", &taken);
        write_knob(w, CHAT_TOP_P, "top_p", &taken);
    }
    write_knob(w, CHAT_CACHE_KEY, "prompt_cache_key", &taken);
    write_knob(w, CHAT_CACHE_RETENTION, "prompt_cache_retention", &taken);
    /* The others' tiers have other names. */
    if (proto_of(w->r->endpoint) == PROTO_OPENAI || proto_of(w->r->endpoint) == PROTO_RESPONSES)
        write_knob(w, CHAT_SERVICE_TIER, "service_tier", &taken);
    if (user->value.type != JS_NONE && user->value.raw.len <= USER_LEN_MAX)
        write_knob(w, CHAT_END_USER,
                   str_eq(str_from(user->name), STR("safety_identifier")) ? "safety_identifier"
                                                                          : "user",
                   &taken);
    codec_drop_marks(w->r, w->drops);
    codec_drop_knobs(w->r, taken, w->drops);
}

static void
write_limits(struct request_writer *w)
{
    uint32_t most = w->r->output_max;

    if (most == 0)
        return;
    if (w->target->output_max > 0)
        most = MIN(most, w->target->output_max);
    jw_key_u64(&w->jw, "max_output_tokens", MAX(most, (uint32_t)OUTPUT_MAX_LEAST));
}

/* What would make another answer of it. */
static bool
refuse_foreign(const struct chat_request *r, struct proto_error *error)
{
    if (r->stop_count > 0)
        return chat_refuse(r, r->stop_at, error,
                           "the model that serves this knows no stop sequences");
    if (r->choice_count > 1)
        return chat_refuse(r, r->choice_count_at, error,
                           "the model that serves this gives one answer only");
    return true;
}

bool
responses_request_write(struct chat_request *r, const struct chat_target *target,
                        struct chat_drops *drops, struct buf *out, struct proto_error *error)
{
    struct request_writer w = {.r = r, .target = target, .drops = drops, .error = error};

    if (!refuse_foreign(r, error))
        return false;
    jw_init(&w.jw, out);
    jw_object(&w.jw);
    jw_key(&w.jw, "model");
    jw_raw(&w.jw, target->model_json);
    if (!write_conversation(&w) || !write_tools(&w))
        return false;
    write_limits(&w);
    write_thinking(&w);
    write_format(&w);
    write_knobs(&w);
    jw_key_bool(&w.jw, "store", false);
    write_include(&w);
    if (target->stream)
        jw_key_bool(&w.jw, "stream", true);
    jw_object_end(&w.jw);
    return !out->failed || chat_no_room(error);
}
