/*
 * The audit of the store, in one snapshot on any thread: the blocks' hashes and their chain; the
 * records' charges per tenant are the wallets' spent totals, and the rollups'; per budget and window
 * they are the budgets' totals; the transfers' chain, and their sums per tenant are the wallets'
 * deposits; all accounts sum to zero; totals by what calls have in common are the same sums (ledger/audit_sums.h).
 * And when it is asked for, every charge is computed again.
 */
#include "ledger/audit.h"
#include "ledger/audit_books.h"
#include "ledger/audit_log.h"
#include "ledger/audit_sums.h"
#include "ledger/charge.h"
#include "ledger/cut.h"
#include "ledger/rollup.h"
#include "ledger/transfer.h"

#include "base/ucr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is in the store may be damaged: a sum that overflows is a wrong sum, and is said to be. */
static void
add(int64_t *sum_ucr, int64_t ucr)
{
    if (!ucr_add(*sum_ucr, ucr, sum_ucr))
        *sum_ucr = INT64_MIN;
}

/* Sums by a dense id, grown as needed. */
struct sums {
    int64_t *at;
    size_t cap;
};

static int
sums_add(struct sums *sums, uint64_t id, int64_t ucr)
{
    if (id >= UINT32_MAX)
        return -EILSEQ;
    if (id >= sums->cap) {
        size_t cap = MAX((size_t)id + 1, sums->cap * 2);
        int64_t *at = realloc(sums->at, cap * sizeof(*at));

        if (at == NULL)
            return -ENOMEM;
        memset(at + sums->cap, 0, (cap - sums->cap) * sizeof(*at));
        sums->at = at;
        sums->cap = cap;
    }
    return ucr_add(sums->at[id], ucr, &sums->at[id]) ? 0 : -EOVERFLOW;
}

static int64_t
sums_get(const struct sums *sums, uint64_t id)
{
    return id < sums->cap ? sums->at[id] : 0;
}

struct window_sum {
    uint64_t budget_id;
    int64_t charge_ucr;
    uint16_t window;
};

struct books { /* what the records and transfers say, to be compared with the totals */
    struct audit *audit;
    struct db_tail tail;
    struct sums charge, hours, days;        /* by tenant */
    struct sums in[TRANSFER_PLAIN_COUNT];   /* by tenant */
    struct audit_books accounts;            /* all other movements */
    struct window_sum *windows;
    size_t window_count, window_cap;
    uint64_t records; /* that are there */
    struct cut cut;   /* what stands for the others */
    uint64_t cut_records;
    int64_t cut_charge_ucr;
    struct charge_book *charges; /* NULL: not computed again */
    struct audit_sums sums;
};

static int
window_cmp(const void *a, const void *b)
{
    const struct window_sum *x = a, *y = b;

    if (x->budget_id != y->budget_id)
        return x->budget_id < y->budget_id ? -1 : 1;
    return x->window < y->window ? -1 : x->window > y->window;
}

static void
windows_merge(struct books *books)
{
    size_t merged = 0;

    if (books->window_count == 0)
        return;
    qsort(books->windows, books->window_count, sizeof(*books->windows), window_cmp);
    for (size_t i = 0; i < books->window_count; i++) {
        if (merged > 0 && window_cmp(&books->windows[merged - 1], &books->windows[i]) == 0)
            add(&books->windows[merged - 1].charge_ucr, books->windows[i].charge_ucr);
        else
            books->windows[merged++] = books->windows[i];
    }
    books->window_count = merged;
}

static int
window_add(struct books *books, const struct window_sum *sum)
{
    if (books->window_count == books->window_cap) {
        windows_merge(books);
        if (books->window_count >= books->window_cap / 2) {
            size_t cap = MAX(books->window_cap * 2, 1024u);
            struct window_sum *at = realloc(books->windows, cap * sizeof(*at));

            if (at == NULL)
                return -ENOMEM;
            books->windows = at;
            books->window_cap = cap;
        }
    }
    books->windows[books->window_count++] = *sum;
    return 0;
}

/* The charge once more. */
static int
replay(struct books *books, const struct block_record *record)
{
    struct audit *audit = books->audit;
    const char *what = NULL;
    int64_t expected_ucr;
    int rc = charge_again(books->charges, record, &expected_ucr);

    if (rc < 0 && rc != -ENOENT)
        return rc;
    audit->replayed++;
    if (rc == -ENOENT)
        what = "charge without its prices";
    else if (expected_ucr != record->charge_ucr)
        what = "charge against its record";
    if (what == NULL)
        return 0;
    audit->differing++;
    audit_fault(audit, what, record->tenant_id, expected_ucr, record->charge_ucr);
    if (audit->faults_unlisted == 0) {
        struct audit_fault *fault = &audit->faults[audit->fault_count - 1];

        fault->has_call = true;
        memcpy(fault->call_id, record->rec.call_id, sizeof(fault->call_id));
    }
    return 0;
}

/* Of what the wallet did not pay. */
static int
read_paid(struct books *books, const struct block_record *record)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < record->paid_count; i++) {
        const struct block_paid *paid = &record->paid[i];
        struct book book = {(enum book_kind)paid->kind, record->tenant_id, paid->number};

        if (book.kind != BOOK_GRANT && book.kind != BOOK_PLAN)
            audit_fault(books->audit, "who paid", record->tenant_id, 0, paid->ucr);
        else
            rc = audit_books_taken(&books->accounts, &book, paid->ucr);
    }
    return rc;
}

static int
read_block(struct books *books, const struct block *block)
{
    struct block_record record;
    struct block_walk walk;
    int64_t sum_ucr = 0;
    uint32_t count = 0;
    int rc = 0;

    for (block_walk(block, 0, &walk); rc == 0 && block_next(&walk, &record); count++) {
        rc = sums_add(&books->charge, record.tenant_id, record.charge_ucr);
        for (unsigned k = 0; rc == 0 && k < BUDGET_KIND_COUNT; k++)
            if (record.budget_id[k] != 0 && record.charge_ucr != 0)
                rc = window_add(books, &(struct window_sum){record.budget_id[k], record.charge_ucr,
                                                            record.budget_window[k]});
        if (rc == 0)
            rc = read_paid(books, &record);
        if (rc == 0 && books->charges != NULL)
            rc = replay(books, &record);
        add(&sum_ucr, record.charge_ucr);
    }
    books->records += count;
    if (rc == 0 && (walk.damaged || count != block->head.record_count ||
                    sum_ucr != block->head.charge_ucr))
        audit_fault(books->audit, "block's records", block->head.seq, block->head.charge_ucr,
                    sum_ucr);
    return rc;
}

/* ---- what was dropped ---- */

static int
on_cut_tenant(void *arg, uint32_t tenant_id, const struct cut_tenant *sum)
{
    struct books *books = arg;

    books->cut_records += sum->record_count;
    add(&books->cut_charge_ucr, sum->charge_ucr);
    return sums_add(&books->charge, tenant_id, sum->charge_ucr);
}

static int
on_cut_budget(void *arg, uint64_t budget_id, uint16_t window, int64_t charge_ucr)
{
    return window_add(arg, &(struct window_sum){budget_id, charge_ucr, window});
}

static int
read_cut(struct db_txn *txn, struct books *books)
{
    struct cut_each each = {on_cut_tenant, on_cut_budget, books};
    uint8_t sums_hash[HASH_LEN];
    int rc = cut_load(txn, &books->cut);

    if (rc == 0)
        rc = cut_walk(txn, &each, sums_hash);
    if (rc < 0)
        return rc;
    if (!cut_is_sound(&books->cut))
        audit_fault(books->audit, "mark of the cut", books->cut.number, 0, 0);
    if (memcmp(sums_hash, books->cut.sums_hash, HASH_LEN) != 0)
        audit_fault(books->audit, "sums of the cut", books->cut.number, 0, 0);
    if (books->cut_records != books->cut.record_count)
        audit_fault(books->audit, "records of the cut", books->cut.number,
                    (int64_t)books->cut.record_count, (int64_t)books->cut_records);
    if (books->cut_charge_ucr != books->cut.charge_ucr)
        audit_fault(books->audit, "charges of the cut", books->cut.number, books->cut.charge_ucr,
                    books->cut_charge_ucr);
    return 0;
}

/* ---- records ---- */

static int
read_blocks(struct db_txn *txn, struct books *books)
{
    uint8_t hash[HASH_LEN];
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    memcpy(hash, books->cut.block_hash, HASH_LEN); /* the first that is left is chained to it */
    db_key_start(&from);
    rc = db_walk_start(txn, DB_BLOCK, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        struct block block;

        if (block_open(value, &block) < 0) {
            audit_fault(books->audit, "block's form", db_u64(key, 0), 0, 0);
            break;
        }
        if (memcmp(block.head.prev_hash, hash, HASH_LEN) != 0)
            audit_fault(books->audit, "block's chain", block.head.seq, 0, 0);
        if (block_verify(&block, hash) < 0)
            audit_fault(books->audit, "block's checksum", block.head.seq, 0, 0);
        rc = read_block(books, &block);
        if (rc == 0)
            rc = audit_sums_block(&books->sums, txn, db_u64(key, 0), value);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    if (rc == 0 && memcmp(hash, books->tail.block_hash, HASH_LEN) != 0)
        audit_fault(books->audit, "last block's hash", 0, 0, 0);
    if (rc == 0 && books->records + books->cut.record_count != books->tail.record_count)
        audit_fault(books->audit, "count of records", 0, (int64_t)books->tail.record_count,
                    (int64_t)(books->records + books->cut.record_count));
    return rc;
}

static int
read_transfers(struct db_txn *txn, struct books *books)
{
    uint8_t prev[HASH_LEN] = {0}, hash[HASH_LEN];
    struct db_key from;
    struct db_walk walk;
    struct str key, value, text;
    uint64_t count = 0;
    int rc;

    db_key_start(&from);
    rc = db_walk_start(txn, DB_TRANSFER, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        struct transfer transfer;
        struct transfer_legs legs;

        count++;
        if (transfer_read(value, &transfer, &legs, &text) < 0) {
            audit_fault(books->audit, "transfer's form", db_u64(key, 0), 0, 0);
            continue;
        }
        if (transfer_verify(value, prev, hash) < 0)
            audit_fault(books->audit, "transfer's chain", db_u64(key, 0), 0, 0);
        memcpy(prev, hash, HASH_LEN);
        if (transfer.kind < TRANSFER_PLAIN_COUNT)
            rc = sums_add(&books->in[transfer.kind], transfer.tenant_id,
                          transfer_in_ucr(&transfer, &legs));
        else
            rc = audit_books_transfer(&books->accounts, &transfer, &legs);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    if (rc == 0 && (count != books->tail.transfer_count ||
                    memcmp(prev, books->tail.transfer_hash, HASH_LEN) != 0))
        audit_fault(books->audit, "count of transfers", 0, (int64_t)books->tail.transfer_count,
                    (int64_t)count);
    return rc;
}

static int
read_rollups(struct db_txn *txn, struct books *books)
{
    struct db_key from;
    struct db_walk walk;
    struct str key_bytes, value;
    int rc;

    db_key_start(&from);
    rc = db_walk_start(txn, DB_ROLLUP, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key_bytes, &value)) {
        struct rollup_key key;
        struct rollup sum;

        if (!rollup_key_read(key_bytes, &key) || !rollup_read(value, &sum))
            rc = -EILSEQ;
        else
            rc = sums_add(key.period == ROLLUP_HOUR ? &books->hours : &books->days, key.tenant_id,
                          sum.charge_ucr);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

static void
compare(struct audit *audit, const char *what, uint64_t id, int64_t expected_ucr, int64_t found_ucr)
{
    if (expected_ucr != found_ucr)
        audit_fault(audit, what, id, expected_ucr, found_ucr);
}

/* A tenant's pool: what came in, and what was spent. */
static void
compare_wallet(struct books *books, uint32_t id, const struct db_wallet *wallet)
{
    struct audit *audit = books->audit;
    int64_t in_ucr[TRANSFER_KIND_COUNT], all_ucr = 0;

    compare(audit, "spent against records", id, sums_get(&books->charge, id), wallet->spent_ucr);
    compare(audit, "spent against hours", id, sums_get(&books->hours, id), wallet->spent_ucr);
    compare(audit, "spent against days", id, sums_get(&books->days, id), wallet->spent_ucr);
    for (unsigned i = 0; i < TRANSFER_KIND_COUNT; i++) {
        if (i < TRANSFER_PLAIN_COUNT)
            compare(audit, "source against transfers", id, sums_get(&books->in[i], id),
                    wallet->in_ucr[i]);
        in_ucr[i] = i < TRANSFER_PLAIN_COUNT
                        ? wallet->in_ucr[i]
                        : audit_books_in(&books->accounts, id, (enum db_transfer_kind)i);
        add(&all_ucr, in_ucr[i]);
    }
    compare(audit, "deposited against sources", id, all_ucr, wallet->deposited_ucr);
    audit_sums_compare(&books->sums, id, wallet, in_ucr);
}

static int
compare_wallets(struct db_txn *txn, struct books *books)
{
    int64_t zero_ucr = books->tail.revenue_ucr;
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    books->accounts.cut = books->cut.record_count > 0;
    rc = audit_books_compare(&books->accounts, txn, &zero_ucr);
    if (rc < 0)
        return rc;
    db_key_start(&from);
    rc = db_walk_start(txn, DB_WALLET, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        struct db_wallet wallet;

        if (value.len != sizeof(wallet)) {
            rc = -EILSEQ;
            break;
        }
        memcpy(&wallet, value.ptr, sizeof(wallet));
        wallet.spent_ucr = MAX(wallet.spent_ucr, -INT64_MAX);
        compare_wallet(books, db_u32(key, 0), &wallet);
        add(&zero_ucr, wallet.deposited_ucr);
        add(&zero_ucr, -wallet.spent_ucr);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    for (unsigned i = 0; i < TRANSFER_PLAIN_COUNT; i++)
        add(&zero_ucr, books->tail.source_ucr[i]);
    compare(books->audit, "sum of all accounts", 0, 0, zero_ucr);
    return rc;
}

static int
compare_budgets(struct db_txn *txn, struct books *books)
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    size_t i = 0;
    int rc;

    windows_merge(books);
    db_key_start(&from);
    rc = db_walk_start(txn, DB_BUDGET_TOTAL, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        const struct window_sum *sum = i < books->window_count ? &books->windows[i] : NULL;
        uint64_t id = db_u64(key, 0);
        int64_t total_ucr = 0;

        if (key.len != 10 || value.len != sizeof(total_ucr)) {
            rc = -EILSEQ;
            break;
        }
        memcpy(&total_ucr, value.ptr, sizeof(total_ucr));

        uint16_t window = (uint16_t)((uint8_t)key.ptr[8] << 8 | (uint8_t)key.ptr[9]);
        bool same = sum != NULL && sum->budget_id == id && sum->window == window;

        compare(books->audit, "budget's total against records", id, same ? sum->charge_ucr : 0,
                total_ucr);
        i += same;
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    if (rc == 0 && i != books->window_count)
        audit_fault(books->audit, "budget without its total", books->windows[i].budget_id, 0, 0);
    return rc;
}

int
audit_store(struct db_txn *txn, struct audit *audit, uint64_t *records)
{
    struct charge_book charges = {.txn = txn};
    struct books books = {.audit = audit, .charges = audit->replay ? &charges : NULL};
    struct str value;
    int rc = db_meta_get(txn, "tail", &value);

    if (rc == 0 && value.len != sizeof(books.tail))
        rc = -EILSEQ;
    if (rc == 0)
        memcpy(&books.tail, value.ptr, sizeof(books.tail));
    books.accounts.audit = audit;
    books.sums = (struct audit_sums){.audit = audit, .complete = sum_complete(txn)};
    if (rc == 0)
        rc = read_cut(txn, &books);
    if (rc == 0)
        rc = read_blocks(txn, &books);
    if (rc == 0)
        rc = read_transfers(txn, &books);
    if (rc == 0)
        rc = read_rollups(txn, &books);
    if (rc == 0)
        rc = audit_sums_read(&books.sums, txn);
    if (rc == 0)
        rc = compare_wallets(txn, &books);
    if (rc == 0)
        rc = compare_budgets(txn, &books);
    if (rc == 0)
        rc = audit_log_verify(txn, audit);
    *records = books.records;
    audit->dropped = books.cut.record_count;
    charge_book_free(&charges);
    free(books.charge.at);
    free(books.hours.at);
    free(books.days.at);
    for (unsigned i = 0; i < TRANSFER_PLAIN_COUNT; i++)
        free(books.in[i].at);
    audit_books_free(&books.accounts);
    free(books.windows);
    audit_sums_free(&books.sums);
    return rc;
}
