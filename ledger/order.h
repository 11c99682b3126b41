/*
 * Orders: money that is to come, came, or did not. An order is one attempt to pay with one provider; its ID is a ULID, and
 * the only name of ours that a provider hears. What it credits is fixed when it is made.
 *
 *     created    made; the provider has not been asked yet
 *     pending    the provider waits for the payer
 *     credited   money came, and the credit with it
 *     review     money came that is not what was asked for: a person decides
 *     expired    nothing came in time. Money that comes later credits it all the same
 *     failed     the provider, or the payer's bank, said no
 *     cancelled  by who made it, before money came
 *     frozen     the payer took the money back through their bank, or tries to
 *
 * A document each (DB_ORDER), found by tenant and time (DB_ORDER_OF) and, while it is created or pending, by when it has to be
 * looked at again (DB_ORDER_OPEN). Everything that a provider said is in the inbox (DB_INBOX): once by its event, once by
 * its payment. What a person has to look at is in DB_REVIEW until it is resolved.
 */
#ifndef LEDGER_ORDER_H
#define LEDGER_ORDER_H

#include "base/base.h"
#include "base/js.h"
#include "base/str.h"
#include "conf/conf.h"
#include "ledger/command.h"

#define ORDER_ID_LEN 26u
#define ORDER_NAME_MAX 64u   /* of a provider, plan, promotion */
#define ORDER_REF_MAX 200u   /* what a provider calls it */
#define ORDER_URL_MAX 2048u
#define ORDER_NOTE_MAX 200u
#define ORDER_STEPS_MAX 40u  /* of its timeline; later ones replace the last */

enum order_state {
    ORDER_CREATED = 0,
    ORDER_PENDING,
    ORDER_CREDITED,
    ORDER_REVIEW,
    ORDER_EXPIRED,
    ORDER_FAILED,
    ORDER_CANCELLED,
    ORDER_FROZEN,
    ORDER_STATE_COUNT
};
extern const char *const order_state_name[ORDER_STATE_COUNT];

struct order_step {
    int64_t at_us;
    uint32_t state; /* enum order_state */
    char note[ORDER_NOTE_MAX + 1];
};

struct order {
    char id[ORDER_ID_LEN + 1];
    uint32_t tenant_id, person_id; /* person 0: by a key or the command line */
    char confirmed_by[ORDER_NAME_MAX + 1]; /* who confirmed a transfer that wants two; "": nobody */
    char provider[ORDER_NAME_MAX + 1];
    char account[ORDER_NAME_MAX + 1], app[ORDER_NAME_MAX + 1]; /* that money must come to; "": any of ours */
    char promo[ORDER_NAME_MAX + 1], plan[ORDER_NAME_MAX + 1];
    enum conf_currency currency;
    int64_t amount_minor; /* of the currency */
    int64_t credits_ucr, bonus_ucr;
    int64_t created_us, expires_us, credited_us;
    int64_t due_us; /* when it is looked at again; 0: never */
    uint32_t looks; /* how often it was */
    enum order_state state;
    bool live, late; /* late: money came when it had expired */
    char ref[ORDER_REF_MAX + 1], payment[ORDER_REF_MAX + 1];
    char url[ORDER_URL_MAX + 1], qr[ORDER_URL_MAX + 1];
    int64_t refunded_minor;
    struct order_step steps[ORDER_STEPS_MAX];
    uint32_t step_count;
};

void order_id_new(char id[ORDER_ID_LEN + 1], int64_t wall_us);
int order_get(struct db_txn *txn, struct str id, struct order *out) MUST_CHECK; /* -ENOENT, -EILSEQ */
/* What stands beside it follows: state and due time may be others than those in the store. */
int order_put(struct db_txn *txn, struct order *order) MUST_CHECK;
/* A step of its timeline, to that state. */
void order_step(struct order *order, int64_t at_us, enum order_state state, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* Members of an answer. */
void order_write(struct command *command, const struct order *order);

/* When it is looked at again after so many looks: 5 s, 15 s, 30 s, 1 min, 3 min, 10 min, 30 min, then hourly, until a day
 * after it expires; 0: no more. */
int64_t order_next_look_us(const struct order *order, int64_t now_us);

/* ---- what a provider said ---- */

/* Words of pay/pay.h, which this room may not know. */
enum order_event {
    SAID_OTHER = 0,
    SAID_PAID,
    SAID_PENDING,
    SAID_PARTLY,
    SAID_FAILED,
    SAID_EXPIRED,
    SAID_REFUNDED,
    SAID_REFUND_FAILED,
    SAID_DISPUTED,
    SAID_DISPUTE_CLOSED,
    SAID_COUNT
};
extern const char *const order_event_name[SAID_COUNT];

struct order_notice {
    struct str provider, event_id, event, order_id, payment_id, currency, account, app, digest;
    int64_t amount_minor; /* -1: it does not say */
    bool live;
};
#define ORDER_BANK "bank" /* the provider of transfers that people confirm */
enum order_result { NOTICE_CREDITED = 0, NOTICE_ALREADY, NOTICE_NOTED, NOTICE_REVIEW, NOTICE_UNKNOWN, NOTICE_RESULT_COUNT };
extern const char *const order_result_name[NOTICE_RESULT_COUNT];
/*
 * In a COMMAND_WRITE: the inbox, the comparison with the order, its state and the credit, all or nothing. A refused
 * command (the balance cannot hold it) changes nothing.
 */
int order_notice(struct command *command, const struct order_notice *notice, enum order_result *result) MUST_CHECK;
/* The same for money that a person says is the order's: credited as it was asked for. The order is put by the caller. */
int order_credit(struct command *command, struct order *order, const char *note) MUST_CHECK;

#endif
