/* An account's word: packing, changes, the freeze bit, limits. */
#include "test/unit/shm_small.h"

#include <errno.h>

static void
test_word(void **state)
{
    const int64_t edges[] = {
        0, 1, -1, ACCOUNT_UCR_MAX, -ACCOUNT_UCR_MAX, 123456789, INT64_MAX / 2, INT64_MIN / 2};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(edges); i++) {
        assert_int_equal(account_word_ucr(account_word(edges[i], false)), edges[i]);
        assert_int_equal(account_word_ucr(account_word(edges[i], true)), edges[i]);
        assert_false(account_word_frozen(account_word(edges[i], false)));
        assert_true(account_word_frozen(account_word(edges[i], true)));
    }
}

static void
test_add(void **state)
{
    struct account *account;
    uint32_t idx;

    (void)state;
    assert_null(account_at(t.region, 0));
    assert_null(account_at(t.region, 1));
    assert_int_equal(account_add(t.region, 9, &idx), 0);
    assert_int_equal(idx, 1);
    account = account_at(t.region, 1);
    assert_true(account_word_frozen(account->word));
    assert_int_equal(account_available_ucr(account), 0);
    assert_int_equal(account->tenant_id, 9);
    assert_int_equal(account->flags, ACCOUNT_OPEN);
    assert_int_equal(account->generation, 1);
    assert_null(account_at(t.region, 2));
    assert_null(account_at(t.region, UINT32_MAX));
    for (uint32_t i = 2; i <= 64; i++) {
        assert_int_equal(account_add(t.region, i, &idx), 0);
        assert_int_equal(idx, i);
    }
    assert_int_equal(account_add(t.region, 65, &idx), -ENOSPC);
}

static void
test_add_grows(void **state)
{
    struct region_geometry g = small_geometry;
    struct shm_test big;
    uint32_t idx;

    (void)state;
    g.account_max = 5000;
    big = shm_test_open(&g);
    for (uint32_t i = 1; i <= 5000; i++) {
        assert_int_equal(account_add(big.region, i, &idx), 0);
        account_publish(account_at(big.region, idx), i);
    }
    for (uint32_t i = 1; i <= 5000; i++)
        assert_int_equal(account_available_ucr(account_at(big.region, i)), i);
    shm_test_close(&big);
}

static void
test_change(void **state)
{
    uint32_t idx;
    struct account *account = test_account(t.region, 100, &idx);

    (void)state;
    assert_true(account_change(account, 50));
    assert_int_equal(account_available_ucr(account), 150);
    assert_true(account_change(account, -200));
    assert_int_equal(account_available_ucr(account), -50);
    assert_true(account_change(account, 0));
    assert_true(account_change(account, 50));
    assert_int_equal(account_available_ucr(account), 0);
}

static void
test_change_limits(void **state)
{
    uint32_t idx;
    struct account *account = test_account(t.region, 0, &idx);

    (void)state;
    assert_false(account_change(account, INT64_MAX));
    assert_false(account_change(account, INT64_MIN));
    assert_true(account_change(account, ACCOUNT_UCR_MAX));
    assert_false(account_change(account, 1));
    assert_false(account_change(account, INT64_MAX));
    assert_int_equal(account_available_ucr(account), ACCOUNT_UCR_MAX);
    assert_true(account_change(account, -ACCOUNT_UCR_MAX));
    assert_true(account_change(account, -ACCOUNT_UCR_MAX));
    assert_false(account_change(account, -1));
    assert_false(account_change(account, INT64_MIN));
    assert_int_equal(account_available_ucr(account), -ACCOUNT_UCR_MAX);
}

/* A word that no one of us wrote is not made worse. */
static void
test_change_damaged(void **state)
{
    uint32_t idx;
    struct account *account = test_account(t.region, 0, &idx);

    (void)state;
    account->word = account_word(INT64_MAX / 2, false);
    assert_false(account_change(account, 1));
    assert_false(account_change(account, INT64_MAX));
    account->word = account_word(INT64_MIN / 2, false);
    assert_false(account_change(account, -1));
    assert_false(account_change(account, INT64_MIN));
    assert_int_equal(account_available_ucr(account), INT64_MIN / 2);
}

static void
test_freeze(void **state)
{
    uint32_t idx;
    struct account *account = test_account(t.region, -7, &idx);

    (void)state;
    account_freeze(account);
    account_freeze(account);
    assert_true(account_word_frozen(account->word));
    assert_int_equal(account_available_ucr(account), -7);
    assert_true(account_change(account, 10)); /* the ledger process's own, which keeps the bit */
    assert_true(account_word_frozen(account->word));
    assert_int_equal(account_available_ucr(account), 3);
    account_unfreeze(account);
    assert_false(account_word_frozen(account->word));
    assert_int_equal(account_available_ucr(account), 3);
    account_unfreeze(account);
    assert_int_equal(account_available_ucr(account), 3);
    account_freeze(account);
    account_publish(account, -12);
    assert_false(account_word_frozen(account->word));
    assert_int_equal(account_available_ucr(account), -12);
}

static void
publish_unfrozen(void *arg)
{
    account_publish(arg, 1);
}

static void
publish_too_much(void *arg)
{
    account_freeze(arg);
    account_publish(arg, ACCOUNT_UCR_MAX + 1);
}

static void
test_publish_asserts(void **state)
{
    uint32_t idx;
    struct account *account = test_account(t.region, 0, &idx);

    (void)state;
    assert_true(aborts(publish_unfrozen, account));
    assert_true(aborts(publish_too_much, account));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_word),
        TEST(test_add),
        cmocka_unit_test(test_add_grows),
        TEST(test_change),
        TEST(test_change_limits),
        TEST(test_change_damaged),
        TEST(test_freeze),
        TEST(test_publish_asserts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
