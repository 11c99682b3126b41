/* Passwords: which are refused, how they are kept. */
#include "test/unit/testing.h"

#include "base/str.h"
#include "manage/password.h"

#include <string.h>

#define EMAIL STR("maria.keller@example.org")

static void
weak(void **state)
{
    static const struct {
        const char *text;
        enum password_fault fault;
    } table[] = {
        {"", PASSWORD_SHORT},
        {"kF8#kd93x", PASSWORD_SHORT},
        {"äöüäöüäö9", PASSWORD_SHORT}, /* 9 characters in 17 bytes */
        {"kF8#kd93xq", PASSWORD_OK},
        {"correct horse battery", PASSWORD_OK},
        {"correcthorsebatterystaple", PASSWORD_COMMON},
        {"密码密码很长的密码吗对吗", PASSWORD_OK},
        {"Password123!", PASSWORD_COMMON},
        {"P@ssw0rd2026", PASSWORD_COMMON},
        {"1qwertyuiop1", PASSWORD_COMMON},
        {"aaaaaaaaaaaa", PASSWORD_COMMON},
        {"1234567890", PASSWORD_COMMON},
        {"12345678901234567890", PASSWORD_COMMON},
        {"9876543210", PASSWORD_COMMON},
        {"abcdefghijklm", PASSWORD_COMMON},
        {"xyxyxyxyxyxy", PASSWORD_COMMON},
        {"k9#pk9#pk9#p", PASSWORD_COMMON},
        {"13051987-2026", PASSWORD_COMMON},
        {"8305198720264471", PASSWORD_OK},
        {"Maria.Keller", PASSWORD_SIMILAR},
        {"maria.keller1!", PASSWORD_SIMILAR},
        {"maria.keller@example.org", PASSWORD_SIMILAR},
        {"example.org99", PASSWORD_SIMILAR},
        {"keller@exa", PASSWORD_SIMILAR},
        {"Initech GmbH1", PASSWORD_SIMILAR},
        {"maria.keller and her horse", PASSWORD_OK},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        enum password_fault fault = password_check(str_from(table[i].text), EMAIL, STR("initech gmbh"));

        if (fault != table[i].fault)
            print_error("%s\n", table[i].text);
        assert_int_equal(fault, table[i].fault);
    }
}

static void
long_ones(void **state)
{
    char text[PASSWORD_LEN_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('!' + i * 31 % 89);
    assert_int_equal(password_check((struct str){text, PASSWORD_LEN_MAX}, EMAIL, STR_NONE), PASSWORD_OK);
    assert_int_equal(password_check((struct str){text, sizeof(text)}, EMAIL, STR_NONE), PASSWORD_LONG);
}

static void
kept(void **state)
{
    static const struct password_cost low = {.ops = 1, .bytes = 1 << 20}, high = {.ops = 2, .bytes = 1 << 20};
    char a[PASSWORD_HASH_LEN_MAX], b[PASSWORD_HASH_LEN_MAX];
    bool again;

    (void)state;
    assert_int_equal(password_hash(STR("kF8#kd93xq"), &low, a), 0);
    assert_int_equal(password_hash(STR("kF8#kd93xq"), &low, b), 0);
    assert_string_not_equal(a, b);
    assert_true(str_starts_with(str_from(a), STR("$argon2id$v=19$m=1024,t=1,p=1$")));
    assert_true(password_matches(STR("kF8#kd93xq"), str_from(a), &low, &again));
    assert_false(again);
    assert_true(password_matches(STR("kF8#kd93xq"), str_from(a), &high, &again));
    assert_true(again);
    assert_false(password_matches(STR("kF8#kd93xr"), str_from(a), &high, &again));
    assert_false(again);
    assert_false(password_matches(STR("kF8#kd93xq"), STR_NONE, &low, &again));
    assert_false(password_matches(STR("kF8#kd93xq"), STR("no hash"), &low, &again));
    a[40] = a[40] == 'A' ? 'B' : 'A';
    assert_false(password_matches(STR("kF8#kd93xq"), str_from(a), &low, &again));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weak),
        cmocka_unit_test(long_ones),
        cmocka_unit_test(kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
