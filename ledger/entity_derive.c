/* Putting a document, with what is derived from it; and deriving that anew from all documents. */
#include "ledger/entity_in.h"

#include "base/log.h"
#include "base/str.h"
#include "ledger/outline.h"
#include "ledger/search.h"

#include <errno.h>

/* ---- as lists see them ---- */

struct search_thing
entity_tenant_thing(const struct entity_tenant *t)
{
    return (struct search_thing){
        .table = DB_TENANT,
        .id = t->id,
        .text = {str_from(t->name), str_from(t->contact), str_from(t->contact_email)}};
}

struct search_thing
entity_member_thing(const struct entity_member *m)
{
    return (struct search_thing){.table = DB_MEMBER,
                                 .tenant_id = m->tenant_id,
                                 .id = m->id,
                                 .text = {str_from(m->email)},
                                 .gone = m->removed};
}

struct search_thing
entity_project_thing(const struct entity_project *p)
{
    return (struct search_thing){.table = DB_PROJECT,
                                 .tenant_id = p->tenant_id,
                                 .id = p->id,
                                 .text = {str_from(p->name)},
                                 .gone = p->deleted_us != 0};
}

struct search_thing
entity_key_thing(const struct entity_key *k)
{
    return (struct search_thing){.table = DB_KEY,
                                 .tenant_id = k->tenant_id,
                                 .id = k->id,
                                 .text = {str_from(k->name), str_from(k->hint)},
                                 .member_id = k->member_id,
                                 .project_id = k->project_id,
                                 .gone = k->deleted_us != 0};
}

/* ---- putting ---- */

/* rc is of reading what was there: when it cannot be read, nothing is known to be found by. */
static int
change(struct db_txn *txn, int rc, const struct search_thing *was, const struct search_thing *now)
{
    if (rc < 0 && rc != -ENOENT && rc != -EILSEQ)
        return rc;
    return search_change(txn, rc == 0 ? was : NULL, now);
}

int
entity_tenant_put(struct db_txn *txn, const struct entity_tenant *tenant)
{
    struct search_thing was = {0}, now = entity_tenant_thing(tenant);
    struct entity_tenant old;
    int rc = entity_tenant_get(txn, tenant->id, &old);

    if (rc == 0)
        was = entity_tenant_thing(&old);
    rc = change(txn, rc, &was, &now);
    if (rc == 0)
        rc = outline_tenant(txn, tenant);
    return rc == 0 ? entity_tenant_document(txn, tenant) : rc;
}

int
entity_member_put(struct db_txn *txn, const struct entity_member *member)
{
    struct search_thing was = {0}, now = entity_member_thing(member);
    struct entity_member old;
    int rc = entity_member_get(txn, member->id, &old);

    if (rc == 0)
        was = entity_member_thing(&old);
    rc = change(txn, rc, &was, &now);
    if (rc == 0)
        rc = outline_member(txn, member);
    return rc == 0 ? entity_member_document(txn, member) : rc;
}

int
entity_project_put(struct db_txn *txn, const struct entity_project *project)
{
    struct search_thing was = {0}, now = entity_project_thing(project);
    struct entity_project old;
    int rc = entity_project_get(txn, project->id, &old);

    if (rc == 0)
        was = entity_project_thing(&old);
    rc = change(txn, rc, &was, &now);
    if (rc == 0)
        rc = outline_project(txn, project);
    return rc == 0 ? entity_project_document(txn, project) : rc;
}

int
entity_key_put(struct db_txn *txn, const struct entity_key *key)
{
    struct search_thing was = {0}, now = entity_key_thing(key);
    struct entity_key old;
    int rc = entity_key_get(txn, key->id, &old);

    ASSERT(key->allow.models_len <= sizeof(key->allow.models));
    if (rc == 0)
        was = entity_key_thing(&old);
    rc = change(txn, rc, &was, &now);
    if (rc == 0)
        rc = outline_key(txn, key);
    return rc == 0 ? entity_key_document(txn, key) : rc;
}

/* ---- deriving all anew ---- */

typedef int (*derive_fn)(struct db_txn *txn, uint32_t id);

static int
derive_tenant(struct db_txn *txn, uint32_t id)
{
    struct entity_tenant tenant;
    struct search_thing now;
    int rc = entity_tenant_get(txn, id, &tenant);

    if (rc < 0)
        return rc;
    now = entity_tenant_thing(&tenant);
    rc = search_change(txn, NULL, &now);
    return rc == 0 ? outline_tenant(txn, &tenant) : rc;
}

static int
derive_member(struct db_txn *txn, uint32_t id)
{
    struct entity_member member;
    struct search_thing now;
    int rc = entity_member_get(txn, id, &member);

    if (rc < 0)
        return rc;
    now = entity_member_thing(&member);
    rc = search_change(txn, NULL, &now);
    return rc == 0 ? outline_member(txn, &member) : rc;
}

static int
derive_project(struct db_txn *txn, uint32_t id)
{
    struct entity_project project;
    struct search_thing now;
    int rc = entity_project_get(txn, id, &project);

    if (rc < 0)
        return rc;
    now = entity_project_thing(&project);
    rc = search_change(txn, NULL, &now);
    return rc == 0 ? outline_project(txn, &project) : rc;
}

static int
derive_key(struct db_txn *txn, uint32_t id)
{
    struct entity_key key;
    struct search_thing now;
    int rc = entity_key_get(txn, id, &key);

    if (rc < 0)
        return rc;
    now = entity_key_thing(&key);
    rc = search_change(txn, NULL, &now);
    return rc == 0 ? outline_key(txn, &key) : rc;
}

static int
derive_table(struct db_txn *txn, enum db_table table, derive_fn derive)
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    db_key_start(&from);
    rc = db_walk_start(txn, table, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        uint32_t id = db_u32(key, 0);

        rc = derive(txn, id);
        if (rc < 0)
            log_error("store.underived", "table=%s id=%u rc=%d", db_table_name[table], id, rc);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

static int
derive_all(struct db_txn *txn, const struct db_tail *tail)
{
    int rc = db_empty(txn, DB_OUTLINE);

    if (rc == 0)
        rc = db_empty(txn, DB_SEARCH);
    if (rc == 0)
        rc = derive_table(txn, DB_TENANT, derive_tenant);
    if (rc == 0)
        rc = derive_table(txn, DB_MEMBER, derive_member);
    if (rc == 0)
        rc = derive_table(txn, DB_PROJECT, derive_project);
    if (rc == 0)
        rc = derive_table(txn, DB_KEY, derive_key);
    return rc == 0 ? db_tail_put(txn, tail) : rc;
}

int
entity_derive(struct db *db, const struct db_tail *tail)
{
    struct db_txn txn;
    bool is_old;
    int rc = db_read(db, &txn);

    if (rc < 0)
        return rc;
    is_old = !db_derived_is_new(&txn, tail);
    db_end(&txn);
    if (!is_old)
        return 0;
    rc = db_write(db, &txn);
    if (rc == 0)
        rc = derive_all(&txn, tail);
    if (rc < 0) {
        db_end(&txn);
        return rc;
    }
    return db_commit(&txn);
}
