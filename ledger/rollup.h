/*
 * Totals by hour and by day, for each tenant, key and model: kept in the transaction that writes the
 * records, so that they always equal the records' sums. A call counts where it started.
 *
 * Key: period as u8 ('H' or 'D'), tenant, number of that hour or day since 1970 (UTC), key, model's
 * name id; all u32.
 *
 * DB_LATENCY has of each hour, under the same key, how long answered calls took: the length of the first of
 * two histograms as u16, then both: to the first byte, and in all. A day's is the sum of its hours'.
 */
#ifndef LEDGER_ROLLUP_H
#define LEDGER_ROLLUP_H

#include "base/base.h"
#include "ledger/block.h"
#include "ledger/db.h"
#include "ledger/histogram.h"

#define ROLLUP_HOUR 'H'
#define ROLLUP_DAY 'D'
#define ROLLUP_HOUR_US INT64_C(3600000000)
#define ROLLUP_DAY_US (24 * ROLLUP_HOUR_US)

/* Input includes that of sound and pictures, output all that came out, reasoning too. */
struct rollup {
    uint64_t calls, errors;
    uint64_t input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens;
    uint64_t output_tokens, reasoning_tokens;
    int64_t charge_ucr, uncollected_ucr;
};
_Static_assert(sizeof(struct rollup) == 80, "the store's form");

struct rollup_key {
    uint8_t period;
    uint32_t tenant_id, bucket, key_id, model;
};
struct db_key rollup_key(const struct rollup_key *key);
bool rollup_key_read(struct str bytes, struct rollup_key *out) MUST_CHECK;
bool rollup_read(struct str bytes, struct rollup *out) MUST_CHECK;
/* What one record counts for. */
struct rollup rollup_of(const struct block_record *record);
void rollup_add(struct rollup *to, const struct rollup *what);

/* Adds how long a record's call took, if it was answered. */
void rollup_times(const struct block_record *record, struct histogram *first_byte,
                  struct histogram *total);
/* Adds what is stored under an hour's key. False: it is damaged. */
bool rollup_times_read(struct str bytes, struct histogram *first_byte,
                       struct histogram *total) MUST_CHECK;

/* Adds the records' counts and times to the totals of their hours and days. */
int rollup_records(struct db_txn *txn, const struct block_record *const *records,
                   uint32_t count) MUST_CHECK;

#endif
