/*
 * telemetry: traces and metrics for OpenTelemetry, in a process of its own, where routes.conf has a
 * collector (section telemetry).
 *
 * It is told of calls that are over by the ledger process, over a socket whose ends the master keeps, so that
 * each of the two can be replaced. It sends them on as OTLP over HTTP, in JSON: a span for each call and a child of
 * it for each attempt, for those that are traced, and metrics of all. It promises: whoever is slow or
 * away, nobody waits for it; what it has to drop is counted and said; it never has content, nor any secret
 * but the collector's headers. It knows no store, no clients, no upstreams but by name.
 *
 * A process of its own, since network input and output belong on no loop that serves calls or commits them; and
 * libcurl, which nobody else needs, is loaded by it alone (telemetry/http.h).
 *
 *     telemetry/telemetry.h  this: the process's entry
 *     telemetry/telemetry.c  its loop: what comes in, what goes out, and when
 *     telemetry/call.h       what a call is in OpenTelemetry's words
 *     telemetry/span.h       calls as spans, in OTLP's JSON
 *     telemetry/series.h     histograms and sums of them, and how they are told
 *     telemetry/http.h       sending a document, again until it is taken
 */
#ifndef TELEMETRY_TELEMETRY_H
#define TELEMETRY_TELEMETRY_H

#include "base/base.h"
#include "base/log.h"
#include "conf/conf.h"
#include "shm/region.h"

struct telemetry_inherit {
    /* Ours to free: its secrets are wiped as soon as what is needed was taken from it. */
    struct conf *conf;
    const struct region *region; /* for names; made read-only */
    int events_fd;               /* struct event_batch a message */
    int lifeline_fd;             /* to the master: we say R; its end is ours */
    const char *const *endpoint_name; /* by number; entries may be NULL */
    size_t endpoint_name_count;
    enum log_level log_level_max;
    bool log_json;
};

enum telemetry_exit {
    TELEMETRY_EXIT_DONE = 0,
    TELEMETRY_EXIT_UNFIT = 3, /* it cannot work, and so would not the next: no libcurl, or wrong headers */
};

/*
 * The process: call it in the child and exit with what it returns. SIGTERM: what has come is sent, as far as
 * the collector takes it in timeout, and it ends.
 */
int telemetry_main(const struct telemetry_inherit *inherit);

#endif
