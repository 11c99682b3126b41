#include "shm/budget.h"

#include "base/clock.h"
#include "shm/layout.h"
#include "shm/shm.h"

#include <errno.h>

#define US_PER_DAY INT64_C(86400000000)
#define WINDOW_MAX 0x7fff
#define MONDAY_OFFSET 3 /* 1970-01-01 was a Thursday: the week it is in began three days before */

const char *const budget_kind_name[] = {
    [BUDGET_KEY] = "key",
    [BUDGET_MEMBER] = "member",
    [BUDGET_PROJECT] = "project",
    [BUDGET_TENANT] = "tenant",
};
_Static_assert(COUNT_OF(budget_kind_name) == BUDGET_KIND_COUNT, "a new kind needs a name");

const char *const budget_period_name[] = {
    [BUDGET_TOTAL] = "total",
    [BUDGET_DAY] = "day",
    [BUDGET_WEEK] = "week",
    [BUDGET_MONTH] = "month",
};
_Static_assert(COUNT_OF(budget_period_name) == BUDGET_PERIOD_COUNT, "a new period needs a name");

/* ---- windows ---- */

static int64_t
day_of(int64_t wall_us)
{
    return wall_us < 0 ? 0 : wall_us / US_PER_DAY;
}

static int64_t
month_of(int64_t wall_us)
{
    struct civil civil = clock_civil(MAX(wall_us, 0));

    return (int64_t)(civil.year - 1970) * 12 + civil.month - 1;
}

/* Days from 1970-01-01 to the first of a month counted from January 1970. */
static int64_t
month_first_day(int64_t month)
{
    static const uint16_t before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t year = 1970 + month / 12, past = year - 1;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int64_t leap_days = past / 4 - past / 100 + past / 400 - 477; /* 477 up to the end of 1969 */

    return (year - 1970) * 365 + leap_days + before[month % 12] + (leap && month % 12 > 1 ? 1 : 0);
}

uint32_t
budget_window(enum budget_period period, int64_t wall_us)
{
    int64_t window = 0;

    switch (period) {
    case BUDGET_DAY: window = day_of(wall_us); break;
    case BUDGET_WEEK: window = (day_of(wall_us) + MONDAY_OFFSET) / 7; break;
    case BUDGET_MONTH: window = month_of(wall_us); break;
    case BUDGET_TOTAL:
    case BUDGET_PERIOD_COUNT: break;
    }
    return (uint32_t)MIN(window, WINDOW_MAX);
}

void
budget_window_edges(enum budget_period period, int64_t wall_us, int64_t *from_us, int64_t *to_us)
{
    int64_t from_day = 0, to_day = 0, week, month;

    switch (period) {
    case BUDGET_DAY:
        from_day = day_of(wall_us);
        to_day = from_day + 1;
        break;
    case BUDGET_WEEK:
        week = (day_of(wall_us) + MONDAY_OFFSET) / 7;
        from_day = week * 7 - MONDAY_OFFSET;
        to_day = from_day + 7;
        break;
    case BUDGET_MONTH:
        month = month_of(wall_us);
        from_day = month_first_day(month);
        to_day = month_first_day(month + 1);
        break;
    case BUDGET_TOTAL:
    case BUDGET_PERIOD_COUNT:
        *from_us = 0;
        *to_us = INT64_MAX;
        return;
    }
    *from_us = from_day * US_PER_DAY;
    /* The very last of 64 bits' days ends past them. */
    if (__builtin_mul_overflow(to_day, US_PER_DAY, to_us))
        *to_us = INT64_MAX;
}

/* ---- the word ---- */

struct budget *
budget_at(const struct region *region, uint32_t budget_idx)
{
    /* Pairs with the release in budget_add(). */
    if (budget_idx == 0 ||
        budget_idx > atomic_load_explicit(&region->header->budget_count, memory_order_acquire))
        return NULL;
    return (struct budget *)region_part(region, REGION_BUDGETS) + budget_idx;
}

uint32_t
budget_word_window(uint64_t word)
{
    return (uint32_t)(word >> 49);
}

bool
budget_word_frozen(uint64_t word)
{
    return word >> 48 & 1;
}

int64_t
budget_word_spent_ucr(uint64_t word)
{
    return (int64_t)(word & (uint64_t)BUDGET_SPENT_MAX);
}

enum budget_result
budget_enter(struct budget *budget, int64_t amount_ucr, int64_t wall_us, uint32_t *window)
{
    enum budget_period period =
        (enum budget_period)atomic_load_explicit(&budget->period, memory_order_relaxed);
    int64_t limit_ucr = atomic_load_explicit(&budget->limit_ucr, memory_order_relaxed);
    uint32_t now = budget_window(period, wall_us);
    uint64_t word = atomic_load_explicit(&budget->word, memory_order_seq_cst);
    uint64_t next;

    ASSERT(amount_ucr >= 0);
    limit_ucr = MIN(limit_ucr, BUDGET_SPENT_MAX);
    SHM_STEP("budget_enter: loaded");
    do {
        uint32_t at = budget_word_window(word);
        int64_t spent_ucr = budget_word_spent_ucr(word);

        if (budget_word_frozen(word))
            return BUDGET_FROZEN;
        if (now > at) { /* the first of a new window: nothing is spent in it yet */
            at = now;
            spent_ucr = 0;
        }
        if (amount_ucr > limit_ucr - spent_ucr)
            return BUDGET_FULL;
        next = budget_word(at, false, spent_ucr + amount_ucr);
        *window = at;
        SHM_STEP("budget_enter: before swap");
        /* Release: a recount that freezes this word after it sees our slot in CLAIM. */
    } while (!atomic_compare_exchange_weak_explicit(&budget->word, &word, next,
                                                    memory_order_acq_rel, memory_order_acquire));
    SHM_STEP("budget_enter: swapped");
    return BUDGET_OK;
}

/* Frozen or not: a worker on its way out of a refused hold is waited for by the recount that froze
 * the word, which then counts anew. */
void
budget_leave(struct budget *budget, int64_t amount_ucr, uint32_t window)
{
    uint64_t word = atomic_load_explicit(&budget->word, memory_order_acquire);
    uint64_t next;

    ASSERT(amount_ucr >= 0);
    SHM_STEP("budget_leave: loaded");
    do {
        if (budget_word_window(word) != window)
            return;
        next = budget_word(window, budget_word_frozen(word),
                           MAX(budget_word_spent_ucr(word) - amount_ucr, 0));
        SHM_STEP("budget_leave: before swap");
    } while (!atomic_compare_exchange_weak_explicit(&budget->word, &word, next,
                                                    memory_order_acq_rel, memory_order_acquire));
    SHM_STEP("budget_leave: swapped");
}

/* ---- the ledger process's side ---- */

int
budget_add(struct region *region, enum budget_kind kind, uint64_t id, enum budget_period period,
           int64_t limit_ucr, uint32_t *budget_idx)
{
    struct region_header *header = region->header;
    uint32_t idx = atomic_load_explicit(&header->budget_count, memory_order_relaxed) + 1;
    struct budget *budget;
    int rc;

    if (idx > header->geometry.budget_max)
        return -ENOSPC;
    rc = region_ensure(region, REGION_BUDGETS, ((uint64_t)idx + 1) * sizeof(struct budget));
    if (rc < 0)
        return rc;
    budget = (struct budget *)region_part(region, REGION_BUDGETS) + idx;
    atomic_store_explicit(&budget->word, budget_word(0, true, 0), memory_order_relaxed);
    atomic_store_explicit(&budget->limit_ucr, limit_ucr, memory_order_relaxed);
    atomic_store_explicit(&budget->period, (uint32_t)period, memory_order_relaxed);
    budget->kind = (uint32_t)kind;
    budget->id = id;
    atomic_store_explicit(&header->budget_count, idx, memory_order_release);
    *budget_idx = idx;
    return 0;
}

void
budget_freeze(struct budget *budget)
{
    atomic_fetch_or_explicit(&budget->word, UINT64_C(1) << 48, memory_order_seq_cst);
    SHM_STEP("budget_freeze: frozen");
}

void
budget_unfreeze(struct budget *budget)
{
    atomic_fetch_and_explicit(&budget->word, ~(UINT64_C(1) << 48), memory_order_release);
    SHM_STEP("budget_unfreeze: unfrozen");
}

/* The window number never goes back. For an older one than the word's (a wall clock that went back)
 * the word keeps what it has, which holds only added to: too high, perhaps, never too low. */
void
budget_publish(struct budget *budget, uint32_t window, int64_t spent_ucr)
{
    uint64_t word = atomic_load_explicit(&budget->word, memory_order_relaxed);

    ASSERT(budget_word_frozen(word));
    ASSERT(window <= WINDOW_MAX && spent_ucr >= 0);
    SHM_STEP("budget_publish: before store");
    if (window < budget_word_window(word)) {
        window = budget_word_window(word);
        spent_ucr = budget_word_spent_ucr(word);
    }
    atomic_store_explicit(&budget->word,
                          budget_word(window, false, MIN(spent_ucr, BUDGET_SPENT_MAX)),
                          memory_order_release);
    SHM_STEP("budget_publish: stored");
}
