/*
 * What the ledger process does by itself once a second, as commands of its own: whether alerts are due, which grants have expired,
 * what of the outboxes is of no use any more, and how many failures to sign in the audit log has to tell of.
 */
#ifndef LEDGER_UPKEEP_H
#define LEDGER_UPKEEP_H

#include "base/base.h"

struct ledger;

struct upkeep { /* all zero at the start */
    uint64_t next_us, tidy_us; /* monotonic */
    uint32_t budgets, rules;   /* where the last look ended */
};
/* 0, or a negative errno: the store failed. */
int upkeep_turn(struct ledger *ledger, struct upkeep *upkeep, uint64_t now_us);

#endif
