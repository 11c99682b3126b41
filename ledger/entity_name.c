/* Names that are taken, and what belongs to a tenant. */
#include "ledger/entity.h"

#include <errno.h>

/* ---- names and children ---- */

static bool
unique_key(enum db_table table, uint32_t tenant_id, struct str text, struct db_key *key)
{
    db_key_start(key);
    db_key_u8(key, (uint8_t)table);
    db_key_u32(key, tenant_id);
    return db_key_text(key, text);
}

int
entity_find(struct db_txn *txn, enum db_table table, uint32_t tenant_id, struct str text,
            uint32_t *id)
{
    struct db_key key;
    struct str value;
    int rc;

    *id = 0;
    if (!unique_key(table, tenant_id, text, &key))
        return -ENOENT;
    rc = db_get(txn, DB_UNIQUE, &key, &value);
    if (rc < 0)
        return rc;
    *id = db_u32(value, 0);
    return *id != 0 ? 0 : -EILSEQ;
}

int
entity_name_take(struct db_txn *txn, enum db_table table, uint32_t tenant_id, struct str text,
                 uint32_t id)
{
    struct db_key key, value = db_key_of_u32(id);

    ASSERT(id != 0);
    if (!unique_key(table, tenant_id, text, &key))
        return -EINVAL;
    return db_put_new(txn, DB_UNIQUE, &key, (struct str){(const char *)value.bytes, value.len});
}

int
entity_name_drop(struct db_txn *txn, enum db_table table, uint32_t tenant_id, struct str text)
{
    struct db_key key;

    return unique_key(table, tenant_id, text, &key) ? db_delete(txn, DB_UNIQUE, &key) : -ENOENT;
}

static void
child_key(enum db_table table, uint32_t tenant_id, struct db_key *key)
{
    db_key_start(key);
    db_key_u8(key, (uint8_t)table);
    db_key_u32(key, tenant_id);
}

int
entity_child_put(struct db_txn *txn, enum db_table table, uint32_t tenant_id, uint32_t id)
{
    struct db_key key;

    child_key(table, tenant_id, &key);
    db_key_u32(&key, id);
    return db_put(txn, DB_CHILD, &key, STR(""));
}

int
entity_child_drop(struct db_txn *txn, enum db_table table, uint32_t tenant_id, uint32_t id)
{
    struct db_key key;
    int rc;

    child_key(table, tenant_id, &key);
    db_key_u32(&key, id);
    rc = db_delete(txn, DB_CHILD, &key);
    return rc == -ENOENT ? 0 : rc;
}

int
entity_children(struct db_txn *txn, enum db_table table, uint32_t tenant_id, struct db_walk *walk)
{
    struct db_key from;

    child_key(table, tenant_id, &from);
    return db_walk_start(txn, DB_CHILD, &from, from.len, walk);
}
