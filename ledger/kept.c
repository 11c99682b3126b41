#include "ledger/kept.h"

#include "base/buf.h"
#include "base/js.h"
#include "base/jw.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

#define DOC_BYTES_MAX 4096u

const char *const kept_kind_name[KEPT_KIND_COUNT] = {
    [KEPT_FILE] = "file",
    [KEPT_BATCH] = "batch",
};

bool
kept_text_ok(struct str text)
{
    if (text.len > KEPT_TEXT_LEN_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~' || text.ptr[i] == '"' || text.ptr[i] == '\\')
            return false;
    return true;
}

/* ---- the form ---- */

/* Up to and with the 0 behind the ID. False: longer than any that was put. */
static bool
key_start(enum kept_kind kind, struct str id, struct db_key *key)
{
    db_key_start(key);
    db_key_u8(key, (uint8_t)kind);
    if (id.len == 0 || id.len > KEPT_TEXT_LEN_MAX || !db_key_text(key, id))
        return false;
    db_key_u8(key, 0);
    return true;
}

static bool
key_of(enum kept_kind kind, struct str id, struct str upstream, struct db_key *key)
{
    return key_start(kind, id, key) && db_key_text(key, upstream);
}

static struct str
text_of(struct js_value doc, const char *name)
{
    struct js_value value = js_get(doc, str_from(name));

    return value.type == JS_STRING && !value.escaped ? value.raw : STR("");
}

static uint32_t
number_of(struct js_value doc, const char *name)
{
    uint64_t n = 0;

    return js_count(js_get(doc, str_from(name)), UINT32_MAX, &n) ? (uint32_t)n : 0;
}

static int64_t
long_of(struct js_value doc, const char *name)
{
    int64_t n = 0;

    return js_i64(js_get(doc, str_from(name)), &n) ? n : 0;
}

static int
read_record(struct str key, struct str value, struct kept *out)
{
    const char *end = key.len > 1 ? memchr(key.ptr + 1, 0, key.len - 1) : NULL;
    struct js_value doc;
    struct js_error ignored;

    if (end == NULL || (uint8_t)key.ptr[0] >= KEPT_KIND_COUNT ||
        !js_check(value, &doc, &ignored) || !js_is(doc, JS_OBJECT))
        return -EILSEQ;
    *out = (struct kept){
        .kind = (enum kept_kind)key.ptr[0],
        .tenant_id = number_of(doc, "tenant"),
        .key_id = number_of(doc, "key"),
        .project_id = number_of(doc, "project"),
        .id = {key.ptr + 1, (size_t)(end - key.ptr) - 1},
        .upstream = {end + 1, (size_t)(key.ptr + key.len - end) - 1},
        .credential = text_of(doc, "credential"),
        .call = text_of(doc, "call"),
        .created_us = long_of(doc, "created_us"),
        .purpose = text_of(doc, "purpose"),
        .bytes = (uint64_t)MAX(long_of(doc, "bytes"), 0),
        .lines = number_of(doc, "lines"),
        .model = text_of(doc, "model"),
        .endpoint = text_of(doc, "endpoint"),
        .input = text_of(doc, "input"),
        .output = text_of(doc, "output"),
        .errors = text_of(doc, "errors"),
    };
    return out->tenant_id != 0 ? 0 : -EILSEQ;
}

static void
text_write(struct jw *jw, const char *name, struct str text)
{
    if (text.len > 0)
        jw_key_quoted(jw, name, text);
}

static void
number_write(struct jw *jw, const char *name, uint64_t n)
{
    if (n > 0)
        jw_key_u64(jw, name, n);
}

static void
record_write(struct buf *out, const struct kept *kept)
{
    struct jw jw;

    jw_init(&jw, out);
    jw_object(&jw);
    jw_key_u64(&jw, "tenant", kept->tenant_id);
    number_write(&jw, "key", kept->key_id);
    number_write(&jw, "project", kept->project_id);
    text_write(&jw, "credential", kept->credential);
    text_write(&jw, "call", kept->call);
    jw_key_i64(&jw, "created_us", kept->created_us);
    text_write(&jw, "purpose", kept->purpose);
    number_write(&jw, "bytes", kept->bytes);
    number_write(&jw, "lines", kept->lines);
    text_write(&jw, "model", kept->model);
    text_write(&jw, "endpoint", kept->endpoint);
    text_write(&jw, "input", kept->input);
    text_write(&jw, "output", kept->output);
    text_write(&jw, "errors", kept->errors);
    jw_object_end(&jw);
}

/* ---- records ---- */

int
kept_get(struct db_txn *txn, enum kept_kind kind, struct str id, struct str upstream,
         uint32_t tenant_id, struct kept *out)
{
    struct db_key key;
    struct str value;
    int rc;

    if (!key_of(kind, id, upstream, &key))
        return -ENOENT;
    rc = db_get(txn, DB_KEPT, &key, &value);
    if (rc == 0)
        rc = read_record((struct str){(const char *)key.bytes, key.len}, value, out);
    if (rc < 0)
        return rc;
    out->id = id; /* not in the key, which is ours alone */
    out->upstream = upstream;
    return out->tenant_id == tenant_id ? 0 : -ENOENT;
}

int
kept_find(struct db_txn *txn, enum kept_kind kind, struct str id, uint32_t tenant_id,
          struct kept *out)
{
    struct db_walk walk;
    struct db_key from;
    struct str key, value;
    bool found = false;
    int rc;

    if (!key_start(kind, id, &from))
        return -ENOENT;
    rc = db_walk_start(txn, DB_KEPT, &from, from.len, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        struct kept kept;

        rc = read_record(key, value, &kept);
        if (rc < 0 || kept.tenant_id != tenant_id || (found && kept.created_us < out->created_us))
            continue;
        *out = kept;
        found = true;
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc < 0 ? rc : found ? 0 : -ENOENT;
}

static bool
is_plain(const struct kept *kept)
{
    const struct str texts[] = {kept->id,     kept->upstream, kept->credential, kept->call,
                                kept->purpose, kept->model,   kept->endpoint,   kept->input,
                                kept->output, kept->errors};

    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (!kept_text_ok(texts[i]))
            return false;
    return true;
}

static int
put(struct db_txn *txn, const struct kept *kept, bool is_new)
{
    struct db_key key;
    struct buf doc;
    int rc;

    ASSERT(kept->tenant_id != 0 && is_plain(kept));
    if (!key_of(kept->kind, kept->id, kept->upstream, &key))
        return -EINVAL;
    buf_init(&doc, DOC_BYTES_MAX);
    record_write(&doc, kept);
    rc = doc.failed ? -ENOMEM
         : is_new   ? db_put_new(txn, DB_KEPT, &key, buf_str(&doc))
                    : db_put(txn, DB_KEPT, &key, buf_str(&doc));
    buf_free(&doc);
    return rc;
}

int
kept_put_new(struct db_txn *txn, const struct kept *kept)
{
    return put(txn, kept, true);
}

int
kept_put(struct db_txn *txn, const struct kept *kept)
{
    return put(txn, kept, false);
}

int
kept_delete(struct db_txn *txn, const struct kept *kept)
{
    struct db_key key;

    return key_of(kept->kind, kept->id, kept->upstream, &key) ? db_delete(txn, DB_KEPT, &key)
                                                              : -ENOENT;
}

/* ---- all ---- */

int
kept_walk_start(struct db_txn *txn, struct db_walk *walk)
{
    struct db_key from;

    db_key_start(&from);
    return db_walk_start(txn, DB_KEPT, &from, 0, walk);
}

bool
kept_walk_next(struct db_walk *walk, struct kept *out)
{
    struct str key, value;

    if (!db_walk_next(walk, &key, &value))
        return false;
    walk->failed = read_record(key, value, out);
    return walk->failed == 0;
}
