/* What unit tests share: cmocka with what it needs, text that ends at an unmapped page, and
 * whether something aborts. */
#ifndef TEST_UNIT_TESTING_H
#define TEST_UNIT_TESTING_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"

#define assert_str(got, want) assert_text((got), (want), __FILE__, __LINE__)

static inline void
assert_text(struct str got, const char *want, const char *file, int line)
{
    if (got.len == strlen(want) && (got.len == 0 || memcmp(got.ptr, want, got.len) == 0))
        return;
    print_error("\"%.*s\" is not \"%s\"\n", STR_ARGS(got), want);
    _fail(file, line);
}

/* Reading one byte past the text, or writing before the mapping, is a crash. */
struct page {
    char *map;
    size_t map_len;
    struct str text;
};

static inline struct page
page_make(const void *bytes, size_t len)
{
    size_t unit = (size_t)sysconf(_SC_PAGESIZE);
    size_t used = (len + unit - 1) / unit * unit;
    struct page page = {.map_len = used + unit};

    page.map = mmap(NULL, page.map_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page.map == MAP_FAILED || mprotect(page.map + used, unit, PROT_NONE) != 0)
        abort();
    page.text = (struct str){page.map + used - len, len};
    if (len > 0)
        memcpy(page.map + used - len, bytes, len);
    return page;
}

static inline void
page_free(struct page *page)
{
    munmap(page->map, page->map_len);
    *page = (struct page){.map = NULL};
}

/* Runs fn(arg) in a child and says whether that ended by abort(). */
static inline bool
aborts(void (*fn)(void *arg), void *arg)
{
    int status;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(1);
        fn(arg);
        _exit(0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
           WTERMSIG(status) == SIGABRT;
}

/* $TEST_SEED, or one that differs from run to run; always printed, so that a failure repeats. */
static inline uint64_t
test_seed(void)
{
    const char *given = getenv("TEST_SEED");
    uint64_t seed =
        given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;

    print_message("TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

#endif
