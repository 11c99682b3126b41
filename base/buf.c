#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/held.h"

#define BUF_CAP_MIN 256

void
buf_init(struct buf *buf, size_t cap_max)
{
    *buf = (struct buf){.cap_max = cap_max};
}

void
buf_free(struct buf *buf)
{
    free(buf->ptr);
    held_sub(buf->cap);
    buf_init(buf, buf->cap_max);
}

static bool
grow(struct buf *buf, size_t more)
{
    size_t cap;
    char *ptr;

    ASSERT(buf->len <= buf->cap);
    if (buf->len > buf->cap_max || more > buf->cap_max - buf->len) {
        buf->failed = true;
        return false;
    }
    /* Double, but at least what is asked and at most the limit. */
    cap = MAX(buf->cap <= buf->cap_max / 2 ? buf->cap * 2 : buf->cap_max, BUF_CAP_MIN);
    cap = MIN(MAX(cap, buf->len + more), buf->cap_max);
    ptr = held_fits(cap - buf->cap) ? realloc(buf->ptr, cap) : NULL;
    if (ptr == NULL) {
        buf->failed = true;
        return false;
    }
    held_add(cap - buf->cap);
    buf->ptr = ptr;
    buf->cap = cap;
    return true;
}

bool
buf_reserve(struct buf *buf, size_t more)
{
    if (buf->failed)
        return false;
    return more <= buf->cap - buf->len || grow(buf, more);
}

bool
buf_add_u64(struct buf *buf, uint64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return buf_add(buf, digits + at, sizeof(digits) - at);
}

bool
buf_add_i64(struct buf *buf, int64_t n)
{
    size_t len = buf->len;

    if (n >= 0)
        return buf_add_u64(buf, (uint64_t)n);
    if (buf_add_char(buf, '-') && buf_add_u64(buf, 0 - (uint64_t)n))
        return true;
    buf->len = len; /* no lone minus */
    return false;
}

bool
buf_add_fmt(struct buf *buf, const char *fmt, ...)
{
    char text[512];
    char *large = NULL;
    va_list args;
    int len;
    bool added;

    if (buf->failed)
        return false;
    va_start(args, fmt);
    len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (len >= (int)sizeof(text)) {
        va_start(args, fmt);
        len = vasprintf(&large, fmt, args);
        va_end(args);
    }
    if (len < 0) {
        buf->failed = true;
        return false;
    }
    added = buf_add(buf, large != NULL ? large : text, (size_t)len);
    free(large);
    return added;
}

void
buf_drop_front(struct buf *buf, size_t len)
{
    ASSERT(len <= buf->len);
    buf->len -= len;
    if (len > 0 && buf->len > 0)
        memmove(buf->ptr, buf->ptr + len, buf->len);
}

struct str
buf_str(const struct buf *buf)
{
    return (struct str){buf->ptr, buf->len};
}
