/*
 * net: libuv, mbedTLS and llhttp made into listeners, connections and requests. No domain
 * words: nothing here knows what a call or an upstream is.
 *
 * Promises: one loop, one thread; every callback comes on that thread, from net_run(). What
 * would block runs on other threads (names on libuv's pool, handshakes and reading CA files with
 * a crew) and touches nothing that the loop touches meanwhile. In steady state a message costs
 * one read and one write a side, and no epoll_ctl. An idle connection owns no buffers. The work
 * of one wake-up is bounded. Nothing is opened before the fork: net_init() is called in the child.
 *
 * Reading order: net.h (the loop), wheel.h (timers), conn.h (a connection), listen.h, unix.h, dial.h
 * (and dns.h below it), tls.h (and crew.h below it); the parsers of HTTP/1 (h1_req.h, h1_res.h) and
 * of WebSockets (ws.h, ws_shake.h) stand beside and use none of these.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/base.h"
#include "base/list.h"
#include "net/wheel.h"

#include <uv.h>

#define NET_READ_BYTES (64u << 10) /* most that one wake-up reads of a connection */

struct arrivals;
struct crew;
struct dns_cache;
struct tls_scratch;
struct turn;

/*
 * before_sleep runs each turn right before the loop may sleep, after_wake right after and before
 * anything that woke it is told: what a turn counter in shared memory needs, and a clock that is
 * read once a turn. Either may be NULL. They must not close the net.
 */
struct net_hooks {
    void (*before_sleep)(void *arg);
    void (*after_wake)(void *arg);
    void *arg;
};

struct net_options {
    struct net_hooks hooks;
    unsigned accepted_max;   /* accepted connections open at once; 0: 100,000 */
    unsigned handshakes_max; /* TLS handshakes under way or waiting; 0: 512 */
    unsigned handshake_ms;   /* deadline of a handshake; 0: 10,000 */
    unsigned linger_ms;      /* conn_shutdown(): wait for the peer's end; 0: 2,000 */
    unsigned stall_ms;       /* conn_shutdown(): peer takes no data; 0: 60,000 */
};

/* For metrics and tests; only ever counts up, but for the _open ones. */
struct net_counts {
    uint64_t accepted;
    uint64_t accept_refused; /* by the owner or by handshakes_max */
    uint64_t accept_paused; /* times accepting stopped for want of descriptors or at accepted_max */
    uint64_t dialled;
    uint64_t dial_failed;
    uint64_t names_resolved; /* asked of the system, not of the cache */
    uint64_t handshakes_full;
    uint64_t handshakes_resumed;
    uint64_t handshakes_failed;
    uint64_t conns_open;
    uint64_t accepted_open;
};

/* One worker's loop and what its connections share. Fields are net/'s own but for loop, wheel and
 * counts, which others may read. */
struct net {
    uv_loop_t loop;
    struct wheel wheel;
    struct net_counts counts;
    struct net_options options;
    uv_prepare_t prepare;
    uv_check_t check;
    bool asleep;             /* before_sleep was called, and after_wake not yet */
    uint8_t *read_buf;       /* NET_READ_BYTES, valid within one callback */
    struct arrivals *arrivals; /* input of this turn */
    struct turn *turn;       /* output of this turn */
    struct tls_scratch *tls; /* made at the first TLS connection */
    struct dns_cache *dns;
    struct list listeners;      /* all of them */
    struct crew *handshakes[2]; /* of accepted, of dialled; each made when first needed */
    unsigned handshakes_open;
};

/* The loop's own word that it is awake comes after what woke it: every callback of this room that may
 * be called from its sleep begins with this. */
void net_awake(struct net *net);

/* Makes the loop; call after the fork. 0 or a negative errno. */
int MUST_CHECK net_init(struct net *net, const struct net_options *options);
/* Runs until net_stop(), or until nothing is left to wait for. */
void net_run(struct net *net);
/* Makes net_run() return at the end of this turn; may be called in any callback. */
void net_stop(struct net *net);
/*
 * Frees all. Every connection, listener and watch must have been closed by its owner before;
 * runs the loop until their last callbacks came. After this the net may be initialised again.
 */
void net_end(struct net *net);

/* The loop's time, monotonic, as of this turn: no system call. */
static inline uint64_t
net_now_ms(const struct net *net)
{
    return uv_now(&net->loop);
}

/*
 * Watching a descriptor that is not a connection. The owner embeds it and must not free it
 * before on_closed (may be NULL when it lives as long as the process). The descriptor stays
 * the owner's and must outlive net_unwatch().
 */
struct net_watch {
    uv_poll_t poll;
    struct net *net;
    int fd;
    bool counter; /* an eventfd: read before on_ready */
    void (*on_ready)(struct net_watch *watch);
    void (*on_closed)(struct net_watch *watch);
};

/* on_ready each time the eventfd was rung; it has been read already (rings may be merged). */
int MUST_CHECK net_watch_eventfd(struct net *net, struct net_watch *watch, int fd,
                                 void (*on_ready)(struct net_watch *watch));
/*
 * on_ready once, when the other end of the pipe is closed; bytes on it are read and ignored.
 * The watch stops by itself but still needs net_unwatch().
 */
int MUST_CHECK net_watch_eof(struct net *net, struct net_watch *watch, int fd,
                             void (*on_ready)(struct net_watch *watch));
/* Safe twice, and on a zeroed watch that was never started (on_closed does not come then). */
void net_unwatch(struct net_watch *watch);

/*
 * An IP address and port in 20 bytes. IPv4 has its four bytes first in ip.
 */
struct net_addr {
    uint8_t ip[16];
    uint16_t port;  /* host order */
    uint8_t family; /* 4, 6, or 0 for none */
    uint8_t unused;
};

/* IPv4 mapped into IPv6, as ranges of addresses have it (base/cidr.h). */
void net_addr_mapped(const struct net_addr *addr, uint8_t out[16]);

struct sockaddr;
struct sockaddr_storage;
void net_addr_from(struct net_addr *addr, const struct sockaddr *sa);
/* Fills *ss and returns its length; 0 when the family is none. */
unsigned net_addr_to(const struct net_addr *addr, struct sockaddr_storage *ss);
#define NET_ADDR_TEXT 56
/* "127.0.0.1:80" or "[::1]:80" and a NUL into out, which has NET_ADDR_TEXT bytes; returns out. */
char *net_addr_text(const struct net_addr *addr, char *out);

#endif
