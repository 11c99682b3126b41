/*
 * The account of a month: what there was, what came in and went out, what was charged for which models and channels,
 * what is left; to the micro-credit what the books say. A call counts where it began, so a month that is just over
 * can still grow by calls that ran when it ended. On any thread.
 */
#include "ledger/core.h"
#include "ledger/query.h"
#include "ledger/query_sums.h"

#include "base/clock.h"
#include "base/str.h"
#include "base/ucr.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct statement {
    struct sums_ask ask;
    char month[8];
    struct sum before_in, before_out; /* all that moved, and was charged, until then */
    struct sum in[TRANSFER_KIND_COUNT];
    struct sum out;
};

struct rows {
    struct row {
        uint32_t value;
        struct sum sum;
    } *at;
    size_t count, cap;
};

/* ---- arguments ---- */

/* "2026-11"; without it the month that it is now there. */
static bool
month_arg(struct command *command, struct statement *statement)
{
    struct sums_ask *ask = &statement->ask;
    int64_t now_us = ledger_wall_us(command->ledger);
    struct civil now = clock_civil(now_us + (int64_t)zone_offset_s(ask->zone, now_us) * 1000000);
    uint64_t year = (uint64_t)now.year, month = (uint64_t)now.month;
    struct str text, rest;

    if (!command_str(command, "month", false, &text))
        return false;
    if (text.len > 0) {
        struct str of_year = str_split(text, '-', &rest);

        if (text.len != 7 || of_year.len != 4 || !str_to_count(of_year, 9998, &year) ||
            !str_to_count(rest, 12, &month) || month < 1 || year < 1970) {
            command_refuse_field(command, COMMAND_USAGE, "invalid", "month",
                                 "month: \"%.*s\" is none", (int)MIN(text.len, 40u), text.ptr);
            command_hint(command, "write it as 2026-11");
            return false;
        }
    }
    (void)snprintf(statement->month, sizeof(statement->month), "%04u-%02u", (unsigned)year % 10000,
                   (unsigned)month % 100);
    ask->since_us = MAX(sums_day_us(ask->zone, (int64_t)year, (int64_t)month, 1), 0);
    ask->until_us = sums_day_us(ask->zone, (int64_t)year, (int64_t)month + 1, 1);
    ask->since_us -= ask->since_us % SUM_QUARTER_US;
    ask->until_us -= ask->until_us % SUM_QUARTER_US;
    return true;
}

/* ---- sums ---- */

static int
on_move(void *arg, uint32_t value, const struct sum *sum)
{
    struct statement *statement = arg;

    if (value >= TRANSFER_KIND_COUNT)
        return -EILSEQ;
    sum_add(&statement->in[value], sum);
    return 0;
}

static int
on_move_before(void *arg, uint32_t value, const struct sum *sum)
{
    struct statement *statement = arg;

    (void)value;
    sum_add(&statement->before_in, sum);
    return 0;
}

static int
statement_sums(struct command *command, struct statement *s)
{
    const struct sums_ask *ask = &s->ask;
    int rc = sums_walk(command, ask, SUM_TRANSFER, 0, ask->since_us, on_move_before, s);

    if (rc == 0)
        rc = sums_walk(command, ask, SUM_TRANSFER, ask->since_us, ask->until_us, on_move, s);
    if (rc == 0)
        rc = sums_total(command, ask, 0, ask->since_us, &s->before_out);
    return rc == 0 ? sums_total(command, ask, ask->since_us, ask->until_us, &s->out) : rc;
}

/* There are few of them: they are looked for one by one. */
static int
on_row(void *arg, uint32_t value, const struct sum *sum)
{
    struct rows *rows = arg;
    size_t i = 0;

    while (i < rows->count && rows->at[i].value != value)
        i++;
    if (i < rows->count) {
        sum_add(&rows->at[i].sum, sum);
        return 0;
    }
    if (rows->count == rows->cap) {
        size_t cap = MAX(rows->cap * 2, 64u);
        struct row *at = realloc(rows->at, cap * sizeof(*at));

        if (at == NULL)
            return -ENOMEM;
        rows->at = at;
        rows->cap = cap;
    }
    rows->at[rows->count++] = (struct row){value, *sum};
    return 0;
}

static int
row_cmp(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    if (x->sum.of.charge_ucr != y->sum.of.charge_ucr)
        return x->sum.of.charge_ucr > y->sum.of.charge_ucr ? -1 : 1;
    return x->value < y->value ? -1 : x->value > y->value;
}

/* ---- answer ---- */

static int
write_charges(struct command *command, const struct statement *s, enum sum_dim by, const char *name)
{
    struct jw *jw = &command->jw;
    struct rows rows = {0};
    int rc = sums_walk(command, &s->ask, by, s->ask.since_us, s->ask.until_us, on_row, &rows);

    if (rows.count > 1)
        qsort(rows.at, rows.count, sizeof(*rows.at), row_cmp);
    jw_key(jw, name);
    jw_array(jw);
    for (size_t i = 0; rc == 0 && i < rows.count; i++) {
        jw_object(jw);
        query_write_name(command, sum_dim_name[by], rows.at[i].value);
        sums_write(jw, &rows.at[i].sum);
        jw_object_end(jw);
    }
    jw_array_end(jw);
    free(rows.at);
    return rc;
}

static void
write_moves(struct jw *jw, const struct statement *s)
{
    jw_key(jw, "deposits");
    jw_array(jw);
    for (unsigned kind = 0; kind < TRANSFER_KIND_COUNT; kind++) {
        if (s->in[kind].of.calls == 0)
            continue;
        jw_object(jw);
        jw_key_cstr(jw, "kind", db_transfer_kind_name[kind]);
        jw_key_u64(jw, "count", s->in[kind].of.calls);
        jw_key_ucr(jw, "amount", s->in[kind].of.charge_ucr);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

static int
write_balances(struct jw *jw, const struct statement *s)
{
    int64_t opening_ucr, closing_ucr, in_ucr = 0;

    for (unsigned kind = 0; kind < TRANSFER_KIND_COUNT; kind++)
        if (!ucr_add(in_ucr, s->in[kind].of.charge_ucr, &in_ucr))
            return -EILSEQ;
    if (!ucr_sub(s->before_in.of.charge_ucr, s->before_out.of.charge_ucr, &opening_ucr) ||
        !ucr_add(opening_ucr, in_ucr, &closing_ucr) ||
        !ucr_sub(closing_ucr, s->out.of.charge_ucr, &closing_ucr))
        return -EILSEQ;
    jw_key_ucr(jw, "opening", opening_ucr);
    jw_key_ucr(jw, "deposited", in_ucr);
    jw_key_ucr(jw, "charged", s->out.of.charge_ucr);
    jw_key_ucr(jw, "closing", closing_ucr);
    return 0;
}

static int
statement_show(struct command *command)
{
    struct statement *s = arena_zalloc(&command->arena, sizeof(*s));
    struct jw *jw = &command->jw;
    int rc;

    if (s == NULL)
        return -ENOMEM;
    if (!sums_tenant_arg(command, &s->ask, true) || !month_arg(command, s))
        return 0;
    rc = statement_sums(command, s);
    if (rc < 0)
        return rc;
    sums_write_about(command, &s->ask);
    jw_key_cstr(jw, "tenant_name", command_tenant_name(command, s->ask.tenant_id));
    jw_key_cstr(jw, "month", s->month);
    jw_key_time(jw, "since", s->ask.since_us);
    jw_key_time(jw, "until", s->ask.until_us);
    jw_key_bool(jw, "over", ledger_wall_us(command->ledger) >= s->ask.until_us);
    rc = write_balances(jw, s);
    if (rc < 0)
        return rc;
    write_moves(jw, s);
    jw_key(jw, "total");
    jw_object(jw);
    sums_write(jw, &s->out);
    jw_object_end(jw);
    rc = write_charges(command, s, SUM_MODEL, "models");
    return rc == 0 ? write_charges(command, s, SUM_CHANNEL, "channels") : rc;
}

const struct command_def command_statement_defs[] = {
    {.name = "usage.statement", .kind = COMMAND_READ, .run = statement_show},
    {.name = NULL},
};
