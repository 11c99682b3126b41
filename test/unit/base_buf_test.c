#include "base/buf.h"
#include "test/unit/testing.h"

static void
test_empty(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 100);
    assert_null(buf.ptr);
    assert_str(buf_str(&buf), "");
    assert_true(buf_add(&buf, NULL, 0));
    assert_true(buf_add_str(&buf, STR_NONE));
    buf_drop_front(&buf, 0);
    buf_free(&buf);
}

static void
test_limit(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 10);
    assert_true(buf_add(&buf, "0123456789", 10));
    assert_true(buf.cap <= 10);
    assert_false(buf_add_char(&buf, 'x'));
    assert_true(buf.failed);
    /* From then on nothing changes, not even by what would fit. */
    buf_drop_front(&buf, 5);
    assert_false(buf_add_char(&buf, 'x'));
    assert_false(buf_reserve(&buf, 0));
    assert_false(buf_add_u64(&buf, 1));
    assert_false(buf_add_fmt(&buf, "%d", 1));
    assert_str(buf_str(&buf), "56789");
    buf_free(&buf);
    assert_true(buf_add(&buf, "abc", 3));
    assert_false(buf_reserve(&buf, SIZE_MAX));
    buf_free(&buf);
    buf_init(&buf, 0);
    assert_true(buf_add(&buf, "", 0));
    assert_false(buf_add_char(&buf, 'x'));
    buf_free(&buf);
}

static void
test_growth(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000000);
    for (int i = 0; i < 1000000; i++)
        assert_true(buf_add_char(&buf, (char)('a' + i % 26)));
    assert_int_equal(buf.len, 1000000);
    for (size_t i = 0; i < buf.len; i++)
        assert_int_equal(buf.ptr[i], 'a' + i % 26);
    buf_drop_front(&buf, 999999);
    assert_int_equal(buf.len, 1);
    assert_int_equal(buf.ptr[0], 'a' + 999999 % 26);
    buf_drop_front(&buf, 1);
    assert_int_equal(buf.len, 0);
    buf_free(&buf);
}

static void
test_numbers(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    buf_add_u64(&buf, 0);
    buf_add_char(&buf, ' ');
    buf_add_u64(&buf, UINT64_MAX);
    buf_add_char(&buf, ' ');
    buf_add_i64(&buf, INT64_MIN);
    buf_add_char(&buf, ' ');
    buf_add_i64(&buf, INT64_MAX);
    buf_add_char(&buf, ' ');
    buf_add_i64(&buf, -1);
    assert_str(buf_str(&buf), "0 18446744073709551615 -9223372036854775808 9223372036854775807 -1");
    buf_free(&buf);
    /* No lone minus where the digits do not fit. */
    buf_init(&buf, 2);
    assert_false(buf_add_i64(&buf, -12));
    assert_int_equal(buf.len, 0);
    buf_free(&buf);
}

static void
test_fmt(void **state)
{
    struct buf buf;
    char text[2001];

    (void)state;
    memset(text, 'x', 2000);
    text[2000] = '\0';
    buf_init(&buf, 2004);
    assert_true(buf_add_fmt(&buf, "%s", ""));
    assert_true(buf_add_fmt(&buf, "%d-%c ", 12, 'q'));
    assert_int_equal(buf.len, 5);
    assert_false(buf_add_fmt(&buf, "%s", text));
    assert_str(buf_str(&buf), "12-q ");
    buf_free(&buf);
    buf_init(&buf, 2004);
    assert_true(buf_add_fmt(&buf, "%s%d", text, 1234)); /* up to the very limit */
    assert_int_equal(buf.len, 2004);
    assert_false(buf.failed);
    buf_free(&buf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),   cmocka_unit_test(test_limit), cmocka_unit_test(test_growth),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_fmt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
