/* The queue of mail: what is queued is handed out once a lease, tried again later each time, given up in time; and
 * a death at any step loses none. */
#include "test/unit/ledger_world.h"

#include "ledger/mail.h"
#include "ledger/outbox.h"

static struct world w;

#define SECOND INT64_C(1000000)
#define PUT                                                                                        \
    "{\"cmd\":\"mail.put\",\"args\":{\"template\":\"verify\",\"to\":\"a@example.org\",\"locale\":" \
    "\"zh-CN\",\"tenant\":7,\"vars\":{\"code\":\"123456\",\"minutes\":\"10\"}}}"
#define NEXT "{\"cmd\":\"mail.next\",\"args\":{}}"

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

/* How many are handed out, and the first of them. */
static unsigned
next(struct js_value *first)
{
    struct js_value mails = js_get(ask_ok(&w, NEXT), STR("mails")), key, value;
    struct js_iter it;
    unsigned count = 0;

    for (js_iter_init(&it, mails); js_next(&it, &key, &value);)
        if (count++ == 0)
            *first = value;
    return count;
}

static void
handed_out(void **state)
{
    struct js_value mail;

    (void)state;
    assert_int_equal(next(&mail), 0);
    ask_ok(&w, PUT);
    assert_int_equal(next(&mail), 1);
    assert_int_equal(number_of(mail, "id"), 1);
    assert_int_equal(number_of(mail, "tries"), 0);
    assert_str(js_get(mail, STR("template")).raw, "verify");
    assert_str(js_get(mail, STR("to")).raw, "a@example.org");
    assert_str(js_get(mail, STR("locale")).raw, "zh-CN");
    assert_str(js_get(mail, STR("vars")).raw, "{\"code\":\"123456\",\"minutes\":\"10\"}");
    assert_int_equal(next(&mail), 0); /* somebody has it */
    w.wall_us += OUTBOX_LEASE_US + SECOND;
    assert_int_equal(next(&mail), 1); /* who had it died */
    assert_int_equal(number_of(mail, "tries"), 1);
    ask_ok(&w, "{\"cmd\":\"mail.done\",\"args\":{\"id\":1}}");
    ask_ok(&w, "{\"cmd\":\"mail.done\",\"args\":{\"id\":1}}");
    ask_ok(&w, "{\"cmd\":\"mail.failed\",\"args\":{\"id\":1}}");
    w.wall_us += OUTBOX_LEASE_US + SECOND;
    assert_int_equal(next(&mail), 0);
}

/* Nothing of what it says stands in the store as it is. */
static void
sealed(void **state)
{
    struct db_txn txn;
    struct db_walk walk;
    struct db_key from;
    struct str key, value;
    unsigned seen = 0;

    (void)state;
    ask_ok(&w, PUT);
    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    db_key_start(&from);
    assert_int_equal(db_walk_start(&txn, DB_MAIL, &from, 0, &walk), 0);
    for (; db_walk_next(&walk, &key, &value); seen++)
        assert_false(str_contains(value, STR("123456")));
    db_walk_end(&walk);
    db_end(&txn);
    assert_int_equal(seen, 2);
}

static void
tried_until_a_day_is_over(void **state)
{
    int64_t start_us = w.wall_us, before_us;
    struct js_value mail;
    unsigned tries = 0;

    (void)state;
    ask_ok(&w, PUT);
    while (next(&mail) == 1) {
        assert_int_equal(number_of(mail, "tries"), tries);
        tries++;
        before_us = w.wall_us;
        ask_ok(&w, "{\"cmd\":\"mail.failed\",\"args\":{\"id\":1,\"why\":\"451 later\"}}");
        /* Not before 7/8 of the wait, at the latest after 9/8. */
        int64_t wait_us = MIN(15 * SECOND << MIN(tries - 1, 20u), 3600 * SECOND);

        w.wall_us = before_us + wait_us - wait_us / 8 - SECOND;
        assert_int_equal(next(&mail), 0);
        w.wall_us = before_us + wait_us + wait_us / 8 + SECOND;
    }
    assert_true(w.wall_us - start_us > 22 * 3600 * SECOND);
    assert_in_range(tries, 25, 40);
    w.wall_us = start_us + 3 * OUTBOX_DAY_US;
    assert_int_equal(next(&mail), 0);
    assert_str(js_get(ask_ok(&w, "{\"cmd\":\"mail.list\"}"), STR("mails")).raw, "[]");
}

static void
given_up_at_once(void **state)
{
    struct js_value mail;

    (void)state;
    ask_ok(&w, PUT);
    assert_int_equal(next(&mail), 1);
    ask_ok(&w, "{\"cmd\":\"mail.failed\",\"args\":{\"id\":1,\"for_good\":true,\"why\":\"550\"}}");
    assert_str(js_get(ask_ok(&w, "{\"cmd\":\"mail.list\"}"), STR("mails")).raw, "[]");
}

/* More than one step's: some go each time, and what still has time stays. */
static void
tidied(void **state)
{
    struct js_value mail;

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        ask_ok(&w, PUT);
    assert_int_equal(number_of(ask_ok(&w, "{\"cmd\":\"mail.tidy\"}"), "dropped"), 0);
    w.wall_us += OUTBOX_DAY_US + SECOND;
    ask_ok(&w, PUT);
    assert_int_equal(number_of(ask_ok(&w, "{\"cmd\":\"mail.tidy\"}"), "dropped"), 64);
    assert_int_equal(number_of(ask_ok(&w, "{\"cmd\":\"mail.tidy\"}"), "dropped"), 36);
    assert_int_equal(next(&mail), 1);
    assert_int_equal(number_of(mail, "id"), 101);
}

static void
refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "{\"cmd\":\"mail.put\",\"args\":{\"template\":\"no\",\"to\":\"a@example.org\"}}",
        "{\"cmd\":\"mail.put\",\"args\":{\"template\":\"verify\",\"to\":\"a\"}}",
        "{\"cmd\":\"mail.put\",\"args\":{\"template\":\"verify\",\"to\":\"a>@b.c\"}}",
        "{\"cmd\":\"mail.put\",\"args\":{\"template\":\"verify\",\"to\":\"a@b\\r\\nBcc: c@d\"}}",
        "{\"cmd\":\"mail.put\",\"args\":{\"template\":\"verify\",\"to\":\"a@b.c\",\"vars\":"
        "{\"code\":\"1\\n2\"}}}",
        "{\"cmd\":\"mail.put\",\"args\":{\"template\":\"verify\",\"to\":\"a@b.c\",\"vars\":"
        "{\"code\":12}}}",
    };

    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_int_equal(ask_refused(&w, wrong[i]), COMMAND_USAGE);
    assert_str(js_get(ask_ok(&w, "{\"cmd\":\"mail.list\"}"), STR("mails")).raw, "[]");
}

/* Killed at each step of queueing, handing out and failing: it is there, once, and goes on. */
static void
death_at_each_step(void **state)
{
    (void)state;
    for (long step = 0;; step++) {
        struct js_value mail, ignored;
        bool died;

        w.steps_left = step;
        died = world_ask(&w, PUT, &ignored) < 0;
        if (!died)
            died = world_ask(&w, NEXT, &ignored) < 0;
        if (!died)
            died = world_ask(&w, "{\"cmd\":\"mail.failed\",\"args\":{\"id\":1}}", &ignored) < 0;
        w.steps_left = -1;
        world_restart(&w);
        if (js_get(ask_ok(&w, "{\"cmd\":\"mail.list\"}"), STR("mails")).raw.len == 2)
            ask_ok(&w, PUT); /* who asked had no answer, and asks again */
        w.wall_us += OUTBOX_LEASE_US + SECOND;
        assert_int_equal(next(&mail), 1);
        assert_str(js_get(mail, STR("vars")).raw, "{\"code\":\"123456\",\"minutes\":\"10\"}");
        if (!died)
            break;
        assert_true(step < 100);
        world_close(&w);
        world_open(&w);
        world_start(&w);
    }
}

/* ---- a full queue ---- */

#define HASH "$argon2id$v=19$m=65536,t=3,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo"
#define ALERT "{\"cmd\":\"mail.put\",\"args\":{\"template\":\"alert-balance\",\"to\":\"a@b.c\"}}"
#define PASSWORD(end) "{\"cmd\":\"person.password\",\"args\":{\"id\":1,\"password\":\"" HASH end "\"}}"

static int
setup_large(void **state)
{
    (void)state;
    world_open(&w);
    w.map_bytes = UINT64_C(512) << 20;
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"t\"}}");
    ask_ok(&w, "{\"cmd\":\"admin.add\",\"args\":{\"email\":\"a@b.c\"}}");
    return 0;
}

/* Until so many wait. */
static void
fill(uint64_t wanted)
{
    struct outbox_item item = {.created_us = w.wall_us,
                               .due_us = w.wall_us,
                               .until_us = w.wall_us + OUTBOX_DAY_US,
                               .what = STR("{\"template\":\"approved\",\"to\":\"a@b.c\",\"sealed\":\"\"}")};
    struct db_txn txn;

    assert_int_equal(db_write(w.ledger->db, &txn), 0);
    while (mail_waiting(&txn) < wanted)
        assert_int_equal(outbox_add(&txn, DB_MAIL, &item), 0);
    assert_int_equal(db_commit(&txn), 0);
}

static uint64_t
dropped(void)
{
    struct db_txn txn;
    uint64_t count;

    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    assert_int_equal(mail_dropped(&txn, &count), 0);
    db_end(&txn);
    return count;
}

/* What the latest entry of the audit log says was not sent; "" when it says nothing. */
static struct str
unsent(const char *action)
{
    char request[128];
    struct js_value list, none, entry;
    struct js_iter it;

    snprintf(request, sizeof(request), "{\"cmd\":\"log.list\",\"args\":{\"action\":\"%s\",\"limit\":1}}", action);
    list = js_get(ask_ok(&w, request), STR("entries"));
    js_iter_init(&it, list);
    assert_true(js_next(&it, &none, &entry));
    return js_get(entry, STR("mail_dropped")).raw;
}

/* The last quarter is for what keeps accounts safe; where that is full, too, nobody is kept from it. */
static void
full(void **state)
{
    static const char *const codes[] = {"a@b.c", "nobody@b.c"};
    static const char *const purposes[] = {"reset", "register"};
    char request[256];

    (void)state;
    fill(74999);
    ask_ok(&w, ALERT);
    assert_int_equal(dropped(), 0);
    ask_ok(&w, ALERT);
    assert_int_equal(dropped(), 1);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"invite.add\",\"args\":{\"tenant\":1,\"role\":\"admin\","
                                 "\"email\":\"g@b.c\",\"link_base\":\"https://x.y/join#\"}}"),
                     COMMAND_BUSY);
    ask_ok(&w, PASSWORD("1"));
    assert_int_equal(unsent("person.password").len, 0);
    assert_int_equal(dropped(), 1);

    fill(99999);
    ask_ok(&w, PASSWORD("2"));
    assert_int_equal(unsent("person.password").len, 0);
    ask_ok(&w, PASSWORD("3"));
    assert_str(unsent("person.password"), "[\"password-changed\"]");
    assert_int_equal(dropped(), 2);
    assert_int_equal(number_of(js_get(ask_ok(&w, "{\"cmd\":\"status\"}"), STR("mail")), "dropped"), 2);
    assert_int_equal(number_of(js_get(ask_ok(&w, "{\"cmd\":\"status\"}"), STR("mail")), "waiting"), 100000);
    /* Who waits for a code hears that none comes, whoever has that address. */
    for (size_t i = 0; i < 4; i++) {
        snprintf(request, sizeof(request), "{\"cmd\":\"code.make\",\"args\":{\"purpose\":\"%s\",\"email\":\"%s\",\"invited\":true}}",
                 purposes[i / 2], codes[i % 2]);
        assert_int_equal(ask_refused(&w, request), COMMAND_BUSY);
        assert_true(str_contains(buf_str(&w.answer), STR("too much mail waits")));
    }
    world_restart(&w);
    assert_int_equal(dropped(), 2);
    /* What is of no use any more goes, some each time. */
    w.wall_us += 2 * OUTBOX_DAY_US;
    assert_int_equal(number_of(ask_ok(&w, "{\"cmd\":\"mail.tidy\"}"), "dropped"), 2 * 64);
}

/* Before what waits longer. */
static void
security_first(void **state)
{
    struct js_value mail;

    (void)state;
    for (int i = 0; i < 40; i++)
        ask_ok(&w, ALERT);
    w.wall_us += 60 * SECOND;
    ask_ok(&w, PASSWORD("1"));
    assert_int_equal(next(&mail), 32);
    assert_str(js_get(mail, STR("template")).raw, "password-changed");
    assert_int_equal(next(&mail), 9);
    assert_str(js_get(mail, STR("template")).raw, "alert-balance");
    /* Where nobody sends, neither keeps the other from being cleared away. */
    w.wall_us += OUTBOX_DAY_US;
    for (int i = 0; i < 70; i++)
        ask_ok(&w, PASSWORD("2"));
    w.wall_us += 10 * SECOND;
    assert_int_equal(number_of(ask_ok(&w, "{\"cmd\":\"mail.tidy\"}"), "dropped"), 41);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(handed_out, setup, teardown),
        cmocka_unit_test_setup_teardown(sealed, setup, teardown),
        cmocka_unit_test_setup_teardown(tried_until_a_day_is_over, setup, teardown),
        cmocka_unit_test_setup_teardown(given_up_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(tidied, setup, teardown),
        cmocka_unit_test_setup_teardown(refused, setup, teardown),
        cmocka_unit_test_setup_teardown(death_at_each_step, setup, teardown),
        cmocka_unit_test_setup_teardown(full, setup_large, teardown),
        cmocka_unit_test_setup_teardown(security_first, setup_large, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
