/*
 * What was served, in numbers that only grow: for graphs and alarms, not for the books. They are the
 * ledger process's to write, from the records of each batch once that is committed: so they cost the
 * path of a call nothing, and live in the region, so that they outlive every process. Anybody reads
 * them. A ledger process that dies between a commit and its end may leave that batch uncounted.
 *
 *     head | series 0 | series 1 | ...
 *
 * A series is of one model, channel and upstream, or of one tenant and key where the operator asks for
 * that. There is room for SERIES_MAX; past it, or past the operator's own bound, records are counted in
 * the one series of their kind that is for all others (all ids 0): sums stay right, whoever makes up
 * names. A series is never taken back: there are as many as combinations that were used.
 */
#ifndef SHM_SERIES_H
#define SHM_SERIES_H

#include <stdatomic.h>

#include "base/base.h"
#include "shm/record.h"
#include "shm/region.h"

#define SERIES_MAX 2048u
#define SERIES_PROTOCOLS 4 /* of proto/, which this room may not know */
#define SERIES_STATUS_FIRST 100u
#define SERIES_STATUS_COUNT 500u
#define SERIES_BUCKETS 14 /* and one for all above */

/* What is measured in time. */
enum series_time {
    SERIES_FIRST_BYTE = 0, /* from the request to the first byte of the answer that served it */
    SERIES_TOKEN,          /* of a stream: from there to its end, a token that came after the first */
    SERIES_CALL,           /* from the request to the end */
    SERIES_TIME_COUNT
};
/* The buckets' upper ends, in microseconds. */
extern const uint32_t series_bound_us[SERIES_TIME_COUNT][SERIES_BUCKETS];

struct series_histogram {
    _Atomic uint64_t bucket[SERIES_BUCKETS + 1]; /* each value in one: not summed up */
    _Atomic uint64_t sum_us;
};

enum series_kind { SERIES_ROUTE = 0, SERIES_TENANT, SERIES_KIND_COUNT };

/* Which one. Zero what does not belong to its kind. */
struct series_key {
    uint16_t model, channel, upstream; /* name ids; upstream 0: none was tried */
    uint16_t kind;                     /* enum series_kind */
    uint32_t tenant_id, key_id;        /* key_id 0: all of the tenant's */
};
_Static_assert(sizeof(struct series_key) == 16, "compared as bytes");

/* One writer, relaxed: a reader may see a record half counted. */
struct series {
    _Alignas(CACHE_LINE) struct series_key key; /* constant once counted in head.count */
    _Atomic uint64_t calls[SERIES_PROTOCOLS][OUTCOME_COUNT];
    _Atomic uint64_t count[RECORD_CLASS_COUNT];
    _Atomic uint64_t charge_ucr, uncollected_ucr, operator_ucr;
    struct series_histogram time[SERIES_TIME_COUNT];
};

/* How things are with the ledger process and its store; each as of a second ago or so. */
enum series_gauge {
    SERIES_HOLDS_OPEN = 0,
    SERIES_HOLDS_OLDEST_US, /* how long the oldest of them is open */
    SERIES_SETTLED,         /* slots that wait for their commit */
    SERIES_SET_ASIDE,       /* slots that make no sense */
    SERIES_AUDIT_FAULTS,    /* found since the region was made, as in status */
    SERIES_AUDITS,          /* rounds of the audit */
    SERIES_AUDIT_WALL_US,   /* when the last one ended */
    SERIES_STORE_BYTES,
    SERIES_DISK_BYTES,
    SERIES_DISK_FREE_BYTES,
    SERIES_GAUGE_COUNT
};

struct series_head {
    _Atomic uint32_t count; /* release: so many series are whole */
    _Atomic uint64_t other; /* records counted with the others for want of room */
    _Atomic uint64_t gauge[SERIES_GAUGE_COUNT];
    /* Calls by what the client got. */
    _Atomic uint64_t status[SERIES_PROTOCOLS][SERIES_STATUS_COUNT];
};

uint64_t series_bytes(void); /* of the whole part */
struct series_head *series_head(const struct region *region);
/* Of readers: how many there are, and each; they only become more. */
uint32_t series_count(const struct region *region);
struct series *series_at(const struct region *region, uint32_t idx);
uint64_t series_gauge(const struct region *region, enum series_gauge gauge);

/* ---- the ledger process alone ---- */

struct series_writer;
/* Takes what is there over. NULL when out of memory. */
struct series_writer *series_writer_new(struct region *region) MUST_CHECK;
void series_writer_free(struct series_writer **writer);
/* The series, made when there is none yet and there are fewer than max of all kinds; else that of the
 * others. Never NULL. */
struct series *series_for(struct series_writer *writer, const struct series_key *key, uint32_t max);
void series_time(struct series *series, enum series_time time, uint64_t us);
void series_status(struct region *region, unsigned protocol, unsigned status);
void series_gauge_set(struct region *region, enum series_gauge gauge, uint64_t value);

static inline void
series_add(_Atomic uint64_t *word, uint64_t n)
{
    /* One writer: a load and a store are enough. */
    atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

#endif
