/*
 * Random bytes come from the kernel in portions: a number a call must not be a system call a
 * call. A portion belongs to one thread of one process: a child of fork() never uses what its
 * parent had left, or both would give out the same numbers. Bytes given out are wiped.
 */
#include "base/rng.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#define PORTION_BYTES 512

struct portion {
    uint8_t bytes[PORTION_BYTES];
    size_t left;         /* the last so many bytes are fresh */
    unsigned generation; /* of the process that filled it */
};

static _Thread_local struct portion portion;
static pthread_once_t once = PTHREAD_ONCE_INIT;
/* Counts forks above this process. Written by the child's only thread before fork() returns. */
static atomic_uint process_generation = 1;

static void
on_fork_child(void)
{
    atomic_fetch_add_explicit(&process_generation, 1, memory_order_relaxed);
}

static void
watch_forks(void)
{
    int rc = pthread_atfork(NULL, NULL, on_fork_child);

    ASSERT(rc == 0);
}

static void
kernel_bytes(uint8_t *out, size_t len)
{
    while (len > 0) {
        ssize_t got = getrandom(out, len, 0);

        if (got < 0) {
            ASSERT(errno == EINTR);
            continue;
        }
        out += got;
        len -= (size_t)got;
    }
}

void
rng_bytes(void *out, size_t len)
{
    struct portion *p = &portion;
    unsigned generation;
    uint8_t *from;

    if (len > PORTION_BYTES / 4) {
        kernel_bytes(out, len);
        return;
    }
    generation = atomic_load_explicit(&process_generation, memory_order_relaxed);
    if (p->generation != generation || p->left < len) {
        pthread_once(&once, watch_forks);
        kernel_bytes(p->bytes, sizeof(p->bytes));
        p->left = sizeof(p->bytes);
        p->generation = generation;
    }
    from = p->bytes + (sizeof(p->bytes) - p->left);
    p->left -= len;
    if (len > 0)
        memcpy(out, from, len);
    explicit_bzero(from, len);
}

uint64_t
rng_u64(void)
{
    uint64_t n;

    rng_bytes(&n, sizeof(n));
    return n;
}

/* Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators (2014). */
uint64_t
rng_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
