/*
 * Totals (ledger/sum.h) and the whereabouts of calls (ledger/where.h) for a store that an earlier program wrote: made
 * little by little, between batches, the newest blocks first. New batches add theirs meanwhile. Until all is
 * there lists look through blocks as they did before, statistics say that they are not complete, and
 * nothing is dropped.
 *
 * What dropped records came to is told by the rollups by key and model; of whose channel and outcome they were
 * nobody knows any more, and they stand as that.
 */
#ifndef LEDGER_FILL_H
#define LEDGER_FILL_H

#include "ledger/core.h"

/* At the start: whether there is something to do. A program that does not know of them may have written since: then
 * all is made anew. */
int fill_open(struct ledger *ledger) MUST_CHECK;
/* One step, of a few milliseconds. *more: come again. 0; -EILSEQ: a block is damaged; other errnos: the store failed. */
int fill_step(struct ledger *ledger, bool *more) MUST_CHECK;

/* For the process's loop: a step when it is time. *soon: there is more to do. */
struct fill_pace {
    uint64_t next_us;
    bool stopped; /* by damage, which was said */
};
int fill_turn(struct ledger *ledger, struct fill_pace *pace, uint64_t now_us, bool *soon) MUST_CHECK;

#endif
