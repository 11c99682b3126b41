/* What the files of Anthropic's codec share. Private to them. */
#ifndef PROTO_ANTHROPIC_H
#define PROTO_ANTHROPIC_H

#include "base/jw.h"
#include "proto/codec_in.h"

/* ---- a request is read: anthropic_request.c, anthropic_content.c ---- */

bool MUST_CHECK anthropic_request_read(struct chat_request *r, struct proto_error *error);
/* "system": a string, or text blocks. */
bool MUST_CHECK anthropic_system_read(struct chat_request *r, struct js_value system,
                                      struct proto_error *error);
/* "messages". The effort that stands on one of them becomes that of r. */
bool MUST_CHECK anthropic_messages_read(struct chat_request *r, struct js_value messages,
                                        struct proto_error *error);
bool MUST_CHECK anthropic_cache_read(const struct chat_request *r, struct js_value mark,
                                     enum chat_cache *out, struct proto_error *error);
/* An effort that has no name here is dropped: the next model may have one more. */
bool MUST_CHECK anthropic_effort_read(struct chat_request *r, struct js_value effort,
                                      struct proto_error *error);

/* ---- a request is written: anthropic_write.c, anthropic_turns.c ---- */

struct anthropic_writer {
    struct chat_request *r;
    const struct chat_target *target;
    struct chat_drops *drops;
    struct jw jw;
    struct proto_error *error;

    uint32_t max_tokens;
    bool think, adaptive; /* adaptive: it is the model that decides how long */
    uint32_t budget;      /* tokens; where not adaptive */
    enum chat_effort effort;
    bool answers_by_tool;   /* the schema of the answer is a tool's */
    struct str answer_name; /* of that tool; STR_NONE until it is written */
    unsigned marks_over; /* marks for the cache that are too many: the first ones are left out */

    /* The turn that is open, and how to take back what must not stand at its end. */
    bool turn_open, turn_any, turn_signed;
    enum chat_role turn_role;
    struct jw jw_before, jw_solid;
    size_t len_before, len_solid; /* of the output: before the turn, behind its last solid block */
    struct js_value unsigned_text; /* reasoning whose signature has not come yet */
};

bool MUST_CHECK anthropic_request_write(struct chat_request *r, const struct chat_target *target,
                                        struct chat_drops *drops, struct buf *out,
                                        struct proto_error *error);
/* "system" and "messages", keys and all. */
bool MUST_CHECK anthropic_turns_write(struct anthropic_writer *w);
/* How many of the parts' marks for the cache will be written, were there no limit. */
unsigned anthropic_marks_count(const struct chat_request *r);
void anthropic_cache_write(struct anthropic_writer *w, enum chat_cache cache);
/* The name under which the upstream knows a tool; false: no room. */
bool MUST_CHECK anthropic_name_write(struct anthropic_writer *w, enum chat_tool_kind kind,
                                     struct js_value space, struct js_value name);
/* Must this conversation go on without thinking? When it ends in the results of calls, the thought
 * that led to them has to be sent back, and after the beginning of an answer there is none. */
bool anthropic_must_not_think(const struct chat_request *r, const char *tag);

/*
 * What stands in a signature of ours behind the tag: the one of a thinking block as it is, the data
 * of a redacted one behind this mark, which is not in base64's alphabet. Protocols in between
 * cannot tell the two apart: where thoughts are not shown, both come without a text.
 */
#define ANTHROPIC_REDACTED "r."
/* Of thinking that had no text from the start. The text of any other has to come back with its
 * signature, to the letter, or the service refuses it; not all clients keep it. */
#define ANTHROPIC_BARE "e."

/* ---- answers: anthropic_events.c, anthropic_answer.c ---- */

bool anthropic_event_read(struct codec_reader *reader, const struct sse_event *event);
void anthropic_stream_end(struct codec_reader *reader);
bool anthropic_answer_read(struct codec_reader *reader, struct js_value document);
void anthropic_delta_write(struct codec_writer *writer, const struct chat_delta *delta,
                           struct buf *out);
void anthropic_answer_write(const struct chat_answer *answer, const struct chat_frame *frame,
                            struct buf *out);

#endif
