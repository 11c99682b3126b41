/*
 * What upstreams keep for tenants: files, and the batches that are made of them. The provider knows
 * one account for all; whose is which stands here and nowhere else.
 *
 *     kind as u8, ID as text, 0, the upstream's name -> JSON: the tenant, and what is below
 *
 * An upstream's name and the ID that it gave are one record, so that no two tenants can have the same.
 * IDs and names are plain text (kept_text_ok()): they need no escapes. No content is kept.
 */
#ifndef LEDGER_KEPT_H
#define LEDGER_KEPT_H

#include "base/base.h"
#include "ledger/db.h"

enum kept_kind { KEPT_FILE = 0, KEPT_BATCH, KEPT_KIND_COUNT };
extern const char *const kept_kind_name[KEPT_KIND_COUNT]; /* "file", "batch" */

#define KEPT_TEXT_LEN_MAX 256u

struct kept {
    enum kept_kind kind;
    uint32_t tenant_id, key_id, project_id; /* whose, and by which key; project 0: none */
    struct str id, upstream;
    struct str credential; /* of the upstream; "": its own */
    struct str call;       /* that it came by */
    int64_t created_us;
    struct str purpose; /* of a file; "" when it is not plain */
    uint64_t bytes;     /* likewise */
    /* A file that can be batched: its lines, the model that they name and the endpoint that they are
     * for. Of a batch the same of what it was made of. 0 and "": it cannot. */
    uint32_t lines;
    struct str model, endpoint;
    struct str input, output, errors; /* of a batch: its files, "" while it names none */
};

/* Printable ASCII without quotes, backslashes and blanks, of at most KEPT_TEXT_LEN_MAX; "" too. */
bool kept_text_ok(struct str text);

/* Views of *out are into the store: valid as db_get()'s. -ENOENT also when it is another tenant's. */
int kept_get(struct db_txn *txn, enum kept_kind kind, struct str id, struct str upstream,
             uint32_t tenant_id, struct kept *out) MUST_CHECK;
/* The tenant's of that ID, whatever its upstream; of several the newest. */
int kept_find(struct db_txn *txn, enum kept_kind kind, struct str id, uint32_t tenant_id,
              struct kept *out) MUST_CHECK;
/* -EEXIST when somebody has it: the same tenant or not. */
int kept_put_new(struct db_txn *txn, const struct kept *kept) MUST_CHECK;
/* The tenant's own, changed. Its texts must not lie in the store. */
int kept_put(struct db_txn *txn, const struct kept *kept) MUST_CHECK;
int kept_delete(struct db_txn *txn, const struct kept *kept) MUST_CHECK;

/* All, by kind and ID. False at the end, and when walk->failed. -EILSEQ there: a record is none. */
int kept_walk_start(struct db_txn *txn, struct db_walk *walk) MUST_CHECK;
bool kept_walk_next(struct db_walk *walk, struct kept *out);

#endif
