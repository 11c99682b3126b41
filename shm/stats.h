/*
 * Counters a worker keeps in its table, read by status and metrics. One writer each, relaxed.
 */
#ifndef SHM_STATS_H
#define SHM_STATS_H

#include <stdatomic.h>

#include "base/base.h"
#include "shm/region.h"

/* Not "enum stat": <sys/stat.h> has that tag. */
enum stat_counter {
    STAT_CONNECTIONS = 0, /* gauge: client connections open */
    STAT_CALLS_OPEN,      /* gauge: calls between admission and settlement */
    STAT_CALLS_WAITING,   /* gauge: of those, that wait for room in providers' limits */
    STAT_CONNECTIONS_TOTAL,
    STAT_REQUESTS,     /* HTTP requests parsed */
    STAT_CALLS,        /* admitted */
    STAT_STREAMS,      /* of those, streamed */
    STAT_BAD_REQUESTS, /* 4xx before admission, malformed */
    STAT_UNAUTHORIZED,
    STAT_FORBIDDEN,
    STAT_NO_CREDIT,
    STAT_LIMITED,
    STAT_UNAVAILABLE,     /* 503 */
    STAT_UPSTREAM_FAILED, /* 502 and 504 to the client */
    STAT_ATTEMPTS,
    STAT_ATTEMPTS_FAILED,
    STAT_CLIENT_GONE,
    STAT_TOKENS_IN,
    STAT_TOKENS_OUT,
    STAT_SPENT_UCR,
    STAT_UNCOLLECTED_UCR,
    STAT_BYTES_TO_CLIENTS,
    STAT_BYTES_FROM_UPSTREAMS,
    STAT_TLS_FULL,
    STAT_TLS_RESUMED,
    STAT_USAGE_FLAGGED,
    STAT_MODEL_MISMATCH, /* tries and answers by another model than the one asked for */
    STAT_CALLS_WAITED,   /* that had to wait for room in providers' limits */
    STAT_OPERATOR_UCR,   /* what failed tries may have cost the operator, at list price times cost */
    STAT_UNPRICED,       /* answers with units that the model states no price for */
    STAT_REALTIME_SESSIONS, /* gauge: tunnels open on both sides */
    STAT_HELD_BYTES,        /* gauge: bodies and buffers */
    STAT_CONNECTIONS_REFUSED, /* for those that there are, of their address or in all */
    STAT_CALLS_REFUSED,     /* 503: too many connections, calls, or bytes held */
    /* What limits in shadow mode would have refused: of requests a minute, tokens a minute, calls at a
     * time; budgets. */
    STAT_SHADOWED_REQUESTS,
    STAT_SHADOWED_TOKENS,
    STAT_SHADOWED_CONCURRENCY,
    STAT_SHADOWED_BUDGETS,
    STAT_COUNT
};
extern const char *const stat_name[]; /* "calls", … */

/* Of what is now, and ends with its worker; all others only grow. */
bool stat_is_gauge(enum stat_counter stat);

/* [STAT_COUNT]; NULL when the table was never allocated. */
_Atomic uint64_t *stat_at(const struct region *region, uint32_t table_idx);

static inline void
stat_add(_Atomic uint64_t *stats, enum stat_counter stat, uint64_t n)
{
    /* One writer: a load and a store are enough, and cheaper than a locked add. */
    atomic_store_explicit(&stats[stat],
                          atomic_load_explicit(&stats[stat], memory_order_relaxed) + n,
                          memory_order_relaxed);
}

#endif
