/*
 * From the store into the region: accounts, budgets, keys. Every step can be done again: what is there
 * already is brought up to date, what is missing is added. What the region has and the store
 * has not (a slot made for a transaction that never came) stays closed, or is taken by the id's next
 * owner.
 */
#include "ledger/core.h"

#include "base/log.h"
#include "base/str.h"
#include "ledger/entity.h"
#include "ledger/quota.h"
#include "ledger/windows.h"
#include "shm/names.h"

#include <errno.h>
#include <string.h>

static void
account_disable(struct account *account, bool disabled)
{
    if (disabled)
        atomic_fetch_or_explicit(&account->flags, ACCOUNT_DISABLED, memory_order_release);
    else
        atomic_fetch_and_explicit(&account->flags, ~(uint32_t)ACCOUNT_DISABLED,
                                  memory_order_release);
}

/* How it counts. A rolling window that memory does not know is the one that the store knows last. */
static int
budget_define(struct ledger *ledger, struct db_txn *txn, struct budget *budget,
              const struct db_budget *def)
{
    budget_set(budget, MAX(def->limit_ucr, 0), (def->flags & DB_BUDGET_SHADOW) != 0, def->length_s);
    if (def->period != BUDGET_ROLLING)
        return windows_set(ledger, txn, budget, def);
    if (atomic_load_explicit(&budget->edge, memory_order_relaxed) == 0) {
        struct db_budget_open open;
        int rc = entity_budget_open(txn, budget->id, &open);

        if (rc < 0)
            return rc;
        budget_set_edge(budget, open.window, open.ends_us);
    }
    return 0;
}

int
publish_budget(struct ledger *ledger, struct db_txn *txn, uint64_t budget_id)
{
    uint32_t idx = id_map_get(&ledger->budget_of_id, (uint32_t)budget_id);
    struct db_budget def;
    struct budget *budget;
    int rc = entity_budget_get(txn, budget_id, &def);

    if (rc < 0)
        return rc;
    if (def.kind >= BUDGET_KIND_COUNT || def.period >= BUDGET_PERIOD_COUNT)
        return -EILSEQ;
    if (idx == 0) {
        rc = budget_add(ledger->region, (enum budget_kind)def.kind, budget_id,
                        (enum budget_period)def.period, MAX(def.limit_ucr, 0), &idx);
        if (rc == 0)
            rc = budget_define(ledger, txn, budget_at(ledger->region, idx), &def);
        if (rc == 0)
            rc = id_map_set(&ledger->budget_of_id, (uint32_t)budget_id, idx);
        if (rc == 0)
            rc = id_map_set(&ledger->id_of_budget, idx, (uint32_t)budget_id);
        return rc < 0 ? rc : recount_budget(ledger, idx);
    }
    budget = budget_at(ledger->region, idx);
    ASSERT(budget != NULL && budget->id == budget_id);
    rc = id_map_set(&ledger->id_of_budget, idx, (uint32_t)budget_id);
    if (rc == 0)
        rc = budget_define(ledger, txn, budget, &def);
    if (rc < 0 || atomic_load_explicit(&budget->period, memory_order_relaxed) == def.period)
        return rc;
    atomic_store_explicit(&budget->period, (uint16_t)def.period, memory_order_relaxed);
    return recount_budget(ledger, idx);
}

/* The region's index of a budget, 0 for none or for one that limits no more. */
static int
budget_index(struct ledger *ledger, struct db_txn *txn, uint64_t budget_id, uint32_t *idx)
{
    struct db_budget def;
    int rc;

    *idx = 0;
    if (budget_id == 0)
        return 0;
    rc = entity_budget_get(txn, budget_id, &def);
    if (rc < 0 || def.limit_ucr < 0)
        return rc;
    if (id_map_get(&ledger->budget_of_id, (uint32_t)budget_id) == 0)
        rc = publish_budget(ledger, txn, budget_id);
    *idx = id_map_get(&ledger->budget_of_id, (uint32_t)budget_id);
    return rc;
}

int
publish_tenant(struct ledger *ledger, struct db_txn *txn, uint32_t tenant_id)
{
    uint32_t idx = id_map_get(&ledger->account_of_tenant, tenant_id), budget_idx;
    uint32_t quota_idx;
    struct entity_tenant tenant;
    struct account *account;
    int rc = entity_tenant_get(txn, tenant_id, &tenant);

    if (rc == 0)
        rc = budget_index(ledger, txn, tenant.budget_id, &budget_idx);
    if (rc == 0)
        rc = quota_publish(ledger, &(struct quota_owner){BUDGET_TENANT, tenant_id, &tenant.limits,
                                                         &tenant.allow}, &quota_idx);
    if (rc < 0)
        return rc;
    if (idx == 0) {
        rc = account_add(ledger->region, tenant_id, &idx);
        if (rc == 0)
            rc = id_map_set(&ledger->account_of_tenant, tenant_id, idx);
        if (rc == 0)
            rc = recount_account(ledger, idx);
        if (rc < 0)
            return rc;
    }
    account = account_at(ledger->region, idx);
    ASSERT(account != NULL);
    ASSERT(account->tenant_id == tenant_id);
    atomic_store_explicit(&account->overdraft_ucr, MAX(tenant.overdraft_ucr, 0),
                          memory_order_relaxed);
    atomic_store_explicit(&account->budget_idx, budget_idx, memory_order_relaxed);
    atomic_store_explicit(&account->quota_idx, quota_idx, memory_order_relaxed);
    account_disable(account, tenant.disabled);
    return id_map_set(&ledger->tenant_of_account, idx, tenant_id);
}

/* ---- keys ---- */

/* What comes from its member and its project: budgets and quotas. */
struct key_chain {
    uint32_t budget_idx[3], quota_idx[2];
    uint32_t member_id, project_id; /* whose keys are told */
};

static int
chain_member(struct ledger *ledger, struct db_txn *txn, uint32_t member_id, struct key_chain *chain)
{
    struct entity_member member;
    int rc = entity_member_get(txn, member_id, &member);

    if (rc == 0)
        rc = budget_index(ledger, txn, member.budget_id, &chain->budget_idx[1]);
    if (rc == 0)
        rc = quota_find(ledger, &(struct quota_owner){BUDGET_MEMBER, member_id, &member.limits,
                                                      &member.allow}, &chain->quota_idx[0]);
    return rc;
}

static int
chain_project(struct ledger *ledger, struct db_txn *txn, uint32_t project_id,
              struct key_chain *chain)
{
    struct entity_project project;
    int rc = entity_project_get(txn, project_id, &project);

    if (rc == 0)
        rc = budget_index(ledger, txn, project.budget_id, &chain->budget_idx[2]);
    if (rc == 0)
        rc = quota_find(ledger, &(struct quota_owner){BUDGET_PROJECT, project_id, &project.limits,
                                                      &project.allow}, &chain->quota_idx[1]);
    return rc;
}

static int
key_chain(struct ledger *ledger, struct db_txn *txn, const struct entity_key *key,
          struct key_chain *chain)
{
    int rc;

    memset(chain, 0, sizeof(*chain));
    rc = budget_index(ledger, txn, key->budget_id, &chain->budget_idx[0]);
    if (rc == 0 && key->member_id != 0)
        rc = chain_member(ledger, txn, key->member_id, chain);
    if (rc == 0 && key->project_id != 0)
        rc = chain_project(ledger, txn, key->project_id, chain);
    return rc;
}

/* Names are of use to rules that look at them, and of no other: a million keys' take much memory. */
static bool
rules_want_names(const struct conf *conf)
{
    for (size_t i = 0; conf != NULL && i < conf->rule_count; i++)
        if (conf->rules[i].projects.count > 0 || conf->rules[i].keys.count > 0)
            return true;
    return false;
}

static int
key_project(const struct ledger *ledger, struct db_txn *txn, const struct entity_key *key,
            struct key_extra *extra)
{
    struct entity_project project = {0};
    int rc = key->project_id == 0 ? 0 : entity_project_get(txn, key->project_id, &project);

    if (rc < 0)
        return rc;
    extra->has_weights = project.has_weights;
    extra->latency_u = project.latency_u;
    extra->cost_u = project.cost_u;
    extra->quality_u = project.quality_u;
    if (ledger->names_wanted) {
        str_copy(str_from(key->name), extra->name, sizeof(extra->name));
        str_copy(str_from(project.name), extra->project, sizeof(extra->project));
    }
    return 0;
}

static int
key_extra(struct ledger *ledger, struct db_txn *txn, uint32_t idx, const struct entity_key *key)
{
    struct key_extra extra;
    int rc;

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
        if (!key_cidr_parse(str_from(key->cidrs[i]), &extra.cidr[extra.cidr_count++]))
            return -EILSEQ;
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
key_new(struct ledger *ledger, const struct entity_key *key, uint32_t *idx)
{
    uint32_t account_idx = id_map_get(&ledger->account_of_tenant, key->tenant_id);
    const struct account *account = account_at(ledger->region, account_idx);

    if (account == NULL)
        return -EILSEQ;

    struct key_new new = {
        .hash = key->hash,
        .key_id = key->id,
        .tenant_id = key->tenant_id,
        .member_id = key->member_id,
        .project_id = key->project_id,
        .account_idx = account_idx,
        .account_generation = atomic_load_explicit(&account->generation, memory_order_relaxed),
    };

    return key_add(ledger->region, &new, idx);
}

int
publish_key(struct ledger *ledger, struct db_txn *txn, uint32_t key_id)
{
    uint32_t old = id_map_get(&ledger->key_of_id, key_id), idx = old;
    struct entity_key key;
    int rc = entity_key_get(txn, key_id, &key);

    if (rc < 0)
        return rc;
    if (old != 0 && hash_eq(key_at(ledger->region, old)->hash, key.hash))
        return key_limits(ledger, txn, old, &key);

    /* A new secret is a new slot. The old one stops to work first: better none than both. */
    if (old != 0)
        rc = key_remove(ledger->region, old);
    if (rc == 0)
        rc = id_map_set(&ledger->key_of_id, key_id, 0);
    if (rc == 0)
        rc = key_new(ledger, &key, &idx);
    if (rc == 0)
        rc = key_limits(ledger, txn, idx, &key);
    if (rc == 0)
        rc = key_open(ledger->region, idx);
    return rc < 0 ? rc : id_map_set(&ledger->key_of_id, key_id, idx);
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
        uint32_t idx =
            id_map_get(&ledger->key_of_id, db_u32(key, ENTITY_CHILD_ID_AT));

        if (idx != 0)
            rc = each(ledger, txn, key_at(ledger->region, idx), chain);
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
                                                         &member.allow}, &idx);
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
                                                         &project.limits, &project.allow}, &idx);
    return rc < 0 ? rc : each_key(ledger, txn, project.tenant_id, each_of_project, &chain);
}

/* ---- all of it ---- */

/* What the region has already; of two slots with one id the later is the one in use. */
static int
find_published(struct ledger *ledger)
{
    const struct region_header *header = ledger->region->header;
    uint32_t count = atomic_load_explicit(&header->account_count, memory_order_acquire);
    int rc = 0;

    for (uint32_t i = 1; rc == 0 && i <= count; i++) {
        uint32_t tenant_id = account_at(ledger->region, i)->tenant_id;

        if (tenant_id != 0 && tenant_id <= ledger->tail.tenant_last + 1)
            rc = id_map_set(&ledger->account_of_tenant, tenant_id, i);
    }
    count = atomic_load_explicit(&header->budget_count, memory_order_acquire);
    for (uint32_t i = 1; rc == 0 && i <= count; i++) {
        uint64_t id = budget_at(ledger->region, i)->id;

        if (id != 0 && id <= ledger->tail.budget_last + 1)
            rc = id_map_set(&ledger->budget_of_id, (uint32_t)id, i);
    }
    count = atomic_load_explicit(&header->key_count, memory_order_acquire);
    for (uint32_t i = 1; rc == 0 && i <= count; i++) {
        const struct key_slot *slot = key_at(ledger->region, i);

        if ((atomic_load_explicit(&slot->flags, memory_order_acquire) & KEY_OPEN) != 0 &&
            slot->key_id != 0 && slot->key_id <= ledger->tail.key_last)
            rc = id_map_set(&ledger->key_of_id, slot->key_id, i);
    }
    return rc == 0 ? quota_find_published(ledger) : rc;
}

typedef int (*publish_fn)(struct ledger *ledger, struct db_txn *txn, uint64_t id);

static int
one_budget(struct ledger *ledger, struct db_txn *txn, uint64_t id)
{
    return publish_budget(ledger, txn, id);
}

static int
one_tenant(struct ledger *ledger, struct db_txn *txn, uint64_t id)
{
    return publish_tenant(ledger, txn, (uint32_t)id);
}

static int
one_key(struct ledger *ledger, struct db_txn *txn, uint64_t id)
{
    return publish_key(ledger, txn, (uint32_t)id);
}

static int
publish_table(struct ledger *ledger, struct db_txn *txn, enum db_table table, publish_fn publish)
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    db_key_start(&from);
    rc = db_walk_start(txn, table, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        rc = publish(ledger, txn, key.len == 8 ? db_u64(key, 0) : db_u32(key, 0));
        if (rc < 0)
            log_error("publish.failed", "table=%d id=%llu rc=%d", (int)table,
                      (unsigned long long)(key.len == 8 ? db_u64(key, 0) : db_u32(key, 0)), rc);
        /* Memory is full: those that fit are served. */
        if (rc == -ENOSPC)
            rc = 0;
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

int
publish_all(struct ledger *ledger)
{
    struct db_txn txn;
    int rc = find_published(ledger);

    ledger->names_wanted = rules_want_names(ledger->conf);
    if (rc == 0)
        rc = db_read(ledger->db, &txn);
    if (rc < 0)
        return rc;
    rc = publish_table(ledger, &txn, DB_BUDGET, one_budget);
    if (rc == 0)
        rc = publish_table(ledger, &txn, DB_TENANT, one_tenant);
    if (rc == 0)
        rc = quota_publish_found(ledger, &txn);
    if (rc == 0)
        rc = publish_table(ledger, &txn, DB_KEY, one_key);
    db_end(&txn);
    return rc;
}

int
publish_names_for(struct ledger *ledger, const struct conf *conf)
{
    struct db_txn txn;
    int rc;

    if (ledger->names_wanted || !rules_want_names(conf))
        return 0;
    ledger->names_wanted = true;
    rc = db_read(ledger->db, &txn);
    if (rc < 0)
        return rc;
    rc = publish_table(ledger, &txn, DB_KEY, one_key);
    db_end(&txn);
    return rc;
}

int
publish_room(struct ledger *ledger)
{
    struct region *region = ledger->region;
    const struct region_header *header = region->header;
    uint64_t accounts = atomic_load_explicit(&header->account_count, memory_order_relaxed) + 1u;
    uint64_t budgets = atomic_load_explicit(&header->budget_count, memory_order_relaxed) + 1u;
    uint64_t quotas = atomic_load_explicit(&header->quota_count, memory_order_relaxed) + 1u;
    uint64_t keys = atomic_load_explicit(&header->key_count, memory_order_relaxed) + 1u;
    int rc = accounts < header->geometry.account_max && budgets < header->geometry.budget_max &&
                     quotas < header->geometry.quota_max && keys < header->geometry.key_max
                 ? 0
                 : -ENOSPC;

    if (rc == 0)
        rc = region_ensure(region, REGION_ACCOUNTS, (accounts + 1) * sizeof(struct account));
    if (rc == 0)
        rc = region_ensure(region, REGION_BUDGETS, (budgets + 1) * sizeof(struct budget));
    if (rc == 0)
        rc = region_ensure(region, REGION_QUOTAS, (quotas + 1) * sizeof(struct quota));
    if (rc == 0)
        rc = region_ensure(region, REGION_KEYS, (keys + 1) * sizeof(struct key_slot));
    return rc;
}
