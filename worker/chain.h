/*
 * Limits over the chain: requests and tokens a minute and calls at a time, of the key, its member, its
 * project and its tenant, in this order. All let the call in, or what the earlier ones took is given back
 * in reverse. A limit in shadow mode never refuses; that it would have is counted, and noted in the call's
 * record.
 *
 * Of a key that stands alone all is in its slot and in the call; a call with quotas beside it has a struct
 * call_chain, until it ends.
 */
#ifndef WORKER_CHAIN_H
#define WORKER_CHAIN_H

#include "worker/room.h"

/* False with *error, which says whose limit it is and which, and when to come again. */
bool MUST_CHECK chain_admit(struct call *call, const struct account *account,
                            struct proto_error *error);

/* What the call used, in place of what was guessed; may come several times. 0: it was never served. */
void chain_tokens(struct call *call, uint64_t tokens);
/* Nothing better is known: the guess stands; or it was counted. */
void chain_keep_guess(struct call *call);
/* Not in flight any more. */
void chain_leave(struct call *call);
/* The call ends; what was never served used nothing. */
void chain_end(struct call *call);

/* For the call's record: enum record_flag. */
uint32_t chain_record_flags(const struct call *call);
/* A budget in shadow mode would have refused. */
void chain_shadowed(struct call *call, enum stat_counter stat);

#endif
