/*
 * route: which upstreams may serve a call, in which order, and at what price.
 *
 * Pure functions over a snapshot of routes.conf: a table is built once from it, a question comes
 * with all that changes (the key's rights, the health of upstreams, the state of a random
 * generator), the answer is a plan. No sockets, no clock, no allocation after the table is built.
 * route does not remember what became of a plan; whoever tried it feeds the health back.
 *
 * What was asked for is a model, an alias of one, an auto name that chooses among models, or one of
 * these with "@channel" behind it. The first of the routing rules that matches may put another model
 * or other channels in its place, but never what the key may not use. The plan then has the upstreams
 * that are usable, channel by channel in the key's order, each for its channel's price; where the key
 * allows that, those for siblings of the model that the rule lists; and at the end the same that are
 * down. Before all of them comes the place that
 * served the conversation last, where that is expected to cost no more. A credential of an
 * upstream stands in a plan once: in the first channel that uses it.
 *
 *     route.h   this
 *     price.h   what tokens cost
 *     room.h    what the files of the room share
 */
#ifndef ROUTE_ROUTE_H
#define ROUTE_ROUTE_H

#include "base/base.h"
#include "conf/conf.h"
#include "route/price.h"

#define ROUTE_CANDIDATE_COUNT_MAX 8

struct route_table;

/* What is known of one credential of an upstream. All zero is "usable, never failed, nothing else known". */
struct route_health {
    bool down;             /* its circuit is open: try others first */
    uint64_t failed_at_ms; /* last failure, on any clock that is the same for all; 0 never */
    uint32_t latency_us;   /* to the first byte; 0 unknown */
    uint32_t us_per_token; /* of output; 0 unknown */
    uint32_t error_ppm;    /* attempts that fail */
    uint32_t load_ppm;     /* calls under way, of those that it takes at a time: at 1000000 full */
    uint32_t used_ppm;     /* of the provider's own limits; at 1000000 the next call is refused */
};

/* What a request needs of a model; for auto names and rules. Zero is "nothing known". */
struct route_needs {
    unsigned can;           /* 1u << enum conf_can */
    uint64_t input_tokens;  /* estimated by its size */
    uint64_t output_tokens; /* the caller's cap; 0 none */
};

/* In millionths. */
struct route_weights {
    int64_t latency_u;
    int64_t cost_u;
    int64_t quality_u;
};

/* Where the conversation was served last: its provider may have the beginning in a cache. */
struct route_affinity {
    int upstream_idx, model_idx; /* CONF_NONE: not of this snapshot */
    uint8_t credential;
    uint64_t context_tokens; /* of the last turn */
    uint64_t input_tokens;   /* of this turn, estimated by its size; 0 unknown */
};

/* The one place that can serve a call: what it is about lies there. */
struct route_only {
    uint16_t upstream_idx;
    uint8_t credential; /* of the upstream's */
};

struct route_trace;

/* Which upstreams can take a call, by the protocols that they speak. */
enum route_service {
    ROUTE_NATIVE = 0, /* only those that speak the caller's */
    ROUTE_CHAT,       /* a conversation: translated where they do not */
    ROUTE_EMBED,      /* embeddings in OpenAI's shape: OpenAI's and Gemini's */
    ROUTE_SERVICE_COUNT
};

/* A list beside the key's own: it must allow the call, too. */
struct route_allow {
    const char *whose; /* "member", "project", "tenant" */
    bool any_channel;
    const uint16_t *channels; /* when not any */
    size_t channel_count;
    const struct str *model_globs; /* count 0: all */
    size_t model_glob_count;
};

/* What a tenant was promised to pay of the multipliers of some channels, for some models. */
struct route_deal {
    int channel_idx;   /* CONF_NONE: of every channel */
    struct str models; /* a glob, over names and aliases; empty: every model */
    uint32_t deal_u;   /* as in struct price */
};

struct route_ask {
    struct str model; /* as the caller wrote it */
    enum conf_protocol protocol;
    enum route_service service;
    /* The key's channels in its order; count 0: every public channel in file order. */
    const uint16_t *channels;
    size_t channel_count;
    struct str channel_named; /* by the caller; STR_NONE: none */
    /* The key's globs over models; count 0: all. A model passes by its name or any alias. */
    const struct str *model_globs;
    size_t model_glob_count;
    const struct route_allow *also; /* of the key's member, project, tenant */
    size_t also_count;
    const struct route_deal *deals; /* of the key's tenant: the first that is for a place counts there */
    size_t deal_count;
    bool no_dearer; /* no channel that is dearer than the first of the key's that serves the model */
    bool sibling;   /* other models of the family may serve, as a rule says */
    struct route_needs needs;
    struct str project, key_name;        /* for rules; may be STR_NONE */
    int64_t wall_us;                     /* likewise */
    const struct route_weights *weights; /* of the key's project; NULL: the auto's own */
    const struct route_affinity *affinity; /* NULL: none */
    const struct route_only *only;         /* NULL: any place will do */
    const struct route_health *health;   /* by credentials' numbers; NULL: all are usable */
    uint64_t *rng_state;                 /* of rng_next(): the same state, the same plan */
    const struct route_trace *trace;     /* told what is considered, and why; may be NULL */
};

enum route_result {
    ROUTE_OK = 0,
    ROUTE_NO_MODEL,            /* no such model, alias or auto */
    ROUTE_MODEL_NOT_ALLOWED,   /* by the key's globs */
    ROUTE_NO_SUCH_CHANNEL,     /* the caller named one that is not in the file */
    ROUTE_TWO_CHANNELS,        /* the caller named one by itself and another behind the model */
    ROUTE_CHANNEL_NOT_ALLOWED, /* it is there, but not the key's; or the key has none at all */
    ROUTE_NO_UPSTREAM,         /* nothing in the channels serves it for such a call */
    ROUTE_NO_FIT,              /* no model of the auto's can do what the request needs */
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
    uint64_t score;        /* beside others of its channel; only when a trace is kept */
    struct str model_sent; /* what the upstream calls the model */
    struct str model_json; /* the same as a JSON string, quotes included */
};

/* Valid as long as the table. */
struct route_plan {
    uint16_t model_idx; /* that was chosen; candidates of another are its siblings */
    int auto_idx; /* the auto that chose the model, or CONF_NONE */
    int rule_idx; /* the rule that decided, or CONF_NONE */
    struct route_candidate candidates[ROUTE_CANDIDATE_COUNT_MAX];
    size_t candidate_count;
};

/* NULL when out of memory. Keeps pointers into conf, which must outlive it. */
struct route_table *route_table_make(const struct conf *conf) MUST_CHECK;
void route_table_free(struct route_table **table);
const struct conf *route_table_conf(const struct route_table *table);

/* *plan is made for ROUTE_OK and ROUTE_ALL_DOWN, else undefined but for its indexes of rule and auto. */
enum route_result route_choose(const struct route_table *table, const struct route_ask *ask,
                               struct route_plan *plan) MUST_CHECK;

/*
 * Splits what a caller wrote into a model's name and the channel behind its last '@', STR_NONE when
 * there is none. A model, alias or auto whose own name has an '@' is that; the rest is a channel only
 * where the file has such a channel or such a model.
 */
struct str route_split(const struct conf *conf, struct str asked, struct str *channel);

/* Whose list it is that does not allow the model, or the channel, that was asked for: "key" or one of
 * ask->also. For ROUTE_MODEL_NOT_ALLOWED and ROUTE_CHANNEL_NOT_ALLOWED. */
const char *route_whose_models(const struct conf *conf, const struct route_ask *ask);
const char *route_whose_channels(const struct route_table *table, const struct route_ask *ask);

#define ROUTE_CLOSE_MAX 5
/* Names that the caller may have meant, the nearest first, of what its key may use: models, their
 * aliases, autos. Returns how many. Uses of *ask what route_models() does, and model. */
size_t route_close(const struct route_table *table, const struct route_ask *ask,
                   struct str close[ROUTE_CLOSE_MAX]);

/* The same of channels that the key may use, for one that was named. */
size_t route_close_channels(const struct route_table *table, const struct route_ask *ask,
                            struct str named, struct str close[ROUTE_CLOSE_MAX]);

/*
 * The models a key sees: those its globs allow, and its ask->also, and that at least one of its channels serves, in
 * any protocol, in file order; down or not. Uses of *ask only channels, channel_named and
 * model_globs. Gives up to cap indexes and returns how many there are in all.
 */
size_t route_models(const struct route_table *table, const struct route_ask *ask, uint16_t *out,
                    size_t cap);
/* The same for auto names: those of whose models the key sees at least one. */
size_t route_autos(const struct route_table *table, const struct route_ask *ask, uint16_t *out,
                   size_t cap);

/* ---- to explain a choice ---- */

/* Why something is out of a plan. */
enum route_out {
    ROUTE_IN = 0,
    ROUTE_OUT_CONDITION,   /* a rule: one of its conditions does not hold */
    ROUTE_OUT_NOT_ALLOWED, /* the key may not use it */
    ROUTE_OUT_NEEDS,       /* the model cannot do what the request needs */
    ROUTE_OUT_CONTEXT,     /* its context is too small */
    ROUTE_OUT_OUTPUT,      /* it gives less output than was asked for */
    ROUTE_OUT_EMBEDDINGS,  /* it makes embeddings, and none were asked for */
    ROUTE_OUT_NOT_SERVED,  /* nobody serves it there in this protocol; the upstream does not */
    ROUTE_OUT_SCORE,       /* a model of an auto: another has more */
    ROUTE_OUT_DEARER,      /* the channel is dearer than the key allows */
    ROUTE_OUT_SIBLING,     /* a fallback, and the key allows no sibling */
    ROUTE_OUT_FAMILY,      /* a fallback of another family */
    ROUTE_OUT_DISABLED,    /* its secret cannot be read */
    ROUTE_OUT_PROTOCOL,    /* it does not speak the caller's, nor one that it can be made into */
    ROUTE_OUT_REPEATED,    /* it is in the plan through an earlier channel */
    ROUTE_OUT_TOO_MANY,    /* the plan is full */
    ROUTE_OUT_COUNT
};
extern const char *const route_out_name[ROUTE_OUT_COUNT]; /* "in", "condition", … */

enum route_step {
    ROUTE_STEP_RULE = 0, /* a rule was looked at */
    ROUTE_STEP_MODEL,    /* a model of an auto, or that a rule names */
    ROUTE_STEP_CHANNEL,  /* a channel for a model; told only when it is out */
    ROUTE_STEP_UPSTREAM, /* an upstream in a channel; told only when it is out */
    ROUTE_STEP_COUNT
};

/* Indexes are CONF_NONE where they say nothing. Valid during the call. */
struct route_event {
    enum route_step step;
    enum route_out out;
    int rule_idx, model_idx, channel_idx, upstream_idx;
    const char *condition; /* of a rule: which one does not hold */
    unsigned missing;      /* ROUTE_OUT_NEEDS: 1u << enum conf_can */
    /* A model of an auto: its score and the parts, in 10^-12; the price of four tokens, one of them
     * output, in 10^-12 credits; the expected time, 0 unknown. */
    uint64_t score, latency_part, cost_part, quality_part;
    uint64_t price;
    uint64_t time_us;
};

struct route_trace {
    void (*on_event)(void *arg, const struct route_event *event);
    void *arg;
};

/* Why this upstream does not serve that model in that protocol: the test that the table was made by. */
enum route_out route_upstream_out(const struct conf *conf, size_t upstream_idx, size_t model_idx,
                                  enum conf_protocol protocol, enum route_service service);

/* The channels that a call may go to, in order, by the key and by what the caller named: up to
 * CONF_CHANNEL_COUNT_MAX indexes. Routing rules and prices may take some of them away. */
size_t route_channels(const struct route_table *table, const struct route_ask *ask,
                      uint16_t out[CONF_CHANNEL_COUNT_MAX]);
/* Is the model among those that the auto chooses from? */
bool route_auto_has(const struct conf *conf, size_t auto_idx, size_t model_idx);

/* Can it matter where a conversation was served last? Not where each model has only one place to go. */
bool route_has_choice(const struct route_table *table);

/* Protocols in which any of the table's channels serves the model: CONF_PROTOCOL_BIT()s. */
unsigned route_model_protocols(const struct route_table *table, uint16_t model_idx);

#endif
