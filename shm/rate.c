#include "shm/rate.h"

#include "shm/layout.h"

#define NS_PER_MINUTE UINT64_C(60000000000)

/* Rounded up, so that what is admitted never passes the limit. */
struct rate
rate_per_minute(uint32_t count)
{
    struct rate rate = {0, 0};

    if (count == 0)
        return rate;
    rate.interval_ns = (NS_PER_MINUTE + count - 1) / count;
    rate.burst_ns = (count - 1) * rate.interval_ns;
    return rate;
}

static uint64_t
add_capped(uint64_t a, uint64_t b, uint64_t max)
{
    uint64_t sum;

    return __builtin_add_overflow(a, b, &sum) || sum > max ? max : sum;
}

static uint64_t
duration_ns(struct rate rate, uint64_t cost)
{
    uint64_t ns;

    return __builtin_mul_overflow(rate.interval_ns, cost, &ns) ? UINT64_MAX : ns;
}

/* The furthest that a word can be from now: one that is further was never written by us. */
static uint64_t
tat_max(struct rate rate, uint64_t now_ns)
{
    return add_capped(now_ns, add_capped(rate.burst_ns, rate.interval_ns, UINT64_MAX), UINT64_MAX);
}

bool
rate_admit(_Atomic uint64_t *tat, struct rate rate, uint64_t cost, uint64_t now_ns,
           uint64_t *retry_ns)
{
    uint64_t at = atomic_load_explicit(tat, memory_order_relaxed);
    uint64_t max = tat_max(rate, now_ns), admit_until = add_capped(now_ns, rate.burst_ns, max);
    uint64_t next;

    *retry_ns = 0;
    if (rate.interval_ns == 0)
        return true;
    do {
        uint64_t from = MIN(at, max);

        if (from > admit_until) {
            *retry_ns = from - admit_until;
            return false;
        }
        next = add_capped(MAX(from, now_ns), duration_ns(rate, cost), max);
        /* Relaxed: the word stands for nothing but itself. */
    } while (!atomic_compare_exchange_weak_explicit(tat, &at, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

void
rate_add(_Atomic uint64_t *tat, struct rate rate, int64_t cost, uint64_t now_ns)
{
    uint64_t at = atomic_load_explicit(tat, memory_order_relaxed);
    uint64_t max = tat_max(rate, now_ns), next;
    /* The negative of the least of 64 bits is not one of them, but is this of the unsigned ones. */
    uint64_t ns = duration_ns(rate, cost < 0 ? -(uint64_t)cost : (uint64_t)cost);

    if (rate.interval_ns == 0)
        return;
    do {
        uint64_t from = MAX(MIN(at, max), now_ns);

        next = cost < 0 ? (ns > from - now_ns ? now_ns : from - ns) : add_capped(from, ns, max);
    } while (!atomic_compare_exchange_weak_explicit(tat, &at, next, memory_order_relaxed,
                                                    memory_order_relaxed));
}
