/*
 * Mail: its queue. A command that has something to tell somebody queues it in its own transaction
 * (mail_queue()); the manage process takes what is due (mail.next), sends it, and says how that went (mail.done,
 * mail.failed). What could not be sent for a day, or is of no use any more, is dropped and said so in the log.
 *
 * Nobody is refused what they do because nobody can be told of it: where the queue is full a mail that only tells
 * is dropped, counted, and named in the command's entry of the audit log. One that something is asked for by, a code or an
 * invitation, is refused, so that nobody waits for it. Codes, and what tells that somebody's sign-in was changed, go before
 * all others, and have a quarter of the queue to themselves.
 *
 * What is kept are a template's name and the values that it is filled with, sealed, since they hold codes and
 * links: the text is made when it is sent.
 */
#ifndef LEDGER_MAIL_H
#define LEDGER_MAIL_H

#include "base/base.h"
#include "ledger/command.h"

enum mail_kind {
    MAIL_VERIFY = 0,      /* code, minutes: of an address, at registration */
    MAIL_LOGIN,           /* code, minutes */
    MAIL_CHANGE_EMAIL,    /* code, minutes: to the new address */
    MAIL_RESET,           /* code, minutes, link (may lack) */
    MAIL_REGISTERED,      /* somebody wanted to register an address that is; link */
    MAIL_INVITATION,      /* tenant, inviter, role, link, expires */
    MAIL_ALERT_BUDGET,    /* tenant, level, name, share, spent, limit, window */
    MAIL_ALERT_BALANCE,   /* tenant, balance, threshold */
    MAIL_APPROVAL,        /* tenant, email: to operators, somebody waits for approval; link */
    MAIL_APPROVED,        /* tenant, link */
    MAIL_REFUSED,         /* tenant, reason (may lack) */
    MAIL_PASSWORD_CHANGED, /* ip, time */
    MAIL_EMAIL_CHANGED,   /* email (the new one): to the old address */
    MAIL_WEBHOOK_OFF,     /* tenant, url */
    MAIL_KIND_COUNT
};
extern const char *const mail_kind_name[MAIL_KIND_COUNT]; /* "verify", …: the template's name */

#define MAIL_VARS_MAX 12u
#define MAIL_VALUE_LEN_MAX 2048u

struct mail_var {
    const char *name;
    struct str value; /* without control characters; "" is as if it lacked */
};

struct mail_new {
    enum mail_kind kind;
    struct str to;      /* one address */
    struct str locale;  /* "en", "zh-CN"; STR_NONE or another: the language of routes.conf */
    uint32_t tenant_id; /* 0: nobody's */
    int64_t until_us;   /* of no use from then on; 0: in a day */
    const struct mail_var *vars;
    unsigned var_count;
};

/*
 * Queues it, in a COMMAND_WRITE's transaction, which it marks as changed. 0, also when it was refused (an
 * address that is none, no room for one that is waited for) or dropped; a negative errno: the store failed.
 */
int mail_queue(struct command *command, const struct mail_new *mail) MUST_CHECK;

/* False, and refused, when one of that kind would be for want of room: where it must not show whether there is one. */
bool mail_has_room(struct command *command, enum mail_kind kind) MUST_CHECK;

/* How many were dropped since the store was made, for want of room. */
int mail_dropped(struct db_txn *txn, uint64_t *count) MUST_CHECK;
/* Of what waits. */
uint64_t mail_waiting(struct db_txn *txn);

/*
 * The same to the tenant's members with one of those roles (NULL ends them), of many, to a few of those who came first. mail->to is
 * its own.
 */
int mail_queue_roles(struct command *command, struct mail_new *mail,
                     const char *const *roles) MUST_CHECK;

/* Whether mail_queue() takes the address: it needs no quoting. */
bool mail_can_go_to(struct str address);

#endif
