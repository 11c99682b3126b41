/*
 * What a stream brings waits for the hold that pays for it.
 *
 * A stream without a cap of its own lives on one hold after the other. In mode reserve a further one
 * is announced as the first was before the call was sent on; what it pays for is kept, and nothing
 * more read from upstream, until the ledger process says that it is durable. That takes one commit, a
 * handful of times in the longest stream: each further hold is twice the one before.
 *
 * In every mode it waits when a further hold cannot be taken at the moment, since a recount has frozen
 * the account or no slot is free: as long as a new call would, then it ends with an error event.
 *
 * An end of the stream that comes meanwhile waits as well, and takes place after the events before it
 * went out.
 */
#ifndef WORKER_STREAM_WAIT_H
#define WORKER_STREAM_WAIT_H

#include "worker/stream.h"

/* What the stream's events so far cost is not paid for yet, but may be soon; a further hold may just
 * have been taken and announced. */
bool stream_unpaid(struct call *call);

/* Keeps what is gathered for the next flush. False when the call is over or has moved on. */
bool stream_keep(struct call *call, struct gather *gather);
/* Keeps it, and waits (CALL_EXTEND_WAIT). False when the call is over or has moved on. */
bool stream_wait(struct call *call, struct gather *gather);
/* The same at the stream's end, of which last and mark are the final piece. May end the call. */
void stream_wait_complete(struct call *call, struct gather *gather, struct str last,
                          struct str mark);
/* While it waits: the stream is broken, and ends so when what is kept went out. */
void stream_wait_broken(struct call *call, enum record_reason reason,
                        const struct proto_error *error);

/* While it waits: is it paid for by now? Then sends what was kept, and does what follows; else waits
 * on. May end the call. */
void stream_wait_again(struct call *call);
/* It will not be: what is kept is dropped. Ends the call. */
void stream_wait_over(struct call *call, const struct proto_error *error);

#endif
