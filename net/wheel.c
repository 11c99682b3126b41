/*
 * The timer wheel. A timer sits in the slot of the tick when it is next looked at, which is
 * never after its deadline and at most one turn of the wheel away. So a far deadline, and one
 * that was moved later while it sat there, are the same case: looked at, not due, put back in.
 *
 * `used` has a bit for each slot that may hold timers; the next armed tick is found by scanning
 * it. A bit outlives a cancelled timer until its slot is looked at: one idle wake-up.
 */
#include "net/wheel.h"

#include <string.h>

#define SLOT_MASK (WHEEL_SLOTS - 1)
#define DUE_TICK_MAX (((uint64_t)1 << 48) - 1) /* in 89,000 years */
_Static_assert((WHEEL_SLOTS & SLOT_MASK) == 0, "slots are found by a mask");
_Static_assert(WHEEL_SLOTS < WHEEL_SOON, "a place is a slot or soon");

static void wheel_arm(struct wheel *wheel);

static void
wheel_on_timer(uv_timer_t *uv)
{
    struct wheel *wheel = CONTAINER_OF(uv, struct wheel, uv);

    wheel->armed_tick = 0;
    (void)wheel_advance(wheel, uv_now(uv->loop));
    wheel_arm(wheel);
}

/* Only what is there now: what its callbacks add waits for the next turn, or two owners could
 * keep the loop from its sockets. */
static void
wheel_on_idle(uv_idle_t *idle)
{
    struct wheel *wheel = CONTAINER_OF(idle, struct wheel, idle);
    struct list batch;

    list_init(&batch);
    while (!list_empty(&wheel->soon))
        list_move_back(&batch, wheel->soon.next);
    while (!list_empty(&batch)) {
        struct wheel_timer *timer = LIST_FIRST(&batch, struct wheel_timer, node);

        list_remove(&timer->node);
        timer->place = 0;
        timer->due_tick = 0;
        timer->fn(timer);
    }
    if (list_empty(&wheel->soon))
        (void)uv_idle_stop(idle);
}

int
wheel_init(struct wheel *wheel, uv_loop_t *loop)
{
    int rc;

    memset(wheel, 0, sizeof(*wheel));
    for (size_t i = 0; i < WHEEL_SLOTS; i++)
        list_init(&wheel->slots[i]);
    list_init(&wheel->soon);
    wheel->tick = uv_now(loop) / WHEEL_TICK_MS;
    rc = uv_timer_init(loop, &wheel->uv);
    if (rc < 0)
        return rc;
    return uv_idle_init(loop, &wheel->idle);
}

void
wheel_close(struct wheel *wheel)
{
    ASSERT(wheel->count == 0);
    ASSERT(list_empty(&wheel->soon));
    uv_close((uv_handle_t *)&wheel->uv, NULL);
    uv_close((uv_handle_t *)&wheel->idle, NULL);
}

static void
wheel_insert(struct wheel *wheel, struct wheel_timer *timer)
{
    uint64_t look = timer->due_tick;
    size_t slot;

    if (look <= wheel->tick)
        look = wheel->tick + 1;
    if (look > wheel->tick + SLOT_MASK)
        look = wheel->tick + SLOT_MASK;
    slot = (size_t)(look & SLOT_MASK);
    timer->place = (uint16_t)(1 + slot);
    list_push_back(&wheel->slots[slot], &timer->node);
    wheel->used[slot / 64] |= (uint64_t)1 << (slot % 64);
    wheel->count++;
}

static void
wheel_take_out(struct wheel *wheel, struct wheel_timer *timer)
{
    if (timer->place == 0)
        return;
    list_remove(&timer->node);
    if (timer->place != WHEEL_SOON)
        wheel->count--;
    timer->place = 0;
}

/* When a timer in a slot is looked at: less than a turn of the wheel from now. */
static uint64_t
wheel_look_tick(const struct wheel *wheel, const struct wheel_timer *timer)
{
    uint64_t first = wheel->tick + 1;

    ASSERT(timer->place != 0 && timer->place != WHEEL_SOON);
    return first + ((timer->place - 1 - first) & SLOT_MASK);
}

/* The first tick after wheel->tick whose slot may hold timers; 0: none. */
static uint64_t
wheel_next_tick(const struct wheel *wheel)
{
    uint64_t tick = wheel->tick + 1;
    uint64_t end = wheel->tick + WHEEL_SLOTS;

    if (wheel->count == 0)
        return 0;
    while (tick < end) {
        size_t slot = (size_t)(tick & SLOT_MASK);
        uint64_t bits = wheel->used[slot / 64] >> (slot % 64);

        if (bits != 0)
            return tick + (unsigned)__builtin_ctzll(bits);
        tick += 64 - slot % 64;
    }
    return 0;
}

static void
wheel_arm(struct wheel *wheel)
{
    uint64_t next = wheel_next_tick(wheel);
    uint64_t now_ms = uv_now(wheel->uv.loop);
    uint64_t at_ms = next * WHEEL_TICK_MS;

    if (next == 0) {
        if (wheel->armed_tick != 0)
            (void)uv_timer_stop(&wheel->uv);
        wheel->armed_tick = 0;
        return;
    }
    wheel->armed_tick = next;
    (void)uv_timer_start(&wheel->uv, wheel_on_timer, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

void
wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t delay_ms, wheel_fn fn)
{
    uint64_t now_ms = uv_now(wheel->uv.loop);
    /* Rounded up, so that it is never early. */
    uint64_t due = (now_ms + delay_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;

    if (delay_ms > DUE_TICK_MAX)
        due = DUE_TICK_MAX;
    if (due <= now_ms / WHEEL_TICK_MS)
        due = now_ms / WHEEL_TICK_MS + 1;
    timer->fn = fn;
    timer->due_tick = due;
    if (timer->place != 0 && timer->place != WHEEL_SOON && wheel_look_tick(wheel, timer) <= due)
        return;
    if (timer->node.next == NULL)
        list_init(&timer->node);
    wheel_take_out(wheel, timer);
    /* Nothing was on it: ticks that passed meanwhile have nothing to look at. */
    if (wheel->count == 0 && !wheel->running)
        wheel->tick = MAX(wheel->tick, now_ms / WHEEL_TICK_MS);
    wheel_insert(wheel, timer);
    if (!wheel->running && (wheel->armed_tick == 0 || wheel_look_tick(wheel, timer) < wheel->armed_tick))
        wheel_arm(wheel);
}

void
wheel_soon(struct wheel *wheel, struct wheel_timer *timer, wheel_fn fn)
{
    if (timer->node.next == NULL)
        list_init(&timer->node);
    wheel_take_out(wheel, timer);
    timer->fn = fn;
    timer->due_tick = 1;
    timer->place = WHEEL_SOON;
    list_push_back(&wheel->soon, &timer->node);
    (void)uv_idle_start(&wheel->idle, wheel_on_idle);
}

void
wheel_cancel(struct wheel *wheel, struct wheel_timer *timer)
{
    wheel_take_out(wheel, timer);
    timer->due_tick = 0;
    /* An empty wheel keeps no timer armed, so an idle process sleeps. */
    if (wheel->count == 0 && wheel->armed_tick != 0 && !wheel->running) {
        (void)uv_timer_stop(&wheel->uv);
        wheel->armed_tick = 0;
    }
}

static void
wheel_look(struct wheel *wheel, size_t slot)
{
    struct list batch;

    /* Moved out first: a callback may put timers into this very slot for the next turn. */
    list_init(&batch);
    while (!list_empty(&wheel->slots[slot]))
        list_move_back(&batch, wheel->slots[slot].next);
    wheel->used[slot / 64] &= ~((uint64_t)1 << (slot % 64));
    while (!list_empty(&batch)) {
        struct wheel_timer *timer = LIST_FIRST(&batch, struct wheel_timer, node);

        wheel_take_out(wheel, timer);
        if (timer->due_tick > wheel->tick) {
            wheel_insert(wheel, timer);
            continue;
        }
        timer->due_tick = 0;
        timer->fn(timer);
    }
}

uint64_t
wheel_advance(struct wheel *wheel, uint64_t now_ms)
{
    uint64_t until = now_ms / WHEEL_TICK_MS;
    uint64_t next;

    ASSERT(!wheel->running);
    wheel->running = true;
    for (;;) {
        next = wheel_next_tick(wheel);
        if (next == 0 || next > until)
            break;
        wheel->tick = next;
        wheel_look(wheel, (size_t)(next & SLOT_MASK));
    }
    wheel->tick = MAX(wheel->tick, until);
    wheel->running = false;
    next = wheel_next_tick(wheel);
    if (next == 0)
        return UINT64_MAX;
    return next * WHEEL_TICK_MS > now_ms ? next * WHEEL_TICK_MS - now_ms : 0;
}
