/*
 * Queries: the keys, members, projects, models, channels, outcomes or tenants with the most of a window, by charge,
 * calls or tokens; and what the others come to. On any thread.
 */
#include "ledger/core.h"
#include "ledger/entity.h"
#include "ledger/query.h"
#include "ledger/query_sums.h"

#include "base/str.h"

#include <errno.h>
#include <stdlib.h>

#define ROWS_DEFAULT 10u
#define ROWS_MAX 1000u

enum most_order { MOST_CHARGE = 0, MOST_CALLS, MOST_TOKENS, MOST_ERRORS, MOST_ORDER_COUNT };
static const char *const most_order_name[] = {"charge", "calls", "tokens", "errors"};
_Static_assert(COUNT_OF(most_order_name) == MOST_ORDER_COUNT, "a new order needs a name");

struct most_row {
    uint32_t value;
    struct sum sum;
};

struct most {
    enum sum_dim by;
    enum most_order order;
    uint32_t limit;
    struct most_row *rows;
    size_t count, cap;
    struct sum total;
};

/* ---- rows ---- */

static int
row_cmp_value(const void *a, const void *b)
{
    const struct most_row *x = a, *y = b;

    return x->value < y->value ? -1 : x->value > y->value;
}

static void
rows_merge(struct most *most)
{
    size_t merged = 0;

    if (most->count == 0)
        return;
    qsort(most->rows, most->count, sizeof(*most->rows), row_cmp_value);
    for (size_t i = 0; i < most->count; i++) {
        if (merged > 0 && most->rows[merged - 1].value == most->rows[i].value)
            sum_add(&most->rows[merged - 1].sum, &most->rows[i].sum);
        else
            most->rows[merged++] = most->rows[i];
    }
    most->count = merged;
}

/* Merges first, so that memory is bounded by how many there are of them; and grows where that gave little. */
static bool
rows_room(struct most *most)
{
    size_t cap = MAX(most->cap * 2, 1024u);
    struct most_row *rows;

    rows_merge(most);
    if (most->count < most->cap / 2)
        return true;
    rows = realloc(most->rows, cap * sizeof(*rows));
    if (rows == NULL)
        return false;
    most->rows = rows;
    most->cap = cap;
    return true;
}

static int
on_row(void *arg, uint32_t value, const struct sum *sum)
{
    struct most *most = arg;

    sum_add(&most->total, sum);
    if (most->count > 0 && most->rows[most->count - 1].value == value) {
        sum_add(&most->rows[most->count - 1].sum, sum);
        return 0;
    }
    if (most->count == most->cap && !rows_room(most))
        return -ENOMEM;
    most->rows[most->count++] = (struct most_row){value, *sum};
    return 0;
}

static uint64_t
weight(enum most_order order, const struct sum *sum)
{
    const struct rollup *of = &sum->of;

    switch (order) {
    case MOST_CHARGE: return (uint64_t)MAX(of->charge_ucr, 0);
    case MOST_CALLS: return of->calls;
    case MOST_TOKENS:
        return of->input_tokens + of->cache_read_tokens + of->cache_write_5m_tokens +
               of->cache_write_1h_tokens + of->output_tokens;
    case MOST_ERRORS: return of->errors;
    case MOST_ORDER_COUNT: break;
    }
    return 0;
}

static int
row_cmp_weight(const void *a, const void *b, void *arg)
{
    const struct most *most = arg;
    uint64_t x = weight(most->order, &((const struct most_row *)a)->sum);
    uint64_t y = weight(most->order, &((const struct most_row *)b)->sum);

    return x != y ? (x > y ? -1 : 1) : row_cmp_value(a, b);
}

/* ---- arguments ---- */

static bool
by_arg(struct command *command, struct most *most)
{
    static const enum sum_dim may[] = {SUM_KEY,     SUM_MEMBER,  SUM_PROJECT, SUM_MODEL,
                                       SUM_CHANNEL, SUM_OUTCOME, SUM_STATUS,  SUM_TENANT};
    struct str by;

    if (!command_str(command, "by", true, &by))
        return false;
    for (size_t i = 0; i < COUNT_OF(may); i++)
        if (str_eq(by, str_from(sum_dim_name[may[i]]))) {
            most->by = may[i];
            return true;
        }
    command_refuse_field(command, COMMAND_USAGE, "invalid", "by", "by: there is no \"%.*s\"",
                         (int)MIN(by.len, 40u), by.ptr);
    command_hint(command, "one of key, member, project, model, channel, outcome, status, tenant");
    return false;
}

static bool
order_arg(struct command *command, struct most *most)
{
    struct str order;

    if (!command_str(command, "order", false, &order))
        return false;
    for (unsigned i = 0; i < MOST_ORDER_COUNT; i++)
        if (order.len == 0 || str_eq(order, str_from(most_order_name[i]))) {
            most->order = (enum most_order)i;
            return true;
        }
    command_refuse_field(command, COMMAND_USAGE, "invalid", "order", "order: there is no \"%.*s\"",
                         (int)MIN(order.len, 40u), order.ptr);
    command_hint(command, "one of charge, calls, tokens, errors");
    return false;
}

static bool
limit_arg(struct command *command, struct most *most)
{
    if (!command_u32(command, "limit", &most->limit))
        return false;
    if (most->limit == 0)
        most->limit = ROWS_DEFAULT;
    if (most->limit <= ROWS_MAX)
        return true;
    command_refuse_field(command, COMMAND_USAGE, "out_of_range", "limit", "limit: at most %u", ROWS_MAX);
    return false;
}

/* ---- answer ---- */

static void
write_key_name(struct command *command, uint32_t id)
{
    struct entity_key key;
    bool found = entity_key_get(&command->txn, id, &key) == 0;

    jw_key_cstr(&command->jw, "name", found ? key.name : NULL);
    jw_key_cstr(&command->jw, "hint", found ? key.hint : NULL);
}

static void
write_who(struct command *command, enum sum_dim by, uint32_t value)
{
    struct jw *jw = &command->jw;
    struct entity_member member;
    struct entity_project project;

    switch (by) {
    case SUM_MODEL:
    case SUM_CHANNEL: query_write_name(command, sum_dim_name[by], value); return;
    case SUM_OUTCOME:
        jw_key_cstr(jw, "outcome", value < OUTCOME_COUNT ? record_outcome_name[value] : NULL);
        return;
    case SUM_KEY:
    case SUM_MEMBER:
    case SUM_PROJECT:
    case SUM_TENANT:
    case SUM_STATUS: jw_key_u64(jw, sum_dim_name[by], value); break;
    case SUM_ALL:
    case SUM_TRANSFER:
    case SUM_DIM_COUNT: return;
    }
    if (by == SUM_KEY)
        write_key_name(command, value);
    else if (by == SUM_MEMBER)
        jw_key_cstr(jw, "email",
                    entity_member_get(&command->txn, value, &member) == 0 ? member.email : NULL);
    else if (by == SUM_PROJECT)
        jw_key_cstr(jw, "name",
                    entity_project_get(&command->txn, value, &project) == 0 ? project.name : NULL);
    else if (by == SUM_TENANT)
        jw_key_cstr(jw, "name", command_tenant_name(command, value));
}

static void
write_answer(struct command *command, const struct sums_ask *ask, const struct most *most)
{
    struct jw *jw = &command->jw;
    struct sum others = {0};

    sums_write_about(command, ask);
    jw_key_cstr(jw, "by", sum_dim_name[most->by]);
    jw_key_cstr(jw, "order", most_order_name[most->order]);
    jw_key_time(jw, "since", ask->since_us);
    jw_key_time(jw, "until", ask->until_us);
    jw_key(jw, "rows");
    jw_array(jw);
    for (size_t i = 0; i < most->count; i++) {
        if (i >= most->limit) {
            sum_add(&others, &most->rows[i].sum);
            continue;
        }
        jw_object(jw);
        write_who(command, most->by, most->rows[i].value);
        sums_write(jw, &most->rows[i].sum);
        jw_object_end(jw);
    }
    jw_array_end(jw);
    jw_key_u64(jw, "count", most->count);
    jw_key(jw, "others");
    jw_object(jw);
    sums_write(jw, &others);
    jw_object_end(jw);
    jw_key(jw, "total");
    jw_object(jw);
    sums_write(jw, &most->total);
    jw_object_end(jw);
}

static int
most_show(struct command *command)
{
    struct sums_ask ask = {0};
    struct most most = {0};
    int rc;

    if (!sums_tenant_arg(command, &ask, false) || !by_arg(command, &most) ||
        !order_arg(command, &most) || !limit_arg(command, &most) ||
        !sums_filter_args(command, &ask) || !sums_window_args(command, &ask))
        return 0;
    rc = sums_walk(command, &ask, most.by, ask.since_us, ask.until_us, on_row, &most);
    if (rc == 0 && command->exit == COMMAND_DONE) {
        rows_merge(&most);
        if (most.count > 1)
            qsort_r(most.rows, most.count, sizeof(*most.rows), row_cmp_weight, &most);
        write_answer(command, &ask, &most);
    }
    free(most.rows);
    return rc;
}

const struct command_def command_most_defs[] = {
    {.name = "usage.top", .kind = COMMAND_READ, .run = most_show},
    {.name = NULL},
};
