/*
 * Each thread has a seat, with one job at a time. A seat's state goes FREE, GIVEN (by the loop),
 * DONE (by its thread), FREE (by the loop); who may change the state owns the job. A semaphore
 * wakes the thread, an eventfd the loop: neither side ever holds a lock that the other wants.
 */
#include "net/crew.h"

#include "base/thread.h"
#include "net/net.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Virtual; a handshake takes some tens of KiB, sanitizers and a CA file's reading more. */
#define STACK_BYTES ((size_t)1 << 20)
#define SEATS_MAX (CREW_THREADS_MAX + 1)

static void crew_on_late(struct wheel_timer *timer);

enum seat_state { SEAT_FREE = 0, SEAT_GIVEN, SEAT_DONE };

struct seat {
    pthread_t thread;
    sem_t given;
    atomic_int state;
    bool late; /* only for jobs that waited late_ms */
    int nice_add;
    struct crew_job *job; /* GIVEN, and NULL: the thread ends */
    struct crew *crew;
};

struct crew {
    struct net_watch watch; /* referenced by the loop while there is a job */
    struct net *net;
    struct list line;
    struct wheel_timer late; /* set while the late seat is free and jobs wait */
    unsigned late_ms;
    unsigned busy_count;
    unsigned seat_count;
    int done_fd;
    struct seat seats[];
};

/* ---- a thread ----------------------------------------------------------------------------- */

static void *
seat_main(void *arg)
{
    struct seat *seat = arg;
    const uint64_t one = 1;

    thread_give_way(seat->nice_add);
    for (;;) {
        while (sem_wait(&seat->given) != 0)
            ASSERT(errno == EINTR);
        if (seat->job == NULL)
            return NULL;
        seat->job->work(seat->job);
        atomic_store_explicit(&seat->state, SEAT_DONE, memory_order_release);
        /* Fails only when the counter is full, and then the loop has been rung. */
        if (write(seat->crew->done_fd, &one, sizeof(one)) < 0)
            ASSERT(errno == EAGAIN);
    }
}

static bool
seat_start(struct crew *crew, int nice_add, bool late)
{
    struct seat *seat = &crew->seats[crew->seat_count];
    pthread_attr_t attr;
    sigset_t all, before;
    int rc;

    seat->crew = crew;
    seat->nice_add = nice_add;
    seat->late = late;
    atomic_init(&seat->state, SEAT_FREE);
    if (sem_init(&seat->given, 0, 0) != 0)
        return false;
    /* Signals are the loop's; but for those of a thread's own faults. */
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGSEGV);
    (void)sigdelset(&all, SIGBUS);
    (void)sigdelset(&all, SIGFPE);
    (void)sigdelset(&all, SIGILL);
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&seat->thread, &attr, seat_main, seat);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    if (rc != 0) {
        (void)sem_destroy(&seat->given);
        return false;
    }
    crew->seat_count++;
    return true;
}

/* ---- the loop ----------------------------------------------------------------------------- */

static void
seat_give(struct seat *seat, struct crew_job *job)
{
    seat->job = job;
    atomic_store_explicit(&seat->state, SEAT_GIVEN, memory_order_relaxed);
    (void)sem_post(&seat->given);
}

static bool
seat_is_free(const struct seat *seat)
{
    return atomic_load_explicit(&seat->state, memory_order_relaxed) == SEAT_FREE;
}

/* The line moves up: jobs to free seats. */
static void
crew_seat_next(struct crew *crew)
{
    uint64_t now_ms = net_now_ms(crew->net);
    uint64_t late_at_ms = 0;

    for (unsigned i = 0; i < crew->seat_count && !list_empty(&crew->line); i++) {
        struct seat *seat = &crew->seats[i];
        struct crew_job *job = LIST_FIRST(&crew->line, struct crew_job, node);

        if (!seat_is_free(seat))
            continue;
        if (seat->late && now_ms < job->since_ms + crew->late_ms) {
            late_at_ms = job->since_ms + crew->late_ms;
            continue;
        }
        list_remove(&job->node);
        if (crew->busy_count++ == 0)
            uv_ref((uv_handle_t *)&crew->watch.poll);
        seat_give(seat, job);
    }
    if (late_at_ms != 0)
        wheel_set(&crew->net->wheel, &crew->late, late_at_ms - now_ms, crew_on_late);
    else
        wheel_cancel(&crew->net->wheel, &crew->late);
}

static void
crew_on_late(struct wheel_timer *timer)
{
    crew_seat_next(CONTAINER_OF(timer, struct crew, late));
}

static void
crew_on_done(struct net_watch *watch)
{
    struct crew *crew = CONTAINER_OF(watch, struct crew, watch);
    struct crew_job *done[SEATS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < crew->seat_count; i++) {
        struct seat *seat = &crew->seats[i];

        if (atomic_load_explicit(&seat->state, memory_order_acquire) != SEAT_DONE)
            continue;
        done[count++] = seat->job;
        atomic_store_explicit(&seat->state, SEAT_FREE, memory_order_relaxed);
        if (--crew->busy_count == 0)
            uv_unref((uv_handle_t *)&crew->watch.poll);
    }
    /* First the next jobs, then what the old ones' owners make of them. */
    crew_seat_next(crew);
    for (unsigned i = 0; i < count; i++)
        done[i]->done(done[i]);
}

void
crew_add(struct crew *crew, struct crew_job *job)
{
    job->since_ms = net_now_ms(crew->net);
    list_push_back(&crew->line, &job->node);
    crew_seat_next(crew);
}

bool
crew_withdraw(struct crew *crew, struct crew_job *job)
{
    if (list_empty(&job->node))
        return false;
    list_remove(&job->node);
    if (list_empty(&crew->line))
        wheel_cancel(&crew->net->wheel, &crew->late);
    return true;
}

/* ---- the beginning and the end ------------------------------------------------------------ */

struct crew *
crew_new(struct net *net, const struct crew_options *options)
{
    struct crew *crew;

    ASSERT(options->threads > 0 && options->threads <= CREW_THREADS_MAX);
    crew = calloc(1, sizeof(*crew) + SEATS_MAX * sizeof(crew->seats[0]));
    if (crew == NULL)
        return NULL;
    crew->net = net;
    crew->late_ms = options->late_ms;
    list_init(&crew->line);
    crew->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (crew->done_fd < 0)
        goto free_crew;
    /* Fewer than wanted will do. */
    while (crew->seat_count < options->threads && seat_start(crew, options->nice_add, false))
        continue;
    if (crew->seat_count == 0)
        goto free_crew;
    if (options->late_ms != 0)
        (void)seat_start(crew, options->late_nice_add, true);
    if (net_watch_eventfd(net, &crew->watch, crew->done_fd, crew_on_done) < 0)
        goto free_crew;
    uv_unref((uv_handle_t *)&crew->watch.poll);
    return crew;

free_crew:
    crew_free(crew);
    return NULL;
}

void
crew_end(struct crew *crew)
{
    ASSERT(crew->busy_count == 0 && list_empty(&crew->line));
    net_unwatch(&crew->watch);
}

void
crew_free(struct crew *crew)
{
    if (crew == NULL)
        return;
    for (unsigned i = 0; i < crew->seat_count; i++) {
        struct seat *seat = &crew->seats[i];

        seat_give(seat, NULL);
        (void)pthread_join(seat->thread, NULL);
        (void)sem_destroy(&seat->given);
    }
    if (crew->done_fd >= 0)
        (void)close(crew->done_fd);
    free(crew);
}
