/*
 * A choice of upstreams put into words while it is made: what route_choose() considers, one event at a
 * time, and why what was not considered is out. Private to ledger/query_route.c.
 */
#ifndef LEDGER_EXPLAIN_H
#define LEDGER_EXPLAIN_H

#include "base/buf.h"
#include "base/jw.h"
#include "ledger/command.h"
#include "route/key.h"
#include "route/route.h"
#include "shm/health.h"

/* A list of the answer that grows while the choice is made. */
struct part {
    struct buf buf;
    struct jw jw;
};

struct explain {
    struct command *command;
    const struct conf *conf;
    struct region *region;
    uint64_t mono_us;
    int64_t wall_us;
    struct route_ask ask;
    struct route_key key;
    struct route_names names;
    struct route_health *health; /* by credentials' numbers */
    struct health **lines;
    bool *told; /* by upstream: it is in the plan, or why not was said */
    struct route_plan plan;
    struct part rules, models, out;
};

/* An array, to be filled. */
void part_begin(struct part *part);
/* Into the answer, which takes over the text. */
void part_end(struct part *part, struct jw *jw, const char *name);

/* The hook of struct route_trace; arg is the struct explain. Needs its parts begun. */
void explain_event(void *arg, const struct route_event *event);
/* Those that serve the model, but in no channel that this call may go to. made: there is a plan. */
void explain_elsewhere(struct explain *explain, bool made);
/* Where nothing serves the call: all upstreams of the channels that it may go to. */
void explain_channels(struct explain *explain, const struct route_table *table);

/* A member with a name, or null where idx is CONF_NONE. */
void explain_named(struct jw *jw, const char *key, int idx, struct str name);
/* Credits of 10^-12 as a decimal. */
void explain_price(struct jw *jw, const char *key, uint64_t per_million_u);

#endif
