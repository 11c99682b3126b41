/*
 * Calls as spans: ExportTraceServiceRequest of OTLP, in its JSON. A call is a span of kind SERVER, each attempt
 * a child of it of kind CLIENT, which is what the upstream got as its parent (worker/trace.h). Tokens and charge
 * stand in the call's alone, so that sums over spans count them once. Pure: bytes out.
 */
#ifndef TELEMETRY_SPAN_H
#define TELEMETRY_SPAN_H

#include "base/base.h"
#include "base/buf.h"
#include "base/jw.h"
#include "telemetry/call.h"

struct teller { /* what all that is told has in common */
    const struct region *region;
    struct providers providers;
    const char *const *endpoint_name;
    size_t endpoint_name_count;
    char service[129];
    char instance[33]; /* of this process, random */
};

/* Of these calls, those that are traced. False: *out could not grow. */
bool spans_write(const struct teller *teller, const struct call_event *events, size_t count,
                 struct buf *out) MUST_CHECK;

/* ---- for the room ---- */

const char *teller_endpoint(const struct teller *teller, const struct call_event *event); /* or NULL */
/* Of an upstream by its name id. */
const struct provider *teller_provider(const struct teller *teller, uint16_t upstream);
/* "resource" and "scope": the one is open in *jw before and after, an object. */
void teller_resource(const struct teller *teller, struct jw *jw);
void teller_scope(struct jw *jw);
/* Members of an array of attributes. */
void attribute_str(struct jw *jw, const char *key, struct str value);
void attribute_u64(struct jw *jw, const char *key, uint64_t value);
/* Seconds of microseconds, exactly. */
void jw_seconds(struct jw *jw, uint64_t us);

#endif
