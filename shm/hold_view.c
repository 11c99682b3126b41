/*
 * The ledger process's side of hold slots: reading doorbells, giving slots back, sweeping what a
 * dead worker left, and judging whether what stands in a slot can be meant.
 */
#include "shm/account.h"
#include "shm/hold.h"
#include "shm/layout.h"
#include "shm/shm.h"

#define FORESEEN 4 /* slots ahead of the one that is collected */
#define WALL_US_MAX INT64_C(253402300800000000) /* the year 10000 */

bool
hold_view_open(struct region *region, uint32_t table_idx, struct hold_view *out)
{
    struct table_parts parts;

    if (!region_table_parts(region, table_idx, &parts))
        return false;
    *out = (struct hold_view){
        .region = region,
        .table_idx = table_idx,
        .slot_max = region->header->geometry.slot_max,
        .slots = parts.slots,
        .records = parts.records,
        .ring = parts.ring,
        .ring_entries = parts.ring_entries,
    };
    return true;
}

/* ---- doorbells ---- */

uint64_t
hold_view_waiting(const struct hold_view *view)
{
    uint64_t read = atomic_load_explicit(&view->ring->read_seq, memory_order_relaxed); /* ours */

    /* seq_cst: after our store of ledger_sleeping; see ring_bell() in shm/hold.c. */
    return atomic_load_explicit(&view->ring->written_seq, memory_order_seq_cst) - read;
}

/* Calls for the lines of a slot that is to be collected soon. */
static void
bell_foresee(const struct hold_view *view, uint64_t at_seq, uint64_t written_seq)
{
    uint32_t slot = view->ring_entries[at_seq & (view->slot_max - 1)];

    if (at_seq >= written_seq || slot >= view->slot_max)
        return;
    __builtin_prefetch(&view->slots[slot]);
    for (size_t off = RECORD_WARM_OFF; off < RECORD_WARM_END; off += CACHE_LINE)
        __builtin_prefetch((const char *)&view->records[slot] + off);
}

bool
hold_view_next(struct hold_view *view, uint32_t *slot)
{
    struct hold_ring *ring = view->ring;
    uint64_t read = atomic_load_explicit(&ring->read_seq, memory_order_relaxed); /* ours */
    uint64_t written = atomic_load_explicit(&ring->written_seq, memory_order_acquire);

    /* A cursor that cannot be meant: start over where it is. The bells in between are lost, which
     * loses nothing. */
    if (written - read > view->slot_max) {
        atomic_store_explicit(&ring->read_seq, written, memory_order_release);
        return false;
    }
    for (; read != written; read++) {
        *slot = view->ring_entries[read & (view->slot_max - 1)];
        if (*slot < view->slot_max)
            break;
    }
    if (read == written) {
        atomic_store_explicit(&ring->read_seq, read, memory_order_release);
        return false;
    }
    bell_foresee(view, read + FORESEEN, written);
    /* Release: the entry was read before the worker writes there again. */
    atomic_store_explicit(&ring->read_seq, read + 1, memory_order_release);
    return true;
}

/* ---- transitions ---- */

static uint64_t
slot_word(const struct hold_view *view, uint32_t slot)
{
    ASSERT(slot < view->slot_max);
    return atomic_load_explicit(&view->slots[slot].state, memory_order_acquire);
}

static void
slot_set(struct hold_view *view, uint32_t slot, enum hold_state state, uint64_t generation)
{
    atomic_store_explicit(&view->slots[slot].state, (uint64_t)state << 56 | generation,
                          memory_order_release);
}

void
hold_view_free(struct hold_view *view, uint32_t slot)
{
    uint64_t word = slot_word(view, slot);

    ASSERT(hold_word_state(word) == HOLD_SETTLED);
    SHM_STEP("hold_view_free: before store");
    /* 56 bits: at a thousand million holds a second on one slot they last two years. */
    slot_set(view, slot, HOLD_FREE, (hold_word_generation(word) + 1) & ((UINT64_C(1) << 56) - 1));
    SHM_STEP("hold_view_free: freed");
}

static bool
table_is_dead(const struct hold_view *view)
{
    return atomic_load_explicit(&view->region->header->table[view->table_idx].state,
                                memory_order_acquire) == TABLE_DEAD;
}

/* The same generation: this hold never was. */
void
hold_view_unclaim(struct hold_view *view, uint32_t slot)
{
    uint64_t word = slot_word(view, slot);

    ASSERT(table_is_dead(view));
    ASSERT(hold_word_state(word) == HOLD_CLAIM);
    SHM_STEP("hold_view_unclaim: before store");
    slot_set(view, slot, HOLD_FREE, hold_word_generation(word));
    SHM_STEP("hold_view_unclaim: freed");
}

/* The charge is written first: a ledger process that dies in between finds HELD, and says the same.
 */
void
hold_view_sweep(struct hold_view *view, uint32_t slot)
{
    uint64_t word = slot_word(view, slot);
    struct hold_slot *held = &view->slots[slot];
    int64_t progress_ucr = atomic_load_explicit(&held->progress_ucr, memory_order_relaxed);

    ASSERT(table_is_dead(view));
    ASSERT(hold_word_state(word) == HOLD_HELD);
    held->charge_ucr = MAX(MIN(progress_ucr, held->amount_ucr), 0);
    view->records[slot].flags |= RECORD_SWEPT;
    view->records[slot].total_charge_ucr = held->charge_ucr;
    SHM_STEP("hold_view_sweep: charge written");
    slot_set(view, slot, HOLD_SETTLED, hold_word_generation(word));
    SHM_STEP("hold_view_sweep: settled");
}

void
hold_view_announced(struct hold_view *view, uint32_t slot)
{
    enum hold_state state = hold_word_state(slot_word(view, slot));

    if (state == HOLD_HELD || state == HOLD_SETTLED)
        atomic_store_explicit(&view->records[slot].announced, 1, memory_order_release);
}

/* ---- faults ---- */

static bool
within(int64_t ucr, int64_t max_ucr)
{
    return ucr >= 0 && ucr <= max_ucr;
}

static const char *
account_fault(const struct hold_view *view, const struct hold_slot *slot)
{
    const struct account *account =
        account_at(view->region, atomic_load_explicit(&slot->account_idx, memory_order_relaxed));

    if (account == NULL)
        return "no such account";
    if (atomic_load_explicit(&account->generation, memory_order_relaxed) !=
        slot->account_generation)
        return "the account is of another generation";
    return NULL;
}

static const char *
budget_fault(const struct hold_view *view, const struct hold_slot *slot, int kind)
{
    uint32_t idx = atomic_load_explicit(&slot->budget_idx[kind], memory_order_relaxed);
    uint16_t window = slot->budget_window[kind];

    if (idx == 0)
        return window == BUDGET_NOT_ENTERED ? NULL : "a budget was entered that is none";
    if (budget_at(view->region, idx) == NULL)
        return "no such budget";
    if (window != BUDGET_NOT_ENTERED && window > 0x7fff)
        return "no such budget window";
    return NULL;
}

static const char *
money_fault(const struct hold_view *view, const struct hold_slot *slot, enum hold_state state)
{
    const char *fault = account_fault(view, slot);

    if (fault != NULL)
        return fault;
    if (!within(slot->amount_ucr, ACCOUNT_UCR_MAX))
        return "the amount is out of range";
    if (!within(atomic_load_explicit(&slot->progress_ucr, memory_order_relaxed), slot->amount_ucr))
        return "the progress passes the amount";
    if (state == HOLD_SETTLED && !within(slot->charge_ucr, slot->amount_ucr))
        return "the charge passes the amount";
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++) {
        fault = budget_fault(view, slot, kind);
        if (fault != NULL)
            return fault;
    }
    return NULL;
}

static const char *
attempts_fault(const struct record *record, uint32_t name_max)
{
    if (record->attempt_count > RECORD_ATTEMPTS_MAX)
        return "more attempts than fit";
    for (unsigned i = 0; i < record->attempt_count; i++) {
        if (record->attempt[i].reason >= REASON_COUNT)
            return "no such reason of an attempt";
        if (record->attempt[i].upstream > name_max || record->attempt[i].channel > name_max ||
            record->attempt[i].model > name_max)
            return "an attempt names nothing";
    }
    return NULL;
}

static const char *
record_fault(const struct hold_view *view, const struct record *record)
{
    uint32_t name_max = view->region->header->geometry.name_max;

    if (record->outcome >= OUTCOME_COUNT)
        return "no such outcome";
    if (record->model > name_max || record->channel > name_max || record->upstream > name_max ||
        record->family > name_max || record->asked > name_max || record->rule > name_max)
        return "the record names nothing";
    if (record->basis >= BASIS_COUNT || record->tally_idx >= COUNT_OF(record->tally))
        return "no such basis of a charge";
    for (unsigned i = 0; i < COUNT_OF(record->tally); i++)
        if ((i == record->tally_idx || record->tally_cost_ucr[i] != 0) &&
            (record->tally[i].model > name_max || record->tally[i].channel > name_max ||
             record->tally[i].deal_u > RECORD_DEAL_MAX_U))
            return "a tally names nothing";
    if (record->key_idx >
        atomic_load_explicit(&view->region->header->key_count, memory_order_acquire))
        return "no such key";
    if (record->start_wall_us < 0 || record->start_wall_us >= WALL_US_MAX)
        return "the start is out of range";
    if (record->first_byte_us > (uint64_t)WALL_US_MAX || record->end_us > (uint64_t)WALL_US_MAX)
        return "a duration is out of range";
    if (!within(record->total_charge_ucr, ACCOUNT_UCR_MAX) ||
        !within(record->uncollected_ucr, INT64_MAX) || !within(record->operator_ucr, INT64_MAX) ||
        !within(record->before_ucr, INT64_MAX))
        return "the record's charge is out of range";
    return attempts_fault(record, name_max);
}

/*
 * Of a living worker's slot only that is looked at which it does not change now: nothing of a
 * CLAIM, of a HELD slot not the record.
 */
const char *
hold_slot_fault(const struct hold_view *view, uint32_t slot)
{
    uint64_t word = slot_word(view, slot);
    bool dead = atomic_load_explicit(&view->region->header->table[view->table_idx].state,
                                     memory_order_acquire) != TABLE_LIVE;
    const char *fault = NULL;

    if (word >> 56 >= HOLD_STATE_COUNT)
        return "no such state";
    switch (hold_word_state(word)) {
    case HOLD_FREE: return NULL;
    case HOLD_CLAIM: return dead ? money_fault(view, &view->slots[slot], HOLD_CLAIM) : NULL;
    case HOLD_HELD: fault = money_fault(view, &view->slots[slot], HOLD_HELD); break;
    case HOLD_SETTLED: fault = money_fault(view, &view->slots[slot], HOLD_SETTLED); break;
    case HOLD_STATE_COUNT: break;
    }
    if (fault == NULL && (dead || hold_word_state(word) == HOLD_SETTLED))
        fault = record_fault(view, &view->records[slot]);
    return fault;
}
