/*
 * What a realtime session (OpenAI's, over a WebSocket) comes to, by the messages that flow by.
 * Bytes in, counts out; messages come in pieces, and all of them pass, whatever is found here.
 *
 * Of a message only its beginning is looked at, for its type. What is long and many, sound and text
 * in deltas, is then counted by size and never parsed; whole are read only those that say something
 * to pay for or by: response.done with the usage of the response, the usage of a transcription, and
 * which model serves the session. One whose type does not stand in its beginning is read whole,
 * too.
 *
 * A response is under way from response.created to response.done. What it has come to by then
 * nobody says, so it is estimated: what the client sent, what flowed back, and, as read from a
 * cache, what the last response had read.
 */
#ifndef PROTO_REALTIME_H
#define PROTO_REALTIME_H

#include "base/base.h"
#include "base/buf.h"
#include "proto/ask.h"
#include "proto/usage.h"

#define REALTIME_HEAD_BYTES 256 /* of a message, that its type is looked for in */
#define REALTIME_MODEL_CAP 128

/* What is asked for: the model, which stands in the query. False with *error when none does. */
bool realtime_ask(struct str query, struct arena *arena, struct ask *out,
                  struct proto_error *error) MUST_CHECK;
/* The query for an upstream; STR_NONE when out is too small. */
struct str realtime_query(struct str model, char *out, size_t out_cap);
/* An event that says what went wrong, as the message of a session. */
void realtime_error(struct buf *out, const struct proto_error *error, struct str id);

enum realtime_kind {
    REALTIME_OTHER = 0,
    REALTIME_SESSION,     /* session.created, session.updated: model says which model serves */
    REALTIME_RESPONSE,    /* response.created */
    REALTIME_TEXT,        /* a delta of text, of a transcript, of arguments */
    REALTIME_AUDIO,       /* a delta of sound */
    REALTIME_DONE,        /* response.done: usage says what was used, failed that it failed */
    REALTIME_TRANSCRIBED, /* of what the client said: likewise */
    REALTIME_SPEECH,      /* somebody speaks: what was heard before was silence */
    REALTIME_COMMITTED,   /* what was heard is input */
    REALTIME_CLEARED,     /* it is not */
    REALTIME_UNSURE,      /* never told to the caller */
    REALTIME_KIND_COUNT
};

struct realtime {
    /* For the caller to read. */
    uint32_t under_way; /* responses */
    uint32_t responses; /* that are over */
    struct usage usage; /* with DONE and TRANSCRIBED */
    bool failed;        /* with DONE */
    bool output_seen;   /* of those under way, some has brought something */
    char model[REALTIME_MODEL_CAP]; /* as reported last; "" when not */
    uint64_t output_estimate;       /* tokens of all responses, by their deltas */

    /* Its own. */
    struct realtime_head {
        char bytes[REALTIME_HEAD_BYTES];
        size_t len;
    } client, server;
    struct buf whole; /* the server's message, where it is read whole */
    uint8_t kind;     /* of the server's message, once decided */
    bool decided, gathers, too_long;
    uint32_t input_token_bytes, output_token_bytes; /* of sound, by its format, in base64 */
    uint32_t smallest_text;                         /* message of a delta; 0 before the first */
    uint64_t heard_bytes;                           /* sound that is not input yet */
    uint64_t said_bytes, text_bytes;                /* sound and text for the next response */
    uint64_t read_tokens;                           /* by the last response, in all */
    struct realtime_sizes {
        uint64_t text, audio_bytes, read; /* input */
        uint64_t out_text, out_audio_bytes;
    } now; /* of the responses under way */
};

/* whole_max: of a message that is read whole; what is longer says nothing. */
void realtime_init(struct realtime *r, size_t whole_max);
void realtime_free(struct realtime *r);

/* A piece of a client's message: how much of it is wanted, and where to. Then a message is
 * complete. */
static inline size_t
realtime_client_wants(const struct realtime *r)
{
    return sizeof r->client.bytes - r->client.len;
}
static inline char *
realtime_client_room(struct realtime *r)
{
    return r->client.bytes + r->client.len;
}
static inline void
realtime_client_got(struct realtime *r, size_t len)
{
    r->client.len += len;
}
void realtime_client_message(struct realtime *r, uint64_t message_len);

void realtime_server_piece(struct realtime *r, struct str piece);
enum realtime_kind realtime_server_message(struct realtime *r, uint64_t message_len);

/* What those under way are thought to have used; all 0 when there is none. */
struct usage realtime_estimate(const struct realtime *r);
/* After DONE, once it was counted, by its usage or by the estimate: begins to estimate afresh. */
void realtime_counted(struct realtime *r, const struct usage *usage);

#endif
