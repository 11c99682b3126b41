/*
 * Connections to upstreams, pooled: one pool an upstream and worker. A connection is dialled for a
 * call, lent to one call at a time, and kept for the next when the answer ended cleanly.
 */
#ifndef WORKER_UCONN_H
#define WORKER_UCONN_H

#include "worker/room.h"

void pool_init(struct pool *pool, struct worker *w, size_t upstream_idx, struct tls_client *tls);

enum uconn_took { UCONN_TOOK_IDLE = 0, UCONN_TOOK_NEW, UCONN_TOOK_NONE };
/*
 * Gives the call a connection (call->uconn): a kept one at once, or a new one that will say
 * forward_connected() or forward_conn_failed() in a later turn, or none: too many are open. A call
 * that makes something (kept_makes()) never gets a kept one.
 */
enum uconn_took uconn_take(struct pool *pool, struct call *call) MUST_CHECK;
/* Takes it from its call and closes it: the answer is not wanted, or cannot be trusted. */
void uconn_cancel(struct uconn *uc);
/* The same, but what was written goes out before: of what is not HTTP any more. */
void uconn_finish(struct uconn *uc);
/* Takes it from its call, whose answer is complete as far as the call cares: keeps it if it can be used
 * again, reads what is left of the answer if there is some (bounded), else closes it. */
void uconn_release(struct uconn *uc);
/* Closes what is kept: one was found dead, the others went away with it. */
void uconn_drop_idle(struct pool *pool);

#endif
