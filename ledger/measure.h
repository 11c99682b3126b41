/*
 * What operators see of the calls in graphs: each record is added, once it is committed, to the series
 * of the region (shm/series.h), and once a second what only this process knows is told there. No money
 * hangs on any of it.
 */
#ifndef LEDGER_MEASURE_H
#define LEDGER_MEASURE_H

#include "ledger/core.h"

/* Of a batch that was committed, before its slots are freed. */
void measure_records(struct ledger *ledger, const struct block_record *const *records,
                     uint32_t count);
void measure_gauges(struct ledger *ledger);

#endif
