/*
 * Quotas from the store into the region (shm/quota.h), and the counts of calls in flight, which are
 * corrected from the hold slots. For publish.c, recount.c and audit.c. Main thread.
 */
#ifndef LEDGER_QUOTA_H
#define LEDGER_QUOTA_H

#include "ledger/core.h"
#include "ledger/entity.h"

struct quota_owner {
    enum budget_kind kind; /* member, project or tenant */
    uint32_t id;
    const struct entity_limits *limits;
    const struct entity_allow *allow;
    const struct entity_deals *deals; /* of a tenant; else NULL */
};

/* Its slot's index, made when it limits anything; 0 when it does not. What the slot says is brought up
 * to date by the first alone. */
int quota_publish(struct ledger *ledger, const struct quota_owner *owner, uint32_t *idx) MUST_CHECK;
int quota_find(struct ledger *ledger, const struct quota_owner *owner, uint32_t *idx) MUST_CHECK;
/* At a start: whose the slots are that the region has; and what these say, from the store. */
int quota_find_published(struct ledger *ledger) MUST_CHECK;
int quota_publish_found(struct ledger *ledger, struct db_txn *txn) MUST_CHECK;

/* Name ids of channels, into a key's or a quota's slot. -ENOSPC. */
int quota_channels(struct ledger *ledger, const struct entity_allow *allow,
                   _Atomic uint16_t out[KEY_CHANNELS_MAX]) MUST_CHECK;

/* A call that died in its worker is not in flight any more: not its key's, nor any quota's. */
void quota_swept(struct ledger *ledger, const struct record *record);
/* Looks for counts that leaked, of some keys and some quotas; every ten seconds. */
int quota_sample(struct ledger *ledger) MUST_CHECK;

#endif
