/*
 * The manage process (manage/manage.h) as a child of the master's: there is always one, but while it is between two
 * deaths; it is told of as struct region_header has it, when it serves.
 *
 * All that serve, one after the other, take their connections from one listening socket, which stays open here:
 * who asks while there is none waits in its queue. After a reload another begins with the new configuration; when
 * that serves, the earlier one is told to finish what it was asked. An upgrade ends it by the end of its lifeline.
 */
#ifndef MASTER_MANAGER_H
#define MASTER_MANAGER_H

#include <sys/types.h>

#include "base/base.h"

struct master;

/* DIR/manage.sock, mode 0600, unless an earlier program has handed its socket over. An exit status. */
int manager_listen(struct master *master) MUST_CHECK;

/* Is one to be started? Then since, or from, start_us of the child. */
bool manager_is_due(const struct master *master);
/* It serves, or has failed: a start need not wait for it any more. */
bool manager_is_settled(const struct master *master);
/* Takes what it has said. */
void manager_hear(struct master *master);
/* True when it was one of them. */
bool manager_reaped(struct master *master, pid_t pid, int status);
/* A look at its heartbeat: one that hangs is killed. */
void manager_look(struct master *master, uint64_t step_us);
/* The configuration has changed: another takes its place. */
void manager_replace(struct master *master);
/* Earlier ones that do not end are killed. */
void manager_kill_overstayed(struct master *master);
uint64_t manager_due_us(const struct master *master); /* monotonic; UINT64_MAX: nothing is */

/* Nobody asks any more: tells all of them to end, once. */
void manager_end(struct master *master);
bool manager_is_gone(const struct master *master);

#endif
