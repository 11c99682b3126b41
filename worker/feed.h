/*
 * Between the attempts of calls and the health that all workers share: what became of an attempt
 * goes to the line of the upstream's credential, and what the lines say goes to route as a snapshot.
 *
 * An attempt begins with feed_begin() and ends in feed_ok(), feed_failed() or feed_over(), after
 * which it has no ticket and is not counted as under way. A failure after feed_ok() (the answer had
 * begun) is reported once more, to feed_failed().
 */
#ifndef WORKER_FEED_H
#define WORKER_FEED_H

#include "shm/health.h"
#include "worker/room.h"

/* What the worker knows of an upstream as it starts. */
void feed_introduce(struct pool *pool);

/* What is known of upstreams, by index; read from the region at most every 10 ms. */
const struct route_health *feed_look(struct worker *w);

/* Says that a circuit opened or closed: once a change, not once a failure. */
void feed_log(const struct pool *pool, const struct health *health, enum health_change change);

enum feed_pass {
    FEED_GO = 0,
    FEED_OUT,  /* its circuit is open */
    FEED_FULL, /* at a limit of its provider's, see worker/limit.h */
};
/* May this candidate of the plan be tried? */
enum feed_pass feed_begin(struct call *call, uint8_t candidate) MUST_CHECK;
/* Is none of the plan's up, nor due for its trial? Then *error says so, and when to come again.
 * Changes nothing. */
bool feed_all_out(const struct call *call, struct proto_error *error) MUST_CHECK;
/* Its answer has begun. */
void feed_ok(struct call *call);
/* The same for an answer that came whole, with so many tokens of output. */
void feed_ok_whole(struct call *call, uint64_t output_tokens);
/* A stream that went well has ended. */
void feed_streamed(struct call *call, uint64_t output_tokens);
/* status: that the upstream answered with; 0 none. What it asked us to wait is in call->wait_s. */
void feed_failed(struct call *call, enum record_reason reason, unsigned status);
/* The attempt is over, whatever came of it. Safe to call twice. */
void feed_over(struct call *call);

/* Does such a failure speak against an upstream? Then *why is its class. */
bool feed_blames(enum record_reason reason, unsigned status, enum health_class *why);

#endif
