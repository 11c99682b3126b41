/* Commands: what they accept, refuse and answer; what reaches the region. */
#include "test/unit/ledger_world.h"

#include "shm/call_id.h"

#include "base/hash.h"
#include "conf/conf.h"

static struct world w;

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"acme\",\"credit\":\"100.5\"}}");
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

static int64_t
available(uint32_t tenant_id)
{
    return account_available_ucr(account_at(w.workers, world_account(&w, tenant_id)));
}

/* A member of the last answer. */
static struct js_value
answered(const char *name)
{
    struct js_value answer;
    struct js_error err;

    assert_true(js_check(buf_str(&w.answer), &answer, &err));
    return js_get(answer, str_from(name));
}

static const char *
said(const char *name)
{
    static char text[512], scratch[512];

    str_copy(js_unescape(answered(name), scratch, sizeof(scratch)), text, sizeof(text));
    return text;
}

/* Whether the last refusal says that there is no such thing. */
static bool
said_absent(void)
{
    return js_bool(answered("absent"), false);
}

static void
bad_requests(void **state)
{
    static const char *const usage[] = {
        "",
        "[]",
        "{",
        "{\"cmd\":5}",
        "{\"cmd\":\"nothing\"}",
        "{\"cmd\":\"tenant.add\",\"args\":[]}",
        "{\"cmd\":\"tenant.add\"}",
        "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"\"}}",
        "{\"cmd\":\"tenant.add\",\"args\":{\"name\":7}}",
        "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"123\"}}",
        "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\\nb\"}}",
        "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\\u0000b\"}}",
        "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\" a\"}}",
        "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"b\",\"credit\":\"x\"}}",
        "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"b\",\"credit\":\"-1\"}}",
        "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"b\",\"credit\":\"0.0000001\"}}",
        "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"b\",\"credit\":5}}",
        "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"b\",\"budget\":\"5/year\"}}",
        "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\"}}",
        "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\",\"amount\":\"0\"}}",
        "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\",\"amount\":\"1\",\"ref\":\"\"}}",
        "{\"cmd\":\"credit.deduct\",\"args\":{\"tenant\":\"acme\",\"amount\":\"1\",\"ref\":\"\"}}",
        "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\",\"amount\":\"99999999999999\"}}",
        "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"rpm\":-1}}",
        "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"rpm\":\"10\"}}",
        "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"allow_ip\":[\"10.0.0.0/33\"]}}",
        "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"channels\":[5]}}",
        "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"channels\":5}}",
        "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"channels\":{}}}",
        "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"channels\":[\"\"]}}",
        "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"channels\":\"\"}}",
        "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"channels\":\"a,,b\"}}",
        "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"models\":[\"a\",\"\"]}}",
        "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"models\":\" \"}}",
        "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"allow_ip\":[\"\"]}}",
        "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"expires\":\"1999-01-01\"}}",
        "{\"cmd\":\"member.add\",\"args\":{\"tenant\":\"acme\",\"email\":\"nobody\"}}",
        "{\"cmd\":\"member.add\",\"args\":{\"tenant\":\"acme\",\"email\":\"a@b\",\"role\":\"x\"}}",
        "{\"cmd\":\"usage\",\"args\":{\"by\":\"moon\"}}",
        "{\"cmd\":\"usage\",\"args\":{\"since\":\"yesterday\"}}",
        "{\"cmd\":\"usage\",\"args\":{\"since\":\"2026-11-22\",\"until\":\"2026-11-21\"}}",
        "{\"cmd\":\"call.show\",\"args\":{\"id\":\"call_1\"}}",
        "{\"cmd\":\"call.show\",\"args\":{\"id\":\"call_zzzzzzzzzzzzzzzzzzzzzzzzzz\"}}",
    };
    static const char *const failed[] = {
        "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"acme\"}}",
        "{\"cmd\":\"tenant.show\",\"args\":{\"tenant\":\"nobody\"}}",
        "{\"cmd\":\"tenant.show\",\"args\":{\"tenant\":\"99\"}}",
        "{\"cmd\":\"key.show\",\"args\":{\"id\":5}}",
        "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"member\":\"a@b\"}}",
        "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"project\":\"p\"}}",
        "{\"cmd\":\"member.remove\",\"args\":{\"tenant\":\"acme\",\"email\":\"a@b\"}}",
        "{\"cmd\":\"call.show\",\"args\":{\"id\":\"call_00000000000000000000000000\"}}",
    };
    uint64_t seq = w.ledger->tail.seq;

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(usage); i++)
        assert_int_equal(ask_refused(&w, usage[i]), 2);
    for (unsigned i = 0; i < COUNT_OF(failed); i++)
        assert_int_equal(ask_refused(&w, failed[i]), 1);
    assert_int_equal(w.ledger->tail.seq, seq); /* nothing of it was written */
    assert_int_equal(available(1), 100500000);
}

static void
tenants_by_name_and_id(void **state)
{
    (void)state;
    assert_int_equal(number_of(ask_ok(&w, "{\"cmd\":\"tenant.show\",\"args\":{\"tenant\":\"1\"}}"),
                               "id"), 1);
    assert_int_equal(number_of(ask_ok(&w, "{\"cmd\":\"tenant.show\",\"args\":{\"tenant\":1}}"),
                               "id"), 1);
    ask_ok(&w, "{\"cmd\":\"tenant.disable\",\"args\":{\"tenant\":\"acme\"}}");
    assert_true(account_at(w.workers, world_account(&w, 1))->flags & ACCOUNT_DISABLED);
    ask_ok(&w, "{\"cmd\":\"tenant.enable\",\"args\":{\"tenant\":\"acme\"}}");
    assert_false(account_at(w.workers, world_account(&w, 1))->flags & ACCOUNT_DISABLED);
}

static void
same_ref_once(void **state)
{
    static const char grant[] = "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\","
                                "\"amount\":\"2.25\",\"ref\":\"inv-1\",\"reason\":\"paid\"}}";
    struct js_value result;

    (void)state;
    result = ask_ok(&w, grant);
    assert_true(js_bool(js_get(result, STR("applied")), false));
    assert_int_equal(money_of(result, "available"), 102750000);
    for (int i = 0; i < 3; i++) {
        result = ask_ok(&w, grant);
        assert_false(js_bool(js_get(result, STR("applied")), true));
        world_restart(&w);
    }
    assert_int_equal(available(1), 102750000);
    /* A ref names one movement: other amounts, kinds and tenants are mistakes. */
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"other\"}}");
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\","
                                     "\"amount\":\"3\",\"ref\":\"inv-1\"}}"), 1);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"credit.deduct\",\"args\":{\"tenant\":\"acme\","
                                     "\"amount\":\"2.25\",\"ref\":\"inv-1\"}}"), 1);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"other\","
                                     "\"amount\":\"2.25\",\"ref\":\"inv-1\"}}"), 1);
    assert_int_equal(available(2), 0);
}

static void
deduct_below_zero(void **state)
{
    struct js_value result;
    uint32_t slot;

    (void)state;
    result = ask_ok(&w, "{\"cmd\":\"credit.deduct\",\"args\":{\"tenant\":\"acme\","
                        "\"amount\":\"101\"}}");
    assert_int_equal(money_of(result, "available"), -500000);
    assert_int_equal(world_take(&w, 0, 1, 1, &slot), HOLD_NO_CREDIT);
    ask_ok(&w, "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\",\"amount\":\"0.500001\"}}");
    assert_int_equal(world_take(&w, 0, 1, 1, &slot), HOLD_OK);
    world_settle(&w, 0, slot, 1);
    assert_int_equal(world_commit(&w), 0);
    result = ask_ok(&w, "{\"cmd\":\"credit.show\",\"args\":{\"tenant\":\"acme\"}}");
    assert_int_equal(money_of(result, "deposited"), 1);
    assert_int_equal(money_of(result, "spent"), 1);
    assert_int_equal(money_of(result, "available"), 0);
    assert_int_equal(money_of(result, "held"), 0);
}

/* So much that no account can hold it: refused, and nothing wraps. */
static void
more_than_fits(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            ask_refused(&w, "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\","
                            "\"amount\":\"2305843009213.5\"}}"), 1 + (i < 0));
    ask_ok(&w, "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\","
               "\"amount\":\"2305843009000\"}}");
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"acme\","
                                     "\"amount\":\"2305843009000\"}}"), 1);
    for (int i = 0; i < 2; i++)
        ask_ok(&w, "{\"cmd\":\"credit.deduct\",\"args\":{\"tenant\":\"acme\","
                   "\"amount\":\"2305843009000\"}}");
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"credit.deduct\",\"args\":{\"tenant\":\"acme\","
                                     "\"amount\":\"2305843009000\"}}"), 1);
}

static uint32_t
key_of(struct js_value result)
{
    struct js_value key = js_get(result, STR("key"));
    uint8_t hash[HASH_LEN];

    assert_int_equal(key.type, JS_STRING);
    assert_true(key.raw.len == 46 && str_starts_with(key.raw, STR("sk-")));
    hash_keyed(w.workers->header->key_hash_key, key.raw.ptr, key.raw.len, hash);
    return key_find(w.workers, hash);
}

static void
keys_reach_the_region(void **state)
{
    struct key_slot *slot;
    struct js_value result;
    const struct key_extra *extra;
    uint32_t idx;

    (void)state;
    ask_ok(&w, "{\"cmd\":\"member.add\",\"args\":{\"tenant\":\"acme\",\"email\":\"a@b.c\","
               "\"budget\":\"3/week\"}}");
    ask_ok(&w, "{\"cmd\":\"project.add\",\"args\":{\"tenant\":\"acme\",\"name\":\"p\","
               "\"budget\":\"4/month\"}}");
    result = ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"name\":\"k\","
                        "\"member\":\"a@b.c\",\"project\":\"p\",\"channels\":[\"x\",\"y\"],"
                        "\"models\":[\"gpt-*\",\"claude-?\"],\"allow_ip\":[\"10.0.0.0/8\"],"
                        "\"rpm\":5,\"tpm\":6,\"concurrency\":7,\"budget\":\"2/day\","
                        "\"expires\":\"2099-01-01\"}}");
    idx = key_of(result);
    assert_int_not_equal(idx, 0);
    slot = key_at(w.workers, idx);
    assert_int_equal(slot->tenant_id, 1);
    assert_int_equal(slot->rpm, 5);
    assert_int_equal(slot->tpm, 6);
    assert_int_equal(slot->concurrency, 7);
    assert_int_equal(budget_at(w.workers, slot->budget_idx[0])->limit_ucr, CREDITS(2));
    assert_int_equal(budget_at(w.workers, slot->budget_idx[1])->limit_ucr, CREDITS(3));
    assert_int_equal(budget_at(w.workers, slot->budget_idx[2])->limit_ucr, CREDITS(4));
    assert_int_equal(budget_at(w.workers, slot->budget_idx[2])->period, BUDGET_MONTH);
    assert_str(name_text(w.workers, slot->channel[1]), "y");
    extra = key_extra_at(w.workers, slot->extra_idx);
    assert_true(key_model_allowed(extra, STR("gpt-4")));
    assert_true(key_model_allowed(extra, STR("claude-x")));
    assert_false(key_model_allowed(extra, STR("claude-xy")));
    assert_true(slot->expires_wall_us > w.wall_us);
    assert_false(slot->flags & KEY_DISABLED);

    ask_ok(&w, "{\"cmd\":\"key.disable\",\"args\":{\"id\":1}}");
    assert_true(slot->flags & KEY_DISABLED);
    ask_ok(&w, "{\"cmd\":\"key.enable\",\"args\":{\"id\":\"1\"}}");
    assert_false(slot->flags & KEY_DISABLED);
    ask_ok(&w, "{\"cmd\":\"member.remove\",\"args\":{\"tenant\":\"acme\",\"email\":\"a@b.c\"}}");
    assert_true(slot->flags & KEY_DISABLED);
    ask_ok(&w, "{\"cmd\":\"member.add\",\"args\":{\"tenant\":\"acme\",\"email\":\"a@b.c\"}}");
}

static void
routing_of_keys(void **state)
{
    static const char text[] = "upstream \"u\" { protocol = {openai} url = \"https://u.test\" }\n"
                               "model \"m\" { input = 1 output = 1 }\n"
                               "channel \"c\" { use = {\"u\"} }\n"
                               "rule \"r\" { key = {\"k*\"} to-channel = c }\n";
    struct conf_faults faults;
    struct conf *conf = conf_load_text(STR(text), "test", &faults);
    const struct key_extra *extra;
    struct key_slot *slot;

    (void)state;
    conf_faults_free(&faults);
    assert_non_null(conf);
    ask_ok(&w, "{\"cmd\":\"project.add\",\"args\":{\"tenant\":\"acme\",\"name\":\"p\"}}");
    assert_int_equal(answered("result").type, JS_OBJECT);
    assert_true(js_is(js_get(answered("result"), STR("weights")), JS_NULL));
    slot = key_at(w.workers, key_of(ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\","
                                               "\"name\":\"k1\",\"project\":\"p\"}}")));
    assert_int_equal(slot->flags & (KEY_NO_DEARER | KEY_SIBLING), 0);
    assert_int_equal(slot->extra_idx, 0); /* nothing looks at its name */
    slot = key_at(w.workers,
                  key_of(ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\","
                                    "\"project\":\"p\",\"no_dearer\":true,\"sibling\":true}}")));
    assert_int_equal(slot->flags & (KEY_NO_DEARER | KEY_SIBLING), KEY_NO_DEARER | KEY_SIBLING);
    ask_ok(&w, "{\"cmd\":\"key.show\",\"args\":{\"id\":2}}");
    assert_true(js_bool(js_get(answered("result"), STR("no_dearer")), false));
    assert_true(js_bool(js_get(answered("result"), STR("sibling")), false));
    /* Weights reach all keys of the project; those not stated are 0, and then stay. */
    ask_ok(&w, "{\"cmd\":\"project.set\",\"args\":{\"tenant\":\"acme\",\"project\":\"p\","
               "\"latency\":\"0.25\",\"quality\":\"1\"}}");
    ask_ok(&w, "{\"cmd\":\"project.set\",\"args\":{\"tenant\":\"acme\",\"project\":\"1\","
               "\"quality\":\"0.000001\"}}");
    assert_str(js_get(js_get(answered("result"), STR("weights")), STR("quality")).raw, "0.000001");
    assert_str(js_get(js_get(answered("result"), STR("weights")), STR("cost")).raw, "0");
    for (uint32_t i = 1; i <= 2; i++) {
        extra = key_extra_at(w.workers, key_at(w.workers, i)->extra_idx);
        assert_non_null(extra);
        assert_int_equal(extra->has_weights, 1);
        assert_int_equal(extra->latency_u, 250000);
        assert_int_equal(extra->cost_u, 0);
        assert_int_equal(extra->quality_u, 1);
        assert_string_equal(extra->name, "");
        assert_true(key_model_allowed(extra, STR("any")));
    }
    ask_ok(&w, "{\"cmd\":\"project.set\",\"args\":{\"tenant\":\"acme\",\"project\":\"p\","
               "\"no_weights\":true}}");
    assert_int_equal(key_at(w.workers, 1)->extra_idx, 0);
    /* With a rule that looks at names they are told. */
    w.ledger->conf = conf;
    assert_int_equal(publish_names_for(w.ledger, conf), 0);
    ask_ok(&w, "{\"cmd\":\"project.set\",\"args\":{\"tenant\":\"acme\",\"project\":\"p\","
               "\"cost\":\"1\"}}");
    extra = key_extra_at(w.workers, key_at(w.workers, 1)->extra_idx);
    assert_string_equal(extra->name, "k1");
    assert_string_equal(extra->project, "p");
    w.ledger->conf = NULL;
    conf_free(&conf);
    /* After everything was made anew, the same. */
    world_power_cut(&w);
    world_start(&w);
    extra = key_extra_at(w.workers, key_at(w.workers, 2)->extra_idx);
    assert_int_equal(extra->cost_u, 1000000);
    assert_int_equal(extra->latency_u, 0);
    assert_true(key_at(w.workers, 2)->flags & KEY_SIBLING);
}

static void
refused_weights(void **state)
{
    static const char *const args[] = {
        "\"latency\":\"1.1\"", "\"cost\":\"-1\"",    "\"quality\":\"x\"",
        "\"cost\":\"0\"",      "\"cost\":\"0.0000001\"", "\"no_weights\":\"yes\"",
        "\"cost\":\"1\",\"no_weights\":true", "\"no_weights\":false"};
    char line[256];

    (void)state;
    ask_ok(&w, "{\"cmd\":\"project.add\",\"args\":{\"tenant\":\"acme\",\"name\":\"p\","
               "\"latency\":\"0.3\"}}");
    for (size_t i = 0; i < COUNT_OF(args); i++) {
        snprintf(line, sizeof(line),
                 "{\"cmd\":\"project.set\",\"args\":{\"tenant\":\"acme\",\"project\":\"p\",%s}}",
                 args[i]);
        if (i == 3) /* latency is 0.3: cost may be 0 */
            ask_ok(&w, line);
        else
            assert_int_equal(ask_refused(&w, line), 2);
    }
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"project.set\",\"args\":{\"tenant\":\"acme\","
                                     "\"project\":\"q\",\"cost\":\"1\"}}"),
                     1);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\","
                                     "\"sibling\":\"yes\"}}"),
                     2);
}

/* Where a server runs its channels are known: a key for another would be refused every call. */
static void
channels_of_a_key(void **state)
{
    static const char text[] =
        "upstream \"up\" { protocol = {openai} url = \"https://up.test/v1\" models = {\"*\"} }\n"
        "model \"m\" { input = 1 output = 1 }\n"
        "channel \"fast\" { multiplier = 1 use = {\"up\"} }\n"
        "channel \"spare\" { multiplier = 1 use = {\"up\"} }\n";
    static const char unknown[] = "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"channels\":[\"fast\",\"spaer\"]}}";
    static const char strange[] = "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"channels\":\"nowhere\"}}";
    struct conf_faults faults;
    struct conf *conf = conf_load_text(STR(text), "test", &faults);

    (void)state;
    conf_faults_free(&faults);
    assert_non_null(conf);
    ask_ok(&w, unknown); /* nobody can tell */
    w.ledger->conf = conf;
    assert_int_equal(ask_refused(&w, unknown), 1);
    assert_string_equal(said("why"), "there is no channel \"spaer\"");
    assert_string_equal(said("hint"), "did you mean \"spare\"? There are: fast, spare");
    assert_int_equal(ask_refused(&w, strange), 1);
    assert_string_equal(said("hint"), "there are: fast, spare");
    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"channels\":[\"spare\",\"fast\"]}}");
    w.ledger->conf = NULL;
    conf_free(&conf);
}

static void
rotated_key(void **state)
{
    char old_text[64];
    uint8_t hash[HASH_LEN];
    struct js_value result = ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\","
                                        "\"rpm\":9}}");
    uint32_t idx;

    (void)state;
    str_copy(js_get(result, STR("key")).raw, old_text, sizeof(old_text));
    idx = key_of(ask_ok(&w, "{\"cmd\":\"key.rotate\",\"args\":{\"id\":1}}"));
    assert_int_not_equal(idx, 0);
    assert_int_equal(key_at(w.workers, idx)->rpm, 9);
    assert_int_equal(key_at(w.workers, idx)->key_id, 1);
    hash_keyed(w.workers->header->key_hash_key, old_text, strlen(old_text), hash);
    assert_int_equal(key_find(w.workers, hash), 0);
    /* The same after everything was made anew. */
    world_power_cut(&w);
    world_start(&w);
    assert_int_equal(key_find(w.workers, hash), 0);
    assert_int_equal(w.workers->header->key_count, 1);
}

/* The secret is nowhere: neither in the answers to lists nor in the file. */
static void
secrets_are_not_kept(void **state)
{
    struct js_value result = ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\"}}");
    char text[64], path[128];
    char *file;
    size_t len;
    FILE *f;

    (void)state;
    str_copy(js_get(result, STR("key")).raw, text, sizeof(text));
    ask_ok(&w, "{\"cmd\":\"key.list\",\"args\":{\"tenant\":\"acme\"}}");
    assert_false(str_contains(buf_str(&w.answer), str_from(text)));
    snprintf(path, sizeof(path), "%s/data.mdb", w.store_dir);
    f = fopen(path, "r");
    assert_non_null(f);
    file = malloc(1 << 24);
    len = fread(file, 1, 1 << 24, f);
    fclose(f);
    assert_null(memmem(file, len, text, strlen(text)));
    assert_null(memmem(file, len, text + 3, 20));
    free(file);
}

static void
budget_windows(void **state)
{
    uint32_t slot;

    (void)state;
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"b\",\"credit\":\"100\","
               "\"budget\":\"10/day\"}}");
    assert_int_equal(world_take(&w, 0, 2, CREDITS(6), &slot), HOLD_OK);
    world_settle(&w, 0, slot, CREDITS(5));
    assert_int_equal(world_take(&w, 0, 2, CREDITS(5), &slot), HOLD_NO_BUDGET);
    assert_int_equal(world_commit(&w), 0);
    assert_int_equal(world_take(&w, 0, 2, CREDITS(5), &slot), HOLD_OK);
    w.wall_us += INT64_C(86400000000);
    /* A new day: yesterday's hold returns to yesterday. */
    world_settle(&w, 0, slot, 0);
    assert_int_equal(world_take(&w, 0, 2, CREDITS(10), &slot), HOLD_OK);
    assert_int_equal(world_commit(&w), 0);
    uint32_t other;

    assert_int_equal(world_take(&w, 0, 2, 1, &other), HOLD_NO_BUDGET);
    world_settle(&w, 0, slot, CREDITS(1));
    assert_int_equal(world_commit(&w), 0);
    world_power_cut(&w);
    world_start(&w);
    assert_int_equal(world_take(&w, 0, 2, CREDITS(10), &slot), HOLD_NO_BUDGET);
    assert_int_equal(world_take(&w, 0, 2, CREDITS(9), &slot), HOLD_OK);
    world_settle(&w, 0, slot, 0);
}

static void
receipt_of_a_call(void **state)
{
    uint32_t slot, extension;
    struct js_value result;
    char id[CALL_ID_LEN + 1], request[160], others[160];

    (void)state;
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"other\"}}");
    assert_int_equal(world_take(&w, 0, 1, CREDITS(2), &slot), HOLD_OK);
    call_id_text(hold_record(&w.table[0], slot)->call_id, id);
    /* A second slot of the same call. */
    assert_int_equal(world_take(&w, 0, 1, CREDITS(3), &extension), HOLD_OK);
    *hold_record(&w.table[0], extension) = *hold_record(&w.table[0], slot);
    hold_record(&w.table[0], extension)->flags |= RECORD_EXTENSION;
    hold_record(&w.table[0], slot)->flags |= RECORD_EXTENDED | RECORD_STREAM;
    str_copy(STR("gpt-a-2026\x1b"), hold_record(&w.table[0], slot)->model_reported,
             RECORD_MODEL_BYTES);
    snprintf(request, sizeof(request), "{\"cmd\":\"call.show\",\"args\":{\"id\":\"%s\"}}", id);
    assert_int_equal(ask_refused(&w, request), 75); /* it runs still: ask again */
    assert_false(said_absent());
    snprintf(others, sizeof(others),
             "{\"cmd\":\"call.show\",\"args\":{\"id\":\"%s\",\"tenant\":2}}", id);
    assert_int_equal(ask_refused(&w, others), 1); /* which is nobody else's business */
    assert_true(said_absent());
    world_settle(&w, 0, extension, CREDITS(1));
    assert_int_equal(world_commit(&w), 0);
    assert_int_equal(ask_refused(&w, request), 75);
    w.wall_us += 90000000;
    world_settle(&w, 0, slot, CREDITS(2));
    /* Not committed yet: the question sees to it. */
    result = ask_ok(&w, request);
    assert_int_equal(money_of(result, "charge"), CREDITS(3));
    assert_int_equal(money_of(result, "held"), CREDITS(5));
    assert_int_equal(number_of(result, "tenant"), 1);
    assert_true(js_str_eq(js_get(result, STR("upstream")), STR("up")));
    assert_true(js_str_eq(js_get(result, STR("outcome")), STR("ok")));
    assert_true(js_bool(js_get(result, STR("stream")), false));
    assert_int_equal(number_of(js_get(result, STR("tokens")), "input"), 100);
    assert_int_equal(ask_refused(&w, others), 1);
    assert_true(said_absent());
    snprintf(request, sizeof(request),
             "{\"cmd\":\"call.show\",\"args\":{\"id\":\"%s\",\"tenant\":1}}", id);
    ask_ok(&w, request);
    result = ask_ok(&w, "{\"cmd\":\"credit.show\",\"args\":{\"tenant\":1}}");
    assert_int_equal(number_of(result, "calls"), 1);
}

static void
usage_adds_up(void **state)
{
    static const char *const by[] = {"hour", "day", "model", "key"};
    int64_t spent = 0;
    uint32_t slot;

    (void)state;
    for (int i = 0; i < 200; i++) {
        int64_t charge = i * 7;

        assert_int_equal(world_take(&w, 0, 1, 5000, &slot), HOLD_OK);
        world_settle(&w, 0, slot, charge);
        spent += charge;
        w.wall_us += 600000000;
        if (i % 9 == 0)
            assert_int_equal(world_commit(&w), 0);
    }
    for (unsigned i = 0; i < COUNT_OF(by); i++) {
        char request[128];
        struct js_value result, row, none;
        struct js_iter it;
        int64_t sum = 0, calls = 0;
        unsigned rows = 0;

        snprintf(request, sizeof(request),
                 "{\"cmd\":\"usage\",\"args\":{\"tenant\":\"acme\",\"by\":\"%s\"}}", by[i]);
        result = ask_ok(&w, request);
        for (js_iter_init(&it, js_get(result, STR("rows"))); js_next(&it, &none, &row); rows++) {
            sum += money_of(row, "charge");
            calls += number_of(row, "calls");
        }
        assert_int_equal(sum, spent);
        assert_int_equal(calls, 200);
        assert_int_equal(money_of(js_get(result, STR("total")), "charge"), spent);
        if (i == 0)
            assert_in_range(rows, 33, 35);
        if (i == 1)
            assert_in_range(rows, 2, 3);
        if (i == 2)
            assert_int_equal(rows, 2);
        if (i == 3)
            assert_int_equal(rows, 3);
    }
    struct js_value half = ask_ok(&w, "{\"cmd\":\"usage\",\"args\":{\"model\":\"gpt-a\"}}");

    assert_int_equal(number_of(js_get(half, STR("total")), "calls"), 100);
}

/* Everything, page by page of so many: how many calls, and the sum of their charges. */
static int64_t
read_pages(const char *filter, unsigned limit, unsigned *count)
{
    char request[256], place[64] = "", last[32] = "z";
    int64_t sum = 0;

    *count = 0;
    do {
        struct js_value result, row, none;
        struct js_iter it;
        unsigned rows = 0;

        snprintf(request, sizeof(request),
                 "{\"cmd\":\"call.list\",\"args\":{%s\"limit\":%u%s%s%s}}", filter, limit,
                 place[0] != '\0' ? ",\"before\":\"" : "", place, place[0] != '\0' ? "\"" : "");
        result = ask_ok(&w, request);
        for (js_iter_init(&it, js_get(result, STR("calls"))); js_next(&it, &none, &row); rows++) {
            struct str started = js_get(row, STR("started")).raw;
            char minute[32];

            sum += money_of(row, "charge");
            snprintf(minute, sizeof(minute), "%.*s", 16, started.ptr);
            assert_true(strcmp(minute, last) <= 0); /* newest first, by the minute */
            str_copy(str_from(minute), last, sizeof(last));
        }
        assert_true(rows <= limit);
        *count += rows;
        place[0] = '\0';
        if (js_is(js_get(result, STR("next")), JS_STRING)) {
            struct str next = js_get(result, STR("next")).raw;

            assert_int_equal(rows, limit);
            snprintf(place, sizeof(place), "%.*s", STR_ARGS(next));
        }
    } while (place[0] != '\0');
    return sum;
}

static void
calls_by_pages(void **state)
{
    static const unsigned limits[] = {1, 2, 3, 7, 10, 59, 60, 61, 300, 1000};
    int64_t spent = 0, others = 0;
    unsigned count;
    uint32_t slot;

    (void)state;
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"other\",\"credit\":\"9\"}}");
    for (int i = 0; i < 60; i++) {
        uint32_t tenant = i % 4 == 3 ? 2 : 1;

        assert_int_equal(world_take(&w, 0, tenant, 5000, &slot), HOLD_OK);
        world_settle(&w, 0, slot, i * 11);
        spent += i * 11;
        others += tenant == 2 ? i * 11 : 0;
        w.wall_us += i % 10 == 9 ? 90000000 : 1000; /* some minutes have many, some blocks one */
        if (i % 5 == 4 || i > 50)
            assert_int_equal(world_commit(&w), 0);
    }
    for (unsigned i = 0; i < COUNT_OF(limits); i++) {
        assert_int_equal(read_pages("", limits[i], &count), spent);
        assert_int_equal(count, 60);
        assert_int_equal(read_pages("\"tenant\":\"other\",", limits[i], &count), others);
        assert_int_equal(count, 15);
    }
    assert_int_equal(read_pages("\"outcome\":\"ok\",", 7, &count), spent);
    assert_int_equal(read_pages("\"outcome\":\"cut\",", 7, &count), 0);
    assert_int_equal(read_pages("\"key\":77,", 7, &count), 0);
    assert_int_equal(read_pages("\"model\":\"no-such\",", 7, &count), 0);
    read_pages("\"model\":\"gpt-a\",", 7, &count);
    assert_int_equal(count, 30);
    assert_int_equal(
        ask_refused(&w, "{\"cmd\":\"call.list\",\"args\":{\"before\":\"yesterday\"}}"), 2);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"call.list\",\"args\":{\"limit\":1001}}"), 2);
    assert_int_equal(
        ask_refused(&w, "{\"cmd\":\"call.list\",\"args\":{\"outcome\":\"fine\"}}"), 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bad_requests),          TEST(tenants_by_name_and_id), TEST(same_ref_once),
        TEST(deduct_below_zero),     TEST(more_than_fits),         TEST(keys_reach_the_region),
        TEST(routing_of_keys),
        TEST(refused_weights),
        TEST(channels_of_a_key),     TEST(rotated_key),           TEST(secrets_are_not_kept),   TEST(budget_windows),
        TEST(receipt_of_a_call),     TEST(usage_adds_up),          TEST(calls_by_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
