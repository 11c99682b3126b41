#include "ledger/db.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MAP_BYTES_DEFAULT (UINT64_C(16) << 30)
/* The file is allocated this far ahead, and this much is kept when calls are refused: an eighth and a
 * sixteenth of the disk within these bounds. */
#define AHEAD_BYTES_MIN (UINT64_C(512) << 10)
#define AHEAD_BYTES_MAX (UINT64_C(16) << 20)
#define KEEP_BYTES_MIN (UINT64_C(256) << 10)
#define KEEP_BYTES_MAX (UINT64_C(4) << 20)
#define READERS_MAX 126
/* A write that was cut short with no more than this left was cut short for want of room. */
#define NO_ROOM_BYTES (UINT64_C(64) << 10)

struct db {
    MDB_env *env;
    MDB_dbi dbi[DB_TABLE_COUNT];
    size_t map_bytes;
    uint64_t ahead_bytes; /* the file is allocated up to here */
    int data_fd;          /* our own, for allocating ahead */
    int dir_fd;
    /* Readers hold it for the life of a transaction, growing the map takes it alone. */
    pthread_rwlock_t map_lock;
    bool commit_failed;
    int (*fault)(void *arg, enum db_step step);
    void *fault_arg;
};

static const char *const table_name[] = {
    [DB_META] = "meta",
    [DB_TENANT] = "tenant",
    [DB_MEMBER] = "member",
    [DB_PROJECT] = "project",
    [DB_KEY] = "key",
    [DB_CHILD] = "child",
    [DB_UNIQUE] = "unique",
    [DB_WALLET] = "wallet",
    [DB_BUDGET] = "budget",
    [DB_BUDGET_TOTAL] = "budget-total",
    [DB_TRANSFER] = "transfer",
    [DB_REF] = "ref",
    [DB_BLOCK] = "block",
    [DB_MINUTE] = "minute",
    [DB_ROLLUP] = "rollup",
    [DB_NAME] = "name",
    [DB_PRICE] = "price",
    [DB_OPEN_HOLD] = "open-hold",
    [DB_FAULT] = "fault",
};
_Static_assert(COUNT_OF(table_name) == DB_TABLE_COUNT, "a new table needs a name");

const char *const db_transfer_kind_name[] = {
    [TRANSFER_GRANT] = "grant",
    [TRANSFER_DEDUCT] = "deduct",
};
_Static_assert(COUNT_OF(db_transfer_kind_name) == TRANSFER_KIND_COUNT, "a new kind needs a name");

static int
db_rc(int mdb_rc)
{
    switch (mdb_rc) {
    case MDB_SUCCESS: return 0;
    case MDB_NOTFOUND: return -ENOENT;
    case MDB_KEYEXIST: return -EEXIST;
    case MDB_MAP_FULL: return -ENOSPC;
    case MDB_READERS_FULL: return -EAGAIN;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_PANIC:
    case MDB_BAD_TXN: return -EIO;
    case MDB_VERSION_MISMATCH:
    case MDB_INVALID: return -EILSEQ;
    default: return mdb_rc > 0 ? -mdb_rc : -EIO;
    }
}

uint64_t
db_free_bytes(const char *path)
{
    char parent[4096];
    struct statvfs fs;
    const char *slash;

    if (statvfs(path, &fs) == 0)
        return (uint64_t)fs.f_bavail * fs.f_frsize;
    slash = strrchr(path, '/');
    if (slash == NULL || (size_t)(slash - path) >= sizeof(parent))
        return UINT64_MAX;
    snprintf(parent, sizeof(parent), "%.*s/", (int)(slash - path), path);
    return statvfs(parent, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : UINT64_MAX;
}

/* LMDB calls it an input or output error when a write comes to an end in its middle. */
static int
write_rc(int rc, const char *path)
{
    return rc == -EIO && db_free_bytes(path) < NO_ROOM_BYTES ? -ENOSPC : rc;
}

static int
db_fault(const struct db *db, enum db_step step)
{
    return db->fault ? db->fault(db->fault_arg, step) : 0;
}

static int
open_tables(struct db *db)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    bool all = rc == 0;

    /* Mostly they are all there, and a start on a full disk should not have to write. */
    for (size_t i = 0; rc == 0 && i < DB_TABLE_COUNT; i++) {
        rc = mdb_dbi_open(txn, table_name[i], i == DB_MINUTE ? MDB_DUPSORT | MDB_DUPFIXED : 0,
                          &db->dbi[i]);
        all = all && rc == 0;
    }
    if (all)
        return db_rc(mdb_txn_commit(txn));
    mdb_txn_abort(txn);
    if (rc != MDB_NOTFOUND)
        return db_rc(rc);
    rc = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (rc != 0)
        return db_rc(rc);
    for (size_t i = 0; i < DB_TABLE_COUNT; i++) {
        unsigned flags = MDB_CREATE | (i == DB_MINUTE ? MDB_DUPSORT | MDB_DUPFIXED : 0u);
        rc = mdb_dbi_open(txn, table_name[i], flags, &db->dbi[i]);
        if (rc != 0) {
            mdb_txn_abort(txn);
            return db_rc(rc);
        }
    }
    return db_rc(mdb_txn_commit(txn));
}

static int
open_env(struct db *db, const char *path)
{
    int rc = mdb_env_create(&db->env);

    if (rc != 0)
        return db_rc(rc);
    rc = mdb_env_set_maxdbs(db->env, DB_TABLE_COUNT);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(db->env, READERS_MAX);
    if (rc == 0)
        rc = mdb_env_set_mapsize(db->env, db->map_bytes);
    /* Transactions belong to whoever holds them, not to threads. Nothing here weakens syncing:
     * no NOSYNC, no NOMETASYNC, no MAPASYNC, no WRITEMAP. */
    if (rc == 0)
        rc = mdb_env_open(db->env, path, MDB_NOTLS, 0600);
    if (rc != 0)
        return db_rc(rc);

    int dead = 0;

    return db_rc(mdb_reader_check(db->env, &dead));
}

/* A store larger than the map it was opened with: the file says how large it is. */
static int
fit_map(struct db *db)
{
    MDB_envinfo info;
    MDB_stat stat;
    int rc = mdb_env_info(db->env, &info);

    if (rc == 0)
        rc = mdb_env_stat(db->env, &stat);
    if (rc != 0)
        return db_rc(rc);

    size_t used = (info.me_last_pgno + 1) * stat.ms_psize;

    db->map_bytes = MAX(db->map_bytes, info.me_mapsize);
    while (db->map_bytes / 2 < used)
        db->map_bytes *= 2;
    return db->map_bytes == info.me_mapsize ? 0 : db_rc(mdb_env_set_mapsize(db->env, db->map_bytes));
}

static int
sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

    if (fd < 0)
        return -errno;
    if (fsync(fd) != 0 && errno != EINVAL)
        rc = -errno;
    close(fd);
    return rc;
}

/* Whatever a death at this point left of it is made anew the next time. */
static int
make_store(const char *path, const char *new_path)
{
    struct db db = {.map_bytes = MAP_BYTES_DEFAULT};
    char file[4096];
    int rc;

    for (unsigned i = 0; i < 2; i++) {
        int n = snprintf(file, sizeof(file), "%s/%s", new_path, i == 0 ? "data.mdb" : "lock.mdb");

        if (n < 0 || (size_t)n >= sizeof(file))
            return -ENAMETOOLONG;
        if (unlink(file) != 0 && errno != ENOENT)
            return -errno;
    }
    if (mkdir(new_path, 0700) != 0 && errno != EEXIST)
        return -errno;
    rc = open_env(&db, new_path);
    if (rc == 0)
        rc = open_tables(&db); /* its commit syncs the file */
    if (db.env != NULL)
        mdb_env_close(db.env);
    if (rc == 0)
        rc = sync_dir(new_path);
    if (rc == 0 && rename(new_path, path) != 0)
        rc = -errno;
    return rc;
}

/*
 * A store is made under another name and renamed when it is whole and synced: a power cut while it is
 * made must not leave a file that can neither be opened nor be taken for none.
 */
static int
ensure_store(const char *path)
{
    char name[4096];
    int n = snprintf(name, sizeof(name), "%s/data.mdb", path);

    if (n < 0 || (size_t)n >= sizeof(name))
        return -ENAMETOOLONG;
    if (access(name, F_OK) == 0)
        return 0;
    if (errno != ENOENT && errno != ENOTDIR)
        return -errno;
    snprintf(name, sizeof(name), "%s.new", path);

    int rc = make_store(path, name);
    char *slash = strrchr(name, '/');

    if (rc < 0 || slash == NULL)
        return rc;
    *slash = '\0';
    return sync_dir(name[0] != '\0' ? name : "/");
}

int
db_open(const struct db_setup *setup, struct db **out)
{
    struct db *db = calloc(1, sizeof(*db));
    int rc;

    *out = NULL;
    if (db == NULL)
        return -ENOMEM;
    db->data_fd = db->dir_fd = -1;
    db->fault = setup->fault;
    db->fault_arg = setup->fault_arg;
    db->map_bytes = setup->map_bytes != 0 ? setup->map_bytes : MAP_BYTES_DEFAULT;
    pthread_rwlock_init(&db->map_lock, NULL);
    rc = ensure_store(setup->path);
    if (rc == 0)
        rc = open_env(db, setup->path);
    if (rc == 0)
        rc = fit_map(db);
    if (rc == 0)
        rc = open_tables(db);
    if (rc != 0)
        goto fail;
    db->dir_fd = open(setup->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (db->dir_fd >= 0)
        db->data_fd = openat(db->dir_fd, "data.mdb", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (db->data_fd < 0) {
        rc = -errno;
        goto fail;
    }
    *out = db;
    return 0;

fail:
    db_close(&db);
    return write_rc(rc, setup->path);
}

const char *
db_path(const struct db *db)
{
    const char *path = "";

    (void)mdb_env_get_path(db->env, &path);
    return path;
}

const char *
db_step_text(const struct db *db)
{
    return db->commit_failed ? "commit" : "read-or-write";
}

void
db_close(struct db **dbp)
{
    struct db *db = *dbp;

    *dbp = NULL;
    if (db == NULL)
        return;
    if (db->env != NULL)
        mdb_env_close(db->env);
    if (db->data_fd >= 0)
        close(db->data_fd);
    if (db->dir_fd >= 0)
        close(db->dir_fd);
    pthread_rwlock_destroy(&db->map_lock);
    free(db);
}

int
db_read(struct db *db, struct db_txn *txn)
{
    *txn = (struct db_txn){.db = db};
    pthread_rwlock_rdlock(&db->map_lock);

    int rc = db_rc(mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn->mdb));

    if (rc != 0) {
        txn->mdb = NULL;
        pthread_rwlock_unlock(&db->map_lock);
    }
    return rc;
}

int
db_write(struct db *db, struct db_txn *txn)
{
    *txn = (struct db_txn){.db = db, .write = true};

    int rc = db_rc(mdb_txn_begin(db->env, NULL, 0, &txn->mdb));

    if (rc != 0)
        txn->mdb = NULL;
    return rc;
}

int
db_commit(struct db_txn *txn)
{
    ASSERT(txn->write && txn->mdb != NULL);

    int rc = db_fault(txn->db, DB_BEFORE_COMMIT);

    if (rc < 0) {
        db_end(txn);
        return rc;
    }
    rc = db_rc(mdb_txn_commit(txn->mdb));
    txn->mdb = NULL;
    if (rc < 0) {
        txn->db->commit_failed = true;
        return write_rc(rc, db_path(txn->db));
    }
    /* To be told nothing of a commit that was made is what a test wants most. */
    return db_fault(txn->db, DB_AFTER_COMMIT);
}

void
db_end(struct db_txn *txn)
{
    if (txn->mdb == NULL)
        return;
    mdb_txn_abort(txn->mdb);
    txn->mdb = NULL;
    if (!txn->write)
        pthread_rwlock_unlock(&txn->db->map_lock);
}

/* ---- records ---- */

static MDB_val
val_of_key(const struct db_key *key)
{
    return (MDB_val){.mv_size = key->len, .mv_data = (void *)(uintptr_t)key->bytes};
}

static MDB_val
val_of(struct str s)
{
    return (MDB_val){.mv_size = s.len, .mv_data = (void *)(uintptr_t)(s.len > 0 ? s.ptr : "")};
}

static struct str
str_of(MDB_val v)
{
    return (struct str){v.mv_data, v.mv_size};
}

int
db_get(struct db_txn *txn, enum db_table table, const struct db_key *key, struct str *value)
{
    MDB_val k = val_of_key(key), v;

    ASSERT(txn->mdb != NULL);

    int rc = mdb_get(txn->mdb, txn->db->dbi[table], &k, &v);

    *value = rc == 0 ? str_of(v) : STR_NONE;
    return db_rc(rc);
}

int
db_get_fixed(struct db_txn *txn, enum db_table table, const struct db_key *key, void *out,
             size_t len)
{
    struct str value;
    int rc = db_get(txn, table, key, &value);

    if (rc < 0)
        return rc;
    if (value.len != len)
        return -EILSEQ;
    memcpy(out, value.ptr, len);
    return 0;
}

static int
put(struct db_txn *txn, enum db_table table, const struct db_key *key, struct str value,
    unsigned flags)
{
    MDB_val k = val_of_key(key), v = val_of(value);

    ASSERT(txn->write && txn->mdb != NULL);
    ASSERT(key->len > 0);

    int rc = db_fault(txn->db, DB_BEFORE_PUT);

    return rc < 0 ? rc : db_rc(mdb_put(txn->mdb, txn->db->dbi[table], &k, &v, flags));
}

int
db_put(struct db_txn *txn, enum db_table table, const struct db_key *key, struct str value)
{
    return put(txn, table, key, value, 0);
}

int
db_put_new(struct db_txn *txn, enum db_table table, const struct db_key *key, struct str value)
{
    return put(txn, table, key, value, MDB_NOOVERWRITE);
}

int
db_append(struct db_txn *txn, enum db_table table, const struct db_key *key, struct str value)
{
    return put(txn, table, key, value, MDB_APPEND);
}

int
db_delete(struct db_txn *txn, enum db_table table, const struct db_key *key)
{
    MDB_val k = val_of_key(key);

    ASSERT(txn->write && txn->mdb != NULL);

    int rc = db_fault(txn->db, DB_BEFORE_PUT);

    return rc < 0 ? rc : db_rc(mdb_del(txn->mdb, txn->db->dbi[table], &k, NULL));
}

int
db_meta_get(struct db_txn *txn, const char *name, struct str *value)
{
    struct db_key key;

    db_key_start(&key);
    ASSERT(strlen(name) < sizeof(key.bytes));
    key.len = strlen(name);
    memcpy(key.bytes, name, key.len);
    return db_get(txn, DB_META, &key, value);
}

int
db_meta_put(struct db_txn *txn, const char *name, struct str value)
{
    struct db_key key;

    ASSERT(strlen(name) < sizeof(key.bytes));
    key.len = strlen(name);
    memcpy(key.bytes, name, key.len);
    return db_put(txn, DB_META, &key, value);
}

/* ---- walking ---- */

int
db_walk_start(struct db_txn *txn, enum db_table table, const struct db_key *from, size_t prefix_len,
              struct db_walk *walk)
{
    ASSERT(txn->mdb != NULL);
    ASSERT(prefix_len <= from->len);
    walk->from = *from;
    walk->prefix_len = prefix_len;
    walk->started = false;
    walk->failed = 0;
    walk->cursor = NULL;
    return db_rc(mdb_cursor_open(txn->mdb, txn->db->dbi[table], &walk->cursor));
}

bool
db_walk_next(struct db_walk *walk, struct str *key, struct str *value)
{
    MDB_val k = val_of_key(&walk->from), v;
    MDB_cursor_op op = walk->started ? MDB_NEXT : walk->from.len > 0 ? MDB_SET_RANGE : MDB_FIRST;
    int rc = mdb_cursor_get(walk->cursor, &k, &v, op);

    walk->started = true;
    if (rc != 0) {
        walk->failed = rc == MDB_NOTFOUND ? 0 : db_rc(rc);
        return false;
    }
    if (k.mv_size < walk->prefix_len || memcmp(k.mv_data, walk->from.bytes, walk->prefix_len) != 0)
        return false;
    *key = str_of(k);
    *value = str_of(v);
    return true;
}

void
db_walk_end(struct db_walk *walk)
{
    if (walk->cursor != NULL)
        mdb_cursor_close(walk->cursor);
    walk->cursor = NULL;
}

int
db_minute_put(struct db_txn *txn, uint32_t minute, uint64_t block)
{
    struct db_key key = db_key_of_u32(minute), value = db_key_of_u64(block);
    int rc = put(txn, DB_MINUTE, &key, (struct str){(const char *)value.bytes, value.len},
                 MDB_NODUPDATA);

    return rc == -EEXIST ? 0 : rc;
}

int
db_minute_next(struct db_txn *txn, uint32_t minute, uint64_t block_from, uint64_t *block)
{
    struct db_key key = db_key_of_u32(minute), from = db_key_of_u64(block_from);
    MDB_val k = val_of_key(&key), v = val_of_key(&from);
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn->mdb, txn->db->dbi[DB_MINUTE], &cursor);

    if (rc != 0)
        return db_rc(rc);
    rc = mdb_cursor_get(cursor, &k, &v, MDB_GET_BOTH_RANGE);
    if (rc == 0)
        *block = db_u64(str_of(v), 0);
    mdb_cursor_close(cursor);
    return db_rc(rc);
}

/* To the first pair at or above that one, and one back; or to the last, when all are below. */
static int
minute_seek_below(MDB_cursor *cursor, const MDB_val *minute, MDB_val *k, MDB_val *v)
{
    int rc;

    *k = *minute;
    rc = mdb_cursor_get(cursor, k, v, MDB_GET_BOTH_RANGE);
    if (rc == 0)
        return mdb_cursor_get(cursor, k, v, MDB_PREV);
    *k = *minute;
    if (rc == MDB_NOTFOUND)
        rc = mdb_cursor_get(cursor, k, v, MDB_SET_RANGE);
    if (rc == 0)
        return mdb_cursor_get(cursor, k, v,
                              str_eq(str_of(*k), str_of(*minute)) ? MDB_LAST_DUP : MDB_PREV);
    return rc == MDB_NOTFOUND ? mdb_cursor_get(cursor, k, v, MDB_LAST) : rc;
}

int
db_minute_before(struct db_txn *txn, uint32_t *minute, uint64_t *block)
{
    struct db_key key = db_key_of_u32(*minute), from = db_key_of_u64(*block);
    MDB_val wanted = val_of_key(&key), k, v = val_of_key(&from);
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn->mdb, txn->db->dbi[DB_MINUTE], &cursor);

    if (rc != 0)
        return db_rc(rc);
    rc = minute_seek_below(cursor, &wanted, &k, &v);
    if (rc == 0) {
        *minute = db_u32(str_of(k), 0);
        *block = db_u64(str_of(v), 0);
    }
    mdb_cursor_close(cursor);
    return db_rc(rc);
}

int
db_last(struct db_txn *txn, enum db_table table, struct str *key, struct str *value)
{
    MDB_val k, v;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn->mdb, txn->db->dbi[table], &cursor);

    if (rc != 0)
        return db_rc(rc);
    rc = mdb_cursor_get(cursor, &k, &v, MDB_LAST);
    if (rc == 0) {
        *key = str_of(k);
        *value = str_of(v);
    }
    mdb_cursor_close(cursor);
    return db_rc(rc);
}

/* ---- room ---- */

/*
 * The file is allocated ahead of its use, without changing its size, which is LMDB's: others who fill
 * the disk then fill what is left of it, and we have time to refuse calls before a commit fails. How
 * far ahead, and how much is kept for what was admitted already, goes by the size of the disk.
 */
static uint64_t
within(uint64_t bytes, uint64_t least, uint64_t most)
{
    return MIN(MAX(bytes, least), most);
}

static void
allocate_ahead(struct db *db, uint64_t used_bytes, uint64_t disk_bytes)
{
    uint64_t ahead = within(disk_bytes / 8, AHEAD_BYTES_MIN, AHEAD_BYTES_MAX);

    if (used_bytes + ahead / 2 <= db->ahead_bytes)
        return;
    /* No room for all of it: for some of it, then. */
    for (; ahead >= AHEAD_BYTES_MIN / 8; ahead /= 2) {
        if (used_bytes + ahead <= db->ahead_bytes)
            return;
        if (fallocate(db->data_fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)(used_bytes + ahead)) == 0) {
            db->ahead_bytes = used_bytes + ahead;
            return;
        }
        if (errno != ENOSPC)
            return;
    }
}

static int
disk_used_permille(const struct db *db, uint64_t used_bytes, const struct statvfs *fs)
{
    uint64_t disk_bytes = (uint64_t)fs->f_blocks * fs->f_frsize;
    uint64_t keep = within(disk_bytes / 16, KEEP_BYTES_MIN, KEEP_BYTES_MAX);
    uint64_t left = (uint64_t)fs->f_bavail * fs->f_frsize;
    struct stat st;
    int permille;

    if (fstat(db->data_fd, &st) != 0)
        return 0;
    if ((uint64_t)st.st_blocks * 512 > used_bytes)
        left += (uint64_t)st.st_blocks * 512 - used_bytes;
    permille = (int)(used_bytes / 1024 * 1000 / MAX((used_bytes + left) / 1024, 1));
    if (left < keep)
        return MAX(permille, DB_FULL_STOP);
    /* Not open again the moment that a page is free. */
    return left < keep + keep / 2 ? MAX(permille, DB_FULL_AGAIN) : permille;
}

int
db_look_after(struct db *db)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct statvfs fs;

    if (mdb_env_info(db->env, &info) != 0 || mdb_env_stat(db->env, &stat) != 0 ||
        fstatvfs(db->data_fd, &fs) != 0)
        return 0;

    uint64_t used = (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;

    allocate_ahead(db, used, (uint64_t)fs.f_blocks * fs.f_frsize);
    if (used > db->map_bytes / 2 && db->map_bytes <= SIZE_MAX / 4) {
        pthread_rwlock_wrlock(&db->map_lock);
        if (mdb_env_set_mapsize(db->env, db->map_bytes * 2) == 0)
            db->map_bytes *= 2;
        pthread_rwlock_unlock(&db->map_lock);
    }
    if (fstatvfs(db->data_fd, &fs) != 0)
        return 0;

    int of_map = (int)(used / 1024 * 1000 / (db->map_bytes / 1024));

    return MAX(of_map, disk_used_permille(db, used, &fs));
}
