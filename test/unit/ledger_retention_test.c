/*
 * Dropping records: the books balance to the micro-credit before, between and after; what stands for them
 * cannot be changed unseen; what is damaged is not dropped; pages are used again.
 */
#include "test/unit/ledger_world.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "ledger/retention.h"
#include "ledger/restore.h"
#include "shm/call_id.h"

#define HOUR_US INT64_C(3600000000)
#define HOURS_AND_A_HALF(n) ((uint64_t)((n)*HOUR_US + HOUR_US / 2))

static struct world w;

static bool
says(const char *text)
{
    return str_contains(buf_str(&w.answer), str_from(text));
}

static void
open_world(void)
{
    world_open(&w);
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"100000\","
               "\"budget\":\"9000/day\"}}");
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"b\",\"credit\":\"50000\"}}");
}

/* A block of that many calls, each charged 1 of 2 credits; an hour later. Gives the last call's ID. */
static void
hour(unsigned calls, char id[CALL_ID_LEN + 1])
{
    for (unsigned i = 0; i < calls; i++) {
        uint32_t slot;

        assert_int_equal(world_take(&w, 0, 1 + i % 2, CREDITS(2), &slot), HOLD_OK);
        if (id != NULL)
            call_id_text(hold_record(&w.table[0], slot)->call_id, id);
        world_settle(&w, 0, slot, CREDITS(1));
    }
    assert_int_equal(world_commit(&w), 0);
    w.wall_us += HOUR_US;
}

static bool
drop(uint64_t age_us, uint64_t size_bytes)
{
    const struct retention keep = {age_us, size_bytes};
    bool more;

    assert_int_equal(retention_step(w.ledger, &keep, &more), 0);
    return more;
}

static void
check(int64_t records, int64_t dropped)
{
    struct js_value audit = world_audit(&w);

    assert_int_equal(number_of(audit, "records"), records);
    assert_int_equal(number_of(audit, "records_dropped"), dropped);
    assert_int_equal(money_of(audit, "spent"), CREDITS(records + dropped));
}

/* ---- what stays ---- */

static void
by_age(void **state)
{
    char first[CALL_ID_LEN + 1], last[CALL_ID_LEN + 1], request[160];
    struct js_value result;

    (void)state;
    open_world();
    hour(10, first);
    for (int i = 0; i < 8; i++)
        hour(10, i == 7 ? last : NULL);
    check(90, 0);
    assert_false(drop(0, 0));
    assert_false(drop(HOURS_AND_A_HALF(20), 0));
    check(90, 0);

    /* What is asked beforehand is what then comes. */
    result = ask_ok(&w, "{\"cmd\":\"retention\",\"args\":{\"records\":\"270m\"}}");
    assert_int_equal(number_of(js_get(result, STR("due")), "records"), 50);
    assert_int_equal(money_of(js_get(result, STR("due")), "charge"), CREDITS(50));
    assert_false(drop(HOURS_AND_A_HALF(4), 0));
    check(40, 50);
    result = ask_ok(&w, "{\"cmd\":\"retention\",\"args\":{\"records\":\"270m\"}}");
    assert_int_equal(number_of(js_get(result, STR("due")), "records"), 0);
    assert_int_equal(number_of(js_get(result, STR("kept")), "records"), 40);
    assert_int_equal(number_of(js_get(result, STR("dropped")), "records"), 50);
    assert_int_equal(money_of(js_get(result, STR("dropped")), "charge"), CREDITS(50));

    /* Usage is what it was, a call that is gone says so, one that is not is there. */
    result = ask_ok(&w, "{\"cmd\":\"usage\",\"args\":{\"since\":\"30d\"}}");
    assert_int_equal(number_of(js_get(result, STR("total")), "calls"), 90);
    snprintf(request, sizeof(request), "{\"cmd\":\"call.show\",\"args\":{\"id\":\"%s\"}}", first);
    assert_int_equal(ask_refused(&w, request), COMMAND_FAILED);
    assert_true(says("is not kept any more"));
    assert_true(says("\"absent\":true"));
    snprintf(request, sizeof(request), "{\"cmd\":\"call.show\",\"args\":{\"id\":\"%s\"}}", last);
    assert_int_equal(money_of(ask_ok(&w, request), "charge"), CREDITS(1));
    result = ask_ok(&w, "{\"cmd\":\"call.list\",\"args\":{\"limit\":1000}}");
    assert_true(says(last));
    assert_false(says(first));

    /* The last block stays, whatever is wanted; and life goes on, over a start, too. */
    assert_false(drop(1, 1));
    check(10, 80);
    world_restart(&w);
    check(10, 80);
    hour(6, NULL);
    assert_int_equal(audit_sample(w.ledger), 0);
    assert_false(drop(1, 0));
    assert_int_equal(audit_sample(w.ledger), 0);
    assert_int_equal(w.ledger->stats.audit_faults, 0);
    check(6, 90);
    world_close(&w);
}

/* A step is short, and says that there is more. */
static void
in_steps(void **state)
{
    unsigned steps = 1;

    (void)state;
    open_world();
    for (int i = 0; i < 200; i++)
        hour(1, NULL);
    while (drop(1, 0)) {
        steps++;
        world_audit(&w);
    }
    assert_int_equal(steps, 4); /* of 64 blocks */
    check(1, 199);
    world_close(&w);
}

static void
by_size(void **state)
{
    uint64_t bytes;
    off_t file_bytes = 0;
    struct js_value result;
    struct stat st;
    char path[128];

    (void)state;
    open_world();
    snprintf(path, sizeof(path), "%s/data.mdb", w.store_dir);
    for (int round = 0; round < 400; round++) {
        hour(30, NULL);
        while (drop(0, 100000))
            ;
        result = ask_ok(&w, "{\"cmd\":\"retention\",\"args\":{\"size\":\"100000\"}}");
        bytes = (uint64_t)number_of(js_get(result, STR("kept")), "bytes");
        assert_true(bytes <= 100000 + 8192);
        assert_int_equal(stat(path, &st), 0);
        if (round == 200)
            file_bytes = st.st_size;
        w.wall_us -= HOUR_US - 1000000; /* or rollups would be what grows */
    }
    /* What was freed is what is used. */
    assert_true(st.st_size <= file_bytes + 65536);
    result = world_audit(&w);
    assert_int_equal(number_of(result, "records") + number_of(result, "records_dropped"), 12000);
    assert_true(number_of(result, "records_dropped") > 10000);
    world_close(&w);
}

static unsigned
rows(struct js_value page)
{
    struct js_value none, row;
    struct js_iter it;
    unsigned count = 0;

    for (js_iter_init(&it, js_get(page, STR("calls"))); js_next(&it, &none, &row);)
        count++;
    return count;
}

/* A page that ended in a block which has gone since goes on with what is left. */
static void
pages_over_a_cut(void **state)
{
    struct js_value page;
    struct str next;
    char request[160];

    (void)state;
    open_world();
    for (int i = 0; i < 4; i++)
        hour(10, NULL);
    page = ask_ok(&w, "{\"cmd\":\"call.list\",\"args\":{\"oldest_first\":true,\"limit\":14}}");
    next = js_get(page, STR("next")).raw;
    snprintf(request, sizeof(request),
             "{\"cmd\":\"call.list\",\"args\":{\"oldest_first\":true,\"limit\":100,\"after\":\"%.*s\"}}",
             STR_ARGS(next));
    page = ask_ok(&w, request);
    assert_int_equal(rows(page), 26);
    assert_false(drop(HOURS_AND_A_HALF(2), 0)); /* the first two blocks */
    page = ask_ok(&w, request);
    assert_int_equal(rows(page), 20);
    assert_int_equal(js_get(page, STR("next")).type, JS_NULL);
    assert_true(js_is(js_get(page, STR("dropped_until")), JS_STRING));
    world_close(&w);
}

/* By the configuration, now and then; a clock that leapt is not believed for a day. */
static void
when_it_is_time(void **state)
{
    static struct conf conf;
    struct retention_pace pace = {0};
    uint64_t now_us = 1;
    bool soon;

    (void)state;
    open_world();
    for (int i = 0; i < 130; i++)
        hour(1, NULL);
    assert_int_equal(retention_turn(w.ledger, &pace, now_us, &soon), 0); /* no server */
    w.ledger->conf = &conf;
    assert_int_equal(retention_turn(w.ledger, &pace, now_us, &soon), 0); /* all are kept */
    check(130, 0);
    conf.retention.records_ms = 1;
    assert_int_equal(retention_turn(w.ledger, &pace, now_us, &soon), 0); /* not yet */
    assert_false(soon);
    now_us += 2000000;
    assert_int_equal(retention_turn(w.ledger, &pace, now_us, &soon), 0);
    assert_true(soon);
    check(66, 64);
    assert_int_equal(retention_turn(w.ledger, &pace, now_us + 1000, &soon), 0);
    assert_true(soon); /* but not yet */
    check(66, 64);

    w.wall_us += 2 * HOUR_US;
    now_us += 2000000;
    assert_int_equal(retention_turn(w.ledger, &pace, now_us, &soon), 0);
    assert_false(soon);
    w.mono_us += (uint64_t)(20 * HOUR_US);
    w.wall_us += 20 * HOUR_US;
    now_us += 2000000;
    assert_int_equal(retention_turn(w.ledger, &pace, now_us, &soon), 0);
    check(66, 64);
    w.mono_us += (uint64_t)(5 * HOUR_US);
    w.wall_us += 5 * HOUR_US;
    now_us += 2000000;
    assert_int_equal(retention_turn(w.ledger, &pace, now_us, &soon), 0);
    assert_true(soon);
    check(2, 128);
    w.ledger->conf = NULL;
    world_close(&w);
}

/* ---- what is found ---- */

static void
spoil(enum db_table table, const struct db_key *key, size_t at)
{
    struct db_txn txn;
    struct str value;
    uint8_t bytes[8192];

    assert_int_equal(db_write(w.ledger->db, &txn), 0);
    assert_int_equal(db_get(&txn, table, key, &value), 0);
    assert_true(value.len <= sizeof(bytes) && at < value.len);
    memcpy(bytes, value.ptr, value.len);
    bytes[at] ^= 1;
    assert_int_equal(db_put(&txn, table, key, (struct str){(const char *)bytes, value.len}), 0);
    assert_int_equal(db_commit(&txn), 0);
}

static void
find(const char *what)
{
    struct js_value audit = ask_ok(&w, "{\"cmd\":\"audit\"}");

    assert_false(js_bool(js_get(audit, STR("ok")), true));
    if (!says(what))
        print_error("%s is not in %.*s\n", what, STR_ARGS(buf_str(&w.answer)));
    assert_true(says(what));
}

static void
changes_are_found(void **state)
{
    struct db_key mark, tenant, budget, from;
    struct db_walk walk;
    struct db_txn txn;
    struct str key, value;

    (void)state;
    open_world();
    for (int i = 0; i < 5; i++)
        hour(4, NULL);
    assert_false(drop(HOURS_AND_A_HALF(2), 0));
    check(8, 12);
    db_key_start(&mark);
    db_key_u8(&mark, 0);
    for (size_t at = 0; at < sizeof(struct cut); at += 8) {
        spoil(DB_CUT, &mark, at);
        find("mark of the cut");
        spoil(DB_CUT, &mark, at);
    }
    db_key_start(&tenant);
    db_key_u8(&tenant, 1);
    db_key_u32(&tenant, 2);
    spoil(DB_CUT, &tenant, 0);
    find("sums of the cut");
    find("spent against records");
    spoil(DB_CUT, &tenant, 0);
    spoil(DB_CUT, &tenant, 8);
    find("records of the cut");
    spoil(DB_CUT, &tenant, 8);
    db_key_start(&budget);
    db_key_u8(&budget, 2);
    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    from = budget;
    assert_int_equal(db_walk_start(&txn, DB_CUT, &from, 1, &walk), 0);
    assert_true(db_walk_next(&walk, &key, &value));
    db_key_start(&budget);
    assert_true(db_key_text(&budget, key));
    db_walk_end(&walk);
    db_end(&txn);
    spoil(DB_CUT, &budget, 0);
    find("budget's total against records");
    spoil(DB_CUT, &budget, 0);
    check(8, 12);

    /* A mark that is wrong is not built upon. */
    spoil(DB_CUT, &mark, 0);
    const struct retention keep = {.age_us = 1};
    bool more;
    assert_int_equal(retention_step(w.ledger, &keep, &more), -EILSEQ);
    spoil(DB_CUT, &mark, 0);
    assert_false(drop(1, 0));
    check(4, 16);
    world_close(&w);
}

/* What is damaged stays to be looked at. */
static void
damaged_blocks_stay(void **state)
{
    const struct retention keep = {.age_us = 1};
    struct db_key block;
    struct db_txn txn;
    struct str key, value;
    bool more;

    (void)state;
    open_world();
    for (int i = 0; i < 5; i++)
        hour(4, NULL);
    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    assert_int_equal(db_first(&txn, DB_BLOCK, &key, &value), 0);
    block = db_key_of_u64(db_u64(key, 0));
    db_end(&txn);
    spoil(DB_BLOCK, &block, 200);
    assert_int_equal(retention_step(w.ledger, &keep, &more), -EILSEQ);
    find("block's checksum");
    spoil(DB_BLOCK, &block, 200);
    check(20, 0);
    assert_false(drop(1, 0));
    check(4, 16);
    world_close(&w);
}

/* ---- and backups of it ---- */

static void
restored_as_it_was(void **state)
{
    static struct restore restore;
    char path[96];
    int fd;

    (void)state;
    open_world();
    for (int i = 0; i < 6; i++)
        hour(5, NULL);
    assert_false(drop(HOURS_AND_A_HALF(3), 0));
    check(15, 15);
    snprintf(path, sizeof(path), "%s/backup", w.dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    buf_free(&w.answer);
    assert_int_equal(command_run_with(w.ledger, STR("{\"cmd\":\"backup\"}"), "uid 0", fd, &w.answer),
                     0);
    world_kill_ledger(&w);
    world_forget_tables(&w);
    assert_int_equal(region_remove(w.region_dir), 0);
    assert_int_equal(setenv("RUNTIME_DIRECTORY", w.dir, 1), 0);
    restore.fd = open(path, O_RDONLY | O_CLOEXEC);
    restore.file = path;
    restore.force = true;
    assert_int_equal(restore_run(&restore, w.dir), 0);
    close(restore.fd);
    assert_int_equal(restore.about.records, 15);
    assert_int_equal(restore.about.calls, 30);
    world_start(&w);
    check(15, 15);
    assert_false(drop(1, 0));
    check(5, 25);
    world_close(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_age),
        cmocka_unit_test(in_steps),
        cmocka_unit_test(by_size),
        cmocka_unit_test(pages_over_a_cut),
        cmocka_unit_test(when_it_is_time),
        cmocka_unit_test(changes_are_found),
        cmocka_unit_test(damaged_blocks_stay),
        cmocka_unit_test(restored_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
