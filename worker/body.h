/* What a request asks for, read from its body by what its endpoint takes: JSON, a form, or nothing. */
#ifndef WORKER_BODY_H
#define WORKER_BODY_H

#include "worker/room.h"

/* Fills in call->ask, and what else its endpoint needs. False with *error when it is not what that
 * takes. */
bool body_read(struct call *call, const struct proto_what *what,
               struct proto_error *error) MUST_CHECK;

#endif
