/* Holds made durable before their calls are sent on, and further ones before what they pay for is
 * (LEDGER_RESERVE). */
#include "ledger/batch.h"

#include <string.h>

struct db_key
ledger_open_hold_key(const struct ledger *ledger, const struct slot_ref *ref)
{
    struct db_key key;

    db_key_start(&key);
    db_key_u32(&key, ref->table_idx);
    db_key_u32(&key, ref->slot);
    db_key_u64(&key, ref->generation);
    db_key_u64(&key, ledger->region_id);
    return key;
}

_Static_assert(sizeof(((struct db_open_hold *)NULL)->count) ==
                   RECORD_CLASS_COUNT * sizeof(uint32_t),
               "one count a class");

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
        .extension = (r->rec.flags & RECORD_EXTENSION) != 0,
    };
    const struct record_tally *tally = record_tally_of(&r->rec, open->progress_ucr);

    memcpy(open->call_id, r->rec.call_id, sizeof(open->call_id));
    for (unsigned k = 0; k < BUDGET_KIND_COUNT; k++) {
        open->budget_id[k] = r->budget_id[k];
        open->budget_window[k] = r->budget_window[k];
    }
    open->progress_ucr = MAX(MIN(open->progress_ucr, open->amount_ucr), 0);
    if (tally == NULL)
        return;
    memcpy(open->count, tally->count, sizeof(open->count));
    open->tier = tally->tier;
    open->service = tally->service;
    open->discount = tally->discount;
    open->deal_u = tally->deal_u;
}

static int
announce_put(struct ledger *ledger, struct db_txn *txn, struct db_tail *tail,
             const struct slot_ref *ref)
{
    const struct hold_view *view = &ledger->view[ref->table_idx];
    struct batch_item item = {0};
    struct block_record *r = &item.record;
    struct db_open_hold open;
    struct db_key key = ledger_open_hold_key(ledger, ref);
    int rc;

    uint64_t word = atomic_load_explicit(&view->slots[ref->slot].state, memory_order_acquire);
    enum hold_state state = hold_word_state(word);

    /* Committed and freed since it rang: a record of it would stay for ever. */
    if ((state != HOLD_HELD && state != HOLD_SETTLED) ||
        hold_word_generation(word) != ref->generation)
        return 0;
    /* What is wrong with it is said when it is settled. */
    if (ledger_slot_copy(ledger, view, ref->slot, &item) != NULL)
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
        rc = db_tail_put(&txn, &tail);
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
    ledger_wake_tables(ledger, tables);
    return 0;
}
