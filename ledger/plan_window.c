#include "ledger/plan_window.h"

#include "base/clock.h"
#include "base/ucr.h"

#define DAY_S INT64_C(86400)

static int64_t
day_us(const struct zone *zone, int64_t day)
{
    return zone_instant_s(zone, day * DAY_S) * 1000000;
}

void
plan_window_calendar(enum plan_window_kind kind, const struct zone *zone, int64_t now_us, int64_t *opens_us,
                     int64_t *ends_us)
{
    int64_t local_us = now_us + (int64_t)zone_offset_s(zone, now_us) * 1000000;
    struct civil date = clock_civil(local_us);
    int64_t first = clock_days(date.year, date.month, date.day), next = first + 1;

    if (kind == PLAN_WEEK) {
        first -= ((first + 3) % 7 + 7) % 7; /* 1970 began with a Thursday */
        next = first + 7;
    } else if (kind == PLAN_MONTH) {
        first = clock_days(date.year, date.month, 1);
        next = clock_days(date.year, (int64_t)date.month + 1, 1);
    }
    *opens_us = day_us(zone, first);
    *ends_us = day_us(zone, next);
    /* Where clocks went back over midnight, the same date comes twice: it is one day. */
    if (*ends_us <= now_us)
        *ends_us = day_us(zone, next + 1);
    if (*opens_us > now_us)
        *opens_us = now_us;
}

static bool
window_roll(struct plan_window *window, const struct zone *zone, int64_t now_us)
{
    if (window->ends_us != 0 && now_us < window->ends_us)
        return false;
    if (window->kind == PLAN_ROLLING) {
        if (window->ends_us == 0)
            return false;
        window->opens_us = window->ends_us = 0;
    } else {
        plan_window_calendar((enum plan_window_kind)window->kind, zone, now_us, &window->opens_us,
                             &window->ends_us);
    }
    window->used_ucr = 0;
    return true;
}

bool
plan_roll(struct db_plan *plan, const struct zone *zone, int64_t now_us)
{
    bool changed = false;

    for (uint32_t i = 0; i < plan->window_count; i++)
        changed |= window_roll(&plan->windows[i], zone, now_us);
    return changed;
}

int64_t
plan_available_ucr(const struct db_plan *plan, int64_t now_us)
{
    int64_t available_ucr = plan->allowance_ucr - plan->used_ucr;

    if (now_us < plan->starts_us || now_us >= plan->ends_us || (plan->flags & DB_PLAN_CLOSED))
        return 0;
    for (uint32_t i = 0; i < plan->window_count; i++)
        available_ucr = MIN(available_ucr, plan->windows[i].cap_ucr - plan->windows[i].used_ucr);
    return available_ucr;
}

static void
add(int64_t *sum_ucr, int64_t ucr)
{
    if (!ucr_add(*sum_ucr, ucr, sum_ucr))
        *sum_ucr = INT64_MAX;
}

void
plan_charge(struct db_plan *plan, int64_t ucr, int64_t now_us)
{
    ASSERT(ucr >= 0);
    if (ucr == 0)
        return;
    add(&plan->used_ucr, ucr);
    for (uint32_t i = 0; i < plan->window_count; i++) {
        struct plan_window *window = &plan->windows[i];

        if (window->kind == PLAN_ROLLING && window->ends_us == 0) {
            window->opens_us = now_us;
            window->ends_us = now_us + (int64_t)window->length_s * 1000000;
        }
        add(&window->used_ucr, ucr);
    }
}

int64_t
plan_edge_us(const struct db_plan *plan, int64_t now_us)
{
    int64_t edge_us = plan->ends_us;

    if (now_us >= plan->ends_us || (plan->flags & DB_PLAN_CLOSED))
        return INT64_MAX;
    if (now_us < plan->starts_us)
        return plan->starts_us;
    for (uint32_t i = 0; i < plan->window_count; i++)
        if (plan->windows[i].ends_us != 0)
            edge_us = MIN(edge_us, plan->windows[i].ends_us);
    return edge_us;
}
