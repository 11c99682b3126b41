/*
 * Answers of upstreams that speak Responses: their streams, and whole ones.
 *
 * What an item says comes several times: in deltas, in the "done" of its part, in the "done" of the
 * item, and once more in the response at the end. All of them count for the first time only, since
 * some servers leave out the one and some the other. An item is known by its place in the output;
 * reader->calls_seen has a bit for each place with a call that was told of, reader->items_given for
 * each whose words or arguments were. Servers that number all items alike get along as well, as
 * long as one item ends before the next begins.
 *
 * A response that failed is no answer: the decoder says so by false, and the client is told of an
 * error rather than given a part for the whole.
 */
#include "base/str.h"
#include "proto/responses_in.h"

/* reader->block_kind */
enum {
    READ_BREAK = 1u << 0,   /* a paragraph of reasoning has ended: the next one gets a blank line */
    READ_REFUSAL = 1u << 1, /* there was a refusal */
};

enum {
    EVENT_TYPE = 0,
    EVENT_DELTA,
    EVENT_INDEX,
    EVENT_LOGPROBS,
    EVENT_ITEM,
    EVENT_PART,
    EVENT_RESPONSE,
    EVENT_TEXT,
    EVENT_REFUSAL,
    EVENT_ARGUMENTS,
    EVENT_INPUT,
    EVENT_MEMBER_COUNT
};

static const struct str event_names[EVENT_MEMBER_COUNT] = {
    [EVENT_TYPE] = PICK_NAME("type"),
    [EVENT_DELTA] = PICK_NAME("delta"),
    [EVENT_INDEX] = PICK_NAME("output_index"),
    [EVENT_LOGPROBS] = PICK_NAME("logprobs"),
    [EVENT_ITEM] = PICK_NAME("item"),
    [EVENT_PART] = PICK_NAME("part"),
    [EVENT_RESPONSE] = PICK_NAME("response"),
    [EVENT_TEXT] = PICK_NAME("text"),
    [EVENT_REFUSAL] = PICK_NAME("refusal"),
    [EVENT_ARGUMENTS] = PICK_NAME("arguments"),
    [EVENT_INPUT] = PICK_NAME("input"),
};

struct event {
    struct js_value v[EVENT_MEMBER_COUNT];
    uint32_t index; /* of the item, as far as there are bits */
};

enum {
    ITEM_TYPE = 0,
    ITEM_CONTENT,
    ITEM_CALL_ID,
    ITEM_NAME,
    ITEM_NAMESPACE,
    ITEM_ARGUMENTS,
    ITEM_INPUT,
    ITEM_ACTION,
    ITEM_SUMMARY,
    ITEM_ENCRYPTED,
    ITEM_MEMBER_COUNT
};

static const struct str item_names[ITEM_MEMBER_COUNT] = {
    [ITEM_TYPE] = PICK_NAME("type"),
    [ITEM_CONTENT] = PICK_NAME("content"),
    [ITEM_CALL_ID] = PICK_NAME("call_id"),
    [ITEM_NAME] = PICK_NAME("name"),
    [ITEM_NAMESPACE] = PICK_NAME("namespace"),
    [ITEM_ARGUMENTS] = PICK_NAME("arguments"),
    [ITEM_INPUT] = PICK_NAME("input"),
    [ITEM_ACTION] = PICK_NAME("action"),
    [ITEM_SUMMARY] = PICK_NAME("summary"),
    [ITEM_ENCRYPTED] = PICK_NAME("encrypted_content"),
};

/* ---- bits ---- */

static bool
bit(const uint64_t *bits, uint32_t index)
{
    return (bits[index / 64] >> index % 64 & 1) != 0;
}

static void
set_bit(uint64_t *bits, uint32_t index, bool on)
{
    uint64_t mask = UINT64_C(1) << index % 64;

    bits[index / 64] = on ? bits[index / 64] | mask : bits[index / 64] & ~mask;
}

/* The number of the call that is at this place: places are given in their order. */
static uint32_t
call_at(const struct codec_reader *reader, uint32_t index)
{
    uint32_t before = 0;

    if (index == reader->block)
        return reader->call_count - 1;
    for (uint32_t i = 0; i < index / 64; i++)
        before += (uint32_t)__builtin_popcountll(reader->calls_seen[i]);
    return before + (uint32_t)__builtin_popcountll(reader->calls_seen[index / 64] &
                                                   ((UINT64_C(1) << index % 64) - 1));
}

/* ---- deltas ---- */

static bool
has_text(struct js_value text)
{
    return text.type == JS_STRING && text.raw.len > 0;
}

static void
emit_text(struct codec_reader *reader, uint32_t index, struct js_value text,
          struct js_value logprobs)
{
    struct chat_delta delta = {.kind = CHAT_DELTA_TEXT, .text = text.raw};

    if (!has_text(text))
        return;
    if (logprobs.type == JS_ARRAY && logprobs.raw.len > 2)
        delta.logprobs = logprobs;
    reader->text_seen = true;
    set_bit(reader->items_given, index, true);
    codec_emit(reader, &delta);
}

static void
emit_refusal(struct codec_reader *reader, uint32_t index, struct js_value text)
{
    const struct chat_delta delta = {.kind = CHAT_DELTA_REFUSAL, .text = text.raw};

    if (!has_text(text))
        return;
    reader->text_seen = true;
    reader->block_kind |= READ_REFUSAL;
    set_bit(reader->items_given, index, true);
    codec_emit(reader, &delta);
}

static void
emit_reasoning(struct codec_reader *reader, uint32_t index, struct js_value text)
{
    const struct chat_delta blank = {.kind = CHAT_DELTA_REASONING, .text = STR("\\n\\n")};
    const struct chat_delta delta = {.kind = CHAT_DELTA_REASONING, .text = text.raw};

    if (!has_text(text))
        return;
    if ((reader->block_kind & READ_BREAK) != 0)
        codec_emit(reader, &blank);
    reader->block_kind &= (uint8_t)~READ_BREAK;
    reader->reasoning_seen = true;
    set_bit(reader->items_given, index, true);
    codec_emit(reader, &delta);
}

static void
emit_arguments(struct codec_reader *reader, uint32_t index, struct str text)
{
    const struct chat_delta delta = {
        .kind = CHAT_DELTA_ARGUMENTS, .call = call_at(reader, index), .text = text};

    if (text.len == 0)
        return;
    set_bit(reader->items_given, index, true);
    codec_emit(reader, &delta);
}

/* ---- items ---- */

static bool
tool_of(struct js_value type, enum chat_tool_kind *tool)
{
    static const struct {
        struct str type;
        enum chat_tool_kind tool;
    } types[] = {
        {PICK_NAME("function_call"), CHAT_TOOL_FUNCTION},
        {PICK_NAME("custom_tool_call"), CHAT_TOOL_CUSTOM},
        {PICK_NAME("local_shell_call"), CHAT_TOOL_LOCAL_SHELL},
    };

    for (size_t i = 0; i < COUNT_OF(types); i++) {
        if (!js_str_eq(type, types[i].type))
            continue;
        *tool = types[i].tool;
        return true;
    }
    return false;
}

/* Without a name it cannot be told of yet: its end will have one. */
static bool
begin_call(struct codec_reader *reader, uint32_t index, const struct js_value *v,
           enum chat_tool_kind tool)
{
    struct chat_delta delta = {.kind = CHAT_DELTA_CALL, .call = reader->call_count, .tool = tool};

    delta.name = tool == CHAT_TOOL_LOCAL_SHELL ? STR(RESPONSES_SHELL) : v[ITEM_NAME].raw;
    if (tool != CHAT_TOOL_LOCAL_SHELL && !has_text(v[ITEM_NAME]))
        return true;
    if (reader->call_count == CODEC_CALLS_MAX)
        return false;
    if (has_text(v[ITEM_CALL_ID]))
        delta.id = v[ITEM_CALL_ID].raw;
    if (has_text(v[ITEM_NAMESPACE]))
        delta.space = v[ITEM_NAMESPACE].raw;
    reader->call_count++;
    reader->block = index;
    set_bit(reader->calls_seen, index, true);
    codec_emit(reader, &delta);
    return true;
}

/* The item begins: it may be at a place where another one was, where a server does not count. */
static bool
begin_item(struct codec_reader *reader, uint32_t index, const struct js_value *v)
{
    enum chat_tool_kind tool;

    set_bit(reader->items_given, index, false);
    if (js_str_eq(v[ITEM_TYPE], STR("message")))
        reader->text_seen = false;
    if (js_str_eq(v[ITEM_TYPE], STR("reasoning"))) {
        reader->reasoning_seen = false;
        reader->block_kind &= (uint8_t)~READ_BREAK;
    }
    return !tool_of(v[ITEM_TYPE], &tool) || begin_call(reader, index, v, tool);
}

static void
give_part(struct codec_reader *reader, uint32_t index, struct js_value part)
{
    enum { TYPE, TEXT, REFUSAL, LOGPROBS, COUNT };
    static const struct str names[COUNT] = {
        [TYPE] = PICK_NAME("type"), [TEXT] = PICK_NAME("text"), [REFUSAL] = PICK_NAME("refusal"),
        [LOGPROBS] = PICK_NAME("logprobs"),
    };
    struct js_value v[COUNT];

    codec_members(part, names, COUNT, v);
    if (js_str_eq(v[TYPE], STR("refusal")))
        emit_refusal(reader, index, v[REFUSAL]);
    else if (js_str_eq(v[TYPE], STR("reasoning_text")) || js_str_eq(v[TYPE], STR("summary_text")))
        emit_reasoning(reader, index, v[TEXT]);
    else
        emit_text(reader, index, v[TEXT], v[LOGPROBS]);
}

static void
give_parts(struct codec_reader *reader, uint32_t index, struct js_value parts)
{
    struct js_value key, part;
    struct js_iter it;

    if (parts.type != JS_ARRAY)
        return;
    for (js_iter_init(&it, parts); js_next(&it, &key, &part);) {
        give_part(reader, index, part);
        if (reader->reasoning_seen)
            reader->block_kind |= READ_BREAK;
    }
}

static void
end_reasoning(struct codec_reader *reader, uint32_t index, const struct js_value *v)
{
    struct chat_delta delta = {.kind = CHAT_DELTA_SIGNATURE, .text = v[ITEM_ENCRYPTED].raw};

    if (!bit(reader->items_given, index))
        give_parts(reader, index, v[ITEM_SUMMARY]);
    if (!bit(reader->items_given, index))
        give_parts(reader, index, v[ITEM_CONTENT]);
    delta.redacted = !bit(reader->items_given, index);
    if (has_text(v[ITEM_ENCRYPTED])) {
        reader->signature_seen = true;
        codec_emit(reader, &delta);
    }
    reader->reasoning_seen = false;
    reader->block_kind &= (uint8_t)~READ_BREAK;
}

static bool
end_call(struct codec_reader *reader, uint32_t index, const struct js_value *v,
         enum chat_tool_kind tool)
{
    struct chat_delta delta = {.kind = CHAT_DELTA_CALL_END};
    struct js_value text = v[tool == CHAT_TOOL_CUSTOM ? ITEM_INPUT : ITEM_ARGUMENTS];

    if (!bit(reader->calls_seen, index) && !begin_call(reader, index, v, tool))
        return false;
    if (!bit(reader->calls_seen, index)) /* to the end it had no name */
        return false;
    if (!bit(reader->items_given, index)) {
        if (tool == CHAT_TOOL_LOCAL_SHELL && v[ITEM_ACTION].type == JS_OBJECT) {
            size_t start = reader->scratch.len;

            chat_write_json_as_text(&reader->scratch, v[ITEM_ACTION].raw);
            if (reader->scratch.failed)
                return false;
            emit_arguments(reader, index,
                           (struct str){reader->scratch.ptr + start, reader->scratch.len - start});
        } else if (has_text(text)) {
            emit_arguments(reader, index, text.raw);
        }
    }
    delta.call = call_at(reader, index);
    codec_emit(reader, &delta);
    return true;
}

/* The item is over: what of it was not given yet. */
static bool
end_item(struct codec_reader *reader, uint32_t index, const struct js_value *v)
{
    enum chat_tool_kind tool;

    if (js_str_eq(v[ITEM_TYPE], STR("message"))) {
        if (!bit(reader->items_given, index))
            give_parts(reader, index, v[ITEM_CONTENT]);
        reader->text_seen = false;
        return true;
    }
    if (js_str_eq(v[ITEM_TYPE], STR("reasoning"))) {
        end_reasoning(reader, index, v);
        return true;
    }
    return !tool_of(v[ITEM_TYPE], &tool) || end_call(reader, index, v, tool);
}

/* All of an output, as items that nothing was said of before. */
static bool
give_output(struct codec_reader *reader, struct js_value output)
{
    struct js_value key, item, v[ITEM_MEMBER_COUNT];
    struct js_iter it;

    if (output.type != JS_ARRAY)
        return true;
    for (js_iter_init(&it, output); js_next(&it, &key, &item);) {
        uint32_t index = MIN(it.index, (uint32_t)CODEC_CALLS_MAX - 1);

        codec_members(item, item_names, ITEM_MEMBER_COUNT, v);
        if (!begin_item(reader, index, v) || !end_item(reader, index, v))
            return false;
    }
    return true;
}

/* ---- responses ---- */

enum {
    RESPONSE_ID = 0,
    RESPONSE_MODEL,
    RESPONSE_STATUS,
    RESPONSE_DETAILS,
    RESPONSE_OUTPUT,
    RESPONSE_USAGE,
    RESPONSE_MEMBER_COUNT
};

static const struct str response_names[RESPONSE_MEMBER_COUNT] = {
    [RESPONSE_ID] = PICK_NAME("id"),
    [RESPONSE_MODEL] = PICK_NAME("model"),
    [RESPONSE_STATUS] = PICK_NAME("status"),
    [RESPONSE_DETAILS] = PICK_NAME("incomplete_details"),
    [RESPONSE_OUTPUT] = PICK_NAME("output"),
    [RESPONSE_USAGE] = PICK_NAME("usage"),
};

static void
start(struct codec_reader *reader, const struct js_value *v)
{
    struct chat_delta delta = {.kind = CHAT_DELTA_START};

    if (has_text(v[RESPONSE_ID]))
        delta.id = v[RESPONSE_ID].raw;
    if (has_text(v[RESPONSE_MODEL]))
        delta.name = v[RESPONSE_MODEL].raw;
    codec_emit(reader, &delta);
}

static void
report_usage(struct codec_reader *reader, const struct js_value *v)
{
    const struct chat_delta delta = {.kind = CHAT_DELTA_USAGE, .usage = &reader->usage};
    struct usage usage = usage_from_responses(v[RESPONSE_USAGE]);

    if (usage.state != USAGE_PRESENT && usage.state != USAGE_ZERO)
        return;
    usage.searches = MAX(usage.searches, usage_searches_in(v[RESPONSE_OUTPUT]));
    reader->usage = usage;
    codec_emit(reader, &delta);
}

static enum chat_finish
finish_of(const struct codec_reader *reader, bool incomplete, struct js_value details)
{
    static const struct str reason_name = PICK_NAME("reason");
    struct js_value reason;

    /* A call that was cut is not to be carried out. */
    if (incomplete) {
        codec_members(details, &reason_name, 1, &reason);
        return js_str_eq(reason, STR("content_filter")) ? CHAT_FINISH_FILTER : CHAT_FINISH_LENGTH;
    }
    if (reader->call_count > 0)
        return CHAT_FINISH_CALLS;
    return (reader->block_kind & READ_REFUSAL) != 0 ? CHAT_FINISH_REFUSAL : CHAT_FINISH_STOP;
}

static void
finish(struct codec_reader *reader, enum chat_finish how)
{
    const struct chat_delta finished = {.kind = CHAT_DELTA_FINISH, .finish = how};
    const struct chat_delta end = {.kind = CHAT_DELTA_END};

    if (!reader->finished)
        codec_emit(reader, &finished);
    codec_emit(reader, &end);
}

/* ---- events ---- */

static bool
on_response(struct codec_reader *reader, const struct event *event)
{
    struct js_value v[RESPONSE_MEMBER_COUNT];

    codec_members(event->v[EVENT_RESPONSE], response_names, RESPONSE_MEMBER_COUNT, v);
    start(reader, v);
    return true;
}

static bool
nothing_given(const struct codec_reader *reader)
{
    uint64_t any = reader->call_count;

    for (size_t i = 0; i < COUNT_OF(reader->items_given); i++)
        any |= reader->items_given[i];
    return any == 0 && !reader->signature_seen;
}

static bool
on_end(struct codec_reader *reader, const struct event *event, bool incomplete)
{
    struct js_value v[RESPONSE_MEMBER_COUNT];

    if (event->v[EVENT_RESPONSE].type != JS_OBJECT)
        return false;
    codec_members(event->v[EVENT_RESPONSE], response_names, RESPONSE_MEMBER_COUNT, v);
    start(reader, v);
    if (nothing_given(reader) && !give_output(reader, v[RESPONSE_OUTPUT]))
        return false;
    report_usage(reader, v);
    finish(reader, finish_of(reader, incomplete, v[RESPONSE_DETAILS]));
    return true;
}

static bool
on_completed(struct codec_reader *reader, const struct event *event)
{
    return on_end(reader, event, false);
}

static bool
on_incomplete(struct codec_reader *reader, const struct event *event)
{
    return on_end(reader, event, true);
}

static bool
on_failed(struct codec_reader *reader, const struct event *event)
{
    struct js_value v[RESPONSE_MEMBER_COUNT];

    codec_members(event->v[EVENT_RESPONSE], response_names, RESPONSE_MEMBER_COUNT, v);
    report_usage(reader, v);
    return false;
}

static bool
on_text(struct codec_reader *reader, const struct event *event)
{
    emit_text(reader, event->index, event->v[EVENT_DELTA], event->v[EVENT_LOGPROBS]);
    return true;
}

static bool
on_refusal(struct codec_reader *reader, const struct event *event)
{
    emit_refusal(reader, event->index, event->v[EVENT_DELTA]);
    return true;
}

static bool
on_reasoning(struct codec_reader *reader, const struct event *event)
{
    emit_reasoning(reader, event->index, event->v[EVENT_DELTA]);
    return true;
}

static bool
on_arguments(struct codec_reader *reader, const struct event *event)
{
    if (bit(reader->calls_seen, event->index) && event->v[EVENT_DELTA].type == JS_STRING)
        emit_arguments(reader, event->index, event->v[EVENT_DELTA].raw);
    return true;
}

/* The end of a text, a refusal, arguments: whole, in a member of its own. */
static bool
on_text_done(struct codec_reader *reader, const struct event *event)
{
    if (!reader->text_seen && event->v[EVENT_REFUSAL].type == JS_STRING)
        emit_refusal(reader, event->index, event->v[EVENT_REFUSAL]);
    else if (!reader->text_seen)
        emit_text(reader, event->index, event->v[EVENT_TEXT], event->v[EVENT_LOGPROBS]);
    return true;
}

static bool
on_reasoning_done(struct codec_reader *reader, const struct event *event)
{
    if (!reader->reasoning_seen)
        emit_reasoning(reader, event->index, event->v[EVENT_TEXT]);
    reader->block_kind |= READ_BREAK;
    return true;
}

static bool
on_arguments_done(struct codec_reader *reader, const struct event *event)
{
    struct js_value text = event->v[EVENT_ARGUMENTS];

    if (text.type != JS_STRING)
        text = event->v[EVENT_INPUT];
    if (bit(reader->calls_seen, event->index) && !bit(reader->items_given, event->index) &&
        text.type == JS_STRING)
        emit_arguments(reader, event->index, text.raw);
    return true;
}

static bool
is_reasoning_part(const struct event *event)
{
    static const struct str type_name = PICK_NAME("type");
    struct js_value type;

    codec_members(event->v[EVENT_PART], &type_name, 1, &type);
    return js_str_eq(type, STR("reasoning_text")) || js_str_eq(type, STR("summary_text"));
}

static bool
on_part_added(struct codec_reader *reader, const struct event *event)
{
    if (!is_reasoning_part(event)) {
        reader->text_seen = false;
        return true;
    }
    reader->reasoning_seen = false;
    return true;
}

static bool
on_part_done(struct codec_reader *reader, const struct event *event)
{
    bool reasoning = is_reasoning_part(event);

    if (reasoning ? !reader->reasoning_seen : !reader->text_seen)
        give_part(reader, event->index, event->v[EVENT_PART]);
    return true;
}

static bool
on_item_added(struct codec_reader *reader, const struct event *event)
{
    struct js_value v[ITEM_MEMBER_COUNT];

    codec_members(event->v[EVENT_ITEM], item_names, ITEM_MEMBER_COUNT, v);
    return begin_item(reader, event->index, v);
}

static bool
on_item_done(struct codec_reader *reader, const struct event *event)
{
    struct js_value v[ITEM_MEMBER_COUNT];

    codec_members(event->v[EVENT_ITEM], item_names, ITEM_MEMBER_COUNT, v);
    return end_item(reader, event->index, v);
}

/* The most frequent ones first; what is not here says nothing that matters. */
static const struct event_kind {
    struct str type;
    bool (*read)(struct codec_reader *reader, const struct event *event);
} event_kinds[] = {
    {PICK_NAME("response.output_text.delta"), on_text},
    {PICK_NAME("response.function_call_arguments.delta"), on_arguments},
    {PICK_NAME("response.reasoning_summary_text.delta"), on_reasoning},
    {PICK_NAME("response.reasoning_text.delta"), on_reasoning},
    {PICK_NAME("response.custom_tool_call_input.delta"), on_arguments},
    {PICK_NAME("response.refusal.delta"), on_refusal},
    {PICK_NAME("response.created"), on_response},
    {PICK_NAME("response.queued"), on_response},
    {PICK_NAME("response.in_progress"), on_response},
    {PICK_NAME("response.output_item.added"), on_item_added},
    {PICK_NAME("response.content_part.added"), on_part_added},
    {PICK_NAME("response.reasoning_summary_part.added"), on_part_added},
    {PICK_NAME("response.output_text.done"), on_text_done},
    {PICK_NAME("response.refusal.done"), on_text_done},
    {PICK_NAME("response.reasoning_summary_text.done"), on_reasoning_done},
    {PICK_NAME("response.reasoning_text.done"), on_reasoning_done},
    {PICK_NAME("response.content_part.done"), on_part_done},
    {PICK_NAME("response.reasoning_summary_part.done"), on_part_done},
    {PICK_NAME("response.function_call_arguments.done"), on_arguments_done},
    {PICK_NAME("response.custom_tool_call_input.done"), on_arguments_done},
    {PICK_NAME("response.output_item.done"), on_item_done},
    {PICK_NAME("response.completed"), on_completed},
    {PICK_NAME("response.incomplete"), on_incomplete},
    {PICK_NAME("response.failed"), on_failed},
    {PICK_NAME("error"), on_failed},
};

static const struct event_kind *
kind_of(struct str type)
{
    for (size_t i = 0; i < COUNT_OF(event_kinds); i++)
        if (str_eq(type, event_kinds[i].type))
            return &event_kinds[i];
    return NULL;
}

bool
responses_event_read(struct codec_reader *reader, const struct sse_event *event)
{
    const struct event_kind *kind = kind_of(event->name);
    struct js_value document;
    struct js_error fault;
    struct event read;
    uint64_t index = 0;

    if (event->comment_only || event->data.len == 0 || str_eq(str_trim(event->data), STR("[DONE]")))
        return true;
    if (kind == NULL && event->name.len > 0 && !str_eq(event->name, STR("message")))
        return true;
    if (!js_check_lenient(event->data, &document, NULL, &fault) || document.type != JS_OBJECT)
        return false;
    codec_members(document, event_names, EVENT_MEMBER_COUNT, read.v);
    if (kind == NULL && read.v[EVENT_TYPE].type == JS_STRING)
        kind = kind_of(read.v[EVENT_TYPE].raw);
    if (kind == NULL)
        return true;
    /* More items than there are bits share the last one: they come one after the other. */
    if (!js_count(read.v[EVENT_INDEX], UINT32_MAX, &index))
        index = 0;
    read.index = (uint32_t)MIN(index, (uint64_t)CODEC_CALLS_MAX - 1);
    return kind->read(reader, &read);
}

void
responses_stream_end(struct codec_reader *reader)
{
    finish(reader, finish_of(reader, false, (struct js_value){.type = JS_NONE}));
}

bool
responses_answer_read(struct codec_reader *reader, struct js_value document)
{
    struct js_value v[RESPONSE_MEMBER_COUNT];
    bool incomplete;

    codec_members(document, response_names, RESPONSE_MEMBER_COUNT, v);
    if (v[RESPONSE_OUTPUT].type != JS_ARRAY)
        return false;
    incomplete = js_str_eq(v[RESPONSE_STATUS], STR("incomplete"));
    if (v[RESPONSE_STATUS].type == JS_STRING && !incomplete &&
        !js_str_eq(v[RESPONSE_STATUS], STR("completed")))
        return false; /* failed, cancelled, or not begun */
    start(reader, v);
    if (!give_output(reader, v[RESPONSE_OUTPUT]))
        return false;
    report_usage(reader, v);
    finish(reader, finish_of(reader, incomplete, v[RESPONSE_DETAILS]));
    return true;
}
