#include "ledger/outbox.h"

#include "base/buf.h"
#include "base/js.h"
#include "base/jw.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DOC_BYTES_MAX (512u << 10)
#define WAIT_US_MAX INT64_C(3600000000)

static struct db_key
key_of_id(uint64_t id)
{
    struct db_key key;

    db_key_start(&key);
    db_key_u8(&key, 'i');
    db_key_u64(&key, id);
    return key;
}

static struct db_key
key_of_due(int64_t due_us, uint64_t id)
{
    struct db_key key;

    ASSERT(due_us > 0);
    db_key_start(&key);
    db_key_u8(&key, 'd');
    db_key_u64(&key, (uint64_t)due_us);
    db_key_u64(&key, id);
    return key;
}

static int
id_next(struct db_txn *txn, enum db_table table, uint64_t *id)
{
    char name[48];
    struct str value;
    int rc;

    snprintf(name, sizeof(name), "last-%s", db_table_name[table]);
    rc = db_meta_get(txn, name, &value);
    *id = 0;
    if (rc == 0 && value.len != sizeof(*id))
        return -EILSEQ;
    if (rc == 0)
        memcpy(id, value.ptr, sizeof(*id));
    else if (rc != -ENOENT)
        return rc;
    ++*id;
    return db_meta_put(txn, name, (struct str){(const char *)id, sizeof(*id)});
}

static int
doc_put(struct db_txn *txn, enum db_table table, const struct outbox_item *item,
        int64_t due_was_us)
{
    struct db_key key = key_of_id(item->id), due;
    struct buf doc;
    struct jw jw;
    int rc;

    buf_init(&doc, DOC_BYTES_MAX);
    jw_init(&jw, &doc);
    jw_object(&jw);
    jw_key_i64(&jw, "created", item->created_us);
    jw_key_i64(&jw, "due", item->due_us);
    jw_key_i64(&jw, "until", item->until_us);
    jw_key_u64(&jw, "tries", item->tries);
    jw_key(&jw, "what");
    jw_raw(&jw, item->what);
    jw_object_end(&jw);
    rc = doc.failed ? -ENOMEM : db_put(txn, table, &key, buf_str(&doc));
    buf_free(&doc);
    if (rc == 0 && due_was_us != 0 && due_was_us != item->due_us) {
        due = key_of_due(due_was_us, item->id);
        rc = db_delete(txn, table, &due);
    }
    if (rc == 0 && item->due_us != 0 && due_was_us != item->due_us) {
        due = key_of_due(item->due_us, item->id);
        rc = db_put(txn, table, &due, STR(""));
    }
    return rc;
}

int
outbox_add(struct db_txn *txn, enum db_table table, struct outbox_item *item)
{
    int rc = id_next(txn, table, &item->id);

    ASSERT(item->due_us > 0);
    return rc < 0 ? rc : doc_put(txn, table, item, 0);
}

int
outbox_get(struct db_txn *txn, enum db_table table, uint64_t id, struct outbox_item *out)
{
    struct db_key key = key_of_id(id);
    struct js_value doc, what;
    struct js_error err;
    struct str value;
    uint64_t tries = 0;
    int rc = db_get(txn, table, &key, &value);

    if (rc < 0)
        return rc;
    *out = (struct outbox_item){.id = id};
    if (!js_check(value, &doc, &err))
        return -EILSEQ;
    what = js_get(doc, STR("what"));
    if (!js_i64(js_get(doc, STR("created")), &out->created_us) ||
        !js_i64(js_get(doc, STR("due")), &out->due_us) || out->due_us < 0 ||
        !js_i64(js_get(doc, STR("until")), &out->until_us) ||
        !js_count(js_get(doc, STR("tries")), UINT32_MAX, &tries) || !js_is(what, JS_OBJECT))
        return -EILSEQ;
    out->tries = (uint32_t)tries;
    out->what = what.raw;
    return 0;
}

int
outbox_put(struct db_txn *txn, enum db_table table, const struct outbox_item *item,
           int64_t due_was_us)
{
    return doc_put(txn, table, item, due_was_us);
}

int
outbox_drop(struct db_txn *txn, enum db_table table, const struct outbox_item *item)
{
    struct db_key key;
    int rc = 0;

    if (item->due_us != 0) {
        key = key_of_due(item->due_us, item->id);
        rc = db_delete(txn, table, &key);
    }
    if (rc < 0)
        return rc;
    key = key_of_id(item->id);
    return db_delete(txn, table, &key);
}

static int
due_walk(struct db_txn *txn, enum db_table table, int64_t from_us, struct db_walk *walk)
{
    struct db_key from;

    db_key_start(&from);
    db_key_u8(&from, 'd');
    db_key_u64(&from, (uint64_t)from_us);
    return db_walk_start(txn, table, &from, 1, walk);
}

int
outbox_due(struct db_txn *txn, enum db_table table, int64_t from_us, int64_t now_us, uint64_t *ids, unsigned max,
           unsigned *count)
{
    struct db_walk walk;
    struct str key, value;
    int rc = due_walk(txn, table, from_us, &walk);

    *count = 0;
    if (rc < 0)
        return rc;
    while (*count < max && db_walk_next(&walk, &key, &value)) {
        if (db_u64(key, 1) > (uint64_t)now_us)
            break;
        ids[(*count)++] = db_u64(key, 9);
    }
    rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

int
outbox_next_due(struct db_txn *txn, enum db_table table, int64_t *due_us)
{
    struct db_walk walk;
    struct str key, value;
    int rc = due_walk(txn, table, 0, &walk);

    *due_us = INT64_MAX;
    if (rc < 0)
        return rc;
    if (db_walk_next(&walk, &key, &value))
        *due_us = (int64_t)MIN(db_u64(key, 1), (uint64_t)INT64_MAX);
    rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

int64_t
outbox_wait_us(uint32_t tries, int64_t first_us, uint64_t random)
{
    int64_t wait_us = first_us;

    for (uint32_t i = 1; i < tries && wait_us < WAIT_US_MAX; i++)
        wait_us *= 2;
    wait_us = MIN(wait_us, WAIT_US_MAX);
    return wait_us - wait_us / 8 + (int64_t)(random % (uint64_t)(wait_us / 4 + 1));
}
