/* Keys, projects, members and tenants that change: what the region has of it, and what lists show. */
#include "test/unit/ledger_world.h"

#include "ledger/entity.h"
#include "ledger/outline.h"

#include <stdarg.h>

static struct world w;

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"acme\",\"credit\":\"100\"}}");
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"other\"}}");
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

static const char *
request(const char *fmt, ...)
{
    static char text[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return text;
}

static const char *
text_of(struct js_value result, const char *name)
{
    static char text[256], scratch[256];

    str_copy(js_unescape(js_get(result, str_from(name)), scratch, sizeof(scratch)), text,
             sizeof(text));
    return text;
}

/* The slot that a secret works with now, 0 for none. */
static uint32_t
works(const char *secret)
{
    uint8_t hash[HASH_LEN];

    hash_keyed(w.workers->header->key_hash_key, secret, strlen(secret), hash);
    return key_meant(w.workers, key_find(w.workers, hash), w.wall_us);
}

static void
new_key(const char *args, char secret[64])
{
    str_copy(js_get(ask_ok(&w, request("{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\"%s}}", args)),
                    STR("key")).raw,
             secret, 64);
}

static void
rotate(const char *args, char secret[64])
{
    str_copy(js_get(ask_ok(&w, request("{\"cmd\":\"key.rotate\",\"args\":{\"id\":1%s}}", args)),
                    STR("key")).raw,
             secret, 64);
}

/* The last refusal's code. */
static const char *
refused_code(const char *text)
{
    struct js_value answer;
    struct js_error err;

    assert_int_not_equal(ask_refused(&w, text), 0);
    assert_true(js_check(buf_str(&w.answer), &answer, &err));
    return text_of(answer, "code");
}

/* ---- keys ---- */

static void
key_is_changed(void **state)
{
    char secret[64];
    struct key_slot *slot;
    struct js_value result;

    (void)state;
    new_key(",\"rpm\":5,\"models\":[\"gpt-*\"],\"expires\":\"30d\"", secret);
    result = ask_ok(&w, "{\"cmd\":\"key.set\",\"args\":{\"id\":1,\"tenant\":1,\"name\":\"ci\",\"tpm\":7,"
                        "\"expires\":null,\"scopes\":[\"usage\",\"manage\"],\"budget\":\"3/day\","
                        "\"allow_ip\":[\"10.0.0.0/8\"]}}");
    assert_string_equal(text_of(result, "name"), "ci");
    slot = key_at(w.workers, works(secret));
    assert_int_equal(slot->rpm, 5); /* what was not said stays */
    assert_int_equal(slot->tpm, 7);
    assert_int_equal(slot->expires_wall_us, 0);
    assert_true(slot->flags & KEY_NO_CALLS);
    assert_int_equal(budget_at(w.workers, slot->budget_idx[0])->limit_ucr, 3000000);
    assert_int_equal(key_extra_at(w.workers, slot->extra_idx)->model_count, 1);
    assert_int_equal(key_extra_at(w.workers, slot->extra_idx)->cidr_count, 1);
    ask_ok(&w, "{\"cmd\":\"key.set\",\"args\":{\"id\":1,\"budget\":\"none\",\"any_ip\":true,\"models\":[]}}");
    assert_int_equal(slot->budget_idx[0], 0);
    assert_int_equal(slot->extra_idx, 0);

    assert_string_equal(refused_code("{\"cmd\":\"key.set\",\"args\":{\"id\":1}}"), "nothing_to_set");
    /* Another tenant's is as if there was none. */
    assert_string_equal(refused_code("{\"cmd\":\"key.set\",\"args\":{\"id\":1,\"tenant\":2,\"rpm\":1}}"),
                        "not_found");
    assert_string_equal(refused_code("{\"cmd\":\"key.show\",\"args\":{\"id\":1,\"only_member\":4}}"),
                        "not_found");
    assert_string_equal(refused_code("{\"cmd\":\"key.set\",\"args\":{\"id\":1,\"scopes\":[\"all\"]}}"),
                        "invalid");
    assert_int_equal(slot->rpm, 5);
}

static void
key_is_deleted(void **state)
{
    char secret[64], other[64];

    (void)state;
    new_key("", secret);
    new_key("", other);
    ask_ok(&w, "{\"cmd\":\"key.delete\",\"args\":{\"id\":1,\"tenant\":1}}");
    assert_int_equal(works(secret), 0);
    assert_int_not_equal(works(other), 0);
    assert_string_equal(refused_code("{\"cmd\":\"key.show\",\"args\":{\"id\":1}}"), "not_found");
    assert_string_equal(refused_code("{\"cmd\":\"key.rotate\",\"args\":{\"id\":1}}"), "not_found");
    assert_string_equal(refused_code("{\"cmd\":\"key.enable\",\"args\":{\"id\":1}}"), "not_found");
    world_power_cut(&w);
    world_start(&w);
    assert_int_equal(works(secret), 0);
    assert_int_not_equal(works(other), 0);
}

/* The ledger process died before memory was told: the start tells it. */
static void
deleted_in_the_store_alone(void **state)
{
    char secret[64];
    struct entity_key key;
    struct db_txn txn;

    (void)state;
    new_key("", secret);
    assert_int_equal(db_write(w.ledger->db, &txn), 0);
    assert_int_equal(entity_key_get(&txn, 1, &key), 0);
    key.deleted_us = w.wall_us;
    assert_int_equal(entity_key_put(&txn, &key), 0);
    assert_int_equal(db_commit(&txn), 0);
    assert_int_not_equal(works(secret), 0);
    world_restart(&w);
    assert_int_equal(works(secret), 0);
}

static void
replaced_secret_is_good_for_a_while(void **state)
{
    char first[64], second[64], third[64];
    struct js_value shown;
    uint32_t idx;

    (void)state;
    new_key(",\"rpm\":9", first);
    rotate(",\"overlap\":\"24h\"", second);
    idx = works(second);
    assert_int_not_equal(idx, 0);
    assert_int_equal(works(first), idx); /* one key, whatever is shown */
    assert_int_equal(key_at(w.workers, idx)->rpm, 9);
    shown = ask_ok(&w, "{\"cmd\":\"key.show\",\"args\":{\"id\":1}}");
    assert_memory_equal(text_of(shown, "replaced_hint") + strlen("sk-…"), first + 42, 5);

    /* A change of the key is one for both; so is the end of all memory. */
    ask_ok(&w, "{\"cmd\":\"key.set\",\"args\":{\"id\":1,\"rpm\":4}}");
    assert_int_equal(key_at(w.workers, works(first))->rpm, 4);
    world_restart(&w);
    assert_int_equal(works(first), works(second));
    world_power_cut(&w);
    world_start(&w);
    idx = works(second);
    assert_int_not_equal(idx, 0);
    assert_int_equal(works(first), idx);

    /* Another rotation ends the oldest. */
    rotate(",\"overlap\":\"1h\"", third);
    assert_int_equal(works(first), 0);
    assert_int_equal(works(second), works(third));
    assert_int_not_equal(works(third), 0);

    assert_int_not_equal(id_map_get(&w.ledger->key_old_of_id, 1), 0);
    w.wall_us += INT64_C(3600) * 1000000;
    assert_int_equal(works(second), 0);
    assert_int_not_equal(works(third), 0);
    assert_int_equal(audit_sample(w.ledger), 0);
    assert_int_equal(id_map_get(&w.ledger->key_old_of_id, 1), 0); /* its slot is free again */
    world_restart(&w);
    assert_int_equal(works(second), 0);
    assert_int_not_equal(works(third), 0);

    rotate("", second);
    assert_int_equal(works(third), 0);
    assert_int_not_equal(works(second), 0);
    ask_ok(&w, "{\"cmd\":\"key.delete\",\"args\":{\"id\":1}}");
    assert_int_equal(works(second), 0);
    assert_string_equal(refused_code("{\"cmd\":\"key.rotate\",\"args\":{\"id\":1,\"overlap\":\"31d\"}}"),
                        "not_found");
    new_key("", first);
    assert_string_equal(refused_code("{\"cmd\":\"key.rotate\",\"args\":{\"id\":2,\"overlap\":\"31d\"}}"),
                        "invalid");
}

/* Death at every step of a rotation: at the end exactly what the store says works. */
static void
rotation_dies_anywhere(void **state)
{
    char first[64];
    int step = 0;
    bool died = true;

    (void)state;
    new_key("", first);
    for (; died && step < 200; step++) {
        struct js_value result;
        struct entity_key key;
        struct db_txn txn;
        uint32_t idx;

        w.steps_left = step;
        died = world_ask(&w, "{\"cmd\":\"key.rotate\",\"args\":{\"id\":1,\"overlap\":\"24h\"}}",
                         &result) == DIED;
        w.steps_left = -1;
        if (died)
            world_restart(&w);
        assert_int_equal(db_read(w.ledger->db, &txn), 0);
        assert_int_equal(entity_key_get(&txn, 1, &key), 0);
        db_end(&txn);
        idx = key_meant(w.workers, key_find(w.workers, key.hash), w.wall_us);
        assert_int_not_equal(idx, 0);
        assert_int_equal(key_find(w.workers, key.hash), idx);
        if (key.old_until_us != 0)
            assert_int_equal(key_meant(w.workers, key_find(w.workers, key.old_hash), w.wall_us), idx);
    }
    assert_false(died);
    assert_in_range(step, 5, 199);
}

static void
key_is_found_by_its_text(void **state)
{
    char secret[64];
    struct js_value found;

    (void)state;
    ask_ok(&w, "{\"cmd\":\"member.add\",\"args\":{\"tenant\":\"acme\",\"email\":\"a@b.c\",\"role\":\"admin\"}}");
    new_key(",\"member\":\"a@b.c\",\"scopes\":[\"manage\"],\"allow_ip\":[\"192.0.2.0/24\"]", secret);
    found = ask_ok(&w, request("{\"cmd\":\"key.find\",\"args\":{\"key\":\"%s\",\"ip\":\"192.0.2.9\"}}", secret));
    assert_string_equal(text_of(js_get(found, STR("tenant")), "state"), "active");
    assert_string_equal(text_of(js_get(found, STR("member")), "role"), "admin");
    assert_int_equal(ask_refused(&w, request("{\"cmd\":\"key.find\",\"args\":{\"key\":\"%s\",\"ip\":\"192.0.3.9\"}}", secret)), 77);
    assert_int_equal(ask_refused(&w, request("{\"cmd\":\"key.find\",\"args\":{\"key\":\"%s\",\"ip\":\"x\"}}", secret)), 77);
    ask_ok(&w, "{\"cmd\":\"key.disable\",\"args\":{\"id\":1}}");
    assert_string_equal(refused_code(request("{\"cmd\":\"key.find\",\"args\":{\"key\":\"%s\",\"ip\":\"192.0.2.9\"}}", secret)), "not_found");
    assert_string_equal(refused_code("{\"cmd\":\"key.find\",\"args\":{\"key\":\"sk-none\"}}"), "not_found");
}

static void
last_use_is_kept(void **state)
{
    char secret[64];
    uint32_t slot;
    int64_t at_us;

    (void)state;
    new_key("", secret);
    assert_true(js_is(js_get(ask_ok(&w, "{\"cmd\":\"key.show\",\"args\":{\"id\":1}}"), STR("last_used")),
                      JS_NULL));
    assert_int_equal(world_take(&w, 0, 1, 1000, &slot), HOLD_OK);
    hold_record(&w.table[0], slot)->key_id = 1;
    at_us = hold_record(&w.table[0], slot)->start_wall_us;
    world_settle(&w, 0, slot, 10);
    assert_int_equal(world_commit(&w), 0);
    for (int i = 0; i < 2; i++) {
        char text[320], expected[320];
        struct buf doc;
        struct jw jw;

        buf_init(&doc, 128);
        jw_init(&jw, &doc);
        jw_object(&jw);
        jw_key_time(&jw, "last_used", at_us);
        jw_object_end(&jw);
        str_copy(buf_str(&doc), expected, sizeof(expected));
        snprintf(text, sizeof(text), "{\"last_used\":\"%s\"}",
                 text_of(ask_ok(&w, "{\"cmd\":\"key.show\",\"args\":{\"id\":1}}"), "last_used"));
        assert_string_equal(text, expected);
        buf_free(&doc);
        world_restart(&w);
    }
}

/* ---- lists ---- */

/* The ids of all pages, in order, as "1,2,|3,4,|". */
static const char *
pages(const char *cmd, const char *array, const char *args)
{
    static char out[2048];
    char after[256] = "";
    size_t len = 0;

    for (int i = 0; i < 100; i++) {
        struct js_value result = ask_ok(
            &w, request("{\"cmd\":\"%s\",\"args\":{\"limit\":2%s%s%s%s}}", cmd, args,
                        after[0] != '\0' ? ",\"after\":\"" : "", after, after[0] != '\0' ? "\"" : ""));
        struct js_value key, value;
        struct js_iter it;

        for (js_iter_init(&it, js_get(result, str_from(array))); js_next(&it, &key, &value);) {
            int64_t id = 0;

            assert_true(js_i64(js_get(value, STR("id")), &id));
            len += (size_t)snprintf(out + len, sizeof(out) - len, "%lld,", (long long)id);
        }
        len += (size_t)snprintf(out + len, sizeof(out) - len, "|");
        if (js_is(js_get(result, STR("next")), JS_NULL))
            return out;
        str_copy(str_from(text_of(result, "next")), after, sizeof(after));
    }
    fail();
    return "";
}

static void
lists_come_by_pages(void **state)
{
    char secret[64], by_hint[64];

    (void)state;
    ask_ok(&w, "{\"cmd\":\"member.add\",\"args\":{\"tenant\":\"acme\",\"email\":\"Ann@b.c\"}}");
    ask_ok(&w, "{\"cmd\":\"project.add\",\"args\":{\"tenant\":\"acme\",\"name\":\"web\"}}");
    new_key(",\"name\":\"Build of web\"", secret);
    new_key(",\"name\":\"build two\",\"member\":\"Ann@b.c\"", secret);
    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"other\",\"name\":\"build\"}}");
    new_key(",\"name\":\"web build build\",\"project\":\"web\",\"member\":1", secret);
    new_key(",\"name\":\"测试钥匙\",\"project\":1", secret);
    ask_ok(&w, "{\"cmd\":\"key.disable\",\"args\":{\"id\":2}}");

    assert_string_equal(pages("key.list", "keys", ",\"tenant\":\"acme\""), "1,2,|4,5,|");
    assert_string_equal(pages("key.list", "keys", ",\"tenant\":\"other\""), "3,|");
    assert_string_equal(pages("key.list", "keys", ",\"tenant\":1,\"member\":\"Ann@b.c\""), "2,4,|");
    assert_string_equal(pages("key.list", "keys", ",\"tenant\":1,\"only_member\":1"), "2,4,|");
    assert_string_equal(pages("key.list", "keys", ",\"tenant\":1,\"project\":\"web\""), "4,5,|");
    assert_string_equal(pages("key.list", "keys", ",\"tenant\":1,\"state\":\"disabled\""), "2,|");
    /* By words: "build", "build build", "build of web", "build two"; each key once. */
    assert_string_equal(pages("key.list", "keys", ",\"tenant\":1,\"q\":\"BUILD\""), "4,1,|2,|");
    assert_string_equal(pages("key.list", "keys", ",\"tenant\":1,\"q\":\"build b\""), "4,|");
    assert_string_equal(pages("key.list", "keys", ",\"tenant\":1,\"q\":\"uild\""), "|");
    assert_string_equal(pages("key.list", "keys", ",\"tenant\":1,\"q\":\"钥匙\""), "5,|");
    assert_string_equal(pages("key.list", "keys", ",\"tenant\":1,\"q\":\"build\",\"state\":\"active\""),
                        "4,1,||"); /* there was more to look at */
    snprintf(by_hint, sizeof(by_hint), ",\"tenant\":1,\"q\":\"%.4s\"", secret + 42);
    assert_string_equal(pages("key.list", "keys", by_hint), "5,|");
    assert_string_equal(pages("tenant.list", "tenants", ""), "1,2,|");
    assert_string_equal(pages("tenant.list", "tenants", ",\"q\":\"oth\""), "2,|");
    assert_string_equal(pages("member.list", "members", ",\"tenant\":1,\"q\":\"ann\""), "1,|");
    assert_string_equal(pages("project.list", "projects", ",\"tenant\":1,\"q\":\"w\""), "1,|");
    assert_string_equal(refused_code("{\"cmd\":\"key.list\",\"args\":{\"tenant\":1,\"limit\":1001}}"), "invalid");
    assert_string_equal(refused_code("{\"cmd\":\"key.list\",\"args\":{\"tenant\":1,\"limit\":0}}"), "invalid");
    assert_string_equal(refused_code("{\"cmd\":\"key.list\",\"args\":{\"tenant\":1,\"after\":\"x\"}}"), "invalid");
    assert_string_equal(refused_code("{\"cmd\":\"key.list\",\"args\":{\"tenant\":1,\"q\":\"b\",\"after\":\"4\"}}"), "invalid");
}

static uint64_t
entries(enum db_table table)
{
    struct db_txn txn;
    uint64_t count;

    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    count = db_size(&txn, table).entries;
    db_end(&txn);
    return count;
}

/* A program that does not keep what is derived wrote last: it is made anew, and is the same. */
static void
derived_anew(void **state)
{
    char secret[64];
    struct db_txn txn;
    uint64_t outlines, searches;

    (void)state;
    new_key(",\"name\":\"build\",\"models\":[\"gpt-*\"]", secret);
    new_key(",\"name\":\"two\"", secret);
    ask_ok(&w, "{\"cmd\":\"key.set\",\"args\":{\"id\":1,\"name\":\"other\"}}");
    ask_ok(&w, "{\"cmd\":\"key.delete\",\"args\":{\"id\":2}}");
    outlines = entries(DB_OUTLINE);
    searches = entries(DB_SEARCH);
    assert_int_equal(outlines, 1);
    assert_int_equal(searches, 4); /* acme, other; the key's name and its last four */
    assert_int_equal(db_write(w.ledger->db, &txn), 0);
    w.ledger->tail.seq++;
    assert_int_equal(db_meta_put(&txn, "tail", (struct str){(const char *)&w.ledger->tail,
                                                            sizeof(w.ledger->tail)}), 0);
    assert_int_equal(db_empty(&txn, DB_OUTLINE), 0);
    assert_int_equal(db_commit(&txn), 0);
    world_restart(&w);
    assert_int_equal(entries(DB_OUTLINE), outlines);
    assert_int_equal(entries(DB_SEARCH), searches);
    assert_string_equal(pages("key.list", "keys", ",\"tenant\":1,\"q\":\"other\""), "1,|");
}

/* ---- members, projects, tenants ---- */

static int64_t
budget_of(struct js_value result)
{
    int64_t ucr = -1;
    struct js_value limit = js_path(result, "budget", "limit", NULL);

    if (js_is(limit, JS_STRING))
        assert_true(ucr_parse(limit.raw, &ucr));
    return ucr;
}

static void
allocation_is_raised_and_taken_back(void **state)
{
    char secret[64];
    struct key_slot *slot;

    (void)state;
    ask_ok(&w, "{\"cmd\":\"member.add\",\"args\":{\"tenant\":\"acme\",\"email\":\"a@b.c\"}}");
    new_key(",\"member\":\"a@b.c\"", secret);
    slot = key_at(w.workers, works(secret));
    assert_string_equal(refused_code("{\"cmd\":\"member.limits\",\"args\":{\"tenant\":1,\"member\":1,\"raise\":\"1\"}}"), "no_budget");
    assert_int_equal(budget_of(ask_ok(&w, "{\"cmd\":\"member.limits\",\"args\":{\"tenant\":1,\"member\":\"a@b.c\",\"budget\":\"10/month\",\"rpm\":3}}")), 10000000);
    assert_int_equal(budget_at(w.workers, slot->budget_idx[1])->limit_ucr, 10000000);
    assert_int_equal(quota_at(w.workers, slot->quota_idx[0])->rpm, 3);
    assert_int_equal(budget_of(ask_ok(&w, "{\"cmd\":\"member.limits\",\"args\":{\"tenant\":1,\"member\":1,\"raise\":\"2.5\"}}")), 12500000);
    assert_int_equal(budget_of(ask_ok(&w, "{\"cmd\":\"member.limits\",\"args\":{\"tenant\":1,\"member\":1,\"lower\":\"0.5\"}}")), 12000000);
    assert_int_equal(budget_at(w.workers, slot->budget_idx[1])->limit_ucr, 12000000);
    assert_int_equal(budget_of(ask_ok(&w, "{\"cmd\":\"member.limits\",\"args\":{\"tenant\":1,\"member\":1,\"lower\":\"99\"}}")), 0);
    assert_int_equal(budget_at(w.workers, slot->budget_idx[1])->limit_ucr, 0);
    assert_int_equal(budget_of(ask_ok(&w, "{\"cmd\":\"member.limits\",\"args\":{\"tenant\":1,\"member\":1,\"budget\":\"none\"}}")), -1);
    assert_int_equal(slot->budget_idx[1], 0);
    assert_string_equal(refused_code("{\"cmd\":\"member.limits\",\"args\":{\"tenant\":2,\"member\":1,\"rpm\":1}}"), "not_found");
    assert_string_equal(refused_code("{\"cmd\":\"member.limits\",\"args\":{\"tenant\":1,\"member\":1,\"budget\":\"1\",\"raise\":\"1\"}}"), "invalid");
}

static void
project_is_changed_and_deleted(void **state)
{
    char secret[64];

    (void)state;
    ask_ok(&w, "{\"cmd\":\"project.add\",\"args\":{\"tenant\":1,\"name\":\"web\",\"labels\":[\"team=a\"],\"rpm\":2}}");
    ask_ok(&w, "{\"cmd\":\"project.add\",\"args\":{\"tenant\":1,\"name\":\"ios\"}}");
    new_key(",\"project\":\"web\"", secret);
    assert_string_equal(refused_code("{\"cmd\":\"project.set\",\"args\":{\"tenant\":1,\"project\":\"web\",\"name\":\"ios\"}}"), "taken");
    ask_ok(&w, "{\"cmd\":\"project.set\",\"args\":{\"tenant\":1,\"project\":\"web\",\"name\":\"site\",\"budget\":\"5\",\"models\":[\"gpt-*\"]}}");
    assert_int_equal(budget_at(w.workers, key_at(w.workers, works(secret))->budget_idx[2])->limit_ucr, 5000000);
    assert_string_equal(pages("project.list", "projects", ",\"tenant\":1,\"label\":\"team=a\""), "1,|");
    assert_string_equal(pages("project.list", "projects", ",\"tenant\":1,\"q\":\"web\""), "|");
    assert_string_equal(refused_code("{\"cmd\":\"project.delete\",\"args\":{\"tenant\":1,\"project\":1}}"), "in_use");
    assert_string_equal(refused_code("{\"cmd\":\"project.delete\",\"args\":{\"tenant\":2,\"project\":1}}"), "not_found");
    ask_ok(&w, "{\"cmd\":\"key.set\",\"args\":{\"id\":1,\"project\":\"ios\"}}");
    assert_int_equal(key_at(w.workers, works(secret))->project_id, 2);
    ask_ok(&w, "{\"cmd\":\"project.delete\",\"args\":{\"tenant\":1,\"project\":\"site\"}}");
    assert_string_equal(pages("project.list", "projects", ",\"tenant\":1"), "2,|");
    ask_ok(&w, "{\"cmd\":\"project.add\",\"args\":{\"tenant\":1,\"name\":\"site\"}}"); /* free again */
    world_power_cut(&w);
    world_start(&w);
    assert_int_equal(key_at(w.workers, works(secret))->project_id, 2);
}

static void
tenant_is_changed(void **state)
{
    struct js_value result;

    (void)state;
    result = ask_ok(&w, "{\"cmd\":\"tenant.set\",\"args\":{\"tenant\":1,\"name\":\"Acme Ltd\",\"zone\":\"UTC\","
                        "\"contact\":\"Ann\",\"contact_email\":\"ann@b.c\",\"rpm\":50,\"budget\":\"9/day\"}}");
    assert_string_equal(text_of(result, "zone"), "UTC");
    assert_string_equal(text_of(result, "contact_email"), "ann@b.c");
    assert_int_equal(budget_of(result), 9000000);
    assert_string_equal(pages("tenant.list", "tenants", ",\"q\":\"ltd\""), "1,|");
    assert_string_equal(pages("tenant.list", "tenants", ",\"q\":\"ann\""), "1,|");
    ask_ok(&w, "{\"cmd\":\"tenant.disable\",\"args\":{\"tenant\":2}}");
    assert_string_equal(pages("tenant.list", "tenants", ",\"state\":\"disabled\""), "2,|");
    assert_string_equal(refused_code("{\"cmd\":\"tenant.set\",\"args\":{\"tenant\":1,\"name\":\"other\"}}"), "taken");
    assert_string_equal(refused_code("{\"cmd\":\"tenant.set\",\"args\":{\"tenant\":1,\"zone\":\"Mars/Base\"}}"), "invalid");
    assert_string_equal(refused_code("{\"cmd\":\"tenant.set\",\"args\":{\"tenant\":1,\"contact_email\":\"x\"}}"), "invalid");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* The world has room for 64 lists. Who comes after is told before anything is stored, who wants none is served, and
 * one that goes leaves its room. */
static void
lists_beyond_the_room(void **state)
{
    static const char listed[] = "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"models\":[\"a-*\"]}}";
    uint32_t last;

    (void)state;
    for (unsigned i = 0; i < 64; i++)
        ask_ok(&w, listed);
    assert_int_equal(w.workers->header->key_extra_count, 64);
    last = w.ledger->tail.key_last;
    assert_int_equal(ask_refused(&w, listed), COMMAND_FAILED);
    assert_int_equal(w.ledger->tail.key_last, last);
    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\"}}");
    assert_int_equal(w.ledger->tail.key_last, last + 1);
    ask_ok(&w, request("{\"cmd\":\"key.disable\",\"args\":{\"id\":%u}}", last + 1));
    assert_int_equal(ask_refused(&w, request("{\"cmd\":\"key.set\",\"args\":{\"id\":%u,\"models\":[\"b\"]}}",
                                             last + 1)), COMMAND_FAILED);
    world_restart(&w);
    for (uint32_t i = 1; i <= 64; i++)
        assert_int_equal(key_extra_at(w.workers, key_at(w.workers, i)->extra_idx)->model_count, 1);
    ask_ok(&w, request("{\"cmd\":\"key.delete\",\"args\":{\"id\":%u}}", last));
    ask_ok(&w, listed);
    assert_int_equal(w.workers->header->key_extra_count, 64);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(key_is_changed),
        TEST(key_is_deleted),
        TEST(deleted_in_the_store_alone),
        TEST(replaced_secret_is_good_for_a_while),
        TEST(rotation_dies_anywhere),
        TEST(key_is_found_by_its_text),
        TEST(last_use_is_kept),
        TEST(lists_come_by_pages),
        TEST(derived_anew),
        TEST(allocation_is_raised_and_taken_back),
        TEST(project_is_changed_and_deleted),
        TEST(tenant_is_changed),
        TEST(lists_beyond_the_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
