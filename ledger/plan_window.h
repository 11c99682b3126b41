/*
 * What a plan allows in one of its periods, and how fast: an allowance for the period, and windows, each with a
 * part of it that calls may take while the window is open. A call is the plan's as far as all of them have room.
 *
 *     rolling   opens with the first charge and ends so many seconds later
 *     day       the tenant's day: in a time zone with daylight saving 23 or 25 hours now and then
 *     week      from Monday
 *     month     the calendar's
 *
 * A charge counts in the windows that are open when it is committed. Pure functions over a fixed record: no store, no
 * clock. All amounts in micro-credits, all times in us since 1970.
 */
#ifndef LEDGER_PLAN_WINDOW_H
#define LEDGER_PLAN_WINDOW_H

#include "base/base.h"
#include "base/zone.h"

enum plan_window_kind { /* the store's form: only added to at the end */
    PLAN_ROLLING = 1,
    PLAN_DAY,
    PLAN_WEEK,
    PLAN_MONTH,
    PLAN_WINDOW_KIND_COUNT
};

struct plan_window {
    uint32_t kind;
    uint32_t length_s; /* of a rolling one */
    int64_t cap_ucr;   /* > 0 */
    int64_t used_ucr;
    int64_t opens_us, ends_us; /* both 0: a rolling one that is not open */
};

#define PLAN_WINDOWS_MAX 4u
#define PLAN_COVERS_MAX 16u

struct db_plan { /* a period of a subscription; the store's form */
    uint32_t subscription_id, tenant_id;
    int64_t starts_us, ends_us; /* the period: from the first inclusive to the second exclusive */
    int64_t allowance_ucr;      /* > 0; of the whole period */
    int64_t used_ucr;
    uint32_t window_count;
    uint32_t flags; /* enum db_plan_flag */
    struct plan_window windows[PLAN_WINDOWS_MAX];
};
enum db_plan_flag { DB_PLAN_CLOSED = 1u }; /* ended before its time: nothing is taken from it any more */
_Static_assert(sizeof(struct plan_window) == 40 && sizeof(struct db_plan) == 208, "the store's form");

/* Windows that are over are opened anew, or closed. Never goes back: an earlier time than that of a window that is
 * open changes nothing. True when something changed. */
bool plan_roll(struct db_plan *plan, const struct zone *zone, int64_t now_us);
/* What a call may take now; below 0 where more was taken than is allowed by now. Of a plan that was rolled. */
int64_t plan_available_ucr(const struct db_plan *plan, int64_t now_us);
/* Of a plan that was rolled. What passes a limit counts, too. */
void plan_charge(struct db_plan *plan, int64_t ucr, int64_t now_us);
/* When the next window or the period ends: INT64_MAX when it is over. */
int64_t plan_edge_us(const struct db_plan *plan, int64_t now_us);

/* The part of the calendar that a time is in. */
void plan_window_calendar(enum plan_window_kind kind, const struct zone *zone, int64_t now_us, int64_t *opens_us,
                          int64_t *ends_us);

#endif
