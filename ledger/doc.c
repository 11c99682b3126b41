#include "ledger/doc.h"

#include "base/str.h"

#include <errno.h>
#include <string.h>

int
doc_get(struct db_txn *txn, enum db_table table, const struct db_key *key, struct js_value *out)
{
    struct js_error err;
    struct str text;
    int rc = db_get(txn, table, key, &text);

    if (rc < 0)
        return rc;
    return js_check(text, out, &err) && js_is(*out, JS_OBJECT) ? 0 : -EILSEQ;
}

int
doc_get_id(struct db_txn *txn, enum db_table table, uint32_t id, struct js_value *out)
{
    struct db_key key = db_key_of_u32(id);

    return doc_get(txn, table, &key, out);
}

void
doc_text(struct js_value doc, struct str name, char *out, size_t cap)
{
    struct js_value value = js_get(doc, name);
    char scratch[1024];

    out[0] = '\0';
    if (js_is(value, JS_STRING) && value.raw.len < sizeof(scratch))
        str_copy(js_unescape(value, scratch, sizeof(scratch)), out, cap);
}

int64_t
doc_i64(struct js_value doc, struct str name)
{
    int64_t n = 0;

    return js_i64(js_get(doc, name), &n) ? n : 0;
}

uint32_t
doc_u32(struct js_value doc, struct str name)
{
    int64_t n = doc_i64(doc, name);

    return n < 0 || n > UINT32_MAX ? 0 : (uint32_t)n;
}

bool
doc_bool(struct js_value doc, struct str name)
{
    return js_bool(js_get(doc, name), false);
}

void
doc_start(struct doc *doc)
{
    buf_init(&doc->buf, DOC_BYTES_MAX);
    jw_init(&doc->jw, &doc->buf);
    jw_object(&doc->jw);
}

int
doc_put(struct db_txn *txn, enum db_table table, const struct db_key *key, struct doc *doc)
{
    int rc;

    jw_object_end(&doc->jw);
    rc = doc->buf.failed ? -ENOMEM : db_put(txn, table, key, buf_str(&doc->buf));
    explicit_bzero(doc->buf.ptr, doc->buf.ptr != NULL ? doc->buf.cap : 0);
    buf_free(&doc->buf);
    return rc;
}

int
doc_put_id(struct db_txn *txn, enum db_table table, uint32_t id, struct doc *doc)
{
    struct db_key key = db_key_of_u32(id);

    ASSERT(id != 0);
    return doc_put(txn, table, &key, doc);
}
