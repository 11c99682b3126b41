/* A hashed timing wheel of one millisecond a slot: setting and stopping cost a few stores, and a
 * bitmap of slots in use says how long the loop may sleep. A timer further away than one round
 * stays in its slot until its round comes. */
#include "mock/sim.h"

#define SLOTS 1024u

static struct list slots[SLOTS];
static uint64_t used_bits[SLOTS / 64];
static uint64_t wheel_ms; /* every slot before this one has been looked at */
static struct list due;
static uint32_t set_count;

void
wheel_init(uint64_t now_ms)
{
    for (size_t i = 0; i < SLOTS; i++)
        list_init(&slots[i]);
    list_init(&due);
    wheel_ms = now_ms;
}

void
timer_init(struct timer *t)
{
    list_init(&t->node);
    t->due_ms = 0;
}

bool
timer_is_set(const struct timer *t)
{
    return !list_empty(&t->node);
}

void
timer_stop(struct timer *t)
{
    if (!timer_is_set(t))
        return;
    list_remove(&t->node);
    set_count--;
}

void
timer_set(struct timer *t, uint64_t due_ms)
{
    timer_stop(t);
    if (due_ms < wheel_ms)
        due_ms = wheel_ms;
    uint32_t slot = (uint32_t)(due_ms % SLOTS);
    t->due_ms = due_ms;
    list_push_back(&slots[slot], &t->node);
    used_bits[slot / 64] |= 1ull << slot % 64;
    set_count++;
}

static void
slot_collect(uint32_t slot, uint64_t now_ms)
{
    struct list *head = &slots[slot];
    struct list *node = head->next;

    while (node != head) {
        struct timer *t = CONTAINER_OF(node, struct timer, node);

        node = node->next;
        if (t->due_ms <= now_ms)
            list_move_back(&due, &t->node);
    }
    if (list_empty(head))
        used_bits[slot / 64] &= ~(1ull << slot % 64);
}

struct timer *
wheel_take(uint64_t now_ms)
{
    /* After a long sleep one round sees every slot. */
    if (now_ms >= wheel_ms + SLOTS)
        wheel_ms = now_ms - SLOTS + 1;
    for (; wheel_ms <= now_ms; wheel_ms++) {
        uint32_t slot = (uint32_t)(wheel_ms % SLOTS);

        if (used_bits[slot / 64] >> slot % 64 & 1)
            slot_collect(slot, now_ms);
    }
    if (list_empty(&due))
        return NULL;
    struct timer *t = LIST_FIRST(&due, struct timer, node);
    timer_stop(t);
    return t;
}

int
wheel_wait_ms(uint64_t now_ms)
{
    if (set_count == 0)
        return -1;
    if (!list_empty(&due))
        return 0;
    for (uint32_t ahead = 0; ahead < SLOTS;) {
        uint32_t slot = (uint32_t)((wheel_ms + ahead) % SLOTS);
        uint64_t bits = used_bits[slot / 64] >> slot % 64;

        if (bits != 0) {
            ahead += (uint32_t)__builtin_ctzll(bits);
            uint64_t when = wheel_ms + ahead;
            return when <= now_ms ? 0 : (int)(when - now_ms);
        }
        ahead += 64 - slot % 64;
    }
    return (int)SLOTS;
}
