/*
 * A WebSocket (RFC 6455) as realtime has it. Frames come masked, are joined to messages, pings are
 * answered. A message {"type":"response.create"} gets an answer in events, with what it cost in the
 * last; session.update and conversation.item.create get theirs; all else comes back as it is.
 */
#include "mock/sim.h"

#include "base/str.h"

#include <mbedtls/sha1.h>
#include <mbedtls/version.h>

#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX ((size_t)16 << 20)

enum opcode { OP_MORE = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

struct websocket {
    struct buf message;
    uint64_t input_bytes; /* of items since the last response */
    uint8_t opcode;       /* of the message that is being joined; 0: none */
};

void
websocket_free(struct websocket *ws)
{
    if (ws == NULL)
        return;
    buf_free(&ws->message);
    free(ws);
}

/* ---- the handshake ---- */

static void
accept_key(struct str key, char out[29])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char text[128], hash[21] = {0};
    size_t len = MIN(key.len, (size_t)64);

    memcpy(text, key.ptr, len);
    memcpy(text + len, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
#if MBEDTLS_VERSION_MAJOR >= 3
    int rc = mbedtls_sha1(text, len + 36, hash);
#else
    int rc = mbedtls_sha1_ret(text, len + 36, hash);
#endif
    ASSERT(rc == 0);
    for (size_t i = 0; i < 28; i++) {
        size_t bit = i * 6, at = bit / 8;
        unsigned two = (unsigned)hash[at] << 8 | (at + 1 < sizeof(hash) ? hash[at + 1] : 0u);

        out[i] = i == 27 ? '=' : digits[two >> (10 - bit % 8) & 63];
    }
    out[28] = '\0';
}

/* ?model=…, with its faults. */
static bool
model_read(struct call *call, struct str model, struct refusal *no)
{
    struct ask ask = {.choices = 1};
    char text[MODEL_MAX + 1];
    size_t len = 0;

    for (size_t i = 0; i < model.len && len < MODEL_MAX; i++) {
        uint8_t byte = (uint8_t)model.ptr[i];

        if (byte == '%' && model.len - i >= 3 &&
            str_unhex((struct str){model.ptr + i + 1, 2}, &byte, 1))
            i += 2;
        text[len++] = byte == '"' || byte == '\\' || byte < ' ' ? '_' : (char)byte;
    }
    ask.model = (struct str){text, len};
    if (len == 0)
        return refuse(no, 400, "model", "you must provide a model parameter");
    call->model = copy_of(ask.model);
    faults_clear(&ask.faults);
    if (!faults_gather(&ask, (struct js_value){0}, no) || !model_known(&ask, no))
        return false;
    call->faults = ask.faults;
    return true;
}

/* ---- frames out ---- */

static void
frame_send(struct conn *c, enum opcode opcode, struct str payload)
{
    unsigned char head[10] = {(unsigned char)(0x80 | opcode)};
    size_t len = 2;
    struct buf out;

    if (payload.len < 126) {
        head[1] = (unsigned char)payload.len;
    } else {
        size_t bytes = payload.len < 65536 ? 2 : 8;

        head[1] = bytes == 2 ? 126 : 127;
        for (size_t i = 0; i < bytes; i++)
            head[len++] = (unsigned char)((uint64_t)payload.len >> (8 * (bytes - 1 - i)));
    }
    buf_init(&out, SIZE_MAX);
    buf_add(&out, head, len);
    buf_add_str(&out, payload);
    conn_send(c, out.ptr, out.len);
    buf_free(&out);
}

static void
close_send(struct conn *c, unsigned code)
{
    char payload[2] = {(char)(code >> 8), (char)(code & 0xff)};

    frame_send(c, OP_CLOSE, (struct str){payload, 2});
    c->call->keep_alive = false;
    c->call->incomplete |= code != 1000;
    call_sent(c);
}

/* ---- events ---- */

static struct buf text;

static void
event_begin(struct call *call, const char *type)
{
    if (text.cap_max == 0)
        buf_init(&text, SIZE_MAX);
    text.len = 0;
    buf_add_fmt(&text, "{\"type\":\"%s\",\"event_id\":\"event_%u\"", type, call->events++);
}

static void
event_end(struct conn *c)
{
    buf_add_char(&text, '}');
    frame_send(c, OP_TEXT, buf_str(&text));
}

static void
response_write(struct call *call, bool done)
{
    buf_add_fmt(&text,
                ",\"response\":{\"id\":\"resp_sim%016llx\",\"object\":\"realtime.response\","
                "\"status\":\"%s\"",
                (unsigned long long)call->seq, done ? "completed" : "in_progress");
}

static void
usage_event(struct call *call, uint64_t input, uint64_t output)
{
    if (!fault_on(&call->faults, F_NO_USAGE))
        buf_add_fmt(&text,
                    ",\"usage\":{\"total_tokens\":%llu,\"input_tokens\":%llu,"
                    "\"output_tokens\":%llu,\"input_token_details\":{\"text_tokens\":%llu,"
                    "\"audio_tokens\":0,\"cached_tokens\":0},\"output_token_details\":"
                    "{\"text_tokens\":%llu,\"audio_tokens\":0}}",
                    (unsigned long long)(input + output), (unsigned long long)input,
                    (unsigned long long)output, (unsigned long long)input,
                    (unsigned long long)output);
    buf_add_char(&text, '}');
}

/* response.created, a delta a word, response.done with what it cost. */
static void
response_send(struct conn *c)
{
    struct call *call = c->call;
    struct websocket *ws = call->websocket;
    uint32_t words = fault_get(&call->faults, F_WORDS, WORD_DEFAULT);
    uint64_t input =
        fault_get(&call->faults, F_INPUT_TOKENS, (uint32_t)((ws->input_bytes + 3) / 4));

    call->used.input += input;
    ws->input_bytes = 0;
    event_begin(call, "response.created");
    response_write(call, false);
    buf_add_char(&text, '}');
    event_end(c);
    for (uint32_t i = 0; i < words; i++) {
        if (fault_get(&call->faults, F_CUT, UINT32_MAX) == i) {
            call->incomplete = true;
            call->keep_alive = false;
            call_sent(c);
            return;
        }
        event_begin(call, "response.output_text.delta");
        buf_add_fmt(&text, ",\"response_id\":\"resp_sim%016llx\",\"delta\":\"",
                    (unsigned long long)call->seq);
        text_word(&text, i, fault_get(&call->faults, F_PAD, 0));
        buf_add_char(&text, '"');
        event_end(c);
        call->used.output++;
    }
    event_begin(call, "response.done");
    response_write(call, true);
    usage_event(call, input, words);
    event_end(c);
}

static void
message_take(struct conn *c, struct str message)
{
    struct call *call = c->call;
    struct js_value value;
    struct js_error err;
    struct js_value type = {0};

    if (js_check(message, &value, &err))
        type = js_get(value, STR("type"));
    if (js_str_eq(type, STR("response.create"))) {
        response_send(c);
    } else if (js_str_eq(type, STR("session.update"))) {
        event_begin(call, "session.updated");
        event_end(c);
    } else if (js_str_eq(type, STR("conversation.item.create"))) {
        call->websocket->input_bytes += json_bytes(js_get(value, STR("item")));
        event_begin(call, "conversation.item.created");
        event_end(c);
    } else {
        frame_send(c, OP_TEXT, message);
    }
}

void
websocket_begin(struct conn *c, const struct request *req)
{
    struct call *call = c->call;
    char accept[29];
    struct refusal no;
    struct buf out;

    call->keep_alive = req->keep_alive;
    if (!model_read(call, query_get(req->query, STR("model")), &no)) {
        stats.refused++;
        error_send(c, no.status, str_from(no.message), no.param, no.code);
        return;
    }
    if (fault_answer(c))
        return;
    if (!req->websocket || req->websocket_key.len != 24) {
        error_send(c, 426, STR("a WebSocket is wanted here"), NULL, NULL);
        return;
    }
    accept_key(req->websocket_key, accept);
    call->websocket = calloc(1, sizeof(*call->websocket));
    ASSERT(call->websocket != NULL);
    buf_init(&call->websocket->message, MESSAGE_MAX);
    call->status = 101;
    call->stream = true;
    call->stage = STAGE_STALLED; /* goes on when something comes */
    buf_init(&out, 1024);
    buf_add_fmt(&out,
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n"
                "connection: upgrade\r\nsec-websocket-accept: %s\r\n\r\n",
                accept);
    conn_send(c, out.ptr, out.len);
    buf_free(&out);
    event_begin(call, "session.created");
    event_end(c);
}

/* ---- frames in ---- */

/* One frame whose payload is unmasked and there. */
static void
frame_take(struct conn *c, bool last, unsigned opcode, struct str payload)
{
    struct websocket *ws = c->call->websocket;

    switch (opcode) {
    case OP_PING: frame_send(c, OP_PONG, payload); return;
    case OP_PONG: return;
    case OP_CLOSE: close_send(c, 1000); return;
    case OP_TEXT:
    case OP_BINARY:
        if (ws->opcode != 0) {
            close_send(c, 1002);
            return;
        }
        ws->opcode = (uint8_t)opcode;
        break;
    default:
        if (opcode != OP_MORE || ws->opcode == 0) {
            close_send(c, 1002);
            return;
        }
    }
    if (!buf_add_str(&ws->message, payload)) {
        close_send(c, 1009);
        return;
    }
    if (!last)
        return;
    struct buf message = ws->message; /* the call may end while it is answered */
    buf_init(&ws->message, MESSAGE_MAX);
    ws->opcode = 0;
    message_take(c, buf_str(&message));
    buf_free(&message);
}

size_t
websocket_take(struct conn *c, char *bytes, size_t len)
{
    unsigned char *head = (unsigned char *)bytes;
    size_t at = 2;

    if (len < 2)
        return 0;
    uint64_t size = head[1] & 0x7f;
    size_t wide = size == 126 ? 2 : size == 127 ? 8 : 0;
    bool control = (head[0] & 0x08) != 0;
    /* No extensions, masked always, control frames short and whole. */
    if ((head[0] & 0x70) != 0 || (head[1] & 0x80) == 0 ||
        (control && (wide > 0 || (head[0] & 0x80) == 0))) {
        close_send(c, 1002);
        return len;
    }
    if (len < at + wide + 4)
        return 0;
    if (wide > 0)
        size = 0;
    for (size_t i = 0; i < wide; i++)
        size = size << 8 | head[at++];
    if (size > MESSAGE_MAX) {
        close_send(c, 1009);
        return len;
    }
    const unsigned char *mask = head + at;
    at += 4;
    if (len - at < size)
        return 0;
    for (size_t i = 0; i < size; i++)
        bytes[at + i] = (char)((unsigned char)bytes[at + i] ^ mask[i & 3]);
    frame_take(c, (head[0] & 0x80) != 0, head[0] & 0x0fu, (struct str){bytes + at, (size_t)size});
    return at + (size_t)size;
}
