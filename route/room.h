/*
 * What the files of this room share. Nobody outside route/ includes it.
 *
 *     table.c   the table: a list of upstreams' credentials for every channel, model and protocol
 *     plan.c    from what was asked for to the plan
 *     key.c     what a key may use, from its slot in the region
 *     rights.c  the same, as it is asked about
 *     rule.c    the routing rules
 *     auto.c    the model, where the caller leaves it to us
 *     order.c   the order of the upstreams of a channel
 *     affine.c  where a conversation was served last
 *     place.c   the price of a model in a channel, for who asks
 *     look.c    what is known of upstreams, as a snapshot
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

/* A credential of an upstream, for a model in a channel. */
struct route_entry {
    uint16_t upstream_idx;
    uint16_t credential_idx; /* over all upstreams */
    uint8_t credential;      /* of the upstream's */
    uint32_t weight;         /* in draws: a credential's share of its upstream's */
    uint32_t use_weight;     /* the upstream's in the channel, as the file has it */
    uint32_t cost_u;         /* what the operator pays there, in millionths of the list price */
    uint32_t name_idx;
    uint64_t weight_end; /* sum of the weights in its list up to and with this one */
};

struct route_list {
    uint32_t start; /* in entries */
    uint32_t count;
    uint64_t blended;   /* what the model costs in the channel: blended_price() */
    uint16_t first_idx; /* credential_idx of the first, where there is one */
};

/* A model of an auto, with what decides whether it fits a request. */
struct route_member {
    uint16_t model_idx;
    uint16_t can; /* 1u << enum conf_can */
    uint8_t quality;
    uint64_t context;    /* tokens; UINT64_MAX: not stated */
    uint64_t output_max; /* likewise */
};

struct route_members {
    size_t start; /* in members */
    size_t count;
};

struct route_table {
    const struct conf *conf;
    struct route_list *lists; /* by channel, model, and protocol or service */
    struct route_entry *entries;
    size_t entry_count;
    struct route_name *names; /* the models' own, then those of renames */
    size_t name_count;
    char *json; /* what names[].json point into */
    uint16_t *public_channels;
    size_t public_count;
    struct route_members *autos; /* by auto */
    struct route_member *members; /* of all autos, in file order */
};

/* Lists of a channel and model: for each service one a protocol. */
#define LISTS_EACH (CONF_PROTOCOL_COUNT * ROUTE_SERVICE_COUNT)

static inline unsigned
list_for(enum conf_protocol protocol, enum route_service service)
{
    return (unsigned)service * CONF_PROTOCOL_COUNT + (unsigned)protocol;
}

/* Which of the lists a call looks at. */
static inline unsigned
list_asked(const struct route_ask *ask)
{
    return list_for(ask->protocol, ask->service);
}

static inline size_t
list_idx(const struct conf *conf, size_t channel_idx, size_t model_idx, unsigned list)
{
    return (channel_idx * conf->model_count + model_idx) * LISTS_EACH + list;
}

static inline const struct route_list *
list_of(const struct route_table *table, size_t channel_idx, size_t model_idx, unsigned list)
{
    return &table->lists[list_idx(table->conf, channel_idx, model_idx, list)];
}

/* The channels that a call may go to, in order. Not to be copied: at may point into it. */
struct channels {
    const uint16_t *at;
    size_t count;
    uint16_t own[CONF_CHANNEL_COUNT_MAX]; /* what at points to when they are not the key's all */
};

/* What the caller asked for, as far as it is understood. */
struct asked {
    struct str name; /* without a channel behind it */
    int model_idx;   /* or CONF_NONE */
    int auto_idx;    /* likewise */
    struct str channel; /* that the caller named; STR_NONE none */
};

/* A model in a channel. */
struct place {
    uint16_t model_idx;
    uint16_t channel_idx;
};

/* Over the channels that serve a model in the caller's protocol and are not too dear. The model may be
 * changed, and at set back to 0, on the way: the first place of all stays what others are compared
 * with. */
struct walk {
    const struct channels *channels;
    uint16_t model_idx;
    size_t at; /* of the next channel */
    bool quiet; /* tell no trace */
    bool first_known;
    struct place first;
    struct place place; /* where the walk is */
};

/* Over the entries of a list. */
struct order {
    const struct route_ask *ask;
    const struct route_entry *entries;
    size_t count;
    bool down;      /* over those that are, else over the others */
    bool full_too;  /* of those only such as are at a limit are left */
    unsigned given; /* places in the order that are taken */
    int affine;     /* the entry that comes first; CONF_NONE */
    uint64_t taken[CONF_CREDENTIAL_TOTAL_COUNT_MAX / 64]; /* a bit an entry */
};

static inline void
tell(const struct route_ask *ask, const struct route_event *event)
{
    if (ask->trace != NULL)
        ask->trace->on_event(ask->trace->arg, event);
}

/* An answer of middling length: what is compared by time or price. */
#define EXPECTED_TOKENS 200u

/* rights.c */
enum route_result channels_for(const struct route_table *table, const struct route_ask *ask,
                               struct str named, struct channels *out) MUST_CHECK;
/* Does one of the globs match the model, by its name or an alias? None match all. */
bool globs_allow(const struct str *globs, size_t count, const struct conf_model *model);
/* By the key's globs, alone. */
bool model_allowed(const struct route_ask *ask, const struct conf_model *model);

/* plan.c */
bool place_next(const struct route_table *table, const struct route_ask *ask, struct walk *walk);
/* The first channel where an upstream of the model is usable, else (ROUTE_ALL_DOWN) the first where
 * one would be. */
enum route_result channel_choose(const struct route_table *table, const struct route_ask *ask,
                                 const struct channels *channels, size_t model_idx,
                                 uint16_t *channel_idx) MUST_CHECK;

/* rule.c */
/* The rule that decides, or CONF_NONE. */
int rule_find(const struct route_table *table, const struct route_ask *ask,
              const struct asked *asked);
void rule_model(const struct route_table *table, const struct route_ask *ask,
                const struct conf_rule *rule, struct asked *asked);
void rule_channels(const struct conf_rule *rule, struct channels *channels);
/* May the fallback stand in for the model? */
enum route_out fallback_out(const struct route_ask *ask, const struct conf_model *model,
                            const struct conf_model *fallback);

/* auto.c */
/* Is the model among those that the auto chooses from? */
bool auto_has(const struct conf_auto *chooser, const struct conf_model *model);
enum route_result auto_choose(const struct route_table *table, const struct route_ask *ask,
                              const struct channels *channels, int auto_idx,
                              uint16_t *model_idx) MUST_CHECK;
/* Can the model do what the request needs? *missing: 1u << enum conf_can of what it cannot. */
enum route_out fit_out(const struct route_ask *ask, const struct conf_model *model,
                       unsigned *missing);

/* place.c */
struct price place_price(const struct conf *conf, const struct route_ask *ask,
                         const struct place *place);
int64_t place_multiplier(const struct conf *conf, const struct route_ask *ask,
                         const struct place *place);
/* What four tokens, one of them output, cost in 10^-12 credits: there, and at any multiplier. */
uint64_t place_blended(const struct route_table *table, const struct route_ask *ask,
                       const struct place *place);
uint64_t blended_price(const struct conf_model *model, int64_t multiplier_u);

/* affine.c */
/* Of these entries the one that served the conversation last, if it can take it; CONF_NONE. */
int affine_entry(const struct route_ask *ask, const struct route_entry *entries, size_t count);
/* The same over all places of the model: the first that has it, and the entry in its list. */
int affine_place(const struct route_table *table, const struct route_ask *ask,
                 const struct channels *channels, size_t model_idx, struct place *place);
/* What the turn is expected to cost there, with its context from a cache or without; as much as
 * can be when that is no amount. */
int64_t affine_cost(const struct conf *conf, const struct route_ask *ask,
                    const struct place *place, bool cached);

/* order.c */
bool is_full_or_down(const struct route_ask *ask, const struct route_entry *entry);
bool list_has_usable(const struct route_table *table, const struct route_ask *ask,
                     const struct route_list *list);
/* Keeps the pointers. */
void order_begin(struct order *order, const struct route_table *table, const struct route_ask *ask,
                 const struct route_list *list, bool down);
/* The entry to try next, or CONF_NONE. */
int order_next(struct order *order);
/* What it would be worth beside others: to be shown. */
uint64_t order_score(const struct order *order, int taken);

#endif
