/*
 * Looking whether an alert is due, a part of all at a time. Budgets are looked at where they lie in the region: that
 * is a few loads each, and only of those that are used enough the store is asked who has a rule for them. Balances
 * are looked at by the rules for them.
 */
#include "ledger/alert.h"

#include "base/log.h"
#include "base/str.h"
#include "base/ucr.h"
#include "ledger/core.h"
#include "ledger/mail.h"
#include "ledger/webhook.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BUDGETS_A_LOOK 20000u
#define ASKED_A_LOOK 500u
#define RULES_A_LOOK 500u
#define TOLD_A_LOOK 64u /* the rest comes at the next */
#define DATA_BYTES_MAX 8192u

struct look {
    struct command *command;
    struct alert *alert;
    unsigned told;
};

/* ---- telling ---- */

/* By the rule's own addresses, or to those of the tenant who care. */
static int
tell_by_mail(struct look *look, struct mail_new *mail)
{
    static const char *const roles[] = {"owner", "billing", NULL};
    const struct alert *alert = look->alert;
    int rc = 0;

    mail->tenant_id = alert->tenant_id;
    if (alert->no_mail)
        return 0;
    if (alert->email_count == 0)
        return mail_queue_roles(look->command, mail, roles);
    for (uint32_t i = 0; rc == 0 && i < alert->email_count; i++) {
        mail->to = str_from(alert->emails[i]);
        rc = mail_queue(look->command, mail);
    }
    return rc;
}

static int
tell_webhooks(struct look *look, enum webhook_event event, const struct buf *data)
{
    if (look->alert->no_webhooks)
        return 0;
    return data->failed ? -ENOMEM
                        : webhook_queue(look->command, look->alert->tenant_id, event, buf_str(data));
}

/* What people call the owner of a budget: its name, or that it is number so-and-so. */
static void
owner_name(struct command *command, const struct db_budget *budget, char *out, size_t cap)
{
    struct db_txn *txn = &command->txn;
    struct entity_key *key = arena_alloc(&command->arena, sizeof(*key));
    struct entity_member *member = arena_alloc(&command->arena, sizeof(*member));
    struct entity_project *project = arena_alloc(&command->arena, sizeof(*project));
    const char *name = "";

    if (key == NULL || member == NULL || project == NULL)
        return;
    switch ((enum budget_kind)budget->kind) {
    case BUDGET_KEY:
        if (entity_key_get(txn, budget->owner_id, key) == 0)
            name = key->name;
        break;
    case BUDGET_MEMBER:
        if (entity_member_get(txn, budget->owner_id, member) == 0)
            name = member->email;
        break;
    case BUDGET_PROJECT:
        if (entity_project_get(txn, budget->owner_id, project) == 0)
            name = project->name;
        break;
    case BUDGET_TENANT: name = command_tenant_name(command, budget->owner_id); break;
    case BUDGET_KIND_COUNT: break;
    }
    if (name[0] != '\0')
        snprintf(out, cap, "%s", name);
    else
        snprintf(out, cap, "%u", budget->owner_id);
}

static int
tell_budget(struct look *look, const struct db_budget *budget, const struct budget_look *now,
            uint32_t share)
{
    struct command *command = look->command;
    const char *level = budget_kind_name[look->alert->level], *window = budget_period_name[now->period];
    char name[ENTITY_EMAIL_MAX + 1] = "", spent[UCR_TEXT_LEN + 1], limit[UCR_TEXT_LEN + 1], part[12];
    struct str tenant = str_from(command_tenant_name(command, look->alert->tenant_id));
    struct buf data;
    struct jw jw;
    int rc;

    owner_name(command, budget, name, sizeof(name));
    (void)ucr_text(now->spent_ucr, spent);
    (void)ucr_text(now->limit_ucr, limit);
    snprintf(part, sizeof(part), "%u", share);

    struct mail_var vars[] = {
        {"tenant", tenant},          {"level", str_from(level)}, {"name", str_from(name)},
        {"share", str_from(part)},   {"spent", str_from(spent)}, {"limit", str_from(limit)},
        {"window", str_from(window)},
    };
    struct mail_new mail = {.kind = MAIL_ALERT_BUDGET, .vars = vars, .var_count = COUNT_OF(vars)};

    buf_init(&data, DATA_BYTES_MAX);
    jw_init(&jw, &data);
    jw_object(&jw);
    jw_key_u64(&jw, "alert", look->alert->id);
    jw_key_cstr(&jw, "level", level);
    jw_key_u64(&jw, "id", budget->owner_id);
    jw_key_cstr(&jw, "name", name);
    jw_key_u64(&jw, "share", share);
    jw_key_cstr(&jw, "spent", spent);
    jw_key_cstr(&jw, "limit", limit);
    jw_key_cstr(&jw, "window", window);
    jw_key_time(&jw, "window_ends", now->ends_us != INT64_MAX ? now->ends_us : 0);
    jw_object_end(&jw);
    rc = tell_webhooks(look, EVENT_ALERT_BUDGET, &data);
    buf_free(&data);
    log_info("alert.told", "alert=%u tenant=%u level=%s id=%u share=%u", look->alert->id,
             look->alert->tenant_id, level, budget->owner_id, share);
    return rc < 0 ? rc : tell_by_mail(look, &mail);
}

static int
tell_balance(struct look *look, int64_t available_ucr)
{
    char balance[UCR_TEXT_LEN + 1], below[UCR_TEXT_LEN + 1];
    struct buf data;
    struct jw jw;
    int rc;

    (void)ucr_text(available_ucr, balance);
    (void)ucr_text(look->alert->below_ucr, below);

    struct mail_var vars[] = {
        {"tenant", str_from(command_tenant_name(look->command, look->alert->tenant_id))},
        {"balance", str_from(balance)},
        {"threshold", str_from(below)},
    };
    struct mail_new mail = {.kind = MAIL_ALERT_BALANCE, .vars = vars, .var_count = COUNT_OF(vars)};

    buf_init(&data, DATA_BYTES_MAX);
    jw_init(&jw, &data);
    jw_object(&jw);
    jw_key_u64(&jw, "alert", look->alert->id);
    jw_key_cstr(&jw, "balance", balance);
    jw_key_cstr(&jw, "threshold", below);
    jw_object_end(&jw);
    rc = tell_webhooks(look, EVENT_ALERT_BALANCE, &data);
    buf_free(&data);
    log_info("alert.told", "alert=%u tenant=%u balance=%s", look->alert->id, look->alert->tenant_id,
             balance);
    return rc < 0 ? rc : tell_by_mail(look, &mail);
}

/* ---- budgets ---- */

static int
look_at_rule(struct look *look, uint32_t rule_id, uint64_t budget_id,
             const struct db_budget *budget, const struct budget_look *now)
{
    struct command *command = look->command;
    struct alert_told told, was;
    uint32_t share;
    int rc = alert_get(&command->txn, rule_id, look->alert);

    if (rc < 0)
        return rc;
    if (look->alert->kind != ALERT_BUDGET || look->alert->disabled ||
        (uint32_t)look->alert->level != budget->kind ||
        (look->alert->target_id != 0 && look->alert->target_id != budget->owner_id))
        return 0;
    rc = alert_told_get(&command->txn, rule_id, budget_id, &told);
    was = told;
    share = rc == 0 ? alert_share_due(look->alert, now, &told) : 0;
    if (rc < 0 || memcmp(&told, &was, sizeof(told)) == 0)
        return rc;
    told.wall_us = ledger_wall_us(command->ledger);
    command->changed = true;
    rc = alert_told_put(&command->txn, rule_id, budget_id, &told);
    if (rc < 0 || share == 0)
        return rc;
    look->told++;
    return tell_budget(look, budget, now, share);
}

static int
look_at_budget(struct look *look, uint64_t budget_id, const struct budget_look *now)
{
    struct command *command = look->command;
    struct db_budget budget;
    uint32_t ids[ALERTS_MAX], count = 0;
    struct db_walk walk;
    struct str key, value;
    int rc = entity_budget_get(&command->txn, budget_id, &budget);

    if (rc == 0)
        rc = entity_children(&command->txn, DB_ALERT, budget.tenant_id, &walk);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    while (count < ALERTS_MAX && db_walk_next(&walk, &key, &value))
        ids[count++] = db_u32(key, ENTITY_CHILD_ID_AT);
    rc = walk.failed;
    db_walk_end(&walk);
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = look_at_rule(look, ids[i], budget_id, &budget, now);
    return rc;
}

/* *from goes on where this ends; 0 after the last. */
static int
look_at_budgets(struct look *look, uint32_t *from)
{
    struct ledger *ledger = look->command->ledger;
    uint32_t count = ledger_budget_count(ledger), asked = 0, at = MAX(*from, 1u);
    uint32_t end = (uint32_t)MIN((uint64_t)at + BUDGETS_A_LOOK, (uint64_t)count + 1);
    int64_t now_us = ledger_wall_us(ledger);
    struct budget_look now;
    int rc = 0;

    for (; rc == 0 && at < end && asked < ASKED_A_LOOK && look->told < TOLD_A_LOOK; at++) {
        const struct budget *budget = budget_at(ledger->region, at);

        if (budget == NULL)
            continue;
        budget_look(budget, now_us, &now);
        if (now.limit_ucr <= 0 || now.spent_ucr < now.limit_ucr / 100 * ALERT_SHARE_MIN)
            continue;
        asked++;
        rc = look_at_budget(look, budget->id, &now);
    }
    *from = at > count ? 0 : at;
    return rc;
}

/* ---- balances ---- */

static int
look_at_balance(struct look *look)
{
    struct command *command = look->command;
    struct ledger *ledger = command->ledger;
    uint32_t idx = id_map_get(&ledger->account_of_tenant, look->alert->tenant_id);
    const struct account *account = account_at(ledger->region, idx);
    struct alert_told told, was;
    int64_t available_ucr;
    bool due;
    int rc;

    if (account == NULL)
        return 0;
    available_ucr = account_available_ucr(account);
    rc = alert_told_get(&command->txn, look->alert->id, 0, &told);
    if (rc < 0)
        return rc;
    was = told;
    due = alert_balance_due(look->alert, available_ucr, &told);
    if (memcmp(&told, &was, sizeof(told)) == 0)
        return 0;
    told.wall_us = ledger_wall_us(ledger);
    command->changed = true;
    rc = alert_told_put(&command->txn, look->alert->id, 0, &told);
    if (rc < 0 || !due)
        return rc;
    look->told++;
    return tell_balance(look, available_ucr);
}

static int
look_at_balances(struct look *look, uint32_t *from)
{
    struct command *command = look->command;
    uint32_t ids[RULES_A_LOOK], count = 0, steps = 0, last = 0;
    struct db_key key_from = db_key_of_u32(*from);
    struct db_walk walk;
    struct str key, value;
    bool more = false;
    int rc = db_walk_start(&command->txn, DB_ALERT, &key_from, 0, &walk);

    if (rc < 0)
        return rc;
    /* What was told stands among the rules; it counts as a step, too. */
    while (count < RULES_A_LOOK && steps++ < 4 * RULES_A_LOOK && (more = db_walk_next(&walk, &key, &value))) {
        last = db_u32(key, 0);
        if (key.len == 4)
            ids[count++] = last;
    }
    rc = walk.failed;
    db_walk_end(&walk);
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        if (look->told >= TOLD_A_LOOK) {
            *from = ids[i];
            return 0;
        }
        rc = alert_get(&command->txn, ids[i], look->alert);
        if (rc == 0 && look->alert->kind == ALERT_BALANCE && !look->alert->disabled)
            rc = look_at_balance(look);
    }
    *from = more && last != UINT32_MAX ? last + 1 : 0;
    return rc;
}

/* ---- the command ---- */

static int
alert_look(struct command *command)
{
    struct look look = {.command = command,
                        .alert = arena_alloc(&command->arena, sizeof(*look.alert))};
    uint32_t budgets, rules;
    int rc = 0;

    if (look.alert == NULL)
        return -ENOMEM;
    if (!command_u32(command, "budgets", &budgets) || !command_u32(command, "rules", &rules))
        return 0;
    if (!db_is_empty(&command->txn, DB_ALERT)) {
        rc = look_at_budgets(&look, &budgets);
        if (rc == 0)
            rc = look_at_balances(&look, &rules);
    }
    jw_key_u64(&command->jw, "budgets", budgets);
    jw_key_u64(&command->jw, "rules", rules);
    jw_key_u64(&command->jw, "told", look.told);
    return rc;
}

const struct command_def command_alert_look_defs[] = {
    {.name = "alert.look", .kind = COMMAND_WRITE, .quiet = true, .run = alert_look},
    {.name = NULL},
};
