/* sd_notify(3)'s protocol: one datagram to $NOTIFY_SOCKET. Silent where there is none. */
#ifndef MASTER_NOTIFY_H
#define MASTER_NOTIFY_H

#include "base/base.h"

/* state is what sd_notify takes: "READY=1\nSTATUS=…". */
void notify_send(const char *state);
/*
 * Something takes its time and goes on: the service manager is to wait longer than it would, and to show
 * status. May be called at any time and is said every few seconds; it must then be said again within 20 s.
 */
void notify_goes_on(const char *status);

#endif
