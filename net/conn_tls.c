/*
 * TLS on a connection: handshakes beside the loop, records on it.
 *
 * A full handshake is milliseconds of arithmetic, in which every stream of the worker would
 * stand still. So each step of one (what arrived goes in, what is to be sent comes out) is a
 * job for a crew, given to it once a whole record is there. The loop does not read the connection
 * meanwhile and touches neither its link nor its buffers; closing it closes the descriptor at
 * once and leaves the memory until the step is back.
 *
 * Few steps run at a time, the others wait in line: two or three of accepted connections and one
 * of dialled ones. One for dialled, because the library fills a table in the CA's key when it first
 * verifies with it; so no lock is needed there.
 */
#include "net/conn_in.h"
#include "net/crew.h"
#include "net/tls_in.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define HANDSHAKE_READ_BYTES (16u << 10)
#define HANDSHAKE_IN_BYTES (128u << 10) /* of all that a peer sends until it is done */
#define FLUSH_BYTES (48u << 10)         /* records gathered for one send() */

/* Of net->handshakes. */
enum { KIND_ACCEPTED = 0, KIND_DIALLED, KIND_COUNT };
/*
 * The nicer a thread, the less its fair share of a core that it shares with the loop, and only
 * while it was not given its share does the kernel keep a woken loop waiting for it: at 15 hardly
 * ever, at 10 every hundredth time. Where the loop takes a whole core, 15 is 3 % of it: then
 * those who wait long get a thread with a quarter. There is no such one for dialled ones.
 */
static const struct crew_options kind_options[KIND_COUNT] = {
    [KIND_ACCEPTED] = {.threads = 2, .nice_add = 15, .late_ms = 100, .late_nice_add = 5},
    [KIND_DIALLED] = {.threads = 1, .nice_add = 10},
};

struct handshake {
    struct crew_job job;
    struct conn *conn;
    struct buf in; /* arrived, from in_off on not yet taken */
    struct buf out;
    size_t in_off;
    size_t in_total;
    enum tls_result result;
    unsigned kind;
};

struct conn_tls {
    struct tls_link *link;
    struct handshake *hs; /* NULL once it is open */
};

static void handshake_on_deadline(struct wheel_timer *timer);
static void handshake_on_thread(struct crew_job *job);
static void handshake_after_thread(struct crew_job *job);

/* ---- the beginning and the end ------------------------------------------------------------ */

static int
conn_tls_begin(struct conn *conn, struct tls_link *link, unsigned kind)
{
    struct net *net = conn->net;
    struct conn_tls *tls = calloc(1, sizeof(*tls));
    struct handshake *hs = calloc(1, sizeof(*hs));

    if (net->tls == NULL)
        net->tls = tls_scratch_new();
    if (net->handshakes[kind] == NULL)
        net->handshakes[kind] = crew_new(net, &kind_options[kind]);
    if (link == NULL || tls == NULL || hs == NULL || net->tls == NULL ||
        net->handshakes[kind] == NULL) {
        if (link != NULL)
            tls_link_free(link);
        free(tls);
        free(hs);
        return -ENOMEM;
    }
    list_init(&hs->job.node);
    hs->job.work = handshake_on_thread;
    hs->job.done = handshake_after_thread;
    buf_init(&hs->in, HANDSHAKE_IN_BYTES);
    buf_init(&hs->out, HANDSHAKE_IN_BYTES);
    hs->conn = conn;
    hs->kind = kind;
    tls->link = link;
    tls->hs = hs;
    conn->tls = tls;
    net->handshakes_open++;
    wheel_set(&net->wheel, &conn->timer, net->options.handshake_ms, handshake_on_deadline);
    return 0;
}

static void
handshake_free(struct handshake *hs)
{
    buf_free(&hs->in);
    buf_free(&hs->out);
    free(hs);
}

void
conn_tls_closing(struct conn *conn)
{
    if (conn->tls == NULL || conn->tls->hs == NULL)
        return;
    wheel_cancel(&conn->net->wheel, &conn->timer);
    if (crew_withdraw(conn->net->handshakes[conn->tls->hs->kind], &conn->tls->hs->job))
        conn->crew_busy = false;
    conn->net->handshakes_open--;
}

void
conn_tls_free(struct conn *conn)
{
    struct conn_tls *tls = conn->tls;

    if (tls == NULL)
        return;
    conn->tls = NULL;
    if (tls->hs != NULL)
        handshake_free(tls->hs);
    tls_link_free(tls->link);
    free(tls);
}

/* ---- the handshake ------------------------------------------------------------------------ */

/*
 * Whether a step has something to do: a whole record, or bytes that are none, which the library
 * should see and refuse. A peer that drips bytes thus costs no trip to a thread a byte.
 */
static bool
handshake_has_record(const struct handshake *hs)
{
    const uint8_t *bytes = (const uint8_t *)hs->in.ptr + hs->in_off;
    size_t have = hs->in.len - hs->in_off;
    size_t len;

    if (have == 0)
        return false;
    if (bytes[0] < 20 || bytes[0] > 23 || (have > 1 && bytes[1] != 3))
        return true;
    if (have < 5)
        return false;
    len = ((size_t)bytes[3] << 8) | bytes[4];
    return len > TLS_RECORD_WIRE_MAX || have >= 5 + len;
}

static void
handshake_on_thread(struct crew_job *job)
{
    struct handshake *hs = CONTAINER_OF(job, struct handshake, job);
    struct tls_io io = {.out = &hs->out};

    if (hs->in.len > hs->in_off) {
        io.in = (const uint8_t *)hs->in.ptr + hs->in_off;
        io.in_len = hs->in.len - hs->in_off;
    }
    hs->result = tls_link_handshake(hs->conn->tls->link, &io);
    hs->in_off = hs->in.len - io.in_len;
}

static void
handshake_ready(struct handshake *hs)
{
    hs->conn->want_read = false;
    hs->conn->crew_busy = true;
    crew_add(hs->conn->net->handshakes[hs->kind], &hs->job);
}

static void
handshake_done(struct conn *conn, struct handshake *hs)
{
    struct net_counts *counts = &conn->net->counts;

    conn->tls->hs = NULL;
    conn->net->handshakes_open--;
    wheel_cancel(&conn->net->wheel, &conn->timer);
    if (tls_link_resumed(conn->tls->link))
        counts->handshakes_resumed++;
    else
        counts->handshakes_full++;
    tls_link_handshaken(conn->tls->link, true);
    if (!conn_opened(conn))
        goto free_handshake;
    /* The first bytes may have come with the last flight. Callbacks can close the conn, but its
     * memory stays until a later callback of libuv's. */
    if (hs->in.len > hs->in_off)
        conn_tls_input(conn, (const uint8_t *)hs->in.ptr + hs->in_off, hs->in.len - hs->in_off);

free_handshake:
    handshake_free(hs);
}

static void
handshake_failed(struct conn *conn, int err, const char *text)
{
    if (!conn_is_closing(conn))
        conn->net->counts.handshakes_failed++;
    conn_fail(conn, CONN_STAGE_TLS, err, text);
}

static void
handshake_stepped(struct conn *conn, struct handshake *hs)
{
    struct iovec iov = {.iov_base = hs->out.ptr, .iov_len = hs->out.len};
    int rc = hs->out.len > 0 ? conn_send(conn, &iov, 1) : 0;

    buf_free(&hs->out);
    if (hs->in_off == hs->in.len) {
        buf_free(&hs->in);
        hs->in_off = 0;
    }
    if (hs->result == TLS_FAILED || hs->result == TLS_END) {
        tls_link_handshaken(conn->tls->link, false);
        handshake_failed(conn, -EPROTO, tls_link_error(conn->tls->link));
    } else if (rc < 0) {
        handshake_failed(conn, rc, uv_strerror(rc));
    } else if (hs->result == TLS_OK) {
        handshake_done(conn, hs);
    } else if (handshake_has_record(hs)) {
        handshake_ready(hs);
    } else {
        conn->want_read = true;
        conn_update_interest(conn);
    }
}

static void
handshake_after_thread(struct crew_job *job)
{
    struct handshake *hs = CONTAINER_OF(job, struct handshake, job);
    struct conn *conn = hs->conn;

    conn->crew_busy = false;
    if (conn->state == CONN_CLOSING)
        conn_maybe_closed(conn);
    else
        handshake_stepped(conn, hs);
}

static void
handshake_on_deadline(struct wheel_timer *timer)
{
    handshake_failed(CONTAINER_OF(timer, struct conn, timer), -ETIMEDOUT, "handshake timed out");
}

void
conn_tls_on_readable(struct conn *conn)
{
    struct handshake *hs = conn->tls->hs;
    ssize_t got = recv(conn->fd, conn->net->read_buf, HANDSHAKE_READ_BYTES, 0);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got < 0) {
        int err = -errno;

        handshake_failed(conn, err, uv_strerror(err));
        return;
    }
    if (got == 0) {
        handshake_failed(conn, -ECONNRESET, "connection closed during the handshake");
        return;
    }
    hs->in_total += (size_t)got;
    if (hs->in_total > HANDSHAKE_IN_BYTES || !buf_add(&hs->in, conn->net->read_buf, (size_t)got)) {
        handshake_failed(conn, -EPROTO, "handshake too long");
        return;
    }
    if (handshake_has_record(hs))
        handshake_ready(hs);
    else
        conn_update_interest(conn);
}

int
conn_tls_accept(struct conn *conn, struct tls_server *server)
{
    if (conn->net->handshakes_open >= conn->net->options.handshakes_max)
        return -EBUSY;
    return conn_tls_begin(conn, tls_link_new_server(server), KIND_ACCEPTED);
}

int
conn_tls_connect(struct conn *conn, struct tls_client *client, struct str host, uint16_t port)
{
    int rc = conn_tls_begin(conn, tls_link_new_client(client, host, port), KIND_DIALLED);

    if (rc < 0)
        return rc;
    handshake_ready(conn->tls->hs);
    return 0;
}

/* ---- records ------------------------------------------------------------------------------ */

static int
conn_tls_flush(struct conn *conn)
{
    struct buf *out = &conn->net->tls->out;
    struct iovec iov = {.iov_base = out->ptr, .iov_len = out->len};

    if (out->len == 0)
        return 0;
    out->len = 0;
    return conn_send(conn, &iov, 1);
}

static int
conn_tls_record(struct conn *conn, const uint8_t *bytes, size_t len)
{
    struct tls_io io = {.out = &conn->net->tls->out};

    if (conn->erred)
        return -EPIPE;
    if (tls_link_write(conn->tls->link, &io, bytes, len) != TLS_OK) {
        conn->erred = true;
        io.out->len = 0;
        io.out->failed = false;
        return -EPROTO;
    }
    return io.out->len >= FLUSH_BYTES ? conn_tls_flush(conn) : 0;
}

int
conn_tls_write(struct conn *conn, const struct str *parts, unsigned count)
{
    uint8_t *gather = conn->net->tls->gather;
    size_t filled = 0;
    int rc = 0;

    for (unsigned i = 0; i < count; i++) {
        const uint8_t *bytes = (const uint8_t *)parts[i].ptr;
        size_t len = parts[i].len;

        while (len > 0) {
            size_t n = MIN(len, TLS_RECORD_MAX - filled);

            /* A whole record, or the only part: no need to copy it first. */
            if (filled == 0 && (n == TLS_RECORD_MAX || i + 1 == count)) {
                rc = conn_tls_record(conn, bytes, n);
            } else {
                memcpy(gather + filled, bytes, n);
                filled += n;
                if (filled == TLS_RECORD_MAX) {
                    rc = conn_tls_record(conn, gather, filled);
                    filled = 0;
                }
            }
            if (rc < 0)
                return rc;
            bytes += n;
            len -= n;
        }
    }
    if (filled > 0)
        rc = conn_tls_record(conn, gather, filled);
    return rc < 0 ? rc : conn_tls_flush(conn);
}

void
conn_tls_close_notify(struct conn *conn)
{
    struct tls_io io = {.out = &conn->net->tls->out};

    tls_link_close_notify(conn->tls->link, &io);
    (void)conn_tls_flush(conn);
}

void
conn_tls_input(struct conn *conn, const uint8_t *bytes, size_t len)
{
    struct tls_scratch *scratch = conn->net->tls;
    struct tls_io io = {.in = bytes, .in_len = len, .out = &scratch->out};
    struct tls_link *link = conn->tls->link;
    enum tls_result result = TLS_OK;
    size_t got = 0;

    while (result == TLS_OK) {
        size_t n = 0;

        /* What fits the read buffer as records fits this one as plain bytes. */
        ASSERT(got < sizeof(scratch->plain));
        result = tls_link_read(link, &io, scratch->plain + got, sizeof(scratch->plain) - got, &n);
        got += n;
    }
    (void)conn_tls_flush(conn);
    if (got > 0)
        conn->events->on_data(conn, scratch->plain, got);
    if (conn->state != CONN_OPEN)
        return;
    if (result == TLS_END)
        conn_saw_eof(conn, true);
    else if (result == TLS_FAILED)
        conn_fail(conn, CONN_STAGE_READ, -EPROTO, tls_link_error(link));
}

bool
conn_is_tls(const struct conn *conn)
{
    return conn->tls != NULL;
}

bool
conn_tls_resumed(const struct conn *conn)
{
    return conn->tls != NULL && conn->tls->hs == NULL && tls_link_resumed(conn->tls->link);
}

void
conn_idle(struct conn *conn)
{
    if (conn->tls != NULL && conn->tls->hs == NULL)
        tls_link_trim(conn->tls->link);
}
