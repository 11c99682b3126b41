#include "base/rng.h"
#include "base/slab.h"
#include "test/unit/testing.h"

#define OBJECT_BYTES 40

static void
test_limit(void **state)
{
    struct slab slab;
    void *first, *second;

    (void)state;
    slab_init(&slab, OBJECT_BYTES, 2);
    first = slab_take(&slab);
    second = slab_take(&slab);
    assert_non_null(first);
    assert_non_null(second);
    assert_ptr_not_equal(first, second);
    assert_null(slab_take(&slab));
    slab_give(&slab, first);
    assert_ptr_equal(slab_take(&slab), first); /* last freed first */
    slab_give(&slab, first);
    slab_give(&slab, second);
    assert_int_equal(slab.count, 0);
    slab_end(&slab);
    slab_init(&slab, 1, 0);
    assert_null(slab_take(&slab));
    slab_end(&slab);
}

static void
test_zeroed(void **state)
{
    static const uint8_t zero[OBJECT_BYTES];
    struct slab slab;

    (void)state;
    slab_init(&slab, OBJECT_BYTES, 1000);
    for (int i = 0; i < 100; i++) {
        uint8_t *object = slab_take(&slab);

        assert_memory_equal(object, zero, OBJECT_BYTES);
        assert_int_equal((uintptr_t)object % _Alignof(max_align_t), 0);
        memset(object, 0xee, OBJECT_BYTES);
        slab_give(&slab, object);
    }
    slab_end(&slab);
}

/* One object each of many blocks is out: the memory of no other stays. */
static void
test_idle_blocks(void **state)
{
    struct slab slab;
    void *objects[2000];

    (void)state;
    slab_init(&slab, OBJECT_BYTES, COUNT_OF(objects));
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT_OF(objects); i++)
            assert_non_null(objects[i] = slab_take(&slab));
        assert_null(slab_take(&slab));
        assert_null(slab.blocks_with_room == NULL ? NULL : slab_take(&slab));
        for (size_t i = 0; i < COUNT_OF(objects); i++)
            slab_give(&slab, objects[i]);
        assert_int_equal(slab.count, 0);
        assert_null(slab.blocks_full);
        assert_non_null(slab.blocks_with_room); /* one is kept for the next */
    }
    slab_end(&slab);
}

static void
test_random(void **state)
{
    enum { COUNT = 700 };
    uint64_t seed = test_seed();
    uint64_t *objects[COUNT] = {NULL};
    uint64_t marks[COUNT];
    size_t out = 0;
    struct slab slab;

    (void)state;
    slab_init(&slab, sizeof(uint64_t) * 20, COUNT);
    for (int step = 0; step < 200000; step++) {
        size_t i = rng_next(&seed) % COUNT;

        if (objects[i] == NULL) {
            objects[i] = slab_take(&slab);
            assert_non_null(objects[i]);
            assert_int_equal(objects[i][0], 0);
            marks[i] = rng_next(&seed);
            objects[i][0] = objects[i][19] = marks[i];
            out++;
        } else {
            assert_true(objects[i][0] == marks[i] && objects[i][19] == marks[i]);
            slab_give(&slab, objects[i]);
            objects[i] = NULL;
            out--;
        }
        assert_int_equal(slab.count, out);
    }
    for (size_t i = 0; i < COUNT; i++) {
        if (objects[i] != NULL)
            slab_give(&slab, objects[i]);
    }
    slab_end(&slab);
}

static void
give_twice(void *arg)
{
    struct slab slab;
    void *object, *other;

    (void)arg;
    slab_init(&slab, OBJECT_BYTES, 10);
    object = slab_take(&slab);
    other = slab_take(&slab);
    (void)other;
    slab_give(&slab, object);
    slab_give(&slab, object);
}

static void
end_with_one_out(void *arg)
{
    struct slab slab;
    void *object;

    (void)arg;
    slab_init(&slab, OBJECT_BYTES, 10);
    object = slab_take(&slab);
    (void)object;
    slab_end(&slab);
}

static void
test_misuse(void **state)
{
    (void)state;
    assert_true(aborts(give_twice, NULL));
    assert_true(aborts(end_with_one_out, NULL));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit),       cmocka_unit_test(test_zeroed),
        cmocka_unit_test(test_idle_blocks), cmocka_unit_test(test_random),
        cmocka_unit_test(test_misuse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
