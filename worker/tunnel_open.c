#include "worker/tunnel.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "proto/headers.h"
#include "worker/call.h"
#include "worker/callid.h"
#include "worker/client.h"
#include "worker/feed.h"
#include "worker/forward.h"
#include "worker/relay.h"
#include "worker/refused.h"
#include "worker/settle.h"
#include "worker/trace.h"
#include "worker/uconn.h"

/* ---- the client's request ---- */

static void
refuse(struct client *c, const struct auth *auth, enum ws_asked asked, const char *reason)
{
    struct proto_error error;
    struct h1_out out;
    struct buf body;
    char id[CALL_ID_LEN + 1];
    uint8_t bytes[16];

    if (asked == WS_ASKED_BADLY)
        error_set(&error, ERROR_BAD_REQUEST, NULL, NULL, "turnpike: %s", reason);
    else
        error_set(&error, ERROR_UPGRADE_REQUIRED, NULL, NULL,
                  "turnpike: this is a WebSocket's place: ask for an upgrade, version 13");
    stat_add(c->worker->stats, STAT_BAD_REQUESTS, 1);
    callid_make(c->worker, bytes, id);
    refused_request(c->worker, &(struct refused){.call_id = bytes,
                                                 .key = auth->key,
                                                 .endpoint = ENDPOINT_REALTIME,
                                                 .protocol = PROTO_OPENAI,
                                                 .status = error_status(error.kind, PROTO_OPENAI)});
    buf_init(&body, 16u << 10);
    error_write_body(&body, PROTO_OPENAI, &error, (struct str){id, CALL_ID_LEN});
    client_head(c, &out, error_status(error.kind, PROTO_OPENAI), (struct str){id, CALL_ID_LEN});
    client_error_lines(&out, &error);
    if (asked != WS_ASKED_BADLY) {
        h1_out_own(&out, "upgrade: ", STR("websocket"));
        h1_out_own(&out, "sec-websocket-version: ", STR("13"));
    }
    (void)client_send_whole(c, &out, buf_str(&body));
    buf_free(&body);
}

bool
tunnel_asked(struct client *client, const struct auth *auth)
{
    char accept[WS_ACCEPT_LEN + 1];
    const char *reason;
    enum ws_asked asked = ws_asked(client->req.head, accept, &reason);

    if (asked != WS_ASKED)
        refuse(client, auth, asked, reason);
    return asked == WS_ASKED;
}

bool
tunnel_ask(struct call *call, struct proto_error *error)
{
    const struct h1_head *head = call->client->req.head;
    const struct conf_limits *limits = call->worker->limits;
    struct tunnel *t = calloc(1, sizeof *t);
    const char *reason;

    if (t == NULL) {
        error_set(error, ERROR_UNAVAILABLE, NULL, NULL, "The gateway is out of memory.");
        error->retry_after_s = 1;
        return false;
    }
    call->tunnel = t;
    realtime_init(&t->meter, limits->event_bytes);
    ws_init(&t->from_client, true, limits->message_bytes);
    ws_init(&t->from_upstream, false, limits->message_bytes);
    (void)ws_asked(head, t->accept, &reason); /* it was as it should be before */
    t->offers_realtime = ws_offers(head, STR("realtime"));
    t->offers_beta = ws_offers(head, STR("openai-beta.realtime-v1"));
    return realtime_ask(call->query, &call->arena, &call->ask, error);
}

void
tunnel_free(struct call *call)
{
    if (call->tunnel == NULL)
        return;
    realtime_free(&call->tunnel->meter);
    free(call->tunnel);
    call->tunnel = NULL;
}

/* The tier of a price is by the context of a request; of a session there is only the sum. */
bool
tunnel_priced(const struct call *call, struct proto_error *error)
{
    for (size_t i = 0; i < call->plan->candidate_count; i++) {
        if (call->plan->candidates[i].price.model->tier_count == 0)
            continue;
        error_set(error, ERROR_BAD_REQUEST, "model", NULL,
                  "turnpike: the model's prices depend on the context of a request, which a "
                  "realtime session has none of");
        return false;
    }
    return true;
}

/* ---- the upstream's ---- */

static void
write_client_headers(const struct call *call, struct h1_out *out)
{
    const struct h1_head *head = call->client->req.head;
    bool traced = call->worker->conf->telemetry.on;

    for (size_t i = 0; i < head->header_count; i++)
        if (head->headers[i].known != H1_CONTENT_TYPE &&
            head->headers[i].known != H1_IDEMPOTENCY_KEY &&
            headers_go_up(PROTO_OPENAI, h1_head_name(head, i)) &&
            !(traced && trace_replaces(call, head, i)))
            h1_out_copy(out, h1_head_name(head, i), head, i);
    if (call->tunnel->offers_beta && !h1_head_has(head, H1_OPENAI_BETA))
        h1_out_own(out, "openai-beta: ", STR("realtime=v1"));
    if (traced)
        trace_head_lines(call, out);
}

static bool
write_head(const struct call *call, struct h1_out *out)
{
    const struct conf_upstream *upstream = call_upstream(call);
    struct h1_target target = {.prefix = upstream->base_path,
                               .path = proto_upstream_path(ENDPOINT_REALTIME)};
    char query[3 * CONF_MODEL_NAME_LEN_MAX + 16];

    target.query = realtime_query(call->at->model_sent, query,
                                  sizeof query);
    if (target.query.ptr == NULL)
        return false;
    h1_out_init(out, call->worker->head_buf, HEAD_BYTES_MAX);
    h1_out_request(out, STR("GET"), target, upstream->authority);
    h1_out_own(out, "connection: ", STR("Upgrade"));
    h1_out_own(out, "upgrade: ", STR("websocket"));
    h1_out_own(out, "sec-websocket-version: ", STR("13"));
    h1_out_own(out, "sec-websocket-key: ", (struct str){call->tunnel->key, WS_KEY_LEN});
    write_client_headers(call, out);
    forward_write_auth(call, out);
    h1_out_own(out, "x-request-id: ", (struct str){call->id_text, CALL_ID_LEN});
    return h1_out_end(out);
}

void
tunnel_connected(struct call *call)
{
    struct proto_error error;
    struct h1_out out;
    struct str part;

    ASSERT(call->uconn != NULL && call->client != NULL);
    ws_key_make(call->tunnel->key);
    if (!write_head(call, &out)) {
        error_set(&error, ERROR_BAD_REQUEST, NULL, NULL,
                  "turnpike: the request's headers cannot be passed on");
        forward_failed(call, REASON_NO_CONNECTION, &error, false);
        return;
    }
    part = (struct str){out.ptr, out.len};
    if (conn_write(&call->uconn->conn, &part, 1) < 0) {
        forward_broken_kept(call, "write failed");
        return;
    }
    call->uconn->res.may_switch = true;
    call_set_state(call, CALL_SENT);
    call_set_timer(call, call_upstream(call)->first_byte_ms);
}

/* ---- the two answers ---- */

/* A client waits for its 101 before it sends a frame (RFC 6455 §4.1); what came before it may be
 * another request of somebody else's making. */
static bool
sent_too_early(struct call *call)
{
    struct proto_error error;

    if (!h1_req_has_stash(&call->client->req))
        return false;
    error_set(&error, ERROR_BAD_REQUEST, NULL, NULL,
              "turnpike: bytes came before the WebSocket was open");
    settle_attempt(call, REASON_NONE, call->upstream_status);
    client_close_after(call->client);
    call_fail(call, &error);
    return true;
}

static bool
send_101(struct call *call)
{
    struct client *client = call->client;
    const struct tunnel *t = call->tunnel;
    struct h1_out out;

    client_head(client, &out, 101, (struct str){call->id_text, CALL_ID_LEN});
    h1_out_own(&out, "connection: ", STR("Upgrade"));
    h1_out_own(&out, "upgrade: ", STR("websocket"));
    h1_out_own(&out, "sec-websocket-accept: ", (struct str){t->accept, WS_ACCEPT_LEN});
    if (t->offers_realtime)
        h1_out_own(&out, "sec-websocket-protocol: ", STR("realtime"));
    h1_out_lines(&out, call->down_lines);
    call_head_lines(call, &out, STR_NONE);
    return client_send_switch(client, &out);
}

void
tunnel_answered(struct uconn *uc)
{
    struct call *call = uc->call;
    const char *why = "did not switch to a WebSocket";
    bool sent;

    if (uc->res.status != 101 || !ws_answered(uc->res.head, call->tunnel->key, &why)) {
        relay_failed(call, REASON_BAD_ANSWER, ERROR_UPSTREAM_FAILED, why);
        return;
    }
    if (sent_too_early(call))
        return;
    call_set_state(call, CALL_TUNNEL);
    settle_attempt(call, REASON_NONE, 101);
    feed_ok(call);
    sent = send_101(call);
    call->head_sent = true;
    /* No other candidate can be tried any more. */
    call_forget_request(call);
    h1_req_next(&call->client->req);
    h1_res_end(&uc->res);
    if (!sent) {
        call_client_gone(call);
        return;
    }
    tunnel_begin(call);
}
