#include "ledger/query_sums.h"

#include "base/clock.h"
#include "base/str.h"
#include "ledger/core.h"
#include "ledger/doc.h"
#include "ledger/query.h"

#include <errno.h>
#include <string.h>

#define DAY_S INT64_C(86400)
#define DAYS_DEFAULT 30
#define UNTIL_US_MAX INT64_C(253402300799000000)

const char *const sums_step_name[] = {
    [SUMS_HOUR] = "hour", [SUMS_DAY] = "day", [SUMS_MONTH] = "month"};
_Static_assert(COUNT_OF(sums_step_name) == SUMS_STEP_COUNT, "a new step needs a name");

/* ---- calendar ---- */

int64_t
sums_day_us(const struct zone *zone, int64_t year, int64_t month, int64_t day)
{
    return zone_instant_s(zone, clock_days(year, month, day) * DAY_S) * 1000000;
}

int64_t
sums_step_start(const struct zone *zone, enum sums_step step, int64_t at_us)
{
    int64_t local_us = at_us + (int64_t)zone_offset_s(zone, at_us) * 1000000;
    struct civil date = clock_civil(local_us);

    switch (step) {
    case SUMS_HOUR: return at_us - local_us % ROLLUP_HOUR_US;
    case SUMS_DAY: return sums_day_us(zone, date.year, date.month, date.day);
    case SUMS_MONTH: return sums_day_us(zone, date.year, date.month, 1);
    case SUMS_STEP_COUNT: break;
    }
    return at_us;
}

int64_t
sums_step_next(const struct zone *zone, enum sums_step step, int64_t at_us)
{
    int64_t local_us = at_us + (int64_t)zone_offset_s(zone, at_us) * 1000000;
    struct civil date = clock_civil(local_us);

    switch (step) {
    case SUMS_HOUR: return sums_step_start(zone, step, at_us) + ROLLUP_HOUR_US;
    case SUMS_DAY: return sums_day_us(zone, date.year, date.month, date.day + 1);
    case SUMS_MONTH: return sums_day_us(zone, date.year, (int64_t)date.month + 1, 1);
    case SUMS_STEP_COUNT: break;
    }
    return at_us + 1;
}

/* ---- arguments ---- */

/* What the tenant's days are: its own member of the document. */
static struct str
zone_of(struct command *command, uint32_t tenant_id)
{
    struct js_value doc, zone;

    if (tenant_id == 0 || doc_get_id(&command->txn, DB_TENANT, tenant_id, &doc) < 0)
        return STR_NONE;
    zone = js_get(doc, STR("zone"));
    return js_is(zone, JS_STRING) ? zone.raw : STR_NONE;
}

/* The zone that is named, or the tenant's own. */
static bool
zone_arg(struct command *command, struct sums_ask *ask)
{
    struct str name;

    if (!command_str(command, "zone", false, &name))
        return false;
    if (name.len == 0)
        name = zone_of(command, ask->tenant_id);
    str_copy(name.len > 0 ? name : STR("UTC"), ask->zone_name, sizeof(ask->zone_name));
    if (zones_find(name, &ask->zone) == 0)
        return true;
    command_refuse_field(command, COMMAND_USAGE, "invalid", "zone", "there is no time zone \"%.*s\"",
                         (int)MIN(name.len, (size_t)ZONE_NAME_LEN_MAX), name.ptr);
    command_hint(command, "a name of the tz database, as Asia/Shanghai");
    return false;
}

bool
sums_tenant_arg(struct command *command, struct sums_ask *ask, bool must)
{
    return command_tenant(command, "tenant", must, &ask->tenant_id) && zone_arg(command, ask);
}

static bool
id_arg(struct command *command, struct sums_ask *ask, enum sum_dim dim)
{
    if (!command_id(command, sum_dim_name[dim], false, &ask->value[dim]))
        return false;
    ask->has[dim] = ask->value[dim] != 0;
    return true;
}

/* A name that no record ever had is nobody's, and comes to nothing. */
static bool
name_arg(struct command *command, struct sums_ask *ask, enum sum_dim dim)
{
    struct str text;

    if (!command_str(command, sum_dim_name[dim], false, &text))
        return false;
    ask->has[dim] = text.len > 0;
    if (text.len > 0)
        ask->value[dim] = query_name_id(command, text);
    if (ask->has[dim] && ask->value[dim] == 0)
        ask->value[dim] = UINT32_MAX;
    return true;
}

static bool
outcome_arg(struct command *command, struct sums_ask *ask)
{
    struct str text;

    if (!command_str(command, "outcome", false, &text))
        return false;
    if (text.len == 0)
        return true;
    for (uint32_t i = 0; i < OUTCOME_COUNT; i++)
        if (str_eq(text, str_from(record_outcome_name[i]))) {
            ask->has[SUM_OUTCOME] = true;
            ask->value[SUM_OUTCOME] = i;
            return true;
        }
    command_refuse_field(command, COMMAND_USAGE, "invalid", "outcome", "there is no outcome \"%.*s\"",
                         (int)MIN(text.len, 40u), text.ptr);
    return false;
}

static bool
status_arg(struct command *command, struct sums_ask *ask)
{
    ask->has[SUM_STATUS] = command_has(command, "status");
    return command_u32(command, "status", &ask->value[SUM_STATUS]);
}

/* Who sees only what is their own: whatever member else is named, theirs is none of it. */
static bool
only_arg(struct command *command, struct sums_ask *ask)
{
    uint32_t only;

    if (!command_id(command, "only_member", false, &only))
        return false;
    if (only != 0 && ask->has[SUM_MEMBER] && ask->value[SUM_MEMBER] != only)
        only = UINT32_MAX;
    if (only != 0) {
        ask->has[SUM_MEMBER] = true;
        ask->value[SUM_MEMBER] = only;
    }
    return true;
}

bool
sums_filter_args(struct command *command, struct sums_ask *ask)
{
    if (!id_arg(command, ask, SUM_KEY) || !id_arg(command, ask, SUM_MEMBER) ||
        !id_arg(command, ask, SUM_PROJECT) || !name_arg(command, ask, SUM_MODEL) ||
        !name_arg(command, ask, SUM_CHANNEL) || !outcome_arg(command, ask) ||
        !status_arg(command, ask) || !only_arg(command, ask))
        return false;
    for (unsigned dim = 0; dim < SUM_DIM_COUNT; dim++)
        ask->filter_count += ask->has[dim];
    return true;
}

/* A day alone is the zone's day. */
static bool
time_arg(struct command *command, const struct sums_ask *ask, const char *name, int64_t *wall_us)
{
    struct civil date;
    struct str text;

    if (!command_time(command, name, wall_us) || !command_str(command, name, false, &text))
        return false;
    if (text.len == 10 && text.ptr[4] == '-' && text.ptr[7] == '-') {
        date = clock_civil(*wall_us);
        *wall_us = sums_day_us(ask->zone, date.year, date.month, date.day);
    }
    return true;
}

bool
sums_window_args(struct command *command, struct sums_ask *ask)
{
    if (!time_arg(command, ask, "since", &ask->since_us) ||
        !time_arg(command, ask, "until", &ask->until_us))
        return false;
    if (ask->until_us == 0)
        ask->until_us = ledger_wall_us(command->ledger) + 1;
    ask->until_us = MIN(ask->until_us, UNTIL_US_MAX);
    if (ask->since_us == 0 && !command_has(command, "since"))
        ask->since_us = MAX(ask->until_us - DAYS_DEFAULT * ROLLUP_DAY_US, 0);
    if (ask->since_us >= ask->until_us || ask->since_us < 0) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "since", "since must be before until");
        return false;
    }
    ask->since_us -= ask->since_us % SUM_QUARTER_US;
    ask->until_us += (SUM_QUARTER_US - ask->until_us % SUM_QUARTER_US) % SUM_QUARTER_US;
    return true;
}

/* ---- sums ---- */

static bool
is_mixed(enum sum_dim dim)
{
    switch (dim) {
    case SUM_KEY:
    case SUM_MEMBER:
    case SUM_PROJECT:
    case SUM_MODEL:
    case SUM_CHANNEL: return true;
    case SUM_ALL:
    case SUM_OUTCOME:
    case SUM_STATUS:
    case SUM_TENANT:
    case SUM_TRANSFER:
    case SUM_DIM_COUNT: break;
    }
    return false;
}

static uint32_t
value_of(const struct sum_key *key, enum sum_dim dim)
{
    if (key->dim != SUM_KEY)
        return key->value;
    switch (dim) {
    case SUM_MEMBER: return key->member;
    case SUM_PROJECT: return key->project;
    case SUM_MODEL: return key->model;
    case SUM_CHANNEL: return key->channel;
    case SUM_ALL:
    case SUM_KEY:
    case SUM_OUTCOME:
    case SUM_STATUS:
    case SUM_TENANT:
    case SUM_TRANSFER:
    case SUM_DIM_COUNT: break;
    }
    return key->value;
}

struct walk {
    const struct sums_ask *ask;
    enum sum_dim by;
    sums_row_fn row;
    void *arg;
};

static int
on_row(void *arg, const struct sum_key *key, const struct sum *sum)
{
    const struct walk *walk = arg;

    for (unsigned dim = 0; dim < SUM_DIM_COUNT; dim++)
        if (walk->ask->has[dim] && value_of(key, (enum sum_dim)dim) != walk->ask->value[dim])
            return 0;
    return walk->row(walk->arg, walk->by == SUM_ALL ? 0 : value_of(key, walk->by), sum);
}

/* In which dimension all that is asked for can be told. SUM_DIM_COUNT: in none. */
static enum sum_dim
dim_for(const struct sums_ask *ask, enum sum_dim by)
{
    enum sum_dim only = SUM_ALL;
    bool mixed = by == SUM_ALL || is_mixed(by);

    for (unsigned dim = 0; dim < SUM_DIM_COUNT; dim++)
        if (ask->has[dim]) {
            only = (enum sum_dim)dim;
            mixed = mixed && is_mixed(only);
        }
    if (ask->filter_count == 0)
        return by;
    if (ask->filter_count == 1 && (by == SUM_ALL || by == only))
        return only;
    return mixed && ask->tenant_id != 0 ? SUM_KEY : SUM_DIM_COUNT;
}

static bool
has_rows(const struct sums_ask *ask, enum sum_dim dim)
{
    if (ask->tenant_id != 0)
        return dim != SUM_TENANT;
    return dim != SUM_KEY && dim != SUM_MEMBER && dim != SUM_PROJECT;
}

int
sums_walk(struct command *command, const struct sums_ask *ask, enum sum_dim by, int64_t since_us,
          int64_t until_us, sums_row_fn row, void *arg)
{
    enum sum_dim dim = dim_for(ask, by);
    struct walk walk = {ask, by, row, arg};
    struct sum_ask of = {.tenant_id = ask->tenant_id,
                         .dim = dim,
                         .window = {since_us / SUM_QUARTER_US, until_us / SUM_QUARTER_US}};

    if (dim == SUM_DIM_COUNT || !has_rows(ask, dim)) {
        command_refuse(command, COMMAND_USAGE, "there are no totals of these together");
        command_hint(command, ask->tenant_id == 0
                                  ? "ask for one tenant's"
                                  : "outcome and status stand alone; the list of calls has all filters");
        return 0;
    }
    of.one = ask->has[dim];
    of.value = ask->value[dim];
    return sum_walk(&command->txn, &of, on_row, &walk);
}

static int
total_row(void *arg, uint32_t value, const struct sum *sum)
{
    (void)value;
    sum_add(arg, sum);
    return 0;
}

int
sums_total(struct command *command, const struct sums_ask *ask, int64_t since_us, int64_t until_us,
           struct sum *out)
{
    memset(out, 0, sizeof(*out));
    return sums_walk(command, ask, SUM_ALL, since_us, until_us, total_row, out);
}

/* ---- answers ---- */

void
sums_write_about(struct command *command, const struct sums_ask *ask)
{
    struct jw *jw = &command->jw;

    jw_key(jw, "tenant");
    if (ask->tenant_id != 0)
        jw_u64(jw, ask->tenant_id);
    else
        jw_null(jw);
    jw_key_cstr(jw, "zone", ask->zone_name);
    jw_key_time(jw, "as_of", ledger_wall_us(command->ledger));
    jw_key_bool(jw, "complete", sum_complete(&command->txn));
}

void
query_write_rollup(struct jw *jw, const struct rollup *of)
{
    jw_key_u64(jw, "calls", of->calls);
    jw_key_u64(jw, "errors", of->errors);
    jw_key(jw, "tokens");
    jw_object(jw);
    jw_key_u64(jw, "input", of->input_tokens);
    jw_key_u64(jw, "cache_read", of->cache_read_tokens);
    jw_key_u64(jw, "cache_write_5m", of->cache_write_5m_tokens);
    jw_key_u64(jw, "cache_write_1h", of->cache_write_1h_tokens);
    jw_key_u64(jw, "output", of->output_tokens);
    jw_key_u64(jw, "reasoning", of->reasoning_tokens);
    jw_object_end(jw);
    jw_key_ucr(jw, "charge", of->charge_ucr);
    jw_key_ucr(jw, "uncollected", of->uncollected_ucr);
}

void
sums_write(struct jw *jw, const struct sum *sum)
{
    query_write_rollup(jw, &sum->of);
    jw_key(jw, "first_byte_ms");
    if (sum->answered > 0)
        jw_u64(jw, sum->first_byte_ms / sum->answered);
    else
        jw_null(jw);
    jw_key(jw, "duration_ms");
    if (sum->answered > 0)
        jw_u64(jw, sum->total_ms / sum->answered);
    else
        jw_null(jw);
}
