#include "worker/request.h"

#include <string.h>

#include "base/str.h"
#include "net/h1_path.h"
#include "worker/auth.h"
#include "worker/call.h"
#include "worker/callid.h"
#include "worker/client.h"
#include "worker/crowd.h"
#include "worker/front.h"
#include "worker/metrics.h"
#include "worker/own.h"
#include "worker/refused.h"
#include "worker/tunnel.h"

/* Bodies up to this are read before a refusal, so that the connection lives on. */
#define BODY_READ_ANYWAY (64u << 10)
#define PATH_MAX_BYTES 4096

/* What is known of a request once its head is read. */
struct request {
    struct proto_what what;
    bool found;                /* what is known */
    bool unknown;              /* the path is well formed, and no endpoint's */
    enum proto_protocol shape; /* of errors */
    struct str path;           /* normalised */
    char path_buf[PATH_MAX_BYTES];
};

/* key: NULL where none is known. */
static void
refuse(struct client *c, const struct request *r, const struct proto_error *error,
       const struct key_slot *key)
{
    char id[CALL_ID_LEN + 1];
    uint8_t bytes[16];

    callid_make(c->worker, bytes, id);
    refused_request(c->worker, &(struct refused){
                                   .call_id = bytes,
                                   .key = key,
                                   .endpoint = r->found ? r->what.endpoint : REFUSAL_NO_ENDPOINT,
                                   .protocol = r->shape,
                                   .status = error_status(error->kind, r->shape)});
    (void)client_send_error(c, r->shape, error, (struct str){id, CALL_ID_LEN}, r->what.allow);
}

static bool
find_endpoint(const struct h1_head *head, struct request *r, struct proto_error *error)
{
    int status = h1_path_normal(h1_head_path(head), r->path_buf, sizeof r->path_buf, &r->path);

    r->what.allow = NULL;
    r->found = r->unknown = false;
    r->shape = PROTO_OPENAI;
    if (status != 0) {
        error_set(error, status == 414 ? ERROR_URI_TOO_LONG : ERROR_BAD_REQUEST, NULL, NULL,
                  "turnpike: the path is malformed");
        return false;
    }
    r->shape = proto_error_shape(r->path);
    switch (proto_endpoint_of(h1_head_method_name(head), r->path, &r->what)) {
    case PROTO_FOUND:
        r->found = true;
        r->shape = proto_is_call(r->what.endpoint) ? proto_of(r->what.endpoint) : r->shape;
        r->what.allow = NULL;
        return true;
    case PROTO_METHOD_NOT_ALLOWED:
        error_set(error, ERROR_METHOD, NULL, NULL, "turnpike: %.*s takes %s",
                  STR_ARGS(r->path), r->what.allow);
        return false;
    case PROTO_WEBSOCKET:
        error_set(error, ERROR_UPGRADE_REQUIRED, NULL, NULL,
                  "turnpike: no WebSocket here; send a POST to %.*s", STR_ARGS(r->path));
        return false;
    case PROTO_NOT_FOUND:
        break;
    }
    r->what.allow = NULL;
    r->unknown = true;
    error_set(error, ERROR_NO_PATH, NULL, NULL, "turnpike: there is no %.*s here",
              STR_ARGS(r->path));
    return false;
}

static bool
needs_key(enum proto_endpoint endpoint)
{
    return endpoint != ENDPOINT_HEALTHZ && endpoint != ENDPOINT_READYZ;
}

/* A body in a coding is not unpacked: it could not be bounded before it is. */
static bool
is_plain(const struct h1_head *head, struct proto_error *error)
{
    for (size_t h = 0; h < head->header_count; h++) {
        struct str value = h1_head_value(head, h);

        if (head->headers[h].known != H1_CONTENT_ENCODING || value.len == 0 ||
            str_eq_nocase(value, STR("identity")))
            continue;
        error_set(error, ERROR_MEDIA_TYPE, NULL, NULL,
                  "turnpike: a body with Content-Encoding '%.*s' is not read; send it as it is",
                  (int)MIN(value.len, 40u), value.ptr);
        return false;
    }
    return true;
}

/* Of a request that takes one: all that its head alone decides. */
static bool
admit(struct client *c, const struct request *r, struct auth *auth, struct proto_error *error)
{
    return auth_check(c, c->req.head, auth, error) &&
           (!proto_is_call(r->what.endpoint) ||
            (auth_may_call(c, auth, error) && is_plain(c->req.head, error)));
}

/* What of the body has still to come, as far as the head says. */
static uint64_t
body_to_come(const struct h1_head *head, size_t next_len)
{
    if (head->framing == H1_FRAMING_LENGTH && head->content_length > next_len)
        return head->content_length;
    return 0;
}

/* Whether the request's call may be taken: before its key is looked at, since what there is no room
 * for should cost little. */
static bool
has_room(struct client *c, const struct request *r, uint64_t body_bytes, struct proto_error *error)
{
    return crowd_takes_request(c, error) && (!proto_is_call(r->what.endpoint) ||
                                             crowd_takes_call(c->worker, body_bytes, error));
}

static bool
has_body(const struct h1_head *head)
{
    return head->framing == H1_FRAMING_CHUNKED ||
           (head->framing == H1_FRAMING_LENGTH && head->content_length > 0);
}

static void
say_continue(struct client *c, size_t next_len)
{
    if (c->req.head->expect_continue && next_len == 0 && conn_write(&c->conn, &H1_CONTINUE, 1) < 0)
        conn_close(&c->conn);
}

void
request_begins(struct client *c, size_t next_len)
{
    const struct h1_head *head = c->req.head;
    struct request r;
    struct proto_error error;
    struct auth auth = {0};
    uint64_t to_come = body_to_come(head, next_len);
    bool large = head->framing == H1_FRAMING_CHUNKED ||
                 to_come > (crowd_is_thick() ? 0 : BODY_READ_ANYWAY);

    if (c->metrics || (!large && !head->expect_continue) || !has_body(head))
        return;
    r.found = find_endpoint(head, &r, &error);
    if (r.unknown && front_takes(head, r.path)) {
        if (front_begins(c, to_come))
            say_continue(c, next_len);
        return;
    }
    if (!r.found ||
        (needs_key(r.what.endpoint) &&
         (!has_room(c, &r, to_come, &error) || !admit(c, &r, &auth, &error)))) {
        c->answering = true;
        client_close_after(c);
        refuse(c, &r, &error, auth.key);
        return;
    }
    say_continue(c, next_len);
}

void
request_take(struct client *c)
{
    const struct h1_head *head = c->req.head;
    struct worker *w = c->worker;
    struct request r;
    struct proto_error error;
    struct auth auth = {0};

    if (c->metrics) {
        metrics_answer(c);
        return;
    }
    if (!find_endpoint(head, &r, &error)) {
        if (r.unknown && front_takes(head, r.path)) {
            front_ask(c, r.path);
            return;
        }
        stat_add(w->stats, STAT_BAD_REQUESTS, 1);
        refuse(c, &r, &error, NULL);
        return;
    }
    if (r.what.endpoint == ENDPOINT_HEALTHZ || r.what.endpoint == ENDPOINT_READYZ) {
        if (c->spare)
            client_close_after(c);
        own_health(c, r.what.endpoint);
        return;
    }
    if (!has_room(c, &r, 0, &error) || !admit(c, &r, &auth, &error)) {
        refuse(c, &r, &error, auth.key);
        return;
    }
    if (r.what.endpoint == ENDPOINT_REALTIME && !tunnel_asked(c, &auth))
        return;
    if (proto_is_call(r.what.endpoint))
        call_start(c, &r.what, &auth);
    else
        own_answer(c, &r.what, r.shape, &auth);
}
