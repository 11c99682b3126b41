/*
 * One TCP connection, plain or TLS, accepted or dialled. Embedded by its owner, who finds
 * itself with CONTAINER_OF in the events.
 *
 * Life. conn_accept (from a listener) or net_dial() starts it; on_open comes when bytes may
 * flow (connected and, for TLS, handshaken: for an accepted plain connection that is within
 * conn_accept() itself). Whatever happens, on_closed comes exactly once and last, in a later
 * turn; only then may the memory go. on_error comes at most once, and net closes by itself when
 * it returns; the owner may call conn_close() in it or not.
 *
 * A callback may call conn_close(), conn_reset(), conn_shutdown(), conn_write(),
 * conn_read_stop/start on this or any other connection: functions here never call back into the
 * owner, but for conn_accept(). After conn_close() nothing but on_closed comes.
 *
 * Short output is gathered and sent when the turn of the loop ends (net/turn.h), long output at
 * once; only what the kernel did not take is kept after that. There is no hard limit on what is
 * kept: the owner stops its source when conn_is_full() and goes on in on_drain. Input is never
 * kept: what came for all connections is read before the first on_data of a turn (net/arrivals.h),
 * into a buffer that they share, and is gone when the callback returns.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include "base/base.h"
#include "net/net.h"
#include "net/wheel.h"

#include <uv.h>

#define CONN_PENDING_HIGH (64u << 10) /* conn_is_full() from here */
#define CONN_PENDING_LOW (16u << 10)  /* on_drain when pending output falls to this */
#define CONN_LINGER_BYTES (1u << 20)  /* most that a shutdown reads and drops */
#define CONN_PARTS_MAX 64u

struct conn;
struct conn_pending;
struct conn_tls;
struct dial;
struct listener;
struct tls_server;

/* What a connection was doing when it failed. */
enum conn_stage {
    CONN_STAGE_RESOLVE = 0, /* the name; also names and addresses that the dial rule refuses */
    CONN_STAGE_CONNECT,
    CONN_STAGE_TLS, /* the handshake, certificates included */
    CONN_STAGE_READ,
    CONN_STAGE_WRITE,
    CONN_STAGE_COUNT
};
extern const char *const conn_stage_name[CONN_STAGE_COUNT];

struct conn_error {
    enum conn_stage stage;
    int err;          /* negative errno: -ETIMEDOUT, -ECONNREFUSED, -ECONNRESET, -EACCES (dial
                         rule), -ENOENT (no such name), -EPROTO (TLS), -EMFILE, … */
    const char *text; /* short, for a trace: "connection refused", "certificate verify failed:
                         …"; no secrets; valid only inside the callback */
};

/* All but on_drain must be there. */
struct conn_events {
    void (*on_open)(struct conn *conn);
    /* At most NET_READ_BYTES; never empty; may be changed in place. */
    void (*on_data)(struct conn *conn, uint8_t *bytes, size_t len);
    /*
     * The peer will send no more; writing is still possible. conn_eof_clean() tells whether a TLS
     * peer said so itself. Comes also while reading is stopped, if nothing unread is before it.
     */
    void (*on_eof)(struct conn *conn);
    /* Pending output, once over CONN_PENDING_LOW, has fallen to it. */
    void (*on_drain)(struct conn *conn);
    void (*on_error)(struct conn *conn, const struct conn_error *error);
    void (*on_closed)(struct conn *conn);
};

enum conn_state {
    CONN_UNUSED = 0,  /* zeroed memory */
    CONN_DIALLING,    /* resolving and connecting; has a struct dial */
    CONN_HANDSHAKING, /* TLS; a crew may own conn->tls */
    CONN_OPEN,
    CONN_FLUSHING, /* conn_shutdown(): pending output goes first */
    CONN_DRAINING, /* our FIN is sent; reads and drops what the peer still sends */
    CONN_CLOSING,  /* descriptor closed, waits for libuv and the crew */
    CONN_CLOSED,
    CONN_STATE_COUNT
};

/* Fields are net/'s own but for those marked; zero it before use. */
struct conn {
    uv_poll_t poll;
    struct net *net;                  /* may be read */
    const struct conn_events *events; /* may be set at any time, e.g. when a pool takes it */
    struct conn_tls *tls;             /* NULL: plain */
    struct dial *dial;                /* while CONN_DIALLING */
    struct conn_pending *pending;     /* output that waits for the socket, or NULL */
    struct wheel_timer timer;         /* handshake, linger */
    uint64_t write_progress_ms;       /* may be read: when the kernel last took output, or when the
                                         oldest pending byte came if later; meaningful while pending */
    struct net_addr peer;             /* may be read: the accepted peer, or the address dialled */
    int fd;
    uint32_t linger_bytes;
    uint16_t turn;    /* see net/turn.h; 0: nothing waits there */
    uint8_t state;    /* enum conn_state; may be read */
    uint8_t interest; /* what libuv polls now */
    bool want_read : 1;
    bool eof_seen : 1;
    bool eof_clean : 1;
    bool want_drain : 1;
    bool accepted : 1;
    bool poll_made : 1;
    bool crew_busy : 1; /* a handshake step runs beside the loop, or waits to */
    bool erred : 1;     /* a write failed: told by its result, not again by on_error */
    bool arrived : 1;   /* may be read: bytes are here that on_data will bring later in this turn */
};
_Static_assert(sizeof(struct conn) <= 320, "thousands of them are open at once");

/*
 * Sends the parts in order. 0: taken: sent, pending, or (short ones) sent when this turn of the loop
 * ends; what fails then comes as on_error. Negative errno: the connection is broken or not open
 * (-EPIPE, -ECONNRESET, -ENOMEM, -ENOTCONN): nothing more will be sent, the owner closes it;
 * on_error does not come for it. Up to CONN_PARTS_MAX parts; bytes may be reused at once. One
 * send(), for all that was written in the turn; when TLS the parts become one record (16 KiB
 * each if longer).
 */
int MUST_CHECK conn_write(struct conn *conn, const struct str *parts, unsigned count);

/* Bytes that wait for the socket (for TLS: as records). */
size_t conn_pending_bytes(const struct conn *conn);

static inline bool
conn_is_full(const struct conn *conn)
{
    return conn->pending != NULL && conn_pending_bytes(conn) >= CONN_PENDING_HIGH;
}

/*
 * Both are idempotent and lazy: stopping costs nothing until something arrives, so a stop and a
 * start between two arrivals cost no system call. Reading is on when on_open comes. After
 * conn_read_stop() no on_data comes, with two exceptions: bytes that arrived together with the
 * end of a TLS handshake follow on_open directly, also if it stopped reading; and what had arrived
 * in this turn still comes when another connection's callback stopped it.
 */
void conn_read_stop(struct conn *conn);
void conn_read_start(struct conn *conn);

/*
 * Ends it gracefully: what is pending is flushed, TLS says close_notify, then FIN; then what
 * the peer still sends is read and dropped for linger_ms and CONN_LINGER_BYTES at most, so that
 * a reset does not destroy what we sent. Only on_closed comes after it. Does nothing when it is
 * closing already; a connection that is not open yet is closed.
 */
void conn_shutdown(struct conn *conn);
/* Ends it now: pending output is lost. Safe twice, in any state but CONN_UNUSED. */
void conn_close(struct conn *conn);
/* As conn_close(), and the peer is sent a reset even where a FIN would do. */
void conn_reset(struct conn *conn);

/* on_error, on_eof, on_data, on_drain and on_open will not come any more. */
static inline bool
conn_is_closing(const struct conn *conn)
{
    return conn->state >= CONN_FLUSHING;
}

/* After on_eof: the end was said by the peer (FIN; with TLS, close_notify before it). */
static inline bool
conn_eof_clean(const struct conn *conn)
{
    return conn->eof_clean;
}

/*
 * The owner expects nothing for a while (pooled, keep-alive, a stream that waits): gives back
 * what pages TLS holds. Cheap, and nothing at all when there is nothing to give.
 */
void conn_idle(struct conn *conn);

bool conn_is_tls(const struct conn *conn);
/* The handshake was shortened by a session ticket. */
bool conn_tls_resumed(const struct conn *conn);

/*
 * An accepted descriptor (non-blocking) becomes a connection; server NULL means plain, else the
 * handshake begins. The listener calls it; so may tests. Owns fd from here, also on failure: a
 * negative errno means fd is closed and the conn unused, and no callback came or will come.
 */
int MUST_CHECK conn_accept(struct net *net, struct conn *conn, const struct conn_events *events,
                           int fd, const struct net_addr *peer, struct tls_server *server);

#endif
