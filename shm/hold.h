/*
 * Hold slots: how credit is set aside before a call and charged after it, so that nothing is
 * lost or charged twice whoever is killed in between.
 *
 * One table a worker. A slot's state is one atomic word (state : 8, generation : 56) and has one
 * owner at a time:
 *
 *     FREE    -> CLAIM    worker   intent: account, budgets and amount are already written
 *     CLAIM   -> HELD     worker   after its compare-and-swap on the account's word succeeded
 *     CLAIM   -> FREE     worker   refused, or something was frozen
 *     HELD    -> SETTLED  worker   charge is already written; the slot is the ledger process's now
 *     SETTLED -> FREE     ledger   journalled, unused part returned; same store: generation + 1
 *     CLAIM   -> FREE     ledger   in a recount, for a dead worker
 *     HELD    -> SETTLED  ledger   in a recount, for a dead worker; charge = progress
 *
 * The slot is the settlement record. The ring carries slot numbers as a doorbell only: a lost one
 * delays a settlement until the next scan and loses nothing.
 *
 * CLAIM is stored before the account's word is loaded, with nothing in between that could be
 * reordered (seq_cst), because a recount freezes the word and then waits for CLAIMs to go: either
 * it sees the CLAIM, or the worker sees the freeze.
 */
#ifndef SHM_HOLD_H
#define SHM_HOLD_H

#include <stdatomic.h>

#include "base/base.h"
#include "shm/budget.h"
#include "shm/record.h"
#include "shm/region.h"

enum hold_state { HOLD_FREE = 0, HOLD_CLAIM, HOLD_HELD, HOLD_SETTLED, HOLD_STATE_COUNT };

struct hold_slot {
    _Alignas(CACHE_LINE) _Atomic uint64_t state; /* state << 56 | generation */
    /* Atomic (relaxed), as budget_idx below: a recount that waits for CLAIMs to go reads them in
     * slots of living workers, which may be refused and claim anew meanwhile. Either reading is
     * right. */
    _Atomic uint32_t account_idx; /* worker, before CLAIM */
    uint32_t account_generation;  /* worker, before CLAIM */
    int64_t amount_ucr;           /* worker, before CLAIM; > 0 or 0 for a free call */
    _Atomic int64_t progress_ucr; /* worker while HELD; never falls, <= amount */
    int64_t charge_ucr;           /* worker, before SETTLED */
    _Atomic uint32_t budget_idx[BUDGET_KIND_COUNT]; /* worker, before CLAIM; 0 none */
    uint16_t budget_window[BUDGET_KIND_COUNT]; /* worker, as each is entered; BUDGET_NOT_ENTERED */
};
_Static_assert(sizeof(struct hold_slot) == CACHE_LINE, "one slot, one line");

static inline enum hold_state
hold_word_state(uint64_t word)
{
    return (enum hold_state)(word >> 56);
}

static inline uint64_t
hold_word_generation(uint64_t word)
{
    return word & ((UINT64_C(1) << 56) - 1);
}

/* The doorbell: worker writes, ledger process reads. Entries: slot number. */
struct hold_ring {
    _Alignas(CACHE_LINE) _Atomic uint64_t written_seq; /* worker; release publishes entries */
    _Alignas(CACHE_LINE) _Atomic uint64_t read_seq;    /* ledger; release gives entries back */
};

/* ---- the worker's side: one handle a process ---- */

struct hold_table {
    struct region *region;
    uint32_t table_idx;
    uint32_t slot_max;
    struct hold_slot *slots;
    struct record *records;
    struct hold_ring *ring;
    uint32_t *ring_entries;
    /* Private: which slots are free. Slots never used yet are [fresh, slot_max); those settled wait
     * in order in a circular queue until the ledger process has freed them. */
    uint32_t fresh;
    uint32_t *queue; /* slot_max entries, private memory */
    uint32_t queue_head, queue_count;
    uint32_t held_count; /* slots CLAIM or HELD now */
};

/* For the worker that owns the table. Takes all FREE slots; slots that are not (left SETTLED for
 * the ledger process) are taken when freed. -ENOMEM. */
int hold_table_open(struct region *region, uint32_t table_idx, struct hold_table *out) MUST_CHECK;
void hold_table_close(struct hold_table *table); /* private memory only */

enum hold_result {
    HOLD_OK = 0,
    HOLD_NO_CREDIT, /* 402 */
    HOLD_NO_BUDGET, /* 402; which one in hold_ask.refused */
    HOLD_BUSY,      /* frozen: a recount is under way; try on a later turn, then 503 */
    HOLD_NO_SLOT,   /* 503 */
    HOLD_CLOSED,    /* account gone or of another generation */
    HOLD_RESULT_COUNT
};
extern const char *const hold_result_name[];

struct hold_ask {
    uint32_t account_idx, account_generation;
    uint32_t budget_idx[BUDGET_KIND_COUNT]; /* in order of enum budget_kind; 0 none */
    int64_t amount_ucr;                     /* 0 .. ACCOUNT_UCR_MAX */
    int64_t wall_us;                        /* for the budgets' windows */
    uint32_t refused;                       /* out: enum budget_kind of the one that refused */
    uint32_t over; /* out, of HOLD_OK: a bit a budget in shadow mode that would have refused */
};

/*
 * Takes the hold, over every budget and the account, or nothing of it. On HOLD_OK *slot is HELD,
 * progress 0, its record zeroed for the caller to fill (hold_record()).
 */
enum hold_result
hold_take(struct hold_table *table, struct hold_ask *ask, uint32_t *slot) MUST_CHECK;
/* Whose a held slot is, to ask for more of it; amount and time are the caller's to fill in. */
void hold_ask_again(const struct hold_table *table, uint32_t slot, struct hold_ask *ask);
struct record *hold_record(const struct hold_table *table, uint32_t slot);
/* The slot and its record will be written soon: calls for their lines, which costs nothing until then. */
void hold_foresee(const struct hold_table *table, uint32_t slot);
int64_t hold_amount_ucr(const struct hold_table *table, uint32_t slot);
/* Raises progress; lower values are ignored, higher than the amount are cut to it. */
void hold_progress(struct hold_table *table, uint32_t slot, int64_t progress_ucr);
/* The same, with what it was computed from . */
void hold_progress_of(struct hold_table *table, uint32_t slot, int64_t progress_ucr,
                      const struct record_tally *tally);
/* What the charge is computed from, before hold_settle(). */
void hold_tally(struct hold_table *table, uint32_t slot, int64_t charge_ucr,
                const struct record_tally *tally);
int64_t hold_progress_ucr(const struct hold_table *table, uint32_t slot);
/*
 * 0 <= charge <= amount. The record must be complete. One release store and a doorbell; after it
 * slot is not ours any more. True when the ledger process sleeps and its eventfd must be rung.
 */
bool hold_settle(struct hold_table *table, uint32_t slot, int64_t charge_ucr) MUST_CHECK;
/* Rings the doorbell for a HELD slot that must be made durable before dispatch (mode reserve). */
bool hold_announce(struct hold_table *table, uint32_t slot) MUST_CHECK;
/* The slot's generation, to ask later with hold_committed(). */
uint64_t hold_generation(const struct hold_table *table, uint32_t slot);
/* True once the ledger process has journalled that generation of the slot. */
bool hold_committed(const struct hold_table *table, uint32_t slot, uint64_t generation);

/* ---- the ledger process's side ---- */

struct hold_view { /* one table as the ledger process sees it */
    struct region *region;
    uint32_t table_idx, slot_max;
    struct hold_slot *slots;
    struct record *records;
    struct hold_ring *ring;
    uint32_t *ring_entries;
};
/* False when the table was never allocated. */
bool hold_view_open(struct region *region, uint32_t table_idx, struct hold_view *out) MUST_CHECK;
/* The next doorbell entry; false when there is none. Entries are hints: look at the state. */
bool hold_view_next(struct hold_view *view, uint32_t *slot) MUST_CHECK;
uint64_t hold_view_waiting(const struct hold_view *view); /* entries unread */
/* SETTLED -> FREE with generation + 1 (release). The slot must be SETTLED. */
void hold_view_free(struct hold_view *view, uint32_t slot);
/* For slots of a dead worker's table only (TABLE_DEAD: asserted), with its account frozen: CLAIM ->
 * FREE; HELD -> SETTLED with charge = progress, the record flagged RECORD_SWEPT. */
void hold_view_unclaim(struct hold_view *view, uint32_t slot);
void hold_view_sweep(struct hold_view *view, uint32_t slot);
/* The ledger process tells a HELD slot that it is durable (mode reserve). Kept in the record, for
 * want of room in the slot. Nothing happens when the slot is neither HELD nor SETTLED. */
void hold_view_announced(struct hold_view *view, uint32_t slot);
bool hold_announced(const struct hold_table *table, uint32_t slot);

/*
 * What a found slot says must make sense before it is used, since another process wrote it: amounts
 * in range, charge and progress within the amount, indexes within what exists, counts within the
 * record's bounds, a state that is one. NULL when it does, else a static text for the fault.
 */
const char *hold_slot_fault(const struct hold_view *view, uint32_t slot);

#endif
