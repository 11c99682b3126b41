/*
 * What the operations about people share: work on passwords beside the loop, the check that somebody is a
 * person, and signing in.
 */
#ifndef MANAGE_PEOPLE_H
#define MANAGE_PEOPLE_H

#include "base/base.h"
#include "conf/conf.h"
#include "manage/op.h"
#include "manage/password.h"

struct password_work;
typedef void (*password_then_fn)(struct op_call *call, const struct password_work *work);

/* What was done beside the loop; its own memory, wiped when it ends. */
struct password_work {
    password_then_fn then;
    char password[PASSWORD_LEN_MAX + 1];
    size_t password_len;
    char wanted[PASSWORD_HASH_LEN_MAX]; /* to be compared with; "": nobody's */
    bool compare;
    bool matches;
    char made[PASSWORD_HASH_LEN_MAX]; /* of a new password, or of one that matched and is to be dearer; else "" */
};

/* Both take copies. then comes on the loop, unless the client left. */
void people_hash(struct op_call *call, struct str password, password_then_fn then);
void people_match(struct op_call *call, struct str password, struct str hash, password_then_fn then);
/* False, and refused, when the new password in that field is too weak. */
bool people_password_ok(struct op_call *call, const char *field, struct str email, struct str other) MUST_CHECK;

/* Goes on when the field "turnstile" is a person's answer, or when nobody asks for one. */
void people_human(struct op_call *call, void (*then)(struct op_call *call));

/* Opens a session of that person, sets its cookie and answers (schema SignIn). */
void people_sign_in(struct op_call *call, uint64_t person_id);
/* The same, or when that person has a second factor, a ticket to go on with. */
void people_first_factor(struct op_call *call, uint64_t person_id, bool second_factor);

/*
 * What made a person was done: signs them in. Not when it is an answer given again to an Idempotency-Key: that is
 * told apart without secrets, so that whoever has the key and no password would get in. They sign in by that.
 */
void people_came_in(struct op_call *call, const struct ledger_answer *answer);

/* Asks for the caller's own password in the field "password" again, before what is dear; then(call). Failures
 * count as those of signing in do. A person without one (signed in by another) is let through. */
void people_prove(struct op_call *call, void (*then)(struct op_call *call));

/*
 * Somebody failed to sign in, how (ledger/command_failed.c lists them): of person_id, or when that is 0 of an address.
 * The audit log is told, then the call is refused; field may be NULL. When the log cannot be told it is refused all the same.
 */
void people_failed(struct op_call *call, const char *how, uint64_t person_id, struct str email, unsigned status,
                   const char *field, const char *code);
/* The same of who came by a provider, person_id 0: as nobody we know; then(call, code) in the place of a refusal. */
void people_failed_then(struct op_call *call, const char *how, uint64_t person_id, const char *code,
                        void (*then)(struct op_call *call, const char *code));

/* Refuses as op_refused() does, but with 429 what is a matter of too often. */
void people_refused(struct op_call *call, const struct ledger_answer *answer);

const struct conf *people_conf(const struct op_call *call);
/* Where people reach this server, without a slash at its end: of routes.conf, or as the request came. In the arena. */
struct str people_url(struct op_call *call);
/* As a question's member "link", that with a path; none where only the request says the host: what anybody may have
 * mailed to somebody leads to no place of his choice. */
void people_say_link(struct op_call *call, struct jw *jw, const char *path);
/* That and a path. STR_NONE: no memory. */
struct str people_link(struct op_call *call, const char *path);

#endif
