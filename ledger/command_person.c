/* Commands about persons: who can sign in, and what is known of them. */
#include "ledger/command_person.h"

#include "base/clock.h"
#include "base/seal.h"
#include "base/str.h"
#include "ledger/core.h"
#include "ledger/mail.h"
#include "ledger/site.h"

#include <errno.h>
#include <string.h>

#define LIST_MAX 200u

/* ---- shared ---- */

int
command_agreed(struct command *command, struct person *p)
{
    bool agreed;
    int rc;

    if (!command_flag(command, "agreed", &agreed))
        return 0;
    if (!agreed) {
        command_refuse_field(command, COMMAND_USAGE, "agreement_required", "agreed", "%s",
                             "Please read and agree to the User Service Agreement and Privacy Policy first.");
        return 0;
    }
    rc = terms_current(&command->txn, TERMS_SERVICE, &p->terms);
    if (rc == 0)
        rc = terms_current(&command->txn, TERMS_PRIVACY, &p->privacy);
    p->terms_us = ledger_wall_us(command->ledger);
    return rc;
}

struct person_rules
command_rules(struct command *command)
{
    struct person_rules rules = {.registration = CONF_OPEN,
                                 .session_us = 14 * DAY_US,
                                 .session_idle_us = 14 * DAY_US,
                                 .invite_us = 7 * DAY_US};
    struct ledger *ledger = command->ledger;

    pthread_rwlock_rdlock(&ledger->conf_lock);
    if (ledger->conf != NULL) {
        const struct conf_manage *m = &ledger->conf->manage;

        rules = (struct person_rules){
            .registration = (enum conf_registration)m->registration,
            .trial_ucr = m->trial_ucr,
            .trial_days = m->trial_days,
            .session_us = (int64_t)m->session_ms * 1000,
            .session_idle_us = (int64_t)m->session_idle_ms * 1000,
            .invite_us = (int64_t)m->invite_ms * 1000,
        };
    }
    pthread_rwlock_unlock(&ledger->conf_lock);
    return rules;
}

static bool
domain_may(const struct conf *conf, const char *email)
{
    struct str domain;

    (void)str_split(str_from(email), '@', &domain);
    if (conf == NULL || conf->manage.domains.count == 0)
        return true;
    for (size_t i = 0; i < conf->manage.domains.count; i++)
        if (str_eq_nocase(conf->manage.domains.at[i], domain))
            return true;
    return false;
}

bool
command_may_register(struct command *command, const char *email)
{
    if (command_rules(command).registration == CONF_CLOSED) {
        command_refuse_field(command, COMMAND_NOT_ALLOWED, "registration_closed", NULL,
                             "nobody can register here by themselves");
        command_hint(command, "ask for an invitation");
        return false;
    }
    if (!domain_may(command->ledger->conf, email)) {
        command_refuse_field(command, COMMAND_NOT_ALLOWED, "domain_closed", "email",
                             "addresses of that domain cannot register here");
        return false;
    }
    return true;
}

int
command_person(struct command *command, const char *name, struct person *out)
{
    uint32_t id;
    int rc;

    if (!command_id(command, name, true, &id))
        return 0;
    rc = person_get(&command->txn, id, out);
    if (rc == -ENOENT || (rc == 0 && out->removed)) {
        command_refuse(command, COMMAND_FAILED, "there is no person %u", id);
        command_absent(command);
        return 0;
    }
    return rc;
}

bool
command_text(struct command *command, const char *name, bool must, char *out, size_t cap)
{
    struct str text;

    out[0] = '\0';
    if (!command_str(command, name, must, &text))
        return false;
    if (text.len > 0 && !entity_text_ok(text, cap - 1)) {
        command_refuse_field(command, COMMAND_USAGE, text.len > cap - 1 ? "too_long" : "invalid", name,
                             "%s: at most %zu bytes, no control characters, no blank at either end",
                             name, cap - 1);
        return false;
    }
    str_copy(text, out, cap);
    return true;
}

bool
command_email(struct command *command, const char *name, bool must, char out[ENTITY_EMAIL_MAX + 1])
{
    struct str text;

    out[0] = '\0';
    if (!command_str(command, name, must, &text))
        return false;
    if (text.len > 0 && !person_email(text, out)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", name, "\"%.*s\" is not a mail address",
                             (int)MIN(text.len, 96u), text.ptr);
        return false;
    }
    return true;
}

bool
command_password(struct command *command, bool must, struct person *p)
{
    if (!must && !command_has(command, "password"))
        return true;
    if (!command_text(command, "password", true, p->password, sizeof(p->password)))
        return false;
    if (!str_starts_with(str_from(p->password), STR("$argon2id$"))) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "password",
                             "password must be what argon2id made of it");
        return false;
    }
    p->password_us = ledger_wall_us(command->ledger);
    return true;
}

int
command_tell_password(struct command *command, const struct person *p)
{
    char time[RFC3339_LEN + 1];
    struct mail_var vars[] = {{"ip", command->actor.ip}, {"time", STR("")}};

    clock_rfc3339(ledger_wall_us(command->ledger), time);
    vars[1].value = (struct str){time, 16};
    time[10] = ' ';
    return mail_queue(command, &(struct mail_new){.kind = MAIL_PASSWORD_CHANGED,
                                                  .to = str_from(p->email),
                                                  .locale = str_from(p->locale),
                                                  .tenant_id = p->tenant_id,
                                                  .vars = vars,
                                                  .var_count = COUNT_OF(vars)});
}

/* To the address that was theirs: it may be that somebody else did it. */
static int
tell_email(struct command *command, const struct person *p, struct str was)
{
    struct mail_var vars[] = {{"email", str_from(p->email)}};

    return mail_queue(command, &(struct mail_new){.kind = MAIL_EMAIL_CHANGED,
                                                  .to = was,
                                                  .locale = str_from(p->locale),
                                                  .tenant_id = p->tenant_id,
                                                  .vars = vars,
                                                  .var_count = COUNT_OF(vars)});
}

void
command_person_write(struct command *command, const struct person *p)
{
    struct jw *jw = &command->jw;
    struct entity_member m;

    jw_key_u64(jw, "id", p->id);
    jw_key_cstr(jw, "email", p->email);
    jw_key_cstr(jw, "name", p->name);
    jw_key_cstr(jw, "phone", p->phone);
    jw_key_cstr(jw, "locale", p->locale);
    jw_key_bool(jw, "platform", p->platform);
    jw_key_bool(jw, "disabled", p->disabled);
    jw_key_bool(jw, "has_password", p->password[0] != '\0');
    jw_key_bool(jw, "second_factor", p->totp_on);
    jw_key_u64(jw, "recovery_left", p->recovery_count);
    jw_key_cstr(jw, "oidc_issuer", p->oidc_subject[0] != '\0' ? p->oidc_issuer : NULL);
    jw_key_u64(jw, "terms", p->terms);
    jw_key_u64(jw, "privacy", p->privacy);
    jw_key_time(jw, "terms_agreed", p->terms_us);
    jw_key_time(jw, "created", p->created_us);
    jw_key_time(jw, "password_changed", p->password_us);
    jw_key_time(jw, "last_login", p->login_us);
    if (p->tenant_id == 0 || entity_member_get(&command->txn, p->member_id, &m) < 0)
        return;
    jw_key_u64(jw, "tenant", p->tenant_id);
    jw_key_cstr(jw, "tenant_name", command_tenant_name(command, p->tenant_id));
    jw_key_u64(jw, "member", p->member_id);
    jw_key_cstr(jw, "role", m.role);
}

/* ---- looking ---- */

static int
person_show(struct command *command)
{
    struct person p;
    int rc = command_person(command, "id", &p);

    if (rc == 0 && command->exit == COMMAND_DONE)
        command_person_write(command, &p);
    return rc;
}

/* By "email", or by "issuer" and "subject". "person" is null when there is none: no refusal. */
static int
person_find_any(struct command *command)
{
    struct str issuer, subject;
    char email[ENTITY_EMAIL_MAX + 1];
    struct person p;
    int rc;

    if (!command_email(command, "email", false, email) ||
        !command_str(command, "issuer", false, &issuer) ||
        !command_str(command, "subject", issuer.len > 0, &subject))
        return 0;
    rc = issuer.len > 0 ? person_find_oidc(&command->txn, issuer, subject, &p)
                        : person_find(&command->txn, str_from(email), &p);
    jw_key(&command->jw, "person");
    if (rc == -ENOENT || (rc == 0 && p.removed)) {
        jw_null(&command->jw);
        return 0;
    }
    if (rc < 0)
        return rc;
    jw_object(&command->jw);
    command_person_write(command, &p);
    jw_object_end(&command->jw);
    return 0;
}

static bool
has_part(const struct person *p, struct str part)
{
    return part.len == 0 || str_contains(str_from(p->email), part) ||
           str_contains(str_from(p->name), part);
}

/* In order of id, those after "after"; "next" is where to go on, or null. */
static int
person_list(struct command *command)
{
    uint32_t after, limit, count = 0, last = 0;
    struct str part, key, value;
    struct db_walk walk;
    struct db_key from;
    struct person p;
    bool platform, more = false;
    int rc;

    if (!command_u32(command, "after", &after) || !command_u32(command, "limit", &limit) ||
        !command_str(command, "q", false, &part) || !command_flag(command, "platform", &platform))
        return 0;
    limit = limit == 0 ? 50 : MIN(limit, LIST_MAX);
    from = db_key_of_u32(after + 1);
    rc = db_walk_start(&command->txn, DB_PERSON, &from, 0, &walk);
    if (rc < 0)
        return rc;
    jw_key(&command->jw, "persons");
    jw_array(&command->jw);
    while (rc == 0 && !more && db_walk_next(&walk, &key, &value)) {
        rc = person_get(&command->txn, db_u32(key, 0), &p);
        if (rc < 0 || p.removed || (platform && !p.platform) || !has_part(&p, part))
            continue;
        more = count == limit;
        if (more)
            break;
        count++;
        last = p.id;
        jw_object(&command->jw);
        command_person_write(command, &p);
        jw_object_end(&command->jw);
    }
    rc = rc == 0 ? walk.failed : rc;
    db_walk_end(&walk);
    jw_array_end(&command->jw);
    jw_key(&command->jw, "next");
    if (more)
        jw_u64(&command->jw, last);
    else
        jw_null(&command->jw);
    return rc;
}

/* For who checks a password or an authenticator's code: what they are compared with. */
static int
person_secrets(struct command *command)
{
    struct person p;
    struct buf secret;
    int rc = command_person(command, "id", &p);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    jw_key_cstr(&command->jw, "email", p.email);
    jw_key_cstr(&command->jw, "password", p.password);
    jw_key_bool(&command->jw, "totp_on", p.totp_on);
    jw_key_i64(&command->jw, "totp_step", p.totp_step);
    buf_init(&secret, 256);
    if (p.totp[0] != '\0' &&
        seal_open(command->ledger->key_hash_key, "totp", str_from(p.totp), &secret))
        jw_key_str(&command->jw, "totp", buf_str(&secret));
    else
        jw_key_cstr(&command->jw, "totp", NULL);
    explicit_bzero(secret.ptr, secret.ptr != NULL ? secret.cap : 0);
    buf_free(&secret);
    return 0;
}

/* ---- changing ---- */

/* An argument that is there replaces; "" empties, where that may be. */
static bool
set_text(struct command *command, const char *name, char *out, size_t cap)
{
    return js_is(js_get(command->args, str_from(name)), JS_NONE) ||
           command_text(command, name, false, out, cap);
}

static bool
set_flags(struct command *command, struct person *p)
{
    return (!command_has(command, "disabled") || command_flag(command, "disabled", &p->disabled)) &&
           (!command_has(command, "platform") || command_flag(command, "platform", &p->platform));
}

static int
put_changed(struct command *command, const struct person *p)
{
    command_target(command, "person", p->id, p->tenant_id);
    command->changed = true;
    return person_put(&command->txn, p);
}

static int
person_set(struct command *command)
{
    uint32_t closed = 0;
    struct person p;
    int rc = command_person(command, "id", &p);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (!set_text(command, "name", p.name, sizeof(p.name)) ||
        !set_text(command, "phone", p.phone, sizeof(p.phone)) ||
        !set_text(command, "locale", p.locale, sizeof(p.locale)) ||
        !set_flags(command, &p))
        return 0;
    if (command_has(command, "agreed")) {
        rc = command_agreed(command, &p);
        if (rc < 0 || command->exit != COMMAND_DONE)
            return rc;
    }
    if (p.disabled)
        rc = session_drop_all(&command->txn, p.id, NULL, &closed);
    if (rc == 0)
        rc = put_changed(command, &p);
    command_person_write(command, &p);
    return rc;
}

/* A new password ends every session but that of the argument "token". "rehash": the same one, made
 * dearer to guess, which ends none; "old" is then what it has to replace. */
static int
person_password(struct command *command)
{
    uint8_t hash[HASH_LEN];
    uint32_t closed = 0;
    struct str token, old;
    struct person p;
    bool rehash;
    int rc = command_person(command, "id", &p);

    if (rc < 0 || command->exit != COMMAND_DONE || !command_flag(command, "rehash", &rehash) ||
        !command_str(command, "token", false, &token) ||
        !command_str(command, "old_hash", false, &old))
        return rc;
    if (old.len > 0 && !str_eq(old, str_from(p.password))) {
        command_refuse(command, COMMAND_FAILED, "the password was changed meanwhile");
        return 0;
    }
    if (!command_password(command, true, &p))
        return 0;
    if (token.len > 0)
        session_hash(command->ledger->key_hash_key, token, hash);
    if (!rehash)
        rc = command_tell_password(command, &p);
    if (rc == 0 && !rehash)
        rc = session_drop_all(&command->txn, p.id, token.len > 0 ? hash : NULL, &closed);
    if (rc == 0)
        rc = put_changed(command, &p);
    jw_key_u64(&command->jw, "id", p.id);
    jw_key_u64(&command->jw, "sessions_closed", closed);
    return rc;
}

/* To an address that its owner proved by a code; the member has it from then on, too. */
static int
move_email(struct command *command, struct person *p, const char *email)
{
    struct entity_member m;
    int rc = person_email_drop(&command->txn, p);

    str_copy(str_from(email), p->email, sizeof(p->email));
    if (rc == 0)
        rc = person_email_take(&command->txn, p);
    if (rc < 0 || p->member_id == 0)
        return rc;
    rc = entity_member_get(&command->txn, p->member_id, &m);
    if (rc == 0)
        rc = entity_name_drop(&command->txn, DB_MEMBER, m.tenant_id, str_from(m.email));
    str_copy(str_from(email), m.email, sizeof(m.email));
    if (rc == 0)
        rc = entity_name_take(&command->txn, DB_MEMBER, m.tenant_id, str_from(m.email), m.id);
    return rc < 0 ? rc : entity_member_put(&command->txn, &m);
}

static int
person_email_set(struct command *command)
{
    char email[ENTITY_EMAIL_MAX + 1], was[ENTITY_EMAIL_MAX + 1];
    struct person p;
    int rc;

    if (!command_email(command, "email", true, email))
        return 0;
    rc = command_person(command, "id", &p);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = command_code_use(command, STR("change-email"), email, p.id);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    jw_key_cstr(&command->jw, "was", p.email);
    str_copy(str_from(p.email), was, sizeof(was));
    rc = move_email(command, &p, email);
    if (rc == -EEXIST) {
        command_refuse_field(command, COMMAND_FAILED, "email_taken", "email",
                             "somebody has that address already");
        return 0;
    }
    if (rc == 0)
        rc = tell_email(command, &p, str_from(was));
    if (rc == 0)
        rc = put_changed(command, &p);
    jw_key_u64(&command->jw, "id", p.id);
    jw_key_cstr(&command->jw, "email", p.email);
    return rc;
}

/* ---- linked identities ---- */

static int
person_link(struct command *command)
{
    struct person p;
    int rc = command_person(command, "id", &p);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    rc = person_oidc_drop(&command->txn, &p);
    if (rc < 0 || !command_text(command, "issuer", true, p.oidc_issuer, sizeof(p.oidc_issuer)) ||
        !command_text(command, "subject", true, p.oidc_subject, sizeof(p.oidc_subject)))
        return rc;
    rc = person_oidc_take(&command->txn, &p);
    if (rc == -EEXIST) {
        command_refuse_field(command, COMMAND_FAILED, "taken", "subject",
                             "somebody else signs in by that identity");
        return 0;
    }
    command_person_write(command, &p);
    return rc < 0 ? rc : put_changed(command, &p);
}

static int
person_unlink(struct command *command)
{
    struct person p;
    int rc = command_person(command, "id", &p);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (p.password[0] == '\0') {
        command_refuse(command, COMMAND_FAILED, "without a password there would be no way to sign in");
        return 0;
    }
    if (p.oidc_subject[0] == '\0') {
        command_refuse(command, COMMAND_FAILED, "they sign in by no provider");
        return 0;
    }
    rc = person_oidc_drop(&command->txn, &p);
    p.oidc_issuer[0] = p.oidc_subject[0] = '\0';
    command_person_write(command, &p);
    return rc < 0 ? rc : put_changed(command, &p);
}

/* ---- going ---- */

/* What is kept is an id that nobody can sign in to. A member has to be removed as such, before. */
static int
person_remove(struct command *command)
{
    struct person p;
    uint32_t closed, id;
    int rc = command_person(command, "id", &p);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (p.tenant_id != 0) {
        command_refuse_field(command, COMMAND_FAILED, "has_tenant", NULL,
                             "%s is a member of \"%s\"", p.email,
                             command_tenant_name(command, p.tenant_id));
        command_hint(command, "remove the member first");
        return 0;
    }
    rc = person_email_drop(&command->txn, &p);
    if (rc == 0)
        rc = person_oidc_drop(&command->txn, &p);
    if (rc == 0)
        rc = session_drop_all(&command->txn, p.id, NULL, &closed);
    id = p.id;
    p = (struct person){.id = id, .removed = true, .created_us = p.created_us};
    jw_key_u64(&command->jw, "id", id);
    jw_key_bool(&command->jw, "removed", true);
    return rc < 0 ? rc : put_changed(command, &p);
}

const struct command_def command_person_defs[] = {
    {.name = "person.show", .kind = COMMAND_READ, .run = person_show},
    {.name = "person.find", .kind = COMMAND_READ, .run = person_find_any},
    {.name = "person.list", .kind = COMMAND_READ, .run = person_list},
    {.name = "person.secrets", .kind = COMMAND_READ, .run = person_secrets},
    {.name = "person.set", .kind = COMMAND_WRITE, .run = person_set},
    {.name = "person.password", .kind = COMMAND_WRITE, .run = person_password},
    {.name = "person.email", .kind = COMMAND_WRITE, .run = person_email_set},
    {.name = "person.link", .kind = COMMAND_WRITE, .run = person_link},
    {.name = "person.unlink", .kind = COMMAND_WRITE, .run = person_unlink},
    {.name = "person.remove", .kind = COMMAND_WRITE, .run = person_remove},
    {.name = NULL},
};
