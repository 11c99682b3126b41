/*
 * Budgets: spending limits per window of a key, member, project or tenant. One word:
 *
 *     window number : 15 (bits 63..49)   freeze : 1 (bit 48)   spent : 48 (micro-credits)
 *
 * where holds count as spent. The window number never goes back. Entered by a worker before the
 * account's word, always in the order key, member, project, tenant; left in reverse if a later one
 * refuses; the ledger process returns the unused part with the settlement. A death in
 * between leaves a budget too high, never too low, until its recount.
 */
#ifndef SHM_BUDGET_H
#define SHM_BUDGET_H

#include <stdatomic.h>

#include "base/base.h"
#include "shm/region.h"

#define BUDGET_SPENT_MAX ((INT64_C(1) << 48) - 1)

enum budget_kind {
    BUDGET_KEY = 0,
    BUDGET_MEMBER,
    BUDGET_PROJECT,
    BUDGET_TENANT,
    BUDGET_KIND_COUNT
};
enum budget_period { BUDGET_TOTAL = 0, BUDGET_DAY, BUDGET_WEEK, BUDGET_MONTH, BUDGET_PERIOD_COUNT };
extern const char *const budget_kind_name[];
extern const char *const budget_period_name[]; /* "total", "day", "week", "month" */

struct budget {
    _Alignas(CACHE_LINE) _Atomic uint64_t word;
    _Atomic int64_t limit_ucr; /* ledger */
    _Atomic uint32_t period;   /* ledger; enum budget_period */
    uint32_t kind;             /* ledger; enum budget_kind */
    uint64_t id;               /* ledger; the store's id of this budget */
};
_Static_assert(sizeof(struct budget) == CACHE_LINE, "one budget, one line");

/*
 * The window that a wall time falls into, 15 bits: days, weeks (from Monday) or months since 1970
 * in UTC; 0 for BUDGET_TOTAL. And its first instant and the next one's (INT64_MAX for TOTAL).
 */
uint32_t budget_window(enum budget_period period, int64_t wall_us);
void
budget_window_edges(enum budget_period period, int64_t wall_us, int64_t *from_us, int64_t *to_us);

static inline uint64_t
budget_word(uint32_t window, bool frozen, int64_t spent_ucr)
{
    return ((uint64_t)window << 49) | ((uint64_t)(frozen ? 1 : 0) << 48) | (uint64_t)spent_ucr;
}

/* NULL for 0 and for what was never added. */
struct budget *budget_at(const struct region *region, uint32_t budget_idx);
uint32_t budget_word_window(uint64_t word);
bool budget_word_frozen(uint64_t word);
int64_t budget_word_spent_ucr(uint64_t word);

enum budget_result { BUDGET_OK = 0, BUDGET_FULL, BUDGET_FROZEN };
/*
 * Worker: adds amount in the window of wall_us, or refuses. *window is what the word's window was
 * after it (never older than the word's: a clock that went back stays in the newer window). Write
 * the window into the hold slot only after BUDGET_OK; see shm/hold.c for the order.
 */
enum budget_result budget_enter(struct budget *budget, int64_t amount_ucr, int64_t wall_us,
                                uint32_t *window) MUST_CHECK;
/* Takes back what was entered, if the word is still in that window. Never below 0. */
void budget_leave(struct budget *budget, int64_t amount_ucr, uint32_t window);

/* Ledger process. */
int budget_add(struct region *region, enum budget_kind kind, uint64_t id, enum budget_period period,
               int64_t limit_ucr, uint32_t *budget_idx) MUST_CHECK; /* frozen until published */
void budget_freeze(struct budget *budget);
void budget_unfreeze(struct budget *budget);
void budget_publish(struct budget *budget, uint32_t window, int64_t spent_ucr);

#endif
