/*
 * Blocks of memory for record buffers. The library has two of 16 KiB and some for each
 * connection, and most of a record buffer is never used: a short record touches the first page
 * only. From malloc they would be resident all the same, since recycled memory is cleared
 * before it is given out. So they come from one big mapping, reserved but untouched, and a freed
 * block's pages go back to the kernel, which hands out zeroes again.
 *
 * Huge pages are refused for the mapping: one touched byte would make 2 MiB resident.
 */
#include "net/tls_in.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCK_BYTES (20u << 10) /* at least; whole pages */
#define POOL_BYTES ((size_t)4 << 30)
_Static_assert(TLS_RECORD_WIRE_MAX < BLOCK_BYTES, "a record buffer fits a block");

static pthread_once_t pool_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    uint8_t *base; /* NULL: the mapping could not be had */
    size_t page_bytes;
    size_t block_bytes;
    uint32_t block_count;
    uint32_t fresh;     /* blocks from here on were never given out */
    uint32_t *free_idx; /* a stack of those that came back: used last, given first */
    size_t free_count, free_cap;
} pool;

static void
pool_init(void)
{
    void *base;

    pool.page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    pool.block_bytes = (BLOCK_BYTES + pool.page_bytes - 1) / pool.page_bytes * pool.page_bytes;
    pool.block_count = (uint32_t)(POOL_BYTES / pool.block_bytes);
    base = mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return;
    (void)madvise(base, POOL_BYTES, MADV_NOHUGEPAGE);
    pool.base = base;
}

size_t
tls_pages_block_bytes(void)
{
    (void)pthread_once(&pool_once, pool_init);
    return pool.block_bytes;
}

void *
tls_pages_take(void)
{
    uint8_t *block = NULL;

    (void)pthread_once(&pool_once, pool_init);
    if (pool.base == NULL)
        return NULL;
    (void)pthread_mutex_lock(&pool_lock);
    if (pool.free_count > 0)
        block = pool.base + pool.free_idx[--pool.free_count] * pool.block_bytes;
    else if (pool.fresh < pool.block_count)
        block = pool.base + pool.fresh++ * pool.block_bytes;
    (void)pthread_mutex_unlock(&pool_lock);
    return block;
}

void
tls_pages_give(void *block)
{
    uint32_t idx = (uint32_t)((size_t)((uint8_t *)block - pool.base) / pool.block_bytes);

    (void)madvise(block, pool.block_bytes, MADV_DONTNEED);
    (void)pthread_mutex_lock(&pool_lock);
    if (pool.free_count == pool.free_cap) {
        size_t cap = pool.free_cap != 0 ? pool.free_cap * 2 : 64;
        uint32_t *grown = realloc(pool.free_idx, cap * sizeof(*grown));

        /* Without memory to remember it the block is lost to us: its pages are gone already,
         * what remains is address space. */
        if (grown == NULL)
            goto unlock;
        pool.free_idx = grown;
        pool.free_cap = cap;
    }
    pool.free_idx[pool.free_count++] = idx;

unlock:
    (void)pthread_mutex_unlock(&pool_lock);
}

void
tls_pages_trim(void *block)
{
    if (pool.block_bytes > pool.page_bytes)
        (void)madvise((uint8_t *)block + pool.page_bytes, pool.block_bytes - pool.page_bytes,
                      MADV_DONTNEED);
}
