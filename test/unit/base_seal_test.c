/* Sealing: what is opened is what was closed; anything else is not opened. */
#include "test/unit/testing.h"

#include "base/seal.h"
#include "base/str.h"

static const uint8_t key[HASH_KEY_LEN] = {1, 2, 3}, other_key[HASH_KEY_LEN] = {1, 2, 4};

static void
round_trip(void **state)
{
    static const size_t lens[] = {0, 1, 31, 4096, 65536};
    static char text[65536];

    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < COUNT_OF(lens); i++) {
        struct str in = {text, lens[i]};
        struct buf hex, out;

        buf_init(&hex, 1 << 20);
        buf_init(&out, 1 << 20);
        assert_true(seal_close(key, "a", in, &hex));
        assert_int_equal(hex.len, 2 * (24 + 16 + lens[i]));
        assert_true(seal_open(key, "a", buf_str(&hex), &out));
        assert_true(str_eq(buf_str(&out), in));
        buf_free(&hex);
        buf_free(&out);
    }
}

static void
what_is_not_opened(void **state)
{
    struct buf hex, again, out;

    (void)state;
    buf_init(&hex, 4096);
    buf_init(&again, 4096);
    buf_init(&out, 4096);
    assert_true(seal_close(key, "a", STR("the code is 123456"), &hex));
    assert_true(seal_close(key, "a", STR("the code is 123456"), &again));
    assert_false(str_eq(buf_str(&hex), buf_str(&again))); /* a nonce of its own each time */
    assert_false(str_contains(buf_str(&hex), STR("123456")));
    assert_false(seal_open(other_key, "a", buf_str(&hex), &out));
    assert_false(seal_open(key, "b", buf_str(&hex), &out));
    for (size_t i = 0; i < hex.len; i++) {
        char was = hex.ptr[i];

        hex.ptr[i] = was == '0' ? '1' : '0';
        assert_false(seal_open(key, "a", buf_str(&hex), &out));
        assert_false(seal_open(key, "a", (struct str){hex.ptr, i}, &out));
        hex.ptr[i] = was;
    }
    assert_int_equal(out.len, 0);
    assert_true(seal_open(key, "a", buf_str(&hex), &out));
    assert_true(str_eq(buf_str(&out), STR("the code is 123456")));
    buf_free(&hex);
    buf_free(&again);
    buf_free(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(what_is_not_opened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
