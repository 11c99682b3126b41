#include "net/ws.h"

#include <string.h>

#define FIN 0x80u
#define RESERVED 0x70u
#define MASKED 0x80u
#define NO_CODE 1005u

void
ws_init(struct ws *ws, bool masked, uint64_t message_max)
{
    memset(ws, 0, sizeof *ws);
    ws->masked = masked;
    ws->message_max = message_max;
    ws->need = 2;
}

static bool
fault(struct ws *ws, enum ws_code code)
{
    ws->fault = (uint16_t)code;
    return false;
}

/* ---- heads ---- */

static bool
is_control(uint8_t opcode)
{
    return opcode >= WS_CLOSE;
}

/* The first two bytes: all but a long length. */
static bool
read_start(struct ws *ws)
{
    uint8_t first = ws->kept[0], len = ws->kept[1] & 0x7f;
    uint8_t opcode = first & 0x0f;
    bool fin = (first & FIN) != 0;

    if ((first & RESERVED) != 0 || ((ws->kept[1] & MASKED) != 0) != ws->masked)
        return fault(ws, WS_PROTOCOL);
    if (opcode > WS_PONG || (opcode > WS_BINARY && opcode < WS_CLOSE))
        return fault(ws, WS_PROTOCOL);
    if (is_control(opcode) && (!fin || len > WS_CONTROL_MAX))
        return fault(ws, WS_PROTOCOL);
    if (!is_control(opcode) && (opcode == WS_CONTINUATION) != ws_in_message(ws))
        return fault(ws, WS_PROTOCOL);
    ws->need = (uint8_t)(2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + (ws->masked ? 4 : 0) +
                         (is_control(opcode) ? len : 0));
    return true;
}

/* A length in a longer form than it needs can be read in two ways, so it is none. */
static bool
read_length(const struct ws *ws, uint64_t *len)
{
    unsigned short_len = ws->kept[1] & 0x7f, wide = short_len == 126 ? 2 : short_len == 127 ? 8 : 0;

    *len = wide == 0 ? short_len : 0;
    for (unsigned i = 0; i < wide; i++)
        *len = *len << 8 | ws->kept[2 + i];
    return wide == 0 || (wide == 2 ? *len >= 126 : *len >= 65536 && *len <= INT64_MAX);
}

static bool
begin_payload(struct ws *ws, uint64_t len)
{
    uint8_t opcode = ws->kept[0] & 0x0f;

    if (opcode != WS_CONTINUATION)
        ws->message_len = 0;
    if (len > ws->message_max - ws->message_len)
        return fault(ws, WS_TOO_BIG);
    if (opcode != WS_CONTINUATION)
        ws->message_opcode = opcode;
    if (ws->masked)
        memcpy(ws->mask, ws->kept + ws->need - 4, 4);
    ws->message_len += len;
    ws->left = len;
    ws->last = (ws->kept[0] & FIN) != 0;
    ws->frame_at = 0;
    ws->in_payload = len > 0;
    ws->frame_over = len == 0;
    ws->kept_len = 0;
    ws->need = 2;
    return true;
}

/* Codes that may stand in a frame: not those that only say what an absent one means. */
static bool
is_code(unsigned code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

static bool
end_control(struct ws *ws)
{
    uint8_t len = ws->kept[1] & 0x7f;
    const uint8_t *payload = ws->kept + ws->need - len, *mask = payload - 4;

    ws->opcode = ws->kept[0] & 0x0f;
    ws->control_len = len;
    for (unsigned i = 0; i < len; i++)
        ws->control[i] = payload[i] ^ (ws->masked ? mask[i & 3] : 0);
    if (ws->opcode == WS_CLOSE && (len == 1 || (len > 1 && !is_code(ws_close_code(ws)))))
        return fault(ws, WS_PROTOCOL);
    ws->kept_len = 0;
    ws->need = 2;
    return true;
}

/* One byte of a head or of a control frame came. */
static enum ws_event
kept_one(struct ws *ws)
{
    uint64_t len;

    if (ws->kept_len == 2 && !read_start(ws))
        return WS_FAULT;
    if (ws->kept_len < 2 || ws->kept_len < ws->need)
        return WS_NEED;
    if (is_control(ws->kept[0] & 0x0f))
        return end_control(ws) ? WS_CONTROL : WS_FAULT;
    if (!read_length(ws, &len)) {
        (void)fault(ws, WS_PROTOCOL);
        return WS_FAULT;
    }
    return begin_payload(ws, len) ? WS_NEED : WS_FAULT;
}

/* ---- the reader ---- */

static void
take_piece(struct ws *ws, const uint8_t *bytes, size_t len, size_t *used)
{
    size_t n = (size_t)MIN(ws->left, (uint64_t)(len - *used));

    ws->piece = (struct str){(const char *)bytes + *used, n};
    ws->piece_at = ws->frame_at;
    ws->frame_at = (uint32_t)((ws->frame_at + n) & 3);
    ws->left -= n;
    *used += n;
    if (ws->left == 0) {
        ws->in_payload = false;
        ws->frame_over = true;
    }
}

enum ws_event
ws_feed(struct ws *ws, const uint8_t *bytes, size_t len, size_t *used)
{
    *used = 0;
    if (ws->fault != 0)
        return WS_FAULT;
    while (true) {
        enum ws_event event;

        if (ws->frame_over) {
            ws->frame_over = false;
            if (ws->last) {
                ws->opcode = ws->message_opcode;
                ws->message_opcode = 0;
                return WS_MESSAGE;
            }
        }
        if (*used == len)
            return WS_NEED;
        if (ws->in_payload) {
            take_piece(ws, bytes, len, used);
            return WS_PAYLOAD;
        }
        ws->kept[ws->kept_len++] = bytes[(*used)++];
        event = kept_one(ws);
        if (event != WS_NEED)
            return event;
    }
}

void
ws_unmask(const struct ws *ws, size_t len, char *out)
{
    ASSERT(len <= ws->piece.len);
    for (size_t i = 0; i < len; i++)
        out[i] = ws->masked ? (char)((uint8_t)ws->piece.ptr[i] ^ ws->mask[(ws->piece_at + i) & 3])
                            : ws->piece.ptr[i];
}

unsigned
ws_close_code(const struct ws *ws)
{
    return ws->control_len < 2 ? NO_CODE : (unsigned)ws->control[0] << 8 | ws->control[1];
}

/* ---- writing ---- */

size_t
ws_frame(uint8_t *out, enum ws_opcode opcode, struct str payload, const uint8_t mask[4])
{
    unsigned wide = payload.len < 126 ? 0 : payload.len < 65536 ? 2 : 8;
    size_t at = 2;

    ASSERT(!is_control((uint8_t)opcode) || payload.len <= WS_CONTROL_MAX);
    out[0] = (uint8_t)(FIN | opcode);
    out[1] = (uint8_t)((mask ? MASKED : 0) |
                       (wide == 0 ? (unsigned)payload.len : wide == 2 ? 126u : 127u));
    for (unsigned i = wide; i > 0; i--)
        out[at++] = (uint8_t)((uint64_t)payload.len >> (8 * (i - 1)));
    if (mask) {
        memcpy(out + at, mask, 4);
        at += 4;
    }
    for (size_t i = 0; i < payload.len; i++)
        out[at + i] = (uint8_t)((uint8_t)payload.ptr[i] ^ (mask ? mask[i & 3] : 0));
    return at + payload.len;
}

struct str
ws_close_payload(char out[WS_CONTROL_MAX], unsigned code, struct str text)
{
    size_t len = MIN(text.len, (size_t)WS_CONTROL_MAX - 2);

    out[0] = (char)(code >> 8);
    out[1] = (char)(code & 0xff);
    if (len > 0)
        memcpy(out + 2, text.ptr, len);
    return (struct str){out, len + 2};
}
