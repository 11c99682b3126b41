/*
 * Active probes: a tiny request to an upstream every so often (`probe` in routes.conf), by whichever
 * worker of the machine comes first, so that what fails is known before a call meets it and what
 * is well again before one has to try. A probe belongs to no tenant: no hold, no record, no usage.
 */
#ifndef WORKER_PROBE_H
#define WORKER_PROBE_H

#include "worker/room.h"

struct probe;

/* One for the pool of an upstream that is probed. NULL when out of memory. */
struct probe *probe_new(struct pool *pool) MUST_CHECK;
/* Looks which probes are due; called about once a second. */
void probe_tick(struct worker *w);
/* Gives up what is under way: the worker is draining. */
void probe_stop(struct worker *w);

#endif
