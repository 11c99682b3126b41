/*
 * What the master sees of its children in the memory file, and does about it from outside.
 *
 * A worker's loop turns at least once a second, and says so in its table: the heartbeat. One whose
 * heartbeat stands still is hung (or stopped): it is killed, and from then on a dead worker as any
 * other. Its silence is counted by our own looks, not by the clock: while the machine sleeps, or we
 * are stopped ourselves, nobody's counts, and after that all begin anew.
 *
 * The ledger process is watched in the same way, but has work whose length is the disk's: a commit, a
 * recovery. In the middle of it, which it says, only a much longer silence counts, since a killed one
 * would begin the same work again.
 *
 * The same looks feed systemd's watchdog, while all are well.
 */
#ifndef MASTER_WATCH_H
#define MASTER_WATCH_H

#include "shm/region.h"

struct watch {
    uint64_t limit_us;  /* silent for so long: hung; 0: none ever is */
    uint64_t every_us;  /* from look to look */
    uint64_t looked_us; /* monotonic; 0 not yet */
    bool watchdog;      /* systemd wants to hear that all is well */
};

/* A child, as it was seen last. */
struct pulse {
    uint64_t heartbeat_us; /* what it said */
    uint64_t silent_us;    /* since then, over the looks at it */
};

/* limit_us 0: nobody is killed. The watchdog's wish is in the environment (sd_watchdog_enabled(3)). */
void watch_init(struct watch *watch, uint64_t limit_us);
/* When the next look is due, monotonic. */
uint64_t watch_due_us(const struct watch *watch);
/*
 * A look. False when none is due. *step_us is how much silence it adds; 0 when it is so late that we
 * did not run ourselves.
 */
bool watch_begin(struct watch *watch, uint64_t now_us, uint64_t *step_us) MUST_CHECK;

enum pulse_state {
    PULSE_WELL = 0,
    PULSE_LATE, /* the watchdog is not fed */
    PULSE_HUNG,
    PULSE_STATE_COUNT
};
enum pulse_state pulse_take(const struct watch *watch, struct pulse *pulse, uint64_t heartbeat_us,
                            uint64_t step_us) MUST_CHECK;

/* How long work may take, 0 for ever: ten times the limit and five minutes at least. */
uint64_t watch_work_us(const struct watch *watch);
/* Of who is at such work: well, or at last hung. */
enum pulse_state pulse_take_work(const struct watch *watch, struct pulse *pulse,
                                 uint64_t heartbeat_us, uint64_t step_us) MUST_CHECK;

/* All are well: tells systemd, if it wants to know. */
void watch_feed(const struct watch *watch);

/*
 * Kills the workers that a master before this one left behind: they are nobody's children, finish
 * their calls by themselves, and are not waited for by who must stop at once. Their holds are settled
 * as any dead worker's.
 */
void watch_kill_older(const struct region *region);

#endif
