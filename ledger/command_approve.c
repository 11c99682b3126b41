/* A tenant that registered itself, where an operator has to look at it first: taken, or not. */
#include "ledger/command_entity.h"
#include "ledger/mail.h"

#include "base/str.h"

#include <errno.h>

static const char *const owners[] = {"owner", NULL};

/* The argument "tenant", of one that waits. False: refused, or *rc. */
static bool
load_pending(struct command *command, struct entity_tenant *t, int *rc)
{
    uint32_t id;

    *rc = 0;
    if (!command_tenant(command, "tenant", true, &id))
        return false;
    *rc = entity_tenant_get(&command->txn, id, t);
    if (*rc < 0)
        return false;
    if (t->pending)
        return true;
    command_refuse_field(command, COMMAND_FAILED, "not_pending", "tenant",
                         "the tenant \"%s\" does not wait for approval", t->name);
    return false;
}

static int
decided(struct command *command, struct entity_tenant *t, struct mail_new *mail)
{
    int rc = entity_tenant_put(&command->txn, t);

    if (rc < 0)
        return rc;
    command_act(command, ACTION_TENANT, t->id, 0);
    command_target(command, "tenant", t->id, t->id);
    command->changed = true;
    jw_key_u64(&command->jw, "id", t->id);
    jw_key_cstr(&command->jw, "name", t->name);
    jw_key_bool(&command->jw, "disabled", t->disabled);
    jw_key_bool(&command->jw, "pending", t->pending);
    mail->tenant_id = t->id;
    return mail_queue_roles(command, mail, owners);
}

static int
tenant_approve(struct command *command)
{
    struct entity_tenant t;
    struct str link;
    int rc;

    if (!command_str(command, "link", false, &link) || !load_pending(command, &t, &rc))
        return command->exit != COMMAND_DONE ? 0 : rc;
    t.pending = t.disabled = false;
    t.reason[0] = '\0';

    struct mail_var vars[] = {{"tenant", str_from(t.name)}, {"link", link}};
    struct mail_new mail = {.kind = MAIL_APPROVED, .vars = vars, .var_count = 1 + (link.len > 0)};

    return decided(command, &t, &mail);
}

/* It stays disabled, and waits no more. */
static int
tenant_refuse(struct command *command)
{
    struct entity_tenant t;
    struct str reason;
    int rc;

    if (!command_str(command, "reason", false, &reason) || !load_pending(command, &t, &rc))
        return command->exit != COMMAND_DONE ? 0 : rc;
    if (reason.len > 0 && !entity_text_ok(reason, ENTITY_REASON_MAX)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "reason",
                             "reason: up to %d bytes, no control characters", ENTITY_REASON_MAX);
        return 0;
    }
    t.pending = false;
    t.disabled = true;
    str_copy(reason, t.reason, sizeof(t.reason));

    struct mail_var vars[] = {{"tenant", str_from(t.name)}, {"reason", reason}};
    struct mail_new mail = {.kind = MAIL_REFUSED, .vars = vars, .var_count = 1 + (reason.len > 0)};

    return decided(command, &t, &mail);
}

const struct command_def command_approve_defs[] = {
    {.name = "tenant.approve", .kind = COMMAND_WRITE, .run = tenant_approve},
    {.name = "tenant.refuse", .kind = COMMAND_WRITE, .run = tenant_refuse},
    {.name = NULL},
};
