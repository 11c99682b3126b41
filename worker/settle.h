/* What a call costs, while it runs and at its end, and the record that it leaves. */
#ifndef WORKER_SETTLE_H
#define WORKER_SETTLE_H

#include "proto/usage.h"
#include "worker/room.h"

/* Begins the record of a call whose hold was just taken. */
void settle_begin(struct call *call);
/* The call goes to another candidate: the record names its model and channel. */
void settle_candidate(struct call *call);

/* What a call has used before anything was reported: its input, and so many tokens of output. */
struct price_count settle_estimate(const struct call *call, uint64_t output_tokens);
/* The same of a stream: as it reported where that can be believed, and for the rest by the size of
 * what flowed. Takes note of the service that it says serves it. */
struct price_count settle_claimed(struct call *call);
/* The same, with no more input than the request can hold. */
struct price_count settle_so_far(struct call *call);
/* What the request points to is asked for when a report is beyond its bytes; before these are given
 * back it is found out, unless no report can make it matter. */
void settle_keep_open(struct call *call);
/* Takes from the counts what is beyond these tokens of input, of output. */
void settle_cap_input(struct price_count *count, uint64_t input_max);
void settle_cap_output(struct price_count *count, uint64_t output_max);
/* The tokens of input of a report, of all kinds. */
uint64_t settle_input(const struct usage *usage);
/* The most tokens of input that the model can have read for the request: those that its bytes can
 * hold, but up to the model's context where it points to more than it has. */
uint64_t settle_input_bound(const struct call *call);
/* Does it offer tools that the provider runs? */
bool settle_hosts_tools(const struct call *call);
/*
 * The usage that an upstream reported, as BAD when it is more than can be: beyond the context of
 * the model. Its counts then stay, to be recorded.
 */
struct usage settle_judge(const struct call *call, struct usage usage);
/* A report's counts, as they are priced: what overlaps is taken apart. */
struct price_count settle_count(const struct usage *usage);
/* The price, as much as anybody has when it cannot be said. */
int64_t settle_cost(const struct call *call, const struct price_count *count);

enum settle_paid {
    SETTLE_PAID = 0,
    /* A further hold was just taken and is not durable yet (mode reserve); or, when call->hold_busy, it
     * could not be taken at the moment. Progress stays where it is: ask again. */
    SETTLE_PAID_SOON,
    SETTLE_UNPAID, /* there is no further hold to be had: the stream must be stopped */
    SETTLE_PAID_COUNT
};
/* Raises progress to what these counts cost. Takes a further hold where it would pass the present one. */
enum settle_paid settle_progress(struct call *call, const struct price_count *count) MUST_CHECK;
/* The same when the call is about to be settled: what is charged now needs no durable hold first. */
void settle_progress_end(struct call *call, const struct price_count *count);
/* One more slot for the same call, of at least so much; with announce, to be made durable. */
enum hold_result settle_extend(struct call *call, int64_t missing_ucr, bool announce) MUST_CHECK;
/* These counts with the prices of the candidate that the call is at, as a record keeps them. */
struct record_tally settle_tally(const struct call *call, const struct price_count *count);

/* Mode reserve: every hold of the call is on the disk. */
bool settle_durable(const struct call *call);
/* After settle_call(): its charges are. */
bool settle_committed(const struct call *call);

enum settle_by {
    SETTLE_NOTHING = 0, /* nothing was served: 0 */
    SETTLE_USAGE,       /* the upstream's report; if it is not usable, progress */
    SETTLE_PROGRESS,    /* what progress has come to */
};

struct settle_end {
    enum record_outcome outcome;
    enum settle_by by;
    struct usage usage;         /* as settle_judge() has it */
    struct price_count so_far;  /* what progress is raised to when the usage does not count */
    struct str service;         /* the service tier that served, as reported; "" when not */
    uint64_t output_estimate;   /* tokens, of what was relayed: for plausibility; 0 none */
    bool has_output;            /* something was relayed */
    unsigned http_status;       /* that the client got; 0 none */
    struct str model_reported;
};

/* Settles: once a call, and only while call->held. Returns what was charged. */
int64_t settle_call(struct call *call, const struct settle_end *end);

/* A candidate was passed over, since it is at its provider's limits: the record says so, once, while it
 * has room for that. */
void settle_skipped(struct call *call, uint8_t candidate);

/* A try ended: notes it in the record. reason REASON_NONE: it answers. */
void settle_attempt(struct call *call, enum record_reason reason, unsigned status);

#endif
