/* The audit log: what entries say, who finds them, what becomes of one that was tampered with; and
 * answers that are given again. */
#include "test/unit/ledger_world.h"

#include "ledger/audit_log.h"
#include "ledger/idem.h"

static struct world w;

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"acme\",\"credit\":\"100\"}}");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

/* ---- reading ---- */

/* The n-th entry of log.list with these arguments; NONE when there are fewer. */
static struct js_value
entry(const char *args, unsigned n)
{
    char request[512];
    struct js_value result, none, value;
    struct js_iter it;

    snprintf(request, sizeof(request), "{\"cmd\":\"log.list\",\"args\":{%s}}", args);
    result = ask_ok(&w, request);
    for (js_iter_init(&it, js_get(result, STR("entries"))); js_next(&it, &none, &value);)
        if (it.index == n)
            return value;
    return (struct js_value){.type = JS_NONE};
}

static unsigned
count(const char *args)
{
    unsigned n = 0;

    while (entry(args, n).type != JS_NONE)
        n++;
    return n;
}

#define assert_json(value, text)                                                                   \
    do {                                                                                           \
        struct str got_ = (value).raw, want_ = STR(text);                                          \
        if (!str_eq(got_, want_))                                                                  \
            print_error("%.*s\n", STR_ARGS(got_));                                                 \
        assert_true(str_eq(got_, want_));                                                          \
    } while (0)

static void
entries_say_all(void **state)
{
    struct js_value e;

    (void)state;
    e = entry("", 0);
    assert_json(js_get(e, STR("action")), "tenant.add");
    assert_json(js_get(e, STR("actor")), "{\"kind\":\"cli\",\"id\":0,\"name\":\"uid 0\"}");
    assert_json(js_get(e, STR("target")), "{\"kind\":\"tenant\",\"id\":1,\"name\":\"acme\"}");
    assert_int_equal(js_get(e, STR("before")).type, JS_NULL);
    assert_json(js_path(e, "after", "name", NULL), "acme");
    assert_json(js_path(e, "after", "created", NULL), "2026-11-18T11:06:40.000000Z");
    assert_int_equal(js_get(e, STR("args")).type, JS_NONE);

    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"name\":\"ci\",\"rpm\":7,"
               "\"budget\":\"5/day\"},\"actor\":{\"kind\":\"person\",\"id\":9,\"name\":\"a@b.c\","
               "\"ip\":\"192.0.2.1\",\"request\":\"call_1\"}}");
    e = entry("", 0);
    assert_json(js_get(e, STR("actor")), "{\"kind\":\"person\",\"id\":9,\"name\":\"a@b.c\","
                                         "\"ip\":\"192.0.2.1\",\"request\":\"call_1\"}");
    assert_json(js_get(e, STR("target")), "{\"kind\":\"key\",\"id\":1,\"name\":\"ci\"}");
    assert_json(js_path(e, "after", "rpm", NULL), "7");
    assert_json(js_path(e, "after", "budget", NULL), "{\"limit\":\"5\",\"period\":\"day\"}");
    assert_int_equal(js_path(e, "after", "hash", NULL).type, JS_NONE);
    assert_int_equal(number_of(e, "tenant"), 1);

    ask_ok(&w, "{\"cmd\":\"key.disable\",\"args\":{\"id\":1}}");
    e = entry("", 0);
    assert_true(js_bool(js_path(e, "after", "disabled", NULL), false));
    assert_false(js_bool(js_path(e, "before", "disabled", NULL), true));

    ask_ok(&w, "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\",\"amount\":\"2.5\","
               "\"reason\":\"gift\",\"ref\":\"r\"}}");
    e = entry("", 0);
    assert_json(js_get(e, STR("before")), "{\"deposited\":\"100\"}");
    assert_json(js_get(e, STR("after")), "{\"deposited\":\"102.5\",\"transfer\":2,\"amount\":\"2.5\","
                                         "\"reason\":\"gift\",\"ref\":\"r\"}");
    assert_json(js_path(e, "target", "name", NULL), "acme");
    assert_int_equal(number_of(world_audit(&w), "log_entries"), 4);
}

/* Units go from names, but where that name is another member's. */
static void
names_stay_apart(void **state)
{
    struct js_value after;

    (void)state;
    ask_ok(&w, "{\"cmd\":\"admin.add\",\"args\":{\"email\":\"a@b.org\"}}");
    after = js_get(entry("\"target\":\"person:1\"", 0), STR("after"));
    assert_json(js_get(after, STR("email")), "a@b.org");
    assert_int_equal(js_get(after, STR("created")).type, JS_STRING);
    assert_int_equal(js_get(after, STR("terms")).type, JS_NUMBER);
    assert_int_equal(js_get(after, STR("terms_us")).type, JS_NULL);
    assert_int_equal(js_get(after, STR("password")).type, JS_NONE);
    assert_int_equal(js_get(after, STR("password_us")).type, JS_NULL);
}

/* What is refused, and what changes nothing, is no entry. */
static void
nothing_done_is_no_entry(void **state)
{
    (void)state;
    assert_int_equal(count(""), 1);
    ask_refused(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"acme\"}}");
    ask_ok(&w, "{\"cmd\":\"tenant.enable\",\"args\":{\"tenant\":\"acme\"}}");
    ask_ok(&w, "{\"cmd\":\"tenant.list\"}");
    assert_int_equal(count(""), 1);
    assert_int_equal(number_of(world_audit(&w), "log_entries"), 1);
}

/* A member who left: the keys that went with them are found by themselves. */
static void
also_is_found(void **state)
{
    (void)state;
    ask_ok(&w, "{\"cmd\":\"member.add\",\"args\":{\"tenant\":\"acme\",\"email\":\"a@b.c\"}}");
    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"member\":\"a@b.c\"}}");
    ask_ok(&w, "{\"cmd\":\"member.remove\",\"args\":{\"tenant\":\"acme\",\"email\":\"a@b.c\"}}");
    assert_int_equal(count("\"target\":\"key:1\""), 2);
    assert_json(js_get(entry("\"target\":\"key:1\"", 0), STR("action")), "member.remove");
    assert_json(js_get(entry("\"target\":\"key:1\"", 0), STR("also")), "[{\"kind\":\"key\",\"id\":1}]");
    assert_int_equal(count("\"target\":\"member:1\""), 2);
    assert_int_equal(count("\"target\":\"key:2\""), 0);
    world_audit(&w);
}

static void
found_by_all(void **state)
{
    char since[40], args[256];
    struct buf text;
    struct jw jw;

    (void)state;
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"other\"},"
               "\"actor\":{\"kind\":\"key\",\"id\":3}}");
    w.wall_us += INT64_C(3600000000);
    buf_init(&text, sizeof(since));
    jw_init(&jw, &text);
    jw_time(&jw, w.wall_us);
    snprintf(since, sizeof(since), "%.*s", STR_ARGS(buf_str(&text)));
    buf_free(&text);
    for (int i = 0; i < 5; i++)
        ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"other\"},"
                   "\"actor\":{\"kind\":\"person\",\"id\":3}}");
    assert_int_equal(count(""), 7);
    assert_int_equal(count("\"tenant\":\"acme\""), 1);
    assert_int_equal(count("\"tenant\":\"other\""), 6);
    assert_int_equal(count("\"actor\":\"person:3\""), 5);
    assert_int_equal(count("\"actor\":\"key:3\""), 1);
    assert_int_equal(count("\"actor\":\"person:4\""), 0);
    assert_int_equal(count("\"action\":\"key.add\""), 5);
    assert_int_equal(count("\"action\":\"key\""), 0);
    assert_int_equal(count("\"action\":\"key.add\",\"tenant\":\"acme\""), 0);
    assert_int_equal(count("\"action\":\"tenant.add\",\"actor\":\"key:3\",\"target\":\"tenant:2\""), 1);
    snprintf(args, sizeof(args), "\"since\":%s", since);
    assert_int_equal(count(args), 5);
    snprintf(args, sizeof(args), "\"until\":%s", since);
    assert_int_equal(count(args), 2);
    snprintf(args, sizeof(args), "\"until\":%s,\"tenant\":\"other\"", since);
    assert_int_equal(count(args), 1);
    assert_int_equal(number_of(entry("\"oldest_first\":true", 0), "seq"), 1);
    assert_int_equal(number_of(entry("", 0), "seq"), 7);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"log.list\",\"args\":{\"actor\":\"bird:1\"}}"), 2);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"log.list\",\"args\":{\"target\":\"key\"}}"), 2);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"log.list\",\"args\":{\"cursor\":\"x\"}}"), 2);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"log.list\",\"args\":{\"limit\":1001}}"), 2);
}

/* Every entry once, in order, whatever a page holds. */
static void
read_all(const char *filter, unsigned limit, unsigned expected, bool oldest_first)
{
    char cursor[64] = "", request[512];
    int64_t last = oldest_first ? 0 : INT64_MAX;
    unsigned seen = 0;

    do {
        struct js_value result, none, value;
        struct js_iter it;

        snprintf(request, sizeof(request), "{\"cmd\":\"log.list\",\"args\":{%s\"limit\":%u%s%s%s}}",
                 filter, limit, oldest_first ? ",\"oldest_first\":true" : "",
                 cursor[0] != '\0' ? ",\"cursor\":" : "", cursor);
        result = ask_ok(&w, request);
        for (js_iter_init(&it, js_get(result, STR("entries"))); js_next(&it, &none, &value);) {
            int64_t seq = number_of(value, "seq");

            assert_true(oldest_first ? seq > last : seq < last);
            last = seq;
            seen++;
        }
        value = js_get(result, STR("next"));
        snprintf(cursor, sizeof(cursor), "%s%.*s%s", value.type == JS_STRING ? "\"" : "",
                 value.type == JS_STRING ? (int)value.raw.len : 0, value.raw.ptr,
                 value.type == JS_STRING ? "\"" : "");
    } while (cursor[0] != '\0');
    assert_int_equal(seen, expected);
}

static void
paged(void **state)
{
    static const unsigned limits[] = {1, 2, 3, 10, 11, 12, 1000};

    (void)state;
    for (int i = 0; i < 10; i++)
        ask_ok(&w, i % 2 == 0 ? "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\"}}"
                              : "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\","
                                "\"amount\":\"1\"}}");
    for (unsigned i = 0; i < COUNT_OF(limits); i++) {
        read_all("", limits[i], 11, false);
        read_all("", limits[i], 11, true);
        read_all("\"action\":\"key.add\",", limits[i], 5, false);
        read_all("\"tenant\":\"acme\",\"action\":\"key.add\",", limits[i], 5, true);
        read_all("\"tenant\":\"acme\",\"action\":\"key.add\",", limits[i], 5, false);
    }
}

/* The clock goes back: the log's time does not, and what is asked by time is still all of it. */
static void
time_never_falls(void **state)
{
    struct js_value e;
    char first[64];

    (void)state;
    e = entry("", 0);
    snprintf(first, sizeof(first), "%.*s", STR_ARGS(js_get(e, STR("time")).raw));
    w.wall_us -= INT64_C(86400000000);
    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\"}}");
    e = entry("", 0);
    assert_true(str_eq(js_get(e, STR("time")).raw, str_from(first)));
}

/* ---- secrets ---- */

static void
secrets_stay_out(void **state)
{
    static const char text[] = "{\"name\":\"n\",\"password\":\"p\",\"deep\":[{\"secret\":\"s\","
                               "\"id\":1}],\"key\":5,\"key_hash\":\"h\",\"token\":{\"a\":1},"
                               "\"code\":true}";
    struct js_value value;
    struct js_error err;
    struct buf out;
    struct jw jw;

    (void)state;
    assert_true(js_check(STR(text), &value, &err));
    buf_init(&out, 4096);
    jw_init(&jw, &out);
    audit_write_plain(&jw, value);
    assert_true(str_eq(buf_str(&out), STR("{\"name\":\"n\",\"deep\":[{\"id\":1}],\"key\":5,"
                                          "\"code\":true}")));
    buf_free(&out);
}

/* Nesting that no command wants is cut, not followed. */
static void
nesting_is_cut(void **state)
{
    char text[256] = "";
    struct js_value value;
    struct js_error err;
    struct buf out;
    struct jw jw;

    (void)state;
    for (int i = 0; i < 60; i++)
        strcat(text, "[");
    for (int i = 0; i < 60; i++)
        strcat(text, "]");
    assert_true(js_check(str_from(text), &value, &err));
    buf_init(&out, 4096);
    jw_init(&jw, &out);
    audit_write_plain(&jw, value);
    assert_true(str_eq(buf_str(&out), STR("[[[[[[[[[[[[\"…\"]]]]]]]]]]]]")));
    buf_free(&out);
}

/* ---- tampering ---- */

static void
put_entry(uint64_t seq, struct str bytes)
{
    struct db_key key = db_key_of_u64(seq);
    struct db_txn txn;

    assert_int_equal(db_write(w.ledger->db, &txn), 0);
    if (bytes.len == 0)
        assert_int_equal(db_delete(&txn, DB_AUDIT, &key), 0);
    else
        assert_int_equal(db_put(&txn, DB_AUDIT, &key, bytes), 0);
    assert_int_equal(db_commit(&txn), 0);
}

/* A copy, to be freed. */
static struct str
get_entry(uint64_t seq)
{
    struct db_key key = db_key_of_u64(seq);
    struct db_txn txn;
    struct str value;
    char *copy;

    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    assert_int_equal(db_get(&txn, DB_AUDIT, &key, &value), 0);
    copy = test_malloc(value.len);
    memcpy(copy, value.ptr, value.len);
    db_end(&txn);
    return (struct str){copy, value.len};
}

static bool
faulty(const char *what, uint64_t id)
{
    struct js_value result = ask_ok(&w, "{\"cmd\":\"audit\"}"), none, fault;
    struct js_iter it;

    assert_false(js_bool(js_get(result, STR("ok")), true));
    for (js_iter_init(&it, js_get(result, STR("faults"))); js_next(&it, &none, &fault);)
        if (js_str_eq(js_get(fault, STR("what")), str_from(what)) &&
            (uint64_t)number_of(fault, "id") == id)
            return true;
    print_error("%.*s\n", STR_ARGS(buf_str(&w.answer)));
    return false;
}

static void
tampering_is_found(void **state)
{
    struct str entry_2, changed;
    struct db_key key;
    struct db_txn txn;
    char *bytes;

    (void)state;
    for (int i = 0; i < 3; i++)
        ask_ok(&w, "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\",\"amount\":\"1\"}}");
    world_audit(&w);
    entry_2 = get_entry(2);

    /* Changed: one byte of what was said. */
    bytes = test_malloc(entry_2.len);
    memcpy(bytes, entry_2.ptr, entry_2.len);
    changed = (struct str){bytes, entry_2.len};
    *(char *)memmem(bytes, entry_2.len, "acme", 4) = 'b';
    put_entry(2, changed);
    assert_true(faulty("chain of the audit log", 2));
    put_entry(2, entry_2);
    world_audit(&w);

    /* Dropped: in the middle, and the last. */
    put_entry(2, STR_NONE);
    assert_true(faulty("gap in the audit log", 2));
    put_entry(2, entry_2);
    changed = get_entry(4);
    put_entry(4, STR_NONE);
    assert_true(faulty("end of the audit log", 4));
    put_entry(4, changed);
    world_audit(&w);

    /* Inserted: at the end, and one that says another number. */
    put_entry(5, changed);
    assert_true(faulty("form of the audit log", 5));
    put_entry(5, STR_NONE);
    put_entry(3, entry_2);
    assert_true(faulty("form of the audit log", 3));
    test_free((void *)(uintptr_t)changed.ptr);

    /* An entry that its index has lost would never be shown. */
    world_close(&w);
    setup(NULL);
    audit_key_tenant(&key, 1);
    db_key_u64(&key, 1);
    assert_int_equal(db_write(w.ledger->db, &txn), 0);
    assert_int_equal(db_delete(&txn, DB_AUDIT_INDEX, &key), 0);
    assert_int_equal(db_commit(&txn), 0);
    assert_true(faulty("index of the audit log", 1));
    test_free(bytes);
    test_free((void *)(uintptr_t)entry_2.ptr);
}

/* ---- the same again ---- */

#define GRANT(idem, more)                                                                          \
    "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\",\"amount\":\"5\"" more "},\"idem\":\"" \
    idem "\"}"

static int64_t
deposited(void)
{
    return money_of(ask_ok(&w, "{\"cmd\":\"credit.show\",\"args\":{\"tenant\":\"acme\"}}"),
                    "deposited");
}

static bool
said(const char *name, const char *text)
{
    struct js_value answer;
    struct js_error err;

    assert_true(js_check(buf_str(&w.answer), &answer, &err));
    return js_str_eq(js_get(answer, str_from(name)), str_from(text));
}

static void
done_once(void **state)
{
    struct js_value result;

    (void)state;
    result = ask_ok(&w, GRANT("one", ""));
    assert_int_equal(js_get(result, STR("repeated")).type, JS_NONE);
    assert_int_equal(number_of(result, "transfer"), 2);
    result = ask_ok(&w, GRANT("one", ""));
    assert_true(js_bool(js_get(result, STR("repeated")), false));
    assert_int_equal(number_of(result, "transfer"), 2);
    assert_int_equal(deposited(), CREDITS(105));
    assert_int_equal(count("\"action\":\"credit.grant\""), 1);

    /* Something else by the same name. */
    assert_int_equal(ask_refused(&w, GRANT("one", ",\"reason\":\"x\"")), 1);
    assert_true(said("code", "idempotency_mismatch"));
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"credit.deduct\",\"args\":{\"tenant\":\"acme\","
                                     "\"amount\":\"5\"},\"idem\":\"one\"}"),
                     1);
    assert_true(said("code", "idempotency_mismatch"));
    assert_int_equal(deposited(), CREDITS(105));

    /* Another's name is another name. */
    result = ask_ok(&w, "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\",\"amount\":\"5\"},"
                        "\"idem\":\"one\",\"actor\":{\"kind\":\"person\",\"id\":1}}");
    assert_int_equal(js_get(result, STR("repeated")).type, JS_NONE);
    assert_int_equal(deposited(), CREDITS(110));

    /* After a start it is known, too; a day later it is not. */
    world_restart(&w);
    assert_true(js_bool(js_get(ask_ok(&w, GRANT("one", "")), STR("repeated")), false));
    w.wall_us += IDEM_LIFE_US + 1000;
    assert_int_equal(js_get(ask_ok(&w, GRANT("one", "")), STR("repeated")).type, JS_NONE);
    assert_int_equal(deposited(), CREDITS(115));
}

/* What was refused may be asked again; what changed nothing is not done later. */
static void
refused_and_unchanged(void **state)
{
    static const char enable[] = "{\"cmd\":\"tenant.enable\",\"args\":{\"tenant\":\"acme\"},"
                                 "\"idem\":\"e\"}";
    static const char add[] = "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"late\"},\"idem\":\"k\"}";
    struct js_value result;

    (void)state;
    ask_ok(&w, enable);
    ask_ok(&w, "{\"cmd\":\"tenant.disable\",\"args\":{\"tenant\":\"acme\"}}");
    result = ask_ok(&w, enable);
    assert_true(js_bool(js_get(result, STR("repeated")), false));
    assert_true(js_bool(js_get(ask_ok(&w, "{\"cmd\":\"tenant.show\",\"args\":{\"tenant\":\"acme\"}}"),
                               STR("disabled")),
                        false));
    ask_refused(&w, add);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"late\"}}");
    assert_int_equal(js_get(ask_ok(&w, add), STR("repeated")).type, JS_NONE);
}

/* A key's text is seen once, whatever is asked again, and is not in the store. */
static void
secrets_are_not_repeated(void **state)
{
    static const char add[] = "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\"},\"idem\":\"k\"}";
    struct js_value result = ask_ok(&w, add);

    (void)state;
    assert_int_equal(js_get(result, STR("key")).raw.len, 46);
    result = ask_ok(&w, add);
    assert_int_equal(js_get(result, STR("key")).type, JS_NONE);
    assert_int_equal(number_of(result, "id"), 1);
}

/* idem_of in place of the arguments: a hash that is another each time. */
static void
idem_of(void **state)
{
    struct js_value result;

    (void)state;
    ask_ok(&w, "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\",\"amount\":\"1\"},"
               "\"idem\":\"i\",\"idem_of\":\"d1\"}");
    result = ask_ok(&w, "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\",\"amount\":\"2\"},"
                        "\"idem\":\"i\",\"idem_of\":\"d1\"}");
    assert_true(js_bool(js_get(result, STR("repeated")), false));
    assert_int_equal(money_of(result, "amount"), CREDITS(1));
    ask_refused(&w, "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\",\"amount\":\"1\"},"
                    "\"idem\":\"i\",\"idem_of\":\"d2\"}");
    assert_true(said("code", "idempotency_mismatch"));
    assert_int_equal(deposited(), CREDITS(101));
}

static uint64_t
kept(void)
{
    struct db_txn txn;
    uint64_t entries;

    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    entries = db_size(&txn, DB_IDEM).entries;
    db_end(&txn);
    return entries;
}

/* Old ones go, a few at a time. */
static void
old_ones_are_dropped(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        char request[256];

        snprintf(request, sizeof(request),
                 "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\",\"amount\":\"1\"},"
                 "\"idem\":\"n%d\"}",
                 i);
        ask_ok(&w, request);
    }
    assert_int_equal(kept(), 40);
    w.wall_us += IDEM_LIFE_US + 1000;
    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\"}}");
    assert_int_equal(kept(), 40 - 2 * IDEM_DROP_MAX);
    ask_ok(&w, GRANT("n0", ""));
    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\"}}");
    assert_int_equal(kept(), 2);
}

static void
bad_actors(void **state)
{
    static const char *const bad[] = {
        "{\"cmd\":\"tenant.list\",\"actor\":5}",
        "{\"cmd\":\"tenant.list\",\"actor\":{}}",
        "{\"cmd\":\"tenant.list\",\"actor\":{\"kind\":\"bird\"}}",
        "{\"cmd\":\"tenant.list\",\"actor\":{\"kind\":\"person\",\"id\":-1}}",
        "{\"cmd\":\"tenant.list\",\"actor\":{\"kind\":\"person\",\"id\":\"7\"}}",
        "{\"cmd\":\"tenant.list\",\"actor\":{\"kind\":\"person\",\"name\":5}}",
        "{\"cmd\":\"tenant.list\",\"idem\":5}",
        "{\"cmd\":\"tenant.list\",\"idem\":\"ttttttttttttttttttttttttttttttttttttttttttttttttttttttt"
        "ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt\"}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(ask_refused(&w, bad[i]), 2);
}

static void
codes_and_fields(void **state)
{
    (void)state;
    ask_refused(&w, "{\"cmd\":\"tenant.add\"}");
    assert_true(said("code", "required") && said("field", "name"));
    ask_refused(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"acme\"}}");
    assert_true(said("code", "taken") && said("field", "name"));
    ask_refused(&w, "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\",\"amount\":\"x\"}}");
    assert_true(said("code", "invalid") && said("field", "amount"));
    ask_refused(&w, "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"nobody\",\"amount\":\"1\"}}");
    assert_true(said("code", "not_found") && said("field", "tenant"));
    ask_refused(&w, "{\"cmd\":\"nothing\"}");
    assert_true(said("code", "unknown_command"));
    ask_refused(&w, "{\"cmd\":\"kept.find\",\"args\":{}}");
    assert_true(said("code", "invalid") || said("code", "required"));
}

/*
 * The ledger dies at its n-th step, for every n, between a command and its answer. Asked again by its
 * name it is done once: whichever of the two it was that did it.
 */
static void
killed_between(void **state)
{
    bool died = true, repeated_once = false, done_later = false;

    (void)state;
    for (long n = 0; died; n++) {
        struct js_value result;
        int rc;

        world_close(&w);
        setup(NULL);
        w.steps_left = n;
        rc = world_ask(&w, GRANT("crash", ""), &result);
        died = rc == DIED;
        w.steps_left = -1;
        if (!died) {
            assert_int_equal(rc, 0);
            break;
        }
        world_restart(&w);
        result = ask_ok(&w, GRANT("crash", ""));
        if (js_bool(js_get(result, STR("repeated")), false))
            repeated_once = true;
        else
            done_later = true;
        assert_int_equal(number_of(result, "transfer"), 2);
        assert_int_equal(deposited(), CREDITS(105));
        assert_int_equal(count("\"action\":\"credit.grant\""), 1);
        world_audit(&w);
    }
    assert_true(repeated_once); /* it died after its commit */
    assert_true(done_later);    /* and before */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(entries_say_all),  TEST(nothing_done_is_no_entry), TEST(names_stay_apart), TEST(also_is_found),
        TEST(found_by_all),     TEST(paged),                    TEST(time_never_falls),
        TEST(secrets_stay_out), TEST(nesting_is_cut),           TEST(tampering_is_found),
        TEST(done_once),        TEST(refused_and_unchanged),    TEST(secrets_are_not_repeated),
        TEST(idem_of),          TEST(old_ones_are_dropped),     TEST(bad_actors),
        TEST(codes_and_fields), TEST(killed_between),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
