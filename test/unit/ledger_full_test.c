/*
 * The disk is full, or the map: a commit fails, the process ends, nothing that was acknowledged is lost
 * and nothing that was not is invented. With room again everything that was settled is charged.
 */
#include "test/unit/ledger_world.h"

#include "ledger/retention.h"

#include <sys/resource.h>
#include <sys/stat.h>

static struct world w;

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    (void)signal(SIGXFSZ, SIG_IGN);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

/* Files cannot grow past what the store has now: as good as a full disk, and needs no disk. */
static void
disk(bool full)
{
    struct rlimit limit;
    struct stat st;
    char path[128];

    snprintf(path, sizeof(path), "%s/data.mdb", w.store_dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = full ? (rlim_t)st.st_size : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int64_t
available(void)
{
    return account_available_ucr(account_at(w.workers, world_account(&w, 1)));
}

static void
full_disk(void **state)
{
    int64_t granted = CREDITS(1000), spent = 0;
    uint64_t calls = 0;
    int rc = 0;

    (void)state;
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"1000\"}}");
    disk(true);
    for (int round = 0; rc == 0; round++) {
        struct js_value result;
        char request[128];
        uint32_t slot;

        assert_true(round < 2000);
        for (int i = 0; i < 10; i++) {
            assert_int_equal(world_take(&w, 0, 1, 1000, &slot), HOLD_OK);
            world_settle(&w, 0, slot, 300);
            spent += 300;
            calls++;
        }
        rc = ledger_commit_all(w.ledger);
        if (rc < 0)
            break;
        snprintf(request, sizeof(request),
                 "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"a\",\"amount\":\"1\",\"ref\":"
                 "\"r%d\"}}",
                 round);
        rc = world_ask(&w, request, &result);
        if (rc == 0)
            granted += CREDITS(1);
    }
    /* Started again and again on the full disk: it reads, it cannot write, it invents nothing. */
    for (int i = 0; i < 3; i++) {
        world_kill_ledger(&w);
        assert_int_equal(world_try_start(&w), 0);
        (void)!ledger_commit_all(w.ledger);
    }
    disk(false);
    world_restart(&w);
    assert_int_equal(world_commit(&w), 0);
    /* The grant that failed may be there or not: it was not acknowledged. */
    assert_true(available() == granted - spent || available() == granted + CREDITS(1) - spent);
    assert_int_equal(number_of(world_audit(&w), "records"), calls);
}

static void
full_map(void **state)
{
    uint32_t slot;
    int rc = 0;

    (void)state;
    w.map_bytes = 512u << 10;
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"1000\"}}");
    for (int round = 0; rc == 0 && round < 2000; round++) {
        for (int i = 0; i < 20; i++) {
            assert_int_equal(world_take(&w, 0, 1, 1000, &slot), HOLD_OK);
            world_settle(&w, 0, slot, 300);
        }
        rc = ledger_commit_all(w.ledger);
    }
    assert_int_equal(rc, -ENOSPC);
    world_restart(&w); /* opened with more, since it was half full */
    assert_int_equal(world_commit(&w), 0);
    world_audit(&w);
    /* Looked after, it never comes to that. */
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < 20; i++) {
            assert_int_equal(world_take(&w, 0, 1, 1000, &slot), HOLD_OK);
            world_settle(&w, 0, slot, 300);
        }
        assert_int_equal(ledger_commit_all(w.ledger), 0);
        assert_in_range(db_look_after(w.ledger->db), 0, 700);
    }
    world_audit(&w);
}

static void
calls(int rounds)
{
    uint32_t slot;

    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < 20; i++) {
            assert_int_equal(world_take(&w, 0, 1, 1000, &slot), HOLD_OK);
            world_settle(&w, 0, slot, 300);
        }
        assert_int_equal(ledger_commit_all(w.ledger), 0);
    }
}

/* Who reads for long keeps the map from growing, and is asked to end when that matters. Pages that dropped
 * records leave are room. */
static void
long_readers_give_way(void **state)
{
    const struct retention keep = {.age_us = 1};
    struct db_txn reader;
    bool more = true;
    int permille = 0;

    (void)state;
    w.map_bytes = 2u << 20;
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"1000\"}}");
    assert_int_equal(db_read_long(w.ledger->db, &reader), 0);
    for (int round = 0; permille < 850; round++) {
        assert_true(round < 2000);
        calls(1);
        permille = db_look_after(w.ledger->db);
        if (permille != 750)
            assert_int_equal(db_wants_room(w.ledger->db), permille > 750);
    }
    db_end(&reader);
    assert_false(db_wants_room(w.ledger->db));
    while (more)
        assert_int_equal(retention_step(w.ledger, &keep, &more), 0);
    assert_int_equal(db_read_long(w.ledger->db, &reader), 0);
    for (int look = 0; look < 65; look++) /* not looked at every time */
        permille = db_look_after(w.ledger->db);
    assert_in_range(permille, 0, 500);
    db_end(&reader);
    calls(50); /* in the room that was freed */
    assert_in_range(db_look_after(w.ledger->db), 0, 500);
    world_audit(&w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {TEST(full_disk), TEST(full_map), TEST(long_readers_give_way)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
