/*
 * Errors in the shape of the client's protocol: bodies, in-stream events, and the
 * translation of what upstreams say.
 *
 * A reason is one of enum error_kind; the tables in error.c say which HTTP status, type and
 * code it has in each protocol. A message says who failed, is one line, is bounded, and
 * never holds HTML, an address, or a secret.
 */
#ifndef PROTO_ERROR_H
#define PROTO_ERROR_H

#include "base/base.h"
#include "base/buf.h"
#include "base/js.h"
#include "proto/proto.h"

enum error_kind {
    ERROR_BAD_REQUEST = 0,   /* 400 */
    ERROR_CONTEXT_TOO_LONG,  /* 400, code context_length_exceeded */
    ERROR_UNAUTHENTICATED,   /* 401: the client's key is unknown */
    ERROR_NO_CREDIT,         /* 402 */
    ERROR_FORBIDDEN,         /* 403 */
    ERROR_NO_PATH,           /* 404 */
    ERROR_NO_MODEL,          /* 404, code model_not_found */
    ERROR_NOT_FOUND,         /* 404: a receipt, a thing */
    ERROR_METHOD,            /* 405 */
    ERROR_REQUEST_TIMEOUT,   /* 408 */
    ERROR_CONFLICT,          /* 409 */
    ERROR_TOO_LARGE,         /* 413 */
    ERROR_URI_TOO_LONG,      /* 414 */
    ERROR_MEDIA_TYPE,        /* 415: a body in a coding that is not read */
    ERROR_UNPROCESSABLE,     /* 422 */
    ERROR_UPGRADE_REQUIRED,  /* 426 */
    ERROR_LIMIT_REQUESTS,    /* 429: requests/min or concurrency */
    ERROR_LIMIT_TOKENS,      /* 429: tokens/min */
    ERROR_QUOTA,             /* 429, insufficient_quota: a budget is spent */
    ERROR_HEADERS_TOO_LARGE, /* 431 */
    ERROR_INTERNAL,          /* 500 */
    ERROR_UPSTREAM_FAILED,   /* 502 */
    ERROR_UNAVAILABLE,       /* 503: draining, no healthy upstream, cannot record */
    ERROR_OVERLOADED,        /* 503; 529 to Anthropic clients: the upstream is overloaded */
    ERROR_UPSTREAM_TIMEOUT,  /* 504 */
    ERROR_KIND_COUNT
};
extern const char *const error_kind_name[ERROR_KIND_COUNT]; /* "bad-request", …: for logs */

#define ERROR_MESSAGE_MAX 400

struct proto_error {
    enum error_kind kind;
    uint32_t
        retry_after_s; /* 0: none. For the retry-after header, which is the caller's to write */
    bool closes;       /* a limit was passed: the connection ends with the answer */
    char param[64];    /* path of the field at fault; "" writes null */
    char code[48];     /* "" takes the kind's own */
    char limit[24];    /* whose limit and which, "member.rpm"; for a header; "" none */
    char message[ERROR_MESSAGE_MAX];
};

/* param and code may be NULL. The message is cut where it does not fit. */
void error_set(struct proto_error *error, enum error_kind kind, const char *param, const char *code,
               const char *fmt, ...) PRINTF_LIKE(5, 6);

/* Of a limit that was met, once the error is set. */
void error_set_limit(struct proto_error *error, const char *whose, const char *which);

/* Of a body that js_check() found fault with: what, where, and how many bytes into it. */
void error_set_bad_json(struct proto_error *error, struct str body, const struct js_error *fault);

/* The HTTP status of a kind for clients of a protocol, and its reason phrase. */
unsigned error_status(enum error_kind kind, enum proto_protocol protocol);
const char *error_reason(unsigned status); /* "Bad Request"; "Error" for one unknown */

/* Appends the JSON body. request_id is written where the protocol has a place (Anthropic). */
void error_write_body(struct buf *out, enum proto_protocol protocol,
                      const struct proto_error *error, struct str request_id);

/*
 * Appends what ends a stream that has begun and failed: a whole event. After it nothing
 * more is sent, no end mark either. sequence_number is used by Responses only: the next
 * one that the client expects (meter.sequence_next).
 */
void
error_write_event(struct buf *out, enum proto_endpoint endpoint, const struct proto_error *error,
                  uint64_t sequence_number, struct str request_id);

/* "data: [DONE]\n\n" for chat and completions; STR_NONE for protocols that have none. */
struct str error_stream_end_mark(enum proto_endpoint endpoint);

/* Secrets that must not pass in any text from an upstream: its key, its address. Empty ones and
 * those under 4 bytes are ignored. */
struct error_secrets {
    const struct str *list;
    size_t count;
};

/* An upstream's answer with a status other than 200. Body may be cut short or anything at all. */
struct upstream_answer {
    unsigned status;
    struct str retry_after, retry_after_ms; /* header values, STR_NONE when absent */
    struct str body;
};

/*
 * What the client is told about it: the upstream's own message for errors that are the
 * request's fault (with field names kept, since clients heal themselves by them), a plain
 * sentence of ours where the fault lies with the upstream or with the gateway's key there.
 */
void error_from_upstream(const struct upstream_answer *answer, struct error_secrets secrets,
                         struct proto_error *out);

/*
 * The same for an error object that came inside a 200, whole or as an event of a stream:
 * data is the JSON text with its "error" member (or Responses' flat form).
 */
void error_from_object(struct str data, struct error_secrets secrets, struct proto_error *out);

/* The request is what an upstream finds fault with: 400, 404 by name, 413, 422. */
bool error_is_of_request(enum error_kind kind);

/* What was made of an upstream's error: may another upstream do better? Not where the request is at
 * fault, nor for a conflict, which is with what the upstream keeps. */
bool error_may_fail_over(const struct proto_error *error);

/* Whole seconds, rounded up, at least 1; 0 when there is none or it is a date. At most 86400. */
uint32_t error_retry_after_s(struct str retry_after, struct str retry_after_ms);

/* Replaces each secret in text by "***", in place; gives the new length. */
size_t error_redact(char *text, size_t text_len, struct error_secrets secrets);

#endif
