/*
 * Opening connections. The dial rule: a connection is opened only to an address that was
 * resolved once, checked as an address, and is then dialled as that very address. Loopback,
 * private, link-local, multicast, unspecified, shared (CGNAT), documentation, mapped and
 * translated forms are refused unless the target is `local`.
 */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include "base/base.h"
#include "net/conn.h"
#include "net/net.h"

struct tls_client;
struct sockaddr;

#define DIAL_HOST_MAX 253

struct dial_target {
    struct str host; /* a name, an IPv4 address, or an IPv6 address with or without brackets */
    uint16_t port;
    bool local;             /* any address will do */
    struct tls_client *tls; /* NULL: plain. The certificate must be for host */
    uint32_t connect_ms;    /* to resolve and connect; 0: 10,000. The handshake has its own */
};

/*
 * Starts a connection (zeroed before). 0, then on_open or on_error, in a later turn; or a
 * negative errno for want of memory, and the conn stays unused. target may go after the call,
 * target->tls not. Several addresses are tried in order, each in turn first; connections to
 * one host and port resume TLS sessions.
 */
int MUST_CHECK net_dial(struct net *net, struct conn *conn, const struct conn_events *events,
                        const struct dial_target *target);

/* Whether the dial rule lets a connection go to this address. Pure. Unknown families: false. */
bool dial_address_allowed(const struct sockaddr *sa, bool local);

/* What a host's text is, by its form alone. */
enum dial_host {
    DIAL_HOST_NAME = 0,
    DIAL_HOST_ADDRESS, /* a literal IPv4 or IPv6 address: check it as one, do not resolve */
    DIAL_HOST_REFUSED, /* empty, too long, NUL, bad bytes, or numeric in any base */
};
/* For DIAL_HOST_ADDRESS fills *addr (port 0); for DIAL_HOST_REFUSED *why is a constant text. */
enum dial_host dial_host_kind(struct str host, struct net_addr *addr, const char **why);

#endif
