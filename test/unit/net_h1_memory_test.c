/*
 * Out of memory: the n-th allocation fails, for n = 1, 2, … until a run needs no more. Each time
 * the reader says so, keeps nothing, and what was asked of it before stays as it was.
 */
/* link: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup */
#include "net/h1_req.h"
#include "net/h1_res.h"
#include "test/unit/failing_memory.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define LENGTH "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n"
#define CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

/* Feeds byte by byte, or from head_len on in one piece with the last byte missing. True when the
 * request came through. */
static bool
request_survives(const char *head, size_t body_len, bool whole_head)
{
    static char wire[8192];
    struct h1_head scratch;
    struct h1_req req;
    size_t len = strlen(head), at = 0, used;
    enum h1_req_event event = H1_REQ_MORE;

    memcpy(wire, head, len);
    memset(wire + len, 'b', body_len);
    if (strstr(head, "chunked")) {
        for (size_t i = 0; i + 6 <= body_len - 5; i += 6)
            memcpy(wire + len + i, "1\r\nb\r\n", 6);
        memcpy(wire + len + body_len - 5, "0\r\n\r\n", 5);
    }
    len += body_len;
    h1_req_init(&req, &h1_limits_default, &scratch);
    while (event == H1_REQ_MORE || event == H1_REQ_HEAD) {
        size_t slice = whole_head && at < len - 1 ? len - 1 - at : 1;
        event = h1_req_feed(&req, (uint8_t *)wire + at, slice, &used);
        at += used;
    }
    if (event == H1_REQ_ERROR)
        assert_int_equal(req.error.status, 503);
    else
        assert_int_equal(req.body.len, strstr(head, "chunked") ? (body_len - 5) / 6 : body_len);
    h1_req_end(&req);
    return event == H1_REQ_DONE;
}

static void
test_requests(void **state)
{
    (void)state;
    for (int whole_head = 0; whole_head <= 1; whole_head++) {
        int n = 1;
        for (atomic_store(&fail_in, n); !request_survives(LENGTH, 3000, whole_head);)
            atomic_store(&fail_in, ++n);
        assert_true(n > 1);
        n = 1;
        for (atomic_store(&fail_in, n); !request_survives(CHUNKED, 6005, whole_head);)
            atomic_store(&fail_in, ++n);
        assert_true(n > 1);
        atomic_store(&fail_in, 0);
    }
}

static void
test_keep_and_stash(void **state)
{
    char wire[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    struct h1_head scratch;
    struct h1_req req;
    size_t used, len = sizeof(wire) - 1;

    (void)state;
    h1_req_init(&req, &h1_limits_default, &scratch);
    assert_int_equal(h1_req_feed(&req, (uint8_t *)wire, len, &used), H1_REQ_HEAD);
    assert_int_equal(h1_req_feed(&req, (uint8_t *)wire + used, len - used, &used), H1_REQ_DONE);
    atomic_store(&fail_in, 1);
    assert_int_equal(h1_req_keep(&req), -ENOMEM);
    assert_true(req.borrowed);
    assert_memory_equal(req.body.ptr, "hi", 2);
    atomic_store(&fail_in, 1);
    assert_int_equal(h1_req_stash(&req, (uint8_t *)wire, len), -ENOMEM);
    assert_false(h1_req_has_stash(&req));
    assert_int_equal(h1_req_stash(&req, (uint8_t *)wire, len), 0);
    h1_req_next(&req);
    atomic_store(&fail_in, 1); /* the stash is left at once */
    assert_int_equal(h1_req_feed(&req, NULL, 0, &used), H1_REQ_ERROR);
    assert_int_equal(req.error.status, 503);
    h1_req_end(&req);
}

static void
test_answers(void **state)
{
    static const char wire[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    struct h1_head scratch;
    struct h1_res res;
    struct h1_res_out out;

    (void)state;
    h1_res_init(&res, &h1_limits_default, &scratch);
    atomic_store(&fail_in, 1);
    assert_int_equal(h1_res_feed(&res, (const uint8_t *)wire, 9, &out), H1_RES_ERROR);
    assert_int_equal(res.error, H1_RES_NO_MEMORY);
    assert_int_equal(h1_res_feed(&res, (const uint8_t *)wire, 9, &out), H1_RES_ERROR);
    assert_int_equal(h1_res_eof(&res), H1_RES_ERROR);
    assert_false(h1_res_reusable(&res));
    h1_res_end(&res);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_keep_and_stash),
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
