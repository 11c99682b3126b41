/* Transfers as they are kept, and how a wallet is shown: for the audit. Making transfers is a
 * command (ledger/credit.c). */
#ifndef LEDGER_CREDIT_H
#define LEDGER_CREDIT_H

#include "base/base.h"
#include "base/hash.h"
#include "ledger/db.h"

struct transfer { /* followed by text_len bytes of JSON and the hash */
    int64_t wall_us;
    int64_t amount_ucr; /* > 0, whichever way it went */
    uint32_t tenant_id;
    uint32_t kind; /* enum db_transfer_kind */
    uint32_t text_len;
    uint32_t pad;
};
_Static_assert(sizeof(struct transfer) == 32, "the store's form");

int transfer_read(struct str bytes, struct transfer *out, struct str *text) MUST_CHECK;
/* The hash of these bytes after a transfer with hash prev; -EILSEQ when it is not the one in them. */
int transfer_verify(struct str bytes, const uint8_t prev[HASH_LEN],
                    uint8_t hash[HASH_LEN]) MUST_CHECK;

struct command;
/* A tenant's sums, from the store and from memory; any thread. */
void credit_write(struct command *command, uint32_t tenant_id, const struct db_wallet *wallet);

#endif
