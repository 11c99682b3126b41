/* What buffers hold in all, and what gives way at the bound. */
#include "test/unit/testing.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/held.h"

static int
teardown(void **state)
{
    (void)state;
    held_bound(INT64_MAX);
    return held_bytes() == 0 ? 0 : -1;
}

static void
test_buffers_are_counted(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1u << 20);
    assert_int_equal(held_bytes(), 0);
    assert_true(buf_add(&buf, "x", 1));
    assert_int_equal(held_bytes(), buf.cap);
    assert_true(buf_reserve(&buf, 100000));
    assert_int_equal(held_bytes(), buf.cap);
    buf_free(&buf);
    assert_int_equal(held_bytes(), 0);
    buf_free(&buf);
    assert_int_equal(held_bytes(), 0);
}

static void
test_arenas_are_counted(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 1u << 20);
    assert_non_null(arena_alloc(&arena, 10));
    assert_non_null(arena_alloc(&arena, 100000));
    assert_int_equal(held_bytes(), arena.used_bytes);
    arena_end(&arena);
    assert_int_equal(held_bytes(), 0);
}

static void
test_bound(void **state)
{
    struct arena arena;
    struct buf buf;

    (void)state;
    held_bound(1000);
    buf_init(&buf, 1u << 20);
    assert_true(buf_reserve(&buf, 1000));
    assert_false(held_fits(1));
    arena_init(&arena, 1u << 20);
    assert_null(arena_alloc(&arena, 1));
    assert_false(buf_reserve(&buf, 1001));
    assert_true(buf.failed);
    assert_int_equal(held_bytes(), 1000);
    buf_free(&buf);
    assert_true(held_fits(1000));
    assert_false(held_fits(1001));
}

/* Given back by another thread than took it: that one may still take what it likes. */
static void
test_unbounded_below_zero(void **state)
{
    (void)state;
    held_sub(5000);
    assert_true(held_fits(SIZE_MAX / 4));
    held_add(5000);
}

static void
test_input_gives_way_first(void **state)
{
    (void)state;
    held_bound(800);
    assert_true(held_fits_input(700, HELD_SMALL_BYTES));
    assert_false(held_fits_input(701, HELD_SMALL_BYTES));
    assert_true(held_fits_input(600, HELD_SMALL_BYTES + 1));
    assert_false(held_fits_input(601, HELD_SMALL_BYTES + 1));
    held_add(650);
    assert_false(held_fits_input(0, HELD_SMALL_BYTES + 1));
    assert_true(held_fits_input(0, 0));
    assert_true(held_fits(150));
    held_add(60);
    assert_false(held_fits_input(0, 0));
    held_sub(710);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_buffers_are_counted, teardown),
        cmocka_unit_test_teardown(test_arenas_are_counted, teardown),
        cmocka_unit_test_teardown(test_bound, teardown),
        cmocka_unit_test_teardown(test_unbounded_below_zero, teardown),
        cmocka_unit_test_teardown(test_input_gives_way_first, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
