/* The codecs by their names: for codec.c and their own tests. */
#ifndef PROTO_CODEC_IN_H
#define PROTO_CODEC_IN_H

#include "proto/codec.h"

extern const struct codec openai_codec;      /* openai_*.c */
extern const struct codec completions_codec; /* openai_completions.c: the client's side only */
extern const struct codec responses_codec;   /* responses_*.c */
extern const struct codec anthropic_codec;   /* anthropic_*.c */
extern const struct codec gemini_codec;      /* gemini_*.c */

/* What the four share: small readers of fields. See codec_read.c. */

/* values[i] is the member called names[i], JS_NONE when it is absent or null. Of several of one name
 * the last one, as with the providers. */
void codec_members(struct js_value object, const struct str *names, size_t count,
                   struct js_value *values);

/* Types: false with *error (path and all) when the value is there and not of the type. */
bool MUST_CHECK codec_want(const struct chat_request *r, struct js_value value, enum js_type type,
                           struct proto_error *error);
bool MUST_CHECK codec_want_bool(const struct chat_request *r, struct js_value value, bool *out,
                                struct proto_error *error);
bool MUST_CHECK codec_want_number(const struct chat_request *r, struct js_value value,
                                  struct proto_error *error);
bool MUST_CHECK codec_want_count(const struct chat_request *r, struct js_value value, uint32_t min,
                                 uint32_t max, uint32_t *out, struct proto_error *error);
/* Sound in requests of OpenAI's protocols: what a format is elsewhere, JS_NONE when it is neither wav
 * nor mp3; and the part. False with *error when that cannot be said there. */
struct js_value codec_sound_type(struct js_value format);
struct jw;
bool MUST_CHECK codec_write_sound(const struct chat_request *r, const struct chat_part *part,
                                  struct jw *jw, struct proto_error *error);
/* A knob of r, as it stands. */
void codec_knob(struct chat_request *r, enum chat_knob knob, const char *name,
                struct js_value value);
/* Stop sequences: a string, or a list of strings; at most max of them. */
bool MUST_CHECK codec_stops(struct chat_request *r, struct js_value value, size_t max,
                            struct proto_error *error);

/* Is the number above 1? For the protocols whose temperature ends there. */
bool codec_above_one(struct js_value number);

/* Effort by name, and of a budget of tokens. */
enum chat_effort codec_effort(struct js_value name); /* UNSET when unknown */
enum chat_effort codec_effort_of(uint32_t budget);
/* The client's own name for what asks for thinking in r: for drops. */
struct str codec_thinking_name(const struct chat_request *r);

/* How the client calls its marks of what to cache. */
struct str codec_marks_name(const struct chat_request *r);
/* For encoders that have no such marks: their name goes to drops where there are some. */
void codec_drop_marks(const struct chat_request *r, struct chat_drops *drops);

/* Names of knobs that an encoder did not take (bits of taken) go to drops. */
void codec_drop_knobs(const struct chat_request *r, unsigned taken, struct chat_drops *drops);

#endif
