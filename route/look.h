/*
 * From what all workers keep of an upstream's credential (shm/health.h) to what a choice goes by.
 */
#ifndef ROUTE_LOOK_H
#define ROUTE_LOOK_H

#include "route/route.h"
#include "shm/health.h"

/*
 * Brings *out up to date. Times in it that have changed by little stay as they are, so that who keeps
 * looking into the same struct is not swung to and fro; one that is all zero gets what is there.
 * health may be NULL: nothing is known.
 */
void route_look(const struct region *region, const struct conf_upstream *upstream,
                const struct conf_credential *credential, struct health *health, uint64_t mono_us,
                struct route_health *out);

#endif
