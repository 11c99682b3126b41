/*
 * What waits to go out: mail (DB_MAIL) and deliveries of webhooks (DB_DELIVERY). The ledger keeps the queues, so
 * that what is queued is queued in the transaction that made it so; the manage process asks for what is due,
 * carries it, and says how that went. In both tables
 *
 *     'i', id as u64            -> JSON: {"created":…,"due":…,"until":…,"tries":…,"what":{…}}
 *     'd', due as u64, id as u64 -> nothing: what is to be tried, by its time
 *
 * An item that is handed out is due again a little later, by then with one try more: when who took it dies, it is
 * tried again. So all of it comes at least once.
 */
#ifndef LEDGER_OUTBOX_H
#define LEDGER_OUTBOX_H

#include "base/base.h"
#include "ledger/db.h"

#define OUTBOX_LEASE_US INT64_C(120000000) /* for who carries an item to say how it went */
#define OUTBOX_DAY_US INT64_C(86400000000)

struct outbox_item {
    uint64_t id; /* by table, never used again */
    int64_t created_us;
    int64_t due_us;   /* 0: over, it is only kept to be shown */
    int64_t until_us; /* given up then */
    uint32_t tries;   /* begun */
    struct str what;  /* a JSON object; of one that was got, a view into the store */
};

/* Gives it an id. */
int outbox_add(struct db_txn *txn, enum db_table table, struct outbox_item *item) MUST_CHECK;
int outbox_get(struct db_txn *txn, enum db_table table, uint64_t id,
               struct outbox_item *out) MUST_CHECK; /* -ENOENT, -EILSEQ */
/* Changed; due_was_us: as it was got. what may be the view that it was got with. */
int outbox_put(struct db_txn *txn, enum db_table table, const struct outbox_item *item,
               int64_t due_was_us) MUST_CHECK;
int outbox_drop(struct db_txn *txn, enum db_table table, const struct outbox_item *item) MUST_CHECK;
/* The ids of the first that are due since from_us or later, at most max. */
int outbox_due(struct db_txn *txn, enum db_table table, int64_t from_us, int64_t now_us, uint64_t *ids, unsigned max,
               unsigned *count) MUST_CHECK;
/* From when on there is something to do; INT64_MAX: never. */
int outbox_next_due(struct db_txn *txn, enum db_table table, int64_t *due_us) MUST_CHECK;
/* After so many tries: first_us, doubled with each, at most an hour, an eighth more or less by random. */
int64_t outbox_wait_us(uint32_t tries, int64_t first_us, uint64_t random);

#endif
