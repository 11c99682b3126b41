/*
 * Calls that are refused before they have a hold: no record tells of them, so a line in our table's ring does
 * (shm/refusal.h), for those who watch. A handful of stores; nothing on the way of a call that is served.
 */
#ifndef WORKER_REFUSED_H
#define WORKER_REFUSED_H

#include "worker/auth.h"
#include "worker/room.h"

/* It is about to be answered with this status. */
void refused_call(const struct call *call, unsigned status);

/* A request that did not get as far as being a call. */
struct refused {
    const uint8_t *call_id;
    const struct key_slot *key; /* NULL: none that we know */
    unsigned endpoint, protocol, status; /* endpoint REFUSAL_NO_ENDPOINT */
};
void refused_request(struct worker *w, const struct refused *refused);

#endif
