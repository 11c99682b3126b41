#include "net/probe.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "net/dial.h"
#include "net/tls_in.h"

#define ADDRESSES_MAX 16
#define OUT_BYTES_MAX (64u << 10)

struct deadline {
    uint64_t end_us;
};

static struct deadline
deadline_in(unsigned ms)
{
    return (struct deadline){clock_mono_us() + (uint64_t)ms * 1000};
}

/* 0, or a negative errno: -ETIMEDOUT. */
static int
wait_for(int fd, short events, struct deadline deadline)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        uint64_t now_us = clock_mono_us();
        int rc;

        if (now_us >= deadline.end_us)
            return -ETIMEDOUT;
        rc = poll(&p, 1, (int)((deadline.end_us - now_us) / 1000) + 1);
        if (rc > 0)
            return 0;
        if (rc < 0 && errno != EINTR)
            return -errno;
    }
}

static bool
failed(struct probe *out, enum probe_stage stage, const char *why)
{
    out->stage = stage;
    str_copy(str_from(why), out->why, sizeof(out->why));
    return false;
}

/* ---- the name ---- */

static bool
keep_allowed(const struct probe_target *target, const struct addrinfo *found, struct net_addr *addrs,
             struct probe *out)
{
    bool any = false;

    for (; found != NULL && out->address_count < ADDRESSES_MAX; found = found->ai_next) {
        any = true;
        if (!dial_address_allowed(found->ai_addr, target->local))
            continue;
        net_addr_from(&addrs[out->address_count], found->ai_addr);
        addrs[out->address_count++].port = target->port;
    }
    if (out->address_count > 0)
        return true;
    return failed(out, PROBE_RESOLVE,
                  any ? "its addresses are of this machine or a private network"
                      : "the name has no address");
}

static bool
resolve(const struct probe_target *target, struct net_addr *addrs, struct probe *out)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;
    char host[DIAL_HOST_MAX + 1];
    uint64_t from_us = clock_mono_us();
    bool done;
    int rc;

    if (target->host.len > DIAL_HOST_MAX)
        return failed(out, PROBE_RESOLVE, "the name is too long");
    str_copy(target->host, host, sizeof(host));
    rc = getaddrinfo(host, NULL, &hints, &found);
    out->resolve_us = clock_mono_us() - from_us;
    if (rc != 0)
        return failed(out, PROBE_RESOLVE, rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
    done = keep_allowed(target, found, addrs, out);
    freeaddrinfo(found);
    return done;
}

/* ---- the connection ---- */

/* A connected descriptor, or a negative errno. */
static int
connect_to(const struct net_addr *addr, struct deadline deadline)
{
    struct sockaddr_storage ss;
    unsigned len = net_addr_to(addr, &ss);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t err_len = sizeof(int);
    int err = 0, rc = 0;

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&ss, len) == 0)
        return fd;
    if (errno != EINPROGRESS)
        rc = -errno;
    if (rc == 0)
        rc = wait_for(fd, POLLOUT, deadline);
    if (rc == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &err_len) != 0)
        rc = -errno;
    if (rc == 0 && err == 0)
        return fd;
    close(fd);
    return rc < 0 ? rc : -err;
}

static int
connect_any(const struct probe_target *target, const struct net_addr *addrs, struct probe *out)
{
    struct deadline deadline = deadline_in(target->timeout_ms);
    uint64_t from_us = clock_mono_us();
    int fd = -EHOSTUNREACH;

    for (unsigned i = 0; i < out->address_count && fd < 0; i++) {
        (void)net_addr_text(&addrs[i], out->address);
        fd = connect_to(&addrs[i], deadline);
    }
    out->connect_us = clock_mono_us() - from_us;
    if (fd < 0)
        (void)failed(out, PROBE_CONNECT, strerror(-fd));
    return fd;
}

/* ---- TLS ---- */

static bool
send_all(int fd, struct buf *out, struct deadline deadline)
{
    size_t sent = 0;

    while (sent < out->len) {
        ssize_t n = send(fd, out->ptr + sent, out->len - sent, MSG_NOSIGNAL);

        if (n > 0)
            sent += (size_t)n;
        else if (errno == EAGAIN && wait_for(fd, POLLOUT, deadline) == 0)
            continue;
        else if (errno != EINTR)
            return false;
    }
    out->len = 0;
    return true;
}

/* NULL when the handshake was done, else why not. Text of the link's lives as long as it. */
static const char *
shake(struct tls_link *link, int fd, struct buf *out, struct deadline deadline)
{
    uint8_t in[16 << 10];
    struct tls_io io = {.in = in, .out = out};

    for (;;) {
        enum tls_result result = tls_link_handshake(link, &io);
        ssize_t n;
        int rc;

        if (!send_all(fd, out, deadline) && result != TLS_FAILED)
            return "the connection broke";
        if (result == TLS_OK)
            return NULL;
        if (result != TLS_WANT_INPUT)
            return tls_link_error(link);
        rc = wait_for(fd, POLLIN, deadline);
        if (rc < 0)
            return strerror(-rc);
        /* What the step left unread goes before what comes. */
        memmove(in, io.in, io.in_len);
        n = recv(fd, in + io.in_len, sizeof(in) - io.in_len, 0);
        if (n == 0)
            return "the other side closed the connection";
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return strerror(errno);
        io = (struct tls_io){.in = in, .in_len = io.in_len + (size_t)MAX(n, 0), .out = out};
    }
}

static bool
shake_hands(const struct probe_target *target, int fd, struct probe *out)
{
    struct tls_client *client = tls_client_new(&(struct tls_client_options){target->ca_file});
    struct tls_link *link =
        client != NULL ? tls_link_new_client(client, target->host, target->port) : NULL;
    const char *why = "out of memory";
    uint64_t from_us = clock_mono_us();
    struct buf bytes;

    buf_init(&bytes, OUT_BYTES_MAX);
    if (link != NULL) {
        why = shake(link, fd, &bytes, deadline_in(target->timeout_ms));
        out->tls_us = clock_mono_us() - from_us;
        tls_link_peer(link, &out->peer);
        if (why != NULL)
            (void)failed(out, PROBE_TLS, why);
        tls_link_handshaken(link, why == NULL);
        tls_link_free(link);
    }
    buf_free(&bytes);
    tls_client_free(client);
    return why == NULL;
}

void
probe_run(const struct probe_target *target, struct probe *out)
{
    struct net_addr addrs[ADDRESSES_MAX];
    int fd;

    memset(out, 0, sizeof(*out));
    if (!resolve(target, addrs, out))
        return;
    fd = connect_any(target, addrs, out);
    if (fd < 0)
        return;
    if (!target->tls || shake_hands(target, fd, out))
        out->stage = PROBE_DONE;
    close(fd);
}
