/* Time zones by name, read once each and kept as long as the process: a look into a file at every question would be one
 * too many. Any thread. */
#ifndef LEDGER_ZONES_H
#define LEDGER_ZONES_H

#include "base/base.h"
#include "base/zone.h"

/* "" is UTC. -EINVAL, -ENOENT: this machine knows none of that name; -ENOMEM. */
int zones_find(struct str name, const struct zone **out) MUST_CHECK;

#endif
