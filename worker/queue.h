/*
 * Calls for which all that could serve them is at its provider's limits, and nothing worse: they wait,
 * a bounded number a worker and for a bounded time, and take turns by tenant (worker/turns.h). Their
 * hold is taken already: what they may cost is set aside, and comes back whole when nothing comes of
 * it. Among workers what becomes free goes by lot (worker/limit.c).
 */
#ifndef WORKER_QUEUE_H
#define WORKER_QUEUE_H

#include "worker/room.h"

int queue_init(struct worker *w) MUST_CHECK;

/* The candidates from the one that the call is at are full or out, and not all out. May end the call,
 * and others with it. */
void queue_join(struct call *call);
/* The call waits no more; safe when it does not wait. Nothing else is done about it. */
void queue_leave(struct call *call);
/* It has waited long enough: its client is told to come again. Ends the call. */
void queue_timed_out(struct call *call);

/* A call of this worker has left room that others wait for. They are looked at in the next turn. */
void queue_room_left(struct worker *w);
/* The server stops: nobody is kept waiting. */
void queue_drain(struct worker *w);

#endif
