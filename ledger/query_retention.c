/*
 * turnpike retention: what is kept, what was dropped, and what the bounds of routes.conf, or others, would drop.
 * On any thread.
 */
#include "ledger/core.h"
#include "ledger/query.h"
#include "ledger/retention.h"

#include "base/clock.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

struct asked {
    struct retention keep;
    bool known; /* by the arguments, or by a server's configuration */
};

static bool
age_arg(struct command *command, struct asked *asked)
{
    struct str text;

    if (!command_str(command, "records", false, &text))
        return false;
    if (text.len == 0)
        return true;
    asked->known = true;
    if (clock_parse_duration(text, &asked->keep.age_us))
        return true;
    command_refuse(command, COMMAND_USAGE, "records: \"%.*s\" is not an age",
                   (int)MIN(text.len, 40u), text.ptr);
    command_hint(command, "write digits and s, m, h or d, such as 90d");
    return false;
}

static bool
size_arg(struct command *command, struct asked *asked)
{
    struct str text, digits;
    unsigned shift = 0;
    uint64_t n;

    if (!command_str(command, "size", false, &text))
        return false;
    if (text.len == 0)
        return true;
    digits = text;
    switch (text.ptr[text.len - 1]) {
    case 'k': shift = 10; break;
    case 'm': shift = 20; break;
    case 'g': shift = 30; break;
    }
    digits.len -= shift != 0;
    asked->known = true;
    if (str_to_u64(digits, &n) && n <= UINT64_MAX >> 31) {
        asked->keep.size_bytes = n << shift;
        return true;
    }
    command_refuse(command, COMMAND_USAGE, "size: \"%.*s\" is not a size", (int)MIN(text.len, 40u),
                   text.ptr);
    command_hint(command, "write digits and k, m or g, such as 20g");
    return false;
}

/* What the arguments do not say, the configuration does, if a server runs. */
static void
by_configuration(struct command *command, struct asked *asked)
{
    struct ledger *ledger = command->ledger;

    pthread_rwlock_rdlock(&ledger->conf_lock);
    if (ledger->conf != NULL) {
        if (!command_has(command, "records"))
            asked->keep.age_us = ledger->conf->retention.records_ms * 1000;
        if (!command_has(command, "size"))
            asked->keep.size_bytes = ledger->conf->retention.size_bytes;
        asked->known = true;
    }
    pthread_rwlock_unlock(&ledger->conf_lock);
}

static int
write_kept(struct command *command, const struct cut *cut)
{
    struct db_size size = db_size(&command->txn, DB_BLOCK);
    struct jw *jw = &command->jw;
    struct db_tail tail;
    struct str key, value;
    int64_t oldest_us = 0, newest_us = 0;
    int rc = db_meta_get(&command->txn, "tail", &value);

    if (rc == 0 && value.len != sizeof(tail))
        rc = -EILSEQ;
    if (rc < 0)
        return rc;
    memcpy(&tail, value.ptr, sizeof(tail));
    if (db_first(&command->txn, DB_BLOCK, &key, &value) == 0)
        oldest_us = (int64_t)db_u64(key, 0);
    if (db_last(&command->txn, DB_BLOCK, &key, &value) == 0)
        newest_us = (int64_t)db_u64(key, 0);
    jw_key(jw, "kept");
    jw_object(jw);
    jw_key_u64(jw, "records", tail.record_count - cut->record_count);
    jw_key_u64(jw, "blocks", size.entries);
    jw_key_u64(jw, "bytes", size.bytes);
    jw_key_time(jw, "oldest", oldest_us);
    jw_key_time(jw, "newest", newest_us);
    jw_object_end(jw);
    return 0;
}

static void
write_dropped(struct jw *jw, const struct cut *cut)
{
    jw_key(jw, "dropped");
    jw_object(jw);
    jw_key_u64(jw, "records", cut->record_count);
    jw_key_u64(jw, "blocks", cut->block_count);
    jw_key_ucr(jw, "charge", cut->charge_ucr);
    jw_key_time(jw, "until", (int64_t)cut->block_key);
    jw_key_time(jw, "last", cut->wall_us);
    jw_object_end(jw);
}

static int
write_due(struct command *command, const struct asked *asked)
{
    struct jw *jw = &command->jw;
    struct retention_preview due;
    int rc;

    jw_key(jw, "bounds");
    if (!asked->known) {
        jw_null(jw);
        return 0;
    }
    jw_object(jw);
    jw_key_u64(jw, "records_s", asked->keep.age_us / 1000000);
    jw_key_u64(jw, "size_bytes", asked->keep.size_bytes);
    jw_object_end(jw);
    rc = retention_preview(&command->txn, &asked->keep, ledger_wall_us(command->ledger), &due);
    if (rc == -ECANCELED) {
        command_refuse(command, COMMAND_BUSY, "the store had to grow, and questions give way");
        command_hint(command, "try again");
        return 0;
    }
    if (rc < 0)
        return rc;
    jw_key(jw, "due");
    jw_object(jw);
    jw_key_u64(jw, "records", due.records);
    jw_key_u64(jw, "blocks", due.blocks);
    jw_key_u64(jw, "bytes", due.bytes);
    jw_key_ucr(jw, "charge", due.charge_ucr);
    jw_key_time(jw, "until", due.until_wall_us);
    jw_object_end(jw);
    return 0;
}

static int
retention_show(struct command *command)
{
    struct asked asked = {0};
    struct cut cut;
    int rc;

    if (!age_arg(command, &asked) || !size_arg(command, &asked))
        return 0;
    by_configuration(command, &asked);
    rc = cut_load(&command->txn, &cut);
    if (rc == 0)
        rc = write_kept(command, &cut);
    if (rc < 0)
        return rc;
    write_dropped(&command->jw, &cut);
    return write_due(command, &asked);
}

static int
retention_prepare(struct command *command)
{
    return ledger_commit_all(command->ledger);
}

const struct command_def command_retention_defs[] = {
    {.name = "retention", .kind = COMMAND_READ, .run = retention_show, .prepare = retention_prepare,
     .is_long = true},
    {.name = NULL},
};
