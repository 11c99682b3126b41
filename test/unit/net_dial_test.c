/* The dial rule, address by address; hosts by their form; dialling for real. */
#include "net_tools.h"

#include "net/dns.h"

static struct net net;

/* ---- the rule ----------------------------------------------------------------------------- */

static bool
allowed(const char *text, bool local)
{
    struct net_addr addr;
    struct sockaddr_storage ss;
    const char *why;

    if (dial_host_kind((struct str){text, strlen(text)}, &addr, &why) != DIAL_HOST_ADDRESS)
        fail_msg("not an address: %s", text);
    addr.port = 443;
    (void)net_addr_to(&addr, &ss);
    return dial_address_allowed((const struct sockaddr *)&ss, local);
}

static void
addresses(void **state)
{
    static const char *const refused[] = {
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.1",
        "169.254.169.254",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.255",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::8.8.8.8",
        "::ffff:0:8.8.8.8",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:2::1",
        "2001:10::1",
        "2001:1ff:ffff::",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3fff::1",
        "3fff:fff:ffff::",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "2a00:1450::5efe:10.0.0.1",
        "2a00:1450::200:5efe:8.8.8.8",
        "[::1]",
        "[fe80::1]",
    };
    static const char *const fine[] = {
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.1",
        "192.88.100.1",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "203.0.112.1",
        "203.0.114.1",
        "223.255.255.255",
        "2000::1",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2003::1",
        "2606:4700:4700::1111",
        "2a00:1450:4001::200e",
        "3ffe::1",
        "[2606:4700::1111]",
    };
    struct sockaddr_storage other = {.ss_family = AF_UNIX};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        if (allowed(refused[i], false))
            fail_msg("%s is allowed", refused[i]);
        assert_true(allowed(refused[i], true));
    }
    for (size_t i = 0; i < COUNT_OF(fine); i++) {
        if (!allowed(fine[i], false))
            fail_msg("%s is refused", fine[i]);
        assert_true(allowed(fine[i], true));
    }
    assert_false(dial_address_allowed((const struct sockaddr *)&other, false));
    assert_false(dial_address_allowed((const struct sockaddr *)&other, true));
}

static void
hosts(void **state)
{
    static const char *const names[] = {
        "api.example.com",
        "a",
        "localhost",
        "a.b.",
        "1.2.3.4.example",
        "0x7f.example",
        "x1",
        "under_score.example",
        "127.0.0.1.nip.io",
        "1e100.net",
        "0x.g",
        "3com",
        "a.0xg",
    };
    static const char *const refused[] = {
        "",           "2130706433",  "0x7f000001", "017700000001",
        "127.1",      "127.0.0.0x1", "0x7f.1",     "1.2.3",
        "1.2.3.4.5",  "010.0.0.1",   "127.0.0.1.", "0X7F.0.0.1",
        "4294967296", "a.1",         "a.0x",       "a..b",
        ".a",         "..",          ".",          "a b",
        "a/b",        "a@b",         "a:80",       "[::1",
        "::1]",       "[1.2.3.4]",   "fe80::1%lo", "caf\xc3\xa9.example",
        "a\n",        "%31.example", "[]",         "*",
    };
    struct net_addr addr;
    const char *why;
    char longest[300];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (dial_host_kind((struct str){names[i], strlen(names[i])}, &addr, &why) != DIAL_HOST_NAME)
            fail_msg("not a name: %s", names[i]);
    }
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        why = NULL;
        if (dial_host_kind((struct str){refused[i], strlen(refused[i])}, &addr, &why) !=
            DIAL_HOST_REFUSED)
            fail_msg("not refused: %s", refused[i]);
        assert_non_null(why);
    }
    assert_int_equal(dial_host_kind((struct str){"a.example\0b", 11}, &addr, &why),
                     DIAL_HOST_REFUSED);
    assert_int_equal(dial_host_kind((struct str){"127.0.0.1\0", 10}, &addr, &why),
                     DIAL_HOST_REFUSED);
    memset(longest, 'a', sizeof(longest));
    for (unsigned i = 0; i < sizeof(longest); i += 50)
        longest[i] = '.';
    assert_int_equal(dial_host_kind((struct str){longest + 1, 253}, &addr, &why), DIAL_HOST_NAME);
    assert_int_equal(dial_host_kind((struct str){longest + 1, 254}, &addr, &why),
                     DIAL_HOST_REFUSED);
    memset(longest, 'a', 64);
    assert_int_equal(dial_host_kind((struct str){longest, 63}, &addr, &why), DIAL_HOST_NAME);
    assert_int_equal(dial_host_kind((struct str){longest, 64}, &addr, &why), DIAL_HOST_REFUSED);
}

/* ---- dialling ----------------------------------------------------------------------------- */

static struct dns_answer lookup_answer;
static unsigned lookup_ms;

static void
lookup(const char *name, struct dns_answer *answer)
{
    (void)name;
    (void)usleep(lookup_ms * 1000);
    *answer = lookup_answer;
}

static int
setup(void **state)
{
    (void)state;
    tools_net(&net);
    dns_set_lookup(&net, lookup);
    memset(&lookup_answer, 0, sizeof(lookup_answer));
    lookup_ms = 0;
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    assert_int_equal(net.counts.conns_open, 0);
    assert_int_equal(net.wheel.count, 0);
    net_end(&net);
    return 0;
}

static void
add_address(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    lookup_answer.addrs[lookup_answer.count++] = (struct net_addr){.ip = {a, b, c, d}, .family = 4};
}

static void
dial_fails(const char *host, size_t host_len, uint16_t port, bool local, uint32_t connect_ms,
           struct side *side)
{
    struct dial_target target = {
        .host = {host, host_len}, .port = port, .local = local, .connect_ms = connect_ms};

    side_init(side);
    assert_int_equal(net_dial(&net, &side->conn, &side_events, &target), 0);
    assert_int_equal(side->errors, 0); /* never from within */
    RUN_UNTIL(&net, side->closed == 1);
    assert_int_equal(side->errors, 1);
    assert_int_equal(side->opened, 0);
    print_message("%.*s: %s: %s\n", (int)MIN(host_len, 40), host, conn_stage_name[side->stage],
                  side->text);
}

/* A port where nobody listens: bound, never listening. */
static int
dead_port(uint16_t *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    *port = net_listen_port(fd);
    return fd;
}

static void
refusals_of_the_rule(void **state)
{
    struct side side;
    struct door door;
    struct side in;

    (void)state;
    side_init(&in);
    door_open(&net, &door, &in, 1, NULL);
    dial_fails("127.0.0.1", 9, door.port, false, 0, &side);
    assert_int_equal(side.err, -EACCES);
    assert_int_equal(side.stage, CONN_STAGE_RESOLVE);
    assert_non_null(strstr(side.text, "the dial rule refuses 127.0.0.1:"));
    dial_fails("[::1]", 5, door.port, false, 0, &side);
    assert_int_equal(side.err, -EACCES);
    dial_fails("2130706433", 10, door.port, true, 0, &side);
    assert_int_equal(side.err, -EACCES);
    dial_fails("", 0, door.port, true, 0, &side);
    /* A name that resolves to what must not be dialled: rebinding. */
    add_address(10, 0, 0, 1);
    add_address(127, 0, 0, 1);
    dial_fails("rebind.example", 14, door.port, false, 0, &side);
    assert_int_equal(side.err, -EACCES);
    assert_int_equal(net.counts.names_resolved, 1);
    assert_int_equal(net.counts.dial_failed, 5);
    assert_int_equal(door.taken, 0);
    door_close(&net, &door);
}

static void
nobody_listens(void **state)
{
    struct side side;
    uint16_t port;
    int fd = dead_port(&port);

    (void)state;
    dial_fails("127.0.0.1", 9, port, true, 0, &side);
    assert_int_equal(side.err, -ECONNREFUSED);
    assert_int_equal(side.stage, CONN_STAGE_CONNECT);
    assert_string_equal(side.text, "connection refused");
    (void)close(fd);
}

static void
no_such_name(void **state)
{
    struct side side;

    (void)state;
    lookup_answer.err = -ENOENT;
    lookup_answer.text = "no such name";
    dial_fails("missing.example", 15, 80, true, 0, &side);
    assert_int_equal(side.err, -ENOENT);
    assert_int_equal(side.stage, CONN_STAGE_RESOLVE);
}

static void
resolver_hangs(void **state)
{
    struct side side;
    uint64_t from = clock_mono_us();

    (void)state;
    lookup_ms = 600;
    add_address(127, 0, 0, 1);
    dial_fails("slow.example", 12, 80, true, 100, &side);
    assert_int_equal(side.err, -ETIMEDOUT);
    assert_int_equal(side.stage, CONN_STAGE_RESOLVE);
    assert_true(clock_mono_us() - from < 500000);
}

/* A listening socket whose queue is full does not answer: the kernel drops the SYN. */
static void
silent_address_times_out(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fill[8];
    struct side side;
    uint64_t from;
    uint16_t port;

    (void)state;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fd, 0), 0);
    port = net_listen_port(fd);
    in.sin_port = htons(port);
    for (unsigned i = 0; i < COUNT_OF(fill); i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fill[i], (struct sockaddr *)&in, sizeof(in));
    }
    from = clock_mono_us();
    dial_fails("127.0.0.1", 9, port, true, 200, &side);
    assert_int_equal(side.err, -ETIMEDOUT);
    assert_int_equal(side.stage, CONN_STAGE_CONNECT);
    assert_true(clock_mono_us() - from >= 190000);
    for (unsigned i = 0; i < COUNT_OF(fill); i++)
        (void)close(fill[i]);
    (void)close(fd);
}

/* The rule takes bad addresses out, the next is tried when one fails, and is first afterwards. */
static void
next_address_is_tried(void **state)
{
    struct side in[6], out[6];
    struct door door;

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        side_init(&in[i]);
        side_init(&out[i]);
    }
    door_open(&net, &door, in, 6, NULL);
    add_address(127, 0, 0, 2); /* the door is on 127.0.0.1 alone */
    add_address(127, 0, 0, 3);
    add_address(127, 0, 0, 1);
    for (unsigned i = 0; i < 6; i++) {
        side_dial(&net, &out[i], door.port, NULL, "three.example");
        RUN_UNTIL(&net, out[i].opened == 1);
        assert_int_equal(out[i].conn.peer.ip[3], 1);
    }
    assert_int_equal(net.counts.names_resolved, 1);
    RUN_UNTIL(&net, door.taken == 6);
    for (unsigned i = 0; i < 6; i++) {
        conn_close(&in[i].conn);
        conn_close(&out[i].conn);
        RUN_UNTIL(&net, in[i].closed == 1 && out[i].closed == 1);
    }
    door_close(&net, &door);
}

static void
closed_while_dialling(void **state)
{
    struct side in[40], out[40];
    struct door door;

    (void)state;
    door_open(&net, &door, in, 40, NULL);
    add_address(127, 0, 0, 2);
    add_address(127, 0, 0, 1);
    for (unsigned i = 0; i < 40; i++) {
        side_init(&in[i]);
        side_init(&out[i]);
        lookup_ms = i % 4;
        side_dial(&net, &out[i], door.port, NULL, i % 2 == 0 ? "two.example" : "127.0.0.1");
        for (unsigned turn = 0; turn < i / 8; turn++)
            (void)uv_run(&net.loop, UV_RUN_NOWAIT);
        if (i % 3 == 0)
            conn_shutdown(&out[i].conn);
        conn_close(&out[i].conn);
        assert_int_equal(out[i].closed, 0);
        RUN_UNTIL(&net, out[i].closed == 1);
    }
    door_close(&net, &door);
    for (unsigned i = 0; i < 40; i++) {
        if (in[i].conn.state == CONN_UNUSED)
            continue;
        conn_close(&in[i].conn);
        RUN_UNTIL(&net, in[i].closed == 1);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(hosts),
        cmocka_unit_test_setup_teardown(refusals_of_the_rule, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_listens, setup, teardown),
        cmocka_unit_test_setup_teardown(no_such_name, setup, teardown),
        cmocka_unit_test_setup_teardown(resolver_hangs, setup, teardown),
        cmocka_unit_test_setup_teardown(silent_address_times_out, setup, teardown),
        cmocka_unit_test_setup_teardown(next_address_is_tried, setup, teardown),
        cmocka_unit_test_setup_teardown(closed_while_dialling, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
