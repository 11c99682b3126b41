/*
 * Attempts: the candidates of the plan, one after the other, until one answers. A failure before the
 * first byte to the client goes on to the next; a kept connection that turns out to be dead is
 * tried once more afresh, and that counts as the same attempt.
 */
#ifndef WORKER_FORWARD_H
#define WORKER_FORWARD_H

#include "worker/room.h"

/* Admitted: takes the hold (or tries again later, or refuses) and goes on to forward_next(). */
void forward_begin(struct call *call);
/* Tries the present candidate. May end the call. */
void forward_next(struct call *call);
/* The call has waited, and entered this candidate; or none of its candidates is up any more. May end
 * the call. */
void forward_from_queue(struct call *call, uint8_t candidate);
/* The connection stands: sends the request on it. May end the call. */
void forward_connected(struct call *call);
/*
 * The attempt failed before anything reached the client. error is what the client will be told if
 * nobody else can do better. Goes to the next candidate when may_fail_over. May end the call.
 */
void forward_failed(struct call *call, enum record_reason reason, const struct proto_error *error,
                    bool may_fail_over);
/* The same place once more, for a further request of the same attempt. The answer before must have been
 * read whole, and its connection given back. May end the call. */
void forward_again(struct call *call);
/* Is there another candidate, and room for another attempt in number and time? */
bool forward_may_go_on(const struct call *call);
/* The connection was found dead before a byte of an answer: tries a new one if it was a kept one, else
 * fails the attempt. May end the call. */
void forward_broken_kept(struct call *call, const char *text);
/* The credential's secret, as the upstream's protocol shows it. */
void forward_write_auth(const struct call *call, struct h1_out *out);
/* Dialling failed, or the connection broke before an answer. May end the call. */
void forward_conn_failed(struct call *call, const struct conn_error *error);

#endif
