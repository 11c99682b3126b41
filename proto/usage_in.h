/* How counts in reports of usage are read. Private to this room. */
#ifndef PROTO_USAGE_IN_H
#define PROTO_USAGE_IN_H

#include "base/base.h"
#include "base/js.h"

/* A count that may be left out or null (then 0), but not be anything else. */
bool MUST_CHECK usage_read_optional(struct js_value value, uint32_t *out);
/* The same for what may be a fraction: every one that has begun counts. */
bool MUST_CHECK usage_read_rounded_up(struct js_value value, uint32_t *out);

#endif
