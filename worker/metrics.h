/*
 * GET /metrics on its own listener: Prometheus text of what all workers share. Sent piece by piece, one
 * a turn of the loop, so that thousands of lines hold up no call; what the peer does not take is waited
 * for, and not written before.
 */
#ifndef WORKER_METRICS_H
#define WORKER_METRICS_H

#include "worker/room.h"

void metrics_answer(struct client *client);
/* The client took what was pending. */
void metrics_drained(struct client *client);
/* The client is gone: nothing works for it any more. */
void metrics_client_gone(struct client *client);

#endif
