/*
 * Batches: from settled slots to committed records and freed slots. The order of things, and what
 * makes up for a death in between, stands in ledger/core.h; the slot's own life in shm/hold.h; which
 * slots a batch has, in ledger/collect.c.
 */
#include "ledger/batch.h"

#include "base/ucr.h"
#include "ledger/entity.h"
#include "ledger/feed.h"
#include "ledger/grant.h"
#include "ledger/measure.h"
#include "ledger/rollup.h"
#include "ledger/used.h"
#include "ledger/where.h"
#include "shm/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- the transaction ---- */

int
ledger_name_of(struct db_txn *txn, struct db_tail *tail, struct str text, uint32_t *out)
{
    struct db_key by_text, by_id;
    struct str value;
    int rc;

    db_key_start(&by_text);
    db_key_u8(&by_text, 0xff);
    if (!db_key_text(&by_text, text))
        return -EINVAL;
    rc = db_get(txn, DB_NAME, &by_text, &value);
    if (rc == 0)
        *out = db_u32(value, 0);
    if (rc != -ENOENT)
        return rc;
    *out = ++tail->name_last;
    by_id = db_key_of_u32(*out);
    rc = db_put(txn, DB_NAME, &by_id, text);
    return rc < 0 ? rc
                  : db_put(txn, DB_NAME, &by_text, (struct str){(const char *)by_id.bytes, by_id.len});
}

int
ledger_name(struct ledger *ledger, struct db_txn *txn, struct db_tail *tail, uint16_t region_name,
            uint32_t *out)
{
    struct str text = name_text(ledger->region, region_name);
    int rc;

    *out = id_map_get(&ledger->name_of_region, region_name);
    if (*out != 0 || region_name == 0 || text.len == 0)
        return 0;
    rc = ledger_name_of(txn, tail, text, out);
    if (rc == -EINVAL)
        return 0; /* no name of ours is that long */
    /* Should this transaction fail the process ends, and what the map remembers with it. */
    return rc < 0 ? rc : id_map_set(&ledger->name_of_region, region_name, *out);
}

static int
attempt_names(struct ledger *ledger, struct db_txn *txn, struct db_tail *tail,
              struct block_record *r)
{
    int rc = 0;

    for (unsigned a = 0; rc == 0 && a < r->rec.attempt_count; a++) {
        rc = ledger_name(ledger, txn, tail, r->rec.attempt[a].upstream, &r->attempt_upstream[a]);
        if (rc == 0)
            rc = ledger_name(ledger, txn, tail, r->rec.attempt[a].channel, &r->attempt_channel[a]);
        if (rc == 0 && r->rec.attempt[a].model != r->rec.model)
            rc = ledger_name(ledger, txn, tail, r->rec.attempt[a].model, &r->attempt_model[a]);
    }
    return rc;
}

static int
batch_names(struct ledger *ledger, struct db_txn *txn, struct db_tail *tail)
{
    for (uint32_t i = 0; i < ledger->batch_count; i++) {
        struct block_record *r = &ledger->batch[i].record;
        int rc;

        if (ledger->batch[i].account_idx == 0)
            continue; /* came with the store's ids */
        rc = ledger_name(ledger, txn, tail, r->rec.model, &r->model);
        if (rc == 0)
            rc = ledger_name(ledger, txn, tail, r->rec.channel, &r->channel);
        if (rc == 0)
            rc = ledger_name(ledger, txn, tail, r->rec.upstream, &r->upstream);
        if (rc == 0)
            rc = ledger_name(ledger, txn, tail, r->rec.family, &r->family);
        if (rc == 0)
            rc = ledger_name(ledger, txn, tail, r->rec.asked, &r->asked);
        if (rc == 0)
            rc = ledger_name(ledger, txn, tail, r->rec.rule, &r->rule);
        if (rc == 0)
            rc = attempt_names(ledger, txn, tail, r);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* What records are ordered by, apart from them: a sort looks at each many times. */
struct order_key {
    int64_t start_us;
    uint32_t tenant_id;
    uint32_t idx; /* in the batch */
};

static int
order_key_cmp(const void *a, const void *b)
{
    const struct order_key *x = a, *y = b;

    if (x->tenant_id != y->tenant_id)
        return x->tenant_id < y->tenant_id ? -1 : 1;
    if (x->start_us != y->start_us)
        return x->start_us < y->start_us ? -1 : 1;
    return x->idx < y->idx ? -1 : 1;
}

/* By tenant, then by start. */
static int
records_order(const struct ledger *ledger, const struct block_record **records, uint32_t count)
{
    struct order_key *keys = malloc(count * sizeof(*keys));

    if (keys == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        const struct block_record *r = &ledger->batch[i].record;

        keys[i] = (struct order_key){r->rec.start_wall_us, r->tenant_id, i};
    }
    qsort(keys, count, sizeof(*keys), order_key_cmp);
    for (uint32_t i = 0; i < count; i++)
        records[i] = &ledger->batch[keys[i].idx].record;
    free(keys);
    return 0;
}

/*
 * Adds one tenant's charges to its wallet. A record that would overflow a total is left out (false) and
 * set aside by the caller: only a slot that nobody honest wrote can have such a charge.
 */
static bool
wallet_charge(struct db_wallet *wallet, struct db_tail *tail, const struct block_record *r)
{
    int64_t spent_ucr, revenue_ucr;

    if (!ucr_add(wallet->spent_ucr, r->charge_ucr, &spent_ucr) || spent_ucr > ACCOUNT_UCR_MAX ||
        !ucr_add(tail->revenue_ucr, r->charge_ucr, &revenue_ucr))
        return false;
    ASSERT(spent_ucr >= wallet->spent_ucr);
    wallet->spent_ucr = spent_ucr;
    tail->revenue_ucr = revenue_ucr;
    if (!ucr_add(wallet->uncollected_ucr, r->rec.uncollected_ucr, &wallet->uncollected_ucr))
        wallet->uncollected_ucr = INT64_MAX;
    if (!(r->rec.flags & RECORD_EXTENSION))
        wallet->call_count++;
    return true;
}

/* Records are the batch's own, whatever the list of them says. */
static struct block_record *
own(const struct block_record *record)
{
    return (struct block_record *)(uintptr_t)record;
}

static int
batch_wallets(struct ledger *ledger, struct db_txn *txn, struct db_tail *tail, const struct block_record **records,
              uint32_t *count, const struct block_record **refused, uint32_t *refused_count)
{
    struct grants grants;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < *count;) {
        uint32_t tenant_id = records[i]->tenant_id;
        struct db_key key = db_key_of_u32(tenant_id);
        struct db_wallet wallet;
        int rc = db_get_fixed(txn, DB_WALLET, &key, &wallet, sizeof(wallet));

        if (rc == 0)
            rc = grants_load(ledger, txn, tenant_id, &grants);
        if (rc < 0)
            return rc == -ENOENT ? -EILSEQ : rc;
        for (; i < *count && records[i]->tenant_id == tenant_id; i++) {
            if (!wallet_charge(&wallet, tail, records[i])) {
                refused[(*refused_count)++] = records[i];
                continue;
            }
            grants_pay(&grants, own(records[i]));
            records[kept++] = records[i];
        }
        rc = grants_store(txn, &grants);
        if (rc == 0)
            rc = db_put(txn, DB_WALLET, &key, (struct str){(const char *)&wallet, sizeof(wallet)});
        if (rc < 0)
            return rc;
    }
    *count = kept;
    return 0;
}

static int
budget_total_add(struct db_txn *txn, uint64_t budget_id, uint16_t window, int64_t charge_ucr)
{
    struct db_key key;
    int64_t total_ucr = 0;
    int rc;

    db_key_start(&key);
    db_key_u64(&key, budget_id);
    db_key_u16(&key, window);
    rc = db_get_fixed(txn, DB_BUDGET_TOTAL, &key, &total_ucr, sizeof(total_ucr));
    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (!ucr_add(total_ucr, charge_ucr, &total_ucr))
        total_ucr = INT64_MAX;
    return db_put(txn, DB_BUDGET_TOTAL, &key,
                  (struct str){(const char *)&total_ucr, sizeof(total_ucr)});
}

/* When a rolling window ends, for a memory that is made anew. One that was over before its charge came
 * needs no end. */
static int
budget_open_keep(const struct ledger *ledger, struct db_txn *txn, uint64_t budget_id,
                 uint16_t window)
{
    const struct budget *budget =
        budget_at(ledger->region, id_map_get(&ledger->budget_of_id, (uint32_t)budget_id));
    struct db_budget_open open, now = {.window = window};
    int rc;

    if (budget == NULL ||
        atomic_load_explicit(&budget->period, memory_order_relaxed) != BUDGET_ROLLING)
        return 0;
    rc = entity_budget_open(txn, budget_id, &open);
    if (rc < 0 || open.window > window)
        return rc;
    now.ends_us = budget_edge_us(budget, window);
    if (open.window == window && open.ends_us >= now.ends_us)
        return 0;
    return entity_budget_open_put(txn, budget_id, &now);
}

struct budget_part {
    uint64_t budget_id;
    int64_t charge_ucr;
    uint16_t window;
};

static int
budget_part_cmp(const void *a, const void *b)
{
    const struct budget_part *x = a, *y = b;

    if (x->budget_id != y->budget_id)
        return x->budget_id < y->budget_id ? -1 : 1;
    return x->window < y->window ? -1 : x->window > y->window;
}

static int
batch_budgets(const struct ledger *ledger, struct db_txn *txn,
              const struct block_record *const *records, uint32_t count)
{
    struct budget_part *parts = calloc((size_t)count * BUDGET_KIND_COUNT, sizeof(*parts));
    uint32_t part_count = 0;
    int rc = 0;

    if (parts == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        for (unsigned k = 0; k < BUDGET_KIND_COUNT; k++)
            if (records[i]->budget_id[k] != 0 && records[i]->charge_ucr != 0)
                parts[part_count++] = (struct budget_part){
                    .budget_id = records[i]->budget_id[k],
                    .charge_ucr = records[i]->charge_ucr,
                    .window = records[i]->budget_window[k],
                };
    qsort(parts, part_count, sizeof(*parts), budget_part_cmp);
    for (uint32_t i = 0; rc == 0 && i < part_count;) {
        const struct budget_part *first = &parts[i];
        int64_t sum_ucr = 0;

        for (; i < part_count && budget_part_cmp(first, &parts[i]) == 0; i++)
            if (!ucr_add(sum_ucr, parts[i].charge_ucr, &sum_ucr))
                sum_ucr = INT64_MAX;
        rc = budget_total_add(txn, first->budget_id, first->window, sum_ucr);
        if (rc == 0)
            rc = budget_open_keep(ledger, txn, first->budget_id, first->window);
    }
    free(parts);
    return rc;
}

static int
batch_open_holds(struct ledger *ledger, struct db_txn *txn,
                 const struct block_record *const *records, uint32_t count)
{
    if (db_is_empty(txn, DB_OPEN_HOLD)) /* as it is in all modes but reserve */
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        struct slot_ref ref = {records[i]->table_idx, records[i]->slot, records[i]->generation};
        struct db_key key = ledger_open_hold_key(ledger, &ref);
        int rc = db_delete(txn, DB_OPEN_HOLD, &key);

        if (rc < 0 && rc != -ENOENT)
            return rc;
    }
    return 0;
}

static int
batch_block(struct ledger *ledger, struct db_txn *txn, struct db_tail *tail,
            const struct block_record *const *records, uint32_t count)
{
    int64_t now_us = ledger_wall_us(ledger);
    struct block_head head = {
        .seq = tail->seq,
        .region_id = ledger->region_id,
        .commit_wall_us = now_us,
    };
    struct buf bytes;
    uint64_t key_us = MAX((uint64_t)MAX(now_us, 1), tail->block_key + 1);
    struct db_key key = db_key_of_u64(key_us);
    int rc;

    buf_init(&bytes, BLOCK_BYTES_MAX);
    memcpy(head.prev_hash, tail->block_hash, HASH_LEN);
    rc = block_pack(records, count, &head, &bytes, tail->block_hash);
    if (rc == 0)
        rc = db_append(txn, DB_BLOCK, &key, buf_str(&bytes));
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        uint32_t minute = (uint32_t)(records[i]->rec.start_wall_us / 60000000);

        if (i == 0 || (uint32_t)(records[i - 1]->rec.start_wall_us / 60000000) != minute)
            rc = db_minute_put(txn, minute, key_us);
    }
    buf_free(&bytes);
    tail->block_key = key_us;
    tail->block_seq = tail->seq;
    tail->record_count += count;
    return rc;
}

static int
batch_used(struct ledger *ledger, struct db_txn *txn, const struct block_record *const *records,
           uint32_t count)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = used_note(ledger, txn, records[i]->rec.key_id, records[i]->rec.start_wall_us);
    return rc;
}

/* Those that lists and statistics are answered from. */
static int
batch_sums(struct ledger *ledger, struct db_txn *txn, const struct db_tail *tail,
           const struct block_record *const *records, uint32_t count)
{
    struct sum_mark mark = ledger->sums;
    int rc = sum_records(txn, records, count);

    if (rc == 0)
        rc = batch_used(ledger, txn, records, count);

    mark.high_key = tail->block_key;
    if (rc == 0)
        rc = where_records(txn, records, count, tail->block_key);
    return rc == 0 ? sum_mark_put(txn, &mark) : rc;
}

static int
batch_write(struct ledger *ledger, struct db_tail *tail, const struct block_record **records,
            uint32_t *count, const struct block_record **refused, uint32_t *refused_count)
{
    struct db_txn txn;
    int rc = db_write(ledger->db, &txn);

    if (rc < 0)
        return rc;
    tail->seq++;
    rc = batch_names(ledger, &txn, tail);
    if (rc == 0)
        rc = batch_wallets(ledger, &txn, tail, records, count, refused, refused_count);
    if (rc == 0 && *count > 0)
        rc = batch_budgets(ledger, &txn, records, *count);
    if (rc == 0 && *count > 0)
        rc = batch_open_holds(ledger, &txn, records, *count);
    if (rc == 0 && *count > 0)
        rc = batch_block(ledger, &txn, tail, records, *count);
    if (rc == 0 && *count > 0)
        rc = rollup_records(&txn, records, *count);
    if (rc == 0 && *count > 0)
        rc = batch_sums(ledger, &txn, tail, records, *count);
    if (rc == 0)
        rc = db_tail_put(&txn, tail);
    if (rc < 0) {
        db_end(&txn);
        return rc;
    }
    /* Not tried again when it fails: what of it is on the disk nobody can say. */
    return db_commit(&txn);
}

/* ---- after the commit ---- */

void
ledger_wake_tables(struct ledger *ledger, uint64_t tables)
{
    if (ledger->host.wake_worker == NULL || ledger->durability == LEDGER_RELAXED)
        return;
    for (uint32_t t = 0; t < LEDGER_TABLES_MAX; t++)
        if (tables >> t & 1)
            ledger->host.wake_worker(ledger->host.arg, t);
}

static int
item_apply(struct ledger *ledger, const struct batch_item *item)
{
    const struct block_record *r = &item->record;
    struct account *account = account_at(ledger->region, item->account_idx);
    int64_t unused_ucr = r->amount_ucr - r->charge_ucr;
    int rc = 0;

    ASSERT(account != NULL);
    ASSERT(unused_ucr >= 0);
    if (!account_change(account, unused_ucr))
        rc = recount_account(ledger, item->account_idx);
    for (int kind = BUDGET_KIND_COUNT - 1; kind >= 0; kind--)
        if (item->budget_idx[kind] != 0)
            budget_leave(budget_at(ledger->region, item->budget_idx[kind]), unused_ucr,
                         r->budget_window[kind]);
    if (rc == 0)
        rc = ledger_point(ledger, POINT_RETURNED);
    if (rc < 0)
        return rc;
    hold_view_free(&ledger->view[r->table_idx], r->slot);
    ledger_slot_forget(ledger, r->table_idx, r->slot);
    return ledger_point(ledger, POINT_FREED);
}

/* A refused record's slot stays as it is; its place in the batch is forgotten. */
static void
set_aside(struct ledger *ledger, const struct block_record *const *refused, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct slot_ref ref = {refused[i]->table_idx, refused[i]->slot, refused[i]->generation};

        ledger_slot_forget(ledger, ref.table_idx, ref.slot);
        ledger_quarantine(ledger, &ref, "the charge overflows the tenant's total");
    }
}

static int
batch_apply(struct ledger *ledger, const struct block_record *const *records, uint32_t count)
{
    struct region_header *header = ledger->region->header;
    uint64_t tables = 0;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        const struct batch_item *item =
            CONTAINER_OF((struct block_record *)(uintptr_t)records[i], struct batch_item, record);

        if (item->account_idx == 0)
            continue;
        tables |= UINT64_C(1) << item->record.table_idx;
        rc = item_apply(ledger, item);
    }
    if (rc == 0)
        rc = ledger_point(ledger, POINT_ALL_FREED);
    if (rc < 0)
        return rc;
    ASSERT(atomic_load_explicit(&header->applied_seq, memory_order_relaxed) <= ledger->tail.seq);
    atomic_store_explicit(&header->applied_seq, ledger->tail.seq, memory_order_release);
    atomic_store_explicit(&header->commit_wall_us, (uint64_t)ledger_wall_us(ledger),
                          memory_order_relaxed);
    atomic_fetch_add_explicit(&header->batch_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&header->record_count, count, memory_order_relaxed);
    ledger_wake_tables(ledger, tables);
    return ledger_point(ledger, POINT_APPLIED);
}

int
ledger_commit(struct ledger *ledger)
{
    uint32_t count = ledger->batch_count, refused_count = 0;
    struct db_tail tail = ledger->tail;
    const struct block_record **records, **refused;
    int rc;

    if (count == 0)
        return 0;
    rc = ledger_point(ledger, POINT_COLLECTED);
    if (rc < 0)
        return rc;
    records = calloc((size_t)count * 2, sizeof(*records));
    if (records == NULL)
        return -ENOMEM;
    refused = records + count;
    rc = records_order(ledger, records, count);
    if (rc == 0)
        rc = batch_write(ledger, &tail, records, &count, refused, &refused_count);
    if (rc == 0) {
        ledger->tail = tail;
        ledger->sums.high_key = tail.block_key;
        recent_add(ledger->recent, ledger->host.mono_us(ledger->host.arg), records, count);
        rc = ledger_point(ledger, POINT_COMMITTED);
    }
    if (rc == 0)
        measure_records(ledger, records, count);
    if (rc == 0)
        rc = batch_apply(ledger, records, count);
    if (rc == 0) {
        feed_committed(ledger, refused, refused_count);
        set_aside(ledger, refused, refused_count);
        ledger->batch_count = 0;
    }
    free(records);
    return rc;
}

int
ledger_commit_all(struct ledger *ledger)
{
    for (;;) {
        ledger_collect(ledger, true);
        if (ledger->batch_count == 0)
            return 0;

        int rc = ledger_commit(ledger);

        if (rc < 0)
            return rc;
    }
}
