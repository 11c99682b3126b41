/*
 * The families of /metrics: what there is, what it means, and who writes its lines. Each file of them
 * has a table; worker/metrics.c goes through all tables and sends what they write, in pieces.
 *
 * Names follow Prometheus' rules: turnpike_, base units (seconds, bytes, credits, ratios) at the end, then
 * _total where a number only grows. turnpike-metrics(7) says the same to operators, and a test compares.
 */
#ifndef WORKER_METRIC_H
#define WORKER_METRIC_H

#include "worker/room.h"

struct metric;

/* The lines of one item; none where there is nothing to say. At most METRIC_ITEM_BYTES of text. */
typedef void (*metric_write_fn)(const struct metric *metric, struct buf *out,
                                const struct worker *w, uint32_t item);
#define METRIC_ITEM_BYTES (32u << 10)

struct metric {
    const char *name, *type, *help;
    uint32_t (*items)(const struct worker *w); /* NULL: one */
    metric_write_fn write;
    const void *arg; /* the writer's */
};

struct metric_table {
    const struct metric *at;
    size_t count;
};
extern const struct metric_table metric_process, metric_ledger, metric_upstream, metric_series;

/* Of a label, escaped; what is empty is "none". */
void metric_label(struct buf *out, const char *name, struct str value);
/* Millionths with their point. */
void metric_micro(struct buf *out, uint64_t micro);

#endif
