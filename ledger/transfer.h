/*
 * Movements of credit as they are kept: the struct; for all kinds but the first two whose credit it was and
 * became; the text of reason, ref and asker as JSON; the hash of all of it with the hash of the movement before.
 */
#ifndef LEDGER_TRANSFER_H
#define LEDGER_TRANSFER_H

#include "base/base.h"
#include "base/hash.h"
#include "ledger/books.h"
#include "ledger/db.h"

struct transfer {
    int64_t wall_us;
    int64_t amount_ucr; /* > 0, whichever way it went */
    uint32_t tenant_id; /* whose wallet, grants or plan; never 0 */
    uint32_t kind;      /* enum db_transfer_kind */
    uint32_t text_len;
    uint32_t pad;
};
_Static_assert(sizeof(struct transfer) == 32, "the store's form");

struct transfer_leg { /* an account */
    uint32_t kind, tenant_id;
    uint64_t number;
};
struct transfer_legs { /* follow the struct where the kind is TRANSFER_PLAIN_COUNT or more */
    struct transfer_leg from, to;
};
_Static_assert(sizeof(struct transfer_legs) == 32, "the store's form");

/* legs: of a grant and deduction from and to the house, which is no account of the books (kind 0). */
int transfer_read(struct str bytes, struct transfer *out, struct transfer_legs *legs, struct str *text) MUST_CHECK;
/* The hash of these bytes after a transfer with hash prev; -EILSEQ when it is not the one in them. */
int transfer_verify(struct str bytes, const uint8_t prev[HASH_LEN],
                    uint8_t hash[HASH_LEN]) MUST_CHECK;
/* By how much the tenant's pool rose; negative: fell. */
int64_t transfer_in_ucr(const struct transfer *transfer, const struct transfer_legs *legs);

struct command;
struct transfer_new {
    uint32_t tenant_id;
    enum db_transfer_kind kind;
    int64_t amount_ucr;
    struct transfer_legs legs; /* of the plain kinds without meaning */
    struct str reason, ref;
};
/* Appends it in the transaction of a COMMAND_WRITE, and counts it in the sums. */
int transfer_put(struct command *command, const struct transfer_new *transfer) MUST_CHECK;

#endif
