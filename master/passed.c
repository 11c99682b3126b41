#include "master/passed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

static int
refuse(int fd, const char *name, const char *why, const char *hint)
{
    char what[128];

    snprintf(what, sizeof what, "passed socket %d (%.80s)", fd, name[0] != '\0' ? name : "no name");
    options_complain(what, why, hint);
    return CLI_USAGE;
}

static bool
option_of(int fd, int name, int *value)
{
    socklen_t len = sizeof *value;

    return getsockopt(fd, SOL_SOCKET, name, value, &len) == 0;
}

/* "127.0.0.1:8080". False: it is of another family. */
static bool
address_of(int fd, char *out, size_t cap)
{
    struct sockaddr_storage at = {0};
    socklen_t len = sizeof at;
    char text[INET6_ADDRSTRLEN];

    if (getsockname(fd, (struct sockaddr *)&at, &len) < 0)
        return false;
    if (at.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&at;

        inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
        snprintf(out, cap, "%s:%u", text, ntohs(in->sin_port));
    } else if (at.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)&at;

        inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof text);
        snprintf(out, cap, "[%s]:%u", text, ntohs(in->sin6_port));
    } else {
        return false;
    }
    return true;
}

/* A socket unit that says no name has its own for one; a manager that knows none says "unknown". */
static bool
kind_of(struct str name, enum worker_listener_kind *kind)
{
    *kind = LISTENER_PLAIN;
    if (name.len == 0 || str_eq(name, STR("api")) || str_eq(name, STR("unknown")) ||
        str_ends_with(name, STR(".socket")))
        return true;
    *kind = str_eq(name, STR("tls")) ? LISTENER_TLS : LISTENER_METRICS;
    return *kind == LISTENER_TLS || str_eq(name, STR("metrics"));
}

static int
take(struct options *o, int fd, const char *name)
{
    static char addresses[OPTIONS_LISTEN_MAX][80];
    char *address = addresses[o->listen_count % OPTIONS_LISTEN_MAX];
    enum worker_listener_kind kind;
    int type = 0, listens = 0, on = 1, flags = fcntl(fd, F_GETFL);

    if (!kind_of(str_from(name), &kind))
        return refuse(fd, name, "nothing is known by that name",
                      "FileDescriptorName= is api, tls or metrics");
    if (flags < 0 || !option_of(fd, SO_TYPE, &type))
        return refuse(fd, name, "it is no socket", "ListenStream= is what is taken");
    if (type != SOCK_STREAM || !option_of(fd, SO_ACCEPTCONN, &listens) || listens == 0)
        return refuse(fd, name, "it does not listen for connections",
                      "a socket unit needs ListenStream= and Accept=no");
    if (!address_of(fd, address, sizeof addresses[0]))
        return refuse(fd, name, "it is neither IPv4 nor IPv6", "ListenStream= takes ADDR:PORT");
    if (o->listen_count == OPTIONS_LISTEN_MAX)
        return refuse(fd, name, "too many listeners", "at most 16");
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        return refuse(fd, name, strerror(errno), NULL);
    o->listen[o->listen_count++] =
        (struct options_listen){.address = address, .kind = kind, .passed_fd = fd};
    return -1;
}

int
passed_listeners(struct options *o)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    struct str rest = str_from(getenv("LISTEN_FDNAMES"));
    uint64_t about, count = 0;
    int rc = -1;

    /* For another process: a shell between the manager and us, say. */
    if (pid == NULL || fds == NULL || !str_to_u64(str_from(pid), &about) ||
        about != (uint64_t)getpid())
        return -1;
    if (!str_to_count(str_from(fds), OPTIONS_LISTEN_MAX, &count)) {
        options_complain("LISTEN_FDS", fds, "at most 16 sockets can be passed");
        return CLI_USAGE;
    }
    for (int i = 0; rc < 0 && i < (int)count; i++) {
        struct str part = str_split(rest, ':', &rest);
        char name[256] = "";

        str_copy(part, name, sizeof name);
        rc = take(o, FIRST_FD + i, name);
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return rc;
}
