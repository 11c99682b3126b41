/*
 * A whole answer: collected, understood, settled, and then sent. Also what an upstream that says no sends
 * along, which is an error of the client's or the next candidate's chance. See worker/relay.h.
 */
#ifndef WORKER_WHOLE_H
#define WORKER_WHOLE_H

#include "worker/room.h"

/* Pieces of it. What comes in one piece with its end need not be taken. False when the call is over or has
 * moved to another candidate. */
bool whole_take(struct call *call, const struct h1_res_out *out) MUST_CHECK;
/* It is there. Ends the call, moves it to another candidate, or waits until the charge is durable. */
void whole_done(struct call *call, struct str body);
/* Of a call for files or batches: what the client gets, which nobody has to report the use of. The same. */
void whole_kept(struct call *call, struct str body);
/* A stream that was collected for a client that wants a whole answer came to its end. The same. */
void whole_collected(struct call *call);
/* Mode strict: the charge is durable; sends what waits for it and ends the call. */
void whole_committed(struct call *call, int64_t charge_ucr, struct str model);

#endif
