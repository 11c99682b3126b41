/*
 * The region's file and header. See shm/shm.h.
 *
 * Life: the master makes the file (or adopts one that a crash left) before it forks, so all
 * children have the mapping at the same address. Each child then takes an open-file-description
 * lock on its own byte, through a descriptor of its own: the kernel drops that lock when the
 * process is gone, which is the proof of death when the parent is gone too.
 *
 * The file has one big virtual size from the start (holes cost nothing); parts are allocated
 * with fallocate() before their first use, by region_ensure().
 */
#ifndef SHM_REGION_H
#define SHM_REGION_H

#include <stdatomic.h>
#include <sys/types.h>

#include "base/base.h"
#include "shm/shm.h"

#define REGION_MAGIC UINT64_C(0x31656b69706e7274) /* "trnpike1" */
#ifndef REGION_LAYOUT_VERSION /* tests make one that is another */
#define REGION_LAYOUT_VERSION 11u
#endif

/* How many of each; constant for the life of the file. */
struct region_geometry {
    uint32_t account_max, budget_max, quota_max, key_max, key_extra_max, name_max, health_max;
    uint32_t idem_max;  /* idempotency keys; a power of two, at least one set (shm/idem.h) */
    uint32_t table_max; /* hold tables, one a worker; at most 64 */
    uint32_t slot_max;  /* hold slots a table; a power of two, at least 64 */
};
/* What `serve` uses: sized for millions of keys, all of it holes until used. */
extern const struct region_geometry region_geometry_default;

enum region_part {
    REGION_ACCOUNTS = 0,
    REGION_BUDGETS,
    REGION_QUOTAS,
    REGION_KEYS,
    REGION_KEY_EXTRAS,
    REGION_NAMES,
    REGION_HEALTH,
    REGION_IDEM,
    REGION_AFFINITY,
    REGION_SERIES,
    REGION_INDEXES,
    REGION_TABLES,
    REGION_PART_COUNT
};

enum table_state {
    TABLE_FREE = 0, /* nobody's; all its slots are FREE */
    TABLE_LIVE,     /* a worker's: set by the master before the fork */
    TABLE_DEAD,     /* its worker is proven dead: set by who proved it; the ledger process sweeps */
};

enum region_draining {
    DRAINING_NOT = 0,
    DRAINING_STOP,    /* the server stops */
    DRAINING_REBUILD, /* an upgrade waits for all workers, and callers wait for it */
};

/* One a hold table. Written by: state: master FREE->LIVE, LIVE->DEAD, ledger DEAD->FREE (release,
 * after the sweep); turn, draining: the worker; pid: the master and the worker, the same; the rest:
 * the master before the fork. */
struct region_table {
    _Alignas(CACHE_LINE) _Atomic uint32_t state;
    _Atomic uint32_t pid;
    _Atomic uint32_t generation; /* which set of workers (reload) */
    uint32_t worker_number;
    /* Which master's child it is: as the header says, it is the present one's, of whatever generation. */
    _Atomic uint32_t master_seq;
    _Atomic uint32_t draining; /* 1: it takes no more connections */
    /* Counts the workers that had this table: with its number, the name of one of them. */
    _Atomic uint32_t incarnation;
    _Atomic int64_t started_wall_us;
    _Atomic uint64_t heartbeat_mono_us; /* worker, once a turn */
    /* Odd while the worker runs a turn of its loop, even while it sleeps; a worker holds no index
     * or key reference while even. Acquire by the ledger process, for shm/key.h's retiring. */
    _Alignas(CACHE_LINE) _Atomic uint64_t turn;
};

struct region_header {
    /* Constant once made; covered by checksum. */
    uint64_t magic;
    uint32_t layout_version;
    uint32_t header_bytes;
    struct region_geometry geometry;
    uint8_t boot_id[16];
    uint64_t region_bytes;
    uint64_t part_off[REGION_PART_COUNT];
    uint64_t part_bytes[REGION_PART_COUNT];
    uint64_t table_bytes; /* one hold table with its ring and records */
    uint64_t created_wall_us;
    uint64_t checksum; /* of all above */

    /* Set once by the first ledger process that opened a store on this file; all zero before. */
    uint8_t instance_id[16];
    /* The store's secret for hashing API keys: set by the ledger process before its first
     * ready_seq; workers hash what a caller shows with it. */
    uint8_t key_hash_key[32];

    /* Ledger process only. */
    _Alignas(CACHE_LINE) _Atomic uint64_t applied_seq; /* last batch whose slots are all FREE */
    _Atomic uint64_t ready_seq; /* counts recoveries done: 0 means "not yet serving" */
    _Atomic uint32_t ledger_pid;
    _Atomic uint32_t ledger_sleeping; /* 1: ring its eventfd after a doorbell */
    _Atomic uint32_t stop_taking;     /* 1: no new holds (disk full, store unwell): answer 503 */
    /* Slots ever used: valid indexes are 1 .. count. Index 0 of each is never used. */
    _Atomic uint32_t account_count, budget_count, quota_count, key_count, key_extra_count;
    _Atomic uint64_t index_current;  /* see shm/key.h */
    _Atomic uint64_t commit_wall_us; /* when the last batch was committed */
    _Atomic uint64_t batch_count, record_count;
    /* Its main loop's last step: see region_ledger_beat(). Read by master and workers. */
    _Atomic uint64_t ledger_beat;

    /* Any process. */
    /* A new ledger process waits for the lock. */
    _Alignas(CACHE_LINE) _Atomic uint32_t ledger_wanted;
    _Atomic uint32_t name_count;

    /* Master only. */
    _Alignas(CACHE_LINE) _Atomic uint32_t master_pid;
    _Atomic uint32_t generation; /* of the workers in charge: those of others drain, or begin */
    _Atomic uint32_t master_seq; /* counts masters */
    _Atomic int64_t started_wall_us;
    _Atomic uint32_t draining; /* enum region_draining; before the workers' signal, which it explains */
    _Atomic uint32_t restarts_worker, restarts_ledger;
    /* Who answers what workers forward of the management API; 0: nobody at the moment. Release: it serves. */
    _Atomic uint32_t manage_pid;
    _Atomic uint32_t restarts_manage;

    struct region_table table[64];

    /* How much of each part is allocated, bytes from its start (the tables' part: see
     * region_table_ensure). Grown under the part's one writer. */
    _Alignas(CACHE_LINE) _Atomic uint64_t part_ready[REGION_PART_COUNT];
    _Atomic uint64_t table_ready; /* bit i: hold table i is allocated */
};

/* This process's view. Inherited over fork. */
struct region {
    uint8_t *base;
    struct region_header *header;
    uint64_t bytes;                /* mapped */
    int fd;                        /* of the file, close-on-exec */
    int lock_fd;                   /* own open file description for the liveness lock, or -1 */
    struct key_writer *key_writer; /* ledger process; private, made by shm/key_write.c */
};

/*
 * The directory for the memory file of state directory state_dir: $RUNTIME_DIRECTORY's first
 * entry, else /dev/shm/turnpike-UID-HASH. Makes it (0700) and checks owner, mode and that it is no
 * symbolic link. 0, or a negative errno with *why set to static text.
 */
int region_dir(const char *state_dir, char *out, size_t cap, const char **why) MUST_CHECK;
/*
 * For root that is about to become another user: what region_dir() would answer to root, with the
 * memory file that may be in it, becomes what it answers to that user. Nothing where there is none.
 */
int region_dir_give(const char *state_dir, uid_t uid, gid_t gid, const char **why) MUST_CHECK;

/* Makes a new file in dir; -EEXIST if there is one; -EINVAL for a geometry out of bounds. On
 * success all parts that `serve` needs at once are allocated, but no hold table. */
int region_create(const char *dir, const struct region_geometry *geometry,
                  struct region **out) MUST_CHECK;
/* Maps an existing file. -ENOENT; -ESTALE when of another boot or layout (remove it and make a new
 * one); -EINVAL when damaged; -EPERM when owner or mode are wrong. */
int region_adopt(const char *dir, struct region **out) MUST_CHECK;
/* Unlinks the file, and rmdir()s a directory of our own naming. 0 also when there was none. */
int region_remove(const char *dir);
void region_detach(struct region *region);

/* Makes sure that the first `bytes` of a part are allocated; in steps of 64 KiB or more. -ENOSPC
 * (also past the part's end), -ENOMEM. Not for REGION_TABLES. */
int region_ensure(struct region *region, enum region_part part, uint64_t bytes) MUST_CHECK;
int region_table_ensure(struct region *region, uint32_t table) MUST_CHECK; /* master or ledger */
void *region_part(const struct region *region, enum region_part part);

/* Liveness. Taking waits for nobody: -EAGAIN when another process has it. Opens a new description
 * of the file, unless this process has one that holds a lock. Kept until the process ends. */
int region_lock_table(struct region *region, uint32_t table) MUST_CHECK;
int region_lock_ledger(struct region *region) MUST_CHECK;
/*
 * A parent that took a table's lock, published the table as TABLE_LIVE and forked its worker lets
 * go of it: the child alone has it from then on. So there is no moment in which a live table has no
 * lock, whoever dies.
 */
void region_lock_hand_over(struct region *region);
/* 1 if some process holds it, 0 if nobody, negative errno. */
int region_table_locked(const struct region *region, uint32_t table);
int region_ledger_locked(const struct region *region);

/* A worker's turn of its loop: see region_table.turn. */
void region_turn_begin(struct region_table *table, uint64_t now_mono_us);
void region_turn_end(struct region_table *table);

/* What the ledger process's main loop does. While it waits it says so at least once a second; its work
 * may take as long as the disk does. */
enum ledger_step { LEDGER_WAITS = 0, LEDGER_WORKS };
/* It stands still, as the world is told, when it has said nothing for longer. */
#define LEDGER_STILL_WAITS_US UINT64_C(5000000)
#define LEDGER_STILL_WORKS_US UINT64_C(30000000)

/* Ledger process only: the time and the step, in one word. */
void region_ledger_beat(struct region_header *header, enum ledger_step step, uint64_t now_mono_us);
enum ledger_step region_ledger_step(const struct region_header *header);
bool region_ledger_still(const struct region_header *header, uint64_t now_mono_us);

#endif
