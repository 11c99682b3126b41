#include <pthread.h>

#include "base/hash.h"
#include "base/rng.h"
#include "base/str.h"
#include "test/unit/testing.h"

static void
test_bytes(void **state)
{
    static const size_t lens[] = {0, 1, 7, 128, 129, 512, 5000};
    uint8_t bytes[5008], zero[5008] = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lens); i++) {
        memset(bytes, 0, sizeof(bytes));
        rng_bytes(bytes, lens[i]);
        if (lens[i] >= 7)
            assert_memory_not_equal(bytes, zero, lens[i]);
        assert_memory_equal(bytes + lens[i], zero, sizeof(bytes) - lens[i]); /* no byte more */
    }
}

static int
compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void
assert_all_differ(uint64_t *numbers, size_t count)
{
    qsort(numbers, count, sizeof(*numbers), compare);
    for (size_t i = 1; i < count; i++)
        assert_true(numbers[i - 1] != numbers[i]);
}

static void
test_no_repeats(void **state)
{
    uint64_t numbers[10000];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        numbers[i] = rng_u64();
    assert_all_differ(numbers, COUNT_OF(numbers));
}

/* What the parent had ready must not come out in its children, or call IDs would meet. */
static void
test_fork(void **state)
{
    enum { CHILDREN = 4, EACH = 20 };
    uint64_t numbers[(CHILDREN + 1) * EACH];
    size_t count = 0;

    (void)state;
    rng_u64();
    for (int child = 0; child < CHILDREN; child++) {
        int fds[2], status;
        pid_t pid;

        assert_int_equal(pipe(fds), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            for (size_t i = 0; i < EACH; i++)
                numbers[i] = rng_u64();
            _exit(write(fds[1], numbers, EACH * sizeof(*numbers)) < 0);
        }
        assert_int_equal(read(fds[0], numbers + count, EACH * sizeof(*numbers)),
                         EACH * sizeof(*numbers));
        count += EACH;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        close(fds[0]);
        close(fds[1]);
    }
    for (int i = 0; i < EACH; i++)
        numbers[count++] = rng_u64();
    assert_all_differ(numbers, count);
}

static void *
thread(void *arg)
{
    uint64_t *numbers = arg;

    for (int i = 0; i < 100; i++)
        numbers[i] = rng_u64();
    return NULL;
}

static void
test_threads(void **state)
{
    uint64_t numbers[400];
    pthread_t ids[4];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        assert_int_equal(pthread_create(&ids[i], NULL, thread, numbers + 100 * i), 0);
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        pthread_join(ids[i], NULL);
    assert_all_differ(numbers, COUNT_OF(numbers));
}

static void
test_seeded(void **state)
{
    uint64_t seed = 0;

    (void)state;
    /* The published generator's first numbers from seed 0. */
    assert_true(rng_next(&seed) == UINT64_C(0xe220a8397b1dcdaf));
    assert_true(rng_next(&seed) == UINT64_C(0x6e789e6aa1b965f4));
    assert_true(rng_next(&seed) == UINT64_C(0x06c45d188009454f));
}

static void
test_hashes(void **state)
{
    uint8_t key[HASH_KEY_LEN] = {1}, a[HASH_LEN], b[HASH_LEN];
    char text[2 * HASH_LEN + 1];

    (void)state;
    hash_keyed(NULL, "abc", 3, a);
    str_hex(a, HASH_LEN, text);
    assert_string_equal(text, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
    hash_keyed(NULL, NULL, 0, a);
    str_hex(a, HASH_LEN, text);
    assert_string_equal(text, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    hash_keyed(key, "abc", 3, b);
    assert_false(hash_eq(a, b));
    assert_true(hash_eq(b, b));
    hash_pair(STR("a"), STR("bc"), a);
    hash_keyed(NULL, "abc", 3, b);
    assert_true(hash_eq(a, b));
    hash_pair(STR_NONE, STR("abc"), a);
    assert_true(hash_eq(a, b));
    b[HASH_LEN - 1] ^= 1;
    assert_false(hash_eq(a, b));
}

static void
test_hash_u64(void **state)
{
    (void)state;
    assert_true(hash_u64("abc", 3) == hash_u64("abcd", 3));
    assert_true(hash_u64("abc", 3) != hash_u64("abd", 3));
    assert_true(hash_u64("", 0) == hash_u64(NULL, 0));
    /* Kept in files and shared memory: it must never change. */
    assert_true(hash_u64("turnpike", 8) == UINT64_C(0x92917948d87ec062));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),    cmocka_unit_test(test_no_repeats),
        cmocka_unit_test(test_fork),     cmocka_unit_test(test_threads),
        cmocka_unit_test(test_seeded),   cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_hash_u64),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
