/* Whose turn it is: tenants by turns, first come first served within one, and who gives way. */
#include "test/unit/testing.h"

#include "base/rng.h"
#include "worker/turns.h"

#define WAITERS 64

struct waiter {
    struct turns_node node;
    uint32_t tenant;
    unsigned number;
    bool may_go;
};

static struct turns turns;
static struct waiter waiters[WAITERS];
static unsigned added;

static struct waiter *
waiter_of(struct turns_node *node)
{
    return node == NULL ? NULL : CONTAINER_OF(node, struct waiter, node);
}

static bool
may_go(struct turns_node *node, void *arg)
{
    (*(unsigned *)arg)++;
    return waiter_of(node)->may_go;
}

static void
begin(uint32_t max)
{
    memset(waiters, 0, sizeof(waiters));
    added = 0;
    assert_int_equal(turns_init(&turns, max), 0);
}

static void
end(void)
{
    struct turns_node *node;

    while ((node = turns_first(&turns)) != NULL)
        turns_remove(&turns, node);
    turns_free(&turns);
}

/* The number of who gave way, 0 of nobody; -1: it was not let in. */
static int
add(uint32_t tenant)
{
    struct waiter *waiter = &waiters[added];
    struct turns_node *gave_way;

    *waiter = (struct waiter){.tenant = tenant, .number = ++added, .may_go = true};
    if (!turns_add(&turns, &waiter->node, tenant, &gave_way)) {
        assert_false(turns_waits(&waiter->node));
        return -1;
    }
    assert_true(turns_waits(&waiter->node));
    return gave_way == NULL ? 0 : (int)waiter_of(gave_way)->number;
}

/* Whose turn it was, by number; 0: nobody's. */
static unsigned
next(void)
{
    unsigned asked = 0;
    struct waiter *waiter = waiter_of(turns_next(&turns, may_go, &asked));

    if (waiter == NULL)
        return 0;
    assert_false(turns_waits(&waiter->node));
    return waiter->number;
}

static void
test_nobody(void **state)
{
    (void)state;
    begin(0);
    assert_int_equal(add(1), -1);
    assert_int_equal(next(), 0);
    assert_null(turns_first(&turns));
    end();
    begin(1);
    assert_int_equal(next(), 0);
    turns_remove(&turns, &waiters[0].node);
    assert_int_equal(add(UINT32_MAX), 0);
    assert_int_equal(add(7), -1); /* each would have one: nobody gives way */
    assert_int_equal(next(), 1);
    assert_int_equal(turns.count, 0);
    assert_int_equal(add(7), 0);
    end();
}

static void
test_turns(void **state)
{
    (void)state;
    begin(WAITERS);
    for (int i = 0; i < 4; i++)
        assert_int_equal(add(1), 0); /* 1 to 4 */
    assert_int_equal(next(), 1);
    assert_int_equal(add(2), 0); /* 5: its tenant was not served yet */
    assert_int_equal(add(2), 0); /* 6 */
    assert_int_equal(next(), 5);
    assert_int_equal(next(), 2);
    assert_int_equal(next(), 6);
    /* It comes back at once, and was served later than the other. */
    assert_int_equal(add(2), 0); /* 7 */
    assert_int_equal(next(), 3);
    assert_int_equal(next(), 7);
    assert_int_equal(next(), 4);
    assert_int_equal(next(), 0);
    end();
}

/* One that comes back after a while is before one that is served all the time. */
static void
test_remembers(void **state)
{
    (void)state;
    begin(WAITERS);
    for (int i = 0; i < 20; i++)
        assert_int_equal(add(1), 0);
    assert_int_equal(next(), 1);
    for (int round = 0; round < 6; round++) {
        assert_int_equal(add(9), 0);
        assert_int_equal(next(), 21 + round);
        assert_int_equal(next(), 2 + round);
    }
    end();
}

static void
test_who_may_not_go_is_passed(void **state)
{
    unsigned asked = 0;

    (void)state;
    begin(WAITERS);
    for (uint32_t tenant = 1; tenant <= 3; tenant++)
        for (int i = 0; i < 2; i++)
            assert_int_equal(add(tenant), 0); /* 1 2, 3 4, 5 6 */
    waiters[0].may_go = waiters[2].may_go = waiters[3].may_go = false;
    assert_int_equal(next(), 2);
    assert_int_equal(next(), 5);
    assert_int_equal(next(), 6);
    assert_null(turns_next(&turns, may_go, &asked));
    assert_int_equal(asked, 3); /* each once */
    waiters[2].may_go = waiters[0].may_go = true;
    assert_int_equal(next(), 3); /* waited while others had turns */
    assert_int_equal(next(), 1);
    end();
}

static void
test_removal(void **state)
{
    (void)state;
    begin(8);
    for (uint32_t tenant = 1; tenant <= 4; tenant++)
        for (int i = 0; i < 2; i++)
            assert_int_equal(add(tenant), 0);
    assert_int_equal(turns_beside(&waiters[0].node), 2);
    turns_remove(&turns, &waiters[0].node);
    assert_int_equal(turns_beside(&waiters[0].node), 0);
    assert_int_equal(turns_beside(&waiters[1].node), 1);
    turns_remove(&turns, &waiters[0].node);
    turns_remove(&turns, &waiters[1].node); /* a tenant's last */
    turns_remove(&turns, &waiters[2].node);
    assert_int_equal(turns.count, 5);
    assert_int_equal(next(), 4);
    assert_int_equal(next(), 5);
    end();
}

static void
test_who_gives_way(void **state)
{
    (void)state;
    begin(6);
    for (int i = 0; i < 5; i++)
        assert_int_equal(add(1), 0); /* 1 to 5 */
    assert_int_equal(add(2), 0);     /* 6 */
    assert_int_equal(add(1), -1);    /* its own are the most */
    assert_int_equal(add(3), 5);     /* 8: the last of the most */
    assert_int_equal(add(2), 4);     /* 9 */
    assert_int_equal(add(2), -1);    /* 3, 2 and 1: it would have three, too */
    assert_int_equal(add(3), 3);     /* 11: 2, 2 and 2 */
    assert_int_equal(add(3), -1);
    assert_int_equal(add(4), 2);     /* 13: of those with two, the first in turn */
    assert_int_equal(turns.count, 6);
    end();
}

/* Against a model that does all of it the slow way: nobody is lost, nobody waits while others of
 * another tenant have two turns, and of one tenant the first goes first. */
static void
test_at_random(void **state)
{
    uint64_t seed = test_seed();
    uint64_t last_turn[8] = {0}, turn = 0;
    bool waits[WAITERS] = {false};
    unsigned order[WAITERS] = {0}, stamp = 0;

    (void)state;
    begin(24);
    for (unsigned step = 0; step < 200000; step++) {
        unsigned i = (unsigned)(rng_next(&seed) % WAITERS);
        struct waiter *waiter = &waiters[i];
        struct turns_node *gave_way;
        unsigned asked = 0;

        switch (rng_next(&seed) % 4) {
        case 0:
        case 1:
            if (waits[i])
                break;
            *waiter = (struct waiter){.tenant = (uint32_t)(rng_next(&seed) % 8), .number = i + 1,
                                      .may_go = rng_next(&seed) % 8 != 0};
            waits[i] = turns_add(&turns, &waiter->node, waiter->tenant, &gave_way);
            order[i] = ++stamp;
            if (gave_way != NULL)
                waits[waiter_of(gave_way)->number - 1] = false;
            break;
        case 2:
            turns_remove(&turns, &waiter->node);
            waits[i] = false;
            break;
        case 3: {
            struct waiter *got = waiter_of(turns_next(&turns, may_go, &asked));
            unsigned best = WAITERS;

            for (unsigned k = 0; k < WAITERS; k++) {
                const struct waiter *w = &waiters[k];

                if (!waits[k] || !w->may_go)
                    continue;
                if (best == WAITERS ||
                    last_turn[w->tenant] < last_turn[waiters[best].tenant] ||
                    (w->tenant == waiters[best].tenant && order[k] < order[best]))
                    best = k;
            }
            if (best == WAITERS) {
                assert_null(got);
                break;
            }
            assert_non_null(got);
            assert_true(got->may_go && waits[got->number - 1]);
            assert_int_equal(last_turn[got->tenant], last_turn[waiters[best].tenant]);
            if (got->tenant == waiters[best].tenant)
                assert_int_equal(got->number, best + 1);
            waits[got->number - 1] = false;
            last_turn[got->tenant] = ++turn;
            break;
        }
        }
    }
    end();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_remembers),
        cmocka_unit_test(test_who_may_not_go_is_passed),
        cmocka_unit_test(test_removal),
        cmocka_unit_test(test_who_gives_way),
        cmocka_unit_test(test_at_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
