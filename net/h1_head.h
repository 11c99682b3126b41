/*
 * HTTP/1 heads: a strict lint of a request's or answer's head in contiguous memory, and the
 * table of its headers.
 *
 * The lint is what the parser library does not give: CRLF line ends only, no control bytes,
 * no folded lines, no blank before a colon, origin-form targets, one Content-Length or one
 * `chunked`, one well-formed Host, and limits on everything. What it lets through is then
 * parsed a second time by llhttp in its strictest mode, and both must have seen the same
 * message (h1_twin.h); where they differ the message is refused. Bytes in, views out:
 * no socket, no clock, no allocation.
 */
#ifndef NET_H1_HEAD_H
#define NET_H1_HEAD_H

#include "base/base.h"

#define H1_HEADERS_MAX 100
#define H1_LINE_MAX 65535 /* no configured limit of a line may be higher: lengths are 16 bits */

/* Every limit is finite. A line's bytes are counted with its CRLF. */
struct h1_limits {
    uint32_t request_line_bytes; /* 414 above; also an answer's status line */
    uint32_t header_bytes;       /* one header line: 431 above */
    uint32_t headers_bytes;      /* all header lines: 431 above */
    uint32_t header_count;       /* at most H1_HEADERS_MAX: 431 above */
    uint32_t blank_lines;        /* before a request: 400 above */
    uint32_t chunk_extra_bytes;  /* chunk extensions and trailers of a message: 400 above */
    uint32_t interim_count;      /* 1xx answers before the real one */
    uint64_t body_bytes;         /* a request's body: 413 above */
};
/* 16 KiB, 16 KiB, 64 KiB, 100, 2, 4 KiB, 8, 32 MiB. */
extern const struct h1_limits h1_limits_default;

/* Header names that somebody asks for by name. Order is nothing; the text is in h1_name_text(). */
/* clang-format off */
#define H1_NAMES(X) \
    X(ACCEPT, "accept") \
    X(ACCEPT_ENCODING, "accept-encoding") \
    X(ANTHROPIC_BETA, "anthropic-beta") \
    X(ANTHROPIC_DANGEROUS, "anthropic-dangerous-direct-browser-access") \
    X(ANTHROPIC_VERSION, "anthropic-version") \
    X(AUTHORIZATION, "authorization") \
    X(CONNECTION, "connection") \
    X(CONTENT_ENCODING, "content-encoding") \
    X(CONTENT_LENGTH, "content-length") \
    X(CONTENT_TYPE, "content-type") \
    X(COOKIE, "cookie") \
    X(DATE, "date") \
    X(EXPECT, "expect") \
    X(HOST, "host") \
    X(IDEMPOTENCY_KEY, "idempotency-key") \
    X(KEEP_ALIVE, "keep-alive") \
    X(LOCATION, "location") \
    X(OPENAI_BETA, "openai-beta") \
    X(OPENAI_ORGANIZATION, "openai-organization") \
    X(OPENAI_PROCESSING_MS, "openai-processing-ms") \
    X(OPENAI_PROJECT, "openai-project") \
    X(OPENAI_VERSION, "openai-version") \
    X(ORIGIN, "origin") \
    X(REQUEST_ID, "request-id") \
    X(RETRY_AFTER, "retry-after") \
    X(RETRY_AFTER_MS, "retry-after-ms") \
    X(TE, "te") \
    X(TRAILER, "trailer") \
    X(TRANSFER_ENCODING, "transfer-encoding") \
    X(UPGRADE, "upgrade") \
    X(USER_AGENT, "user-agent") \
    X(X_API_KEY, "x-api-key") \
    X(X_CLIENT_REQUEST_ID, "x-client-request-id") \
    X(X_GOOG_API_CLIENT, "x-goog-api-client") \
    X(X_GOOG_API_KEY, "x-goog-api-key") \
    X(X_REQUEST_ID, "x-request-id") \
    X(X_SHOULD_RETRY, "x-should-retry") \
    X(X_TURNPIKE_CHANNEL, "x-turnpike-channel")
/* clang-format on */

enum h1_name {
    H1_NAME_OTHER = 0,
#define X(name, text) H1_##name,
    H1_NAMES(X)
#undef X
        H1_NAME_COUNT
};

enum h1_method {
    H1_METHOD_OTHER = 0, /* a method that llhttp knows, its name in method_name */
    H1_GET,
    H1_HEAD,
    H1_POST,
    H1_PUT,
    H1_PATCH,
    H1_DELETE,
    H1_OPTIONS,
    H1_METHOD_COUNT
};

enum h1_framing {
    H1_FRAMING_NONE = 0, /* no body */
    H1_FRAMING_LENGTH,   /* content_length bytes, which may be 0 */
    H1_FRAMING_CHUNKED,
    H1_FRAMING_CLOSE, /* answers only: until the connection ends */
};

/* Offsets are from the base of the head, so that its bytes may move. */
struct h1_header {
    uint32_t name_off;
    uint32_t value_off; /* blanks around the value are trimmed */
    uint16_t name_len;
    uint16_t value_len;
    uint8_t known; /* enum h1_name */
};

struct h1_head {
    const char *base; /* the first fed byte, blank lines before the message included */
    uint32_t len;     /* bytes of the head up to and with its last CRLF */
    uint32_t start;   /* where the message begins, after blank lines */

    /* What the message says. */
    enum h1_framing framing;
    uint64_t content_length; /* with H1_FRAMING_LENGTH only */
    enum h1_method method;   /* of a request */
    uint16_t status;         /* of an answer */
    uint8_t minor;           /* of HTTP/1.x */
    bool keep_alive;         /* the peer lets the connection live on after this message */
    bool expect_continue;    /* waits for "100 Continue"; never with HTTP/1.0 */
    uint32_t method_off, target_off, path_len;
    uint16_t method_len, target_len; /* the query is what follows path_len and the '?' */

    /* The lint's own state between two calls. */
    uint32_t line_off;    /* start of the first line not yet seen whole */
    uint32_t headers_off; /* start of the first header line; 0 before */
    uint8_t blank_lines;

    /* Headers in their order; first[known] is 1 + the index of the first of that name. Only
     * header_count entries are ever written or copied: keep the table last. */
    uint16_t header_count;
    uint8_t first[H1_NAME_COUNT];
    struct h1_header headers[H1_HEADERS_MAX];
};

/* What a head that is refused gets. Reasons are static text, and never quote input. */
struct h1_error {
    uint16_t status; /* 400, 413, 414, 417, 431, 503; of an answer's head 400, 414 or 431 */
    const char *reason;
};

enum h1_lint { H1_LINT_MORE = 0, H1_LINT_DONE, H1_LINT_REFUSED };

void h1_head_init(struct h1_head *head);
/* Copies what is set of a head; its base stays, and with it what the views point to. */
void h1_head_copy(struct h1_head *to, const struct h1_head *from);
/*
 * Reads on in bytes[0..len), which begin where they began in the last call on this head
 * (perhaps at another address), and are only longer. Looks at whole lines once each; what it
 * answers does not depend on how the bytes were cut. DONE: head is filled, its views point
 * into bytes. REFUSED: *error is set, and nothing more may be read of that connection.
 * llhttp has not seen the head yet: h1_req and h1_res see to that.
 */
enum h1_lint h1_head_lint_request(struct h1_head *head, const struct h1_limits *limits,
                                  const uint8_t *bytes, size_t len, struct h1_error *error);
enum h1_lint h1_head_lint_answer(struct h1_head *head, const struct h1_limits *limits,
                                 const uint8_t *bytes, size_t len, struct h1_error *error);

/* Case does not count. H1_NAME_OTHER when it is none of H1_NAMES. */
enum h1_name h1_name_of(struct str name);
/* Lower case; STR_NONE for H1_NAME_OTHER. */
struct str h1_name_text(enum h1_name name);
/* Whether text may be sent as a header's name (a token) or value (no control bytes but tab). */
bool h1_is_token(struct str text);
bool h1_is_value(struct str text);

static inline struct str
h1_head_name(const struct h1_head *head, size_t i)
{
    const struct h1_header *h = &head->headers[i];
    return (struct str){head->base + h->name_off, h->name_len};
}

static inline struct str
h1_head_value(const struct h1_head *head, size_t i)
{
    const struct h1_header *h = &head->headers[i];
    return (struct str){head->base + h->value_off, h->value_len};
}

static inline bool
h1_head_has(const struct h1_head *head, enum h1_name name)
{
    return head->first[name] != 0;
}

/* Value of the first header of that name; STR_NONE when there is none. */
static inline struct str
h1_head_get(const struct h1_head *head, enum h1_name name)
{
    return head->first[name] ? h1_head_value(head, head->first[name] - 1u) : STR_NONE;
}

static inline struct str
h1_head_method_name(const struct h1_head *head)
{
    return (struct str){head->base + head->method_off, head->method_len};
}

/* As it came, percent signs and all: h1_path_normal() before anything is decided by it. */
static inline struct str
h1_head_path(const struct h1_head *head)
{
    return (struct str){head->base + head->target_off, head->path_len};
}

/* Without its '?'; STR_NONE when the target has none. */
static inline struct str
h1_head_query(const struct h1_head *head)
{
    if (head->path_len == head->target_len)
        return STR_NONE;
    return (struct str){head->base + head->target_off + head->path_len + 1,
                        head->target_len - head->path_len - 1u};
}

#endif
