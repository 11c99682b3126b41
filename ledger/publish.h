/* Between publish.c and publish_key.c. */
#ifndef LEDGER_PUBLISH_H
#define LEDGER_PUBLISH_H

#include "ledger/core.h"
#include "ledger/entity.h"
#include "ledger/outline.h"

/* What a start has read ahead of tenants, members and projects: of which there is more to know than that
 * they are there. */
struct publish_start {
    struct outline_set tenants, members, projects;
};

/* The region's index of a budget, 0 for none or for one that limits no more. */
int publish_budget_index(struct ledger *ledger, struct db_txn *txn, uint64_t budget_id,
                         uint32_t *idx) MUST_CHECK;
int publish_key_as(struct ledger *ledger, struct db_txn *txn, const struct entity_key *key) MUST_CHECK;
/* Its secrets stop to work. 0 also when memory has none. */
int publish_key_forget(struct ledger *ledger, uint32_t key_id) MUST_CHECK;
/* A slot of the region that is open, at a start: whose it is. */
int publish_key_found(struct ledger *ledger, uint32_t idx) MUST_CHECK;

#endif
