#include "ledger/windows.h"

#include "base/log.h"
#include "base/str.h"
#include "ledger/entity.h"
#include "ledger/publish.h"
#include "ledger/zones.h"

#include <errno.h>

#define REFRESHED_AT_ONCE 65536u

static struct budget_zone
zone_now(const struct zone *zone, int64_t now_us)
{
    struct budget_zone out = {.change_us = INT64_MAX, .offset_s = zone_offset_s(zone, now_us)};
    struct zone_change next;

    out.after_s = out.offset_s;
    if (zone_next(zone, now_us, &next)) {
        out.change_us = next.from_s * 1000000;
        out.after_s = next.offset_s;
    }
    return out;
}

/* A start knows who has none: of these it reads no document. */
static int
tenant_zone(struct ledger *ledger, struct db_txn *txn, uint32_t tenant_id, char *name)
{
    name[0] = '\0';
    if (ledger->start != NULL && !outline_set_has(&ledger->start->tenants, tenant_id))
        return 0;
    return entity_tenant_zone(txn, tenant_id, name);
}

int
windows_set(struct ledger *ledger, struct db_txn *txn, struct budget *budget,
            const struct db_budget *def)
{
    char name[ZONE_NAME_LEN_MAX + 1];
    const struct zone *zone;
    struct budget_zone now;
    int rc;

    if (def->period == BUDGET_TOTAL || def->period == BUDGET_ROLLING)
        return 0;
    rc = tenant_zone(ledger, txn, def->tenant_id, name);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    rc = zones_find(str_from(name), &zone);
    if (rc == -ENOMEM)
        return rc;
    if (rc < 0) {
        log_error("zone.unknown", "tenant=%u zone=%s effect=%s", def->tenant_id,
                  log_quote(str_from(name)), "\"its budgets are by UTC\"");
        zone = &zone_utc;
    }
    now = zone_now(zone, ledger_wall_us(ledger));
    budget_set_zone(budget, &now);
    return 0;
}

/* One of a tenant's; what memory does not know it is told of later, with its zone. */
static int
publish_one(struct ledger *ledger, struct db_txn *txn, uint64_t budget_id)
{
    struct budget *budget = budget_at(ledger->region, id_map_get(&ledger->budget_of_id, (uint32_t)budget_id));
    struct db_budget def;
    int rc;

    if (budget_id == 0 || budget == NULL)
        return 0;
    rc = entity_budget_get(txn, budget_id, &def);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    return windows_set(ledger, txn, budget, &def);
}

static int
budget_of_child(struct db_txn *txn, enum db_table table, uint32_t id, uint64_t *budget_id)
{
    struct entity_member member;
    struct entity_project project;
    struct entity_key key;
    int rc;

    if (table == DB_MEMBER) {
        rc = entity_member_get(txn, id, &member);
        *budget_id = member.budget_id;
    } else if (table == DB_PROJECT) {
        rc = entity_project_get(txn, id, &project);
        *budget_id = project.budget_id;
    } else {
        rc = entity_key_get(txn, id, &key);
        *budget_id = key.budget_id;
    }
    return rc;
}

static int
publish_children(struct ledger *ledger, struct db_txn *txn, enum db_table table, uint32_t tenant_id)
{
    struct db_walk walk;
    struct str key, value;
    int rc = entity_children(txn, table, tenant_id, &walk);

    if (rc < 0)
        return rc;
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        uint64_t budget_id;

        rc = budget_of_child(txn, table, db_u32(key, ENTITY_CHILD_ID_AT), &budget_id);
        if (rc == 0)
            rc = publish_one(ledger, txn, budget_id);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

/* By what the tenant has: a look at every budget that there is would take the longer the more others have. */
int
windows_publish(struct ledger *ledger, struct db_txn *txn, uint32_t tenant_id)
{
    static const enum db_table tables[] = {DB_MEMBER, DB_PROJECT, DB_KEY};
    struct entity_tenant tenant;
    int rc = entity_tenant_get(txn, tenant_id, &tenant);

    if (rc == 0)
        rc = publish_one(ledger, txn, tenant.budget_id);
    for (size_t i = 0; rc == 0 && i < COUNT_OF(tables); i++)
        rc = publish_children(ledger, txn, tables[i], tenant_id);
    return rc;
}

int
windows_refresh(struct ledger *ledger)
{
    uint32_t count = ledger_budget_count(ledger);
    int64_t now_us = ledger_wall_us(ledger);
    struct db_txn txn;
    int rc = count > 0 ? db_read(ledger->db, &txn) : 0;

    if (rc < 0 || count == 0)
        return rc;
    if (ledger->zone_cursor > count)
        ledger->zone_cursor = 1;
    for (uint32_t n = 0; rc == 0 && n < REFRESHED_AT_ONCE && ledger->zone_cursor <= count; n++) {
        struct budget *budget = budget_at(ledger->region, ledger->zone_cursor);

        if (atomic_load_explicit(&budget->change_us, memory_order_relaxed) <= now_us)
            rc = publish_one(ledger, &txn, id_map_get(&ledger->id_of_budget, ledger->zone_cursor));
        ledger->zone_cursor++;
    }
    db_end(&txn);
    return rc;
}
