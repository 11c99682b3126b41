/*
 * The one allocation of a message whose bytes came in pieces: table of headers, then head and
 * body in a row. For h1_req and h1_res only.
 */
#ifndef NET_H1_BLOCK_H
#define NET_H1_BLOCK_H

#include "net/h1_head.h"

struct h1_block {
    struct h1_head head;
    size_t len; /* bytes in use */
    size_t cap;
    uint8_t bytes[];
};

/* Makes room for exactly cap bytes, less never; *block may be NULL before. A head that stands
 * in the block keeps standing. False when out of memory, *block is as it was. */
bool h1_block_fit(struct h1_block **block, size_t cap) MUST_CHECK;
/* Room for more bytes, by doubling. */
bool h1_block_grow(struct h1_block **block, size_t more) MUST_CHECK;
void h1_block_add(struct h1_block *block, const void *bytes, size_t len);
/* Leaves NULL behind. */
void h1_block_free(struct h1_block **block);

typedef enum h1_lint (*h1_lint_fn)(struct h1_head *head, const struct h1_limits *limits,
                                   const uint8_t *bytes, size_t len, struct h1_error *error);
/*
 * Adds bytes to the block until its head is whole or all are added; of those bytes *used belong
 * to the head, and the block holds no others. REFUSED with 503 when out of memory.
 */
enum h1_lint h1_block_head(struct h1_block **block, h1_lint_fn lint, const struct h1_limits *limits,
                           const uint8_t *bytes, size_t len, size_t *used, struct h1_error *error);

#endif
