/*
 * One coarse timer wheel for all deadlines of a worker, in ticks of 10 ms. A deadline may come
 * up to one tick late, never early. Setting and cancelling are a few instructions and no system
 * call; moving a deadline later, which is what every byte of progress does, only stores it: the
 * timer is looked at when its old slot comes up, and goes back in. One uv_timer is armed, and
 * only while something is on the wheel.
 */
#ifndef NET_WHEEL_H
#define NET_WHEEL_H

#include "base/base.h"
#include "base/list.h"

#include <uv.h>

#define WHEEL_TICK_MS 10u
#define WHEEL_SLOTS 4096u /* 41 s; what is due later is looked at once a turn of the wheel */

struct wheel_timer;
typedef void (*wheel_fn)(struct wheel_timer *timer);

/* Embedded by its owner; zeroed memory is a timer that is not set. */
struct wheel_timer {
    struct list node;
    wheel_fn fn;
    uint64_t due_tick : 48; /* when to call fn; 0: not set */
    uint64_t place : 16;    /* 1 and the slot it is in; 0: in none; WHEEL_SOON: for the next turn */
};
#define WHEEL_SOON UINT16_MAX
_Static_assert(sizeof(struct wheel_timer) == 32, "each stream has five of them");

struct wheel {
    uv_timer_t uv;
    uv_idle_t idle;      /* active while something is in soon: the loop then does not sleep */
    struct list soon;    /* wheel_soon() */
    uint64_t tick;       /* every slot up to and with this one has been looked at */
    uint64_t armed_tick; /* the uv_timer's; 0: not armed */
    size_t count;        /* timers in slots */
    bool running;        /* inside the expiry loop: arming waits for its end */
    struct list slots[WHEEL_SLOTS];
    uint64_t used[WHEEL_SLOTS / 64]; /* a set bit: the slot may hold timers */
};

int MUST_CHECK wheel_init(struct wheel *wheel, uv_loop_t *loop);
/* Asks libuv to close the timer; nothing may be on the wheel. Memory goes after the next turn. */
void wheel_close(struct wheel *wheel);

/*
 * Calls fn once, delay_ms from now (at least one tick), replacing what was set before. fn may
 * set it again, and may free the timer's owner.
 */
void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t delay_ms, wheel_fn fn);
/*
 * Calls fn in the next turn of the loop, without waiting for a tick: how a function that must
 * not call back at once puts it off. Replaces what was set before.
 */
void wheel_soon(struct wheel *wheel, struct wheel_timer *timer, wheel_fn fn);
/* fn will not come. Safe when not set, and twice. After it the timer's memory may go. */
void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer);

static inline bool
wheel_is_set(const struct wheel_timer *timer)
{
    return timer->due_tick != 0;
}

/* Was set by wheel_soon(), and fn has not come yet. */
static inline bool
wheel_is_soon(const struct wheel_timer *timer)
{
    return timer->place == WHEEL_SOON;
}

/*
 * The wheel without libuv, for tests: looks at all slots up to now_ms and calls what is due;
 * returns the ms until it wants to be called again, or UINT64_MAX when nothing is on it.
 */
uint64_t wheel_advance(struct wheel *wheel, uint64_t now_ms);

#endif
