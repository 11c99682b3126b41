/*
 * Webhooks: what happens to a tenant, told to addresses of its own. A document each (DB_WEBHOOK, id); what is to be
 * delivered, and was, is in the outbox of DB_DELIVERY, with
 *
 *     't', tenant as u32, id as u64 -> nothing: a tenant's, in their order
 *
 * beside its entries. What an event says is made once, when it happens, in the transaction that it happens in, so
 * that each try is the same bytes. The manage process delivers, signed with the webhook's secret.
 *
 * A delivery is tried for a day; one that has failed can be sent again by hand. A webhook that has failed for days is
 * turned off, and the tenant's owners are told. Deliveries that are over are kept for a month.
 */
#ifndef LEDGER_WEBHOOK_H
#define LEDGER_WEBHOOK_H

#include "base/base.h"
#include "ledger/command.h"
#include "ledger/doc.h"
#include "ledger/outbox.h"

#define WEBHOOK_URL_MAX 2048u
#define WEBHOOK_SECRET_LEN 70u /* "whsec_" and 64 hex digits */
#define WEBHOOKS_MAX 20u       /* of a tenant */

enum webhook_event {
    EVENT_PING = 0, /* asked for by hand; every webhook gets it */
    EVENT_ALERT_BUDGET,
    EVENT_ALERT_BALANCE,
    EVENT_COUNT
};
extern const char *const webhook_event_name[EVENT_COUNT]; /* "ping", "alert.budget", … */

struct webhook {
    uint32_t id, tenant_id;
    char url[WEBHOOK_URL_MAX + 1];
    uint32_t events; /* bits of enum webhook_event; 0: all */
    bool disabled;
    char reason[32]; /* of its being disabled: "failing", or "" */
    int64_t created_us;
    int64_t failing_us; /* since when nothing came through; 0: it works */
    int64_t old_until_us; /* until when the secret before this is good, too */
    char secret[320], old_secret[320]; /* sealed */
};

int webhook_get(struct db_txn *txn, uint32_t id, struct webhook *out) MUST_CHECK; /* -ENOENT, -EILSEQ */
int webhook_put(struct db_txn *txn, const struct webhook *webhook) MUST_CHECK;

/*
 * Queues an event for all of the tenant's webhooks that want it, in a COMMAND_WRITE's transaction, which it marks as
 * changed when there are any. data: a JSON object.
 */
int webhook_queue(struct command *command, uint32_t tenant_id, enum webhook_event event,
                  struct str data) MUST_CHECK;
/* The same for one of them, whatever it wants. */
int webhook_queue_for(struct command *command, const struct webhook *webhook, enum webhook_event event,
                      struct str data, uint64_t *delivery_id) MUST_CHECK;

/* What an item of DB_DELIVERY holds; views into the store. */
enum delivery_state { DELIVERY_PENDING = 0, DELIVERY_DONE, DELIVERY_FAILED, DELIVERY_STATE_COUNT };
extern const char *const delivery_state_name[DELIVERY_STATE_COUNT];
struct delivery {
    struct outbox_item item;
    uint32_t webhook_id, tenant_id;
    enum delivery_state state;
    struct str event, body; /* body: escaped, as between the quotes of a JSON string */
    struct js_value log;    /* an array of tries: {"time":us,"status":N,"ms":N,"why":"…"} */
};
int delivery_get(struct db_txn *txn, uint64_t id, struct delivery *out) MUST_CHECK; /* -ENOENT, -EILSEQ */

#endif
