/* Forms: what is in them, and what is no form. Each body ends at an unmapped page. */
#include "proto/multipart.h"

#include "base/buf.h"
#include "base/str.h"
#include "test/unit/testing.h"

#define TYPE "multipart/form-data; boundary=b"
#define PART(name) "--b\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n"

/* "name=value;" of each part, "name<value;" of a file, then "." or "!what at offset". */
static void
check_with(const char *type, struct str body, const char *want)
{
    struct page page = page_make(body.ptr, body.len);
    struct multipart_part part;
    enum multipart_step step = MULTIPART_BAD;
    struct multipart m;
    struct buf got;

    buf_init(&got, 1 << 16);
    if (multipart_init(&m, str_from(type), page.text))
        while ((step = multipart_next(&m, &part)) == MULTIPART_PART) {
            assert_true(part.value.ptr >= page.text.ptr &&
                        part.value.ptr + part.value.len <= page.text.ptr + page.text.len);
            buf_add_fmt(&got, "%.*s%c%.*s;", STR_ARGS(part.name), part.is_file ? '<' : '=',
                        STR_ARGS(part.value));
        }
    if (step == MULTIPART_END)
        buf_add_char(&got, '.');
    else
        buf_add_fmt(&got, "!%s at %zu", m.what, m.offset);
    assert_int_equal(multipart_next(&m, &part), step);
    assert_str(buf_str(&got), want);
    buf_free(&got);
    page_free(&page);
}

static void
check(const char *body, const char *want)
{
    check_with(TYPE, str_from(body), want);
}

static void
test_forms(void **state)
{
    (void)state;
    check(PART("model") "m\r\n--b--\r\n", "model=m;.");
    check(PART("model") "m\r\n--b--", "model=m;.");
    check(PART("a") "\r\n--b--\r\n", "a=;.");
    check(PART("a") "\r\n" PART("b") "2\r\n--b--\r\n", "a=;b=2;.");
    check(PART("a") "\r\n\r\n--b--\r\n", "a=\r\n;.");
    check("--b--\r\n", ".");
    /* What only looks like a boundary is content. */
    check(PART("a") "x--b\r\n--b--\r\n", "a=x--b;.");
    check(PART("a") "--\r\n-b\r\n--b--\r\n", "a=--\r\n-b;.");
    check("--b\r\ncontent-disposition:form-data;name=\"f\";filename=\"a b.mp3\"\r\n"
          "Content-Type: audio/mpeg\r\nX: y\r\n\r\nID3\r\n--b--\r\n",
          "f<ID3;.");
    check("--b\r\nContent-Disposition: form-data; filename=\"\"; name=\"f\"\r\n\r\n1\r\n--b--\r\n",
          "f<1;.");
    check("--b\r\nContent-Disposition: form-data; name=\"f\"; filename*=UTF-8''%e2%82%ac\r\n"
          "Content-Transfer-Encoding: binary\r\n\r\n1\r\n--b--\r\n",
          "f<1;.");
    check_with("Multipart/Form-Data; charset=utf-8; Boundary=\"a'b:c\"",
               STR("--a'b:c\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--a'b:c--"),
               "a=1;.");
}

static void
test_binary(void **state)
{
    static const char body[] = PART("a") "\0\xff\r\n\0--b\r\n--b--\r\n";
    static const char want[] = "a=\0\xff\r\n\0--b;.";
    struct page page = page_make(body, sizeof(body) - 1);
    struct multipart_part part;
    struct multipart m;

    (void)state;
    assert_true(multipart_init(&m, STR(TYPE), page.text));
    assert_int_equal(multipart_next(&m, &part), MULTIPART_PART);
    assert_int_equal(part.value.len, sizeof(want) - 1 - 4);
    assert_memory_equal(part.value.ptr, want + 2, part.value.len);
    assert_int_equal(multipart_next(&m, &part), MULTIPART_END);
    page_free(&page);
}

static void
test_types(void **state)
{
    static const char *const none[] = {
        "", "application/json", "multipart/form-data", "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"", "multipart/mixed; boundary=b",
        "multipart/form-data; boundary=a b", "multipart/form-data; boundary=a;boundary=b",
        "multipart/form-data; boundary=\"a", "multipart/form-data; boundary",
        "multipart/form-data; boundary="
        "12345678901234567890123456789012345678901234567890123456789012345678901",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(none); i++)
        check_with(none[i], STR("--b--\r\n"),
                   "!the content type must be multipart/form-data with one boundary at 0");
    assert_true(multipart_is_form(STR("multipart/form-data")));
    assert_false(multipart_is_form(STR("multipart/form-data-x; boundary=b")));
}

static void
test_no_forms(void **state)
{
    static const struct {
        const char *body, *want;
    } rows[] = {
        {"", "!the form does not begin with its boundary at 0"},
        {"\r\n--b--\r\n", "!the form does not begin with its boundary at 0"},
        {"--c--\r\n", "!the form does not begin with its boundary at 0"},
        {"--b", "!a boundary is followed by something else at 3"},
        {"--b\n", "!a boundary is followed by something else at 3"},
        {"--bc\r\n", "!a boundary is followed by something else at 3"},
        {"--b \r\n", "!a boundary is followed by something else at 3"},
        {"--b--\r\nx", "!something follows the last boundary at 5"},
        {"--b\r\n", "!a part's headers have no end at 5"},
        {"--b\r\n\r\nx\r\n--b--", "!a part has no content-disposition at 7"},
        {PART("a"), "!a part has no end at 49"},
        {PART("a") "x", "!a part has no end at 49"},
        {PART("a") "x\r\n--b", "a=x;!a boundary is followed by something else at 55"},
        {PART("a") "x\r\n--bb\r\n", "a=x;!a boundary is followed by something else at 55"},
        /* An upstream that takes bare LF for a line's end would find another form. */
        {PART("a") "x\n--b\r\n--b--\r\n", "!a boundary does not stand behind CRLF at 51"},
        {PART("a") "x\r--b\r\n--b--\r\n", "!a boundary does not stand behind CRLF at 51"},
        {PART("a") "--b\r\n--b--\r\n", "!a boundary does not stand behind CRLF at 49"},
        {"--b\r\nContent-Disposition: form-data; name=\"a\"\n\n1\r\n--b--",
         "!a part's header holds control characters at 5"},
        {"--b\r\nContent-Disposition: form-data; name=\"a\"\r\nX\r\n\r\n1\r\n--b--",
         "!a part's header is malformed at 47"},
        {"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n folded: 1\r\n\r\n1\r\n--b--",
         "!a part's header is malformed at 47"},
        {"--b\r\nContent-Disposition : form-data; name=\"a\"\r\n\r\n1\r\n--b--",
         "!a part's header is malformed at 5"},
        {"--b\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\n1\r\n--b--",
         "!a part's content-disposition is not form-data at 5"},
        {"--b\r\nContent-Disposition: form\r\n\r\n1\r\n--b--",
         "!a part's content-disposition is not form-data at 5"},
        {"--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--", "!a part has no name at 5"},
        {"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--",
         "!a part's name must stand once, in quotes and plain signs at 5"},
        {"--b\r\nContent-Disposition: form-data; name=\"a\"; name=\"b\"\r\n\r\n1\r\n--b--",
         "!a part's name must stand once, in quotes and plain signs at 5"},
        {"--b\r\nContent-Disposition: form-data; name=\"a\"; NAME*=utf-8''b\r\n\r\n1\r\n--b--",
         "!a part's name must stand once, in quotes and plain signs at 5"},
        {"--b\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n1\r\n--b--",
         "!a part's name must stand once, in quotes and plain signs at 5"},
        {"--b\r\nContent-Disposition: form-data; name=\"a\\b\"\r\n\r\n1\r\n--b--",
         "!a part's name must stand once, in quotes and plain signs at 5"},
        {"--b\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--b--",
         "!a part's content-disposition is malformed at 5"},
        {"--b\r\nContent-Disposition: form-data; filename=\"\\\"; name=\"b\\\"\"\r\n\r\n1\r\n--b--",
         "!a part's content-disposition is malformed at 5"},
        {"--b\r\nContent-Disposition: form-data; name=\"a\" x\r\n\r\n1\r\n--b--",
         "!a part's content-disposition is malformed at 5"},
        {"--b\r\nContent-Disposition: form-data; name\r\n\r\n1\r\n--b--",
         "!a part's content-disposition is malformed at 5"},
        {"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n"
         "content-disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--",
         "!a part has two content-dispositions at 47"},
        {"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n"
         "Content-Transfer-Encoding: base64\r\n\r\n1\r\n--b--",
         "!a part's content-transfer-encoding is not supported at 47"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        check(rows[i].body, rows[i].want);
}

static void
test_bounds(void **state)
{
    struct buf body, want;

    (void)state;
    buf_init(&body, 1 << 20);
    buf_init(&want, 1 << 20);
    for (unsigned i = 0; i <= MULTIPART_PARTS_MAX; i++) {
        buf_add_str(&body, STR(PART("a") "\r\n"));
        if (i < MULTIPART_PARTS_MAX)
            buf_add_str(&want, STR("a=;"));
    }
    buf_add_str(&body, STR("--b--"));
    buf_add_fmt(&want, "!the form has too many parts at %u", MULTIPART_PARTS_MAX * 51 + 5);
    buf_add_char(&want, '\0');
    check_with(TYPE, buf_str(&body), want.ptr);

    body.len = 0;
    buf_add_str(&body, STR("--b\r\nContent-Disposition: form-data; name=\"a\"\r\nX: "));
    for (unsigned i = 0; i < MULTIPART_HEADERS_BYTES_MAX; i++)
        buf_add_char(&body, 'x');
    buf_add_str(&body, STR("\r\n\r\n1\r\n--b--"));
    check_with(TYPE, buf_str(&body), "!a part's headers are too large at 47");
    buf_free(&body);
    buf_free(&want);
}

/* Nothing that is cut short is a form. */
static void
test_every_cut(void **state)
{
    const struct str body = STR(PART("a") "1\r\n" PART("b") "22\r\n--b--");

    (void)state;
    for (size_t len = 0; len < body.len; len++) {
        struct page page = page_make(body.ptr, len);
        struct multipart_part part;
        struct multipart m;
        enum multipart_step step;

        assert_true(multipart_init(&m, STR(TYPE), page.text));
        while ((step = multipart_next(&m, &part)) == MULTIPART_PART)
            continue;
        assert_int_equal(step, MULTIPART_BAD);
        assert_true(m.offset <= len && m.what != NULL);
        page_free(&page);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),    cmocka_unit_test(test_binary),
        cmocka_unit_test(test_types),    cmocka_unit_test(test_no_forms),
        cmocka_unit_test(test_bounds),   cmocka_unit_test(test_every_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
