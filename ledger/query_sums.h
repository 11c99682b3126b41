/* What questions about totals share: whose, of what, from when to when in which time zone. On any thread. */
#ifndef LEDGER_QUERY_SUMS_H
#define LEDGER_QUERY_SUMS_H

#include "ledger/command.h"
#include "ledger/sum.h"
#include "ledger/zones.h"

enum sums_step { SUMS_HOUR = 0, SUMS_DAY, SUMS_MONTH, SUMS_STEP_COUNT };
extern const char *const sums_step_name[SUMS_STEP_COUNT];

struct sums_ask {
    uint32_t tenant_id; /* 0: all */
    bool has[SUM_DIM_COUNT];
    uint32_t value[SUM_DIM_COUNT];
    unsigned filter_count;
    char zone_name[ZONE_NAME_LEN_MAX + 1];
    const struct zone *zone;
    int64_t since_us, until_us; /* whole quarters of an hour */
};

/* Each is false when something was refused. */
bool sums_tenant_arg(struct command *command, struct sums_ask *ask, bool must) MUST_CHECK;
bool sums_filter_args(struct command *command, struct sums_ask *ask) MUST_CHECK;
/* "since" and "until": days are the zone's. The last 30 days when neither is given. */
bool sums_window_args(struct command *command, struct sums_ask *ask) MUST_CHECK;

/* Of the hour, day or month that a moment is in: when it began; when the next one does. */
int64_t sums_step_start(const struct zone *zone, enum sums_step step, int64_t at_us);
int64_t sums_step_next(const struct zone *zone, enum sums_step step, int64_t at_us);
/* Midnight of that day, which may be past a month's end. Months from 1. */
int64_t sums_day_us(const struct zone *zone, int64_t year, int64_t month, int64_t day);

/*
 * Each row of what is asked for in a window, by `by` (SUM_ALL: all together). Refuses what there are no totals for.
 * The filters of ask hold. A negative errno.
 */
typedef int (*sums_row_fn)(void *arg, uint32_t value, const struct sum *sum);
int sums_walk(struct command *command, const struct sums_ask *ask, enum sum_dim by, int64_t since_us,
              int64_t until_us, sums_row_fn row, void *arg) MUST_CHECK;
int sums_total(struct command *command, const struct sums_ask *ask, int64_t since_us,
               int64_t until_us, struct sum *out) MUST_CHECK;

/* Members: tenant, zone, whether the totals are complete, and when this was asked. */
void sums_write_about(struct command *command, const struct sums_ask *ask);
void sums_write(struct jw *jw, const struct sum *sum);

#endif
