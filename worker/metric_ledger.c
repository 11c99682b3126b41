/* Families of the ledger process and its store. What must be right also when that process is dead is
 * read from the rings and the header; the rest is as it last said. */
#include "worker/metric.h"

#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "shm/layout.h"
#include "shm/series.h"

/* ---- what is there to commit ---- */

/* Bells that nobody has answered, and when the first of them was rung, by its record; 0 unknown. */
struct waiting {
    uint64_t total, most;
    int64_t since_wall_us;
};

static void
look_at_ring(const struct region *region, const struct table_parts *parts, struct waiting *waiting)
{
    uint32_t slot_max = region->header->geometry.slot_max, slot;
    uint64_t read = atomic_load_explicit(&parts->ring->read_seq, memory_order_acquire);
    uint64_t written = atomic_load_explicit(&parts->ring->written_seq, memory_order_acquire);
    uint64_t count = written > read ? MIN(written - read, (uint64_t)slot_max) : 0;
    int64_t end_us;

    waiting->total += count;
    waiting->most = MAX(waiting->most, count);
    if (count == 0)
        return;
    slot = parts->ring_entries[read & (slot_max - 1)];
    if (slot >= slot_max)
        return;
    end_us = parts->records[slot].start_wall_us + (int64_t)parts->records[slot].end_us;
    if (end_us > 0 && (waiting->since_wall_us == 0 || end_us < waiting->since_wall_us))
        waiting->since_wall_us = end_us;
}

static struct waiting
look_at_rings(const struct region *region)
{
    struct waiting waiting = {0};

    for (uint32_t i = 0; i < region->header->geometry.table_max; i++) {
        struct table_parts parts;

        if (region_table_parts(region, i, &parts))
            look_at_ring(region, &parts, &waiting);
    }
    return waiting;
}

static void
write_lag_calls(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    (void)item;
    buf_add_fmt(out, "%s %" PRIu64 "\n", metric->name, look_at_rings(w->region).total);
}

static void
write_lag(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    struct waiting waiting = look_at_rings(w->region);
    int64_t us = waiting.since_wall_us > 0 ? worker_wall_us(w) - waiting.since_wall_us : 0;

    (void)item;
    buf_add_fmt(out, "%s ", metric->name);
    metric_micro(out, (uint64_t)MAX(us, 0));
    buf_add_char(out, '\n');
}

static void
write_ring(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    uint64_t most = look_at_rings(w->region).most;

    (void)item;
    buf_add_fmt(out, "%s ", metric->name);
    metric_micro(out, most * 1000000 / w->region->header->geometry.slot_max);
    buf_add_char(out, '\n');
}

/* ---- the process ---- */

static void
write_up(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    const struct region_header *header = w->region->header;
    bool up = atomic_load_explicit(&header->ready_seq, memory_order_acquire) != 0 &&
              !region_ledger_still(header, worker_mono_us(w));

    (void)item;
    buf_add_fmt(out, "%s %d\n", metric->name, up);
}

static void
write_taking(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    (void)item;
    buf_add_fmt(out, "%s %d\n", metric->name,
                atomic_load_explicit(&w->region->header->stop_taking, memory_order_relaxed) == 0);
}

static void
write_batches(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    (void)item;
    buf_add_fmt(out, "%s %" PRIu64 "\n", metric->name,
                atomic_load_explicit(&w->region->header->batch_count, memory_order_relaxed));
}

static void
write_records(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    (void)item;
    buf_add_fmt(out, "%s %" PRIu64 "\n", metric->name,
                atomic_load_explicit(&w->region->header->record_count, memory_order_relaxed));
}

/* ---- as it last said ---- */

struct said {
    enum series_gauge gauge;
    bool micro; /* microseconds, shown as seconds */
};

static void
write_said(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    const struct said *said = metric->arg;
    uint64_t value = series_gauge(w->region, said->gauge);

    (void)item;
    buf_add_fmt(out, "%s ", metric->name);
    if (said->micro)
        metric_micro(out, value);
    else
        buf_add_u64(out, value);
    buf_add_char(out, '\n');
}

#define SAID(name, type, gauge, help) \
    {name, type, help, NULL, write_said, &(const struct said){gauge, false}}
#define SAID_US(name, type, gauge, help) \
    {name, type, help, NULL, write_said, &(const struct said){gauge, true}}

static const struct metric metrics[] = {
    {"turnpike_ledger_up", "gauge", "1: the ledger process serves.", NULL, write_up, NULL},
    {"turnpike_taking_calls", "gauge", "0: the store can take no records, and calls get a 503.",
     NULL, write_taking, NULL},
    {"turnpike_ledger_lag_calls", "gauge", "Settled calls that the ledger process has not yet seen.",
     NULL, write_lag_calls, NULL},
    {"turnpike_ledger_lag_seconds", "gauge",
     "How long the first settled call waits that the ledger process has not yet seen.", NULL,
     write_lag, NULL},
    {"turnpike_ledger_ring_fill_ratio", "gauge", "How full the fullest worker's doorbell is.", NULL,
     write_ring, NULL},
    {"turnpike_ledger_batches_total", "counter", "Batches that were committed.", NULL,
     write_batches, NULL},
    {"turnpike_ledger_records_total", "counter", "Records that were committed.", NULL,
     write_records, NULL},
    SAID("turnpike_holds_open", "gauge", SERIES_HOLDS_OPEN, "Holds that are not settled."),
    SAID_US("turnpike_holds_oldest_seconds", "gauge", SERIES_HOLDS_OLDEST_US,
            "How long the oldest open hold is open."),
    SAID("turnpike_ledger_uncommitted_records", "gauge", SERIES_SETTLED,
         "Settled holds that wait for their commit."),
    SAID("turnpike_ledger_set_aside_records", "gauge", SERIES_SET_ASIDE,
         "Settled holds that make no sense, and were set aside."),
    SAID("turnpike_audit_rounds_total", "counter", SERIES_AUDITS, "Rounds of the audit."),
    SAID("turnpike_audit_faults_total", "counter", SERIES_AUDIT_FAULTS,
         "Differences that the audit found, and repaired."),
    SAID_US("turnpike_audit_last_timestamp_seconds", "gauge", SERIES_AUDIT_WALL_US,
            "When the last round of the audit ended."),
    SAID("turnpike_store_bytes", "gauge", SERIES_STORE_BYTES, "What the store takes."),
    SAID("turnpike_store_disk_bytes", "gauge", SERIES_DISK_BYTES, "Size of the disk that the store is on."),
    SAID("turnpike_store_disk_free_bytes", "gauge", SERIES_DISK_FREE_BYTES,
         "What the disk that the store is on has left."),
};
const struct metric_table metric_ledger = {metrics, COUNT_OF(metrics)};
