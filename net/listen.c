/* Listeners: making the socket, accepting from it, pausing and going on. */
#include "net/listen.h"

#include "base/str.h"
#include "net/conn_in.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_MS 200u /* after EMFILE, if no connection closes before */

/* ---- the socket --------------------------------------------------------------------------- */

static bool
parse_refused(struct str address, const char *why, char *err, size_t err_cap)
{
    (void)snprintf(err, err_cap, "\"%.*s\": %s", (int)MIN(address.len, 100), address.ptr, why);
    return false;
}

bool
net_listen_parse(struct str address, struct net_addr *addr, char *err, size_t err_cap)
{
    char ip[INET6_ADDRSTRLEN];
    struct str host;
    size_t colon = address.len;
    uint64_t port;

    memset(addr, 0, sizeof(*addr));
    while (colon > 0 && address.ptr[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return parse_refused(address, "no port: write ADDRESS:PORT", err, err_cap);
    if (!str_to_count((struct str){address.ptr + colon, address.len - colon}, 65535, &port))
        return parse_refused(address, "the port is not a number up to 65535", err, err_cap);
    addr->port = (uint16_t)port;
    host = (struct str){address.ptr, colon - 1};
    if (str_eq(host, STR("*"))) {
        addr->family = 6;
        return true;
    }
    addr->family = 4;
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        host = (struct str){host.ptr + 1, host.len - 2};
        addr->family = 6;
    }
    if (host.len >= sizeof(ip) || memchr(host.ptr, '\0', host.len) != NULL)
        return parse_refused(address, "not an address", err, err_cap);
    (void)str_copy(host, ip, sizeof(ip));
    if (inet_pton(addr->family == 6 ? AF_INET6 : AF_INET, ip, addr->ip) != 1)
        return parse_refused(address,
                             strchr(ip, ':') != NULL && addr->family == 4
                                 ? "an IPv6 address needs brackets: [::1]:8080"
                                 : "not an IP address (names are not looked up; \"*\" is all)",
                             err, err_cap);
    return true;
}

static int
socket_refused(int fd, struct str address, const char *step, char *err, size_t err_cap)
{
    int code = errno;

    if (fd >= 0)
        (void)close(fd);
    (void)snprintf(err, err_cap, "cannot listen on %.*s: %s: %s", (int)MIN(address.len, 100),
                   address.ptr, step, strerror(code));
    return -code;
}

/* A bound socket; shared: others may bind the same address. */
static int
bound_socket(struct str address, bool shared, char *err, size_t err_cap)
{
    static const int on = 1, off = 0;
    struct sockaddr_storage ss;
    struct net_addr addr;
    bool both;
    int fd;
    unsigned ss_len;

    if (!net_listen_parse(address, &addr, err, err_cap))
        return -EINVAL;
    both = address.len > 0 && address.ptr[0] == '*';
    fd = socket(addr.family == 6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                0);
    if (fd < 0 && both && errno == EAFNOSUPPORT) {
        /* A kernel without IPv6: all is IPv4. */
        addr.family = 4;
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    if (fd < 0)
        return socket_refused(fd, address, "socket", err, err_cap);
    ss_len = net_addr_to(&addr, &ss);
    if (addr.family == 6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, both ? &off : &on, sizeof(on)) < 0)
        return socket_refused(fd, address, "IPV6_V6ONLY", err, err_cap);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0) ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        return socket_refused(fd, address, "setsockopt", err, err_cap);
    if (bind(fd, (const struct sockaddr *)&ss, ss_len) < 0)
        return socket_refused(fd, address, "bind", err, err_cap);
    return fd;
}

int
net_listen_probe(struct str address, char *err, size_t err_cap)
{
    int fd = bound_socket(address, false, err, err_cap);

    if (fd < 0)
        return fd;
    (void)close(fd);
    return 0;
}

int
net_listen_socket(struct str address, char *err, size_t err_cap)
{
    int fd = bound_socket(address, true, err, err_cap);

    if (fd < 0)
        return fd;
    if (listen(fd, LISTEN_BACKLOG) < 0)
        return socket_refused(fd, address, "listen", err, err_cap);
    return fd;
}

uint16_t
net_listen_port(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct net_addr addr;

    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return 0;
    net_addr_from(&addr, (const struct sockaddr *)&ss);
    return addr.port;
}

/* ---- accepting ---------------------------------------------------------------------------- */

static void listener_on_poll(uv_poll_t *poll, int status, int events);

static void
listener_resume(struct listener *listener)
{
    struct net *net = listener->net;

    if (!listener->paused || listener->closing ||
        net->counts.accepted_open >= net->options.accepted_max)
        return;
    listener->paused = false;
    wheel_cancel(&net->wheel, &listener->timer);
    (void)uv_poll_start(&listener->poll, UV_READABLE, listener_on_poll);
}

void
listeners_resume(struct net *net)
{
    for (struct list *node = net->listeners.next; node != &net->listeners; node = node->next)
        listener_resume(CONTAINER_OF(node, struct listener, node));
}

static void
listener_on_retry(struct wheel_timer *timer)
{
    listener_resume(CONTAINER_OF(timer, struct listener, timer));
}

static void
listener_pause(struct listener *listener)
{
    struct net *net = listener->net;

    net->counts.accept_paused++;
    listener->paused = true;
    (void)uv_poll_stop(&listener->poll);
    wheel_set(&net->wheel, &listener->timer, RETRY_MS, listener_on_retry);
}

/* As much as costs next to nothing: one try to write, and what came by now is read, since a close
 * over unread bytes is a reset that could destroy what was written. */
static void
listener_refuse(const struct listener *listener, int fd)
{
    struct net *net = listener->net;

    if (listener->server == NULL && listener->refusal.len > 0 &&
        send(fd, listener->refusal.ptr, listener->refusal.len, MSG_NOSIGNAL) > 0) {
        (void)shutdown(fd, SHUT_WR);
        (void)!recv(fd, net->read_buf, NET_READ_BYTES, 0);
    }
    (void)close(fd);
    net->counts.accept_refused++;
}

static void
listener_took(struct listener *listener, int fd, const struct sockaddr_storage *ss)
{
    struct net *net = listener->net;
    struct net_addr peer;
    struct conn *conn;
    int rc;

    net_addr_from(&peer, (const struct sockaddr *)ss);
    conn = listener->on_accept(listener, &peer);
    if (conn == NULL) {
        listener_refuse(listener, fd);
        return;
    }
    rc = conn_accept(net, conn, listener->events, fd, &peer, listener->server);
    if (rc == 0)
        return;
    net->counts.accept_refused++;
    listener->on_refused(listener, conn);
}

enum take { TAKE_MORE = 0, TAKE_EMPTY, TAKE_PAUSE };

static enum take
listener_take(struct listener *listener)
{
    struct net *net = listener->net;
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int fd;

    if (net->counts.accepted_open >= net->options.accepted_max)
        return TAKE_PAUSE;
    fd = accept4(listener->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        listener_took(listener, fd, &ss);
        return TAKE_MORE;
    }
    switch (errno) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: return TAKE_PAUSE;
    case EAGAIN: return TAKE_EMPTY;
    default:
        /* An error of that one connection, such as ECONNABORTED: the next may be well. */
        return TAKE_MORE;
    }
}

static void
listener_on_poll(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = CONTAINER_OF(poll, struct listener, poll);
    enum take take = TAKE_MORE;

    (void)status;
    (void)events;
    net_awake(listener->net);
    for (unsigned i = 0; i < LISTEN_ACCEPTS_MAX && take == TAKE_MORE && !listener->closing; i++)
        take = listener_take(listener);
    if (take == TAKE_PAUSE && !listener->closing)
        listener_pause(listener);
}

int
listener_start(struct net *net, struct listener *listener, int fd)
{
    static const int on = 1;
    int rc = uv_poll_init(&net->loop, &listener->poll, fd);

    if (rc < 0)
        return rc;
    /* Inherited by what it accepts: no system call for each. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    listener->net = net;
    listener->fd = fd;
    list_init(&listener->node);
    list_push_back(&net->listeners, &listener->node);
    (void)uv_poll_start(&listener->poll, UV_READABLE, listener_on_poll);
    return 0;
}

static void
listener_on_poll_closed(uv_handle_t *handle)
{
    struct listener *listener = CONTAINER_OF((uv_poll_t *)handle, struct listener, poll);

    listener->net = NULL;
    if (listener->on_closed != NULL)
        listener->on_closed(listener);
}

void
listener_stop(struct listener *listener)
{
    if (listener->net == NULL || listener->closing)
        return;
    for (unsigned i = 0; i < LISTEN_BACKLOG && !listener->closing; i++) {
        if (listener_take(listener) != TAKE_MORE)
            break;
    }
    if (listener->closing)
        return;
    listener->closing = true;
    wheel_cancel(&listener->net->wheel, &listener->timer);
    list_remove(&listener->node);
    uv_close((uv_handle_t *)&listener->poll, listener_on_poll_closed);
    (void)close(listener->fd);
    listener->fd = -1;
}
