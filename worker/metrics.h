/* GET /metrics on its own listener: Prometheus text of the counters that all workers share. */
#ifndef WORKER_METRICS_H
#define WORKER_METRICS_H

#include "worker/room.h"

void metrics_answer(struct client *client);

#endif
