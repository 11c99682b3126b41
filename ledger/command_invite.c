/*
 * Commands about invitations: a link with which somebody becomes a member of a tenant, with a role, until
 * a time, for a number of uses. Only a hash of what is in the link is kept. Uses are counted in the
 * transaction that makes the member, so of two who come at once for the last use, one comes in.
 *
 * An invitation for one address is only ever mailed there (but for the command line, which is shown its
 * link): having the link proves the address. By one that is for anybody, an address is proved by a code; who made
 * its link knows it, and so it ends when they are a member no more.
 */
#include "ledger/command_page.h"
#include "ledger/command_person.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/str.h"
#include "ledger/core.h"
#include "ledger/mail.h"

#include <errno.h>
#include <string.h>

#define INVITE_DAYS_MAX 90
#define INVITE_USES_MAX 1000u
#define LINK_MAX 1024
#define MAILED_A_DAY 200u /* of a tenant's */

struct invite {
    uint32_t id, tenant_id;
    uint32_t by_member; /* whose it is; 0: nobody's, or it is older than that this is kept */
    char role[16];
    char email[ENTITY_EMAIL_MAX + 1]; /* "": anybody's */
    char inviter[ENTITY_EMAIL_MAX + 1];
    char hash[2 * HASH_LEN + 1];
    int64_t created_us, expires_us;
    uint32_t uses, used;
    bool revoked;
};

/* ---- keeping ---- */

static int
invite_get(struct db_txn *txn, uint32_t id, struct invite *out)
{
    struct js_value doc;
    int rc = doc_get_id(txn, DB_INVITE, id, &doc);

    if (rc < 0)
        return rc;
    *out = (struct invite){
        .id = id,
        .tenant_id = doc_u32(doc, STR("tenant")),
        .by_member = doc_u32(doc, STR("by_member")),
        .created_us = doc_i64(doc, STR("created_us")),
        .expires_us = doc_i64(doc, STR("expires_us")),
        .uses = doc_u32(doc, STR("uses")),
        .used = doc_u32(doc, STR("used")),
        .revoked = doc_bool(doc, STR("revoked")),
    };
    doc_text(doc, STR("role"), out->role, sizeof(out->role));
    doc_text(doc, STR("email"), out->email, sizeof(out->email));
    doc_text(doc, STR("inviter"), out->inviter, sizeof(out->inviter));
    doc_text(doc, STR("hash"), out->hash, sizeof(out->hash));
    return 0;
}

static int
invite_put(struct db_txn *txn, const struct invite *in)
{
    struct doc doc;

    doc_start(&doc);
    jw_key_u64(&doc.jw, "tenant", in->tenant_id);
    jw_key_u64(&doc.jw, "by_member", in->by_member);
    jw_key_cstr(&doc.jw, "role", in->role);
    jw_key_cstr(&doc.jw, "email", in->email);
    jw_key_cstr(&doc.jw, "inviter", in->inviter);
    jw_key_cstr(&doc.jw, "hash", in->hash);
    jw_key_i64(&doc.jw, "created_us", in->created_us);
    jw_key_i64(&doc.jw, "expires_us", in->expires_us);
    jw_key_u64(&doc.jw, "uses", in->uses);
    jw_key_u64(&doc.jw, "used", in->used);
    jw_key_bool(&doc.jw, "revoked", in->revoked);
    return doc_put_id(txn, DB_INVITE, in->id, &doc);
}

/* Of whoever asks, as themselves or by a key. */
static uint32_t
asker_member(struct command *command)
{
    const struct command_actor *actor = &command->actor;
    struct entity_key k;
    struct person p;

    if (actor->kind == ACTOR_PERSON && person_get(&command->txn, (uint32_t)actor->id, &p) == 0)
        return p.member_id;
    if (actor->kind == ACTOR_KEY && entity_key_get(&command->txn, (uint32_t)actor->id, &k) == 0)
        return k.member_id;
    return 0;
}

static bool
is_left_behind(struct command *command, const struct invite *in)
{
    struct entity_member m;

    return in->by_member != 0 && in->email[0] == '\0' &&
           (entity_member_get(&command->txn, in->by_member, &m) < 0 || m.removed);
}

static const char *
state_of(struct command *command, const struct invite *in)
{
    return in->revoked                                          ? "revoked"
           : in->used >= in->uses                                ? "used"
           : in->expires_us <= ledger_wall_us(command->ledger) ? "expired"
           : is_left_behind(command, in)                        ? "revoked"
                                                                 : "open";
}

static void
write_invite(struct command *command, const struct invite *in)
{
    struct jw *jw = &command->jw;

    jw_key_u64(jw, "id", in->id);
    jw_key_cstr(jw, "role", in->role);
    jw_key_cstr(jw, "email", in->email[0] != '\0' ? in->email : NULL);
    jw_key_cstr(jw, "inviter", in->inviter[0] != '\0' ? in->inviter : NULL);
    jw_key_time(jw, "created", in->created_us);
    jw_key_time(jw, "expires", in->expires_us);
    jw_key_u64(jw, "uses", in->uses);
    jw_key_u64(jw, "used", in->used);
    jw_key_cstr(jw, "state", state_of(command, in));
}

static void
token_hash(struct command *command, struct str token, char hex[2 * HASH_LEN + 1])
{
    uint8_t hash[HASH_LEN];

    brief_name(command->ledger->key_hash_key, "invite", token, STR(""), hash);
    str_hex(hash, HASH_LEN, hex);
}

/* ---- inviting ---- */

static bool
invite_args(struct command *command, struct invite *in)
{
    uint32_t days;
    struct str role;

    if (!command_tenant(command, "tenant", true, &in->tenant_id) ||
        !command_str(command, "role", true, &role) || !command_role_known(command, role) ||
        !command_email(command, "email", false, in->email) || !command_u32(command, "uses", &in->uses) ||
        !command_u32(command, "days", &days))
        return false;
    str_copy(role, in->role, sizeof(in->role));
    str_copy(command->actor.name, in->inviter, sizeof(in->inviter));
    in->by_member = asker_member(command);
    in->uses = in->uses == 0 ? 1 : in->uses;
    if (in->uses > INVITE_USES_MAX || (in->email[0] != '\0' && in->uses != 1)) {
        command_refuse_field(command, COMMAND_USAGE, "out_of_range", "uses",
                             in->email[0] != '\0' ? "an invitation for one address has one use"
                                                  : "an invitation has at most 1000 uses");
        return false;
    }
    if (days > INVITE_DAYS_MAX) {
        command_refuse_field(command, COMMAND_USAGE, "out_of_range", "days",
                             "an invitation is good for at most %d days", INVITE_DAYS_MAX);
        return false;
    }
    in->created_us = ledger_wall_us(command->ledger);
    in->expires_us =
        in->created_us + (days == 0 ? command_rules(command).invite_us : days * DAY_US);
    return true;
}

/* Anybody may have a tenant where registration is open, and then mail whom they like: so many in a day. */
static int
count_mailed(struct command *command, uint32_t tenant_id)
{
    struct brief sent = {.table = DB_BRIEF, .kind = BRIEF_FAILURES};
    int64_t now_us = ledger_wall_us(command->ledger), until_us = now_us + DAY_US;
    uint32_t count = 0;
    struct js_value was;
    struct doc doc;
    int rc;

    brief_name(command->ledger->key_hash_key, "invited", (struct str){(const char *)&tenant_id, sizeof(tenant_id)},
               STR(""), sent.hash);
    rc = brief_get(&command->txn, &sent, now_us, &was);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (rc == 0) {
        count = doc_u32(was, STR("count"));
        until_us = sent.expires_us;
    }
    if (count >= MAILED_A_DAY) {
        command_refuse_field(command, COMMAND_FAILED, "too_many", "email",
                             "%u invitations were mailed for the tenant today", count);
        command_hint(command, "invite by a link, or tomorrow");
        return 0;
    }
    doc_start(&doc);
    jw_key_u64(&doc.jw, "count", count + 1);
    return brief_put(&command->txn, &sent, until_us, &doc);
}

static int
mail_invite(struct command *command, const struct invite *in, struct str link)
{
    char date[RFC3339_LEN + 1], locale[PERSON_LOCALE_MAX + 1];
    struct mail_var vars[] = {
        {"tenant", str_from(command_tenant_name(command, in->tenant_id))},
        {"inviter", str_from(in->inviter)},
        {"role", str_from(in->role)},
        {"link", link},
        {"expires", STR("")},
    };
    struct mail_new mail = {.kind = MAIL_INVITATION,
                            .to = str_from(in->email),
                            .tenant_id = in->tenant_id,
                            .until_us = in->expires_us,
                            .vars = vars,
                            .var_count = COUNT_OF(vars)};

    if (!command_text(command, "locale", false, locale, sizeof(locale)))
        return 0;
    mail.locale = str_from(locale);
    clock_rfc3339(in->expires_us, date);
    vars[4].value = (struct str){date, 10};
    return mail_queue(command, &mail);
}

static int
write_link(struct command *command, const struct invite *in, const char *token)
{
    char link[LINK_MAX + TOKEN_LEN + 1];
    struct str base;
    size_t len;
    int rc;

    if (!command_str(command, "link_base", false, &base))
        return 0;
    if (base.len > LINK_MAX) {
        command_refuse_field(command, COMMAND_USAGE, "too_long", "link_base", "link_base is too long");
        return 0;
    }
    len = str_copy(base, link, sizeof(link));
    if (base.len == 0) { /* on the command line, as routes.conf says */
        const struct conf *conf = command->ledger->conf;

        if (conf != NULL && conf->manage.url.len < LINK_MAX - 16)
            len = str_copy(conf->manage.url, link, sizeof(link));
        len += str_copy(STR("/join#"), link + len, sizeof(link) - len);
    }
    len += str_copy(str_from(token), link + len, sizeof(link) - len);
    if (in->email[0] == '\0' || command->actor.kind == ACTOR_CLI) {
        jw_key_cstr(&command->jw, "token", token);
        jw_key_str(&command->jw, "link", (struct str){link, len});
    }
    if (in->email[0] == '\0' || base.len == 0)
        return 0;
    rc = count_mailed(command, in->tenant_id);
    return rc < 0 || command->exit != COMMAND_DONE ? rc : mail_invite(command, in, (struct str){link, len});
}

static int
invite_add(struct command *command)
{
    char token[TOKEN_LEN + 1];
    struct invite in = {0};
    int rc;

    if (!invite_args(command, &in))
        return 0;
    rc = command_next_id(command, DB_INVITE, &in.id);
    if (rc < 0)
        return rc;
    token_new(token);
    token_hash(command, str_from(token), in.hash);
    rc = invite_put(&command->txn, &in);
    if (rc == 0)
        rc = entity_child_put(&command->txn, DB_INVITE, in.tenant_id, in.id);
    if (rc == 0)
        rc = entity_name_take(&command->txn, DB_INVITE, 0, str_from(in.hash), in.id);
    command_target(command, "invite", in.id, in.tenant_id);
    command->changed = true;
    write_invite(command, &in);
    if (rc == 0)
        rc = write_link(command, &in, token);
    explicit_bzero(token, sizeof(token));
    return rc;
}

struct invite_list {
    struct command_page page; /* first */
    struct str state;         /* "all": any */
};

static int
list_invite(struct command *command, const struct command_page *page, uint32_t id, bool *shown)
{
    const struct invite_list *list = (const struct invite_list *)(const void *)page;
    struct invite in;
    int rc = invite_get(&command->txn, id, &in);

    if (rc < 0)
        return rc;
    *shown = str_eq(list->state, STR("all")) ||
             str_eq(list->state, str_from(state_of(command, &in)));
    if (!*shown)
        return 0;
    jw_object(&command->jw);
    write_invite(command, &in);
    jw_object_end(&command->jw);
    return 0;
}

/* Those that can still be accepted, unless "state" says which. By pages. */
static int
invite_list(struct command *command)
{
    static const char *const states[] = {"open", "used", "expired", "revoked", "all"};
    struct invite_list list = {.page = {.name = "invites", .table = DB_INVITE, .show = list_invite}};
    bool known = false;

    if (!command_tenant(command, "tenant", true, &list.page.tenant_id) ||
        !command_str(command, "state", false, &list.state))
        return 0;
    if (list.state.len == 0)
        list.state = str_from(states[0]);
    for (size_t i = 0; i < COUNT_OF(states); i++)
        known |= str_eq(list.state, str_from(states[i]));
    if (!known) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "state",
                             "state is open, used, expired, revoked or all");
        return 0;
    }
    return command_page(command, &list.page);
}

static int
invite_revoke(struct command *command)
{
    struct invite in = {0};
    uint32_t id, tenant_id;
    int rc;

    if (!command_id(command, "id", true, &id) ||
        !command_tenant(command, "tenant", true, &tenant_id))
        return 0;
    rc = invite_get(&command->txn, id, &in);
    if (rc == -ENOENT || (rc == 0 && in.tenant_id != tenant_id)) {
        command_refuse(command, COMMAND_FAILED, "there is no invitation %u", id);
        command_absent(command);
        return 0;
    }
    if (rc < 0)
        return rc;
    command->changed = !in.revoked;
    in.revoked = true;
    command_target(command, "invite", in.id, in.tenant_id);
    write_invite(command, &in);
    return invite_put(&command->txn, &in);
}

/* ---- coming in ---- */

static int
invite_of_token(struct command *command, struct invite *in)
{
    char hex[2 * HASH_LEN + 1];
    struct str token;
    uint32_t id;
    int rc;

    if (!command_str(command, "token", true, &token))
        return 0;
    token_hash(command, token, hex);
    rc = entity_find(&command->txn, DB_INVITE, 0, str_from(hex), &id);
    return rc < 0 ? rc : invite_get(&command->txn, id, in);
}

/*
 * Of the argument "token": refused, all alike, when it is of no use. Or of "invite", its ID, of which the asker
 * saw the token before: as one who went to a provider in between, and whose ticket must not hold a secret.
 */
static int
open_invite(struct command *command, struct invite *in)
{
    uint32_t id;
    int rc;

    in->id = 0;
    if (!command_id(command, "invite", false, &id))
        return 0;
    rc = id != 0 ? invite_get(&command->txn, id, in) : invite_of_token(command, in);
    if (command->exit != COMMAND_DONE)
        return rc;
    if (rc == 0 && !str_eq(str_from(state_of(command, in)), STR("open")))
        rc = -ENOENT;
    if (rc == -ENOENT) {
        command_refuse_field(command, COMMAND_FAILED, "token_gone", NULL,
                             "that invitation is not known, was used or revoked, or is over");
        command_absent(command);
        return 0;
    }
    return rc;
}

static int
invite_find(struct command *command)
{
    struct invite in;
    int rc = open_invite(command, &in);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    write_invite(command, &in);
    jw_key_cstr(&command->jw, "tenant_name", command_tenant_name(command, in.tenant_id));
    return 0;
}

static int
new_person(struct command *command, const struct invite *in, struct person *p)
{
    int rc = 0;

    if (!command_email(command, "email", in->email[0] == '\0', p->email))
        return 0;
    if (in->email[0] != '\0' && p->email[0] != '\0' && !str_eq(str_from(p->email), str_from(in->email))) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "email",
                             "that invitation is for another address");
        return 0;
    }
    rc = command_agreed(command, p);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (in->email[0] != '\0')
        str_copy(str_from(in->email), p->email, sizeof(p->email));
    else
        rc = command_prove_email(command, p->email);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = command_person_new(command, p);
    return rc < 0 || command->exit != COMMAND_DONE ? rc : command_link_identity(command, p);
}

/* Somebody who has signed in, and belongs to no tenant. */
static int
known_person(struct command *command, const struct invite *in, struct person *p)
{
    int rc = command_person(command, "person", p);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (in->email[0] != '\0' && !str_eq(str_from(p->email), str_from(in->email)))
        command_refuse_field(command, COMMAND_NOT_ALLOWED, "not_allowed", NULL,
                             "that invitation is for another address");
    else if (p->disabled)
        command_refuse_field(command, COMMAND_NOT_ALLOWED, "disabled", NULL,
                             "this person may not sign in");
    else if (p->tenant_id != 0)
        command_refuse_field(command, COMMAND_FAILED, "has_tenant", NULL,
                             "%s belongs to a tenant already", p->email);
    return 0;
}

static int
invite_accept(struct command *command)
{
    struct person p = {0};
    struct invite in;
    int rc = open_invite(command, &in);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    rc = command_has(command, "person") ? known_person(command, &in, &p) : new_person(command, &in, &p);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = command_member_join(command, in.tenant_id, str_from(in.role), &p);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    in.used++;
    rc = invite_put(&command->txn, &in);
    if (rc == 0)
        rc = person_put(&command->txn, &p);
    command_target(command, "invite", in.id, in.tenant_id);
    command_also(command, "person", p.id);
    command->changed = true;
    jw_key_u64(&command->jw, "person", p.id);
    jw_key_u64(&command->jw, "tenant", p.tenant_id);
    jw_key_u64(&command->jw, "member", p.member_id);
    jw_key_cstr(&command->jw, "email", p.email);
    return rc;
}

const struct command_def command_invite_defs[] = {
    {.name = "invite.add", .kind = COMMAND_WRITE, .run = invite_add},
    {.name = "invite.list", .kind = COMMAND_READ, .run = invite_list},
    {.name = "invite.revoke", .kind = COMMAND_WRITE, .run = invite_revoke},
    {.name = "invite.find", .kind = COMMAND_READ, .run = invite_find},
    {.name = "invite.accept", .kind = COMMAND_WRITE, .run = invite_accept},
    {.name = NULL},
};
