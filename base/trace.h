/*
 * W3C Trace Context, level 1: which trace a call is part of. The header traceparent is
 * VERSION-TRACE ID-PARENT ID-FLAGS in lower-case hex.
 *
 * A call's spans have IDs that follow from the call's own ID, so nothing has to be kept or handed on for
 * them: who sends the request upstream and who exports the span come to the same. Pure functions.
 */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include "base/base.h"

#define TRACE_ID_BYTES 16
#define TRACE_SPAN_BYTES 8
#define TRACE_PARENT_LEN 55
#define TRACE_SAMPLED 1u /* of the flags */

struct trace_parent {
    uint8_t trace_id[TRACE_ID_BYTES];
    uint8_t span_id[TRACE_SPAN_BYTES];
    uint8_t flags;
};

/* False when it is malformed, or of zeroes: then it is as if there were none. */
bool trace_parse(struct str text, struct trace_parent *out) MUST_CHECK;
/* As a header's value of version 00, NUL-terminated. */
void trace_text(const struct trace_parent *parent, char out[TRACE_PARENT_LEN + 1]);

/* The span of a call's own (n 0), or of its n-th attempt. Never all zero. */
void trace_span_id(const uint8_t call_id[16], unsigned n, uint8_t out[TRACE_SPAN_BYTES]);
/* Is the call in a sample of so many millionths? seed: what is random in its ID. */
bool trace_sampled(uint64_t seed, uint32_t sample_u);

#endif
