/*
 * Tables of dead workers: found, swept by a recount of all that their slots name, and given back when
 * nothing in them is in use any more.
 */
#include "ledger/core.h"

#include "base/log.h"

#include <errno.h>

static int
table_recount(struct ledger *ledger, const struct hold_view *view)
{
    uint32_t accounts = ledger_account_count(ledger), budgets = ledger_budget_count(ledger);
    int rc = 0;

    for (uint32_t s = 0, used = slots_used(view); rc == 0 && s < used; s++) {
        const struct hold_slot *slot = &view->slots[s];
        uint32_t idx = atomic_load_explicit(&slot->account_idx, memory_order_relaxed);

        if (hold_word_state(atomic_load_explicit(&slot->state, memory_order_acquire)) == HOLD_FREE)
            continue;
        if (idx != 0 && idx <= accounts)
            rc = recount_account(ledger, idx);
        for (int kind = 0; rc == 0 && kind < BUDGET_KIND_COUNT; kind++) {
            idx = atomic_load_explicit(&slot->budget_idx[kind], memory_order_relaxed);
            if (idx != 0 && idx <= budgets)
                rc = recount_budget(ledger, idx);
        }
    }
    return rc;
}

static uint32_t
table_open_slots(const struct hold_view *view, uint32_t *unswept)
{
    uint32_t open = 0;

    *unswept = 0;
    for (uint32_t s = 0, used = slots_used(view); s < used; s++) {
        enum hold_state state =
            hold_word_state(atomic_load_explicit(&view->slots[s].state, memory_order_acquire));

        open += state != HOLD_FREE;
        *unswept += state == HOLD_CLAIM || state == HOLD_HELD;
    }
    return open;
}

/* What no recount can reach, since it names no account that exists: nothing was taken by it. */
static void
table_force(struct ledger *ledger, struct hold_view *view)
{
    for (uint32_t s = 0, used = slots_used(view); s < used; s++) {
        uint64_t word = atomic_load_explicit(&view->slots[s].state, memory_order_acquire);
        uint32_t idx = atomic_load_explicit(&view->slots[s].account_idx, memory_order_relaxed);

        if (account_at(ledger->region, idx) != NULL)
            continue;
        if (hold_word_state(word) == HOLD_CLAIM)
            hold_view_unclaim(view, s);
        else if (hold_word_state(word) == HOLD_HELD)
            hold_view_sweep(view, s);
    }
}

static void
table_mark_dead(struct ledger *ledger, uint32_t t)
{
    atomic_store_explicit(&ledger->region->header->table[t].state, TABLE_DEAD,
                          memory_order_release);
    log_info("table.dead", "table=%u pid=%u", t,
             atomic_load_explicit(&ledger->region->header->table[t].pid, memory_order_relaxed));
}

int
recount_dead_tables(struct ledger *ledger)
{
    int rc = 0;

    ledger_views(ledger);
    for (uint32_t t = 0; rc == 0 && t < LEDGER_TABLES_MAX; t++) {
        struct hold_view *view = &ledger->view[t];
        uint32_t unswept;

        if (ledger_table_state(ledger, t) == TABLE_LIVE &&
            !ledger->host.table_lives(ledger->host.arg, t))
            table_mark_dead(ledger, t);
        if (ledger_table_state(ledger, t) != TABLE_DEAD)
            continue;
        if (ledger->view_open[t] && table_open_slots(view, &unswept) > 0) {
            if (unswept > 0) {
                table_force(ledger, view);
                rc = table_recount(ledger, view);
            }
            continue;
        }
        if (!ledger->view_open[t] && hold_view_open(ledger->region, t, view))
            return -ENOMEM;
        log_info("table.swept", "table=%u", t);
        atomic_store_explicit(&ledger->region->header->table[t].state, TABLE_FREE,
                              memory_order_release);
    }
    return rc == 0 ? recount_run(ledger) : rc;
}

uint64_t
ledger_open_slots(struct ledger *ledger, uint64_t *held, uint64_t *settled)
{
    uint64_t open = 0;

    *held = *settled = 0;
    for (uint32_t t = 0; t < LEDGER_TABLES_MAX; t++) {
        const struct hold_view *view = &ledger->view[t];

        if (!ledger->view_open[t])
            continue;
        for (uint32_t s = 0, used = slots_used(view); s < used; s++) {
            uint64_t word = atomic_load_explicit(&view->slots[s].state, memory_order_acquire);
            enum hold_state state = hold_word_state(word);

            if (state == HOLD_FREE ||
                ledger_quarantined(ledger, t, s, hold_word_generation(word)))
                continue;
            open++;
            *held += state == HOLD_HELD;
            *settled += state == HOLD_SETTLED;
        }
    }
    return open;
}
