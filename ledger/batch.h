/*
 * What collecting (collect.c), committing (batch.c) and announcing (announce.c) share; the rest of them
 * is in ledger/core.h.
 */
#ifndef LEDGER_BATCH_H
#define LEDGER_BATCH_H

#include "ledger/core.h"

/* Takes the slot's words over into *item, checked. NULL, or what is wrong: static text. */
const char *ledger_slot_copy(struct ledger *ledger, const struct hold_view *view, uint32_t slot,
                             struct batch_item *item) MUST_CHECK;
void ledger_slot_forget(struct ledger *ledger, uint32_t table_idx, uint32_t slot); /* of the batch */
struct db_key ledger_open_hold_key(const struct ledger *ledger, const struct slot_ref *ref);
/* Tells the workers that wait for a commit: a bit a table. */
void ledger_wake_tables(struct ledger *ledger, uint64_t tables);

#endif
