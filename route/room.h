/*
 * What the files of this room share. Nobody outside route/ includes it.
 *
 *     table.c   the table: a list of upstreams for every channel, model and protocol
 *     rights.c  what a key may use
 *     choose.c  the channels that a call may go to, and the order of upstreams in each
 *     auto.c    the model, where the caller leaves it to us
 *     score.c   how good one of them is
 *     price.c   what tokens cost
 */
#ifndef ROUTE_ROOM_H
#define ROUTE_ROOM_H

#include "route/route.h"

struct route_name {
    struct str sent;
    struct str json;
};

struct route_entry {
    uint16_t upstream_idx;
    uint32_t weight;
    uint32_t name_idx;
    uint64_t weight_end; /* sum of the weights in its list up to and with this one */
};

struct route_list {
    size_t start; /* in entries */
    uint32_t count;
};

struct route_table {
    const struct conf *conf;
    struct route_list *lists; /* by channel, model and protocol */
    struct route_entry *entries;
    size_t entry_count;
    struct route_name *names; /* the models' own, then those of renames */
    size_t name_count;
    char *json; /* what names[].json point into */
    uint16_t *public_channels;
    size_t public_count;
};

static inline size_t
list_idx(const struct conf *conf, size_t channel_idx, size_t model_idx, unsigned protocol)
{
    return (channel_idx * conf->model_count + model_idx) * CONF_PROTOCOL_COUNT + protocol;
}

static inline const struct route_list *
list_of(const struct route_table *table, size_t channel_idx, size_t model_idx, unsigned protocol)
{
    return &table->lists[list_idx(table->conf, channel_idx, model_idx, protocol)];
}

/* The channels that a call may go to, in order. */
struct channels {
    const uint16_t *at;
    size_t count;
    uint16_t one; /* what at points to when the caller named it */
};

/* rights.c */
enum route_result channels_for(const struct route_table *table, const struct route_ask *ask,
                               struct channels *out) MUST_CHECK;
/* By the key's globs, alone. */
bool model_allowed(const struct route_ask *ask, const struct conf_model *model);

/* choose.c: the first channel where an upstream of the model is usable, else (ROUTE_ALL_DOWN) the
 * first where one would be. */
enum route_result channel_choose(const struct route_table *table, const struct route_ask *ask,
                                 const struct channels *channels, size_t model_idx,
                                 uint16_t *channel_idx) MUST_CHECK;

/* auto.c */
/* Is the model among those that the auto chooses from? */
bool auto_has(const struct conf_auto *chooser, const struct conf_model *model);
enum route_result auto_choose(const struct route_table *table, const struct route_ask *ask,
                              const struct channels *channels, const struct conf_auto *chooser,
                              size_t *model_idx, uint16_t *channel_idx) MUST_CHECK;

#endif
