/*
 * One call whose client and upstream speak different protocols: its request on the way up, its answer
 * on the way down. Puts a decoder and an encoder (codec.h) together, and between them does what no
 * protocol has to know:
 *
 *  - calls of tools come to the encoder one after the other, whatever order their pieces came in:
 *    pieces of another call wait until the open one is complete, which its JSON tells;
 *  - tools are called by the names that the client gave them, and free text for a custom tool is taken
 *    out of the object that it was wrapped in;
 *  - reasoning is shown only to those who asked for it;
 *  - a client that wants a whole answer gets one where the upstream streams, and the other way round.
 *
 * The request is read once, and written anew for each upstream that is tried. Knows no sockets.
 */
#ifndef PROTO_TRANSLATE_H
#define PROTO_TRANSLATE_H

#include "proto/codec.h"

struct translate_call;
struct translate_piece;

struct translate {
    enum proto_endpoint client, upstream;
    const struct codec *from, *to; /* the client's, the upstream's */
    bool decoded;
    struct arena arena; /* the request's tree; gone after translate_forget_request() */
    struct arena kept;  /* names, for as long as the answer */
    struct buf echo;    /* what answers repeat of the request; see codec.h */
    bool older_calls;   /* and how they call tools */
    struct chat_request request;
    struct js_index index; /* of its body; slots in the arena */
    struct chat_drops drops; /* of the try under way */
    const struct chat_name *names;
    bool show_reasoning;

    struct codec_reader reader;
    struct codec_writer writer;
    struct chat_frame frame;
    struct buf *out; /* of the event that is being read */
    bool whole;      /* the client wants a whole answer: deltas are collected */
    bool failed;     /* out of room; or the upstream went against its protocol */
    size_t text_bytes_max;
    size_t text_bytes; /* that are kept */
    struct translate_call *calls;
    struct translate_piece *pieces, **pieces_end;
    struct buf call_signature; /* of the call that comes next, of an answer that is collected */
    struct chat_answer answer; /* id, model and usage of the one that is collected */
    char answer_id[136], answer_model[136];
};

/* Can a call of this endpoint be served by an upstream through that one? */
bool translate_can(enum proto_endpoint client, enum proto_endpoint upstream);

/* text_bytes_max: of an answer, as far as it has to be kept. Allocates nothing. */
void translate_init(struct translate *t, enum proto_endpoint client, size_t text_bytes_max);
void translate_free(struct translate *t);

/* Reads the request: once. The body must stay until translate_forget_request(). stream: of an endpoint
 * whose body does not say it. False with *error. */
bool MUST_CHECK translate_decode(struct translate *t, struct str body, bool stream,
                                 struct proto_error *error);
/* Of a request that need not be read, for the upstream's protocol is the client's, but whose answer
 * has to be made anew: keeps what that takes of it. */
void translate_look(struct translate *t, struct str body);
/* Appends the body for an upstream of a request that was read. False with *error, of kind bad request
 * when it cannot be said in that protocol. */
bool MUST_CHECK translate_encode(struct translate *t, enum proto_endpoint upstream,
                                 const struct chat_target *target, struct buf *out,
                                 struct proto_error *error);
/* No other upstream will be tried: the body may go. */
void translate_forget_request(struct translate *t);

/* An attempt's answer begins. What frame points to must outlive it; its flags are set here, where the
 * request was read. whole: the client wants no stream. */
void translate_answer(struct translate *t, enum proto_endpoint upstream,
                      const struct chat_frame *frame, bool whole);
/* Appends what an event, or a whole answer of the upstream, comes to for a client that streams; what
 * it comes to for one that does not is collected. False: the upstream breaks its protocol, or there is
 * no room. */
bool MUST_CHECK translate_event(struct translate *t, const struct sse_event *event, struct buf *out);
bool MUST_CHECK translate_document(struct translate *t, struct js_value document, struct buf *out);
/* The upstream's stream is over. */
bool MUST_CHECK translate_end(struct translate *t, struct buf *out);
/* Appends the whole answer that was collected. */
bool MUST_CHECK translate_whole(struct translate *t, struct buf *out);

#endif
