/*
 * The books: who owns which credit, in double entry.
 *
 * An account is a kind, a tenant (0: the house) and a number. A movement goes from one account to another, is
 * numbered, chained by its hash to the one before (ledger/transfer.h), says who caused it and why, and may have a
 * name that is used once for ever. All accounts sum to zero: those that credit comes from are below zero by what
 * came from them.
 *
 *     wallet      what a tenant paid for, and what the operator granted by hand; never expires
 *     grant       number: of ledger/grant.h. Part of the same pool as the wallet: workers know no difference. What of
 *                 the pool is whose is decided when charges are committed
 *     plan        number: a period of a subscription: what is left of its allowance
 *     clearing    number: name id of a provider: what it owes us, or has paid, is how far this is below zero
 *     promotion   number: enum promotion: what was given away
 *     plans       what plans gave as allowances
 *     sales       what plans were bought for out of wallets
 *     refund      number: name id of a provider: credit that went back against money
 *     expired     what nobody used in time
 *     write-off   what the operator gave up
 *
 * Wallet and grants are kept as one sum in struct db_wallet; what a grant has left, and all other accounts, in
 * DB_BOOK. Charges are no movements of their own: a commit adds what it took to the revenue. Where a plan pays
 * for a call, that much is put into the wallet, as it were, and spent there at once (kind "plan"): so what was spent
 * is what all records say, whoever paid.
 */
#ifndef LEDGER_BOOKS_H
#define LEDGER_BOOKS_H

#include "base/base.h"
#include "base/str.h"
#include "ledger/db.h"

enum book_kind { /* the store's form: only added to at the end */
    BOOK_WALLET = 1,
    BOOK_GRANT,
    BOOK_PLAN,
    BOOK_CLEARING,
    BOOK_PROMOTION,
    BOOK_PLANS,
    BOOK_SALES,
    BOOK_REFUND,
    BOOK_EXPIRED,
    BOOK_WRITE_OFF,
    BOOK_IN, /* no account, but a note: what came into a tenant's pool by a kind of movement, whose number this has */
    BOOK_KIND_COUNT
};
extern const char *const book_kind_name[BOOK_KIND_COUNT]; /* "wallet", …; [0] is "" */

enum promotion { PROMOTION_BONUS = 1, PROMOTION_TRIAL, PROMOTION_GIFT, PROMOTION_CODE, PROMOTION_REFERRAL, PROMOTION_COUNT };
extern const char *const promotion_name[PROMOTION_COUNT];

struct book {
    enum book_kind kind;
    uint32_t tenant_id; /* of wallet, grant and plan; else 0 */
    uint64_t number;
};

struct command;

struct books_move {
    struct book from, to;      /* not the same */
    int64_t amount_ucr;        /* > 0 */
    enum db_transfer_kind kind; /* what it is called in statements */
    struct str reason, ref;    /* for people; "" */
    struct str once;           /* "order:01J…:credit": used once for ever; "": no name */
};

#define BOOKS_ONCE_LEN_MAX 200

/*
 * In the transaction of a COMMAND_WRITE: both balances, the movement, and after the commit what workers may spend.
 * -EEXIST: `once` was used; nothing was changed, and books_once() says by which movement. A balance that would pass
 * what an account may hold refuses the command (0, command->exit is not COMMAND_DONE). An account that is taken
 * from may go below zero: whoever must not take more than there is asks before (book_balance(), or for wallet and
 * grants books_available()). Other errors mean that the store failed.
 */
int books_move(struct command *command, const struct books_move *move) MUST_CHECK;
/* The number of the movement that used that name. -ENOENT. */
int books_once(struct db_txn *txn, struct str once, uint64_t *transfer) MUST_CHECK;
/* 0 for one that nothing ever moved on. Of a wallet: without the tenant's grants. */
int book_balance(struct db_txn *txn, const struct book *book, int64_t *ucr) MUST_CHECK;
/* Main thread: what the tenant's pool has now that no call holds: of memory, where workers take it from. */
int64_t books_available(const struct command *command, uint32_t tenant_id);

/* For grants, plans and commits: adds to a balance that DB_BOOK has, without a movement. -EOVERFLOW. after: may be NULL. */
int book_add(struct db_txn *txn, const struct book *book, int64_t delta_ucr, int64_t *after_ucr) MUST_CHECK;
/* What all grants of a tenant have left. */
int book_grants(struct db_txn *txn, uint32_t tenant_id, int64_t *ucr) MUST_CHECK;
/* An entry of DB_BOOK. */
bool book_read(struct str key, struct str value, struct book *book, int64_t *ucr) MUST_CHECK;

/* Of a provider, by its name in routes.conf: the number of its clearing and refund accounts. */
int books_provider(struct command *command, struct str name, uint64_t *number) MUST_CHECK;

#endif
