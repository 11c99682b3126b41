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
#include "ledger/outline.h"
#include "ledger/publish.h"
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

/* One that was taken away refuses nothing: some are told of it only later. */
static int64_t
limit_of(const struct db_budget *def)
{
    return def->limit_ucr < 0 ? BUDGET_SPENT_MAX : def->limit_ucr;
}

/* How it counts. A rolling window that memory does not know is the one that the store knows last. */
static int
budget_define(struct ledger *ledger, struct db_txn *txn, struct budget *budget,
              const struct db_budget *def)
{
    budget_set(budget, limit_of(def), (def->flags & DB_BUDGET_SHADOW) != 0, def->length_s);
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
                        (enum budget_period)def.period, limit_of(&def), &idx);
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
int
publish_budget_index(struct ledger *ledger, struct db_txn *txn, uint64_t budget_id, uint32_t *idx)
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

static int
tenant_tell(struct ledger *ledger, struct db_txn *txn, const struct entity_tenant *tenant)
{
    uint32_t tenant_id = tenant->id, budget_idx, quota_idx;
    uint32_t idx = id_map_get(&ledger->account_of_tenant, tenant_id);
    struct account *account;
    int rc = publish_budget_index(ledger, txn, tenant->budget_id, &budget_idx);

    if (rc == 0)
        rc = quota_publish(ledger, &(struct quota_owner){BUDGET_TENANT, tenant_id, &tenant->limits,
                                                         &tenant->allow, &tenant->deals}, &quota_idx);
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
    atomic_store_explicit(&account->overdraft_ucr, MAX(tenant->overdraft_ucr, 0),
                          memory_order_relaxed);
    atomic_store_explicit(&account->budget_idx, budget_idx, memory_order_relaxed);
    atomic_store_explicit(&account->quota_idx, quota_idx, memory_order_relaxed);
    account_disable(account, tenant->disabled);
    return id_map_set(&ledger->tenant_of_account, idx, tenant_id);
}

int
publish_tenant(struct ledger *ledger, struct db_txn *txn, uint32_t tenant_id)
{
    struct entity_tenant tenant;
    int rc = entity_tenant_get(txn, tenant_id, &tenant);

    return rc < 0 ? rc : tenant_tell(ledger, txn, &tenant);
}

/* ---- all of it ---- */

/* Names are of use to rules that look at them, and of no other: a million keys' take much memory. */
static bool
rules_want_names(const struct conf *conf)
{
    for (size_t i = 0; conf != NULL && i < conf->rule_count; i++)
        if (conf->rules[i].projects.count > 0 || conf->rules[i].keys.count > 0)
            return true;
    return false;
}

/* What the region has already; of two slots with one id the later is the one in use. A key has two, while
 * the secret that a rotation replaced is still good. */
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
            rc = publish_key_found(ledger, i);
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
    struct entity_tenant plain = {.id = (uint32_t)id};

    return outline_set_has(&ledger->start->tenants, plain.id)
               ? publish_tenant(ledger, txn, plain.id)
               : tenant_tell(ledger, txn, &plain);
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

/* Those that memory has, but the store has not any more: deleted, and memory was not told. */
static int
forget_keys(struct ledger *ledger, uint32_t from, uint32_t to)
{
    int rc = 0;

    for (uint32_t id = from; rc == 0 && id < to; id++)
        if (id_map_get(&ledger->key_of_id, id) != 0 || id_map_get(&ledger->key_old_of_id, id) != 0)
            rc = publish_key_forget(ledger, id);
    return rc;
}

/*
 * Outlines that are read ahead. Their keys' places in memory are all over, so that each would wait for its lines:
 * these are called for while others are told.
 */
#define AHEAD 16u
struct ahead {
    struct {
        uint32_t id;
        struct str value;
    } of[AHEAD];
    uint32_t first, count;
    bool ended;
};

static void
ahead_fill(const struct ledger *ledger, struct db_walk *walk, struct ahead *ahead)
{
    struct str key, value;

    while (ahead->count < AHEAD && !ahead->ended) {
        uint32_t i = (ahead->first + ahead->count) % AHEAD;

        ahead->ended = !db_walk_next(walk, &key, &value);
        if (ahead->ended)
            return;
        ahead->of[i].id = db_u32(key, 1);
        ahead->of[i].value = value;
        ahead->count++;
        if (value.len == sizeof(struct outline_key))
            key_foresee_entry(ledger->region, (const uint8_t *)value.ptr + offsetof(struct outline_key, hash));
    }
}

/* Half the way: its line of the index is here, and says which slot is looked at; its own is known if it is there. */
static void
ahead_foresee(const struct ledger *ledger, const struct ahead *ahead)
{
    uint32_t i = (ahead->first + AHEAD / 2) % AHEAD;
    const struct key_slot *own;

    if (ahead->count <= AHEAD / 2)
        return;
    own = key_at(ledger->region, id_map_get(&ledger->key_of_id, ahead->of[i].id));
    if (own != NULL) {
        __builtin_prefetch(own->hash, 1);
        __builtin_prefetch(&own->rpm, 1);
    } else if (ahead->of[i].value.len == sizeof(struct outline_key)) {
        key_foresee_slot(ledger->region,
                         (const uint8_t *)ahead->of[i].value.ptr + offsetof(struct outline_key, hash));
    }
}

static bool
ahead_next(const struct ledger *ledger, struct db_walk *walk, struct ahead *ahead, uint32_t *id, struct str *value)
{
    ahead_fill(ledger, walk, ahead);
    if (ahead->count == 0)
        return false;
    ahead_foresee(ledger, ahead);
    *id = ahead->of[ahead->first].id;
    *value = ahead->of[ahead->first].value;
    ahead->first = (ahead->first + 1) % AHEAD;
    ahead->count--;
    return true;
}

static int
publish_keys(struct ledger *ledger, struct db_txn *txn)
{
    uint32_t next = 1, id;
    struct entity_key k = {0};
    struct ahead ahead = {0};
    struct db_walk walk;
    struct str value;
    int rc = outline_keys(txn, &walk);

    key_expect(ledger->region, ledger->tail.key_last);
    while (rc == 0 && ahead_next(ledger, &walk, &ahead, &id, &value)) {
        rc = forget_keys(ledger, next, id);
        next = id + 1;
        if (rc == 0)
            rc = !ledger->names_wanted && outline_read(value, id, &k)
                     ? publish_key_as(ledger, txn, &k)
                     : publish_key(ledger, txn, id);
        if (rc < 0)
            log_error("publish.failed", "table=%d id=%u rc=%d", (int)DB_KEY, id, rc);
        /* Memory is full: those that fit are served. */
        if (rc == -ENOSPC)
            rc = 0;
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc == 0 ? forget_keys(ledger, next, ledger->tail.key_last + 1) : rc;
}

static int
start_read(struct ledger *ledger, struct db_txn *txn, struct publish_start *start)
{
    int rc = outline_set_load(txn, DB_TENANT, ledger->tail.tenant_last, &start->tenants);

    if (rc == 0)
        rc = outline_set_load(txn, DB_MEMBER, ledger->tail.member_last, &start->members);
    if (rc == 0)
        rc = outline_set_load(txn, DB_PROJECT, ledger->tail.project_last, &start->projects);
    return rc;
}

static int
publish_with(struct ledger *ledger, struct db_txn *txn, struct publish_start *start)
{
    int rc = start_read(ledger, txn, start);

    ledger->start = start;
    if (rc == 0)
        rc = publish_table(ledger, txn, DB_BUDGET, one_budget);
    if (rc == 0)
        rc = publish_table(ledger, txn, DB_TENANT, one_tenant);
    if (rc == 0)
        rc = quota_publish_found(ledger, txn);
    if (rc == 0)
        rc = publish_keys(ledger, txn);
    ledger->start = NULL;
    outline_set_free(&start->tenants);
    outline_set_free(&start->members);
    outline_set_free(&start->projects);
    return rc;
}

int
publish_all(struct ledger *ledger)
{
    struct publish_start start = {0};
    struct db_txn txn;
    int rc = find_published(ledger);

    ledger->names_wanted = rules_want_names(ledger->conf);
    if (rc == 0)
        rc = db_read(ledger->db, &txn);
    if (rc < 0)
        return rc;
    rc = publish_with(ledger, &txn, &start);
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
    rc = publish_keys(ledger, &txn);
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

static int
key_has_lists(struct db_txn *txn, uint32_t id, bool *has)
{
    struct entity_project project = {0};
    struct entity_key key;
    int rc = entity_key_get(txn, id, &key);

    if (rc == 0 && key.project_id != 0)
        rc = entity_project_get(txn, key.project_id, &project);
    if (rc == 0)
        *has = key.deleted_us == 0 &&
               (key.allow.model_count > 0 || key.cidr_count > 0 || project.has_weights);
    return rc;
}

static int
has_lists(struct db_txn *txn, enum db_table table, uint32_t id, bool *has)
{
    union {
        struct entity_tenant tenant;
        struct entity_member member;
        struct entity_project project;
    } e;
    int rc = -ENOENT;

    *has = false;
    if (table == DB_KEY)
        rc = key_has_lists(txn, id, has);
    else if (table == DB_TENANT && (rc = entity_tenant_get(txn, id, &e.tenant)) == 0)
        *has = e.tenant.allow.model_count > 0 || e.tenant.deals.count > 0;
    else if (table == DB_MEMBER && (rc = entity_member_get(txn, id, &e.member)) == 0)
        *has = e.member.allow.model_count > 0;
    else if (table == DB_PROJECT && (rc = entity_project_get(txn, id, &e.project)) == 0)
        *has = e.project.allow.model_count > 0;
    return rc == -ENOENT ? 0 : rc; /* what is not there any more needs none */
}

int
publish_room_of_lists(struct ledger *ledger, struct db_txn *txn, enum db_table table, uint32_t id)
{
    int full = key_extra_room(ledger->region), rc;
    bool has;

    if (full == 0)
        return 0;
    rc = has_lists(txn, table, id, &has);
    return rc < 0 ? rc : has ? full : 0;
}
