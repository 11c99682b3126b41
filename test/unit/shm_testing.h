/* What the tests of the shared region share: a small region in a directory of its own on
 * /dev/shm, gone again at the end. */
#ifndef TEST_UNIT_SHM_TESTING_H
#define TEST_UNIT_SHM_TESTING_H

#include "test/unit/testing.h"

#include "shm/account.h"
#include "shm/budget.h"
#include "shm/hold.h"
#include "shm/key.h"
#include "shm/layout.h"
#include "shm/region.h"
#include "shm/stats.h"

static const struct region_geometry small_geometry = {
    .account_max = 64,
    .budget_max = 64,
    .quota_max = 64,
    .key_max = 4096,
    .key_extra_max = 64,
    .name_max = 128,
    .health_max = 8,
    .idem_max = 64,
    .table_max = 4,
    .slot_max = 64,
};

#define SHM_TEST_DIR "/dev/shm/turnpike-test-XXXXXX"

struct shm_test {
    char dir[sizeof(SHM_TEST_DIR)];
    struct region *region;
};

static inline struct shm_test
shm_test_open(const struct region_geometry *geometry)
{
    struct shm_test t = {.dir = SHM_TEST_DIR};

    if (mkdtemp(t.dir) == NULL || region_create(t.dir, geometry, &t.region) != 0)
        abort();
    return t;
}

static inline void
shm_test_close(struct shm_test *t)
{
    region_detach(t->region);
    if (region_remove(t->dir) != 0 || rmdir(t->dir) != 0)
        abort();
}

/* An account with that much in it. */
static inline struct account *
test_account(struct region *region, int64_t available_ucr, uint32_t *idx)
{
    if (account_add(region, 7, idx) != 0)
        abort();
    account_publish(account_at(region, *idx), available_ucr);
    return account_at(region, *idx);
}

static inline struct budget *
test_budget(struct region *region, enum budget_kind kind, enum budget_period period,
            int64_t limit_ucr, uint32_t *idx)
{
    if (budget_add(region, kind, 1, period, limit_ucr, idx) != 0)
        abort();
    budget_publish(budget_at(region, *idx), 0, 0);
    return budget_at(region, *idx);
}

/* A table that a worker of this process owns. */
static inline void
test_table(struct region *region, uint32_t table_idx, struct hold_table *table)
{
    if (region_table_ensure(region, table_idx) != 0)
        abort();
    atomic_store_explicit(&region->header->table[table_idx].state, TABLE_LIVE,
                          memory_order_release);
    if (hold_table_open(region, table_idx, table) != 0)
        abort();
}

#endif
