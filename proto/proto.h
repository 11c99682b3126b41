/*
 * proto: the wire protocols of the model makers. Bytes in, bytes out.
 *
 * This room knows what a request of OpenAI's chat completions, of their Responses, or of
 * Anthropic's Messages looks like: which path it has, what in its body the gateway must
 * know, where its answer says how many tokens were used, how an event stream ends, what an
 * error looks like to the SDK that waits for it. It promises to touch nothing it does not
 * understand: bodies and streams pass byte for byte but for the few ranges named in ask.h
 * and meter.h. It refuses to know sockets, clocks, money, tenants and upstreams, and it
 * allocates nothing but from the arena or buffer it is given.
 *
 * Reading order: proto.h (paths), ask.h (a request's body), usage.h, answer.h (a whole
 * answer), sse.h and meter.h (a streamed one), realtime.h, error.h, headers.h, models.h.
 */
#ifndef PROTO_PROTO_H
#define PROTO_PROTO_H

#include "base/base.h"

/* What an upstream speaks, and the shape in which a client expects answers and errors. */
enum proto_protocol {
    PROTO_OPENAI = 0, /* chat completions, completions, embeddings */
    PROTO_RESPONSES,
    PROTO_ANTHROPIC,
    PROTO_GEMINI,
    PROTO_PROTOCOL_COUNT
};
/* "openai", "responses", "anthropic", "gemini": as in routes.conf. */
extern const char *const proto_protocol_name[PROTO_PROTOCOL_COUNT];
bool MUST_CHECK proto_protocol_from(struct str name, enum proto_protocol *out);

/* What a client asks for: calls, which go to an upstream and are paid for (proto_is_call(); counting
 * tokens costs nothing), and what the gateway answers itself. The numbers stand in records: new ones
 * come at the end. */
enum proto_endpoint {
    ENDPOINT_CHAT = 0,
    ENDPOINT_COMPLETIONS,
    ENDPOINT_EMBEDDINGS,
    ENDPOINT_RESPONSES,
    ENDPOINT_MESSAGES,
    ENDPOINT_COUNT_TOKENS,
    ENDPOINT_MODELS_LIST,
    ENDPOINT_MODEL_GET,
    ENDPOINT_RECEIPT,
    ENDPOINT_BALANCE,
    ENDPOINT_HEALTHZ,
    ENDPOINT_READYZ,
    ENDPOINT_GENERATE,     /* Gemini's generateContent and streamGenerateContent */
    ENDPOINT_GEMINI_COUNT, /* Gemini's countTokens */
    ENDPOINT_GEMINI_EMBED, /* Gemini's embedContent and batchEmbedContents */
    ENDPOINT_GEMINI_MODELS,
    ENDPOINT_GEMINI_MODEL,
    ENDPOINT_REALTIME, /* a WebSocket: realtime.h */
    /* Side by side: what proto_is_media() is. */
    ENDPOINT_IMAGES,
    ENDPOINT_IMAGE_EDITS,
    ENDPOINT_SPEECH,
    ENDPOINT_TRANSCRIPTIONS,
    ENDPOINT_TRANSLATIONS, /* of sound */
    ENDPOINT_MODERATIONS,
    ENDPOINT_RERANK,
    ENDPOINT_FILE_UPLOAD, /* side by side: what proto_is_file() is */
    ENDPOINT_FILES,       /* their list */
    ENDPOINT_FILE,        /* one, as the list has it */
    ENDPOINT_FILE_CONTENT,
    ENDPOINT_FILE_DELETE,
    ENDPOINT_BATCH_CREATE,
    ENDPOINT_BATCHES,
    ENDPOINT_BATCH,
    ENDPOINT_BATCH_CANCEL,
    ENDPOINT_COUNT
};
extern const char *const proto_endpoint_name[ENDPOINT_COUNT]; /* "chat", "count_tokens", … */

bool proto_is_call(enum proto_endpoint endpoint);
/* Pictures, sound, moderation, ranking, files, batches: what passes between those who speak OpenAI's
 * protocol, and may be paid by other units than tokens. */
static inline bool
proto_is_media(enum proto_endpoint endpoint)
{
    return endpoint >= ENDPOINT_IMAGES && endpoint <= ENDPOINT_BATCH_CANCEL;
}
/* It is about what an upstream keeps for a tenant: files, and batches that are made of them. */
static inline bool
proto_is_file(enum proto_endpoint endpoint)
{
    return endpoint >= ENDPOINT_FILE_UPLOAD && endpoint <= ENDPOINT_BATCH_CANCEL;
}
/* Of those, the batches. */
static inline bool
proto_is_batch(enum proto_endpoint endpoint)
{
    return endpoint >= ENDPOINT_BATCH_CREATE && endpoint <= ENDPOINT_BATCH_CANCEL;
}
/* What a service makes IDs of: such goes into a path and between quotes as it is. */
#define PROTO_ID_LEN_MAX 128
bool proto_is_id(struct str text);
/* It asks for the next turn of a conversation: what any of the four protocols can be made of. */
bool proto_is_conversation(enum proto_endpoint endpoint);
/* Its answer is generated, token by token: not embeddings, not a count, not a judgement. */
bool proto_has_output(enum proto_endpoint endpoint);
/* It only counts tokens: providers do not bill that. */
bool proto_is_count(enum proto_endpoint endpoint);
/* The protocol a call's upstream must speak for pass-through; for the gateway's own endpoints the
 * shape of their errors. */
enum proto_protocol proto_of(enum proto_endpoint endpoint);

enum proto_found {
    PROTO_FOUND = 0,
    PROTO_NOT_FOUND,          /* answer 404 */
    PROTO_METHOD_NOT_ALLOWED, /* answer 405 with Allow: what.allow */
    PROTO_WEBSOCKET,          /* answer 426: clients then fall back to POST at once */
};

struct proto_what {
    enum proto_endpoint endpoint; /* set for FOUND and METHOD_NOT_ALLOWED */
    const char *allow;            /* "GET", "POST", or two of a list */
    /* Of /v1/models/{id}, /v1/receipts/{id}, /v1/files/{id}, /v1/batches/{id}, and the model in a path of Gemini's:
     * still percent-encoded. */
    struct str id;
    struct str action; /* Gemini: what stands behind the model's colon */
};

/*
 * Which endpoint a request is for. The path is the request target without its query, as it
 * came; nothing is decoded or normalised, so "//v1", "/v1/./chat", "/V1" and a trailing
 * slash are all NOT_FOUND. HEAD is not allowed anywhere.
 */
enum proto_found proto_endpoint_of(struct str method, struct str path, struct proto_what *out);

/* Of an action of Gemini's, is its answer a stream? */
bool proto_gemini_streams(struct str action);
/* Path and query by which a Gemini upstream takes a call: "/v1beta/models/MODEL:ACTION", with
 * "?alt=sse" where it streams. The model is escaped. STR_NONE: out is too small. */
struct str proto_gemini_path(struct str model, struct str action, char *out, size_t out_cap);

/* The shape in which errors for this path are written, for unknown paths too: Anthropic's under
 * /v1/messages, Gemini's under /v1beta, else OpenAI's. */
enum proto_protocol proto_error_shape(struct str path);

/* As a part of a path or a value of a query: all but unreserved characters as %XX. Out needs
 * 3 * in.len bytes; STR_NONE when it has fewer. */
struct str proto_escape(struct str in, char *out, size_t out_cap);
/*
 * Decodes %XX in an id part of a path. Out needs in.len bytes. STR_NONE for a broken
 * escape, an empty result, or one with control characters.
 */
struct str proto_unescape(struct str in, char *out, size_t out_cap);

/* Path of a call at an upstream, behind its base URL (which for OpenAI ends in /v1, for Anthropic
 * does not, as the makers' SDKs take it). STR_NONE for an endpoint that never goes upstream. */
struct str proto_upstream_path(enum proto_endpoint endpoint);
/* "POST", and for some of files' "GET" and "DELETE". */
struct str proto_method(enum proto_endpoint endpoint);
/* Path and query by which an upstream takes a call for files or batches, behind its base URL:
 * "/files/ID/content", "/files?limit=2". Of the query only what the list knows goes along.
 * STR_NONE: out is too small. */
struct str proto_file_path(enum proto_endpoint endpoint, struct str id, struct str query, char *out,
                           size_t out_cap);
/* What of the client's query string goes along: "?beta=true" for Anthropic's endpoints when the
 * client sent it, else nothing. A key in the query can thus never reach an upstream. */
struct str proto_upstream_query(enum proto_endpoint endpoint, struct str query);
/* The value of one parameter in a query string (without the "?"), still encoded; STR_NONE when
 * absent. The first of several. */
struct str proto_query_get(struct str query, struct str name);

#endif
