#include "ledger/grant.h"

#include "ledger/command.h"
#include "ledger/core.h"

#include <errno.h>

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
    key = order_key(grant->tenant_id, grant->expires_us, next);
    return db_put_new(&command->txn, DB_GRANT_OF, &key, STR_NONE);
}
