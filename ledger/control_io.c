/* The control socket's connections, and the thread that does all their input and output. */
#include "ledger/control_in.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "base/thread.h"
#include "ledger/core.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IDLE_US UINT64_C(30000000)
#define READ_BYTES 16384

/* ---- connections ---- */

static void
conn_close(struct conn *conn)
{
    close(conn->fd);
    if (conn->passed_fd >= 0)
        close(conn->passed_fd);
    conn->passed_fd = -1;
    buf_free(&conn->in);
    if (conn->out.ptr != NULL)
        explicit_bzero(conn->out.ptr, conn->out.cap);
    buf_free(&conn->out);
    conn->state = CONN_FREE;
    conn->generation++;
}

static bool
peer_allowed(int fd, char *by, size_t cap)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return false;
    snprintf(by, cap, "uid %u", (unsigned)peer.uid);
    return peer.uid == 0 || peer.uid == geteuid();
}

static void
conn_accept(struct control *control)
{
    for (uint32_t i = 0; i < CONNS_MAX; i++) {
        struct conn *conn = &control->conns[i];
        int fd;

        if (conn->state != CONN_FREE)
            continue;
        fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        conn->fd = fd;
        conn->passed_fd = -1;
        conn->state = CONN_READING;
        conn->active_us = clock_mono_us();
        conn->out_sent = 0;
        buf_init(&conn->in, COMMAND_REQUEST_BYTES_MAX + READ_BYTES);
        buf_init(&conn->out, COMMAND_ANSWER_BYTES_MAX + 8192);
        conn->refused = !peer_allowed(fd, conn->by, sizeof(conn->by));
        if (conn->refused) {
            buf_add_str(&conn->out, STR("{\"ok\":false,\"exit\":77,\"error\":\"control\","
                                        "\"why\":\"you are not allowed to ask\","
                                        "\"hint\":\"run as the server's user or as root\"}\n"));
            conn->state = CONN_WRITING;
            log_warn("control.refused", "by=%s", log_quote(str_from(conn->by)));
        }
    }
}

/* A whole line makes a job. The bytes after it wait until it is answered. */
static void
conn_request(struct control *control, uint32_t idx)
{
    struct conn *conn = &control->conns[idx];
    const char *end = conn->in.len > 0 ? memchr(conn->in.ptr, '\n', conn->in.len) : NULL;
    struct job *job;
    size_t len;

    if (end == NULL && conn->in.len <= COMMAND_REQUEST_BYTES_MAX)
        return;
    job = calloc(1, sizeof(*job));
    if (job == NULL) {
        conn_close(conn);
        return;
    }
    len = end != NULL ? (size_t)(end - conn->in.ptr) : conn->in.len;
    job->conn_idx = idx;
    job->conn_generation = conn->generation;
    job->hand_fd = -1;
    conn->state = CONN_WAITING;
    pthread_mutex_lock(&control->lock);
    control->jobs_open++;
    pthread_mutex_unlock(&control->lock);

    bool started = command_start(&job->command, control->ledger,
                                 (struct str){conn->in.ptr, len}, conn->by);

    job->command.fd = conn->passed_fd;
    conn->passed_fd = -1;
    /* Longer than a line may be: what follows has no beginning, so it is the last answer. */
    conn->refused = end == NULL;
    buf_drop_front(&conn->in, MIN(len + 1, conn->in.len));
    if (started && job->command.def->kind == COMMAND_HAND)
        job->hand_fd = fcntl(conn->fd, F_DUPFD_CLOEXEC, 0);
    if (started)
        job_route(control, job);
    else
        job_done(control, job);
}

/* As recv(). A descriptor may come with a request, for what it writes; of several the last counts. */
static ssize_t
conn_receive(struct conn *conn, char *bytes, size_t cap)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } room;
    struct iovec part = {bytes, cap};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
                             .msg_control = room.bytes, .msg_controllen = sizeof(room.bytes)};
    ssize_t n = recvmsg(conn->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *with = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

    if (with == NULL || with->cmsg_level != SOL_SOCKET || with->cmsg_type != SCM_RIGHTS)
        return n;
    for (size_t at = CMSG_LEN(0); at + sizeof(int) <= with->cmsg_len; at += sizeof(int)) {
        if (conn->passed_fd >= 0)
            close(conn->passed_fd);
        memcpy(&conn->passed_fd, (const char *)with + at, sizeof(int));
    }
    return n;
}

static void
conn_read(struct control *control, uint32_t idx)
{
    struct conn *conn = &control->conns[idx];
    char bytes[READ_BYTES];
    ssize_t n = conn_receive(conn, bytes, sizeof(bytes));

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || !buf_add(&conn->in, bytes, (size_t)n)) {
        conn_close(conn);
        return;
    }
    conn->active_us = clock_mono_us();
    conn_request(control, idx);
}

static void
conn_write(struct control *control, uint32_t idx)
{
    struct conn *conn = &control->conns[idx];
    ssize_t n = send(conn->fd, conn->out.ptr + conn->out_sent, conn->out.len - conn->out_sent,
                     MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        conn_close(conn);
        return;
    }
    conn->active_us = clock_mono_us();
    conn->out_sent += (size_t)n;
    if (conn->out_sent < conn->out.len)
        return;
    if (conn->refused) {
        conn_close(conn);
        return;
    }
    explicit_bzero(conn->out.ptr, conn->out.cap);
    buf_free(&conn->out);
    conn->out_sent = 0;
    conn->state = CONN_READING;
    conn_request(control, idx);
}

static void
take_done(struct control *control)
{
    for (;;) {
        struct job *job;
        struct conn *conn;

        pthread_mutex_lock(&control->lock);
        job = job_queue_take(&control->done);
        control->jobs_open -= job != NULL;
        pthread_mutex_unlock(&control->lock);
        if (job == NULL)
            return;
        conn = &control->conns[job->conn_idx];
        if (job->handed && conn->state == CONN_WAITING && conn->generation == job->conn_generation) {
            conn_close(conn);
        } else if (conn->state == CONN_WAITING && conn->generation == job->conn_generation) {
            buf_add_str(&conn->out, buf_str(&job->answer));
            conn->state = CONN_WRITING;
            conn->active_us = clock_mono_us();
            if (conn->out.failed)
                conn_close(conn);
            else
                conn_write(control, job->conn_idx);
        }
        if (job->answer.ptr != NULL)
            explicit_bzero(job->answer.ptr, job->answer.cap);
        buf_free(&job->answer);
        if (job->hand_fd >= 0)
            close(job->hand_fd);
        free(job);
    }
}

/* ---- the thread of input and output ---- */

static bool
io_over(struct control *control, uint64_t now_us)
{
    bool over;

    pthread_mutex_lock(&control->lock);
    over = control->stopping && now_us >= control->stop_us;
    if (control->stopping && !over) {
        over = true;
        for (uint32_t i = 0; i < CONNS_MAX; i++)
            over = over && control->conns[i].state != CONN_WAITING &&
                   control->conns[i].state != CONN_WRITING;
    }
    pthread_mutex_unlock(&control->lock);
    return over;
}

static nfds_t
io_fill(struct control *control, struct pollfd *fds, uint32_t *conn_of)
{
    nfds_t count = 1;
    bool room = false, stopping;

    fds[0] = (struct pollfd){.fd = control->io_fd, .events = POLLIN};
    for (uint32_t i = 0; i < CONNS_MAX; i++) {
        struct conn *conn = &control->conns[i];

        room = room || conn->state == CONN_FREE;
        if (conn->state == CONN_FREE)
            continue;
        conn_of[count] = i;
        fds[count++] = (struct pollfd){
            .fd = conn->fd,
            .events = conn->state == CONN_READING   ? POLLIN
                      : conn->state == CONN_WRITING ? POLLOUT
                                                    : 0,
        };
    }
    pthread_mutex_lock(&control->lock);
    stopping = control->stopping || control->leaving;
    pthread_mutex_unlock(&control->lock);
    conn_of[count] = UINT32_MAX;
    /* Who comes while all are taken, or while we stop, waits in the kernel's queue for a successor. */
    fds[count++] = (struct pollfd){.fd = room && !stopping ? control->listen_fd : -1,
                                   .events = POLLIN};
    return count;
}

static void
conn_event(struct control *control, uint32_t idx, short events)
{
    struct conn *conn = &control->conns[idx];

    if (conn->state == CONN_READING && (events & (POLLIN | POLLHUP | POLLERR)) != 0)
        conn_read(control, idx);
    else if (conn->state == CONN_WRITING && (events & (POLLOUT | POLLHUP | POLLERR)) != 0)
        conn_write(control, idx);
    else if (conn->state == CONN_WAITING && (events & (POLLHUP | POLLERR)) != 0) {
        job_gone(control, idx, conn->generation);
        conn_close(conn); /* its job finds nobody, and is thrown away */
    }
}

void *
control_io_main(void *arg)
{
    struct control *control = arg;
    struct pollfd fds[CONNS_MAX + 2];
    uint32_t conn_of[CONNS_MAX + 2];

    thread_give_way(CONTROL_NICER);
    for (;;) {
        uint64_t now_us = clock_mono_us();
        nfds_t count;

        if (io_over(control, now_us))
            break;
        count = io_fill(control, fds, conn_of);
        if (poll(fds, count, 500) < 0 && errno != EINTR)
            break;
        now_us = clock_mono_us();
        control_unring(control->io_fd);
        take_done(control);
        for (nfds_t i = 1; i + 1 < count; i++)
            if (fds[i].revents != 0)
                conn_event(control, conn_of[i], fds[i].revents);
        if (fds[count - 1].revents != 0)
            conn_accept(control);
        for (uint32_t i = 0; i < CONNS_MAX; i++) {
            struct conn *conn = &control->conns[i];

            if ((conn->state == CONN_READING || conn->state == CONN_WRITING) &&
                now_us > conn->active_us + IDLE_US)
                conn_close(conn);
        }
    }
    for (uint32_t i = 0; i < CONNS_MAX; i++)
        if (control->conns[i].state != CONN_FREE)
            conn_close(&control->conns[i]);
    return NULL;
}
