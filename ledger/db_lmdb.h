/* What the files behind ledger/db.h share: LMDB's side of it. Nobody else includes it. */
#ifndef LEDGER_DB_LMDB_H
#define LEDGER_DB_LMDB_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "ledger/db.h"

struct db {
    MDB_env *env;
    MDB_dbi dbi[DB_TABLE_COUNT];
    size_t map_bytes;
    uint64_t free_bytes; /* in the file, to be used again, as last looked at */
    unsigned free_looks;
    uint64_t ahead_bytes; /* the file is allocated up to here */
    int data_fd;          /* our own, for allocating ahead */
    int dir_fd;
    /* Readers hold it for the life of a transaction, growing the map takes it alone. */
    pthread_rwlock_t map_lock;
    /* Long readers do not: they are counted, and who grows the map looks at the count. */
    pthread_mutex_t long_lock;
    unsigned long_readers;
    size_t long_since; /* the transaction before which what was freed is of no use to them; 0: none there */
    _Atomic bool wants_room; /* set for them by the main thread; relaxed, it carries nothing else */
    bool commit_failed;
    int (*fault)(void *arg, enum db_step step);
    void *fault_arg;
};

/* A negative errno for what LMDB says. */
int db_rc(int mdb_rc);

static inline MDB_val
val_of_key(const struct db_key *key)
{
    return (MDB_val){.mv_size = key->len, .mv_data = (void *)(uintptr_t)key->bytes};
}

static inline MDB_val
val_of(struct str s)
{
    return (MDB_val){.mv_size = s.len, .mv_data = (void *)(uintptr_t)(s.len > 0 ? s.ptr : "")};
}

static inline struct str
str_of(MDB_val v)
{
    return (struct str){v.mv_data, v.mv_size};
}

/* What a test has for this step: 0, or the error to fail with. */
static inline int
db_fault(const struct db *db, enum db_step step)
{
    return db->fault ? db->fault(db->fault_arg, step) : 0;
}

#endif
