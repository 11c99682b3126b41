/* Failures to sign in: what the audit log tells of them, to whom, and that no flood of them fills it. */
#include "test/unit/ledger_world.h"

#include <stdarg.h>

static struct world w;

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
#define HASH "$argon2id$v=19$m=65536,t=3,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo"

static struct js_value PRINTF_LIKE(1, 2)
done(const char *fmt, ...)
{
    char request[1024];
    va_list args;

    va_start(args, fmt);
    assert_in_range(vsnprintf(request, sizeof(request), fmt, args), 1, sizeof(request) - 1);
    va_end(args);
    return ask_ok(&w, request);
}

/* Ada has the tenant 1, and is the person 2: root has none. */
static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    done("{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"t\"}}");
    done("{\"cmd\":\"admin.add\",\"args\":{\"email\":\"root@b.c\"}}");
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

static void
join(const char *email)
{
    char token[64];

    str_copy(js_get(done("{\"cmd\":\"invite.add\",\"args\":{\"tenant\":1,\"role\":\"owner\",\"email\":\"%s\"}}", email),
                    STR("token")).raw, token, sizeof(token));
    done("{\"cmd\":\"invite.accept\",\"args\":{\"token\":\"%s\",\"password\":\"" HASH "\",\"agreed\":true}}", token);
}

static void
fails(const char *email, const char *ip, const char *how)
{
    done("{\"cmd\":\"login.failed\",\"args\":{\"email\":\"%s\",\"how\":\"%s\"},"
         "\"actor\":{\"kind\":\"system\",\"ip\":\"%s\",\"request\":\"call_1\"}}", email, how, ip);
}

/* As the upkeep does. */
static void
tidy(void)
{
    for (int i = 0; i < 10000; i++)
        if (!js_bool(js_get(done("{\"cmd\":\"login.tidy\",\"actor\":{\"kind\":\"system\"}}"), STR("more")), false))
            return;
    fail_msg("it has no end");
}

/* How many entries of that action there are (at most a page), and the latest. */
static unsigned
entries(const char *action, const char *more, struct js_value *latest)
{
    struct js_value list, none, entry;
    struct js_iter it;
    unsigned n = 0;

    list = js_get(done("{\"cmd\":\"log.list\",\"args\":{\"limit\":1000,\"action\":\"%s\"%s}}", action, more), STR("entries"));
    for (js_iter_init(&it, list); js_next(&it, &none, &entry); n++)
        if (n == 0 && latest != NULL)
            *latest = entry;
    return n;
}

static int64_t
count_of(struct js_value entry)
{
    return number_of(js_get(entry, STR("after")), "count");
}

static bool
is(struct js_value object, const char *name, const char *text)
{
    return js_str_eq(js_get(object, str_from(name)), str_from(text));
}

static void
an_account(void **state)
{
    struct js_value entry;

    (void)state;
    join("ada@b.c");
    for (int i = 0; i < 4; i++) {
        done("{\"cmd\":\"login.begin\",\"args\":{\"email\":\"ada@b.c\"}}");
        fails("Ada@b.c", "192.0.2.1", "password");
    }
    assert_int_equal(entries("login.failed", "", &entry), 1);
    assert_int_equal(count_of(entry), 1);
    assert_int_equal(number_of(entry, "tenant"), 1);
    assert_true(is(js_get(entry, STR("target")), "kind", "person"));
    assert_int_equal(number_of(js_get(entry, STR("target")), "id"), 2);
    assert_true(is(js_get(entry, STR("target")), "name", "ada@b.c"));
    assert_true(is(js_get(entry, STR("actor")), "ip", "192.0.2.1"));
    assert_true(is(js_get(entry, STR("actor")), "request", "call_1"));
    assert_true(is(js_get(entry, STR("after")), "how", "password"));
    assert_int_equal(js_get(entry, STR("before")).type, JS_NULL);
    assert_int_equal(js_get(js_get(entry, STR("after")), STR("password")).type, JS_NONE);

    /* The fifth locks it; who tries on is counted. */
    done("{\"cmd\":\"login.begin\",\"args\":{\"email\":\"ada@b.c\"}}");
    fails("ada@b.c", "192.0.2.1", "password");
    assert_int_equal(entries("login.locked", "", &entry), 1);
    assert_int_equal(count_of(entry), 5);
    assert_int_equal(js_get(js_get(entry, STR("after")), STR("locked_until")).type, JS_STRING);
    for (int i = 0; i < 10; i++)
        fails("ada@b.c", "192.0.2.1", "locked");
    fails("ada@b.c", "192.0.2.2", "code"); /* from elsewhere it is another count */
    assert_int_equal(entries("login.failed", "", &entry), 2);
    assert_true(is(js_get(entry, STR("after")), "how", "code"));
    fails("ada@b.c", "192.0.2.3", "second-factor"); /* is tried no oftener than passwords, and locks as they do */
    assert_int_equal(entries("login.locked", "", &entry), 2);
    assert_int_equal(count_of(entry), 1);

    /* The hour is over: how many it were. Of one alone there is nothing more to tell. */
    tidy();
    assert_int_equal(entries("login.failed", "", NULL), 2);
    w.wall_us += HOUR;
    tidy();
    assert_int_equal(entries("login.failed", "", &entry), 3);
    assert_int_equal(count_of(entry), 15);
    assert_true(is(js_get(entry, STR("actor")), "ip", "192.0.2.1"));
    tidy();
    assert_int_equal(entries("login.failed", ",\"tenant\":1", NULL), 3);
    assert_int_equal(entries("login.failed", ",\"target\":\"person:2\"", NULL), 3);
    fails("ada@b.c", "192.0.2.1", "code");
    assert_int_equal(entries("login.failed", "", &entry), 4);
    assert_int_equal(count_of(entry), 1);
}

/* What is typed as an address may be a password, and who has an account is nobody's business. */
static void
nobodys(void **state)
{
    struct js_value entry;

    (void)state;
    fails("my-secret@horse.battery", "2001:db8:1:2::1", "password");
    fails("another@horse.battery", "2001:db8:1:2:ffff::9", "password");
    assert_int_equal(entries("login.failed", "", &entry), 1);
    assert_int_equal(js_get(entry, STR("target")).type, JS_NONE);
    assert_int_equal(js_get(entry, STR("tenant")).type, JS_NONE);
    assert_int_equal(js_get(entry, STR("args")).type, JS_NONE);
    assert_false(js_bool(js_get(js_get(entry, STR("after")), STR("account")), true));
    assert_null(memmem(w.answer.ptr, w.answer.len, "horse", 5));
    fails("another@horse.battery", "2001:db8:1:3::1", "password");
    assert_int_equal(entries("login.failed", "", NULL), 2);
    assert_int_equal(entries("login.failed", ",\"tenant\":1", NULL), 0);
    /* Who came by a provider may be nobody in particular. */
    done("{\"cmd\":\"login.failed\",\"args\":{\"how\":\"provider\"},\"actor\":{\"kind\":\"system\",\"ip\":\"2001:db8:1:2::3\"}}");
    w.wall_us += HOUR;
    tidy();
    assert_int_equal(entries("login.failed", "", &entry), 3);
    assert_int_equal(count_of(entry), 3);
    assert_true(is(js_get(entry, STR("after")), "how", "provider"));
    /* Of who has no tenant the platform alone is told. */
    fails("root@b.c", "192.0.2.1", "password");
    assert_int_equal(entries("login.failed", ",\"target\":\"person:1\"", NULL), 1);
    assert_int_equal(entries("login.failed", ",\"tenant\":1", NULL), 0);
}

static uint64_t
rows(void)
{
    struct db_txn txn;
    uint64_t n;

    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    n = db_size(&txn, DB_SIGNIN).entries;
    db_end(&txn);
    return n;
}

static void
a_flood(void **state)
{
    enum { FAILURES = 5000, ENTRIES = 240, ROWS = 8192 };
    struct js_value entry;

    (void)state;
    for (int i = 0; i < FAILURES; i++) {
        char ip[32];

        snprintf(ip, sizeof(ip), "10.0.%d.%d", i / 256, i % 256);
        fails("x@y.z", ip, "password");
    }
    assert_in_range(rows(), ROWS, ROWS + 4);
    assert_int_equal(entries("login.failed", "", &entry), ENTRIES + 1);
    assert_true(js_bool(js_get(js_get(entry, STR("after")), STR("rest")), false));
    /* Those that had no entry yet have one now, as far as there is room; all that is left is told in one. */
    w.wall_us += HOUR;
    tidy();
    assert_int_equal(entries("login.failed", "", &entry), 2 * (ENTRIES + 1));
    assert_true(js_bool(js_get(js_get(entry, STR("after")), STR("rest")), false));
    assert_int_equal(count_of(entry), FAILURES - 2 * ENTRIES);
    assert_int_equal(rows(), 2); /* how many entries this hour had */
    w.wall_us += HOUR;
    tidy();
    assert_int_equal(rows(), 0);
    assert_int_equal(entries("login.failed", "", NULL), 2 * (ENTRIES + 1));
}

/* Killed at any step, a failure is counted and told, or neither. */
static void
killed_anywhere(void **state)
{
    int64_t count = 0;

    (void)state;
    join("ada@b.c");
    for (long step = 0; step < 40; step++) {
        struct buf answer;
        struct js_value entry;
        int rc;

        w.steps_left = step;
        buf_init(&answer, 4096);
        rc = command_run(w.ledger, STR("{\"cmd\":\"login.failed\",\"args\":{\"email\":\"ada@b.c\",\"how\":\"password\"},"
                                       "\"actor\":{\"kind\":\"system\",\"ip\":\"192.0.2.9\"}}"),
                         "test", &answer);
        buf_free(&answer);
        w.steps_left = -1;
        if (rc < 0)
            world_restart(&w);
        else
            count++;
        if (entries("login.failed", "", &entry) > 0)
            assert_int_equal(count_of(entry), 1);
    }
    assert_true(count > 0);
    w.wall_us += HOUR;
    tidy();
    {
        struct js_value entry;

        assert_int_equal(entries("login.failed", "", &entry), 2);
        assert_true(count_of(entry) >= count && count_of(entry) <= 40);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_account, setup, teardown),
        cmocka_unit_test_setup_teardown(nobodys, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flood, setup, teardown),
        cmocka_unit_test_setup_teardown(killed_anywhere, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
