/*
 * The audit's look at the accounts of the books (ledger/books.h): each balance is what its movements come to, less what
 * calls took; what came into a tenant's pool by a kind of movement is what the movements of that kind say; and the
 * part that the accounts have in the sum of all, which is zero. Private to the audit.
 */
#ifndef LEDGER_AUDIT_BOOKS_H
#define LEDGER_AUDIT_BOOKS_H

#include "ledger/audit.h"
#include "ledger/block.h"
#include "ledger/transfer.h"

struct audit_books {
    struct audit *audit;
    bool cut; /* records were dropped: what calls took from grants and plans is only known in part */
    struct audit_book {
        struct book book;
        int64_t moved_ucr; /* by movements */
        int64_t taken_ucr; /* by calls whose records are there */
        bool seen;
    } *at;
    size_t count, cap;
    size_t *index; /* open addressing, of positions + 1; cap * 2 places */
};

int audit_books_transfer(struct audit_books *books, const struct transfer *transfer,
                         const struct transfer_legs *legs) MUST_CHECK;
/* What calls took from a grant or plan. */
int audit_books_taken(struct audit_books *books, const struct book *book, int64_t ucr) MUST_CHECK;
/* After all movements and records. What the accounts have in the sum of all is added to *zero_ucr. */
int audit_books_compare(struct audit_books *books, struct db_txn *txn, int64_t *zero_ucr) MUST_CHECK;
/* What came in by a kind of movement. */
int64_t audit_books_in(const struct audit_books *books, uint32_t tenant_id, enum db_transfer_kind kind);
void audit_books_free(struct audit_books *books);

#endif
