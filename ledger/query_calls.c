/*
 * The calls of a window of time, the newest first or the oldest, page by page. A row is a record: a call whose hold
 * was extended has one for each of its slots. On any thread.
 *
 * They come by the minute that they began in, those of one minute by their commit. Where a page ends is a place: a minute, a
 * block with calls that began in it, and how many of those were given. Nothing that is committed later moves it.
 * Which minutes and blocks are worth a look is told by ledger/where.h, so that a page costs what is in it. A
 * page that had to look very long gives what it has, and where it stopped.
 */
#include "ledger/core.h"
#include "ledger/cut.h"
#include "ledger/entity.h"
#include "ledger/query.h"
#include "ledger/where.h"

#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define US_PER_MINUTE INT64_C(60000000)
#define UNTIL_US_MAX INT64_C(253402300799000000)
#define ROWS_DEFAULT 50u
#define ROWS_MAX 1000u
/* A query that finds little gives what it has and where it stopped, and holds no reader for long. */
#define BLOCKS_MAX 20000u
#define STEPS_MAX 100000u

struct place {
    uint32_t minute;
    uint64_t block;
    uint32_t given;
};

struct found {
    struct block_walk before; /* the record */
    uint32_t minute;
};

struct calls {
    struct where where;
    uint32_t limit, written;
    int64_t since_us, until_us;
    uint32_t first_minute, last_minute; /* that there can be something in */
    struct place at;
    bool nothing; /* it cannot be: nobody has what is asked for */
    bool by_where;
    bool oldest_first;
    bool more;
    /* What is wanted of the block that was looked through last, of whatever minute: one that its records' starts
     * spread over is come by again, minute after minute. */
    struct block block;
    uint64_t found_in; /* 0: none yet */
    struct found *found;
    uint32_t found_count, found_cap;
};

/* ---- arguments ---- */

static bool
place_read(struct str text, struct place *place)
{
    unsigned long long part[3];
    char copy[64];
    int end = 0;

    if (text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (sscanf(copy, "%8llx-%16llx-%8llx%n", &part[0], &part[1], &part[2], &end) != 3 ||
        (size_t)end != text.len)
        return false;
    *place = (struct place){(uint32_t)part[0], part[1], (uint32_t)part[2]};
    return true;
}

static void
filter_add(struct calls *calls, enum sum_dim dim, uint32_t value)
{
    ASSERT(calls->where.filter_count < WHERE_FILTERS_MAX);
    calls->where.filters[calls->where.filter_count++] = (struct where_filter){dim, value};
}

static bool
outcome_arg(struct command *command, struct calls *calls)
{
    struct str text;

    if (!command_str(command, "outcome", false, &text))
        return false;
    if (text.len == 0)
        return true;
    for (unsigned i = 0; i < OUTCOME_COUNT; i++)
        if (str_eq(text, str_from(record_outcome_name[i]))) {
            filter_add(calls, SUM_OUTCOME, i);
            return true;
        }
    command_refuse(command, COMMAND_USAGE, "outcome: there is no \"%.*s\"",
                   (int)MIN(text.len, 40u), text.ptr);
    command_hint(command, "one of ok, no-usage, client-gone, cut, upstream-error, hold-ended, "
                          "cancelled, unknown");
    return false;
}

static bool
id_arg(struct command *command, struct calls *calls, enum sum_dim dim)
{
    uint32_t id = 0;

    if (!command_id(command, sum_dim_name[dim], false, &id))
        return false;
    if (id != 0)
        filter_add(calls, dim, id);
    return true;
}

/* Who sees only what is their own. */
static bool
only_arg(struct command *command, struct calls *calls)
{
    uint32_t only;

    if (!command_id(command, "only_member", false, &only))
        return false;
    if (only == 0)
        return true;
    for (unsigned i = 0; i < calls->where.filter_count; i++)
        if (calls->where.filters[i].dim == SUM_MEMBER) {
            calls->nothing = calls->nothing || calls->where.filters[i].value != only;
            return true;
        }
    filter_add(calls, SUM_MEMBER, only);
    return true;
}

/* A name that no record ever had is nobody's. */
static bool
name_arg(struct command *command, struct calls *calls, enum sum_dim dim)
{
    struct str text;
    uint32_t id;

    if (!command_str(command, sum_dim_name[dim], false, &text))
        return false;
    if (text.len == 0)
        return true;
    id = query_name_id(command, text);
    calls->nothing = calls->nothing || id == 0;
    filter_add(calls, dim, id);
    return true;
}

static bool
status_arg(struct command *command, struct calls *calls)
{
    uint32_t status = 0;

    if (!command_u32(command, "status", &status))
        return false;
    if (command_has(command, "status"))
        filter_add(calls, SUM_STATUS, status);
    return true;
}

/* Whose the key, member or project is: of those there are totals by tenant alone. 0: nobody knows. */
static uint32_t
tenant_of(struct command *command, const struct where *where)
{
    for (unsigned i = 0; i < where->filter_count; i++) {
        uint32_t id = where->filters[i].value;
        union {
            struct entity_key key;
            struct entity_member member;
            struct entity_project project;
        } e;

        if (where->filters[i].dim == SUM_KEY && entity_key_get(&command->txn, id, &e.key) == 0)
            return e.key.tenant_id;
        if (where->filters[i].dim == SUM_MEMBER &&
            entity_member_get(&command->txn, id, &e.member) == 0)
            return e.member.tenant_id;
        if (where->filters[i].dim == SUM_PROJECT &&
            entity_project_get(&command->txn, id, &e.project) == 0)
            return e.project.tenant_id;
    }
    return 0;
}

static bool
is_of_tenants(const struct where *where)
{
    for (unsigned i = 0; i < where->filter_count; i++)
        if (where->filters[i].dim == SUM_KEY || where->filters[i].dim == SUM_MEMBER ||
            where->filters[i].dim == SUM_PROJECT)
            return true;
    return false;
}

/* "before" a place for the newest first, "after" one for the oldest; "cursor" is either. */
static bool
place_arg(struct command *command, struct calls *calls)
{
    const char *name = command_has(command, "cursor") ? "cursor"
                       : calls->oldest_first          ? "after"
                                                      : "before";
    struct str text;

    if (!command_str(command, name, false, &text))
        return false;
    if (calls->oldest_first)
        calls->at = (struct place){calls->first_minute, 0, 0};
    else
        calls->at = (struct place){calls->last_minute, UINT64_MAX, 0};
    if (text.len == 0 || place_read(text, &calls->at))
        return true;
    command_refuse(command, COMMAND_USAGE, "%s: that is no page's end", name);
    command_hint(command, "give what the page before had as its \"next\"");
    return false;
}

static bool
window_args(struct command *command, struct calls *calls)
{
    uint32_t last = UINT32_MAX;
    uint64_t block = UINT64_MAX;

    if (!command_time(command, "since", &calls->since_us) ||
        !command_time(command, "until", &calls->until_us))
        return false;
    if (calls->until_us == 0) {
        /* A little ahead, since calls begin meanwhile; and whatever there is, since clocks were set back. */
        calls->until_us = ledger_wall_us(command->ledger) + 60 * US_PER_MINUTE;
        if (db_minute_before(&command->txn, &last, &block) == 0)
            calls->until_us = MAX(calls->until_us, ((int64_t)last + 1) * US_PER_MINUTE);
    }
    calls->until_us = MIN(calls->until_us, UNTIL_US_MAX);
    if (calls->since_us >= calls->until_us || calls->since_us < 0) {
        command_refuse(command, COMMAND_USAGE, "since must be before until");
        return false;
    }
    calls->first_minute = (uint32_t)(calls->since_us / US_PER_MINUTE);
    calls->last_minute = (uint32_t)((calls->until_us - 1) / US_PER_MINUTE);
    return true;
}

static bool
calls_args(struct command *command, struct calls *calls)
{
    if (!command_tenant(command, "tenant", false, &calls->where.tenant_id) ||
        !id_arg(command, calls, SUM_KEY) || !id_arg(command, calls, SUM_PROJECT) ||
        !id_arg(command, calls, SUM_MEMBER) ||
        !only_arg(command, calls) || !name_arg(command, calls, SUM_MODEL) ||
        !name_arg(command, calls, SUM_CHANNEL) || !status_arg(command, calls) ||
        !outcome_arg(command, calls) || !command_u32(command, "limit", &calls->limit) ||
        !command_flag(command, "oldest_first", &calls->oldest_first) ||
        !window_args(command, calls))
        return false;
    if (calls->limit > ROWS_MAX) {
        command_refuse(command, COMMAND_USAGE, "limit: at most %u", ROWS_MAX);
        command_hint(command, "the \"next\" of a page asks for the one after it");
        return false;
    }
    if (calls->limit == 0)
        calls->limit = ROWS_DEFAULT;
    return place_arg(command, calls);
}

/* ---- a block ---- */

static bool
is_wanted(const struct calls *calls, const struct block_record *r)
{
    int64_t start_us = r->rec.start_wall_us;

    return start_us >= calls->since_us && start_us < calls->until_us && where_holds(&calls->where, r);
}

static void
write_row(struct command *command, const struct block_record *r)
{
    jw_object(&command->jw);
    query_write_record(command, r, r->amount_ucr, r->charge_ucr, r->rec.uncollected_ucr);
    jw_key_u64(&command->jw, "member", r->rec.member_id);
    jw_key_u64(&command->jw, "project", r->rec.project_id);
    jw_object_end(&command->jw);
}

/* Where in it the wanted ones are. */
static int
find_records(struct command *command, struct calls *calls)
{
    struct block_record record;
    struct block_walk walk, before;

    calls->found_count = 0;
    if (calls->found_cap < calls->block.head.record_count) {
        calls->found_cap = calls->block.head.record_count;
        calls->found = arena_alloc(&command->arena, calls->found_cap * sizeof(*calls->found));
        if (calls->found == NULL)
            return -ENOMEM;
    }
    block_walk(&calls->block, calls->where.tenant_id, &walk);
    for (before = walk; calls->found_count < calls->found_cap && block_look(&walk, &record); before = walk)
        if (is_wanted(calls, &record))
            calls->found[calls->found_count++] =
                (struct found){before, (uint32_t)(record.rec.start_wall_us / US_PER_MINUTE)};
    return walk.damaged ? -EILSEQ : 0;
}

static int
look_through(struct command *command, struct calls *calls, uint64_t block)
{
    struct db_key key = db_key_of_u64(block);
    struct str bytes;
    int rc;

    if (calls->found_in == block)
        return 0;
    calls->found_in = 0;
    rc = db_get(&command->txn, DB_BLOCK, &key, &bytes);
    if (rc == 0)
        rc = block_open(bytes, &calls->block);
    if (rc == 0)
        rc = find_records(command, calls);
    if (rc == 0)
        calls->found_in = block;
    return rc;
}

/* The records of the block and minute at calls->at that are wanted, but those given already. */
static int
calls_of_block(struct command *command, struct calls *calls)
{
    struct block_record record;
    uint32_t seen = 0, given = calls->at.given;
    int rc = look_through(command, calls, calls->at.block);

    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < calls->found_count; i++) {
        const struct found *found = &calls->found[calls->oldest_first ? i : calls->found_count - 1 - i];
        struct block_walk walk = found->before;

        if (found->minute != calls->at.minute || seen++ < given)
            continue;
        if (calls->written == calls->limit) {
            calls->more = true;
            /* This block is still to come, as a whole. */
            if (calls->at.given == 0)
                calls->at.block += calls->oldest_first ? UINT64_MAX : 1;
            return 0;
        }
        if (!block_next(&walk, &record))
            return -EILSEQ;
        write_row(command, &record);
        calls->written++;
        calls->at.given++;
    }
    return 0;
}

/* ---- from block to block ---- */

/* By all minutes that have any. */
static int
next_of_all(struct command *command, const struct calls *calls, struct place *next)
{
    return calls->oldest_first ? db_minute_after(&command->txn, &next->minute, &next->block)
                               : db_minute_before(&command->txn, &next->minute, &next->block);
}

/* By where those are that are asked for. */
static int
next_by_where(struct command *command, struct calls *calls, struct place *next)
{
    bool up = calls->oldest_first;
    uint32_t end = up ? calls->last_minute : calls->first_minute;
    int rc = where_block(&command->txn, &calls->where, up, next->minute, &next->block);

    while (rc == -ENOENT && calls->where.steps < STEPS_MAX) {
        if (next->minute == (up ? UINT32_MAX : 0))
            return -ENOENT;
        next->minute += up ? 1 : UINT32_MAX;
        rc = where_minute(&command->txn, &calls->where, up, end, &next->minute);
        if (rc < 0)
            return rc;
        next->block = up ? 0 : UINT64_MAX;
        rc = where_block(&command->txn, &calls->where, up, next->minute, &next->block);
    }
    return rc;
}

static int
calls_walk(struct command *command, struct calls *calls)
{
    uint32_t blocks = 0;
    int rc = 0;

    if (calls->at.given > 0) { /* the rest of the block that a page ended in, unless it was dropped */
        rc = calls_of_block(command, calls);
        rc = rc == -ENOENT ? 0 : rc;
    }
    while (rc == 0 && !calls->more) {
        struct place next = {calls->at.minute, calls->at.block, 0};

        rc = calls->by_where ? next_by_where(command, calls, &next)
                             : next_of_all(command, calls, &next);
        if (rc == -ENOENT && calls->where.steps >= STEPS_MAX) {
            calls->more = true; /* nothing up to there; what follows nobody has looked at */
            calls->at = next;
            return 0;
        }
        if (rc < 0 || next.minute < calls->first_minute || next.minute > calls->last_minute)
            break;
        if (blocks++ == BLOCKS_MAX || calls->where.steps >= 2 * STEPS_MAX) {
            calls->more = true;
            break;
        }
        calls->at = next;
        rc = calls_of_block(command, calls);
        if (rc == -ENOENT)
            return -EILSEQ;
    }
    return rc == -ENOENT ? 0 : rc;
}

/* Where records can be at all; and how they are looked for. False: nowhere. */
static int
calls_bound(struct command *command, struct calls *calls)
{
    uint32_t first, last;
    int rc;

    if (calls->where.tenant_id == 0 && is_of_tenants(&calls->where))
        calls->where.tenant_id = tenant_of(command, &calls->where);
    calls->by_where = sum_complete(&command->txn) &&
                      (calls->where.tenant_id != 0 || !is_of_tenants(&calls->where));
    if (!calls->by_where)
        return 0;
    rc = where_ends(&command->txn, &first, &last);
    if (rc == -ENOENT) {
        calls->nothing = true;
        return 0;
    }
    calls->first_minute = MAX(calls->first_minute, first);
    calls->last_minute = MIN(calls->last_minute, last);
    calls->nothing = calls->nothing || calls->first_minute > calls->last_minute;
    if (calls->oldest_first && calls->at.minute < calls->first_minute)
        calls->at = (struct place){calls->first_minute, 0, 0};
    if (!calls->oldest_first && calls->at.minute > calls->last_minute)
        calls->at = (struct place){calls->last_minute, UINT64_MAX, 0};
    return rc;
}

/* What the pages that follow should ask with, whatever the clock says then; and what is no more. */
static int
write_window(struct command *command, const struct calls *calls)
{
    struct cut cut;
    int rc = cut_load(&command->txn, &cut);

    jw_key_time(&command->jw, "since", calls->since_us);
    jw_key_time(&command->jw, "until", calls->until_us);
    jw_key_time(&command->jw, "dropped_until", (int64_t)cut.block_key);
    return rc;
}

static int
calls_list(struct command *command)
{
    struct calls calls = {0};
    struct jw *jw = &command->jw;
    char next[48];
    int rc;

    if (!calls_args(command, &calls))
        return 0;
    rc = calls.oldest_first ? write_window(command, &calls) : 0;
    if (rc == 0)
        rc = calls_bound(command, &calls);
    if (rc < 0)
        return rc;
    jw_key(jw, "calls");
    jw_array(jw);
    rc = calls.nothing ? 0 : calls_walk(command, &calls);
    if (rc < 0)
        return rc;
    jw_array_end(jw);
    jw_key(jw, "next");
    if (calls.more) {
        (void)snprintf(next, sizeof(next), "%x-%llx-%x", calls.at.minute,
                       (unsigned long long)calls.at.block, calls.at.given);
        jw_cstr(jw, next);
    } else {
        jw_null(jw);
    }
    return 0;
}

static int
calls_prepare(struct command *command)
{
    /* A page that follows is about the same calls; and who asks often can wait for the next commit. */
    if (command_has(command, "after") || command_has(command, "cursor") ||
        command_has(command, "as_committed"))
        return 0;
    return ledger_commit_all(command->ledger);
}

const struct command_def command_calls_defs[] = {
    {.name = "call.list", .kind = COMMAND_READ, .run = calls_list, .prepare = calls_prepare},
    {.name = NULL},
};
