/*
 * Connections within the machine, over a Unix socket that has a name in a directory. Listening and connections
 * are else as TCP's are: listener_start() takes the socket, events come as from any connection. Peers have no address
 * (family 0).
 */
#ifndef NET_UNIX_H
#define NET_UNIX_H

#include "base/base.h"
#include "net/conn.h"
#include "net/net.h"

#define UNIX_PATH_MAX 107 /* bytes of a path */

/*
 * A bound, listening, non-blocking, close-on-exec socket at path, mode 0600, in the place of one that nobody listens on
 * any more (the caller knows that): needs no loop. Negative errno on failure; -ENAMETOOLONG past UNIX_PATH_MAX.
 */
int MUST_CHECK net_listen_unix(const char *path);

/*
 * Starts a connection (zeroed before). 0, then on_open in a later turn; or a negative errno, and the conn stays unused:
 * -ENOENT, -ECONNREFUSED: nobody listens; -EAGAIN: too many wait to be accepted.
 */
int MUST_CHECK net_dial_unix(struct net *net, struct conn *conn, const struct conn_events *events,
                             const char *path);

#endif
