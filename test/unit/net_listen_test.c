/* Listening addresses as text, accepting within limits, pausing, stopping; watches and hooks. */
#include "net_tools.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

static struct net net;

static int
setup(void **state)
{
    (void)state;
    tools_net(&net);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    assert_int_equal(net.counts.conns_open, 0);
    net_end(&net);
    return 0;
}

/* ---- addresses ---------------------------------------------------------------------------- */

static void
addresses(void **state)
{
    static const struct {
        const char *text, *want;
    } fine[] = {
        {"127.0.0.1:80", "127.0.0.1:80"},
        {"0.0.0.0:0", "0.0.0.0:0"},
        {"[::1]:65535", "[::1]:65535"},
        {"*:8080", "[::]:8080"},
        {"[::]:1", "[::]:1"},
    };
    static const char *const refused[] = {
        "",
        ":",
        ":80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:x",
        "127.0.0.1:-1",
        "127.0.0.1: 80",
        "::1:80",
        "[::1:80",
        "::1]:80",
        "localhost:80",
        "[127.0.0.1]:80",
        "1.2.3:80",
        "*:99999999999",
        "**:1",
        "[]:1",
        "/run/sock",
    };
    struct net_addr addr;
    char err[200], text[NET_ADDR_TEXT];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(fine); i++) {
        if (!net_listen_parse((struct str){fine[i].text, strlen(fine[i].text)}, &addr, err,
                              sizeof(err)))
            fail_msg("%s", err);
        assert_string_equal(net_addr_text(&addr, text), fine[i].want);
    }
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        err[0] = '\0';
        if (net_listen_parse((struct str){refused[i], strlen(refused[i])}, &addr, err, sizeof(err)))
            fail_msg("not refused: %s", refused[i]);
        assert_true(strlen(err) > 0);
        assert_int_equal(
            net_listen_socket((struct str){refused[i], strlen(refused[i])}, err, sizeof(err)),
            -EINVAL);
    }
    assert_false(net_listen_parse((struct str){"127.0.0.1\0x:80", 14}, &addr, err, sizeof(err)));
}

/* Sockets of one program share an address; a probe sees that somebody has it. */
static void
probes(void **state)
{
    char err[256], text[64];
    int first, second, n;

    (void)state;
    first = net_listen_socket(STR("127.0.0.1:0"), err, sizeof(err));
    assert_true(first >= 0);
    n = snprintf(text, sizeof(text), "127.0.0.1:%u", net_listen_port(first));
    assert_int_equal(net_listen_probe((struct str){text, (size_t)n}, err, sizeof(err)),
                     -EADDRINUSE);
    second = net_listen_socket((struct str){text, (size_t)n}, err, sizeof(err));
    assert_true(second >= 0);
    (void)close(first);
    (void)close(second);
    assert_int_equal(net_listen_probe((struct str){text, (size_t)n}, err, sizeof(err)), 0);
}

static void
two_sockets_share_a_port(void **state)
{
    char err[200], again[32];
    int a = net_listen_socket(STR("127.0.0.1:0"), err, sizeof(err)), b, six;
    int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in in = {.sin_family = AF_INET};

    (void)state;
    assert_true(a >= 0);
    (void)snprintf(again, sizeof(again), "127.0.0.1:%u", net_listen_port(a));
    b = net_listen_socket((struct str){again, strlen(again)}, err, sizeof(err));
    assert_true(b >= 0);
    assert_int_equal(net_listen_port(a), net_listen_port(b));
    assert_true((fcntl(a, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(a, F_GETFL) & O_NONBLOCK) != 0);
    (void)close(a);
    (void)close(b);
    /* Taken by one that does not share: a clear error. */
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(plain, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(plain, 1), 0);
    (void)snprintf(again, sizeof(again), "127.0.0.1:%u", net_listen_port(plain));
    assert_int_equal(net_listen_socket((struct str){again, strlen(again)}, err, sizeof(err)),
                     -EADDRINUSE);
    assert_non_null(strstr(err, again));
    assert_non_null(strstr(err, "Address already in use"));
    (void)close(plain);
    six = net_listen_socket(STR("*:0"), err, sizeof(err));
    assert_true(six >= 0);
    b = raw_connect(net_listen_port(six)); /* by IPv4 */
    (void)close(b);
    (void)close(six);
}

/* ---- accepting ---------------------------------------------------------------------------- */

static void
owner_refuses(void **state)
{
    struct door door;
    struct buf none;
    int fd;

    (void)state;
    buf_init(&none, 10);
    door_open(&net, &door, NULL, 0, NULL);
    fd = raw_connect(door.port);
    RUN_UNTIL(&net, net.counts.accept_refused == 1);
    assert_int_equal(raw_read(fd, &none), -1);
    (void)close(fd);
    door_close(&net, &door);
}

static void
pauses_at_the_limit(void **state)
{
    struct door door;
    struct side in[5];
    int fds[5];

    (void)state;
    net.options.accepted_max = 3;
    for (unsigned i = 0; i < 5; i++)
        side_init(&in[i]);
    door_open(&net, &door, in, 5, NULL);
    for (unsigned i = 0; i < 5; i++)
        fds[i] = raw_connect(door.port);
    RUN_FOR(&net, 50);
    assert_int_equal(door.taken, 3);
    assert_int_equal(net.counts.accept_paused, 1);
    conn_close(&in[0].conn);
    RUN_UNTIL(&net, door.taken == 4);
    conn_close(&in[1].conn);
    RUN_UNTIL(&net, door.taken == 5);
    for (unsigned i = 0; i < 5; i++) {
        conn_close(&in[i].conn);
        RUN_UNTIL(&net, in[i].closed == 1);
        (void)close(fds[i]);
    }
    door_close(&net, &door);
}

static void
pauses_without_descriptors(void **state)
{
    struct door door;
    struct side in[2];
    struct rlimit old, few;
    int fds[2], spare, filler[64];
    unsigned filled = 0;

    (void)state;
    side_init(&in[0]);
    side_init(&in[1]);
    door_open(&net, &door, in, 2, NULL);
    RUN_FOR(&net, 5);
    fds[0] = raw_connect(door.port);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    spare = dup(fds[0]);
    few = old;
    few.rlim_cur = (rlim_t)spare + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (filled < COUNT_OF(filler) && (filler[filled] = dup(0)) >= 0)
        filled++;
    RUN_UNTIL(&net, net.counts.accept_paused >= 2); /* tried again, in vain */
    assert_int_equal(door.taken, 0);
    for (unsigned i = 0; i < filled; i++)
        (void)close(filler[i]);
    (void)close(spare);
    RUN_UNTIL(&net, door.taken == 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    (void)close(fds[0]);
    conn_close(&in[0].conn);
    RUN_UNTIL(&net, in[0].closed == 1);
    door_close(&net, &door);
}

/* What was in the queue when the listener stopped is served. */
static void
stopping_takes_the_queue(void **state)
{
    struct door door;
    struct side in[20];
    int fds[20];

    (void)state;
    for (unsigned i = 0; i < 20; i++)
        side_init(&in[i]);
    door_open(&net, &door, in, 20, NULL);
    for (unsigned i = 0; i < 20; i++)
        fds[i] = raw_connect(door.port);
    listener_stop(&door.listener);
    listener_stop(&door.listener);
    assert_int_equal(door.taken, 20);
    RUN_UNTIL(&net, door.closed == 1);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(in[i].opened, 1);
        conn_close(&in[i].conn);
        RUN_UNTIL(&net, in[i].closed == 1);
        (void)close(fds[i]);
    }
}

/* ---- watches and hooks -------------------------------------------------------------------- */

struct watcher {
    struct net_watch watch;
    unsigned ready, closed;
    bool unwatch;
};

static void
watcher_on_ready(struct net_watch *watch)
{
    struct watcher *watcher = CONTAINER_OF(watch, struct watcher, watch);

    watcher->ready++;
    if (watcher->unwatch)
        net_unwatch(watch);
}

static void
watcher_on_closed(struct net_watch *watch)
{
    CONTAINER_OF(watch, struct watcher, watch)->closed++;
}

static void
eventfd_rings(void **state)
{
    struct watcher w = {.watch = {.on_closed = watcher_on_closed}};
    int fd = eventfd(0, EFD_CLOEXEC);
    uint64_t one = 1;

    (void)state;
    net_unwatch(&w.watch); /* never started */
    assert_int_equal(net_watch_eventfd(&net, &w.watch, fd, watcher_on_ready), 0);
    assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
    assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
    RUN_UNTIL(&net, w.ready > 0);
    RUN_FOR(&net, 10);
    assert_int_equal(w.ready, 1);
    assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
    RUN_UNTIL(&net, w.ready == 2);
    net_unwatch(&w.watch);
    net_unwatch(&w.watch);
    RUN_UNTIL(&net, w.closed == 1);
    net_unwatch(&w.watch);
    (void)close(fd);
}

static void
pipe_ends(void **state)
{
    struct watcher w = {.watch = {.on_closed = watcher_on_closed}};
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(net_watch_eof(&net, &w.watch, ends[0], watcher_on_ready), 0);
    assert_int_equal(write(ends[1], "ignored", 7), 7);
    RUN_FOR(&net, 20);
    assert_int_equal(w.ready, 0);
    w.unwatch = true;
    (void)close(ends[1]);
    RUN_UNTIL(&net, w.closed == 1);
    assert_int_equal(w.ready, 1);
    (void)close(ends[0]);
}

struct turns {
    unsigned sleeps, wakes;
    bool asleep;
};

static void
turns_on_sleep(void *arg)
{
    struct turns *turns = arg;

    assert_false(turns->asleep);
    turns->asleep = true;
    turns->sleeps++;
}

static void
turns_on_wake(void *arg)
{
    struct turns *turns = arg;

    assert_true(turns->asleep);
    turns->asleep = false;
    turns->wakes++;
}

/* Rung from another thread, so that the loop sleeps until then. */
struct rung {
    struct net_watch watch;
    const struct turns *turns;
    unsigned told;
};

static void
rung_on_ready(struct net_watch *watch)
{
    struct rung *rung = CONTAINER_OF(watch, struct rung, watch);

    assert_false(rung->turns->asleep);
    rung->told++;
}

static void *
ring_later(void *arg)
{
    const uint64_t one = 1;

    (void)poll(NULL, 0, 10);
    assert_int_equal(write(*(int *)arg, &one, sizeof(one)), sizeof(one));
    return NULL;
}

static struct net *stopped_net;

static void
stop_now(struct wheel_timer *timer)
{
    (void)timer;
    net_stop(stopped_net);
}

static void
hooks_frame_each_sleep(void **state)
{
    struct turns turns = {.sleeps = 0};
    struct net_options options = {
        .hooks = {.before_sleep = turns_on_sleep, .after_wake = turns_on_wake, .arg = &turns}};
    struct wheel_timer timer, far;
    struct rung rung = {.turns = &turns};
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pthread_t thread;
    struct net own;

    (void)state;
    assert_true(fd >= 0);
    memset(&timer, 0, sizeof(timer));
    memset(&far, 0, sizeof(far));
    assert_int_equal(net_init(&own, &options), 0);
    /* Nothing to wait for: returns by itself. */
    net_run(&own);
    stopped_net = &own;
    assert_int_equal(net_watch_eventfd(&own, &rung.watch, fd, rung_on_ready), 0);
    assert_int_equal(pthread_create(&thread, NULL, ring_later, &fd), 0);
    wheel_set(&own.wheel, &timer, 30, stop_now);
    wheel_set(&own.wheel, &far, 1000000, stop_now);
    net_run(&own);
    assert_true(turns.sleeps > 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(turns.sleeps, turns.wakes);
    assert_int_equal(rung.told, 1);
    net_unwatch(&rung.watch);
    wheel_cancel(&own.wheel, &far);
    net_end(&own);
    (void)close(fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(probes),
        cmocka_unit_test(two_sockets_share_a_port),
        cmocka_unit_test_setup_teardown(owner_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(pauses_at_the_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(pauses_without_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(stopping_takes_the_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(eventfd_rings, setup, teardown),
        cmocka_unit_test_setup_teardown(pipe_ends, setup, teardown),
        cmocka_unit_test(hooks_frame_each_sleep),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
