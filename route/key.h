/*
 * What a key may use, from its slot in the region to a question (route/route.h).
 */
#ifndef ROUTE_KEY_H
#define ROUTE_KEY_H

#include "route/route.h"
#include "shm/key.h"

#define ROUTE_GLOBS_MAX 64

/* Indexes of a snapshot's channels by the name ids of a region. */
struct route_names {
    int16_t *channel; /* -1: none of the snapshot's */
};

/* False when out of memory. Adds the names where the region has them not. */
bool route_names_make(const struct conf *conf, struct region *region,
                      struct route_names *out) MUST_CHECK;
void route_names_free(struct route_names *names);

/* What a question points into. */
struct route_key {
    uint16_t channels[KEY_CHANNELS_MAX];
    struct str globs[ROUTE_GLOBS_MAX];
    struct route_weights weights;
};

/* Puts the key's rights into *ask, which then points into *out and *extra. extra may be NULL. False
 * when the key names channels of which the snapshot has none any more: it must not fall to the public
 * ones. */
bool route_key_read(const struct key_slot *key, const struct key_extra *extra,
                    const struct route_names *names, struct route_key *out,
                    struct route_ask *ask) MUST_CHECK;

#endif
