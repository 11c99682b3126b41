/* Limits that a fuzzer of HTTP/1 reaches, and a slicing that it chooses. */
#ifndef TEST_FUZZ_H1_SMALL_H
#define TEST_FUZZ_H1_SMALL_H

#include "test/unit/h1_run.h"

static const struct h1_limits small_limits = {
    .request_line_bytes = 200,
    .header_bytes = 150,
    .headers_bytes = 400,
    .header_count = 12,
    .blank_lines = 2,
    .chunk_extra_bytes = 40,
    .interim_count = 2,
    .body_bytes = 300,
};

/* Slices of changing sizes, from a number (uint16_t). */
static inline size_t
cut_by_seed(size_t from, size_t len, const void *arg)
{
    uint64_t x = (*(const uint16_t *)arg + from + 1) * UINT64_C(0x9e3779b97f4a7c15);
    (void)len;
    return from + 1 + (x >> 40) % (1 + (x >> 60) * 8);
}

#endif
