/*
 * Alerts: rules of a tenant about the shares of budgets and about a low balance. The ledger process looks every
 * second, a part of all at a time (alert.look, ledger/upkeep.c), at what workers count: the words in the region. What
 * it has to tell it tells by mail and to webhooks, queued in the transaction that notes that it was told.
 *
 *     id as u32                      -> JSON: a rule
 *     id as u32, budget as u64 (0: the balance) -> struct alert_told
 *
 * Once for a threshold and window: of a budget, the highest share that was reached and not told yet; again when a
 * new window opens, or its limit is another one, from what is reached then. A low balance is told once until it
 * has been a tenth above the threshold again. Holds count: what is admitted is as good as spent.
 */
#ifndef LEDGER_ALERT_H
#define LEDGER_ALERT_H

#include "base/base.h"
#include "ledger/command.h"
#include "ledger/entity.h"

#define ALERT_SHARES_MAX 8u
#define ALERT_SHARE_MIN 10u /* per cent: what is below need not be looked at */
#define ALERT_EMAILS_MAX 10u
#define ALERTS_MAX 50u /* of a tenant */

enum alert_kind { ALERT_BUDGET = 0, ALERT_BALANCE, ALERT_KIND_COUNT };
extern const char *const alert_kind_name[ALERT_KIND_COUNT];

struct alert {
    uint32_t id, tenant_id;
    enum alert_kind kind;
    char name[ENTITY_NAME_MAX + 1]; /* may be "" */
    /* Of budgets. */
    enum budget_kind level;
    uint32_t target_id; /* of the key, member or project; 0: each */
    uint32_t shares[ALERT_SHARES_MAX], share_count; /* per cent, rising */
    int64_t below_ucr; /* of a balance */
    char emails[ALERT_EMAILS_MAX][ENTITY_EMAIL_MAX + 1];
    uint32_t email_count; /* 0: to the tenant's owners and those who care for its money */
    bool no_mail, no_webhooks;
    bool disabled;
    int64_t created_us;
};

struct alert_told {
    uint32_t window, share; /* of a balance: 0, and 1 while it is low */
    int64_t limit_ucr;      /* that it was told of */
    int64_t wall_us;
};
_Static_assert(sizeof(struct alert_told) == 24, "the store's form");

int alert_get(struct db_txn *txn, uint32_t id, struct alert *out) MUST_CHECK; /* -ENOENT, -EILSEQ */
int alert_put(struct db_txn *txn, const struct alert *alert) MUST_CHECK;
int alert_told_get(struct db_txn *txn, uint32_t id, uint64_t budget_id,
                   struct alert_told *out) MUST_CHECK; /* zeros when nothing was */
int alert_told_put(struct db_txn *txn, uint32_t id, uint64_t budget_id,
                   const struct alert_told *told) MUST_CHECK;
/* The rule, and all that it has told. */
int alert_drop(struct db_txn *txn, const struct alert *alert) MUST_CHECK;

/*
 * Pure: the share to be told now, 0 none; *told is brought up to date, and is to be put when it differs from what
 * it was.
 */
uint32_t alert_share_due(const struct alert *alert, const struct budget_look *look,
                         struct alert_told *told);
bool alert_balance_due(const struct alert *alert, int64_t available_ucr, struct alert_told *told);

#endif
