/*
 * Writes answers to Gemini's clients: a stream of events, the same as one list of JSON, or whole.
 *
 * A call is written when all of it is there, as a part with its arguments as an object. A
 * signature stands on the part that follows it (the CLI does not send thoughts back, only what it
 * takes for the answer), or on an empty text. The reason why a candidate is finished waits for the
 * usage and goes out with it in the last event.
 *
 * Of struct codec_writer: open has the open call's arguments, items its name, open2 a signature
 * that waits for its part; block is the candidate of the call, or of the finish that waits.
 */
#include <string.h>

#include "base/jw.h"
#include "base/str.h"
#include "proto/gemini_in.h"

/* codec_writer.block_kind */
enum { NOTHING_OPEN = 0, CALL_OPEN, FINISH_HELD };

/* codec_writer.roles_sent[0]: a bit for each candidate that has said something. */
#define CHOICES_MAX 64

/* Only the last event of a candidate tells a reason. */
#define NO_FINISH CHAT_FINISH_COUNT

/* Of a call's arguments, or of a signature. */
#define HELD_LEN_MAX (8u * 1024 * 1024)

/* ---- parts ---- */

static void
write_signature(struct jw *jw, struct str signature)
{
    if (signature.len > 0)
        jw_key_quoted(jw, "thoughtSignature", signature);
}

static void
write_text_part(struct jw *jw, struct str text, bool thought, struct str signature)
{
    jw_object(jw);
    jw_key_quoted(jw, "text", text);
    if (thought)
        jw_key_bool(jw, "thought", true);
    write_signature(jw, signature);
    jw_object_end(jw);
}

/* Arguments as they came, the inside of a JSON string, as an object. */
static void
write_args(struct jw *jw, struct str escaped)
{
    struct js_value string = {.type = JS_STRING, .escaped = true, .raw = escaped}, object;
    struct js_error fault;
    struct str text;
    struct buf room;

    jw_key(jw, "args");
    buf_init(&room, escaped.len + 1);
    if (!buf_reserve(&room, escaped.len + 1)) {
        jw->buf->failed = true;
        jw_raw(jw, STR("{}"));
        return;
    }
    text = escaped.len > 0 ? js_unescape(string, room.ptr, room.cap) : STR("");
    if (str_trim(text).len == 0) {
        jw_raw(jw, STR("{}"));
    } else if (js_check(text, &object, &fault) && object.type == JS_OBJECT) {
        jw_raw(jw, STR("{"));
        chat_write_compact(jw->buf, (struct str){object.raw.ptr + 1, object.raw.len - 1});
    } else {
        jw_object(jw);
        jw_key_quoted(jw, "_raw", escaped);
        jw_object_end(jw);
    }
    buf_free(&room);
}

static void
write_call_part(struct jw *jw, struct str id, struct str name, struct str arguments,
                struct str signature)
{
    jw_object(jw);
    jw_key(jw, "functionCall");
    jw_object(jw);
    jw_key_quoted(jw, "id", id);
    jw_key_quoted(jw, "name", name);
    write_args(jw, arguments);
    jw_object_end(jw);
    write_signature(jw, signature);
    jw_object_end(jw);
}

/* The signature as the client gets it: tagged, so that it finds back to who made it. */
static void
tag_signature(struct buf *out, const struct chat_frame *frame, struct str signature, bool redacted)
{
    if (redacted)
        buf_add_str(out, STR(GEMINI_REDACTED));
    buf_add_str(out, str_from(frame->tag));
    buf_add_str(out, signature);
}

/* ---- what stands around them ---- */

static const char *
finish_name(enum chat_finish finish, bool has_text)
{
    switch (finish) {
    case CHAT_FINISH_STOP:
    case CHAT_FINISH_STOP_SEQUENCE:
    case CHAT_FINISH_CALLS: return "STOP";
    case CHAT_FINISH_LENGTH:
    case CHAT_FINISH_CONTEXT: return "MAX_TOKENS";
    case CHAT_FINISH_REFUSAL: return has_text ? "STOP" : "SAFETY";
    case CHAT_FINISH_FILTER: return "SAFETY";
    case CHAT_FINISH_COUNT: break;
    }
    return "OTHER";
}

static void
write_usage(struct jw *jw, const struct usage *usage)
{
    uint64_t prompt = (uint64_t)usage->input + usage->cache_read + usage->cache_write_5m +
                      usage->cache_write_1h;

    if (usage->state != USAGE_PRESENT && usage->state != USAGE_ZERO)
        return;
    jw_key(jw, "usageMetadata");
    jw_object(jw);
    jw_key_u64(jw, "promptTokenCount", prompt);
    if (usage->cache_read > 0)
        jw_key_u64(jw, "cachedContentTokenCount", usage->cache_read);
    jw_key_u64(jw, "candidatesTokenCount", usage->output - MIN(usage->reasoning, usage->output));
    if (usage->reasoning > 0)
        jw_key_u64(jw, "thoughtsTokenCount", MIN(usage->reasoning, usage->output));
    jw_key_u64(jw, "totalTokenCount", prompt + usage->output);
    jw_object_end(jw);
}

static void
write_token(struct jw *jw, struct js_value token)
{
    struct js_value text = js_get(token, STR("token"));
    struct js_value probability = js_get(token, STR("logprob"));

    jw_object(jw);
    if (text.type == JS_STRING)
        jw_key_js(jw, "token", text);
    if (probability.type == JS_NUMBER)
        jw_key_js(jw, "logProbability", probability);
    jw_object_end(jw);
}

static void
write_top_tokens(struct jw *jw, struct js_value list)
{
    struct js_value key, token;
    struct js_iter it;

    jw_object(jw);
    jw_key(jw, "candidates");
    jw_array(jw);
    for (js_iter_init(&it, list); js_next(&it, &key, &token);)
        write_token(jw, token);
    jw_array_end(jw);
    jw_object_end(jw);
}

static void
write_logprobs(struct jw *jw, struct js_value list)
{
    struct js_value key, token;
    struct js_iter it;

    if (list.type != JS_ARRAY)
        return;
    jw_key(jw, "logprobsResult");
    jw_object(jw);
    jw_key(jw, "topCandidates");
    jw_array(jw);
    for (js_iter_init(&it, list); js_next(&it, &key, &token);)
        write_top_tokens(jw, js_get(token, STR("top_logprobs")));
    jw_array_end(jw);
    jw_key(jw, "chosenCandidates");
    jw_array(jw);
    for (js_iter_init(&it, list); js_next(&it, &key, &token);)
        write_token(jw, token);
    jw_array_end(jw);
    jw_object_end(jw);
}

static void
candidate_begin(struct jw *jw)
{
    jw_object(jw);
    jw_key(jw, "content");
    jw_object(jw);
    jw_key_cstr(jw, "role", "model");
    jw_key(jw, "parts");
    jw_array(jw);
}

static void
candidate_end(struct jw *jw, uint32_t index, enum chat_finish finish, bool has_text,
              struct js_value logprobs)
{
    jw_array_end(jw);
    jw_object_end(jw);
    if (finish != NO_FINISH)
        jw_key_cstr(jw, "finishReason", finish_name(finish, has_text));
    jw_key_u64(jw, "index", index);
    write_logprobs(jw, logprobs);
    jw_object_end(jw);
}

/* ---- streams ---- */

static void
event_begin(struct codec_writer *writer, struct jw *jw, struct buf *out)
{
    if (writer->frame->json_array)
        buf_add_str(out, writer->started ? STR(",\r\n") : STR("["));
    else
        buf_add_str(out, STR("data: "));
    writer->started = true;
    jw_init(jw, out);
    jw_object(jw);
}

static void
event_end(const struct codec_writer *writer, struct jw *jw, struct buf *out,
          const struct usage *usage)
{
    if (usage != NULL)
        write_usage(jw, usage);
    if (writer->model[0] != '\0')
        jw_key_quoted(jw, "modelVersion", str_from(writer->model));
    else if (writer->frame->model.len > 0)
        jw_key_quoted(jw, "modelVersion", writer->frame->model);
    jw_key_quoted(jw, "responseId", writer->frame->id);
    jw_object_end(jw);
    if (!writer->frame->json_array)
        buf_add_str(out, STR("\r\n\r\n"));
}

/* An event with one candidate up to its parts, and from them on. */
static void
chunk_begin(struct codec_writer *writer, struct jw *jw, struct buf *out)
{
    event_begin(writer, jw, out);
    jw_key(jw, "candidates");
    jw_array(jw);
    candidate_begin(jw);
}

static void
chunk_end(struct codec_writer *writer, struct jw *jw, struct buf *out, uint32_t choice,
          struct js_value logprobs)
{
    candidate_end(jw, choice, NO_FINISH, false, logprobs);
    jw_array_end(jw);
    event_end(writer, jw, out, NULL);
}

static bool
has_said(const struct codec_writer *writer, uint32_t choice)
{
    return choice < CHOICES_MAX && (writer->roles_sent[0] >> choice & 1) != 0;
}

/* The signature that waits; the buffer is emptied by signature_sent(). */
static struct str
signature_held(const struct codec_writer *writer)
{
    return writer->open2.len > 0 ? buf_str(&writer->open2) : STR("");
}

static void
signature_sent(struct codec_writer *writer)
{
    writer->open2.len = 0;
}

static void
write_text(struct codec_writer *writer, const struct chat_delta *delta, struct buf *out)
{
    bool thought = delta->kind == CHAT_DELTA_REASONING;
    struct str text = delta->text.len > 0 ? delta->text : STR("");
    struct jw jw;

    if (text.len == 0 && delta->logprobs.type != JS_ARRAY)
        return;
    chunk_begin(writer, &jw, out);
    /* One that still waits before another thought is of the thought before. */
    if (thought && writer->open2.len > 0)
        write_text_part(&jw, STR(""), false, signature_held(writer));
    write_text_part(&jw, text, thought, thought ? STR("") : signature_held(writer));
    signature_sent(writer);
    chunk_end(writer, &jw, out, delta->choice, delta->logprobs);
    if (!thought && delta->choice < CHOICES_MAX)
        writer->roles_sent[0] |= UINT64_C(1) << delta->choice;
}

static void
hold_signature(struct codec_writer *writer, const struct chat_delta *delta, struct buf *out)
{
    struct jw jw;

    if (delta->text.len == 0)
        return;
    if (writer->open2.len > 0) {
        chunk_begin(writer, &jw, out);
        write_text_part(&jw, STR(""), false, signature_held(writer));
        chunk_end(writer, &jw, out, delta->choice, (struct js_value){.type = JS_NONE});
        signature_sent(writer);
    }
    tag_signature(&writer->open2, writer->frame, delta->text, delta->redacted);
}

/* The id is the upstream's, or made of the answer's; it need not be kept to be known again. */
static void
open_call(struct codec_writer *writer, const struct chat_delta *delta)
{
    writer->block_kind = CALL_OPEN;
    writer->block = delta->choice;
    writer->open.len = 0;
    writer->items.len = 0;
    buf_add_str(&writer->items, delta->name.len > 0 ? delta->name : STR(""));
    if (delta->id.len > 0 && delta->id.len < sizeof writer->call_id) {
        str_copy(delta->id, writer->call_id, sizeof writer->call_id);
    } else {
        struct str id = writer->frame->id;
        struct buf text;

        buf_init(&text, sizeof writer->call_id - 1);
        buf_add_fmt(&text, "call_%.*s_%u", (int)MIN(id.len, (size_t)100), id.ptr,
                    (unsigned)writer->call_count);
        str_copy(buf_str(&text), writer->call_id, sizeof writer->call_id);
        buf_free(&text);
    }
    writer->call_count++;
    writer->calls_seen = true;
}

static void
close_call(struct codec_writer *writer, struct buf *out)
{
    struct jw jw;

    if (writer->block_kind != CALL_OPEN)
        return;
    writer->block_kind = NOTHING_OPEN;
    chunk_begin(writer, &jw, out);
    write_call_part(&jw, str_from(writer->call_id), buf_str(&writer->items),
                    buf_str(&writer->open), signature_held(writer));
    signature_sent(writer);
    chunk_end(writer, &jw, out, writer->block, (struct js_value){.type = JS_NONE});
    buf_free(&writer->open);
}

/* The last event of a candidate; with usage NULL others are still to come. */
static void
write_finish(struct codec_writer *writer, struct buf *out, const struct usage *usage)
{
    struct jw jw;

    event_begin(writer, &jw, out);
    if (writer->block_kind == FINISH_HELD) {
        jw_key(&jw, "candidates");
        jw_array(&jw);
        candidate_begin(&jw);
        write_text_part(&jw, STR(""), false, signature_held(writer));
        candidate_end(&jw, writer->block, (enum chat_finish)writer->finish,
                      has_said(writer, writer->block), (struct js_value){.type = JS_NONE});
        jw_array_end(&jw);
        signature_sent(writer);
        writer->block_kind = NOTHING_OPEN;
    }
    event_end(writer, &jw, out, usage);
}

static void
hold_finish(struct codec_writer *writer, const struct chat_delta *delta, struct buf *out)
{
    if (writer->block_kind == FINISH_HELD)
        write_finish(writer, out, NULL);
    writer->block_kind = FINISH_HELD;
    writer->block = delta->choice;
    writer->finish = (uint8_t)delta->finish;
}

static void
write_end(struct codec_writer *writer, struct buf *out)
{
    if (writer->block_kind == FINISH_HELD || writer->usage.state == USAGE_PRESENT)
        write_finish(writer, out, &writer->usage);
    if (writer->frame->json_array)
        buf_add_str(out, writer->started ? STR("]") : STR("[]"));
    buf_free(&writer->open);
    buf_free(&writer->open2);
    buf_free(&writer->items);
    writer->finished = true;
}

/* Deltas of a call do not end it; all others do. A finish that waits lets the others by. */
static bool
is_of_call(const struct chat_delta *delta)
{
    return delta->kind == CHAT_DELTA_ARGUMENTS || delta->kind == CHAT_DELTA_PING ||
           delta->kind == CHAT_DELTA_USAGE ||
           (delta->kind == CHAT_DELTA_SIGNATURE && delta->of_call);
}

static void
set_limits(struct codec_writer *writer)
{
    struct buf *bufs[] = {&writer->open, &writer->open2, &writer->items};

    for (size_t i = 0; i < COUNT_OF(bufs); i++)
        if (bufs[i]->cap_max == 0)
            buf_init(bufs[i], HELD_LEN_MAX);
}

void
gemini_delta_write(struct codec_writer *writer, const struct chat_delta *delta, struct buf *out)
{
    if (writer->finished)
        return;
    set_limits(writer);
    if (!is_of_call(delta))
        close_call(writer, out);
    if (writer->block_kind == FINISH_HELD &&
        (delta->kind == CHAT_DELTA_CALL || delta->kind == CHAT_DELTA_SIGNATURE))
        write_finish(writer, out, NULL);
    switch (delta->kind) {
    case CHAT_DELTA_START:
        if (delta->name.len > 0 && delta->name.len < sizeof writer->model)
            str_copy(delta->name, writer->model, sizeof writer->model);
        break;
    case CHAT_DELTA_TEXT:
    case CHAT_DELTA_REASONING:
    case CHAT_DELTA_REFUSAL: write_text(writer, delta, out); break;
    case CHAT_DELTA_SIGNATURE: hold_signature(writer, delta, out); break;
    case CHAT_DELTA_CALL: open_call(writer, delta); break;
    case CHAT_DELTA_ARGUMENTS:
        if (writer->block_kind == CALL_OPEN && delta->text.len > 0)
            buf_add_str(&writer->open, delta->text);
        break;
    case CHAT_DELTA_CALL_END: break;
    case CHAT_DELTA_PING:
        if (!writer->frame->json_array)
            buf_add_str(out, STR(": ping\r\n\r\n"));
        break;
    case CHAT_DELTA_USAGE: writer->usage = *delta->usage; break;
    case CHAT_DELTA_FINISH: hold_finish(writer, delta, out); break;
    case CHAT_DELTA_END: write_end(writer, out); break;
    case CHAT_DELTA_KIND_COUNT: break;
    }
    if (writer->open.failed || writer->open2.failed || writer->items.failed)
        out->failed = true;
}

/* ---- whole answers ---- */

struct whole {
    const struct chat_frame *frame;
    struct jw *jw;
    struct buf held; /* the signature that waits for its part */
    uint32_t calls;  /* of all candidates */
    bool some;       /* the candidate has a part */
    bool has_text;
};

static void
flush_signature(struct whole *whole)
{
    if (whole->held.len == 0)
        return;
    write_text_part(whole->jw, STR(""), false, buf_str(&whole->held));
    whole->held.len = 0;
    whole->some = true;
}

static void
whole_reasoning(struct whole *whole, const struct chat_part *part)
{
    flush_signature(whole);
    if (part->text.type == JS_STRING && part->text.raw.len > 0) {
        write_text_part(whole->jw, part->text.raw, true, STR(""));
        whole->some = true;
    }
    if (part->signature.type == JS_STRING && part->signature.raw.len > 0)
        tag_signature(&whole->held, whole->frame, part->signature.raw, part->redacted);
}

static void
whole_text(struct whole *whole, const struct chat_part *part)
{
    if (part->text.type != JS_STRING || part->text.raw.len == 0)
        return;
    write_text_part(whole->jw, part->text.raw, false, buf_str(&whole->held));
    whole->held.len = 0;
    whole->some = true;
    whole->has_text = true;
}

static void
whole_call(struct whole *whole, const struct chat_part *part)
{
    struct str id = part->id.type == JS_STRING ? part->id.raw : STR_NONE;
    struct str arguments = part->arguments.type == JS_STRING ? part->arguments.raw : STR("");
    struct buf made;

    buf_init(&made, 256);
    if (id.len == 0) {
        buf_add_fmt(&made, "call_%.*s_%u", (int)MIN(whole->frame->id.len, (size_t)100),
                    whole->frame->id.ptr, (unsigned)whole->calls);
        id = buf_str(&made);
    }
    whole->calls++;
    if (part->signature.type == JS_STRING && part->signature.raw.len > 0) {
        flush_signature(whole);
        tag_signature(&whole->held, whole->frame, part->signature.raw, false);
    }
    write_call_part(whole->jw, id, part->tool_name.raw, arguments, buf_str(&whole->held));
    whole->held.len = 0;
    whole->some = true;
    buf_free(&made);
}

static void
whole_candidate(struct whole *whole, const struct chat_answer_choice *choice)
{
    whole->some = whole->has_text = false;
    candidate_begin(whole->jw);
    for (const struct chat_part *p = choice->parts; p != NULL; p = p->next) {
        switch (p->kind) {
        case CHAT_PART_REASONING: whole_reasoning(whole, p); break;
        case CHAT_PART_TEXT:
        case CHAT_PART_REFUSAL: whole_text(whole, p); break;
        case CHAT_PART_CALL: whole_call(whole, p); break;
        case CHAT_PART_IMAGE:
        case CHAT_PART_DOCUMENT:
        case CHAT_PART_AUDIO:
        case CHAT_PART_RESULT:
        case CHAT_PART_KIND_COUNT: break;
        }
    }
    flush_signature(whole);
    if (!whole->some)
        write_text_part(whole->jw, STR(""), false, STR(""));
    candidate_end(whole->jw, choice->index, choice->finish, whole->has_text, choice->logprobs);
}

void
gemini_answer_write(const struct chat_answer *answer, const struct chat_frame *frame,
                    struct buf *out)
{
    struct jw jw;
    struct whole whole = {.frame = frame, .jw = &jw};

    buf_init(&whole.held, out->cap_max);
    if (frame->json_array)
        buf_add_char(out, '[');
    jw_init(&jw, out);
    jw_object(&jw);
    jw_key(&jw, "candidates");
    jw_array(&jw);
    for (const struct chat_answer_choice *c = answer->choices; c != NULL; c = c->next)
        whole_candidate(&whole, c);
    jw_array_end(&jw);
    write_usage(&jw, &answer->usage);
    if (answer->model.type == JS_STRING && answer->model.raw.len > 0)
        jw_key_js(&jw, "modelVersion", answer->model);
    else if (frame->model.len > 0)
        jw_key_quoted(&jw, "modelVersion", frame->model);
    jw_key_quoted(&jw, "responseId", frame->id);
    jw_object_end(&jw);
    if (frame->json_array)
        buf_add_char(out, ']');
    out->failed |= whole.held.failed;
    buf_free(&whole.held);
}

const struct codec gemini_codec = {
    .request_read = gemini_request_read,
    .request_write = gemini_request_write,
    .event_read = gemini_event_read,
    .stream_end = gemini_stream_end,
    .answer_read = gemini_answer_read,
    .delta_write = gemini_delta_write,
    .answer_write = gemini_answer_write,
};
