/*
 * Where lists find what they are asked for, so that a page takes the same time of a thousand as of a million:
 *
 *     'w', table as u8, tenant (0 for tenants), text, 0, id as u32 -> nothing: what is called so
 *     'm', tenant, member, id -> nothing: keys of a member
 *     'p', tenant, project, id -> nothing: keys of a project
 *
 * A text is there once for each place where one may begin to look: the start of each of its words, and
 * in writing that has no blanks each character that is not ASCII, up to SEARCH_STARTS_MAX of them. From
 * there on it is kept as far as SEARCH_TEXT_MAX, in small letters. So a list finds by the beginning of
 * any word, and what follows it.
 *
 * Kept by who puts documents, as outlines are (ledger/outline.h).
 */
#ifndef LEDGER_SEARCH_H
#define LEDGER_SEARCH_H

#include "base/base.h"
#include "ledger/db.h"

#define SEARCH_TEXT_MAX 40
#define SEARCH_STARTS_MAX 6
#define SEARCH_TEXTS_MAX 3

struct search_thing {
    enum db_table table;
    uint32_t tenant_id, id; /* tenant_id 0 for tenants */
    struct str text[SEARCH_TEXTS_MAX];
    uint32_t member_id, project_id; /* 0: none */
    bool gone; /* found no more, and no child of its tenant any more */
};
/* From what it was (NULL: new) to what it is. */
int search_change(struct db_txn *txn, const struct search_thing *old,
                  const struct search_thing *now) MUST_CHECK;

/* What somebody looks for, as it is kept: in small letters, cut. out has SEARCH_TEXT_MAX bytes. */
struct str search_fold(struct str text, char *out);
/* The start of the thing's texts that is found first by what is looked for (folded); false when none
 * is. out has SEARCH_TEXT_MAX bytes. */
bool search_first(const struct search_thing *thing, struct str wanted, char *out, struct str *found);
/* Of a walk over what is called so: prefix and all, to which the beginning of a text may be added. */
void search_key_text(struct db_key *key, enum db_table table, uint32_t tenant_id);
void search_key_owner(struct db_key *key, char kind, uint32_t tenant_id, uint32_t owner_id);

#endif
