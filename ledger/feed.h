/*
 * The feed: the calls that are over, as they are committed, for those who watch: the access log
 * (ledger/access.h), `turnpike tail` (query_tail.c), telemetry (ledger/pump.h).
 *
 * It is one ring that the main thread writes, whoever reads, and that each reader goes through at its own
 * pace, with a number of its own: the queue of a reader is what lies between its number and the last one. A
 * reader that is slow loses the oldest, and is told how many; nobody waits for it. So it costs workers
 * nothing, and the ledger process a copy a call: there is no list of readers to be kept, one that dies
 * leaves nothing behind, and who comes late still sees the last 4,096.
 *
 * (Queues for each reader were the alternative: as many copies as readers, memory for each, and drops to
 * be counted in each. Telling of calls before they are committed was another: then lines could be of calls
 * that no audit finds.)
 */
#ifndef LEDGER_FEED_H
#define LEDGER_FEED_H

#include "base/base.h"
#include "ledger/block.h"
#include "shm/event.h"

#define FEED_EVENTS_MAX 4096u /* a power of two */

struct feed;
struct ledger;

int feed_new(struct feed **out) MUST_CHECK;
void feed_free(struct feed **feed); /* no reader is there any more */

/* Main thread: the batch was committed, without what was refused by it. */
void feed_committed(struct ledger *ledger, const struct block_record *const *refused,
                    uint32_t refused_count);
/* Main thread: what workers refused since. */
void feed_refused(struct ledger *ledger);

/* Main thread: what is wanted of it has changed, by a reload. Who wants it now begins with what comes next. */
void feed_mark(struct ledger *ledger);

/* ---- readers, on any thread ---- */

uint64_t feed_marked(struct feed *feed); /* the last event before the mark */

uint64_t feed_last(struct feed *feed); /* number of the last event, 0 none yet */
/*
 * Copies up to max of the events after *at into out[] and moves *at on. What was written over before it
 * could be read is added to *missed.
 */
unsigned feed_read(struct feed *feed, uint64_t *at, struct call_event *out, unsigned max,
                   uint64_t *missed);
/* Until there is something after `at`, feed_stop() was called, or the time is over. False: stopped. */
bool feed_wait(struct feed *feed, uint64_t at, unsigned timeout_ms);
/* Waits without being woken by what comes: for a reader that wants nothing at present. False: stopped. */
bool feed_idle(struct feed *feed, unsigned timeout_ms);
/* Readers shall come to an end. */
void feed_stop(struct feed *feed);
/* Refusals that were lost in workers' rings. */
uint64_t feed_refusals_missed(struct feed *feed);

/* Somebody looks now and then: for some seconds the main thread looks often for what was refused. */
void feed_watch(struct feed *feed, uint64_t now_mono_us);
bool feed_watched(const struct feed *feed, uint64_t now_mono_us);

#endif
