/*
 * The audit: do the books balance?
 *
 * In memory, on the main thread between batches: every account's word is what deposits, charges and
 * holds make it (a recount with a comparison, so exact under load), every budget's word likewise, no
 * slot stands aside as faulty.
 *
 * In the store, in one snapshot on any thread: the blocks' hashes and their chain; the records' charges
 * per tenant are the wallets' spent totals, and the rollups'; per budget and window they are the
 * budgets' totals; the transfers' chain, and their sums per tenant are the wallets' deposits; all
 * accounts sum to zero.
 */
#include "ledger/command.h"
#include "ledger/core.h"
#include "ledger/credit.h"
#include "ledger/entity.h"
#include "ledger/rollup.h"

#include "base/log.h"
#include "base/str.h"
#include "base/ucr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FAULTS_MAX 256
#define BUSY_TRIES 5
#define SAMPLE_BLOCKS 4096

struct fault {
    const char *what; /* static text */
    uint64_t id;      /* tenant, budget or block, as `what` says; 0 none */
    int64_t expected_ucr, found_ucr;
};

struct audit {
    struct recount_sum sum;
    struct fault faults[FAULTS_MAX];
    uint32_t fault_count;
    uint64_t faults_unlisted;
    uint64_t open_holds, settled, quarantined;
};

static void
audit_fault(struct audit *audit, const char *what, uint64_t id, int64_t expected_ucr,
            int64_t found_ucr)
{
    if (audit->fault_count == FAULTS_MAX) {
        audit->faults_unlisted++;
        return;
    }
    audit->faults[audit->fault_count++] = (struct fault){what, id, expected_ucr, found_ucr};
}

/* ---- memory ---- */

struct differs {
    struct ledger *ledger;
    struct audit *audit; /* NULL: only the log and the store are told */
    uint64_t count;
    struct fault first[16]; /* to be written down once the words are free again */
};

static void
on_differs(void *arg, const char *what, uint64_t id, int64_t expected_ucr, int64_t found_ucr)
{
    struct differs *differs = arg;

    log_error("audit.differs", "what=%s id=%llu expected_ucr=%lld found_ucr=%lld", what,
              (unsigned long long)id, (long long)expected_ucr, (long long)found_ucr);
    if (differs->count < COUNT_OF(differs->first))
        differs->first[differs->count] = (struct fault){what, id, expected_ucr, found_ucr};
    differs->count++;
    differs->ledger->stats.audit_faults++;
    if (differs->audit != NULL)
        audit_fault(differs->audit,
                    strcmp(what, "budget") == 0 ? "budget in memory" : "account in memory", id,
                    expected_ucr, found_ucr);
}

static void
keep_differences(struct differs *differs)
{
    uint64_t count = MIN(differs->count, COUNT_OF(differs->first));

    for (uint64_t i = 0; i < count; i++) {
        struct buf doc;
        struct jw jw;

        buf_init(&doc, 4096);
        jw_init(&jw, &doc);
        jw_object(&jw);
        jw_key_cstr(&jw, "what", differs->first[i].what);
        jw_key_u64(&jw, "id", differs->first[i].id);
        jw_key_i64(&jw, "expected_ucr", differs->first[i].expected_ucr);
        jw_key_i64(&jw, "found_ucr", differs->first[i].found_ucr);
        jw_key_time(&jw, "time", ledger_wall_us(differs->ledger));
        jw_object_end(&jw);
        if (!doc.failed)
            ledger_fault_keep(differs->ledger, buf_str(&doc));
        buf_free(&doc);
    }
}

/* All accounts and budgets, chunk by chunk, with a commit in between so that none waits long. */
static int
check_all(struct ledger *ledger, struct recount_sum *sum, struct differs *differs, bool *busy)
{
    uint32_t account = 1, budget = 1, tries = 0;
    int rc = 0;

    *busy = false;
    while (account != 0 || budget != 0) {
        uint32_t account_at = account, budget_at = budget;

        rc = recount_check(ledger, &account, &budget, sum, on_differs, differs);
        if (rc == -EAGAIN && ++tries < BUSY_TRIES) {
            account = account_at;
            budget = budget_at;
            continue;
        }
        *busy = *busy || rc == -EAGAIN;
        tries = 0;
        if (rc < 0 && rc != -EAGAIN)
            return rc;
        rc = ledger_commit_all(ledger);
        if (rc < 0)
            return rc;
    }
    keep_differences(differs);
    return 0;
}

static int
audit_prepare(struct command *command)
{
    struct ledger *ledger = command->ledger;
    struct audit *audit = arena_zalloc(&command->arena, sizeof(*audit));
    struct differs differs = {.ledger = ledger, .audit = audit};
    bool busy;
    int rc;

    if (audit == NULL)
        return -ENOMEM;
    command->state = audit;
    rc = recount_dead_tables(ledger);
    if (rc == 0)
        rc = ledger_commit_all(ledger);
    if (rc == 0)
        rc = check_all(ledger, &audit->sum, &differs, &busy);
    if (rc < 0)
        return rc;
    if (busy)
        audit_fault(audit, "some accounts could not be looked at", 0, 0, 0);
    (void)ledger_open_slots(ledger, &audit->open_holds, &audit->settled);
    for (uint32_t i = 0; i < ledger->quarantine_count; i++)
        audit_fault(audit, ledger->quarantine[i].fault, ledger->quarantine[i].table_idx, 0, 0);
    audit->quarantined = ledger->quarantine_count;
    return 0;
}

int
audit_all_accounts(struct ledger *ledger, uint64_t *differing)
{
    struct differs differs = {.ledger = ledger};
    struct recount_sum sum = {0};
    bool busy;
    int rc = check_all(ledger, &sum, &differs, &busy);

    *differing = differs.count;
    ledger->stats.audits++;
    return rc;
}

/* ---- the store ---- */

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
    struct sums in[TRANSFER_KIND_COUNT];    /* by tenant */
    struct window_sum *windows;
    size_t window_count, window_cap;
    uint64_t records;
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
window_add(struct books *books, const struct block_record *r, unsigned kind)
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
    books->windows[books->window_count++] =
        (struct window_sum){r->budget_id[kind], r->charge_ucr, r->budget_window[kind]};
    return 0;
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
                rc = window_add(books, &record, k);
        add(&sum_ucr, record.charge_ucr);
    }
    books->records += count;
    if (rc == 0 && (walk.damaged || count != block->head.record_count ||
                    sum_ucr != block->head.charge_ucr))
        audit_fault(books->audit, "block's records", block->head.seq, block->head.charge_ucr,
                    sum_ucr);
    return rc;
}

static int
read_blocks(struct db_txn *txn, struct books *books)
{
    uint8_t hash[HASH_LEN] = {0};
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

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
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    if (rc == 0 && memcmp(hash, books->tail.block_hash, HASH_LEN) != 0)
        audit_fault(books->audit, "last block's hash", 0, 0, 0);
    if (rc == 0 && books->records != books->tail.record_count)
        audit_fault(books->audit, "count of records", 0, (int64_t)books->tail.record_count,
                    (int64_t)books->records);
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

        count++;
        if (transfer_read(value, &transfer, &text) < 0) {
            audit_fault(books->audit, "transfer's form", db_u64(key, 0), 0, 0);
            continue;
        }
        if (transfer_verify(value, prev, hash) < 0)
            audit_fault(books->audit, "transfer's chain", db_u64(key, 0), 0, 0);
        memcpy(prev, hash, HASH_LEN);
        rc = sums_add(&books->in[transfer.kind], transfer.tenant_id,
                      transfer.kind == TRANSFER_DEDUCT ? -transfer.amount_ucr
                                                       : transfer.amount_ucr);
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

static int
compare_wallets(struct db_txn *txn, struct books *books)
{
    struct audit *audit = books->audit;
    int64_t zero_ucr = books->tail.revenue_ucr;
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    db_key_start(&from);
    rc = db_walk_start(txn, DB_WALLET, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        uint32_t id = db_u32(key, 0);
        struct db_wallet wallet;
        int64_t in_ucr = 0;

        if (value.len != sizeof(wallet)) {
            rc = -EILSEQ;
            break;
        }
        memcpy(&wallet, value.ptr, sizeof(wallet));
        wallet.spent_ucr = MAX(wallet.spent_ucr, -INT64_MAX);
        compare(audit, "spent against records", id, sums_get(&books->charge, id), wallet.spent_ucr);
        compare(audit, "spent against hours", id, sums_get(&books->hours, id), wallet.spent_ucr);
        compare(audit, "spent against days", id, sums_get(&books->days, id), wallet.spent_ucr);
        for (unsigned i = 0; i < TRANSFER_KIND_COUNT; i++) {
            compare(audit, "source against transfers", id, sums_get(&books->in[i], id),
                    wallet.in_ucr[i]);
            add(&in_ucr, wallet.in_ucr[i]);
        }
        compare(audit, "deposited against sources", id, in_ucr, wallet.deposited_ucr);
        add(&zero_ucr, wallet.deposited_ucr);
        add(&zero_ucr, -wallet.spent_ucr);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    for (unsigned i = 0; i < TRANSFER_KIND_COUNT; i++)
        add(&zero_ucr, books->tail.source_ucr[i]);
    compare(audit, "sum of all accounts", 0, 0, zero_ucr);
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

static int
audit_store(struct db_txn *txn, struct audit *audit, uint64_t *records)
{
    struct books books = {.audit = audit};
    struct str value;
    int rc = db_meta_get(txn, "tail", &value);

    if (rc == 0 && value.len != sizeof(books.tail))
        rc = -EILSEQ;
    if (rc == 0)
        memcpy(&books.tail, value.ptr, sizeof(books.tail));
    if (rc == 0)
        rc = read_blocks(txn, &books);
    if (rc == 0)
        rc = read_transfers(txn, &books);
    if (rc == 0)
        rc = read_rollups(txn, &books);
    if (rc == 0)
        rc = compare_wallets(txn, &books);
    if (rc == 0)
        rc = compare_budgets(txn, &books);
    *records = books.records;
    free(books.charge.at);
    free(books.hours.at);
    free(books.days.at);
    for (unsigned i = 0; i < TRANSFER_KIND_COUNT; i++)
        free(books.in[i].at);
    free(books.windows);
    return rc;
}

/* ---- the command ---- */

static void
write_fault(struct jw *jw, const struct fault *fault)
{
    jw_object(jw);
    jw_key_cstr(jw, "what", fault->what);
    jw_key_u64(jw, "id", fault->id);
    if (fault->expected_ucr != fault->found_ucr) {
        jw_key_ucr(jw, "expected", fault->expected_ucr);
        jw_key_ucr(jw, "found", fault->found_ucr);
    }
    jw_object_end(jw);
}

static int
write_accounts(struct command *command)
{
    struct jw *jw = &command->jw;
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    db_key_start(&from);
    rc = db_walk_start(&command->txn, DB_WALLET, &from, 0, &walk);
    jw_key(jw, "accounts");
    jw_array(jw);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        struct db_wallet wallet;

        if (value.len != sizeof(wallet)) {
            rc = -EILSEQ;
            break;
        }
        memcpy(&wallet, value.ptr, sizeof(wallet));
        jw_object(jw);
        credit_write(command, db_u32(key, 0), &wallet);
        jw_object_end(jw);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    jw_array_end(jw);
    return rc;
}

static int
audit_run(struct command *command)
{
    struct audit *audit = command->state;
    struct jw *jw = &command->jw;
    uint64_t records = 0;
    int rc = audit_store(&command->txn, audit, &records);

    if (rc == -EILSEQ || rc == -EOVERFLOW)
        audit_fault(audit, "a record of the store cannot be read", 0, 0, 0);
    else if (rc < 0)
        return rc;
    if (audit->sum.deposited_ucr !=
        audit->sum.available_ucr + audit->sum.held_ucr + audit->sum.spent_ucr)
        audit_fault(audit, "sums", 0, audit->sum.deposited_ucr,
                    audit->sum.available_ucr + audit->sum.held_ucr + audit->sum.spent_ucr);
    jw_key_bool(jw, "ok", audit->fault_count == 0);
    jw_key_ucr(jw, "deposited", audit->sum.deposited_ucr);
    jw_key_ucr(jw, "available", audit->sum.available_ucr);
    jw_key_ucr(jw, "held", audit->sum.held_ucr);
    jw_key_ucr(jw, "spent", audit->sum.spent_ucr);
    jw_key_u64(jw, "journal_lag", audit->settled);
    jw_key_u64(jw, "open_holds", audit->open_holds);
    jw_key_u64(jw, "tenants", audit->sum.accounts);
    jw_key_u64(jw, "records", records);
    jw_key(jw, "faults");
    jw_array(jw);
    for (uint32_t i = 0; i < audit->fault_count; i++)
        write_fault(jw, &audit->faults[i]);
    jw_array_end(jw);
    if (audit->faults_unlisted > 0)
        jw_key_u64(jw, "faults_unlisted", audit->faults_unlisted);
    return js_bool(js_get(command->args, STR("accounts")), false) ? write_accounts(command) : 0;
}

const struct command_def command_audit_defs[] = {
    {.name = "audit", .kind = COMMAND_READ, .run = audit_run, .prepare = audit_prepare},
    {.name = NULL},
};

/* ---- every ten seconds ---- */

static int
sample_blocks(struct ledger *ledger)
{
    struct db_key from = db_key_of_u64(ledger->audit_block_key + 1);
    struct db_walk walk;
    struct db_txn txn;
    struct str key, value;
    int rc = db_read(ledger->db, &txn);

    if (rc < 0)
        return rc;
    rc = db_walk_start(&txn, DB_BLOCK, &from, 0, &walk);
    for (int n = 0; rc == 0 && n < SAMPLE_BLOCKS && db_walk_next(&walk, &key, &value); n++) {
        uint8_t hash[HASH_LEN];
        struct block block;

        if (block_open(value, &block) < 0 || block_verify(&block, hash) < 0 ||
            memcmp(block.head.prev_hash, ledger->audit_block_hash, HASH_LEN) != 0) {
            log_error("audit.block", "key=%llu what=%s", (unsigned long long)db_u64(key, 0),
                      "damaged-or-chain-broken");
            ledger->stats.audit_faults++;
        } else {
            memcpy(ledger->audit_block_hash, hash, HASH_LEN);
        }
        ledger->audit_block_key = db_u64(key, 0);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    db_end(&txn);
    return rc;
}

/* How far each key's counter is above what its holds say. */
static void
keys_measure(struct ledger *ledger, int32_t *excess, uint32_t from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        excess[i] = atomic_load_explicit(&key_at(ledger->region, from + i)->inflight,
                                         memory_order_relaxed);
    for (uint32_t t = 0; t < LEDGER_TABLES_MAX; t++) {
        const struct hold_view *view = &ledger->view[t];

        if (!ledger->view_open[t])
            continue;
        for (uint32_t s = 0, used = slots_used(view); s < used; s++) {
            const struct record *record = &view->records[s];
            uint32_t idx = record->key_idx;

            if (hold_word_state(atomic_load_explicit(&view->slots[s].state,
                                                     memory_order_acquire)) == HOLD_HELD &&
                (record->flags & RECORD_INFLIGHT) != 0 && idx >= from && idx - from < count)
                excess[idx - from]--;
        }
    }
}

/*
 * A counter that was off by the same at two looks ten seconds apart leaked that much: a call enters and
 * leaves within a turn of its worker, so that honest differences do not last. The next keys follow.
 */
static int
sample_keys(struct ledger *ledger)
{
    uint32_t keys = atomic_load_explicit(&ledger->region->header->key_count, memory_order_acquire);
    uint32_t from = ledger->key_from <= keys ? ledger->key_from : 1;
    uint32_t count = MIN(keys + 1 - from, LEDGER_KEYS_SAMPLED);
    int32_t *now;

    if (keys == 0)
        return 0;
    if (ledger->key_excess == NULL)
        ledger->key_excess = calloc(LEDGER_KEYS_SAMPLED, sizeof(*now));
    now = calloc(LEDGER_KEYS_SAMPLED, sizeof(*now));
    if (now == NULL || ledger->key_excess == NULL) {
        free(now);
        return -ENOMEM;
    }
    keys_measure(ledger, now, from, count);
    for (uint32_t i = 0; ledger->key_second && i < count; i++) {
        int32_t was = ledger->key_excess[i], leaked = 0;

        if (was > 0 && now[i] > 0)
            leaked = MIN(was, now[i]);
        else if (was < 0 && now[i] < 0)
            leaked = MAX(was, now[i]);
        if (leaked != 0)
            atomic_fetch_sub_explicit(&key_at(ledger->region, from + i)->inflight, leaked,
                                      memory_order_relaxed);
    }
    memcpy(ledger->key_excess, now, LEDGER_KEYS_SAMPLED * sizeof(*now));
    free(now);
    ledger->key_from = ledger->key_second ? from + count : from;
    ledger->key_second = !ledger->key_second;
    return 0;
}

int
audit_sample(struct ledger *ledger)
{
    struct differs differs = {.ledger = ledger};
    struct recount_sum sum = {0};
    int rc;

    ledger->stats.audits++;
    if (ledger->audit_cursor == 0)
        ledger->audit_cursor = 1;
    if (ledger->audit_budget_cursor == 0)
        ledger->audit_budget_cursor = 1;
    rc = recount_check(ledger, &ledger->audit_cursor, &ledger->audit_budget_cursor, &sum,
                       on_differs, &differs);
    if (rc == -EAGAIN)
        rc = 0;
    keep_differences(&differs);
    if (rc == 0)
        rc = sample_blocks(ledger);
    return rc == 0 ? sample_keys(ledger) : rc;
}
