/* The listening sockets: one for each worker and address. They are the master's from its start to its stop,
 * whoever of its children dies, so that a connection in their queues is never lost. */
#ifndef MASTER_LISTENERS_H
#define MASTER_LISTENERS_H

#include "base/base.h"

struct master;

/* 0, or an exit status after having said why. */
int listeners_bind(struct master *master) MUST_CHECK;
/* Where we listen, with the ports that we got: for the log and for status. */
void listeners_name(struct master *master);

#endif
