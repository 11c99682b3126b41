/*
 * What one turn of the loop writes: short output is gathered here and sent when the turn has
 * dealt with all that arrived, right before the loop may sleep.
 *
 * Sends side by side cost less than sends between other work: the peer's process is woken once
 * for several of them instead of once for each, and kernel and program do not push each other
 * out of the caches. Measured with 64 busy connections: 6 to 7 % of the CPU of a proxied call.
 * Two writes of one turn to one connection become one send. Long output goes out at once.
 *
 * For conn.c only.
 */
#ifndef NET_TURN_H
#define NET_TURN_H

#include "base/base.h"

#include <sys/uio.h>

#define TURN_WRITE_MAX (16u << 10) /* a longer write is sent at once */
#define TURN_BYTES (256u << 10)
#define TURN_ENTRIES 256u

struct conn;

struct turn_entry {
    struct conn *conn; /* NULL once it was sent or has closed */
    uint32_t off, len; /* in bytes */
    int err;           /* sending failed: told when the turn ends */
};

struct turn {
    unsigned count;
    uint32_t len;
    bool sending;
    struct turn_entry entries[TURN_ENTRIES];
    uint8_t bytes[TURN_BYTES];
};

/* Keeps a copy of the iov's bytes for the end of the turn. False when it cannot: send it now. */
bool turn_add(struct turn *turn, struct conn *conn, const struct iovec *iov, unsigned count,
              size_t total);
/* Sends what is kept for this connection, now; nothing is told to its owner before the turn ends. */
void turn_send(struct turn *turn, struct conn *conn);
/* The connection closes: nothing of it is told any more. */
void turn_forget(struct turn *turn, struct conn *conn);
/* The turn ends: sends all, and tells owners of what failed. */
void turn_end(struct turn *turn);

#endif
