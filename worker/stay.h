/* Sending a conversation's next turn where its last one went: provider's caches are there. */
#ifndef WORKER_STAY_H
#define WORKER_STAY_H

#include "worker/room.h"
#include "worker/settle.h"

/* Finds out which conversation the call belongs to, and where that was served last. False: nothing is
 * known of it. */
bool stay_find(struct call *call, struct route_affinity *out) MUST_CHECK;
/* The call was served: so will be its conversation's next turn. */
void stay_keep(const struct call *call, const struct settle_end *end);

#endif
