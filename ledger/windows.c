#include "ledger/windows.h"

#include "base/log.h"
#include "base/str.h"
#include "base/zone.h"
#include "ledger/entity.h"
#include "ledger/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REFRESHED_AT_ONCE 65536u

struct kept_zone {
    struct kept_zone *next;
    struct zone zone;
    char name[ZONE_NAME_LEN_MAX + 1];
    struct zone_change changes[];
};

struct windows {
    struct kept_zone *first;
};

void
windows_free(struct windows **windowsp)
{
    struct windows *windows = *windowsp;

    *windowsp = NULL;
    while (windows != NULL && windows->first != NULL) {
        struct kept_zone *kept = windows->first;

        windows->first = kept->next;
        free(kept);
    }
    free(windows);
}

static int
zone_keep(struct windows *windows, struct str name, const struct zone **out)
{
    struct zone_change changes[ZONE_CHANGES_MAX];
    struct kept_zone *kept;
    int count = zone_load(name, changes);

    if (count < 0)
        return count;
    kept = calloc(1, sizeof(*kept) + (size_t)count * sizeof(changes[0]));
    if (kept == NULL)
        return -ENOMEM;
    memcpy(kept->changes, changes, (size_t)count * sizeof(changes[0]));
    kept->zone = (struct zone){kept->changes, (size_t)count};
    str_copy(name, kept->name, sizeof(kept->name));
    kept->next = windows->first;
    windows->first = kept;
    *out = &kept->zone;
    return 0;
}

/* -EINVAL, -ENOENT as zone_load(); -ENOMEM. */
static int
zone_find(struct ledger *ledger, struct str name, const struct zone **out)
{
    *out = &zone_utc;
    if (name.len == 0)
        return 0;
    if (ledger->windows == NULL)
        ledger->windows = calloc(1, sizeof(*ledger->windows));
    if (ledger->windows == NULL)
        return -ENOMEM;
    for (struct kept_zone *kept = ledger->windows->first; kept != NULL; kept = kept->next)
        if (str_eq(str_from(kept->name), name)) {
            *out = &kept->zone;
            return 0;
        }
    return zone_keep(ledger->windows, name, out);
}

bool
windows_know(struct ledger *ledger, struct str name)
{
    const struct zone *zone;

    return zone_find(ledger, name, &zone) == 0;
}

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
    rc = zone_find(ledger, str_from(name), &zone);
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

/* NULL where it is none of the tenant's (0: anybody's), or memory has it for nobody. */
static struct budget *
budget_of(struct ledger *ledger, struct db_txn *txn, uint32_t idx, uint32_t tenant_id,
          struct db_budget *def)
{
    uint32_t id = id_map_get(&ledger->id_of_budget, idx);

    if (id == 0 || entity_budget_get(txn, id, def) < 0 ||
        (tenant_id != 0 && def->tenant_id != tenant_id))
        return NULL;
    return budget_at(ledger->region, idx);
}

int
windows_publish(struct ledger *ledger, struct db_txn *txn, uint32_t tenant_id)
{
    int rc = 0;

    for (uint32_t idx = 1; rc == 0 && idx <= ledger_budget_count(ledger); idx++) {
        struct db_budget def;
        struct budget *budget = budget_of(ledger, txn, idx, tenant_id, &def);

        if (budget != NULL)
            rc = windows_set(ledger, txn, budget, &def);
    }
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
        struct db_budget def;

        if (atomic_load_explicit(&budget->change_us, memory_order_relaxed) <= now_us &&
            budget_of(ledger, &txn, ledger->zone_cursor, 0, &def) != NULL)
            rc = windows_set(ledger, &txn, budget, &def);
        ledger->zone_cursor++;
    }
    db_end(&txn);
    return rc;
}
