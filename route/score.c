/*
 * A candidate is measured by how long its caller is likely to wait for an answer of middling length:
 *
 *     time = base + time to the first byte + TOKENS * time of a token
 *
 * where the base keeps differences that no caller feels from deciding anything. That is made longer by
 * what it means for the next caller:
 *
 *     errors     divided by the share of attempts that go well: each failure is another attempt
 *     load       up to twice, from half of the calls that it takes at a time to all of them
 *     limits     up to twice, over the last fifth of the provider's own limits, and eight times when
 *                nothing is left: the call would be refused
 *     price      times what the operator pays there, as a multiple of the cheapest
 *
 * Two candidates are near equals unless one's measure is more than a quarter above the other's: an
 * average over some answers of a model swings by an eighth either way without meaning anything,
 * and calls must not swing with it. Among near equals the one that costs the operator less is
 * preferred; where all cost the same, the weights decide alone.
 */
#include "route/score.h"

#define BASE_US 50000u
#define TOKENS 200u
#define FIRST_BYTE_US_MAX 600000000u
#define TOKEN_US_MAX 10000000u
#define PPM 1000000u
#define ERROR_PPM_MAX 900000u
#define FULL_PPM 500000u
#define LOW_PPM 800000u

enum known { KNOWN_FIRST_BYTE = 1u << 0, KNOWN_TOKEN = 1u << 1 };

static const struct route_health nothing_known;

static unsigned
known_of(const struct route_health *health)
{
    return (health->latency_us > 0 ? (unsigned)KNOWN_FIRST_BYTE : 0u) |
           (health->us_per_token > 0 ? (unsigned)KNOWN_TOKEN : 0u);
}

static uint64_t
times_ppm(uint64_t value, uint64_t ppm)
{
    return value * (ppm / 1000) / 1000;
}

/* At most 2^62: 8e9 for the time, times 10, 2, 8 and 1000. */
static uint64_t
measure(const struct route_health *health, uint64_t price_ppm, unsigned known)
{
    uint64_t us = BASE_US;

    if (known & KNOWN_FIRST_BYTE)
        us += MIN(health->latency_us, FIRST_BYTE_US_MAX);
    if (known & KNOWN_TOKEN)
        us += (uint64_t)TOKENS * MIN(health->us_per_token, TOKEN_US_MAX);
    if (health->error_ppm > 0) /* in 32 bits, which divide much faster */
        us = us * (PPM / (1000 - MIN(health->error_ppm, ERROR_PPM_MAX) / 1000)) / 1000;
    if (health->load_ppm > FULL_PPM)
        us = times_ppm(us, PPM + (uint64_t)(MIN(health->load_ppm, PPM) - FULL_PPM) * 2);
    if (health->used_ppm >= PPM)
        us *= 8;
    else if (health->used_ppm > LOW_PPM)
        us = times_ppm(us, PPM + (uint64_t)(health->used_ppm - LOW_PPM) * 5);
    return times_ppm(us, MIN(MAX(price_ppm, (uint64_t)ROUTE_PRICE_SAME),
                             (uint64_t)ROUTE_PRICE_PPM_MAX));
}

uint64_t
route_price_ppm(uint64_t price, uint64_t cheapest)
{
    price = MIN(price, UINT64_MAX / ROUTE_PRICE_SAME);
    return MIN(price * ROUTE_PRICE_SAME / MAX(cheapest, UINT64_C(1)),
               (uint64_t)ROUTE_PRICE_PPM_MAX);
}

static const struct route_health *
health_of(const struct route_merit *merit)
{
    return merit->health != NULL ? merit->health : &nothing_known;
}

uint64_t
route_score(const struct route_merit *merit)
{
    const struct route_health *health = health_of(merit);
    uint64_t us = measure(health, merit->price_ppm, known_of(health));

    return (uint64_t)ROUTE_SCORE_ONE * BASE_US / us * merit->weight;
}

bool
route_beats(const struct route_merit *a, const struct route_merit *b)
{
    const struct route_health *ha = health_of(a), *hb = health_of(b);
    unsigned known = known_of(ha) & known_of(hb);
    uint64_t a_ppm = ROUTE_PRICE_SAME, b_ppm = ROUTE_PRICE_SAME, a_us, b_us;

    if (a->price_ppm < b->price_ppm)
        b_ppm = route_price_ppm(b->price_ppm, a->price_ppm);
    else if (a->price_ppm > b->price_ppm)
        a_ppm = route_price_ppm(a->price_ppm, b->price_ppm);
    a_us = measure(ha, a_ppm, known);
    b_us = measure(hb, b_ppm, known);
    if (b_us >= a_us)
        return b_us - a_us > a_us / 4 || a_ppm < b_ppm;
    return a_us - b_us <= b_us / 4 && a_ppm < b_ppm;
}
