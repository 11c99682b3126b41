/*
 * Answers of upstreams, good and broken, each fed whole, byte by byte and cut at each position:
 * the same head, the same body, the same end.
 */
#include "test/unit/h1_same.h"

#define RAW(literal)                                                                               \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }
#define OK "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"

/* The answer's transcript must hold this text; the upstream closes after the bytes. */
struct fixture {
    const char *name;
    struct str bytes;
    const char *want;
};

#define LENGTH(n) "BODY " n "\nDONE end=1 reusable=1 extra=0"
#define CHUNKS(n) "BODY " n "\nDONE end=2 reusable=1 extra=0"
#define HELLO "5 hello"

static const struct fixture fixtures[] = {
    {"length", RAW(OK "Content-Length: 5\r\n\r\nhello"), LENGTH(HELLO)},
    {"length 0", RAW(OK "Content-Length: 0\r\n\r\n"), LENGTH("0 ")},
    {"chunks", RAW(CHUNKED "2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n"), CHUNKS(HELLO)},
    {"chunks, in capitals", RAW(OK "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"), CHUNKS("0 ")},
    {"chunks and trailers", RAW(CHUNKED "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"), CHUNKS(HELLO)},
    {"until the end", RAW(OK "\r\nhello"), "BODY 5 hello\nDONE end=3 reusable=0 extra=0"},
    {"until the end, empty", RAW(OK "\r\n"), "BODY 0 \nDONE end=3 reusable=0 extra=0"},
    {"1.0 until the end", RAW("HTTP/1.0 200 OK\r\n\r\nhello"), "BODY 5 hello\nDONE end=3"},
    {"1.0 with length", RAW("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
     "BODY 5 hello\nDONE end=1 reusable=0"},
    {"1.0 kept alive",
     RAW("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello"),
     LENGTH(HELLO)},
    {"length, close", RAW(OK "Connection: close\r\nContent-Length: 5\r\n\r\nhello"),
     "BODY 5 hello\nDONE end=1 reusable=0 extra=0"},
    {"chunks, close",
     RAW(OK "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            "5\r\nhello\r\n0\r\n\r\n"),
     "BODY 5 hello\nDONE end=2 reusable=0 extra=0"},
    {"204", RAW("HTTP/1.1 204 No Content\r\n\r\n"), "BODY 0 \nDONE end=0 reusable=1 extra=0"},
    {"304 with a length", RAW("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
     "BODY 0 \nDONE end=0 reusable=1"},
    {"redirect", RAW("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"),
     "HEAD 302"},
    {"error with a body", RAW("HTTP/1.1 529 Overloaded\r\nContent-Length: 5\r\n\r\nhello"),
     LENGTH(HELLO)},
    {"no reason", RAW("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), LENGTH("0 ")},
    {"empty reason", RAW("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"), LENGTH("0 ")},
    {"reason beyond ascii", RAW("HTTP/1.1 200 \xc3\xa4\r\nContent-Length: 0\r\n\r\n"),
     LENGTH("0 ")},
    {"identity", RAW(OK "Content-Encoding: Identity\r\nContent-Length: 5\r\n\r\nhello"),
     LENGTH(HELLO)},
    {"continue before", RAW("HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 5\r\n\r\nhello"),
     "reusable=1 extra=0 interim=1"},
    {"hints before",
     RAW("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n"
         "Content-Length: 7\r\n\r\n" OK "Content-Length: 5\r\n\r\nhello"),
     "BODY 5 hello\nDONE end=1 reusable=1 extra=0 interim=2"},
    {"upgrade offered",
     RAW(OK "Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\n"
            "hello"),
     LENGTH(HELLO)},

    /* Bytes after the answer. */
    {"second answer", RAW(OK "Content-Length: 5\r\n\r\nhello" OK "Content-Length: 0\r\n\r\n"),
     "BODY 5 hello\nDONE end=1 reusable=0 extra=1"},
    {"a byte after chunks", RAW(CHUNKED "0\r\n\r\n\n"), "DONE end=2 reusable=0 extra=1"},
    {"blank line after", RAW(OK "Content-Length: 0\r\n\r\n\r\n"), "reusable=0 extra=1"},
    {"body of a 204", RAW("HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nhi"),
     "BODY 0 \nDONE end=0 reusable=0 extra=1"},
    {"chunks of a 204", RAW("HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
     "BODY 0 \nDONE end=0 reusable=0 extra=1"},

    /* Ends too early. */
    {"nothing", {"", 0}, "ERROR no answer"},
    {"half a status line", RAW("HTTP/1.1 2"), "ERROR early end"},
    {"half a head", RAW(OK "Content-Le"), "ERROR early end"},
    {"only a continue", RAW("HTTP/1.1 100 Continue\r\n\r\n"), "ERROR early end"},
    {"half a body", RAW(OK "Content-Length: 6\r\n\r\nhello"), "BODY 5 hello\nERROR early end"},
    {"no last chunk", RAW(CHUNKED "5\r\nhello\r\n"), "BODY 5 hello\nERROR early end"},
    {"half a chunk", RAW(CHUNKED "6\r\nhello"), "BODY 5 hello\nERROR early end"},
    {"no end of trailers", RAW(CHUNKED "5\r\nhello\r\n0\r\nX: y\r\n"), "ERROR early end"},

    /* Heads. */
    {"garbage", RAW("\x15\x03\x01garbage"), "ERROR bad head"},
    {"blank line first", RAW("\r\n" OK "Content-Length: 0\r\n\r\n"), "ERROR bad head"},
    {"a request", RAW("GET / HTTP/1.1\r\n\r\n"), "ERROR bad head"},
    {"http/0.9", RAW("HTTP/0.9 200 OK\r\n\r\n"), "ERROR bad head"},
    {"http/2", RAW("HTTP/2 200\r\n\r\n"), "ERROR bad head"},
    {"version 1.2", RAW("HTTP/1.2 200 OK\r\n\r\n"), "ERROR bad head"},
    {"icy", RAW("ICY 200 OK\r\n\r\n"), "ERROR bad head"},
    {"two digits", RAW("HTTP/1.1 20 OK\r\n\r\n"), "ERROR bad head"},
    {"four digits", RAW("HTTP/1.1 2000 OK\r\n\r\n"), "ERROR bad head"},
    {"status 099", RAW("HTTP/1.1 099 OK\r\n\r\n"), "ERROR bad head"},
    {"status 600", RAW("HTTP/1.1 600 OK\r\n\r\n"), "ERROR bad head"},
    {"status with a sign", RAW("HTTP/1.1 +20 OK\r\n\r\n"), "ERROR bad head"},
    {"two blanks", RAW("HTTP/1.1  200 OK\r\n\r\n"), "ERROR bad head"},
    {"bare LF", RAW("HTTP/1.1 200 OK\nContent-Length: 0\n\n"), "ERROR bad head"},
    {"bare CR in the reason", RAW("HTTP/1.1 200 O\rK\r\n\r\n"), "ERROR bad head"},
    {"NUL in a header", RAW(OK "X: \0\r\n\r\n"), "ERROR bad head"},
    {"bare CR in a header", RAW(OK "X: a\rb\r\n\r\n"), "ERROR bad head"},
    {"folded header", RAW(OK "X: a\r\n b\r\n\r\n"), "ERROR bad head"},
    {"blank before the colon", RAW(OK "Content-Length : 0\r\n\r\n"), "ERROR bad head"},
    {"length twice", RAW(OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
     "ERROR bad head"},
    {"length and chunks", RAW(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
     "ERROR bad head"},
    {"chunks twice", RAW(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
     "ERROR bad head"},
    {"chunks in 1.0", RAW("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
     "ERROR bad head"},
    {"gzip, chunked", RAW(OK "Transfer-Encoding: gzip, chunked\r\n\r\n"), "ERROR bad head"},
    {"identity as transfer coding", RAW(OK "Transfer-Encoding: identity\r\n\r\n"),
     "ERROR bad head"},
    {"negative length", RAW(OK "Content-Length: -1\r\n\r\n"), "ERROR bad head"},
    {"length past 64 bits", RAW(OK "Content-Length: 18446744073709551617\r\n\r\n"),
     "ERROR bad head"},
    {"empty length", RAW(OK "Content-Length: \r\n\r\n"), "ERROR bad head"},
    {"gzip", RAW(OK "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"),
     "BODY 0 \nERROR compressed body"},
    {"identity, then br", RAW(OK "Content-Encoding: identity\r\nContent-Encoding: br\r\n\r\n"),
     "ERROR compressed body"},
    {"switched",
     RAW("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
         "Upgrade: x\r\n\r\nhello"),
     "ERROR switched protocols"},
    {"switched after a continue", RAW("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 101 S\r\n\r\nhello"),
     "ERROR switched protocols"},

    /* Chunks. */
    {"bad size", RAW(CHUNKED "5\r\nhello\r\nx\r\n"), "BODY 5 hello\nERROR bad chunk"},
    {"size with 0x", RAW(CHUNKED "0x5\r\nhello\r\n"), "BODY 0 \nERROR bad chunk"},
    {"size with a blank", RAW(CHUNKED "5 \r\nhello\r\n"), "BODY 0 \nERROR bad chunk"},
    {"17 digits", RAW(CHUNKED "10000000000000005\r\nhello\r\n"), "BODY 0 \nERROR bad chunk"},
    {"size of 2^63", RAW(CHUNKED "8000000000000000\r\nhello\r\n"), "BODY 0 \nERROR bad chunk"},
    {"sum past 2^63", RAW(CHUNKED "5\r\nhello\r\n7fffffffffffffff\r\nhello\r\n"),
     "BODY 5 hello\nERROR bad chunk"},
    {"no CRLF after data", RAW(CHUNKED "5\r\nhello0\r\n\r\n"), "BODY 5 hello\nERROR bad chunk"},
    {"bare LF after data", RAW(CHUNKED "5\r\nhello\n0\r\n\r\n"), "BODY 5 hello\nERROR bad chunk"},
    {"bare LF after a size", RAW(CHUNKED "5\nhello\r\n0\r\n\r\n"), "BODY 0 \nERROR bad chunk"},
    {"length as trailer", RAW(CHUNKED "0\r\nContent-Length: 5\r\n\r\nhello"), "ERROR bad chunk"},
};

static struct buf
transcript(struct str bytes, run_cut_fn cut, const void *arg)
{
    struct buf out;

    buf_init(&out, 64u << 20);
    run_answer(&out, &h1_limits_default, bytes, cut, arg);
    assert_false(out.failed);
    return out;
}

static void
check(const char *name, struct str bytes, const char *want, size_t step)
{
    struct buf whole = transcript(bytes, run_whole, NULL), got;

    got = transcript(bytes, run_bytes, NULL);
    assert_same(name, &whole, &got, 1);
    for (size_t cut = 1; cut < bytes.len; cut += step) {
        got = transcript(bytes, run_one_cut, &cut);
        assert_same(name, &whole, &got, cut);
    }
    if (!memmem(whole.ptr, whole.len, want, strlen(want)))
        fail_msg("%s: wanted %s, got:\n%.*s", name, want, (int)MIN(whole.len, 4000u), whole.ptr);
    buf_free(&whole);
}

static void
test_fixtures(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(fixtures); i++)
        check(fixtures[i].name, fixtures[i].bytes, fixtures[i].want, 1);
}

static void
add_run(struct buf *buf, char c, size_t count)
{
    assert_true(buf_reserve(buf, count));
    memset(buf->ptr + buf->len, c, count);
    buf->len += count;
}

static void
check_size(const char *name, struct buf *b, const char *want)
{
    assert_false(b->failed);
    check(name, buf_str(b), want, b->len / 40 + 1);
    buf_free(b);
    buf_init(b, 1 << 20);
}

static void
test_limits(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    for (int n = 8; n <= 9; n++) {
        for (int i = 0; i < n; i++)
            buf_add_str(&b, STR("HTTP/1.1 102 Processing\r\nX: y\r\n\r\n"));
        buf_add_str(&b, STR(OK "Content-Length: 0\r\n\r\n"));
        check_size("1xx", &b, n == 8 ? "reusable=1 extra=0 interim=8" : "too many 1xx");
    }
    for (int n = 100; n <= 101; n++) {
        buf_add_str(&b, STR(OK "Content-Length: 0\r\n"));
        for (int i = 1; i < n; i++)
            buf_add_str(&b, STR("a:\r\n"));
        buf_add_str(&b, STR("\r\n"));
        check_size("lines", &b, n == 100 ? "DONE end=1" : "headers too large: too many");
    }
    buf_add_str(&b, STR("HTTP/1.1 200 "));
    add_run(&b, 'a', 17000);
    check_size("endless status line", &b, "headers too large: status line");
    buf_add_str(&b, STR(OK "X: "));
    add_run(&b, 'a', 17000);
    check_size("endless header", &b, "headers too large: header line");
    buf_add_str(&b, STR(OK));
    for (int i = 0; i < 90; i++) {
        buf_add_str(&b, STR("X: "));
        add_run(&b, 'a', 1000);
        buf_add_str(&b, STR("\r\n"));
    }
    check_size("endless headers", &b, "headers too large: headers");
    buf_add_str(&b, STR(CHUNKED "1;"));
    add_run(&b, 'a', 5000);
    check_size("endless extension", &b, "ERROR chunk extras too large");
    buf_add_str(&b, STR(CHUNKED "0\r\n"));
    for (int i = 0; i < 1000; i++)
        buf_add_str(&b, STR("a: b\r\n"));
    check_size("endless trailers", &b, "ERROR chunk extras too large");
    buf_free(&b);
}

/* More chunks in one read than the list has room for. */
static void
test_many_spans(void **state)
{
    struct buf b;
    struct h1_head scratch;
    struct h1_res res;
    struct h1_res_out out;
    size_t at = 0, pieces = 0;
    enum h1_res_event event;

    (void)state;
    buf_init(&b, 1 << 20);
    buf_add_str(&b, STR(CHUNKED));
    for (int i = 0; i < 200; i++)
        buf_add_str(&b, STR("2\r\nab\r\n"));
    buf_add_str(&b, STR("0\r\n\r\n"));
    h1_res_init(&res, &h1_limits_default, &scratch);
    do {
        event = h1_res_feed(&res, (uint8_t *)b.ptr + at, b.len - at, &out);
        at += out.used;
        pieces += out.span_count;
        if (event == H1_RES_SPANS)
            assert_int_equal(out.span_count, H1_SPANS_MAX);
    } while (event == H1_RES_HEAD || event == H1_RES_SPANS);
    assert_int_equal(event, H1_RES_DONE);
    assert_int_equal(pieces, 200);
    assert_int_equal(res.body_bytes, 400);
    assert_true(h1_res_reusable(&res));
    buf_free(&b);
    buf_init(&b, 1 << 20);
    buf_add_str(&b, STR(CHUNKED));
    for (int i = 0; i < 200; i++)
        buf_add_str(&b, STR("2\r\nab\r\n"));
    check_size("cut within many", &b, "BODY 400 abab");
    buf_free(&b);
}

static void
test_small_and_given_back(void **state)
{
    static const char half[] = OK "X-Half: a";
    static const char rest[] = "\r\nContent-Length: 9\r\n\r\nbody";
    struct h1_head scratch;
    struct h1_res res;
    struct h1_res_out out;

    (void)state;
    assert_true(sizeof(struct h1_res) <= 200 + sizeof(llhttp_t));
    h1_res_init(&res, &h1_limits_default, &scratch);
    assert_int_equal(h1_res_feed(&res, (const uint8_t *)half, sizeof(half) - 1, &out), H1_RES_MORE);
    assert_non_null(res.block);
    assert_int_equal(h1_res_feed(&res, (const uint8_t *)rest, sizeof(rest) - 1, &out), H1_RES_HEAD);
    assert_int_equal(h1_head_get(res.head, H1_CONTENT_LENGTH).ptr[0], '9');
    assert_int_equal(out.used, sizeof(rest) - 5);
    assert_int_equal(h1_res_feed(&res, (const uint8_t *)"body", 4, &out), H1_RES_MORE);
    assert_null(res.block); /* mid-body nothing is kept */
    assert_null(res.head);
    h1_res_end(&res);
    h1_res_init(&res, &h1_limits_default, &scratch);
    assert_int_equal(h1_res_feed(&res, (const uint8_t *)half, sizeof(half) - 1, &out), H1_RES_MORE);
    h1_res_end(&res); /* given up within the head; the leak checker looks */
    h1_res_end(&res);
}

static void
test_errors_have_texts(void **state)
{
    (void)state;
    for (unsigned e = 0; e < H1_RES_ERROR_COUNT; e++)
        assert_true(strlen(h1_res_error_text((enum h1_res_error)e)) > 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixtures),          cmocka_unit_test(test_limits),
        cmocka_unit_test(test_many_spans),        cmocka_unit_test(test_small_and_given_back),
        cmocka_unit_test(test_errors_have_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
