/* Whose files and batches are: what is recorded, found, adopted and dropped; that each command can be
 * asked again; and that a death at any step leaves it done or not. */
#include "test/unit/ledger_world.h"

#include <lmdb.h>

#include "ledger/kept.h"

static struct world w;

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"acme\",\"credit\":\"100\"}}");
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"other\",\"credit\":\"100\"}}");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    w.steps_left = -1;
    world_restart(&w);
    world_audit(&w);
    world_close(&w);
    return 0;
}

#define OWNER(tenant, call)                                                                        \
    "\"tenant\":" tenant ",\"key\":7,\"project\":3,\"upstream\":\"up\",\"credential\":\"c\","       \
    "\"call\":\"" call "\""
#define ADD(tenant, call, id, more)                                                                \
    "{\"cmd\":\"kept.add\",\"args\":{" OWNER(tenant, call) ",\"id\":\"" id "\"" more "}}"
#define LINES                                                                                      \
    ",\"purpose\":\"batch\",\"bytes\":99,\"lines\":12,\"model\":\"m/1\",\"endpoint\":"             \
    "\"/v1/responses\""
#define FIND(tenant, kind, id)                                                                     \
    "{\"cmd\":\"kept.find\",\"args\":{\"tenant\":" tenant ",\"kind\":\"" kind "\",\"id\":\"" id    \
    "\"}}"
#define DROP(tenant, id)                                                                           \
    "{\"cmd\":\"kept.drop\",\"args\":{\"tenant\":" tenant ",\"upstream\":\"up\",\"id\":\"" id "\"}}"
#define BATCHES(tenant, list)                                                                      \
    "{\"cmd\":\"kept.batches\",\"args\":{" OWNER(tenant, "call_b") ",\"batches\":[" list "]}}"
#define OWN(tenant, list)                                                                          \
    "{\"cmd\":\"kept.own\",\"args\":{" OWNER(tenant, "") ",\"ids\":[" list "]}}"

static void
check_text(struct js_value record, const char *name, const char *want)
{
    struct js_value value = js_get(record, str_from(name));

    if (want == NULL)
        assert_int_equal(value.type, JS_NULL);
    else
        assert_str(value.raw, want);
}

/* It is not there, and will not come. */
static void
check_absent(const char *request)
{
    struct js_value answer;
    struct js_error err;

    assert_int_equal(ask_refused(&w, request), 1);
    assert_true(js_check(buf_str(&w.answer), &answer, &err));
    assert_true(js_bool(js_get(answer, STR("absent")), false));
}

static void
check_own(const char *request, const char *want)
{
    assert_str(js_get(ask_ok(&w, request), STR("own")).raw, want);
}

static void
files(void **state)
{
    struct js_value record;

    (void)state;
    check_absent(FIND("1", "file", "f-1"));
    ask_ok(&w, ADD("1", "call_a", "f-1", LINES));
    record = ask_ok(&w, FIND("1", "file", "f-1"));
    assert_int_equal(number_of(record, "tenant"), 1);
    assert_int_equal(number_of(record, "key"), 7);
    assert_int_equal(number_of(record, "project"), 3);
    assert_int_equal(number_of(record, "lines"), 12);
    assert_int_equal(number_of(record, "bytes"), 99);
    check_text(record, "upstream", "up");
    check_text(record, "credential", "c");
    check_text(record, "call", "call_a");
    check_text(record, "purpose", "batch");
    check_text(record, "model", "m/1");
    check_text(record, "endpoint", "/v1/responses");
    check_text(record, "output", NULL);
    /* Another's, of another kind, or of an ID that this one begins with: not there. */
    check_absent(FIND("2", "file", "f-1"));
    check_absent(FIND("1", "batch", "f-1"));
    check_absent(FIND("1", "file", "f-"));
    check_absent(FIND("1", "file", "f-11"));
    check_own(OWN("1", "\"f-1\",\"f-2\",\"\",5,null,\"f-1\""), "[true,false,false,false,false,true]");
    check_own(OWN("2", "\"f-1\""), "[false]");
    /* Again by the same call it is the same; by another, or for another tenant, it is refused. */
    ask_ok(&w, ADD("1", "call_a", "f-1", LINES));
    assert_int_equal(ask_refused(&w, ADD("1", "call_z", "f-1", "")), 1);
    assert_int_equal(ask_refused(&w, ADD("2", "call_a", "f-1", "")), 1);
    world_restart(&w);
    record = ask_ok(&w, FIND("1", "file", "f-1"));
    assert_int_equal(number_of(record, "lines"), 12);
    /* Who does not own it drops nothing. */
    ask_ok(&w, DROP("2", "f-1"));
    ask_ok(&w, FIND("1", "file", "f-1"));
    ask_ok(&w, DROP("1", "f-1"));
    ask_ok(&w, DROP("1", "f-1"));
    check_absent(FIND("1", "file", "f-1"));
    ask_ok(&w, ADD("2", "call_c", "f-1", ""));
    ask_ok(&w, FIND("2", "file", "f-1"));
}

/* The same ID of two upstreams: each is its own record; who asks by the ID gets the newest of theirs. */
static void
two_upstreams(void **state)
{
    static const char second[] = "{\"cmd\":\"kept.add\",\"args\":{\"tenant\":1,\"upstream\":\"vp\","
                                 "\"call\":\"call_2\",\"id\":\"f-1\"}}";
    static const char third[] = "{\"cmd\":\"kept.add\",\"args\":{\"tenant\":2,\"upstream\":\"a\","
                                "\"call\":\"call_3\",\"id\":\"f-1\"}}";
    struct js_value record;

    (void)state;
    ask_ok(&w, ADD("1", "call_1", "f-1", ""));
    ask_ok(&w, second);
    ask_ok(&w, third);
    record = ask_ok(&w, FIND("1", "file", "f-1"));
    check_text(record, "upstream", "vp");
    check_text(record, "credential", NULL);
    check_text(ask_ok(&w, FIND("2", "file", "f-1")), "upstream", "a");
    check_own(OWN("1", "\"f-1\""), "[true]");
    check_own(OWN("2", "\"f-1\""), "[false]");
}

static void
batches(void **state)
{
    struct js_value record;

    (void)state;
    ask_ok(&w, ADD("1", "call_a", "f-1", LINES));
    ask_ok(&w, ADD("2", "call_b", "f-2", LINES));
    /* Made of a file of the tenant's, it is the tenant's. */
    check_own(BATCHES("1", "{\"id\":\"b-1\",\"input\":\"f-1\"}"), "[true]");
    record = ask_ok(&w, FIND("1", "batch", "b-1"));
    assert_int_equal(number_of(record, "lines"), 12);
    check_text(record, "model", "m/1");
    check_text(record, "input", "f-1");
    check_text(record, "output", NULL);
    check_absent(FIND("2", "batch", "b-1"));
    /* Not of another's, of none, of one that is not there; nor what is somebody's already. */
    check_own(BATCHES("2", "{\"id\":\"b-2\",\"input\":\"f-1\"},{\"id\":\"b-1\",\"input\":\"f-2\"},"
                           "{\"id\":\"b-3\"},{\"id\":\"b-3\",\"input\":\"f-9\"},{\"input\":\"f-2\"},"
                           "5,{\"id\":\"b-4\",\"input\":\"f-2\"}"),
              "[false,false,false,false,false,false,true]");
    check_absent(FIND("2", "batch", "b-2"));
    check_text(ask_ok(&w, FIND("1", "batch", "b-1")), "input", "f-1");
    /* What it names is the tenant's from then on, and what it named before stays. */
    check_own(BATCHES("1", "{\"id\":\"b-1\",\"output\":\"o-1\"}"), "[true]");
    check_own(BATCHES("1", "{\"id\":\"b-1\",\"errors\":\"e-1\"}"), "[true]");
    check_own(BATCHES("1", "{\"id\":\"b-1\"}"), "[true]");
    record = ask_ok(&w, FIND("1", "batch", "b-1"));
    check_text(record, "output", "o-1");
    check_text(record, "errors", "e-1");
    record = ask_ok(&w, FIND("1", "file", "o-1"));
    check_text(record, "purpose", "batch_output");
    check_text(record, "upstream", "up");
    check_text(record, "credential", "c");
    assert_int_equal(number_of(record, "lines"), 0);
    ask_ok(&w, FIND("1", "file", "e-1"));
    check_absent(FIND("2", "file", "o-1"));
    /* Another's file stays that, whatever a batch says. */
    check_own(BATCHES("1", "{\"id\":\"b-1\",\"output\":\"f-2\"}"), "[true]");
    check_absent(FIND("1", "file", "f-2"));
    ask_ok(&w, FIND("2", "file", "f-2"));
}

/* What changes nothing is no commit. */
static void
nothing_new(void **state)
{
    uint64_t seq;

    (void)state;
    ask_ok(&w, ADD("1", "call_a", "f-1", LINES));
    check_own(BATCHES("1", "{\"id\":\"b-1\",\"input\":\"f-1\",\"output\":\"o-1\"}"), "[true]");
    seq = w.ledger->tail.seq;
    check_own(BATCHES("1", "{\"id\":\"b-1\",\"input\":\"f-1\",\"output\":\"o-1\"},{\"id\":\"b-2\"}"),
              "[true,false]");
    ask_ok(&w, ADD("1", "call_a", "f-1", LINES));
    ask_ok(&w, DROP("1", "f-9"));
    check_absent(FIND("1", "file", "f-9"));
    assert_int_equal(w.ledger->tail.seq, seq);
}

static void
bad_requests(void **state)
{
    static const char *const rows[] = {
        "{\"cmd\":\"kept.add\",\"args\":{}}",
        "{\"cmd\":\"kept.add\",\"args\":{\"tenant\":1,\"upstream\":\"u\"}}",
        "{\"cmd\":\"kept.add\",\"args\":{\"tenant\":1,\"upstream\":\"\",\"id\":\"f\"}}",
        "{\"cmd\":\"kept.add\",\"args\":{\"tenant\":1,\"upstream\":\"u\",\"id\":\"a b\"}}",
        "{\"cmd\":\"kept.add\",\"args\":{\"tenant\":1,\"upstream\":\"u\",\"id\":\"\\\"\"}}",
        "{\"cmd\":\"kept.add\",\"args\":{\"tenant\":1,\"upstream\":\"u\",\"id\":\"\xc3\xa4\"}}",
        "{\"cmd\":\"kept.add\",\"args\":{\"tenant\":1,\"upstream\":\"u\",\"id\":\"f\",\"lines\":-1}}",
        "{\"cmd\":\"kept.add\",\"args\":{\"tenant\":0,\"upstream\":\"u\",\"id\":\"f\"}}",
        "{\"cmd\":\"kept.find\",\"args\":{\"tenant\":1,\"id\":\"f\"}}",
        "{\"cmd\":\"kept.find\",\"args\":{\"tenant\":1,\"id\":\"f\",\"kind\":\"x\"}}",
        "{\"cmd\":\"kept.own\",\"args\":{\"tenant\":1,\"upstream\":\"u\"}}",
        "{\"cmd\":\"kept.batches\",\"args\":{\"tenant\":1,\"upstream\":\"u\",\"batches\":{}}}",
        "{\"cmd\":\"kept.drop\",\"args\":{\"tenant\":1,\"id\":\"f\"}}",
        "{\"cmd\":\"kept.list\",\"args\":{}}",
    };
    char long_id[400];
    int n;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(ask_refused(&w, rows[i]), 2);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"kept.list\",\"args\":{\"tenant\":\"none\"}}"), 1);
    n = snprintf(long_id, sizeof(long_id), "{\"cmd\":\"kept.find\",\"args\":{\"tenant\":1,\"kind\":"
                                           "\"file\",\"id\":\"%0257d\"}}", 1);
    assert_true(n > 0);
    assert_int_equal(ask_refused(&w, long_id), 2);
}

static void
listed(void **state)
{
    struct js_value result;

    (void)state;
    ask_ok(&w, ADD("1", "call_a", "f-1", LINES));
    ask_ok(&w, ADD("2", "call_b", "f-2", ""));
    check_own(BATCHES("1", "{\"id\":\"b-1\",\"input\":\"f-1\"}"), "[true]");
    result = ask_ok(&w, "{\"cmd\":\"kept.list\",\"args\":{\"tenant\":\"acme\"}}");
    assert_false(js_bool(js_get(result, STR("more")), true));
    assert_true(str_contains(result.raw, STR("\"id\":\"f-1\"")));
    assert_true(str_contains(result.raw, STR("\"id\":\"b-1\"")));
    assert_false(str_contains(result.raw, STR("f-2")));
}

/* The ledger process dies at its n-th step, for each n: what was answered is there, what was not
 * answered is there whole or not at all, and asked again it is. */
static void
deaths(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        struct js_value result;
        bool died = false;
        int rc;

        ask_ok(&w, DROP("1", "f-1"));
        w.steps_left = n;
        rc = world_ask(&w, ADD("1", "call_a", "f-1", LINES), &result);
        if (rc == DIED) {
            died = true;
            world_kill_ledger(&w);
            w.steps_left = -1;
            world_start(&w);
            if (world_ask(&w, FIND("1", "file", "f-1"), &result) == 0 && result.type == JS_OBJECT)
                assert_int_equal(number_of(result, "lines"), 12);
            ask_ok(&w, ADD("1", "call_a", "f-1", LINES));
        } else {
            assert_int_equal(rc, 0);
            w.steps_left = -1;
        }
        assert_int_equal(number_of(ask_ok(&w, FIND("1", "file", "f-1")), "lines"), 12);
        world_audit(&w);
        if (!died) {
            assert_true(n > 1);
            return;
        }
    }
}

/* A store that was made before there were such records has none, and gets its table. */
static void
older_store(void **state)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    (void)state;
    world_kill_ledger(&w);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
    assert_int_equal(mdb_env_set_mapsize(env, 64u << 20), 0);
    assert_int_equal(mdb_env_open(env, w.store_dir, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "kept", 0, &dbi), 0);
    assert_int_equal(mdb_drop(txn, dbi, 1), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    world_start(&w);
    world_audit(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.show\",\"args\":{\"tenant\":\"acme\"}}");
    ask_ok(&w, ADD("1", "call_a", "f-1", LINES));
    world_restart(&w);
    ask_ok(&w, FIND("1", "file", "f-1"));
}

/* A record that is none is a fault of the store, and never somebody's. */
static void
damaged(void **state)
{
    struct db_key key;
    struct db_txn txn;

    (void)state;
    ask_ok(&w, ADD("1", "call_a", "f-1", ""));
    db_key_start(&key);
    db_key_u8(&key, KEPT_FILE);
    assert_true(db_key_text(&key, STR("f-1")));
    db_key_u8(&key, 0);
    assert_true(db_key_text(&key, STR("up")));
    assert_int_equal(db_write(w.ledger->db, &txn), 0);
    assert_int_equal(db_put(&txn, DB_KEPT, &key, STR("{\"key\":1}")), 0);
    assert_int_equal(db_commit(&txn), 0);
    assert_int_equal(ask_refused(&w, FIND("1", "file", "f-1")), 1);
    assert_int_equal(ask_refused(&w, FIND("2", "file", "f-1")), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files, setup, teardown),
        cmocka_unit_test_setup_teardown(two_upstreams, setup, teardown),
        cmocka_unit_test_setup_teardown(batches, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_new, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(listed, setup, teardown),
        cmocka_unit_test_setup_teardown(deaths, setup, teardown),
        cmocka_unit_test_setup_teardown(older_store, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
