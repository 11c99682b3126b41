/*
 * When a key was last used: written by the transaction that commits its calls, at most once a minute and key,
 * so that it costs nothing that could be seen.
 */
#ifndef LEDGER_USED_H
#define LEDGER_USED_H

#include "ledger/core.h"

/* A call of it began then. */
int used_note(struct ledger *ledger, struct db_txn *txn, uint32_t key_id, int64_t wall_us) MUST_CHECK;
/* *wall_us: 0 for never. */
int used_last(struct db_txn *txn, uint32_t key_id, int64_t *wall_us) MUST_CHECK;

#endif
