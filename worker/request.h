/* From a parsed HTTP request to whoever answers it: a call, or one of the gateway's own pages. */
#ifndef WORKER_REQUEST_H
#define WORKER_REQUEST_H

#include "worker/room.h"

/*
 * The head stands and a body may follow, of which next_len bytes are here already. Refuses at once
 * what would only be refused after a long body; says "100 Continue" where it was asked for.
 */
void request_begins(struct client *client, size_t next_len);
/* The request is whole: answers it or begins a call. The client is answering. */
void request_take(struct client *client);

#endif
