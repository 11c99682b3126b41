/*
 * Listeners. The socket is made by net_listen_socket() in the parent, before the fork and
 * without libuv, one a worker with SO_REUSEPORT, so that a worker that restarts loses no
 * connection; listener_start() takes an inherited one. Accepting is bounded a wake-up, and
 * pauses at net_options.accepted_max and when descriptors run out, until connections close.
 */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include "base/base.h"
#include "net/conn.h"
#include "net/net.h"

#define LISTEN_BACKLOG 4096
#define LISTEN_ACCEPTS_MAX 64 /* a wake-up */

/*
 * A bound, listening, non-blocking, close-on-exec TCP socket on "127.0.0.1:8080",
 * "[::1]:8080", "*:8080" (all, IPv6 and IPv4) or "0.0.0.0:0"; never resolves names. Negative
 * errno on failure, with what failed in err (NUL-terminated). SO_REUSEADDR and SO_REUSEPORT are
 * set, TCP_NODELAY is inherited by what it accepts. Needs no loop and no thread.
 */
int MUST_CHECK net_listen_socket(struct str address, char *err, size_t err_cap);
/*
 * Whether the address is free: SO_REUSEPORT lets a second program of the same user share it
 * without a word. 0 or a negative errno with a reason in err.
 */
int MUST_CHECK net_listen_probe(struct str address, char *err, size_t err_cap);
/* The port a socket is bound to, for port 0; 0 when unknown. */
uint16_t net_listen_port(int fd);
/*
 * The address alone, with the rules of net_listen_socket(): for checking a configuration.
 * "*" gives the IPv6 wildcard. False with a reason in err.
 */
bool MUST_CHECK net_listen_parse(struct str address, struct net_addr *addr, char *err,
                                 size_t err_cap);

struct listener {
    uv_poll_t poll;
    struct net *net;
    struct list node;          /* net->listeners */
    struct tls_server *server; /* NULL: plain. May be replaced: new connections use it */
    struct str refusal;        /* what a plain one that on_accept refuses is sent; may be none */
    const struct conn_events *events;
    struct wheel_timer timer; /* tries again after EMFILE */
    int fd;
    bool paused;
    bool closing;
    /*
     * A connection from peer waits: gives the conn to use (zeroed, embedded in its owner), or
     * NULL to refuse it (it is closed). If it then cannot be started, on_refused gives the conn
     * back; else the conn's events follow, on_open first or within.
     */
    struct conn *(*on_accept)(struct listener *listener, const struct net_addr *peer);
    void (*on_refused)(struct listener *listener, struct conn *conn);
    void (*on_closed)(struct listener *listener); /* may be NULL */
    void *arg;                                    /* the owner's */
};

/*
 * Starts accepting on fd (listening already; ownership passes here). The caller has zeroed the
 * struct and filled server, events, on_accept, on_refused, on_closed, arg. 0 or a negative
 * errno, where fd stays the caller's.
 */
int MUST_CHECK listener_start(struct net *net, struct listener *listener, int fd);
/*
 * Stops and closes the socket; connections live on. on_closed comes in a later turn. What was in
 * the kernel's queue is accepted first (bounded by the backlog), so a drain loses nobody.
 */
void listener_stop(struct listener *listener);

#endif
