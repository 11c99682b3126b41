/* A small region, t, that begins anew with each test that has these for its setup and teardown. */
#ifndef TEST_UNIT_SHM_SMALL_H
#define TEST_UNIT_SHM_SMALL_H

#include "test/unit/shm_testing.h"

static struct shm_test t;

static inline int
setup(void **state)
{
    (void)state;
    t = shm_test_open(&small_geometry);
    return 0;
}

static inline int
teardown(void **state)
{
    (void)state;
    shm_test_close(&t);
    return 0;
}

#endif
