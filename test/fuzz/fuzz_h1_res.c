/*
 * Answers of an upstream. The first two bytes choose a slicing; what follows is the stream. Read
 * in those slices, whole, and byte by byte, head, body and end must be the
 * same. Limits are small, so that the fuzzer reaches them.
 */
#include "test/fuzz/h1_small.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct buf
transcript(struct str bytes, run_cut_fn cut, const void *arg)
{
    struct buf out;

    buf_init(&out, 16u << 20);
    run_answer(&out, &small_limits, bytes, cut, arg);
    return out;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const run_cut_fn cuts[] = {run_bytes, cut_by_seed};
    uint16_t seed;

    if (size < sizeof(seed))
        return 0;
    memcpy(&seed, data, sizeof(seed));
    struct str bytes = {(const char *)data + sizeof(seed), size - sizeof(seed)};
    struct buf whole = transcript(bytes, run_whole, NULL);

    for (size_t i = 0; i < COUNT_OF(cuts); i++) {
        struct buf got = transcript(bytes, cuts[i], &seed);
        if (got.failed != whole.failed || got.len != whole.len ||
            memcmp(got.ptr, whole.ptr, got.len) != 0) {
            fprintf(stderr, "slicing %zu:\n%.*s\nwhole:\n%.*s\n", i, (int)got.len, got.ptr,
                    (int)whole.len, whole.ptr);
            abort();
        }
        buf_free(&got);
    }
    buf_free(&whole);
    return 0;
}
