/*
 * The windows of budgets by the time zones of their tenants. Beside a budget stands what counts of its zone now
 * (shm/budget.h): the offset, the next change, the offset after it; brought up to date once that change is past, for
 * which there is half a year. Main thread.
 */
#ifndef LEDGER_WINDOWS_H
#define LEDGER_WINDOWS_H

#include "ledger/core.h"

/* The zone of the budget's tenant, to the budget. One that cannot be read counts as UTC, and is logged. */
int windows_set(struct ledger *ledger, struct db_txn *txn, struct budget *budget,
                const struct db_budget *def) MUST_CHECK;
/* All budgets of a tenant, after its zone changed. */
int windows_publish(struct ledger *ledger, struct db_txn *txn, uint32_t tenant_id) MUST_CHECK;
/* A number of budgets in turn: those whose change is past. */
int windows_refresh(struct ledger *ledger) MUST_CHECK;

#endif
