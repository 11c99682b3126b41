/* Whom the master takes for hung: by its own looks, not by what a clock says. */
#include "master/watch.h"
#include "test/unit/testing.h"

#define S(n) ((uint64_t)((n) * 1000000.0))

static struct watch watch;
static struct pulse pulse;

static int
setup(void **state)
{
    (void)state;
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    watch_init(&watch, S(30));
    watch.looked_us = S(100);
    pulse = (struct pulse){.heartbeat_us = 7};
    return 0;
}

/* A look so many seconds after the last; what it says of a worker with this heartbeat. */
static enum pulse_state
look(double after_s, uint64_t heartbeat_us)
{
    uint64_t step_us;

    assert_true(watch_begin(&watch, watch.looked_us + S(after_s), &step_us));
    return pulse_take(&watch, &pulse, heartbeat_us, step_us);
}

static void
looks_are_a_second_apart(void **state)
{
    uint64_t step_us;

    (void)state;
    assert_int_equal(watch_due_us(&watch), S(101));
    assert_false(watch_begin(&watch, S(101) - 1, &step_us));
    assert_true(watch_begin(&watch, S(101), &step_us));
    assert_int_equal(step_us, S(1));
    assert_false(watch_begin(&watch, S(101), &step_us));
    assert_int_equal(watch_due_us(&watch), S(102));
    watch_init(&watch, S(2));
    assert_int_equal(watch_due_us(&watch), S(0.5));
    watch_init(&watch, 1); /* never without a pause */
    assert_int_equal(watch_due_us(&watch), 1000);
}

static void
silence_adds_up_to_the_limit(void **state)
{
    (void)state;
    for (int i = 1; i <= 10; i++)
        assert_int_equal(look(1, 7), PULSE_WELL);
    for (int i = 11; i < 30; i++)
        assert_int_equal(look(1, 7), PULSE_LATE);
    assert_int_equal(look(1, 7), PULSE_HUNG);
}

static void
one_heartbeat_is_enough(void **state)
{
    (void)state;
    for (int i = 1; i < 30; i++)
        (void)!look(1, 7);
    assert_int_equal(look(1, 8), PULSE_WELL);
    for (int i = 1; i < 30; i++)
        assert_int_not_equal(look(1, 8), PULSE_HUNG);
    assert_int_equal(look(1, 7), PULSE_WELL); /* any other, also of a clock that is another's */
}

/* The ledger process in the middle of its work: that may take the disk a while. */
static void
work_gets_longer(void **state)
{
    (void)state;
    assert_int_equal(watch_work_us(&watch), S(300));
    for (int i = 1; i < 300; i++) {
        uint64_t step_us;

        assert_true(watch_begin(&watch, watch.looked_us + S(1), &step_us));
        assert_int_equal(pulse_take_work(&watch, &pulse, 7, step_us), PULSE_WELL);
    }
    assert_int_equal(look(1, 8), PULSE_WELL);
    watch_init(&watch, S(3));
    assert_int_equal(watch_work_us(&watch), S(300));
    watch_init(&watch, S(60));
    assert_int_equal(watch_work_us(&watch), S(600));
    watch_init(&watch, 0);
    assert_int_equal(watch_work_us(&watch), 0);
}

static void
while_we_do_not_run_nobody_is_silent(void **state)
{
    (void)state;
    for (int i = 1; i < 30; i++)
        (void)!look(1, 7);
    assert_int_equal(look(2.5, 7), PULSE_HUNG); /* that was a busy machine */
    setup(NULL);
    for (int i = 1; i < 30; i++)
        (void)!look(1, 7);
    assert_int_equal(look(2.6, 7), PULSE_WELL); /* and there we stood still */
    assert_int_equal(pulse.silent_us, 0);
    assert_int_equal(look(3600, 7), PULSE_WELL);
    for (int i = 1; i < 30; i++)
        assert_int_not_equal(look(1, 7), PULSE_HUNG);
    assert_int_equal(look(1, 7), PULSE_HUNG);
}

static void
no_limit(void **state)
{
    (void)state;
    watch_init(&watch, 0);
    assert_int_equal(watch.every_us, S(1));
    for (int i = 0; i < 10000; i++)
        assert_int_equal(look(1, 7), i < 10 ? PULSE_WELL : PULSE_LATE);
}

static void
short_limits(void **state)
{
    (void)state;
    watch_init(&watch, S(3)); /* an idle worker is heard of every second, or a little later */
    assert_int_equal(watch.every_us, S(0.75));
    assert_int_equal(look(0.75, 7), PULSE_WELL);
    assert_int_equal(look(0.75, 7), PULSE_WELL);
    assert_int_equal(look(0.75, 7), PULSE_LATE);
    assert_int_equal(look(0.75, 7), PULSE_HUNG);
}

static void
what_systemd_wants(void **state)
{
    char pid[24];

    (void)state;
    assert_false(watch.watchdog);
    setenv("WATCHDOG_USEC", "500000", 1);
    watch_init(&watch, S(30));
    assert_true(watch.watchdog);
    assert_int_equal(watch.every_us, 250000);
    snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    watch_init(&watch, S(30));
    assert_true(watch.watchdog);
    setenv("WATCHDOG_PID", "1", 1); /* another's */
    watch_init(&watch, S(30));
    assert_false(watch.watchdog);
    unsetenv("WATCHDOG_PID");
    for (unsigned i = 0; i < 4; i++) {
        static const char *const none[] = {"", "0", "-1", "1s"};

        setenv("WATCHDOG_USEC", none[i], 1);
        watch_init(&watch, S(30));
        assert_false(watch.watchdog);
        assert_int_equal(watch.every_us, S(1));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(looks_are_a_second_apart, setup),
        cmocka_unit_test_setup(silence_adds_up_to_the_limit, setup),
        cmocka_unit_test_setup(one_heartbeat_is_enough, setup),
        cmocka_unit_test_setup(work_gets_longer, setup),
        cmocka_unit_test_setup(while_we_do_not_run_nobody_is_silent, setup),
        cmocka_unit_test_setup(no_limit, setup),
        cmocka_unit_test_setup(short_limits, setup),
        cmocka_unit_test_setup(what_systemd_wants, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
