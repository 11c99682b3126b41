/* Transcripts of two slicings, which must be the same (h1_run.h). */
#ifndef TEST_UNIT_H1_SAME_H
#define TEST_UNIT_H1_SAME_H

#include "test/unit/h1_run.h"
#include "test/unit/testing.h"

/* Frees got. cut: how it was sliced, for the message. */
static inline void
assert_same(const char *name, const struct buf *want, struct buf *got, size_t cut)
{
    if (want->len != got->len || memcmp(want->ptr, got->ptr, got->len) != 0)
        fail_msg("%s: cut at %zu:\n%.*s\ninstead of\n%.*s", name, cut, (int)MIN(got->len, 4000u),
                 got->ptr, (int)MIN(want->len, 4000u), want->ptr);
    buf_free(got);
}

#endif
