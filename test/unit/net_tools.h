/*
 * What the tests of net/ share: a loop that runs until something holds, with a deadline; a
 * connection that records what happened to it; raw sockets to play the other side.
 */
#ifndef TEST_NET_TOOLS_H
#define TEST_NET_TOOLS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/rng.h"
#include "net/conn.h"
#include "net/dial.h"
#include "net/listen.h"
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 20000u

/* A connection and all that its events said. */
struct side {
    struct conn conn;
    struct side *twin; /* an echo's bytes go there; often itself */
    struct buf got;
    uint64_t got_bytes;
    unsigned opened, eofs, drains, errors, closed;
    size_t data_len_max;
    enum conn_stage stage;
    int err;
    char text[300];
    bool echo;
    bool keep;          /* remember the bytes in got */
    bool close_on_open; /* from inside the callback */
    bool close_on_data;
    bool shutdown_on_eof;
    bool stop_when_full; /* the echo's backpressure */
    size_t pending_max;
};

static inline void
side_on_open(struct conn *conn)
{
    struct side *side = CONTAINER_OF(conn, struct side, conn);

    side->opened++;
    if (side->close_on_open)
        conn_close(conn);
}

static inline void
side_on_data(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct side *side = CONTAINER_OF(conn, struct side, conn);

    assert_true(len > 0);
    assert_true(len <= NET_READ_BYTES);
    side->got_bytes += len;
    side->data_len_max = MAX(side->data_len_max, len);
    if (side->keep)
        assert_true(buf_add(&side->got, bytes, len));
    if (side->echo) {
        struct str part = {(const char *)bytes, len};

        if (conn_write(conn, &part, 1) < 0)
            conn_close(conn);
        side->pending_max = MAX(side->pending_max, conn_pending_bytes(conn));
        if (side->stop_when_full && conn_is_full(conn))
            conn_read_stop(conn);
    }
    if (side->close_on_data)
        conn_close(conn);
}

static inline void
side_on_eof(struct conn *conn)
{
    struct side *side = CONTAINER_OF(conn, struct side, conn);

    side->eofs++;
    if (side->shutdown_on_eof)
        conn_shutdown(conn);
}

static inline void
side_on_drain(struct conn *conn)
{
    struct side *side = CONTAINER_OF(conn, struct side, conn);

    side->drains++;
    if (side->stop_when_full)
        conn_read_start(conn);
}

static inline void
side_on_error(struct conn *conn, const struct conn_error *error)
{
    struct side *side = CONTAINER_OF(conn, struct side, conn);

    side->errors++;
    side->stage = error->stage;
    side->err = error->err;
    (void)snprintf(side->text, sizeof(side->text), "%s", error->text);
}

static inline void
side_on_closed(struct conn *conn)
{
    struct side *side = CONTAINER_OF(conn, struct side, conn);

    side->closed++;
    assert_int_equal(side->closed, 1);
    assert_true(side->errors <= 1);
}

static const struct conn_events side_events = {
    .on_open = side_on_open,
    .on_data = side_on_data,
    .on_eof = side_on_eof,
    .on_drain = side_on_drain,
    .on_error = side_on_error,
    .on_closed = side_on_closed,
};

static inline void
side_init(struct side *side)
{
    memset(side, 0, sizeof(*side));
    buf_init(&side->got, 64u << 20);
    side->keep = true;
}

static inline void
side_free(struct side *side)
{
    buf_free(&side->got);
}

/* ---- running until ---- */

static inline void
tools_on_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* Runs turns of the loop until cond holds; fails after WAIT_MS. */
#define RUN_UNTIL(net, cond)                                                                       \
    do {                                                                                           \
        uint64_t deadline_ = clock_mono_us() + WAIT_MS * 1000u;                                    \
        uv_timer_t tick_;                                                                          \
        (void)uv_timer_init(&(net)->loop, &tick_);                                                 \
        (void)uv_timer_start(&tick_, tools_on_tick, 1, 2);                                         \
        while (!(cond)) {                                                                          \
            if (clock_mono_us() > deadline_)                                                       \
                fail_msg("%s:%d: never came true: %s", __FILE__, __LINE__, #cond);                 \
            (void)uv_run(&(net)->loop, UV_RUN_ONCE);                                               \
        }                                                                                          \
        uv_close((uv_handle_t *)&tick_, NULL);                                                     \
        (void)uv_run(&(net)->loop, UV_RUN_NOWAIT);                                                 \
    } while (0)

/* Runs for some time, for what should not happen. */
#define RUN_FOR(net, ms)                                                                           \
    do {                                                                                           \
        uint64_t until_ = clock_mono_us() + (ms)*1000u;                                            \
        RUN_UNTIL(net, clock_mono_us() >= until_);                                                 \
    } while (0)

static inline void
tools_net(struct net *net)
{
    struct net_options options = {.accepted_max = 0};

    assert_int_equal(net_init(net, &options), 0);
}

/* ---- accepting ---- */

struct door {
    struct listener listener;
    struct side *sides; /* given out one after the other */
    unsigned side_count, taken, refused, closed;
    uint16_t port;
};

static inline struct conn *
door_on_accept(struct listener *listener, const struct net_addr *peer)
{
    struct door *door = CONTAINER_OF(listener, struct door, listener);

    assert_int_equal(peer->family, 4);
    if (door->taken >= door->side_count)
        return NULL;
    return &door->sides[door->taken++].conn;
}

static inline void
door_on_refused(struct listener *listener, struct conn *conn)
{
    struct door *door = CONTAINER_OF(listener, struct door, listener);

    (void)conn;
    door->refused++;
}

static inline void
door_on_closed(struct listener *listener)
{
    CONTAINER_OF(listener, struct door, listener)->closed++;
}

static inline void
door_open(struct net *net, struct door *door, struct side *sides, unsigned count,
          struct tls_server *server)
{
    char err[200];
    int fd = net_listen_socket(STR("127.0.0.1:0"), err, sizeof(err));

    assert_true(fd >= 0);
    memset(door, 0, sizeof(*door));
    door->sides = sides;
    door->side_count = count;
    door->port = net_listen_port(fd);
    door->listener.server = server;
    door->listener.events = &side_events;
    door->listener.on_accept = door_on_accept;
    door->listener.on_refused = door_on_refused;
    door->listener.on_closed = door_on_closed;
    assert_int_equal(listener_start(net, &door->listener, fd), 0);
}

static inline void
door_close(struct net *net, struct door *door)
{
    listener_stop(&door->listener);
    RUN_UNTIL(net, door->closed == 1);
}

/* ---- dialling, and raw sockets ---- */

static inline void
side_dial(struct net *net, struct side *side, uint16_t port, struct tls_client *tls,
          const char *host)
{
    struct dial_target target = {
        .host = {host, strlen(host)}, .port = port, .local = true, .tls = tls};

    assert_int_equal(net_dial(net, &side->conn, &side_events, &target), 0);
}

static inline int
raw_connect(uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* What can be read now, appended; -1 at the end of the peer, -2 at an error, else 0. */
static inline int
raw_read(int fd, struct buf *into)
{
    char bytes[16384];
    ssize_t got;

    while ((got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        assert_true(buf_add(into, bytes, (size_t)got));
    if (got == 0)
        return -1;
    return errno == EAGAIN ? 0 : -2;
}

static inline void
tools_fill(char *bytes, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (char)(seed >> 24);
    }
}

/*
 * Chaos: many pairs, random actions on either end, no expectation but that every conn closes
 * exactly once and nothing is left.
 */
static inline void
tools_chaos(struct net *net, struct tls_server *server, struct tls_client *client, unsigned rounds)
{
    enum { PAIRS = 24, STEPS = 300 };
    static struct side in[PAIRS], out[PAIRS];
    static char bytes[300000];
    const char *text = getenv("TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : rng_u64();
    uint64_t rng = seed;
    unsigned opened = 0;

    print_message("TEST_SEED=%llu\n", (unsigned long long)seed);
    memset(bytes, 'a', sizeof(bytes));
    net->options.linger_ms = 50;
    net->options.stall_ms = 100;

    for (unsigned round = 0; round < rounds; round++) {
        struct door door;

        for (unsigned i = 0; i < PAIRS; i++) {
            side_init(&in[i]);
            side_init(&out[i]);
            in[i].keep = out[i].keep = false;
            in[i].echo = in[i].stop_when_full = rng_next(&rng) % 2 == 0;
            out[i].stop_when_full = true;
            in[i].close_on_data = rng_next(&rng) % 16 == 0;
        }
        door_open(net, &door, in, PAIRS, server);
        for (unsigned i = 0; i < PAIRS; i++)
            side_dial(net, &out[i], door.port, client, "127.0.0.1");
        /* Half the rounds begin with all open: handshakes take longer than the steps. */
        for (unsigned i = 0; i < PAIRS && round % 2 == 0; i++)
            RUN_UNTIL(net, out[i].opened + out[i].errors > 0);
        for (unsigned step = 0; step < STEPS; step++) {
            struct side *side = rng_next(&rng) % 2 == 0 ? &in[rng_next(&rng) % PAIRS]
                                                        : &out[rng_next(&rng) % PAIRS];
            struct str parts[3] = {{bytes, rng_next(&rng) % 100},
                                   {bytes, rng_next(&rng) % 2000},
                                   {bytes, rng_next(&rng) % sizeof(bytes)}};

            if (side->conn.state == CONN_UNUSED || side->closed > 0)
                continue;
            switch (rng_next(&rng) % 24) {
            case 0: conn_close(&side->conn); break;
            case 1: conn_shutdown(&side->conn); break;
            case 2: conn_reset(&side->conn); break;
            case 3:
            case 4: conn_read_stop(&side->conn); break;
            case 5:
            case 6:
            case 7: conn_read_start(&side->conn); break;
            case 8:
            case 9:
            case 10:
            case 11:
                if (conn_write(&side->conn, parts, 1 + (unsigned)(rng_next(&rng) % 3)) < 0)
                    conn_close(&side->conn);
                break;
            default: (void)uv_run(&net->loop, UV_RUN_NOWAIT); break;
            }
        }
        door_close(net, &door);
        for (unsigned i = 0; i < PAIRS; i++) {
            if (in[i].conn.state != CONN_UNUSED) {
                conn_close(&in[i].conn);
                RUN_UNTIL(net, in[i].closed == 1);
            }
            conn_close(&out[i].conn);
            RUN_UNTIL(net, out[i].closed == 1);
            opened += in[i].opened + out[i].opened;
        }
        assert_int_equal(net->counts.conns_open, 0);
        assert_int_equal(net->wheel.count, 0);
    }
    print_message("%u of %u opened\n", opened, 2 * rounds * PAIRS);
    assert_true(opened >= rounds * PAIRS / 2);
}

#endif
