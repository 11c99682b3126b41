/*
 * Idempotency-Key: a request that is sent again under the same key is not served again.
 *
 * What is remembered is the call, not its answer: content is never kept. So a repeated request gets
 * an error that names the call that it repeats. A call that ended without an answer and without a
 * charge gives its key back: repeating it is what the client is for.
 *
 * Calls without the header have call->idem.entry NULL, and nothing here is asked for them.
 */
#ifndef WORKER_IDEM_H
#define WORKER_IDEM_H

#include "worker/room.h"

/*
 * The request has the header, and its call is admitted but for the hold: takes the key. False with
 * *error, and headers for the client in call->down_lines: the key is malformed (400), with a call
 * that runs (409) or is finished (409), or of another request (422); or there is no place (503).
 */
bool idem_begin(struct call *call, struct proto_error *error) MUST_CHECK;

/* The call was settled: its key stays taken if it was charged or answered, else it is free. */
void idem_settled(struct call *call, enum record_outcome outcome, int64_t charge_ucr);

#endif
