/* What the gateway answers itself: models, balance, receipts, health. */
#ifndef WORKER_OWN_H
#define WORKER_OWN_H

#include "worker/auth.h"
#include "worker/room.h"

void own_health(struct client *client, enum proto_endpoint endpoint);
/* what: MODELS_LIST, MODEL_GET, RECEIPT or BALANCE. shape: of errors. */
void own_answer(struct client *client, const struct proto_what *what, enum proto_protocol shape,
                const struct auth *auth);
/* The client of a receipt's query is gone. */
void own_client_gone(struct client *client);

#endif
