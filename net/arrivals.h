/*
 * What one turn of the loop reads: what came for all connections is taken from their sockets first,
 * and dealt with when all of it is here, right after the loop has slept; then net/turn.h sends what
 * came of it.
 *
 * Reads side by side cost less than reads between other work, for the reasons given there; and
 * what connections do that this process dialled comes together, and what accepted ones do: each has
 * code of its own, which a first cache holds no more than one half of. Measured with 64 busy
 * connections: 5 % of the CPU of a proxied call.
 *
 * Dialled ones come first: what they bring to an end is free for what accepted ones begin.
 *
 * For conn.c and net.c only.
 */
#ifndef NET_ARRIVALS_H
#define NET_ARRIVALS_H

#include "base/base.h"
#include "net/net.h"

#define ARRIVALS_BYTES (256u << 10)
#define ARRIVALS_MAX 256u
_Static_assert(ARRIVALS_BYTES >= 2 * NET_READ_BYTES, "more than one of them");

struct conn;

struct arrival {
    struct conn *conn;
    uint32_t off, len; /* in bytes */
};

struct arrivals {
    unsigned count;
    uint32_t len;
    struct arrival entries[ARRIVALS_MAX];
    uint8_t bytes[ARRIVALS_BYTES];
};

/*
 * recv() of at most cap bytes, which is at most NET_READ_BYTES, and its result. What came is dealt with
 * later: conn->arrived until then. What waits is dealt with before, when there is no room beside it.
 */
ssize_t arrivals_take(struct arrivals *arrivals, struct conn *conn, size_t cap);
/* Deals with all that waits: tells owners of it, but for connections that are closing by now. */
void arrivals_deliver(struct arrivals *arrivals);

#endif
