/* Time zones by name, read once each and kept as long as the process: a look into a file at every question would be one
 * too many. Any thread. */
#ifndef LEDGER_ZONES_H
#define LEDGER_ZONES_H

#include "base/base.h"
#include "base/zone.h"

/* NULL: there is no such zone, or no memory. */
const struct zone *zones_find(struct str name);

#endif
