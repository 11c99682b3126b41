/*
 * How long records of calls are kept: dropping the oldest blocks, a few in a transaction, and what they came to
 * into the cut (ledger/cut.h). Credit, totals, rollups and the chain stay as they are.
 *
 * By age: a block goes when it was committed longer ago than that. By size: the oldest go while the table of
 * blocks has more bytes. The last block always stays: a start looks into it (load_journalled()).
 */
#ifndef LEDGER_RETENTION_H
#define LEDGER_RETENTION_H

#include "ledger/core.h"
#include "ledger/cut.h"

struct retention { /* 0: no bound */
    uint64_t age_us;
    uint64_t size_bytes;
};

/*
 * Main thread, between batches: one step, of a few milliseconds at most. *more: there is more to be dropped, come
 * again soon. 0; -EILSEQ: a block that should go is damaged, so nothing was dropped, that it may be
 * looked at; other errnos: the store failed.
 */
int retention_step(struct ledger *ledger, const struct retention *keep, bool *more) MUST_CHECK;

/* What would be dropped now by those bounds. -ECANCELED: the store needs the room of a long reader. */
struct retention_preview {
    uint64_t blocks, records, bytes;
    int64_t charge_ucr, until_wall_us; /* the commit of the last of them; 0 none */
};
int retention_preview(struct db_txn *txn, const struct retention *keep, int64_t now_us,
                      struct retention_preview *out) MUST_CHECK;

/* ---- when: for the process's loop ---- */

struct retention_pace {
    uint64_t next_us; /* monotonic */
    int64_t wall_us;  /* both clocks at the first look, or when a leap was believed */
    uint64_t mono_us;
    uint64_t leap_us; /* monotonic: when a leap was seen; 0: there is none */
    bool started, more;
    bool damaged; /* said */
};
/* By the configuration in force, if it is time. *soon: there is more to do. */
int retention_turn(struct ledger *ledger, struct retention_pace *pace, uint64_t now_us,
                   bool *soon) MUST_CHECK;

#endif
