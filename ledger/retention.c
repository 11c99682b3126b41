#include "ledger/retention.h"

#include "base/log.h"
#include "base/ucr.h"
#include "ledger/unpack.h"
#include "ledger/where.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of one transaction: so many are read and deleted within a few milliseconds. */
#define STEP_BLOCKS 64u
#define STEP_RECORDS 2048u
/* Pages, as LMDB counts what a value takes; near enough to stop at. */
#define PAGE_BYTES 4096u
#define NODE_BYTES 24u

#define LOOK_US UINT64_C(1000000)
#define STEP_US UINT64_C(50000)
#define LEAP_US INT64_C(3600000000)
#define LEAP_BELIEVED_US UINT64_C(86400000000)

/* ---- which blocks ---- */

static uint64_t
block_bytes(size_t len)
{
    if (len + NODE_BYTES <= PAGE_BYTES / 2)
        return len + NODE_BYTES;
    return (len + NODE_BYTES + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

/* Goes from the oldest on, as long as blocks are to go. */
struct oldest {
    const struct retention *keep;
    uint64_t last_key;    /* stays, whatever is wanted */
    uint64_t before_key;  /* what was committed before that is too old */
    uint64_t over_bytes;  /* how much is too much */
};

static int
oldest_start(struct db_txn *txn, const struct retention *keep, int64_t now_us, struct oldest *oldest)
{
    uint64_t bytes = db_size(txn, DB_BLOCK).bytes;
    struct str key, value;
    int rc = db_last(txn, DB_BLOCK, &key, &value);

    *oldest = (struct oldest){.keep = keep};
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc; /* before_key is 0: none is older */
    oldest->last_key = db_u64(key, 0);
    if (keep->age_us > 0 && now_us > 0 && (uint64_t)now_us > keep->age_us)
        oldest->before_key = (uint64_t)now_us - keep->age_us;
    if (keep->size_bytes > 0 && bytes > keep->size_bytes)
        oldest->over_bytes = bytes - keep->size_bytes;
    return 0;
}

static bool
oldest_goes(struct oldest *oldest, uint64_t key, size_t len)
{
    if (key >= oldest->last_key || (key >= oldest->before_key && oldest->over_bytes == 0))
        return false;
    oldest->over_bytes -= MIN(oldest->over_bytes, block_bytes(len));
    return true;
}

/* ---- what they come to ---- */

struct tenant_part {
    uint32_t tenant_id;
    struct cut_tenant sum;
};
struct budget_part {
    uint64_t budget_id;
    int64_t charge_ucr;
    uint16_t window;
};
struct minute_part {
    uint64_t block;
    uint32_t minute;
};

/* What is read of the blocks, before anything is written: what LMDB gave is gone with the first write. */
struct step {
    struct ledger *ledger;
    struct cut cut;
    uint64_t blocks[STEP_BLOCKS];
    uint32_t block_count, record_count;
    struct tenant_part *tenants;
    struct budget_part *budgets;
    struct minute_part *minutes;
    uint32_t tenant_count, budget_count, minute_count, cap;
    bool more;
};

static int
step_reserve(struct step *step, uint32_t records)
{
    uint32_t cap = step->record_count + records;
    void *tenants, *budgets, *minutes;

    if (cap <= step->cap)
        return 0;
    tenants = realloc(step->tenants, cap * sizeof(*step->tenants));
    if (tenants != NULL)
        step->tenants = tenants;
    budgets = realloc(step->budgets, (size_t)cap * BUDGET_KIND_COUNT * sizeof(*step->budgets));
    if (budgets != NULL)
        step->budgets = budgets;
    minutes = realloc(step->minutes, cap * sizeof(*step->minutes));
    if (minutes != NULL)
        step->minutes = minutes;
    if (tenants == NULL || budgets == NULL || minutes == NULL)
        return -ENOMEM;
    step->cap = cap;
    return 0;
}

static int
step_record(struct step *step, uint64_t block_key, const struct block_record *r)
{
    uint32_t minute = (uint32_t)(r->rec.start_wall_us / 60000000);
    struct tenant_part *tenant = step->tenant_count > 0 ? &step->tenants[step->tenant_count - 1]
                                                        : NULL;
    const struct minute_part *last = step->minute_count > 0 ? &step->minutes[step->minute_count - 1]
                                                            : NULL;

    if (tenant == NULL || tenant->tenant_id != r->tenant_id) {
        tenant = &step->tenants[step->tenant_count++];
        *tenant = (struct tenant_part){.tenant_id = r->tenant_id};
    }
    tenant->sum.record_count++;
    if (!ucr_add(tenant->sum.charge_ucr, r->charge_ucr, &tenant->sum.charge_ucr) ||
        !ucr_add(step->cut.charge_ucr, r->charge_ucr, &step->cut.charge_ucr))
        return -EILSEQ;
    for (unsigned k = 0; k < BUDGET_KIND_COUNT; k++)
        if (r->budget_id[k] != 0 && r->charge_ucr != 0)
            step->budgets[step->budget_count++] =
                (struct budget_part){r->budget_id[k], r->charge_ucr, r->budget_window[k]};
    if (last == NULL || last->minute != minute || last->block != block_key)
        step->minutes[step->minute_count++] = (struct minute_part){block_key, minute};
    return 0;
}

/* The next block of the chain, whole and undamaged: else it is left for whoever looks into it. */
static int
step_block(struct step *step, uint64_t key, struct str bytes)
{
    struct block block;
    struct block_walk walk;
    struct block_record record;
    uint8_t hash[HASH_LEN];
    uint32_t count = 0;
    int rc = block_open(bytes, &block);

    if (rc < 0 || block_verify(&block, hash) < 0 ||
        memcmp(block.head.prev_hash, step->cut.block_hash, HASH_LEN) != 0)
        return -EILSEQ;
    rc = step_reserve(step, block.head.record_count);
    for (block_walk(&block, 0, &walk);
         rc == 0 && count < block.head.record_count && block_next(&walk, &record); count++)
        rc = step_record(step, key, &record);
    if (rc == 0 && (walk.damaged || count != block.head.record_count))
        rc = -EILSEQ;
    if (rc < 0)
        return rc;
    step->blocks[step->block_count++] = key;
    step->record_count += count;
    step->cut.block_count++;
    step->cut.record_count += count;
    step->cut.block_key = key;
    step->cut.block_seq = block.head.seq;
    memcpy(step->cut.block_hash, hash, HASH_LEN);
    return 0;
}

static int
step_read(struct step *step, struct db_txn *txn, const struct retention *keep, int64_t now_us)
{
    struct oldest oldest;
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc = oldest_start(txn, keep, now_us, &oldest);

    if (rc == 0)
        rc = cut_load(txn, &step->cut);
    if (rc == 0 && !cut_is_sound(&step->cut))
        rc = -EILSEQ;
    db_key_start(&from);
    if (rc < 0)
        return rc;
    rc = db_walk_start(txn, DB_BLOCK, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        if (!oldest_goes(&oldest, db_u64(key, 0), value.len))
            break;
        if (step->block_count == STEP_BLOCKS || step->record_count >= STEP_RECORDS) {
            step->more = true;
            break;
        }
        rc = step_block(step, db_u64(key, 0), value);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

/* ---- dropping them ---- */

static int
tenant_part_cmp(const void *a, const void *b)
{
    const struct tenant_part *x = a, *y = b;

    return x->tenant_id < y->tenant_id ? -1 : x->tenant_id > y->tenant_id;
}

static int
budget_part_cmp(const void *a, const void *b)
{
    const struct budget_part *x = a, *y = b;

    if (x->budget_id != y->budget_id)
        return x->budget_id < y->budget_id ? -1 : 1;
    return x->window < y->window ? -1 : x->window > y->window;
}

static int
minute_part_cmp(const void *a, const void *b)
{
    const struct minute_part *x = a, *y = b;

    if (x->minute != y->minute)
        return x->minute < y->minute ? -1 : 1;
    return x->block < y->block ? -1 : x->block > y->block;
}

static int
write_tenants(struct step *step, struct db_txn *txn)
{
    int rc = 0;

    qsort(step->tenants, step->tenant_count, sizeof(*step->tenants), tenant_part_cmp);
    for (uint32_t i = 0; rc == 0 && i < step->tenant_count;) {
        uint32_t tenant_id = step->tenants[i].tenant_id;
        struct cut_tenant sum = {0};

        for (; i < step->tenant_count && step->tenants[i].tenant_id == tenant_id; i++) {
            sum.record_count += step->tenants[i].sum.record_count;
            if (!ucr_add(sum.charge_ucr, step->tenants[i].sum.charge_ucr, &sum.charge_ucr))
                return -EILSEQ;
        }
        rc = cut_add_tenant(txn, &step->cut, tenant_id, &sum);
    }
    return rc;
}

static int
write_budgets(struct step *step, struct db_txn *txn)
{
    int rc = 0;

    qsort(step->budgets, step->budget_count, sizeof(*step->budgets), budget_part_cmp);
    for (uint32_t i = 0; rc == 0 && i < step->budget_count;) {
        const struct budget_part *first = &step->budgets[i];
        int64_t sum_ucr = 0;

        for (; i < step->budget_count && budget_part_cmp(first, &step->budgets[i]) == 0; i++)
            if (!ucr_add(sum_ucr, step->budgets[i].charge_ucr, &sum_ucr))
                return -EILSEQ;
        rc = cut_add_budget(txn, &step->cut, first->budget_id, first->window, sum_ucr);
    }
    return rc;
}

/* Where its calls are is told by what they have: so they are read once more. */
static int
delete_block(struct db_txn *txn, uint64_t block)
{
    struct db_key key = db_key_of_u64(block);
    struct unpacked unpacked = {0};
    struct str bytes;
    int rc = db_get(txn, DB_BLOCK, &key, &bytes);

    if (rc == 0)
        rc = unpack(&unpacked, bytes);
    if (rc == 0)
        rc = where_delete(txn, unpacked.at, unpacked.count, block);
    unpack_free(&unpacked);
    return rc == 0 ? db_delete(txn, DB_BLOCK, &key) : rc;
}

static int
delete_blocks(struct step *step, struct db_txn *txn)
{
    int rc = 0;

    qsort(step->minutes, step->minute_count, sizeof(*step->minutes), minute_part_cmp);
    for (uint32_t i = 0; rc == 0 && i < step->minute_count; i++)
        if (i == 0 || minute_part_cmp(&step->minutes[i - 1], &step->minutes[i]) != 0)
            rc = db_minute_delete(txn, step->minutes[i].minute, step->minutes[i].block);
    for (uint32_t i = 0; rc == 0 && i < step->block_count; i++)
        rc = delete_block(txn, step->blocks[i]);
    return rc == -ENOENT ? -EILSEQ : rc;
}

static int
step_write(struct step *step, struct db_txn *txn, struct db_tail *tail)
{
    int rc = write_tenants(step, txn);

    if (rc == 0)
        rc = write_budgets(step, txn);
    if (rc == 0)
        rc = delete_blocks(step, txn);
    if (rc == -EOVERFLOW)
        rc = -EILSEQ;
    if (rc == 0)
        rc = cut_store(txn, &step->cut);
    if (rc == 0)
        rc = db_tail_put(txn, tail);
    return rc;
}

static void
step_free(struct step *step)
{
    free(step->tenants);
    free(step->budgets);
    free(step->minutes);
}

/* Nothing of it has to be told to anybody: memory knows no records. */
static int
step_commit(struct step *step, struct db_txn *txn, const struct db_tail *tail)
{
    struct ledger *ledger = step->ledger;
    int rc = db_commit(txn);

    if (rc < 0)
        return rc;
    ledger->tail = *tail;
    if (step->cut.block_key > ledger->audit_block_key) {
        ledger->audit_block_key = step->cut.block_key;
        memcpy(ledger->audit_block_hash, step->cut.block_hash, HASH_LEN);
    }
    rc = ledger_point(ledger, POINT_CUT_COMMITTED);
    if (rc < 0)
        return rc;
    atomic_store_explicit(&ledger->region->header->applied_seq, ledger->tail.seq,
                          memory_order_release);
    return 0;
}

/* A look that costs two reads, as it mostly finds nothing to do. */
static int
is_due(struct ledger *ledger, const struct retention *keep, int64_t now_us, bool *due)
{
    struct oldest oldest;
    struct str key, value;
    struct db_txn txn;
    int rc = db_read(ledger->db, &txn);

    *due = false;
    if (rc < 0)
        return rc;
    rc = oldest_start(&txn, keep, now_us, &oldest);
    if (rc == 0)
        rc = db_first(&txn, DB_BLOCK, &key, &value);
    if (rc == 0)
        *due = oldest_goes(&oldest, db_u64(key, 0), value.len);
    db_end(&txn);
    return rc == -ENOENT ? 0 : rc;
}

int
retention_step(struct ledger *ledger, const struct retention *keep, bool *more)
{
    struct step step = {.ledger = ledger};
    struct db_tail tail = ledger->tail;
    int64_t now_us = ledger_wall_us(ledger);
    struct db_txn txn;
    bool due;
    int rc = is_due(ledger, keep, now_us, &due);

    *more = false;
    if (ledger->sums.complete == 0) /* what stands for its records is still to be made of them */
        return 0;
    ASSERT(ledger->batch_count == 0); /* strictly serial: no batch is half done */
    if (rc < 0 || !due)
        return rc;
    rc = db_write(ledger->db, &txn);
    if (rc < 0)
        return rc;
    tail.seq++;
    rc = step_read(&step, &txn, keep, now_us);
    step.cut.wall_us = now_us;
    if (rc == 0 && step.block_count > 0)
        rc = step_write(&step, &txn, &tail);
    if (rc == 0 && step.block_count > 0)
        rc = step_commit(&step, &txn, &tail);
    db_end(&txn);
    *more = rc == 0 && step.more;
    step_free(&step);
    return rc;
}

/* ---- looking ahead ---- */

int
retention_preview(struct db_txn *txn, const struct retention *keep, int64_t now_us,
                  struct retention_preview *out)
{
    struct oldest oldest;
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc = oldest_start(txn, keep, now_us, &oldest);

    memset(out, 0, sizeof(*out));
    if (rc < 0)
        return rc;
    db_key_start(&from);
    rc = db_walk_start(txn, DB_BLOCK, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        struct block block;

        if (!oldest_goes(&oldest, db_u64(key, 0), value.len))
            break;
        rc = db_wants_room(txn->db) ? -ECANCELED : block_open(value, &block);
        if (rc < 0)
            break;
        out->blocks++;
        out->records += block.head.record_count;
        out->bytes += block_bytes(value.len);
        if (!ucr_add(out->charge_ucr, block.head.charge_ucr, &out->charge_ucr))
            rc = -EILSEQ;
        out->until_wall_us = (int64_t)db_u64(key, 0);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

/* ---- when ---- */

/*
 * A wall clock that ran away from the monotonic one is wrong now, or was before, or the machine slept. Nothing is
 * dropped by it for a day, for that cannot be undone; then it is believed.
 */
static bool
clock_leapt(struct ledger *ledger, struct retention_pace *pace)
{
    int64_t wall_us = ledger_wall_us(ledger);
    uint64_t mono_us = ledger->host.mono_us(ledger->host.arg);

    if (!pace->started ||
        (pace->leap_us != 0 && mono_us - pace->leap_us > LEAP_BELIEVED_US)) {
        pace->started = true;
        pace->wall_us = wall_us;
        pace->mono_us = mono_us;
        pace->leap_us = 0;
    }

    int64_t ahead_us = wall_us - pace->wall_us - (int64_t)(mono_us - pace->mono_us);

    if (ahead_us <= LEAP_US) {
        pace->leap_us = 0;
        return false;
    }
    if (pace->leap_us == 0) {
        pace->leap_us = mono_us;
        log_warn("retention.held", "why=\"the clock was put forward\" by_s=%lld for_s=%llu",
                 (long long)(ahead_us / 1000000),
                 (unsigned long long)(LEAP_BELIEVED_US / 1000000));
    }
    return true;
}

int
retention_turn(struct ledger *ledger, struct retention_pace *pace, uint64_t now_us, bool *soon)
{
    struct retention keep;
    int rc;

    *soon = pace->more;
    if (ledger->conf == NULL || now_us < pace->next_us)
        return 0;
    *soon = pace->more = false;
    pace->next_us = now_us + LOOK_US;
    keep.age_us = ledger->conf->retention.records_ms * 1000;
    keep.size_bytes = ledger->conf->retention.size_bytes;
    if ((keep.age_us == 0 && keep.size_bytes == 0) || clock_leapt(ledger, pace))
        return 0;
    rc = retention_step(ledger, &keep, soon);
    pace->more = *soon;
    if (*soon)
        pace->next_us = now_us + STEP_US;
    if (rc != -EILSEQ)
        return rc;
    if (!pace->damaged)
        log_error("retention.stopped", "why=\"a block that should go is damaged\" hint=\"turnpike audit\"");
    pace->damaged = true;
    return 0;
}
