#include "proto/realtime.h"

#include <string.h>

#include "base/js.h"
#include "base/str.h"
#include "proto/marks.h"
#include "proto/pick.h"

#define BYTES_PER_TOKEN 4u /* of text, about */
/* A token is a tenth of a second of what is heard and a twentieth of what is said; pcm16 has 48,000
 * bytes a second, G.711 has 8,000, and base64 makes four of three. */
#define PCM_INPUT_BYTES 6400u
#define PCM_OUTPUT_BYTES 3200u
#define G711_INPUT_BYTES 1067u
#define G711_OUTPUT_BYTES 533u
#define AUDIO_FRAME_BYTES 160u /* of a message of sound, that is not sound; about */

/* ---- the request, and errors ---- */

bool
realtime_ask(struct str query, struct arena *arena, struct ask *out, struct proto_error *error)
{
    struct str model = proto_query_get(query, STR("model"));
    char *text = model.len > 0 ? arena_alloc(arena, model.len) : NULL;

    /* There is no body; what looks for something in one finds nothing. Nobody knows what a session
     * will have for input: as much as the model takes. */
    *out = (struct ask){.endpoint = ENDPOINT_REALTIME,
                        .body = STR("{}"),
                        .stream = true,
                        .stored_input = true,
                        .choice_count = 1};
    if (model.len == 0) {
        error_set(error, ERROR_BAD_REQUEST, "model", NULL,
                  "turnpike: name the model in the query: /v1/realtime?model=…");
        return false;
    }
    if (text != NULL)
        out->model = proto_unescape(model, text, model.len);
    if (out->model.ptr == NULL || out->model.len > ASK_MODEL_LEN_MAX) {
        error_set(error, ERROR_BAD_REQUEST, "model", NULL,
                  "turnpike: the model in the query is malformed");
        return false;
    }
    return true;
}

struct str
realtime_query(struct str model, char *out, size_t out_cap)
{
    static const struct str name = PICK_NAME("model=");
    struct str escaped;

    if (out_cap < name.len)
        return STR_NONE;
    memcpy(out, name.ptr, name.len);
    escaped = proto_escape(model, out + name.len, out_cap - name.len);
    return escaped.ptr != NULL ? (struct str){out, name.len + escaped.len} : STR_NONE;
}

void
realtime_error(struct buf *out, const struct proto_error *error, struct str id)
{
    struct buf body;

    buf_init(&body, out->cap_max);
    error_write_body(&body, PROTO_OPENAI, error, id);
    buf_add_fmt(out, "{\"type\":\"error\",\"event_id\":\"event_%.*s\",", STR_ARGS(id));
    if (!body.failed && body.len > 0)
        buf_add(out, body.ptr + 1, body.len - 1); /* behind its brace */
    out->failed |= body.failed;
    buf_free(&body);
}

/* ---- what flows by ---- */

void
realtime_init(struct realtime *r, size_t whole_max)
{
    memset(r, 0, sizeof *r);
    buf_init(&r->whole, whole_max);
    r->input_token_bytes = PCM_INPUT_BYTES;
    r->output_token_bytes = PCM_OUTPUT_BYTES;
}

void
realtime_free(struct realtime *r)
{
    buf_free(&r->whole);
}

/* ---- the type of a message, by its beginning ---- */

struct type_row {
    struct str type;
    enum realtime_kind kind;
};
static const struct type_row types[] = {
    {PICK_NAME("session.created"), REALTIME_SESSION},
    {PICK_NAME("session.updated"), REALTIME_SESSION},
    {PICK_NAME("response.created"), REALTIME_RESPONSE},
    {PICK_NAME("response.done"), REALTIME_DONE},
    /* The beta's names, and those that came after them. */
    {PICK_NAME("response.audio.delta"), REALTIME_AUDIO},
    {PICK_NAME("response.output_audio.delta"), REALTIME_AUDIO},
    {PICK_NAME("response.text.delta"), REALTIME_TEXT},
    {PICK_NAME("response.output_text.delta"), REALTIME_TEXT},
    {PICK_NAME("response.audio_transcript.delta"), REALTIME_TEXT},
    {PICK_NAME("response.output_audio_transcript.delta"), REALTIME_TEXT},
    {PICK_NAME("response.function_call_arguments.delta"), REALTIME_TEXT},
    {PICK_NAME("response.mcp_call_arguments.delta"), REALTIME_TEXT},
    {PICK_NAME("conversation.item.input_audio_transcription.completed"), REALTIME_TRANSCRIBED},
    {PICK_NAME("input_audio_buffer.speech_started"), REALTIME_SPEECH},
    {PICK_NAME("input_audio_buffer.committed"), REALTIME_COMMITTED},
    {PICK_NAME("input_audio_buffer.cleared"), REALTIME_CLEARED},
};

static enum realtime_kind
kind_of(struct str type)
{
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (str_eq(type, types[i].type))
            return types[i].kind;
    return REALTIME_OTHER;
}

static size_t
skip_blanks(struct str text, size_t at)
{
    while (at < text.len && text.ptr[at] != '\0' && strchr(" \t\r\n", text.ptr[at]) != NULL)
        at++;
    return at;
}

/* The string that begins here, and where it is over. False when it is none, has escapes, or is not
 * all there. */
static bool
read_plain(struct str text, size_t *at, struct str *out)
{
    size_t from = *at + 1;

    if (*at >= text.len || text.ptr[*at] != '"')
        return false;
    for (size_t i = from; i < text.len && text.ptr[i] != '\\'; i++) {
        if (text.ptr[i] != '"')
            continue;
        *out = (struct str){text.ptr + from, i - from};
        *at = i + 1;
        return true;
    }
    return false;
}

/*
 * The value of "type", where the members up to it are strings: as all servers write it. STR_NONE:
 * nobody knows without a closer look.
 */
static struct str
type_in(struct str head)
{
    size_t at = skip_blanks(head, 0);
    struct str name, value;

    if (at == head.len || head.ptr[at] != '{')
        return STR_NONE;
    do {
        at = skip_blanks(head, at + 1);
        if (!read_plain(head, &at, &name))
            return STR_NONE;
        at = skip_blanks(head, at);
        if (at == head.len || head.ptr[at] != ':')
            return STR_NONE;
        at = skip_blanks(head, at + 1);
        if (!read_plain(head, &at, &value))
            return STR_NONE;
        if (str_eq(name, STR("type")))
            return value;
        at = skip_blanks(head, at);
    } while (at < head.len && head.ptr[at] == ',');
    return STR_NONE;
}

/* ---- the client's messages ---- */

static struct str
head_str(const struct realtime_head *head)
{
    return (struct str){head->bytes, head->len};
}

void
realtime_client_message(struct realtime *r, uint64_t message_len)
{
    struct str head = head_str(&r->client), type = type_in(head);

    r->client.len = 0;
    if (str_eq(type, STR("input_audio_buffer.append"))) {
        r->heard_bytes += message_len - MIN(message_len, (uint64_t)AUDIO_FRAME_BYTES);
    } else if (str_starts_with(type, STR("conversation.item.create")) ||
               str_starts_with(type, STR("response.create"))) {
        if (str_contains(head, STR("\"input_audio\"")))
            r->said_bytes += message_len;
        else if (!str_contains(head, STR("\"input_image\""))) /* of which the size says nothing */
            r->text_bytes += message_len;
    }
}

/* ---- the server's ---- */

static bool
gathers(enum realtime_kind kind)
{
    return kind == REALTIME_SESSION || kind == REALTIME_DONE || kind == REALTIME_TRANSCRIBED ||
           kind == REALTIME_UNSURE;
}

static void
decide(struct realtime *r)
{
    struct str type = type_in(head_str(&r->server));

    r->kind = (uint8_t)(type.ptr == NULL ? REALTIME_UNSURE : kind_of(type));
    r->gathers = gathers((enum realtime_kind)r->kind);
    r->decided = true;
    if (r->gathers)
        r->too_long = !buf_add_str(&r->whole, head_str(&r->server));
}

void
realtime_server_piece(struct realtime *r, struct str piece)
{
    size_t n = MIN(piece.len, sizeof r->server.bytes - r->server.len);

    if (!r->decided) {
        memcpy(r->server.bytes + r->server.len, piece.ptr, n);
        r->server.len += n;
        piece = (struct str){piece.ptr + n, piece.len - n};
        if (r->server.len == sizeof r->server.bytes)
            decide(r);
    }
    if (r->gathers && !r->too_long && piece.len > 0)
        r->too_long = !buf_add_str(&r->whole, piece);
}

/* In which form sound comes and goes: by its old name, or by its new one. */
static void
read_formats(struct realtime *r, struct js_value session)
{
    struct js_value audio = js_get(session, STR("audio"));
    struct js_value in = js_get(session, STR("input_audio_format"));
    struct js_value out = js_get(session, STR("output_audio_format"));
    struct str g711 = STR("g711_"), pcm = STR("audio/pcm"), pcm16 = STR("pcm16");

    if (in.type == JS_NONE)
        in = js_get(js_get(js_get(audio, STR("input")), STR("format")), STR("type"));
    if (out.type == JS_NONE)
        out = js_get(js_get(js_get(audio, STR("output")), STR("format")), STR("type"));
    if (js_str_eq(in, pcm) || js_str_eq(in, pcm16))
        r->input_token_bytes = PCM_INPUT_BYTES;
    else if (str_starts_with(in.raw, g711) || str_starts_with(in.raw, STR("audio/pcm")))
        r->input_token_bytes = G711_INPUT_BYTES; /* audio/pcmu and audio/pcma */
    if (js_str_eq(out, pcm) || js_str_eq(out, pcm16))
        r->output_token_bytes = PCM_OUTPUT_BYTES;
    else if (str_starts_with(out.raw, g711) || str_starts_with(out.raw, STR("audio/pcm")))
        r->output_token_bytes = G711_OUTPUT_BYTES;
}

static void
read_session(struct realtime *r, struct js_value document)
{
    struct js_value session = js_get(document, STR("session"));
    struct str model = marks_reported(js_get(session, STR("model")), sizeof r->model - 1);

    read_formats(r, session);
    if (model.ptr != NULL)
        str_copy(model, r->model, sizeof r->model);
}

static void
read_done(struct realtime *r, struct js_value document)
{
    struct js_value response = js_get(document, STR("response"));

    r->usage = usage_from_realtime(js_get(response, STR("usage")));
    r->failed = js_str_eq(js_get(response, STR("status")), STR("failed"));
}

/* What a message that was gathered says. One that is no JSON says nothing, but is what it is. */
static enum realtime_kind
read_whole(struct realtime *r)
{
    enum realtime_kind kind = (enum realtime_kind)r->kind;
    struct js_value document = {.type = JS_NONE};
    struct js_error ignored;

    if (r->too_long || !js_check(buf_str(&r->whole), &document, &ignored))
        document.type = JS_NONE;
    if (kind == REALTIME_UNSURE) {
        struct js_value type = js_get(document, STR("type"));
        char text[80];

        kind = js_is(type, JS_STRING) && type.raw.len < sizeof text
                   ? kind_of(js_unescape(type, text, sizeof text))
                   : REALTIME_OTHER;
    }
    if (kind == REALTIME_SESSION)
        read_session(r, document);
    else if (kind == REALTIME_DONE)
        read_done(r, document);
    else if (kind == REALTIME_TRANSCRIBED)
        r->usage = usage_from_realtime(js_get(document, STR("usage")));
    return kind;
}

static void
response_begins(struct realtime *r)
{
    r->under_way++;
    r->now.text += r->text_bytes;
    r->now.audio_bytes += r->said_bytes;
    r->now.read += r->read_tokens;
    r->text_bytes = r->said_bytes = 0;
}

/* As a stream's events are counted: the shortest one is the frame that all have, and a token. */
static void
count_text(struct realtime *r, uint64_t len)
{
    uint32_t size = (uint32_t)MIN(len, (uint64_t)UINT32_MAX);
    uint64_t tokens;

    if (r->smallest_text == 0 || size < r->smallest_text)
        r->smallest_text = size;
    tokens = 1 + (size - r->smallest_text) / BYTES_PER_TOKEN;
    r->now.out_text += tokens;
    r->output_estimate += tokens;
}

static void
count_audio(struct realtime *r, uint64_t len)
{
    uint64_t before = r->now.out_audio_bytes / r->output_token_bytes;

    r->now.out_audio_bytes += len - MIN(len, (uint64_t)AUDIO_FRAME_BYTES);
    r->output_estimate += r->now.out_audio_bytes / r->output_token_bytes - before;
}

static void
take_note(struct realtime *r, enum realtime_kind kind, uint64_t len)
{
    switch (kind) {
    case REALTIME_RESPONSE:
        response_begins(r);
        return;
    case REALTIME_TEXT:
    case REALTIME_AUDIO:
        if (r->under_way == 0) /* its beginning was missed */
            response_begins(r);
        r->output_seen = true;
        if (kind == REALTIME_TEXT)
            count_text(r, len);
        else
            count_audio(r, len);
        return;
    case REALTIME_SPEECH:
    case REALTIME_CLEARED:
        r->heard_bytes = 0;
        return;
    case REALTIME_COMMITTED:
        r->said_bytes += r->heard_bytes;
        r->heard_bytes = 0;
        return;
    case REALTIME_OTHER:
    case REALTIME_SESSION:
    case REALTIME_DONE:
    case REALTIME_TRANSCRIBED:
    case REALTIME_UNSURE:
    case REALTIME_KIND_COUNT:
        return;
    }
}

enum realtime_kind
realtime_server_message(struct realtime *r, uint64_t message_len)
{
    enum realtime_kind kind;

    if (!r->decided)
        decide(r);
    kind = r->gathers ? read_whole(r) : (enum realtime_kind)r->kind;
    take_note(r, kind, message_len);
    r->server.len = 0;
    r->decided = r->gathers = r->too_long = false;
    buf_free(&r->whole); /* an open session keeps nothing */
    return kind;
}

/* ---- what it comes to ---- */

static uint32_t
count_of(uint64_t n)
{
    return (uint32_t)MIN(n, (uint64_t)USAGE_COUNT_MAX / 4);
}

struct usage
realtime_estimate(const struct realtime *r)
{
    struct usage usage = {.state = USAGE_ABSENT};

    if (r->under_way == 0)
        return usage;
    usage.audio_input = count_of(r->now.audio_bytes / r->input_token_bytes);
    usage.input = count_of(r->now.text / BYTES_PER_TOKEN) + usage.audio_input;
    usage.cache_read = count_of(r->now.read);
    usage.audio_output = count_of(r->now.out_audio_bytes / r->output_token_bytes);
    usage.output = count_of(r->now.out_text) + usage.audio_output;
    usage.requests = r->under_way;
    usage.state = usage.input + usage.cache_read + usage.output > 0 ? USAGE_PRESENT : USAGE_ZERO;
    return usage;
}

void
realtime_counted(struct realtime *r, const struct usage *usage)
{
    if (usage->state == USAGE_PRESENT)
        r->read_tokens = (uint64_t)usage->input + usage->cache_read;
    r->under_way -= r->under_way > 0;
    r->responses++;
    r->now = (struct realtime_sizes){0};
    r->output_seen = false;
}
