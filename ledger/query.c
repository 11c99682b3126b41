/* Queries: what they share, and the state of the processes. On any thread. */
#include "ledger/query.h"

#include "base/version.h"
#include "ledger/core.h"
#include "ledger/mail.h"
#include "shm/stats.h"

struct str
query_name(struct command *command, uint32_t id)
{
    struct db_key key = db_key_of_u32(id);
    struct str text;

    return id != 0 && db_get(&command->txn, DB_NAME, &key, &text) == 0 ? text : STR_NONE;
}

uint32_t
query_name_id(struct command *command, struct str text)
{
    struct db_key key;
    struct str value;

    db_key_start(&key);
    db_key_u8(&key, 0xff);
    if (!db_key_text(&key, text) || db_get(&command->txn, DB_NAME, &key, &value) < 0)
        return 0;
    return db_u32(value, 0);
}

void
query_write_name(struct command *command, const char *key, uint32_t id)
{
    struct str text = query_name(command, id);

    jw_key(&command->jw, key);
    if (text.len > 0)
        jw_str(&command->jw, text);
    else
        jw_null(&command->jw);
}

static uint64_t
stat_of(const struct region *region, uint32_t table, enum stat_counter stat)
{
    _Atomic uint64_t *stats = stat_at(region, table);

    return stats != NULL ? atomic_load_explicit(&stats[stat], memory_order_relaxed) : 0;
}

uint64_t
query_write_workers(struct jw *jw, struct region *region)
{
    uint64_t lag = 0;

    jw_key(jw, "workers");
    jw_array(jw);
    for (uint32_t t = 0; t < region->header->geometry.table_max; t++) {
        const struct region_table *table = &region->header->table[t];
        struct hold_view view;

        if (hold_view_open(region, t, &view))
            lag += hold_view_waiting(&view);
        if (atomic_load_explicit(&table->state, memory_order_acquire) != TABLE_LIVE)
            continue;
        jw_object(jw);
        jw_key_u64(jw, "pid", atomic_load_explicit(&table->pid, memory_order_relaxed));
        jw_key_u64(jw, "generation",
                   atomic_load_explicit(&table->generation, memory_order_relaxed));
        jw_key_bool(jw, "draining",
                    atomic_load_explicit(&table->draining, memory_order_relaxed) != 0);
        jw_key_u64(jw, "number", table->worker_number);
        jw_key_u64(jw, "connections", stat_of(region, t, STAT_CONNECTIONS));
        jw_key_u64(jw, "calls", stat_of(region, t, STAT_CALLS_OPEN));
        jw_key_u64(jw, "calls_total", stat_of(region, t, STAT_CALLS));
        jw_key_time(jw, "started",
                    atomic_load_explicit(&table->started_wall_us, memory_order_relaxed));
        jw_object_end(jw);
    }
    jw_array_end(jw);
    return lag;
}

static void
write_pid_or_null(struct jw *jw, uint32_t pid)
{
    jw_key(jw, "pid");
    if (pid != 0)
        jw_u64(jw, pid);
    else
        jw_null(jw);
}

static void
write_store(struct command *command)
{
    struct jw *jw = &command->jw;
    struct db_room room;

    jw_key(jw, "store");
    jw_object(jw);
    if (db_room(command->ledger->db, &room)) {
        jw_key_u64(jw, "used_bytes", room.used_bytes);
        jw_key_u64(jw, "disk_bytes", room.disk_bytes);
        jw_key_u64(jw, "free_bytes", room.free_bytes);
    }
    jw_key_u64(jw, "tenants", db_size(&command->txn, DB_TENANT).entries);
    jw_key_u64(jw, "keys", db_size(&command->txn, DB_KEY).entries);
    jw_key_u64(jw, "persons", db_size(&command->txn, DB_PERSON).entries);
    jw_object_end(jw);
}

static int
write_mail(struct command *command)
{
    uint64_t dropped;
    int rc = mail_dropped(&command->txn, &dropped);

    jw_key(&command->jw, "mail");
    jw_object(&command->jw);
    jw_key_u64(&command->jw, "waiting", mail_waiting(&command->txn));
    jw_key_u64(&command->jw, "dropped", dropped);
    jw_object_end(&command->jw);
    return rc;
}

static int
status_show(struct command *command)
{
    struct region *region = command->ledger->region;
    const struct region_header *header = region->header;
    int64_t started_us = atomic_load_explicit(&header->started_wall_us, memory_order_relaxed);
    int64_t now_us = ledger_wall_us(command->ledger);
    struct jw *jw = &command->jw;
    uint64_t lag;
    int rc;

    jw_key(jw, "master");
    jw_object(jw);
    jw_key_u64(jw, "pid", atomic_load_explicit(&header->master_pid, memory_order_relaxed));
    jw_key_bool(jw, "draining", atomic_load_explicit(&header->draining, memory_order_relaxed) != 0);
    jw_object_end(jw);
    lag = query_write_workers(jw, region);
    jw_key(jw, "ledger");
    jw_object(jw);
    jw_key_u64(jw, "pid", atomic_load_explicit(&header->ledger_pid, memory_order_relaxed));
    jw_key_u64(jw, "lag", lag);
    jw_key_cstr(jw, "durability", ledger_durability_name[command->ledger->durability]);
    jw_key_u64(jw, "seq", atomic_load_explicit(&header->applied_seq, memory_order_relaxed));
    jw_key_u64(jw, "records", atomic_load_explicit(&header->record_count, memory_order_relaxed));
    jw_key_bool(jw, "full", atomic_load_explicit(&header->stop_taking, memory_order_relaxed) != 0);
    jw_object_end(jw);
    jw_key(jw, "manage");
    jw_object(jw);
    write_pid_or_null(jw, atomic_load_explicit(&header->manage_pid, memory_order_relaxed));
    jw_object_end(jw);
    jw_key_cstr(jw, "version", turnpike_version);
    jw_key_u64(jw, "generation", atomic_load_explicit(&header->generation, memory_order_relaxed));
    jw_key_time(jw, "started", started_us);
    jw_key_u64(jw, "uptime_s",
               started_us > 0 && now_us > started_us ? (uint64_t)(now_us - started_us) / 1000000
                                                     : 0);
    jw_key_u64(jw, "restarts_worker",
               atomic_load_explicit(&header->restarts_worker, memory_order_relaxed));
    jw_key_u64(jw, "restarts_ledger",
               atomic_load_explicit(&header->restarts_ledger, memory_order_relaxed));
    jw_key_u64(jw, "restarts_manage",
               atomic_load_explicit(&header->restarts_manage, memory_order_relaxed));
    write_store(command);
    rc = write_mail(command);
    jw_key(jw, "listeners");
    jw_raw(jw, command->ledger->listeners.len > 0 ? command->ledger->listeners : STR("[]"));
    pthread_rwlock_rdlock(&command->ledger->conf_lock);
    jw_key(jw, "certificates");
    jw_raw(jw, command->ledger->certificates.len > 0 ? buf_str(&command->ledger->certificates) : STR("[]"));
    pthread_rwlock_unlock(&command->ledger->conf_lock);
    return rc;
}

const struct command_def command_query_defs[] = {
    {.name = "status", .kind = COMMAND_READ, .run = status_show},
    {.name = NULL},
};
