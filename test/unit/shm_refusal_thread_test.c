/*
 * A worker that refuses without a pause and a ledger process that cannot keep up: what is read is whole and
 * in order, and with what was missed it is all of it. Also with the thread sanitizer.
 */
#include "test/unit/shm_testing.h"

#include "shm/refusal.h"

#include <pthread.h>

#define PUTS 300000u

static struct refusal_ring *ring;
static _Atomic bool over;

static void *
worker(void *arg)
{
    (void)arg;
    for (uint32_t n = 1; n <= PUTS; n++) {
        struct refusal refusal = {.wall_us = n, .tenant_id = n, .key_id = n, .took_us = n};

        refusal.pad[13] = (uint8_t)n; /* the last byte of it */
        (void)refusal_put(ring, &refusal);
    }
    atomic_store_explicit(&over, true, memory_order_release);
    return NULL;
}

static void
test_race(void **state)
{
    struct shm_test t = shm_test_open(&small_geometry);
    struct refusal out[16];
    uint64_t missed = 0, taken = 0;
    uint32_t last = 0;
    pthread_t thread;
    unsigned count;
    bool ended;

    (void)state;
    assert_int_equal(region_table_ensure(t.region, 0), 0);
    ring = refusal_ring_at(t.region, 0);
    assert_int_equal(pthread_create(&thread, NULL, worker, NULL), 0);
    do {
        ended = atomic_load_explicit(&over, memory_order_acquire);
        count = refusal_take(ring, out, COUNT_OF(out), &missed);
        for (unsigned i = 0; i < count; i++) {
            assert_true(out[i].tenant_id > last);
            last = out[i].tenant_id;
            assert_int_equal(out[i].wall_us, last);
            assert_int_equal(out[i].key_id, last);
            assert_int_equal(out[i].took_us, last);
            assert_int_equal(out[i].pad[13], (uint8_t)last);
        }
        taken += count;
    } while (!ended || count > 0);
    pthread_join(thread, NULL);
    assert_int_equal(last, PUTS);
    assert_int_equal(taken + missed, PUTS);
    shm_test_close(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_race)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
