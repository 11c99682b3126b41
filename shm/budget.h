/*
 * Budgets: spending limits per window of a key, member, project or tenant. One word:
 *
 *     window number : 15 (bits 63..49)   freeze : 1 (bit 48)   spent : 48 (micro-credits)
 *
 * where holds count as spent. The window number never goes back. Entered by a worker before the
 * account's word, always in the order key, member, project, tenant; left in reverse if a later one
 * refuses; the ledger process returns the unused part with the settlement. A death in
 * between leaves a budget too high, never too low, until its recount.
 *
 * A window is a day, week or month of the tenant's time zone, numbered since 1970; or it is rolling:
 * of a fixed length, opened by the first hold that the budget lets in after the last one ended, and
 * numbered in turn. What of the zone workers need, the ledger process has put beside the word: the
 * offset from UTC, when it changes next, and the offset from then on. So the edges are instants of
 * UTC, and a day of 23 or 25 hours is one window.
 *
 * When a rolling window ends stands in a word of its own, the edge (window number : 15, end in ms :
 * 49). It is moved before the word is: who finds it ahead of the word moves the word there, whoever
 * moved it, and whoever died in between. test/model/window.pml checks it.
 *
 * In shadow mode a budget counts and refuses nothing; who enters is told that it would have refused.
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
enum budget_period {
    BUDGET_TOTAL = 0,
    BUDGET_DAY,
    BUDGET_WEEK,
    BUDGET_MONTH,
    BUDGET_ROLLING,
    BUDGET_PERIOD_COUNT
};
extern const char *const budget_kind_name[];
extern const char *const budget_period_name[]; /* "total", "day", "week", "month", "rolling" */
#define BUDGET_LENGTH_S_MIN 3600u /* of a rolling window: there are numbers for four years of these */
#define BUDGET_LENGTH_S_MAX (366u * 86400u)

struct budget {
    _Alignas(CACHE_LINE) _Atomic uint64_t word;
    _Atomic uint64_t edge;     /* workers; of a rolling one: see above */
    _Atomic int64_t limit_ucr; /* ledger, as all that follows */
    uint64_t id;               /* the store's id of this budget */
    _Atomic int64_t change_us; /* the next change of the zone's offset; INT64_MAX: none */
    _Atomic int32_t offset_s, after_s; /* local time less UTC, until then and from then on */
    _Atomic uint32_t length_s; /* of a rolling window */
    _Atomic uint16_t period;   /* enum budget_period */
    _Atomic uint8_t shadow;
    uint8_t kind;              /* enum budget_kind */
};
_Static_assert(sizeof(struct budget) == CACHE_LINE, "one budget, one line");

/*
 * The window that a wall time falls into, 15 bits: days, weeks (from Monday) or months since 1970
 * in UTC; 0 for BUDGET_TOTAL. And its first instant and the next one's (INT64_MAX for TOTAL).
 */
uint32_t budget_window(enum budget_period period, int64_t wall_us);
void
budget_window_edges(enum budget_period period, int64_t wall_us, int64_t *from_us, int64_t *to_us);

/* What of a time zone counts at a moment. All zero but change_us, INT64_MAX: UTC. */
struct budget_zone {
    int64_t change_us;
    int32_t offset_s, after_s;
};

/* What it says of itself now. A rolling window that has ended, or none yet: spent 0, ends_us 0. */
struct budget_look {
    enum budget_period period;
    int64_t limit_ucr, spent_ucr;
    int64_t ends_us; /* INT64_MAX: never */
    uint32_t length_s, window;
    bool shadow;
};
void budget_look(const struct budget *budget, int64_t wall_us, struct budget_look *out);

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

#define BUDGET_NOT_ENTERED 0xffffu
enum budget_result {
    BUDGET_OK = 0,
    BUDGET_OVER, /* entered: it is in shadow mode, and would have refused */
    BUDGET_FULL,
    BUDGET_FROZEN
};
/*
 * Worker: adds amount in the window of wall_us, or refuses. *window is what the word's window was
 * after it (never older than the word's: a clock that went back stays in the newer window). Write
 * the window into the hold slot only after BUDGET_OK or _OVER; see shm/hold.c for the order.
 * BUDGET_NOT_ENTERED, after BUDGET_OVER only: it is more than the word can count.
 */
enum budget_result budget_enter(struct budget *budget, int64_t amount_ucr, int64_t wall_us,
                                uint32_t *window) MUST_CHECK;
/* Takes back what was entered, if the word is still in that window. Never below 0. */
void budget_leave(struct budget *budget, int64_t amount_ucr, uint32_t window);

/* Ledger process. */
int budget_add(struct region *region, enum budget_kind kind, uint64_t id, enum budget_period period,
               int64_t limit_ucr, uint32_t *budget_idx) MUST_CHECK; /* frozen until published */
/* How it counts, once it is added: limit and shadow mode, length, zone. */
void budget_set(struct budget *budget, int64_t limit_ucr, bool shadow, uint32_t length_s);
void budget_set_zone(struct budget *budget, const struct budget_zone *zone);
/* The window that a recount counts: that of the calendar, or a rolling one's as the word has it. */
uint32_t budget_window_due(const struct budget *budget, int64_t wall_us);
/* Of a rolling one: the last window and its end, where memory is new. The end, 0 when it is not this
 * window's (it has ended, then). */
void budget_set_edge(struct budget *budget, uint32_t window, int64_t ends_us);
int64_t budget_edge_us(const struct budget *budget, uint32_t window);
void budget_freeze(struct budget *budget);
void budget_unfreeze(struct budget *budget);
void budget_publish(struct budget *budget, uint32_t window, int64_t spent_ucr);

#endif
