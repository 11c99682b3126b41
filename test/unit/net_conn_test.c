/* Plain connections on real sockets: data, backpressure, ends of every kind. */
#include "net_tools.h"

#include "base/rng.h"

#include <netinet/tcp.h>

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
    assert_int_equal(net.counts.accepted_open, 0);
    net_end(&net);
    return 0;
}

static bool
got_is(const struct side *side, const char *text)
{
    return side->got.len == strlen(text) && memcmp(side->got.ptr, text, side->got.len) == 0;
}

/* ---- a pair: one accepted, one dialled ---- */

struct pair {
    struct door door;
    struct side in, out;
};

static void
pair_open(struct pair *pair)
{
    side_init(&pair->in);
    side_init(&pair->out);
    door_open(&net, &pair->door, &pair->in, 1, NULL);
    side_dial(&net, &pair->out, pair->door.port, NULL, "127.0.0.1");
    RUN_UNTIL(&net, pair->in.opened == 1 && pair->out.opened == 1);
}

static void
pair_end(struct pair *pair)
{
    conn_close(&pair->in.conn);
    conn_close(&pair->out.conn);
    RUN_UNTIL(&net, pair->in.closed == 1 && pair->out.closed == 1);
    door_close(&net, &pair->door);
    side_free(&pair->in);
    side_free(&pair->out);
}

static void
echo(void **state)
{
    struct pair p;
    struct str parts[] = {STR("one "), STR(""), STR("two "), STR("three")};
    int on = 0;
    socklen_t len = sizeof(on);

    (void)state;
    pair_open(&p);
    p.in.echo = true;
    assert_int_equal(conn_write(&p.out.conn, parts, COUNT_OF(parts)), 0);
    assert_int_equal(conn_pending_bytes(&p.out.conn), 0);
    RUN_UNTIL(&net, p.out.got.len == 13);
    assert_true(got_is(&p.out, "one two three"));
    assert_int_equal(p.out.conn.peer.port, p.door.port);
    assert_int_equal(p.in.conn.peer.family, 4);
    assert_int_equal(p.in.conn.peer.ip[0], 127);
    /* Inherited from the listener on one side, set on the other. */
    assert_int_equal(getsockopt(p.in.conn.fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_not_equal(on, 0);
    on = 0;
    assert_int_equal(getsockopt(p.out.conn.fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_not_equal(on, 0);
    assert_int_equal(conn_write(&p.out.conn, parts, 0), 0);
    assert_false(conn_is_tls(&p.out.conn));
    conn_idle(&p.out.conn);
    pair_end(&p);
}

static void
size_of_an_idle_connection(void **state)
{
    (void)state;
    print_message("sizeof(struct conn) = %zu\n", sizeof(struct conn));
    assert_true(sizeof(struct conn) <= 320);
}

static void
one_read_is_bounded(void **state)
{
    struct pair p;
    static char bytes[1u << 20];
    struct str part = {bytes, sizeof(bytes)};

    (void)state;
    tools_fill(bytes, sizeof(bytes), 1);
    pair_open(&p);
    assert_int_equal(conn_write(&p.out.conn, &part, 1), 0);
    RUN_UNTIL(&net, p.in.got.len == sizeof(bytes));
    assert_memory_equal(p.in.got.ptr, bytes, sizeof(bytes));
    assert_true(p.in.data_len_max <= NET_READ_BYTES);
    pair_end(&p);
}

/* A fast source, an echo that stops when full, and a reader that takes its time. */
static void
slow_reader_is_bounded(void **state)
{
    struct door door;
    struct side in;
    struct buf back;
    static char bytes[256u << 10];
    size_t sent = 0, want = 24u << 20;
    uint32_t check = 0, seen = 0;
    int fd;

    (void)state;
    tools_fill(bytes, sizeof(bytes), 7);
    side_init(&in);
    in.keep = false;
    in.echo = in.stop_when_full = true;
    buf_init(&back, 1u << 30);
    door_open(&net, &door, &in, 1, NULL);
    fd = raw_connect(door.port);
    RUN_UNTIL(&net, in.opened == 1);
    /* First without reading at all: it must come to a halt. */
    for (unsigned still = 0; still < 50;) {
        ssize_t n = send(fd, bytes + sent % sizeof(bytes), sizeof(bytes) - sent % sizeof(bytes),
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        sent += n > 0 ? (size_t)n : 0;
        still = n > 0 ? 0 : still + 1;
        (void)uv_run(&net.loop, UV_RUN_NOWAIT);
    }
    assert_true(in.pending_max <= CONN_PENDING_HIGH + NET_READ_BYTES);
    assert_true(conn_is_full(&in.conn));
    assert_true(in.conn.write_progress_ms > 0);
    want = MAX(want, sent);
    while (back.len < want) {
        size_t left = MIN(want - sent, sizeof(bytes) - sent % sizeof(bytes));
        ssize_t n = left == 0
                        ? 0
                        : send(fd, bytes + sent % sizeof(bytes), left, MSG_DONTWAIT | MSG_NOSIGNAL);

        sent += n > 0 ? (size_t)n : 0;
        assert_int_equal(raw_read(fd, &back), 0);
        (void)uv_run(&net.loop, UV_RUN_NOWAIT);
    }
    for (size_t i = 0; i < want; i++) {
        check = check * 31 + (uint8_t)bytes[i % sizeof(bytes)];
        seen = seen * 31 + (uint8_t)back.ptr[i];
    }
    assert_int_equal(check, seen);
    assert_true(in.drains > 0);
    assert_true(in.pending_max <= CONN_PENDING_HIGH + NET_READ_BYTES);
    RUN_UNTIL(&net, conn_pending_bytes(&in.conn) == 0);
    assert_null(in.conn.pending);
    (void)close(fd);
    RUN_UNTIL(&net, in.eofs == 1);
    conn_close(&in.conn);
    RUN_UNTIL(&net, in.closed == 1);
    door_close(&net, &door);
    buf_free(&back);
}

static void
stop_and_start_reading(void **state)
{
    struct pair p;
    struct str part = STR("x");

    (void)state;
    pair_open(&p);
    conn_read_stop(&p.in.conn);
    conn_read_stop(&p.in.conn);
    assert_int_equal(conn_write(&p.out.conn, &part, 1), 0);
    RUN_FOR(&net, 60);
    assert_int_equal(p.in.got.len, 0);
    conn_read_start(&p.in.conn);
    conn_read_start(&p.in.conn);
    RUN_UNTIL(&net, p.in.got.len == 1);
    /* The end of the peer is told also while stopped, when nothing is before it … */
    conn_read_stop(&p.in.conn);
    conn_shutdown(&p.out.conn);
    RUN_UNTIL(&net, p.in.eofs == 1);
    assert_true(conn_eof_clean(&p.in.conn));
    /* … and writing is still possible. */
    assert_int_equal(conn_write(&p.in.conn, &part, 1), 0);
    pair_end(&p);
}

static void
stopped_end_waits_for_data_before_it(void **state)
{
    struct pair p;
    struct str part = STR("data");

    (void)state;
    pair_open(&p);
    conn_read_stop(&p.in.conn);
    assert_int_equal(conn_write(&p.out.conn, &part, 1), 0);
    conn_shutdown(&p.out.conn);
    RUN_FOR(&net, 50);
    assert_int_equal(p.in.eofs, 0);
    conn_read_start(&p.in.conn);
    RUN_UNTIL(&net, p.in.eofs == 1);
    assert_true(got_is(&p.in, "data"));
    pair_end(&p);
}

static void
reset_by_peer_while_stopped(void **state)
{
    struct pair p;

    (void)state;
    pair_open(&p);
    conn_read_stop(&p.in.conn);
    conn_reset(&p.out.conn);
    RUN_UNTIL(&net, p.in.errors == 1);
    assert_int_equal(p.in.err, -ECONNRESET);
    assert_int_equal(p.in.stage, CONN_STAGE_READ);
    assert_string_equal(p.in.text, "connection reset by peer");
    RUN_UNTIL(&net, p.in.closed == 1);
    pair_end(&p);
}

/* What the peer sent before its reset is still delivered. */
static void
data_before_a_reset(void **state)
{
    struct door door;
    struct side in;
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    int fd;

    (void)state;
    side_init(&in);
    door_open(&net, &door, &in, 1, NULL);
    fd = raw_connect(door.port);
    RUN_UNTIL(&net, in.opened == 1);
    assert_int_equal(send(fd, "last words", 10, 0), 10);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    (void)close(fd);
    RUN_UNTIL(&net, in.errors == 1);
    assert_true(got_is(&in, "last words"));
    RUN_UNTIL(&net, in.closed == 1);
    door_close(&net, &door);
    side_free(&in);
}

/* Opens in and lets its peer vanish with a reset. */
static void
lose_peer(struct door *door, struct side *in)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    int fd;

    side_init(in);
    door_open(&net, door, in, 1, NULL);
    fd = raw_connect(door->port);
    RUN_UNTIL(&net, in->opened == 1);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    (void)close(fd);
}

/* What is long is sent at once, so its result tells. */
static void
write_to_a_gone_peer(void **state)
{
    static char bytes[64u << 10];
    struct door door;
    struct side in;
    struct str part = {bytes, sizeof(bytes)}, more = STR("hello");
    int rc;

    (void)state;
    lose_peer(&door, &in);
    rc = conn_write(&in.conn, &part, 1);
    assert_true(rc == -EPIPE || rc == -ECONNRESET);
    /* The result told it: nothing is sent any more, and on_error does not come too. */
    assert_int_equal(conn_write(&in.conn, &more, 1), -EPIPE);
    conn_close(&in.conn);
    assert_int_equal(conn_write(&in.conn, &more, 1), -ENOTCONN);
    RUN_UNTIL(&net, in.closed == 1);
    assert_int_equal(in.errors, 0);
    side_free(&in);
    door_close(&net, &door);
}

/* What is short is sent when the turn ends: on_error tells, once. */
static void
short_write_to_a_gone_peer(void **state)
{
    struct door door;
    struct side in;
    struct str part = STR("hello");

    (void)state;
    lose_peer(&door, &in);
    assert_int_equal(conn_write(&in.conn, &part, 1), 0);
    assert_int_equal(conn_write(&in.conn, &part, 1), 0);
    assert_int_equal(in.errors, 0);
    RUN_UNTIL(&net, in.closed == 1);
    assert_int_equal(in.errors, 1);
    assert_true(in.err == -EPIPE || in.err == -ECONNRESET);
    side_free(&in);
    door_close(&net, &door);
}

/* A close in the same turn does not lose what was written before it; order is kept across long and
 * short writes. */
static void
write_then_close(void **state)
{
    static char bytes[32u << 10];
    struct door door;
    struct side in;
    struct str small = STR("small"), large = {bytes, sizeof(bytes)};
    char got[sizeof(bytes) + 16];
    size_t len = 0;
    ssize_t n;
    int fd;

    (void)state;
    memset(bytes, 'L', sizeof(bytes));
    side_init(&in);
    door_open(&net, &door, &in, 1, NULL);
    fd = raw_connect(door.port);
    RUN_UNTIL(&net, in.opened == 1);
    assert_int_equal(conn_write(&in.conn, &small, 1), 0);
    assert_int_equal(conn_write(&in.conn, &large, 1), 0);
    assert_int_equal(conn_write(&in.conn, &small, 1), 0);
    conn_close(&in.conn);
    RUN_UNTIL(&net, in.closed == 1);
    while (len < sizeof(got) && (n = recv(fd, got + len, sizeof(got) - len, 0)) > 0)
        len += (size_t)n;
    assert_int_equal(len, sizeof(bytes) + 10);
    assert_memory_equal(got, "small", 5);
    assert_memory_equal(got + 5, bytes, sizeof(bytes));
    assert_memory_equal(got + 5 + sizeof(bytes), "small", 5);
    (void)close(fd);
    side_free(&in);
    door_close(&net, &door);
}

/* Pending output meets a reset: that is an error of its own, told in the background. */
static void
pending_meets_a_reset(void **state)
{
    struct pair p;
    static char bytes[8u << 20];
    struct str part = {bytes, sizeof(bytes)};

    (void)state;
    pair_open(&p);
    conn_read_stop(&p.out.conn);
    assert_int_equal(conn_write(&p.in.conn, &part, 1), 0);
    assert_int_equal(conn_write(&p.in.conn, &part, 1), 0);
    RUN_FOR(&net, 30);
    assert_true(conn_pending_bytes(&p.in.conn) > 0);
    conn_reset(&p.out.conn);
    RUN_UNTIL(&net, p.in.errors == 1);
    assert_int_equal(p.in.stage, CONN_STAGE_WRITE);
    RUN_UNTIL(&net, p.in.closed == 1);
    pair_end(&p);
}

/* The answer must arrive although the peer never stops sending, unread. */
static void
shutdown_delivers_despite_unread_input(void **state)
{
    struct door door;
    struct side in;
    struct buf back;
    static char answer[2u << 20], flood[100000];
    struct str part = {answer, sizeof(answer)};
    int fd, end = 0;

    (void)state;
    tools_fill(answer, sizeof(answer), 3);
    side_init(&in);
    buf_init(&back, 8u << 20);
    door_open(&net, &door, &in, 1, NULL);
    fd = raw_connect(door.port);
    RUN_UNTIL(&net, in.opened == 1);
    assert_true(send(fd, flood, sizeof(flood), MSG_DONTWAIT) > 0);
    assert_int_equal(conn_write(&in.conn, &part, 1), 0);
    conn_shutdown(&in.conn);
    conn_shutdown(&in.conn);
    assert_int_equal(conn_write(&in.conn, &part, 1), -ENOTCONN);
    assert_true(send(fd, flood, sizeof(flood), MSG_DONTWAIT) > 0);
    while (end == 0) {
        (void)uv_run(&net.loop, UV_RUN_NOWAIT);
        end = raw_read(fd, &back);
    }
    assert_int_equal(end, -1);
    assert_int_equal(back.len, sizeof(answer));
    assert_memory_equal(back.ptr, answer, sizeof(answer));
    assert_int_equal(in.closed, 0); /* lingers for our end */
    (void)close(fd);
    RUN_UNTIL(&net, in.closed == 1);
    assert_int_equal(in.got.len, 0); /* nothing comes after conn_shutdown() */
    assert_int_equal(in.eofs + in.errors, 0);
    door_close(&net, &door);
    buf_free(&back);
}

static void
linger_ends_by_time_and_by_bytes(void **state)
{
    struct door door;
    struct side in[2];
    struct buf back;
    static char flood[256u << 10];
    uint64_t from;
    int fds[2];

    (void)state;
    net.options.linger_ms = 300;
    side_init(&in[0]);
    side_init(&in[1]);
    buf_init(&back, 8u << 20);
    door_open(&net, &door, in, 2, NULL);
    fds[0] = raw_connect(door.port);
    RUN_UNTIL(&net, in[0].opened == 1);
    from = clock_mono_us();
    conn_shutdown(&in[0].conn);
    RUN_UNTIL(&net, in[0].closed == 1);
    assert_true(clock_mono_us() - from >= 290000);

    net.options.linger_ms = 60000;
    fds[1] = raw_connect(door.port);
    RUN_UNTIL(&net, in[1].opened == 1);
    conn_shutdown(&in[1].conn);
    while (in[1].closed == 0) {
        (void)send(fds[1], flood, sizeof(flood), MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)uv_run(&net.loop, UV_RUN_NOWAIT);
    }
    (void)close(fds[0]);
    (void)close(fds[1]);
    door_close(&net, &door);
}

static void
stalled_flush_is_cut(void **state)
{
    struct door door;
    struct side in;
    static char bytes[8u << 20];
    struct str part = {bytes, sizeof(bytes)};
    int fd;

    (void)state;
    net.options.stall_ms = 200;
    side_init(&in);
    door_open(&net, &door, &in, 1, NULL);
    fd = raw_connect(door.port);
    RUN_UNTIL(&net, in.opened == 1);
    assert_int_equal(conn_write(&in.conn, &part, 1), 0);
    conn_shutdown(&in.conn);
    RUN_UNTIL(&net, in.closed == 1);
    (void)close(fd);
    door_close(&net, &door);
}

static void
close_inside_callbacks(void **state)
{
    struct door door;
    struct side in[3], out[3];
    struct str part = STR("hello");

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        side_init(&in[i]);
        side_init(&out[i]);
    }
    in[0].close_on_open = true;
    in[1].close_on_data = true;
    in[2].shutdown_on_eof = true;
    out[0].shutdown_on_eof = out[1].shutdown_on_eof = true;
    door_open(&net, &door, in, 3, NULL);
    for (unsigned i = 0; i < 3; i++) {
        side_dial(&net, &out[i], door.port, NULL, "127.0.0.1");
        RUN_UNTIL(&net, out[i].opened == 1 && in[i].opened == 1);
    }
    RUN_UNTIL(&net, in[0].closed == 1 && out[0].closed == 1);
    assert_int_equal(conn_write(&out[1].conn, &part, 1), 0);
    RUN_UNTIL(&net, in[1].closed == 1 && out[1].closed == 1);
    conn_shutdown(&out[2].conn);
    RUN_UNTIL(&net, in[2].closed == 1 && out[2].closed == 1);
    assert_int_equal(in[2].eofs, 1);
    door_close(&net, &door);
    for (unsigned i = 0; i < 3; i++) {
        side_free(&in[i]);
        side_free(&out[i]);
    }
}

/* ---- what came in one turn ---- */

/* Who was told of bytes, in order, and whether bytes of the next one were here by then. */
struct told {
    struct side *order[4];
    bool next_arrived[4];
    unsigned count;
};

static struct told told;
static struct side *told_next[4]; /* of sides[i]: the one that it looks at, and closes */
static struct side *told_side[4];

static void
told_on_data(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct side *side = CONTAINER_OF(conn, struct side, conn);

    side_on_data(conn, bytes, len);
    told.order[told.count] = side;
    for (unsigned i = 0; i < COUNT_OF(told_side); i++) {
        if (told_side[i] != side || told_next[i] == NULL)
            continue;
        told.next_arrived[told.count] = told_next[i]->conn.arrived;
        conn_close(&told_next[i]->conn);
    }
    told.count++;
}

static const struct conn_events told_events = {
    .on_open = side_on_open,
    .on_data = told_on_data,
    .on_eof = side_on_eof,
    .on_drain = side_on_drain,
    .on_error = side_on_error,
    .on_closed = side_on_closed,
};

static void
told_init(struct side *a, struct side *b)
{
    told = (struct told){.count = 0};
    memset(told_side, 0, sizeof(told_side));
    memset(told_next, 0, sizeof(told_next));
    told_side[0] = a;
    told_side[1] = b;
    a->conn.events = b->conn.events = &told_events;
}

/* Of two that have something to read the first closes the other: nobody is told of that one's. */
static void
who_closes_is_not_told(void **state)
{
    struct door door;
    struct side in[2];
    int fd[2];

    (void)state;
    side_init(&in[0]);
    side_init(&in[1]);
    door_open(&net, &door, in, 2, NULL);
    for (unsigned i = 0; i < 2; i++)
        fd[i] = raw_connect(door.port);
    RUN_UNTIL(&net, in[0].opened == 1 && in[1].opened == 1);
    told_init(&in[0], &in[1]);
    told_next[0] = &in[1];
    told_next[1] = &in[0];
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(send(fd[i], "word", 4, MSG_NOSIGNAL), 4);
    RUN_UNTIL(&net, in[0].closed + in[1].closed == 1);
    assert_int_equal(told.count, 1);
    assert_true(told.next_arrived[0]);
    assert_true(got_is(told.order[0], "word"));
    assert_false(told.order[0]->conn.arrived);
    conn_close(&told.order[0]->conn);
    RUN_UNTIL(&net, in[0].closed == 1 && in[1].closed == 1);
    assert_int_equal(told.count, 1);
    door_close(&net, &door);
    for (unsigned i = 0; i < 2; i++) {
        close(fd[i]);
        side_free(&in[i]);
    }
}

/* And what was dialled is told before what was accepted, whichever said its word first. */
static void
dialled_ones_are_told_first(void **state)
{
    const struct str word = STR("word");
    struct pair p;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        pair_open(&p);
        told_init(&p.in, &p.out);
        /* Both words leave at the end of one turn, and are here together in the next. */
        assert_int_equal(conn_write(i == 0 ? &p.in.conn : &p.out.conn, &word, 1), 0);
        assert_int_equal(conn_write(i == 0 ? &p.out.conn : &p.in.conn, &word, 1), 0);
        RUN_UNTIL(&net, told.count == 2);
        assert_ptr_equal(told.order[0], &p.out);
        assert_ptr_equal(told.order[1], &p.in);
        p.in.conn.events = p.out.conn.events = &side_events;
        pair_end(&p);
    }
}

/* More than there is room for in one turn comes all the same, each in its order. */
static void
more_than_a_turn_holds(void **state)
{
    enum { PAIRS = 6, BYTES = 200 << 10 };
    static char bytes[BYTES];
    struct str part = {bytes, sizeof(bytes)};
    struct pair p[PAIRS];

    (void)state;
    tools_fill(bytes, sizeof(bytes), 3);
    for (unsigned i = 0; i < PAIRS; i++)
        pair_open(&p[i]);
    for (unsigned i = 0; i < PAIRS; i++) {
        assert_int_equal(conn_write(&p[i].out.conn, &part, 1), 0);
        assert_int_equal(conn_write(&p[i].in.conn, &part, 1), 0);
    }
    for (unsigned i = 0; i < PAIRS; i++) {
        RUN_UNTIL(&net, p[i].in.got.len == BYTES && p[i].out.got.len == BYTES);
        assert_memory_equal(p[i].in.got.ptr, bytes, BYTES);
        assert_memory_equal(p[i].out.got.ptr, bytes, BYTES);
    }
    for (unsigned i = 0; i < PAIRS; i++)
        pair_end(&p[i]);
}

static void
twice_is_fine(void **state)
{
    struct pair p;

    (void)state;
    pair_open(&p);
    conn_close(&p.in.conn);
    conn_close(&p.in.conn);
    conn_reset(&p.in.conn);
    conn_shutdown(&p.in.conn);
    conn_read_start(&p.in.conn);
    conn_read_stop(&p.in.conn);
    assert_true(conn_is_closing(&p.in.conn));
    assert_int_equal(p.in.closed, 0); /* a later turn */
    pair_end(&p);
    assert_int_equal(p.in.closed, 1);
}

static void
random_actions(void **state)
{
    (void)state;
    tools_chaos(&net, NULL, NULL, 40);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(echo, setup, teardown),
        cmocka_unit_test(size_of_an_idle_connection),
        cmocka_unit_test_setup_teardown(one_read_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_reader_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(stop_and_start_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(stopped_end_waits_for_data_before_it, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_by_peer_while_stopped, setup, teardown),
        cmocka_unit_test_setup_teardown(data_before_a_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(write_to_a_gone_peer, setup, teardown),
        cmocka_unit_test_setup_teardown(short_write_to_a_gone_peer, setup, teardown),
        cmocka_unit_test_setup_teardown(write_then_close, setup, teardown),
        cmocka_unit_test_setup_teardown(pending_meets_a_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(shutdown_delivers_despite_unread_input, setup, teardown),
        cmocka_unit_test_setup_teardown(linger_ends_by_time_and_by_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(stalled_flush_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(close_inside_callbacks, setup, teardown),
        cmocka_unit_test_setup_teardown(who_closes_is_not_told, setup, teardown),
        cmocka_unit_test_setup_teardown(dialled_ones_are_told_first, setup, teardown),
        cmocka_unit_test_setup_teardown(more_than_a_turn_holds, setup, teardown),
        cmocka_unit_test_setup_teardown(twice_is_fine, setup, teardown),
        cmocka_unit_test_setup_teardown(random_actions, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
