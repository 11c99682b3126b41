/* Idempotency keys: who has one, until when, and what the deaths of workers leave. */
#include "test/unit/shm_testing.h"

#include "shm/idem.h"

#define NOW_S 1000000

static struct shm_test t;
static uint8_t first_id[CALL_ID_BYTES];

static void
worker_begins(uint32_t table)
{
    struct region_table *row = &t.region->header->table[table];

    atomic_fetch_add(&row->incarnation, 1);
    atomic_store(&row->state, TABLE_LIVE);
}

static void
worker_dies(uint32_t table)
{
    atomic_store(&t.region->header->table[table].state, TABLE_DEAD);
}

static int
setup(void **state)
{
    (void)state;
    t = shm_test_open(&small_geometry);
    for (int i = 0; i < 32; i++)
        t.region->header->key_hash_key[i] = (uint8_t)(i * 7);
    for (uint32_t table = 0; table < 4; table++)
        worker_begins(table);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    shm_test_close(&t);
    return 0;
}

/* A key by its number: all in the first set. */
static struct idem_ask
ask_of(uint64_t key, uint64_t request, uint8_t call)
{
    struct idem_ask ask = {.key = {0, key}, .request = {request, 1}, .now_s = NOW_S};

    memset(ask.call_id, call, sizeof(ask.call_id));
    return ask;
}

static enum idem_result
take(const struct idem_ask *ask, struct idem_claim *claim)
{
    memset(first_id, 0, sizeof(first_id));
    return idem_take(t.region, ask, claim, first_id);
}

static void
assert_first(uint8_t call)
{
    for (size_t i = 0; i < sizeof(first_id); i++)
        assert_int_equal(first_id[i], call);
}

static void
assert_result(const struct idem_ask *ask, enum idem_result expected)
{
    struct idem_claim claim = {NULL, 0};
    enum idem_result result = take(ask, &claim);

    assert_string_equal(idem_result_name[result], idem_result_name[expected]);
    if (result == IDEM_TAKEN)
        idem_release(&claim);
    else
        assert_null(claim.entry);
}

/* ---- one key ---- */

static void
test_life(void **state)
{
    struct idem_ask ask = ask_of(1, 1, 11), again = ask_of(1, 1, 12), other = ask_of(1, 2, 13);
    struct idem_claim claim = {NULL, 0};

    (void)state;
    assert_int_equal(take(&ask, &claim), IDEM_TAKEN);
    assert_non_null(claim.entry);
    assert_result(&again, IDEM_RUNNING);
    assert_first(11);
    assert_result(&other, IDEM_OTHER_REQUEST);
    assert_first(11);
    idem_sent(&claim);
    idem_sent(&claim);
    assert_result(&again, IDEM_RUNNING);
    idem_finish(&claim);
    assert_null(claim.entry);
    assert_result(&again, IDEM_DONE);
    assert_first(11);
    assert_result(&other, IDEM_OTHER_REQUEST);
    assert_first(11);
    ask = ask_of(2, 1, 14);
    assert_result(&ask, IDEM_TAKEN);
}

static void
test_released_is_free(void **state)
{
    struct idem_ask ask = ask_of(1, 1, 11), other = ask_of(1, 2, 13);
    struct idem_claim claim = {NULL, 0};

    (void)state;
    for (int sent = 0; sent < 2; sent++) {
        assert_int_equal(take(&ask, &claim), IDEM_TAKEN);
        if (sent)
            idem_sent(&claim);
        idem_release(&claim);
        assert_null(claim.entry);
        assert_result(&other, IDEM_TAKEN);
    }
    assert_int_equal(take(&other, &claim), IDEM_TAKEN);
    assert_result(&ask, IDEM_OTHER_REQUEST);
    assert_first(13);
    idem_release(&claim);
}

static void
test_every_word_of_a_hash_counts(void **state)
{
    struct idem_ask ask = ask_of(1, 1, 11);
    struct idem_claim claim = {NULL, 0};

    (void)state;
    assert_int_equal(take(&ask, &claim), IDEM_TAKEN);
    for (int i = 0; i < 2; i++) {
        struct idem_ask other = ask;

        other.key[i] ^= UINT64_C(1) << 63;
        assert_result(&other, IDEM_TAKEN);
        other = ask;
        other.request[i] ^= UINT64_C(1) << 63;
        assert_result(&other, IDEM_OTHER_REQUEST);
    }
    idem_release(&claim);
}

static void
test_expiry(void **state)
{
    struct idem_ask ask = ask_of(1, 1, 11), later = ask_of(1, 2, 12);
    struct idem_claim claim = {NULL, 0};

    (void)state;
    assert_int_equal(take(&ask, &claim), IDEM_TAKEN);
    idem_sent(&claim);
    /* A call that runs keeps its key for as long as it runs. */
    later.now_s = NOW_S + 2 * IDEM_KEEP_S;
    assert_result(&later, IDEM_OTHER_REQUEST);
    idem_finish(&claim);
    later.now_s = NOW_S + IDEM_KEEP_S - 1;
    assert_result(&later, IDEM_OTHER_REQUEST);
    later.now_s++;
    assert_result(&later, IDEM_TAKEN);
    /* In the same place: of what was there before nothing is left. */
    assert_result(&ask, IDEM_TAKEN);
}

/* ---- deaths ---- */

static void
test_owner_died_before_it_sent(void **state)
{
    struct idem_ask ask = ask_of(1, 1, 11), again = ask_of(1, 1, 12);
    struct idem_claim claim = {NULL, 0};

    (void)state;
    again.table_idx = 1;
    assert_int_equal(take(&ask, &claim), IDEM_TAKEN);
    assert_result(&again, IDEM_RUNNING);
    worker_dies(0);
    assert_result(&again, IDEM_TAKEN);
}

static void
test_owner_died_after_it_sent(void **state)
{
    struct idem_ask ask = ask_of(1, 1, 11), again = ask_of(1, 1, 12), other = ask_of(1, 2, 13);
    struct idem_claim claim = {NULL, 0};

    (void)state;
    again.table_idx = other.table_idx = 1;
    assert_int_equal(take(&ask, &claim), IDEM_TAKEN);
    idem_sent(&claim);
    worker_dies(0);
    assert_result(&again, IDEM_DONE);
    assert_first(11);
    assert_result(&other, IDEM_OTHER_REQUEST);
    /* The next worker of that table is another. */
    worker_begins(0);
    assert_result(&again, IDEM_DONE);
    again.now_s = NOW_S + IDEM_KEEP_S;
    assert_result(&again, IDEM_TAKEN);
}

static void
test_next_worker_of_the_table(void **state)
{
    struct idem_ask ask = ask_of(1, 1, 11), again = ask_of(1, 1, 12);
    struct idem_claim claim = {NULL, 0};

    (void)state;
    assert_int_equal(take(&ask, &claim), IDEM_TAKEN);
    worker_dies(0);
    worker_begins(0);
    claim.entry = NULL; /* died with its worker */
    assert_int_equal(take(&again, &claim), IDEM_TAKEN);
    assert_result(&ask, IDEM_RUNNING);
    assert_first(12);
    idem_finish(&claim);
}

/* What a worker leaves that dies within idem_take(): states that others see as of nobody. */
static void
test_half_taken(void **state)
{
    const enum idem_state left[] = {IDEM_CLAIM, IDEM_PENDING, IDEM_HELD};
    struct idem_ask ask = ask_of(1, 1, 11), again = ask_of(1, 1, 12);

    (void)state;
    again.table_idx = 1;
    for (size_t i = 0; i < COUNT_OF(left); i++) {
        struct idem_claim claim = {NULL, 0};
        struct idem_entry *entry;

        assert_int_equal(take(&ask, &claim), IDEM_TAKEN);
        entry = claim.entry;
        entry->word = (claim.word & (UINT64_MAX >> 4)) | (uint64_t)left[i] << 60;
        /* Of a CLAIM nobody knows yet what it will be. */
        if (left[i] != IDEM_CLAIM)
            assert_result(&again, IDEM_RUNNING);
        worker_dies(0);
        assert_result(&again, IDEM_TAKEN);
        worker_begins(0);
        assert_result(&again, IDEM_TAKEN);
    }
}

/* ---- a full set ---- */

static void
test_running_are_never_replaced(void **state)
{
    struct idem_claim claims[IDEM_SET] = {{NULL, 0}};
    struct idem_ask ask;

    (void)state;
    for (uint32_t i = 0; i < IDEM_SET; i++) {
        ask = ask_of(i, 1, (uint8_t)(i + 1));
        assert_int_equal(take(&ask, &claims[i]), IDEM_TAKEN);
        if (i % 2)
            idem_sent(&claims[i]);
        for (uint32_t j = 0; j < i; j++)
            assert_ptr_not_equal(claims[i].entry, claims[j].entry);
    }
    ask = ask_of(IDEM_SET, 1, 99);
    assert_result(&ask, IDEM_FULL);
    ask.now_s += 2 * IDEM_KEEP_S;
    assert_result(&ask, IDEM_FULL);
    ask.key[0] = 1; /* in the next set there is room */
    assert_result(&ask, IDEM_TAKEN);
    for (uint32_t i = 0; i < IDEM_SET; i++) {
        ask = ask_of(i, 1, 77);
        assert_result(&ask, IDEM_RUNNING);
        assert_first((uint8_t)(i + 1));
    }
    idem_finish(&claims[5]);
    ask = ask_of(IDEM_SET, 1, 99);
    assert_result(&ask, IDEM_TAKEN);
    ask = ask_of(5, 1, 77); /* gave way */
    assert_result(&ask, IDEM_TAKEN);
}

static void
test_oldest_gives_way(void **state)
{
    struct idem_ask ask;

    (void)state;
    for (uint32_t i = 0; i < IDEM_SET; i++) {
        struct idem_claim claim = {NULL, 0};

        ask = ask_of(i, 1, 1);
        ask.now_s = NOW_S + (i * 7 + 3) % IDEM_SET; /* oldest first: the 11th, 2nd, 9th … */
        assert_int_equal(take(&ask, &claim), IDEM_TAKEN);
        idem_finish(&claim);
    }
    for (uint32_t age = 0; age < IDEM_SET; age++) {
        struct idem_claim claim = {NULL, 0};

        ask = ask_of(100 + age, 1, 2);
        ask.now_s = NOW_S + IDEM_SET;
        assert_int_equal(take(&ask, &claim), IDEM_TAKEN);
        for (uint32_t i = 0; i < IDEM_SET; i++) {
            ask = ask_of(i, 1, 3);
            ask.now_s = NOW_S + IDEM_SET;
            if ((i * 7 + 3) % IDEM_SET > age)
                assert_result(&ask, IDEM_DONE);
        }
        idem_sent(&claim);
    }
    ask = ask_of(200, 1, 2);
    assert_result(&ask, IDEM_FULL);
}

/* Rather than one that still tells something: what is free, expired, or was left by the dead. */
static void
test_useless_give_way_first(void **state)
{
    struct idem_claim claims[IDEM_SET] = {{NULL, 0}};
    struct idem_ask ask;

    (void)state;
    worker_begins(1);
    for (uint32_t i = 0; i < IDEM_SET; i++) {
        ask = ask_of(i, 1, 1);
        ask.table_idx = i == 9;
        ask.now_s = i == 12 ? NOW_S - IDEM_KEEP_S : NOW_S;
        assert_int_equal(take(&ask, &claims[i]), IDEM_TAKEN);
    }
    for (uint32_t i = 0; i < IDEM_SET; i++)
        if (i == 14)
            idem_release(&claims[i]);
        else if (i != 9)
            idem_finish(&claims[i]);
    worker_dies(1);
    for (uint32_t i = 0; i < 3; i++) {
        struct idem_claim claim = {NULL, 0};

        ask = ask_of(100 + i, 1, 1);
        assert_int_equal(take(&ask, &claim), IDEM_TAKEN);
    }
    for (uint32_t i = 0; i < IDEM_SET; i++) {
        ask = ask_of(i, 1, 1);
        if (i != 9 && i != 12 && i != 14)
            assert_result(&ask, IDEM_DONE);
    }
}

/* ---- what cannot be meant ---- */

static void
test_any_bytes(void **state)
{
    struct idem_entry *entries = region_part(t.region, REGION_IDEM);
    uint64_t rng = test_seed();

    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct idem_ask ask = ask_of(3, 1, 11);
        struct idem_claim claim = {NULL, 0};

        for (uint32_t i = 0; i < IDEM_SET; i++) {
            rng = rng * 6364136223846793005u + 1442695040888963407u;
            entries[i].word = rng;
            entries[i].key[1] = rng >> 33 & 7;
            entries[i].expires_s = rng >> 40;
        }
        switch (take(&ask, &claim)) {
        case IDEM_TAKEN:
            idem_sent(&claim);
            assert_result(&ask, IDEM_RUNNING);
            if (round % 2)
                idem_finish(&claim);
            else
                idem_release(&claim);
            break;
        case IDEM_RUNNING:
        case IDEM_DONE:
        case IDEM_OTHER_REQUEST:
        case IDEM_FULL:
        case IDEM_RESULT_COUNT: assert_null(claim.entry); break;
        }
    }
}

/* Somebody wrote over an entry that is ours: what we do at its end leaves it alone. */
static void
test_lost_entry(void **state)
{
    struct idem_ask ask = ask_of(1, 1, 11);
    struct idem_claim claim = {NULL, 0};
    struct idem_entry *entry;

    (void)state;
    assert_int_equal(take(&ask, &claim), IDEM_TAKEN);
    entry = claim.entry;
    entry->word = 4711;
    idem_sent(&claim);
    idem_finish(&claim);
    assert_null(claim.entry);
    assert_int_equal(entry->word, 4711);
}

/* ---- hashes ---- */

static bool
same(const uint64_t a[2], const uint64_t b[2])
{
    return a[0] == b[0] && a[1] == b[1];
}

static void
test_hashes(void **state)
{
    char longest[IDEM_KEY_LEN_MAX];
    struct idem_ask ask, other;
    struct str key = STR("key-1"), path = STR("/v1/a"), body = STR("{}");

    (void)state;
    memset(longest, 'x', sizeof(longest));
    idem_hash(t.region, 7, key, path, body, &ask);
    idem_hash(t.region, 7, key, path, body, &other);
    assert_true(same(ask.key, other.key) && same(ask.request, other.request));
    idem_hash(t.region, 8, key, path, body, &other);
    assert_true(!same(ask.key, other.key) && same(ask.request, other.request));
    idem_hash(t.region, 7, STR("key-2"), path, body, &other);
    assert_true(!same(ask.key, other.key) && same(ask.request, other.request));
    idem_hash(t.region, 7, STR("key-"), path, body, &other);
    assert_false(same(ask.key, other.key));
    idem_hash(t.region, 7, key, STR("/v1/b"), body, &other);
    assert_true(same(ask.key, other.key) && !same(ask.request, other.request));
    idem_hash(t.region, 7, key, path, STR("{} "), &other);
    assert_true(same(ask.key, other.key) && !same(ask.request, other.request));
    idem_hash(t.region, 7, key, path, STR_NONE, &other);
    assert_false(same(ask.request, other.request));
    idem_hash(t.region, 7, (struct str){longest, sizeof(longest)}, path, body, &ask);
    idem_hash(t.region, 7, (struct str){longest, sizeof(longest) - 1}, path, body, &other);
    assert_false(same(ask.key, other.key));
    /* Nobody can tell them without the region's secret. */
    idem_hash(t.region, 7, key, path, body, &ask);
    t.region->header->key_hash_key[31]++;
    idem_hash(t.region, 7, key, path, body, &other);
    assert_true(!same(ask.key, other.key) && !same(ask.request, other.request));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_life),
        TEST(test_released_is_free),
        TEST(test_every_word_of_a_hash_counts),
        TEST(test_expiry),
        TEST(test_owner_died_before_it_sent),
        TEST(test_owner_died_after_it_sent),
        TEST(test_next_worker_of_the_table),
        TEST(test_half_taken),
        TEST(test_running_are_never_replaced),
        TEST(test_oldest_gives_way),
        TEST(test_useless_give_way_first),
        TEST(test_any_bytes),
        TEST(test_lost_entry),
        TEST(test_hashes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
