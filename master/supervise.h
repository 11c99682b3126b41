/*
 * Looking after children: hearing that they serve, noticing that they died or hang, having them started
 * again (master/spawn.h), and stopping.
 *
 * Workers are of a generation: one reading of routes.conf and the certificates. Those in charge are
 * started again when they die; those that a reload starts, and old ones that drain, are not.
 *
 * A dead worker's hold table is marked TABLE_DEAD here, after its reaping and at no other time;
 * the ledger process sweeps the table and marks it TABLE_FREE; only then is it given to a new worker.
 *
 * A child that died is started again at once; a ledger process up to three times, since accounts
 * that one left frozen wait for the next. Those that keep dying are started with a growing delay; one
 * that lived for 10 s starts over at once. Nothing here allocates; master/reload.c does.
 */
#ifndef MASTER_SUPERVISE_H
#define MASTER_SUPERVISE_H

#include "base/base.h"
#include "master/master.h"

/* Moves a worker to where old ones drain, and tells it to. The place is empty afterwards. */
void supervise_drain(struct master *master, unsigned place);
/* The telemetry process is told to send what it has and to end; another is started where there shall be one. */
void supervise_end_telemetry(struct master *master);
unsigned supervise_draining(const struct master *master);
unsigned supervise_accepting(const struct master *master); /* of them: that have not begun to */

/* Those that an upgrade has left serving (struct child, replaced) are told to. */
void supervise_replace(struct master *master);
/* Tells the ledger process that another will want its place. */
void supervise_ledger_leaves(struct master *master);

/* Forks the ledger process and waits until it serves. 0; or its exit status, or CLI_FAILED. */
int supervise_start_ledger(struct master *master) MUST_CHECK;
/* Forks all workers and waits until they serve. 0 or CLI_FAILED. */
int supervise_start_workers(struct master *master) MUST_CHECK;

/* The same in steps, for an upgrade: starts who is due, and waits for news for so long at most. */
void supervise_step(struct master *master, int timeout_ms);
unsigned supervise_serving(const struct master *master); /* of the workers in charge */
bool supervise_died(const struct master *master);        /* one of them has */
/* Until the workers, which have been told to drain, are gone and everything is committed. An exit status. */
int supervise_finish(struct master *master) MUST_CHECK;
/* From now on children are looked after by their heartbeats, too. */
void supervise_watch(struct master *master);

/* Until everything has stopped. Returns the exit status of serve. */
int supervise_run(struct master *master) MUST_CHECK;

#endif
