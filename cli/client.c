#include "cli/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

#define READ_BYTES 16384
#define SEND_US UINT64_C(60000000)

/* A socket's name is short; a state directory's need not be: then it is reached through a descriptor. */
static int
address_of(const char *state_dir, int dir_fd, struct sockaddr_un *address)
{
    int n;

    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    n = snprintf(address->sun_path, sizeof(address->sun_path), "%s/control.sock", state_dir);
    if (n >= 0 && (size_t)n < sizeof(address->sun_path))
        return 0;
    n = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/control.sock",
                 dir_fd);
    return n >= 0 && (size_t)n < sizeof(address->sun_path) ? 0 : -ENAMETOOLONG;
}

int
client_connect(const char *state_dir)
{
    struct sockaddr_un address;
    int dir_fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = -1, rc;

    if (dir_fd < 0)
        return -errno;
    rc = address_of(state_dir, dir_fd, &address);
    if (rc == 0) {
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        rc = fd < 0 ? -errno : 0;
    }
    if (rc == 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        rc = -errno;
    close(dir_fd);
    if (rc == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return rc;
}

static int
wait_for(int fd, short events, uint64_t until_us)
{
    for (;;) {
        struct pollfd pfd = {.fd = fd, .events = events};
        uint64_t now_us = clock_mono_us();
        int n;

        if (now_us >= until_us)
            return -ETIMEDOUT;
        n = poll(&pfd, 1, (int)MIN((until_us - now_us) / 1000 + 1, 60000u));
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            return 0;
    }
}

static int
send_all(int fd, struct str bytes, uint64_t until_us)
{
    while (bytes.len > 0) {
        int rc = wait_for(fd, POLLOUT, until_us);
        ssize_t n;

        if (rc < 0)
            return rc;
        n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return errno == ECONNRESET ? -EPIPE : -errno;
        if (n > 0)
            bytes = (struct str){bytes.ptr + n, bytes.len - (size_t)n};
    }
    return 0;
}

/* One line, without its newline, onto *answer. */
static int
receive_line(int fd, struct buf *answer, uint64_t until_us)
{
    size_t start = answer->len;

    for (;;) {
        char bytes[READ_BYTES];
        const char *end;
        ssize_t n;
        int rc = wait_for(fd, POLLIN, until_us);

        if (rc < 0)
            return rc;
        n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return -EPIPE;
        end = memchr(bytes, '\n', (size_t)n);
        if (!buf_add(answer, bytes, end != NULL ? (size_t)(end - bytes) : (size_t)n))
            return -EMSGSIZE;
        if (end != NULL)
            return answer->len > start ? 0 : -EPIPE;
    }
}

int
client_ask(int fd, struct str request, struct buf *answer, unsigned timeout_ms)
{
    uint64_t until_us = clock_mono_us() + (uint64_t)timeout_ms * 1000;
    int rc = send_all(fd, request, until_us);

    if (rc == 0)
        rc = send_all(fd, STR("\n"), until_us);
    return rc == 0 ? receive_line(fd, answer, until_us) : rc;
}

/* The first byte of a request, and the descriptor with it. */
static int
send_with(int fd, struct str *request, int passed_fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } room = {{0}};
    struct iovec part = {(void *)(uintptr_t)request->ptr, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
                             .msg_control = room.bytes, .msg_controllen = sizeof(room.bytes)};
    struct cmsghdr *with = CMSG_FIRSTHDR(&message);

    with->cmsg_level = SOL_SOCKET;
    with->cmsg_type = SCM_RIGHTS;
    with->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(with), &passed_fd, sizeof(int));
    if (sendmsg(fd, &message, MSG_NOSIGNAL) != 1)
        return errno == ECONNRESET ? -EPIPE : -errno;
    *request = (struct str){request->ptr + 1, request->len - 1};
    return 0;
}

int
client_ask_long(int fd, struct str request, int passed_fd, struct buf *answer)
{
    uint64_t until_us = clock_mono_us() + SEND_US;
    int rc = passed_fd >= 0 ? send_with(fd, &request, passed_fd) : 0;

    if (rc == 0)
        rc = send_all(fd, request, until_us);
    if (rc == 0)
        rc = send_all(fd, STR("\n"), until_us);
    return rc == 0 ? receive_line(fd, answer, UINT64_MAX) : rc;
}

int
client_master_pid(const char *state_dir)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[4096];
    int fd, rc;

    if ((size_t)snprintf(path, sizeof(path), "%s/master.lock", state_dir) >= sizeof(path))
        return -ENAMETOOLONG;
    /* Only to ask: a lock of our own on this file would be lost by the close below. */
    fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    rc = fcntl(fd, F_GETLK, &lock) != 0 ? -errno : lock.l_type == F_UNLCK ? 0 : (int)lock.l_pid;
    close(fd);
    return rc;
}
