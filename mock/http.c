/*
 * Requests: a strict reader of HTTP/1.1 heads and bodies. What arrives here passed a gateway, so
 * whatever is out of order (bare LF, folded lines, two lengths, blanks before the colon) is not
 * forgiven but counted as malformed: a test that finds one has found a hole in the gateway.
 */
#include "mock/sim.h"

#include "base/str.h"

#include <string.h>

#define HEAD_MAX 65536u

static bool
is_token_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
request_line_read(struct request *req, struct str line, const char **why)
{
    struct str rest, target, method = str_split(line, ' ', &rest);

    target = str_split(rest, ' ', &rest);
    *why = "request line";
    if (str_eq(method, STR("GET")))
        req->is_get = true;
    else if (str_eq(method, STR("DELETE")))
        req->is_delete = true;
    else if (!str_eq(method, STR("POST")))
        return false;
    if (target.len == 0 || target.ptr[0] != '/')
        return false;
    for (size_t i = 0; i < target.len; i++)
        if ((unsigned char)target.ptr[i] <= ' ' || target.ptr[i] == 0x7f)
            return false;
    if (str_eq(rest, STR("HTTP/1.0")))
        req->http_1_0 = true;
    else if (!str_eq(rest, STR("HTTP/1.1")))
        return false;
    req->keep_alive = !req->http_1_0;
    req->path = str_split(target, '?', &req->query);
    endpoint_find(req);
    return true;
}

/* Keeps the first of a header that must be there once; false when it comes again. */
static bool
keep_once(struct str *kept, struct str value)
{
    if (kept->ptr != NULL)
        return false;
    *kept = value;
    return true;
}

static bool
connection_read(struct request *req, struct str value)
{
    while (value.ptr != NULL) {
        struct str word = str_trim(str_split(value, ',', &value));

        if (str_eq_nocase(word, STR("close")))
            req->keep_alive = false;
        else if (str_eq_nocase(word, STR("keep-alive")))
            req->keep_alive = true;
    }
    return true;
}

static bool
header_read(struct request *req, struct str name, struct str value, const char **why)
{
    *why = "header given twice or of no sense";
    switch (name.len) {
    case 6:
        if (str_eq_nocase(name, STR("expect"))) {
            req->expects_100 = str_eq_nocase(value, STR("100-continue"));
            return req->expects_100;
        }
        return true;
    case 7:
        if (str_eq_nocase(name, STR("upgrade")))
            req->websocket = str_eq_nocase(value, STR("websocket"));
        return true;
    case 9: return !str_eq_nocase(name, STR("x-api-key")) || keep_once(&req->x_api_key, value);
    case 10: return !str_eq_nocase(name, STR("connection")) || connection_read(req, value);
    case 12:
        if (str_eq_nocase(name, STR("content-type")))
            return keep_once(&req->content_type, value);
        return !str_eq_nocase(name, STR("x-request-id")) || keep_once(&req->x_request_id, value);
    case 13:
        return !str_eq_nocase(name, STR("authorization")) || keep_once(&req->authorization, value);
    case 14:
        if (str_eq_nocase(name, STR("x-goog-api-key")))
            return keep_once(&req->x_goog_api_key, value);
        if (!str_eq_nocase(name, STR("content-length")))
            return true;
        if (req->has_length || !str_to_u64(value, &req->content_length))
            return false;
        req->has_length = true;
        return true;
    case 17:
        if (str_eq_nocase(name, STR("sec-websocket-key")))
            return keep_once(&req->websocket_key, value);
        if (str_eq_nocase(name, STR("anthropic-version")))
            return keep_once(&req->anthropic_version, value);
        if (!str_eq_nocase(name, STR("transfer-encoding")))
            return true;
        if (req->chunked || !str_eq_nocase(value, STR("chunked")))
            return false;
        req->chunked = true;
        return true;
    default: return true;
    }
}

static bool
header_line_read(struct request *req, struct str line, const char **why)
{
    size_t colon = 0;

    *why = "header name";
    while (colon < line.len && is_token_char((unsigned char)line.ptr[colon]))
        colon++;
    if (colon == 0 || colon == line.len || line.ptr[colon] != ':')
        return false;
    for (size_t i = colon + 1; i < line.len; i++) {
        unsigned char c = (unsigned char)line.ptr[i];

        *why = "header value";
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    struct str name = {line.ptr, colon};
    struct str value = str_trim((struct str){line.ptr + colon + 1, line.len - colon - 1});
    return header_read(req, name, value, why);
}

static bool
head_read(struct request *req, struct str head, const char **why)
{
    const char *at = head.ptr, *end = head.ptr + head.len - 2; /* without the empty line */
    bool first = true;

    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));

        *why = "bare LF";
        if (lf == NULL || lf == at || lf[-1] != '\r')
            return false;
        struct str line = {at, (size_t)(lf - 1 - at)};
        if (first ? !request_line_read(req, line, why) : !header_line_read(req, line, why))
            return false;
        first = false;
        at = lf + 1;
    }
    *why = "both content-length and transfer-encoding";
    if (req->has_length && req->chunked)
        return false;
    *why = "transfer-encoding in HTTP/1.0";
    return !req->chunked || !req->http_1_0;
}

/* Reads "SIZE CRLF": 1 with *size and *at moved on, 0 for more bytes needed, -1 when malformed. */
static int
chunk_size_read(const char *bytes, size_t len, size_t *at, size_t *size)
{
    size_t i = *at, n = 0, digits = 0;

    for (; i < len; i++, digits++) {
        char c = bytes[i];
        int d = c >= '0' && c <= '9'                 ? c - '0'
                : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                     : -1;

        if (d < 0)
            break;
        n = n << 4 | (size_t)d;
        if (n > REQUEST_BODY_MAX)
            return -1;
    }
    if (len - i < 2)
        return i < len && bytes[i] != '\r' ? -1 : 0;
    /* No extensions: none is of use to anyone, and a gateway that lets one through is lax. */
    if (digits == 0 || digits > 8 || bytes[i] != '\r' || bytes[i + 1] != '\n')
        return -1;
    *at = i + 2;
    *size = n;
    return 1;
}

/*
 * Walks chunks from *at, the first byte of a chunk's size line. Joins them at `to` when that is not
 * NULL. 1 at the end (*at behind the body), 0 for more, -1 malformed; *at stays at the last chunk
 * that is not there as a whole.
 */
static int
chunks_walk(char *bytes, size_t len, size_t *at, char *to, size_t *joined_len)
{
    for (;;) {
        size_t next = *at, size = 0;
        int rc = chunk_size_read(bytes, len, &next, &size);

        if (rc <= 0)
            return rc;
        if (len - next < size + 2)
            return 0;
        if (bytes[next + size] != '\r' || bytes[next + size + 1] != '\n')
            return -1; /* also refuses trailers */
        if (to != NULL)
            memmove(to + *joined_len, bytes + next, size);
        *joined_len += size;
        if (*joined_len > REQUEST_BODY_MAX)
            return -1;
        *at = next + size + 2;
        if (size == 0)
            return 1;
    }
}

static enum read_result
body_read_chunked(struct request *req, char *bytes, size_t len, size_t *progress, size_t *consumed)
{
    size_t start = req->head.len;
    size_t at = MAX(*progress, start), ignored = 0;
    int rc = chunks_walk(bytes, len, &at, NULL, &ignored);

    *progress = at;
    if (rc < 0)
        return READ_MALFORMED;
    if (rc == 0)
        return READ_MORE;
    *consumed = at;
    size_t joined = 0, from = start;
    rc = chunks_walk(bytes, at, &from, bytes + start, &joined);
    ASSERT(rc == 1);
    req->body = (struct str){bytes + start, joined};
    return READ_DONE;
}

enum read_result
request_read(struct request *req, char *bytes, size_t len, size_t *progress, size_t *consumed,
             const char **why)
{
    const char *end;

    *req = (struct request){.endpoint = EP_NONE};
    /* Progress beyond what is there: a body of known length is on its way. */
    if (*progress > len)
        return READ_MORE;
    end = memmem(bytes, len, "\r\n\r\n", 4);
    if (end == NULL) {
        *why = "head too long";
        return len > HEAD_MAX ? READ_MALFORMED : READ_MORE;
    }
    req->head = (struct str){bytes, (size_t)(end - bytes) + 4};
    if (!head_read(req, req->head, why))
        return READ_MALFORMED;
    if (req->chunked) {
        *why = "chunked body";
        return body_read_chunked(req, bytes, len, progress, consumed);
    }
    *why = "body too long";
    if (req->content_length > REQUEST_BODY_MAX)
        return READ_MALFORMED;
    size_t total = req->head.len + (size_t)req->content_length;
    if (len < total) {
        *progress = total;
        return READ_MORE;
    }
    req->body = (struct str){bytes + req->head.len, (size_t)req->content_length};
    *consumed = total;
    return READ_DONE;
}
