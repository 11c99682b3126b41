/*
 * base: what every room needs and no room owns. Arena, buffers, strings, JSON, clock,
 * random numbers, log, assertions, checked money arithmetic. No domain words beyond the
 * unit of money, no sockets, no files but the log's. Includes libc and libsodium only.
 *
 * This header: the macros, assertions and the string view that all code uses.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define CACHE_LINE 64
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/*
 * ASSERT is in every build: a wrong balance costs more than a restart. For our own doing
 * only, never for input. ASSERT_SLOW (whole-table sums) is in builds with -DSLOW_ASSERTS.
 * A failure writes one line to standard error and aborts. Expressions never hold secrets.
 */
#define ASSERT(x) (LIKELY(x) ? (void)0 : assert_failed(#x, __FILE__, __LINE__))
#ifdef SLOW_ASSERTS
#define ASSERT_SLOW(x) ASSERT(x)
#else
#define ASSERT_SLOW(x) ((void)0)
#endif
_Noreturn void assert_failed(const char *expr, const char *file, int line);

/* A view of bytes that somebody else owns; not NUL-terminated. {NULL, 0} is "absent". */
struct str {
    const char *ptr;
    size_t len;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_NONE ((struct str){NULL, 0})
/* For printf's "%.*s". */
#define STR_ARGS(s) (int)(s).len, (s).ptr

#endif
