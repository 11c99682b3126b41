#include "ledger/audit_books.h"

#include "base/ucr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void
add(int64_t *sum_ucr, int64_t ucr)
{
    if (!ucr_add(*sum_ucr, ucr, sum_ucr))
        *sum_ucr = INT64_MIN;
}

static bool
is_same(const struct book *a, const struct book *b)
{
    return a->kind == b->kind && a->tenant_id == b->tenant_id && a->number == b->number;
}

/* Where the account stands in the index, or the free place for it. */
static size_t
place_of(const struct audit_books *books, const struct book *book)
{
    size_t mask = books->cap * 2 - 1;
    uint64_t mixed = ((uint64_t)book->kind << 56 ^ (uint64_t)book->tenant_id << 24 ^ book->number) *
                     UINT64_C(0x9e3779b97f4a7c15);
    size_t place = (size_t)(mixed >> 32) & mask;

    while (books->index[place] != 0 && !is_same(&books->at[books->index[place] - 1].book, book))
        place = (place + 1) & mask;
    return place;
}

static int
grow(struct audit_books *books)
{
    size_t cap = books->cap == 0 ? 64 : books->cap * 2;
    struct audit_book *at = realloc(books->at, cap * sizeof(*at));
    size_t *index;

    if (at == NULL)
        return -ENOMEM;
    books->at = at;
    index = calloc(cap * 2, sizeof(*index));
    if (index == NULL)
        return -ENOMEM;
    free(books->index);
    books->index = index;
    books->cap = cap;
    for (size_t i = 0; i < books->count; i++)
        index[place_of(books, &at[i].book)] = i + 1;
    return 0;
}

static struct audit_book *
look(const struct audit_books *books, const struct book *book)
{
    size_t at = books->cap == 0 ? 0 : books->index[place_of(books, book)];

    return at == 0 ? NULL : &books->at[at - 1];
}

static int
find(struct audit_books *books, const struct book *book, struct audit_book **out)
{
    size_t place;

    if (books->count == books->cap) {
        int rc = grow(books);

        if (rc < 0)
            return rc;
    }
    place = place_of(books, book);
    if (books->index[place] == 0) {
        books->at[books->count] = (struct audit_book){.book = *book};
        books->index[place] = ++books->count;
    }
    *out = &books->at[books->index[place] - 1];
    return 0;
}

static int
leg_add(struct audit_books *books, const struct transfer_leg *leg, int64_t ucr)
{
    struct book book = {(enum book_kind)leg->kind, leg->tenant_id, leg->number};
    struct audit_book *found;
    int rc;

    if (leg->kind == BOOK_WALLET)
        return 0; /* that is the tenant's pool, less its grants */
    if (leg->kind < BOOK_WALLET || leg->kind >= BOOK_IN) {
        audit_fault(books->audit, "transfer's account", leg->number, 0, ucr);
        return 0;
    }
    rc = find(books, &book, &found);
    if (rc == 0)
        add(&found->moved_ucr, ucr);
    return rc;
}

int
audit_books_transfer(struct audit_books *books, const struct transfer *transfer,
                     const struct transfer_legs *legs)
{
    int64_t in_ucr = transfer_in_ucr(transfer, legs);
    struct book in = {BOOK_IN, transfer->tenant_id, transfer->kind};
    struct audit_book *found;
    int rc;

    if (transfer->kind < TRANSFER_PLAIN_COUNT)
        return 0;
    rc = leg_add(books, &legs->from, -transfer->amount_ucr);
    if (rc == 0)
        rc = leg_add(books, &legs->to, transfer->amount_ucr);
    if (rc < 0 || in_ucr == 0)
        return rc;
    rc = find(books, &in, &found);
    if (rc == 0)
        add(&found->moved_ucr, in_ucr);
    return rc;
}

int
audit_books_taken(struct audit_books *books, const struct book *book, int64_t ucr)
{
    struct book in = {BOOK_IN, book->tenant_id, TRANSFER_PLAN};
    struct audit_book *found;
    int rc = find(books, book, &found);

    if (rc == 0)
        add(&found->taken_ucr, ucr);
    if (rc < 0 || book->kind != BOOK_PLAN)
        return rc;
    rc = find(books, &in, &found);
    if (rc == 0)
        add(&found->taken_ucr, -ucr); /* it came in by that */
    return rc;
}

/* Of dropped records nobody knows what they took, but that it was not less than nothing. */
static bool
may_have_taken_more(const struct audit_books *books, const struct book *book, int64_t expected_ucr,
                    int64_t found_ucr)
{
    if (!books->cut)
        return false;
    if (book->kind == BOOK_GRANT || book->kind == BOOK_PLAN)
        return found_ucr <= expected_ucr && (found_ucr >= 0 || book->kind == BOOK_PLAN);
    return book->kind == BOOK_IN && book->number == TRANSFER_PLAN && found_ucr >= expected_ucr;
}

static int
compare_one(struct audit_books *books, const struct book *book, int64_t found_ucr)
{
    struct audit_book *known;
    int64_t expected_ucr;
    int rc = find(books, book, &known);

    if (rc < 0)
        return rc;
    known->seen = true;
    if (!ucr_sub(known->moved_ucr, known->taken_ucr, &expected_ucr))
        expected_ucr = INT64_MIN;
    if (found_ucr != expected_ucr && !may_have_taken_more(books, book, expected_ucr, found_ucr))
        audit_fault(books->audit, "balance against movements",
                    book->tenant_id != 0 ? book->tenant_id : book->number, expected_ucr, found_ucr);
    if (book->kind == BOOK_GRANT && found_ucr < 0)
        audit_fault(books->audit, "grant below zero", book->number, 0, found_ucr);
    known->moved_ucr = found_ucr; /* for audit_books_in() */
    return 0;
}

int
audit_books_compare(struct audit_books *books, struct db_txn *txn, int64_t *zero_ucr)
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    db_key_start(&from);
    rc = db_walk_start(txn, DB_BOOK, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        struct book book;
        int64_t ucr;

        if (!book_read(key, value, &book, &ucr)) {
            rc = -EILSEQ;
            break;
        }
        rc = compare_one(books, &book, ucr);
        if (book.kind != BOOK_GRANT && book.kind != BOOK_IN) /* what grants have is in the pools */
            add(zero_ucr, ucr);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    for (size_t i = 0; rc == 0 && i < books->count; i++)
        if (!books->at[i].seen)
            rc = compare_one(books, &books->at[i].book, 0);
    return rc;
}

int64_t
audit_books_in(const struct audit_books *books, uint32_t tenant_id, enum db_transfer_kind kind)
{
    const struct audit_book *found = look(books, &(struct book){BOOK_IN, tenant_id, (uint64_t)kind});

    return found == NULL ? 0 : found->moved_ucr;
}

void
audit_books_free(struct audit_books *books)
{
    free(books->at);
    free(books->index);
}
