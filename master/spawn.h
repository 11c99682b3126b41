/*
 * Starting children: a fork, a lifeline, and what the child inherits.
 *
 * A worker gets a hold table that is free: TABLE_FREE and no living process's. A restarted one takes any,
 * so it need not wait for the sweep of its own. The table is TABLE_LIVE, and its lock held, before the
 * fork, so there is no moment at which a worker runs on a table that looks free.
 *
 * A child that fails is started again at once or, when it keeps failing, after 0.1, 0.2, … 10 s. Nothing
 * here allocates in the master.
 */
#ifndef MASTER_SPAWN_H
#define MASTER_SPAWN_H

#include "base/base.h"
#include "master/master.h"

/* Forks the ledger process. When that fails, says so and sets the moment of the next try. */
void spawn_ledger(struct master *master);
/* The same of the process that exports traces and metrics. */
void spawn_telemetry(struct master *master);
/* The same of the manage process. */
void spawn_manage(struct master *master);
/* Forks a worker of that generation into an empty place; number says which listening sockets are its.
 * It may have to wait for a table, or fail to be forked: pid 0 still, start_us is set. */
void spawn_worker(struct master *master, unsigned place, uint32_t number,
                  const struct generation *generation);
/* A child failed once more: it shall be started again, the first at_once times in a row without a wait.
 * Returns in how many ms. */
unsigned spawn_later(struct child *child, unsigned at_once);

/* So many tables are used at most: of the workers in charge, of three sets that drain, of the dead. */
uint32_t spawn_tables_max(const struct master *master);
uint32_t spawn_tables_free(const struct master *master);
/* The highest generation that the region knows of, of whichever master. */
uint32_t spawn_generation_last(const struct master *master);

#endif
