#include "ledger/grant.h"

#include "ledger/block.h"
#include "ledger/command.h"
#include "ledger/core.h"

#include <errno.h>
#include <string.h>

#define EXPIRE_AT_ONCE 100u /* an entry is an action in memory, of which a command has 256 */

static const enum db_transfer_kind kind_of[PROMOTION_COUNT] = {
    [PROMOTION_BONUS] = TRANSFER_BONUS,
    [PROMOTION_TRIAL] = TRANSFER_TRIAL,
    [PROMOTION_GIFT] = TRANSFER_GIFT,
    [PROMOTION_CODE] = TRANSFER_CODE,
    [PROMOTION_REFERRAL] = TRANSFER_REFERRAL,
};

/* In the order in which a tenant's grants are used. */
static struct db_key
order_key(uint32_t tenant_id, int64_t expires_us, uint64_t id)
{
    struct db_key key;

    db_key_start(&key);
    db_key_u32(&key, tenant_id);
    db_key_u64(&key, expires_us == 0 ? UINT64_MAX : (uint64_t)expires_us);
    db_key_u64(&key, id);
    return key;
}

static struct db_key
due_key(int64_t expires_us, uint64_t id)
{
    struct db_key key;

    db_key_start(&key);
    db_key_u64(&key, (uint64_t)expires_us);
    db_key_u64(&key, id);
    return key;
}

/* It has something left: it is looked for. */
static int
open_put(struct db_txn *txn, uint32_t tenant_id, int64_t expires_us, uint64_t id)
{
    struct db_key key = order_key(tenant_id, expires_us, id);
    int rc = db_put(txn, DB_GRANT_OF, &key, STR_NONE);

    if (rc < 0 || expires_us == 0)
        return rc;
    key = due_key(expires_us, id);
    return db_put(txn, DB_GRANT_DUE, &key, STR_NONE);
}

static int
open_delete(struct db_txn *txn, uint32_t tenant_id, int64_t expires_us, uint64_t id)
{
    struct db_key key = order_key(tenant_id, expires_us, id);
    int rc = db_delete(txn, DB_GRANT_OF, &key);

    if (rc < 0 || expires_us == 0)
        return rc == -ENOENT ? -EILSEQ : rc;
    key = due_key(expires_us, id);
    rc = db_delete(txn, DB_GRANT_DUE, &key);
    return rc == -ENOENT ? -EILSEQ : rc;
}

int
grant_new(struct command *command, const struct grant_new *grant, uint64_t *id)
{
    struct books_move move = {
        .from = {BOOK_PROMOTION, 0, (uint64_t)grant->source},
        .to = {BOOK_GRANT, grant->tenant_id, 0},
        .amount_ucr = grant->amount_ucr,
        .kind = kind_of[grant->source],
        .reason = grant->reason,
        .ref = grant->ref,
        .once = grant->once,
    };
    struct db_grant kept = {
        .amount_ucr = grant->amount_ucr,
        .created_us = ledger_wall_us(command->ledger),
        .expires_us = grant->expires_us,
        .tenant_id = grant->tenant_id,
        .source = (uint32_t)grant->source,
    };
    struct db_key key;
    uint32_t next;
    int rc;

    ASSERT(grant->source > 0 && grant->source < PROMOTION_COUNT && grant->expires_us >= 0);
    rc = command_next_id(command, DB_GRANT, &next);
    if (rc < 0)
        return rc;
    *id = move.to.number = next;
    rc = books_move(command, &move);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    key = db_key_of_u64(next);
    rc = db_put_new(&command->txn, DB_GRANT, &key, (struct str){(const char *)&kept, sizeof(kept)});
    if (rc < 0)
        return rc;
    rc = open_put(&command->txn, grant->tenant_id, grant->expires_us, next);
    /* A mark for nothing, should this transaction fail, is found out by the next commit. */
    return rc < 0 ? rc : id_map_set(&command->ledger->granted, grant->tenant_id, 1);
}

/* ---- commits ---- */

int
grants_find(struct ledger *ledger)
{
    struct db_txn txn;
    struct db_walk walk;
    struct db_key from;
    struct str key, value;
    int rc = db_read(ledger->db, &txn);

    if (rc < 0)
        return rc;
    db_key_start(&from);
    rc = db_walk_start(&txn, DB_GRANT_OF, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value))
        rc = id_map_set(&ledger->granted, db_u32(key, 0), 1);
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    db_end(&txn);
    return rc;
}

static int
load_one(struct db_txn *txn, struct str key, struct grants *grants)
{
    struct grant_open *open = &grants->at[grants->count];
    uint64_t expires = db_u64(key, 4);
    int rc;

    open->id = db_u64(key, 12);
    open->expires_us = expires == UINT64_MAX ? 0 : (int64_t)expires;
    rc = book_balance(txn, &(struct book){BOOK_GRANT, grants->tenant_id, open->id}, &open->left_ucr);
    if (rc == 0 && open->left_ucr <= 0)
        return -EILSEQ;
    open->was_ucr = open->left_ucr;
    grants->count++;
    return rc;
}

int
grants_load(struct ledger *ledger, struct db_txn *txn, uint32_t tenant_id, struct grants *grants)
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    grants->tenant_id = tenant_id;
    grants->count = 0;
    if (id_map_get(&ledger->granted, tenant_id) == 0)
        return 0;
    from = db_key_of_u32(tenant_id);
    rc = db_walk_start(txn, DB_GRANT_OF, &from, from.len, &walk);
    while (rc == 0 && grants->count < GRANTS_OPEN_MAX && db_walk_next(&walk, &key, &value))
        rc = key.len == 20 ? load_one(txn, key, grants) : -EILSEQ;
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc == 0 && grants->count == 0 ? id_map_set(&ledger->granted, tenant_id, 0) : rc;
}

void
grants_pay(struct grants *grants, struct block_record *record)
{
    int64_t rest_ucr = record->charge_ucr;

    for (uint32_t i = 0; i < record->paid_count; i++)
        rest_ucr -= record->paid[i].ucr;
    for (uint32_t i = 0; i < grants->count && rest_ucr > 0 && record->paid_count < BLOCK_PAID_MAX; i++) {
        struct grant_open *open = &grants->at[i];
        int64_t part_ucr = MIN(open->left_ucr, rest_ucr);

        if (part_ucr == 0)
            continue;
        open->left_ucr -= part_ucr;
        rest_ucr -= part_ucr;
        record->paid[record->paid_count++] = (struct block_paid){BOOK_GRANT, open->id, part_ucr};
    }
    ASSERT(rest_ucr >= 0);
}

int
grants_store(struct db_txn *txn, const struct grants *grants)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < grants->count; i++) {
        const struct grant_open *open = &grants->at[i];

        if (open->left_ucr == open->was_ucr)
            continue;
        rc = book_add(txn, &(struct book){BOOK_GRANT, grants->tenant_id, open->id},
                      open->left_ucr - open->was_ucr, NULL);
        if (rc == 0 && open->left_ucr == 0)
            rc = open_delete(txn, grants->tenant_id, open->expires_us, open->id);
    }
    return rc;
}

/* ---- expiry ---- */

/* What no hold needs: all of it when there are none. */
static int64_t
free_ucr(const struct command *command, uint32_t tenant_id, int64_t left_ucr, int64_t pool_ucr)
{
    int64_t available_ucr = books_available(command, tenant_id);

    if (available_ucr >= pool_ucr)
        return left_ucr;
    return MAX(MIN(left_ucr, available_ucr), 0);
}

static int
pool_ucr(struct db_txn *txn, uint32_t tenant_id, int64_t *ucr)
{
    struct db_key key = db_key_of_u32(tenant_id);
    struct db_wallet wallet;
    int rc = db_get_fixed(txn, DB_WALLET, &key, &wallet, sizeof(wallet));

    *ucr = rc == 0 ? wallet.deposited_ucr - wallet.spent_ucr : 0;
    return rc;
}

/* *over: nothing is left of it. */
static int
expire_one(struct command *command, uint64_t id, bool *over)
{
    struct db_key key = db_key_of_u64(id);
    struct db_grant grant;
    int64_t left_ucr, all_ucr, free;
    int rc = db_get_fixed(&command->txn, DB_GRANT, &key, &grant, sizeof(grant));
    struct books_move move = {.to = {BOOK_EXPIRED, 0, 0}, .kind = TRANSFER_EXPIRE};

    *over = false;
    if (rc < 0)
        return rc == -ENOENT ? -EILSEQ : rc;
    move.from = (struct book){BOOK_GRANT, grant.tenant_id, id};
    rc = book_balance(&command->txn, &move.from, &left_ucr);
    if (rc == 0)
        rc = pool_ucr(&command->txn, grant.tenant_id, &all_ucr);
    if (rc < 0)
        return rc;
    free = free_ucr(command, grant.tenant_id, left_ucr, all_ucr);
    *over = free == left_ucr;
    if (free == 0)
        return 0;
    move.amount_ucr = free;
    move.reason = str_from(promotion_name[grant.source % PROMOTION_COUNT]);
    rc = books_move(command, &move);
    if (rc == 0 && command->exit == COMMAND_DONE && *over)
        rc = open_delete(&command->txn, grant.tenant_id, grant.expires_us, id);
    return rc;
}

/* Some of those that are due, from where the last look ended; "more" when there may be others. */
static int
grant_expire(struct command *command)
{
    uint64_t ids[EXPIRE_AT_ONCE];
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    uint64_t now_us = (uint64_t)ledger_wall_us(command->ledger);
    unsigned count = 0, expired = 0;
    bool over;
    int rc;

    db_key_start(&from);
    rc = db_walk_start(&command->txn, DB_GRANT_DUE, &from, 0, &walk);
    while (rc == 0 && count < COUNT_OF(ids) && db_walk_next(&walk, &key, &value) && db_u64(key, 0) <= now_us)
        ids[count++] = db_u64(key, 8);
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    for (unsigned i = 0; rc == 0 && i < count && command->exit == COMMAND_DONE; i++) {
        rc = expire_one(command, ids[i], &over);
        expired += over;
    }
    jw_key_u64(&command->jw, "expired", expired);
    jw_key_bool(&command->jw, "more", count == COUNT_OF(ids) && expired > 0);
    return rc;
}

const struct command_def command_grant_defs[] = {
    {.name = "grant.expire", .kind = COMMAND_WRITE, .quiet = true, .run = grant_expire},
    {.name = NULL},
};
