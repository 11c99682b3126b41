/* Which manage process workers are told of, as one takes another's place. */
#include "master/manager.h"

#include <stdlib.h>
#include <unistd.h>

#include "master/master.h"
#include "shm/region.h"
#include "test/unit/testing.h"

/* No process has these numbers: nothing here is signalled. */
#define BEFORE 0x7ffffff0
#define AFTER 0x7ffffff1

static struct master master;
static struct region_header header;
static struct region region;

static uint32_t
told(void)
{
    return atomic_load(&header.manage_pid);
}

static int
setup(void **state)
{
    (void)state;
    memset(&master, 0, sizeof(master));
    memset(&header, 0, sizeof(header));
    region.header = &header;
    master.region = &region;
    master.ledger_served = true;
    master.manage = (struct child){.pid = BEFORE, .state = CHILD_SERVING, .lifeline_fd = -1};
    for (unsigned i = 0; i < MANAGE_OLD_MAX; i++)
        master.manage_old[i].lifeline_fd = -1;
    atomic_store(&header.manage_pid, BEFORE);
    return 0;
}

static void
one_that_dies_is_told_of_no_more(void **state)
{
    (void)state;
    assert_true(manager_reaped(&master, BEFORE, 9));
    assert_int_equal(told(), 0);
    assert_int_equal(atomic_load(&header.restarts_manage), 1);
    assert_true(manager_is_due(&master));
}

/* Who was to take its place dies before it serves: the earlier one serves on. */
static void
one_that_never_served_takes_no_place(void **state)
{
    (void)state;
    manager_replace(&master);
    master.manage = (struct child){.pid = AFTER, .state = CHILD_STARTING, .lifeline_fd = -1};
    assert_true(manager_reaped(&master, AFTER, 9));
    assert_int_equal(told(), BEFORE);
    assert_true(manager_is_due(&master));
    assert_true(manager_is_settled(&master));
    assert_true(manager_reaped(&master, BEFORE, 0));
    assert_int_equal(told(), 0);
    assert_true(manager_is_due(&master));
    assert_false(manager_reaped(&master, BEFORE, 0));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_that_dies_is_told_of_no_more, setup),
        cmocka_unit_test_setup(one_that_never_served_takes_no_place, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
