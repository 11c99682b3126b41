/*
 * WebSocket frames (RFC 6455) of one direction, from bytes in any slicing: bytes in, events out. No
 * extensions, so no reserved bits and no unknown opcodes; lengths in their shortest form; control
 * frames whole and short; a message no longer than it may be. Whether text is UTF-8 is for those to
 * say who read it.
 *
 *     while reading:
 *         event = ws_feed(ws, bytes, len, &used);   bytes += used, len -= used
 *         NEED     all bytes are used: read on
 *         PAYLOAD  ws->piece: a piece of a message, as it came, masked if it is; see ws_unmask()
 *         MESSAGE  a message is complete: ws->opcode, ws->message_len
 *         CONTROL  a control frame is: ws->opcode, ws->control[0..control_len), unmasked
 *         FAULT    ws->fault is the close code to say so with; nothing more is ever read
 *
 * For a caller who passes the bytes on as they are: of ws_kept() bytes, the last ones of what was
 * fed, it is not yet known whether they are good: the beginning of a frame's head, or of a control
 * frame. They are in ws->kept. So what passes of a feed is what was kept before it, and the fed
 * bytes, less what is kept after it; nothing of a frame that is a fault ever does, and whatever
 * else is sent between two such writes stands between two frames unless ws_in_frame().
 */
#ifndef NET_WS_H
#define NET_WS_H

#include "base/base.h"

#define WS_CONTROL_MAX 125
#define WS_KEPT_MAX (2 + 4 + WS_CONTROL_MAX)
#define WS_HEAD_MAX 14

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
};

/* Close codes, as far as we say them. */
enum ws_code {
    WS_GOING_AWAY = 1001,
    WS_PROTOCOL = 1002,
    WS_POLICY = 1008,
    WS_TOO_BIG = 1009,
    WS_INTERNAL = 1011,
    WS_TRY_LATER = 1013,
};

enum ws_event { WS_NEED = 0, WS_PAYLOAD, WS_MESSAGE, WS_CONTROL, WS_FAULT };

struct ws {
    /* For the caller to read. */
    struct str piece;     /* with PAYLOAD */
    uint64_t message_len; /* of the message under way or complete, as far as its frames say */
    uint16_t fault;       /* enum ws_code; 0 none */
    uint8_t message_opcode; /* of the message under way: TEXT or BINARY; 0 none */
    uint8_t opcode;         /* with MESSAGE and CONTROL */
    uint8_t control_len;
    uint8_t control[WS_CONTROL_MAX];

    /* The reader's own. */
    uint64_t message_max;
    uint64_t left;          /* of the frame's payload */
    uint32_t piece_at;      /* where in its frame the piece begins, mod 4 */
    uint32_t frame_at;      /* likewise the next one */
    uint8_t mask[4];
    uint8_t kept_len, need;
    bool masked; /* frames have to be: a client's */
    bool last;   /* the frame ends its message */
    bool in_payload, frame_over;
    uint8_t kept[WS_KEPT_MAX];
};

/* masked: what is read is a client's. Allocates nothing, ever. */
void ws_init(struct ws *ws, bool masked, uint64_t message_max);
enum ws_event ws_feed(struct ws *ws, const uint8_t *bytes, size_t len, size_t *used);

/* The first len bytes of the piece, which has as many, as they were before they were masked. */
void ws_unmask(const struct ws *ws, size_t len, char *out);

static inline size_t
ws_kept(const struct ws *ws)
{
    return ws->kept_len;
}

/* Bytes of a frame have passed, and others of it have not come yet. */
static inline bool
ws_in_frame(const struct ws *ws)
{
    return ws->in_payload;
}

/* A message has begun, and its last frame has not. Control frames may stand here, no other
 * message. */
static inline bool
ws_in_message(const struct ws *ws)
{
    return ws->message_opcode != 0;
}

/* The message under way, of which PAYLOAD is a piece, is text. */
static inline bool
ws_in_text(const struct ws *ws)
{
    return ws->message_opcode == WS_TEXT;
}

/* The code of a close frame, the control frame that was read last; 1005 when it has none. */
unsigned ws_close_code(const struct ws *ws);

/*
 * A frame that is a message by itself, or a control frame; masked by mask unless that is NULL. Out
 * has room for WS_HEAD_MAX more than the payload. Returns its length.
 */
size_t ws_frame(uint8_t *out, enum ws_opcode opcode, struct str payload, const uint8_t mask[4]);
/* The payload of a close frame with this code and text, which is cut where it does not fit. */
struct str ws_close_payload(char out[WS_CONTROL_MAX], unsigned code, struct str text);

#endif
