/* Looking at the children's heartbeats, as often as is due, and feeding the watchdog (master/watch.h). */
#ifndef MASTER_LOOK_H
#define MASTER_LOOK_H

struct master;

/* Whose loop does not turn any more is killed: what follows is a dead child's due. Nothing before
 * supervise_watch(). */
void look_at_children(struct master *master);

#endif
