/*
 * What a protocol can do for translation (chat.h): read a request and write one, read the answer of an
 * upstream and write one to a client. One row an endpoint; none knows another's.
 *
 * Of a decoder of answers: it is given events, or a whole answer, and calls on_delta for what they
 * bring, in order, the first one CHAT_DELTA_START. It emits one FINISH a choice and one END. Bytes it
 * makes itself (an object's text, an id) lie in reader->scratch, which the caller empties before each
 * event. False: the upstream breaks its protocol.
 *
 * Of an encoder of answers: delta_write() appends to out what a client is to get for the delta:
 * nothing, one event or several, whole ones. Calls come to it one after the other: CALL, ARGUMENTS,
 * CALL_END, and nothing of another call of the choice in between. After END nothing more.
 */
#ifndef PROTO_CODEC_H
#define PROTO_CODEC_H

#include "proto/chat.h"
#include "proto/sse.h"

#define CODEC_CALLS_MAX 256   /* calls of tools in one answer */
#define CODEC_CHOICES_MAX 128 /* its choices */
#define CODEC_ECHO_BYTES_MAX ((size_t)1 << 20) /* of a request, that its answers repeat */

/* A call of an answer as an OpenAI upstream tells it apart from others. */
struct codec_call {
    uint32_t id_hash; /* 0: without an id */
    uint16_t index;   /* the upstream's, or CODEC_CALL_NO_INDEX */
    uint8_t choice;
    uint8_t number; /* in its choice, from 0: what the deltas call it */
};
#define CODEC_CALL_NO_INDEX UINT16_MAX
_Static_assert(CODEC_CALLS_MAX <= UINT8_MAX + 1, "numbers of calls fit");

struct codec_reader {
    enum proto_endpoint endpoint; /* the upstream's */
    chat_delta_fn on_delta;
    void *arg;
    struct buf scratch;
    bool started, finished, ended; /* START, some FINISH, END were emitted */
    /* For the decoders' own use; zero at the start. */
    uint32_t call_count;
    uint32_t block;        /* what is open: number of a block, an item */
    uint8_t block_kind;
    bool text_seen, reasoning_seen, signature_seen;
    uint64_t calls_seen[CODEC_CALLS_MAX / 64];
    uint64_t items_given[CODEC_CALLS_MAX / 64]; /* Responses: something of the item was passed on */
    struct usage usage;
    struct usage_anthropic usage_parts;
    /* OpenAI: call_count of them, and a bit a choice. */
    struct codec_call calls[CODEC_CALLS_MAX];
    uint64_t choices_begun[CODEC_CHOICES_MAX / 64];
    uint64_t choices_finished[CODEC_CHOICES_MAX / 64];
    uint64_t choices_refused[CODEC_CHOICES_MAX / 64];
};

struct codec_writer {
    const struct chat_frame *frame;
    /* For the encoders' own use; zero at the start. */
    struct buf items;      /* Responses: items that are done, as JSON */
    struct buf open;       /* the text of what is open */
    struct buf open2;      /* a second one */
    uint64_t sequence;     /* events so far */
    uint32_t block;        /* number of what is open, or comes next */
    uint8_t block_kind;    /* what is open; 0: nothing */
    uint8_t finish;        /* enum chat_finish */
    bool started, finished, calls_seen;
    uint32_t call_count;
    struct usage usage;
    char model[136];       /* JSON string content; "" unknown */
    char call_id[136], call_name[136], call_space[136]; /* of the open call */
    uint8_t call_tool;
    char stop_sequence[256];
    /* Chat: a bit a choice. */
    uint64_t roles_sent[CODEC_CHOICES_MAX / 64];
    uint64_t refused[CODEC_CHOICES_MAX / 64];     /* the text of a refusal was sent */
    uint64_t custom_open[CODEC_CHOICES_MAX / 64]; /* its open call takes free text */
    uint64_t call_empty[CODEC_CHOICES_MAX / 64];  /* its open call has no arguments yet */
};

struct codec {
    /* r->document, arena and endpoint are set, all else is zero but choice_count 1. Does not link. */
    bool (*request_read)(struct chat_request *r, struct proto_error *error);
    /* Appends the body for an upstream of a linked request. drops holds the decoder's already. */
    bool (*request_write)(struct chat_request *r, const struct chat_target *target,
                          struct chat_drops *drops, struct buf *out, struct proto_error *error);
    /* One event of a stream. */
    bool (*event_read)(struct codec_reader *reader, const struct sse_event *event);
    /* The stream is over, properly or without its mark: what is still owed, END last. */
    void (*stream_end)(struct codec_reader *reader);
    /* A whole answer. */
    bool (*answer_read)(struct codec_reader *reader, struct js_value document);
    void (*delta_write)(struct codec_writer *writer, const struct chat_delta *delta,
                        struct buf *out);
    void (*answer_write)(const struct chat_answer *answer, const struct chat_frame *frame,
                         struct buf *out);
    /* Appends the members of an answer that repeat the client's request: a part of an object, without
     * its braces, at most CODEC_ECHO_BYTES_MAX; what that leaves no room for, and what is absent, null
     * or of a wrong type, is as the provider's defaults. document need not be a good request. NULL:
     * answers of the protocol repeat nothing. */
    void (*echo_write)(struct js_value document, struct buf *out);
    /* Does the client's request, which need not be a good one, have its tools in the older of the two
     * forms that the protocol has for them? Its answers then call in that form. NULL: there is one. */
    bool (*has_older_calls)(struct js_value document);
};

/* NULL: the endpoint is no conversation. The legacy completions have only what a client needs of it
 * (no request_write, event_read, stream_end, answer_read). */
const struct codec *codec_of(enum proto_endpoint endpoint);

/* The endpoint by which an upstream of this protocol takes conversations. */
enum proto_endpoint codec_endpoint(enum proto_protocol protocol);

#define CODEC_TAG_CAP 32
#define CODEC_TAG_ANY "tp1." /* how all of them begin */
/* Tag of the signatures of a family's models behind a protocol: "tp1.m.0123456789abcdef.". */
void codec_tag(enum proto_protocol protocol, struct str family, char out[CODEC_TAG_CAP]);

/* For decoders: hands on a delta, with the bookkeeping of started, finished, ended. */
void codec_emit(struct codec_reader *reader, const struct chat_delta *delta);

#endif
