/* How a wallet is shown. Granting and deducting are commands (ledger/credit.c). */
#ifndef LEDGER_CREDIT_H
#define LEDGER_CREDIT_H

#include "base/base.h"
#include "ledger/db.h"

struct command;
/* A tenant's sums, from the store and from memory; any thread. */
void credit_write(struct command *command, uint32_t tenant_id, const struct db_wallet *wallet);

#endif
