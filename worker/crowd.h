/*
 * How many may come, and what they may take: the worker's bounds on connections, connections of one
 * address, calls and memory, and what becomes of who is one too many.
 *
 *     one address has too many     the connection is told 503 and closed as it is accepted
 *     too many in all              it is a spare: accepted beside the others, CROWD_SPARES of them,
 *                                  for one request. Those for /healthz and /readyz are answered, others
 *                                  get a 503; when the spares are all taken the oldest gives way
 *     too many calls, too much     a call gets a 503 before its body is read or its key looked up
 *     memory
 *     the metrics listener         has CROWD_METRICS connections of its own
 *
 * So a crowd costs memory and time that are bounded, and who wants to know whether the server lives is
 * told so. All of it is a look at a few numbers.
 */
#ifndef WORKER_CROWD_H
#define WORKER_CROWD_H

#include "worker/room.h"

#define CROWD_SPARES 64
#define CROWD_METRICS 64

/* Before the first connection: the bounds, and this thread's of memory. */
void crowd_init(struct worker *w);
/* Most clients at a time, with those that are being closed. */
size_t crowd_clients_max(const struct worker *w);
/* Most connections at a time. */
unsigned crowd_connections_max(const struct worker *w);

/* A connection waits: the client that it is to be, or NULL to refuse it. */
struct client *crowd_accept(struct worker *w, const struct net_addr *peer, bool metrics);
/* The client is no more: called by client_drop(). */
void crowd_leave(struct client *c);

/*
 * A request has come. False when it is one of a spare that must be refused, with why. A spare that finds
 * room meanwhile is one no more.
 */
bool crowd_takes_request(struct client *c, struct proto_error *error) MUST_CHECK;
/* Whether a call may begin, whose body has still so many bytes to come. */
bool crowd_takes_call(struct worker *w, uint64_t body_bytes, struct proto_error *error) MUST_CHECK;
/* Memory runs short: whose key is unknown should not hold any of it. */
bool crowd_is_thick(void);

/* What a connection is told that is refused as it is accepted. */
struct str crowd_refusal(void);

#endif
