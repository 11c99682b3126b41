/*
 * Which blocks have calls that began in a minute, of a tenant, and of whom and what: so that a page of them costs what
 * is in it, and not what lies between. Kept in the transactions that write and that drop the blocks.
 *
 * Key of DB_WHERE: minute of the calls' start as u32, tenant as u32 (0: of anyone), then as u8 what is told, and of it
 * as u32; the values are keys of blocks, in order.
 *
 * Few records of a minute are found by looking at them: their block stands under WHERE_FEW alone. When a minute of a
 * tenant has WHERE_FEW_BLOCKS such, or a block more than WHERE_FEW_RECORDS of its records, that block stands under
 * WHERE_MANY, and under what its records have in each of the dimensions: that is worth it then, and costs little, since
 * many records share these.
 *
 * Which minutes are worth a look is said by the totals' masks (ledger/sum.h).
 */
#ifndef LEDGER_WHERE_H
#define LEDGER_WHERE_H

#include "ledger/block.h"
#include "ledger/db.h"
#include "ledger/sum.h"

#define WHERE_FEW_BLOCKS 4u
#define WHERE_FEW_RECORDS 16u
/* Beside those of enum sum_dim. */
#define WHERE_FEW 100u
#define WHERE_MANY 101u

/* Records of a block, which must be in its order: by tenant, then by start. */
int where_records(struct db_txn *txn, const struct block_record *const *records, uint32_t count,
                  uint64_t block) MUST_CHECK;
/* Takes it away again. -ENOENT: something was not there. */
int where_delete(struct db_txn *txn, const struct block_record *const *records, uint32_t count,
                 uint64_t block) MUST_CHECK;
/* How many entries they have; -ENOENT: not what they must be. */
int where_check(struct db_txn *txn, const struct block_record *const *records, uint32_t count,
                uint64_t block, uint64_t *entries) MUST_CHECK;

/* ---- reading ---- */

#define WHERE_FILTERS_MAX 8
struct where_filter {
    enum sum_dim dim;
    uint32_t value;
};
struct where {
    uint32_t tenant_id; /* 0: anyone */
    struct where_filter filters[WHERE_FILTERS_MAX];
    unsigned filter_count; /* all of them hold */
    uint32_t steps;        /* that were made: for who bounds them */
};
/*
 * The nearest minute at or before *minute, not below `end` (or at or after it, not above), that may have such records.
 * -ENOENT.
 */
int where_minute(struct db_txn *txn, struct where *where, bool oldest_first, uint32_t end,
                 uint32_t *minute) MUST_CHECK;
/* The nearest block of a minute that is below *block (or above) and may have such records. -ENOENT. */
int where_block(struct db_txn *txn, struct where *where, bool oldest_first, uint32_t minute,
                uint64_t *block) MUST_CHECK;
/* The first and the last minute that any record began in. -ENOENT. */
int where_ends(struct db_txn *txn, uint32_t *first, uint32_t *last) MUST_CHECK;
bool where_holds(const struct where *where, const struct block_record *record);

#endif
