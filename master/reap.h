/*
 * Children that ended: what that means for their tables in shared memory, and when another takes their
 * place.
 */
#ifndef MASTER_REAP_H
#define MASTER_REAP_H

#include "master/master.h"

/* All that ended since. */
void reap_all(struct master *m);
/* One was waited for: nothing of it is left but how often it died in a row. */
void reap_forget(struct child *child);

#endif
