/*
 * How good a candidate is. Integers only, and nothing but what it is handed: the same snapshot and
 * the same random numbers give the same choice again.
 */
#ifndef ROUTE_SCORE_H
#define ROUTE_SCORE_H

#include "route/route.h"

/* Of a candidate about which nothing speaks, as cheap as any. */
#define ROUTE_SCORE_ONE 1000000u
/* What the operator pays for a candidate is compared as a multiple of the cheapest, in millionths. */
#define ROUTE_PRICE_SAME 1000000u
#define ROUTE_PRICE_PPM_MAX (1000u * ROUTE_PRICE_SAME)

/* A price as such a multiple. */
uint64_t route_price_ppm(uint64_t price, uint64_t cheapest);

struct route_merit {
    const struct route_health *health; /* NULL: nothing is known */
    uint64_t price_ppm; /* what the operator pays; to route_score() as a multiple of the cheapest */
    uint32_t weight;                   /* the operator's, in the channel */
};

/* To be shown beside others', and to choose among models: more is better; weight times what the
 * figures leave of ROUTE_SCORE_ONE. 0 for weight 0. */
uint64_t route_score(const struct route_merit *merit);

/* Is a better than b by more than near equals differ, or a near equal that costs the operator less?
 * Weights are left out, which decide how often each of them is drawn; so is what is known of only
 * one. */
bool route_beats(const struct route_merit *a, const struct route_merit *b) MUST_CHECK;

#endif
