/* What the files of the OpenAI codec share: chat completions (openai_codec) and the client's side
 * of the older completions (completions_codec). Private to them. */
#ifndef PROTO_OPENAI_IN_H
#define PROTO_OPENAI_IN_H

#include "base/jw.h"
#include "proto/codec_in.h"

#define OPENAI_STOPS_MAX 4
#define OPENAI_TOOLS_MAX 1024

/* Members of a request that are read, of both endpoints. */
enum openai_field {
    OPENAI_BEST_OF = 0,
    OPENAI_ECHO,
    OPENAI_FREQUENCY_PENALTY,
    OPENAI_FUNCTION_CALL,
    OPENAI_FUNCTIONS,
    OPENAI_LOGIT_BIAS,
    OPENAI_LOGPROBS,
    OPENAI_MAX_COMPLETION_TOKENS,
    OPENAI_MAX_TOKENS,
    OPENAI_MESSAGES,
    OPENAI_MODALITIES,
    OPENAI_MODEL,
    OPENAI_N,
    OPENAI_PARALLEL_TOOL_CALLS,
    OPENAI_PRESENCE_PENALTY,
    OPENAI_PROMPT,
    OPENAI_PROMPT_CACHE_KEY,
    OPENAI_PROMPT_CACHE_RETENTION,
    OPENAI_REASONING_EFFORT,
    OPENAI_RESPONSE_FORMAT,
    OPENAI_SAFETY_IDENTIFIER,
    OPENAI_SEED,
    OPENAI_SERVICE_TIER,
    OPENAI_STOP,
    OPENAI_STORE,
    OPENAI_STREAM,
    OPENAI_STREAM_OPTIONS,
    OPENAI_SUFFIX,
    OPENAI_TEMPERATURE,
    OPENAI_TOOL_CHOICE,
    OPENAI_TOOLS,
    OPENAI_TOP_K,
    OPENAI_TOP_LOGPROBS,
    OPENAI_TOP_P,
    OPENAI_USER,
    OPENAI_VERBOSITY,
    OPENAI_FIELD_COUNT
};

/* The members that the request's endpoint takes. What else it has goes to r->drops by its name. */
void openai_fields(struct chat_request *r, struct js_value values[OPENAI_FIELD_COUNT]);
/* What both endpoints have: sampling, limits, stops, the stream. */
bool MUST_CHECK openai_read_common(struct chat_request *r,
                                   const struct js_value values[OPENAI_FIELD_COUNT],
                                   struct proto_error *error);
/* A member called name of parent: must be there, and a string. */
bool MUST_CHECK openai_want_string(const struct chat_request *r, struct js_value parent,
                                   struct js_value value, const char *name,
                                   struct proto_error *error);

bool MUST_CHECK openai_read_messages(struct chat_request *r, struct js_value messages,
                                     struct proto_error *error);
bool MUST_CHECK openai_read_tools(struct chat_request *r,
                                  const struct js_value values[OPENAI_FIELD_COUNT],
                                  struct proto_error *error);
/* See codec.h. */
bool openai_has_older_calls(struct js_value document);

/* ---- requests to upstreams ---- */

struct openai_writer {
    struct jw jw; /* into out */
    struct chat_request *r;
    const struct chat_target *target;
    struct buf *out;
    struct proto_error *error;
};

/* Behind a key: the value is appended to the buffer without the writer. */
static inline struct buf *
openai_by_hand(struct jw *jw)
{
    ASSERT(jw->after_key);
    jw->after_key = false;
    return jw->buf;
}

/* The member "messages". */
bool MUST_CHECK openai_write_messages(struct openai_writer *w);
/* What the tool is called here. STR_NONE without room. */
struct str openai_sent_name(struct openai_writer *w, enum chat_tool_kind kind,
                            struct js_value space, struct js_value name) MUST_CHECK;

/* ---- rows of codec.h ---- */

bool openai_request_write(struct chat_request *r, const struct chat_target *target,
                          struct chat_drops *drops, struct buf *out, struct proto_error *error);
bool openai_event_read(struct codec_reader *reader, const struct sse_event *event);
void openai_stream_end(struct codec_reader *reader);
bool openai_answer_read(struct codec_reader *reader, struct js_value document);
void openai_delta_write(struct codec_writer *writer, const struct chat_delta *delta,
                        struct buf *out);
void openai_answer_write(const struct chat_answer *answer, const struct chat_frame *frame,
                         struct buf *out);

/* Bits, one a choice. */
static inline bool
openai_bit(const uint64_t *bits, uint32_t choice)
{
    ASSERT(choice < CODEC_CHOICES_MAX);
    return (bits[choice / 64] >> choice % 64 & 1) != 0;
}

static inline void
openai_set_bit(uint64_t *bits, uint32_t choice, bool value)
{
    uint64_t bit = UINT64_C(1) << choice % 64;

    ASSERT(choice < CODEC_CHOICES_MAX);
    bits[choice / 64] = value ? bits[choice / 64] | bit : bits[choice / 64] & ~bit;
}

/* ---- answers to clients, of both endpoints ---- */

/* How the objects of an endpoint are called. */
struct openai_shape {
    const char *id_prefix; /* "chatcmpl-" */
    const char *object;    /* "chat.completion.chunk" */
};

/* Opens the object of an answer or a chunk: id, object, created, model. */
void openai_write_head(struct jw *jw, const struct openai_shape *shape,
                       const struct chat_frame *frame, struct str model);
/* Ends the chunk and its event. usage NULL: "usage":null where the client asked for it. */
void openai_write_tail(struct jw *jw, const struct chat_frame *frame, const struct usage *usage);
/* The member "usage"; nothing where there is none. */
void openai_write_usage(struct jw *jw, const struct usage *usage);
/* refused: the text of a refusal was sent, which says it all. */
const char *openai_finish_name(enum chat_finish finish, bool refused);
/* Keeps the model of a START; and the model that is written. */
void openai_keep_model(struct codec_writer *writer, const struct chat_delta *start);
struct str openai_model(const struct codec_writer *writer);
/* The chunk with the usage, if the client wants it, and the mark of the end. */
void openai_write_end(struct codec_writer *writer, const struct openai_shape *shape,
                      struct buf *out);

#endif
