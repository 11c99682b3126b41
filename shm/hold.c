/*
 * The worker's side of hold slots: take, progress, settle. The ledger process's side is in
 * shm/hold_view.c; the states and who owns a slot in which are in shm/hold.h.
 *
 * What a worker leaves behind that is killed in hold_take() or hold_settle(), and who puts it
 * right:
 *
 *   killed after              slot says  what is true, and the recount's answer
 *   ------------------------  ---------  ---------------------------------------------------
 *   writing account, amount   FREE       nothing happened
 *   CLAIM                     CLAIM      nothing is taken yet: the slot is freed
 *   a budget's swap           CLAIM      the budget is too high by the amount, with or without
 *                                        its window in the slot: counted anew, from the store
 *                                        and the holds
 *   the account's swap        CLAIM      available is too low: counted anew
 *   HELD                      HELD       the hold stands; settled at its progress
 *   writing the charge        HELD       the same: that charge was never said
 *   SETTLED, no doorbell      SETTLED    the next scan finds it
 *   leaving some of the       CLAIM      some budgets were left, some not, and the slot does
 *   budgets when refused                 not say which: counted anew
 *
 * Therefore every budget and the account named by a dead worker's slot are counted anew, whatever
 * is in the slot's budget_window[]: that a window is there proves that the budget was entered, that
 * none is there proves nothing. For a HELD or SETTLED slot it proves both.
 */
#include "shm/hold.h"

#include "shm/account.h"
#include "shm/layout.h"
#include "shm/shm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PICK_TRIES 8
/* What a new hold's record has zeroed. */
#define RECORD_FIELDS_OFF offsetof(struct record, tally_cost_ucr)
#define RECORD_FIELDS_END offsetof(struct record, attempt)

const char *const hold_result_name[] = {
    [HOLD_OK] = "ok",     [HOLD_NO_CREDIT] = "no-credit", [HOLD_NO_BUDGET] = "no-budget",
    [HOLD_BUSY] = "busy", [HOLD_NO_SLOT] = "no-slot",     [HOLD_CLOSED] = "closed",
};
_Static_assert(COUNT_OF(hold_result_name) == HOLD_RESULT_COUNT, "a new result needs a name");
_Static_assert(HOLD_STATE_COUNT <= 256, "a byte of the word");

static inline uint64_t
hold_word(enum hold_state state, uint64_t generation)
{
    return (uint64_t)state << 56 | generation;
}

/* ---- which slot ---- */

/* A word that is all zero was never used: the first thing that gives a slot back raises its
 * generation. */
int
hold_table_open(struct region *region, uint32_t table_idx, struct hold_table *out)
{
    struct hold_table table = {.region = region, .table_idx = table_idx};
    struct table_parts parts;

    if (!region_table_parts(region, table_idx, &parts))
        return -EINVAL;
    table.slot_max = region->header->geometry.slot_max;
    table.slots = parts.slots;
    table.records = parts.records;
    table.ring = parts.ring;
    table.ring_entries = parts.ring_entries;
    table.queue = malloc(table.slot_max * sizeof(uint32_t));
    if (table.queue == NULL)
        return -ENOMEM;
    for (uint32_t slot = 0; slot < table.slot_max; slot++)
        if (atomic_load_explicit(&table.slots[slot].state, memory_order_acquire) != 0)
            table.fresh = slot + 1;
    for (uint32_t slot = 0; slot < table.fresh; slot++)
        table.queue[table.queue_count++] = slot;
    *out = table;
    return 0;
}

void
hold_table_close(struct hold_table *table)
{
    free(table->queue);
    table->queue = NULL;
}

static void
queue_push(struct hold_table *table, uint32_t slot)
{
    ASSERT(table->queue_count < table->slot_max);
    table->queue[(table->queue_head + table->queue_count++) & (table->slot_max - 1)] = slot;
}

static uint32_t
queue_pop(struct hold_table *table)
{
    uint32_t slot = table->queue[table->queue_head];

    ASSERT(table->queue_count > 0);
    table->queue_head = (table->queue_head + 1) & (table->slot_max - 1);
    table->queue_count--;
    return slot;
}

/* Acquire pairs with the release that freed the slot: the ledger process is done reading it. */
static bool
slot_is_free(const struct hold_table *table, uint32_t slot, uint64_t *generation)
{
    uint64_t word = atomic_load_explicit(&table->slots[slot].state, memory_order_acquire);

    *generation = hold_word_generation(word);
    return hold_word_state(word) == HOLD_FREE;
}

/* The first free one of the queue's first few, which changes places with the head. */
static bool
queue_find(struct hold_table *table, uint32_t tries, uint32_t *slot, uint64_t *generation)
{
    for (uint32_t i = 0; i < MIN(tries, table->queue_count); i++) {
        uint32_t at = (table->queue_head + i) & (table->slot_max - 1);

        *slot = table->queue[at];
        if (slot_is_free(table, *slot, generation)) {
            table->queue[at] = table->queue[table->queue_head];
            table->queue[table->queue_head] = *slot;
            return true;
        }
    }
    return false;
}

/*
 * The slot for the next hold: the one settled longest ago if the ledger process is done with it, so
 * that a worker walks over as few lines as the ledger's delay allows; else one never used. It stays
 * where it is until slot_keep().
 *
 * A slot that was set aside as faulty may never come back, and must not block those behind it: so
 * more than the head is looked at, and when nothing is found, the head goes to the end.
 */
static bool
slot_pick(struct hold_table *table, uint32_t *slot, uint64_t *generation)
{
    if (queue_find(table, 2, slot, generation))
        return true;
    if (table->fresh < table->slot_max) {
        *slot = table->fresh;
        return slot_is_free(table, *slot, generation);
    }
    if (queue_find(table, PICK_TRIES, slot, generation))
        return true;
    if (table->queue_count > 0)
        queue_push(table, queue_pop(table));
    return false;
}

static void
slot_keep(struct hold_table *table, uint32_t slot)
{
    if (slot == table->fresh) /* those in the queue are all below it */
        table->fresh++;
    else
        (void)queue_pop(table);
    table->held_count++;
}

void
hold_foresee(const struct hold_table *table, uint32_t slot)
{
    const char *record;

    if (slot >= table->slot_max)
        return;
    record = (const char *)&table->records[slot];
    __builtin_prefetch(&table->slots[slot], 1);
    for (size_t off = RECORD_WARM_OFF; off < RECORD_WARM_END; off += CACHE_LINE)
        __builtin_prefetch(record + off, 1);
}

/* The slot of the next hold, most likely: by then its lines are here. */
static void
foresee_next(const struct hold_table *table)
{
    hold_foresee(table, table->queue_count > 0 ? table->queue[table->queue_head] : table->fresh);
}

/* ---- take ---- */

/* Everything that a recount must know when it finds the CLAIM. */
static void
slot_intend(struct hold_slot *slot, const struct hold_ask *ask)
{
    atomic_store_explicit(&slot->account_idx, ask->account_idx, memory_order_relaxed);
    slot->account_generation = ask->account_generation;
    slot->amount_ucr = ask->amount_ucr;
    slot->charge_ucr = 0;
    atomic_store_explicit(&slot->progress_ucr, 0, memory_order_relaxed);
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++) {
        atomic_store_explicit(&slot->budget_idx[kind], ask->budget_idx[kind], memory_order_relaxed);
        slot->budget_window[kind] = BUDGET_NOT_ENTERED;
    }
}

/* In reverse. The windows stay in the slot: the CLAIM that is there until the last is left says
 * already that nothing in it is sure. */
static void
budgets_leave(const struct region *region, const struct hold_slot *slot, const struct hold_ask *ask,
              int entered)
{
    for (int kind = entered - 1; kind >= 0; kind--)
        if (slot->budget_window[kind] != BUDGET_NOT_ENTERED)
            budget_leave(budget_at(region, ask->budget_idx[kind]), ask->amount_ucr,
                         slot->budget_window[kind]);
}

/* All that are asked for, or none. */
static enum hold_result
budgets_enter(const struct region *region, struct hold_slot *slot, struct hold_ask *ask)
{
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++) {
        struct budget *budget = budget_at(region, ask->budget_idx[kind]);
        enum budget_result result;
        uint32_t window;

        if (budget == NULL)
            continue;
        result = budget_enter(budget, ask->amount_ucr, ask->wall_us, &window);
        if (result == BUDGET_OVER) {
            ask->over |= 1u << kind;
        } else if (result != BUDGET_OK) {
            ask->refused = (uint32_t)kind;
            budgets_leave(region, slot, ask, kind);
            return result == BUDGET_FULL ? HOLD_NO_BUDGET : HOLD_BUSY;
        }
        slot->budget_window[kind] = (uint16_t)window;
        SHM_STEP("hold_take: window written");
    }
    return HOLD_OK;
}

static enum hold_result
account_take(struct account *account, int64_t amount_ucr)
{
    int64_t overdraft_ucr = atomic_load_explicit(&account->overdraft_ucr, memory_order_relaxed);
    uint64_t word = atomic_load_explicit(&account->word, memory_order_seq_cst);
    int64_t left_ucr;

    SHM_STEP("hold_take: word loaded");
    do {
        if (account_word_frozen(word))
            return HOLD_BUSY;
        /* Neither can overflow: a word has 63 bits, and an amount far fewer. */
        left_ucr = account_word_ucr(word) - amount_ucr;
        if (-left_ucr > overdraft_ucr && left_ucr < 0)
            return HOLD_NO_CREDIT;
        if (left_ucr < -ACCOUNT_UCR_MAX)
            return HOLD_NO_CREDIT;
        SHM_STEP("hold_take: before swap");
        /* Release: who finds the credit gone finds the CLAIM. Acquire: what was returned here was
         * returned after its slot had been journalled. */
    } while (!atomic_compare_exchange_weak_explicit(&account->word, &word,
                                                    account_word(left_ucr, false),
                                                    memory_order_acq_rel, memory_order_acquire));
    SHM_STEP("hold_take: swapped");
    return HOLD_OK;
}

enum hold_result
hold_take(struct hold_table *table, struct hold_ask *ask, uint32_t *slot_out)
{
    struct account *account = account_at(table->region, ask->account_idx);
    struct hold_slot *slot;
    enum hold_result result;
    uint64_t generation;
    uint32_t idx;

    ASSERT(ask->amount_ucr >= 0 && ask->amount_ucr <= ACCOUNT_UCR_MAX);
    if (account == NULL ||
        !(atomic_load_explicit(&account->flags, memory_order_acquire) & ACCOUNT_OPEN) ||
        atomic_load_explicit(&account->generation, memory_order_relaxed) != ask->account_generation)
        return HOLD_CLOSED;
    if (!slot_pick(table, &idx, &generation))
        return HOLD_NO_SLOT;
    slot = &table->slots[idx];
    slot_intend(slot, ask);
    SHM_STEP("hold_take: intent written");
    /* seq_cst: before the loads of budgets' and account's words below. See shm/hold.h. */
    atomic_store_explicit(&slot->state, hold_word(HOLD_CLAIM, generation), memory_order_seq_cst);
    SHM_STEP("hold_take: claimed");
    ask->over = 0;
    result = budgets_enter(table->region, slot, ask);
    if (result == HOLD_OK) {
        result = account_take(account, ask->amount_ucr);
        if (result != HOLD_OK)
            budgets_leave(table->region, slot, ask, BUDGET_KIND_COUNT);
    }
    if (result != HOLD_OK) {
        /* The same generation: nobody else ever owned the slot in it. */
        atomic_store_explicit(&slot->state, hold_word(HOLD_FREE, generation), memory_order_release);
        SHM_STEP("hold_take: refused");
        return result;
    }
    memset((char *)&table->records[idx] + RECORD_FIELDS_OFF, 0,
           RECORD_FIELDS_END - RECORD_FIELDS_OFF);
    slot_keep(table, idx);
    foresee_next(table);
    /* Release: amount and windows are whole for who sees HELD. */
    atomic_store_explicit(&slot->state, hold_word(HOLD_HELD, generation), memory_order_release);
    SHM_STEP("hold_take: held");
    *slot_out = idx;
    return HOLD_OK;
}

/* ---- while it is held ---- */

static struct hold_slot *
slot_held(const struct hold_table *table, uint32_t slot)
{
    ASSERT(slot < table->slot_max);
    ASSERT(hold_word_state(atomic_load_explicit(&table->slots[slot].state, memory_order_relaxed)) ==
           HOLD_HELD);
    return &table->slots[slot];
}

void
hold_ask_again(const struct hold_table *table, uint32_t slot, struct hold_ask *ask)
{
    const struct hold_slot *held = slot_held(table, slot);

    *ask = (struct hold_ask){
        .account_idx = atomic_load_explicit(&held->account_idx, memory_order_relaxed),
        .account_generation = held->account_generation,
    };
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
        ask->budget_idx[kind] = atomic_load_explicit(&held->budget_idx[kind], memory_order_relaxed);
}

struct record *
hold_record(const struct hold_table *table, uint32_t slot)
{
    ASSERT(slot < table->slot_max);
    return &table->records[slot];
}

int64_t
hold_amount_ucr(const struct hold_table *table, uint32_t slot)
{
    return slot_held(table, slot)->amount_ucr;
}

void
hold_progress(struct hold_table *table, uint32_t slot, int64_t progress_ucr)
{
    struct hold_slot *held = slot_held(table, slot);
    int64_t now_ucr = atomic_load_explicit(&held->progress_ucr, memory_order_relaxed); /* ours */

    progress_ucr = MIN(progress_ucr, held->amount_ucr);
    /* Read by others only when this process is gone, and then everything that it stored before is
     * there: release keeps the compiler to that order (hold_progress_of()). */
    if (progress_ucr > now_ucr)
        atomic_store_explicit(&held->progress_ucr, progress_ucr, memory_order_release);
    SHM_STEP("hold_progress: stored");
}

/* Not the one that the present progress was computed from; what it was of is less by now. */
static void
tally_write(struct record *record, const struct record_tally *tally, int64_t cost_ucr)
{
    unsigned idx = record->tally_idx ^ 1u;

    ASSERT(record->tally_idx < COUNT_OF(record->tally));
    record->tally[idx] = *tally;
    SHM_STEP("tally: counts written");
    record->tally_cost_ucr[idx] = cost_ucr;
    SHM_STEP("tally: written");
}

void
hold_progress_of(struct hold_table *table, uint32_t slot, int64_t progress_ucr,
                 const struct record_tally *tally)
{
    struct hold_slot *held = slot_held(table, slot);
    struct record *record = &table->records[slot];

    progress_ucr = MIN(progress_ucr, held->amount_ucr);
    if (progress_ucr <= atomic_load_explicit(&held->progress_ucr, memory_order_relaxed)) /* ours */
        return;
    tally_write(record, tally, progress_ucr);
    hold_progress(table, slot, progress_ucr);
    record->tally_idx ^= 1;
}

/* Who dies before it has settled is charged the progress, by the tally of that: it is left alone.
 */
void
hold_tally(struct hold_table *table, uint32_t slot, int64_t charge_ucr,
           const struct record_tally *tally)
{
    struct record *record = &table->records[slot];

    ASSERT(charge_ucr >= 0 && charge_ucr <= slot_held(table, slot)->amount_ucr);
    tally_write(record, tally, charge_ucr);
    record->tally_idx ^= 1;
}

int64_t
hold_progress_ucr(const struct hold_table *table, uint32_t slot)
{
    return atomic_load_explicit(&slot_held(table, slot)->progress_ucr, memory_order_relaxed);
}

/*
 * A full ring drops the bell: the next scan finds the slot. True when the ledger process must be
 * rung: it stores ledger_sleeping, then looks at the rings; we store the cursor, then look at
 * ledger_sleeping, all seq_cst, so that one of us sees the other.
 */
static bool
ring_bell(struct hold_table *table, uint32_t slot)
{
    struct hold_ring *ring = table->ring;
    uint64_t written = atomic_load_explicit(&ring->written_seq, memory_order_relaxed); /* ours */
    uint64_t read = atomic_load_explicit(&ring->read_seq, memory_order_acquire);

    if (written - read < table->slot_max) {
        table->ring_entries[written & (table->slot_max - 1)] = slot;
        SHM_STEP("ring: entry written");
        atomic_store_explicit(&ring->written_seq, written + 1, memory_order_seq_cst);
        SHM_STEP("ring: rung");
    }
    return atomic_load_explicit(&table->region->header->ledger_sleeping, memory_order_seq_cst) != 0;
}

bool
hold_settle(struct hold_table *table, uint32_t slot, int64_t charge_ucr)
{
    struct hold_slot *held = slot_held(table, slot);
    uint64_t word = atomic_load_explicit(&held->state, memory_order_relaxed);

    ASSERT(charge_ucr >= 0 && charge_ucr <= held->amount_ucr);
    ASSERT(table->records[slot].attempt_count <= RECORD_ATTEMPTS_MAX);
    held->charge_ucr = charge_ucr;
    SHM_STEP("hold_settle: charge written");
    /* Release: charge and record are whole for who sees SETTLED. */
    atomic_store_explicit(&held->state, hold_word(HOLD_SETTLED, hold_word_generation(word)),
                          memory_order_release);
    SHM_STEP("hold_settle: settled");
    ASSERT(table->held_count > 0);
    table->held_count--;
    queue_push(table, slot);
    return ring_bell(table, slot);
}

/* ---- durability ---- */

bool
hold_announce(struct hold_table *table, uint32_t slot)
{
    (void)slot_held(table, slot);
    return ring_bell(table, slot);
}

bool
hold_announced(const struct hold_table *table, uint32_t slot)
{
    ASSERT(slot < table->slot_max);
    return atomic_load_explicit(&table->records[slot].announced, memory_order_acquire) != 0;
}

uint64_t
hold_generation(const struct hold_table *table, uint32_t slot)
{
    ASSERT(slot < table->slot_max);
    return hold_word_generation(
        atomic_load_explicit(&table->slots[slot].state, memory_order_relaxed));
}

/* The generation goes up when the slot is given back, which is after its commit. */
bool
hold_committed(const struct hold_table *table, uint32_t slot, uint64_t generation)
{
    uint64_t word;

    ASSERT(slot < table->slot_max);
    word = atomic_load_explicit(&table->slots[slot].state, memory_order_acquire);
    return hold_word_generation(word) != generation;
}
