#include "ledger/outline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void
outline_at(enum db_table table, uint32_t id, struct db_key *key)
{
    ASSERT(id != 0);
    db_key_start(key);
    db_key_u8(key, (uint8_t)table);
    db_key_u32(key, id);
}

static int
outline_drop(struct db_txn *txn, const struct db_key *key)
{
    int rc = db_delete(txn, DB_OUTLINE, key);

    return rc == -ENOENT ? 0 : rc;
}

static int
outline_mark(struct db_txn *txn, enum db_table table, uint32_t id, bool more)
{
    struct db_key key;

    outline_at(table, id, &key);
    return more ? db_put(txn, DB_OUTLINE, &key, STR("")) : outline_drop(txn, &key);
}

/* Padding that is not zero makes one more document be read, and does no other harm. */
static bool
is_zero(const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < len; i++)
        if (at[i] != 0)
            return false;
    return true;
}

/* ---- what the region has to know: all that is left without what it has not ---- */

int
outline_tenant(struct db_txn *txn, const struct entity_tenant *tenant)
{
    struct entity_tenant rest = *tenant;

    rest.id = 0;
    rest.created_us = 0;
    memset(rest.name, 0, sizeof(rest.name));
    memset(rest.contact, 0, sizeof(rest.contact));
    memset(rest.contact_email, 0, sizeof(rest.contact_email));
    memset(rest.contact_phone, 0, sizeof(rest.contact_phone));
    return outline_mark(txn, DB_TENANT, tenant->id, !is_zero(&rest, sizeof(rest)));
}

int
outline_member(struct db_txn *txn, const struct entity_member *member)
{
    struct entity_member rest = *member;

    rest.id = rest.tenant_id = 0;
    rest.created_us = 0;
    rest.removed = false;
    rest.person_id = 0;
    memset(rest.email, 0, sizeof(rest.email));
    memset(rest.role, 0, sizeof(rest.role));
    return outline_mark(txn, DB_MEMBER, member->id, !is_zero(&rest, sizeof(rest)));
}

int
outline_project(struct db_txn *txn, const struct entity_project *project)
{
    struct entity_project rest = *project;

    rest.id = rest.tenant_id = 0;
    rest.created_us = 0;
    memset(rest.name, 0, sizeof(rest.name));
    memset(rest.labels, 0, sizeof(rest.labels));
    rest.label_count = rest.labels_len = 0;
    return outline_mark(txn, DB_PROJECT, project->id, !is_zero(&rest, sizeof(rest)));
}

static bool
key_has_more(const struct entity_key *key)
{
    struct entity_key rest = *key;

    rest.id = rest.tenant_id = rest.member_id = rest.project_id = 0;
    rest.limits.rpm = rest.limits.tpm = rest.limits.concurrency = 0;
    rest.scopes ^= SCOPE_INFERENCE;
    rest.created_us = rest.expires_us = 0;
    rest.budget_id = 0;
    rest.disabled = rest.no_dearer = rest.sibling = false;
    memset(rest.name, 0, sizeof(rest.name));
    memset(rest.hint, 0, sizeof(rest.hint));
    memset(rest.hash, 0, sizeof(rest.hash));
    return !is_zero(&rest, sizeof(rest));
}

int
outline_key(struct db_txn *txn, const struct entity_key *key)
{
    struct outline_key outline = {
        .expires_us = key->expires_us,
        .budget_id = key->budget_id,
        .tenant_id = key->tenant_id,
        .member_id = key->member_id,
        .project_id = key->project_id,
        .rpm = key->limits.rpm,
        .tpm = key->limits.tpm,
        .concurrency = key->limits.concurrency,
        .flags = (key->disabled ? OUTLINE_DISABLED : 0u) |
                 (key->no_dearer ? OUTLINE_NO_DEARER : 0u) |
                 (key->sibling ? OUTLINE_SIBLING : 0u) | (key_has_more(key) ? OUTLINE_MORE : 0u),
    };
    struct db_key at;

    outline_at(DB_KEY, key->id, &at);
    if (key->deleted_us != 0)
        return outline_drop(txn, &at);
    memcpy(outline.hash, key->hash, sizeof(outline.hash));
    return db_put(txn, DB_OUTLINE, &at, (struct str){(const char *)&outline, sizeof(outline)});
}

bool
outline_read(struct str value, uint32_t id, struct entity_key *out)
{
    struct outline_key outline;

    if (value.len != sizeof(outline))
        return false;
    memcpy(&outline, value.ptr, sizeof(outline));
    if (outline.flags & OUTLINE_MORE)
        return false;
    out->id = id;
    out->tenant_id = outline.tenant_id;
    out->member_id = outline.member_id;
    out->project_id = outline.project_id;
    out->expires_us = outline.expires_us;
    out->budget_id = outline.budget_id;
    out->limits = (struct entity_limits){
        .rpm = outline.rpm, .tpm = outline.tpm, .concurrency = outline.concurrency};
    out->scopes = SCOPE_INFERENCE;
    out->disabled = outline.flags & OUTLINE_DISABLED;
    out->no_dearer = outline.flags & OUTLINE_NO_DEARER;
    out->sibling = outline.flags & OUTLINE_SIBLING;
    memcpy(out->hash, outline.hash, sizeof(out->hash));
    return true;
}

/* ---- reading all ---- */

int
outline_set_load(struct db_txn *txn, enum db_table table, uint32_t last, struct outline_set *out)
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    out->last = last;
    out->bits = calloc((size_t)last / 8 + 1, 1);
    if (out->bits == NULL)
        return -ENOMEM;
    db_key_start(&from);
    db_key_u8(&from, (uint8_t)table);
    rc = db_walk_start(txn, DB_OUTLINE, &from, from.len, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        uint32_t id = db_u32(key, 1);

        if (id <= last)
            out->bits[id / 8] |= (uint8_t)(1u << id % 8);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

/* One that was not there when the set was made may have anything. */
bool
outline_set_has(const struct outline_set *set, uint32_t id)
{
    return set->bits == NULL || id > set->last || (set->bits[id / 8] >> id % 8 & 1) != 0;
}

void
outline_set_free(struct outline_set *set)
{
    free(set->bits);
    *set = (struct outline_set){0};
}

int
outline_keys(struct db_txn *txn, struct db_walk *walk)
{
    struct db_key from;

    db_key_start(&from);
    db_key_u8(&from, DB_KEY);
    return db_walk_start(txn, DB_OUTLINE, &from, from.len, walk);
}
