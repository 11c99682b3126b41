#include "shm/budget.h"

#include "base/clock.h"
#include "shm/layout.h"
#include "shm/shm.h"

#include <errno.h>

#define US_PER_DAY INT64_C(86400000000)
#define US_PER_S INT64_C(1000000)
#define WINDOW_MAX 0x7fff
#define EDGE_MS_MAX ((INT64_C(1) << 49) - 1)
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
    [BUDGET_ROLLING] = "rolling",
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
    case BUDGET_ROLLING:
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
    case BUDGET_ROLLING:
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

/* ---- whose day it is ---- */

/*
 * The ledger process writes offset, change and after in this order (budget_set_zone()), and they are
 * read the other way round: when a change is past and the next one takes its place, any mix is right.
 */
static struct budget_zone
zone_read(const struct budget *budget)
{
    struct budget_zone zone;

    zone.after_s = atomic_load_explicit(&budget->after_s, memory_order_acquire);
    zone.change_us = atomic_load_explicit(&budget->change_us, memory_order_acquire);
    zone.offset_s = atomic_load_explicit(&budget->offset_s, memory_order_relaxed);
    return zone;
}

static int64_t
local_us(const struct budget_zone *zone, int64_t wall_us)
{
    int64_t offset_s = wall_us < zone->change_us ? zone->offset_s : zone->after_s, sum_us;

    return __builtin_add_overflow(wall_us, offset_s * US_PER_S, &sum_us) ? wall_us : sum_us;
}

/* The instant at which local clocks show it; where they show it twice, the first. */
static int64_t
instant_us(const struct budget_zone *zone, int64_t shown_us)
{
    int64_t before_us, after_us;

    if (shown_us == INT64_MAX ||
        __builtin_sub_overflow(shown_us, zone->offset_s * US_PER_S, &before_us) ||
        __builtin_sub_overflow(shown_us, zone->after_s * US_PER_S, &after_us))
        return INT64_MAX;
    /* Where it is skipped, the change itself is the first instant that is past it. */
    return before_us < zone->change_us ? before_us : MAX(after_us, zone->change_us);
}

static enum budget_period
period_of(const struct budget *budget)
{
    return (enum budget_period)atomic_load_explicit(&budget->period, memory_order_relaxed);
}

static uint32_t
calendar_window(const struct budget *budget, enum budget_period period, int64_t wall_us)
{
    struct budget_zone zone = zone_read(budget);

    return budget_window(period, local_us(&zone, wall_us));
}

/* ---- rolling windows ---- */

static uint32_t
edge_window(uint64_t edge)
{
    return (uint32_t)(edge >> 49);
}

static int64_t
edge_ms(uint64_t edge)
{
    return (int64_t)(edge & EDGE_MS_MAX);
}

static uint64_t
edge_of(uint32_t window, int64_t ends_ms)
{
    return (uint64_t)window << 49 | (uint64_t)MAX(MIN(ends_ms, EDGE_MS_MAX), 0);
}

static int64_t
ms_of(int64_t wall_us)
{
    return MAX(wall_us, 0) / 1000;
}

/*
 * The window to enter for a word that is at that one. Where the last has ended, another is opened.
 * False when another worker was first: look again. Opening is for amounts that it will let in.
 */
static bool
rolling_window(struct budget *budget, uint32_t at, int64_t wall_us, uint32_t *to)
{
    uint64_t edge = atomic_load_explicit(&budget->edge, memory_order_acquire), next;
    uint32_t window = edge_window(edge);
    int64_t now_ms = ms_of(wall_us);

    SHM_STEP("rolling_window: edge loaded");
    *to = window;
    if (window != 0 && window >= at && now_ms < edge_ms(edge))
        return true;
    *to = window = MIN(MAX(window, at) + 1, (uint32_t)WINDOW_MAX);
    next = edge_of(window, now_ms + (int64_t)atomic_load_explicit(&budget->length_s,
                                                                  memory_order_relaxed) * 1000);
    SHM_STEP("rolling_window: before swap");
    if (!atomic_compare_exchange_strong_explicit(&budget->edge, &edge, next, memory_order_acq_rel,
                                                 memory_order_acquire))
        return false;
    SHM_STEP("rolling_window: opened");
    return true;
}

/* ---- entering ---- */

static enum budget_result
judge(int64_t amount_ucr, int64_t spent_ucr, int64_t limit_ucr, bool shadow)
{
    if (amount_ucr <= limit_ucr - spent_ucr)
        return BUDGET_OK;
    return shadow ? BUDGET_OVER : BUDGET_FULL;
}

/* The window that the amount goes to, for a word that is at `at`. */
static bool
window_for(struct budget *budget, enum budget_period period, uint32_t at, int64_t wall_us,
           uint32_t *to)
{
    if (period == BUDGET_ROLLING)
        return rolling_window(budget, at, wall_us, to);
    *to = MAX(calendar_window(budget, period, wall_us), at);
    return true;
}

enum budget_result
budget_enter(struct budget *budget, int64_t amount_ucr, int64_t wall_us, uint32_t *window)
{
    enum budget_period period = period_of(budget);
    int64_t limit_ucr =
        MIN(atomic_load_explicit(&budget->limit_ucr, memory_order_relaxed), BUDGET_SPENT_MAX);
    bool shadow = atomic_load_explicit(&budget->shadow, memory_order_relaxed) != 0;
    uint64_t word = atomic_load_explicit(&budget->word, memory_order_seq_cst);

    ASSERT(amount_ucr >= 0);
    SHM_STEP("budget_enter: loaded");
    while (true) {
        uint32_t at = budget_word_window(word), to;
        int64_t spent_ucr = budget_word_spent_ucr(word);
        enum budget_result result;

        if (budget_word_frozen(word))
            return BUDGET_FROZEN;
        /* More than an empty window lets in opens none. */
        if (judge(amount_ucr, 0, limit_ucr, shadow) == BUDGET_FULL)
            return BUDGET_FULL;
        if (!window_for(budget, period, at, wall_us, &to)) {
            word = atomic_load_explicit(&budget->word, memory_order_seq_cst);
            continue;
        }
        if (to > at) /* the first of a new window: nothing is spent in it yet */
            spent_ucr = 0;
        result = judge(amount_ucr, spent_ucr, limit_ucr, shadow);
        *window = to;
        if (result == BUDGET_FULL)
            return result;
        if (amount_ucr > BUDGET_SPENT_MAX - spent_ucr) {
            *window = BUDGET_NOT_ENTERED;
            return result;
        }
        SHM_STEP("budget_enter: before swap");
        /* Release: a recount that freezes this word after it sees our slot in CLAIM. */
        if (atomic_compare_exchange_weak_explicit(&budget->word, &word,
                                                  budget_word(to, false, spent_ucr + amount_ucr),
                                                  memory_order_acq_rel, memory_order_acquire)) {
            SHM_STEP("budget_enter: swapped");
            return result;
        }
    }
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
    atomic_store_explicit(&budget->edge, 0, memory_order_relaxed);
    atomic_store_explicit(&budget->period, (uint16_t)period, memory_order_relaxed);
    budget_set(budget, limit_ucr, false, BUDGET_LENGTH_S_MIN);
    budget_set_zone(budget, &(struct budget_zone){.change_us = INT64_MAX});
    budget->kind = (uint8_t)kind;
    budget->id = id;
    atomic_store_explicit(&header->budget_count, idx, memory_order_release);
    *budget_idx = idx;
    return 0;
}

void
budget_set(struct budget *budget, int64_t limit_ucr, bool shadow, uint32_t length_s)
{
    atomic_store_explicit(&budget->limit_ucr, limit_ucr, memory_order_relaxed);
    atomic_store_explicit(&budget->shadow, shadow ? 1 : 0, memory_order_relaxed);
    atomic_store_explicit(&budget->length_s, length_s, memory_order_relaxed);
}

void
budget_set_zone(struct budget *budget, const struct budget_zone *zone)
{
    atomic_store_explicit(&budget->offset_s, zone->offset_s, memory_order_release);
    atomic_store_explicit(&budget->change_us, zone->change_us, memory_order_release);
    atomic_store_explicit(&budget->after_s, zone->after_s, memory_order_release);
}

uint32_t
budget_window_due(const struct budget *budget, int64_t wall_us)
{
    enum budget_period period = period_of(budget);
    uint32_t at = budget_word_window(atomic_load_explicit(&budget->word, memory_order_acquire));

    return period == BUDGET_ROLLING ? at : MAX(calendar_window(budget, period, wall_us), at);
}

void
budget_set_edge(struct budget *budget, uint32_t window, int64_t ends_us)
{
    atomic_store_explicit(&budget->edge, edge_of(window, ms_of(ends_us)), memory_order_release);
}

int64_t
budget_edge_us(const struct budget *budget, uint32_t window)
{
    uint64_t edge = atomic_load_explicit(&budget->edge, memory_order_acquire);

    return edge_window(edge) == window ? edge_ms(edge) * 1000 : 0;
}

static void
look_rolling(const struct budget *budget, uint64_t word, int64_t wall_us, struct budget_look *out)
{
    uint64_t edge = atomic_load_explicit(&budget->edge, memory_order_acquire);

    out->length_s = atomic_load_explicit(&budget->length_s, memory_order_relaxed);
    out->window = MAX(edge_window(edge), budget_word_window(word));
    if (edge_window(edge) != out->window || ms_of(wall_us) >= edge_ms(edge))
        return;
    out->ends_us = edge_ms(edge) * 1000;
    if (budget_word_window(word) == out->window)
        out->spent_ucr = budget_word_spent_ucr(word);
}

void
budget_look(const struct budget *budget, int64_t wall_us, struct budget_look *out)
{
    uint64_t word = atomic_load_explicit(&budget->word, memory_order_acquire);
    struct budget_zone zone = zone_read(budget);
    int64_t from_us, to_us;

    *out = (struct budget_look){
        .period = period_of(budget),
        .limit_ucr = atomic_load_explicit(&budget->limit_ucr, memory_order_relaxed),
        .shadow = atomic_load_explicit(&budget->shadow, memory_order_relaxed) != 0,
    };
    if (out->period == BUDGET_ROLLING) {
        look_rolling(budget, word, wall_us, out);
        return;
    }
    out->window = budget_window(out->period, local_us(&zone, wall_us));
    if (budget_word_window(word) >= out->window) {
        out->window = budget_word_window(word);
        out->spent_ucr = budget_word_spent_ucr(word);
    }
    budget_window_edges(out->period, local_us(&zone, wall_us), &from_us, &to_us);
    out->ends_us = instant_us(&zone, to_us);
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
