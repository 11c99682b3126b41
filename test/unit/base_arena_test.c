#include "base/arena.h"
#include "base/rng.h"
#include "test/unit/testing.h"

static void
test_empty(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 0);
    assert_null(arena_alloc(&arena, 0));
    assert_null(arena_alloc(&arena, 1));
    assert_int_equal(arena.used_bytes, 0);
    arena_end(&arena);
}

static void
test_limit(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 4096);
    assert_non_null(arena_alloc(&arena, 1));
    assert_int_equal(arena.used_bytes, 2048);
    assert_null(arena_alloc(&arena, 4096));
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX - 32));
    /* Close to the limit the usual doubling would not fit, the wish itself does. */
    assert_non_null(arena_alloc(&arena, 1950));
    assert_true(arena.used_bytes <= 4096);
    assert_null(arena_copy(&arena, (struct str){"", SIZE_MAX}));
    arena_end(&arena);
    assert_int_equal(arena.used_bytes, 0);
    assert_non_null(arena_alloc(&arena, 1));
    arena_end(&arena);
    arena_end(&arena);
}

static void
test_chunks(void **state)
{
    struct arena arena;
    char *small, *large, *next;

    (void)state;
    arena_init(&arena, 1 << 20);
    small = arena_alloc(&arena, 16);
    large = arena_alloc(&arena, 200000); /* a chunk of its own; the first goes on serving */
    next = arena_alloc(&arena, 16);
    assert_non_null(large);
    assert_true(next > small && next - small <= 64);
    memset(large, 1, 200000);
    for (int i = 0; i < 10000; i++)
        assert_non_null(arena_alloc(&arena, 16));
    assert_true(arena.used_bytes < 800000);
    arena_end(&arena);
}

static void
test_contents(void **state)
{
    uint64_t seed = test_seed();
    struct arena arena;
    struct {
        uint8_t *ptr;
        size_t len;
    } given[500];

    (void)state;
    for (int round = 0; round < 20; round++) {
        arena_init(&arena, 64 << 20);
        for (size_t i = 0; i < COUNT_OF(given); i++) {
            given[i].len = rng_next(&seed) % (i % 50 == 0 ? 100000 : 300);
            given[i].ptr = arena_zalloc(&arena, given[i].len);
            assert_non_null(given[i].ptr);
            assert_int_equal((uintptr_t)given[i].ptr % _Alignof(max_align_t), 0);
            for (size_t k = 0; k < given[i].len; k++)
                assert_int_equal(given[i].ptr[k], 0);
            if (given[i].len > 0)
                memset(given[i].ptr, (int)i & 0xff, given[i].len);
        }
        for (size_t i = 0; i < COUNT_OF(given); i++) {
            for (size_t k = 0; k < given[i].len; k++)
                assert_int_equal(given[i].ptr[k], i & 0xff);
        }
        arena_end(&arena);
    }
}

static void
test_copy(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 10000);
    assert_string_equal(arena_copy(&arena, STR("abc")), "abc");
    assert_string_equal(arena_copy(&arena, STR_NONE), "");
    arena_end(&arena);
}

static char order[16];
static size_t order_len;
static struct arena *ending;

static void
on_cleanup(void *arg)
{
    order[order_len++] = *(const char *)arg;
}

static void
on_cleanup_adding(void *arg)
{
    static char next = 'n';

    on_cleanup(arg);
    assert_true(arena_cleanup(ending, on_cleanup, &next));
}

static void
test_cleanups(void **state)
{
    static char names[] = "abc";
    struct arena arena;

    (void)state;
    order_len = 0;
    ending = &arena;
    arena_init(&arena, 10000);
    for (size_t i = 0; i < 3; i++)
        assert_true(arena_cleanup(&arena, on_cleanup, &names[i]));
    arena_end(&arena);
    assert_memory_equal(order, "cba", 3);
    arena_end(&arena);
    assert_int_equal(order_len, 3);
    arena_init(&arena, 0);
    assert_false(arena_cleanup(&arena, on_cleanup, names));
    arena_end(&arena);
    assert_int_equal(order_len, 3);
}

/* A cleanup that hangs another one on the arena: that runs, too. */
static void
test_cleanup_adds(void **state)
{
    static char name = 'x';
    struct arena arena;

    (void)state;
    order_len = 0;
    ending = &arena;
    arena_init(&arena, 10000);
    assert_true(arena_cleanup(&arena, on_cleanup_adding, &name));
    arena_end(&arena);
    assert_int_equal(order_len, 2);
    assert_memory_equal(order, "xn", 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_chunks),       cmocka_unit_test(test_contents),
        cmocka_unit_test(test_copy),         cmocka_unit_test(test_cleanups),
        cmocka_unit_test(test_cleanup_adds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
