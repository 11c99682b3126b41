/* Who calls: the key of a request, found and looked over. No money, no limits here. */
#ifndef WORKER_AUTH_H
#define WORKER_AUTH_H

#include "worker/room.h"

struct auth {
    uint32_t key_idx;
    struct key_slot *key;
    const struct account *account;
    const struct key_extra *extra; /* NULL: no restrictions */
};

/*
 * The key of the request: Authorization: Bearer, x-api-key, x-goog-api-key, the subprotocol
 * openai-insecure-api-key.KEY of a WebSocket, or ?key=. False with
 * *error when it is missing, unknown, expired (401), disabled or called from elsewhere than it may
 * (403), or when this address has shown too many wrong ones (429).
 */
bool MUST_CHECK auth_check(struct client *client, const struct h1_head *head, struct auth *auth,
                           struct proto_error *error);
/* Its scopes let it call models; else false with *error (403). */
bool MUST_CHECK auth_may_call(struct client *client, const struct auth *auth,
                              struct proto_error *error);

#endif
