/*
 * route: which upstreams may serve a call, in which order, and at what price.
 *
 * Pure functions over a snapshot of routes.conf: a table is built once from it, a question comes
 * with all that changes (the key's rights, the health of upstreams, the state of a random
 * generator), the answer is a plan. No sockets, no clock, no allocation after the table is built.
 * route does not remember what became of a plan; whoever tried it feeds the health back.
 *
 * A call stays in one channel: the first in the key's order in which the model has a usable
 * upstream that speaks the caller's protocol. Within it the order is random by the channel's
 * weights, without replacement; upstreams of weight 0 follow, then those that are down, the one
 * that failed longest ago first.
 */
#ifndef ROUTE_ROUTE_H
#define ROUTE_ROUTE_H

#include "base/base.h"
#include "conf/conf.h"
#include "route/price.h"

#define ROUTE_CANDIDATE_COUNT_MAX 8

struct route_table;

/* What is known of one upstream. All zero is "usable, never failed, nothing else known". */
struct route_health {
    bool down;             /* its circuit is open: try others first */
    uint64_t failed_at_ms; /* last failure, on any clock that is the same for all; 0 never */
    uint32_t latency_us;   /* to the first byte; 0 unknown */
    uint32_t us_per_token; /* of output; 0 unknown */
    uint32_t error_ppm;    /* attempts that fail */
    uint32_t load_ppm;     /* calls under way, of those that it takes at a time */
    uint32_t used_ppm;     /* of the provider's own limits; at 1000000 the next call is refused */
};

struct route_ask {
    struct str model; /* as the caller wrote it: a model's name, an alias, or an auto's name */
    enum conf_protocol protocol;
    /* The key's channels in its order; count 0: every public channel in file order. */
    const uint16_t *channels;
    size_t channel_count;
    struct str channel_named; /* by the caller; STR_NONE: none */
    /* The key's globs over models; count 0: all. A model passes by its name or any alias. */
    const struct str *model_globs;
    size_t model_glob_count;
    const struct route_health *health; /* by upstream index; NULL: all are usable */
    uint64_t *rng_state;               /* of rng_next() */
};

enum route_result {
    ROUTE_OK = 0,
    ROUTE_NO_MODEL,            /* no such model, alias or auto */
    ROUTE_MODEL_NOT_ALLOWED,   /* by the key's globs */
    ROUTE_NO_SUCH_CHANNEL,     /* the caller named one that is not in the file */
    ROUTE_CHANNEL_NOT_ALLOWED, /* it is there, but not the key's; or the key has none at all */
    ROUTE_NO_UPSTREAM,         /* nothing in the channels serves it in this protocol */
    ROUTE_ALL_DOWN,            /* what could serve it is down; the plan is made all the same */
    ROUTE_RESULT_COUNT
};
extern const char *const route_result_name[ROUTE_RESULT_COUNT]; /* "ok", "no-model", … */

/* A try: this upstream's credential, in this channel, for this model, at this price. */
struct route_candidate {
    uint16_t upstream_idx;
    uint16_t channel_idx;
    uint16_t model_idx;
    uint8_t credential; /* of the upstream's, from 0 */
    bool down;
    struct price price;
    struct str model_sent; /* what the upstream calls the model */
    struct str model_json; /* the same as a JSON string, quotes included */
};

/* Valid as long as the table. */
struct route_plan {
    int auto_idx; /* the auto that was asked for, or CONF_NONE */
    struct route_candidate candidates[ROUTE_CANDIDATE_COUNT_MAX];
    size_t candidate_count;
};

/* NULL when out of memory. Keeps pointers into conf, which must outlive it. */
struct route_table *route_table_make(const struct conf *conf) MUST_CHECK;
void route_table_free(struct route_table **table);
const struct conf *route_table_conf(const struct route_table *table);

/* *plan is made for ROUTE_OK and ROUTE_ALL_DOWN, else undefined. */
enum route_result route_choose(const struct route_table *table, const struct route_ask *ask,
                               struct route_plan *plan) MUST_CHECK;

/*
 * The models a key sees: those its globs allow and that at least one of its channels serves, in
 * any protocol, in file order; down or not. Uses of *ask only channels, channel_named and
 * model_globs. Gives up to cap indexes and returns how many there are in all.
 */
size_t route_models(const struct route_table *table, const struct route_ask *ask, uint16_t *out,
                    size_t cap);
/* The same for auto names: those of whose models the key sees at least one. */
size_t route_autos(const struct route_table *table, const struct route_ask *ask, uint16_t *out,
                   size_t cap);

/* Protocols in which any of the table's channels serves the model: CONF_PROTOCOL_BIT()s. */
unsigned route_model_protocols(const struct route_table *table, uint16_t model_idx);

#endif
