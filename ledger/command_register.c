/*
 * Commands that make persons: with a tenant of their own, or as administrators of the platform. Each is
 * one transaction: there is no person without what they came for.
 */
#include "ledger/command_person.h"

#include "base/str.h"
#include "base/ucr.h"
#include "ledger/core.h"
#include "ledger/grant.h"
#include "ledger/mail.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ADMINS_TOLD_MAX 16

/* Of the arguments. False when refused. */
static bool
person_args(struct command *command, struct person *p)
{
    if (!command_password(command, false, p) ||
        !command_text(command, "name", false, p->name, sizeof(p->name)) ||
        !command_text(command, "phone", false, p->phone, sizeof(p->phone)) ||
        !command_text(command, "locale", false, p->locale, sizeof(p->locale)))
        return false;
    p->created_us = ledger_wall_us(command->ledger);
    return true;
}

int
command_person_new(struct command *command, struct person *p)
{
    int rc;

    if (!person_args(command, p))
        return 0;
    rc = person_new_id(&command->txn, &p->id);
    if (rc == 0)
        rc = person_email_take(&command->txn, p);
    if (rc == -EEXIST) {
        command_refuse_field(command, COMMAND_FAILED, "email_taken", "email",
                             "somebody with that address is here already");
        command_hint(command, "sign in, or ask for a new password");
        return 0;
    }
    command_also(command, "person", p->id);
    return rc;
}

/* ---- with a tenant of their own ---- */

/* Operators are told that somebody waits for them. */
static int
tell_admins(struct command *command, const struct person *p, struct str tenant_name)
{
    struct mail_var vars[] = {{"tenant", tenant_name}, {"email", str_from(p->email)}};
    uint32_t ids[ADMINS_TOLD_MAX];
    size_t count = 0;
    struct db_walk walk;
    struct str key, value;
    int rc = person_admins(&command->txn, &walk);

    if (rc < 0)
        return rc;
    while (count < COUNT_OF(ids) && db_walk_next(&walk, &key, &value))
        ids[count++] = db_u32(key, ENTITY_CHILD_ID_AT);
    rc = walk.failed;
    db_walk_end(&walk);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct person admin;

        rc = person_get(&command->txn, ids[i], &admin);
        if (rc == 0)
            rc = mail_queue(command, &(struct mail_new){.kind = MAIL_APPROVAL,
                                                        .to = str_from(admin.email),
                                                        .locale = str_from(admin.locale),
                                                        .vars = vars,
                                                        .var_count = COUNT_OF(vars)});
    }
    return rc;
}

/* Once a person, whatever becomes of their tenant. */
static int
give_trial(struct command *command, const struct person *p, uint32_t tenant_id)
{
    struct person_rules rules = command_rules(command);
    char once[48];
    struct grant_new grant = {
        .tenant_id = tenant_id,
        .source = PROMOTION_TRIAL,
        .amount_ucr = rules.trial_ucr,
        .expires_us = rules.trial_days == 0 ? 0 : ledger_wall_us(command->ledger) + rules.trial_days * DAY_US,
        .reason = STR("first credit"),
    };
    uint64_t id;
    int rc;

    if (rules.trial_ucr == 0)
        return 0;
    ASSERT(p->id != 0);
    snprintf(once, sizeof(once), "trial:person:%u", p->id);
    grant.once = str_from(once);
    rc = grant_new(command, &grant, &id);
    return rc == -EEXIST ? 0 : rc;
}

static int
register_tenant(struct command *command, struct person *p, struct str tenant_name)
{
    struct entity_tenant *t = arena_zalloc(&command->arena, sizeof(*t));
    struct person_rules rules = command_rules(command);
    int64_t credit_ucr = rules.trial_ucr;
    int rc;

    if (t == NULL)
        return -ENOMEM;
    str_copy(str_from(p->name), t->contact, sizeof(t->contact));
    str_copy(str_from(p->email), t->contact_email, sizeof(t->contact_email));
    str_copy(str_from(p->phone), t->contact_phone, sizeof(t->contact_phone));
    t->disabled = t->pending = rules.registration == CONF_APPROVAL;
    rc = command_tenant_new(command, t, "tenant_name", tenant_name, 0);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = give_trial(command, p, t->id);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    rc = command_member_join(command, t->id, STR("owner"), p);
    jw_key_u64(&command->jw, "person", p->id);
    jw_key_u64(&command->jw, "tenant", t->id);
    jw_key_u64(&command->jw, "member", p->member_id);
    jw_key_cstr(&command->jw, "email", p->email);
    jw_key_bool(&command->jw, "pending", t->pending);
    jw_key_ucr(&command->jw, "credit", credit_ucr);
    return rc == 0 && t->pending ? tell_admins(command, p, tenant_name) : rc;
}

int
command_prove_email(struct command *command, const char *email)
{
    bool verified;

    if (!command_flag(command, "verified", &verified))
        return 0;
    return verified ? 0 : command_code_use(command, STR("register"), email, 0);
}

int
command_link_identity(struct command *command, struct person *p)
{
    int rc;

    if (!command_text(command, "issuer", false, p->oidc_issuer, sizeof(p->oidc_issuer)) ||
        !command_text(command, "subject", p->oidc_issuer[0] != '\0', p->oidc_subject,
                      sizeof(p->oidc_subject)) ||
        p->oidc_subject[0] == '\0')
        return 0;
    rc = person_oidc_take(&command->txn, p);
    if (rc == -EEXIST)
        command_refuse_field(command, COMMAND_FAILED, "taken", "subject",
                             "somebody else signs in by that identity");
    return rc == -EEXIST ? 0 : rc;
}

static int
person_register(struct command *command)
{
    struct person p = {0};
    struct str tenant_name;
    int rc;

    if (!command_email(command, "email", true, p.email) ||
        !command_str(command, "tenant_name", true, &tenant_name) ||
        !command_may_register(command, p.email))
        return 0;
    rc = command_agreed(command, &p);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = command_prove_email(command, p.email);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = command_person_new(command, &p);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = command_link_identity(command, &p);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = register_tenant(command, &p, tenant_name);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    return person_put(&command->txn, &p);
}

/* ---- a forgotten password ---- */

static int
person_reset(struct command *command)
{
    char email[ENTITY_EMAIL_MAX + 1];
    uint32_t closed = 0;
    struct person p;
    int rc;

    if (!command_email(command, "email", true, email))
        return 0;
    rc = command_code_use(command, STR("reset"), email, 0);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = person_find(&command->txn, str_from(email), &p);
    if (rc == -ENOENT) { /* they have another address since it was sent */
        command_code_wrong(command);
        return 0;
    }
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (!command_password(command, true, &p))
        return 0;
    rc = session_drop_all(&command->txn, p.id, NULL, &closed);
    if (rc == 0)
        rc = command_failures_clear(command, email);
    if (rc == 0)
        rc = command_tell_password(command, &p);
    if (rc == 0)
        rc = person_put(&command->txn, &p);
    command_target(command, "person", p.id, p.tenant_id);
    command->changed = true;
    jw_key_u64(&command->jw, "person", p.id);
    jw_key_bool(&command->jw, "second_factor", p.totp_on);
    jw_key_u64(&command->jw, "sessions_closed", closed);
    return rc;
}

/* ---- administrators of the platform ---- */

#define SETUP_US (7 * DAY_US)

/* Without a server, or where routes.conf does not say how people reach it: the page's path alone. */
static void
write_setup_link(struct command *command, const char *token)
{
    const struct conf *conf = command->ledger->conf;
    struct buf link;

    buf_init(&link, 8192);
    if (conf != NULL)
        buf_add_str(&link, conf->manage.url);
    buf_add_str(&link, STR("/setup#"));
    buf_add_str(&link, str_from(token));
    jw_key_str(&command->jw, "link", buf_str(&link));
    explicit_bzero(link.ptr, link.ptr != NULL ? link.cap : 0);
    buf_free(&link);
}

/* A link for who has no password, or has lost it: by the command line only, so it is shown, not mailed. */
static int
write_setup(struct command *command, const struct person *p)
{
    struct ticket *ticket = arena_zalloc(&command->arena, sizeof(*ticket));
    char token[TOKEN_LEN + 1];
    int rc;

    if (ticket == NULL)
        return -ENOMEM;
    ticket->person_id = p->id;
    ticket->expires_us = ledger_wall_us(command->ledger) + SETUP_US;
    rc = ticket_put(command, STR("setup"), ticket, token);
    jw_key_cstr(&command->jw, "token", token);
    write_setup_link(command, token);
    jw_key_time(&command->jw, "expires", ticket->expires_us);
    explicit_bzero(token, sizeof(token));
    return rc;
}

/* Makes the person when there is none, and an administrator of who is. */
static int
admin_add(struct command *command)
{
    char email[ENTITY_EMAIL_MAX + 1];
    struct person p = {0};
    int rc;

    if (!command_email(command, "email", true, email))
        return 0;
    rc = person_find(&command->txn, str_from(email), &p);
    if (rc == -ENOENT) {
        p = (struct person){0};
        str_copy(str_from(email), p.email, sizeof(p.email));
        rc = command_person_new(command, &p);
    }
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    p.platform = true;
    p.disabled = false;
    rc = person_put(&command->txn, &p);
    command_target(command, "person", p.id, p.tenant_id);
    command->changed = true;
    jw_key_u64(&command->jw, "id", p.id);
    jw_key_cstr(&command->jw, "email", p.email);
    return rc < 0 ? rc : write_setup(command, &p);
}

static int
list_admin(struct command *command, uint32_t id)
{
    struct person p;
    int rc = person_get(&command->txn, id, &p);

    if (rc < 0)
        return rc;
    jw_object(&command->jw);
    command_person_write(command, &p);
    jw_object_end(&command->jw);
    return 0;
}

static int
admin_list(struct command *command)
{
    struct db_walk walk;
    int rc = person_admins(&command->txn, &walk);

    return rc < 0 ? rc : command_list(command, &walk, ENTITY_CHILD_ID_AT, "admins", list_admin);
}

/* The person stays, with the tenant that they may have; what they were signed in to ends. */
static int
admin_remove(struct command *command)
{
    char email[ENTITY_EMAIL_MAX + 1];
    uint32_t closed;
    struct person p;
    int rc;

    if (!command_email(command, "email", true, email))
        return 0;
    rc = person_find(&command->txn, str_from(email), &p);
    if (rc == -ENOENT || (rc == 0 && !p.platform)) {
        command_refuse(command, COMMAND_FAILED, "\"%s\" is no administrator", email);
        command_absent(command);
        return 0;
    }
    if (rc < 0)
        return rc;
    p.platform = false;
    rc = session_drop_all(&command->txn, p.id, NULL, &closed);
    if (rc == 0)
        rc = person_put(&command->txn, &p);
    command_target(command, "person", p.id, p.tenant_id);
    command->changed = true;
    jw_key_u64(&command->jw, "id", p.id);
    jw_key_cstr(&command->jw, "email", p.email);
    return rc;
}

/* Who has the link sets a password, once. */
static int
person_setup(struct command *command)
{
    struct ticket *ticket = arena_zalloc(&command->arena, sizeof(*ticket));
    uint32_t closed;
    struct person p;
    struct str token;
    int rc;

    if (ticket == NULL)
        return -ENOMEM;
    if (!command_str(command, "token", true, &token))
        return 0;
    rc = ticket_get(command, STR("setup"), token, ticket);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = person_get(&command->txn, ticket->person_id, &p);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (!command_password(command, true, &p))
        return 0;
    rc = ticket_drop(command, STR("setup"), token);
    if (rc == 0)
        rc = session_drop_all(&command->txn, p.id, NULL, &closed);
    if (rc == 0)
        rc = person_put(&command->txn, &p);
    command_target(command, "person", p.id, p.tenant_id);
    command->changed = true;
    jw_key_u64(&command->jw, "person", p.id);
    jw_key_cstr(&command->jw, "email", p.email);
    jw_key_bool(&command->jw, "second_factor", p.totp_on);
    return rc;
}

const struct command_def command_register_defs[] = {
    {.name = "person.register", .kind = COMMAND_WRITE, .run = person_register},
    {.name = "person.reset", .kind = COMMAND_WRITE, .run = person_reset},
    {.name = "person.setup", .kind = COMMAND_WRITE, .run = person_setup},
    {.name = "admin.add", .kind = COMMAND_WRITE, .run = admin_add},
    {.name = "admin.list", .kind = COMMAND_READ, .run = admin_list},
    {.name = "admin.remove", .kind = COMMAND_WRITE, .run = admin_remove},
    {.name = NULL},
};
