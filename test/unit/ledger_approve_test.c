/* Tenants that registered themselves: approved, refused, once; and why one is disabled. */
#include "test/unit/ledger_world.h"

#include "ledger/entity.h"

static struct world w;

static int
setup(void **state)
{
    struct entity_tenant t;
    struct db_txn txn;

    (void)state;
    world_open(&w);
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"acme\",\"credit\":\"5\"}}");
    assert_int_equal(db_write(w.ledger->db, &txn), 0);
    assert_int_equal(entity_tenant_get(&txn, 1, &t), 0);
    t.pending = t.disabled = true;
    assert_int_equal(entity_tenant_put(&txn, &t), 0);
    assert_int_equal(db_commit(&txn), 0);
    world_restart(&w);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    world_audit(&w);
    world_close(&w);
    return 0;
}

static bool
said(const char *name, const char *text)
{
    struct js_value answer;
    struct js_error err;

    assert_true(js_check(buf_str(&w.answer), &answer, &err));
    return js_str_eq(js_get(answer, str_from(name)), str_from(text));
}

static bool
closed(void)
{
    uint32_t slot;
    enum hold_result result = world_take(&w, 0, 1, 1000, &slot);

    if (result == HOLD_OK)
        world_settle(&w, 0, slot, 0);
    assert_int_equal(world_commit(&w), 0);
    return (account_at(w.workers, world_account(&w, 1))->flags & ACCOUNT_DISABLED) != 0;
}

static void
approved_once(void **state)
{
    struct js_value result;

    (void)state;
    assert_true(closed());
    /* Not past the decision. */
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"tenant.enable\",\"args\":{\"tenant\":1}}"), 1);
    assert_true(said("code", "pending"));
    result = ask_ok(&w, "{\"cmd\":\"tenant.approve\",\"args\":{\"tenant\":\"acme\"}}");
    assert_false(js_bool(js_get(result, STR("disabled")), true));
    assert_false(js_bool(js_get(result, STR("pending")), true));
    assert_false(closed());
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"tenant.approve\",\"args\":{\"tenant\":1}}"), 1);
    assert_true(said("code", "not_pending"));
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"tenant.refuse\",\"args\":{\"tenant\":1}}"), 1);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"tenant.approve\",\"args\":{\"tenant\":7}}"), 1);
    assert_true(said("code", "not_found"));
}

static void
refused(void **state)
{
    struct js_value result;

    (void)state;
    ask_ok(&w, "{\"cmd\":\"tenant.refuse\",\"args\":{\"tenant\":1,\"reason\":\"no such company\"}}");
    assert_true(closed());
    result = ask_ok(&w, "{\"cmd\":\"tenant.show\",\"args\":{\"tenant\":1}}");
    assert_true(js_bool(js_get(result, STR("disabled")), false));
    assert_false(js_bool(js_get(result, STR("pending")), true));
    assert_true(js_str_eq(js_get(result, STR("reason")), STR("no such company")));
    /* An operator may think better of it. */
    ask_ok(&w, "{\"cmd\":\"tenant.enable\",\"args\":{\"tenant\":1}}");
    result = ask_ok(&w, "{\"cmd\":\"tenant.show\",\"args\":{\"tenant\":1}}");
    assert_int_equal(js_get(result, STR("reason")).type, JS_NULL);
    assert_false(closed());
}

static void
reasons(void **state)
{
    struct js_value result;

    (void)state;
    ask_ok(&w, "{\"cmd\":\"tenant.approve\",\"args\":{\"tenant\":1}}");
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"tenant.disable\",\"args\":{\"tenant\":1,\"reason\":\"a\\nb\"}}"), 2);
    assert_true(said("field", "reason"));
    ask_ok(&w, "{\"cmd\":\"tenant.disable\",\"args\":{\"tenant\":1,\"reason\":\"unpaid\"}}");
    ask_ok(&w, "{\"cmd\":\"tenant.disable\",\"args\":{\"tenant\":1,\"reason\":\"unpaid\"}}");
    result = ask_ok(&w, "{\"cmd\":\"log.list\",\"args\":{\"action\":\"tenant.disable\"}}");
    assert_true(str_contains(js_get(result, STR("entries")).raw, STR("\"reason\":\"unpaid\"")));
    assert_int_equal(js_get(result, STR("next")).type, JS_NULL);
    assert_true(closed());
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(approved_once),
        TEST(refused),
        TEST(reasons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
