/* Redemption codes: each is worth its value once, to one tenant, as long as it is open; whoever asks, and whenever the
 * ledger dies. */
#include "test/unit/ledger_world.h"

#include "ledger/grant.h"
#include "ledger/voucher.h"

static struct world w;

#define DAY INT64_C(86400000000)

static char codes[8][VOUCHER_TEXT_LEN + 1];

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"acme\"}}");
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"beta\"}}");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

/* The first eight of its codes are in codes[]. */
static int64_t
create(const char *args)
{
    char request[512];
    struct js_value result, key, value;
    struct js_iter it;
    unsigned count = 0;

    snprintf(request, sizeof(request), "{\"cmd\":\"voucher.create\",\"args\":{%s}}", args);
    result = ask_ok(&w, request);
    for (js_iter_init(&it, js_get(result, STR("codes"))); js_next(&it, &key, &value); count++)
        if (count < COUNT_OF(codes))
            str_copy(value.raw, codes[count], sizeof(codes[0]));
    assert_int_equal(count, number_of(result, "count"));
    return number_of(result, "batch");
}

static const char *
redeeming(unsigned tenant, const char *code)
{
    static char request[256];

    snprintf(request, sizeof(request), "{\"cmd\":\"voucher.redeem\",\"args\":{\"tenant\":%u,\"code\":\"%s\"}}", tenant,
             code);
    return request;
}

static bool
refused_with(const char *code)
{
    char wanted[64];

    snprintf(wanted, sizeof(wanted), "\"code\":\"%s\"", code);
    return str_contains(buf_str(&w.answer), str_from(wanted));
}

static void
cannot_be_redeemed(unsigned tenant, const char *code)
{
    assert_int_equal(ask_refused(&w, redeeming(tenant, code)), COMMAND_FAILED);
    assert_true(refused_with("no_voucher"));
}

static int64_t
available(unsigned tenant)
{
    return account_available_ucr(account_at(w.workers, world_account(&w, tenant)));
}

static struct js_value
nth(struct js_value array, unsigned n)
{
    struct js_value key, value;
    struct js_iter it;

    for (js_iter_init(&it, array); js_next(&it, &key, &value);)
        if (n-- == 0)
            return value;
    return (struct js_value){.type = JS_NONE};
}

/* ---- the text ---- */

static void
text_there_and_back(void **state)
{
    static const uint8_t zero[VOUCHER_BYTES], all[VOUCHER_BYTES] = {255, 255, 255, 255, 255, 255, 255, 255,
                                                                      255, 255, 255, 255, 255, 255, 255, 255};
    char text[VOUCHER_TEXT_LEN + 1];
    uint8_t code[VOUCHER_BYTES], back[VOUCHER_BYTES];

    (void)state;
    voucher_text(zero, text);
    assert_memory_equal(text, "0000-0000-0000-0000-0000-0000-00", 32);
    voucher_text(all, text);
    assert_memory_equal(text, "7ZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZ", 32);
    for (unsigned i = 0; i < 1000; i++) {
        rng_bytes(code, sizeof(code));
        voucher_text(code, text);
        assert_int_equal(strlen(text), VOUCHER_TEXT_LEN);
        assert_true(voucher_parse(str_from(text), back));
        assert_memory_equal(back, code, sizeof(code));
    }
}

static void
text_as_people_type_it(void **state)
{
    static const uint8_t bytes[VOUCHER_BYTES] = {0x01, 0x40, 0x00, 0x21, 0x08, 0x42, 0x10, 0x84,
                                                 0x21, 0x08, 0x42, 0x10, 0x84, 0x21, 0x08, 0x42};
    char text[VOUCHER_TEXT_LEN + 1], typed[2 * VOUCHER_TEXT_LEN + 1];
    uint8_t back[VOUCHER_BYTES];
    size_t at = 0;

    (void)state;
    voucher_text(bytes, text);
    for (size_t i = 0; text[i] != '\0'; i++) {
        char c = text[i];

        if (c == '-')
            continue;
        typed[at++] = c == '0' ? 'o' : c == '1' ? (i % 2 ? 'l' : 'I') : c >= 'A' ? (char)(c - 'A' + 'a') : c;
        typed[at++] = ' ';
    }
    typed[at] = '\0';
    assert_true(voucher_parse(str_from(typed), back));
    assert_memory_equal(back, bytes, sizeof(bytes));
    for (size_t i = 0; i < VOUCHER_TEXT_LEN; i++) {
        char was = text[i];

        if (was == '-')
            continue;
        text[i] = was == '7' ? '6' : '7';
        assert_true(!voucher_parse(str_from(text), back) || memcmp(back, bytes, sizeof(bytes)) != 0);
        text[i] = 'U'; /* no digit */
        assert_false(voucher_parse(str_from(text), back));
        text[i] = was;
    }
    assert_false(voucher_parse((struct str){text, VOUCHER_TEXT_LEN - 1}, back));
    assert_false(voucher_parse(STR(""), back));
    assert_false(voucher_parse(STR("8000-0000-0000-0000-0000-0000-0000"), back)); /* more than 128 bits */
    assert_false(voucher_parse((struct str){"\0", 1}, back));
}

/* ---- commands ---- */

static void
once_and_for_one(void **state)
{
    struct js_value result;

    (void)state;
    assert_int_equal(create("\"amount\":\"25\",\"count\":3,\"days\":30,\"label\":\"launch\""), 1);
    result = ask_ok(&w, redeeming(1, codes[0]));
    assert_int_equal(money_of(result, "amount"), CREDITS(25));
    assert_int_equal(available(1), CREDITS(25));
    cannot_be_redeemed(1, codes[0]);
    cannot_be_redeemed(2, codes[0]);
    assert_int_equal(ask_refused(&w, redeeming(1, codes[1])), COMMAND_FAILED); /* one a tenant */
    assert_true(refused_with("conflict"));
    ask_ok(&w, redeeming(2, codes[1]));
    assert_int_equal(available(2), CREDITS(25));
    cannot_be_redeemed(2, "7ZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ");
    result = ask_ok(&w, "{\"cmd\":\"voucher.show\",\"args\":{\"batch\":1}}");
    assert_int_equal(number_of(result, "used"), 2);
    assert_int_equal(number_of(result, "left"), 1);
    assert_int_equal(number_of(nth(js_get(result, STR("uses")), 1), "tenant"), 2);
    world_audit(&w);
    w.wall_us += 30 * DAY; /* the credit's time is over, too */
    assert_int_equal(number_of(ask_ok(&w, "{\"cmd\":\"grant.expire\",\"args\":{}}"), "expired"), 2);
    assert_int_equal(available(1), 0);
    world_audit(&w);
}

static void
not_when_void_or_too_old(void **state)
{
    char args[128], date[RFC3339_LEN + 1];

    (void)state;
    create("\"amount\":\"1\",\"count\":3,\"per_tenant\":0");
    ask_ok(&w, "{\"cmd\":\"voucher.void\",\"args\":{\"batch\":1,\"number\":2}}");
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"voucher.void\",\"args\":{\"batch\":1,\"number\":2}}"), COMMAND_FAILED);
    cannot_be_redeemed(1, codes[1]);
    ask_ok(&w, redeeming(1, codes[0]));
    assert_int_equal(number_of(ask_ok(&w, "{\"cmd\":\"voucher.void\",\"args\":{\"batch\":1}}"), "voided"), 2);
    cannot_be_redeemed(1, codes[2]);
    assert_int_equal(available(1), CREDITS(1)); /* what was redeemed stays */
    clock_rfc3339(w.wall_us + DAY, date);
    snprintf(args, sizeof(args), "\"amount\":\"1\",\"count\":2,\"per_tenant\":0,\"expires\":\"%s\"", date);
    create(args);
    ask_ok(&w, redeeming(1, codes[0]));
    w.wall_us += DAY;
    cannot_be_redeemed(1, codes[1]);
    assert_int_equal(available(1), CREDITS(2));
}

static void
tries_are_counted(void **state)
{
    (void)state;
    create("\"amount\":\"1\"");
    for (unsigned i = 0; i < 20; i++)
        cannot_be_redeemed(1, "nothing");
    assert_int_equal(ask_refused(&w, redeeming(1, codes[0])), COMMAND_BUSY);
    assert_true(refused_with("too_many"));
    ask_ok(&w, "{\"cmd\":\"voucher.list\"}");
    w.wall_us += DAY / 24;
    ask_ok(&w, redeeming(1, codes[0]));
    assert_int_equal(available(1), CREDITS(1));
}

static void
what_is_refused(void **state)
{
    static const struct {
        const char *args, *code;
    } bad[] = {
        {"", "required"},
        {"\"amount\":\"0\"", "out_of_range"},
        {"\"amount\":\"1\",\"count\":10001", "out_of_range"},
        {"\"amount\":\"1\",\"count\":0", "out_of_range"},
        {"\"amount\":\"1\",\"days\":3661", "out_of_range"},
        {"\"amount\":\"1\",\"expires\":\"2020-01-01T00:00:00Z\"", "out_of_range"},
        {"\"amount\":\"1\",\"label\":\"a\\nb\"", "invalid"},
        {"\"amount\":\"9000000000000\"", "out_of_range"},
    };
    char request[256];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        snprintf(request, sizeof(request), "{\"cmd\":\"voucher.create\",\"args\":{%s}}", bad[i].args);
        assert_int_equal(ask_refused(&w, request), COMMAND_USAGE);
        if (!refused_with(bad[i].code))
            print_error("%s: %.*s\n", bad[i].args, STR_ARGS(buf_str(&w.answer)));
        assert_true(refused_with(bad[i].code));
    }
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"voucher.show\",\"args\":{\"batch\":7}}"), COMMAND_FAILED);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"voucher.redeem\",\"args\":{\"tenant\":1}}"), COMMAND_USAGE);
}

/* No code stands in the store as it is, nor in the audit log or in a kept answer. */
static void
kept_as_hashes(void **state)
{
    static const enum db_table tables[] = {DB_VOUCHER_BATCH, DB_VOUCHER, DB_VOUCHER_OPEN, DB_VOUCHER_USE,
                                           DB_AUDIT, DB_IDEM, DB_TRANSFER, DB_GRANT};
    uint8_t code[VOUCHER_BYTES];
    struct db_txn txn;
    unsigned seen = 0;

    (void)state;
    ask_ok(&w, "{\"cmd\":\"voucher.create\",\"args\":{\"amount\":\"1\",\"count\":1},\"idem\":\"a\"}");
    create("\"amount\":\"1\",\"count\":1");
    ask_ok(&w, redeeming(1, codes[0]));
    assert_true(voucher_parse(str_from(codes[0]), code));
    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        struct db_walk walk;
        struct db_key from;
        struct str key, value;

        db_key_start(&from);
        assert_int_equal(db_walk_start(&txn, tables[i], &from, 0, &walk), 0);
        for (; db_walk_next(&walk, &key, &value); seen++) {
            assert_false(str_contains(value, str_from(codes[0])));
            assert_false(str_contains(value, (struct str){(const char *)code, sizeof(code)}));
            assert_false(str_contains(key, (struct str){(const char *)code, sizeof(code)}));
            assert_false(str_contains(value, STR("\"codes\":[\"")));
        }
        db_walk_end(&walk);
    }
    db_end(&txn);
    assert_true(seen >= 8);
}

static void
killed_at_every_step(void **state)
{
    (void)state;
    for (long n = 0; n < 200; n++) {
        struct js_value result;
        bool died;

        teardown(state);
        setup(state);
        create("\"amount\":\"3\",\"count\":1");
        w.steps_left = n;
        died = world_ask(&w, redeeming(1, codes[0]), &result) < 0;
        w.steps_left = -1;
        if (died) {
            world_restart(&w);
            assert_int_equal(world_ask(&w, redeeming(1, codes[0]), &result), 0); /* done, or refused: once */
        }
        assert_int_equal(available(1), CREDITS(3));
        cannot_be_redeemed(2, codes[0]);
        world_audit(&w);
        if (!died)
            return;
    }
    fail_msg("it has no end");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        cmocka_unit_test(text_there_and_back),
        cmocka_unit_test(text_as_people_type_it),
        TEST(once_and_for_one),
        TEST(not_when_void_or_too_old),
        TEST(tries_are_counted),
        TEST(what_is_refused),
        TEST(kept_as_hashes),
        TEST(killed_at_every_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
