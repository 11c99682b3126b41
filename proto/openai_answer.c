/*
 * Answers to clients of chat completions: a chunk an event, or one object.
 *
 * What clients rely on: the first chunk of a choice has its role; all chunks have the same id, time
 * and model; a call has its name once, for some clients put the pieces of it together; there is no
 * chunk without choices but that of the usage, and that only when it was asked for. Signatures have
 * no place in this protocol and are left out.
 *
 * Clients of the older form (functions instead of tools) have a place for one call, which has no id.
 * Upstreams are asked for one at most; where they call several all the same, the first one is told:
 * the others never happened, as the next turn will have it.
 */
#include <string.h>

#include "base/str.h"
#include "proto/openai_in.h"

static const struct openai_shape chunk_shape = {"chatcmpl-", "chat.completion.chunk"};
static const struct openai_shape answer_shape = {"chatcmpl-", "chat.completion"};

/* ---- of both endpoints ---- */

void
openai_write_head(struct jw *jw, const struct openai_shape *shape, const struct chat_frame *frame,
                  struct str model)
{
    jw_object(jw);
    jw_key(jw, "id");
    jw_raw(jw, STR("\""));
    buf_add_str(jw->buf, str_from(shape->id_prefix));
    buf_add_str(jw->buf, frame->id);
    buf_add_char(jw->buf, '"');
    jw_key_cstr(jw, "object", shape->object);
    jw_key_i64(jw, "created", frame->created_s);
    jw_key_quoted(jw, "model", model);
}

void
openai_write_usage(struct jw *jw, const struct usage *usage)
{
    uint64_t prompt = (uint64_t)usage->input + usage->cache_read + usage->cache_write_5m +
                      usage->cache_write_1h;

    if (usage->state != USAGE_PRESENT && usage->state != USAGE_ZERO)
        return;
    jw_key(jw, "usage");
    jw_object(jw);
    jw_key_u64(jw, "prompt_tokens", prompt);
    jw_key_u64(jw, "completion_tokens", usage->output);
    jw_key_u64(jw, "total_tokens", prompt + usage->output);
    jw_key(jw, "prompt_tokens_details");
    jw_object(jw);
    jw_key_u64(jw, "cached_tokens", usage->cache_read);
    jw_key_u64(jw, "cache_write_tokens", (uint64_t)usage->cache_write_5m + usage->cache_write_1h);
    jw_key_u64(jw, "audio_tokens", usage->audio_input);
    jw_object_end(jw);
    jw_key(jw, "completion_tokens_details");
    jw_object(jw);
    jw_key_u64(jw, "reasoning_tokens", usage->reasoning);
    jw_key_u64(jw, "audio_tokens", usage->audio_output);
    jw_key_u64(jw, "accepted_prediction_tokens", 0);
    jw_key_u64(jw, "rejected_prediction_tokens", 0);
    jw_object_end(jw);
    jw_object_end(jw);
}

void
openai_write_tail(struct jw *jw, const struct chat_frame *frame, const struct usage *usage)
{
    if (usage != NULL) {
        openai_write_usage(jw, usage);
    } else if (frame->include_usage) {
        jw_key(jw, "usage");
        jw_null(jw);
    }
    jw_object_end(jw);
    buf_add_str(jw->buf, STR("\n\n"));
}

const char *
openai_finish_name(enum chat_finish finish, bool refused)
{
    switch (finish) {
    case CHAT_FINISH_STOP:
    case CHAT_FINISH_STOP_SEQUENCE: return "stop";
    case CHAT_FINISH_CALLS: return "tool_calls";
    case CHAT_FINISH_LENGTH:
    case CHAT_FINISH_CONTEXT: return "length";
    case CHAT_FINISH_FILTER: return "content_filter";
    case CHAT_FINISH_REFUSAL: return refused ? "stop" : "content_filter";
    case CHAT_FINISH_COUNT: break;
    }
    return "stop";
}

void
openai_keep_model(struct codec_writer *writer, const struct chat_delta *start)
{
    /* One that does not fit is not cut: that might be in the middle of an escape. */
    if (start->name.len > 0 && start->name.len < sizeof writer->model)
        str_copy(start->name, writer->model, sizeof writer->model);
}

struct str
openai_model(const struct codec_writer *writer)
{
    return writer->model[0] != '\0' ? str_from(writer->model) : writer->frame->model;
}

void
openai_write_end(struct codec_writer *writer, const struct openai_shape *shape, struct buf *out)
{
    bool known = writer->usage.state == USAGE_PRESENT || writer->usage.state == USAGE_ZERO;
    struct jw jw;

    if (writer->frame->include_usage && known) {
        buf_add_str(out, STR("data: "));
        jw_init(&jw, out);
        openai_write_head(&jw, shape, writer->frame, openai_model(writer));
        jw_key(&jw, "choices");
        jw_array(&jw);
        jw_array_end(&jw);
        openai_write_tail(&jw, writer->frame, &writer->usage);
    }
    buf_add_str(out, STR("data: [DONE]\n\n"));
}

/* ---- a stream ---- */

/* Opens a chunk up to what stands in "delta". */
static void
chunk_start(struct jw *jw, const struct codec_writer *writer, uint32_t choice, struct buf *out)
{
    buf_add_str(out, STR("data: "));
    jw_init(jw, out);
    openai_write_head(jw, &chunk_shape, writer->frame, openai_model(writer));
    jw_key(jw, "choices");
    jw_array(jw);
    jw_object(jw);
    jw_key_u64(jw, "index", choice);
    jw_key(jw, "delta");
    jw_object(jw);
}

/* list is that of logprobs, finish NULL or the reason. */
static void
chunk_end(struct jw *jw, const struct codec_writer *writer, struct js_value list,
          const char *finish)
{
    jw_object_end(jw);
    jw_key(jw, "logprobs");
    if (list.type == JS_ARRAY) {
        jw_object(jw);
        jw_key_js(jw, "content", list);
        jw_key(jw, "refusal");
        jw_null(jw);
        jw_object_end(jw);
    } else {
        jw_null(jw);
    }
    jw_key_cstr(jw, "finish_reason", finish);
    jw_object_end(jw);
    jw_array_end(jw);
    openai_write_tail(jw, writer->frame, NULL);
}

static const struct js_value no_list = {.type = JS_NONE};

static void
write_role(struct codec_writer *writer, uint32_t choice, struct buf *out)
{
    struct jw jw;

    if (openai_bit(writer->roles_sent, choice))
        return;
    openai_set_bit(writer->roles_sent, choice, true);
    chunk_start(&jw, writer, choice, out);
    jw_key_cstr(&jw, "role", "assistant");
    jw_key_cstr(&jw, "content", "");
    chunk_end(&jw, writer, no_list, NULL);
}

static void
write_text(const struct codec_writer *writer, const struct chat_delta *delta, const char *member,
           struct buf *out)
{
    struct jw jw;

    chunk_start(&jw, writer, delta->choice, out);
    jw_key_quoted(&jw, member, delta->text);
    chunk_end(&jw, writer, delta->logprobs, NULL);
}

static void
write_id(struct jw *jw, const struct chat_frame *frame, struct str id, uint32_t number)
{
    jw_key(jw, "id");
    if (id.len > 0) {
        jw_quoted(jw, id);
        return;
    }
    jw_raw(jw, STR("\"call_"));
    buf_add_str(jw->buf, frame->id);
    buf_add_char(jw->buf, '_');
    buf_add_u64(jw->buf, number);
    buf_add_char(jw->buf, '"');
}

static const char *
finish_name(const struct chat_frame *frame, enum chat_finish finish, bool refused)
{
    if (frame->older_calls && finish == CHAT_FINISH_CALLS)
        return "function_call";
    return openai_finish_name(finish, refused);
}

/* Opens the one element of "tool_calls", or what is called in the older form. */
static void
call_start(struct jw *jw, const struct codec_writer *writer, const struct chat_delta *delta,
           struct buf *out)
{
    chunk_start(jw, writer, delta->choice, out);
    if (writer->frame->older_calls)
        return;
    jw_key(jw, "tool_calls");
    jw_array(jw);
    jw_object(jw);
    jw_key_u64(jw, "index", delta->call);
}

static void
call_end(struct jw *jw, const struct codec_writer *writer)
{
    jw_object_end(jw);
    if (!writer->frame->older_calls) {
        jw_object_end(jw);
        jw_array_end(jw);
    }
    chunk_end(jw, writer, no_list, NULL);
}

/* The key of the object that has name and arguments. */
static void
key_called(struct jw *jw, const struct codec_writer *writer, bool custom)
{
    jw_key(jw, writer->frame->older_calls ? "function_call" : custom ? "custom" : "function");
    jw_object(jw);
}

static void
write_call(struct codec_writer *writer, const struct chat_delta *delta, struct buf *out)
{
    bool custom = delta->tool == CHAT_TOOL_CUSTOM;
    struct jw jw;

    openai_set_bit(writer->custom_open, delta->choice, custom);
    openai_set_bit(writer->call_empty, delta->choice, true);
    call_start(&jw, writer, delta, out);
    if (!writer->frame->older_calls) {
        write_id(&jw, writer->frame, delta->id, writer->call_count++);
        jw_key_cstr(&jw, "type", custom ? "custom" : "function");
    }
    key_called(&jw, writer, custom);
    jw_key_quoted(&jw, "name", delta->name);
    jw_key_cstr(&jw, custom ? "input" : "arguments", "");
    call_end(&jw, writer);
}

static void
write_arguments(struct codec_writer *writer, const struct chat_delta *delta, struct str text,
                struct buf *out)
{
    bool custom = openai_bit(writer->custom_open, delta->choice);
    struct jw jw;

    if (text.len == 0)
        return;
    openai_set_bit(writer->call_empty, delta->choice, false);
    call_start(&jw, writer, delta, out);
    key_called(&jw, writer, custom);
    jw_key_quoted(&jw, custom ? "input" : "arguments", text);
    call_end(&jw, writer);
}

/* Clients parse the arguments, and nothing is no JSON. */
static void
close_call(struct codec_writer *writer, const struct chat_delta *delta, struct buf *out)
{
    if (openai_bit(writer->call_empty, delta->choice) &&
        !openai_bit(writer->custom_open, delta->choice))
        write_arguments(writer, delta, STR("{}"), out);
    openai_set_bit(writer->call_empty, delta->choice, false);
}

static void
write_finish(const struct codec_writer *writer, const struct chat_delta *delta, struct buf *out)
{
    bool refused = openai_bit(writer->refused, delta->choice);
    struct jw jw;

    chunk_start(&jw, writer, delta->choice, out);
    chunk_end(&jw, writer, no_list, finish_name(writer->frame, delta->finish, refused));
}

/* Of what the client cannot be told: a choice that none may ask for, a call beyond the one that the
 * older form has. An upstream's doing. */
static bool
is_beyond(const struct codec_writer *writer, const struct chat_delta *delta)
{
    bool of_call = delta->kind == CHAT_DELTA_CALL || delta->kind == CHAT_DELTA_ARGUMENTS ||
                   delta->kind == CHAT_DELTA_CALL_END;

    return delta->choice >= CODEC_CHOICES_MAX ||
           (writer->frame->older_calls && of_call && delta->call > 0);
}

/* Deltas that are a choice's. */
static void
write_choice(struct codec_writer *writer, const struct chat_delta *delta, struct buf *out)
{
    if (is_beyond(writer, delta))
        return;
    write_role(writer, delta->choice, out);
    switch (delta->kind) {
    case CHAT_DELTA_TEXT: write_text(writer, delta, "content", out); break;
    case CHAT_DELTA_REASONING: write_text(writer, delta, "reasoning_content", out); break;
    case CHAT_DELTA_REFUSAL:
        openai_set_bit(writer->refused, delta->choice, true);
        write_text(writer, delta, "refusal", out);
        break;
    case CHAT_DELTA_CALL: write_call(writer, delta, out); break;
    case CHAT_DELTA_ARGUMENTS: write_arguments(writer, delta, delta->text, out); break;
    case CHAT_DELTA_CALL_END: close_call(writer, delta, out); break;
    case CHAT_DELTA_FINISH: write_finish(writer, delta, out); break;
    case CHAT_DELTA_START:
    case CHAT_DELTA_SIGNATURE:
    case CHAT_DELTA_PING:
    case CHAT_DELTA_USAGE:
    case CHAT_DELTA_END:
    case CHAT_DELTA_KIND_COUNT: break;
    }
}

void
openai_delta_write(struct codec_writer *writer, const struct chat_delta *delta, struct buf *out)
{
    switch (delta->kind) {
    case CHAT_DELTA_START:
        openai_keep_model(writer, delta);
        write_role(writer, 0, out);
        break;
    case CHAT_DELTA_TEXT:
    case CHAT_DELTA_REASONING:
    case CHAT_DELTA_REFUSAL:
    case CHAT_DELTA_CALL:
    case CHAT_DELTA_ARGUMENTS:
    case CHAT_DELTA_CALL_END:
    case CHAT_DELTA_FINISH: write_choice(writer, delta, out); break;
    case CHAT_DELTA_SIGNATURE: break;
    case CHAT_DELTA_PING: buf_add_str(out, STR(": ping\n\n")); break;
    case CHAT_DELTA_USAGE: writer->usage = *delta->usage; break;
    case CHAT_DELTA_END: openai_write_end(writer, &chunk_shape, out); break;
    case CHAT_DELTA_KIND_COUNT: break;
    }
}

/* ---- a whole answer ---- */

/* The texts of all parts of a kind as one string; false, and nothing, where there is none. */
static bool
write_joined(struct jw *jw, const char *member, const struct chat_part *parts,
             enum chat_part_kind kind)
{
    bool any = false;

    for (const struct chat_part *p = parts; p != NULL; p = p->next) {
        if (p->kind != kind || p->text.type != JS_STRING ||
            (kind == CHAT_PART_REASONING && p->text.raw.len == 0)) /* nothing but a signature */
            continue;
        if (!any) {
            jw_key(jw, member);
            jw_raw(jw, STR("\""));
        }
        any = true;
        if (p->text.raw.len > 0)
            buf_add_str(jw->buf, p->text.raw);
    }
    if (any)
        buf_add_char(jw->buf, '"');
    return any;
}

static void
write_null(struct jw *jw, const char *member)
{
    jw_key(jw, member);
    jw_null(jw);
}

/* Name and arguments. */
static void
write_called(struct jw *jw, const struct chat_part *call, bool custom)
{
    bool given = call->arguments.type == JS_STRING && call->arguments.raw.len > 0;

    jw_object(jw);
    jw_key_js(jw, "name", call->tool_name);
    jw_key_quoted(jw, custom ? "input" : "arguments",
                  given    ? call->arguments.raw
                  : custom ? STR("")
                           : STR("{}"));
    jw_object_end(jw);
}

static void
write_answer_call(struct jw *jw, const struct chat_part *call, const struct chat_frame *frame,
                  uint32_t number)
{
    bool custom = call->tool == CHAT_TOOL_CUSTOM;

    jw_object(jw);
    write_id(jw, frame, call->id.type == JS_STRING ? call->id.raw : STR_NONE, number);
    jw_key_cstr(jw, "type", custom ? "custom" : "function");
    jw_key(jw, custom ? "custom" : "function");
    write_called(jw, call, custom);
    jw_object_end(jw);
}

static void
write_calls(struct jw *jw, const struct chat_part *parts, const struct chat_frame *frame,
            uint32_t *call_number)
{
    bool any = false;

    for (const struct chat_part *p = parts; p != NULL; p = p->next) {
        if (p->kind != CHAT_PART_CALL)
            continue;
        if (frame->older_calls) {
            jw_key(jw, "function_call");
            write_called(jw, p, false);
            return;
        }
        if (!any) {
            jw_key(jw, "tool_calls");
            jw_array(jw);
        }
        any = true;
        write_answer_call(jw, p, frame, (*call_number)++);
    }
    if (any)
        jw_array_end(jw);
}

static void
write_message(struct jw *jw, const struct chat_answer_choice *choice,
              const struct chat_frame *frame, bool *refused, uint32_t *call_number)
{
    jw_object(jw);
    jw_key_cstr(jw, "role", "assistant");
    if (!write_joined(jw, "content", choice->parts, CHAT_PART_TEXT))
        write_null(jw, "content");
    *refused = write_joined(jw, "refusal", choice->parts, CHAT_PART_REFUSAL);
    if (!*refused)
        write_null(jw, "refusal");
    (void)write_joined(jw, "reasoning_content", choice->parts, CHAT_PART_REASONING);
    write_calls(jw, choice->parts, frame, call_number);
    jw_key(jw, "annotations");
    jw_array(jw);
    jw_array_end(jw);
    jw_object_end(jw);
}

void
openai_answer_write(const struct chat_answer *answer, const struct chat_frame *frame,
                    struct buf *out)
{
    struct str model = answer->model.type == JS_STRING && answer->model.raw.len > 0
                           ? answer->model.raw
                           : frame->model;
    uint32_t call_number = 0;
    bool refused;
    struct jw jw;

    jw_init(&jw, out);
    openai_write_head(&jw, &answer_shape, frame, model);
    jw_key(&jw, "choices");
    jw_array(&jw);
    for (const struct chat_answer_choice *c = answer->choices; c != NULL; c = c->next) {
        jw_object(&jw);
        jw_key_u64(&jw, "index", c->index);
        jw_key(&jw, "message");
        write_message(&jw, c, frame, &refused, &call_number);
        jw_key(&jw, "logprobs");
        if (c->logprobs.type == JS_ARRAY) {
            jw_object(&jw);
            jw_key_js(&jw, "content", c->logprobs);
            write_null(&jw, "refusal");
            jw_object_end(&jw);
        } else {
            jw_null(&jw);
        }
        jw_key_cstr(&jw, "finish_reason", finish_name(frame, c->finish, refused));
        jw_object_end(&jw);
    }
    jw_array_end(&jw);
    openai_write_usage(&jw, &answer->usage);
    jw_object_end(&jw);
}
