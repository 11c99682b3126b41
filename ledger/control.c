#include "ledger/control.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "ledger/command.h"
#include "ledger/core.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNS_MAX 256
#define READERS 3
#define IDLE_US UINT64_C(30000000)
#define STOP_US UINT64_C(1000000)
#define READ_BYTES 16384

enum conn_state {
    CONN_FREE = 0,
    CONN_READING, /* a request is not whole yet */
    CONN_WAITING, /* its job is somewhere */
    CONN_WRITING,
};

struct conn {
    enum conn_state state;
    int fd;
    uint32_t generation; /* a job that comes back after its connection is gone finds another */
    uint64_t active_us;
    bool refused; /* not a peer of ours: told so, then closed */
    struct buf in, out;
    size_t out_sent;
    char by[32];
};

struct job {
    struct command command;
    bool prepared;
    uint32_t conn_idx, conn_generation;
    struct buf answer;
    struct job *next;
};

struct queue {
    struct job *first, *last;
};

struct control {
    struct ledger *ledger;
    int listen_fd, io_fd, main_fd; /* the last two are eventfds */
    pthread_t io, readers[READERS];
    unsigned reader_count;
    bool io_runs;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t readable;
    struct queue for_main, for_readers, done;
    bool stopping;
    uint64_t stop_us;

    struct job *asked; /* the main thread's: waits for the master */
    bool ask;          /* and has not been asked */

    struct conn conns[CONNS_MAX]; /* the io thread's alone */
};

/* ---- queues ---- */

static void
queue_put(struct queue *queue, struct job *job)
{
    job->next = NULL;
    if (queue->last != NULL)
        queue->last->next = job;
    else
        queue->first = job;
    queue->last = job;
}

static struct job *
queue_take(struct queue *queue)
{
    struct job *job = queue->first;

    if (job == NULL)
        return NULL;
    queue->first = job->next;
    if (queue->first == NULL)
        queue->last = NULL;
    return job;
}

static void
ring(int fd)
{
    uint64_t one = 1;

    /* A full counter has rung already. */
    if (write(fd, &one, sizeof(one)) < 0)
        ASSERT(errno == EAGAIN);
}

static void
unring(int fd)
{
    uint64_t count;

    if (read(fd, &count, sizeof(count)) < 0)
        ASSERT(errno == EAGAIN || errno == EINTR);
}

/* Where the job goes next. Called without the lock. */
static void
job_route(struct control *control, struct job *job)
{
    const struct command_def *def = job->command.def;
    bool refused = job->command.exit != COMMAND_DONE;
    bool to_main = !refused && !job->prepared &&
                   (def->kind != COMMAND_READ ||
                    (def->prepare != NULL && (!def->prepare_on_miss || job->command.missed)));

    pthread_mutex_lock(&control->lock);
    if (to_main) {
        queue_put(&control->for_main, job);
        ring(control->main_fd);
    } else {
        queue_put(&control->for_readers, job);
        pthread_cond_signal(&control->readable);
    }
    pthread_mutex_unlock(&control->lock);
}

static void
job_done(struct control *control, struct job *job)
{
    buf_init(&job->answer, COMMAND_ANSWER_BYTES_MAX + 4096);
    command_finish(&job->command, &job->answer);
    pthread_mutex_lock(&control->lock);
    queue_put(&control->done, job);
    pthread_mutex_unlock(&control->lock);
    ring(control->io_fd);
}

/* ---- queries ---- */

static void
reader_job(struct control *control, struct job *job)
{
    struct command *command = &job->command;

    if (command->exit == COMMAND_DONE)
        command_read(command);
    if (command->missed && !job->prepared && command->exit == COMMAND_DONE) {
        job_route(control, job);
        return;
    }
    job_done(control, job);
}

static void *
reader_main(void *arg)
{
    struct control *control = arg;

    for (;;) {
        struct job *job;

        pthread_mutex_lock(&control->lock);
        while ((job = queue_take(&control->for_readers)) == NULL && !control->stopping)
            pthread_cond_wait(&control->readable, &control->lock);
        pthread_mutex_unlock(&control->lock);
        if (job == NULL)
            return NULL;
        reader_job(control, job);
    }
}

/* ---- what the master answers ---- */

static void
job_ask(struct control *control, struct job *job)
{
    if (control->ledger->draining || control->asked != NULL) {
        command_refuse(&job->command, COMMAND_BUSY, "%s",
                       control->asked != NULL ? "one is under way" : "the server is stopping");
        if (control->asked != NULL)
            command_hint(&job->command, "try again when it is done");
        job_done(control, job);
        return;
    }
    control->asked = job;
    control->ask = true;
}

bool
control_asks(struct control *control)
{
    bool ask = control->ask;

    control->ask = false;
    return ask;
}

void
control_answer(struct control *control, struct str json)
{
    struct job *job = control->asked;
    struct js_value object = {.type = JS_NONE}, key, value;
    struct js_error ignored;
    struct js_iter it;

    if (job == NULL)
        return;
    control->asked = NULL;
    if (json.len == 0 || !js_check(json, &object, &ignored) || !js_is(object, JS_OBJECT))
        command_refuse(&job->command, COMMAND_BUSY, "the master does not answer");
    else
        for (js_iter_init(&it, object); js_next(&it, &key, &value);) {
            char name[32];

            str_copy(key.raw, name, sizeof(name));
            jw_key_js(&job->command.jw, name, value);
        }
    job_done(control, job);
}

int
control_work(struct control *control)
{
    unring(control->main_fd);
    for (;;) {
        struct job *job;
        int rc;

        pthread_mutex_lock(&control->lock);
        job = queue_take(&control->for_main);
        pthread_mutex_unlock(&control->lock);
        if (job == NULL)
            return 0;
        job->prepared = true;
        if (job->command.def->kind == COMMAND_ASK) {
            job_ask(control, job);
            continue;
        }
        if (job->command.def->kind == COMMAND_READ) {
            rc = command_prepare(&job->command);
            if (rc < 0)
                command_refuse(&job->command, COMMAND_FAILED, "the store failed: %s", strerror(-rc));
            job->command.missed = false;
            job_route(control, job);
        } else {
            rc = command_main(&job->command);
            job_done(control, job);
        }
        if (rc < 0)
            return rc;
    }
}

/* ---- connections ---- */

static void
conn_close(struct conn *conn)
{
    close(conn->fd);
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
    conn->state = CONN_WAITING;

    bool started = command_start(&job->command, control->ledger,
                                 (struct str){conn->in.ptr, len}, conn->by);

    /* Longer than a line may be: what follows has no beginning, so it is the last answer. */
    conn->refused = end == NULL;
    buf_drop_front(&conn->in, MIN(len + 1, conn->in.len));
    if (started)
        job_route(control, job);
    else
        job_done(control, job);
}

static void
conn_read(struct control *control, uint32_t idx)
{
    struct conn *conn = &control->conns[idx];
    char bytes[READ_BYTES];
    ssize_t n = read(conn->fd, bytes, sizeof(bytes));

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
        job = queue_take(&control->done);
        pthread_mutex_unlock(&control->lock);
        if (job == NULL)
            return;
        conn = &control->conns[job->conn_idx];
        if (conn->state == CONN_WAITING && conn->generation == job->conn_generation) {
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
    stopping = control->stopping;
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
    else if (conn->state == CONN_WAITING && (events & (POLLHUP | POLLERR)) != 0)
        conn_close(conn); /* its job finds nobody, and is thrown away */
}

static void *
io_main(void *arg)
{
    struct control *control = arg;
    struct pollfd fds[CONNS_MAX + 2];
    uint32_t conn_of[CONNS_MAX + 2];

    for (;;) {
        uint64_t now_us = clock_mono_us();
        nfds_t count;

        if (io_over(control, now_us))
            break;
        count = io_fill(control, fds, conn_of);
        if (poll(fds, count, 500) < 0 && errno != EINTR)
            break;
        now_us = clock_mono_us();
        unring(control->io_fd);
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

/* ---- start and stop ---- */

int
control_start(struct ledger *ledger, int listen_fd, struct control **out)
{
    struct control *control = calloc(1, sizeof(*control));
    int rc = -EAGAIN;

    *out = NULL;
    if (control == NULL)
        return -ENOMEM;
    control->ledger = ledger;
    control->listen_fd = listen_fd;
    pthread_mutex_init(&control->lock, NULL);
    pthread_cond_init(&control->readable, NULL);
    control->io_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    control->main_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (control->io_fd < 0 || control->main_fd < 0)
        goto fail;
    /* accept4() must not wait for a peer that went away meanwhile. */
    if (fcntl(listen_fd, F_SETFL, fcntl(listen_fd, F_GETFL) | O_NONBLOCK) < 0)
        goto fail;
    for (; control->reader_count < READERS; control->reader_count++)
        if (pthread_create(&control->readers[control->reader_count], NULL, reader_main, control))
            goto fail;
    if (pthread_create(&control->io, NULL, io_main, control))
        goto fail;
    control->io_runs = true;
    *out = control;
    return 0;

fail:
    control_stop(&control);
    return rc;
}

int
control_fd(const struct control *control)
{
    return control->main_fd;
}

static void
queue_drop(struct queue *queue)
{
    struct job *job;

    while ((job = queue_take(queue)) != NULL) {
        struct buf answer;

        buf_init(&answer, COMMAND_ANSWER_BYTES_MAX + 4096);
        command_refuse(&job->command, COMMAND_BUSY, "the server is stopping");
        command_finish(&job->command, &answer);
        buf_free(&answer);
        free(job);
    }
}

void
control_stop(struct control **controlp)
{
    struct control *control = *controlp;

    *controlp = NULL;
    if (control == NULL)
        return;
    pthread_mutex_lock(&control->lock);
    control->stopping = true;
    control->stop_us = clock_mono_us() + STOP_US;
    pthread_cond_broadcast(&control->readable);
    pthread_mutex_unlock(&control->lock);
    for (unsigned i = 0; i < control->reader_count; i++)
        pthread_join(control->readers[i], NULL);
    if (control->io_fd >= 0)
        ring(control->io_fd);
    if (control->io_runs)
        pthread_join(control->io, NULL);
    if (control->asked != NULL)
        queue_put(&control->for_main, control->asked);
    control->asked = NULL;
    queue_drop(&control->for_main);
    queue_drop(&control->for_readers);
    for (struct job *job; (job = queue_take(&control->done)) != NULL;) {
        buf_free(&job->answer);
        free(job);
    }
    if (control->io_fd >= 0)
        close(control->io_fd);
    if (control->main_fd >= 0)
        close(control->main_fd);
    pthread_cond_destroy(&control->readable);
    pthread_mutex_destroy(&control->lock);
    free(control);
}
