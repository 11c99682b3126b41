/* The timer wheel: edges, and random sets, moves and cancels against a list. */
#include "net_tools.h"

#include "base/rng.h"
#include "net/wheel.h"

static uv_loop_t loop;
static struct wheel wheel;

struct probe {
    struct wheel_timer timer;
    unsigned fired;
    uint64_t fired_ms;
    bool again; /* sets itself again, for 70 s */
    bool kills_other;
    struct probe *other;
};

static uint64_t now_ms; /* as wheel_advance was told */

static void
probe_on_fire(struct wheel_timer *timer)
{
    struct probe *probe = CONTAINER_OF(timer, struct probe, timer);

    probe->fired++;
    probe->fired_ms = now_ms;
    if (probe->again)
        wheel_set(&wheel, timer, 70000, probe_on_fire);
    if (probe->other != NULL)
        wheel_cancel(&wheel, &probe->other->timer);
}

/* The loop's clock is a field: the test moves it. */
static void
advance(uint64_t ms)
{
    loop.time += ms;
    now_ms = loop.time;
    (void)wheel_advance(&wheel, now_ms);
}

static int
setup(void **state)
{
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(wheel_init(&wheel, &loop), 0);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    wheel_close(&wheel);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop);
}

static void
fires_once_never_early(void **state)
{
    static const uint64_t delays[] = {0, 1, 9, 10, 11, 640, 40950, 40960, 40970, 60000, 1000000};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(delays); i++) {
        struct probe probe = {.fired = 0};
        uint64_t from = loop.time;

        wheel_set(&wheel, &probe.timer, delays[i], probe_on_fire);
        assert_true(wheel_is_set(&probe.timer));
        while (probe.fired == 0)
            advance(1);
        assert_true(probe.fired_ms >= from + delays[i]);
        assert_true(probe.fired_ms <= from + delays[i] + 2 * WHEEL_TICK_MS);
        assert_false(wheel_is_set(&probe.timer));
        advance(50000);
        assert_int_equal(probe.fired, 1);
    }
}

static void
moving_later_and_earlier(void **state)
{
    struct probe probe = {.fired = 0};
    uint64_t from = loop.time;

    (void)state;
    wheel_set(&wheel, &probe.timer, 100, probe_on_fire);
    for (unsigned i = 0; i < 1000; i++) {
        advance(10);
        wheel_set(&wheel, &probe.timer, 100, probe_on_fire);
    }
    assert_int_equal(probe.fired, 0);
    wheel_set(&wheel, &probe.timer, 30000, probe_on_fire);
    wheel_set(&wheel, &probe.timer, 20, probe_on_fire);
    advance(30);
    assert_int_equal(probe.fired, 1);
    assert_true(probe.fired_ms >= from + 10020);
}

static void
no_delay_is_too_long(void **state)
{
    struct probe probe = {.fired = 0};

    (void)state;
    wheel_set(&wheel, &probe.timer, UINT64_MAX, probe_on_fire);
    assert_true(wheel_is_set(&probe.timer));
    for (unsigned i = 0; i < 10; i++)
        advance(WHEEL_SLOTS * WHEEL_TICK_MS);
    assert_int_equal(probe.fired, 0);
    assert_true(wheel_is_set(&probe.timer));
    wheel_set(&wheel, &probe.timer, WHEEL_SLOTS * WHEEL_TICK_MS, probe_on_fire);
    advance(WHEEL_SLOTS * WHEEL_TICK_MS - 2 * WHEEL_TICK_MS);
    assert_int_equal(probe.fired, 0);
    advance(3 * WHEEL_TICK_MS);
    assert_int_equal(probe.fired, 1);
}

static void
cancel_in_any_state(void **state)
{
    struct probe probe = {.fired = 0};

    (void)state;
    wheel_cancel(&wheel, &probe.timer); /* never set */
    wheel_set(&wheel, &probe.timer, 50, probe_on_fire);
    wheel_cancel(&wheel, &probe.timer);
    wheel_cancel(&wheel, &probe.timer);
    advance(1000);
    assert_int_equal(probe.fired, 0);
    assert_int_equal(wheel.count, 0);
    assert_int_equal(wheel.armed_tick, 0);
    assert_false(uv_is_active((uv_handle_t *)&wheel.uv));
}

static void
callbacks_may_set_and_cancel(void **state)
{
    struct probe again = {.again = true};
    struct probe victim = {.fired = 0};
    struct probe killer = {.other = &victim};

    (void)state;
    wheel_set(&wheel, &again.timer, 10, probe_on_fire);
    wheel_set(&wheel, &killer.timer, 20, probe_on_fire);
    wheel_set(&wheel, &victim.timer, 20, probe_on_fire);
    advance(30);
    assert_int_equal(killer.fired, 1);
    assert_int_equal(victim.fired, 0);
    for (unsigned i = 0; i < 3000; i++)
        advance(100);
    assert_int_equal(again.fired, 5); /* at 10 ms, and each 70 s in 300 s */
    wheel_cancel(&wheel, &again.timer);
}

static void
big_jump_of_the_clock(void **state)
{
    struct probe probes[64];

    (void)state;
    memset(probes, 0, sizeof(probes));
    for (unsigned i = 0; i < COUNT_OF(probes); i++)
        wheel_set(&wheel, &probes[i].timer, i * 5000, probe_on_fire);
    advance(3600u * 1000u);
    for (unsigned i = 0; i < COUNT_OF(probes); i++)
        assert_int_equal(probes[i].fired, 1);
}

static void
soon_comes_next_turn(void **state)
{
    struct probe probe = {.fired = 0}, cancelled = {.fired = 0}, moved = {.fired = 0};

    (void)state;
    wheel_soon(&wheel, &probe.timer, probe_on_fire);
    wheel_soon(&wheel, &cancelled.timer, probe_on_fire);
    wheel_soon(&wheel, &moved.timer, probe_on_fire);
    assert_int_equal(probe.fired, 0);
    wheel_cancel(&wheel, &cancelled.timer);
    wheel_set(&wheel, &moved.timer, 100000, probe_on_fire);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(probe.fired, 1);
    assert_int_equal(cancelled.fired, 0);
    assert_int_equal(moved.fired, 0);
    wheel_cancel(&wheel, &moved.timer);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(probe.fired, 1);
}

static void
real_loop_wakes(void **state)
{
    struct probe probe = {.fired = 0};
    uint64_t from = clock_mono_us();

    (void)state;
    uv_update_time(&loop);
    wheel_set(&wheel, &probe.timer, 50, probe_on_fire);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(probe.fired, 1);
    assert_true(clock_mono_us() - from >= 49000);
}

/* Model: each probe's deadline. After every advance exactly those due have fired. */
static void
random_against_model(void **state)
{
    enum { COUNT = 200, STEPS = 60000 };
    static struct probe probes[COUNT];
    static uint64_t due[COUNT]; /* 0: not set */
    static unsigned fired[COUNT];
    const char *text = getenv("TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : rng_u64();
    uint64_t rng = seed;

    (void)state;
    print_message("TEST_SEED=%llu\n", (unsigned long long)seed);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = (unsigned)(rng_next(&rng) % COUNT);
        uint64_t what = rng_next(&rng) % 10;
        uint64_t delay = rng_next(&rng) % (rng_next(&rng) % 4 == 0 ? 100000 : 500);

        if (what < 6) {
            wheel_set(&wheel, &probes[i].timer, delay, probe_on_fire);
            due[i] = loop.time + delay;
        } else if (what < 8) {
            wheel_cancel(&wheel, &probes[i].timer);
            due[i] = 0;
        } else {
            advance(rng_next(&rng) % (rng_next(&rng) % 50 == 0 ? 90000 : 30));
            for (unsigned p = 0; p < COUNT; p++) {
                if (probes[p].fired != fired[p]) {
                    assert_int_equal(probes[p].fired, fired[p] + 1);
                    assert_true(due[p] != 0 && due[p] <= loop.time);
                    fired[p]++;
                    due[p] = 0;
                }
                /* Late by a tick and its rounding at most. */
                assert_true(due[p] == 0 || due[p] + 2 * WHEEL_TICK_MS > loop.time);
                assert_int_equal(wheel_is_set(&probes[p].timer), due[p] != 0);
            }
        }
    }
    for (unsigned p = 0; p < COUNT; p++)
        wheel_cancel(&wheel, &probes[p].timer);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fires_once_never_early, setup, teardown),
        cmocka_unit_test_setup_teardown(moving_later_and_earlier, setup, teardown),
        cmocka_unit_test_setup_teardown(no_delay_is_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(cancel_in_any_state, setup, teardown),
        cmocka_unit_test_setup_teardown(callbacks_may_set_and_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(big_jump_of_the_clock, setup, teardown),
        cmocka_unit_test_setup_teardown(soon_comes_next_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(real_loop_wakes, setup, teardown),
        cmocka_unit_test_setup_teardown(random_against_model, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
