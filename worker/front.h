/*
 * The way to the management API: requests for `/`, `/api/…` and the console's paths go to the manage process, over
 * a Unix socket, and its answers to the client. Nothing here knows what is asked or who may.
 *
 * A request is taken whole, at most FRONT_BODY_BYTES_MAX of it, and written afresh: the path as it was understood here, and of the
 * headers those of a list, each once. What a client says of who it is, or of how the message is framed, does not pass. An answer
 * passes as it comes, no faster than the client takes it; one that is short and says how long it is, in one piece.
 *
 * Whatever becomes of the manage process, no call notices: what it does not answer is a 503, in time. A client
 * that leaves is told to it by the end of the connection.
 */
#ifndef WORKER_FRONT_H
#define WORKER_FRONT_H

#include "worker/room.h"

#define FRONT_BODY_BYTES_MAX (1u << 20)

int front_init(struct worker *w) MUST_CHECK; /* 0 or -ENOMEM */

/* Whether a path that is no endpoint's (normalised) is asked of the manage process. */
bool front_takes(const struct h1_head *head, struct str path) MUST_CHECK;
/* The head of such a request is there, and so many bytes of its body still to come, of which the client may not have said how
 * many (chunked). False: it was refused. */
bool front_begins(struct client *client, uint64_t to_come) MUST_CHECK;
/* The request is whole: passes it on. The client is answering. */
void front_ask(struct client *client, struct str path);
/* In the shape of that API: 413 and the like, of a request that front_begins() let through, or 503. */
void front_refuse(struct client *client, unsigned status, const char *code, const char *detail);
/* The same of one whose body, then, was bad (client->req.error). */
void front_refuse_bad(struct client *client);

void front_client_gone(struct client *client);
void front_client_drained(struct client *client);
/* The worker drains: connections that nobody uses go, and streams of events, which have no end, have one now: who
 * listens connects again. All else is answered. */
void front_drain(struct worker *w);

#endif
