/*
 * Batches: from settled slots to committed records and freed slots. The order of things, and what
 * makes up for a death in between, stands in ledger/core.h; the slot's own life in shm/hold.h.
 *
 * What a slot says was written by another process. It is copied once, checked as a copy, and what does
 * not make sense is set aside: the slot stays SETTLED, is recorded in the store, shouted about once,
 * and found by every audit until the memory file is gone.
 */
#include "ledger/core.h"

#include "base/clock.h"
#include "base/jw.h"
#include "base/log.h"
#include "base/str.h"
#include "base/ucr.h"
#include "ledger/rollup.h"
#include "shm/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define START_US_MIN INT64_C(946684800000000) /* the year 2000 */
#define CALL_US_MAX (INT64_C(7) * 86400 * 1000000)

/* ---- slots ---- */

static bool
bit_get(const uint64_t *bits, uint32_t i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

static void
bit_set(uint64_t *bits, uint32_t i)
{
    bits[i / 64] |= UINT64_C(1) << (i % 64);
}

static void
bit_clear(uint64_t *bits, uint32_t i)
{
    bits[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

void
ledger_views(struct ledger *ledger)
{
    for (uint32_t t = 0; t < ledger->region->header->geometry.table_max; t++) {
        if (ledger->view_open[t] || !hold_view_open(ledger->region, t, &ledger->view[t]))
            continue;
        ledger->in_batch[t] = calloc((ledger->view[t].slot_max + 63) / 64, sizeof(uint64_t));
        ledger->view_open[t] = ledger->in_batch[t] != NULL;
    }
}

/*
 * Slots are used in the order of their numbers until all were, so that most tables end in slots that
 * never were. Looked for from the end: a CLAIM that came to nothing leaves a zero in the middle.
 */
uint32_t
slots_used(const struct hold_view *view)
{
    uint32_t used = view->slot_max;

    /* seq_cst: a recount that froze a word must not miss the CLAIM that came before it. */
    while (used > 0 &&
           atomic_load_explicit(&view->slots[used - 1].state, memory_order_seq_cst) == 0)
        used--;
    return used;
}

bool
ledger_doorbells(struct ledger *ledger)
{
    if (ledger->announce_count > 0)
        return true; /* a command collected them, and left them for the next turn */
    for (uint32_t t = 0; t < LEDGER_TABLES_MAX; t++)
        if (ledger->view_open[t] && hold_view_waiting(&ledger->view[t]) > 0)
            return true;
    return false;
}

bool
ledger_quarantined(const struct ledger *ledger, uint32_t table_idx, uint32_t slot,
                   uint64_t generation)
{
    for (uint32_t i = 0; i < ledger->quarantine_count; i++) {
        const struct quarantined *q = &ledger->quarantine[i];

        if (q->table_idx == table_idx && q->slot == slot && q->generation == generation)
            return true;
    }
    return false;
}

/* A transaction of its own, which is no money: when it fails, the next one that matters will too. */
void
ledger_fault_keep(struct ledger *ledger, struct str json)
{
    struct db_tail tail = ledger->tail;
    struct db_key key = db_key_of_u64(++tail.fault_count);
    struct db_txn txn;
    int rc = db_write(ledger->db, &txn);

    if (rc < 0)
        return;
    rc = db_put(&txn, DB_FAULT, &key, json);
    if (rc == 0)
        rc = db_meta_put(&txn, "tail", (struct str){(const char *)&tail, sizeof(tail)});
    if (rc == 0 && db_commit(&txn) == 0)
        ledger->tail = tail;
    db_end(&txn);
}

static void
slot_fault_keep(struct ledger *ledger, const struct slot_ref *ref, const char *fault)
{
    struct buf doc;
    struct jw jw;

    buf_init(&doc, 4096);
    jw_init(&jw, &doc);
    jw_object(&jw);
    jw_key_cstr(&jw, "what", fault);
    jw_key_u64(&jw, "table", ref->table_idx);
    jw_key_u64(&jw, "slot", ref->slot);
    jw_key_u64(&jw, "generation", ref->generation);
    jw_key_time(&jw, "time", ledger_wall_us(ledger));
    jw_object_end(&jw);
    if (!doc.failed)
        ledger_fault_keep(ledger, buf_str(&doc));
    buf_free(&doc);
}

void
ledger_quarantine(struct ledger *ledger, const struct slot_ref *ref, const char *fault)
{
    ASSERT(fault != NULL);
    if (ledger_quarantined(ledger, ref->table_idx, ref->slot, ref->generation))
        return;
    log_error("slot.fault", "table=%u slot=%u generation=%llu what=%s", ref->table_idx, ref->slot,
              (unsigned long long)ref->generation, log_quote(str_from(fault)));
    if (ledger->quarantine_count == LEDGER_QUARANTINE_MAX)
        return; /* it stays where it is and is looked at again: slow, but nothing is lost */
    ledger->quarantine[ledger->quarantine_count++] = (struct quarantined){
        .table_idx = ref->table_idx,
        .slot = ref->slot,
        .generation = ref->generation,
        .fault = fault,
    };
    slot_fault_keep(ledger, ref, fault);
}

static bool
is_journalled(const struct ledger *ledger, const struct slot_ref *ref)
{
    for (uint32_t i = 0; i < ledger->journalled_count; i++)
        if (ledger->journalled[i].table_idx == ref->table_idx &&
            ledger->journalled[i].slot == ref->slot &&
            ledger->journalled[i].generation == ref->generation)
            return true;
    return false;
}

/* Metadata that is off is put right, not set aside: no money hangs on it. */
static void
record_mend(struct ledger *ledger, struct block_record *r)
{
    struct record *rec = &r->rec;
    int64_t now_us = ledger_wall_us(ledger);

    rec->tenant_id = r->tenant_id;
    if (rec->start_wall_us < START_US_MIN || rec->start_wall_us > now_us + CALL_US_MAX)
        rec->start_wall_us = MAX(now_us, START_US_MIN);
    rec->attempt_count = MIN(rec->attempt_count, RECORD_ATTEMPTS_MAX);
    if (rec->outcome >= OUTCOME_COUNT)
        rec->outcome = OUTCOME_UNKNOWN;
    rec->uncollected_ucr = MAX(rec->uncollected_ucr, 0);
}

/* Takes the slot's words over into *item, checked. NULL, or what is wrong. */
static const char *
slot_copy(struct ledger *ledger, const struct hold_view *view, uint32_t slot,
          struct batch_item *item)
{
    const struct hold_slot *hot = &view->slots[slot];
    struct block_record *r = &item->record;
    const char *fault = hold_slot_fault(view, slot);

    if (fault != NULL)
        return fault;
    item->account_idx = atomic_load_explicit(&hot->account_idx, memory_order_relaxed);
    r->tenant_id = id_map_get(&ledger->tenant_of_account, item->account_idx);
    if (r->tenant_id == 0)
        return "the account is nobody's";
    r->amount_ucr = hot->amount_ucr;
    r->charge_ucr = hot->charge_ucr;
    if (r->amount_ucr < 0 || r->amount_ucr > ACCOUNT_UCR_MAX)
        return "the amount is out of range";
    memcpy(&r->rec, &view->records[slot], sizeof(r->rec));
    if (r->rec.tenant_id != 0 && r->rec.tenant_id != r->tenant_id)
        return "the record's tenant is not the account's";
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++) {
        uint32_t idx = atomic_load_explicit(&hot->budget_idx[kind], memory_order_relaxed);

        item->budget_idx[kind] = 0;
        r->budget_id[kind] = 0;
        r->budget_window[kind] = hot->budget_window[kind];
        if (idx == 0 || r->budget_window[kind] == BUDGET_NOT_ENTERED)
            continue;
        r->budget_id[kind] = id_map_get(&ledger->id_of_budget, idx);
        if (r->budget_id[kind] == 0)
            return "the budget is nobody's";
        item->budget_idx[kind] = idx;
    }
    return NULL;
}

/*
 * A hold that waits to be made durable. Its bell says so; a scan, which makes up for a lost bell, also
 * finds holds whose record is not filled yet, and leaves them.
 */
static void
collect_held(struct ledger *ledger, const struct hold_view *view, const struct slot_ref *ref,
             bool rung)
{
    const struct record *record = &view->records[ref->slot];
    static const uint8_t no_id[sizeof(record->call_id)];

    if (ledger->announce_count == LEDGER_BATCH_MAX ||
        atomic_load_explicit(&record->announced, memory_order_relaxed) != 0)
        return;
    if (rung || memcmp(record->call_id, no_id, sizeof(no_id)) != 0)
        ledger->announce[ledger->announce_count++] = *ref;
}

/* False when the batch is full. */
static bool
collect_slot(struct ledger *ledger, struct hold_view *view, uint32_t slot, bool rung)
{
    uint64_t word = atomic_load_explicit(&view->slots[slot].state, memory_order_acquire);
    struct slot_ref ref = {view->table_idx, slot, hold_word_generation(word)};

    if (hold_word_state(word) == HOLD_HELD && ledger->durability == LEDGER_RESERVE)
        collect_held(ledger, view, &ref, rung);
    if (hold_word_state(word) != HOLD_SETTLED || bit_get(ledger->in_batch[view->table_idx], slot))
        return true;
    if (ledger->batch_count == LEDGER_BATCH_MAX)
        return false;
    if (ledger_quarantined(ledger, ref.table_idx, ref.slot, ref.generation) ||
        is_journalled(ledger, &ref))
        return true;

    struct batch_item *item = &ledger->batch[ledger->batch_count];
    const char *fault = slot_copy(ledger, view, slot, item);

    if (fault == NULL && (item->record.charge_ucr < 0 ||
                          item->record.charge_ucr > item->record.amount_ucr))
        fault = "the charge passes the amount";
    if (fault != NULL) {
        ledger_quarantine(ledger, &ref, fault);
        return true;
    }
    item->record.table_idx = ref.table_idx;
    item->record.slot = ref.slot;
    item->record.generation = ref.generation;
    record_mend(ledger, &item->record);
    bit_set(ledger->in_batch[ref.table_idx], slot);
    ledger->batch_count++;
    return true;
}

void
ledger_collect(struct ledger *ledger, bool scan)
{
    uint32_t slot;

    for (uint32_t t = 0; t < LEDGER_TABLES_MAX; t++) {
        struct hold_view *view = &ledger->view[t];

        if (!ledger->view_open[t])
            continue;
        while (ledger->batch_count < LEDGER_BATCH_MAX && hold_view_next(view, &slot))
            if (slot < view->slot_max && !collect_slot(ledger, view, slot, true))
                return;
        for (uint32_t used = scan ? slots_used(view) : 0, i = 0; i < used; i++)
            if (!collect_slot(ledger, view, i, false))
                return;
    }
}

int
ledger_batch_add(struct ledger *ledger, const struct batch_item *item)
{
    ASSERT(item->account_idx == 0);
    ASSERT(item->record.charge_ucr >= 0 && item->record.charge_ucr <= item->record.amount_ucr);
    if (ledger->batch_count == LEDGER_BATCH_MAX)
        return -ENOSPC;
    ledger->batch[ledger->batch_count] = *item;
    record_mend(ledger, &ledger->batch[ledger->batch_count++].record);
    return 0;
}

/* ---- the transaction ---- */

int
ledger_name(struct ledger *ledger, struct db_txn *txn, struct db_tail *tail, uint16_t region_name,
            uint32_t *out)
{
    struct str text = name_text(ledger->region, region_name);
    struct db_key by_text, by_id;
    struct str value;
    int rc;

    *out = id_map_get(&ledger->name_of_region, region_name);
    if (*out != 0 || region_name == 0 || text.len == 0)
        return 0;
    db_key_start(&by_text);
    db_key_u8(&by_text, 0xff);
    if (!db_key_text(&by_text, text))
        return 0;
    rc = db_get(txn, DB_NAME, &by_text, &value);
    if (rc == 0) {
        *out = db_u32(value, 0);
        return id_map_set(&ledger->name_of_region, region_name, *out);
    }
    if (rc != -ENOENT)
        return rc;
    *out = ++tail->name_last;
    by_id = db_key_of_u32(*out);
    rc = db_put(txn, DB_NAME, &by_id, text);
    if (rc == 0)
        rc = db_put(txn, DB_NAME, &by_text, (struct str){(const char *)by_id.bytes, by_id.len});
    /* Should this transaction fail the process ends, and what the map remembers with it. */
    return rc < 0 ? rc : id_map_set(&ledger->name_of_region, region_name, *out);
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
        for (unsigned a = 0; rc == 0 && a < r->rec.attempt_count; a++)
            rc = ledger_name(ledger, txn, tail, r->rec.attempt[a].upstream, &r->attempt_upstream[a]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int
record_cmp(const void *a, const void *b)
{
    const struct block_record *x = *(const struct block_record *const *)a;
    const struct block_record *y = *(const struct block_record *const *)b;

    if (x->tenant_id != y->tenant_id)
        return x->tenant_id < y->tenant_id ? -1 : 1;
    if (x->rec.start_wall_us != y->rec.start_wall_us)
        return x->rec.start_wall_us < y->rec.start_wall_us ? -1 : 1;
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

static int
batch_wallets(struct db_txn *txn, struct db_tail *tail, const struct block_record **records,
              uint32_t *count, const struct block_record **refused, uint32_t *refused_count)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < *count;) {
        uint32_t tenant_id = records[i]->tenant_id;
        struct db_key key = db_key_of_u32(tenant_id);
        struct db_wallet wallet;
        int rc = db_get_fixed(txn, DB_WALLET, &key, &wallet, sizeof(wallet));

        if (rc < 0)
            return rc == -ENOENT ? -EILSEQ : rc;
        for (; i < *count && records[i]->tenant_id == tenant_id; i++) {
            if (wallet_charge(&wallet, tail, records[i]))
                records[kept++] = records[i];
            else
                refused[(*refused_count)++] = records[i];
        }
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
batch_budgets(struct db_txn *txn, const struct block_record *const *records, uint32_t count)
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
    }
    free(parts);
    return rc;
}

static struct db_key
open_hold_key(const struct ledger *ledger, const struct slot_ref *ref)
{
    struct db_key key;

    db_key_start(&key);
    db_key_u32(&key, ref->table_idx);
    db_key_u32(&key, ref->slot);
    db_key_u64(&key, ref->generation);
    db_key_u64(&key, ledger->region_id);
    return key;
}

static int
batch_open_holds(struct ledger *ledger, struct db_txn *txn,
                 const struct block_record *const *records, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct slot_ref ref = {records[i]->table_idx, records[i]->slot, records[i]->generation};
        struct db_key key = open_hold_key(ledger, &ref);
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
        rc = batch_wallets(&txn, tail, records, count, refused, refused_count);
    if (rc == 0 && *count > 0)
        rc = batch_budgets(&txn, records, *count);
    if (rc == 0 && *count > 0)
        rc = batch_open_holds(ledger, &txn, records, *count);
    if (rc == 0 && *count > 0)
        rc = batch_block(ledger, &txn, tail, records, *count);
    if (rc == 0 && *count > 0)
        rc = rollup_records(&txn, records, *count);
    if (rc == 0)
        rc = db_meta_put(&txn, "tail", (struct str){(const char *)tail, sizeof(*tail)});
    if (rc < 0) {
        db_end(&txn);
        return rc;
    }
    /* Not tried again when it fails: what of it is on the disk nobody can say. */
    return db_commit(&txn);
}

/* ---- after the commit ---- */

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
    bit_clear(ledger->in_batch[r->table_idx], r->slot);
    return ledger_point(ledger, POINT_FREED);
}

static void
wake_tables(struct ledger *ledger, uint64_t tables)
{
    if (ledger->host.wake_worker == NULL || ledger->durability == LEDGER_RELAXED)
        return;
    for (uint32_t t = 0; t < LEDGER_TABLES_MAX; t++)
        if (tables >> t & 1)
            ledger->host.wake_worker(ledger->host.arg, t);
}

/* A refused record's slot stays as it is; its place in the batch is forgotten. */
static void
set_aside(struct ledger *ledger, const struct block_record *const *refused, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct slot_ref ref = {refused[i]->table_idx, refused[i]->slot, refused[i]->generation};

        bit_clear(ledger->in_batch[ref.table_idx], ref.slot);
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
    wake_tables(ledger, tables);
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
    for (uint32_t i = 0; i < count; i++)
        records[i] = &ledger->batch[i].record;
    qsort(records, count, sizeof(*records), record_cmp);
    rc = batch_write(ledger, &tail, records, &count, refused, &refused_count);
    if (rc == 0) {
        ledger->tail = tail;
        rc = ledger_point(ledger, POINT_COMMITTED);
    }
    if (rc == 0)
        rc = batch_apply(ledger, records, count);
    if (rc == 0) {
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

/* ---- holds made durable before their dispatch ---- */

static void
open_hold_fill(const struct block_record *r, const struct hold_slot *hot, struct db_open_hold *open)
{
    *open = (struct db_open_hold){
        .amount_ucr = r->amount_ucr,
        .progress_ucr = MAX(atomic_load_explicit(&hot->progress_ucr, memory_order_relaxed),
                            r->rec.total_charge_ucr),
        .start_wall_us = r->rec.start_wall_us,
        .price_version = r->rec.price_version,
        .tenant_id = r->tenant_id,
        .key_id = r->rec.key_id,
        .member_id = r->rec.member_id,
        .project_id = r->rec.project_id,
        .model = r->model,
        .channel = r->channel,
        .table_idx = r->table_idx,
        .slot = r->slot,
        .generation = r->generation,
        .protocol = r->rec.protocol,
        .endpoint = r->rec.endpoint,
    };
    memcpy(open->call_id, r->rec.call_id, sizeof(open->call_id));
    for (unsigned k = 0; k < BUDGET_KIND_COUNT; k++) {
        open->budget_id[k] = r->budget_id[k];
        open->budget_window[k] = r->budget_window[k];
    }
    open->progress_ucr = MAX(MIN(open->progress_ucr, open->amount_ucr), 0);
}

static int
announce_put(struct ledger *ledger, struct db_txn *txn, struct db_tail *tail,
             const struct slot_ref *ref)
{
    const struct hold_view *view = &ledger->view[ref->table_idx];
    struct batch_item item = {0};
    struct block_record *r = &item.record;
    struct db_open_hold open;
    struct db_key key = open_hold_key(ledger, ref);
    int rc;

    uint64_t word = atomic_load_explicit(&view->slots[ref->slot].state, memory_order_acquire);
    enum hold_state state = hold_word_state(word);

    /* Committed and freed since it rang: a record of it would stay for ever. */
    if ((state != HOLD_HELD && state != HOLD_SETTLED) ||
        hold_word_generation(word) != ref->generation)
        return 0;
    /* What is wrong with it is said when it is settled. */
    if (slot_copy(ledger, view, ref->slot, &item) != NULL)
        return 0;
    r->table_idx = ref->table_idx;
    r->slot = ref->slot;
    r->generation = ref->generation;
    rc = ledger_name(ledger, txn, tail, r->rec.model, &r->model);
    if (rc == 0)
        rc = ledger_name(ledger, txn, tail, r->rec.channel, &r->channel);
    if (rc < 0)
        return rc;
    open_hold_fill(r, &view->slots[ref->slot], &open);
    return db_put(txn, DB_OPEN_HOLD, &key, (struct str){(const char *)&open, sizeof(open)});
}

static int
announce_write(struct ledger *ledger)
{
    struct db_tail tail = ledger->tail;
    struct db_txn txn;
    int rc = db_write(ledger->db, &txn);

    if (rc < 0)
        return rc;
    for (uint32_t i = 0; rc == 0 && i < ledger->announce_count; i++)
        rc = announce_put(ledger, &txn, &tail, &ledger->announce[i]);
    if (rc == 0)
        rc = db_meta_put(&txn, "tail", (struct str){(const char *)&tail, sizeof(tail)});
    if (rc < 0) {
        db_end(&txn);
        return rc;
    }
    rc = db_commit(&txn);
    if (rc == 0)
        ledger->tail = tail;
    return rc;
}

int
ledger_announce(struct ledger *ledger)
{
    uint64_t tables = 0;
    int rc;

    if (ledger->announce_count == 0)
        return 0;
    ASSERT(ledger->durability == LEDGER_RESERVE);
    rc = announce_write(ledger);
    if (rc == 0)
        rc = ledger_point(ledger, POINT_ANNOUNCED);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < ledger->announce_count; i++) {
        const struct slot_ref *ref = &ledger->announce[i];
        struct hold_view *view = &ledger->view[ref->table_idx];
        uint64_t word = atomic_load_explicit(&view->slots[ref->slot].state, memory_order_acquire);

        /* Freed since it rang, by a command's commit: the slot's next hold is not durable yet. */
        if (hold_word_generation(word) != ref->generation)
            continue;
        hold_view_announced(view, ref->slot);
        tables |= UINT64_C(1) << ref->table_idx;
    }
    ledger->announce_count = 0;
    wake_tables(ledger, tables);
    return 0;
}
