#include "ledger/fill.h"

#include "base/log.h"
#include "ledger/transfer.h"
#include "ledger/cut.h"
#include "ledger/entity.h"
#include "ledger/unpack.h"
#include "ledger/where.h"

#include <errno.h>
#include <string.h>

/* Of one transaction. */
#define STEP_BLOCKS 32u
#define STEP_RECORDS 1024u
#define STEP_TRANSFERS 1024u
#define STEP_ROLLUPS 512u
#define STEP_US UINT64_C(20000)

/* ---- the start ---- */

static int
start_anew(struct ledger *ledger)
{
    struct sum_mark mark = {.low_key = ledger->tail.block_key + 1, .high_key = ledger->tail.block_key};
    struct db_txn txn;
    int rc = db_write(ledger->db, &txn);

    if (rc < 0)
        return rc;
    rc = db_empty(&txn, DB_SUM);
    if (rc == 0)
        rc = db_empty(&txn, DB_WHERE);
    if (rc == 0)
        rc = sum_mark_put(&txn, &mark);
    if (rc == 0) {
        rc = db_commit(&txn);
        ledger->sums = mark;
    }
    db_end(&txn);
    return rc;
}

int
fill_open(struct ledger *ledger)
{
    struct db_txn txn;
    int rc = db_read(ledger->db, &txn);

    if (rc < 0)
        return rc;
    rc = sum_mark_load(&txn, &ledger->sums);
    db_end(&txn);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (rc == 0 && ledger->sums.high_key == ledger->tail.block_key &&
        ledger->sums.transfer_count <= ledger->tail.transfer_count &&
        (ledger->sums.complete == 0 ||
         ledger->sums.transfer_count == ledger->tail.transfer_count))
        return 0;
    if (ledger->tail.block_seq > 0)
        log_info("sums.made", "blocks_until=%llu records=%llu why=%s",
                 (unsigned long long)ledger->tail.block_key,
                 (unsigned long long)ledger->tail.record_count, rc == 0 ? "behind" : "none");
    return start_anew(ledger);
}

/* ---- movements of credit, from the first on ---- */

static int
fill_transfers(struct ledger *ledger, struct db_txn *txn, struct sum_mark *mark)
{
    uint64_t until = MIN(ledger->tail.transfer_count, mark->transfer_count + STEP_TRANSFERS);
    int rc = 0;

    while (rc == 0 && mark->transfer_count < until) {
        struct db_key key = db_key_of_u64(mark->transfer_count + 1);
        struct transfer_legs legs;
        struct transfer transfer;
        struct str bytes, text;

        rc = db_get(txn, DB_TRANSFER, &key, &bytes);
        if (rc == 0)
            rc = transfer_read(bytes, &transfer, &legs, &text);
        if (rc == 0)
            rc = sum_transfer(txn, transfer.tenant_id, transfer.kind, transfer.wall_us,
                              transfer_in_ucr(&transfer, &legs));
        mark->transfer_count++;
    }
    return rc == -ENOENT ? -EILSEQ : rc;
}

/* ---- records, from the last block back ---- */

static int
fill_block(struct db_txn *txn, uint64_t block, uint32_t *records)
{
    struct db_key key = db_key_of_u64(block);
    struct unpacked unpacked = {0};
    struct str bytes;
    int rc = db_get(txn, DB_BLOCK, &key, &bytes);

    if (rc == 0)
        rc = unpack(&unpacked, bytes);
    if (rc == 0)
        rc = sum_records(txn, unpacked.at, unpacked.count);
    if (rc == 0)
        rc = where_records(txn, unpacked.at, unpacked.count, block);
    *records += unpacked.count;
    unpack_free(&unpacked);
    return rc;
}

/* -ENOENT: there are none any more. */
static int
fill_blocks(struct db_txn *txn, struct sum_mark *mark)
{
    uint32_t records = 0, blocks = 0;
    int rc = 0;

    while (rc == 0 && blocks < STEP_BLOCKS && records < STEP_RECORDS) {
        uint64_t block;

        rc = db_u64_before(txn, DB_BLOCK, mark->low_key, &block);
        if (rc == -ENOENT)
            return blocks > 0 ? 0 : -ENOENT;
        if (rc == 0)
            rc = fill_block(txn, block, &records);
        if (rc == 0)
            mark->low_key = block;
        blocks++;
    }
    return rc == -ENOENT ? -EILSEQ : rc;
}

/* ---- what was dropped ---- */

static int
on_row(void *arg, const struct sum_key *key, const struct sum *sum)
{
    (void)key;
    sum_add(arg, sum);
    return 0;
}

/* What a key and model have in an hour by the totals: a walk over the key's rows there. */
struct of_model {
    uint32_t model;
    struct sum sum;
};

static int
on_key_row(void *arg, const struct sum_key *key, const struct sum *sum)
{
    struct of_model *of = arg;

    return key->model == of->model ? on_row(&of->sum, key, sum) : 0;
}

static int64_t
less(int64_t a, int64_t b)
{
    return a > b ? a - b : 0;
}

static struct sum
left_of(const struct rollup *all, const struct rollup *known)
{
    return (struct sum){.of = {
        .calls = all->calls - MIN(all->calls, known->calls),
        .errors = all->errors - MIN(all->errors, known->errors),
        .input_tokens = all->input_tokens - MIN(all->input_tokens, known->input_tokens),
        .cache_read_tokens =
            all->cache_read_tokens - MIN(all->cache_read_tokens, known->cache_read_tokens),
        .cache_write_5m_tokens = all->cache_write_5m_tokens -
                                 MIN(all->cache_write_5m_tokens, known->cache_write_5m_tokens),
        .cache_write_1h_tokens = all->cache_write_1h_tokens -
                                 MIN(all->cache_write_1h_tokens, known->cache_write_1h_tokens),
        .output_tokens = all->output_tokens - MIN(all->output_tokens, known->output_tokens),
        .reasoning_tokens =
            all->reasoning_tokens - MIN(all->reasoning_tokens, known->reasoning_tokens),
        .charge_ucr = less(all->charge_ucr, known->charge_ucr),
        .uncollected_ucr = less(all->uncollected_ucr, known->uncollected_ucr),
    }};
}

static int
put_left(struct db_txn *txn, const struct rollup_key *of, const struct sum *left)
{
    const struct {
        enum sum_dim dim;
        bool of_all;
    } rows[] = {{SUM_ALL, false},     {SUM_KEY, false},    {SUM_MEMBER, false},
                {SUM_PROJECT, false}, {SUM_MODEL, false},  {SUM_CHANNEL, false},
                {SUM_OUTCOME, false}, {SUM_STATUS, false}, {SUM_ALL, true},
                {SUM_MODEL, true},    {SUM_CHANNEL, true}, {SUM_OUTCOME, true},
                {SUM_STATUS, true},   {SUM_TENANT, true}};
    struct entity_key entity;
    uint32_t value[SUM_DIM_COUNT] = {[SUM_KEY] = of->key_id,
                                     [SUM_MODEL] = of->model,
                                     [SUM_OUTCOME] = SUM_OUTCOME_UNKNOWN,
                                     [SUM_TENANT] = of->tenant_id};
    int rc = entity_key_get(txn, of->key_id, &entity);

    if (rc == 0 && entity.tenant_id == of->tenant_id) {
        value[SUM_MEMBER] = entity.member_id;
        value[SUM_PROJECT] = entity.project_id;
    }
    rc = rc == -ENOENT ? 0 : rc;
    for (size_t i = 0; rc == 0 && i < COUNT_OF(rows); i++) {
        struct sum_key key = {
            .period = ROLLUP_HOUR,
            .bucket = of->bucket,
            .tenant_id = rows[i].of_all ? 0 : of->tenant_id,
            .dim = (uint8_t)rows[i].dim,
            .value = value[rows[i].dim],
        };

        if (rows[i].dim == SUM_KEY) {
            key.model = of->model;
            key.member = value[SUM_MEMBER];
            key.project = value[SUM_PROJECT];
        }
        rc = sum_put(txn, &key, 0, 0, left);
    }
    return rc;
}

static int
fill_rollup(struct db_txn *txn, const struct rollup_key *key, const struct rollup *all)
{
    struct of_model known = {.model = key->model};
    struct sum_ask ask = {
        .tenant_id = key->tenant_id,
        .dim = SUM_KEY,
        .value = key->key_id,
        .one = true,
        .window = {(int64_t)key->bucket * SUM_QUARTERS, ((int64_t)key->bucket + 1) * SUM_QUARTERS},
    };
    int rc = sum_walk(txn, &ask, on_key_row, &known);
    struct sum left = left_of(all, &known.sum.of);

    return rc < 0 || sum_is_none(&left) ? rc : put_left(txn, key, &left);
}

/* -ENOENT: all were looked at. What was put is found to be known when this begins again. */
static int
fill_dropped(struct ledger *ledger, struct db_txn *txn)
{
    struct rollup_key keys[STEP_ROLLUPS];
    struct rollup sums[STEP_ROLLUPS];
    struct db_key from = ledger->fill_from;
    struct db_walk walk;
    struct str key, value;
    uint32_t count = 0;
    int rc;

    if (from.len == 0)
        db_key_u8(&from, ROLLUP_HOUR);
    rc = db_walk_start(txn, DB_ROLLUP, &from, 1, &walk);
    while (rc == 0 && count < STEP_ROLLUPS && db_walk_next(&walk, &key, &value)) {
        if (!rollup_key_read(key, &keys[count]) || !rollup_read(value, &sums[count]))
            rc = -EILSEQ;
        else
            count++;
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = fill_rollup(txn, &keys[i], &sums[i]);
    if (rc == 0 && count < STEP_ROLLUPS)
        return -ENOENT;
    if (rc == 0) {
        struct rollup_key next = keys[count - 1];

        ledger->fill_from = rollup_key(&next);
        db_key_u8(&ledger->fill_from, 0); /* the one after it */
    }
    return rc;
}

/* ---- steps ---- */

static int
fill_some(struct ledger *ledger, struct db_txn *txn, struct sum_mark *mark)
{
    struct cut cut;
    int rc;

    if (mark->transfer_count < ledger->tail.transfer_count)
        return fill_transfers(ledger, txn, mark);
    rc = fill_blocks(txn, mark);
    if (rc != -ENOENT)
        return rc;
    rc = cut_load(txn, &cut);
    if (rc == 0)
        rc = cut.number > 0 ? fill_dropped(ledger, txn) : -ENOENT;
    if (rc != -ENOENT)
        return rc;
    mark->complete = 1;
    log_info("sums.complete", "records=%llu", (unsigned long long)ledger->tail.record_count);
    return 0;
}

int
fill_step(struct ledger *ledger, bool *more)
{
    struct sum_mark mark = ledger->sums;
    struct db_txn txn;
    int rc;

    *more = false;
    if (mark.complete != 0)
        return 0;
    ASSERT(ledger->batch_count == 0); /* strictly serial: no batch is half done */
    rc = db_write(ledger->db, &txn);
    if (rc < 0)
        return rc;
    rc = fill_some(ledger, &txn, &mark);
    if (rc == 0)
        rc = sum_mark_put(&txn, &mark);
    if (rc == 0) {
        rc = db_commit(&txn);
        ledger->sums = mark;
        *more = mark.complete == 0;
    }
    db_end(&txn);
    return rc;
}

int
fill_turn(struct ledger *ledger, struct fill_pace *pace, uint64_t now_us, bool *soon)
{
    int rc;

    *soon = ledger->sums.complete == 0 && !pace->stopped;
    if (!*soon || now_us < pace->next_us)
        return 0;
    pace->next_us = now_us + STEP_US;
    rc = fill_step(ledger, soon);
    if (rc != -EILSEQ)
        return rc;
    log_error("sums.stopped", "why=\"a record of the store cannot be read\" hint=\"turnpike audit\"");
    pace->stopped = true;
    *soon = false;
    return 0;
}
