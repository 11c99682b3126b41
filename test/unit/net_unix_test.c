/* Unix sockets: paths, rights, who may take whose place, and connections over them. */
#include "net/unix.h"
#include "base/str.h"
#include "net_tools.h"

#include <sys/stat.h>
#include <sys/un.h>

static struct net net;
static char folder[64], path[96];

static int
setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/net-unix-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/s", folder);
    tools_net(&net);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    assert_int_equal(net.counts.conns_open, 0);
    net_end(&net);
    (void)unlink(path);
    (void)rmdir(folder);
    return 0;
}

static struct side here, there;
static struct listener listener;
static unsigned listeners_closed;

static struct conn *
on_accept(struct listener *l, const struct net_addr *peer)
{
    (void)l;
    assert_int_equal(peer->family, 0);
    return &there.conn;
}

static void
on_refused(struct listener *l, struct conn *conn)
{
    (void)l;
    (void)conn;
    fail();
}

static void
on_listener_closed(struct listener *l)
{
    (void)l;
    listeners_closed++;
}

static void
begin(void)
{
    side_init(&here);
    side_init(&there);
    there.echo = true;
    there.twin = &there;
    there.shutdown_on_eof = true;
    memset(&listener, 0, sizeof(listener));
    listener.events = &side_events;
    listener.on_accept = on_accept;
    listener.on_refused = on_refused;
    listener.on_closed = on_listener_closed;
    listeners_closed = 0;
}

static void
end(void)
{
    side_free(&here);
    side_free(&there);
}

/* ---- the tests ---- */

static void
there_and_back(void **state)
{
    int fd = net_listen_unix(path);
    char text[4096];
    struct stat st;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    begin();
    assert_int_equal(listener_start(&net, &listener, fd), 0);
    assert_int_equal(net_dial_unix(&net, &here.conn, &side_events, path), 0);
    assert_int_equal(here.opened, 0); /* in a later turn */
    RUN_UNTIL(&net, here.opened == 1 && there.opened == 1);
    for (size_t sent = 0; sent < (1u << 20); sent += sizeof(text)) {
        struct str part = {text, sizeof(text)};

        memset(text, (int)('a' + sent / sizeof(text) % 26), sizeof(text));
        assert_int_equal(conn_write(&here.conn, &part, 1), 0);
    }
    RUN_UNTIL(&net, here.got_bytes == 1u << 20);
    assert_int_equal(here.got.ptr[0], 'a');
    assert_int_equal(here.got.ptr[25 * sizeof(text)], 'z');
    conn_shutdown(&here.conn);
    RUN_UNTIL(&net, here.closed == 1 && there.closed == 1);
    assert_int_equal(there.eofs, 1);
    assert_int_equal(here.errors + there.errors, 0);
    listener_stop(&listener);
    RUN_UNTIL(&net, listeners_closed == 1);
    end();
}

static void
closed_before_it_opens(void **state)
{
    int fd = net_listen_unix(path);

    (void)state;
    assert_true(fd >= 0);
    begin();
    assert_int_equal(net_dial_unix(&net, &here.conn, &side_events, path), 0);
    conn_close(&here.conn);
    RUN_UNTIL(&net, here.closed == 1);
    assert_int_equal(here.opened, 0);
    (void)close(fd);
    end();
}

static void
nobody_listens(void **state)
{
    int fd;

    (void)state;
    begin();
    assert_int_equal(net_dial_unix(&net, &here.conn, &side_events, path), -ENOENT);
    fd = net_listen_unix(path);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(net_dial_unix(&net, &here.conn, &side_events, path), -ECONNREFUSED);
    assert_int_equal(here.conn.state, CONN_UNUSED);
    fd = net_listen_unix(path); /* in its place */
    assert_true(fd >= 0);
    assert_int_equal(net_dial_unix(&net, &here.conn, &side_events, path), 0);
    conn_close(&here.conn);
    RUN_UNTIL(&net, here.closed == 1);
    (void)close(fd);
    end();
}

static void
too_many_wait(void **state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int waiting[3];
    unsigned count = 0;

    (void)state;
    (void)str_copy((struct str){path, strlen(path)}, addr.sun_path, sizeof(addr.sun_path));
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(fd, 0), 0);
    begin();
    for (; count < COUNT_OF(waiting); count++) {
        waiting[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (connect(waiting[count], (struct sockaddr *)&addr, sizeof(addr)) < 0)
            break;
    }
    assert_true(count > 0 && count < COUNT_OF(waiting));
    assert_int_equal(net_dial_unix(&net, &here.conn, &side_events, path), -EAGAIN);
    assert_int_equal(here.conn.state, CONN_UNUSED);
    for (unsigned i = 0; i <= count; i++)
        (void)close(waiting[i]);
    (void)close(fd);
    end();
}

static void
paths(void **state)
{
    char longest[UNIX_PATH_MAX + 2];

    (void)state;
    begin();
    memset(longest, 'x', sizeof(longest));
    memcpy(longest, "/tmp/", 5);
    longest[UNIX_PATH_MAX + 1] = '\0';
    assert_int_equal(net_listen_unix(longest), -ENAMETOOLONG);
    assert_int_equal(net_dial_unix(&net, &here.conn, &side_events, longest), -ENAMETOOLONG);
    assert_int_equal(net_listen_unix(""), -ENAMETOOLONG);
    longest[UNIX_PATH_MAX] = '\0';
    assert_int_equal(net_dial_unix(&net, &here.conn, &side_events, longest), -ENOENT);
    assert_int_equal(net_listen_unix("/nonexistent/s"), -ENOENT);
    end();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(there_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(closed_before_it_opens, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_listens, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(paths, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
