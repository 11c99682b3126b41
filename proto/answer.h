/* A whole answer, not streamed, that came with status 200: is it what was asked for, and what does
 * it cost. Nothing in it is changed. */
#ifndef PROTO_ANSWER_H
#define PROTO_ANSWER_H

#include "base/base.h"
#include "proto/proto.h"
#include "proto/usage.h"

enum answer_kind {
    ANSWER_OK = 0,
    ANSWER_ERROR,    /* an error object inside a 200: see error_from_object() */
    ANSWER_UNKNOWN,  /* JSON, but not an answer of this endpoint */
    ANSWER_NOT_JSON, /* HTML, compressed, cut short, empty */
    ANSWER_KIND_COUNT
};
extern const char *const answer_kind_name[ANSWER_KIND_COUNT];

struct answer {
    enum answer_kind kind;
    struct usage usage;
    /* As the upstream reported them; raw bytes between the quotes, STR_NONE when absent, too long
     * (over 128 bytes), with escapes or not printable ASCII. They point into the body. */
    struct str model, id;
    bool has_output;   /* anything was generated */
    size_t output_len; /* bytes of what was generated, roughly: for plausibility */
    /* Generated tokens by the same rule as in a stream, for an answer without usage. */
    uint32_t output_estimate;
};

/* Reads the body of a call's answer. Never fails: kind says what it is. */
void answer_read(enum proto_endpoint endpoint, struct str body, struct answer *out);

#endif
