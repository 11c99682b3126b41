/*
 * Mode reserve: what a stream brings waits until the hold that pays for it is on the disk.
 *
 * A stream without a cap of its own lives on one hold after the other. A further one is announced as
 * the first was before the call was sent on; what it pays for is kept, and nothing more read from
 * upstream, until the ledger process says that it is durable. That takes one commit, a handful of
 * times in the longest stream: each further hold is twice the one before.
 *
 * An end of the stream that comes meanwhile waits as well, and takes place after the events before it
 * went out. In the other modes nothing here ever waits.
 */
#ifndef WORKER_STREAM_WAIT_H
#define WORKER_STREAM_WAIT_H

#include "worker/stream.h"

/* What the stream's events so far cost is not paid for by what is durable; a further hold may just have
 * been taken and announced. */
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

/* It is durable: sends what was kept, and does what follows. May end the call. */
void stream_paid(struct call *call);
/* It will not be: what is kept is dropped. Ends the call. */
void stream_wait_over(struct call *call, const struct proto_error *error);

#endif
