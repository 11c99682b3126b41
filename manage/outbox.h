/*
 * Carries what waits in the ledger's outboxes (ledger/outbox.h): mail to its server or program, events to webhooks.
 * Asks what is due, a few at a time, sends each on a thread of its own crew, so that no password waits for a slow
 * server, and tells the ledger how it went. What it has taken and not told of when the process dies is taken
 * again by its successor, when the lease is over.
 */
#ifndef MANAGE_OUTBOX_H
#define MANAGE_OUTBOX_H

struct manage;
struct outbox;

/* NULL: no memory, or no thread. */
struct outbox *outbox_new(struct manage *manage);
/* When nothing is under way any more: what is counts as work of the process. The loop has to run once more before outbox_free(). */
void outbox_end(struct outbox *outbox);
void outbox_free(struct outbox **outbox);

#endif
