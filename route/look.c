#include "route/look.h"

#include "shm/rate.h"

#define PPM 1000000u
#define FORGIVE_MS 30000u /* half of an error rate */

/* A figure that route decides by moves only when it has changed by more than an eighth: what swings a
 * little must not swing calls to and fro. */
static uint32_t
steady(uint32_t before, uint32_t now)
{
    uint32_t difference = before > now ? before - now : now - before;

    return before != 0 && now != 0 && difference <= before / 8 ? before : now;
}

static uint32_t
used_ppm(const struct conf_credential *credential, struct health *health, uint64_t now_us)
{
    uint32_t calls =
        rate_used_ppm(&health->rpm_tat, rate_per_minute(credential->rpm), now_us * 1000);
    uint32_t tokens =
        rate_used_ppm(&health->tpm_tat, rate_per_minute(credential->tpm), now_us * 1000);

    return MAX(calls, tokens);
}

static uint64_t
since(uint64_t now_ms, uint64_t then_ms)
{
    return now_ms > then_ms ? now_ms - then_ms : 0;
}

/* Times that are old are as good as unknown: the upstream is drawn like any other then, and measured
 * again. */
static void
look_at_times(const struct health *health, uint64_t now_ms, struct route_health *out)
{
    bool old = since(now_ms, atomic_load_explicit(&health->measured_ms, memory_order_relaxed)) >
               HEALTH_OLD_MS;
    uint32_t first_byte_us = atomic_load_explicit(&health->first_byte_us, memory_order_relaxed);
    uint32_t us_per_token = atomic_load_explicit(&health->us_per_token, memory_order_relaxed);

    out->latency_us = old ? 0 : steady(out->latency_us, first_byte_us);
    out->us_per_token = old ? 0 : steady(out->us_per_token, us_per_token);
}

/* Failures are forgiven with time, too: who has no calls has no successes either. */
static uint32_t
error_ppm(const struct health *health, uint64_t now_ms)
{
    uint64_t failed_ms = atomic_load_explicit(&health->failed_ms, memory_order_relaxed);

    return atomic_load_explicit(&health->error_ppm, memory_order_relaxed) >>
           MIN(since(now_ms, failed_ms) / FORGIVE_MS, UINT64_C(31));
}

void
route_look(const struct region *region, const struct conf_upstream *upstream,
           const struct conf_credential *credential, struct health *health, uint64_t mono_us,
           struct route_health *out)
{
    uint32_t at_a_time =
        credential->concurrency > 0 ? credential->concurrency : upstream->connections_max;
    uint64_t now_ms = mono_us / 1000;
    uint32_t load;

    if (health == NULL)
        return;
    load = health_load(region, health);
    out->down = !health_usable(region, health, now_ms);
    out->failed_at_ms =
        out->down ? atomic_load_explicit(&health->failed_ms, memory_order_relaxed) : 0;
    look_at_times(health, now_ms, out);
    out->error_ppm = error_ppm(health, now_ms);
    out->load_ppm = (uint32_t)MIN((uint64_t)load * PPM / MAX(at_a_time, 1u),
                                  (uint64_t)PPM);
    out->used_ppm = used_ppm(credential, health, mono_us);
}
