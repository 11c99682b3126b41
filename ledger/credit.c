/*
 * Credit from the operator: grants and deductions.
 *
 * Each is a transfer between two accounts, so that all accounts sum to zero: a grant moves from the
 * source "grant", which goes below zero by it, to the tenant's wallet; a deduction moves back to the
 * source "deduct"; a call's charge moves from the wallet to the revenue (ledger/batch.c). The store comes
 * first, then memory, then the answer. All other movements: ledger/books.h.
 */
#include "ledger/command.h"
#include "ledger/core.h"
#include "ledger/credit.h"
#include "ledger/books.h"
#include "ledger/entity.h"
#include "ledger/grant.h"
#include "ledger/transfer.h"

#include "base/str.h"
#include "base/ucr.h"

#include <errno.h>
#include <string.h>

#define DAY_US INT64_C(86400000000)
#define GIFT_DAYS_MAX 3660u
#define REF_LEN_MAX 200
#define REASON_LEN_MAX 500

struct credit {
    uint32_t tenant_id;
    uint32_t days; /* of a gift: it expires so long after; 0: a plain grant, which does not */
    enum db_transfer_kind kind;
    int64_t amount_ucr; /* > 0 */
    struct str reason, ref;
};

/* The wallet and the other side of it. False: it would pass what an account may hold. */
static bool
move(struct db_wallet *wallet, struct db_tail *tail, const struct credit *credit)
{
    int64_t in_ucr = credit->kind == TRANSFER_DEDUCT ? -credit->amount_ucr : credit->amount_ucr;
    int64_t left_ucr;

    ASSERT(credit->amount_ucr > 0);
    if (!ucr_add(wallet->deposited_ucr, in_ucr, &wallet->deposited_ucr) ||
        !ucr_add(wallet->in_ucr[credit->kind], in_ucr, &wallet->in_ucr[credit->kind]) ||
        !ucr_sub(tail->source_ucr[credit->kind], in_ucr, &tail->source_ucr[credit->kind]) ||
        !ucr_sub(wallet->deposited_ucr, wallet->spent_ucr, &left_ucr))
        return false;
    return wallet->deposited_ucr <= ACCOUNT_UCR_MAX && wallet->deposited_ucr >= -ACCOUNT_UCR_MAX &&
           left_ucr >= -ACCOUNT_UCR_MAX;
}

static int
credit_apply(struct command *command, const struct credit *credit)
{
    struct db_key key = db_key_of_u32(credit->tenant_id);
    struct db_wallet wallet;
    int rc = db_get_fixed(&command->txn, DB_WALLET, &key, &wallet, sizeof(wallet));

    if (rc < 0)
        return rc;
    if (!move(&wallet, &command->tail, credit)) {
        command_refuse(command, COMMAND_FAILED, "the balance would pass what an account can hold");
        return 0;
    }
    rc = db_put(&command->txn, DB_WALLET, &key, (struct str){(const char *)&wallet, sizeof(wallet)});
    return rc < 0 ? rc
                  : transfer_put(command, &(struct transfer_new){.tenant_id = credit->tenant_id,
                                                                 .kind = credit->kind,
                                                                 .amount_ucr = credit->amount_ucr,
                                                                 .reason = credit->reason,
                                                                 .ref = credit->ref});
}

int
command_grant(struct command *command, uint32_t tenant_id, int64_t amount_ucr, struct str reason)
{
    struct credit credit = {
        .tenant_id = tenant_id,
        .kind = TRANSFER_GRANT,
        .amount_ucr = amount_ucr,
        .reason = reason,
    };

    return credit_apply(command, &credit);
}

/* ---- grant and deduct ---- */

static int
credit_after(struct command *command)
{
    const struct credit *credit = command->state;
    uint32_t idx = id_map_get(&command->ledger->account_of_tenant, credit->tenant_id);
    const struct account *account = account_at(command->ledger->region, idx);

    if (account != NULL)
        jw_key_ucr(&command->jw, "available", account_available_ucr(account));
    return 0;
}

/*
 * The same ref again. A ref names one transfer for ever: asked for with anything else in it, it is a
 * mistake that must not look like success.
 */
static int
ref_known(struct command *command, const struct credit *credit, uint64_t number)
{
    struct db_key key = db_key_of_u64(number);
    struct transfer_legs legs;
    struct transfer old = {0};
    struct str bytes, text;
    int rc = db_get(&command->txn, DB_TRANSFER, &key, &bytes);

    if (rc == 0)
        rc = transfer_read(bytes, &old, &legs, &text);
    if (rc < 0)
        return rc == -ENOENT ? -EILSEQ : rc;
    if (old.tenant_id != credit->tenant_id || old.kind != (uint32_t)credit->kind ||
        old.amount_ucr != credit->amount_ucr) {
        char amount[UCR_TEXT_LEN + 1];

        ucr_text(old.amount_ucr, amount);
        command_refuse(command, COMMAND_FAILED,
                       "ref \"%.*s\" is taken by another movement: %s %s, tenant %u",
                       (int)credit->ref.len, credit->ref.ptr, db_transfer_kind_name[old.kind],
                       amount, old.tenant_id);
        command_hint(command, "nothing was changed; a ref names one movement for ever");
        return 0;
    }
    jw_key_bool(&command->jw, "applied", false);
    jw_key_u64(&command->jw, "transfer", number);
    jw_key_cstr(&command->jw, "note", "this ref was applied before; nothing was changed");
    return 0;
}

/* Of a movement the audit log has what was deposited, and the movement. */
static void
credit_note(struct command *command, const struct credit *credit, int64_t before_ucr)
{
    int64_t in_ucr = credit->kind == TRANSFER_DEDUCT ? -credit->amount_ucr : credit->amount_ucr;
    struct jw *jw = command_before(command);

    jw_key_ucr(jw, "deposited", before_ucr);
    jw = command_after(command);
    jw_key_ucr(jw, "deposited", before_ucr + in_ucr);
    jw_key_u64(jw, "transfer", command->tail.transfer_count);
    jw_key_ucr(jw, "amount", credit->amount_ucr);
    jw_key_str(jw, "reason", credit->reason);
    jw_key_str(jw, "ref", credit->ref);
    command_target_name(command, str_from(command_tenant_name(command, credit->tenant_id)));
}

static int
deposited(struct command *command, uint32_t tenant_id, int64_t *ucr)
{
    struct db_key key = db_key_of_u32(tenant_id);
    struct db_wallet wallet;
    int rc = db_get_fixed(&command->txn, DB_WALLET, &key, &wallet, sizeof(wallet));

    *ucr = rc == 0 ? wallet.deposited_ucr : 0;
    return rc;
}

/* Credit that expires. */
static int
gift(struct command *command, const struct credit *credit)
{
    struct grant_new grant = {.tenant_id = credit->tenant_id,
                              .source = PROMOTION_GIFT,
                              .amount_ucr = credit->amount_ucr,
                              .expires_us = ledger_wall_us(command->ledger) + credit->days * DAY_US,
                              .reason = credit->reason,
                              .ref = credit->ref};
    uint64_t id = 0;
    int rc = grant_new(command, &grant, &id);

    if (rc == 0 && command->exit == COMMAND_DONE) {
        jw_key_u64(&command->jw, "grant", id);
        jw_key_time(&command->jw, "expires", grant.expires_us);
    }
    return rc;
}

static int
credit_new(struct command *command, const struct credit *credit)
{
    struct db_key key;
    int64_t before_ucr;
    int rc = deposited(command, credit->tenant_id, &before_ucr);

    if (rc == 0)
        rc = credit->kind == TRANSFER_GIFT ? gift(command, credit) : credit_apply(command, credit);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (credit->ref.len > 0) {
        struct db_key number = db_key_of_u64(command->tail.transfer_count);

        db_key_start(&key);
        if (!db_key_text(&key, credit->ref))
            return -EINVAL;
        rc = db_put_new(&command->txn, DB_REF, &key,
                        (struct str){(const char *)number.bytes, number.len});
        if (rc < 0)
            return rc;
    }
    command->changed = true;
    command_target(command, "tenant", credit->tenant_id, credit->tenant_id);
    credit_note(command, credit, before_ucr);
    if (credit->kind != TRANSFER_GIFT) /* which has told of itself */
        command_act(command, ACTION_CREDIT, credit->tenant_id,
                    credit->kind == TRANSFER_DEDUCT ? -credit->amount_ucr : credit->amount_ucr);
    jw_key_bool(&command->jw, "applied", true);
    jw_key_u64(&command->jw, "transfer", command->tail.transfer_count);
    return 0;
}

static bool
credit_args(struct command *command, struct credit *credit)
{
    if (!command_tenant(command, "tenant", true, &credit->tenant_id) ||
        !command_credits(command, "amount", true, &credit->amount_ucr) ||
        !command_str(command, "reason", false, &credit->reason) ||
        !command_str(command, "ref", false, &credit->ref) ||
        !command_u32(command, "days", &credit->days))
        return false;
    if (credit->days > GIFT_DAYS_MAX || (credit->days != 0 && credit->kind == TRANSFER_DEDUCT)) {
        command_refuse_field(command, COMMAND_USAGE, "out_of_range", "days",
                             "days: up to %u, of what is granted", GIFT_DAYS_MAX);
        return false;
    }
    if (credit->days != 0)
        credit->kind = TRANSFER_GIFT;
    if (credit->amount_ucr == 0)
        command_refuse(command, COMMAND_USAGE, "the amount must be more than 0");
    else if (credit->ref.ptr != NULL && !entity_text_ok(credit->ref, REF_LEN_MAX))
        /* Also when it is empty: whoever gave one relies on it. */
        command_refuse(command, COMMAND_USAGE, "ref: 1 to %d bytes, no control characters",
                       REF_LEN_MAX);
    else if (credit->reason.len > 0 && !entity_text_ok(credit->reason, REASON_LEN_MAX))
        command_refuse(command, COMMAND_USAGE, "reason: up to %d bytes, no control characters",
                       REASON_LEN_MAX);
    return command->exit == COMMAND_DONE;
}

static int
credit_run(struct command *command, enum db_transfer_kind kind)
{
    struct credit *credit = arena_zalloc(&command->arena, sizeof(*credit));
    struct db_key key;
    struct str value = STR_NONE;
    int rc = -ENOENT;

    if (credit == NULL)
        return -ENOMEM;
    credit->kind = kind;
    if (!credit_args(command, credit))
        return 0;
    command->state = credit;
    command->after = credit_after;
    jw_key_u64(&command->jw, "tenant", credit->tenant_id);
    jw_key_cstr(&command->jw, "name", command_tenant_name(command, credit->tenant_id));
    jw_key_cstr(&command->jw, "kind", db_transfer_kind_name[credit->kind]);
    jw_key_ucr(&command->jw, "amount", credit->amount_ucr);
    if (credit->ref.len > 0) {
        db_key_start(&key);
        if (!db_key_text(&key, credit->ref))
            return -EINVAL;
        rc = db_get(&command->txn, DB_REF, &key, &value);
        if (rc < 0 && rc != -ENOENT)
            return rc;
    }
    return rc == 0 ? ref_known(command, credit, db_u64(value, 0)) : credit_new(command, credit);
}

static int
credit_grant(struct command *command)
{
    return credit_run(command, TRANSFER_GRANT);
}

static int
credit_deduct(struct command *command)
{
    return credit_run(command, TRANSFER_DEDUCT);
}

/* ---- show ---- */

/*
 * On the main thread, between batches: then no charge is in the store whose unused part is still to be
 * returned, and what is neither available nor spent is held.
 */
void
credit_write(struct command *command, uint32_t tenant_id, const struct db_wallet *wallet)
{
    struct jw *jw = &command->jw;
    uint32_t idx = id_map_look(&command->ledger->account_of_tenant, tenant_id);
    const struct account *account = account_at(command->ledger->region, idx);
    int64_t left_ucr = wallet->deposited_ucr - wallet->spent_ucr;
    int64_t available_ucr = account != NULL ? account_available_ucr(account) : left_ucr;

    jw_key_u64(jw, "tenant", tenant_id);
    jw_key_cstr(jw, "name", command_tenant_name(command, tenant_id));
    jw_key_ucr(jw, "deposited", wallet->deposited_ucr);
    jw_key_ucr(jw, "available", available_ucr);
    jw_key_ucr(jw, "held", left_ucr - available_ucr);
    jw_key_ucr(jw, "spent", wallet->spent_ucr);
}

static void
source_write(struct jw *jw, unsigned kind, int64_t ucr)
{
    if (ucr == 0)
        return;
    jw_object(jw);
    jw_key_cstr(jw, "source", db_transfer_kind_name[kind]);
    jw_key_ucr(jw, "amount", ucr);
    jw_object_end(jw);
}

/* What came in, by the kind of movement; what was taken out again is negative. */
static int
sources_write(struct command *command, uint32_t tenant_id, const struct db_wallet *wallet)
{
    struct jw *jw = &command->jw;
    int rc = 0;

    jw_key(jw, "sources");
    jw_array(jw);
    for (unsigned kind = 0; rc == 0 && kind < TRANSFER_KIND_COUNT; kind++) {
        int64_t ucr = 0;

        if (kind < TRANSFER_PLAIN_COUNT)
            ucr = wallet->in_ucr[kind];
        else
            rc = book_balance(&command->txn, &(struct book){BOOK_IN, tenant_id, kind}, &ucr);
        source_write(jw, kind, ucr);
    }
    jw_array_end(jw);
    return rc;
}

static int
credit_show(struct command *command)
{
    struct jw *jw = &command->jw;
    struct db_wallet wallet;
    struct db_key key;
    uint32_t id;
    int rc;

    if (!command_tenant(command, "tenant", true, &id))
        return 0;
    key = db_key_of_u32(id);
    rc = db_get_fixed(&command->txn, DB_WALLET, &key, &wallet, sizeof(wallet));
    if (rc < 0)
        return rc;

    credit_write(command, id, &wallet);
    jw_key_ucr(jw, "uncollected", wallet.uncollected_ucr);
    jw_key_u64(jw, "calls", wallet.call_count);
    return sources_write(command, id, &wallet);
}

const struct command_def command_credit_defs[] = {
    {.name = "credit.grant", .kind = COMMAND_WRITE, .run = credit_grant},
    {.name = "credit.deduct", .kind = COMMAND_WRITE, .run = credit_deduct},
    {.name = "credit.show", .kind = COMMAND_MAIN, .run = credit_show},
    {.name = NULL},
};
