/*
 * Mail: a message by the standards (RFC 5322, 2045 to 2047, 3834), and its way out: to a server through libcurl
 * (manage/curl.h), encrypted unless it is at a loopback address, or to a program like sendmail, which is run
 * without a shell. The queue is the ledger's: ledger/mail.h.
 *
 * Nothing that a person wrote gets into a header but as an encoded word, nor into an envelope but as an address
 * that needs no quoting; so no header and no command can be made of it.
 */
#ifndef MANAGE_MAIL_H
#define MANAGE_MAIL_H

#include "base/base.h"
#include "base/buf.h"
#include "conf/conf.h"
#include "manage/mail_template.h"

struct mail_head {
    struct str to;       /* one address */
    uint64_t id;         /* of the queue, and when it was queued: the same message has the same Message-ID */
    int64_t created_us;
    int64_t wall_us;     /* now: its date */
    enum conf_language language;
};

/* As it may stand between "<" and ">" of a header or an envelope. */
bool mail_address_ok(struct str address);

/* Appends the message, its lines ended by CR LF. False: an address is none, or memory is short. */
bool mail_message(const struct conf_mail *conf, const struct mail_head *head,
                  const struct mail_text *text, struct buf *out) MUST_CHECK;

enum mail_sent { MAIL_SENT = 0, MAIL_LATER, MAIL_NEVER };
/* Waits. why gets a few words, without the address and without secrets. */
enum mail_sent mail_send(const struct conf_mail *conf, struct str to, struct str message, char *why,
                         size_t why_cap);

#endif
