/*
 * The trace that a call is part of, when routes.conf has a collector (section telemetry): its caller's,
 * when that sent a traceparent, or one of its own, whose ID is the call's. What the upstream gets names the
 * attempt's span as its parent; IDs of spans follow from the call's (base/trace.h). Called only where there is a
 * collector; else headers pass as they came.
 */
#ifndef WORKER_TRACE_H
#define WORKER_TRACE_H

#include "worker/room.h"

/* The call has its hold: notes in the record what whoever exports its spans must know. */
void trace_begin(const struct call *call);
/* Of a header of the client's: is it left out, since trace_head_lines() writes it, or it is of no use? */
bool trace_replaces(const struct call *call, const struct h1_head *head, size_t idx);
/* The headers of the attempt that is about to be sent. */
void trace_head_lines(const struct call *call, struct h1_out *out);

#endif
