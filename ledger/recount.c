/*
 * Recounting: the one way in which a wrong word is made right, whatever made it wrong.
 *
 * For a chunk of accounts and budgets:
 *
 *  1. Their words are frozen. From now on no living worker takes from them: it sees the freeze, or its
 *     CLAIM was there before and we see it.
 *  2. We wait until no living worker has a slot in CLAIM that names one of them. If that takes more than
 *     100 ms the words are unfrozen, nothing is changed, and it is tried later.
 *  3. Slots of dead workers: CLAIM -> FREE; HELD -> SETTLED with charge = progress.
 *  4. SETTLED slots that the last block already has -> FREE (only after a start).
 *  5. available = deposited - spent, both from the store, less the amounts of all HELD and SETTLED
 *     slots; a budget's spent = its window's total from the store and the amounts of the
 *     slots that entered it in that window.
 *  6. These are stored, with the freeze bit clear.
 *
 * While the words are frozen only HELD -> SETTLED can happen to a slot that names them (and SETTLED ->
 * FREE only by us), which changes no sum. So the sums are exact under load, and to do all of it twice
 * does no harm. A check is the same with a comparison before step 6.
 */
#include "ledger/core.h"
#include "ledger/entity.h"
#include "ledger/quota.h"

#include "base/log.h"
#include "base/ucr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_US 200

struct chunk {
    uint32_t accounts[LEDGER_RECOUNT_CHUNK], account_count;
    uint32_t budgets[LEDGER_RECOUNT_CHUNK], budget_count;
    int64_t account_held_ucr[LEDGER_RECOUNT_CHUNK];
    int64_t budget_held_ucr[LEDGER_RECOUNT_CHUNK];
    uint32_t budget_window[LEDGER_RECOUNT_CHUNK];
    /* Of a check. */
    recount_differs_fn differs;
    void *arg;
    struct recount_sum *sum;
};

/* ---- lists ---- */

static int
list_add(struct id_list *list, uint32_t n)
{
    if (list->count == list->cap) {
        uint32_t cap = list->cap != 0 ? list->cap * 2 : 64;
        uint32_t *at = realloc(list->at, cap * sizeof(*at));

        if (at == NULL)
            return -ENOMEM;
        list->at = at;
        list->cap = cap;
    }
    list->at[list->count++] = n;
    return 0;
}

int
recount_account(struct ledger *ledger, uint32_t account_idx)
{
    ASSERT(account_idx != 0);
    return list_add(&ledger->todo_accounts, account_idx);
}

int
recount_budget(struct ledger *ledger, uint32_t budget_idx)
{
    ASSERT(budget_idx != 0);
    return list_add(&ledger->todo_budgets, budget_idx);
}

int
recount_everything(struct ledger *ledger)
{
    int rc = 0;

    ledger->todo_accounts.count = ledger->todo_budgets.count = 0;
    for (uint32_t i = 1; rc == 0 && i <= ledger_account_count(ledger); i++)
        rc = recount_account(ledger, i);
    for (uint32_t i = 1; rc == 0 && i <= ledger_budget_count(ledger); i++)
        rc = recount_budget(ledger, i);
    return rc;
}

/* ---- who is in the chunk ---- */

static int
marks_room(uint32_t **marks, uint32_t *cap, uint32_t count)
{
    if (count < *cap)
        return 0;

    uint32_t more = MAX(count + 1, *cap * 2);
    uint32_t *grown = realloc(*marks, more * sizeof(*grown));

    if (grown == NULL)
        return -ENOMEM;
    memset(grown + *cap, 0, (more - *cap) * sizeof(*grown));
    *marks = grown;
    *cap = more;
    return 0;
}

static bool
chunk_add_account(struct ledger *ledger, struct chunk *chunk, uint32_t idx)
{
    ASSERT(idx < ledger->account_mark_cap);
    if (ledger->account_mark[idx] != 0)
        return true;
    if (chunk->account_count == LEDGER_RECOUNT_CHUNK)
        return false;
    chunk->accounts[chunk->account_count++] = idx;
    ledger->account_mark[idx] = chunk->account_count;
    return true;
}

static bool
chunk_add_budget(struct ledger *ledger, struct chunk *chunk, uint32_t idx)
{
    ASSERT(idx < ledger->budget_mark_cap);
    if (ledger->budget_mark[idx] != 0)
        return true;
    if (chunk->budget_count == LEDGER_RECOUNT_CHUNK)
        return false;
    chunk->budgets[chunk->budget_count++] = idx;
    ledger->budget_mark[idx] = chunk->budget_count;
    return true;
}

/* NULL when memory is short. Marks have room for every index that the region has. */
static struct chunk *
chunk_start(struct ledger *ledger)
{
    if (marks_room(&ledger->account_mark, &ledger->account_mark_cap,
                   ledger_account_count(ledger)) < 0 ||
        marks_room(&ledger->budget_mark, &ledger->budget_mark_cap, ledger_budget_count(ledger)) < 0)
        return NULL;
    return calloc(1, sizeof(struct chunk));
}

static void
chunk_end(struct ledger *ledger, struct chunk *chunk)
{
    for (uint32_t i = 0; i < chunk->account_count; i++)
        ledger->account_mark[chunk->accounts[i]] = 0;
    for (uint32_t i = 0; i < chunk->budget_count; i++)
        ledger->budget_mark[chunk->budgets[i]] = 0;
    free(chunk);
}

/* Position + 1 in the chunk of what a slot names, 0 when it is not in it. */
static uint32_t
mark_of(const uint32_t *marks, uint32_t cap, uint32_t idx)
{
    return idx != 0 && idx < cap ? marks[idx] : 0;
}

static bool
slot_concerned(const struct ledger *ledger, const struct hold_slot *slot)
{
    if (mark_of(ledger->account_mark, ledger->account_mark_cap,
                atomic_load_explicit(&slot->account_idx, memory_order_relaxed)) != 0)
        return true;
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
        if (mark_of(ledger->budget_mark, ledger->budget_mark_cap,
                    atomic_load_explicit(&slot->budget_idx[kind], memory_order_relaxed)) != 0)
            return true;
    return false;
}

/* ---- the steps ---- */

static void
chunk_freeze(struct ledger *ledger, const struct chunk *chunk)
{
    for (uint32_t i = 0; i < chunk->account_count; i++)
        account_freeze(account_at(ledger->region, chunk->accounts[i]));
    for (uint32_t i = 0; i < chunk->budget_count; i++)
        budget_freeze(budget_at(ledger->region, chunk->budgets[i]));
}

static void
chunk_unfreeze(struct ledger *ledger, const struct chunk *chunk)
{
    for (uint32_t i = 0; i < chunk->account_count; i++)
        account_unfreeze(account_at(ledger->region, chunk->accounts[i]));
    for (uint32_t i = 0; i < chunk->budget_count; i++)
        budget_unfreeze(budget_at(ledger->region, chunk->budgets[i]));
}

static bool
claims_gone(const struct ledger *ledger)
{
    for (uint32_t t = 0; t < LEDGER_TABLES_MAX; t++) {
        const struct hold_view *view = &ledger->view[t];

        if (!ledger->view_open[t] || ledger_table_state(ledger, t) != TABLE_LIVE)
            continue;
        /* A slot's very first CLAIM has no generation yet, but is not zero. */
        for (uint32_t s = 0, used = slots_used(view); s < used; s++) {
            uint64_t word = atomic_load_explicit(&view->slots[s].state, memory_order_seq_cst);

            if (hold_word_state(word) == HOLD_CLAIM && slot_concerned(ledger, &view->slots[s]))
                return false;
        }
    }
    return true;
}

static bool
wait_for_claims(struct ledger *ledger)
{
    uint64_t until_us = ledger->host.mono_us(ledger->host.arg) + LEDGER_RECOUNT_WAIT_US;

    while (!claims_gone(ledger)) {
        if (ledger->host.mono_us(ledger->host.arg) >= until_us)
            return false;
        ledger->host.pause(ledger->host.arg, PAUSE_US);
    }
    return true;
}

static void
chunk_sweep(struct ledger *ledger)
{
    for (uint32_t t = 0; t < LEDGER_TABLES_MAX; t++) {
        struct hold_view *view = &ledger->view[t];

        if (!ledger->view_open[t] || ledger_table_state(ledger, t) != TABLE_DEAD)
            continue;
        for (uint32_t s = 0, used = slots_used(view); s < used; s++) {
            uint64_t word = atomic_load_explicit(&view->slots[s].state, memory_order_acquire);

            if (hold_word_state(word) < HOLD_CLAIM || hold_word_state(word) > HOLD_HELD ||
                !slot_concerned(ledger, &view->slots[s]))
                continue;
            if (hold_word_state(word) == HOLD_CLAIM) {
                hold_view_unclaim(view, s);
            } else {
                quota_swept(ledger, &view->records[s]);
                hold_view_sweep(view, s);
            }
        }
    }
}

static void
chunk_free_journalled(struct ledger *ledger)
{
    for (uint32_t i = 0; i < ledger->journalled_count;) {
        const struct slot_ref *ref = &ledger->journalled[i];
        struct hold_view *view = &ledger->view[ref->table_idx];
        uint64_t word = atomic_load_explicit(&view->slots[ref->slot].state, memory_order_acquire);
        bool stands = hold_word_state(word) == HOLD_SETTLED &&
                      hold_word_generation(word) == ref->generation;

        if (stands && !slot_concerned(ledger, &view->slots[ref->slot])) {
            i++;
            continue;
        }
        if (stands)
            hold_view_free(view, ref->slot);
        ledger->journalled[i] = ledger->journalled[--ledger->journalled_count];
    }
}

static void
sum_slot(const struct ledger *ledger, struct chunk *chunk, const struct hold_slot *slot)
{
    uint32_t mark = mark_of(ledger->account_mark, ledger->account_mark_cap,
                            atomic_load_explicit(&slot->account_idx, memory_order_relaxed));

    /* What nobody can have meant counts for nothing; it is set aside when it is settled. */
    if (slot->amount_ucr < 0 || slot->amount_ucr > ACCOUNT_UCR_MAX)
        return;
    if (mark != 0 &&
        !ucr_add(chunk->account_held_ucr[mark - 1], slot->amount_ucr,
                 &chunk->account_held_ucr[mark - 1]))
        chunk->account_held_ucr[mark - 1] = INT64_MAX;
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++) {
        mark = mark_of(ledger->budget_mark, ledger->budget_mark_cap,
                       atomic_load_explicit(&slot->budget_idx[kind], memory_order_relaxed));
        if (mark == 0 || slot->budget_window[kind] != chunk->budget_window[mark - 1])
            continue;
        if (!ucr_add(chunk->budget_held_ucr[mark - 1], slot->amount_ucr,
                     &chunk->budget_held_ucr[mark - 1]))
            chunk->budget_held_ucr[mark - 1] = INT64_MAX;
    }
}

/* Which window of each budget is counted. Of a rolling one the store may know a later one than a word
 * that was made anew: of a hold that outlived its memory. */
static int
chunk_windows(struct ledger *ledger, struct chunk *chunk)
{
    int64_t now_us = ledger_wall_us(ledger);
    struct db_txn txn;
    int rc = chunk->budget_count > 0 ? db_read(ledger->db, &txn) : 0;

    if (rc < 0 || chunk->budget_count == 0)
        return rc;
    for (uint32_t i = 0; rc == 0 && i < chunk->budget_count; i++) {
        const struct budget *budget = budget_at(ledger->region, chunk->budgets[i]);
        struct db_budget_open open = {0};

        if (atomic_load_explicit(&budget->period, memory_order_relaxed) == BUDGET_ROLLING)
            rc = entity_budget_open(&txn, budget->id, &open);
        chunk->budget_window[i] = MAX(budget_window_due(budget, now_us), open.window);
    }
    db_end(&txn);
    return rc;
}

static void
chunk_sum(const struct ledger *ledger, struct chunk *chunk)
{
    for (uint32_t t = 0; t < LEDGER_TABLES_MAX; t++) {
        const struct hold_view *view = &ledger->view[t];

        if (!ledger->view_open[t])
            continue;
        for (uint32_t s = 0, used = slots_used(view); s < used; s++) {
            enum hold_state state = hold_word_state(
                atomic_load_explicit(&view->slots[s].state, memory_order_acquire));

            if (state == HOLD_HELD || state == HOLD_SETTLED)
                sum_slot(ledger, chunk, &view->slots[s]);
        }
    }
}

/* ---- what the words must say ---- */

static int
account_expected(struct ledger *ledger, struct db_txn *txn, uint32_t account_idx,
                 struct db_wallet *wallet)
{
    uint32_t tenant_id = id_map_get(&ledger->tenant_of_account, account_idx);
    struct db_key key = db_key_of_u32(tenant_id);
    int rc;

    memset(wallet, 0, sizeof(*wallet));
    if (tenant_id == 0)
        return 0; /* a slot made for a tenant whose transaction never came */
    rc = db_get_fixed(txn, DB_WALLET, &key, wallet, sizeof(*wallet));
    return rc == -ENOENT ? 0 : rc;
}

static int64_t
clamp_ucr(int64_t ucr)
{
    return MAX(MIN(ucr, ACCOUNT_UCR_MAX), -ACCOUNT_UCR_MAX);
}

static int
publish_account_word(struct ledger *ledger, struct db_txn *txn, const struct chunk *chunk,
                     uint32_t i)
{
    struct account *account = account_at(ledger->region, chunk->accounts[i]);
    int64_t found_ucr = account_available_ucr(account), expected_ucr;
    struct db_wallet wallet;
    int rc = account_expected(ledger, txn, chunk->accounts[i], &wallet);

    if (rc < 0)
        return rc;
    ASSERT(wallet.spent_ucr >= 0);
    if (!ucr_sub(wallet.deposited_ucr, wallet.spent_ucr, &expected_ucr) ||
        !ucr_sub(expected_ucr, chunk->account_held_ucr[i], &expected_ucr))
        expected_ucr = -ACCOUNT_UCR_MAX;
    expected_ucr = clamp_ucr(expected_ucr);
    if (chunk->differs != NULL && found_ucr != expected_ucr)
        chunk->differs(chunk->arg, "account",
                       id_map_get(&ledger->tenant_of_account, chunk->accounts[i]), expected_ucr,
                       found_ucr);
    if (found_ucr != expected_ucr)
        ledger->stats.repaired++;
    if (chunk->sum != NULL) {
        struct recount_sum *sum = chunk->sum;

        sum->accounts++;
        if (!ucr_add(sum->deposited_ucr, wallet.deposited_ucr, &sum->deposited_ucr) ||
            !ucr_add(sum->spent_ucr, wallet.spent_ucr, &sum->spent_ucr) ||
            !ucr_add(sum->held_ucr, chunk->account_held_ucr[i], &sum->held_ucr) ||
            !ucr_add(sum->available_ucr, expected_ucr, &sum->available_ucr))
            return -EOVERFLOW;
    }
    account_publish(account, expected_ucr);
    return ledger_point(ledger, POINT_PUBLISHED);
}

static int
publish_budget_word(struct ledger *ledger, struct db_txn *txn, const struct chunk *chunk,
                    uint32_t i)
{
    struct budget *budget = budget_at(ledger->region, chunk->budgets[i]);
    uint64_t word = atomic_load_explicit(&budget->word, memory_order_acquire);
    uint32_t id = id_map_get(&ledger->id_of_budget, chunk->budgets[i]);
    int64_t total_ucr = 0, found_ucr = budget_word_spent_ucr(word);
    struct db_key key;
    int rc;

    db_key_start(&key);
    db_key_u64(&key, id);
    db_key_u16(&key, (uint16_t)chunk->budget_window[i]);
    rc = db_get_fixed(txn, DB_BUDGET_TOTAL, &key, &total_ucr, sizeof(total_ucr));
    if (rc < 0 && rc != -ENOENT)
        return rc;
    ASSERT(total_ucr >= 0);
    if (!ucr_add(total_ucr, chunk->budget_held_ucr[i], &total_ucr))
        total_ucr = BUDGET_SPENT_MAX;
    total_ucr = MIN(total_ucr, BUDGET_SPENT_MAX);
    /* A word still in an older window says nothing about the one that is now. */
    if (budget_word_window(word) == chunk->budget_window[i] && found_ucr != total_ucr) {
        ledger->stats.repaired++;
        if (chunk->differs != NULL)
            chunk->differs(chunk->arg, "budget", id, total_ucr, found_ucr);
    }
    budget_publish(budget, chunk->budget_window[i], total_ucr);
    return ledger_point(ledger, POINT_PUBLISHED);
}

static int
chunk_publish(struct ledger *ledger, const struct chunk *chunk)
{
    struct db_txn txn;
    int rc = db_read(ledger->db, &txn);

    if (rc < 0)
        return rc;
    for (uint32_t i = 0; rc == 0 && i < chunk->account_count; i++)
        rc = publish_account_word(ledger, &txn, chunk, i);
    for (uint32_t i = 0; rc == 0 && i < chunk->budget_count; i++)
        rc = publish_budget_word(ledger, &txn, chunk, i);
    db_end(&txn);
    return rc;
}

/* 0, -EAGAIN with nothing changed, or a failure of the store with words left frozen: the process
 * ends and its successor recounts them. */
static int
chunk_run(struct ledger *ledger, struct chunk *chunk)
{
    int rc;

    if (chunk->account_count == 0 && chunk->budget_count == 0)
        return 0;
    chunk_freeze(ledger, chunk);
    rc = ledger_point(ledger, POINT_FROZEN);
    if (rc < 0)
        return rc;
    if (!wait_for_claims(ledger)) {
        chunk_unfreeze(ledger, chunk);
        ledger->stats.recount_busy++;
        return -EAGAIN;
    }
    chunk_sweep(ledger);
    rc = ledger_point(ledger, POINT_SWEPT);
    if (rc < 0)
        return rc;
    chunk_free_journalled(ledger);
    rc = chunk_windows(ledger, chunk);
    if (rc < 0)
        return rc;
    chunk_sum(ledger, chunk);
    ledger->stats.recounts += chunk->account_count;
    return chunk_publish(ledger, chunk);
}

/* Takes from the lists what fits into the chunk. */
static void
chunk_fill(struct ledger *ledger, struct chunk *chunk)
{
    struct id_list *accounts = &ledger->todo_accounts, *budgets = &ledger->todo_budgets;

    while (accounts->count > 0 &&
           chunk_add_account(ledger, chunk, accounts->at[accounts->count - 1]))
        accounts->count--;
    while (budgets->count > 0 && chunk_add_budget(ledger, chunk, budgets->at[budgets->count - 1]))
        budgets->count--;
}

static int
keep_for_later(struct chunk *chunk, struct id_list *accounts, struct id_list *budgets)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < chunk->account_count; i++)
        rc = list_add(accounts, chunk->accounts[i]);
    for (uint32_t i = 0; rc == 0 && i < chunk->budget_count; i++)
        rc = list_add(budgets, chunk->budgets[i]);
    return rc;
}

int
recount_run(struct ledger *ledger)
{
    struct id_list accounts = {0}, budgets = {0}; /* what could not be had */
    int rc = 0;

    while (rc == 0 && (ledger->todo_accounts.count > 0 || ledger->todo_budgets.count > 0)) {
        struct chunk *chunk = chunk_start(ledger);

        if (chunk == NULL) {
            rc = -ENOMEM;
            break;
        }
        chunk_fill(ledger, chunk);
        rc = chunk_run(ledger, chunk);
        if (rc == -EAGAIN)
            rc = keep_for_later(chunk, &accounts, &budgets);
        chunk_end(ledger, chunk);
    }
    for (uint32_t i = 0; rc == 0 && i < accounts.count; i++)
        rc = recount_account(ledger, accounts.at[i]);
    for (uint32_t i = 0; rc == 0 && i < budgets.count; i++)
        rc = recount_budget(ledger, budgets.at[i]);
    free(accounts.at);
    free(budgets.at);
    return rc;
}

int
recount_check(struct ledger *ledger, uint32_t *account_from, uint32_t *budget_from,
              struct recount_sum *sum, recount_differs_fn differs, void *arg)
{
    struct chunk *chunk = chunk_start(ledger);
    int rc;

    if (chunk == NULL)
        return -ENOMEM;
    chunk->sum = sum;
    chunk->differs = differs;
    chunk->arg = arg;
    for (; *account_from <= ledger_account_count(ledger) && *account_from != 0; ++*account_from)
        if (!chunk_add_account(ledger, chunk, *account_from))
            break;
    if (*account_from > ledger_account_count(ledger))
        *account_from = 0;
    for (; *budget_from <= ledger_budget_count(ledger) && *budget_from != 0; ++*budget_from)
        if (!chunk_add_budget(ledger, chunk, *budget_from))
            break;
    if (*budget_from > ledger_budget_count(ledger))
        *budget_from = 0;
    rc = chunk_run(ledger, chunk);
    chunk_end(ledger, chunk);
    return rc;
}
