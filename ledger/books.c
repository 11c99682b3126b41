#include "ledger/books.h"

#include "base/ucr.h"
#include "ledger/command.h"
#include "ledger/core.h"
#include "ledger/transfer.h"

#include <errno.h>
#include <string.h>

const char *const book_kind_name[] = {
    [0] = "",
    [BOOK_WALLET] = "wallet",
    [BOOK_GRANT] = "grant",
    [BOOK_PLAN] = "plan",
    [BOOK_CLEARING] = "clearing",
    [BOOK_PROMOTION] = "promotion",
    [BOOK_PLANS] = "plans",
    [BOOK_SALES] = "sales",
    [BOOK_REFUND] = "refund",
    [BOOK_EXPIRED] = "expired",
    [BOOK_WRITE_OFF] = "write-off",
    [BOOK_IN] = "in",
};
_Static_assert(COUNT_OF(book_kind_name) == BOOK_KIND_COUNT, "a new kind needs a name");

const char *const promotion_name[] = {
    [0] = "",
    [PROMOTION_BONUS] = "bonus",
    [PROMOTION_TRIAL] = "trial",
    [PROMOTION_GIFT] = "gift",
    [PROMOTION_CODE] = "code",
    [PROMOTION_REFERRAL] = "referral",
};
_Static_assert(COUNT_OF(promotion_name) == PROMOTION_COUNT, "a new promotion needs a name");

/* ---- balances ---- */

static struct db_key
book_key(const struct book *book)
{
    struct db_key key;

    db_key_start(&key);
    db_key_u8(&key, (uint8_t)book->kind);
    db_key_u32(&key, book->tenant_id);
    db_key_u64(&key, book->number);
    return key;
}

bool
book_read(struct str key, struct str value, struct book *book, int64_t *ucr)
{
    if (key.len != 13 || value.len != sizeof(*ucr))
        return false;
    *book = (struct book){.kind = (enum book_kind)(uint8_t)key.ptr[0], .tenant_id = db_u32(key, 1),
                          .number = db_u64(key, 5)};
    memcpy(ucr, value.ptr, sizeof(*ucr));
    return book->kind > BOOK_WALLET && book->kind < BOOK_KIND_COUNT;
}

static int
kept_balance(struct db_txn *txn, const struct book *book, int64_t *ucr)
{
    struct db_key key = book_key(book);
    int rc = db_get_fixed(txn, DB_BOOK, &key, ucr, sizeof(*ucr));

    if (rc < 0)
        *ucr = 0;
    return rc == -ENOENT ? 0 : rc;
}

int
book_add(struct db_txn *txn, const struct book *book, int64_t delta_ucr, int64_t *after_ucr)
{
    struct db_key key = book_key(book);
    int64_t ucr;
    int rc = kept_balance(txn, book, &ucr);

    if (rc < 0)
        return rc;
    if (!ucr_add(ucr, delta_ucr, &ucr))
        return -EOVERFLOW;
    if (after_ucr != NULL)
        *after_ucr = ucr;
    return db_put(txn, DB_BOOK, &key, (struct str){(const char *)&ucr, sizeof(ucr)});
}

static int
wallet_get(struct db_txn *txn, uint32_t tenant_id, struct db_wallet *wallet)
{
    struct db_key key = db_key_of_u32(tenant_id);

    return db_get_fixed(txn, DB_WALLET, &key, wallet, sizeof(*wallet));
}

int
book_grants(struct db_txn *txn, uint32_t tenant_id, int64_t *ucr)
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    *ucr = 0;
    db_key_start(&from);
    db_key_u8(&from, BOOK_GRANT);
    db_key_u32(&from, tenant_id);
    rc = db_walk_start(txn, DB_BOOK, &from, from.len, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        struct book book;
        int64_t one_ucr;

        if (!book_read(key, value, &book, &one_ucr) || !ucr_add(*ucr, one_ucr, ucr))
            rc = -EILSEQ;
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

int
book_balance(struct db_txn *txn, const struct book *book, int64_t *ucr)
{
    struct db_wallet wallet;
    int64_t grants_ucr;
    int rc;

    if (book->kind != BOOK_WALLET)
        return kept_balance(txn, book, ucr);
    *ucr = 0;
    rc = wallet_get(txn, book->tenant_id, &wallet);
    if (rc == 0)
        rc = book_grants(txn, book->tenant_id, &grants_ucr);
    if (rc == 0)
        *ucr = wallet.deposited_ucr - wallet.spent_ucr - grants_ucr;
    return rc;
}

int64_t
books_available(const struct command *command, uint32_t tenant_id)
{
    uint32_t idx = id_map_get(&command->ledger->account_of_tenant, tenant_id);
    const struct account *account = account_at(command->ledger->region, idx);

    return account != NULL ? account_available_ucr(account) : 0;
}

int
books_provider(struct command *command, struct str name, uint64_t *number)
{
    uint32_t id = 0;
    int rc = ledger_name_of(&command->txn, &command->tail, name, &id);

    *number = id;
    return rc;
}

/* ---- movements ---- */

static struct db_key
once_key(struct str once)
{
    struct db_key key;

    ASSERT(once.len > 0 && once.len <= BOOKS_ONCE_LEN_MAX);
    db_key_start(&key);
    if (!db_key_text(&key, once))
        ASSERT(false);
    return key;
}

int
books_once(struct db_txn *txn, struct str once, uint64_t *transfer)
{
    struct db_key key = once_key(once);
    struct str value;
    int rc = db_get(txn, DB_ONCE, &key, &value);

    if (rc == 0)
        *transfer = db_u64(value, 0);
    return rc;
}

static bool
is_pool(const struct book *book)
{
    return book->kind == BOOK_WALLET || book->kind == BOOK_GRANT;
}

static void
refuse_too_much(struct command *command)
{
    command_refuse(command, COMMAND_FAILED, "the balance would pass what an account can hold");
}

/* False: it would pass what a wallet may hold. */
static bool
pool_change(struct db_wallet *wallet, int64_t delta_ucr)
{
    int64_t left_ucr;

    return ucr_add(wallet->deposited_ucr, delta_ucr, &wallet->deposited_ucr) &&
           ucr_sub(wallet->deposited_ucr, wallet->spent_ucr, &left_ucr) &&
           wallet->deposited_ucr <= ACCOUNT_UCR_MAX && wallet->deposited_ucr >= -ACCOUNT_UCR_MAX &&
           left_ucr >= -ACCOUNT_UCR_MAX;
}

/* 0 with the command refused when it cannot be. */
static int
pool_move(struct command *command, uint32_t tenant_id, enum db_transfer_kind kind, int64_t delta_ucr)
{
    struct db_key key = db_key_of_u32(tenant_id);
    struct db_wallet wallet;
    int rc = wallet_get(&command->txn, tenant_id, &wallet);

    if (rc < 0)
        return rc == -ENOENT ? -EILSEQ : rc;
    if (!pool_change(&wallet, delta_ucr)) {
        refuse_too_much(command);
        return 0;
    }
    rc = db_put(&command->txn, DB_WALLET, &key, (struct str){(const char *)&wallet, sizeof(wallet)});
    if (rc == 0)
        rc = book_add(&command->txn, &(struct book){BOOK_IN, tenant_id, (uint64_t)kind}, delta_ucr, NULL);
    if (rc == 0)
        command_act(command, ACTION_CREDIT, tenant_id, delta_ucr);
    return rc;
}

/* One side of it. The pool's sum is the mover's affair. */
static int
leg_move(struct command *command, const struct book *book, int64_t delta_ucr)
{
    int64_t after_ucr;
    int rc;

    if (book->kind == BOOK_WALLET)
        return 0;
    rc = book_add(&command->txn, book, delta_ucr, &after_ucr);
    if (rc == -EOVERFLOW || (rc == 0 && (after_ucr > ACCOUNT_UCR_MAX || after_ucr < -ACCOUNT_UCR_MAX))) {
        refuse_too_much(command);
        return 0;
    }
    return rc;
}

static struct transfer_leg
leg_of(const struct book *book)
{
    return (struct transfer_leg){(uint32_t)book->kind, book->tenant_id, book->number};
}

static void
move_check(const struct books_move *move)
{
    const struct book *sides[] = {&move->from, &move->to};

    ASSERT(move->amount_ucr > 0);
    ASSERT(move->kind >= TRANSFER_PLAIN_COUNT && move->kind < TRANSFER_KIND_COUNT);
    ASSERT(move->kind != TRANSFER_PLAN);
    for (size_t i = 0; i < COUNT_OF(sides); i++) {
        bool has_tenant = is_pool(sides[i]) || sides[i]->kind == BOOK_PLAN;

        ASSERT(sides[i]->kind >= BOOK_WALLET && sides[i]->kind < BOOK_IN);
        ASSERT(has_tenant == (sides[i]->tenant_id != 0));
    }
    ASSERT(move->from.tenant_id != 0 || move->to.tenant_id != 0);
    ASSERT(move->from.tenant_id == 0 || move->to.tenant_id == 0 ||
           move->from.tenant_id == move->to.tenant_id);
}

static int
once_put(struct command *command, struct str once)
{
    struct db_key number = db_key_of_u64(command->tail.transfer_count);
    struct db_key key;

    if (once.len == 0)
        return 0;
    key = once_key(once);
    return db_put_new(&command->txn, DB_ONCE, &key, (struct str){(const char *)number.bytes, number.len});
}

int
books_move(struct command *command, const struct books_move *move)
{
    uint32_t tenant_id = move->to.tenant_id != 0 ? move->to.tenant_id : move->from.tenant_id;
    struct transfer_new transfer = {
        .tenant_id = tenant_id,
        .kind = move->kind,
        .amount_ucr = move->amount_ucr,
        .legs = {leg_of(&move->from), leg_of(&move->to)},
        .reason = move->reason,
        .ref = move->ref,
    };
    uint64_t known;
    int rc = 0;

    move_check(move);
    if (move->amount_ucr > ACCOUNT_UCR_MAX) {
        refuse_too_much(command);
        return 0;
    }
    if (move->once.len > 0) {
        rc = books_once(&command->txn, move->once, &known);
        if (rc != -ENOENT)
            return rc == 0 ? -EEXIST : rc;
        rc = 0;
    }
    if (is_pool(&move->from) != is_pool(&move->to))
        rc = pool_move(command, tenant_id, move->kind,
                       is_pool(&move->to) ? move->amount_ucr : -move->amount_ucr);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = leg_move(command, &move->from, -move->amount_ucr);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = leg_move(command, &move->to, move->amount_ucr);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    command->changed = true;
    rc = transfer_put(command, &transfer);
    return rc == 0 ? once_put(command, move->once) : rc;
}
