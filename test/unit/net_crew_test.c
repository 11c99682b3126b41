/* Jobs beside the loop: order, the line, the end, and what the threads are. */
#include "net_tools.h"

#include "net/crew.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static struct net net;

struct probe {
    struct crew_job job;
    struct crew *crew;
    struct probe *next; /* done adds it */
    sem_t *wait;        /* work waits for it */
    pthread_t worked_on;
    unsigned worked, done, order;
    int nice;
    bool term_blocked, segv_blocked;
    uint64_t slice_ns;
};

static unsigned done_count;

static uint64_t
slice_of_this_thread(void)
{
    uint64_t attr[6] = {0}; /* struct sched_attr as it first was; the runtime is the fourth */

    return syscall(SYS_sched_getattr, 0, attr, sizeof(attr), 0) == 0 ? attr[3] : 0;
}

static void
probe_work(struct crew_job *job)
{
    struct probe *probe = CONTAINER_OF(job, struct probe, job);
    sigset_t blocked;

    if (probe->wait != NULL)
        assert_int_equal(sem_wait(probe->wait), 0);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    probe->term_blocked = sigismember(&blocked, SIGTERM);
    probe->segv_blocked = sigismember(&blocked, SIGSEGV);
    probe->nice = getpriority(PRIO_PROCESS, 0);
    probe->slice_ns = slice_of_this_thread();
    probe->worked_on = pthread_self();
    probe->worked++;
}

static void
probe_done(struct crew_job *job)
{
    struct probe *probe = CONTAINER_OF(job, struct probe, job);

    probe->done++;
    probe->order = done_count++;
    if (probe->next != NULL)
        crew_add(probe->crew, &probe->next->job);
}

static void
probe_init(struct probe *probe, struct crew *crew)
{
    memset(probe, 0, sizeof(*probe));
    list_init(&probe->job.node);
    probe->job.work = probe_work;
    probe->job.done = probe_done;
    probe->crew = crew;
}

static int
setup(void **state)
{
    (void)state;
    done_count = 0;
    return net_init(&net, &(struct net_options){0});
}

static void
end(struct crew *crew)
{
    crew_end(crew);
    net_run(&net);
    crew_free(crew);
    net_end(&net);
}

static void
one_thread_keeps_the_order(void **state)
{
    struct crew *crew = crew_new(&net, &(struct crew_options){.threads = 1});
    struct probe probes[100];

    (void)state;
    assert_non_null(crew);
    for (unsigned i = 0; i < COUNT_OF(probes); i++) {
        probe_init(&probes[i], crew);
        crew_add(crew, &probes[i].job);
    }
    net_run(&net); /* nothing but the jobs keeps it going */
    for (unsigned i = 0; i < COUNT_OF(probes); i++) {
        assert_int_equal(probes[i].worked, 1);
        assert_int_equal(probes[i].done, 1);
        assert_int_equal(probes[i].order, i);
        assert_false(pthread_equal(probes[i].worked_on, pthread_self()));
    }
    end(crew);
}

static void
done_may_add(void **state)
{
    struct crew *crew = crew_new(&net, &(struct crew_options){.threads = 2});
    struct probe probes[50];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(probes); i++) {
        probe_init(&probes[i], crew);
        if (i > 0)
            probes[i - 1].next = &probes[i];
    }
    crew_add(crew, &probes[0].job);
    net_run(&net);
    for (unsigned i = 0; i < COUNT_OF(probes); i++)
        assert_int_equal(probes[i].order, i);
    assert_int_equal(done_count, COUNT_OF(probes));
    end(crew);
}

/* As many at once as there are threads, no more: the third waits, and can leave the line. */
static void
only_who_waits_can_leave(void **state)
{
    struct crew *crew = crew_new(&net, &(struct crew_options){.threads = 2});
    struct probe probes[4];
    sem_t gate;

    (void)state;
    assert_int_equal(sem_init(&gate, 0, 0), 0);
    for (unsigned i = 0; i < COUNT_OF(probes); i++) {
        probe_init(&probes[i], crew);
        probes[i].wait = i < 2 ? &gate : NULL;
        crew_add(crew, &probes[i].job);
    }
    assert_false(crew_withdraw(crew, &probes[0].job));
    assert_false(crew_withdraw(crew, &probes[1].job));
    assert_true(crew_withdraw(crew, &probes[2].job));
    assert_false(crew_withdraw(crew, &probes[2].job));
    (void)sem_post(&gate);
    (void)sem_post(&gate);
    net_run(&net);
    assert_int_equal(probes[2].worked + probes[2].done, 0);
    assert_int_equal(probes[3].worked + probes[3].done, 2);
    assert_int_equal(done_count, 3);
    crew_add(crew, &probes[2].job);
    net_run(&net);
    assert_int_equal(probes[2].worked + probes[2].done, 2);
    end(crew);
    assert_int_equal(sem_destroy(&gate), 0);
}

static void
threads_give_way_and_take_no_signals(void **state)
{
    int nice_own = getpriority(PRIO_PROCESS, 0);
    struct crew *crew = crew_new(&net, &(struct crew_options){.threads = 1, .nice_add = 10});
    struct probe probe;

    (void)state;
    probe_init(&probe, crew);
    crew_add(crew, &probe.job);
    net_run(&net);
    assert_int_equal(probe.nice, MIN(nice_own + 10, 19));
    assert_int_equal(getpriority(PRIO_PROCESS, 0), nice_own);
    assert_true(probe.term_blocked);
    assert_false(probe.segv_blocked);
    /* Kernels before 6.12 say 0. */
    assert_true(probe.slice_ns == 0 || probe.slice_ns > slice_of_this_thread());
    end(crew);
}

/* One thread is held up; who waits long gets the thread for that, one at a time and not before. */
static void
late_jobs_get_a_thread(void **state)
{
    struct crew_options options = {
        .threads = 1, .nice_add = 10, .late_ms = 100, .late_nice_add = 3};
    int nice_own = getpriority(PRIO_PROCESS, 0);
    struct crew *crew = crew_new(&net, &options);
    struct probe probes[4];
    sem_t gate;
    uint64_t begin_ms = net_now_ms(&net);

    (void)state;
    assert_int_equal(sem_init(&gate, 0, 0), 0);
    for (unsigned i = 0; i < COUNT_OF(probes); i++) {
        probe_init(&probes[i], crew);
        probes[i].wait = i == 0 ? &gate : NULL;
        crew_add(crew, &probes[i].job);
    }
    while (probes[3].done == 0)
        (void)uv_run(&net.loop, UV_RUN_ONCE);
    assert_true(net_now_ms(&net) - begin_ms >= options.late_ms);
    assert_int_equal(probes[0].done, 0);
    for (unsigned i = 1; i < COUNT_OF(probes); i++) {
        assert_int_equal(probes[i].order, i - 1);
        assert_int_equal(probes[i].nice, MIN(nice_own + 3, 19));
    }
    /* Nobody waits any more: the next one waits its time again, and can still leave. */
    list_init(&probes[1].job.node);
    crew_add(crew, &probes[1].job);
    (void)uv_run(&net.loop, UV_RUN_NOWAIT);
    assert_true(crew_withdraw(crew, &probes[1].job));
    (void)sem_post(&gate);
    net_run(&net);
    assert_int_equal(probes[0].done, 1);
    assert_int_equal(probes[0].nice, MIN(nice_own + 10, 19));
    assert_int_equal(probes[1].done, 1);
    end(crew);
    assert_int_equal(sem_destroy(&gate), 0);
}

static void
never_used(void **state)
{
    struct crew *crew = crew_new(&net, &(struct crew_options){.threads = CREW_THREADS_MAX});

    (void)state;
    assert_non_null(crew);
    net_run(&net);
    end(crew);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_thread_keeps_the_order, setup),
        cmocka_unit_test_setup(done_may_add, setup),
        cmocka_unit_test_setup(only_who_waits_can_leave, setup),
        cmocka_unit_test_setup(threads_give_way_and_take_no_signals, setup),
        cmocka_unit_test_setup(late_jobs_get_a_thread, setup),
        cmocka_unit_test_setup(never_used, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
