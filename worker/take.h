/* The hold of a call: how much it can come to, and taking that. */
#ifndef WORKER_TAKE_H
#define WORKER_TAKE_H

#include "worker/room.h"

/* Puts the bounds of tokens into the call, for the candidate that it is at. */
void take_bounds(struct call *call);
/* A hold question for more of what the call's first hold was for: its account and its budgets, whatever has become of
 * the key since. */
struct hold_ask take_ask_more(const struct call *call, int64_t amount_ucr);
/* Takes the call's first hold, into call->slot; *ask is what was asked for last. */
enum hold_result take_hold(struct call *call, struct hold_ask *ask) MUST_CHECK;
/* What the client is told when it could not be taken. */
void take_error(enum hold_result result, const struct hold_ask *ask, struct proto_error *error);

#endif
