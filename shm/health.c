/*
 * The circuit of an upstream. Closed while fewer than FAILURES_MAX attempts in a row have failed.
 * Then it opens, for a second first, and twice as long each time that a trial fails as well. When
 * that is over, whoever begins first moves the end of the open time a little into the future by
 * compare-and-swap: that is its ticket, and keeps the others out until it knows. A process that
 * dies with the ticket holds the circuit open only for that long.
 *
 * A time that is a ticket's is odd, one that is not is even. Attempts that began before the circuit
 * opened fail while it is open, often many at once: these say nothing new and must not double its
 * time.
 */
#include "shm/health.h"

#include "shm/layout.h"

#define FAILURES_MAX 5u
#define OPEN_MS 1000u
#define OPEN_DOUBLINGS 6u /* to 60 s, cut from 64 */
#define OPEN_MS_MAX 60000u
#define TICKET_MS 5000u

_Static_assert(sizeof(struct health) == CACHE_LINE, "one upstream, one line");

struct health *
health_at(struct region *region, uint16_t name_id)
{
    struct health *lines = region_part(region, REGION_HEALTH);
    uint32_t max = region->header->geometry.health_max;

    if (name_id == 0)
        return NULL;
    for (uint32_t i = 0, at = name_id % max; i < max; i++, at = at + 1 == max ? 0 : at + 1) {
        uint32_t id = atomic_load_explicit(&lines[at].name_id, memory_order_relaxed);

        /* A line of nobody is all zero, which is right for a new upstream. */
        if (id == 0 &&
            atomic_compare_exchange_strong_explicit(&lines[at].name_id, &id, name_id,
                                                    memory_order_relaxed, memory_order_relaxed))
            return &lines[at];
        if (id == name_id)
            return &lines[at];
    }
    return NULL;
}

void
health_ok(struct health *health, uint32_t latency_us)
{
    uint32_t mean = atomic_load_explicit(&health->latency_us, memory_order_relaxed);

    atomic_fetch_add_explicit(&health->calls, 1, memory_order_relaxed);
    if (mean == 0)
        mean = latency_us;
    else
        mean = (uint32_t)(((uint64_t)mean * 7 + latency_us) / 8);
    atomic_store_explicit(&health->latency_us, mean, memory_order_relaxed);
    /* Mostly both are so already, and a line that is only read is shared by all. */
    if (atomic_load_explicit(&health->failures, memory_order_relaxed) != 0) {
        atomic_store_explicit(&health->failures, 0, memory_order_relaxed);
        atomic_store_explicit(&health->open_until_ms, 0, memory_order_relaxed);
    }
}

void
health_failed(struct health *health, uint64_t now_ms)
{
    uint32_t failures = atomic_load_explicit(&health->failures, memory_order_relaxed);
    uint64_t until = atomic_load_explicit(&health->open_until_ms, memory_order_relaxed);
    uint64_t open_ms;

    atomic_fetch_add_explicit(&health->calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&health->errors, 1, memory_order_relaxed);
    if (now_ms < until && !(until & 1))
        return;
    if (failures < FAILURES_MAX + OPEN_DOUBLINGS)
        failures = atomic_fetch_add_explicit(&health->failures, 1, memory_order_relaxed) + 1;
    if (failures < FAILURES_MAX)
        return;
    open_ms = OPEN_MS << MIN(failures - FAILURES_MAX, OPEN_DOUBLINGS);
    atomic_store_explicit(&health->open_until_ms,
                          (now_ms + MIN(open_ms, OPEN_MS_MAX)) & ~UINT64_C(1),
                          memory_order_relaxed);
}

bool
health_usable(const struct health *health, uint64_t now_ms)
{
    return now_ms >= atomic_load_explicit(&health->open_until_ms, memory_order_relaxed);
}

bool
health_begin(struct health *health, uint64_t now_ms)
{
    uint64_t until = atomic_load_explicit(&health->open_until_ms, memory_order_relaxed);

    if (until == 0)
        return true;
    if (now_ms < until)
        return false;
    return atomic_compare_exchange_strong_explicit(&health->open_until_ms, &until,
                                                   (now_ms + TICKET_MS) | 1, memory_order_relaxed,
                                                   memory_order_relaxed);
}
