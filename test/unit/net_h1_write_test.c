/* Heads as they are written, and paths as they are spelled. */
#include "net/h1_path.h"
#include "net/h1_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void
assert_text(struct str got, const char *want)
{
    if (got.len != strlen(want) || memcmp(got.ptr, want, got.len) != 0)
        fail_msg("%.*s instead of %s", STR_ARGS(got), want);
}

static struct str
written(const struct h1_out *out)
{
    return (struct str){out->ptr, out->len};
}

static void
write_answer(struct h1_out *out, struct h1_date *date)
{
    h1_out_status(out, 429);
    h1_out_date(out, date, INT64_C(784111777999999));
    h1_out_own(out, "content-type: ", STR("application/json"));
    h1_out_own_u64(out, "retry-after: ", 30);
    h1_out_lines(out, STR("x-a: b\r\n"));
    h1_out_length(out, UINT64_MAX);
    h1_out_connection(out, false, 1);
}

static void
test_answer(void **state)
{
    static const char want[] = "HTTP/1.1 429 Too Many Requests\r\n"
                               "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                               "content-type: application/json\r\n"
                               "retry-after: 30\r\n"
                               "x-a: b\r\n"
                               "content-length: 18446744073709551615\r\n"
                               "connection: close\r\n\r\n";
    struct h1_date date = {.wall_s = 0};
    struct h1_out out;

    (void)state;
    /* Every size of buffer: exact from the right one on, failed and never past it before. */
    for (size_t cap = 0; cap < sizeof(want) + 4; cap++) {
        char *buf = malloc(cap ? cap : 1);
        assert_non_null(buf);
        h1_out_init(&out, buf, cap);
        write_answer(&out, &date);
        assert_int_equal(h1_out_end(&out), cap >= sizeof(want) - 1);
        assert_true(out.len <= cap);
        if (cap >= sizeof(want) - 1)
            assert_text(written(&out), want);
        free(buf);
    }
}

static void
test_small_answers(void **state)
{
    char buf[256];
    struct h1_out out;

    (void)state;
    h1_out_init(&out, buf, sizeof(buf));
    h1_out_status(&out, 200);
    h1_out_chunked(&out);
    h1_out_connection(&out, true, 1);
    assert_true(h1_out_end(&out));
    assert_text(written(&out), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    h1_out_init(&out, buf, sizeof(buf));
    h1_out_status(&out, 299);
    h1_out_connection(&out, true, 0);
    assert_true(h1_out_end(&out));
    assert_text(written(&out), "HTTP/1.1 299 Unknown\r\nconnection: keep-alive\r\n\r\n");
    h1_out_init(&out, buf, sizeof(buf));
    h1_out_status(&out, 99);
    assert_false(h1_out_end(&out));
}

static void
test_request(void **state)
{
    char buf[256];
    struct h1_out out;

    (void)state;
    h1_out_init(&out, buf, sizeof(buf));
    h1_out_request(&out, STR("POST"), (struct h1_target){STR("/openai"), STR("/v1/x"), STR("a=b?")},
                   STR("api.example:8443"));
    h1_out_own(&out, "authorization: Bearer ", STR("k"));
    assert_true(h1_out_end(&out));
    assert_text(written(&out), "POST /openai/v1/x?a=b? HTTP/1.1\r\nhost: api.example:8443\r\n"
                               "authorization: Bearer k\r\n\r\n");
}

static bool
request_is_taken(struct str method, struct h1_target target, struct str host)
{
    char buf[256];
    struct h1_out out;

    h1_out_init(&out, buf, sizeof(buf));
    h1_out_request(&out, method, target, host);
    return h1_out_end(&out);
}

#define TARGET(path, query) ((struct h1_target){STR_NONE, path, query})

static void
test_refused_requests(void **state)
{
    struct str p = STR("/a"), h = STR("b"), m = STR("GET");

    (void)state;
    assert_true(request_is_taken(m, TARGET(p, STR_NONE), h));
    assert_true(request_is_taken(m, TARGET(p, STR("")), h));
    assert_false(request_is_taken(STR("GET /x"), TARGET(p, STR_NONE), h));
    assert_false(request_is_taken(STR(""), TARGET(p, STR_NONE), h));
    assert_false(request_is_taken(m, TARGET(STR("a"), STR_NONE), h));
    assert_false(request_is_taken(m, TARGET(STR_NONE, STR_NONE), h));
    assert_false(request_is_taken(m, TARGET(STR("/a b"), STR_NONE), h));
    assert_false(request_is_taken(m, TARGET(STR("/a\r\nx: y"), STR_NONE), h));
    assert_false(request_is_taken(m, TARGET(STR("/a?b"), STR_NONE), h));
    assert_false(request_is_taken(m, TARGET(STR("/a#b"), STR_NONE), h));
    assert_false(request_is_taken(m, TARGET(STR("/a\0"), STR_NONE), h));
    assert_false(request_is_taken(m, TARGET(p, STR("a\nb")), h));
    assert_false(request_is_taken(m, TARGET(p, STR("a b")), h));
    assert_false(request_is_taken(m, TARGET(p, STR_NONE), STR("b\r\nx: y")));
    assert_false(request_is_taken(m, TARGET(p, STR_NONE), STR("")));
    assert_false(request_is_taken(m, (struct h1_target){STR("x"), p, STR_NONE}, h));
}

/* Every byte at every place of parts of every length, which are looked at eight at a time. */
static void
test_bytes_of_targets(void **state)
{
    (void)state;
    for (size_t len = 2; len < 26; len++) {
        for (size_t at = 1; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                char text[32] = "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
                struct str part = {text, len};
                bool printable = c > 0x20 && c < 0x7f && c != '#';

                text[at] = (char)c;
                assert_int_equal(request_is_taken(STR("GET"), TARGET(part, STR_NONE), STR("b")),
                                 printable && c != '?');
                assert_int_equal(request_is_taken(STR("GET"), TARGET(STR("/"), part), STR("b")),
                                 printable);
                assert_int_equal(request_is_taken(STR("GET"), TARGET(STR("/"), STR_NONE), part),
                                 printable && c != '?');
            }
        }
    }
}

static bool
value_is_taken(struct str value)
{
    char buf[256];
    struct h1_out out;

    h1_out_init(&out, buf, sizeof(buf));
    h1_out_own(&out, "x: ", value);
    return h1_out_end(&out);
}

static void
test_refused_values(void **state)
{
    (void)state;
    assert_true(value_is_taken(STR("")));
    assert_true(value_is_taken(STR("a\tb \xc3\xa4")));
    for (size_t len = 1; len < 23; len++) {
        char value[24] = "0123456789012345678901";

        for (size_t at = 0; at < len; at++) {
            char was = value[at];

            for (int c = 0; c < 256; c++) {
                value[at] = (char)c;
                assert_int_equal(value_is_taken((struct str){value, len}),
                                 c == '\t' || (c >= 0x20 && c != 0x7f));
            }
            value[at] = was;
        }
    }
}

static void
test_tokens(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char one = (char)c;
        bool token = c > 0x20 && c < 0x7f && strchr("\"(),/:;<=>?@[\\]{}", c) == NULL;

        assert_int_equal(h1_is_token((struct str){&one, 1}), token);
    }
    assert_false(h1_is_token(STR("")));
}

/* Texts of all lengths come out as they are, into room of just their size and one byte less. */
static void
test_lengths(void **state)
{
    char text[80], want[96];

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('!' + i);
    for (size_t len = 0; len < sizeof(text); len++) {
        size_t size = 3 + len + 2;
        char *buf = malloc(size);
        struct h1_out out;

        assert_non_null(buf);
        h1_out_init(&out, buf, size);
        h1_out_own(&out, "x: ", (struct str){text, len});
        assert_false(out.failed);
        snprintf(want, sizeof(want), "x: %.*s\r\n", (int)len, text);
        assert_text(written(&out), want);
        h1_out_init(&out, buf, size - 1);
        h1_out_own(&out, "x: ", (struct str){text, len});
        assert_true(out.failed);
        assert_int_equal(out.len, 0);
        free(buf);
    }
}

static void
test_copies(void **state)
{
    static const char bytes[] =
        "HTTP/1.1 200 OK\r\nX-One:1\r\nRequest-Id:  \tabc \r\nEmpty:\r\n\r\n";
    static const char want[] = "X-One: 1\r\nx-upstream-request-id: abc\r\nEmpty: \r\n";
    struct h1_error error;
    struct h1_head head;
    struct h1_out out;

    (void)state;
    h1_head_init(&head);
    assert_int_equal(h1_head_lint_answer(&head, &h1_limits_default, (const uint8_t *)bytes,
                                         sizeof(bytes) - 1, &error),
                     H1_LINT_DONE);
    for (size_t cap = 0; cap < sizeof(want) + 2; cap++) {
        char *buf = malloc(cap ? cap : 1);

        assert_non_null(buf);
        h1_out_init(&out, buf, cap);
        h1_out_copy(&out, h1_head_name(&head, 0), &head, 0);
        h1_out_copy(&out, STR("x-upstream-request-id"), &head, 1);
        h1_out_copy(&out, h1_head_name(&head, 2), &head, 2);
        assert_int_equal(out.failed, cap < sizeof(want) - 1);
        if (!out.failed)
            assert_text(written(&out), want);
        free(buf);
    }
}

static void
test_date(void **state)
{
    struct h1_date date = {.wall_s = 0};

    (void)state;
    assert_text(h1_date_text(&date, 0), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_text(h1_date_text(&date, 999999), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_text(h1_date_text(&date, 1000000), "Thu, 01 Jan 1970 00:00:01 GMT");
    assert_text(h1_date_text(&date, INT64_C(951782400000000)), "Tue, 29 Feb 2000 00:00:00 GMT");
    assert_text(h1_date_text(&date, INT64_C(4107542399000000)), "Sun, 28 Feb 2100 23:59:59 GMT");
    assert_text(h1_date_text(&date, INT64_C(4107542400000000)), "Mon, 01 Mar 2100 00:00:00 GMT");
    assert_text(h1_date_text(&date, INT64_C(1798761599000000)), "Thu, 31 Dec 2026 23:59:59 GMT");
    assert_text(h1_date_text(&date, INT64_MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    assert_text(h1_date_text(&date, INT64_MIN), "Thu, 01 Jan 1970 00:00:00 GMT");
}

static void
test_chunk_head(void **state)
{
    char buf[H1_CHUNK_HEAD_MAX];

    (void)state;
    assert_text((struct str){buf, h1_chunk_head(1, buf)}, "1\r\n");
    assert_text((struct str){buf, h1_chunk_head(15, buf)}, "f\r\n");
    assert_text((struct str){buf, h1_chunk_head(16, buf)}, "10\r\n");
    assert_text((struct str){buf, h1_chunk_head(500, buf)}, "1f4\r\n");
    assert_text((struct str){buf, h1_chunk_head(SIZE_MAX, buf)}, "ffffffffffffffff\r\n");
}

static void
test_paths(void **state)
{
    static const struct {
        const char *path, *normal; /* NULL: 400 */
    } cases[] = {
        {"/", "/"},
        {"/v1/messages", "/v1/messages"},
        {"/v1/%6Dessages", "/v1/messages"},
        {"/%7e%2D%5f%2e%2E%2e", "/~-_..."},
        {"/models/gemini:stream", "/models/gemini:stream"},
        {"/a%3ab", "/a%3Ab"},
        {"/a%20b%c3%a4", "/a%20b%C3%A4"},
        {"/a%2525", "/a%2525"},
        {"/%252e%252e/a", "/%252e%252e/a"},
        {"//a//", "//a//"},
        {"/.a/..b/c./...", "/.a/..b/c./..."},
        {"/a;b=c", "/a;b=c"},
        {"", NULL},
        {"a", NULL},
        {"*", NULL},
        {"/a/../b", NULL},
        {"/a/..", NULL},
        {"/.", NULL},
        {"/./a", NULL},
        {"/%2e/a", NULL},
        {"/%2e%2E/a", NULL},
        {"/.%2e", NULL},
        {"/a%2fb", NULL},
        {"/a%2Fb", NULL},
        {"/a%5cb", NULL},
        {"/a\\b", NULL},
        {"/a%00", NULL},
        {"/a%0a", NULL},
        {"/a%7f", NULL},
        {"/a%", NULL},
        {"/a%2", NULL},
        {"/a%zz", NULL},
        {"/a%+1", NULL},
        {"/a%2 ", NULL},
        {"/a b", NULL},
        {"/a?b", NULL},
        {"/a\x80", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t len = strlen(cases[i].path);
        char *in = malloc(len + 1), *out = malloc(len + 1);
        struct str normal = STR_NONE, again = STR_NONE;
        char twice[64];

        assert_true(in && out);
        memcpy(in, cases[i].path, len);
        int status = h1_path_normal((struct str){in, len}, out, len, &normal);
        if (status != (cases[i].normal ? 0 : 400))
            fail_msg("%s: %d", cases[i].path, status);
        if (status == 0) {
            assert_text(normal, cases[i].normal);
            assert_int_equal(h1_path_normal(normal, twice, sizeof(twice), &again), 0);
            assert_text(again, cases[i].normal);
        }
        free(in);
        free(out);
    }
    char small[2];
    struct str normal;
    assert_int_equal(h1_path_normal(STR("/%61b"), small, 2, &normal), 414);
    assert_int_equal(h1_path_normal(STR("/ab"), small, 0, &normal), 0);
    assert_int_equal(h1_path_normal(STR("/%20"), small, 2, &normal), 414);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer),         cmocka_unit_test(test_small_answers),
        cmocka_unit_test(test_request),        cmocka_unit_test(test_refused_requests),
        cmocka_unit_test(test_refused_values), cmocka_unit_test(test_bytes_of_targets),
        cmocka_unit_test(test_tokens),         cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_copies),         cmocka_unit_test(test_date),
        cmocka_unit_test(test_chunk_head),     cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
