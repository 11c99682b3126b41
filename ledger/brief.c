#include "ledger/brief.h"

#include "base/hash.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

#define INDEX_HASH_AT 10u /* 'x', expires, kind */

void
brief_name(const uint8_t key[HASH_KEY_LEN], const char *kind, struct str a, struct str b,
           uint8_t out[HASH_LEN])
{
    uint8_t part[3][HASH_LEN];

    /* Each by itself first, so that no two of them can be cut in another place to be the same. */
    hash_keyed(key, kind, strlen(kind), part[0]);
    hash_keyed(key, a.ptr, a.len, part[1]);
    hash_keyed(key, b.ptr, b.len, part[2]);
    hash_keyed(key, part, sizeof(part), out);
}

static struct db_key
own_key(const struct brief *brief)
{
    struct db_key key;

    db_key_start(&key);
    db_key_u8(&key, (uint8_t)brief->kind);
    ASSERT(db_key_text(&key, (struct str){(const char *)brief->hash, HASH_LEN}));
    return key;
}

static struct db_key
index_key(const struct brief *brief)
{
    struct db_key key;

    db_key_start(&key);
    db_key_u8(&key, 'x');
    db_key_u64(&key, (uint64_t)brief->expires_us);
    db_key_u8(&key, (uint8_t)brief->kind);
    ASSERT(db_key_text(&key, (struct str){(const char *)brief->hash, HASH_LEN}));
    return key;
}

/* Whether it is over or not. */
static int
get_any(struct db_txn *txn, struct brief *brief, struct js_value *doc)
{
    struct db_key key = own_key(brief);
    int rc = doc_get(txn, brief->table, &key, doc);

    brief->expires_us = rc == 0 ? doc_i64(*doc, STR("expires_us")) : 0;
    return rc;
}

int
brief_get(struct db_txn *txn, struct brief *brief, int64_t now_us, struct js_value *doc)
{
    int rc = get_any(txn, brief, doc);

    return rc == 0 && brief->expires_us <= now_us ? -ENOENT : rc;
}

static int
index_drop(struct db_txn *txn, const struct brief *brief)
{
    struct db_key key = index_key(brief);
    int rc = db_delete(txn, brief->table, &key);

    return rc == -ENOENT ? 0 : rc;
}

int
brief_put(struct db_txn *txn, struct brief *brief, int64_t expires_us, struct doc *doc)
{
    struct db_key key = own_key(brief), index;
    struct brief old = *brief;
    struct js_value was;
    int rc;

    ASSERT(expires_us > 0);
    jw_key_i64(&doc->jw, "expires_us", expires_us);
    brief->expires_us = expires_us;
    index = index_key(brief);
    rc = get_any(txn, &old, &was);
    rc = rc == -ENOENT ? 0 : rc == 0 ? index_drop(txn, &old) : rc;
    if (rc == 0)
        rc = db_put(txn, brief->table, &index, STR(""));
    if (rc == 0)
        return doc_put(txn, brief->table, &key, doc);
    buf_free(&doc->buf);
    return rc;
}

int
brief_drop(struct db_txn *txn, const struct brief *brief)
{
    struct brief old = *brief;
    struct db_key key = own_key(brief);
    struct js_value was;
    int rc = get_any(txn, &old, &was);

    if (rc == -ENOENT)
        return 0;
    if (rc == 0)
        rc = index_drop(txn, &old);
    return rc < 0 ? rc : db_delete(txn, brief->table, &key);
}

int
brief_over(struct db_txn *txn, enum db_table table, int64_t now_us, struct brief over[BRIEF_SWEEP],
           unsigned *count)
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    *count = 0;
    db_key_start(&from);
    db_key_u8(&from, 'x');
    rc = db_walk_start(txn, table, &from, from.len, &walk);
    if (rc < 0)
        return rc;
    while (*count < BRIEF_SWEEP && db_walk_next(&walk, &key, &value)) {
        struct brief *b = &over[*count];

        *b = (struct brief){.table = table, .expires_us = (int64_t)db_u64(key, 1)};
        if (b->expires_us > now_us || key.len != INDEX_HASH_AT + HASH_LEN)
            break;
        b->kind = key.ptr[INDEX_HASH_AT - 1];
        memcpy(b->hash, key.ptr + INDEX_HASH_AT, HASH_LEN);
        ++*count;
    }
    rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

int
brief_sweep(struct db_txn *txn, enum db_table table, int64_t now_us,
            int (*gone)(struct db_txn *txn, const struct brief *brief, struct js_value doc))
{
    struct brief over[BRIEF_SWEEP];
    unsigned count;
    int rc = brief_over(txn, table, now_us, over, &count);

    for (unsigned i = 0; rc == 0 && i < count; i++) {
        struct js_value doc;

        if (gone != NULL && get_any(txn, &over[i], &doc) == 0)
            rc = gone(txn, &over[i], doc);
        if (rc == 0)
            rc = brief_drop(txn, &over[i]);
    }
    return rc;
}
