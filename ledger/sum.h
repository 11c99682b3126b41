/*
 * Totals of hours and days by what calls have in common: kept in the transaction that writes the records, so that
 * what they say of a window is there in the time that its hours and days take, however many records there are.
 *
 * Key of DB_SUM: period as u8 ('H' or 'D'), number of that hour or day since 1970 (UTC) as u32, tenant as u32 (0: all of
 * them together), enum sum_dim as u8, what of it as u32. Under SUM_KEY follow the model, channel, member and
 * project, u32 each, so that what these come to together can be told, too. What belongs to one hour lies together: that
 * is where commits write.
 *
 * A value has which minutes of the hour (hours of the day) have records: pages of records are found by it
 * (ledger/where.h); and of an hour a part for each quarter, since there are time zones whose days begin there.
 * Records that are dropped leave all of it as it is.
 *
 * In each dimension the parts come to SUM_ALL. SUM_TRANSFER is none of these: credit that moved, in `charge_ucr`, by
 * kind; what was taken out is negative.
 */
#ifndef LEDGER_SUM_H
#define LEDGER_SUM_H

#include "ledger/rollup.h"

enum sum_dim { /* the store's form: only added to at the end */
    SUM_ALL = 0,
    SUM_KEY,
    SUM_MEMBER,
    SUM_PROJECT,
    SUM_MODEL,    /* name id */
    SUM_CHANNEL,  /* likewise */
    SUM_OUTCOME,  /* enum record_outcome */
    SUM_STATUS,   /* of HTTP */
    SUM_TENANT,   /* of tenant 0 alone */
    SUM_TRANSFER, /* enum db_transfer_kind */
    SUM_DIM_COUNT
};
extern const char *const sum_dim_name[SUM_DIM_COUNT];

/* Of calls that were recorded by a program without these totals, and whose records are dropped: nobody knows. */
#define SUM_OUTCOME_UNKNOWN 255u

#define SUM_QUARTER_US INT64_C(900000000)
#define SUM_QUARTERS 4u
#define SUM_REST 4u
#define SUM_KEY_BYTES_MAX (14 + SUM_REST * 4)

struct sum {
    struct rollup of;
    uint64_t answered, first_byte_ms, total_ms; /* of answered calls: how many, and how long all of them took */
};
void sum_add(struct sum *to, const struct sum *what);
bool sum_is_none(const struct sum *sum);

struct sum_key {
    uint8_t period;
    uint32_t bucket, tenant_id;
    uint8_t dim;
    uint32_t value;
    uint32_t model, channel, member, project; /* of SUM_KEY; else 0 */
};
struct db_key sum_key(const struct sum_key *key);
bool sum_key_read(struct str bytes, struct sum_key *out) MUST_CHECK;

struct sum_row {
    uint64_t mask;                 /* minutes of the hour, or hours of the day */
    struct sum part[SUM_QUARTERS]; /* of a day only the first */
};
bool sum_row_read(struct str bytes, struct sum_row *out) MUST_CHECK;
/* The mask alone. */
bool sum_mask_read(struct str bytes, uint64_t *mask) MUST_CHECK;

/* The value of a record in a dimension. */
uint32_t sum_value(const struct block_record *record, enum sum_dim dim);
struct sum sum_of(const struct block_record *record);

/* Adds the records to the totals of their hours and days. */
int sum_records(struct db_txn *txn, const struct block_record *const *records,
                uint32_t count) MUST_CHECK;
/* Adds that to one row of an hour, and its day's: of the tenant or of all. */
int sum_put(struct db_txn *txn, const struct sum_key *hour, unsigned quarter, uint64_t mask,
            const struct sum *sum) MUST_CHECK;
/* Adds what moved, of the tenant and of all. */
int sum_transfer(struct db_txn *txn, uint32_t tenant_id, uint32_t kind, int64_t wall_us,
                 int64_t in_ucr) MUST_CHECK;

/* ---- reading ---- */

/* From a quarter of an hour since 1970 (UTC) to another, exclusive. */
struct sum_window {
    int64_t from, to;
};
/* Each row that lies in the window, with what of it does. A negative errno of it ends the walk. */
typedef int (*sum_row_fn)(void *arg, const struct sum_key *key, const struct sum *sum);
struct sum_ask {
    uint32_t tenant_id;
    enum sum_dim dim;
    uint32_t value; /* of that alone, when one is set */
    bool one;
    struct sum_window window;
};
int sum_walk(struct db_txn *txn, const struct sum_ask *ask, sum_row_fn row, void *arg) MUST_CHECK;
/* What all those rows come to. */
int sum_total(struct db_txn *txn, const struct sum_ask *ask, struct sum *out) MUST_CHECK;
/* Which minutes of an hour (period 'H') or hours of a day ('D') have such records. */
int sum_mask(struct db_txn *txn, uint8_t period, uint32_t bucket, uint32_t tenant_id,
             enum sum_dim dim, uint32_t value, uint64_t *mask) MUST_CHECK;
/* The first day that has anything. -ENOENT: there is none. */
int sum_first_day(struct db_txn *txn, uint32_t *day) MUST_CHECK;

/* ---- how far they go ---- */

/*
 * Where the totals and ledger/where.h stand. A store of a program that had none gets them little by little
 * (ledger/fill.h); until then `complete` is 0.
 */
struct sum_mark {
    uint64_t low_key;  /* blocks from this on are in */
    uint64_t high_key; /* up to this: else a program that knows nothing of them wrote blocks */
    uint64_t transfer_count; /* movements up to this are in */
    uint64_t complete;
};
_Static_assert(sizeof(struct sum_mark) == 32, "the store's form");
int sum_mark_load(struct db_txn *txn, struct sum_mark *mark) MUST_CHECK; /* -ENOENT */
int sum_mark_put(struct db_txn *txn, const struct sum_mark *mark) MUST_CHECK;
/* False also when that cannot be told. */
bool sum_complete(struct db_txn *txn);

#endif
