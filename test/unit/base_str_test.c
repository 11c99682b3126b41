#include "base/str.h"
#include "test/unit/testing.h"

static void
test_equal(void **state)
{
    (void)state;
    assert_true(str_eq(STR_NONE, STR("")));
    assert_true(str_eq(STR("ab"), STR("ab")));
    assert_false(str_eq(STR("ab"), STR("aB")));
    assert_false(str_eq(STR("ab"), STR("abc")));
    assert_true(str_eq(STR("a\0b"), STR("a\0b")));
    assert_false(str_eq(STR("a\0b"), STR("a\0c")));
    assert_true(str_eq_nocase(STR("Content-LENGTH"), STR("content-length")));
    assert_true(str_eq_nocase(STR_NONE, STR_NONE));
    /* '@' and '`', '[' and '{' differ in the same bit as letters do. */
    assert_false(str_eq_nocase(STR("@["), STR("`{")));
    assert_false(str_eq_nocase(STR("\xc4"), STR("\xe4")));
    assert_null(str_from(NULL).ptr);
    assert_int_equal(str_from("abc").len, 3);
}

static void
test_parts(void **state)
{
    (void)state;
    assert_true(str_starts_with(STR("abc"), STR("ab")));
    assert_true(str_starts_with(STR("abc"), STR_NONE));
    assert_true(str_starts_with(STR_NONE, STR_NONE));
    assert_false(str_starts_with(STR("ab"), STR("abc")));
    assert_true(str_ends_with(STR("abc"), STR("bc")));
    assert_true(str_ends_with(STR_NONE, STR("")));
    assert_false(str_ends_with(STR("bc"), STR("abc")));
    assert_true(str_contains(STR("abc"), STR("b")));
    assert_true(str_contains(STR("abc"), STR("abc")));
    assert_true(str_contains(STR_NONE, STR_NONE));
    assert_false(str_contains(STR("abc"), STR("abcd")));
    assert_false(str_contains(STR_NONE, STR("a")));
    assert_int_equal(str_find(STR("abca"), 'a', 0), 0);
    assert_int_equal(str_find(STR("abca"), 'a', 1), 3);
    assert_int_equal(str_find(STR("abca"), 'a', 4), 4);
    assert_int_equal(str_find(STR("abca"), 'a', 99), 4);
    assert_int_equal(str_find(STR("abca"), 'x', 0), 4);
    assert_int_equal(str_find(STR_NONE, 'x', 0), 0);
    assert_str(str_trim(STR(" \t a b\t ")), "a b");
    assert_str(str_trim(STR(" \t ")), "");
    assert_str(str_trim(STR_NONE), "");
}

static void
test_split(void **state)
{
    struct str rest;

    (void)state;
    assert_str(str_split(STR("a,b,c"), ',', &rest), "a");
    assert_str(rest, "b,c");
    assert_str(str_split(STR("a,"), ',', &rest), "a");
    assert_non_null(rest.ptr);
    assert_int_equal(rest.len, 0);
    assert_str(str_split(STR("a"), ',', &rest), "a");
    assert_null(rest.ptr);
    assert_str(str_split(STR(","), ',', &rest), "");
    assert_str(str_split(STR_NONE, ',', &rest), "");
    assert_null(rest.ptr);
}

static void
test_glob(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool match;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"**", "abc", true},
        {"?", "", false},
        {"?", "a", true},
        {"gpt-*", "gpt-4o", true},
        {"gpt-*", "gpt-", true},
        {"gpt-*", "gpt", false},
        {"*mini", "gpt-4o-mini", true},
        {"*mini", "gpt-4o-mini2", false},
        {"a*b*c", "aXbYbZc", true},
        {"a*b*c", "aXbYbZ", false},
        {"a?c*", "abcd", true},
        {"*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false},
        {"[a]", "a", false},
        {"[a]", "[a]", true},
        {"ABC", "abc", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (str_glob(str_from(cases[i].pattern), str_from(cases[i].text)) != cases[i].match)
            fail_msg("glob %s on %s", cases[i].pattern, cases[i].text);
    }
}

static void
test_glob_hostile(void **state)
{
    char text[4096];

    (void)state;
    /* A backtracking matcher would not come back from this one. */
    memset(text, 'a', sizeof(text));
    assert_false(str_glob(STR("*a*a*a*a*a*a*a*a*a*a*b"), (struct str){text, sizeof(text)}));
}

static void
test_numbers(void **state)
{
    uint64_t n = 7;

    (void)state;
    assert_false(str_to_count(STR_NONE, 10, &n));
    assert_false(str_to_count(STR("-1"), 10, &n));
    assert_false(str_to_count(STR("+1"), 10, &n));
    assert_false(str_to_count(STR(" 1"), 10, &n));
    assert_false(str_to_count(STR("1 "), 10, &n));
    assert_false(str_to_count(STR("1.0"), 10, &n));
    assert_false(str_to_count(STR("1e1"), 10, &n));
    assert_false(str_to_count(STR("0x1"), 10, &n));
    assert_false(str_to_count(STR("11"), 10, &n));
    assert_false(str_to_count(STR("00000000001"), 10, &n));
    assert_int_equal(n, 7);
    assert_true(str_to_count(STR("10"), 10, &n) && n == 10);
    assert_true(str_to_count(STR("0"), 0, &n) && n == 0);
    assert_true(str_to_count(STR("0000000001"), 10, &n) && n == 1);
    assert_true(str_to_count(STR("9999999999"), UINT64_MAX, &n) && n == UINT64_C(9999999999));
    assert_true(str_to_u64(STR("18446744073709551615"), &n) && n == UINT64_MAX);
    assert_false(str_to_u64(STR("18446744073709551616"), &n));
    assert_false(str_to_u64(STR("99999999999999999999"), &n));
    assert_false(str_to_u64(STR("1\0"), &n));
    assert_int_equal(n, UINT64_MAX);
}

static void
test_hex(void **state)
{
    uint8_t bytes[4] = {9, 9, 9, 9};
    char text[9];

    (void)state;
    assert_true(str_unhex(STR("00fFA05b"), bytes, 4));
    assert_memory_equal(bytes, "\x00\xff\xa0\x5b", 4);
    str_hex(bytes, 4, text);
    assert_string_equal(text, "00ffa05b");
    str_hex(bytes, 0, text);
    assert_string_equal(text, "");
    assert_true(str_unhex(STR_NONE, bytes, 0));
    assert_false(str_unhex(STR("00"), bytes, 4));
    assert_false(str_unhex(STR("000"), bytes, 1));
    assert_false(str_unhex(STR("0g"), bytes, 1));
    assert_false(str_unhex(STR("@0"), bytes, 1));
    assert_false(str_unhex(STR("0:"), bytes, 1));
}

static void
test_copy(void **state)
{
    char out[4] = "zzz";

    (void)state;
    assert_int_equal(str_copy(STR("abcdef"), out, 4), 3);
    assert_string_equal(out, "abc");
    assert_int_equal(str_copy(STR("ab"), out, 4), 2);
    assert_string_equal(out, "ab");
    assert_int_equal(str_copy(STR_NONE, out, 1), 0);
    assert_string_equal(out, "");
    assert_int_equal(str_copy(STR("a"), out, 0), 0);
}

static void
test_distance(void **state)
{
    char text[65];

    (void)state;
    assert_int_equal(str_distance(STR(""), STR(""), 2), 0);
    assert_int_equal(str_distance(STR("upstream"), STR("upstream"), 2), 0);
    assert_int_equal(str_distance(STR("upstraem"), STR("upstream"), 2), 2);
    assert_int_equal(str_distance(STR("upsteam"), STR("upstream"), 2), 1);
    assert_int_equal(str_distance(STR("a"), STR(""), 2), 1);
    assert_int_equal(str_distance(STR("abc"), STR(""), 2), 3);
    assert_int_equal(str_distance(STR("abcdef"), STR("uvwxyz"), 3), 4);
    assert_int_equal(str_distance(STR("kitten"), STR("sitting"), 9), 3);
    memset(text, 'a', sizeof(text));
    assert_int_equal(str_distance((struct str){text, 63}, (struct str){text, 63}, 1), 0);
    assert_int_equal(str_distance((struct str){text, 64}, (struct str){text, 64}, 1), 2);
}

/* Every pair of bytes, at every place of texts of all lengths up to 20. */
static void
test_eq_nocase(void **state)
{
    char a[20], b[20];

    (void)state;
    memset(a, 'k', sizeof(a));
    memset(b, 'K', sizeof(b));
    for (size_t len = 1; len <= sizeof(a); len++) {
        for (int x = 0; x < 256; x++) {
            for (int y = 0; y < 256; y++) {
                size_t at = (size_t)(x + y) % len;
                bool same = x == y || ((x ^ y) == 0x20 && ((x | 0x20) >= 'a' && (x | 0x20) <= 'z'));

                a[at] = (char)x;
                b[at] = (char)y;
                assert_int_equal(str_eq_nocase((struct str){a, len}, (struct str){b, len}), same);
                a[at] = 'k';
                b[at] = 'K';
            }
        }
    }
    assert_false(str_eq_nocase(STR("abcdefgh"), STR("abcdefghi")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eq_nocase),    cmocka_unit_test(test_equal),
        cmocka_unit_test(test_parts),        cmocka_unit_test(test_split),
        cmocka_unit_test(test_glob),         cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_glob_hostile), cmocka_unit_test(test_hex),
        cmocka_unit_test(test_copy),         cmocka_unit_test(test_distance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
