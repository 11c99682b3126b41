/*
 * Receipts: the store is the ledger process's, so a worker asks it over the control socket, without
 * waiting, and sends on what it says. Bounded in number and time.
 */
#ifndef WORKER_RECEIPT_H
#define WORKER_RECEIPT_H

#include "worker/room.h"

void receipt_ask(struct client *client, struct str id, enum proto_protocol shape,
                 uint32_t tenant_id);
void receipt_client_gone(struct client *client);

#endif
