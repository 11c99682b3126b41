/*
 * Memory that cannot be had: the allocation at which a countdown ends fails. For tests that are linked
 * with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup; what they link is ours, so the
 * allocations of libraries are not counted.
 */
#ifndef TEST_UNIT_FAILING_MEMORY_H
#define TEST_UNIT_FAILING_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

void *__real_malloc(size_t len);
void *__real_calloc(size_t count, size_t len);
void *__real_realloc(void *ptr, size_t len);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t count, size_t len);
void *__wrap_realloc(void *ptr, size_t len);
char *__wrap_strdup(const char *text);

/* Counts down to the one that fails; 0 and below: none. Atomic, since threads of a pool allocate, too. */
static atomic_int fail_in;

static inline bool
fails_now(void)
{
    return atomic_fetch_sub(&fail_in, 1) == 1;
}

void *
__wrap_malloc(size_t len)
{
    return fails_now() ? NULL : __real_malloc(len);
}

void *
__wrap_calloc(size_t count, size_t len)
{
    return fails_now() ? NULL : __real_calloc(count, len);
}

void *
__wrap_realloc(void *ptr, size_t len)
{
    return fails_now() ? NULL : __real_realloc(ptr, len);
}

char *
__wrap_strdup(const char *text)
{
    return fails_now() ? NULL : __real_strdup(text);
}

#endif
