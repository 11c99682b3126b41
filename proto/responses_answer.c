/* Whole answers in the form of Responses, and what streams of it are made of. */
#include <stdio.h>

#include "base/str.h"
#include "proto/responses_in.h"

struct responses_id
responses_id(const char *prefix, const struct chat_frame *frame, uint32_t number)
{
    struct responses_id id;
    struct str of = {frame->id.ptr, MIN(frame->id.len, sizeof id.text / 2)};

    snprintf(id.text, sizeof id.text, "%s_%.*s_%u", prefix, STR_ARGS(of), (unsigned)number);
    return id;
}

const char *
responses_call_prefix(enum chat_tool_kind tool)
{
    switch (tool) {
    case CHAT_TOOL_CUSTOM: return "ctc";
    case CHAT_TOOL_LOCAL_SHELL: return "lsh";
    case CHAT_TOOL_FUNCTION:
    case CHAT_TOOL_HOSTED:
    case CHAT_TOOL_ANSWER: break;
    }
    return "fc";
}

const char *
responses_reason(enum chat_finish finish)
{
    switch (finish) {
    case CHAT_FINISH_LENGTH:
    case CHAT_FINISH_CONTEXT: return "max_output_tokens";
    case CHAT_FINISH_FILTER: return "content_filter";
    case CHAT_FINISH_STOP:
    case CHAT_FINISH_STOP_SEQUENCE:
    case CHAT_FINISH_CALLS:
    case CHAT_FINISH_REFUSAL:
    case CHAT_FINISH_COUNT: break;
    }
    return NULL;
}

/* ---- items ---- */

void
responses_write_part(struct jw *jw, bool refusal, struct str text, struct str logprobs)
{
    jw_object(jw);
    jw_key_cstr(jw, "type", refusal ? "refusal" : "output_text");
    jw_key_quoted(jw, refusal ? "refusal" : "text", text);
    if (!refusal) {
        jw_key(jw, "annotations");
        jw_array(jw);
        jw_array_end(jw);
        jw_key(jw, "logprobs");
        jw_array(jw);
        if (logprobs.len > 0)
            jw_raw(jw, logprobs);
        jw_array_end(jw);
    }
    jw_object_end(jw);
}

void
responses_write_reasoning(struct jw *jw, const char *id, struct str text, struct str signature)
{
    jw_object(jw);
    if (id != NULL)
        jw_key_cstr(jw, "id", id);
    jw_key_cstr(jw, "type", "reasoning");
    jw_key(jw, "summary");
    jw_array(jw);
    if (text.len > 0) {
        jw_object(jw);
        jw_key_cstr(jw, "type", "summary_text");
        jw_key_quoted(jw, "text", text);
        jw_object_end(jw);
    }
    jw_array_end(jw);
    if (signature.len > 0)
        jw_key_quoted(jw, "encrypted_content", signature);
    jw_object_end(jw);
}

/* The arguments' text as the object it should be; anything else gives one without members. */
static struct js_value
parse_arguments(struct str arguments, struct buf *scratch)
{
    const struct js_value text = {.type = JS_STRING, .escaped = true, .raw = arguments};
    struct js_value object = {.type = JS_NONE};
    struct js_error fault;

    scratch->len = 0;
    if (arguments.len == 0 || !buf_reserve(scratch, arguments.len) ||
        !js_check(js_unescape(text, scratch->ptr, scratch->cap), &object, &fault))
        return (struct js_value){.type = JS_NONE};
    return object;
}

/* A member if it is of this type, null otherwise. */
static void
write_member(struct jw *jw, const char *name, struct js_value value, enum js_type type)
{
    jw_key_js(jw, name, value.type == type ? value : (struct js_value){.type = JS_NONE});
}

static bool
is_string_list(struct js_value list)
{
    struct js_value key, one;
    struct js_iter it;

    for (js_iter_init(&it, list); js_next(&it, &key, &one);)
        if (one.type != JS_STRING)
            return false;
    return list.type == JS_ARRAY;
}

/* The model was offered a function: what it made of it is brought into the shape of the tool. */
static void
write_action(struct jw *jw, struct str arguments, struct buf *scratch)
{
    enum { COMMAND, ENV, DIRECTORY, TIMEOUT, USER, COUNT };
    static const struct str names[COUNT] = {
        [COMMAND] = PICK_NAME("command"), [ENV] = PICK_NAME("env"),
        [DIRECTORY] = PICK_NAME("working_directory"), [TIMEOUT] = PICK_NAME("timeout_ms"),
        [USER] = PICK_NAME("user"),
    };
    struct js_value v[COUNT];

    codec_members(parse_arguments(arguments, scratch), names, COUNT, v);
    jw_key(jw, "action");
    jw_object(jw);
    jw_key_cstr(jw, "type", "exec");
    jw_key(jw, "command");
    if (is_string_list(v[COMMAND])) {
        jw_js(jw, v[COMMAND]);
    } else {
        jw_array(jw);
        if (v[COMMAND].type == JS_STRING)
            jw_js(jw, v[COMMAND]);
        jw_array_end(jw);
    }
    jw_key(jw, "env");
    jw_raw(jw, v[ENV].type == JS_OBJECT ? v[ENV].raw : STR("{}"));
    write_member(jw, "working_directory", v[DIRECTORY], JS_STRING);
    write_member(jw, "timeout_ms", v[TIMEOUT], JS_NUMBER);
    write_member(jw, "user", v[USER], JS_STRING);
    jw_object_end(jw);
}

void
responses_write_call(struct jw *jw, const struct responses_call *call, struct buf *scratch)
{
    static const char *const types[] = {
        [CHAT_TOOL_FUNCTION] = "function_call",
        [CHAT_TOOL_CUSTOM] = "custom_tool_call",
        [CHAT_TOOL_LOCAL_SHELL] = "local_shell_call",
        [CHAT_TOOL_HOSTED] = "function_call",
    };

    jw_object(jw);
    jw_key_cstr(jw, "id", call->id);
    jw_key_cstr(jw, "type", types[call->tool]);
    jw_key_cstr(jw, "status", call->status);
    jw_key_quoted(jw, "call_id", call->call_id);
    if (call->tool == CHAT_TOOL_LOCAL_SHELL) {
        write_action(jw, call->arguments, scratch);
        jw_object_end(jw);
        return;
    }
    jw_key_quoted(jw, "name", call->name);
    if (call->space.len > 0)
        jw_key_quoted(jw, "namespace", call->space);
    jw_key_quoted(jw, call->tool == CHAT_TOOL_CUSTOM ? "input" : "arguments", call->arguments);
    jw_object_end(jw);
}

/* ---- responses ---- */

static void
write_usage(struct jw *jw, const struct usage *usage)
{
    uint64_t writes, input;

    jw_key(jw, "usage");
    if (usage == NULL || (usage->state != USAGE_PRESENT && usage->state != USAGE_ZERO)) {
        jw_null(jw);
        return;
    }
    writes = (uint64_t)usage->cache_write_5m + usage->cache_write_1h;
    input = usage->input + usage->cache_read + writes;
    jw_object(jw);
    jw_key_u64(jw, "input_tokens", input);
    jw_key(jw, "input_tokens_details");
    jw_object(jw);
    jw_key_u64(jw, "cached_tokens", usage->cache_read);
    jw_key_u64(jw, "cache_write_tokens", writes);
    jw_object_end(jw);
    jw_key_u64(jw, "output_tokens", usage->output);
    jw_key(jw, "output_tokens_details");
    jw_object(jw);
    jw_key_u64(jw, "reasoning_tokens", usage->reasoning);
    jw_object_end(jw);
    jw_key_u64(jw, "total_tokens", input + usage->output);
    jw_object_end(jw);
}

static void
write_null(struct jw *jw, const char *name)
{
    jw_key(jw, name);
    jw_null(jw);
}

/* Members that repeat the request. */
static void
write_echo(struct jw *jw, struct str echo)
{
    const struct js_value nothing = {.type = JS_NONE};

    buf_add_char(jw->buf, ',');
    if (echo.len > 0)
        buf_add_str(jw->buf, echo);
    else
        responses_echo_write(nothing, jw->buf);
}

void
responses_write_response(struct jw *jw, const struct responses_shape *shape)
{
    struct str id = {shape->frame->id.ptr, MIN(shape->frame->id.len, (size_t)100)};
    char text[112];

    snprintf(text, sizeof text, "resp_%.*s", STR_ARGS(id));
    jw_object(jw);
    jw_key_cstr(jw, "id", text);
    jw_key_cstr(jw, "object", "response");
    jw_key_i64(jw, "created_at", shape->frame->created_s);
    jw_key_cstr(jw, "status", shape->status);
    write_null(jw, "error");
    jw_key(jw, "incomplete_details");
    if (shape->reason != NULL) {
        jw_object(jw);
        jw_key_cstr(jw, "reason", shape->reason);
        jw_object_end(jw);
    } else {
        jw_null(jw);
    }
    jw_key_quoted(jw, "model", shape->model);
    jw_key(jw, "output");
    jw_array(jw);
    if (shape->items.len > 0)
        jw_raw(jw, shape->items);
    jw_array_end(jw);
    write_echo(jw, shape->frame->echo);
    write_usage(jw, shape->usage);
    jw_object_end(jw);
}

/* ---- a whole answer ---- */

struct whole {
    const struct chat_frame *frame;
    const struct chat_answer_choice *choice;
    struct buf items, scratch;
    struct jw jw;
    uint32_t number; /* of the next item */
    bool said;       /* a message is open */
    bool logprobs_written;
    bool call_signed; /* the next call's signature was written with the reasoning before it */
};

static struct jw *
item(struct whole *w)
{
    w->number++;
    if (w->items.len > 0)
        buf_add_char(&w->items, ',');
    jw_init(&w->jw, &w->items);
    return &w->jw;
}

static void
end_message(struct whole *w)
{
    if (!w->said)
        return;
    jw_array_end(&w->jw);
    jw_object_end(&w->jw);
    w->said = false;
}

static bool
is_said(const struct chat_part *part)
{
    return part->kind == CHAT_PART_TEXT || part->kind == CHAT_PART_REFUSAL;
}

/* Of the item that begins with this part: the last one may have been cut. */
static const char *
status_of(const struct whole *w, const struct chat_part *part)
{
    if (responses_reason(w->choice->finish) == NULL)
        return "completed";
    if (!is_said(part))
        return part->next == NULL ? "incomplete" : "completed";
    while (part != NULL && is_said(part))
        part = part->next;
    return part == NULL ? "incomplete" : "completed";
}

static void
whole_said(struct whole *w, const struct chat_part *part)
{
    struct str logprobs = STR("");

    if (!w->said) {
        struct responses_id id = responses_id("msg", w->frame, w->number);
        struct jw *jw = item(w);

        jw_object(jw);
        jw_key_cstr(jw, "id", id.text);
        jw_key_cstr(jw, "type", "message");
        jw_key_cstr(jw, "status", status_of(w, part));
        jw_key_cstr(jw, "role", "assistant");
        jw_key(jw, "content");
        jw_array(jw);
        w->said = true;
    }
    if (part->kind == CHAT_PART_TEXT && !w->logprobs_written &&
        w->choice->logprobs.type == JS_ARRAY) {
        struct str list = w->choice->logprobs.raw;

        logprobs = (struct str){list.ptr + 1, list.len - 2};
        w->logprobs_written = true;
    }
    responses_write_part(&w->jw, part->kind == CHAT_PART_REFUSAL, part->text.raw, logprobs);
}

/* The proof is its provider's secret: only who asks for it gets it, with a tag in front. */
static void
whole_reasoning(struct whole *w, struct js_value text, struct js_value signature)
{
    struct responses_id id = responses_id("rs", w->frame, w->number);
    bool shown = w->frame->include_encrypted && signature.raw.len > 0;

    if (text.raw.len == 0 && !shown)
        return;
    w->scratch.len = 0;
    if (shown) {
        buf_add_str(&w->scratch, str_from(w->frame->tag));
        buf_add_str(&w->scratch, signature.raw);
    }
    responses_write_reasoning(item(w), id.text, text.raw, buf_str(&w->scratch));
}

/* Of reasoning without a signature the call after it may have one. */
static struct js_value
signature_of(struct whole *w, const struct chat_part *part)
{
    const struct chat_part *call = part->next;

    if (part->signature.raw.len > 0 || call == NULL || call->kind != CHAT_PART_CALL)
        return part->signature;
    w->call_signed = call->signature.raw.len > 0;
    return call->signature;
}

static void
whole_call(struct whole *w, const struct chat_part *part, uint32_t call_number)
{
    struct responses_id id, made = responses_id("call", w->frame, call_number);
    struct responses_call call = {
        .status = status_of(w, part),
        .call_id = part->id.raw.len > 0 ? part->id.raw : str_from(made.text),
        .name = part->tool_name.raw,
        .space = part->space.raw,
        .arguments = part->arguments.raw,
        .tool = part->tool,
    };

    /* A signature of the call itself goes before it: there is no other place for one. */
    if (part->signature.raw.len > 0 && !w->call_signed)
        whole_reasoning(w, (struct js_value){.type = JS_NONE}, part->signature);
    w->call_signed = false;
    if (call.arguments.len == 0 && call.tool == CHAT_TOOL_FUNCTION)
        call.arguments = STR("{}");
    id = responses_id(responses_call_prefix(part->tool), w->frame, w->number);
    call.id = id.text;
    responses_write_call(item(w), &call, &w->scratch);
}

static void
whole_items(struct whole *w)
{
    uint32_t calls = 0;

    for (const struct chat_part *p = w->choice->parts; p != NULL; p = p->next) {
        if (is_said(p)) {
            if (p->text.raw.len > 0)
                whole_said(w, p);
            continue;
        }
        end_message(w);
        if (p->kind == CHAT_PART_REASONING)
            whole_reasoning(w, p->text, signature_of(w, p));
        else if (p->kind == CHAT_PART_CALL)
            whole_call(w, p, calls++);
    }
    end_message(w);
}

void
responses_answer_write(const struct chat_answer *answer, const struct chat_frame *frame,
                       struct buf *out)
{
    struct whole w = {.frame = frame, .choice = answer->choices};
    const char *reason = responses_reason(answer->choices->finish);
    struct responses_shape shape = {
        .frame = frame,
        .model = answer->model.raw.len > 0 ? answer->model.raw : frame->model,
        .status = reason != NULL ? "incomplete" : "completed",
        .reason = reason,
        .usage = &answer->usage,
    };
    struct jw jw;

    buf_init(&w.items, out->cap_max);
    buf_init(&w.scratch, out->cap_max);
    whole_items(&w);
    shape.items = buf_str(&w.items);
    out->failed = out->failed || w.items.failed || w.scratch.failed;
    jw_init(&jw, out);
    responses_write_response(&jw, &shape);
    buf_free(&w.items);
    buf_free(&w.scratch);
}
