#include "net/h1_res.h"

#include "net/h1_block.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const error_text[] = {
    [H1_RES_OK] = "ok",
    [H1_RES_NO_ANSWER] = "no answer",
    [H1_RES_EARLY_END] = "early end",
    [H1_RES_BAD_HEAD] = "bad head",
    [H1_RES_HEAD_TOO_BIG] = "headers too large",
    [H1_RES_TOO_MANY_1XX] = "too many 1xx answers",
    [H1_RES_SWITCHED] = "switched protocols",
    [H1_RES_COMPRESSED] = "compressed body",
    [H1_RES_BAD_CHUNK] = "bad chunk",
    [H1_RES_CHUNK_EXTRA] = "chunk extras too large",
    [H1_RES_NO_MEMORY] = "out of memory",
};
_Static_assert(COUNT_OF(error_text) == H1_RES_ERROR_COUNT, "a new error needs a text");

const char *
h1_res_error_text(enum h1_res_error error)
{
    return error < H1_RES_ERROR_COUNT ? error_text[error] : "unknown";
}

static void
drop_head(struct h1_res *res)
{
    h1_block_free(&res->block);
    res->head = NULL;
}

static enum h1_res_event
fail(struct h1_res *res, enum h1_res_error error, const char *reason)
{
    drop_head(res);
    res->state = H1_RES_FAILED;
    res->error = (uint8_t)error;
    res->reason = reason ? reason : error_text[error];
    return H1_RES_ERROR;
}

void
h1_res_init(struct h1_res *res, const struct h1_limits *limits, struct h1_head *scratch)
{
    memset(res, 0, sizeof(*res));
    res->limits = limits;
    res->scratch = scratch;
}

/* ---- the head ---------------------------------------------------------------------------- */

static bool
is_compressed(const struct h1_head *head)
{
    if (!h1_head_has(head, H1_CONTENT_ENCODING))
        return false;
    for (size_t h = 0; h < head->header_count; h++) {
        struct str value = h1_head_value(head, h);
        if (head->headers[h].known == H1_CONTENT_ENCODING && value.len > 0 &&
            (value.len != 8 || strncasecmp(value.ptr, "identity", 8) != 0))
            return true;
    }
    return false;
}

/* A head that the lint let through. MORE when it was one of 1xx, which leaves no trace. */
static enum h1_res_event
head_done(struct h1_res *res, struct h1_head *head)
{
    if (!h1_twin_head(&res->twin, head))
        return fail(res, H1_RES_BAD_HEAD, "malformed answer");
    if (head->status == 101 && !res->may_switch)
        return fail(res, H1_RES_SWITCHED, NULL);
    if (head->status == 101) {
        res->state = H1_RES_OVER;
        res->end_by = H1_END_CLOSE; /* never to be used again as what it was */
        res->head = head;
        res->status = head->status;
        return H1_RES_HEAD;
    }
    if (head->status < 200) {
        drop_head(res);
        if (res->interim_count >= res->limits->interim_count)
            return fail(res, H1_RES_TOO_MANY_1XX, NULL);
        res->interim_count++;
        return H1_RES_MORE;
    }
    if (is_compressed(head))
        return fail(res, H1_RES_COMPRESSED, NULL);
    res->state = H1_RES_IN_BODY;
    res->head = head;
    res->status = head->status;
    res->keep_alive = head->keep_alive;
    res->framing = (uint8_t)head->framing;
    res->left = head->content_length;
    h1_chunk_init(&res->chunk, INT64_MAX, res->limits->chunk_extra_bytes);
    return H1_RES_HEAD;
}

static enum h1_res_event
lint_fault(struct h1_res *res, const struct h1_error *error)
{
    if (error->status == 503)
        return fail(res, H1_RES_NO_MEMORY, error->reason);
    if (error->status == 414)
        return fail(res, H1_RES_HEAD_TOO_BIG, "status line too long");
    return fail(res, error->status == 431 ? H1_RES_HEAD_TOO_BIG : H1_RES_BAD_HEAD, error->reason);
}

/* Reads one head, which may be one of 1xx: then MORE, and perhaps bytes left. */
static enum h1_res_event
read_head(struct h1_res *res, const uint8_t *bytes, size_t len, size_t *used)
{
    struct h1_error error = {0, NULL};
    enum h1_lint got;

    res->started = true;
    *used = 0;
    if (!res->block) {
        h1_head_init(res->scratch);
        got = h1_head_lint_answer(res->scratch, res->limits, bytes, len, &error);
        if (got == H1_LINT_DONE) {
            *used = res->scratch->len;
            return head_done(res, res->scratch);
        }
        if (got == H1_LINT_REFUSED)
            return lint_fault(res, &error);
    }
    got = h1_block_head(&res->block, h1_head_lint_answer, res->limits, bytes, len, used, &error);
    if (got == H1_LINT_REFUSED)
        return lint_fault(res, &error);
    return got == H1_LINT_DONE ? head_done(res, &res->block->head) : H1_RES_MORE;
}

/* ---- the body ---------------------------------------------------------------------------- */

static void
span_add(struct h1_res *res, struct h1_res_out *out, const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return;
    ASSERT(out->span_count < H1_SPANS_MAX);
    out->spans[out->span_count++] = (struct str){(const char *)bytes, len};
    res->body_bytes += len;
}

static enum h1_res_event
over(struct h1_res *res, enum h1_res_end_by end_by, bool extra)
{
    res->state = H1_RES_OVER;
    res->end_by = (uint8_t)end_by;
    res->extra = extra;
    return H1_RES_DONE;
}

static enum h1_res_event
chunk_fault(struct h1_res *res, enum h1_chunk_got got)
{
    if (got == H1_CHUNK_EXTRA)
        return fail(res, H1_RES_CHUNK_EXTRA, NULL);
    return fail(res, H1_RES_BAD_CHUNK, NULL);
}

static enum h1_res_event
read_chunked(struct h1_res *res, const uint8_t *bytes, size_t len, struct h1_res_out *out)
{
    while (out->used < len) {
        const uint8_t *from = bytes + out->used;
        struct str data = STR_NONE;
        size_t n;

        if (out->span_count == H1_SPANS_MAX)
            return H1_RES_SPANS;
        enum h1_chunk_got got = h1_chunk_read(&res->chunk, from, len - out->used, &n, &data);
        /* See read_chunked() in h1_req.c for why llhttp is asked also about a fault. */
        if (got >= H1_CHUNK_BAD && h1_twin_accepts(&res->twin, from, n))
            return chunk_fault(res, got);
        if (got >= H1_CHUNK_BAD ||
            !h1_twin_body(&res->twin, from, n, res->chunk.body_bytes, got == H1_CHUNK_END))
            return fail(res, H1_RES_BAD_CHUNK, NULL);
        out->used += n;
        span_add(res, out, (const uint8_t *)data.ptr, data.len);
        if (got == H1_CHUNK_END)
            return over(res, H1_END_CHUNKED, out->used < len);
    }
    return H1_RES_MORE;
}

static enum h1_res_event
read_body(struct h1_res *res, const uint8_t *bytes, size_t len, struct h1_res_out *out)
{
    size_t n;

    drop_head(res);
    switch ((enum h1_framing)res->framing) {
    case H1_FRAMING_NONE: return over(res, H1_END_NO_BODY, len > 0);
    case H1_FRAMING_LENGTH:
        n = (size_t)MIN((uint64_t)len, res->left);
        span_add(res, out, bytes, n);
        res->left -= n;
        out->used += n;
        return res->left ? H1_RES_MORE : over(res, H1_END_LENGTH, n < len);
    case H1_FRAMING_CLOSE:
        span_add(res, out, bytes, len);
        out->used += len;
        return H1_RES_MORE;
    case H1_FRAMING_CHUNKED: break;
    }
    return read_chunked(res, bytes, len, out);
}

/* ---- the reader -------------------------------------------------------------------------- */

enum h1_res_event
h1_res_feed(struct h1_res *res, const uint8_t *bytes, size_t len, struct h1_res_out *out)
{
    out->used = 0;
    out->span_count = 0;
    while (res->state == H1_RES_IN_HEAD) {
        size_t n;
        if (out->used == len)
            return H1_RES_MORE;
        enum h1_res_event event = read_head(res, bytes + out->used, len - out->used, &n);
        out->used += n;
        if (event != H1_RES_MORE)
            return event;
    }
    if (res->state == H1_RES_IN_BODY)
        return read_body(res, bytes, len, out);
    res->extra |= len > 0;
    return res->state == H1_RES_OVER ? H1_RES_DONE : H1_RES_ERROR;
}

enum h1_res_event
h1_res_eof(struct h1_res *res)
{
    if (res->state == H1_RES_IN_HEAD)
        return fail(res, res->started ? H1_RES_EARLY_END : H1_RES_NO_ANSWER, NULL);
    if (res->state == H1_RES_IN_BODY) {
        struct h1_res_out out = {.used = 0};
        /* An answer without a body is over at its head, even if nobody fed on after that. */
        if (read_body(res, NULL, 0, &out) == H1_RES_DONE)
            return H1_RES_DONE;
        if (res->framing == H1_FRAMING_CLOSE)
            return over(res, H1_END_CLOSE, false);
        return fail(res, H1_RES_EARLY_END, NULL);
    }
    return res->state == H1_RES_OVER ? H1_RES_DONE : H1_RES_ERROR;
}

bool
h1_res_reusable(const struct h1_res *res)
{
    return res->state == H1_RES_OVER && res->keep_alive && res->end_by != H1_END_CLOSE &&
           !res->extra;
}

void
h1_res_end(struct h1_res *res)
{
    drop_head(res);
}
