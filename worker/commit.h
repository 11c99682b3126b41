/*
 * The commit point of a stream: up to it any failure is the next candidate's chance, from it on the
 * client has its 200 and the answer is this upstream's, for better or worse.
 *
 * An upstream that has sent a head, a role or the frame of a message has promised nothing: it may
 * still say that it is overloaded, name another model, or end. So what has come is held back (in
 * call->body, which is given back at the commit: an open stream costs nothing more for it) until
 * the meter has seen content. It is not held for ever: when limits.commit-bytes or
 * limits.commit-time is passed before any content the client gets what there is.
 *
 * Also here: is it the model that was asked for; and what a try that failed may have cost the
 * operator, whom the provider may bill for what no customer pays.
 */
#ifndef WORKER_COMMIT_H
#define WORKER_COMMIT_H

#include "worker/room.h"
#include "worker/stream.h"

/* The client has no head yet: holds what is gathered, or commits and sends all. False when the call
 * is over or has moved to another candidate. */
bool commit_flush(struct call *call, struct gather *gather);
/* The stream came to its end uncommitted: fails an empty one, commits any other. False as above. */
bool commit_at_end(struct call *call, struct gather *gather);
/* How long the upstream may now be silent before something has to be done: to give up, or to
 * commit. */
uint64_t commit_wait_ms(struct call *call);
/* That time is over: is it the commit's? Then commits, and may end the call. */
bool commit_timed_out(struct call *call);

/* Does the upstream answer with the model that was asked of it? Also true when it does not say, or
 * when its section has check-model = false. */
bool commit_is_model(const struct call *call, struct str reported);
/* It does not, and nothing has reached the client. May end the call. */
void commit_other_model(struct call *call, struct str reported);
/* The stream is over, and was sent: flags it when another model was named on the way. */
void commit_flag_model(struct call *call);

/* The try under way failed: records what it may have cost the operator, once. */
void commit_operator_cost(struct call *call, const struct price_count *count);

#endif
