/*
 * A streamed answer: whole events, gathered from what one read of the upstream brought, go to the
 * client in one write; the meter looks at each. See worker/relay.h for what may end the call.
 */
#ifndef WORKER_STREAM_H
#define WORKER_STREAM_H

#include "worker/room.h"

#define GATHER_PARTS_MAX (CONN_PARTS_MAX - 4)

/* What waits to be written: ranges of the read buffer and of the splitter's. */
struct gather {
    unsigned count;
    struct str parts[GATHER_PARTS_MAX];
};

/* The upstream's head says that events follow. */
void stream_begin(struct call *call);
/* Pieces of the body. False when the call is over or has moved to another candidate. */
bool stream_take(struct call *call, const struct h1_res_out *out, struct gather *gather);
/* Writes what is gathered, holds it back (worker/commit.h), or keeps it until it is paid for
 * (worker/stream_wait.h). False when the call ended with it, or has moved to another candidate. */
bool stream_flush(struct call *call, struct gather *gather);
/* All that one read brought was taken: writes, notes progress, moves the timer. May end the call. */
void stream_fed(struct call *call, struct gather *gather);
/* The upstream's body ended cleanly, without the protocol's end mark so far. Ends the call, or moves it
 * to another candidate. */
void stream_upstream_done(struct call *call, struct gather *gather);
/* The client has its 200 and the rest will not come: error event, progress charged. Ends the call, at
 * once or (mode reserve) when the events before it went out. */
void stream_broken(struct call *call, enum record_reason reason, const struct proto_error *error);

/* Its proper end; last is the final piece, perhaps with a mark of ours. May end the call. */
void stream_complete(struct call *call, struct gather *gather, struct str last, struct str mark);

struct settle_end;
/* Usage as it shall be recorded and charged: the report if there is a good one, else progress. */
void stream_used(struct call *call, struct settle_end *end);

/* Mode strict: settled, and what the client may only see once that is durable is kept. */
void stream_wait_commit(struct call *call, struct str last, int64_t charge_ucr, struct str model);

#endif
