/* Tables of which a key has many values: block keys, eight bytes each, in order. */
#include "ledger/db_lmdb.h"

#include <errno.h>

bool
db_has_many(enum db_table table)
{
    return table == DB_MINUTE || table == DB_WHERE;
}

int
db_many_put(struct db_txn *txn, enum db_table table, const struct db_key *key, uint64_t block)
{
    struct db_key value = db_key_of_u64(block);
    MDB_val k = val_of_key(key), v = val_of_key(&value);
    int rc = db_fault(txn->db, DB_BEFORE_PUT);

    ASSERT(txn->write && txn->mdb != NULL);
    ASSERT(db_has_many(table));
    if (rc == 0)
        rc = db_rc(mdb_put(txn->mdb, txn->db->dbi[table], &k, &v, MDB_NODUPDATA));
    return rc == -EEXIST ? 0 : rc;
}

int
db_many_delete(struct db_txn *txn, enum db_table table, const struct db_key *key, uint64_t block)
{
    struct db_key value = db_key_of_u64(block);
    MDB_val k = val_of_key(key), v = val_of_key(&value);
    int rc = db_fault(txn->db, DB_BEFORE_PUT);

    ASSERT(txn->write && txn->mdb != NULL);
    ASSERT(db_has_many(table));
    return rc < 0 ? rc : db_rc(mdb_del(txn->mdb, txn->db->dbi[table], &k, &v));
}

/* From a value on, including it. */
static int
near_above(MDB_cursor *cursor, const struct db_key *key, MDB_val *v)
{
    MDB_val k = val_of_key(key);

    return mdb_cursor_get(cursor, &k, v, MDB_GET_BOTH_RANGE);
}

static int
near_below(MDB_cursor *cursor, const struct db_key *key, MDB_val *v)
{
    MDB_val k = val_of_key(key);
    int rc = mdb_cursor_get(cursor, &k, v, MDB_GET_BOTH_RANGE);

    if (rc == 0) {
        /* A value that stands alone has no cursor of its own to go back with, and none before it. */
        size_t count = 0;

        rc = mdb_cursor_count(cursor, &count);
        if (rc == 0)
            rc = count > 1 ? mdb_cursor_get(cursor, &k, v, MDB_PREV_DUP) : MDB_NOTFOUND;
    } else if (rc == MDB_NOTFOUND) {
        k = val_of_key(key);
        rc = mdb_cursor_get(cursor, &k, v, MDB_SET);
        if (rc == 0)
            rc = mdb_cursor_get(cursor, &k, v, MDB_LAST_DUP);
        if (rc == 0)
            rc = mdb_cursor_get(cursor, &k, v, MDB_GET_CURRENT);
    }
    return rc;
}

static int
near_value(struct db_txn *txn, enum db_table table, const struct db_key *key, uint64_t at,
           int (*find)(MDB_cursor *cursor, const struct db_key *key, MDB_val *v), uint64_t *block)
{
    struct db_key value = db_key_of_u64(at);
    MDB_val v = val_of_key(&value);
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn->mdb, txn->db->dbi[table], &cursor);

    if (rc != 0)
        return db_rc(rc);
    rc = find(cursor, key, &v);
    if (rc == 0)
        *block = db_u64(str_of(v), 0);
    mdb_cursor_close(cursor);
    return db_rc(rc);
}

int
db_many_next(struct db_txn *txn, enum db_table table, const struct db_key *key, uint64_t from,
             uint64_t *block)
{
    return near_value(txn, table, key, from, near_above, block);
}

int
db_many_before(struct db_txn *txn, enum db_table table, const struct db_key *key, uint64_t below,
               uint64_t *block)
{
    return near_value(txn, table, key, below, near_below, block);
}

int
db_many_count(struct db_txn *txn, enum db_table table, const struct db_key *key, uint64_t *count)
{
    MDB_val k = val_of_key(key), v;
    MDB_cursor *cursor;
    size_t found = 0;
    int rc = mdb_cursor_open(txn->mdb, txn->db->dbi[table], &cursor);

    *count = 0;
    if (rc != 0)
        return db_rc(rc);
    rc = mdb_cursor_get(cursor, &k, &v, MDB_SET);
    if (rc == 0)
        rc = mdb_cursor_count(cursor, &found);
    mdb_cursor_close(cursor);
    *count = found;
    return rc == MDB_NOTFOUND ? 0 : db_rc(rc);
}

int
db_u64_before(struct db_txn *txn, enum db_table table, uint64_t below, uint64_t *key)
{
    struct db_key from = db_key_of_u64(below);
    MDB_val k = val_of_key(&from), v;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn->mdb, txn->db->dbi[table], &cursor);

    if (rc != 0)
        return db_rc(rc);
    rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    rc = mdb_cursor_get(cursor, &k, &v, rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
    if (rc == 0)
        *key = db_u64(str_of(k), 0);
    mdb_cursor_close(cursor);
    return db_rc(rc);
}

int
db_empty(struct db_txn *txn, enum db_table table)
{
    int rc = db_fault(txn->db, DB_BEFORE_PUT);

    ASSERT(txn->write && txn->mdb != NULL);
    return rc < 0 ? rc : db_rc(mdb_drop(txn->mdb, txn->db->dbi[table], 0));
}
