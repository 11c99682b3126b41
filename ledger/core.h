/*
 * struct ledger: the library that the ledger process is made of. No globals: it gets the region, the
 * store's path and a table of functions for the outside world, so that a test can step it, fail it
 * between any two steps, and say who lives.
 *
 * One thread calls everything here, but for what is marked "any thread".
 *
 * One turn: take the settled slots (ledger_collect), commit them (ledger_commit): one transaction with
 * the block of records, the accounts' and budgets' totals, the rollups and the tail; after it, per
 * slot, the unused part goes back to the account's word and to the budgets, and the slot is freed;
 * last, header.applied_seq. Batches and commands are strictly serial and each has a number, so at any
 * crash at most the last one is committed and not fully applied. A start repairs that by recounting
 * everything (ledger/recount.c), and by freeing those slots that the last block already has.
 */
#ifndef LEDGER_CORE_H
#define LEDGER_CORE_H

#include <pthread.h>

#include "base/base.h"
#include "base/buf.h"
#include "conf/conf.h"
#include "ledger/block.h"
#include "ledger/db.h"
#include "ledger/ledger.h"
#include "ledger/recent.h"
#include "ledger/sum.h"
#include "shm/account.h"
#include "shm/hold.h"
#include "shm/key.h"

struct series_writer;

#define LEDGER_BATCH_MAX 4096        /* records of one transaction */
#define LEDGER_RECOUNT_CHUNK 1024    /* accounts and budgets frozen at once */
#define LEDGER_RECOUNT_WAIT_US 100000 /* for living workers' CLAIMs to go */
#define LEDGER_QUARANTINE_MAX 1024
#define LEDGER_KEYS_SAMPLED 65536u

/* Where a test may stop the ledger for good. A real one dies where it likes. */
enum ledger_point {
    POINT_COLLECTED = 0,  /* slots chosen, nothing written */
    POINT_COMMITTED,      /* in the store, nothing given back */
    POINT_RETURNED,       /* one slot's unused part is back in the account, slot not freed */
    POINT_FREED,          /* one slot freed */
    POINT_ALL_FREED,      /* before applied_seq */
    POINT_APPLIED,
    POINT_COMMAND_COMMITTED, /* a command's transaction is in the store, memory unchanged */
    POINT_COMMAND_APPLIED,   /* memory changed, applied_seq not */
    POINT_FROZEN,            /* recount: words frozen */
    POINT_SWEPT,             /* recount: dead slots swept */
    POINT_PUBLISHED,         /* recount: one word published */
    POINT_CUT_COMMITTED,     /* records dropped, applied_seq not moved */
    POINT_ANNOUNCED,         /* open holds committed, workers not told */
    POINT_COUNT
};

struct ledger_host {
    int64_t (*wall_us)(void *arg);
    uint64_t (*mono_us)(void *arg);
    void (*pause)(void *arg, uint32_t us);
    /* Of a table that is TABLE_LIVE: false only when its worker is proven dead. */
    bool (*table_lives)(void *arg, uint32_t table_idx);
    void (*wake_worker)(void *arg, uint32_t table_idx); /* may be NULL */
    int (*point)(void *arg, enum ledger_point point);   /* may be NULL; negative: stop here */
    int (*db_fault)(void *arg, enum db_step step);      /* may be NULL */
    void *arg;
};

/* host.c: those that are the same for every real one. */
int64_t ledger_host_wall_us(void *arg);
uint64_t ledger_host_mono_us(void *arg);
void ledger_host_pause(void *arg, uint32_t us);

struct id_map { /* ids are dense and start at 1; 0 is "none" */
    uint32_t *at;
    uint32_t cap;
    pthread_rwlock_t *lock; /* taken to write; NULL when one thread alone knows the map */
};
int id_map_set(struct id_map *map, uint32_t id, uint32_t idx) MUST_CHECK;
uint32_t id_map_get(const struct id_map *map, uint32_t id);  /* main thread */
uint32_t id_map_look(const struct id_map *map, uint32_t id); /* any thread; the map has a lock */

struct quarantined {
    uint32_t table_idx, slot;
    uint64_t generation;
    const char *fault; /* static text */
};

struct ledger_stats {
    uint64_t recounts, repaired, recount_busy;
    uint64_t audits, audit_faults;
};

struct ledger {
    struct region *region;
    struct db *db;
    struct ledger_host host;
    enum ledger_durability durability;
    enum ledger_unresolved unresolved;
    struct db_tail tail; /* as last committed */
    struct sum_mark sums; /* likewise */
    struct db_key fill_from; /* ledger/fill.c: the rollup that is next; empty: the first */
    uint8_t instance_id[16];
    uint8_t key_hash_key[HASH_KEY_LEN];
    uint64_t region_id; /* tells this memory file's slots from an older one's */
    struct feed *feed; /* the server's; NULL where there is none */
    uint64_t feed_id;  /* tells it from that of another ledger process */
    const char *const *endpoint_name; /* by number; the server's, not ours */
    size_t endpoint_name_count;
    struct str listeners; /* a JSON array, for `status`; not ours */
    struct buf certificates; /* likewise, and ours; replaced as conf is, under conf_lock */
    /* The server's, for its channels' names and `turnpike route`; NULL where there is none. The main
     * thread replaces it; any other reads it under the lock. */
    const struct conf *conf;
    pthread_rwlock_t conf_lock;
    const char *conf_path; /* where it was read from; NULL where there is none. Not ours */
    bool names_wanted; /* rules ask for projects' and keys' names: keys in memory have them */
    bool draining;      /* refuses commands that change something: the process is ending */

    struct hold_view view[LEDGER_TABLES_MAX];
    bool view_open[LEDGER_TABLES_MAX];
    uint64_t *in_batch[LEDGER_TABLES_MAX]; /* bit a slot: chosen for this batch */

    /* Who has which slot in the region; indexes are for the region's life. The first two are read by
     * queries too. */
    pthread_rwlock_t map_lock;
    struct id_map account_of_tenant, budget_of_id, key_of_id;
    struct id_map key_old_of_id; /* slots of secrets that rotations replaced, while these are good */
    uint32_t key_old_cursor; /* of the sweep of those whose time is over */
    struct publish_start *start; /* while a start publishes all; else NULL */
    struct id_map quota_of[BUDGET_KIND_COUNT];     /* by enum budget_kind; of keys there are none */
    struct id_map tenant_of_account, id_of_budget; /* the way back: our own copy */
    struct id_map used_minute; /* of keys: see ledger/used.c */
    struct id_map name_of_region;                  /* region's name id -> store's */
    struct id_map granted; /* tenants: 1 when there may be grants with something left */

    struct batch_item *batch; /* LEDGER_BATCH_MAX */
    uint32_t batch_count;
    int64_t collect_wall_us; /* when the batch was collected: what is later is wrong */
    struct slot_ref *announce; /* LEDGER_BATCH_MAX; holds to make durable (LEDGER_RESERVE) */
    uint32_t announce_count;

    /* Slots that the last block has, while a start has not freed them all. */
    struct slot_ref *journalled;
    uint32_t journalled_count;

    /* Accounts (index) and budgets (index) that wait for a recount. */
    struct id_list { uint32_t *at; uint32_t count, cap; } todo_accounts, todo_budgets;
    uint32_t *account_mark, *budget_mark; /* position + 1 in the chunk being recounted */
    uint32_t account_mark_cap, budget_mark_cap;

    struct quarantined quarantine[LEDGER_QUARANTINE_MAX];
    uint32_t quarantine_count;

    uint32_t audit_cursor;       /* of the sample: account index */
    uint64_t audit_block_key;    /* blocks up to here were read back and found good */
    uint8_t audit_block_hash[HASH_LEN];
    uint32_t audit_budget_cursor;
    uint32_t zone_cursor;     /* budgets up to here were looked at */
    uint32_t quota_from;      /* as key_from, of quotas */
    int32_t *quota_excess;
    bool quota_second;
    int32_t *key_excess;      /* of LEDGER_KEYS_SAMPLED keys from key_from on, at the last sample */
    uint32_t key_from;
    bool key_second;          /* key_excess was measured: now compare */
    struct ledger_stats stats;
    struct recent *recent; /* main thread */
    struct series_writer *series;     /* measure.c's, as the next are: what of stats was told */
    uint64_t faults_told, audits_told;
};

struct slot_ref {
    uint32_t table_idx, slot;
    uint64_t generation;
};

struct batch_item {
    struct block_record record;
    uint32_t account_idx; /* 0: no slot, an unresolved hold of memory that is gone */
    uint32_t budget_idx[BUDGET_KIND_COUNT]; /* 0: not entered */
};

/* ---- recover.c ---- */

struct ledger_open {
    struct region *region;
    const char *store_path;
    struct ledger_host host;
    enum ledger_durability durability;
    enum ledger_unresolved unresolved; /* LEDGER_UNRESOLVED_COUNT: as the last server had it */
    const struct conf *conf; /* the server's; NULL where there is none */
    uint64_t map_bytes; /* 0: the default */
};
/*
 * Opens the store, binds the region to it, publishes what is missing in the region, sweeps the dead,
 * settles what a power cut left open, recounts everything. -ESTALE: the region is not this
 * store's or newer than it. *out is NULL on failure.
 */
int ledger_open(const struct ledger_open *setup, struct ledger **out) MUST_CHECK;
void ledger_close(struct ledger **ledger); /* writes nothing */
/* Keeps a price table, and the names of protocols and endpoints; only writes what is new. */
int ledger_keep_prices(struct ledger *ledger, uint64_t version, struct str json) MUST_CHECK;
int ledger_keep_names(struct ledger *ledger, const struct ledger_inherit *inherit) MUST_CHECK;
int ledger_keep_rule(struct ledger *ledger) MUST_CHECK; /* for unresolved holds */

/* ---- collect.c ---- */

/* Opens views of tables that were allocated since. */
void ledger_views(struct ledger *ledger);
uint32_t slots_used(const struct hold_view *view); /* all from there on were never used */
bool ledger_doorbells(struct ledger *ledger); /* some are unread, or not acted on */
/* Chooses settled slots: from the doorbells, and with `scan` from all tables. */
void ledger_collect(struct ledger *ledger, bool scan);
int ledger_batch_add(struct ledger *ledger, const struct batch_item *item) MUST_CHECK;

/* ---- batch.c ---- */

/* Commits what was collected and applies it. 0, or a negative errno after which the process ends. */
int ledger_commit(struct ledger *ledger) MUST_CHECK;
/* Collects and commits until nothing is settled any more. */
int ledger_commit_all(struct ledger *ledger) MUST_CHECK;
/* The store's id of a region's name, made when new; 0 for none. */
int ledger_name(struct ledger *ledger, struct db_txn *txn, struct db_tail *tail, uint16_t region_name,
                uint32_t *out) MUST_CHECK;
/* The same of any text. -EINVAL: too long for a key. */
int ledger_name_of(struct db_txn *txn, struct db_tail *tail, struct str text, uint32_t *out) MUST_CHECK;

/* ---- announce.c ---- */

/* Makes announced holds durable (LEDGER_RESERVE). */
int ledger_announce(struct ledger *ledger) MUST_CHECK;

/* ---- quarantine.c ---- */

bool ledger_quarantined(const struct ledger *ledger, uint32_t table_idx, uint32_t slot,
                        uint64_t generation);
void ledger_quarantine(struct ledger *ledger, const struct slot_ref *ref, const char *fault);
/* Writes a fault down in the store: a JSON object. Failures are ignored: the next commit will tell. */
void ledger_fault_keep(struct ledger *ledger, struct str json);

/* ---- recount.c ---- */

/* Puts them on the list of what waits for a recount. -ENOMEM. */
int recount_account(struct ledger *ledger, uint32_t account_idx) MUST_CHECK;
int recount_budget(struct ledger *ledger, uint32_t budget_idx) MUST_CHECK;
int recount_everything(struct ledger *ledger) MUST_CHECK;
/* Recounts what waits. What could not be had (a living worker in CLAIM) stays on the list: 0; a
 * negative errno only when the store failed. */
int recount_run(struct ledger *ledger) MUST_CHECK;

/* What a check of one chunk found. */
typedef void (*recount_differs_fn)(void *arg, const char *what, uint64_t id, int64_t expected_ucr,
                                   int64_t found_ucr);
struct recount_sum {
    int64_t deposited_ucr, spent_ucr, available_ucr, held_ucr;
    uint64_t accounts;
};
/*
 * Freezes up to LEDGER_RECOUNT_CHUNK accounts from *account_from on and their budgets likewise from
 * *budget_from, compares what the words say with what they must, repairs what differs and tells.
 * Sums of the accounts are added to *sum. Cursors move on; 0 again when all were seen. -EAGAIN: some
 * could not be had; they were skipped.
 */
int recount_check(struct ledger *ledger, uint32_t *account_from, uint32_t *budget_from,
                  struct recount_sum *sum, recount_differs_fn differs, void *arg) MUST_CHECK;

/* ---- dead.c ---- */

/* Finds tables whose worker is dead, has their slots swept, gives empty ones back (TABLE_FREE). */
int recount_dead_tables(struct ledger *ledger) MUST_CHECK;
/* Slots in use: not FREE, not quarantined. */
uint64_t ledger_open_slots(struct ledger *ledger, uint64_t *held, uint64_t *settled);

/* ---- publish.c ---- */

int publish_all(struct ledger *ledger) MUST_CHECK; /* at start: what the region has not */
/* Names of projects and keys into all keys, when its rules are the first to ask for them. */
int publish_names_for(struct ledger *ledger, const struct conf *conf) MUST_CHECK;
int publish_tenant(struct ledger *ledger, struct db_txn *txn, uint32_t tenant_id) MUST_CHECK;
int publish_budget(struct ledger *ledger, struct db_txn *txn, uint64_t budget_id) MUST_CHECK;
/* The member, and its keys, after it changed. */
int publish_member(struct ledger *ledger, struct db_txn *txn, uint32_t member_id) MUST_CHECK;
/* The project, and its keys, likewise. */
int publish_project(struct ledger *ledger, struct db_txn *txn, uint32_t project_id) MUST_CHECK;
/* Slots of secrets that rotations replaced and whose time is over: some keys' a call, every ten seconds. */
int publish_sweep_old(struct ledger *ledger) MUST_CHECK;
int publish_key(struct ledger *ledger, struct db_txn *txn, uint32_t key_id) MUST_CHECK;
/* Room in the region for one more of each, asked for before a transaction is committed. */
int publish_room(struct ledger *ledger) MUST_CHECK;
/* The same of lists, for one who has some: of a key's document, or of what a tenant, member or project
 * allows. Before the commit, in its transaction. */
int publish_room_of_lists(struct ledger *ledger, struct db_txn *txn, enum db_table table, uint32_t id) MUST_CHECK;

/* ---- audit.c ---- */

/* A sample of accounts and keys, and the blocks written since; every 10 s. What differs is logged,
 * recorded and repaired. */
int audit_sample(struct ledger *ledger) MUST_CHECK;
/* All accounts: for the end of the process. Counts what differed. */
int audit_all_accounts(struct ledger *ledger, uint64_t *differing) MUST_CHECK;

/* ---- helpers ---- */

static inline int
ledger_point(const struct ledger *ledger, enum ledger_point point)
{
    return ledger->host.point ? ledger->host.point(ledger->host.arg, point) : 0;
}

static inline uint32_t
ledger_account_count(const struct ledger *ledger)
{
    return atomic_load_explicit(&ledger->region->header->account_count, memory_order_acquire);
}

static inline uint32_t
ledger_budget_count(const struct ledger *ledger)
{
    return atomic_load_explicit(&ledger->region->header->budget_count, memory_order_acquire);
}

static inline enum table_state
ledger_table_state(const struct ledger *ledger, uint32_t t)
{
    return (enum table_state)atomic_load_explicit(&ledger->region->header->table[t].state,
                                                  memory_order_acquire);
}

static inline int64_t
ledger_wall_us(const struct ledger *ledger)
{
    return ledger->host.wall_us(ledger->host.arg);
}

#endif
