/*
 * Charges computed again, from a record and the price table that the store has under the version it
 * names: for the replay of an audit and the lines of a receipt. On any thread, in one read
 * transaction.
 */
#ifndef LEDGER_CHARGE_H
#define LEDGER_CHARGE_H

#include "ledger/block.h"
#include "ledger/db.h"
#include "route/price.h"

#define CHARGE_TABLES 8

/* Price tables that were read, the one used longest ago making room. Starts zeroed but for txn. */
struct charge_book {
    struct db_txn *txn;
    struct charge_table {
        uint64_t version, used; /* used 0: free */
        struct conf *prices;
    } tables[CHARGE_TABLES];
    uint64_t turn;
};

void charge_book_free(struct charge_book *book);

/*
 * What the record was priced by; the counts as price_cost() takes them are charge_count(). -ENOENT
 * when there is no such table, or its model, channel, service or discount is not in it.
 */
int charge_price(struct charge_book *book, const struct block_record *record,
                 struct price *out) MUST_CHECK;
struct price_count charge_count(const struct block_record *record);

/* What the slot of this record must have been charged. As charge_price(). */
int charge_again(struct charge_book *book, const struct block_record *record,
                 int64_t *charge_ucr) MUST_CHECK;

#endif
