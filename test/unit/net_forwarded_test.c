/* Whom a request comes from behind proxies: what they say counts, what a client says never does. */
#include "net/forwarded.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/str.h"
#include "test/unit/testing.h"

#define XFF "X-Forwarded-For: "

static void
peer_of(const char *text, struct net_addr *peer)
{
    *peer = (struct net_addr){.family = 4};
    if (inet_pton(AF_INET, text, peer->ip) == 1)
        return;
    peer->family = 6;
    assert_int_equal(inet_pton(AF_INET6, text, peer->ip), 1);
}

/* trusted: ranges with blanks between them. lines: header lines, each ended by CRLF. */
static void
client_is(const char *peer_text, const char *trusted, const char *lines, const char *wanted)
{
    struct cidr ranges[8];
    size_t count = 0;
    struct str rest = str_from(trusted);
    struct h1_head head;
    struct h1_error error;
    struct net_addr peer;
    struct buf request;
    uint8_t ip[16];
    char text[FORWARDED_TEXT];

    while (rest.len > 0) {
        assert_true(count < COUNT_OF(ranges));
        assert_true(cidr_parse(str_split(rest, ' ', &rest), &ranges[count++]));
    }
    buf_init(&request, 1 << 20);
    buf_add_fmt(&request, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
    h1_head_init(&head);
    assert_int_equal(h1_head_lint_request(&head, &h1_limits_default, (const uint8_t *)request.ptr, request.len, &error),
                     H1_LINT_DONE);
    peer_of(peer_text, &peer);
    forwarded_client(&peer, &head, ranges, count, ip);
    if (!str_eq(forwarded_text(ip, text), str_from(wanted)))
        fail_msg("%s, %s, %s: %s, not %s", peer_text, trusted, lines, text, wanted);
    buf_free(&request);
}

static void
who_it_is(void **state)
{
    static const struct {
        const char *peer, *trusted, *lines, *client;
    } cases[] = {
        /* Nobody is trusted, or not who asks. */
        {"192.0.2.1", "", XFF "198.51.100.9\r\n", "192.0.2.1"},
        {"192.0.2.1", "10.0.0.0/8", XFF "198.51.100.9\r\n", "192.0.2.1"},
        {"::ffff:192.0.2.1", "", "", "192.0.2.1"},
        {"2001:db8::1", "", "", "2001:db8::1"},
        /* A proxy. */
        {"10.0.0.1", "10.0.0.0/8", "", "10.0.0.1"},
        {"10.0.0.1", "10.0.0.0/8", XFF "198.51.100.9\r\n", "198.51.100.9"},
        {"::ffff:10.0.0.1", "10.0.0.0/8", XFF "198.51.100.9\r\n", "198.51.100.9"},
        {"10.0.0.1", "10.0.0.1", "x-forwarded-FOR:198.51.100.9\r\n", "198.51.100.9"},
        {"2001:db8::1", "2001:db8::/64", XFF "2001:db8:1::2\r\n", "2001:db8:1::2"},
        {"10.0.0.1", "10.0.0.0/8", XFF "::ffff:198.51.100.9\r\n", "198.51.100.9"},
        /* What the client wrote before it. */
        {"10.0.0.1", "10.0.0.0/8", XFF "203.0.113.5, 198.51.100.9\r\n", "198.51.100.9"},
        {"10.0.0.1", "10.0.0.0/8", XFF "10.9.9.9,198.51.100.9\r\n", "198.51.100.9"},
        {"10.0.0.1", "10.0.0.0/8", XFF "203.0.113.5\r\n" XFF "198.51.100.9\r\n", "198.51.100.9"},
        {"10.0.0.1", "10.0.0.0/8", XFF "203.0.113.5\r\nX-Real-IP: 203.0.113.6\r\nForwarded: for=203.0.113.7\r\n"
         XFF "198.51.100.9\r\n", "198.51.100.9"},
        /* Proxies in a row. */
        {"10.0.0.1", "10.0.0.0/8", XFF "203.0.113.5, 198.51.100.9, 10.0.0.2\r\n", "198.51.100.9"},
        {"10.0.0.1", "10.0.0.0/8 192.0.2.0/24", XFF "203.0.113.5, 198.51.100.9\r\n" XFF "192.0.2.7\r\n" XFF "10.0.0.2\r\n",
         "198.51.100.9"},
        {"10.0.0.1", "10.0.0.0/8", XFF "10.0.0.3, 10.0.0.2\r\n", "10.0.0.3"},
        /* Ports, brackets, empty elements. */
        {"10.0.0.1", "10.0.0.0/8", XFF "198.51.100.9:4711\r\n", "198.51.100.9"},
        {"10.0.0.1", "10.0.0.0/8", XFF "[2001:db8::9]\r\n", "2001:db8::9"},
        {"10.0.0.1", "10.0.0.0/8", XFF "[2001:db8::9]:4711\r\n", "2001:db8::9"},
        {"10.0.0.1", "10.0.0.0/8", XFF "198.51.100.9 , ,\t,\r\n" XFF "\r\n", "198.51.100.9"},
        /* What is no address ends the list with who wrote it. */
        {"10.0.0.1", "10.0.0.0/8", XFF "198.51.100.9, unknown\r\n", "10.0.0.1"},
        {"10.0.0.1", "10.0.0.0/8", XFF "198.51.100.9, unknown, 10.0.0.2\r\n", "10.0.0.2"},
        {"10.0.0.1", "10.0.0.0/8", XFF "198.51.100.0/24\r\n", "10.0.0.1"},
        {"10.0.0.1", "10.0.0.0/8", XFF "198.51.100.9:\r\n", "10.0.0.1"},
        {"10.0.0.1", "10.0.0.0/8", XFF "198.51.100.9:65536\r\n", "10.0.0.1"},
        {"10.0.0.1", "10.0.0.0/8", XFF "[198.51.100.9]\r\n", "10.0.0.1"},
        {"10.0.0.1", "10.0.0.0/8", XFF "[2001:db8::9\r\n", "10.0.0.1"},
        {"10.0.0.1", "10.0.0.0/8", XFF "[2001:db8::9]x\r\n", "10.0.0.1"},
        {"10.0.0.1", "10.0.0.0/8", XFF "\"198.51.100.9\"\r\n", "10.0.0.1"},
        {"10.0.0.1", "10.0.0.0/8", XFF "fe80::1%eth0\r\n", "10.0.0.1"},
        {"10.0.0.1", "10.0.0.0/8", XFF ",\r\n", "10.0.0.1"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        client_is(cases[i].peer, cases[i].trusted, cases[i].lines, cases[i].client);
}

/* count proxies behind the one that asks, 10.0.1.1 the farthest of them, and a client. */
static void
row_of(unsigned count, const char *wanted)
{
    struct buf line;

    buf_init(&line, 1 << 16);
    buf_add_fmt(&line, XFF "198.51.100.9");
    for (unsigned i = 1; i <= count; i++)
        buf_add_fmt(&line, ",10.0.1.%u", i);
    buf_add_fmt(&line, "\r\n%c", '\0');
    client_is("10.0.0.1", "10.0.0.0/8", line.ptr, wanted);
    buf_free(&line);
}

static void
how_far(void **state)
{
    (void)state;
    row_of(FORWARDED_HOPS_MAX - 1, "198.51.100.9");
    row_of(FORWARDED_HOPS_MAX, "10.0.1.1");
    row_of(FORWARDED_HOPS_MAX + 1, "10.0.1.2");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_it_is),
        cmocka_unit_test(how_far),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
