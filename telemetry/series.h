/*
 * Metrics: histograms and sums of calls by what they are, cumulative since the process began, as
 * ExportMetricsServiceRequest of OTLP in its JSON. Bounded: what comes beyond SERIES_MAX kinds of call is one
 * series with otel.metric.overflow.
 */
#ifndef TELEMETRY_SERIES_H
#define TELEMETRY_SERIES_H

#include "base/base.h"
#include "base/buf.h"
#include "telemetry/span.h"

#define SERIES_MAX 512u

struct series_set;

struct series_set *series_new(int64_t start_wall_us);
void series_free(struct series_set **set);
/* A call that reached an upstream; others are passed over, since they are of no provider. */
void series_add(struct series_set *set, const struct teller *teller, const struct call_event *event);
/* dropped: calls whose spans were not sent. */
bool series_write(const struct series_set *set, const struct teller *teller, uint64_t dropped,
                  int64_t now_wall_us, struct buf *out) MUST_CHECK;

#endif
