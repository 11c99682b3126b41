#include "net/h1_head.h"

#include <string.h>

#include "net/h1_bytes.h"

/*
 * The lint goes from line to line: memchr() finds the end of one, and a line is judged only
 * when it is whole. What can be judged before (its first byte, its length so far) is judged
 * before anything else, so that the verdict on a stream of bytes is the same however the
 * stream was cut.
 *
 * Header lines as nearly all are, a plain name and a value without tabs, are taken by
 * lint_usual_lines() before that, sixteen bytes and more at a time. It only ever takes whole
 * lines that the way above would take likewise, and leaves every doubt to that.
 */

const struct h1_limits h1_limits_default = {
    .request_line_bytes = 16 * 1024,
    .header_bytes = 16 * 1024,
    .headers_bytes = 64 * 1024,
    .header_count = H1_HEADERS_MAX,
    .blank_lines = 2,
    .chunk_extra_bytes = 4 * 1024,
    .interim_count = 8,
    .body_bytes = 32u * 1024 * 1024,
};

static bool
value_is(struct str value, struct str lower)
{
    if (value.len != lower.len)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        if (h1_token_fold[(uint8_t)value.ptr[i]] != (uint8_t)lower.ptr[i])
            return false;
    }
    return true;
}

static bool
refuse(struct h1_error *error, uint16_t status, const char *reason)
{
    *error = (struct h1_error){status, reason};
    return false;
}

void
h1_head_init(struct h1_head *head)
{
    memset(head, 0, offsetof(struct h1_head, headers));
}

void
h1_head_copy(struct h1_head *to, const struct h1_head *from)
{
    memcpy(to, from,
           offsetof(struct h1_head, headers) + from->header_count * sizeof(from->headers[0]));
}

/* ---- the first line ---------------------------------------------------------------------- */

static enum h1_method
method_of(const uint8_t *name, size_t len)
{
    static const struct str text[H1_METHOD_COUNT] = {
        [H1_GET] = {"GET", 3},         [H1_HEAD] = {"HEAD", 4},   [H1_POST] = {"POST", 4},
        [H1_PUT] = {"PUT", 3},         [H1_PATCH] = {"PATCH", 5}, [H1_DELETE] = {"DELETE", 6},
        [H1_OPTIONS] = {"OPTIONS", 7},
    };

    if (len == 4 && memcmp(name, "POST", 4) == 0)
        return H1_POST;
    for (unsigned m = H1_METHOD_OTHER + 1; m < H1_METHOD_COUNT; m++) {
        if (len == text[m].len && memcmp(name, text[m].ptr, len) == 0)
            return (enum h1_method)m;
    }
    return H1_METHOD_OTHER;
}

/* line is without its CRLF. */
static bool
lint_request_line(struct h1_head *head, const uint8_t *line, size_t len, struct h1_error *error)
{
    static const size_t version_len = sizeof(" HTTP/1.x") - 1;
    size_t method_len = 0;

    while (method_len < len &&
           ((line[method_len] >= 'A' && line[method_len] <= 'Z') || line[method_len] == '-'))
        method_len++;
    if (method_len == len || line[method_len] != ' ')
        return refuse(error, 400, "malformed request line");
    if (len < method_len + 1 + version_len)
        return refuse(error, 400, "malformed request line");

    const uint8_t *version = line + len - version_len;
    if (memcmp(version, " HTTP/1.", version_len - 1) != 0 ||
        (version[version_len - 1] != '0' && version[version_len - 1] != '1'))
        return refuse(error, 400, "HTTP version is neither 1.0 nor 1.1");

    const uint8_t *target = line + method_len + 1;
    size_t target_len = (size_t)(version - target);
    enum h1_method method = method_of(line, method_len);
    bool star = method == H1_OPTIONS && target_len == 1 && target[0] == '*';
    if (target_len == 0 || (target[0] != '/' && !star))
        return refuse(error, 400, "request target is not a path");
    if (!h1_target_is_clean(target, target_len, '#'))
        return refuse(error, 400, "request target has a forbidden character");

    const uint8_t *mark = memchr(target, '?', target_len);
    head->method = method;
    head->minor = version[version_len - 1] - '0';
    head->method_off = (uint32_t)(line - (const uint8_t *)head->base);
    head->method_len = (uint16_t)method_len;
    head->target_off = (uint32_t)(target - (const uint8_t *)head->base);
    head->target_len = (uint16_t)target_len;
    head->path_len = mark ? (uint32_t)(mark - target) : (uint32_t)target_len;
    return true;
}

static bool
is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool
lint_status_line(struct h1_head *head, const uint8_t *line, size_t len, struct h1_error *error)
{
    static const size_t status_end = sizeof("HTTP/1.x 200") - 1;

    if (len < status_end || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1'))
        return refuse(error, 400, "not an answer of HTTP/1.0 or 1.1");
    if (line[8] != ' ' || line[9] < '1' || line[9] > '5' || !is_digit(line[10]) ||
        !is_digit(line[11]) || (len > status_end && line[status_end] != ' '))
        return refuse(error, 400, "malformed status line");
    if (!h1_value_is_clean(line + status_end, len - status_end))
        return refuse(error, 400, "control byte in the status line");
    head->minor = line[7] - '0';
    head->status = (uint16_t)((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
    return true;
}

/* Where in its line a value is, blanks around it left out. */
struct value_at {
    size_t from, to;
};

/* ---- header lines ------------------------------------------------------------------------ */

static bool
may_repeat(enum h1_name name, bool request)
{
    switch (name) {
    case H1_CONTENT_LENGTH:
    case H1_TRANSFER_ENCODING: return false;
    case H1_HOST:
    case H1_AUTHORIZATION:
    case H1_X_API_KEY: /* two keys, of which the next server might take the other one */
    case H1_X_GOOG_API_KEY: return !request;
    default: return true; /* the others by far */
    }
}

/* A header line that is good by itself: its name is a token, its value clean and trimmed. */
static inline __attribute__((always_inline)) bool
add_header(struct h1_head *head, const uint8_t *line, size_t name_len, struct value_at value,
           bool request, struct h1_error *error)
{
    enum h1_name known = h1_name_of_token(line, name_len);
    uint32_t off = (uint32_t)(line - (const uint8_t *)head->base);

    head->headers[head->header_count++] = (struct h1_header){
        .name_off = off,
        .value_off = off + (uint32_t)value.from,
        .name_len = (uint16_t)name_len,
        .value_len = (uint16_t)(value.to - value.from),
        .known = (uint8_t)known,
    };
    if (known == H1_NAME_OTHER)
        return true;
    if (head->first[known] == 0)
        head->first[known] = (uint8_t)head->header_count;
    else if (!may_repeat(known, request))
        return refuse(error, 400, "repeated header that must be one");
    return true;
}

static inline bool
is_blank(uint8_t c)
{
    return UNLIKELY(c <= ' ') && (c == ' ' || c == '\t');
}

static inline struct value_at
trimmed(const uint8_t *line, size_t from, size_t to)
{
    if (from < to && line[from] == ' ') /* just one, as a rule */
        from++;
    while (from < to && is_blank(line[from]))
        from++;
    while (to > from && is_blank(line[to - 1]))
        to--;
    return (struct value_at){from, to};
}

static bool
lint_header(struct h1_head *head, const uint8_t *line, size_t len, bool request,
            struct h1_error *error)
{
    size_t name_len = 0;

    while (name_len < len && h1_token_fold[line[name_len]])
        name_len++;
    if (name_len == 0 || name_len == len || line[name_len] != ':')
        return refuse(error, 400, "malformed header name");

    struct value_at value = trimmed(line, name_len + 1, len);
    if (!h1_value_is_clean(line + value.from, value.to - value.from))
        return refuse(error, 400, "control byte in a header");
    return add_header(head, line, name_len, value, request, error);
}

/* ---- what the headers say together ------------------------------------------------------- */

static bool
port_is_good(const char *p, size_t len)
{
    unsigned port = 0;

    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!is_digit((uint8_t)p[i]))
            return false;
        port = port * 10 + (unsigned)(p[i] - '0');
    }
    return port <= 65535;
}

/* Letters, digits, and "-._~". */
static inline bool
is_host_byte(uint8_t c)
{
    static const uint64_t host_bytes[4] = {UINT64_C(0x03ff600000000000),
                                           UINT64_C(0x47fffffe87fffffe)};

    return (host_bytes[c >> 6] >> (c & 63) & 1) != 0;
}

static bool
is_ipv6_byte(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.';
}

/* A name or address of RFC 3986, with a port or without; no user, no list, not empty. */
static bool
host_is_good(struct str host)
{
    size_t i = 0;

    if (host.len > 0 && host.ptr[0] == '[') {
        unsigned colons = 0;
        for (i = 1; i < host.len && is_ipv6_byte((uint8_t)host.ptr[i]); i++)
            colons += host.ptr[i] == ':';
        if (i == host.len || host.ptr[i] != ']' || colons < 2)
            return false;
        i++;
    } else {
        while (i < host.len && is_host_byte((uint8_t)host.ptr[i]))
            i++;
    }
    if (i == 0 || i > 255)
        return false;
    return i == host.len ||
           (host.ptr[i] == ':' && port_is_good(host.ptr + i + 1, host.len - i - 1));
}

static bool
length_of(struct str value, uint64_t *length)
{
    uint64_t n = 0;

    if (value.len == 0 || value.len > 19) /* 19 digits cannot pass 64 bits */
        return false;
    for (size_t i = 0; i < value.len; i++) {
        if (!is_digit((uint8_t)value.ptr[i]))
            return false;
        n = n * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    *length = n;
    return n <= INT64_MAX;
}

/* Connection is a list of tokens, over all headers of that name. "close" beats "keep-alive". */
static bool
keeps_alive(const struct h1_head *head)
{
    bool alive = head->minor >= 1, close = false;

    if (!h1_head_has(head, H1_CONNECTION))
        return alive;
    for (size_t h = 0; h < head->header_count; h++) {
        if (head->headers[h].known != H1_CONNECTION)
            continue;
        struct str value = h1_head_value(head, h);
        for (size_t from = 0, to; from < value.len; from = to + 1) {
            struct str token = {value.ptr + from, 0};
            for (to = from; to < value.len && value.ptr[to] != ','; to++)
                ;
            for (; from < to && (value.ptr[from] == ' ' || value.ptr[from] == '\t'); from++)
                token.ptr++;
            token.len = to - from;
            while (token.len &&
                   (token.ptr[token.len - 1] == ' ' || token.ptr[token.len - 1] == '\t'))
                token.len--;
            close |= value_is(token, STR("close"));
            alive |= value_is(token, STR("keep-alive"));
        }
    }
    return alive && !close;
}

/* Sets framing as far as Content-Length and Transfer-Encoding say it. */
static bool
lint_framing(struct h1_head *head, bool request, struct h1_error *error)
{
    bool length = h1_head_has(head, H1_CONTENT_LENGTH);

    head->framing = H1_FRAMING_NONE;
    if (h1_head_has(head, H1_TRANSFER_ENCODING)) {
        struct str coding = h1_head_get(head, H1_TRANSFER_ENCODING);
        bool exact = coding.len == 7 && memcmp(coding.ptr, "chunked", 7) == 0;
        if (length)
            return refuse(error, 400, "both Content-Length and Transfer-Encoding");
        if (head->minor == 0)
            return refuse(error, 400, "Transfer-Encoding in HTTP/1.0");
        /* Codings have no case by RFC 9112, but of a client we take the one spelling on which
         * all servers agree. */
        if (request ? !exact : !value_is(coding, STR("chunked")))
            return refuse(error, 400, "Transfer-Encoding is not chunked");
        head->framing = H1_FRAMING_CHUNKED;
    }
    if (length) {
        if (!length_of(h1_head_get(head, H1_CONTENT_LENGTH), &head->content_length))
            return refuse(error, 400, "malformed Content-Length");
        head->framing = H1_FRAMING_LENGTH;
    }
    return true;
}

static bool
finish_request(struct h1_head *head, const struct h1_limits *limits, struct h1_error *error)
{
    if (!h1_head_has(head, H1_HOST) || !host_is_good(h1_head_get(head, H1_HOST)))
        return refuse(error, 400, "missing or malformed Host");
    if (!lint_framing(head, true, error))
        return false;
    if (h1_head_has(head, H1_EXPECT)) {
        for (size_t h = 0; h < head->header_count; h++) {
            if (head->headers[h].known == H1_EXPECT &&
                !value_is(h1_head_value(head, h), STR("100-continue")))
                return refuse(error, 417, "unknown expectation");
        }
        head->expect_continue = head->minor >= 1;
    }
    if (head->framing == H1_FRAMING_LENGTH && head->content_length > limits->body_bytes)
        return refuse(error, 413, "body too large");
    head->keep_alive = keeps_alive(head);
    return true;
}

static bool
finish_answer(struct h1_head *head, const struct h1_limits *limits, struct h1_error *error)
{
    (void)limits;
    if (!lint_framing(head, false, error))
        return false;
    if (head->status < 200 || head->status == 204 || head->status == 304)
        head->framing = H1_FRAMING_NONE;
    else if (head->framing == H1_FRAMING_NONE)
        head->framing = H1_FRAMING_CLOSE;
    head->keep_alive = keeps_alive(head) && head->framing != H1_FRAMING_CLOSE;
    return true;
}

/* ---- line by line ------------------------------------------------------------------------ */

/* What kind of line begins at line_off, told by its first byte, and how long it may be. */
struct line_kind {
    size_t bytes_max; /* CRLF included */
    uint16_t status;  /* when it is longer */
    const char *reason;
};

static bool
line_begins(const struct h1_head *head, const struct h1_limits *limits, bool request, uint8_t first,
            struct line_kind *kind, struct h1_error *error)
{
    if (first == '\r') { /* can only be an empty line */
        *kind = (struct line_kind){2, 400, "carriage return without line feed"};
        return true;
    }
    if (head->headers_off == 0) {
        if (request ? first < 'A' || first > 'Z' : first != 'H')
            return refuse(error, 400, request ? "malformed request line" : "not an HTTP answer");
        *kind = (struct line_kind){limits->request_line_bytes, 414, "request line too long"};
        return true;
    }
    if (first == ' ' || first == '\t')
        return refuse(error, 400, "folded header line");
    if (head->header_count >= limits->header_count)
        return refuse(error, 431, "too many header lines");
    size_t left = limits->headers_bytes - (head->line_off - head->headers_off);
    if (left < limits->header_bytes)
        *kind = (struct line_kind){left, 431, "headers too large"};
    else
        *kind = (struct line_kind){limits->header_bytes, 431, "header line too long"};
    return true;
}

/* An empty line: before the message, or its head's last. */
static enum h1_lint
empty_line(struct h1_head *head, const struct h1_limits *limits, bool request,
           struct h1_error *error)
{
    bool good;

    if (head->headers_off == 0) {
        if (!request || head->blank_lines >= limits->blank_lines) {
            refuse(error, 400, request ? "too many blank lines" : "not an HTTP answer");
            return H1_LINT_REFUSED;
        }
        head->blank_lines++;
        head->start = head->line_off;
        return H1_LINT_MORE;
    }
    head->len = head->line_off;
    good = request ? finish_request(head, limits, error) : finish_answer(head, limits, error);
    return good ? H1_LINT_DONE : H1_LINT_REFUSED;
}

/* A whole line, its CRLF included. DONE and REFUSED end the head, MORE goes to the next line. */
static enum h1_lint
whole_line(struct h1_head *head, const struct h1_limits *limits, const uint8_t *line, size_t len,
           bool request, struct h1_error *error)
{
    bool good;

    head->line_off += (uint32_t)len;
    if (len < 2 || line[len - 2] != '\r') {
        refuse(error, 400, "line feed without carriage return");
        return H1_LINT_REFUSED;
    }
    if (len == 2)
        return empty_line(head, limits, request, error);
    if (head->headers_off != 0)
        good = lint_header(head, line, len - 2, request, error);
    else if (request)
        good = lint_request_line(head, line, len - 2, error);
    else
        good = lint_status_line(head, line, len - 2, error);
    if (head->headers_off == 0)
        head->headers_off = head->line_off;
    return good ? H1_LINT_MORE : H1_LINT_REFUSED;
}

#ifdef SCAN_SSE2
/* Where the control bytes are, found up to 64 bytes at a time ahead of the lines that they end:
 * so that where one line ends waits for nothing that is done about the line before. */
struct controls {
    const uint8_t *block, *next, *end; /* block to next is in bits, next to end is not read yet */
    uint64_t bits;
};

/* The next control byte; NULL when there is none but perhaps in the last 15 bytes. */
static inline const uint8_t *
next_control(struct controls *c)
{
    while (c->bits == 0) {
        c->block = c->next;
        if (LIKELY(c->end - c->block >= 64)) {
            c->bits = h1_control_bits(c->block) | h1_control_bits(c->block + 16) << 16 |
                      h1_control_bits(c->block + 32) << 32 | h1_control_bits(c->block + 48) << 48;
            c->next += 64;
        } else if (c->end - c->block >= 16) {
            c->bits = h1_control_bits(c->block);
            c->next += 16;
        } else {
            return NULL;
        }
    }

    const uint8_t *at = c->block + __builtin_ctzll(c->bits);
    c->bits &= c->bits - 1;
    return at;
}

/* The length of the name that begins a line, which its colon ends; 0 when the name has bytes that
 * are rare in one, or is near the end of the bytes. */
static inline size_t
usual_name(const uint8_t *line, const uint8_t *end)
{
    const uint8_t *p = line;

    for (; end - p >= 16; p += 16) {
        unsigned bits = h1_name_end_bits(p);

        if (bits != 0) {
            p += __builtin_ctz(bits);
            return *p == ':' ? (size_t)(p - line) : 0;
        }
    }
    return 0;
}
#endif

/*
 * Goes on over header lines as long as they are of the most usual form. Lines that this takes the
 * slow way would take, too, with the same name and value; about all others it says nothing, and
 * leaves them to the slow way.
 */
static inline bool
lint_usual_lines(struct h1_head *head, const struct h1_limits *limits, const uint8_t *bytes,
                 size_t len, bool request, struct h1_error *error)
{
    bool good = true;
#ifdef SCAN_SSE2
    size_t left = limits->headers_bytes - (head->line_off - head->headers_off);
    const uint8_t *line = bytes + head->line_off, *end = bytes + len;
    struct controls controls = {.next = line, .end = line + MIN((size_t)(end - line), left)};

    while (good && head->header_count < limits->header_count) {
        const uint8_t *cr = next_control(&controls);
        size_t name_len;

        if (cr == NULL || *cr != '\r' || next_control(&controls) != cr + 1 || cr[1] != '\n' ||
            (size_t)(cr - line) + 2 > limits->header_bytes)
            break;
        name_len = usual_name(line, end);
        if (name_len == 0)
            break;
        good = add_header(head, line, name_len, trimmed(line, name_len + 1, (size_t)(cr - line)),
                          request, error);
        line = cr + 2;
    }
    head->line_off = (uint32_t)(line - bytes);
#endif
    return good;
}

static inline enum h1_lint
lint(struct h1_head *head, const struct h1_limits *limits, const uint8_t *bytes, size_t len,
     bool request, struct h1_error *error)
{
    ASSERT(limits->request_line_bytes <= H1_LINE_MAX && limits->header_bytes <= H1_LINE_MAX);
    ASSERT(limits->header_count <= H1_HEADERS_MAX);
    head->base = (const char *)bytes;
    while (head->line_off < len) {
        const uint8_t *line = bytes + head->line_off;
        size_t have = len - head->line_off;
        struct line_kind kind;

        if (!line_begins(head, limits, request, line[0], &kind, error))
            return H1_LINT_REFUSED;
        const uint8_t *lf = memchr(line, '\n', MIN(have, kind.bytes_max));
        if (!lf && have >= kind.bytes_max) {
            refuse(error, kind.status, kind.reason);
            return H1_LINT_REFUSED;
        }
        if (!lf)
            return H1_LINT_MORE;
        enum h1_lint got = whole_line(head, limits, line, (size_t)(lf - line) + 1, request, error);
        if (got != H1_LINT_MORE)
            return got;
        if (head->headers_off != 0 && !lint_usual_lines(head, limits, bytes, len, request, error))
            return H1_LINT_REFUSED;
    }
    return H1_LINT_MORE;
}

enum h1_lint
h1_head_lint_request(struct h1_head *head, const struct h1_limits *limits, const uint8_t *bytes,
                     size_t len, struct h1_error *error)
{
    return lint(head, limits, bytes, len, true, error);
}

enum h1_lint
h1_head_lint_answer(struct h1_head *head, const struct h1_limits *limits, const uint8_t *bytes,
                    size_t len, struct h1_error *error)
{
    return lint(head, limits, bytes, len, false, error);
}
