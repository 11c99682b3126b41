/*
 * What the commands about persons, sessions, codes and invitations share. As in command_entity.h: a
 * negative answer says that the store failed; what was refused is 0, and in command->exit.
 *
 * Codes of refusals, beside those of ledger/command.h:
 *
 *     code_wrong        the e-mail code is not that, or is used up or over; which of them is not told
 *     code_too_soon     one was sent a moment ago, or many today
 *     token_gone        a link, ticket or invitation is not known, used up, revoked or over
 *     locked            too many failures to sign in: `hint` says for how long
 *     email_taken       somebody with that address is here already
 *     has_tenant        the person belongs to a tenant, and nobody belongs to two
 *     last_owner        a tenant without an owner could be run by nobody
 *     agreement_required
 *     registration_closed
 *     domain_closed     addresses of that domain may not register
 *     disabled          the person may not sign in
 *     pending_approval  the tenant waits for an operator
 *     owners_only       only an owner may do that to an owner
 *     step_used         that code of the authenticator was used before
 */
#ifndef LEDGER_COMMAND_PERSON_H
#define LEDGER_COMMAND_PERSON_H

#include "conf/conf.h"
#include "ledger/command_entity.h"
#include "ledger/person.h"
#include "ledger/session.h"

#define DAY_US INT64_C(86400000000)
#define MINUTE_US INT64_C(60000000)

/* Of routes.conf's section manage, as it is now; what stands there without a server. Any thread. */
struct person_rules {
    enum conf_registration registration;
    int64_t trial_ucr;
    uint32_t trial_days;
    int64_t session_us, session_idle_us, invite_us;
};
struct person_rules command_rules(struct command *command);
/* Whether somebody with that address may register by themselves; refused when not. In a COMMAND_WRITE. */
bool command_may_register(struct command *command, const char *email) MUST_CHECK;

/* Notes that the person agrees to the terms and the policy as they are now; refused (agreement_required) unless the
 * argument "agreed" is true. */
int command_agreed(struct command *command, struct person *person) MUST_CHECK;

/* The argument's person; refused as absent when there is none, or who is was removed. */
int command_person(struct command *command, const char *name, struct person *out) MUST_CHECK;
/* The members that say who it is, without a secret. */
void command_person_write(struct command *command, const struct person *person);
/* A mail address in lower case; refused when it is none. */
bool command_email(struct command *command, const char *name, bool must,
                   char out[ENTITY_EMAIL_MAX + 1]) MUST_CHECK;
/* An optional text of at most max bytes, into out. */
bool command_text(struct command *command, const char *name, bool must, char *out,
                  size_t cap) MUST_CHECK;

/*
 * The e-mail code of the arguments, for that purpose and address: used up when it is right; refused, and
 * counted, when it is not. To be called before anything else is put. person_id: who asked for it, of a purpose that
 * is somebody's who is signed in; else 0.
 */
int command_code_use(struct command *command, struct str purpose, const char *email, uint32_t person_id) MUST_CHECK;
/* Refuses as that does. */
void command_code_wrong(struct command *command);
/* That the address of who is made is theirs: by a code, or "verified" says that the asker has it from an OpenID
 * provider who verified it. As command_code_use(). */
int command_prove_email(struct command *command, const char *email) MUST_CHECK;
/* The identity that the arguments "issuer" and "subject" may name becomes the person's; refused when it is
 * another's. The person has its id. */
int command_link_identity(struct command *command, struct person *person) MUST_CHECK;
/* Until when nobody may try to sign in to that address; 0: anybody may. */
int command_locked_until(struct command *command, const char *email, int64_t *until_us) MUST_CHECK;
/* Failures to sign in to that address are forgotten. */
int command_failures_clear(struct command *command, const char *email) MUST_CHECK;

struct ticket { /* of one purpose: a link's or a step's, until it is used or over */
    uint32_t person_id; /* 0: nobody's */
    char data[1024];
    int64_t expires_us;
};
int ticket_put(struct command *command, struct str purpose, const struct ticket *ticket,
               char token[TOKEN_LEN + 1]) MUST_CHECK;
/* Refused (token_gone) when there is none. */
int ticket_get(struct command *command, struct str purpose, struct str token,
               struct ticket *out) MUST_CHECK;
int ticket_drop(struct command *command, struct str purpose, struct str token) MUST_CHECK;

/* The argument "password", as argon2id wrote it; may lack unless it must be there. */
bool command_password(struct command *command, bool must, struct person *person) MUST_CHECK;
/* Tells the person by mail that the password is another, and from where it was changed. */
int command_tell_password(struct command *command, const struct person *person) MUST_CHECK;
/* A person of the arguments (password, name, phone, locale) with the address that is set, under a new id
 * and not put yet. */
int command_person_new(struct command *command, struct person *person) MUST_CHECK;
/* False, and refused with the field "role", when there is none of that name. */
bool command_role_known(struct command *command, struct str role) MUST_CHECK;
/* The person becomes a member: one that was added under that address and had nobody, with the role that it has,
 * or a new one with this. Sets the person's tenant and member; puts the member, and not the person. */
int command_member_join(struct command *command, uint32_t tenant_id, struct str role,
                        struct person *person) MUST_CHECK;

#endif
