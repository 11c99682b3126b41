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
rate_admit_guess(_Atomic uint64_t *tat, struct rate rate, uint64_t cost, uint64_t now_ns,
                 uint64_t *retry_ns, uint64_t *taken_ns)
{
    uint64_t at = atomic_load_explicit(tat, memory_order_relaxed);
    uint64_t max = tat_max(rate, now_ns), admit_until = add_capped(now_ns, rate.burst_ns, max);
    uint64_t next;

    *retry_ns = *taken_ns = 0;
    if (rate.interval_ns == 0)
        return true;
    do {
        uint64_t from = MIN(at, max);

        if (from > admit_until) {
            *retry_ns = from - admit_until;
            return false;
        }
        from = MAX(from, now_ns);
        next = add_capped(from, duration_ns(rate, cost), max);
        *taken_ns = next - from;
        /* Relaxed: the word stands for nothing but itself. */
    } while (!atomic_compare_exchange_weak_explicit(tat, &at, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

bool
rate_admit(_Atomic uint64_t *tat, struct rate rate, uint64_t cost, uint64_t now_ns,
           uint64_t *retry_ns)
{
    uint64_t taken_ns;

    return rate_admit_guess(tat, rate, cost, now_ns, retry_ns, &taken_ns);
}

void
rate_correct(_Atomic uint64_t *tat, struct rate rate, uint64_t taken_ns, uint64_t cost,
             uint64_t now_ns)
{
    uint64_t at = atomic_load_explicit(tat, memory_order_relaxed);
    uint64_t max = tat_max(rate, now_ns), next;

    if (rate.interval_ns == 0)
        return;
    do {
        uint64_t from = MAX(MIN(at, max), now_ns);

        from = taken_ns > from - now_ns ? now_ns : from - taken_ns;
        next = add_capped(from, duration_ns(rate, cost), max);
    } while (!atomic_compare_exchange_weak_explicit(tat, &at, next, memory_order_relaxed,
                                                    memory_order_relaxed));
}

uint64_t
rate_wait_ns(const _Atomic uint64_t *tat, struct rate rate, uint64_t now_ns)
{
    uint64_t max = tat_max(rate, now_ns), until = add_capped(now_ns, rate.burst_ns, max);
    uint64_t at = MIN(atomic_load_explicit(tat, memory_order_relaxed), max);

    return rate.interval_ns == 0 || at <= until ? 0 : at - until;
}

uint32_t
rate_used_ppm(const _Atomic uint64_t *tat, struct rate rate, uint64_t now_ns)
{
    uint64_t at = atomic_load_explicit(tat, memory_order_relaxed), whole_ns;

    if (rate.interval_ns == 0 || at <= now_ns)
        return 0;
    whole_ns = add_capped(rate.burst_ns, rate.interval_ns, UINT64_MAX);
    return (uint32_t)((unsigned __int128)MIN(at - now_ns, whole_ns) * 1000000u / whole_ns);
}
