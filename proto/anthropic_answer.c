/*
 * Writes answers to clients that speak Anthropic's Messages, streamed or whole.
 *
 * writer->block is the number of the open block, or of the next one; block_kind says which is open.
 * Why the answer has ended and what it has used go out together, and so only at its end.
 */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/str.h"
#include "proto/anthropic.h"

enum open_kind {
    OPEN_NOTHING = 0,
    OPEN_TEXT,
    OPEN_THINKING,
    OPEN_CALL,
};

#define ID_CAP 160
#define SIGNATURE_LEN_MAX ((size_t)16 << 20) /* where the caller sets no limit */

/* ---- what a stream and a whole answer have in common ---- */

/* The beginning of a message; its content comes next. */
static void
message_head(struct jw *jw, const struct chat_frame *frame, struct str model)
{
    char id[ID_CAP];

    snprintf(id, sizeof id, "msg_%.*s", STR_ARGS(frame->id));
    jw_key_cstr(jw, "id", id);
    jw_key_cstr(jw, "type", "message");
    jw_key_cstr(jw, "role", "assistant");
    jw_key_quoted(jw, "model", model.len > 0 ? model : frame->model);
}

static const char *
reason_name(enum chat_finish finish)
{
    static const char *const names[CHAT_FINISH_COUNT] = {
        [CHAT_FINISH_STOP] = "end_turn",
        [CHAT_FINISH_STOP_SEQUENCE] = "stop_sequence",
        [CHAT_FINISH_CALLS] = "tool_use",
        [CHAT_FINISH_LENGTH] = "max_tokens",
        [CHAT_FINISH_CONTEXT] = "model_context_window_exceeded",
        [CHAT_FINISH_FILTER] = "refusal",
        [CHAT_FINISH_REFUSAL] = "refusal",
    };

    return names[finish];
}

/* Many upstreams say that they just stopped where they have called a tool, or have refused. */
static enum chat_finish
finish_with(enum chat_finish finish, bool calls, bool refused)
{
    if (finish != CHAT_FINISH_STOP && finish != CHAT_FINISH_STOP_SEQUENCE)
        return finish;
    return calls ? CHAT_FINISH_CALLS : refused ? CHAT_FINISH_REFUSAL : finish;
}

/* sequence: JSON string content, or STR_NONE. */
static void
reason_write(struct jw *jw, enum chat_finish finish, struct str sequence)
{
    jw_key_cstr(jw, "stop_reason", reason_name(finish));
    jw_key(jw, "stop_sequence");
    if (finish == CHAT_FINISH_STOP_SEQUENCE && sequence.ptr != NULL)
        jw_quoted(jw, sequence);
    else
        jw_null(jw);
}

/* The counts are zero where the upstream has told none. */
static void
usage_write(struct jw *jw, const struct usage *usage)
{
    jw_key(jw, "usage");
    jw_object(jw);
    jw_key_u64(jw, "input_tokens", usage->input);
    jw_key_u64(jw, "cache_creation_input_tokens",
               (uint64_t)usage->cache_write_5m + usage->cache_write_1h);
    jw_key_u64(jw, "cache_read_input_tokens", usage->cache_read);
    jw_key(jw, "cache_creation");
    jw_object(jw);
    jw_key_u64(jw, "ephemeral_5m_input_tokens", usage->cache_write_5m);
    jw_key_u64(jw, "ephemeral_1h_input_tokens", usage->cache_write_1h);
    jw_object_end(jw);
    jw_key_u64(jw, "output_tokens", usage->output);
    jw_key(jw, "output_tokens_details");
    jw_object(jw);
    jw_key_u64(jw, "thinking_tokens", usage->reasoning);
    jw_object_end(jw);
    jw_key_cstr(jw, "service_tier", "standard");
    jw_object_end(jw);
}

/* A signature with the tag of who has made it. */
static void
signature_write(struct jw *jw, const char *key, const struct chat_frame *frame,
                struct str signature)
{
    struct buf *out = jw->buf;

    jw_key_quoted(jw, key, str_from(frame->tag));
    if (out->failed)
        return;
    out->len--; /* the string goes on */
    if (signature.len > 0)
        buf_add_str(out, signature);
    buf_add_char(out, '"');
}

static void
call_id_write(struct jw *jw, const struct chat_frame *frame, struct str id, uint32_t number)
{
    const struct js_value given = {.type = JS_STRING, .raw = id};
    char plain[CHAT_ID_CAP], made[ID_CAP];

    if (id.len > 0) {
        jw_key_quoted(jw, "id", chat_plain_id(given, plain));
        return;
    }
    snprintf(made, sizeof made, "toolu_%.*s_%u", STR_ARGS(frame->id), number);
    jw_key_cstr(jw, "id", made);
}

/* ---- a stream ---- */

static void
event_start(struct jw *jw, struct buf *out, const char *name)
{
    buf_add_str(out, STR("event: "));
    buf_add_str(out, str_from(name));
    buf_add_str(out, STR("\ndata: "));
    jw_init(jw, out);
    jw_object(jw);
    jw_key_cstr(jw, "type", name);
}

static void
event_end(struct jw *jw)
{
    jw_object_end(jw);
    buf_add_str(jw->buf, STR("\n\n"));
}

static void
start_write(struct codec_writer *writer, struct str model, struct buf *out)
{
    struct jw jw;

    if (writer->started)
        return;
    writer->started = true;
    event_start(&jw, out, "message_start");
    jw_key(&jw, "message");
    jw_object(&jw);
    message_head(&jw, writer->frame, model);
    jw_key(&jw, "content");
    jw_raw(&jw, STR("[]"));
    jw_key(&jw, "stop_reason");
    jw_null(&jw);
    jw_key(&jw, "stop_sequence");
    jw_null(&jw);
    jw_key(&jw, "usage");
    jw_object(&jw);
    jw_key_u64(&jw, "input_tokens", writer->frame->input_estimate);
    jw_key_u64(&jw, "cache_creation_input_tokens", 0);
    jw_key_u64(&jw, "cache_read_input_tokens", 0);
    jw_key_u64(&jw, "output_tokens", 0);
    jw_object_end(&jw);
    jw_object_end(&jw);
    event_end(&jw);
}

static void
block_close(struct codec_writer *writer, struct buf *out)
{
    struct jw jw;

    if (writer->block_kind == OPEN_NOTHING)
        return;
    event_start(&jw, out, "content_block_stop");
    jw_key_u64(&jw, "index", writer->block);
    event_end(&jw);
    writer->block_kind = OPEN_NOTHING;
    writer->block++;
}

/* What was thought without a word comes before what it has led to: see signature_delta_write(). */
static void
redacted_write(struct codec_writer *writer, struct buf *out)
{
    struct jw jw;

    if (writer->open.len == 0)
        return;
    event_start(&jw, out, "content_block_start");
    jw_key_u64(&jw, "index", writer->block);
    jw_key(&jw, "content_block");
    jw_object(&jw);
    jw_key_cstr(&jw, "type", "redacted_thinking");
    signature_write(&jw, "data", writer->frame, buf_str(&writer->open));
    jw_object_end(&jw);
    event_end(&jw);
    writer->open.len = 0;
    writer->block_kind = OPEN_TEXT;
    block_close(writer, out);
}

/* Up to what stands in the block. */
static void
block_open(struct codec_writer *writer, enum open_kind kind, const char *type, struct jw *jw,
           struct buf *out)
{
    block_close(writer, out);
    redacted_write(writer, out);
    writer->block_kind = (uint8_t)kind;
    event_start(jw, out, "content_block_start");
    jw_key_u64(jw, "index", writer->block);
    jw_key(jw, "content_block");
    jw_object(jw);
    jw_key_cstr(jw, "type", type);
}

static void
block_opened(struct jw *jw)
{
    jw_object_end(jw);
    event_end(jw);
}

static void
delta_start(const struct codec_writer *writer, const char *type, struct jw *jw, struct buf *out)
{
    event_start(jw, out, "content_block_delta");
    jw_key_u64(jw, "index", writer->block);
    jw_key(jw, "delta");
    jw_object(jw);
    jw_key_cstr(jw, "type", type);
}

static void
text_write(struct codec_writer *writer, struct str text, struct buf *out)
{
    struct jw jw;

    if (text.len == 0)
        return;
    if (writer->block_kind != OPEN_TEXT) {
        block_open(writer, OPEN_TEXT, "text", &jw, out);
        jw_key_cstr(&jw, "text", "");
        block_opened(&jw);
    }
    delta_start(writer, "text_delta", &jw, out);
    jw_key_quoted(&jw, "text", text);
    block_opened(&jw);
}

static void
reasoning_write(struct codec_writer *writer, struct str text, struct buf *out)
{
    struct jw jw;

    if (text.len == 0)
        return;
    if (writer->block_kind != OPEN_THINKING) {
        block_open(writer, OPEN_THINKING, "thinking", &jw, out);
        jw_key_cstr(&jw, "thinking", "");
        jw_key_cstr(&jw, "signature", "");
        block_opened(&jw);
    }
    delta_start(writer, "thinking_delta", &jw, out);
    jw_key_quoted(&jw, "thinking", text);
    block_opened(&jw);
}

/* A client sends back only what belongs to a block of thinking, so that a call's own is such; where it
 * comes later than its call there is no place for it. One without words waits for what follows: an
 * answer must not end in it (Claude Code takes the last block for the answer), and Gemini signs
 * texts behind their end. */
static void
signature_delta_write(struct codec_writer *writer, const struct chat_delta *delta,
                      struct buf *out)
{
    struct jw jw;

    if (delta->text.len == 0 || (delta->of_call && writer->block_kind == OPEN_CALL))
        return;
    if (writer->block_kind == OPEN_THINKING && !delta->redacted) {
        delta_start(writer, "signature_delta", &jw, out);
        signature_write(&jw, "signature", writer->frame, delta->text);
        block_opened(&jw);
        block_close(writer, out);
        return;
    }
    block_close(writer, out);
    redacted_write(writer, out);
    if (writer->open.cap_max == 0)
        buf_init(&writer->open, SIGNATURE_LEN_MAX);
    buf_add_str(&writer->open, delta->text);
    out->failed |= writer->open.failed;
}

static void
call_write(struct codec_writer *writer, const struct chat_delta *delta, struct buf *out)
{
    struct jw jw;

    writer->calls_seen = true;
    block_open(writer, OPEN_CALL, "tool_use", &jw, out);
    call_id_write(&jw, writer->frame, delta->id, delta->call);
    jw_key_quoted(&jw, "name", delta->name);
    jw_key(&jw, "input");
    jw_raw(&jw, STR("{}"));
    block_opened(&jw);
}

static void
arguments_write(struct codec_writer *writer, struct str text, struct buf *out)
{
    struct jw jw;

    if (writer->block_kind != OPEN_CALL || text.len == 0)
        return;
    delta_start(writer, "input_json_delta", &jw, out);
    jw_key_quoted(&jw, "partial_json", text);
    block_opened(&jw);
}

static void
finish_keep(struct codec_writer *writer, const struct chat_delta *delta)
{
    writer->finish = (uint8_t)delta->finish;
    writer->stop_sequence[0] = '\0';
    /* One that is too long is not told: half of an escape would break the event. */
    if (delta->finish == CHAT_FINISH_STOP_SEQUENCE && delta->stop_sequence.ptr != NULL &&
        delta->stop_sequence.len < sizeof writer->stop_sequence)
        str_copy(delta->stop_sequence, writer->stop_sequence, sizeof writer->stop_sequence);
}

static void
end_write(struct codec_writer *writer, struct buf *out)
{
    struct str sequence = str_from(writer->stop_sequence);
    struct jw jw;

    block_close(writer, out);
    event_start(&jw, out, "message_delta");
    jw_key(&jw, "delta");
    jw_object(&jw);
    reason_write(&jw,
                 finish_with((enum chat_finish)writer->finish, writer->calls_seen,
                             writer->finished),
                 sequence.len > 0 ? sequence : STR_NONE);
    jw_object_end(&jw);
    usage_write(&jw, &writer->usage);
    event_end(&jw);
    event_start(&jw, out, "message_stop");
    event_end(&jw);
}

void
anthropic_delta_write(struct codec_writer *writer, const struct chat_delta *delta,
                      struct buf *out)
{
    struct jw jw;

    if (delta->choice != 0)
        return;
    if (delta->kind == CHAT_DELTA_START)
        start_write(writer, delta->name, out);
    else if (delta->kind != CHAT_DELTA_PING)
        start_write(writer, STR_NONE, out);
    switch (delta->kind) {
    case CHAT_DELTA_REFUSAL:
        writer->finished |= delta->text.len > 0; /* refused, that is: see finish_with() */
        text_write(writer, delta->text, out);
        break;
    case CHAT_DELTA_TEXT: text_write(writer, delta->text, out); break;
    case CHAT_DELTA_REASONING: reasoning_write(writer, delta->text, out); break;
    case CHAT_DELTA_SIGNATURE: signature_delta_write(writer, delta, out); break;
    case CHAT_DELTA_CALL: call_write(writer, delta, out); break;
    case CHAT_DELTA_ARGUMENTS: arguments_write(writer, delta->text, out); break;
    case CHAT_DELTA_CALL_END:
        if (writer->block_kind == OPEN_CALL)
            block_close(writer, out);
        break;
    case CHAT_DELTA_PING:
        if (!writer->started)
            break;
        event_start(&jw, out, "ping");
        event_end(&jw);
        break;
    case CHAT_DELTA_USAGE: writer->usage = *delta->usage; break;
    case CHAT_DELTA_FINISH: finish_keep(writer, delta); break;
    case CHAT_DELTA_END: end_write(writer, out); break;
    case CHAT_DELTA_START:
    case CHAT_DELTA_KIND_COUNT: break;
    }
}

/* ---- a whole answer ---- */

static void
whole_call_write(struct jw *jw, const struct chat_frame *frame, const struct chat_part *call,
                 uint32_t number)
{
    struct js_value input;
    struct arena arena;

    /* Text becomes an object: unescaped once, and once more where it is none. */
    arena_init(&arena, 4 * call->arguments.raw.len + 65536);
    input = chat_arguments(&arena, call);
    call_id_write(jw, frame, call->id.type == JS_STRING ? call->id.raw : STR_NONE, number);
    jw_key_js(jw, "name", call->tool_name);
    jw_key(jw, "input");
    if (input.type == JS_OBJECT)
        jw_js(jw, input);
    else
        jw_raw(jw, STR("{}"));
    jw->buf->failed |= input.type != JS_OBJECT;
    arena_end(&arena);
}

static struct str
signature_of(const struct chat_part *p)
{
    return p->signature.type == JS_STRING ? p->signature.raw : STR_NONE;
}

/* A call's signature stands in the thinking right before it, when that has none, … */
static bool
lends_to(const struct chat_part *thinking, const struct chat_part *call)
{
    return thinking != NULL && thinking->kind == CHAT_PART_REASONING &&
           thinking->text.raw.len > 0 && signature_of(thinking).len == 0 && call != NULL &&
           call->kind == CHAT_PART_CALL;
}

/* … else in a block of its own. */
static void
call_signature_write(struct jw *jw, const struct chat_frame *frame, const struct chat_part *before,
                     const struct chat_part *call)
{
    if (signature_of(call).len == 0 || lends_to(before, call))
        return;
    jw_object(jw);
    jw_key_cstr(jw, "type", "redacted_thinking");
    signature_write(jw, "data", frame, signature_of(call));
    jw_object_end(jw);
}

static void
whole_reasoning_write(struct jw *jw, const struct chat_frame *frame, const struct chat_part *p)
{
    struct str signature = signature_of(lends_to(p, p->next) ? p->next : p);
    bool redacted = p->redacted || p->text.raw.len == 0;

    jw_key_cstr(jw, "type", redacted ? "redacted_thinking" : "thinking");
    if (!redacted)
        jw_key_js(jw, "thinking", p->text);
    if (signature.len > 0)
        signature_write(jw, redacted ? "data" : "signature", frame, signature);
    else
        jw_key_cstr(jw, redacted ? "data" : "signature", "");
}

static bool
is_empty(const struct chat_part *p)
{
    return p->text.raw.len == 0 &&
           (p->kind != CHAT_PART_REASONING || p->signature.raw.len == 0);
}

/* Thought without a word, and nothing came of it. */
static bool
is_idle(const struct chat_part *p)
{
    if (p->kind != CHAT_PART_REASONING || p->text.raw.len > 0)
        return false;
    while (p != NULL && p->kind != CHAT_PART_CALL && p->text.raw.len == 0)
        p = p->next;
    return p == NULL;
}

static void
content_write(struct jw *jw, const struct chat_frame *frame, const struct chat_part *parts,
              bool *calls, bool *refused)
{
    const struct chat_part *before = NULL;
    uint32_t number = 0;

    jw_key(jw, "content");
    jw_array(jw);
    for (const struct chat_part *p = parts; p != NULL; before = p, p = p->next) {
        bool is_text = p->kind == CHAT_PART_TEXT || p->kind == CHAT_PART_REFUSAL;

        if (p->kind != CHAT_PART_CALL &&
            ((!is_text && p->kind != CHAT_PART_REASONING) || is_empty(p) || is_idle(p)))
            continue;
        *refused |= p->kind == CHAT_PART_REFUSAL;
        if (p->kind == CHAT_PART_CALL)
            call_signature_write(jw, frame, before, p);
        jw_object(jw);
        if (is_text) {
            jw_key_cstr(jw, "type", "text");
            jw_key_js(jw, "text", p->text);
        } else if (p->kind == CHAT_PART_REASONING) {
            whole_reasoning_write(jw, frame, p);
        } else {
            jw_key_cstr(jw, "type", "tool_use");
            whole_call_write(jw, frame, p, number++);
        }
        jw_object_end(jw);
    }
    jw_array_end(jw);
    *calls = number > 0;
}

void
anthropic_answer_write(const struct chat_answer *answer, const struct chat_frame *frame,
                       struct buf *out)
{
    const struct chat_answer_choice *choice = answer->choices;
    bool calls = false, refused = false;
    struct jw jw;

    jw_init(&jw, out);
    jw_object(&jw);
    message_head(&jw, frame, answer->model.type == JS_STRING ? answer->model.raw : STR_NONE);
    content_write(&jw, frame, choice->parts, &calls, &refused);
    reason_write(&jw, finish_with(choice->finish, calls, refused),
                 choice->stop_sequence.type == JS_STRING ? choice->stop_sequence.raw : STR_NONE);
    usage_write(&jw, &answer->usage);
    jw_object_end(&jw);
}
