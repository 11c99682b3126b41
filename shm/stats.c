#include "shm/stats.h"

#include "shm/layout.h"

const char *const stat_name[] = {
    [STAT_CONNECTIONS] = "connections",
    [STAT_CALLS_OPEN] = "calls_open",
    [STAT_CALLS_WAITING] = "calls_waiting",
    [STAT_CONNECTIONS_TOTAL] = "connections_total",
    [STAT_REQUESTS] = "requests",
    [STAT_CALLS] = "calls",
    [STAT_STREAMS] = "streams",
    [STAT_BAD_REQUESTS] = "bad_requests",
    [STAT_UNAUTHORIZED] = "unauthorized",
    [STAT_FORBIDDEN] = "forbidden",
    [STAT_NO_CREDIT] = "no_credit",
    [STAT_LIMITED] = "limited",
    [STAT_UNAVAILABLE] = "unavailable",
    [STAT_UPSTREAM_FAILED] = "upstream_failed",
    [STAT_ATTEMPTS] = "attempts",
    [STAT_ATTEMPTS_FAILED] = "attempts_failed",
    [STAT_CLIENT_GONE] = "client_gone",
    [STAT_TOKENS_IN] = "tokens_in",
    [STAT_TOKENS_OUT] = "tokens_out",
    [STAT_SPENT_UCR] = "spent_ucr",
    [STAT_UNCOLLECTED_UCR] = "uncollected_ucr",
    [STAT_BYTES_TO_CLIENTS] = "bytes_to_clients",
    [STAT_BYTES_FROM_UPSTREAMS] = "bytes_from_upstreams",
    [STAT_TLS_FULL] = "tls_full",
    [STAT_TLS_RESUMED] = "tls_resumed",
    [STAT_USAGE_FLAGGED] = "usage_flagged",
    [STAT_MODEL_MISMATCH] = "model_mismatch",
    [STAT_CALLS_WAITED] = "calls_waited",
    [STAT_OPERATOR_UCR] = "operator_ucr",
    [STAT_UNPRICED] = "unpriced",
    [STAT_REALTIME_SESSIONS] = "realtime_sessions",
    [STAT_HELD_BYTES] = "held_bytes",
    [STAT_CONNECTIONS_REFUSED] = "connections_refused",
    [STAT_CALLS_REFUSED] = "calls_refused",
    [STAT_SHADOWED_REQUESTS] = "shadowed_requests",
    [STAT_SHADOWED_TOKENS] = "shadowed_tokens",
    [STAT_SHADOWED_CONCURRENCY] = "shadowed_concurrency",
    [STAT_SHADOWED_BUDGETS] = "shadowed_budgets",
};
_Static_assert(COUNT_OF(stat_name) == STAT_COUNT, "a new counter needs a name");

bool
stat_is_gauge(enum stat_counter stat)
{
    return stat == STAT_CONNECTIONS || stat == STAT_CALLS_OPEN || stat == STAT_CALLS_WAITING ||
           stat == STAT_REALTIME_SESSIONS || stat == STAT_HELD_BYTES;
}

_Atomic uint64_t *
stat_at(const struct region *region, uint32_t table_idx)
{
    struct table_parts parts;

    return region_table_parts(region, table_idx, &parts) ? parts.stats : NULL;
}
