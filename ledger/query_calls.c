/*
 * The calls of a window of time, the newest first or the oldest, page by page. A row is a record: a call whose hold
 * was extended has one for each of its slots. On any thread.
 *
 * Where a page ends is a place: a minute, a block with calls that began in it, and how many of those
 * were given. Nothing that is committed later moves it.
 */
#include "ledger/core.h"
#include "ledger/cut.h"
#include "ledger/query.h"

#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define US_PER_MINUTE INT64_C(60000000)
#define ROWS_DEFAULT 50u
#define ROWS_MAX 1000u
/* A query that finds little gives what it has and where it stopped, and holds no reader for long. */
#define BLOCKS_MAX 20000u

struct place {
    uint32_t minute;
    uint64_t block;
    uint32_t given;
};

struct calls {
    uint32_t tenant_id, key_id, limit, written;
    struct str model;
    int outcome; /* -1: any */
    int64_t since_us, until_us;
    struct place at;
    bool oldest_first;
    bool more;
};

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

static bool
outcome_arg(struct command *command, struct calls *calls)
{
    struct str text;

    calls->outcome = -1;
    if (!command_str(command, "outcome", false, &text))
        return false;
    if (text.len == 0)
        return true;
    for (int i = 0; i < OUTCOME_COUNT; i++)
        if (str_eq(text, str_from(record_outcome_name[i])))
            calls->outcome = i;
    if (calls->outcome >= 0)
        return true;
    command_refuse(command, COMMAND_USAGE, "outcome: there is no \"%.*s\"",
                   (int)MIN(text.len, 40u), text.ptr);
    command_hint(command, "one of ok, no-usage, client-gone, cut, upstream-error, hold-ended, "
                          "cancelled, unknown");
    return false;
}

/* "before" a place for the newest first, "after" one for the oldest. */
static bool
place_arg(struct command *command, struct calls *calls)
{
    const char *name = calls->oldest_first ? "after" : "before";
    struct str text;

    if (!command_str(command, name, false, &text))
        return false;
    if (calls->oldest_first)
        calls->at = (struct place){(uint32_t)(calls->since_us / US_PER_MINUTE), 0, 0};
    else
        calls->at = (struct place){(uint32_t)((calls->until_us - 1) / US_PER_MINUTE), UINT64_MAX, 0};
    if (text.len == 0 || place_read(text, &calls->at))
        return true;
    command_refuse(command, COMMAND_USAGE, "%s: that is no page's end", name);
    command_hint(command, "give what the page before had as its \"next\"");
    return false;
}

static bool
calls_args(struct command *command, struct calls *calls)
{
    if (!command_tenant(command, "tenant", false, &calls->tenant_id) ||
        !command_id(command, "key", false, &calls->key_id) ||
        !command_str(command, "model", false, &calls->model) ||
        !command_u32(command, "limit", &calls->limit) ||
        !command_time(command, "since", &calls->since_us) ||
        !command_time(command, "until", &calls->until_us) ||
        !command_flag(command, "oldest_first", &calls->oldest_first) || !outcome_arg(command, calls))
        return false;
    if (calls->limit > ROWS_MAX) {
        command_refuse(command, COMMAND_USAGE, "limit: at most %u", ROWS_MAX);
        command_hint(command, "the \"next\" of a page asks for the one after it");
        return false;
    }
    if (calls->limit == 0)
        calls->limit = ROWS_DEFAULT;
    if (calls->until_us == 0) /* a little ahead: clocks were set back, calls begin meanwhile */
        calls->until_us = ledger_wall_us(command->ledger) + 60 * US_PER_MINUTE;
    calls->until_us = MIN(calls->until_us, INT64_C(253402300799000000));
    if (calls->since_us >= calls->until_us) {
        command_refuse(command, COMMAND_USAGE, "since must be before until");
        return false;
    }
    return place_arg(command, calls);
}

static bool
is_wanted(struct command *command, const struct calls *calls, const struct block_record *r)
{
    const struct record *rec = &r->rec;

    if (rec->start_wall_us / US_PER_MINUTE != calls->at.minute)
        return false;
    if (rec->start_wall_us < calls->since_us || rec->start_wall_us >= calls->until_us)
        return false;
    if (calls->key_id != 0 && rec->key_id != calls->key_id)
        return false;
    if (calls->outcome >= 0 && rec->outcome != calls->outcome)
        return false;
    return calls->model.len == 0 || str_eq(query_name(command, r->model), calls->model);
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

/* The records of the block at calls->at that are wanted, but those given already. */
static int
calls_of_block(struct command *command, struct calls *calls)
{
    struct db_key key = db_key_of_u64(calls->at.block);
    struct block block;
    struct block_walk walk;
    struct block_record record;
    struct str bytes;
    uint32_t seen = 0;
    int rc = db_get(&command->txn, DB_BLOCK, &key, &bytes);

    if (rc == 0)
        rc = block_open(bytes, &block);
    if (rc < 0)
        return rc;
    block_walk(&block, calls->tenant_id, &walk);
    while (block_next(&walk, &record)) {
        if (!is_wanted(command, calls, &record) || seen++ < calls->at.given)
            continue;
        if (calls->written == calls->limit) {
            calls->more = true;
            /* This block is still to come, as a whole. */
            if (calls->at.given == 0)
                calls->at.block += calls->oldest_first ? UINT64_MAX : 1;
            return 0;
        }
        write_row(command, &record);
        calls->written++;
        calls->at.given++;
    }
    return walk.damaged ? -EILSEQ : 0;
}

static int
calls_walk(struct command *command, struct calls *calls)
{
    int64_t first_minute = calls->since_us / US_PER_MINUTE;
    int64_t last_minute = (calls->until_us - 1) / US_PER_MINUTE;
    uint32_t blocks = 0;
    int rc = 0;

    if (calls->at.given > 0) { /* the rest of the block that a page ended in, unless it was dropped */
        rc = calls_of_block(command, calls);
        rc = rc == -ENOENT ? 0 : rc;
    }
    while (rc == 0 && !calls->more) {
        struct place next = {calls->at.minute, calls->at.block, 0};

        rc = calls->oldest_first ? db_minute_after(&command->txn, &next.minute, &next.block)
                                 : db_minute_before(&command->txn, &next.minute, &next.block);
        if (rc < 0 || next.minute < first_minute || next.minute > last_minute)
            break;
        if (blocks++ == BLOCKS_MAX) {
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
    if (rc < 0)
        return rc;
    jw_key(jw, "calls");
    jw_array(jw);
    rc = calls_walk(command, &calls);
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
    /* A page that follows is about the same calls. */
    return command_has(command, "after") ? 0 : ledger_commit_all(command->ledger);
}

const struct command_def command_calls_defs[] = {
    {.name = "call.list", .kind = COMMAND_READ, .run = calls_list, .prepare = calls_prepare},
    {.name = NULL},
};
