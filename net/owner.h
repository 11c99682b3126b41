/* Which process listens on a port: for saying it to who wanted the port. */
#ifndef NET_OWNER_H
#define NET_OWNER_H

#include <sys/types.h>

#include "base/base.h"

struct net_owner {
    pid_t pid;
    char name[32]; /* of its program, as the kernel keeps it */
};

/* False: nobody does, or /proc does not tell us. Reads all of /proc: not for a loop's thread. */
bool net_port_owner(uint16_t port, struct net_owner *out);

#endif
