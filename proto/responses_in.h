/* What the files of the Responses codec share. Private to them. */
#ifndef PROTO_RESPONSES_IN_H
#define PROTO_RESPONSES_IN_H

#include "base/jw.h"
#include "proto/codec_in.h"
#include "proto/pick.h"

#define RESPONSES_NAME_MAX 128   /* bytes of a tool's name or namespace, as they stand in JSON */
#define RESPONSES_TOOLS_MAX 1024 /* of a request, those within namespaces counted */
#define RESPONSES_SHELL "local_shell"

/* ---- requests ---- */

/* The input's items, appended to the messages. */
bool MUST_CHECK responses_read_input(struct chat_request *r, struct chat_message ***end,
                                     struct js_value input, struct proto_error *error);
bool MUST_CHECK responses_read_tools(struct chat_request *r, struct js_value tools,
                                     struct proto_error *error);
/* After the tools. */
bool MUST_CHECK responses_read_tool_choice(struct chat_request *r, struct js_value choice,
                                           struct proto_error *error);

/* An object's member that must be a string: false with *error when it is absent or no string. */
bool MUST_CHECK responses_need(const struct chat_request *r, struct js_value object,
                               struct js_value value, const char *name, struct proto_error *error);
/* The same for names of tools: not empty and not long. */
bool MUST_CHECK responses_need_name(const struct chat_request *r, struct js_value object,
                                    struct js_value value, const char *name,
                                    struct proto_error *error);

/* Texts put together to one. separator: JSON string content. Nothing is copied where there is only
 * one; empty ones are passed over. */
struct responses_joined {
    struct buf buf;
    struct js_value first;
    size_t count;
    struct str separator;
};
void responses_join(struct responses_joined *joined, struct js_value text);
/* *out is JS_NONE without any text. False: no room. Frees what the joining took. */
bool MUST_CHECK responses_joined(struct responses_joined *joined, struct arena *arena,
                                 struct js_value *out);

bool responses_request_write(struct chat_request *r, const struct chat_target *target,
                             struct chat_drops *drops, struct buf *out, struct proto_error *error);

/* ---- answers of upstreams ---- */

bool responses_event_read(struct codec_reader *reader, const struct sse_event *event);
void responses_stream_end(struct codec_reader *reader);
bool responses_answer_read(struct codec_reader *reader, struct js_value document);

/* ---- answers to clients ---- */

/* A whole response. */
struct responses_shape {
    const struct chat_frame *frame;
    struct str model;  /* JSON string content */
    const char *status, *reason; /* reason: of what is incomplete, or NULL */
    struct str items;  /* JSON, with commas between them */
    const struct usage *usage;   /* NULL, ABSENT, BAD: null is written */
};
void responses_write_response(struct jw *jw, const struct responses_shape *shape);
/* See codec.h. JS_NONE: of a request that says nothing. */
void responses_echo_write(struct js_value document, struct buf *out);
/* NULL: it is complete. */
const char *responses_reason(enum chat_finish finish);

/* What an item's id is made of. */
struct responses_id {
    char text[200];
};
struct responses_id responses_id(const char *prefix, const struct chat_frame *frame,
                                 uint32_t number);
const char *responses_call_prefix(enum chat_tool_kind tool);

/* A part of a message. logprobs: elements of the list, or empty. */
void responses_write_part(struct jw *jw, bool refusal, struct str text, struct str logprobs);

/* The item of a call; all texts are JSON string content. scratch: for what is put together. */
struct responses_call {
    const char *id, *status;
    struct str call_id, name, space, arguments;
    enum chat_tool_kind tool;
};
void responses_write_call(struct jw *jw, const struct responses_call *call, struct buf *scratch);

/* The item of reasoning. signature: with its tag, or STR_NONE. */
void responses_write_reasoning(struct jw *jw, const char *id, struct str text,
                               struct str signature);

void responses_delta_write(struct codec_writer *writer, const struct chat_delta *delta,
                           struct buf *out);
void responses_answer_write(const struct chat_answer *answer, const struct chat_frame *frame,
                            struct buf *out);

#endif
