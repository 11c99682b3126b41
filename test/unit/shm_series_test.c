/* Series of what was served: which there are, how many there can be, and what is counted where. */
#include "test/unit/shm_small.h"

#include "shm/series.h"

static struct series_writer *writer;

static int
setup_writer(void **state)
{
    int rc = setup(state);

    writer = series_writer_new(t.region);
    return writer != NULL ? rc : -1;
}

static int
teardown_writer(void **state)
{
    series_writer_free(&writer);
    return teardown(state);
}

static struct series_key
route(uint16_t model, uint16_t upstream)
{
    return (struct series_key){.model = model, .channel = 1, .upstream = upstream};
}

static uint64_t
load(const _Atomic uint64_t *word)
{
    return atomic_load(word);
}

static void
test_one_a_key(void **state)
{
    struct series_key a = route(1, 1), b = route(1, 2);
    struct series_key tenant = {.kind = SERIES_TENANT, .tenant_id = 1};
    struct series *of_a = series_for(writer, &a, 100);

    (void)state;
    assert_int_equal(series_count(t.region), 3); /* with those of the others */
    assert_ptr_equal(series_for(writer, &a, 100), of_a);
    assert_ptr_not_equal(series_for(writer, &b, 100), of_a);
    assert_ptr_not_equal(series_for(writer, &tenant, 100), of_a);
    assert_int_equal(series_count(t.region), 5);
    assert_memory_equal(&series_at(t.region, 2)->key, &a, sizeof a);
    assert_int_equal(load(&series_head(t.region)->other), 0);
}

static void
test_past_the_bound_all_are_one(void **state)
{
    struct series_key first = route(1, 1);
    struct series *kept = series_for(writer, &first, 4), *others;

    (void)state;
    for (uint16_t i = 2; i <= 10; i++) {
        struct series_key key = route(i, 1);

        others = series_for(writer, &key, 4);
        series_add(&others->charge_ucr, 1);
    }
    assert_int_equal(series_count(t.region), 4);
    assert_int_equal(load(&series_head(t.region)->other), 8);
    assert_int_equal(load(&others->charge_ucr), 8);
    assert_int_equal(others->key.model, 0);
    assert_int_equal(others->key.kind, SERIES_ROUTE);
    assert_ptr_equal(series_for(writer, &first, 4), kept);
}

/* All that there is room for: each is found again, also by a writer that begins anew. */
static void
test_full(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SERIES_MAX + 100; i++) {
        struct series_key key = route((uint16_t)(i % 500 + 1), (uint16_t)(i / 500 + 1));

        series_add(&series_for(writer, &key, UINT32_MAX)->charge_ucr, 1);
    }
    assert_int_equal(series_count(t.region), SERIES_MAX);
    assert_int_equal(load(&series_head(t.region)->other), 102);
    series_writer_free(&writer);
    writer = series_writer_new(t.region);
    assert_non_null(writer);
    for (uint32_t i = 0; i < SERIES_MAX - 2; i++) {
        struct series_key key = route((uint16_t)(i % 500 + 1), (uint16_t)(i / 500 + 1));

        assert_int_equal(load(&series_for(writer, &key, UINT32_MAX)->charge_ucr), 1);
    }
    assert_int_equal(series_count(t.region), SERIES_MAX);
    assert_int_equal(load(&series_head(t.region)->other), 102);
}

/* What is said to be there without room for it is not read. */
static void
test_taken_over_with_care(void **state)
{
    struct series_key key = route(1, 1);

    (void)state;
    (void)series_for(writer, &key, 100);
    atomic_store(&series_head(t.region)->count, 1u << 30);
    assert_int_equal(series_count(t.region), SERIES_MAX);
    series_writer_free(&writer);
    writer = series_writer_new(t.region);
    assert_non_null(writer);
    assert_true(series_count(t.region) < 100);
    assert_int_equal(series_for(writer, &key, 1)->key.model, 1);
}

static void
test_times(void **state)
{
    struct series *s = series_at(t.region, 0);
    const struct series_histogram *h = &s->time[SERIES_FIRST_BYTE];

    (void)state;
    for (unsigned time = 0; time < SERIES_TIME_COUNT; time++)
        for (unsigned b = 1; b < SERIES_BUCKETS; b++)
            assert_true(series_bound_us[time][b] > series_bound_us[time][b - 1]);
    series_time(s, SERIES_FIRST_BYTE, 0);
    series_time(s, SERIES_FIRST_BYTE, 10000); /* the end belongs to it */
    series_time(s, SERIES_FIRST_BYTE, 10001);
    series_time(s, SERIES_FIRST_BYTE, UINT32_MAX);
    assert_int_equal(load(&h->bucket[0]), 2);
    assert_int_equal(load(&h->bucket[1]), 1);
    assert_int_equal(load(&h->bucket[SERIES_BUCKETS]), 1);
    assert_int_equal(load(&h->sum_us), 20001 + (uint64_t)UINT32_MAX);
    assert_int_equal(load(&s->time[SERIES_CALL].sum_us), 0);
}

static void
test_statuses(void **state)
{
    struct series_head *head = series_head(t.region);

    (void)state;
    series_status(t.region, 1, 200);
    series_status(t.region, SERIES_PROTOCOLS - 1, 599);
    series_status(t.region, SERIES_PROTOCOLS, 200);
    series_status(t.region, 0, 99);
    series_status(t.region, 0, 600);
    series_status(t.region, 0, 0);
    assert_int_equal(load(&head->status[1][100]), 1);
    assert_int_equal(load(&head->status[SERIES_PROTOCOLS - 1][499]), 1);
    for (unsigned i = 0; i < SERIES_STATUS_COUNT; i++)
        assert_int_equal(load(&head->status[0][i]), 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_writer, teardown_writer)
    const struct CMUnitTest tests[] = {
        TEST(test_one_a_key), TEST(test_past_the_bound_all_are_one),
        TEST(test_full),      TEST(test_taken_over_with_care),
        TEST(test_times),     TEST(test_statuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
