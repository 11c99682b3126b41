#include "net/h1_block.h"

#include "base/held.h"

#include <stdlib.h>
#include <string.h>

enum {
    HEAD_START_BYTES = 1024, /* a head that came in pieces starts with this */
    HEAD_PIECE_BYTES = 2048, /* and takes at most this much before it is looked at again */
};

bool
h1_block_fit(struct h1_block **block, size_t cap)
{
    struct h1_block *old = *block, *fit;
    size_t more;

    if (cap > SIZE_MAX - sizeof(*fit) || (old && cap <= old->cap))
        return old && cap <= old->cap;
    more = old ? cap - old->cap : sizeof(*fit) + cap;
    fit = held_fits(more) ? realloc(old, sizeof(*fit) + cap) : NULL;
    if (!fit)
        return false;
    held_add(more);
    if (!old) {
        h1_head_init(&fit->head);
        fit->len = 0;
    }
    fit->cap = cap;
    if (fit->head.base)
        fit->head.base = (const char *)fit->bytes;
    *block = fit;
    return true;
}

bool
h1_block_grow(struct h1_block **block, size_t more)
{
    size_t len = *block ? (*block)->len : 0, cap = *block ? (*block)->cap : 0;

    if (more <= cap - len)
        return true;
    if (more > SIZE_MAX / 4 - len)
        return false;
    return h1_block_fit(block, MAX(len + more, MAX(cap * 2, (size_t)HEAD_START_BYTES)));
}

void
h1_block_free(struct h1_block **block)
{
    if (*block == NULL)
        return;
    held_sub(sizeof(**block) + (*block)->cap);
    free(*block);
    *block = NULL;
}

void
h1_block_add(struct h1_block *block, const void *bytes, size_t len)
{
    ASSERT(len <= block->cap - block->len);
    if (len > 0)
        memcpy(block->bytes + block->len, bytes, len);
    block->len += len;
}

enum h1_lint
h1_block_head(struct h1_block **block, h1_lint_fn lint, const struct h1_limits *limits,
              const uint8_t *bytes, size_t len, size_t *used, struct h1_error *error)
{
    *used = 0;
    while (*used < len) {
        size_t piece = MIN(len - *used, (size_t)HEAD_PIECE_BYTES);
        if (!h1_block_grow(block, piece)) {
            *error = (struct h1_error){503, "out of memory"};
            return H1_LINT_REFUSED;
        }
        struct h1_block *b = *block;
        h1_block_add(b, bytes + *used, piece);
        *used += piece;
        enum h1_lint got = lint(&b->head, limits, b->bytes, b->len, error);
        if (got == H1_LINT_DONE) {
            /* All that is past the head came with this piece. */
            *used -= b->len - b->head.len;
            b->len = b->head.len;
        }
        if (got != H1_LINT_MORE)
            return got;
    }
    return H1_LINT_MORE;
}
