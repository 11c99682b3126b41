/* What the files of Gemini's codec share: its two spellings of names, its schemas, the frame of its
 * answers. Private to gemini_*.c. */
#ifndef PROTO_GEMINI_IN_H
#define PROTO_GEMINI_IN_H

#include "proto/codec_in.h"

#define GEMINI_STOPS_MAX 5      /* stop sequences */
#define GEMINI_CHOICES_MAX 8    /* candidates of one answer */
#define GEMINI_DECLARATION_RULE {64, ".:", true}

/* A functionCall that its own provider has not signed is refused from Gemini 3 on, but for this. */
#define GEMINI_UNSIGNED "skip_thought_signature_validator"

/*
 * In front of our tag on a signature that stands for reasoning that is not shown at all. Gemini has
 * one place for signatures, others have two.
 */
#define GEMINI_REDACTED "r."
/* How codec_tag() begins, for all and for Gemini's own. */
#define GEMINI_TAG_ANY "tp1."
#define GEMINI_TAG_OWN "tp1.g."

/* Protobuf takes each name in two spellings: is key "topP" or "top_p", where camel is the first? */
bool gemini_named(struct js_value key, struct str camel);
/* codec_members() for both spellings; names are the first. */
void gemini_members(struct js_value object, const struct str *names, size_t count,
                    struct js_value *values);

/* The buffer's bytes moved to the arena; ptr NULL without room. Frees the buffer. */
struct str gemini_kept(struct arena *arena, struct buf *buf) MUST_CHECK;

/* A schema in OpenAPI's subset as plain JSON schema; JS_NONE without room. */
struct js_value gemini_schema(struct arena *arena, struct js_value subset) MUST_CHECK;
/* A JSON schema, in which some clients write the names of types as the subset does. */
struct js_value gemini_json_schema(struct arena *arena, struct js_value schema) MUST_CHECK;

/* The members of gemini_codec. */
bool gemini_request_read(struct chat_request *r, struct proto_error *error);
bool gemini_request_write(struct chat_request *r, const struct chat_target *target,
                          struct chat_drops *drops, struct buf *out, struct proto_error *error);
bool gemini_event_read(struct codec_reader *reader, const struct sse_event *event);
void gemini_stream_end(struct codec_reader *reader);
bool gemini_answer_read(struct codec_reader *reader, struct js_value document);
void gemini_delta_write(struct codec_writer *writer, const struct chat_delta *delta,
                        struct buf *out);
void gemini_answer_write(const struct chat_answer *answer, const struct chat_frame *frame,
                         struct buf *out);

struct jw;
/* The member generationConfig, the last one of the object; none where there is nothing in it. */
bool gemini_write_config(const struct chat_request *r, const struct chat_target *target,
                         struct chat_drops *drops, struct jw *jw, struct proto_error *error)
    MUST_CHECK;

/* gemini_parts.c: the parts of a request's contents. */
struct gemini_reading {
    struct chat_request *r;
    struct proto_error *error;
    struct chat_message **end; /* of r->messages */
    /* The turn of the model that contents are added to, which streaming clients send back in
     * pieces; NULL: the next one begins another. */
    struct chat_message *model;
    struct chat_message *calls; /* the last such turn, whose calls results may answer */
    struct chat_part **part_end; /* of model */
};
bool gemini_read_content(struct gemini_reading *reading, struct js_value content) MUST_CHECK;
/* The contents are over: what is open is finished. */
bool gemini_read_contents_end(struct gemini_reading *reading) MUST_CHECK;

#endif
