/*
 * Grants: credit that was given away, or bought under a condition, and may expire: bonuses of top-ups, trials, gifts,
 * codes, referrals. They are part of the tenant's pool; a charge that no plan covers takes from them before the
 * wallet: the soonest to expire first, one that never expires last, of two alike the older one.
 *
 * What is left of a grant whose time is over goes back when no call that began before holds it any more.
 */
#ifndef LEDGER_GRANT_H
#define LEDGER_GRANT_H

#include "ledger/books.h"

struct grant_new {
    uint32_t tenant_id;
    enum promotion source;
    int64_t amount_ucr;     /* > 0 */
    int64_t expires_us;     /* wall time; 0: never */
    struct str reason, ref; /* for people; "" */
    struct str once;        /* as in struct books_move */
};

struct db_grant {
    int64_t amount_ucr; /* as it was given; what is left is its balance */
    int64_t created_us;
    int64_t expires_us; /* 0: never */
    uint32_t tenant_id;
    uint32_t source; /* enum promotion */
};
_Static_assert(sizeof(struct db_grant) == 32, "the store's form");

/* As books_move(), of a new grant; *id is its number. */
int grant_new(struct command *command, const struct grant_new *grant, uint64_t *id) MUST_CHECK;

/* ---- commits ---- */

struct ledger;
struct block_record;

/*
 * A tenant's grants while a commit takes from them, in the order of their use. That there may be some the ledger
 * process knows by a mark in memory, so that a commit of a tenant without grants looks nowhere.
 */
#define GRANTS_OPEN_MAX 64u /* of more the last ones wait */
struct grants {
    uint32_t tenant_id;
    uint32_t count;
    struct grant_open {
        uint64_t id;
        int64_t expires_us; /* 0: never */
        int64_t left_ucr, was_ucr;
    } at[GRANTS_OPEN_MAX];
};

/* At a start: which tenants have some. */
int grants_find(struct ledger *ledger) MUST_CHECK;
/* None, without a look at the store, for a tenant that has none. */
int grants_load(struct ledger *ledger, struct db_txn *txn, uint32_t tenant_id, struct grants *grants) MUST_CHECK;
/* Takes for what of the record's charge nobody has paid yet, and says so in it. */
void grants_pay(struct grants *grants, struct block_record *record);
/* What was taken is taken from the balances. */
int grants_store(struct db_txn *txn, const struct grants *grants) MUST_CHECK;

#endif
