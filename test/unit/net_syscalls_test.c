/*
 * What a message costs: in steady state one read and one write a side, and no epoll_ctl. The
 * calls are counted where the program and libuv call them: a program's own definition of a
 * function goes before the C library's.
 */
#include "net_tools.h"

#include <sys/epoll.h>
#include <sys/syscall.h>

static struct {
    unsigned reads, writes, epoll_ctls, epoll_waits;
} calls;

ssize_t
recv(int fd, void *buf, size_t len, int flags)
{
    calls.reads++;
    return syscall(SYS_recvfrom, fd, buf, len, flags, NULL, NULL);
}

ssize_t
send(int fd, const void *buf, size_t len, int flags)
{
    calls.writes++;
    return syscall(SYS_sendto, fd, buf, len, flags, NULL, 0);
}

ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
    calls.writes++;
    return syscall(SYS_sendmsg, fd, msg, flags);
}

int
epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    calls.epoll_ctls++;
    return (int)syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

int
epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout, const sigset_t *mask)
{
    calls.epoll_waits++;
    return (int)syscall(SYS_epoll_pwait, epfd, events, max, timeout, mask, 8);
}

int
epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
    return epoll_pwait(epfd, events, max, timeout, NULL);
}

enum { MESSAGES = 1000 };

static struct net net;
static struct door door;
static struct side in;
static char answer[700];

/* The client asks again when the whole answer came; the server answers in two parts. */
struct asker {
    struct conn conn;
    size_t waits_for;
    unsigned asked, answered;
    bool stops;
};
static struct asker asker;

static void
asker_ask(void)
{
    struct str parts[] = {STR("POST / HTTP/1.1\r\n\r\n"), {answer, sizeof(answer)}};

    asker.waits_for = sizeof(answer) + 19;
    asker.asked++;
    assert_int_equal(conn_write(&asker.conn, parts, 2), 0);
    /* What a worker may do while it waits for the other side. */
    if (asker.stops)
        conn_read_stop(&asker.conn);
    if (asker.stops)
        conn_read_start(&asker.conn);
}

static void
asker_on_open(struct conn *conn)
{
    (void)conn;
}

static void
asker_on_data(struct conn *conn, uint8_t *bytes, size_t len)
{
    (void)conn;
    (void)bytes;
    asker.waits_for -= len;
    if (asker.waits_for > 0)
        return;
    asker.answered++;
    if (asker.asked < MESSAGES)
        asker_ask();
}

static unsigned asker_ends;

static void
asker_on_end(struct conn *conn)
{
    (void)conn;
    asker_ends++;
}

static void
asker_on_error(struct conn *conn, const struct conn_error *error)
{
    (void)conn;
    fail_msg("%s", error->text);
}

static const struct conn_events asker_events = {
    .on_open = asker_on_open,
    .on_data = asker_on_data,
    .on_eof = asker_on_end,
    .on_error = asker_on_error,
    .on_closed = asker_on_end,
};

static void
thousand_messages(void **state)
{
    struct dial_target target = {.host = STR("127.0.0.1"), .local = true};
    uint64_t from_us;

    (void)state;
    tools_net(&net);
    side_init(&in);
    in.echo = true;
    in.keep = false;
    asker.stops = true;
    door_open(&net, &door, &in, 1, NULL);
    target.port = door.port;
    assert_int_equal(net_dial(&net, &asker.conn, &asker_events, &target), 0);
    RUN_UNTIL(&net, in.opened == 1 && asker.conn.state == CONN_OPEN);
    RUN_FOR(&net, 10);
    /* That it counts at all. */
    assert_true(calls.epoll_ctls > 0);
    assert_true(calls.epoll_waits > 0);
    memset(&calls, 0, sizeof(calls));
    from_us = clock_mono_us();
    asker_ask();
    /* No RUN_UNTIL here: its timer would wake the loop as well. */
    while (asker.answered < MESSAGES)
        (void)uv_run(&net.loop, UV_RUN_ONCE);
    print_message("%u messages: %u reads, %u writes, %u epoll_ctl, %u epoll_wait, %llu us\n",
                  MESSAGES, calls.reads, calls.writes, calls.epoll_ctls, calls.epoll_waits,
                  (unsigned long long)(clock_mono_us() - from_us));
    assert_int_equal(calls.reads, 2 * MESSAGES);
    assert_int_equal(calls.writes, 2 * MESSAGES);
    assert_int_equal(calls.epoll_ctls, 0);
    assert_true(calls.epoll_waits <= 2 * MESSAGES + 10);
    conn_close(&asker.conn);
    conn_close(&in.conn);
    RUN_UNTIL(&net, asker_ends > 0 && in.closed == 1);
    door_close(&net, &door);
    net_end(&net);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thousand_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
