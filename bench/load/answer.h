/*
 * Reads HTTP answers by increments, from any slicing of their bytes, and trusts nobody's framing
 * more than it must. No socket, no clock, no memory of its own.
 */
#ifndef BENCH_LOAD_ANSWER_H
#define BENCH_LOAD_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWER_LINE_MAX 120

enum reading { R_LINE, R_LENGTH, R_CHUNK_SIZE, R_CHUNK, R_CHUNK_END, R_TRAILER, R_UNTIL_CLOSE };

struct answer {
    enum reading state;
    int status;
    bool chunked, has_length, close, first_line;
    bool done;     /* it is whole */
    bool broken;   /* and it will never be */
    uint64_t left; /* bytes of the body, or of the chunk */
    uint32_t line_len;
    char line[ANSWER_LINE_MAX]; /* the line that is being read, cut at its end */
};

/* A run of bytes of the body, valid only inside. */
typedef void (*answer_body_fn)(const char *bytes, size_t len, void *arg);

void answer_begin(struct answer *a);

/* Feeds bytes until the answer is whole or broken; how many were used. on_body may be NULL. */
size_t answer_feed(struct answer *a, const char *bytes, size_t len, answer_body_fn on_body,
                   void *arg);

/* Whether its end may be the connection's, now. */
bool answer_ends_with_connection(const struct answer *a);

#endif
