/*
 * Documents: records of the store that are one JSON object each. A member that is absent reads as
 * empty, 0 or false, so that a record may grow.
 */
#ifndef LEDGER_DOC_H
#define LEDGER_DOC_H

#include "base/base.h"
#include "base/buf.h"
#include "base/js.h"
#include "base/jw.h"
#include "ledger/db.h"

#define DOC_BYTES_MAX 16384

/* -ENOENT, -EILSEQ. Valid until the transaction's end or its next write. */
int doc_get(struct db_txn *txn, enum db_table table, const struct db_key *key,
            struct js_value *out) MUST_CHECK;
int doc_get_id(struct db_txn *txn, enum db_table table, uint32_t id, struct js_value *out) MUST_CHECK;

void doc_text(struct js_value doc, struct str name, char *out, size_t cap);
int64_t doc_i64(struct js_value doc, struct str name);
uint32_t doc_u32(struct js_value doc, struct str name);
bool doc_bool(struct js_value doc, struct str name);

struct doc {
    struct buf buf;
    struct jw jw; /* within the object: write its members */
};
void doc_start(struct doc *doc);
/* Puts it; the document is over in either case. */
int doc_put(struct db_txn *txn, enum db_table table, const struct db_key *key,
            struct doc *doc) MUST_CHECK;
int doc_put_id(struct db_txn *txn, enum db_table table, uint32_t id, struct doc *doc) MUST_CHECK;

#endif
