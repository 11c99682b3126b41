#include "net/h1_req.h"

#include "base/held.h"
#include "net/h1_block.h"
#include "net/h1_chunk.h"
#include "net/h1_twin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * A request is read in one of two ways. Borrowed: its head was found whole in the fed bytes,
 * is in scratch, and the body is looked for right behind it. In a block: some bytes came
 * before the others, and all of them are copied. The first turns into the second when the fed
 * bytes end too early, never the other way round.
 */

/* What reads a chunked body. Most requests have none. */
struct h1_chunked {
    struct h1_chunk chunk;
    struct h1_twin twin;
};

static enum h1_req_event
fail(struct h1_req *req, uint16_t status, const char *reason)
{
    req->state = H1_REQ_FAILED;
    req->error = (struct h1_error){status, reason};
    req->body = STR_NONE;
    return H1_REQ_ERROR;
}

void
h1_req_init(struct h1_req *req, const struct h1_limits *limits, struct h1_head *scratch)
{
    memset(req, 0, sizeof(*req));
    req->limits = limits;
    req->scratch = scratch;
}

/* ---- the body ---------------------------------------------------------------------------- */

static void
chunked_free(struct h1_req *req)
{
    free(req->chunked);
    req->chunked = NULL;
}

static enum h1_req_event
ready(struct h1_req *req, const char *body, size_t body_len)
{
    chunked_free(req);
    req->state = H1_REQ_READY;
    req->body = (struct str){body, body_len};
    return H1_REQ_DONE;
}

/* Others are served, and what they hold is theirs: this one may come again. */
static enum h1_req_event
no_room(struct h1_req *req)
{
    return fail(req, 503, "no memory for this request at the moment");
}

/* From borrowed to a block that has room for the head and body_room more. */
static bool
move_to_block(struct h1_req *req, size_t body_room)
{
    const struct h1_head *head = req->head;

    ASSERT(!req->block);
    if (!held_fits_input(head->len + body_room, body_room) ||
        !h1_block_fit(&req->block, head->len + body_room))
        return false;
    h1_block_add(req->block, head->base, head->len);
    h1_head_copy(&req->block->head, head);
    req->block->head.base = (const char *)req->block->bytes;
    req->head = &req->block->head;
    req->borrowed = false;
    return true;
}

/* Makes room in the block for a body of so many bytes behind its head, if there is none yet. */
static bool
block_takes(struct h1_req *req, size_t want)
{
    size_t need = req->block->head.len + want;

    return need <= req->block->cap ||
           (held_fits_input(need - req->block->cap, want) && h1_block_fit(&req->block, need));
}

static enum h1_req_event
read_length(struct h1_req *req, uint8_t *bytes, size_t len, size_t *used)
{
    size_t want = (size_t)req->head->content_length; /* at most body_bytes of the limits */
    size_t left = want - (size_t)req->body_bytes, piece = MIN(left, len);

    if (req->borrowed && len >= want) {
        *used = want;
        req->body_bytes = want;
        return ready(req, req->head->base + req->head->len, want);
    }
    if (req->borrowed && !move_to_block(req, want))
        return no_room(req);
    if (!block_takes(req, want))
        return no_room(req);
    req->head = &req->block->head;
    h1_block_add(req->block, bytes, piece);
    req->body_bytes += piece;
    *used = piece;
    if (piece < left)
        return H1_REQ_MORE;
    return ready(req, (const char *)req->block->bytes + req->head->len, want);
}

static enum h1_req_event
chunk_fault(struct h1_req *req, enum h1_chunk_got got)
{
    if (got == H1_CHUNK_TOO_BIG)
        return fail(req, 413, "body too large");
    if (got == H1_CHUNK_EXTRA)
        return fail(req, 400, "chunk extensions and trailers too long");
    return fail(req, 400, "malformed chunk");
}

/* Borrowed chunks are pushed together where they lie: *gathered bytes behind the head are the
 * body so far. In a block they are appended. */
static bool
gather(struct h1_req *req, struct str data, size_t *gathered)
{
    if (req->borrowed) {
        memmove((char *)(uintptr_t)req->head->base + req->head->len + *gathered, data.ptr,
                data.len);
        *gathered += data.len;
        return true;
    }
    if (!held_fits_input(data.len, req->body_bytes + data.len) ||
        !h1_block_grow(&req->block, data.len))
        return false;
    req->head = &req->block->head;
    h1_block_add(req->block, data.ptr, data.len);
    return true;
}

static enum h1_req_event
read_chunked(struct h1_req *req, uint8_t *bytes, size_t len, size_t *used)
{
    struct h1_chunked *chunked = req->chunked;
    size_t gathered = 0;

    *used = 0;
    while (*used < len) {
        const uint8_t *from = bytes + *used;
        struct str data = STR_NONE;
        size_t n;
        enum h1_chunk_got got = h1_chunk_read(&chunked->chunk, from, len - *used, &n, &data);

        /* llhttp reads them before gathering writes over them. Of a fault of ours it may know
         * an earlier one, and then that is the fault, as it would be in smaller pieces. */
        if (got >= H1_CHUNK_BAD && h1_twin_accepts(&chunked->twin, from, n))
            return chunk_fault(req, got);
        if (got >= H1_CHUNK_BAD ||
            !h1_twin_body(&chunked->twin, from, n, chunked->chunk.body_bytes, got == H1_CHUNK_END))
            return fail(req, 400, "malformed chunk");
        *used += n;
        if (got == H1_CHUNK_DATA && !gather(req, data, &gathered))
            return no_room(req);
        req->body_bytes = chunked->chunk.body_bytes;
        if (got == H1_CHUNK_END)
            return ready(req, req->head->base + req->head->len, (size_t)req->body_bytes);
    }
    if (req->borrowed) {
        const char *body = req->head->base + req->head->len;
        if (!move_to_block(req, gathered))
            return no_room(req);
        h1_block_add(req->block, body, gathered);
    }
    return H1_REQ_MORE;
}

static enum h1_req_event
read_body(struct h1_req *req, uint8_t *bytes, size_t len, size_t *used)
{
    /* What is borrowed goes on right where its head ended. */
    ASSERT(!req->borrowed || len == 0 || (const char *)bytes == req->head->base + req->head->len);
    if (req->head->framing == H1_FRAMING_CHUNKED)
        return read_chunked(req, bytes, len, used);
    if (req->head->framing == H1_FRAMING_LENGTH)
        return read_length(req, bytes, len, used);
    *used = 0;
    return ready(req, req->head->base + req->head->len, 0);
}

/* ---- the head ---------------------------------------------------------------------------- */

static enum h1_req_event
head_done(struct h1_req *req, struct h1_head *head)
{
    struct h1_twin for_head, *twin = &for_head;

    if (head->framing == H1_FRAMING_CHUNKED) {
        req->chunked = malloc(sizeof(*req->chunked));
        if (req->chunked == NULL)
            return no_room(req);
        h1_chunk_init(&req->chunked->chunk, req->limits->body_bytes,
                      req->limits->chunk_extra_bytes);
        twin = &req->chunked->twin; /* reads on in the body */
    }
    if (!h1_twin_head(twin, head))
        return fail(req, 400, "malformed request");
    req->head = head;
    req->state = H1_REQ_IN_BODY;
    return H1_REQ_HEAD;
}

static enum h1_req_event
read_head(struct h1_req *req, uint8_t *bytes, size_t len, size_t *used)
{
    struct h1_error error = {0, NULL};
    enum h1_lint got;

    if (!req->block) {
        h1_head_init(req->scratch);
        got = h1_head_lint_request(req->scratch, req->limits, bytes, len, &error);
        if (got == H1_LINT_DONE) {
            *used = req->scratch->len;
            req->borrowed = true;
            return head_done(req, req->scratch);
        }
        if (got == H1_LINT_REFUSED)
            return fail(req, error.status, error.reason);
    }
    got = h1_block_head(&req->block, h1_head_lint_request, req->limits, bytes, len, used, &error);
    if (got == H1_LINT_REFUSED)
        return fail(req, error.status, error.reason);
    return got == H1_LINT_DONE ? head_done(req, &req->block->head) : H1_REQ_MORE;
}

static enum h1_req_event
read_on(struct h1_req *req, uint8_t *bytes, size_t len, size_t *used)
{
    if (req->state == H1_REQ_IN_BODY)
        return read_body(req, bytes, len, used);
    if (len == 0)
        return H1_REQ_MORE;
    req->state = H1_REQ_IN_HEAD;
    return read_head(req, bytes, len, used);
}

/* ---- the stash --------------------------------------------------------------------------- */

bool
h1_req_has_stash(const struct h1_req *req)
{
    return req->stash_len > req->stash_off;
}

static void
stash_drop(struct h1_req *req)
{
    held_sub(req->stash_cap);
    free(req->stash);
    req->stash = NULL;
    req->stash_len = req->stash_off = req->stash_cap = 0;
}

static int
stash_add(struct h1_req *req, const uint8_t *bytes, size_t len)
{
    size_t have = req->stash_len - req->stash_off;

    if (len == 0)
        return 0;
    if (req->stash_off > 0)
        memmove(req->stash, req->stash + req->stash_off, have);
    req->stash_len = have;
    req->stash_off = 0;
    if (len > req->stash_cap - have) {
        size_t cap = MAX(have + len, req->stash_cap * 2);
        size_t more = cap - req->stash_cap;
        uint8_t *stash = held_fits_input(more, 0) ? realloc(req->stash, cap) : NULL;
        if (!stash)
            return -ENOMEM;
        held_add(more);
        req->stash = stash;
        req->stash_cap = cap;
    }
    memcpy(req->stash + have, bytes, len);
    req->stash_len += len;
    return 0;
}

int
h1_req_stash(struct h1_req *req, const uint8_t *bytes, size_t len)
{
    if (len > 2 * (size_t)H1_STASH_MARK - (req->stash_len - req->stash_off))
        return -ENOBUFS;
    return stash_add(req, bytes, len);
}

/* Reads from the stash, which moves when it grows: nothing stays borrowed from it. */
static enum h1_req_event
read_stash(struct h1_req *req, uint8_t *bytes, size_t len, size_t *used)
{
    enum h1_req_event event;
    size_t n = 0;

    if (stash_add(req, bytes, len) < 0)
        return fail(req, 503, "out of memory");
    *used = len;
    event = read_on(req, req->stash + req->stash_off, req->stash_len - req->stash_off, &n);
    if (event != H1_REQ_ERROR && req->borrowed && !move_to_block(req, 0))
        return fail(req, 503, "out of memory");
    req->stash_off += n;
    if (!h1_req_has_stash(req))
        stash_drop(req);
    return event;
}

/* ---- the reader -------------------------------------------------------------------------- */

enum h1_req_event
h1_req_feed(struct h1_req *req, uint8_t *bytes, size_t len, size_t *used)
{
    *used = 0;
    switch (req->state) {
    case H1_REQ_READY: return H1_REQ_DONE;
    case H1_REQ_FAILED: return H1_REQ_ERROR;
    case H1_REQ_IDLE:
    case H1_REQ_IN_HEAD:
    case H1_REQ_IN_BODY:
    case H1_REQ_STATE_COUNT: break;
    }
    if (h1_req_has_stash(req))
        return read_stash(req, bytes, len, used);
    return read_on(req, bytes, len, used);
}

void
h1_req_bound_body(struct h1_req *req, uint64_t body_bytes)
{
    ASSERT(req->head != NULL && req->body_bytes == 0);
    if (req->chunked != NULL)
        req->chunked->chunk.body_max = MIN(req->chunked->chunk.body_max, body_bytes);
}

int
h1_req_keep(struct h1_req *req)
{
    struct str body = req->body;

    ASSERT(req->state == H1_REQ_READY);
    if (!req->borrowed)
        return 0;
    if (!move_to_block(req, body.len))
        return -ENOMEM;
    h1_block_add(req->block, body.ptr, body.len);
    req->body.ptr = (const char *)req->block->bytes + req->head->len;
    return 0;
}

static void
forget(struct h1_req *req)
{
    h1_block_free(&req->block);
    chunked_free(req);
    req->head = NULL;
    req->body = STR_NONE;
    req->body_bytes = 0;
    req->borrowed = false;
}

void
h1_req_next(struct h1_req *req)
{
    ASSERT(req->state == H1_REQ_READY);
    forget(req);
    req->state = H1_REQ_IDLE;
}

void
h1_req_end(struct h1_req *req)
{
    forget(req);
    stash_drop(req);
    h1_req_init(req, req->limits, req->scratch);
}
