/*
 * What a key may use, from its slot in the region to a question (route/route.h).
 */
#ifndef ROUTE_KEY_H
#define ROUTE_KEY_H

#include "route/route.h"
#include "shm/account.h"
#include "shm/key.h"
#include "shm/quota.h"

#define ROUTE_GLOBS_MAX 64

/* Indexes of a snapshot's channels by the name ids of a region. */
struct route_names {
    int16_t *channel; /* -1: none of the snapshot's */
};

/* False when out of memory. Adds the names where the region has them not. */
bool route_names_make(const struct conf *conf, struct region *region,
                      struct route_names *out) MUST_CHECK;
void route_names_free(struct route_names *names);

#define ROUTE_QUOTAS_MAX 3
/* The quotas beside a key, of its member, project and tenant; NULL: none, and no restriction. */
struct route_quotas {
    const struct quota *quota[ROUTE_QUOTAS_MAX];
    const struct key_extra *extra[ROUTE_QUOTAS_MAX];
};
/* False when there is none at all: then *out is not set. */
bool route_quotas_of(const struct region *region, const struct key_slot *key,
                     struct route_quotas *out) MUST_CHECK;

/* Over a tenant's deals, as its quota's extra has them; extra may be NULL. Points into *extra. Channels that
 * the snapshot has not are left out. */
size_t route_deals_read(const struct key_extra *extra, const struct route_names *names,
                        struct route_deal out[KEY_DEALS_MAX]);

struct route_also {
    uint16_t channels[QUOTA_CHANNELS_MAX];
    struct str globs[ROUTE_GLOBS_MAX];
};

/* What a question points into. */
struct route_key {
    uint16_t channels[KEY_CHANNELS_MAX];
    struct str globs[ROUTE_GLOBS_MAX];
    struct route_weights weights;
    struct route_allow allow[ROUTE_QUOTAS_MAX]; /* as many as ask->also_count */
    struct route_also also[ROUTE_QUOTAS_MAX];
    struct route_deal deals[KEY_DEALS_MAX];
};

/* Puts the key's rights into *ask, which then points into *out and *extra. extra may be NULL, as may
 * quotas. False when the key names channels of which the snapshot has none any more: it must not fall to
 * the public ones. */
bool route_key_read(const struct key_slot *key, const struct key_extra *extra,
                    const struct route_quotas *quotas, const struct route_names *names, struct route_key *out,
                    struct route_ask *ask) MUST_CHECK;

#endif
