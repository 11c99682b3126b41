/*
 * Reads answers of upstreams that speak Anthropic's Messages, streamed or whole.
 *
 * A stream is blocks, one open at a time. reader->block is the number of the open one, block_kind
 * what it is, and text_seen whether anything came for it since it was opened. Blocks of the
 * provider's own tools, and what else is not known here, are passed over with all that comes for
 * them.
 */
#include "base/str.h"
#include "proto/anthropic.h"
#include "proto/pick.h"

enum open_kind {
    OPEN_NOTHING = 0,
    OPEN_TEXT,
    OPEN_THINKING,
    OPEN_CALL,
    OPEN_WHOLE_CALL, /* its arguments came with its start */
    OPEN_OTHER,
};

static void
emit_text(struct codec_reader *reader, enum chat_delta_kind kind, struct js_value text)
{
    const struct chat_delta delta = {.kind = kind, .text = text.raw};

    if (text.type == JS_STRING && text.raw.len > 0)
        codec_emit(reader, &delta);
}

/* A signature behind one of our marks. */
static bool
emit_marked(struct codec_reader *reader, struct str mark, struct js_value signature, bool redacted)
{
    struct chat_delta delta = {.kind = CHAT_DELTA_SIGNATURE, .redacted = redacted};

    if (signature.type != JS_STRING || signature.raw.len == 0)
        return true;
    reader->scratch.len = 0;
    buf_add_str(&reader->scratch, mark);
    buf_add_str(&reader->scratch, signature.raw);
    if (reader->scratch.failed)
        return false;
    delta.text = buf_str(&reader->scratch);
    codec_emit(reader, &delta);
    return true;
}

static void
emit_thinking(struct codec_reader *reader, struct js_value text)
{
    reader->text_seen |= text.type == JS_STRING && text.raw.len > 0;
    emit_text(reader, CHAT_DELTA_REASONING, text);
}

static bool
emit_signature(struct codec_reader *reader, struct js_value signature)
{
    return emit_marked(reader, reader->text_seen ? STR("") : STR(ANTHROPIC_BARE), signature, false);
}

/* ---- calls ---- */

static void
emit_arguments(struct codec_reader *reader, struct str text)
{
    const struct chat_delta delta = {
        .kind = CHAT_DELTA_ARGUMENTS, .call = reader->call_count - 1, .text = text};

    if (text.len > 0)
        codec_emit(reader, &delta);
}

static bool
is_empty_object(struct js_value value)
{
    struct js_value key, one;
    struct js_iter it;

    js_iter_init(&it, value);
    return !js_next(&it, &key, &one);
}

static bool
call_start(struct codec_reader *reader, struct js_value id, struct js_value name,
           struct js_value input)
{
    struct chat_delta delta = {.kind = CHAT_DELTA_CALL, .call = reader->call_count};

    if (name.type != JS_STRING || name.raw.len == 0 || reader->call_count == CODEC_CALLS_MAX)
        return false;
    if (input.type != JS_NONE && input.type != JS_OBJECT)
        return false;
    if (id.type == JS_STRING && id.raw.len > 0)
        delta.id = id.raw;
    delta.name = name.raw;
    reader->call_count++;
    reader->block_kind = OPEN_CALL;
    codec_emit(reader, &delta);
    if (is_empty_object(input))
        return true;
    reader->block_kind = OPEN_WHOLE_CALL;
    reader->scratch.len = 0;
    chat_write_json_as_text(&reader->scratch, input.raw);
    if (reader->scratch.failed)
        return false;
    emit_arguments(reader, buf_str(&reader->scratch));
    return true;
}

/* Closes the open block. */
static void
block_stop(struct codec_reader *reader)
{
    const struct chat_delta end = {.kind = CHAT_DELTA_CALL_END, .call = reader->call_count - 1};
    enum open_kind kind = (enum open_kind)reader->block_kind;

    reader->block_kind = OPEN_NOTHING;
    if (kind == OPEN_CALL && !reader->text_seen)
        emit_arguments(reader, STR("{}"));
    if (kind == OPEN_CALL || kind == OPEN_WHOLE_CALL)
        codec_emit(reader, &end);
}

/* ---- blocks ---- */

enum block_field { TYPE = 0, TEXT, THINKING, SIGNATURE, DATA, ID, NAME, INPUT, BLOCK_FIELD_COUNT };

/* The start of a block in a stream; of a whole answer's blocks it is all there is. */
static bool
block_start(struct codec_reader *reader, struct js_value block)
{
    static const struct str names[BLOCK_FIELD_COUNT] = {
        [TYPE] = PICK_NAME("type"),         [TEXT] = PICK_NAME("text"),
        [THINKING] = PICK_NAME("thinking"), [SIGNATURE] = PICK_NAME("signature"),
        [DATA] = PICK_NAME("data"),         [ID] = PICK_NAME("id"),
        [NAME] = PICK_NAME("name"),         [INPUT] = PICK_NAME("input"),
    };
    struct js_value field[BLOCK_FIELD_COUNT];

    if (block.type != JS_OBJECT)
        return false;
    codec_members(block, names, BLOCK_FIELD_COUNT, field);
    reader->text_seen = false;
    reader->block_kind = OPEN_OTHER;
    if (js_str_eq(field[TYPE], STR("text"))) {
        reader->block_kind = OPEN_TEXT;
        emit_text(reader, CHAT_DELTA_TEXT, field[TEXT]);
    } else if (js_str_eq(field[TYPE], STR("thinking"))) {
        reader->block_kind = OPEN_THINKING;
        emit_thinking(reader, field[THINKING]);
        return emit_signature(reader, field[SIGNATURE]);
    } else if (js_str_eq(field[TYPE], STR("redacted_thinking"))) {
        return emit_marked(reader, STR(ANTHROPIC_REDACTED), field[DATA], true);
    } else if (js_str_eq(field[TYPE], STR("tool_use"))) {
        return call_start(reader, field[ID], field[NAME], field[INPUT]);
    }
    return field[TYPE].type == JS_STRING;
}

static bool
block_delta(struct codec_reader *reader, struct js_value delta)
{
    enum { D_TYPE, D_TEXT, D_THINKING, D_SIGNATURE, D_JSON, D_COUNT };
    static const struct str names[D_COUNT] = {
        [D_TYPE] = PICK_NAME("type"),           [D_TEXT] = PICK_NAME("text"),
        [D_THINKING] = PICK_NAME("thinking"),   [D_SIGNATURE] = PICK_NAME("signature"),
        [D_JSON] = PICK_NAME("partial_json"),
    };
    struct js_value field[D_COUNT];

    if (delta.type != JS_OBJECT)
        return false;
    codec_members(delta, names, D_COUNT, field);
    if (reader->block_kind == OPEN_OTHER)
        return true;
    if (js_str_eq(field[D_TYPE], STR("text_delta"))) {
        emit_text(reader, CHAT_DELTA_TEXT, field[D_TEXT]);
    } else if (js_str_eq(field[D_TYPE], STR("thinking_delta"))) {
        emit_thinking(reader, field[D_THINKING]);
    } else if (js_str_eq(field[D_TYPE], STR("signature_delta"))) {
        return emit_signature(reader, field[D_SIGNATURE]);
    } else if (js_str_eq(field[D_TYPE], STR("input_json_delta"))) {
        if (reader->block_kind == OPEN_WHOLE_CALL)
            return true;
        if (reader->block_kind != OPEN_CALL)
            return false;
        reader->text_seen |= field[D_JSON].type == JS_STRING && field[D_JSON].raw.len > 0;
        emit_arguments(reader, field[D_JSON].type == JS_STRING ? field[D_JSON].raw : STR_NONE);
    }
    return field[D_TYPE].type == JS_STRING;
}

/* ---- the message around them ---- */

static void
emit_start(struct codec_reader *reader, struct js_value message)
{
    enum { M_ID, M_MODEL, M_COUNT };
    static const struct str names[M_COUNT] = {
        [M_ID] = PICK_NAME("id"),
        [M_MODEL] = PICK_NAME("model"),
    };
    struct js_value field[M_COUNT];
    struct chat_delta start = {.kind = CHAT_DELTA_START};

    codec_members(message, names, M_COUNT, field);
    if (field[M_ID].type == JS_STRING)
        start.id = field[M_ID].raw;
    if (field[M_MODEL].type == JS_STRING)
        start.name = field[M_MODEL].raw;
    codec_emit(reader, &start);
}

static void
emit_usage(struct codec_reader *reader, struct js_value usage, bool is_delta)
{
    const struct chat_delta delta = {.kind = CHAT_DELTA_USAGE, .usage = &reader->usage};

    if (usage.type == JS_NONE || usage.type == JS_NULL)
        return;
    usage_anthropic_merge(&reader->usage_parts, usage, is_delta);
    reader->usage = usage_anthropic_sum(&reader->usage_parts);
    if (reader->usage.state == USAGE_PRESENT)
        codec_emit(reader, &delta);
}

/* A reason that is not known here is no reason to doubt the answer. */
static enum chat_finish
finish_of(const struct codec_reader *reader, struct js_value reason)
{
    static const struct {
        struct str name;
        enum chat_finish finish;
    } reasons[] = {
        {PICK_NAME("stop_sequence"), CHAT_FINISH_STOP_SEQUENCE},
        {PICK_NAME("tool_use"), CHAT_FINISH_CALLS},
        {PICK_NAME("max_tokens"), CHAT_FINISH_LENGTH},
        {PICK_NAME("model_context_window_exceeded"), CHAT_FINISH_CONTEXT},
        {PICK_NAME("refusal"), CHAT_FINISH_FILTER}, /* what it has said is cut by a filter */
    };

    for (size_t i = 0; i < COUNT_OF(reasons); i++)
        if (js_str_eq(reason, reasons[i].name))
            return reasons[i].finish;
    return reader->call_count > 0 ? CHAT_FINISH_CALLS : CHAT_FINISH_STOP;
}

static void
emit_finish(struct codec_reader *reader, struct js_value reason, struct js_value sequence)
{
    struct chat_delta delta = {.kind = CHAT_DELTA_FINISH, .finish = finish_of(reader, reason)};

    if (reader->finished)
        return;
    if (delta.finish == CHAT_FINISH_STOP_SEQUENCE && sequence.type == JS_STRING)
        delta.stop_sequence = sequence.raw;
    else if (delta.finish == CHAT_FINISH_STOP_SEQUENCE)
        delta.finish = CHAT_FINISH_STOP; /* nobody knows which */
    codec_emit(reader, &delta);
}

void
anthropic_stream_end(struct codec_reader *reader)
{
    const struct js_value none = {.type = JS_NONE};
    const struct chat_delta end = {.kind = CHAT_DELTA_END};

    block_stop(reader);
    emit_finish(reader, none, none);
    codec_emit(reader, &end);
}

static void
stop_read(struct codec_reader *reader, struct js_value delta)
{
    enum { REASON, SEQUENCE, COUNT };
    static const struct str names[COUNT] = {
        [REASON] = PICK_NAME("stop_reason"),
        [SEQUENCE] = PICK_NAME("stop_sequence"),
    };
    struct js_value field[COUNT];

    codec_members(delta, names, COUNT, field);
    if (field[REASON].type != JS_STRING)
        return;
    block_stop(reader);
    emit_finish(reader, field[REASON], field[SEQUENCE]);
}

/* ---- events ---- */

enum event_field {
    E_TYPE = 0,
    E_INDEX,
    E_MESSAGE,
    E_BLOCK,
    E_DELTA,
    E_USAGE,
    EVENT_FIELD_COUNT
};

/* Is it for the block that is open? A server that does not number its blocks has only that one. */
static bool
is_open(const struct codec_reader *reader, struct js_value index)
{
    uint64_t n;

    return !js_count(index, UINT32_MAX, &n) || n == reader->block;
}

static bool
start_event(struct codec_reader *reader, struct js_value index, struct js_value block)
{
    uint64_t n = 0;

    block_stop(reader);
    if (js_count(index, UINT32_MAX, &n))
        reader->block = (uint32_t)n;
    return block_start(reader, block);
}

static bool
delta_event(struct codec_reader *reader, struct js_value index, struct js_value delta)
{
    /* Two blocks at a time are against the protocol, and would mix two calls' arguments. */
    if (reader->block_kind != OPEN_NOTHING && !is_open(reader, index))
        return false;
    return block_delta(reader, delta);
}

bool
anthropic_event_read(struct codec_reader *reader, const struct sse_event *event)
{
    static const struct str names[EVENT_FIELD_COUNT] = {
        [E_TYPE] = PICK_NAME("type"),           [E_INDEX] = PICK_NAME("index"),
        [E_MESSAGE] = PICK_NAME("message"),     [E_BLOCK] = PICK_NAME("content_block"),
        [E_DELTA] = PICK_NAME("delta"),         [E_USAGE] = PICK_NAME("usage"),
    };
    const struct chat_delta ping = {.kind = CHAT_DELTA_PING};
    struct js_value document, field[EVENT_FIELD_COUNT], type;
    struct js_error fault;

    if (event->comment_only || reader->ended)
        return true;
    if (!js_check_lenient(event->data, &document, NULL, &fault) || document.type != JS_OBJECT)
        return false;
    codec_members(document, names, EVENT_FIELD_COUNT, field);
    type = field[E_TYPE];
    if (type.type != JS_STRING)
        type = (struct js_value){.type = JS_STRING, .raw = event->name};
    if (js_str_eq(type, STR("content_block_delta")))
        return delta_event(reader, field[E_INDEX], field[E_DELTA]);
    if (js_str_eq(type, STR("content_block_start")))
        return start_event(reader, field[E_INDEX], field[E_BLOCK]);
    if (js_str_eq(type, STR("message_start"))) {
        emit_start(reader, field[E_MESSAGE]);
        emit_usage(reader, js_get(field[E_MESSAGE], STR("usage")), false);
    } else if (js_str_eq(type, STR("message_delta"))) {
        emit_usage(reader, field[E_USAGE], true);
        stop_read(reader, field[E_DELTA]);
    } else if (js_str_eq(type, STR("message_stop"))) {
        anthropic_stream_end(reader);
    } else if (js_str_eq(type, STR("content_block_stop"))) {
        if (is_open(reader, field[E_INDEX]))
            block_stop(reader);
    } else if (js_str_eq(type, STR("ping")) && reader->started) {
        codec_emit(reader, &ping);
    }
    return !js_str_eq(type, STR("error"));
}

bool
anthropic_answer_read(struct codec_reader *reader, struct js_value document)
{
    enum { CONTENT, REASON, SEQUENCE, USAGE, COUNT };
    static const struct str names[COUNT] = {
        [CONTENT] = PICK_NAME("content"),
        [REASON] = PICK_NAME("stop_reason"),
        [SEQUENCE] = PICK_NAME("stop_sequence"),
        [USAGE] = PICK_NAME("usage"),
    };
    struct js_value field[COUNT], key, block;
    struct js_iter it;

    codec_members(document, names, COUNT, field);
    if (field[CONTENT].type != JS_ARRAY)
        return false;
    emit_start(reader, document);
    for (js_iter_init(&it, field[CONTENT]); js_next(&it, &key, &block);) {
        if (!block_start(reader, block))
            return false;
        block_stop(reader);
    }
    emit_usage(reader, field[USAGE], true);
    emit_finish(reader, field[REASON], field[SEQUENCE]);
    anthropic_stream_end(reader);
    return true;
}
