/* A whole answer, not streamed, that came with status 200: is it what was asked for, and what does
 * it cost. Nothing in it is changed. */
#ifndef PROTO_ANSWER_H
#define PROTO_ANSWER_H

#include "base/base.h"
#include "base/js.h"
#include "proto/content.h"
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
    struct str service; /* the service tier that served it; likewise */
    /* What holds all that was generated: the member that makes it an answer of its endpoint. */
    enum proto_endpoint endpoint;
    struct js_value content;
    /* "status" of a response, "stop_reason" of a message, "promptFeedback" of Gemini's */
    struct js_value end;
};

/* Reads the body of a call's answer. Never fails: kind says what it is. */
void answer_read(enum proto_endpoint endpoint, struct str body, struct answer *out);

/* Whether there is anything in an answer that is OK. An answer that counted tokens is not looked
 * at: what nobody sees was generated all the same. */
enum content answer_content(const struct answer *answer);

/* What was generated, by its size: for an answer without usage, and for whether a usage is
 * plausible. Walks over all of it. Nothing for an answer that is not OK. */
struct answer_output {
    bool any;   /* anything was generated */
    size_t len; /* bytes of what was generated, roughly */
    /* Generated tokens by the same rule as in a stream. */
    uint32_t estimate;
};
struct answer_output answer_output(const struct answer *answer);
/* What answer_output()'s estimate is never above, without a look at the answer. */
uint32_t answer_output_max(const struct answer *answer);

#endif
