#include "ledger/control.h"

#include "base/clock.h"
#include "base/str.h"
#include "base/thread.h"
#include "ledger/control_in.h"
#include "ledger/core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STOP_US UINT64_C(1000000)

/* ---- queues ---- */

void
job_queue_put(struct job_queue *queue, struct job *job)
{
    job->next = NULL;
    if (queue->last != NULL)
        queue->last->next = job;
    else
        queue->first = job;
    queue->last = job;
}

struct job *
job_queue_take(struct job_queue *queue)
{
    struct job *job = queue->first;

    if (job == NULL)
        return NULL;
    queue->first = job->next;
    if (queue->first == NULL)
        queue->last = NULL;
    return job;
}

void
control_ring(int fd)
{
    uint64_t one = 1;

    /* A full counter has rung already. */
    if (write(fd, &one, sizeof(one)) < 0)
        ASSERT(errno == EAGAIN);
}

void
control_unring(int fd)
{
    uint64_t count;

    if (read(fd, &count, sizeof(count)) < 0)
        ASSERT(errno == EAGAIN || errno == EINTR);
}

static void
job_answer(struct job *job)
{
    buf_init(&job->answer, COMMAND_ANSWER_BYTES_MAX + 4096);
    command_finish(&job->command, &job->answer);
}

/* ---- a command apart ---- */

static void *
apart_main(void *arg)
{
    struct control *control = arg;
    struct job *job = control->apart; /* ours until we say so */

    command_read(&job->command);
    job_answer(job);
    /* One step, and no lock after it: who starts the next one joins us under it. */
    pthread_mutex_lock(&control->lock);
    control->apart = NULL;
    job_queue_put(&control->done, job);
    pthread_mutex_unlock(&control->lock);
    control_ring(control->io_fd);
    return NULL;
}

/* A thread for it, unless there is one. With the lock. */
static bool
apart_start(struct control *control, struct job *job)
{
    if (control->apart != NULL) {
        command_refuse(&job->command, COMMAND_BUSY, "another one is under way");
        command_hint(&job->command, "try again when it is done");
        return false;
    }
    if (control->apart_started) /* its job was given back: it is about to end */
        pthread_join(control->apart_thread, NULL);
    atomic_store_explicit(&control->apart_stop, control->stopping, memory_order_relaxed);
    job->command.stop = &control->apart_stop;
    control->apart = job;
    control->apart_started = pthread_create(&control->apart_thread, NULL, apart_main, control) == 0;
    if (!control->apart_started) {
        control->apart = NULL;
        command_refuse(&job->command, COMMAND_FAILED, "there is no thread for it");
    }
    return control->apart_started;
}

void
job_gone(struct control *control, uint32_t conn_idx, uint32_t conn_generation)
{
    pthread_mutex_lock(&control->lock);
    if (control->apart != NULL && control->apart->conn_idx == conn_idx &&
        control->apart->conn_generation == conn_generation)
        atomic_store_explicit(&control->apart_stop, true, memory_order_relaxed);
    pthread_mutex_unlock(&control->lock);
}

/* ---- where jobs go ---- */

void
job_route(struct control *control, struct job *job)
{
    const struct command_def *def = job->command.def;
    bool refused = job->command.exit != COMMAND_DONE;
    bool to_main = !refused && !job->prepared &&
                   (def->kind != COMMAND_READ ||
                    (def->prepare != NULL && (!def->prepare_on_miss || job->command.missed)));

    pthread_mutex_lock(&control->lock);
    if (to_main) {
        job_queue_put(&control->for_main, job);
        control_ring(control->main_fd);
    } else if (!refused && def->apart && apart_start(control, job)) {
        /* on its own now */
    } else {
        job_queue_put(&control->for_readers, job);
        pthread_cond_signal(&control->readable);
    }
    pthread_mutex_unlock(&control->lock);
}

void
job_done(struct control *control, struct job *job)
{
    job_answer(job);
    pthread_mutex_lock(&control->lock);
    job_queue_put(&control->done, job);
    pthread_mutex_unlock(&control->lock);
    control_ring(control->io_fd);
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

    thread_give_way(CONTROL_NICER);
    for (;;) {
        struct job *job;

        pthread_mutex_lock(&control->lock);
        while ((job = job_queue_take(&control->for_readers)) == NULL && !control->stopping)
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

const struct command_actor *
control_asker(const struct control *control)
{
    return control->asked != NULL ? &control->asked->command.actor : NULL;
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

/* The first of several; the others are told to come again, by the master or here. */
static void
job_hand(struct control *control, struct job *job)
{
    if (control->ledger->draining || control->leaving || control->hand != NULL) {
        command_refuse(&job->command, COMMAND_BUSY, "%s",
                       control->ledger->draining ? "the server is stopping" : "one is under way");
        job_done(control, job);
        return;
    }
    control->hand = job;
}

int
control_hand(struct control *control)
{
    struct job *job = control->hand;
    int fd;

    if (job == NULL)
        return -1;
    control->hand = NULL;
    fd = job->hand_fd;
    job->hand_fd = -1;
    job->handed = fd >= 0;
    if (fd < 0)
        command_refuse(&job->command, COMMAND_FAILED, "out of descriptors");
    job_done(control, job);
    return fd;
}

void
control_leave(struct control *control)
{
    pthread_mutex_lock(&control->lock);
    control->leaving = true;
    pthread_mutex_unlock(&control->lock);
    control_ring(control->io_fd);
}

bool
control_busy(struct control *control)
{
    bool busy;

    pthread_mutex_lock(&control->lock);
    busy = control->jobs_open > 0;
    pthread_mutex_unlock(&control->lock);
    return busy;
}

/* Its next step, after what waits, and after a commit. */
static void
job_later(struct control *control, struct job *job)
{
    pthread_mutex_lock(&control->lock);
    job_queue_put(&control->for_main, job);
    pthread_mutex_unlock(&control->lock);
    control_ring(control->main_fd);
}

int
control_work(struct control *control)
{
    control_unring(control->main_fd);
    for (;;) {
        struct job *job;
        int rc;

        pthread_mutex_lock(&control->lock);
        job = job_queue_take(&control->for_main);
        pthread_mutex_unlock(&control->lock);
        if (job == NULL)
            return 0;
        job->prepared = true;
        if (job->command.def->kind == COMMAND_ASK) {
            job_ask(control, job);
            continue;
        }
        if (job->command.def->kind == COMMAND_HAND) {
            job_hand(control, job);
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
            if (job->command.more) {
                job_later(control, job);
                return rc;
            }
            job_done(control, job);
        }
        if (rc < 0)
            return rc;
    }
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
    if (pthread_create(&control->io, NULL, control_io_main, control))
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
job_queue_drop(struct job_queue *queue)
{
    struct job *job;

    while ((job = job_queue_take(queue)) != NULL) {
        struct buf answer;

        buf_init(&answer, COMMAND_ANSWER_BYTES_MAX + 4096);
        command_refuse(&job->command, COMMAND_BUSY, "the server is stopping");
        command_finish(&job->command, &answer);
        buf_free(&answer);
        if (job->hand_fd >= 0)
            close(job->hand_fd);
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
    atomic_store_explicit(&control->apart_stop, true, memory_order_relaxed);
    control->stop_us = clock_mono_us() + STOP_US;
    pthread_cond_broadcast(&control->readable);
    pthread_mutex_unlock(&control->lock);
    for (unsigned i = 0; i < control->reader_count; i++)
        pthread_join(control->readers[i], NULL);
    if (control->apart_started)
        pthread_join(control->apart_thread, NULL);
    if (control->io_fd >= 0)
        control_ring(control->io_fd);
    if (control->io_runs)
        pthread_join(control->io, NULL);
    if (control->asked != NULL)
        job_queue_put(&control->for_main, control->asked);
    if (control->hand != NULL)
        job_queue_put(&control->for_main, control->hand);
    control->asked = control->hand = NULL;
    job_queue_drop(&control->for_main);
    job_queue_drop(&control->for_readers);
    for (struct job *job; (job = job_queue_take(&control->done)) != NULL;) {
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
