#include "ledger/audit_sums.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/ucr.h"
#include "ledger/unpack.h"
#include "ledger/where.h"

/* What is in the store may be damaged: a sum that overflows is a wrong sum, and is said to be. */
static void
add(int64_t *sum_ucr, int64_t ucr)
{
    if (!ucr_add(*sum_ucr, ucr, sum_ucr))
        *sum_ucr = INT64_MIN;
}

/* ---- where blocks are ---- */

int
audit_sums_block(struct audit_sums *sums, struct db_txn *txn, uint64_t key, struct str bytes)
{
    struct unpacked unpacked = {0};
    uint64_t entries = 0;
    int rc = sums->complete ? unpack(&unpacked, bytes) : -ENOENT;

    if (rc < 0)
        return rc == -ENOMEM ? rc : 0; /* what is wrong with it is said elsewhere */
    rc = where_check(txn, unpacked.at, unpacked.count, key, &entries);
    if (rc == -ENOENT)
        audit_fault(sums->audit, "block is not found by its calls", key, 0, 0);
    sums->entries += entries;
    unpack_free(&unpacked);
    return rc == -ENOENT ? 0 : rc;
}

/* ---- hours and days ---- */

/* The rows of one hour or day of a tenant, by dimension. */
struct group {
    uint8_t period;
    uint32_t bucket, tenant_id;
    bool any;
    struct sum of[SUM_DIM_COUNT];
};

static struct audit_of_tenant *
of_tenant(struct audit_sums *sums, uint32_t id)
{
    if (id == UINT32_MAX)
        return NULL;
    if (id >= sums->tenant_cap) {
        uint32_t cap = (uint32_t)MIN(MAX((uint64_t)id + 1, (uint64_t)sums->tenant_cap * 2), UINT32_MAX);
        struct audit_of_tenant *tenants = realloc(sums->tenants, cap * sizeof(*tenants));

        if (tenants == NULL)
            return NULL;
        memset(tenants + sums->tenant_cap, 0, (cap - sums->tenant_cap) * sizeof(*tenants));
        sums->tenants = tenants;
        sums->tenant_cap = cap;
    }
    return &sums->tenants[id];
}

static bool
is_of(const struct group *group, enum sum_dim dim)
{
    switch (dim) {
    case SUM_ALL:
    case SUM_TRANSFER:
    case SUM_DIM_COUNT: return false;
    case SUM_KEY:
    case SUM_MEMBER:
    case SUM_PROJECT: return group->tenant_id != 0;
    case SUM_TENANT: return group->tenant_id == 0;
    case SUM_MODEL:
    case SUM_CHANNEL:
    case SUM_OUTCOME:
    case SUM_STATUS: return true;
    }
    return false;
}

static int
group_end(struct audit_sums *sums, const struct group *group)
{
    unsigned by = group->period == ROLLUP_DAY;
    const struct sum *all = &group->of[SUM_ALL];
    struct audit_of_tenant *tenant;

    if (!group->any)
        return 0;
    for (unsigned dim = 0; dim < SUM_DIM_COUNT; dim++)
        if (is_of(group, (enum sum_dim)dim) && memcmp(&group->of[dim], all, sizeof(*all)) != 0)
            audit_fault(sums->audit, "sum by dimension against all", group->tenant_id,
                        all->of.charge_ucr, group->of[dim].of.charge_ucr);
    tenant = of_tenant(sums, group->tenant_id);
    if (tenant == NULL)
        return -ENOMEM;
    add(&tenant->charge_ucr[by], all->of.charge_ucr);
    tenant->calls[by] += all->of.calls;
    return 0;
}

static int
group_add(struct audit_sums *sums, struct group *group, const struct sum_key *key,
          const struct sum *sum)
{
    struct audit_of_tenant *tenant;

    if (key->dim != SUM_TRANSFER) {
        group->any = true;
        sum_add(&group->of[key->dim], sum);
        return 0;
    }
    tenant = of_tenant(sums, key->tenant_id);
    if (tenant == NULL || key->value >= TRANSFER_KIND_COUNT)
        return tenant == NULL ? -ENOMEM : -EILSEQ;
    add(&tenant->in_ucr[key->period == ROLLUP_DAY][key->value], sum->of.charge_ucr);
    return 0;
}

int
audit_sums_read(struct audit_sums *sums, struct db_txn *txn)
{
    struct group group = {0};
    struct db_key from;
    struct db_walk walk;
    struct str key_bytes, value;
    int rc;

    if (!sums->complete)
        return 0;
    db_key_start(&from);
    rc = db_walk_start(txn, DB_SUM, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key_bytes, &value)) {
        struct sum sum = {0};
        struct sum_key key;
        struct sum_row row;

        if (!sum_key_read(key_bytes, &key) || !sum_row_read(value, &row)) {
            rc = -EILSEQ;
            break;
        }
        if (key.period != group.period || key.bucket != group.bucket ||
            key.tenant_id != group.tenant_id) {
            rc = group_end(sums, &group);
            group = (struct group){key.period, key.bucket, key.tenant_id, false, {{{0}, 0, 0, 0}}};
        }
        for (unsigned q = 0; q < SUM_QUARTERS; q++)
            sum_add(&sum, &row.part[q]);
        if (rc == 0)
            rc = group_add(sums, &group, &key, &sum);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    if (rc == 0)
        rc = group_end(sums, &group);
    if (rc == 0 && db_size(txn, DB_WHERE).entries != sums->entries)
        audit_fault(sums->audit, "entries of where calls are", 0, (int64_t)sums->entries,
                    (int64_t)db_size(txn, DB_WHERE).entries);
    return rc;
}

/* ---- against the books ---- */

static void
compare(struct audit_sums *sums, const char *what, uint32_t id, int64_t expected, int64_t found)
{
    if (expected != found)
        audit_fault(sums->audit, what, id, expected, found);
}

void
audit_sums_compare(struct audit_sums *sums, uint32_t id, const struct db_wallet *wallet,
                   const int64_t in_ucr[TRANSFER_KIND_COUNT])
{
    static const struct audit_of_tenant none;
    const struct audit_of_tenant *of = id < sums->tenant_cap ? &sums->tenants[id] : &none;

    if (!sums->complete)
        return;
    compare(sums, "spent against sums of hours", id, of->charge_ucr[0], wallet->spent_ucr);
    compare(sums, "spent against sums of days", id, of->charge_ucr[1], wallet->spent_ucr);
    compare(sums, "calls against sums of hours", id, (int64_t)of->calls[0],
            (int64_t)wallet->call_count);
    compare(sums, "calls against sums of days", id, (int64_t)of->calls[1],
            (int64_t)wallet->call_count);
    for (unsigned by = 0; by < 2; by++)
        for (unsigned kind = 0; kind < TRANSFER_KIND_COUNT; kind++)
            compare(sums, "source against sums of movements", id, of->in_ucr[by][kind],
                    in_ucr[kind]);
}

void
audit_sums_free(struct audit_sums *sums)
{
    free(sums->tenants);
}
