/*
 * A call, from an authenticated request to its settled hold.
 *
 *     call.c     admission: limits, route, hold; the states; the end
 *     body.c     what the request asks for
 *     take.c     the hold: how much, and taking it
 *     choose.c   what of routes.conf the call and its key ask for
 *     idem.c     what a request with an Idempotency-Key repeats
 *     settle.c   what it costs, and the record it leaves
 *     forward.c  attempts: choice of upstream, sending, failing over
 *     relay.c    the answer: read whole or relayed event by event
 *     kept.c     files and batches: whose they are
 *     tunnel.c   realtime's, which is a WebSocket
 *
 * A call that took a hold is settled exactly once, in settle_call(), whatever becomes of client and
 * upstream. Functions that may end the call say so; after them the pointer is not to be used.
 */
#ifndef WORKER_CALL_H
#define WORKER_CALL_H

#include "worker/auth.h"
#include "worker/room.h"

/* The client's request is whole: admits it and sends it on, or answers why not. */
void call_start(struct client *client, const struct proto_what *what, const struct auth *auth);

/* The second half of it, from the choice of the model on. extra: the key's, as of now. */
void call_admit(struct call *call, const struct key_extra *extra);

void call_set_state(struct call *call, enum call_state next);

/* Ends what may still be going on and frees it. It must be settled, and the client detached. */
void call_end(struct call *call);

/* The client is gone: cancels upstream, settles, ends the call. */
void call_client_gone(struct call *call);
/* The client took what was pending: reads on from upstream. */
void call_client_drained(struct call *call);
/* Takes the client from the call, to send it the answer's end. NULL when it is gone. */
struct client *call_detach_client(struct call *call);
/* Answers an error of admission, before there is a hold; ends the call. */
void call_refuse(struct call *call, const struct proto_error *error);
/* Settles at 0 and answers an error; ends the call. */
void call_fail(struct call *call, const struct proto_error *error);

/* Headers that tell what served the call: x-turnpike-channel, -upstream, -model. */
void call_head_lines(const struct call *call, struct h1_out *out, struct str model_reported);

/* What to tell the client should nobody do better (call->last_error). */
void call_keep_error(struct call *call, const struct proto_error *error);
/* The request's bytes are needed no more: no further attempt can be made. */
void call_forget_request(struct call *call);

/* The ledger process has committed something: looks which waiting calls may go on. */
void call_look_at_waiting(struct worker *w);
/* Draining took too long: ends every stream with an error event. */
void call_end_all(struct worker *w);

/* A hold could not be taken at the moment: sets the timer for another try. False after too many. */
bool call_try_again(struct call *call) MUST_CHECK;

/* Moves the call's timer, but never past the call's own deadline. */
void call_set_timer(struct call *call, uint64_t ms);

const struct conf_upstream *call_upstream(const struct call *call);
struct pool *call_pool(const struct call *call);
/* Of a candidate of the plan. */
struct credential *call_credential(const struct call *call, uint8_t candidate);
/* What the candidate that the call is at costs, and in which channel. */
const struct price *call_price(const struct call *call);
const struct conf_channel *call_channel(const struct call *call);

/* Goes to another candidate of the plan: its price, its bounds. The call has a hold. */
void call_set_candidate(struct call *call, uint8_t candidate);

#endif
