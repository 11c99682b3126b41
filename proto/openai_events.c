/*
 * Answers of OpenAI's upstreams, streamed or whole: the two differ in how a choice calls what it
 * says ("delta", "message") and in that a whole one has its end with it.
 *
 * OpenAI's own streams are regular. Those of servers like it are not, and all of this is taken:
 * usage in every chunk or in a choice, no "[DONE]", reasoning by either name, a call that comes
 * whole or without an index, calls that all have the same one, "stop" where a tool is called, text
 * as a list of parts. Nothing is copied: the texts of the deltas are the chunk's own bytes.
 */
#include <string.h>

#include "base/hash.h"
#include "base/str.h"
#include "proto/openai_in.h"
#include "proto/pick.h"

struct piece {
    bool has_index;
    uint16_t index;
    uint32_t id_hash; /* 0: none */
    struct str id, name;
    struct js_value arguments;
};

/* What a string holds; nothing of any other type. */
static struct str
string_of(struct js_value value)
{
    return value.type == JS_STRING && value.raw.len > 0 ? value.raw : STR_NONE;
}

static bool
is_absent(struct js_value value)
{
    return value.type == JS_NONE || value.type == JS_NULL;
}

static void
emit_text(struct codec_reader *reader, enum chat_delta_kind kind, uint32_t choice, struct str text)
{
    const struct chat_delta delta = {.kind = kind, .choice = choice, .text = text};

    if (text.len == 0)
        return;
    if (kind == CHAT_DELTA_REFUSAL)
        openai_set_bit(reader->choices_refused, choice, true);
    codec_emit(reader, &delta);
}

/* ---- texts ---- */

/* {"type":"thinking","thinking":…}: a text, or a list of parts that are texts. */
static void
take_thinking(struct codec_reader *reader, uint32_t choice, struct js_value thinking)
{
    struct js_value key, one;
    struct js_iter it;

    emit_text(reader, CHAT_DELTA_REASONING, choice, string_of(thinking));
    if (thinking.type == JS_ARRAY)
        for (js_iter_init(&it, thinking); js_next(&it, &key, &one);)
            emit_text(reader, CHAT_DELTA_REASONING, choice, string_of(js_get(one, STR("text"))));
}

static void
take_parts(struct codec_reader *reader, uint32_t choice, struct js_value parts)
{
    enum { TYPE, TEXT, REFUSAL, THINKING, COUNT };
    static const struct str names[COUNT] = {
        [TYPE] = PICK_NAME("type"),
        [TEXT] = PICK_NAME("text"),
        [REFUSAL] = PICK_NAME("refusal"),
        [THINKING] = PICK_NAME("thinking"),
    };
    struct js_value key, part, values[COUNT];
    struct js_iter it;

    for (js_iter_init(&it, parts); js_next(&it, &key, &part);) {
        codec_members(part, names, COUNT, values);
        if (js_str_eq(values[TYPE], STR("text")))
            emit_text(reader, CHAT_DELTA_TEXT, choice, string_of(values[TEXT]));
        else if (js_str_eq(values[TYPE], STR("refusal")))
            emit_text(reader, CHAT_DELTA_REFUSAL, choice, string_of(values[REFUSAL]));
        else if (js_str_eq(values[TYPE], STR("thinking")))
            take_thinking(reader, choice, values[THINKING]);
    }
}

static bool
take_content(struct codec_reader *reader, uint32_t choice, struct js_value content,
             struct js_value logprobs)
{
    struct chat_delta delta = {.kind = CHAT_DELTA_TEXT, .choice = choice};
    struct js_value key, one;
    struct js_iter it;

    if (content.type == JS_ARRAY) {
        take_parts(reader, choice, content);
        return true;
    }
    if (content.type != JS_STRING && content.type != JS_NONE)
        return false;
    delta.text = string_of(content);
    if (logprobs.type == JS_OBJECT) {
        struct js_value list = js_get(logprobs, STR("content"));

        js_iter_init(&it, list);
        if (list.type == JS_ARRAY && js_next(&it, &key, &one))
            delta.logprobs = list;
    }
    if (delta.text.len == 0 && delta.logprobs.type == JS_NONE)
        return true;
    if (delta.text.len == 0)
        delta.text = STR("");
    codec_emit(reader, &delta);
    return true;
}

/* ---- calls ---- */

/* Latest first: where an index stands for several calls in turn, the last one is meant. */
static struct codec_call *
find_call(struct codec_reader *reader, uint32_t choice, const struct piece *piece)
{
    for (uint32_t i = reader->call_count; i-- > 0;) {
        struct codec_call *call = &reader->calls[i];

        if (call->choice != choice)
            continue;
        if (piece->has_index) {
            if (call->index != piece->index)
                continue;
            /* Another id: some servers number every call 0. */
            return piece->id_hash != 0 && call->id_hash != 0 && piece->name.len > 0 &&
                           piece->id_hash != call->id_hash
                       ? NULL
                       : call;
        }
        if (piece->id_hash != 0) {
            if (call->id_hash == piece->id_hash)
                return call;
            continue;
        }
        /* Neither index nor id: more of the last one, unless it has a name of its own. */
        return piece->name.len > 0 ? NULL : call;
    }
    return NULL;
}

static struct codec_call *
begin_call(struct codec_reader *reader, uint32_t choice, const struct piece *piece)
{
    struct chat_delta delta = {.kind = CHAT_DELTA_CALL, .choice = choice};
    struct codec_call *call;

    if (reader->call_count == CODEC_CALLS_MAX)
        return NULL;
    for (uint32_t i = 0; i < reader->call_count; i++)
        delta.call += reader->calls[i].choice == choice;
    call = &reader->calls[reader->call_count++];
    *call = (struct codec_call){
        .id_hash = piece->id_hash,
        .index = piece->has_index ? piece->index : CODEC_CALL_NO_INDEX,
        .choice = (uint8_t)choice,
        .number = (uint8_t)delta.call,
    };
    delta.id = piece->id;
    delta.name = piece->name;
    codec_emit(reader, &delta);
    return call;
}

static bool
take_arguments(struct codec_reader *reader, const struct codec_call *call,
               struct js_value arguments)
{
    struct chat_delta delta = {
        .kind = CHAT_DELTA_ARGUMENTS, .choice = call->choice, .call = call->number};
    size_t from = reader->scratch.len;

    if (arguments.type == JS_OBJECT) {
        chat_write_json_as_text(&reader->scratch, arguments.raw);
        if (reader->scratch.failed)
            return false;
        delta.text = (struct str){reader->scratch.ptr + from, reader->scratch.len - from};
    } else if (arguments.type == JS_STRING) {
        delta.text = arguments.raw;
    } else if (arguments.type != JS_NONE) {
        return false;
    }
    if (delta.text.len > 0)
        codec_emit(reader, &delta);
    return true;
}

static bool
take_piece(struct codec_reader *reader, uint32_t choice, const struct piece *piece, bool whole)
{
    struct codec_call *call = whole ? NULL : find_call(reader, choice, piece);

    if (call == NULL) {
        /* No tool has no name; an empty piece of a call that nobody began is harmless. */
        if (piece->name.len == 0)
            return piece->arguments.type == JS_NONE || string_of(piece->arguments).len == 0;
        call = begin_call(reader, choice, piece);
    }
    return call != NULL && take_arguments(reader, call, piece->arguments);
}

static bool
take_call(struct codec_reader *reader, uint32_t choice, struct js_value at, bool whole)
{
    enum { INDEX, ID, FUNCTION, COUNT };
    static const struct str names[COUNT] = {
        [INDEX] = PICK_NAME("index"),
        [ID] = PICK_NAME("id"),
        [FUNCTION] = PICK_NAME("function"),
    };
    static const struct str function_names[] = {PICK_NAME("name"), PICK_NAME("arguments")};
    struct js_value values[COUNT], function[2];
    struct piece piece = {.has_index = false};
    uint64_t n;

    if (at.type != JS_OBJECT)
        return false;
    codec_members(at, names, COUNT, values);
    codec_members(values[FUNCTION], function_names, 2, function);
    if (values[INDEX].type != JS_NONE) {
        if (!js_count(values[INDEX], CODEC_CALL_NO_INDEX - 1, &n))
            return false;
        piece.has_index = true;
        piece.index = (uint16_t)n;
    }
    piece.id = string_of(values[ID]);
    if (piece.id.len > 0)
        piece.id_hash = (uint32_t)hash_u64(piece.id.ptr, piece.id.len) | 1;
    piece.name = string_of(function[0]);
    piece.arguments = function[1];
    return take_piece(reader, choice, &piece, whole);
}

static bool
take_calls(struct codec_reader *reader, uint32_t choice, struct js_value calls, bool whole)
{
    struct js_value key, one;
    struct js_iter it;

    if (calls.type != JS_ARRAY)
        return calls.type == JS_NONE;
    for (js_iter_init(&it, calls); js_next(&it, &key, &one);)
        if (!take_call(reader, choice, one, whole))
            return false;
    return true;
}

/* The older form: one call an answer, without an id. */
static bool
take_older_call(struct codec_reader *reader, uint32_t choice, struct js_value call)
{
    static const struct str names[] = {PICK_NAME("name"), PICK_NAME("arguments")};
    struct js_value values[2];
    struct piece piece = {.has_index = true, .index = 0};

    if (call.type == JS_NONE)
        return true;
    codec_members(call, names, 2, values);
    piece.name = string_of(values[0]);
    piece.arguments = values[1];
    return take_piece(reader, choice, &piece, false);
}

/* ---- choices ---- */

static bool
has_calls(const struct codec_reader *reader, uint32_t choice)
{
    for (uint32_t i = 0; i < reader->call_count; i++)
        if (reader->calls[i].choice == choice)
            return true;
    return false;
}

/* reason is a string, or JS_NONE for the usual end. */
static enum chat_finish
finish_of(const struct codec_reader *reader, uint32_t choice, struct js_value reason)
{
    if (js_str_eq(reason, STR("length")) || js_str_eq(reason, STR("max_tokens")))
        return CHAT_FINISH_LENGTH;
    if (js_str_eq(reason, STR("model_length")))
        return CHAT_FINISH_CONTEXT;
    if (js_str_eq(reason, STR("content_filter")))
        return CHAT_FINISH_FILTER;
    /* Whatever it says: many say "stop" beside calls, and "tool_calls" without any helps nobody. */
    if (has_calls(reader, choice))
        return CHAT_FINISH_CALLS;
    return openai_bit(reader->choices_refused, choice) ? CHAT_FINISH_REFUSAL : CHAT_FINISH_STOP;
}

static void
emit_finish(struct codec_reader *reader, uint32_t choice, struct js_value reason)
{
    const struct chat_delta delta = {
        .kind = CHAT_DELTA_FINISH, .choice = choice, .finish = finish_of(reader, choice, reason)};

    openai_set_bit(reader->choices_finished, choice, true);
    codec_emit(reader, &delta);
}

static bool
take_said(struct codec_reader *reader, uint32_t choice, struct js_value said,
          struct js_value logprobs, bool whole)
{
    enum { CONTENT, REFUSAL, REASONING_CONTENT, REASONING, TOOL_CALLS, FUNCTION_CALL, COUNT };
    static const struct str names[COUNT] = {
        [CONTENT] = PICK_NAME("content"),
        [REFUSAL] = PICK_NAME("refusal"),
        [REASONING_CONTENT] = PICK_NAME("reasoning_content"),
        [REASONING] = PICK_NAME("reasoning"),
        [TOOL_CALLS] = PICK_NAME("tool_calls"),
        [FUNCTION_CALL] = PICK_NAME("function_call"),
    };
    struct js_value values[COUNT];
    struct str reasoning;

    if (said.type != JS_OBJECT)
        return said.type == JS_NONE;
    codec_members(said, names, COUNT, values);
    /* Servers that have both names say the same by both. */
    reasoning = string_of(values[REASONING_CONTENT]);
    if (reasoning.len == 0)
        reasoning = string_of(values[REASONING]);
    emit_text(reader, CHAT_DELTA_REASONING, choice, reasoning);
    if (!take_content(reader, choice, values[CONTENT], logprobs))
        return false;
    emit_text(reader, CHAT_DELTA_REFUSAL, choice, string_of(values[REFUSAL]));
    return take_calls(reader, choice, values[TOOL_CALLS], whole) &&
           take_older_call(reader, choice, values[FUNCTION_CALL]);
}

/* Gives the usage that the choice holds, if it does. */
static bool
take_choice(struct codec_reader *reader, struct js_value at, uint32_t position, bool whole,
            struct js_value *usage)
{
    enum { INDEX, DELTA, MESSAGE, FINISH, LOGPROBS, USAGE, COUNT };
    static const struct str names[COUNT] = {
        [INDEX] = PICK_NAME("index"),       [DELTA] = PICK_NAME("delta"),
        [MESSAGE] = PICK_NAME("message"),   [FINISH] = PICK_NAME("finish_reason"),
        [LOGPROBS] = PICK_NAME("logprobs"), [USAGE] = PICK_NAME("usage"),
    };
    struct js_value values[COUNT];
    uint64_t n = position;
    uint32_t choice;

    if (at.type != JS_OBJECT)
        return false;
    codec_members(at, names, COUNT, values);
    *usage = values[USAGE];
    if ((values[INDEX].type != JS_NONE &&
         !js_count(values[INDEX], CODEC_CHOICES_MAX - 1, &n)) ||
        n >= CODEC_CHOICES_MAX)
        return false;
    choice = (uint32_t)n;
    /* What comes behind its end is noise: an empty delta, a repeated reason. */
    if (openai_bit(reader->choices_finished, choice))
        return true;
    openai_set_bit(reader->choices_begun, choice, true);
    if (!take_said(reader, choice, values[whole ? MESSAGE : DELTA], values[LOGPROBS], whole))
        return false;
    if (values[FINISH].type != JS_STRING && values[FINISH].type != JS_NONE)
        return false;
    if (js_str_eq(values[FINISH], STR("error")))
        return false;
    if (whole || string_of(values[FINISH]).len > 0)
        emit_finish(reader, choice, values[FINISH]);
    return true;
}

static bool
take_choices(struct codec_reader *reader, struct js_value choices, bool whole,
             struct js_value *usage)
{
    struct js_value key, one, inner;
    struct js_iter it;

    for (js_iter_init(&it, choices); js_next(&it, &key, &one);) {
        if (!take_choice(reader, one, it.index, whole, &inner))
            return false;
        if (is_absent(*usage))
            *usage = inner;
    }
    return true;
}

/* ---- chunks and answers ---- */

enum { TOP_ID, TOP_MODEL, TOP_CHOICES, TOP_USAGE, TOP_ERROR, TOP_COUNT };

static const struct str top_names[TOP_COUNT] = {
    [TOP_ID] = PICK_NAME("id"),           [TOP_MODEL] = PICK_NAME("model"),
    [TOP_CHOICES] = PICK_NAME("choices"), [TOP_USAGE] = PICK_NAME("usage"),
    [TOP_ERROR] = PICK_NAME("error"),
};

static void
pick_top(struct js_value key, struct js_value value, struct js_value values[TOP_COUNT])
{
    for (unsigned i = 0; i < TOP_COUNT; i++) {
        bool same = key.escaped ? js_str_eq(key, top_names[i])
                                : key.raw.len == top_names[i].len &&
                                      memcmp(key.raw.ptr, top_names[i].ptr, key.raw.len) == 0;

        if (!same)
            continue;
        values[i] = value;
        if (value.type == JS_NULL)
            values[i].type = JS_NONE;
        return;
    }
}

static bool
take_document(struct codec_reader *reader, const struct js_value values[TOP_COUNT], bool whole)
{
    struct chat_delta start = {.kind = CHAT_DELTA_START}, usage = {.kind = CHAT_DELTA_USAGE};
    struct js_value used = values[TOP_USAGE], choices = values[TOP_CHOICES], key, one;
    struct js_iter it;

    if (values[TOP_ERROR].type != JS_NONE ||
        (choices.type != JS_ARRAY && choices.type != JS_NONE))
        return false;
    start.id = string_of(values[TOP_ID]);
    start.name = string_of(values[TOP_MODEL]);
    js_iter_init(&it, choices);
    /* What a filter thinks of the prompt may come first, in a chunk that has neither. */
    if (!reader->started &&
        (start.id.len > 0 || start.name.len > 0 || js_next(&it, &key, &one)))
        codec_emit(reader, &start);
    if (!take_choices(reader, choices, whole, &used))
        return false;
    if (is_absent(used))
        return true;
    reader->usage = usage_from_openai(used);
    if (reader->usage.state == USAGE_PRESENT || reader->usage.state == USAGE_ZERO) {
        usage.usage = &reader->usage;
        codec_emit(reader, &usage);
    }
    return true;
}

static void
emit_end(struct codec_reader *reader)
{
    const struct chat_delta end = {.kind = CHAT_DELTA_END};

    codec_emit(reader, &end);
}

/* The end has come by its mark: choices whose own end was not told have theirs too. */
static bool
take_done(struct codec_reader *reader)
{
    const struct js_value usual = {.type = JS_NONE};

    if (!reader->started)
        return false;
    for (uint32_t i = 0; i < CODEC_CHOICES_MAX; i++)
        if (openai_bit(reader->choices_begun, i) && !openai_bit(reader->choices_finished, i))
            emit_finish(reader, i, usual);
    emit_end(reader);
    return true;
}

bool
openai_event_read(struct codec_reader *reader, const struct sse_event *event)
{
    const struct chat_delta ping = {.kind = CHAT_DELTA_PING};
    struct js_value document, values[TOP_COUNT], key, value;
    struct js_members members;
    struct js_error fault;

    if (reader->ended)
        return true;
    if (event->comment_only || event->data.ptr == NULL) {
        /* Before anything else it tells nothing: not even that the call will be answered. */
        if (reader->started)
            codec_emit(reader, &ping);
        return true;
    }
    if (str_eq(str_trim(event->data), STR("[DONE]")))
        return take_done(reader);
    if (!js_check_lenient(event->data, &document, &members, &fault) ||
        document.type != JS_OBJECT)
        return false;
    for (unsigned i = 0; i < TOP_COUNT; i++)
        values[i] = (struct js_value){.type = JS_NONE};
    for (size_t i = 0; i < members.count; i++)
        pick_top(members.list[i].key, members.list[i].value, values);
    while (js_next(&members.rest, &key, &value))
        pick_top(key, value, values);
    return take_document(reader, values, false);
}

/* A stream that ends without its mark is whole when its choices told their ends. Those that did not
 * are cut: no end is made up for them. */
void
openai_stream_end(struct codec_reader *reader)
{
    emit_end(reader);
}

bool
openai_answer_read(struct codec_reader *reader, struct js_value document)
{
    struct js_value values[TOP_COUNT], key, one;
    struct js_iter it;

    codec_members(document, top_names, TOP_COUNT, values);
    js_iter_init(&it, values[TOP_CHOICES]);
    if (!js_next(&it, &key, &one) || !take_document(reader, values, true))
        return false;
    emit_end(reader);
    return true;
}
