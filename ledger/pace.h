/*
 * How long the ledger process lets settled calls gather before it commits them (mode relaxed).
 *
 * What gathers lies in lines that worker and ledger process walk over anew with each batch: as many as
 * a core's second cache holds with room to spare are cheap to visit, more are not, and a commit costs
 * the same whatever is in it. So the wait aims at PACE_RECORDS a batch, and is never so long that an
 * idle machine's books lag, nor so short that a disk is asked for nothing but syncs.
 */
#ifndef LEDGER_PACE_H
#define LEDGER_PACE_H

#include "base/base.h"

#define PACE_RECORDS 256
#define PACE_MS_MIN 5
#define PACE_MS_MAX 45

struct pace { /* all zero at first */
    uint64_t records, at_us;
};

/* Records: how many were ever committed by this process, now_us: the monotonic time. The wait in ms until
 * about PACE_RECORDS have come, if they go on coming as since the last call. */
static inline int
pace_wait_ms(struct pace *pace, uint64_t records, uint64_t now_us)
{
    uint64_t came = records - pace->records;
    uint64_t took_us = MIN(now_us - pace->at_us, UINT64_C(1000000));

    *pace = (struct pace){records, now_us};
    if (came == 0)
        return PACE_MS_MAX;
    return (int)MAX(MIN(took_us * PACE_RECORDS / came / 1000, (uint64_t)PACE_MS_MAX),
                    (uint64_t)PACE_MS_MIN);
}

#endif
