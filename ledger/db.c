/* Opening the store, transactions, and the room that it has. */
#include "ledger/db_lmdb.h"

#include <errno.h>
#include <fcntl.h>
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
#define FREE_LOOKS 64
/* A write that was cut short with no more than this left was cut short for want of room. */
#define NO_ROOM_BYTES (UINT64_C(64) << 10)

const char *const db_table_name[] = {
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
    [DB_LATENCY] = "latency",
    [DB_NAME] = "name",
    [DB_PRICE] = "price",
    [DB_OPEN_HOLD] = "open-hold",
    [DB_FAULT] = "fault",
    [DB_KEPT] = "kept",
    [DB_CUT] = "cut",
    [DB_MAIL] = "mail",
    [DB_WEBHOOK] = "webhook",
    [DB_DELIVERY] = "delivery",
    [DB_ALERT] = "alert",
    [DB_AUDIT] = "audit",
    [DB_AUDIT_INDEX] = "audit-index",
    [DB_IDEM] = "idem",
    [DB_PERSON] = "person",
    [DB_SESSION] = "session",
    [DB_BRIEF] = "brief",
    [DB_INVITE] = "invite",
    [DB_SUM] = "sum",
    [DB_WHERE] = "where",
    [DB_BUDGET_OPEN] = "budget-open",
    [DB_OUTLINE] = "outline",
    [DB_SEARCH] = "search",
    [DB_USED] = "used",
    [DB_TERMS] = "terms",
    [DB_NOTICE] = "notice",
    [DB_SETTING] = "setting",
    [DB_CONF] = "conf",
    [DB_SIGNIN] = "sign-in",
    [DB_BOOK] = "book",
    [DB_ONCE] = "once",
    [DB_GRANT] = "grant",
    [DB_GRANT_OF] = "grant-of",
    [DB_GRANT_DUE] = "grant-due",
    [DB_VOUCHER_BATCH] = "voucher-batch",
    [DB_VOUCHER] = "voucher",
    [DB_VOUCHER_OPEN] = "voucher-open",
    [DB_VOUCHER_USE] = "voucher-use",
    [DB_VOUCHER_OF] = "voucher-of",
    [DB_ORDER] = "order",
    [DB_ORDER_OF] = "order-of",
    [DB_ORDER_OPEN] = "order-open",
    [DB_INBOX] = "inbox",
    [DB_REVIEW] = "review",
};
_Static_assert(COUNT_OF(db_table_name) == DB_TABLE_COUNT, "a new table needs a name");

const char *const db_transfer_kind_name[] = {
    [TRANSFER_GRANT] = "grant",
    [TRANSFER_DEDUCT] = "deduct",
    [TRANSFER_TOPUP] = "top-up",
    [TRANSFER_BONUS] = "bonus",
    [TRANSFER_TRIAL] = "trial",
    [TRANSFER_GIFT] = "gift",
    [TRANSFER_CODE] = "code",
    [TRANSFER_REFERRAL] = "referral",
    [TRANSFER_EXPIRE] = "expired",
    [TRANSFER_ALLOWANCE] = "allowance",
    [TRANSFER_PLAN] = "plan",
    [TRANSFER_SALE] = "sale",
    [TRANSFER_REFUND] = "refund",
    [TRANSFER_RETURN] = "return",
    [TRANSFER_CHARGEBACK] = "chargeback",
    [TRANSFER_WRITE_OFF] = "write-off",
};
_Static_assert(COUNT_OF(db_transfer_kind_name) == TRANSFER_KIND_COUNT, "a new kind needs a name");

int
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

static unsigned
table_flags(enum db_table table)
{
    return db_has_many(table) ? MDB_DUPSORT | MDB_DUPFIXED : 0;
}

static int
open_tables(struct db *db)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    bool all = rc == 0;

    /* Mostly they are all there, and a start on a full disk should not have to write. */
    for (size_t i = 0; rc == 0 && i < DB_TABLE_COUNT; i++) {
        rc = mdb_dbi_open(txn, db_table_name[i], table_flags((enum db_table)i), &db->dbi[i]);
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
        rc = mdb_dbi_open(txn, db_table_name[i], MDB_CREATE | table_flags((enum db_table)i),
                          &db->dbi[i]);
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

int
db_sync_dir(const char *path)
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
        rc = db_sync_dir(new_path);
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
    return db_sync_dir(name[0] != '\0' ? name : "/");
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
    pthread_mutex_init(&db->long_lock, NULL);
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
    pthread_mutex_destroy(&db->long_lock);
    free(db);
}

static void
end_long(struct db *db)
{
    pthread_mutex_lock(&db->long_lock);
    ASSERT(db->long_readers > 0);
    if (--db->long_readers == 0) {
        atomic_store_explicit(&db->wants_room, false, memory_order_relaxed);
        db->long_since = 0;
    }
    pthread_mutex_unlock(&db->long_lock);
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
db_read_long(struct db *db, struct db_txn *txn)
{
    int rc;

    *txn = (struct db_txn){.db = db, .is_long = true};
    pthread_mutex_lock(&db->long_lock);
    db->long_readers++;
    pthread_mutex_unlock(&db->long_lock);
    rc = db_rc(mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn->mdb));
    if (rc != 0) {
        txn->mdb = NULL;
        end_long(db);
        return rc;
    }
    pthread_mutex_lock(&db->long_lock);
    if (db->long_since == 0)
        db->long_since = mdb_txn_id(txn->mdb);
    pthread_mutex_unlock(&db->long_lock);
    return 0;
}

bool
db_wants_room(const struct db *db)
{
    return atomic_load_explicit(&db->wants_room, memory_order_relaxed);
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
    if (txn->is_long)
        end_long(txn->db);
    else if (!txn->write)
        pthread_rwlock_unlock(&txn->db->map_lock);
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

/*
 * What was freed and is not used again yet, of which a part will do for what comes: long values want pages in
 * a row. The key of each entry of LMDB's own list is the transaction that freed them, and it begins with a count
 * of pages. Those freed since a long reader began are his.
 */
static uint64_t
free_bytes(struct db *db, size_t page_bytes)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    MDB_txn *txn;
    size_t pages = 0, n, id, since;

    pthread_mutex_lock(&db->long_lock);
    since = db->long_readers == 0 ? SIZE_MAX : db->long_since;
    pthread_mutex_unlock(&db->long_lock);
    if (mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn) != 0)
        return 0;
    if (mdb_cursor_open(txn, 0, &cursor) == 0) {
        while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0 && value.mv_size >= sizeof(n)) {
            memcpy(&id, key.mv_data, sizeof(id));
            memcpy(&n, value.mv_data, sizeof(n));
            pages += id < since ? n : 0;
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return (uint64_t)pages * page_bytes / 4 * 3;
}

/* Asked where it matters, and then not looked at every time. */
static uint64_t
free_bytes_again(struct db *db, size_t page_bytes)
{
    if (db->free_looks++ % FREE_LOOKS == 0)
        db->free_bytes = free_bytes(db, page_bytes);
    return db->free_bytes;
}

static int
disk_used_permille(const struct db *db, uint64_t used_bytes, uint64_t again_bytes,
                   const struct statvfs *fs)
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
    left += again_bytes;
    used_bytes -= MIN(used_bytes, again_bytes);
    permille = (int)(used_bytes / 1024 * 1000 / MAX((used_bytes + left) / 1024, 1));
    if (left < keep)
        return MAX(permille, DB_FULL_STOP);
    /* Not open again the moment that a page is free. */
    return left < keep + keep / 2 ? MAX(permille, DB_FULL_AGAIN) : permille;
}

static void
grow_map(struct db *db, uint64_t used_bytes)
{
    pthread_mutex_lock(&db->long_lock);
    if (db->long_readers == 0) {
        pthread_rwlock_wrlock(&db->map_lock);
        if (mdb_env_set_mapsize(db->env, db->map_bytes * 2) == 0)
            db->map_bytes *= 2;
        pthread_rwlock_unlock(&db->map_lock);
    } else if (used_bytes > db->map_bytes / 4 * 3) {
        atomic_store_explicit(&db->wants_room, true, memory_order_relaxed);
    }
    pthread_mutex_unlock(&db->long_lock);
}

/* What was freed cannot be used again while somebody reads from before: he has to go. */
static void
hurry_long(struct db *db)
{
    pthread_mutex_lock(&db->long_lock);
    if (db->long_readers > 0)
        atomic_store_explicit(&db->wants_room, true, memory_order_relaxed);
    pthread_mutex_unlock(&db->long_lock);
}

static int
used_permille(const struct db *db, uint64_t used_bytes, uint64_t again_bytes,
              const struct statvfs *fs)
{
    uint64_t in_use = used_bytes - MIN(used_bytes, again_bytes);
    int of_map = (int)(in_use / 1024 * 1000 / (db->map_bytes / 1024));

    return MAX(of_map, disk_used_permille(db, used_bytes, again_bytes, fs));
}

bool
db_room(struct db *db, struct db_room *out)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct statvfs fs;

    if (mdb_env_info(db->env, &info) != 0 || mdb_env_stat(db->env, &stat) != 0 ||
        fstatvfs(db->data_fd, &fs) != 0)
        return false;
    *out = (struct db_room){.used_bytes = (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize,
                            .disk_bytes = (uint64_t)fs.f_blocks * fs.f_frsize,
                            .free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize};
    return true;
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
    if (used > db->map_bytes / 2 && db->map_bytes <= SIZE_MAX / 4)
        grow_map(db, used);
    if (fstatvfs(db->data_fd, &fs) != 0)
        return 0;

    int permille = used_permille(db, used, 0, &fs);

    if (permille >= DB_FULL_WARN)
        permille = used_permille(db, used, free_bytes_again(db, stat.ms_psize), &fs);
    if (permille >= DB_FULL_STOP)
        hurry_long(db);
    return permille;
}
