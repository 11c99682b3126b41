/* Reading, writing and walking the tables of the store. */
#include "ledger/db_lmdb.h"

#include "base/str.h"

#include <errno.h>
#include <string.h>

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
db_load(struct db_txn *txn, enum db_table table, const struct db_key *key, struct str value)
{
    return put(txn, table, key, value, db_has_many(table) ? MDB_APPENDDUP : MDB_APPEND);
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

#define DERIVED_VERSION UINT64_C(1)

struct derived { /* meta "derived" */
    uint64_t version, seq;
};

int
db_tail_put(struct db_txn *txn, const struct db_tail *tail)
{
    struct derived derived = {DERIVED_VERSION, tail->seq};
    int rc = db_meta_put(txn, "tail", (struct str){(const char *)tail, sizeof(*tail)});

    return rc == 0 ? db_meta_put(txn, "derived",
                                 (struct str){(const char *)&derived, sizeof(derived)})
                   : rc;
}

bool
db_derived_is_new(struct db_txn *txn, const struct db_tail *tail)
{
    struct derived derived;
    struct str value;

    if (db_meta_get(txn, "derived", &value) < 0 || value.len != sizeof(derived))
        return false;
    memcpy(&derived, value.ptr, sizeof(derived));
    return derived.version == DERIVED_VERSION && derived.seq == tail->seq;
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
    walk->started = walk->down = false;
    walk->failed = 0;
    walk->cursor = NULL;
    return db_rc(mdb_cursor_open(txn->mdb, txn->db->dbi[table], &walk->cursor));
}

int
db_walk_start_down(struct db_txn *txn, enum db_table table, const struct db_key *below,
                   size_t prefix_len, struct db_walk *walk)
{
    int rc = db_walk_start(txn, table, below, prefix_len, walk);

    walk->down = true;
    return rc;
}

/* To the first at or above it, and one back; to the last, when all are below. */
static int
walk_seek_below(struct db_walk *walk, MDB_val *k, MDB_val *v)
{
    int rc = mdb_cursor_get(walk->cursor, k, v, MDB_SET_RANGE);

    if (rc == MDB_NOTFOUND)
        return mdb_cursor_get(walk->cursor, k, v, MDB_LAST);
    return rc == 0 ? mdb_cursor_get(walk->cursor, k, v, MDB_PREV) : rc;
}

bool
db_walk_next(struct db_walk *walk, struct str *key, struct str *value)
{
    MDB_val k = val_of_key(&walk->from), v;
    int rc;

    if (walk->started)
        rc = mdb_cursor_get(walk->cursor, &k, &v, walk->down ? MDB_PREV : MDB_NEXT);
    else if (walk->from.len == 0)
        rc = mdb_cursor_get(walk->cursor, &k, &v, walk->down ? MDB_LAST : MDB_FIRST);
    else if (walk->down)
        rc = walk_seek_below(walk, &k, &v);
    else
        rc = mdb_cursor_get(walk->cursor, &k, &v, MDB_SET_RANGE);
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
db_minute_delete(struct db_txn *txn, uint32_t minute, uint64_t block)
{
    struct db_key key = db_key_of_u32(minute), value = db_key_of_u64(block);
    MDB_val k = val_of_key(&key), v = val_of_key(&value);
    int rc = db_fault(txn->db, DB_BEFORE_PUT);

    ASSERT(txn->write && txn->mdb != NULL);
    return rc < 0 ? rc : db_rc(mdb_del(txn->mdb, txn->db->dbi[DB_MINUTE], &k, &v));
}

int
db_minute_next(struct db_txn *txn, uint32_t minute, uint64_t block_from, uint64_t *block)
{
    struct db_key key = db_key_of_u32(minute);

    return db_many_next(txn, DB_MINUTE, &key, block_from, block);
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

/* To the first pair above that one. *minute is left as the key's bytes, to which *k may point. */
static int
minute_seek_above(MDB_cursor *cursor, struct db_key *minute, uint64_t block, MDB_val *k, MDB_val *v)
{
    struct db_key from = db_key_of_u64(block + 1);
    uint32_t n = db_u32((struct str){(const char *)minute->bytes, minute->len}, 0);
    int rc = MDB_NOTFOUND;

    if (block < UINT64_MAX) {
        *k = val_of_key(minute);
        *v = val_of_key(&from);
        rc = mdb_cursor_get(cursor, k, v, MDB_GET_BOTH_RANGE);
        /* It leaves the key as it was given: ours, on the stack. */
        if (rc == 0)
            return mdb_cursor_get(cursor, k, v, MDB_GET_CURRENT);
    }
    if (rc != MDB_NOTFOUND || n == UINT32_MAX)
        return rc;
    *minute = db_key_of_u32(n + 1);
    *k = val_of_key(minute);
    return mdb_cursor_get(cursor, k, v, MDB_SET_RANGE);
}

int
db_minute_after(struct db_txn *txn, uint32_t *minute, uint64_t *block)
{
    struct db_key key = db_key_of_u32(*minute);
    MDB_val k, v;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn->mdb, txn->db->dbi[DB_MINUTE], &cursor);

    if (rc != 0)
        return db_rc(rc);
    rc = minute_seek_above(cursor, &key, *block, &k, &v);
    if (rc == 0) {
        *minute = db_u32(str_of(k), 0);
        *block = db_u64(str_of(v), 0);
    }
    mdb_cursor_close(cursor);
    return db_rc(rc);
}

bool
db_is_empty(struct db_txn *txn, enum db_table table)
{
    MDB_stat stat;

    return mdb_stat(txn->mdb, txn->db->dbi[table], &stat) == 0 && stat.ms_entries == 0;
}

struct db_size
db_size(struct db_txn *txn, enum db_table table)
{
    MDB_stat stat;

    if (mdb_stat(txn->mdb, txn->db->dbi[table], &stat) != 0)
        return (struct db_size){0};
    return (struct db_size){
        .entries = stat.ms_entries,
        .bytes = (uint64_t)(stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) *
                 stat.ms_psize,
    };
}

static int
entry_at(struct db_txn *txn, enum db_table table, MDB_cursor_op op, struct str *key,
         struct str *value)
{
    MDB_val k, v;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn->mdb, txn->db->dbi[table], &cursor);

    if (rc != 0)
        return db_rc(rc);
    rc = mdb_cursor_get(cursor, &k, &v, op);
    if (rc == 0) {
        *key = str_of(k);
        *value = str_of(v);
    }
    mdb_cursor_close(cursor);
    return db_rc(rc);
}

int
db_first(struct db_txn *txn, enum db_table table, struct str *key, struct str *value)
{
    return entry_at(txn, table, MDB_FIRST, key, value);
}

int
db_last(struct db_txn *txn, enum db_table table, struct str *key, struct str *value)
{
    return entry_at(txn, table, MDB_LAST, key, value);
}
