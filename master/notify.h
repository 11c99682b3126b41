/* sd_notify(3)'s protocol: one datagram to $NOTIFY_SOCKET. Silent where there is none. */
#ifndef MASTER_NOTIFY_H
#define MASTER_NOTIFY_H

#include "base/base.h"

/* state is what sd_notify takes: "READY=1\nSTATUS=…". */
void notify_send(const char *state);

#endif
