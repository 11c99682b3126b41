/* Connections by address, over workers that come and go. */
#include "test/unit/shm_small.h"

#include "shm/peers.h"

static struct peer_place
place_of(const char *address)
{
    return peers_place(t.region, address, strlen(address));
}

static void
tables(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct hold_table table;

        test_table(t.region, i, &table);
        hold_table_close(&table); /* what is its own; the table in the region stays */
        peers_clear(t.region, i);
    }
}

static void
test_counted_over_workers(void **state)
{
    struct peer_place a = place_of("a"), b = place_of("b");

    (void)state;
    tables(3);
    assert_true(peers_enter(t.region, 0, a, 3));
    assert_true(peers_enter(t.region, 1, a, 3));
    assert_true(peers_enter(t.region, 2, a, 3));
    assert_false(peers_enter(t.region, 0, a, 3));
    assert_int_equal(peers_count(t.region, a), 3);
    assert_true(peers_enter(t.region, 0, b, 3));
    assert_int_equal(peers_count(t.region, b), 1);
    peers_leave(t.region, 1, a);
    assert_true(peers_enter(t.region, 0, a, 3));
    assert_int_equal(peers_count(t.region, a), 3);
    assert_true(peers_enter(t.region, 0, a, 0)); /* no bound */
    assert_int_equal(peers_count(t.region, a), 4);
}

static void
test_a_killed_workers_go_with_it(void **state)
{
    struct peer_place a = place_of("a");

    (void)state;
    tables(2);
    for (int i = 0; i < 5; i++)
        assert_true(peers_enter(t.region, i % 2, a, 5));
    atomic_store(&t.region->header->table[0].state, TABLE_DEAD);
    assert_int_equal(peers_count(t.region, a), 2);
    peers_clear(t.region, 0);
    atomic_store(&t.region->header->table[0].state, TABLE_LIVE);
    assert_int_equal(peers_count(t.region, a), 2);
    for (int i = 0; i < 3; i++)
        assert_true(peers_enter(t.region, 0, a, 5));
    assert_false(peers_enter(t.region, 1, a, 5));
}

/* Who shares a place with a crowd in one row is not taken for it. */
static void
test_one_row_alone_refuses_nobody(void **state)
{
    struct peer_place crowd = {{1, 2}}, one = {{1, 3}}, both = {{1, 2}};

    (void)state;
    tables(1);
    for (int i = 0; i < 10; i++)
        assert_true(peers_enter(t.region, 0, crowd, 10));
    assert_true(peers_enter(t.region, 0, one, 10));
    assert_int_equal(peers_count(t.region, one), 1);
    assert_false(peers_enter(t.region, 0, both, 10));
}

/* The key decides: who does not know it cannot choose whom to meet. */
static void
test_places_are_keyed(void **state)
{
    struct peer_place before = place_of("192.0.2.1");

    (void)state;
    t.region->header->key_hash_key[0] ^= 1;
    assert_memory_not_equal(&before, &(struct peer_place){{0}}, sizeof before);
    assert_true(memcmp(before.at, place_of("192.0.2.1").at, sizeof before.at) != 0);
    assert_true(before.at[0] < PEERS_PLACES && before.at[1] < PEERS_PLACES);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_counted_over_workers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_killed_workers_go_with_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_row_alone_refuses_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_places_are_keyed, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
