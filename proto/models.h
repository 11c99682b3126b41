/* The answers to GET /v1/models and /v1/models/{id}, and Gemini's under /v1beta, in the three
 * shapes. */
#ifndef PROTO_MODELS_H
#define PROTO_MODELS_H

#include "base/base.h"
#include "base/buf.h"
#include "proto/error.h"
#include "proto/proto.h"

struct models_entry {
    struct str id;
    struct str family; /* OpenAI's owned_by; STR_NONE writes "turnpike" */
    int64_t created_s; /* Unix time; 0 when unknown */
    uint64_t context_tokens, output_tokens_max; /* 0 when unknown; Gemini's shape has them */
    bool embeds;       /* makes embeddings, and nothing else */
};

#define MODELS_CURSOR_LEN_MAX 256
#define MODELS_LIMIT_MAX 1000

/* Anthropic's paging, and Gemini's (whose page token is the last model of the page before). */
struct models_query {
    uint32_t limit; /* 1..1000; when absent 20, Gemini's 50 */
    char after[MODELS_CURSOR_LEN_MAX + 1];
    char before[MODELS_CURSOR_LEN_MAX + 1];
};

/* Reads limit, after_id and before_id, or pageSize and pageToken, of a query string (without "?").
 * False with *error (400). */
bool MUST_CHECK models_query_read(struct str query, enum proto_protocol shape,
                                  struct models_query *out, struct proto_error *error);

/* PROTO_OPENAI: {"object":"list",…}, all of them, query may be NULL. PROTO_ANTHROPIC: one page. An
 * unknown cursor gives an empty page. */
void
models_write_list(struct buf *out, enum proto_protocol shape, const struct models_entry *entries,
                  size_t entry_count, const struct models_query *query);
void models_write_one(struct buf *out, enum proto_protocol shape, const struct models_entry *entry);

#endif
