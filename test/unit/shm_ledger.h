/*
 * A ledger process to test the shared region against: the rules of commit, sweep and recount over
 * a database that is a struct. One account and its four budgets, any number of tables.
 *
 * struct db is what is on disk: it outlives a kill of everything, and changes only in the two
 * functions called db_…, each of them one transaction. Everything else is in the region.
 * wait_a_bit() is the test's: it lets others run.
 */
#ifndef TEST_UNIT_SHM_LEDGER_H
#define TEST_UNIT_SHM_LEDGER_H

#include "test/unit/shm_testing.h"

#include "shm/shm.h"

#define BATCH_MAX 64

struct slot_name {
    uint32_t table, slot;
    uint64_t generation;
};

struct db {
    int64_t deposits_ucr, spent_ucr;
    uint32_t window; /* the tests' calls are all of one */
    int64_t budget_ucr[BUDGET_KIND_COUNT];
    uint64_t batch_seq;
    struct slot_name batch[BATCH_MAX]; /* the last batch's slots */
    unsigned batch_count;
    uint64_t record_count;
};

struct ledger {
    struct region *region;
    struct db *db;
    uint32_t account_idx;
    uint32_t budget_idx[BUDGET_KIND_COUNT]; /* 0: the test has none */
    void (*wait_a_bit)(void *arg);
    void *arg;
};

/* ---- the database ---- */

static inline bool
db_has(const struct db *db, struct slot_name name)
{
    for (unsigned i = 0; i < db->batch_count; i++)
        if (db->batch[i].table == name.table && db->batch[i].slot == name.slot &&
            db->batch[i].generation == name.generation)
            return true;
    return false;
}

static inline void
db_commit(struct ledger *ledger, const struct slot_name *names, unsigned count)
{
    struct db *db = ledger->db, next = *db;
    struct hold_view view;

    next.batch_count = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct hold_slot *slot;

        if (!hold_view_open(ledger->region, names[i].table, &view))
            abort();
        slot = &view.slots[names[i].slot];
        next.batch[next.batch_count++] = names[i];
        if (db_has(db, names[i]))
            continue;
        next.record_count++;
        next.spent_ucr += slot->charge_ucr;
        for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
            if (slot->budget_window[kind] != BUDGET_NOT_ENTERED)
                next.budget_ucr[kind] += slot->charge_ucr;
    }
    next.batch_seq++;
    *db = next;
}

static inline void
db_deposit(struct db *db, int64_t ucr)
{
    db->deposits_ucr += ucr;
}

/* ---- what is in the slots ---- */

static inline struct slot_name
slot_name(const struct hold_view *view, uint32_t slot)
{
    uint64_t word = atomic_load_explicit(&view->slots[slot].state, memory_order_acquire);

    return (struct slot_name){view->table_idx, slot, hold_word_generation(word)};
}

static inline enum hold_state
slot_state(const struct hold_view *view, uint32_t slot)
{
    return hold_word_state(atomic_load_explicit(&view->slots[slot].state, memory_order_acquire));
}

static inline bool
table_in(const struct ledger *ledger, uint32_t table, enum table_state state)
{
    return atomic_load_explicit(&ledger->region->header->table[table].state,
                                memory_order_acquire) == (uint32_t)state;
}

/* ---- recount ---- */

static inline void
ledger_freeze(struct ledger *ledger)
{
    account_freeze(account_at(ledger->region, ledger->account_idx));
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
        if (ledger->budget_idx[kind] != 0)
            budget_freeze(budget_at(ledger->region, ledger->budget_idx[kind]));
}

/* Until no living worker has a slot of the account in CLAIM. One look at each is enough: who
 * claims later sees the freeze. */
static inline void
ledger_wait_for_claims(struct ledger *ledger)
{
    for (uint32_t t = 0; t < ledger->region->header->geometry.table_max; t++) {
        struct hold_view view;

        if (!hold_view_open(ledger->region, t, &view))
            continue;
        for (uint32_t slot = 0; slot < view.slot_max; slot++)
            while (slot_state(&view, slot) == HOLD_CLAIM && table_in(ledger, t, TABLE_LIVE))
                ledger->wait_a_bit(ledger->arg);
    }
}

static inline void
ledger_sweep_and_free(struct ledger *ledger)
{
    for (uint32_t t = 0; t < ledger->region->header->geometry.table_max; t++) {
        struct hold_view view;

        if (!hold_view_open(ledger->region, t, &view))
            continue;
        for (uint32_t slot = 0; slot < view.slot_max; slot++) {
            bool dead = table_in(ledger, t, TABLE_DEAD);

            if (dead && slot_state(&view, slot) == HOLD_CLAIM)
                hold_view_unclaim(&view, slot);
            if (dead && slot_state(&view, slot) == HOLD_HELD)
                hold_view_sweep(&view, slot);
            if (slot_state(&view, slot) == HOLD_SETTLED &&
                db_has(ledger->db, slot_name(&view, slot)))
                hold_view_free(&view, slot);
        }
    }
}

/* What the slots hold: of the account, and of each budget in the window. */
static inline int64_t
ledger_held(struct ledger *ledger, int64_t budget_ucr[BUDGET_KIND_COUNT])
{
    int64_t sum_ucr = 0;

    memset(budget_ucr, 0, BUDGET_KIND_COUNT * sizeof(*budget_ucr));
    for (uint32_t t = 0; t < ledger->region->header->geometry.table_max; t++) {
        struct hold_view view;

        if (!hold_view_open(ledger->region, t, &view))
            continue;
        for (uint32_t slot = 0; slot < view.slot_max; slot++) {
            enum hold_state state = slot_state(&view, slot);
            const struct hold_slot *held = &view.slots[slot];

            if (state != HOLD_HELD && state != HOLD_SETTLED)
                continue;
            sum_ucr += held->amount_ucr;
            for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
                if (held->budget_window[kind] != BUDGET_NOT_ENTERED)
                    budget_ucr[kind] += held->amount_ucr;
        }
    }
    return sum_ucr;
}

static inline void
ledger_recount(struct ledger *ledger)
{
    const struct db *db = ledger->db;
    int64_t budget_ucr[BUDGET_KIND_COUNT], held_ucr;

    ledger_freeze(ledger);
    ledger_wait_for_claims(ledger);
    ledger_sweep_and_free(ledger);
    held_ucr = ledger_held(ledger, budget_ucr);
    SHM_STEP("recount: summed");
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
        if (ledger->budget_idx[kind] != 0)
            budget_publish(budget_at(ledger->region, ledger->budget_idx[kind]), db->window,
                           db->budget_ucr[kind] + budget_ucr[kind]);
    account_publish(account_at(ledger->region, ledger->account_idx),
                    db->deposits_ucr - db->spent_ucr - held_ucr);
}

/* ---- commit ---- */

static inline void
ledger_return(struct ledger *ledger, struct slot_name name)
{
    struct hold_view view;
    const struct hold_slot *held;
    int64_t unused_ucr;

    if (!hold_view_open(ledger->region, name.table, &view))
        abort();
    held = &view.slots[name.slot];
    unused_ucr = held->amount_ucr - held->charge_ucr;
    for (int kind = BUDGET_KIND_COUNT - 1; kind >= 0; kind--)
        if (held->budget_window[kind] != BUDGET_NOT_ENTERED)
            budget_leave(budget_at(ledger->region, held->budget_idx[kind]), unused_ucr,
                         held->budget_window[kind]);
    if (!account_change(account_at(ledger->region, ledger->account_idx), unused_ucr))
        abort();
    hold_view_free(&view, name.slot);
}

/* One batch of what is settled now; false when nothing is. */
static inline bool
ledger_batch(struct ledger *ledger)
{
    struct slot_name names[BATCH_MAX];
    unsigned count = 0;

    for (uint32_t t = 0; t < ledger->region->header->geometry.table_max; t++) {
        struct hold_view view;
        uint32_t rung;

        if (!hold_view_open(ledger->region, t, &view))
            continue;
        while (hold_view_next(&view, &rung))
            ; /* hints, which the scan does not need */
        for (uint32_t slot = 0; slot < view.slot_max && count < BATCH_MAX; slot++)
            if (slot_state(&view, slot) == HOLD_SETTLED) {
                if (hold_slot_fault(&view, slot) != NULL)
                    abort();
                names[count++] = slot_name(&view, slot);
            }
    }
    if (count == 0)
        return false;
    SHM_STEP("batch: before commit");
    db_commit(ledger, names, count);
    SHM_STEP("batch: committed");
    for (unsigned i = 0; i < count; i++)
        ledger_return(ledger, names[i]);
    atomic_store_explicit(&ledger->region->header->applied_seq, ledger->db->batch_seq,
                          memory_order_release);
    SHM_STEP("batch: applied");
    return true;
}

static inline void
ledger_deposit(struct ledger *ledger, int64_t ucr)
{
    SHM_STEP("deposit: before commit");
    db_deposit(ledger->db, ucr);
    SHM_STEP("deposit: committed");
    if (!account_change(account_at(ledger->region, ledger->account_idx), ucr))
        abort();
}

/* ---- the books ---- */

/* deposits = available + held + spent, and the same of each budget. For quiet moments. */
static inline bool
books_balance(struct ledger *ledger)
{
    const struct db *db = ledger->db;
    int64_t budget_ucr[BUDGET_KIND_COUNT];
    int64_t held_ucr = ledger_held(ledger, budget_ucr);
    const struct account *account = account_at(ledger->region, ledger->account_idx);

    if (account_word_frozen(atomic_load_explicit(&account->word, memory_order_acquire)))
        return false;
    if (account_available_ucr(account) + held_ucr + db->spent_ucr != db->deposits_ucr)
        return false;
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++) {
        uint64_t word;

        if (ledger->budget_idx[kind] == 0)
            continue;
        word = atomic_load_explicit(&budget_at(ledger->region, ledger->budget_idx[kind])->word,
                                    memory_order_acquire);
        if (budget_word_frozen(word) ||
            budget_word_spent_ucr(word) != db->budget_ucr[kind] + budget_ucr[kind])
            return false;
    }
    return true;
}

#endif
