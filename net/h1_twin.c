#include "net/h1_twin.h"

/* llhttp asks these to be writable in name only: nothing writes them. */
static int on_header(llhttp_t *parser);
static int on_headers_complete(llhttp_t *parser);
static int on_body(llhttp_t *parser, const char *at, size_t length);
static int on_message_complete(llhttp_t *parser);

static const llhttp_settings_t twin_settings = {
    .on_header_field_complete = on_header,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static struct h1_twin *
twin_of(llhttp_t *parser)
{
    return CONTAINER_OF(parser, struct h1_twin, parser);
}

static int
on_header(llhttp_t *parser)
{
    struct h1_twin *twin = twin_of(parser);

    if (!twin->head_done)
        twin->header_count++;
    return 0;
}

/* The parser's fields hold the head's facts here, and may be reset right after. */
static int
on_headers_complete(llhttp_t *parser)
{
    struct h1_twin *twin = twin_of(parser);

    twin->head_done = true;
    twin->flags = parser->flags;
    twin->content_length = parser->content_length;
    twin->keep_alive = llhttp_should_keep_alive(parser) != 0;
    /* An Upgrade we never follow: the message is one like any other. */
    parser->upgrade = 0;
    /* 1 tells llhttp what it leaves to its caller to know: these answers have no body, even
     * with a length (RFC 9112 §6.3). */
    return parser->type == HTTP_RESPONSE &&
           (parser->status_code < 200 || parser->status_code == 204 || parser->status_code == 304);
}

static int
on_body(llhttp_t *parser, const char *at, size_t length)
{
    (void)at;
    twin_of(parser)->body_bytes += length;
    return 0;
}

/* Stops llhttp, which would otherwise go on into the next message. */
static int
on_message_complete(llhttp_t *parser)
{
    twin_of(parser)->message_done = true;
    return HPE_PAUSED;
}

/* True when all the bytes were taken, and nothing but the message's end stopped the parser. */
static bool
twin_execute(struct h1_twin *twin, const char *bytes, size_t len)
{
    llhttp_errno_t rc = llhttp_execute(&twin->parser, bytes, len);

    if (rc == HPE_OK)
        return true;
    return rc == HPE_PAUSED && twin->message_done &&
           llhttp_get_error_pos(&twin->parser) == bytes + len;
}

static bool
same_start(const struct h1_twin *twin, const struct h1_head *head)
{
    const llhttp_t *parser = &twin->parser;

    if (parser->http_major != 1 || parser->http_minor != head->minor)
        return false;
    if (head->status != 0)
        return parser->status_code == head->status;
    switch (head->method) {
    case H1_GET: return parser->method == HTTP_GET;
    case H1_HEAD: return parser->method == HTTP_HEAD;
    case H1_POST: return parser->method == HTTP_POST;
    case H1_PUT: return parser->method == HTTP_PUT;
    case H1_PATCH: return parser->method == HTTP_PATCH;
    case H1_DELETE: return parser->method == HTTP_DELETE;
    case H1_OPTIONS: return parser->method == HTTP_OPTIONS;
    case H1_METHOD_OTHER:
    case H1_METHOD_COUNT: break;
    }
    switch (parser->method) {
    case HTTP_GET:
    case HTTP_HEAD:
    case HTTP_POST:
    case HTTP_PUT:
    case HTTP_PATCH:
    case HTTP_DELETE:
    case HTTP_OPTIONS:
    case HTTP_CONNECT: return false; /* CONNECT is followed by bytes that are not HTTP */
    default: return true;
    }
}

static bool
same_framing(const struct h1_twin *twin, const struct h1_head *head)
{
    bool length = h1_head_has(head, H1_CONTENT_LENGTH);

    if (((twin->flags & F_CHUNKED) != 0) != h1_head_has(head, H1_TRANSFER_ENCODING) ||
        ((twin->flags & F_CONTENT_LENGTH) != 0) != length ||
        (length && twin->content_length != head->content_length))
        return false;
    /* Without a body both are done with the message. */
    bool empty = head->framing == H1_FRAMING_NONE ||
                 (head->framing == H1_FRAMING_LENGTH && head->content_length == 0);
    return twin->message_done == empty;
}

bool
h1_twin_head(struct h1_twin *twin, struct h1_head *head)
{
    llhttp_init(&twin->parser, head->status ? HTTP_RESPONSE : HTTP_REQUEST, &twin_settings);
    twin->body_bytes = 0;
    twin->header_count = 0;
    twin->head_done = false;
    twin->message_done = false;
    if (!twin_execute(twin, head->base + head->start, head->len - head->start) ||
        !twin->head_done || twin->header_count != head->header_count || !same_start(twin, head) ||
        !same_framing(twin, head))
        return false;
    head->keep_alive = head->keep_alive && twin->keep_alive;
    return true;
}

bool
h1_twin_accepts(struct h1_twin *twin, const uint8_t *bytes, size_t len)
{
    return len == 0 || twin_execute(twin, (const char *)bytes, len);
}

bool
h1_twin_body(struct h1_twin *twin, const uint8_t *bytes, size_t len, uint64_t body_bytes, bool over)
{
    return h1_twin_accepts(twin, bytes, len) && twin->body_bytes == body_bytes &&
           twin->message_done == over;
}
