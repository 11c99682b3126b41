/* What the master sees of workers in the memory file, and does about it from outside. */
#ifndef MASTER_WATCH_H
#define MASTER_WATCH_H

#include "shm/region.h"

/*
 * Kills the workers that a master before this one left behind: they are nobody's children, finish
 * their calls by themselves, and are not waited for by who must stop at once. Their holds are settled
 * as any dead worker's.
 */
void watch_kill_older(const struct region *region);

#endif
