/*
 * Parties (workers, a ledger process) that share words, one step at a time: each is a coroutine that stops
 * wherever it is told to, and who schedules them says which goes on, or is killed at that very point.
 * And the walk through all schedules: a path of choices, and the next one in order.
 */
#ifndef TEST_UNIT_SHM_STEPS_H
#define TEST_UNIT_SHM_STEPS_H

#include "test/unit/testing.h"

#include "base/poison.h"

#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

/* The address sanitizer keeps a second stack for each coroutine and must be told of every switch.
 */
#ifdef POISON_ON
#include <sanitizer/common_interface_defs.h>
/* It makes a switch ten times as dear: so of schedules that differ in their last choices alone one is walked,
 * and of those by chance a part. All are without it. */
#define CHANCE_PART 8
#define SWITCH_BEGINS(save, bottom, bytes) __sanitizer_start_switch_fiber((save), (bottom), (bytes))
#define SWITCH_ENDED(save, bottom, bytes) __sanitizer_finish_switch_fiber((save), (bottom), (bytes))
#else
#define CHANCE_PART 1
#define SWITCH_BEGINS(save, bottom, bytes) ((void)(save), (void)(bottom), (void)(bytes))
#define SWITCH_ENDED(save, bottom, bytes) ((void)(save), (void)(bottom), (void)(bytes))
#endif

#define CO_PARTIES 4
#define CO_STACK_BYTES (256 * 1024)
#define SEARCH_STEPS_MAX 4096

/* ---- coroutines ---- */

enum co_state { CO_NONE = 0, CO_READY, CO_WAITING, CO_DONE, CO_KILLED };

struct co {
    enum co_state state;
    ucontext_t context;
    bool started;
    void *sanitizer_stack;
    void (*run)(uint32_t number);
};

static struct co co[CO_PARTIES]; /* by number */
static struct co *co_running;    /* NULL: nothing stops now */
static ucontext_t co_scheduler;
static char co_stacks[CO_PARTIES][CO_STACK_BYTES] __attribute__((aligned(64)));
static const void *co_scheduler_bottom;
static size_t co_scheduler_bytes;
static void *co_scheduler_sanitizer_stack;

/* None has begun. */
static inline void
co_reset(void)
{
    memset(co, 0, sizeof(co));
    co_running = NULL;
}

/* For good. */
static inline _Noreturn void
co_leave(void)
{
    co_running = NULL;
    SWITCH_BEGINS(NULL, co_scheduler_bottom, co_scheduler_bytes);
    setcontext(&co_scheduler);
    abort();
}

/* Goes on until it stops, is done, or (a killed one) has left its stack. */
static inline void
co_resume(uint32_t number)
{
    co_running = &co[number];
    co[number].started = true;
    SWITCH_BEGINS(&co_scheduler_sanitizer_stack, co_stacks[number], CO_STACK_BYTES);
    if (swapcontext(&co_scheduler, &co[number].context) != 0)
        abort();
    SWITCH_ENDED(co_scheduler_sanitizer_stack, NULL, NULL);
    co_running = NULL;
}

/* The running one stops here. */
static inline void
co_stop(enum co_state state)
{
    struct co *self = co_running;

    self->state = state;
    co_running = NULL;
    SWITCH_BEGINS(&self->sanitizer_stack, co_scheduler_bottom, co_scheduler_bytes);
    if (swapcontext(&self->context, &co_scheduler) != 0)
        abort();
    SWITCH_ENDED(self->sanitizer_stack, NULL, NULL);
    if (self->state == CO_KILLED)
        co_leave();
}

static inline void
co_main(unsigned number)
{
    SWITCH_ENDED(NULL, &co_scheduler_bottom, &co_scheduler_bytes);
    co[number].run(number);
    co[number].state = CO_DONE;
    co_leave();
}

static inline void
co_start(uint32_t number, void (*run)(uint32_t number))
{
    struct co *self = &co[number];

    self->run = run;
    self->started = false;
    getcontext(&self->context);
    self->context.uc_stack.ss_sp = co_stacks[number];
    self->context.uc_stack.ss_size = CO_STACK_BYTES;
    self->context.uc_link = NULL;
    makecontext(&self->context, (void (*)(void))co_main, 1, number);
    self->state = CO_READY;
}

/* Nothing of it runs any more: it is resumed only to leave its stack. */
static inline void
co_kill(uint32_t number)
{
    bool on_stack =
        co[number].started && (co[number].state == CO_READY || co[number].state == CO_WAITING);

    co[number].state = CO_KILLED;
    if (on_stack)
        co_resume(number);
}

/* ---- every schedule ---- */

/* One choice of a schedule: a party goes on, or is killed. */
struct choice {
    uint8_t taken, count;
};

struct search {
    void (*setup)(void);
    unsigned kills_max;
    struct choice path[SEARCH_STEPS_MAX];
    unsigned path_len, depth;
    uint64_t runs;
};

/* Which of count; the same again as long as the path is followed, then the first. */
static inline unsigned
search_choose(struct search *search, unsigned count)
{
    struct choice *choice = &search->path[search->depth];

    if (search->depth >= SEARCH_STEPS_MAX)
        abort();
    if (search->depth++ == search->path_len) {
        *choice = (struct choice){.taken = 0, .count = (uint8_t)count};
        search->path_len++;
    }
    if (choice->count != count)
        abort(); /* not the same run again */
    return choice->taken;
}

/* The next path in order; false when there is none. */
static inline bool
search_next(struct search *search)
{
#ifdef POISON_ON
    search->path_len -= search->path_len / 4;
#endif
    while (search->path_len > 0) {
        struct choice *last = &search->path[search->path_len - 1];

        if (++last->taken < last->count)
            return true;
        search->path_len--;
    }
    return false;
}

/* The schedule that was run last. */
static inline void
search_print(const struct search *search)
{
    for (unsigned i = 0; i < search->path_len; i++)
        print_error("%u/%u ", search->path[i].taken, search->path[i].count);
    print_error("\n");
}

#endif
