/*
 * Runs a byte stream through the HTTP/1 readers in some slicing and writes down what they said.
 * Whatever the slicing, the transcript must be the same: unit tests and fuzzers compare them.
 *
 * Each slice is fed from the end of a buffer whose next page is unmapped, and the buffer is
 * overwritten before the next slice, as a shared read buffer would be.
 */
#ifndef TEST_UNIT_H1_RUN_H
#define TEST_UNIT_H1_RUN_H

#include "base/buf.h"
#include "net/h1_req.h"
#include "net/h1_res.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RUN_SLICE_MAX (256u * 1024)

/* Where slice i + 1 begins, for i = 0, 1, …; only ever larger than the position given. */
typedef size_t (*run_cut_fn)(size_t from, size_t len, const void *arg);

static inline size_t
run_whole(size_t from, size_t len, const void *arg)
{
    (void)arg;
    return len - from > RUN_SLICE_MAX ? from + RUN_SLICE_MAX : len;
}

static inline size_t
run_bytes(size_t from, size_t len, const void *arg)
{
    (void)len, (void)arg;
    return from + 1;
}

/* arg: where the one cut is (size_t). */
static inline size_t
run_one_cut(size_t from, size_t len, const void *arg)
{
    size_t at = *(const size_t *)arg;
    return from < at ? at : run_whole(from, len, NULL);
}

static inline uint8_t *
run_slice(const uint8_t *bytes, size_t len)
{
    static uint8_t *end;

    if (!end) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        uint8_t *map = mmap(NULL, RUN_SLICE_MAX + page, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED || mprotect(map + RUN_SLICE_MAX, page, PROT_NONE) != 0)
            abort();
        end = map + RUN_SLICE_MAX;
    }
    ASSERT(len <= RUN_SLICE_MAX);
    memset(end - MIN(RUN_SLICE_MAX, len + 4096), 0xa5, MIN(RUN_SLICE_MAX, len + 4096));
    if (len > 0)
        memcpy(end - len, bytes, len);
    return end - len;
}

static inline void
run_note_head(struct buf *out, const struct h1_head *head)
{
    struct str query = h1_head_query(head);

    if (head->status)
        buf_add_fmt(out, "HEAD %u", head->status);
    else
        buf_add_fmt(out, "HEAD %.*s(%d) %.*s query=%d:%.*s", STR_ARGS(h1_head_method_name(head)),
                    (int)head->method, STR_ARGS(h1_head_path(head)), query.ptr != NULL,
                    (int)query.len, query.ptr ? query.ptr : "");
    buf_add_fmt(out, " 1.%u framing=%d length=%llu alive=%d expect=%d\n", head->minor,
                (int)head->framing, (unsigned long long)head->content_length, head->keep_alive,
                head->expect_continue);
    for (size_t i = 0; i < head->header_count; i++) {
        buf_add_fmt(out, " %u ", head->headers[i].known);
        buf_add_str(out, h1_head_name(head, i));
        buf_add(out, "=", 1);
        buf_add_str(out, h1_head_value(head, i));
        buf_add(out, "\n", 1);
    }
}

/* How the caller behaves between two requests. */
enum run_style {
    RUN_PLAIN = 0, /* serves at once, feeds the rest of the slice after */
    RUN_STASH,     /* keeps the request, stashes the rest and what comes next, serves later */
};

static inline void
run_note_request(struct buf *out, const struct h1_req *req)
{
    if (req->body_bytes != req->body.len || !req->body.ptr)
        abort();
    buf_add_fmt(out, "DONE %zu ", req->body.len);
    buf_add_str(out, req->body);
    buf_add(out, "\n", 1);
}

static inline bool
run_note_event(struct buf *out, struct h1_req *req, enum h1_req_event event)
{
    switch (event) {
    case H1_REQ_HEAD: run_note_head(out, req->head); break;
    case H1_REQ_DONE:
        run_note_head(out, req->head);
        run_note_request(out, req);
        h1_req_next(req);
        break;
    case H1_REQ_ERROR:
        buf_add_fmt(out, "ERROR %u %s\n", req->error.status, req->error.reason);
        break;
    case H1_REQ_MORE: break;
    }
    return event != H1_REQ_MORE && event != H1_REQ_ERROR;
}

/* One slice in style RUN_STASH: reads a request, keeps it, keeps the rest, and only when the
 * slice is gone serves what it has. False when the connection has failed. */
static inline bool
run_feed_stash(struct buf *out, struct h1_req *req, uint8_t *bytes, size_t len)
{
    enum h1_req_event event;
    size_t used;

    do {
        event = h1_req_feed(req, bytes, len, &used);
        bytes += used, len -= used;
        if (event == H1_REQ_HEAD || event == H1_REQ_ERROR)
            run_note_event(out, req, event);
    } while (event == H1_REQ_HEAD);
    if (event != H1_REQ_DONE)
        return event != H1_REQ_ERROR;
    if (h1_req_keep(req) < 0 || h1_req_stash(req, bytes, len) < 0)
        abort();
    run_slice(NULL, 0);
    while (run_note_event(out, req, event)) {
        event = h1_req_feed(req, NULL, 0, &used);
    }
    return event != H1_REQ_ERROR;
}

static inline bool
run_feed_plain(struct buf *out, struct h1_req *req, uint8_t *bytes, size_t len)
{
    enum h1_req_event event;

    do {
        size_t used;
        event = h1_req_feed(req, bytes, len, &used);
        bytes += used, len -= used;
    } while (run_note_event(out, req, event));
    if (event == H1_REQ_MORE && len != 0)
        abort();
    return event != H1_REQ_ERROR;
}

/* The transcript of a client's bytes; out was buf_init()ed. */
static inline void
run_requests(struct buf *out, const struct h1_limits *limits, struct str bytes, run_cut_fn cut,
             const void *arg, enum run_style style)
{
    struct h1_head scratch;
    struct h1_req req;
    bool good = true;
    size_t used;

    h1_req_init(&req, limits, &scratch);
    for (size_t from = 0, to; from < bytes.len && good; from = to) {
        to = MIN(cut(from, bytes.len, arg), bytes.len);
        uint8_t *slice = run_slice((const uint8_t *)bytes.ptr + from, to - from);
        if (style == RUN_STASH && to - from <= H1_STASH_MARK)
            good = run_feed_stash(out, &req, slice, to - from);
        else
            good = run_feed_plain(out, &req, slice, to - from);
        memset(&scratch, 0xa5, sizeof(scratch)); /* another connection's by now */
    }
    buf_add_fmt(out, "END state=%d body=%llu\n", (int)req.state,
                (unsigned long long)(good ? req.body_bytes : 0));
    if (!good && h1_req_feed(&req, NULL, 0, &used) != H1_REQ_ERROR)
        abort();
    h1_req_end(&req);
}

static inline enum h1_res_event
run_feed_answer(struct buf *out, struct buf *body, struct h1_res *res, const uint8_t *bytes,
                size_t len)
{
    struct h1_res_out got;
    enum h1_res_event event;

    do {
        event = h1_res_feed(res, bytes, len, &got);
        for (size_t i = 0; i < got.span_count; i++) {
            if (got.spans[i].len == 0 || (const uint8_t *)got.spans[i].ptr < bytes ||
                (const uint8_t *)got.spans[i].ptr + got.spans[i].len > bytes + got.used)
                abort();
            buf_add_str(body, got.spans[i]);
        }
        bytes += got.used, len -= got.used;
        if (event == H1_RES_HEAD)
            run_note_head(out, res->head);
    } while (event == H1_RES_HEAD || event == H1_RES_SPANS);
    if (event == H1_RES_MORE && len != 0)
        abort();
    if (event == H1_RES_DONE && len > 0 && !res->extra)
        abort();
    if (event == H1_RES_DONE && len > 0) /* as if it came a moment later */
        h1_res_feed(res, bytes, len, &got);
    return event;
}

/* The transcript of an upstream's bytes, which then closes. */
static inline void
run_answer(struct buf *out, const struct h1_limits *limits, struct str bytes, run_cut_fn cut,
           const void *arg)
{
    struct h1_head scratch;
    struct h1_res res;
    struct buf body;
    enum h1_res_event event = H1_RES_MORE;

    buf_init(&body, bytes.len + 1);
    h1_res_init(&res, limits, &scratch);
    for (size_t from = 0, to; from < bytes.len; from = to) {
        to = MIN(cut(from, bytes.len, arg), bytes.len);
        const uint8_t *slice = run_slice((const uint8_t *)bytes.ptr + from, to - from);
        event = run_feed_answer(out, &body, &res, slice, to - from);
        memset(&scratch, 0xa5, sizeof(scratch));
        if (event == H1_RES_ERROR)
            break;
    }
    if (event != H1_RES_ERROR)
        event = h1_res_eof(&res);
    if (res.body_bytes != body.len || res.block)
        abort();
    buf_add_fmt(out, "BODY %zu ", body.len);
    buf_add_str(out, buf_str(&body));
    if (event == H1_RES_ERROR)
        buf_add_fmt(out, "\nERROR %s: %s interim=%u\n", h1_res_error_text(res.error), res.reason,
                    res.interim_count);
    else
        buf_add_fmt(out, "\nDONE end=%u reusable=%d extra=%d interim=%u\n", res.end_by,
                    h1_res_reusable(&res), res.extra, res.interim_count);
    h1_res_end(&res);
    buf_free(&body);
}

#endif
