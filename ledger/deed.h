/*
 * What the server itself does and the audit log tells of: it read routes.conf again, it is another version. By whom: who
 * asked for it, else the signal. What failed has changed nothing and is in the server's log alone. Main thread.
 */
#ifndef LEDGER_DEED_H
#define LEDGER_DEED_H

#include "base/base.h"

struct command_actor;
struct ledger;

/* A generation of workers that go by the routes.conf now in force. asker NULL: by SIGHUP. Negative: the store failed. */
int deed_reload(struct ledger *ledger, const struct command_actor *asker, uint32_t generation) MUST_CHECK;
/* What the master says of an upgrade: {"from":…,"to":…,"generation":N,"uid":N}; without uid by SIGUSR2. Likewise. */
int deed_upgrade(struct ledger *ledger, struct str said) MUST_CHECK;

#endif
