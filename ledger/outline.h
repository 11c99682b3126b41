/*
 * What a start has to know of tenants, members, projects and keys, without reading their documents:
 * millions of them are to be in memory within seconds, and reading JSON would be most of that.
 *
 *     DB_KEY as u8, id as u32 -> struct outline_key, of each key that is not deleted
 *     DB_TENANT, DB_MEMBER or DB_PROJECT as u8, id as u32 -> nothing: there is more to it than a name
 *
 * Of a tenant, member or project that has no such entry the region needs to know nothing: no budget, no
 * limit, no list, no switch. Entries are kept by who puts documents (ledger/entity_derive.c) in the transaction that puts the
 * document, and made anew from the documents by entity_derive() when a program wrote last that does
 * not keep them.
 */
#ifndef LEDGER_OUTLINE_H
#define LEDGER_OUTLINE_H

#include "base/base.h"
#include "base/hash.h"
#include "ledger/db.h"
#include "ledger/entity.h"

enum outline_flag {
    OUTLINE_DISABLED = 1u,
    OUTLINE_NO_DEARER = 2u,
    OUTLINE_SIBLING = 4u,
    OUTLINE_MORE = 8u, /* there are lists, or other things: read the document */
};

struct outline_key {
    uint8_t hash[HASH_LEN];
    int64_t expires_us;
    uint64_t budget_id;
    uint32_t tenant_id, member_id, project_id;
    uint32_t rpm, tpm, concurrency;
    uint32_t flags;
    uint32_t pad;
};
_Static_assert(sizeof(struct outline_key) == 80, "the store's form");

int outline_tenant(struct db_txn *txn, const struct entity_tenant *tenant) MUST_CHECK;
int outline_member(struct db_txn *txn, const struct entity_member *member) MUST_CHECK;
int outline_project(struct db_txn *txn, const struct entity_project *project) MUST_CHECK;
int outline_key(struct db_txn *txn, const struct entity_key *key) MUST_CHECK;

/* Into what is all zero, but for what this has set before: for millions of them one does. False when the
 * document has to be read; out is as it was. */
bool outline_read(struct str value, uint32_t id, struct entity_key *out) MUST_CHECK;

/* Which of a table have more to them, one bit an id. */
struct outline_set {
    uint8_t *bits;
    uint32_t last;
};
int outline_set_load(struct db_txn *txn, enum db_table table, uint32_t last,
                     struct outline_set *out) MUST_CHECK;
bool outline_set_has(const struct outline_set *set, uint32_t id);
void outline_set_free(struct outline_set *set);
/* All keys' outlines in order of id, which is db_u32(key, 1). */
int outline_keys(struct db_txn *txn, struct db_walk *walk) MUST_CHECK;

#endif
