/* Keys from the store into the region, and members and projects as far as their keys are told of them. */
#include "ledger/publish.h"

#include "base/cidr.h"
#include "base/str.h"
#include "ledger/quota.h"

#include <errno.h>
#include <string.h>

/* What comes from its member and its project: budgets and quotas. */
struct key_chain {
    uint32_t budget_idx[3], quota_idx[2];
    uint32_t member_id, project_id; /* whose keys are told */
};

static int
chain_member(struct ledger *ledger, struct db_txn *txn, uint32_t member_id, struct key_chain *chain)
{
    struct entity_member member;
    int rc = 0;

    if (ledger->start != NULL && !outline_set_has(&ledger->start->members, member_id))
        return 0;
    rc = entity_member_get(txn, member_id, &member);
    if (rc == 0)
        rc = publish_budget_index(ledger, txn, member.budget_id, &chain->budget_idx[1]);
    if (rc == 0)
        rc = quota_find(ledger, &(struct quota_owner){BUDGET_MEMBER, member_id, &member.limits,
                                                      &member.allow, NULL}, &chain->quota_idx[0]);
    return rc;
}

static int
chain_project(struct ledger *ledger, struct db_txn *txn, uint32_t project_id,
              struct key_chain *chain)
{
    struct entity_project project;
    int rc = 0;

    if (ledger->start != NULL && !outline_set_has(&ledger->start->projects, project_id))
        return 0;
    rc = entity_project_get(txn, project_id, &project);
    if (rc == 0)
        rc = publish_budget_index(ledger, txn, project.budget_id, &chain->budget_idx[2]);
    if (rc == 0)
        rc = quota_find(ledger, &(struct quota_owner){BUDGET_PROJECT, project_id, &project.limits,
                                                      &project.allow, NULL}, &chain->quota_idx[1]);
    return rc;
}

static int
key_chain(struct ledger *ledger, struct db_txn *txn, const struct entity_key *key,
          struct key_chain *chain)
{
    int rc;

    memset(chain, 0, sizeof(*chain));
    rc = publish_budget_index(ledger, txn, key->budget_id, &chain->budget_idx[0]);
    if (rc == 0 && key->member_id != 0)
        rc = chain_member(ledger, txn, key->member_id, chain);
    if (rc == 0 && key->project_id != 0)
        rc = chain_project(ledger, txn, key->project_id, chain);
    return rc;
}

/* At a start a project of which there is nothing to know but its name is known to be so. */
static bool
project_counts(const struct ledger *ledger, const struct entity_key *key)
{
    return key->project_id != 0 &&
           (ledger->names_wanted || ledger->start == NULL ||
            outline_set_has(&ledger->start->projects, key->project_id));
}

static int
key_project(const struct ledger *ledger, struct db_txn *txn, const struct entity_key *key,
            struct key_extra *extra)
{
    struct entity_project project;
    int rc;

    if (ledger->names_wanted)
        str_copy(str_from(key->name), extra->name, sizeof(extra->name));
    if (!project_counts(ledger, key))
        return 0;
    rc = entity_project_get(txn, key->project_id, &project);
    if (rc < 0)
        return rc;
    extra->has_weights = project.has_weights;
    extra->latency_u = project.latency_u;
    extra->cost_u = project.cost_u;
    extra->quality_u = project.quality_u;
    if (ledger->names_wanted)
        str_copy(str_from(project.name), extra->project, sizeof(extra->project));
    return 0;
}

static int
key_extra(struct ledger *ledger, struct db_txn *txn, uint32_t idx, const struct entity_key *key)
{
    bool none = key->allow.model_count == 0 && key->cidr_count == 0 && !ledger->names_wanted &&
                !project_counts(ledger, key);
    const struct key_slot *slot = key_at(ledger->region, idx);
    const struct key_extra *now;
    struct key_extra extra;
    int rc;

    if (none && atomic_load_explicit(&slot->extra_idx, memory_order_relaxed) == 0)
        return 0;
    memset(&extra, 0, sizeof(extra));
    rc = key_project(ledger, txn, key, &extra);
    if (rc < 0)
        return rc;
    if (key->allow.model_count == 0 && key->cidr_count == 0 && extra.has_weights == 0 &&
        extra.name[0] == '\0' && extra.project[0] == '\0')
        return key_extra_set(ledger->region, idx, NULL);
    extra.model_count = (uint16_t)key->allow.model_count;
    memcpy(extra.models, key->allow.models, sizeof(extra.models));
    for (uint32_t i = 0; i < key->cidr_count; i++)
        if (!cidr_parse(str_from(key->cidrs[i]), &extra.cidr[extra.cidr_count++]))
            return -EILSEQ;
    now = key_extra_at(ledger->region, atomic_load_explicit(&slot->extra_idx, memory_order_relaxed));
    if (now != NULL && memcmp(now, &extra, sizeof(extra)) == 0)
        return 0;
    return key_extra_set(ledger->region, idx, &extra);
}

static void
key_flag(struct key_slot *slot, enum key_flag flag, bool set)
{
    if (set)
        atomic_fetch_or_explicit(&slot->flags, (uint32_t)flag, memory_order_release);
    else
        atomic_fetch_and_explicit(&slot->flags, ~(uint32_t)flag, memory_order_release);
}

static int
key_limits(struct ledger *ledger, struct db_txn *txn, uint32_t idx, const struct entity_key *key)
{
    struct key_slot *slot = key_at(ledger->region, idx);
    struct key_chain chain;
    int rc = key_chain(ledger, txn, key, &chain);

    ASSERT(slot != NULL);
    if (rc == 0)
        rc = key_extra(ledger, txn, idx, key);
    if (rc == 0)
        rc = quota_channels(ledger, &key->allow, slot->channel);
    if (rc < 0)
        return rc;
    atomic_store_explicit(&slot->member_id, key->member_id, memory_order_relaxed);
    atomic_store_explicit(&slot->project_id, key->project_id, memory_order_relaxed);
    atomic_store_explicit(&slot->rpm, key->limits.rpm, memory_order_relaxed);
    atomic_store_explicit(&slot->tpm, key->limits.tpm, memory_order_relaxed);
    atomic_store_explicit(&slot->concurrency, key->limits.concurrency, memory_order_relaxed);
    for (unsigned i = 0; i < 3; i++)
        atomic_store_explicit(&slot->budget_idx[i], chain.budget_idx[i], memory_order_relaxed);
    for (unsigned i = 0; i < 2; i++)
        atomic_store_explicit(&slot->quota_idx[i], chain.quota_idx[i], memory_order_relaxed);
    atomic_store_explicit(&slot->expires_wall_us, key->expires_us, memory_order_relaxed);
    key_flag(slot, KEY_NO_DEARER, key->no_dearer);
    key_flag(slot, KEY_SIBLING, key->sibling);
    key_flag(slot, KEY_NO_CALLS, (key->scopes & SCOPE_INFERENCE) == 0);
    for (unsigned i = 0; i < 3; i++)
        key_flag(slot, (enum key_flag)(1u << (KEY_SHADOW_SHIFT + i)), key->limits.shadow >> i & 1);
    key_flag(slot, KEY_DISABLED, key->disabled);
    return 0;
}

static int
key_new(struct ledger *ledger, const struct entity_key *key, const uint8_t hash[HASH_LEN],
        uint32_t *idx)
{
    uint32_t account_idx = id_map_get(&ledger->account_of_tenant, key->tenant_id);
    const struct account *account = account_at(ledger->region, account_idx);

    if (account == NULL) /* there was no room for it */
        return key->tenant_id <= ledger->tail.tenant_last ? -ENOSPC : -EILSEQ;

    struct key_new new = {
        .hash = hash,
        .key_id = key->id,
        .tenant_id = key->tenant_id,
        .member_id = key->member_id,
        .project_id = key->project_id,
        .account_idx = account_idx,
        .account_generation = atomic_load_explicit(&account->generation, memory_order_relaxed),
    };

    return key_add(ledger->region, &new, idx);
}

/*
 * Secrets. A key has the slot of its secret, and for a while after a rotation one more, of the secret
 * that was replaced: that one says which slot is the key's and until when (key_set_old()), so that
 * limits, counts and what a call may do are those of the one key, whatever it shows. The slot that was
 * the key's becomes the old one's without a moment in which neither works.
 */
static int
old_remove(struct ledger *ledger, uint32_t key_id)
{
    uint32_t idx = id_map_get(&ledger->key_old_of_id, key_id);
    int rc = idx == 0 ? 0 : key_remove(ledger->region, idx);

    return rc < 0 || idx == 0 ? rc : id_map_set(&ledger->key_old_of_id, key_id, 0);
}

static bool
has_hash(const struct ledger *ledger, uint32_t idx, const uint8_t hash[HASH_LEN])
{
    return idx != 0 && hash_eq(key_at(ledger->region, idx)->hash, hash);
}

/* The slot of the old secret, as the document has it: there, elsewhere, or over. */
static int
old_tell(struct ledger *ledger, const struct entity_key *key, uint32_t idx)
{
    uint32_t old = id_map_get(&ledger->key_old_of_id, key->id);
    bool wanted = key->old_until_us > ledger_wall_us(ledger);
    int rc = 0;

    if (!wanted && old == 0)
        return 0;
    if (wanted && has_hash(ledger, old, key->old_hash)) {
        key_set_old(ledger->region, old, idx, key->old_until_us);
        return 0;
    }
    rc = old_remove(ledger, key->id);
    if (rc < 0 || !wanted)
        return rc;
    rc = key_new(ledger, key, key->old_hash, &old);
    if (rc < 0)
        return rc;
    key_set_old(ledger->region, old, idx, key->old_until_us);
    rc = key_open(ledger->region, old);
    return rc < 0 ? rc : id_map_set(&ledger->key_old_of_id, key->id, old);
}

/* A new secret is a new slot. The old one stops to work first, better none than both, unless it is to
 * work on. */
static int
key_exchange(struct ledger *ledger, struct db_txn *txn, const struct entity_key *key)
{
    uint32_t was = id_map_get(&ledger->key_of_id, key->id), idx = 0;
    bool overlaps = key->old_until_us != 0 && has_hash(ledger, was, key->old_hash);
    int rc = overlaps ? old_remove(ledger, key->id) : 0;

    if (was != 0 && !overlaps)
        rc = key_remove(ledger->region, was);
    if (rc == 0)
        rc = id_map_set(&ledger->key_of_id, key->id, 0);
    if (rc == 0 && overlaps)
        rc = id_map_set(&ledger->key_old_of_id, key->id, was);
    if (rc == 0)
        rc = key_new(ledger, key, key->hash, &idx);
    if (rc == 0)
        rc = key_limits(ledger, txn, idx, key);
    if (rc == 0)
        rc = key_open(ledger->region, idx);
    return rc < 0 ? rc : id_map_set(&ledger->key_of_id, key->id, idx);
}

int
publish_key_as(struct ledger *ledger, struct db_txn *txn, const struct entity_key *key)
{
    uint32_t idx = id_map_get(&ledger->key_of_id, key->id);
    uint32_t old = id_map_get(&ledger->key_old_of_id, key->id);
    int rc = 0;

    if (key->deleted_us != 0)
        return publish_key_forget(ledger, key->id);
    /* Who died in a rotation left two, and did not say which is which. */
    if (!has_hash(ledger, idx, key->hash) && has_hash(ledger, old, key->hash)) {
        rc = id_map_set(&ledger->key_of_id, key->id, old);
        if (rc == 0)
            rc = id_map_set(&ledger->key_old_of_id, key->id, idx);
        key_set_old(ledger->region, old, 0, key->expires_us);
        idx = old;
    }
    if (rc == 0)
        rc = has_hash(ledger, idx, key->hash) ? key_limits(ledger, txn, idx, key)
                                              : key_exchange(ledger, txn, key);
    return rc < 0 ? rc : old_tell(ledger, key, id_map_get(&ledger->key_of_id, key->id));
}

int
publish_key(struct ledger *ledger, struct db_txn *txn, uint32_t key_id)
{
    struct entity_key key;
    int rc = entity_key_get(txn, key_id, &key);

    return rc < 0 ? rc : publish_key_as(ledger, txn, &key);
}

int
publish_key_forget(struct ledger *ledger, uint32_t key_id)
{
    uint32_t idx = id_map_get(&ledger->key_of_id, key_id);
    int rc = old_remove(ledger, key_id);

    if (rc == 0 && idx != 0)
        rc = key_remove(ledger->region, idx);
    return rc < 0 || idx == 0 ? rc : id_map_set(&ledger->key_of_id, key_id, 0);
}

int
publish_key_found(struct ledger *ledger, uint32_t idx)
{
    const struct key_slot *slot = key_at(ledger->region, idx);
    uint32_t had = id_map_get(&ledger->key_of_id, slot->key_id);
    int rc;

    if (atomic_load_explicit(&slot->old_of, memory_order_acquire) != 0)
        return id_map_set(&ledger->key_old_of_id, slot->key_id, idx);
    rc = had != 0 ? id_map_set(&ledger->key_old_of_id, slot->key_id, had) : 0;
    return rc < 0 ? rc : id_map_set(&ledger->key_of_id, slot->key_id, idx);
}

/* Each key of a tenant that memory has: told what changed for it. */
typedef int (*each_key_fn)(struct ledger *ledger, struct db_txn *txn, struct key_slot *slot,
                           const struct key_chain *chain);

static int
each_key(struct ledger *ledger, struct db_txn *txn, uint32_t tenant_id, each_key_fn each,
         const struct key_chain *chain)
{
    struct db_walk walk;
    struct str key, value;
    int rc = entity_children(txn, DB_KEY, tenant_id, &walk);

    if (rc < 0)
        return rc;
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        uint32_t id = db_u32(key, ENTITY_CHILD_ID_AT);
        uint32_t idx = id_map_get(&ledger->key_of_id, id);
        uint32_t old = id_map_get(&ledger->key_old_of_id, id); /* the secret that it replaced */

        if (idx != 0)
            rc = each(ledger, txn, key_at(ledger->region, idx), chain);
        if (rc == 0 && old != 0)
            rc = each(ledger, txn, key_at(ledger->region, old), chain);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

static int
each_of_member(struct ledger *ledger, struct db_txn *txn, struct key_slot *slot,
               const struct key_chain *chain)
{
    (void)ledger;
    (void)txn;
    if (slot->member_id != chain->member_id)
        return 0;
    atomic_store_explicit(&slot->budget_idx[1], chain->budget_idx[1], memory_order_relaxed);
    atomic_store_explicit(&slot->quota_idx[0], chain->quota_idx[0], memory_order_relaxed);
    return 0;
}

int
publish_member(struct ledger *ledger, struct db_txn *txn, uint32_t member_id)
{
    struct key_chain chain = {.member_id = member_id};
    struct entity_member member;
    uint32_t idx;
    int rc = entity_member_get(txn, member_id, &member);

    if (rc == 0)
        rc = quota_publish(ledger, &(struct quota_owner){BUDGET_MEMBER, member_id, &member.limits,
                                                         &member.allow, NULL}, &idx);
    if (rc == 0)
        rc = chain_member(ledger, txn, member_id, &chain);
    return rc < 0 ? rc : each_key(ledger, txn, member.tenant_id, each_of_member, &chain);
}

/* Also what its keys have of it in their extras: weights, its name. */
static int
each_of_project(struct ledger *ledger, struct db_txn *txn, struct key_slot *slot,
                const struct key_chain *chain)
{
    return slot->project_id == chain->project_id ? publish_key(ledger, txn, slot->key_id) : 0;
}

int
publish_project(struct ledger *ledger, struct db_txn *txn, uint32_t project_id)
{
    struct key_chain chain = {.project_id = project_id};
    struct entity_project project;
    uint32_t idx;
    int rc = entity_project_get(txn, project_id, &project);

    if (rc == 0)
        rc = quota_publish(ledger, &(struct quota_owner){BUDGET_PROJECT, project_id,
                                                         &project.limits, &project.allow, NULL}, &idx);
    return rc < 0 ? rc : each_key(ledger, txn, project.tenant_id, each_of_project, &chain);
}

int
publish_sweep_old(struct ledger *ledger)
{
    uint32_t last = ledger->key_old_of_id.cap, from = ledger->key_old_cursor;
    int64_t now_us = ledger_wall_us(ledger);
    int rc = 0;

    if (from >= last)
        from = 0;
    ledger->key_old_cursor = from + MIN(last - from, LEDGER_KEYS_SAMPLED);
    for (uint32_t id = MAX(from, 1u); rc == 0 && id < ledger->key_old_cursor; id++) {
        uint32_t idx = id_map_get(&ledger->key_old_of_id, id);

        if (idx != 0 && atomic_load_explicit(&key_at(ledger->region, idx)->expires_wall_us,
                                             memory_order_relaxed) <= now_us)
            rc = old_remove(ledger, id);
    }
    return rc;
}
