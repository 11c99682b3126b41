/* Unix sockets: there is nothing to resolve and nothing to wait for, connecting is one call. */
#include "net/unix.h"

#include "net/conn_in.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

_Static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) == UNIX_PATH_MAX + 1, "a path and its NUL");

static bool
address_of(const char *path, struct sockaddr_un *addr)
{
    size_t len = strlen(path);

    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (len == 0 || len > UNIX_PATH_MAX)
        return false;
    memcpy(addr->sun_path, path, len);
    return true;
}

int
net_listen_unix(const char *path)
{
    struct sockaddr_un addr;
    mode_t mask;
    int fd, rc;

    if (!address_of(path, &addr))
        return -ENAMETOOLONG;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    (void)unlink(path);
    mask = umask(0177);
    rc = bind(fd, (const struct sockaddr *)&addr, sizeof(addr));
    umask(mask);
    if (rc < 0 || listen(fd, BACKLOG) < 0) {
        rc = -errno;
        (void)close(fd);
        return rc;
    }
    return fd;
}

static void
unix_on_soon(struct wheel_timer *timer)
{
    (void)conn_opened(CONTAINER_OF(timer, struct conn, timer));
}

int
net_dial_unix(struct net *net, struct conn *conn, const struct conn_events *events, const char *path)
{
    struct sockaddr_un addr;
    int fd, rc;

    if (!address_of(path, &addr))
        return -ENAMETOOLONG;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
        rc = -errno;
        (void)close(fd);
        return rc;
    }
    conn_begin(net, conn, events, CONN_DIALLING);
    rc = conn_attach(conn, fd);
    if (rc < 0) {
        conn_unbegin(conn);
        return rc;
    }
    net->counts.dialled++;
    wheel_soon(&net->wheel, &conn->timer, unix_on_soon);
    return 0;
}
