/* What front.c (connections, answers) and front_write.c (heads, both ways) share. */
#ifndef WORKER_FRONT_IN_H
#define WORKER_FRONT_IN_H

#include "worker/room.h"

/* The request's head, into the worker's head buffer. False: it does not fit. */
bool front_write_request(struct client *c, struct str path, struct str id, struct h1_out *out) MUST_CHECK;
/* The answer's headers that pass, after client_head(). */
void front_write_answer(struct h1_out *out, const struct h1_head *head);
/* It says that nothing was done, and that it is to be asked again on another connection. */
bool front_is_again(const struct h1_head *head);

#endif
