/* What front.c (connections, answers), front_write.c (heads, both ways) and front_refuse.c share. */
#ifndef WORKER_FRONT_IN_H
#define WORKER_FRONT_IN_H

#include "worker/room.h"

/* The request's head, into the worker's head buffer. False: it does not fit. */
bool front_write_request(struct client *c, struct str path, struct str id, struct h1_out *out) MUST_CHECK;
/* The answer's headers that pass, after client_head(). */
void front_write_answer(struct h1_out *out, const struct h1_head *head);
/* Of a request that goes no further: ends its answer. */
void front_send_problem(struct client *c, unsigned status, const char *code, const char *detail, struct str id);
/* It says that nothing was done, and that it is to be asked again on another connection. */
bool front_is_again(const struct h1_head *head);

#endif
