/*
 * The books: movements between accounts, each once; grants that are used in the order of their expiry, before the
 * wallet, and go back when their time is over; all of it balanced at every step, and whenever the ledger dies.
 */
#include "test/unit/ledger_world.h"

#include "ledger/grant.h"
#include "ledger/transfer.h"
#include "shm/call_id.h"

static struct world w;

#define HOUR INT64_C(3600000000)
#define TENANT 1u

/* What the next command does: a step of somebody's command, in its transaction. */
static struct step {
    struct books_move move;
    struct grant_new grant;
    int rc;
    uint64_t id;
} step;

static int
run_move(struct command *command)
{
    step.rc = books_move(command, &step.move);
    return step.rc == -EEXIST ? 0 : step.rc;
}

static int
run_grant(struct command *command)
{
    step.rc = grant_new(command, &step.grant, &step.id);
    return step.rc == -EEXIST ? 0 : step.rc;
}

static const struct command_def def_move = {.name = "test.move", .kind = COMMAND_WRITE, .quiet = true, .run = run_move};
static const struct command_def def_grant = {
    .name = "test.grant", .kind = COMMAND_WRITE, .quiet = true, .run = run_grant};

/* Its exit status. *died: the ledger did. */
static int
run(const struct command_def *def, bool *died)
{
    struct command command;
    int rc, status;

    if (w.ledger == NULL)
        return -1;
    assert_true(command_start(&command, w.ledger, STR("{\"cmd\":\"mail.tidy\",\"args\":{}}"), "uid 0"));
    command.def = def;
    rc = command_main(&command);
    status = (int)command.exit;
    buf_free(&w.answer);
    command_finish(&command, &w.answer);
    if (died != NULL)
        *died = rc < 0;
    else
        assert_int_equal(rc, 0);
    return status;
}

static void
top_up(int64_t ucr, const char *once)
{
    step.move = (struct books_move){.from = {BOOK_CLEARING, 0, 7},
                                    .to = {BOOK_WALLET, TENANT, 0},
                                    .amount_ucr = ucr,
                                    .kind = TRANSFER_TOPUP,
                                    .reason = STR("top-up"),
                                    .once = str_from(once)};
    assert_int_equal(run(&def_move, NULL), COMMAND_DONE);
}

static uint64_t
give(enum promotion source, int64_t ucr, int64_t expires_us)
{
    step.grant = (struct grant_new){
        .tenant_id = TENANT, .source = source, .amount_ucr = ucr, .expires_us = expires_us};
    assert_int_equal(run(&def_grant, NULL), COMMAND_DONE);
    assert_int_equal(step.rc, 0);
    return step.id;
}

static int64_t
balance(enum book_kind kind, uint32_t tenant_id, uint64_t number)
{
    struct db_txn txn;
    int64_t ucr;

    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    assert_int_equal(book_balance(&txn, &(struct book){kind, tenant_id, number}, &ucr), 0);
    db_end(&txn);
    return ucr;
}

static int64_t
available(void)
{
    return account_available_ucr(account_at(w.workers, world_account(&w, TENANT)));
}

static void
call(int64_t hold_ucr, int64_t charge_ucr)
{
    uint32_t slot;

    assert_int_equal(world_take(&w, 0, TENANT, hold_ucr, &slot), HOLD_OK);
    world_settle(&w, 0, slot, charge_ucr);
    assert_int_equal(world_commit(&w), 0);
}

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"acme\"}}");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

static int64_t
source_of(const char *name)
{
    struct js_value sources = js_get(ask_ok(&w, "{\"cmd\":\"credit.show\",\"args\":{\"tenant\":1}}"), STR("sources")),
                    key, value;
    struct js_iter it;

    for (js_iter_init(&it, sources); js_next(&it, &key, &value);)
        if (str_eq(js_get(value, STR("source")).raw, str_from(name)))
            return money_of(value, "amount");
    return 0;
}

static void
each_movement_once(void **state)
{
    struct db_txn txn;
    uint64_t number;

    (void)state;
    top_up(CREDITS(10), "order:1:credit");
    assert_int_equal(step.rc, 0);
    top_up(CREDITS(10), "order:1:credit");
    assert_int_equal(step.rc, -EEXIST);
    top_up(CREDITS(5), "order:2:credit");
    assert_int_equal(step.rc, 0);
    assert_int_equal(available(), CREDITS(15));
    assert_int_equal(balance(BOOK_WALLET, TENANT, 0), CREDITS(15));
    assert_int_equal(balance(BOOK_CLEARING, 0, 7), -CREDITS(15));
    assert_int_equal(source_of("top-up"), CREDITS(15));
    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    assert_int_equal(books_once(&txn, STR("order:2:credit"), &number), 0);
    assert_int_equal(number, 2);
    assert_int_equal(books_once(&txn, STR("order:3:credit"), &number), -ENOENT);
    db_end(&txn);
    world_audit(&w);
    world_power_cut(&w);
    world_start(&w);
    assert_int_equal(available(), CREDITS(15));
    world_audit(&w);
}

/* Credit goes out for a refund and comes back when nothing comes of it. */
static void
there_and_back(void **state)
{
    (void)state;
    top_up(CREDITS(10), "");
    step.move = (struct books_move){.from = {BOOK_WALLET, TENANT, 0},
                                    .to = {BOOK_REFUND, 0, 7},
                                    .amount_ucr = CREDITS(4),
                                    .kind = TRANSFER_REFUND};
    assert_int_equal(run(&def_move, NULL), COMMAND_DONE);
    assert_int_equal(available(), CREDITS(6));
    assert_int_equal(source_of("refund"), -CREDITS(4));
    world_audit(&w);
    step.move = (struct books_move){.from = {BOOK_REFUND, 0, 7},
                                    .to = {BOOK_WALLET, TENANT, 0},
                                    .amount_ucr = CREDITS(4),
                                    .kind = TRANSFER_RETURN};
    assert_int_equal(run(&def_move, NULL), COMMAND_DONE);
    assert_int_equal(available(), CREDITS(10));
    assert_int_equal(balance(BOOK_REFUND, 0, 7), 0);
    world_audit(&w);
}

static void
too_much_is_refused(void **state)
{
    (void)state;
    top_up(CREDITS(1), "a");
    step.move.amount_ucr = ACCOUNT_UCR_MAX;
    step.move.once = STR("b");
    assert_int_equal(run(&def_move, NULL), COMMAND_FAILED);
    assert_int_equal(available(), CREDITS(1));
    assert_int_equal(balance(BOOK_CLEARING, 0, 7), -CREDITS(1));
    world_audit(&w);
    top_up(CREDITS(2), "b"); /* the name was not used by what came to nothing */
    assert_int_equal(step.rc, 0);
    assert_int_equal(available(), CREDITS(3));
}

static void
soonest_to_expire_first(void **state)
{
    uint64_t never, late, soon, same;

    (void)state;
    top_up(CREDITS(100), "");
    never = give(PROMOTION_GIFT, CREDITS(10), 0);
    late = give(PROMOTION_BONUS, CREDITS(10), w.wall_us + 2 * HOUR);
    soon = give(PROMOTION_TRIAL, CREDITS(10), w.wall_us + HOUR);
    same = give(PROMOTION_CODE, CREDITS(10), w.wall_us + 2 * HOUR + 1000000);
    assert_int_equal(available(), CREDITS(140));
    call(CREDITS(20), CREDITS(4));
    assert_int_equal(balance(BOOK_GRANT, TENANT, soon), CREDITS(6));
    assert_int_equal(balance(BOOK_GRANT, TENANT, late), CREDITS(10));
    call(CREDITS(20), CREDITS(8)); /* over two of them */
    assert_int_equal(balance(BOOK_GRANT, TENANT, soon), 0);
    assert_int_equal(balance(BOOK_GRANT, TENANT, late), CREDITS(8));
    assert_int_equal(balance(BOOK_WALLET, TENANT, 0), CREDITS(100));
    call(CREDITS(40), CREDITS(30)); /* all that is left of them, and 2 of the wallet */
    assert_int_equal(balance(BOOK_GRANT, TENANT, late), 0);
    assert_int_equal(balance(BOOK_GRANT, TENANT, same), 0);
    assert_int_equal(balance(BOOK_GRANT, TENANT, never), 0);
    assert_int_equal(balance(BOOK_WALLET, TENANT, 0), CREDITS(98));
    assert_int_equal(available(), CREDITS(98));
    assert_int_equal(balance(BOOK_PROMOTION, 0, PROMOTION_TRIAL), -CREDITS(10));
    world_audit(&w);
    call(CREDITS(1), CREDITS(1)); /* nobody looks for grants any more */
    assert_int_equal(balance(BOOK_WALLET, TENANT, 0), CREDITS(97));
    world_restart(&w);
    world_audit(&w);
}

/* What the receipt of the call in that slot says of who paid. */
static void
paid_is(const uint8_t call_id[16], const char *expected)
{
    char id[CALL_ID_LEN + 1], request[128];

    call_id_text(call_id, id);
    snprintf(request, sizeof(request), "{\"cmd\":\"call.show\",\"args\":{\"id\":\"%s\"}}", id);
    assert_str(js_get(ask_ok(&w, request), STR("paid")).raw, expected);
}

static void
receipts_say_who_paid(void **state)
{
    uint8_t first[16], second[16];
    uint32_t slot;

    (void)state;
    top_up(CREDITS(5), "");
    give(PROMOTION_CODE, CREDITS(1), 0);
    give(PROMOTION_TRIAL, CREDITS(1), w.wall_us + HOUR);
    assert_int_equal(world_take(&w, 0, TENANT, CREDITS(4), &slot), HOLD_OK);
    memcpy(first, hold_record(&w.table[0], slot)->call_id, 16);
    world_settle(&w, 0, slot, CREDITS(3));
    assert_int_equal(world_commit(&w), 0);
    assert_int_equal(world_take(&w, 0, TENANT, CREDITS(4), &slot), HOLD_OK);
    memcpy(second, hold_record(&w.table[0], slot)->call_id, 16);
    world_settle(&w, 0, slot, CREDITS(1));
    assert_int_equal(world_commit(&w), 0);
    paid_is(first, "[{\"from\":\"trial\",\"number\":2,\"amount\":\"1\"},"
                   "{\"from\":\"code\",\"number\":1,\"amount\":\"1\"},"
                   "{\"from\":\"wallet\",\"amount\":\"1\"}]");
    paid_is(second, "[{\"from\":\"wallet\",\"amount\":\"1\"}]");
}

static void
expire(unsigned count)
{
    struct js_value result = ask_ok(&w, "{\"cmd\":\"grant.expire\",\"args\":{}}");

    assert_int_equal(number_of(result, "expired"), count);
}

static void
what_is_left_goes_back(void **state)
{
    uint64_t trial;

    (void)state;
    top_up(CREDITS(5), "");
    trial = give(PROMOTION_TRIAL, CREDITS(10), w.wall_us + HOUR);
    call(CREDITS(3), CREDITS(3));
    expire(0);
    w.wall_us += HOUR;
    expire(1);
    expire(0);
    assert_int_equal(balance(BOOK_GRANT, TENANT, trial), 0);
    assert_int_equal(balance(BOOK_EXPIRED, 0, 0), CREDITS(7));
    assert_int_equal(available(), CREDITS(5));
    assert_int_equal(source_of("expired"), -CREDITS(7));
    world_audit(&w);
}

/* A call that began before needs it until it ends. */
static void
holds_keep_it(void **state)
{
    uint64_t trial;
    uint32_t slot;

    (void)state;
    top_up(CREDITS(5), "");
    trial = give(PROMOTION_TRIAL, CREDITS(10), w.wall_us + HOUR);
    assert_int_equal(world_take(&w, 0, TENANT, CREDITS(12), &slot), HOLD_OK);
    w.wall_us += HOUR;
    expire(0); /* three that nobody holds are gone */
    assert_int_equal(available(), 0);
    assert_int_equal(balance(BOOK_GRANT, TENANT, trial), CREDITS(7));
    world_audit(&w);
    world_settle(&w, 0, slot, CREDITS(6));
    assert_int_equal(world_commit(&w), 0);
    assert_int_equal(balance(BOOK_GRANT, TENANT, trial), CREDITS(1));
    assert_int_equal(balance(BOOK_WALLET, TENANT, 0), CREDITS(5));
    expire(1);
    assert_int_equal(available(), CREDITS(5));
    assert_int_equal(balance(BOOK_EXPIRED, 0, 0), CREDITS(4));
    world_audit(&w);
}

/* The ledger dies at each of its steps, while all of it happens: nothing is done twice, nothing is half. */
static void
killed_at_every_step(void **state)
{
    (void)state;
    for (long n = 0; n < 400; n++) {
        bool over = true, died;
        uint32_t slot;

        teardown(state);
        setup(state);
        top_up(CREDITS(5), "order:1");
        give(PROMOTION_TRIAL, CREDITS(10), w.wall_us + HOUR);
        assert_int_equal(world_take(&w, 0, TENANT, CREDITS(12), &slot), HOLD_OK);
        world_settle(&w, 0, slot, CREDITS(11));
        w.steps_left = n;
        if (world_commit(&w) < 0) {
            w.steps_left = -1;
            world_restart(&w);
            over = false;
        }
        assert_int_equal(world_commit(&w), 0);
        step.move = (struct books_move){.from = {BOOK_CLEARING, 0, 7},
                                        .to = {BOOK_WALLET, TENANT, 0},
                                        .amount_ucr = CREDITS(3),
                                        .kind = TRANSFER_TOPUP,
                                        .once = STR("order:2")};
        (void)run(&def_move, &died);
        if (died) {
            w.steps_left = -1;
            world_restart(&w);
            (void)run(&def_move, NULL); /* whoever got no answer asks again */
            over = false;
        }
        w.steps_left = -1;
        assert_int_equal(balance(BOOK_WALLET, TENANT, 0), CREDITS(7));
        assert_int_equal(balance(BOOK_GRANT, TENANT, 1), 0);
        assert_int_equal(balance(BOOK_CLEARING, 0, 7), -CREDITS(8));
        assert_int_equal(available(), CREDITS(7));
        world_audit(&w);
        if (over)
            return;
    }
    fail_msg("it has no end");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(each_movement_once),
        TEST(there_and_back),
        TEST(too_much_is_refused),
        TEST(soonest_to_expire_first),
        TEST(receipts_say_who_paid),
        TEST(what_is_left_goes_back),
        TEST(holds_keep_it),
        TEST(killed_at_every_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
