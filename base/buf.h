/*
 * A growable byte buffer with a hard limit. Appending past the limit or out of memory sets
 * `failed` and from then on changes nothing, so a writer checks once at the end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <string.h>

#include "base/base.h"

struct buf {
    char *ptr;      /* malloc()ed, or NULL while empty */
    size_t len;     /* bytes in use */
    size_t cap;     /* bytes allocated */
    size_t cap_max; /* never grows past this */
    bool failed;
};

void buf_init(struct buf *buf, size_t cap_max); /* allocates nothing */
void buf_free(struct buf *buf);                 /* gives the memory back; usable again */
/* Makes room for more bytes; false (and failed) when it cannot be had. */
bool buf_reserve(struct buf *buf, size_t more);
/* The next three mostly find room: then they are a few instructions where they stand. */
static inline bool
buf_add(struct buf *buf, const void *bytes, size_t len)
{
    if (UNLIKELY(buf->failed || len > buf->cap - buf->len) && !buf_reserve(buf, len))
        return false;
    if (len > 0)
        memcpy(buf->ptr + buf->len, bytes, len);
    buf->len += len;
    return true;
}

static inline bool
buf_add_str(struct buf *buf, struct str s)
{
    return buf_add(buf, s.ptr, s.len);
}

static inline bool
buf_add_char(struct buf *buf, char c)
{
    return buf_add(buf, &c, 1);
}

bool buf_add_u64(struct buf *buf, uint64_t n);
bool buf_add_i64(struct buf *buf, int64_t n);
bool buf_add_fmt(struct buf *buf, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Drops the first len bytes, moving the rest to the front. */
void buf_drop_front(struct buf *buf, size_t len);
struct str buf_str(const struct buf *buf);

#endif
