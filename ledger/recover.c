/*
 * Starting: the store and the region are brought together, whatever happened to either.
 *
 *  - A region that never met a store becomes this one's: everything is published into it. Holds that
 *    were announced in a memory file that is gone are settled by the configured rule first.
 *  - A region that a crash left is adopted: its tables of dead workers are swept; slots that the
 *    last block already has are freed; all accounts and budgets are counted anew.
 *  - A region of another store, or one that has applied more than the store knows of, is refused.
 */
#include "ledger/core.h"
#include "ledger/grant.h"

#include "base/clock.h"
#include "base/jw.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/str.h"
#include "ledger/entity.h"
#include "ledger/fill.h"
#include "shm/series.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const ledger_durability_name[] = {
    [LEDGER_RELAXED] = "relaxed",
    [LEDGER_STRICT] = "strict",
    [LEDGER_RESERVE] = "reserve",
};
_Static_assert(COUNT_OF(ledger_durability_name) == LEDGER_DURABILITY_COUNT, "a mode needs a name");

const char *const ledger_unresolved_name[] = {
    [LEDGER_VOID] = "void",
    [LEDGER_INPUT] = "input",
    [LEDGER_FULL] = "full",
};
_Static_assert(COUNT_OF(ledger_unresolved_name) == LEDGER_UNRESOLVED_COUNT, "a rule needs a name");

static int
id_map_grow(struct id_map *map, uint32_t id)
{
    uint64_t cap = MAX((uint64_t)id + 1, (uint64_t)map->cap * 2);
    uint32_t *at;

    if (cap > UINT32_MAX)
        return -ENOMEM;
    at = realloc(map->at, cap * sizeof(*at));
    if (at == NULL)
        return -ENOMEM;
    memset(at + map->cap, 0, (cap - map->cap) * sizeof(*at));
    map->at = at;
    map->cap = (uint32_t)cap;
    return 0;
}

int
id_map_set(struct id_map *map, uint32_t id, uint32_t idx)
{
    int rc = 0;

    ASSERT(id != 0);
    if (map->lock != NULL)
        pthread_rwlock_wrlock(map->lock);
    if (id >= map->cap)
        rc = id_map_grow(map, id);
    if (rc == 0)
        map->at[id] = idx;
    if (map->lock != NULL)
        pthread_rwlock_unlock(map->lock);
    return rc;
}

uint32_t
id_map_look(const struct id_map *map, uint32_t id)
{
    uint32_t idx;

    ASSERT(map->lock != NULL);
    pthread_rwlock_rdlock(map->lock);
    idx = id_map_get(map, id);
    pthread_rwlock_unlock(map->lock);
    return idx;
}

uint32_t
id_map_get(const struct id_map *map, uint32_t id)
{
    return id < map->cap ? map->at[id] : 0;
}

/* ---- the store's own ---- */

static int
meta_init(struct ledger *ledger)
{
    uint32_t version = DB_SCHEMA_VERSION;
    struct db_txn txn;
    int rc = db_write(ledger->db, &txn);

    if (rc < 0)
        return rc;
    rng_bytes(ledger->instance_id, sizeof(ledger->instance_id));
    rng_bytes(ledger->key_hash_key, sizeof(ledger->key_hash_key));
    rc = db_meta_put(&txn, "schema", (struct str){(const char *)&version, sizeof(version)});
    if (rc == 0)
        rc = db_meta_put(&txn, "instance",
                         (struct str){(const char *)ledger->instance_id, sizeof(ledger->instance_id)});
    if (rc == 0)
        rc = db_meta_put(&txn, "key-hash-key", (struct str){(const char *)ledger->key_hash_key,
                                                            sizeof(ledger->key_hash_key)});
    if (rc == 0)
        rc = db_tail_put(&txn, &ledger->tail);
    if (rc == 0)
        rc = sum_mark_put(&txn, &(struct sum_mark){.complete = 1}); /* of nothing */
    if (rc < 0) {
        db_end(&txn);
        return rc;
    }
    return db_commit(&txn);
}

static int
meta_fixed(struct db_txn *txn, const char *name, void *out, size_t len)
{
    struct str value;
    int rc = db_meta_get(txn, name, &value);

    if (rc == 0 && value.len != len)
        rc = -EILSEQ;
    if (rc == 0)
        memcpy(out, value.ptr, len);
    return rc;
}

const uint32_t ledger_schema = DB_SCHEMA_VERSION;

bool
ledger_reads_schema(uint32_t schema)
{
    return schema == DB_SCHEMA_VERSION;
}

static int
meta_load(struct ledger *ledger)
{
    uint32_t version = 0, rule = LEDGER_VOID;
    struct db_txn txn;
    int rc = db_read(ledger->db, &txn);

    if (rc < 0)
        return rc;
    rc = meta_fixed(&txn, "schema", &version, sizeof(version));
    if (rc == -ENOENT) {
        db_end(&txn);
        return meta_init(ledger);
    }
    if (rc == 0 && !ledger_reads_schema(version)) {
        log_info("store.version", "found=%u known=%u", version, DB_SCHEMA_VERSION);
        rc = -EPROTO;
    }
    if (rc == 0)
        rc = meta_fixed(&txn, "instance", ledger->instance_id, sizeof(ledger->instance_id));
    if (rc == 0)
        rc = meta_fixed(&txn, "key-hash-key", ledger->key_hash_key, sizeof(ledger->key_hash_key));
    if (rc == 0)
        rc = meta_fixed(&txn, "tail", &ledger->tail, sizeof(ledger->tail));
    if (rc == -ENOENT)
        rc = -EILSEQ;
    if (rc == 0 && ledger->unresolved == LEDGER_UNRESOLVED_COUNT &&
        meta_fixed(&txn, "unresolved", &rule, sizeof(rule)) == 0 && rule < LEDGER_UNRESOLVED_COUNT)
        ledger->unresolved = (enum ledger_unresolved)rule;
    db_end(&txn);
    return rc;
}

/* ---- binding the region ---- */

static int
bind_region(struct ledger *ledger, bool *fresh)
{
    static const uint8_t none[sizeof(ledger->instance_id)];
    struct region_header *header = ledger->region->header;
    uint64_t applied = atomic_load_explicit(&header->applied_seq, memory_order_acquire);

    *fresh = memcmp(header->instance_id, none, sizeof(none)) == 0;
    if (*fresh) {
        /* The mark that it is ours comes last: before it all of this is done again. */
        memcpy(header->key_hash_key, ledger->key_hash_key, sizeof(header->key_hash_key));
        atomic_store_explicit(&header->applied_seq, ledger->tail.seq, memory_order_release);
        memcpy(header->instance_id, ledger->instance_id, sizeof(header->instance_id));
        return 0;
    }
    if (memcmp(header->instance_id, ledger->instance_id, sizeof(none)) != 0) {
        log_error("region.foreign", "what=%s", "another-store");
        return -ESTALE;
    }
    if (applied > ledger->tail.seq) {
        log_error("region.foreign", "what=newer-than-store applied=%llu committed=%llu",
                  (unsigned long long)applied, (unsigned long long)ledger->tail.seq);
        return -ESTALE;
    }
    return 0;
}

/* The slots of the last block, when it was written for this region. */
static int
load_journalled(struct ledger *ledger)
{
    struct db_key key = db_key_of_u64(ledger->tail.block_key);
    struct block_record record;
    struct block_walk walk;
    struct block block;
    struct db_txn txn;
    struct str bytes;
    int rc;

    if (ledger->tail.block_seq == 0)
        return 0;
    rc = db_read(ledger->db, &txn);
    if (rc < 0)
        return rc;
    rc = db_get(&txn, DB_BLOCK, &key, &bytes);
    if (rc == 0)
        rc = block_open(bytes, &block);
    if (rc < 0 || block.head.region_id != ledger->region_id)
        goto out;
    ledger->journalled = calloc(block.head.record_count, sizeof(*ledger->journalled));
    if (ledger->journalled == NULL) {
        rc = -ENOMEM;
        goto out;
    }
    for (block_walk(&block, 0, &walk); block_next(&walk, &record);)
        if (record.table_idx < LEDGER_TABLES_MAX && ledger->view_open[record.table_idx] &&
            record.slot < ledger->view[record.table_idx].slot_max &&
            ledger->journalled_count < block.head.record_count)
            ledger->journalled[ledger->journalled_count++] =
                (struct slot_ref){record.table_idx, record.slot, record.generation};
    if (walk.damaged)
        rc = -EILSEQ;
out:
    db_end(&txn);
    return rc == -ENOENT ? -EILSEQ : rc;
}

/* ---- holds whose memory is gone ---- */

static int64_t
unresolved_charge(const struct ledger *ledger, const struct db_open_hold *open)
{
    switch (ledger->unresolved) {
    case LEDGER_VOID: return 0;
    case LEDGER_INPUT: return open->progress_ucr;
    case LEDGER_FULL: return open->amount_ucr;
    case LEDGER_UNRESOLVED_COUNT: break;
    }
    return 0;
}

static const enum record_basis unresolved_basis[] = {
    [LEDGER_VOID] = BASIS_NOTHING,
    [LEDGER_INPUT] = BASIS_PROGRESS,
    [LEDGER_FULL] = BASIS_HOLD,
};
_Static_assert(COUNT_OF(unresolved_basis) == LEDGER_UNRESOLVED_COUNT, "each rule has one");

static bool
open_hold_sane(const struct db_open_hold *open)
{
    return open->amount_ucr >= 0 && open->amount_ucr <= ACCOUNT_UCR_MAX &&
           open->progress_ucr >= 0 && open->progress_ucr <= open->amount_ucr &&
           open->deal_u <= RECORD_DEAL_MAX_U &&
           open->tenant_id != 0;
}

static int
unresolved_add(struct ledger *ledger, const struct db_open_hold *open)
{
    struct batch_item item = {0};
    struct block_record *r = &item.record;
    char id[33];

    r->table_idx = open->table_idx;
    r->slot = open->slot;
    r->generation = open->generation;
    r->amount_ucr = open->amount_ucr;
    r->charge_ucr = unresolved_charge(ledger, open);
    r->tenant_id = open->tenant_id;
    r->model = open->model;
    r->channel = open->channel;
    memcpy(r->rec.call_id, open->call_id, sizeof(open->call_id));
    r->rec.tenant_id = open->tenant_id;
    r->rec.key_id = open->key_id;
    r->rec.member_id = open->member_id;
    r->rec.project_id = open->project_id;
    r->rec.protocol = open->protocol;
    r->rec.endpoint = open->endpoint;
    r->rec.flags = RECORD_SWEPT | (open->extension != 0 ? RECORD_EXTENSION : 0u);
    r->rec.outcome = OUTCOME_UNKNOWN;
    r->rec.price_version = open->price_version;
    r->rec.start_wall_us = open->start_wall_us;
    r->rec.total_charge_ucr = r->charge_ucr;
    r->rec.basis = (uint8_t)unresolved_basis[ledger->unresolved];
    memcpy(r->count, open->count, sizeof(r->count));
    r->tier = open->tier;
    r->service = open->service;
    r->discount = open->discount;
    r->deal_u = open->deal_u;
    for (unsigned k = 0; k < BUDGET_KIND_COUNT; k++) {
        r->budget_id[k] = open->budget_id[k];
        r->budget_window[k] = open->budget_window[k];
    }
    str_hex(open->call_id, sizeof(open->call_id), id);
    log_warn("hold.unresolved", "call=%s tenant=%u held_ucr=%lld charge_ucr=%lld rule=%s", id,
             open->tenant_id, (long long)open->amount_ucr, (long long)r->charge_ucr,
             ledger_unresolved_name[ledger->unresolved]);
    return ledger_batch_add(ledger, &item);
}

/* Takes up to a batch of them; they are deleted by the same transaction that settles them. */
static int
unresolved_collect(struct ledger *ledger, uint64_t *region_id)
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    struct db_txn txn;
    int rc = db_read(ledger->db, &txn);

    if (rc < 0)
        return rc;
    db_key_start(&from);
    rc = db_walk_start(&txn, DB_OPEN_HOLD, &from, 0, &walk);
    while (rc == 0 && ledger->batch_count < LEDGER_BATCH_MAX && db_walk_next(&walk, &key, &value)) {
        struct db_open_hold open;
        uint64_t of_region = db_u64(key, 16);

        if (of_region == ledger->region_id || value.len != sizeof(open))
            continue;
        /* One memory file's at a time, since a batch deletes by it. */
        if (ledger->batch_count > 0 && of_region != *region_id)
            continue;
        memcpy(&open, value.ptr, sizeof(open));
        if (!open_hold_sane(&open))
            continue;
        *region_id = of_region;
        rc = unresolved_add(ledger, &open);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    db_end(&txn);
    return rc;
}

/* Who asks for a call shall be told of all its slots: its first one says that there are more. */
static void
unresolved_mark_extended(struct ledger *ledger)
{
    for (uint32_t i = 0; i < ledger->batch_count; i++) {
        const struct record *further = &ledger->batch[i].record.rec;

        for (uint32_t k = 0; (further->flags & RECORD_EXTENSION) != 0 && k < ledger->batch_count;
             k++) {
            struct block_record *first = &ledger->batch[k].record;

            if ((first->rec.flags & RECORD_EXTENSION) != 0 ||
                memcmp(first->rec.call_id, further->call_id, sizeof(further->call_id)) != 0)
                continue;
            first->rec.flags |= RECORD_EXTENDED;
            first->rec.total_charge_ucr += ledger->batch[i].record.charge_ucr;
            break;
        }
    }
}

/*
 * Holds that were announced in a memory file which is no more: a power cut. They are settled as a batch
 * under that file's identity, by the same code as any other.
 */
static int
settle_unresolved(struct ledger *ledger)
{
    uint64_t region_id = 0, ours = ledger->region_id;

    for (;;) {
        int rc = unresolved_collect(ledger, &region_id);

        if (rc < 0 || ledger->batch_count == 0)
            return rc;
        unresolved_mark_extended(ledger);
        ledger->region_id = region_id;
        rc = ledger_commit(ledger);
        ledger->region_id = ours;
        if (rc < 0)
            return rc;
    }
}

/* ---- opening ---- */

static int
take_region(struct ledger *ledger)
{
    bool fresh;
    int rc = bind_region(ledger, &fresh);

    if (rc < 0)
        return rc;
    ledger_views(ledger);
    rc = load_journalled(ledger);
    if (rc == 0)
        rc = publish_all(ledger);
    if (rc == 0)
        rc = grants_find(ledger);
    if (rc == 0)
        rc = settle_unresolved(ledger);
    if (rc == 0)
        rc = recount_everything(ledger);
    if (rc == 0)
        rc = recount_dead_tables(ledger);
    if (rc < 0)
        return rc;
    atomic_store_explicit(&ledger->region->header->applied_seq, ledger->tail.seq,
                          memory_order_release);
    log_info("ledger.recovered", "region=%s seq=%llu accounts=%u repaired=%llu waiting=%u",
             fresh ? "new" : "adopted", (unsigned long long)ledger->tail.seq,
             atomic_load_explicit(&ledger->region->header->account_count, memory_order_relaxed),
             (unsigned long long)ledger->stats.repaired, ledger->todo_accounts.count);
    ledger->stats.repaired = 0;
    ledger->audit_block_key = ledger->tail.block_key;
    memcpy(ledger->audit_block_hash, ledger->tail.block_hash, HASH_LEN);
    return 0;
}

int
ledger_open(const struct ledger_open *setup, struct ledger **out)
{
    struct ledger *ledger = calloc(1, sizeof(*ledger));
    pthread_rwlockattr_t lock_attr;
    int rc = -ENOMEM;

    *out = NULL;
    if (ledger == NULL)
        return -ENOMEM;
    ASSERT(setup->region != NULL);
    ASSERT(setup->region->header->geometry.table_max <= LEDGER_TABLES_MAX);
    ledger->region = setup->region;
    ledger->host = setup->host;
    ledger->durability = setup->durability;
    ledger->conf = setup->conf;
    ledger->unresolved = setup->unresolved;
    ledger->region_id = setup->region->header->checksum;
    ledger->audit_cursor = ledger->audit_budget_cursor = 1;
    ledger->key_from = ledger->quota_from = ledger->zone_cursor = 1;
    pthread_rwlock_init(&ledger->map_lock, NULL);
    pthread_rwlockattr_init(&lock_attr);
    /* Queries never hold up who replaces it. */
    pthread_rwlockattr_setkind_np(&lock_attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&ledger->conf_lock, &lock_attr);
    buf_init(&ledger->certificates, 1u << 20);
    pthread_rwlockattr_destroy(&lock_attr);
    ledger->account_of_tenant.lock = ledger->budget_of_id.lock = &ledger->map_lock;
    ledger->batch = calloc(LEDGER_BATCH_MAX, sizeof(*ledger->batch));
    ledger->announce = calloc(LEDGER_BATCH_MAX, sizeof(*ledger->announce));
    ledger->recent = recent_new(ledger->host.mono_us(ledger->host.arg));
    ledger->series = series_writer_new(ledger->region);
    if (ledger->batch == NULL || ledger->announce == NULL || ledger->recent == NULL ||
        ledger->series == NULL)
        goto fail;

    struct db_setup db = {
        .path = setup->store_path,
        .map_bytes = setup->map_bytes,
        .fault = setup->host.db_fault,
        .fault_arg = setup->host.arg,
    };

    rc = db_open(&db, &ledger->db);
    if (rc == 0)
        rc = meta_load(ledger);
    if (rc == 0)
        rc = fill_open(ledger);
    if (rc == 0)
        rc = entity_derive(ledger->db, &ledger->tail);
    if (ledger->unresolved == LEDGER_UNRESOLVED_COUNT)
        ledger->unresolved = LEDGER_VOID; /* no server was ever here */
    if (rc == 0)
        rc = take_region(ledger);
    if (rc < 0)
        goto fail;
    *out = ledger;
    return 0;

fail:
    ledger_close(&ledger);
    return rc;
}

void
ledger_close(struct ledger **ledgerp)
{
    struct ledger *ledger = *ledgerp;

    *ledgerp = NULL;
    if (ledger == NULL)
        return;
    db_close(&ledger->db);
    for (uint32_t t = 0; t < LEDGER_TABLES_MAX; t++)
        free(ledger->in_batch[t]);
    free(ledger->account_of_tenant.at);
    free(ledger->budget_of_id.at);
    free(ledger->key_of_id.at);
    free(ledger->key_old_of_id.at);
    free(ledger->used_minute.at);
    free(ledger->tenant_of_account.at);
    free(ledger->id_of_budget.at);
    for (unsigned kind = 0; kind < BUDGET_KIND_COUNT; kind++)
        free(ledger->quota_of[kind].at);
    free(ledger->name_of_region.at);
    free(ledger->granted.at);
    free(ledger->todo_accounts.at);
    free(ledger->todo_budgets.at);
    free(ledger->account_mark);
    free(ledger->budget_mark);
    free(ledger->journalled);
    free(ledger->batch);
    free(ledger->announce);
    series_writer_free(&ledger->series);
    free(ledger->quota_excess);
    free(ledger->key_excess);
    recent_free(&ledger->recent);
    pthread_rwlock_destroy(&ledger->map_lock);
    pthread_rwlock_destroy(&ledger->conf_lock);
    buf_free(&ledger->certificates);
    explicit_bzero(ledger->key_hash_key, sizeof(ledger->key_hash_key));
    free(ledger);
}

/* ---- what a server brings along ---- */

int
ledger_keep_prices(struct ledger *ledger, uint64_t version, struct str json)
{
    struct db_key key = db_key_of_u64(version);
    struct db_txn txn;
    struct str value;
    int rc;

    if (json.len == 0)
        return 0;
    rc = db_read(ledger->db, &txn);
    if (rc < 0)
        return rc;
    rc = db_get(&txn, DB_PRICE, &key, &value);
    db_end(&txn);
    if (rc != -ENOENT)
        return rc;
    rc = db_write(ledger->db, &txn);
    if (rc < 0)
        return rc;
    rc = db_put(&txn, DB_PRICE, &key, json);
    if (rc < 0) {
        db_end(&txn);
        return rc;
    }
    return db_commit(&txn);
}

static int
meta_keep(struct ledger *ledger, const char *name, struct str value)
{
    struct db_txn txn;
    struct str old;
    bool same;
    int rc = db_read(ledger->db, &txn);

    if (rc < 0)
        return rc;
    same = db_meta_get(&txn, name, &old) == 0 && str_eq(old, value);
    db_end(&txn);
    if (same)
        return 0;
    rc = db_write(ledger->db, &txn);
    if (rc == 0)
        rc = db_meta_put(&txn, name, value);
    if (rc == 0)
        return db_commit(&txn);
    db_end(&txn);
    return rc;
}

int
ledger_keep_rule(struct ledger *ledger)
{
    uint32_t rule = ledger->unresolved;

    ASSERT(rule < LEDGER_UNRESOLVED_COUNT);
    return meta_keep(ledger, "unresolved", (struct str){(const char *)&rule, sizeof(rule)});
}

static void
names_json(struct buf *out, const struct ledger_inherit *inherit)
{
    struct jw jw;

    jw_init(&jw, out);
    jw_object(&jw);
    jw_key(&jw, "protocol");
    jw_array(&jw);
    for (size_t i = 0; i < inherit->protocol_name_count; i++)
        jw_cstr(&jw, inherit->protocol_name[i]);
    jw_array_end(&jw);
    jw_key(&jw, "endpoint");
    jw_array(&jw);
    for (size_t i = 0; i < inherit->endpoint_name_count; i++)
        jw_cstr(&jw, inherit->endpoint_name[i]);
    jw_array_end(&jw);
    jw_object_end(&jw);
}

int
ledger_keep_names(struct ledger *ledger, const struct ledger_inherit *inherit)
{
    struct buf json;
    int rc;

    buf_init(&json, 65536);
    names_json(&json, inherit);
    rc = json.failed ? -ENOMEM : meta_keep(ledger, "names", buf_str(&json));
    buf_free(&json);
    return rc;
}
