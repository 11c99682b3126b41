/* Interned names: same name same id, a full table, entries that their writer never finished. */
#include "test/unit/shm_small.h"

#include "shm/names.h"

static struct name_entry *
entries(void)
{
    return region_part(t.region, REGION_NAMES);
}

static void
test_intern(void **state)
{
    uint16_t a, b;

    (void)state;
    assert_int_equal(name_find(t.region, STR("gpt-5")), 0);
    a = name_intern(t.region, STR("gpt-5"));
    b = name_intern(t.region, STR("gpt-5-mini"));
    assert_int_not_equal(a, 0);
    assert_int_not_equal(b, 0);
    assert_int_not_equal(a, b);
    assert_int_equal(name_intern(t.region, STR("gpt-5")), a);
    assert_int_equal(name_find(t.region, STR("gpt-5")), a);
    assert_int_equal(name_find(t.region, STR("GPT-5")), 0);
    assert_str(name_text(t.region, a), "gpt-5");
    assert_str(name_text(t.region, b), "gpt-5-mini");
    assert_int_equal(t.region->header->name_count, 2);
}

static void
test_lengths(void **state)
{
    char text[NAME_BYTES_MAX + 1];
    uint16_t id;

    (void)state;
    memset(text, 'x', sizeof(text));
    assert_int_equal(name_intern(t.region, STR_NONE), 0);
    assert_int_equal(name_find(t.region, STR_NONE), 0);
    assert_int_equal(name_intern(t.region, STR("")), 0);
    id = name_intern(t.region, (struct str){text, NAME_BYTES_MAX});
    assert_int_not_equal(id, 0);
    assert_int_equal(name_text(t.region, id).len, NAME_BYTES_MAX);
    assert_int_equal(name_intern(t.region, (struct str){text, NAME_BYTES_MAX + 1}), 0);
    assert_int_equal(name_find(t.region, (struct str){text, NAME_BYTES_MAX + 1}), 0);
    id = name_intern(t.region, (struct str){"\0\n\xff", 3}); /* any bytes */
    assert_int_equal(name_text(t.region, id).len, 3);
}

static void
test_unknown_ids(void **state)
{
    (void)state;
    for (uint32_t id = 0; id <= UINT16_MAX; id++)
        assert_null(name_text(t.region, (uint16_t)id).ptr);
}

static void
test_full(void **state)
{
    char text[16];
    uint16_t ids[128];

    (void)state;
    for (int i = 0; i < 128; i++) {
        int len = snprintf(text, sizeof(text), "name-%d", i);

        ids[i] = name_intern(t.region, (struct str){text, (size_t)len});
        assert_true(ids[i] >= 1 && ids[i] <= 128);
    }
    assert_int_equal(name_intern(t.region, STR("one more")), 0);
    assert_int_equal(name_find(t.region, STR("one more")), 0);
    for (int i = 0; i < 128; i++) {
        int len = snprintf(text, sizeof(text), "name-%d", i);

        assert_int_equal(name_find(t.region, (struct str){text, (size_t)len}), ids[i]);
        assert_str(name_text(t.region, ids[i]), text);
    }
}

/* Its writer died: passed over, after a short wait once, and never given out. */
static void
test_unfinished(void **state)
{
    uint16_t where = name_intern(t.region, STR("a")), again;

    (void)state;
    entries()[where - 1].state = 1;
    assert_int_equal(name_find(t.region, STR("a")), 0);
    again = name_intern(t.region, STR("a"));
    assert_int_not_equal(again, 0);
    assert_int_not_equal(again, where);
    assert_int_equal(name_find(t.region, STR("a")), again);
    assert_int_equal(name_intern(t.region, STR("a")), again);
    assert_null(name_text(t.region, where).ptr);
    /* Was it only slow? Then it finishes what it began. */
    entries()[where - 1].state = 2 + 1;
    assert_int_equal(name_find(t.region, STR("a")), where);
    assert_str(name_text(t.region, where), "a");
    assert_str(name_text(t.region, again), "a");
}

static void
test_damaged(void **state)
{
    uint16_t id = name_intern(t.region, STR("a"));

    (void)state;
    for (uint32_t i = 0; i < 128; i++)
        entries()[i].state = 2 + NAME_BYTES_MAX + 1 + i;
    assert_null(name_text(t.region, id).ptr);
    assert_int_equal(name_find(t.region, STR("a")), 0);
    assert_int_equal(name_intern(t.region, STR("a")), 0);
}

/* Two processes that add the same names at once agree on every id. */
static void
test_two_processes(void **state)
{
    uint16_t ids[100];
    char text[16];
    int pipe_fd[2];
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(pipe_fd), 0);
    fflush(NULL);
    pid = fork();
    for (int i = 0; i < 100; i++) {
        int len = snprintf(text, sizeof(text), "both-%d", i);

        ids[i] = name_intern(t.region, (struct str){text, (size_t)len});
    }
    if (pid == 0)
        _exit(write(pipe_fd[1], ids, sizeof(ids)) == sizeof(ids) ? 0 : 1);
    assert_true(pid > 0);
    {
        uint16_t theirs[100];
        int status;

        assert_int_equal(read(pipe_fd[0], theirs, sizeof(theirs)), sizeof(theirs));
        assert_memory_equal(ids, theirs, sizeof(ids));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    assert_int_equal(t.region->header->name_count, 100);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_intern),     TEST(test_lengths), TEST(test_unknown_ids),   TEST(test_full),
        TEST(test_unfinished), TEST(test_damaged), TEST(test_two_processes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
