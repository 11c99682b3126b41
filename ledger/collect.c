/*
 * Collecting: which slots the next batch has.
 *
 * What a slot says was written by another process. It is copied once, checked as a copy, and what does
 * not make sense is set aside (ledger/quarantine.c).
 */
#include "ledger/batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define START_US_MIN INT64_C(946684800000000) /* the year 2000 */
#define CALL_US_MAX (INT64_C(7) * 86400 * 1000000)

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
record_mend(const struct ledger *ledger, struct block_record *r)
{
    struct record *rec = &r->rec;
    int64_t now_us = ledger->collect_wall_us;

    rec->tenant_id = r->tenant_id;
    if (rec->start_wall_us < START_US_MIN || rec->start_wall_us > now_us + CALL_US_MAX)
        rec->start_wall_us = MAX(now_us, START_US_MIN);
    rec->attempt_count = MIN(rec->attempt_count, RECORD_ATTEMPTS_MAX);
    if (rec->outcome >= OUTCOME_COUNT)
        rec->outcome = OUTCOME_UNKNOWN;
    if (rec->basis >= BASIS_COUNT)
        rec->basis = BASIS_NOTHING;
    rec->uncollected_ucr = MAX(rec->uncollected_ucr, 0);
    rec->operator_ucr = MAX(rec->operator_ucr, 0);
    rec->before_ucr = MAX(rec->before_ucr, 0);
}

/* What the charge was computed from: the worker says so, or the progress of one that died. */
static void
record_tally_take(struct block_record *r)
{
    struct record *rec = &r->rec;
    const struct record_tally *tally = &rec->tally[rec->tally_idx % COUNT_OF(rec->tally)];
    static const struct record_tally nothing;

    if (rec->flags & RECORD_SWEPT) {
        rec->basis = BASIS_SWEPT;
        tally = record_tally_of(rec, r->charge_ucr);
    }
    if (tally == NULL) /* there was no progress: it used nothing */
        tally = &nothing;
    memcpy(r->count, tally->count, sizeof(r->count));
    r->tier = tally->tier;
    r->service = tally->service;
    r->discount = tally->discount;
    r->deal_u = tally->deal_u;
    if (tally->model != 0)
        rec->model = tally->model;
    if (tally->channel != 0)
        rec->channel = tally->channel;
}

/* What is there of it: the fields, tallies that came to something, attempts that were made. */
static void
record_copy(struct record *to, const struct record *from)
{
    const size_t off = offsetof(struct record, tally_cost_ucr);
    unsigned attempts = MIN(from->attempt_count, RECORD_ATTEMPTS_MAX);

    memcpy((char *)to + off, (const char *)from + off,
           offsetof(struct record, attempt) + attempts * sizeof(from->attempt[0]) - off);
    to->attempt_count = (uint8_t)attempts;
    for (unsigned i = 0; i < COUNT_OF(to->tally); i++)
        if (i == to->tally_idx || to->tally_cost_ucr[i] != 0)
            to->tally[i] = from->tally[i];
    if (to->flags & RECORD_TRACE_PARENT) {
        memcpy(to->trace_id, from->trace_id, sizeof(to->trace_id));
        memcpy(to->trace_parent, from->trace_parent, sizeof(to->trace_parent));
    }
}

const char *
ledger_slot_copy(struct ledger *ledger, const struct hold_view *view, uint32_t slot,
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
    r->paid_count = 0;
    if (r->amount_ucr < 0 || r->amount_ucr > ACCOUNT_UCR_MAX)
        return "the amount is out of range";
    record_copy(&r->rec, &view->records[slot]);
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

static bool
in_batch(const struct ledger *ledger, uint32_t table_idx, uint32_t slot)
{
    return ledger->in_batch[table_idx][slot / 64] >> (slot % 64) & 1;
}

void
ledger_slot_forget(struct ledger *ledger, uint32_t table_idx, uint32_t slot)
{
    ledger->in_batch[table_idx][slot / 64] &= ~(UINT64_C(1) << (slot % 64));
}

/* False when the batch is full. */
static bool
collect_slot(struct ledger *ledger, struct hold_view *view, uint32_t slot, bool rung)
{
    uint64_t word = atomic_load_explicit(&view->slots[slot].state, memory_order_acquire);
    struct slot_ref ref = {view->table_idx, slot, hold_word_generation(word)};

    if (hold_word_state(word) == HOLD_HELD && ledger->durability == LEDGER_RESERVE)
        collect_held(ledger, view, &ref, rung);
    if (hold_word_state(word) != HOLD_SETTLED || in_batch(ledger, view->table_idx, slot))
        return true;
    if (ledger->batch_count == LEDGER_BATCH_MAX)
        return false;
    if (ledger_quarantined(ledger, ref.table_idx, ref.slot, ref.generation) ||
        is_journalled(ledger, &ref))
        return true;

    struct batch_item *item = &ledger->batch[ledger->batch_count];
    const char *fault = ledger_slot_copy(ledger, view, slot, item);

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
    record_tally_take(&item->record);
    ledger->in_batch[ref.table_idx][slot / 64] |= UINT64_C(1) << (slot % 64);
    ledger->batch_count++;
    return true;
}

void
ledger_collect(struct ledger *ledger, bool scan)
{
    uint32_t slot;

    ledger->collect_wall_us = ledger_wall_us(ledger);
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
    ledger->collect_wall_us = ledger_wall_us(ledger);
    ledger->batch[ledger->batch_count] = *item;
    record_mend(ledger, &ledger->batch[ledger->batch_count++].record);
    return 0;
}
