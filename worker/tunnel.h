/*
 * Realtime: a call whose two connections become WebSockets, and a tunnel between them.
 *
 *     tunnel_open.c   both handshakes, up to the client's 101
 *     tunnel.c        the open tunnel: frames, deadlines
 *     tunnel_end.c    its ends: who is told what, one settlement
 *     tunnel_pay.c    what it comes to
 *
 * A tunnel is admitted, routed and held for as any call is, and the client has its 101 only when an
 * upstream has given its own: until then any failure is the next candidate's chance, and the
 * client's answer is plain HTTP. From then on frames pass byte for byte in both directions (a
 * frame's mask is in the frame), once their heads were read and found good; one that breaks the
 * rules of RFC 6455 ends the tunnel, and nothing of it passes.
 *
 * Of the upstream's messages each response's usage is added up, progress and hold follow it, and
 * between two reports the estimate of proto/realtime.h does. A hold that cannot grow ends the
 * tunnel, with an error event where one may stand.
 *
 * However it ends, it is settled once, by tunnel_end() or, when the client is gone, by
 * tunnel_settle_gone(). The client never gets a close frame that says all went well unless the
 * upstream sent that. An upstream's connection that was a tunnel is not used again.
 */
#ifndef WORKER_TUNNEL_H
#define WORKER_TUNNEL_H

#include "net/ws.h"
#include "net/ws_shake.h"
#include "proto/realtime.h"
#include "worker/auth.h"
#include "worker/room.h"

struct tunnel {
    struct ws from_client, from_upstream;
    struct realtime meter;
    struct usage sum;        /* of the responses that are over */
    struct usage bad;        /* a report that cannot be believed, for the record */
    uint64_t tokens_counted; /* in the minutes of the key and the credential */
    uint64_t client_bytes;
    uint64_t heard_ms;    /* anything from either side, in net_now_ms() */
    uint64_t upstream_ms; /* anything from the upstream */
    bool estimated;       /* of some response nothing usable was reported */
    bool client_closed;   /* its close frame has passed */
    bool offers_realtime; /* the subprotocol of that name */
    bool offers_beta;     /* openai-beta.realtime-v1, which stands for a header */
    char accept[WS_ACCEPT_LEN + 1]; /* what the client's 101 has to say */
    char key[WS_KEY_LEN + 1];       /* that the upstream was sent */
};

/* ---- tunnel_open.c ---- */

/* Does the client ask for a WebSocket as it must? If not it was answered. */
bool tunnel_asked(struct client *client, const struct auth *auth) MUST_CHECK;
/* In place of a body: what is asked for. False with *error. */
bool tunnel_ask(struct call *call, struct proto_error *error) MUST_CHECK;
/* Once there is a plan: can such sessions be priced? False with *error. */
bool tunnel_priced(const struct call *call, struct proto_error *error) MUST_CHECK;
/* There is a connection: sends the request for a WebSocket. May end the call. */
void tunnel_connected(struct call *call);
/* The upstream's head with a status below 300 stands. May end the call, or move it on. */
void tunnel_answered(struct uconn *uc);
void tunnel_free(struct call *call);

/* ---- tunnel.c ---- */

static inline bool
tunnel_is_open(const struct call *call)
{
    return call->state == CALL_TUNNEL || call->state == CALL_TUNNEL_WAIT;
}

/* Both have their 101. */
void tunnel_begin(struct call *call);
/* All of these may end the call. */
void tunnel_from_upstream(struct call *call, const uint8_t *bytes, size_t len);
void tunnel_from_client(struct call *call, const uint8_t *bytes, size_t len);
void tunnel_upstream_gone(struct call *call, const char *why, bool early_end);
void tunnel_upstream_drained(struct call *call);
void tunnel_client_drained(struct call *call);
void tunnel_timed_out(struct call *call, bool over);
/* The hold that was waited for may have come. */
void tunnel_wait_again(struct call *call);
/* Stopping: sessions in which no response is under way end at once, others with it, and all when
 * draining has taken too long. A reload lets them go on until then. */
void tunnel_drain(struct worker *w);
void tunnel_cancelled(struct call *call);

/* ---- tunnel_end.c ---- */

static inline bool
tunnel_under_way(const struct call *call)
{
    return call->tunnel->meter.under_way > 0;
}

struct tunnel_ending {
    enum record_outcome outcome;
    enum record_reason reason; /* what the upstream is to blame for; NONE */
    /* Of our close frames; 0: both get the one that the upstream sent. */
    unsigned client_code, upstream_code;
    const char *text;                /* in them, and in the log */
    const struct proto_error *error; /* for an event before it; NULL none */
};
/* Settles, tells both sides, and ends the call; in mode strict the client hears of it later. */
void tunnel_end(struct call *call, const struct tunnel_ending *how);
/* The upstream, or what it sent, is at fault. */
void tunnel_end_cut(struct call *call, enum record_reason reason, unsigned upstream_code,
                    const char *text);
/* Ours, and nobody's fault. */
void tunnel_end_going_away(struct call *call, const char *text);
void tunnel_end_unpaid(struct call *call);
void tunnel_end_books_busy(struct call *call);
void tunnel_end_other_model(struct call *call);
/* Mode strict: the charge is durable. */
void tunnel_committed(struct call *call);

/* ---- tunnel_pay.c ---- */

enum tunnel_paid {
    TUNNEL_PAID = 0,
    TUNNEL_PAID_SOON, /* see SETTLE_PAID_SOON */
    TUNNEL_UNPAID,
};
/* A message of the upstream's that may have changed what the tunnel comes to: counts it, and raises
 * progress. */
enum tunnel_paid tunnel_pay(struct call *call, enum realtime_kind kind) MUST_CHECK;
/* Without a new message. */
enum tunnel_paid tunnel_pay_again(struct call *call) MUST_CHECK;
int64_t tunnel_settle(struct call *call, enum record_outcome outcome);
/* The client is gone; the call is held. */
void tunnel_settle_gone(struct call *call);

#endif
