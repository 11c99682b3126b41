/*
 * turnpike backup: all entries of all tables, as one read transaction sees them, into a descriptor
 * that the asker passed over the control socket. So the file is the asker's, with his rights, and
 * nobody but the ledger process opens the store. It runs on a thread of its own; commits go on
 * meanwhile, since LMDB's readers block nobody, and when the store has to grow the backup gives way.
 */
#include "ledger/backup.h"

#include "base/clock.h"
#include "base/jw.h"
#include "base/str.h"
#include "ledger/command.h"
#include "ledger/core.h"
#include "ledger/cut.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- what is in it ---- */

static int
count_calls(struct db_txn *txn, uint64_t *calls)
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    db_key_start(&from);
    rc = db_walk_start(txn, DB_WALLET, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        struct db_wallet wallet;

        if (value.len != sizeof(wallet)) {
            rc = -EILSEQ;
            break;
        }
        memcpy(&wallet, value.ptr, sizeof(wallet));
        *calls += wallet.call_count;
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

static int
meta_of(struct db_txn *txn, const char *name, void *out, size_t len)
{
    struct str value;
    int rc = db_meta_get(txn, name, &value);

    if (rc < 0)
        return rc == -ENOENT ? -EILSEQ : rc;
    if (value.len != len)
        return -EILSEQ;
    memcpy(out, value.ptr, len);
    return 0;
}

int
backup_about_store(struct db_txn *txn, struct backup_about *about)
{
    struct db_tail tail;
    struct cut cut;
    int rc = meta_of(txn, "schema", &about->schema, sizeof(about->schema));

    if (rc == 0)
        rc = meta_of(txn, "instance", about->instance_id, sizeof(about->instance_id));
    if (rc == 0)
        rc = meta_of(txn, "tail", &tail, sizeof(tail));
    if (rc == 0)
        rc = cut_load(txn, &cut);
    if (rc < 0)
        return rc;
    about->format = BACKUP_FORMAT;
    about->seq = tail.seq;
    about->records = tail.record_count - cut.record_count;
    about->tenants = db_size(txn, DB_TENANT).entries;
    about->calls = about->store_bytes = 0;
    for (int t = 0; t < DB_TABLE_COUNT; t++)
        about->store_bytes += db_size(txn, (enum db_table)t).bytes;
    return count_calls(txn, &about->calls);
}

void
backup_about_write(const struct backup_about *about, struct jw *jw)
{
    char hex[2 * sizeof(about->instance_id) + 1];

    str_hex(about->instance_id, sizeof(about->instance_id), hex);
    jw_key_time(jw, "time", about->wall_us);
    jw_key_u64(jw, "seq", about->seq);
    jw_key_u64(jw, "tenants", about->tenants);
    jw_key_u64(jw, "calls", about->calls);
    jw_key_u64(jw, "records", about->records);
    jw_key_cstr(jw, "instance", hex);
    jw_key_cstr(jw, "version", about->version);
    jw_key_u64(jw, "schema", about->schema);
}

static void
head_json(const struct backup_about *about, struct buf *out)
{
    struct jw jw;

    jw_init(&jw, out);
    jw_object(&jw);
    jw_key_u64(&jw, "format", about->format);
    jw_key_u64(&jw, "store_bytes", about->store_bytes);
    backup_about_write(about, &jw);
    jw_key(&jw, "tables");
    jw_array(&jw);
    for (int t = 0; t < DB_TABLE_COUNT; t++)
        jw_cstr(&jw, db_table_name[t]);
    jw_array_end(&jw);
    jw_object_end(&jw);
}

static bool
number_of(struct js_value head, const char *name, uint64_t *out)
{
    struct js_value value = js_get(head, str_from(name));

    return js_is(value, JS_NUMBER) && str_to_u64(value.raw, out);
}

static int
tables_read(struct js_value head, enum db_table table_of[DB_TABLE_COUNT], unsigned *table_count)
{
    struct js_value none, name;
    struct js_iter it;

    *table_count = 0;
    for (js_iter_init(&it, js_get(head, STR("tables"))); js_next(&it, &none, &name);) {
        int t = 0;

        while (t < DB_TABLE_COUNT && !str_eq(name.raw, str_from(db_table_name[t])))
            t++;
        if (t == DB_TABLE_COUNT || *table_count == DB_TABLE_COUNT)
            return -EPROTO;
        table_of[(*table_count)++] = (enum db_table)t;
    }
    return 0;
}

int
backup_about_read(struct str json, struct backup_about *about,
                  enum db_table table_of[DB_TABLE_COUNT], unsigned *table_count)
{
    struct js_value head, text;
    struct js_error err;
    uint64_t format, schema;

    memset(about, 0, sizeof(*about));
    if (!js_check(json, &head, &err) || !js_is(head, JS_OBJECT) ||
        !number_of(head, "format", &format))
        return -EILSEQ;
    if (format != BACKUP_FORMAT || !number_of(head, "schema", &schema))
        return -EPROTO;
    about->format = (uint32_t)format;
    about->schema = (uint32_t)schema;
    text = js_get(head, STR("version"));
    str_copy(text.raw, about->version, sizeof(about->version));
    text = js_get(head, STR("time"));
    if (!js_is(text, JS_STRING) || !clock_parse(text.raw, &about->wall_us) ||
        !number_of(head, "seq", &about->seq) || !number_of(head, "tenants", &about->tenants) ||
        !number_of(head, "calls", &about->calls) || !number_of(head, "records", &about->records) ||
        !number_of(head, "store_bytes", &about->store_bytes))
        return -EILSEQ;
    text = js_get(head, STR("instance"));
    if (!js_is(text, JS_STRING) ||
        !str_unhex(text.raw, about->instance_id, sizeof(about->instance_id)))
        return -EILSEQ;
    if (schema != DB_SCHEMA_VERSION)
        return -EPROTO;
    return tables_read(head, table_of, table_count);
}

int
backup_about_peek(int fd, struct backup_about *about)
{
    enum db_table table_of[DB_TABLE_COUNT];
    unsigned table_count;
    char bytes[8192];
    ssize_t n = pread(fd, bytes, sizeof(bytes), 0);
    struct str head = n > 0 ? backup_in_peek((struct str){bytes, (size_t)n}) : STR_NONE;

    return head.len == 0 ? -EAGAIN : backup_about_read(head, about, table_of, &table_count);
}

/* ---- writing it ---- */

static int
write_table(struct db_txn *txn, enum db_table table, struct backup_out *out)
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    db_key_start(&from);
    rc = db_walk_start(txn, table, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value))
        rc = backup_out_entry(out, (uint8_t)table, key, value);
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

int
backup_write(struct db_txn *txn, const struct backup_about *about, struct backup_out *out)
{
    struct buf json;
    int rc;

    buf_init(&json, 65536);
    head_json(about, &json);
    rc = json.failed ? -ENOMEM : backup_out_note(out, BACKUP_HEAD, buf_str(&json));
    for (int t = 0; rc == 0 && t < DB_TABLE_COUNT; t++)
        rc = write_table(txn, (enum db_table)t, out);
    json.len = 0;
    buf_add_fmt(&json, "{\"entries\":%llu}", (unsigned long long)out->entries);
    if (rc == 0)
        rc = json.failed ? -ENOMEM : backup_out_note(out, BACKUP_END, buf_str(&json));
    buf_free(&json);
    return rc;
}

/* ---- the command ---- */

static bool
on_stop(void *arg)
{
    const struct command *command = arg;

    return command_stopped(command) || db_wants_room(command->ledger->db);
}

static void
refuse(struct command *command, int rc)
{
    if (rc == -ECANCELED && db_wants_room(command->ledger->db)) {
        command_refuse(command, COMMAND_BUSY, "the store had to grow, and a backup gives way");
        command_hint(command, "try again");
    } else if (rc == -ECANCELED) {
        command_refuse(command, COMMAND_BUSY, "the server is stopping");
    } else if (rc == -ETIMEDOUT || rc == -EPIPE) {
        command_refuse(command, COMMAND_FAILED, "nobody takes what is written");
    } else if (rc == -EILSEQ) {
        command_refuse(command, COMMAND_FAILED, "a record of the store cannot be read");
        command_hint(command, "turnpike audit says more");
    } else {
        command_refuse(command, COMMAND_FAILED, "it cannot be written: %s", strerror(-rc));
        if (rc == -ENOSPC)
            command_hint(command, "make room there, or name another place");
    }
}

static int
backup_run(struct command *command)
{
    struct backup_about about = {.version = TURNPIKE_VERSION};
    struct backup_out out;
    int rc;

    if (command->fd < 0) {
        command_refuse(command, COMMAND_USAGE, "no descriptor came with the request");
        command_hint(command, "turnpike backup FILE passes one");
        return 0;
    }
    about.wall_us = ledger_wall_us(command->ledger);
    rc = backup_about_store(&command->txn, &about);
    if (rc < 0)
        return rc;
    backup_out_start(&out, command->fd, on_stop, command);
    rc = backup_write(&command->txn, &about, &out);
    if (rc < 0) {
        refuse(command, rc);
    } else {
        backup_about_write(&about, &command->jw);
        jw_key_u64(&command->jw, "entries", out.entries);
        jw_key_u64(&command->jw, "bytes", out.bytes);
    }
    backup_out_end(&out);
    return 0;
}

/* What has been settled is to be in it. */
static int
backup_prepare(struct command *command)
{
    return ledger_commit_all(command->ledger);
}

const struct command_def command_backup_defs[] = {
    {.name = "backup", .kind = COMMAND_READ, .run = backup_run, .prepare = backup_prepare,
     .apart = true},
    {.name = NULL},
};
