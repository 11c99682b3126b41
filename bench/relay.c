/*
 * bench-relay: the floor. A proxy that knows nothing: each connection gets one of its own to the
 * upstream, and whatever one side says is written to the other. Two reads and two writes a call, a
 * share of an epoll_wait, and nothing else that could cost.
 *
 *     bench-relay LISTEN_PORT UPSTREAM_PORT        both on 127.0.0.1; port 0 picks one and says it
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 512

struct side {
    int fd;
    struct side *other;
    bool dead;
    struct side *next_dead;
    char *kept; /* of the other side, not yet taken by this socket */
    size_t kept_len;
};

static int epoll_fd, listen_fd;
static struct sockaddr_in upstream;
static struct side *dead_list;
static char bytes[65536];

static _Noreturn void
fail(const char *what)
{
    fprintf(stderr, "bench-relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct side *
side_new(int fd)
{
    struct side *s = calloc(1, sizeof(*s));
    int on = 1;

    if (s == NULL)
        fail("memory");
    s->fd = fd;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return s;
}

static void
side_watch(struct side *s)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = s};

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &ev) < 0)
        fail("epoll_ctl");
}

static void
pair_close(struct side *s)
{
    struct side *both[2] = {s, s->other};

    for (int i = 0; i < 2; i++) {
        if (both[i]->dead)
            continue;
        close(both[i]->fd);
        both[i]->dead = true;
        both[i]->next_dead = dead_list;
        dead_list = both[i];
    }
}

static void
client_accept(void)
{
    int fd;

    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct side *client = side_new(fd);
        struct side *server = side_new(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

        if (connect(server->fd, (struct sockaddr *)&upstream, sizeof(upstream)) < 0)
            fail("connect");
        client->other = server;
        server->other = client;
        side_watch(client);
        side_watch(server);
    }
}

/* Writes to s, or keeps; false when s is gone. */
static bool
side_write(struct side *s, const char *from, size_t len)
{
    ssize_t n = s->kept == NULL ? send(s->fd, from, len, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

    if (n < 0 && errno != EAGAIN)
        return false;
    if (n < 0)
        n = 0;
    if ((size_t)n == len)
        return true;
    s->kept = realloc(s->kept, s->kept_len + len - (size_t)n);
    if (s->kept == NULL)
        fail("memory");
    memcpy(s->kept + s->kept_len, from + n, len - (size_t)n);
    s->kept_len += len - (size_t)n;
    return true;
}

static bool
kept_write(struct side *s)
{
    char *kept = s->kept;
    size_t len = s->kept_len;

    s->kept = NULL;
    s->kept_len = 0;
    bool good = side_write(s, kept, len);
    free(kept);
    return good;
}

static void
side_event(struct side *s, uint32_t events)
{
    if (s->dead)
        return;
    if (s->kept != NULL && events & EPOLLOUT && !kept_write(s)) {
        pair_close(s);
        return;
    }
    if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
        return;
    for (;;) {
        ssize_t n = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0 || !side_write(s->other, bytes, (size_t)n)) {
            pair_close(s);
            return;
        }
        if ((size_t)n < sizeof(bytes) && !(events & EPOLLRDHUP))
            return;
    }
}

static void
dead_free(void)
{
    while (dead_list != NULL) {
        struct side *s = dead_list;

        dead_list = s->next_dead;
        free(s->kept);
        free(s);
    }
}

int
main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS_MAX];
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    struct rlimit limit;
    socklen_t len = sizeof(addr);

    if (argc != 3) {
        fputs("usage: bench-relay LISTEN_PORT UPSTREAM_PORT\n", stderr);
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    signal(SIGPIPE, SIG_IGN);
    upstream = addr;
    upstream.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    addr.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    (void)setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listen_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        listen(listen_fd, 4096) < 0 || getsockname(listen_fd, (struct sockaddr *)&addr, &len) < 0)
        fail("listen");
    printf("listening 127.0.0.1:%u\n", ntohs(addr.sin_port));
    fflush(stdout);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &ev) < 0)
        fail("epoll");
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                client_accept();
            else
                side_event(events[i].data.ptr, events[i].events);
        }
        dead_free();
    }
}
