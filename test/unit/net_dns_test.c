/* The name cache, with a resolver and a clock that the test holds. */
#include "net_tools.h"

#include "net/dns.h"

#include <netdb.h>
#include <stdatomic.h>

static struct net net;
static atomic_uint lookups, lookups_now, lookups_most;
static struct dns_answer lookup_answer;

static void
lookup(const char *name, struct dns_answer *answer)
{
    unsigned now = atomic_fetch_add(&lookups_now, 1) + 1;

    (void)name;
    if (now > atomic_load(&lookups_most))
        atomic_store(&lookups_most, now);
    (void)usleep(2000);
    *answer = lookup_answer;
    atomic_fetch_add(&lookups, 1);
    atomic_fetch_sub(&lookups_now, 1);
}

static int
setup(void **state)
{
    (void)state;
    tools_net(&net);
    dns_set_lookup(&net, lookup);
    atomic_store(&lookups, 0);
    atomic_store(&lookups_most, 0);
    memset(&lookup_answer, 0, sizeof(lookup_answer));
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    net_end(&net);
    return 0;
}

struct asker {
    struct dns_query query;
    struct dns_answer answer;
    unsigned told;
    struct asker *cancels;
};

static void
asker_on_answer(struct dns_query *query, const struct dns_answer *answer)
{
    struct asker *asker = CONTAINER_OF(query, struct asker, query);

    asker->answer = *answer;
    asker->told++;
    if (asker->cancels != NULL)
        dns_cancel(&asker->cancels->query);
}

static bool
ask(struct asker *asker, const char *name)
{
    return dns_ask(&net, (struct str){name, strlen(name)}, &asker->query, asker_on_answer,
                   &asker->answer);
}

static void
ask_and_wait(struct asker *asker, const char *name)
{
    memset(asker, 0, sizeof(*asker));
    if (!ask(asker, name))
        RUN_UNTIL(&net, asker->told == 1);
}

static void
found(unsigned count)
{
    memset(&lookup_answer, 0, sizeof(lookup_answer));
    lookup_answer.count = count;
    for (unsigned i = 0; i < count; i++)
        lookup_answer.addrs[i] = (struct net_addr){.ip = {10, 0, 0, (uint8_t)i}, .family = 4};
}

/* The cache reads the loop's time, which is a field; a run would set it right again. */
static void
later(uint64_t ms)
{
    uv_update_time(&net.loop);
    net.loop.time += ms;
}

static void
one_question_for_many(void **state)
{
    static struct asker askers[100];

    (void)state;
    memset(askers, 0, sizeof(askers));
    found(1);
    for (unsigned i = 0; i < 100; i++)
        assert_false(ask(&askers[i], i % 2 == 0 ? "name.example" : "NAME.Example"));
    dns_cancel(&askers[7].query);
    dns_cancel(&askers[7].query);
    askers[20].cancels = &askers[21];
    RUN_UNTIL(&net, askers[99].told == 1);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(askers[i].told, i != 7 && i != 21);
    assert_int_equal(atomic_load(&lookups), 1);
    assert_true(ask(&askers[0], "name.example"));
    assert_int_equal(askers[0].answer.count, 1);
    assert_int_equal(atomic_load(&lookups), 1);
}

static void
answers_expire(void **state)
{
    struct asker asker;

    (void)state;
    found(1);
    ask_and_wait(&asker, "a.example");
    later(DNS_FOUND_MS - 500);
    assert_true(ask(&asker, "a.example"));
    later(DNS_FOUND_MS + 10);
    ask_and_wait(&asker, "a.example");
    assert_int_equal(atomic_load(&lookups), 2);

    lookup_answer = (struct dns_answer){.err = -ENOENT, .text = "no such name"};
    ask_and_wait(&asker, "b.example");
    assert_int_equal(asker.answer.err, -ENOENT);
    assert_int_equal(asker.answer.count, 0);
    assert_true(ask(&asker, "b.example"));
    later(DNS_MISSING_MS + 10);
    found(1);
    ask_and_wait(&asker, "b.example");
    assert_int_equal(asker.answer.err, 0);
}

/* A resolver in trouble does not take away what was known; a name that is gone is gone. */
static void
old_answers_outlive_trouble(void **state)
{
    struct asker asker;

    (void)state;
    found(2);
    ask_and_wait(&asker, "a.example");
    lookup_answer = (struct dns_answer){.err = -EAGAIN, .text = "trouble"};
    later(DNS_FOUND_MS + 10);
    ask_and_wait(&asker, "a.example");
    assert_int_equal(atomic_load(&lookups), 2);
    assert_int_equal(asker.answer.err, 0);
    assert_int_equal(asker.answer.count, 2);
    ask_and_wait(&asker, "never.example");
    assert_int_equal(asker.answer.err, -EAGAIN);
    lookup_answer = (struct dns_answer){.err = -ENOENT, .text = "no such name"};
    later(DNS_FOUND_MS + 10);
    ask_and_wait(&asker, "a.example");
    assert_int_equal(asker.answer.err, -ENOENT);
    assert_int_equal(asker.answer.count, 0);
}

static void
addresses_take_turns(void **state)
{
    struct asker asker;
    unsigned first[4] = {0};

    (void)state;
    found(3);
    lookup_answer.count = 4;
    lookup_answer.addrs[3] = (struct net_addr){.ip = {0x20, 3}, .family = 6};
    ask_and_wait(&asker, "a.example");
    for (unsigned i = 0; i < 30; i++) {
        assert_true(ask(&asker, "a.example"));
        assert_int_equal(asker.answer.count, 4);
        assert_int_equal(asker.answer.addrs[3].family, 6); /* the other family stays behind */
        first[asker.answer.addrs[0].ip[3]]++;
    }
    assert_int_equal(first[0], 10);
    assert_int_equal(first[1], 10);
    assert_int_equal(first[2], 10);
    dns_address_failed(&net, STR("A.example"), &lookup_answer.addrs[1]);
    for (unsigned i = 0; i < 9; i++) {
        assert_true(ask(&asker, "a.example"));
        assert_int_equal(asker.answer.count, 4);
        assert_int_equal(asker.answer.addrs[3].ip[3], 1); /* last of all */
    }
    later(11000);
    memset(first, 0, sizeof(first));
    for (unsigned i = 0; i < 9; i++) {
        assert_true(ask(&asker, "a.example"));
        first[asker.answer.addrs[0].ip[3]]++;
    }
    assert_int_equal(first[1], 3);
}

static void
memory_and_threads_are_bounded(void **state)
{
    struct asker *askers = calloc(DNS_NAMES_MAX + 50, sizeof(*askers));
    char name[32];
    unsigned refused = 0;

    (void)state;
    assert_non_null(askers);
    found(1);
    for (unsigned i = 0; i < DNS_NAMES_MAX + 50; i++) {
        (void)snprintf(name, sizeof(name), "n%u.example", i);
        if (ask(&askers[i], name)) {
            assert_int_equal(askers[i].answer.err, -ENOMEM);
            refused++;
        }
    }
    /* All are being asked for: none can go. */
    assert_int_equal(refused, 50);
    RUN_UNTIL(&net, askers[DNS_NAMES_MAX - 1].told == 1 && atomic_load(&lookups) == DNS_NAMES_MAX);
    assert_true(atomic_load(&lookups_most) <= 4);
    /* Now the oldest go. */
    ask_and_wait(&askers[0], "new.example");
    assert_int_equal(askers[0].answer.err, 0);
    assert_true(ask(&askers[1], "n900.example"));
    ask_and_wait(&askers[0], "n0.example");
    assert_int_equal(atomic_load(&lookups), DNS_NAMES_MAX + 2);
    free(askers);
}

static void
not_names(void **state)
{
    struct asker asker;
    char text[300];

    (void)state;
    memset(&asker, 0, sizeof(asker));
    memset(text, 'a', sizeof(text));
    assert_true(ask(&asker, ""));
    assert_int_equal(asker.answer.err, -ENOENT);
    assert_true(
        dns_ask(&net, (struct str){text, 254}, &asker.query, asker_on_answer, &asker.answer));
    assert_true(
        dns_ask(&net, (struct str){"a\0b", 3}, &asker.query, asker_on_answer, &asker.answer));
    assert_int_equal(asker.answer.err, -ENOENT);
    assert_int_equal(net.counts.names_resolved, 0);
}

/* The system's own resolver, for the one name that nearly every machine has. */
static void
the_system_knows_localhost(void **state)
{
    struct addrinfo *list = NULL;
    struct net fresh;
    struct asker asker = {.told = 0};

    (void)state;
    if (getaddrinfo("localhost", NULL, NULL, &list) != 0)
        skip();
    freeaddrinfo(list);
    tools_net(&fresh);
    assert_false(dns_ask(&fresh, STR("localhost"), &asker.query, asker_on_answer, &asker.answer));
    RUN_UNTIL(&fresh, asker.told == 1);
    assert_int_equal(asker.answer.err, 0);
    assert_true(asker.answer.count > 0);
    net_end(&fresh);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_question_for_many, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_expire, setup, teardown),
        cmocka_unit_test_setup_teardown(old_answers_outlive_trouble, setup, teardown),
        cmocka_unit_test_setup_teardown(addresses_take_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_and_threads_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(not_names, setup, teardown),
        cmocka_unit_test_setup_teardown(the_system_knows_localhost, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
