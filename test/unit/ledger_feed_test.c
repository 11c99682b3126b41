/* The feed: what is told of a batch and what not; readers that are early, late, and a whole round behind. */
#include "ledger/batch.h"
#include "ledger/feed.h"

#include "test/unit/testing.h"

#include <pthread.h>

static struct ledger ledger;
static struct batch_item items[64];

static int
setup(void **state)
{
    (void)state;
    memset(&ledger, 0, sizeof(ledger));
    memset(items, 0, sizeof(items));
    ledger.batch = items;
    return feed_new(&ledger.feed);
}

static int
teardown(void **state)
{
    (void)state;
    feed_free(&ledger.feed);
    return 0;
}

/* A call of that number in the batch. */
static struct block_record *
add(uint8_t n, uint32_t flags, int64_t charge_ucr)
{
    struct batch_item *item = &items[ledger.batch_count++];

    memset(item, 0, sizeof(*item));
    item->account_idx = 1;
    item->record.tenant_id = n;
    item->record.charge_ucr = charge_ucr;
    item->record.rec.call_id[0] = n;
    item->record.rec.flags = flags;
    item->record.rec.total_charge_ucr = charge_ucr;
    return &item->record;
}

static void
commit(void)
{
    feed_committed(&ledger, NULL, 0);
    ledger.batch_count = 0;
}

static void
test_told(void **state)
{
    struct call_event out[8];
    uint64_t at = 0, missed = 0;
    const struct block_record *refused;

    (void)state;
    add(1, RECORD_EXTENDED, 70)->rec.outcome = OUTCOME_OK;
    add(1, RECORD_EXTENSION, 30); /* in the first's total already */
    add(2, RECORD_EXTENDED | RECORD_SWEPT, 50)->rec.total_charge_ucr = 7; /* what its input cost */
    add(2, RECORD_EXTENSION | RECORD_SWEPT, 20);
    refused = add(3, 0, 5);
    add(4, 0, 6);
    items[5].account_idx = 0; /* of memory that is gone */
    feed_committed(&ledger, &refused, 1);
    ledger.batch_count = 0;
    assert_int_equal(feed_read(ledger.feed, &at, out, 8, &missed), 2);
    assert_int_equal(missed, 0);
    assert_int_equal(out[0].seq, 1);
    assert_int_equal(out[0].call_id[0], 1);
    assert_int_equal(out[0].charge_ucr, 70);
    assert_int_equal(out[0].outcome, OUTCOME_OK);
    assert_int_equal(out[1].call_id[0], 2);
    assert_int_equal(out[1].charge_ucr, 70);
    assert_int_equal(out[1].outcome, OUTCOME_UNKNOWN);
    assert_int_equal(feed_read(ledger.feed, &at, out, 8, &missed), 0);
    assert_int_equal(at, 2);
}

static void
test_behind(void **state)
{
    struct call_event out[8];
    uint64_t at = 0, missed = 0;

    (void)state;
    for (unsigned i = 0; i < FEED_EVENTS_MAX + 3; i++) {
        add((uint8_t)i, 0, i);
        commit();
    }
    assert_int_equal(feed_last(ledger.feed), FEED_EVENTS_MAX + 3);
    assert_int_equal(feed_read(ledger.feed, &at, out, 2, &missed), 2);
    assert_int_equal(missed, 3);
    assert_int_equal(out[0].seq, 4);
    assert_int_equal(out[1].charge_ucr, 4);
    at = FEED_EVENTS_MAX + 1;
    missed = 0;
    assert_int_equal(feed_read(ledger.feed, &at, out, 8, &missed), 2);
    assert_int_equal(out[1].seq, FEED_EVENTS_MAX + 3);
    assert_int_equal(missed, 0);
    at = UINT64_MAX; /* nonsense, or another feed's */
    assert_int_equal(feed_read(ledger.feed, &at, out, 8, &missed), 0);
    assert_int_equal(at, FEED_EVENTS_MAX + 3);
}

static void *
reader(void *arg)
{
    uint64_t at = 0, missed = 0, *seen = arg;
    struct call_event out[16];
    bool goes_on;

    do {
        unsigned count;

        goes_on = feed_wait(ledger.feed, at, 60000);
        while ((count = feed_read(ledger.feed, &at, out, COUNT_OF(out), &missed)) > 0)
            *seen += count;
    } while (goes_on);
    *seen += missed;
    return NULL;
}

static void
test_wait(void **state)
{
    uint64_t seen[2] = {0};
    pthread_t thread[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, reader, &seen[i]), 0);
    for (unsigned i = 0; i < 20000; i++) {
        add(1, 0, 1);
        commit();
    }
    feed_stop(ledger.feed);
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(seen[i], 20000);
    }
    assert_false(feed_idle(ledger.feed, 60000));
}

static void
test_watched(void **state)
{
    (void)state;
    assert_false(feed_watched(ledger.feed, 1));
    feed_watch(ledger.feed, 1000000);
    assert_true(feed_watched(ledger.feed, 3999999));
    assert_false(feed_watched(ledger.feed, 4000000));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watched, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
