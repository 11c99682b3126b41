/* A member goes who has more keys than one transaction takes: in steps, of which any may be the last. */
#include "test/unit/ledger_world.h"

#include <stdarg.h>

#include "ledger/entity.h"

static struct world w;

#define KEYS 700
#define STEPS 3 /* 254 at a time */
#define REMOVE "{\"cmd\":\"member.remove\",\"args\":{\"tenant\":1,\"email\":\"a@b.c\"%s},\"idem\":\"%s\"}"

static struct js_value PRINTF_LIKE(1, 2)
done(const char *fmt, ...)
{
    char request[512];
    va_list args;

    va_start(args, fmt);
    assert_in_range(vsnprintf(request, sizeof(request), fmt, args), 1, sizeof(request) - 1);
    va_end(args);
    return ask_ok(&w, request);
}

/* Keys 1 to KEYS are the member's; the one after them is the heir's. */
static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    done("{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"t\"}}");
    done("{\"cmd\":\"member.add\",\"args\":{\"tenant\":1,\"email\":\"a@b.c\"}}");
    done("{\"cmd\":\"member.add\",\"args\":{\"tenant\":1,\"email\":\"heir@b.c\"}}");
    for (int i = 0; i < KEYS; i++)
        done("{\"cmd\":\"key.add\",\"args\":{\"tenant\":1,\"member\":\"a@b.c\"}}");
    done("{\"cmd\":\"key.add\",\"args\":{\"tenant\":1,\"member\":\"heir@b.c\"}}");
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

struct seen {
    unsigned members, enabled, of_member, of_heir, live; /* live: that the region lets in */
};

static struct seen
look(void)
{
    struct seen seen = {0};
    struct db_txn txn;

    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    for (uint32_t id = 1; id <= 2; id++) {
        struct entity_member m;

        assert_int_equal(entity_member_get(&txn, id, &m), 0);
        seen.members += !m.removed;
    }
    for (uint32_t id = 1; id <= KEYS + 1; id++) {
        struct entity_key k;
        uint32_t idx = id_map_get(&w.ledger->key_of_id, id);

        assert_int_equal(entity_key_get(&txn, id, &k), 0);
        seen.enabled += !k.disabled;
        seen.of_member += k.member_id == 1;
        seen.of_heir += k.member_id == 2;
        seen.live += (atomic_load_explicit(&key_at(w.workers, idx)->flags, memory_order_relaxed) & KEY_DISABLED) == 0;
    }
    db_end(&txn);
    return seen;
}

static unsigned
entries(void)
{
    struct js_value list = js_get(done("{\"cmd\":\"log.list\",\"args\":{\"action\":\"member.remove\",\"limit\":1000}}"),
                                  STR("entries")), none, entry;
    struct js_iter it;
    unsigned n = 0;

    for (js_iter_init(&it, list); js_next(&it, &none, &entry);)
        n++;
    return n;
}

static void
goes_with_all_keys(void **state)
{
    struct js_value result;
    struct seen seen;

    (void)state;
    done("{\"cmd\":\"key.disable\",\"args\":{\"id\":7}}");
    result = done(REMOVE, "", "one");
    assert_int_equal(number_of(result, "keys_disabled"), KEYS - 1);
    assert_int_equal(number_of(result, "keys_handed_over"), 0);
    seen = look();
    assert_int_equal(seen.members, 1);
    assert_int_equal(seen.enabled, 1);
    assert_int_equal(seen.live, 1);
    assert_int_equal(seen.of_member, KEYS);
    assert_int_equal(entries(), STEPS);
    /* Each key is found by what became of it. */
    for (int id = 1; id <= KEYS; id += 233)
        assert_true(str_contains(done("{\"cmd\":\"log.list\",\"args\":{\"target\":\"key:%d\",\"limit\":1}}", id).raw,
                                 STR("member.remove")));
    result = done(REMOVE, "", "one");
    assert_true(js_bool(js_get(result, STR("repeated")), false));
    assert_int_equal(number_of(result, "keys_disabled"), KEYS - 1);
    assert_int_equal(entries(), STEPS);
}

static void
hands_all_over(void **state)
{
    struct js_value result;
    struct seen seen;

    (void)state;
    result = done(REMOVE, ",\"hand_over_to\":\"heir@b.c\"", "one");
    assert_int_equal(number_of(result, "keys_handed_over"), KEYS);
    seen = look();
    assert_int_equal(seen.members, 1);
    assert_int_equal(seen.of_heir, KEYS + 1);
    assert_int_equal(seen.enabled, KEYS + 1);
    assert_int_equal(seen.live, KEYS + 1);
}

/* Killed at any step: nobody is removed whose keys still work, no key is half of anything, and the second try ends it. */
static void
killed(bool hand_over)
{
    char request[256];
    struct buf answer;
    unsigned between = 0;
    struct seen seen;
    int rc;

    snprintf(request, sizeof(request), REMOVE, hand_over ? ",\"hand_over_to\":\"heir@b.c\"" : "", "one");
    for (long step = 0;; step = step * 5 / 3 + 1) {
        w.steps_left = step;
        buf_init(&answer, 65536);
        rc = command_run(w.ledger, str_from(request), "test", &answer);
        w.steps_left = -1;
        buf_free(&answer);
        if (rc == 0)
            break;
        world_restart(&w);
        seen = look();
        assert_int_equal(seen.live, seen.enabled);
        assert_int_equal(seen.of_member + seen.of_heir, KEYS + 1);
        if (hand_over)
            assert_true(seen.enabled == KEYS + 1 && seen.members == (seen.of_member == 0 ? 1 : 2));
        else
            assert_true(seen.of_heir == 1 && (seen.members == 2 || seen.enabled == 1));
        between += seen.members == 2 && (hand_over ? seen.of_heir > 1 : seen.enabled < KEYS + 1);
        if (seen.members == 1)
            break;
    }
    assert_true(between > 0);
    seen = look();
    assert_int_equal(seen.members, 1);
    assert_int_equal(hand_over ? seen.of_heir : seen.enabled, hand_over ? KEYS + 1 : 1);
    assert_true(js_bool(js_get(done("%s", request), STR("repeated")), false));
    assert_true(entries() >= STEPS);
}

static void
killed_anywhere(void **state)
{
    (void)state;
    killed(false);
}

static void
killed_while_handing_over(void **state)
{
    (void)state;
    killed(true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(goes_with_all_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(hands_all_over, setup, teardown),
        cmocka_unit_test_setup_teardown(killed_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(killed_while_handing_over, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
