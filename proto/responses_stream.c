/*
 * Streams in the form of Responses. One item is open at a time; what is of another kind closes it,
 * and each is told three times: in deltas, whole at its end, and once more in the response that
 * ends the stream. So the text of the open item is kept in writer->open, and the items that are
 * done, as JSON, in writer->items.
 *
 * Of an open text writer->open2 has the log probabilities. A call is held back until its arguments
 * begin, for a signature of it, which is an item of its own here, has to stand before it.
 */
#include <string.h>

#include "base/str.h"
#include "proto/responses_in.h"

#define KEPT_MAX ((size_t)64 << 20) /* bytes of a stream, where the caller sets no limit */

enum {
    OPEN_NONE = 0,
    OPEN_TEXT,
    OPEN_REFUSAL,
    OPEN_REASONING,
    OPEN_CALL_HELD, /* nothing of it was sent */
    OPEN_CALL,
};

/* ---- events ---- */

static void
begin_event(struct codec_writer *w, struct jw *jw, struct buf *out, const char *type)
{
    buf_add_str(out, STR("event: "));
    buf_add_str(out, str_from(type));
    buf_add_str(out, STR("\ndata: "));
    jw_init(jw, out);
    jw_object(jw);
    jw_key_cstr(jw, "type", type);
    jw_key_u64(jw, "sequence_number", w->sequence++);
}

static void
end_event(struct jw *jw)
{
    jw_object_end(jw);
    buf_add_str(jw->buf, STR("\n\n"));
}

static struct responses_id
open_id(const struct codec_writer *w)
{
    const char *prefix = "msg";

    if (w->block_kind == OPEN_REASONING)
        prefix = "rs";
    else if (w->block_kind == OPEN_CALL)
        prefix = responses_call_prefix((enum chat_tool_kind)w->call_tool);
    return responses_id(prefix, w->frame, w->block);
}

/* An event of a part of the open item. */
static void
begin_part_event(struct codec_writer *w, struct jw *jw, struct buf *out, const char *type)
{
    struct responses_id id = open_id(w);

    begin_event(w, jw, out, type);
    jw_key_cstr(jw, "item_id", id.text);
    jw_key_u64(jw, "output_index", w->block);
    if (w->block_kind == OPEN_REASONING)
        jw_key_u64(jw, "summary_index", 0);
    else if (w->block_kind != OPEN_CALL)
        jw_key_u64(jw, "content_index", 0);
}

static void
write_response_event(struct codec_writer *w, struct buf *out, const char *type,
                     const char *status, const char *reason)
{
    const struct responses_shape shape = {
        .frame = w->frame,
        .model = w->model[0] != '\0' ? str_from(w->model) : w->frame->model,
        .status = status,
        .reason = reason,
        .items = buf_str(&w->items),
        .usage = &w->usage,
    };
    struct jw jw;

    begin_event(w, &jw, out, type);
    jw_key(&jw, "response");
    responses_write_response(&jw, &shape);
    end_event(&jw);
}

static void
start(struct codec_writer *w, struct buf *out)
{
    struct buf *const kept[] = {&w->items, &w->open, &w->open2};

    if (w->started)
        return;
    w->started = true;
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        if (kept[i]->cap_max == 0)
            buf_init(kept[i], KEPT_MAX);
    write_response_event(w, out, "response.created", "in_progress", NULL);
    write_response_event(w, out, "response.in_progress", "in_progress", NULL);
}

/* ---- items ---- */

static void
begin_item_event(struct codec_writer *w, struct jw *jw, struct buf *out, const char *type)
{
    begin_event(w, jw, out, type);
    jw_key_u64(jw, "output_index", w->block);
    jw_key(jw, "item");
}

/* The item that w->items got behind start is told and closed. */
static void
item_done(struct codec_writer *w, struct buf *out, size_t start_len)
{
    struct jw jw;

    if (!w->items.failed) {
        struct str item = {w->items.ptr + start_len, w->items.len - start_len};

        begin_item_event(w, &jw, out, "response.output_item.done");
        jw_raw(&jw, item);
        end_event(&jw);
    }
    w->block++;
    w->block_kind = OPEN_NONE;
    w->open.len = w->open2.len = 0;
}

/* Where the next item's JSON begins. */
static size_t
begin_done_item(struct codec_writer *w, struct jw *jw)
{
    if (w->items.len > 0)
        buf_add_char(&w->items, ',');
    jw_init(jw, &w->items);
    return w->items.len;
}

static void
write_message(const struct codec_writer *w, struct jw *jw, const char *status, bool with_part)
{
    struct responses_id id = open_id(w);

    jw_object(jw);
    jw_key_cstr(jw, "id", id.text);
    jw_key_cstr(jw, "type", "message");
    jw_key_cstr(jw, "status", status);
    jw_key_cstr(jw, "role", "assistant");
    jw_key(jw, "content");
    jw_array(jw);
    if (with_part)
        responses_write_part(jw, w->block_kind == OPEN_REFUSAL, buf_str(&w->open),
                             buf_str(&w->open2));
    jw_array_end(jw);
    jw_object_end(jw);
}

static void
write_part_event(struct codec_writer *w, struct buf *out, const char *type)
{
    struct jw jw;

    begin_part_event(w, &jw, out, type);
    jw_key(&jw, "part");
    responses_write_part(&jw, w->block_kind == OPEN_REFUSAL, buf_str(&w->open),
                         buf_str(&w->open2));
    end_event(&jw);
}

static void
open_message(struct codec_writer *w, struct buf *out, uint8_t kind)
{
    struct jw jw;

    w->block_kind = kind;
    begin_item_event(w, &jw, out, "response.output_item.added");
    write_message(w, &jw, "in_progress", false);
    end_event(&jw);
    write_part_event(w, out, "response.content_part.added");
}

static void
write_logprobs(struct jw *jw, struct str list)
{
    jw_key(jw, "logprobs");
    jw_array(jw);
    if (list.len > 0)
        jw_raw(jw, list);
    jw_array_end(jw);
}

static void
close_message(struct codec_writer *w, struct buf *out, const char *status)
{
    bool refusal = w->block_kind == OPEN_REFUSAL;
    struct jw jw;
    size_t start_len;

    begin_part_event(w, &jw, out, refusal ? "response.refusal.done" : "response.output_text.done");
    jw_key_quoted(&jw, refusal ? "refusal" : "text", buf_str(&w->open));
    if (!refusal)
        write_logprobs(&jw, buf_str(&w->open2));
    end_event(&jw);
    write_part_event(w, out, "response.content_part.done");
    start_len = begin_done_item(w, &jw);
    write_message(w, &jw, status, true);
    item_done(w, out, start_len);
}

static void
write_summary_event(struct codec_writer *w, struct buf *out, const char *type)
{
    struct jw jw;

    begin_part_event(w, &jw, out, type);
    jw_key(&jw, "part");
    jw_object(&jw);
    jw_key_cstr(&jw, "type", "summary_text");
    jw_key_quoted(&jw, "text", buf_str(&w->open));
    jw_object_end(&jw);
    end_event(&jw);
}

static void
open_reasoning(struct codec_writer *w, struct buf *out)
{
    struct responses_id id;
    struct jw jw;

    w->block_kind = OPEN_REASONING;
    id = open_id(w);
    begin_item_event(w, &jw, out, "response.output_item.added");
    responses_write_reasoning(&jw, id.text, STR(""), STR(""));
    end_event(&jw);
}

/* signature: without its tag, or empty. */
static void
close_reasoning(struct codec_writer *w, struct buf *out, struct str signature)
{
    struct responses_id id = open_id(w);
    struct jw jw;
    size_t start_len;

    if (w->open.len > 0) {
        begin_part_event(w, &jw, out, "response.reasoning_summary_text.done");
        jw_key_quoted(&jw, "text", buf_str(&w->open));
        end_event(&jw);
        write_summary_event(w, out, "response.reasoning_summary_part.done");
    }
    if (signature.len > 0) {
        buf_add_str(&w->open2, str_from(w->frame->tag));
        buf_add_str(&w->open2, signature);
    }
    start_len = begin_done_item(w, &jw);
    responses_write_reasoning(&jw, id.text, buf_str(&w->open), buf_str(&w->open2));
    item_done(w, out, start_len);
}

/* ---- calls ---- */

static bool
is_shell(const struct codec_writer *w)
{
    return w->call_tool == CHAT_TOOL_LOCAL_SHELL;
}

static bool
is_custom(const struct codec_writer *w)
{
    return w->call_tool == CHAT_TOOL_CUSTOM;
}

static void
write_call(struct codec_writer *w, struct jw *jw, const char *status)
{
    struct responses_id id = open_id(w);
    const struct responses_call call = {
        .id = id.text,
        .status = status,
        .call_id = str_from(w->call_id),
        .name = str_from(w->call_name),
        .space = str_from(w->call_space),
        .arguments = buf_str(&w->open),
        .tool = (enum chat_tool_kind)w->call_tool,
    };

    responses_write_call(jw, &call, &w->open2);
}

/* As much as there is room for, cut where no escape and no character is cut. Names of a client's
 * own tools always fit (RESPONSES_NAME_MAX). */
static void
keep_name(struct str name, char *out, size_t cap)
{
    size_t len = MIN(name.len, cap - 1);

    if (len < name.len)
        for (size_t i = 0; i < len; i++)
            if (name.ptr[i] == '\\' || (name.ptr[i] & 0x80) != 0)
                len = i;
    if (len > 0)
        memcpy(out, name.ptr, len);
    out[len] = '\0';
}

static void
hold_call(struct codec_writer *w, const struct chat_delta *delta)
{
    struct responses_id made = responses_id("call", w->frame, w->call_count++);
    struct str id = delta->id;

    _Static_assert(RESPONSES_NAME_MAX < sizeof w->call_name, "names of tools fit");
    if (id.len == 0 || id.len >= sizeof w->call_id)
        id = str_from(made.text);
    keep_name(id, w->call_id, sizeof w->call_id);
    keep_name(delta->name, w->call_name, sizeof w->call_name);
    keep_name(delta->space, w->call_space, sizeof w->call_space);
    w->call_tool = (uint8_t)delta->tool;
    w->block_kind = OPEN_CALL_HELD;
    w->calls_seen = true;
}

static void
open_call(struct codec_writer *w, struct buf *out)
{
    struct jw jw;

    if (w->block_kind != OPEN_CALL_HELD)
        return;
    w->block_kind = OPEN_CALL;
    begin_item_event(w, &jw, out, "response.output_item.added");
    write_call(w, &jw, "in_progress");
    end_event(&jw);
}

/* The command of a local shell is whole or nothing: it has no deltas. */
static void
write_arguments(struct codec_writer *w, struct buf *out, struct str text)
{
    struct jw jw;

    if (text.len == 0)
        return;
    open_call(w, out);
    buf_add_str(&w->open, text);
    if (is_shell(w))
        return;
    begin_part_event(w, &jw, out,
                     is_custom(w) ? "response.custom_tool_call_input.delta"
                                  : "response.function_call_arguments.delta");
    jw_key_quoted(&jw, "delta", text);
    end_event(&jw);
}

static void
close_call(struct codec_writer *w, struct buf *out, const char *status)
{
    struct jw jw;
    size_t start_len;

    if (w->open.len == 0 && !is_custom(w) && !is_shell(w))
        write_arguments(w, out, STR("{}"));
    open_call(w, out);
    if (is_custom(w)) {
        begin_part_event(w, &jw, out, "response.custom_tool_call_input.done");
        jw_key_quoted(&jw, "input", buf_str(&w->open));
        end_event(&jw);
    } else if (!is_shell(w)) {
        begin_part_event(w, &jw, out, "response.function_call_arguments.done");
        jw_key_quoted(&jw, "name", str_from(w->call_name));
        jw_key_quoted(&jw, "arguments", buf_str(&w->open));
        end_event(&jw);
    }
    start_len = begin_done_item(w, &jw);
    write_call(w, &jw, status);
    item_done(w, out, start_len);
}

static void
close_open(struct codec_writer *w, struct buf *out, const char *status)
{
    switch (w->block_kind) {
    case OPEN_TEXT:
    case OPEN_REFUSAL: close_message(w, out, status); break;
    case OPEN_REASONING: close_reasoning(w, out, STR("")); break;
    case OPEN_CALL_HELD:
    case OPEN_CALL: close_call(w, out, status); break;
    default: break;
    }
}

/* ---- deltas ---- */

static void
write_said(struct codec_writer *w, const struct chat_delta *delta, struct buf *out, uint8_t kind)
{
    struct str logprobs = STR("");
    struct jw jw;

    if (delta->text.len == 0)
        return;
    if (w->block_kind != kind) {
        close_open(w, out, "completed");
        open_message(w, out, kind);
    }
    begin_part_event(w, &jw, out,
                     kind == OPEN_TEXT ? "response.output_text.delta" : "response.refusal.delta");
    jw_key_quoted(&jw, "delta", delta->text);
    buf_add_str(&w->open, delta->text);
    if (kind == OPEN_TEXT) {
        if (delta->logprobs.type == JS_ARRAY && delta->logprobs.raw.len > 2) {
            logprobs = (struct str){delta->logprobs.raw.ptr + 1, delta->logprobs.raw.len - 2};
            if (w->open2.len > 0)
                buf_add_char(&w->open2, ',');
            buf_add_str(&w->open2, logprobs);
        }
        write_logprobs(&jw, logprobs);
    }
    end_event(&jw);
}

static void
write_reasoning(struct codec_writer *w, const struct chat_delta *delta, struct buf *out)
{
    struct jw jw;

    if (delta->text.len == 0)
        return;
    if (w->block_kind != OPEN_REASONING) {
        close_open(w, out, "completed");
        open_reasoning(w, out);
        write_summary_event(w, out, "response.reasoning_summary_part.added");
    }
    begin_part_event(w, &jw, out, "response.reasoning_summary_text.delta");
    jw_key_quoted(&jw, "delta", delta->text);
    end_event(&jw);
    buf_add_str(&w->open, delta->text);
}

/* Of the reasoning before it, which it closes, or an item of its own. That of a call is kept like
 * that of the reasoning before the call, where it comes back from. */
static void
write_signature(struct codec_writer *w, const struct chat_delta *delta, struct buf *out)
{
    bool of_last = delta->of_call && delta->call + 1 == w->call_count;
    bool held = of_last && w->block_kind == OPEN_CALL_HELD;

    if (!w->frame->include_encrypted || delta->text.len == 0)
        return;
    if (of_last && !held) /* too late: it must stand before what it is of */
        return;
    if (w->block_kind != OPEN_REASONING || delta->redacted) {
        if (!held)
            close_open(w, out, "completed");
        open_reasoning(w, out);
    }
    close_reasoning(w, out, delta->text);
    if (held)
        w->block_kind = OPEN_CALL_HELD;
}

static void
write_end(struct codec_writer *w, struct buf *out)
{
    const char *reason = responses_reason((enum chat_finish)w->finish);

    close_open(w, out, "completed");
    if (reason != NULL)
        write_response_event(w, out, "response.incomplete", "incomplete", reason);
    else
        write_response_event(w, out, "response.completed", "completed", NULL);
}

/* Of several answers only the first has a place here. */
static void
write_choice_delta(struct codec_writer *w, const struct chat_delta *delta, struct buf *out)
{
    bool in_call = w->block_kind == OPEN_CALL_HELD || w->block_kind == OPEN_CALL;

    if (delta->choice > 0)
        return;
    switch (delta->kind) {
    case CHAT_DELTA_TEXT: write_said(w, delta, out, OPEN_TEXT); break;
    case CHAT_DELTA_REFUSAL: write_said(w, delta, out, OPEN_REFUSAL); break;
    case CHAT_DELTA_REASONING: write_reasoning(w, delta, out); break;
    case CHAT_DELTA_SIGNATURE: write_signature(w, delta, out); break;
    case CHAT_DELTA_CALL:
        close_open(w, out, "completed");
        hold_call(w, delta);
        break;
    case CHAT_DELTA_ARGUMENTS:
        if (in_call)
            write_arguments(w, out, delta->text);
        break;
    case CHAT_DELTA_CALL_END:
        if (in_call)
            close_call(w, out, "completed");
        break;
    case CHAT_DELTA_FINISH:
        w->finish = (uint8_t)delta->finish;
        close_open(w, out, responses_reason(delta->finish) != NULL ? "incomplete" : "completed");
        break;
    case CHAT_DELTA_START:
    case CHAT_DELTA_PING:
    case CHAT_DELTA_USAGE:
    case CHAT_DELTA_END:
    case CHAT_DELTA_KIND_COUNT: break;
    }
}

void
responses_delta_write(struct codec_writer *writer, const struct chat_delta *delta, struct buf *out)
{
    if (writer->finished)
        return;
    if (delta->kind == CHAT_DELTA_PING) {
        buf_add_str(out, STR(": ping\n\n"));
        return;
    }
    /* One that does not fit is left to the frame's. */
    if (delta->kind == CHAT_DELTA_START && delta->name.len < sizeof writer->model)
        keep_name(delta->name, writer->model, sizeof writer->model);
    start(writer, out);
    if (delta->kind == CHAT_DELTA_USAGE && delta->usage != NULL)
        writer->usage = *delta->usage;
    else if (delta->kind == CHAT_DELTA_END)
        write_end(writer, out);
    else
        write_choice_delta(writer, delta, out);
    writer->finished = delta->kind == CHAT_DELTA_END;
    out->failed = out->failed || writer->items.failed || writer->open.failed ||
                  writer->open2.failed;
}
